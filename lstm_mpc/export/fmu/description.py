"""The texts of a functional mock-up unit that are not C: model description, build description and a
page of documentation."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from lstm_mpc.codegen.templates import claims_list
from lstm_mpc.export.fmu.unit import Port, Unit, compiled, sources_of
from lstm_mpc.io.artefact_file import VERSION


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

    @property
    def attributes(self) -> dict[str, str]:
        words = {
            "name": self.port.name,
            "valueReference": str(self.reference),
            "description": self.port.text,
        }
        return words | {"causality": self.causality, "variability": self.variability}

    @property
    def value(self) -> dict[str, str]:
        start = {} if self.port.start is None else {"start": repr(self.port.start)}
        return start | ({"unit": self.port.unit} if self.port.unit else {})


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


def model_description(unit: Unit, version: int = 3) -> str:
    """modelDescription.xml of FMI 3.0 or 2.0: co-simulation with the fixed step Ts."""
    root = ET.Element("fmiModelDescription", fmiVersion=f"{version}.0", modelName=unit.name)
    root.set("instantiationToken" if version == 3 else "guid", unit.token)
    root.attrib |= {
        "description": unit.description,
        "generationTool": _tool(),
        "variableNamingConvention": "flat",
    }
    interface = ET.SubElement(
        root,
        "CoSimulation",
        modelIdentifier=unit.name,
        canHandleVariableCommunicationStepSize="false",
    )
    definitions = ET.SubElement(root, "UnitDefinitions")
    for name in sorted({"s", *(port.unit for port in unit.ports if port.unit)}):
        ET.SubElement(definitions, "Unit", name=name)
    ET.SubElement(ET.SubElement(root, "LogCategories"), "Category", name="logStatusError")
    ET.SubElement(
        root,
        "DefaultExperiment",
        startTime="0.0",
        stopTime=repr(100 * unit.Ts),
        stepSize=repr(unit.Ts),
    )
    variables, structure = (
        ET.SubElement(root, "ModelVariables"),
        ET.SubElement(root, "ModelStructure"),
    )
    (_details_3 if version == 3 else _details_2)(unit, interface, variables, structure)
    return _xml(root)


# What is set at a communication point is seen at the end of the step only, so that no output
# depends on any input at once.


def _details_3(
    unit: Unit, interface: ET.Element, variables: ET.Element, structure: ET.Element
) -> None:
    interface.attrib |= {"canGetAndSetFMUState": "true", "fixedInternalStepSize": repr(unit.Ts)}
    ET.SubElement(
        variables,
        "Float64",
        name="time",
        valueReference="0",
        causality="independent",
        variability="continuous",
        unit="s",
    )
    rows = _variables(unit)
    for row in rows:
        ET.SubElement(variables, "UInt32" if row.whole else "Float64", row.attributes | row.value)
    outputs = [row for row in rows if row.causality == "output"]
    for row in outputs:
        ET.SubElement(structure, "Output", valueReference=str(row.reference), dependencies="")
    for row in outputs:
        ET.SubElement(
            structure,
            "InitialUnknown",
            valueReference=str(row.reference),
            dependencies=str(row.cause or ""),
        )


def _details_2(
    unit: Unit, interface: ET.Element, variables: ET.Element, structure: ET.Element
) -> None:
    """Variables are numbered from 1 as they stand, which are their value references: time is no
    variable here."""
    interface.set("canGetAndSetFMUstate", "true")
    files = ET.SubElement(interface, "SourceFiles")
    for name in compiled(sources_of(unit, 2)):
        ET.SubElement(files, "File", name=name)
    rows = _variables(unit)
    for row in rows:
        ET.SubElement(
            ET.SubElement(variables, "ScalarVariable", row.attributes),
            "Integer" if row.whole else "Real",
            row.value,
        )
    outputs = [row for row in rows if row.causality == "output"]
    for kind in ("Outputs", "InitialUnknowns"):
        listed = ET.SubElement(structure, kind)
        for row in outputs:
            cause = row.cause if kind == "InitialUnknowns" else None
            ET.SubElement(
                listed, "Unknown", index=str(row.reference), dependencies=str(cause or "")
            )


def build_description(unit: Unit) -> str:
    """buildDescription.xml of FMI 3.0: how to compile the sources."""
    root = ET.Element("fmiBuildDescription", fmiVersion="3.0")
    build = ET.SubElement(root, "BuildConfiguration", modelIdentifier=unit.name)
    files = ET.SubElement(build, "SourceFileSet", language="C99")
    for name in compiled(sources_of(unit, 3)):
        ET.SubElement(files, "SourceFile", name=name)
    for name in unit.definitions:
        ET.SubElement(files, "PreprocessorDefinition", name=name, value="1")
    ET.SubElement(
        build,
        "Library",
        name="m",
        external="true",
        description="mathematics, where it is not part of the C library",
    )
    return _xml(root)


def documentation(unit: Unit) -> str:
    """index.html: what the unit is, its variables, and what is claimed."""
    ports = [row.port for row in _variables(unit)]
    rows = [
        _row(
            port.name, port.unit, port.text, "computed" if port.start is None else f"{port.start:g}"
        )
        for port in ports
    ]
    notes = [f"<p>{escape(note)}</p>" for note in (_step_note(unit), *unit.notes)]
    claims = [
        f"<li><em>{escape(kind)}</em>: {escape(sentence)}</li>" for kind, sentence in unit.claims
    ]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            (
                '<html lang="en"><head><meta'
                f' charset="utf-8"><title>{escape(unit.name)}</title></head><body>'
            ),
            f"<h1>{escape(unit.name)}</h1>",
            f"<p>{escape(unit.description)}. Made by {escape(_tool())}.</p>",
            *notes,
            "<table><tr><th>variable</th><th>unit</th><th>what it is</th><th>start</th></tr>",
            *rows,
            "</table>",
            f"<p>Model, SHA-256: {unit.digest}. Released, because:</p>",
            "<ul>",
            *claims,
            "</ul>",
            "</body></html>",
            "",
        ]
    )


def _step_note(unit: Unit) -> str:
    return f"The step size is {unit.Ts!r} s, always; another one is an error."


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def readme(units: Sequence[Unit]) -> str:
    """README.md beside the units of one release: how to run them."""
    Ts = units[0].Ts
    files = "\n".join(
        f"| `{unit.name}.fmu` | `{unit.name}_fmi2.fmu` | {unit.description} |" for unit in units
    )
    return f"""\
# FMUs for co-simulation

| FMI 3.0 | FMI 2.0 | |
|---|---|---|
{files}

    from fmpy import simulate_fmu
    simulate_fmu("{units[0].name}.fmu", stop_time={100 * Ts!r}, output_interval={Ts!r})

{_step_note(units[0])} Inside are the sources, how to build them, and a library for the platform it was made on.

{"".join(_chapter(unit) for unit in units)}Released, because:

{claims_list(units[0].claims)}
"""


def _chapter(unit: Unit) -> str:
    rows = "\n".join(
        f"| `{row.port.name}` | {row.port.unit} | {row.causality} | {row.port.text} |"
        for row in _variables(unit)
    )
    notes = "\n".join(f"- {note}" for note in unit.notes)
    return f"## {unit.name}\n\n| variable | unit | | |\n|---|---|---|---|\n{rows}\n\n{notes}\n\n"


def _tool() -> str:
    return f"lstm_mpc {VERSION}"


def _xml(root: ET.Element) -> str:
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
