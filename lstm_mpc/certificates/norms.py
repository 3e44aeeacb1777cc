"""The norms that stability conditions are built from, on symbols and on numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import casadi as ca
import numpy as np

from lstm_mpc.model import lstm
from lstm_mpc.plants.system import Array


class Norm(Protocol):
    """What a condition may ask; columns are CasADi (n, 1)."""

    def absolute(self, layer: lstm.Layer, name: str) -> Any:
        """An entrywise upper bound of |M| for the parameter `name` of `layer`."""

    def largest(self, v: Any) -> Any:
        """An upper bound of the entries of v."""

    def spectral(self, layer: lstm.Layer, name: str) -> Any:
        """An upper bound of ‖M‖₂."""

    def positive(self, matrix: Any) -> Any:
        """A vector v > 0, to be chosen so that (matrix·v)/v is small in every entry."""


# -- exact norms, on symbols -----------------------------------------------------------------------


class Exact:
    """The norms themselves. What algebra cannot give in closed form, v and ‖M‖₂, is a witness: a
    number that is found outside and checked inside, ‖M‖₂ ≤ t by the pivots of t²I − MᵀM."""

    def __init__(self) -> None:
        # symbol, matrix, how to find its value
        self.witnesses: list[tuple[Any, Any, Callable[[Array], Array]]] = []
        self.checks: list[tuple[str, Any]] = []  # further quantities that must lie below 1

    def absolute(self, layer: lstm.Layer, name: str) -> Any:
        return ca.fabs(getattr(layer, name))

    def largest(self, v: Any) -> Any:
        return ca.mmax(v)

    def spectral(self, layer: lstm.Layer, name: str) -> Any:
        M, t = getattr(layer, name), ca.SX.sym("t")
        self.witnesses.append((t, M, spectral_witness))
        self.checks += [
            (f"1 − pivot {j + 1} of t²I − {name}ᵀ{name}", 1 - d) for j, d in enumerate(pivots(M, t))
        ]
        return t

    def positive(self, matrix: Any) -> Any:
        v = ca.SX.sym("v", matrix.shape[0])
        self.witnesses.append((v, matrix, positive_witness))
        return v


class Numbers(Exact):
    """Exact norms on numbers, for what is reported beside the verdict."""

    def absolute(self, layer: lstm.Layer, name: str) -> Any:
        return ca.fabs(ca.DM(getattr(layer, name)))


def pivots(M: Any, t: Any) -> list[Any]:
    """The pivots of LDLᵀ of I − MᵀM/t²; all positive exactly when ‖M‖₂ < t."""
    S = ca.SX.eye(M.shape[1]) - ca.mtimes(M.T, M) / (t * t)
    found = []
    for _ in range(S.shape[0]):
        found.append(S[0, 0])
        S = S[1:, 1:] - ca.mtimes(S[1:, :1], S[:1, 1:]) / S[0, 0]
    return found


def spectral_witness(M: Array) -> Array:
    """A t a little above ‖M‖₂, so that the pivots are positive beyond round-off, and with t rounded
    to eight digits."""
    return np.array([np.linalg.norm(M, 2) * (1 + 1e-7) + 1e-12])


def positive_witness(matrix: Array) -> Array:
    """v > 0, largest entry 1, with (matrix·v)/v nearly constant: the resolvent just beyond the
    spectral radius applied to ones."""
    rho = float(np.abs(np.linalg.eigvals(matrix)).max())
    beyond = rho + 1e-4 * max(abs(1 - rho), 1e-4)
    v = np.linalg.solve(np.eye(len(matrix)) - matrix / beyond, np.ones(len(matrix)))
    return np.asarray(v / v.max(), dtype=np.float64)
