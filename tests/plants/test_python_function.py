"""Plants that are Python functions: the same as their CasADi twins everywhere, and never
differentiated."""

import pickle

import casadi as ca
import numpy as np
import pytest
from builders import stable_network
from rivals.ideal import Ideal
from tasks import vessel_output as output, vessel_step as step
from tolerances import ROUND_OFF

from lstm_mpc import Mprs, Signal, Steps, from_python, record, simulate
from lstm_mpc.certificates.exploration import explore, plant_law
from lstm_mpc.control.engines.sqp import SolverOptions, Sqp
from lstm_mpc.control.limits import limits_of
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.scaling import Scaling
from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest, simulate_batch
from lstm_mpc.plants.system import System

SIGNALS = {
    "inputs": (Signal("q", "L/s", 0.0, 4.0, 1.0),),
    "outputs": (Signal("h", "m"), Signal("2h", "m")),
    "disturbances": (Signal("w", "L/s", -1.0, 1.0, 0.0),),
}
GIVEN = {"name": "vessel", **SIGNALS, "Ts": 2.0, "x0": [1.0, 0.5]}


@pytest.fixture(scope="module")
def twin():
    chi, u, d = ca.SX.sym("chi", 2), ca.SX.sym("u"), ca.SX.sym("d")
    following = ca.vertcat(0.8 * chi[0, :] + 0.2 * u**2 + d, chi[0, :] + 0.3 * chi[1, :])
    functions = (
        ca.Function("f", [chi, u, d], [following]),
        ca.Function("g", [chi], [ca.vertcat(chi[1, :], 2 * chi[1, :])]),
    )
    return System(**{**GIVEN, "step": functions[0], "output": functions[1]})


@pytest.mark.parametrize("columns", [False, True])
def test_it_is_its_casadi_twin_in_every_simulation(twin, columns, rng):
    plant = from_python(step, output, **GIVEN, columns=columns)
    u, d = rng.uniform(0, 4, (50, 1)), rng.uniform(-1, 1, (50, 1))
    one, other = simulate(plant, u, disturbances=d), simulate(twin, u, disturbances=d)
    np.testing.assert_allclose(one.chi, other.chi, rtol=ROUND_OFF)
    np.testing.assert_allclose(one.y, other.y, rtol=ROUND_OFF)
    np.testing.assert_allclose(rest(plant, [2.0]), rest(twin, [2.0]), rtol=ROUND_OFF)
    many, starts = rng.uniform(0, 4, (3, 20, 1)), rng.uniform(0, 1, (3, 2))
    batch = simulate_batch(plant, many, starts, disturbances=[0.3])
    np.testing.assert_allclose(
        batch, simulate_batch(twin, many, starts, disturbances=[0.3]), rtol=ROUND_OFF
    )
    np.testing.assert_array_equal(
        batch[1], simulate(plant, many[1], x0=starts[1], disturbances=np.full((20, 1), 0.3)).y
    )
    draw = Mprs((0.0,), (4.0,), (4.0, 20.0))
    np.testing.assert_allclose(
        record(plant, draw, steps=40, seed=3).y,
        record(twin, draw, steps=40, seed=3).y,
        rtol=ROUND_OFF,
    )


def test_it_is_verified_in_processes(twin):
    scaling = Scaling([2.0], [2.0], [1.0, 2.0], [1.0, 2.0])
    bounds = []
    for plant, workers in ((from_python(step, output, **GIVEN, columns=True), 2), (twin, 1)):
        law = plant_law(plant, scaling, dwell=(10.0, 60.0))
        asked = {
            "radii": [1.0],
            "scenarios": 300,
            "steps": 30,
            "settle": 5,
            "seed": 1,
            "safe_set": [(-9, 99)] * 2,
            "workers": workers,
        }
        bounds.append(explore(plant, law, scaling, label="plant", **asked)[0])
    assert bounds[0].radius_y == pytest.approx(bounds[1].radius_y, rel=ROUND_OFF)
    assert bounds[0].worst == bounds[1].worst


