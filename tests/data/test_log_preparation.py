"""From raw logs to records: the grid, gaps, what was not measured, and the split; against what was
put in."""

import math

import numpy as np
import pytest

from lstm_mpc import DataError, InputError, Signal
from lstm_mpc.data.log_options import LogOptions
from lstm_mpc.data.log_preparation import prepare_log
from lstm_mpc.data.log_reader import read_raw
from lstm_mpc.data.resampling import spikes_of, typical_step

U, Y = (Signal("q", "mL/s", 0.0, 10.0),), (Signal("pH", "pH"),)


def write(folder, rows, name="log.csv", header="t,q,pH"):
    (folder / name).write_text(
        header + "\n" + "".join(",".join(str(c) for c in row) + "\n" for row in rows)
    )


def made(folder, **choice):
    return prepare_log(
        LogOptions(
            **({"files": ("log.csv",), "time": "t", "min_samples": 4, "validation": 0.25} | choice)
        ),
        folder,
        U,
        Y,
    )


def even(n, Ts=10.0):
    return [(Ts * k, k % 7, f"{7 + 0.01 * k:.2f}") for k in range(n)]


def test_rows_on_the_grid_are_taken_as_they_are_and_the_end_is_kept_for_validation(tmp_path):
    write(tmp_path, even(20))
    found = made(tmp_path, validation=0.3)
    assert found.training.Ts == 10.0
    assert [len(d.records[0].u) for d in (found.training, found.validation)] == [14, 6]
    assert found.training.records[0].u.ravel().tolist() == [k % 7 for k in range(14)]
    assert found.validation.records[0].y[0, 0] == 7.14
    assert found.story[0] == "log.csv: 20 rows, 0.05278 h, stamps read as 'seconds'"
    assert found.story[1] == "log.csv: resampling to 10 s: none (the rows lie on the grid)"
    assert (
        found.story[3]
        == "validation: 1 record(s), 6 samples every 10 s, 0 output value(s) not measured"
    )
    assert found.story[4].startswith(
        "pH is outside its range in training in 100 % of the validation samples"
    )
    assert found.part == "end"


def test_dates_with_a_time_of_day_are_named_as_such(tmp_path):
    stamps = [f"{24 + k // 12}.05.2026 {k % 12 + 8:02d}:15:00" for k in range(24)]
    write(tmp_path, [(stamp, k % 7, 7 + 0.01 * k) for k, stamp in enumerate(stamps)])
    assert "stamps read as '%d.%m.%Y' and a time of day" in made(tmp_path).story[0]


@pytest.mark.parametrize(
    ("part", "kept", "held"),
    [
        ("end", [range(15)], range(15, 20)),
        ("start", [range(5, 20)], range(5)),
        ("middle", [range(8), range(12, 20)], range(8, 12)),
    ],
)
def test_any_part_can_be_kept_for_validation(tmp_path, part, kept, held):
    write(tmp_path, even(20))
    found = made(tmp_path, validation=0.2 if part == "middle" else 0.25, validation_part=part)
    assert [r.y.ravel().tolist() for r in found.training.records] == [
        [round(7 + 0.01 * k, 2) for k in part] for part in kept
    ]
    assert [r.y.ravel().tolist() for r in found.validation.records] == [
        [round(7 + 0.01 * k, 2) for k in held]
    ]


def levels(*parts):
    """Rows whose pH goes up and down about levels: (count, lowest, highest), …"""
    pH = [low + (high - low) * (k % 5) / 4 for count, low, high in parts for k in range(count)]
    return [(10.0 * k, k % 7, f"{y:.3f}") for k, y in enumerate(pH)]


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        (levels((40, 6.0, 8.0)), "end"),
        (levels((30, 6.0, 8.0), (10, 8.0, 9.0)), "start"),
        (levels((10, 5.0, 6.0), (20, 6.0, 8.0), (10, 8.0, 9.0)), "middle"),
        (levels((10, 5.0, 5.5), (10, 6.0, 6.5), (10, 7.0, 9.0), (10, 8.0, 8.5)), "end"),
    ],
)
def test_where_the_end_leaves_the_range_of_the_rest_another_part_is_kept(tmp_path, rows, part):
    write(tmp_path, rows)
    found = made(tmp_path, validation=0.25, validation_part="auto")
    assert found.part == part
    said = f"validation: the {part} of every file, as its end leaves the range of the rest"
    assert (said in found.story) == (part != "end")
    assert not any("outside its range" in sentence for sentence in found.story)


