"""Seeded input signals: the paper's multilevel pseudo-random signal and its class U_τ, steps, and a
user's own array.

Every one is piecewise constant, and is drawn as `Segments`: that is all a streaming simulation has
to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.data.dataset import Record
from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array, System, frozen_array, simulate


@dataclass(frozen=True)
class Segments:
    """A piecewise-constant signal: `levels[j]` (S, nu) holds from sample `starts[j]` (S,) until the
    next start; starts[0] = 0."""

    starts: Any
    levels: Array

    def signal(self, steps: int) -> Array:
        """The samples 0 … steps−1, (steps, nu)."""
        return self.levels[np.searchsorted(self.starts, np.arange(steps), side="right") - 1]


class InputClass(Protocol):
    """A law of input signals from which single signals are drawn."""

    def draw(self, rng: np.random.Generator, steps: int, Ts: float) -> Segments: ...

    def describe(self) -> dict[str, Any]: ...


def default_dwell(Ts: float) -> tuple[float, float]:
    """How long a level is held where nobody says: 30 to 200 samples of `Ts` [s]."""
    return 30.0 * Ts, 200.0 * Ts


@dataclass(frozen=True)
class Mprs:
    """Multilevel pseudo-random signal.

    Levels are uniform in [`low`, `high`] (one per input, [engineering]), each held for a time
    uniform in `dwell` [s], by default 30 to 200 samples.

    The paper trains on one such signal and verifies on the class of all of them (Section 4). Inputs
    switch independently.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    dwell: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        low, high = (tuple(map(float, v)) for v in (self.low, self.high))
        dwell: Any = None if self.dwell is None else tuple(map(float, self.dwell))
        if (
            len(low) != len(high)
            or not low
            or any(not a <= b for a, b in zip(low, high, strict=True))
        ):
            raise InputError(f"Mprs: low {low} must lie below high {high}, one pair per input")
        if dwell is not None and (len(dwell) != 2 or not 0 < dwell[0] <= dwell[1]):
            raise InputError(
                f"Mprs: dwell {dwell} must be (shortest, longest) in seconds, positive"
            )
        for name, value in zip(("low", "high", "dwell"), (low, high, dwell), strict=True):
            object.__setattr__(self, name, value)

    def draw(self, rng: np.random.Generator, steps: int, Ts: float) -> Segments:
        """Draw a signal of the class.

        Args:
            rng: What it is drawn from.
            steps: How many samples it has.
            Ts: The sampling time [s].

        Returns:
            When levels begin [samples], and the levels (segments, nu) [engineering].
        """
        dwell = self.dwell or default_dwell(Ts)
        most = 1 + ceil(steps / max(1, floor(dwell[0] / Ts)))
        starts, levels = [], []
        for low, high in zip(self.low, self.high, strict=True):
            hold = np.maximum(1, np.rint(rng.uniform(*dwell, most) / Ts).astype(np.int64))
            begin = np.concatenate([[0], np.cumsum(hold)[:-1]])
            level = rng.uniform(low, high, most)
            keep = begin < steps
            starts.append(begin[keep])
            levels.append(level[keep])
        if len(starts) == 1:
            return Segments(starts[0], levels[0][:, None])
        every = np.unique(np.concatenate(starts))
        columns = [
            level[np.searchsorted(begin, every, side="right") - 1]
            for begin, level in zip(starts, levels, strict=True)
        ]
        return Segments(every, np.column_stack(columns))

    def describe(self) -> dict[str, Any]:
        return {"class": "Mprs", "low": self.low, "high": self.high, "dwell": self.dwell}


@dataclass(frozen=True)
class Steps:
    """A fixed schedule of levels.

    `levels[j]` (one number per input, [engineering]) holds from `times[j]` [s] on; times[0] = 0.
    `times` has as many entries as `levels` has rows.
    """

    times: tuple[float, ...]
    levels: ArrayLike

    def __post_init__(self) -> None:
        times = frozen_array(self.times, 1, "step times")
        levels = frozen_array(self.levels, name="step levels")
        levels = levels[:, None] if levels.ndim == 1 else levels
        if levels.ndim != 2 or len(levels) != len(times) or not len(times):
            raise InputError(f"Steps: {len(times)} times need as many levels, got {len(levels)}")
        if times[0] != 0 or (np.diff(times) <= 0).any():
            raise InputError(f"Steps: times must start at 0 s and rise, got {times.tolist()}")
        object.__setattr__(self, "times", tuple(times.tolist()))
        object.__setattr__(self, "levels", levels)

    def draw(self, rng: np.random.Generator | None, steps: int, Ts: float) -> Segments:
        """The one signal of the class.

        Args:
            rng: Nothing is drawn from it.
            steps: How many samples it has.
            Ts: The sampling time [s].

        Returns:
            When levels begin [samples], and the levels (segments, nu) [engineering].
        """
        return Segments(
            np.rint(np.array(self.times) / Ts).astype(np.int64), np.asarray(self.levels)
        )

    def signal(self, steps: int, Ts: float) -> Array:
        """The schedule, sample by sample.

        Args:
            steps: How many samples it has.
            Ts: The sampling time [s].

        Returns:
            The samples 0 … steps−1, (steps, nu) [engineering].
        """
        return self.draw(None, steps, Ts).signal(steps)

    def describe(self) -> dict[str, Any]:
        return {"class": "Steps", "times": self.times, "levels": self.levels}


def own_signal(values: ArrayLike | Sequence[float], Ts: float) -> Steps:
    """A user's own sampled signal as an input.

    Args:
        values: The samples, (N,) or (N, nu) [engineering].
        Ts: The sampling time [s].

    Returns:
        A schedule with one level a sample.
    """
    values = frozen_array(values, name="signal")
    return Steps(tuple(np.arange(len(values)) * Ts), values)


def record(
    system: System,
    excitation: InputClass,
    *,
    steps: int,
    input_noise: float = 0.0,
    output_noise: float = 0.0,
    resolution: float = 0.0,
    seed: int = 0,
    name: str = "record",
) -> Record:
    """Run an experiment on a simulated plant from its nominal start.

    The plant receives the drawn input; white noise is added to what is recorded (Section 4 of the
    paper), which is then rounded.

    Args:
        system: The plant.
        excitation: The class of inputs that one is drawn from.
        steps: How many samples.
        input_noise: Variance of the noise on the recorded inputs [input unit²].
        output_noise: Variance of the noise on the recorded outputs [output unit²].
        resolution: What is recorded is a multiple of this [unit]; 0: not rounded.
        seed: Of input and noise; the same seed gives the same record.
        name: Of the record.

    Returns:
        Inputs, outputs and noise-free outputs.

    Raises:
        InputError: A variance is negative.
    """
    if min(input_noise, output_noise) < 0:
        raise InputError(
            f"noise variances must not be negative, got {input_noise} and {output_noise}"
        )
    rng = np.random.default_rng(seed)
    u = excitation.draw(rng, steps, system.Ts).signal(steps)
    run = simulate(system, u)
    seen_u = run.u + np.sqrt(input_noise) * rng.standard_normal(run.u.shape)
    seen_y = run.y + np.sqrt(output_noise) * rng.standard_normal(run.y.shape)
    return Record(name, *(_recorded(values, resolution) for values in (seen_u, seen_y, run.y)))


def _recorded(values: Array, resolution: float) -> Array:
    """`values` as a recorder keeps them; division by the inverse gives the shortest decimals."""
    return values if resolution == 0 else np.rint(values * (1.0 / resolution)) / (1.0 / resolution)
