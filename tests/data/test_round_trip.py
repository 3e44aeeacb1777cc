"""What a step writes the next can read: the records of a log as CSV, for every way that `new` can
draft them."""

import re

import numpy as np
import pytest

from lstm_mpc import Dataset, InputError, Record, Signal
from lstm_mpc.cli.command_line import main
from lstm_mpc.data.csv_file import read_csv, write_csv
from lstm_mpc.data.log_options import LogOptions
from lstm_mpc.data.log_preparation import prepare_log
from lstm_mpc.project.design import load_design

U, Y = (Signal("q", "mL/s", 0.0, 10.0),), (Signal("pH", "pH"),)


def rows(count, Ts=10.0, without=(), blank=(), seed=0):
    """Rows of a log: `without` are left out, in `blank` the output was not measured."""
    rng = np.random.default_rng(seed)
    u = np.repeat(rng.uniform(0, 10, count // 7 + 1), 7)[:count]
    y = 7 + np.convolve(u - 5, 0.05 * 0.8 ** np.arange(30))[:count] + rng.normal(0, 0.01, count)
    return [
        f"{Ts * k!r},{u[k]:.4f},{'' if k in blank else format(y[k], '.4f')}"
        for k in range(count)
        if k not in without
    ]


VARIANTS = {
    "whole": [rows(300)],
    "short": [rows(60)],
    "gap": [rows(400, without=range(150, 180))],
    "many gaps": [rows(600, without=[k for k in range(600) if 80 < k % 100 < 95])],
    "several files": [rows(300), rows(200, seed=1), rows(90, seed=2)],
    "files and gaps": [rows(300, without=range(100, 120)), rows(300, without=range(200, 230))],
    "not measured": [rows(300, blank=[*range(0, 300, 7), *range(140, 160)])],
    "a third of a second": [rows(3000, Ts=1 / 3)],
}


@pytest.mark.parametrize("part", ["start", "middle", "end", "auto"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_records_of_a_log_are_read_as_they_were_written(tmp_path, variant, part):
    files = [f"log{k}/log.csv" for k in range(len(VARIANTS[variant]))]  # all called alike
    for file, lines in zip(files, VARIANTS[variant], strict=True):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text("t,q,pH\n" + "\n".join(lines) + "\n")
    log = LogOptions(files=tuple(files), time="t", validation_part=part)
    made = prepare_log(log, tmp_path, U, Y)
    for which in ("training", "validation"):
        data = getattr(made, which)
        write_csv(tmp_path / f"{which}.csv", data)
        back = read_csv(tmp_path / f"{which}.csv", U, Y)
        assert len({r.name for r in data.records}) == len(data.records)
        if len(data.records) > 1:
            assert [r.name for r in back.records] == [r.name for r in data.records]
        for before, after in zip(data.records, back.records, strict=True):
            np.testing.assert_array_equal(after.u, before.u)
            np.testing.assert_array_equal(after.y, before.y)
        assert back.Ts == pytest.approx(data.Ts, rel=1e-9)


@pytest.mark.parametrize("part", ["start", "middle", "end"])
@pytest.mark.parametrize("variant", ["short", "gap", "files and gaps", "not measured"])
def test_what_new_and_record_write_is_read(tmp_path, variant, part, capsys):
    data = []
    for k, lines in enumerate(VARIANTS[variant]):
        (tmp_path / f"log{k}.csv").write_text("t,q,pH\n" + "\n".join(lines) + "\n")
        data += ["--data", str(tmp_path / f"log{k}.csv")]
    folder = tmp_path / "design"
    signals = ["--input", "q:mL/s:0:10", "--output", "pH"]
    assert main(["new", str(folder), *data, *signals, "--validation-part", part, "--quiet"]) == 0
    drafted = load_design(folder).logged()
    assert main(["record", str(folder), "--quiet"]) == 0
    design = load_design(folder)
    for which in ("training", "validation"):
        assert design.records(which).digest == getattr(drafted, which).digest


SIGNALS = ["--input", "q:mL/s:0:10", "--measured", "feed:bar:0:4", "--output", "pH"]
FLAGS = {  # of `new`, with what it asks of the log
    "stamps": ["--Ts", "2", "--resample", "mean", "--despike", "6", "--name", 'Süd "3" \\ 1'],
    "no stamps": ["--time", "none", "--Ts", "2.5", "--exclude", "100", "150"],
    "missing": ["--missing", "-200", "--missing", "9.9e37", "--longest-gap", "0"],
    "where": ["--where", "MODE == 'AUTO' and q > 0.5", "--min-samples", "30"],
    "exclude": ["--exclude", "2026-03-04T08:02:00", "2026-03-04T08:03:00"],
    "share": ["--validation", "0.4", "--validation-part", "middle", "--time", "Time [x]"],
}


def stamped(count=500):
    """A log with stamps, a measured feed, a mode, and -200 for what was not measured."""
    lines = ["Time [x],q,feed,pH,MODE"]
    for k, row in enumerate(rows(count, Ts=1.0)):
        _, q, pH = row.split(",")
        stamp = f"2026-03-04T08:{k // 60:02d}:{k % 60:02d}"
        mode = "MAN" if 200 <= k < 220 else "AUTO"
        lines.append(f"{stamp},{q},{1.5 + k // 11 % 7 / 10},{-200 if k == 77 else pH},{mode}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("flags", FLAGS)
def test_every_option_of_new_is_in_its_draft(tmp_path, flags, capsys):
    """What `record` makes of the draft is what `new` saw, and the draft agrees with itself."""
    (tmp_path / "my log.csv").write_text(stamped())
    folder, log = tmp_path / "my design", str(tmp_path / "my log.csv")
    assert main(["new", str(folder), "--data", log, *SIGNALS, *FLAGS[flags], "--quiet"]) == 0
    first = [line for line in capsys.readouterr().out.splitlines() if "record(s), " in line]
    drafted = load_design(folder).logged()
    assert main(["record", str(folder), "--quiet"]) == 0
    again = [line for line in capsys.readouterr().out.splitlines() if "record(s), " in line]
    assert first == again != []
    design = load_design(folder)
    for which in ("training", "validation"):
        assert design.records(which).digest == getattr(drafted, which).digest
    # what the gate asks for is trained under, so that `max_fit_loss` cannot drop it
    assert set(design.release.conditions) <= set(design.train.conditions)
    assert design.release.controller == design.release.output_set == "either"
    assert design.loop_law is not None


@pytest.mark.parametrize("name", ["seed", "residuals"])
def test_a_feed_is_not_called_like_a_key_of_its_tables(tmp_path, name, capsys):
    (tmp_path / "log.csv").write_text(stamped().replace("feed", name))
    folder = tmp_path / "design"
    call = ["new", str(folder), "--data", str(tmp_path / "log.csv"), "--input", "q"]
    call += ["--output", "pH", "--quiet", "--measured"]
    assert main([*call, name]) == 2
    said = f"a measured input cannot be called {name!r}, which is a key of [[scenario]] or"
    assert said in capsys.readouterr().err
    assert not (folder / "design.toml").exists()
    assert main([*call, f"feed={name}"]) == 0


def test_a_short_log_is_enough(tmp_path, capsys):
    """206 rows, as the gas furnace of Box and Jenkins has after its test part."""
    (tmp_path / "log.csv").write_text("t,q,pH\n" + "\n".join(rows(206)) + "\n")
    log = LogOptions(files=("log.csv",), time="t")
    made = prepare_log(log, tmp_path, U, Y)
    assert (made.training.samples, made.validation.samples) == (154, 52)
    with pytest.raises(InputError, match=r"validation; give more data, or lower min_samples in"):
        prepare_log(LogOptions(("log.csv",), time="t", min_samples=60), tmp_path, U, Y)


def test_what_could_not_be_read_is_not_written(tmp_path):
    record = Record("a", np.ones((3, 1)), np.ones((3, 1)))
    twice = Dataset(U, Y, 1.0, (record, record))
    with pytest.raises(InputError, match=r"a\.csv: two of its records would be called 'a'; rename"):
        write_csv(tmp_path / "a.csv", twice)
    time = Dataset((Signal("t", "s", 0.0, 1.0),), Y, 1.0, (record,))
    with pytest.raises(InputError, match=r"two of its columns would be called 't \[s\]'; rename"):
        write_csv(tmp_path / "a.csv", time)
    assert not (tmp_path / "a.csv").exists()


def test_new_and_record_cut_a_short_log_alike(tmp_path, capsys):
    """206 rows leave a share for validation that is no round number."""
    (tmp_path / "log.csv").write_text("t,q,pH\n" + "\n".join(rows(206)) + "\n")
    call = ["new", str(tmp_path / "d"), "--data", str(tmp_path / "log.csv")]
    assert main([*call, "--input", "q:mL/s:0:10", "--output", "pH", "--quiet"]) == 0
    said = capsys.readouterr().out
    samples = re.search(r"training: \d record\(s\), (\d+) samples", said)[1]
    assert load_design(tmp_path / "d").logged().training.samples == int(samples)
