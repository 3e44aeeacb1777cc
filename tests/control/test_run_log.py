"""The log of closed loops: what a historian reads, exactly, in CSV and Parquet; and the command
line around it."""

import csv
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from lstm_mpc.cli.command_line import main
from lstm_mpc.control.controller import OPTIMAL, ControlAction, Status
from lstm_mpc.control.run_log import RunLog, rows_of, start_of_log, write_log
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import Run
from lstm_mpc.data.csv_file import read_csv
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import DataError, InputError
from lstm_mpc.plants.system import Signal

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
HEADER = [
    "time",
    "scenario",
    "t [s]",
    "q3 [mL/s]",
    "pH [pH]",
    "pH setpoint [pH]",
    "pH noise-free [pH]",
    "pH disturbance estimate [pH]",
    "q3 disturbance estimate [mL/s]",
    "flags",
    "status",
    "solve [ms]",
]


def made(name="one", y=(7.1, 7.2, 7.3), flags=OPTIMAL):
    """A run put together by hand, Ts = 10 s, with numbers that need all their digits."""
    N = len(y)
    column = np.array(y, dtype=float)[:, None]
    moves = tuple(
        ControlAction(
            np.zeros(1),
            flags,
            0,
            0.0,
            np.zeros((1, 1)),
            np.array([0.1 / (k + 3)]),
            1e-3 / 3,
            "",
            np.array([k / 7]),
        )
        for k in range(N)
    )
    u = 15.0 + np.arange(N)[:, None] / 3
    scenario = Scenario(name, Steps((0.0,), [7.0]), 10.0 * N)
    return Run(
        scenario,
        10.0,
        10.0 * np.arange(N),
        column,
        column / 7,
        column * 0 + 7.0,
        u,
        np.zeros((N, 0)),
        u[0],
        moves,
        column[:, None],
    )


def test_measured_inputs_stand_as_the_controller_was_told(plant, tmp_path):
    known = np.array([[[16.6], [16.7]], [[np.nan], [16.8]], [[16.9], [16.9]]])
    run = replace(made(), measured=(0,), known=known)
    columns = rows_of([run], plant, start=START)
    assert [name for name in columns if name.startswith("q1")] == ["q1 [mL/s]"]
    assert list(columns).index("q1 [mL/s]") == HEADER.index("q3 [mL/s]") + 1
    assert columns["q1 [mL/s]"][::2] == [16.6, 16.9]
    assert np.isnan(columns["q1 [mL/s]"][1])
    log = RunLog(tmp_path / "loop.csv", START)
    write_log(log, [replace(run, known=np.full_like(known, 16.5))], plant)
    signals = (*plant.inputs, Signal("q1", "mL/s", 16.0, 17.0, kind="measured"))
    assert read_csv(log.path, signals, plant.outputs).records[0].u[:, 1].tolist() == 3 * [16.5]


@pytest.fixture(params=[".csv", ".parquet"])
def log(tmp_path, request):
    if request.param == ".parquet":
        pytest.importorskip("pyarrow")
    return RunLog(tmp_path / f"loop{request.param}", START)


def frame(log):
    return (
        pd.read_csv(log.path, parse_dates=["time"])
        if log.path.suffix == ".csv"
        else pd.read_parquet(log.path)
    )


def test_a_log_has_every_sample_exactly(log, plant):
    runs = [made(), made("two", flags=Status.SOLVE_FAILED | Status.SAFE_INPUT)]
    write_log(log, runs, plant)
    found = frame(log)
    assert list(found.columns) == HEADER == list(rows_of(runs, plant, start=START))
    assert [t.to_pydatetime() for t in found["time"]] == [
        START + timedelta(seconds=10 * k) for k in range(6)
    ]
    assert found["scenario"].tolist() == 3 * ["one"] + 3 * ["two"]
    assert found["t [s]"].tolist() == 2 * [0.0, 10.0, 20.0]
    exact = {
        "q3 [mL/s]": "u",
        "pH [pH]": "y",
        "pH setpoint [pH]": "reference",
        "pH noise-free [pH]": "truth",
    }
    for name, field in exact.items():
        assert found[name].tolist() == [float(v) for run in runs for v in getattr(run, field)[:, 0]]
    assert found["pH disturbance estimate [pH]"].tolist() == [
        float(move.disturbance[0]) for run in runs for move in run.moves
    ]
    assert found["q3 disturbance estimate [mL/s]"].tolist() == 2 * [0.0, 1 / 7, 2 / 7]
    assert found["flags"].tolist() == [0, 0, 0, 48, 48, 48]
    assert found["status"].tolist()[2:4] == [
        "optimal",
        "solve failed; last good plan applied; no plan left; going to the safe input",
    ]
    assert found["solve [ms]"].tolist() == 6 * [1e3 * (1e-3 / 3)]


