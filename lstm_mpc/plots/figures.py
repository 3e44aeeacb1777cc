"""What is drawn: the paper's figures, data and fits, the closed loop. Every function returns a
figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lstm_mpc.certificates.evidence import Verification
from lstm_mpc.certificates.exploration import ScenarioLaw, claimed_set, replay
from lstm_mpc.control.controller import ControlAction
from lstm_mpc.control.simulation import Run
from lstm_mpc.data.correlation import Residuals
from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.identification.model_order import Ordering
from lstm_mpc.model.model import Model, compare, simulations
from lstm_mpc.plants.system import Array, Signal, System
from lstm_mpc.plots.style import BLUE, GREEN, GREY, ORANGE, RED, Figure, sheet, styled, thin

_SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)  # of what PI needs
_APART = 0.02  # of the whole length, between two records


@styled
def plot_data(dataset: Dataset, *, kept: int = 0) -> Figure:
    """Draw outputs and inputs of every record, one record after the other.

    Args:
        dataset: The records.
        kept: The last so many, those for validation, stand on grey.

    Returns:
        A matplotlib figure.
    """
    signals = dataset.outputs + dataset.inputs
    figure, axes = sheet(len(signals), 1.3 * len(signals) + 0.6)
    for j, (s, axis) in enumerate(zip(signals, axes[:, 0], strict=True)):
        output = j < len(dataset.outputs)
        for number, (item, t) in enumerate(_placed(dataset)):
            values = item.y[:, j] if output else item.u[:, j - len(dataset.outputs)]
            if number >= len(dataset.records) - kept:
                axis.axvspan(t[0], t[-1], color=GREY, alpha=0.15, lw=0)
            axis.plot(*thin(t, values), color=BLUE if output else GREEN, lw=0.8)
        axis.set_ylabel(s.label)
    _clocked(axes[-1, 0], dataset)
    if kept:
        axes[-1, 0].set_xlabel(f"{axes[-1, 0].get_xlabel()}, on grey those for validation")
    return figure


@styled
def plot_validation(
    model: Model,
    dataset: Dataset,
    *,
    transient: int = 50,
    seed: int = 0,
    window: int = 0,
    runs: Sequence[Array] | None = None,
) -> Figure:
    """Draw simulated beside measured outputs and the rest, as Fig. 2 of the paper.

    Args:
        model: The model, which begins where `validate` begins.
        dataset: The data.
        transient: First samples of every record that do not count.
        seed: Of the random starts.
        window: First samples that a start is estimated from, instead of a random one.
        runs: The outputs of the model for every record, where they are there already.

    Returns:
        A matplotlib figure.
    """
    runs = simulations(model, dataset, seed=seed, window=window) if runs is None else runs
    fits = [
        compare(model, item, y, transient=transient, against="measured")
        for item, y in zip(dataset.records, runs, strict=True)
    ]
    figure, axes = sheet(2 * len(model.outputs), 3.0 * len(model.outputs) + 0.4)
    for j, s in enumerate(model.outputs):
        above, below = axes[2 * j : 2 * j + 2, 0]
        for number, ((item, t), y) in enumerate(zip(_placed(dataset), runs, strict=True)):
            names = (
                (None, None)
                if number
                else ("measured", f"LSTM, open loop, {'estimated' if window else 'random'} start")
            )
            above.plot(*thin(t, item.y[:, j]), color=GREY, lw=1.0, label=names[0])
            above.plot(*thin(t, y[:, j]), color=BLUE, lw=1.0, ls="--", label=names[1])
            below.plot(*thin(t[transient:], (item.y - y)[transient:, j]), color=RED, lw=0.6)
        above.set_ylabel(s.label)
        worst = [
            min(getattr(fit, key)[j] for fit in fits) for key in ("normalised", "mean_removed")
        ]
        above.set_title(
            f"FIT (12) {worst[0]:.2f} % normalised, mean-removed {worst[1]:.2f} %", loc="left"
        )
        above.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False)
        below.set_ylabel(f"error [{s.unit}]")
    _clocked(axes[-1, 0], dataset)
    return figure


def _placed(dataset: Dataset) -> Iterator[tuple[Record, Array]]:
    """Every record with its time [the clock's unit], one after the other."""
    scale, begin = _clock(dataset.samples * dataset.Ts)[0], 0.0
    for item in dataset.records:
        yield item, np.asarray((begin + dataset.Ts * np.arange(len(item.u))) / scale)
        begin += len(item.u) * dataset.Ts + _APART * dataset.samples * dataset.Ts


def _clock(seconds: float) -> tuple[float, str]:
    """What to count a time of `seconds` in: [s] per unit, and the unit."""
    return next(
        (
            (size, unit)
            for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
            if seconds > 3 * size
        ),
        (1.0, "s"),
    )


def _clocked(axis: Any, dataset: Dataset) -> None:
    unit = _clock(dataset.samples * dataset.Ts)[1]
    axis.set_xlabel(
        f"time [{unit}]"
        if len(dataset.records) == 1
        else f"time [{unit}], {len(dataset.records)} records one after the other"
    )


@styled
def plot_history(report: Mapping[str, Any]) -> Figure:
    """Objective, FIT and margin over the iterations of every start of `training.json`; the chosen
    start is drawn thick."""
    figure, axes = sheet(3, 5.6)
    for number, start in enumerate(report["starts"]):
        chosen = start["seed"] == report["chosen"]
        look = (
            {"color": BLUE, "lw": 2.0, "zorder": 3}
            if chosen
            else {"color": GREY, "lw": 0.9, "ls": ("--", ":", "-.")[number % 3]}
        )
        k, *columns = np.array(start["history"], dtype=np.float64).T
        for axis, values in zip(axes[:, 0], columns, strict=True):
            axis.plot(
                k, values, **look, label=f"seed {start['seed']}{', chosen' if chosen else ''}"
            )
    axes[0, 0].set_yscale("log")
    axes[0, 0].yaxis.set_major_formatter(lambda value, place: f"{value:g}")
    axes[0, 0].yaxis.set_minor_formatter(lambda value, place: "")
    axes[2, 0].axhline(0.0, color=RED, lw=0.9)
    for axis, label in zip(axes[:, 0], ("objective", "FIT [%]", "margin δ"), strict=True):
        axis.set_ylabel(label)
    axes[1, 0].set_ylim(bottom=max(0.0, axes[1, 0].get_ylim()[0]))
    axes[2, 0].set_xlabel("iteration")
    axes[0, 0].legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


@styled
def plot_scenarios(
    model: Model, verification: Verification, *, radius: float, count: int = 12
) -> Figure:
    """Draw some scenarios and the worst one, as Fig. 3a of the paper.

    Args:
        model: The model that was verified.
        verification: Its verification.
        radius: The input bound ρu [normalised].
        count: How many scenarios.

    Returns:
        A matplotlib figure.
    """
    v, law = verification, ScenarioLaw.from_description(verification.law)
    bound = v.bound("model", radius)
    common: dict[str, Any] = {"radius": radius, "seed": v.seed, "steps": v.steps}
    indices = list(range(min(count, v.scenarios))) + ([bound.worst] if bound else [])
    (nu, ny), (scale, unit) = (len(model.inputs), len(model.outputs)), _clock(v.steps * model.Ts)
    figure, axes = sheet(nu + ny, 1.9 * (nu + ny) + 0.8)
    above, below = axes[:nu, 0], axes[nu:, 0]
    for index in indices:
        run = replay(model.system, law, model.scaling, index=index, **common)
        worst = bound is not None and index == bound.worst
        look: dict[str, Any] = (
            {"color": RED, "lw": 1.4, "zorder": 3}
            if worst
            else {"color": BLUE, "lw": 0.6, "alpha": 0.45}
        )
        for j, axis in enumerate(above):
            axis.plot(run.t / scale, run.u[:, j], **look, drawstyle="steps-post")
        for j, axis in enumerate(below):
            axis.plot(
                *thin(run.t / scale, run.y[:, j]),
                **look,
                label=f"worst of {v.scenarios} (number {index})" if worst else None,
            )
    for j, axis in enumerate(below):
        if bound is not None:
            low, high = (float(ends[j]) for ends in claimed_set(bound, v.shape, model.scaling))
            named = f"ball ρ* = {bound.radius_y:.3f}" if v.shape == "ball" else "claimed interval"
            for edge, label in ((low, named), (high, None)):
                axis.axhline(edge, color=ORANGE, lw=1.2, ls="--", label=label)
        for edge in v.safe_set[j]:
            axis.axhline(
                edge,
                color=GREEN,
                lw=1.2,
                ls=":",
                label="safe set" if edge == v.safe_set[j][0] else None,
            )
    for s, axis in zip(model.inputs + model.outputs, axes[:, 0], strict=True):
        axis.set_ylabel(s.label)
    axes[0, 0].set_title(
        f"{len(indices) - (bound is not None)} of {v.scenarios} scenarios at ρu = {radius:g}",
        loc="left",
    )
    below[-1].set_xlabel(f"time [{unit}]")
    below[-1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3, frameon=False)
    return figure


@styled
def plot_bounds(verification: Verification) -> Figure:
    """Draw the output bounds over the input bounds, as Fig. 3b of the paper.

    Args:
        verification: The bounds of network and plant; dashed without the first samples, which the
            artificial start makes.

    Returns:
        A matplotlib figure.
    """
    figure, axes = sheet(1, 3.6)
    axis = axes[0, 0]
    looks = {"model": (BLUE, "o", 8, "LSTM"), "plant": (ORANGE, "s", 4, "plant")}
    for system, (color, marker, size, label) in looks.items():
        own = [b for b in verification.bounds if b.system == system]
        if own:
            radii = [b.radius_u for b in own]
            axis.plot(
                radii,
                [b.radius_y for b in own],
                color=color,
                marker=marker,
                ms=4,
                lw=1.4,
                label=f"{label}, all samples",
            )
            label = f"{label}, from sample {verification.settle} on"
            axis.plot(
                radii,
                [b.settled for b in own],
                color=color,
                marker=marker,
                ms=size,
                mfc="none",
                lw=1.0,
                ls="--",
                label=label,
            )
    axis.set_xlabel("input bound ρu [normalised]")
    axis.set_ylabel("output bound ρ*y [normalised]")
    axis.set_ylim(bottom=0)
    v = verification
    axis.set_title(
        f"N = {v.scenarios}, τ = {v.steps} steps, ε = {v.epsilon:g}, β = {v.beta:g} for each point",
        loc="left",
    )
    axis.legend(frameon=False)
    return figure


@styled
def plot_order(found: Ordering) -> Figure:
    """Validated FIT of every certified start over the number of weights; the line goes through the
    medians."""
    figure, axes = sheet(1, 3.4)
    axis = axes[0, 0]
    for c in found.candidates:
        axis.plot(
            [c.parameters] * len(c.fits), c.fits, color=GREY, ls="", marker="o", ms=4, mfc="none"
        )
    known = [c for c in found.candidates if c.fits]
    axis.plot(
        [c.parameters for c in known],
        [c.typical for c in known],
        color=BLUE,
        lw=1.4,
        marker="o",
        ms=5,
        label="median of the starts",
    )
    chosen = found.recommended
    axis.plot(
        [chosen.parameters],
        [chosen.typical],
        color=ORANGE,
        ls="",
        marker="s",
        ms=9,
        mfc="none",
        mew=2,
        label="enough",
    )
    axis.set_xscale("log")
    axis.set_xticks(
        [c.parameters for c in found.candidates],
        [f"{c.parameters}\n{', '.join(map(str, c.nx))}" for c in found.candidates],
    )
    axis.minorticks_off()
    axis.set_xlabel("weights, and cells per layer")
    axis.set_ylabel("validation FIT [%]")
    axis.legend(frameon=False)
    return figure


@styled
def plot_reach(model: Model, rows: Sequence[Mapping[str, Any]], *, output: int = 0) -> Figure:
    """Draw intervals of an output over the input radius, by every method.

    Args:
        model: The model.
        rows: For each radius the intervals of the true plant and the scenarios, of the tube, and of
            the trivial bound.
        output: Place of the output in the model's outputs.

    Returns:
        A matplotlib figure.
    """
    figure, axes = sheet(1, 3.8)
    axis, s = axes[0, 0], model.outputs[output]
    looks = {
        "plant": (ORANGE, "-", "plant, sampled"),
        "model": (BLUE, "--", "LSTM, sampled"),
        "tube": (GREEN, "-", "LSTM, interval tube: proved for every input"),
        "trivial": (GREY, ":", "LSTM, trivial bound: proved"),
    }
    for name, (color, style, label) in looks.items():
        shown = [row for row in rows if row[name]]
        if shown:
            for side in (0, 1):
                look = {"color": color, "ls": style, "marker": "o" if len(shown) == 1 else None}
                axis.plot(
                    [row["radius"] for row in shown],
                    [row[name][side] for row in shown],
                    lw=1.6,
                    label=None if side else label,
                    **look,
                )
    axis.set_xlabel("input bound ρu [normalised]")
    axis.set_ylabel(s.label)
    axis.set_title("reachable outputs", loc="left")
    if bounded := [row for row in rows if row["iss"]]:
        low, high = bounded[-1]["iss"]
        text = (
            f"off the scale: ISS bound (5), [{low:.0f}, {high:.0f}] {s.unit} at ρu ="
            f" {bounded[-1]['radius']:g}"
        )
        axis.set_title(text, loc="right", color=GREY, fontsize="small")
    axis.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    return figure


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
    inputs, told = [s for s in system.inputs if not s.measured], series.get("measured", ())
    nu, ny = len(inputs), len(system.outputs)
    extra = [1.2] * (bool(moves) + disturbed)
    figure, axes = sheet(nu + ny + len(extra), 1.9 * ny + 1.3 * nu + sum(extra) + 0.5)
    rows, (scale, unit) = list(axes[:, 0]), _clock(len(y) * series["Ts"])
    t = series["Ts"] * np.arange(len(y)) / scale
    for j, (s, axis) in enumerate(zip(system.outputs, rows, strict=False)):
        axis.plot(t, y[:, j], color=GREY, lw=0.7, label="measured")
        axis.plot(t, truth[:, j], color=BLUE, lw=1.3, label="plant")
        axis.plot(
            t, reference[:, j], color=RED, lw=1.0, ls="--", drawstyle="steps-post", label="setpoint"
        )
        for edge in safe_set[j] if safe_set else ():
            axis.axhline(
                edge,
                color=GREEN,
                lw=1.2,
                ls=":",
                label="safe set" if edge == safe_set[j][0] else None,
            )
        axis.set_ylabel(s.label)
    rows[0].set_title(f"closed loop: {name}", loc="left")
    rows[0].legend(ncols=4, frameon=False, loc="best")
    for j, (s, axis) in enumerate(zip(inputs, rows[ny:], strict=False)):
        axis.plot(t, u[:, j], color=GREEN, lw=1.2, drawstyle="steps-post")
        for edge in (s.low, s.high):
            axis.axhline(edge, color=GREY, lw=0.8, ls=":")
        axis.set_ylabel(s.label)
        for k in failures:
            axis.axvline(t[k], color=RED, lw=0.8)
    if moves:
        _estimates(rows[nu + ny], t, system, moves)
    if disturbed:
        share = all(s.nominal for s in known)  # of nothing there is none
        for j, (s, column) in enumerate(zip(known, d.T, strict=True)):
            away = (
                100 * (column / s.nominal - 1)
                if share and s.nominal
                else column - (s.nominal or 0.0)
            )
            look = {
                "color": (BLUE, ORANGE, GREEN, RED)[j % 4],
                "lw": 1.2,
                "drawstyle": "steps-post",
            }
            label = f"{s.name}, measured" if s.name in told else s.name
            rows[-1].plot(t, away, label=label, **look)
        rows[-1].set_ylabel(
            f"d − nominal [{'%' if share else ', '.join(dict.fromkeys(s.unit for s in known))}]"
        )
        rows[-1].legend(ncols=2, frameon=False)
    rows[-1].set_xlabel(f"time [{unit}]")
    return figure


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


@styled
def plot_correlations(inputs: Sequence[str], outputs: Sequence[str], found: Residuals) -> Figure:
    """Residuals against themselves and against the inputs over the lag, with their bounds at 99
    %."""
    figure, axes = sheet(len(outputs), 1.9 * len(outputs) + 0.5, 1 + len(inputs))
    after, both = np.arange(found.lags + 1), np.arange(-found.lags, found.lags + 1)
    for i, output in enumerate(outputs):
        panels = [(f"{output} with itself", after, found.own[:, i], found.own_bound[i])]
        panels += [
            (f"{output} with {u}", both, found.cross[:, i, j], found.cross_bound[i, j])
            for j, u in enumerate(inputs)
        ]
        for axis, (label, lags, values, bound) in zip(axes[i], panels, strict=True):
            axis.vlines(lags, 0.0, values, color=BLUE, lw=1.2)
            axis.fill_between(lags, -bound, bound, color=GREY, alpha=0.25, lw=0)
            axis.set_title(label, loc="left", fontsize="small")
            axis.set_ylim(-1.05, 1.05)
    for axis in axes[-1]:
        axis.set_xlabel("lag [samples]")
    return figure


@styled
def plot_arena(rows: Sequence[dict[str, Any]], *, unit: str) -> Figure:
    """`arena.standings`: the total IAE of each controller by condition, and below it the travel of
    the valve, both as share of PI's."""
    conditions, names = (
        list(dict.fromkeys(row[key] for row in rows)) for key in ("condition", "controller")
    )
    colors = dict(
        zip([name for name in names if name != "PI"], (ORANGE, BLUE, GREEN, RED), strict=False)
    )
    figure, grid = sheet(2, 5.2)
    axes = grid[:, 0]
    for axis, key, label in zip(
        axes, ("÷ PI", "travel ÷ PI"), ("IAE ÷ IAE of PI", "travel ÷ travel of PI"), strict=True
    ):
        for number, (name, color) in enumerate(colors.items()):
            own = [
                (conditions.index(row["condition"]), row[key])
                for row in rows
                if row["controller"] == name and row[key] is not None
            ]
            places = [
                place + (number - 0.5 * (len(colors) - 1)) * 0.8 / len(colors) for place, _ in own
            ]
            axis.bar(
                places,
                [share - 1.0 for _, share in own],
                0.75 / len(colors),
                bottom=1.0,
                color=color,
                label=name,
            )
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
    axes[-1].set_xticks(
        range(len(conditions)),
        [f"{name}\n{iae[name]:.0f} {unit}" if name in iae else name for name in conditions],
    )
    axes[-1].set_xlabel("condition, and the IAE of PI")
    axes[0].legend(
        ncols=len(colors) + 1, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0)
    )
    return figure
