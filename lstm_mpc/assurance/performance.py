"""How well closed loops go: error, settling and overshoot of a controller and of two baselines on
the same scenarios."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.assurance.loop_law import LoopLaw, Pairs
from lstm_mpc.certificates.evidence import LoopPerformance, LoopVerification, Performance
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.control.controller import Status
from lstm_mpc.control.simulation import Draw, Probe, Valve
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array, Signal, System, rest

BAND = 0.02  # share of the safe set's width within which an output has settled
GAINS = (0.05, 0.1, 0.2, 0.4, 0.8)  # of the PI controller beside the inverse of the plant's gain
TUNED_ON = 16  # scenarios
RESETS = (3.0, 6.0, 12.0, 24.0)  # [samples] its integral times


class Gauge:
    """Watches loops (ny, B) sample by sample; they have settled `settle` samples after the last
    change of a setpoint or a disturbance."""

    def __init__(self, ny: int, columns: int, band: Array, settle: int, Ts: float) -> None:
        self._band, self._settle, self._Ts = band[:, None], settle, Ts
        self._error, self._total, self._overshoot = np.zeros((3, ny, columns))
        self._settling = np.zeros((ny, columns))
        self._side, self._before = np.zeros((ny, columns)), np.full((ny, columns), np.nan)
        self._flagged, self._samples = 0, 0

    def take(
        self, truth: Array, reference: Array, quiet: Array, status: NDArray[np.integer]
    ) -> None:
        """A sample: outputs and setpoints (ny, B), samples without a change (B,), flags (B,)."""
        error = truth - reference
        moved, changed = (reference != self._before).any(axis=0), quiet == 0
        self._side = np.where(moved, np.sign(-error), np.where(changed, 0.0, self._side))
        self._before = reference
        size = np.abs(error)
        self._total += size
        self._overshoot = np.maximum(self._overshoot, error * self._side)
        self._error = np.where(quiet >= self._settle, np.maximum(self._error, size), self._error)
        late = np.where(size > self._band, (quiet + 1.0) * self._Ts, 0.0)
        self._settling = np.maximum(self._settling, late)
        # a budget used up is an everyday matter of the real-time mode
        self._flagged += int(np.count_nonzero(status.astype(np.int64) & ~int(Status.BUDGET)))
        self._samples += 1

    @property
    def totals(self) -> Array:
        """The sum of |error| of every loop, (ny, B)."""
        return self._total

    @property
    def performance(self) -> Performance:
        """The worst of all loops, and the mean of their errors."""
        columns = self._error.shape[1]
        error, settling, overshoot = (
            tuple(part.max(axis=1).tolist())
            for part in (self._error, self._settling, self._overshoot)
        )
        mean = tuple((self._total.mean(axis=1) / self._samples).tolist())
        flagged = self._flagged / (self._samples * columns)
        return Performance(error, settling, overshoot, mean, flagged)


def merged(one: Performance, other: Performance, counts: tuple[int, int]) -> Performance:
    """Of two sets of so many loops together."""
    share = counts[1] / sum(counts)
    error, settling, overshoot = (
        tuple(map(max, getattr(one, name), getattr(other, name)))
        for name in ("error", "settling", "overshoot")
    )
    mean = tuple(a + share * (b - a) for a, b in zip(one.mean_error, other.mean_error, strict=True))
    flagged = one.flagged + share * (other.flagged - one.flagged)
    return Performance(error, settling, overshoot, mean, flagged)


def merged_loops(
    one: LoopPerformance | None, other: LoopPerformance | None, counts: tuple[int, int]
) -> LoopPerformance | None:
    """The same of a controller and its baselines."""
    if one is None or other is None:
        return None
    names = ("controller", "held", "pi")
    return LoopPerformance(
        *(merged(getattr(one, name), getattr(other, name), counts) for name in names)
    )


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

    def __init__(self, tuning: PiTuning, u_low: Array, u_high: Array, max_move: Array) -> None:
        self._t = tuning
        self._low, self._high, self._move = (a[:, None] for a in (u_low, u_high, max_move))

    def reset(self, y: Array, u: Array, known: Array) -> None:
        self._u = np.clip(u, self._low, self._high)
        self._error: Array | None = None

    def step(self, y: Array, reference: Array, known: Array) -> tuple[Array, NDArray[np.uint32]]:
        error = reference[0] - y
        rise = np.zeros_like(error) if self._error is None else error - self._error
        self._error = error
        move = self._t.gain @ (self._t.K * (rise + error / self._t.reset))
        move = np.clip(move, -self._move, self._move)
        self._u = np.clip(self._u + move, self._low, self._high)
        return self._u, np.zeros(y.shape[1], dtype=np.uint32)


def gauge_of(safe_set: Pairs, draw: Draw, settle: int, Ts: float) -> Gauge:
    """What watches the loops of a draw."""
    band = BAND * np.diff(np.array(safe_set), axis=1)[:, 0]
    return Gauge(len(band), draw.chi.shape[1], band, settle, Ts)


def run_baseline(
    plant: System,
    law: LoopLaw,
    draw: Draw,
    quiet: Array,
    settle: int,
    safe_set: Pairs,
    fleet: Held | Pi,
) -> Performance:
    """Run baselines side by side through the scenarios of a draw."""
    return _watched(plant, law, draw, quiet, settle, safe_set, fleet).performance


def _watched(
    plant: System,
    law: LoopLaw,
    draw: Draw,
    quiet: Array,
    settle: int,
    safe_set: Pairs,
    fleet: Held | Pi,
) -> Gauge:
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
    limits: tuple[Array, Array, Array],
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
    gauge = _watched(plant, law, many, quiet, len(quiet) + 1, safe_set, fleet)
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


def bounded(policy: Policy) -> bool:
    """Does the policy bound what a controller does?"""
    return any(
        (
            *(policy.max_error, policy.max_settling, policy.max_overshoot),
            *(limit is not None for limit in (policy.max_flagged, policy.held, policy.pi)),
        )
    )


def performance_reasons(
    policy: Policy, outputs: tuple[Signal, ...], loop: LoopVerification | None
) -> list[str]:
    """What the loops have shown that the policy does not allow."""
    if loop is None or loop.performance is None:
        return ["the loop verification does not say how the loops went; make it anew"]
    found, held, pi = (getattr(loop.performance, name) for name in ("controller", "held", "pi"))
    reasons = []
    for limits, shown, what, unit in (
        (policy.max_error, found.error, "largest error after settling", None),
        (policy.max_settling, found.settling, "settling time", "s"),
        (policy.max_overshoot, found.overshoot, "overshoot", None),
    ):
        if limits and len(limits) != len(outputs):
            reasons.append(
                f"the policy bounds the {what} of {len(limits)} output(s), there are {len(outputs)}"
            )
            continue
        for s, limit, value in zip(outputs, limits, shown, strict=False):
            if not value <= limit:
                reasons.append(
                    f"the {what} of {s.name} is {value:.4g} {unit or s.unit}, the policy allows"
                    f" {limit:g}"
                )
    if policy.max_flagged is not None and found.flagged > policy.max_flagged:
        reasons.append(
            f"{found.flagged:.2%} of the samples are flagged, the policy allows"
            f" {policy.max_flagged:.2%}"
        )
    for share, baseline, name in (
        (policy.held, held, "inputs held where they were"),
        (policy.pi, pi, "a PI controller tuned on them"),
    ):
        for s, mine, its in zip(outputs, found.mean_error, baseline.mean_error, strict=True):
            if share is not None and not mine <= share * its:
                reasons.append(
                    f"the mean error of {s.name} is {mine:.3g} {s.unit}, {mine / its:.2f} times"
                    f" that of {name}, the policy allows {share:g}"
                )
    return reasons
