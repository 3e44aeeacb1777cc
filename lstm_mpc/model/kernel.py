"""The training kernel: simulation and sensitivities of an LSTM in C, `c/kernel.c`.

It computes what the CasADi equations say, an order of magnitude faster; a test holds it to them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from importlib import resources

import numpy as np

from lstm_mpc.io.compiler import shared_library
from lstm_mpc.model.lstm import GATES, Sizes
from lstm_mpc.plants.system import Array

_PLAIN = ("-std=c11", "-O3", "-ffp-contract=fast")
_FLAGS = ((*_PLAIN, "-DVERSIONS"), _PLAIN)  # where the compiler knows no versions of a function


class Kernel:
    """Simulation of records `inputs`, (N, nu) each, and the Jacobian of their outputs, for networks
    of one shape."""

    def __init__(self, sizes: Sizes, inputs: Sequence[Array], library: ctypes.CDLL) -> None:
        self._library, self._sizes = library, sizes
        self._plan = np.array(_plan(sizes), dtype=np.int64)
        self._u = [np.ascontiguousarray(u) for u in inputs]
        self._states = [np.empty((len(u) + 1, sizes.n)) for u in self._u]
        self._activations = [np.empty((len(u), 5 * sum(sizes.nx))) for u in self._u]

    def simulate(self, theta: Array, starts: Array) -> list[Array]:
        """The outputs (N, ny) of every record from its start (n,)."""
        outputs = []
        for u, states, activations, start in zip(
            self._u, self._states, self._activations, starts, strict=True
        ):
            y = np.empty((len(u), self._sizes.ny))
            states[0] = start
            arrays = map(_at, (u, states, activations, y))
            self._library.simulate(_at(self._plan), _at(theta), _count(len(u)), *arrays)
            outputs.append(y)
        return outputs

    def jacobian(self, theta: Array, roots: Sequence[Array]) -> Array:
        """∂(root·y)/∂[θ; starts] of the records as they were simulated last, (Σ N·ny, size)."""
        n, p, ny = self._sizes.n, self._sizes.parameters, self._sizes.ny
        J = np.zeros((sum(len(u) for u in self._u) * ny, p + n * len(self._u)))
        row = 0
        for number, (u, states, activations, root) in enumerate(
            zip(self._u, self._states, self._activations, roots, strict=True)
        ):
            rows = J[row : row + len(u) * ny]
            arrays = map(_at, (u, states, activations, root, rows))
            shape = map(_count, (J.shape[1], p + number * n))
            if self._library.jacobian(_at(self._plan), _at(theta), _count(len(u)), *arrays, *shape):
                raise MemoryError
            row += len(u) * ny
        return J


def library() -> ctypes.CDLL | None:
    """The kernel compiled for this machine, or None where no compiler is."""
    source = resources.files("lstm_mpc.model").joinpath("c", "kernel.c")
    return shared_library(source.read_text(encoding="utf-8"), _FLAGS)


def _plan(sizes: Sizes) -> list[int]:
    """The shape and the places of all parameters in θ, as the C reads them."""
    place = {name: where.start for name, where in sizes.slices.items()}
    plan = [sizes.nu, sizes.ny, sizes.parameters, place["C"], place["b_y"], len(sizes.nx)]
    for number, nx in enumerate(sizes.nx):
        plan += [nx, *(place[f"{number}.{kind}_{g}"] for kind in "WUb" for g in GATES)]
    return plan


def _at(array: Array | np.ndarray[tuple[int], np.dtype[np.int64]]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _count(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)
