"""`lstm-mpc import`, then the rest of the chain; `lstm-mpc export --target onnx`."""

import json
import shutil

import numpy as np
import pytest
from foreign_nets import (
    keras_stack,
    plain_onnx,
    pytorch,
    run_onnx,
    sequential,
    weights,
    write_keras,
)
from tolerances import SINGLE
from verbs import command

from lstm_mpc.cli.command_line import main
from lstm_mpc.data.csv_file import write_csv
from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import simulate
from lstm_mpc.project.design import load_design

DESIGN = """
name = "tank"
[[input]]
name = "valve"
unit = "%"
low = 0.0
high = 100.0
nominal = 50.0
[[output]]
name = "level"
unit = "cm"
low = 0.0
high = 60.0
[verify]
epsilon = 0.05
beta = 1e-3
rule = "exact"
steps = 100
settle = 20
[release]
epsilon = 0.05
beta = 1e-3
conditions = ["iss", "delta_iss"]
"""
IMPORT = "[import]\nTs = 5.0\ny_mid = [30.0]\ny_span = [12.0]\n"


@pytest.fixture
def tank(tmp_path):
    """A design directory, and a small network beside it."""
    folder = tmp_path / "tank"
    folder.mkdir()
    (folder / "design.toml").write_text(DESIGN + IMPORT)
    (tmp_path / "net.onnx").write_bytes(plain_onnx(*weights(0, spread=0.1)))
    return folder


def test_from_a_foreign_file_to_another_one(tank, capsys):
    """The whole way: import, certify, verify, reach, release, export; validated on data that the
    network itself made."""
    code, out, _ = command(capsys, "import", tank.parent / "net.onnx", tank)
    assert code == 0
    assert "net.onnx (ONNX): 1 input(s), 3 cells, 1 output(s)" in out
    assert (
        "scaling: inputs by actuator limits, outputs by [import]; the actuator limits reach |u| ≤"
        " 1; Ts = 5 s" in out
    )
    assert "the model's y(k+1) is the output that the other framework gives after sample k" in out
    code, out, _ = command(capsys, "certify", tank)
    assert code == 0
    assert "delta_iss holds with margin" in out
    model = Model.load(tank / "model.json")
    u = np.random.default_rng(0).uniform(0, 100, (200, 1))
    record = Record("r", u, simulate(model.system, u).y)
    write_csv(
        tank / "data-validation.csv", Dataset(model.inputs, model.outputs, model.Ts, (record,))
    )
    for verb in ("verify", "reach", "release"):
        code, _, err = command(capsys, verb, tank, "--quiet")
        assert code == 0, err
    code, out, _ = command(capsys, "export", tank, "--target", "onnx")
    assert code == 0
    assert "ONNX model: model.onnx, README.md" in out
    y = run_onnx((tank / "onnx" / "model.onnx").read_bytes(), {"u": u})[0]
    assert np.abs(y[:-1] - record.y[1:]).max() < 12 * SINGLE
    assert not (tank / "c").exists()
    again = shutil.copytree(tank, tank.parent / "again")
    # the file has scalings, so has [import]
    assert command(capsys, "import", again / "onnx" / "model.onnx", again, "--force")[0] == 2
    (again / "design.toml").write_text(DESIGN + "[import]\nTs = 5.0\n")
    assert command(capsys, "import", again / "onnx" / "model.onnx", again, "--force")[0] == 0
    # float32 weights came, float32 weights went
    assert np.array_equal(simulate(Model.load(again / "model.json").system, u).y, record.y)


def test_a_keras_model_and_a_network_fed_with_its_own_output(tank, capsys):
    """`feedback` in the design closes the loop; without it, the remedy is named."""
    net = weights(0, 2, (3,), 1, spread=0.1)
    stack = keras_stack(net)
    path = write_keras(tank.parent / "net.keras", stack, sequential(stack))
    code, out, err = command(capsys, "import", path, tank)
    assert (code, out) == (2, "")
    assert "the network has 2 inputs and 1 outputs, the design has 1 and 1" in err
    assert "say which by [import] feedback = { level = 0 }" in err
    (tank / "design.toml").write_text(DESIGN + IMPORT + "feedback = { level = 1 }\n")
    code, out, _ = command(capsys, "import", path, tank)
    assert code == 0
    assert "net.keras (Keras model (.keras)): 1 input(s), 3 cells, 1 output(s)" in out
    assert "note: the network's own outputs go back (level into input 1): the model is the" in out
    code, out, _ = command(capsys, "certify", tank)
    assert code == 0
    assert "delta_iss holds with margin" in out
    (tank / "design.toml").write_text(DESIGN + IMPORT + "feedback = { level = 'one' }\n")
    code, _, err = command(capsys, "import", path, tank, "--force")
    assert code == 2
    assert "[import] feedback level" in err


