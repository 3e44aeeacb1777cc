"""The closed loop on a simulated plant, and what to say about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.control.move import Controller, Move
from lstm_mpc.errors import InputError
from lstm_mpc.excitation import Steps
from lstm_mpc.system import Array, System, rest


@dataclass(frozen=True)
class Scenario:
    """One closed-loop run: setpoints and disturbances as steps ([time s, value] pairs), `noise` the standard deviation of the
    measurement [output unit], `delay` the probe delay [s], for `duration` [s]. `dead_time` [s] is what the controller takes the delay
    to be; by default it knows. A `[[scenario]]` of a design."""

    name: str
    setpoint: Steps
    duration: float
    disturbances: Steps | None = None
    noise: float = 0.0
    delay: float = 0.0
    dead_time: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Run:
    """A finished closed loop: `t` (N,), `y` measured and `truth` noise-free (N, ny), `reference` (N, ny), `u` (N, nu),
    `d` (N, nd), every move, and the setpoints `ahead` (N, rows, ny) that the controller saw. Engineering units."""

    scenario: Scenario
    Ts: float
    t: Array
    y: Array
    truth: Array
    reference: Array
    u: Array
    d: Array
    u_start: Array
    moves: tuple[Move, ...]
    ahead: Array

    @property
    def failures(self) -> tuple[int, ...]:
        """Samples whose solve failed, so that a fallback was applied."""
        return tuple(k for k, move in enumerate(self.moves) if not move.optimal)


def close_loop(
    plant: System,
    controller: Controller,
    scenario: Scenario,
    *,
    u_start: ArrayLike,
    horizon: int = 0,
    on_step: Callable[[int, int], None] = lambda k, N: None,
) -> Run:
    """Run `controller` on `plant` from rest under `u_start` (nu,). `horizon` > 0 hands the coming setpoints over (preview)."""
    N = round(scenario.duration / plant.Ts)
    if N < 1:
        raise InputError(f"scenario {scenario.name!r}: duration {scenario.duration} s is less than one sample of {plant.Ts} s")
    rng = np.random.default_rng(scenario.seed)
    reference = scenario.setpoint.signal(N + horizon + 1, plant.Ts)
    d = np.tile(plant.d_nominal, (N, 1)) if scenario.disturbances is None else scenario.disturbances.signal(N, plant.Ts)
    if reference.shape[1] != plant.ny or d.shape[1] != plant.nd:
        given = f"{reference.shape[1]} setpoints, {d.shape[1]} disturbances"
        raise InputError(f"scenario {scenario.name!r}: {given}; the plant has {plant.ny}, {plant.nd}")
    before = np.asarray(u_start, dtype=np.float64).ravel()
    chi = rest(plant, before)
    y, truth, u, moves = np.empty((N, plant.ny)), np.empty((N, plant.ny)), np.empty((N, plant.nu)), []
    for k in range(N):
        truth[k] = np.asarray(plant.output(chi)).ravel()
        y[k] = truth[k] + scenario.noise * rng.standard_normal(plant.ny)
        if k == 0:
            controller.reset(y[k], before)
        move = controller.step(y[k], reference[k : k + horizon + 1])
        u[k] = move.u
        moves.append(move)
        chi = np.asarray(plant.step(chi, u[k], d[k])).ravel()
        on_step(k + 1, N)
    ahead = np.stack([reference[k : k + horizon + 1] for k in range(N)])
    return Run(scenario, plant.Ts, plant.Ts * np.arange(N, dtype=np.float64), y, truth, reference[:N], u, d, before, tuple(moves), ahead)


def metrics(run: Run, *, band: float = 0.1, tail: float = 100.0) -> dict[str, Any]:
    """Figures of a run, on the noise-free output, worst output where several: IAE [unit·s]; valve travel [input unit];
    per step the settling time into ±`band` [s] (None: never), overshoot [unit] (where only a disturbance stepped: the largest
    deviation) and mean error over the last `tail` [s] [unit]; failures; solve times [ms]."""
    error = run.truth - run.reference
    changes = np.flatnonzero(np.any(np.diff(run.reference, axis=0) != 0, axis=1)) + 1
    if run.scenario.disturbances is not None:
        changes = np.union1d(changes, np.flatnonzero(np.any(np.diff(run.d, axis=0) != 0, axis=1)) + 1)
    edges = [0, *changes.tolist(), len(run.t)]
    steps = []
    for first, last in pairwise(edges):
        part = error[first:last]
        moved = first == 0 or bool(np.any(run.reference[first] != run.reference[first - 1]))
        beyond = part * np.sign(run.reference[first] - run.truth[first]) if moved else np.abs(part)
        outside = np.flatnonzero(np.any(np.abs(part) > band, axis=1))
        settled = outside[-1] + 1 if outside.size else 0
        window = part[-max(1, round(tail / run.Ts)) :]
        steps.append(
            {
                "t": float(run.t[first]),
                "setpoint": run.reference[first].tolist(),
                "settling": None if settled == len(part) else float(settled * run.Ts),
                "overshoot": float(max(0.0, beyond.max())),
                "offset": float(np.abs(window.mean(axis=0)).max()),
            }
        )
    milliseconds = 1e3 * np.array([move.seconds for move in run.moves])
    travel = np.abs(np.diff(np.vstack([run.u_start, run.u]), axis=0)).sum(axis=0)
    return {
        "scenario": run.scenario.name,
        "iae": float(np.abs(error).sum(axis=0).max() * run.Ts),
        "travel": float(travel.max()),
        "offset": max(s["offset"] for s in steps),
        "overshoot": max(s["overshoot"] for s in steps),
        "steps": steps,
        "failures": len(run.failures),
        "solve_ms": {"median": float(np.median(milliseconds)), "max": float(milliseconds.max())},
    }
