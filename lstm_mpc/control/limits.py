"""The limits and weights of a problem for one model, in numbers per signal; plans within them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lstm_mpc.certificates.gate import Release
from lstm_mpc.control.observers.options import per_signal
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array


def admit(plan: Array, before: Array, low: Array, high: Array, rise: Array, fall: Array) -> Array:
    """`plan` (blocks, nu) moved into `low`, `high` (nu,) and no further than `rise` up and `fall`
    down (nu,) from one to the next, first from `before`."""
    inside = np.minimum(np.maximum(plan, low), high)
    moves = moves_of(inside, before)
    if ((moves <= rise) & (-moves <= fall)).all():
        return inside
    for b, wanted in enumerate(plan):
        inside[b] = before = np.minimum(
            np.maximum(wanted, np.maximum(low, before - fall)), np.minimum(high, before + rise)
        )
    return inside


def moves_of(plan: Array, before: Array) -> Array:
    """How far each row of `plan` (N, nu) is from the one before it, the first from `before`
    (nu,)."""
    moves = plan.copy()
    moves[0] -= before
    moves[1:] -= plan[:-1]
    return moves


@dataclass(frozen=True)
class Limits:
    """The problem's numbers per signal for one release: bounds no applied input ever leaves. A
    measured input is believed from `measured_low` to `measured_high`; before the first valid value
    it is taken to be at `measured_rest`."""

    u_low: Array
    u_high: Array
    max_move: Array
    max_move_down: Array
    u_safe: Array
    y_low: Array
    y_high: Array
    sensor_low: Array
    sensor_high: Array
    output_weight: Array
    move_penalty: Array
    violation_weight: Array
    input_target: Array
    input_weight: Array
    starts: tuple[int, ...]
    measured_low: Array = field(default_factory=lambda: np.zeros(0))
    measured_high: Array = field(default_factory=lambda: np.zeros(0))
    measured_rest: Array = field(default_factory=lambda: np.zeros(0))

    @property
    def uneven(self) -> bool:
        """Do inputs rise and fall by different rates?"""
        return not np.array_equal(self.max_move, self.max_move_down)

    @property
    def targets(self) -> bool:
        """Has an input a value that it returns to?"""
        return bool(self.input_weight.any())

    @property
    def even_move(self) -> Array:
        """How far an input may move whichever way it goes, (nu,)."""
        return np.minimum(self.max_move, self.max_move_down)

    def cost(self, y: Array, reference: Array, u: Array, before: Array) -> float:
        """What the problem minimises, for outputs and setpoints of samples 0 … N (N+1, ny) and
        inputs (N, nu) after `before`."""
        moves = moves_of(u, before)
        outside = np.maximum(0.0, y[1:] - self.y_high) + np.maximum(0.0, self.y_low - y[1:])
        tracking = (self.output_weight * (y[1:] - reference[1:]) ** 2).sum()
        violations = (self.violation_weight * outside).sum()
        away = (self.input_weight * (u - self.input_target) ** 2).sum()
        return float(tracking + (self.move_penalty * moves**2).sum() + away + violations)

    def admit(self, plan: Array, before: Array) -> Array:
        """`plan` (blocks, nu) moved into bounds and rate limits, one after the other; `before`
        (nu,) lies within the bounds."""
        return admit(plan, before, self.u_low, self.u_high, self.max_move, self.max_move_down)

    def block(self, plan: Array, before: Array) -> Array:
        """The plan (N, nu) held within each block as at its start, and admissible after
        `before`."""
        return np.repeat(
            self.admit(plan[list(self.starts)], before),
            np.diff(self.starts, append=len(plan)),
            axis=0,
        )

    def shift(self, plan: Array, before: Array) -> Array:
        """The plan (N, nu) one sample later, held at its end, blocked again and admissible after
        `before`."""
        return self.block(np.vstack([plan[1:], plan[-1:]]), before)


def input_range(model: Model, problem: ControlProblem) -> tuple[Array, Array]:
    """The range of every input (nu + nd,) [engineering]: of those that the controller moves its
    bounds within the actuator limits, of measured ones their own limits."""
    nu, moved, full_low, full_high = (
        len(model.manipulated),
        model.roles.moved,
        model.u_low,
        model.u_high,
    )
    if not nu:
        names = ", ".join(s.name for s in model.measured)
        raise InputError(f"control: every input of the model is measured ({names}); none can move")
    low = np.maximum(per_signal(problem.u_low, nu, "u_low"), moved(full_low))
    high = np.minimum(per_signal(problem.u_high, nu, "u_high"), moved(full_high))
    if not (low < high).all():
        raise InputError(
            f"control: u_low {low.tolist()} must be below u_high {high.tolist()} within the"
            " actuator limits"
        )
    at = model.roles.measured
    return model.roles.joined(low, full_low[at]), model.roles.joined(high, full_high[at])


def limits(release: Release, problem: ControlProblem) -> Limits:
    """The problem's limits; InputError when it asks for inputs outside the range its release
    covers."""
    found, moved = limits_of(release.model, problem), release.model.roles.moved
    least, most = moved(release.u_low), moved(release.u_high)
    if (found.u_low < least).any() or (found.u_high > most).any():
        covered = f"[{least.tolist()}, {most.tolist()}]"
        asked = f"[{found.u_low.tolist()}, {found.u_high.tolist()}]"
        raise InputError(
            f"control: inputs in {asked} are not covered by the release, which allows {covered}"
        )
    return found


def limits_of(model: Model, problem: ControlProblem) -> Limits:
    """The problem's limits on a model, for what needs no release."""
    if abs(problem.dead_time / model.Ts - round(problem.dead_time / model.Ts)) > 1e-9:
        raise InputError(
            f"control: dead_time {problem.dead_time} s must be a multiple of the sampling time"
            f" {model.Ts} s"
        )
    if problem.horizon <= (uneven := model.roles.moved(model.uneven_delays).max(initial=0)):
        late = f"the {uneven} sample(s) by which input delays differ"
        raise InputError(
            f"control: horizon must be longer than {late}, got {problem.horizon}: an input would"
            " act on nothing"
        )
    nu, ny, roles = len(model.manipulated), len(model.outputs), model.roles
    low, high = (roles.moved(ends) for ends in input_range(model, problem))
    nominal = [
        0.5 * (a + b) if s.nominal is None else s.nominal
        for s, a, b in zip(model.manipulated, low, high, strict=True)
    ]
    u_safe = (
        np.clip(nominal, low, high)
        if problem.safe_input is None
        else per_signal(problem.safe_input, nu, "safe_input")
    )
    if not ((low <= u_safe) & (u_safe <= high)).all():
        raise InputError(
            f"control: safe_input {u_safe.tolist()} must lie in [{low.tolist()}, {high.tolist()}]"
        )
    max_move = per_signal(problem.max_move, nu, "max_move")
    target, weight = _targets(problem, u_safe)
    return Limits(
        u_low=low,
        u_high=high,
        max_move=max_move,
        max_move_down=max_move.copy()
        if problem.max_move_down is None
        else per_signal(problem.max_move_down, nu, "max_move_down"),
        u_safe=u_safe,
        y_low=per_signal(problem.y_low, ny, "y_low"),
        y_high=per_signal(problem.y_high, ny, "y_high"),
        sensor_low=np.maximum(
            per_signal(problem.sensor_low, ny, "sensor_low"), [s.low for s in model.outputs]
        ),
        sensor_high=np.minimum(
            per_signal(problem.sensor_high, ny, "sensor_high"), [s.high for s in model.outputs]
        ),
        output_weight=per_signal(problem.output_weight, ny, "output_weight"),
        move_penalty=per_signal(problem.move_penalty, nu, "move_penalty"),
        violation_weight=per_signal(problem.violation_weight, ny, "violation_weight"),
        input_target=target,
        input_weight=weight,
        starts=problem.starts,
        measured_low=model.u_low[roles.measured],
        measured_high=model.u_high[roles.measured],
        measured_rest=np.array([s.typical for s in model.measured], dtype=np.float64),
    )


def _targets(problem: ControlProblem, u_safe: Array) -> tuple[Array, Array]:
    """The values (nu,) that inputs return to, and what it costs to be away from them: nothing, and
    any number, where there is none."""
    weight = per_signal(problem.input_weight, len(u_safe), "input_weight")
    if problem.input_target is None:
        return u_safe.copy(), weight
    given = np.asarray(problem.input_target, dtype=np.float64)
    target = per_signal(np.where(np.isnan(given), 0.0, given), len(u_safe), "input_target")
    none = np.broadcast_to(np.isnan(given), target.shape)
    if not np.isfinite(target).all():
        raise InputError(
            f"control: input_target {target.tolist()} must be finite; nan stands for none"
        )
    return np.where(none, u_safe, target), np.where(none, 0.0, weight)
