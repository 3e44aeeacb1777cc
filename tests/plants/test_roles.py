"""Signals in other roles: a plant driven by its disturbances, a model whose inputs are ones."""

import pickle

import numpy as np
import pytest
from builders import stable_model
from feeds import KINDS, fed

from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import simulate_batch
from lstm_mpc.plants.ph import Plant
from lstm_mpc.plants.python_function import from_python
from lstm_mpc.plants.roles import Roles, as_plant, driven_by, signal_content
from lstm_mpc.plants.system import Signal, simulate

Q1 = Signal("q1", "mL/s", 16.0, 17.0, 16.6, kind="measured")


def tank(chi, u, d):
    return [0.9 * chi[0] + 0.1 * u[0] + 0.2 * d[0] - 0.3 * d[1]]


def python_plant():
    return from_python(
        tank,
        lambda chi: [chi[0]],
        name="tank",
        inputs=(Signal("q", "L/s", 0.0, 4.0, 1.0),),
        outputs=(Signal("h", "m"),),
        disturbances=(Signal("w", "L/s", -1.0, 1.0, 0.0), Signal("q1", "mL/s", 0.0, 99.0, 2.0)),
        Ts=1.0,
        x0=[0.0],
    )


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("kind", ["ph", "python"])
def test_a_plant_driven_by_a_disturbance_is_the_same_plant(first, kind, rng):
    plant = Plant().system() if kind == "ph" else python_plant()
    inputs = (Q1, *plant.inputs) if first else (*plant.inputs, Q1)
    view, names = driven_by(plant, inputs), [s.name for s in plant.disturbances]
    assert view.inputs == inputs
    assert [s.name for s in view.disturbances] == [n for n in names if n != "q1"]
    u = rng.uniform([s.low for s in inputs], [s.high for s in inputs], (30, 2))
    d = np.tile(plant.d_nominal, (30, 1))
    d[:, names.index("q1")] = u[:, 0 if first else 1]
    own = u[:, [1 if first else 0]]
    assert np.array_equal(simulate(view, u).y, simulate(plant, own, disturbances=d).y)
    batch = simulate_batch(view, u[None], view.x0[None])
    assert np.allclose(batch[0], simulate(view, u).y, rtol=0, atol=1e-9)
    if kind == "ph":  # the twin that worker processes get
        assert pickle.loads(pickle.dumps(view.batch)) is not None


def test_without_measured_inputs_it_is_the_plant_itself(plant):
    assert driven_by(plant, plant.inputs) is plant
    assert as_plant(plant) is plant


@pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("delays", [(), (1, 3)])
def test_a_model_as_a_plant_has_its_measured_inputs_as_disturbances(kinds, delays, rng):
    model = fed(1, kinds, delays=delays)
    plant = as_plant(model.system)
    assert (plant.nu, plant.nd) == (1, 1)
    assert plant.d_nominal.tolist() == [model.measured[0].typical]
    u = rng.uniform(model.u_low, model.u_high, (20, 2))
    run = simulate(
        plant, model.roles.moved(u), disturbances=u[:, model.roles.measured], x0=model.system.x0
    )
    assert np.array_equal(run.y, simulate(model.system, u).y)


def test_roles_join_what_they_part(rng):
    roles = Roles.of([Signal("a", "V"), Q1, Signal("b", "V"), Q1])
    whole = rng.normal(size=(5, 4))
    parts = roles.moved(whole), whole[:, roles.measured]
    assert [part.shape for part in parts] == [(5, 2), (5, 2)]
    assert np.array_equal(roles.joined(*parts), whole)
    assert np.array_equal(roles.joined(parts[0], 0.0)[:, [1, 3]], np.zeros((5, 2)))
    u = rng.normal(size=(3, 2))
    assert Roles.of([Signal("a", "V"), Signal("b", "V")]).joined(u, np.zeros((3, 0))) is u


def test_a_measured_input_is_kept_on_disk_and_counts_in_the_digest(tmp_path):
    model, same = fed(0), stable_model(0, nu=2)
    model.save(tmp_path / "model.json")
    loaded = Model.load(tmp_path / "model.json")
    assert loaded.inputs == model.inputs
    assert loaded.digest == model.digest != same.digest
    assert "kind" not in signal_content(same.inputs[0])
    assert [s.name for s in model.measured] == ["u2"]


REFUSED = {
    "no such disturbance": (
        lambda plant: driven_by(plant, (*plant.inputs, Signal("T", "C", kind="measured"))),
        r"input 'T' is measured, but pH neutralisation has no disturbance of that name \(it has"
        r" q1, q2\)",
    ),
    "no input": (lambda plant: driven_by(plant, (Q1,)), r"has 1 manipulated input\(s\), got 0"),
    "kind": (
        lambda plant: Signal("q1", "mL/s", kind="moved"),
        "signal 'q1': kind must be 'manipulated' or 'measured', got 'moved'",
    ),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_what_fits_no_plant_is_refused(make, words, plant):
    with pytest.raises(InputError, match=words):
        make(plant)
