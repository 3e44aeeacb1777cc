"""The reference engine against a bare CasADi/IPOPT program of the same problem, and what it does when a solve fails."""

import casadi as ca
import numpy as np
import pytest
from builders import paper_policy, stable_model, validation_for
from conftest import WIDE
from tolerances import IPOPT_BOX, IPOPT_COST, IPOPT_INPUT, ROUND_OFF

from lstm_mpc.control import dompc
from lstm_mpc.control.dompc import DoMpc
from lstm_mpc.control.problem import Problem, coming
from lstm_mpc.proof import certify
from lstm_mpc.release import release
from lstm_mpc.scenario import verify


@pytest.fixture(scope="module")
def mimo():
    """A released random model: two inputs, two layers, two outputs."""
    model = stable_model(3, nu=2, nx=(3, 2), ny=2)
    checked = verify(model, safe_set=2 * WIDE, steps=5, settle=0)
    return release(model, [certify(model)], checked, validation_for(model), paper_policy(), safe_set=2 * WIDE)


def bare_program(controller, references, chi, before, offset):
    """Cost and first input of the problem in the docstring of `Problem`: inputs, states and violations as variables."""
    model, limits, problem = controller.release.model, controller.limits, controller.problem
    N, nu, ny, n = problem.horizon, len(model.inputs), len(model.outputs), model.sizes.n
    u, x, e = ca.SX.sym("u", nu, N), ca.SX.sym("x", n, N), ca.SX.sym("e", ny, N)
    cost, g, low, high = 0, [], [], []

    def constrain(expression, least, most):
        g.append(expression)
        low.append(np.broadcast_to(least, expression.shape[0]))
        high.append(np.broadcast_to(most, expression.shape[0]))

    for k in range(N):
        held, move = (ca.DM(chi) if k == 0 else x[:, k - 1]), u[:, k] - (before if k == 0 else u[:, k - 1])
        constrain(x[:, k] - model.step(held, u[:, k]), 0.0, 0.0)
        constrain(move, -limits.max_move, limits.max_move)
        y = model.output(x[:, k]) + offset
        constrain(y - e[:, k], -np.inf, limits.y_high)
        constrain(y + e[:, k], limits.y_low, np.inf)
        cost += ca.dot(limits.output_weight, (y - references[k + 1]) ** 2) + ca.dot(limits.move_penalty, move**2)
        cost += problem.violation_weight * ca.sum1(e[:, k])
    ipopt = {"print_level": 0, "sb": "yes", "tol": 1e-10, "bound_relax_factor": 0.0}
    variables = ca.vertcat(*map(ca.vec, (u, x, e)))
    solver = ca.nlpsol("bare", "ipopt", {"x": variables, "f": cost, "g": ca.vertcat(*g)}, {"ipopt": ipopt, "print_time": False})
    solution = solver(
        x0=np.concatenate([np.tile(before, N), np.tile(chi, N), np.zeros(ny * N)]),
        lbx=np.concatenate([np.tile(limits.u_low, N), np.full(n * N, -np.inf), np.zeros(ny * N)]),
        ubx=np.concatenate([np.tile(limits.u_high, N), np.full((n + ny) * N, np.inf)]),
        lbg=np.concatenate(low),
        ubg=np.concatenate(high),
    )
    assert solver.stats()["success"]
    return float(solution["f"]), np.asarray(solution["x"]).ravel()[:nu]


PROBLEMS = {
    "bounds": {"horizon": 12, "move_penalty": 0.01, "u_high": 15.9},
    "rates": {"horizon": 12, "move_penalty": 0.01, "max_move": 0.2},
    "soft outputs": {"horizon": 12, "move_penalty": 0.01, "y_high": 7.2, "violation_weight": 50.0},
    "one step": {"horizon": 1},
}


def compared(controller, y, u, reference, kicks):
    """Two steps from rest, the second against the bare program."""
    controller.reset(y, u)
    controller.step(y, y)
    chi, before = controller.observer.chi, controller._before
    move = controller.step(np.asarray(y) + kicks, reference)
    references = coming(reference, controller.problem.horizon, len(y))
    cost, first = bare_program(controller, references, chi, before, move.disturbance)
    assert move.optimal
    soft = np.isfinite([controller.limits.y_low, controller.limits.y_high]).sum() * controller.problem.horizon
    assert move.cost == pytest.approx(cost, rel=IPOPT_COST, abs=soft * controller.problem.violation_weight * IPOPT_BOX)
    assert move.u == pytest.approx(first, abs=IPOPT_INPUT)
    return move


