"""The verbs that put a release to use: closed loops, exports, the processor in the loop."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any

from lstm_mpc import store
from lstm_mpc.artefacts import ASSURANCE, FIGURES, LOOP, MODEL, PARTS, PIL, RELEASE, Options, Result, claim, waivers
from lstm_mpc.choices import CORES, OF_THE_MODEL
from lstm_mpc.clearance import ControllerRelease, clear, sentence
from lstm_mpc.control.law import LoopLaw
from lstm_mpc.control.loop import Run, Sample, Scenario, close_loop, metrics
from lstm_mpc.control.move import WORDS, Controller, Status
from lstm_mpc.control.problem import Problem, limits
from lstm_mpc.control.sqp import Budget, Sqp
from lstm_mpc.control.tuning import tune
from lstm_mpc.control.verify import campaign_of, reach_of, replay_loop, verify_loop
from lstm_mpc.design import Design
from lstm_mpc.errors import InputError, LstmMpcError
from lstm_mpc.evidence import LoopVerification
from lstm_mpc.export import pil
from lstm_mpc.log import Log, write_log
from lstm_mpc.model import Model
from lstm_mpc.release import Release
from lstm_mpc.scenario import scenario_count


def engine_of(name: str, passed: Release, problem: Problem, budget: Budget) -> Controller:
    """The engine `name` of ENGINES; "c" is the exported code in single precision, run in this process."""
    if name == "dompc":
        from lstm_mpc.control.dompc import DoMpc

        return DoMpc(passed, problem)
    if name == "sqp":
        return Sqp(passed, problem, budget)
    from lstm_mpc.control.compiled import Compiled
    from lstm_mpc.export.controller import controller

    return Compiled(controller(passed, problem, budget), double=name == "c-double")


def control_verb(
    design: Design,
    options: Options,
    *,
    engine: str = "dompc",
    watch: Callable[[Scenario, Sample], None] = lambda scenario, sample: None,
    log: Log | None = None,
) -> Result:
    """Closed loops of the released model under an engine of ENGINES against the plant, one per scenario → closed-loop.json, and a log
    where one is asked for; `watch` sees every sample."""
    for path in [design.file(LOOP), *([log.path] if log else [])]:
        claim(path, options)
    passed = Release.load(design.file(RELEASE))
    if design.plant is None or not design.scenarios:
        raise InputError(f"{design.folder}: control needs a [plant] and at least one [[scenario]] in design.toml")
    from lstm_mpc import report

    controllers: dict[float, Controller] = {}
    bounds = limits(passed, design.control)
    lines, content, runs = waivers(passed), [], []
    lines.append("  scenario      IAE    travel  max |offset|  overshoot  settling of each step [s]          solve ms med/max  failures")
    for number, scenario in enumerate(design.scenarios):
        plant, believed = design.plant_of(scenario), scenario.believed
        if believed not in controllers:
            controllers[believed] = engine_of(engine, passed, replace(design.control, dead_time=believed), design.budget)

        def tell(sample: Sample, scenario: Scenario = scenario, before: int = number) -> None:
            share = (before + (sample.k + 1) / sample.N) / len(design.scenarios)
            options.progress("control", share, f"{scenario.name}: sample {sample.k + 1} of {sample.N}")
            watch(scenario, sample)

        ahead = design.control.ahead(passed.model)
        run = close_loop(plant, controllers[believed], scenario, u_start=design.u_start, horizon=ahead, on_step=tell)
        runs.append(run)
        m = metrics(run, limits=bounds)
        content.append({"metrics": m, "series": _series(run)})
        report.save(report.plot_loop(run, plant), design.file(FIGURES), f"loop-{scenario.name}")
        settling = ", ".join("never" if s["settling"] is None else f"{s['settling']:.0f}" for s in m["steps"])
        lines.append(
            f"  {scenario.name:<10} {m['iae']:7.1f}  {m['travel']:7.2f}  {m['offset']:12.4f}  {m['overshoot']:9.3f}  {settling:<33}"
            f"  {m['solve_ms']['median']:6.1f} / {m['solve_ms']['max']:.1f}  {m['failures']:8d}"
        )
        told = [k for k in run.flagged if run.moves[k].flags != Status.BUDGET]
        lines += [f"  {scenario.name}: sample {k}: {run.moves[k].status}" for k in told]
        if len(told) < len(run.flagged):
            lines.append(f"  {scenario.name}: {len(run.flagged) - len(told)} sample(s): {WORDS[Status.BUDGET]}")
    y, u = passed.model.outputs[0], passed.model.inputs[0]
    lines.append(f"  units: IAE {y.unit}·s, travel {u.unit}, offset (mean error over the last 100 s of each step) and overshoot {y.unit}")
    store.write_json(design.file(LOOP), "lstm_mpc closed loop", {"model": passed.model.digest, "engine": engine, "runs": content})
    if log:
        write_log(log, runs, plant)
        lines.append(f"  log: {sum(len(run.t) for run in runs)} samples → {log.path}")
    return Result(tuple(lines), {"model": passed.model.digest, "engine": engine, "runs": [c["metrics"] for c in content]})


def tune_observer_verb(design: Design, options: Options, *, disturbance: str = "input") -> Result:
    """The Kalman filter's numbers from the validation data, as a table `[observer]` to paste into the design; nothing is written."""
    model, dataset = Model.load(design.file(MODEL)), design.records("validation")

    def tell(count: int, tuning: Any) -> None:
        options.progress("tune", min(1.0, count / 20), f"filter {count}: noise {tuning.noise}, drift {tuning.drift}")

    found = tune(model, dataset, disturbance=disturbance, dead_time=design.control.dead_time, skip=design.search.skip, on_progress=tell)
    at = model.inputs if found.input else model.outputs
    rounded = {key: [float(f"{x:.3g}") for x in getattr(found, key)] for key in ("noise", "drift", "largest")}
    numbers = {key: value[0] if len(value) == 1 else value for key, value in rounded.items()}
    outputs, units = (", ".join(f"{s.name} [{s.unit}]" for s in signals) for signals in (model.outputs, at))
    lines = (
        f"# from {dataset.samples} samples of validation data",
        "[observer]",
        'kind = "kalman"',
        f'disturbance = "{disturbance}"',
        f"noise = {numbers['noise']}  # {outputs}, standard deviation",
        f"drift = {numbers['drift']}  # {units} per sample",
        f"largest = {numbers['largest']}  # {units}",
        f"state_noise = {found.state_noise:.3g}  # normalised",
    )
    return Result(lines, {"model": model.digest, "kind": "kalman", "disturbance": disturbance, **numbers, "state_noise": found.state_noise})


