"""The linear model that every LSTM is held against."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.identification.baselines import baselines, linear_fits
from lstm_mpc.identification.linear_model import LinearModel, Transfer, fit_linear
from lstm_mpc.plants.system import Signal

TS, TAU = 2.0, 25.0
POLE = float(np.exp(-TS / TAU))


def recorded(count, seed, *, gains=(3.0, -0.5), noise=0.05, late=0, missing=0.0):
    """A first-order plant of two inputs from rest, in engineering units."""
    rng = np.random.default_rng(seed)
    u = np.repeat(rng.uniform([10.0, -1.0], [20.0, 1.0], (count // 10, 2)), 10, axis=0)
    y, x = np.empty(len(u)), float(np.dot(gains, u[0]))
    for k in range(len(u)):
        y[k] = x
        x = POLE * x + (1 - POLE) * float(np.dot(gains, u[max(k - late, 0)]))
    y = y + noise * rng.standard_normal(len(y))
    y[rng.random(len(y)) < missing] = np.nan
    signals = tuple(
        Signal(name, "-", low, high) for name, low, high in (("a", 0, 30), ("b", -2, 2))
    )
    return Dataset(signals, (Signal("y", "K"),), TS, (Record(f"r{seed}", u, y[:, None]),))


def test_gains_and_time_constant_of_a_known_plant():
    found = fit_linear(recorded(2000, 0), recorded(800, 1))
    assert np.allclose(found.gain, [[3.0, -0.5]], atol=3 * found.gain_error.max())
    assert (np.abs(found.gain - [[3.0, -0.5]]) < 4 * found.gain_error).all()
    assert found.time_constants[0] == pytest.approx(TAU, rel=0.03)


def test_its_standard_errors_cover_the_truth_as_often_as_they_say():
    inside = 0
    for seed in range(40):
        found = fit_linear(recorded(400, 2 * seed), recorded(200, 2 * seed + 1), orders=(1,))
        inside += int((np.abs(found.gain - [[3.0, -0.5]]) < 2.0 * found.gain_error).sum())
    assert 0.85 <= inside / 80 <= 1.0


def test_samples_that_were_not_measured_do_not_count():
    whole = fit_linear(recorded(2000, 0), recorded(800, 1), orders=(1,))
    holes = fit_linear(recorded(2000, 0, missing=0.3), recorded(800, 1), orders=(1,))
    assert np.allclose(whole.gain, holes.gain, rtol=0.02)


def test_delays_are_those_of_the_signals_given():
    data, judge = recorded(2000, 0, late=7), recorded(800, 1, late=7)
    timed, early = (
        fit_linear(data, judge, orders=(1,), delays=delays) for delays in ((7, 7), (0, 0))
    )
    left = [np.std(judge.records[0].y - m.simulate(judge.records[0].u)) for m in (timed, early)]
    assert left[0] < 0.06 < 0.2 < left[1]


def test_the_slope_is_that_of_the_simulation():
    from lstm_mpc.identification import linear_model

    p = np.array([0.2, 0.1, -0.9, 0.2, 0.3, -0.1, -1.1, 0.3, 0.5])
    u = np.random.default_rng(0).standard_normal((50, 2))
    _, slope = linear_model._simulated(p, u, 2)
    for k in range(p.size):
        step = 1e-6 * np.eye(p.size)[k]
        ends = [linear_model._simulated(p + s * step, u, 2)[0] for s in (1, -1)]
        assert np.allclose(slope[:, k], (ends[0] - ends[1]) / 2e-6, atol=1e-6)


def test_an_input_that_never_moves_has_no_gain_and_no_certain_sign():
    data = recorded(1000, 0)
    u = data.records[0].u.copy()
    u[:, 1] = 0.3
    still = Dataset(data.inputs, data.outputs, TS, (Record("still", u, data.records[0].y),))
    found = fit_linear(still, still, orders=(1,))
    assert abs(found.gain[0, 1]) < 1e-6
    assert found.gain[0, 0] == pytest.approx(3.0, rel=0.1)
    (sentence,) = found.uncertain(data.inputs, data.outputs)
    assert sentence.startswith("the sign of the gain to y is not certain from b (")


def test_certain_signs_are_not_doubted():
    data = recorded(2000, 0)
    assert fit_linear(data, data, orders=(1,)).uncertain(data.inputs, data.outputs) == []


def exact(gain):
    """A linear model that knows the plant, but for its gains."""
    b = np.array([[3.0], [-0.5]]) * (1 - POLE) * gain
    transfer = Transfer(b, np.full((2, 1), -POLE), 0.0, np.eye(5))
    return LinearModel((transfer,), np.zeros(2), np.ones(2), np.zeros(1), np.ones(1), (0, 0), TS)


def test_where_linear_is_better_it_is_said_and_where_not_it_is_not():
    training, validation = recorded(1000, 0), recorded(800, 1)
    good = baselines(exact(1.0), training, validation, (90.0,), transient=20)
    bad = baselines(exact(0.7), training, validation, (90.0,), transient=20)
    assert good.linear[0] > 98.5
    assert good.verdict is not None
    assert good.verdict.startswith(
        "a linear model predicts the validation data better than this LSTM (mean-removed FIT): y 98"
    )
    assert bad.verdict is None
    assert good.mean[0] <= 0.0
    assert (
        f"y: mean {good.mean[0]:.2f} %, linear of order 1 {good.linear[0]:.2f} %, LSTM 90.00 %"
        in (good.sentence)
    )
    assert good.describe()["verdict"] == good.verdict


def test_the_standard_error_of_its_fit_is_that_of_other_disturbances():
    model, clean = fit_linear(recorded(2000, 0), recorded(800, 1)), recorded(600, 2, noise=0.0)
    rng, found = np.random.default_rng(0), []
    for _ in range(60):
        slow = lfilter([0.3], [1.0, -0.9], rng.standard_normal((600, 1)), axis=0)
        disturbed = replace(clean.records[0], y=clean.records[0].y + slow)
        found.append(linear_fits(model, replace(clean, records=(disturbed,)), transient=20))
    fits, errors = (np.array([each[i][0] for each in found]) for i in (0, 1))
    assert fits.std() == pytest.approx(errors.mean(), rel=0.3)
    worst = replace(clean, records=(disturbed, clean.records[0]))
    assert linear_fits(model, worst, transient=20) == found[-1]
