"""Incremental stability that keeps signs: one quadratic form that shrinks along every pair of
runs, proved from a witness.

Along the segment between two states of a layer that receive one input v, with δx, δξ their
difference,

    q = (δx, U_f δξ, U_i δξ, U_c δξ, p₁+p₂+p₃+p₄, U_o δξ),   p = d∘q
    d = (f, x f′, c i′, i c′, o tanh′(x⁺), tanh(x⁺) o′)
    δx⁺ = p₁+p₂+p₃+p₄,   δξ⁺ = p₅+p₆

Every slope d_j lies in some [l_j, h_j] over a cell of inputs and the box X of states, so that
(p_j − l_j q_j)(h_j q_j − p_j) ≥ 0. If

    F = λ² ZᵀPZ − Z₊ᵀPZ₊ − Σ_j τ_j sym((p_j − l_j q_j)(h_j q_j − p_j)ᵀ) ≻ 0
    with Z = (δx, δξ), Z₊ = (δx⁺, δξ⁺), τ ≥ 0

in every cell with one P ≻ 0, the derivative of the step is a contraction of |·|_P at every point
of X, and since X is convex so is the step: |Δχ⁺|_P ≤ λ|Δχ|_P (integrate along the segment). X is
mapped into itself, and every trajectory enters it for good in finite time: while ξ stays in Ξ and
the input in V, x⁺ = f x + i c draws x into the interval of the fixed points (`settled`), then ξ⁺
= o tanh(x⁺) lies in a smaller Ξ, and so on.

Layers compose as in `conditions`: with inputs that differ by Δv, |Δχ⁺|_P ≤ λ|Δχ|_P + g|Δv| for a
finite g, since the step is smooth and X compact. The stack is block triangular with the λ's of
the layers on its diagonal; its rate is the largest. The input of layer ℓ+1 is ξ⁺ of layer ℓ, in
the box that the cell gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from lstm_mpc.certificates.reachability import gates, layer_boxes
from lstm_mpc.certificates.rigorous import EPS, TINY, Box, dominance, plus, rising, slope, times
from lstm_mpc.certificates.signed.invariant_box import entry, invariance
from lstm_mpc.errors import InputError
from lstm_mpc.model import lstm
from lstm_mpc.plants.system import Array

Rows = tuple[tuple[float, ...], ...]
CELLS = 4096  # of the inputs at most


@dataclass(frozen=True)
class QuadraticForm:
    """What proves one layer: the rate λ, P (2nx, 2nx) and the multipliers τ (cells, 6nx)."""

    rate: float
    P: Rows
    tau: Rows


@dataclass(frozen=True)
class Witness:
    """What proves the condition: `box`, low and high of every state (n, 2), entered and mapped
    into itself with the inputs cut at the edges `fine`; `edges` of the cells; and the form of
    every layer.

    Edges are one rising list per input [normalised]; the cells are the products of their
    intervals, the last input running fastest.
    """

    box: Rows
    fine: Rows
    edges: Rows
    forms: tuple[QuadraticForm, ...]

    def check_shapes(self, network: lstm.Network, radius: float) -> None:
        """InputError when the witness cannot be one of this network at this radius."""
        if len(self.forms) != len(network.layers):
            raise InputError(
                f"the witness has {len(self.forms)} forms, the network {len(network.layers)} layers"
            )
        _check_edges("fine", self.fine, network.nu, radius)
        cells = _check_edges("edges", self.edges, network.nu, radius)
        _check_rows("box", self.box, (network.n, 2))
        for layer, form in zip(network.layers, self.forms, strict=True):
            _check_rows("P", form.P, (2 * layer.nx, 2 * layer.nx))
            _check_rows("tau", form.tau, (cells, 6 * layer.nx))


def _check_rows(name: str, rows: Rows, shape: tuple[int, int]) -> None:
    fits = len(rows) == shape[0] and all(len(row) == shape[1] for row in rows)
    if not fits or not np.isfinite(np.array(rows)).all():
        raise InputError(f"{name} of the witness must be finite numbers, {shape[0]}×{shape[1]}")


def _check_edges(name: str, edges: Rows, nu: int, radius: float) -> int:
    """The number of cells."""
    if len(edges) != nu:
        raise InputError(f"{name} of the witness must be {nu} list(s), one for each input")
    for cut in edges:
        covers = len(cut) > 1 and cut[0] <= -radius and radius <= cut[-1]
        if not covers or not all(a < b for a, b in pairwise(cut)):
            raise InputError(
                f"{name} of the witness must rise from −{radius:g} or less to {radius:g} or more,"
                f" got {list(cut)!s:.60}"
            )
    cells = int(np.prod([len(cut) - 1 for cut in edges]))
    if cells > CELLS:
        raise InputError(f"{name} of the witness make {cells} cells, more than {CELLS}")
    return cells


def even_edges(nu: int, radius: float, each: int) -> Rows:
    """[−radius, radius] cut into `each` equal intervals, for every input."""
    edges = np.linspace(-radius, radius, each + 1)
    edges[-1] = radius
    return (tuple(edges.tolist()),) * nu


def cells_of(edges: Sequence[Sequence[float]]) -> Box:
    """The products of the intervals between `edges`, one cell a column."""
    cells = np.array(list(product(*(list(pairwise(e)) for e in edges))))  # (cells, nu, 2)
    return Box(cells[:, :, 0].T.copy(), cells[:, :, 1].T.copy())


# -- the matrices F -----------------------------------------------------------


@dataclass(frozen=True)
class Signals:
    """Z, Z₊ (2nx rows) and q, p (6nx rows) as linear maps of (δx, δξ, p₁, …, p₆), 8nx columns."""

    Z: Array
    Z_next: Array
    q: Array
    p: Array

    @staticmethod
    def of(layer: lstm.Layer) -> Signals:
        n = layer.nx
        unit = np.eye(8 * n)
        x, xi, p = unit[:n], unit[n : 2 * n], unit[2 * n :]
        x_next, xi_next = (
            p[: 4 * n].reshape(4, n, 8 * n).sum(axis=0),
            p[4 * n :].reshape(2, n, 8 * n).sum(axis=0),
        )
        through = {
            g: np.hstack([np.zeros((n, n)), layer.gate(g)[1], np.zeros((n, 6 * n))])
            for g in lstm.GATES
        }
        q = np.vstack([x, through["f"], through["i"], through["c"], x_next, through["o"]])
        return Signals(np.vstack([x, xi]), np.vstack([x_next, xi_next]), q, p)


def slopes(network: lstm.Network, chi: Box, u: Box) -> list[Box]:
    """[l, h] of the slopes d of every layer, (6nx, cells), over the box χ (n, 1) and the cells of
    inputs `u` (nu, cells).

    χ must be mapped into itself: χ⁺ is taken to lie in it.
    """
    below, found = u, []
    for layer, (x, xi) in zip(network.layers, layer_boxes(network, chi), strict=True):
        act = gates(layer, below, xi)
        x_next = plus(times(act["f"], x), times(act["i"], act["c"])).meet(x)
        t = rising("tanh", x_next)
        f, i, o, c = (act[g] for g in "fioc")
        parts = [
            f,
            times(x, slope("sigmoid", f)),
            times(c, slope("sigmoid", i)),
            times(i, slope("tanh", c)),
            times(o, slope("tanh", t)),
            times(t, slope("sigmoid", o)),
        ]
        found.append(Box(np.vstack([b.low for b in parts]), np.vstack([b.high for b in parts])))
        below = times(o, t)
    return found


def matrices(signals: Signals, d: Box, form: QuadraticForm) -> tuple[Array, Array]:
    """F of every cell, (cells, 8nx, 8nx), and a bound of its rounding."""
    Z, Z_next, q, p = signals.Z, signals.Z_next, signals.q, signals.p
    P, tau, low, high = np.array(form.P), np.array(form.tau), d.low.T, d.high.T
    square = form.rate**2
    mixed = np.einsum("kj,ja,jb->kab", tau * (low + high) / 2, p, q)
    F = square * (Z.T @ P @ Z) - Z_next.T @ P @ Z_next - mixed - np.swapaxes(mixed, -1, -2)
    F = (
        F
        + np.einsum("kj,ja,jb->kab", tau, p, p)
        + np.einsum("kj,ja,jb->kab", tau * low * high, q, q)
    )
    mixed = np.einsum("kj,ja,jb->kab", tau * (np.abs(low) + np.abs(high)) / 2, p, np.abs(q))
    size = (
        square * (Z.T @ np.abs(P) @ Z)
        + Z_next.T @ np.abs(P) @ Z_next
        + mixed
        + np.swapaxes(mixed, -1, -2)
    )
    size = (
        size
        + np.einsum("kj,ja,jb->kab", tau, p, p)
        + np.einsum("kj,ja,jb->kab", tau * np.abs(low * high), np.abs(q), np.abs(q))
    )
    return (F + np.swapaxes(F, -1, -2)) / 2, 8 * (len(q) + 2 * len(Z)) * EPS * size + TINY


def prove(
    network: lstm.Network, witness: Witness, radius: float
) -> list[tuple[int, str, float, bool]]:
    """(layer from 1, name, value, whether it checks the witness): the condition is proved when
    every value lies below 1.

    What a witness claims is decided here from the network's numbers alone, rounded outwards.
    """
    witness.check_shapes(network, radius)
    ends = np.array(witness.box)
    chi, v = Box(ends[:, :1], ends[:, 1:]), cells_of(witness.fine)
    lines = [
        (1, "χ⁺ in half widths of X", invariance(network, chi, v), True),
        (1, "entry into X", entry(network, chi, v), True),
    ]
    u = cells_of(witness.edges)
    for number, (layer, d, form) in enumerate(
        zip(network.layers, slopes(network, chi, u), witness.forms, strict=True)
    ):
        P = np.array(form.P)
        sound = (np.array(form.tau) >= 0).all() and np.array_equal(P, P.T) and form.rate > 0
        lines.append((number + 1, "λ", form.rate, False))
        lines.append(
            (number + 1, "P ≻ 0", dominance(P, np.zeros_like(P)) if sound else float("inf"), True)
        )
        F, radii = matrices(Signals.of(layer), d, form)
        lines.append(
            (
                number + 1,
                f"F ≻ 0 in {len(F)} cell(s)",
                dominance(F, radii) if sound else float("inf"),
                True,
            )
        )
    return lines
