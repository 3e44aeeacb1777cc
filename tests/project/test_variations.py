"""The plant of a design whose loops run on variations of the model."""

from dataclasses import replace

import numpy as np
import pytest
from builders import stable_network

from lstm_mpc.assurance.model_plant import ModelPlant
from lstm_mpc.certificates.gate import Release
from lstm_mpc.control.engines.sqp import Sqp
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.csv_file import write_csv
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.model import lstm
from lstm_mpc.project.artefacts import REPORT_KIND
from lstm_mpc.project.design import load_design
from lstm_mpc.project.variations import variations

DESIGN = """
[plant]
kind = "model"
gain = 0.1

[[input]]
name = "q3"
unit = "mL/s"
low = 12.5
high = 17.0

[[output]]
name = "pH"
unit = "pH"

[control]
horizon = 5
u_start = [15.0]

[verify_loop]
setpoint = [[6.5, 7.5]]
start = [[14.0, 15.5]]
residuals = [0.5, 1.0]
mismatch = 1.0

[[scenario]]
name = "tracking"
duration = 200.0
setpoint = [[0, 7.0]]
residuals = [[0, 1.0]]
mismatch = 1.0
"""


@pytest.fixture
def folder(tmp_path, model, dataset):
    """A design with what training leaves: a model, its report and its validation data."""
    (tmp_path / "design.toml").write_text(DESIGN, encoding="utf-8")
    short = replace(dataset, records=(replace(dataset.records[0], truth=None),))
    model.save(tmp_path / "model.json")
    write_csv(tmp_path / "data-validation.csv", short)
    report(tmp_path, model)
    return tmp_path


def start(seed, fit, network=None):
    row = {"seed": seed, "validation_fit": fit}
    return row if network is None else {**row, "network": artefact_file.plain(network)}


def report(folder, model, /, **changes):
    other = stable_network(4, 1, (3,), 1)
    weights = lstm.parameters(other)
    rows = [
        start(0, 90.0, lstm.parameters(model.network)),
        start(1, 85.0, weights),
        start(2, 70.0, weights),  # much worse
        start(3, 89.0),  # not certified
    ]
    content = {"model": model.digest, "chosen": 0, "starts": rows, **changes}
    artefact_file.write_json(folder / "training.json", REPORT_KIND, content)


def test_a_design_has_its_model_as_the_plant(folder):
    design = load_design(folder)
    plant = design.plant_of(design.scenarios[0])
    assert plant.name == (
        "variations of the model (2 certified starts of training, gains ±10 %, time constants ±20"
        " %, residuals of 550 validation samples replayed)"
    )
    assert [s.name for s in plant.disturbances] == ["residuals"]
    assert design.system is None  # nothing is recorded on it


def test_a_loop_runs_on_it(folder, released):
    design = load_design(folder)
    assert isinstance(released, Release)
    scenario, engine = design.scenarios[0], Sqp(released, design.control, design.solver)
    run = simulate_closed_loop(design.plant_of(scenario), engine, scenario, u_start=design.u_start)
    assert np.isfinite(run.truth).all()
    assert (np.abs(run.truth[1:] - 7.0) > 0).all()  # residuals move it for ever


def test_starts_of_another_model_do_not_count(folder, model):
    report(folder, model, **{"model": "0" * 64})
    design = load_design(folder)
    assert "certified starts" not in design.plant_of(design.scenarios[0]).name


def test_a_model_that_was_imported_has_no_starts_and_no_residuals(folder):
    (folder / "training.json").unlink()
    (folder / "data-validation.csv").unlink()
    design = load_design(folder)
    name = design.plant_of(design.scenarios[0]).name
    assert name == "variations of the model (gains ±10 %, time constants ±20 %)"


def test_a_report_that_cannot_be_used_is_one_sentence(folder, model):
    report(folder, model, chosen=17)
    with pytest.raises(InputError) as error:
        variations(ModelPlant(), folder, None, transient=10, window=0)
    assert "training.json: is no usable training report" in str(error.value)
    assert "`lstm-mpc train --force` makes it anew" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("gain = 0.1", "gains = 0.1", "unknown key 'gains' in [plant]; did you mean 'gain'?"),
        ("residuals = [[0, 1.0]]", "flow = [[0, 1.0]]", "unknown key 'flow' in [[scenario]]"),
        ('[plant]\nkind = "model"\ngain = 0.1', "", "[verify_loop] needs a [plant]"),
    ],
)
def test_what_the_plant_does_not_know_is_refused(folder, old, new, words):
    (folder / "design.toml").write_text(DESIGN.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_design(folder)
    assert words in str(error.value)
