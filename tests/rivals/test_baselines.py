"""The rivals: PI and its tuning, the controller that knows everything, linear MPC."""

from dataclasses import replace
from types import SimpleNamespace

import builders
import casadi as ca
import numpy as np
import pytest
from builders import first_order, limits_of as bounds
from hypothesis import given, settings, strategies as st
from rivals import plain_nlp
from rivals.ideal import Ideal
from rivals.linear_mpc import LinearMpc
from rivals.pi import Pi, total_iae, tune_pi
from tolerances import IPOPT_INPUT, OFFSET, ROUND_OFF

from lstm_mpc.control.controller import FullInformation, Status
from lstm_mpc.control.delay_line import Line
from lstm_mpc.control.engines.sqp import Sqp
from lstm_mpc.control.faults import Fault
from lstm_mpc.control.limits import limits
from lstm_mpc.control.loop_metrics import metrics
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.ph import Plant

TS = 10.0
STEP = Scenario("step", Steps((0.0, 20.0), [7.0, 7.6]), 300.0)


# -- PI --------------------------------------------------------------------------------------------


def test_pi_begins_without_a_bump():
    pi = Pi(2.0, 50.0, Ts=TS, limits=bounds())
    pi.reset([3.0], [4.0])
    assert pi.step([3.0], [3.0]).u == [4.0]
    pi.reset([3.0], [4.0])
    # the integral part alone, no kick
    assert pi.step([3.0], [4.0]).u == pytest.approx([4.0 + 2.0 * TS / 50.0 * 1.0])
    assert pi.step([3.5], [4.0]).u == pytest.approx([4.4 + 2.0 * (0.5 - 1.0 + TS / 50.0 * 0.5)])


class Winding:
    """Must fail: the position form, whose integral goes on while the input is at its bound."""

    def __init__(self, Kc, Ti, limits):
        self.Kc, self.Ti, self.limits, self.integral = Kc, Ti, limits, 0.0

    def step(self, error):
        self.integral += TS / self.Ti * error
        return np.clip(
            self.Kc * (error + self.integral), self.limits.u_low[0], self.limits.u_high[0]
        )


def test_pi_does_not_wind_up():
    pi, winding = Pi(2.0, 50.0, Ts=TS, limits=bounds(move=100.0)), Winding(2.0, 50.0, bounds())
    pi.reset([0.0], [0.0])
    for _ in range(100):
        at_bound = pi.step([0.0], [5.0]).u, winding.step(5.0)
    assert at_bound == ([10.0], 10.0)
    back = [(float(pi.step([0.0], [-1.0]).u[0]), float(winding.step(-1.0))) for _ in range(20)]
    assert back[0][0] < 10.0
    assert back[-1] == (0.0, 10.0)


@settings(max_examples=50, deadline=None)
@given(
    Kc=st.floats(-100, 100),
    Ti=st.floats(0.1, 1e4),
    y=st.lists(st.floats(-1e6, 1e6) | st.just(np.nan), min_size=1, max_size=20),
    start=st.floats(-20, 20),
)
def test_pi_keeps_bounds_and_rates_whatever_it_measures(Kc, Ti, y, start):
    held, pi = bounds(), Pi(Kc, Ti, Ts=TS, limits=bounds())
    pi.reset(y[:1], [start])
    before = np.clip(start, 0.0, 10.0)
    for value in y:
        move = pi.step([value], [1.0])
        assert 0.0 <= move.u[0] <= 10.0
        assert abs(move.u[0] - before) <= held.max_move[0] + ROUND_OFF
        before = move.u[0]


def test_what_pi_cannot_believe_leaves_the_input():
    pi = Pi(2.0, 50.0, Ts=TS, limits=bounds())
    pi.reset([3.0], [4.0])
    first = pi.step([3.0], [3.5])
    lost = pi.step([np.nan], [3.5])
    assert (lost.u, lost.flags) == (first.u, Status.MEASUREMENT_INVALID)
    assert pi.step([101.0], [3.5]).flags == Status.MEASUREMENT_INVALID
    kept = pi.step([3.0], [np.nan])
    assert kept.flags == Status.SETPOINT_INVALID
    assert kept.u == pytest.approx(first.u + 2.0 * TS / 50.0 * 0.5)  # the last setpoint stands


