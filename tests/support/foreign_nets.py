"""Files as other frameworks write them, made with the packages onnx and numpy alone, and those
frameworks' equations retyped."""

import io
import json
import math
import re
import zipfile
from collections import Counter

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def weights(seed, nu=1, nx=(3,), ny=1, *, spread=0.9, dtype=np.float32):
    """Random gates by name: per layer {"W_i": (n, m), "R_i": (n, n), "b_i": (n,), "rb_i": (n,), …},
    head (ny, n) and (ny,)."""
    rng, layers, below = np.random.default_rng(seed), [], nu

    def draw(*shape):
        return rng.uniform(-spread, spread, shape).astype(dtype)

    for n in nx:
        layers.append(
            {
                f"{kind}_{g}": draw(*shape)
                for g in "ifco"
                for kind, shape in _shapes(n, below).items()
            }
        )
        below = n
    return layers, draw(ny, below), draw(ny)


def _shapes(n, below):
    return {"W": (n, below), "R": (n, n), "b": (n,), "rb": (n,)}


def packed(layer, kind, order):
    return np.concatenate([layer[f"{kind}_{g}"] for g in order])


# -- the frameworks' equations ---------------------------------------------------------------------


def _sigma(t):
    return 1 / (1 + math.exp(-t))


def framework_run(layers, C, b_y, u, *, biases=2):
    """y_t for t = 0 … N−1 from h = c = 0: the output after the step. `biases`: how many of the two
    are in use."""
    states = [([0.0] * len(layer["b_i"]), [0.0] * len(layer["b_i"])) for layer in layers]
    outputs = []
    for row in u:
        below = [float(v) for v in row]
        for number, layer in enumerate(layers):
            h, c = states[number]
            gate = {g: _gate(layer, g, below, h, biases) for g in "ifco"}
            c = [
                _sigma(gate["f"][j]) * c[j] + _sigma(gate["i"][j]) * math.tanh(gate["c"][j])
                for j in range(len(c))
            ]
            below = [_sigma(gate["o"][j]) * math.tanh(c[j]) for j in range(len(c))]
            states[number] = (below, c)
        outputs.append(
            [
                float(b_y[k]) + sum(float(C[k][j]) * below[j] for j in range(len(below)))
                for k in range(len(C))
            ]
        )
    return np.array(outputs)


def _gate(layer, g, x, h, biases):
    W, R, rows = layer[f"W_{g}"], layer[f"R_{g}"], []
    for j in range(len(W)):
        total = sum(float(layer[f"{kind}_{g}"][j]) for kind in ("b", "rb")[:biases])
        total += sum(float(W[j][k]) * x[k] for k in range(len(x))) + sum(
            float(R[j][k]) * h[k] for k in range(len(h))
        )
        rows.append(total)
    return rows


def pytorch(layers, C, b_y, *, bias=True, order="ifco"):
    """The state_dict of a module with `lstm = nn.LSTM(…)` and `fc = nn.Linear(…)`."""
    state = {}
    for number, layer in enumerate(layers):
        state |= {
            f"lstm.weight_ih_l{number}": packed(layer, "W", order),
            f"lstm.weight_hh_l{number}": packed(layer, "R", order),
        }
        if bias:
            state |= {
                f"lstm.bias_ih_l{number}": packed(layer, "b", order),
                f"lstm.bias_hh_l{number}": packed(layer, "rb", order),
            }
    return state | {"fc.weight": C} | ({"fc.bias": b_y} if bias else {})


def keras(layers, C, b_y, *, bias=True, order="ifco"):
    """{variable.path: value} of a Sequential of LSTM layers and a Dense one."""
    state = {}
    for number, layer in enumerate(layers):
        path = f"sequential/lstm{f'_{number}' if number else ''}/lstm_cell"
        state |= {
            f"{path}/kernel": packed(layer, "W", order).T,
            f"{path}/recurrent_kernel": packed(layer, "R", order).T,
        }
        if bias:
            state[f"{path}/bias"] = packed(layer, "b", order)
    return (
        state | {"sequential/dense/kernel": C.T} | ({"sequential/dense/bias": b_y} if bias else {})
    )


# -- ONNX ------------------------------------------------------------------------------------------


class Builder:
    """A graph under construction: `add` appends a node and returns its first output, `keep` a
    constant."""

    def __init__(self):
        self.nodes, self.tensors = [], []

    def keep(self, value, name=None):
        name = name or f"k{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op, *inputs, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{j}" for j in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def lstm(self, x, layer, *, bias=True, extra=(), outputs=1, order="iofc", **attributes):
        W, R = (self.keep(packed(layer, kind, order)[None]) for kind in ("W", "R"))
        B = (
            self.keep(np.concatenate([packed(layer, "b", order), packed(layer, "rb", order)])[None])
            if bias
            else ""
        )
        attributes = {"hidden_size": len(layer["b_i"]), **attributes}
        return self.add(
            "LSTM", x, W, R, *((B, *extra) if B or extra else ()), outputs=outputs, **attributes
        )

    def bytes(self, inputs, outputs, *, rank=3, opset=17):
        infos = [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs]
        outs = [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, [f"{n}_{j}" for j in range(rank)])
            for n in outputs
        ]
        graph = helper.make_graph(self.nodes, "net", infos, outs, self.tensors)
        model = helper.make_model(
            graph,
            ir_version=8,
            opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("other", 1)],
        )
        return model.SerializeToString()


