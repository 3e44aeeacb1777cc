"""`run`: a folder of its own that nothing of others is deleted from, a report where a gate refuses,
and an end where Ctrl-C ends it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from documents import added
from places import ROOT

from lstm_mpc.cli.command_line import main
from lstm_mpc.directory import Project
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.io import parallel
from lstm_mpc.project import artefacts
from lstm_mpc.project.artefacts import MARKER, Options, begin_run, mark
from lstm_mpc.project.steps import check_steps
from lstm_mpc.report.comparison import names_of
from lstm_mpc.report.reading import read
from lstm_mpc.report.verdict import in_plain_words, verdict

SHIPPED = ROOT / "models" / "ph"
DESIGN = '[plant]\nkind = "ph"\n'
FORCE = Options(force=True)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "design"
    folder.mkdir()
    (folder / "design.toml").write_text(DESIGN)
    return folder


@pytest.fixture
def out(source, tmp_path):
    """The folder of a run that got as far as its model."""
    folder = tmp_path / "out"
    begin_run(source, folder, ["design.toml"], Options())
    (folder / "model.json").write_text("a step wrote this")
    mark(folder, folder / "model.json")
    return folder


def test_a_run_replaces_what_an_earlier_one_wrote_and_nothing_else(source, out):
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="out: is not empty; --force replaces an earlier run"):
        begin_run(source, out, ["design.toml"], Options())
    begin_run(source, out, ["design.toml"], FORCE)
    assert {path.name for path in out.iterdir()} == {"design.toml", MARKER, "notes.txt"}
    assert (out / "notes.txt").read_text() == "mine"


def test_a_folder_without_the_marker_is_never_replaced(source, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.json").write_text("of somebody")
    with pytest.raises(InputError, match=r"other: is not the folder of a run \(it holds no run"):
        begin_run(source, other, ["design.toml"], FORCE)
    assert [path.name for path in other.iterdir()] == ["model.json"]


@pytest.mark.parametrize("name", ["model.json", "release.json", "design.toml"])
def test_a_file_that_no_step_wrote_stops_a_forced_run(source, out, name):
    (out / name).write_text("of somebody")
    with pytest.raises(InputError, match=f"{name}: is not what a step of the run wrote, and"):
        begin_run(source, out, ["design.toml"], FORCE)
    assert (out / name).read_text() == "of somebody"
    assert (out / "model.json").exists()


def test_a_marker_cannot_name_files_elsewhere(source, out, tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    artefacts.artefact_file.write_json(
        out / MARKER, "lstm_mpc run", {"files": {"../precious.txt": "0"}}
    )
    with pytest.raises(InputError, match=r"\.\./precious.txt lies outside the folder; delete it"):
        begin_run(source, out, ["design.toml"], FORCE)
    assert (tmp_path / "precious.txt").exists()


def test_data_outside_the_design_are_not_copied(source, tmp_path):
    with pytest.raises(InputError, match=r"\.\./log.csv lies outside the design directory"):
        begin_run(source, tmp_path / "new", ["design.toml", "../log.csv"], Options())
    assert not (tmp_path / "new").exists()


def test_ctrl_c_in_a_step_that_keeps_its_result_ends_the_run(source, tmp_path, monkeypatch, capsys):
    """Training ends at its best model, which is kept; certify does not begin."""

    def train(self, origin=None):
        parallel._interruptions += 1
        (self.folder / "model.json").write_text("the best so far")

    monkeypatch.setattr(Project, "steps", lambda self: ("train", "certify", "verify"))
    monkeypatch.setattr(Project, "train", train)
    monkeypatch.setattr(Project, "certify", lambda self: pytest.fail("went on"))
    monkeypatch.setattr("lstm_mpc.cli.answers.answer", lambda *_: _nothing())
    code = main(["run", str(source), "--out", str(tmp_path / "out"), "--quiet"])
    err = capsys.readouterr().err
    assert code == 130
    assert err == (
        f"error: interrupted; what train had found is kept in {tmp_path / 'out'}, and certify,"
        " verify were not run\n"
    )
    assert (tmp_path / "out" / "model.json").exists()


def _nothing():
    from lstm_mpc.cli.words import Answer

    return Answer(())


@pytest.fixture
def refused(tmp_path):
    """The shipped design under a policy that it does not meet, before the gate was asked."""
    folder = shutil.copytree(SHIPPED, tmp_path / "ph", ignore=added)
    text = (folder / "design.toml").read_text()
    assert "min_fit = 95.0" in text
    (folder / "design.toml").write_text(text.replace("min_fit = 95.0", "min_fit = 99.9"))
    (folder / "release.json").unlink()
    return folder


@pytest.mark.usefixtures("undrawn")
def test_where_the_gate_refuses_the_report_says_why(refused):
    with pytest.raises(Refused) as error:
        Project(refused)._run_step("release")
    page = (refused / "report.html").read_text()
    assert error.value.__notes__ == [f"what was seen until then: {refused / 'report.html'}"]
    assert "Not released: the gate refuses, validation FIT 97.24 %" in page
    assert "below the 99.9 % of the policy" in page


def test_the_verdict_of_a_design_that_was_never_released_is_the_gates(refused):
    kind, sentence, claims = verdict(read(refused))
    assert (kind, claims) == ("bad", ())
    assert sentence.startswith("Not released: the gate refuses, validation FIT 97.24 %")
    (refused / "verification.json").unlink()  # now it cannot be asked
    kind, sentence, _ = verdict(read(refused))
    assert (kind, sentence) == (
        "open",
        "Not released yet: the next step is `lstm-mpc release DESIGN`",
    )


@pytest.mark.usefixtures("undrawn")
def test_a_refused_controller_is_part_of_the_verdict(tmp_path, capsys):
    folder = shutil.copytree(SHIPPED, tmp_path / "ph", ignore=added)
    text = (folder / "design.toml").read_text()
    text = text.replace("min_fit = 95.0", 'min_fit = 95.0\ncontroller = "scenario"')
    (folder / "design.toml").write_text(text)
    (folder / "loop-verification.json").unlink()
    Project(folder, FORCE).release()
    assert main(["report", str(folder), "--json", "--quiet"]) == 0
    answer = json.loads(capsys.readouterr().out)["verdict"]
    assert answer.startswith("Released: every check of the policy passed; its controller is not to")
    assert "refused by the gate" in (folder / "report.html").read_text()


@pytest.mark.usefixtures("undrawn")
def test_the_report_begins_with_what_it_means_and_whose_it_is(tmp_path):
    folder = shutil.copytree(SHIPPED, tmp_path / "ph", ignore=added)
    with (folder / "design.toml").open("a") as file:
        file.write('\n[report]\nplant = "Tank <3>"\nauthor = "A. Person"\nrevision = "B"\n')
    page = Project(folder).report().html
    assert "Plant: Tank &lt;3&gt; · Author: A. Person · Revision: B</p>" in page
    words = in_plain_words(read(folder))
    assert f"<p>{words}</p>" in page.replace("&#39;", "'")
    assert page.index(words[:40]) < page.index('<p class="verdict')
    assert words.startswith("This report is about a model that predicts pH from q3, and about the")
    assert "Every check that was asked for has passed" in words
    assert "the model keeps pH in [5.545, 9.215] pH; that is proved" in words
    assert not re.search("[α-ωΑ-Ω*]", words)


def test_a_refused_design_is_not_to_be_used_in_plain_words(refused):
    assert "the controller must not be used before" in in_plain_words(read(refused))


def test_designs_of_one_name_are_told_apart(tmp_path, capsys):
    one, other = (
        shutil.copytree(SHIPPED, tmp_path / name / "ph", ignore=added) for name in ("a", "b")
    )
    assert names_of(read(one), read(other)) == (f"ph ({one})", f"ph ({other})")


def test_a_path_with_a_space_is_quoted_in_the_command_that_is_advised(tmp_path, capsys):
    assert main(["train", str(tmp_path / "my design")]) == 2
    assert f"`lstm-mpc new '{tmp_path / 'my design'}' --data log.csv`" in capsys.readouterr().err


def test_what_is_missing_names_the_command_that_writes_it(source, capsys):
    assert main(["certify", str(source)]) == 2
    assert "model.json: cannot be read" in (err := capsys.readouterr().err)
    assert "`lstm-mpc train` writes the lstm_mpc model" in err


def test_the_checker_without_arguments_says_how_it_is_called():
    call = [sys.executable, str(ROOT / "examples" / "04_check_certificate.py")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    usage = "usage: python 04_check_certificate.py model.json certificate-delta_iss.json"
    assert done.stderr.strip() == f"{usage} [more]"


@pytest.fixture
def done(source, tmp_path, monkeypatch):
    """A design, and where `run` left what it computed: a model."""
    monkeypatch.chdir(tmp_path)
    begin_run(source, place := artefacts.run_folder(source), ["design.toml"], Options())
    shutil.copy(SHIPPED / "model.json", place)
    return place


def test_the_report_of_a_design_is_that_of_its_run(source, done, capsys):
    """As in `run DIR && report DIR`, and again: a page follows from what lies beside it."""
    assert done == Path("runs") / "design"
    assert main(["report", str(source), "--quiet"]) == 0
    assert f"→ {done / 'report.html'}" in capsys.readouterr().out
    assert not (source / "report.html").exists()
    assert main(["report", str(done), "--quiet"]) == 0
    (done / "report.html").write_text("of somebody")
    assert main(["report", str(source), "--quiet"]) == 2
    assert f"{done / 'report.html'}: exists; --force" in capsys.readouterr().err


def test_a_run_of_another_design_is_not_that_of_this_one(source, done):
    assert artefacts.results_of(source) == done
    (source / "design.toml").write_text(DESIGN + "# edited since\n")
    assert artefacts.results_of(source) == source
    (done / "design.toml").write_text(DESIGN + "# edited since\n")
    assert artefacts.results_of(source) == done
    shutil.copy(SHIPPED / "model.json", source)
    assert artefacts.results_of(source) == source


def test_what_a_run_left_is_named_where_it_is_missed(source, done, capsys):
    assert main(["certify", str(source)]) == 2
    said = capsys.readouterr().err
    assert f"computed of this design lies in {done}: lstm-mpc certify {done}" in said
    assert main(["certify", str(source / "elsewhere")]) == 2
    assert "computed of this design" not in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_a_refusal_names_what_in_the_data_may_be_the_reason(refused):
    """A log says what the gate does not: what is left of the output, what the records lack."""
    with (refused / "design.toml").open("a") as file:
        file.write('\n[log]\nfiles = ["log.csv"]\n')
    with pytest.raises(Refused) as error:
        Project(refused)._run_step("release")
    notes = error.value.__notes__[1:]
    assert notes[0].startswith("the data: what is left of pH still follows q3: the model lacks")
    assert all(note.startswith("the data: ") for note in notes)


def test_what_still_follows_an_input_is_named_and_one_that_never_moved_is_not():
    still = SimpleNamespace(explained=((0.5, 0.0), (0.0, 0.5)))
    pair = [SimpleNamespace(name=name) for name in ("a", "b")]
    model = SimpleNamespace(inputs=pair, outputs=pair)
    words = check_steps._left(model, still, [0, 1], [True, False])
    assert words[0].startswith("what is left of a still follows a: the model lacks dynamics")
    assert words[1].startswith("what is left of b follows no input")
    assert check_steps._left(model, still, [0, 1], [False, False]) == []
