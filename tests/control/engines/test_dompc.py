"""The reference engine against the plain program of the same problem, and what it does when a solve
fails."""

from dataclasses import replace

import numpy as np
import pytest
from optimum import KICK, PROBLEMS, RAMP, Y_REST, all_at_once, compared, not_idle
from tolerances import IPOPT_BOX, IPOPT_COST, IPOPT_INPUT, ROUND_OFF

from lstm_mpc.control.controller import Status
from lstm_mpc.control.engines import dompc
from lstm_mpc.control.engines.dompc import DoMpc
from lstm_mpc.control.problem import ControlProblem


def agrees(controller, *arguments):
    """A step beside the plain program: the same cost and the same input."""
    found = compared(controller, *arguments)
    assert found.move.optimal
    limits = controller.limits
    bounded = np.isfinite([limits.y_low, limits.y_high]).sum(axis=0)
    slack = controller.problem.horizon * float(bounded @ limits.violation_weight) * IPOPT_BOX
    assert found.move.cost == pytest.approx(found.cost, rel=IPOPT_COST, abs=slack)
    np.testing.assert_allclose(found.plan, found.best, atol=IPOPT_INPUT)
    return found


@pytest.mark.parametrize("options", PROBLEMS.values(), ids=PROBLEMS)
def test_a_step_is_the_optimum_of_the_stated_problem(released, options):
    controller = DoMpc(released, ControlProblem(**options))
    found = agrees(controller, [7.0], [15.6], [7.6], 0.05)
    assert found.move.predicted.shape == (controller.problem.horizon + 1, 1)
    not_idle(options, found, IPOPT_INPUT)


def test_a_step_is_the_optimum_with_two_inputs_and_outputs_and_all_limits_at_once(mimo):
    agrees(DoMpc(mimo, ControlProblem(**all_at_once())), Y_REST, [1.0, 4.0], RAMP, KICK)


def test_a_step_is_the_optimum_where_inputs_fall_slower_than_they_rise(mimo):
    problem = ControlProblem(**all_at_once(max_move=[0.3, np.inf], max_move_down=[0.04, 0.06]))
    found = agrees(DoMpc(mimo, problem), Y_REST, [1.0, 4.0], RAMP, KICK)
    moves = np.diff(np.vstack([found.before, found.plan]), axis=0)
    assert (moves.min(axis=0) < [-0.0399, -0.0599]).any()  # it falls as fast as it may ...
    assert moves.max() > 0.06  # ... and rises faster


def test_a_step_is_the_optimum_with_an_input_that_has_a_target(mimo):
    resting = {"input_target": [1.6, np.nan], "input_weight": 0.02}
    agrees(DoMpc(mimo, ControlProblem(**all_at_once(**resting))), Y_REST, [1.0, 4.0], RAMP, KICK)


def test_a_step_is_the_optimum_under_unequal_delays(late_mimo):
    agrees(DoMpc(late_mimo, ControlProblem(**all_at_once())), Y_REST, [1.0, 4.0], RAMP, KICK)


def test_a_wrong_program_would_be_seen(released):
    """Must fail: a plain program with another weight disagrees by far more than the tolerance."""
    controller = DoMpc(released, ControlProblem(horizon=6))
    other = replace(controller.limits, move_penalty=np.array([0.11]))
    found = compared(controller, [7.0], [15.6], [7.6], 0.0, limits=other)
    assert abs(found.cost - found.move.cost) > 1e3 * IPOPT_COST * found.move.cost


# -- limits and preview ----------------------------------------------------------------------------


def test_bounds_and_rates_are_kept_under_a_wild_plant(mimo, rng):
    problem = ControlProblem(
        horizon=5, move_penalty=0.0, u_low=[-0.5, 2.0], u_high=[2.0, 6.0], max_move=[0.4, 0.7]
    )
    controller, before = DoMpc(mimo, problem), np.array([1.0, 4.0])
    controller.reset([0.0, -1.0], before)
    moves = [controller.step(rng.normal(0, 2, 2), rng.normal(0, 2, 2)) for _ in range(40)]
    u = np.vstack([before, [move.u for move in moves]])
    assert (u >= [-0.5, 2.0]).all()
    assert (u <= [2.0, 6.0]).all()
    assert (np.abs(np.diff(u, axis=0)) <= np.array([0.4, 0.7]) + ROUND_OFF).all()
    assert u.min(axis=0) == pytest.approx([-0.5, 2.0], abs=IPOPT_INPUT)  # they were reached
    assert np.abs(np.diff(u, axis=0)).max(axis=0) == pytest.approx([0.4, 0.7], abs=IPOPT_INPUT)


