"""ONNX graphs: every reason for which one is refused, in its words, and the forms that are read
beside the plainest one."""

import numpy as np
import onnx
import pytest
from foreign_nets import Builder, batch_first_onnx, plain_onnx, run_onnx, weights
from onnx import TensorProto, helper

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers.import_file import import_model, read_foreign
from lstm_mpc.plants.system import Signal, simulate

X = [("x", TensorProto.FLOAT, ["T", "B", 1])]


def refused(folder, data, words, kind="onnx"):
    path = folder / f"net.{kind}"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words) as caught:
        read_foreign(path)
    assert str(caught.value).startswith(f"{path}: ")


# -- ONNX: variants of the LSTM --------------------------------------------------------------------


def imported(folder, data, low, high):
    """The model of a network file whose input lies between `low` and `high`."""
    (folder / "net.onnx").write_bytes(data)
    signals = {"inputs": [Signal("u", "V", low, high)], "outputs": [Signal("y", "m")]}
    return import_model(folder / "net.onnx", **signals, Ts=1.0)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"direction": "reverse"}, "direction 'reverse' reads the future"),
        (
            {"activations": ["HardSigmoid", "Tanh", "Tanh"]},
            "activations HardSigmoid, Tanh, Tanh; only Sigmoid, Tanh, Tanh",
        ),
        ({"activations": ["Sigmoid", "Relu", "Tanh"]}, "activations Sigmoid, Relu, Tanh"),
        ({"activation_alpha": [0.2]}, "activation_alpha = "),
        ({"activation_beta": [0.5]}, "activation_beta = "),
        ({"clip": 3.0}, "clip = 3.0 cannot be represented"),
        ({"input_forget": 1}, "input_forget = 1 cannot be represented"),
        ({"hidden_size": 4}, "hidden_size 4 is not the 3 of its weights"),
    ],
)
def test_variants_of_the_node(attributes, words, tmp_path):
    refused(tmp_path, plain_onnx(*weights(0), **attributes), words)


def test_spelled_out_defaults_are_read(tmp_path):
    (tmp_path / "net.onnx").write_bytes(
        plain_onnx(
            *weights(0),
            activations=["sigmoid", "Tanh", "tanh"],
            direction="forward",
            input_forget=0,
        )
    )
    assert read_foreign(tmp_path / "net.onnx").network.nx == (3,)


def head(g, x, net):
    """Squeeze, MatMul and Add behind a sequence of states."""
    return g.add(
        "Add",
        g.add("MatMul", g.add("Squeeze", x, g.keep(np.array([1]))), g.keep(net[1].T)),
        g.keep(net[2]),
    )


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (("lengths",), "sequence_lens cannot be represented"),
        (("", "", "", "P"), r"peepholes \(input P\) cannot be represented"),
    ],
)
def test_inputs_of_the_node(extra, words, tmp_path):
    net, g = weights(0), Builder()
    g.keep(np.array([5], np.int32), "lengths")
    g.keep(np.zeros((1, 9), np.float32), "P")
    refused(tmp_path, g.bytes(X, [head(g, g.lstm("x", net[0][0], extra=extra), net)]), words)


def test_bidirectional(tmp_path):
    (layer,), C, b_y = weights(0)
    g = Builder()
    both = {
        k: np.stack([v, v])
        for k, v in {"W": np.zeros((12, 1), np.float32), "R": np.zeros((12, 3), np.float32)}.items()
    }
    Y = g.add(
        "LSTM", "x", g.keep(both["W"]), g.keep(both["R"]), hidden_size=3, direction="bidirectional"
    )
    refused(
        tmp_path,
        g.bytes(X, [head(g, Y, ([layer], C, b_y))]),
        "direction 'bidirectional' reads the future",
    )


@pytest.mark.parametrize(("op", "gates"), [("GRU", 3), ("RNN", 1)])
def test_other_recurrent_layers(op, gates, tmp_path):
    net, g = weights(0), Builder()
    Y = g.add(
        op,
        "x",
        g.keep(np.zeros((1, 3 * gates, 1), np.float32)),
        g.keep(np.zeros((1, 3 * gates, 3), np.float32)),
        hidden_size=3,
    )
    refused(tmp_path, g.bytes(X, [head(g, Y, net)]), rf"node {op} \('.*'\): only LSTM layers")


# -- ONNX: what stands around the LSTM -------------------------------------------------------------


