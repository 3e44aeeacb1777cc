"""What speaks against taking a log as it is: sentinels, magnitudes, limits; and what new says."""

import numpy as np
import pytest

from lstm_mpc import InputError, Signal
from lstm_mpc.cli.command_line import main
from lstm_mpc.data.log_checks import other_magnitude, sentinels_of
from lstm_mpc.data.log_options import LogOptions
from lstm_mpc.data.log_preparation import prepare_log
from lstm_mpc.project.design import load_design
from lstm_mpc.project.drafting.signal_requests import wanted

RNG = np.random.default_rng(0)
SMOOTH = 20 + 5 * np.sin(np.arange(400) / 20) + RNG.normal(0, 0.1, 400)
Y = (Signal("y", "degC"),)


@pytest.mark.parametrize("value", [-200.0, -9999.0, 9999.0, -999.25, 9.9e37, 3.4e38, 65535.0])
def test_values_that_usually_say_not_measured_are_found(value):
    column = SMOOTH.copy()
    column[[7, 50, 51]] = value
    (sentinel,) = sentinels_of(column)
    assert (sentinel.value, sentinel.count, sentinel.usual) == (value, 3, True)
    assert sentinel.high == column[column < 30].max()


def test_another_value_must_repeat_far_away():
    column = SMOOTH.copy()
    column[10:16] = -77.0
    (sentinel,) = sentinels_of(column)
    assert (sentinel.value, sentinel.usual) == (-77.0, False)
    column[10:16] = SMOOTH[10:16]
    column[10] = -77.0  # a spike
    assert not sentinels_of(column)


@pytest.mark.parametrize(
    "column",
    [
        SMOOTH,
        np.repeat([0.0, 1.0, 100.0, 0.0], 50),  # levels of an input
        np.clip(SMOOTH, 18, 22),
        np.linspace(0, 1000, 300),  # 999 among its like
        np.full(9, 5.0),
    ],
)
def test_what_belongs_to_the_rest_is_no_sentinel(column):
    assert not sentinels_of(np.asarray(column, dtype=float))


@pytest.mark.parametrize("factor", [1e3, 1e-3])
def test_a_part_in_another_magnitude_is_found(factor):
    column = SMOOTH.copy()
    column[100:160] *= factor
    count, row, ratio = other_magnitude(column, np.arange(2, 402))
    assert (count, row) == (60, 102)
    assert ratio == pytest.approx(factor, rel=0.3)
    assert other_magnitude(SMOOTH, np.arange(400)) is None
    assert other_magnitude(np.repeat([0.0, 1.0, 1000.0], 100), np.arange(300)) is None


