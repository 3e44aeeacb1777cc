"""What every engine does when something is wrong: each flag by a case of its own, and what is left
of the fault when it has gone."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from optimum import Y_REST, all_at_once
from rivals.plain_nlp import Plain
from tolerances import OFFSET, ROUND_OFF

from lstm_mpc.control.controller import OPTIMAL, Status
from lstm_mpc.control.engines.dompc import DoMpc
from lstm_mpc.control.engines.qp import ACTIVE, FREE
from lstm_mpc.control.engines.sqp import Sqp
from lstm_mpc.control.engines.supervisor import Solution
from lstm_mpc.control.limits import moves_of
from lstm_mpc.control.loop_metrics import metrics
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError, LstmMpcError
from lstm_mpc.plants.batch import rest

ENGINES = [Sqp, DoMpc]
INVALID, FROZEN, SETPOINT = (
    Status.MEASUREMENT_INVALID,
    Status.MEASUREMENT_FROZEN,
    Status.SETPOINT_INVALID,
)
FAILED, SAFE, RESET = Status.SOLVE_FAILED, Status.SAFE_INPUT, Status.STATE_RESET


@pytest.fixture(params=ENGINES, ids=[engine.__name__ for engine in ENGINES])
def made(request, released):
    """Makes a controller of the pH model that has begun at pH 7 under 15.6 mL/s."""

    def make(**options):
        controller = request.param(
            released, ControlProblem(**{"horizon": 5, "max_move": 0.3} | options)
        )
        controller.reset([7.0], [15.6])
        return controller

    return make


def sound(controller, move, before):
    """What holds whatever happens: numbers, bounds, rates, and a cost that is that of the plan."""
    limits = controller.limits
    assert np.isfinite([move.cost, *move.u, *move.predicted.ravel(), *move.disturbance]).all()
    assert ((limits.u_low <= move.u) & (move.u <= limits.u_high)).all()
    assert (np.abs(move.u - before) <= limits.max_move + ROUND_OFF).all()
    return move


# -- measurements ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf, 14.01, -0.01], ids=str)
def test_a_lost_measurement_is_left_out_and_told(made, lost):
    controller = made()
    before = controller.step([7.1], [7.5])
    move = sound(controller, controller.step([lost], [7.5]), before.u)
    after = controller.step([7.0], [7.5])
    assert (before.flags, move.flags, after.flags) == (OPTIMAL, INVALID, OPTIMAL)
    assert move.status == "measurement not finite or out of range; disturbance held"
    assert np.array_equal(move.disturbance, before.disturbance)
    assert not np.array_equal(after.disturbance, move.disturbance)


def test_of_two_measurements_only_the_lost_one_is_left_out(mimo):
    controller = Sqp(mimo, ControlProblem(**all_at_once(preview=False)))
    controller.reset(Y_REST, [1.0, 4.0])
    first = controller.step(Y_REST, Y_REST)
    move = controller.step([np.nan, Y_REST[1] + 0.01], Y_REST)
    assert move.flags == INVALID
    assert move.disturbance[0] == first.disturbance[0]
    assert move.disturbance[1] != first.disturbance[1]


def test_a_frozen_measurement_is_left_out_and_told_until_it_moves(made):
    controller = made(frozen_after=3)
    moves = [controller.step([7.2], [7.5]) for _ in range(6)]
    assert [move.flags for move in moves] == 3 * [OPTIMAL] + 3 * [FROZEN]
    assert moves[-1].status == "measurement frozen; disturbance held"
    assert np.array_equal(moves[-1].disturbance, moves[2].disturbance)
    assert controller.step([7.21], [7.5]).flags == OPTIMAL


# -- setpoints -------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [np.nan, np.inf], ids=str)
def test_a_lost_setpoint_leaves_the_last_valid_one(made, lost):
    told, other = made(), made()
    for controller in (told, other):
        controller.step([7.0], [7.5])
    move, twin = told.step([7.0], [lost]), other.step([7.0], [7.5])
    assert move.flags == SETPOINT
    assert move.status == "setpoint not finite; last valid one kept"
    assert np.array_equal(move.u, twin.u)
    assert told.step([7.0], [7.6]).flags == OPTIMAL


def test_without_any_valid_setpoint_the_output_stays_where_it_was(made):
    controller = made()
    moves = [controller.step([7.0], [np.nan]) for _ in range(3)]
    assert {move.flags for move in moves} == {SETPOINT}
    np.testing.assert_allclose([move.u for move in moves], 15.6, atol=1e-5)
    np.testing.assert_allclose(moves[-1].predicted, 7.0, atol=1e-5)


def test_a_preview_with_a_hole_is_no_preview(made):
    hole = np.array([7.5, 7.6, np.nan, 7.8, 7.9, 8.0])
    blind, seeing = made(), made(preview=True)
    for controller in (blind, seeing):
        controller.step([7.0], [7.4])
    assert blind.step([7.0], hole).flags == OPTIMAL  # it looks at the first one only
    told = seeing.step([7.0], hole)
    assert told.flags == SETPOINT
    other = made()
    other.step([7.0], [7.4])
    # the last valid one, for the whole horizon
    assert np.array_equal(told.u, other.step([7.0], [7.4]).u)


# -- the solver ------------------------------------------------------------------------------------


def test_failed_solves_apply_the_last_plan_then_go_to_the_safe_input_within_rates(made):
    controller = made(safe_input=13.0, max_move=0.4)
    good = controller.step([7.0], [8.0])
    plan, solve = controller._plan.copy(), controller._solve
    controller._solve = lambda _: Solution(None, detail="on purpose")
    moves, before = [], good.u
    for _ in range(20):
        moves.append(sound(controller, controller.step([7.0], [8.0]), before))
        before = moves[-1].u
    u = np.array([move.u for move in moves])
    assert [move.flags for move in moves] == 5 * [FAILED] + 15 * [FAILED | SAFE]
    assert moves[0].status == "solve failed; last good plan applied (on purpose)"
    assert (
        moves[5].status
        == "solve failed; last good plan applied; no plan left; going to the safe input (on"
        " purpose)"
    )
    np.testing.assert_allclose(u[:5], plan, atol=ROUND_OFF)
    np.testing.assert_allclose(np.diff(u[4:10], axis=0), -0.4, atol=ROUND_OFF)
    assert u[-5:].tolist() == 5 * [[13.0]]
    controller._solve = solve
    back = sound(controller, controller.step([7.0], [8.0]), before)
    assert not back.flags & (FAILED | SAFE)
    controller._solve = lambda _: Solution(None)
    assert controller.step([7.0], [8.0]).flags == FAILED  # the count begins anew


def test_the_predicted_outputs_and_the_cost_are_those_of_inputs_that_can_be_applied(made):
    """Also on the way to the safe input, and when a solver returns nonsense."""
    controller = made(safe_input=13.0)
    for plan in (
        np.full((5, 1), 99.0),
        np.linspace(12.5, 17.0, 5)[:, None],
        None,
        None,
        None,
        None,
        None,
        None,
        None,
    ):
        controller._solve = lambda _, plan=plan: Solution(plan)
        chi, before = controller.observer.chi, controller._before
        move = sound(controller, controller.step([7.0], [8.0]), before)
        # the plan of the next sample is this one, shifted
        applied = controller.limits.block(controller._plan, before)
        for k, u in enumerate([move.u, *controller._plan[:-1]]):
            chi = np.asarray(controller.release.model.system.step(chi, u, [])).ravel()
            y = np.asarray(controller.release.model.system.output(chi)).ravel() + move.disturbance
            np.testing.assert_allclose(move.predicted[k + 1], y, rtol=ROUND_OFF)
        assert (np.abs(moves_of(applied, before)) <= 0.3 + ROUND_OFF).all()


def test_a_program_without_any_weight_is_a_failed_solve(released):
    controller = Sqp(released, ControlProblem(horizon=3, output_weight=0.0, move_penalty=0.0))
    controller.reset([7.0], [15.0])
    controller._marks[:] = ACTIVE
    move = controller.step([7.0], [8.0])
    assert (controller._marks == FREE).all()  # the guess may be what failed
    assert (
        move.status == "solve failed; last good plan applied (the Hessian is not positive definite)"
    )
    assert move.u.tolist() == [15.0]


def test_the_plain_program_does_not_fall_back(released):
    controller = Plain(released, ControlProblem(horizon=2, max_move=1.0))
    controller.reset([7.0], [15.6])
    assert controller.step([7.0], [7.2]).optimal
    # from where no move within the rates leads into the bounds
    controller._before = np.array([99.0])
    with pytest.raises(
        LstmMpcError, match=r"plain program: IPOPT failed \(Infeasible_Problem_Detected\)"
    ):
        controller._solve(np.full((3, 1), 7.2))


# -- the state -------------------------------------------------------------------------------------

CORRUPT = {
    "chi nan": lambda c: c.observer.chi.__setitem__(0, np.nan),
    "chi beyond its bound": lambda c: c.observer.chi.__setitem__(0, 1e3),
    "xi beyond 1": lambda c: c.observer.chi.__setitem__(3, -1.001),
    "disturbance": lambda c: c.observer.disturbance.__setitem__(0, np.inf),
    "outputs under way": lambda c: c.observer._under_way[0].__setitem__(0, np.nan),
    "before nan": lambda c: c._before.__setitem__(0, np.nan),
    "before out of bounds": lambda c: c._before.__setitem__(0, 1e30),
    "plan nan": lambda c: c._plan.__setitem__((2, 0), np.nan),
    "plan out of bounds": lambda c: c._plan.__setitem__((2, 0), -1e300),
    "plan beyond the rates": lambda c: c._plan.__setitem__(
        slice(2, None), 17.0 if c._plan[2, 0] < 15.0 else 12.5
    ),
    "plan not held within its block": lambda c: c._plan.__setitem__((1, 0), c._plan[0, 0] + 0.01),
}


@pytest.mark.parametrize("harm", CORRUPT.values(), ids=CORRUPT)
def test_a_corrupt_state_is_noticed_and_made_anew(made, harm):
    controller = made(blocks=(2, 1))
    for _ in range(3):
        last = controller.step([7.1], [7.5])
    harm(controller)
    before = (
        last.u
        if controller.limits.u_low <= controller._before <= controller.limits.u_high
        else controller.limits.u_safe
    )
    move = sound(controller, controller.step([7.2], [7.5]), before)
    assert move.flags == RESET
    assert move.status == "state corrupt; made anew"
    # the measurement is all there is to believe
    np.testing.assert_allclose(move.predicted[0], 7.2, rtol=ROUND_OFF)
    assert controller.step([7.2], [7.5]).flags == OPTIMAL


def test_a_sound_state_is_left_alone(made):
    """Must fail: no false alarm, also where everything is at its limit."""
    controller, rng = made(blocks=(2, 1), u_high=15.9), np.random.default_rng(0)
    for _ in range(15):
        assert not controller.step([rng.uniform(5, 9)], [rng.uniform(5, 9)]).flags & RESET


def test_without_a_reset_a_controller_begins_at_rest_under_the_safe_input(released):
    controller = Sqp(released, ControlProblem(horizon=3, max_move=0.1))
    move = controller.step([7.0], [np.nan])
    assert move.flags == SETPOINT
    assert abs(move.u - 15.6) <= 0.1 + ROUND_OFF
    y = np.asarray(released.model.system.output(rest(released.model.system, [15.6]))).ravel()
    np.testing.assert_allclose(controller._setpoint, y, rtol=ROUND_OFF)


@pytest.mark.parametrize(
    ("y", "u", "words"),
    [
        (
            [7.0],
            [15.6, 15.6],
            r"control: the input in force needs 1 finite value\(s\), got \[15.6, 15.6\]",
        ),
        ([7.0, 7.0], [15.6], r"control: a measurement needs 1 value\(s\), got \[7.0, 7.0\]"),
        ([7.0], [np.nan], "needs 1 finite value"),
    ],
)
def test_a_reset_with_what_does_not_fit_is_an_input_error(released, y, u, words):
    with pytest.raises(InputError, match=words):
        Sqp(released, ControlProblem(horizon=2)).reset(y, u)


# -- all at once -----------------------------------------------------------------------------------


def test_flags_add_up(made):
    controller = made()
    controller.step([7.0], [7.5])
    controller.observer.chi[0] = np.nan
    controller._solve = lambda _: Solution(None)
    move = sound(controller, controller.step([np.nan], [np.nan]), [15.6 + 0.3])
    assert move.flags == INVALID | SETPOINT | FAILED | RESET
    said = [
        "measurement not finite or out of range; disturbance held",
        "setpoint not finite; last valid one kept",
    ]
    assert move.status == "; ".join(
        [*said, "solve failed; last good plan applied", "state corrupt; made anew"]
    )


strange = st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 0.0, 7.0, 7.4, 14.0, 15.0, 1e9, -1e9])


@pytest.fixture(scope="module")
def fast(released):
    return Sqp(
        released, ControlProblem(horizon=4, max_move=0.3, frozen_after=2, blocks=(1, 2), y_high=8.0)
    )


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    samples=st.lists(
        st.tuples(strange, strange, st.sampled_from([None, *CORRUPT])), min_size=1, max_size=8
    ),
    failing=st.integers(0, 8),
)
def test_whatever_comes_the_input_is_a_number_within_bounds_and_rates(fast, samples, failing):
    solve = Sqp._solve.__get__(fast)
    fast.reset([7.0], [15.6])
    last = np.array([15.6])
    for k, (y, reference, harm) in enumerate(samples):
        if harm:
            CORRUPT[harm](fast)
        before = (
            fast._before
            if fast.limits.u_low <= fast._before <= fast.limits.u_high
            else fast.limits.u_safe
        )
        fast._solve = solve if k < failing else lambda _: Solution(None)
        last = sound(fast, fast.step([y], [reference]), before).u
    assert last.shape == (1,)


class Faulty:
    """A controller with an accident at some samples."""

    def __init__(self, controller, accidents):
        self.controller, self.accidents, self.k = controller, accidents, 0

    def reset(self, y, u):
        self.controller.reset(y, u)

    def step(self, y, reference):
        accident = self.accidents.get(self.k)
        self.k += 1
        if accident in CORRUPT:
            CORRUPT[accident](self.controller)
        return self.controller.step(
            [np.nan] if accident == "measurement" else y,
            [np.nan] if accident == "setpoint" else reference,
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_when_the_faults_have_gone_no_offset_is_left(plant, released, engine):
    """On the plant itself, which the model does not know, with faults after each other in the
    middle of the run."""
    names = [*["measurement"] * 4, "setpoint", *(name for name in CORRUPT if "block" not in name)]
    controller = engine(released, ControlProblem(horizon=8, max_move=0.5))
    scenario = Scenario("accidents", Steps((0.0, 100.0), [7.0, 7.6]), 1000.0)
    run = simulate_closed_loop(
        plant, Faulty(controller, dict(enumerate(names, start=8))), scenario, u_start=[15.6]
    )
    assert run.flagged == tuple(range(8, 8 + len(names)))
    assert metrics(run, band=0.1)["steps"][-1]["offset"] < OFFSET
    assert (np.abs(np.diff(run.u, axis=0)) <= 0.5 + ROUND_OFF)[
        : 8 + names.index("before nan") - 1
    ].all()