def wrapped(before=None, after=None, *, inner=None, rank=3, inputs=X, net=None, outputs=()):
    """An LSTM and its head with further nodes: each argument is a function (builder, name) ->
    name."""
    net, g = net or weights(0), Builder()
    x = before(g, "x") if before else "x"
    x = g.add("Squeeze", g.lstm(x, net[0][0]), g.keep(np.array([1])))
    x = inner(g, x) if inner else x
    y = g.add("Add", g.add("MatMul", x, g.keep(net[1].T)), g.keep(net[2]))
    y = after(g, y) if after else y
    return g.bytes(inputs, [y, *(f(g, x) for f in outputs)], rank=rank)


def one(op, *constants, **attributes):
    return lambda g, x: g.add(op, x, *(g.keep(np.array(c)) for c in constants), **attributes)


def single(value):
    return np.array(value, np.float32)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"after": one("Relu")}, r"node Relu \('.*'\): the activation Relu cannot be represented"),
        ({"after": one("Softplus")}, "the activation Softplus cannot be represented"),
        ({"after": one("Tanh")}, "node Tanh .*: the activation Tanh outside an LSTM cell"),
        ({"inner": one("Relu")}, "node Relu"),
        ({"inner": one("Sigmoid")}, "node Sigmoid .*: the activation Sigmoid outside an LSTM cell"),
        ({"before": one("Sigmoid")}, "node Sigmoid"),
        ({"after": one("ReduceMean")}, "node ReduceMean .*: cannot be represented; a model is"),
        ({"inner": lambda g, x: g.add("Mul", x, x)}, "node Mul .*: multiplies two signals outside"),
        ({"inner": lambda g, x: g.add("Sub", x, x)}, "node Sub .* joins two computed values"),
        ({"after": lambda g, y: g.add("Max", y, y)}, "node Max .* joins two computed values"),
        ({"after": lambda g, y: g.add("Div", g.keep(single([1.0])), y)}, "divides by a signal"),
        ({"after": one("Max", single([0.0]))}, "node Max .*: clips behind an LSTM or a linear"),
        ({"after": one("Clip", single(0.0))}, "node Clip .*: clips behind an LSTM or a linear"),
        ({"before": one("Clip", single(np.nan))}, "node Clip .* clips to what is not a number"),
        (
            {"before": one("Max", single([[[[0.0]]]]))},
            "node Max .* has bounds that do not fit its signals|not a valid ONNX model",
        ),
        (
            {"before": one("Mul", single([-1.0]))},
            r"the input scaling of the graph has the span \[-1.0\]; spans must be positive",
        ),
        ({"after": one("Mul", single([0.0]))}, "the output scaling of the graph has the span"),
        (
            {"before": lambda g, x: g.add("Sub", g.keep(single([1.0])), x)},
            r"the input scaling of the graph has the span \[-1.0\]",
        ),
        (
            {"before": one("Add", single(np.arange(17.0)[:, None, None]))},
            "node Add .* joins shapes that do not fit",
        ),
        (
            {
                "before": one("Add", single(np.arange(9.0)[:, None, None])),
                "inputs": [("x", TensorProto.FLOAT, [9, "B", 1])],
            },
            "node Add .* is not the same for every sample; one constant a signal is read",
        ),
        (
            {"before": one("Transpose", perm=[2, 1, 0])},
            "node LSTM .*: reads 1 signals, its input has 5",
        ),
        (
            {"before": one("Squeeze", np.array([2]))},
            r"its input is not \(time, batch, signals\)|not a valid ONNX model",
        ),
        (
            {"before": one("Cast", to=TensorProto.INT32)},
            "node Cast .* leaves single and double precision",
        ),
        (
            {
                "before": lambda g, x: g.add(
                    "Unsqueeze", g.add("Squeeze", x, g.keep(np.array([1]))), g.keep(np.array([1]))
                )
            },
            r"node Squeeze .* does not fit its operands",
        ),
        ({"inner": one("Gather", 0, axis=0), "rank": 2}, "picks something else than the last samp"),
        ({"inner": one("Gather", [0, -1], axis=0)}, "picks something else than the last or every"),
        (
            {"inner": one("Gather", -1, axis=2), "rank": 2},
            "joins several samples; one sample's states",
        ),
        (
            {"before": lambda g, x: g.add("Concat", x, g.keep(np.zeros((5, 3, 1), "f4")), axis=2)},
            "node Concat .* joins signals with constants; a network that is fed with its own"
            " outputs is exported as it is for one step, and closed by feedback",
        ),
        (
            {
                "before": one(
                    "Slice", np.array([-1]), np.array([-99]), np.array([0]), np.array([-1])
                )
            },
            "runs against the order of the samples, reads the future",
        ),
        (
            {"before": one("Slice", np.array([-12]), np.array([2**31]), np.array([0]))},
            "does not read every sample of input 'x' once; export for sequences of the length",
        ),
        (
            {"before": lambda g, x: g.add("Slice", x, x, x)},
            "node Slice .* picks by signals|not a valid ONNX model",
        ),
        ({"before": one("Dropout", single(0.5), True)}, "node Dropout .* is in training mode"),
        (
            {"before": lambda g, x: g.add("Expand", x, g.keep(np.array([2**20, 2**20, 1])))},
            "does not fit its operands|numbers to follow; export for shorter sequences",
        ),
        (
            {"inputs": [("x", TensorProto.FLOAT, [2**40, 1, 1])]},
            "input 'x' makes this more than 33554432 numbers to follow; export for shorter",
        ),
        (
            {"inputs": [("x", TensorProto.FLOAT, [1, 1, 1])]},
            "runs over one sample from a fixed start, so that its states are never used",
        ),
    ],
)
def test_nodes_that_do_not_fit(parts, words, tmp_path):
    refused(tmp_path, wrapped(**parts), words)


