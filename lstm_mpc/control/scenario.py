"""What one closed-loop run is told to be: setpoints, disturbances, noise, delays, and what they
become on a plant."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.control.faults import Fault
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.plants.batch import rests
from lstm_mpc.plants.names import checked_file_name
from lstm_mpc.plants.system import Array, System


@dataclass(frozen=True)
class Scenario:
    """One closed-loop run; a `[[scenario]]` of a design.

    It has a `name`; `setpoint` and `disturbances` are steps ([time s, value] pairs), for `duration`
    [s]. The measurement has `noise` (standard deviation, [output unit]) and comes `delay` [s] late;
    `dead_time` [s] is what the controller takes the delay to be; by default it knows. The valve
    follows its command with the time constant `valve_lag` [s]. Every parameter of an uncertain
    plant is drawn within ±`mismatch` of its nominal value. `faults` come and go. All that is random
    comes from `seed`.
    """

    name: str
    setpoint: Steps
    duration: float
    disturbances: Steps | None = None
    noise: float = 0.0
    delay: float = 0.0
    dead_time: float | None = None
    valve_lag: float = 0.0
    mismatch: float = 0.0
    seed: int = 0
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", checked_file_name(self.name, "scenario"))
        bounds = {
            "duration": self.duration,
            "noise": self.noise,
            "delay": self.delay,
            "valve_lag": self.valve_lag,
            "mismatch": self.mismatch,
        }
        for key, value in bounds.items():
            if not 0 <= value < inf:
                raise InputError(
                    f"scenario {self.name!r}: {key} must be a number, not negative, got {value}"
                )

    @property
    def believed(self) -> float:
        """The dead time [s] that the controller reckons with."""
        return self.delay if self.dead_time is None else self.dead_time


@dataclass(frozen=True)
class Draw:
    """A scenario on a plant, all chance decided: setpoints `reference` (N + horizon + 1, ny),
    disturbances `d` (N, nd), measurement `noise` (N, ny), and the plant at rest: its state `chi`
    (n,) under `u_start` (nu,). Engineering units. Of B scenarios at once every array has a last
    axis (B)."""

    reference: Array
    d: Array
    noise: Array
    chi: Array
    u_start: Array


def draw_scenario(
    plant: System, scenario: Scenario, *, u_start: ArrayLike, horizon: int = 0
) -> Draw:
    """Decide what is random in `scenario`; InputError where it does not fit the plant."""
    draw = draw_scenarios(
        plant, [scenario], u_starts=[np.asarray(u_start, dtype=np.float64).ravel()], horizon=horizon
    )
    return Draw(**{name: array[..., 0] for name, array in draw.__dict__.items()})


def draw_scenarios(
    plant: System, scenarios: Sequence[Scenario], *, u_starts: Sequence[Array], horizon: int = 0
) -> Draw:
    """`draw_scenario` for scenarios of one duration, each from rest under its own input (nu,) of
    `u_starts`."""
    reference, d, noise, drawn = (
        np.stack(parts, axis=-1)
        for parts in zip(*(_chance(plant, s, horizon) for s in scenarios), strict=True)
    )
    start, before = (
        np.repeat(plant.x0[:, None], len(scenarios), axis=1),
        np.stack(u_starts, axis=-1),
    )
    start[plant.n - len(plant.parameters) :] = drawn
    return Draw(reference, d, noise, rests(plant, start, before), before)


def _chance(plant: System, scenario: Scenario, horizon: int) -> tuple[Array, Array, Array, Array]:
    """Setpoints, disturbances, noise and the parameters of the plant (np,)."""
    N = round(scenario.duration / plant.Ts)
    if N < 1:
        raise InputError(
            f"scenario {scenario.name!r}: duration {scenario.duration} s is less than one sample of"
            f" {plant.Ts} s"
        )
    if scenario.mismatch and not plant.parameters:
        raise InputError(
            f"scenario {scenario.name!r}: mismatch = {scenario.mismatch} needs a plant with"
            f" parameters; {plant.name} has none"
        )
    rng = np.random.default_rng(scenario.seed)
    reference = scenario.setpoint.signal(N + horizon + 1, plant.Ts)
    d = (
        np.tile(plant.d_nominal, (N, 1))
        if scenario.disturbances is None
        else scenario.disturbances.signal(N, plant.Ts)
    )
    if reference.shape[1] != plant.ny or d.shape[1] != plant.nd:
        given = f"{reference.shape[1]} setpoints, {d.shape[1]} disturbances"
        raise InputError(
            f"scenario {scenario.name!r}: {given}; the plant has {plant.ny}, {plant.nd}"
        )
    noise = scenario.noise * rng.standard_normal((N, plant.ny))
    nominal = np.array([s.nominal for s in plant.parameters], dtype=np.float64)
    return reference, d, noise, nominal * (1 + scenario.mismatch * rng.uniform(-1, 1, nominal.size))


class Valve:
    """Follows its command with a time constant `lag` [s] (0: at once), from `position`; arrays of
    any shape."""

    def __init__(self, position: Array, lag: float, Ts: float) -> None:
        self.position, self._share = position, 1.0 if lag == 0 else 1.0 - exp(-Ts / lag)

    def follow(self, command: Array) -> Array:
        """Where it stands for the coming sample."""
        self.position = self.position + self._share * (command - self.position)
        return self.position


class Probe:
    """Reads what was there `delay` [s] ago, at first what it saw first; arrays of any shape."""

    def __init__(self, delay: float, Ts: float) -> None:
        if abs(delay / Ts - round(delay / Ts)) > 1e-9:
            raise InputError(
                f"the probe delay {delay} s must be a multiple of the sampling time {Ts} s"
            )
        self._under_way: deque[Array] = deque(maxlen=round(delay / Ts) + 1)

    def read(self, truth: Array) -> Array:
        while len(self._under_way) < (self._under_way.maxlen or 1):
            self._under_way.append(truth)
        self._under_way.append(truth)
        return self._under_way[0]
