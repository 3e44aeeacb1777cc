"""Plots: the paper's figures and the closed loop. The only importer of matplotlib; every function returns a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from lstm_mpc.control.loop import Run, Sample, Scenario
from lstm_mpc.data import Dataset, fit_index
from lstm_mpc.evidence import Verification
from lstm_mpc.model import Model, start_of
from lstm_mpc.scenario import Law, claimed_set, replay
from lstm_mpc.system import Signal, System, simulate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, GREY, RED = "#0072b2", "#e69f00", "#009e73", "#6b6b6b", "#d55e00"  # safe for colour-blind readers
_SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)  # of what PI needs
_STYLE: dict[str, Any] = {"font.size": 9, "axes.grid": True, "grid.alpha": 0.25, "svg.hashsalt": "lstm_mpc"}
_STYLE |= {"axes.spines.top": False, "axes.spines.right": False}


def _figure(rows: int, height: float) -> tuple[Figure, list[Axes]]:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.5, height), layout="constrained")
        axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    return figure, list(axes)


def save(figure: Figure, folder: str | Path, name: str) -> list[Path]:
    """Write `name`.png and `name`.svg; the same figure gives the same bytes."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{kind}" for kind in ("png", "svg")]
    with matplotlib.rc_context(_STYLE):
        for path, metadata in zip(paths, ({"Software": None}, {"Date": None, "Creator": None}), strict=True):
            partial = path.with_name(f".{path.name}")
            figure.savefig(partial, format=path.suffix[1:], dpi=150, metadata=metadata)
            partial.replace(path)
    return paths


def plot_validation(model: Model, dataset: Dataset, *, skip: int = 50, seed: int = 0, window: int = 0) -> Figure:
    """Fig. 2: the network from the start that `validate` takes beside the first validation record, and what remains."""
    item = dataset.records[0]
    run = simulate(model.system, item.u, x0=start_of(model, item, np.random.default_rng(seed), window=window))
    fit = fit_index(item.y, run.y, scaling=model.scaling, units=[s.unit for s in model.outputs], skip=skip)
    figure, axes = _figure(len(model.outputs) + 2, 2.0 * (len(model.outputs) + 2))
    hours = run.t / 3600
    for j, (s, axis) in enumerate(zip(model.outputs, axes, strict=False)):
        axis.plot(hours, item.y[:, j], color=GREY, lw=1.0, label="plant (measured)")
        axis.plot(hours, run.y[:, j], color=BLUE, lw=1.0, ls="--", label=f"LSTM, open loop, {'estimated' if window else 'random'} start")
        axis.set_ylabel(s.label)
        of = f"validation, {s.name}" if len(model.outputs) > 1 else "validation"
        axis.set_title(f"{of}: FIT (12) {fit.normalised[j]:.2f} % normalised, mean-removed {fit.mean_removed[j]:.2f} %", loc="left")
        axis.legend(loc="upper right", ncols=2, frameon=False)
    _together(axes[-2], hours[skip:], (item.y - run.y)[skip:], model.outputs, RED, lw=0.6)
    axes[-2].set_ylabel("error [" + _units(model.outputs) + "]")
    _together(axes[-1], hours, item.u, model.inputs, GREEN, lw=0.8)
    axes[-1].set_ylabel(", ".join(s.label for s in model.inputs))
    axes[-1].set_xlabel("time [h]")
    return figure


def _together(axis: Axes, t: Any, values: Any, signals: Sequence[Signal], color: str, **look: Any) -> None:
    """Signals in one panel: one in its `color`, several in different ones with their names."""
    colors = [color] if len(signals) == 1 else [color, *(c for c in (BLUE, ORANGE, GREY, GREEN, RED) if c != color)]
    for j, s in enumerate(signals):
        axis.plot(t, values[:, j], color=colors[j % len(colors)], label=s.name, **look)
    if len(signals) > 1:
        axis.legend(loc="lower right", bbox_to_anchor=(1.0, 0.95), ncols=len(signals), frameon=False)  # above the panel


def _units(signals: Sequence[Signal]) -> str:
    return ", ".join(dict.fromkeys(s.unit for s in signals))


