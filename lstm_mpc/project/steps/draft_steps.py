"""The step that begins from recorded data: which columns are which signals, a first look at them,
and a draft of the design."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.log_options import LogOptions
from lstm_mpc.data.log_preparation import Prepared, prepare_log
from lstm_mpc.data.logs.table import Table, open_log, time_columns
from lstm_mpc.data.look.inspection import Inspection, look, refusals
from lstm_mpc.errors import InputError
from lstm_mpc.identification.linear_model import fit_linear
from lstm_mpc.plants.system import Signal
from lstm_mpc.project.artefacts import DEFAULT, Options
from lstm_mpc.project.design_tables import refuse_reserved
from lstm_mpc.project.drafting.draft import draft
from lstm_mpc.project.drafting.fit import AskedFit
from lstm_mpc.project.drafting.signal_requests import (
    SignalRequest,
    columns_in,
    columns_of,
    signals_of,
)

AS_IT_IS = LogOptions()


@dataclass(frozen=True)
class Draft:
    """A first design for recorded data: the text of its design.toml, the `files` it reads, the data
    as they look, and the inputs whose limits were `guessed` from them."""

    text: str
    files: tuple[Path, ...]
    training: Dataset
    validation: Dataset
    inspection: Inspection
    guessed: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def data(self) -> Dataset:
        """All records, those for training first."""
        return _joined(self.training, self.validation)


def new(
    folder: Path,
    files: Sequence[Path],
    inputs: Sequence[SignalRequest],
    outputs: Sequence[SignalRequest],
    options: Options = DEFAULT,
    *,
    log: LogOptions = AS_IT_IS,
    name: str = "",
) -> Draft:
    """Draft a design for recorded data.

    Args:
        folder: the design directory that is to be.
        files: the logs.
        inputs: what is manipulated.
        outputs: what is measured.
        options: who hears of the progress.
        log: how the files are read, their names and columns apart.
        name: of the design; that of the folder by default.

    Returns:
        The draft, not yet written.

    Raises:
        InputError: nothing can be identified from these data.
        DataError: a file cannot be used.
    """
    asked = [*inputs, *outputs]
    _refuse_doubles(files, asked)
    refuse_reserved(s.name for s in asked if s.kind == "measured")
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
    given, measured = asked[: len(inputs)], asked[len(inputs) :]
    named = [signals_of(part, units, {}, limit=False) for part in (given, measured)]
    prepared = _prepared(folder, files, log, named, options)
    options.progress("new", 0.7, "a first look")
    reasons = refusals(_joined(prepared.training, prepared.validation))
    if reasons:
        raise InputError("nothing can be identified from these data: " + "; ".join(reasons))
    spans = _spans(prepared, asked)
    u, y = (
        signals_of(part, units, spans, limit=limit)
        for part, limit in ((given, True), (measured, False))
    )
    training, validation = (
        Dataset(u, y, d.Ts, d.records) for d in (prepared.training, prepared.validation)
    )
    inspection = look(_joined(training, validation), kept=len(validation.records))
    linear = fit_linear(training, validation, delays=inspection.input_delays)
    doubts = [] if any(inspection.beyond.values()) else linear.uncertain(u, y)
    outputs_seen = inspection.columns[len(u) :]
    asked_fit = AskedFit.of(outputs_seen, linear, validation)
    if asked_fit.why:
        doubts.append(f"min_fit is {asked_fit.least:.0f} %: on validation data {asked_fit.why}")
    inspection = replace(inspection, remarks=(*inspection.remarks, *doubts))
    guessed = tuple(s.name for s in given if s.low is None)
    local = replace(
        log,
        files=tuple(f.name for f in files if f.name not in log.validation_files),
        Ts=training.Ts,
        validation=prepared.share,
        validation_part=prepared.part,
        missing=prepared.missing,
    )
    title = name or folder.resolve().name
    text = draft(title, local, training, validation, inspection, guessed, linear, asked_fit)
    return Draft(text, tuple(files), training, validation, inspection, guessed, prepared.story)


def _refuse_doubles(files: Sequence[Path], asked: Sequence[SignalRequest]) -> None:
    if len({file.name for file in files}) < len(files):
        raise InputError(
            "two data files have the same name; rename one, for the design directory holds a copy"
            " of each"
        )
    twice = {s.name for s in asked if [t.name for t in asked].count(s.name) > 1}
    if twice:
        raise InputError(f"two signals are called {min(twice)!r}")


def _prepared(
    folder: Path,
    files: Sequence[Path],
    log: LogOptions,
    signals: Sequence[Sequence[Signal]],
    options: Options,
) -> Prepared:
    """The records of the files where they lie now; `signals` are inputs and outputs."""
    places = [(str(file.resolve()), file.name in log.validation_files) for file in files]
    near = replace(
        log,
        files=tuple(place for place, validating in places if not validating),
        validation_files=tuple(place for place, validating in places if validating),
    )
    return prepare_log(
        near,
        folder,
        *signals,
        on_progress=lambda share, file: options.progress("new", 0.7 * share, f"{file} is read"),
    )


def _spans(prepared: Prepared, asked: Sequence[SignalRequest]) -> dict[str, tuple[float, float]]:
    """What each signal covers in the data."""
    records = (*prepared.training.records, *prepared.validation.records)
    values = np.vstack([np.hstack([r.u, r.y]) for r in records])
    return {
        s.name: (float(np.nanmin(v)), float(np.nanmax(v)))
        for s, v in zip(asked, values.T, strict=True)
    }


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
