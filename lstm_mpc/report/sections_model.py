"""The sections on data, fit and training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.fit import Fit
from lstm_mpc.data.look.correlation import correlate
from lstm_mpc.errors import InputError
from lstm_mpc.model.data_fit import compare
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array
from lstm_mpc.plots.evidence_figures import plot_history
from lstm_mpc.plots.figures import plot_correlations, plot_data, plot_validation
from lstm_mpc.project.artefacts import MODEL, TRAINING
from lstm_mpc.project.steps.check_steps import MANY
from lstm_mpc.report.blocks import (
    Facts,
    Heading,
    Picture,
    Section,
    Table,
    Text,
    interval,
    lacks,
    number,
    told,
)
from lstm_mpc.report.dossier import Dossier

LAGS = 25


def data_section(dossier: Dossier) -> Section:
    blocks: list[Any] = []
    for which, found in dossier.data.items():
        blocks += [Heading(f"{which.capitalize()} data"), *lacks(found)]
        if found.value is not None:
            blocks += _of_data(which, found.value)
    if dossier.design is not None and dossier.design.log.files:
        made = {key: told(value) for key, value in dossier.design.log.__dict__.items()}
        blocks += [
            Heading("How the records were made of raw logs, [log]"),
            Facts(list(made.items()), dense=True),
        ]
    return Section("data", "Data and split", blocks)


def _of_data(which: str, data: Dataset) -> list[Any]:
    rows = []
    for item in data.records:
        holes = np.isnan(item.y)
        longest = max(
            (
                len(run)
                for column in holes.T
                for run in "".join("x" if hole else " " for hole in column).split()
            ),
            default=0,
        )
        missing = (
            f"{number(100 * float(holes.mean()), 3)} %, longest gap {number(longest * data.Ts)} s"
            if longest
            else "none"
        )
        rows.append(
            [
                item.name,
                str(len(item.u)),
                f"{number(len(item.u) * data.Ts / 3600)} h",
                missing,
                "yes" if item.truth is not None else "no",
            ]
        )
    count = "1 record" if len(data.records) == 1 else f"{len(data.records)} records"
    caption = f"{count}, {data.samples} samples every {number(data.Ts)} s"
    ranges = [
        [
            s.label,
            "measured input" if s.measured else role,
            interval(s.low, s.high),
            interval(float(np.nanmin(values)), float(np.nanmax(values))),
            number(float(np.nanmean(values))),
        ]
        for signals, key, role in ((data.inputs, "u", "input"), (data.outputs, "y", "output"))
        for s, values in zip(
            signals, np.vstack([getattr(r, key) for r in data.records]).T, strict=True
        )
    ]
    ends = "; ".join(f"{row[0]} between {row[3][1:-1].replace(', ', ' and ')}" for row in ranges)
    title = f"{which.capitalize()} data"
    words = f"{title}: {data.samples} samples every {number(data.Ts)} s in {count}; {ends}."
    return [
        Table(
            caption,
            ["Record", "Samples", "Length", "Missing outputs", "Noise-free output known"],
            rows,
        ),
        Table(
            f"Signals of the {which} data", ["Signal", "Role", "Range", "Reached", "Mean"], ranges
        ),
        Picture(
            partial(plot_data, data),
            f"data-{which}",
            title,
            words,
            THINNED if data.samples > 1400 else "",
        ),
    ]


THINNED = "Long curves are drawn by the extremes of each of 700 stretches; tables use every sample."


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
    rows, past, following = [], found.cross[found.lags + 1 :], list[int]()
    for i, output in enumerate(model.outputs):
        rows.append(
            [
                output.name,
                "itself",
                *_tested(found.own[1:, i], found.own_bound[i]),
                f"{100 * found.white[i]:.0f} %",
            ]
        )
        for j, s in enumerate(model.inputs):
            following += [len(rows)] if found.explained[i][j] > MANY else []
            rows.append(
                [
                    output.name,
                    s.name,
                    *_tested(past[:, i, j], found.cross_bound[i, j]),
                    f"{100 * found.explained[i][j]:.0f} %",
                ]
            )
    words = f"Correlations of the residuals over lags 1 to {found.lags}: " + "; ".join(
        f"{row[0]} with {row[1]} at most {row[2]}, 99 % bound {row[3]}, {row[4]} of lags beyond"
        for row in rows
    )
    names = [s.name for s in model.inputs], [s.name for s in model.outputs]
    drawing = partial(plot_correlations, *names, found)
    return [
        Heading(title),
        Text(
            "Residuals that depend on past inputs (positive lags) say that dynamics are missing; on"
            " coming ones, that there was feedback. That they are not white says little: they hold"
            " the noise of the plant too, of which the LSTM has no model."
        ),
        Table(
            "Correlations with lags of 1 and more"
            + ("; ⚠: what is left follows a past input" if following else ""),
            ["Residual of", "With", "Largest", "99 % bound", "Lags beyond"],
            rows,
            doubtful=following,
        ),
        Picture(
            drawing,
            "residuals",
            title,
            words,
            "Band: the 99 % bound; for inputs it allows for the colour of both.",
        ),
    ]


def _tested(values: Array, bound: float) -> list[str]:
    return [number(float(np.abs(values).max()), 3), f"±{number(float(bound), 3)}"]


def training_section(dossier: Dossier) -> Section:
    found = dossier.files[TRAINING]
    blocks: list[Any] = list(lacks(found))
    if found.value is not None:
        starts, chosen = found.value["starts"], found.value["chosen"]
        several = any(s.get("candidate") for s in starts)
        rows = [
            [
                f"seed {s['seed']}",
                s["status"],
                "yes" if s["converged"] else "no",
                str(s["iterations"]),
                f"{s['seconds']:.1f} s",
                *([s["candidate"] or "as [train] says"] if several else []),
            ]
            + [
                number(s["train_fit"]),
                number(s["validation_fit"]),
                number(s["margin"]),
                "yes" if s["certified"] else "no",
            ]
            for s in starts
        ]
        best = next(place for place, s in enumerate(starts) if s["seed"] == chosen)
        head = [
            "Start",
            "Solver",
            "Converged",
            "Iterations",
            "Time",
            *(["Candidate"] if several else []),
            "Training FIT [%]",
            "Validation FIT [%]",
            "δ",
            "Certified",
        ]
        blocks.append(
            Text(
                f"Chosen: seed {chosen}, the certified start with the best mean-removed FIT on"
                " validation data."
            )
        )
        open_ones = [k for k, s in enumerate(starts) if not (s["converged"] and s["certified"])]
        caption = "Every start of training; ▸: the chosen one"
        caption += "; ⚠: ended before it converged, or without a certificate" if open_ones else ""
        blocks.append(Table(caption, head, rows, marked=best, doubtful=open_ones))
        words = (
            f"Objective, FIT and margin over the iterations of {len(starts)} starts: "
            + "; ".join(
                f"{row[0]} ends after {row[3]} iterations at FIT {row[-4]} % and δ {row[-2]}"
                for row in rows
            )
        )
        title = "Training of every start"
        blocks.append(Picture(partial(plot_history, found.value), "training", title, words))
    if dossier.model is not None and any(dossier.model.delays):
        late = ", ".join(
            f"{s.name} {k}" for s, k in zip(dossier.model.inputs, dossier.model.delays, strict=True)
        )
        blocks.append(Text(f"Delays of the inputs, part of the model [samples]: {late}."))
    if dossier.model is not None and "settings" in dossier.model.origin:
        blocks.append(Heading("Settings the model was trained with"))
        blocks.append(
            Facts(
                [(key, told(value)) for key, value in dossier.model.origin["settings"].items()],
                dense=True,
            )
        )
    return Section("training", "Training", blocks)