@pytest.mark.parametrize("wrong", [(np.nan, 10.0), (1.0, 0.0), (1.0, np.inf)])
def test_a_pi_that_cannot_be_is_refused(wrong):
    with pytest.raises(
        InputError,
        match=r"PI: Kc must be a number, Ti and Ts a positive number of seconds, got .*, 10\.0$",
    ):
        Pi(*wrong, Ts=TS, limits=bounds())


def test_pi_is_for_one_input_and_one_output():
    with pytest.raises(InputError, match=r"PI: for one input and one output, got 2 and 2"):
        Pi(1.0, 10.0, Ts=TS, limits=bounds(signals=2))


# -- its tuning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [0.5, -2.0])
def test_the_tuning_finds_the_optimum_that_is_known(gain):
    """A first-order plant is brought to its setpoint in one sample by the PI that cancels its pole;
    no other loses only one sample. The first error is known before the step, so the kick acts."""
    pole, scenario = 0.8, Scenario("s", Steps((0.0, 20.0), [0.0, 1.0]), 300.0)
    found = tune_pi(
        first_order(pole, gain), [scenario], limits=bounds(-100.0, 100.0, 1000.0), u_start=[0.0]
    )
    assert found.Kc == pytest.approx(pole / (gain * (1 - pole)), rel=0.02)
    assert found.Ti == pytest.approx(TS * pole / (1 - pole), rel=0.02)
    assert found.iae == pytest.approx(TS, rel=0.05)


def test_the_tuning_sees_what_the_loop_sees(released):
    plant, held = Plant(uncertain=True).system(), limits(released, ControlProblem(max_move=0.5))
    disturbed = Steps((0.0, 50.0), [[16.6, 0.55], [16.4, 0.6]])
    hard = {"noise": 0.05, "delay": 20.0, "valve_lag": 15.0, "mismatch": 0.02}
    scenarios = [
        replace(STEP, **hard, seed=1),
        replace(STEP, **hard, seed=2, duration=150.0, disturbances=disturbed),
    ]
    gains = [(1.0, 40.0), (3.0, 20.0)]
    found = total_iae(plant, scenarios, *np.array(gains).T, limits=held, u_start=[15.6])
    for (Kc, Ti), total in zip(gains, found, strict=True):
        runs = [
            simulate_closed_loop(plant, Pi(Kc, Ti, Ts=TS, limits=held), scenario, u_start=[15.6])
            for scenario in scenarios
        ]
        assert total == pytest.approx(sum(metrics(run, band=0.1)["iae"] for run in runs), rel=1e-9)


def test_what_is_tuned_together_has_one_chain(plant):
    with pytest.raises(
        InputError,
        match=r"need one delay and one valve lag \[s\], got \[\(0\.0, 0\.0\), \(10\.0, 0\.0\)\]",
    ):
        tune_pi(plant, [STEP, replace(STEP, delay=10.0)], limits=bounds(12.5, 17.0), u_start=[15.6])


def test_a_plant_that_does_not_move_has_no_tuning():
    with pytest.raises(
        InputError,
        match=(
            r"PI: the input does not move the output of first order: it rests in 0 at both bounds"
        ),
    ):
        tune_pi(first_order(0.5, 0.0), [STEP], limits=bounds(), u_start=[0.0])


def test_faults_are_not_tuned_for(plant):
    with pytest.raises(InputError, match=r"PI: is not tuned for scenarios with faults"):
        tune_pi(
            plant,
            [replace(STEP, faults=(Fault("dropout", 10.0),))],
            limits=bounds(12.5, 17.0),
            u_start=[15.6],
        )


# -- the one that knows everything -----------------------------------------------------------------


def cost(run, held):
    """The whole run in the currency of the problem, which is what `Ideal` minimises; IAE is
    another."""
    return held.cost(run.truth, run.reference, run.u[:-1], run.u_start)


# nothing comes later that a controller could be lucky with
JUMP = Scenario("jump", Steps((0.0,), [7.6]), 200.0)


def test_who_knows_everything_beats_everyone(plant, released):
    problem = ControlProblem(horizon=10, move_penalty=0.02, max_move=1.0)
    held = limits(released, problem)
    tuned = tune_pi(plant, [JUMP], limits=held, u_start=[15.6])
    rivals = [
        Pi(tuned.Kc, tuned.Ti, Ts=TS, limits=held),
        Sqp(released, problem),
        LinearMpc(released, problem),
    ]
    best = simulate_closed_loop(plant, Ideal(plant, problem, limits=held), JUMP, u_start=[15.6])
    assert not best.failures
    assert metrics(best, band=0.1, limits=held)["inadmissible"] == 0
    for rival in rivals:
        run = simulate_closed_loop(plant, rival, JUMP, u_start=[15.6])
        assert metrics(run, band=0.1, limits=held)["inadmissible"] == 0
        assert cost(best, held) < cost(run, held)


