"""The command line as a user meets it: the chain on a small design, JSON, exit codes, refusals,
errors in one sentence, Ctrl-C."""

import json
import os
import re
import shutil
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
from verbs import command

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.gate import Release
from lstm_mpc.cli.command_line import main
from lstm_mpc.data.csv_file import read_csv, write_csv
from lstm_mpc.io.artefact_file import read_json
from lstm_mpc.model.model import Model
from lstm_mpc.project.artefacts import ARTEFACTS
from lstm_mpc.project.design import load_design

DESIGN = """
name = "small"
[plant]
kind = "ph"
[experiment]
training_samples = 900
validation_samples = 400
dwell = [100.0, 800.0]
output_noise = 1e-4
resolution = 1e-4
[train]
cells = [3]
iterations = 60
[search]
starts = 2
[safe_set]
pH = [2.0, 12.0]
[verify]
radii = [0.5, 1.0]
epsilon = 0.05
beta = 1e-3
rule = "exact"
steps = 150
settle = 50
[release]
conditions = ["iss"]
output_set = "scenario"
epsilon = 0.05
beta = 1e-3
min_fit = 50.0
[control]
horizon = 8
u_start = [15.55]
[verify_loop]
epsilon = 0.05
beta = 1e-3
steps = 20
settle = 5
dwell = [50.0, 100.0]
setpoint = [[6.8, 7.2]]
start = [[15.4, 15.6]]
q1 = [16.5, 16.7]
[[scenario]]
name = "step"
duration = 400.0
setpoint = [[0, 7.0], [50, 7.4]]
q1 = [[0, 16.6], [250, 16.5]]
"""


