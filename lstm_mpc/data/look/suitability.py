"""What recorded data can carry: outputs that integrate or are unstable, validation data that do not
cover the training data. One sentence each, with its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.plants.system import Array

_STAYS = 0.2  # what a level that integrates forgets of itself at most, over its memory
_EXPLAINED = 0.5  # of the variance of its increments that the inputs explain at least
_BLOCKS = 3  # into which the inputs within a memory are summed
_UNSTABLE = 3.0  # standard errors by which a pole lies beyond 1
_GROWS = 10.0  # and the exponent by which it would grow over the whole record
_COVERED = 0.6  # of the range of the training data that validation data must cover


@dataclass(frozen=True)
class Integration:
    """How output `name` moves over `samples`: the share of itself that it forgets meanwhile
    (`forgotten`), and the share of its increments that the inputs explain."""

    name: str
    samples: int
    forgotten: float
    explained: float

    @property
    def integrates(self) -> bool:
        return abs(self.forgotten) < _STAYS and self.explained > _EXPLAINED

    @property
    def sentence(self) -> str:
        """Why no stable model can describe it."""
        return (
            f"{self.name} integrates (its increments, not itself, follow the inputs: they explain"
            f" {100 * self.explained:.0f} % of its changes over {self.samples} samples, of itself"
            f" it forgets {100 * max(0.0, self.forgotten):.0f} %): no model under iss or delta_iss"
            " can describe it"
        )


def _regression(past: Array, values: Array, order: int) -> tuple[Array, Array]:
    lagged = [past[order - k : len(past) - k] for k in range(1, order + 1)]
    return np.hstack([*lagged, np.ones((len(past) - order, 1))]), values[order:]


def _ridge(X: Array, t: Array) -> Array:
    scale = np.sqrt((X**2).mean(axis=0)) + 1e-300
    S = X / scale
    found: Array = np.linalg.solve(S.T @ S + 1e-8 * len(S) * np.eye(S.shape[1]), S.T @ t)
    weights: Array = found / scale
    return weights


def integrations(dataset: Dataset, *, memory: int) -> list[Integration]:
    """How much every output integrates, over its `memory` [samples].

    Regression of y(k + h) − y(k) on y(k) and on the inputs summed over the blocks of the h samples
    between: an output at a stable plant forgets most of itself within its memory, whatever the
    inputs do; a level forgets nothing."""
    h = int(np.clip(2 * memory, 2 * _BLOCKS, min(len(r.u) for r in dataset.records) // 4))
    rows, targets = [], []
    for r in dataset.records:
        total = np.vstack([np.zeros((1, r.u.shape[1])), np.cumsum(r.u, axis=0)])
        ends = np.linspace(0, h, _BLOCKS + 1).astype(int)
        begin = np.arange(len(r.u) - h)
        sums = [total[begin + b] - total[begin + a] for a, b in pairwise(ends)]
        rows.append(np.hstack([*sums, np.ones((len(begin), 1))]))
        targets.append(np.stack([r.y[: len(begin)], r.y[h:]]))
    X, Y = np.vstack(rows), np.concatenate(targets, axis=1)
    found = []
    for j, s in enumerate(dataset.outputs):
        now, then = Y[0, :, j], Y[1, :, j]
        known = np.isfinite(now) & np.isfinite(then)
        change, own = (then - now)[known], (now - np.nanmean(now))[known]
        given = X[known]
        if len(change) < 4 * X.shape[1] or not np.ptp(change):
            continue
        both = np.column_stack([own, given])
        weights = _ridge(both, change)
        left = change - given @ _ridge(given, change)
        explained = 1.0 - float(left.var() / change.var())
        found.append(Integration(s.name, h, -float(weights[0]), explained))
    return found


def unstable(dataset: Dataset) -> dict[str, str]:
    """A sentence for every output, by its name, whose own past makes it grow: a pole of an ARX
    model of first order beyond 1 by more than three standard errors."""
    sentences = dict[str, str]()
    for j, s in enumerate(dataset.outputs):
        parts = [_regression(np.hstack([r.y[:, [j]], r.u]), r.y[:, j], 1) for r in dataset.records]
        X, t = np.vstack([x for x, _ in parts]), np.concatenate([t for _, t in parts])
        known = np.isfinite(np.column_stack([X, t])).all(axis=1)
        X, t = X[known], t[known]
        if len(t) < 10 * X.shape[1]:
            continue
        theta = _ridge(X, t)
        left = t - X @ theta
        scale = np.sqrt((X**2).mean(axis=0)) + 1e-300
        variance = np.linalg.pinv((X / scale).T @ (X / scale))[0, 0] / scale[0] ** 2
        error = float(np.sqrt(left.var() * variance))
        if theta[0] - 1.0 > _UNSTABLE * error and (theta[0] - 1.0) * len(t) > _GROWS:
            sentences[s.name] = (
                f"{s.name} is unstable (its pole {theta[0]:.3f} ± {error:.3f} lies beyond 1): no"
                " model under iss or delta_iss can describe it; stabilise it first, and let the"
                " setpoint of that controller be the input"
            )
    return sentences


def coverage(training: Dataset, validation: Dataset) -> list[str]:
    """A sentence for every output of which validation data see too little of the range that
    training data cover, or go beyond it."""
    sentences = []
    seen, judged = (
        np.vstack([np.hstack([r.u, r.y]) for r in d.records]) for d in (training, validation)
    )
    for s, a, b in zip((*training.inputs, *training.outputs), seen.T, judged.T, strict=True):
        low, high = np.nanpercentile(a, (1, 99))
        least, most = float(np.nanmin(b)), float(np.nanmax(b))
        if not high > low:
            continue
        share = max(0.0, min(high, most) - max(low, least)) / (high - low)
        width = f"[{least:.4g}, {most:.4g}] of [{low:.4g}, {high:.4g}] {s.unit}"
        if share < _COVERED:
            sentences.append(
                f"validation data see {s.name} in {width} of the training data,"
                f" {100 * share:.0f} % of it: the FIT says nothing of the rest"
            )
    return sentences
