"""Arithmetic on boxes, rounded outwards: what comes out encloses every value of what goes in.

Results of floating-point operations are widened by a bound of their rounding that holds for any
order of the sums. `unit` is the rounding that is reckoned with: EPS for what is computed here in
double precision, `SINGLE` for what the C computes of the same numbers in single precision. Columns
are cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from lstm_mpc.plants.system import Array

EPS = float(np.finfo(np.float64).eps)
TINY = 1e-300
_LIBM = 8  # [units] more than the error of any libm's or vectorised tanh, and of the C's own


@dataclass(frozen=True)
class Box:
    """low ≤ · ≤ high, entrywise."""

    low: Array
    high: Array

    def widened(self, error: Array | float) -> Box:
        return Box(self.low - error, self.high + error)

    def meet(self, other: Box) -> Box:
        return Box(np.maximum(self.low, other.low), np.minimum(self.high, other.high))

    def hull(self, other: Box) -> Box:
        return Box(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def union(self) -> Box:
        """The hull of the columns, one column."""
        return Box(self.low.min(axis=1, keepdims=True), self.high.max(axis=1, keepdims=True))

    def within(self, other: Box) -> bool:
        return bool((other.low <= self.low).all() and (self.high <= other.high).all())


def tiny(unit: float) -> float:
    """More than what is lost where numbers are too small for the precision of `unit`."""
    return TINY if unit <= EPS else 1e-30


def affine(M: Array, x: Box, b: Array, unit: float = EPS) -> Box:
    """M x + b for x in a box whose columns are cases, (m, P)."""
    up, down = np.maximum(M, 0.0), np.minimum(M, 0.0)
    low, high = up @ x.low + down @ x.high + b, up @ x.high + down @ x.low + b
    size = np.abs(M) @ np.maximum(np.abs(x.low), np.abs(x.high)) + np.abs(b)
    return Box(low, high).widened(2 * (M.shape[1] + 3) * unit * size + tiny(unit))


def rising(function: str, z: Box, unit: float = EPS) -> Box:
    """σ or tanh of a box, widened by the error of libm and kept within (−1, 1) or (0, 1)."""
    error, least = _LIBM * unit, tiny(unit)
    low, high = (
        np.tanh(0.5 * end) if function == "sigmoid" else np.tanh(end) for end in (z.low, z.high)
    )
    if function == "sigmoid":
        return Box(
            np.maximum(0.5 + 0.5 * low - error, 0.0), np.minimum(0.5 + 0.5 * high + error, 1.0)
        )
    return Box(
        np.maximum(low - error * np.abs(low) - least, -1.0),
        np.minimum(high + error * np.abs(high) + least, 1.0),
    )


def slope(function: str, value: Box) -> Box:
    """The derivative of σ or tanh where its value lies in the box: s(1 − s) or (1 + t)(1 − t),
    concave, largest at ½ or 0."""
    zero, peak, top = (0.0, 0.5, 0.25) if function == "sigmoid" else (1.0, 0.0, 1.0)
    ends = [(zero + end) * (1.0 - end) for end in (value.low, value.high)]
    low, high = np.minimum(*ends) * (1 - 4 * EPS), np.maximum(*ends) * (1 + 4 * EPS)
    return Box(
        np.maximum(low, 0.0),
        np.where((value.low <= peak) & (peak <= value.high), top, np.minimum(high, top)),
    )


def times(a: Box, b: Box, unit: float = EPS) -> Box:
    """The product of two boxes, entrywise."""
    corners = np.stack([a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high])
    low, high = corners.min(axis=0), corners.max(axis=0)
    return _outwards(low, high, unit)


def plus(a: Box, b: Box, unit: float = EPS) -> Box:
    return _outwards(a.low + b.low, a.high + b.high, unit)


def _outwards(low: Array, high: Array, unit: float) -> Box:
    """The ends of an operation moved outwards by what its rounding may be."""
    least = tiny(unit)
    return Box(low - unit * np.abs(low) - least, high + unit * np.abs(high) + least)


def pieces(nu: int, radius: float, count: int) -> Box:
    """[−radius, radius]^nu cut into about `count` boxes, one per column."""
    each = max(1, round(count ** (1 / nu)))
    edges = np.linspace(-radius, radius, each + 1)
    edges[-1] = radius
    sides = list(pairwise(edges))
    cells = np.array(list(product(sides, repeat=nu)))  # (cells, nu, 2)
    return Box(cells[:, :, 0].T.copy(), cells[:, :, 1].T.copy())


def dominance(middle: Array, radius: Array) -> float:
    """Below 1 only if every symmetric M with |M − middle| ≤ radius is positive definite; (…, n,
    n) for several at once.

    SᵀMS is congruent to M. With S the inverse of a Cholesky factor it is nearly the identity, and
    positive definite where every diagonal entry exceeds the sum of the others in its row
    (Gershgorin); the largest such ratio is returned, +inf where there is no S. Nothing is asked
    of S but that it holds numbers.
    """
    n = middle.shape[-1]
    try:
        factor = np.linalg.cholesky(middle)
        inverse = np.linalg.solve(factor, np.broadcast_to(np.eye(n), middle.shape))
    except np.linalg.LinAlgError:
        return float("inf")
    S, size = np.swapaxes(inverse, -1, -2), np.abs(inverse)
    near = inverse @ middle @ S
    error = size @ (radius + 4 * (n + 2) * EPS * np.abs(middle) + TINY) @ np.swapaxes(size, -1, -2)
    error = error * (1 + 8 * (n + 2) * EPS) + TINY
    largest = np.abs(near) + error
    others = (largest.sum(axis=-1) - np.diagonal(largest, axis1=-2, axis2=-1)) * (
        1 + 4 * n * EPS
    ) + 4 * EPS
    diagonal = np.diagonal(near - error, axis1=-2, axis2=-1)
    if not np.isfinite(largest).all() or not (diagonal > 0).all():
        return float("inf")
    return float((others / diagonal).max() * (1 + 4 * EPS))
