"""The plant against its differential equations and its charge balance, both retyped in paper.py."""

import numpy as np
import paper
import pytest
from hypothesis import given, settings, strategies as st
from scipy.integrate import solve_ivp
from tolerances import CHARGE, PLANT_ODE, PRINTED, PRINTED_3, ROUND_OFF

from lstm_mpc.errors import InputError
from lstm_mpc.plants import ph
from lstm_mpc.plants.batch import rest, simulate_batch
from lstm_mpc.plants.ph import Plant
from lstm_mpc.plants.system import Mapped, simulate

# q3, q1, q2 [mL/s]
flows = st.tuples(st.floats(12.5, 17.0), st.floats(0.8 * 16.6, 1.2 * 16.6), st.floats(0.0, 1.1))


@pytest.mark.parametrize(
    ("q3", "pH"),
    [(12.5, 5.95), (14.0, 6.43), (15.0, 6.76), (16.0, 7.28), (16.5, 7.96), (17.0, 8.99)],
)
def test_the_steady_states_are_those_of_the_literature(plant, q3, pH):
    assert plant.output(rest(plant, [q3])) == pytest.approx(pH, abs=PRINTED)


def test_the_nominal_point_is_the_exact_one_behind_the_rounded_figures(plant):
    assert plant.x0[2] == pytest.approx(13.964, abs=PRINTED_3)
    assert plant.output(plant.x0) == pytest.approx(7.026, abs=PRINTED_3)
    # as printed in the literature
    assert plant.x0[:2] == pytest.approx([-4.32e-4, 5.28e-4], rel=0.02)
    assert plant.output(rest(plant, [15.55])) == pytest.approx(7.0, abs=PRINTED)


def test_a_steady_state_has_no_rates_and_stays(plant):
    for q3, q1, q2 in ((15.6, 16.6, 0.55), (12.5, 18.0, 0.3), (17.0, 15.0, 1.0)):
        state = Plant().steady_state(q3, q1=q1, q2=q2)
        assert np.abs(paper.ph_rates(state, q1, q2, q3)).max() < ROUND_OFF
        run = simulate(plant, [q3] * 50, x0=state, disturbances=[q1, q2])
        np.testing.assert_allclose(run.chi[-1], state, rtol=ROUND_OFF)


def test_a_tenth_more_acid_puts_seven_out_of_reach(plant):
    state = Plant().steady_state(17.0, q1=1.1 * 16.6)
    assert plant.output(state) < 7.0 < plant.output(Plant().steady_state(17.0))


def reachable(seed):
    """A state the plant comes to under random flows."""
    rng = np.random.default_rng(seed)
    system = Plant().system()
    u = np.repeat(rng.uniform(12.5, 17.0, (8, 1)), 20, axis=0)
    d = np.repeat(rng.uniform((0.8 * 16.6, 0.0), (1.2 * 16.6, 1.1), (8, 2)), 20, axis=0)
    return simulate(system, u, disturbances=d).chi[rng.integers(1, 161)]


def integrated(state, q3, q1, q2, seconds=10.0):
    """The state after `seconds`, from the differential equations."""
    run = solve_ivp(
        lambda t, s: paper.ph_rates(s, q1, q2, q3),
        (0, seconds),
        state,
        method="DOP853",
        rtol=1e-12,
        atol=1e-16,
    )
    return run.y[:, -1]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(seed=st.integers(0, 10_000), flow=flows)
@pytest.mark.slow
def test_one_sample_solves_the_differential_equations(seed, flow):
    state, system = reachable(seed), Plant().system()
    true = integrated(state, *flow)
    found = np.asarray(system.step(state, flow[0], flow[1:])).ravel()
    assert abs(float(system.output(found)) - paper.acidity(*true[:2])) < PLANT_ODE
    assert found[2] == pytest.approx(true[2], rel=PLANT_ODE)


def test_the_comparison_sees_a_wrong_plant(plant):
    """Must fail: a sample two per cent shorter is far outside the tolerance."""
    true = integrated(plant.x0, 16.5, 16.6, 0.55)
    short = np.asarray(Plant(Ts=9.8).system().step(plant.x0, 16.5, (16.6, 0.55))).ravel()
    assert abs(float(plant.output(short)) - paper.acidity(*true[:2])) > 100 * PLANT_ODE


