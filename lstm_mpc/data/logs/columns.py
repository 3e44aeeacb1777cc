"""Columns of a log, read piece by piece: a million rows are never held as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from lstm_mpc.data.logs.layout import Row
from lstm_mpc.data.logs.numbers import Mask, Style, Tally, styles, values
from lstm_mpc.data.logs.selection import Where
from lstm_mpc.data.logs.stamps import Stamps
from lstm_mpc.data.logs.table import Table, time_unit
from lstm_mpc.errors import DataError
from lstm_mpc.plants.system import Array

_CHUNK = 65536  # rows that are held as text at a time


@dataclass
class Column:
    """One column while it is read: its place, what its cells look like, their numbers so far, and
    the styles in which these were read."""

    name: str
    place: int
    tally: Tally = field(default_factory=Tally)
    parts: list[Array] = field(default_factory=list)
    voids: list[Mask] = field(default_factory=list)
    used: set[Style | None] = field(default_factory=set)


@dataclass
class ColumnReader:
    """Reads the columns of a table piece by piece, again where their style was told late."""

    table: Table
    columns: list[Column]
    times: list[int]
    stamps: Stamps
    decimal: str
    others: list[Tally]
    where: Where | None = None
    conditions: list[int] = field(default_factory=list)
    tags: Mapping[str, int] = field(default_factory=dict)
    tag_place: int = -1
    words: Counter[str] = field(default_factory=Counter)
    lines: list[Array] = field(default_factory=list)
    counts: list[Mask] = field(default_factory=list)
    tag_parts: list[Array] = field(default_factory=list)
    seen: dict[tuple[str, ...], bool] = field(default_factory=dict)

    def read(self, on_progress: Callable[[float], None]) -> None:
        """Read all rows; DataError for fewer than two, and for marks that stay in doubt."""
        for again in (False, True):
            rows = self.table.rows(on_progress, self.times)
            while chunk := list(islice(rows, _CHUNK)):
                if self.tags:
                    chunk = [row for row in chunk if row[1][self.tag_place].strip() in self.tags]
                if chunk:
                    self._add(chunk, again)
            if sum(map(len, self.lines)) < 2:
                raise DataError("holds fewer than two rows of data", file=self.table.file)
            if all(c.used <= {self.style(c, strict=True)} for c in self.columns):
                return
            for c in self.columns:
                c.parts, c.voids, c.used = [], [], set()
            self.lines, self.counts, self.tag_parts, self.words = [], [], [], Counter()

    def style(self, column: Column, *, strict: bool = False) -> Style | None:
        """How the numbers of a column are written, None where that is in doubt so far."""
        beside = [c.tally for c in self.columns if c is not column]
        try:
            return styles(
                self.table.file,
                {column.name: column.tally},
                [*beside, *self.others],
                delimiter=self.table.delimiter,
                asked=self.decimal,
            )[column.name]
        except DataError:
            if strict:
                raise
            return None

    def _add(self, chunk: list[Row], again: bool) -> None:
        lines = np.array([line for line, _ in chunk], dtype=np.float64)
        tags = self._tags(chunk)
        for number, c in enumerate(self.columns):
            cells = [row[c.place] for _, row in chunk]
            if self.tags:  # each tag in its own style
                cells = [c if k == number else "" for c, k in zip(cells, tags, strict=True)]
            clear = c.tally.clear
            if not again and not clear:
                c.tally.add(cells, lines)
            try:
                self._convert(c, cells, lines)
            except DataError:
                if again or not clear:
                    raise
                c.tally.add(cells, lines)  # something new: what does the column look like now?
                self._convert(c, cells, lines)
        if self.times and not again:
            parts = [[row[k] for _, row in chunk] for k in self.times]
            self.stamps.add(parts[0] if len(parts) == 1 else list(map(_joined, *parts)), lines)
        self.tag_parts.append(np.array(tags, dtype=np.intp))
        self.lines.append(lines)
        keep = [self._counted(row) for _, row in chunk] if self.where else np.ones(len(chunk))
        self.counts.append(np.asarray(keep, dtype=bool))

    def _tags(self, chunk: list[Row]) -> list[int]:
        """The number of the tag of every row, where each is one reading."""
        return [self.tags[row[self.tag_place].strip()] for _, row in chunk] if self.tags else []

    def _convert(self, c: Column, cells: list[str], lines: Array) -> None:
        """Add the numbers of a column; NaN as long as its style is in doubt."""
        style, void = self.style(c), None
        numbers = np.full(len(cells), np.nan)
        if style is not None:
            words = Counter[str]()
            numbers, void = values(self.table.file, c.name, cells, lines, style, words)
            self.words.update(words)
        c.used.add(style)
        c.parts.append(numbers)
        c.voids.append(np.zeros(len(cells), dtype=bool) if void is None else void)

    def _counted(self, row: Sequence[str]) -> bool:
        assert self.where is not None
        cells = tuple(row[k] for k in self.conditions)
        if cells not in self.seen:
            comma = any(Style("comma") in c.used for c in self.columns)
            style = Style("comma" if comma else "point")
            self.seen[cells] = self.where.holds(cells, [style] * len(cells))
        return self.seen[cells]


def _joined(*parts: str) -> str:
    return " ".join(part.strip() for part in parts)


def column_reader(
    table: Table, listed: Sequence[int], times: list[int], decimal: str, time_format: str
) -> ColumnReader:
    """A reader that has looked at the first rows of every column."""
    width = len(table.names)
    head = [(line, row) for line, row in table.head if len(row) >= width]
    lines = [line for line, _ in head]
    tallies = [Tally() for _ in range(width)]
    for k, tally in enumerate(tallies):
        tally.add([row[k] for _, row in head], lines)
    columns = [Column(table.names[k], k) for k in listed]
    others = [tally for k, tally in enumerate(tallies) if k not in {*listed, *times}]
    stamps = Stamps(table.file, asked=time_format, unit=time_unit(table, times))
    reader = ColumnReader(table, columns, times, stamps, decimal, others)
    if len(times) == 1:
        stamp = tallies[times[0]]
        style = reader.style(Column(table.names[times[0]], times[0], stamp))
        reader.stamps.style = style or Style()
        del stamp.kinds["large"]  # stamps have no marks of thousands, whatever the numbers have
        stamp.wholes.clear()  # nor decimals
        reader.others = [*others, stamp]
    return reader
