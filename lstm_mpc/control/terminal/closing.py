"""The rule that makes the loop a theorem, around any solver: a plan is applied only if it costs no
more than the plan of the last sample, shifted and closed by the terminal law."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lstm_mpc.control.problem import Limits
from lstm_mpc.control.terminal.target import Target, TargetFinder
from lstm_mpc.control.terminal.terminal import Terminal
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array


@dataclass(frozen=True)
class Closing:
    """Targets, terminal law and cost of one problem."""

    model: Model
    limits: Limits
    terminal: Terminal

    @cached_property
    def finder(self) -> TargetFinder:
        return TargetFinder(self.model, self.limits)

    def followed(self, references: Array, target: Target) -> Array:
        """The setpoints (N+1, ny) with the last one, and all like it, as near as can be reached:
        there the stage cost is zero."""
        last = (references == references[-1]).all(axis=1, keepdims=True)
        return np.where(last, target.y, references)

    def cost(self, chi: Array, u: Array, target: Target) -> float:
        """V_f of the state (n,) at the horizon's end and the last input (nu,) [engineering]."""
        z = np.concatenate([chi - target.chi, (u - target.u) / self._span])
        return float(self.terminal.weights @ (z * z))

    def shift(self, plan: Array, target: Target) -> Array:
        """The plan (N, nu) one sample later, closed by the terminal law; no blocks."""
        closed = np.vstack([plan[1:], self.terminal.law(target, plan[-1])])
        return self.limits.admit(closed, plan[0])

    @cached_property
    def _span(self) -> Array:
        return self.model.roles.moved(self.model.scaling.u_span)
