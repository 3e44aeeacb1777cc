"""The steps that take a release elsewhere: exports of the model and of its controller, and the
processor in the loop. Each returns a noun; `Project` writes it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lstm_mpc.assurance import clearance
from lstm_mpc.assurance.clearance import Cleared
from lstm_mpc.assurance.loops.performance import bounded
from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.provenance.manifest import Manifest
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.control import simulation
from lstm_mpc.errors import InputError, LstmMpcError, Refused
from lstm_mpc.export.golden import golden
from lstm_mpc.export.hostile import hostile
from lstm_mpc.export.pil import replay
from lstm_mpc.export.pil_bench import missing
from lstm_mpc.export.pil_frames import CORES, Frames, Run, differences, measured
from lstm_mpc.io import artefact_file
from lstm_mpc.io.export_folder import refuse_foreign, write_folder
from lstm_mpc.io.targets import MODEL, Order, target_of
from lstm_mpc.project import campaign_log, judged
from lstm_mpc.project.artefacts import DEFAULT, Options
from lstm_mpc.project.design import Design
from lstm_mpc.project.design_manifest import manifest, of_runs
from lstm_mpc.project.steps.replay_steps import refuse_other_worst
from lstm_mpc.project.steps.sign_steps import signers_of

PIL_KIND = "lstm_mpc processor in the loop"


@dataclass(frozen=True)
class Export:
    """The files of a target, name -> content, the facts of its manifest, and what
    cleared the controller as (kind, sentence)."""

    target: str
    release: Release
    files: Mapping[str, str | bytes]
    facts: Mapping[str, Any] = field(default_factory=dict)
    evidence: tuple[tuple[str, str], ...] = ()

    def save(self, folder: Path) -> None:
        """Write the files and their manifest; InputError where files of others are in the way."""
        target = target_of(self.target)
        write_folder(
            folder,
            self.files,
            kind=target.kind,
            products=target.products,
            facts=dict(self.facts),
        )


@dataclass(frozen=True)
class PilResult:
    """The controller on emulated cores: for each core a row for every dead time, with samples,
    sizes and instructions, and those of "hostile" samples, which were searched for. Scenarios for a
    dead time [s] in `left` were left out: the controller is not cleared for it."""

    release: Release
    double: bool
    cores: Mapping[str, Sequence[Mapping[str, Any]]]
    manifest: Manifest
    left: tuple[float, ...] = ()

    def content(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "model": self.release.model.digest,
            "double": self.double,
            "cores": dict(self.cores),
            "manifest": self.manifest,
        }

    def save(self, path: Path) -> None:
        """Write the artefact."""
        artefact_file.write_json(path, PIL_KIND, self.content())


def export(design: Design, options: Options = DEFAULT, *, target: str = "controller") -> Export:
    """The released model or its controller for elsewhere.

    Args:
        design: the directory of the release, and the controller.
        options: who hears of the progress.
        target: a name of `io.targets.targets`.

    Returns:
        The files, not yet written.

    Raises:
        InputError: there is no such target or no usable release, or files of others are in the
            way.
        Refused: the gate of the controller says no.
    """
    record, passed = target_of(target), judged.passed(design, "export")
    refuse_foreign(design.file(target), record.kind)  # before the work, not after it
    order = Order(design.u_start, lambda share, what: options.progress("export", share, what))
    if record.subject == MODEL:
        signed = [
            ("signed", f"the release, by {key}") for key in signers_of(design, passed, "export")
        ]
        made = record.make(passed, order)
        facts = {**made.facts, **({"signed": signed} if signed else {})}
        return Export(target, passed, made.files, facts, tuple(signed))
    cleared = cleared_of(design, passed)
    made = record.make(cleared, order)
    facts = {**made.facts, "cleared": [list(pair) for pair in cleared.evidence]}
    return Export(target, passed, made.files, facts, cleared.evidence)


def cleared_of(
    design: Design, passed: Release, spec: ControllerSpec | None = None, *, engine: str = "c"
) -> Cleared:
    """The controller of the design, or `spec`, through its gate; the worst loop of its evidence is
    run again under the engine."""
    spec = spec or ControllerSpec(passed, design.control, design.solver)
    log = campaign_log.campaigns(design)
    needed = passed.policy.controller != "tube" or bounded(passed.policy)  # loops have a part in it
    loop = judged.loop_record(design, "export") if needed else None
    signers = signers_of(design, passed, "export")
    where = str(design.folder)
    proof = judged.loop_proof(design)
    cleared = clearance.clear(spec, loop=loop, log=log, signers=signers, proof=proof, folder=where)
    if loop is not None and any(kind == "sampled" for kind, _ in cleared.evidence):
        refuse_other_worst(design, spec, loop, engine)
    return cleared


def pil(
    design: Design,
    options: Options = DEFAULT,
    *,
    cores: Sequence[str] = tuple(CORES),
    double: bool = False,
) -> PilResult:
    """The exported controller on emulated cores over every scenario of the design.

    Args:
        design: the directory of the release, the controller, plant and scenarios.
        options: who hears of the progress.
        cores: names of CORES.
        double: in double precision.

    Returns:
        Sizes and instructions; every sample was equal to this computer's in every bit.

    Raises:
        InputError: a tool is missing, or there is no usable release.
        Refused: the gate of the controller says no.
        LstmMpcError: a core computes other bits than this computer.
    """
    for core in ("host", *cores):
        if (lacks := missing(core)) is not None:
            raise InputError(f"pil: {lacks}")
    passed = judged.passed(design, "pil")
    spec = cleared_of(design, passed).spec  # refused at once, where it is
    options.progress("pil", 0.0, "the loops here")
    parts = _recorded(design, spec, double)
    rows: dict[str, list[dict[str, Any]]] = {core: [] for core in cores}
    left = []
    for number, (dead_time, frames) in enumerate(parts.items()):
        try:
            cleared = cleared_of(design, passed, spec.with_dead_time(dead_time))
        except Refused:
            left.append(dead_time)
            continue
        dear = hostile(cleared.spec, double=double)
        here = [replay(cleared, given, double=double) for given in (frames, dear)]
        for step, core in enumerate(cores):
            share = (number + step / len(cores)) / len(parts)
            options.progress("pil", share, f"{core}, dead time {dead_time:g} s")
            there = [replay(cleared, given, core=core, double=double) for given in (frames, dear)]
            for one, other in zip(here, there, strict=True):
                if (different := differences(one, other)) is not None:
                    raise LstmMpcError(f"pil: {core} does not compute the host's bits: {different}")
            row = {"dead_time": dead_time, "samples": sum(there[0].lengths), **measured(there[0])}
            worst = {"samples": sum(there[1].lengths), **measured(there[1])["instructions"]}
            rows[core].append({**row, "hostile": worst})
    return PilResult(passed, double, rows, manifest(design).part(of_runs), tuple(left))


def _recorded(design: Design, spec: ControllerSpec, double: bool) -> dict[float, Frames]:
    """What the controller measured in the design's scenarios, closed in software; without a plant,
    its golden vectors. By dead time."""
    if not design.scenarios:
        return {spec.problem.dead_time: Frames((golden(spec, u_start=design.u_start).run,))}
    runs: dict[float, list[Run]] = {}
    for scenario in design.scenarios:
        believed = scenario.believed
        here = MPC.of(spec.with_dead_time(believed), "c-double" if double else "c")
        run = simulation.simulate_closed_loop(
            design.plant_of(scenario), here, scenario, u_start=design.u_start
        )
        runs.setdefault(believed, []).append(
            Run(run.y[0], run.u_start, run.y, run.ahead, run.known)
        )
    return {dead_time: Frames(tuple(part)) for dead_time, part in runs.items()}
