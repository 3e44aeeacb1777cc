"""The C files of a controller for two more places: an S-function for Simulink, and a library for
Arduino and PlatformIO."""

from __future__ import annotations

import json
from typing import Any

from numpy.typing import ArrayLike

from lstm_mpc.assurance.clearance import Cleared, checked_clearance
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.codegen.templates import constant, named
from lstm_mpc.control.controller import WORDS, status_table
from lstm_mpc.export.fmu.unit import compiled, controller_unit
from lstm_mpc.io.artefact_file import VERSION
from lstm_mpc.model.model import Model

SIMULINK, ARDUINO = "lstm_mpc Simulink S-function", "lstm_mpc Arduino library"
PRODUCTS = ("*.mex*",)  # what mex leaves
_SIMULINK_PAGE = """\
# {name} as an S-function

In MATLAB, in this folder, with MSVC the first line, with gcc or clang the second:

    mex {name}_sfun.c {sources}
    mex CFLAGS="$CFLAGS -std=c99 -ffp-contract=off" {name}_sfun.c {sources}

`-D{NAME}_DOUBLE` after `mex` computes in double precision instead of single.

Then add an S-Function block: name `{name}_sfun`, parameter `{in_force}`, the inputs in force before the first sample ({inputs}).
To generate code from the model, name the S-function modules `{modules}`.

| port | width | |
|---|---|---|
| input 1 | {ny} | measurements: {measurements} |
| input 2 | {wide} | setpoints{rows} |
| output 1 | {nu} | {inputs} |
| output 2 | 1 | status, `uint32`: 0 (all is well) or a sum of the codes below |

One sample every {Ts!r} s; the outputs follow the measurements of the same instant.
Where the plant has direct feedthrough, too, the loop is algebraic: put a unit delay between them.

{statuses}

Whatever the status says, the inputs are within bounds and rate limits.
"""
_ARDUINO_PAGE = """\
# {name} for Arduino and PlatformIO

Copy this folder as `{name}` into the libraries folder of the Arduino IDE, or into `lib/` of a PlatformIO project.
Then open the example `loop`. It calls the controller every {Ts!r} s: reads {measurements}, gives {inputs}.
Put your sensor and actuator into `measure` and `actuate`, your setpoints into `SETPOINT`.

Meant for processors of 32 bits, best with a floating-point unit.
RAM is `sizeof({name}_state) + sizeof({name}_work)` and the stack; processors that keep constants in RAM (AVR) need that of the model, too.
Single precision; the flag `-D{NAME}_DOUBLE` for everything (`build_flags` of PlatformIO) makes it double.
With the flag `-ffp-contract=off`, which PlatformIO takes from `library.json`, it computes the bits of the host.

A status that is not 0 is a sum of these; the sketch prints their meaning:

{statuses}

Whatever the status says, the inputs are within bounds and rate limits.
"""


def simulink(cleared: Cleared) -> dict[str, str]:
    """The C files of the cleared controller with `<name>_sfun.c`, a level-2 S-function around them;
    its head says how to build it."""
    spec = checked_clearance(cleared).spec
    files, name = dict(spec.sources), spec.name
    sources = " ".join(compiled(files))
    made = named(
        "simulink/sfun.c",
        name,
        sources=sources,
        nu=str(len(spec.model.inputs)),
        **_labels(spec.model),
    )
    return {**files, f"{name}_sfun.c": made}


def arduino(cleared: Cleared, *, u_start: ArrayLike | None = None) -> dict[str, str]:
    """A library with the C files of the cleared controller in `src/` and a sketch in
    `examples/loop/`; names are paths within it.

    `u_start` (nu,) [input unit] are the inputs that the sketch takes to be in force before the
    first sample, as in `controller_unit`."""
    spec = checked_clearance(cleared).spec
    files, model = spec.sources, spec.model
    unit, version = controller_unit(cleared, u_start=u_start), VERSION
    setpoints = unit.inputs[len(model.outputs) :]
    statuses = ",\n".join(f"  {json.dumps(words)}" for words in WORDS.values())
    starts = {
        word: ", ".join(repr(port.start) for port in ports)
        for word, ports in (("start", unit.parameters), ("setpoint", setpoints))
    }
    sentence = (
        f"Predictive controller with the LSTM model {unit.digest[:12]}, one sample every"
        f" {unit.Ts!r} s."
    )
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
    manifest: dict[str, Any] = {
        "name": unit.name,
        "version": version,
        "description": sentence,
        "headers": f"{unit.name}.h",
    }
    manifest |= {"frameworks": "*", "platforms": "*", "build": {"flags": ["-ffp-contract=off"]}}
    return {
        **{f"src/{file}": text for file, text in files.items()},
        "examples/loop/loop.ino": named(
            "arduino/loop.ino",
            unit.name,
            Ts=repr(unit.Ts),
            status=statuses,
            **starts,
            **_labels(model),
        ),
        "library.properties": "".join(f"{key}={value}\n" for key, value in properties.items()),
        "library.json": json.dumps(manifest, indent=2) + "\n",
    }


def simulink_folder(cleared: Cleared, *, u_start: ArrayLike | None = None) -> dict[str, str]:
    """`simulink` and a page that says how to build and use it; `u_start` (nu,) as in
    `controller_unit` is written there."""
    spec = checked_clearance(cleared).spec
    model, files, rows = spec.model, spec.sources, constant(spec.sources, "REFERENCES")
    sources = compiled(files)
    words = {
        "sources": " ".join(sources),
        "modules": " ".join(source.removesuffix(".c") for source in sources),
        "in_force": [port.start for port in controller_unit(cleared, u_start=u_start).parameters],
        "ny": len(model.outputs),
        "nu": len(model.inputs),
        "wide": rows * len(model.outputs),
        "rows": (
            f", {rows} rows one after the other: now, next sample, …; to hold one, repeat it"
            if rows > 1
            else ""
        ),
    }
    page = _SIMULINK_PAGE.format(**words, **_page(spec))
    return {**simulink(cleared), "README.md": page}


def arduino_folder(cleared: Cleared, *, u_start: ArrayLike | None = None) -> dict[str, str]:
    """`arduino` and a page that says how to install and use it."""
    page = _ARDUINO_PAGE.format(**_page(checked_clearance(cleared).spec))
    return {**arduino(cleared, u_start=u_start), "README.md": page}


def _page(spec: ControllerSpec) -> dict[str, str | float]:
    """What both pages say."""
    name = spec.name
    return {
        "name": name,
        "NAME": name.upper(),
        "Ts": float(spec.model.Ts),
        "statuses": status_table(name.upper()),
        **_labels(spec.model),
    }


def _labels(model: Model) -> dict[str, str]:
    """Names and units of the signals, for comments in C."""
    words = {"measurements": model.outputs, "inputs": model.inputs}
    return {
        word: ", ".join(s.label for s in signals).replace("*/", "* /")
        for word, signals in words.items()
    }
