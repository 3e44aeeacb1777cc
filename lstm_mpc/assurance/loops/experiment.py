"""Batches of closed loops: the very C that is exported, on simulated plants none of which is the
nominal one.

One scenario is a whole run: a plant, a start, setpoints, disturbances and noise, drawn from a law.
It belongs to its index: the result does not depend on who computes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.assurance.loop_law import LoopLaw, Pairs
from lstm_mpc.assurance.loops.baselines import (
    Held,
    Pi,
    PiTuning,
    run_baseline,
)
from lstm_mpc.assurance.loops.performance import gauge_of, merged_loops
from lstm_mpc.certificates.evidence import LoopPerformance, Performance
from lstm_mpc.codegen.sil import Compiled, ControllerBatch, Sources
from lstm_mpc.control.controller import Controller, Status, meanings
from lstm_mpc.control.scenario import Draw, Probe, Valve, draw_scenarios
from lstm_mpc.control.simulation import Run, measured_of, simulate_closed_loop
from lstm_mpc.errors import SolverError
from lstm_mpc.io import artefact_file, parallel
from lstm_mpc.plants.system import Array, System

ASK = 20  # samples between two looks for Ctrl-C
# scenarios that run side by side: one task, and what is lost when the power goes; fixed, as round-
# off may depend on it
CHUNK = 128


@dataclass(frozen=True)
class LoopExperiment:
    """Everything that decides how scenarios end. `u_low`, `u_high`, `max_move` and `max_move_down`
    (nu,) are what no input may exceed; `measured` are the disturbances that the controller is told,
    and `foreseen` how many of their coming samples."""

    plant: System
    sources: Sources
    law: LoopLaw
    safe_set: Pairs
    u_low: Array
    u_high: Array
    max_move: Array
    max_move_down: Array
    ahead: int
    steps: int
    settle: int
    seed: int
    measured: tuple[str, ...] = ()
    foreseen: int = 0
    pi: PiTuning | None = None

    @property
    def digest(self) -> str:
        own = {name: value for name, value in self.__dict__.items() if name not in ("plant", "law")}
        drawn = {"plant": self.plant.identity, "law": self.law.describe(), "chunk": CHUNK}
        up, down = self.max_move.tolist(), own.pop("max_move_down").tolist()
        moves = repr(up if up == down else [up, down])
        return artefact_file.digest({**own, "max_move": moves, **drawn})


@dataclass(frozen=True)
class BatchResult:
    """What scenarios from `first` on have shown, see `LoopVerification`; `each` is the `reach` of
    every one of them, which an adopted part is checked by."""

    first: int
    count: int
    reach: float
    worst: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    violation: float
    violator: int | None
    tracking: tuple[float, ...]
    status: dict[str, int]
    performance: LoopPerformance | None = None
    each: tuple[float, ...] = ()


def joined(one: BatchResult, other: BatchResult) -> BatchResult:
    """What two neighbours have shown together; of equals the first is the worst."""
    worst, breach = (
        max(one, other, key=lambda part: part.reach),
        max(one, other, key=lambda part: part.violation),
    )
    return BatchResult(
        one.first,
        one.count + other.count,
        worst.reach,
        worst.worst,
        tuple(map(min, one.low, other.low)),
        tuple(map(max, one.high, other.high)),
        breach.violation,
        breach.violator,
        tuple(map(max, one.tracking, other.tracking)),
        {name: count + other.status[name] for name, count in one.status.items()},
        merged_loops(one.performance, other.performance, (one.count, other.count)),
        one.each + other.each,
    )


def chunks(count: int) -> list[tuple[int, int]]:
    """(first, last + 1) of each batch of so many scenarios."""
    return [(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]


def run_batch(campaign: LoopExperiment, first: int, last: int) -> BatchResult:
    """Run scenarios first … last−1 side by side; memory does not depend on how many there are
    elsewhere."""
    c, twin = campaign, campaign.plant.vectorised
    drawn = [c.law.draw(i, seed=c.seed, plant=c.plant, steps=c.steps) for i in range(first, last)]
    draw = draw_scenarios(
        c.plant, [s for s, _ in drawn], u_starts=[u for _, u in drawn], horizon=c.ahead
    )
    chi, before, quiet = draw.chi, draw.u_start, _quiet(draw.reference[: c.steps], draw.d)
    fleet = ControllerBatch(c.sources, last - first)
    valve, probe = Valve(before, c.law.valve_lag, c.plant.Ts), Probe(c.law.delay, c.plant.Ts)
    at, rows = list(measured_of(c.plant, c.measured)), np.arange(c.foreseen + 1)
    low = high = twin.output(chi)
    gauge = gauge_of(c.safe_set, draw, c.settle, c.plant.Ts)
    tracking, violation = np.zeros_like(low), np.zeros(last - first)
    flags = np.zeros(2 * max(Status), np.int64)
    bounds = [array[:, None] for array in (c.u_low, c.u_high, c.max_move, c.max_move_down)]
    for k in range(c.steps):
        if k % ASK == 0 and parallel.stopped():
            raise KeyboardInterrupt
        truth = twin.output(chi)
        y = probe.read(truth) + draw.noise[k]
        known = draw.d[np.minimum(k + rows, c.steps - 1)][:, at]
        if k == 0:
            fleet.reset(y, before, known)
        u, status = fleet.step(y, draw.reference[k : k + c.ahead + 1], known)
        low, high = np.minimum(low, truth), np.maximum(high, truth)
        tracking = np.maximum(
            tracking, np.where(quiet[k] >= c.settle, np.abs(truth - draw.reference[k]), 0.0)
        )
        violation = np.maximum(violation, _excess(u, before, *bounds))
        flags += np.bincount(status, minlength=len(flags))
        gauge.take(truth, draw.reference[k], quiet[k], status)
        chi, before = twin.step(chi, valve.follow(u), draw.d[k]), u
    reach = _finite(_reach(low, high, c.safe_set), first, c.plant)
    worst, violator = int(reach.argmax()), int(violation.argmax())
    return BatchResult(
        first,
        last - first,
        float(reach[worst]),
        first + worst,
        tuple(low.min(axis=1).tolist()),
        tuple(high.max(axis=1).tolist()),
        float(violation[violator]),
        first + violator if violation[violator] > 0 else None,
        tuple(tracking.max(axis=1).tolist()),
        _counted(flags),
        _beside(c, draw, quiet, gauge.performance),
        tuple(reach.tolist()),
    )


def _finite(reach: Array, first: int, plant: System) -> Array:
    """The reach of scenarios from `first` on; SolverError names the first that has none."""
    if not np.isfinite(reach).all():
        lost = first + int(np.argmin(np.isfinite(reach)))
        raise SolverError(
            f"verify_loop: scenario {lost} leaves what the equations of {plant.name} can describe"
        )
    return reach


def _counted(statuses: NDArray[np.int64]) -> dict[str, int]:
    """How often each flag was raised, of how often each sum of flags was."""
    return {
        str(flag.name): int(statuses[np.arange(len(statuses)) & flag > 0].sum())
        for flag in meanings(measured=True, terminal=True)
    }


def _beside(
    c: LoopExperiment, draw: Draw, quiet: Array, controller: Performance
) -> LoopPerformance | None:
    """How the controller did beside the baselines on the same scenarios."""
    if c.pi is None:
        return None
    others = (Held(), Pi(c.pi, c.u_low, c.u_high, c.max_move, c.max_move_down))
    return LoopPerformance(
        controller,
        *(
            run_baseline(c.plant, c.law, draw, quiet, c.settle, c.safe_set, fleet).performance
            for fleet in others
        ),
    )


def _quiet(reference: Array, d: Array) -> Array:
    """How many samples ago a setpoint or disturbance last changed, (N, B)."""
    both = np.concatenate([reference, d], axis=1)
    samples = np.arange(len(both))[:, None]
    changed = np.vstack([np.zeros_like(both[:1, 0]), np.any(np.diff(both, axis=0) != 0, axis=1)])
    return np.asarray(samples - np.maximum.accumulate(np.where(changed, samples, 0), axis=0))


def _excess(u: Array, before: Array, low: Array, high: Array, rise: Array, fall: Array) -> Array:
    """How far inputs (nu, B) lie beyond bounds and rate limits, the worst of each column [input
    unit]; NaN counts as without end."""
    move = u - before
    fast = np.maximum(move - rise, -move - fall)
    beyond = np.maximum(np.maximum(low - u, u - high), fast).max(axis=0)
    return np.where(np.isnan(beyond), np.finfo(np.float64).max, np.maximum(beyond, 0.0))


def _reach(low: Array, high: Array, safe_set: Pairs) -> Array:
    """By what the safe set is to be scaled about its middle to hold outputs between `low` and
    `high` (ny, B)."""
    edges = np.array(safe_set)
    middle, half = edges.mean(axis=1)[:, None], 0.5 * np.diff(edges, axis=1)
    return np.asarray(np.maximum((high - middle) / half, (middle - low) / half).max(axis=0))


def replayed(experiment: LoopExperiment, index: int, controller: Controller | None = None) -> Run:
    """Scenario `index` of an experiment, in full, under its C or another engine."""
    e = experiment
    scenario, before = e.law.draw(index, seed=e.seed, plant=e.plant, steps=e.steps)
    return simulate_closed_loop(
        e.plant,
        controller or Compiled(dict(e.sources)),
        scenario,
        u_start=before,
        horizon=e.ahead,
        measured=e.measured,
        foreseen=e.foreseen,
    )


_SINGLE = 1e-5  # share by which a closed loop in single precision may differ, run again alone


def same_reach(one: float, other: float) -> bool:
    """Are two results of one scenario the same? Plants that multiply matrices round otherwise alone
    than among others, and the controller's single precision carries that on."""
    return abs(one - other) <= _SINGLE * abs(other)


def reach_of(run: Run, safe_set: Pairs) -> float:
    """The `reach` of one run."""
    return float(
        _reach(run.truth.min(axis=0)[:, None], run.truth.max(axis=0)[:, None], safe_set)[0]
    )
