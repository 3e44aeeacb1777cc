"""Two baselines beside a controller on the same scenarios: inputs held where they were, and a PI
controller tuned on them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.assurance.loop_law import LoopLaw, Pairs
from lstm_mpc.assurance.loops.performance import Gauge, gauge_of
from lstm_mpc.control.scenario import Draw, Probe, Valve
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import Array, System

GAINS = (0.05, 0.1, 0.2, 0.4, 0.8)  # of the PI controller beside the inverse of the plant's gain
TUNED_ON = 16  # scenarios
RESETS = (3.0, 6.0, 12.0, 24.0)  # [samples] its integral times


class Held:
    """Inputs stay where they were."""

    def reset(self, y: Array, u: Array, known: Array) -> None:
        self._u = u

    def step(self, y: Array, reference: Array, known: Array) -> tuple[Array, NDArray[np.uint32]]:
        return self._u, np.zeros(y.shape[1], dtype=np.uint32)


@dataclass(frozen=True)
class PiTuning:
    """A PI controller, decoupled by the inverse `gain` (nu, ny) of the plant's static gain, of a
    share `K` of it and the integral time `reset` [samples]; arrays of columns where many are
    tried."""

    gain: Array
    K: Array
    reset: Array


class Pi:
    """PI controllers in velocity form, within bounds and rates (nu,)."""

    def __init__(
        self, tuning: PiTuning, u_low: Array, u_high: Array, rise: Array, fall: Array
    ) -> None:
        self._t = tuning
        self._low, self._high, self._rise, self._fall = (
            a[:, None] for a in (u_low, u_high, rise, fall)
        )

    def reset(self, y: Array, u: Array, known: Array) -> None:
        self._u = np.clip(u, self._low, self._high)
        self._error: Array | None = None

    def step(self, y: Array, reference: Array, known: Array) -> tuple[Array, NDArray[np.uint32]]:
        error = reference[0] - y
        rise = np.zeros_like(error) if self._error is None else error - self._error
        self._error = error
        move = self._t.gain @ (self._t.K * (rise + error / self._t.reset))
        move = np.clip(move, -self._fall, self._rise)
        self._u = np.clip(self._u + move, self._low, self._high)
        return self._u, np.zeros(y.shape[1], dtype=np.uint32)


def run_baseline(
    plant: System,
    law: LoopLaw,
    draw: Draw,
    quiet: Array,
    settle: int,
    safe_set: Pairs,
    fleet: Held | Pi,
) -> Gauge:
    """Run baselines side by side through the scenarios of a draw, watched."""
    twin, chi, none = plant.vectorised, draw.chi, np.zeros(0)
    valve, probe = Valve(draw.u_start, law.valve_lag, plant.Ts), Probe(law.delay, plant.Ts)
    gauge = gauge_of(safe_set, draw, settle, plant.Ts)
    for k in range(len(draw.d)):
        truth = twin.output(chi)
        y = probe.read(truth) + draw.noise[k]
        if k == 0:
            fleet.reset(y, draw.u_start, none)
        u, status = fleet.step(y, draw.reference[k : k + 1], none)
        gauge.take(truth, draw.reference[k], quiet[k], status)
        chi = twin.step(chi, valve.follow(u), draw.d[k])
    return gauge


def tuned_pi(
    plant: System,
    law: LoopLaw,
    draw: Draw,
    safe_set: Pairs,
    gain: Array,
    limits: tuple[Array, Array, Array, Array],
) -> PiTuning:
    """The PI controller with the least mean error, beside the width of the safe set, over the
    scenarios of a draw, of all GAINS and RESETS; each candidate flies them all at once."""
    tried, count = list(product(GAINS, RESETS)), draw.chi.shape[1]
    K, reset = (np.repeat(values, count) for values in np.transpose(tried))
    many = Draw(
        **{
            name: np.concatenate([array] * len(tried), axis=-1)
            for name, array in draw.__dict__.items()
        }
    )
    quiet = np.ones((len(draw.d), many.chi.shape[1]))
    fleet = Pi(PiTuning(gain, K, reset), *limits)
    gauge = run_baseline(plant, law, many, quiet, len(quiet) + 1, safe_set, fleet)
    width = np.diff(np.array(safe_set), axis=1)
    errors = (gauge.totals / width).sum(axis=0).reshape(len(tried), count).sum(axis=1)
    K_best, reset_best = tried[int(np.nan_to_num(errors, nan=np.inf).argmin())]
    return PiTuning(gain, np.array(K_best), np.array(reset_best))


def inverse_gain(model: Model, u: Array) -> Array:
    """The pseudo-inverse (nu, ny) of the static gain of the inputs that are moved, about `u`
    (nu,) of all inputs."""
    moved, columns = model.roles.manipulated, []
    for j in moved:
        step = 0.1 * (model.u_high[j] - model.u_low[j]) * np.eye(len(u))[j]
        ends = [np.clip(u + side * step, model.u_low, model.u_high) for side in (-1.0, 1.0)]
        low, high = (np.asarray(model.core.output(rest(model.core, end))).ravel() for end in ends)
        columns.append((high - low) / (ends[1] - ends[0])[j])
    return np.asarray(np.linalg.pinv(np.stack(columns, axis=1)))
