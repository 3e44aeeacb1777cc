"""Calls of the exported controller out of order, on a scratch that others wrote, in the middle of
one another: refused with a status, the input in force kept; under the sanitizers. And its header in
C++."""

import subprocess

import pytest
from builders import some
from compiling import FLAGS, built, run, tool, write
from optimum import all_at_once
from places import ROOT

from lstm_mpc.certificates.gate import Release
from lstm_mpc.codegen.c_controller import controller
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.project.design import load_design

SHIPPED = ROOT / "models" / "ph"
SANITIZED = (
    "-g",
    "-O1",
    "-finstrument-functions",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
)
CASES = ("unprepared", "twice", "overwritten", "shared", "interrupted")


@pytest.fixture(scope="module")
def sources():
    design, passed = load_design(SHIPPED), Release.load(SHIPPED / "release.json")
    return controller(passed, design.control, design.solver)


@pytest.fixture(scope="module")
def program(sources, tmp_path_factory):
    return built(tmp_path_factory.mktemp("order"), sources, "order.c", *SANITIZED)


@pytest.mark.parametrize("case", CASES)
# R2
def test_a_call_out_of_order_is_refused_and_keeps_the_input(program, case):
    run(program, case, 1)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_of_two_inputs_with_blocks_and_preview_too(mimo, tmp_path, case):
    problem = ControlProblem(**all_at_once(dead_time=20.0, blocks=(1, 1, 2, 3)))
    files = controller(mimo, problem, SolverOptions(sqp_iterations=4))
    run(built(tmp_path, files, "order.c", *SANITIZED), case, 2)


HARMS = {  # case: a protection less
    "unprepared": ("turn != PREPARED || ", ""),
    "unprepared advance": ("if (k != APPLIED) {", "if (k == BUSY) {"),
    "twice": ("set_turn(model, state, APPLIED);", "set_turn(model, state, PREPARED);"),
    "overwritten": (" && work->count <= NV", ""),
    "overwritten rows": ("fits = work->active[k] < ROWS;", "fits = fits;"),
    "shared": ("work->owner == state && ", ""),
    "interrupted": (
        "__atomic_exchange_n(&state->phase, model->crc + BUSY, __ATOMIC_RELAXED)",
        "state->phase",
    ),
}


@pytest.mark.parametrize("case", some(HARMS, "unprepared", "overwritten"))
def test_a_check_that_is_missing_is_seen(sources, tmp_path, case):
    old, new = HARMS[case]
    text = sources["ph_controller.c"]
    assert text.count(old) == 1
    files = {**sources, "ph_controller.c": text.replace(old, new)}
    program = built(tmp_path, files, "order.c", *SANITIZED)
    out = subprocess.run([program, case.split()[0], "1"], capture_output=True, timeout=120)
    assert out.returncode != 0


def test_the_header_serves_cpp(sources, tmp_path):
    """Compiled as C++ with warnings as errors, linked to the C, and run."""
    tool("g++")
    name = write(tmp_path, sources)
    (tmp_path / "board.cpp").write_text(
        f'#include "{name}.h"\n#include "{name}.h"\n'
        f"static {name}_state state;\nstatic {name}_work work;\n"
        "int main() {\n"
        f"  const {name}_real y[1] = {{7.0f}}, r[1] = {{7.0f}};\n"
        f"  {name}_real u[1] = {{15.5f}};\n"
        f"  if ({name}_init(&{name}_data, &state, y, u) != 0u) return 1;\n"
        f"  return static_cast<int>({name}_step(&{name}_data, &state, &work, y, r, u));\n}}\n"
    )
    for command in (
        ["gcc", *FLAGS, "-c", f"{name}.c", f"{name}_data.c"],
        ["g++", "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "board.cpp", f"{name}.o"]
        + [f"{name}_data.o", "-o", "board"],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    assert subprocess.run([tmp_path / "board"]).returncode == 0
