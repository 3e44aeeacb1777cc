"""Residual tests: against plain loops, on white and on coloured residuals, and where dynamics are
missing."""

import numpy as np
import pytest
from builders import stable_model
from tolerances import ROUND_OFF

from lstm_mpc import Dataset, InputError, Record, simulate
from lstm_mpc.data.look.correlation import correlate
from lstm_mpc.model.data_fit import simulations


def test_correlations_are_those_of_plain_loops(rng):
    e, u = rng.standard_normal((60, 2)), rng.standard_normal((60, 1))
    found = correlate([e], [u], lags=4)
    e, u = e - e.mean(axis=0), u - u.mean(axis=0)
    for j in range(2):
        for lag in range(5):
            own = sum(e[k, j] * e[k - lag, j] for k in range(lag, 60)) / sum(v * v for v in e[:, j])
            assert found.own[lag, j] == pytest.approx(own, rel=1e-9)
        for lag in range(-4, 5):
            pairs = [e[k, j] * u[k - lag, 0] for k in range(60) if 0 <= k - lag < 60]
            scale = np.sqrt(sum(v * v for v in e[:, j]) * sum(v * v for v in u[:, 0]))
            assert found.cross[lag + 4, j, 0] == pytest.approx(sum(pairs) / scale, rel=1e-9)


def test_white_residuals_pass_and_coloured_ones_do_not(rng):
    e, u = rng.standard_normal((3000, 1)), rng.standard_normal((3000, 1))
    assert correlate([e], [u], lags=25).white[0] <= 0.08
    slow = np.convolve(e[:, 0], np.ones(5) / 5, mode="same")[:, None]
    assert correlate([slow], [u], lags=25).white[0] >= 4 / 25


def test_the_bound_of_the_cross_correlation_allows_for_colour(rng):
    """Two independent slow signals: 2.58/√N alone would cry wolf at every other lag."""
    wolf = honest = 0
    for _ in range(20):
        e, u = (
            np.convolve(rng.standard_normal(2020), np.ones(20), mode="valid")[:2000, None]
            for _ in range(2)
        )
        found = correlate([e], [u], lags=25)
        wolf += (np.abs(found.cross) > 2.58 / np.sqrt(2000)).mean()
        honest += (np.abs(found.cross) > found.cross_bound).mean()
    assert wolf / 20 > 0.3
    assert honest / 20 < 0.05


def test_missing_dynamics_are_seen_at_past_inputs_and_feedback_at_coming_ones(rng):
    u = rng.standard_normal((1000, 1))
    # what came three samples ago acts, and no model knows
    late = np.vstack([np.zeros((3, 1)), u[:-3]])
    noise = rng.standard_normal((1000, 1))
    past, coming = correlate([late + noise], [u], lags=10), correlate([u + noise], [late], lags=10)
    assert np.argmax(np.abs(past.cross[:, 0, 0])) == 10 + 3
    assert past.explained[0][0] >= 0.1
    assert np.argmax(np.abs(coming.cross[:, 0, 0])) == 10 - 3
    assert coming.explained[0][0] <= 0.1


def test_records_add_up_and_what_was_not_measured_does_not_count(rng):
    e, u = rng.standard_normal((200, 1)), rng.standard_normal((200, 1))
    e[50:60] = np.nan
    found = correlate([e[:100], e[100:]], [u[:100], u[100:]], lags=5)
    assert found.samples == (190,)
    assert np.isfinite(found.cross).all()
    assert found.own[0, 0] == pytest.approx(1.0, rel=ROUND_OFF)


def test_the_model_that_made_the_data_leaves_white_residuals(rng):
    model = stable_model(0)
    u = model.scaling.u_out(rng.uniform(-1, 1, (800, 1)))
    y = simulate(model.system, u).y + 0.01 * rng.standard_normal((800, 1))
    data = Dataset(model.inputs, model.outputs, model.Ts, (Record("r", u, y),))
    errors = y[50:] - simulations(model, data)[0][50:]
    found = correlate([errors], [u[50:]], lags=25)
    assert found.white[0] <= 0.12
    assert found.explained[0][0] <= 0.12
    assert found.describe()["lags"] == 25


def test_too_few_samples_are_refused(rng):
    with pytest.raises(
        InputError,
        match=(
            "residuals: 25 lags need 100 samples of every output, an output has 99; give fewer lags"
        ),
    ):
        correlate([rng.standard_normal((99, 1))], [rng.standard_normal((99, 1))], lags=25)
