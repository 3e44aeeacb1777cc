"""Data sets as CSV files: units in the header, an even time grid, one record a file or several by
name; nothing is guessed."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import pairwise
from math import isfinite, isnan
from pathlib import Path

import numpy as np

from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.errors import DataError, InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.plants.system import Array, Signal

TIME = "t [s]"
TRUTH = " noise-free"  # suffix of the columns that only a simulated plant can fill
RECORD = "record"  # the column that names records where a file holds several
_LIMIT = 2**30  # [bytes] of a file: more than a hundred channels for a million samples
_EVEN = 1e-6  # time stamps may deviate from the grid by this share of Ts (rounding in the file)


def write_csv(path: str | Path, dataset: Dataset) -> None:
    """Write a data set as CSV.

    Columns are time, inputs, outputs and, where known, noise-free outputs, with units in the
    header; a cell of what was not measured is empty. With more than one record the first column
    names the record.

    Args:
        path: The file.
        dataset: The data.

    Raises:
        InputError: It could not be read again: two columns or two records of one name.
    """
    truths, several = (
        [item.truth for item in dataset.records if item.truth is not None],
        len(dataset.records) > 1,
    )
    with_truth = len(truths) == len(dataset.records)
    header = [TIME, *(s.label for s in dataset.inputs), *(s.label for s in dataset.outputs)]
    header += [f"{s.name}{TRUTH} [{s.unit}]" for s in dataset.outputs] if with_truth else []
    for what, names in (("column", header), ("record", [r.name for r in dataset.records])):
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise InputError(f"{path}: two of its {what}s would be called {twice[0]!r}; rename one")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([RECORD, *header] if several else header)
    for number, item in enumerate(dataset.records):
        columns = [
            np.arange(len(item.u))[:, None] * dataset.Ts,
            item.u,
            item.y,
            *(truths[number : number + 1] if with_truth else []),
        ]
        name = [item.name] if several else []
        writer.writerows(
            name + ["" if isnan(v) else repr(v) for v in row] for row in np.hstack(columns).tolist()
        )
    artefact_file.write_text(path, text.getvalue())


def read_csv(
    paths: str | Path | Sequence[str | Path], inputs: Sequence[Signal], outputs: Sequence[Signal]
) -> Dataset:
    """Read records from CSV files.

    A file is one record, or as many as its column `record` has names. The header must hold `t [s]`
    and every signal as `name [unit]`; other columns are ignored. An empty cell of an output is a
    sample that was not measured.

    Args:
        paths: One file, or several of one sampling time.
        inputs: The signals that are manipulated.
        outputs: The signals that are measured.

    Returns:
        The data, in the units of the signals.

    Raises:
        DataError: A missing column or unit, text or NaN, a gap, uneven time stamps, or files of
            different sampling time; with the file, the row and the remedy.
        InputError: There is no file.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not paths:
        raise InputError("read_csv needs at least one file")
    inputs, outputs = tuple(inputs), tuple(outputs)
    tables = [_read_table(Path(path), inputs, outputs) for path in paths]
    Ts = tables[0][0]
    for path, (own, _) in zip(paths, tables, strict=True):
        if abs(own - Ts) > _EVEN * Ts:
            raise DataError(
                f"is sampled every {own:g} s, {paths[0]} every {Ts:g} s; resample one of them",
                file=path,
            )
    return Dataset(inputs, outputs, Ts, tuple(item for _, items in tables for item in items))


