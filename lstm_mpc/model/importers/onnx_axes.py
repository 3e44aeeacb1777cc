"""The parts of an ONNX graph around the LSTM nodes: axes moved about, and the scalings of inputs
and outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers.gates import floats
from lstm_mpc.model.importers.onnx_file import DOUBLE, FLOAT, Graph, Node
from lstm_mpc.model.lstm import Layer
from lstm_mpc.plants.system import Array

LAST_ONLY = (
    "the graph gives the output after the last sample of a window only; the model gives it after"
    " every sample"
)


@dataclass
class Reading:
    """What is known while the path is read: axes, each scaling as (mid, span), and the parts of the
    network found so far."""

    graph: Graph
    axes: list[Any]
    features: Any
    sizes: tuple[
        int | str, ...
    ] = ()  # of the input's axes, which are labelled 0, 1, …; names where free
    u_scale: tuple[Array, Array] | None = None
    y_scale: tuple[Array, Array] | None = None
    clip: tuple[Array, Array] = (np.array(-np.inf), np.array(np.inf))
    layers: list[Layer] = field(default_factory=list)
    # the axes of time and batch, once the first LSTM has named them
    grid: tuple[Any, Any] | None = None
    C: Array | None = None
    b_y: Array | None = None
    notes: list[str] = field(default_factory=list)


# -- constants and axes ----------------------------------------------------------------------------


def constant(at: Reading, name: str, what: str) -> Any:
    if name not in at.graph.constants:
        raise InputError(
            f"{what} ({name!r}) is computed in the graph; export with constant folding so that it"
            " is stored"
        )
    return at.graph.constants[name]


def _integers(at: Reading, node: Node, key: str, place: int) -> list[int] | None:
    """Whole numbers that older operator sets keep as an attribute and newer ones as an input."""
    if key in node.attributes:
        return [int(v) for v in node.attributes[key]]
    if len(node.inputs) > place and node.inputs[place]:
        values = np.ravel(constant(at, node.inputs[place], f"{key} of {node.op}"))
        if values.dtype.kind not in "iu":
            raise InputError(
                f"{key} of {node.op} ({node.inputs[place]!r}) is {values.dtype}, not whole numbers"
            )
        return [int(v) for v in values]
    return None


def transpose(at: Reading, node: Node, name: str) -> None:
    order = node.attributes.get("perm", range(len(at.axes))[::-1])
    at.axes = [at.axes[j] for j in order]


def unsqueeze(at: Reading, node: Node, name: str) -> None:
    axes = _integers(at, node, "axes", 1) or []
    rank = len(at.axes) + len(axes)
    for place in sorted(a % rank for a in axes):
        at.axes.insert(place, "one")


def squeeze(at: Reading, node: Node, name: str) -> None:
    axes = _integers(at, node, "axes", 1)
    if axes is None:
        raise InputError(f"node Squeeze ({name!r}) does not say which axes; export it with axes")
    dropped = {a % len(at.axes) for a in axes}
    if any(at.axes[a] not in ("one", "direction") for a in dropped):
        raise InputError(
            f"node Squeeze ({name!r}) drops an axis that is not of length one by construction"
        )
    at.axes = [label for place, label in enumerate(at.axes) if place not in dropped]


def reshape(at: Reading, node: Node, name: str) -> None:
    """Only the Reshape that drops axes of length one, as converters write it: 0 copies a size, −1
    stands for one, others are right."""
    shape = _integers(at, node, "shape", 1) or []
    kept = [label for label in at.axes if label not in ("one", "direction")]
    widths = dict(enumerate(at.sizes)) | ({"cell": at.layers[-1].nx} if at.layers else {})
    copied = all(
        size != 0 or (j < len(kept) and at.axes[j] == kept[j]) for j, size in enumerate(shape)
    )
    known = all(
        size in (0, -1, widths.get(label)) for size, label in zip(shape, kept, strict=False)
    )
    if len(shape) != len(kept) or not copied or not known or node.attributes.get("allowzero", 0):
        raise InputError(
            f"node Reshape ({name!r}) to {shape} does more than drop axes of length one"
        )
    at.axes = kept


def gather(at: Reading, node: Node, name: str) -> None:
    index = np.asarray(constant(at, node.inputs[1], "the index of Gather"))
    axis = node.attributes.get("axis", 0) % len(at.axes)
    if at.grid is None or at.axes[axis] != at.grid[0] or index.ndim or int(index) != -1:
        raise InputError(
            f"node Gather ({name!r}) picks something else than the last sample of the LSTM's"
            " outputs"
        )
    del at.axes[axis]
    at.notes.append(LAST_ONLY)


def identity(at: Reading, node: Node, name: str) -> None:
    if node.op == "Cast" and node.attributes["to"] not in (FLOAT, DOUBLE):
        raise InputError(f"node Cast ({name!r}) leaves single and double precision")


# -- scalings --------------------------------------------------------------------------------------


def arithmetic(at: Reading, node: Node, name: str) -> None:
    """Add, Sub, Mul, Div, Max, Min with a constant: clip and scaling of the inputs, bias of the
    head, scaling of the outputs."""
    first = node.inputs[0] in at.graph.constants
    value = floats(
        node.inputs[0 if first else 1],
        constant(at, node.inputs[0 if first else 1], f"operand of {node.op}"),
    )
    if value.size != (value.shape[-1] if value.ndim else 1) or (
        first and node.op in ("Sub", "Div")
    ):
        raise InputError(
            f"node {node.op} ({name!r}) is not x {node.op.lower()} one constant per signal"
        )
    expected = "output" if at.C is not None else at.features
    if (at.layers and at.C is None) or at.axes[-1] != expected:
        raise InputError(
            f"node {node.op} ({name!r}) stands between LSTM layers or acts along another axis than"
            " the signals'"
        )
    value = value.ravel()
    if at.C is None:
        _scale_input(at, node.op, value)
    elif node.op in ("Max", "Min"):
        raise InputError(
            f"node {node.op} ({name!r}) makes the head nonlinear; y = C ξ + b_y is linear"
        )
    elif node.op in ("Add", "Sub") and at.b_y is None and at.y_scale is None:
        at.b_y = (
            np.broadcast_to(value if node.op == "Add" else -value, len(at.C))
            if value.size in (1, len(at.C))
            else value
        )
    else:
        _scale_output(at, node.op, value)


def _scale_input(at: Reading, op: str, value: Array) -> None:
    """Keep u = mid + span·v, v the value so far."""
    mid, span = (np.zeros(1), np.ones(1)) if at.u_scale is None else at.u_scale
    if op in ("Max", "Min"):
        low, high = at.clip
        bound = mid + span * value
        at.clip = (np.maximum(low, bound), high) if op == "Max" else (low, np.minimum(high, bound))
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        if op in ("Add", "Sub"):
            at.u_scale = (mid - span * value if op == "Add" else mid + span * value, span)
        else:
            at.u_scale = (mid, span / value if op == "Mul" else span * value)
    _positive(at.u_scale[1], "input")


def _scale_output(at: Reading, op: str, value: Array) -> None:
    """Keep y = mid + span·v, v the output of the head."""
    mid, span = (np.zeros(1), np.ones(1)) if at.y_scale is None else at.y_scale
    with np.errstate(divide="ignore", invalid="ignore"):
        if op in ("Add", "Sub"):
            at.y_scale = (mid + value if op == "Add" else mid - value, span)
        else:
            at.y_scale = (mid * value, span * value) if op == "Mul" else (mid / value, span / value)
    _positive(at.y_scale[1], "output")


def _positive(span: Array, which: str) -> None:
    if not ((span > 0) & np.isfinite(span)).all():
        raise InputError(
            f"the {which} scaling of the graph has the span {span.tolist()}; spans must be positive"
        )


def clip(at: Reading, node: Node, name: str) -> None:
    bounds = [node.attributes.get(key) for key in ("min", "max")]
    for place in (1, 2):
        if len(node.inputs) > place and node.inputs[place]:
            bounds[place - 1] = constant(at, node.inputs[place], "a bound of Clip")
    if at.layers:
        raise InputError(
            f"node Clip ({name!r}) behind an LSTM is nonlinear; only inputs may be clipped"
        )
    for op, bound in zip(("Max", "Min"), bounds, strict=True):
        if bound is not None:
            _scale_input(at, op, np.ravel(np.asarray(bound, dtype=np.float64)))
