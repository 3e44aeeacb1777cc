"""Software in the loop: the C of an exported controller, compiled and called in this process, as a
controller like any other."""

from __future__ import annotations

import ctypes
import hashlib
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.codegen.compiler import compiler
from lstm_mpc.codegen.identifiers import name_of
from lstm_mpc.control.controller import ControlAction, Status, coming, foreseen
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.export_folder import write_sources
from lstm_mpc.io.templates import render
from lstm_mpc.plants.system import Array

Sources = tuple[tuple[str, str], ...]  # (name, text): what is compiled once in a process


@lru_cache(maxsize=16)
def library(sources: Sources, *, double: bool = False) -> ctypes.CDLL:
    """The C compiled and loaded; the same sources are compiled once in a process. They keep no data
    of their own."""
    name = name_of(dict(sources))
    with tempfile.TemporaryDirectory() as folder:
        write_sources(folder, {**dict(sources), "sil.c": _glue(dict(sources), name)})
        codes = [f"{name}.c", f"{name}_data.c", "sil.c"]
        macros = [f"{name.upper()}_DOUBLE"] if double else []
        path = compiler().library(Path(folder), codes, "sil.so", macros)
        return ctypes.CDLL(str(path.resolve()))


def _glue(files: Mapping[str, str], name: str) -> str:
    """What is compiled beside a controller, for this process to call it."""
    measured = f"#define {name.upper()}_NM " in files[f"{name}.h"]
    return render("codegen", "sil.c", name=name, measured=measured)


class Compiled:
    """A controller in C, called in this process.

    It answers as every `Controller` and holds the state.

    Args:
        files: C sources, name -> text.
        double: In double instead of single precision.
    """

    def __init__(self, files: Mapping[str, str], *, double: bool = False) -> None:
        self._library = library(tuple(files.items()), double=double)
        self._digest = artefact_file.digest([dict(files), double]).encode()
        self.real: np.dtype[np.floating] = np.dtype(np.float64 if double else np.float32)
        nu, ny, self._N, self._rows, *held, nm, foreseen_rows = _sizes(self._library)
        self._measured = np.zeros((foreseen_rows, nm), self.real)
        self.struct_bytes = dict(zip(("state", "work", "model"), held, strict=True))
        self._state, self._work = (ctypes.create_string_buffer(size) for size in held[:2])
        self._y, self._u, self._reference = (
            np.zeros(ny, self.real),
            np.zeros(nu, self.real),
            np.zeros((self._rows, ny), self.real),
        )
        self._predicted, self._said = (
            np.zeros((self._N + 1, ny), self.real),
            np.zeros(1 + ny + nu, self.real),
        )
        self._counts = np.zeros(3, np.uint32)

    def reset(self, y: ArrayLike, u: ArrayLike, measured: ArrayLike = ()) -> None:
        """Begin.

        Args:
            y: The measured output, (ny,).
            u: The input in force, (nu,).
            measured: The measured inputs, (nd,).

        Raises:
            InputError: The C refuses the model.
        """
        self._y[:], self._u[:] = y, u
        self._measured[:] = foreseen(measured, *self._measured.shape)
        places = _at(self._y), _at(self._u), _at(self._measured)
        if self._library.sil_init(self._state, *places):
            raise InputError("controller: the exported code refuses its model")

    def step(self, y: ArrayLike, reference: ArrayLike, measured: ArrayLike = ()) -> ControlAction:
        """Answer one sample.

        Args:
            y: The measured output, (ny,).
            reference: The setpoint, (ny,) or, with preview, (`ahead` + 1, ny).
            measured: The measured inputs, (nd,) or as many rows as are foreseen.

        Returns:
            The move for this sample.
        """
        return self._call(self._library.sil_step, y, reference, measured)

    def decide(self, y: ArrayLike, reference: ArrayLike, measured: ArrayLike = ()) -> ControlAction:
        """The first half of `step`: what it would apply; `go_on` is the second.

        Args:
            y: The measured output, (ny,).
            reference: The setpoint, as in `step`.
            measured: The measured inputs, as in `step`.

        Returns:
            The move that it would make.
        """
        return self._call(self._library.sil_decide, y, reference, measured)

    def go_on(self, u: ArrayLike) -> None:
        """On to the next sample after `decide`.

        Args:
            u: The input that is in force, (nu,), the one that was decided or another one.
        """
        applied = np.ascontiguousarray(np.ravel(u), self.real)
        if not np.array_equal(applied, self._u):
            self._library.sil_take(self._state, _at(applied))
        self._library.sil_advance(self._state, self._work)

    def track(self, y: ArrayLike, u: ArrayLike, measured: ArrayLike = ()) -> ControlAction:
        """A sample in manual, after which `step` takes over without a bump.

        Args:
            y: The measured output, (ny,).
            u: The input that the operator applies, (nu,).
            measured: The measured inputs, as in `step`.

        Returns:
            What the observer estimates; its `u` is that of the operator. Beyond the bounds of the
            controller the observer takes it to be at the bound.

        Raises:
            InputError: An input in force is no finite number.
        """
        applied = np.ravel(np.asarray(u, dtype=np.float64))
        if applied.size != len(self._u) or not np.isfinite(applied).all():
            raise InputError(
                f"control: the input in force needs {len(self._u)} finite value(s), got"
                f" {applied.tolist()}"
            )
        action = self.decide(y, y, measured)
        self._u[:] = np.nan  # what was decided is not applied
        self.go_on(applied)
        flags = action.flags & ~Status.SETPOINT_INVALID  # none is asked for
        return replace(action, u=applied, flags=flags, iterations=0, cost=np.nan, detail="manual")

    def take(self, u: ArrayLike) -> None:
        """Before a sample: another input is in force than the one `go_on` was given.

        Args:
            u: That input, (nu,).
        """
        applied = np.ascontiguousarray(np.ravel(u), self.real)
        self._library.sil_take(self._state, _at(applied))

    def _call(
        self, function: Any, y: ArrayLike, reference: ArrayLike, measured: ArrayLike
    ) -> ControlAction:
        self._y[:] = y
        self._measured[:] = foreseen(measured, *self._measured.shape)
        self._reference[:] = coming(reference, self._rows - 1, len(self._y))
        arrays = (self._y, self._reference, self._measured, self._u, self._predicted)
        places = [_at(array) for array in (*arrays, self._said, self._counts)]
        began = time.perf_counter()
        function(self._state, self._work, *places)
        seconds = time.perf_counter() - began
        flags, passes, _ = (int(count) for count in self._counts)
        said: Array = self._said.astype(np.float64)
        predicted = self._predicted.astype(np.float64)
        disturbance, input_disturbance = said[1 : 1 + len(self._y)], said[1 + len(self._y) :]
        return ControlAction(
            self._u.astype(np.float64),
            Status(flags),
            passes,
            float(said[0]),
            predicted,
            disturbance,
            seconds,
            "",
            input_disturbance,
        )

    @property
    def qp_iterations(self) -> int:
        """Changes of the working set in the last step, over all its iterations."""
        return int(self._counts[2])

    def save(self) -> bytes:
        """The state as it lies in memory, sealed: another process with the same sources and
        precision goes on from it to the bit."""
        state = bytes(self._state)
        return self._seal(state) + state

    def restore(self, saved: bytes) -> None:
        """Go on from a saved state.

        Args:
            saved: What `save` gave.

        Raises:
            InputError: It is not from this controller, or not as it was.
        """
        needed = len(self._state) + len(self._seal(b""))
        if len(saved) != needed:
            raise InputError(
                f"controller: a saved state of this controller has {needed} bytes, got {len(saved)}"
            )
        state = saved[-len(self._state) :]
        if self._seal(state) + state != saved:
            raise InputError("controller: the saved state is of another controller, or was altered")
        ctypes.memmove(self._state, state, len(state))

    def _seal(self, state: bytes) -> bytes:
        return hashlib.sha256(self._digest + state).digest()


