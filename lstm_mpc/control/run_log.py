"""Closed loops as a historian keeps them: one row a sample, as CSV or Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isnan, nan
from pathlib import Path
from typing import Any

from lstm_mpc.control.simulation import Run
from lstm_mpc.data.csv_file import TIME, TRUTH
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.tables import parquet
from lstm_mpc.plants.system import System


@dataclass(frozen=True)
class RunLog:
    """Where a log goes, a `.csv` or `.parquet` file, and the time of its first sample."""

    path: Path
    start: datetime

    def __post_init__(self) -> None:
        if self.path.suffix not in (".csv", ".parquet"):
            raise InputError(f"{self.path}: a log must end in .csv or .parquet")
        if self.path.suffix == ".parquet":
            parquet.library()
        if self.start.tzinfo is None:
            raise InputError(f"{self.path}: the start of a log needs a time zone, got {self.start}")


def start_of_log(text: str) -> datetime:
    """The time that `text` says in ISO 8601, UTC where it names no offset."""
    try:
        said = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is no time like 2026-03-01T08:00:00Z, which a log could start at"
        ) from error
    return said.replace(tzinfo=said.tzinfo or UTC).astimezone(UTC)


def rows_of(runs: Sequence[Run], system: System, *, start: datetime) -> dict[str, list[Any]]:
    """The columns of a log, name -> values: the runs one after the other from `start` on, `t [s]`
    from the beginning of each scenario. Measured inputs stand as the controller was told.

    Inputs, outputs and noise-free outputs are called as in the data files, so that `read_csv` reads
    the log of a single scenario."""
    columns: dict[str, list[Any]] = {}

    def add(name: str, values: Any) -> None:
        columns.setdefault(name, []).extend(values)

    for run in runs:
        add("time", [start + timedelta(seconds=t) for t in run.t.tolist()])
        add("scenario", [run.scenario.name] * len(run.t))
        add(TIME, run.t.tolist())
        for j, signal in enumerate(system.inputs):
            add(signal.label, run.u[:, j].tolist())
        for j, at in enumerate(run.measured):
            add(system.disturbances[at].label, run.known[:, 0, j].tolist())
        for j, signal in enumerate(system.outputs):
            add(signal.label, run.y[:, j].tolist())
            add(f"{signal.name} setpoint [{signal.unit}]", run.reference[:, j].tolist())
            add(f"{signal.name}{TRUTH} [{signal.unit}]", run.truth[:, j].tolist())
            add(
                f"{signal.name} disturbance estimate [{signal.unit}]",
                [float(move.disturbance[j]) for move in run.moves],
            )
        for j, signal in enumerate(system.inputs):
            told = [
                float(move.input_disturbance[j]) if move.input_disturbance.size else nan
                for move in run.moves
            ]
            add(f"{signal.name} disturbance estimate [{signal.unit}]", told)
        add("flags", [int(move.flags) for move in run.moves])
        add("status", [move.status for move in run.moves])
        add("solve [ms]", [1e3 * move.seconds for move in run.moves])
        start += timedelta(seconds=len(run.t) * run.Ts)
    return columns


def write_log(log: RunLog, runs: Sequence[Run], system: System) -> None:
    """Write the log of `runs`; the file appears whole or not at all. Times are in UTC, what is not
    a number is left empty."""
    columns = rows_of(runs, system, start=log.start.astimezone(UTC))
    artefact_file.write_bytes(
        log.path,
        csv_bytes(columns) if log.path.suffix == ".csv" else parquet.parquet_bytes(columns),
    )


def csv_bytes(columns: dict[str, list[Any]]) -> bytes:
    """Columns of a log as CSV; what is not a number or not there is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
    if isinstance(value, float):
        return "" if isnan(value) else repr(value)
    return "" if value is None else str(value)
