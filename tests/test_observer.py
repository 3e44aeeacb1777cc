import numpy as np
import pytest
from builders import stable_model
from tolerances import ROUND_OFF

from lstm_mpc.control.observer import Observer
from lstm_mpc.system import rest, simulate

OFFSET = np.array([0.3, -0.2])


def run(observer, y, u):
    """Disturbance estimates along measurements `y` and inputs `u`."""
    found = []
    for measured, applied in zip(y, u, strict=True):
        observer.correct(measured)
        found.append(observer.disturbance)
        observer.predict(applied)
    return np.array(found)


def experiment(lag=0):
    """The model itself, with an offset on its output and a probe `lag` samples late: inputs, measurements, the rest input."""
    model, rng = stable_model(3, nu=2, nx=(3, 2), ny=2), np.random.default_rng(0)
    u = np.repeat(rng.uniform(model.u_low, model.u_high, (6, 2)), 5, axis=0)
    y = simulate(model.system, u, x0=rest(model.system, u[0])).y + OFFSET
    return model, u, np.vstack([np.repeat(y[:1], lag, axis=0), y])[: len(u)]


@pytest.mark.parametrize("gain", [0.2, 0.6, 1.0, 1.9])
def test_the_disturbance_converges_geometrically_to_a_constant_offset(gain):
    model, u, y = experiment()
    observer = Observer(model, gain)
    observer.reset(y[0] - OFFSET, u[0])  # at rest, no mismatch seen yet
    np.testing.assert_allclose(observer.disturbance, 0.0, atol=ROUND_OFF)
    left = (1.0 - gain) ** np.arange(1, len(u) + 1)
    np.testing.assert_allclose(run(observer, y, u), OFFSET * (1.0 - left[:, None]), atol=ROUND_OFF)


@pytest.mark.parametrize("gain", [-0.1, 2.1])
def test_outside_its_range_the_gain_diverges(gain):
    """Must fail: why `Problem` asks for a gain in (0, 2)."""
    model, u, y = experiment()
    observer = Observer(model, gain)
    observer.reset(y[0] - OFFSET, u[0])
    assert np.abs(run(observer, y, u)[-1] - OFFSET).max() > 1.0


def test_a_reset_takes_the_whole_mismatch_as_disturbance_and_starts_at_rest():
    model, u, y = experiment()
    observer = Observer(model, 0.6)
    observer.reset(y[0], u[0])
    np.testing.assert_allclose(observer.disturbance, OFFSET, rtol=ROUND_OFF)
    np.testing.assert_allclose(observer.chi, rest(model.system, u[0]), rtol=ROUND_OFF)
    np.testing.assert_allclose(run(observer, y, u), np.tile(OFFSET, (len(u), 1)), rtol=1e-9)
    observer.reset(y[0], u[0])
    np.testing.assert_allclose(observer.disturbance, OFFSET, rtol=ROUND_OFF)


def test_a_lost_measurement_changes_nothing():
    model, u, y = experiment()
    observer = Observer(model, 0.6)
    observer.reset([np.nan, 0.0], u[0])
    assert observer.disturbance.tolist() == [0.0, 0.0]
    observer.reset(y[0], u[0])
    before = observer.disturbance
    observer.correct([np.nan, y[0, 1]])
    assert np.array_equal(observer.disturbance, before)
    observer.correct(y[0] + 1.0)
    assert not np.array_equal(observer.disturbance, before)


@pytest.mark.parametrize("lag", [1, 3])
def test_a_known_dead_time_is_no_disturbance(lag):
    model, u, y = experiment(lag)
    knowing, ignorant = Observer(model, 0.6, lag=lag), Observer(model, 0.6)
    for observer in (knowing, ignorant):
        observer.reset(y[0], u[0])
    np.testing.assert_allclose(run(knowing, y, u), np.tile(OFFSET, (len(u), 1)), rtol=1e-9)
    assert np.abs(run(ignorant, y, u) - OFFSET).max() > 0.01
