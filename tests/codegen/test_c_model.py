"""C code of the model: compiled with warnings as errors, run, deterministic, exact; folders of
others are left alone."""

import re
import shutil
import subprocess

import pytest
from builders import later, paper_policy, stable_model, validation_for

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.gate import release
from lstm_mpc.certificates.scenarios import VerifyOptions, verify
from lstm_mpc.codegen.c_model import KIND, PRODUCTS, STEPS, c_model
from lstm_mpc.errors import InputError
from lstm_mpc.io.export_folder import write_folder

SHAPES = {"siso": (0, 1, (5,), 1), "mimo": (1, 2, (4, 3), 2)}
DELAYS = (3, 0)


@pytest.fixture(scope="module")
def release_of():
    """A released model of the named shape."""

    def make(kind):
        model = stable_model(*SHAPES[kind])
        safe = [(-100.0, 100.0)] * len(model.outputs)
        evidence = verify(model, VerifyOptions(steps=20, settle=5), safe_set=safe)
        return release(
            model, [certify(model)], evidence, validation_for(model), paper_policy(), safe_set=safe
        )

    return make


needs_cc = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("make") is None, reason="no C compiler or make"
)


@needs_cc
@pytest.mark.parametrize(("kind", "delays"), [("siso", ()), ("mimo", ()), ("mimo", DELAYS)])
def test_the_self_test_passes(release_of, kind, delays, tmp_path):
    write_folder(tmp_path / "c", c_model(later(release_of(kind), delays)), kind=KIND)
    out = subprocess.run(
        ["make", "-C", str(tmp_path / "c"), "test"], capture_output=True, text=True
    )
    assert out.returncode == 0, out.stderr
    assert re.search(rf"{STEPS} steps, largest error (0|[\d.]+e-\d+) ", out.stdout)


@needs_cc
def test_a_changed_digit_fails_the_self_test(release_of, tmp_path):
    files = c_model(release_of("siso"))
    name = next(n for n in files if n.endswith("_graph.c"))
    weight = re.search(r"=(-?[1-9]\.\d{6})", files[name])[1]
    files[name] = files[name].replace(weight, weight[:-1] + ("1" if weight[-1] != "1" else "2"), 1)
    write_folder(tmp_path / "c", files, kind=KIND)
    out = subprocess.run(
        ["make", "-C", str(tmp_path / "c"), "test"], capture_output=True, text=True
    )
    assert out.returncode != 0
    assert "largest error" in out.stdout


def test_the_same_release_gives_the_same_bytes(release_of):
    assert c_model(release_of("siso")) == c_model(release_of("siso"))


def test_the_header_says_what_it_is(release_of):
    passed = release_of("siso")
    header = next(text for name, text in c_model(passed).items() if name.endswith(".h"))
    flat = re.sub(r"\s*\n \*\s*", " ", header)
    assert passed.model.digest in header
    for signal in passed.model.inputs + passed.model.outputs:
        assert signal.label in header
    for kind, sentence in passed.claims():
        assert f"{kind}: {sentence}" in flat
    assert repr(float(passed.model.scaling.y_span[0])) in header
    assert "late" not in header
    header = next(
        text for name, text in c_model(later(passed, (3,))).items() if name.endswith(".h")
    )
    assert "], 3 sample(s) late" in header
    assert "_STATES 13" in header  # ten of the network


def test_an_export_replaces_itself_even_after_a_build(tmp_path):
    write_folder(tmp_path / "c", {"a.c": "one"}, kind=KIND, products=PRODUCTS)
    (tmp_path / "c" / "a.o").write_text("built")
    write_folder(tmp_path / "c", {"a.c": "two"}, kind=KIND, products=PRODUCTS)
    assert (tmp_path / "c" / "a.c").read_text() == "two"


def test_folders_within_an_export(tmp_path):
    files = {"src/deep/a.c": "one", "src/b.c": b"two", "README.md": "three"}
    write_folder(tmp_path / "c", files, kind=KIND, products=("build/*",))
    (tmp_path / "c" / "build" / "deep").mkdir(parents=True)
    (tmp_path / "c" / "build" / "deep" / "a.o").write_text("built")
    write_folder(tmp_path / "c", {"src/b.c": "four"}, kind=KIND)
    found = {p.relative_to(tmp_path / "c").as_posix() for p in (tmp_path / "c").rglob("*")}
    assert found == {"src", "src/b.c", "manifest.json"}
    (tmp_path / "c" / "src" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"src/notes\.txt, which the export did not write"):
        write_folder(tmp_path / "c", files, kind=KIND)
    (tmp_path / "c" / "src" / "notes.txt").unlink()
    (tmp_path / "c" / "src" / "mine").symlink_to(tmp_path)
    with pytest.raises(InputError, match=r"src/mine, which the export did not write"):
        write_folder(tmp_path / "c", files, kind=KIND)
    assert (tmp_path / "c" / "src" / "b.c").read_text() == "four"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda d: (d / "notes.txt").write_text("mine"),
            "notes.txt, which the export did not write",
        ),
        (lambda d: (d / "manifest.json").unlink(), "not an earlier export"),
        (lambda d: (d / "manifest.json").write_text("{}"), "not a 'lstm_mpc C model'"),
    ],
)
def test_the_folders_of_others_are_left_alone(tmp_path, spoil, words):
    write_folder(tmp_path / "c", {"a.c": "one"}, kind=KIND)
    spoil(tmp_path / "c")
    before = sorted(p.name for p in (tmp_path / "c").iterdir())
    with pytest.raises(InputError, match=words):
        write_folder(tmp_path / "c", {"a.c": "two"}, kind=KIND)
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == before
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "c").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        write_folder(tmp_path / "c", {"a.c": "one"}, kind=KIND)


def test_a_failed_write_leaves_the_earlier_export(tmp_path, monkeypatch):
    write_folder(tmp_path / "c", {"a.c": "one"}, kind=KIND)
    monkeypatch.setattr(
        "lstm_mpc.io.artefact_file.write_json",
        lambda *_: (_ for _ in ()).throw(OSError("disk full")),
    )
    with pytest.raises(OSError, match="disk full"):
        write_folder(tmp_path / "c", {"a.c": "two"}, kind=KIND)
    assert (tmp_path / "c" / "a.c").read_text() == "one"
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