def _read_table(
    path: Path, inputs: tuple[Signal, ...], outputs: tuple[Signal, ...]
) -> tuple[float, list[Record]]:
    """Ts [s] and the records of one file."""
    try:
        text = artefact_file.read_bytes(path, limit=_LIMIT).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""))
        rows = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"is not a CSV text file ({error})", file=path) from error
    if len(rows) < 3:
        raise DataError("holds fewer than two samples", file=path)
    header = [cell.strip() for cell in rows[0][1]]
    wanted = [TIME, *(s.label for s in inputs + outputs)]
    truth = [f"{s.name}{TRUTH} [{s.unit}]" for s in outputs]
    wanted += truth if all(label in header for label in truth) else []
    for label in wanted:
        if header.count(label) != 1:
            problem = "has two columns" if label in header else "has no column"
            raise DataError(
                f"{problem} {label!r} (found {', '.join(header):.200}); write the header as 'name"
                " [unit]'",
                file=path,
                row=1,
            )
    nu, ny = len(inputs), len(outputs)
    table = _numbers(
        path, rows, [header.index(label) for label in wanted], blank=range(1 + nu, 1 + nu + ny)
    )
    names = (
        [row[header.index(RECORD)] for _, row in rows[1:]]
        if RECORD in header
        else [path.stem] * len(table)
    )
    starts = [0, *(k for k in range(1, len(names)) if names[k] != names[k - 1]), len(names)]
    records, Ts = [], 0.0
    for first, last in pairwise(starts):
        part, lines = table[first:last], [line for line, _ in rows[1 + first : 1 + last]]
        if len(part) < 2:
            raise DataError(
                f"record {names[first]!r:.40} holds fewer than two samples", file=path, row=lines[0]
            )
        own = _even_time(path, part[:, 0], lines)
        if Ts and abs(own - Ts) > _EVEN * Ts:
            raise DataError(
                f"record {names[first]!r:.40} is sampled every {own:g} s, those before every"
                f" {Ts:g} s",
                file=path,
                row=lines[0],
            )
        clean = part[:, 1 + nu + ny :] if len(wanted) > 1 + nu + ny else None
        Ts = Ts or own
        records.append(
            Record(names[first], part[:, 1 : 1 + nu], part[:, 1 + nu : 1 + nu + ny], clean)
        )
    return Ts, records


def _numbers(
    path: Path, rows: list[tuple[int, list[str]]], columns: list[int], *, blank: range
) -> Array:
    """The cells of `columns` as numbers; only in those of `blank` may a cell be empty: NaN."""
    header = rows[0][1]
    table = np.empty((len(rows) - 1, len(columns)))
    for place, (number, row) in enumerate(rows[1:]):
        if len(row) != len(header):
            raise DataError(
                f"has {len(row)} cells, the header has {len(header)}; complete or remove the row",
                file=path,
                row=number,
            )
        for j, column in enumerate(columns):
            try:
                value = float(row[column])
            except ValueError:
                value = float("nan")
            if not isfinite(value) and (j not in blank or row[column].strip()):
                what = f"{header[column].strip()!r} is {row[column]!r:.40}, not a finite number"
                raise DataError(
                    f"{what}; split the record there or repair the value", file=path, row=number
                )
            table[place, j] = value
    return table


def _even_time(path: Path, t: Array, lines: list[int]) -> float:
    gaps = np.diff(t)
    Ts = float(f"{np.median(gaps):.9g}")  # free of the round-off in the stamps
    whole, place = float(f"{(t[-1] - t[0]) / (len(t) - 1):.15g}"), np.arange(len(t))
    if abs(whole - Ts) <= 1e-8 * Ts and np.ptp(t - whole * place) < 0.1 * np.ptp(t - Ts * place):
        Ts = whole  # a third of a second has more digits
    if not Ts > 0:
        raise DataError(
            f"time must rise, but its typical step is {Ts:g} s", file=path, row=lines[0]
        )
    for k in np.flatnonzero(
        np.abs(t - t[0] - Ts * np.arange(len(t))) > _EVEN * Ts * np.sqrt(len(t))
    ):
        if gaps[k - 1] > 1.5 * Ts:
            problem = (
                f"a gap: {gaps[k - 1]:g} s since the row before, {Ts:g} s elsewhere; split the file"
                " there into two records"
            )
        else:
            problem = (
                f"uneven time: {gaps[k - 1]:g} s since the row before, {Ts:g} s elsewhere; resample"
                " to a fixed step"
            )
        raise DataError(problem, file=path, row=lines[int(k)])
    return Ts
