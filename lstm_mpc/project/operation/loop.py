"""One loop, sample after sample: what was read becomes what is written, or a reason why nothing is.
No clock, no network and no file: `runtime` has those."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from lstm_mpc.control.controller import OPTIMAL, ControlAction
from lstm_mpc.control.observers.model_alarm import ModelAlarm
from lstm_mpc.plants.system import Array, Signal
from lstm_mpc.project.operation.duty import SELF, Duty, Teller, silent
from lstm_mpc.project.operation.facts import Engine, Facts, Record
from lstm_mpc.project.operation.modes import SERVER, Mode, Request, mode_of
from lstm_mpc.project.operation.options import (
    HEARTBEAT,
    MODE,
    REMOTE,
    SETPOINT,
    OperateOptions,
)
from lstm_mpc.project.operation.readings import (
    Heartbeat,
    Quality,
    Snapshot,
    Watch,
    number,
    numbers,
)

_BRIDGED = 100  # missed samples that the observer is led through


class Loop(Duty):
    """A loop that is asked once a sample what to `write`, and told with `confirm` what came of it.

    Args:
        facts: What it is told of the controller.
        engine: What decides.
        options: How it runs.
        tags: What is mapped.
        on_event: Hears of modes, setpoints and alarms.
        mismatch: Says when plant and model part, where the release has an error tube.
    """

    def __init__(
        self,
        facts: Facts,
        engine: Engine,
        options: OperateOptions,
        tags: Sequence[str],
        on_event: Teller = silent,
        mismatch: ModelAlarm | None = None,
    ) -> None:
        super().__init__(facts, options, tags, on_event, mismatch)
        self.engine = engine
        age = 3 * facts.Ts if options.max_age is None else options.max_age
        self._watches = {
            s.name: Watch(age, options.frozen_after, *ends)
            for s, ends in zip(facts.outputs, facts.sensor.tolist(), strict=True)
        }
        self._watches |= {s.name: Watch() for s in facts.inputs}
        self._watches |= {s.name: Watch(age, 0, s.low, s.high) for s in facts.measured}
        self._beat = Heartbeat(options.heartbeat_samples if HEARTBEAT in self.tags else 0)
        self._same = np.maximum(self.resolution, 1e-6 * (facts.border.high - facts.border.low))
        self._asked: Any = None  # the last mode that the server asked for
        self._expected: list[Array] = []  # what may be in force if nobody else wrote
        self._believed: Array | None = None  # what the engine takes to be in force
        self._y = np.full(len(facts.outputs), np.nan)
        self._measured = np.full(len(facts.measured), np.nan)
        self._written, self._wrote_at = np.full(len(facts.inputs), np.nan), -inf
        self._missed, self._untaken = 0, 0  # samples missed, writes in a row that were not taken
        self._reasons: dict[str, str] = {}
        self._action: ControlAction | None = None

    def resume(self, kept: dict[str, Any], now: float, elapsed: float) -> None:
        """Go on from what another process kept, `elapsed` [s] after it."""
        self.take_up(kept)
        self._wrote_at = now - elapsed
        self._believed = self.in_force
        self._model_begins(self.in_force)
        self._expected = [self.in_force] if np.isfinite(self.in_force).all() else []

    def warm(self, rows: Sequence[Sequence[float | None]]) -> None:
        """Begin from the past: inputs in force, measured inputs and outputs, oldest first."""
        nu, nd = len(self.facts.inputs), len(self.facts.measured)
        for row in rows:
            values = np.array([np.nan if v is None else v for v in row], dtype=np.float64)
            u, self._measured, y = values[:nu], values[nu : nu + nd], values[nu + nd :]
            if not np.isfinite(u).all() or not (self.begun or np.isfinite(y).all()):
                continue
            self._remember(y, u)
        if self.begun and self._believed is not None:
            self._model_begins(self._believed)
            self._become(self._pending, SELF, "begins from its history")

    def _remember(self, y: Array, u: Array) -> None:
        """A sample of the past, which the engine begins with or tracks."""
        if not self.begun:
            self.begun = self._guarded(lambda: self.engine.reset(y, u, *self._feeds()))
            self.setpoint = y
        self._guarded(lambda: self.engine.track(y, u, *self._feeds()))
        self._believed = u

    # -- a sample ----------------------------------------------------------------------------------

    def write(self, snapshot: Snapshot, now: float, missed: int = 0) -> Array | None:
        """The first half of a sample.

        Args:
            snapshot: What was read.
            now: Monotonic time [s].
            missed: Samples since the last one that had no turn.

        Returns:
            The inputs to be written, (nu,) [engineering]; None where nothing is.
        """
        self.k, self._missed, self._action = self.k + 1 + missed, missed, None
        self._written = np.full(len(self.facts.inputs), np.nan)
        sound = self._read(snapshot, now)
        self._begin(sound)
        self._count(sound)
        self._obey(snapshot)
        if not self.begun:
            return None
        self._bridge(missed)
        self._decide()
        wanted = self._wanted()
        if wanted is None:
            return None
        verdict = self.facts.border.admit(wanted, self.in_force, now - self._wrote_at)
        self.alarms.set("border", verdict.values is None, verdict.reason, self.k)
        if verdict.values is None:
            self._reasons["border"] = verdict.reason
            self.shed(f"the border: {verdict.reason}", safe=False)
            return None
        self._written, self._wrote_at = verdict.values, now
        return verdict.values

    def confirm(self, readback: Snapshot | None) -> Record:
        """The second half.

        Args:
            readback: What the plant holds after a write; None where nothing was written.

        Returns:
            The sample as it was.
        """
        before = self.in_force
        if readback is not None:
            self._take_readback(readback)
        action = self._action
        if action is not None:
            best = self.in_force
            for other in (self._written, before, self._believed):
                if other is not None:
                    best = np.where(np.isfinite(best), best, other)
            if np.isfinite(best).all() and self._guarded(lambda: self.engine.go_on(best)):
                self._believed = best
        self.watch_over(self._y, self._measured, action)
        shown = action if self.mode != Mode.OFF else None
        nu, ny = len(self.facts.inputs), len(self.facts.outputs)
        return Record(
            self.k,
            self.mode,
            self._y.copy(),
            self.setpoint.copy(),
            self.in_force.copy(),
            self._measured.copy(),
            shown.u if shown else np.full(nu, np.nan),
            self._written.copy(),
            action.flags if action else OPTIMAL,
            dict(self._reasons),
            self._missed,
            np.array(shown.predicted) if shown else np.zeros((0, ny)),
            action.seconds if action else 0.0,
        )

    # -- what came ---------------------------------------------------------------------------------

    def _read(self, snapshot: Snapshot, now: float) -> bool:
        """Take in what was read; is it all that control needs?"""
        self._reasons = {}

        def values(signals: Sequence[Signal]) -> Array:
            found = []
            for s in signals:
                value, why = self._watches[s.name].judge(snapshot.of(s.name), now)
                found.append(value)
                if why:
                    self._reasons[s.name] = why
            return np.array(found, dtype=np.float64)

        self._y, u = values(self.facts.outputs), values(self.facts.inputs)
        self._measured = values(self.facts.measured)
        sound = bool(np.isfinite(self._y).all() and np.isfinite(u).all())
        if not self._beat.alive(snapshot.of(HEARTBEAT)):
            self._reasons[HEARTBEAT], sound = "the server's heartbeat stands still", False
        if REMOTE in self.tags:
            remote = snapshot.of(REMOTE)
            good = remote.quality == Quality.GOOD and isinstance(remote.value, (bool, int))
            self.remote = good and bool(remote.value)
            if not good:
                self._reasons[REMOTE], sound = remote.status or "is neither true nor false", False
        self._setpoints(snapshot)
        self._other_hand(u)
        self.in_force = u
        return sound

    def _setpoints(self, snapshot: Snapshot) -> None:
        """The setpoints of the server, where they are mapped: the last valid one stays."""
        for j, s in enumerate(self.facts.outputs):
            tag = s.name + SETPOINT
            if tag not in self.tags:
                continue
            reading, (low, high) = snapshot.of(tag), self.facts.safe_set[j]
            value = number(reading.value)
            if reading.quality != Quality.GOOD:
                self._reasons[tag] = reading.status
            elif low <= value <= high:
                self.setpoint[j] = value
            else:
                self._reasons[tag] = (
                    f"{reading.value!r:.40} is outside the safe set [{low:.6g}, {high:.6g}]"
                )

    def _other_hand(self, u: Array) -> None:
        """Whoever else moved an input has it: control ends."""
        if not np.isfinite(u).all():
            return
        if self._expected and self.driving:
            near = [(np.abs(u - e) <= self._same).all() for e in self._expected]
            if not any(near):
                text = f"{u.tolist()} is in force, not {self._expected[-1].tolist()}"
                self.alarms.set("another hand", True, text, self.k)
                self._reasons["another hand"] = text
                self.shed(f"another hand: {text}", safe=False)
        self._expected = [u]

    def _begin(self, sound: bool) -> None:
        """The first good sample: the engine begins at what is measured."""
        if self.begun or not sound:
            return
        y, u = self._y, self.in_force
        self.begun = self._guarded(lambda: self.engine.reset(y, u, *self._feeds()))
        self.setpoint = np.where(np.isfinite(self.setpoint), self.setpoint, y)
        if self.begun:
            self._believed = u
            self._model_begins(u)
            self._become(self._pending, "start", "first good sample")

    def _model_begins(self, u: Array) -> None:
        """The model that nothing corrects begins at rest under the inputs (nu,)."""
        if self._mismatch is not None:
            self._mismatch.reset(u, *self._feeds())

    def _count(self, sound: bool) -> None:
        """Count bad samples; too many end AUTO, and so does a server that forbids to write."""
        self.bad = 0 if sound else self.bad + 1
        why = "; ".join(f"{tag} {words}" for tag, words in self._reasons.items())
        self.alarms.set("signals", self.bad > 0, why, self.k)
        if sound and self.driving:
            self.alarms.set("another hand", False, "", self.k)
        if self.mode == Mode.AUTO and self.bad >= self.options.shed_after:
            self.shed(f"{self.bad} bad samples ({why})", safe=self.options.fallback == "safe")
        if self.driving and not self.remote and REMOTE not in self._reasons:
            self.shed("the server took back the permission to write", safe=False)

    def _obey(self, snapshot: Snapshot) -> None:
        """A mode that the server asks for anew."""
        reading = snapshot.of(MODE)
        if MODE not in self.tags or reading.quality != Quality.GOOD:
            return
        first, same = self._asked is None, reading.value == self._asked
        self._asked = reading.value
        if not first and not same and (mode := mode_of(reading.value)) is not None:
            self.request(Request(SERVER, "mode", mode.name))

    # -- what is decided ---------------------------------------------------------------------------

    def _bridge(self, missed: int) -> None:
        """Lead the observer through samples that had no turn, and tell it of inputs that others
        moved."""
        held, nothing = self.in_force, np.full(len(self.facts.outputs), np.nan)
        if not np.isfinite(held).all():
            return
        for _ in range(min(missed, _BRIDGED)):
            self._guarded(lambda: self.engine.track(nothing, held, *self._feeds()))
            if self._mismatch is not None:
                self._mismatch.step(nothing, held, *self._feeds())
        span = self.facts.border.high - self.facts.border.low
        if self._believed is None or (np.abs(self._believed - held) > 1e-6 * span).any():
            self._guarded(lambda: self.engine.take(held))

    def _decide(self) -> None:
        if self.mode in (Mode.OFF, Mode.MANUAL) and not self.served:
            self.setpoint = np.where(np.isfinite(self._y), self._y, self.setpoint)

        def decide() -> None:
            action = self.engine.decide(self._y, self.setpoint, *self._feeds())
            u = numbers(action.u)
            if u.shape != self.in_force.shape:
                raise ValueError(f"it gave {action.u!r:.60} for {len(self.in_force)} input(s)")
            self._action = replace(action, u=u)

        self._guarded(decide)

    def _wanted(self) -> Array | None:
        """What somebody wants to write in this mode; None where nothing is or may be."""
        if not (self.driving and self.remote and np.isfinite(self.in_force).all()):
            return None
        if self.mode == Mode.MANUAL:
            border = self.facts.border
            way = np.clip(self.target - self.in_force, -border.max_move_down, border.max_move)
            wanted = np.clip(self.in_force + way, border.low, border.high)
        elif self._action is None:
            return None
        else:
            wanted = self._action.u
        small = np.abs(wanted - self.in_force) <= self.resolution
        return None if small.all() else wanted

    def _feeds(self) -> tuple[Array, ...]:
        """The measured inputs, where the model has such."""
        return (self._measured,) if self._measured.size else ()

    def _guarded(self, call: Callable[[], object]) -> bool:
        """Call the engine; one that fails ends control and nothing else."""
        try:
            call()
        except Exception as error:  # whatever it is, the plant keeps what it has
            text = f"{type(error).__name__}: {error}"
            self._reasons["engine"] = text
            self.alarms.set("engine", True, text, self.k)
            if self.driving:
                self.shed(f"the engine failed: {text}", safe=False)
            return False
        return True

    # -- what came of it ---------------------------------------------------------------------------

    def _take_readback(self, readback: Snapshot) -> None:
        names = [s.name for s in self.facts.inputs]
        held = np.array([number(readback.of(name).value) for name in names])
        good = [readback.of(name).quality == Quality.GOOD for name in names]
        held = np.where(good, held, np.nan)
        taken = bool((np.abs(held - self._written) <= self._same).all())
        text = readback.lost or f"{self._written.tolist()} was written, {held.tolist()} is in force"
        self.alarms.set("write", not taken, text, self.k)
        self._untaken = 0 if taken else self._untaken + 1
        if not taken:
            self._reasons["write"] = text
        if self.driving and self._untaken >= self.options.shed_after:
            self.shed(f"{self._untaken} writes were not taken ({text})", safe=False)
        # where nothing can be read it may have arrived or not
        known = bool(np.isfinite(held).all())
        self._expected = [held] if known else [self.in_force, self._written]
        self.in_force = held
