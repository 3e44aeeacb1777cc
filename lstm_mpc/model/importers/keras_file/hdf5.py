"""HDF5 files and .keras archives as plain trees of arrays: numbers that lie in the file itself, and
nothing else. The file is read in a process of its own, see `hdf5_process`."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.errors import InputError

_TEXT = 2**24  # bytes of a configuration
_SECONDS = 120  # by the clock, where a process has no limit of processor time


@dataclass
class Tree:
    """A group: arrays, groups and attributes that are text."""

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    groups: dict[str, Tree] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def flat(self, prefix: str = "") -> dict[str, NDArray[Any]]:
        """Every array in it by its path."""
        tree = {prefix + name: array for name, array in self.arrays.items()}
        for name, group in self.groups.items():
            tree |= group.flat(f"{prefix}{name}/")
        return tree


def read_hdf5(data: bytes, limit: int) -> Tree:
    """The tree in the bytes of an HDF5 file, at most `limit` bytes of numbers; InputError when it
    is none or leans on other files or plugins."""
    if find_spec("h5py") is None:
        raise InputError("reading it needs the package h5py: pip install 'lstm_mpc[keras]'")
    with np.load(io.BytesIO(_ask(data, limit)), allow_pickle=False) as arrays:
        if "refused" in arrays:
            raise InputError(_printable(arrays["refused"].tobytes().decode()))
        return _tree(json.loads(arrays["tree"].tobytes()), arrays)


def _ask(data: bytes, limit: int) -> bytes:
    """What the process of its own answers."""
    program = Path(__file__).with_name("hdf5_process.py")
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(program), str(limit)],
            input=data,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        )
    except subprocess.SubprocessError as error:  # it hung, or the C library died
        raise InputError(
            "is an HDF5 file that cannot be read to its end, so it is spoilt; save the model again"
        ) from error
    return done.stdout


def _tree(entry: dict[str, Any], arrays: Any) -> Tree:
    return Tree(
        {name: arrays[str(number)] for name, number in entry["arrays"].items()},
        {name: _tree(group, arrays) for name, group in entry["groups"].items()},
        entry["texts"],
    )


def read_archive(data: bytes, limit: int) -> tuple[Any, Tree]:
    """The configuration and the weights in a .keras archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            parts = []
            for name, most in (("config.json", _TEXT), ("model.weights.h5", limit)):
                if name not in entries:
                    raise InputError(f"has no {name!r}, which every .keras file of Keras 3 has")
                if entries[name].file_size > most:
                    raise InputError(f"{name!r} is larger than {most // 2**20} MiB")
                with archive.open(entries[name]) as stream:
                    parts.append(stream.read(most + 1)[:most])
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as error:
        raise InputError(f"is not a .keras archive ({_line(error)})") from error
    except (NotImplementedError, RuntimeError) as error:  # encrypted or packed in another way
        raise InputError(f"is packed in a way that is not read ({_line(error)})") from error
    return parse_json(parts[0].decode("utf-8", "replace")), read_hdf5(parts[1], limit)


def parse_json(text: str) -> Any:
    """The configuration of a Keras model."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"its configuration is not JSON ({_line(error)})") from error


def _line(error: BaseException) -> str:
    return _printable(str(error) or type(error).__name__)


def _printable(words: str) -> str:
    """Words from elsewhere as part of one sentence."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(words.split()))[:300]
