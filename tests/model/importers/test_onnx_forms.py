"""ONNX graphs in the forms that exporters write: read, and the same numbers as onnxruntime; and
networks that look like them and are something else."""

import numpy as np
import onnx
import pytest
from foreign_nets import packed, weights
from onnx import TensorProto, helper, numpy_helper
from onnx_nets import FIXED, FREE, Net, T, agrees, axes, refused, time_distributed

from lstm_mpc.model.importers.import_file import read_foreign

# -- heads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [FREE, FIXED], ids=["free", "fixed"])
@pytest.mark.parametrize("way", ["Gather", "Squeeze", "Concat"])
def test_a_head_on_the_last_state(way, shape, tmp_path):
    """`h_n[-1]` and `h_n.squeeze(0)`; h_n of a stack is a Concat of all layers' Y_h."""
    g = Net(weights(0, 1, (3, 3) if way == "Concat" else (3,)), shape)
    _, states = g.sequence()
    h = g.add("Concat", *states, axis=0) if way == "Concat" else states[-1]
    if way == "Squeeze":
        h = g.add("Squeeze", h, g.keep(axes(0)))
    else:
        h = g.add("Gather", h, g.keep(np.array(-1)), axis=0)
    agrees(tmp_path, g.done(g.dense(h, gemm=True), rank=2), last=True)


def test_the_last_batch_is_not_the_last_sample(tmp_path):
    """y[-1] of (batch, time, 1) where y[:, -1] is meant."""
    for shape in (FREE, FIXED):
        g = Net(weights(0), shape)
        y = g.dense(g.add("Transpose", g.sequence()[0], perm=[1, 0, 2]))
        data = g.done(g.add("Gather", y, g.keep(np.array(-1)), axis=0), rank=2)
        refused(tmp_path, data, "is that of some batches only; it may take a batch for a sample")


@pytest.mark.parametrize("layer", [0, 1])
def test_the_state_of_a_lower_layer_is_another_network(layer, tmp_path):
    """h_n[0] of a stack reads the first layer alone; the others are of no account."""
    g = Net(weights(0, 1, (3, 3)))
    _, states = g.sequence()
    h = g.add("Gather", g.add("Concat", *states, axis=0), g.keep(np.array(layer)), axis=0)
    model = agrees(tmp_path, g.done(g.dense(h), rank=2), last=True)
    assert len(model.network.layers) == layer + 1


def test_a_squeezed_output(tmp_path):
    for shape in (FREE, FIXED):
        g = Net(weights(0), shape)
        y = g.dense(g.add("Transpose", g.sequence()[0], perm=[1, 0, 2]))
        agrees(tmp_path, g.done(g.add("Squeeze", y, g.keep(axes(-1))), rank=2))


def test_a_squeeze_that_names_no_axes(tmp_path):
    g = Net(weights(0), FIXED)
    y = g.dense(g.add("Transpose", g.sequence()[0], perm=[1, 0, 2]))
    agrees(tmp_path, g.done(g.add("Squeeze", y), rank=2))


@pytest.mark.parametrize("ny", [1, 2])
def test_keras_writes_dense_as_a_product_of_rows(ny, tmp_path):
    """Reshape(−1, n) → MatMul → Reshape back to sizes that the graph computes → Add."""
    g = Net(weights(0, ny=ny))
    h = g.add("Transpose", g.sequence()[0], perm=[1, 0, 2])
    sizes = g.add("Cast", g.add("Shape", h), to=TensorProto.INT32)
    kept = g.add("Gather", sizes, g.keep(axes(0, 1)), axis=0)
    back = g.add("Concat", kept, g.keep(np.array([ny], np.int32)), axis=0)
    rows = g.add("MatMul", g.add("Reshape", h, g.keep(axes(-1, 3))), g.keep(g.C.T))
    y = g.add("Reshape", rows, g.add("Cast", back, to=TensorProto.INT64))
    agrees(tmp_path, g.done(g.add("Add", y, g.keep(g.b_y))), ny=ny)


def test_keras_takes_the_last_sample_by_slice_and_squeeze(tmp_path):
    g = Net(weights(0))
    x, _ = g.sequence()
    last = g.add("Slice", x, g.keep(axes(-1)), g.keep(axes(2**31 - 1)), g.keep(axes(0)))
    agrees(tmp_path, g.done(g.dense(g.add("Squeeze", last, g.keep(axes(0)))), rank=2), last=True)


