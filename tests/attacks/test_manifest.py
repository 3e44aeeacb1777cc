"""After a release, nothing that evidence depends on can be changed: every verb refuses, naming the
first key that differs, what was judged, what stands there now, and the verb that judges anew."""

import copy
import dataclasses
import shutil
import tomllib
from functools import partial

import numpy as np
import pytest
from places import ROOT
from sealing import sealed
from toml_text import at, places, toml_text

from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.provenance.manifest import Manifest, text_of
from lstm_mpc.cli.command_line import main
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.model.model import Model
from lstm_mpc.project import design_manifest, judged
from lstm_mpc.project.artefacts import ASSURANCE, LOOP, RELEASE
from lstm_mpc.project.design import load_design
from lstm_mpc.project.design_manifest import (
    WITHOUT_EVIDENCE,
    manifest,
    of_loops,
    of_release,
    of_runs,
    table_of,
)
from lstm_mpc.project.steps import export_steps, loop_steps
from lstm_mpc.report.reading import read

SHIPPED = {name: ROOT / "models" / name for name in ("ph", "quadruple_tank")}


@pytest.fixture
def ph(tmp_path):
    """The shipped design with all its evidence."""
    folder = tmp_path / "ph"
    shutil.copytree(SHIPPED["ph"], folder, ignore=shutil.ignore_patterns("figures"))
    return folder


def edit(folder, *pairs):
    text = (folder / "design.toml").read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "design.toml").write_text(text)


def edit_of(pair, folder):
    edit(folder, pair)


def another_model(folder):
    """The shipped model under another name."""
    model = dataclasses.replace(Model.load(folder / "model.json"), name="another")
    model.save(folder / "model.json")


def import_over(folder):
    """A network that PyTorch trained in the place of the model."""
    foreign = ROOT / "examples" / "foreign" / "ph_net.npz"
    assert main(["import", str(foreign), str(folder), "--force", "--quiet"]) == 0


def other_rows(folder):
    """Validation data without their last row."""
    path = folder / "data-validation.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


ALONE, AND_AFTER = "` judges anew", "` and the steps after it judge anew"
EDITS = {  # what the design says instead: what was judged, what is there now, the verb
    ("Ts = 10.0        # [s]", "Ts = 10.0\ndelay = 120.0"): (
        "plant.delay = 0, which is 120 now",
        "record",
    ),
    ("Ts = 10.0        # [s]", "Ts = 20.0"): ("plant.Ts = 10, which is 20 now", "record"),
    ("pH = [4.5, 9.5]", "pH = [4.0, 10.0]"): (
        "safe_set.pH = [4.5, 9.5], which is [4, 10] now",
        "verify",
    ),
    ("min_fit = 95.0", "min_fit = 99.99"): (
        "release.min_fit = 95, which is 99.99 now",
        "release",
    ),
    ("min_fit = 95.0", 'controller = "tube"\nmin_fit = 95.0'): (
        "release.controller = either, which is tube now",
        "release",
    ),
    ("horizon = 20", "horizon = 21"): ("control.horizon = 20, which is 21 now", "release"),
    ("drift = 0.0025", "drift = 0.025"): ("observer.drift = 0.0025, which is 0.025 now", "release"),
}
ATTACKS = (  # what is done to the folder, and the same
    *((partial(edit_of, pair), *words) for pair, words in EDITS.items()),
    (another_model, "model = d52722c73d24, which is ", "certify"),
    (import_over, "model = d52722c73d24, which is ", "certify"),
    (other_rows, "file data-validation.csv = ", "train"),
)
VERBS = {
    "control": lambda design: loop_steps.control(design, engine="sqp"),
    "verify-loop": loop_steps.verify_loop,
    "export": lambda design: export_steps.export(design, target="onnx"),
    "pil": export_steps.pil,
}


@pytest.mark.parametrize(("attack", "difference", "step"), ATTACKS, ids=[a[1] for a in ATTACKS])
def test_what_was_changed_after_the_release_is_refused(ph, monkeypatch, attack, difference, step):
    monkeypatch.setattr(export_steps, "missing", lambda core: None)
    attack(ph)
    remedy = f"{step} {ph} --force{ALONE if step == 'release' else AND_AFTER}"
    design = load_design(ph)
    for verb, run in VERBS.items():
        with pytest.raises(Refused) as caught:
            run(design)
        (reason,) = caught.value.reasons
        assert str(caught.value).startswith(f"{verb} refused: ")
        assert reason.startswith(f"{ph}/release.json judged {difference}"), reason
        assert reason.endswith(f"; `lstm-mpc {remedy}"), reason
    stale = read(ph).files[RELEASE].stale
    assert stale.startswith((f"judged {difference}", "speaks of model d52722c73d24, but the model"))


def test_the_command_line_says_so_and_writes_nothing(ph, capsys):
    edit(ph, ("min_fit = 95.0", "min_fit = 99.99"))
    before = sorted(path.name for path in ph.iterdir())
    assert main(["export", str(ph), "--target", "onnx", "--quiet"]) == 3
    assert capsys.readouterr().err == (
        f"refused by the gate:\n  - {ph}/release.json judged release.min_fit = 95, which is 99.99"
        f" now; `lstm-mpc release {ph} --force` judges anew\n"
    )
    assert sorted(path.name for path in ph.iterdir()) == before


