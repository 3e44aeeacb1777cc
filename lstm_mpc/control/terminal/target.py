"""Where the loop is to come to rest: the steady state whose output is the setpoint, or as near as
the limits allow."""

from __future__ import annotations

from dataclasses import dataclass

import casadi as ca
import numpy as np

from lstm_mpc.control.limits import Limits
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.model.sensitivity import Buffered
from lstm_mpc.plants.system import Array

_REACHED = 1e-6  # [share of the output span] what counts as met
_PULL = 1e-9  # towards the safe input, relative to the outputs' weight, where these leave it free
_NEWTON, _OUTER, _SWEEPS, _HALVINGS = 30, 40, 60, 20
_SETTLING = 400  # samples of plain iteration, where Newton's steps do not help
RESIDUAL = 1e-12  # of f(χ̄, ū) − χ̄ [normalised] with which a target counts as steady


@dataclass(frozen=True)
class Target:
    """A steady state of the model: `chi` (n,), the input `u` (nu,) that holds it, within the
    limits, and the output `y` (ny,) there [engineering]; `reached` when that is the setpoint."""

    chi: Array
    u: Array
    y: Array
    reached: bool


class TargetFinder:
    """Finds targets for a model and limits, each from the one before.

    For a given input Newton's method solves f(χ, u) = χ, which has one solution in the set that no
    trajectory leaves, since the model is δISS. Gauss–Newton steps in the input within its bounds
    bring the output to the setpoint, never further away. Where the static characteristic is not
    monotone, "nearest" means the nearest on the way from the last target. What is asked twice is
    answered alike, to the bit.
    """

    def __init__(self, model: Model, limits: Limits) -> None:
        self._model, self._limits, self._roles = model, limits, model.roles
        n, nu = model.sizes.n, model.sizes.nu
        chi, v = ca.SX.sym("chi", n), ca.SX.sym("v", nu)
        following = lstm.step(model.network, chi, v)
        slopes = ca.densify(ca.jacobian(following, ca.vertcat(chi, v)))
        self._stage = Buffered(ca.Function("stage", [chi, v], [following, ca.vec(slopes)]))
        self._C = np.zeros((model.network.ny, n))
        self._C[:, n - model.network.nx[-1] :] = model.network.C
        self._b = np.asarray(model.network.b_y).ravel()
        self._mid, self._span = (
            self._roles.moved(part) for part in (model.scaling.u_mid, model.scaling.u_span)
        )
        self._low, self._high, self._safe = (
            (u - self._mid) / self._span for u in (limits.u_low, limits.u_high, limits.u_safe)
        )
        self.weight = limits.output_weight * model.scaling.y_span**2
        self.weight = np.where(
            self.weight > 0, self.weight, 1e-6 * max(1e-12, float(self.weight.max()))
        )
        free = len(self._low) > len(self.weight)
        self.pull = (_PULL if free else 1e-15) * float(self.weight.max())
        self.forget()

    def forget(self) -> None:
        """Begin at the safe input."""
        self._v, self._chi = self._safe.copy(), np.zeros(self._model.sizes.n)
        self._asked: tuple[Array, ...] = ()
        self._target: Target | None = None

    def find(
        self, reference: Array, disturbance: Array, input_disturbance: Array, measured: Array
    ) -> Target:
        """The target for a setpoint (ny,) under disturbances of the output (ny,) and of the inputs
        that are moved (nu,), and the measured inputs (nd,) [engineering]."""
        asked = (reference.copy(), disturbance.copy(), input_disturbance.copy(), measured.copy())
        if self._target is not None and all(map(np.array_equal, asked, self._asked)):
            return self._target
        scaling = self._model.scaling
        wanted = scaling.y_in(reference - disturbance)
        drive = scaling.u_in(self._roles.joined(self._mid, measured))
        drive = drive + self._roles.joined(input_disturbance / self._span, 0.0)
        v, chi = self._search(np.clip(self._v, self._low, self._high), wanted, drive)
        if not np.isfinite(chi).all():
            self.forget()
            v, chi = self._search(self._v, wanted, drive)
        self._v, self._chi, self._asked = v, chi, asked
        y = self._C @ chi + self._b
        self._target = Target(
            chi,
            np.clip(self._mid + self._span * v, self._limits.u_low, self._limits.u_high),
            scaling.y_out(y) + disturbance,
            bool((np.abs(y - wanted) <= _REACHED).all() and self._steady(chi, v, drive)),
        )
        return self._target

    def _search(self, v: Array, wanted: Array, drive: Array) -> tuple[Array, Array]:
        """The input that is moved (nu,) and its steady state, normalised."""
        chi = self._settled(self._chi, v, drive)
        cost = self._cost(chi, v, wanted)
        for _ in range(_OUTER):
            step = self._step(chi, v, wanted, drive)
            if not np.abs(step).max(initial=0.0) > 1e-14:
                break
            for _ in range(_HALVINGS):
                trial = np.clip(v + step, self._low, self._high)
                state = self._settled(chi, trial, drive)
                reached = self._cost(state, trial, wanted)
                if reached < cost:
                    break
                step = 0.5 * step
            if not reached < cost:
                break
            v, chi, cost = trial, state, reached
        return v, chi

    def _inputs(self, v: Array, drive: Array) -> Array:
        return drive + self._roles.joined(v, 0.0)

    def _cost(self, chi: Array, v: Array, wanted: Array) -> float:
        error, away = self._C @ chi + self._b - wanted, v - self._safe
        return float(error @ (self.weight * error) + self.pull * (away @ away))

    def _settled(self, chi: Array, v: Array, drive: Array) -> Array:
        """The steady state under `v`, from `chi`."""
        inputs, size = self._inputs(v, drive), np.inf
        for _ in range(_NEWTON):
            following, A, _ = self._slopes(chi, inputs)
            rest = following - chi
            if not np.abs(rest).max() < size:
                break
            size, best = float(np.abs(rest).max()), chi
            chi = chi + np.linalg.solve(np.eye(len(chi)) - A, rest)
        if size > RESIDUAL:  # far away: the model itself settles
            for _ in range(_SETTLING):
                best = self._slopes(best, inputs)[0]
        return np.asarray(best)

    def _steady(self, chi: Array, v: Array, drive: Array) -> bool:
        following = self._slopes(chi, self._inputs(v, drive))[0]
        return bool((np.abs(following - chi) <= RESIDUAL).all())

    def _slopes(self, chi: Array, inputs: Array) -> tuple[Array, Array, Array]:
        n = len(chi)
        following, slopes = self._stage(chi, inputs)
        slopes = slopes.reshape(-1, n).T
        return following.ravel().copy(), slopes[:, :n], slopes[:, n + self._roles.manipulated]

    def _step(self, chi: Array, v: Array, wanted: Array, drive: Array) -> Array:
        """The Gauss–Newton step of the input (nu,), within its bounds, by projected sweeps."""
        _, A, B = self._slopes(chi, self._inputs(v, drive))
        gain = self._C @ np.linalg.solve(np.eye(len(chi)) - A, B)
        error, pull = wanted - self._C @ chi - self._b, self.pull
        H = gain.T @ (self.weight[:, None] * gain) + pull * np.eye(len(v))
        g = gain.T @ (self.weight * error) - pull * (v - self._safe)
        step = np.zeros(len(v))
        for _ in range(_SWEEPS if len(v) > 1 else 1):
            for j in range(len(v)):
                free = step[j] + (g[j] - H[j] @ step) / H[j, j]
                step[j] = min(max(free, self._low[j] - v[j]), self._high[j] - v[j])
        return step
