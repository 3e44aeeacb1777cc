"""Logs with one row for every reading (tag, time, value), as historians export them: their tags are
the columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_mpc.data.logs.layout import column, is_number, plain, unit_of
from lstm_mpc.data.logs.numbers import Mask
from lstm_mpc.data.logs.table import Table, time_columns
from lstm_mpc.errors import DataError
from lstm_mpc.plants.system import Array

_TAGS = ("tag", "tagname", "tag name", "tag_name", "tagid", "signal", "variable", "point", "name",
         "point name", "pointname", "sensor", "channel", "parameter", "messstelle", "kanal", "item",
         "metric", "series", "id", "measurement", "attribute", "quantity")  # fmt: skip
_VALUES = ("value", "values", "val", "wert", "messwert", "reading", "numeric value", "valeur",
           "value_num", "numvalue", "pv", "data", "result", "vvalue", "valor")  # fmt: skip
_UNITS = ("unit", "units", "eu", "uom", "einheit", "unite", "engunits", "eng units")
_MOST = 2000  # different tags


@dataclass(frozen=True)
class Readings:
    """Which columns of a table hold the tag, the value and, where there is one, the unit, which
    otherwise may stand in the tag."""

    table: Table
    tag: int
    value: int
    unit: int | None

    def tags(self) -> dict[str, str]:
        """Every tag of the file and its unit; DataError where a tag has several."""
        units = dict[str, str]()
        for line, cells in self.table.rows():
            tag = cells[self.tag].strip()
            unit = cells[self.unit].strip() if self.unit is not None else unit_of(tag)
            if units.setdefault(tag, unit) != unit:
                problem = f"tag {tag!r:.60} has the unit {unit!r:.20}, before {units[tag]!r:.20}"
                raise DataError(f"{problem}; convert one", file=self.table.file, row=line)
            if len(units) > _MOST:
                raise DataError(f"has more than {_MOST} tags; split it", file=self.table.file)
        return {tag: unit for tag, unit in units.items() if tag}


def readings_of(table: Table) -> Readings | None:
    """Is it a log with one row for every reading? None where every signal has a column."""
    stamps = time_columns(table)
    if not stamps:
        return None
    times = {table.names.index(name) for name in stamps}
    places = [k for k in range(len(table.names)) if k not in times]
    names = {k: plain(table.names[k]).lower() for k in places}
    shapes = {k: _shape(table.cells(k)) for k in places}
    texts = [k for k in places if shapes[k] == "text" and names[k] not in _UNITS]
    numbers = [k for k in places if shapes[k] == "number"]
    tags = [k for k in texts if names[k] in _TAGS]
    values = [k for k in places if names[k] in _VALUES and shapes[k] != ""]
    units = [k for k in places if names[k] in _UNITS]
    if len(values) != 1:
        values = numbers if len(numbers) == 1 else []
    if (
        len(values) == 1
        and not tags
        and len(texts) == 1
        and (names[values[0]] in _VALUES or _shared(table, times))
    ):
        cells = table.cells(texts[0])  # else it may be a state, such as ON and OFF
        tags = texts if 1 < len(set(cells)) <= len(cells) / 2 else []
    if len(values) != 1 or not tags or tags[0] == values[0]:
        return None
    return Readings(table, tags[0], values[0], units[0] if units else None)


def _shared(table: Table, times: set[int]) -> bool:
    """Do rows share their stamps?"""
    stamps = [tuple(cells[k] for k in times if k < len(cells)) for _, cells in table.head]
    return len(set(stamps)) < 0.9 * len(stamps)


def _shape(cells: Sequence[str]) -> str:
    numbers = sum(map(is_number, cells))
    if not cells:
        return ""
    return "number" if 2 * numbers > len(cells) else "text"


@dataclass(frozen=True)
class Wide:
    """Readings side by side: stamps (N,), values (N, n) with NaN where a tag had no reading, where
    words stood (N, n), rows (N,), and how often a tag was read twice at one time."""

    t: Array
    values: Array
    void: Mask
    rows: Array
    repeated: int


def side_by_side(tags: Array, t: Array, values: Array, void: Mask, rows: Array, n: int) -> Wide:
    """One row for every stamp; of several readings of a tag at one time the last counts.

    Args:
        tags: The number of the tag of every reading, (M,).
        t: Stamps [s], (M,).
        values: Readings, (M,), NaN for words.
        void: Where words stood, (M,).
        rows: Lines of the file, (M,).
        n: How many tags there are.
    """
    order = np.argsort(t, kind="stable")
    times, first, place = np.unique(t[order], return_index=True, return_inverse=True)
    table, words = np.full((len(times), n), np.nan), np.zeros((len(times), n), dtype=bool)
    table[place, tags[order]] = values[order]
    words[place, tags[order]] = void[order]
    filled = np.unique(place * n + tags[order]).size
    return Wide(times, table, words, rows[order][first], len(t) - filled)


def tags_of(readings: Readings, wanted: Sequence[str]) -> list[str]:
    """The tags that `wanted` names mean; DataError where none or several do."""
    tags = list(readings.tags())
    chosen = []
    for name in wanted:
        places = column(tags, name)
        if len(places) != 1:
            what = "no tag" if not places else f"{len(places)} tags"
            shown = ", ".join(tags)
            problem = f"has {what} for {name!r:.60} (its tags: {shown:.200})"
            raise DataError(
                f"{problem}; give the name as it stands there", file=readings.table.file
            )
        chosen.append(tags[places[0]])
    return chosen
