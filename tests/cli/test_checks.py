"""`validate` and `inspect`: a model on a further record, and whether it is physical."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from builders import stable_model
from places import ROOT
from verbs import command

from lstm_mpc.cli.words_check import inspected
from lstm_mpc.data.csv_file import write_csv
from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.model.model import Model
from lstm_mpc.model.step_response import step_responses
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import simulate

SHIPPED = ROOT / "models" / "ph"


@pytest.fixture
def alone(tmp_path):
    """A model file in a folder of its own, without a design."""
    folder = tmp_path / "alone"
    folder.mkdir()
    shutil.copy(SHIPPED / "model.json", folder)
    return folder


def record(model, *, noise=0.0, shift=0.0, samples=400):
    """What the model itself would be measured to do."""
    rng = np.random.default_rng(3)
    u = np.repeat(rng.uniform(model.u_low, model.u_high, (samples // 20, len(model.inputs))), 20, 0)
    y = simulate(model.system, u).y
    y = y + noise * rng.standard_normal(y.shape) + shift * np.sin(np.arange(samples))[:, None]
    return Dataset(model.inputs, model.outputs, model.Ts, (Record("r", u, y),))


def test_a_model_is_validated_on_a_further_record(alone, tmp_path, capsys):
    model = Model.load(alone / "model.json")
    write_csv(tmp_path / "other.csv", record(model, noise=0.01))
    code, out, err = command(capsys, "validate", alone, "--data", tmp_path / "other.csv", "--json")
    assert (code, err) == (0, "")
    content = json.loads(out)
    assert content["fits"]["measured"]["mean_removed"][0] > 90
    assert content["fits"]["measured"]["rmse"][0] == pytest.approx(0.01, rel=0.2)
    assert content["residuals"]["explained"][0][0] <= 0.05
    code, out, _ = command(capsys, "validate", alone, "--data", tmp_path / "other.csv", "--force")
    assert "FIT (12) " in out
    assert "lags beyond it: nothing is missing" in out
    names = {path.name for path in (alone / "figures").iterdir()}
    assert {"validation-other.png", "residuals-other.png"} <= names


def test_dynamics_that_the_model_lacks_are_seen(alone, tmp_path, capsys):
    model = Model.load(alone / "model.json")
    data = record(model)
    (item,) = data.records
    late = replace(item, y=np.vstack([item.y[:5], item.y[:-5]]))  # five samples of dead time
    write_csv(tmp_path / "late.csv", replace(data, records=(late,)))
    _, out, _ = command(capsys, "validate", alone, "--data", tmp_path / "late.csv")
    assert "beyond it: dynamics are missing" in out


def test_a_record_that_the_mean_predicts_better_is_called_that(alone, tmp_path, capsys):
    model = Model.load(alone / "model.json")
    data = record(model)
    (item,) = data.records
    mirrored = replace(item, y=2 * item.y.mean() - item.y)
    write_csv(tmp_path / "m.csv", replace(data, records=(mirrored,)))
    _, out, _ = command(capsys, "validate", alone, "--data", tmp_path / "m.csv")
    assert "the mean of this record predicts it better than the model" in out


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text.replace("q3", "q7"), "q3"),
        (lambda text: "t [s],q3 [mL/s],pH [pH]\n0,15,7\n1,15,7\n2,15,7\n", "the model every 10 s"),
    ],
)
def test_a_record_that_does_not_fit_is_one_sentence(alone, tmp_path, capsys, spoil, words):
    write_csv(tmp_path / "x.csv", record(Model.load(alone / "model.json")))
    (tmp_path / "x.csv").write_text(spoil((tmp_path / "x.csv").read_text()))
    code, out, err = command(capsys, "validate", alone, "--data", tmp_path / "x.csv")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert not (alone / "figures").exists()


def test_the_shipped_model_is_physical(alone, capsys):
    code, out, _ = command(capsys, "inspect", alone, "--json")
    (row,) = json.loads(out)["responses"]
    assert (code, row["sign"]) == (0, "positive")
    assert 0.2 < min(row["gains"]) < max(row["gains"]) < 2.0
    assert 100 < row["settling"] < 600
    assert "q3 → pH" in command(capsys, "inspect", alone)[1]
    assert (alone / "figures" / "steps.png").exists()


def test_gains_and_settling_are_those_of_the_simulation():
    model = stable_model(3, 2, (4,), 2)
    for r in step_responses(model, levels=(0.3,)):
        u = np.array(model.u_low + 0.5 * (model.u_high - model.u_low))
        u[r.input] = r.before
        start = rest(model.system, u)
        u[r.input] = r.after
        y = simulate(model.system, np.tile(u, (len(r.t) + 500, 1)), x0=start).y
        assert np.allclose(y[: len(r.t)], r.y)
        change = y[-1] - y[0]
        assert np.allclose(r.gain, change / (r.after - r.before), rtol=1e-6)
        for i, settling in enumerate(r.settling):
            k = round(settling / model.Ts)
            away = np.abs(y[:, i] - y[-1, i]) > 0.05 * abs(change[i])
            assert not away[k:].any()
            assert k == 0 or away[k - 1]


def test_a_gain_that_changes_its_sign_is_said():
    model = stable_model(3, 1, (4,), 1)
    one, *others = step_responses(model)
    turned = replace(one, gain=-others[0].gain)
    lines = inspected(model, (turned, *others), ROOT / "x.png").lines
    assert any("the gain changes its sign" in line for line in lines)
    assert not any("changes its sign" in x for x in inspected(model, others, ROOT / "x.png").lines)
