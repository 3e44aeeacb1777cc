"""Which observer estimates the state, and how it is tuned."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array


@dataclass(frozen=True)
class KalmanTuning:
    """An extended Kalman filter instead of the open-loop observer.

    `noise` [output unit] is the standard deviation of the measurement, `drift` [unit per sample]
    that of how the disturbance moves, `max_disturbance` [unit] the largest disturbance; the
    `disturbance` acts at the "input" (of the same units) or is added to the "output". `state_noise`
    (normalised) is what the model's states may err by in a sample, `drift_boost` how much faster
    the disturbance may drift when innovations keep their sign, `delay_uncertainty` the share of the
    dead time (and of the delay that all inputs share) that is not known.

    One number per signal, or one for all. The table `[observer]` of a design, kind = "kalman".
    """

    noise: ArrayLike
    drift: ArrayLike
    max_disturbance: ArrayLike
    disturbance: str = "input"
    state_noise: float = 6e-4
    drift_boost: float = 20.0
    delay_uncertainty: float = 0.6

    def __post_init__(self) -> None:
        if self.disturbance not in ("input", "output"):
            raise InputError(
                f"observer: disturbance must be 'input' or 'output', got {self.disturbance!r}"
            )
        for key in ("state_noise", "drift_boost", "delay_uncertainty"):
            if not 0 <= getattr(self, key) < inf:
                raise InputError(
                    f"observer: {key} must be a number, not negative, got {getattr(self, key)}"
                )

    @property
    def input(self) -> bool:
        return self.disturbance == "input"


@dataclass(frozen=True)
class GatedTuning:
    """Correction gains inside the gates; kind = "gated" of `[observer]`.

    The output disturbance is that of the open-loop observer. `gains` (normalised) are those of the
    gates f, i, o, c one after the other, each by rows, (nx, ny) of the last layer; none: those that
    `gated.choose` finds when they may cost the `share` of the margin that the open-loop observer's
    certificate has.
    """

    gains: tuple[float, ...] = ()
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise InputError(f"observer: share must lie in (0, 1), got {self.share}")


@dataclass(frozen=True)
class MheTuning(KalmanTuning):
    """Moving horizon estimation by do-mpc; kind = "mhe" of `[observer]`.

    It looks back over the last `window` samples and is weighted as the Kalman filter is;
    `drift_boost` and `delay_uncertainty` have no part in it.
    """

    window: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window < 2:
            raise InputError(f"observer: window must be at least 2 samples, got {self.window}")


def per_signal(value: ArrayLike, count: int, name: str) -> Array:
    """`value` for each of `count` signals; InputError where it is not one number or that many."""
    array = np.asarray(value, dtype=np.float64)
    if array.ndim > 1 or array.size not in (1, count) or np.isnan(array).any():
        raise InputError(f"control: {name} needs one number or {count}, got {value!r}")
    return np.broadcast_to(array, (count,)).copy()
