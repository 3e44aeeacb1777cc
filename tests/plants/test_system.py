import casadi as ca
import numpy as np
import pytest
from tolerances import ROUND_OFF

from lstm_mpc.errors import InputError
from lstm_mpc.plants.batch import rest, simulate_batch
from lstm_mpc.plants.system import Mapped, Signal, System, frozen_array, simulate


def integrator(**changes):
    """χ⁺ = χ/2 + u + 10 d, y = 2χ."""
    chi, u, d = (ca.SX.sym(name, 1) for name in ("chi", "u", "d"))
    fields = {
        "name": "demo",
        "inputs": (Signal("u", "V", -1, 1),),
        "outputs": (Signal("y", "m"),),
        "disturbances": (Signal("d", "N", 0, 1, 0.5),),
        "Ts": 2.0,
        "x0": [3.0],
        "step": ca.Function("f", [chi, u, d], [chi / 2 + u + 10 * d]),
        "output": ca.Function("g", [chi], [2 * chi]),
    }
    return System(**{**fields, **changes})


def test_a_trajectory_holds_the_output_before_the_input_acts():
    run = simulate(integrator(), [[1.0], [0.0], [-1.0]])
    assert run.chi.ravel().tolist() == [3.0, 7.5, 8.75, 8.375]
    assert run.y.ravel().tolist() == [6.0, 15.0, 17.5]
    assert run.t.tolist() == [0.0, 2.0, 4.0]
    assert run.u.shape == (3, 1)


def test_start_and_disturbances_can_be_given():
    system = integrator()
    held = simulate(system, [0.0, 0.0], x0=[1.0], disturbances=[0.0])
    assert held.y.ravel().tolist() == [2.0, 1.0]
    moving = simulate(system, [0.0, 0.0], x0=[1.0], disturbances=[[0.1], [0.0]])
    assert moving.chi.ravel().tolist() == [1.0, 1.5, 0.75]


def test_a_batch_equals_single_runs(rng):
    system = integrator()
    assert isinstance(system.vectorised, Mapped)
    u, x0 = rng.normal(size=(4, 6, 1)), rng.normal(size=(4, 1))
    batch = simulate_batch(system, u, x0, disturbances=[0.2])
    single = [simulate(system, u[i], x0=x0[i], disturbances=[0.2]).y for i in range(4)]
    np.testing.assert_allclose(batch, single, rtol=ROUND_OFF)
    assert np.abs(batch - simulate_batch(system, u, x0)).max() > 1  # the disturbance matters


def test_rest_is_an_equilibrium():
    chi = rest(integrator(), [0.5])
    assert chi == pytest.approx([11.0], rel=ROUND_OFF)


def test_signals_have_labels_and_know_whether_they_are_bounded():
    assert Signal("q3", "mL/s").label == "q3 [mL/s]"
    assert Signal("q3", "mL/s", 0, 1).bounded
    assert not Signal("q3", "mL/s", 0).bounded


def test_arrays_are_read_only_copies():
    mine = np.zeros(2)
    frozen = frozen_array(mine)
    mine[0] = 1.0
    assert frozen[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        frozen[0] = 2.0
    with pytest.raises(ValueError, match="read-only"):
        integrator().x0[0] = 1.0


@pytest.mark.parametrize("u", [[["a"]], [[1.0], [1.0, 2.0]]])
def test_inputs_that_are_no_numbers_are_an_input_error(u):
    with pytest.raises(InputError, match="demo: u must be numbers"):
        simulate(integrator(), u)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: frozen_array("abc", name="it"),
            "it must be numbers of a regular shape, got 'abc'",
        ),
        (lambda: frozen_array([[1.0], [1.0, 2.0]]), "regular shape"),
        (lambda: frozen_array([1.0], 2, "it"), r"it must have 2 dimension\(s\), got shape \(1,\)"),
        (lambda: frozen_array([1.0, np.inf]), "must be finite, got inf"),
        (lambda: Signal("q", "V", 2, 1), "signal 'q': low 2 must be below high 1"),
        (lambda: Signal("q", "V", 1, 1), "must be below"),
        (lambda: Signal("q", "V", np.nan, 1), "must be below"),
        (lambda: Signal("q", "V", 0, 1, 1.5), r"signal 'q': nominal 1.5 is outside \[0, 1\]"),
        (lambda: integrator(Ts=0.0), "demo: Ts must be a positive number of seconds, got 0.0"),
        (lambda: integrator(Ts=np.inf), "got inf"),
        (lambda: integrator(x0=[1.0, 2.0]), "demo: declares 2 states, its CasADi functions have 1"),
        (lambda: integrator(inputs=()), "declares 0 inputs, its CasADi functions have 1"),
        (
            lambda: integrator(disturbances=()),
            "declares 0 disturbances, its CasADi functions have 1",
        ),
        (
            lambda: integrator(outputs=2 * integrator().outputs),
            "declares 2 outputs, its CasADi functions have 1",
        ),
        (
            lambda: integrator(disturbances=(Signal("d", "N"),)),
            "demo: disturbance 'd' needs a nominal value",
        ),
        (
            lambda: simulate(integrator(), [[1.0, 2.0]]),
            r"demo: u must have 1 column\(s\), got shape \(1, 2\)",
        ),
        (lambda: simulate(integrator(), [np.nan]), "demo: u must be finite, got nan"),
        (lambda: simulate(integrator(), []), "demo: u holds no sample"),
        (lambda: simulate(integrator(), [1.0], x0=[1.0, 2.0]), "demo: x0 needs 1 values, got 2"),
        (
            lambda: simulate(integrator(), [1.0], disturbances=[[0.0], [1.0]]),
            "disturbances have 2 samples, u has 1",
        ),
        (
            lambda: simulate_batch(integrator(), np.zeros((2, 3, 1)), np.zeros((3, 1))),
            r"u \(2, 3, 1\) and x0 \(3, 1\)",
        ),
        (
            lambda: simulate_batch(integrator(), np.zeros((2, 3, 2)), np.zeros((2, 1))),
            r"must be \(B, N, 1\)",
        ),
    ],
)
def test_misuse_is_named(make, words):
    with pytest.raises(InputError, match=words):
        make()
