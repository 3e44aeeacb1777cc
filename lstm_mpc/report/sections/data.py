"""The section on data."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.data.resampling import runs_of
from lstm_mpc.plots.figures import plot_data
from lstm_mpc.report.blocks import (
    Facts,
    Heading,
    Picture,
    Section,
    Table,
    interval,
    lacks,
    number,
    told,
)
from lstm_mpc.report.dossier import Dossier


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


THINNED = "Long curves are drawn by the extremes of each of 700 stretches; tables use every sample."
_RECORDS = ("Record", "Samples", "Length", "Missing outputs", "Noise-free output known")


def _of_data(which: str, data: Dataset) -> list[Any]:
    count = "1 record" if len(data.records) == 1 else f"{len(data.records)} records"
    sampled = f"{data.samples} samples every {number(data.Ts)} s"
    ranges = _ranges(data)
    ends = "; ".join(f"{row[0]} between {row[3][1:-1].replace(', ', ' and ')}" for row in ranges)
    title = f"{which.capitalize()} data"
    words = f"{title}: {sampled} in {count}; {ends}."
    below = THINNED if data.samples > 1400 else ""
    head = ["Signal", "Role", "Range", "Reached", "Mean"]
    rows = [_record_row(item, data.Ts) for item in data.records]
    return [
        Table(f"{count}, {sampled}", _RECORDS, rows),
        Table(f"Signals of the {which} data", head, ranges),
        Picture(partial(plot_data, data), f"data-{which}", title, words, below),
    ]


def _record_row(item: Record, Ts: float) -> list[str]:
    holes = np.isnan(item.y)
    longest = max(
        (last - first for column in holes.T for first, last in runs_of(column)), default=0
    )
    missing = "none"
    if longest:
        share = number(100 * float(holes.mean()), 3)
        missing = f"{share} %, longest gap {number(longest * Ts)} s"
    length = f"{number(len(item.u) * Ts / 3600)} h"
    known = "yes" if item.truth is not None else "no"
    return [item.name, str(len(item.u)), length, missing, known]


def _ranges(data: Dataset) -> list[list[str]]:
    """Role, range and what was reached of every signal."""
    return [
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
