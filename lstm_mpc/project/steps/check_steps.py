"""The steps that look at a model: on a further record, and whether it is physical."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lstm_mpc.certificates.evidence import Validation
from lstm_mpc.data.csv_file import read_csv
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.log_preparation import prepare_log
from lstm_mpc.data.look.correlation import Residuals, correlate
from lstm_mpc.data.look.inspection import look
from lstm_mpc.errors import DataError, InputError
from lstm_mpc.identification import validation as judging
from lstm_mpc.model.data_fit import simulations
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array
from lstm_mpc.project.artefacts import DEFAULT, MODEL, Options
from lstm_mpc.project.design import Design

_LAGS = 25  # of the residual tests, fewer for short records
MANY = 0.05  # share of lags beyond a bound that 1 % are beyond by chance
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
    residuals = _residuals(dataset, runs, judge["transient"])
    return Check(model, dataset, judging.validate(model, dataset, **judge), tuple(runs), residuals)


def _residuals(dataset: Dataset, runs: Sequence[Array], skip: int) -> Residuals | None:
    """The tests of what is left of the outputs; None where too few samples are."""
    samples = sum(len(r.u) - skip for r in dataset.records)
    if samples < 8:
        return None
    return correlate(
        [(r.y - y)[skip:] for r, y in zip(dataset.records, runs, strict=True)],
        [r.u[skip:] for r in dataset.records],
        lags=min(_LAGS, samples // 8),
    )


def physical_reasons(design: Design) -> list[str]:
    """What in the data of a design may be why its gate refuses, a sentence each: what is left of an
    output that is predicted worse than the gate asks, and what a look at the records finds."""
    model, validation = Model.load(design.file(MODEL)), design.records("validation")
    runs = simulations(model, validation, window=design.judge["window"])
    fits = judging.validate(model, validation, **design.judge).fits["measured"]["mean_removed"]
    poor = [i for i, fit in enumerate(fits) if fit < design.release.min_fit]
    residuals = _residuals(validation, runs, design.judge["transient"]) if poor else None
    moved = np.ptp(np.vstack([r.u for r in validation.records]), axis=0) > 0
    reasons = [] if residuals is None else _left(model, residuals, poor, moved)
    training = design.records("training")
    both = replace(training, records=(*training.records, *validation.records))
    return [*reasons, *look(both, kept=len(validation.records)).remarks]


def _left(model: Model, residuals: Residuals, poor: Sequence[int], moved: Array) -> list[str]:
    """Why the `poor` outputs are not predicted better, as far as inputs that were `moved` tell."""
    inputs = [j for j in range(len(model.inputs)) if moved[j]]
    follows = {i: [j for j in inputs if residuals.explained[i][j] > MANY] for i in poor}
    reasons = [
        f"what is left of {model.outputs[i].name} still follows"
        f" {' and '.join(model.inputs[j].name for j in inputs_of)}: the model lacks dynamics that"
        " the data have; `lstm-mpc order` tries more cells"
        for i, inputs_of in follows.items()
        if inputs_of
    ]
    alone = " and of ".join(
        model.outputs[i].name for i, inputs_of in follows.items() if not inputs_of
    )
    if alone and inputs:
        reasons.append(
            f"what is left of {alone} follows no input: something that was not recorded seems to"
            " move it; record it, too (--measured of `new`), or ask for less (min_fit in"
            " [release])"
        )
    return reasons


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
