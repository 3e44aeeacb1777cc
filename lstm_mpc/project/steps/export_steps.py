"""The steps that take a release elsewhere: exports of the model and of its controller, and the
processor in the loop. Each returns a noun; `Project` writes it down."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lstm_mpc.assurance import clearance
from lstm_mpc.assurance.clearance import ControllerRelease
from lstm_mpc.certificates.gate import Release
from lstm_mpc.control import simulation
from lstm_mpc.errors import InputError, LstmMpcError
from lstm_mpc.export import pil as bench
from lstm_mpc.export.pil import CORES
from lstm_mpc.io import artefact_file
from lstm_mpc.project.artefacts import DEFAULT, RELEASE, Options
from lstm_mpc.project.design import Design
from lstm_mpc.project.steps.loop_steps import engine_of, loop_evidence

TARGETS = ("c", "controller", "onnx", "fmu", "simulink", "arduino")
OF_THE_MODEL = ("c", "onnx")  # targets without a controller
PIL_KIND = "lstm_mpc processor in the loop"


@dataclass(frozen=True)
class Export:
    """The files of a target of TARGETS, name -> content, the facts of its manifest, and what
    cleared the controller as (kind, sentence)."""

    target: str
    release: Release
    files: Mapping[str, str | bytes]
    facts: Mapping[str, Any] = field(default_factory=dict)
    evidence: tuple[tuple[str, str], ...] = ()

    def save(self, folder: Path) -> None:
        """Write the files and their manifest; InputError where files of others are in the way."""
        from lstm_mpc.codegen.folder import write_folder

        kind, products = _kind(self.target)
        write_folder(folder, self.files, kind=kind, products=products, facts=dict(self.facts))


@dataclass(frozen=True)
class PilResult:
    """The controller on emulated cores: for each core a row for every dead time, with samples,
    sizes and instructions."""

    release: Release
    double: bool
    cores: Mapping[str, Sequence[Mapping[str, Any]]]

    def content(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "model": self.release.model.digest,
            "double": self.double,
            "cores": dict(self.cores),
        }

    def save(self, path: Path) -> None:
        """Write the artefact."""
        artefact_file.write_json(path, PIL_KIND, self.content())


def export(design: Design, options: Options = DEFAULT, *, target: str = "controller") -> Export:
    """The released model or its controller for elsewhere.

    Args:
        design: the directory of the release, and the controller.
        options: who hears of the progress.
        target: of TARGETS.

    Returns:
        The files, not yet written.

    Raises:
        InputError: there is no usable release, or files of others are in the way.
        Refused: the gate of the controller says no.
    """
    from lstm_mpc.codegen.folder import refuse_foreign

    passed = Release.load(design.file(RELEASE))
    refuse_foreign(design.file(target), _kind(target)[0])  # before the work, not after it
    if target in OF_THE_MODEL:
        return Export(target, passed, _model_files(passed, target))
    cleared = clearance.clear(
        passed,
        design.control,
        solver=design.solver,
        loop=loop_evidence(design),
        folder=str(design.folder),
    )
    files, facts = _controller_files(cleared, design, target, options)
    facts = {**facts, "cleared": [list(pair) for pair in cleared.evidence]}
    return Export(target, passed, files, facts, cleared.evidence)


def _kind(target: str) -> tuple[str, Sequence[str]]:
    """What the folder is called in its manifest, and the patterns of what building it leaves."""
    from lstm_mpc.codegen import c_model
    from lstm_mpc.export import controller_folder, onnx_model, simulink_arduino
    from lstm_mpc.export.fmu import archive

    return {
        "c": (c_model.KIND, c_model.PRODUCTS),
        "onnx": (onnx_model.KIND, ()),
        "controller": (controller_folder.KIND, controller_folder.PRODUCTS),
        "fmu": (archive.KIND, ()),
        "simulink": (simulink_arduino.SIMULINK, simulink_arduino.PRODUCTS),
        "arduino": (simulink_arduino.ARDUINO, ()),
    }[target]


def _model_files(passed: Release, target: str) -> Mapping[str, str | bytes]:
    from lstm_mpc.codegen import c_model
    from lstm_mpc.export import onnx_model

    return c_model.c_model(passed) if target == "c" else onnx_model.onnx_model(passed)


def _controller_files(
    cleared: ControllerRelease, design: Design, target: str, options: Options
) -> tuple[Mapping[str, str | bytes], dict[str, Any]]:
    from lstm_mpc.export import controller_folder, simulink_arduino
    from lstm_mpc.export.fmu import archive

    def on_progress(share: float, what: str) -> None:
        options.progress("export", share, what)

    passed, files = cleared.release, dict(cleared.files)
    if target == "controller":
        packed = controller_folder.bundle(
            passed,
            cleared.problem,
            cleared.solver,
            u_start=design.u_start,
            on_progress=on_progress,
        )
        return packed.files, dict(packed.facts)
    if target == "fmu":
        units = archive.fmu_folder(passed, files, u_start=design.u_start, on_progress=on_progress)
        return units, {}
    if target == "simulink":
        return simulink_arduino.simulink_folder(passed, files, u_start=design.u_start), {}
    return simulink_arduino.arduino_folder(passed, files, u_start=design.u_start), {}


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
        LstmMpcError: a core computes other bits than this computer.
    """
    from lstm_mpc.codegen.c_controller import controller
    from lstm_mpc.codegen.folder import write_sources
    from lstm_mpc.codegen.templates import name_of
    from lstm_mpc.export.controller_folder import measured

    for core in ("host", *cores):
        if (lacks := bench.missing(core)) is not None:
            raise InputError(f"pil: {lacks}")
    passed = Release.load(design.file(RELEASE))
    options.progress("pil", 0.0, "the loops here")
    parts = _recorded(design, passed, double)
    rows: dict[str, list[dict[str, Any]]] = {core: [] for core in cores}
    with tempfile.TemporaryDirectory() as place:
        for number, (dead_time, frames) in enumerate(parts.items()):
            files = controller(passed, replace(design.control, dead_time=dead_time), design.solver)
            write_sources(place, files)
            here = bench.replay_on_host(place, name_of(files), frames, double=double)
            for step, core in enumerate(cores):
                share = (number + step / len(cores)) / len(parts)
                options.progress("pil", share, f"{core}, dead time {dead_time:g} s")
                there = bench.replay(place, name_of(files), frames, core=core, double=double)
                if (different := bench.differences(here, there)) is not None:
                    raise LstmMpcError(f"pil: {core} does not compute the host's bits: {different}")
                rows[core].append(
                    {"dead_time": dead_time, "samples": sum(there.lengths), **measured(there)}
                )
    return PilResult(passed, double, rows)


def _recorded(design: Design, passed: Release, double: bool) -> dict[float, bench.Frames]:
    """What the controller measured in the design's scenarios, closed in software; without a plant,
    its golden vectors. By dead time."""
    if not design.scenarios:
        from lstm_mpc.export.golden import golden

        vectors = golden(passed, design.control, design.solver, u_start=design.u_start)
        return {design.control.dead_time: bench.Frames((vectors.run,))}
    runs: dict[float, list[bench.Run]] = {}
    for scenario in design.scenarios:
        problem = replace(design.control, dead_time=scenario.believed)
        here = engine_of("c-double" if double else "c", passed, problem, design.solver)
        run = simulation.close_loop(
            design.plant_of(scenario),
            here,
            scenario,
            u_start=design.u_start,
            horizon=problem.ahead(passed.model),
            measured=[s.name for s in passed.model.measured],
            foreseen=problem.foreseen(passed.model),
        )
        runs.setdefault(problem.dead_time, []).append(
            bench.Run(run.y[0], run.u_start, run.y, run.ahead)
        )
    return {dead_time: bench.Frames(tuple(part)) for dead_time, part in runs.items()}
