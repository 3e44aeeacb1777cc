"""The semidefinite program behind the signed condition: a generalised eigenvalue problem, by a
method of centres with NumPy alone.

Nothing found here is believed; `signed` proves it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_mpc.certificates.rigorous import Box
from lstm_mpc.certificates.signed.witness import Signals
from lstm_mpc.model import lstm
from lstm_mpc.plants.system import Array

_FULL = 12  # cells up to which P is full; beyond, P couples x_j and ξ_j only
_NEWTON = 25  # steps towards one centre
_OUTER = 40  # centres
_MULTIPLIER_COST = 1e-2  # linear, of τ: that of a slope known exactly would grow without bound


@dataclass(frozen=True)
class Point:
    """P (2nx, 2nx) and the multipliers τ (cells, 6nx)."""

    P: Array
    tau: Array


class Search:
    """Least λ with P ≻ 0, τ > 0 and F ≻ 0 in every cell, for the slopes `d` of one layer."""

    def __init__(self, layer: lstm.Layer, d: Box) -> None:
        signals, low, high = Signals.of(layer), d.low.T[:, :, None], d.high.T[:, :, None]
        self._Z, self._next = signals.Z, signals.Z_next
        self._a, self._b = (
            signals.p - low * signals.q,
            high * signals.q - signals.p,
        )  # (cells, 6nx, 8nx)
        self.cells, self._k = len(low), len(self._Z)
        n = layer.nx
        pairs = [
            (i, j) for i in range(2 * n) for j in range(i, 2 * n) if n <= _FULL or j - i in (0, n)
        ]
        self._i, self._j = np.array(pairs).T
        self._half = np.where(self._i == self._j, 0.5, 1.0)
        self._barriers = self.cells * 14 * n
        self._share = 4.0 * self._barriers / self._k  # weight of log det V
        self._trace = (self._barriers + self._k * (1 + self._share)) / self._k

    def rates(self, point: Point) -> Array:
        """The least λ² at which `point` proves each cell, +inf where none does."""
        k, rates = self._k, np.full(self.cells, np.inf)
        root = np.linalg.inv(np.linalg.cholesky(point.P))
        for cell, N in enumerate(self._rest(point.P, point.tau)):
            try:
                below = np.linalg.solve(np.linalg.cholesky(-N[k:, k:]), N[k:, :k])
            except np.linalg.LinAlgError:
                continue
            rates[cell] = np.linalg.eigvalsh(root @ (N[:k, :k] + below.T @ below) @ root.T).max()
        return rates

    def least(self, start: Point, *, target: float = 0.0, gap: float = 1e-4) -> tuple[float, Point]:
        """The least λ found from `start`, and its point; ends below `target`, or when three
        centres gained less than `gap`.

        V is what tP − V leaves of the room in λ² = t; each centre is followed by a step that
        takes nearly all of that room from t.
        """
        best, top = start, float(self.rates(start).max())
        if not np.isfinite(top):
            return np.inf, start
        P, tau = start.P, start.tau
        V, t = 0.15 * top * P, 1.3 * top
        history: list[float] = []
        for _ in range(_OUTER):
            P, tau, V = self._centre(P, tau, V, t)
            reached = float(self.rates(Point(P, tau)).max())
            history.append(np.sqrt(reached))
            if reached < top:
                top, best = reached, Point(P, tau)
            if np.sqrt(top) < target or (len(history) > 3 and history[-4] - history[-1] < gap):
                break
            room = 0.9 * float(np.linalg.eigvals(np.linalg.solve(P, V)).real.min())
            V, t = V - room * P, t - room
        return float(np.sqrt(top)), best

    def _rest(self, P: Array, tau: Array) -> Array:
        """λ²ZᵀPZ − F of every cell."""
        mixed = np.swapaxes(self._a * tau[:, :, None], 1, 2) @ self._b
        rest: Array = self._next.T @ P @ self._next + (mixed + np.swapaxes(mixed, 1, 2)) / 2
        return rest

    def _barrier(self, P: Array, tau: Array, V: Array, t: float) -> float:
        if (tau <= 0).any():
            return np.inf
        F = self._Z.T @ (t * P - V) @ self._Z - self._rest(P, tau)
        try:
            logs = [
                2 * np.log(np.diagonal(np.linalg.cholesky(M), axis1=-2, axis2=-1)).sum()
                for M in (F, P, V)
            ]
        except np.linalg.LinAlgError:
            return np.inf
        cost = self._trace * np.trace(P) + _MULTIPLIER_COST * tau.sum()
        return float(cost - logs[0] - logs[1] - self._share * logs[2] - np.log(tau).sum())

    def _centre(self, P: Array, tau: Array, V: Array, t: float) -> tuple[Array, Array, Array]:
        """Newton's method to the least barrier at t."""
        for _ in range(_NEWTON):
            dP, d_tau, dV, decrement = self._direction(P, tau, V, t)
            if not decrement > 0.25:
                break
            before, length = self._barrier(P, tau, V, t), 1.0
            falling = d_tau < 0
            if falling.any():
                length = min(length, 0.95 * float((tau[falling] / -d_tau[falling]).min()))
            while (
                self._barrier(P + length * dP, tau + length * d_tau, V + length * dV, t)
                > before - 0.05 * length * decrement
            ):
                length *= 0.6
                if length < 1e-6:
                    return P, tau, V
            P, tau, V = P + length * dP, tau + length * d_tau, V + length * dV
        return P, tau, V

    def _direction(
        self, P: Array, tau: Array, V: Array, t: float
    ) -> tuple[Array, Array, Array, float]:
        """The Newton step and its decrement, in the coordinates P = L(I + E)Lᵀ, V = R(I + S)Rᵀ,
        τ(1 + θ)."""
        L, R = np.linalg.cholesky(P), np.linalg.cholesky(V)
        ports = [L.T @ self._Z, L.T @ self._next, R.T @ self._Z]
        G = np.linalg.inv(self._Z.T @ (t * P - V) @ self._Z - self._rest(P, tau))
        G = (G + np.swapaxes(G, 1, 2)) / 2
        (ZZ, ZN, ZR), (_, NN, NR), (_, _, RR) = ([a @ G @ b.T for b in ports] for a in ports)
        unit = np.eye(self._k)
        g_P = (NN - t * ZZ).sum(axis=0) - unit + self._trace * L.T @ L
        g_V = RR.sum(axis=0) - self._share * unit
        g = np.concatenate([self._linear(g_P), self._linear(g_V)])
        one = self._square(unit[None], unit[None])
        crossed = self._square(ZN, _T(ZN))
        EE = t * t * self._square(ZZ, ZZ) - t * (crossed + crossed.T) + self._square(NN, NN) + one
        ES = self._square(NR, _T(NR)) - t * self._square(ZR, _T(ZR))
        shared = np.block([[EE, ES], [ES.T, self._square(RR, RR) + self._share * one]])
        aG, bG = self._a @ G, self._b @ G
        aa, bb, ab = aG @ _T(self._a), bG @ _T(self._b), aG @ _T(self._b)
        g_tau = tau * (np.diagonal(ab, axis1=1, axis2=2) + _MULTIPLIER_COST) - 1
        within_cell = (aa * bb + ab * _T(ab)) / 2 * tau[:, :, None] * tau[:, None, :] + np.eye(
            tau.shape[1]
        )
        from_a, from_b = [aG @ p.T for p in ports], [bG @ p.T for p in ports]
        Zq, Nq, Rq = (self._product(x, y) for x, y in zip(from_a, from_b, strict=True))
        mixed = np.concatenate([Nq - t * Zq, Rq], axis=2) * tau[:, :, None]
        solved = np.linalg.solve(within_cell, np.concatenate([mixed, g_tau[:, :, None]], axis=2))
        A = shared - np.tensordot(mixed, solved[:, :, :-1], ([0, 1], [0, 1]))
        r = np.tensordot(mixed, solved[:, :, -1], ([0, 1], [0, 1])) - g
        scale = np.sqrt(np.abs(np.diag(A))) + 1e-300
        step = (
            np.linalg.solve(A / scale[:, None] / scale + 1e-14 * np.eye(len(A)), r / scale) / scale
        )
        theta = -solved[:, :, -1] - solved[:, :, :-1] @ step
        decrement = -(g @ step + (g_tau * theta).sum())
        E, S = self._matrix(step[: len(self._i)]), self._matrix(step[len(self._i) :])
        return L @ E @ L.T, tau * theta, R @ S @ R.T, float(decrement)

    # E = Σ e_m (unit_i unit_jᵀ + unit_j unit_iᵀ)·half over the pairs (i, j) that P may have

    def _matrix(self, e: Array) -> Array:
        E = np.zeros((self._k, self._k))
        np.add.at(E, (self._i, self._j), e * self._half)
        np.add.at(E, (self._j, self._i), e * self._half)
        return E

    def _linear(self, M: Array) -> Array:
        """tr(E M) per coordinate, M symmetric."""
        product: Array = 2 * self._half * M[self._i, self._j]
        return product

    def _product(self, x: Array, y: Array) -> Array:
        """xᵀE y per coordinate."""
        i, j = self._i, self._j
        product: Array = self._half * (x[..., i] * y[..., j] + x[..., j] * y[..., i])
        return product

    def _square(self, A: Array, B: Array) -> Array:
        """tr(E A E′ B) per pair of coordinates, summed over the cells."""
        i, j = self._i, self._j

        def term(a: Array, b: Array, c: Array, e: Array) -> Array:
            entries: Array = np.einsum("zmn,znm->mn", A[:, a[:, None], b], B[:, c[:, None], e])
            return entries

        total = term(j, i, j, i) + term(j, j, i, i) + term(i, i, j, j) + term(i, j, i, j)
        return total * self._half[:, None] * self._half


def _T(M: Array) -> Array:
    return np.swapaxes(M, -1, -2)
