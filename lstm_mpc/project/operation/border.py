"""The border: the last function before any write. It is built of the limits of a cleared controller
and of nothing else, and believes nobody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.assurance.clearance import Cleared
from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array, frozen_array
from lstm_mpc.project.operation.readings import numbers

_SINGLE = 1e-5  # [share of the range] by which a controller in single precision may miss its bounds
_SOONEST = 0.5  # [samples] between two writes


@dataclass(frozen=True)
class Verdict:
    """What the border says of a write: the `values` (nu,) to be written, or why there are none."""

    values: Array | None
    reason: str = ""


@dataclass(frozen=True)
class Border:
    """Values within `low`, `high` (nu,), no further than `max_move` (nu,) above and `max_move_down`
    below what is in force, and no sooner after the last write than half of `Ts` [s]. The inputs at
    the places `single` are kept by the plant in single precision."""

    names: tuple[str, ...]
    low: Array
    high: Array
    max_move: Array
    max_move_down: Array
    Ts: float
    single: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        for key in ("low", "high"):
            object.__setattr__(self, key, frozen_array(getattr(self, key), 1, f"border: {key}"))
        for key in ("max_move", "max_move_down"):  # infinite where there is no limit
            object.__setattr__(self, key, np.array(getattr(self, key), dtype=np.float64))
        moves = np.minimum(self.max_move, self.max_move_down)
        if not (self.low < self.high).all() or not (moves > 0).all():
            raise InputError(
                f"border: low {self.low} must be below high {self.high}, moves positive"
            )
        object.__setattr__(self, "single", self.single or (False,) * len(self.names))

    @classmethod
    def of(cls, cleared: Cleared) -> Border:
        """The border of a cleared controller, whose inputs the plant keeps in double precision."""
        spec, limits = cleared.spec, cleared.spec.limits
        names = tuple(s.name for s in spec.model.manipulated)
        rates = limits.max_move, limits.max_move_down
        return cls(names, limits.u_low, limits.u_high, *rates, spec.model.Ts)

    def inside(self, in_force: ArrayLike) -> bool:
        """May the controller take over from these inputs (nu,)?"""
        u = np.asarray(in_force, dtype=np.float64)
        room = _SINGLE * (self.high - self.low)
        return bool((u >= self.low - room).all() and (u <= self.high + room).all())

    def admit(self, wanted: ArrayLike, in_force: ArrayLike, since: float) -> Verdict:
        """Judge a write.

        Args:
            wanted: The inputs that somebody wants to write, (nu,) [engineering].
            in_force: The inputs that the plant was last seen to have, (nu,).
            since: Time since the last write [s].

        Returns:
            The values, each exactly within bounds and rates; or why nothing may be written.
        """
        u, now = numbers(wanted), numbers(in_force)
        if u.shape != self.low.shape or not np.isfinite(u).all():
            return Verdict(None, f"what was to be written is not {len(self.low)} finite value(s)")
        if now.shape != self.low.shape or not np.isfinite(now).all():
            return Verdict(None, "it is not known what is in force")
        if not self.inside(now):
            return Verdict(None, f"{self.outside(now)}; it must be brought there by hand")
        if not since >= _SOONEST * self.Ts:
            return Verdict(None, f"the last write was {since:.3g} s ago, sooner than half a sample")
        least, most = (
            np.maximum(self.low, now - self.max_move_down),
            np.minimum(self.high, now + self.max_move),
        )
        room = _SINGLE * (self.high - self.low)
        if (u < least - room).any() or (u > most + room).any():
            j = int(np.argmax(np.maximum(least - u, u - most)))
            return Verdict(
                None,
                f"{self.names[j]} = {u[j]:.7g} was to be written, from {now[j]:.7g} only"
                f" [{least[j]:.7g}, {most[j]:.7g}] is admissible",
            )
        values = [self._exact(j, float(u[j]), float(now[j])) for j in range(len(u))]
        exact = [value for value in values if value is not None]
        if len(exact) < len(values):
            return Verdict(None, "no number of the plant's precision is admissible")
        return Verdict(frozen_array(exact, 1, "border"))

    def _exact(self, j: int, wanted: float, now: float) -> float | None:
        """The number next to `wanted`, as the plant keeps it, that is within bounds and rates to
        the last bit; None where there is none."""
        kind = np.float32 if self.single[j] else np.float64
        low, high, rise, fall = (
            array[j] for array in (self.low, self.high, self.max_move, self.max_move_down)
        )
        with np.errstate(over="ignore"):
            value = kind(min(max(wanted, low, now - fall), high, now + rise))
        for _ in range(4):  # rounding is a bit or two
            given = float(value)
            near = -fall <= given - now <= rise
            if low <= given <= high and near:
                return given
            inner = 0.5 * (low + high) if near else now
            value = np.nextafter(value, kind(inner))
        return None

    def outside(self, now: Array) -> str:
        """Which of the inputs `now` (nu,) is not within the bounds, in words."""
        j = int(np.argmax(np.maximum(self.low - now, now - self.high)))
        return (
            f"{self.names[j]} stands at {now[j]:.7g}, outside [{self.low[j]:.7g},"
            f" {self.high[j]:.7g}]"
        )
