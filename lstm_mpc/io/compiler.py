"""C that is compiled where it is used: once for each text and machine, kept in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_path

COMPILERS = ("cc", "gcc", "clang")
_PATIENCE = 120.0  # [s] for one compilation


@lru_cache(maxsize=8)
def shared_library(text: str, flags: tuple[Sequence[str], ...]) -> ctypes.CDLL | None:
    """The C `text` compiled and loaded; the same text is compiled once on a machine.

    Args:
        text: C source, without includes beyond the standard library.
        flags: Flags of the compiler, tried one set after the other.

    Returns:
        The library, or None where no compiler makes it.
    """
    machine = [text, *map(str, flags), platform.system(), platform.machine(), platform.processor()]
    name = f"{hashlib.sha256(repr(machine).encode()).hexdigest()[:32]}.so"
    with tempfile.TemporaryDirectory() as passing:
        for folder in (user_cache_path("lstm_mpc"), Path(passing)):
            try:
                return _kept(folder, name, text, flags)
            except OSError:  # a cache that cannot be written
                continue
    return None


def _kept(folder: Path, name: str, text: str, flags: Sequence[Sequence[str]]) -> ctypes.CDLL | None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    if path.exists():
        with suppress(OSError):  # not what this machine can load: made anew
            return ctypes.CDLL(str(path))
    with tempfile.TemporaryDirectory(dir=folder) as place:
        made = _compiled(Path(place), text, flags)
        if made is None:
            return None
        os.replace(made, path)  # whole or not at all, whoever else does the same
    return ctypes.CDLL(str(path))


def _compiled(place: Path, text: str, flags: Sequence[Sequence[str]]) -> Path | None:
    source, library = place / "source.c", place / "source.so"
    source.write_text(text, encoding="utf-8")
    for compiler in COMPILERS:
        for own in flags:
            command = [compiler, *own, "-shared", "-fPIC", str(source), "-o", str(library), "-lm"]
            try:
                if subprocess.run(command, capture_output=True, timeout=_PATIENCE).returncode == 0:
                    return library
            except (OSError, subprocess.TimeoutExpired):
                break
    return None
