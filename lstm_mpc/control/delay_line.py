"""What has been applied and has not yet reached the model, where the inputs are not equally
late."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array


class Line:
    """The inputs under way. By what all inputs are late the model runs ahead of the plant, as a
    probe's dead time has it; what is left, `model.uneven_delays`, is kept here: `past` (E, nu) are
    the last inputs, the newest at the end, in the units they are given in."""

    def __init__(self, model: Model) -> None:
        self._late = model.uneven_delays
        self.past: Array = np.zeros((int(self._late.max()), len(self._late)))

    def hold(self, u: ArrayLike) -> None:
        """`u` (nu,) has long been applied."""
        self.past = np.repeat(
            np.asarray(u, dtype=np.float64).reshape(1, -1), len(self.past), axis=0
        )

    def push(self, u: ArrayLike) -> Array:
        """`u` (nu,) is applied; what the model sees in this sample, (nu,)."""
        given = np.asarray(u, dtype=np.float64).reshape(1, -1)
        (seen,) = self.ahead(given)
        self.past = np.concatenate([self.past, given])[1:] if len(self.past) else self.past
        return np.asarray(seen)

    def ahead(self, plan: Array) -> Array:
        """What the model will see under `plan` (N, nu), (N, nu)."""
        if not len(self.past):
            return plan
        sample = np.arange(len(plan))[:, None] + len(self.past) - self._late
        return np.asarray(np.concatenate([self.past, plan])[sample, np.arange(len(self._late))])

    def within(self, low: Array, high: Array) -> bool:
        """Can these have been applied?"""
        return bool(((low <= self.past) & (self.past <= high)).all())
