"""What is drawn: the paper's figures, data and fits, the closed loop. Every function returns a
figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.data.look.correlation import Residuals
from lstm_mpc.model.data_fit import compare, simulations
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array
from lstm_mpc.plots.style import BLUE, GREEN, GREY, RED, Figure, clock, sheet, styled, thin

_APART = 0.02  # of the whole length, between two records


@styled
def plot_data(dataset: Dataset, *, kept: int = 0) -> Figure:
    """Draw outputs and inputs of every record, one record after the other.

    Args:
        dataset: The records.
        kept: The last so many, those for validation, stand on grey.

    Returns:
        A matplotlib figure.
    """
    signals = dataset.outputs + dataset.inputs
    figure, axes = sheet(len(signals), 1.3 * len(signals) + 0.6)
    for j, (s, axis) in enumerate(zip(signals, axes[:, 0], strict=True)):
        output = j < len(dataset.outputs)
        for number, (item, t) in enumerate(_placed(dataset)):
            values = item.y[:, j] if output else item.u[:, j - len(dataset.outputs)]
            if number >= len(dataset.records) - kept:
                axis.axvspan(t[0], t[-1], color=GREY, alpha=0.15, lw=0)
            axis.plot(*thin(t, values), color=BLUE if output else GREEN, lw=0.8)
        axis.set_ylabel(s.label)
    _clocked(axes[-1, 0], dataset)
    if kept:
        axes[-1, 0].set_xlabel(f"{axes[-1, 0].get_xlabel()}, on grey those for validation")
    return figure


@styled
def plot_validation(
    model: Model,
    dataset: Dataset,
    *,
    transient: int = 50,
    seed: int = 0,
    window: int = 0,
    runs: Sequence[Array] | None = None,
) -> Figure:
    """Draw simulated beside measured outputs and the rest, as Fig. 2 of the paper.

    Args:
        model: The model, which begins where `validate` begins.
        dataset: The data.
        transient: First samples of every record that do not count.
        seed: Of the random starts.
        window: First samples that a start is estimated from, instead of a random one.
        runs: The outputs of the model for every record, where they are there already.

    Returns:
        A matplotlib figure.
    """
    runs = simulations(model, dataset, seed=seed, window=window) if runs is None else runs
    fits = [
        compare(model, item, y, transient=transient, against="measured")
        for item, y in zip(dataset.records, runs, strict=True)
    ]
    figure, axes = sheet(2 * len(model.outputs), 3.0 * len(model.outputs) + 0.4)
    for j, s in enumerate(model.outputs):
        above, below = axes[2 * j : 2 * j + 2, 0]
        for number, ((item, t), y) in enumerate(zip(_placed(dataset), runs, strict=True)):
            names = (
                (None, None)
                if number
                else ("measured", f"LSTM, open loop, {'estimated' if window else 'random'} start")
            )
            above.plot(*thin(t, item.y[:, j]), color=GREY, lw=1.0, label=names[0])
            above.plot(*thin(t, y[:, j]), color=BLUE, lw=1.0, ls="--", label=names[1])
            below.plot(*thin(t[transient:], (item.y - y)[transient:, j]), color=RED, lw=0.6)
        above.set_ylabel(s.label)
        worst = [
            min(getattr(fit, key)[j] for fit in fits) for key in ("normalised", "mean_removed")
        ]
        above.set_title(
            f"FIT (12) {worst[0]:.2f} % normalised, mean-removed {worst[1]:.2f} %", loc="left"
        )
        above.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False)
        below.set_ylabel(f"error [{s.unit}]")
    _clocked(axes[-1, 0], dataset)
    return figure


def _placed(dataset: Dataset) -> Iterator[tuple[Record, Array]]:
    """Every record with its time [the clock's unit], one after the other."""
    scale, begin = clock(dataset.samples * dataset.Ts)[0], 0.0
    for item in dataset.records:
        yield item, np.asarray((begin + dataset.Ts * np.arange(len(item.u))) / scale)
        begin += len(item.u) * dataset.Ts + _APART * dataset.samples * dataset.Ts


def _clocked(axis: Any, dataset: Dataset) -> None:
    unit = clock(dataset.samples * dataset.Ts)[1]
    axis.set_xlabel(
        f"time [{unit}]"
        if len(dataset.records) == 1
        else f"time [{unit}], {len(dataset.records)} records one after the other"
    )


@styled
def plot_correlations(inputs: Sequence[str], outputs: Sequence[str], found: Residuals) -> Figure:
    """Draw residuals against themselves and against the inputs over the lag.

    Args:
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        found: The correlations, and their bounds at 99 %.

    Returns:
        A matplotlib figure.
    """
    figure, axes = sheet(len(outputs), 1.9 * len(outputs) + 0.5, 1 + len(inputs))
    after, both = np.arange(found.lags + 1), np.arange(-found.lags, found.lags + 1)
    for i, output in enumerate(outputs):
        panels = [(f"{output} with itself", after, found.own[:, i], found.own_bound[i])]
        panels += [
            (f"{output} with {u}", both, found.cross[:, i, j], found.cross_bound[i, j])
            for j, u in enumerate(inputs)
        ]
        for axis, (label, lags, values, bound) in zip(axes[i], panels, strict=True):
            axis.vlines(lags, 0.0, values, color=BLUE, lw=1.2)
            axis.fill_between(lags, -bound, bound, color=GREY, alpha=0.25, lw=0)
            axis.set_title(label, loc="left", fontsize="small")
            axis.set_ylim(-1.05, 1.05)
    for axis in axes[-1]:
        axis.set_xlabel("lag [samples]")
    return figure
