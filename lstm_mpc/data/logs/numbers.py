"""Cells as numbers: which mark is the decimal one, which groups thousands, units in the cell.

The marks are told from a whole column and its neighbours. What leaves a doubt is refused: a number
is never read a thousand times too large or too small.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.errors import DataError
from lstm_mpc.plants.system import Array

Mask = NDArray[np.bool_]
DECIMALS = ("auto", "point", "comma")
_MARK = {"point": ".", "comma": ","}
_OTHER = {"point": "comma", "comma": "point"}
_FAR = 20.0  # whole numbers so many times beyond those with a mark are not on one scale with them
_MANY = 1000  # different whole numbers that are kept
_CLEAN = str.maketrans("\u2212\u2013\u00a0\u202f\u2009\u2019", "--   '")
_NUMBER = re.compile(r"([+-]?)(\d[\d.,]*|[.,]\d+)([eE][+-]?\d+)?")
WITH_UNIT = re.compile(r"([+-]?\d(?:[\d.,' ]*\d)?(?:[eE][+-]?\d+)?)\s*([^\W\d_].*|[%°‰µΩ].*)")
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:[ ']\d{3})+(?!\d)")
_WHOLES = re.compile(r"(?:[+-]?\d{1,3}\n)+")
_THREES = re.compile(r"(?:[+-]?[1-9]\d{0,2}\.\d{3}\n)+")
_COMMAS = re.compile(r"(?:[+-]?(?:\d+(?:,\d*)?|,\d+)(?:[eE][+-]?\d+)?\n)*")


@dataclass
class Tally:
    """What the cells of one column look like.

    `kinds` counts: "point" and "comma", for sure a decimal mark; "point groups" and "comma groups",
    for sure marks of thousands; "point three" and "comma three", a mark before the last three
    digits, which may be either; "whole", up to three digits; "large", more without a mark.
    `rows` has the row in which each kind was first seen, `wholes` some of the whole numbers,
    `marked` the largest number with a mark before three digits, read as a decimal.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    rows: dict[str, int] = field(default_factory=dict)
    wholes: set[float] = field(default_factory=set)
    marked: float = 0.0
    units: Counter[str] = field(default_factory=Counter)

    def add(self, cells: Sequence[str], rows: Sequence[float] | Array) -> None:
        """Count more cells, which stand in `rows` of the file."""
        if "" in cells:
            filled = [k for k, cell in enumerate(cells) if cell]
            cells, rows = [cells[k] for k in filled], [rows[k] for k in filled]
        if self._add_alike(cells, rows):
            return
        for cell, row in zip(cells, rows, strict=True):
            text = ungrouped(cell)
            match = _NUMBER.fullmatch(text)
            if match is None and (with_unit := WITH_UNIT.fullmatch(text)):
                match = _NUMBER.fullmatch(with_unit[1])
                self.units[with_unit[2].strip()] += match is not None
            if match is not None:
                for kind in self._kinds_of(match[2], bool(match[3])):
                    self.kinds[kind] += 1
                    self.rows.setdefault(kind, int(row))

    def _add_alike(self, cells: Sequence[str], rows: Sequence[float] | Array) -> bool:
        """The same in one go, where all cells are whole numbers or all have three decimals."""
        text = "\n".join(cells) + "\n"
        if _WHOLES.fullmatch(text):
            if len(self.wholes) < _MANY:
                self.wholes |= set(map(abs, map(float, set(cells))))
            kind = "whole"
        elif _THREES.fullmatch(text):
            self.marked = max(self.marked, *map(abs, map(float, cells)))
            kind = "point three"
        else:
            return False
        self.kinds[kind] += len(cells)
        self.rows.setdefault(kind, int(rows[0]) if len(rows) else 0)
        return True

    def _kinds_of(self, body: str, exponent: bool) -> list[str]:
        points, commas = body.count("."), body.count(",")
        if not points and not commas:
            if len(body) <= 3 and len(self.wholes) < _MANY:
                self.wholes.add(float(body))
            return [] if exponent else ["whole" if len(body) <= 3 else "large"]
        if points and commas:
            last = "point" if body.rfind(".") > body.rfind(",") else "comma"
            return [last, f"{_OTHER[last]} groups"]
        mark = "point" if points else "comma"
        if points + commas > 1:
            return [f"{mark} groups"]
        before, after = body.split(_MARK[mark])
        if exponent or len(after) != 3 or not 1 <= len(before) <= 3 or before[0] == "0":
            return [mark]
        self.marked = max(self.marked, float(f"{before}.{after}"))
        return [f"{mark} three"]

    @property
    def clear(self) -> bool:
        """Is its decimal mark beyond doubt, and no mark of thousands in it?"""
        marks = [k for k in self.kinds if k.startswith(("point", "comma"))]
        return marks in (["point"], ["comma"])

    def grouped(self, used: Collection[Style | None]) -> bool:
        """Has a number marks of thousands, read in these styles?"""
        others = {_OTHER[style.decimal] for style in used if style is not None}
        return any(self.kinds[f"{m} groups"] or self.kinds[f"{m} three"] for m in others)