def test_a_head_for_each_sample(tmp_path):
    agrees(tmp_path, time_distributed(weights(0)))
    words = "node MatMul .* does not compute the same at every sample"
    refused(tmp_path, time_distributed(weights(0), odd=2 * weights(0)[1]), words)


def test_two_heads_side_by_side(tmp_path):
    """An nn.Linear for each output, put together at the end."""
    g = Net(weights(0, ny=2))
    h = g.add("Transpose", g.sequence()[0], perm=[1, 0, 2])
    ys = [g.add("MatMul", h, g.keep(g.C[j : j + 1].T)) for j in (0, 1)]
    ys[1] = g.add("Add", ys[1], g.keep(g.b_y[1:]))
    agrees(tmp_path, g.done(g.add("Concat", *ys, axis=2)), ny=2)


def test_linear_layers_anywhere_are_folded(tmp_path):
    """In front, between and behind: a projection, a normalisation of states, two heads in a row."""
    net, rng = weights(0, 2, (3, 4), 2), np.random.default_rng(1)

    def random(*shape):
        return rng.uniform(-0.8, 0.8, shape).astype(np.float32)

    g = Net(net, ["B", "T", 2])
    x = g.add("Add", g.add("MatMul", "x", g.keep(random(2, 2))), g.keep(random(2)))
    x, _ = g.sequence(x, upto=1)
    parts = [g.keep(v) for v in (random(3), random(3), random(3), np.abs(random(3)) + 0.1)]
    x = g.add("Transpose", x, perm=[1, 2, 0])
    x = g.add("BatchNormalization", x, *parts, epsilon=1e-3)
    x = g.add("Neg", g.add("Transpose", x, perm=[2, 0, 1]))
    x = g.add("Squeeze", g.lstm(x, net[0][1]), g.keep(axes(1)))
    y = g.dense(g.add("Transpose", x, perm=[1, 0, 2]))
    y = g.add("MatMul", y, g.keep(random(2, 2)))
    agrees(tmp_path, g.done(y), nu=2, ny=2)


def test_inputs_that_come_in_two_tensors(tmp_path):
    net = weights(0, 3)
    g = Net(net)
    y = g.dense(
        g.add("Transpose", g.sequence(g.add("Concat", "a", "b", axis=2))[0], perm=[1, 0, 2])
    )
    inputs = [("a", TensorProto.FLOAT, ["B", "T", 2]), ("b", TensorProto.FLOAT, ["B2", "T2", 1])]

    def feed(u):
        return {"a": u[..., :2], "b": u[..., 2:]}

    agrees(tmp_path, g.bytes(inputs, [y]), nu=3, feed=feed)


def test_a_window_of_one_signal(tmp_path):
    """(batch, time) with the axis of signals put in by the graph."""
    g = Net(weights(0), ["B", T])
    x = g.add("Unsqueeze", "x", g.keep(axes(-1)))
    _, states = g.sequence(x)
    y = g.dense(g.add("Squeeze", states[0], g.keep(axes(0))))
    agrees(tmp_path, g.done(y, rank=2), shape=(2, T), last=True)


# -- constants that the graph computes -------------------------------------------------------------


def test_weights_in_another_order_put_right_by_the_graph(tmp_path):
    """As the default exporter of PyTorch does from 48 cells on: gates i, f, g, o stored, sliced and
    put together as i, o, f, g."""
    net = weights(0, nx=(6,))
    (layer,) = net[0]
    g = Net(net)
    n = 6

    def ordered(values):
        name = g.keep(values)
        parts = [
            g.add("Slice", name, g.keep(axes(k * n)), g.keep(axes((k + 1) * n)), g.keep(axes(0)))
            for k in (0, 3, 1, 2)
        ]
        return g.add("Concat", *parts, axis=0)

    W, R = (g.add("Unsqueeze", ordered(packed(layer, k, "ifco")), g.keep(axes(0))) for k in "WR")
    biases = g.add("Concat", *(ordered(packed(layer, k, "ifco")) for k in ("b", "rb")), axis=0)
    x = g.add("Transpose", "x", perm=[1, 0, 2])
    zeros = g.add(
        "Expand", g.keep(np.zeros((1, 1, n), "f4")), g.keep(axes(1, 2, n))
    )  # start states
    Y = g.add(
        "LSTM",
        x,
        W,
        R,
        g.add("Unsqueeze", biases, g.keep(axes(0))),
        "",
        zeros,
        zeros,
        hidden_size=n,
    )
    h = g.add("Transpose", g.add("Squeeze", Y, g.keep(axes(1))), perm=[1, 0, 2])
    agrees(tmp_path, g.done(g.dense(h)))