def write(folder, y, u=None, header="t,u,y"):
    u = np.repeat(RNG.uniform(0, 10, len(y) // 10), 10) if u is None else u
    rows = [f"{k},{a!r},{b!r}" for k, (a, b) in enumerate(zip(u.tolist(), y.tolist(), strict=True))]
    (folder / "log.csv").write_text(header + "\n" + "\n".join(rows) + "\n")
    return folder / "log.csv"


def test_sentinels_are_said_and_missing_sets_them(tmp_path):
    y = SMOOTH.copy()
    y[[7, 50, 51]] = -200.0
    write(tmp_path, y)
    inputs = (Signal("u", "V", 0.0, 10.0),)
    made = prepare_log(LogOptions(("log.csv",), time="t"), tmp_path, inputs, Y)
    said = "if it means 'not measured', give missing = [-200] in [log] (--missing -200 of `new`)"
    assert any(said in sentence for sentence in made.story)
    assert made.training.missing == 0
    made = prepare_log(LogOptions(("log.csv",), time="t", missing=(-200.0,)), tmp_path, inputs, Y)
    assert made.training.missing == 3
    assert "log.csv: y: -200 stands 3× and counts as not measured" in made.story


def test_new_takes_the_usual_ones_and_says_so(tmp_path, capsys):
    y = SMOOTH.copy()
    y[[7, 50, 51]] = -200.0
    log = write(tmp_path, y)
    words = ["--data", str(log), "--input", "u:V:2:8", "--output", "y", "--quiet"]
    assert main(["new", str(tmp_path / "a"), *words]) == 0
    out = capsys.readouterr().out
    assert "y: -200 stands 3×, all else in [" in out
    assert "it counts as not measured (missing = [-200] in [log]; --missing none keeps it)" in out
    assert "u leaves its limits [2, 8] V in " in out
    assert "which are clipped to them in training; give wider limits if the actuator did" in out
    assert load_design(tmp_path / "a").log.missing == (-200.0,)
    assert load_design(tmp_path / "a").logged().training.missing == 3
    assert main(["new", str(tmp_path / "b"), *words, "--missing", "none"]) == 0
    assert load_design(tmp_path / "b").log.missing == ()
    y[[7, 50, 51]] = 20.0
    y[200:260] *= 1e3
    words[1] = str(write(tmp_path, y))
    assert main(["new", str(tmp_path / "c"), *words, "--force"]) == 0
    out = capsys.readouterr().out
    assert "y: 60 samples, the first in row 202, are about" in out
    assert "times as large as the rest: did the unit change there?" in out
    with pytest.raises(SystemExit):
        main(["new", str(tmp_path / "c"), *words, "--missing", "x"])
    assert "needs a number or none, got 'x'" in capsys.readouterr().err


def test_options_of_a_log_stand_in_the_draft(tmp_path, capsys):
    rows = [
        f"04/03/2026;08.{k // 6 % 60:02d}.{k % 6 * 10:02d};{k % 11},5;{k % 17},25;A"
        for k in range(300)
    ]
    (tmp_path / "log.csv").write_text(
        "x;y;z\nDate;Time;P, % (S: 1);q;MODE\n" + "\n".join(rows) + "\n"
    )
    words = [
        "--header-row",
        "2",
        "--decimal",
        "comma",
        "--where",
        "MODE == 'A'",
        "--longest-gap",
        "3",
    ]
    words += ["--exclude", "04/03/2026 08.10.00", "04/03/2026 08.12.00", "--min-samples", "15"]
    words += ["--time-format", "%d/%m/%Y", "--input", "P, % (S: 1)", "--output", "Q=#4:bar"]
    data = ["--data", str(tmp_path / "log.csv"), "--quiet"]
    assert main(["new", str(tmp_path / "a"), *data, *words]) == 0, capsys.readouterr().err
    log = load_design(tmp_path / "a").log
    assert log.time == ("Date", "Time")
    assert (log.header_row, log.decimal, log.where) == (2, "comma", "MODE == 'A'")
    assert [list(p) for p in log.exclude] == [["04/03/2026 08.10.00", "04/03/2026 08.12.00"]]
    assert (log.longest_gap, log.min_samples) == (3, 15)
    assert dict(log.columns) == {"P": "P, % (S: 1)", "Q": "q"}
    assert load_design(tmp_path / "a").inputs[0].unit == "%"
    assert main(["record", str(tmp_path / "a"), "--quiet"]) == 0


def test_stamps_may_be_left_out(tmp_path, capsys):
    log = write(tmp_path, SMOOTH)
    words = ["--data", str(log), "--input", "u", "--output", "y", "--quiet", "--time", "none"]
    assert main(["new", str(tmp_path / "a"), *words, "--Ts", "5"]) == 0
    assert load_design(tmp_path / "a").log.time == ""
    assert main(["new", str(tmp_path / "b"), *words]) == 2
    assert "needs a column of time stamps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "names", "parts"),
    [
        ("P=P, % (S/N: 1, CH: 1)", ["P, % (S/N: 1, CH: 1)"], ("P", "P, % (S/N: 1, CH: 1)", "")),
        ("P=P, % (S: 1):%:0:100", ["P, % (S: 1)"], ("P", "P, % (S: 1)", "%")),
        ("P, % (S: 1)", ["P, % (S: 1)"], ("P", "P, % (S: 1)", "")),
        ("P=#2:kW", ["P"], ("P", "#2", "kW")),
        ("q:mL/s:0:1", ["time", "q"], ("q", "q", "mL/s")),
        ("q=a=b:V", ["a=b"], ("q", "a=b", "V")),
    ],
)
def test_a_column_may_hold_any_sign(text, names, parts):
    request = wanted(text, names)
    assert (request.name, request.column, request.unit) == parts


def test_one_column_is_no_two_signals(tmp_path, capsys):
    log = write(tmp_path, SMOOTH)
    words = ["--data", str(log), "--input", "u:V", "--output", "z=u", "--quiet"]
    assert main(["new", str(tmp_path / "a"), *words]) == 2
    assert "'u' and 'z' are the same column 'u'; a signal cannot be two" in capsys.readouterr().err
    asked = LogOptions(("log.csv",), time="t", columns={"y": "u"})
    with pytest.raises(InputError, match=r"'u' and 'y' are the same column 'u' of log"):
        prepare_log(asked, tmp_path, (Signal("u", "V", 0.0, 9.0),), Y)


def test_one_row_for_every_reading(tmp_path, capsys):
    rows = []
    for k in range(300):
        rows.append(f"FIC-1;2026-03-04 {8 + k // 60:02d}:{k % 60:02d}:00;{k % 7 + 0.5};kg/h")
        if k % 3 == 0:
            cell = "Bad" if k == 150 else f"{k % 11 + 0.25}"
            rows.append(f"TT-2;2026-03-04 {8 + k // 60:02d}:{k % 60:02d}:30;{cell};degC")
    (tmp_path / "log.csv").write_text("Tag;Time;Value;Unit\n" + "\n".join(sorted(rows)) + "\n")
    words = [
        "--data",
        str(tmp_path / "log.csv"),
        "--input",
        "F=FIC-1",
        "--output",
        "T=tt",
        "--quiet",
    ]
    assert main(["new", str(tmp_path / "a"), *words]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "400 readings of 2 tags, one in every row" in out
    assert (
        "hold (an input is noted in part of the rows only, so a value holds until the next)" in out
    )
    design = load_design(tmp_path / "a")
    assert [s.unit for s in (*design.inputs, *design.outputs)] == ["kg/h", "degC"]
    made = design.logged()
    assert sorted(set(made.training.records[0].u[:, 0].tolist())) == [k + 0.5 for k in range(7)]
    assert made.training.Ts == 60.0


def test_changes_only_are_held_and_a_word_ends_what_was_known(tmp_path):
    lines = [
        "0,1,5",
        "30,,6",
        "70,2,",
        "100,Bad,7",
        "150,3,8",
        *(f"{k},,9" for k in range(160, 400, 7)),
    ]
    lines += ["400,4,5"]
    (tmp_path / "log.csv").write_text("t,u,y\n" + "\n".join(lines) + "\n")
    inputs = (Signal("u", "V", 0.0, 9.0),)
    asked = LogOptions(("log.csv",), time="t", Ts=10.0, min_samples=3, longest_gap=1)
    made = prepare_log(asked, tmp_path, inputs, Y)
    u = made.training.records[0].u[:, 0].tolist()
    assert u == [1.0] * 7 + [2.0] * 3  # unknown from 100 on
    assert made.training.records[0].y[:, 0].tolist() == [5.0] * 3 + [6.0] * 7