def test_it_solves_the_problem_itself(released):
    """On the model as plant it is the plain program: blocks, soft outputs, rates and bounds."""
    problem = ControlProblem(
        horizon=12,
        move_penalty=0.01,
        max_move=0.4,
        blocks=(1, 2, 4),
        y_high=7.4,
        violation_weight=50.0,
    )
    held, model = limits(released, problem), released.model
    chi, before, references = rest(model.system, [15.6]), np.array([15.6]), np.full((13, 1), 7.6)
    known = SimpleNamespace(
        chi=chi, disturbance=np.zeros(1), input_disturbance=np.zeros(1), line=Line(model)
    )
    best, least = plain_nlp.solve(model, held, known, before, references, np.full((12, 1), 15.6))
    ideal = Ideal(model.system, problem, limits=held)
    assert isinstance(ideal, FullInformation)
    ideal.reset([7.0], before)
    ideal.see(chi, np.zeros(0), before)
    move = ideal.step([7.0], [7.6])
    assert move.u == pytest.approx(best[0], abs=IPOPT_INPUT)
    assert move.cost == pytest.approx(least, rel=1e-5)
    assert move.predicted[-1] == pytest.approx(7.4, abs=0.01)


def test_it_knows_the_slow_valve(plant, released):
    problem, scenario = ControlProblem(horizon=10, move_penalty=0.02), replace(JUMP, valve_lag=30.0)
    held = limits(released, problem)
    ideals = [Ideal(plant, problem, limits=held, valve_lag=lag) for lag in (30.0, 0.0)]
    runs = [simulate_closed_loop(plant, ideal, scenario, u_start=[15.6]) for ideal in ideals]
    knows, does_not = (cost(run, held) for run in runs)
    assert knows < does_not
    again = simulate_closed_loop(
        plant, ideals[0], replace(scenario, noise=1.0, delay=30.0), u_start=[15.6]
    )
    # of the measurement it takes no notice
    np.testing.assert_allclose(again.u, runs[0].u, atol=ROUND_OFF)


def test_with_preview_it_moves_before_the_setpoint_does(plant, released):
    late = replace(STEP, setpoint=Steps((0.0, 60.0), [7.0, 7.6]), duration=40.0)
    moved = []
    for preview in (True, False):
        problem = ControlProblem(horizon=4, preview=preview)
        ideal = Ideal(plant, problem, limits=limits(released, problem))
        run = simulate_closed_loop(
            plant, ideal, late, u_start=[15.55], horizon=problem.ahead(released.model)
        )
        moved.append(run.u[-1, 0])
    assert moved[0] > moved[1] + 0.1


def test_a_failed_solve_is_reported_and_the_last_plan_applied(plant, released):
    problem = ControlProblem(horizon=4, max_move=1.0)
    held = limits(released, problem)
    run = simulate_closed_loop(
        plant,
        Ideal(plant, problem, limits=held, iterations=1),
        replace(STEP, duration=60.0),
        u_start=[15.6],
    )
    assert run.failures == tuple(range(6))
    assert (
        run.moves[-1].status == "solve failed; last good plan applied (Maximum_Iterations_Exceeded)"
    )
    assert (run.u == 15.6).all()


def test_it_must_be_told(plant, released):
    problem = ControlProblem(horizon=2)
    ideal = Ideal(plant, problem, limits=limits(released, problem))
    ideal.see(plant.x0, plant.d_nominal, np.array([15.6]))
    ideal.step([7.0], [7.0])
    with pytest.raises(
        InputError,
        match=r"Ideal: must see the truth before every step; simulate_closed_loop shows it",
    ):
        ideal.step([7.0], [7.0])


# -- linear MPC ------------------------------------------------------------------------------------


def test_for_small_signals_linear_mpc_is_the_nonlinear_one(released):
    problem = ControlProblem(horizon=12, move_penalty=0.01, blocks=(1, 2, 4))
    y = np.asarray(released.model.system.output(rest(released.model.system, [15.6]))).ravel()
    moves = []
    for controller in (LinearMpc(released, problem), Sqp(released, problem)):
        controller.reset(y, [15.6])
        moves.append(float(controller.step(y, y + 1e-4).u[0]) - 15.6)
    assert abs(moves[1]) > 1e-5  # there was something to do
    assert moves[0] == pytest.approx(moves[1], rel=0.01)


