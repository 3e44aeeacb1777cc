"""Raw logs: CSV files as historians, recorders and spreadsheets write them, read as they are.
Nothing is repaired here, only understood.

Delimiter (comma, semicolon, tab) and decimal comma are told from the header. A cell that is no
number was not measured; which words stood there is counted."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np

from lstm_mpc.errors import DataError
from lstm_mpc.plants.system import Array

_CHUNK = 65536  # rows that are held as text at a time
_LIMIT = 2 * 2**30  # [bytes] of one file
_WIDEST = 10_000  # columns
# beside ISO 8601, and without doubt
_PATTERNS = ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M")
_EXCEL = (25569.0, 73051.0)  # [days] 1970 and 2100 as a spreadsheet counts them
_EPOCH = 25569.0  # [days]


@dataclass(frozen=True)
class Raw:
    """One file: stamps `t` [s] (N,), never falling, `values` (N, n) of the columns asked for, NaN
    where no number stood, the file's row of every sample (N,), how the stamps were understood, and
    how often which word stood for a number."""

    file: Path
    t: Array
    values: Array
    rows: Array
    stamps: str
    words: Mapping[str, int]


def header_of(path: str | Path) -> tuple[str, ...]:
    """The names of the columns of a raw log, as they stand in its first row."""
    return tuple(next(iter(_rows(Path(path))))[1])


def is_stamp(path: str | Path, column: str) -> bool:
    """Is the first cell of the column a date?"""
    rows = _rows(Path(path))
    place = _place(Path(path), next(rows)[1], column)
    _, first = next(rows, (0, []))
    if place >= len(first):
        return False
    for pattern in ("iso", *_PATTERNS):
        try:
            _date(first[place], pattern)
            return not first[place].strip().isdigit()
        except ValueError:
            continue
    return False


def read_raw(
    path: str | Path,
    columns: Sequence[str],
    *,
    time: str = "",
    time_format: str = "",
    Ts: float = 0.0,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Raw:
    """Read `columns` of a log, with stamps from the column `time`; without one, rows lie `Ts` [s]
    apart. `on_progress` is told the share of the file that is read.

    `time_format`: "seconds", "excel" (days since 1899-12-30), a pattern of `strptime`, or none: ISO
    8601, numbers, and a few patterns that leave no doubt are told apart. Stamps without a zone are
    taken for UTC, which matters only where clocks change.

    DataError names the file, the row and the remedy for a missing column, a stamp that cannot be
    read, time that goes back, a column with hardly a number in it, or a file that is no text."""
    path = Path(path)
    rows = _rows(path, on_progress)
    header = next(rows)[1]
    places = [_place(path, header, name) for name in columns]
    stamp = _place(path, header, time) if time else None
    words, parts, stamps, lines = Counter[str](), list[Array](), list[Array](), list[Array]()
    understood = time_format or "rows"
    while chunk := list(islice(rows, _CHUNK)):
        for line, row in chunk:
            if len(row) != len(header):
                raise DataError(
                    f"has {len(row)} cells, the header has {len(header)}; complete or remove"
                    " the row",
                    file=path,
                    row=line,
                )
        numbers = np.array([line for line, _ in chunk], dtype=np.float64)
        if stamp is not None:
            if not stamps:
                understood = time_format or _understood(path, [row[stamp] for _, row in chunk])
            stamps.append(_seconds(path, [row[stamp] for _, row in chunk], understood, numbers))
        lines.append(numbers)
        parts.append(
            np.column_stack([_values([row[place] for _, row in chunk], words) for place in places])
        )
    if sum(map(len, parts)) < 2:
        raise DataError("holds fewer than two rows of data", file=path)
    values, at = np.vstack(parts), np.concatenate(lines)
    # a slow sensor leaves cells empty, a column of text does not
    text = sum(count for word, count in words.items() if word)
    for name, column in zip(columns, values.T, strict=True):
        found = int(np.isfinite(column).sum())
        if found < 2 or (text > 0.5 * len(column) and found < 0.5 * len(column)):
            raise DataError(
                f"column {name!r:.60} holds a number in {found} of {len(column)} rows only",
                file=path,
            )
    if stamp is None:
        if not Ts > 0:
            raise DataError(
                f"needs a column of time stamps (found {', '.join(header):.200}), or the sampling"
                " time of its rows",
                file=path,
            )
        t = Ts * np.arange(len(values), dtype=np.float64)
    else:
        t = np.concatenate(stamps)
    back = np.flatnonzero(np.diff(t) < 0)
    if back.size:
        k = int(back[0])
        where = (
            f"time goes back by {t[k] - t[k + 1]:g} s; sort the rows, split the file there, or"
            " write stamps in UTC if clocks changed"
        )
        raise DataError(where, file=path, row=int(at[k + 1]))
    return Raw(path, t - t[0], values, at, understood, dict(words))


def _rows(
    path: Path, on_progress: Callable[[float], None] = lambda share: None
) -> Iterator[tuple[int, list[str]]]:
    """The row number and the cells of every row that is not empty, the header first."""
    try:
        if (size := path.stat().st_size) > _LIMIT:
            raise DataError(
                f"is larger than {_LIMIT // 2**30} GiB; split it into several files", file=path
            )
        with (
            path.open("rb") as file,
            io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as stream,
        ):
            first = stream.readline(2**20)
            delimiter = max(",;\t", key=first.count)
            comma = delimiter != ","  # then a comma may stand for the point
            header = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter), [])]
            if not any(header) or len(header) > _WIDEST:
                raise DataError(
                    f"needs a first row with the names of its columns, at most {_WIDEST}",
                    file=path,
                    row=1,
                )
            yield 1, header
            reader = csv.reader(stream, delimiter=delimiter)
            for row in reader:
                if reader.line_num % _CHUNK == 0:
                    on_progress(min(1.0, file.tell() / size))
                if any(row):
                    yield (
                        reader.line_num + 1,
                        ([cell.replace(",", ".") for cell in row] if comma else row),
                    )
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"is not a CSV text file ({error})", file=path) from error


def _place(path: Path, header: Sequence[str], name: str) -> int:
    if header.count(name) == 1:
        return header.index(name)
    problem = "has two columns" if name in header else "has no column"
    raise DataError(
        f"{problem} {name!r} (found {', '.join(header):.200}); give the name as it stands there",
        file=path,
        row=1,
    )


def _values(cells: Sequence[str], words: Counter[str]) -> Array:
    """Numbers, NaN for words, which are counted, and for what is not finite."""
    try:
        found = np.array(cells, dtype=np.float64)
    except ValueError:
        found = np.array([_number(cell, words) for cell in cells])
    found[np.isinf(found)] = np.nan
    return found


def _number(cell: str, words: Counter[str]) -> float:
    try:
        return float(cell)
    except ValueError:
        words[cell.strip()[:40]] += 1
        return float("nan")


def _understood(path: Path, cells: Sequence[str]) -> str:
    """What kind of stamps these are."""
    sample = cells[:1000]
    try:
        numbers = np.array(sample, dtype=np.float64)
    except ValueError:
        for pattern in ("iso", *_PATTERNS):
            try:
                for cell in sample:
                    _date(cell, pattern)
                return pattern
            except ValueError:
                continue
        problem = (
            f"the time stamp {sample[0]!r:.60} is not understood; give its format as a pattern of"
            " strptime, such as '%m/%d/%Y %H:%M'"
        )
        raise DataError(problem, file=path, row=2) from None
    days = (
        _EXCEL[0] <= numbers[0] <= _EXCEL[1] and np.ptp(numbers) < 366 and (numbers % 1 != 0).any()
    )
    return "excel" if days else "seconds"


def _seconds(path: Path, cells: Sequence[str], understood: str, lines: Array) -> Array:
    """Stamps as seconds since 1970 (or since whenever the numbers count from)."""
    try:
        if understood in ("seconds", "excel"):
            numbers = np.array(cells, dtype=np.float64)
            # a spreadsheet keeps no more
            found = (
                numbers if understood == "seconds" else np.round((numbers - _EPOCH) * 86400.0, 3)
            )
        else:
            found = np.array([_date(cell, understood).timestamp() for cell in cells])
    except (ValueError, OverflowError):
        found = np.full(len(cells), np.nan)
    if not np.isfinite(found).all():
        for line, cell in zip(lines, cells, strict=True):
            try:
                good = np.isfinite(
                    float(cell)
                    if understood in ("seconds", "excel")
                    else _date(cell, understood).timestamp()
                )
            except (ValueError, OverflowError):
                good = False
            if not good:
                problem = (
                    f"the time stamp {cell!r:.60} does not read as {understood!r:.60} like those"
                    " before"
                )
                raise DataError(problem, file=path, row=int(line))
    return found


def _date(cell: str, pattern: str) -> datetime:
    moment = (
        datetime.fromisoformat(cell.strip())
        if pattern == "iso"
        else datetime.strptime(cell.strip(), pattern)
    )
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