def test_where_every_part_leaves_it_that_is_said(tmp_path):
    write(tmp_path, even(40))
    found = made(tmp_path, validation_part="auto")
    assert found.part == "middle"  # a ramp: what lies between two records is seen from both sides
    write(tmp_path, levels((20, 5.0, 6.0), (20, 8.0, 9.0)))
    # too short are the ends beside a middle
    found = made(tmp_path, validation=0.5, validation_part="auto", min_samples=12)
    assert (
        "pH is outside its range in training in 100 % of the validation samples" in found.story[-1]
    )


def test_a_gap_ends_a_record_and_a_short_one_does_not(tmp_path):
    rows = [r for k, r in enumerate(even(60)) if not 20 <= k < 30 and k not in (40, 41)]
    write(tmp_path, rows)
    found = made(tmp_path, validation=0.2, longest_gap=3)
    lengths = [len(r.u) for r in (*found.training.records, *found.validation.records)]
    assert lengths == [20, 20, 10]  # 0 … 19; 30 … 49, of which 80 % of all is the cut; the rest
    later = found.training.records[1]
    assert later.u[10:12].ravel().tolist() == [39 % 7] * 2  # held
    assert np.isnan(later.y[10:12]).all()  # not invented
    assert np.isnan(later.y).sum() == 2
    assert (
        "log.csv: inputs held over 2 sample(s) where they were not known for at most 3"
        in found.story
    )
    assert (
        "log.csv: 1 gap(s) of more than 3 samples, 10 samples in all, end a record each"
        in found.story
    )


def test_an_output_that_is_missing_stays_missing_and_trims_the_ends(tmp_path):
    rows = [(t, q, "" if k < 3 or 8 <= k < 14 else y) for k, (t, q, y) in enumerate(even(30))]
    write(tmp_path, rows)
    found = made(tmp_path, longest_gap=2, validation=0.2)
    first = found.training.records[0]
    assert len(found.training.records) == 1
    assert first.y[0, 0] == 7.03
    assert np.isnan(first.y[5:11]).all()
    assert np.isnan(first.y).sum() == 6