def _series(run: Run) -> dict[str, Any]:
    measured = [[None if isnan(value) else value for value in row] for row in run.y.tolist()]  # JSON has no NaN
    return {"Ts": run.Ts, "y": measured, "truth": run.truth, "reference": run.reference, "u": run.u, "d": run.d}


def verify_loop_verb(design: Design, options: Options, *, cluster: str | None = None, scenarios: int | None = None) -> Result:
    """Scenario verification of the closed loop of the exported C → loop-verification.json. What an interrupted campaign has finished is
    not done again."""
    claim(design.file(ASSURANCE), options)
    if design.verify_loop is None:
        raise InputError(f"{design.folder}: verify-loop needs a [plant] and a [verify_loop] table in design.toml")
    from lstm_mpc.export.controller import controller

    passed, v = Release.load(design.file(RELEASE)), design.verify_loop
    found = verify_loop(
        passed,
        design.control,
        budget=design.budget,
        sources=controller(passed, design.control, design.budget),
        plant=design.plant_of(v.law),
        scenarios=scenarios,
        workers=options.workers,
        cluster=cluster,
        checkpoint=design.file(PARTS),
        on_progress=lambda share: options.progress("verify-loop", share, f"{share:.0%} of the closed loops"),
        **v.__dict__,
    )
    found.save(design.file(ASSURANCE))
    shown = replay_verb(design, options, found.worst)
    samples = found.scenarios * found.steps
    lines = [*waivers(passed), f"N = {found.scenarios} closed loops of {found.steps} steps, seed {found.seed} → {design.file(ASSURANCE)}"]
    if found.scenarios < (needed := scenario_count(found.epsilon, found.beta, rule="exact")):
        claimed = f"ε = {found.epsilon:g}, β = {found.beta:g}"
        lines.append(f"NO EVIDENCE: {found.scenarios} closed loops show how it works; {claimed} need {needed}, and the gate asks for them")
    else:
        lines.append(f"sampled: {sentence(found, passed)}")
    reached = ", ".join(
        f"{s.name} {a:.3f} … {b:.3f} {s.unit}, error after {found.settle} quiet samples at most {e:.3f}"
        for s, a, b, e in zip(passed.model.outputs, found.low, found.high, found.tracking, strict=True)
    )
    lines.append(f"reached: {reached}")
    lines.append(
        f"the claimed set is {found.reach:.3f} of the safe set, {'within it' if found.reach <= 1 else 'LEAVES it'}; "
        + ("no input beyond its limits" if found.violator is None else f"INPUT {found.violation:.3g} BEYOND ITS LIMITS in {found.violator}")
    )
    said = ", ".join(f"{name} {count}" for name, count in found.status.items() if count) or "none"
    lines.append(f"flags of the controller in {samples} samples: {said}")
    return Result((*lines, *shown.lines), found.content())