def test_layers_that_read_along_different_axes(tmp_path):
    net, g = weights(0, 1, (3, 2)), Builder()
    x = g.add(
        "Transpose", g.add("Squeeze", g.lstm("x", net[0][0]), g.keep(np.array([1]))), perm=[1, 0, 2]
    )
    refused(
        tmp_path,
        g.bytes(X, [head(g, g.lstm(x, net[0][1]), net)]),
        "does not run along the samples of the layer before in order",
    )
    g = Builder()
    x = g.add("Unsqueeze", "x", g.keep(np.array([0])))
    refused(
        tmp_path,
        g.bytes([("x", 1, ["B", 1])], [head(g, g.lstm(x, net[0][0]), weights(0))]),
        "runs over one sample from a fixed start",
    )


def test_the_head_must_read_the_hidden_state(tmp_path):
    net, g = weights(0), Builder()
    _, _, c = g.lstm("x", net[0][0], outputs=3)
    y = g.add("MatMul", g.add("Squeeze", c, g.keep(np.array([0]))), g.keep(net[1].T))
    refused(tmp_path, g.bytes(X, [y], rank=2), "the path goes through the cell state Y_c")


@pytest.mark.parametrize(
    ("attributes", "transposed"), [({"alpha": 2.0}, False), ({"beta": 0.5}, False)]
)
def test_gemm_is_a_head_without_factors(attributes, transposed, tmp_path):
    net, g = weights(0), Builder()
    h = g.add("Squeeze", g.lstm("x", net[0][0], outputs=2)[1], g.keep(np.array([0])))
    y = g.add("Gemm", h, g.keep(net[1].T), g.keep(net[2]), **attributes)
    refused(tmp_path, g.bytes(X, [y], rank=2), "node Gemm .* has alpha or beta, which a linear")


def test_inputs_of_the_graph(tmp_path):
    refused(
        tmp_path,
        wrapped(one("Cast", to=1), inputs=[("x", TensorProto.INT32, ["T", "B", 1])]),
        "input 'x' is not in single or double",
    )
    refused(
        tmp_path,
        wrapped(inputs=[("x", TensorProto.FLOAT, None)]),
        "input 'x' has no declared shape|not a valid ONNX model",
    )
    refused(
        tmp_path,
        wrapped(lambda g, x: g.add("Max", x, g.keep(single([0.0])), g.keep(single([0.5])))),
        "node Max .* has 3 operands",
    )


def test_old_operator_sets(tmp_path):
    g, net = Builder(), weights(0)
    y = g.add("MatMul", g.add("Squeeze", g.lstm("x", net[0][0]), axes=[1]), g.keep(net[1].T))
    refused(
        tmp_path, g.bytes(X, [y], opset=6), "uses operator set 6; export it with 7 or a later one"
    )
    (tmp_path / "net.onnx").write_bytes(g.bytes(X, [y], opset=7))
    assert read_foreign(tmp_path / "net.onnx").network.nx == (3,)


