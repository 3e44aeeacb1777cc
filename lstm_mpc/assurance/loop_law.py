"""The law that closed loops are drawn from for their verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import numpy as np

from lstm_mpc.control.scenario import Scenario
from lstm_mpc.data.excitation import Mprs, Steps
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.schema import noun
from lstm_mpc.plants.system import Array, System

Pairs = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class LoopLaw:
    """How closed loops are drawn.

    Setpoints lie within `setpoint`, one (low, high) per output [unit], and `disturbances`, name ->
    (low, high) [unit], the others at rest; each level is uniform and held for a time uniform in
    `dwell` [s], by default 30 to 200 samples. The plant begins at rest under inputs uniform in
    `start`, one (low, high) per input [unit]. `noise`, `delay`, `valve_lag` and `mismatch` are
    those of a `Scenario`.
    """

    setpoint: Pairs
    start: Pairs
    dwell: tuple[float, float] | None = None
    disturbances: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    noise: float = 0.0
    delay: float = 0.0
    valve_lag: float = 0.0
    mismatch: float = 0.0

    def __post_init__(self) -> None:
        for name in ("setpoint", "start"):
            object.__setattr__(self, name, tuple(_pair(pair, name) for pair in getattr(self, name)))
        object.__setattr__(
            self,
            "disturbances",
            {name: _pair(pair, name) for name, pair in self.disturbances.items()},
        )
        Mprs((0.0,), (0.0,), self.dwell)  # they refuse what is no law
        self._scenario("law", Steps((0.0,), [0.0]), 0.0)

    def _scenario(
        self,
        name: str,
        setpoint: Steps,
        duration: float,
        disturbances: Steps | None = None,
        seed: int = 0,
    ) -> Scenario:
        made = Scenario(name, setpoint, duration, disturbances, seed=seed)
        return replace(
            made,
            noise=self.noise,
            delay=self.delay,
            valve_lag=self.valve_lag,
            mismatch=self.mismatch,
        )

    def draw(self, index: int, *, seed: int, plant: System, steps: int) -> tuple[Scenario, Array]:
        """Draw a closed loop.

        Args:
            index: The number of the scenario, from 0.
            seed: Of all scenarios; the same seed and index give the same loop.
            plant: The simulated plant.
            steps: How many samples it lasts.

        Returns:
            The scenario, and the inputs (nu,) [engineering] in force before it.

        Raises:
            InputError: The law does not fit the plant.
        """
        unknown = set(self.disturbances) - {s.name for s in plant.disturbances}
        if unknown or (len(self.setpoint), len(self.start)) != (plant.ny, plant.nu):
            asked = (
                f"{len(self.setpoint)} setpoint(s), {len(self.start)} start(s), disturbances"
                f" {', '.join(self.disturbances) or 'none'}"
            )
            has = (
                f"{plant.ny}, {plant.nu}, {', '.join(s.name for s in plant.disturbances) or 'none'}"
            )
            raise InputError(f"loop law: {asked}; {plant.name} has {has}")
        rng = np.random.default_rng([seed, index])

        def schedule(pairs: Sequence[tuple[float, float]]) -> Steps:
            low, high = zip(*pairs, strict=True)
            drawn = Mprs(low, high, self.dwell).draw(rng, steps, plant.Ts)
            return Steps(tuple(plant.Ts * drawn.starts), drawn.levels)

        # A controller in single precision is told the input in force; what it was told is what
        # counts for its first move.
        before = rng.uniform(*np.transpose(self.start)).astype(np.float32).astype(np.float64)
        noise = int(rng.integers(2**63))
        ranges = [
            self.disturbances.get(s.name, (d, d))
            for s, d in zip(plant.disturbances, plant.d_nominal.tolist(), strict=True)
        ]
        setpoint, disturbances = schedule(self.setpoint), schedule(ranges) if ranges else None
        return (
            self._scenario(f"number {index}", setpoint, steps * plant.Ts, disturbances, noise),
            before,
        )

    def describe(self) -> dict[str, Any]:
        described: dict[str, Any] = artefact_file.plain(self)
        return described

    @staticmethod
    def from_description(law: Any) -> LoopLaw:
        """The law that a description stands for.

        Args:
            law: What `describe` gave, as JSON types.

        Returns:
            The law.

        Raises:
            InputError: Something does not fit; with its name.
        """
        made: LoopLaw = noun(LoopLaw, law, "the loop law")
        return made


def _pair(pair: Sequence[float], name: str) -> tuple[float, float]:
    try:
        low, high = map(float, pair)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"loop law: {name} must be [low, high], got {pair!r:.40}") from error
    if not (isfinite(low) and isfinite(high) and low <= high):
        raise InputError(f"loop law: {name} [{low:g}, {high:g}] must rise and be finite")
    return low, high