def test_a_start_outside_the_bounds_is_taken_for_the_nearest_within(released):
    """Actuators saturate: what is in force cannot lie outside, whatever is said."""
    controller = DoMpc(released, ControlProblem(horizon=5, u_high=15.0, max_move=0.1))
    controller.reset([7.0], [15.6])
    move = controller.step([7.0], [7.0])
    assert 14.9 - ROUND_OFF <= move.u <= 15.0


@pytest.mark.parametrize("preview", [True, False])
def test_preview_acts_before_the_setpoint_does(released, preview):
    controller = DoMpc(released, ControlProblem(horizon=10, move_penalty=0.01, preview=preview))
    controller.reset([7.0], [15.6])
    for _ in range(3):
        still = controller.step([7.0], [7.0]).u
    coming_soon = np.full(11, 7.0)
    coming_soon[3:] = 8.0
    moved = abs(controller.step([7.0], coming_soon).u - still)
    assert (moved > 0.05) == preview


def test_a_reset_forgets_everything(released):
    controller = DoMpc(released, ControlProblem(horizon=5))

    def three():
        controller.reset([7.1], [15.6])
        return [float(controller.step([7.1], [7.5]).u[0]) for _ in range(3)]

    first = three()
    controller.step([9.0], [5.0])
    assert three() == pytest.approx(first, abs=IPOPT_INPUT)


# -- failure ---------------------------------------------------------------------------------------


@pytest.fixture
def broken(released, monkeypatch):
    """A controller whose solver may be told to give up: one iteration is all it gets while
    `failing` is set."""
    controller = DoMpc(released, ControlProblem(horizon=4, max_move=0.3))
    failing, solve = {"now": False}, controller._mpc.make_step

    def make_step(state):
        u = solve(state)
        if failing["now"]:
            controller._mpc.solver_stats = {
                "success": False,
                "return_status": "Infeasible_Problem_Detected",
            }
            controller._mpc.opt_x_num.master[:] = np.nan  # what do-mpc keeps as the next guess
            return u + 100.0  # and hands over is worthless
        return u

    monkeypatch.setattr(controller._mpc, "make_step", make_step)
    return controller, failing


def test_a_failed_solve_applies_the_last_good_plan(broken):
    controller, failing = broken
    controller.reset([7.0], [15.6])
    good = controller.step([7.0], [8.0])
    plan = controller._plan.copy()
    assert good.optimal
    failing["now"] = True
    moves = [controller.step([7.0], [8.0]) for _ in range(4)]
    for move in moves:
        assert move.flags == Status.SOLVE_FAILED
        assert move.status == "solve failed; last good plan applied (Infeasible_Problem_Detected)"
        assert not move.optimal
    assert np.array([move.u for move in moves]) == pytest.approx(plan, abs=ROUND_OFF)
    failing["now"] = False
    assert controller.step([7.0], [8.0]).optimal


@pytest.mark.parametrize("good", [0, 1])
def test_an_exception_of_the_solver_is_a_failed_solve(released, monkeypatch, good):
    controller = DoMpc(released, ControlProblem(horizon=4, max_move=0.2))
    controller.reset([7.0], [15.6])
    for _ in range(good):
        controller.step([7.0], [8.0])
    plan = controller._plan.copy()

    def explode(state):
        raise RuntimeError("no linear solver\nat line 3")

    monkeypatch.setattr(controller._mpc, "make_step", explode)
    move = controller.step([7.0], [8.0])
    assert move.status == "solve failed; last good plan applied (no linear solver)"
    assert move.u == pytest.approx(plan[0], abs=ROUND_OFF)
    assert move.u == pytest.approx(
        [15.6 + 0.4 * good], abs=IPOPT_INPUT
    )  # the second of the plan's steady rises


def test_a_real_iteration_limit_is_noticed(released, monkeypatch):
    """do-mpc itself says nothing: it returns the last iterate of IPOPT as if it were a solution."""
    monkeypatch.setitem(dompc.IPOPT, "ipopt.max_iter", 1)
    controller = DoMpc(released, ControlProblem(horizon=6, max_move=0.3))
    controller.reset([7.0], [15.6])
    moves = [controller.step([7.0], [8.5]) for _ in range(3)]
    assert {move.status for move in moves} == {
        "solve failed; last good plan applied (Maximum_Iterations_Exceeded)"
    }
    assert [move.u.tolist() for move in moves] == 3 * [[15.6]]  # there never was a plan: hold


def test_do_mpcs_growing_history_is_dropped(released, monkeypatch):
    monkeypatch.setattr(dompc, "_HISTORY", 5)
    controller = DoMpc(released, ControlProblem(horizon=3))
    controller.reset([7.0], [15.6])
    moves = [controller.step([7.0], [7.2]) for _ in range(12)]
    assert all(move.optimal for move in moves)
    assert len(controller._mpc.data["_time"]) <= 7
