"""Taking over a running plant: from a window of the past, from an operator without a bump, and from
a setpoint that was out of reach."""

from dataclasses import replace

import numpy as np
import pytest
from rivals.plain_nlp import Plain
from tolerances import OFFSET, ROUND_OFF

from lstm_mpc.certificates.gate import Release
from lstm_mpc.control.controller import ControlAction, Status
from lstm_mpc.control.engines.dompc import DoMpc
from lstm_mpc.control.engines.sqp import Sqp
from lstm_mpc.control.limits import limits
from lstm_mpc.control.observers.kalman import Kalman
from lstm_mpc.control.observers.observer import OpenLoop
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.model.data_fit import estimate_start
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import simulate
from lstm_mpc.project.design import load_design

TUNING = KalmanTuning(noise=0.001, drift=0.02, max_disturbance=3.0)
KINDS = {
    "open_loop": None,
    "kalman": TUNING,
    "kalman output": replace(TUNING, disturbance="output", drift=0.002),
}


@pytest.fixture(scope="module")
def design(pytestconfig):
    return load_design(pytestconfig.rootpath / "models" / "ph")


@pytest.fixture(scope="module")
def passed(design):
    return Release.load(design.file("release.json"))


@pytest.fixture(params=["open_loop", "kalman"])
def engine(request, design, passed):
    """The shipped loop under either observer."""
    tuning = design.control.observer if request.param == "kalman" else None
    return Sqp(passed, replace(design.control, observer=tuning), design.solver)


# -- from a window ---------------------------------------------------------------------------------


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def observer(request, mimo):
    """Makes an observer of the model."""

    def make(lag=0, **options):
        problem = ControlProblem(observer=request.param, dead_time=lag * mimo.model.Ts, **options)
        return (OpenLoop if request.param is None else Kalman)(
            mimo.model, limits(mimo, problem), problem
        )

    return make


def past(model, W, lag=0):
    """A window in which nothing is at rest: inputs, what a probe `lag` samples late says before
    each, and the state after it."""
    rng = np.random.default_rng(5)
    u = rng.uniform(model.u_low, model.u_high, (W, 2))
    moved = simulate(
        model.system,
        np.vstack([rng.uniform(model.u_low, model.u_high, (lag + 3, 2)), u]),
        x0=rest(model.system, u[0]),
    )
    return u, moved.y[3 : 3 + W], moved.chi[-1]


@pytest.mark.parametrize("lag", [0, 2])
def test_the_state_is_the_one_the_window_ends_in(mimo, observer, lag):
    u, y, chi = past(mimo.model, 30, lag)
    begun = observer(lag)
    told = begun.begin(u, y)
    np.testing.assert_allclose(begun.chi, chi, atol=1e-2)
    np.testing.assert_allclose(told, np.asarray(mimo.model.system.output(chi)).ravel(), atol=2e-3)
    begun.reset(y[-1], u[-1])
    assert np.abs(begun.chi - chi).max() > 0.03  # must fail: a plant that moves is not at rest


def test_an_offset_of_the_plant_becomes_the_disturbance(mimo, observer):
    u = np.vstack([past(mimo.model, 20)[0], np.tile([[1.5, 3.0]], (80, 1))])
    y = simulate(mimo.model.system, u, x0=rest(mimo.model.system, u[0])).y + [0.003, -0.003]
    np.testing.assert_allclose(observer().begin(u[:-1], y[:-1]), y[-1], atol=2e-4)


def test_what_was_not_measured_in_the_window_does_not_count(mimo, observer):
    u, y, chi = past(mimo.model, 40)
    holed = y.copy()
    holed[3, 0], holed[10:14, 1], holed[20] = np.nan, 99.0, np.inf
    begun = observer(sensor_low=-5.0, sensor_high=5.0)
    begun.begin(u, holed)
    np.testing.assert_allclose(begun.chi, chi, atol=5e-3)
    begun.begin(u, np.full_like(y, np.nan))  # nothing at all: the model runs along from rest
    alone = simulate(mimo.model.system, u, x0=rest(mimo.model.system, u[0])).chi[-1]
    np.testing.assert_allclose(begun.chi, alone, atol=1e-6)


def test_a_start_from_measurements_without_some_is_that_without_their_rows(mimo):
    u, y, _ = past(mimo.model, 12)
    holed = y.copy()
    holed[-2:] = np.nan
    np.testing.assert_allclose(
        estimate_start(mimo.model, u, holed), estimate_start(mimo.model, u[:-2], y[:-2]), atol=1e-6
    )


def test_windows_that_do_not_do(mimo, observer):
    u, y, _ = past(mimo.model, 12)
    with pytest.raises(
        InputError,
        match=(
            r"control: to begin from the past needs more than the 3 sample\(s\) of dead time, got 3"
        ),
    ):
        observer(3).begin(u[:3], y[:3])
    with pytest.raises(InputError, match=r"estimate_start: u \(12, 2\) and y \(11, 2\) must be"):
        observer().begin(u, y[1:])


