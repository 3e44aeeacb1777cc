"""Weights files (.npz, .safetensors) in the layouts of PyTorch's `nn.LSTM` + `nn.Linear` and of
Keras' `LSTM` + `Dense`.

    PyTorch  y_t = C h_t + b,  gates from W x_t + b_ih + R h_(t−1) + b_hh,  rows i, f, g, o
    Keras    the same with x_t W + h_(t−1) R + b,                        columns i, f, c, o

A weights file holds no activations: σ in the gates, tanh elsewhere and a linear head are assumed,
which are both frameworks' defaults."""

from __future__ import annotations

import io
import re
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers.gates import Foreign, floats, stack, stacked_layer
from lstm_mpc.model.lstm import Layer
from lstm_mpc.plants.system import Array

LIMIT = 64 * 2**20  # [bytes] no model of a plant comes near
_BROKEN: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    EOFError,
    SyntaxError,
    MemoryError,
    NotImplementedError,
    OverflowError,
)
# NumPy reads headers by a tokenizer of Python
_BROKEN += (RecursionError, zipfile.BadZipFile, zlib.error, tokenize.TokenError)
_MODULES = 5  # LSTM modules one behind the other
NOTE = "a weights file holds no activations; σ, tanh and a linear head are assumed"
Tensors = dict[str, NDArray[Any]]