@dataclass(frozen=True)
class Style:
    """How the numbers of a column are written: the decimal mark, the unit that stands behind every
    number ("" for none), and whether the other mark is known to group thousands, so that a single
    one before three digits does."""

    decimal: str = "point"
    unit: str = ""
    grouped: bool = False

    def number(self, cell: str) -> float | None:
        """The number of a cell, None for a word.

        ValueError where it would be a number with the other decimal mark only, or in another unit.
        """
        text = cell.strip().translate(_CLEAN)
        if text.endswith("-") and text[:-1].rstrip()[-1:].isdigit():  # as some systems write it
            text = f"-{text[:-1].rstrip()}"
        text = ungrouped(text)
        if self.unit and (with_unit := WITH_UNIT.fullmatch(text)):
            if with_unit[2].strip() != self.unit:
                raise ValueError(f"has another unit than the {self.unit!r} of the others")
            text = with_unit[1]
        match = _NUMBER.fullmatch(text)
        if match is None:
            return _special(text)
        group = _MARK[_OTHER[self.decimal]]
        whole, mark, fraction = match[2].partition(_MARK[self.decimal])
        groups = re.fullmatch(rf"\d{{1,3}}(?:{re.escape(group)}\d{{3}})+", whole)
        if _MARK[self.decimal] in fraction and group not in match[2]:
            if re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", match[2]):
                raise ValueError(f"is no number with a decimal {self.decimal}")
            return None  # a version, an address
        single = whole.count(group) == 1 and not mark and not self.grouped
        if group in fraction or (group in whole and (not groups or single)):
            raise ValueError(f"is no number with a decimal {self.decimal}")
        whole = whole.replace(group, "")
        return float(f"{match[1]}{whole}{'.' if mark else ''}{fraction}{match[3] or ''}")


def ungrouped(text: str) -> str:
    """A cell without blanks around it and without those and apostrophes between groups of three
    digits."""
    text = text.strip().translate(_CLEAN)
    if " " not in text and "'" not in text:
        return text
    return _GROUPED.sub(lambda match: re.sub("[ ']", "", match[0]), text)


def _special(text: str) -> float | None:
    """What Python reads as a number beside digits and marks: nan, inf."""
    try:
        return float(text)
    except ValueError:
        return None


def styles(
    path: Path,
    wanted: Mapping[str, Tally],
    others: Sequence[Tally],
    *,
    delimiter: str = "",
    asked: str = "auto",
) -> dict[str, Style]:
    """The style of every wanted column, from all that is seen of the file.

    DataError names the row and the remedy where marks contradict each other or leave a doubt.
    """
    result = {}
    for name, tally in wanted.items():
        rest = [*(t for t in wanted.values() if t is not tally), *others]
        unit = _unit(path, name, tally)
        style = Style(asked, unit, True) if asked != "auto" else None
        result[name] = style or _style(path, name, tally, rest, delimiter, unit)
    return result


def _unit(path: Path, name: str, tally: Tally) -> str:
    """The unit that stands behind most numbers of a column, "" where none does."""
    kinds = ("point", "comma", "point three", "comma three", "whole", "large")
    if sum(tally.units.values()) <= 0.5 * sum(tally.kinds[k] for k in kinds):
        return ""
    if len(tally.units) > 1:
        units = ", ".join(repr(unit) for unit, _ in tally.units.most_common(3))
        problem = f"column {name!r:.60} has numbers with different units ({units:.80})"
        raise DataError(f"{problem}; convert them to one", file=path)
    return next(iter(tally.units))


def _style(
    path: Path, name: str, tally: Tally, others: Sequence[Tally], delimiter: str, unit: str
) -> Style:
    kinds = tally.kinds
    sure = {m: bool(kinds[m] or kinds[f"{_OTHER[m]} groups"]) for m in _MARK}
    if all(sure.values()):
        rows = [tally.rows.get(m, tally.rows.get(f"{_OTHER[m]} groups", 0)) for m in _MARK]
        problem = f"column {name!r:.60} has a decimal point in row {rows[0]} and a decimal comma"
        raise DataError(f"{problem} here; write it one way", file=path, row=rows[1])
    for mark in _MARK:
        other = _OTHER[mark]
        if sure[mark]:
            grouped = bool(kinds[f"{other} groups"])
            fixed = bool(kinds[f"{mark} three"] and not kinds["whole"])  # three decimals everywhere
            if kinds[f"{other} three"] and (fixed or not grouped):
                raise _doubt(path, name, tally, other)
            return Style(mark, unit, grouped)
    three = [m for m in _MARK if kinds[f"{m} three"]]
    if len(three) == 2:
        raise _doubt(path, name, tally, "comma")
    if three:
        return _undecided(path, name, three[0], tally, others, delimiter, unit)
    comma = any(t.kinds["comma"] for t in others) and not any(t.kinds["point"] for t in others)
    return Style("comma" if comma else "point", unit)


