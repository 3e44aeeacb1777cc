"""Artefacts on disk: canonical JSON with exact floats and a SHA-256 digest over the content; files
appear whole or not at all."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.io.schema import fields_of

VERSION = version("lstm_mpc")  # of this package
FORMAT = 1  # version of every JSON artefact this package writes
_LIMIT = 64 * 2**20  # [bytes] no artefact of ours comes near


def plain(value: Any) -> Any:
    """`value` as JSON types: arrays and tuples become lists, NumPy scalars Python numbers, records
    objects with a key for each field that they are made of. Floats stay exact (repr)."""
    if isinstance(value, Artefact):
        return value.content()
    if dataclasses.is_dataclass(value):
        return _fields(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def _fields(record: Any) -> dict[str, Any]:
    """The fields that a dataclass is made of, as JSON types."""
    names = [field.name for field in dataclasses.fields(record) if field.init]
    return {name: plain(getattr(record, name)) for name in names}


def gapped(values: np.ndarray[Any, Any]) -> list[Any]:
    """An (N, n) array as lists with None for NaN, which JSON does not have: what was not
    measured."""
    return [[None if np.isnan(value) else value for value in row] for row in values.tolist()]


def digest(content: Any) -> str:
    """The SHA-256 of a content.

    Args:
        content: JSON types, arrays or records.

    Returns:
        64 hexadecimal digits, of the canonical JSON: sorted keys, no white space, shortest exact
        floats.
    """
    text = json.dumps(
        plain(content), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8 through a temporary file and a rename, so that no reader ever sees
    half of it."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file through a temporary file and a rename."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_bytes(path: str | Path, *, limit: int) -> bytes:
    """A regular file of at most `limit` bytes; OSError for a larger one, for a device, and where it
    cannot be read."""
    with open(path, "rb") as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if found.st_size > limit:
            raise OSError(errno.EFBIG, f"larger than {limit / 2**20:g} MiB", str(path))
        return stream.read()


def write_json(path: str | Path, kind: str, content: dict[str, Any]) -> None:
    """Write an artefact, with format version and digest.

    Args:
        path: The file.
        kind: What it says it is.
        content: What it holds, JSON types, arrays or records.
    """
    body = {"kind": kind, "format": FORMAT, **plain(content)}
    write_text(path, _layout({**body, "digest": digest(body)}, "") + "\n")


def _layout(value: Any, indent: str) -> str:
    """JSON text with one line per key, and lists on the line of their key."""
    if isinstance(value, dict) and value:
        inner = indent + " "
        lines = [
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {_layout(item, inner)}"
            for key, item in value.items()
        ]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


_MAKERS = {  # kind of an artefact -> the step that writes it
    "lstm_mpc model": "train",
    "lstm_mpc training report": "train",
    "lstm_mpc certificate": "certify",
    "lstm_mpc verification": "verify",
    "lstm_mpc tubes": "reach",
    "lstm_mpc release": "release",
    "lstm_mpc closed loop": "control",
    "lstm_mpc loop proof": "prove-loop",
    "lstm_mpc loop verification": "verify-loop",
    "lstm_mpc processor in the loop": "pil",
}


def _maker(kind: str) -> str:
    if kind in _MAKERS:
        return f"`lstm-mpc {_MAKERS[kind]}` writes the {kind}"
    return f"the {kind} is written by an earlier step"


def read_json(path: str | Path, kind: str) -> dict[str, Any]:
    """Read an artefact.

    Args:
        path: The file.
        kind: What it must say it is.

    Returns:
        Its content.

    Raises:
        InputError: It is missing, of another kind or format, or altered by even a digit; with its
            name.
    """
    path = Path(path)
    try:
        body = json.loads(read_bytes(path, limit=_LIMIT).decode("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {_maker(kind)}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error}); make the {kind} again") from error
    if not isinstance(body, dict) or body.get("kind") != kind:
        found = body.get("kind") if isinstance(body, dict) else type(body).__name__
        raise InputError(f"{path}: holds {found!r:.40}, not a {kind!r}")
    if body.get("format") != FORMAT:
        own = body.get("format")
        if isinstance(own, int) and own > FORMAT:
            raise InputError(
                f"{path}: was written by a newer version (format {own!r:.20}, this one reads"
                f" {FORMAT}); upgrade lstm_mpc"
            )
        raise InputError(
            f"{path}: has format {own!r:.40}, this version reads {FORMAT}; make the {kind} again"
        )
    claimed = body.pop("digest", None)
    try:
        found = digest(body)
    except ValueError as error:
        raise InputError(
            f"{path}: holds numbers that are not finite; make the {kind} again"
        ) from error
    if found != claimed:
        digests = f"digest {str(claimed)[:12]} became {found[:12]}"
        raise InputError(
            f"{path}: was altered after it was written ({digests}); make the {kind} again"
        )
    del body["kind"], body["format"]
    return body


class Artefact:
    """A frozen dataclass with a file of its own: JSON with exact floats and a digest."""

    kind: ClassVar[str]  # what the file says it is

    def content(self) -> dict[str, Any]:
        """All that the file keeps, as JSON types; what follows from it may be left out."""
        return _fields(self)

    def save(self, path: str | Path) -> None:
        """Write the file, with exact floats and a digest.

        Args:
            path: The file.
        """
        write_json(path, self.kind, self.content())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote.

        Args:
            path: The file.

        Returns:
            What was saved.

        Raises:
            InputError: The file is missing, altered, of another kind or of use to nobody; with its
                name.
        """
        content = read_json(path, cls.kind)
        try:
            return cls.from_content(content)
        except InputError as error:
            kind = cls.kind.removeprefix("lstm_mpc ")
            raise InputError(f"{path}: is not a usable {kind} ({error}); make it again") from error

    @classmethod
    def from_content(cls, content: Any, where: str = "it") -> Self:
        """Make one of the content of a file.

        Args:
            content: What `content` gave, as JSON types.
            where: What messages call it.

        Returns:
            What had this content.

        Raises:
            InputError: Something does not fit; with its name.
        """
        return cls(**fields_of(cls, content, where))
