"""HDF5 files and .keras archives as plain trees of arrays: the only importer of h5py, loaded when
first used. Nothing is read but numbers that lie in the file itself."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.errors import InputError

_FILTERS = {1, 2, 3, 32000}  # deflate, shuffle, Fletcher's checksum, LZF: those that h5py brings
_DEPTH, _COUNT, _TEXT = 16, 20_000, 2**24


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
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            "reading it needs the package h5py: pip install 'lstm_mpc[keras]'"
        ) from error
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return _Reader(h5py, limit).tree(file, 0)
    except InputError:
        raise
    except Exception as error:  # h5py turns errors of the C library into whatever fits best
        raise InputError(f"is not an HDF5 file of plain arrays ({_line(error)})") from error


@dataclass
class _Reader:
    h5py: Any
    left: int
    count: int = 0

    def tree(self, group: Any, depth: int) -> Tree:
        tree = Tree()
        if depth > _DEPTH:
            raise InputError(f"has groups within groups, more than {_DEPTH} deep")
        for name, value in group.attrs.items():
            if isinstance(value, bytes):
                value = value.decode("utf-8", "replace")
            if isinstance(value, str):
                tree.texts[name] = value
        for name in group:
            self.count += 1
            if self.count > _COUNT:
                raise InputError(f"has more than {_COUNT} entries")
            if not isinstance(group.get(name, getlink=True), self.h5py.HardLink):
                raise InputError(f"{name!r} is a link to somewhere else, which is not followed")
            item = group[name]
            if isinstance(item, self.h5py.Group):
                tree.groups[name] = self.tree(item, depth + 1)
            elif isinstance(item, self.h5py.Dataset):
                self._array(tree, name, item)
        return tree

    def _array(self, tree: Tree, name: str, item: Any) -> None:
        """A dataset of numbers; others (seeds, strings) are left out."""
        if item.shape is None or item.dtype.kind not in "fiub":
            return
        plist = item.id.get_create_plist()
        filters = {plist.get_filter(j)[0] for j in range(plist.get_nfilters())}
        if item.external or item.is_virtual or filters - _FILTERS:
            raise InputError(
                f"array {name!r} lies in another file or needs a plugin; save the model again"
            )
        self.left -= int(item.size) * item.dtype.itemsize
        if self.left < 0:
            raise InputError("holds more numbers than are read from one file")
        tree.arrays[name] = np.asarray(item[()])


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
    words = " ".join(str(error).split()) or type(error).__name__
    return "".join(c if c.isprintable() else "?" for c in words)[:200]
