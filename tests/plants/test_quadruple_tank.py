"""The quadruple tank against its differential equations, retyped here, and against what its paper
prints."""

from functools import cache

import casadi as ca
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import eigvals
from tolerances import PUBLISHED_LEVEL, PUBLISHED_ZERO, ROUND_OFF, TANK_ODE

from lstm_mpc.errors import InputError
from lstm_mpc.plants.batch import rest, rests, simulate_batch
from lstm_mpc.plants.quadruple_tank import PHASES, VARIED, Plant
from lstm_mpc.plants.system import Mapped, simulate

MINUS, PLUS = "minimum", "nonminimum"  # P− and P+ of the paper
SETTINGS = {MINUS: (0.70, 0.60, 3.33, 3.35), PLUS: (0.43, 0.34, 3.14, 3.29)}  # γ1, γ2, k1, k2


@cache
def plant_of(phase=MINUS, Ts=10.0, uncertain=False):
    return Plant(Ts=Ts, phase=phase, uncertain=uncertain).system()


def rates(h, v1, v2, w3, w4, phase, shares=8 * (1.0,)):
    """(1) of the paper, by hand."""
    gamma1, gamma2, k1, k2 = SETTINGS[phase]
    k1, k2, gamma1, gamma2 = k1 * shares[4], k2 * shares[5], gamma1 * shares[6], gamma2 * shares[7]
    a1, a2, a3, a4 = 0.071 * shares[0], 0.057 * shares[1], 0.071 * shares[2], 0.057 * shares[3]
    out1, out2, out3, out4 = (
        a * np.sqrt(2 * 981 * level) for a, level in zip((a1, a2, a3, a4), h, strict=True)
    )
    return [
        (-out1 + out3 + gamma1 * k1 * v1) / 28,
        (-out2 + out4 + gamma2 * k2 * v2) / 32,
        (-out3 + (1 - gamma2) * k2 * v2 + w3) / 28,
        (-out4 + (1 - gamma1) * k1 * v1 + w4) / 32,
    ]


volts = st.floats(1.5, 3.6)
flows = st.floats(-0.5, 1.2)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(
    phase=st.sampled_from([MINUS, PLUS]),
    levels=st.tuples(st.floats(1, 20), st.floats(1, 20), st.floats(0.3, 8), st.floats(0.3, 8)),
    u=st.tuples(volts, volts),
    w=st.tuples(flows, flows),
    shares=st.tuples(*8 * [st.floats(0.9, 1.1)]),
)
def test_one_sample_solves_the_differential_equations(phase, levels, u, w, shares):
    plant = plant_of(phase, uncertain=True)
    run = solve_ivp(
        lambda t, h: rates(h, *u, *w, phase, shares),
        (0, 10),
        levels,
        method="DOP853",
        rtol=1e-11,
        atol=1e-12,
    )
    found = np.asarray(plant.step([*levels, *shares], u, w)).ravel()
    np.testing.assert_allclose(found[:4], run.y[:, -1], atol=TANK_ODE)
    assert found[4:].tolist() == list(shares)


def test_the_comparison_sees_a_wrong_plant():
    """Must fail: the other setting of the valves is far outside the tolerance."""
    minus, plus = plant_of(MINUS), plant_of(PLUS)
    u = [3.0, 3.2]
    assert (
        np.abs(np.asarray(minus.step(minus.x0, u, [0, 0]) - plus.step(minus.x0, u, [0, 0]))).max()
        > 1e4 * TANK_ODE
    )


@pytest.mark.parametrize(
    ("phase", "levels"), [(MINUS, (12.4, 12.7, 1.8, 1.4)), (PLUS, (12.6, 13.0, 4.8, 4.9))]
)
def test_the_steady_states_are_those_of_the_paper(phase, levels):
    plant = plant_of(phase)
    np.testing.assert_allclose(plant.x0, levels, atol=PUBLISHED_LEVEL)
    assert [s.nominal for s in plant.inputs] == list(PHASES[phase].v)
    assert np.abs(rates(plant.x0, *PHASES[phase].v, 0, 0, phase)).max() < ROUND_OFF
    np.testing.assert_allclose(rest(plant, PHASES[phase].v), plant.x0, rtol=ROUND_OFF)


def test_a_steady_state_under_other_flows_stays():
    state = Plant().steady_state(2.0, 3.5, w3=0.4, w4=-0.3)
    run = simulate(plant_of(), np.tile([2.0, 3.5], (40, 1)), x0=state, disturbances=[0.4, -0.3])
    np.testing.assert_allclose(run.chi[-1], state, rtol=ROUND_OFF)


@pytest.mark.parametrize(
    ("phase", "published"), [(MINUS, (-0.060, -0.018)), (PLUS, (-0.057, 0.013))]
)
def test_the_transmission_zeros_are_those_of_the_paper(phase, published):
    plant = plant_of(phase, Ts=1.0)
    chi, u, d = (ca.SX.sym("z", count) for count in (4, 2, 2))
    slopes = ca.Function(
        "slopes", [chi, u, d], [ca.jacobian(plant.step(chi, u, d), z) for z in (chi, u)]
    )
    A, B = (np.asarray(z) for z in slopes(plant.x0, PHASES[phase].v, [0, 0]))
    pencil = np.block([[A, B], [np.eye(2, 6)]]), np.diag([1.0] * 4 + [0.0] * 2)
    zeros = eigvals(*pencil)
    zeros = np.sort(np.log(zeros[np.abs(zeros) < 1e6].real) / plant.Ts)
    np.testing.assert_allclose(zeros, published, atol=PUBLISHED_ZERO)
    assert (zeros > 0).any() == (phase == PLUS)
    gamma1, gamma2, *_ = SETTINGS[
        phase
    ]  # the paper's formula: zeros of (1 + s T3)(1 + s T4) − (1 − γ1)(1 − γ2)/(γ1 γ2)
    T3, T4 = (
        A_ / a * np.sqrt(2 * h / 981)
        for A_, a, h in ((28, 0.071, plant.x0[2]), (32, 0.057, plant.x0[3]))
    )
    roots = np.roots([T3 * T4, T3 + T4, 1 - (1 - gamma1) * (1 - gamma2) / (gamma1 * gamma2)])
    np.testing.assert_allclose(zeros, np.sort(roots), atol=PUBLISHED_ZERO)


