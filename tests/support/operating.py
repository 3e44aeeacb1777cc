"""A plant in memory that a loop operates, and engines that misbehave."""

import asyncio
import time
from dataclasses import dataclass

import numpy as np

from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.control.controller import OPTIMAL, ControlAction
from lstm_mpc.plants.system import Signal
from lstm_mpc.project.operation.border import Border
from lstm_mpc.project.operation.facts import Facts
from lstm_mpc.project.operation.loop import Loop
from lstm_mpc.project.operation.opcua.client import Lost
from lstm_mpc.project.operation.options import OperateOptions, Wiring
from lstm_mpc.project.operation.readings import Quality, Reading, Snapshot
from lstm_mpc.project.operation.runtime import Runtime

LOW, HIGH, MOVE, TS = 12.5, 17.0, 0.5, 10.0
SPEED = 500.0  # a sample of 10 s lasts 20 ms
TAGS = ("y", "u", "remote", "heartbeat", "mode")


def facts(move=MOVE, single=False):
    border = Border(("u",), [LOW], [HIGH], [move], [move], TS, (single,))
    return Facts(
        (Signal("y", "pH"),),
        (Signal("u", "mL/s", LOW, HIGH),),
        (),
        TS,
        border,
        np.array([15.0]),
        np.array([[4.5, 9.5]]),
        np.array([[5.8, 9.2]]),
        np.array([[3.0, 11.0]]),
        np.array([1.0]),
    )


@dataclass
class Scripted:
    """An engine that answers what `answers` gives, or raises it."""

    answers: object
    in_force: float = 15.0

    def reset(self, y, u, measured=()):
        self.in_force = float(u[0])

    def take(self, u):
        self.in_force = float(u[0])

    def go_on(self, u):
        self.in_force = float(u[0])

    def track(self, y, u, measured=()):
        return self.decide(y, y)

    def decide(self, y, reference, measured=()):
        answer = self.answers(self.in_force)
        if isinstance(answer, Exception):
            raise answer
        nothing = np.zeros(1)
        return ControlAction(answer, OPTIMAL, 1, 0.0, np.zeros((2, 1)), nothing, 0.0, "", nothing)


def wish(step):
    """An engine that always wants to go `step` further."""
    return Scripted(lambda in_force: np.array([in_force + step]))


def loop(engine=None, tags=TAGS, on_event=lambda who, what, text: None, mismatch=None, **options):
    asked = OperateOptions(**options)
    return Loop(facts(), engine or wish(0.1), asked, tags, on_event, mismatch)


def good(value, stamp):
    return Reading(value, Quality.GOOD, "Good", stamp, stamp)


class Bench:
    """A plant that takes every write, with a clock of its own."""

    def __init__(self, loop, u=15.0, y=7.0):
        self.loop, self.u, self.y, self.now, self.writes = loop, u, y, 0.0, []
        self.beat, self.others = 0, {}

    def snapshot(self, **changed):
        stamp = 1e9 + self.now
        values = {"y": self.y, "u": self.u, "remote": True, "heartbeat": self.beat, **self.others}
        readings = {tag: good(value, stamp) for tag, value in values.items()} | changed
        return Snapshot({tag: r for tag, r in readings.items() if r is not None})

    def sample(self, snapshot=None, *, missed=0, takes=True, **changed):
        self.now += TS * (1 + missed)
        self.beat += 1
        snapshot = self.snapshot(**changed) if snapshot is None else snapshot
        values = self.loop.write(snapshot, self.now, missed)
        if values is None:
            return self.loop.confirm(None)
        if takes:
            self.writes.append((self.u, float(values[0])))
            self.u = float(values[0])
        return self.loop.confirm(self.snapshot())


class InMemory:
    """A connection to a first-order pH behind q3, sampled whenever it is read."""

    tags = ("pH", "q3", "remote", "heartbeat", "state")
    url, single = "memory", (False,)

    def __init__(self, fast=None):
        self.u, self.y, self.k, self.writes = 15.2, 7.0, 0, []
        self.gone, self.nap, self.fast, self.modes = False, 0.0, fast, []

    async def open(self):
        if self.gone:
            raise Lost("memory: gone")

    async def close(self):
        """Nothing is open."""

    async def speed(self):
        return self.fast

    async def read(self):
        if self.gone:
            raise Lost("memory: gone")
        time.sleep(self.nap)
        self.nap, self.k = 0.0, self.k + 1
        self.y += 0.2 * (7.0 + 0.8 * (self.u - 15.2) - self.y)
        return self.snapshot()

    def snapshot(self):
        values = {"pH": self.y, "q3": self.u, "remote": True, "heartbeat": self.k}
        now = time.time()
        return Snapshot({tag: good(value, now) for tag, value in values.items()})

    async def exchange(self, values, mode, beat):
        if self.gone:
            raise Lost("memory: gone")
        self.modes.append(mode)
        if values is None:
            return None
        self.writes.append((self.u, float(values[0])))
        self.u = float(values[0])
        return self.snapshot()


def runtime_of(cleared, plant, path, engine="c", events=None):
    heard = [] if events is None else events
    # a sample lasts 20 ms, and a machine may be busy for long
    patient = OperateOptions(resume_samples=10_000)
    wiring = Wiring(operation=patient, nodes={tag: tag for tag in plant.tags})
    return Runtime(
        "ph",
        cleared,
        wiring,
        path,
        speed=SPEED,
        connection=plant,
        engine=(engine, MPC.of(cleared.spec, engine).wrapped),
        on_event=lambda *event: heard.append(event),
    )


async def samples(runtime, count):
    until = runtime.counts.samples + count
    async with asyncio.timeout(10), runtime.changed:
        await runtime.changed.wait_for(lambda: runtime.counts.samples >= until)
