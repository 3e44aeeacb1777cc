"""Time stamps: what is told from them, what settles the order of day and month, what is refused."""

import re
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from lstm_mpc import DataError, InputError
from lstm_mpc.data.logs.dates import nature
from lstm_mpc.data.logs.stamps import Stamps, unit_of_time

START = datetime(2026, 2, 14, 22, 59, 30)
EPOCHS = {
    "milliseconds": (datetime(1970, 1, 1), 1e3),
    "microseconds": (datetime(1970, 1, 1), 1e6),
    "nanoseconds": (datetime(1970, 1, 1), 1e9),
    "100 nanoseconds since 1601": (datetime(1601, 1, 1), 1e7),
    "100 nanoseconds since the year 1": (datetime(1, 1, 1), 1e7),
    "excel": (datetime(1899, 12, 30), 1 / 86400),
}


def read(cells, **choice):
    stamps = Stamps(Path("log.csv"), **choice)
    stamps.add(list(cells), np.arange(2, 2 + len(cells)))
    kind, t = stamps.seconds()
    return kind, t - t[0]


def written(pattern, steps):
    return [(START + timedelta(seconds=s)).strftime(pattern) for s in steps]


@pytest.mark.parametrize(
    "pattern",
    [
        "%d-%b-%y %H:%M:%S",
        "%d-%b-%Y %H:%M:%S",
        "%d %B %Y %H:%M:%S",
        "%a, %b %d, %Y %I:%M:%S %p",
        "%d/%m/%Y %H:%M:%S",
        "%m/%d/%Y %I:%M:%S %p",
        "%m/%d/%y %I:%M:%S %p",
        "%d.%m.%Y %H:%M:%S",
        "%d.%m.%y %H.%M.%S",
        "%Y/%m/%d %H:%M:%S",
        "%d-%m-%Y %H:%M:%S",
        "%Y%m%d%H%M%S",
        "%Y%m%d %H%M%S",
        "%d%b%Y:%H:%M:%S",
        "%Y-%m-%dT%H:%M:%S.%fZ",
        "%Y-%m-%d %H:%M:%S,%f",
        "%H:%M:%S",
    ],
)
def test_dates_of_every_kind_give_the_true_times(pattern):
    steps = [0, 10, 20, 3600, 3610, 3650, 5000]  # beyond midnight
    assert read(written(pattern, steps))[1].tolist() == steps


@pytest.mark.parametrize("pattern", ["%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d-%m-%y %H:%M:%S"])
def test_a_day_without_a_break_settles_the_order_of_day_and_month(pattern):
    stamps = [datetime(2026, 3, 4, 23, 59, 0) + timedelta(seconds=10 * k) for k in range(20)]
    kind, t = read([s.strftime(pattern) for s in stamps])
    assert t.tolist() == [10 * k for k in range(20)]
    assert kind == pattern.split()[0]


def test_one_day_alone_needs_no_order():
    assert read(["04/03/2026 08.00.00", "04/03/2026 08.00.10"])[1].tolist() == [0, 10]


@pytest.mark.parametrize(
    "cells",
    [
        ["04/03/2026", "05/03/2026", "06/03/2026"],
        ["04/03/2026 08:00", "04/03/2026 08:01", "04/04/2026 08:00", "04/04/2026 08:01"],
        ["08:00", "08:10", "08:20"],
        ["20260304", "20260305", "20260306"],
    ],
)
def test_what_stays_in_doubt_is_refused_with_the_remedy(cells):
    with pytest.raises(DataError, match=r"with different times; give time_format in \[log\]"):
        read(cells)