def test_what_is_not_a_number_is_left_empty(log, plant):
    write_log(log, [made(y=(7.1, np.nan, 7.3))], plant)
    assert frame(log)["pH [pH]"].isna().tolist() == [False, True, False]
    if log.path.suffix == ".csv":
        rows = list(csv.DictReader(log.path.read_text().splitlines()))
        assert [row["pH [pH]"] for row in rows] == ["7.1", "", "7.3"]
        assert rows[1]["time"] == "2026-03-01T08:00:10.000Z"


def test_the_log_of_a_scenario_is_a_data_file(tmp_path, plant):
    run = made()
    write_log(RunLog(tmp_path / "loop.csv", START), [run], plant)
    data = read_csv(tmp_path / "loop.csv", plant.inputs, plant.outputs)
    assert data.Ts == 10.0
    for name in ("u", "y", "truth"):
        np.testing.assert_array_equal(getattr(data.records[0], name), getattr(run, name))


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([made(), made("two")], "uneven time"),
        ([made(y=(7.1, np.nan, 7.3))], "'pH noise-free [pH]' is '', not a finite number"),
    ],
)
def test_what_is_no_record_is_not_read_as_one(tmp_path, plant, runs, words):
    write_log(RunLog(tmp_path / "loop.csv", START), runs, plant)
    with pytest.raises(DataError) as error:
        read_csv(tmp_path / "loop.csv", plant.inputs, plant.outputs)
    assert words in str(error.value)


def test_times_are_written_in_utc(tmp_path, plant):
    log = RunLog(tmp_path / "loop.csv", START.astimezone(timezone(timedelta(hours=1))))
    write_log(log, [made()], plant)
    assert log.path.read_text().splitlines()[1].startswith("2026-03-01T08:00:00.000Z,one,0.0,")


@pytest.mark.parametrize(
    "text", ["2026-03-01T08:00:00Z", "2026-03-01T09:00+01:00", "2026-03-01 08:00"]
)
def test_a_start_is_utc_unless_it_says_otherwise(text):
    assert start_of_log(text) == START


def test_a_start_that_is_no_time_is_refused():
    with pytest.raises(
        InputError,
        match=r"'today' is no time like 2026-03-01T08:00:00Z, which a log could start at",
    ):
        start_of_log("today")


def test_a_log_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"loop\.xlsx: a log must end in \.csv or \.parquet"):
        RunLog(tmp_path / "loop.xlsx", START)
    with pytest.raises(
        InputError,
        match=r"loop\.csv: the start of a log needs a time zone, got 2026-03-01 08:00:00",
    ):
        RunLog(tmp_path / "loop.csv", START.replace(tzinfo=None))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        InputError,
        match=(
            r"a \.parquet log needs pyarrow: pip install 'lstm_mpc\[parquet\]'; a \.csv log needs"
            r" nothing"
        ),
    ):
        RunLog(tmp_path / "loop.parquet", START)


# -- the command line ------------------------------------------------------------------------------


def logging(design, file):
    """A command that writes a log."""
    return ["control", str(design), "--engine", "sqp", "--quiet", "--log", str(file)]


def test_control_writes_a_log(short_design, tmp_path, capsys):
    file = tmp_path / "out" / "loop.csv"
    options = [*logging(short_design, file), "--log-start", "2026-03-01T08:00Z"]
    assert main(options) == 0
    assert f"log: 20 samples → {file}" in capsys.readouterr().out
    found = pd.read_csv(file, parse_dates=["time"])
    assert found["time"].iloc[0] == START
    assert found["scenario"].unique().tolist() == ["step", "lost"]
    assert found["flags"].tolist() == 15 * [0] + 2 * [1] + 3 * [0]
    assert found["pH [pH]"].isna().sum() == 2
    assert main(options) == 2  # neither is written over
    assert "--force replaces it" in capsys.readouterr().err
    (short_design / "closed-loop.json").unlink()
    assert main(options) == 2
    assert f"{file}: exists; --force replaces it" in capsys.readouterr().err


def test_a_log_begins_now_unless_told(short_design, tmp_path, capsys):
    before = datetime.now(UTC).replace(microsecond=0)
    assert main(logging(short_design, tmp_path / "loop.csv")) == 0
    first = pd.read_csv(tmp_path / "loop.csv", parse_dates=["time"])["time"].iloc[0]
    assert before <= first <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--log", "loop.xlsx"], "loop.xlsx: a log must end in .csv or .parquet"),
        (["--log", "loop.csv", "--log-start", "today"], "'today' is no time like"),
        (["--log-start", "2026-03-01"], "--log-start needs --log FILE"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(short_design, capsys, options, words):
    assert main(["control", str(short_design), "--quiet", *options]) == 2
    assert words in capsys.readouterr().err
    assert not (short_design / "closed-loop.json").exists()
