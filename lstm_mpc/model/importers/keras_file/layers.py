"""The layers of a Keras model, one after the other, as a network."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers.gates import LAST_ONLY, Foreign, floats, folded, stack, stacked_layer
from lstm_mpc.model.importers.keras_file.config import Step
from lstm_mpc.model.importers.keras_file.hdf5 import Tree
from lstm_mpc.model.lstm import Layer
from lstm_mpc.plants.system import Array

_INERT = frozenset(
    (
        "ActivityRegularization",
        "AlphaDropout",
        "Dropout",
        "GaussianDropout",
        "GaussianNoise",
        "Identity",
        "SpatialDropout1D",
    )
)
_WRONG = {
    "Lambda": "holds code, which is never run",
    "Bidirectional": "reads the future",
    "GRU": "is a GRU; only LSTM layers can be represented",
    "SimpleRNN": "is a plain RNN; only LSTM layers can be represented",
    "Masking": "leaves samples out by their value, which cannot be represented",
    "RepeatVector": "repeats one sample (an encoder and a decoder), which cannot be represented",
}


@dataclass
class _Reading:
    """The layers so far, and the affine function M v + shift of what the last one gives."""

    layers: list[Layer] = field(default_factory=list)
    M: Array | None = None  # None: the identity, of any width
    shift: Array = field(default_factory=lambda: np.zeros(1))
    head: bool = False  # a Dense layer has followed the last LSTM
    last: bool = False  # only the last sample goes on
    u_scale: tuple[Array, Array] | None = None
    y_scale: tuple[Array, Array] | None = None
    notes: list[str] = field(default_factory=list)


def network_of(steps: list[Step], trees: list[Tree], kind: str) -> Foreign:
    """The network of `steps`, whose arrays are in `trees`; InputError where it cannot be one."""
    at = _Reading()
    for step, tree in zip(steps, trees, strict=True):
        if step.kind in _INERT:
            continue
        if step.kind not in _READERS:
            why = _WRONG.get(step.kind, "cannot be represented")
            raise InputError(
                f"layer {step.name!r} ({step.kind}) {why}; a model is scaling, LSTM layers, one"
                " linear head and scaling, with nothing between but linear layers"
            )
        _READERS[step.kind](at, step, tree)
    if not at.layers or not at.head:
        raise InputError("has no LSTM layer with a Dense layer behind it")
    assert at.M is not None
    network = stack(at.layers, at.M, np.broadcast_to(at.shift, len(at.M)).copy())
    pairs = (
        _wide(at.u_scale, network.nu, "input"),
        _wide(at.y_scale, network.ny, "output"),
    )
    return Foreign(network, kind, tuple(at.notes), *pairs)


def _wide(pair: tuple[Array, Array] | None, count: int, what: str) -> tuple[Array, Array] | None:
    if pair is None:
        return None
    if any(part.size not in (1, count) for part in pair):
        raise InputError(f"its {what} scaling has {pair[0].size} values for {count} signals")
    mid, span = (np.broadcast_to(part, count).copy() for part in pair)
    if not ((span > 0) & np.isfinite(span)).all():
        raise InputError(f"its {what} scaling has the span {span.tolist()}; spans must be positive")
    return mid, span


def _lstm(at: _Reading, step: Step, tree: Tree) -> None:
    config, where = step.config, f"layer {step.name!r}"
    if at.last:
        raise InputError(f"{where} follows a layer that gives its last sample only")
    if config.get("go_backwards"):
        raise InputError(f"{where} has go_backwards, which reads the future")
    if step.cell:
        config = step.cell
    for key, wanted in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        if (value := config.get(key, wanted)) != wanted:
            raise InputError(
                f"{where} has the {key} {_word(value)!r}; only {wanted} can be represented, so"
                f" train it with {key}={wanted!r}"
            )
    arrays = _arrays(step, tree, ("kernel", "recurrent_kernel", "bias"))
    for name in ("kernel", "recurrent_kernel"):
        if name not in arrays or arrays[name].ndim != 2:
            raise InputError(f"{where} has no array {name!r} of two axes")
    W, U = arrays["kernel"].T, arrays["recurrent_kernel"].T
    layer = stacked_layer("Keras", where, W, U, arrays.get("bias", np.zeros(len(U))))
    if config.get("units", layer.nx) != layer.nx:
        raise InputError(
            f"{where} has units = {_word(config['units'])} and weights of {layer.nx} cells"
        )
    if at.M is not None or at.shift.any():
        M = np.eye(layer.nu) if at.M is None else at.M
        if len(M) != layer.nu:
            raise InputError(f"{where} reads {layer.nu} signals, the layer before gives {len(M)}")
        layer = folded(layer, M, np.broadcast_to(at.shift, len(M)))
    at.layers.append(layer)
    at.M, at.shift, at.head = np.eye(layer.nx), np.zeros(layer.nx), False
    _samples(at, step)


def _arrays(step: Step, tree: Tree, names: tuple[str, ...]) -> dict[str, Array]:
    """The arrays of a layer by the names of its variables, `names` in the order of numbered ones"""
    arrays: dict[str, Any] = {}
    for path, array in tree.flat().items():
        if "seed_generator" in path:
            continue
        last = re.sub(r":0$", "", path.rpartition("/")[2])
        name = names[int(last)] if last.isdecimal() and int(last) < len(names) else last
        if name in arrays:
            raise InputError(f"layer {step.name!r} has two arrays {name!r:.80}")
        arrays[name] = array
    if extra := [name for name in arrays if name not in names]:
        raise InputError(f"layer {step.name!r} has an array {extra[0]!r:.80} that nothing explains")
    arrays.pop("count", None)  # of samples that a normalisation has seen
    return {name: floats(f"{step.name}/{name}", array) for name, array in arrays.items()}


def _samples(at: _Reading, step: Step) -> None:
    """Does the layer hand every sample on, or the last one (also as its state h)?"""
    if step.taken == 2:
        raise InputError(f"the cell state of layer {step.name!r} goes on; only h can be read")
    if step.taken == 1 or not step.config.get("return_sequences"):
        at.last = True
        at.notes.append(LAST_ONLY)


def _dense(at: _Reading, step: Step, tree: Tree) -> None:
    config = step.cell or step.config
    _linear_activation(step, config)
    arrays = _arrays(step, tree, ("kernel", "bias"))
    if "kernel" not in arrays or arrays["kernel"].ndim != 2:
        raise InputError(f"layer {step.name!r} has no array 'kernel' of two axes")
    W = arrays["kernel"].T
    bias = arrays.get("bias", np.zeros(len(W)))
    if at.y_scale is not None:
        raise InputError(f"layer {step.name!r} follows the scaling of the outputs")
    M = np.eye(W.shape[1]) if at.M is None else at.M
    if bias.shape != (len(W),) or len(M) != W.shape[1]:
        raise InputError(f"layer {step.name!r} does not fit the layer before it or its own bias")
    at.M, at.shift = W @ M, W @ np.broadcast_to(at.shift, len(M)) + bias
    at.head = bool(at.layers)


def _activation(at: _Reading, step: Step, tree: Tree) -> None:
    _linear_activation(step, step.config)


def _linear_activation(step: Step, config: dict[str, Any]) -> None:
    if config.get("activation", "linear") not in ("linear", None):
        raise InputError(
            f"layer {step.name!r} has the activation {_word(config['activation'])!r}; outside the"
            " LSTM layers only linear ones can be represented"
        )


def _elementwise(at: _Reading, step: Step, factor: Array, added: Array) -> None:
    """v becomes factor·v + added."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if not at.layers and at.M is None:
            mid, span = at.u_scale or (np.zeros(1), np.ones(1))
            at.u_scale = (mid - span / factor * added, span / factor)
        elif at.head:
            mid, span = at.y_scale or (np.zeros(1), np.ones(1))
            at.y_scale = (mid * factor + added, span * factor)
        else:
            assert at.M is not None
            if any(v.size not in (1, len(at.M)) for v in (factor, added)):
                raise InputError(f"layer {step.name!r} does not fit the {len(at.M)} signals before")
            factor = np.broadcast_to(factor, len(at.M))
            at.M, at.shift = factor[:, None] * at.M, factor * at.shift + added