def test_linear_mpc_solves_its_program(released):
    """Beside CasADi's solver, on a model differentiated by differences, with all limits active."""
    problem = ControlProblem(
        horizon=12, move_penalty=0.01, max_move=0.4, u_high=16.3, y_high=7.3, violation_weight=50.0
    )
    controller, system, N = LinearMpc(released, problem), released.model.system, 12
    chi, at, h = rest(system, [15.6]), 15.6, 1e-6
    y0 = float(np.asarray(system.output(chi)).item())

    def step(x, u):
        return np.asarray(system.step(x, [u], np.zeros(0))).ravel()

    def slope(function):
        return np.stack(
            [(function(chi + h * e) - function(chi - h * e)) / (2 * h) for e in np.eye(system.n)],
            axis=-1,
        )

    A, B = slope(lambda x: step(x, at)), (step(chi, at + h) - step(chi, at - h)) / (2 * h)
    C = slope(lambda x: np.asarray(system.output(x)).ravel())
    u, e, x, before, total, g, low, high = (
        ca.MX.sym("u", N),
        ca.MX.sym("e", N),
        ca.DM.zeros(system.n),
        at,
        0,
        [],
        [],
        [],
    )
    for k in range(N):
        x = A @ x + ca.DM(B) * (u[k, :] - at)
        y = y0 + C @ x
        total += (y - 7.6) ** 2 + 0.01 * (u[k, :] - before) ** 2 + 50.0 * e[k, :]
        g, low, high = g + [u[k, :] - before, y - e[k, :]], low + [-0.4, -np.inf], high + [0.4, 7.3]
        before = u[k, :]
    options = {
        "ipopt": {"print_level": 0, "sb": "yes", "tol": 1e-12, "bound_relax_factor": 0.0},
        "print_time": False,
    }
    solver = ca.nlpsol(
        "q", "ipopt", {"x": ca.vertcat(u, e), "f": total, "g": ca.vertcat(*g)}, options
    )
    best = solver(
        x0=np.full(2 * N, at),
        lbx=[12.5] * N + [0] * N,
        ubx=[16.3] * N + [np.inf] * N,
        lbg=low,
        ubg=high,
    )
    controller.reset([y0], [at])
    move = controller.step([y0], [7.6])
    assert move.flags == 0
    assert move.u == pytest.approx(np.asarray(best["x"]).ravel()[:1], abs=1e-6)
    assert move.cost == pytest.approx(float(best["f"]), rel=1e-6)
    assert move.predicted.max() == pytest.approx(7.3, abs=0.01)


@pytest.mark.parametrize("delay", [0.0, 30.0])
def test_linear_mpc_leaves_no_offset_and_bridges_the_dead_time(plant, released, delay):
    scenario = Scenario(
        "s",
        Steps((0.0,), [7.2]),
        1500.0,
        Steps((0.0, 300.0), [[16.6, 0.55], [16.4, 0.6]]),
        delay=delay,
    )
    run = simulate_closed_loop(
        plant,
        LinearMpc(released, ControlProblem(horizon=12, dead_time=delay, max_move=1.0)),
        scenario,
        u_start=[15.6],
    )
    found = metrics(run, band=0.1, limits=limits(released, ControlProblem(max_move=1.0)))
    assert found["steps"][-1]["offset"] < OFFSET
    assert (found["inadmissible"], found["failures"]) == (0, 0)


def test_what_linear_mpc_cannot_believe_is_flagged(released):
    controller = LinearMpc(released, ControlProblem(horizon=12))
    controller.reset([7.0], [15.6])
    lost, kept = controller.step([np.nan], [7.2]), controller.step([7.0], [np.nan])
    assert (lost.flags, kept.flags) == (Status.MEASUREMENT_INVALID, Status.SETPOINT_INVALID)
    assert np.isfinite([lost.u, kept.u]).all()
    assert controller.step([7.0], [7.2]).optimal


def test_linear_mpc_needs_an_input_for_every_output(monkeypatch):
    monkeypatch.setitem(builders.RELEASES, "tall", (4, 1, (3,), 2))
    with pytest.raises(
        InputError,
        match=r"linear MPC: needs as many outputs as inputs for its disturbances, got 2 and 1",
    ):
        LinearMpc(builders.released("tall"), ControlProblem())
