"""`verify-loop` and the gate it serves: evidence, no evidence, replays, refusals, and exports that
say what cleared them."""

import json
from dataclasses import replace

import pytest
from compiling import need
from places import ROOT
from sealing import sealed, sealed_loop
from verbs import command

from lstm_mpc.certificates.evidence import LoopVerification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.cli import console, words_loop
from lstm_mpc.cli.command_line import main
from lstm_mpc.cli.words_loop import agreement
from lstm_mpc.io.artefact_file import read_json
from lstm_mpc.project.design import load_design

SHIPPED = ROOT / "models" / "ph"
SHORT = {
    'epsilon = 1e-2\nbeta = 1e-6\nrule = "exact" ': 'epsilon = 0.3\nbeta = 0.05\nrule = "exact" ',
    "steps = 360": "steps = 25",
    "settle = 60 ": "settle = 10 ",
}


@pytest.fixture(scope="session")
def passed():
    return Release.load(SHIPPED / "release.json")


@pytest.fixture
def design(tmp_path, passed):
    """The shipped design where nine short scenarios are enough, and are asked for."""
    need("host")
    folder, text = tmp_path / "ph", (SHIPPED / "design.toml").read_text()
    for long, short in SHORT.items():
        assert long in text
        text = text.replace(long, short)
    folder.mkdir()
    asked = '[release]\ncontroller = "scenario"\nepsilon = 0.3\nbeta = 0.05\n'
    head, _, tail = text.partition("[release]\n")
    for line in ("epsilon = 1e-2\n", "beta = 1e-6\n"):
        tail = tail.replace(line, "", 1)
    (folder / "design.toml").write_text(head + asked + tail)
    sealed(folder, replace(passed, policy=load_design(folder).release))
    return folder


def test_evidence_clears_the_controller_and_the_manifest_says_so(design, capsys, monkeypatch):
    monkeypatch.setattr(console, "_QUIET", 0.0)  # the first line of progress at once
    code, out, err = command(capsys, "export", design, "--target", "simulink", "--quiet")
    assert (code, out) == (3, "")
    assert (
        err == "refused by the gate:\n  - the closed loop was never verified; `lstm-mpc verify-loop"
        f" {design}` does\n"
    )
    code, out, err = command(capsys, "verify-loop", design, "--workers", "1")
    assert code == 0
    assert err.startswith(
        "verify-loop[                    ]   0%     0 s  the gate, and the C compiled\n"
    )
    found = LoopVerification.load(design / "loop-verification.json")
    assert (found.scenarios, found.safe) == (9, True)
    for words in (
        f"N = 9 closed loops of 25 steps, seed 30 → {design / 'loop-verification.json'}",
        "sampled: with confidence 1−0.05 at most 0.3 of all closed loops of 25 steps",
        "error after 10 quiet samples at most",
        (
            f"the claimed set is {found.reach:.3f} of the safe set, within it; no input beyond its"
            " limits"
        ),
        "flags of the controller in 225 samples:",
        f"scenario {found.worst}: pH",
        "the same to the bit as",
    ):
        assert words in out
    assert {path.name for path in (design / "figures").iterdir()} == {
        f"loop-number-{found.worst}.{kind}" for kind in ("png", "svg")
    }
    assert not (design / "loop-verification.parts").exists()
    code, _, err = command(capsys, "verify-loop", design, "--quiet")
    assert (code, err) == (
        2,
        f"error: {design / 'loop-verification.json'}: exists; --force replaces it\n",
    )
    code, out, err = command(capsys, "export", design, "--target", "simulink", "--quiet")
    assert (code, err) == (0, "")
    assert "cleared by what is sampled: with confidence" in out
    folder = design / "simulink"
    cleared = read_json(folder / "manifest.json", "lstm_mpc Simulink S-function")["cleared"]
    kind, words = next(pair for pair in cleared if pair[0] == "sampled")
    assert kind == "sampled"
    assert "of all closed loops of 25 steps" in words


def test_too_few_scenarios_are_no_evidence(design, capsys):
    code, out, _ = command(capsys, "verify-loop", design, "--scenarios", "3", "--quiet")
    assert code == 0
    assert (
        "NO EVIDENCE: 3 closed loops show how it works; ε = 0.3, β = 0.05 need 9, and the gate asks"
        " for them" in out
    )
    assert "sampled" not in out
    code, _, err = command(capsys, "export", design, "--target", "fmu", "--quiet")
    assert code == 3
    assert "3 closed loops cannot carry ε = 0.3, β = 0.05; 9 are needed" in err


def test_a_loop_that_leaves_the_safe_set_is_refused_and_can_be_looked_at(design, capsys):
    assert main(["verify-loop", str(design), "--quiet", "--workers", "1"]) == 0
    found = LoopVerification.load(design / "loop-verification.json")
    sealed_loop(design, replace(found, reach=1.5, violation=0.1, violator=2))
    code, _, err = command(capsys, "export", design, "--target", "controller", "--quiet")
    assert code == 3
    replay = f"`lstm-mpc verify-loop {design} --replay {found.worst}`"
    assert (
        "the claimed set pH in [3.250, 10.750] pH leaves the safe set pH in [4.500, 9.500] pH; see"
        f" it: {replay}" in err
    )
    assert (
        f"an input was moved 0.1 beyond its limits; see it: `lstm-mpc verify-loop {design}"
        " --replay 2`" in err
    )
    for model_only in ("c", "onnx"):
        assert main(["export", str(design), "--target", model_only, "--quiet"]) == 0
    capsys.readouterr()
    code, out, err = command(capsys, *replay.strip("`").split()[1:])
    assert (code, out) == (3, "")  # a replay that is not what the record says is an error
    assert (
        f"{design}/loop-verification.json says that scenario {found.worst} needs 1.500 of the safe"
        f" set; run again, number {found.worst} needs {found.reach:.3f}; `lstm-mpc verify-loop"
        f" {design} --force` judges anew" in err
    )


def test_a_replay_needs_no_evidence(design, capsys):
    code, out, _ = command(capsys, "verify-loop", design, "--replay", "5", "--json")
    assert code == 0
    content = json.loads(out)
    assert content["index"] == 5
    assert content["metrics"]["scenario"] == "number 5"
    assert (design / "figures" / "loop-number-5.png").exists()
    assert not (design / "loop-verification.json").exists()


@pytest.mark.parametrize("options", [(), ("--replay", "3")])
def test_a_design_without_a_law_says_what_is_missing(design, capsys, options):
    text = (design / "design.toml").read_text()
    (design / "design.toml").write_text(text[: text.index("[verify_loop]")])
    code, _, err = command(capsys, "verify-loop", design, "--quiet", *options)
    assert (code, err) == (
        2,
        f"error: {design}: verify-loop needs a [plant] and a [verify_loop] table in design.toml\n",
    )


@pytest.mark.parametrize("arguments", [("--replay", "-1"), ("--replay", "x"), ("--scenarios", "0")])
def test_numbers_that_are_none(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(["verify-loop", "models/ph", *arguments])
    assert caught.value.code == 2
    assert f"argument {arguments[0]}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reach", "words"),
    [
        (0.5, "the same to the bit as"),
        (0.5 + 1e-7, "the same to single precision as"),
    ],
)
def test_a_replay_is_held_against_the_evidence(reach, words):
    assert agreement(reach, 0.5) == words


def test_no_error_at_rest_where_nothing_was_at_rest():
    assert words_loop._settled(0.0, 30) == "never without a change for 30 samples"
    assert words_loop._settled(0.02, 30) == "error after 30 quiet samples at most 0.020"
