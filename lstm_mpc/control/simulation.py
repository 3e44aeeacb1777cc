"""The closed loop on a simulated plant, and what to say about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
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
from lstm_mpc.control.scenario import Draw, Probe, Scenario, Valve, draw_scenario
from lstm_mpc.errors import InputError
from lstm_mpc.io.display import Displayed, draw
from lstm_mpc.plants.system import Array, System


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
    at, by_hand = measured_of(plant, measured), np.reshape(manual, (-1, plant.nu))
    if len(by_hand) and not isinstance(controller, Tracking):
        raise InputError(
            f"scenario {scenario.name!r}: the engine {type(controller).__name__} cannot track an"
            " operator; use 'sqp' or 'dompc'"
        )
    field_ = _Field(plant, scenario, draw, controller, at, foreseen)
    N, moves = len(draw.d), []
    y, truth, u = np.empty((N, plant.ny)), np.empty((N, plant.ny)), np.empty((N, plant.nu))
    known = np.empty((N, foreseen + 1, len(at)))
    ahead = np.stack([draw.reference[k : k + horizon + 1] for k in range(N)])
    for k in range(N):
        truth[k], y[k], known[k] = field_.sense(k)
        extra = (known[k],) if at else ()
        if k == 0:
            controller.reset(y[k], draw.u_start, *extra)
        if isinstance(controller, FullInformation):
            controller.see(field_.chi[:, 0], draw.d[k], field_.valve.position)
        if k < len(by_hand) and isinstance(controller, Tracking):
            move = controller.track(y[k], by_hand[k], *extra)
        else:
            move = field_.faults.decided(k, y[k], ahead[k], *extra)
        u[k] = move.u
        moves.append(move)
        field_.follow(k, u[k])
        on_step(Sample(k, N, k * plant.Ts, y[k], draw.reference[k], move))
    t = plant.Ts * np.arange(N, dtype=np.float64)
    before, reference = draw.u_start, draw.reference[:N]
    return Run(
        scenario,
        plant.Ts,
        t,
        y,
        truth,
        reference,
        u,
        draw.d,
        before,
        tuple(moves),
        ahead,
        at,
        known,
    )


class _Field:
    """What lies between a controller and a plant: probe, valve and their faults."""

    def __init__(
        self,
        plant: System,
        scenario: Scenario,
        draw: Draw,
        controller: Controller,
        at: tuple[int, ...],
        foreseen: int,
    ) -> None:
        # a batch of one is this run to the bit
        self.chi, self._twin, self._ny = draw.chi[:, None], plant.vectorised, plant.ny
        self._draw, self._at, self._rows = draw, list(at), np.arange(foreseen + 1)
        self.valve = Valve(draw.u_start, scenario.valve_lag, plant.Ts)
        self._probe = Probe(scenario.delay, plant.Ts)
        self.faults = faults.Loop(
            scenario.faults,
            controller,
            draw.u_start,
            ny=plant.ny,
            measured=len(at),
            Ts=plant.Ts,
            name=scenario.name,
        )

    def sense(self, k: int) -> tuple[Array, Array, Array]:
        """The true outputs (ny,), what is measured of them, and the measured disturbances of now
        and later (rows, len(at))."""
        draw, truth = self._draw, self._twin.output(self.chi)[:, 0]
        sensed = draw.d[np.minimum(k + self._rows, len(draw.d) - 1)][:, self._at]
        seen = self.faults.measured(
            k, np.concatenate([self._probe.read(truth) + draw.noise[k], sensed[0]])
        )
        sensed[0] = seen[self._ny :]
        return truth, seen[: self._ny], sensed

    def follow(self, k: int, command: Array) -> None:
        """The actuators follow a command (nu,), and the plant moves on by a sample."""
        told, stood = self.faults.told(k, command), self.valve.position
        self.valve.position = self.faults.held(k, told, stood, self.valve.follow(told))
        self.chi = self._twin.step(self.chi, self.valve.position[:, None], self._draw.d[k][:, None])


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
