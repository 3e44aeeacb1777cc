"""The rival that runs in most plants: PI in velocity form, and its best tuning for given
scenarios."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.control.controller import OPTIMAL, ControlAction, Status, coming
from lstm_mpc.control.limits import Limits
from lstm_mpc.control.scenario import Probe, Scenario, Valve, draw_scenario
from lstm_mpc.errors import InputError
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import Array, System

# points per direction and rounds of the search: the last spacing is a third of a percent
_GRID, _ZOOMS = 9, 5
# of Kc [input span per output span] and of Ti [samples]
_GAIN_SPAN, _TIME_SPAN = (0.03, 30.0), (1.0, 300.0)


class Pi:
    """u_k = u_{k−1} + Kc (e_k − e_{k−1} + Ts/Ti e_k), brought into bounds and rates: what was not
    applied is not remembered, so nothing winds up. One input, one output; `Kc` [input unit/output
    unit], `Ti` [s], sampled every `Ts` [s].

    The first step knows no error before it and moves by its integral part alone. A measurement that
    is not finite or outside the sensor's range leaves the input where it is."""

    def __init__(self, Kc: float, Ti: float, *, Ts: float, limits: Limits) -> None:
        if not (np.isfinite(Kc) and 0 < Ti < np.inf and 0 < Ts < np.inf):
            raise InputError(
                f"PI: Kc must be a number, Ti and Ts a positive number of seconds, got {Kc}, {Ti},"
                f" {Ts}"
            )
        _one_by_one(limits)
        self.Kc, self.Ti, self.Ts, self.limits = Kc, Ti, Ts, limits
        self.reset(np.full(1, np.nan), limits.u_safe)

    def reset(self, y: ArrayLike, u: ArrayLike) -> None:
        """Begin with the input `u` (1,) in force, taken into the bounds; the output `y` (1,) is
        read with the first step."""
        self._u: Array = np.clip(
            np.asarray(u, dtype=np.float64).ravel(), self.limits.u_low, self.limits.u_high
        )
        self._error: Array | None = None
        self._setpoint: Array | None = None

    def step(self, y: ArrayLike, reference: ArrayLike) -> ControlAction:
        """Measurement (1,) and setpoint (1,), or those to come, of which the first counts → the
        move for this sample."""
        began, flags, limits = time.perf_counter(), OPTIMAL, self.limits
        y = np.asarray(y, dtype=np.float64).ravel()
        setpoint = coming(reference, 0, 1)[0]
        if not np.isfinite(setpoint).all():
            flags |= Status.SETPOINT_INVALID
            setpoint = y if self._setpoint is None else self._setpoint
        if not ((y >= limits.sensor_low) & (y <= limits.sensor_high) & np.isfinite(y)).all():
            flags |= Status.MEASUREMENT_INVALID
        else:
            error, self._setpoint = setpoint - y, setpoint
            before = error if self._error is None else self._error
            wanted = self._u + increment(error, before, Kc=self.Kc, Ti=self.Ti, Ts=self.Ts)
            self._u, self._error = (
                limits.admit(wanted[None], self._u)[0],
                error,
            )
        return ControlAction(
            self._u.copy(),
            flags,
            0,
            0.0,
            np.atleast_2d(y),
            np.zeros(1),
            time.perf_counter() - began,
        )


def increment(
    error: Array, before: Array, *, Kc: Array | float, Ti: Array | float, Ts: float
) -> Array:
    """What PI adds to its input at the `error` now and the one `before` it; arrays of any shape."""
    return np.asarray(Kc * (error - before + Ts / Ti * error))


def _one_by_one(limits: Limits) -> None:
    if limits.u_low.size != 1 or limits.y_low.size != 1:
        raise InputError(
            f"PI: for one input and one output, got {limits.u_low.size} and {limits.y_low.size}"
        )


@dataclass(frozen=True)
class Tuning:
    """Gain `Kc` [input unit/output unit], reset time `Ti` [s], and the total `iae` [output unit·s]
    they came with."""

    Kc: float
    Ti: float
    iae: float