def test_no_head_no_lstm_no_path(tmp_path):
    net, g = weights(0), Builder()
    refused(
        tmp_path,
        g.bytes(X, [g.add("Squeeze", g.lstm("x", net[0][0]), g.keep(np.array([1])))]),
        "has no linear head",
    )
    g = Builder()
    refused(tmp_path, g.bytes(X, [g.add("Identity", "x")]), "has no linear head")
    g = Builder()
    refused(
        tmp_path,
        g.bytes(X, [g.add("Identity", g.keep(net[1]))], rank=2),
        "does not depend on an input of the graph",
    )
    g = Builder()
    y = g.add(
        "MatMul",
        g.keep(np.ones((1, 3), np.float32)),
        g.add("Squeeze", g.lstm("x", net[0][0]), g.keep(np.array([1]))),
    )
    refused(tmp_path, g.bytes(X, [y]), "multiplies from the left")


def test_weights_computed_from_the_inputs(tmp_path):
    net, g = weights(0), Builder()
    R = g.keep(np.zeros((1, 12, 3), np.float32))
    W = g.add("Reshape", "w", g.keep(np.array([1, 12, 1])))
    Y = g.add("LSTM", "x", W, R, hidden_size=3)
    refused(
        tmp_path,
        g.bytes([*X, ("w", TensorProto.FLOAT, [12])], [head(g, Y, net)]),
        "W .* is computed from the inputs; the weights must be constants",
    )


def test_further_outputs(tmp_path):
    data = wrapped(outputs=(one("Identity"),))
    refused(tmp_path, data, "has a further output made of .*; beside the first only final states")


def test_nodes_of_other_domains(tmp_path):
    refused(tmp_path, wrapped(after=one("Thing", domain="other")), r"node other\.Thing")


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            {"before": one("Transpose", perm=[0, 1, 5])},
            r"node Transpose .* does not fit its operands \(axis 5 is out of bounds",
        ),
        ({"before": one("Reshape", [2.5, 1.0])}, "node Reshape .* does not fit its operands"),
        ({"rank": 2}, "is not a valid ONNX model .*ShapeInferenceError"),
    ],
)
def test_graphs_whose_nodes_do_not_fit_together(parts, words, tmp_path):
    refused(tmp_path, wrapped(**parts), words)


def test_control_flow(tmp_path):
    body = helper.make_graph(
        [helper.make_node("Identity", ["a"], ["b"])],
        "body",
        [helper.make_tensor_value_info("a", 1, ["B", 1])],
        [helper.make_tensor_value_info("b", 1, ["B", 1])],
    )
    refused(tmp_path, wrapped(before=one("Scan", body=body, num_scan_inputs=1)), "control flow")


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (weights(0, dtype=np.float16), "is float16; save it as float32 or float64"),
        (
            (weights(0)[0], np.full((1, 3), np.nan, np.float32), weights(0)[2]),
            "holds numbers that are not finite",
        ),
        (
            (weights(0)[0], np.ones((1, 4), np.float32), weights(0)[2]),
            r"node MatMul .* has weights of the shape \[4, 1\] for signals of the shape",
        ),
        (
            (weights(0)[0], np.ones((2, 3), np.float32), np.ones(5, np.float32)),
            "node Add .* joins shapes that do not fit",
        ),
    ],
)
def test_numbers_of_the_graph(net, words, tmp_path):
    refused(tmp_path, plain_onnx(*net), words)


def test_layers_of_widths_that_do_not_fit(tmp_path):
    (first, _), C, b_y = weights(0, 1, (3, 3))
    (_, second), _, _ = weights(0, 1, (4, 3))
    refused(
        tmp_path,
        plain_onnx([first, second], C, b_y),
        "node LSTM .*: reads 4 signals, its input has 3",
    )


def test_bytes_that_are_no_onnx(tmp_path):
    refused(tmp_path, b"not onnx at all", "is not an ONNX file|is not a valid ONNX model")
    refused(tmp_path, b"", "is not a valid ONNX model")


# -- ONNX: what is read beside the plainest form ---------------------------------------------------


