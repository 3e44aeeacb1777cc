"""Scenario verification of the closed loop: the very C that is exported, on simulated plants none
of which is the nominal one.

One scenario is a whole run: a plant, a start, setpoints, disturbances and noise, drawn from a law.
It belongs to its index: the result does not depend on who computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import reduce
from pathlib import Path

import numpy as np

from lstm_mpc.assurance.checkpoint import Checkpoint, adopt
from lstm_mpc.assurance.loop_law import LoopLaw, Pairs
from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.assurance.performance import (
    TUNED_ON,
    Held,
    Pi,
    PiTuning,
    gauge_of,
    inverse_gain,
    merged_loops,
    run_baseline,
    tuned_pi,
)
from lstm_mpc.assurance.plant_bound import plant_bound
from lstm_mpc.certificates.evidence import LoopPerformance, LoopVerification, Performance
from lstm_mpc.certificates.scenarios import scenario_count
from lstm_mpc.codegen.controller_spec import ControllerSpec, checked_spec
from lstm_mpc.codegen.sil import Compiled, ControllerBatch, Sources
from lstm_mpc.control.controller import Status, meanings
from lstm_mpc.control.simulation import (
    Draw,
    Probe,
    Run,
    Valve,
    draw_scenarios,
    measured_of,
    simulate_closed_loop,
)
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
    pi: PiTuning | None = None

    @property
    def digest(self) -> str:
        own = {name: value for name, value in self.__dict__.items() if name not in ("plant", "law")}
        drawn = {"plant": self.plant.identity, "law": self.law.describe(), "chunk": CHUNK}
        return artefact_file.digest({**own, "max_move": repr(self.max_move.tolist()), **drawn})


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
        merged_loops(one.performance, other.performance, (one.count, other.count)),
        one.each + other.each,
    )


@dataclass(frozen=True)
class LoopVerifyOptions:
    """How the closed loop is verified; `[verify_loop]` of a design.

    There the keys of its law stand beside them.

    `epsilon` ε and `beta` β decide by `rule` how many scenarios there are, each of `steps` samples
    from the `seed`; an error counts as tracking error once nothing has changed for `settle`
    samples.
    """

    epsilon: float = 1e-2
    beta: float = 1e-6
    rule: str = "exact"
    steps: int = 360
    settle: int = 60
    seed: int = 0

    @staticmethod
    def of(evidence: LoopVerification) -> LoopVerifyOptions:
        """The options that a verification was made with.

        Args:
            evidence: The verification of a closed loop.

        Returns:
            Its options; the law stands in the evidence itself.
        """
        names = [f.name for f in fields(LoopVerifyOptions)]
        return LoopVerifyOptions(**{name: getattr(evidence, name) for name in names})

    def __post_init__(self) -> None:
        scenario_count(self.epsilon, self.beta, rule=self.rule)
        if not 0 <= self.settle < self.steps:
            raise InputError(
                f"verify_loop: settle = {self.settle} must lie between 0 and steps = {self.steps}"
            )


def spec_of(mpc: MPC | ControllerSpec) -> ControllerSpec:
    """The controller that is meant, whatever the engine: its C is what is verified."""
    return checked_spec(mpc.spec if isinstance(mpc, MPC) else mpc)


def loop_experiment(
    spec: ControllerSpec, plant: System, law: LoopLaw, options: LoopVerifyOptions
) -> LoopExperiment:
    """The closed loops of the controller's C on `plant`."""
    bounds = spec.limits
    return LoopExperiment(
        plant,
        tuple(spec.sources.items()),
        law,
        spec.release.safe_set,
        u_low=bounds.u_low,
        u_high=bounds.u_high,
        max_move=bounds.max_move,
        ahead=spec.ahead,
        steps=options.steps,
        settle=options.settle,
        seed=options.seed,
        measured=spec.measured,
        foreseen=spec.foreseen,
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
    at, rows = list(measured_of(c.plant, c.measured)), np.arange(c.foreseen + 1)
    low = high = twin.output(chi)
    gauge = gauge_of(c.safe_set, draw, c.settle, c.plant.Ts)
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
        {
            str(flag.name): int(flags[np.arange(len(flags)) & flag > 0].sum())
            for flag in meanings(measured=True)
        },
        _beside(c, draw, quiet, gauge.performance),
        tuple(reach.tolist()),
    )


