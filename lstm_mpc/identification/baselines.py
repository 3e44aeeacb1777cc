"""What a model is held against on validation data: the mean of the training data, and a linear
model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.fit import fit_index
from lstm_mpc.data.scaling import Scaling
from lstm_mpc.identification.linear_model import LinearModel, memory
from lstm_mpc.plants.system import Array


@dataclass(frozen=True)
class Baselines:
    """Mean-removed FIT [%] of every output on validation data, the worst record of each: of the
    `mean` of the training data, of a `linear` output-error model, and of the model itself,
    `lstm`."""

    outputs: tuple[str, ...]
    mean: tuple[float, ...]
    linear: tuple[float, ...]
    lstm: tuple[float, ...]
    model: LinearModel

    @property
    def verdict(self) -> str | None:
        """What is to be said first: that the linear model is better, for which outputs; None where
        it is not."""
        better = [
            f"{name} {linear:.2f} % against {lstm:.2f} %"
            for name, linear, lstm in zip(self.outputs, self.linear, self.lstm, strict=True)
            if linear > lstm
        ]
        if not better:
            return None
        return (
            "a linear model predicts the validation data better than this LSTM (mean-removed"
            f" FIT): {', '.join(better)}; give more data, or ones that show what is not linear"
        )

    @property
    def sentence(self) -> str:
        """All three, output by output."""
        rows = [
            f"{name}: mean {mean:.2f} %, linear of order {t.order} {linear:.2f} %, LSTM"
            f" {lstm:.2f} %"
            for name, mean, linear, lstm, t in zip(
                self.outputs, self.mean, self.linear, self.lstm, self.model.transfers, strict=True
            )
        ]
        return f"validation FIT (mean-removed) beside simpler models: {'; '.join(rows)}"

    def describe(self) -> dict[str, Any]:
        """As JSON types."""
        fits = {name: list(getattr(self, name)) for name in ("mean", "linear", "lstm")}
        return {
            "outputs": list(self.outputs),
            **fits,
            "model": self.model.describe(),
            "verdict": self.verdict,
        }


def baselines(
    linear: LinearModel,
    training: Dataset,
    validation: Dataset,
    lstm: Sequence[float],
    *,
    transient: int,
) -> Baselines:
    """Judge the mean and a linear model as the LSTM was, whose FITs [%] are `lstm` (ny,), after
    `transient` samples of every record."""
    mean = np.nanmean(np.vstack([item.y for item in training.records]), axis=0)
    return Baselines(
        outputs=tuple(s.name for s in validation.outputs),
        mean=_worst(
            validation, [np.tile(mean, (len(r.y), 1)) for r in validation.records], transient
        ),
        linear=_worst(validation, [linear.simulate(r.u) for r in validation.records], transient),
        lstm=tuple(lstm),
        model=linear,
    )


def linear_fits(linear: LinearModel, validation: Dataset, *, transient: int) -> tuple[Array, Array]:
    """Mean-removed FIT [%] of a linear model on validation data (ny,), the worst record of each
    output, after `transient` samples, and its standard error [%] (ny,).

    The root of a mean of N squares that count as n, by their autocorrelation, is certain to a share
    of s/(2m√n), with their mean m and standard deviation s."""
    fits, errors = [], []
    for record in validation.records:
        y = record.y[transient:]
        squares = [c[np.isfinite(c)] for c in ((y - linear.simulate(record.u)[transient:]) ** 2).T]
        missed = 100.0 * np.sqrt([s.mean() for s in squares]) / np.nanstd(y, axis=0)
        fits.append(100.0 - missed)
        certain = [s.std() / (2.0 * s.mean()) * np.sqrt(memory(s) / len(s)) for s in squares]
        errors.append(missed * certain)
    at = np.argmin(fits, axis=0), np.arange(len(validation.outputs))
    return np.array(fits)[at], np.array(errors)[at]


def _worst(dataset: Dataset, runs: Sequence[Array], transient: int) -> tuple[float, ...]:
    """The worst record of each output."""
    nu, ny = len(dataset.inputs), len(dataset.outputs)
    unscaled = Scaling(np.zeros(nu), np.ones(nu), np.zeros(ny), np.ones(ny))
    units = [s.unit for s in dataset.outputs]
    fits = [
        fit_index(item.y, y, scaling=unscaled, units=units, transient=transient).mean_removed
        for item, y in zip(dataset.records, runs, strict=True)
    ]
    return tuple(float(min(column)) for column in zip(*fits, strict=True))
