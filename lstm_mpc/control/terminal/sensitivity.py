"""How much the cost of a plan changes with what it is computed from, and what rounding makes of it:
bounds that hold for every state, input and target within the limits.

In two runs under one plan states part by |Δχ_k| ≤ A^k|Δχ| at most, and outputs by |C| times that; a
square changes by no more than 2·sup|·| times the change of its root. What each step rounds, e, adds
up to no more than E = (I − A)⁻¹e, however long the horizon: the model forgets its rounding too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_mpc.certificates.conditions import layer_radius
from lstm_mpc.certificates.decrease.comparison import input_comparison
from lstm_mpc.certificates.reachability import largest_gates
from lstm_mpc.control.problem import Limits
from lstm_mpc.control.terminal.closing import TAIL
from lstm_mpc.control.terminal.target import RESIDUAL
from lstm_mpc.control.terminal.terminal import Terminal
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array

DOUBLE = 2.0**-53
_LIBM = 16.0  # [roundings] more than the error of σ or tanh
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


def cost_bounds(
    model: Model, limits: Limits, terminal: Terminal, horizon: int, *, unit: float = DOUBLE
) -> CostBounds:
    """The bounds for plans of `horizon` samples in arithmetic of that `unit` roundoff."""
    size = _sizes(model, limits, terminal)
    n, d, N = model.sizes.n, terminal.weights, horizon
    end = 2 * d * size.off
    reached, driven = np.eye(n), np.zeros_like(size.B)
    state, drive, per_output = np.zeros(n), np.zeros(size.B.shape[1]), size.slope @ size.C
    for _ in range(N):
        reached, driven = size.A @ reached, size.A @ driven + size.B
        state, drive = state + per_output @ reached, drive + per_output @ driven
    state, drive = state + end[:n] @ reached, drive + end[:n] @ driven
    behind = _behind(size, N)
    state, drive = state + behind.state @ reached, drive + behind.drive
    span = model.roles.moved(model.scaling.u_span)
    moving = limits.move_penalty * (limits.u_high - limits.u_low) ** 2
    q = limits.output_weight * model.scaling.y_span**2
    stage = float(q @ size.outputs**2 + size.penalty @ size.outputs + moving.sum())
    largest = (
        N * stage + float(d @ size.off**2) + behind.samples * float(size.penalty @ size.outputs)
    )
    aim = np.concatenate([end, N * 2 * q * size.outputs])
    aim[n : n + len(span)] += behind.drive
    step = _step_rounding(model, terminal.radius, unit)
    whole = _forgotten(size.A, step)
    away = np.abs(model.scaling.y_mid) / model.scaling.y_span + size.outputs + 1
    y = size.C @ whole + unit * (n + 8) * away
    u = 8 * unit * np.maximum(np.abs(limits.u_low), np.abs(limits.u_high)) / span
    move = 2 * limits.move_penalty * span * (limits.u_high - limits.u_low) @ u
    ended = np.concatenate([whole, u])
    terms = 6 * N * (len(q) + len(span)) + 2 * len(d) + 16
    evaluated = N * float((size.slope + q * y) @ y + 2 * move) + float((end + d * ended) @ ended)
    evaluated += unit * terms * largest
    evaluated += behind.samples * float(size.penalty @ y) + float(behind.drive @ u)
    # the appended sample: the law rounds, and the target is steady up to a residual
    extra = size.B @ u + RESIDUAL
    closing = float(end[:n] @ extra + end[n:] @ u + per_output @ extra + 2 * move)
    powers = np.linalg.matrix_power(terminal.M, TAIL)
    closing += float(size.penalty @ size.C @ powers[:n] @ size.off)  # where the tail was cut off
    epsilon = _SPARE * (2 * evaluated + float(state @ step) + closing)
    return CostBounds(_SPARE * state, _SPARE * drive, _SPARE * aim, epsilon, _SPARE * largest)


@dataclass(frozen=True)
class _Behind:
    """How much the soft bounds behind the horizon change with the state at its end (n,) and with
    the inputs there (nu,), and over how many samples they are added up."""

    state: Array
    drive: Array
    samples: int


def _behind(size: _Sizes, horizon: int) -> _Behind:
    samples, forever = TAIL + horizon, np.linalg.inv(np.eye(len(size.A)) - size.A)
    each = size.penalty @ size.C @ forever
    return _Behind(each, samples * each @ size.B, samples if size.penalty.any() else 0)


def _sizes(model: Model, limits: Limits, terminal: Terminal) -> _Sizes:
    n, ny = model.sizes.n, model.sizes.ny
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
    return _Sizes(A, B[:, model.roles.manipulated], C, off, outputs, slope, penalty)


def _step_rounding(model: Model, radius: float, unit: float) -> Array:
    """How far one computed step (n,) lies from the exact one of the same state and inputs."""
    scaling = model.scaling
    engineering = np.maximum(np.abs(model.u_low), np.abs(model.u_high)) + np.abs(scaling.u_mid)
    below = unit * (8 * radius + 4 * engineering / scaling.u_span)
    errors = []
    for number, layer in enumerate(model.network.layers):
        reach = layer_radius(number, radius)
        x = largest_gates(layer, reach)["x_bar"][:, 0]
        gate = {}
        for g in lstm.GATES:
            W, U, b = (np.abs(M) for M in layer.gate(g))
            size = reach * W.sum(axis=1) + U.sum(axis=1) + b[:, 0]
            z = unit * (W.shape[1] + U.shape[1] + 3) * size + W @ below
            gate[g] = (1.0 if g == "c" else 0.25) * z + _LIBM * unit
        f, i, o, c = (gate[g] for g in "fioc")
        x_next = x * f + c + i + i * c + 6 * unit * (x + 1)
        below = (1 + o) * (x_next + _LIBM * unit) + o + 2 * unit
        errors += [x_next, below]
    return np.concatenate(errors)


def _forgotten(A: Array, step: Array) -> Array:
    """E (n,) with A E + step ≤ E: what steps that each err by `step` add up to at most."""
    whole = np.linalg.solve(np.eye(len(A)) - A, step) * _SPARE
    if not (A @ whole + step * (1 + 1e-9) <= whole).all():
        raise ArithmeticError("the rounding of the steps has no bound")
    return np.asarray(whole)
