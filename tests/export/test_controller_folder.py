"""The folder of an exported controller: self-tested before it is written, complete, built by make
and CMake, reproducible."""

import re
import subprocess

import numpy as np
import pytest
from compiling import need, tool

from lstm_mpc.assurance.clearance import clear
from lstm_mpc.codegen import compiler as machine, controller_spec
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.control.controller import Status, meanings
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError
from lstm_mpc.export import controller_folder as module, pil_bench as pil
from lstm_mpc.export.controller_folder import KIND, PRODUCTS, bundle
from lstm_mpc.export.golden import SAMPLES, golden
from lstm_mpc.io.export_folder import write_folder

PROBLEM = ControlProblem(horizon=8, move_penalty=0.02, max_move=0.8, y_low=6.0, y_high=9.0)
BUDGET = SolverOptions(sqp_iterations=5)


@pytest.fixture(scope="module")
def vectors(released):
    return golden(ControllerSpec(released, PROBLEM, BUDGET), u_start=[15.5])


@pytest.fixture(scope="module")
def cleared(released):
    return clear(ControllerSpec(released, PROBLEM, BUDGET))


@pytest.fixture(scope="module")
def made(cleared):
    need("host")
    return bundle(cleared, u_start=[15.5])  # with golden vectors of its own


@pytest.fixture
def folder(made, tmp_path):
    write_folder(
        tmp_path / "controller", made.files, kind=KIND, products=PRODUCTS, facts=made.facts
    )
    return tmp_path / "controller"


def test_golden_vectors_hold_what_a_controller_meets(vectors):
    assert vectors.run.y.shape == (SAMPLES, 1)
    assert set(vectors.status & ~np.uint32(Status.BUDGET)) == {
        0,
        Status.MEASUREMENT_INVALID,
        Status.SETPOINT_INVALID,
    }
    assert np.abs(np.diff(vectors.u, axis=0)).max() == pytest.approx(0.8)  # the rate limit was met
    assert np.abs(vectors.u - vectors.ipopt).max() < 1e-3 * vectors.span


def test_everything_is_there(made):
    assert set(made.files) == {
        "ph_model_controller.h",
        "ph_model_controller.c",
        "ph_model_controller_data.c",
        "selftest.c",
        "Makefile",
        "CMakeLists.txt",
        "README.md",
    }
    assert not any(re.search(r"@\w+@", text) for text in made.files.values())
    page = made.files["README.md"]
    assert all(words in page for words in meanings(measured=False).values())
    assert "proved" in page
    assert made.facts["agreement"]["double"]["to_python"] < 1e-10
    assert made.facts["agreement"]["float"]["to_ipopt"] < 1e-3
    assert made.facts["agreement"]["float"]["margin_iss"] > 0


def test_its_own_test_passes_and_a_changed_answer_fails_it(folder):
    out = subprocess.run(["make", "-C", str(folder), "test"], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert out.stdout.count("largest |du|") == 2
    text = (folder / "selftest.c").read_text()
    first = re.search(r"expected\[SAMPLES\].*?\{\n  \{([\d.]+)", text, re.S)[1]
    (folder / "selftest.c").write_text(text.replace(first, repr(float(first) + 0.1), 1))
    out = subprocess.run(["make", "-C", str(folder), "test"], capture_output=True, text=True)
    assert out.returncode != 0


def test_cmake_builds_and_tests_it(folder):
    tool("cmake")
    for command in (
        ["cmake", "-S", ".", "-B", "build"],
        ["cmake", "--build", "build"],
        ["ctest", "--test-dir", "build"],
    ):
        out = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert out.returncode == 0, out.stdout + out.stderr
    # of one test; releases of ctest word the rest in their own ways
    assert "100% tests passed" in out.stdout
    assert "Passed" in out.stdout


def test_the_same_input_gives_the_same_bytes(cleared, made, vectors, monkeypatch):
    monkeypatch.setattr(module, "golden", lambda *arguments, **options: vectors)
    assert bundle(cleared, u_start=[15.5]) == made


def test_code_that_answers_otherwise_is_not_exported(cleared, monkeypatch, vectors):
    need("host")
    monkeypatch.setattr(module, "golden", lambda *arguments, **options: vectors)
    real = controller_spec.controller

    def wrong(*arguments):
        return {
            n: t.replace(".observer_gain = R(0.6)", ".observer_gain = R(0.5)")
            for n, t in real(*arguments).items()
        }

    monkeypatch.setattr(controller_spec, "controller", wrong)
    with pytest.raises(
        InputError, match=r"the C does not answer as the controller in Python does .*refused"
    ):
        bundle(cleared, u_start=[15.5])  # the checksum sees it first

    def blind(*arguments):
        return {
            n: t.replace("crc_of(model) == model->crc", "crc_of(model) != 0u")
            for n, t in wrong(*arguments).items()
        }

    monkeypatch.setattr(controller_spec, "controller", blind)
    with pytest.raises(
        InputError, match=r"does not answer as .*largest \|du\| .*; nothing is exported"
    ):
        bundle(cleared, u_start=[15.5])


def test_what_single_precision_decides_otherwise_has_a_remedy(cleared, monkeypatch, vectors):
    need("host")
    monkeypatch.setattr(module, "golden", lambda *arguments, **options: vectors)
    monkeypatch.setattr(module, "TOLERANCE", {"double": 1e-9, "float": 1e-30})
    remedy = r"nothing is exported\. In double precision it does: .* give more sqp_iterations and a"
    with pytest.raises(InputError, match=remedy):
        bundle(cleared, u_start=[15.5])


def test_without_a_compiler_there_is_no_export(cleared, monkeypatch, vectors):
    monkeypatch.setattr(module, "golden", lambda *arguments, **options: vectors)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="there is no C compiler; `pip install"):
        bundle(cleared, u_start=[15.5])


def test_without_the_tools_for_arm_the_page_says_so(cleared, monkeypatch, vectors):
    need("host")
    monkeypatch.setattr(module, "golden", lambda *arguments, **options: vectors)
    monkeypatch.setattr(pil, "missing", lambda core: "gone")
    made = bundle(cleared, u_start=[15.5])
    assert made.facts["target"] is None
    assert "the tools for Arm were missing" in made.files["README.md"]


def test_the_table_is_measured_on_the_target(made):
    need(module.CORE)
    assert 5000 < made.facts["target"]["flash"] < 12000
    assert (
        made.facts["target"]["instructions"]["all"]["max"]
        > made.facts["target"]["instructions"]["feedback"]["mean"]
        > 0
    )
    assert f"Flash {made.facts['target']['flash']} bytes" in made.files["README.md"]
