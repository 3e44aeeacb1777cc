"""What can go wrong around a controller in a scenario: its sensor, its actuator, the controller
itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite
from typing import Protocol, runtime_checkable

import numpy as np

from lstm_mpc.control.controller import ControlAction, Controller, Status
from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array

SENSOR: dict[str, tuple[str, ...]] = {
    "dropout": (),
    "frozen": (),
    "spike": ("size",),
    "bias": ("size",),
    "drift": ("rate",),
}
ACTUATOR: dict[str, tuple[str, ...]] = {"stuck": (), "saturated": ("low", "high"), "slow": ("lag",)}
CONTROLLER: dict[str, tuple[str, ...]] = {"late": (), "unsolved": (), "restart": ()}
KINDS = SENSOR | ACTUATOR | CONTROLLER  # and what each needs to be told

AWAY = "controller away, its last command stays"


@dataclass(frozen=True)
class Fault:
    """One fault of a scenario, from `begin` until `end` [s].

    The `kind` of a fault of the sensor number `channel`, those of the outputs and then those of the
    measured inputs: `dropout` (not a number), `frozen` (repeats itself), `spike` and `bias` (`size`
    [unit] too much, for a sample or for long), `drift` (`rate` [unit/s] since it began). Of the
    actuator number `channel`: `stuck` (stays where it is), `saturated` (follows within `low`,
    `high` [unit] only), `slow` (follows with the time constant `lag` [s]). Of the controller:
    `late` (a command arrives one sample after its own), `unsolved` (its setpoint is the largest
    number there is, which no solver can square), `restart` (it is away, its last command stays, and
    it goes on from the state that it saved before).
    """

    kind: str
    begin: float
    end: float = inf
    size: float | None = None
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    lag: float | None = None
    channel: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"fault: unknown kind {self.kind!r}; known: {', '.join(KINDS)}")
        if not 0 <= self.begin < self.end:
            raise InputError(
                f"fault {self.kind!r}: it must begin at 0 s or later and end after that, got"
                f" {self.begin} and {self.end}"
            )
        for key in ("size", "rate", "low", "high", "lag"):
            value = getattr(self, key)
            if (value is not None) != (key in KINDS[self.kind]):
                needs = ", ".join(KINDS[self.kind]) or "nothing more"
                raise InputError(f"fault {self.kind!r}: needs {needs}, got {key} = {value}")
            if value is not None and not isfinite(value):
                raise InputError(f"fault {self.kind!r}: {key} must be finite, got {value}")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise InputError(
                f"fault {self.kind!r}: low {self.low} must not exceed high {self.high}"
            )
        if self.lag is not None and self.lag <= 0:
            raise InputError(f"fault {self.kind!r}: lag must be positive, got {self.lag}")
        if self.channel < 0:
            raise InputError(
                f"fault {self.kind!r}: channel must not be negative, got {self.channel}"
            )


@runtime_checkable
class Restartable(Protocol):
    """A controller that can go on in another process."""

    def save(self) -> bytes:
        """Its state."""

    def restore(self, saved: bytes) -> None:
        """Go on from `save`."""


class Loop:
    """The faults of one closed loop with sensors of `ny` outputs and of so many `measured` inputs,
    and `nu` actuators, sample after sample."""

    def __init__(
        self,
        faults: Sequence[Fault],
        controller: Controller,
        u_start: Array,
        *,
        ny: int,
        Ts: float,
        name: str,
        measured: int = 0,
    ) -> None:
        self._controller, self._Ts, self._command, self._saved = controller, Ts, u_start, b""
        self._times = [
            (np.rint(fault.begin / Ts), np.rint(fault.end / Ts), fault) for fault in faults
        ]
        self._frozen: dict[Fault, float] = {}
        self._before: Array | None = None  # the measurement a sample ago, as the controller had it
        for first, last, fault in self._times:
            where = f"scenario {name!r}: fault {fault.kind!r}"
            count = (
                ny + measured
                if fault.kind in SENSOR
                else len(u_start)
                if fault.kind in ACTUATOR
                else 1
            )
            if first == last:
                raise InputError(
                    f"{where}: {fault.begin} to {fault.end} s is less than one sample of {Ts} s"
                )
            if fault.channel >= count:
                raise InputError(
                    f"{where}: there is no channel {fault.channel}, the last one is {count - 1}"
                )
            if fault.kind == "restart" and first == 0:
                raise InputError(
                    f"{where}: it must begin after the first sample, with a state to go on from"
                )
            if fault.kind == "restart" and not isinstance(controller, Restartable):
                raise InputError(
                    f"{where}: the engine {type(controller).__name__} cannot save its state; use"
                    " 'c' or 'c-double'"
                )

    def _now(self, k: int, *kinds: str) -> list[Fault]:
        return [
            fault for first, last, fault in self._times if first <= k < last and fault.kind in kinds
        ]

    def measured(self, k: int, y: Array) -> Array:
        """What the sensors say at sample `k` where `y`, outputs and measured inputs, is right."""
        y = y.copy()
        for fault in self._now(k, *SENSOR):
            at = fault.channel
            if fault.kind == "dropout":
                y[at] = np.nan
            elif fault.kind == "frozen":
                y[at] = self._frozen.setdefault(
                    fault, float(y[at] if self._before is None else self._before[at])
                )
            elif fault.kind == "drift":
                y[at] += (fault.rate or 0.0) * (k * self._Ts - fault.begin)
            else:
                y[at] += fault.size or 0.0
        self._before = y
        return y

    def decided(self, k: int, y: Array, reference: Array, *measured: Array) -> ControlAction:
        """The controller's move; without one, while it is away, its last command. The `measured`
        inputs, where it has such."""
        if self._now(k, "restart"):
            return self._away(y, reference)
        if self._saved and isinstance(self._controller, Restartable):
            # nothing of it is left but what was saved
            self._controller.reset(y, self._command, *measured)
            self._controller.restore(self._saved)
            self._saved = b""
        if not self._now(k, "unsolved"):
            return self._controller.step(y, reference, *measured)
        largest = np.finfo(getattr(self._controller, "real", np.float64)).max
        with np.errstate(over="ignore", invalid="ignore"):
            huge = np.full_like(reference, 0.5 * float(largest))
            return self._controller.step(y, huge, *measured)

    def _away(self, y: Array, reference: Array) -> ControlAction:
        if not self._saved and isinstance(self._controller, Restartable):
            self._saved = self._controller.save()
        nothing = np.full(len(y), np.nan)
        return ControlAction(
            self._command,
            Status.SOLVE_FAILED,
            0,
            np.nan,
            np.full_like(reference[:1], np.nan),
            nothing,
            0.0,
            AWAY,
        )

    def told(self, k: int, command: Array) -> Array:
        """What arrives at the actuators at sample `k` of the `command` (nu,)."""
        arrives = (self._command if self._now(k, "late") else command).copy()
        self._command = command
        for fault in self._now(k, "saturated"):
            arrives[fault.channel] = np.clip(arrives[fault.channel], fault.low, fault.high)
        return arrives

    def held(self, k: int, told: Array, stood: Array, position: Array) -> Array:
        """Where the actuators stand that stood at `stood` (nu,), were `told` to move and would be
        at `position` were they sound."""
        position = position.copy()
        for fault in self._now(k, "stuck", "slow"):
            at, share = (
                fault.channel,
                (0.0 if fault.lag is None else 1.0 - exp(-self._Ts / fault.lag)),
            )
            position[at] = stood[at] + share * (told[at] - stood[at])
        return position
