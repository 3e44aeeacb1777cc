"""Weights d of a quadratic V = zᵀ diag(d) z that falls along |z⁺| ≤ M|z| by no less than a stage
cost, and by a share of itself: (1 − decay) diag(d) − Mᵀ diag(d) M ⪰ L.

For every sign of z, V(z⁺) ≤ |z|ᵀMᵀ diag(d) M|z| ≤ (1 − decay) V(z) − |z|ᵀL|z|. Weights exist
when ρ(M) < 1: with p, q > 0 the right and left eigenvectors of M, Schur's test gives
‖D^½ M D^-½‖₂ ≤ ρ for D = diag(q/p), and a multiple of it exceeds any L. Those are far too large;
the least ones, in the sense of Σ d_j σ_j² at a typical spread σ of z, are a semidefinite program in
d alone, which a barrier method solves. Nothing that is searched here is believed; `room` proves it.
"""

from __future__ import annotations

import numpy as np

from lstm_mpc.certificates.decrease.comparison import rounded_up
from lstm_mpc.certificates.rigorous import EPS, TINY, dominance
from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array

_GAP = 1e-4  # share by which the weights may exceed the least ones
_NEWTON = 60  # steps towards one centre
_ROOM = 2e-4  # share that is added for the proof


def schur_weights(M: Array, L: Array) -> Array:
    """Weights by hand: a multiple of q/p, for M ≥ 0 with ρ(M) < 1 and L ≥ 0, each (m, m)."""
    size = len(M)
    wide = M + 1e-9 * max(1.0, float(M.max()))  # all entries positive: p and q are
    rho = float(np.abs(np.linalg.eigvals(wide)).max())
    if not rho < 1:
        raise InputError(
            f"terminal: the comparison matrix has the spectral radius {rho:.6g}, not below 1; a"
            " terminal cost needs a model on which delta_iss holds"
        )
    solve = [
        np.linalg.solve(np.eye(size) - A / (rho + 1e-6), np.ones(size)) for A in (wide, wide.T)
    ]
    d = np.asarray(solve[1] / solve[0])
    root = np.linalg.inv(np.linalg.cholesky(np.diag(d) - M.T @ (d[:, None] * M)))
    return d * (float(np.linalg.eigvalsh(root @ L @ root.T).max()) * 1.01 + TINY)


def least_weights(M: Array, L: Array, spread: Array, *, decay: float = 0.0) -> Array:
    """The weights (m,) of least Σ d_j spread_j², and a little more so that there is room for a
    proof; those by hand where the search fails. Of eight digits."""
    sought, stage = M / np.sqrt(1.0 - decay), L / (1.0 - decay)
    start = schur_weights(sought, stage)
    parts = np.array(
        [np.outer(e, e) - np.outer(row, row) for e, row in zip(np.eye(len(M)), sought, strict=True)]
    )
    cost = np.asarray(spread, dtype=np.float64) ** 2
    try:
        best = _barrier(parts, stage, cost, start)
    except np.linalg.LinAlgError:
        best = start
    for d in (best * (1 + _ROOM), start):
        held = rounded_up(d)
        if room(M, held, L, decay=decay) < 1:
            return held
    return rounded_up(start * (1 + _ROOM))


def _barrier(parts: Array, L: Array, cost: Array, d: Array) -> Array:
    """Minimise cost·d subject to Σ d_j parts_j ⪰ L, by Newton's method on centres."""
    m = len(d)
    d = 1.2 * d
    t = m / float(cost @ d)
    while m / t > _GAP * float(cost @ d):
        for _ in range(_NEWTON):
            G = np.linalg.inv(np.tensordot(d, parts, 1) - L) @ parts
            gradient = t * cost - np.trace(G, axis1=1, axis2=2)
            H = np.einsum("iab,jba->ij", G, G)
            scale = np.sqrt(np.diag(H))
            step = -np.linalg.solve(H / scale[:, None] / scale, gradient / scale) / scale
            decrement = float(-gradient @ step)
            if not decrement > 1e-6:
                break
            before, length = _centred(parts, L, cost, d, t), 1.0
            while (
                _centred(parts, L, cost, d + length * step, t) > before - 0.1 * length * decrement
            ):
                length *= 0.5
                if length < 1e-9:
                    return d
            d = d + length * step
        t *= 5.0
    return d


def _centred(parts: Array, L: Array, cost: Array, d: Array, t: float) -> float:
    if (d <= 0).any():
        return np.inf
    try:
        factor = np.linalg.cholesky(np.tensordot(d, parts, 1) - L)
    except np.linalg.LinAlgError:
        return np.inf
    return float(t * (cost @ d) - 2 * np.log(np.diag(factor)).sum())


def room(M: Array, d: Array, L: Array, *, decay: float = 0.0) -> float:
    """Below 1 only if (1 − decay) diag(d) − Mᵀ diag(d) M − L ≻ 0 for these very numbers, in exact
    arithmetic; L ≥ 0 may lie a relative rounding of its sums off."""
    if not ((d > 0).all() and (M >= 0).all() and (L >= 0).all()):
        return float("inf")
    inner = M.T @ (d[:, None] * M)
    middle = (1.0 - decay) * np.diag(d) - inner - L
    rounding = 8 * (len(M) + 4) * EPS * (np.diag(d) + inner + 4 * L) + TINY
    return dominance((middle + middle.T) / 2, rounding)
