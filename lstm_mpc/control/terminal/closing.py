"""The rule that makes the loop a theorem, around any solver: a plan is applied only if it costs no
more than the plan of the last sample, shifted and closed by the terminal law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lstm_mpc.certificates.rigorous import EPS
from lstm_mpc.control.problem import Limits
from lstm_mpc.control.terminal.target import Target, TargetFinder
from lstm_mpc.control.terminal.terminal import Terminal
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array

TAIL = 1000  # samples behind the horizon that soft bounds are looked at, at most
_POWERS = 200  # of M that are looked at one by one

Roll = Callable[[Array, Array], list[Array]]


@dataclass(frozen=True)
class Around:
    """What a plan meets behind its horizon as in its last sample: the disturbances of the outputs,
    `offset` (ny,), and of the inputs, `drive` (nu,), and the `measured` inputs (nd,) [engineering];
    `samples` at a time are simulated."""

    samples: int
    offset: Array
    drive: Array
    measured: Array


@dataclass(frozen=True)
class Closing:
    """Targets, terminal law and cost of one problem.

    Soft bounds of outputs have no part in the quadratic end: what the terminal law violates of
    them behind the horizon is added up along the model itself, until the end is so near its target
    that no later output can reach a bound. That sum loses exactly its first term from sample to
    sample.
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
        """V_f of the state (n,) at the horizon's end and the last input (nu,) [engineering]."""
        z = np.concatenate([chi - target.chi, (u - target.u) / self._span])
        return float(self.terminal.weights @ (z * z))

    def shift(self, plan: Array, target: Target) -> Array:
        """The plan (N, nu) one sample later, closed by the terminal law; no blocks."""
        closed = np.vstack([plan[1:], self.terminal.law(target, plan[-1])])
        return self.limits.admit(closed, plan[0])

    def tail(self, roll: Roll, end: tuple[Array, Array], target: Target, around: Around) -> float:
        """What the soft bounds cost behind the horizon, under the terminal law from the `end`, a
        state (n,) and the input (nu,) before it [engineering]; `roll` gives the states (N, n) of
        N samples. Zero for a target that is not within the bounds itself."""
        limits, scaling = self.limits, self.model.scaling
        gap = np.minimum(limits.y_high - target.y, target.y - limits.y_low)
        if not self.soft or not (gap > 0).all():
            return 0.0
        (chi, u), total, seen, joined = end, 0.0, 0, self.model.roles.joined
        decay = self.terminal.eta ** np.arange(1, around.samples + 1)[:, None]
        while seen < TAIL:
            z = np.abs(np.concatenate([chi - target.chi, (u - target.u) / self._span]))
            if (self._reach @ z * scaling.y_span <= gap * (1 - 1e-9)).all():
                break
            inputs = target.u + decay * (u - target.u)
            arriving = joined(inputs + around.drive, around.measured)
            states = roll(chi, arriving)[0].reshape(around.samples, -1)
            y = scaling.y_out(states @ self._C.T + self.model.network.b_y[:, 0]) + around.offset
            outside = np.maximum(0.0, y - limits.y_high) + np.maximum(0.0, limits.y_low - y)
            total += limits.violation_weight * float(outside.sum())
            chi, u, seen = states[-1], inputs[-1], seen + around.samples
        return total

    @property
    def soft(self) -> bool:
        """Whether an output has a soft bound that costs something."""
        bounded = np.isfinite([self.limits.y_low, self.limits.y_high]).any()
        return bool(bounded and self.limits.violation_weight > 0)

    @cached_property
    def _C(self) -> Array:
        C = np.zeros((self.model.network.ny, self.model.sizes.n))
        C[:, self.model.sizes.n - self.model.network.nx[-1] :] = self.model.network.C
        return C

    @cached_property
    def _reach(self) -> Array:
        """W (ny, m) with |C|M^k|z| ≤ W|z| for every k ≥ 1: the largest of the first powers, and of
        a multiple of a left vector q with qM ≤ q for all later ones."""
        M, nu = self.terminal.M, len(self.terminal.eta)
        power = np.hstack([np.abs(self._C), np.zeros((len(self._C), nu))]) @ M
        largest = power.copy()
        for _ in range(_POWERS):
            power = power @ M
            largest = np.maximum(largest, power)
        q = np.linalg.solve(np.eye(len(M)) - M.T, np.ones(len(M)))
        assert (q @ M <= q).all()
        assert (q > 0).all()
        later = (power / q).max(axis=1, keepdims=True) * q
        return np.asarray(np.maximum(largest, later) * (1 + 8 * len(M) * _POWERS * EPS))

    @cached_property
    def _span(self) -> Array:
        return self.model.roles.moved(self.model.scaling.u_span)
