"""Scenario verification of the closed loop: the very C that is exported, on simulated plants none
of which is the nominal one.

One scenario is a whole run: a plant, a start, setpoints, disturbances and noise, drawn from a law.
It belongs to its index: the result does not depend on who computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from lstm_mpc.assurance.checkpoint import Checkpoint
from lstm_mpc.assurance.loop_law import LoopLaw, Pairs
from lstm_mpc.certificates.evidence import LoopVerification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.scenarios import scenario_count
from lstm_mpc.codegen.sil import Compiled, ControllerBatch, Sources
from lstm_mpc.control.controller import Status
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.problem import Problem, limits
from lstm_mpc.control.simulation import Probe, Run, Valve, close_loop, draw_scenarios
from lstm_mpc.errors import InputError, SolverError
from lstm_mpc.io import artefact_file, parallel
from lstm_mpc.io.schema import noun
from lstm_mpc.plants.system import Array, System

ASK = 20  # samples between two looks for Ctrl-C
# scenarios that run side by side: one task, and what is lost when the power goes; fixed, as round-
# off may depend on it
CHUNK = 128


@dataclass(frozen=True)
class LoopExperiment:
    """Everything that decides how scenarios end. `u_low`, `u_high`, `max_move` (nu,) are what no
    input may exceed; `measured` are the disturbances that the controller is told, and `foreseen`
    how many of their coming samples."""

    plant: System
    sources: Sources
    law: LoopLaw
    safe_set: Pairs
    u_low: Array
    u_high: Array
    max_move: Array
    ahead: int
    steps: int
    settle: int
    seed: int
    measured: tuple[str, ...] = ()
    foreseen: int = 0

    @property
    def digest(self) -> str:
        own = {name: value for name, value in self.__dict__.items() if name not in ("plant", "law")}
        drawn = {"plant": self.plant.identity, "law": self.law.describe(), "chunk": CHUNK}
        return artefact_file.digest({**own, "max_move": repr(self.max_move.tolist()), **drawn})


@dataclass(frozen=True)
class BatchResult:
    """What scenarios from `first` on have shown; see `LoopVerification`."""

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

    @staticmethod
    def from_content(content: Any) -> BatchResult:
        made: BatchResult = noun(BatchResult, content)
        return made


def _merged(one: BatchResult, other: BatchResult) -> BatchResult:
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
    )


def loop_experiment(
    release: Release,
    problem: Problem,
    sources: Mapping[str, str],
    *,
    plant: System,
    law: LoopLaw,
    steps: int,
    settle: int,
    seed: int,
) -> LoopExperiment:
    """The closed loops of the released controller, whose C is `sources` (name -> text), on
    `plant`."""
    if not 0 <= settle < steps:
        raise InputError(f"verify_loop: settle = {settle} must lie between 0 and steps = {steps}")
    bounds = limits(release, problem)
    hard = {"u_low": bounds.u_low, "u_high": bounds.u_high, "max_move": bounds.max_move}
    files = tuple(sources.items())
    return LoopExperiment(
        plant,
        files,
        law,
        release.safe_set,
        **hard,
        ahead=problem.ahead(release.model),
        steps=steps,
        settle=settle,
        seed=seed,
        measured=tuple(s.name for s in release.model.measured),
        foreseen=problem.foreseen(release.model),
    )


def run_batch(campaign: LoopExperiment, first: int, last: int) -> BatchResult:
    """Run scenarios first … last−1 side by side; memory does not depend on how many there are
    elsewhere."""
    c, twin = campaign, campaign.plant.vectorised
    drawn = [c.law.draw(i, seed=c.seed, plant=c.plant, steps=c.steps) for i in range(first, last)]
    draw = draw_scenarios(
        c.plant, [s for s, _ in drawn], u_starts=[u for _, u in drawn], horizon=c.ahead
    )
    chi, before, fleet, quiet = (
        draw.chi,
        draw.u_start,
        ControllerBatch(c.sources, last - first),
        _quiet(draw.reference[: c.steps], draw.d),
    )
    valve, probe = Valve(before, c.law.valve_lag, c.plant.Ts), Probe(c.law.delay, c.plant.Ts)
    low = high = twin.output(chi)
    tracking, violation, flags = (
        np.zeros_like(low),
        np.zeros(last - first),
        np.zeros(2 * max(Status), np.int64),
    )
    bounds = [array[:, None] for array in (c.u_low, c.u_high, c.max_move)]
    for k in range(c.steps):
        if k % ASK == 0 and parallel.stopped():
            raise KeyboardInterrupt
        truth = twin.output(chi)
        y = probe.read(truth) + draw.noise[k]
        if k == 0:
            fleet.reset(y, before)
        u, status = fleet.step(y, draw.reference[k : k + c.ahead + 1])
        low, high = np.minimum(low, truth), np.maximum(high, truth)
        tracking = np.maximum(
            tracking, np.where(quiet[k] >= c.settle, np.abs(truth - draw.reference[k]), 0.0)
        )
        violation = np.maximum(violation, _excess(u, before, *bounds))
        flags += np.bincount(status, minlength=len(flags))
        chi, before = twin.step(chi, valve.follow(u), draw.d[k]), u
    reach = _reach(low, high, c.safe_set)
    if not np.isfinite(reach).all():
        lost = first + int(np.argmin(np.isfinite(reach)))
        raise SolverError(
            f"verify_loop: scenario {lost} leaves what the equations of {c.plant.name} can describe"
        )
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
        {str(flag.name): int(flags[np.arange(len(flags)) & flag > 0].sum()) for flag in Status},
    )


def _quiet(reference: Array, d: Array) -> Array:
    """How many samples ago a setpoint or disturbance last changed, (N, B)."""
    both = np.concatenate([reference, d], axis=1)
    samples = np.arange(len(both))[:, None]
    changed = np.vstack([np.zeros_like(both[:1, 0]), np.any(np.diff(both, axis=0) != 0, axis=1)])
    return np.asarray(samples - np.maximum.accumulate(np.where(changed, samples, 0), axis=0))


def _excess(u: Array, before: Array, low: Array, high: Array, move: Array) -> Array:
    """How far inputs (nu, B) lie beyond bounds and rate limits, the worst of each column [input
    unit]; NaN counts as without end."""
    beyond = np.maximum(np.maximum(low - u, u - high), np.abs(u - before) - move).max(axis=0)
    return np.where(np.isnan(beyond), np.finfo(np.float64).max, np.maximum(beyond, 0.0))


def _reach(low: Array, high: Array, safe_set: Pairs) -> Array:
    """By what the safe set is to be scaled about its middle to hold outputs between `low` and
    `high` (ny, B)."""
    edges = np.array(safe_set)
    middle, half = edges.mean(axis=1)[:, None], 0.5 * np.diff(edges, axis=1)
    return np.asarray(np.maximum((high - middle) / half, (middle - low) / half).max(axis=0))


def verify_loop(
    release: Release,
    problem: Problem,
    *,
    solver: SolverOptions,
    sources: Mapping[str, str],
    plant: System,
    law: LoopLaw,
    epsilon: float = 1e-2,
    beta: float = 1e-6,
    rule: str = "exact",
    steps: int = 360,
    settle: int = 60,
    seed: int = 0,
    scenarios: int | None = None,
    workers: int = 1,
    cluster: str | None = None,
    checkpoint: Path | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> LoopVerification:
    """Scenario verification of the released controller, as its exported C (`sources`) in single
    precision, on `plant`.

    Scenarios are drawn once, from `seed`; a failed verification is a value, not a reason to draw
    again. Fewer `scenarios` than ε and β need are no evidence; the gate refuses them. The work is
    shared by `workers` processes here, or by those of a Dask `cluster` (tcp://host:port). What is
    finished is kept in the folder `checkpoint`, from where an interrupted campaign goes on."""
    needed = scenario_count(epsilon, beta, rule=rule)
    count = needed if scenarios is None else scenarios
    campaign = loop_experiment(
        release, problem, sources, plant=plant, law=law, steps=steps, settle=settle, seed=seed
    )
    kept = Checkpoint(checkpoint, artefact_file.digest([campaign.digest, count]))
    parts = {part.first: part for part in map(BatchResult.from_content, kept.found())}

    def keep(part: BatchResult) -> None:
        kept.keep(part.first, part.__dict__)
        parts[part.first] = part
        on_progress(sum(p.count for p in parts.values()) / count)

    edges = [(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]
    _share(
        campaign,
        [edge for edge in edges if edge[0] not in parts],
        workers=workers,
        cluster=cluster,
        keep=keep,
    )
    whole = reduce(_merged, (parts[first] for first, _ in edges))
    kept.forget()
    shown = {
        name: value for name, value in whole.__dict__.items() if name not in ("first", "count")
    }
    return LoopVerification(
        model=release.model.digest,
        problem=tuning_digest(problem, solver),
        source=artefact_file.digest(dict(sources)),
        epsilon=epsilon,
        beta=beta,
        rule=rule,
        scenarios=count,
        steps=steps,
        settle=settle,
        seed=seed,
        law=law.describe(),
        safe_set=release.safe_set,
        plant=plant.name,
        **shown,
    )


def _share(
    campaign: LoopExperiment,
    edges: list[tuple[int, int]],
    *,
    workers: int,
    cluster: str | None,
    keep: Callable[[BatchResult], None],
) -> None:
    tasks = [(campaign, *edge) for edge in edges]
    if cluster is not None:
        from lstm_mpc.io.cluster import executor

        with executor(cluster) as pool:
            parallel.run(run_batch, tasks, executor=pool, on_result=keep)
    elif workers == 1 or len(tasks) < 2:
        for task in tasks:
            keep(run_batch(*task))
    else:
        parallel.run(run_batch, tasks, workers=workers, on_result=keep)


def tuning_digest(problem: Problem, solver: SolverOptions) -> str:
    """SHA-256 of every number of problem and budget, the infinite ones too; `forecast` where it is
    asked for."""
    numbers = problem.__dict__ | solver.__dict__
    if not problem.forecast:
        del numbers["forecast"]
    return artefact_file.digest(
        {key: repr(np.asarray(value).tolist()) for key, value in numbers.items()}
    )


def replay_loop(campaign: LoopExperiment, index: int) -> Run:
    """Scenario `index` again, alone and in full: to the bit as it was among the others where the
    plant's twin works entry by entry, as that of pH does; to round-off where it multiplies
    matrices."""
    c = campaign
    scenario, before = c.law.draw(index, seed=c.seed, plant=c.plant, steps=c.steps)
    return close_loop(
        c.plant,
        Compiled(dict(c.sources)),
        scenario,
        u_start=before,
        horizon=c.ahead,
        measured=c.measured,
        foreseen=c.foreseen,
    )


def reach_of(run: Run, safe_set: Pairs) -> float:
    """The `reach` of one run."""
    return float(
        _reach(run.truth.min(axis=0)[:, None], run.truth.max(axis=0)[:, None], safe_set)[0]
    )
