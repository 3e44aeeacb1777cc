"""The Kalman filter: the textbook's recursion, what it estimates, what it believes, and what it
never does whatever is measured."""

from collections import deque
from dataclasses import replace

import casadi as ca
import numpy as np
import paper
import pytest
from builders import plain, released
from hypothesis import given, settings, strategies as st
from tolerances import DIFFERENCE, OFFSET, ROUND_OFF

from lstm_mpc.certificates.gate import Release
from lstm_mpc.control.controller import OPTIMAL, Status
from lstm_mpc.control.engines.sqp import Sqp
from lstm_mpc.control.limits import limits
from lstm_mpc.control.observers import kalman
from lstm_mpc.control.observers.kalman import Kalman, beyond
from lstm_mpc.control.observers.observer import OpenLoop, state_bound
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import simulate
from lstm_mpc.project.design import load_design

TUNING = KalmanTuning(
    noise=0.001, drift=0.02, max_disturbance=3.0
)  # the outputs of the model move by 0.1
QUIET = replace(TUNING, drift_boost=0.0)
LONG = 400  # samples in which the slowest test model and its filter come to rest


def made(release, tuning=TUNING, *, lag=0, **options):
    problem = ControlProblem(observer=tuning, dead_time=lag * release.model.Ts, **options)
    return Kalman(release.model, limits(release, problem), problem)


