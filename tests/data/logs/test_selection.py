"""Rows that count: conditions on columns, and periods that are left out."""

import numpy as np
import pytest

from lstm_mpc import DataError, InputError, Signal
from lstm_mpc.data.log_options import LogOptions
from lstm_mpc.data.log_preparation import prepare_log
from lstm_mpc.data.log_reader import read_raw
from lstm_mpc.data.logs.selection import where_of

U, Y = (Signal("q", "mL/s", 0.0, 10.0),), (Signal("pH", "pH"),)


def write(folder, stamp=lambda k: f"2026-03-04 08:{k // 6:02d}:{k % 6 * 10:02d}"):
    rows = [
        f"{stamp(k)},{k % 7},{7 + 0.01 * k:.2f},{'AUTO' if not 20 <= k < 23 else 'MAN'},{k}"
        for k in range(120)
    ]
    (folder / "log.csv").write_text("time,q,pH,FIC-1.MODE,n\n" + "\n".join(rows) + "\n")
    return folder / "log.csv"


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        ("`FIC-1.MODE` == 'AUTO'", 117),
        ("`FIC-1.MODE` != 'AUTO'", 3),
        ("`FIC-1.MODE` in ('AUTO', 'CAS') and n < 50", 47),
        ("n >= 10 and not n > 20", 11),
        ("10 <= n <= 20", 11),
        ("q == 3 or n == 0", 18),
        ("n > -1", 120),
        ("n not in [1, 2]", 118),
    ],
)
def test_rows_that_satisfy_a_condition_count(tmp_path, condition, left):
    raw = read_raw(write(tmp_path), ["q", "pH"], time="time", where=condition)
    assert int(raw.counts.sum()) == left


@pytest.mark.parametrize(
    "condition",
    ["MODE = 'AUTO'", "MODE", "1 == 1", "__import__('os')", "MODE.x == 1", "f(MODE) == 1", "(", ""],
)
def test_what_is_no_condition_is_refused(condition):
    with pytest.raises(InputError, match=r"is no condition; write it like|names no column; write"):
        where_of(condition)


def test_text_beside_a_number_and_unknown_columns_are_named(tmp_path):
    with pytest.raises(DataError, match="has no column 'MODE'"):
        read_raw(write(tmp_path), ["q"], time="time", where="MODE == 'AUTO'")
    with pytest.raises(DataError, match="has no row that satisfies `where` outside of `exclude`"):
        read_raw(write(tmp_path), ["q"], time="time", where="n > 1000")


def test_a_short_stretch_that_does_not_count_ends_a_record(tmp_path):
    """Three samples in manual: the input is known, and must not be held or joined across."""
    write(tmp_path)
    log = LogOptions(("log.csv",), time="time", where="`FIC-1.MODE` == 'AUTO'", min_samples=5)
    made = prepare_log(log, tmp_path, U, Y)
    records = [*made.training.records, *made.validation.records]
    assert [len(r.u) for r in records] == [20, 62, 35]
    assert records[1].y[0, 0] == 7.23
    assert "log.csv: 3 row(s) do not satisfy `where` and do not count" in made.story


@pytest.mark.parametrize(
    ("period", "stamp"),
    [
        (("2026-03-04 08:05:00", "2026-03-04 08:06:40"), None),
        (("04/13/2026 08:05:00 AM", "04/13/2026 08:06:40 AM"), "04/13/2026 08:{}:{} AM"),
        (("300", "400"), "seconds"),
    ],
)
def test_a_period_is_left_out(tmp_path, period, stamp):
    if stamp == "seconds":
        path = write(tmp_path, lambda k: str(10 * k))
    elif stamp:
        path = write(tmp_path, lambda k: stamp.format(f"{k // 6:02d}", f"{k % 6 * 10:02d}"))
    else:
        path = write(tmp_path)
    raw = read_raw(path, ["q"], time="time", exclude=[period])
    assert np.flatnonzero(~raw.counts).tolist() == list(range(30, 41))


def test_a_period_that_is_none_is_named(tmp_path):
    with pytest.raises(InputError, match=r"exclude: 'noon' is no time of this log, whose stamps"):
        read_raw(write(tmp_path), ["q"], time="time", exclude=[("noon", "2026-03-04 09:00")])
    path = write(tmp_path, lambda k: f"04/03/2026 08:{k // 6:02d}:{k % 6 * 10:02d}")
    with pytest.raises(InputError, match="exclude: the order of day and month is in doubt"):
        read_raw(path, ["q"], time="time", exclude=[("04/03/2026 08:00", "04/03/2026 08:10")])
