"""The optimal control problem, stated once for every engine, and the protocol all controllers keep."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.errors import InputError
from lstm_mpc.model import Model
from lstm_mpc.release import Release
from lstm_mpc.system import Array


def _per_signal(value: ArrayLike, count: int, name: str) -> Array:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim > 1 or array.size not in (1, count) or np.isnan(array).any():
        raise InputError(f"control: {name} needs one number or {count}, got {value!r}")
    return np.broadcast_to(array, (count,)).copy()


@dataclass(frozen=True)
class Problem:
    """minimise Σ_{k=1..N} q (y_k − r_k)² + Σ_{k=0..N−1} s (u_k − u_{k−1})² + v·(violation of soft output bounds)

    in engineering units: `output_weight` q [1/unit²], `move_penalty` s [1/unit²], `u_low`, `u_high` [unit] hard bounds
    (default: the actuator limits), `max_move` [unit per sample] hard rate limit, `y_low`, `y_high` [unit] soft bounds with the
    exact L1 penalty `violation_weight` v [1/unit]. `preview`: the controller sees the coming setpoints. `observer_gain`
    is L_d of the output-disturbance observer, in (0, 2); `dead_time` [s] is what it takes the probe delay to be. One number per
    signal, or one for all. The keys of `[control]` in a design.
    """

    horizon: int = 20
    output_weight: ArrayLike = 1.0
    move_penalty: ArrayLike = 0.1
    u_low: ArrayLike = -inf
    u_high: ArrayLike = inf
    max_move: ArrayLike = inf
    y_low: ArrayLike = -inf
    y_high: ArrayLike = inf
    violation_weight: float = 100.0
    preview: bool = False
    observer_gain: float = 0.6
    dead_time: float = 0.0

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise InputError(f"control: horizon must be at least 1 sample, got {self.horizon}")
        if not 0 < self.observer_gain < 2:
            raise InputError(f"control: observer_gain must lie in (0, 2), got {self.observer_gain}: outside, the observer diverges")
        if not 0 <= self.dead_time < inf:
            raise InputError(f"control: dead_time must be a number of seconds, not negative, got {self.dead_time}")
        if np.any(np.asarray(self.max_move) <= 0):
            raise InputError(f"control: max_move must be positive, got {self.max_move}")
        if min(np.min(self.output_weight), np.min(self.move_penalty), self.violation_weight) < 0:
            raise InputError("control: weights must not be negative")


@dataclass(frozen=True)
class Limits:
    """The problem's numbers per signal for one release: bounds no applied input ever leaves."""

    u_low: Array
    u_high: Array
    max_move: Array
    y_low: Array
    y_high: Array
    output_weight: Array
    move_penalty: Array
    violation_weight: float

    def cost(self, y: Array, reference: Array, u: Array, before: Array) -> float:
        """What the problem minimises, for outputs and setpoints of samples 0 … N (N+1, ny) and inputs (N, nu) after `before`."""
        moves = np.diff(np.vstack([before, u]), axis=0)
        outside = np.maximum(0.0, y[1:] - self.y_high) + np.maximum(0.0, self.y_low - y[1:])
        tracking = (self.output_weight * (y[1:] - reference[1:]) ** 2).sum()
        return float(tracking + (self.move_penalty * moves**2).sum() + self.violation_weight * outside.sum())

    def admit(self, u: Array, before: Array) -> Array:
        """`u` moved into bounds and rate limits; bounds win if `before` lies outside them."""
        near = np.clip(u, before - self.max_move, before + self.max_move)
        return np.clip(near, self.u_low, self.u_high)


def input_range(model: Model, problem: Problem) -> tuple[Array, Array]:
    """The input range [engineering] the controller may use: its bounds within the actuator limits."""
    nu = len(model.inputs)
    low = np.maximum(_per_signal(problem.u_low, nu, "u_low"), model.u_low)
    high = np.minimum(_per_signal(problem.u_high, nu, "u_high"), model.u_high)
    if not (low < high).all():
        raise InputError(f"control: u_low {low.tolist()} must be below u_high {high.tolist()} within the actuator limits")
    return low, high


def limits(release: Release, problem: Problem) -> Limits:
    """The problem's limits; InputError when it asks for inputs outside the range its release covers."""
    model = release.model
    if abs(problem.dead_time / model.Ts - round(problem.dead_time / model.Ts)) > 1e-9:
        raise InputError(f"control: dead_time {problem.dead_time} s must be a multiple of the sampling time {model.Ts} s")
    nu, ny = len(model.inputs), len(model.outputs)
    low, high = input_range(model, problem)
    if (low < release.u_low).any() or (high > release.u_high).any():
        covered = f"[{release.u_low.tolist()}, {release.u_high.tolist()}]"
        raise InputError(f"control: inputs in [{low.tolist()}, {high.tolist()}] are not covered by the release, which allows {covered}")
    return Limits(
        u_low=low,
        u_high=high,
        max_move=_per_signal(problem.max_move, nu, "max_move"),
        y_low=_per_signal(problem.y_low, ny, "y_low"),
        y_high=_per_signal(problem.y_high, ny, "y_high"),
        output_weight=_per_signal(problem.output_weight, ny, "output_weight"),
        move_penalty=_per_signal(problem.move_penalty, nu, "move_penalty"),
        violation_weight=problem.violation_weight,
    )


@dataclass(frozen=True)
class Move:
    """What one control step decided. `status` is "optimal", or says in words why a fallback was applied instead.

    `u` (nu,) [engineering] is always within bounds and rate limits. `predicted` (N+1, ny) are the outputs expected under the
    plan, `disturbance` (ny,) the estimated output disturbance, `seconds` the time of the solve.
    """

    u: Array
    status: str
    iterations: int
    cost: float
    predicted: Array
    disturbance: Array
    seconds: float

    @property
    def optimal(self) -> bool:
        return self.status == "optimal"


class Controller(Protocol):
    """The protocol of every controller, in engineering units."""

    def reset(self, y: ArrayLike, u: ArrayLike) -> None:
        """Begin at the measured output `y` (ny,) with the input `u` (nu,) in force."""

    def step(self, y: ArrayLike, reference: ArrayLike) -> Move:
        """The input for this sample from the measurement `y` (ny,) and the setpoint: (ny,), or (N+1, ny) from now on with preview."""


def coming(reference: ArrayLike, horizon: int, ny: int) -> Array:
    """The setpoints of samples 0 … N, (N+1, ny); a single setpoint is held."""
    array: Any = np.atleast_1d(np.asarray(reference, dtype=np.float64))
    if array.size == 0 or array.size % ny:
        raise InputError(f"control: the setpoint needs {ny} value(s) for each sample, got {reference!r:.60}")
    array = array.reshape(-1, ny)
    if not np.isfinite(array).all():
        raise InputError(f"control: the setpoint must be finite, got {reference!r:.60}")
    return np.vstack([array[: horizon + 1], np.repeat(array[-1:], max(0, horizon + 1 - len(array)), axis=0)])