def experiment(model, N=60, *, lag=0, input_offset=0.0, output_offset=0.0, noise=0.0, seed=0):
    """The model itself with offsets, a noisy probe `lag` samples late: inputs, measurements, states
    [engineering]."""
    rng = np.random.default_rng(seed)
    levels = rng.uniform(
        0.6 * model.u_low + 0.4 * model.u_high,
        0.4 * model.u_low + 0.6 * model.u_high,
        (-(-N // 10), 2),
    )
    u = np.repeat(levels, 10, axis=0)[:N]
    moved = simulate(model.system, u + input_offset, x0=rest(model.system, u[0] + input_offset))
    y = moved.y + output_offset
    y = np.vstack([np.repeat(y[:1], lag, axis=0), y])[:N]
    return u, y + noise * rng.standard_normal(y.shape), moved.chi


def run(observer, y, u, *, reset=True):
    """Per sample the state (n,), and the estimated disturbances of output and input [engineering],
    after each correction."""
    if reset:
        observer.reset(y[0], u[0])
    found = []
    for measured, applied in zip(y, u, strict=True):
        observer.correct(measured)
        found.append((observer.chi, observer.disturbance, observer.input_disturbance))
        observer.predict(applied)
    return [np.array(column) for column in zip(*found, strict=True)]


# -- the textbook ----------------------------------------------------------------------------------


class Textbook:
    """The extended Kalman filter of any textbook on [χ; w], all outputs at once, derivatives by
    differences, normalised; a late probe is a filter that runs late, whose estimate is run on.
    Begins where `observer` stands."""

    def __init__(self, model, tuning, observer, lag):
        n, nu, ny = model.sizes.n, len(model.inputs), len(model.outputs)
        self.layers, self.C, self.b = (
            plain(model.network),
            model.network.C,
            model.network.b_y.ravel(),
        )
        self.n, self.input = n, tuning.input
        m, span = (nu, model.scaling.u_span) if tuning.input else (ny, model.scaling.y_span)
        self.z, self.P = np.concatenate([observer._seen, observer._w]), observer._P.copy()
        self.R = np.diag((tuning.noise / model.scaling.y_span) ** 2)
        self.Q = np.diag([*[tuning.state_noise**2] * n, *(tuning.drift / span) ** 2])
        self.most = 0.25 * (tuning.max_disturbance / span) ** 2
        self.H = np.hstack(
            [
                np.zeros((ny, n - self.C.shape[1])),
                self.C,
                np.zeros((ny, m)) if tuning.input else np.eye(ny),
            ]
        )
        self.inputs = deque(observer._queue, maxlen=lag + 1)

    def follow(self, z, v):
        v = [a + b for a, b in zip(v, z[self.n :], strict=True)] if self.input else list(v)
        return np.array([*paper.lstm_step(self.layers, list(z[: self.n]), v), *z[self.n :]])

    def correct(self, y):
        K = self.P @ self.H.T @ np.linalg.inv(self.H @ self.P @ self.H.T + self.R)
        self.z = self.z + K @ (y - self.H @ self.z - self.b)
        self.P = (np.eye(len(self.z)) - K @ self.H) @ self.P

    def predict(self, v):
        self.inputs.append(v)
        v, step = self.inputs[0], 1e-6
        A = np.array(
            [
                (self.follow(self.z + e, v) - self.follow(self.z - e, v)) / (2 * step)
                for e in step * np.eye(len(self.z))
            ]
        ).T
        self.z, self.P = self.follow(self.z, v), A @ self.P @ A.T
        Q = self.Q.copy()
        grown = np.diag(self.P)[self.n :] >= self.most  # nothing is less known than at the start
        Q[self.n :, self.n :][:, grown] = 0.0
        self.P = self.P + Q

    def now(self):
        z = self.z
        for v in list(self.inputs)[max(0, len(self.inputs) - self.inputs.maxlen + 1) :]:
            z = self.follow(z, v)
        return z


@pytest.mark.parametrize("disturbance", ["input", "output"])
@pytest.mark.parametrize("lag", [0, 3])
def test_it_is_the_filter_of_the_textbook(mimo, monkeypatch, disturbance, lag):
    """Two layers, two outputs; without what is learned on the way."""
    monkeypatch.setattr(kalman, "FADE", 0.0)
    model, tuning = (
        mimo.model,
        replace(
            QUIET, disturbance=disturbance, noise=np.array([0.002, 0.005]), delay_uncertainty=0.0
        ),
    )
    u, y, _ = experiment(
        model, lag=lag, input_offset=[0.3, -0.2], output_offset=0.002, noise=0.0005
    )
    observer = made(mimo, tuning, lag=lag)
    observer.reset(y[0], u[0])
    textbook = Textbook(model, tuning, observer, lag)
    for measured, applied in zip(y, u, strict=True):
        observer.correct(measured)
        textbook.correct(model.scaling.y_in(measured))
        z = textbook.now()
        np.testing.assert_allclose(observer.chi, z[: model.sizes.n], atol=DIFFERENCE)
        np.testing.assert_allclose(observer._w, z[model.sizes.n :], atol=DIFFERENCE)
        np.testing.assert_allclose(observer._P, textbook.P, atol=DIFFERENCE)
        observer.predict(applied)
        textbook.predict(model.scaling.u_in(applied))
    assert np.abs(observer._w).max() > 0.001  # there was something to find


def test_a_wrong_filter_is_not_the_textbooks(mimo, monkeypatch):
    """Must fail: half the gain."""
    monkeypatch.setattr(kalman, "FADE", 0.0)
    u, y, _ = experiment(mimo.model, input_offset=[0.3, -0.2])
    right, wrong = made(mimo, QUIET), made(mimo, replace(QUIET, noise=0.002))
    assert np.abs(run(right, y, u)[2] - run(wrong, y, u)[2]).max() > 100 * DIFFERENCE


# -- what it finds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [0, 2])
def test_a_constant_input_disturbance_is_found_exactly_on_its_own_model(mimo, lag):
    u, y, chi = experiment(mimo.model, LONG, lag=lag, input_offset=[0.4, -0.3])
    found, _, input_disturbance = run(made(mimo, lag=lag), y, u)
    np.testing.assert_allclose(input_disturbance[-1], [0.4, -0.3], atol=1e-6)
    np.testing.assert_allclose(found[-1], chi[LONG - 1], atol=1e-6)
    assert np.abs(input_disturbance[5] - [0.4, -0.3]).max() > 1e-3  # it had to be found


def test_with_noise_it_is_found_on_average_and_more_quietly_than_the_noise(mimo):
    u, y, chi = experiment(mimo.model, LONG, input_offset=[0.4, -0.3], noise=0.0005)
    found, _, input_disturbance = run(made(mimo, replace(TUNING, drift=0.004)), y, u)
    np.testing.assert_allclose(input_disturbance[LONG // 2 :].mean(axis=0), [0.4, -0.3], atol=0.1)
    estimated = np.array([np.asarray(mimo.model.system.output(x)).ravel() for x in found])
    truth = simulate(mimo.model.system, u + [0.4, -0.3], x0=chi[0]).y
    settled = slice(LONG // 4, None)
    assert np.std((estimated - truth)[settled]) < 0.7 * np.std((y - truth)[settled])


@pytest.mark.parametrize("disturbance", ["input", "output"])
@pytest.mark.parametrize(
    "offset",
    [{"input_offset": [0.4, -0.3]}, {"output_offset": [0.003, -0.003]}],
    ids=["input", "output"],
)
def test_at_rest_what_it_predicts_is_what_is_measured(mimo, disturbance, offset):
    """Offset-free: whichever disturbance there is, and whichever the filter thinks of, the outputs
    agree at a steady state."""
    u = np.tile(experiment(mimo.model)[0][:1], (LONG, 1))
    at_input, at_output = offset.get("input_offset", 0.0), offset.get("output_offset", 0.0)
    y = simulate(mimo.model.system, u + at_input, x0=rest(mimo.model.system, u[0])).y + at_output
    observer = made(mimo, replace(TUNING, disturbance=disturbance))
    run(observer, y, u)
    observer.correct(y[-1])
    output = np.asarray(mimo.model.system.output(observer.chi)).ravel() + observer.disturbance
    np.testing.assert_allclose(output, y[-1], atol=1e-6)
    steady = np.asarray(
        mimo.model.step(ca.DM(observer.chi), ca.DM(u[-1] + observer.input_disturbance))
    ).ravel()
    # and it stays there, so that the controller sees the same steady state
    np.testing.assert_allclose(steady, observer.chi, atol=1e-6)


@pytest.mark.parametrize(
    ("disturbance", "d"),
    [("input", [16.2, 0.55]), ("output", [16.6, 0.40])],
    ids=["acid", "buffer"],
)
def test_in_closed_loop_no_offset_is_left_on_a_plant_that_the_model_does_not_know(
    pytestconfig, disturbance, d
):
    design = load_design(pytestconfig.rootpath / "models" / "ph")
    units = {} if disturbance == "input" else {"drift": 0.01, "max_disturbance": 3.0}
    tuning = replace(design.control.observer, disturbance=disturbance, **units)
    engine = Sqp(
        Release.load(design.file("release.json")),
        replace(design.control, observer=tuning),
        design.solver,
    )
    scenario = Scenario("s", Steps((0.0,), [7.3]), 2400.0, Steps((0.0, 300.0), [[16.6, 0.55], d]))
    loop = simulate_closed_loop(design.system, engine, scenario, u_start=design.u_start)
    assert np.abs(loop.truth[-10:] - 7.3).max() < OFFSET
    assert np.abs(loop.truth[30:60] - 7.3).max() > 1.5 * OFFSET  # the disturbance was one


def test_with_hardly_any_drift_the_offset_stays(pytestconfig):
    """Must fail: a filter that takes the disturbance for constant and long known."""
    design = load_design(pytestconfig.rootpath / "models" / "ph")
    tuning = replace(design.control.observer, drift=1e-9, drift_boost=0.0)
    engine = Sqp(
        Release.load(design.file("release.json")),
        replace(design.control, observer=tuning),
        design.solver,
    )
    scenario = Scenario(
        "s", Steps((0.0,), [7.3]), 3000.0, Steps((0.0, 1500.0), [[16.6, 0.55], [16.2, 0.55]])
    )
    loop = simulate_closed_loop(design.system, engine, scenario, u_start=design.u_start)
    assert np.abs(loop.truth[-10:] - 7.3).max() > 3 * OFFSET


def test_a_known_dead_time_is_no_disturbance(mimo):
    u, y, _ = experiment(mimo.model, lag=3)
    knowing, ignorant = (run(made(mimo, lag=lag), y, u)[2] for lag in (3, 0))
    np.testing.assert_allclose(knowing, 0.0, atol=1e-9)
    assert np.abs(ignorant).max() > 0.01


# -- what it learns --------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [[0.01, 0.0005], [0.0005, 0.01]])
def test_the_noise_of_each_output_is_learned(mimo, noise):
    u, y, _ = experiment(mimo.model, LONG)
    y = y + noise * np.random.default_rng(1).standard_normal(y.shape)
    observer, learned = made(mimo), []
    observer.reset(y[0], u[0])
    for measured, applied in zip(y, u, strict=True):
        observer.correct(measured)
        learned.append(np.sqrt(observer._r) * mimo.model.scaling.y_span)
        observer.predict(applied)
    found = np.median(learned[100:], axis=0)
    assert (found > 0.6 * np.array(noise)).all()
    assert (found < 2.0 * np.array(noise)).all()


def test_one_wild_measurement_teaches_little_and_silence_does_not_make_it_certain(mimo):
    u, y, _ = experiment(mimo.model, 3)
    observer = made(mimo)
    observer.reset(y[0], u[0])
    observer.correct(y[0])
    r = observer._r.copy()
    observer.correct(y[0] + 100.0)
    np.testing.assert_allclose(observer._r, (1 + 8 * kalman.FADE) * r)
    for _ in range(200):
        observer.correct(np.asarray(mimo.model.system.output(observer.chi)).ravel())
    assert (
        observer._r >= kalman.FLOOR * (0.001 / mimo.model.scaling.y_span) ** 2 * (1 - ROUND_OFF)
    ).all()


def test_innovations_that_keep_their_sign_quicken_it(mimo):
    """A step of the disturbance is found sooner with `alert` than without."""
    u = np.tile(experiment(mimo.model)[0][:1], (160, 1))
    step = np.where(np.arange(160)[:, None] < 100, 0.0, [[0.5, 0.5]])
    y = simulate(mimo.model.system, u + step, x0=rest(mimo.model.system, u[0])).y
    slow, quick = (
        run(made(mimo, replace(TUNING, drift=0.002, drift_boost=drift_boost)), y, u)[2][104:130]
        for drift_boost in (0.0, 20.0)
    )
    assert np.abs(quick - 0.5).mean() < 0.7 * np.abs(slow - 0.5).mean()


# -- what it believes ------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf, 5.01, -5.01])
@pytest.mark.parametrize("j", [0, 1])
def test_a_lost_measurement_counts_as_if_it_had_no_sensor(mimo, lost, j):
    """What is left is the filter that reads the other output alone."""
    u, y, _ = experiment(mimo.model)
    one, other, whole = (made(mimo, sensor_low=-5.0, sensor_high=5.0) for _ in range(3))
    for observer in (one, other, whole):
        observer.reset(y[0], u[0])
    a, b = y[0] + 0.01, y[0] + 0.01
    a[j], b[j] = lost, np.nan
    assert one.correct(a) == Status.MEASUREMENT_INVALID
    other.correct(b)
    assert whole.correct(y[0] + 0.01) == OPTIMAL
    np.testing.assert_array_equal(one._w, other._w)
    assert not np.array_equal(one._w, whole._w)
    kept = [member.copy() for member in (one.chi, one._w, one._P)]
    assert one.correct([np.nan, np.nan]) == Status.MEASUREMENT_INVALID
    for before, after in zip(kept, (one.chi, one._w, one._P), strict=True):
        np.testing.assert_array_equal(before, after)
    assert not one.change[0].any()
    assert not one.change[1].any()


def test_a_frozen_measurement_is_left_out_alone(mimo):
    u, y, _ = experiment(mimo.model)
    observer = made(mimo, frozen_after=2)
    observer.reset(y[0], u[0])
    said = []
    for k in range(5):
        said.append(observer.correct([0.1, 0.1 + 0.001 * k]))
        observer.predict(u[k])
    assert said == 2 * [OPTIMAL] + 3 * [Status.MEASUREMENT_FROZEN]
    assert np.isnan(observer._error[0])  # the noise is not learned from what repeats itself
    assert np.isfinite(observer._error[1])


def test_the_sample_of_the_reset_is_not_called_frozen(mimo):
    observer = made(mimo, frozen_after=1)
    observer.reset([0.1, 0.1], [1.0, 4.0])
    assert observer.correct([0.1, 0.1]) == OPTIMAL
    assert observer.correct([0.1, 0.1]) == Status.MEASUREMENT_FROZEN


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_estimate_stays_in_the_box_whatever_is_measured(mimo, data):
    """Any measurement, any admissible input, for as long as one likes: the box of the model under
    the max_disturbance disturbance."""
    model = mimo.model
    disturbance = data.draw(st.sampled_from(["input", "output"]))
    lag = data.draw(st.integers(0, 2))
    problem = ControlProblem(
        observer=replace(TUNING, disturbance=disturbance), dead_time=lag * model.Ts
    )
    observer = made(mimo, problem.observer, lag=lag)
    bound = state_bound(model, beyond=beyond(model, problem))
    number = st.floats(-1e290, 1e290) | st.floats(-3, 3) | st.just(np.nan)
    share = st.floats(0, 1)
    for _ in range(data.draw(st.integers(1, 8))):
        y, u = (
            [data.draw(number), data.draw(number)],
            np.array([data.draw(share), data.draw(share)]),
        )
        with np.errstate(over="ignore", invalid="ignore"):
            # as a controller asks before each sample; a covariance that overflowed is made anew
            observer.sound()
            observer.correct(y)
            assert (np.abs([observer.chi, observer._seen]) <= bound).all()
            observer.predict(model.u_low + u * (model.u_high - model.u_low))
        assert (np.abs([observer.chi, observer._seen]) <= bound).all()
        assert (np.abs(observer.input_disturbance) <= 3.0 * (1 + ROUND_OFF)).all()
        assert (np.abs(observer.disturbance) <= 3.0 * (1 + ROUND_OFF)).all()


# -- what it tells the solver ----------------------------------------------------------------------


@pytest.mark.parametrize("disturbance", ["input", "output"])
@pytest.mark.parametrize("lag", [0, 3])
def test_the_change_is_the_first_order_effect_of_the_correction(mimo, disturbance, lag):
    """Of measurements closer and closer to what was expected: what remains falls with the
    square."""
    u, y, _ = experiment(mimo.model, lag=lag, input_offset=[0.3, -0.2])
    left = []
    for size in (1e-3, 1e-4):
        observer = made(mimo, replace(QUIET, disturbance=disturbance), lag=lag)
        run(observer, y[:20], u[:20])
        expected = model_output(observer, mimo)
        before = observer.chi, observer.input_disturbance / mimo.model.scaling.u_span
        observer.correct(expected + size * np.array([1.0, -0.5]))
        for now, was in zip(observer.prior, before, strict=True):
            np.testing.assert_array_equal(now, was)
        after = observer.chi, observer.input_disturbance / mimo.model.scaling.u_span
        left.append(
            [
                np.abs(b + c - a).max()
                for a, b, c in zip(after, before, observer.change, strict=True)
            ]
        )
        assert observer.change[0].any()
        assert observer.change[1].any() == (disturbance == "input")
    for coarse, fine in zip(*left, strict=True):
        assert fine <= 0.02 * coarse + ROUND_OFF
    observer.predict(u[20])
    assert observer.prior[0] is observer.chi  # nothing is known of the next measurement
    assert not observer.change[0].any()


def model_output(observer, release):
    """What the filter expects the probe to say."""
    normalised = observer._H @ np.concatenate([observer._seen, observer._w]) + observer._b
    return release.model.scaling.y_out(normalised)


# -- the state watch -------------------------------------------------------------------------------

CORRUPT = {
    "chi nan": lambda o: o.chi.__setitem__(0, np.nan),
    "chi beyond its bound": lambda o: o.chi.__setitem__(0, 1e3),
    "seen nan": lambda o: o._seen.__setitem__(1, np.nan),
    "seen beyond 1": lambda o: o._seen.__setitem__(3, -1.001),
    "disturbance nan": lambda o: o._w.__setitem__(0, np.nan),
    "disturbance beyond the max_disturbance": lambda o: o._w.__setitem__(1, -1.01),
    "covariance": lambda o: o._P.__setitem__((2, 3), np.inf),
    "noise nan": lambda o: o._r.__setitem__(0, np.nan),
    "noise zero": lambda o: o._r.__setitem__(1, 0.0),
    "trend": lambda o: o._trend.__setitem__(0, np.nan),
    "slope": lambda o: o._slope.__setitem__(1, np.inf),
    "inputs under way": lambda o: o._queue[1].__setitem__(0, np.nan),
}


@pytest.mark.parametrize("harm", CORRUPT.values(), ids=CORRUPT)
def test_a_corrupt_member_is_noticed_and_all_is_made_anew(mimo, harm):
    u, y, _ = experiment(mimo.model)
    observer = made(mimo, lag=2)
    run(observer, y[:10], u[:10])
    assert observer.sound()
    harm(observer)
    assert not observer.sound()
    assert observer.sound()
    np.testing.assert_allclose(observer.chi, rest(mimo.model.system, [1.0, 4.0]), rtol=ROUND_OFF)
    assert not observer.input_disturbance.any()
    assert observer.correct(y[10]) == OPTIMAL


def test_states_at_their_bounds_are_sound(mimo):
    """Must fail: no false alarm where everything is at its limit."""
    observer = made(mimo)
    observer._seen[:] = observer.chi[:] = -observer._bound
    observer._w[:] = observer._t.max_disturbance
    assert observer.sound()


@pytest.mark.parametrize("disturbance", ["input", "output"])
def test_a_reset_explains_the_measurement(mimo, disturbance):
    u, y, _ = experiment(mimo.model)
    observer = made(mimo, replace(TUNING, disturbance=disturbance, noise=1e-5))
    told = observer.reset(y[0] + [0.01, -0.01], u[0])
    np.testing.assert_allclose(told, y[0] + [0.01, -0.01], atol=1e-3)
    ignorant = OpenLoop(mimo.model, limits(mimo, ControlProblem()), ControlProblem()).reset(
        [np.nan, np.nan], u[0]
    )
    # without a measurement: that of the model at rest
    np.testing.assert_allclose(ignorant, y[0], atol=1e-9)


# -- what is refused -------------------------------------------------------------------------------

REFUSED = {
    "kind of disturbance": (
        {"disturbance": "valve"},
        r"observer: disturbance must be 'input' or 'output', got 'valve'",
    ),
    "state noise": (
        {"state_noise": -1.0},
        r"observer: state_noise must be a number, not negative, got -1.0",
    ),
    "alert": (
        {"drift_boost": np.nan},
        r"observer: drift_boost must be a number, not negative, got nan",
    ),
    "timing": (
        {"delay_uncertainty": np.inf},
        r"observer: delay_uncertainty must be a number, not negative, got inf",
    ),
    "noise zero": (
        {"noise": 0.0},
        (
            r"observer: noise, drift and max_disturbance of the input disturbance must be positive"
            r" numbers"
        ),
    ),
    "drift negative": (
        {"drift": [0.1, -0.1], "disturbance": "output"},
        r"of the output disturbance must be positive numbers",
    ),
    "max_disturbance infinite": ({"max_disturbance": np.inf}, r"must be positive numbers"),
    "noise of three": (
        {"noise": [1.0, 1.0, 1.0]},
        r"control: noise needs one number or 2, got \[1.0, 1.0, 1.0\]",
    ),
    "drift nan": ({"drift": np.nan}, r"control: drift needs one number or 2, got nan"),
    "too large a disturbance": (
        {"max_disturbance": 500.0},
        (
            r"input disturbances up to 500.0 the inputs reach 251 \(normalised\), where δISS does"
            r" not hold \(margin -.*\); give a smaller"
        ),
    ),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(mimo, changes, words):
    with pytest.raises(InputError, match=words):
        made(mimo, replace(TUNING, **changes))


def test_a_disturbance_at_the_output_may_be_large(mimo):
    """Must fail: only at the input does it reach into the network."""
    made(mimo, replace(TUNING, max_disturbance=500.0, disturbance="output"))


def test_fewer_inputs_than_outputs_cannot_explain_them():
    release = released("mimo")  # two inputs, three outputs
    with pytest.raises(
        InputError,
        match=(
            r"observer: 2 input disturbance\(s\) cannot explain 3 outputs; use disturbance ="
            r" 'output'"
        ),
    ):
        made(release)
    made(release, replace(TUNING, disturbance="output"))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            'kind = "luenberger"',
            r"\[observer\] kind must be 'open_loop', 'kalman', 'gated', 'mhe', got 'luenberger'",
        ),
        ('kind = "open_loop"\nnoise = 0.1', r"unknown key 'noise' in \[observer\]"),
        (
            'kind = "kalman"\nnoise = 0.1\ndrift = 0.1\nmax_disturbance = 1.0\nnoize = 2.0',
            r"unknown key 'noize' in \[observer\]; did you mean 'noise'",
        ),
        (
            'kind = "kalman"\nnoise = 0.1',
            r"\[observer\] lacks 'drift' and 'max_disturbance'",
        ),
        (
            'kind = "kalman"\nnoise = "low"\ndrift = 0.1\nmax_disturbance = 1.0',
            r"\[observer\] noise is 'low', not a number or a list of numbers",
        ),
        (
            'kind = "kalman"\nnoise = 0.1\ndrift = 0.1\nmax_disturbance = 1.0\ndrift_boost = -1.0',
            r"observer: drift_boost must be a number, not negative",
        ),
        ("noise = 0.1", r"unknown key 'noise' in \[observer\]"),
    ],
    ids=["kind", "open loop", "typo", "missing", "type", "value", "no kind"],
)
def test_the_table_of_a_design(pytestconfig, tmp_path, table, words):
    text = (pytestconfig.rootpath / "models" / "ph" / "design.toml").read_text(encoding="utf-8")
    start, end = text.index("[observer]"), text.index("[solver]")
    (tmp_path / "design.toml").write_text(
        f"{text[:start]}[observer]\n{table}\n\n{text[end:]}", encoding="utf-8"
    )
    with pytest.raises(InputError, match=words):
        load_design(tmp_path)


@pytest.mark.parametrize("table", ["", '[observer]\nkind = "open_loop"\n'])
def test_without_a_kind_the_observer_is_the_open_loop_one(pytestconfig, tmp_path, table):
    text = (pytestconfig.rootpath / "models" / "ph" / "design.toml").read_text(encoding="utf-8")
    start, end = text.index("[observer]"), text.index("[solver]")
    (tmp_path / "design.toml").write_text(text[:start] + table + text[end:], encoding="utf-8")
    assert load_design(tmp_path).control.observer is None
