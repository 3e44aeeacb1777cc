"""The section on training."""

from __future__ import annotations

from functools import partial
from typing import Any

from lstm_mpc.plots.evidence_figures import plot_history
from lstm_mpc.project.artefacts import TRAINING
from lstm_mpc.report.blocks import (
    Facts,
    Heading,
    Picture,
    Section,
    Table,
    Text,
    lacks,
    number,
    told,
)
from lstm_mpc.report.dossier import Dossier


def training_section(dossier: Dossier) -> Section:
    found, model = dossier.files[TRAINING], dossier.model
    blocks: list[Any] = list(lacks(found))
    if found.value is not None:
        blocks += _starts(found.value)
    if model is not None and any(model.delays):
        late = ", ".join(f"{s.name} {k}" for s, k in zip(model.inputs, model.delays, strict=True))
        blocks.append(Text(f"Delays of the inputs, part of the model [samples]: {late}."))
    if model is not None and "settings" in model.origin:
        settings = [(key, told(value)) for key, value in model.origin["settings"].items()]
        blocks.append(Heading("Settings the model was trained with"))
        blocks.append(Facts(settings, dense=True))
    return Section("training", "Training", blocks)


def _starts(report: dict[str, Any]) -> list[Any]:
    """Every start of training, in a table and a figure."""
    starts, chosen = report["starts"], report["chosen"]
    several = any(s.get("candidate") for s in starts)
    rows = [_row(s, several) for s in starts]
    best = next(place for place, s in enumerate(starts) if s["seed"] == chosen)
    candidate = ["Candidate"] if several else []
    head = [
        *("Start", "Solver", "Converged", "Iterations", "Time", *candidate),
        *("Training FIT [%]", "Validation FIT [%]", "δ", "Certified"),
    ]
    open_ones = [k for k, s in enumerate(starts) if not (s["converged"] and s["certified"])]
    caption = "Every start of training; ▸: the chosen one"
    caption += "; ⚠: ended before it converged, or without a certificate" if open_ones else ""
    words = f"Objective, FIT and margin over the iterations of {len(starts)} starts: " + "; ".join(
        f"{row[0]} ends after {row[3]} iterations at FIT {row[-4]} % and δ {row[-2]}"
        for row in rows
    )
    return [
        Text(
            f"Chosen: seed {chosen}, the certified start with the best mean-removed FIT on"
            " validation data."
        ),
        Table(caption, head, rows, marked=best, doubtful=open_ones),
        Picture(partial(plot_history, report), "training", "Training of every start", words),
    ]


def _row(s: dict[str, Any], several: bool) -> list[str]:
    return [
        f"seed {s['seed']}",
        s["status"],
        "yes" if s["converged"] else "no",
        str(s["iterations"]),
        f"{s['seconds']:.1f} s",
        *([s["candidate"] or "as [train] says"] if several else []),
        number(s["train_fit"]),
        number(s["validation_fit"]),
        number(s["margin"]),
        "yes" if s["certified"] else "no",
    ]