def test_a_start_of_zeros_for_any_batch(tmp_path):
    """Shape → Gather → Concat → ConstantOfShape; a start that is not zero is said to be ignored."""
    for start, notes in ((0.0, 0), (0.5, 1)):
        g = Net(weights(0))
        x = g.add("Transpose", "x", perm=[1, 0, 2])
        batch = g.add("Gather", g.add("Shape", x), g.keep(axes(1)), axis=0)
        sizes = g.add("Concat", g.keep(axes(1)), batch, g.keep(axes(3)), axis=0)
        value = numpy_helper.from_array(np.array([start], np.float32))
        zeros = g.add("ConstantOfShape", sizes, value=value)
        x = g.lstm(x, g.layers[0], extra=("", zeros, zeros))
        h = g.add("Transpose", g.add("Squeeze", x, g.keep(axes(1))), perm=[1, 0, 2])
        (tmp_path / "net.onnx").write_bytes(g.done(g.dense(h)))
        assert len(read_foreign(tmp_path / "net.onnx").notes) == notes


def test_what_constants_may_cost(tmp_path):
    g = Net(weights(0))
    huge = g.add("ConstantOfShape", g.keep(axes(2**20, 2**20)))
    y = g.dense(g.add("Transpose", g.sequence()[0], perm=[1, 0, 2]))
    y = g.add(
        "Add", y, g.add("Gather", g.add("Gather", huge, g.keep(np.array(0))), g.keep(axes(0)))
    )
    refused(tmp_path, g.done(y), "node ConstantOfShape .* makes this more than 33554432 numbers")


@pytest.mark.parametrize(
    ("op", "values"),
    [
        ("RandomUniformLike", [np.zeros(1, "f4")]),
        ("NonZero", [np.ones(3, "f4")]),
    ],
)
def test_nodes_that_are_not_computed(op, values, tmp_path):
    g = Net(weights(0))
    y = g.dense(g.add("Transpose", g.sequence()[0], perm=[1, 0, 2]))
    extra = g.add("Cast", g.add(op, *map(g.keep, values)), to=1)
    refused(tmp_path, g.done(g.add("Add", y, extra)), f"node {op} .*: cannot be represented")


def test_tables_that_the_graph_counts_out(tmp_path):
    """Range, Tile, Dropout at rest, and a head with an axis too many."""
    g = Net(weights(0))
    steps = g.add("Range", *(g.keep(np.array(v)) for v in (0, 1, 1)))
    x = g.add("Gather", "x", steps, axis=2)
    x = g.add("Transpose", g.add("Dropout", x), perm=[1, 0, 2])
    zeros = g.add("Tile", g.keep(np.zeros((1, 1, 1), "f4")), g.keep(axes(1, 2, 3)))
    Y = g.lstm(x, g.layers[0], extra=("", zeros, zeros))
    h = g.add("Transpose", g.add("Squeeze", Y, g.keep(axes(1))), perm=[1, 0, 2])
    y = g.add("MatMul", h, g.keep(g.C.T[None]))
    agrees(tmp_path, g.done(g.add("Add", y, g.keep(g.b_y))))


def test_batches_come_first_by_layout(tmp_path):
    """No runtime at hand computes layout = 1, so that the network is compared."""
    g = Net(weights(0))
    Y, h, c = g.lstm("x", g.layers[0], outputs=3, layout=1)
    y = g.dense(g.add("Squeeze", Y, g.keep(axes(2))))
    (tmp_path / "net.onnx").write_bytes(g.bytes([("x", TensorProto.FLOAT, FREE)], [y, h, c]))
    network = read_foreign(tmp_path / "net.onnx").network
    g = Net(weights(0))
    data = g.done(g.dense(g.add("Transpose", g.sequence()[0], perm=[1, 0, 2])))
    (tmp_path / "net.onnx").write_bytes(data)
    other = read_foreign(tmp_path / "net.onnx").network
    assert np.array_equal(network.layers[0].U_i, other.layers[0].U_i)
    assert np.array_equal(network.C, other.C)


