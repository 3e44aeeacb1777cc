"""A first tuning from recorded data alone."""

import numpy as np
import pytest

from lstm_mpc.control.first_tuning import first_tuning, held_together
from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.identification.linear_model import LinearModel, Transfer
from lstm_mpc.plants.system import Signal

TS = 5.0


def linear(tau, gains):
    """One output, a first-order plant from each input."""
    pole, count = np.exp(-TS / tau), len(gains)
    transfer = Transfer(
        (1 - pole) * np.array(gains)[:, None],
        np.full((count, 1), -pole),
        0.0,
        np.eye(2 * count + 1),
    )
    ones, zeros = np.ones(count), np.zeros(count)
    return LinearModel((transfer,), zeros, ones, np.zeros(1), np.ones(1), (0,) * count, TS)


def data(count=1):
    rng = np.random.default_rng(0)
    u, y = rng.uniform(20.0, 80.0, (200, count)), rng.uniform(0.0, 50.0, (200, 1))
    signals = tuple(Signal(f"u{i}", "%", 0.0, 100.0) for i in range(count))
    return Dataset(signals, (Signal("y", "K"),), TS, (Record("r", u, y),))


def tuned(tau=40.0, gains=(0.5,), noise=0.0, delays=(0,), memory=30):
    return first_tuning(
        data(len(gains)), linear(tau, gains), noise=[noise], delays=delays, memory=memory
    )


def test_slow_plants_look_further_and_move_slower():
    quick, slow = tuned(tau=20.0), tuned(tau=90.0)
    assert (quick.horizon, slow.horizon) == (10, 18)
    assert quick.max_move[0] > 2 * slow.max_move[0] > 0


def test_weights_balance_a_span_against_a_range():
    found, span = tuned(), np.ptp(data().records[0].y)
    assert found.output_weight[0] == pytest.approx(1.0 / span**2)
    effect = 0.5 * 100.0 / span
    assert found.move_penalty[0] == pytest.approx(0.1 * effect**2 / 100.0**2)


def test_noise_makes_it_slower():
    clean, noisy = tuned(), tuned(noise=4.0)
    assert noisy.move_penalty[0] > 2 * clean.move_penalty[0]
    assert clean.observer_gain == 0.6 > noisy.observer_gain >= 0.2


def test_inputs_stay_where_they_were_recorded():
    found, u = tuned(), data().records[0].u
    assert (found.u_low, found.u_high) == ((float(u.min()),), (float(u.max()),))
    assert u.min() < found.u_start[0] < u.max()


def test_many_inputs_have_a_horizon_that_the_c_can_hold_and_that_their_delays_need():
    found = tuned(tau=200.0, gains=(0.5, 0.5, 0.5, 0.5), delays=(0, 0, 7, 0))
    assert found.horizon == 10 + 7


def test_several_inputs_stay_where_they_were_held_together():
    rng = np.random.default_rng(2)
    fast, slow = rng.uniform(-1, 1, 3000), np.repeat(rng.uniform(-1, 1, 100), 30)
    spike = slow.copy()
    spike[100] = 9.0
    low, high = held_together([np.column_stack([fast, slow, spike])], 10.0)
    assert -0.6 < low[0] < high[0] < 0.6  # never held at its ends
    assert high[1] > 0.85
    assert high[2] == pytest.approx(high[1], abs=0.1)  # one sample is no place to stay
    alone, both = tuned(), tuned(gains=(0.5, 0.2), delays=(0, 0))
    assert both.u_low[0] > alone.u_low[0]
    assert both.u_high[0] < alone.u_high[0]
