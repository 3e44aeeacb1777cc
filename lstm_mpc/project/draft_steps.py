"""The verbs for one's own data: `new`, a first design from logs, and `order`, how many cells a
model needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lstm_mpc.data.dataset import Dataset, thin
from lstm_mpc.data.inspection import describe, look, refusals
from lstm_mpc.data.log_options import LogOptions
from lstm_mpc.data.log_preparation import prepare_log
from lstm_mpc.data.logs.table import Table, open_log, time_columns
from lstm_mpc.errors import InputError
from lstm_mpc.identification.model_order import compare_orders
from lstm_mpc.identification.training import Progress
from lstm_mpc.io import artefact_file
from lstm_mpc.plots import figures, style
from lstm_mpc.project.artefacts import FIGURES, Options, Result, refuse_overwrite
from lstm_mpc.project.design import Design, load_design
from lstm_mpc.project.draft import draft
from lstm_mpc.project.signal_requests import (
    SignalRequest,
    columns_in,
    columns_of,
    signals_of,
)

CELLS = ((2,), (3,), (5,), (8,))


def new_verb(
    folder: Path,
    files: Sequence[Path],
    inputs: Sequence[SignalRequest],
    outputs: Sequence[SignalRequest],
    options: Options,
    *,
    log: LogOptions,
    name: str = "",
) -> Result:
    """Draft a design for recorded data → design.toml beside copies of the logs, and a first look at
    them, with a figure.

    `log` says how the files are read, its file names and columns apart.
    """
    for path in (folder / "design.toml", *(folder / file.name for file in files)):
        if path.resolve() not in [file.resolve() for file in files]:
            refuse_overwrite(path, options)
    if len({file.name for file in files}) < len(files):
        raise InputError(
            "two data files have the same name; rename one, for the design directory holds a copy"
            " of each"
        )
    asked = [*inputs, *outputs]
    twice = {s.name for s in asked if [t.name for t in asked].count(s.name) > 1}
    if twice:
        raise InputError(f"two signals are called {min(twice)!r}")
    table = open_log(files[0], header_row=log.header_row)
    columns, units = columns_of(columns_in(table), asked)
    log = replace(
        log,
        time=_time_of(table, log.time, list(columns.values())),
        columns={
            s.name: columns[s.name]
            for s in asked
            if columns[s.name] not in (s.name, f"{s.name} [{units[s.name]}]")
        },
    )
    validating = [file for file in files if file.name in log.validation_files]
    where = {file.name: str(file.resolve()) for file in files}
    near = replace(
        log,
        files=tuple(where[f.name] for f in files if f not in validating),
        validation_files=tuple(where[f.name] for f in validating),
    )
    given, measured = asked[: len(inputs)], asked[len(inputs) :]
    named = (signals_of(part, units, {}, limit=False) for part in (given, measured))
    made = prepare_log(
        near,
        folder,
        *named,
        on_progress=lambda share, file: options.progress("new", 0.7 * share, f"{file} is read"),
    )
    options.progress("new", 0.7, "a first look")
    values = np.vstack(
        [np.hstack([r.u, r.y]) for r in (*made.training.records, *made.validation.records)]
    )
    spans = {
        s.name: (float(np.nanmin(v)), float(np.nanmax(v)))
        for s, v in zip(asked, values.T, strict=True)
    }
    reasons = refusals(_joined(made.training, made.validation))
    if reasons:
        raise InputError("nothing can be identified from these data: " + "; ".join(reasons))
    u, y = (
        signals_of(given, units, spans, limit=True),
        signals_of(measured, units, spans, limit=False),
    )
    training, validation = (
        Dataset(u, y, d.Ts, d.records) for d in (made.training, made.validation)
    )
    seen = look(_joined(training, validation))
    guessed = [s.name for s in given if s.low is None]
    local = replace(
        log,
        files=tuple(f.name for f in files if f not in validating),
        Ts=training.Ts,
        validation_part=made.part,
        missing=made.missing,
    )
    text = draft(name or folder.resolve().name, local, training, validation, seen, guessed)
    for file in files:
        if (folder / file.name).resolve() != file.resolve():
            artefact_file.write_bytes(folder / file.name, file.read_bytes())
    artefact_file.write_text(folder / "design.toml", text)
    load_design(folder)  # what is written can be read
    shown = figures.plot_data(_joined(training, validation), kept=len(validation.records))
    style.save(shown, folder / FIGURES, "data")
    lines = [*made.story, *seen.lines(training.Ts)]
    lines += (
        [
            f"limits of {', '.join(guessed)} are those of the data: give what the actuator can do,"
            " in design.toml"
        ]
        if guessed
        else []
    )
    lines += [f"→ {folder / FIGURES / 'data.png'}"]
    lines += [
        f"→ {folder / 'design.toml'}; read the lines marked CHOOSE, then: lstm-mpc run {folder}"
    ]
    return Result(
        tuple(lines),
        {"design": str(folder / "design.toml"), "story": list(made.story), **describe(seen)},
    )


def _time_of(
    table: Table, asked: str | tuple[str, ...], columns: Sequence[str]
) -> str | tuple[str, ...]:
    """The columns of the stamps: those that were asked for, or found; "none" is none."""
    if asked in ("none", ("none",)) and "none" not in table.names:
        return ""
    signals = [k for k, name in enumerate(table.names) if name in columns]
    names = [asked] if isinstance(asked, str) and asked else list(asked)
    names = [table.names[table.place(name)] for name in names] or list(time_columns(table, signals))
    return tuple(names) if len(names) > 1 else "".join(names)


def _joined(training: Dataset, validation: Dataset) -> Dataset:
    return replace(training, records=(*training.records, *validation.records))


def order_verb(
    design: Design, options: Options, *, cells: Sequence[tuple[int, ...]] = CELLS, starts: int = 3
) -> Result:
    """Compare structures by validated FIT over seeds → order.json and a figure; which one is used
    stays the design's choice."""
    path = design.file("order.json")
    refuse_overwrite(path, options)
    training, validation = design.records("training"), design.records("validation")
    training = (
        thin(training, samples=design.data.samples, window=design.data.window)
        if design.data.samples
        else training
    )
    total, seen = len(cells) * starts * design.train.iterations, 0

    def tell(p: Progress) -> None:
        nonlocal seen
        seen += 1
        options.progress(
            "order",
            min(1.0, seen / total),
            f"seed {p.seed} iteration {p.iteration}: FIT {p.fit:.2f} %",
        )

    found = compare_orders(
        training,
        validation,
        design.train,
        cells=cells,
        starts=starts,
        seed=design.search.seed,
        transient=design.search.transient,
        window=design.search.window,
        rule=design.data.scaling,
        workers=options.workers,
        on_progress=tell,
    )
    chosen = found.recommended
    content = {
        "candidates": [c.describe() for c in found.candidates],
        "recommended": list(chosen.nx),
    }
    artefact_file.write_json(path, "lstm_mpc order", content)
    style.save(figures.plot_order(found), design.file(FIGURES), "order")
    lines = ["  cells      weights   validation FIT of each start [%], best first"]
    for c in found.candidates:
        fits = ", ".join(f"{fit:.2f}" for fit in c.fits) or "none certified"
        lines.append(
            f"  {','.join(map(str, c.nx)):<10} {c.parameters:>7}   {fits}"
            + ("   ← enough" if c is chosen else "")
        )
    more = "more cells do not fit validation data better than starts differ"
    reason = (
        "the largest that was tried; --cells tries others"
        if chosen is found.candidates[-1]
        else more
    )
    lines.append(f"[train] cells = {list(chosen.nx)}: {reason} → {path}")
    return Result(tuple(lines), content)
