"""The nodes of an ONNX graph, one after the other, on traced elements and on constants."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers import onnx_file
from lstm_mpc.model.importers.gates import floats
from lstm_mpc.model.importers.onnx_file import DOUBLE, FLOAT, Node
from lstm_mpc.model.importers.onnx_graph import lstm
from lstm_mpc.model.importers.onnx_graph.cells import hidden
from lstm_mpc.model.importers.onnx_graph.constants import compute, largest, store
from lstm_mpc.model.importers.onnx_graph.reading import Reading, constant, named, why_not
from lstm_mpc.model.importers.onnx_graph.trace import Clipped, Combined, Ids, Linear, Scaled
from lstm_mpc.plants.system import Array

MOVES = frozenset(
    (
        "Concat",
        "Dropout",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    )
)


def read(at: Reading, node: Node) -> None:
    """One node: its outputs become constants or traced tensors of `at`."""
    moving = [i for i in node.inputs if i in at.traced]
    for name in node.inputs:
        if name and name not in at.traced and name not in at.constants:
            raise InputError(f"{named(node)} reads {name!r}, which no node of the graph gives")
    if not moving:
        compute(at, node)
    elif node.op in ("Shape", "Size"):
        size = at.traced[node.inputs[0]]
        store(at, node, onnx_file.evaluate(node, [size], at.graph.opset))
    elif node.op in MOVES:
        _move(at, node, moving)
    elif node.op in _READERS:
        _READERS[node.op](at, node)
    else:
        raise InputError(f"{named(node)}: {why_not(node.op)}")


# -- moves and arithmetic -------------------------------------------------------------------------


def _move(at: Reading, node: Node, moving: list[str]) -> None:
    """A node that only moves elements, run on their numbers."""
    data = node.inputs if node.op == "Concat" else node.inputs[:1]
    picks = () if node.op == "Concat" else node.inputs[1:]
    if set(moving) != set(data) or any(name in at.traced for name in picks):
        if set(moving) < set(data):
            raise InputError(
                f"{named(node)} joins signals with constants; a network that is fed with its own"
                " outputs is exported as it is for one step, and closed by feedback in [import]"
            )
        raise InputError(f"{named(node)} picks by signals, which cannot be represented")
    if node.op == "Dropout" and len(node.inputs) > 2 and at.constants[node.inputs[2]].any():
        raise InputError(f"{named(node)} is in training mode; export the network in its eval mode")
    if node.op == "Dropout":
        at.traced[node.outputs[0]] = at.traced[node.inputs[0]]
        return
    inputs = [at.traced.get(i, at.constants.get(i)) if i else None for i in node.inputs]
    at.pay(largest(node, inputs), named(node))
    for name, ids in zip(
        node.outputs, onnx_file.evaluate(node, inputs, at.graph.opset), strict=True
    ):
        if name:
            at.traced[name] = ids.astype(np.int64)


def _cast(at: Reading, node: Node) -> None:
    if node.op == "Cast" and node.attributes["to"] not in (FLOAT, DOUBLE):
        raise InputError(f"{named(node)} leaves single and double precision")
    at.traced[node.outputs[0]] = at.traced[node.inputs[0]]


def _arithmetic(at: Reading, node: Node) -> None:
    """Add, Sub, Mul, Div of signals with a constant, or Add and Mul of two signals."""
    if len(node.inputs) != 2:
        raise InputError(f"{named(node)} has {len(node.inputs)} operands; only two can be read")
    one, two = node.inputs
    if one in at.traced and two in at.traced:
        if node.op not in ("Add", "Mul"):
            raise InputError(
                f"{named(node)} joins two computed values, which cannot be represented"
            )
        _combine(at, node)
        return
    first = one in at.constants
    if first and node.op == "Div":
        raise InputError(f"{named(node)} divides by a signal, which is nonlinear")
    x, name = (at.traced[two], one) if first else (at.traced[one], two)
    value = floats(name, np.asarray(constant(at, name, "operand")))
    x, value = _broadcast(at, node, x, value)
    ones, zeros = np.ones(x.size), np.zeros(x.size)
    parts = {
        "Add": (ones, ones, value),
        "Sub": (-ones, ones, value) if first else (ones, ones, -value),
        "Mul": (value, ones, zeros),
        "Div": (ones, value, zeros),
    }[node.op]
    at.traced[node.outputs[0]] = at.trace.add(Scaled(named(node), x.ravel(), *parts), x.shape)


def _broadcast(at: Reading, node: Node, x: Ids, value: Array) -> tuple[Ids, Array]:
    try:
        shape = np.broadcast_shapes(x.shape, value.shape)
        at.pay(5 * prod(shape), named(node))
        return np.broadcast_to(x, shape), np.broadcast_to(value, shape).ravel()
    except ValueError as error:
        raise InputError(f"{named(node)} joins shapes that do not fit ({error!s:.100})") from error


def _combine(at: Reading, node: Node) -> None:
    """Sigmoid and Tanh of signals, Add and Mul of two: parts of a cell that is written out."""
    inputs = [at.traced[name] for name in node.inputs]
    try:
        shape = np.broadcast_shapes(*(ids.shape for ids in inputs))
    except ValueError as error:
        raise InputError(f"{named(node)} joins shapes that do not fit ({error!s:.100})") from error
    at.pay(3 * prod(shape), named(node))
    flat = tuple(np.broadcast_to(ids, shape).ravel() for ids in inputs)
    ids = at.trace.add(Combined(named(node), node.op, flat), shape)
    at.traced[node.outputs[0]] = hidden(at, ids, named(node)) if node.op == "Mul" else ids


def _clip(at: Reading, node: Node) -> None:
    """Clip, and Max and Min with one constant."""
    if node.op == "Clip":
        bounds = [node.attributes.get(key) for key in ("min", "max")]
        for place in (1, 2):
            if len(node.inputs) > place and node.inputs[place]:
                bounds[place - 1] = constant(at, node.inputs[place], "a bound of Clip")
        x = at.traced[node.inputs[0]]
    else:
        if len(node.inputs) != 2:
            raise InputError(f"{named(node)} has {len(node.inputs)} operands; only two can be read")
        held = [name for name in node.inputs if name in at.constants]
        if len(held) != 1:
            raise InputError(f"{named(node)} joins two computed values, which is nonlinear")
        (x,) = (at.traced[name] for name in node.inputs if name in at.traced)
        bound = at.constants[held[0]]
        bounds = [bound, None] if node.op == "Max" else [None, bound]
    limits = []
    for bound, default in zip(bounds, (-np.inf, np.inf), strict=True):
        value = np.asarray(default if bound is None else bound, dtype=np.float64)
        if np.isnan(value).any():
            raise InputError(f"{named(node)} clips to what is not a number")
        limits.append(_broadcast(at, node, x, value)[1])
    shape = np.broadcast_shapes(x.shape, *(np.shape(b) for b in bounds if b is not None))
    if shape != x.shape:
        raise InputError(f"{named(node)} has bounds that do not fit its signals")
    at.traced[node.outputs[0]] = at.trace.add(Clipped(named(node), x.ravel(), *limits), shape)


def _negative(at: Reading, node: Node) -> None:
    x = at.traced[node.inputs[0]]
    ones, zeros = np.ones(x.size), np.zeros(x.size)
    at.pay(5 * x.size, named(node))
    stage = Scaled(named(node), x.ravel(), -ones, ones, zeros)
    at.traced[node.outputs[0]] = at.trace.add(stage, x.shape)


def _normalisation(at: Reading, node: Node) -> None:
    """BatchNormalization as it computes after training: one factor and one constant a channel."""
    x = at.traced[node.inputs[0]]
    parts = [floats(n, np.asarray(constant(at, n, "a part of it"))) for n in node.inputs[1:5]]
    if node.attributes.get("training_mode", 0) or any(p.shape != x.shape[1:2] for p in parts):
        raise InputError(f"{named(node)} is in training mode, or does not fit its channels")
    scale, shift, mean, variance = (p.reshape((1, -1) + (1,) * (x.ndim - 2)) for p in parts)
    factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    values = [_broadcast(at, node, x, v)[1] for v in (factor, shift - mean * factor)]
    stage = Scaled(named(node), x.ravel(), values[0], np.ones(x.size), values[1])
    at.traced[node.outputs[0]] = at.trace.add(stage, x.shape)


def _linear(at: Reading, node: Node) -> None:
    """MatMul and Gemm of signals with constant weights."""
    if node.inputs[0] not in at.traced:
        raise InputError(f"{named(node)} multiplies from the left; weights must be on the right")
    x, name = at.traced[node.inputs[0]], node.inputs[1]
    weights = floats(name, np.asarray(constant(at, name, f"{named(node)}: its weights")))
    if node.op == "Gemm":
        attributes = node.attributes
        if any(attributes.get(key, 1.0) != 1.0 for key in ("alpha", "beta")):
            raise InputError(f"{named(node)} has alpha or beta, which a linear layer does not know")
        if attributes.get("transA", 0):
            raise InputError(f"{named(node)} has transA, which mixes samples and signals")
        weights = weights.T if attributes.get("transB", 0) else weights
    if weights.ndim > 2 and prod(weights.shape[:-2]) == 1:
        weights = weights.reshape(weights.shape[-2:])
    if weights.ndim != 2 or not x.ndim or x.shape[-1] != len(weights):
        raise InputError(
            f"{named(node)} has weights of the shape {list(weights.shape)} for signals of the shape"
            f" {list(x.shape)}"
        )
    shape = (*x.shape[:-1], weights.shape[1])
    at.pay(prod(shape) + x.size, named(node))
    stage = Linear(named(node), x.reshape(-1, len(weights)), weights)
    at.traced[node.outputs[0]] = at.trace.add(stage, shape)
    if node.op == "Gemm" and len(node.inputs) > 2 and node.inputs[2]:
        bias = Node("Add", (node.outputs[0], node.inputs[2]), node.outputs)
        _arithmetic(at, bias)


_READERS: dict[str, Callable[[Reading, Node], None]] = {
    "LSTM": lstm.read,
    "Cast": _cast,
    "CastLike": _cast,
    "Clip": _clip,
    "Max": _clip,
    "Min": _clip,
    "MatMul": _linear,
    "Gemm": _linear,
    "Neg": _negative,
    "BatchNormalization": _normalisation,
    "Sigmoid": _combine,
    "Tanh": _combine,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _arithmetic),
}
