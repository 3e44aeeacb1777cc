"""The section on how well the model fits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.fit import Fit
from lstm_mpc.data.look.correlation import Residuals, correlate
from lstm_mpc.errors import InputError
from lstm_mpc.model.data_fit import compare
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array
from lstm_mpc.plots.figures import plot_correlations, plot_validation
from lstm_mpc.project.artefacts import MODEL, TRAINING
from lstm_mpc.project.steps.check_steps import MANY
from lstm_mpc.report.blocks import (
    Heading,
    Picture,
    Section,
    Table,
    Text,
    lacks,
    number,
)
from lstm_mpc.report.dossier import Dossier

LAGS = 25


def fit_section(dossier: Dossier) -> Section:
    model, found, title = dossier.model, dossier.data["validation"], "Fit and residuals"
    if model is None:
        return Section("fit", title, lacks(dossier.files[MODEL]))
    blocks: list[Any] = list(lacks(found))
    if "validation" not in dossier.runs:
        return Section("fit", title, blocks)
    transient, window, runs = (
        dossier.judge["transient"],
        dossier.judge["window"],
        dossier.runs["validation"],
    )
    start = (
        f"estimated from the first {window} samples"
        if window
        else "random, within ±0.1 in every state"
    )
    how = f"its start is {start}; the first {transient} samples do not count."
    rows = [
        _row(which, record, s.name, fit, j)
        for which, record, fit in fit_rows(dossier)
        for j, s in enumerate(model.outputs)
    ]
    head = [
        "Record",
        "Output",
        "Against",
        "FIT (12), normalised",
        "FIT (12), eng. units",
        "Mean-removed FIT",
        "RMSE",
    ]
    seen = [row for row in rows if row[0].startswith("validation") and row[2] == "measured"]
    words = "Simulated against measured outputs: " + "; ".join(
        f"{r[1]}, {r[0]}: mean-removed FIT {r[5]} %, RMSE {r[6]}" for r in seen
    )
    picture = partial(plot_validation, model, found.value, **dossier.judge, runs=runs)
    blocks += [
        Text(f"The model runs open loop on the recorded inputs alone; {how}", "measured"),
        Table("Fit of every record and output [%; RMSE in the output's unit]", head, rows),
        Picture(picture, "validation", "Validation: model and measurement, and the error", words),
    ]
    report = dossier.files[TRAINING]
    blocks += [] if report.stale else _beside(report.value)
    return Section("fit", title, blocks + _residual_blocks(model, found.value, runs, transient))


def _beside(report: dict[str, Any] | None) -> list[Any]:
    """The simpler models beside this one, where training left their figures."""
    if report is None or "baselines" not in report:
        return []
    beside = report["baselines"]
    rows = [
        [
            name,
            *(f"{beside[key][j]:.2f}" for key in ("mean", "linear", "lstm")),
            f"order {beside['model']['orders'][j]}, slowest time constant"
            f" {number(beside['model']['time_constants'][j])} s",
        ]
        for j, name in enumerate(beside["outputs"])
    ]
    head = ["Output", "Mean of the training data", "Linear model", "LSTM", "The linear model"]
    worse = [j for j, lstm in enumerate(beside["lstm"]) if lstm < beside["linear"][j]]
    caption = "Beside simpler models: mean-removed FIT on validation data [%]"
    caption += "; ⚠: the linear model is better" if worse else ""
    return [Table(caption, head, rows, doubtful=worse)]


def linear_is_better(dossier: Dossier) -> str:
    """The sentence that stands first where a linear model is better; "" where it is not."""
    found = dossier.files[TRAINING]
    beside = {} if found.value is None or found.stale else found.value.get("baselines", {})
    words = str(beside.get("verdict") or "")
    return words[:1].upper() + words[1:]


def fit_rows(dossier: Dossier) -> list[tuple[str, str, Fit]]:
    """("validation" or "training", record, fit) for every record, against what was measured and the
    noise-free output where it is known."""
    rows = []
    for which, runs in dossier.runs.items():
        assert dossier.model is not None  # which made the runs
        for item, y in zip(dossier.data[which].value.records, runs, strict=True):
            for against in ("measured",) + (("noise-free",) if item.truth is not None else ()):
                fit = compare(
                    dossier.model, item, y, transient=dossier.judge["transient"], against=against
                )
                rows.append((which, item.name, fit))
    return rows


def _row(which: str, record: str, output: str, fit: Fit, j: int) -> list[str]:
    percent = [
        f"{getattr(fit, key)[j]:.2f}" for key in ("normalised", "engineering", "mean_removed")
    ]
    return [
        f"{which}: {record}",
        output,
        fit.against,
        *percent,
        f"{number(fit.rmse[j])} {fit.units[j]}",
    ]


def _residual_blocks(
    model: Model, data: Dataset, runs: Sequence[Array], transient: int
) -> list[Any]:
    """The tests of the residuals, or why there are none."""
    title = "Residual correlations"
    try:
        found = correlate(
            [(r.y - y)[transient:] for r, y in zip(data.records, runs, strict=True)],
            [r.u[transient:] for r in data.records],
            lags=LAGS,
        )
    except InputError as error:
        return [Heading(title), Text(f"Not tested: {error}.", "wrong")]
    rows, following = _correlation_rows(model, found)
    words = f"Correlations of the residuals over lags 1 to {found.lags}: " + "; ".join(
        f"{row[0]} with {row[1]} at most {row[2]}, 99 % bound {row[3]}, {row[4]} of lags beyond"
        for row in rows
    )
    names = [s.name for s in model.inputs], [s.name for s in model.outputs]
    caption = "Correlations with lags of 1 and more"
    caption += "; ⚠: what is left follows a past input" if following else ""
    head = ["Residual of", "With", "Largest", "99 % bound", "Lags beyond"]
    below = "Band: the 99 % bound; for inputs it allows for the colour of both."
    return [
        Heading(title),
        Text(
            "Residuals that depend on past inputs (positive lags) say that dynamics are missing; on"
            " coming ones, that there was feedback. That they are not white says little: they hold"
            " the noise of the plant too, of which the LSTM has no model."
        ),
        Table(caption, head, rows, doubtful=following),
        Picture(partial(plot_correlations, *names, found), "residuals", title, words, below),
    ]


def _correlation_rows(model: Model, found: Residuals) -> tuple[list[list[str]], list[int]]:
    """A row for each output with itself and with each input, and which rows follow a past input."""
    rows, past, following = [], found.cross[found.lags + 1 :], list[int]()
    for i, output in enumerate(model.outputs):
        own = _tested(found.own[1:, i], found.own_bound[i], found.white[i])
        rows.append([output.name, "itself", *own])
        for j, s in enumerate(model.inputs):
            following += [len(rows)] if found.explained[i][j] > MANY else []
            own = _tested(past[:, i, j], found.cross_bound[i, j], found.explained[i][j])
            rows.append([output.name, s.name, *own])
    return rows, following


def _tested(values: Array, bound: float, beyond: float) -> list[str]:
    """The largest correlation, its bound, and the share of lags beyond it."""
    largest = number(float(np.abs(values).max()), 3)
    return [largest, f"±{number(float(bound), 3)}", f"{100 * beyond:.0f} %"]
