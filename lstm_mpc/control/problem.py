"""The optimal control problem, stated once for every engine."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.control.observers.options import GatedTuning, KalmanTuning
from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model


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
