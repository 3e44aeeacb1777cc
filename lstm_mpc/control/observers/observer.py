"""What every observer does, and the open-loop one: offset-free at every steady state, whatever the
model error."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_mpc.certificates import conditions
from lstm_mpc.certificates.reachability import settled_box
from lstm_mpc.certificates.rigorous import Box
from lstm_mpc.control.controller import OPTIMAL, Status
from lstm_mpc.control.delay_line import Line
from lstm_mpc.control.limits import Limits
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError
from lstm_mpc.model.data_fit import estimate_core
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import Array


@dataclass(frozen=True)
class Estimate:
    """What an observer takes for possible: `chi` (n, 1), the state where the probe speaks; `passed`
    (·, nu + nd), the normalised inputs that have arrived at the model since; `push` (nu,), what is
    added to the inputs that are moved [normalised], and `added` (ny,) to the outputs
    [engineering]."""

    chi: Box
    passed: tuple[Array, ...]
    push: Box
    added: Box


class Observer(ABC):
    """The state of the model now, `chi` (n,), and what explains the rest: a `disturbance` (ny,)
    added to the output and an `input_disturbance` (nu,) added to the inputs that are moved
    [engineering], both taken to stay. Where inputs are told, they are all (nu + nd,), the measured
    ones among them.

    Each sample: `correct` by the measurement, then `predict` under the input that was applied. With
    input delays `chi` is the state that the quickest input acts on, and inputs pass a `line` on
    their way to the model. What a correction changed is told twice: `prior`, the state and the
    normalised input disturbance before it, and `change`, what the correction made of them to first
    order, so that a solver may prepare before the measurement is there.

    An output whose measurement is not finite, outside the sensor's range, or equal to itself
    `frozen_after` times in a row (0: not asked) is not believed."""

    chi: Array
    disturbance: Array
    input_disturbance: Array
    # prior and change, where a correction changed the state
    _corrected: tuple[tuple[Array, Array], tuple[Array, Array]] | None = None

    def __init__(self, model: Model, limits: Limits, problem: ControlProblem) -> None:
        self._model, self._system, self._limits, self._frozen_after = (
            model,
            model.core,
            limits,
            problem.frozen_after,
        )
        self._lag, self.line = problem.lag(model), Line(model)
        self._moved, self._box = model.roles.moved, settled_box(model, model.scaling.radius)
        self.input_disturbance = np.zeros(len(model.manipulated))
        self._safe = model.roles.joined(limits.u_safe, limits.measured_rest)
        self._forget()

    @property
    def prior(self) -> tuple[Array, Array]:
        if self._corrected is None:
            return self.chi, self.input_disturbance / self._moved(self._model.scaling.u_span)
        return self._corrected[0]

    @property
    def change(self) -> tuple[Array, Array]:
        return (
            (np.zeros(self._system.n), np.zeros(len(self._model.manipulated)))
            if self._corrected is None
            else self._corrected[1]
        )

    def reset(self, y: ArrayLike, u: ArrayLike) -> Array:
        """Start at rest under the inputs `u`, the mismatch with the measurement `y` (ny,)
        taken for a disturbance that has long been there. The output now, (ny,)."""
        self._rest(u)
        self._settle(self._model.scaling.u_in(u))
        self._forget()
        self.correct(y, gain=1.0)
        self._forget()  # the first step may bring this measurement once more
        return self.output()

    def _rest(self, u: ArrayLike) -> None:
        """Under the inputs `u` since long; nothing is known of the disturbance."""
        self.line.hold(u)
        self._begin(self._within(rest(self._system, u)), self._model.scaling.u_in(u))

    def _within(self, chi: Array) -> Array:
        """A start `chi` (n,) within the box of the tube, which every trajectory enters."""
        return np.clip(chi, self._box[:, 0], self._box[:, 1])

    def sound(self) -> bool:
        """Is the state one that the model can be in? If not it is made anew, at rest under the safe
        input."""
        if self._whole() and self.line.within(self._model.u_low, self._model.u_high):
            return True
        self._rest(self._safe)
        return False

    def predict(self, u: ArrayLike) -> None:
        """Move on to the next sample under the inputs `u` of this one."""
        self._move(self.line.push(u))

    @abstractmethod
    def correct(self, y: ArrayLike, *, gain: float | None = None) -> Status:
        """Take in the measurement `y` (ny,) of this sample, and say what was wrong with it; after a
        reset `gain` is 1."""

    @abstractmethod
    def _begin(self, chi: Array, v: Array) -> None:
        """Start at rest in the state `chi` (n,) under the normalised input `v` (nu,)."""

    def _settle(self, v: Array) -> None:  # noqa: B027, most have nothing to do
        """What else comes to rest under the normalised input `v` (nu,)."""

    @abstractmethod
    def _whole(self) -> bool:
        """Is everything but the line as it can be?"""

    @abstractmethod
    def _move(self, u: Array) -> None:
        """Move on to the next sample under the input `u` (nu,) that arrives at the model."""

    @abstractmethod
    def _from(self, chi: Array, u: Array) -> None:
        """Start as far back as the probe speaks of: in the state `chi` (n,) then, under the inputs
        `u` (lag, nu) that arrived since."""

    def begin(self, u: ArrayLike, y: ArrayLike) -> Array:
        """Start from the past: the inputs `u` (W, nu + nd) of the last W samples and what was
        measured before each, `y` (W, ny) [engineering]. The state of W samples ago is fitted to
        them, then the observer runs along. The output now, (ny,), before its measurement."""
        applied: Array = np.clip(np.atleast_2d(u), self._model.u_low, self._model.u_high)
        unknown, lag = len(self.line.past), self._lag  # what was under way at first is not known
        if lag + unknown >= len(applied):
            needed = f"{lag + unknown} sample(s) of dead time" + (
                " and input delays" if any(self._model.delays) else ""
            )
            raise InputError(
                f"control: to begin from the past needs more than the {needed}, got {len(applied)}"
            )
        arrived: Array = np.array([self.line.push(row) for row in applied])[unknown:]
        measured: Array = np.atleast_2d(np.asarray(y, dtype=np.float64))[unknown:]
        inside = (measured >= self._limits.sensor_low) & (measured <= self._limits.sensor_high)
        chi = estimate_core(
            self._model, arrived[: len(arrived) - lag], np.where(inside, measured, np.nan)[lag:]
        )
        self._from(self._within(chi), arrived[:lag])
        self._forget()
        for k in range(lag, len(arrived)):
            self.correct(measured[k], gain=1.0 if k == lag else None)
            self._move(arrived[k])
        return self.output()

    def output(self) -> Array:
        """The output now with the disturbance added to it, (ny,)."""
        return np.asarray(self._system.output(self.chi)).ravel() + self.disturbance

    def estimate(self) -> Estimate:
        """All that state and disturbances may be; the estimate itself where nothing is known of
        its spread."""
        push = self.input_disturbance / self._moved(self._model.scaling.u_span)
        chi, added = self.chi[:, None], self.disturbance
        return Estimate(Box(chi, chi), (), Box(push, push), Box(added, added))

    def _forget(self) -> None:
        self._last, self._still = (
            np.full(self._system.ny, np.nan),
            np.zeros(self._system.ny, dtype=int),
        )

    def _believed(self, measurement: ArrayLike) -> tuple[Array, NDArray[np.bool_], Status]:
        """The measurement, which of it is believed, and what is wrong with the rest."""
        # a copy: the caller may measure into the same memory again
        y: Array = np.array(measurement, dtype=np.float64).ravel()
        if y.size != self._system.ny:
            raise InputError(
                f"control: a measurement needs {self._system.ny} value(s), got {y.tolist()}"
            )
        self._still = np.where(y == self._last, self._still + 1, 0)
        self._last = y
        valid = np.isfinite(y) & (y >= self._limits.sensor_low) & (y <= self._limits.sensor_high)
        frozen = valid & (self._still >= self._frozen_after) & (self._frozen_after > 0)
        invalid = OPTIMAL if valid.all() else Status.MEASUREMENT_INVALID
        return y, valid & ~frozen, invalid | Status.MEASUREMENT_FROZEN if frozen.any() else invalid


class OpenLoop(Observer):
    """χ̂⁺ = f(χ̂, u), d̂ ← d̂ + L_d (y − g(χ̂) − d̂): the model runs along, an output disturbance
    explains the rest.

    If d̂ settles, the predicted output g(χ̂) + d̂ equals the measured one, so a controller that
    brings the prediction to the setpoint leaves no offset. Convergence of χ̂ needs δISS, and 0 <
    L_d < 2 that of d̂; (7) alone bounds it. With a dead time a measurement is compared with the
    output predicted for the moment it speaks of. What is not believed leaves its disturbance as it
    was."""

    def __init__(self, model: Model, limits: Limits, problem: ControlProblem) -> None:
        super().__init__(model, limits, problem)
        self._gain, self._bound = problem.observer_gain, state_bound(model)
        self._rest(self._safe)

    def _from(self, chi: Array, u: Array) -> None:
        self._begin(chi, self._model.scaling.u_mid)
        for arrived in u:
            self._move(arrived)

    def _whole(self) -> bool:
        held = np.concatenate([self.chi, self.disturbance, *self._under_way])
        return bool(np.isfinite(held).all() and (np.abs(self.chi) <= self._bound).all())

    def _begin(self, chi: Array, v: Array) -> None:
        self.chi: Array = chi.copy()
        self.disturbance: Array = np.zeros(self._system.ny)
        # the oldest is the one now measured
        self._under_way = deque([self._output()] * (self._lag + 1), maxlen=self._lag + 1)

    def correct(self, y: ArrayLike, *, gain: float | None = None) -> Status:
        y, believed, status = self._believed(y)
        innovation = np.where(believed, y, 0.0) - self._under_way[0] - self.disturbance
        moved = self.disturbance + (self._gain if gain is None else gain) * innovation
        self.disturbance = np.where(believed, moved, self.disturbance)
        return status

    def _move(self, u: Array) -> None:
        self.chi = np.asarray(self._system.step(self.chi, u, np.zeros(0))).ravel()
        self._under_way.append(self._output())

    def _output(self) -> Array:
        return np.asarray(self._system.output(self.chi)).ravel()


def state_bound(model: Model, *, beyond: float = 0.0) -> Array:
    """What |χ| (n,) cannot exceed: in every cell |x| ≤ x̄ = i c/(1 − f) from any start within, and
    |ξ| < 1; for inputs as much as `beyond` [normalised] outside the actuator limits."""
    bounds = []
    for number, layer in enumerate(model.network.layers):
        radius = conditions.layer_radius(number, model.scaling.radius + beyond)
        x_bar = conditions.gate_numbers(layer, radius)["x_bar"]
        bounds += [x_bar * (1 + 1e-6) + 1e-6, np.ones(layer.nx)]
    return np.concatenate(bounds)
