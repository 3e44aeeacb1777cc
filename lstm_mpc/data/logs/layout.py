"""Where in a log the names, the units and the data stand, and what a column is called.

Loggers write lines before the names (station, vendor, start), rows of units below them, and the
names again where they restarted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lstm_mpc.data.logs.dates import nature
from lstm_mpc.data.logs.numbers import WITH_UNIT, Style, ungrouped
from lstm_mpc.errors import DataError

Row = tuple[int, list[str]]  # the number of its line in the file, and its cells
_WIDEST = 10_000  # columns
_LOOK = 60  # rows that tell where the data begin
_BELOW = 4  # rows at most between names and data
_UNIT = re.compile(
    r"[\[(]?(?:%|°|°?[CFK]|deg[CFK]?|grad|rad|rpm|1/min|pH|ppm|ppb|-|[nuµμmkMGc]?"
    r"(?:g|t|l|L|m|s|A|V|W|Pa|bar|N|J|Hz|Ohm|S|mol|min|h|d|VA|var|Wh|psi|gal|ft|in|lb|mbar|sec|to|"
    r"hr|day|Nm|Nm3|Nm³|m3|m²|m³|m2|cm)"
    r"(?:\^?-?[23]|[²³])?(?:[ ./*·]?(?:[nuµμmkMG]?(?:g|l|L|m|s|h|min|d|hr|sec|K|C|°C|A|V|mol|Pa|kg|"
    r"cm|mm|day)(?:\^?-?[123]|[²³])?))*(?:[ (]?[ag]\)?)?)[\])]?"
)
_BRACKETED = re.compile(r"(.*\S)\s*\[([^\[\]]*)\]\s*")
_ROUND = re.compile(r"(.*\S)\s*\(([^()]*)\)\s*")
_COMMA = re.compile(r"(.*?\S)\s*,\s*([^,(\[]+?)\s*(?:\(.*\)|\[.*\])?\s*")


@dataclass(frozen=True)
class Layout:
    """Names and units of the columns (n,), the line of the names (0: there is none), the first line
    of data, the rows before (in which nothing is data), and what to say about it."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    names_line: int
    first_line: int
    before: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = field(default=())


def layout_of(path: Path, rows: Sequence[Row], header_row: int = 0) -> Layout:
    """Where names, units and data stand in the first `rows` of a file.

    `header_row` is the line of the names where it is known, else it is found.
    """
    if not rows:
        raise DataError("is empty; give a file with rows of data", file=path)
    place = _names_place(path, rows, header_row)
    if place is None:
        width = _width(rows)
        first = next(k for k, (_, cells) in enumerate(rows) if len(cells) >= width)
        names = tuple(f"#{k + 1}" for k in range(width))
        note = f"has no line of names: its columns are #1 to #{width}"
        before = tuple(tuple(cells) for _, cells in rows[:first])
        return Layout(names, ("",) * width, 0, rows[first][0], before, (note,))
    line, cells = rows[place]
    names = tuple(cell.strip() for cell in cells)
    while names and not names[-1] and len(names) > 1:  # a separator at the end of every row
        names = names[:-1]
    if not any(names) or len(names) > _WIDEST:
        problem = f"needs a row with the names of its columns, at most {_WIDEST}"
        raise DataError(problem, file=path, row=line)
    below = _below(rows[place + 1 :], len(names))
    units, notes = [unit_of(name) for name in names], []
    if place:
        shown = f"row {rows[0][0]}" if place == 1 else f"rows {rows[0][0]} to {rows[place - 1][0]}"
        notes.append(f"the names stand in row {line}; {shown} before them left out")
    for number, cells in rows[place + 1 : place + 1 + below]:
        shown = ", ".join(c.strip() for c in cells if c.strip())
        what = "has units" if any(map(is_unit, cells)) else "is left out"
        notes.append(f"row {number} {what}: {shown:.80}")
        if any(map(is_unit, cells)):
            given = [c.strip().strip("[]()") if is_unit(c) else "" for c in cells]
            units = [new or old for new, old in zip(given, units, strict=False)]
    after = place + 1 + below
    first_line = rows[after][0] if after < len(rows) else line + 1
    before = tuple(tuple(c.strip() for c in cells) for _, cells in rows[:after])
    return Layout(names, tuple(units), line, first_line, before, tuple(notes))


