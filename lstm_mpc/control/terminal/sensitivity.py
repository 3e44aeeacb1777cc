"""How much the cost of a plan changes with what it is computed from, and what rounding makes of it:
bounds that hold for every state, input and target within the limits.

In two runs under one plan states part by |Δχ_k| ≤ A^k|Δχ| at most, and outputs by |C| times that; a
square changes by no more than 2·sup|·| times the change of its root. What each step rounds, e, adds
up to no more than E = (I − A)⁻¹e, however long the horizon: the model forgets its rounding too.

The C keeps to the bit what it has computed: state, input and target of the plan that is shifted are
the ones it was made of, so that its samples cost what they did, to the bit. There is left (`held`)
how costs are added up, a share of V; and the appended sample, where V_f falls by the share δ of
itself, and that makes up for what one step rounds, b: (√(1 − δ)|z|_D + |b|)² ≤ |z|²_D + |b|²/δ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_mpc.certificates.conditions import layer_radius
from lstm_mpc.certificates.decrease.comparison import input_comparison
from lstm_mpc.certificates.reachability import largest_gates
from lstm_mpc.control.limits import Limits
from lstm_mpc.control.terminal.closing import Closing
from lstm_mpc.control.terminal.target import RESIDUAL
from lstm_mpc.control.terminal.terminal import REACH_SPARE
from lstm_mpc.errors import InputError
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array

DOUBLE, SINGLE = 2.0**-53, 2.0**-24
STEADY = {DOUBLE: 1e-12, SINGLE: 2e-6}  # of the C: step towards a target that counts as none
# [roundings] more than the error of σ and tanh; that of the C is 1.25 and 1.5 in single precision,
# of all numbers there are
_LIBM = {DOUBLE: 16.0, SINGLE: 1.5}
_SPARE = 1.01  # factor that covers how these bounds are rounded themselves


@dataclass(frozen=True)
class CostBounds:
    """Of V, the cost of a plan [cost unit]: how much it changes at most with a change of the state,
    `state` (n,), of the input disturbance, `drive` (nu,), and of the target, `aim` (n + nu + ny,),
    per normalised unit; how far a sample's decrease may fall short for rounding, `epsilon`; and the
    `largest` value it can have."""

    state: Array
    drive: Array
    aim: Array
    epsilon: float
    largest: float


@dataclass(frozen=True)
class _Sizes:
    """What the bounds are built from: A (n, n), B (n, nu), |C| (ny, n), the largest deviations of
    states, inputs and outputs from their targets, and the slope of the stage cost per output."""

    A: Array
    B: Array
    C: Array
    off: Array  # (n + nu,)
    outputs: Array  # (ny,)
    slope: Array  # (ny,)
    penalty: Array  # (ny,)
    behind: Array  # (ny,) price of what soft bounds cost behind the horizon


@dataclass(frozen=True)
class Rounding:
    """What rounding takes from the decrease of V in a sample of the C: V(k+1) ≤ (1 + `share`)(V(k)
    − ℓ(k)) + `floor` [cost unit], for targets at least `gap` (ny,) [output unit] within the soft
    bounds; and how far an output of the plan is from that of exact arithmetic at most, `output`
    (ny,) [output unit]."""

    share: float
    floor: float
    gap: Array
    output: Array


def cost_bounds(model: Model, limits: Limits, closing: Closing, horizon: int) -> CostBounds:
    """The bounds for plans of `horizon` samples in double precision."""
    terminal, unit = closing.terminal, DOUBLE
    size = _sizes(model, limits, closing)
    n, d, N = model.sizes.n, terminal.weights, horizon
    end = 2 * d * size.off + size.behind @ np.sqrt(np.outer(terminal.reach**2, d))
    reached, driven = np.eye(n), np.zeros_like(size.B)
    state, drive, per_output = np.zeros(n), np.zeros(size.B.shape[1]), size.slope @ size.C
    for _ in range(N):
        reached, driven = size.A @ reached, size.A @ driven + size.B
        state, drive = state + per_output @ reached, drive + per_output @ driven
    state, drive = state + end[:n] @ reached, drive + end[:n] @ driven
    span = model.roles.moved(model.scaling.u_span)
    moving = limits.move_penalty * (limits.u_high - limits.u_low) ** 2
    q = limits.output_weight * model.scaling.y_span**2
    stage = float(q @ size.outputs**2 + size.penalty @ size.outputs + moving.sum())
    quadratic = float(d @ size.off**2)
    largest = N * stage + quadratic + float(size.behind @ terminal.reach) * quadratic**0.5
    aim = np.concatenate([end, N * 2 * q * size.outputs + size.behind])
    step = _step_rounding(model, terminal.radius, unit)
    whole = _forgotten(size.A, step)
    y = size.C @ whole + _output_rounding(model, size, unit)
    u = 8 * unit * np.maximum(np.abs(limits.u_low), np.abs(limits.u_high)) / span
    move = 2 * limits.move_penalty * span * (limits.u_high - limits.u_low) @ u
    ended = np.concatenate([whole, u])
    evaluated = N * float((size.slope + q * y) @ y + 2 * move) + float((end + d * ended) @ ended)
    evaluated += unit * (_terms(model, N) + 16) * 6 * largest
    # the appended sample: the law rounds, and the target is steady up to a residual
    extra = size.B @ u + RESIDUAL
    appended = float(end[:n] @ extra + end[n:] @ u + per_output @ extra + 2 * move)
    epsilon = _SPARE * (2 * evaluated + float(state @ step) + appended)
    return CostBounds(_SPARE * state, _SPARE * drive, _SPARE * aim, epsilon, _SPARE * largest)


def held(
    model: Model, limits: Limits, closing: Closing, horizon: int, *, unit: float = SINGLE
) -> Rounding:
    """What rounding costs the C, in arithmetic of that `unit` roundoff."""
    terminal = closing.terminal
    size, n, d = _sizes(model, limits, closing), model.sizes.n, terminal.weights
    step = _step_rounding(model, terminal.radius, unit, normal=True)
    around = _output_rounding(model, size, unit)
    span = model.roles.moved(model.scaling.u_span)
    u = 8 * unit * (size.off[n:] + terminal.radius)  # of the law, and of rates that are kept
    # a step towards the target that counts as none, with the rounding of the program for it
    rest = 1.1 * STEADY[unit] * (1 + size.A.sum(axis=1) + size.B.sum(axis=1)) + step
    state = step + size.B @ u + rest
    y = size.C @ state + 2 * around
    q, s = limits.output_weight * model.scaling.y_span**2, limits.move_penalty * span**2
    b = float(d @ np.concatenate([state, u]) ** 2 + q @ y**2 + s @ u**2)
    relative = 16 * unit  # of each term, and of the weights that the C holds
    left, root = terminal.decay - 2 * relative, 1 - np.sqrt(1 - terminal.decay) - 2 * relative
    if not min(left, root) > 0:
        raise InputError(
            f"terminal: the terminal cost falls by {terminal.decay:.3g} of itself in a sample, less"
            " than its rounding; leave `terminal` out"
        )
    floor = _SPARE * (1 + relative) * b * (1 + 1 / left)
    gap = _SPARE * np.maximum(terminal.reach * np.sqrt(b) / root, y / REACH_SPARE)
    whole = size.C @ _forgotten(size.A, step + size.B @ u) + around
    return Rounding(
        2 * _SPARE * unit * _terms(model, horizon),
        floor,
        gap * model.scaling.y_span,
        whole * model.scaling.y_span,
    )


def _terms(model: Model, horizon: int) -> int:
    """How many numbers are added up to the cost of a plan, at most."""
    nu, ny = len(model.manipulated), model.sizes.ny
    return horizon * (nu + 2 * ny) + model.sizes.n + nu + ny + 2


def _output_rounding(model: Model, size: _Sizes, unit: float) -> Array:
    """How far a computed output (ny,) lies from the exact one of the same state."""
    away = np.abs(model.scaling.y_mid) / model.scaling.y_span + size.outputs + 1
    return np.asarray(unit * (model.sizes.n + 8) * away)


def _sizes(model: Model, limits: Limits, closing: Closing) -> _Sizes:
    n, ny, terminal = model.sizes.n, model.sizes.ny, closing.terminal
    A, B = input_comparison(model.network, terminal.radius)
    C = np.zeros((ny, n))
    C[:, n - model.network.nx[-1] :] = np.abs(model.network.C)
    states = []
    for number, layer in enumerate(model.network.layers):
        top = largest_gates(layer, layer_radius(number, terminal.radius))
        states += [top["x_bar"][:, 0], np.ones(layer.nx)]
    width = (limits.u_high - limits.u_low) / model.roles.moved(model.scaling.u_span)
    off = np.concatenate([2 * np.concatenate(states), width])
    outputs = 2 * C.sum(axis=1)  # |ξ| ≤ 1 in both
    soft = np.isfinite(limits.y_low) | np.isfinite(limits.y_high)
    penalty = np.where(soft, limits.violation_weight, 0.0) * model.scaling.y_span
    slope = 2 * limits.output_weight * model.scaling.y_span**2 * outputs + penalty
    behind = closing.price if closing.soft else np.zeros(ny)
    return _Sizes(A, B[:, model.roles.manipulated], C, off, outputs, slope, penalty, behind)


def _step_rounding(model: Model, radius: float, unit: float, *, normal: bool = False) -> Array:
    """How far one computed step (n,) lies from the exact one of the same state and inputs; the
    `normal` inputs are normalised ones, to which a disturbance is added."""
    scaling, libm = model.scaling, _LIBM[unit] * unit
    engineering = np.maximum(np.abs(model.u_low), np.abs(model.u_high)) + np.abs(scaling.u_mid)
    below = unit * (8 * radius + 4 * engineering / scaling.u_span)
    if normal:
        below = np.full(len(scaling.u_span), unit * radius)
    errors = []
    for number, layer in enumerate(model.network.layers):
        reach = layer_radius(number, radius)
        x = largest_gates(layer, reach)["x_bar"][:, 0]
        gate = {}
        for g in lstm.GATES:
            W, U, b = (np.abs(M) for M in layer.gate(g))
            size = reach * W.sum(axis=1) + U.sum(axis=1) + b[:, 0]
            z = unit * (W.shape[1] + U.shape[1] + 3) * size + W @ below
            gate[g] = (1.0 if g == "c" else 0.25) * z + libm
        f, i, o, c = (gate[g] for g in "fioc")
        x_next = x * f + c + i + i * c + 2 * unit * (x + 1)
        below = (1 + o) * (x_next + libm) + o + 2 * unit
        errors += [x_next, below]
    return np.concatenate(errors)


def _forgotten(A: Array, step: Array) -> Array:
    """E (n,) with A E + step ≤ E: what steps that each err by `step` add up to at most."""
    whole = np.linalg.solve(np.eye(len(A)) - A, step) * _SPARE
    if not (A @ whole + step * (1 + 1e-9) <= whole).all():
        raise ArithmeticError("the rounding of the steps has no bound")
    return np.asarray(whole)
