"""The runtime monitor: where the model may go under a plan, from everything that its state may be,
before the first input of the plan is applied.

The equations are those of `certificates.reachability`, rounded outwards; the exported C does the
same in its own arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstm_mpc.certificates.reachability import output_box, step
from lstm_mpc.certificates.rigorous import Box
from lstm_mpc.control.observers.observer import Observer
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array


class Monitor:
    """Does the tube of the next steps stay within the safe set?

    Args:
        model: The prediction model.
        problem: The control problem, whose `monitor` is the number of steps.
        safe_set: (low, high) of each output [engineering].
    """

    def __init__(
        self, model: Model, problem: ControlProblem, safe_set: Sequence[tuple[float, float]]
    ) -> None:
        self._model, self._steps = model, problem.monitor
        self._safe = np.array(safe_set, dtype=np.float64)

    def tube(self, observer: Observer, arriving: Array) -> tuple[Array, Array]:
        """The outputs that the model may have under a plan.

        Args:
            observer: What the state may be now.
            arriving: What arrives at the network under the plan, (N, nu + nd) [engineering].

        Returns:
            Lower and upper ends after each step, (steps, ny) [engineering].
        """
        model, estimate = self._model, observer.estimate()
        planned = model.scaling.u_in(arriving[: self._steps])
        chi, ends = estimate.chi, []
        for number, v in enumerate([*estimate.passed, *planned]):
            push = model.roles.joined
            inputs = Box(
                (v + push(estimate.push.low, 0.0))[:, None],
                (v + push(estimate.push.high, 0.0))[:, None],
            )
            chi = step(model.network, chi, inputs)
            if number >= len(estimate.passed):
                y = output_box(model, chi)
                ends.append((y.low[:, 0] + estimate.added.low, y.high[:, 0] + estimate.added.high))
        low, high = np.array(ends).transpose(1, 0, 2)
        return low, high

    def leaves(self, observer: Observer, arriving: Array) -> bool:
        """Whether an output may be outside the safe set after one of the steps.

        Args:
            observer: What the state may be now.
            arriving: As in `tube`.

        Returns:
            Whether the tube is not within the set; what is no number is not.
        """
        low, high = self.tube(observer, arriving)
        return not ((low >= self._safe[:, 0]).all() and (high <= self._safe[:, 1]).all())
