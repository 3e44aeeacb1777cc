"""The FIT that a drafted gate asks for: what a linear model of the same data reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.look.columns import Column
from lstm_mpc.identification.baselines import linear_fits
from lstm_mpc.identification.linear_model import LinearModel

_HALF = 30.0  # [%] of FIT: half of the variance is explained, 1 − 0.7²
_GOOD = 80.0  # more is not asked of data that nobody knows
_ROOM = 10.0  # points below where white noise alone ends


def first_samples(validation: Dataset) -> int:
    """First samples of validation records that hold their start, and from which it is estimated:
    at most 50, and a quarter of the shortest record."""
    return min(50, min(len(r.u) for r in validation.records) // 4)


@dataclass(frozen=True)
class AskedFit:
    """`least` [%], mean-removed on validation data, and `why` it is not 80, "" where it is."""

    least: float
    why: str = ""

    @classmethod
    def of(cls, outputs: Sequence[Column], linear: LinearModel, validation: Dataset) -> AskedFit:
        """As much as a linear model of the same data reaches, less the standard error of its
        figure, where that is between 30 and 80 %, and no more than noise permits: a model that is
        worse than a linear one is not worth its price, and what the inputs do not explain no model
        can."""
        ceiling = min(100.0 * (1.0 - c.noise / c.deviation) for c in outputs) - _ROOM
        fits, errors = linear_fits(linear, validation, transient=first_samples(validation))
        j = int(np.argmin(fits - errors))
        reached = float((fits - errors)[j])
        least = float(np.floor(np.clip(min(reached, ceiling), _HALF, _GOOD)))
        if least == _GOOD:
            return cls(least)
        on = f"a linear model reaches {fits[j]:.0f} ± {errors[j]:.0f} %"
        if ceiling < reached:
            on = f"white noise alone ends at {ceiling + _ROOM:.0f} %"
        what = f"{outputs[j].signal.name}: {on}" if len(outputs) > 1 else on
        return cls(least, f"{what}, and from {_HALF:.0f} to {_GOOD:.0f} % is asked")
