"""Nodes that only constants reach, computed by ONNX's own reference evaluator."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers import onnx_file
from lstm_mpc.model.importers.onnx_file import Graph, Node, Tensor
from lstm_mpc.model.importers.onnx_graph.reading import Reading, named, why_not
from lstm_mpc.plants.system import Array

_SMALL = frozenset(  # nodes whose outputs are no larger than their inputs together
    (
        "Abs",
        "Cast",
        "Ceil",
        "Concat",
        "Dropout",
        "Exp",
        "Flatten",
        "Floor",
        "Identity",
        "Log",
        "Neg",
        "Not",
        "Reciprocal",
        "ReduceProd",
        "ReduceSum",
        "Reshape",
        "Round",
        "Shape",
        "Sign",
        "Size",
        "Slice",
        "Split",
        "Sqrt",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    )
)
_BROADCAST = frozenset(
    (
        "Add",
        "And",
        "Div",
        "Equal",
        "Greater",
        "GreaterOrEqual",
        "Less",
        "LessOrEqual",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Or",
        "Pow",
        "Sub",
        "Where",
    )
)


def fold(graph: Graph) -> Graph:
    """The graph without the nodes that only constants reach."""
    at, rest = Reading(graph, dict(graph.constants)), []
    for node in graph.nodes:
        if all(i in at.constants for i in node.inputs if i) and node.inputs:
            compute(at, node)
        else:
            rest.append(node)
    return replace(graph, nodes=tuple(rest), constants=at.constants)


def store(at: Reading, node: Node, values: tuple[Tensor, ...]) -> None:
    at.constants |= {name: v for name, v in zip(node.outputs, values, strict=True) if name}


def compute(at: Reading, node: Node) -> None:
    """A node that only constants reach."""
    inputs = [at.constants[name] if name else None for name in node.inputs]
    at.pay(largest(node, inputs), named(node))
    store(at, node, onnx_file.evaluate(node, inputs, at.graph.opset))


def largest(node: Node, inputs: list[Any]) -> int:
    """At most how many elements the node gives."""
    given = [np.asarray(value) for value in inputs if value is not None]
    try:
        if node.op in _SMALL:
            return sum(v.size for v in given) + 16
        if node.op in _BROADCAST:
            return int(prod(np.broadcast_shapes(*(v.shape for v in given))))
        if node.op == "Expand":
            return prod(np.broadcast_shapes(given[0].shape, _sizes(given[1])))
        if node.op == "ConstantOfShape":
            return prod(_sizes(given[0]))
        if node.op == "Tile":
            return given[0].size * prod(_sizes(given[1]))
        if node.op == "Range":
            start, limit, step = (float(v.ravel()[0]) for v in given)
            return int(abs((limit - start) / step)) + 1
        if node.op in ("Gather", "GatherND", "GatherElements"):
            return given[0].size * max(given[1].size, 1)
        if node.op in ("MatMul", "Gemm"):
            return int(given[0].size * (given[1].shape[-1] + given[1].shape[0]))
    except (ValueError, ZeroDivisionError, OverflowError, IndexError) as error:
        raise InputError(f"{named(node)} does not fit its operands ({error!s:.100})") from error
    raise InputError(f"{named(node)}: {why_not(node.op)}")


def _sizes(value: Array) -> tuple[int, ...]:
    return tuple(int(v) for v in np.ravel(value))
