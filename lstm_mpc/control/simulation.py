"""The closed loop on a simulated plant, and what to say about it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import exp, inf
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.control import faults
from lstm_mpc.control.controller import (
    ControlAction,
    Controller,
    FullInformation,
    Status,
    Tracking,
    wrapped,
)
from lstm_mpc.control.faults import Fault
from lstm_mpc.control.problem import Limits, moves_of
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.io.display import Displayed, draw
from lstm_mpc.plants.names import checked_file_name
from lstm_mpc.plants.system import Array, System, rests

_SINGLE = 1e-5  # [input unit] by which a controller in single precision may miss its own bounds


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
class Sample:
    """Sample `k` of `N` as it was: what was measured, `y` (ny,), and asked, `reference` (ny,), and
    the move."""

    k: int
    N: int
    t: float
    y: Array
    reference: Array
    move: ControlAction


@dataclass(frozen=True, repr=False)
class Run(Displayed):
    """A finished closed loop, in engineering units.

    `scenario` and `Ts` [s] say what was run, `u_start` (nu,) what was in force before. `t` (N,)
    [s], `y` measured and `truth` noise-free (N, ny), `reference` (N, ny), the commands `u` (N, nu),
    `d` (N, nd), every one of the `moves`, and the setpoints `ahead` (N, rows, ny) that the
    controller saw; of the disturbances those at the places `measured`, as it saw them: `known` (N,
    rows, len(measured)).
    """

    scenario: Scenario
    Ts: float
    t: Array
    y: Array
    truth: Array
    reference: Array
    u: Array
    d: Array
    u_start: Array
    moves: tuple[ControlAction, ...]
    ahead: Array
    measured: tuple[int, ...] = ()
    known: Array = field(default_factory=lambda: np.zeros((0, 1, 0)))

    @property
    def failures(self) -> tuple[int, ...]:
        """Samples whose solve failed, so that a fallback was applied."""
        return tuple(
            k
            for k, move in enumerate(self.moves)
            if move.flags & (Status.SOLVE_FAILED | Status.REFUSED)
        )

    @property
    def flagged(self) -> tuple[int, ...]:
        """Samples that anything is said of; a budget used up is an everyday matter of the real-time
        mode."""
        return tuple(k for k, move in enumerate(self.moves) if not move.optimal)

    def plot(self, plant: System, *, safe_set: Sequence[tuple[float, float]] = ()) -> Any:
        """Draw outputs with setpoints, inputs with limits, and the disturbances.

        Args:
            plant: What it was simulated on; its signals name the axes.
            safe_set: (low, high) of each output [engineering], to be drawn where it is given.

        Returns:
            A matplotlib figure.

        Raises:
            InputError: It is a plant with other signals.
        """
        return draw(self, plant, safe_set=safe_set)

    def _facts(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario.name,
            "samples": len(self.t),
            "Ts": self.Ts,
            "outputs": self.y.shape[1],
            "inputs": self.u.shape[1],
            "failures": len(self.failures),
            "flagged": len(self.flagged),
        }

    def _tables(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        error = np.abs(self.truth - self.reference)
        rows = zip(
            range(error.shape[1]), self.Ts * error.sum(axis=0), error.max(axis=0), strict=True
        )
        yield "Tracking [output unit]", [("output", "IAE [·s]", "largest error"), *rows]


def simulate_closed_loop(
    plant: System,
    mpc: Controller,
    scenario: Scenario,
    *,
    u_start: ArrayLike | None = None,
    horizon: int | None = None,
    measured: Sequence[str] | None = None,
    foreseen: int | None = None,
    manual: ArrayLike = (),
    on_step: Callable[[Sample], None] = lambda sample: None,
) -> Run:
    """Run a controller on a simulated plant.

    Args:
        plant: The plant; it begins at rest under `u_start`.
        mpc: The controller. A `FullInformation` one is told the truth as well.
        scenario: Setpoints, disturbances, noise, delays and faults.
        u_start: Inputs in force before the first sample, (nu,) [engineering]; by default the
            nominal ones of the plant, or the middle of their limits.
        horizon: How many coming setpoints are handed over (preview); by default as many as the
            controller asks for with `ahead`, none where it does not ask.
        measured: Names of the disturbances that the controller is told; by default those that it
            asks for with `measured`.
        foreseen: How many coming values of them it is told, a forecast that comes true; by default
            as many as it asks for with `foreseen`.
        manual: Inputs that an operator applies in the first samples, (M, nu) [engineering], while
            the controller tracks.
        on_step: Hears of every sample.

    Returns:
        The run.

    Raises:
        InputError: The scenario does not fit the plant, or the controller cannot track an operator.
    """
    horizon = int(getattr(mpc, "ahead", 0)) if horizon is None else horizon
    measured = tuple(getattr(mpc, "measured", ())) if measured is None else measured
    foreseen = int(getattr(mpc, "foreseen", 0)) if foreseen is None else foreseen
    controller, u_start = wrapped(mpc), plant.u_nominal if u_start is None else u_start
    draw = draw_scenario(plant, scenario, u_start=u_start, horizon=horizon)
    at, known = measured_of(plant, measured), []
    # a batch of one is this run to the bit
    N, before, chi, twin = len(draw.d), draw.u_start, draw.chi[:, None], plant.vectorised
    valve, probe = Valve(before, scenario.valve_lag, plant.Ts), Probe(scenario.delay, plant.Ts)
    seer = controller if isinstance(controller, FullInformation) else None
    wrong = faults.Loop(
        scenario.faults,
        controller,
        before,
        ny=plant.ny,
        measured=len(at),
        Ts=plant.Ts,
        name=scenario.name,
    )
    by_hand = np.reshape(manual, (-1, plant.nu))
    if len(by_hand) and not isinstance(controller, Tracking):
        raise InputError(
            f"scenario {scenario.name!r}: the engine {type(controller).__name__} cannot track an"
            " operator; use 'sqp' or 'dompc'"
        )
    y, truth, u, moves = (
        np.empty((N, plant.ny)),
        np.empty((N, plant.ny)),
        np.empty((N, plant.nu)),
        [],
    )
    for k in range(N):
        truth[k] = twin.output(chi)[:, 0]
        rows = np.minimum(np.arange(k, k + foreseen + 1), N - 1)
        sensed = draw.d[rows][:, list(at)]
        seen = wrong.measured(k, np.concatenate([probe.read(truth[k]) + draw.noise[k], sensed[0]]))
        y[k], sensed[0] = seen[: plant.ny], seen[plant.ny :]
        known.append(sensed)
        extra = (sensed,) if at else ()
        if k == 0:
            controller.reset(y[k], before, *extra)
        if seer is not None:
            seer.see(chi[:, 0], draw.d[k], valve.position)
        if k < len(by_hand) and isinstance(controller, Tracking):
            move = controller.track(y[k], by_hand[k], *extra)
        else:
            move = wrong.decided(k, y[k], draw.reference[k : k + horizon + 1], *extra)
        u[k] = move.u
        moves.append(move)
        told, stood = wrong.told(k, u[k]), valve.position
        valve.position = wrong.held(k, told, stood, valve.follow(told))
        chi = twin.step(chi, valve.position[:, None], draw.d[k][:, None])
        on_step(Sample(k, N, k * plant.Ts, y[k], draw.reference[k], move))
    ahead = np.stack([draw.reference[k : k + horizon + 1] for k in range(N)])
    t = plant.Ts * np.arange(N, dtype=np.float64)
    return Run(
        scenario,
        plant.Ts,
        t,
        y,
        truth,
        draw.reference[:N],
        u,
        draw.d,
        before,
        tuple(moves),
        ahead,
        at,
        np.stack(known),
    )


def measured_of(plant: System, names: Sequence[str]) -> tuple[int, ...]:
    """The places of these disturbances among those of the plant; InputError where it has no such
    disturbance."""
    known = [s.name for s in plant.disturbances]
    for name in names:
        if name not in known:
            raise InputError(
                f"the controller measures {name!r}, but {plant.name} has no disturbance of that"
                f" name (it has {', '.join(known) or 'none'})"
            )
    return tuple(known.index(name) for name in names)


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


def metrics(
    run: Run, *, band: float = 0.1, tail: float = 100.0, limits: Limits | None = None
) -> dict[str, Any]:
    """Figures of a run, on the noise-free output; where several, the worst one.

    Args:
        run: The run.
        band: Half the width of the band that an output settles into [output unit].
        tail: The end of every step, over which the mean error is taken [s].
        limits: The bounds of the controller, where the run is held against them.

    Returns:
        By name: IAE [unit·s]; travel of the valve [input unit]; per step the settling time [s]
        (None: never), overshoot [unit], which of an output whose setpoint stayed is the largest
        deviation, and mean error [unit] over the tail; the same of `each` output, and `travels` of
        each input; failures and flagged samples; solve times [ms]. With `limits` also the largest
        `excess` of the output over its soft bounds [unit], and how many inputs were `inadmissible`:
        outside the bounds or changed faster than the rates.
    """
    error = run.truth - run.reference
    changes = np.flatnonzero(np.any(np.diff(run.reference, axis=0) != 0, axis=1)) + 1
    if run.scenario.disturbances is not None:
        changes = np.union1d(
            changes, np.flatnonzero(np.any(np.diff(run.d, axis=0) != 0, axis=1)) + 1
        )
    edges = [0, *changes.tolist(), len(run.t)]
    iae, travel = (
        np.abs(error).sum(axis=0) * run.Ts,
        np.abs(moves_of(run.u, run.u_start)).sum(axis=0),
    )
    steps: list[dict[str, Any]] = []
    each: list[dict[str, Any]] = [{"iae": total, "steps": []} for total in iae.tolist()]
    for first, last in pairwise(edges):
        part = error[first:last]
        moved = np.logical_or(first == 0, run.reference[first] != run.reference[first - 1])
        beyond = np.where(
            moved, part * np.sign(run.reference[first] - run.truth[first]), np.abs(part)
        )
        outside = np.where(np.abs(part) > band, np.arange(1, len(part) + 1)[:, None], 0).max(axis=0)
        overshoot = np.maximum(0.0, beyond.max(axis=0))
        offset = np.abs(part[-max(1, round(tail / run.Ts)) :].mean(axis=0))
        for item, *own in zip(
            each, outside.tolist(), overshoot.tolist(), offset.tolist(), strict=True
        ):
            item["steps"].append(_of_step(*own, samples=len(part), Ts=run.Ts))
        worst = _of_step(
            int(outside.max()),
            float(overshoot.max()),
            float(offset.max()),
            samples=len(part),
            Ts=run.Ts,
        )
        where = {
            "t": float(run.t[first]),
            "setpoint": run.reference[first].tolist(),
            "length": float(len(part) * run.Ts),
        }
        steps.append({**where, **worst})
    milliseconds = 1e3 * np.array([move.seconds for move in run.moves])
    return {
        "scenario": run.scenario.name,
        "iae": float(iae.max()),
        "travel": float(travel.max()),
        "offset": max(s["offset"] for s in steps),
        "overshoot": max(s["overshoot"] for s in steps),
        "steps": steps,
        "each": each,
        "travels": travel.tolist(),
        "failures": len(run.failures),
        "flagged": len(run.flagged),
        "solve_ms": {"median": float(np.median(milliseconds)), "max": float(milliseconds.max())},
        **({} if limits is None else _violations(run, limits)),
    }


def _of_step(
    outside: int, overshoot: float, offset: float, *, samples: int, Ts: float
) -> dict[str, Any]:
    """Figures of a step of so many samples, the last of which outside the band is number `outside`
    (0: none)."""
    return {
        "settling": None if outside == samples else outside * Ts,
        "overshoot": overshoot,
        "offset": offset,
    }


def _violations(run: Run, limits: Limits) -> dict[str, Any]:
    outside = (run.u < limits.u_low - _SINGLE) | (run.u > limits.u_high + _SINGLE)
    fast = np.abs(moves_of(run.u, run.u_start)) > limits.max_move + _SINGLE
    excess = np.maximum(run.truth - limits.y_high, limits.y_low - run.truth)
    return {
        "excess": float(max(0.0, excess.max())),
        "inadmissible": int((outside | fast).any(axis=1).sum()),
    }
