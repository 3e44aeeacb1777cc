"""The terminal cost: from a model and a problem, weights under which every plan may be closed.

Let (χ̄, ū) be the target and z = (χ − χ̄, u₋ − ū), normalised, u₋ the input in force. The terminal
law u = ū + η(u₋ − ū) keeps bounds, since u lies between u₋ and ū, and rates, since |u − u₋| ≤ (1 −
η)(u_high − u_low) ≤ max_move, the smaller one where up and down differ. Under it |z⁺| ≤ M|z| with

    M = [A  Bη; 0  η],   A, B of `certificates.decrease`,   ρ(M) = max(ρ(A), η) < 1

The stage cost that follows, but for soft bounds (`Closing`), is at most |z|ᵀL|z| with L = Mᵀ|C|ᵀ
q |C|M + s(1 − η)². With (1 − δ)D − MᵀDM ⪰ L, D = diag(`weights`), V_f(z) = zᵀDz falls by no less,
and by the share δ of itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import casadi as ca
import numpy as np

from lstm_mpc.certificates.decrease.comparison import input_comparison, rounded_up
from lstm_mpc.certificates.decrease.weights import least_weights, room
from lstm_mpc.certificates.rigorous import EPS
from lstm_mpc.control.limits import Limits
from lstm_mpc.control.terminal.target import Target
from lstm_mpc.errors import InputError
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array

_SPREAD_SAMPLES, _SPREAD_INPUT = 2000, 0.3  # of the trajectory, and the share of the input range
_DIGITS = 9  # of η
REACH_SPARE = 1e-2  # share by which an output is taken to reach further than it can
_DECAY = 0.005  # δ, at most, and ...
_SHARE = 0.25  # ... as a share of what ρ(M) allows


@dataclass(frozen=True)
class Terminal:
    """`M` (m, m), `L` (m, m), the `weights` (m,), δ, `decay`, and η, `eta` (nu,), m = n + nu, all
    normalised. From one sample to the next |y − ȳ| ≤ `reach`·√V_f, (ny,), under the law.

    `slack` (nu,) is (1 − η)(u_high − u_low)/max_move, at most 1 when the law keeps the rates. One
    that exists keeps its inequalities; `falls` and `slack` say by how much.
    """

    M: Array
    L: Array
    weights: Array
    decay: float
    eta: Array
    reach: Array
    slack: Array
    radius: float

    def __post_init__(self) -> None:
        if not self.falls < 1:
            raise InputError(
                "terminal: the weights do not make up for the stage cost ((1 − δ) diag(d) − Mᵀ"
                f" diag(d) M − L is not positive definite, {self.falls:.6g} ≥ 1); let"
                " `terminal_of` find them"
            )
        if not ((self.eta >= 0).all() and (self.eta < 1).all() and (self.slack <= 1).all()):
            raise InputError(
                f"terminal: the law with η = {self.eta.tolist()} must lie in [0, 1) and keep the"
                f" rate limits, of which it asks the share {self.slack.tolist()}"
            )

    @property
    def falls(self) -> float:
        """Below 1 when (1 − δ)D − MᵀDM − L is proved positive definite."""
        return room(self.M, self.weights, self.L, decay=self.decay)

    def law(self, target: Target, before: Array) -> Array:
        """The input after `before` (nu,) [engineering]."""
        return np.asarray(target.u + self.eta * (before - target.u))

    def deviation(self, chi: Array, v: Array, target: Target, v_target: Array) -> Array:
        """z (m,) of a state (n,) and an input (nu,) [normalised]."""
        return np.concatenate([chi - target.chi, v - v_target])


def law_share(limits: Limits) -> Array:
    """The least η (nu,) with which the terminal law keeps the rates, rounded up."""
    reach = limits.u_high - limits.u_low
    with np.errstate(invalid="ignore"):
        eta = np.maximum(0.0, 1.0 - limits.even_move / reach)
    eta = np.where(np.isfinite(limits.even_move), eta, 0.0)
    eta = np.where(eta > 0, np.ceil(eta * 10.0**_DIGITS + 1e-3) / 10.0**_DIGITS, 0.0)
    if not (eta < 1).all():
        raise InputError(
            f"terminal: max_move {limits.even_move.tolist()} is too small a share of the input"
            f" range {reach.tolist()} for a terminal law; leave `terminal` out"
        )
    return np.asarray(eta)


def rate_share(limits: Limits, eta: Array) -> Array:
    """(1 − η)(u_high − u_low)/max_move (nu,), rounded up: above 1 the law breaks the rates."""
    asked = (1.0 - eta) * (limits.u_high - limits.u_low) * (1 + 8 * EPS)
    return np.asarray(asked / limits.even_move)


def terminal_of(model: Model, limits: Limits, *, beyond: float = 0.0) -> Terminal:
    """The terminal cost of a model and a problem's limits, for inputs as much as `beyond`
    [normalised] outside the actuator limits (an observer's input disturbance).

    Raises:
        InputError: `delta_iss` does not hold, or the inputs are not equally late.
    """
    if model.uneven_delays.any():
        raise InputError(
            f"terminal: the inputs are {model.uneven_delays.tolist()} samples later than the"
            " quickest one, which the theorem does not cover; leave `terminal` out"
        )
    radius, moved = model.scaling.radius + beyond, model.roles.manipulated
    A, B = input_comparison(model.network, radius)
    eta, nu, n = law_share(limits), len(moved), model.sizes.n
    M = np.block([[A, B[:, moved] * eta], [np.zeros((nu, n)), np.diag(eta)]])
    M[:n] = rounded_up(M[:n])
    L, growth = stage_bound(model, limits, M, eta), float(np.abs(np.linalg.eigvals(M)).max())
    decay = min(_DECAY, _SHARE * max(0.0, 1.0 - growth**2))
    weights = least_weights(M, L, _spread(model, limits), decay=decay)
    after = _output(model, len(M)) @ M
    reach = np.sqrt((after**2 / weights).sum(axis=1)) * (1 + 2 * REACH_SPARE)
    return Terminal(M, L, weights, decay, eta, reach, rate_share(limits, eta), radius)


def stage_bound(model: Model, limits: Limits, M: Array, eta: Array) -> Array:
    """L (m, m): what a sample from z costs under the terminal law, but for soft bounds, is at most
    |z|ᵀL|z|."""
    n, nu = model.sizes.n, len(eta)
    after = _output(model, len(M)) @ M
    moving = limits.move_penalty * (model.roles.moved(model.scaling.u_span) * (1 - eta)) ** 2
    price = limits.output_weight * model.scaling.y_span**2
    L = after.T @ (price[:, None] * after)
    L[range(n, n + nu), range(n, n + nu)] += moving
    return L


def _output(model: Model, width: int) -> Array:
    """|C| on z, (ny, width)."""
    n = model.sizes.n
    C = np.zeros((model.sizes.ny, width))
    C[:, n - model.network.nx[-1] : n] = np.abs(model.network.C)
    return C


def _spread(model: Model, limits: Limits) -> Array:
    """How far z (m,) typically is from its target: the standard deviation of χ on a trajectory
    with inputs that change at random, the same for every call, and a share of the input range."""
    chi, v = ca.SX.sym("chi", model.sizes.n), ca.SX.sym("v", model.sizes.nu)
    step = ca.Function("step", [chi, v], [lstm.step(model.network, chi, v)])
    draw, radius = np.random.default_rng(0), model.scaling.radius
    held = [draw.uniform(-radius, radius, model.sizes.nu) for _ in range(_SPREAD_SAMPLES // 20)]
    inputs = np.repeat(np.array(held), 20, axis=0)
    states = np.asarray(step.mapaccum(len(inputs))(np.zeros(model.sizes.n), inputs.T)).T
    width = (limits.u_high - limits.u_low) / model.roles.moved(model.scaling.u_span)
    return np.concatenate([np.maximum(states[50:].std(axis=0), 1e-6), _SPREAD_INPUT * width / 2])