@settings(deadline=None, derandomize=True, max_examples=300)
@given(shares=st.tuples(*3 * [st.floats(0.0, 1.0)]).filter(lambda s: sum(s) > 1e-3))
def test_the_ph_of_every_mixture_of_the_feeds_solves_the_charge_balance(plant, shares):
    total = sum(shares)
    Wa, Wb = (
        sum(s / total * feed[j] for s, feed in zip(shares, paper.FEEDS, strict=True))
        for j in (0, 1)
    )
    pH = float(ph.acidity(np.array([Wa]), np.array([Wb]))[0])
    assert 0.0 < pH < 14.0
    assert abs(paper.charge_balance(Wa, Wb, pH)) < CHARGE
    assert float(plant.output([Wa, Wb, 14.0])) == pytest.approx(pH, rel=ROUND_OFF)
    assert pH == pytest.approx(paper.acidity(Wa, Wb), abs=PLANT_ODE)


def test_the_ph_of_many_mixtures_at_once_is_that_of_each_alone(rng):
    shares = rng.dirichlet(np.ones(3) * 0.3, 5000)
    Wa, Wb = shares @ np.array(paper.FEEDS)[:, 0], shares @ np.array(paper.FEEDS)[:, 1]
    pH = ph.acidity(Wa, Wb)
    assert np.isfinite(pH).all()
    worst = max(abs(paper.charge_balance(*mixture)) for mixture in zip(Wa, Wb, pH, strict=True))
    assert worst < CHARGE
    # must fail: half a thousandth of a pH away nothing balances
    assert (
        min(abs(paper.charge_balance(a, b, p + 5e-4)) for a, b, p in zip(Wa, Wb, pH, strict=True))
        > CHARGE
    )


def test_the_tank_keeps_a_level_wherever_its_signals_may_go(plant):
    low = [signal.low for signal in plant.disturbances]
    run = simulate(plant, [plant.inputs[0].low] * 300, disturbances=low)
    assert (run.chi[:, 2] > 0).all()


@pytest.mark.parametrize("delay", [0.0, 30.0])
def test_symbols_and_arrays_give_the_same_plant(delay, rng):
    system = Plant(delay=delay).system()
    u = np.repeat(rng.uniform(12.5, 17.0, (5, 8, 1)), 20, axis=1)
    x0 = np.array([Plant(delay=delay).steady_state(q) for q in rng.uniform(13, 17, 5)])
    d = [17.0, 0.4]
    twin = simulate_batch(system, u, x0, disturbances=d)
    single = [simulate(system, u[i], x0=x0[i], disturbances=d).y for i in range(5)]
    np.testing.assert_allclose(twin, single, rtol=ROUND_OFF)
    chi, flow, around = x0.T, u[:, 0].T, np.tile(np.array(d)[:, None], 5)
    mapped = Mapped(system.step, system.output)
    np.testing.assert_allclose(
        mapped.step(chi, flow, around), system.batch.step(chi, flow, around), rtol=ROUND_OFF
    )
    np.testing.assert_allclose(mapped.output(chi), system.batch.output(chi), rtol=ROUND_OFF)


@pytest.mark.parametrize("lag", [1, 3])
def test_a_probe_delay_shifts_the_output_and_nothing_else(lag, rng):
    near, far = Plant().system(), Plant(delay=10.0 * lag).system()
    u = np.repeat(rng.uniform(12.5, 17.0, (6, 1)), 15, axis=0)
    ideal, delayed = simulate(near, u), simulate(far, u)
    np.testing.assert_allclose(delayed.y[lag:], ideal.y[:-lag], rtol=ROUND_OFF)
    np.testing.assert_allclose(delayed.y[:lag], np.full((lag, 1), ideal.y[0, 0]), rtol=ROUND_OFF)
    np.testing.assert_allclose(delayed.chi[:, :3], ideal.chi, rtol=ROUND_OFF)
    assert far.n == 3 + lag


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"Ts": 0.0}, "Ts must be a positive number of seconds, got 0.0"),
        ({"Ts": float("nan")}, "got nan"),
        ({"delay": 25.0}, "the probe delay 25.0 s must be a multiple of the sampling time 10.0 s"),
        ({"delay": -10.0}, "-10.0 s must be a multiple .* not negative"),
    ],
)
def test_misuse_is_named(options, words):
    with pytest.raises(InputError, match=words):
        Plant(**options)
