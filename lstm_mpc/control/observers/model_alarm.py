"""When plant and model part: the errors of the model in open loop beside the tube that they had on
data that it was not trained on."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.certificates.evidence import ErrorTube
from lstm_mpc.certificates.gate import Release
from lstm_mpc.control.controller import foreseen
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import Array


def alarm_tube(release: Release) -> ErrorTube:
    """The error tube of a release, about which an alarm is raised.

    Args:
        release: The release.

    Returns:
        The tube, of its model and with a width.

    Raises:
        InputError: It has none.
    """
    validation, model = release.validation, release.model
    if validation is None or validation.error_tube is None:
        raise InputError(
            "alarm: it needs an error tube, which the release has none of; `validate` the model and"
            " release it anew"
        )
    return _usable(model, validation.error_tube)


def _usable(model: Model, tube: ErrorTube) -> ErrorTube:
    if tube.model != model.digest:
        raise InputError(
            f"alarm: the error tube speaks of model {tube.model[:12]}, not of {model.digest[:12]};"
            " validate this one"
        )
    if not tube.width:
        raise InputError(f"alarm: {tube.sentence(model.outputs)}")
    return tube


class ModelAlarm:
    """The model runs along under the inputs that are applied, and nothing corrects it.

    As long as the plant is what it was when the records of the tube were taken, and is driven
    alike, at most a share `tube.alpha` of all blocks of `tube.block` samples holds an alarm. What
    was not measured raises none, nor do the first `tube.transient` samples.

    Args:
        model: The model.
        tube: The tube of its errors.
        lag: Samples by which measurements are late beyond what the model knows.

    Raises:
        InputError: The tube is of another model, or has no width.
    """

    def __init__(self, model: Model, tube: ErrorTube, *, lag: int = 0) -> None:
        self._model, self.tube = model, _usable(model, tube)
        self._outputs: deque[Array] = deque(maxlen=lag + 1)
        self._inputs = np.array([s.typical for s in model.inputs], dtype=np.float64)
        self.reset([s.resting for s in model.manipulated])

    def reset(self, u: ArrayLike, measured: ArrayLike = ()) -> None:
        """Begin at rest.

        Args:
            u: The inputs that are moved, (nu,) [engineering].
            measured: The measured ones, (nd,), where the model has such.
        """
        self._chi = rest(self._model.system, self._heard(u, measured))
        self._outputs.clear()
        self._samples = 0

    def step(self, y: ArrayLike, u: ArrayLike, measured: ArrayLike = ()) -> bool:
        """A sample.

        Args:
            y: What was measured, (ny,) [engineering].
            u: The inputs that are applied now, (nu,) [engineering]; NaN: as before.
            measured: The measured ones, (nd,) or with a forecast; what is not valid is as before.

        Returns:
            Whether an output is further from the model than the tube is wide.
        """
        far = self.far(y)
        self.advance(u, measured)
        return far

    def far(self, y: ArrayLike) -> bool:
        """The first half of `step`.

        Args:
            y: What was measured, (ny,) [engineering].

        Returns:
            Whether an output is further from the model than the tube is wide.
        """
        self._outputs.append(np.asarray(self._model.system.output(self._chi)).ravel())
        self._samples += 1
        error = np.abs(np.ravel(y) - self._outputs[0])  # NaN: not measured
        return self._samples > self.tube.transient and bool((error > self.tube.width).any())

    def advance(self, u: ArrayLike, measured: ArrayLike = ()) -> None:
        """The second half of `step`.

        Args:
            u: The inputs that are applied now, (nu,) [engineering]; NaN: as before.
            measured: The measured ones, (nd,) or with a forecast; what is not valid is as before.
        """
        system, inputs = self._model.system, self._heard(u, measured)
        self._chi = np.asarray(system.step(self._chi, inputs, system.d_nominal)).ravel()

    def _heard(self, u: ArrayLike, measured: ArrayLike) -> Array:
        """All inputs (nu + nd,) of a sample; one that is not valid is as it was."""
        model, roles = self._model, self._model.roles
        now = roles.joined(np.ravel(u), foreseen(measured, 1, roles.measured.size)[0])
        valid, at = np.isfinite(now), roles.measured
        valid[at] &= (now[at] >= model.u_low[at]) & (now[at] <= model.u_high[at])
        self._inputs = np.where(valid, now, self._inputs)
        return self._inputs


def alarm_of(release: Release, problem: ControlProblem) -> ModelAlarm:
    """The alarm of a controller.

    Args:
        release: Its release, whose error tube it is about.
        problem: Its problem, which says how late the probe is.

    Returns:
        The alarm, at rest.

    Raises:
        InputError: The release has no error tube.
    """
    lag = round(problem.dead_time / release.model.Ts)
    return ModelAlarm(release.model, alarm_tube(release), lag=lag)