def plot_scenarios(model: Model, verification: Verification, *, radius: float, count: int = 12) -> Figure:
    """Fig. 3a: some input scenarios, the outputs they cause, and the worst scenario with the bound it makes."""
    v, law = verification, Law.from_description(verification.law)
    bound = v.bound("model", radius)
    common: dict[str, Any] = {"radius": radius, "seed": v.seed, "steps": v.steps}
    indices = list(range(count)) + ([bound.worst] if bound else [])
    nu, ny = len(model.inputs), len(model.outputs)
    figure, axes = _figure(nu + ny, 2.3 * max(2, 0.8 * (nu + ny)))
    above, below = axes[:nu], axes[nu:]
    for index in indices:
        run = replay(model.system, law, model.scaling, index=index, **common)
        worst = bound is not None and index == bound.worst
        look: dict[str, Any] = {"color": RED, "lw": 1.4, "zorder": 3} if worst else {"color": BLUE, "lw": 0.6, "alpha": 0.45}
        for axis, u in zip(above, run.u.T, strict=True):
            axis.plot(run.t / 3600, u, **look, drawstyle="steps-post")
        for axis, y in zip(below, run.y.T, strict=True):
            axis.plot(run.t / 3600, y, **look, label=f"worst of {v.scenarios} (number {index})" if worst else None)
    if bound is not None:
        label = f"ball ρ* = {bound.radius_y:.3f}" if v.shape == "ball" else f"claimed {v.shape}"
        for axis, low, high in zip(below, *claimed_set(bound, v.shape, model.scaling), strict=True):
            _edges(axis, (low, high), label, color=ORANGE, ls="--")
    for axis, s, edges in zip(below, model.outputs, v.safe_set, strict=True):
        _edges(axis, edges, "safe set", color=GREEN, ls=":")
        axis.set_ylabel(s.label)
    for axis, s in zip(above, model.inputs, strict=True):
        axis.set_ylabel(s.label)
    axes[0].set_title(f"{count} of {v.scenarios} scenarios at ρu = {radius:g}", loc="left")
    axes[-1].set_xlabel("time [h]")
    axes[-1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3, frameon=False)
    return figure


def _edges(axis: Axes, edges: Sequence[float], label: str, **look: Any) -> None:
    """Both ends of an interval, with one entry in the legend."""
    for number, edge in enumerate(edges):
        axis.axhline(edge, lw=1.2, label=None if number else label, **look)


def plot_bounds(verification: Verification) -> Figure:
    """Fig. 3b: ρ*_y over ρ_u, network and plant; dashed without the first samples, which the artificial start makes."""
    figure, (axis,) = _figure(1, 3.6)
    looks = {"model": (BLUE, "o", 8, "LSTM"), "plant": (ORANGE, "s", 4, "plant")}
    for system, (color, marker, size, label) in looks.items():
        own = [b for b in verification.bounds if b.system == system]
        if own:
            radii = [b.radius_u for b in own]
            axis.plot(radii, [b.radius_y for b in own], color=color, marker=marker, ms=4, lw=1.4, label=f"{label}, all samples")
            label = f"{label}, from sample {verification.settle} on"
            axis.plot(radii, [b.settled for b in own], color=color, marker=marker, ms=size, mfc="none", lw=1.0, ls="--", label=label)
    axis.set_xlabel("input bound ρu [normalised]")
    axis.set_ylabel("output bound ρ*y [normalised]")
    axis.set_ylim(bottom=0)
    v = verification
    axis.set_title(f"N = {v.scenarios}, τ = {v.steps} steps, ε = {v.epsilon:g}, β = {v.beta:g} for each point", loc="left")
    axis.legend(frameon=False)
    return figure


def plot_reach(model: Model, rows: Sequence[dict[str, Any]]) -> Figure:
    """Output intervals over ρu by every method: true plant and scenarios inside, then the tube, then the trivial bound."""
    figure, axes = _figure(len(model.outputs), 1.2 + 2.6 * len(model.outputs))
    looks = {
        "plant": (ORANGE, "-", "plant, sampled"),
        "model": (BLUE, "--", "LSTM, sampled"),
        "tube": (GREEN, "-", "LSTM, interval tube: proved for every input"),
        "trivial": (GREY, ":", "LSTM, trivial bound: proved"),
    }
    for axis, s in zip(axes, model.outputs, strict=True):
        own = [row for row in rows if row["output"] == s.name]
        radii = [row["radius"] for row in own]
        for name, (color, style, label) in looks.items():
            if all(row[name] for row in own):
                for side in (0, 1):
                    axis.plot(radii, [row[name][side] for row in own], color=color, ls=style, lw=1.6, label=None if side else label)
        axis.set_ylabel(s.label)
        if own[-1]["iss"]:
            low, high = own[-1]["iss"]
            text = f"off the scale: ISS bound (5), [{low:.0f}, {high:.0f}] {s.unit} at ρu = {own[-1]['radius']:g}"
            axis.set_title(text, loc="right", color=GREY, fontsize="small")
    axes[0].set_title("reachable outputs", loc="left")
    axes[-1].set_xlabel("input bound ρu [normalised]")
    axes[-1].legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    return figure


