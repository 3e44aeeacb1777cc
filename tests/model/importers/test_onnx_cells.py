"""LSTM cells that a graph writes out, and nodes that go on from each other's states."""

import numpy as np
import onnx
import pytest
from foreign_nets import run_onnx, weights
from onnx import TensorProto
from onnx_nets import FIXED, Net, T, agrees, axes, cell, refused, unrolled
from tolerances import SINGLE

from lstm_mpc.model.importers.import_file import import_model
from lstm_mpc.plants.system import Signal, simulate


@pytest.mark.parametrize("keras", [False, True], ids=["PyTorch", "Keras"])
@pytest.mark.parametrize("cells", [(3,), (3, 3)])
def test_a_loop_over_cells(cells, keras, tmp_path):
    model = agrees(tmp_path, unrolled(weights(0, 1, cells), keras=keras))
    assert model.network.nx == cells


def test_a_loop_whose_cells_differ(tmp_path):
    data = unrolled(weights(0), layers=weights(1)[0])
    refused(tmp_path, data, "the LSTM cell .* starts from the states of another LSTM")
    refused(tmp_path, unrolled(weights(0), steps=1), "runs over one sample from a fixed start")


def test_one_step_of_a_cell_with_its_states_as_inputs(tmp_path):
    """The step network that a controller would call, h and c handed in and out."""
    net = weights(0, 3)  # as many inputs as cells
    g = Net(net)
    h, c = cell(g, g.layers[0], "x", "h", "c")
    inputs = [(name, TensorProto.FLOAT, ["B", 3]) for name in ("x", "h", "c")]
    data = g.bytes(inputs, [g.dense(h), h, c], rank=2)
    (tmp_path / "net.onnx").write_bytes(data)
    u = np.random.default_rng(3).uniform(-1, 1, (T, 3)).astype(np.float32)
    model = import_model(
        tmp_path / "net.onnx",
        inputs=[Signal(f"u{j}", "V", -1.0, 1.0) for j in range(3)],
        outputs=[Signal("y", "m")],
        Ts=1.0,
    )
    y = simulate(model.system, np.vstack([u, u[-1:]]).astype(float)).y[1:]
    session = onnx.load_model_from_string(data)
    assert [o.name for o in session.graph.output][1:] == [h, c]
    state = [np.zeros((1, 3), np.float32)] * 2
    for k in range(T):
        theirs = run_onnx(data, {"x": u[k : k + 1], "h": state[0], "c": state[1]})
        state = theirs[1:]
        assert abs(theirs[0][0, 0] - y[k, 0]) < SINGLE
    assert "initial states of the graph are ignored" in model.origin["imported"]["notes"][0]
    g = Net(net)
    h, c = cell(g, g.layers[0], "x", "c", "c")
    data = g.bytes([*inputs[:1], inputs[2]], [g.dense(h)], rank=2)
    refused(tmp_path, data, "mixes samples of different batches, or h and c")


def test_lstm_nodes_one_sample_after_the_other(tmp_path):
    """An LSTM node for each sample that goes on from the states of the one before."""
    net = weights(0)
    for mixed in (False, True):
        g = Net(net, FIXED)
        x, start, rows = g.add("Transpose", "x", perm=[1, 0, 2]), (), []
        for k in range(T):
            row = g.add("Slice", x, g.keep(axes(k)), g.keep(axes(k + 1)), g.keep(axes(0)))
            Y, h, c = g.lstm(row, g.layers[0], extra=("", *start) if start else (), outputs=3)
            start = (h, h) if mixed else (h, c)
            rows.append(g.add("Squeeze", Y, g.keep(axes(1))))
        h = g.add("Transpose", g.add("Concat", *rows, axis=0), perm=[1, 0, 2])
        if mixed:
            refused(tmp_path, g.done(g.dense(h)), "its initial states are computed from signals")
        else:
            agrees(tmp_path, g.done(g.dense(h)))


def test_an_encoder_and_a_decoder(tmp_path):
    net = weights(0, 1, (3, 3))
    g = Net((net[0], net[1], net[2]))
    g.layers = [weights(0)[0][0], weights(1)[0][0]]
    x = g.add("Transpose", "x", perm=[1, 0, 2])
    _, h, c = g.lstm(x, g.layers[0], outputs=3)
    Y = g.add("Squeeze", g.lstm(x, g.layers[1], extra=("", h, c)), g.keep(axes(1)))
    refused(tmp_path, g.done(g.dense(Y)), "starts from the states of another LSTM .*an encoder and")


def test_a_cell_that_is_something_else(tmp_path):
    """Its c from an LSTM node, its h from two samples ago, a gate that does not read h."""
    net = weights(0)
    g = Net(net, FIXED)
    _, h, c = g.lstm(g.add("Transpose", "x", perm=[1, 0, 2]), g.layers[0], outputs=3)
    h, c = (g.add("Squeeze", v, g.keep(axes(0))) for v in (h, c))
    x = g.add("Gather", "x", g.keep(np.array(0)), axis=1)
    y = g.dense(cell(g, g.layers[0], x, h, c)[0])
    words = "the LSTM cell that ends in node Mul .*: its cell state comes from something else"
    refused(tmp_path, g.done(y, rank=2), words)
    g = Net(net, FIXED)
    zero, past = g.keep(np.zeros((2, 3), "f4")), []
    for k in range(3):
        x = g.add("Gather", "x", g.keep(np.array(k)), axis=1)
        h, c = (past[-2][0], past[-1][1]) if k > 1 else past[-1] if past else (zero, zero)
        past.append(cell(g, g.layers[0], x, h, c))
    y = g.add("Concat", *(g.dense(h) for h, _ in past), axis=1)
    refused(tmp_path, g.done(y, rank=2), "reads another state than that of the cell before it")
    g = Net(net, FIXED)
    x = g.add("Gather", "x", g.keep(np.array(0)), axis=1)
    h, c = cell(g, g.layers[0], x, zero_of(g), zero_of(g))
    pre = {k: g.add("MatMul", h, g.keep(net[0][0][f"R_{k}"].T)) for k in "ifo"}
    pre["c"] = g.add("MatMul", x, g.keep(net[0][0]["W_c"].T))
    new = g.add("Mul", g.add("Sigmoid", pre["i"]), g.add("Tanh", pre["c"]))
    c = g.add("Add", g.add("Mul", g.add("Sigmoid", pre["f"]), c), new)
    y = g.dense(g.add("Mul", g.add("Sigmoid", pre["o"]), g.add("Tanh", c)))
    refused(tmp_path, g.done(y, rank=2), "its gates do not read the same signals")


def zero_of(g):
    return g.keep(np.zeros((2, 3), np.float32))