ONE = ("--workers", "1")  # a process takes longer to begin than a start of this size to train


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A design that went through the whole chain."""
    source = tmp_path_factory.mktemp("source") / "small"
    source.mkdir()
    (source / "design.toml").write_text(DESIGN)
    out = source.parent / "out"
    assert main(["run", str(source), "--out", str(out), "--quiet"]) == 0
    return out


@pytest.fixture
def copy(done, tmp_path):
    """A copy of the finished design, to be spoilt."""
    return shutil.copytree(done, tmp_path / "copy")


def test_run_makes_every_artefact(done):
    found = {path.name for path in done.iterdir()}
    assert found == {
        *ARTEFACTS,
        "certificate-iss.json",
        "campaigns.jsonl",
        "design.toml",
        "run.json",
        "controller",
        "figures",
    } - {"pil.json", "loop-proof.json"}
    figures = {path.name for path in (done / "figures").iterdir()}
    worst = f"loop-number-{json.loads((done / 'loop-verification.json').read_text())['worst']}"
    names = ("validation", "scenarios", "bounds", "reach", "loop-step", worst)
    assert figures == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}


def test_the_chain_is_tied_by_digests(done):
    model = Model.load(done / "model.json")
    released = Release.load(done / "release.json")
    assert (
        released.model.digest
        == model.digest
        == released.certificates[0].model
        == released.verification.model
    )
    data = read_csv(done / "data-training.csv", model.inputs, model.outputs)
    assert model.origin["data"] == data.digest


def test_every_start_is_reported(done):
    report = json.loads((done / "training.json").read_text())
    assert [row["seed"] for row in report["starts"]] == [0, 1]
    best = max(
        (row for row in report["starts"] if row["certified"]), key=lambda row: row["validation_fit"]
    )
    assert report["chosen"] == best["seed"]
    assert all(len(row["history"]) == row["iterations"] + 1 for row in report["starts"])


@pytest.mark.slow
def test_the_same_design_gives_the_same_model(done, copy, capsys):
    assert main(["train", str(copy), "--force", "--quiet", "--workers", "1"]) == 0
    assert Model.load(copy / "model.json").digest == Model.load(done / "model.json").digest


def test_verification_does_not_depend_on_workers(done, copy, capsys):
    assert main(["verify", str(copy), "--force", "--quiet", "--workers", "1"]) == 0
    assert (copy / "verification.json").read_text() == (done / "verification.json").read_text()


VERBS = (
    "record",
    "certify",
    "verify --workers 1",
    "reach",
    "release",
    "control --engine sqp",
    "export --target c",
    "tune-observer --disturbance output",
)


@pytest.mark.parametrize("words", VERBS)
def test_json_is_one_object(copy, capfd, words):
    """On the very stdout, where libraries in C print as well."""
    verb, *options = words.split()
    code, out, _ = command(capfd, verb, copy, *options, "--json", "--force")
    assert code == 0
    assert isinstance(json.loads(out), dict)


def test_certify_any_model_file(copy, capsys):
    (copy / "certificate-iss.json").unlink()
    code, out, _ = command(capsys, "certify", copy / "model.json", "--condition", "iss")
    assert code == 0
    assert "iss holds with margin" in out
    assert (copy / "certificate-iss.json").exists()


def test_a_failed_condition_is_a_value(copy, capsys):
    model = Model.load(copy / "model.json")
    layer = model.network.layers[0]
    b_f = np.array(layer.b_f)
    b_f[1] = 3.0
    spoilt = replace(model, network=replace(model.network, layers=(replace(layer, b_f=b_f),)))
    spoilt.save(copy / "model.json")
    code, out, _ = command(capsys, "certify", copy, "--force")
    assert code == 4
    assert f"iss fails → {copy}/certificate-iss.json\n  layer 1, " in out
    assert "gate f: row 2" in out
    code, _, err = command(capsys, "release", copy, "--force")
    assert code == 3
    for reason in ("iss fails", "the verification speaks of model"):
        assert reason in err


def test_refusal_lists_every_reason(copy, capsys):
    text = (copy / "design.toml").read_text()
    text = (
        text.replace("min_fit = 50.0", "min_fit = 99.9")
        .replace("pH = [2.0, 12.0]", "pH = [6.5, 7.5]")
        .replace("epsilon = 0.05\nbeta = 1e-3\nmin", "epsilon = 1e-3\nbeta = 1e-3\nmin")
    )
    (copy / "design.toml").write_text(text)
    code, out, err = command(capsys, "release", copy, "--force", "--json")
    assert code == 3
    reasons = json.loads(out)["reasons"]
    for word in ("below the 99.9 %", "the policy asks", "verified against the safe set"):
        assert any(word in reason for reason in reasons)
        assert word in err
    assert Release.load(copy / "release.json")  # the earlier release is untouched


@pytest.mark.slow
def test_a_waiver_is_printed_wherever_the_release_is_used(copy, capsys):
    text = (
        (copy / "design.toml")
        .read_text()
        .replace("min_fit = 50.0", 'min_fit = 99.9\nwaive = { fit = "bench test only" }')
    )
    (copy / "design.toml").write_text(text)
    assert command(capsys, "release", copy, "--force")[0] == 0
    for verb, *options in (
        ["control", "--engine", "sqp"],
        ["verify-loop", "--workers", "1"],
        ["export"],
    ):
        code, out, _ = command(capsys, verb, copy, *options, "--force")
        assert code == 0
        assert "WAIVED: fit" in out
        assert "bench test only" in out
    assert "bench test only" in (copy / "controller" / "small_controller.h").read_text()


def test_nothing_is_overwritten_without_force(copy, capsys):
    before = (copy / "model.json").read_text()
    code, _, err = command(capsys, "train", copy)
    assert code == 2
    assert "--force" in err
    assert (copy / "model.json").read_text() == before


@pytest.mark.parametrize("verb", ["control", "export"])
def test_control_and_export_accept_a_release_and_nothing_less(copy, capsys, verb):
    (copy / "release.json").unlink()
    code, _, err = command(capsys, verb, copy, "--force")
    assert code == 2
    assert "release.json" in err


@pytest.mark.parametrize("verb", ["control", "export"])
def test_an_edited_release_is_refused(copy, capsys, verb):
    path = copy / "release.json"
    path.write_text(path.read_text().replace('"min_fit": 50.0', '"min_fit": 40.0'))
    code, _, err = command(capsys, verb, copy, "--force")
    assert code == 2
    assert "altered" in err


def test_control_needs_scenarios(copy, capsys):
    text = (copy / "design.toml").read_text()
    (copy / "design.toml").write_text(text[: text.index("[[scenario]]")])
    code, _, err = command(capsys, "control", copy, "--force")
    assert code == 2
    assert "[[scenario]]" in err


def test_record_needs_a_plant(tmp_path, capsys):
    text = '[[input]]\nname="u"\nunit="V"\nlow=0.0\nhigh=1.0\nnominal=0.5\n'
    text += '[[output]]\nname="y"\nunit="V"\nlow=0.0\nhigh=2.0\n'
    (tmp_path / "design.toml").write_text(text)
    code, _, err = command(capsys, "record", tmp_path)
    assert code == 2
    assert "no [plant]" in err


def test_run_keeps_out_of_the_design_and_of_other_folders(done, tmp_path, capsys):
    code, _, err = command(capsys, "run", done, "--out", done)
    assert code == 2
    assert "another folder" in err
    (tmp_path / "precious.txt").write_text("mine")
    code, _, err = command(capsys, "run", done, "--out", tmp_path)
    assert code == 2
    assert "not empty" in err
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_training_without_a_certified_model_says_so(copy, capsys):
    text = (
        (copy / "design.toml")
        .read_text()
        .replace("iterations = 60", "iterations = 1\nspread = 3.9")
    )
    (copy / "design.toml").write_text(text)
    code, _, err = command(capsys, "train", copy, "--force", "--quiet", *ONE)
    assert code == 1
    assert "no certified model" in err
    assert "seed 1" in err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["certify", "--help"], ["--version"]]
)
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    assert "lstm-mpc" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [[], ["fly", "x"], ["train", "x", "--workers", "0"], ["run", "x", "--workers", "two"]],
)
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


def test_a_missing_design_is_one_sentence(tmp_path, capsys):
    code, out, err = command(capsys, "train", tmp_path / "nowhere")
    assert code == 2
    assert not out
    assert err.count("\n") == 1
    assert "design.toml: cannot be read" in err


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_feasible_iterate(begin, copy, tmp_path):
    text = (
        (copy / "design.toml")
        .read_text()
        .replace("iterations = 60", "iterations = 100000\npatience = 100000")
    )
    (copy / "design.toml").write_text(text)
    (copy / "model.json").unlink()
    with (tmp_path / "err").open("w") as err:
        process = begin("train", copy, stderr=err)
        deadline = time.monotonic() + 60
        while (
            not re.search(r"iteration [1-9]\d", (tmp_path / "err").read_text())
            and time.monotonic() < deadline
        ):
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped early, not converged" in out
    assert Model.load(copy / "model.json").origin["converged"] is False


def test_ctrl_c_ends_a_verification_at_once_with_nothing_written(begin, copy):
    """The tasks under way would take longer than it is waited for."""
    text = (copy / "design.toml").read_text().replace("steps = 150", "steps = 200000")
    (copy / "design.toml").write_text(text)
    (copy / "verification.json").unlink()
    process = begin("verify", copy, "--workers", "2")
    time.sleep(4)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=15)
    assert process.returncode == 130
    assert "interrupted" in err
    assert not (copy / "verification.json").exists()


@pytest.mark.slow
def test_training_from_a_model_that_fails_reports_the_price(copy, capsys, tmp_path):
    """Weights far outside δISS, in a scaling of their own, come back certified; the file they came
    from is left alone."""
    model = Model.load(copy / "model.json")
    layer = model.network.layers[0]
    loud = replace(model.network, layers=(replace(layer, U_f=8 * layer.U_f + 2.0),))
    foreign = replace(
        model, network=loud, scaling=replace(model.scaling, y_span=1.1 * model.scaling.y_span)
    )
    foreign.save(tmp_path / "foreign.json")
    text = (
        (copy / "design.toml")
        .read_text()
        .replace("cells = [3]", 'cells = [7]\nconditions = ["iss", "delta_iss"]')
    )
    (copy / "design.toml").write_text(text.replace("[search]", "[search]\nscreen = 3\nwindow = 40"))
    code, out, _ = command(
        capsys, "train", copy, "--from", tmp_path / "foreign.json", "--force", "--quiet", *ONE
    )
    assert code == 0
    found = Model.load(copy / "model.json")
    assert found.network.nx == (3,)
    assert found.scaling.y_span == foreign.scaling.y_span
    assert all(certify(found, name).holds for name in ("iss", "delta_iss"))
    words = (
        rf"from model {foreign.digest[:12]}, which failed iss, delta_iss: validation FIT"
        r" \(mean-removed\) (-?[\d.]+) → ([\d.]+) %, "
    )
    before, after = map(float, re.search(words, out).groups())
    assert after > before
    assert f"the certificates cost {before - after:.2f} points" in out
    code, _, err = command(
        capsys, "train", copy, "--from", tmp_path / "none.json", "--force", "--quiet"
    )
    assert code == 2
    assert "none.json: cannot be read" in err


def test_training_says_when_a_constant_would_do_better(copy, capsys):
    text = (copy / "design.toml").read_text().replace("iterations = 60", "iterations = 3")
    (copy / "design.toml").write_text(text)
    words = "the mean of the validation data predicts them better than this model"
    outs = []
    for offset in (0.0, 3.0):  # pH
        data = load_design(copy).records("validation")
        write_csv(
            copy / "data-validation.csv",
            replace(
                data, records=tuple(replace(r, y=r.y + offset, truth=None) for r in data.records)
            ),
        )
        code, out, _ = command(capsys, "train", copy, "--force", *ONE)
        outs.append((code, words in out))
    assert outs == [(0, False), (0, True)]


def test_training_without_a_condition_is_reported_in_json_numbers(copy, capsys):
    text = (copy / "design.toml").read_text().replace("cells = [3]", "cells = [2]\nconditions = []")
    (copy / "design.toml").write_text(text)
    code, out, _ = command(capsys, "train", copy, "--force", "--json", *ONE)
    assert code == 0
    rows = json.loads(out)["starts"]
    assert {row["margin"] for row in rows} == {None}
    assert all("no condition asked" in row["sentence"] for row in rows)
    report = read_json(copy / "training.json", "lstm_mpc training report")
    assert all(line[3] is None for start in report["starts"] for line in start["history"])