def plot_loop(run: Run, plant: System, *, safe_set: Sequence[tuple[float, float]] = ()) -> Figure:
    """The closed loop: output and setpoint, input with its limits, estimated disturbance; failed solves are marked."""
    disturbed = run.d.size > 0 and bool(np.ptp(run.d, axis=0).any())
    nu, ny = plant.nu, plant.ny
    figure, axes = _figure(ny + nu + 1 + disturbed, (1.8 if nu + ny == 2 else 1.5) * (ny + nu + 1) + 1.2 * disturbed)
    above, below, estimated = axes[:ny], axes[ny : ny + nu], axes[ny + nu]
    minutes = run.t / 60
    for j, axis in enumerate(above):
        axis.plot(minutes, run.y[:, j], color=GREY, lw=0.7, label="measured")
        axis.plot(minutes, run.truth[:, j], color=BLUE, lw=1.3, label="plant")
        axis.plot(minutes, run.reference[:, j], color=RED, lw=1.0, ls="--", drawstyle="steps-post", label="setpoint")
        _edges(axis, safe_set[j] if safe_set else (), "safe set", color=GREEN, ls=":")
        axis.set_ylabel(plant.outputs[j].label)
    above[0].set_title(f"closed loop: {run.scenario.name}", loc="left")
    above[0].legend(ncols=4, frameon=False, loc="best")
    for j, axis in enumerate(below):
        axis.plot(minutes, run.u[:, j], color=GREEN, lw=1.2, drawstyle="steps-post")
        for edge in (plant.inputs[j].low, plant.inputs[j].high):
            axis.axhline(edge, color=GREY, lw=0.8, ls=":")
        for k in run.failures:
            axis.axvline(minutes[k], color=RED, lw=0.8)
        axis.set_ylabel(plant.inputs[j].label)
    acting = "input_disturbance" if any(move.input_disturbance.any() for move in run.moves) else "disturbance"
    at = plant.inputs if acting == "input_disturbance" else plant.outputs
    _together(estimated, minutes, np.array([getattr(move, acting) for move in run.moves]), at, ORANGE, lw=1.0)
    estimated.set_ylabel("d̂ at " + (at[0].label if len(at) == 1 else f"{', '.join(s.name for s in at)} [{_units(at)}]"))
    if disturbed:
        away, share = run.d - plant.d_nominal, all(s.nominal for s in plant.disturbances)
        for s, d in zip(plant.disturbances, (100 * away / plant.d_nominal if share else away).T, strict=True):
            axes[-1].plot(minutes, d, lw=1.2, drawstyle="steps-post", label=s.name)
        axes[-1].set_ylabel(f"d − nominal [{'%' if share else _units(plant.disturbances)}]")
        axes[-1].legend(ncols=2, frameon=False)
    axes[-1].set_xlabel("time [min]")
    return figure


