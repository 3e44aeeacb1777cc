"""Dead times, and feedback, by the correlation of whitened signals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.look.correlation import correlate
from lstm_mpc.plants.system import Array

_WHITENING = 20  # order of the autoregressive model that whitens an input
_SURE = 4.0  # a peak so many times its bound is a dead time, not luck
_SAMPLES_A_LAG, _FEWEST_LAGS = 4, 3  # what a correlation needs


@dataclass(frozen=True)
class Delay:
    """The dead time [samples] from an input to an output beyond the one sample that a strictly
    proper model has: the first lag at which the correlation of the whitened signals leaves its 99 %
    bound, less one. `peak` is the largest correlation in units of that bound, `feedback` the
    largest with inputs that come after the output; both are 0 where too few samples are known."""

    samples: int
    peak: float
    feedback: float = 0.0

    @property
    def sure(self) -> bool:
        return self.peak >= _SURE

    def words(self, Ts: float) -> str:
        """The dead time in words, for samples every `Ts` [s]."""
        if not self.peak:
            return "none can be told from these data; too few samples follow each other"
        sure = f"{self.samples} samples ({self.samples * Ts:g} s)"
        verdict = sure if self.sure else "none that is sure"
        return f"{verdict}; the correlation peaks at {self.peak:.1f} × its 99 % bound"


def dead_time(dataset: Dataset, i: int, j: int, lags: int) -> Delay:
    """From input i to output j: both are filtered by what whitens the input, then correlated (Box
    and Jenkins 1976, chapter 11). A filter reaches over fewer samples, and fewer lags are searched,
    where few outputs are known one after another."""
    longest = min(_WHITENING, min(len(r.u) for r in dataset.records) // 5)
    for order in (n for n in (_WHITENING, 10, 5, 2, 1, 0) if n <= longest or n == 0):
        whitener = _whitener([r.u[:, i] for r in dataset.records], order)
        errors = [_filter(r.y[:, j], whitener)[:, None] for r in dataset.records]
        samples = int(np.isfinite(np.vstack(errors)).sum())
        if samples >= _SAMPLES_A_LAG * lags:
            break
    usable = min(lags, samples // _SAMPLES_A_LAG)
    if usable < _FEWEST_LAGS or np.nanstd(np.vstack(errors)) == 0:
        return Delay(0, 0.0)
    inputs = [_filter(r.u[:, i], whitener)[:, None] for r in dataset.records]
    found = correlate(errors, inputs, lags=usable)
    past = np.abs(found.cross[found.lags :, 0, 0]) / found.cross_bound[0, 0]
    beyond = np.flatnonzero(past > 1.0)
    sure = np.flatnonzero(past > max(1.0, min(_SURE, 0.3 * float(past.max()))))
    first = int(sure[0]) if sure.size else int(beyond[0]) if beyond.size else 0
    coming = np.abs(found.cross[: found.lags, 0, 0]) / found.cross_bound[0, 0]
    return Delay(max(0, first - 1), float(past.max()), float(coming.max()))


def _whitener(parts: list[Array], order: int) -> Array:
    """The coefficients of an autoregressive model of a signal, as a filter that whitens it."""
    if not order:
        return np.ones(1)
    mean = float(np.concatenate(parts).mean())
    rows, targets = [], []
    for part in parts:
        centred = part - mean
        shifted = [centred[order - k : len(part) - k] for k in range(1, order + 1)]
        rows.append(np.column_stack(shifted))
        targets.append(centred[order:])
    X, t = np.vstack(rows), np.concatenate(targets)
    ridge = 1e-6 * float((t**2).sum() + 1e-300) * np.eye(order)
    return np.concatenate([[1.0], -np.linalg.solve(X.T @ X + ridge, X.T @ t)])


def _filter(values: Array, whitener: Array) -> Array:
    """NaN where not every sample is known."""
    return np.convolve(values, whitener, mode="valid")
