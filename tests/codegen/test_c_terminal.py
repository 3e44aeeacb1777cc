"""The terminal cost of the exported controller: its twin in Python, the decrease that is proved,
and what it refuses."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from builders import released_of
from compiling import WARNINGS, compiled, tool, write
from decrease import largest_rise
from places import ROOT

from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.control.controller import Status, status_rows
from lstm_mpc.control.engines.sqp import SolverOptions, Sqp
from lstm_mpc.control.engines.supervisor import closing_of
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.terminal.sensitivity import SINGLE, held
from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model

PH = {"move_penalty": 0.0045, "max_move": 1.0, "y_low": 5.8, "y_high": 9.2}
TANK = {"move_penalty": 1.0, "max_move": 0.4, "y_low": 2.0, "y_high": 18.0}
FILTER = KalmanTuning(noise=0.02, drift=0.0025, max_disturbance=1.1)
REAL_TIME = SolverOptions(sqp_iterations=2, qp_iterations=20, line_search_steps=1, tolerance=0.03)
CASES = {  # model, problem
    "open loop": ("ph", {**PH, "horizon": 8}),
    "filter": ("ph", {**PH, "horizon": 12, "observer": FILTER, "dead_time": 20.0}),
    "preview": ("ph", {**PH, "horizon": 8, "preview": True}),
    "blocks": ("quadruple_tank", {**TANK, "horizon": 12, "blocks": (1, 2, 3, 6)}),
    "two outputs": ("quadruple_tank", {**TANK, "horizon": 6, "output_weight": [1.0, 4.0]}),
}


@pytest.fixture(scope="module")
def passed():
    return {
        n: released_of(Model.load(ROOT / "models" / n / "model.json"))
        for n in ("ph", "quadruple_tank")
    }


def spec_of(passed, name, options, solver=REAL_TIME):
    return ControllerSpec(passed[name], ControlProblem(terminal=True, **options), solver)


@pytest.mark.parametrize("case", CASES)
# R8, R10, R13
def test_in_double_precision_it_is_its_twin(passed, case):
    """Setpoints within reach and beyond, measurements with noise, and one that is none."""
    spec = spec_of(passed, *CASES[case])
    made, twin = compiled(spec.sources, double=True), Sqp(spec.release, spec.problem, spec.solver)
    mid, span = spec.model.scaling.y_mid, spec.model.scaling.y_span
    reach, rng, seen = spec.limits.u_high - spec.limits.u_low, np.random.default_rng(3), Status(0)
    y, rows = mid + 0.2 * span, spec.ahead + 1
    made.reset(y, spec.u_start)
    twin.reset(y, spec.u_start)
    for k in range(60):
        if k % 12 == 0:
            aims = mid + span * rng.uniform(-0.9, 0.9, (2, len(mid)))
        aim = np.where(np.arange(rows)[:, None] < rows - k % 12, aims[0], aims[1])
        measured = np.full(len(mid), np.nan) if k == 30 else y
        move, expected = made.step(measured, aim), twin.step(measured, aim)
        assert move.flags == expected.flags, k
        np.testing.assert_allclose(move.u / reach, expected.u / reach, rtol=0, atol=1e-6)
        assert move.cost == pytest.approx(expected.cost, rel=1e-3, abs=1e-9)
        seen |= move.flags
        y = expected.predicted[1] + 0.003 * span * rng.normal(size=len(mid))
    assert Status.OUT_OF_REACH in seen


def test_an_output_without_a_weight_is_refused(passed):
    with pytest.raises(InputError, match=r"output_weight = \[1.0, 0.0\] must be above 0"):
        _ = spec_of(passed, "quadruple_tank", {**TANK, "output_weight": [1.0, 0.0]}).sources


@pytest.mark.parametrize(
    ("name", "options", "solver"),
    [
        ("ph", {**PH, "horizon": 1}, REAL_TIME),
        ("ph", {**PH, "horizon": 8}, SolverOptions(1, 2, 0, 0.03)),
        ("quadruple_tank", {**TANK, "horizon": 10, "blocks": (1, 2, 7)}, REAL_TIME),
    ],
    ids=["one sample", "small budget", "blocks"],
)
# R13
def test_the_cost_falls_by_what_the_sample_costs_in_single_precision(passed, name, options, solver):
    spec = spec_of(passed, name, options, solver)
    assert largest_rise(spec, compiled(spec.sources)).worst <= 1.0


# R13
def test_without_a_terminal_cost_it_rises(passed):
    spec = spec_of(passed, "ph", {**PH, "horizon": 8})
    spec = replace(spec, problem=replace(spec.problem, terminal=False))
    assert largest_rise(spec, compiled(spec.sources)).worst > 1000.0


def spoilt(spec, name, old, new):
    """The controller with one line of its C changed."""
    files = dict(spec.sources)
    assert files[name].count(old) == 1
    return compiled({**files, name: files[name].replace(old, new)})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("accepted = cost <= work->cost;", "accepted = true;"),
        ("*last = state->target[NCHI + i] +", "*last = model->v_low[i] +"),
        ("return sum + end_cost(c, &outputs[N * NY]);", "return sum;"),
    ],
    ids=["takes any plan", "does not close the plan", "no end"],
)
# R13
def test_a_controller_that_breaks_the_rule_is_caught_by_the_same_test(passed, old, new):
    spec = spec_of(passed, "ph", {**PH, "horizon": 3}, SolverOptions(1, 1, 0, 0.03))
    broken = spoilt(spec, f"{spec.name}.c", old, new)
    assert largest_rise(spec, broken).worst > 10.0


# R13
def test_a_setpoint_out_of_reach_is_flagged_and_the_nearest_output_followed(passed):
    spec = spec_of(passed, "ph", {**PH, "horizon": 8, "y_high": np.inf})
    controller = compiled(spec.sources)
    controller.reset([8.0], [16.5])
    moves = [controller.step([np.nan], [12.0]) for _ in range(80)]
    assert all(Status.OUT_OF_REACH in move.flags for move in moves)
    assert moves[-1].u == pytest.approx(spec.limits.u_high, abs=1e-4)
    assert Status.OUT_OF_REACH not in controller.step([np.nan], [7.5]).flags
    (row,) = [row for row in status_rows("X", spec.meanings) if row[0] == Status.OUT_OF_REACH]
    assert row[1:] == ("X_OUT_OF_REACH", "setpoint out of reach; nearest steady output followed")
    plain = replace(spec, problem=replace(spec.problem, terminal=False))
    assert Status.OUT_OF_REACH not in plain.meanings


def syntax(compiler, *arguments):
    command = [tool(compiler), "-std=c99", "-fsyntax-only", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


# R11, R13
def test_it_is_not_retuned(passed, tmp_path):
    spec = spec_of(passed, "ph", {**PH, "horizon": 4})
    write(tmp_path, spec.sources)
    at = tmp_path / f"{spec.name}.c"
    done = syntax("gcc", f"-D{spec.name.upper()}_RETUNE", at)
    assert done.returncode != 0
    assert "the proof of the loop speaks of these limits and weights" in done.stderr


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
# R10
def test_it_builds_without_a_warning(passed, tmp_path, case, compiler):
    spec = spec_of(passed, *CASES[case])
    write(tmp_path, spec.sources)
    files = [tmp_path / f"{spec.name}.c", tmp_path / f"{spec.name}_data.c"]
    done = syntax(compiler, *WARNINGS, *files)
    assert done.returncode == 0, done.stderr


def test_what_rounding_costs_is_printed_small_enough_to_say_something(passed):
    """Beside the absolute bound of a V that can be 600 000."""
    spec = spec_of(passed, "ph", {**PH, "horizon": 20, "observer": FILTER})
    closing = closing_of(spec.model, spec.limits, spec.problem)
    single = held(spec.model, spec.limits, closing, 20, unit=SINGLE)
    assert single.floor < 1e-4
    assert single.share < 1e-5
    assert (single.gap < 0.05).all()
