"""Who looks at every iterate of a solve: keeps the best one, and decides when to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from lstm_mpc.certificates import conditions
from lstm_mpc.errors import InputError
from lstm_mpc.identification.options import TrainingOptions
from lstm_mpc.identification.solve.nlp import Cost
from lstm_mpc.model import lstm
from lstm_mpc.model.sensitivity import Piece
from lstm_mpc.plants.system import Array


@dataclass(frozen=True)
class Progress:
    """One iteration: the objective (mean square error, normalised), mean-removed FIT on the
    training data [%], exact margin δ, and the parameters θ, as `lstm.unpack` takes them."""

    seed: int
    iteration: int
    objective: float
    fit: float
    margin: float
    theta: Array = field(repr=False, compare=False)


def deviation(piece: Piece) -> float:
    """The weighted squares of a record's outputs around their means."""
    shares = piece.weight.sum(axis=0)
    y = np.where(piece.weight > 0, piece.y, 0.0)
    mean = (piece.weight * y).sum(axis=0) / np.where(shares > 0, shares, 1.0)
    return float((piece.weight * (y - mean) ** 2).sum())


class Watch:
    """Looks at every iterate: keeps the best one that satisfies the conditions exactly, and decides
    when to stop."""

    def __init__(
        self,
        cost: Cost,
        settings: TrainingOptions,
        radius: float,
        seed: int,
        growth: float | None,
        progress: Callable[[Progress], None] | None,
        stop: Callable[[], bool],
    ) -> None:
        self._cost, self._settings, self._radius, self._seed = cost, settings, radius, seed
        self._growth, self._progress, self._stop = growth, progress, stop
        self._spread = sum(deviation(p) for p in cost.error.pieces)
        if not self._spread > 0:
            raise InputError(
                "train: the outputs never move in what the washout leaves; nothing can be"
                " identified from them"
            )
        self.history: list[Progress] = []
        self.best: Progress | None = None
        self.kept: Array | None = None  # z of the best
        self._costs: list[float] = []
        self._least = np.inf  # cost of the best

    def __call__(self, z: Array) -> bool:
        """Note one iterate; true when training should end."""
        error, value = self._cost.error, self._cost.value(z)
        objective = 2.0 * error.value(z)
        theta = z[: error.sizes.parameters].copy()
        delta = conditions.smallest_margin(
            lstm.unpack(theta, error.sizes), self._settings.conditions, self._radius
        )
        fit = 100.0 * (1.0 - np.sqrt(objective / self._spread))
        entry = Progress(self._seed, len(self.history), objective, fit, delta, theta)
        self.history.append(entry)
        self._costs.append(value)
        if delta > 0 and value < self._least and self._grows_little(theta):
            self.best, self.kept, self._least = entry, z.copy(), value
        if self._progress is not None:
            self._progress(entry)
        return self._stop() or self._stale()

    def _grows_little(self, theta: Array) -> bool:
        """Whether (Âv)/v keeps to its bound, up to what IPOPT leaves of a constraint."""
        if self._growth is None:
            return True
        network = lstm.unpack(theta, self._cost.error.sizes)
        growth = 1.0 - conditions.smallest_margin(network, ("delta_iss",), self._radius)
        return growth <= self._growth * (1 + 1e-6)

    def _stale(self) -> bool:
        """The best cost of the last `patience` iterations is hardly below the best before them."""
        patience, least = self._settings.patience, self._settings.min_improvement
        if len(self._costs) <= 2 * patience or self.best is None:
            return False
        before, recent = min(self._costs[:-patience]), min(self._costs[-patience:])
        return abs(before - recent) < least * before
