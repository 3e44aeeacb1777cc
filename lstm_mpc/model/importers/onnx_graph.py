"""An ONNX graph as a network: a single path  input → [clip, scaling] → LSTM … LSTM → linear head →
[scaling] → output.

The path is walked from the first output back to the input and then read forwards, with the meaning
of every axis carried along, so that a transposition which mixes time and batch is noticed. Whatever
the model cannot hold is refused with its reason."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers import onnx_axes
from lstm_mpc.model.importers.gates import Foreign, floats, stack, stacked_layer
from lstm_mpc.model.importers.onnx_axes import LAST_ONLY, Reading, constant
from lstm_mpc.model.importers.onnx_file import DOUBLE, FLOAT, Graph, Node
from lstm_mpc.plants.system import Array

IGNORED_START = (
    "the initial states of the graph are ignored: the start is the simulation's or the"
    " observer's own"
)
_PARTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


def network_of(graph: Graph) -> Foreign:
    """The network in `graph`; InputError with the reason when the model cannot represent what the
    graph computes."""
    path, source = _path(graph)
    value = next(v for v in graph.inputs if v.name == source)
    if not value.shape:
        raise InputError(f"input {source!r} has no declared shape")
    if value.dtype not in (FLOAT, DOUBLE):
        raise InputError(f"input {source!r} is not in single or double precision")
    at = Reading(graph, list(range(len(value.shape))), len(value.shape) - 1, value.shape)
    for node, name in path:
        _READERS[node.op](at, node, name)
    if at.C is None:
        raise InputError(
            "has no linear head (MatMul or Gemm with constant weights) behind the LSTM"
        )
    b_y = np.zeros(len(at.C)) if at.b_y is None else at.b_y
    network = stack(at.layers, at.C, b_y)
    _other_outputs(graph)
    u_scale = None if at.u_scale is None else _per_signal(at.u_scale, network.nu, "input scaling")
    y_scale = None if at.y_scale is None else _per_signal(at.y_scale, network.ny, "output scaling")
    clip = (
        None
        if all(np.isinf(part).all() for part in at.clip)
        else _per_signal(at.clip, network.nu, "clipping")
    )
    return Foreign(network, "ONNX", tuple(dict.fromkeys(at.notes)), u_scale, y_scale, clip)


def _per_signal(pair: tuple[Array, Array], count: int, what: str) -> tuple[Array, Array]:
    if any(part.size not in (1, count) for part in pair):
        raise InputError(
            f"the {what} of the graph has {max(part.size for part in pair)} values for {count}"
            " signals"
        )
    low, high = (np.broadcast_to(part, count).copy() for part in pair)
    return low, high


# -- the path --------------------------------------------------------------------------------------


def _path(graph: Graph) -> tuple[list[tuple[Node, str]], str]:
    """The nodes from the input to the first output, each with the name of the value it hands on;
    and the input's name."""
    makers = {name: node for node in graph.nodes for name in node.outputs if name}
    names, path, name = {v.name for v in graph.inputs}, [], graph.outputs[0].name
    while name not in names:
        node = makers.get(name)
        if node is None:
            raise InputError(
                f"output {graph.outputs[0].name!r} does not depend on an input of the graph"
            )
        if node.op not in _READERS:
            raise InputError(f"node {node.op} ({name!r}): {_why_not(node.op)}")
        path.append((node, name))
        name = _operand(graph, node, name)
    return path[::-1], name


def _why_not(op: str) -> str:
    if op in ("GRU", "RNN"):
        return "only LSTM layers can be represented"
    if op in ("Loop", "Scan", "If"):
        return "a graph with control flow cannot be represented; export the LSTM as an LSTM node"
    return (
        "cannot be represented; a model is scaling, LSTM layers, one linear head, scaling, and"
        " nothing between"
    )


def _operand(graph: Graph, node: Node, name: str) -> str:
    """The input of `node` that is no constant."""
    if node.op in (
        "LSTM",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Reshape",
        "Gather",
        "Clip",
        "Identity",
        "Cast",
    ):
        return node.inputs[0]
    if node.op not in ("MatMul", "Gemm") and len(node.inputs) != 2:
        raise InputError(
            f"node {node.op} ({name!r}) has {len(node.inputs)} operands; only two can be read"
        )
    moving = [i for i in node.inputs if i and i not in graph.constants]
    if len(moving) != 1:
        raise InputError(
            f"node {node.op} ({name!r}) joins {len(moving)} computed values; weights must be"
            " constants, and nothing may branch"
        )
    return moving[0]


def _other_outputs(graph: Graph) -> None:
    """Beside y only final states of the LSTM layers may be given out."""
    makers = {name: node for node in graph.nodes for name in node.outputs if name}
    waiting = [v.name for v in graph.outputs[1:]]
    while waiting:
        name = waiting.pop()
        node = makers.get(name)
        if node is not None and node.op in (
            "Squeeze",
            "Unsqueeze",
            "Concat",
            "Identity",
            "Cast",
            "Reshape",
        ):
            waiting += [i for i in node.inputs if i not in graph.constants]
        elif node is None or node.op != "LSTM" or name == node.outputs[0]:
            raise InputError(
                f"has a further output made of {name!r}; beside the first only final states of the"
                " LSTM may be given out"
            )


# -- LSTM and head ---------------------------------------------------------------------------------


