"""Figures of what is searched and claimed: training, orders, scenarios, bounds and tubes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lstm_mpc.certificates.evidence import Verification
from lstm_mpc.certificates.exploration import ScenarioLaw, claimed_set, replay
from lstm_mpc.identification.model_order import Ordering
from lstm_mpc.model.model import Model
from lstm_mpc.plots.style import BLUE, GREEN, GREY, ORANGE, RED, Figure, clock, sheet, styled, thin


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
    (nu, ny), (scale, unit) = (len(model.inputs), len(model.outputs)), clock(v.steps * model.Ts)
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
    """Draw the validated FIT of every certified start over the number of weights.

    Args:
        found: What the search for a model order has found.

    Returns:
        A matplotlib figure, whose line goes through the medians.
    """
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