def test_it_closes_the_loop_like_its_twin(tanks):
    """The quadruple tank once more, as plain functions around its NumPy twin."""
    design, passed = tanks
    tank = design.system
    shown = {
        "inputs": tank.inputs,
        "outputs": tank.outputs,
        "disturbances": tank.disturbances,
        "Ts": tank.Ts,
        "x0": tank.x0,
    }
    plant = from_python(tank.batch.step, tank.batch.output, name="tank", columns=True, **shown)
    scenario = Scenario("both", Steps((0.0, 50.0), [[12.0, 12.5], [13.0, 12.0]]), 200.0, noise=0.02)
    own, other = (
        simulate_closed_loop(
            p,
            Sqp(passed, design.control, SolverOptions(sqp_iterations=1)),
            scenario,
            u_start=[3.0, 3.0],
        )
        for p in (plant, tank)
    )
    np.testing.assert_array_equal(own.u, other.u)
    np.testing.assert_array_equal(own.truth, other.truth)


def test_what_differentiates_it_is_told(twin):
    plant, asked = from_python(step, output, **GIVEN), ControlProblem(horizon=3)
    bounds = limits_of(
        Model(
            stable_network(0, 1, (2,), 2),
            Scaling([2.0], [2.0], [0, 0], [1, 1]),
            twin.inputs,
            twin.outputs,
            2.0,
            {},
            "m",
        ),
        asked,
    )
    with pytest.raises(
        InputError,
        match=(
            "vessel: step is a Python function and takes numbers; differentiating a plant needs"
            " CasADi"
        ),
    ):
        Ideal(plant, asked, limits=bounds)


def test_a_function_that_writes_into_its_arguments_harms_nobody():
    def greedy(chi, u, d):
        following = step(chi, u, d)
        chi[:] = u[:] = d[:] = np.nan
        return following

    clean, plant = from_python(step, output, **GIVEN), from_python(greedy, output, **GIVEN)
    np.testing.assert_array_equal(
        simulate(plant, np.ones((9, 1))).y, simulate(clean, np.ones((9, 1))).y
    )


def test_a_digest_tells_one_plant_from_another():
    def other(chi, u, d):
        return step(chi, u, d) + np.array([0.0, 1e-9])

    plants = [from_python(f, output, **GIVEN) for f in (step, step, other)]
    first, same, moved = (plant.identity for plant in plants)
    assert first == same != moved
    assert pickle.loads(pickle.dumps(plants[0])).identity == first


CALLS = iter(range(10**6))
WRONG = [
    (
        {"step": lambda chi, u, d: chi[:1]},
        r"vessel: step must return an array of shape \(2,\), got \(1,\)",
    ),
    (
        {"step": lambda chi, u, d: chi[:1], "columns": True},
        r"vessel: step must return an array of shape \(2, 1\), got \(1, 1\)",
    ),
    ({"step": lambda chi, u, d: "full"}, "vessel: step must return numbers, got 'full'"),
    (
        {"step": lambda chi, u, d: chi / 0.0 * 0.0},
        "vessel: step gives nan at x0; the plant must start where its equations hold",
    ),
    (
        {"step": lambda chi, u, d: chi + next(CALLS)},
        "vessel: step gives two results for the same arguments; it must be a pure function",
    ),
    (
        {"output": lambda chi: chi[0]},
        r"vessel: output must return an array of shape \(2,\), got \(\)",
    ),
    (
        {"step": lambda chi, u, d: chi + chi.sum(), "columns": True},
        "vessel: step gives another result for two columns than for each alone",
    ),
    ({"Ts": 0.0}, "vessel: Ts must be a positive number of seconds"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_misuse_is_named(changes, words):
    with np.errstate(all="ignore"), pytest.raises(InputError, match=words):
        from_python(**{"step": step, "output": output, **GIVEN, **changes})
