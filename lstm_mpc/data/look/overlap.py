"""Validation that is training: the same rows in two data sets, wherever they stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.data.dataset import Dataset, Record

RUN = 10  # rows in a row that two experiments do not share by chance
_BASE = np.uint64(0x9E3779B97F4A7C15)  # of the rolling hash: odd, so that no row is lost


@dataclass(frozen=True)
class Overlap:
    """Rows that two records share: `rows` of them from `first` on in `validation`, from `at` on in
    `training` (rows counted from 0), both records by name."""

    validation: str
    training: str
    first: int
    at: int
    rows: int

    def __str__(self) -> str:
        last, end = self.first + self.rows - 1, self.at + self.rows - 1
        return (
            f"samples {self.first} to {last} of {self.validation} are samples {self.at} to {end} of"
            f" {self.training}"
        )


def shared_rows(training: Dataset, validation: Dataset) -> Overlap | None:
    """The first rows of validation data that are training data.

    Args:
        training: what a model is trained on.
        validation: what it is judged by.

    Returns:
        The longest run that begins at the first shared row, of at least `RUN` rows in which
        something moves; a plant at rest looks alike in every record. None where nothing is shared.
    """
    for record in validation.records:
        for other in training.records:
            found = _shared(record, other)
            if found is not None:
                return found
    return None


def _rows(record: Record) -> NDArray[np.float64]:
    return np.ascontiguousarray(np.hstack([record.u, record.y]) + 0.0)  # −0.0 is 0.0


def _shared(record: Record, other: Record) -> Overlap | None:
    mine, theirs = _rows(record), _rows(other)
    if mine.shape[1] != theirs.shape[1] or min(len(mine), len(theirs)) < RUN:
        return None
    keys = [_keys(rows) for rows in (mine, theirs)]
    at: dict[int, int] = {}
    for place, key in enumerate(keys[1].tolist()):
        at.setdefault(key, place)
    following = 0
    for first in np.flatnonzero(np.isin(keys[0], keys[1])).tolist():
        if first < following:  # within a rest that was seen
            continue
        place = at[int(keys[0][first])]
        rows = _alike(mine[first:], theirs[place:])
        if rows >= RUN and _moves(mine[first : first + rows]):
            return Overlap(record.name, other.name, first, place, rows)
        following = first + rows - RUN + 1
    return None


def _keys(rows: NDArray[np.float64]) -> NDArray[np.uint64]:
    """A hash of every `RUN` rows in a row."""
    with np.errstate(over="ignore"):
        weights = _powers(rows.shape[1])
        row = (rows.view(np.uint64) * weights).sum(axis=1, dtype=np.uint64)
        count = len(row) - RUN + 1
        key = np.zeros(count, dtype=np.uint64)
        for k in range(RUN):
            key = key * _BASE + row[k : k + count]
    return key


def _powers(count: int) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        return np.cumprod(np.full(count, _BASE, dtype=np.uint64), dtype=np.uint64)


def _alike(one: NDArray[np.float64], other: NDArray[np.float64]) -> int:
    """How many rows two tables have in common from their beginning; what is missing is alike."""
    count = min(len(one), len(other))
    same = ((one[:count] == other[:count]) | np.isnan(one[:count]) & np.isnan(other[:count])).all(1)
    return count if same.all() else int(np.argmin(same))


def _moves(rows: NDArray[np.float64]) -> bool:
    """Does a signal move, and more than once? A step of a valve may well be repeated."""
    changes = (np.diff(rows, axis=0) != 0).sum(axis=0)
    return bool((changes >= RUN // 2).any())


def sentence(overlap: Overlap) -> str:
    """Why nothing is judged by these data."""
    return f"the validation data are training data: {overlap}; give data of another experiment"
