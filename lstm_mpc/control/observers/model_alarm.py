"""When plant and model part: the errors of the model in open loop beside the tube that they had on
data that it was not trained on."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.certificates.evidence import ErrorTube
from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import Array


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
        if tube.model != model.digest:
            raise InputError(
                f"alarm: the error tube speaks of model {tube.model[:12]}, not of"
                f" {model.digest[:12]}; validate this one"
            )
        if not tube.width:
            raise InputError(f"alarm: {tube.sentence(model.outputs)}")
        self._model, self._tube = model, tube
        self._outputs: deque[Array] = deque(maxlen=lag + 1)
        self.reset([s.resting for s in model.inputs])

    def reset(self, u: ArrayLike) -> None:
        """Begin at rest.

        Args:
            u: All inputs, (nu,) [engineering].
        """
        self._chi = rest(self._model.system, np.ravel(u))
        self._outputs.clear()
        self._samples = 0

    def wait(self) -> None:
        """Count the first samples anew."""
        self._samples = 0

    def step(self, y: ArrayLike, u: ArrayLike) -> bool:
        """A sample.

        Args:
            y: What was measured, (ny,) [engineering].
            u: All inputs that are applied now, (nu,) [engineering].

        Returns:
            Whether an output is further from the model than the tube is wide.
        """
        system = self._model.system
        self._outputs.append(np.asarray(system.output(self._chi)).ravel())
        self._chi = np.asarray(system.step(self._chi, np.ravel(u), system.d_nominal)).ravel()
        self._samples += 1
        error = np.abs(np.ravel(y) - self._outputs[0])  # NaN: not measured
        return self._samples > self._tube.transient and bool((error > self._tube.width).any())
