"""How well a simulation matches: eq. (12) of the paper and its kin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.data.scaling import Scaling
from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array


@dataclass(frozen=True)
class Fit:
    """How well a simulation matches, all figures together, one entry per output.

    `normalised` and `engineering` are eq. (12) [%] on data in those units (a constant offset
    flatters the latter); `mean_removed` [%] divides by the deviation from the mean; `rmse` is in
    the output's unit, one of `units`. `against` says whether the reference is the measured or the
    noise-free output, `skipped` how many first samples were left out.
    """

    normalised: tuple[float, ...]
    engineering: tuple[float, ...]
    mean_removed: tuple[float, ...]
    rmse: tuple[float, ...]
    units: tuple[str, ...]
    against: str
    skipped: int

    def describe(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __str__(self) -> str:
        parts = [
            f"FIT (12) {n:.2f} % normalised ({e:.2f} % in {unit}), mean-removed {m:.2f} %, RMSE"
            f" {r:.4g} {unit}"
            for n, e, m, r, unit in zip(
                self.normalised,
                self.engineering,
                self.mean_removed,
                self.rmse,
                self.units,
                strict=True,
            )
        ]
        return "; ".join(parts) + f" against the {self.against} output"


def fit_index(
    y: ArrayLike,
    estimate: ArrayLike,
    *,
    scaling: Scaling,
    units: Sequence[str],
    against: str = "measured",
    transient: int = 0,
) -> Fit:
    """Compare outputs with an estimate: eq. (12), its mean-removed form and RMSE.

    Samples at which `y` is NaN do not count.

    Args:
        y: The reference, (N, ny) [engineering].
        estimate: What is compared with it, (N, ny) [engineering].
        scaling: Between engineering and normalised units.
        units: The unit of each output.
        against: What the reference is, "measured" or "noise-free".
        transient: First samples that do not count.

    Returns:
        The figures, one entry per output.

    Raises:
        InputError: The arrays are not of one shape, too short, or an output never moves in the
            reference.
    """
    y, estimate = np.asarray(y)[transient:], np.asarray(estimate)[transient:]
    if y.shape != estimate.shape or y.ndim != 2 or len(y) < 2:
        shapes = f"{y.shape} and {estimate.shape} after skipping {transient}"
        raise InputError(
            "fit_index needs two (N, ny) arrays of one shape with at least 2 samples left, got"
            f" {shapes}"
        )
    known = ~np.isnan(y)
    if (
        known.sum(axis=0).min() < 2
        or np.ptp(np.where(known, y, np.nanmean(y, axis=0)), axis=0).min() == 0
    ):
        raise InputError(
            "fit_index: an output never moves in the reference, so that no fit to it is defined"
        )

    def percent(error: Array, reference: Array) -> tuple[float, ...]:
        sizes = (
            np.linalg.norm(np.where(known, values, 0.0), axis=0) for values in (error, reference)
        )
        return tuple((100 * (1 - np.divide(*sizes))).tolist())

    error = y - estimate
    return Fit(
        normalised=percent(error / scaling.y_span, scaling.y_in(y)),
        engineering=percent(error, y),
        mean_removed=percent(error, y - np.nanmean(y, axis=0)),
        rmse=tuple(np.sqrt(np.nanmean(error**2, axis=0)).tolist()),
        units=tuple(units),
        against=against,
        skipped=transient,
    )
