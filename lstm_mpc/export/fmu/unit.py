"""What becomes a functional mock-up unit: a released model, or its controller, as named scalars
around C code sampled every Ts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.assurance.clearance import Cleared, checked_clearance
from lstm_mpc.certificates.gate import Release, checked
from lstm_mpc.codegen.c_model import c_model
from lstm_mpc.codegen.identifiers import constant, name_of
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.templates import render
from lstm_mpc.plants.system import Signal

_CORE = ("instance.h", "instance.c")
_INTERFACES = {2: ("fmi2.c",), 3: ("fmi3.h", "fmi3.c", "fmi3_absent.c")}


@dataclass(frozen=True)
class Port:
    """A scalar at the border of a unit; `start` [unit] is its value until something else is said.
    Outputs are computed instead."""

    name: str
    unit: str
    text: str
    start: float | None = None

    def __post_init__(self) -> None:
        if self.start is None:
            return
        object.__setattr__(self, "start", float(self.start))
        if not isfinite(self.start):
            raise InputError(
                f"unit: the start value of {self.name!r} must be finite, got {self.start}"
            )


@dataclass(frozen=True)
class Unit:
    """`name` is a C identifier, `Ts` [s] the one step size. `parameters`, where there are any, are
    the outputs before the first sample, one for each. With `codes` (code -> words) there is one
    more output, the status, 0 or a sum of them. `digest` is the model's; `sources` are C files,
    name -> text, among them `unit.c` and `unit_memory.h` (see `c/fmu/unit.h`), compiled with the
    macros `definitions`."""

    name: str
    Ts: float
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    parameters: tuple[Port, ...]
    codes: Mapping[int, str]
    digest: str
    description: str
    notes: tuple[str, ...]
    claims: tuple[tuple[str, str], ...]
    sources: Mapping[str, str]
    definitions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = ["time", *(port.name for port in self.ports), *(["status"] if self.codes else [])]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise InputError(
                f"unit {self.name}: two variables are called {min(twice)!r}; rename the signal of"
                " the model"
            )

    @property
    def ports(self) -> tuple[Port, ...]:
        """All scalars in the order of their value references 1, 2, …; the status comes after
        them."""
        return self.inputs + self.outputs + self.parameters

    @property
    def token(self) -> str:
        """SHA-256 of everything the unit computes with."""
        ports = [[port.name, port.unit, port.start] for port in self.ports]
        return artefact_file.digest(
            [self.digest, self.name, self.Ts, ports, self.sources, self.definitions]
        )


def model_unit(release: Release) -> Unit:
    """The released model: its inputs act for one sample, its outputs are those at the end of it.
    Double precision."""
    release = checked(release)
    model, Ts = release.model, float(release.model.Ts)
    files = {
        name: text
        for name, text in c_model(release).items()
        if name.endswith((".c", ".h")) and name != "selftest.c"
    }
    name = name_of(files)
    glue = {
        "unit.c": render("export", "fmu/model_unit.c", name=name),
        "unit_memory.h": render("export", "fmu/model_memory.h", name=name),
    }
    starts = zip(model.inputs, model.scaling.u_mid, strict=True)
    return Unit(
        name=name,
        Ts=Ts,
        inputs=tuple(
            Port(
                s.name, s.unit, f"clipped to [{float(s.low)!r}, {float(s.high)!r}]", _start(s, mid)
            )
            for s, mid in starts
        ),
        outputs=tuple(Port(s.name, s.unit, "output") for s in model.outputs),
        parameters=(),
        codes={},
        digest=model.digest,
        description=f"LSTM model {model.name!r} ({model.digest[:12]}), one sample every {Ts!r} s",
        notes=(
            (
                "An input set at a communication point acts during the step that follows; its"
                " effect is seen at the end of that step."
            ),
        ),
        claims=release.claims(),
        sources=files | glue,
    )


def controller_unit(
    cleared: Cleared, *, u_start: ArrayLike | None = None, double: bool = False
) -> Unit:
    """The cleared controller: measurements, setpoints → inputs of the plant, status.

    `u_start` (nu,) [input unit] are the default inputs in force before the first sample: else the
    nominal ones, or the middle of the limits. `double` compiles it in double precision."""
    spec = checked_clearance(cleared).spec
    model, files, name = spec.model, spec.sources, spec.name
    Ts = float(model.Ts)
    in_force = np.ravel(spec.u_start if u_start is None else u_start).tolist()
    moved, measured = model.manipulated, bool(spec.measured)
    if len(in_force) != len(moved):
        raise InputError(f"u_start needs {len(moved)} value(s), got {len(in_force)}")
    started = zip(moved, in_force, strict=True)
    at_rest = [
        (s, _start(s, mid)) for s, mid in zip(model.outputs, model.scaling.y_mid, strict=True)
    ]
    glue = {
        "unit.c": render("export", "fmu/controller_unit.c", name=name, measured=measured),
        "unit_memory.h": render("export", "fmu/controller_memory.h", name=name),
    }
    held = []
    if constant(files, "REFERENCES") > 1:
        held.append("The setpoints are held over the horizon: this unit sees no coming steps.")
    if spec.foreseen > 0:
        held.append("Measured inputs are held over the horizon: this unit sees no forecast.")
    return Unit(
        name=name,
        Ts=Ts,
        inputs=tuple(Port(s.name, s.unit, "measurement", start) for s, start in at_rest)
        + tuple(
            Port(f"{s.name}_setpoint", s.unit, f"setpoint of {s.name}", start)
            for s, start in at_rest
        )
        + tuple(Port(s.name, s.unit, "measured input", s.typical) for s in model.measured),
        outputs=tuple(Port(s.name, s.unit, "input of the plant") for s in moved),
        parameters=tuple(
            Port(f"{s.name}_start", s.unit, "in force before the first step", u) for s, u in started
        ),
        codes={int(flag): words for flag, words in spec.meanings.items()},
        digest=model.digest,
        description=(
            f"predictive controller of the LSTM model {model.name!r} ({model.digest[:12]}), one"
            f" sample every {Ts!r} s"
        ),
        notes=(
            (
                "A step computes the inputs of the plant from the measurements and setpoints set"
                " before it. Let the controller make its step before the plant makes the same one,"
                " and hand its outputs over in between; otherwise they act a sample late."
            ),
            (
                "The first step begins at its measurement, with the inputs in force that the"
                " parameters say."
            ),
            (
                "Whatever the status says, the inputs that come with it are within bounds and rate"
                " limits."
            ),
            *held,
        ),
        claims=spec.claims,
        sources={**files, **glue},
        definitions=(f"{name.upper()}_DOUBLE",) if double else (),
    )


def _start(signal: Signal, otherwise: float) -> float:
    """The nominal value of a signal, or the middle of its range, or where the model's scaling has
    its zero."""
    if signal.nominal is not None:
        return signal.nominal
    return (signal.low + signal.high) / 2 if signal.bounded else otherwise


def sources_of(unit: Unit, version: int) -> dict[str, str]:
    """All C files of the unit behind FMI `version` 2 or 3, name -> text."""
    starts = [0.0 if port.start is None else port.start for port in unit.ports]
    wrapper = {file: render("export", f"fmu/{file}") for file in _CORE + _INTERFACES[version]}
    header = render("export", "fmu/unit.h", unit=unit, starts=starts)
    return {**unit.sources, "unit.h": header, **wrapper}


def compiled(files: Iterable[str]) -> list[str]:
    """Those of the file names that are handed to a compiler."""
    return sorted(file for file in files if file.endswith(".c"))