def test_fast_rows_are_averaged_an_output_around_its_time_an_input_from_there_on(tmp_path):
    """u holds over [t_k, t_k+Ts) and y is measured at t_k; a ramp tells where a mean lies."""
    write(tmp_path, [(k, float(k // 10), k) for k in range(200)])
    found = made(tmp_path, Ts=10.0, validation=0.5)
    first = found.training.records[0]
    assert "mean (the typical step is 1 s)" in found.story[1]
    assert first.u.ravel().tolist() == list(range(10))
    # rows −5 … +4 around it
    np.testing.assert_allclose(first.y[1:, 0], [10 * k - 0.5 for k in range(1, 10)], atol=1e-9)


def test_uneven_rows_are_interpolated_and_their_inputs_held(tmp_path):
    rng = np.random.default_rng(0)
    t = np.cumsum(rng.uniform(8.0, 12.0, 100))
    write(tmp_path, [(float(v), k % 5, float(2 * v)) for k, v in enumerate(t)])
    found = made(tmp_path, Ts=10.0)
    assert "linear" in found.story[1]
    y = np.vstack([r.y for r in found.training.records]).ravel()
    np.testing.assert_allclose(np.diff(y), 20.0, rtol=1e-9)
    assert set(np.unique(found.training.records[0].u)) <= {0.0, 1.0, 2.0, 3.0, 4.0}


@pytest.mark.parametrize(
    ("stamp", "Ts"),
    [
        (lambda k: round(46085.3333 + k / 1440, 6), 60.0),  # days, as a spreadsheet writes them
        (lambda k: 1.77e9 + 0.1 * k, 0.1),  # a double of an epoch
        (lambda k: round(k / 3, 3), 0.333333),
        (lambda k: 0.03337 * k, 0.03337),
        (lambda k: 60.0 * k + 3.0 * math.sin(k), 60.0),
    ],
)
def test_the_step_is_as_round_as_the_stamps_permit(tmp_path, stamp, Ts):
    rows = [f"{stamp(k)!r},{k % 7},{k % 5}" for k in range(600)]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["time,u,y", *rows]) + "\n")
    assert typical_step(read_raw(path, ["u", "y"], time="time"), 1) == pytest.approx(Ts, rel=1e-5)


def test_a_log_of_changes_is_held(tmp_path):
    write(tmp_path, [(0, 1, 7), (35, 2, ""), (90, "", 8), (200, 3, 9)])
    found = made(tmp_path, Ts=10.0, resample="hold", validation=0.25)
    u, y = (
        np.concatenate(
            [getattr(r, n).ravel() for r in (*found.training.records, *found.validation.records)]
        )
        for n in "uy"
    )
    assert u.tolist() == [1] * 4 + [2] * 16 + [3]
    assert y.tolist() == [7] * 9 + [8] * 11 + [9]


def test_a_grid_that_is_not_there_is_named_with_its_row(tmp_path):
    rows = even(20)
    rows[5] = (53.0, *rows[5][1:])
    write(tmp_path, rows)
    with pytest.raises(
        DataError,
        match=(
            r"log.csv, row 7: does not lie on a grid of 10 s; choose how to resample, such as"
            r" 'mean'"
        ),
    ):
        made(tmp_path, resample="none")
    write(tmp_path, [*rows[:3], rows[2], *rows[3:5]])
    with pytest.raises(DataError, match=r"log.csv, row 5: does not lie on a grid"):
        made(tmp_path, resample="none")


def test_several_files_are_several_records_with_one_sampling_time(tmp_path):
    write(tmp_path, even(20), "a.csv")
    write(tmp_path, [(t / 2, q, y) for t, q, y in even(40)], "b.csv")
    found = made(tmp_path, files=("a.csv", "b.csv"))
    assert [r.name for r in found.training.records] == ["a", "b"]
    assert [len(r.u) for r in found.training.records] == [15, 15]
    apart = made(tmp_path, files=("a.csv",), validation_files=("b.csv",))
    assert [len(d.records[0].u) for d in (apart.training, apart.validation)] == [20, 20]
    again = made(tmp_path, files=("a.csv",), validation_files=("b.csv",), validation_part="auto")
    assert (again.part, again.story) == ("end", apart.story)


def test_columns_may_be_called_otherwise(tmp_path):
    write(tmp_path, even(20), header="t,FIC-301.PV,pH [pH]")
    assert made(tmp_path, columns={"q": "FIC-301.PV"}).training.samples == 15
    with pytest.raises(InputError, match="columns names 'h', which is no signal of the design"):
        made(tmp_path, columns={"h": "FIC-301.PV"})


def test_spikes_are_left_out_on_request(tmp_path, rng):
    y = 7 + 0.01 * rng.standard_normal(60)
    y[[10, 40]] = 3.0
    assert spikes_of(y, 8.0).nonzero()[0].tolist() == [10, 40]
    assert not spikes_of(np.repeat([1.0, 5.0], 30), 8.0).any()  # a step is no spike
    write(tmp_path, [(10 * k, k % 3, float(v)) for k, v in enumerate(y)])
    found = made(tmp_path, despike=8.0)
    assert "log.csv: pH: 2 spike(s) count as not measured" in found.story
    assert found.training.missing == 2
    assert made(tmp_path).training.missing == 0


def test_short_records_are_left_out_and_said(tmp_path):
    write(tmp_path, [r for k, r in enumerate(even(60)) if not 5 <= k < 20])
    found = made(tmp_path, min_samples=10)
    assert "log.csv: 1 record(s) of fewer than 10 samples left out" in found.story
    assert found.training.records[0].u[0, 0] == 20 % 7


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"files": ()}, "files is empty"),
        (
            {"min_samples": 100},
            "no record is long enough for training; give more data, or lower min_samples",
        ),
        (
            {"validation": 0.1, "min_samples": 10},
            "is long enough for validation; give more data",
        ),
        ({"Ts": 1e-6}, "would be .* samples of 1e-06 s; give a larger Ts, or split the file"),
    ],
)
def test_what_leaves_no_record_is_refused(tmp_path, choice, words):
    write(tmp_path, even(40))
    with pytest.raises(InputError, match=words):
        made(tmp_path, **choice)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (
            {"resample": "spline"},
            "resample must be one of auto, none, mean, linear, hold, got 'spline'",
        ),
        (
            {"validation_part": "last"},
            "validation_part must be one of auto, end, start, middle, got 'last'",
        ),
        ({"validation": 1.0}, "validation must be a share between 0 and 1, got 1.0"),
        ({"validation": -0.1}, "validation must be a share between 0 and 1, got -0.1"),
        ({"longest_gap": -1}, "must not be negative"),
        ({"min_samples": 1}, "min_samples must be at least 2"),
    ],
)
def test_choices_that_make_no_sense_are_refused(choice, words):
    with pytest.raises(InputError, match=words):
        LogOptions(**choice)


def test_one_stamp_for_all_rows_is_refused(tmp_path):
    write(tmp_path, [(5, 1, 2)] * 10)
    with pytest.raises(DataError, match=r"log.csv: every row has the same time stamp"):
        made(tmp_path)
