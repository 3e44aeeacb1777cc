"""Validation that is training is seen wherever its rows stand; a plant at rest is no overlap."""

import time

import numpy as np
import pytest

from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.data.look.overlap import RUN, Overlap, sentence, shared_rows
from lstm_mpc.plants.system import Signal

U, Y = (Signal("u", "V", -5.0, 5.0),), (Signal("y", "m"),)


def dataset(*tables, name="record"):
    records = (Record(f"{name}-{k}", t[:, :1], t[:, 1:]) for k, t in enumerate(tables))
    return Dataset(U, Y, 1.0, tuple(records))


@pytest.fixture
def table(rng):
    return rng.standard_normal((300, 2))


def test_other_experiments_share_nothing(table, rng):
    assert shared_rows(dataset(table), dataset(rng.standard_normal((300, 2)))) is None
    assert shared_rows(dataset(table[:200]), dataset(table[200:])) is None  # one log, split


@pytest.mark.parametrize(("first", "at", "rows"), [(0, 0, 300), (50, 120, 40), (90, 0, RUN)])
def test_the_same_rows_are_seen_wherever_they_stand(table, rng, first, at, rows):
    other = rng.standard_normal((max(first + rows, 200), 2))
    other[first : first + rows] = table[at : at + rows]
    found = shared_rows(dataset(rng.standard_normal((50, 2)), table), dataset(other, name="valid"))
    assert found == Overlap("valid-0", "record-1", first, at, rows)
    assert sentence(found) == (
        f"the validation data are training data: samples {first} to {first + rows - 1} of valid-0"
        f" are samples {at} to {at + rows - 1} of record-1; give data of another experiment"
    )


def test_fewer_rows_than_chance_gives_are_none(table, rng):
    other = rng.standard_normal((100, 2))
    other[10 : 10 + RUN - 1] = table[: RUN - 1]
    assert shared_rows(dataset(table), dataset(other)) is None


def test_missing_outputs_do_not_hide_a_copy(table):
    table[20:40, 1] = np.nan
    assert shared_rows(dataset(table), dataset(table[10:60])).rows == 50


def test_a_plant_at_rest_looks_alike_everywhere(table, rng):
    still = np.ones((50, 2))
    one, other = np.vstack([table, still]), np.vstack([still, rng.standard_normal((99, 2))])
    assert shared_rows(dataset(one), dataset(other)) is None
    once = np.vstack([still, 2 * still])  # one step of the valve, quantised to nothing else
    assert shared_rows(dataset(once), dataset(once)) is None


def test_a_rest_before_a_copy_does_not_hide_it(table):
    still = np.ones((30, 2))
    one, other = np.vstack([table, still]), np.vstack([still, table[100:160]])
    assert shared_rows(dataset(one), dataset(other)) == Overlap("record-0", "record-0", 30, 100, 60)


@pytest.mark.parametrize("rest", [False, True])
def test_long_records_take_a_moment(rng, rest):
    tables = [np.ones((100_000, 2)) if rest else rng.standard_normal((100_000, 2)) for _ in "ab"]
    began = time.perf_counter()
    assert shared_rows(*map(dataset, tables)) is None
    assert time.perf_counter() - began < 2.0
