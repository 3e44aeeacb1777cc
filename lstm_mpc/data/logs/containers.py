"""Logs that are no text: workbooks, Parquet and MATLAB files, and the histories of controllers, as
rows of cells. Read as data only: no macro, no formula, no object of a file is ever run."""

from __future__ import annotations

import sqlite3
import zipfile
from collections.abc import Iterator, Sequence
from datetime import datetime, time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lstm_mpc.data.logs.dates import nature
from lstm_mpc.data.logs.layout import Row, is_number
from lstm_mpc.data.logs.text_file import LIMIT
from lstm_mpc.errors import DataError, InputError
from lstm_mpc.io.tables.parquet import parquet_rows

_LOOK = 60  # rows that tell whether a sheet holds a table
_MARK = "e0"  # an exponent: a number of a typed cell has no marks that need telling


def kind_of(path: Path) -> str:
    """ "xlsx", "parquet", "mat", "db" or "text", by the first bytes of a file.

    DataError for others."""
    try:
        with path.open("rb") as file:
            head = file.read(128)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
    if head[:4] == b"PAR1":
        return "parquet"
    if head[:4] == b"PK\x03\x04":
        return "xlsx"
    if head[:16] == b"SQLite format 3\x00":
        return "db"
    if head[:6] == b"MATLAB" and b"5.0" in head[:20]:
        return "mat"
    remedies = {
        b"\x89HDF\r\n": "HDF5; in MATLAB save it with '-v7'",
        b"MATLAB": "a MATLAB file of version 7.3; save it with '-v7'",
        b"\xd0\xcf\x11\xe0": "an old workbook; save it as .xlsx or CSV",
    }
    for start, problem in remedies.items():
        if head.startswith(start):
            raise DataError(f"is {problem}", file=path)
    return "text"


def typed_rows(path: Path, kind: str, notes: list[str] | None = None) -> Iterator[Row]:
    """The rows of a workbook, a Parquet or a MATLAB file, or a history, names first; `notes` gets
    what is to be said of the choice."""
    reader = {"xlsx": _workbook, "parquet": _parquet, "mat": _matlab, "db": _history}[kind]
    try:
        yield from reader(path, [] if notes is None else notes)
    except (InputError, MemoryError):
        raise
    except ImportError as error:
        remedy = "pip install 'lstm_mpc[excel]', or save it as CSV"
        raise DataError(f"needs openpyxl to be read: {remedy}", file=path) from error
    except Exception as error:  # whatever a library says of a damaged file
        problem = f"is not a usable .{kind} file ({' '.join(str(error).split()):.120})"
        raise DataError(problem, file=path) from error


def _text(value: Any) -> str:
    """A typed cell as text that is read as nothing else."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (int, np.integer)):
        return str(value)
    if isinstance(value, (float, np.floating)):
        text = repr(float(value))
        return text if len(text.partition(".")[2]) != 3 or "e" in text else text + _MARK
    if isinstance(value, (datetime, time)):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return str(value)


def _workbook(path: Path, notes: list[str]) -> Iterator[Row]:
    """The first sheet that holds a table; without one, the first that holds more than a row."""
    with zipfile.ZipFile(path) as archive:
        if sum(item.file_size for item in archive.infolist()) > LIMIT:
            raise DataError(f"is larger than {LIMIT // 2**30} GiB unpacked", file=path)
        if "xl/workbook.xml" not in archive.namelist():
            raise DataError("is an archive; unpack it, or give .xlsx, .csv or .csv.gz", file=path)
    from openpyxl import load_workbook

    book = load_workbook(path, read_only=True, data_only=True, keep_links=False)
    try:
        looked = {sheet.title: list(islice(_sheet_rows(sheet), _LOOK)) for sheet in book.worksheets}
        tables = [title for title, rows in looked.items() if _tabular(rows)]
        filled = [title for title, rows in looked.items() if len(rows) > 1]
        if not filled:
            return
        title = (tables or filled)[0]
        if len(tables) > 1:
            several = ", ".join(map(repr, tables))
            notes.append(
                f"sheet {title!r} is read, the first of {len(tables)} with a table"
                f" ({several:.120}): save another as a file of its own"
            )
        elif filled[0] != title:
            notes.append(f"sheet {title!r} is read, the only one with a table")
        yield from _sheet_rows(book[title])
    finally:
        book.close()


def _sheet_rows(sheet: Any) -> Iterator[Row]:
    sheet.reset_dimensions()
    for line, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
        if any(cell is not None for cell in cells):
            yield line, [_text(cell) for cell in cells]


def _tabular(rows: Sequence[Row]) -> bool:
    """Do at least three of the rows have two numbers or stamps?"""
    data = [sum(is_number(c) or bool(nature(c)) for c in cells) > 1 for _, cells in rows]
    return sum(data) > 2


def _parquet(path: Path, notes: list[str]) -> Iterator[Row]:
    for line, cells in enumerate(parquet_rows(path), start=1):
        yield line, [_text(cell) for cell in cells]


def _history(path: Path, notes: list[str]) -> Iterator[Row]:
    """The samples of a controller that ran beside a plant."""
    base = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        found = base.execute("SELECT * FROM samples ORDER BY rowid")
        yield 1, [str(column[0]) for column in found.description]
        for line, cells in enumerate(found, start=2):
            yield line, [_text(cell) for cell in cells]
    finally:
        base.close()


def _matlab(path: Path, notes: list[str]) -> Iterator[Row]:
    """Vectors and matrices of the commonest length, as columns."""
    from scipy.io import loadmat

    if path.stat().st_size > LIMIT:
        raise DataError(f"is larger than {LIMIT // 2**30} GiB", file=path)
    content = loadmat(path, squeeze_me=True, struct_as_record=True)
    arrays = dict(_arrays({k: v for k, v in content.items() if not k.startswith("__")}))
    lengths = [max(array.shape) for array in arrays.values()]
    if not lengths:
        raise DataError("holds no vector of numbers", file=path)
    N = max(set(lengths), key=lambda n: (lengths.count(n), n))
    names, columns = list[str](), list[np.ndarray]()
    for name, array in arrays.items():
        if array.ndim == 1 and len(array) == N:
            names.append(name)
            columns.append(array)
        elif array.ndim == 2 and N in array.shape:
            matrix = array if array.shape[0] == N else array.T
            names += [f"{name}({k + 1})" for k in range(matrix.shape[1])]
            columns += list(matrix.T)
    yield 1, names
    for line, cells in enumerate(zip(*columns, strict=True), start=2):
        yield line, [_text(cell) for cell in cells]


def _arrays(content: dict[str, Any], above: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Every array of numbers, those within structures too, by its name."""
    for key, value in content.items():
        name = f"{above}{key}"
        if isinstance(value, np.ndarray) and value.dtype.names and value.ndim == 0:
            yield from _arrays({n: value[n][()] for n in value.dtype.names}, f"{name}.")
        elif isinstance(value, np.void) and value.dtype.names:
            yield from _arrays({n: value[n] for n in value.dtype.names}, f"{name}.")
        elif (
            isinstance(value, np.ndarray)
            and value.dtype.kind in "biuf"
            and 1 <= value.ndim <= 2
            and max(value.shape) > 1
        ):
            yield name, value