def _undecided(
    path: Path,
    name: str,
    mark: str,
    tally: Tally,
    others: Sequence[Tally],
    delimiter: str,
    unit: str,
) -> Style:
    """Every mark of the column stands before three digits: is it the decimal mark?"""
    other = _OTHER[mark]
    groups, decimal = Style(other, unit, True), Style(mark, unit)
    sure = {m: any(t.kinds[m] or t.kinds[f"{_OTHER[m]} groups"] for t in others) for m in _MARK}
    only = [m for m in _MARK if sure[m] and not sure[_OTHER[m]]]
    wholes = {w for w in tally.wholes if w}
    if only == [other]:
        return groups
    if tally.kinds["large"]:  # a thousand without a mark beside one that may have it
        raise _doubt(path, name, tally, mark)
    if not only and any(t.kinds[f"{other} three"] for t in others):  # one of the two must group
        raise _doubt(path, name, tally, mark)
    if only == [mark]:
        at_end = len(wholes) == 1 and tally.marked <= max(wholes) <= 1.5 * tally.marked
        if not wholes or at_end:
            return decimal
        raise _doubt(path, name, tally, mark)
    if len(wholes) >= 3 and max(wholes) > _FAR * tally.marked:
        return groups
    if tally.kinds["whole"] or any(sure.values()):
        raise _doubt(path, name, tally, mark)
    if mark == "point" and delimiter == ",":
        return decimal
    same = not any(w > 1 for t in others for w in t.wholes)  # three decimals, but in flags
    if any(t.kinds["large"] for t in others) or (same and delimiter != ","):
        return decimal
    raise _doubt(path, name, tally, mark)


def _doubt(path: Path, name: str, tally: Tally, mark: str) -> DataError:
    problem = f"column {name!r:.60} has a {mark} before three digits, here and wherever it has one"
    remedy = 'which may be decimals or thousands; give decimal = "point" or "comma" in [log]'
    row = tally.rows[f"{mark} three"]
    return DataError(f"{problem}, {remedy} (--decimal of `new`)", file=path, row=row)


def values(
    path: Path,
    name: str,
    cells: Sequence[str],
    rows: Array,
    style: Style,
    words: Counter[str],
) -> tuple[Array, Mask | None]:
    """The numbers of a column's cells (N,), and where words stood for one (N,), None for nowhere.

    NaN stands for words, which are counted, for empty cells and for what is not finite.
    """
    numbers, void, filled = np.full(len(cells), np.nan), None, np.arange(len(cells))
    if "" in cells:
        places = [k for k, cell in enumerate(cells) if cell]
        filled = np.array(places, dtype=np.intp)
        words[""] += len(cells) - len(places)
        cells, rows = [cells[k] for k in places], rows[filled]
    try:
        numbers[filled] = np.array(_plain(cells, style), dtype=np.float64)
    except ValueError:
        void = np.zeros(len(numbers), dtype=bool)
        for k, cell, row in zip(filled, cells, rows, strict=True):
            number = _number(path, name, cell, row, style)
            if number is None:
                words[cell.strip()[:40]] += 1
                void[k] = bool(cell.strip())
            else:
                numbers[k] = number
    numbers[np.isinf(numbers)] = np.nan
    return numbers, void


def _number(path: Path, name: str, cell: str, row: float, style: Style) -> float | None:
    try:
        return style.number(cell)
    except ValueError as error:
        problem = f"column {name!r:.60}: {cell.strip()!r:.40} {error}"
        remedy = 'correct it, or give decimal = "point" or "comma" in [log] (--decimal of `new`)'
        raise DataError(f"{problem}; {remedy}", file=path, row=int(row)) from None


def _plain(cells: Sequence[str], style: Style) -> Sequence[str]:
    """Cells as Python writes numbers, in one go; ValueError where that will not do."""
    if style.unit:
        raise ValueError
    if style.decimal == "point":
        return cells
    text = "\n".join(cells) + "\n"
    if _COMMAS.fullmatch(text) is None:
        raise ValueError
    return text.replace(",", ".").split("\n")[:-1]
