"""The scalings that an ONNX graph itself holds, as mid and span of each signal."""

from __future__ import annotations

import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers.onnx_graph.trace import Clipped, Ids, Linear, Scaled, Trace, same
from lstm_mpc.plants.system import Array

Pair = tuple[Array, Array]


def input_scaling(trace: Trace, atoms: Ids) -> tuple[Pair | None, Pair | None]:
    """(mid, span) and (low, high) of the inputs in front of the first layer, `atoms` (rows, nu).

    u = mid + span·v, v what the first layer reads; the bounds are those of u. None where the graph
    does not scale or clip."""
    nu = atoms.shape[1]
    mid, span, low, high = np.zeros(nu), np.ones(nu), np.full(nu, -np.inf), np.full(nu, np.inf)
    steps, _ = _peel(trace, atoms, (Scaled, Clipped))
    for times, over, shift, least, largest in reversed(steps):
        low = np.maximum(low, mid + span * least)
        high = np.minimum(high, mid + span * largest)
        with np.errstate(divide="ignore", invalid="ignore"):
            span = span * over / times
        _positive(span, "input")
        mid = mid - span * shift
    scaled = any((s[0] != 1).any() or (s[1] != 1).any() or s[2].any() for s in steps)
    clipped = np.isfinite(low).any() or np.isfinite(high).any()
    return (mid, span) if scaled else None, (low, high) if clipped else None


def output_scaling(trace: Trace, ids: Ids) -> tuple[Pair | None, Array, Ids]:
    """(mid, span) of what follows the linear head, the bias of the head, and the head's elements;
    `ids` (rows, ny).

    y = mid + span·v. The constant that is added right behind the head is its bias."""
    ny = ids.shape[1]
    steps, inner = _peel(trace, ids, (Scaled,))
    b_y, mid, span = np.zeros(ny), np.zeros(ny), np.ones(ny)
    fresh = np.full(ny, isinstance(trace.only(inner[:, :1]), Linear))
    scaled = False
    for times, over, shift, _, _ in reversed(steps):
        plain = (times == 1) & (over == 1)
        bias = fresh & plain & (shift != 0)
        b_y, shift = np.where(bias, shift, b_y), np.where(bias, 0.0, shift)
        fresh = fresh & plain & ~bias
        if plain.all() and not shift.any():
            continue
        scaled = True
        with np.errstate(divide="ignore", invalid="ignore"):
            mid, span = mid * times / over + shift, span * times / over
        _positive(span, "output")
    return (mid, span) if scaled else None, b_y, inner


def _peel(trace: Trace, ids: Ids, kinds: tuple[type, ...]) -> tuple[list[tuple[Array, ...]], Ids]:
    """The elementwise stages above `ids` (rows, n), the last first, each as (times, over, shift,
    low, high) per column; and the elements below them."""
    steps: list[tuple[Array, ...]] = []
    while True:
        numbers = trace.numbers(ids)
        present = [s for s in np.unique(numbers) if isinstance(trace.stages[int(s)], kinds)]
        if not present:
            return steps, ids
        fill = (1.0, 1.0, 0.0, -np.inf, np.inf)
        parts = np.stack([np.full(ids.shape, value) for value in fill])
        below = ids.copy()
        for number in present:
            stage, here = trace.stages[int(number)], numbers == number
            local = ids[here] - trace.firsts[int(number)]
            if isinstance(stage, Scaled):
                values = dict(enumerate((stage.times, stage.over, stage.shift)))
            else:
                assert isinstance(stage, Clipped)
                values = {3: stage.low, 4: stage.high}
            for place, value in values.items():
                parts[place][here] = value[local]
            below[here] = stage.parent[local]
        node = trace.stages[int(present[0])].node
        steps.append(tuple(same(part, node) for part in parts))
        ids = below


def _positive(span: Array, which: str) -> None:
    if not ((span > 0) & np.isfinite(span)).all():
        raise InputError(
            f"the {which} scaling of the graph has the span {span.tolist()}; spans must be positive"
        )
