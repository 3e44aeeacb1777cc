"""The texts of a functional mock-up unit that are not C: model description, build description and a
page of documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lstm_mpc.export.fmu.unit import Port, Unit, compiled, sources_of
from lstm_mpc.io.artefact_file import VERSION
from lstm_mpc.io.templates import render

TOOL = f"lstm_mpc {VERSION}"


@dataclass(frozen=True)
class _Variable:
    """A variable with its value reference; `cause` is that of the parameter which an output starts
    with."""

    reference: int
    port: Port
    causality: str
    variability: str
    whole: bool = False
    cause: int | None = None


def _variables(unit: Unit) -> list[_Variable]:
    """All variables but time. Inputs are sampled, whatever makes them; outputs are held between
    samples."""
    nu, ny = len(unit.inputs), len(unit.outputs)
    rows = [_Variable(1 + j, port, "input", "continuous") for j, port in enumerate(unit.inputs)]
    causes: list[int | None] = [None] * ny
    causes[: len(unit.parameters)] = range(1 + nu + ny, 1 + nu + ny + len(unit.parameters))
    rows += [
        _Variable(1 + nu + j, port, "output", "discrete", cause=causes[j])
        for j, port in enumerate(unit.outputs)
    ]
    rows += [
        _Variable(1 + nu + ny + j, port, "parameter", "fixed")
        for j, port in enumerate(unit.parameters)
    ]
    codes = ", ".join(f"{code} ({words})" for code, words in unit.codes.items())
    status = Port("status", "", f"0 (all is well) or a sum of {codes}")
    return rows + (
        [_Variable(1 + len(rows), status, "output", "discrete", whole=True)] if unit.codes else []
    )


# What is set at a communication point is seen at the end of the step only, so that no output
# depends on any input at once.


def model_description(unit: Unit, version: int = 3) -> str:
    """modelDescription.xml of FMI 3.0 or 2.0: co-simulation with the fixed step Ts. In 2.0
    variables are numbered from 1 as they stand, which are their value references: time is no
    variable there."""
    return render(
        "export",
        f"fmu/modelDescription{version}.xml",
        unit=unit,
        tool=TOOL,
        units=sorted({"s", *(port.unit for port in unit.ports if port.unit)}),
        variables=_variables(unit),
        sources=compiled(sources_of(unit, version)),
    )


def build_description(unit: Unit) -> str:
    """buildDescription.xml of FMI 3.0: how to compile the sources."""
    sources = compiled(sources_of(unit, 3))
    return render("export", "fmu/buildDescription.xml", unit=unit, sources=sources)


def documentation(unit: Unit) -> str:
    """index.html: what the unit is, its variables, and what is claimed."""
    return render(
        "export",
        "fmu/index.html",
        unit=unit,
        tool=TOOL,
        notes=(_step_note(unit), *unit.notes),
        variables=_variables(unit),
    )


def readme(units: Sequence[Unit]) -> str:
    """README.md beside the units of one release: how to run them."""
    return render(
        "export",
        "fmu/README.md",
        units=[(unit, _variables(unit)) for unit in units],
        Ts=units[0].Ts,
        step=_step_note(units[0]),
        claims=units[0].claims,
    )


def _step_note(unit: Unit) -> str:
    return f"The step size is {unit.Ts!r} s, always; another one is an error."
