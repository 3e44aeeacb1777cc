"""Two designs side by side: the numbers of both, what differs, what is missing."""

import json
import shutil
from dataclasses import replace

import pytest
from dossiers import design_of, valid
from sealing import sealed

from lstm_mpc.certificates.gate import Release
from lstm_mpc.cli.command_line import main
from lstm_mpc.cli.words_check import WIDEST, columns
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.model.model import Model
from lstm_mpc.project.design import load_design
from lstm_mpc.project.design_manifest import manifest, of_runs
from lstm_mpc.report import comparison
from lstm_mpc.report.reading import read


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return design_of(tmp_path_factory.mktemp("one") / "one", nu=1, nx=(3,), ny=1, title="one")


@pytest.fixture
def other(one, tmp_path):
    """The same model without a tube, with other settings and a second scenario."""
    folder = shutil.copytree(one, tmp_path / "other")
    (folder / "tubes.json").unlink()
    text = (folder / "design.toml").read_text()
    (folder / "design.toml").write_text(
        text.replace("'one'", "'other'").replace("horizon = 4", "horizon = 5\nmax_move = [0.5]")
    )
    loop = artefact_file.read_json(folder / "closed-loop.json", "lstm_mpc closed loop")
    loop["runs"][0]["metrics"]["iae"] = 12.5
    loop["runs"].append(
        {**loop["runs"][0], "metrics": {**loop["runs"][0]["metrics"], "scenario": "only here"}}
    )
    loop["manifest"] = manifest(load_design(folder)).part(of_runs)
    artefact_file.write_json(folder / "closed-loop.json", "lstm_mpc closed loop", loop)
    sealed(folder, Release.load(folder / "release.json"))
    return folder


def test_numbers_of_both(one, other):
    rows = {what: values for what, *values in comparison.numbers(read(one), read(other))}
    model = Model.load(one / "model.json")
    assert rows["verdict"] == ["Released", "Released"]
    assert rows["model"] == 2 * [model.digest[:12]]
    assert rows["parameters"] == 2 * [str(model.sizes.parameters)]
    assert rows["iss: δ, proved"][0] == rows["iss: δ, proved"][1] != "–"
    assert rows["y1: width of the tube [m], proved"][0] != "–"
    assert rows["y1: width of the tube [m], proved"][1] == "–"
    assert rows["step: IAE"][1] == "12.5"
    assert {
        "step: inadmissible inputs",
        "step: output beyond its soft bounds",
        "step: travel",
    } <= rows.keys()
    assert not any(what.startswith("only here") for what in rows)
    assert next(iter(rows)) == "verdict"
    groups = [what.partition(":")[0] for what in rows]
    assert groups.index("iss") < groups.index("step")


def test_settings_that_differ(one, other):
    rows = [
        ("name", "one", "other"),
        ("control.horizon", "4", "5"),
        ("control.max_move", "–", "[0.5]"),
    ]
    assert sorted(comparison.settings(read(one), read(other))) == sorted(rows)
    assert comparison.settings(read(one), read(one)) == []


def test_tables_of_tables_are_told_by_their_names():
    rows = [{"name": "step", "duration": 1.0}, {"duration": 2.0}]
    found = dict(comparison._flat({"scenario": rows, "search": {"starts": 4}}))
    assert found == {
        "scenario step: name": "step",
        "scenario step: duration": 1.0,
        "scenario 2: duration": 2.0,
        "search.starts": 4,
    }


def test_stale_evidence_counts_as_missing(one, other):
    model = Model.load(other / "model.json")
    replace(model, name="anew").save(other / "model.json")
    rows = {what: values for what, *values in comparison.numbers(read(one), read(other))}
    assert rows["verdict"] == ["Released", "Not released"]
    assert rows["iss: δ, proved"][1] == "–"
    assert rows["ρ* of the model [normalised], sampled"][1] == "–"
    assert "step: IAE" not in rows


def test_other_signals_are_refused(one, pytestconfig):
    ph = pytestconfig.rootpath / "models" / "ph"
    with pytest.raises(
        InputError,
        match=(
            r"compare: .*one has u1 \[V\] → y1 \[m\], .*ph has q3 \[mL/s\] → pH \[pH\]; only"
            r" designs of the same"
        ),
    ):
        comparison.render_comparison(read(one), read(ph))


def test_the_verb(one, other, tmp_path, capsys):
    for folder in (other, alone := tmp_path / "alone"):
        alone.mkdir(exist_ok=True)
        shutil.copy(one / "model.json", alone)
        for file in (
            "verification.json",
            "closed-loop.json",
            "training.json",
            "data-validation.csv",
            "data-validation-2.csv",
            "data-training.csv",
        ):
            (folder / file).unlink(missing_ok=True)
    assert main(["compare", str(alone), str(alone), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "same settings" in out
    assert f"→ {alone}/compare-alone.html" in out
    assert main(["compare", str(alone), str(alone)]) == 2
    assert "compare-alone.html: exists; --force replaces it" in capsys.readouterr().err
    assert (
        main(["compare", str(alone), str(other), "--json", "--out", str(tmp_path / "c.html")]) == 0
    )
    content = json.loads(capsys.readouterr().out)
    assert content["names"] == ["one", "other"]
    assert content["numbers"]["verdict"] == ["Not released yet", "Not released"]  # files are gone
    assert content["settings"]["control.horizon"] == ["–", "5"]
    valid((tmp_path / "c.html").read_text())


def test_columns_stand_under_each_other():
    long = 60 * "x"
    assert columns([("a", "bb"), (long, "c")]) == [
        "a".ljust(WIDEST) + "  bb",
        long[: WIDEST - 1] + "…  c",
    ]
