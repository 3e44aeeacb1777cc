"""Input delays as structure of the model: what it is, from data, with certificates, behind
observers, in closed loops."""

from dataclasses import replace

import casadi as ca
import numpy as np
import pytest
from builders import later, model_of, released_of, stable_model, stable_network, zero_layer
from hypothesis import given, settings, strategies as st
from places import ROOT
from rivals.linear_mpc import LinearMpc
from tolerances import ROUND_OFF

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.exploration import network_law, replay
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.reachability import reach
from lstm_mpc.control.engines.dompc import DoMpc
from lstm_mpc.control.engines.sqp import Sqp
from lstm_mpc.control.limits import limits_of
from lstm_mpc.control.observers.gated import Gated
from lstm_mpc.control.observers.kalman import Kalman
from lstm_mpc.control.observers.mhe import Mhe
from lstm_mpc.control.observers.observer import OpenLoop
from lstm_mpc.control.observers.options import GatedTuning, KalmanTuning, MheTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.data.excitation import Steps
from lstm_mpc.data.scaling import scale
from lstm_mpc.errors import InputError
from lstm_mpc.export.onnx_model import onnx_model
from lstm_mpc.identification.multistart import identify
from lstm_mpc.identification.options import TrainingOptions
from lstm_mpc.identification.starts import SearchOptions, model_of as identified
from lstm_mpc.identification.training import pieces_of
from lstm_mpc.io import artefact_file
from lstm_mpc.model.data_fit import estimate_start, record_fits
from lstm_mpc.model.input_delays import delayed, late
from lstm_mpc.model.lstm import Network
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest, simulate_batch
from lstm_mpc.plants.system import Signal, System, simulate
from lstm_mpc.project.steps.training_steps import _with_delays

DELAYS = st.tuples(st.integers(0, 4), st.integers(0, 4))


def wild(model, steps, seed=0):
    """Inputs, also beyond their limits."""
    low, high = model.u_low - 0.5, model.u_high + 0.5
    return np.random.default_rng(seed).uniform(low, high, (steps, len(model.inputs)))


# -- the noun --------------------------------------------------------------------------------------


@settings(max_examples=8, deadline=None)
@given(delays=DELAYS, seed=st.integers(0, 9))
def test_the_network_sees_every_input_as_late_as_it_is(delays, seed):
    model = replace(stable_model(1, 2, (3, 2), 2), delays=delays)
    u = wild(model, 25, seed)
    shown = np.array(
        [
            [u[k - d, j] if k >= d else model.scaling.u_mid[j] for j, d in enumerate(delays)]
            for k in range(25)
        ]
    )
    whole, alone = simulate(model.system, u), simulate(model.core, shown)
    np.testing.assert_allclose(whole.y, alone.y, atol=ROUND_OFF)
    np.testing.assert_allclose(whole.chi[:, : model.sizes.n], alone.chi, atol=ROUND_OFF)
    twins = simulate_batch(model.system, np.stack([u, u]), np.stack([model.system.x0] * 2))
    mapped = simulate_batch(
        replace(model.system, batch=None), np.stack([u, u]), np.stack([model.system.x0] * 2)
    )
    np.testing.assert_allclose(twins, [whole.y] * 2, atol=ROUND_OFF)
    np.testing.assert_allclose(mapped, [whole.y] * 2, atol=ROUND_OFF)
    held = [0.5, 4.0]
    np.testing.assert_allclose(
        rest(model.system, held), model.state(rest(model.core, held), held), atol=1e-12
    )
    assert np.array_equal(late(u, delays)[max(delays) :], shown[max(delays) :])
    assert np.array_equal(late(u, delays)[0], u[0])


