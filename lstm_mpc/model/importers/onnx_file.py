"""ONNX files as plain graphs and back: the only importer of the package onnx, loaded when first
used."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file

OPSET, IR_VERSION = 17, 8  # what is written; both read by every runtime since 2022
OLDEST = 7  # operator set; before it arithmetic had its own rules for unlike shapes
FLOAT, DOUBLE = 1, 11  # ONNX's numbers of the two types
Tensor = NDArray[Any]


class Misfit(InputError):
    """Operands of a node whose shapes do not fit together."""


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

    `optional` inputs have a default among the constants; `opset` is the version of the operators.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Tensor]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    optional: tuple[Value, ...] = ()
    opset: int = OPSET


def _onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.inliner
        import onnx.numpy_helper
        import onnx.reference
        import onnx.shape_inference
    except ImportError as error:
        raise InputError(
            "reading and writing ONNX needs the package onnx: pip install 'lstm_mpc[onnx]'"
        ) from error
    return onnx


def whole(path: Path, limit: int) -> tuple[bytes, bytes]:
    """The bytes of an ONNX model with the tensors that it keeps in files beside it (external data),
    and all bytes read; InputError when they are no ONNX or a file is not in the same folder."""
    onnx = _onnx()
    data = artefact_file.read_bytes(path, limit=limit)
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's decode errors share no public base
        raise InputError(f"is not an ONNX file ({_first_line(error)})") from error
    files: dict[str, bytes] = {}
    for tensor in _tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entry = {e.key: e.value for e in tensor.external_data}
        name = entry.get("location", "")
        if name not in files:
            files[name] = _beside(path, name, limit - sum(map(len, files.values())))
        tensor.raw_data = _piece(files[name], entry, f"tensor {tensor.name!r} in {name!r}")
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
    if not files:
        return data, data
    return model.SerializeToString(), b"".join([data, *files.values()])


def _tensors(graph: Any) -> Iterator[Any]:
    """Every tensor that a graph stores, those of its nodes too."""
    yield from graph.initializer
    for node in graph.node:
        yield from (a.t for a in node.attribute if a.HasField("t"))


def _beside(path: Path, name: str, limit: int) -> bytes:
    """A file in the folder of `path`, by its plain name only."""
    if name in ("", ".", "..") or Path(name).name != name or "\\" in name or not name.isprintable():
        raise InputError(
            f"keeps tensors in {name!r}, which is not the name of a file beside it; only files in"
            " the same folder are read"
        )
    folder = os.path.realpath(path.parent)
    if os.path.dirname(os.path.realpath(path.parent / name)) != folder:
        raise InputError(
            f"keeps tensors in {name!r}, a link out of the folder; only files in the same folder"
            " are read, so put the file itself there"
        )
    try:
        return artefact_file.read_bytes(path.parent / name, limit=limit)
    except FileNotFoundError as error:
        raise InputError(
            f"keeps its weights in {name!r}, which is not in the same folder; put that file there,"
            " or pass external_data=False to torch.onnx.export"
        ) from error
    except OSError as error:
        raise InputError(
            f"keeps its weights in {name!r}, which cannot be read: {error.strerror}"
        ) from error


def _piece(data: bytes, entry: Mapping[str, str], what: str) -> bytes:
    try:
        offset = int(entry.get("offset", "0"))
        length = int(entry["length"]) if "length" in entry else len(data) - offset
    except ValueError as error:
        raise InputError(f"says where {what} lies with what is no number") from error
    if not 0 <= offset <= offset + length <= len(data):
        raise InputError(
            f"{what} should be bytes {offset} to {offset + length}, the file has {len(data)}; copy"
            " it again, or pass external_data=False to torch.onnx.export"
        )
    return data[offset : offset + length]


def parse(data: bytes) -> Graph:
    """The graph of an ONNX file's bytes; InputError when they are not valid ONNX."""
    onnx = _onnx()
    check(data)
    model = onnx.load_model_from_string(data)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
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
        version,
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
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200]


def _attribute(onnx: Any, proto: Any) -> Any:
    """An attribute as Python numbers, words, lists or an array."""
    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, onnx.TensorProto):
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


def evaluate(node: Node, inputs: Sequence[Tensor | None], opset: int) -> tuple[Tensor, ...]:
    """The outputs of one node by ONNX's own reference evaluator, None an input left out."""
    onnx = _onnx()
    make = onnx.helper
    names = ["" if value is None else f"i{j}" for j, value in enumerate(inputs)]
    outputs = [name and f"o{j}" for j, name in enumerate(node.outputs)]
    attributes = {
        key: onnx.numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for key, value in node.attributes.items()
    }
    given, taken = [n for n in names if n], [n for n in outputs if n]
    function = make.make_function(
        "local",
        "one",
        given,
        taken,
        [make.make_node(node.op, names, outputs, **attributes)],
        [make.make_opsetid("", opset)],
    )
    feed = {name: value for name, value in zip(names, inputs, strict=True) if name}
    try:
        with np.errstate(all="ignore"):
            results = iter(
                onnx.reference.ReferenceEvaluator(function).run(None, feed, attributes={})
            )
    except Exception as error:  # whatever NumPy or the evaluator make of operands that do not fit
        raise Misfit(
            f"node {node.op} ({node.outputs[0]!r}) does not fit its operands ({_first_line(error)})"
        ) from error
    return tuple(np.asarray(next(results)) if name else np.empty(0) for name in outputs)


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