@pytest.mark.parametrize("kind", EPOCHS)
def test_epochs_are_told_by_their_size(kind):
    zero, scale = EPOCHS[kind]
    whole = kind != "excel"
    elapsed = [(START - zero) + timedelta(seconds=10 * k) for k in range(5)]
    counts = [(e // timedelta(microseconds=1)) * scale / 1e6 for e in elapsed]
    cells = [str((e // timedelta(microseconds=1)) * int(scale) // 10**6) for e in elapsed]
    told, t = read(cells if whole else [repr(c) for c in counts])
    assert told == kind
    np.testing.assert_allclose(t, [0, 10, 20, 30, 40], atol=2e-3)


def test_a_unit_in_the_header_counts():
    assert read(["0", "1", "2"], unit="minutes") == ("minutes", pytest.approx([0, 60, 120]))
    assert [unit_of_time(u) for u in ("ms", "min", "H", "µs", "kg")] == [
        "milliseconds",
        "minutes",
        "hours",
        "microseconds",
        "",
    ]


def test_the_format_that_is_asked_for_counts():
    assert read(["0", "10"], asked="milliseconds")[1].tolist() == [0, 0.01]
    assert read(["08:00", "08:10"], asked="%M:%S")[1].tolist() == [0, 10]
    with pytest.raises(InputError, match=r"time_format must be seconds, .* got 'fortnights'"):
        read(["0"], asked="fortnights")


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["100000000000", "100000010000"], "row 2: .* counts neither seconds nor a known epoch"),
        (["2026-03-04 08:00:00", "2026-03-04 08:00:10+01:00"], "row 3: .* does not read as 'iso'"),
        (["2026-03-04 08:00", "time", "2026-03-04 08:01"], "row 3: the time stamp 'time' does not"),
        (["time", "2026-03-04 08:01"], "row 2: .* not understood; those below it are: repair or"),
        (["13/13/2026 08:00", "13/13/2026 08:01"], "row 2: .* not understood; give its format"),
        (["28/03/2026 08:00", "03/28/2026 08:01"], "row 3: .* does not read as '%d/%m/%Y'"),
    ],
)
def test_stamps_that_do_not_fit_are_named(cells, words):
    with pytest.raises(DataError, match=words):
        read(cells)


def test_pieces_are_one_column():
    stamps = Stamps(Path("log.csv"))
    for k, cells in enumerate((["03/04/2026 08:00:00"], ["03/28/2026 08:00:00"])):
        stamps.add(cells, np.array([k]))
    assert stamps.seconds()[0] == "%m/%d/%Y"


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ("2026-03-04", "date"),
        ("03-Feb-26", "date"),
        ("May 5, 2026", "date"),
        ("08:00:00", "clock"),
        ("08.00.00", "clock"),
        ("08:00 PM", "clock"),
        ("2026-03-04 08:00", "moment"),
        ("20260304T080000", "moment"),
        ("5.2", ""),
        ("1,234.5", ""),
        ("Bad", ""),
        ("12", ""),
    ],
)
def test_what_a_cell_may_be(cell, kind):
    assert nature(cell) == kind


def test_counters_whose_unit_changes_are_refused():
    cells = [*map(str, range(0, 60, 10)), *(f"{46354 + k / 8640:.9f}" for k in range(6))]
    with pytest.raises(
        DataError, match=r"steps of the stamps change from 10 to 0.0001\d* s after 6 r"
    ):
        read(cells)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        # minutes that go on as seconds
        ([f"{k / 60:.6f}" for k in range(60)] + ["61", "62", "63"], "change from 1 to 60 s after"),
        # one row at the end that counts days
        ([*range(0, 300, 10), 46377.8], "leap by 2.76527e+06 s after 30 rows of data, beyond all"),
        ([*range(0, 300, 10), 46377.8, 46378.8], "leap by 2.76527e+06 s after 30 rows of data"),
    ],
)
def test_counters_that_leap_into_another_unit_are_refused(cells, words):
    with pytest.raises(DataError, match=re.escape(words) + ".*; split the file there, or repair"):
        read([str(cell) for cell in cells], unit="minutes")


def test_counters_with_a_gap_are_read():
    """A gap alone, and a recorder that was set from 1 s to 5 s meanwhile, are no other unit."""
    cells = [*range(0, 300), *range(3000, 3300, 5)]
    np.testing.assert_array_equal(read([str(cell) for cell in cells])[1], cells)
