"""One log as a table: names and units of its columns and a stream of rows, whatever its format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from lstm_mpc.data.logs.containers import kind_of, typed_rows
from lstm_mpc.data.logs.dates import nature
from lstm_mpc.data.logs.layout import Layout, Row, column, layout_of, plain
from lstm_mpc.data.logs.stamps import unit_of_time
from lstm_mpc.data.logs.text_file import (
    Progress,
    delimiter_of,
    encoding_note,
    encoding_of,
    rows_of,
)
from lstm_mpc.errors import DataError

_HEAD = 300  # rows that tell the layout
_BELOW = 20  # rows at most at the end that are no data
_TIME_NAMES = (
    *("t", "time", "timestamp", "time stamp", "date", "datetime", "date time", "date_time", "ts"),
    *("zeit", "zeitstempel", "datum", "uhrzeit", "epoch", "unixtime", "elapsed", "elapsed time"),
)


@dataclass(frozen=True)
class Table:
    """A log that is open to be read: names and units of its columns (n,), its first rows of data
    (`head`), and in `notes` what was noticed. `left_out` counts the rows that are no data."""

    file: Path
    layout: Layout
    head: tuple[Row, ...]
    kind: str
    encoding: str
    delimiter: str
    notes: tuple[str, ...]
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def names(self) -> tuple[str, ...]:
        return self.layout.names

    @property
    def units(self) -> tuple[str, ...]:
        return self.layout.units

    def places(self, asked: str) -> list[int]:
        """The numbers of the columns that `asked` may mean."""
        return column(self.names, asked)

    def place(self, asked: str) -> int:
        """The number of the column that `asked` means; DataError where none or several do."""
        places = self.places(asked)
        if len(places) == 1:
            return places[0]
        shown = ", ".join(self.names)
        problem = f"has no column {asked!r:.80} (its columns: {shown:.200})"
        remedy = "give the name as it stands there, or its number as #2"
        if len(places) > 1:
            several = ", ".join(f"{self.names[k]!r:.60} (#{k + 1})" for k in places[:4])
            problem = f"has {len(places)} columns for {asked!r:.80}: {several}"
            remedy = "give more of the name, or the number of the column"
        row = self.layout.names_line or None
        raise DataError(f"{problem}; {remedy}", file=self.file, row=row)

    def cells(self, k: int, count: int = 50) -> list[str]:
        """The first cells of a column that are not empty."""
        column_cells = (row[k] for _, row in self.head if k < len(row))
        return list(islice((cell for cell in column_cells if cell.strip()), count))

    def rows(self, progress: Progress | None = None, stamps: Sequence[int] = ()) -> Iterator[Row]:
        """The rows of data; `stamps` are the numbers of the columns of stamps.

        Left out, and counted, are the names where they stand again with what stands before them, an
        incomplete row at the very end, as of a logger that lost its power, and rows there whose
        stamps are words, such as means and totals. DataError names a row with too few or too many
        cells.
        """
        self.left_out.clear()
        width, before = len(self.names), set(self.layout.before)
        first_cells, apart = {cells[0] for cells in before if cells}, list[Row]()
        for line, cells in self._source(progress):
            if cells[0] in first_cells and tuple(c.strip() for c in cells) in before:
                self.left_out["repeated"] += 1 + len(apart)
                apart.clear()
                continue
            if len(cells) > width:
                if any(c.strip() for c in cells[width:]):
                    raise self._wrong((line, cells))
                cells = cells[:width]
            if len(cells) < width or (stamps and not _stamped(cells, stamps)):
                apart.append((line, cells))
                if len(apart) <= _BELOW:
                    continue
                yield from self._whole(apart)
                apart.clear()
                continue
            if apart:
                yield from self._whole(apart)
                apart.clear()
            yield line, cells
        if apart and len(apart[0][1]) < width and (not stamps or _stamped(apart[0][1], stamps)):
            self.left_out["incomplete"] = 1
            del apart[0]
        if stamps and not any(_stamped(cells, stamps) for _, cells in apart):
            self.left_out["below"] = len(apart)
        else:
            yield from self._whole(apart)

    def _whole(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Rows that must have all their cells."""
        for row in rows:
            if len(row[1]) < len(self.names):
                raise self._wrong(row)
            yield row

    def _wrong(self, row: Row) -> DataError:
        problem = f"has {len(row[1])} cells, the row of names has {len(self.names)}"
        remedy = "complete or remove the row"
        return DataError(f"{problem}; {remedy}", file=self.file, row=row[0])

    def _source(self, progress: Progress | None) -> Iterator[Row]:
        first = self.layout.first_line
        if self.kind == "text":
            return rows_of(self.file, self.encoding, self.delimiter, first, progress)
        width, rows = len(self.names), typed_rows(self.file, self.kind)
        return (  # a workbook has no cells beyond the last that is filled
            (line, cells + [""] * (width - len(cells))) for line, cells in rows if line >= first
        )


