"""Plans of inputs: how far they move, and the admissible one next to any."""

from __future__ import annotations

import numpy as np

from lstm_mpc.plants.system import Array


def admit(plan: Array, before: Array, low: Array, high: Array, rise: Array, fall: Array) -> Array:
    """`plan` (blocks, nu) moved into `low`, `high` (nu,) and no further than `rise` up and `fall`
    down (nu,) from one to the next, first from `before`."""
    inside = np.minimum(np.maximum(plan, low), high)
    moves = moves_of(inside, before)
    if ((moves <= rise) & (-moves <= fall)).all():
        return inside
    for b, wanted in enumerate(plan):
        inside[b] = before = np.minimum(
            np.maximum(wanted, np.maximum(low, before - fall)), np.minimum(high, before + rise)
        )
    return inside


def moves_of(plan: Array, before: Array) -> Array:
    """How far each row of `plan` (N, nu) is from the one before it, the first from `before`
    (nu,)."""
    moves = plan.copy()
    moves[0] -= before
    moves[1:] -= plan[:-1]
    return moves
