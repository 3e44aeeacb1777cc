"""The content of design.toml: its text, its signals, and where control begins."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.schema import fits, noun, tables_of
from lstm_mpc.plants.roles import driven_by
from lstm_mpc.plants.system import Signal, System
from lstm_mpc.project import design_tables as tables

LIMIT = 4 * 2**20  # [bytes] of a design: what people write and read


def content_of(folder: Path) -> dict[str, Any]:
    """What `design.toml` of a directory holds; InputError where it cannot be read."""
    path = folder / "design.toml"
    try:
        content = tomllib.loads(artefact_file.read_bytes(path, limit=LIMIT).decode("utf-8-sig"))
    except OSError as error:
        if folder.is_file():
            raise InputError(
                f"{folder}: is a file; a verb takes the directory that holds design.toml"
            ) from error
        remedy = (
            "a design directory holds a design.toml; `lstm-mpc new"
            f" {shlex.quote(str(folder))} --data log.csv` writes one from your data"
        )
        raise InputError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    # TOML's own errors, text that is not UTF-8, numbers of thousands of digits
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not TOML ({error})") from error
    if "measured" in content:
        raise InputError(
            f"{path}: there is no table [[measured]]; a measured disturbance is an [[input]] with"
            ' kind = "measured", and low and high for its limits'
        )
    return content


def signals_of(
    content: dict[str, Any], system: System | None
) -> tuple[tuple[Signal, ...], tuple[Signal, ...]]:
    """Inputs and outputs: those of the design or, where it lists none but measured ones, those of
    its plant before them. Measured inputs must be disturbances of the plant, where there is one."""
    inputs, outputs = (
        tuple(noun(Signal, row, f"[[{key}]]") for row in tables_of(content, key))
        for key in ("input", "output")
    )
    if system is not None:
        listed = any(not s.measured for s in inputs)
        inputs = inputs if listed else (*system.inputs, *inputs)
        outputs = outputs or system.outputs
    tables.refuse_reserved(s.name for s in inputs if s.measured)
    for s in inputs:
        if s.measured and not s.bounded:
            raise InputError(
                f"[[input]] {s.name!r} is measured; give its limits low and high [{s.unit}], within"
                " which the guarantees hold"
            )
    if any(s.measured for s in outputs):
        raise InputError("[[output]] tables have no kind: every output is measured")
    if system is not None:
        driven_by(system, inputs)
    if not inputs or not outputs:
        raise InputError(
            "without a [plant] the design needs [[input]] and [[output]] tables (name, unit, low,"
            " high)"
        )
    return inputs, outputs


def start_of(value: Any, inputs: tuple[Signal, ...]) -> tuple[float, ...]:
    """The inputs in force before control begins, those that are moved: as the design says, or the
    nominal ones."""
    inputs = tuple(s for s in inputs if not s.measured)
    if value is None:
        value = [
            0.5 * (s.low + s.high) if s.nominal is None and s.bounded else s.nominal for s in inputs
        ]
    if (
        not isinstance(value, list)
        or len(value) != len(inputs)
        or not all(fits(v, float) for v in value)
    ):
        raise InputError(
            f"[control] u_start needs {len(inputs)} number(s), the inputs in force before control"
            " begins"
        )
    return tuple(float(v) for v in value)