def replay_verb(design: Design, options: Options, index: int) -> Result:
    """One scenario of the loop verification again, in full, with its figure. The law is that of the evidence, where there is some."""
    from lstm_mpc import report
    from lstm_mpc.export.controller import controller

    passed, v, evidence = Release.load(design.file(RELEASE)), design.verify_loop, _evidence(design)
    if v is None:
        raise InputError(f"{design.folder}: verify-loop needs a [plant] and a [verify_loop] table in design.toml")
    law, of = (v.law, v) if evidence is None else (LoopLaw.from_description(evidence.law), evidence)
    plant, sources = design.plant_of(law), controller(passed, design.control, design.budget)
    campaign = campaign_of(passed, design.control, sources, plant=plant, law=law, steps=of.steps, settle=of.settle, seed=of.seed)
    run = replay_loop(campaign, index)
    reach, name = reach_of(run, passed.safe_set), f"loop-number-{index}"
    report.save(report.plot_loop(run, plant, safe_set=passed.safe_set), design.file(FIGURES), name)
    ends = ", ".join(f"{s.name} {y.min():.3f} … {y.max():.3f} {s.unit}" for s, y in zip(plant.outputs, run.truth.T, strict=True))
    lines = [f"scenario {index}: {ends}, {reach:.3f} of the safe set → {design.file(FIGURES) / name}.png"]
    if evidence is not None and index == evidence.worst:
        same = "the same to the bit as" if reach == evidence.reach else f"NOT the {evidence.reach:.3f} of"
        lines.append(f"  {same} {design.file(ASSURANCE)}")
    return Result(tuple(lines), {"index": index, "reach": reach, "metrics": metrics(run)})


def _evidence(design: Design) -> LoopVerification | None:
    """What was found about the closed loop, if it was verified."""
    return LoopVerification.load(design.file(ASSURANCE)) if design.file(ASSURANCE).exists() else None


def export_verb(design: Design, options: Options, *, target: str = "controller") -> Result:
    """The released model or its controller for elsewhere, into a folder of the target's name: see TARGETS."""
    from lstm_mpc.export.folder import refuse_foreign, write_folder

    passed, folder = Release.load(design.file(RELEASE)), design.file(target)
    kind, products = _kind(target)
    refuse_foreign(folder, kind)  # before the work, not after it
    if target in OF_THE_MODEL:
        made, facts, words = _exported(passed, design, target, folder)
    else:
        cleared = clear(passed, design.control, budget=design.budget, loop=_evidence(design), folder=str(design.folder))
        made, facts, words = _deployed(cleared, design, target, folder)
        facts = {**facts, "cleared": [list(pair) for pair in cleared.evidence]}
        words = [*words, *(f"  cleared by what is {how}: {claim}" for how, claim in cleared.evidence)]
    write_folder(folder, made, kind=kind, products=products, facts=facts)
    content = {"model": passed.model.digest, "folder": str(folder), "files": list(made), **facts}
    return Result((*waivers(passed), *words), content)


def _kind(target: str) -> tuple[str, Sequence[str]]:
    """What the folder is called in its manifest, and the patterns of what building it makes."""
    from lstm_mpc.export import bundle, c_model, fmu, onnx_model, wrappers

    return {
        "c": (c_model.KIND, c_model.PRODUCTS),
        "onnx": (onnx_model.KIND, ()),
        "controller": (bundle.KIND, bundle.PRODUCTS),
        "fmu": (fmu.KIND, ()),
        "simulink": (wrappers.SIMULINK, wrappers.PRODUCTS),
        "arduino": (wrappers.ARDUINO, ()),
    }[target]


Made = tuple[Mapping[str, str | bytes], dict[str, Any], list[str]]  # files, facts for the manifest, and what to say


def _exported(passed: Release, design: Design, target: str, folder: Path) -> Made:
    """The model alone."""
    from lstm_mpc.export import c_model, onnx_model

    made: Mapping[str, str | bytes]
    if target == "c":
        made = c_model.c_model(passed)
        return made, {}, [f"C model: {', '.join(made)} → {folder}; `make -C {folder} test` checks it"]
    made = onnx_model.onnx_model(passed)
    return made, {}, [f"ONNX model: {', '.join(made)} → {folder}; its LSTM nodes are in single precision"]