# -- lengths ---------------------------------------------------------------------------------------


def test_a_window_cut_out_of_a_longer_record(tmp_path):
    """x[:, −50:] is the whole record only where that is short."""
    g = Net(weights(0))
    x = g.add("Slice", "x", g.keep(axes(-50)), g.keep(axes(2**40)), g.keep(axes(1)))
    y = g.dense(g.add("Transpose", g.sequence(x)[0], perm=[1, 0, 2]))
    refused(tmp_path, g.done(y), "does not read every sample of input 'x' once")


def test_a_length_that_is_free_in_name_only(tmp_path):
    """The nodes fit 12 samples, the shape of the input says any number: read as 12."""
    g = Net(weights(0))
    h = g.add("Transpose", g.sequence()[0], perm=[1, 0, 2])
    y = g.add("Reshape", g.dense(h), g.keep(axes(-1, T)))
    agrees(tmp_path, g.done(y, rank=2))
    h = g.add("Reshape", g.sequence()[0], g.keep(axes(7, 11, 3)))
    refused(tmp_path, g.done(g.dense(h)), "node Reshape .* does not fit its operands")


def test_samples_of_a_batch_taken_for_samples_in_time(tmp_path):
    """A Reshape from (batch, time, 1) to (time, batch, 1) is no transposition."""
    for shape in (FREE, FIXED):
        g = Net(weights(0), shape)
        sizes = g.add("Gather", g.add("Shape", "x"), g.keep(axes(1, 0, 2)), axis=0)
        x = g.add("Squeeze", g.lstm(g.add("Reshape", "x", sizes), g.layers[0]), g.keep(axes(1)))
        refused(tmp_path, g.done(g.dense(x)), "mixes the samples of different batches")


# -- what looks like them --------------------------------------------------------------------------


def test_a_connection_around_a_layer(tmp_path):
    net = weights(0, 3)
    g = Net(net, ["B", "T", 3])
    x = g.add("Transpose", "x", perm=[1, 0, 2])
    Y = g.add("Squeeze", g.lstm(x, g.layers[0]), g.keep(axes(1)))
    refused(tmp_path, g.done(g.dense(g.add("Add", Y, x))), "joins the inputs with the states of an")
    g = Net(weights(0, 1, (3, 3)))
    x = g.add("Transpose", "x", perm=[1, 0, 2])
    one = g.add("Squeeze", g.lstm(x, g.layers[0]), g.keep(axes(1)))
    two = g.add("Squeeze", g.lstm(one, g.layers[1]), g.keep(axes(1)))
    refused(tmp_path, g.done(g.dense(g.add("Add", one, two))), "joins the states of several LSTM")


def test_a_projection_that_the_exporter_lost(tmp_path):
    g = Net(weights(0))
    start = g.keep(np.zeros((1, 2, 5), np.float32))
    x = g.lstm(g.add("Transpose", "x", perm=[1, 0, 2]), g.layers[0], extra=("", start, start))
    words = r"initial state .* of the shape \[1, 2, 5\] does not fit its 3 cells; .*proj_size"
    refused(tmp_path, g.done(g.dense(g.add("Squeeze", x, g.keep(axes(1))))), words)


def test_the_loop_of_tf2onnx_names_the_remedy(tmp_path):
    """Its body reads x from outside, so that nothing in the graph itself depends on the input."""
    g = Net(weights(0))
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["x"], ["out"]),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("out", TensorProto.FLOAT, None),
        ],
    )
    y = g.add("Loop", g.keep(np.array(3)), g.keep(np.array(True)), body=body)
    words = r"tf2onnx unrolled the LSTM, .*export with Keras' model.export\(format='onnx'\)"
    refused(tmp_path, g.done(y), words)


