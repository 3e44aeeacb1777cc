"""Scenario verification of the closed loop of a controller's exported C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import reduce
from pathlib import Path

from lstm_mpc.assurance.checkpoint import Checkpoint, adopt
from lstm_mpc.assurance.loop_law import LoopLaw
from lstm_mpc.assurance.loops.baselines import (
    TUNED_ON,
    PiTuning,
    inverse_gain,
    tuned_pi,
)
from lstm_mpc.assurance.loops.experiment import (
    BatchResult,
    LoopExperiment,
    chunks,
    joined,
    replayed,
    run_batch,
    same_reach,
)
from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.assurance.plant_bound import plant_bound
from lstm_mpc.certificates.evidence import LoopVerification
from lstm_mpc.certificates.scenarios import scenario_count
from lstm_mpc.codegen.controller_spec import ControllerSpec, checked_spec
from lstm_mpc.control.scenario import draw_scenarios
from lstm_mpc.control.simulation import Run
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file, parallel
from lstm_mpc.io.schema import noun
from lstm_mpc.plants.system import System


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
        max_move_down=bounds.max_move_down,
        ahead=spec.ahead,
        steps=options.steps,
        settle=options.settle,
        seed=options.seed,
        measured=spec.measured,
        foreseen=spec.foreseen,
    )


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
    edges = chunks(count)
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
    whole = reduce(joined, (parts[first] for first, _ in edges))
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
    gain = inverse_gain(spec.model, at_rest)
    limits = c.u_low, c.u_high, c.max_move, c.max_move_down
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
    engine: str = "c",
) -> Run:
    """One scenario of a loop verification again, alone and in full.

    Args:
        mpc: The controller, as in `verify_loop`.
        plant: The simulated plant.
        law: How closed loops are drawn.
        options: As in `verify_loop`.
        index: The number of the scenario, from 0.
        engine: "c", what was verified, or "sqp", its reference in double precision, which needs no
            compiler.

    Returns:
        The run; under "c" to the bit as it was among the others where the plant's twin works entry
        by entry, as that of pH does, and to round-off where it multiplies matrices.
    """
    options = options or LoopVerifyOptions()
    spec = spec_of(mpc)
    controller = None if engine == "c" else MPC.of(spec, engine)
    return replayed(loop_experiment(spec, plant, law, options), index, controller)
