"""The verbs that hand a release over: exports of the model and of its controller, and the processor
in the loop."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lstm_mpc.assurance.clearance import ControllerRelease, clear
from lstm_mpc.certificates.gate import Release
from lstm_mpc.control.simulation import close_loop
from lstm_mpc.errors import InputError, LstmMpcError
from lstm_mpc.export import pil
from lstm_mpc.export.pil import CORES
from lstm_mpc.io import artefact_file
from lstm_mpc.project.artefacts import PIL, RELEASE, Options, Result, refuse_overwrite, waivers
from lstm_mpc.project.design import Design
from lstm_mpc.project.loop_steps import engine_of, loop_evidence

TARGETS = ("c", "controller", "onnx", "fmu", "simulink", "arduino")
OF_THE_MODEL = ("c", "onnx")  # targets without a controller


def export_verb(design: Design, options: Options, *, target: str = "controller") -> Result:
    """The released model or its controller for elsewhere, into a folder of the target's name: see
    TARGETS."""
    from lstm_mpc.codegen.folder import refuse_foreign, write_folder

    passed, folder = Release.load(design.file(RELEASE)), design.file(target)
    kind, products = _kind(target)
    refuse_foreign(folder, kind)  # before the work, not after it
    if target in OF_THE_MODEL:
        made, facts, words = _exported(passed, design, target, folder)
    else:
        cleared = clear(
            passed,
            design.control,
            solver=design.solver,
            loop=loop_evidence(design),
            folder=str(design.folder),
        )
        made, facts, words = _deployed(
            cleared,
            design,
            target,
            folder,
            lambda share, what: options.progress("export", share, what),
        )
        facts = {**facts, "cleared": [list(pair) for pair in cleared.evidence]}
        words = [
            *words,
            *(
                f"  cleared by what is {how}: {refuse_overwrite}"
                for how, refuse_overwrite in cleared.evidence
            ),
        ]
    write_folder(folder, made, kind=kind, products=products, facts=facts)
    content = {"model": passed.model.digest, "folder": str(folder), "files": list(made), **facts}
    return Result((*waivers(passed), *words), content)


def _kind(target: str) -> tuple[str, Sequence[str]]:
    """What the folder is called in its manifest, and the patterns of what building it makes."""
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


# files, facts for the manifest, and what to say
Made = tuple[Mapping[str, str | bytes], dict[str, Any], list[str]]


def _exported(passed: Release, design: Design, target: str, folder: Path) -> Made:
    """The model alone."""
    from lstm_mpc.codegen import c_model
    from lstm_mpc.export import onnx_model

    made: Mapping[str, str | bytes]
    if target == "c":
        made = c_model.c_model(passed)
        return (
            made,
            {},
            [f"C model: {', '.join(made)} → {folder}; `make -C {folder} test` checks it"],
        )
    made = onnx_model.onnx_model(passed)
    return (
        made,
        {},
        [f"ONNX model: {', '.join(made)} → {folder}; its LSTM nodes are in single precision"],
    )


def _deployed(
    cleared: ControllerRelease,
    design: Design,
    target: str,
    folder: Path,
    tell: Callable[[float, str], None],
) -> Made:
    """What contains the controller."""
    from lstm_mpc.export import controller_folder, simulink_arduino
    from lstm_mpc.export.fmu import archive

    made: Mapping[str, str | bytes]
    passed, files = cleared.release, dict(cleared.files)
    if target == "controller":
        packed = controller_folder.bundle(
            passed, cleared.problem, cleared.solver, u_start=design.u_start, on_progress=tell
        )
        words = (
            f"C controller: {', '.join(packed.files)} → {folder}; `make -C {folder} test` checks it"
        )
        return packed.files, packed.facts, [words, *_controller_words(packed.facts)]
    if target == "fmu":
        made = archive.fmu_folder(passed, files, u_start=design.u_start, on_progress=tell)
        return made, {}, [f"FMUs: {', '.join(made)} → {folder}"]
    if target == "simulink":
        made = simulink_arduino.simulink_folder(passed, files, u_start=design.u_start)
        return made, {}, [f"Simulink S-function: {', '.join(made)} → {folder}"]
    made = simulink_arduino.arduino_folder(passed, files, u_start=design.u_start)
    return made, {}, [f"Arduino and PlatformIO library: {', '.join(made)} → {folder}"]


def _controller_words(facts: Mapping[str, Any]) -> list[str]:
    single, double, target = (
        facts["agreement"]["float"],
        facts["agreement"]["double"],
        facts["target"],
    )
    lines = [
        f"  self-test, share of the input range: double {double['to_python']:.1e} to its twin in"
        f" Python, {double['to_ipopt']:.1e} to IPOPT; float {single['to_python']:.1e} and"
        f" {single['to_ipopt']:.1e}"
    ]
    if target is not None:
        counts = target["instructions"]["all"]
        lines.append(
            f"  on an emulated {target['core']}: flash {target['flash']} bytes, RAM with stack"
            f" {target['ram']} bytes, {counts['mean']} instructions a sample, at most"
            f" {counts['max']}"
        )
    return lines


def pil_verb(
    design: Design, options: Options, *, cores: Sequence[str] = tuple(CORES), double: bool = False
) -> Result:
    """The exported controller on emulated cores, over every scenario of the design, to the bit the
    same as here → pil.json."""
    from lstm_mpc.codegen.c_controller import controller
    from lstm_mpc.codegen.folder import write_sources
    from lstm_mpc.codegen.templates import name_of
    from lstm_mpc.export.controller_folder import measured

    refuse_overwrite(design.file(PIL), options)
    for core in ("host", *cores):
        if (lacks := pil.missing(core)) is not None:
            raise InputError(f"pil: {lacks}")
    passed = Release.load(design.file(RELEASE))
    options.progress("pil", 0.0, "the loops here")
    parts = _recorded(design, passed, double)
    found: dict[str, list[dict[str, Any]]] = {core: [] for core in cores}
    with tempfile.TemporaryDirectory() as place:
        for number, (dead_time, frames) in enumerate(parts.items()):
            files = controller(passed, replace(design.control, dead_time=dead_time), design.solver)
            write_sources(place, files)
            here = pil.replay_on_host(place, name_of(files), frames, double=double)
            for step, core in enumerate(cores):
                options.progress(
                    "pil",
                    (number + step / len(cores)) / len(parts),
                    f"{core}, dead time {dead_time:g} s",
                )
                there = pil.replay(place, name_of(files), frames, core=core, double=double)
                if (different := pil.differences(here, there)) is not None:
                    raise LstmMpcError(f"pil: {core} does not compute the host's bits: {different}")
                found[core].append(
                    {"dead_time": dead_time, "samples": sum(there.lengths), **measured(there)}
                )
    artefact_file.write_json(
        design.file(PIL),
        "lstm_mpc processor in the loop",
        {"model": passed.model.digest, "double": double, "cores": found},
    )
    lines = [
        *waivers(passed),
        (
            f"every sample equal to the host's in every bit, {'double' if double else 'single'}"
            " precision; instructions mean / worst:"
        ),
        (
            "  core          dead time  samples    flash  RAM+stack          prepare         "
            " feedback           advance               all"
        ),
    ]
    for core, rows in found.items():
        for row in rows:
            counts = [f"{n['mean']:>8d} / {n['max']:<7d}" for n in row["instructions"].values()]
            lines.append(
                f"  {core:<13} {row['dead_time']:7.0f} s  {row['samples']:7d}  {row['flash']:7d} "
                f" {row['ram']:9d} " + " ".join(counts)
            )
    lines.append(f"  flash and RAM in bytes → {design.file(PIL)}")
    return Result(tuple(lines), {"model": passed.model.digest, "cores": found})


def _recorded(design: Design, passed: Release, double: bool) -> dict[float, pil.Frames]:
    """What the controller measured in the design's scenarios, closed in software; without a plant,
    its golden vectors. By dead time."""
    if not design.scenarios:
        from lstm_mpc.export.golden import golden

        vectors = golden(passed, design.control, design.solver, u_start=design.u_start)
        return {design.control.dead_time: pil.Frames((vectors.run,))}
    runs: dict[float, list[pil.Run]] = {}
    for scenario in design.scenarios:
        problem = replace(design.control, dead_time=scenario.believed)
        here = engine_of("c-double" if double else "c", passed, problem, design.solver)
        run = close_loop(
            design.plant_of(scenario),
            here,
            scenario,
            u_start=design.u_start,
            horizon=problem.ahead(passed.model),
        )
        runs.setdefault(problem.dead_time, []).append(
            pil.Run(run.y[0], run.u_start, run.y, run.ahead)
        )
    return {dead_time: pil.Frames(tuple(part)) for dead_time, part in runs.items()}
