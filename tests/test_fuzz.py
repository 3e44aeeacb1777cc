"""Every reader against spoilt files: a value or one sentence. A few hundred each by default, ten
thousand with `-m slow`; see fuzz.py."""

import json
import shutil

import numpy as np
import pytest
from fuzz import TABLE, Reader, Trap, attempt, bounded, fuzz, readers, spoilt, tiny
from hypothesis import given, settings, strategies as st

from lstm_mpc.cli.command_line import main
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.model.model import Model

EVIDENCE = (
    "certificate",
    "verification",
    "tubes",
    "release",
    "loop-verification",
    "training report",
    "closed loop",
    "pil",
)
NAMES = (
    "design",
    "data",
    "raw log",
    "model",
    *EVIDENCE,
    "campaign part",
    "manifest",
    "npz",
    "safetensors",
    "onnx",
    "keras",
    "h5",
)
# times as long a file as the others take
DEAR = {"design": 4, "release": 2, "npz": 2, "onnx": 2, "keras": 4, "h5": 4}
DESIGN = """
[[input]]
name = "u1"
unit = "V"
low = -1.0
high = 3.0
nominal = 0.5
[[output]]
name = "y1"
unit = "m"
low = -100.0
high = 100.0
[search]
transient = 2
[verify]
radii = [1.0]
steps = 5
[release]
conditions = ["iss", "delta_iss"]
output_set = "either"
min_fit = -1e9
"""


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    return readers(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A design of the smallest model with everything that `certify`, `release`, `export` and
    `control` read."""
    folder, nouns = tmp_path_factory.mktemp("finished"), tiny()
    (folder / "design.toml").write_text(DESIGN)
    (folder / "data-validation.csv").write_text(TABLE)
    for name, noun in nouns.items():
        if name != "certificate":
            noun.save(folder / f"{name}.json")
    assert main(["certify", str(folder), "--quiet"]) == 0
    return folder


def test_every_reader_is_here(every):
    assert set(every) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_spoilt_files_are_read_or_refused_in_one_sentence(every, name, tmp_path):
    report = fuzz(every[name], 100 // DEAR.get(name, 1), tmp_path, seed=1)
    assert not report.failures, report.failures[:5]
    assert report.counts["refused"] > 0
    assert not Trap.sprung.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_many_spoilt_files_are_read_or_refused_in_one_sentence(every, name, tmp_path):
    report = fuzz(every[name], 400 // DEAR.get(name, 1), tmp_path, seed=2)
    assert not report.failures, report.failures[:5]
    assert not Trap.sprung.exists()


def test_the_fuzzer_finds_what_it_looks_for(tmp_path, monkeypatch):
    """A reader of each bad kind is caught."""

    def hangs(path):
        while True:
            pass

    def lacks(path):
        return {}["x"]

    def wordy(path):
        raise InputError("x" * 3000)

    def swells(path):
        return bytearray(2**31)

    monkeypatch.setattr("fuzz.SECONDS", 0.1)
    for kind, read in (("traceback", lacks), ("hang", hangs), ("not one sentence", wordy)):
        assert attempt(read, tmp_path)[0] == kind
    with bounded():
        assert attempt(swells, tmp_path)[1].startswith("MemoryError")
    report = fuzz(Reader("bad", "a.txt", lacks, (b"text",)), 3, tmp_path)
    assert (report.counts, len(report.failures)) == ({"traceback": 3}, 3)
    assert report.failures[0].startswith(
        "bad, seed 0, number 0 (bytes): KeyError: 'x' at test_fuzz.py:"
    )


json_trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=6,
)
FIELDS = ("name", "Ts", "inputs", "outputs", "scaling", "network", "origin")


@settings(deadline=None, derandomize=True, max_examples=20)
@given(tree=st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=6), json_trees, max_size=8))
def test_any_json_with_a_good_digest_is_no_model(tree, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.json"
    artefact_file.write_json(
        path,
        Model.kind,
        {key: value for key, value in tree.items() if key not in ("kind", "format", "digest")},
    )
    with pytest.raises(InputError, match=r"any\.json: is not a usable model"):
        Model.load(path)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(
    data=st.binary(max_size=60)
    | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_any_bytes_are_refused_by_every_reader(every, data, tmp_path_factory):
    for reader in every.values():
        path = tmp_path_factory.getbasetemp() / "bytes" / reader.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        kind, words = attempt(reader.read, path)
        # a part without content is made again
        assert kind == "refused" or (kind == "read" and reader.name == "campaign part"), words


# -- the command line on top -----------------------------------------------------------------------

VERBS = {
    "model.json": ("certify", "release"),
    "certificate-iss.json": ("release",),
    "certificate-delta_iss.json": ("release",),
    "verification.json": ("release", "reach"),
    "tubes.json": ("release",),
    "data-validation.csv": ("release",),
    "design.toml": ("certify", "release"),
    "release.json": ("export --target onnx", "control"),
    "loop-verification.json": ("export --target simulink",),
}


@pytest.mark.parametrize("count", [25, pytest.param(600, marks=pytest.mark.slow)])
def test_verbs_on_spoilt_artefacts_say_one_sentence_and_leave_the_rest_alone(
    finished, tmp_path, capsys, count
):
    folder, codes = tmp_path / "design", set()
    for number in range(count):
        rng = np.random.default_rng([3, number])
        name = list(VERBS)[rng.integers(len(VERBS))]
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(finished, folder)
        tree = {".json": "json", ".csv": "csv", ".toml": "toml"}[(folder / name).suffix]
        how, data = spoilt(
            rng, Reader(name, name, Model.load, ((folder / name).read_bytes(),), tree)
        )
        (folder / name).write_bytes(data)
        for words in VERBS[name]:
            before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
            verb, *options = words.split()
            quiet = [
                str(folder),
                *options,
                "--quiet",
                "--force",
                *(["--json"] if rng.integers(2) else []),
            ]
            code = main([verb, *quiet])
            out, err = capsys.readouterr()
            where = f"number {number} ({name}, {how}): {words}: {err}"
            assert code in (0, 2, 3), where
            codes.add(code)
            if code:
                head, *reasons = err.splitlines()
                assert (
                    head.startswith("error: ") if code == 2 else head == "refused by the gate:"
                ), where
                assert (not reasons) if code == 2 else reasons, where
                assert all(line.startswith("  - ") for line in reasons), where
                assert json.loads(out)["error"] if "--json" in quiet else not out, where
                assert {
                    path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()
                } == before, where
    assert codes == {0, 2, 3}