def plot_arena(rows: Sequence[dict[str, Any]], *, unit: str) -> Figure:
    """`arena.standings`: the total IAE of each controller by condition, and below it the travel of the valve, both as share of PI's."""
    conditions, names = (list(dict.fromkeys(row[key] for row in rows)) for key in ("condition", "controller"))
    colors = dict(zip([name for name in names if name != "PI"], (ORANGE, BLUE, GREEN, RED), strict=False))
    figure, axes = _figure(2, 5.2)
    for axis, key, label in zip(axes, ("÷ PI", "travel ÷ PI"), ("IAE ÷ IAE of PI", "travel ÷ travel of PI"), strict=True):
        for number, (name, color) in enumerate(colors.items()):
            own = [(conditions.index(row["condition"]), row[key]) for row in rows if row["controller"] == name and row[key] is not None]
            places = [place + (number - 0.5 * (len(colors) - 1)) * 0.8 / len(colors) for place, _ in own]
            axis.bar(places, [share - 1.0 for _, share in own], 0.75 / len(colors), bottom=1.0, color=color, label=name)
        axis.set_yscale("log")  # half as much and twice as much look alike
        axis.set_yticks(_SHARES, [f"{share:g}" for share in _SHARES])
        axis.minorticks_off()
        shares = [row[key] for row in rows if row[key] is not None]
        axis.set_ylim(0.85 * min([0.5, *shares]), 1.15 * max([1.5, *shares]))
        axis.axhline(1.0, color=GREY, lw=1.2, label="PI, tuned for the condition")
        axis.set_ylabel(label)
        axis.grid(visible=False, axis="x")
        axis.set_axisbelow(True)
    iae = {row["condition"]: row["total"] for row in rows if row["controller"] == "PI"}
    axes[-1].set_xticks(range(len(conditions)), [f"{name}\n{iae[name]:.0f} {unit}" if name in iae else name for name in conditions])
    axes[-1].set_xlabel("condition, and the IAE of PI")
    axes[0].legend(ncols=len(colors) + 1, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


class Window:
    """The running loop on a screen: measurements and setpoints above, inputs below. A new scenario wipes it; closed, it stays closed."""

    def __init__(self, system: System, figure: Figure) -> None:
        self._system, self._figure, self._open = system, figure, True
        figure.canvas.mpl_connect("close_event", lambda event: setattr(self, "_open", False))

    def show(self, scenario: Scenario, sample: Sample) -> None:
        """Draw a sample."""
        if not self._open:
            return
        if sample.k == 0:
            self._begin(scenario)
        self._points.append((sample.t / 60, *sample.y, *sample.reference, *sample.move.u))
        t, *values = np.array(self._points).T
        for line, value in zip(self._lines, values, strict=True):
            line.set_data(t, value)
        for axis in self._axes:
            axis.relim()
            axis.autoscale_view()
        if not sample.move.optimal:
            for axis in self._axes[self._system.ny :]:
                axis.axvline(t[-1], color=RED, lw=0.8)
        self._axes[0].set_title(f"{scenario.name}: {sample.move.status}", loc="left")
        self._figure.canvas.draw_idle()
        self._figure.canvas.flush_events()

    def wait(self, seconds: float) -> None:
        """Let time pass; the window goes on answering the mouse."""
        if self._open and seconds > 0:
            self._figure.canvas.start_event_loop(seconds)
        else:
            sleep(max(0.0, seconds))

    def _begin(self, scenario: Scenario) -> None:
        self._figure.clear()
        self._points: list[tuple[float, ...]] = []
        system = self._system
        with matplotlib.rc_context(_STYLE):
            self._axes = list(self._figure.subplots(system.ny + system.nu, 1, sharex=True))
        above, below, steps = self._axes[: system.ny], self._axes[system.ny :], {"drawstyle": "steps-post"}
        looks: list[tuple[Axes, dict[str, Any]]] = [(axis, {"color": BLUE, "label": "measured"}) for axis in above]
        looks += [(axis, {"color": RED, "ls": "--", "label": "setpoint"} | steps) for axis in above]
        looks += [(axis, {"color": GREEN} | steps) for axis in below]
        self._lines = [axis.plot([], [], lw=1.2, **look)[0] for axis, look in looks]
        for axis, s in zip(self._axes, system.outputs + system.inputs, strict=True):
            axis.set_ylabel(s.label)
        above[0].legend(ncols=2, frameon=False, loc="upper right")
        below[-1].set_xlabel("time [min]")
        above[0].set_xlim(0, scenario.duration / 60)


def window(system: System) -> Window | None:
    """An open window, or None where matplotlib finds no display."""
    from matplotlib import pyplot

    try:
        with matplotlib.rc_context(_STYLE):
            pyplot.ion()
            figure = pyplot.figure("closed loop", figsize=(9, 5), layout="constrained")
    except ImportError:  # a backend was asked for that has no display here
        return None
    if figure.canvas.required_interactive_framework is None:
        pyplot.close(figure)
        return None
    return Window(system, figure)
