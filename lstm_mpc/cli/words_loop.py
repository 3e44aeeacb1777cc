"""What the commands print: nouns of the loop and of exports in sentences, and as the object of
`--json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lstm_mpc.assurance.loop_claims import bound_claim, performance_claims, sentence
from lstm_mpc.assurance.loop_reasons import loop_reasons
from lstm_mpc.certificates.evidence import VERIFY_LOOP, LoopVerification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.scenarios import scenario_count
from lstm_mpc.cli.words import Answer, waivers
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.control.controller import WORDS, Status
from lstm_mpc.control.loop_metrics import TAIL, band_of, metrics
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.run_log import RunLog
from lstm_mpc.control.simulation import Run
from lstm_mpc.io.targets import target_of
from lstm_mpc.model.model import Model
from lstm_mpc.plants.phrases import within
from lstm_mpc.plants.system import System
from lstm_mpc.project import campaign_log
from lstm_mpc.project.artefacts import ASSURANCE, FIGURES, PIL
from lstm_mpc.project.design import Design
from lstm_mpc.project.steps.export_steps import Export, PilResult
from lstm_mpc.project.steps.loop_steps import ClosedLoops
from lstm_mpc.project.steps.replay_steps import Replay

_CONTROL_HEAD = (
    "  scenario      IAE    travel  max |offset|  overshoot  settling of each step [s]         "
    " solve ms med/max  failures"
)


def controlled(loops: ClosedLoops, log: RunLog | None) -> Answer:
    """What `control` measured."""
    lines = [*waivers(loops.release), _CONTROL_HEAD]
    for run, plant, m in zip(loops.runs, loops.plants, loops.metrics, strict=True):
        solves = (
            f"  {m['solve_ms']['median']:6.1f} / {m['solve_ms']['max']:.1f}  {m['failures']:8d}"
        )
        first, *others = _metric_rows(m, plant)
        lines += [first + solves, *map(str.rstrip, others), *_flags(run)]
    model = loops.release.model
    y, u = (
        ", ".join(dict.fromkeys(s.unit for s in signals))
        for signals in (model.outputs, model.manipulated)
    )
    lines.append(
        f"  units: IAE {y}·s, travel {u}, offset (mean error over the last"
        f" {TAIL * model.Ts:g} s of each step) and overshoot {y}"
    )
    if log:
        lines.append(f"  log: {sum(len(run.t) for run in loops.runs)} samples → {log.path}")
    return Answer(
        lines, {"model": model.digest, "engine": loops.engine, "runs": list(loops.metrics)}
    )


def _flags(run: Run) -> list[str]:
    """What the controller flagged; what is no fault is counted only."""
    counted = (Status.BUDGET, Status.OUT_OF_REACH)
    flags = {k: run.moves[k].flags for k in run.flagged}
    shown = [k for k, each in flags.items() if each & ~(counted[0] | counted[1])]
    name = run.scenario.name
    lines = [f"  {name}: sample {k}: {run.moves[k].status}" for k in shown]
    for flag in counted:
        count = sum(flag in each for k, each in flags.items() if k not in shown)
        lines += [f"  {name}: {count} sample(s): {WORDS[flag]}"] if count else []
    return lines


def _metric_rows(m: Mapping[str, Any], plant: System) -> list[str]:
    """The figures of a run as rows of the table: the worst of its signals and, where there are
    several, each output and each input."""

    def row(name: str, figures: Mapping[str, Any], travel: str) -> str:
        steps = figures["steps"]
        settling = ", ".join(
            "never" if s["settling"] is None else f"{s['settling']:.0f}" for s in steps
        )
        offset, overshoot = (max(s[key] for s in steps) for key in ("offset", "overshoot"))
        return (
            f"  {name:<10} {figures['iae']:7.1f}  {travel:>7}  {offset:12.4f}  {overshoot:9.3f} "
            f" {settling:<33}"
        )

    rows = [row(m["scenario"], m, f"{m['travel']:.2f}")]
    if plant.ny + plant.nu > 2:
        rows += [
            row(f"  {s.name}", each, "") for s, each in zip(plant.outputs, m["each"], strict=True)
        ]
        rows += [
            f"    {s.name:<8} {'':7}  {travel:7.2f}"
            for s, travel in zip(plant.inputs, m["travels"], strict=True)
        ]
    return rows


def tuned(tuning: KalmanTuning, design: Design, model: Model) -> Answer:
    """The table that `tune-observer` proposes."""
    at = model.manipulated if tuning.input else model.outputs
    rounded = {
        key: [float(f"{x:.3g}") for x in getattr(tuning, key)]
        for key in ("noise", "drift", "max_disturbance")
    }
    numbers = {key: value[0] if len(value) == 1 else value for key, value in rounded.items()}
    outputs, units = (
        ", ".join(f"{s.name} [{s.unit}]" for s in signals) for signals in (model.outputs, at)
    )
    lines = (
        f"# from {design.records('validation').samples} samples of validation data",
        "[observer]",
        'kind = "kalman"',
        f'disturbance = "{tuning.disturbance}"',
        f"noise = {numbers['noise']}  # {outputs}, standard deviation",
        f"drift = {numbers['drift']}  # {units} per sample",
        f"max_disturbance = {numbers['max_disturbance']}  # {units}",
        f"state_noise = {tuning.state_noise:.3g}  # normalised",
    )
    content = {
        "model": model.digest,
        "kind": "kalman",
        "disturbance": tuning.disturbance,
        **numbers,
        "state_noise": tuning.state_noise,
    }
    return Answer(lines, content)


def _settled(error: float, settle: int) -> str:
    """The error at rest; it is 0 to the bit only where no sample was."""
    if error == 0.0:
        return f"never without a change for {settle} samples"
    return f"error after {settle} quiet samples at most {error:.3f}"


def loop_verified(
    evidence: LoopVerification, passed: Release, worst: Replay, design: Design
) -> Answer:
    """What `verify-loop` sampled, and its worst scenario."""
    outputs = passed.model.outputs
    ranges = zip(outputs, zip(evidence.low, evidence.high, strict=True), strict=True)
    reached = ", ".join(
        f"{within([s], [ends])}, {_settled(error, evidence.settle)}"
        for (s, ends), error in zip(ranges, evidence.tracking, strict=True)
    )
    excess = (
        "no input beyond its limits"
        if evidence.violator is None
        else f"INPUT {evidence.violation:.3g} BEYOND ITS LIMITS in {evidence.violator}"
    )
    flags = ", ".join(f"{name} {count}" for name, count in evidence.status.items() if count)
    count = campaign_log.campaigns(design).count(VERIFY_LOOP)
    shown = (bound_claim(evidence, passed), *performance_claims(evidence, outputs, count))
    beside = [line for line in shown if line is not None]
    claim = _claim(evidence, passed, design, count)
    lines = [
        *waivers(passed),
        f"N = {evidence.scenarios} closed loops of {evidence.steps} steps, seed {evidence.seed} →"
        f" {design.file(ASSURANCE)}",
        claim,
        *(f"{kind}: {text}" for kind, text in beside if claim.startswith("sampled")),
        f"reached: {reached}",
        f"the claimed set is {evidence.reach:.3f} of the safe set,"
        f" {'within it' if evidence.reach <= 1 else 'LEAVES it'}; {excess}",
        f"flags of the controller in {evidence.scenarios * evidence.steps} samples:"
        f" {flags or 'none'}",
    ]
    return Answer([*lines, *replayed(worst, design).lines], evidence.content())


def _claim(evidence: LoopVerification, passed: Release, design: Design, count: int) -> str:
    """The claim of closed loops, the last of `count` campaigns, or why there is none."""
    needed = scenario_count(evidence.epsilon, evidence.beta, rule="exact")
    if evidence.scenarios < needed:
        return (
            f"NO EVIDENCE: {evidence.scenarios} closed loops show how it works; ε ="
            f" {evidence.epsilon:g}, β = {evidence.beta:g} need {needed}, and the gate asks for"
            " them"
        )
    reasons = loop_reasons(
        ControllerSpec(passed, design.control, design.solver), evidence, str(design.folder)
    )
    if reasons:
        return f"NO EVIDENCE: {'; '.join(reasons)}"
    return f"sampled: {sentence(evidence, passed, count)}"


def agreement(reach: float, known: float) -> str:
    """How a replay, which the step compared with the evidence, stands to what that says."""
    if reach == known:
        return "the same to the bit as"
    return "the same to single precision as"


def replayed(replay: Replay, design: Design) -> Answer:
    """What one scenario of the loop verification did."""
    ends = [(y.min(), y.max()) for y in replay.run.truth.T]
    path = design.file(FIGURES) / f"loop-number-{replay.index}.png"
    lines = [
        f"scenario {replay.index}: {within(replay.plant.outputs, ends)}, {replay.reach:.3f} of the"
        f" safe set → {path}"
    ]
    evidence = replay.evidence
    if evidence is not None and replay.index == evidence.worst:
        lines.append(f"  {agreement(replay.reach, evidence.reach)} {design.file(ASSURANCE)}")
    found = metrics(replay.run, band=band_of(design.safe_set))
    content = {"index": replay.index, "reach": replay.reach, "metrics": found}
    return Answer(lines, content)


def exported(export: Export, folder: Path) -> Answer:
    """What `export` wrote."""
    sentence = target_of(export.target).sentence
    first = sentence.format(files=", ".join(export.files), folder=folder)
    lines = [*waivers(export.release), first]
    lines += _controller_lines(export.facts) if "agreement" in export.facts else []
    lines += [f"  cleared by what is {how}: {claim}" for how, claim in export.evidence]
    content = {
        "model": export.release.model.digest,
        "folder": str(folder),
        "files": list(export.files),
        **export.facts,
    }
    return Answer(lines, content)


def _controller_lines(facts: Mapping[str, Any]) -> list[str]:
    single, double = (facts["agreement"][kind] for kind in ("float", "double"))
    target = facts["target"]
    lines = [
        f"  self-test, share of the input range: double {double['to_python']:.1e} to its twin in"
        f" Python, {double['to_ipopt']:.1e} to IPOPT; float {single['to_python']:.1e} and"
        f" {single['to_ipopt']:.1e}"
    ]
    if target is not None:
        counts = target["instructions"]["all"]
        lines.append(
            f"  on an emulated {target['core']}: flash {target['flash']} bytes, RAM with stack"
            f" {target['ram']} bytes, {counts['mean']} instructions in the mean of the self-test,"
            f" at most {counts['max']}"
        )
    return lines


def pil_measured(result: PilResult, design: Design) -> Answer:
    """What `pil` measured."""
    precision = "double" if result.double else "single"
    lines = [
        *waivers(result.release),
        f"every sample equal to the host's in every bit, {precision} precision; instructions mean"
        " / worst:",
        "  core          dead time  samples    flash  RAM+stack          prepare         "
        " feedback           advance               all",
    ]
    for core, rows in result.cores.items():
        for row in rows:
            counts = [f"{n['mean']:>8d} / {n['max']:<7d}" for n in row["instructions"].values()]
            lines.append(
                f"  {core:<13} {row['dead_time']:7.0f} s  {row['samples']:7d}  {row['flash']:7d} "
                f" {row['ram']:9d} " + " ".join(counts)
            )
            dear = row["hostile"]
            counts = [f"{n['mean']:>8d} / {n['max']:<7d}" for n in list(dear.values())[1:]]
            lines.append(
                f"  {'':<13} {'hostile':>9}  {dear['samples']:7d}{'':21}" + " ".join(counts)
            )
    lines.append(f"  flash and RAM in bytes → {design.file(PIL)}")
    lines += [
        f"  left out: scenarios for a dead time of {dead_time:g} s, for which the controller is not"
        " cleared"
        for dead_time in result.left
    ]
    return Answer(lines, {"model": result.release.model.digest, "cores": dict(result.cores)})
