"""A first tuning that needs no knowledge of the plant: horizon, weights, rates and observer gain
from the time constants, gains and noise that recorded data show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.identification.linear_model import LinearModel
from lstm_mpc.plants.roles import Roles
from lstm_mpc.plants.system import Array

_HORIZONS = (10, 20)  # samples
_FREE = 40  # inputs times samples beyond which the exported C grows too large
_SHARE = 0.1  # of the move penalty that balances an error of the span against a move of the range
_QUICK = 4.0  # an input may cross its range within a fourth of the time constant
_RATES = (0.05, 0.5)  # shares of the range per sample
_FELT = (1, 99)  # [%] between which lies what an input was held at
_GAINS = (0.2, 0.6)  # of the observer, for much noise and for little


@dataclass(frozen=True)
class FirstTuning:
    """Keys of `[control]`; one number per output or manipulated input where there are tuples."""

    horizon: int
    u_low: tuple[float, ...]
    u_high: tuple[float, ...]
    output_weight: tuple[float, ...]
    move_penalty: tuple[float, ...]
    max_move: tuple[float, ...]
    observer_gain: float
    u_start: tuple[float, ...]


def first_tuning(
    dataset: Dataset,
    linear: LinearModel,
    *,
    noise: Sequence[float],
    delays: Sequence[int],
    memory: int,
) -> FirstTuning:
    """Propose a tuning.

    Args:
        dataset: recorded data, with the limits of the inputs.
        linear: a linear model of them.
        noise: standard deviation of the noise of each output (ny,) [unit].
        delays: dead time of each input (nu,) [samples].
        memory: samples after which the outputs have forgotten themselves.

    Returns:
        A tuning that stays where the inputs were recorded, several of them where they were held
        together, and for which an error of an output's span weighs about as much as the moves that
        remove it, slower where there is noise.
    """
    roles = Roles.of(dataset.inputs)
    u = roles.moved(np.vstack([r.u for r in dataset.records]))
    y = np.vstack([r.y for r in dataset.records])
    signals = [dataset.inputs[i] for i in roles.manipulated]
    low, high = (np.array([getattr(s, end) for s in signals]) for end in ("low", "high"))
    span_u, span_y = high - low, np.nanmax(y, axis=0) - np.nanmin(y, axis=0)
    slow = min(max(linear.time_constants) / linear.Ts, 2.0 * memory)
    noisy = float(np.max(np.asarray(noise) / span_y))
    # what a move across the range does to the output that it does most to, in spans
    effect = np.clip(
        (np.abs(roles.moved(linear.gain)) * span_u / span_y[:, None]).max(axis=0), 0.1, 2.0
    )
    uneven = max(delays) - min(delays)
    most = max(_HORIZONS[0] // 2, min(_HORIZONS[1], _FREE // len(span_u)))
    rate = float(np.clip(_QUICK / max(slow, 1.0), *_RATES))
    quick = min(min(linear.time_constants) / linear.Ts, 2.0 * memory)
    ends = u.min(axis=0), u.max(axis=0)
    if len(signals) > 1:
        ends = held_together([roles.moved(r.u) for r in dataset.records], quick)
    return FirstTuning(
        u_low=tuple(np.maximum(ends[0], low).tolist()),
        u_high=tuple(np.minimum(ends[1], high).tolist()),
        horizon=int(np.clip(np.ceil(slow), min(_HORIZONS[0], most), most)) + uneven,
        output_weight=tuple((1.0 / span_y**2).tolist()),
        move_penalty=tuple((_SHARE * (1.0 + 20.0 * noisy) * effect**2 / span_u**2).tolist()),
        max_move=tuple((rate * span_u).tolist()),
        observer_gain=float(np.clip(_GAINS[1] - 4.0 * noisy, *_GAINS)),
        u_start=tuple(np.clip(u.mean(axis=0), low, high).tolist()),
    )


def held_together(records: Sequence[Array], quick: float) -> tuple[Array, Array]:
    """Least and largest values (nu,) of several inputs that a controller may hold at once: what
    the plant has felt of each, filtered by its quickest time constant of `quick` samples, but for
    one sample in a hundred at each end. What an input was for a moment was never held, and all
    extremes at once were never seen."""
    share = float(np.exp(-1.0 / max(quick, 0.1)))
    felt = []
    for u in records:
        now, path = u.mean(axis=0), np.empty_like(u)
        for k, sample in enumerate(u):
            now = share * now + (1.0 - share) * sample
            path[k] = now
        felt.append(path)
    low, high = np.percentile(np.vstack(felt), _FELT, axis=0)
    return low, high
