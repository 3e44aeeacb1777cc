"""Deterministic bounds on the reachable outputs: the interval tube, beside it the trivial bound and
the ISS bound (5).

Boxes for x and ξ are carried through (2): σ and tanh rise, products of boxes are taken at their
corners, the input interval is cut into pieces and the hull taken. What comes out holds for *every*
input in the bounded set and every start in the box, for all k. Results of floating-point operations
are widened by a bound of their rounding. The same is done for the numbers that the C carries, with
the rounding of its single precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.certificates.evidence import Tube
from lstm_mpc.certificates.rigorous import (
    EPS,
    TINY,
    Box,
    affine,
    pieces,
    plus,
    rising,
    times,
)
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.model.single_precision import SINGLE, in_single_precision
from lstm_mpc.plants.system import Array

STEPS, PIECES = 2000, 32  # of a tube, unless one says otherwise


def gates(layer: lstm.Layer, below: Box, xi: Box, unit: float = EPS) -> dict[str, Box]:
    """The activations of every gate for layer inputs in the boxes (nu, P) and ξ in a box (nx, 1)
    or (nx, P)."""
    sides = zip((below.low, below.high), (xi.low, xi.high), strict=True)
    joint = Box(*(np.vstack([v, np.broadcast_to(w, (len(w), v.shape[1]))]) for v, w in sides))
    activations = {}
    for g in lstm.GATES:
        W, U, b = layer.gate(g)
        activations[g] = rising(
            "tanh" if g == "c" else "sigmoid", affine(np.hstack([W, U]), joint, b, unit), unit
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


def step(network: lstm.Network, chi: Box, u: Box, unit: float = EPS) -> Box:
    """χ⁺ for all χ in a box (n, 1) and u in any of the boxes (nu, P): the hull over the pieces,
    (n, 1)."""
    below, after = u, []
    for layer, (x, xi) in zip(network.layers, layer_boxes(network, chi), strict=True):
        act = gates(layer, below, xi, unit)
        x_next = plus(times(act["f"], x, unit), times(act["i"], act["c"], unit), unit)
        below = times(act["o"], rising("tanh", x_next, unit), unit)
        after += [x_next.union(), below.union()]
    return Box(*(np.vstack(ends) for ends in zip(*((b.low, b.high) for b in after), strict=True)))


def largest_gates(layer: lstm.Layer, reach: float, unit: float = EPS) -> dict[str, Array]:
    """Upper ends of the gates f, i, o, |c| and of |x|, `x_bar`, while |input| ≤ `reach` and
    |ξ| ≤ 1, each (nx, 1); with two roundings of `unit` in every x⁺."""
    top = {}
    for g in lstm.GATES:
        W, U, b = layer.gate(g)
        rows = (reach * np.abs(W).sum(axis=1) + np.abs(U).sum(axis=1))[:, None]
        rows = (
            rows
            + (np.abs(b) if g == "c" else b)
            + 4 * (W.shape[1] + U.shape[1] + 3) * unit * (rows + np.abs(b))
        )
        top[g] = rising("tanh" if g == "c" else "sigmoid", Box(rows, rows), unit).high
    kept = np.maximum(1 - top["f"] * (1 + 4 * unit), TINY)
    x_bar = top["i"] * top["c"] / kept * (1 + 16 * unit)
    return {**top, "x_bar": x_bar}


def invariant_start(network: lstm.Network, radius: float, unit: float = EPS) -> Box:
    """A box that no trajectory leaves: |ξ| ≤ 1 and |x_j| ≤ i_j c_j/(1 − f_j), the gates at their
    largest."""
    bounds = []
    for number, layer in enumerate(network.layers):
        x_bar = largest_gates(layer, radius if number == 0 else 1.0, unit)["x_bar"]
        bounds += [x_bar, np.ones_like(x_bar)]
    high = np.vstack(bounds)
    return Box(-high, high)


def output_box(model: Model, chi: Box, unit: float = EPS) -> Box:
    """y in engineering units for χ in a box."""
    nx, span = model.network.nx[-1], model.scaling.y_span[:, None]
    y = affine(model.network.C, Box(chi.low[-nx:], chi.high[-nx:]), model.network.b_y, unit)
    size = span * np.maximum(np.abs(y.low), np.abs(y.high)) + np.abs(model.scaling.y_mid[:, None])
    return Box(
        span * y.low + model.scaling.y_mid[:, None], span * y.high + model.scaling.y_mid[:, None]
    ).widened(4 * unit * size)


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


@dataclass(frozen=True)
class _Followed:
    """Outputs [engineering] from a start box, sample by sample (steps + 1, ny) and over all time,
    and those from the `settled` box, which every trajectory enters and none leaves."""

    low: Array
    high: Array
    whole: Box
    forever: Box
    trivial: Box
    settled: Box


def _follow(model: Model, start: Box, u: Box, steps: int, unit: float = EPS) -> _Followed:
    """Carry the start and the invariant box along under inputs in the columns of `u`."""
    network, radius = model.network, float(u.high.max())
    outer, tube = invariant_start(network, radius, unit), start
    # still invariant: f·X + i·c ≤ X for every X ≥ x̄
    wide = np.maximum(np.maximum(np.abs(tube.low), np.abs(tube.high)), outer.high)
    outer, whole = Box(-wide, wide), output_box(model, tube, unit)
    low, high = [whole.low[:, 0]], [whole.high[:, 0]]
    trivial = output_box(model, step(network, outer, u, unit), unit)
    for k in range(steps):
        before = outer
        outer, tube = step(network, outer, u, unit).meet(outer), step(network, tube, u, unit)
        tube = tube.meet(outer)
        y = output_box(model, tube, unit)
        whole = whole.hull(y)
        low.append(y.low[:, 0])
        high.append(y.high[:, 0])
        if (
            k > 10
            and np.array_equal(before.low, outer.low)
            and np.array_equal(before.high, outer.high)
        ):
            break
    forever = output_box(model, outer, unit)
    return _Followed(
        np.array(low), np.array(high), whole.hull(forever), forever, trivial, settled=outer
    )


def settled_box(model: Model, radius: float) -> Array:
    """The box of states that every trajectory with |u| ≤ `radius` [normalised] enters and none
    leaves, (n, 2): where an estimator may begin."""
    theta = lstm.pack(model.network).tobytes()
    return _settled_box(theta, model.sizes, radius * model.overreach)


@lru_cache(maxsize=64)  # observers of one model are made again and again
def _settled_box(theta: bytes, sizes: lstm.Sizes, radius: float) -> Array:
    network, u = (
        lstm.unpack(np.frombuffer(theta), sizes),
        pieces(sizes.nu, radius, PIECES),
    )
    box = invariant_start(network, radius)
    for _ in range(STEPS):
        before, box = box, step(network, box, u).meet(box)
        if np.array_equal(before.low, box.low) and np.array_equal(before.high, box.high):
            break
    ends = np.hstack([box.low, box.high])
    ends.setflags(write=False)
    return ends


def reach(
    model: Model,
    *,
    safe_set: Sequence[tuple[float, float]],
    radius: float | None = None,
    start_box: ArrayLike = 0.1,
    steps: int = STEPS,
    count: int = PIECES,
    beyond: float = 0.0,
) -> Tube:
    """Bound the outputs that any admissible input can reach, for all time.

    The bound holds from every start in `start_box` and from every start in the box that all
    trajectories enter and none leaves, in which an estimator begins. `steps` boxes are computed;
    after them the shrunken invariant box takes over. The trivial bound Σ|C_jl| o_l tanh(x̄_l) needs
    no iteration; the gap between it and the tube is what the iteration is worth. Inputs that are
    beyond the radius by a rounding, which `Model` tolerates, are covered.

    Args:
        model: The model.
        safe_set: (low, high) of each output [engineering].
        radius: The largest |u| [normalised]; by default what the actuator limits allow.
        start_box: One number for |χ0_j| ≤ it, or (n, 2) rows of low, high [normalised]; |ξ0| ≤ 1,
            where every ξ lies from the first step on.
        steps: The most samples that are followed.
        count: About how many pieces the box of the inputs is cut into.
        beyond: By how much inputs may leave the `radius` [normalised], as an observer's estimate of
            a disturbance may move them.

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
    if not 0 <= beyond < np.inf:
        raise InputError(f"reach: beyond = {beyond} must be a number, not negative")
    start, u = (
        _start(model.network, start_box),
        pieces(model.network.nu, (radius + beyond) * model.overreach, count),
    )
    found = _follow(model, start, u, steps)
    carried = in_single_precision(model, beyond=beyond)
    share = (radius + beyond) / (model.scaling.radius + beyond)
    in_c = _follow(
        carried,
        start.widened(SINGLE * np.maximum(np.abs(start.low), np.abs(start.high))),
        pieces(model.network.nu, carried.scaling.radius * share, count),
        steps,
        SINGLE,
    )
    whole, forever, trivial, single = (
        _pairs(b) for b in (found.whole, found.forever, found.trivial, in_c.whole)
    )
    return Tube(
        model=model.digest,
        radius=float(radius + beyond),
        start_box=artefact_file.plain(np.asarray(start_box, dtype=np.float64)),
        settled=_pairs(found.settled),
        steps=len(found.low) - 1,
        pieces=u.low.shape[1],
        whole=whole,
        forever=forever,
        trivial=trivial,
        single=single,
        safe_set=tuple((float(a), float(b)) for a, b in safe_set),
        safe=all(a <= x and z <= b for (a, b), (x, z) in zip(safe_set, whole, strict=True)),
        tube_low=tuple(map(tuple, found.low.tolist())),
        tube_high=tuple(map(tuple, found.high.tolist())),
    )


def _pairs(box: Box) -> tuple[tuple[float, float], ...]:
    return tuple(zip(box.low[:, 0].tolist(), box.high[:, 0].tolist(), strict=True))
