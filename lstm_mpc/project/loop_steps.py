"""The verbs that close loops around a release: control, the observer's tuning, verification of the
loop and its replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lstm_mpc.assurance.clearance import sentence
from lstm_mpc.assurance.loop_law import LoopLaw
from lstm_mpc.assurance.loop_verification import loop_experiment, reach_of, replay_loop, verify_loop
from lstm_mpc.certificates.evidence import LoopVerification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.scenarios import scenario_count
from lstm_mpc.control.controller import WORDS, Controller, Status
from lstm_mpc.control.engines.sqp import SolverOptions, Sqp
from lstm_mpc.control.observers.tuning import tune
from lstm_mpc.control.problem import Problem, limits
from lstm_mpc.control.run_log import RunLog, write_log
from lstm_mpc.control.simulation import Run, Sample, Scenario, close_loop, metrics
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import System
from lstm_mpc.project.artefacts import (
    ASSURANCE,
    FIGURES,
    LOOP,
    MODEL,
    PARTS,
    RELEASE,
    Options,
    Result,
    refuse_overwrite,
    waivers,
)
from lstm_mpc.project.design import Design

ENGINES = ("dompc", "sqp", "c", "c-double")


def engine_of(name: str, passed: Release, problem: Problem, solver: SolverOptions) -> Controller:
    """The engine `name` of ENGINES; "c" is the exported code in single precision, run in this
    process."""
    if name == "dompc":
        from lstm_mpc.control.engines.dompc import DoMpc

        return DoMpc(passed, problem)
    if name == "sqp":
        return Sqp(passed, problem, solver)
    from lstm_mpc.codegen.c_controller import controller
    from lstm_mpc.codegen.sil import Compiled

    return Compiled(controller(passed, problem, solver), double=name == "c-double")


def control_verb(
    design: Design,
    options: Options,
    *,
    engine: str = "dompc",
    watch: Callable[[Scenario, Sample], None] = lambda scenario, sample: None,
    log: RunLog | None = None,
) -> Result:
    """Closed loops of the released model under an engine of ENGINES against the plant, one per
    scenario → closed-loop.json, and a log where one is asked for; `watch` sees every sample."""
    for path in [design.file(LOOP), *([log.path] if log else [])]:
        refuse_overwrite(path, options)
    passed = Release.load(design.file(RELEASE))
    if not design.scenarios:
        raise InputError(
            f"{design.folder}: control needs a [plant] and at least one [[scenario]] in design.toml"
        )
    from lstm_mpc.plots import figures, style

    controllers: dict[float, Controller] = {}
    bounds = limits(passed, design.control)
    lines, content, runs = waivers(passed), [], []
    lines.append(
        "  scenario      IAE    travel  max |offset|  overshoot  settling of each step [s]         "
        " solve ms med/max  failures"
    )
    for number, scenario in enumerate(design.scenarios):
        plant, believed = design.plant_of(scenario), scenario.believed
        if believed not in controllers:
            options.progress(
                "control", number / len(design.scenarios), f"{scenario.name}: {engine} is made"
            )
            controllers[believed] = engine_of(
                engine, passed, replace(design.control, dead_time=believed), design.solver
            )

        def tell(sample: Sample, scenario: Scenario = scenario, before: int = number) -> None:
            share = (before + (sample.k + 1) / sample.N) / len(design.scenarios)
            options.progress(
                "control", share, f"{scenario.name}: sample {sample.k + 1} of {sample.N}"
            )
            watch(scenario, sample)

        ahead = design.control.ahead(passed.model)
        run = close_loop(
            plant,
            controllers[believed],
            scenario,
            u_start=design.u_start,
            horizon=ahead,
            on_step=tell,
        )
        runs.append(run)
        m = metrics(run, limits=bounds)
        content.append({"metrics": m, "series": _series(run)})
        style.save(figures.plot_loop(run, plant), design.file(FIGURES), f"loop-{scenario.name}")
        solves = (
            f"  {m['solve_ms']['median']:6.1f} / {m['solve_ms']['max']:.1f}  {m['failures']:8d}"
        )
        first, *others = _metric_rows(m, plant)
        lines += [first + solves, *map(str.rstrip, others)]
        told = [k for k in run.flagged if run.moves[k].flags != Status.BUDGET]
        lines += [f"  {scenario.name}: sample {k}: {run.moves[k].status}" for k in told]
        if len(told) < len(run.flagged):
            lines.append(
                f"  {scenario.name}: {len(run.flagged) - len(told)} sample(s):"
                f" {WORDS[Status.BUDGET]}"
            )
    y, u = (
        ", ".join(dict.fromkeys(s.unit for s in signals))
        for signals in (passed.model.outputs, passed.model.inputs)
    )
    lines.append(
        f"  units: IAE {y}·s, travel {u}, offset (mean error over the last 100 s of each step) and"
        f" overshoot {y}"
    )
    artefact_file.write_json(
        design.file(LOOP),
        "lstm_mpc closed loop",
        {"model": passed.model.digest, "engine": engine, "runs": content},
    )
    if log:
        write_log(log, runs, plant)
        lines.append(f"  log: {sum(len(run.t) for run in runs)} samples → {log.path}")
    return Result(
        tuple(lines),
        {"model": passed.model.digest, "engine": engine, "runs": [c["metrics"] for c in content]},
    )


def _metric_rows(m: Mapping[str, Any], plant: System) -> list[str]:
    """The figures of a run as rows of the table: the worst of its signals and, where there are
    several, each output and each input."""

    def row(name: str, own: Mapping[str, Any], travel: str) -> str:
        steps = own["steps"]
        settling = ", ".join(
            "never" if s["settling"] is None else f"{s['settling']:.0f}" for s in steps
        )
        offset, overshoot = (max(s[key] for s in steps) for key in ("offset", "overshoot"))
        return (
            f"  {name:<10} {own['iae']:7.1f}  {travel:>7}  {offset:12.4f}  {overshoot:9.3f} "
            f" {settling:<33}"
        )

    rows = [row(m["scenario"], m, f"{m['travel']:.2f}")]
    if plant.ny + plant.nu > 2:
        rows += [
            row(f"  {s.name}", own, "") for s, own in zip(plant.outputs, m["each"], strict=True)
        ]
        rows += [
            f"    {s.name:<8} {'':7}  {travel:7.2f}"
            for s, travel in zip(plant.inputs, m["travels"], strict=True)
        ]
    return rows


def tune_observer_verb(design: Design, options: Options, *, disturbance: str = "input") -> Result:
    """The Kalman filter's numbers from the validation data, as a table `[observer]` to paste into
    the design; nothing is written."""
    model, dataset = Model.load(design.file(MODEL)), design.records("validation")

    def tell(count: int, tuning: Any) -> None:
        options.progress(
            "tune",
            min(1.0, count / 20),
            f"filter {count}: noise {tuning.noise}, drift {tuning.drift}",
        )

    found = tune(
        model,
        dataset,
        disturbance=disturbance,
        dead_time=design.control.dead_time,
        transient=design.search.transient,
        on_progress=tell,
    )
    at = model.inputs if found.input else model.outputs
    rounded = {
        key: [float(f"{x:.3g}") for x in getattr(found, key)]
        for key in ("noise", "drift", "max_disturbance")
    }
    numbers = {key: value[0] if len(value) == 1 else value for key, value in rounded.items()}
    outputs, units = (
        ", ".join(f"{s.name} [{s.unit}]" for s in signals) for signals in (model.outputs, at)
    )
    lines = (
        f"# from {dataset.samples} samples of validation data",
        "[observer]",
        'kind = "kalman"',
        f'disturbance = "{disturbance}"',
        f"noise = {numbers['noise']}  # {outputs}, standard deviation",
        f"drift = {numbers['drift']}  # {units} per sample",
        f"max_disturbance = {numbers['max_disturbance']}  # {units}",
        f"state_noise = {found.state_noise:.3g}  # normalised",
    )
    return Result(
        lines,
        {
            "model": model.digest,
            "kind": "kalman",
            "disturbance": disturbance,
            **numbers,
            "state_noise": found.state_noise,
        },
    )


def _series(run: Run) -> dict[str, Any]:
    return {
        "Ts": run.Ts,
        "y": artefact_file.gapped(run.y),
        "truth": run.truth,
        "reference": run.reference,
        "u": run.u,
        "d": run.d,
    }


def verify_loop_verb(
    design: Design, options: Options, *, cluster: str | None = None, scenarios: int | None = None
) -> Result:
    """Scenario verification of the closed loop of the exported C → loop-verification.json. What an
    interrupted campaign has finished is not done again."""
    refuse_overwrite(design.file(ASSURANCE), options)
    if design.verify_loop is None:
        raise InputError(
            f"{design.folder}: verify-loop needs a [plant] and a [verify_loop] table in design.toml"
        )
    from lstm_mpc.codegen.c_controller import controller

    options.progress("verify-loop", 0.0, "the gate, and the C compiled")
    passed, v = Release.load(design.file(RELEASE)), design.verify_loop
    found = verify_loop(
        passed,
        design.control,
        solver=design.solver,
        sources=controller(passed, design.control, design.solver),
        plant=design.plant_of(v.law),
        scenarios=scenarios,
        workers=options.workers,
        cluster=cluster,
        checkpoint=design.file(PARTS),
        on_progress=lambda share: options.progress(
            "verify-loop", share, f"{share:.0%} of the closed loops"
        ),
        **v.__dict__,
    )
    found.save(design.file(ASSURANCE))
    shown = replay_verb(design, options, found.worst)
    samples = found.scenarios * found.steps
    lines = [
        *waivers(passed),
        (
            f"N = {found.scenarios} closed loops of {found.steps} steps, seed {found.seed} →"
            f" {design.file(ASSURANCE)}"
        ),
    ]
    if found.scenarios < (needed := scenario_count(found.epsilon, found.beta, rule="exact")):
        claimed = f"ε = {found.epsilon:g}, β = {found.beta:g}"
        lines.append(
            f"NO EVIDENCE: {found.scenarios} closed loops show how it works; {claimed} need"
            f" {needed}, and the gate asks for them"
        )
    else:
        lines.append(f"sampled: {sentence(found, passed)}")
    reached = ", ".join(
        f"{s.name} {a:.3f} … {b:.3f} {s.unit}, error after {found.settle} quiet samples at most"
        f" {e:.3f}"
        for s, a, b, e in zip(
            passed.model.outputs, found.low, found.high, found.tracking, strict=True
        )
    )
    lines.append(f"reached: {reached}")
    lines.append(
        f"the claimed set is {found.reach:.3f} of the safe set,"
        f" {'within it' if found.reach <= 1 else 'LEAVES it'}; "
        + (
            "no input beyond its limits"
            if found.violator is None
            else f"INPUT {found.violation:.3g} BEYOND ITS LIMITS in {found.violator}"
        )
    )
    said = ", ".join(f"{name} {count}" for name, count in found.status.items() if count) or "none"
    lines.append(f"flags of the controller in {samples} samples: {said}")
    return Result((*lines, *shown.lines), found.content())


def replay_verb(design: Design, options: Options, index: int) -> Result:
    """One scenario of the loop verification again, in full, with its figure. The law is that of the
    evidence, where there is some."""
    from lstm_mpc.codegen.c_controller import controller
    from lstm_mpc.plots import figures, style

    passed, v, evidence = (
        Release.load(design.file(RELEASE)),
        design.verify_loop,
        loop_evidence(design),
    )
    if v is None:
        raise InputError(
            f"{design.folder}: verify-loop needs a [plant] and a [verify_loop] table in design.toml"
        )
    law, of = (v.law, v) if evidence is None else (LoopLaw.from_description(evidence.law), evidence)
    plant, sources = design.plant_of(law), controller(passed, design.control, design.solver)
    campaign = loop_experiment(
        passed,
        design.control,
        sources,
        plant=plant,
        law=law,
        steps=of.steps,
        settle=of.settle,
        seed=of.seed,
    )
    run = replay_loop(campaign, index)
    reach, name = reach_of(run, passed.safe_set), f"loop-number-{index}"
    style.save(figures.plot_loop(run, plant, safe_set=passed.safe_set), design.file(FIGURES), name)
    ends = ", ".join(
        f"{s.name} {y.min():.3f} … {y.max():.3f} {s.unit}"
        for s, y in zip(plant.outputs, run.truth.T, strict=True)
    )
    lines = [
        f"scenario {index}: {ends}, {reach:.3f} of the safe set → {design.file(FIGURES) / name}.png"
    ]
    if evidence is not None and index == evidence.worst:
        same = (
            "the same to the bit as"
            if reach == evidence.reach
            else f"NOT the {evidence.reach:.3f} of"
        )
        lines.append(f"  {same} {design.file(ASSURANCE)}")
    return Result(tuple(lines), {"index": index, "reach": reach, "metrics": metrics(run)})


def loop_evidence(design: Design) -> LoopVerification | None:
    """What was found about the closed loop, if it was verified."""
    return (
        LoopVerification.load(design.file(ASSURANCE)) if design.file(ASSURANCE).exists() else None
    )