@pytest.mark.parametrize("options", PROBLEMS.values(), ids=PROBLEMS)
def test_a_step_is_the_optimum_of_the_stated_problem(released, options):
    controller = DoMpc(released, Problem(**options))
    move = compared(controller, [7.0], [15.6], [7.6], 0.05)
    assert move.predicted.shape == (controller.problem.horizon + 1, 1)
    # the case is not idle: what it is named after is active
    if "u_high" in options:
        assert move.u == pytest.approx([15.9], abs=IPOPT_INPUT)
    if "max_move" in options:
        assert abs(move.u - controller.step([7.0], [7.6]).u) == pytest.approx([0.2], abs=IPOPT_INPUT)
    if "y_high" in options:
        assert move.predicted.max() == pytest.approx(7.2, abs=0.01)


def test_a_step_is_the_optimum_with_two_inputs_and_outputs_and_all_limits_at_once(mimo):
    y_rest = np.asarray(mimo.model.system.output(np.zeros(10))).ravel()
    problem = Problem(
        horizon=8, output_weight=[2.0, 1.0], move_penalty=[0.02, 0.01], max_move=[0.3, 0.5], preview=True,
        y_low=y_rest - [0.02, 1.0], y_high=y_rest + [1.0, 0.02], violation_weight=20.0,
    )  # fmt: skip
    ramp = y_rest + np.linspace(0, 1, 9)[:, None] * [[-0.2, 0.3]]
    compared(DoMpc(mimo, problem), y_rest, [1.0, 4.0], ramp, [0.05, -0.05])


def test_a_wrong_program_would_be_seen(released):
    """Must fail: a bare program with another weight disagrees by far more than the tolerance."""
    controller = DoMpc(released, Problem(horizon=6))
    controller.reset([7.0], [15.6])
    chi, before = controller.observer.chi, controller._before
    move = controller.step([7.0], [7.6])
    controller.limits.move_penalty[:] = 0.11
    cost, _ = bare_program(controller, coming([7.6], 6, 1), chi, before, move.disturbance)
    assert abs(cost - move.cost) > 1e3 * IPOPT_COST * move.cost


# -- limits and preview -----------------------------------------------------------------------------------------------


def test_bounds_and_rates_are_kept_under_a_wild_plant(mimo, rng):
    problem = Problem(horizon=5, move_penalty=0.0, u_low=[-0.5, 2.0], u_high=[2.0, 6.0], max_move=[0.4, 0.7])
    controller, before = DoMpc(mimo, problem), np.array([1.0, 4.0])
    controller.reset([0.0, -1.0], before)
    moves = [controller.step(rng.normal(0, 2, 2), rng.normal(0, 2, 2)) for _ in range(40)]
    u = np.vstack([before, [move.u for move in moves]])
    assert (u >= [-0.5, 2.0]).all()
    assert (u <= [2.0, 6.0]).all()
    assert (np.abs(np.diff(u, axis=0)) <= np.array([0.4, 0.7]) + ROUND_OFF).all()
    assert u.min(axis=0) == pytest.approx([-0.5, 2.0], abs=IPOPT_INPUT)  # they were reached
    assert np.abs(np.diff(u, axis=0)).max(axis=0) == pytest.approx([0.4, 0.7], abs=IPOPT_INPUT)


def test_a_start_outside_the_bounds_is_brought_inside_at_once(released):
    controller = DoMpc(released, Problem(horizon=5, u_high=15.0, max_move=0.1))
    controller.reset([7.0], [15.6])
    move = controller.step([7.0], [7.0])
    assert 12.5 <= move.u <= 15.0


@pytest.mark.parametrize("preview", [True, False])
def test_preview_acts_before_the_setpoint_does(released, preview):
    controller = DoMpc(released, Problem(horizon=10, move_penalty=0.01, preview=preview))
    controller.reset([7.0], [15.6])
    for _ in range(3):
        still = controller.step([7.0], [7.0]).u
    coming_soon = np.full(11, 7.0)
    coming_soon[3:] = 8.0
    moved = abs(controller.step([7.0], coming_soon).u - still)
    assert (moved > 0.05) == preview


def test_a_reset_forgets_everything(released):
    controller = DoMpc(released, Problem(horizon=5))

    def three():
        controller.reset([7.1], [15.6])
        return [float(controller.step([7.1], [7.5]).u[0]) for _ in range(3)]

    first = three()
    controller.step([9.0], [5.0])
    assert three() == pytest.approx(first, abs=IPOPT_INPUT)


