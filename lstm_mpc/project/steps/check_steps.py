"""The steps that look at a model: on a further record, and whether it is physical."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lstm_mpc.certificates.evidence import Validation
from lstm_mpc.data.correlation import Residuals, correlate
from lstm_mpc.data.csv_file import read_csv
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.log_preparation import prepare_log
from lstm_mpc.errors import DataError, InputError
from lstm_mpc.identification import validation as judging
from lstm_mpc.model.model import Model, simulations
from lstm_mpc.plants.system import Array
from lstm_mpc.project.artefacts import DEFAULT, Options
from lstm_mpc.project.design import Design

_LAGS = 25  # of the residual tests, fewer for short records
_JUDGE = {"transient": 50, "window": 50}  # of a model without a design: its start is estimated


@dataclass(frozen=True)
class Check:
    """A model on a further record: its fits, what it simulates (N, ny) for every record, and the
    tests of the residuals, None where the record is too short for them."""

    model: Model
    dataset: Dataset
    validation: Validation
    runs: tuple[Array, ...]
    residuals: Residuals | None

    def content(self) -> dict[str, Any]:
        """As JSON types."""
        residuals = None if self.residuals is None else self.residuals.describe()
        return {**self.validation.content(), "residuals": residuals}


def validate(
    model: Model,
    files: Sequence[Path],
    design: Design | None = None,
    options: Options = DEFAULT,
) -> Check:
    """A model on records that it was neither trained nor chosen by.

    Args:
        model: any model.
        files: CSV files with its signals as columns or, for a design with a [log], logs like it.
        design: says how logs are read and which samples count; none: the defaults.
        options: who hears of the progress.

    Returns:
        Fits, simulations and tests of the residuals.

    Raises:
        DataError: a file cannot be used.
        InputError: the record has another sampling time than the model.
    """
    dataset = _read(model, files, design, options)
    if abs(dataset.Ts - model.Ts) > 1e-9 * model.Ts:
        raise InputError(
            f"validate: the record has a sample every {dataset.Ts:g} s, the model every"
            f" {model.Ts:g} s; give one with that step"
        )
    judge = dict(_JUDGE if design is None else design.judge)
    shortest = min(len(r.u) for r in dataset.records)
    judge["transient"] = min(judge["transient"], shortest // 4)
    judge["window"] = min(judge["window"], judge["transient"])
    runs = simulations(model, dataset, window=judge["window"])
    residuals, skip = None, judge["transient"]
    samples = sum(len(r.u) - skip for r in dataset.records)
    if samples >= 8:
        residuals = correlate(
            [(r.y - y)[skip:] for r, y in zip(dataset.records, runs, strict=True)],
            [r.u[skip:] for r in dataset.records],
            lags=min(_LAGS, samples // 8),
        )
    return Check(model, dataset, judging.validate(model, dataset, **judge), tuple(runs), residuals)


def _read(model: Model, files: Sequence[Path], design: Design | None, options: Options) -> Dataset:
    """The record of the files: CSV with the model's signals or, failing that, logs as the design's
    own."""
    try:
        return read_csv(list(files), model.inputs, model.outputs)
    except DataError:
        if design is None or not design.log.files:
            raise
    names = tuple(str(file.resolve()) for file in files)
    log = replace(design.log, files=names, validation_files=names, Ts=model.Ts)
    prepared = prepare_log(
        log,
        design.folder,
        model.inputs,
        model.outputs,
        on_progress=lambda share, file: options.progress("validate", share, f"{file} is read"),
    )
    return prepared.validation
