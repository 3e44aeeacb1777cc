"""What recorded data can carry is said, with numbers; what they carry well is not doubted."""

from dataclasses import replace

import numpy as np
import pytest

from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.data.look.inspection import describe, look
from lstm_mpc.data.look.suitability import coverage, integrations, unstable
from lstm_mpc.plants.system import Signal

INPUT, OUTPUT = (Signal("u", "L/s", -3.0, 3.0),), (Signal("y", "m"),)


def recorded(pole, *, gain=0.05, law=0.0, noise=0.0, seed=0, count=2000, missing=0.0):
    """y⁺ = pole·y + gain·u from u = law·y + steps and dither."""
    rng = np.random.default_rng(seed)
    steps = np.repeat(rng.uniform(-1.0, 1.0, count // 20), 20) + 0.1 * rng.standard_normal(count)
    u, y, x = np.empty(count), np.empty(count), 0.0
    for k in range(count):
        y[k] = x + noise * rng.standard_normal()
        u[k] = law * y[k] + steps[k]
        x = pole * x + gain * u[k]
    y[rng.random(count) < missing] = np.nan
    return Dataset(INPUT, OUTPUT, 1.0, (Record("r", u[:, None], y[:, None]),))


def remarks(dataset):
    return " | ".join(look(dataset).remarks)


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("law", [0.0, -0.5])
def test_a_level_integrates_held_or_not(law, noise):
    data = recorded(1.0, law=law, noise=noise)
    found = look(data)
    assert found.beyond == {"integrating": ("y",), "unstable": ()}
    assert "y integrates (its increments, not itself, follow the inputs" in remarks(data)
    assert "no model under iss or delta_iss can describe it" in remarks(data)
    assert describe(found)["integrating"] == ["y"]


def test_a_level_with_samples_that_are_missing_integrates_too():
    assert look(recorded(1.0, law=-0.5, noise=0.01, missing=0.05)).beyond["integrating"] == ("y",)


@pytest.mark.parametrize("pole", [0.5, 0.9, 0.97, 0.99])
@pytest.mark.parametrize("law", [0.0, -0.5])
def test_a_stable_plant_does_not_however_slow(pole, law):
    found = look(recorded(pole, law=law, noise=0.01, count=4000))
    assert found.beyond == {"integrating": (), "unstable": ()}
    assert "integrates" not in " ".join(found.remarks)


def test_of_an_output_that_the_inputs_hardly_move_nothing_is_said():
    rng = np.random.default_rng(0)
    data = recorded(0.9)
    walk = np.cumsum(rng.standard_normal(2000))[:, None]  # integrates, but not the input
    drifting = replace(data, records=(Record("r", data.records[0].u, walk),))
    (found,) = integrations(drifting, memory=30)
    assert not found.integrates
    assert found.explained < 0.5


def test_an_unstable_plant_under_its_controller():
    data = recorded(1.075, law=-4.0, noise=0.002)
    assert "y is unstable (its pole 1.07" in remarks(data)
    assert look(data).beyond["unstable"] == ("y",)
    assert "u follows y (correlation at negative lags, " in remarks(data)
    assert "× its 99 % bound): recorded under feedback" in remarks(data)


@pytest.mark.parametrize("seed", range(5))
def test_steps_of_an_operator_are_no_feedback(seed):
    data = recorded(0.9, noise=0.02, seed=seed)
    assert "feedback" not in remarks(data)
    assert unstable(data) == {}


def test_a_plant_near_one_is_not_called_unstable():
    assert unstable(recorded(1.0, noise=0.01)) == {}


def test_validation_data_that_see_little():
    data = recorded(0.9)
    low, high = (float(np.quantile(data.records[0].y, q)) for q in (0.4, 0.6))
    y = np.clip(data.records[0].y, low, high)
    narrow = replace(data, records=(replace(data.records[0], y=y),))
    (sentence,) = coverage(data, narrow)
    assert sentence.startswith(f"validation data see y in [{low:.4g}, {high:.4g}] of [")
    assert "m of the training data" in sentence
    assert sentence.endswith("% of it: the FIT says nothing of the rest")
    assert coverage(data, data) == []
    both = replace(data, records=(*data.records, *narrow.records))
    assert sentence in look(both, kept=1).remarks
    assert sentence not in look(both).remarks
