"""The observer: what it estimates, which measurements it believes, which states it takes for its
own."""

import numpy as np
import pytest
from builders import stable_model
from tolerances import ROUND_OFF

from lstm_mpc.control.controller import OPTIMAL, Status
from lstm_mpc.control.limits import limits
from lstm_mpc.control.observers.observer import OpenLoop, state_bound
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import simulate

OFFSET = np.array([0.3, -0.2])


def run(observer, y, u):
    """Disturbance estimates along measurements `y` and inputs `u`."""
    found = []
    for measured, applied in zip(y, u, strict=True):
        observer.correct(measured)
        found.append(observer.disturbance)
        observer.predict(applied)
    return np.array(found)


@pytest.fixture
def watch(mimo):
    """Makes an observer of the model."""

    def make(gain=0.6, *, lag=0, **options):
        problem = ControlProblem(**options, dead_time=lag * mimo.model.Ts)
        object.__setattr__(problem, "observer_gain", gain)  # also one that `ControlProblem` refuses
        return OpenLoop(mimo.model, limits(mimo, problem), problem)

    return make


def experiment(model, lag=0):
    """The model itself, with an offset on its output and a probe `lag` samples late: inputs,
    measurements."""
    rng = np.random.default_rng(0)
    u = np.repeat(rng.uniform(model.u_low, model.u_high, (6, 2)), 5, axis=0)
    y = simulate(model.system, u, x0=rest(model.system, u[0])).y + OFFSET
    return u, np.vstack([np.repeat(y[:1], lag, axis=0), y])[: len(u)]


@pytest.mark.parametrize("gain", [0.2, 0.6, 1.0, 1.9])
def test_the_disturbance_converges_geometrically_to_a_constant_offset(mimo, watch, gain):
    u, y = experiment(mimo.model)
    observer = watch(gain)
    observer.reset(y[0] - OFFSET, u[0])  # at rest, no mismatch seen yet
    np.testing.assert_allclose(observer.disturbance, 0.0, atol=ROUND_OFF)
    left = (1.0 - gain) ** np.arange(1, len(u) + 1)
    np.testing.assert_allclose(run(observer, y, u), OFFSET * (1.0 - left[:, None]), atol=ROUND_OFF)


@pytest.mark.parametrize("gain", [-0.1, 2.1])
def test_outside_its_range_the_gain_diverges(mimo, watch, gain):
    """Must fail: why `ControlProblem` asks for a gain in (0, 2)."""
    u, y = experiment(mimo.model)
    observer = watch(gain)
    observer.reset(y[0] - OFFSET, u[0])
    assert np.abs(run(observer, y, u)[-1] - OFFSET).max() > 1.0


def test_a_reset_takes_the_whole_mismatch_as_disturbance_and_starts_at_rest(mimo, watch):
    u, y = experiment(mimo.model)
    observer = watch()
    np.testing.assert_allclose(observer.reset(y[0], u[0]), y[0], rtol=ROUND_OFF)
    np.testing.assert_allclose(observer.disturbance, OFFSET, rtol=ROUND_OFF)
    np.testing.assert_allclose(observer.chi, rest(mimo.model.system, u[0]), rtol=ROUND_OFF)
    np.testing.assert_allclose(run(observer, y, u), np.tile(OFFSET, (len(u), 1)), rtol=1e-9)
    observer.reset(y[0], u[0])
    np.testing.assert_allclose(observer.disturbance, OFFSET, rtol=ROUND_OFF)


@pytest.mark.parametrize("lag", [1, 3])
def test_a_known_dead_time_is_no_disturbance(mimo, watch, lag):
    u, y = experiment(mimo.model, lag)
    knowing, ignorant = watch(lag=lag), watch()
    for observer in (knowing, ignorant):
        observer.reset(y[0], u[0])
    np.testing.assert_allclose(run(knowing, y, u), np.tile(OFFSET, (len(u), 1)), rtol=1e-9)
    assert np.abs(run(ignorant, y, u) - OFFSET).max() > 0.01


