"""Deterministic bounds on the reachable outputs: the interval tube, beside it the trivial bound and
the ISS bound (5).

Boxes for x and ξ are carried through (2): σ and tanh rise, products of boxes are taken at their
corners, the input interval is cut into pieces and the hull taken. What comes out holds for *every*
input in the bounded set and every start in the box, for all k. Results of floating-point operations
are widened by a bound of their rounding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.certificates.evidence import Tube
from lstm_mpc.certificates.rigorous import EPS, TINY, Box, affine, pieces, plus, rising, times
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array


def gates(layer: lstm.Layer, below: Box, xi: Box) -> dict[str, Box]:
    """The activations of every gate for layer inputs in the boxes (nu, P) and ξ in a box (nx, 1)
    or (nx, P)."""
    sides = zip((below.low, below.high), (xi.low, xi.high), strict=True)
    joint = Box(*(np.vstack([v, np.broadcast_to(w, (len(w), v.shape[1]))]) for v, w in sides))
    activations = {}
    for g in lstm.GATES:
        W, U, b = layer.gate(g)
        activations[g] = rising(
            "tanh" if g == "c" else "sigmoid", affine(np.hstack([W, U]), joint, b)
        )
    return activations


def layer_boxes(network: lstm.Network, chi: Box) -> list[tuple[Box, Box]]:
    """(x, ξ) of every layer from χ, (n, 1)."""
    at, boxes = 0, []
    for nx in network.nx:
        boxes.append(
            (
                Box(chi.low[at : at + nx], chi.high[at : at + nx]),
                Box(chi.low[at + nx : at + 2 * nx], chi.high[at + nx : at + 2 * nx]),
            )
        )
        at += 2 * nx
    return boxes


def step(network: lstm.Network, chi: Box, u: Box) -> Box:
    """χ⁺ for all χ in a box (n, 1) and u in any of the boxes (nu, P): the hull over the pieces,
    (n, 1)."""
    below, after = u, []
    for layer, (x, xi) in zip(network.layers, layer_boxes(network, chi), strict=True):
        act = gates(layer, below, xi)
        x_next = plus(times(act["f"], x), times(act["i"], act["c"]))
        below = times(act["o"], rising("tanh", x_next))
        after += [x_next.union(), below.union()]
    return Box(*(np.vstack(ends) for ends in zip(*((b.low, b.high) for b in after), strict=True)))


def largest_gates(layer: lstm.Layer, reach: float) -> dict[str, Array]:
    """Upper ends of the gates f, i, o, |c| and of |x|, `x_bar`, while |input| ≤ `reach` and
    |ξ| ≤ 1, each (nx, 1)."""
    top = {}
    for g in lstm.GATES:
        W, U, b = layer.gate(g)
        rows = (reach * np.abs(W).sum(axis=1) + np.abs(U).sum(axis=1))[:, None]
        rows = (
            rows
            + (np.abs(b) if g == "c" else b)
            + 4 * (W.shape[1] + U.shape[1] + 3) * EPS * (rows + np.abs(b))
        )
        top[g] = rising("tanh" if g == "c" else "sigmoid", Box(rows, rows)).high
    x_bar = top["i"] * top["c"] / np.maximum(1 - top["f"], TINY) * (1 + 16 * EPS)
    return {**top, "x_bar": x_bar}


def invariant_start(network: lstm.Network, radius: float) -> Box:
    """A box that no trajectory leaves: |ξ| ≤ 1 and |x_j| ≤ i_j c_j/(1 − f_j), the gates at their
    largest."""
    bounds = []
    for number, layer in enumerate(network.layers):
        x_bar = largest_gates(layer, radius if number == 0 else 1.0)["x_bar"]
        bounds += [x_bar, np.ones_like(x_bar)]
    high = np.vstack(bounds)
    return Box(-high, high)


def _output(model: Model, chi: Box) -> Box:
    """y in engineering units for χ in a box."""
    nx, span = model.network.nx[-1], model.scaling.y_span[:, None]
    y = affine(model.network.C, Box(chi.low[-nx:], chi.high[-nx:]), model.network.b_y)
    size = span * np.maximum(np.abs(y.low), np.abs(y.high)) + np.abs(model.scaling.y_mid[:, None])
    return Box(
        span * y.low + model.scaling.y_mid[:, None], span * y.high + model.scaling.y_mid[:, None]
    ).widened(4 * EPS * size)


def _start(network: lstm.Network, start_box: ArrayLike) -> Box:
    """The box of χ0 as columns (n, 1)."""
    given = np.asarray(start_box, dtype=np.float64)
    ends = np.multiply.outer(np.full(network.n, given), [-1.0, 1.0]) if given.ndim == 0 else given
    if ends.shape != (network.n, 2):
        raise InputError(
            f"reach: start_box must be one number or {network.n} rows of low, high, got shape"
            f" {given.shape}"
        )
    hidden = np.concatenate([np.repeat([False, True], nx) for nx in network.nx])
    if (
        not np.isfinite(ends).all()
        or (ends[:, 0] > ends[:, 1]).any()
        or np.abs(ends[hidden]).max() > 1
    ):
        raise InputError(
            f"reach: start_box = {given.tolist()!s:.60} must rise from low to high, with every ξ"
            " within [-1, 1]"
        )
    return Box(ends[:, :1], ends[:, 1:])


def reach(
    model: Model,
    *,
    safe_set: Sequence[tuple[float, float]],
    radius: float | None = None,
    start_box: ArrayLike = 0.1,
    steps: int = 2000,
    count: int = 32,
) -> Tube:
    """Bound the outputs that any admissible input can reach, for all time.

    `steps` boxes are computed; after them the shrunken invariant box takes over. The trivial bound
    Σ|C_jl| o_l tanh(x̄_l) needs no iteration; the gap between it and the tube is what the iteration
    is worth.

    Args:
        model: The model.
        safe_set: (low, high) of each output [engineering].
        radius: The largest |u| [normalised]; by default what the actuator limits allow.
        start_box: One number for |χ0_j| ≤ it, or (n, 2) rows of low, high [normalised]; |ξ0| ≤ 1,
            where every ξ lies from the first step on.
        steps: The most samples that are followed.
        count: About how many pieces the box of the inputs is cut into.

    Returns:
        The tube, and whether it lies within the safe set.

    Raises:
        InputError: The radius is beyond the model's, or the safe set does not fit it.
    """
    radius = model.scaling.radius if radius is None else float(radius)
    if not 0 < radius <= model.scaling.radius * (1 + 1e-12):
        raise InputError(
            f"reach: radius {radius} must lie in (0, {model.scaling.radius:g}], the model's own"
            " input radius"
        )
    if len(safe_set) != len(model.outputs):
        raise InputError(
            f"reach: the safe set has {len(safe_set)} intervals, the model {len(model.outputs)}"
            " outputs"
        )
    if steps < 1 or count < 1:
        raise InputError(f"reach: steps = {steps} and count = {count} must be at least 1")
    tube = _start(model.network, start_box)
    network, u = model.network, pieces(model.network.nu, radius, count)
    outer = invariant_start(network, radius)
    # still invariant: f·X + i·c ≤ X for every X ≥ x̄
    wide = np.maximum(np.maximum(np.abs(tube.low), np.abs(tube.high)), outer.high)
    outer, whole = Box(-wide, wide), _output(model, tube)
    low, high = [whole.low[:, 0]], [whole.high[:, 0]]
    trivial = _output(model, step(network, outer, u))
    for k in range(steps):
        before = outer
        outer, tube = step(network, outer, u).meet(outer), step(network, tube, u)
        tube = tube.meet(outer)
        y = _output(model, tube)
        whole = whole.hull(y)
        low.append(y.low[:, 0])
        high.append(y.high[:, 0])
        if (
            k > 10
            and np.array_equal(before.low, outer.low)
            and np.array_equal(before.high, outer.high)
        ):
            break
    forever = _output(model, outer)
    whole = whole.hull(forever)
    bounds = [
        tuple(zip(b.low[:, 0].tolist(), b.high[:, 0].tolist(), strict=True))
        for b in (whole, forever, trivial)
    ]
    safe = all(a <= x and z <= b for (a, b), (x, z) in zip(safe_set, bounds[0], strict=True))
    return Tube(
        model=model.digest,
        radius=radius,
        start_box=artefact_file.plain(np.asarray(start_box, dtype=np.float64)),
        steps=len(low) - 1,
        pieces=u.low.shape[1],
        whole=bounds[0],
        forever=bounds[1],
        trivial=bounds[2],
        safe_set=tuple((float(a), float(b)) for a, b in safe_set),
        safe=safe,
        tube_low=tuple(map(tuple, np.array(low).tolist())),
        tube_high=tuple(map(tuple, np.array(high).tolist())),
    )
