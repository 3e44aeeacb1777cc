"""The steps that close loops around a release: control, the observer's tuning, verification of the
loop and its replay. Each returns a noun; `Project` writes it down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lstm_mpc.assurance import loop_proof, loop_verification
from lstm_mpc.assurance.loop_law import LoopLaw
from lstm_mpc.assurance.loop_proof import LoopProof
from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.certificates.evidence import VERIFY_LOOP, LoopVerification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.provenance.campaigns import Campaign
from lstm_mpc.certificates.provenance.manifest import Manifest
from lstm_mpc.certificates.scenarios import scenario_count
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.control import loop_metrics, simulation
from lstm_mpc.control.observers import tuning
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import Run, Sample
from lstm_mpc.errors import InputError, SolverError
from lstm_mpc.io import artefact_file
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import System
from lstm_mpc.project import judged
from lstm_mpc.project.artefacts import DEFAULT, MODEL, PARTS, Options
from lstm_mpc.project.design import Design
from lstm_mpc.project.design_manifest import manifest, of_loops, of_runs

LOOP_KIND = "lstm_mpc closed loop"
CONTROL = "control"  # kind of a campaign


@dataclass(frozen=True)
class ClosedLoops:
    """Closed loops of a release under an engine of ENGINES: for every scenario the plant, the run
    and its figures."""

    release: Release
    engine: str
    plants: tuple[System, ...]
    runs: tuple[Run, ...]
    metrics: tuple[dict[str, Any], ...]
    manifest: Manifest

    def content(self) -> dict[str, Any]:
        """As JSON types, with the curves of every run."""
        rows = [
            {"metrics": m, "series": series(run, plant)}
            for m, run, plant in zip(self.metrics, self.runs, self.plants, strict=True)
        ]
        return {
            "model": self.release.model.digest,
            "engine": self.engine,
            "runs": rows,
            "manifest": self.manifest,
        }

    def save(self, path: Path) -> None:
        """Write the artefact."""
        artefact_file.write_json(path, LOOP_KIND, self.content())

    @property
    def campaign(self) -> Campaign:
        """The line of the log for these runs."""
        truths = np.vstack([run.truth for run in self.runs])
        claimed = tuple(zip(truths.min(axis=0).tolist(), truths.max(axis=0).tolist(), strict=True))
        safe_set = self.release.safe_set
        inside = all(a <= x and z <= b for (a, b), (x, z) in zip(safe_set, claimed, strict=True))
        return Campaign(
            kind=CONTROL,
            subject=artefact_file.digest([self.manifest.digest, self.engine]),
            controller=self.release.model.digest,
            seed=self.runs[0].scenario.seed,
            scenarios=len(self.runs),
            passed=inside,
            verdict=f"outputs {'stayed in' if inside else 'left'} the safe set",
            claimed=claimed,
        )


def control(
    design: Design,
    options: Options = DEFAULT,
    *,
    engine: str = "dompc",
) -> ClosedLoops:
    """Close the loop of the released model around the plant, once per scenario.

    Args:
        design: plant, scenarios and controller.
        options: who hears of the progress.
        engine: what solves, of ENGINES.

    Returns:
        Every run with its figures.

    Raises:
        InputError: there is no usable release, no plant or no scenario.
    """
    passed = judged.passed(design, "control")
    if not design.scenarios:
        raise InputError(
            f"{design.folder}: control needs a [plant] and at least one [[scenario]] in design.toml"
        )
    controllers: dict[float, MPC] = {}
    spec = ControllerSpec(passed, design.control, design.solver)
    plants, runs, count = list[System](), list[Run](), len(design.scenarios)
    for number, scenario in enumerate(design.scenarios):
        believed = scenario.believed
        plants.append(design.plant_of(scenario))
        if believed not in controllers:
            options.progress("control", number / count, f"{scenario.name}: {engine} is built")
            controllers[believed] = MPC.of(spec.with_dead_time(believed), engine)

        def on_step(sample: Sample, scenario: Scenario = scenario, before: int = number) -> None:
            share = (before + (sample.k + 1) / sample.N) / count
            detail = f"{scenario.name}: sample {sample.k + 1} of {sample.N}"
            options.progress("control", share, detail)

        runs.append(
            simulation.simulate_closed_loop(
                plants[-1],
                controllers[believed],
                scenario,
                u_start=design.u_start,
                on_step=on_step,
            )
        )
    band = loop_metrics.band_of(design.safe_set)
    metrics = tuple(loop_metrics.metrics(run, band=band, limits=spec.limits) for run in runs)
    judged_of = manifest(design).part(of_runs)
    return ClosedLoops(passed, engine, tuple(plants), tuple(runs), metrics, judged_of)


def series(run: Run, plant: System) -> dict[str, Any]:
    """The curves of a run as JSON types, and which disturbances the controller measured."""
    measured = [plant.disturbances[at].name for at in run.measured]
    return {
        **({"measured": measured} if measured else {}),
        "Ts": run.Ts,
        "y": artefact_file.gapped(run.y),
        "truth": run.truth,
        "reference": run.reference,
        "u": run.u,
        "d": run.d,
    }


def tune_observer(
    design: Design, options: Options = DEFAULT, *, disturbance: str = "input"
) -> KalmanTuning:
    """The Kalman filter's numbers from the validation data of a design.

    Args:
        design: model, data and dead time.
        options: who hears of the progress.
        disturbance: where it acts, "input" or "output".

    Returns:
        The tuning, in engineering units.

    Raises:
        InputError: there is no usable model.json or no validation data.
    """

    def on_progress(count: int, now: Any) -> None:
        detail = f"filter {count}: noise {now.noise}, drift {now.drift}"
        options.progress("tune", min(1.0, count / 20), detail)

    return tuning.tune(
        Model.load(design.file(MODEL)),
        design.records("validation"),
        disturbance=disturbance,
        dead_time=design.control.dead_time,
        transient=design.search.transient,
        on_progress=on_progress,
    )


def verify_loop(
    design: Design,
    options: Options = DEFAULT,
    *,
    cluster: str | None = None,
    unprotected: bool = False,
    scenarios: int | None = None,
) -> LoopVerification:
    """Scenario verification of the closed loop of the exported C. What an interrupted campaign has
    finished is not done again.

    Args:
        design: plant, law and controller.
        options: processes, and who hears of the progress.
        cluster: the address of a Dask scheduler that does the work instead.
        unprotected: whether that may be one without TLS on another machine.
        scenarios: so many only, to try it.

    Returns:
        The evidence.

    Raises:
        InputError: there is no usable release, no plant or no law.
    """
    law, passed = loop_law(design), judged.passed(design, "verify-loop")
    options.progress("verify-loop", 0.0, "the gate, and the C compiled")
    evidence = loop_verification.verify_loop(
        ControllerSpec(passed, design.control, design.solver),
        design.plant_of(law),
        law,
        design.verify_loop,
        scenarios=scenarios,
        workers=options.workers,
        cluster=cluster,
        unprotected=unprotected,
        checkpoint=design.file(PARTS),
        on_progress=lambda share: options.progress(
            "verify-loop", share, f"{share:.0%} of the closed loops"
        ),
    )
    return replace(evidence, manifest=manifest(design).part(of_loops))


def lost_campaign(design: Design, scenarios: int | None, error: SolverError) -> Campaign:
    """The line of the log for a verification of closed loops that lost a plant."""
    law, o = loop_law(design), design.verify_loop
    spec = ControllerSpec(judged.passed(design, "verify-loop"), design.control, design.solver)
    own = [VERIFY_LOOP, spec.model.digest, spec.tuning_digest, law.describe()]
    return Campaign(
        kind=VERIFY_LOOP,
        subject=artefact_file.digest([*own, design.plant_of(law).name, o.steps]),
        controller=spec.controller,
        seed=o.seed,
        scenarios=scenarios or scenario_count(o.epsilon, o.beta, rule=o.rule),
        passed=False,
        verdict=str(error),
    )


def prove_loop(design: Design) -> LoopProof:
    """The proof that the cost of the design's closed loop falls.

    Args:
        design: the controller.

    Returns:
        The proof.

    Raises:
        InputError: there is no usable release, or the problem has no terminal cost.
    """
    passed = judged.passed(design, "prove-loop")
    return loop_proof.prove(ControllerSpec(passed, design.control, design.solver))


def loop_law(design: Design) -> LoopLaw:
    if design.loop_law is None:
        raise InputError(
            f"{design.folder}: verify-loop needs a [plant] and a [verify_loop] table in design.toml"
        )
    return design.loop_law