def test_a_controller_that_begins_in_motion_goes_on_as_one_that_was_there(design, passed, engine):
    """The plant is on its way; a new controller that is given the last 40 samples moves like the
    one that drove it there."""
    there = simulate_closed_loop(
        design.system,
        engine,
        Scenario("s", Steps((0.0, 200.0), [7.0, 7.6]), 600.0),
        u_start=design.u_start,
    )
    new = Sqp(passed, engine.problem, design.solver)
    k = 28  # eight samples after the step
    new.begin(there.u[:k], there.y[:k])
    begun = new.step(there.y[k], there.reference[k])
    new.reset(there.y[k], there.u[k - 1])
    reset = new.step(there.y[k], there.reference[k])
    assert np.abs(begun.u - there.u[k]).max() < 0.01
    assert np.abs(reset.u - there.u[k]).max() > 0.03  # must fail: as if it were at rest


# -- from an operator ------------------------------------------------------------------------------

BY_HAND = np.repeat([15.0, 16.4, 15.2, 15.8], [15, 15, 30, 60])[:, None]  # [mL/s]
ACID = Steps((0.0, 200.0), [[16.6, 0.55], [16.4, 0.55]])


def taken_over(design, engine, hand=BY_HAND):
    """Manual for the samples of `hand`, then automatic with the setpoint at what the output has
    come to."""
    setpoint = simulate(
        design.system,
        hand,
        x0=rest(design.system, design.u_start),
        disturbances=ACID.signal(len(hand), 10.0),
    ).y[-1, 0]
    scenario = Scenario("manual", Steps((0.0,), [setpoint]), 10.0 * (len(hand) + 30), ACID)
    return simulate_closed_loop(
        design.system, engine, scenario, u_start=design.u_start, manual=hand
    )


def test_after_manual_the_first_move_is_none(design, engine):
    run = taken_over(design, engine)
    M = len(BY_HAND)
    np.testing.assert_array_equal(run.u[:M], BY_HAND)
    assert {move.status for move in run.moves[:M]} == {"optimal (manual)"}
    assert np.abs(run.u[M:] - BY_HAND[-1]).max() < 0.02
    assert np.abs(run.truth[M:] - run.reference[M:]).max() < OFFSET


class Asleep:
    """A controller that was made ready before the operator drove, and did not look on."""

    def __init__(self, controller):
        self.controller = controller
        self.reset, self.step = controller.reset, controller.step

    def track(self, y, u):
        return ControlAction(np.asarray(u), Status(0), 0, 0.0, np.zeros((1, 1)), np.zeros(1), 0.0)


def test_without_looking_on_there_is_a_bump(design, engine):
    """Must fail: it believes in the input it was reset with, and in a plant at rest."""
    run = taken_over(design, Asleep(engine))
    assert np.abs(run.u[len(BY_HAND) :] - BY_HAND[-1]).max() > 0.2


@pytest.mark.parametrize("engine", [Sqp, DoMpc, Plain], ids=lambda engine: engine.__name__)
def test_every_engine_tracks(released, engine):
    controller = engine(released, ControlProblem(horizon=2, u_low=13.0, u_high=16.5, max_move=0.3))
    controller.reset([7.0], [15.6])
    move = controller.track([7.1], [17.0])
    assert move.u.tolist() == [17.0]  # the operator may go where the controller may not
    assert np.isnan(move.cost)
    system = released.model.system
    np.testing.assert_allclose(
        controller.observer.chi, np.asarray(system.step(rest(system, [15.6]), 17.0, [])).ravel()
    )
    assert controller.track([np.nan], [99.0]).flags == Status.MEASUREMENT_INVALID
    after = controller.step([7.1], [np.nan])  # without a setpoint it stays where the output is
    assert after.flags == Status.SETPOINT_INVALID
    assert abs(after.u[0] - 16.5) <= 0.3 + ROUND_OFF
    controller.observer.chi[0] = np.nan
    assert controller.track([7.1], [15.0]).flags == Status.STATE_RESET


def test_manual_that_does_not_do(design, passed, engine):
    for u, said in (([np.nan], r"\[nan\]"), ([1.0, 2.0], r"\[1.0, 2.0\]")):
        with pytest.raises(
            InputError, match=rf"control: the input in force needs 1 finite value\(s\), got {said}"
        ):
            engine.track([7.0], u)
    blind = type("Blind", (), {"reset": engine.reset, "step": engine.step})()
    with pytest.raises(
        InputError,
        match="scenario 'manual': the engine Blind cannot track an operator; use 'sqp' or 'dompc'",
    ):
        taken_over(design, blind)


# -- from out of reach -----------------------------------------------------------------------------


def test_half_an_hour_out_of_reach_leaves_no_trace(design, engine):
    """The input at its limit for 30 minutes, then back: as if the setpoint had only been as high as
    the output came."""
    top = float(design.system.output(rest(design.system, [17.0])))
    back = [
        simulate_closed_loop(
            design.system,
            engine,
            Scenario("s", Steps((0.0, 300.0, 2100.0), [7.0, asked, 7.5]), 3000.0),
            u_start=design.u_start,
        )
        for asked in (top + 1.5, top)
    ]
    far, near = (run.truth[210:] for run in back)
    assert back[0].u[60:210].min() == 17.0
    assert np.abs(far - near).max() < 0.1
    assert np.abs(far - near).mean() < 0.02
    assert np.abs(far[-10:] - 7.5).max() < OFFSET
