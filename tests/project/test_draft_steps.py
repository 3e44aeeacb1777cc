"""`new`: from a CSV to a design that runs."""

import json
import re

import numpy as np
import pytest
from scipy.signal import lfilter

from lstm_mpc import (
    DataError,
    Dataset,
    InputError,
    Model,
    Record,
    Signal,
    TrainingOptions,
    identify,
)
from lstm_mpc.cli import words
from lstm_mpc.cli.command_line import main
from lstm_mpc.data.dataset import thin
from lstm_mpc.data.log_options import LogOptions
from lstm_mpc.data.logs.table import open_log, time_columns
from lstm_mpc.directory import Project
from lstm_mpc.identification.model_order import Candidate, Ordering
from lstm_mpc.identification.starts import SearchOptions, Start
from lstm_mpc.project.artefacts import Options
from lstm_mpc.project.design import load_design
from lstm_mpc.project.drafting.signal_requests import ask_signals, columns_in, signals_of, wanted


@pytest.fixture
def log(tmp_path, rng):
    """A log of two inputs and two outputs with stamps, a word, a gap, and a dead time of three
    samples from the first input."""
    n = 900
    u = np.column_stack(
        [np.repeat(rng.uniform(lo, hi, n // 9), 9) for lo, hi in ((10, 20), (0.2, 0.8))]
    )
    late = np.concatenate([np.full(3, u[0, 0]), u[:-3, 0]])
    x = lfilter([0, 0.3], [1, -0.7], late - 15) + 0.01 * rng.standard_normal(n)
    y = lfilter([0, 0.2], [1, -0.8], u[:, 1] - 0.5) + 0.01 * rng.standard_normal(n)
    rows = ["Time,FIC-1.PV,b [bar],T [°C],pH [pH]"]
    for k in range(n):
        if not 400 <= k < 450:
            stamp = f"2026-03-01 {8 + k // 360:02d}:{k // 6 % 60:02d}:{k % 6 * 10:02d}"
            cell = "Bad" if k == 100 else f"{60 + x[k]:.3f}"
            rows.append(f"{stamp},{u[k, 0]:.2f},{u[k, 1]:.3f},{cell},{7 + y[k]:.3f}")
    path = tmp_path / "log.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def signals(inputs, outputs):
    return list(map(wanted, inputs)), list(map(wanted, outputs))


INPUTS, OUTPUTS = ["q=FIC-1.PV:mL/s:8:22", "b"], ["T", "pH"]


def new(folder, log, **choice):
    options, inputs, outputs = (
        choice.pop(k, v)
        for k, v in (("options", Options()), ("inputs", INPUTS), ("outputs", OUTPUTS))
    )
    draft = Project(folder, options).new([log], *signals(inputs, outputs), log=LogOptions(**choice))
    return words.drafted(draft, folder)


def test_a_design_is_drafted_that_says_what_the_data_say(tmp_path, log):
    result = new(tmp_path / "d", log)
    design = load_design(tmp_path / "d")
    assert design.inputs[0] == Signal("q", "mL/s", 8.0, 22.0)
    assert design.inputs[1].unit == "bar"
    assert 0.2 < design.inputs[1].low < design.inputs[1].high < 0.8  # of the data
    assert [s.label for s in design.outputs] == ["T [°C]", "pH [pH]"]
    assert design.log.time == "Time"
    assert design.log.Ts == 10.0
    assert dict(design.log.columns) == {"q": "FIC-1.PV"}
    text = (tmp_path / "d" / "design.toml").read_text()
    assert text.count("CHOOSE") >= 4
    assert all(
        line.index("#") == 26
        for line in text.splitlines()
        if " # " in line and line.index("#") < 30
    )
    said = "\n".join(result.lines)
    assert "cells that are no number count as not measured: 'Bad' 1×" in said
    assert "1 gap(s) of more than 5 samples, 50 samples in all, end a record each" in said
    assert "dead time q → T: 3 samples (30 s)" in said
    assert "on grey those for validation" in (tmp_path / "d" / "figures" / "data.svg").read_text()
    assert "limits of b are those of the data" in said
    assert result.content["input_delays"] == [3, 0]
    assert design.log.validation_part == "end"
    tried = design.search.candidates
    assert (design.search.starts, design.search.screen) == (2 * len(tried), 0)
    assert {c.start for c in tried} == {"linear", "random"}
    assert {c.decay for c in tried} == {1e-6, 1e-3, 1e-2}
    assert (tmp_path / "d" / "log.csv").read_bytes() == log.read_bytes()
    made = design.logged()
    assert made.training.missing == 1


def test_a_measured_disturbance_is_drafted_as_one(tmp_path, log):
    words = ["new", str(tmp_path / "d"), "--data", str(log), "--input", "q=FIC-1.PV:mL/s:8:22"]
    assert main([*words, "--measured", "b", "--output", "T", "--output", "pH", "--quiet"]) == 0
    design = load_design(tmp_path / "d")
    assert design.inputs[0] == Signal("q", "mL/s", 8.0, 22.0)
    assert (design.inputs[1].name, design.inputs[1].kind) == ("b", "measured")
    assert design.measured == ("b",)
    assert 14.0 < design.u_start[0] < 17.0  # of the one that is moved
    assert design.loop_law is not None
    assert len(np.ravel(design.control.move_penalty)) == 1
    text = (tmp_path / "d" / "design.toml").read_text()
    assert "CHOOSE: taken from the data; give what the signal can be" in text


def test_records_that_drift_are_split_so_that_training_covers_them(tmp_path):
    """The last quarter lies beyond what came before."""
    u = np.repeat([0, 1, 0, 2, 1, 3, 0, 2, 1, 5, 6, 5], 30)
    y = lfilter([0, 0.1], [1, -0.9], u)
    (tmp_path / "drift.csv").write_text(
        "u,y\n" + "".join(f"{a},{b:.4f}\n" for a, b in zip(u, y, strict=True))
    )
    result = new(
        tmp_path / "d",
        tmp_path / "drift.csv",
        inputs=["u:V"],
        outputs=["y:m"],
        Ts=1.0,
        validation_part="auto",
    )
    assert (
        "validation: the start of every file, as its end leaves the range of the rest"
        in result.lines
    )
    design = load_design(tmp_path / "d")
    assert design.log.validation_part == "start"
    assert design.logged().validation.records[0].u[:31, 0].tolist() == [0.0] * 30 + [1.0]


def test_what_lies_between_two_values_is_not_learnt_by_heart(tmp_path, rng):
    u = np.repeat(rng.integers(0, 2, 120), 5)
    y = lfilter([0, 0.3], [1, -0.7], u) + 0.01 * rng.standard_normal(len(u))
    rows = "".join(f"{a},{b:.4f}\n" for a, b in zip(u, y, strict=True))
    (tmp_path / "prbs.csv").write_text("u,y\n" + rows)
    files = tmp_path / "d", tmp_path / "prbs.csv"
    result = new(*files, inputs=["u:V"], outputs=["y:m"], Ts=1.0)
    assert any("u takes two values only, 0 and 1 V: what the" in line for line in result.lines)
    design = load_design(tmp_path / "d")
    assert {c.decay for c in design.search.candidates} == {1e-3, 1e-2}


@pytest.mark.parametrize(
    ("slow", "noise", "least", "words"),
    [
        (0.0, 0.02, 80.0, ""),
        (1.0, 0.02, (35.0, 70.0), "a linear model reaches"),  # what no input explains
        (6.0, 0.02, 30.0, "a linear model reaches"),
        (0.0, 1.2, (30.0, 70.0), "a linear model reaches"),
    ],
)
def test_the_fit_that_a_draft_asks_is_what_a_linear_model_reaches(
    tmp_path, rng, capsys, slow, noise, least, words
):
    n = 1500
    u = np.repeat(rng.uniform(10, 20, n // 10), 10)
    y = lfilter([0, 0.2], [1, -0.8], u - 15) + noise * rng.standard_normal(n)
    y = y + slow * lfilter([0.2], [1, -0.97], rng.standard_normal(n))
    rows = [f"{k},{a:.3f},{b:.4f}" for k, (a, b) in enumerate(zip(u, y, strict=True))]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["time,u,y", *rows]) + "\n")
    assert main(["new", str(tmp_path / "d"), "--data", str(path), "--input", "u", "--output", "y",
                 "--quiet"]) == 0  # fmt: skip
    asked, text = load_design(tmp_path / "d").release.min_fit, capsys.readouterr().out
    low, high = least if isinstance(least, tuple) else (least, least)
    assert low <= asked <= high
    assert (f"note: min_fit is {asked:.0f} %: on validation data {words}" in text) == bool(words)


def test_setpoints_of_a_draft_are_where_the_outputs_were_together(tmp_path, rng):
    """One input, two outputs that go against each other: never both of them high."""
    u = np.repeat(rng.uniform(0, 1, 90), 8)
    x = lfilter([0, 0.5], [1, -0.5], u)
    rows = "".join(f"{a},{10 + b:.4f},{5 - 2 * b:.4f}\n" for a, b in zip(u, x, strict=True))
    (tmp_path / "two.csv").write_text("u,y,z\n" + rows)
    new(tmp_path / "d", tmp_path / "two.csv", inputs=["u:V"], outputs=["y:m", "z:m"], Ts=1.0)
    setpoints = np.array(load_design(tmp_path / "d").scenarios[0].setpoint.levels)
    np.testing.assert_allclose(setpoints[:, 1], 5 - 2 * (setpoints[:, 0] - 10), atol=0.05)
    assert np.ptp(setpoints[:, 0]) > 0.2


def test_nothing_is_written_over_and_nothing_half(tmp_path, log):
    folder = tmp_path / "d"
    log.write_text(
        "\n".join(
            f"{line},{'c' if k == 0 else 1}" for k, line in enumerate(log.read_text().splitlines())
        )
        + "\n"
    )
    with pytest.raises(
        InputError, match="nothing can be identified from these data: c is constant"
    ):
        new(folder, log, inputs=[*INPUTS, "c:V"])
    assert not folder.exists()
    new(folder, log)
    with pytest.raises(InputError, match=r"design.toml: exists; --force replaces it"):
        new(folder, log)
    new(folder, log, options=Options(force=True))
    # from its own copy
    Project(folder, Options(force=True)).new([folder / "log.csv"], *signals(INPUTS, OUTPUTS))


def test_a_file_may_be_kept_for_validation(tmp_path, log):
    other = tmp_path / "later.csv"
    other.write_bytes(log.read_bytes())
    log_options = LogOptions(validation_files=("later.csv",))
    Project(tmp_path / "d").new([log, other], *signals(INPUTS, OUTPUTS), log=log_options)
    design = load_design(tmp_path / "d")
    assert design.log.files == ("log.csv",)
    assert design.log.validation_files == ("later.csv",)
    assert design.logged().validation.samples == 850


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        (["q:mL/s:1"], OUTPUTS, "'q:mL/s:1' is no signal; write NAME:UNIT:LOW:HIGH"),
        (["=x"], OUTPUTS, "'=x' is no signal"),
        (["q:V:a:b"], OUTPUTS, "the limits of 'q' must be two numbers LOW:HIGH, got 'a:b'"),
        (
            ["nothing"],
            OUTPUTS,
            r"has no column 'nothing' \(its columns: Time, .*\); write nothing=COLUMN:UNIT",
        ),
        (["T"], OUTPUTS, "two signals are called 'T'"),
        (["b:bar:5:1"], OUTPUTS, "signal 'b': low 5.0 must be below high 1.0"),
    ],
)
def test_signals_that_cannot_be_are_refused(tmp_path, log, inputs, outputs, words):
    with pytest.raises(InputError, match=words):
        new(tmp_path / "d", log, inputs=inputs, outputs=outputs)
    assert not (tmp_path / "d").exists()


def test_two_files_of_one_name_are_refused(tmp_path, log):
    with pytest.raises(InputError, match="two data files have the same name"):
        Project(tmp_path / "d").new([log, log], *signals(INPUTS, OUTPUTS))


def test_names_with_quotes_and_spaces_survive(tmp_path, log):
    text = log.read_text().replace("FIC-1.PV", '"flow ""A"" in"').replace("b [bar]", "b=c \\ [bar]")
    log.write_text(text)
    new(tmp_path / "d", log, inputs=['flow "A" in:mL/s', "b"][:1], outputs=["T"])
    assert load_design(tmp_path / "d").inputs[0].name == 'flow "A" in'


def test_a_time_column_is_found_by_name_or_by_its_dates(tmp_path, log):
    assert time_columns(open_log(log)) == ("Time",)
    other = tmp_path / "o.csv"
    other.write_text("T,stamp,q\n1,2026-03-01T00:00:00Z,3\n1,2026-03-01T00:00:01Z,3\n")
    assert time_columns(open_log(other)) == ("stamp",)
    assert time_columns(open_log(other), [1]) == ()
    other.write_text("q,x\n1,2\n2,3\n3,4\n")
    with pytest.raises(DataError, match=r"needs a column of time stamps"):
        Project(tmp_path / "d").new([other], *signals(["q"], ["x"]))


def test_signals_take_the_limits_they_are_given():
    asked = [wanted("q"), wanted("p:V:1:2")]
    spans, units = {"q": (0.0, 1.0), "p": (5.0, 6.0)}, {"q": "-", "p": "V"}
    assert signals_of(asked, units, spans, limit=True) == (
        Signal("q", "-", 0.0, 1.0),
        Signal("p", "V", 1.0, 2.0),
    )
    assert not signals_of(asked, units, spans, limit=False)[0].bounded


def test_long_data_are_trained_on_in_windows_that_move(tmp_path, rng):
    u = np.where((np.arange(5000) // 100 % 10 == 3)[:, None], rng.uniform(-1, 1, (5000, 1)), 0.0)
    data = Dataset(
        (Signal("q", "V", -1, 1),),
        (Signal("y", "m"),),
        1.0,
        (Record("r", u, u), Record("s", u[:150], u[:150])),
    )
    some = thin(data, samples=500, window=100)
    assert [r.name for r in some.records] == ["r@300", "r@1300", "r@2300", "r@3300", "r@4300"]
    assert all(np.ptp(r.u) > 1 for r in some.records)
    assert thin(data, samples=5150, window=100) is data
    with pytest.raises(InputError, match="samples must be at least one window of 100"):
        thin(data, samples=99, window=100)
    with pytest.raises(
        InputError, match="no record is as long as a window of 5001 samples; give shorter windows"
    ):
        thin(data, samples=5001, window=5001)


# -- on the command line, to a certified model -----------------------------------------------------


def drafted(folder, log, *more):
    words = [word for s in INPUTS for word in ("--input", s)] + [
        word for s in OUTPUTS for word in ("--output", s)
    ]
    return main(["new", str(folder), "--data", str(log), *words, "--quiet", *more])


def test_from_a_log_to_certificates(tmp_path, log, capsys):
    folder = tmp_path / "d"
    assert drafted(folder, log) == 0
    text = (folder / "design.toml").read_text()
    text = re.sub(r"cells = .*", "cells = [2]\niterations = 15\npatience = 5", text).replace(
        "starts = 12", "starts = 1"
    )
    (folder / "design.toml").write_text(text)
    assert main(["record", str(folder), "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "cells that are no number count as not measured: 'Bad' 1×" in said
    assert main(["train", str(folder), "--quiet", "--workers", "1"]) == 0
    assert main(["certify", str(folder), "--quiet"]) == 0
    model = Model.load(folder / "model.json")
    assert model.delays == (3, 0)
    assert "iss holds" in capsys.readouterr().out
    assert (
        main(
            [
                "order",
                str(folder),
                "--cells",
                "1",
                "--cells",
                "2",
                "--cells",
                "2,1",
                "--starts",
                "2",
                "--quiet",
                "--workers",
                "1",
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert said.count("← enough") == 1
    chosen = json.loads((folder / "order.json").read_text())["recommended"]
    assert ("the largest that was tried; --cells tries others" in said) == (chosen == [2, 1])
    assert ("more cells do not fit validation data better than starts differ" in said) == (
        chosen != [2, 1]
    )
    found = json.loads((folder / "order.json").read_text())
    assert [c["nx"] for c in found["candidates"]] == [[1], [2], [2, 1]]
    assert all(len(c["fits"]) == 2 for c in found["candidates"])
    assert (folder / "figures" / "order.svg").exists()
    assert main(["order", str(folder)]) == 2
    assert "order.json: exists; --force replaces it" in capsys.readouterr().err


def test_without_signals_and_terminal_what_is_missing_is_said(tmp_path, log, capsys):
    assert main(["new", str(tmp_path / "d"), "--data", str(log)]) == 2
    assert (
        "which columns are inputs, which outputs? Give --input NAME:UNIT:LOW:HIGH and --output"
        " NAME:UNIT" in capsys.readouterr().err
    )


def test_on_a_terminal_signals_are_asked_for(log):
    answers = iter(["2:8:22 3", "4, 5"])
    asked, columns = [], columns_in(open_log(log))
    inputs, outputs = ask_signals(columns, lambda question: asked.append(question) or next(answers))
    assert "  2: FIC-1.PV\n  3: b [bar]\n" in asked[0]
    assert [(s.name, s.column, s.unit, s.low, s.high) for s in inputs] == [
        ("FIC-1.PV", "FIC-1.PV", "", 8.0, 22.0),
        ("b", "b [bar]", "bar", None, None),
    ]
    assert [s.name for s in outputs] == ["T", "pH"]
    with pytest.raises(InputError, match="'9' is no column; answer with numbers from 1 to 5"):
        ask_signals(columns, lambda _: "9")
    with pytest.raises(
        InputError, match=r"the limits of 'FIC-1.PV' must be two numbers LOW:HIGH, got '8'"
    ):
        ask_signals(columns, lambda _: "2:8")


def test_a_number_of_cells_that_is_none_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["order", str(tmp_path), "--cells", "4,x"])
    assert "needs cells per layer as 5 or 4,4, got '4,x'" in capsys.readouterr().err


@pytest.mark.slow
def test_conditions_are_given_up_where_they_cost_more_than_their_price():
    """An oscillation: δISS by absolute values does not know the sign that damps it; (7) does."""
    rng = np.random.default_rng(0)
    u = np.repeat(rng.uniform(-1, 1, 60), 10)[:, None]
    y = lfilter([0, 0.2], [1, -1.7, 0.9], u[:, 0])[:, None]
    signals = (Signal("u", "V", -1.0, 1.0),), (Signal("y", "m"),)
    data = [
        Dataset(*signals, 1.0, (Record("r", u[part], y[part]),))
        for part in (slice(0, 400), slice(400, 600))
    ]
    settings = TrainingOptions(cells=(3,), conditions=("iss", "delta_iss"), iterations=40)
    dear = identify(
        *data,
        settings,
        SearchOptions(starts=1, transient=30, window=30, max_fit_loss=5.0),
        required=("iss",),
    )
    assert [s.outcome.seed for s in dear.starts] == [0, 1]
    assert dear.starts[1].fit > dear.starts[0].fit + 5.0
    assert dear.model.origin["settings"]["conditions"] == ("iss",)
    cheap = identify(
        *data,
        settings,
        SearchOptions(starts=1, transient=30, window=30, max_fit_loss=1e6),
        required=("iss",),
    )
    assert cheap.model.origin["settings"]["conditions"] == ("iss", "delta_iss")
    assert "iss + delta_iss certified" in cheap.starts[0].sentence
    assert [s.outcome.seed for s in cheap.starts] == [0]  # none can be better by so much


def test_the_smallest_structure_that_cannot_be_told_from_the_best_is_enough():
    def candidate(nx, fits):
        starts = tuple(Start(None, None, True, fit) for fit in fits)
        return Candidate((nx,), 10 * nx, starts)

    poor, fair, best = (
        candidate(1, (60.0, 59.0)),
        candidate(2, (90.0, 88.0)),
        candidate(3, (91.0, 87.9, 90.0)),
    )
    assert Ordering((poor, fair, best)).recommended is fair
    assert Ordering((poor, best)).recommended is best
    none = Candidate((4,), 40, (Start(None, None, False, 99.0),))
    assert Ordering((poor, none)).recommended is poor
    assert none.spread == 0.0