LAWS = {
    "mismatch x 50": ("mismatch = 0.01 ", "mismatch = 0.5 ", "mismatch = 0.01, which is 0.5 now"),
    "steps x 100": ("steps = 360", "steps = 36000", "steps = 360, which is 36000 now"),
    "another seed": ("seed = 30", "seed = 31", "seed = 30, which is 31 now"),
}


@pytest.mark.parametrize("name", LAWS)
def test_loops_under_another_law_are_refused(ph, monkeypatch, name):
    monkeypatch.setattr(export_steps, "missing", lambda core: None)
    old, new, difference = LAWS[name]
    edit(ph, (old, new))
    design = load_design(ph)
    for run in (lambda d: export_steps.export(d, target="simulink"), export_steps.pil):
        with pytest.raises(Refused) as caught:
            run(design)
        assert caught.value.reasons == (
            f"{ph}/loop-verification.json judged verify_loop.{difference};"
            f" `lstm-mpc verify-loop {ph} --force` judges anew",
        )
    assert read(ph).files[ASSURANCE].stale.startswith(f"judged verify_loop.{difference}")
    assert not read(ph).files[RELEASE].stale


def test_scenarios_make_their_own_evidence_stale_and_no_other(ph):
    edit(ph, ("duration = 3600.0", "duration = 3700.0"))
    files = read(ph).files
    assert files[LOOP].stale == (
        "judged scenario.tracking.duration = 3600, which is 3700 now; `lstm-mpc control DESIGN"
        " --force` judges anew"
    )
    assert not files[RELEASE].stale
    assert not files[ASSURANCE].stale


@pytest.mark.parametrize("name", WITHOUT_EVIDENCE)
def test_what_no_evidence_depends_on_may_change(ph, name):
    if name == "name":
        edit(ph, ('name = "ph"', 'name = "tank 7"'))
    else:
        edit(ph, ("[release]\n", '[report]\nauthor = "A. Nyone"\n\n[release]\n'))
    assert judged.passed(load_design(ph), "export").model.name == "ph"