def plain_onnx(layers, C, b_y, *, bias=True, **options):
    """(time, batch, signals) → LSTM layers → MatMul → Add, as most exporters write it."""
    g, x = Builder(), "x"
    for layer in layers:
        x = g.add("Squeeze", g.lstm(x, layer, bias=bias, **options), g.keep(np.array([1])))
    y = g.add("MatMul", x, g.keep(C.T))
    y = g.add("Add", y, g.keep(b_y)) if bias else y
    return g.bytes([("x", TensorProto.FLOAT, ["T", "B", layers[0]["W_i"].shape[1]])], [y])


def batch_first_onnx(layers, C, b_y):
    """As torch.onnx.export writes nn.LSTM(batch_first=True) and nn.Linear, states given out beside
    y."""
    g = Builder()
    x, states = g.add("Transpose", "x", perm=[1, 0, 2]), []
    for layer in layers:
        zero = g.keep(np.zeros((1, 1, len(layer["b_i"])), np.float32))
        Y, h, c = g.lstm(x, layer, extra=("", zero, zero), outputs=3)
        states += [h, c]
        x = g.add("Squeeze", Y, g.keep(np.array([1])))
    y = g.add(
        "Add", g.keep(b_y), g.add("MatMul", g.add("Transpose", x, perm=[1, 0, 2]), g.keep(C.T))
    )
    return g.bytes(
        [("x", TensorProto.FLOAT, [1, "T", layers[0]["W_i"].shape[1]])],
        [y, g.add("Identity", states[0])],
    )


def run_onnx(data, feed):
    """Every output under onnxruntime on one core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, feed)


def is_valid(data):
    onnx.checker.check_model(onnx.load_model_from_string(data))


# -- Keras -----------------------------------------------------------------------------------------


def keras_lstm(layer, name, **config):
    """(configuration, arrays) of an LSTM layer as Keras saves it."""
    settings = {
        "name": name,
        "return_sequences": True,
        "units": len(layer["b_i"]),
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        **config,
    }
    arrays = {
        "kernel": packed(layer, "W", "ifco").T,
        "recurrent_kernel": packed(layer, "R", "ifco").T,
        "bias": packed(layer, "b", "ifco"),
    }
    return {"class_name": "LSTM", "config": settings}, arrays


def keras_dense(C, b_y, name="dense", **config):
    settings = {"name": name, "activation": "linear", **config}
    return {"class_name": "Dense", "config": settings}, {"kernel": C.T, "bias": b_y}


def keras_layer(kind, name=None, arrays=None, **config):
    return {"class_name": kind, "config": {"name": name or kind.lower(), **config}}, arrays or {}


def keras_stack(net, *, before=(), between=(), after=(), **config):
    """The layers of a Sequential model with further ones put in, as (configuration, arrays)."""
    layers, C, b_y = net
    names = [f"lstm{f'_{j}' if j else ''}" for j in range(len(layers))]
    lstms = [keras_lstm(layer, name, **config) for layer, name in zip(layers, names, strict=True)]
    start = keras_layer("InputLayer", "input", batch_shape=[None, None, 1])
    return [start, *before, lstms[0], *between, *lstms[1:], keras_dense(C, b_y), *after]


def sequential(stack):
    return {"class_name": "Sequential", "config": {"name": "m", "layers": [c for c, _ in stack]}}


def functional(stack, *, third=True):
    """The same layers as a functional model of Keras 3 (`third`) or 2."""
    layers, before = [], None
    for config, _ in stack:
        name = config["config"]["name"]
        tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [before, 0, 0]}}
        third_nodes = [{"args": [tensor], "kwargs": {"mask": None}}]
        nodes = [] if before is None else third_nodes if third else [[[before, 0, 0, {}]]]
        layers.append({**config, "name": name, "inbound_nodes": nodes})
        before = name
    first, last = layers[0]["name"], layers[-1]["name"]
    ends = {"input_layers": [[first, 0, 0]], "output_layers": [[last, 0, 0]]}
    return {"class_name": "Functional", "config": {"name": "m", "layers": layers, **ends}}


def _group(file, path, arrays, named=True):
    for number, (name, value) in enumerate(arrays.items()):
        file[f"{path}/{name if named else number}"] = value


def write_h5(path, stack, model):
    """A whole model in HDF5, as `model.save("net.h5")` writes it."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(model)
        file.create_group("model_weights")
        for config, arrays in stack:
            name = config["config"]["name"]
            inner = "/lstm_cell" if "recurrent_kernel" in arrays else ""
            _group(file, f"model_weights/{name}/{name}{inner}", arrays)
    return path


def write_keras(path, stack, model, *, container="layers", carried=False):
    """A whole model as `model.save("net.keras")` writes it: layers by class and number, or with
    the names that newer versions add (`carried`)."""
    import h5py

    buffer, numbers = io.BytesIO(), Counter()
    with h5py.File(buffer, "w") as file:
        for config, arrays in stack:
            snake = re.sub(r"(?<=[a-z])([A-Z])", r"_\1", config["class_name"]).lower()
            place = f"{container}/{snake}{f'_{numbers[snake]}' if numbers[snake] else ''}"
            numbers[snake] += 1
            inner = "cell/vars" if "recurrent_kernel" in arrays else "vars"
            file.create_group(f"{place}/vars")
            if carried:
                file[f"{place}/vars"].attrs["name"] = config["config"]["name"]
            _group(file, f"{place}/{inner}", arrays, named=False)
        file[f"{container}/dropout/seed_generator/vars/0"] = np.zeros(2, np.uint32)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("model.weights.h5", buffer.getvalue())
    return path
