"""A loop in time: every sample by the monotonic clock it is read, decided, written, read back and
kept; a connection that is lost is made anew beside it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lstm_mpc.assurance.clearance import Cleared, checked_clearance
from lstm_mpc.codegen.compiler import compiler
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.control.engines.sqp import Sqp
from lstm_mpc.control.observers.model_alarm import ModelAlarm, alarm_of
from lstm_mpc.errors import InputError
from lstm_mpc.io.artefact_file import VERSION
from lstm_mpc.plants.system import Array
from lstm_mpc.project.operation.duty import SELF
from lstm_mpc.project.operation.facts import Engine, Facts, Record
from lstm_mpc.project.operation.history import History, Kept
from lstm_mpc.project.operation.loop import Loop
from lstm_mpc.project.operation.modes import Mode
from lstm_mpc.project.operation.opcua.client import Lost, OpcUa
from lstm_mpc.project.operation.options import HEARTBEAT, Wiring
from lstm_mpc.project.operation.readings import Snapshot

_WINDOW = 200  # [samples] of history that an observer without a state is led through
_TREND = 720  # samples that are kept for the page
_PHASE = 0.25  # [samples] after the plant's own scan
_LATE = 0.5  # [samples] beyond which a sample has lost its turn


@dataclass
class Counts:
    """What became of the samples of a run: all, flagged, missed, late by more than a tenth, writes,
    connections lost; the longest lateness [s] and the computing time [s], solve and all."""

    samples: int = 0
    flagged: int = 0
    missed: int = 0
    late: int = 0
    writes: int = 0
    lost: int = 0
    latest: float = 0.0
    cpu: float = 0.0
    solve: float = 0.0


def usual_engine() -> str:
    """The exported C, "c"; where no compiler is, the engine in Python, "sqp"."""
    try:
        compiler()
    except InputError:
        return "sqp"
    return "c"


def engine_of(spec: ControllerSpec) -> tuple[str, Engine]:
    """The name of `usual_engine`, and the engine."""
    if (name := usual_engine()) == "c":
        return name, Compiled(spec.sources)
    return name, Sqp(spec.release, spec.problem, spec.solver)


class Connection(Protocol):
    """What a runtime asks of a connection; see `OpcUa`."""

    @property
    def url(self) -> str: ...
    @property
    def single(self) -> tuple[bool, ...]: ...
    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def read(self) -> Snapshot: ...
    async def exchange(self, values: Array | None, mode: Mode, beat: int) -> Snapshot | None: ...
    async def speed(self) -> float | None: ...


class Runtime:
    """A cleared controller beside a plant.

    Args:
        name: What it is called.
        cleared: The controller.
        wiring: Where the plant is.
        history: The file that keeps what happens.
        speed: How many times faster than real a simulated plant is.
        engine: Name and engine, by default `engine_of` the controller.
        connection: To the plant; by default an OPC UA client.
        on_event: Hears who did what.

    Raises:
        Refused: The controller does not pass its gate once more: it was altered.
    """

    def __init__(
        self,
        name: str,
        cleared: Cleared,
        wiring: Wiring,
        history: Path,
        *,
        speed: float = 1.0,
        engine: tuple[str, Engine] | None = None,
        connection: Connection | None = None,
        on_event: Callable[[str, str, str], None] = lambda who, what, text: None,
    ) -> None:
        cleared = self.cleared = checked_clearance(cleared)  # what was altered since is refused
        self.name, self.wiring, self.speed = name, wiring, speed
        self.engine_name, self._engine = engine or engine_of(cleared.spec)
        self.pace = cleared.spec.model.Ts / speed
        facts = self._facts = Facts.of(cleared)
        patience = min(4.0, 0.4 * self.pace)
        self.connection: Connection = connection or OpcUa(
            wiring, facts.outputs, facts.inputs, max(patience, 0.05)
        )
        self.counts, self.trend = Counts(), deque[Record](maxlen=_TREND)
        self.changed, self._hear, self._path = asyncio.Condition(), on_event, history
        self._repair: asyncio.Task[None] | None = None
        self._lost, self._beat = "", 0
        self.loop: Loop | None = None
        self.history: History | None = None

    async def run(self, stop: asyncio.Event) -> Counts:
        """Operate until `stop` is set.

        Raises:
            InputError: The server is another one, a node does not fit, or the history is not ours.
        """
        await self._reach(stop)
        if stop.is_set():
            return self.counts
        try:
            self.loop, missed = self._begun()
            due = time.monotonic() + await self._phase()
            while not await _waited(stop, due):
                late = time.monotonic() - due
                lost = int(late / self.pace + _LATE)  # what has no turn any more
                if lost:
                    missed, due = missed + lost, due + lost * self.pace
                    if time.monotonic() < due:
                        continue
                await self._sample(max(late - lost * self.pace, 0.0), missed)
                missed, due = 0, due + self.pace
        finally:
            await self._end()
        return self.counts

    # -- the sample --------------------------------------------------------------------------------

    async def _sample(self, late: float, missed: int) -> None:
        assert self.loop is not None
        assert self.history is not None
        loop, now, cpu = self.loop, time.monotonic(), time.thread_time()
        try:
            snapshot = await self.connection.read()
            self._lost = ""
        except Lost as lost:
            snapshot = self._was_lost(lost)
        values = loop.write(snapshot, now, missed)
        readback: Snapshot | None = None
        self._beat += 1
        try:
            if not snapshot.lost:
                readback = await self.connection.exchange(values, loop.mode, self._beat % 2**31)
        except Lost as lost:
            readback = self._was_lost(lost) if values is not None else None
        loop.alarms.set("connection", bool(self._lost), self._lost, loop.k)
        loop.alarms.set("late", bool(missed), f"{missed} sample(s) had no turn", loop.k)
        record = loop.confirm(readback)
        cpu = time.thread_time() - cpu
        self.history.sample(record, late=late, cpu=cpu)
        self.history.save(self._kept(), self._state())
        loop.alarms.set("history", bool(self.history.trouble), self.history.trouble, loop.k)
        self._count(record, late, cpu)
        self.trend.append(record)
        async with self.changed:
            self.changed.notify_all()

    def _count(self, record: Record, late: float, cpu: float) -> None:
        c = self.counts
        c.samples, c.missed = c.samples + 1, c.missed + record.missed
        c.flagged, c.late = c.flagged + record.flagged, c.late + (late > 0.1 * self.pace)
        c.writes += bool(np.isfinite(record.written).all())
        c.latest, c.cpu, c.solve = max(c.latest, late), c.cpu + cpu, c.solve + record.seconds

    def _was_lost(self, lost: Lost) -> Snapshot:
        """The connection is lost: it is made anew beside the samples."""
        self.counts.lost += not self._lost
        self._lost = self._lost or str(lost)
        if self._repair is None or self._repair.done():
            self._repair = asyncio.create_task(self._repaired())
        return Snapshot(lost=f"no connection: {lost}")

    async def _repaired(self) -> None:
        while True:
            try:
                await self.connection.open()
                return
            except (Lost, InputError) as error:
                self._lost = str(error)
                await asyncio.sleep(min(1.0, 0.25 * self.pace))

    # -- beginning and end -------------------------------------------------------------------------

    async def _reach(self, stop: asyncio.Event) -> None:
        """Connect for the first time; a server that is not there yet is waited for."""
        heard, fast = False, None
        while not stop.is_set():
            try:
                await self.connection.open()
                fast = await self.connection.speed()
                break
            except Lost as lost:
                if not heard:
                    self._hear(SELF, "connection", f"waits for the server: {lost}")
                heard = True
                await _waited(stop, time.monotonic() + 1.0)
        if fast is not None and fast != self.speed:
            await self.connection.close()
            raise InputError(
                f"{self.connection.url}: simulates {fast:g} times faster than real; give --speed"
                f" {fast:g}"
            )

    def _begun(self) -> tuple[Loop, int]:
        """The loop as it goes on, or begins, and the samples that were missed since."""
        spec, border = self.cleared.spec, self._facts.border
        border = replace(border, Ts=self.pace, single=self.connection.single)
        facts = replace(self._facts, Ts=self.pace, border=border)
        about = {
            "lstm_mpc": VERSION,
            "model": spec.model.digest,
            "controller": spec.controller,
            "source": spec.source_digest,
            "engine": self.engine_name,
            "url": self.connection.url,
            "Ts": spec.model.Ts,
            "speed": self.speed,
            "evidence": [list(pair) for pair in self.cleared.evidence],
        }
        history = self.history = History(self._path, facts, about)

        def tell(who: str, what: str, text: str) -> None:
            history.event(loop.k, who, what, text)
            self._hear(who, what, text)

        options, tags = self.wiring.operation, self.wiring.tags
        loop = Loop(facts, self._engine, options, tags, tell, self._mismatch())
        kept = history.kept()
        if kept is None or kept.elapsed is None:
            return loop, 0
        gap = round(kept.elapsed / self.pace)
        if gap > self.wiring.operation.resume_samples:
            return loop, 0
        if self._restored(kept):
            loop.resume(dict(kept.content), time.monotonic(), kept.elapsed)
            return loop, max(gap - 1, 0)
        loop.warm(history.window(facts, _WINDOW))
        return loop, max(gap - 1, 0) if loop.begun else 0

    def _mismatch(self) -> ModelAlarm | None:
        """The alarm of the release's error tube; none where it has no such, which is said."""
        try:
            return alarm_of(self.cleared.spec.release, self.cleared.spec.problem)
        except InputError as error:
            self._hear(SELF, "mismatch", f"by the observer's disturbance alone: {error}")
            return None

    def _restored(self, kept: Kept) -> bool:
        """Does the engine go on from its saved state?"""
        if not isinstance(self._engine, Compiled) or not kept.content.get("begun"):
            return False
        try:
            self._engine.restore(kept.engine)
        except InputError:  # of another controller
            return False
        return True

    def _kept(self, *, stopped: bool = False) -> dict[str, Any]:
        assert self.loop is not None
        return {**self.loop.kept(), "begun": self.loop.begun, "stopped": stopped}

    def _state(self) -> bytes:
        return self._engine.save() if isinstance(self._engine, Compiled) else b""

    async def _phase(self) -> float:
        """How long to wait [s] so that samples come a little after the plant's own, which its
        heartbeat tells."""
        if HEARTBEAT not in self.wiring.tags:
            return 0.0
        first, until = None, time.monotonic() + 1.5 * self.pace
        while time.monotonic() < until:
            try:
                beat = (await self.connection.read()).of(HEARTBEAT).value
            except Lost:
                return 0.0
            if first is not None and beat != first:
                return _PHASE * self.pace
            first = beat
            await asyncio.sleep(0.02 * self.pace)
        return 0.0

    async def _end(self) -> None:
        """An orderly end: the plant keeps what it has, the next start is no restart."""
        if self._repair is not None:
            self._repair.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._repair
        if self.history is not None and self.loop is not None:
            self.history.event(self.loop.k, SELF, "stop", f"ends in {self.loop.mode.name}")
            self.history.save(self._kept(stopped=True), self._state())
            self.history.close()
        await self.connection.close()


async def _waited(stop: asyncio.Event, due: float) -> bool:
    """Wait until `due` by the monotonic clock; True where it is to stop."""
    left = due - time.monotonic()
    if left <= 0:
        await asyncio.sleep(0)
        return stop.is_set()
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), left)
    return stop.is_set()