@pytest.mark.parametrize("phase", [MINUS, PLUS])
@pytest.mark.parametrize("uncertain", [False, True])
def test_symbols_and_arrays_give_the_same_plant(phase, uncertain, rng):
    system = plant_of(phase, uncertain=uncertain)
    u = np.repeat(rng.uniform(1.5, 3.6, (5, 6, 2)), 20, axis=1)
    x0 = np.array(
        [
            Plant(phase=phase, uncertain=uncertain).steady_state(*v)
            for v in rng.uniform(1.5, 3.6, (5, 2))
        ]
    )
    if uncertain:
        x0[:, 4:] = rng.uniform(0.95, 1.05, (5, 8))
    d = [0.5, -0.4]
    single = [simulate(system, u[i], x0=x0[i], disturbances=d).y for i in range(5)]
    np.testing.assert_allclose(
        simulate_batch(system, u, x0, disturbances=d), single, rtol=ROUND_OFF
    )
    mapped, columns = (
        Mapped(system.step, system.output),
        (
            x0.T,
            u[:, 0].T,
            np.tile(np.array(d)[:, None], 5),
        ),
    )
    np.testing.assert_allclose(mapped.step(*columns), system.batch.step(*columns), rtol=ROUND_OFF)
    np.testing.assert_allclose(mapped.output(x0.T), system.batch.output(x0.T), rtol=ROUND_OFF)


def test_no_tank_runs_over_or_below_empty_wherever_its_signals_may_go():
    system = plant_of(uncertain=True)
    for side, extreme in (("low", 0.0), ("high", 20.0)):
        u, d = (
            [getattr(s, side) for s in signals] for signals in (system.inputs, system.disturbances)
        )
        run = simulate(system, np.tile(u, (200, 1)), disturbances=d)
        rested = simulate(system, np.tile(u, (200, 1)))
        assert (run.chi[:, 2:4] > -1e-9).all()
        assert (np.abs(rested.y[-1] - extreme) > 1.0).all()
    # pumps off, and still it leaks
    dry = simulate(system, np.tile([0.0, 0.0], (400, 1)), disturbances=[-1.2, -1.2])
    assert np.isfinite(dry.chi).all()
    assert dry.chi.min() > -0.05


def test_every_uncertain_constant_has_its_part():
    system = plant_of(uncertain=True)
    assert tuple(s.name for s in system.parameters) == VARIED
    ones = np.ones(len(VARIED))
    chi = np.tile(system.x0[:, None], len(VARIED) + 1)
    # one constant differs in each column but the last
    chi[4:] = np.column_stack([ones + 0.05 * np.eye(len(VARIED)), ones])
    found = rests(system, chi, np.full((2, len(VARIED) + 1), 3.0), steps=200)[:4]
    assert (np.abs(found[:, :-1] - found[:, -1:]).max(axis=0) > 0.05).all()
    np.testing.assert_allclose(found[:, -1], plant_of().x0, rtol=ROUND_OFF)


def test_every_plant_of_the_shipped_law_reaches_every_setpoint(tanks):
    """At the corners of plants, setpoints and flows: rest asks for γ1 k1 v1 + (1 − γ2) k2 v2 = q1 −
    w3, and crosswise for q2 − w4."""
    law, system = tanks[0].loop_law, tanks[0].system
    share = [1 - law.mismatch, 1 + law.mismatch]
    a1, a2, k1, k2, g1, g2, h1, h2, w3, w4 = (
        grid.ravel()
        for grid in np.meshgrid(
            *6 * [share], *law.setpoint, *(law.disturbances[name] for name in ("w3", "w4"))
        )
    )
    near1, far1, near2, far2 = (
        0.7 * g1 * 3.33 * k1,
        (1 - 0.7 * g1) * 3.33 * k1,
        0.6 * g2 * 3.35 * k2,
        (1 - 0.6 * g2) * 3.35 * k2,
    )
    q1, q2 = 0.071 * a1 * np.sqrt(2 * 981 * h1) - w3, 0.057 * a2 * np.sqrt(2 * 981 * h2) - w4
    determinant = near1 * near2 - far1 * far2
    for v, s in zip(
        ((q1 * near2 - q2 * far2) / determinant, (q2 * near1 - q1 * far1) / determinant),
        system.inputs,
        strict=True,
    ):
        assert s.low < v.min() < v.max() < s.high


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Plant(Ts=0.0), "Ts must be a positive number of seconds, got 0.0"),
        (lambda: Plant(Ts=float("nan")), "got nan"),
        (lambda: Plant(phase="both"), "phase must be one of 'minimum', 'nonminimum', got 'both'"),
        (
            lambda: Plant().steady_state(1.0, 1.0, w3=-5.0),
            "a leak of more than flows in leaves no steady state",
        ),
    ],
)
def test_misuse_is_named(make, words):
    with pytest.raises(InputError, match=words):
        make()
