"""`prove-loop`: what it writes, prints and refuses, and what the report says of it."""

import json
import shutil
import time

import pytest
from places import ROOT
from sealing import sealed
from verbs import command

from lstm_mpc.assurance.loop_proof import LoopProof
from lstm_mpc.directory import Project
from lstm_mpc.report.reading import read
from lstm_mpc.report.sections.proof import proof_blocks

SHIPPED = ROOT / "models" / "ph"
SECONDS = 20.0


@pytest.fixture
def design(tmp_path):
    """The shipped design with a terminal cost."""
    folder = tmp_path / "ph"
    folder.mkdir()
    text = (SHIPPED / "design.toml").read_text(encoding="utf-8")
    assert "[control]\n" in text
    text = text.replace("[control]\n", "[control]\nterminal = true\n")
    (folder / "design.toml").write_text(text, encoding="utf-8")
    for name in ("model.json", "release.json", "data-training.csv", "data-validation.csv"):
        shutil.copy(SHIPPED / name, folder)
    sealed(folder)
    return folder


def words(blocks):
    return " ".join(str(block) for block in blocks)


def test_the_proof_is_written_said_and_reported(design, capsys):
    began = time.process_time()
    code, out, _ = command(capsys, "prove-loop", design, "--quiet")
    assert time.process_time() - began < SECONDS
    assert code == 0
    proof = LoopProof.load(design / "loop-proof.json")
    assert proof.holds
    assert out.startswith(f"proved → {design / 'loop-proof.json'}\nproved: for every state")
    assert "\nproved if: proved with the state known; with the filter" in out
    assert "  (1 − δ)D − MᵀDM − L ≻ 0: " in out
    assert "  inside: rate limits, which the terminal law keeps\n" in out
    assert "  outside: setpoints on or beyond a soft bound\n" in out
    shown = words(proof_blocks(read(design)))
    assert "for every state in the invariant set" in shown
    assert "Proved if more holds: proved with the state known" in shown
    assert "prove-loop" in Project(design).steps()
    code, _, err = command(capsys, "prove-loop", design, "--quiet")
    assert (code, err) == (2, f"error: {design / 'loop-proof.json'}: exists; --force replaces it\n")
    code, out, _ = command(capsys, "prove-loop", design, "--quiet", "--json", "--force")
    assert (code, json.loads(out)["horizon"]) == (0, 20)


def test_a_proof_of_other_options_is_stale(design, capsys):
    assert "Not there yet: `lstm-mpc prove-loop DESIGN` makes loop-proof.json" in words(
        proof_blocks(read(design))
    )
    command(capsys, "prove-loop", design, "--quiet")
    path = design / "design.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("horizon = 20", "horizon = 19"))
    shown = words(proof_blocks(read(design)))
    assert "speaks of another [control], [observer] or [solver]" in shown
    assert "for every state" not in shown


def test_without_a_terminal_cost_there_is_no_proof_and_no_section(design, capsys):
    path = design / "design.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("terminal = true\n", ""))
    sealed(design)
    code, out, err = command(capsys, "prove-loop", design, "--quiet")
    assert (code, out) == (2, "")
    assert err == (
        "error: prove-loop: the problem has no terminal cost, so its loop is no theorem; set"
        " terminal = true in [control]\n"
    )
    assert not (design / "loop-proof.json").exists()
    assert proof_blocks(read(design)) == []
    assert "prove-loop" not in Project(design).steps()


def test_setpoints_out_of_reach_are_counted_where_the_loop_is_shown(design, capsys):
    path = design / "design.toml"
    text = path.read_text(encoding="utf-8")
    text = text[: text.index("[[scenario]]")]
    text += '[[scenario]]\nname = "far"\nduration = 60.0\nsetpoint = [[0, 12.0]]\n'
    path.write_text(text, encoding="utf-8")
    code, out, _ = command(capsys, "control", design, "--engine", "sqp", "--quiet")
    assert code == 0
    assert "far: 6 sample(s): setpoint out of reach; nearest steady output followed" in out
