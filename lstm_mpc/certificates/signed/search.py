"""The search for a witness of the signed condition: from absolute values to a full P, then more
cells.

Nothing found here is believed; `signed` proves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from lstm_mpc.certificates.rigorous import Box
from lstm_mpc.certificates.signed.invariant_box import invariant
from lstm_mpc.certificates.signed.solver import Point, Search
from lstm_mpc.certificates.signed.witness import (
    QuadraticForm,
    Rows,
    Witness,
    cells_of,
    even_edges,
    slopes,
)
from lstm_mpc.model import lstm
from lstm_mpc.plants.system import Array

Indices = NDArray[np.intp]
PIECES = 32  # of the inputs for the box of states
CELLS = (1, 4, 16)  # about as many cells of the inputs, one after the other
HOPELESS = 1.05  # a rate that more cells have not been seen to bring below 1


def comparison_point(layer: lstm.Layer, d: Box, *, room: float = 1e-3) -> Point:
    """The witness that absolute values alone give, for |d| ≤ H, the largest of |l|, |h| over the
    cells.

    Let A be the nonnegative comparison matrix of H and |U|, A v = ρ v, Aᵀw = ρ w, and p* the
    signals p at v. Then P = diag(w/v) with τ_j = ρ y_j/p*_j, y the sensitivity of wᵀZ₊ to p_j,
    proves the rate ρ for every sign of every slope, by Cauchy and Schwarz: (Σ p_j)² ≤ (Σ
    p_j²/p*_j) Σ p*_j in every sum. Everything is widened by the share `room`, so that F is
    positive definite.
    """
    n = layer.nx
    H = np.maximum(np.abs(d.low), np.abs(d.high)).max(axis=1) * (1 + room) + room * 1e-3
    f, xf, ci, ic, ot, to = H.reshape(6, n)
    U = {g: np.abs(layer.gate(g)[1]) + 1e-6 for g in lstm.GATES}
    R = xf[:, None] * U["f"] + ci[:, None] * U["i"] + ic[:, None] * U["c"]
    A = np.block([[np.diag(f), R], [np.diag(ot * f), ot[:, None] * R + to[:, None] * U["o"]]])
    rho, v, w = _perron(A)
    p = [f * v[:n], xf * (U["f"] @ v[n:]), ci * (U["i"] @ v[n:]), ic * (U["c"] @ v[n:])]
    p += [ot * np.sum(p, axis=0), to * (U["o"] @ v[n:])]
    y = [(w[:n] + ot * w[n:]) * (1 + 2 * room)] * 4 + [w[n:] * (1 + room)] * 2
    tau = rho * np.concatenate(y) / np.concatenate(p)
    scale = 2 * n / (w / v).sum()
    every = np.zeros(d.low.shape[1], dtype=np.intp)
    wide = Box(-H[:, None], H[:, None])
    return Point(np.diag(w / v) * scale, within(tau[None, :] * scale, wide, every, d))


def within(tau: Array, wide: Box, parents: Indices, d: Box) -> Array:
    """Multipliers for cells with slopes `d`, each within those of its parent cell: they prove
    whatever `tau` proves of the parents.

    With [l, h] = m ± r inside M ± R, r ≤ R − |m − M|, and τ R/(R − |m − M|) times (p − l q)(h q −
    p) is at most τ times that of the parent, for every p and q.
    """
    M, R = (wide.low + wide.high).T[parents] / 2, (wide.high - wide.low).T[parents] / 2
    share = np.abs((d.low + d.high).T / 2 - M) / np.maximum(R, 1e-300)
    multipliers: Array = tau[parents] / np.maximum(1 - share, 1e-3)
    return multipliers


def _perron(A: Array) -> tuple[float, Array, Array]:
    """ρ(A) of a positive matrix, with its right and left eigenvectors."""
    vectors = []
    for M in (A, A.T):
        values, columns = np.linalg.eig(M)
        k = int(np.argmax(values.real))
        v = np.abs(columns[:, k].real)
        vectors.append(np.maximum(v / v.max(), 1e-9))
    return float(values[k].real), vectors[0], vectors[1]


# -- the witness --------------------------------------------------------------


@dataclass(frozen=True)
class Attempt:
    """The best witness that the search found, and the rate of every layer [floating point]; below
    1 in all, it is worth a proof.

    `witness` is None where no box holds the states or no multipliers prove any rate.
    """

    witness: Witness | None
    rates: tuple[float, ...]


@dataclass(frozen=True)
class _Grid:
    """What the search has for one set of cells: per layer the slopes, the point and its rate."""

    edges: Rows
    slopes: tuple[Box, ...]
    points: tuple[Point, ...]
    rates: tuple[float, ...]


def search(network: lstm.Network, radius: float) -> Attempt:
    """The best witness for |u| ≤ `radius`, with the inputs in 1, then about 4, and where that is
    not enough about 16 cells."""
    fine = even_edges(network.nu, radius, max(1, round(PIECES ** (1 / network.nu))))
    try:
        chi = invariant(network, cells_of(fine))
    except ArithmeticError:
        return Attempt(None, (np.inf,) * len(network.layers))
    grid: _Grid | None = None
    with threadpool_limits(1, user_api="blas"):  # the matrices are too small to be shared
        for edges in _grids(network.nu, radius):
            grid = _solve(network, chi, edges, grid)
            if max(grid.rates) > HOPELESS or (len(edges[0]) > 2 and max(grid.rates) < 1):
                break
    assert grid is not None
    if not np.isfinite(grid.rates).all():
        return Attempt(None, grid.rates)
    forms = tuple(
        _form(Search(layer, d), point)
        for layer, d, point in zip(network.layers, grid.slopes, grid.points, strict=True)
    )
    box = tuple(zip(chi.low[:, 0].tolist(), chi.high[:, 0].tolist(), strict=True))
    return Attempt(Witness(box, fine, grid.edges, forms), tuple(form.rate for form in forms))


def _solve(network: lstm.Network, chi: Box, edges: Rows, coarser: _Grid | None) -> _Grid:
    """Every layer's least rate in the cells of `edges`, from the better of two starts: what
    absolute values give, and what the coarser cells gave."""
    cells = cells_of(edges)
    bounds, points, rates = slopes(network, chi, cells), [], []
    for number, (layer, d) in enumerate(zip(network.layers, bounds, strict=True)):
        search = Search(layer, d)
        starts = [comparison_point(layer, d)]
        if coarser is not None:
            point, wide = coarser.points[number], coarser.slopes[number]
            parents = _parents(cells, cells_of(coarser.edges))
            starts.append(Point(point.P, within(point.tau, wide, parents, d)))
        tops = [search.rates(start).max() for start in starts]
        rate, point = search.least(starts[int(np.argmin(tops))])
        rates.append(rate)
        points.append(point)
    return _Grid(edges, tuple(bounds), tuple(points), tuple(rates))


def _form(search: Search, point: Point) -> QuadraticForm:
    """`point` in eight digits, and the rate it then has, a little above the least, so that the
    proof has room."""
    P, tau = _digits((point.P + point.P.T) / 2), _digits(point.tau)
    rate = np.sqrt(search.rates(Point(P, tau)).max())
    rate = np.ceil(1e8 * (rate + 1e-6 * max(abs(1 - rate), 0.01))) / 1e8
    return QuadraticForm(
        float(rate), tuple(map(tuple, P.tolist())), tuple(map(tuple, tau.tolist()))
    )


def _digits(M: Array) -> Array:
    return np.array([float(f"{m:.7e}") for m in M.ravel()]).reshape(M.shape)


def _grids(nu: int, radius: float) -> Iterator[Rows]:
    """Edges of 1, about 4 and about 16 cells of nu inputs, each grid within the one before."""
    last = 0
    for count in CELLS:
        each = 2 ** round(np.log2(count) / nu)
        if each > last:
            yield even_edges(nu, radius, each)
        last = each


def _parents(cells: Box, wide: Box) -> Indices:
    """The column of `wide` that holds each cell."""
    middle = (cells.low + cells.high) / 2
    holds = (
        (wide.low[:, None, :] <= middle[:, :, None]) & (middle[:, :, None] <= wide.high[:, None, :])
    ).all(axis=0)
    columns: Indices = np.argmax(holds, axis=1)
    return columns


# -- why it may fail ----------------------------------------------------------


def sampled_radius(network: lstm.Network, radius: float, *, steps: int = 2000) -> float:
    """The largest spectral radius of a layer's Jacobian on one trajectory with inputs that change
    at random, the same for every call.

    No quadratic form contracts faster than this: at 1 and beyond there is no witness, whatever P
    and the cells.
    """
    draw = np.random.default_rng(0)
    state = [(np.zeros(nx), np.zeros(nx)) for nx in network.nx]
    u, largest = np.zeros(network.nu), 0.0
    for k in range(steps):
        if draw.random() < 0.1:
            u = draw.uniform(-radius, radius, network.nu)
            u = radius * np.sign(u) if draw.random() < 0.3 else u
        below, after = u, []
        for layer, (x, xi) in zip(network.layers, state, strict=True):
            x_next, xi_next, J = _jacobian(layer, below, x, xi)
            if k % 10 == 0:
                largest = max(largest, float(np.abs(np.linalg.eigvals(J)).max()))
            below = xi_next
            after.append((x_next, xi_next))
        state = after
    return largest


def _jacobian(layer: lstm.Layer, v: Array, x: Array, xi: Array) -> tuple[Array, Array, Array]:
    """x⁺, ξ⁺ and their derivative with respect to (x, ξ)."""
    z = {g: W @ v + U @ xi + b[:, 0] for g, (W, U, b) in ((g, layer.gate(g)) for g in lstm.GATES)}
    f, i, o = (lstm.sigmoid(z[g]) for g in "fio")
    c = np.tanh(z["c"])
    x_next = f * x + i * c
    t = np.tanh(x_next)
    upper = np.hstack(
        [
            np.diag(f),
            (x * f * (1 - f))[:, None] * layer.U_f
            + (c * i * (1 - i))[:, None] * layer.U_i
            + (i * (1 - c * c))[:, None] * layer.U_c,
        ]
    )
    lower = (o * (1 - t * t))[:, None] * upper
    lower[:, layer.nx :] += (t * o * (1 - o))[:, None] * layer.U_o
    return x_next, o * t, np.vstack([upper, lower])