def _beside(
    c: LoopExperiment, draw: Draw, quiet: Array, controller: Performance
) -> LoopPerformance | None:
    """How the controller did beside the baselines on the same scenarios."""
    if c.pi is None:
        return None
    others = (Held(), Pi(c.pi, c.u_low, c.u_high, c.max_move))
    return LoopPerformance(
        controller,
        *(
            run_baseline(c.plant, c.law, draw, quiet, c.settle, c.safe_set, fleet)
            for fleet in others
        ),
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
    mpc: MPC | ControllerSpec,
    plant: System,
    law: LoopLaw,
    options: LoopVerifyOptions | None = None,
    *,
    scenarios: int | None = None,
    workers: int = 1,
    cluster: str | None = None,
    unprotected: bool = False,
    checkpoint: Path | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> LoopVerification:
    """Scenario verification of the closed loop of a controller's exported C.

    Scenarios are drawn once, from the seed; a failed verification is a value, not a reason to draw
    again.

    Args:
        mpc: The controller; what is verified is its C in single precision, whatever its engine.
        plant: The simulated plant.
        law: How closed loops are drawn.
        options: How many there are and how long; by default `LoopVerifyOptions()`.
        scenarios: So many only, to try it. Fewer than ε and β need are no evidence; the gate
            refuses them.
        workers: Processes that share the work here.
        cluster: Scheduler of a Dask cluster that does the work instead (tls://host:port).
        unprotected: Whether that may be one without TLS on another machine.
        checkpoint: Folder in which what is finished is kept, from where an interrupted
            verification goes on.
        on_progress: Hears the share done.

    Returns:
        What may be claimed of the loop, which `clear` takes.

    Raises:
        InputError: The law does not fit the plant, or the C cannot be compiled.
        SolverError: A plant leaves what its equations can describe, or a kept part does not hold
            what its scenarios do.
    """
    o, spec = options or LoopVerifyOptions(), spec_of(mpc)
    count = scenario_count(o.epsilon, o.beta, rule=o.rule) if scenarios is None else scenarios
    campaign = loop_experiment(spec, plant, law, o)
    campaign = replace(campaign, pi=_tuned(campaign, spec))
    kept = Checkpoint(checkpoint, artefact_file.digest([campaign.digest, count]))
    edges = [(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]
    found: list[BatchResult] = [noun(BatchResult, part) for part in kept.found()]
    adopt(found, dict(edges), lambda index: run_batch(campaign, index, index + 1), same_reach, kept)
    parts = {part.first: part for part in found}

    def keep(part: BatchResult) -> None:
        kept.keep(part.first, part.__dict__)
        parts[part.first] = part
        on_progress(sum(p.count for p in parts.values()) / count)

    _share(
        campaign,
        [edge for edge in edges if edge[0] not in parts],
        workers=workers,
        cluster=cluster,
        unprotected=unprotected,
        keep=keep,
    )
    whole = reduce(_merged, (parts[first] for first, _ in edges))
    kept.forget()
    shown = {
        name: value
        for name, value in whole.__dict__.items()
        if name not in ("first", "count", "each")
    }
    return LoopVerification(
        model=spec.model.digest,
        problem=spec.tuning_digest,
        source=spec.source_digest,
        scenarios=count,
        law=law.describe(),
        plant=plant.name,
        safe_set=spec.release.safe_set,
        bound=plant_bound(plant, law, campaign.u_low, campaign.u_high, steps=o.steps, seed=o.seed),
        **o.__dict__,
        **shown,
    )


def _tuned(c: LoopExperiment, spec: ControllerSpec) -> PiTuning:
    """The PI controller for the first scenarios of an experiment."""
    drawn = [c.law.draw(i, seed=c.seed, plant=c.plant, steps=c.steps) for i in range(TUNED_ON)]
    draw = draw_scenarios(
        c.plant, [s for s, _ in drawn], u_starts=[u for _, u in drawn], horizon=c.ahead
    )
    at_rest = spec.model.roles.joined(spec.u_start, spec.limits.measured_rest)
    gain, limits = inverse_gain(spec.model, at_rest), (c.u_low, c.u_high, c.max_move)
    return tuned_pi(c.plant, c.law, draw, c.safe_set, gain, limits)


def _share(
    campaign: LoopExperiment,
    edges: list[tuple[int, int]],
    *,
    workers: int,
    cluster: str | None,
    unprotected: bool,
    keep: Callable[[BatchResult], None],
) -> None:
    tasks = [(campaign, *edge) for edge in edges]
    if cluster is not None:
        from lstm_mpc.io.cluster import executor

        with executor(cluster, unprotected=unprotected) as pool:
            parallel.run(run_batch, tasks, executor=pool, on_result=keep)
    elif workers == 1 or len(tasks) < 2:
        for task in tasks:
            keep(run_batch(*task))
    else:
        parallel.run(run_batch, tasks, workers=workers, on_result=keep)


def replay_loop(
    mpc: MPC | ControllerSpec,
    plant: System,
    law: LoopLaw,
    options: LoopVerifyOptions | None = None,
    *,
    index: int,
) -> Run:
    """One scenario of a loop verification again, alone and in full.

    Args:
        mpc: The controller, as in `verify_loop`.
        plant: The simulated plant.
        law: How closed loops are drawn.
        options: As in `verify_loop`.
        index: The number of the scenario, from 0.

    Returns:
        The run: to the bit as it was among the others where the plant's twin works entry by entry,
        as that of pH does; to round-off where it multiplies matrices.
    """
    options = options or LoopVerifyOptions()
    return replayed(loop_experiment(spec_of(mpc), plant, law, options), index)


def replayed(experiment: LoopExperiment, index: int) -> Run:
    """Scenario `index` of an experiment, in full."""
    e = experiment
    scenario, before = e.law.draw(index, seed=e.seed, plant=e.plant, steps=e.steps)
    compiled = Compiled(dict(e.sources))
    return simulate_closed_loop(
        e.plant,
        compiled,
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
