"""Where training starts: random weights, a linear model written as an LSTM, or weights that
somebody else trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstm_mpc.certificates.conditions import smallest_margin
from lstm_mpc.errors import InputError
from lstm_mpc.model import lstm
from lstm_mpc.plants.system import Array

_ORDER = 30  # lags of the autoregressive model that the linear start is reduced from
# largest |x| the linear model may reach: less needs a large C, more leaves the tangents of tanh and
# σ
_SMALL = 0.3


def random_start(sizes: lstm.Sizes, *, spread: float, forget_bias: float, seed: int) -> Array:
    """θ uniform in ±spread, forget biases at `forget_bias`."""
    theta = np.random.default_rng(seed).uniform(-spread, spread, sizes.parameters)
    for number in range(len(sizes.nx)):
        theta[sizes.slices[f"{number}.b_f"]] += forget_bias
    return theta


def given_start(
    network: lstm.Network,
    sizes: lstm.Sizes,
    *,
    conditions: Sequence[str],
    margin: float,
    radius: float,
    spread: float,
    seed: int,
) -> Array:
    """θ of a trained network. Seed 0 takes it as it is; the others, disturbed by ±spread, are
    pulled towards 0 until `conditions` hold.

    Far outside the conditions IPOPT may not find its way in, or lose what the weights knew: neither
    start is always the better one."""
    if lstm.sizes_of(network) != sizes:
        found = lstm.sizes_of(network)
        raise InputError(
            f"train: the network to start from is {found}, the design asks for {sizes}; set cells"
            " to its cells"
        )
    theta = lstm.pack(network)
    if seed == 0:
        return theta
    theta = theta + np.random.default_rng(seed).uniform(-spread, spread, theta.size)
    gates = np.arange(theta.size) < sizes.slices["C"].start

    def pulled(share: float) -> Array:
        return np.where(gates, share * theta, theta)

    def holds(share: float) -> bool:
        return smallest_margin(lstm.unpack(pulled(share), sizes), conditions, radius) > margin

    if holds(1.0):
        return theta
    low, high = 0.0, 1.0  # every quantity rises with every weight
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return pulled(low)


def linear_start(theta: Array, sizes: lstm.Sizes, records: Sequence[tuple[Array, Array]]) -> Array:
    """`theta` with its last layer made a linear model of the normalised `records` (u (N, nu), y (N,
    ny)); one layer only.

    Near the origin x⁺ = (F + I U_c O) x + I W_c u and y = C O x with F, I, O the gates at rest, so
    that U_c = (A − F)/(I O), W_c = B/I and C = C_lin/O realise any (A, B, C_lin). These come from a
    least-squares ARX model by the singular values of its Hankel matrix (Ho and Kalman 1966)."""
    if len(sizes.nx) != 1:
        raise InputError(
            f"train: start = 'linear' is for one layer, cells has {len(sizes.nx)}; use start ="
            " 'random'"
        )
    A, B, C = realise(markov(records, 2 * _ORDER), sizes.nx[0])
    reach = _SMALL / max(_largest_state(A, B, u) for u, _ in records)
    B, C = B * reach, C / reach
    theta = theta.copy()
    f, i, o = (1 / (1 + np.exp(-theta[sizes.slices[f"0.b_{g}"]])) for g in "fio")
    parts = {
        "0.U_c": (A - np.diag(f)) / (i[:, None] * o[None, :]),
        "0.W_c": B / i[:, None],
        "C": C / o[None, :],
    }
    for name, value in parts.items():
        theta[sizes.slices[name]] = value.ravel(order="F")
    return theta


def markov(records: Sequence[tuple[Array, Array]], count: int) -> Array:
    """The first `count` Markov parameters (count, ny, nu) of an ARX model of `records`, fitted by
    ridge least squares."""
    rows, targets = [], []
    for u, y in records:
        order = min(_ORDER, len(u) // 4)
        lagged = [
            np.hstack([y[_ORDER - k : len(y) - k], u[_ORDER - k : len(u) - k]])
            for k in range(1, order + 1)
        ]
        regressor = np.hstack(
            lagged + [np.zeros((len(y) - _ORDER, (_ORDER - order) * (u.shape[1] + y.shape[1])))]
        )
        # what was not measured is left out
        known = np.isfinite(np.hstack([regressor, y[_ORDER:]])).all(axis=1)
        rows.append(regressor[known])
        targets.append(y[_ORDER:][known])
    X, Y = np.vstack(rows), np.vstack(targets)
    ny, nu = Y.shape[1], records[0][0].shape[1]
    ridge = 1e-4 * len(X) * np.eye(X.shape[1])
    theta = np.linalg.solve(X.T @ X + ridge, X.T @ Y).reshape(_ORDER, ny + nu, ny)
    response = np.zeros((count, ny, nu))
    for k in range(count):
        if k < _ORDER:
            response[k] = theta[k, ny:].T
        for j in range(min(k, _ORDER)):
            response[k] += theta[j, :ny].T @ response[k - 1 - j]
    return response


def realise(response: Array, n: int) -> tuple[Array, Array, Array]:
    """A balanced (A, B, C) of order n for Markov parameters (2m, ny, nu); poles are drawn inside
    the unit circle."""
    m, ny, nu = len(response) // 2, *response.shape[1:]
    hankel = np.block([[response[i + j] for j in range(m)] for i in range(m)])
    shifted = np.block([[response[i + j + 1] for j in range(m)] for i in range(m)])
    n_found = min(n, *hankel.shape)
    left, values, right = (part[..., :n_found] for part in _svd(hankel))
    root = np.sqrt(np.maximum(values, 1e-12 * values[0]))
    A = (left / root).T @ shifted @ (right / root)
    A *= min(1.0, 0.995 / np.abs(np.linalg.eigvals(A)).max())
    full = np.zeros((n, n)), np.zeros((n, nu)), np.zeros((ny, n))
    for whole, part in zip(
        full, (A, (root[:, None] * right.T)[:, :nu], (left * root)[:ny]), strict=True
    ):
        whole[: part.shape[0], : part.shape[1]] = part
    return full


def _svd(M: Array) -> tuple[Array, Array, Array]:
    left, values, right = np.linalg.svd(M, full_matrices=False)
    return left, values, right.T


def _largest_state(A: Array, B: Array, u: Array) -> float:
    x, largest = np.zeros(len(A)), 1e-9
    for row in u:
        x = A @ x + B @ row
        largest = max(largest, float(np.abs(x).max()))
    return largest
