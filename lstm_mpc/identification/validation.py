"""How good a model is on data: evidence for the gate, and a score for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lstm_mpc.certificates.evidence import ErrorTube, Validation
from lstm_mpc.certificates.evidence.error_tube import widths
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.fit import Fit
from lstm_mpc.data.look.correlation import Residuals, correlate
from lstm_mpc.errors import InputError
from lstm_mpc.model.data_fit import compare, record_fits, simulations
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array

ALPHA = 0.1  # the probability that a further block leaves the error tube, at most
BLOCK = 50  # its samples: longer blocks are closer to exchangeable, and fewer
LAGS = 25  # of the tests of residuals, where there are samples enough


def check_signals(model: Model, dataset: Dataset) -> None:
    """InputError where the data are of other signals or another sampling time than the model."""
    for role in ("inputs", "outputs"):
        mine, other = ([(s.name, s.unit) for s in getattr(noun, role)] for noun in (model, dataset))
        if mine != other:
            raise InputError(
                f"validate: the {role} of the data {other} are not those of the model {mine}; name"
                " them alike, in the same units"
            )
    if abs(model.Ts - dataset.Ts) > 1e-9 * model.Ts:
        raise InputError(
            f"validate: the data are sampled every {dataset.Ts:g} s, the model every"
            f" {model.Ts:g} s; resample them"
        )


def validate(
    model: Model,
    dataset: Dataset,
    *,
    transient: int = 50,
    seed: int = 0,
    window: int = 0,
    choices: int = 1,
) -> Validation:
    """How well a model simulates data that it was not trained on.

    The figures are evidence for the gate.

    Args:
        model: The model.
        dataset: What it is compared with.
        transient: First samples of every record that do not count, as they hold the start.
        seed: Of the random starts.
        window: First samples that the start is estimated from instead of a random one; at most
            `transient`.
        choices: How many models were compared on these data, of which this is one.

    Returns:
        Figures against the measured and, where known, the noise-free output: of each the worst
        record, one entry per output; and the tube of the errors that are yet to come.

    Raises:
        InputError: The data do not fit the model.
    """
    check_signals(model, dataset)
    fits: dict[str, dict[str, Any]] = {}
    references: Sequence[str] = ["measured"]
    if all(record.truth is not None for record in dataset.records):
        references = ["measured", "noise-free"]
    for against in references:
        records = record_fits(
            model, dataset, transient=transient, seed=seed, against=against, window=window
        )
        worst = {"normalised": min, "engineering": min, "mean_removed": min, "rmse": max}
        per_output = {
            f: [pick(v) for v in zip(*(getattr(r, f) for r in records), strict=True)]
            for f, pick in worst.items()
        }
        fits[against] = {**records[0].describe(), **per_output}
    runs = simulations(model, dataset, seed=seed, window=window)
    tube = error_tube(model, dataset, runs, transient=transient, choices=choices)
    return Validation(model.digest, dataset.digest, dataset.samples, seed, fits, tube)


def error_tube(
    model: Model,
    dataset: Dataset,
    runs: Sequence[Array],
    *,
    alpha: float = ALPHA,
    block: int = BLOCK,
    transient: int = 50,
    choices: int = 1,
) -> ErrorTube:
    """Bound the errors of a model on what is yet to come.

    Args:
        model: The model.
        dataset: Records that it was not trained on.
        runs: Its simulated outputs for each, (N, ny) [output unit].
        alpha: The probability that a further block leaves the tube, at most.
        block: Samples of a block.
        transient: First samples of every record that do not count.
        choices: How many models were compared on these records.

    Returns:
        The tube, whose width is empty where the blocks are too few.

    Raises:
        InputError: `alpha`, `block` or `choices` is out of range.
    """
    ny, scores = len(model.outputs), list[Array]()
    bare = ErrorTube(model.digest, dataset.digest, alpha, block, 0, choices, transient, ())
    for record, y in zip(dataset.records, runs, strict=True):
        errors = np.abs(record.y - y)[transient:]
        whole = errors[: len(errors) // block * block].reshape(-1, block, ny)
        scores += list(np.nan_to_num(whole, nan=0.0).max(axis=1))  # NaN: not measured
    seen = np.array(scores).reshape(-1, ny)
    return replace(bare, blocks=len(seen), width=widths(seen, alpha, choices))


@dataclass(frozen=True)
class Score:
    """How well a model simulates data.

    It holds `fits` of each record, by its name, and tests of the `residuals`, None where the data
    are too short for them; `outputs` are the names of the outputs.
    """

    fits: dict[str, Fit]
    residuals: Residuals | None
    outputs: tuple[str, ...]

    @property
    def fit(self) -> tuple[float, ...]:
        """Mean-removed FIT [%] of each output, the worst record."""
        return tuple(min(column) for column in zip(*self._figures("mean_removed"), strict=True))

    @property
    def rmse(self) -> tuple[float, ...]:
        """Root of the mean square error of each output [its unit], the worst record."""
        return tuple(max(column) for column in zip(*self._figures("rmse"), strict=True))

    def _figures(self, name: str) -> list[tuple[float, ...]]:
        return [getattr(fit, name) for fit in self.fits.values()]

    def __str__(self) -> str:
        units = next(iter(self.fits.values())).units
        parts = [
            f"{name}: FIT {fit:.2f} %, RMSE {rmse:.4g} {unit}"
            for name, fit, rmse, unit in zip(self.outputs, self.fit, self.rmse, units, strict=True)
        ]
        return "; ".join(parts)


def score(
    model: Model, dataset: Dataset, *, transient: int = 50, seed: int = 0, window: int = 0
) -> Score:
    """How well a model simulates data, figures and residual tests of every output.

    Args:
        model: The model.
        dataset: What it is compared with.
        transient: First samples of every record that do not count, as they hold the start.
        seed: Of the random starts.
        window: First samples that the start is estimated from instead of a random one; at most
            `transient`.

    Returns:
        FIT and RMSE of every record, and tests of what the model leaves unexplained.

    Raises:
        InputError: The data do not fit the model.
    """
    check_signals(model, dataset)
    if not 0 <= window <= transient:
        raise InputError(
            f"score: a window of {window} samples must lie within the {transient} that are skipped"
        )
    runs = simulations(model, dataset, seed=seed, window=window)
    pairs = list(zip(dataset.records, runs, strict=True))
    fits = {
        item.name: compare(model, item, y, transient=transient, against="measured")
        for item, y in pairs
    }
    errors = [(item.y - y)[transient:] for item, y in pairs]
    inputs = [item.u[transient:] for item in dataset.records]
    measured = (~np.isnan(np.vstack(errors))).sum(axis=0).min()
    lags = min(LAGS, int(measured) // 4)
    residuals = correlate(errors, inputs, lags=lags) if lags else None
    return Score(fits, residuals, tuple(s.name for s in model.outputs))