# -- failure ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(released, monkeypatch):
    """A controller whose solver may be told to give up: one iteration is all it gets while `failing` is set."""
    controller = DoMpc(released, Problem(horizon=4, max_move=0.3))
    failing, solve = {"now": False}, controller._mpc.make_step

    def make_step(state):
        u = solve(state)
        if failing["now"]:
            controller._mpc.solver_stats = {"success": False, "return_status": "Infeasible_Problem_Detected"}
            controller._mpc.opt_x_num.master[:] = np.nan  # what do-mpc keeps as the next guess
            return u + 100.0  # and hands over is worthless
        return u

    monkeypatch.setattr(controller._mpc, "make_step", make_step)
    return controller, failing


def test_a_failed_solve_applies_the_last_good_plan_and_then_holds(broken):
    controller, failing = broken
    controller.reset([7.0], [15.6])
    good = controller.step([7.0], [8.0])
    plan = controller._plan.copy()
    assert good.optimal
    failing["now"] = True
    moves = [controller.step([7.0], [8.0]) for _ in range(6)]
    for move in moves:
        assert move.status == "solve failed (Infeasible_Problem_Detected); last good plan applied"
        assert not move.optimal
    applied = np.array([move.u for move in moves])
    assert applied[:3] == pytest.approx(plan[1:], abs=IPOPT_INPUT)
    assert applied[3:] == pytest.approx(np.repeat(plan[-1:], 3, axis=0), abs=IPOPT_INPUT)
    failing["now"] = False
    assert controller.step([7.0], [8.0]).optimal


@pytest.mark.parametrize("good", [0, 1])
def test_an_exception_of_the_solver_is_a_failed_solve(released, monkeypatch, good):
    controller = DoMpc(released, Problem(horizon=4, max_move=0.2))
    controller.reset([7.0], [15.6])
    for _ in range(good):
        controller.step([7.0], [8.0])
    plan = controller._plan

    def explode(state):
        raise RuntimeError("no linear solver\nat line 3")

    monkeypatch.setattr(controller._mpc, "make_step", explode)
    move = controller.step([7.0], [8.0])
    assert move.status == "solve failed (no linear solver); last good plan applied"
    assert move.u == pytest.approx(plan[1], abs=IPOPT_INPUT)
    assert move.u == pytest.approx([15.6 + 0.4 * good], abs=IPOPT_INPUT)  # the second of the plan's steady rises


def test_a_real_iteration_limit_is_noticed(released, monkeypatch):
    """do-mpc itself says nothing: it returns the last iterate of IPOPT as if it were a solution."""
    setup = dompc._import().controller.MPC.setup

    def impatient(mpc):
        mpc.settings.nlpsol_opts = {**mpc.settings.nlpsol_opts, "ipopt.max_iter": 1}
        setup(mpc)

    monkeypatch.setattr(dompc._import().controller.MPC, "setup", impatient)
    controller = DoMpc(released, Problem(horizon=6, max_move=0.3))
    controller.reset([7.0], [15.6])
    moves = [controller.step([7.0], [8.5]) for _ in range(3)]
    assert {move.status for move in moves} == {"solve failed (Maximum_Iterations_Exceeded); last good plan applied"}
    assert [move.u.tolist() for move in moves] == 3 * [[15.6]]  # there never was a plan: hold


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_a_lost_measurement_is_left_out_and_told(released, lost):
    controller = DoMpc(released, Problem(horizon=4, max_move=0.2))
    controller.reset([7.0], [15.6])
    before = controller.step([7.1], [7.5])
    move = controller.step([lost], [7.5])
    after = controller.step([7.0], [7.5])
    assert move.status == "measurement not finite; disturbance held"
    assert not move.optimal
    assert np.array_equal(move.disturbance, before.disturbance)
    assert np.isfinite([move.cost, *move.predicted.ravel()]).all()
    assert np.abs(move.u - before.u) <= 0.2 + ROUND_OFF
    assert after.optimal
    assert not np.array_equal(after.disturbance, move.disturbance)


def test_do_mpcs_growing_history_is_dropped(released, monkeypatch):
    monkeypatch.setattr(dompc, "_HISTORY", 5)
    controller = DoMpc(released, Problem(horizon=3))
    controller.reset([7.0], [15.6])
    moves = [controller.step([7.0], [7.2]) for _ in range(12)]
    assert all(move.optimal for move in moves)
    assert len(controller._mpc.data["_time"]) <= 7
