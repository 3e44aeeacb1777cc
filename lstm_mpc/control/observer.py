"""Open-loop observer with an output disturbance: offset-free at every steady state, whatever the model error."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.model import Model
from lstm_mpc.system import Array, rest


class Observer:
    """χ̂⁺ = f(χ̂, u), d̂ ← d̂ + L_d (y − g(χ̂) − d̂): the model runs along, the disturbance explains the rest.

    If d̂ settles, the predicted output g(χ̂) + d̂ equals the measured one, so a controller that brings the prediction to the
    setpoint leaves no offset. Convergence of χ̂ needs δISS; (7) alone bounds it. `lag` is the dead time of the probe in
    samples: a measurement is compared with the output predicted for the moment it speaks of.
    """

    def __init__(self, model: Model, gain: float, *, lag: int = 0) -> None:
        self._system, self._gain, self._lag = model.system, gain, lag
        self.chi: Array = model.system.x0
        self.disturbance: Array = np.zeros(model.system.ny)
        self._under_way: deque[Array] = deque()  # predicted outputs, the oldest is the one now measured

    def reset(self, y: ArrayLike, u: ArrayLike) -> None:
        """Start at rest under the input `u` (nu,), the whole mismatch with `y` (ny,) taken as disturbance."""
        self.chi = rest(self._system, u)
        self._under_way = deque([self._output()] * (self._lag + 1), maxlen=self._lag + 1)
        self.disturbance = np.zeros(self._system.ny)
        if np.isfinite(y).all():
            self.disturbance = np.asarray(y, dtype=np.float64) - self._under_way[0]

    def correct(self, y: ArrayLike) -> None:
        """Take in the measurement `y` (ny,) of this sample; one that is not finite is left out and the disturbance held."""
        if not np.isfinite(y).all():
            return
        self.disturbance = self.disturbance + self._gain * (np.asarray(y) - self._under_way[0] - self.disturbance)

    def predict(self, u: ArrayLike) -> None:
        """Move on to the next sample under the applied input `u` (nu,)."""
        self.chi = np.asarray(self._system.step(self.chi, u, np.zeros(0))).ravel()
        self._under_way.append(self._output())

    def _output(self) -> Array:
        return np.asarray(self._system.output(self.chi)).ravel()
