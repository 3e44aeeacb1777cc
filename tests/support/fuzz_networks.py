"""Spoilt network files of the kinds that have an inside: HDF5 files and .keras archives, whose
configuration and arrays are changed so that the container itself is whole; and samples to begin
from."""

import io
import json
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
from foreign_nets import (
    functional,
    keras_dense,
    keras_layer,
    keras_lstm,
    keras_stack,
    sequential,
    weights,
    write_h5,
    write_keras,
)
from onnx import TensorProto
from onnx_nets import Net, T, axes, time_distributed, unrolled

from lstm_mpc.model.importers.import_file import read_foreign

Rng = np.random.Generator
Graft = Callable[[Rng, Any, Any], Any]


def onnx_samples() -> tuple[bytes, ...]:
    """A head on rows with sizes that the graph computes, cells written out, a head a sample, and
    weights in another file."""
    g = Net(weights(0, 1, (3, 2)))
    h = g.add("Transpose", g.sequence()[0], perm=[1, 0, 2])
    sizes = g.add("Gather", g.add("Shape", h), g.keep(axes(0, 1)), axis=0)
    rows = g.add("MatMul", g.add("Reshape", h, g.keep(axes(-1, 2))), g.keep(g.C.T))
    y = g.add("Reshape", rows, g.add("Concat", sizes, g.keep(axes(1)), axis=0))
    y = g.add("Slice", y, g.keep(axes(-1)), g.keep(axes(T)), g.keep(axes(1)))
    computed = g.done(g.add("Squeeze", y, g.keep(axes(1))), rank=2)
    beside = onnx.load_model_from_string(computed)
    for tensor in beside.graph.initializer[:2]:
        tensor.data_location = TensorProto.EXTERNAL
        size = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        for key, value in (("location", "net.onnx.data"), ("offset", "0"), ("length", str(size))):
            tensor.external_data.add(key=key, value=value)
    return (
        computed,
        unrolled(weights(0), steps=4),
        time_distributed(weights(0)),
        beside.SerializeToString(),
    )


def read_with_data(path: Path) -> Any:
    """Read an ONNX file that has a file of weights beside it."""
    path.with_name("net.onnx.data").write_bytes(bytes(1024))
    return read_foreign(path)


def _stacks() -> list[tuple[Any, Any]]:
    net = weights(0, 1, (3, 2))
    scaled = keras_stack(
        net,
        before=[keras_layer("Rescaling", scale=0.5, offset=1.0), keras_layer("Dropout")],
        between=[keras_layer("Normalization", mean=[0.1], variance=[2.0])],
        after=[keras_layer("Activation", activation="linear")],
    )
    lstm, dense = keras_lstm(weights(0)[0][0], "rnn"), keras_dense(*weights(0)[1:], "inner")
    cell = {"class_name": "LSTMCell", "config": lstm[0]["config"]}
    held = [
        keras_layer("RNN", "rnn", lstm[1], cell=cell, return_sequences=True),
        keras_layer("TimeDistributed", "spread", dense[1], layer=dense[0]),
    ]
    plain = keras_stack(net)
    return [(s, sequential(s)) for s in (scaled, held)] + [
        (plain, functional(plain, third=third)) for third in (True, False)
    ]


def keras_samples(place: Path) -> tuple[bytes, ...]:
    return tuple(write_keras(place / "s.keras", *s).read_bytes() for s in _stacks())


def h5_samples(place: Path) -> tuple[bytes, ...]:
    return tuple(write_h5(place / "s.h5", *s).read_bytes() for s in _stacks())


def remade_h5(rng: Rng, data: bytes, graft: Graft) -> bytes:
    """An HDF5 file with another configuration or other entries."""
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        if "model_config" in file.attrs and rng.integers(2):
            file.attrs["model_config"] = _config(rng, file.attrs["model_config"], graft)
        else:
            for _ in range(rng.integers(1, 4)):
                _entry(rng, file)
    return buffer.getvalue()


def remade_keras(rng: Rng, data: bytes, graft: Graft) -> bytes:
    """An archive with another configuration, other weights, or other members."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    match rng.integers(6):
        case 0 | 1 | 2:
            members["config.json"] = _config(rng, members["config.json"], graft).encode(
                "utf-8", "surrogatepass"
            )
        case 3 | 4:
            members["model.weights.h5"] = remade_h5(rng, members["model.weights.h5"], graft)
        case _:
            name = list(members)[rng.integers(len(members))]
            members["../" * int(rng.integers(2)) + name + "x" * int(rng.integers(2))] = members.pop(
                name
            )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in members.items():
            if name == "model.weights.h5" and not rng.integers(200):
                value = value + bytes(80 * 2**20)  # a bomb: much from little
            archive.writestr(name, value)
    return packed.getvalue()


def _config(rng: Rng, text: bytes | str, graft: Graft) -> str:
    """A configuration with a few places spoilt; words of Keras among the values."""
    tree = json.loads(text)
    if rng.integers(3):
        tree = graft(rng, tree, deepcopy(tree))
    words = json.dumps(tree)
    for _ in range(rng.integers(0, 3)):
        named = ("LSTM", "Dense", "tanh", "linear", "lstm", "Sequential", "true", "0", "null", "3")
        one, other = (named[rng.integers(len(named))] for _ in range(2))
        words = words.replace(one, other, 1)
    return words[:60_000]


def _entry(rng: Rng, file: Any) -> None:
    """Something happens to one entry: it goes, moves, changes kind or becomes a link."""
    names: list[str] = []
    file.visit(names.append)
    if not names:
        return
    name = names[rng.integers(len(names))]
    match rng.integers(8):
        case 0:
            del file[name]
        case 1:
            file.move(name, f"{name}{rng.integers(2**40)}")
        case 2:
            file[f"{name}{rng.integers(2**40)}"] = file[name]
        case 3:
            del file[name]
            target = names[rng.integers(len(names))]
            links = (h5py.SoftLink(f"/{target}"), h5py.ExternalLink("/etc/passwd", "/a"))
            file[name] = links[rng.integers(2)]
        case 4 if isinstance(file[name], h5py.Group):
            file[f"{name}/{rng.integers(2**40)}"] = np.zeros(rng.integers(0, 4, rng.integers(0, 4)))
        case 5 if isinstance(file[name], h5py.Dataset):
            del file[name]
            file.create_dataset(name, ((2**12, 2**14), (0, 3), ())[rng.integers(3)], "<f4")
        case 6:
            file[name].attrs["name"] = ("lstm", "dense", "", "\x00x"[1:], b"\xff")[rng.integers(5)]
        case _ if isinstance(file[name], h5py.Dataset):
            value = file[name][()]
            del file[name]
            kinds = ("<f2", "<f8", "<i4", "|b1", "<c8", "S3")
            changed = np.asarray(value).astype(kinds[rng.integers(len(kinds))])
            file[name] = changed if rng.integers(2) else np.atleast_1d(value).T * np.nan
