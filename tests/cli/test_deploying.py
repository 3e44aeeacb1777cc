"""The verbs that put a release to use: other engines, exports of every target, the processor in the
loop."""

import json

import pytest
from builders import some
from compiling import need
from places import ROOT
from sealing import sealed
from verbs import command

from lstm_mpc.assurance.mpc import ENGINES
from lstm_mpc.io.artefact_file import read_json
from lstm_mpc.io.targets import targets
from lstm_mpc.project.steps import export_steps

SHIPPED = ROOT / "models" / "ph"
SHORT = """
[[scenario]]
name = "step"
duration = 300.0
setpoint = [[0, 7.0], [50, 7.6]]
noise = 0.01

[[scenario]]
name = "late"
duration = 200.0
setpoint = [[0, 7.0], [50, 7.3]]
delay = 20.0
"""


@pytest.fixture
def design(tmp_path):
    """The shipped design with two short scenarios."""
    folder = tmp_path / "ph"
    folder.mkdir()
    text = (SHIPPED / "design.toml").read_text()
    (folder / "design.toml").write_text(text[: text.index("[[scenario]]")] + SHORT)
    sealed(folder)
    return folder


@pytest.mark.parametrize("engine", some(ENGINES, "sqp", "c"))
def test_every_engine_drives_the_loop_alike(design, capsys, engine):
    need("host")
    code, out, err = command(capsys, "control", design, "--engine", engine, "--quiet")
    assert (code, err) == (0, "")
    content = read_json(design / "closed-loop.json", "lstm_mpc closed loop")
    assert content["engine"] == engine
    iae = [run["metrics"]["iae"] for run in content["runs"]]
    # on the tank itself; a single pass loses a sample at a large jump
    assert iae == pytest.approx([26.72, 10.19], rel=0.1), out
    assert all(run["metrics"]["offset"] < 0.02 for run in content["runs"])
    # told once, not sample by sample
    assert ("sample(s): budget used up" in out) == (engine != "dompc")
    assert all(run["metrics"]["failures"] == 0 for run in content["runs"])


@pytest.mark.parametrize("target", some(tuple(targets()), "c", "onnx", "simulink", "arduino"))
def test_every_target_is_exported_but_not_over_other_files(design, capsys, monkeypatch, target):
    need("host")
    how = "--json" if target == "controller" else "--quiet"  # its figures are JSON as well
    code, out, err = command(capsys, "export", design, "--target", target, how)
    assert (code, err) == (0, "")
    assert str(design / target) in out
    if target == "controller":
        manifest = read_json(design / target / "manifest.json", "lstm_mpc C controller")
        assert manifest["solver"]["sqp_iterations"] == 2
        assert manifest["agreement"]["double"]["to_python"] < 1e-10
        assert (
            manifest["model"]
            == read_json(design / "release.json", "lstm_mpc release")["certificates"][0]["model"]
        )
    (design / target / "notes.txt").write_text("mine")
    monkeypatch.delattr(export_steps, "cleared_of")  # refused before the work
    code, _, err = command(capsys, "export", design, "--target", target, "--quiet")
    assert code == 2
    assert "notes.txt" in err


@pytest.mark.slow
def test_pil_runs_every_scenario_on_the_cores_asked_for(design, capsys):
    need("host", "cortex-m4f", "cortex-m7")
    code, out, err = command(
        capsys, "pil", design, "--core", "cortex-m4f", "--core", "cortex-m7", "--json"
    )
    assert (code, err) == (0, "")
    content = json.loads(out)
    assert set(content["cores"]) == {"cortex-m4f", "cortex-m7"}
    assert [row["dead_time"] for row in content["cores"]["cortex-m4f"]] == [0.0, 20.0]
    assert [row["samples"] for row in content["cores"]["cortex-m4f"]] == [30, 20]
    assert (
        read_json(design / "pil.json", "lstm_mpc processor in the loop")["cores"]
        == content["cores"]
    )
    code, _, err = command(capsys, "pil", design)
    assert code == 2
    assert "--force replaces it" in err


@pytest.mark.slow
def test_a_core_that_answers_otherwise_is_an_error(design, capsys, monkeypatch):
    need("host", "cortex-m4f")
    text = (design / "design.toml").read_text()
    (design / "design.toml").write_text(text[: text.rindex("[[scenario]]")])  # one is enough
    monkeypatch.setattr(
        export_steps, "differences", lambda one, other: "run 0, sample 3: other bits"
    )
    code, _, err = command(capsys, "pil", design, "--core", "cortex-m4f", "--quiet")
    assert code == 1
    assert "cortex-m4f does not compute the host's bits: run 0, sample 3" in err
    assert not (design / "pil.json").exists()


def test_a_missing_tool_chain_is_one_sentence(design, capsys, monkeypatch):
    monkeypatch.setattr(
        export_steps,
        "missing",
        lambda core: f"{core}: gcc is missing; `apt-get install gcc` brings it",
    )
    code, _, err = command(capsys, "pil", design)
    assert code == 2
    assert "pil: host: gcc is missing; `apt-get install gcc` brings it" in err
