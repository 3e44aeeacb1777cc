"""Figures of a closed-loop run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_mpc.control.limits import Limits, moves_of
from lstm_mpc.control.simulation import Run
from lstm_mpc.plants.system import Array

BAND = 0.02  # share of the safe set's width within which an output has settled
TAIL = 10  # [samples] the end of every step, over which the mean error is taken
_SINGLE = 1e-5  # [input unit] by which a controller in single precision may miss its own bounds


def band_of(safe_set: Sequence[tuple[float, float]]) -> Array:
    """Half the width of the band (ny,) that outputs settle into [output unit]."""
    return BAND * np.diff(np.array(safe_set), axis=1)[:, 0]


def metrics(
    run: Run, *, band: ArrayLike, tail: int = TAIL, limits: Limits | None = None
) -> dict[str, Any]:
    """Figures of a run, on the noise-free output; where several, the worst one.

    Args:
        run: The run.
        band: Half the width of the band that outputs settle into [output unit], one or (ny,).
        tail: The end of every step, over which the mean error is taken [samples].
        limits: The bounds and weights of the controller, where the run is held against them: of an
            output that has no weight, the error is how far it is outside its soft bounds.

    Returns:
        By name: IAE [unit·s]; travel of the valve [input unit]; per step the settling time [s]
        (None: never), overshoot [unit], which of an output whose setpoint stayed is the largest
        deviation, and mean error [unit] over the tail; the same of `each` output, and `travels` of
        each input; failures and flagged samples; solve times [ms]. With `limits` also the largest
        `excess` of the output over its soft bounds [unit], and how many inputs were `inadmissible`:
        outside the bounds or changed faster than the rates.
    """
    error, zone = _error(run, limits)
    changes = np.flatnonzero(np.any(np.diff(run.reference, axis=0) != 0, axis=1)) + 1
    if run.scenario.disturbances is not None:
        changes = np.union1d(
            changes, np.flatnonzero(np.any(np.diff(run.d, axis=0) != 0, axis=1)) + 1
        )
    edges = [0, *changes.tolist(), len(run.t)]
    iae, travel = (
        np.abs(error).sum(axis=0) * run.Ts,
        np.abs(moves_of(run.u, run.u_start)).sum(axis=0),
    )
    steps: list[dict[str, Any]] = []
    each: list[dict[str, Any]] = [{"iae": total, "steps": []} for total in iae.tolist()]
    for first, last in pairwise(edges):
        part = error[first:last]
        moved = np.logical_or(first == 0, run.reference[first] != run.reference[first - 1]) & ~zone
        beyond = np.where(
            moved, part * np.sign(run.reference[first] - run.truth[first]), np.abs(part)
        )
        outside = np.where(
            np.abs(part) > np.asarray(band), np.arange(1, len(part) + 1)[:, None], 0
        ).max(axis=0)
        overshoot = np.maximum(0.0, beyond.max(axis=0))
        offset = np.abs(part[-tail:].mean(axis=0))
        for item, *own in zip(
            each, outside.tolist(), overshoot.tolist(), offset.tolist(), strict=True
        ):
            item["steps"].append(_of_step(*own, samples=len(part), Ts=run.Ts))
        worst = _of_step(
            int(outside.max()),
            float(overshoot.max()),
            float(offset.max()),
            samples=len(part),
            Ts=run.Ts,
        )
        where = {
            "t": float(run.t[first]),
            "setpoint": run.reference[first].tolist(),
            "length": float(len(part) * run.Ts),
        }
        steps.append({**where, **worst})
    milliseconds = 1e3 * np.array([move.seconds for move in run.moves])
    return {
        "scenario": run.scenario.name,
        "iae": float(iae.max()),
        "travel": float(travel.max()),
        "offset": max(s["offset"] for s in steps),
        "overshoot": max(s["overshoot"] for s in steps),
        "steps": steps,
        "each": each,
        "travels": travel.tolist(),
        "failures": len(run.failures),
        "flagged": len(run.flagged),
        "solve_ms": {"median": float(np.median(milliseconds)), "max": float(milliseconds.max())},
        **({} if limits is None else _violations(run, limits)),
    }


def _error(run: Run, limits: Limits | None) -> tuple[Array, NDArray[np.bool_]]:
    """How far every output is from its setpoint (N, ny), or from the zone it is held in, and which
    outputs have one instead of a setpoint (ny,)."""
    error = run.truth - run.reference
    if limits is None:
        return error, np.zeros(error.shape[1], dtype=bool)
    outside = run.truth - np.clip(run.truth, limits.y_low, limits.y_high)
    zone = limits.output_weight == 0
    return np.where(zone, outside, error), zone


def _of_step(
    outside: int, overshoot: float, offset: float, *, samples: int, Ts: float
) -> dict[str, Any]:
    """Figures of a step of so many samples, the last of which outside the band is number `outside`
    (0: none)."""
    return {
        "settling": None if outside == samples else outside * Ts,
        "overshoot": overshoot,
        "offset": offset,
    }


def _violations(run: Run, limits: Limits) -> dict[str, Any]:
    outside = (run.u < limits.u_low - _SINGLE) | (run.u > limits.u_high + _SINGLE)
    moves = moves_of(run.u, run.u_start)
    fast = (moves > limits.max_move + _SINGLE) | (-moves > limits.max_move_down + _SINGLE)
    excess = np.maximum(run.truth - limits.y_high, limits.y_low - run.truth)
    return {
        "excess": float(max(0.0, excess.max())),
        "inadmissible": int((outside | fast).any(axis=1).sum()),
    }
