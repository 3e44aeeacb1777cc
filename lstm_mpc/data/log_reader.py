"""Raw logs as historians, recorders and spreadsheets write them, read as they are.

Nothing is repaired here, only understood: a time base, a magnitude or a sign that is in doubt is
refused, and what was settled is noted. A cell that is no number was not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lstm_mpc.data.logs.columns import ColumnReader, column_reader
from lstm_mpc.data.logs.layout import plain
from lstm_mpc.data.logs.numbers import Mask
from lstm_mpc.data.logs.readings import readings_of, side_by_side, tags_of
from lstm_mpc.data.logs.selection import outside, where_of
from lstm_mpc.data.logs.table import Table, open_log
from lstm_mpc.errors import DataError, InputError
from lstm_mpc.plants.system import Array

_SHARED = 0.5  # share of the rows that may repeat the stamp before
_SENTINEL = 1e-6  # a number that stands for "not measured" is met to this share


@dataclass(frozen=True)
class Raw:
    """One log as read.

    Attributes:
        file: Where it was read.
        t: Stamps from the first on [s], never falling, (N,).
        values: The columns that were asked for, NaN where no number stood, (N, n).
        rows: The line of the file of every sample, (N,).
        stamps: How the stamps were understood.
        words: How often which word stood for a number.
        void: Where words stood for numbers, which end what was known, (N, n).
        counts: Which samples count, by `where` and `exclude`, (N,).
        notes: What was settled while reading, in sentences.
    """

    file: Path
    t: Array
    values: Array
    rows: Array
    stamps: str
    words: Mapping[str, int]
    void: Mask
    counts: Mask
    notes: tuple[str, ...] = ()


def read_raw(
    path: str | Path | Table,
    columns: Sequence[str],
    *,
    time: str | Sequence[str] = "",
    time_format: str = "",
    Ts: float = 0.0,
    decimal: str = "auto",
    header_row: int = 0,
    missing: Sequence[float] = (),
    where: str = "",
    exclude: Sequence[tuple[str, str]] = (),
    on_progress: Callable[[float], None] = lambda share: None,
) -> Raw:
    """Read columns of a log.

    Args:
        path: The file, or the table that `open_log` opened.
        columns: Names of the columns, those without their unit, unique starts or numbers as `#2`.
        time: The column of the stamps, or those of date and time of day; "" for none.
        time_format: "seconds" to "days", "excel", "matlab", "iso", a pattern of `strptime`, or ""
            to tell it. Stamps without a zone are taken for UTC.
        Ts: Sampling time of rows without stamps [s].
        decimal: "point", "comma", or "auto" to tell it.
        header_row: Line of the names, 0 to find it.
        missing: Numbers that stand for "not measured".
        where: Only rows that satisfy it count, such as `MODE == 'AUTO'`.
        exclude: Periods that do not count, each from one stamp to another.
        on_progress: Receives the share of the file that is read.

    Returns:
        The log as read.

    Raises:
        DataError: Names the file, the row and the remedy for what cannot be read or is in doubt.
        InputError: For a `where`, a `time_format` or a period that cannot be.
    """
    table = path if isinstance(path, Table) else open_log(path, header_row=header_row)
    names = [time] if isinstance(time, str) and time else list(time)
    times = [table.place(name) for name in names]
    readings = readings_of(table) if names else None
    if readings is None:
        listed = [table.place(name) for name in columns]
        chosen = [table.names[k] for k in listed]
    else:
        chosen = tags_of(readings, columns)
        listed = [readings.value] * len(chosen)
    reader = column_reader(table, listed, times, decimal, time_format)
    if readings is not None:
        reader.tags, reader.tag_place = {tag: k for k, tag in enumerate(chosen)}, readings.tag
        for column, tag in zip(reader.columns, chosen, strict=True):
            column.name = tag
    if where:
        reader.where = where_of(where)
        reader.conditions = [table.place(name) for name in reader.where.columns]
    reader.read(on_progress)
    raw = _arrays(reader, Ts)
    raw = _side_by_side(raw, reader) if reader.tags else _in_order(raw)
    raw = without(raw, chosen, missing)
    if exclude:
        at = reader.stamps.at if times else _number_of
        periods = [(at(start), at(end)) for start, end in exclude]
        raw = replace(raw, counts=raw.counts & outside(raw.t, periods))
    _check(raw, chosen)
    notes = (*table.notes, *_settled(reader, columns, chosen), *raw.notes)
    return replace(raw, t=raw.t - raw.t[0], notes=notes)


def _arrays(reader: ColumnReader, Ts: float) -> Raw:
    """What was read, with its stamps."""
    table, lines = reader.table, np.concatenate(reader.lines)
    if reader.times:
        stamps, t = reader.stamps.seconds()
    elif Ts > 0:
        stamps, t = "rows", Ts * np.arange(len(lines), dtype=np.float64)
    else:
        shown = ", ".join(table.names)
        problem = f"needs a column of time stamps (its columns: {shown:.200})"
        remedy = "name it (--time), or give the sampling time of the rows (--Ts)"
        raise DataError(f"{problem}; {remedy}", file=table.file)
    return Raw(
        table.file,
        t,
        np.column_stack([np.concatenate(c.parts) for c in reader.columns]),
        lines,
        stamps,
        {word: count for word, count in reader.words.items() if count},
        np.column_stack([np.concatenate(c.voids) for c in reader.columns]),
        np.concatenate(reader.counts),
    )


def _side_by_side(raw: Raw, reader: ColumnReader) -> Raw:
    """One row for every reading as one for every stamp."""
    tags = np.concatenate(reader.tag_parts)
    for tag, k in reader.tags.items():
        mine = tags == k
        if mine.sum() < 2:
            raise DataError(f"tag {tag!r:.60} has fewer than two readings", file=raw.file)
        _check_order(raw.file, raw.t[mine], raw.rows[mine])
    rows = np.arange(len(tags))
    wide = side_by_side(
        tags, raw.t, raw.values[rows, tags], raw.void[rows, tags], raw.rows, len(reader.tags)
    )
    counts = np.ones(len(wide.t), dtype=bool)
    counts[np.searchsorted(wide.t, raw.t[~raw.counts])] = False
    notes = [f"{len(raw.t)} readings of {len(reader.tags)} tags, one in every row"]
    if wide.repeated:
        notes.append(
            f"{wide.repeated} reading(s) of a tag at a time it was read before: the last counts"
        )
    return replace(
        raw,
        t=wide.t,
        values=wide.values,
        void=wide.void,
        rows=wide.rows,
        counts=counts,
        notes=tuple(notes),
    )


def _in_order(raw: Raw) -> Raw:
    """Rows from the oldest on; rows that share a stamp as one where they complete each other."""
    notes = []
    steps = np.diff(raw.t)
    if (steps <= 0).all() and (steps < 0).any():
        parts = {k: getattr(raw, k)[::-1] for k in ("t", "values", "rows", "void", "counts")}
        raw, steps = replace(raw, **parts), np.diff(parts["t"])
        notes.append("the newest row stands first: read from the end")
    _check_order(raw.file, raw.t, raw.rows)
    repeated = int((steps == 0).sum())
    if repeated and raw.t[-1] > raw.t[0]:
        merged = _merged(raw)
        if merged is not None:
            notes.append(f"{repeated} row(s) with the stamp of the row before complete it")
            raw = merged
        elif repeated > _SHARED * len(steps):
            share = len(raw.t) / (len(raw.t) - repeated)
            row = int(raw.rows[int(np.argmax(steps == 0)) + 1])
            problem = f"about {share:.0f} rows share each time stamp"
            remedy = (
                "name the column with the time of day too (--time DATE --time TIME), or leave "
                "the stamps out (--time none --Ts SECONDS)"
            )
            raise DataError(f"{problem}; {remedy}", file=raw.file, row=row)
        else:
            notes.append(f"{repeated} row(s) have the stamp of the row before: their mean counts")
    return replace(raw, notes=tuple(notes))


def _merged(raw: Raw) -> Raw | None:
    """Rows that share a stamp as one, None where two of them fill one column."""
    filled = np.isfinite(raw.values) | raw.void
    place = np.concatenate([[0], np.cumsum(np.diff(raw.t) > 0)])
    n = int(place[-1]) + 1
    values, void = np.full((n, filled.shape[1]), np.nan), np.zeros((n, filled.shape[1]), dtype=bool)
    for j, column in enumerate(filled.T):
        if np.bincount(place[column], minlength=n).max() > 1:
            return None
        values[place[column], j] = raw.values[column, j]
        void[place[column], j] = raw.void[column, j]
    first = np.searchsorted(place, np.arange(n))
    counts = np.bincount(place, weights=~raw.counts, minlength=n) == 0
    return replace(
        raw, t=raw.t[first], values=values, void=void, rows=raw.rows[first], counts=counts
    )


def _check_order(file: Path, t: Array, rows: Array) -> None:
    back = np.flatnonzero(np.diff(t) < 0)
    if back.size:
        k = int(back[0])
        problem = f"time goes back by {t[k] - t[k + 1]:g} s"
        remedy = "sort the rows, split the file there, or write stamps in UTC if clocks changed"
        raise DataError(f"{problem}; {remedy}", file=file, row=int(rows[k + 1]))


def without(raw: Raw, names: Sequence[str], missing: Sequence[float]) -> Raw:
    """Without the numbers that stand for "not measured"."""
    if not missing:
        return raw
    values, void, notes = raw.values.copy(), raw.void.copy(), list(raw.notes)
    for number in missing:
        for j, name in enumerate(names):
            alike = np.abs(raw.values[:, j] - number) <= _SENTINEL * abs(number)
            if count := int(alike.sum()):
                values[alike, j], void[alike, j] = np.nan, True
                notes.append(f"{name}: {number:g} stands {count}× and counts as not measured")
    return replace(raw, values=values, void=void, notes=tuple(notes))


def _check(raw: Raw, names: Sequence[str]) -> None:
    """A slow sensor leaves cells empty, a column of text does not."""
    for name, column, void in zip(names, raw.values.T, raw.void.T, strict=True):
        numbers = int(np.isfinite(column).sum())
        if numbers < 2 or void.sum() > numbers:
            problem = f"column {name!r:.60} holds a number in {numbers} of {len(column)} rows only"
            words = ", ".join(map(repr, list(raw.words)[:3]))
            remedy = (
                "choose another column, or write what its words mean as numbers, such as 0 and 1"
            )
            shown = f" (words: {words:.80})" if words else ""
            raise DataError(f"{problem}{shown}; {remedy}", file=raw.file)
    if not raw.counts.any():
        raise DataError("has no row that satisfies `where` outside of `exclude`", file=raw.file)


def _settled(reader: ColumnReader, asked: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """What was settled while reading, in sentences."""
    notes = []
    if count := reader.table.left_out["repeated"]:
        notes.append(f"{count} row(s) repeat the names or what stands around them: left out")
    if reader.table.left_out["incomplete"]:
        notes.append("the last row is incomplete: left out")
    if count := reader.table.left_out["below"]:
        notes.append(
            f"the last {count} row(s) have a word for a stamp, as means and totals do: left out"
        )
    for name, column in zip(asked, chosen, strict=True):
        if column not in (name, name.strip()) and plain(column) != name.strip():
            notes.append(f"{name!r:.60} is read from column {column!r:.80}")
    styles = {style for c in reader.columns for style in c.used if style is not None}
    if any(style.decimal == "comma" for style in styles):
        notes.append("numbers have a decimal comma")
    grouped = {c.name for c in reader.columns if c.tally.grouped(c.used)}
    notes += [f"{name}: marks of thousands in its numbers" for name in sorted(grouped)]
    for c in reader.columns:
        marks = [k for k in c.tally.kinds if k.startswith(("point", "comma"))]
        alone = reader.decimal == "auto" and reader.table.delimiter not in ("", ",")
        if alone and len(marks) == 1 and marks[0].endswith("three"):
            mark, other = marks[0].split()[0], {"point": "comma", "comma": "point"}
            if any(style and style.decimal == mark for style in c.used):
                notes.append(
                    f"{c.name}: every {mark} is taken for a decimal one, and stands before three"
                    f" digits; if it groups thousands, give decimal = {other[mark]!r} (--decimal)"
                )
    units = {c.name: style.unit for c in reader.columns for style in c.used if style}
    notes += [f"{name}: its numbers have the unit {unit}" for name, unit in units.items() if unit]
    if left := int((~np.concatenate(reader.counts)).sum()):
        notes.append(f"{left} row(s) do not satisfy `where` and do not count")
    return notes


def _number_of(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        problem = f"exclude: {text!r:.40} is no time of a log without stamps"
        raise InputError(f"{problem}; give seconds from its start") from error
