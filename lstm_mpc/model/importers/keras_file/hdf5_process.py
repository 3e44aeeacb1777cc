"""A process of its own that reads an HDF5 file, since the C library hangs or dies of some spoilt
ones: the only importer of h5py.

    python hdf5_process.py LIMIT < net.h5 > net.npz

Standard output becomes a .npz of the arrays, numbered, with `tree` (JSON: what they are) or
`refused` (a sentence) beside them, both as UTF-8 bytes. Nothing is followed out of the file.
"""

import io
import json
import sys
from contextlib import suppress
from typing import Any

import numpy as np

FILTERS = {1, 2, 3, 32000}  # deflate, shuffle, Fletcher's checksum, LZF: those that h5py brings
DEPTH, COUNT, SECONDS = 16, 20_000, 10  # of groups within groups, of entries, of processor time


class Refused(Exception):
    """A sentence."""


class Reader:
    """Walks a file: `arrays` in order, and what is said of them in `tree`."""

    def __init__(self, h5py: Any, limit: int) -> None:
        self.h5py, self.left, self.count = h5py, limit, 0
        self.arrays: list[np.ndarray[Any, Any]] = []

    def tree(self, group: Any, depth: int = 0) -> dict[str, Any]:
        """A group as {"arrays": {name: number}, "groups": {name: …}, "texts": {name: text}}."""
        if depth > DEPTH:
            raise Refused(f"has groups within groups, more than {DEPTH} deep")
        arrays, groups, texts = {}, {}, {}
        for name, value in group.attrs.items():
            if isinstance(value, bytes):
                value = value.decode("utf-8", "replace")
            if isinstance(value, str):
                texts[name] = value
        for name in group:
            self.count += 1
            if self.count > COUNT:
                raise Refused(f"has more than {COUNT} entries")
            if not isinstance(group.get(name, getlink=True), self.h5py.HardLink):
                raise Refused(f"{name!r} is a link to somewhere else, which is not followed")
            item = group[name]
            if isinstance(item, self.h5py.Group):
                groups[name] = self.tree(item, depth + 1)
            elif isinstance(item, self.h5py.Dataset) and self.numeric(item):
                arrays[name] = len(self.arrays)
                self.arrays.append(self.array(name, item))
        return {"arrays": arrays, "groups": groups, "texts": texts}

    def numeric(self, item: Any) -> bool:
        """Does a dataset hold numbers? Others hold text or nothing."""
        return item.shape is not None and item.dtype.kind in "fiub"

    def array(self, name: str, item: Any) -> np.ndarray[Any, Any]:
        """The numbers of a dataset that lie in the file itself."""
        plist = item.id.get_create_plist()
        filters = {plist.get_filter(j)[0] for j in range(plist.get_nfilters())}
        if item.external or item.is_virtual or filters - FILTERS:
            raise Refused(
                f"array {name!r} lies in another file or needs a plugin; save the model again"
            )
        self.left -= int(item.size) * item.dtype.itemsize
        if self.left < 0:
            raise Refused("holds more numbers than are read from one file")
        return np.asarray(item[()])


def answer(data: bytes, limit: int) -> bytes:
    """What the process writes for the bytes of a file."""
    import h5py

    results: dict[str, np.ndarray[Any, Any]] = {}
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            reader = Reader(h5py, limit)
            text = json.dumps(reader.tree(file))
            results = {str(number): array for number, array in enumerate(reader.arrays)}
            results["tree"] = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    except Refused as error:
        results = {"refused": np.frombuffer(str(error).encode("utf-8", "replace"), np.uint8)}
    except Exception as error:  # h5py turns errors of the C library into whatever fits best
        words = f"is not an HDF5 file of plain arrays ({str(error) or type(error).__name__})"
        results = {"refused": np.frombuffer(words.encode("utf-8", "replace"), np.uint8)}
    body = io.BytesIO()
    np.savez(body, **results)  # type: ignore[arg-type] # names of arrays, none of an option
    return body.getvalue()


if __name__ == "__main__":
    with suppress(ImportError, ValueError, OSError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.buffer.write(answer(sys.stdin.buffer.read(), int(sys.argv[1])))
