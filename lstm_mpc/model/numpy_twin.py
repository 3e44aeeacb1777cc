"""The NumPy twin of a model: very many simulations at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_mpc.data.scaling import Scaling
from lstm_mpc.model import lstm
from lstm_mpc.plants.system import Array


@dataclass(frozen=True)
class Folded:
    """The NumPy twin of a model: per layer one product for all gates and one exponential, scalings
    folded into the weights.

    `stacks` holds per layer (nx, −[W U b] of f, i, o and −2[W U b] of c), since σ(z) = 1/(1 + e^−z)
    and tanh(z) = 2σ(2z) − 1: on many processors NumPy's exp is four times as fast as its tanh."""

    stacks: tuple[tuple[int, Array], ...]
    low: Array
    high: Array
    C: Array
    offset: Array

    def step(self, chi: Array, u: Array, d: Array) -> Array:
        following, ones = np.empty_like(chi), np.ones((1, chi.shape[1]))
        below, at = np.minimum(np.maximum(u, self.low), self.high), 0
        for nx, stack in self.stacks:
            gates = _logistic(stack @ np.concatenate([below, chi[at + nx : at + 2 * nx], ones]))
            f, i, o, c = (gates[j * nx : (j + 1) * nx] for j in range(4))
            x = np.multiply(f, chi[at : at + nx], out=following[at : at + nx])
            x += np.multiply(i, _doubled(c), out=c)
            below = np.multiply(
                o, _doubled(_logistic(-2.0 * x)), out=following[at + nx : at + 2 * nx]
            )
            at += 2 * nx
        return following

    def output(self, chi: Array) -> Array:
        return self.C @ chi[-self.C.shape[1] :] + self.offset


def _logistic(minus_z: Array) -> Array:
    """σ(z) in place of −z; what overflows is 0."""
    with np.errstate(over="ignore"):
        np.exp(minus_z, out=minus_z)
    minus_z += 1.0
    return np.divide(1.0, minus_z, out=minus_z)


def _doubled(half: Array) -> Array:
    """tanh(z) in place of σ(2z)."""
    half *= 2.0
    half -= 1.0
    return half


def folded(network: lstm.Network, scaling: Scaling, low: Array, high: Array) -> Folded:
    """The twin of a network whose inputs are clipped between `low` and `high` (nu,)
    [engineering]."""
    stacks, mid, span = [], scaling.u_mid, scaling.u_span
    for layer in network.layers:
        rows = []
        for g, gain in zip(lstm.GATES, (-1.0, -1.0, -1.0, -2.0), strict=True):
            W, U, b = layer.gate(g)
            rows.append(gain * np.hstack([W / span, U, b - (W / span) @ mid[:, None]]))
        stacks.append((layer.nx, np.vstack(rows)))
        mid, span = np.zeros(layer.nx), np.ones(layer.nx)
    y_mid, y_span = scaling.y_mid[:, None], scaling.y_span[:, None]
    return Folded(
        stacks=tuple(stacks),
        low=low[:, None],
        high=high[:, None],
        C=y_span * network.C,
        offset=y_span * network.b_y + y_mid,
    )