def test_the_last_sample_of_a_window(tmp_path):
    """Three ways in which exporters write `lstm(x)[:, -1]` and a linear layer."""
    net, u = weights(0), np.random.default_rng(0).uniform(-1, 1, (20, 1, 1)).astype(np.float32)
    signals = {"inputs": [Signal("u", "V", -1.0, 1.0)], "outputs": [Signal("y", "m")], "Ts": 1.0}
    for way in ("Y_h", "Gather", "Reshape"):
        g = Builder()
        Y, h, _ = g.lstm("x", net[0][0], outputs=3)
        if way == "Gather":
            h = g.add(
                "Gather", g.add("Squeeze", Y, g.keep(np.array([1]))), g.keep(np.array(-1)), axis=0
            )
        else:
            h = (
                g.add("Squeeze", h, g.keep(np.array([0])))
                if way == "Y_h"
                else g.add("Reshape", h, g.keep(np.array([-1, 3])))
            )
        data = g.bytes(X, [g.add("Gemm", h, g.keep(net[1]), g.keep(net[2]), transB=1)], rank=2)
        (tmp_path / "net.onnx").write_bytes(data)
        model = import_model(tmp_path / "net.onnx", **signals)
        own = simulate(model.system, np.vstack([u[:, 0], u[-1]]).astype(float)).y[-1]
        assert abs(own[0] - run_onnx(data, {"x": u})[0][0, 0]) < 1e-6
        assert "after the last sample of a window only" in model.origin["imported"]["notes"][0]


def test_scalings_of_the_graph_in_any_form(tmp_path):
    """(u − 2)/4 and then + 1, clipped; y·3 − 1: the model has them as mid and span."""

    def before(g, x):
        x = one("Add", single([1.0]))(
            g, one("Div", single(4.0))(g, one("Sub", single([2.0]))(g, x))
        )
        return one("Clip", single(-7.0), single(9.0))(g, x)

    data = wrapped(
        before, lambda g, y: one("Sub", single([1.0]))(g, one("Mul", single([3.0]))(g, y))
    )
    model = imported(tmp_path, data, -4.0, 6.0)
    s = model.scaling
    assert (s.u_mid.tolist(), s.u_span.tolist(), s.y_mid.tolist(), s.y_span.tolist()) == (
        [-2.0],
        [4.0],
        [-1.0],
        [3.0],
    )
    assert s.radius == 2.0
    u = np.random.default_rng(0).uniform(-4, 6, (50, 1))
    own = simulate(model.system, np.vstack([u, u[-1:]])).y[1:]
    assert np.abs(own - run_onnx(data, {"x": u[:, None].astype(np.float32)})[0][:, 0]).max() < 1e-5


def test_batch_first_is_read_whatever_the_batch(tmp_path):
    (tmp_path / "net.onnx").write_bytes(batch_first_onnx(*weights(0, 2, (3, 4), 2)))
    assert read_foreign(tmp_path / "net.onnx").network.nx == (3, 4)


def test_a_tensor_of_a_wrong_length(tmp_path):
    model = onnx.load_model_from_string(plain_onnx(*weights(0)))
    model.graph.initializer[0].dims[:] = [1, 5, 1]
    refused(
        tmp_path,
        model.SerializeToString(),
        "its nodes do not fit together|is not a valid ONNX model",
    )


@pytest.mark.parametrize("shape", [[9, 1, 3], [9, 3, 1], [8, 1, 3]])
def test_a_reshape_to_the_very_sizes_of_the_axes(tmp_path, shape):
    """As PyTorch's newer exporter writes a stack: (T, direction, B, n) → (T, B, direction, n) →
    sizes as numbers."""
    net, u = (
        weights(0, nx=(3, 3)),
        np.random.default_rng(0).uniform(-1, 1, (9, 1, 1)).astype(np.float32),
    )
    g, x = Builder(), "x"
    for layer in net[0]:
        x = g.add(
            "Reshape",
            g.add("Transpose", g.lstm(x, layer), perm=[0, 2, 1, 3]),
            g.keep(np.array(shape)),
            allowzero=0,
        )
    data = g.bytes([("x", TensorProto.FLOAT, [9, 1, 1])], [g.add("MatMul", x, g.keep(net[1].T))])
    if shape != [9, 1, 3]:
        words = "node LSTM .*: reads 3 signals, its input has 1|node Reshape .* does not fit"
        refused(tmp_path, data, words)
        return
    model = imported(tmp_path, data, -1.0, 1.0)
    own = simulate(model.system, np.vstack([u[:, 0], u[-1]]).astype(float)).y[1:]
    assert np.abs(own - run_onnx(data, {"x": u})[0][:, 0]).max() < 1e-6