def read_npz(data: bytes) -> Tensors:
    """The arrays in the bytes of a .npz file; pickled objects are never loaded."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > LIMIT:
            raise InputError(
                f"holds {size / 2**20:.0f} MiB of numbers, more than {LIMIT // 2**20} MiB"
            )
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except _BROKEN as error:
        raise InputError(f"is not a .npz file of plain arrays ({error!s:.200})") from error


def read_safetensors(data: bytes) -> Tensors:
    """The tensors in the bytes of a .safetensors file."""
    try:
        from safetensors import SafetensorError, deserialize
    except ImportError as error:
        raise InputError(
            "reading it needs the package safetensors: pip install 'lstm_mpc[safetensors]'"
        ) from error
    try:
        entries = deserialize(data)
    except SafetensorError as error:
        raise InputError(f"is not a safetensors file ({error!s:.200})") from error
    kinds, tensors = {"F32": "<f4", "F64": "<f8"}, {}
    for name, entry in entries:
        if entry["dtype"] not in kinds:
            raise InputError(f"tensor {name!r} is {entry['dtype']}; save it as float32 or float64")
        tensors[name] = np.frombuffer(entry["data"], kinds[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def network_of(tensors: Tensors, form: str) -> Foreign:
    """The network in `tensors`, whichever of the two layouts they are in; `form` is the kind of
    file, for the record."""
    if any(re.search(r"(^|\.)weight_ih(_l\d|$)", name) for name in tensors):
        return _pytorch(tensors, form)
    if any(_keras_key(name)[1] == "recurrent_kernel" for name in tensors):
        return _keras(tensors, form)
    raise InputError(
        f"holds {_some(tensors)}, neither weight_ih_l0 … (PyTorch nn.LSTM) nor recurrent_kernel"
        " (Keras LSTM)"
    )


# -- PyTorch ---------------------------------------------------------------------------------------

_LSTM_KEY = re.compile(
    r"(.*?)(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)(?:_l(\d{1,9})(_reverse)?)?"
)
_Parts = dict[tuple[int, str], tuple[str, NDArray[Any]]]


def _pytorch(tensors: Tensors, form: str) -> Foreign:
    """Modules nn.LSTM and nn.LSTMCell, one after the other, and one nn.Linear."""
    modules: dict[str, _Parts] = {}
    rest = dict(tensors)
    for name in tensors:
        if key := _LSTM_KEY.fullmatch(name):
            if key[4]:
                raise InputError(
                    f"{name!r} belongs to a bidirectional LSTM, which reads the future"
                )
            if key[2] == "weight_hr":
                raise InputError(
                    f"{name!r} belongs to an LSTM with projections (proj_size), which the model"
                    " cannot hold"
                )
            modules.setdefault(key[1], {})[int(key[3] or 0), key[2]] = (name, rest.pop(name))
    stacks = {
        prefix: [_pytorch_layer(n, parts, prefix) for n in range(1 + max(n for n, _ in parts))]
        for prefix, parts in modules.items()
    }
    weights = [name for name in rest if name == "weight" or name.endswith(".weight")]
    C_name = _only_head(weights, rest, "nn.Linear")
    C = floats(C_name, rest.pop(C_name), (None, None))
    order = _module_order(stacks, C.shape[1])
    layers = [layer for prefix in order for layer in stacks[prefix]]
    C = floats(C_name, C, (None, layers[-1].nx))
    b_y = _bias(C_name.removesuffix("weight") + "bias", rest, len(C))
    _nothing_left(rest)
    notes: tuple[str, ...] = (NOTE,)
    if len(order) > 1:
        notes += (f"LSTM modules in the order {', '.join(p.rstrip('.') for p in order)}",)
    return Foreign(stack(layers, C, b_y), f"PyTorch weights ({form})", notes)


def _pytorch_layer(number: int, parts: _Parts, prefix: str) -> Layer:
    for part in ("weight_ih", "weight_hh"):
        if (number, part) not in parts:
            raise InputError(f"{prefix}{part}_l{number} is missing")
    W, U = (floats(*parts[number, part], (None, None)) for part in ("weight_ih", "weight_hh"))
    b = np.zeros(len(U))
    for part in ("bias_ih", "bias_hh"):
        if (number, part) in parts:
            b = b + floats(*parts[number, part], (len(U),))
    return stacked_layer("PyTorch", f"layer {number + 1}", W, U, b)


def _module_order(stacks: dict[str, list[Layer]], width: int) -> list[str]:
    """The modules in the order of the signals: the only one that fits their widths and that of the
    head, or the one in which their names are numbered."""
    if len(stacks) == 1:
        return list(stacks)
    names = ", ".join(sorted(prefix.rstrip(".") for prefix in stacks))
    if len(stacks) > _MODULES:
        raise InputError(f"holds {len(stacks)} LSTM modules, more than {_MODULES}; use num_layers")

    def fits(order: Sequence[str]) -> bool:
        ends = [stacks[prefix][-1].nx for prefix in order]
        return [stacks[prefix][0].nu for prefix in order[1:]] + [width] == ends

    fitting = [list(order) for order in permutations(stacks) if fits(order)]
    if not fitting:
        raise InputError(
            f"holds {len(stacks)} LSTM modules ({names}), whose widths do not fit one behind the"
            " other; networks side by side cannot be represented"
        )
    if len(fitting) == 1:
        return fitting[0]
    numbers = {prefix: re.findall(r"\d+", prefix) for prefix in stacks}
    stems = {re.sub(r"[\d_.]+", "", prefix) for prefix in stacks}
    keys = [tuple(map(int, n)) for n in numbers.values()]
    order = sorted(stacks, key=lambda prefix: tuple(map(int, numbers[prefix])))
    if len(stems) > 1 or len(set(keys)) < len(keys) or order not in fitting:
        raise InputError(
            f"holds {len(stacks)} LSTM modules ({names}), whose order is not known; number their"
            " names (lstm1, lstm2), or use num_layers"
        )
    return order


# -- Keras -----------------------------------------------------------------------------------------


def _keras_key(name: str) -> tuple[str, str]:
    """Layer and variable of a Keras weight, `lstm/lstm_cell/kernel:0` → (`lstm`, `kernel`)."""
    *path, variable = re.split(r"[/.]", re.sub(r":0$", "", name))
    while path and (re.fullmatch(r"(lstm|gru|simple_rnn)_cell(_\d+)?|vars|cell", path[-1])):
        path.pop()
    return "/".join(path), variable


def _keras(tensors: Tensors, form: str) -> Foreign:
    rest = dict(tensors)
    groups: dict[str, dict[str, str]] = {}
    for name in tensors:
        layer, variable = _keras_key(name)
        if re.search(r"(^|/)(forward|backward)_", layer) or "bidirectional" in layer:
            raise InputError(f"{name!r} belongs to a bidirectional LSTM, which reads the future")
        groups.setdefault(layer, {})[variable] = name
    recurrent = _in_order(
        [layer for layer, variables in groups.items() if "recurrent_kernel" in variables]
    )
    layers = [_keras_layer(layer, groups.pop(layer), rest) for layer in recurrent]
    kernels = [variables["kernel"] for variables in groups.values() if "kernel" in variables]
    C_name = _only_head(kernels, rest, "Dense")
    C = floats(C_name, rest.pop(C_name), (layers[-1].nx, None)).T
    b_y = _bias(groups[_keras_key(C_name)[0]].get("bias", ""), rest, len(C))
    _nothing_left(rest)
    return Foreign(stack(layers, C, b_y), f"Keras weights ({form})", (NOTE,))


def _in_order(layers: list[str]) -> list[str]:
    """Layers as Keras numbers them: lstm, lstm_1, lstm_2, …"""
    numbers = {}
    for layer in layers:
        stem, _, number = layer.rpartition("_")
        numbers[layer] = (
            (stem, int(number)) if stem and re.fullmatch("[0-9]{1,9}", number) else (layer, 0)
        )
    if len({stem for stem, _ in numbers.values()}) > 1:
        raise InputError(
            f"the order of the LSTM layers {', '.join(layers)} is not known; name them lstm,"
            " lstm_1, …"
        )
    return sorted(layers, key=lambda layer: numbers[layer])


def _keras_layer(layer: str, variables: dict[str, str], rest: Tensors) -> Layer:
    if "kernel" not in variables:
        raise InputError(f"the kernel beside {variables['recurrent_kernel']!r} is missing")
    W, U = (
        floats(variables[v], rest.pop(variables[v]), (None, None)).T
        for v in ("kernel", "recurrent_kernel")
    )
    name = variables.get("bias", "")
    if name and rest[name].ndim == 2 and len(rest[name]) == 2 and len(U) == 3 * U.shape[1]:
        del rest[name]  # a GRU keeps two rows; the refusal of a GRU says more than one of the shape
    return stacked_layer("Keras", f"layer {layer!r}", W, U, _bias(name, rest, len(U)))


# -- both ------------------------------------------------------------------------------------------


def _only_head(names: list[str], rest: Tensors, kind: str) -> str:
    if not names:
        raise InputError(f"has no linear head ({kind}); found beside the LSTM: {_some(rest)}")
    if len(names) > 1:
        raise InputError(
            f"has {len(names)} layers beside the LSTM ({', '.join(names)}); only one linear head"
            " can be represented"
        )
    return names[0]


def _bias(name: str, rest: Tensors, rows: int) -> Array:
    return floats(name, rest.pop(name), (rows,)) if name in rest else np.zeros(rows)


def _nothing_left(rest: Tensors) -> None:
    if rest:
        raise InputError(
            f"holds tensors that belong neither to the LSTM nor to its linear head: {_some(rest)}"
        )


def _some(tensors: Tensors) -> str:
    """The first few names, for a sentence."""
    names = list(tensors)
    return ", ".join(names[:4]) + (" …" if len(names) > 4 else "") if names else "nothing"