def test_without_delays_nothing_is_another(tmp_path):
    model = stable_model(1, 2, (3,), 2)
    same, other = replace(model, delays=(0, 0)), replace(model, delays=(0, 2))
    assert model.system is model.core
    assert (model.delays, same.digest) == ((0, 0), model.digest)
    assert "delays" not in model.content()
    assert other.digest != model.digest
    other.save(tmp_path / "model.json")
    again = Model.load(tmp_path / "model.json")
    assert (again.delays, again.digest) == ((0, 2), other.digest)
    assert (other.shared_delay, other.uneven_delays.tolist()) == (0, [0, 2])


@pytest.mark.parametrize(
    ("delays", "message"),
    [
        ((1,), r"model: delays must be 2, one for each input, got \[1\]"),
        ((1, -1), r"model: delays must be whole numbers of samples from 0 to 1000, got \[1, -1\]"),
        (
            (1, 1001),
            r"model: delays must be whole numbers of samples from 0 to 1000, got \[1, 1001\]",
        ),
        (
            (1, 0.5),
            r"model: delays must be whole numbers of samples from 0 to 1000, got \[1, 0.5\]",
        ),
    ],
)
def test_delays_that_cannot_be(delays, message):
    with pytest.raises(InputError, match=message):
        replace(stable_model(1, 2), delays=delays)


def test_a_file_with_impossible_delays_is_no_model(tmp_path):
    model = stable_model(1, 2)
    artefact_file.write_json(
        tmp_path / "model.json", "lstm_mpc model", {**model.content(), "delays": [1, "x"]}
    )
    with pytest.raises(
        InputError,
        match=r"model.json: is not a usable model \('delays'\[1\] is 'x', not a whole number",
    ):
        Model.load(tmp_path / "model.json")


# -- from data -------------------------------------------------------------------------------------


