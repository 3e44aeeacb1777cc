"""`new`: from a CSV to a design that runs."""

import numpy as np
import pytest
from scipy.signal import lfilter

from lstm_mpc import DataError, Dataset, InputError, Record, Signal
from lstm_mpc.artefacts import Options
from lstm_mpc.data import thin
from lstm_mpc.design import load_design
from lstm_mpc.new import signals_of, time_column, wanted
from lstm_mpc.own import new_verb
from lstm_mpc.preparing import Log


@pytest.fixture
def log(tmp_path, rng):
    """A log of two inputs and two outputs with stamps, a word, a gap, and a dead time of three samples from the first input."""
    n = 900
    u = np.column_stack([np.repeat(rng.uniform(lo, hi, n // 9), 9) for lo, hi in ((10, 20), (0.2, 0.8))])
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
    options, inputs, outputs = (choice.pop(k, v) for k, v in (("options", Options()), ("inputs", INPUTS), ("outputs", OUTPUTS)))
    return new_verb(folder, [log], *signals(inputs, outputs), options, log=Log(**choice))


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
    assert all(line.index("#") == 26 for line in text.splitlines() if " # " in line and line.index("#") < 30)
    said = "\n".join(result.lines)
    assert "cells that are no number count as not measured: 'Bad' 1×" in said
    assert "1 gap(s) of more than 5 samples, 50 samples in all, end a record each" in said
    assert "dead time q → T: 3 samples (30 s)" in said
    assert "limits of b are those of the data" in said
    assert result.content["input_delays"] == [3, 0]
    assert (tmp_path / "d" / "log.csv").read_bytes() == log.read_bytes()
    made = design.logged()
    assert made.training.missing == 1


def test_nothing_is_written_over_and_nothing_half(tmp_path, log):
    folder = tmp_path / "d"
    log.write_text("\n".join(f"{line},{'c' if k == 0 else 1}" for k, line in enumerate(log.read_text().splitlines())) + "\n")
    with pytest.raises(InputError, match="nothing can be identified from these data: c is constant"):
        new(folder, log, inputs=[*INPUTS, "c:V"])
    assert not folder.exists()
    new(folder, log)
    with pytest.raises(InputError, match=r"design.toml: exists; --force replaces it"):
        new(folder, log)
    new(folder, log, options=Options(force=True))
    new_verb(folder, [folder / "log.csv"], *signals(INPUTS, OUTPUTS), Options(force=True), log=Log())  # from its own copy


def test_a_file_may_be_kept_for_validation(tmp_path, log):
    other = tmp_path / "later.csv"
    other.write_bytes(log.read_bytes())
    new_verb(tmp_path / "d", [log, other], *signals(INPUTS, OUTPUTS), Options(), log=Log(validation_files=("later.csv",)))
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
        (["nothing"], OUTPUTS, r"row 1: has no column for 'nothing' \(found Time, .*\); write nothing=COLUMN:UNIT"),
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
        new_verb(tmp_path / "d", [log, log], *signals(INPUTS, OUTPUTS), Options(), log=Log())


def test_names_with_quotes_and_spaces_survive(tmp_path, log):
    text = log.read_text().replace("FIC-1.PV", '"flow ""A"" in"').replace("b [bar]", "b=c \\ [bar]")
    log.write_text(text)
    new(tmp_path / "d", log, inputs=['flow "A" in:mL/s', "b"][:1], outputs=["T"])
    assert load_design(tmp_path / "d").inputs[0].name == 'flow "A" in'


def test_a_time_column_is_found_by_name_or_by_its_dates(tmp_path, log):
    assert time_column(log, []) == "Time"
    other = tmp_path / "o.csv"
    other.write_text("T,stamp,q\n1,2026-03-01T00:00:00Z,3\n1,2026-03-01T00:00:01Z,3\n")
    assert time_column(other, []) == "stamp"
    assert time_column(other, ["stamp"]) == ""
    other.write_text("q,x\n1,2\n2,3\n3,4\n")
    with pytest.raises(DataError, match=r"needs a column of time stamps"):
        new_verb(tmp_path / "d", [other], *signals(["q"], ["x"]), Options(), log=Log())


def test_signals_take_the_limits_they_are_given():
    asked = [wanted("q"), wanted("p:V:1:2")]
    spans, units = {"q": (0.0, 1.0), "p": (5.0, 6.0)}, {"q": "-", "p": "V"}
    assert signals_of(asked, units, spans, limit=True) == (Signal("q", "-", 0.0, 1.0), Signal("p", "V", 1.0, 2.0))
    assert not signals_of(asked, units, spans, limit=False)[0].bounded


def test_long_data_are_trained_on_in_windows_that_move(tmp_path, rng):
    u = np.where((np.arange(5000) // 100 % 10 == 3)[:, None], rng.uniform(-1, 1, (5000, 1)), 0.0)
    data = Dataset((Signal("q", "V", -1, 1),), (Signal("y", "m"),), 1.0, (Record("r", u, u), Record("s", u[:150], u[:150])))
    some = thin(data, samples=500, window=100)
    assert [r.name for r in some.records] == ["r@300", "r@1300", "r@2300", "r@3300", "r@4300"]
    assert all(np.ptp(r.u) > 1 for r in some.records)
    assert thin(data, samples=5150, window=100) is data
    with pytest.raises(InputError, match="samples must be at least one window of 100"):
        thin(data, samples=99, window=100)
    with pytest.raises(InputError, match="no record is as long as a window of 5001 samples; give shorter windows"):
        thin(data, samples=5001, window=5001)
