"""How far two runs of a network part in one step when their inputs differ: |Δχ⁺| ≤ A|Δχ| + B|Δv|,
entrywise.

A is Â of `conditions.delta_iss`; B is made alike. With gates at most F, I, O, C and |x| ≤ x̄,
    |Δx⁺| ≤ F|Δx| + R(U)|Δξ| + R(W)|Δv|,  R(M) = ¼ diag(x̄)|M_f| + I|M_c| + ¼ diag(C)|M_i|
    |Δξ⁺| ≤ O|Δx⁺| + ¼ diag(tanh x̄)(|U_o||Δξ| + |W_o||Δv|)
and Δv of a layer above is Δξ⁺ of the one below. Every entry is rounded up, so that what the two
matrices bound they bound in exact arithmetic.
"""

from __future__ import annotations

import numpy as np

from lstm_mpc.certificates.conditions import layer_radius
from lstm_mpc.certificates.reachability import largest_gates
from lstm_mpc.certificates.rigorous import EPS
from lstm_mpc.model import lstm
from lstm_mpc.plants.system import Array

DIGITS = 8  # of what is saved


def input_comparison(network: lstm.Network, radius: float) -> tuple[Array, Array]:
    """A (n, n) and B (n, nu) for |v| ≤ `radius` and states in the set that no trajectory leaves,
    |x| ≤ x̄ and |ξ| ≤ 1; rounded up to eight digits."""
    n, nu, at = network.n, network.nu, 0
    rows = np.zeros((n, n + nu))
    below = np.hstack([np.zeros((nu, n)), np.eye(nu)])  # |Δ| of the layer's inputs
    for number, layer in enumerate(network.layers):
        nx, top = layer.nx, largest_gates(layer, layer_radius(number, radius))
        f, i, o, c, x_bar = (top[name][:, 0] for name in (*"fioc", "x_bar"))
        x, xi = np.eye(nx, n + nu, k=at), np.eye(nx, n + nu, k=at + nx)
        through = {
            g: np.abs(U) @ xi + np.abs(W) @ below
            for g, (W, U, _) in ((g, layer.gate(g)) for g in lstm.GATES)
        }
        x_next = (
            f[:, None] * x
            + 0.25 * x_bar[:, None] * through["f"]
            + i[:, None] * through["c"]
            + 0.25 * c[:, None] * through["i"]
        )
        # tanh x̄ ≤ min(1, x̄), and NumPy's tanh errs by less than the rounding up
        slope = 0.25 * np.tanh(x_bar)[:, None] * (1 + 16 * EPS)
        below = o[:, None] * x_next + slope * through["o"]
        rows[at : at + nx], rows[at + nx : at + 2 * nx] = x_next, below
        at += 2 * nx
    # sums and products of nonnegative numbers: their rounding is a share of the result
    rows = rounded_up(rows * (1 + 16 * (n + nu) * len(network.layers) * EPS))
    return rows[:, :n], rows[:, n:]


def rounded_up(values: Array) -> Array:
    """The least numbers of eight digits that are not below `values` ≥ 0."""
    given = np.asarray(values, dtype=np.float64)
    flat = [_above(v) for v in given.ravel().tolist()]
    return np.array(flat).reshape(given.shape)


def _above(value: float) -> float:
    near = float(f"{value:.{DIGITS - 1}e}")
    if near >= value:
        return near
    unit = 10.0 ** (int(f"{value:e}".split("e")[1]) - DIGITS + 1)
    return float(f"{near + unit:.{DIGITS - 1}e}")
