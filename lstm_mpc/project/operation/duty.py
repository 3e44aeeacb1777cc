"""Who drives: the mode of a loop, what people ask of it, and when control ends by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.control.controller import ControlAction
from lstm_mpc.control.observers.model_alarm import ModelAlarm
from lstm_mpc.control.observers.options import per_signal
from lstm_mpc.plants.system import Array
from lstm_mpc.project.operation.alarms import Alarm, Alarms
from lstm_mpc.project.operation.facts import Facts
from lstm_mpc.project.operation.modes import Answer, Mode, Request, mode_of
from lstm_mpc.project.operation.options import REMOTE, SETPOINT, OperateOptions
from lstm_mpc.project.operation.readings import numbers

Teller = Callable[[str, str, str], None]  # who, what, text
SELF = "the controller"
_LASTING = 10  # [samples] after which saturation and mismatch are alarms


def silent(who: str, what: str, text: str) -> None:
    """Nobody listens."""


class Duty:
    """The mode of a loop and its setpoints (ny,), and in MANUAL the `target` (nu,) that the inputs
    are led to, NaN for none. Every change has a new `revision`; `on_event` hears of it."""

    def __init__(
        self,
        facts: Facts,
        options: OperateOptions,
        tags: Sequence[str],
        on_event: Teller = silent,
        mismatch: ModelAlarm | None = None,
    ) -> None:
        self.facts, self.options, self.tags = facts, options, frozenset(tags)
        self._tell, self._mismatch = on_event, mismatch
        self.alarms = Alarms(lambda what, alarm: self._alarmed(what, alarm))
        nu, ny = len(facts.inputs), len(facts.outputs)
        span = facts.border.high - facts.border.low
        given = 1e-4 * span if options.resolution is None else options.resolution
        self.resolution = per_signal(given, nu, "resolution")
        self.k, self.mode, self.revision = 0, Mode.OFF, 0
        self.setpoint, self.target = np.full(ny, np.nan), np.full(nu, np.nan)
        self.in_force = np.full(nu, np.nan)
        self.begun, self.bad = False, 0
        self.remote = REMOTE not in self.tags  # may we write at all?
        self._saturated, self._unlike = 0, 0
        self._pending = Mode[options.start]  # taken as soon as a good sample is there

    @property
    def served(self) -> bool:
        """Do the setpoints come from the server?"""
        return any(s.name + SETPOINT in self.tags for s in self.facts.outputs)

    @property
    def driving(self) -> bool:
        """Is it us who move the inputs?"""
        by_hand = self.mode == Mode.MANUAL and bool(np.isfinite(self.target).all())
        return self.mode == Mode.AUTO or by_hand

    def request(self, request: Request) -> Answer:
        """Do what a person asks, or say why not; either is kept.

        Args:
            request: Who asks for what.

        Returns:
            Whether it was granted.
        """
        if request.seen is not None and request.seen != self.revision:
            answer = Answer(False, "somebody changed the loop since you looked; look again")
        else:
            answer = self._judged(request)
        words = f"{request.value!r:.80}" + ("" if answer.granted else f" refused: {answer.reason}")
        self._tell(request.who, request.what, words)
        return answer

    def _judged(self, request: Request) -> Answer:
        if request.what == "mode":
            return self._ask_mode(request)
        if request.what == "acknowledge":
            found = self.alarms.acknowledge(str(request.value), request.who)
            return Answer(found, "" if found else "there is no such alarm to acknowledge")
        if request.what in ("setpoint", "output"):
            return self._ask_values(request)
        return Answer(False, "nobody can do that")

    def _ask_mode(self, request: Request) -> Answer:
        mode = mode_of(request.value)
        if mode is None:
            return Answer(False, f"a mode is one of {', '.join(Mode.__members__)}")
        if not self.begun:
            return Answer(False, "no good sample has come yet")
        if mode == Mode.AUTO and (why := self.auto_refusal()):
            return Answer(False, why)
        self._become(mode, request.who, "asked")
        return Answer(True)

    def auto_refusal(self) -> str:
        """Why the loop cannot go to AUTO now; nothing where it can."""
        if not self.begun or self.bad:
            return "the last sample was not good"
        if not self.remote:
            return "the server does not permit writing"
        if not np.isfinite(self.in_force).all():
            return "it is not known what is in force"
        if not self.facts.border.inside(self.in_force):
            return f"{self.facts.border.outside(self.in_force)}; bring it there by hand"
        return ""

    def _ask_values(self, request: Request) -> Answer:
        setpoint = request.what == "setpoint"
        signals = self.facts.outputs if setpoint else self.facts.inputs
        values = numbers(request.value)
        if values.shape != (len(signals),) or not np.isfinite(values).all():
            return Answer(False, f"{len(signals)} number(s) are needed")
        border = self.facts.border
        ends = self.facts.safe_set if setpoint else np.stack([border.low, border.high], axis=1)
        for s, value, (low, high) in zip(signals, values, ends, strict=True):
            if not low <= value <= high:
                return Answer(
                    False, f"{s.name} = {value:g} is outside [{low:g}, {high:g}] {s.unit}"
                )
        if setpoint and self.served:
            return Answer(False, "the setpoints come from the server")
        if setpoint and self.mode in (Mode.OFF, Mode.MANUAL):
            return Answer(False, f"in {self.mode.name} the setpoint follows the output")
        if not setpoint and (self.mode != Mode.MANUAL or self.auto_refusal()):
            return Answer(False, self.auto_refusal() or "inputs are moved by hand in MANUAL")
        if setpoint:
            self.setpoint = values
        else:
            self.target = values
        self.revision += 1
        return Answer(True)

    def shed(self, why: str, *, safe: bool) -> None:
        """Control ends by itself: MANUAL, where the inputs are or on the way to the safe ones."""
        if self.mode == Mode.AUTO:
            self.alarms.set("shed", True, f"AUTO ended: {why}", self.k)
        self._become(Mode.MANUAL, SELF, why)
        if safe:
            self.target = self.facts.u_safe.copy()

    def _become(self, mode: Mode, who: str, why: str) -> None:
        self.target = np.full(len(self.facts.inputs), np.nan)
        if mode != self.mode or who != SELF:
            self._tell(who, "mode", f"{self.mode.name} -> {mode.name}: {why}")
        self.mode, self.revision = mode, self.revision + 1
        if mode == Mode.AUTO:
            self.alarms.set("shed", False, "", self.k)

    def _alarmed(self, what: str, alarm: Alarm) -> None:
        self.revision += what == "acknowledged"
        who = alarm.acknowledged if what == "acknowledged" else SELF
        self._tell(who, f"alarm {what}", f"{alarm.name}: {alarm.text}")

    def watch_over(self, y: Array, measured: Array, action: ControlAction | None) -> None:
        """Alarms of a sample with outputs `y` (ny,) and `measured` inputs (nd,): an input at its
        limit, an output out of the safe set, a plant unlike the model."""
        facts = self.facts
        border, k = facts.border, self.k
        room = 1e-6 * (border.high - border.low)
        at_end: NDArray[np.bool_] = (self.in_force <= border.low + room) | (
            self.in_force >= border.high - room
        )
        self._saturated = self._saturated + 1 if self.driving and at_end.any() else 0
        names = ", ".join(s.name for s, end in zip(facts.inputs, at_end, strict=True) if end)
        self.alarms.set("saturation", self._saturated >= _LASTING, f"{names} at its limit", k)
        ends = np.stack([facts.safe_set, facts.soft])
        low, high = ends[:, :, 0].max(axis=0), ends[:, :, 1].min(axis=0)
        beyond: NDArray[np.bool_] = (y < low) | (y > high)
        names = ", ".join(s.name for s, out in zip(facts.outputs, beyond, strict=True) if out)
        self.alarms.set("constraint", bool(beyond.any()), f"{names} beyond its limits", k)
        self._watch_model(y, measured, action)

    def _watch_model(self, y: Array, measured: Array, action: ControlAction | None) -> None:
        """The alarm of a plant unlike the model: beyond the error tube of the release, or, where it
        has none, at the end of what the observer may explain."""
        facts, alarm = self.facts, self._mismatch
        if alarm is not None and self.begun:
            beyond = alarm.step(y, self.in_force, measured)
            self._unlike = alarm.tube.block if beyond else max(self._unlike - 1, 0)
            text = (
                "the plant is not as the model: further from it in open loop than its error tube;"
                f" without a cause in at most {alarm.tube.alpha:.0%} of all blocks of"
                f" {alarm.tube.block} samples"
            )
            self.alarms.set("mismatch", self._unlike > 0, text, self.k)
        elif alarm is None and facts.max_disturbance.size and action is not None:
            share = np.abs(action.input_disturbance) / facts.max_disturbance
            unlike = bool((share >= self.options.mismatch).any())
            self._unlike = self._unlike + 1 if unlike else 0
            text = (
                "the plant is not as the model: the observer is at the end of what it may explain"
            )
            self.alarms.set("mismatch", self._unlike >= _LASTING, text, self.k)

    # -- kept over a restart -----------------------------------------------------------------------

    def kept(self) -> dict[str, Any]:
        """What another process goes on from, as JSON types, beside the state of the engine."""
        numbers = {
            key: [None if v != v else v for v in getattr(self, key).tolist()]
            for key in ("setpoint", "target", "in_force")
        }
        return {"k": self.k, "mode": self.mode.name, "revision": self.revision, **numbers}

    def take_up(self, kept: dict[str, Any]) -> None:
        """Go on from `kept`, in its mode; after an orderly end in that of a start."""
        self.k, self.revision = int(kept["k"]), int(kept["revision"]) + 1
        for key in ("setpoint", "target", "in_force"):
            setattr(self, key, _numbers(kept[key], len(getattr(self, key))))
        self.mode, self.begun = Mode[kept["mode"]], True
        if kept.get("stopped"):
            self._become(self._pending, SELF, "start")
        self._tell(SELF, "restart", f"goes on in {self.mode.name}")


def _numbers(values: Any, count: int) -> Array:
    array = np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)
    if array.shape != (count,):
        raise ValueError(f"{count} numbers are needed")
    return array
