"""Figures of closed loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lstm_mpc.control.controller import ControlAction
from lstm_mpc.control.simulation import Run
from lstm_mpc.plants.system import Array, Signal, System
from lstm_mpc.plots.style import BLUE, GREEN, GREY, ORANGE, RED, Figure, clock, sheet, styled

HELD: dict[str, Any] = {"drawstyle": "steps-post"}  # what stays until the next sample


@styled
def plot_loop(run: Run, plant: System, *, safe_set: Sequence[tuple[float, float]] = ()) -> Figure:
    """Draw a closed loop, with the estimated disturbance; failed solves are marked.

    Args:
        run: The loop.
        plant: What was controlled.
        safe_set: (low, high) of each output [engineering].

    Returns:
        A matplotlib figure.
    """
    series = {name: getattr(run, name) for name in ("Ts", "y", "truth", "reference", "u", "d")}
    series["measured"] = [plant.disturbances[at].name for at in run.measured]
    return plot_series(
        run.scenario.name, series, plant, safe_set=safe_set, moves=run.moves, failures=run.failures
    )


@styled
def plot_series(
    name: str,
    series: Mapping[str, Any],
    system: System,
    *,
    safe_set: Sequence[tuple[float, float]] = (),
    disturbances: Sequence[Signal] | None = None,
    moves: Sequence[ControlAction] = (),
    failures: Sequence[int] = (),
) -> Figure:
    """A closed loop as `closed-loop.json` keeps it: outputs and setpoints, inputs with their
    limits, where there are `moves` the estimated disturbance, and the disturbances that stepped.
    `system` is plant or model; a model does not know the `disturbances`. Those that the controller
    measured are said to be."""
    y, truth, reference, u, d = (
        np.array(series[key], dtype=np.float64) for key in ("y", "truth", "reference", "u", "d")
    )
    known = system.disturbances if disturbances is None else tuple(disturbances)
    disturbed = d.size > 0 and bool(np.ptp(d, axis=0).any())
    inputs = [s for s in system.inputs if not s.measured]
    nu, ny = len(inputs), len(system.outputs)
    extra = [1.2] * (bool(moves) + disturbed)
    figure, axes = sheet(nu + ny + len(extra), 1.9 * ny + 1.3 * nu + sum(extra) + 0.5)
    rows, (scale, unit) = list(axes[:, 0]), clock(len(y) * series["Ts"])
    t = series["Ts"] * np.arange(len(y)) / scale
    for j, (s, axis) in enumerate(zip(system.outputs, rows, strict=False)):
        axis.plot(t, y[:, j], color=GREY, lw=0.7, label="measured")
        axis.plot(t, truth[:, j], color=BLUE, lw=1.3, label="plant")
        axis.plot(t, reference[:, j], color=RED, lw=1.0, ls="--", label="setpoint", **HELD)
        for edge, label in zip(safe_set[j] if safe_set else (), ("safe set", None), strict=False):
            axis.axhline(edge, color=GREEN, lw=1.2, ls=":", label=label)
        axis.set_ylabel(s.label)
    rows[0].set_title(f"closed loop: {name}", loc="left")
    rows[0].legend(ncols=4, frameon=False, loc="best")
    for j, (s, axis) in enumerate(zip(inputs, rows[ny:], strict=False)):
        axis.plot(t, u[:, j], color=GREEN, lw=1.2, **HELD)
        for edge in (s.low, s.high):
            axis.axhline(edge, color=GREY, lw=0.8, ls=":")
        axis.set_ylabel(s.label)
        for k in failures:
            axis.axvline(t[k], color=RED, lw=0.8)
    if moves:
        _estimates(rows[nu + ny], t, system, moves)
    if disturbed:
        _disturbances(rows[-1], t, d, known, series.get("measured", ()))
    rows[-1].set_xlabel(f"time [{unit}]")
    return figure


def _disturbances(
    axis: Any, t: Array, d: Array, known: Sequence[Signal], told: Sequence[str]
) -> None:
    """How far disturbances `d` (N, nd) are from their nominal values; in % where all have one."""
    share = all(s.nominal for s in known)  # of nothing there is none
    for j, (s, column) in enumerate(zip(known, d.T, strict=True)):
        nominal = s.nominal or 0.0
        away = 100 * (column / nominal - 1) if share else column - nominal
        label = f"{s.name}, measured" if s.name in told else s.name
        axis.plot(t, away, label=label, color=(BLUE, ORANGE, GREEN, RED)[j % 4], lw=1.2, **HELD)
    units = "%" if share else ", ".join(dict.fromkeys(s.unit for s in known))
    axis.set_ylabel(f"d − nominal [{units}]")
    axis.legend(ncols=2, frameon=False)


def _estimates(axis: Any, t: Array, system: System, moves: Sequence[ControlAction]) -> None:
    """The disturbances that the observer sees, where they act."""
    acting = (
        "input_disturbance"
        if any(move.input_disturbance.any() for move in moves)
        else "disturbance"
    )
    moved = tuple(s for s in system.inputs if not s.measured)
    at = moved if acting == "input_disturbance" else system.outputs
    for j, s in enumerate(at):
        look = {"color": ORANGE, "lw": 1.0, "ls": ("-", "--", ":", "-.")[j % 4]}
        axis.plot(t, [getattr(move, acting)[j] for move in moves], label=s.label, **look)
    axis.set_ylabel(f"d̂ at {at[0].label}" if len(at) == 1 else "d̂")
    if len(at) > 1:
        axis.legend(ncols=len(at), frameon=False)
