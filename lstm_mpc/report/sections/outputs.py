"""The sections on reachable outputs and on scenarios."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from lstm_mpc.certificates.bounds_table import bounds_table
from lstm_mpc.certificates.evidence import Bound, Verification
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Signal
from lstm_mpc.plots.evidence_figures import plot_bounds, plot_reach, plot_scenarios
from lstm_mpc.project.artefacts import TUBES, VERIFICATION
from lstm_mpc.report.blocks import (
    Facts,
    Picture,
    Section,
    Table,
    Text,
    interval,
    lacks,
    number,
    spans,
)
from lstm_mpc.report.dossier import Dossier


def reach_section(dossier: Dossier) -> Section:
    found, sampled = dossier.files[TUBES], dossier.files[VERIFICATION]
    blocks: list[Any] = list(lacks(found))
    model = dossier.model
    if found.value is None or found.stale or model is None:
        return Section("reach", "Reachable outputs", blocks)
    blocks.append(
        Text(
            "No input within the limits, whatever makes it, takes the model's outputs out of the"
            " tube (interval arithmetic).",
            "proved",
        )
    )
    verification = sampled.value if sampled.value is not None and not sampled.stale else None
    keys = {
        "plant": "Plant, sampled",
        "model": "LSTM, sampled",
        "tube": "Tube, proved",
        "trivial": "Trivial, proved",
        "iss": "ISS bound (5), proved",
    }
    for j, s in enumerate(model.outputs):
        rows = bounds_table(model, found.value, verification, output=j)
        cells = [
            [number(row["radius"]), *(interval(*row[key]) if row[key] else "–" for key in keys)]
            for row in rows
        ]
        top = max(rows, key=lambda row: row["radius"])
        words = f"Reachable {s.label} at ρu = {number(top['radius'])}: " + "; ".join(
            f"{name} {interval(*top[key])}" for key, name in keys.items() if top[key]
        )
        title = f"Reachable outputs: {s.label}"
        blocks.append(
            Table(
                f"Intervals of {s.label} by input bound ρu, tightest first",
                ["ρu", *keys.values()],
                cells,
            )
        )
        picture = partial(plot_reach, model, rows, output=j)
        blocks.append(Picture(picture, f"reach-{j + 1}", title, words))
    return Section("reach", "Reachable outputs", blocks)


def scenario_section(dossier: Dossier) -> Section:
    found, model = dossier.files[VERIFICATION], dossier.model
    blocks: list[Any] = list(lacks(found))
    v: Verification | None = found.value
    if v is not None:
        blocks += [Text(f"Nothing is claimed: {why}.", "wrong") for why in dossier.sampled_reasons]
        if not dossier.sampled_reasons:
            blocks.append(Text(_WHAT_HOLDS, "sampled"))
        blocks.append(Facts(_how_drawn(v)))
        rows = [_bound_row(b, dossier.outputs) for b in v.bounds]
        caption = f"Bounds; settled: without the first {v.settle} samples"
        blocks.append(Table(caption, _BOUNDS, rows))
        words = f"Output bound over input bound from {v.scenarios} scenarios: " + "; ".join(
            f"{r[0]} at ρu {r[1]}: ρ* {r[2]}" for r in rows
        )
        title = "Output bound over input bound"
        blocks.append(Picture(partial(plot_bounds, v), "bounds", title, words))
        if model is not None and not found.stale:
            blocks += _worst(v, model)
    return Section("scenarios", "Scenario evidence", blocks)


_WHAT_HOLDS = (
    "Each bound holds for new draws of the law below, not for inputs that a controller generates."
)
_RULES = {"paper": "eq. (11)", "exact": "exact binomial tail (Campi and Garatti 2008)"}
_BOUNDS = (
    *("System", "ρu", "ρ*", "ρ* settled"),
    *("Outputs reached", "Worst scenario", "In the safe set"),
)


def _how_drawn(v: Verification) -> list[tuple[str, str]]:
    """How many scenarios there are, and of which law."""
    sure = f"at most {number(v.epsilon)} with confidence 1 − {number(v.beta)}, for each bound"
    ball = v.shape == "ball"
    low, high = v.law["dwell"]
    start = number(max(v.law["start_high"]))
    return [
        ("scenarios N", f"{v.scenarios}, drawn once from seed {v.seed}, {v.steps} steps each"),
        ("violation ε, confidence", sure),
        ("rule for N", _RULES.get(v.rule, v.rule)),
        ("set", "ball |y| ≤ ρ*, normalised" if ball else "one interval per output"),
        ("law", f"levels held for {low:g} to {high:g} s; starts uniform in ±{start}"),
    ]


def _bound_row(b: Bound, outputs: Sequence[Signal]) -> list[str]:
    return [
        "LSTM" if b.system == "model" else b.system,
        number(b.radius_u),
        f"{b.radius_y:.4f}",
        f"{b.settled:.4f}",
        spans(outputs, list(zip(b.low, b.high, strict=True))),
        f"{b.worst}, sample {b.sample}",
        "yes" if b.safe else "NO",
    ]


def _worst(v: Verification, model: Model) -> list[Picture]:
    """The worst scenario of the model at its widest input bound, where it has bounds."""
    own = [b for b in v.bounds if b.system == "model"]
    if not own:
        return []
    top = max(own, key=lambda b: b.radius_u)
    words = (
        f"Scenario {top.worst} of {v.scenarios} at ρu {number(top.radius_u)} ρ*"
        f" {top.radius_y:.4f} at sample {top.sample}."
    )
    picture = partial(plot_scenarios, model, v, radius=top.radius_u)
    return [Picture(picture, "scenarios", "The worst scenario among others", words)]
