"""Inputs that are measured and never moved: what the controller makes of them, and what it does
when they are not to be believed."""

from dataclasses import replace

import numpy as np
import pytest
from builders import released_of
from feeds import KINDS, PlainLoop, fed, folded
from tolerances import IPOPT_INPUT, ROUND_OFF

from lstm_mpc.control.controller import OPTIMAL, Status
from lstm_mpc.control.engines.dompc import DoMpc
from lstm_mpc.control.engines.sqp import SolverOptions, Sqp
from lstm_mpc.control.faults import Fault
from lstm_mpc.control.limits import limits_of
from lstm_mpc.control.observers.options import KalmanTuning, MheTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.plants.roles import as_plant

CLOSE = 1e-6  # [share of the range] two problems that are the same, each solved to its tolerance
PROBLEM = ControlProblem(horizon=8, move_penalty=1e-3, max_move=0.5)
DELAYS = {"none": (0, 0), "shared": (2, 2), "feed later": (1, 3), "feed sooner": (2, 0)}


def middle(model):
    """Any inputs within the limits: moved and measured."""
    u = model.u_low + 0.4 * (model.u_high - model.u_low)
    return u[model.roles.manipulated], u[model.roles.measured]


def feed(model, K, seed=1):
    """A measured input that changes every few samples, (K, nd)."""
    rng, at = np.random.default_rng(seed), model.roles.measured
    levels = rng.uniform(model.u_low[at], model.u_high[at], (K // 4 + 1, at.size))
    return np.repeat(levels, 4, axis=0)[:K]


@pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(
    ("engine", "observer"),
    [
        (Sqp, None),
        (Sqp, KalmanTuning(0.01, 0.02, 0.2)),
        (Sqp, KalmanTuning(0.01, 0.02, 0.2, disturbance="output")),
        (DoMpc, None),
        (Sqp, MheTuning(0.01, 0.02, 0.2, window=4)),
    ],
    ids=["sqp", "kalman", "kalman-output", "dompc", "mhe"],
)
def test_a_feed_that_stays_is_one_that_is_folded_into_the_biases(kinds, engine, observer):
    model = fed(4, kinds)
    u0, m = middle(model)
    if isinstance(observer, MheTuning):  # its weights are those of a rest under the nominal feed
        m = np.array([s.typical for s in model.measured])
    problem, alone = replace(PROBLEM, observer=observer), folded(model, m)
    both = engine(released_of(model), problem), engine(released_of(alone), problem)
    rng, y_mid = np.random.default_rng(3), model.scaling.y_mid
    both[0].reset(y_mid, u0, m)
    both[1].reset(y_mid, u0)
    span = alone.u_high - alone.u_low
    ipopt = engine is DoMpc or isinstance(observer, MheTuning)
    close = IPOPT_INPUT if ipopt else CLOSE
    for k in range(12):
        y = y_mid + 0.05 * rng.standard_normal(1)
        r = y_mid + (0.1 if k < 6 else -0.1)
        one, other = both[0].step(y, r, m), both[1].step(y, r)
        assert one.flags == other.flags
        assert np.abs((one.u - other.u) / span).max() < close
        assert np.abs(one.disturbance - other.disturbance).max() < close
        assert np.abs(one.input_disturbance - other.input_disturbance).max() < close


@pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("delays", DELAYS.values(), ids=DELAYS)
@pytest.mark.parametrize("forecast", [False, True])
def test_it_predicts_what_the_paper_says_under_the_feed(kinds, delays, forecast):
    delays = delays if kinds == KINDS["last"] else delays[::-1]
    model = fed(2, kinds, nx=(3, 2), delays=delays)
    problem = replace(PROBLEM, blocks=(8,), max_move=np.inf, forecast=forecast)
    engine, N, K = Sqp(released_of(model), problem), problem.horizon, 16
    (u0, _), m = middle(model), feed(model, 16 + problem.horizon)
    rng, join = np.random.default_rng(5), model.roles.joined
    y = model.scaling.y_mid + 0.1
    loop = PlainLoop(model, problem.observer_gain, join(u0, m[0]).tolist(), y.tolist())
    engine.reset(y, u0, m[0])
    assert problem.foreseen(model) == (N - 1 if forecast else 0)
    for k in range(K):
        y = model.scaling.y_mid + 0.1 * rng.standard_normal(1)
        move = engine.step(y, model.scaling.y_mid, m[k : k + 1 + problem.foreseen(model)])
        assert move.flags & ~Status.BUDGET == OPTIMAL
        loop.correct(y.tolist())
        rows = m[k : k + N] if forecast else np.repeat(m[k : k + 1], N, axis=0)
        coming = [join(move.u, row).tolist() for row in rows]  # one block: the input is held
        assert np.allclose(move.predicted, loop.predicted(coming), rtol=0, atol=ROUND_OFF)
        loop.advance(join(move.u, m[k]).tolist())


@pytest.mark.parametrize("delays", DELAYS.values(), ids=DELAYS)
def test_both_engines_give_the_same_input(delays):
    model = fed(2, delays=delays)
    passed = released_of(model)
    problem, m = replace(PROBLEM, forecast=True), feed(model, 20)
    engines, (u0, _) = (Sqp(passed, problem), DoMpc(passed, problem)), middle(model)
    y, r = model.scaling.y_mid, model.scaling.y_mid + 0.05
    for engine in engines:
        engine.reset(y, u0, m[0])
    moved = []
    for k in range(8):
        one, other = (engine.step(y, r, m[k : k + 8]) for engine in engines)
        assert one.optimal
        assert other.optimal
        assert np.abs(one.u - other.u).max() < IPOPT_INPUT * float(np.ptp(model.u_high))
        moved.append(float(one.u[0]))
    assert np.ptp(moved) > 0.05


def test_a_controller_that_sees_the_feed_is_better_than_one_that_does_not():
    """Where the plant is the model, a feed that is measured leaves hardly an error."""
    model = fed(2)
    (u0, m), plant = middle(model), as_plant(model.system)
    at = model.roles.measured
    steps = Steps((0.0, 200.0), [m.tolist(), (0.5 * (m + model.u_high[at])).tolist()])
    y = np.asarray(plant.output(plant.x0)).ravel()
    scenario = Scenario("feed", Steps((0.0,), [y.tolist()]), 600.0, steps)
    problem = ControlProblem(horizon=8, move_penalty=1e-4)
    errors = []
    for release_, measured in (
        (released_of(model), [model.measured[0].name]),
        (released_of(folded(model, m)), []),
    ):
        run = simulate_closed_loop(
            plant, Sqp(release_, problem), scenario, u_start=u0, measured=measured
        )
        errors.append(float(np.abs(run.truth - run.reference)[20:].sum()))
        assert run.measured == ((0,) if measured else ())
    assert errors[0] < 0.5 * errors[1]


# -- what is not to be believed --------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["nan", "above", "below", "infinite"])
@pytest.mark.parametrize("engine", [Sqp, DoMpc])
def test_a_feed_out_of_its_limits_is_flagged_and_the_last_valid_one_stays(wrong, engine):
    model = fed(2)
    (u0, m), signal = middle(model), model.measured[0]
    bad = {
        "nan": np.nan,
        "above": signal.high + 1e-3,
        "below": signal.low - 1e-3,
        "infinite": np.inf,
    }
    one, other = (engine(released_of(model), PROBLEM) for _ in range(2))
    y, r = model.scaling.y_mid, model.scaling.y_mid + 0.05
    for controller in (one, other):
        controller.reset(y, u0, m)
    for k in range(6):
        told = [bad[wrong]] if 2 <= k < 5 else m
        move, right = one.step(y, r, told), other.step(y, r, m)
        flag = Status.MEASURED_INVALID if 2 <= k < 5 else OPTIMAL
        assert move.flags & Status.MEASURED_INVALID == flag
        assert right.flags & Status.MEASURED_INVALID == OPTIMAL
        assert np.array_equal(move.u, right.u)
    assert "measured input not finite or out of limits" in one.step(y, r, [np.nan]).status


def test_the_ends_of_the_limits_are_valid():
    model = fed(2)
    controller, (u0, m) = Sqp(released_of(model), PROBLEM), middle(model)
    controller.reset(model.scaling.y_mid, u0, m)
    for end in (model.measured[0].low, model.measured[0].high):
        move = controller.step(model.scaling.y_mid, model.scaling.y_mid, [end])
        assert Status.MEASURED_INVALID not in move.flags


def test_before_the_first_valid_one_the_feed_is_at_its_nominal_value():
    model = fed(2)
    controllers, (u0, _) = [Sqp(released_of(model), PROBLEM) for _ in range(2)], middle(model)
    y = model.scaling.y_mid
    for controller, told in zip(controllers, ([np.nan], [model.measured[0].typical]), strict=True):
        controller.reset(y, u0, told)
    one, other = (
        c.step(y, y, told) for c, told in zip(controllers, ([np.nan], [4.0]), strict=True)
    )
    assert model.measured[0].typical == 4.0
    assert np.array_equal(one.u, other.u)
    assert Status.MEASURED_INVALID in one.flags


def test_a_forecast_that_breaks_off_is_held():
    model = fed(2)
    problem, m = replace(PROBLEM, forecast=True), feed(model, 8)
    controllers, (u0, _) = [Sqp(released_of(model), problem) for _ in range(3)], middle(model)
    y, broken = model.scaling.y_mid, m.copy()
    broken[5:] = np.nan
    held = np.vstack([m[:5], np.repeat(m[4:5], 3, axis=0)])
    for controller in controllers:
        controller.reset(y, u0, m)
    one, two, three = (
        c.step(y, y + 0.05, told)
        for c, told in zip(controllers, (broken, held, m[:5]), strict=True)
    )
    assert np.array_equal(one.u, two.u)
    assert np.array_equal(one.u, three.u)
    assert one.flags == Status.MEASURED_INVALID
    assert two.optimal


def test_a_state_whose_feed_is_corrupt_is_made_anew():
    model = fed(2)
    controller, (u0, m) = Sqp(released_of(model), PROBLEM), middle(model)
    y = model.scaling.y_mid
    controller.reset(y, u0, m)
    controller._last = np.array([1e9])
    assert Status.STATE_RESET in controller.step(y, y, [np.nan]).flags
    assert np.array_equal(controller._last, [model.measured[0].typical])


def test_an_operator_and_a_past_bring_the_feed_with_them():
    model = fed(2)
    (u0, _), m, plant = middle(model), feed(model, 40), as_plant(model.system)
    run = Sqp(released_of(model), PROBLEM)
    y, u, chi = [], np.repeat(u0[None], 40, axis=0), plant.x0
    for k in range(40):
        y.append(np.asarray(plant.output(chi)).ravel())
        chi = np.asarray(plant.step(chi, u[k], m[k])).ravel()
    run.reset(y[0], u0, m[0])
    for k in range(40):
        tracked = run.track(y[k], u[k], m[k])
    assert tracked.optimal
    begun = Sqp(released_of(model), PROBLEM)
    begun.begin(u, np.array(y), m)
    now = np.asarray(plant.output(chi)).ravel()
    for controller in (run, begun):
        move = controller.step(now, now, m[-1])
        assert np.allclose(move.predicted[0], now, rtol=0, atol=1e-3)
    # who is not told how the feed moved does not come to the same state
    blind = Sqp(released_of(model), PROBLEM)
    blind.begin(u, np.array(y), m[:1])
    assert np.abs(blind.observer.chi - begun.observer.chi).max() > 1e-3


# -- a closed loop ---------------------------------------------------------------------------------


def test_the_loop_hands_the_feed_over_with_its_faults_and_its_forecast():
    model = fed(2)
    (u0, m), plant = middle(model), as_plant(model.system)
    steps = Steps((0.0, 50.0), [m.tolist(), (m + 0.5).tolist()])
    lost = Fault("dropout", 20.0, 40.0, channel=1)
    y = np.asarray(plant.output(plant.x0)).ravel()
    scenario = Scenario("feed", Steps((0.0,), [y.tolist()]), 100.0, steps, faults=(lost,))
    problem = replace(PROBLEM, forecast=True)
    run = simulate_closed_loop(
        plant,
        Sqp(released_of(model), problem),
        scenario,
        u_start=u0,
        measured=[model.measured[0].name],
        foreseen=problem.foreseen(model),
    )
    assert run.known.shape == (10, 8, 1)
    assert np.isnan(run.known[2:4, 0]).all()
    assert np.isfinite(run.known[:, 1:]).all()
    assert run.known[0, :, 0].tolist() == 5 * m.tolist() + 3 * (m + 0.5).tolist()
    assert np.isfinite(run.y).all()
    flagged = [bool(move.flags & Status.MEASURED_INVALID) for move in run.moves]
    assert flagged == [k in (2, 3) for k in range(10)]


REFUSED = {
    "no feed": (
        lambda c, y: c.step(y, y),
        r"the measured inputs need 1 value\(s\) for each sample, got \(\)",
    ),
    "two values": (lambda c, y: c.step(y, y, [[1.0, 2.0, 3.0]] * 0 or []), "need 1 value"),
    "reset without": (lambda c, y: c.reset(y, [0.5]), "the measured inputs need 1 value"),
    "begin without": (
        lambda c, y: c.begin(np.zeros((4, 1)), np.zeros((4, 1))),
        "the measured inputs need 1 value",
    ),
    "track without": (lambda c, y: c.track(y, [0.5]), "the measured inputs need 1 value"),
}


@pytest.mark.parametrize(("call", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_told_too_little_is_refused(call, words):
    controller = Sqp(released_of(fed(2)), PROBLEM, SolverOptions())
    with pytest.raises(InputError, match=words):
        call(controller, np.zeros(1))


def test_who_has_no_measured_inputs_wants_none():
    controller = Sqp(released_of(folded(fed(2), [4.0])), PROBLEM)
    with pytest.raises(InputError, match=r"this model has no measured inputs, got measured = \[4"):
        controller.step([0.0], [0.0], [4.0])


def test_a_model_that_nothing_moves_cannot_be_controlled():
    model = fed(2, ("measured", "measured"))
    with pytest.raises(InputError, match=r"every input of the model is measured \(u1, u2\)"):
        limits_of(model, PROBLEM)


def test_a_loop_needs_the_disturbance_that_the_controller_measures(plant):
    scenario = Scenario("constant", Steps((0.0,), [7.0]), 20.0)
    with pytest.raises(InputError, match=r"measures 'T', but pH neutralisation has no disturbance"):
        simulate_closed_loop(plant, None, scenario, u_start=[15.0], measured=["T"])
