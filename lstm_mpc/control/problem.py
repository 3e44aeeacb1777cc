"""The optimal control problem, stated once for every engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.certificates.gate import Release
from lstm_mpc.control.moves import admit, moves_of
from lstm_mpc.control.observers.options import GatedTuning, KalmanTuning, per_signal
from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array


@dataclass(frozen=True)
class ControlProblem:
    """What a controller minimises over its horizon, within which limits:

    Σ_{k=1..N} q (y_k − r_k)² + Σ_{k=0..N−1} (s (u_k − u_{k−1})² + w (u_k − t)²) + v·(violation of
    soft output bounds)

    over the inputs that are moved, in engineering units: `horizon` N [samples], `output_weight` q
    [1/unit²], `move_penalty` s [1/unit²], `u_low`, `u_high` [unit] hard bounds (default: the
    actuator limits), `max_move` [unit per sample] hard rate limit, for inputs that fall
    `max_move_down` where it is given, `y_low`, `y_high` [unit] soft bounds with the exact L1
    penalty `violation_weight` v [1/unit]. `input_target` t [unit] are values that inputs return to
    where outputs leave them free, nan for none, and `input_weight` w [1/unit²], small beside q,
    what it costs to be away from them. `blocks` (move blocking) are the samples for which the
    input is held, block by block; the last lasts to the horizon; none: every sample is free.
    `preview`: the controller sees the coming setpoints; `forecast`: and those of
    its measured inputs, which are otherwise taken to stay as they are. Under input delays, samples
    of y and r count from the one that the quickest input can still reach.

    What keeps it honest: `observer_gain` is L_d of the output-disturbance observer, in (0, 2), used
    where no other `observer` is given; `dead_time` [s] is what it takes the probe delay to be. A
    measurement outside `sensor_low`, `sensor_high` [unit] (default: the range of the output) is not
    believed, nor one that repeats itself `frozen_after` times (0: never asked). `safe_input` [unit]
    is where the input goes when no plan is left (default: the nominal input, or the middle of the
    range).

    `terminal` adds a cost of the plan's end and applies no plan that costs more than the last one
    shifted and closed, so that the cost falls by what each sample costs, a theorem (docs: "The loop
    as a theorem"); the setpoint is then replaced by the nearest steady output within reach.
    `monitor` is for how many samples a plan is checked before its input is applied: where the tube
    of the model from all that the estimate may be leaves the safe set of the release, the input
    goes to `safe_input` (0: never). `alarm` flags a plant that is further from the model in open
    loop than the error tube of the release.

    One number per signal, or one for all. The keys of `[control]` in a design.
    """

    horizon: int = 20
    output_weight: ArrayLike = 1.0
    move_penalty: ArrayLike = 0.1
    u_low: ArrayLike = -inf
    u_high: ArrayLike = inf
    max_move: ArrayLike = inf
    max_move_down: ArrayLike | None = None
    y_low: ArrayLike = -inf
    y_high: ArrayLike = inf
    violation_weight: ArrayLike = 100.0
    input_target: ArrayLike | None = None
    input_weight: ArrayLike = 0.0
    blocks: tuple[int, ...] = ()
    preview: bool = False
    forecast: bool = False
    observer_gain: float = 0.6
    dead_time: float = 0.0
    sensor_low: ArrayLike = -inf
    sensor_high: ArrayLike = inf
    frozen_after: int = 0
    safe_input: ArrayLike | None = None
    observer: KalmanTuning | GatedTuning | None = None
    terminal: bool = False
    monitor: int = 0
    alarm: bool = False

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise InputError(f"control: horizon must be at least 1 sample, got {self.horizon}")
        if any(length < 1 for length in self.blocks) or sum(self.blocks) > self.horizon:
            raise InputError(
                f"control: blocks must be at least 1 sample long and fit into {self.horizon}"
                f" samples, got {list(self.blocks)!r:.60}"
            )
        if not 0 <= self.monitor <= self.horizon:
            raise InputError(
                f"control: monitor must lie between 0 and the horizon of {self.horizon} samples,"
                f" got {self.monitor}"
            )
        if self.monitor and self.terminal:
            raise InputError(
                f"control: monitor = {self.monitor} replaces plans, which the theorem behind"
                " terminal = true does not allow; leave one of them out"
            )
        if self.frozen_after < 0:
            raise InputError(f"control: frozen_after must not be negative, got {self.frozen_after}")
        if not 0 < self.observer_gain < 2:
            raise InputError(
                f"control: observer_gain must lie in (0, 2), got {self.observer_gain}: outside, the"
                " observer diverges"
            )
        if not 0 <= self.dead_time < inf:
            raise InputError(
                "control: dead_time must be a number of seconds, not negative, got"
                f" {self.dead_time}"
            )
        for key in ("max_move", "max_move_down"):
            given = getattr(self, key)
            if given is not None and np.any(np.asarray(given) <= 0):
                raise InputError(f"control: {key} must be positive, got {given!r:.60}")
        for key in ("output_weight", "move_penalty", "violation_weight", "input_weight"):
            if not (weights := np.ravel(getattr(self, key))).size or not (weights >= 0).all():
                raise InputError(
                    f"control: {key} must be a number or a list of numbers, not negative, got"
                    f" {getattr(self, key)!r:.60}"
                )
        self._check_targets()

    def _check_targets(self) -> None:
        weighed, given = bool(np.any(self.input_weight)), self.input_target is not None
        if weighed != given:
            raise InputError(
                f"control: input_target {self.input_target!r:.60} and input_weight"
                f" {self.input_weight!r:.60} are given together, or none of them"
            )
        if given and self.terminal:
            raise InputError(
                "control: terminal = true does not cover input_target: at the setpoint a sample"
                " would still cost something; leave one of them out"
            )

    @property
    def starts(self) -> tuple[int, ...]:
        """The sample at which each block of the plan begins."""
        return (
            tuple(int(k) for k in np.cumsum([0, *self.blocks[:-1]]))
            if self.blocks
            else tuple(range(self.horizon))
        )

    def lag(self, model: Model) -> int:
        """How far measurements lag behind the state that inputs of now act on.

        Args:
            model: The prediction model.

        Returns:
            Dead time and shared input delay [samples].
        """
        return round(self.dead_time / model.Ts) + model.shared_delay

    def ahead(self, model: Model) -> int:
        """How many setpoints beyond the present one the controller sees.

        Args:
            model: The prediction model.

        Returns:
            Horizon and shared input delay [samples]; 0 without preview.
        """
        return self.horizon + model.shared_delay if self.preview else 0

    def foreseen(self, model: Model) -> int:
        """How many measured inputs beyond the present ones the controller sees.

        Args:
            model: The prediction model.

        Returns:
            Samples of the forecast; 0 where there is none.
        """
        return self.horizon - 1 if self.forecast and model.measured else 0


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
