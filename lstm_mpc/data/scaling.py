"""Normalised units: how signals are scaled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array, Signal, frozen_array

_TOLERATED = 1e-9  # [relative] by which the limits may lie beyond the input radius


@dataclass(frozen=True)
class Scaling:
    """Normalised = (engineering − mid) / span, per signal.

    Inputs have `u_mid`, `u_span` (nu,), outputs `y_mid`, `y_span` (ny,) [engineering]; `radius` is
    the largest |normalised input| the limits allow.
    """

    u_mid: Array
    u_span: Array
    y_mid: Array
    y_span: Array
    radius: float = 1.0

    def __post_init__(self) -> None:
        for name in ("u_mid", "u_span", "y_mid", "y_span"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), 1, f"scaling {name}"))
        if min((*self.u_span, *self.y_span), default=0.0) <= 0 or not (
            self.radius > 0 and isfinite(self.radius)
        ):
            raise InputError(
                f"scaling: spans {self.u_span.tolist()!r:.80}, {self.y_span.tolist()!r:.80} and"
                f" radius {self.radius} must be positive"
            )

    def u_in(self, u: ArrayLike) -> Array:
        """Normalise inputs.

        Args:
            u: (…, nu) [engineering].

        Returns:
            (…, nu) [normalised].
        """
        return (np.asarray(u, dtype=np.float64) - self.u_mid) / self.u_span

    def u_out(self, u: ArrayLike) -> Array:
        """Inputs in engineering units.

        Args:
            u: (…, nu) [normalised].

        Returns:
            (…, nu) [engineering].
        """
        return self.u_mid + self.u_span * np.asarray(u, dtype=np.float64)

    def y_in(self, y: ArrayLike) -> Array:
        """Normalise outputs.

        Args:
            y: (…, ny) [engineering].

        Returns:
            (…, ny) [normalised].
        """
        return (np.asarray(y, dtype=np.float64) - self.y_mid) / self.y_span

    def y_out(self, y: ArrayLike) -> Array:
        """Outputs in engineering units.

        Args:
            y: (…, ny) [normalised].

        Returns:
            (…, ny) [engineering].
        """
        return self.y_mid + self.y_span * np.asarray(y, dtype=np.float64)

    def check_signals(self, inputs: Sequence[Signal], outputs: Sequence[Signal]) -> None:
        """Check that the scaling is one of these signals.

        Args:
            inputs: Their limits lie within the radius.
            outputs: As many as the scaling has.

        Raises:
            InputError: It is not.
        """
        for mid, span, signals in (
            (self.u_mid, self.u_span, inputs),
            (self.y_mid, self.y_span, outputs),
        ):
            if not mid.size == span.size == len(signals):
                raise InputError("model: the scaling does not fit the number of signals")
        limits = [[s.low for s in inputs], [s.high for s in inputs]]
        for signal, widest in zip(inputs, np.abs(self.u_in(limits)).max(axis=0), strict=True):
            if not widest <= self.radius * (1 + _TOLERATED):
                raise InputError(
                    f"model: the limits [{signal.low:g}, {signal.high:g}] {signal.unit} of"
                    f" {signal.name!r} lie beyond the input radius {self.radius:g}"
                )

    def overreach(self, inputs: Sequence[Signal]) -> float:
        """By what factor inputs may leave the radius: by a rounding, which is tolerated.

        Args:
            inputs: Signals of the inputs, with limits.

        Returns:
            1 where inputs within their limits stay within the radius, else the factor, rounded up.
        """
        reach = Fraction(0)
        for signal, mid, span in zip(inputs, self.u_mid, self.u_span, strict=True):
            for end in (signal.low, signal.high):
                reach = max(reach, abs(Fraction(end) - Fraction(mid)) / Fraction(span))
        factor = reach / Fraction(self.radius)
        return 1.0 if factor <= 1 else float(np.nextafter(float(factor), np.inf))


def scale(dataset: Dataset, *, rule: str = "limits") -> Scaling:
    """The scaling of a data set.

    Args:
        dataset: The data, whose inputs have actuator limits.
        rule: "limits": inputs by their actuator limits, so that the clipped input fills [−1, 1] and
            the radius is 1; outputs by mean and maximum deviation. "paper": mean and maximum
            deviation for both (Section 4); the radius then states how far the actuator limits reach
            in those units, since inputs are clipped to the limits and not to the data.

    Returns:
        Between engineering and normalised units.

    Raises:
        InputError: An input has no actuator limits, or there is no such rule.
    """
    u, y = (np.vstack([getattr(r, which) for r in dataset.records]) for which in ("u", "y"))
    y_mid, y_span = _mean_and_deviation(y, dataset.outputs)
    low, high = (np.array([getattr(s, side) for s in dataset.inputs]) for side in ("low", "high"))
    if not np.isfinite([low, high]).all():
        open_ended = [s.name for s in dataset.inputs if not s.bounded]
        raise InputError(
            f"input {open_ended[0]!r} has no actuator limits; the guarantees need low and high"
        )
    if rule == "limits":
        return Scaling((low + high) / 2, (high - low) / 2, y_mid, y_span)
    if rule == "paper":
        u_mid, u_span = _mean_and_deviation(u, dataset.inputs)
        return Scaling(
            u_mid,
            u_span,
            y_mid,
            y_span,
            float(np.max(np.maximum(high - u_mid, u_mid - low) / u_span)),
        )
    raise InputError(f"unknown scaling rule {rule!r}; use 'limits' or 'paper'")


def _mean_and_deviation(values: Array, signals: tuple[Signal, ...]) -> tuple[Array, Array]:
    unmeasured = [
        s.name for s, column in zip(signals, values.T, strict=True) if np.isnan(column).all()
    ]
    if unmeasured:
        raise InputError(f"signal {unmeasured[0]!r} was never measured in the data")
    mean = np.nanmean(values, axis=0)
    span = np.nanmax(np.abs(values - mean), axis=0)
    for signal, width in zip(signals, span, strict=True):
        if width <= 1e-12 * max(1.0, float(np.nanmax(np.abs(values)))):
            raise InputError(
                f"signal {signal.name!r} never moves in the data; nothing can be identified from it"
            )
    return mean, span
