"""What a loop is told of its controller, what decides in it, and what it says of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.assurance.clearance import Cleared
from lstm_mpc.control.controller import ControlAction, Status
from lstm_mpc.control.observers.options import KalmanTuning, per_signal
from lstm_mpc.plants.system import Array, Signal
from lstm_mpc.project.operation.border import Border
from lstm_mpc.project.operation.modes import Mode


class Engine(Protocol):
    """What decides: the compiled C, or the engine in Python."""

    def reset(self, y: ArrayLike, u: ArrayLike, measured: ArrayLike = ()) -> None:
        """Begin at outputs `y` (ny,) with inputs `u` (nu,) in force."""

    def decide(self, y: ArrayLike, reference: ArrayLike, measured: ArrayLike = ()) -> ControlAction:
        """What it would apply."""

    def go_on(self, u: ArrayLike) -> None:
        """On to the next sample with `u` (nu,) in force."""

    def take(self, u: ArrayLike) -> None:
        """Before a sample: other inputs (nu,) are in force."""

    def track(self, y: ArrayLike, u: ArrayLike, measured: ArrayLike = ()) -> ControlAction:
        """A sample in which others drive."""


@dataclass(frozen=True)
class Facts:
    """What a loop is told of its controller: signals, Ts [s], the border, the safe input (nu,), the
    safe set and the soft limits (ny, 2), and the largest disturbance of the observer (nu,)."""

    outputs: tuple[Signal, ...]
    inputs: tuple[Signal, ...]
    measured: tuple[Signal, ...]
    Ts: float
    border: Border
    u_safe: Array
    safe_set: Array
    soft: Array
    sensor: Array
    max_disturbance: Array = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(cls, cleared: Cleared) -> Facts:
        """Those of a cleared controller."""
        border, spec = Border.of(cleared), cleared.spec
        model, limits, tuning = spec.model, spec.limits, spec.problem.observer
        nu = len(model.manipulated)
        largest = np.zeros(0)
        if isinstance(tuning, KalmanTuning) and tuning.input:
            largest = per_signal(tuning.max_disturbance, nu, "max_disturbance")
        return cls(
            model.outputs,
            model.manipulated,
            model.measured,
            model.Ts,
            border,
            limits.u_safe,
            np.array(spec.release.safe_set),
            np.stack([limits.y_low, limits.y_high], axis=1),
            np.stack([limits.sensor_low, limits.sensor_high], axis=1),
            largest,
        )


@dataclass(frozen=True)
class Record:
    """Sample `k` as it was: the `mode`, outputs `y` (ny,) with NaN where they did not count, the
    `setpoint` (ny,), inputs `u` in force after it (nu,), `measured` (nd,), the `advice` (nu,) of
    the engine, what was `written` (nu,), its `flags`, the `reasons` why a tag did not count, how
    many samples were `missed` before it, and the outputs `predicted` (N+1, ny)."""

    k: int
    mode: Mode
    y: Array
    setpoint: Array
    u: Array
    measured: Array
    advice: Array
    written: Array
    flags: Status
    reasons: Mapping[str, str]
    missed: int
    predicted: Array
    seconds: float

    @property
    def flagged(self) -> bool:
        """Is anything said of it?"""
        return bool(self.flags or self.reasons or self.missed)