def records(delays, steps=300):
    """Training and validation data of two lags with a static bend, behind lines."""
    x, u, d = ca.SX.sym("x", 2), ca.SX.sym("u", 2), ca.SX.sym("d", 0)
    step = ca.Function(
        "step",
        [x, u, d],
        [ca.vertcat(0.8 * x[0, :] + 0.2 * ca.tanh(u[0, :]), 0.6 * x[1, :] + 0.4 * u[1, :])],
    )
    output = ca.Function("output", [x], [x[0, :] + 0.5 * x[1, :]])
    inputs = (Signal("u1", "V", -1.0, 1.0), Signal("u2", "V", -1.0, 1.0))
    plant = delayed(
        System("two lags", inputs, (Signal("y", "m"),), 1.0, np.zeros(2), step, output),
        delays,
        [0.0, 0.0],
    )
    sets = []
    for seed in (0, 1):
        u = np.repeat(np.random.default_rng(seed).uniform(-1, 1, (steps // 5, 2)), 5, axis=0)
        sets.append(Dataset(inputs, plant.outputs, 1.0, (Record("r", u, simulate(plant, u).y),)))
    return sets


@pytest.fixture(scope="module")
def lags():
    return records((4, 0))


@pytest.fixture(scope="module")
def knowing(lags):
    own = TrainingOptions(cells=(3,), iterations=40, delays=(4, 0), conditions=("iss",))
    return identify(*lags, own, SearchOptions(starts=1, seed=1, transient=20), name="knows").model


def test_training_with_the_delays_fits_what_training_without_cannot(lags, knowing):
    ignorant = identify(
        *lags,
        TrainingOptions(cells=(3,), iterations=40, conditions=("iss",)),
        SearchOptions(starts=1, seed=1, transient=20),
    ).model
    with_them, without = (
        record_fits(model, lags[1], transient=20, seed=0)[0].mean_removed[0]
        for model in (knowing, ignorant)
    )
    assert with_them > 96.0
    assert without < 90.0
    assert (knowing.delays, ignorant.delays) == ((4, 0), (0, 0))
    assert "delays" not in knowing.origin["settings"]  # they are the model's own


def test_what_the_network_is_trained_on_is_late(lags):
    scaling, (record,) = scale(lags[0]), lags[0].records
    (plain,), (piece,) = (pieces_of(lags[0], scaling, 10, delays=delays) for delays in ((), (4, 0)))
    assert np.array_equal(plain.u, scaling.u_in(record.u))
    assert np.array_equal(piece.u, late(plain.u, (4, 0)))
    assert np.array_equal(piece.y, plain.y)
    (early,) = pieces_of(lags[0], scaling, 1, delays=(4, 0))
    assert np.flatnonzero(early.weight[:, 0])[0] == 4  # before, nobody knows what arrived
    with pytest.raises(
        InputError, match=r"train: delays must be 2, one for each input, got \[1, 2, 3\]"
    ):
        pieces_of(lags[0], scaling, 10, delays=(1, 2, 3))
    with pytest.raises(
        InputError, match="train: delays must be whole numbers of samples from 0 to 1000"
    ):
        TrainingOptions(delays=(-1,))


def test_training_from_a_model_keeps_its_delays():
    model = replace(stable_model(1, 2), delays=(4, 0))
    assert (
        _with_delays(TrainingOptions(), model).delays
        == _with_delays(TrainingOptions(delays=(4, 0)), model).delays
        == (4, 0)
    )
    told = (
        r"train: delays \[1, 0\] in the design are not \[4, 0\] of the model to begin from, whose"
        r" weights belong to its own; leave"
    )
    with pytest.raises(InputError, match=told):
        _with_delays(TrainingOptions(delays=(1, 0)), model)


def test_the_start_of_a_record_is_found_through_the_line():
    model = replace(stable_model(4, 2), delays=(3, 1))
    u = np.repeat(np.random.default_rng(2).uniform(model.u_low, model.u_high, (30, 2)), 4, axis=0)
    start = model.state(np.full(model.sizes.n, 0.4), u[0])
    y = simulate(model.system, u, x0=start).y
    found = simulate(model.system, u, x0=estimate_start(model, u[:60], y[:60])).y
    assert np.abs(found - y)[60:].max() < 1e-3
    data = Dataset(model.inputs, model.outputs, model.Ts, (Record("r", u, y),))
    assert record_fits(model, data, transient=60, seed=0, window=60)[0].mean_removed[0] > 99.0
    assert record_fits(model, data, transient=60, seed=0)[0].mean_removed[0] > 95.0
    assert (
        record_fits(replace(model, delays=()), data, transient=60, seed=0, window=60)[
            0
        ].mean_removed[0]
        < 90.0
    )
    same = identified(model.network, data, model.scaling, {}, "m", delays=(3, 1))
    assert (same.delays, same.core.n, same.system.n) == ((3, 1), 6, 10)


# -- what is proved and sampled --------------------------------------------------------------------


@settings(max_examples=6, deadline=None)
@given(delays=DELAYS, seed=st.integers(0, 99))
def test_two_runs_with_the_same_input_meet_whatever_the_starts_and_the_lines(delays, seed):
    model = replace(model_of(stable_network(3, 2, (3,), 1)), delays=delays)
    certificate = certify(model, "delta_iss")
    assert certificate.holds
    rng, u = np.random.default_rng(seed), wild(model, 400, seed)
    bound = np.concatenate([certificate.constants["layers"][0]["x_bar"], np.ones(3)])
    lines = [
        [
            rng.uniform(low, high, d)
            for low, high, d in zip(model.u_low, model.u_high, delays, strict=True)
        ]
        for _ in range(2)
    ]
    runs = [
        simulate(model.system, u, x0=np.concatenate([rng.uniform(-bound, bound), *line])).chi
        for line in lines
    ]
    assert np.abs(runs[0] - runs[1])[-1].max() < 1e-6
    # after the longest delay the inputs are the same, and from there on the distance falls at the
    # certified rate
    apart = (
        np.abs(runs[0] - runs[1])[max(delays) :, : model.sizes.n]
        / certificate.constants["witnesses"][0]
    )
    rate = certificate.constants["layers"][0]["rate"]
    assert (apart.max(axis=1) <= apart[0].max() * rate ** np.arange(len(apart)) + ROUND_OFF).all()


@settings(max_examples=6, deadline=None)
@given(delays=DELAYS, seed=st.integers(0, 99))
def test_the_tube_holds_the_runs_of_the_delayed_model(delays, seed):
    model = replace(model_of(stable_network(2, 2, (3,), 2)), delays=delays)
    tube, alone = (
        reach(m, safe_set=2 * ((-100.0, 100.0),), steps=15)
        for m in (model, replace(model, delays=()))
    )
    assert (tube.tube_low, tube.tube_high) == (alone.tube_low, alone.tube_high)
    run = replay(
        model.system,
        network_law(model, dwell=(10.0, 50.0)),
        model.scaling,
        radius=1.0,
        index=seed,
        seed=0,
        steps=30,
    )
    low, high = np.asarray(tube.whole).T
    assert ((run.y >= low) & (run.y <= high)).all()


def test_a_scenario_starts_with_the_middle_of_the_inputs_under_way():
    model = replace(stable_model(1, 2), delays=(2, 1))
    law = network_law(model, dwell=(10.0, 50.0))
    start, _ = law.draw(0, seed=0, radius=1.0, steps=5, scaling=model.scaling, Ts=model.Ts)
    assert np.array_equal(start[6:], model.scaling.u_mid[[0, 0, 1]])
    plain, _ = network_law(replace(model, delays=()), dwell=(10.0, 50.0)).draw(
        0, seed=0, radius=1.0, steps=5, scaling=model.scaling, Ts=model.Ts
    )
    assert np.array_equal(start[:6], plain)


# -- observers -------------------------------------------------------------------------------------

TUNING = {"noise": 0.003, "drift": 0.01, "max_disturbance": 0.2}
OBSERVERS = {
    "open loop": (OpenLoop, None),
    "Kalman, input": (Kalman, KalmanTuning(**TUNING)),
    "Kalman, output": (Kalman, KalmanTuning(**TUNING, disturbance="output")),
    "gated": (Gated, GatedTuning(gains=(0.0,) * 16)),
}


def observer_of(model, kind, lag=0):
    make, tuning = OBSERVERS[kind]
    problem = ControlProblem(observer=tuning, dead_time=lag * model.Ts)
    return make(model, limits_of(model, problem), problem)


@pytest.fixture(scope="module")
def shipped():
    return Release.load(ROOT / "models" / "ph" / "release.json")


@pytest.fixture
def model():
    return replace(stable_model(3, 2, (3, 2), 2), delays=(1, 3))


@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("kind", OBSERVERS)
def test_an_observer_that_knows_the_delays_sees_no_disturbance(model, kind, lag):
    u = np.clip(wild(model, 40), model.u_low, model.u_high)
    run = simulate(model.system, u, x0=rest(model.system, u[0]))
    y = np.vstack([np.repeat(run.y[:1], lag, axis=0), run.y])
    ahead = simulate(model.core, late(u, (0, 2)), x0=rest(model.core, u[0])).chi
    knowing, ignorant = (
        observer_of(model, kind, lag),
        observer_of(replace(model, delays=()), kind, lag),
    )
    wrong = 0.0
    for observer in (knowing, ignorant):
        observer.reset(y[0], u[0])
    for k in range(40):
        for observer in (knowing, ignorant):
            observer.correct(y[k])
        np.testing.assert_allclose(knowing.chi, ahead[k], atol=1e-9)
        np.testing.assert_allclose(
            [*knowing.disturbance, *knowing.input_disturbance], 0.0, atol=1e-9
        )
        wrong = max(wrong, np.abs([*ignorant.disturbance, *ignorant.input_disturbance]).max())
        for observer in (knowing, ignorant):
            observer.predict(u[k])
    assert wrong > 1e-3
    assert np.array_equal(knowing.line.past, u[-2:])
    assert knowing.sound()


@pytest.mark.parametrize("kind", OBSERVERS)
def test_a_window_of_the_past_gives_state_and_line(model, kind):
    u = np.clip(wild(model, 40, 1), model.u_low, model.u_high)
    run = simulate(model.system, u, x0=model.state(np.full(10, 0.2), u[0]))
    observer = observer_of(model, kind, 1)
    observer.begin(u[6:36], run.y[5:35])
    # by the shared delay of a sample ahead of 36
    np.testing.assert_allclose(observer.chi, run.chi[37, :10], atol=1e-3)
    assert np.array_equal(observer.line.past, u[34:36])
    told = (
        r"control: to begin from the past needs more than the 4 sample\(s\) of dead time and input"
        r" delays, got 4"
    )
    with pytest.raises(InputError, match=told):
        observer.begin(u[:4], run.y[:4])


@pytest.mark.parametrize("kind", OBSERVERS)
@pytest.mark.parametrize("harm", [np.nan, np.inf, 99.0])
def test_a_line_with_what_cannot_have_been_applied_is_made_anew(model, kind, harm):
    observer = observer_of(model, kind)
    assert observer.sound()
    observer.line.past[1, 0] = harm
    assert not observer.sound()
    assert observer.sound()
    assert np.array_equal(observer.line.past, [observer._limits.u_safe] * 2)


@pytest.mark.slow
def test_the_moving_horizon_estimator_knows_the_delays(model):
    problem = ControlProblem(observer=MheTuning(**TUNING, window=5))
    observer = Mhe(model, limits_of(model, problem), problem)
    u = np.clip(wild(model, 12), model.u_low, model.u_high)
    y = simulate(model.system, u, x0=rest(model.system, u[0])).y
    observer.reset(y[0], u[0])
    for k in range(12):
        observer.correct(y[k])
        np.testing.assert_allclose(observer.input_disturbance, 0.0, atol=1e-5)
        observer.predict(u[k])


# -- the loop --------------------------------------------------------------------------------------


BOTH = ControlProblem(horizon=12, output_weight=[4.0, 2.0], move_penalty=[0.002, 0.001])


def iae(loop):
    """Of each output, in its unit times samples."""
    return np.abs(loop.truth - loop.reference).sum(axis=0)


@pytest.fixture(scope="module")
def crossed():
    """Two coupled lags as a network, and the plant: that network behind lines of 1 and 4 samples,
    its outputs off by a little."""
    layer = zero_layer(2, 2, W_c=[[1.0, 0.4], [-0.3, 1.0]], b_f=[[0.5], [0.5]])
    network = model_of(Network((layer,), np.diag([2.0, 2.0]), np.zeros((2, 1))))
    plant = delayed(network.core, (1, 4), [1.0, 4.0])
    chi = ca.SX.sym("chi", plant.n)
    off = ca.Function("output", [chi], [plant.output(chi) + ca.DM([0.03, -0.05])])
    return network, replace(plant, output=off, batch=None)


@pytest.fixture(scope="module")
def passed(crossed):
    return released_of(crossed[0])


@pytest.fixture(scope="module")
def around(crossed, passed):
    """Runs the plant under a controller of the network with `delays`."""
    _, plant = crossed
    y = np.asarray(plant.output(rest(plant, [1.0, 4.0]))).ravel()
    scenario = Scenario(
        "s", Steps((0.0, 50.0, 250.0), [y, y + [0.2, -0.3], y + [-0.1, 0.3]]), 450.0
    )

    def loop(engine, delays, problem=BOTH, **options):
        return simulate_closed_loop(
            plant, engine(later(passed, delays), problem), scenario, u_start=[1.0, 4.0], **options
        )

    return loop


def test_knowing_unequal_delays_is_worth_a_multiple_of_the_error(around):
    knowing, half, ignorant = (around(Sqp, delays) for delays in ((1, 4), (1, 1), (0, 0)))
    # 1.34 and 2.56; half: 1.60, 6.11; ignorant: 3.82, 15.7
    assert (iae(knowing) < [1.4, 2.7]).all()
    assert (iae(half) > [1.5, 6.0]).all()
    assert (iae(ignorant) > [3.5, 15.0]).all()
    assert all(move.optimal for move in knowing.moves)
    np.testing.assert_allclose(knowing.truth[-1], knowing.reference[-1], atol=1e-3)


def test_the_filter_knows_them_too(around):
    problem = replace(BOTH, observer=KalmanTuning(noise=0.003, drift=0.01, max_disturbance=0.5))
    knowing, ignorant = (around(Sqp, delays, problem) for delays in ((1, 4), (0, 0)))
    assert (iae(knowing) < [1.45, 2.65]).all()  # 1.40 and 2.58; ignorant: 2.74, 13.1
    assert (iae(ignorant) > [2.5, 12.0]).all()
    assert all(move.optimal for move in knowing.moves)


def test_linear_mpc_knows_them_too(around):
    assert (iae(around(LinearMpc, (1, 4))) < [1.5, 3.2]).all()  # 1.43 and 3.05; ignorant: 7.0, 24.7
    assert (iae(around(LinearMpc, (0, 0))) > [6.0, 20.0]).all()


@pytest.mark.slow
def test_do_mpc_moves_as_the_fast_engine_does(around):
    one, other = around(Sqp, (1, 4)), around(DoMpc, (1, 4))
    np.testing.assert_allclose(one.u, other.u, atol=1e-8 * 4)


def test_with_preview_it_moves_in_time_for_the_setpoint(around):
    problem = replace(BOTH, preview=True)
    seeing, blind = around(Sqp, (1, 4), problem, horizon=13), around(Sqp, (1, 4))
    assert (iae(seeing) < 0.1 * iae(blind)).all()  # 0.12 and 0.06
    assert problem.ahead(replace(stable_model(3, 2, (3, 2), 2), delays=(1, 4))) == 13


def test_an_operators_inputs_are_under_way_when_the_controller_takes_over(around):
    hand = np.array([[1.0, 4.0], [1.4, 4.0], [1.4, 3.2], [1.4, 3.0], [1.2, 3.0]])
    loop = around(Sqp, (1, 4), manual=hand)
    assert np.array_equal(loop.u[:5], hand)
    # all that moved was known
    assert all(np.abs(move.disturbance - [0.03, -0.05]).max() < 1e-9 for move in loop.moves)


def test_a_dead_time_written_down_nowhere_is_worth_half_the_error(plant, shipped):
    behind, scenario = (
        delayed(plant, (3,), [15.6]),
        Scenario("s", Steps((0.0, 200.0, 600.0), [7.0, 7.6, 6.8]), 1000.0),
    )
    problem, loops = ControlProblem(horizon=12, move_penalty=0.05, max_move=1.0), []
    for delays in ((3,), (0,)):
        loops.append(
            simulate_closed_loop(
                behind, Sqp(later(shipped, delays), problem), scenario, u_start=[15.6]
            )
        )
    knowing, ignorant = loops
    assert iae(knowing)[0] < 0.5 * iae(ignorant)[0]  # 99 and 207 pH·s
    assert (
        np.abs(np.diff(knowing.u, axis=0)).sum() < 0.4 * np.abs(np.diff(ignorant.u, axis=0)).sum()
    )
    assert all(move.optimal for move in knowing.moves)


def test_a_horizon_that_a_late_input_does_not_reach_is_refused(passed):
    told = (
        r"control: horizon must be longer than the 2 sample\(s\) by which input delays differ, got"
        r" 2: an input would act on nothing"
    )
    with pytest.raises(InputError, match=told):
        Sqp(later(passed, (1, 3)), ControlProblem(horizon=2))
    Sqp(later(passed, (1, 3)), ControlProblem(horizon=3))


def test_onnx_is_refused(passed):
    with pytest.raises(
        InputError,
        match=(
            r"ONNX: its LSTM node knows no input delays, and this model has \[1, 3\]; use --target"
            r" c or fmu"
        ),
    ):
        onnx_model(later(passed, (1, 3)))
