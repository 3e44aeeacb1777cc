"""The C files of a controller for two more places: an S-function for Simulink, and a library for
Arduino and PlatformIO."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from lstm_mpc.assurance.clearance import Cleared, checked_clearance
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.codegen.identifiers import constant
from lstm_mpc.control.controller import status_rows
from lstm_mpc.export.fmu.unit import compiled, controller_unit
from lstm_mpc.io.artefact_file import VERSION
from lstm_mpc.io.templates import render

SIMULINK, ARDUINO = "lstm_mpc Simulink S-function", "lstm_mpc Arduino library"
PRODUCTS = ("*.mex*",)  # what mex leaves


def simulink(cleared: Cleared) -> dict[str, str]:
    """The C files of the cleared controller with `<name>_sfun.c`, a level-2 S-function around them;
    its head says how to build it."""
    spec = checked_clearance(cleared).spec
    sources = " ".join(compiled(spec.sources))
    text = render("export", "simulink/sfun.c", **_words(spec), sources=sources)
    return {**spec.sources, f"{spec.name}_sfun.c": text}


def arduino(cleared: Cleared, *, u_start: ArrayLike | None = None) -> dict[str, str]:
    """A library with the C files of the cleared controller in `src/` and a sketch in
    `examples/loop/`; names are paths within it.

    `u_start` (nu,) [input unit] are the inputs that the sketch takes to be in force before the
    first sample, as in `controller_unit`."""
    spec = checked_clearance(cleared).spec
    unit, ny = controller_unit(cleared, u_start=u_start), len(spec.model.outputs)
    words = _words(spec) | {
        "version": VERSION,
        "digest": unit.digest,
        "start": [port.start for port in unit.parameters],
        "setpoint": [port.start for port in unit.inputs[ny : 2 * ny]],
        "meanings": list(spec.meanings.values()),
    }
    made = {
        "examples/loop/loop.ino": "loop.ino",
        "library.properties": "library.properties",
        "library.json": "library.json",
    }
    return {
        **{f"src/{file}": text for file, text in spec.sources.items()},
        **{place: render("export", f"arduino/{file}", **words) for place, file in made.items()},
    }


def simulink_folder(cleared: Cleared, *, u_start: ArrayLike | None = None) -> dict[str, str]:
    """`simulink` and a page that says how to build and use it; `u_start` (nu,) as in
    `controller_unit` is written there."""
    spec = checked_clearance(cleared).spec
    page = render(
        "export",
        "simulink/README.md",
        **_words(spec),
        sources=compiled(spec.sources),
        in_force=[port.start for port in controller_unit(cleared, u_start=u_start).parameters],
        rows=constant(spec.sources, "REFERENCES"),
        foreseen=spec.foreseen + 1,
    )
    return {**simulink(cleared), "README.md": page}


def arduino_folder(cleared: Cleared, *, u_start: ArrayLike | None = None) -> dict[str, str]:
    """`arduino` and a page that says how to install and use it."""
    page = render("export", "arduino/README.md", **_words(checked_clearance(cleared).spec))
    return {**arduino(cleared, u_start=u_start), "README.md": page}


def _words(spec: ControllerSpec) -> dict[str, Any]:
    """What all these texts say."""
    return {
        "name": spec.name,
        "Ts": float(spec.model.Ts),
        "statuses": status_rows(spec.name.upper(), spec.meanings),
        "measurements": [s.label for s in spec.model.outputs],
        "known": [s.label for s in spec.model.measured],
        "inputs": [s.label for s in spec.model.manipulated],
    }
