"""ONNX files as plain graphs and back: the only importer of the package onnx, loaded when first
used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.errors import InputError

OPSET, IR_VERSION = 17, 8  # what is written; both read by every runtime since 2022
OLDEST = 7  # operator set; before it arithmetic had its own rules for unlike shapes
FLOAT, DOUBLE = 1, 11  # ONNX's numbers of the two types
Tensor = NDArray[Any]


@dataclass(frozen=True)
class Node:
    """One operation; an empty input name is an input left out. `op` carries its domain unless that
    is ONNX's own."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Value:
    """An input or output of a graph: its name, number of its type, and shape (None where the file
    gives none; names where free)."""

    name: str
    dtype: int
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True)
class Graph:
    """A graph without subgraphs: nodes in order, constants by name, inputs that are no constants,
    and outputs.

    `optional` inputs have a default among the constants.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Tensor]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    optional: tuple[Value, ...] = ()


def _onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
        import onnx.shape_inference
    except ImportError as error:
        raise InputError(
            "reading and writing ONNX needs the package onnx: pip install 'lstm_mpc[onnx]'"
        ) from error
    return onnx


def parse(data: bytes) -> Graph:
    """The graph of an ONNX file's bytes; InputError when they are not valid ONNX or lean on other
    files."""
    onnx = _onnx()
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's decode errors share no public base
        raise InputError(f"is not an ONNX file ({_first_line(error)})") from error
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise InputError(
                f"keeps tensor {tensor.name!r} in another file (external data); save it as one file"
            )
    check(data)
    version = min(
        (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
        default=0,
    )
    if version < OLDEST:
        raise InputError(f"uses operator set {version}; export it with {OLDEST} or a later one")
    constants = {
        tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer
    }
    nodes = []
    for proto in model.graph.node:
        attributes = {a.name: _attribute(onnx, a) for a in proto.attribute}
        if proto.op_type == "Constant" and proto.domain in ("", "ai.onnx"):
            constants[proto.output[0]] = np.asarray(next(iter(attributes.values())))
            continue
        op = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
        nodes.append(Node(op, tuple(proto.input), tuple(proto.output), attributes))
    inputs = tuple(_value(v) for v in model.graph.input)
    free, given = ([v for v in inputs if (v.name in constants) is there] for there in (False, True))
    return Graph(
        tuple(nodes),
        constants,
        tuple(free),
        tuple(_value(v) for v in model.graph.output),
        tuple(given),
    )


def check(data: bytes, *, shapes: bool = False) -> None:
    """InputError when the bytes are no valid ONNX model; with `shapes` also when nodes, types and
    shapes do not fit together."""
    onnx = _onnx()
    try:
        onnx.checker.check_model(data, full_check=shapes)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise InputError(f"is not a valid ONNX model ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


def _attribute(onnx: Any, proto: Any) -> Any:
    """An attribute as Python numbers, words, lists or an array."""
    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, onnx.TensorProto):
        if value.data_location == onnx.TensorProto.EXTERNAL:
            raise InputError(
                "keeps a constant in another file (external data); save it as one file"
            )
        return onnx.numpy_helper.to_array(value)
    if proto.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS):
        return list(value)
    if proto.type == onnx.AttributeProto.STRINGS:
        return [word.decode("utf-8", "replace") for word in value]
    return value


def _value(proto: Any) -> Value:
    kind = proto.type.tensor_type
    shape = (
        tuple(d.dim_value if d.HasField("dim_value") else d.dim_param for d in kind.shape.dim)
        if kind.HasField("shape")
        else None
    )
    return Value(proto.name, kind.elem_type, shape)


def serialise(
    graph: Graph, *, name: str, producer: str, text: str, properties: Mapping[str, str]
) -> bytes:
    """The bytes of an ONNX file: always the same for the same arguments. `text` is its doc string,
    `properties` its metadata."""
    onnx = _onnx()
    make = onnx.helper

    def info(value: Value) -> Any:
        return make.make_tensor_value_info(value.name, value.dtype, value.shape)

    nodes = [
        make.make_node(n.op, n.inputs, n.outputs, name=n.outputs[0], **n.attributes)
        for n in graph.nodes
    ]
    tensors = [
        onnx.numpy_helper.from_array(np.ascontiguousarray(value), key)
        for key, value in graph.constants.items()
    ]
    inputs = [info(value) for value in (*graph.inputs, *graph.optional)]
    body = make.make_graph(
        nodes, name, inputs, [info(value) for value in graph.outputs], tensors, doc_string=text
    )
    model = make.make_model(
        body,
        producer_name=producer,
        ir_version=IR_VERSION,
        opset_imports=[make.make_opsetid("", OPSET)],
    )
    make.set_model_props(model, dict(sorted(properties.items())))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