def test_a_function_of_the_file_is_put_in_its_place(tmp_path):
    g = Net(weights(0))
    h = g.add("Transpose", g.sequence()[0], perm=[1, 0, 2])
    y = g.add("Twice", g.dense(h), domain="local")
    model = onnx.load_model_from_string(g.done(y))
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    opset = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("local", "Twice", ["a"], ["b"], body, opset))
    model.opset_import.append(helper.make_opsetid("local", 1))
    agrees(tmp_path, model.SerializeToString())


def behind(*parts):
    """A graph whose last nodes are `parts`, each a function (graph, name) -> name."""
    g = Net(weights(0))
    y = g.dense(g.add("Transpose", g.sequence()[0], perm=[1, 0, 2]))
    for part in parts:
        y = part(g, y)
    return g.done(y)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (
            lambda g, y: g.add(
                "Mul",
                y,
                g.add("Cast", g.add("Gather", g.add("Shape", "x"), g.keep(axes(1))), to=1),
            ),
            "computes another network for sequences of another length",
        ),
        (
            lambda g, y: g.add(
                "Concat",
                y,
                g.add("Slice", y, g.keep(axes(-1)), g.keep(axes(2**31)), g.keep(axes(1))),
                axis=1,
            ),
            "gives a different number of outputs at different samples",
        ),
        (
            lambda g, y: g.add("Add", y, g.add("Transpose", y, perm=[1, 0, 2])),
            "node Add .* joins shapes that do not fit",
        ),
        (
            lambda g, y: g.add("BatchNormalization", y, *[g.keep(np.ones(7, "f4"))] * 4),
            "node BatchNormalization .* is in training mode, or does not fit its channels",
        ),
        (
            lambda g, y: g.add(
                "Cast", g.add("Unsqueeze", g.add("Shape", y), g.keep(axes(0, 1))), to=1
            ),
            "does not depend on an input of the graph",
        ),
        (
            lambda g, y: g.add("Add", y, g.add("Sub", y, g.keep(np.ones(1, "f4")), y)),
            "has 3 operands|is not a valid ONNX model",
        ),
    ],
)
def test_ends_that_do_not_fit(part, words, tmp_path):
    refused(tmp_path, behind(part), words)


def test_other_things_that_are_refused(tmp_path):
    g = Net(weights(0), [])
    x = g.add("Expand", "x", g.keep(axes(2, T, 1)))
    y = g.dense(g.add("Transpose", g.sequence(x)[0], perm=[1, 0, 2]))
    refused(tmp_path, g.done(y), "input 'x' has no declared shape, or no axes")
    g = Net(weights(0))
    h = g.add("Squeeze", g.sequence()[1][0], g.keep(axes(0)))
    y = g.add("Gemm", g.add("Transpose", h, perm=[1, 0]), g.keep(g.C.T), transA=1)
    refused(tmp_path, g.done(y, rank=2), "node Gemm .* has transA, which mixes samples and signals")
    g = Net(weights(0))
    head = g.add("MatMul", g.add("Transpose", g.sequence()[0], perm=[1, 0, 2]), g.keep(g.C.T))
    data = g.bytes([("x", TensorProto.FLOAT, FREE)], [g.add("Add", head, g.keep(g.b_y)), head])
    refused(tmp_path, data, "has a further output made of")
    g = Net(weights(0, 2), [2, T, 2])
    first = g.add("Slice", "x", g.keep(axes(0)), g.keep(axes(6)), g.keep(axes(1)))
    rest = g.add("Slice", "x", g.keep(axes(6)), g.keep(axes(T)), g.keep(axes(1)))
    x = g.add("Concat", first, g.add("Gather", rest, g.keep(axes(1, 0)), axis=2), axis=1)
    refused(tmp_path, g.done(g.dense(g.sequence(x)[0])), "does not read the same input signals at")


def test_a_tensor_that_is_kept_sparsely(tmp_path):
    g = Net(weights(0))
    y = g.add("Add", g.dense(g.add("Transpose", g.sequence()[0], perm=[1, 0, 2])), "s")
    model = onnx.load_model_from_string(g.done(y))
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("places", TensorProto.INT64, [1], [0])
    sparse = helper.make_sparse_tensor(values, places, [1])
    model.graph.sparse_initializer.append(sparse)
    words = "node Add .* reads 's', which no node of the graph gives|is not a valid ONNX model"
    refused(tmp_path, model.SerializeToString(), words)
