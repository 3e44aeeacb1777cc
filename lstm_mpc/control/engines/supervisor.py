"""What every predictive controller does around its solver: observe, watch, fall back, keep within
bounds and rates."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.certificates.gate import Release, checked
from lstm_mpc.control.controller import OPTIMAL, ControlAction, Status, coming, foreseen
from lstm_mpc.control.engines.monitor import Monitor
from lstm_mpc.control.limits import Limits, limits
from lstm_mpc.control.observers.gated import Gated
from lstm_mpc.control.observers.kalman import Kalman, beyond
from lstm_mpc.control.observers.mhe import Mhe
from lstm_mpc.control.observers.model_alarm import alarm_of
from lstm_mpc.control.observers.observer import Observer, OpenLoop
from lstm_mpc.control.observers.options import GatedTuning, KalmanTuning, MheTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.terminal.closing import Closing
from lstm_mpc.control.terminal.target import Target
from lstm_mpc.control.terminal.terminal import terminal_of
from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model
from lstm_mpc.model.sensitivity import Buffered
from lstm_mpc.plants.system import Array

_OBSERVERS: dict[type, type[Observer]] = {
    type(None): OpenLoop,
    KalmanTuning: Kalman,
    GatedTuning: Gated,
    MheTuning: Mhe,
}


@dataclass(frozen=True)
class Solution:
    """A solver's answer: the `plan` (N, nu) [engineering], None where there is none, what was
    wrong, and in its own words; `predicted` (N+1, ny) [engineering] the outputs under an admissible
    plan, where the solver knows them."""

    plan: Array | None
    flags: Status = OPTIMAL
    iterations: int = 0
    detail: str = ""
    predicted: Array | None = None


class Supervisor(ABC):
    """A controller that keeps the `reset / step` protocol around a solver of the problem; engines
    say how to `_solve`, and to `_restart`.

    When a solve fails, the plan of the last good one is shifted and applied; after a whole horizon
    of failures the input goes to the safe one. Both, like every input, stay within bounds and
    rates, and the move's flags say so. A measured input that is not finite or beyond its limits is
    not believed: the last valid value stays."""

    def __init__(self, release: Release, problem: ControlProblem) -> None:
        release = checked(release)
        self.release, self.problem = release, problem
        self.limits: Limits = limits(release, problem)
        self.observer: Observer = _OBSERVERS[type(problem.observer)](
            release.model, self.limits, problem
        )
        self.closing: Closing | None = closing_of(release.model, self.limits, problem)
        self.monitor = (
            Monitor(release.model, problem, release.safe_set) if problem.monitor else None
        )
        self.alarm = alarm_of(release, problem) if problem.alarm else None
        N, system, self._roles = problem.horizon, release.model.core, release.model.roles
        chi, u = ca.SX.sym("chi", system.n), ca.SX.sym("u", system.nu)
        # an input with its disturbance may be beyond the limits
        step = ca.Function("step", [chi, u], [release.model.step(chi, u)])
        self._roll, self._outputs = Buffered(step.mapaccum(N)), Buffered(system.output.map(N + 1))
        self._last = self.limits.measured_rest
        self.reset(np.full(system.ny, np.nan), self.limits.u_safe, self._last)

    def reset(self, y: ArrayLike, u: ArrayLike, measured: ArrayLike = ()) -> None:
        """Begin at the measured output `y` (ny,) with the input `u` (nu,) in force, taken into the
        bounds, and the `measured` inputs (nd,) [engineering]; where these are not valid, at their
        nominal values."""
        self._last = self.limits.measured_rest
        self._hear(measured)
        self._take(u)
        self._setpoint = self.observer.reset(y, self._roles.joined(self._before, self._last))
        self._align()
        self._hold()

    def begin(self, u: ArrayLike, y: ArrayLike, measured: ArrayLike = ()) -> None:
        """Begin from the past: inputs `u` (W, nu), the last one in force, the `measured` ones (W,
        nd), and what was measured before each, `y` (W, ny) [engineering]."""
        past = np.atleast_2d(np.asarray(u, dtype=np.float64))
        known = foreseen(measured, len(past), len(self._last))
        self._setpoint = self.observer.begin(self._roles.joined(past, known), y)
        self._hear(known[-1])
        self._take(past[-1])
        self._align()
        self._hold()

    def track(self, y: ArrayLike, u: ArrayLike, measured: ArrayLike = ()) -> ControlAction:
        """A sample in manual: measurement (ny,), the input (nu,) that the operator applies, and the
        `measured` inputs. The observer runs along, nothing is solved, and the setpoint follows the
        output, so that the `step` after it begins without a bump."""
        began = time.perf_counter()
        sound = self.observer.sound()
        flags = self.observer.correct(y, gain=None if sound else 1.0) | (
            OPTIMAL if sound else Status.STATE_RESET
        )
        flags |= self._hear(measured) | self._compare(y)
        applied = self._take(u)
        self._hold()
        predicted = self._predict(self._plan)[0]
        self._setpoint = predicted[0]
        disturbance, input_disturbance = self.observer.disturbance, self.observer.input_disturbance
        self._move_on(applied)
        return ControlAction(
            applied,
            flags,
            0,
            np.nan,
            predicted,
            disturbance,
            time.perf_counter() - began,
            "manual",
            input_disturbance,
        )

    def _take(self, u: ArrayLike) -> Array:
        """`u` (nu,) is in force: within the actuator limits, where it is returned, and for the next
        move within the bounds."""
        given = np.array(u, dtype=np.float64).ravel()
        if given.size != len(self.limits.u_low) or not np.isfinite(given).all():
            raise InputError(
                f"control: the input in force needs {len(self.limits.u_low)} finite value(s), got"
                f" {given.tolist()}"
            )
        self._before: Array = np.clip(given, self.limits.u_low, self.limits.u_high)
        model = self.release.model
        return np.clip(given, *(self._roles.moved(ends) for ends in (model.u_low, model.u_high)))

    def _align(self) -> None:
        """The model of the alarm begins at rest under what is in force."""
        if self.alarm is not None:
            self.alarm.reset(self._before, self._last)

    def _compare(self, y: ArrayLike) -> Status:
        """Has the plant left the model?"""
        far = self.alarm is not None and self.alarm.far(y)
        return Status.MODEL_ALARM if far else OPTIMAL

    def _move_on(self, u: Array) -> None:
        """What runs along goes to the next sample under the input `u` (nu,)."""
        self.observer.predict(self._roles.joined(u, self._last))
        if self.alarm is not None:
            self.alarm.advance(u, self._last)

    def _hold(self) -> None:
        """Plan to leave the input where it is; the solver begins afresh."""
        self._plan: Array = np.repeat(self._before[None], self.problem.horizon, axis=0)
        self._failures = 0
        self._restart()

    def _hear(self, measured: ArrayLike) -> Status:
        """Take in the measured inputs, one row or those of the coming samples; what is not valid is
        taken to be as it was before."""
        rows = foreseen(measured, self.problem.horizon, len(self._last)).copy()
        valid = (rows >= self.limits.measured_low) & (rows <= self.limits.measured_high)
        before = self._last
        for row, good in zip(rows, valid, strict=True):
            row[:] = before = np.where(good, row, before)
        self._last, self._coming = rows[0].copy(), rows
        return OPTIMAL if valid.all() else Status.MEASURED_INVALID

    def step(self, y: ArrayLike, reference: ArrayLike, measured: ArrayLike = ()) -> ControlAction:
        """Measurement (ny,), setpoint (ny,) or, with preview, (`problem.ahead` + 1, ny), and the
        `measured` inputs, (nd,) or as many rows as are foreseen → the move for this sample."""
        began = time.perf_counter()
        action = self.decide(y, reference, measured)
        self.go_on(action.u)
        return replace(action, seconds=time.perf_counter() - began)

    def decide(self, y: ArrayLike, reference: ArrayLike, measured: ArrayLike = ()) -> ControlAction:
        """The first half of `step`: what it would apply; `go_on` is the second."""
        began = time.perf_counter()
        flags = self._watch()
        flags |= self._hear(measured) | self._compare(y)
        flags |= self.observer.correct(y, gain=1.0 if Status.STATE_RESET in flags else None)
        references, invalid = self._references(reference)
        flags |= invalid
        if self.closing is not None:
            references, missed = self._aim(references)
            flags |= missed
        solution = self._solve(references)
        flags |= solution.flags
        if solution.plan is None:
            flags |= Status.SOLVE_FAILED
        if self.closing is None:
            predicted, cost, unsafe = self._follow(solution, references)
            flags |= unsafe
        else:
            predicted, cost = self._choose(solution.plan, references, self.closing)
        disturbance, input_disturbance = self.observer.disturbance, self.observer.input_disturbance
        return ControlAction(
            self._plan[0],
            flags,
            solution.iterations,
            cost,
            predicted,
            disturbance,
            time.perf_counter() - began,
            solution.detail,
            input_disturbance,
        )

    def go_on(self, u: ArrayLike) -> None:
        """On to the next sample after `decide`, with `u` (nu,) in force, the input that was decided
        or another one."""
        decided = self._plan[0]
        if not np.array_equal(np.ravel(u), decided):
            decided = self._take(u)
            self._hold()
            self._move_on(decided)
            return
        self._move_on(decided)
        self._before = decided
        self._plan = (
            self.limits.shift(self._plan, decided)
            if self.closing is None
            else self.closing.shift(self._plan, self.target)
        )

    def take(self, u: ArrayLike) -> None:
        """Before a sample: another input (nu,) is in force than the one `go_on` was given."""
        self._take(u)
        self._hold()

    def _follow(self, solution: Solution, references: Array) -> tuple[Array, float, Status]:
        """Plan as the solver says, or as before where it says nothing: what is expected, its cost,
        and whether no plan was left."""
        plan, flags = solution.plan, OPTIMAL
        if plan is None:
            self._failures, plan = self._failures + 1, self._plan
            if self._failures > self.problem.horizon:
                flags = Status.SAFE_INPUT
                plan = self._to_safety()
        else:
            self._failures = 0
        self._plan = self.limits.block(plan, self._before)
        predicted = solution.predicted
        if self.monitor is not None and self.monitor.leaves(
            self.observer, self._arriving(self._plan)
        ):
            flags, predicted = flags | Status.UNSAFE_PLAN, None
            self._plan = self.limits.block(self._to_safety(), self._before)
        predicted = self._predict(self._plan)[0] if predicted is None else predicted
        return predicted, self.limits.cost(predicted, references, self._plan, self._before), flags

    def _to_safety(self) -> Array:
        """The safe input over the horizon, (N, nu)."""
        return np.repeat(self.limits.u_safe[None], self.problem.horizon, axis=0)

    def _aim(self, references: Array) -> tuple[Array, Status]:
        """Find the target of the last setpoint; the setpoints that are followed."""
        assert self.closing is not None
        observer = self.observer
        self.target: Target = self.closing.finder.find(
            references[-1], observer.disturbance, observer.input_disturbance, self._coming[-1]
        )
        missed = OPTIMAL if self.target.reached else Status.OUT_OF_REACH
        return self.closing.followed(references, self.target), missed

    def _choose(
        self, plan: Array | None, references: Array, closing: Closing
    ) -> tuple[Array, float]:
        """Take the `plan` if it costs no more than the one of the last sample, shifted and closed,
        which otherwise stays: what is expected, and the cost."""
        offered = [] if plan is None else [self.limits.block(plan, self._before)]
        held = [self._value(candidate, references, closing) for candidate in (self._plan, *offered)]
        if offered and held[1][1] <= held[0][1]:
            self._plan = offered[0]
            return held[1]
        return held[0]

    def _value(self, plan: Array, references: Array, closing: Closing) -> tuple[Array, float]:
        """The outputs expected under `plan` (N, nu), and what it costs with its end."""
        y, end = self._predict(plan)
        cost = self.limits.cost(y, references, plan, self._before)
        return y, cost + closing.cost(end, plan[-1], self.target)

    def _admissible(self) -> bool:
        """Is the plan one that this controller makes?"""
        if self.closing is None:
            made = self.limits.block(self._plan, self._before)
        else:
            made = self.limits.admit(self._plan, self._before)
        return bool(np.array_equal(self._plan, made))

    def _watch(self) -> Status:
        """Make anew what cannot be a state of this controller."""
        sound = self.observer.sound()
        admitted = (self.limits.u_low <= self._before) & (self._before <= self.limits.u_high)
        believed = (self.limits.measured_low <= self._last) & (
            self._last <= self.limits.measured_high
        )
        if sound and admitted.all() and believed.all() and self._admissible():
            return OPTIMAL
        self._before = np.where(admitted, self._before, self.limits.u_safe)
        self._last = np.where(believed, self._last, self.limits.measured_rest)
        if not sound and self.alarm is not None:
            self.alarm.reset(self.limits.u_safe, self.limits.measured_rest)
        self._hold()
        return Status.STATE_RESET

    def _references(self, reference: ArrayLike) -> tuple[Array, Status]:
        """The setpoints (N+1, ny) to follow, the last valid one where they are not finite."""
        N, model = self.problem.horizon, self.release.model
        told = coming(reference, self.problem.ahead(model), len(model.outputs))
        # with preview from the sample on that inputs still reach
        references = coming(told[-N - 1 :], N, len(model.outputs))
        if not np.isfinite(told).all():
            references[:] = self._setpoint
            return references, Status.SETPOINT_INVALID
        self._setpoint = references[0].copy()
        return references, OPTIMAL

    def _predict(self, plan: Array) -> tuple[Array, Array]:
        """Outputs expected under `plan` (N, nu) from the observer's state, (N+1, ny), and the state
        at its end, (n,)."""
        later = self._roll(
            self.observer.chi,
            self._arriving(plan) + self._roles.joined(self.observer.input_disturbance, 0.0),
        )[0]
        y = self._outputs(np.concatenate([self.observer.chi, later]))[0]
        y = y.reshape(self.problem.horizon + 1, -1) + self.observer.disturbance
        return y, later[-len(self.observer.chi) :]

    def _arriving(self, plan: Array) -> Array:
        """What arrives at the network under `plan`, (N, nu + nd), without disturbance."""
        return self.observer.line.ahead(self._roles.joined(plan, self._coming))

    @abstractmethod
    def _restart(self) -> None:
        """Forget the last solution."""

    @abstractmethod
    def _solve(self, references: Array) -> Solution:
        """The plan for the setpoints (N+1, ny) from the present state, or what was wrong."""


def closing_of(model: Model, limits: Limits, problem: ControlProblem) -> Closing | None:
    """What closes plans, where the problem asks for a terminal cost."""
    if not problem.terminal:
        return None
    return Closing(model, limits, terminal_of(model, limits, beyond=beyond(model, problem)))