def test_the_docs_list_what_no_evidence_depends_on():
    text = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    part = text.partition("## What a release does not depend on")[2].partition("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("- ")]
    assert rows == [f"- `{table}`: {why}." for table, why in WITHOUT_EVIDENCE.items()]


# -- every key -------------------------------------------------------------------------------------


def changed(value):
    """Another value, valid or not."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1 if np.isfinite(value) else 0.0
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, dict):
        return {**value, "x": (0.0, 1.0)}
    if isinstance(value, (list, tuple)):
        return type(value)([changed(value[0]), *value[1:]]) if value else type(value)(["x"])
    return np.asarray(value) + 1 if isinstance(value, np.ndarray) else "x"


def variants(record, where=()):
    """(where, record) for every field of a record and of the records in it, with another value."""
    for field in dataclasses.fields(record):
        value, place = getattr(record, field.name), (*where, field.name)
        if dataclasses.is_dataclass(value):
            parts = [(w, v) for w, v in variants(value, place)]
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            parts = [
                ((*w,), (*value[:k], v, *value[k + 1 :]))
                for k, item in enumerate(value)
                for w, v in variants(item, (*place, k))
            ]
        else:
            parts = [(place, changed(value))]
        for w, other in parts:
            made = copy.copy(record)
            object.__setattr__(made, field.name, other)
            yield w, made


@pytest.mark.parametrize("name", SHIPPED)
def test_every_field_of_a_design_is_judged_or_listed(name, monkeypatch):
    monkeypatch.setattr(design_manifest, "_response", lambda design: None)
    monkeypatch.setattr(design_manifest, "_files", lambda design: {})
    design = load_design(SHIPPED[name])
    before, count = manifest(design), 0
    for where, other in variants(design):
        if where[0] == "folder":
            continue
        difference = before.difference(manifest(other))
        assert difference is not None, where
        table = table_of(difference.key)
        known = of_release(difference.key) or of_loops(difference.key) or of_runs(difference.key)
        assert known or table in WITHOUT_EVIDENCE, difference.key
        count += 1
    assert count > 150
    tables = {table_of(key) for key in before.entries}
    assert tables >= set(WITHOUT_EVIDENCE) | {"plant", "verify_loop", "scenario", "observer"}


def _keys(name):
    content = tomllib.loads((SHIPPED[name] / "design.toml").read_text())
    return [(name, where) for where in places(content)]


@pytest.mark.parametrize(
    "cases",
    [
        pytest.param([case for n in SHIPPED for case in _keys(n)][3::9], id="some"),
        pytest.param(
            [case for n in SHIPPED for case in _keys(n)], marks=pytest.mark.slow, id="all"
        ),
    ],
)
def test_every_key_of_a_shipped_design_file_is_judged_or_listed(tmp_path, cases):
    for name, where in cases:
        folder = tmp_path / "design"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        content = tomllib.loads((SHIPPED[name] / "design.toml").read_text())
        before = load_design(SHIPPED[name])
        *outer, last = where
        at(content, outer)[last] = changed(at(content, where))
        (folder / "design.toml").write_text(toml_text(content))
        try:
            after = load_design(folder)
        except InputError:
            continue  # refused at once
        difference = manifest(before).difference(manifest(after))
        assert difference is not None, where
        assert of_loops(difference.key) or of_runs(difference.key) or where[0] in WITHOUT_EVIDENCE


# -- the noun --------------------------------------------------------------------------------------


def test_equal_numbers_are_equal_however_they_are_written():
    assert text_of(10) == text_of(10.0) == text_of(np.float64(10)) == "10"
    assert text_of([1, 2.5]) == text_of((1.0, 2.5)) == "[1, 2.5]"
    assert text_of(0.1) == "0.1"
    assert text_of(float("inf")) == "inf"
    assert text_of(True) == "True" != text_of(1)
    assert text_of({"b": 1, "a": None}) == '{"a": "None", "b": "1"}'


def test_a_manifest_names_the_first_difference():
    one = Manifest({"a.x": "1", "b.y": "2"})
    assert one.difference(Manifest({"b.y": "2", "a.x": "1"})) is None
    assert str(one.difference(Manifest({"a.x": "1"}))) == "b.y = 2, which is nothing now"
    assert str(Manifest({}).difference(one)) == "a.x = nothing, which is 1 now"
    assert one.part(lambda key: key != "a.x") == Manifest({"b.y": "2"})
    with pytest.raises(InputError, match="manifest: 'a' is 3, not text"):
        Manifest({"a": 3})


def test_a_release_without_a_manifest_is_refused(ph):
    release = Release.load(ph / "release.json")
    dataclasses.replace(release, manifest=None).save(ph / "release.json")
    with pytest.raises(Refused) as caught:
        judged.passed(load_design(ph), "export")
    assert caught.value.reasons == (
        f"{ph}/release.json does not say what was judged; `lstm-mpc release {ph} --force` judges"
        " anew",
    )


FORGED = {
    "another policy": lambda r: dataclasses.replace(
        r, policy=dataclasses.replace(r.policy, min_fit=50.0)
    ),
    "another safe set": lambda r: dataclasses.replace(r, safe_set=((4.0, 10.0),)),
    "another range of the inputs": lambda r: dataclasses.replace(r, u_low=np.array([13.0])),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_release_that_is_not_what_its_manifest_says_is_refused(ph, what):
    FORGED[what](Release.load(ph / "release.json")).save(ph / "release.json")
    with pytest.raises(Refused) as caught:
        judged.passed(load_design(ph), "export")
    assert caught.value.reasons == (
        f"{ph}/release.json holds {what} than its manifest names; `lstm-mpc release {ph} --force`"
        " judges anew",
    )


def fit_of(validation, value):
    """The figures of a validation with this FIT against the measured output."""
    fits = copy.deepcopy(validation.fits)
    fits["measured"]["mean_removed"] = [value]
    return fits


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda v: {"fits": fit_of(v, 99.99)},
            "a validation FIT of 99.99 %, the data and the model give 97.24 %",
        ),
        *(
            (
                lambda v, name=name, value=value: {name: value},
                f"another {name} of the validation than the data and the model give",
            )
            for name, value in (("samples", -2250), ("samples", 22500), ("seed", 1))
        ),
    ],
)
def test_another_validation_than_the_data_give_is_refused(ph, change, words):
    release = Release.load(ph / "release.json")
    other = dataclasses.replace(release.validation, **change(release.validation))
    dataclasses.replace(release, validation=other).save(ph / "release.json")
    with pytest.raises(Refused) as caught:
        judged.passed(load_design(ph), "export")
    assert caught.value.reasons == (
        f"{ph}/release.json says {words}; `lstm-mpc release {ph} --force` judges anew",
    )


def test_a_plant_without_an_end_is_another_one_without_a_warning(ph):
    edit(ph, ("Ts = 10.0", "Ts = 1e9"))
    with pytest.raises(Refused, match="plant"):
        judged.passed(load_design(ph), "export")


def test_a_design_that_was_sealed_passes(ph):
    edit(ph, ("horizon = 20", "horizon = 21"))
    sealed(ph)
    assert judged.passed(load_design(ph), "export").policy.min_fit == 95.0


def test_a_key_that_a_newer_version_knows_was_judged_at_its_default(ph):
    """Evidence of an older version says nothing of it; another value of it is a difference."""
    release = Release.load(ph / "release.json")
    older = release.manifest.part(lambda key: key not in ("train.decay", "train.kernel"))
    design = load_design(ph)
    assert judged.stale(design, RELEASE, release.manifest) == ""
    words = judged.stale(design, RELEASE, older)
    assert words.startswith("judged train.decay = nothing, which is 1e-05 now; `lstm-mpc train")
    assert judged.stale(design, RELEASE, older.part(lambda k: True)) == words
    usual = release.manifest.part(lambda key: key != "train.kernel")
    assert judged.stale(design, RELEASE, usual) == ""
