"""The rule that makes the loop a theorem, around any solver: a plan is applied only if it costs no
more than the plan of the last sample, shifted and closed by the terminal law."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lstm_mpc.control.limits import Limits
from lstm_mpc.control.terminal.target import Target, TargetFinder
from lstm_mpc.control.terminal.terminal import Terminal
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array


@dataclass(frozen=True)
class Closing:
    """Targets, terminal law and cost of one problem.

    What the terminal law violates of a soft bound behind the horizon is at most `price` times how
    far a = reach·√V_f exceeds the distance g of the target from it, Σ_i `price`_i max(0, a_i −
    g_i): V_f falls by δ of itself in a sample, a to √(1 − δ)a or less, so the sum falls by no less
    than what the sample violates, v·max(0, a − g).
    """

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
        """What the plan's end costs: V_f of the state (n,) and the last input (nu,) [engineering],
        and what soft bounds may cost behind it; nothing for a target that is beyond one itself."""
        z = np.concatenate([chi - target.chi, (u - target.u) / self._span])
        return self.normalised_cost(z, self.model.scaling.y_in(target.y))

    def normalised_cost(self, z: Array, y: Array) -> float:
        """The same of the deviation z (m,), for the output y (ny,) at the target [normalised]."""
        quadratic, y_in = float(self.terminal.weights @ (z * z)), self.model.scaling.y_in
        gap = np.minimum(y_in(self.limits.y_high) - y, y - y_in(self.limits.y_low))
        if not self.soft or not (gap > 0).all():
            return quadratic
        beyond = np.maximum(0.0, self.terminal.reach * np.sqrt(quadratic) - gap)
        return quadratic + float(self.price @ beyond)

    def shift(self, plan: Array, target: Target) -> Array:
        """The plan (N, nu) one sample later, closed by the terminal law; no blocks."""
        closed = np.vstack([plan[1:], self.terminal.law(target, plan[-1])])
        return self.limits.admit(closed, plan[0])

    @cached_property
    def price(self) -> Array:
        """What a soft bound costs for ever, per normalised unit beyond it now, (ny,)."""
        decay = 1.0 - np.sqrt(1.0 - self.terminal.decay)
        dear = self.limits.violation_weight * (1 + 1e-6) / decay
        return np.asarray(dear * self.model.scaling.y_span)

    @property
    def soft(self) -> bool:
        """Whether an output has a soft bound that costs something."""
        bounded = np.isfinite([self.limits.y_low, self.limits.y_high]).any(axis=0)
        return bool((bounded & (self.limits.violation_weight > 0)).any())

    @cached_property
    def _span(self) -> Array:
        return self.model.roles.moved(self.model.scaling.u_span)