def _deployed(cleared: ControllerRelease, design: Design, target: str, folder: Path) -> Made:
    """What contains the controller."""
    from lstm_mpc.export import bundle, fmu, wrappers

    made: Mapping[str, str | bytes]
    passed, files = cleared.release, dict(cleared.files)
    if target == "controller":
        packed = bundle.bundle(passed, cleared.problem, cleared.budget, u_start=design.u_start)
        words = f"C controller: {', '.join(packed.files)} → {folder}; `make -C {folder} test` checks it"
        return packed.files, packed.facts, [words, *_controller_words(packed.facts)]
    if target == "fmu":
        made = fmu.fmu_folder(passed, files, u_start=design.u_start)
        return made, {}, [f"FMUs: {', '.join(made)} → {folder}"]
    if target == "simulink":
        made = wrappers.simulink_folder(passed, files, u_start=design.u_start)
        return made, {}, [f"Simulink S-function: {', '.join(made)} → {folder}"]
    made = wrappers.arduino_folder(passed, files, u_start=design.u_start)
    return made, {}, [f"Arduino and PlatformIO library: {', '.join(made)} → {folder}"]


def _controller_words(facts: Mapping[str, Any]) -> list[str]:
    single, double, target = facts["agreement"]["float"], facts["agreement"]["double"], facts["target"]
    lines = [
        f"  self-test, share of the input range: double {double['to_python']:.1e} to its twin in Python, "
        f"{double['to_ipopt']:.1e} to IPOPT; "
        f"float {single['to_python']:.1e} and {single['to_ipopt']:.1e}"
    ]
    if target is not None:
        counts = target["instructions"]["all"]
        lines.append(
            f"  on an emulated {target['core']}: flash {target['flash']} bytes, RAM with stack {target['ram']} bytes, "
            f"{counts['mean']} instructions a sample, at most {counts['max']}"
        )
    return lines


def pil_verb(design: Design, options: Options, *, cores: Sequence[str] = CORES, double: bool = False) -> Result:
    """The exported controller on emulated cores, over every scenario of the design, to the bit the same as here → pil.json."""
    from lstm_mpc.export.bundle import measured
    from lstm_mpc.export.controller import controller
    from lstm_mpc.export.folder import write_sources
    from lstm_mpc.export.templates import name_of

    claim(design.file(PIL), options)
    for core in ("host", *cores):
        if (lacks := pil.missing(core)) is not None:
            raise InputError(f"pil: {lacks}")
    passed = Release.load(design.file(RELEASE))
    parts = _recorded(design, passed, double)
    found: dict[str, list[dict[str, Any]]] = {core: [] for core in cores}
    with tempfile.TemporaryDirectory() as place:
        for number, (dead_time, frames) in enumerate(parts.items()):
            files = controller(passed, replace(design.control, dead_time=dead_time), design.budget)
            write_sources(place, files)
            here = pil.replay_on_host(place, name_of(files), frames, double=double)
            for step, core in enumerate(cores):
                options.progress("pil", (number + step / len(cores)) / len(parts), f"{core}, dead time {dead_time:g} s")
                there = pil.replay(place, name_of(files), frames, core=core, double=double)
                if (different := pil.differences(here, there)) is not None:
                    raise LstmMpcError(f"pil: {core} does not compute the host's bits: {different}")
                found[core].append({"dead_time": dead_time, "samples": sum(there.lengths), **measured(there)})
    store.write_json(design.file(PIL), "lstm_mpc processor in the loop", {"model": passed.model.digest, "double": double, "cores": found})
    lines = [
        *waivers(passed),
        f"every sample equal to the host's in every bit, {'double' if double else 'single'} precision; instructions mean / worst:",
        "  core          dead time  samples    flash  RAM+stack          prepare          feedback           advance               all",
    ]
    for core, rows in found.items():
        for row in rows:
            counts = [f"{n['mean']:>8d} / {n['max']:<7d}" for n in row["instructions"].values()]
            lines.append(
                f"  {core:<13} {row['dead_time']:7.0f} s  {row['samples']:7d}  {row['flash']:7d}  {row['ram']:9d} " + " ".join(counts)
            )
    lines.append(f"  flash and RAM in bytes → {design.file(PIL)}")
    return Result(tuple(lines), {"model": passed.model.digest, "cores": found})


def _recorded(design: Design, passed: Release, double: bool) -> dict[float, pil.Frames]:
    """What the controller measured in the design's scenarios, closed in software; without a plant, its golden vectors. By dead time."""
    if design.plant is None or not design.scenarios:
        from lstm_mpc.export.golden import golden

        vectors = golden(passed, design.control, design.budget, u_start=design.u_start)
        return {design.control.dead_time: pil.Frames((vectors.run,))}
    runs: dict[float, list[pil.Run]] = {}
    for scenario in design.scenarios:
        problem = replace(design.control, dead_time=scenario.believed)
        here = engine_of("c-double" if double else "c", passed, problem, design.budget)
        run = close_loop(design.plant_of(scenario), here, scenario, u_start=design.u_start, horizon=problem.ahead(passed.model))
        runs.setdefault(problem.dead_time, []).append(pil.Run(run.y[0], run.u_start, run.y, run.ahead))
    return {dead_time: pil.Frames(tuple(part)) for dead_time, part in runs.items()}
