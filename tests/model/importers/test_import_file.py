"""Networks that others trained: files built without this package, run by their own runtime or their
retyped equations."""

import numpy as np
import pytest
from foreign_nets import (
    batch_first_onnx,
    framework_run,
    is_valid,
    keras,
    plain_onnx,
    pytorch,
    run_onnx,
    weights,
)
from safetensors.numpy import save_file
from tolerances import ROUND_OFF, SINGLE

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers.import_file import ImportOptions, import_model, read_foreign
from lstm_mpc.plants.system import Signal, simulate

SHAPES = {
    "siso": (0, 1, (3,), 1),
    "mimo": (1, 2, (4,), 3),
    "siso, two layers": (2, 1, (3, 2), 1),
    "mimo, two layers": (3, 3, (2, 4), 2),
}
LAYOUTS = {"pytorch": pytorch, "keras": keras}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def net(request):
    return weights(*request.param)


def adopt(path, net, **choice):
    """The model with inputs in [−1, 1] and no output scaling, so that its numbers are the
    network's."""
    nu, ny = net[0][0]["W_i"].shape[1], len(net[1])
    inputs, outputs = (
        [Signal(f"u{j}", "V", -1.0, 1.0) for j in range(nu)],
        [Signal(f"y{j}", "m") for j in range(ny)],
    )
    return import_model(
        path, inputs=inputs, outputs=outputs, Ts=2.0, choice=ImportOptions(**choice)
    )


def inputs_for(net, steps=300):
    return (
        np.random.default_rng(5)
        .uniform(-1, 1, (steps, net[0][0]["W_i"].shape[1]))
        .astype(np.float32)
    )


def shifted(model, u):
    """Our y(k+1) for k = 0 … N−1, which is what the others call y_t."""
    return simulate(model.system, np.vstack([u, u[-1:]]).astype(float)).y[1:]


def saved(folder, kind, tensors):
    path = folder / f"net.{kind}"
    if kind == "npz":
        np.savez(path, **tensors)
    else:
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path)
    return path


# -- the same numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False], ids=["biases", "no biases"])
def test_an_onnx_model_gives_what_onnxruntime_gives(net, bias, tmp_path):
    data, u = plain_onnx(*net, bias=bias), inputs_for(net)
    is_valid(data)
    (tmp_path / "net.onnx").write_bytes(data)
    y = run_onnx(data, {"x": u[:, None]})[0][:, 0]
    assert np.abs(shifted(adopt(tmp_path / "net.onnx", net), u) - y).max() < SINGLE


def test_a_batch_first_export_with_states_and_a_start(net, tmp_path):
    data, u = batch_first_onnx(*net), inputs_for(net)
    (tmp_path / "net.onnx").write_bytes(data)
    model = adopt(tmp_path / "net.onnx", net)
    assert np.abs(shifted(model, u) - run_onnx(data, {"x": u[None]})[0][0]).max() < SINGLE
    assert model.origin["imported"]["notes"] == []  # the start is zero, as the model's is


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
@pytest.mark.parametrize("bias", [True, False], ids=["biases", "no biases"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_files_follow_their_framework(net, layout, bias, kind, tmp_path):
    layers, C, b_y = net
    path = saved(tmp_path, kind, LAYOUTS[layout](layers, C, b_y, bias=bias))
    biases = 0 if not bias else 2 if layout == "pytorch" else 1
    y = framework_run(layers, C, b_y if bias else np.zeros(len(C)), inputs_for(net), biases=biases)
    assert np.abs(shifted(adopt(path, net), inputs_for(net)) - y).max() < ROUND_OFF


@pytest.mark.parametrize("order", ["iofc", "fico", "icfo"])
@pytest.mark.parametrize("layout", ["pytorch", "keras", "onnx"])
def test_a_permuted_gate_order_is_noticed(layout, order, tmp_path):
    net = weights(0)
    if layout == "onnx":
        order = order[::-1]
        (tmp_path / "net.onnx").write_bytes(plain_onnx(*net, order=order))
        path = tmp_path / "net.onnx"
    else:
        path = saved(tmp_path, "npz", LAYOUTS[layout](*net, order=order))
    u = inputs_for(net)
    y = framework_run(*net, u, biases=1 if layout == "keras" else 2)
    assert np.abs(shifted(adopt(path, net), u) - y).max() > 0.01


def test_the_others_are_one_sample_ahead(tmp_path):
    net = weights(0)
    path, u = saved(tmp_path, "npz", pytorch(*net)), inputs_for(net)
    y = framework_run(*net, u)
    assert np.abs(simulate(adopt(path, net).system, u.astype(float)).y - y).max() > 0.01


def test_single_precision_becomes_exact_double_precision(tmp_path):
    layers, C, b_y = weights(0)
    network = read_foreign(saved(tmp_path, "npz", pytorch(layers, C, b_y))).network
    assert np.array_equal(network.layers[0].U_o, layers[0]["R_o"])
    assert np.array_equal(network.C, C)
    assert np.array_equal(
        network.layers[0].b_f[:, 0],
        layers[0]["b_f"].astype(float) + layers[0]["rb_f"].astype(float),
    )


def test_against_torch_itself(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    lstm, fc = torch.nn.LSTM(2, 4, 2).double(), torch.nn.Linear(4, 1).double()
    tensors = {f"lstm.{k}": v.numpy() for k, v in lstm.state_dict().items()} | {
        f"fc.{k}": v.numpy() for k, v in fc.state_dict().items()
    }
    net = weights(0, 2, (4, 4), 1)
    u = inputs_for(net).astype(float)
    with torch.no_grad():
        y = fc(lstm(torch.from_numpy(u))[0]).numpy()
    assert np.abs(shifted(adopt(saved(tmp_path, "npz", tensors), net), u) - y).max() < ROUND_OFF


def test_a_missing_package_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    (tmp_path / "net.onnx").write_bytes(b"x")
    (tmp_path / "net.safetensors").write_bytes(b"x")
    for kind in ("onnx", "safetensors"):
        with pytest.raises(
            InputError, match=rf"needs the package {kind}: pip install 'lstm_mpc\[{kind}\]'"
        ):
            read_foreign(tmp_path / f"net.{kind}")
