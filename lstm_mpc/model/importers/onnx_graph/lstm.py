"""The LSTM node of ONNX, and which of its variants the model can hold."""

from __future__ import annotations

import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers.gates import floats, stacked_layer
from lstm_mpc.model.importers.onnx_file import Node
from lstm_mpc.model.importers.onnx_graph.layers import FROM_INPUTS, Start
from lstm_mpc.model.importers.onnx_graph.reading import IGNORED_START, Reading, constant, named
from lstm_mpc.model.importers.onnx_graph.trace import Source, State
from lstm_mpc.model.lstm import Layer

_PARTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


def read(at: Reading, node: Node) -> None:
    """Run the layer along its input and trace Y, Y_h and Y_c."""
    where = named(node)
    parts = dict(zip(_PARTS, node.inputs, strict=False))
    _plain(where, node, parts)
    x = at.traced.get(parts["X"])
    if x is None or x.ndim != 3 or x.size == 0:
        raise InputError(f"{where}: its input is not (time, batch, signals)")
    along = node.attributes.get("layout", 0) == 0
    x = x if along else x.transpose(1, 0, 2)
    layer = _layer(at, node, parts, where)
    at.pay(2 * x.shape[0] * x.shape[1] * layer.nx, where)
    h, c = at.layers.run(where, layer, x, _start(at, parts, where, layer.nx))
    if along:
        values = (h[:, None], h[None, -1], c[None])
    else:
        values = (h.transpose(1, 0, 2)[:, :, None], h[-1][:, None], c[:, None])
    at.traced |= {name: v for name, v in zip(node.outputs, values, strict=False) if name}


def _layer(at: Reading, node: Node, parts: dict[str, str], where: str) -> Layer:
    W, R = (
        floats(parts[p], np.asarray(constant(at, parts[p], f"{where}: {p}")), (1, None, None))[0]
        for p in ("W", "R")
    )
    b = np.zeros(len(R))
    if parts.get("B"):
        values = np.asarray(constant(at, parts["B"], f"{where}: B"))
        both = floats(parts["B"], values, (1, 2 * len(R)))[0]
        b = both[: len(R)] + both[len(R) :]
    layer = stacked_layer("ONNX", where, W, R, b)
    if node.attributes.get("hidden_size", layer.nx) != layer.nx:
        raise InputError(
            f"{where}: hidden_size {node.attributes['hidden_size']} is not the {layer.nx} of its"
            " weights"
        )
    return layer


def _plain(where: str, node: Node, parts: dict[str, str]) -> None:
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


def _start(at: Reading, parts: dict[str, str], where: str, cells: int) -> Start | None:
    """None from a fixed start, which is ignored with a note unless it is zero; or the layer and
    sample whose states it goes on with."""
    names = [parts.get("initial_h", ""), parts.get("initial_c", "")]
    for name in filter(None, names):
        shape = at.traced[name].shape if name in at.traced else np.shape(at.constants[name])
        if len(shape) != 3 or shape[2] != cells:
            raise InputError(
                f"{where}: initial state {name!r} of the shape {list(shape)} does not fit its"
                f" {cells} cells; an LSTM with projections (proj_size) cannot be represented"
            )
    traced = [at.traced[name] for name in names if name in at.traced]
    if not traced:
        if any(np.any(at.constants[name]) for name in names if name):
            at.notes.append(IGNORED_START)
        return None
    stages = [at.trace.only(ids) for ids in traced]
    if all(isinstance(stage, Source) for stage in stages):
        at.notes.append(IGNORED_START)
        return FROM_INPUTS
    if len(traced) == 2 and all(isinstance(stage, State) for stage in stages):
        h, c = stages
        assert isinstance(h, State)
        assert isinstance(c, State)
        last, whole = (
            at.trace.local(ids).ravel() - ids.size * (stage.times.size - 1)
            for ids, stage in zip(traced, (h, c), strict=True)
        )
        inorder = np.arange(traced[0].size)
        together = h.hidden and not c.hidden and h.layer == c.layer and h.times[-1] == c.times[-1]
        if together and np.array_equal(last, inorder) and np.array_equal(whole, inorder):
            return Start(h.layer, int(h.times[-1]))
    raise InputError(
        f"{where}: its initial states are computed from signals; an encoder and a decoder, or a"
        " state handed from layer to layer, cannot be represented"
    )
