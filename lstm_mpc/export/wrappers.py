"""The C files of a controller for two more places: an S-function for Simulink, and a library for Arduino and PlatformIO."""

from __future__ import annotations

import json
from collections.abc import Mapping

from numpy.typing import ArrayLike

import lstm_mpc
from lstm_mpc.export.templates import name_of, named
from lstm_mpc.export.unit import controller_unit
from lstm_mpc.release import Release

SIMULINK, ARDUINO = "lstm_mpc Simulink S-function", "lstm_mpc Arduino library"
PRODUCTS = ("*.mex*",)  # what mex leaves
_SIMULINK_PAGE = """\
# {name} as an S-function

In MATLAB, in this folder: `mex {name}_sfun.c {name}.c {name}_data.c`. Then an S-Function block with the name `{name}_sfun` and as
parameter the inputs in force before the first sample ({inputs}).

Inputs of the block: {measurements}, and their setpoints. Outputs: {inputs}, and the status of {name}.h (0: clean). Sample time {Ts:g} s.
Single precision inside; add `-D` with the macro of the header for double.
"""
_ARDUINO_PAGE = """\
# {name} for Arduino and PlatformIO

Copy this folder into the libraries folder of the Arduino IDE, or into `lib/` of a PlatformIO project. `examples/loop/loop.ino` calls the
controller every {Ts:g} s: it reads {measurements}, writes {inputs}, and prints a status that is not 0. Fill in the two functions that
touch your pins. Needs a processor with at least the RAM that the structs of `src/{name}.h` take; compile with `-ffp-contract=off` where
bits matter.
"""


def simulink(release: Release, files: Mapping[str, str]) -> dict[str, str]:
    """The controller's `files` (name -> text) with `<name>_sfun.c`, a level-2 S-function around them; its head says how to build it."""
    name = name_of(files)
    sources = " ".join(sorted(file for file in files if file.endswith(".c")))
    made = named("simulink/sfun.c", name, sources=sources, nu=str(len(release.model.inputs)), **_labels(release))
    return {**files, f"{name}_sfun.c": made}


def arduino(release: Release, files: Mapping[str, str], *, u_start: ArrayLike | None = None) -> dict[str, str]:
    """A library with the controller's `files` (name -> text) in `src/` and a sketch in `examples/loop/`; names are paths within it.

    `u_start` (nu,) [input unit] are the inputs that the sketch takes to be in force before the first sample, as in `controller_unit`.
    """
    unit, version = controller_unit(release, files, u_start=u_start), lstm_mpc.__version__
    setpoints = unit.inputs[len(release.model.outputs) :]
    starts = {word: ", ".join(repr(port.start) for port in ports) for word, ports in (("start", unit.parameters), ("setpoint", setpoints))}
    sentence = f"Predictive controller with the LSTM model {unit.digest[:12]}, one sample every {unit.Ts!r} s."
    properties = {
        "name": unit.name,
        "version": version,
        "author": "lstm_mpc",
        "maintainer": "lstm_mpc",
        "sentence": sentence,
        "paragraph": "See the header for what it computes and what its status says.",
        "category": "Device Control",
        "url": "",
        "architectures": "*",
        "includes": f"{unit.name}.h",
    }
    manifest = {"name": unit.name, "version": version, "description": sentence, "headers": f"{unit.name}.h"}
    return {
        **{f"src/{file}": text for file, text in files.items()},
        "examples/loop/loop.ino": named("arduino/loop.ino", unit.name, Ts=repr(unit.Ts), **starts, **_labels(release)),
        "library.properties": "".join(f"{key}={value}\n" for key, value in properties.items()),
        "library.json": json.dumps(manifest | {"frameworks": "*", "platforms": "*"}, indent=2) + "\n",
    }


def simulink_folder(release: Release, files: Mapping[str, str]) -> dict[str, str]:
    """`simulink` and a page that says how to build and use it."""
    name = name_of(files)
    return {**simulink(release, files), "README.md": _SIMULINK_PAGE.format(name=name, Ts=release.model.Ts, **_labels(release))}


def arduino_folder(release: Release, files: Mapping[str, str], *, u_start: ArrayLike | None = None) -> dict[str, str]:
    """`arduino` and a page that says how to install and use it."""
    name = name_of(files)
    page = _ARDUINO_PAGE.format(name=name, Ts=release.model.Ts, **_labels(release))
    return {**arduino(release, files, u_start=u_start), "README.md": page}


def _labels(release: Release) -> dict[str, str]:
    """Names and units of the signals, for comments in C."""
    words = {"measurements": release.model.outputs, "inputs": release.model.inputs}
    return {word: ", ".join(s.label for s in signals).replace("*/", "* /") for word, signals in words.items()}
