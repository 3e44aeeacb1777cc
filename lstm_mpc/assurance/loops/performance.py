"""How well closed loops go: error, settling and overshoot, and what the policy says of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.assurance.loop_law import Pairs
from lstm_mpc.certificates.evidence import LoopPerformance, LoopVerification, Performance
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.control.controller import Status
from lstm_mpc.control.loop_metrics import band_of
from lstm_mpc.control.scenario import Draw
from lstm_mpc.plants.system import Array, Signal


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


def gauge_of(safe_set: Pairs, draw: Draw, settle: int, Ts: float) -> Gauge:
    """What watches the loops of a draw."""
    band = band_of(safe_set)
    return Gauge(len(band), draw.chi.shape[1], band, settle, Ts)


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
    if loop is None or loop.performance is None or len(loop.low) != len(outputs):
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
        for s, limit, value in zip(outputs, limits, shown, strict=bool(limits)):
            if not value <= limit:
                reasons.append(
                    f"the {what} of {s.name} is {value:.4g} {unit or s.unit}, the policy allows"
                    f" {limit:g}"
                )
    if policy.max_flagged is not None and not found.flagged <= policy.max_flagged:
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
                    f"the mean error of {s.name} is {mine:.3g} {s.unit}, that of {name}"
                    f" {its:.3g}; the policy allows {share:g} of it"
                )
    return reasons