def test_nothing_is_overwritten_without_force(tank, capsys):
    net = tank.parent / "net.onnx"
    assert command(capsys, "import", net, tank)[0] == 0
    before = (tank / "model.json").read_text()
    code, out, err = command(capsys, "import", net, tank)
    assert (code, out) == (2, "")
    assert "model.json: exists; --force replaces it" in err
    assert command(capsys, "import", net, tank, "--force")[0] == 0
    assert (tank / "model.json").read_text() == before


def test_json_and_notes(tank, capsys):
    np.savez(tank.parent / "net.npz", **pytorch(*weights(0)))
    code, out, _ = command(capsys, "import", tank.parent / "net.npz", tank, "--json")
    content = json.loads(out)
    assert code == 0
    assert content["imported"]["file"] == "net.npz"
    assert content["radius"] == 1.0
    code, out, _ = command(capsys, "import", tank.parent / "net.npz", tank, "--force")
    assert "note: a weights file holds no activations" in out


def test_a_refused_file_is_one_sentence(tank, capsys):
    (tank.parent / "net.pt").write_bytes(b"x")
    code, out, err = command(capsys, "import", tank.parent / "net.pt", tank)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "net.pt: may hold code" in err
    assert not (tank / "model.json").exists()


def test_a_model_that_fails_its_condition_is_imported_all_the_same(tank, capsys):
    (tank.parent / "net.onnx").write_bytes(plain_onnx(*weights(0, spread=2.0)))
    assert command(capsys, "import", tank.parent / "net.onnx", tank)[0] == 0
    code, out, _ = command(capsys, "certify", tank)
    assert code == 4
    assert "iss fails" in out


def test_an_unknown_target_is_wrong_usage(tank, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["export", str(tank), "--target", "fortran"])
    assert stop.value.code == 2


def test_onnx_export_needs_a_release(tank, capsys):
    code, _, err = command(capsys, "export", tank, "--target", "onnx")
    assert code == 2
    assert "release.json" in err


def test_the_sampling_time(tank, capsys):
    (tank / "design.toml").write_text(DESIGN)
    code, _, err = command(capsys, "import", tank.parent / "net.onnx", tank)
    assert code == 2
    assert "has no [plant], no [log] and no [data]; give Ts [s] in [import]" in err
    plan = load_design(tank)
    u = np.random.default_rng(0).uniform(0, 100, (30, 1))
    write_csv(tank / "log.csv", Dataset(plan.inputs, plan.outputs, 2.0, (Record("r", u, u),)))
    (tank / "design.toml").write_text(DESIGN + '[data]\ntraining = ["log.csv"]\n')
    assert load_design(tank).sampling_time() == 2.0
    (tank / "design.toml").write_text(DESIGN + '[data]\ntraining = ["log.csv"]\n' + IMPORT)
    code, _, err = command(capsys, "import", tank.parent / "net.onnx", tank)
    assert code == 2
    assert "[import] Ts = 5 s, but the plant or the data of the design have 2 s" in err
    (tank / "design.toml").write_text('[plant]\nkind = "ph"\n')
    assert load_design(tank).sampling_time() == 10.0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("u_middle = [1.0]", "unknown key 'u_middle' in [import]"),
        ("u_mid = 1.0", "[import] u_mid is 1.0, not a list of numbers"),
    ],
)
def test_keys_of_the_table(tank, capsys, line, words):
    (tank / "design.toml").write_text(DESIGN + IMPORT + line)
    code, _, err = command(capsys, "import", tank.parent / "net.onnx", tank)
    assert code == 2
    assert words in err
