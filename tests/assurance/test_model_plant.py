"""Variations of the identified model as the plant of a closed loop."""

from dataclasses import replace

import numpy as np
import pytest
from builders import stable_model

from lstm_mpc.assurance.model_plant import ModelPlant, model_plant, residuals_of
from lstm_mpc.control.scenario import Scenario, draw_scenario
from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.io.artefact_file import digest
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import simulate


@pytest.fixture(scope="module")
def late():
    """A random stable model, one input two samples late."""
    return replace(stable_model(0, nu=1, ny=1, nx=(3,)), delays=(2,))


def drawn(plant, mismatch=0.0, seed=0):
    """The state at rest of the plant that a scenario draws."""
    scenario = Scenario("one", Steps((0.0,), [0.0]), 10 * plant.Ts, mismatch=mismatch, seed=seed)
    return draw_scenario(plant, scenario, u_start=[0.0]).chi


def inputs(model, count=60):
    return np.random.default_rng(5).uniform(model.u_low, model.u_high, (count, len(model.inputs)))


def test_without_mismatch_and_residuals_it_is_the_model_to_round_off(late):
    other = stable_model(1, nu=1, ny=1, nx=(3,))
    plant = model_plant(
        late,
        ModelPlant(),
        starts=[replace(late, network=other.network)],
        residuals=np.ones((7, 1)),
    )
    u = inputs(late)
    assert np.allclose(simulate(plant, u).y, simulate(late.system, u).y, rtol=0.0, atol=1e-13)


def test_a_gain_scales_what_the_output_does_about_its_middle(late):
    options = ModelPlant(gain=0.25, time_constant=0.0)
    plant, u = model_plant(late, options), inputs(late)
    state = plant.x0.copy()
    state[-1] = 2.0  # the whole of it
    middle = late.scaling.y_mid
    expected = middle + 1.25 * (simulate(plant, u).y - middle)
    assert np.allclose(simulate(plant, u, x0=state).y, expected, rtol=1e-12)


def test_a_time_constant_changes_the_way_and_not_the_end(late):
    plant = model_plant(late, ModelPlant(gain=0.0, time_constant=0.5))
    u = np.tile(late.u_high, (2000, 1))
    slower = plant.x0.copy()
    slower[-2] = 2.0
    one, other = simulate(plant, u).y, simulate(plant, u, x0=slower).y
    assert np.allclose(one[-1], other[-1], atol=1e-9)
    gone = [np.abs(y - y[-1]).sum() for y in (one, other)]  # the longer, the slower
    assert gone[1] > 1.2 * gone[0]


def test_residuals_run_while_they_are_asked_for_and_stand_at_rest(late):
    left = np.arange(1.0, 9.0)[:, None]
    plant, u = model_plant(late, ModelPlant(), residuals=left), np.tile(late.u_low, (20, 1))
    bare = simulate(plant, u).y
    half = simulate(plant, u, disturbances=np.full((20, 1), 0.5)).y - bare
    begin = 4  # in the middle of the eight
    expected = np.concatenate([[0.0], 0.5 * left[(begin + 1 + np.arange(19)) % 8, 0]])
    assert np.allclose(half[:, 0], expected, atol=1e-12)
    assert rest(plant, late.u_low)[plant.n - 6] == 0.0  # position


def test_a_scenario_draws_another_start_another_gain_and_other_residuals(late):
    starts = [
        replace(late, network=stable_model(seed, nu=1, ny=1, nx=(3,)).network) for seed in (1, 2)
    ]
    plant = model_plant(late, ModelPlant(), starts=starts, residuals=np.zeros((50, 1)))
    parameters = np.stack([drawn(plant, 1.0, seed)[-4:] for seed in range(200)])
    assert np.array_equal(drawn(plant)[-4:], np.ones(4))
    assert (parameters >= 0).all()
    assert (parameters <= 2).all()
    outputs = {round(float(plant.output(drawn(plant, 1.0, seed))[0, 0]), 6) for seed in range(30)}
    assert len(outputs) == 30


def test_starts_of_another_structure_do_not_count(late):
    other = replace(stable_model(3, nu=1, ny=1, nx=(2,)), delays=(2,))
    assert "certified starts" not in model_plant(late, ModelPlant(), starts=[other]).name
    twin = replace(late, network=stable_model(1, nu=1, ny=1, nx=(3,)).network)
    words = model_plant(late, ModelPlant(gain=0.1), starts=[twin, other]).name
    assert words.startswith("variations of the model (2 certified starts of training, gains ±10 %")


def test_plants_with_other_residuals_are_other_plants(late):
    one, same, other = (
        digest(model_plant(late, ModelPlant(), residuals=np.full((3, 1), value)).identity)
        for value in (0.1, 0.1, 2)
    )
    assert one == same != other


def test_residuals_of_records_are_what_the_simulation_leaves(late):
    rng, u = np.random.default_rng(1), inputs(late)
    truth = simulate(late.system, u, x0=late.state(rng.uniform(-0.1, 0.1, late.sizes.n), u[0])).y
    noise = rng.standard_normal(truth.shape)
    noise[30] = np.nan
    item = Record("one", u, truth + noise)
    dataset = Dataset(late.inputs, late.outputs, late.Ts, (item,))
    found = residuals_of(late, dataset, transient=20, window=0)
    assert found.shape == (2 * (len(u) - 20), 1)
    assert np.array_equal(found, found[::-1])
    assert np.isfinite(found).all()
    assert np.isclose(found[10], 0.5 * (found[9] + found[11])).all()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"gain": 1.0}, "[plant] gain must lie in [0, 1), got 1.0"),
        ({"time_constant": -0.1}, "[plant] time_constant must lie in [0, 1), got -0.1"),
        ({"max_fit_loss": float("nan")}, "[plant] max_fit_loss must not be negative, got nan"),
    ],
)
def test_declared_errors_that_cannot_be_are_refused(wrong, words):
    with pytest.raises(InputError) as error:
        ModelPlant(**wrong)
    assert words in str(error.value)