def tune_pi(
    plant: System, scenarios: Sequence[Scenario], *, limits: Limits, u_start: ArrayLike
) -> Tuning:
    """The PI with the least total IAE over `scenarios` on `plant`, their noise and their drawn
    parameters known beforehand: a rival with hindsight. A grid in log Kc and log Ti closes in on
    its best point, so noise in the total traps it less than a simplex; every round is one
    simulation, all side by side."""
    sides = [
        float(np.asarray(plant.output(rest(plant, u))).item())
        for u in (limits.u_low, limits.u_high)
    ]
    if sides[0] == sides[1]:
        raise InputError(
            f"PI: the input does not move the output of {plant.name}: it rests in {sides[0]:g} at"
            " both bounds"
        )
    unit = float((limits.u_high - limits.u_low).item()) / (
        sides[1] - sides[0]
    )  # with the sign of the plant's gain
    low, high = (
        np.log([gain, samples * plant.Ts])
        for gain, samples in zip(_GAIN_SPAN, _TIME_SPAN, strict=True)
    )
    best = Tuning(np.nan, np.nan, np.inf)
    for _ in range(_ZOOMS):
        gains, times = (np.exp(np.linspace(a, b, _GRID)) for a, b in zip(low, high, strict=True))
        Kc, Ti = (grid.ravel() for grid in np.meshgrid(unit * gains, times))
        iae = total_iae(plant, scenarios, Kc, Ti, limits=limits, u_start=u_start)
        place = int(np.nanargmin(iae))
        if iae[place] < best.iae:
            best = Tuning(float(Kc[place]), float(Ti[place]), float(iae[place]))
        centre, spacing = np.log([best.Kc / unit, best.Ti]), (high - low) / (_GRID - 1)
        low, high = centre - spacing, centre + spacing
    return best


def total_iae(
    plant: System,
    scenarios: Sequence[Scenario],
    Kc: Array,
    Ti: Array,
    *,
    limits: Limits,
    u_start: ArrayLike,
) -> Array:
    """The IAE [output unit·s] of PIs `Kc`, `Ti` (G,), summed over `scenarios`, (G,): what
    `simulate_closed_loop` finds with `Pi`, all at once, as long as the measurement stays within
    the range of the sensor."""
    _one_by_one(limits)
    chains = {(scenario.delay, scenario.valve_lag) for scenario in scenarios}
    if len(chains) != 1:
        raise InputError(
            "PI: scenarios tuned for together need one delay and one valve lag [s], got"
            f" {sorted(chains)}"
        )
    if any(scenario.faults for scenario in scenarios):
        raise InputError("PI: is not tuned for scenarios with faults")
    ((delay, lag),) = chains
    draws = [draw_scenario(plant, scenario, u_start=u_start) for scenario in scenarios]
    lengths, G = np.array([len(draw.d) for draw in draws]), len(Kc)
    N = int(lengths.max())

    def held(parts: list[Array]) -> Array:
        """A signal (N_s, m) of every scenario, held to the longest and repeated for every PI, (N,
        m, S·G)."""
        rows = [np.minimum(np.arange(N), length - 1) for length in lengths]
        return np.repeat(
            np.stack([part[row] for part, row in zip(parts, rows, strict=True)], axis=-1),
            G,
            axis=-1,
        )

    reference, d, noise = (
        held([getattr(draw, name) for draw in draws]) for name in ("reference", "d", "noise")
    )
    under_way = np.repeat(np.arange(N)[:, None] < lengths, G, axis=1)
    chi = np.repeat(np.stack([draw.chi for draw in draws], axis=1), G, axis=1)
    start = np.repeat(draws[0].u_start[:, None], chi.shape[1], axis=1)
    u = np.clip(start, limits.u_low[:, None], limits.u_high[:, None])
    Kc, Ti = (np.tile(v, len(draws)) for v in (Kc, Ti))
    twin, valve, probe = plant.vectorised, Valve(start, lag, plant.Ts), Probe(delay, plant.Ts)
    before, iae = None, np.zeros(chi.shape[1])
    for k in range(N):
        truth = twin.output(chi)
        error = reference[k] - (probe.read(truth) + noise[k])
        wanted = u + increment(
            error, error if before is None else before, Kc=Kc, Ti=Ti, Ts=plant.Ts
        )
        u, before = limits.admit(wanted[None], u)[0], error
        chi = twin.step(chi, valve.follow(u), d[k])
        iae += plant.Ts * under_way[k] * np.abs(reference[k] - truth)[0]
    return np.asarray(iae.reshape(len(draws), G).sum(axis=0))