def _lstm(at: Reading, node: Node, name: str) -> None:
    where = f"node LSTM ({node.outputs[0] or name!r})"
    parts = dict(zip(_PARTS, node.inputs, strict=False))
    if at.C is not None:
        raise InputError(
            f"{where} follows the linear head; only one head at the end can be represented"
        )
    _plain_lstm(where, node, parts)
    if parts.get("initial_h") or parts.get("initial_c"):
        at.notes.append(IGNORED_START)
    _lstm_axes(at, node, name, where)
    W, R = (constant(at, parts[part], f"{where}: {part}") for part in ("W", "R"))
    W, R = floats(parts["W"], W, (1, None, None))[0], floats(parts["R"], R, (1, None, None))[0]
    b = np.zeros(len(R))
    if parts.get("B"):
        both = floats(parts["B"], constant(at, parts["B"], f"{where}: B"), (1, 2 * len(R)))[0]
        b = both[: len(R)] + both[len(R) :]
    layer = stacked_layer("ONNX", where, W, R, b)
    if node.attributes.get("hidden_size", layer.nx) != layer.nx:
        raise InputError(
            f"{where}: hidden_size {node.attributes['hidden_size']} is not the {layer.nx} of its"
            " weights"
        )
    at.layers.append(layer)


def _plain_lstm(where: str, node: Node, parts: dict[str, str]) -> None:
    """Refuse every variant of the LSTM that eq. (2) does not cover."""
    direction = node.attributes.get("direction", "forward")
    if direction != "forward":
        raise InputError(
            f"{where}: direction {direction!r} reads the future; only 'forward' can be represented"
        )
    activations = node.attributes.get("activations", ["Sigmoid", "Tanh", "Tanh"])
    if [word.lower() for word in activations] != ["sigmoid", "tanh", "tanh"]:
        raise InputError(
            f"{where}: activations {', '.join(activations)}; only Sigmoid, Tanh, Tanh can be"
            " represented"
        )
    for key in ("activation_alpha", "activation_beta", "clip", "input_forget"):
        if node.attributes.get(key):
            raise InputError(f"{where}: {key} = {node.attributes[key]} cannot be represented")
    if parts.get("P"):
        raise InputError(f"{where}: peepholes (input P) cannot be represented")
    if parts.get("sequence_lens"):
        raise InputError(
            f"{where}: sequence_lens cannot be represented; export for sequences of one length"
        )


def _lstm_axes(at: Reading, node: Node, name: str, where: str) -> None:
    layout = node.attributes.get("layout", 0)
    if len(at.axes) != 3 or at.axes[2] != ("cell" if at.layers else at.features):
        raise InputError(f"{where}: its input is not (time, batch, signals)")
    grid = (at.axes[0], at.axes[1]) if layout == 0 else (at.axes[1], at.axes[0])
    if (at.grid is not None and grid != at.grid) or grid[0] == "one":
        raise InputError(
            f"{where}: does not run along the time axis of the layer before, or along none"
        )
    at.grid = grid
    time, batch = grid
    if name == node.outputs[0]:
        at.axes = (
            [time, "direction", batch, "cell"]
            if layout == 0
            else [batch, time, "direction", "cell"]
        )
    elif len(node.outputs) > 1 and name == node.outputs[1]:
        at.axes = ["direction", batch, "cell"] if layout == 0 else [batch, "direction", "cell"]
        at.notes.append(LAST_ONLY)
    else:
        raise InputError(
            f"{where}: the path goes through its cell state Y_c; y = C ξ + b_y reads the hidden"
            " state only"
        )


def _head(at: Reading, node: Node, name: str) -> None:
    if at.C is not None or not at.layers or at.axes[-1] != "cell":
        raise InputError(
            f"node {node.op} ({name!r}) is not the one linear head behind the last LSTM layer"
        )
    if node.inputs[0] in at.graph.constants:
        raise InputError(
            f"node {node.op} ({name!r}) multiplies from the left; the head must be h times a"
            " constant"
        )
    C = floats(
        node.inputs[1], constant(at, node.inputs[1], "the weights of the head"), (None, None)
    )
    if node.op == "Gemm":
        if any(
            node.attributes.get(key, 1.0) != 1.0 for key in ("alpha", "beta")
        ) or node.attributes.get("transA", 0):
            raise InputError(
                f"node Gemm ({name!r}) has alpha, beta or transA, which the head does not know"
            )
        C = C.T if node.attributes.get("transB", 0) else C
        if len(node.inputs) > 2 and node.inputs[2]:
            bias = floats(node.inputs[2], constant(at, node.inputs[2], "the bias of the head"))
            at.b_y = (
                np.broadcast_to(bias.ravel(), C.shape[1])
                if bias.size in (1, C.shape[1])
                else bias.ravel()
            )
    at.C = C.T
    at.axes[-1] = "output"


_READERS: dict[str, Callable[[Reading, Node, str], None]] = {
    "LSTM": _lstm,
    "Transpose": onnx_axes.transpose,
    "Squeeze": onnx_axes.squeeze,
    "Unsqueeze": onnx_axes.unsqueeze,
    "Reshape": onnx_axes.reshape,
    "Gather": onnx_axes.gather,
    "Identity": onnx_axes.identity,
    "Cast": onnx_axes.identity,
    "Clip": onnx_axes.clip,
    "MatMul": _head,
    "Gemm": _head,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Max", "Min"), onnx_axes.arithmetic),
}
