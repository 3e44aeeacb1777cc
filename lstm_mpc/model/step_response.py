"""What a model does when one input steps: the picture by which a person sees whether it is
physical."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import Array, simulate

LEVELS = (0.2, 0.5, 0.8)  # of the range of the input, where it steps from
SIZE = 0.1  # of the range
_BAND = 0.05  # of the change, in which an output has settled
_LONGEST, _FIRST = 4000, 250  # [samples] of a response


@dataclass(frozen=True)
class StepResponse:
    """The outputs (N, ny) after `input` stepped from `before` to `after` [unit] at t = 0, the other
    inputs in the middle of their ranges; `gain` (ny,) [unit per unit] and `settling` (ny,) [s] to
    within 5 % of the change, NaN where it does not settle."""

    input: int
    before: float
    after: float
    t: Array
    y: Array
    gain: Array
    settling: Array


def step_responses(model: Model, levels: Sequence[float] = LEVELS) -> tuple[StepResponse, ...]:
    """Steps of every input from several levels.

    Args:
        model: any model.
        levels: where in its range an input steps from, shares in [0, 1 − SIZE].

    Returns:
        The responses, input by input, level by level.
    """
    return tuple(_response(model, j, level) for j in range(len(model.inputs)) for level in levels)


def _response(model: Model, j: int, level: float) -> StepResponse:
    span = model.u_high - model.u_low
    u = model.u_low + 0.5 * span
    u[j] = model.u_low[j] + level * span[j]
    chi, stepped = rest(model.system, u), u.copy()
    stepped[j] += SIZE * span[j]
    final, samples = rest(model.system, stepped), _FIRST
    still = simulate(model.system, u[None, :], x0=chi).y[0]
    end = simulate(model.system, stepped[None, :], x0=final).y[0]
    while True:
        y = simulate(model.system, np.tile(stepped, (samples, 1)), x0=chi).y
        away = np.abs(y - end) > _BAND * np.abs(end - still)
        if not away[-1].any() or samples >= _LONGEST:
            break
        samples *= 2
    last = np.array([np.flatnonzero(c)[-1] + 1 if c.any() else 0 for c in away.T])
    settling = np.where(away[-1], np.nan, last * model.Ts)
    shown = int(np.clip(1.3 * last.max() + 5, 20, samples))
    return StepResponse(
        j,
        float(u[j]),
        float(stepped[j]),
        model.Ts * np.arange(shown, dtype=np.float64),
        y[:shown],
        (end - still) / (SIZE * span[j]),
        settling,
    )