# -- measurements that are not believed, output by output ------------------------------------------


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf, 5.01, -5.01])
def test_a_lost_measurement_leaves_its_own_disturbance_as_it_was(mimo, watch, lost):
    u, y = experiment(mimo.model)
    observer = watch(sensor_low=-5.0, sensor_high=5.0)
    observer.reset([lost, 0.0], u[0])
    assert (observer.disturbance[0], observer.disturbance[1] != 0.0) == (0.0, True)
    observer.reset(y[0], u[0])
    before = observer.disturbance
    assert observer.correct([lost, y[0, 1] + 1.0]) == Status.MEASUREMENT_INVALID
    np.testing.assert_allclose(observer.disturbance - before, [0.0, 0.6], atol=ROUND_OFF)
    assert observer.correct(y[0] + 1.0) == OPTIMAL
    assert (observer.disturbance != before).all()


def test_the_ends_of_the_sensors_range_are_still_believed(mimo, watch):
    u, _ = experiment(mimo.model)
    observer = watch(sensor_low=-5.0, sensor_high=5.0)
    observer.reset([0.0, 0.0], u[0])
    assert observer.correct([5.0, -5.0]) == OPTIMAL
    assert (observer.disturbance != 0.0).all()


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_measurement_that_repeats_itself_so_often_is_frozen(mimo, watch, after):
    u, y = experiment(mimo.model)
    observer = watch(frozen_after=after)
    observer.reset(y[0], u[0])
    said = [observer.correct([0.5, 0.1 * k]) for k in range(6)]
    frozen = after or len(said)
    assert said == [OPTIMAL] * frozen + [Status.MEASUREMENT_FROZEN] * (6 - frozen)
    held = observer.disturbance
    observer.correct([0.5, 9.0])
    assert (observer.disturbance[0] == held[0]) == bool(after)
    assert observer.disturbance[1] != held[1]  # the other output goes on
    assert observer.correct([0.5001, 0.0]) == OPTIMAL  # it moves again
    assert observer.disturbance[0] != held[0]


def test_a_measurement_written_into_the_same_memory_each_time_is_not_frozen(watch):
    observer, y = watch(frozen_after=1), np.zeros(2)
    observer.reset(y, [1.0, 4.0])
    for k in range(3):
        y[:] = 0.1 * k
        assert observer.correct(y) == OPTIMAL


def test_the_sample_of_the_reset_counts_once(mimo, watch):
    """A loop resets with the measurement that it then hands to the first step."""
    observer = watch(frozen_after=1)
    observer.reset([0.5, 0.5], [1.0, 4.0])
    assert observer.correct([0.5, 0.5]) == OPTIMAL
    assert observer.correct([0.5, 0.5]) == Status.MEASUREMENT_FROZEN


def test_a_measurement_of_a_wrong_number_is_an_input_error(watch):
    with pytest.raises(InputError, match=r"control: a measurement needs 2 value\(s\), got \[0.5\]"):
        watch().correct([0.5])


# -- the state watch -------------------------------------------------------------------------------


@pytest.mark.parametrize(("nx", "seed"), [((3,), 0), ((3,), 1), ((2, 3), 2), ((3, 2), 3)])
def test_no_state_of_the_model_is_beyond_the_bound(nx, seed):
    model, rng = stable_model(seed, 2, nx, 1), np.random.default_rng(seed)
    corner = np.where(rng.uniform(size=(300, 2)) < 0.5, model.u_low, model.u_high)
    chi = simulate(
        model.system, np.repeat(corner, 20, axis=0), x0=rest(model.system, corner[0])
    ).chi
    assert (np.abs(chi) <= state_bound(model)).all()


@pytest.mark.parametrize("place", ["chi", "disturbance", "under way"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_corrupt_state_is_made_anew(mimo, watch, place, value):
    u, y = experiment(mimo.model)
    observer = watch(lag=2)
    observer.reset(y[0], u[0])
    assert observer.sound()
    {"chi": observer.chi, "disturbance": observer.disturbance, "under way": observer._under_way[1]}[
        place
    ][1] = value
    assert not observer.sound()
    assert observer.sound()
    np.testing.assert_allclose(observer.chi, rest(mimo.model.system, [1.0, 4.0]), rtol=ROUND_OFF)
    assert observer.disturbance.tolist() == [0.0, 0.0]


def test_a_state_just_beyond_the_bound_is_corrupt_and_one_just_within_is_not(mimo, watch):
    u, y = experiment(mimo.model)
    observer, bound = watch(), state_bound(mimo.model)
    for place in range(len(bound)):
        observer.reset(y[0], u[0])
        observer.chi = observer.chi.copy()
        observer.chi[place] = -bound[place] * (1 - 1e-9)
        assert observer.sound()
        observer.chi[place] = bound[place] * (1 + 1e-9)
        assert not observer.sound()