def _numbers(step: Step, key: str, default: float) -> Array:
    value = np.asarray(step.config.get(key, default), dtype=np.float64).ravel()
    if not np.isfinite(value).all():
        raise InputError(f"layer {step.name!r} has {key} = {value.tolist()}, not finite numbers")
    return value


def _rescaling(at: _Reading, step: Step, tree: Tree) -> None:
    _elementwise(at, step, _numbers(step, "scale", 1.0), _numbers(step, "offset", 0.0))


def _normalization(at: _Reading, step: Step, tree: Tree) -> None:
    arrays = _arrays(step, tree, ("mean", "variance", "count"))
    parts = [
        np.ravel(_numbers(step, key, 0.0) if step.config.get(key) is not None else arrays[key])
        for key in ("mean", "variance")
        if step.config.get(key) is not None or key in arrays
    ]
    if len(parts) < 2:
        raise InputError(f"layer {step.name!r} has no mean and variance; adapt it before saving")
    mean, variance = parts
    spread = np.maximum(np.sqrt(variance), 1e-7)
    if step.config.get("invert"):
        _elementwise(at, step, spread, mean)
    else:
        _elementwise(at, step, 1 / spread, -mean / spread)


def _batch_normalization(at: _Reading, step: Step, tree: Tree) -> None:
    config = step.config
    named = [("gamma", config.get("scale", True)), ("beta", config.get("center", True))]
    names = (*(n for n, there in named if there), "moving_mean", "moving_variance")
    arrays = _arrays(step, tree, names)
    if missing := [name for name in names if name not in arrays]:
        raise InputError(f"layer {step.name!r} has no array {missing[0]!r}")
    spread = np.sqrt(arrays["moving_variance"] + config.get("epsilon", 1e-3))
    factor = arrays.get("gamma", np.ones(1)) / spread
    _elementwise(at, step, factor, arrays.get("beta", np.zeros(1)) - factor * arrays["moving_mean"])


def _reshape(at: _Reading, step: Step, tree: Tree) -> None:
    """A window of one signal that becomes (samples, 1), and what changes nothing."""
    shape = step.config.get("target_shape")
    window = not at.layers and at.M is None and isinstance(shape, (list, tuple)) and len(shape) == 2
    if step.kind == "Flatten" and at.last:
        return
    if not (window and shape is not None and shape[1] == 1):
        raise InputError(f"layer {step.name!r} ({step.kind}) mixes samples and signals")


def _word(value: Any) -> str:
    """An activation as people say it."""
    if isinstance(value, dict):
        value = value.get("config", value.get("class_name"))
    return str(value)[:40] if str(value).isprintable() else "?"


_READERS: dict[str, Callable[[_Reading, Step, Tree], None]] = {
    "LSTM": _lstm,
    "RNN": _lstm,
    "Dense": _dense,
    "TimeDistributed": _dense,
    "Activation": _activation,
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    "BatchNormalization": _batch_normalization,
    "Reshape": _reshape,
    "Flatten": _reshape,
}
