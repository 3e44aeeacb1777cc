"""What every observer does, and the open-loop one: offset-free at every steady state, whatever the model error."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_mpc import lstm, stability
from lstm_mpc.control.move import OPTIMAL, Status
from lstm_mpc.control.problem import Limits, Problem
from lstm_mpc.errors import InputError
from lstm_mpc.model import Model, estimate_start
from lstm_mpc.system import Array, rest


class Observer(ABC):
    """The state of the model now, `chi` (n,), and what explains the rest: a `disturbance` (ny,) added to the output and an
    `input_disturbance` (nu,) added to the input [engineering], both taken to stay.

    Each sample: `correct` by the measurement, then `predict` under the input that was applied. What a correction changed is told twice:
    `prior`, the state and the normalised input disturbance before it, and `change`, what the correction made of them to first order, so
    that a solver may prepare before the measurement is there.

    An output whose measurement is not finite, outside the sensor's range, or equal to itself `frozen_after` times in a row (0: not
    asked) is not believed.
    """

    chi: Array
    disturbance: Array
    input_disturbance: Array
    _corrected: tuple[tuple[Array, Array], tuple[Array, Array]] | None = None  # prior and change, where a correction changed the state

    def __init__(self, model: Model, limits: Limits, problem: Problem) -> None:
        self._model, self._system, self._limits, self._frozen_after = model, model.system, limits, problem.frozen_after
        self._lag = round(problem.dead_time / model.Ts)
        self.input_disturbance = np.zeros(self._system.nu)
        self._forget()

    @property
    def prior(self) -> tuple[Array, Array]:
        if self._corrected is None:
            return self.chi, self.input_disturbance / self._model.scaling.u_span
        return self._corrected[0]

    @property
    def change(self) -> tuple[Array, Array]:
        return (np.zeros(self._system.n), np.zeros(self._system.nu)) if self._corrected is None else self._corrected[1]

    @abstractmethod
    def reset(self, y: ArrayLike, u: ArrayLike) -> Array:
        """Start at rest under the input `u` (nu,) that explains the measurement `y` (ny,). The output now, (ny,)."""

    @abstractmethod
    def sound(self) -> bool:
        """Is the state one that the model can be in? If not it is made anew, at rest under the safe input."""

    @abstractmethod
    def correct(self, y: ArrayLike, *, gain: float | None = None) -> Status:
        """Take in the measurement `y` (ny,) of this sample, and say what was wrong with it; after a reset `gain` is 1."""

    @abstractmethod
    def predict(self, u: ArrayLike) -> None:
        """Move on to the next sample under the applied input `u` (nu,)."""

    @abstractmethod
    def _from(self, chi: Array, u: Array) -> None:
        """Start as far back as the probe speaks of: in the state `chi` (n,) then, under the inputs `u` (lag, nu) since."""

    def begin(self, u: ArrayLike, y: ArrayLike) -> Array:
        """Start from the past: the inputs `u` (W, nu) of the last W samples and what was measured before each, `y` (W, ny) [engineering].
        The state of W samples ago is fitted to them, then the observer runs along. The output now, (ny,), before its measurement."""
        applied: Array = np.clip(np.atleast_2d(u), self._model.u_low, self._model.u_high)
        measured: Array = np.atleast_2d(np.asarray(y, dtype=np.float64))
        lag, W = self._lag, len(applied)
        if lag >= W:
            raise InputError(f"control: to begin from the past needs more than the {lag} sample(s) of dead time, got {W}")
        inside = (measured >= self._limits.sensor_low) & (measured <= self._limits.sensor_high)
        self._from(estimate_start(self._model, applied[: W - lag], np.where(inside, measured, np.nan)[lag:]), applied[:lag])
        self._forget()
        for k in range(lag, W):
            self.correct(measured[k], gain=1.0 if k == lag else None)
            self.predict(applied[k])
        return self.output()

    def output(self) -> Array:
        """The output now with the disturbance added to it, (ny,)."""
        return np.asarray(self._system.output(self.chi)).ravel() + self.disturbance

    def _forget(self) -> None:
        self._last, self._still = np.full(self._system.ny, np.nan), np.zeros(self._system.ny, dtype=int)

    def _believed(self, measurement: ArrayLike) -> tuple[Array, NDArray[np.bool_], Status]:
        """The measurement, which of it is believed, and what is wrong with the rest."""
        y: Array = np.array(measurement, dtype=np.float64).ravel()  # a copy: the caller may measure into the same memory again
        if y.size != self._system.ny:
            raise InputError(f"control: a measurement needs {self._system.ny} value(s), got {y.tolist()}")
        self._still = np.where(y == self._last, self._still + 1, 0)
        self._last = y
        valid = np.isfinite(y) & (y >= self._limits.sensor_low) & (y <= self._limits.sensor_high)
        frozen = valid & (self._still >= self._frozen_after) & (self._frozen_after > 0)
        invalid = OPTIMAL if valid.all() else Status.MEASUREMENT_INVALID
        return y, valid & ~frozen, invalid | Status.MEASUREMENT_FROZEN if frozen.any() else invalid


class OpenLoop(Observer):
    """χ̂⁺ = f(χ̂, u), d̂ ← d̂ + L_d (y − g(χ̂) − d̂): the model runs along, an output disturbance explains the rest.

    If d̂ settles, the predicted output g(χ̂) + d̂ equals the measured one, so a controller that brings the prediction to the
    setpoint leaves no offset. Convergence of χ̂ needs δISS, and 0 < L_d < 2 that of d̂; (7) alone bounds it. With a dead time a measurement
    is compared with the output predicted for the moment it speaks of. What is not believed leaves its disturbance as it was.
    """

    def __init__(self, model: Model, limits: Limits, problem: Problem) -> None:
        super().__init__(model, limits, problem)
        self._gain, self._bound = problem.observer_gain, state_bound(model)
        self._start = rest(self._system, limits.u_safe)
        self._begin(self._start)

    def reset(self, y: ArrayLike, u: ArrayLike) -> Array:
        """At rest under `u`, the whole mismatch with `y` taken as disturbance."""
        self._begin(rest(self._system, u))
        self._forget()
        self.correct(y, gain=1.0)
        self._forget()  # the first step may bring this measurement once more
        return self.output()

    def _from(self, chi: Array, u: Array) -> None:
        self._begin(chi)
        for applied in u:
            self.predict(applied)

    def sound(self) -> bool:
        held = np.concatenate([self.chi, self.disturbance, *self._under_way])
        if np.isfinite(held).all() and (np.abs(self.chi) <= self._bound).all():
            return True
        self._begin(self._start)
        return False

    def _begin(self, chi: Array) -> None:
        self.chi: Array = chi.copy()
        self.disturbance: Array = np.zeros(self._system.ny)
        self._under_way = deque([self._output()] * (self._lag + 1), maxlen=self._lag + 1)  # the oldest is the one now measured

    def correct(self, y: ArrayLike, *, gain: float | None = None) -> Status:
        y, believed, status = self._believed(y)
        innovation = np.where(believed, y, 0.0) - self._under_way[0] - self.disturbance
        moved = self.disturbance + (self._gain if gain is None else gain) * innovation
        self.disturbance = np.where(believed, moved, self.disturbance)
        return status

    def predict(self, u: ArrayLike) -> None:
        self.chi = np.asarray(self._system.step(self.chi, u, np.zeros(0))).ravel()
        self._under_way.append(self._output())

    def _output(self) -> Array:
        return np.asarray(self._system.output(self.chi)).ravel()


def state_bound(model: Model, *, beyond: float = 0.0) -> Array:
    """What |χ| (n,) cannot exceed: in every cell |x| ≤ x̄ = i c/(1 − f) from any start within, and |ξ| < 1; for inputs as much as `beyond`
    [normalised] outside the actuator limits."""
    bounds = []
    for number, layer in enumerate(model.network.layers):
        radius = stability.layer_radius(number, model.scaling.radius + beyond)
        f, i, _, c = (np.asarray(ca.DM(stability.gate_tops(layer, g, stability.Numbers(), radius))).ravel() for g in lstm.GATES)
        bounds += [i * c / (1 - f) * (1 + 1e-6) + 1e-6, np.ones(layer.nx)]
    return np.concatenate(bounds)
