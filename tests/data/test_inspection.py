"""The first look: dead times that were put in are found, and what speaks against the data is
said."""

import numpy as np
import pytest
from scipy.signal import lfilter

from lstm_mpc import Dataset, Record, Signal
from lstm_mpc.data.look.inspection import describe, look, refusals

U = (Signal("a", "V", -1.0, 1.0), Signal("b", "V", -1.0, 1.0))
Y = (Signal("x", "m"), Signal("y", "m"))


def levels(rng, n, hold=12):
    return np.repeat(rng.uniform(-1, 1, n // hold + 1), rng.integers(2, 2 * hold, n // hold + 1))[
        :n
    ]


def plant(rng, *, delays, n=1500, noise=0.02):
    """Two first-order lags driven by two inputs, late by `delays`; y(k) sees u(k−1) at the
    earliest."""
    u = np.column_stack([levels(rng, 2 * n)[:n] for _ in range(2)])
    late = [np.concatenate([np.zeros(d), u[: n - d, j]]) for j, d in enumerate(delays)]
    x = lfilter([0, 0.3], [1, -0.7], late[0])
    y = lfilter([0, 0.2], [1, -0.8], late[1]) + 0.3 * x
    return u, np.column_stack([x, y]) + noise * rng.standard_normal((n, 2))


def data(u, y, inputs=U, outputs=Y):
    return Dataset(inputs, outputs, 2.0, (Record("r", u, y),))


@pytest.mark.parametrize("delays", [(0, 0), (4, 0), (3, 7)])
def test_dead_times_that_were_put_in_are_found(rng, delays):
    found = look(data(*plant(rng, delays=delays)))
    assert found.delays[0][0].sure
    assert found.delays[1][1].sure
    assert found.delays[0][0].samples == delays[0]
    assert found.delays[1][1].samples == delays[1]
    assert found.input_delays == delays


def test_a_dead_time_is_never_longer_than_the_true_one_under_noise(rng):
    """Too long could not be repaired by training."""
    for _ in range(8):
        found = look(data(*plant(rng, delays=(5, 2), noise=0.15)))
        assert found.input_delays[0] in (0, 3, 4, 5)
        assert found.input_delays[1] in (0, 1, 2)


def test_an_input_that_does_nothing_has_no_sure_dead_time(rng):
    u, y = plant(rng, delays=(0, 0))
    idle = np.column_stack([u[:, 0], levels(rng, 3000)[: len(u)]])
    found = look(data(idle, y[:, :1], outputs=Y[:1]))
    assert not found.delays[0][1].sure
    assert found.input_delays[1] == 0


def test_missing_samples_do_not_hide_a_dead_time(rng):
    u, y = plant(rng, delays=(3, 0))
    y[rng.random(len(y)) < 0.01] = np.nan
    assert look(data(u, y)).delays[0][0].samples == 3


def test_columns_say_what_they_hold(rng):
    u, y = plant(rng, delays=(0, 0), noise=0.05)
    y[:, 1] = np.minimum(y[:, 1], np.quantile(y[:, 1], 0.9))
    y[500, 0] = 40.0
    y[600:615, 0] = np.nan
    found = look(data(u, y))
    a, _, x, top = found.columns
    assert a.low == u[:, 0].min()
    assert 0.04 < x.noise < 0.07
    assert a.noise == 0.0
    assert x.missing == pytest.approx(0.01)
    assert x.spikes >= 1
    assert top.at_high >= 0.1
    assert 50 < a.moves < 300
    assert any(
        s.startswith("y stays at") and "the sensor may end there" in s for s in found.remarks
    )
    assert any(s.startswith("x has ") and "`despike`" in s for s in found.remarks)
    text = "\n".join(found.lines(2.0))
    assert "a [V]" in text
    assert "dead time b → y: 0 samples (0 s)" in text
    assert describe(found)["input_delays"] == [0, 0]


def test_what_makes_a_poor_experiment_is_remarked(rng):
    u, y = plant(rng, delays=(0, 0))
    u[:, 0] = np.where(np.arange(len(u)) < 700, 0.0, 0.5)
    still = look(data(u, y + 5 * rng.standard_normal(y.shape)))
    assert any("a moves 1 times only" in s for s in still.remarks)
    assert any(
        "a covers [0, 0.5] of its limits [-1, 1] V: beyond, the model is a guess" in s
        for s in still.remarks
    )
    assert any("x is mostly noise" in s for s in still.remarks)
    slow = np.cumsum(rng.standard_normal((1500, 2)), axis=0)
    assert any(
        "sampled fast for its dynamics" in s
        for s in look(data(np.column_stack([levels(rng, 3000)[:1500]] * 2), slow)).remarks
    )


def test_constant_channels_and_copies_are_refused_with_all_reasons(rng):
    u, y = plant(rng, delays=(0, 0))
    assert not refusals(data(u, y))
    dead = data(
        np.column_stack([u[:, 0], np.full(len(u), 3.0)]),
        np.column_stack([y[:, 0], np.full(len(u), np.nan)]),
    )
    assert [s.split(";")[0] for s in refusals(dead)] == [
        "b is constant at 3 V",
        "y was never measured",
    ]
    copies = data(np.column_stack([u[:, 0], 2.0 - 3.0 * u[:, 0]]), y)
    (reason,) = refusals(copies)
    assert reason.startswith(
        "a and b move together (correlation -1.00000), so that their effects cannot be told apart;"
        " leave one out"
    )
    three = Dataset(
        (*U, Signal("c", "V")), Y, 2.0, (Record("r", np.column_stack([u, u.sum(axis=1)]), y),)
    )
    assert refusals(three) == [
        "one input is a combination of the others, so that their effects cannot be told apart;"
        " leave one out"
    ]


def test_an_input_of_two_values_is_remarked(rng):
    """Whatever the noise of its measurement; and not one that lingers at its ends."""
    u, y = plant(rng, delays=(0, 0))
    u[:, 0] = np.where(u[:, 0] > u[:, 0].mean(), 6.4, 3.4) + 0.01 * rng.standard_normal(len(u))
    found = look(data(u, y))
    assert [c.two_valued for c in found.columns[:2]] == [True, False]
    assert any("a takes two values only, 3.3" in s for s in found.remarks)
    u[: len(u) // 20, 0] = 5.0
    assert not look(data(u, y)).columns[0].two_valued


def test_more_outputs_than_inputs_is_remarked(rng):
    u, y = plant(rng, delays=(0, 0))
    one = (U[0], Signal("b", "V", -1.0, 1.0, kind="measured"))
    words = "2 outputs and 1 input(s) that can be moved: no controller holds them all"
    assert any(s.startswith(words) for s in look(data(u, y, inputs=one)).remarks)
    assert not any("that can be moved" in s for s in look(data(u, y)).remarks)