def _names_place(path: Path, rows: Sequence[Row], header_row: int) -> int | None:
    """Which of the rows has the names."""
    if header_row:
        for k, (line, _) in enumerate(rows):
            if line == header_row:
                return k
        problem = f"has no row {header_row} among its first {len(rows)}"
        raise DataError(f"{problem}; give another header_row (--header-row)", file=path)
    width = _width(rows)
    strict = [k for k in range(len(rows) // 2 + 1) if _names_like(rows[k][1], width)]
    for k in strict:
        if _data_share(rows[k + 1 :], width) > 0.5:
            return k
    for k in range(min(len(rows), _BELOW + 20)):  # names that are numbers beside others
        cells = rows[k][1]
        if len(cells) == width and not _is_data(cells, width):
            return k
    if _names_like(rows[0][1], len(rows[0][1])):  # nothing but names, or words below them
        return 0
    return None if _numbers_too(rows[0][1], rows[1:], width) else 0


def _numbers_too(cells: Sequence[str], rows: Sequence[Row], width: int) -> bool:
    """Is the first row one of data, like those below it?"""
    below = [row for _, row in rows[:_LOOK] if len(row) == width]
    if len(cells) != width or not below:
        return False
    kinds = [
        Counter(map(_kind, column)).most_common(1)[0][0] for column in zip(*below, strict=True)
    ]
    return all(_kind(c) in (kind, "") for c, kind in zip(cells, kinds, strict=True))


def _kind(cell: str) -> str:
    text = cell.strip()
    return "" if not text else "number" if is_number(text) else nature(text) or "word"


def is_number(cell: str) -> bool:
    """Is the cell a number, whatever its decimal mark, with a unit behind it or without?"""
    for style in (Style("point"), Style("comma")):
        try:
            number = style.number(cell)
        except ValueError:
            continue
        if number is not None:
            return not np.isnan(number)
    match = WITH_UNIT.fullmatch(ungrouped(cell))
    return match is not None and is_unit(match[2])


def _width(rows: Sequence[Row]) -> int:
    """How many cells most rows have, those at the end of the look."""
    later = rows[len(rows) // 3 :]
    return Counter(len(cells) for _, cells in later).most_common(1)[0][0]


def _names_like(cells: Sequence[str], width: int) -> bool:
    """Different names and no numbers."""
    names = [c.strip() for c in cells if c.strip()]
    enough = len(cells) == width and len(names) > width / 2 and len(set(names)) == len(names)
    return enough and not any(is_number(name) or nature(name) for name in names)


def _is_data(cells: Sequence[str], width: int) -> bool:
    """A row with a stamp or a number in it, and more of them than words or a stamp."""
    kinds = [_kind(c) for c in cells]
    return len(cells) >= width and any(k not in ("", "word") for k in kinds)


def _data_share(rows: Sequence[Row], width: int) -> float:
    looked = rows[:_LOOK]
    return sum(_is_data(cells, width) for _, cells in looked) / max(1, len(looked))


def _below(rows: Sequence[Row], width: int) -> int:
    """How many rows below the names are no data, where what follows is."""
    for k in range(min(_BELOW, len(rows))):
        if _is_data(rows[k][1], width):
            return k
        if not any(map(is_unit, rows[k][1])) and k == 0 and _words_later(rows, width):
            return 0
    return 0


def _words_later(rows: Sequence[Row], width: int) -> bool:
    """Do words like those of the first row stand in later ones too? Then it is a row of data."""
    words = {c.strip() for c in rows[0][1] if c.strip()}
    return any(words & {c.strip() for c in cells} for _, cells in rows[1:_LOOK])


def is_unit(cell: str) -> bool:
    """Is the cell a unit, in brackets or without?"""
    text = cell.strip()
    return bool(text) and len(text) <= 16 and _UNIT.fullmatch(text) is not None


def unit_of(name: str) -> str:
    """The unit in the name of a column: `name [unit]`, `name (unit)` or `name, unit`."""
    if match := _BRACKETED.fullmatch(name):
        return match[2].strip()
    for pattern in (_ROUND, _COMMA):
        match = pattern.fullmatch(name)
        if match and is_unit(match[2]):
            return match[2].strip()
    return ""


def plain(name: str) -> str:
    """The name of a column without its unit."""
    for pattern in (_BRACKETED, _ROUND, _COMMA):
        match = pattern.fullmatch(name)
        if match and (pattern is _BRACKETED or is_unit(match[2])):
            return match[1].strip()
    return name.strip()


def column(names: Sequence[str], asked: str) -> list[int]:
    """The columns that `asked` may mean, the surest kind alone.

    `asked` is a name, a name without its unit, one in other letters, the start of a name, or the
    number of a column as `#2`.
    """
    low = asked.strip().lower()
    tries = (
        [k for k, name in enumerate(names) if name == asked],
        [k for k, name in enumerate(names) if plain(name) == asked.strip()],
        [k for k, name in enumerate(names) if low in (name.lower(), plain(name).lower())],
        [int(low[1:]) - 1] if re.fullmatch(r"#[1-9]\d{0,4}", low) else [],
        [k for k, name in enumerate(names) if low and name.lower().startswith(low)],
    )
    for places in tries:
        if places:
            return [k for k in places if k < len(names)]
    return []