class ControllerBatch:
    """Many controllers on the same C in single precision; columns are controllers.

    One call a sample serves them all; each answers to the bit as `Compiled` does.

    Args:
        sources: C sources, (name, text).
        count: B, the number of controllers.
    """

    def __init__(self, sources: Sources, count: int) -> None:
        self._library, self._count = library(sources), count
        nu, ny, _, rows, state, work, _, nm, foreseen_rows = _sizes(self._library)
        self._states, self._work = (
            ctypes.create_string_buffer(count * state),
            ctypes.create_string_buffer(work),
        )
        self._y, self._u = np.zeros((count, ny), np.float32), np.zeros((count, nu), np.float32)
        self._reference, self._status, self._measured = (
            np.zeros((count, rows, ny), np.float32),
            np.zeros(count, np.uint32),
            np.zeros((count, foreseen_rows, nm), np.float32),
        )

    def reset(self, y: Array, u: Array, measured: Array) -> None:
        """Begin.

        Args:
            y: The measured outputs, (ny, B).
            u: The inputs in force, (nu, B).
            measured: The measured inputs, (rows, nd, B).

        Raises:
            InputError: The C refuses the model.
        """
        self._y[:], self._u[:], self._measured[:] = y.T, u.T, measured.transpose(2, 0, 1)
        places = [_at(array) for array in (self._y, self._u, self._measured)]
        if self._library.sil_init_many(self._states, self._count, *places):
            raise InputError("controller: the exported code refuses its model")

    def step(self, y: Array, reference: Array, measured: Array) -> tuple[Array, Any]:
        """Answer one sample.

        Args:
            y: The measured outputs, (ny, B).
            reference: The setpoints, (rows, ny, B), one row or, with preview, `ahead` + 1.
            measured: The measured inputs, (rows, nd, B), one row or as many as are foreseen.

        Returns:
            The inputs, (nu, B), and the status, (B,).
        """
        self._y[:], self._reference[:] = y.T, reference.transpose(2, 0, 1)
        self._measured[:] = measured.transpose(2, 0, 1)
        places = [
            _at(array)
            for array in (self._y, self._reference, self._measured, self._u, self._status)
        ]
        self._library.sil_step_many(self._states, self._work, self._count, *places)
        return self._u.T.astype(np.float64), self._status


def _sizes(of: ctypes.CDLL) -> tuple[int, ...]:
    sizes = (ctypes.c_uint32 * 9)()
    of.sil_sizes(sizes)
    return tuple(sizes)


def _at(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