def _stamped(cells: Sequence[str], places: Sequence[int]) -> bool:
    """Does a digit stand where the stamps are?"""
    return any(c.isdigit() for k in places for c in (cells[k] if k < len(cells) else ""))


def open_log(path: str | Path, *, header_row: int = 0) -> Table:
    """Open a log: CSV in any dialect, gzipped or not, .xlsx, .parquet, .mat or the
    history.db of a controller.

    Args:
        path: The file.
        header_row: The line with the names of the columns, 0 to find it.

    Returns:
        The table, of which only the first rows were looked at.

    Raises:
        DataError: For a file that cannot be read or has no rows of data.
    """
    path = Path(path)
    kind, encoding, delimiter, chosen = kind_of(path), "", "", list[str]()
    if kind == "text":
        encoding = encoding_of(path)
        delimiter = delimiter_of(path, encoding)
        source = rows_of(path, encoding, delimiter)
    else:
        source = typed_rows(path, kind, chosen)
    rows = list(islice(source, _HEAD))
    layout = layout_of(path, rows, header_row)
    head = tuple(row for row in rows if row[0] >= layout.first_line)
    notes = (*encoding_note(encoding or "ascii"), *chosen, *layout.notes)
    return Table(path, layout, head, kind, encoding, delimiter, notes)


def time_columns(table: Table, signals: Sequence[int] = ()) -> tuple[str, ...]:
    """The column of the stamps, or those of date and time of day; none where there are none.

    `signals` are the numbers of columns that are none.
    """
    natures = {k: _nature(table, k) for k in range(len(table.names)) if k not in signals}
    last = (lambda name: name.rpartition(".")[2]) if table.kind == "mat" else str  # of a structure
    named = [k for k in natures if _time_like(last(table.names[k]))]
    moments = [k for k, what in natures.items() if what == "moment"]
    for k in (*named, *moments):
        if natures[k] == "moment":
            return (table.names[k],)
    dates = [k for k, what in natures.items() if what == "date"]
    clocks = [k for k, what in natures.items() if what == "clock"]
    if dates and clocks:
        return table.names[dates[0]], table.names[clocks[0]]
    for k in (*named, *dates, *clocks):
        if natures[k] in ("number", "date", "clock"):
            return (table.names[k],)
    return ()


def _nature(table: Table, k: int) -> str:
    """What most of the first cells of a column are: "moment", "date", "clock", "number"."""
    cells = table.cells(k, 9)
    kinds = Counter(nature(cell) or ("number" if _digits(cell) else "") for cell in cells)
    return kinds.most_common(1)[0][0] if kinds else ""


def _digits(cell: str) -> bool:
    return re.fullmatch(r"\s*[+-]?[\d.,']+(?:[eE][+-]?\d+)?\s*", cell) is not None


def _time_like(name: str) -> bool:
    """Is a column called like one of stamps? T is a temperature."""
    word = plain(name)
    if len(word) > 1:
        word = re.sub(r"[_ ](?:s|ms|us|ns|min|h|utc|local)$", "", word.lower())
    return word in _TIME_NAMES


def time_unit(table: Table, places: Sequence[int]) -> str:
    """The unit that the header gives a single column of stamps: "seconds", …, "" for none."""
    if len(places) != 1:
        return ""
    name, unit = table.names[places[0]], table.units[places[0]]
    suffix = re.search(r"[_ ](s|ms|us|ns|min|h|sec|seconds|minutes|hours|days)$", name.lower())
    return unit_of_time(unit) or (unit_of_time(suffix[1]) if suffix else "")
