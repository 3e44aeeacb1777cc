"""What a controller decides each sample, how it says what went wrong, and the protocol that all
controllers keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array


class Status(IntFlag):
    """What was not as it should be; 0 is a clean optimum.

    The flags are the same in every engine and in the C; OUT_OF_REACH is of problems with a terminal
    cost, OUT_OF_ORDER of the C alone, MODEL_ALARM and UNSAFE_PLAN of problems with an alarm and a
    monitor.
    """

    MEASUREMENT_INVALID = 1
    MEASUREMENT_FROZEN = 2
    SETPOINT_INVALID = 4
    BUDGET = 8
    SOLVE_FAILED = 16
    SAFE_INPUT = 32
    STATE_RESET = 64
    REFUSED = 128
    MEASURED_INVALID = 256
    OUT_OF_REACH = 512
    OUT_OF_ORDER = 1024
    MODEL_ALARM = 2048
    UNSAFE_PLAN = 4096


OPTIMAL = Status(0)


WORDS = {
    Status.MEASUREMENT_INVALID: "measurement not finite or out of range; disturbance held",
    Status.MEASUREMENT_FROZEN: "measurement frozen; disturbance held",
    Status.SETPOINT_INVALID: "setpoint not finite; last valid one kept",
    Status.BUDGET: "budget used up; best feasible plan applied",
    Status.SOLVE_FAILED: "solve failed; last good plan applied",
    Status.SAFE_INPUT: "no plan left; going to the safe input",
    Status.STATE_RESET: "state corrupt; made anew",
    Status.REFUSED: "model refused; safe input",
    Status.MEASURED_INVALID: "measured input not finite or out of limits; last valid one kept",
    Status.OUT_OF_REACH: "setpoint out of reach; nearest steady output followed",
    Status.OUT_OF_ORDER: "not prepared since the last advance, or scratch overwritten; input kept",
    Status.MODEL_ALARM: "plant further from the model than its error tube",
    Status.UNSAFE_PLAN: "plan may take the model out of the safe set; going to the safe input",
}


def meanings(
    *, measured: bool, terminal: bool = False, monitor: bool = False, alarm: bool = False
) -> dict[Status, str]:
    """What the flags of the C mean; those of measured inputs, a terminal cost, a monitor and an
    alarm where a controller has such."""
    optional = {
        Status.MEASURED_INVALID: measured,
        Status.OUT_OF_REACH: terminal,
        Status.UNSAFE_PLAN: monitor,
        Status.MODEL_ALARM: alarm,
    }
    return {f: words for f, words in WORDS.items() if optional.get(f, True)}


def status_rows(prefix: str, meant: dict[Status, str]) -> list[tuple[int, str, str]]:
    """The flags as rows of a table: code, its name in the C after `prefix`, meaning."""
    return [(flag.value, f"{prefix}_{flag.name}", words) for flag, words in meant.items()]


@dataclass(frozen=True)
class ControlAction:
    """What one control step decided.

    `u` (nu,) [engineering] is always within bounds and rate limits; `flags` say what was not as it
    should be. `predicted` (N+1, ny) are the outputs expected under the plan, the first one that
    inputs of now can no longer change (without a delay shared by all inputs, the present one) and
    those after it, `cost` the objective of that plan, `disturbance` (ny,) and `input_disturbance`
    (nu,) what is estimated to act at outputs and inputs, `iterations` and `seconds` the effort and
    the time of the whole step, `detail` what the solver said.
    """

    u: Array
    flags: Status
    iterations: int
    cost: float
    predicted: Array
    disturbance: Array
    seconds: float
    detail: str = ""
    input_disturbance: Array = field(default_factory=lambda: np.zeros(0))

    @property
    def optimal(self) -> bool:
        return self.flags == OPTIMAL

    @property
    def status(self) -> str:
        """The flags in words, "optimal" for none."""
        words = "; ".join(WORDS[flag] for flag in self.flags) or "optimal"
        return f"{words} ({self.detail})" if self.detail else words


class Controller(Protocol):
    """The protocol of every controller, in engineering units."""

    def reset(self, y: ArrayLike, u: ArrayLike, measured: ArrayLike = ()) -> None:
        """Begin.

        Args:
            y: The measured output, (ny,).
            u: The input in force, (nu,).
            measured: The measured inputs, (nd,), where the model has such.
        """

    def step(self, y: ArrayLike, reference: ArrayLike, measured: ArrayLike = ()) -> ControlAction:
        """Give the input for one sample.

        Args:
            y: The measured output, (ny,).
            reference: The setpoint, (ny,), or as many rows from now on as the preview asks for,
                `ahead` + 1 of the problem.
            measured: The measured inputs of this sample, (nd,), or as many rows as are foreseen,
                the last one held.

        Returns:
            The input, with what the controller thinks of it.
        """


@runtime_checkable
class FullInformation(Controller, Protocol):
    """A controller that is told the truth before every step: what is possible at all, for
    comparison."""

    def see(self, chi: Array, d: Array, position: Array) -> None:
        """The state `chi` (n,) of the plant, the disturbances `d` (nd,) of this sample, the valve's
        `position` (nu,) before it."""


@runtime_checkable
class Tracking(Protocol):
    """A controller that runs along while the operator drives."""

    def track(self, y: ArrayLike, u: ArrayLike, measured: ArrayLike = ()) -> ControlAction:
        """A sample in manual: the measurement `y` (ny,), the input `u` (nu,) that the operator
        applies, which is the move, and the `measured` inputs as in `step`."""


def wrapped(controller: Controller) -> Controller:
    """The engine within a controller that wraps one as its `wrapped`, or the controller itself:
    what it can do beside `reset` and `step` is the engine's."""
    engine: Controller = getattr(controller, "wrapped", controller)
    return engine


def coming(values: ArrayLike, horizon: int, ny: int, what: str = "the setpoint needs") -> Array:
    """The setpoints of samples 0 … N, (N+1, ny), or other `values`; a single one is held."""
    array: Any = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if array.size == 0 or array.size % ny:
        raise InputError(f"control: {what} {ny} value(s) for each sample, got {values!r:.60}")
    array = array.reshape(-1, ny)
    return np.vstack(
        [array[: horizon + 1], np.repeat(array[-1:], max(0, horizon + 1 - len(array)), axis=0)]
    )


def foreseen(measured: ArrayLike, samples: int, nd: int) -> Array:
    """The measured inputs of so many samples from now on, (samples, nd); the last one is held.
    InputError where they are missing, or none is wanted."""
    if nd == 0:
        if np.size(measured):
            raise InputError(
                f"control: this model has no measured inputs, got measured = {measured!r:.60}"
            )
        return np.zeros((samples, 0))
    return coming(measured, samples - 1, nd, "the measured inputs need")
