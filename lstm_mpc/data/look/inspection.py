"""A first look at identification data: what is in it, what speaks against using it, and the dead
times it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.look.columns import Column, column_of, memory_of, remarks_of
from lstm_mpc.data.look.dead_time import Delay, dead_time
from lstm_mpc.data.look.suitability import coverage, integrations, unstable

_ALIKE = 0.999  # correlation beyond which two inputs are one
_FEEDBACK = 3.0  # and one at negative lags is feedback


@dataclass(frozen=True)
class Inspection:
    """What was seen of recorded data.

    Attributes:
        columns: A `Column` a signal, inputs first.
        delays: The dead time `delays[j][i]` from input i to output j.
        memory: After so many samples the outputs' autocorrelation has fallen to 1/e.
        remarks: Sentences.
        beyond: The names of outputs that no model can describe, those `integrating` and those
            `unstable`.
    """

    columns: tuple[Column, ...]
    delays: tuple[tuple[Delay, ...], ...]
    memory: int
    remarks: tuple[str, ...]
    beyond: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def input_delays(self) -> tuple[int, ...]:
        """What to put into the model: per input the smallest sure dead time, 0 where none is sure.
        Too large a delay cannot be repaired by training, too small a one can."""
        found = []
        for i in range(len(self.delays[0])):
            sure = [row[i].samples for row in self.delays if row[i].sure]
            found.append(min(sure, default=0))
        return tuple(found)

    def lines(self, Ts: float) -> list[str]:
        """The look as a table and sentences.

        Args:
            Ts: The sampling time [s].

        Returns:
            The lines.
        """
        rows = [
            f"  {'':<22}{'range':>26}{'mean':>11}{'std':>10}{'noise':>10}{'missing':>9}"
            f"{'at ends':>9}{'spikes':>8}{'moves':>8}"
        ]
        for c in self.columns:
            span = f"{c.low:.5g} … {c.high:.5g}"
            ends = f"{100 * (c.at_low + c.at_high):.1f} %"
            rows.append(
                f"  {c.signal.label:<22}{span:>26}{c.mean:>11.5g}{c.deviation:>10.3g}"
                f"{c.noise:>10.2g}{100 * c.missing:>7.1f} %{ends:>9}{c.spikes:>8}{c.moves:>8}"
            )
        inputs, outputs = (self.columns[: len(self.delays[0])], self.columns[len(self.delays[0]) :])
        for row, output in zip(self.delays, outputs, strict=True):
            for delay, column in zip(row, inputs, strict=True):
                pair = f"{column.signal.name} → {output.signal.name}"
                rows.append(f"  dead time {pair}: {delay.words(Ts)}")
        rows.append(
            f"  memory: autocorrelation of the outputs falls to 1/e within {self.memory} samples"
            f" ({self.memory * Ts:g} s)"
        )
        return rows + [f"  note: {remark}" for remark in self.remarks]


def refusals(dataset: Dataset) -> list[str]:
    """Why nothing can be identified from these data: channels that never move, inputs that are
    copies of each other. All reasons."""
    u, y = (np.vstack([getattr(r, which) for r in dataset.records]) for which in ("u", "y"))
    reasons = []
    for signal, column in zip(dataset.inputs + dataset.outputs, np.hstack([u, y]).T, strict=True):
        known = column[np.isfinite(column)]
        if not known.size:
            reasons.append(f"{signal.name} was never measured; leave it out or give its column")
        elif np.ptp(known) <= 1e-9 * max(1.0, float(np.abs(known).max())):
            reasons.append(
                f"{signal.name} is constant at {known[0]:g} {signal.unit}; leave it out, or record"
                " an experiment that moves it"
            )
    moving = np.flatnonzero(np.ptp(u, axis=0) > 0)
    if moving.size > 1:
        matrix = np.corrcoef(u[:, moving].T)
        for a in range(moving.size):
            for b in range(a):
                if abs(matrix[a, b]) > _ALIKE:
                    names = dataset.inputs[moving[b]].name, dataset.inputs[moving[a]].name
                    reasons.append(
                        f"{names[0]} and {names[1]} move together (correlation {matrix[a, b]:.5f}),"
                        " so that their effects cannot be told apart; leave one out, or record an"
                        " experiment that moves them independently"
                    )
        if not reasons and np.linalg.eigvalsh(matrix)[0] < 1 - _ALIKE:
            reasons.append(
                "one input is a combination of the others, so that their effects cannot be told"
                " apart; leave one out"
            )
    return reasons


def look(dataset: Dataset, *, lags: int = 40, kept: int = 0) -> Inspection:
    """Look at a data set that has no `refusals`. `lags` [samples]: how far dead times are searched;
    the last `kept` records are those for validation."""
    u, y = (np.vstack([getattr(r, which) for r in dataset.records]) for which in ("u", "y"))
    signals = dataset.inputs + dataset.outputs
    parts = [[np.hstack([r.u, r.y])[:, j] for r in dataset.records] for j in range(len(signals))]
    columns = tuple(
        column_of(signal, values, part)
        for signal, values, part in zip(signals, np.hstack([u, y]).T, parts, strict=True)
    )
    usable = min(lags, min(len(r.u) for r in dataset.records) // 5)
    delays = tuple(
        tuple(dead_time(dataset, i, j, usable) for i in range(u.shape[1]))
        for j in range(y.shape[1])
    )
    memory = memory_of(dataset)
    levels = tuple(i for i in integrations(dataset, memory=memory) if i.integrates)
    growing = unstable(dataset)
    remarks = [
        *_feedback(dataset, delays),
        *(level.sentence for level in levels),
        *growing.values(),
        *remarks_of(dataset, columns),
    ]
    if kept:
        parts_of = dataset.records[:-kept], dataset.records[-kept:]
        remarks += coverage(*(replace(dataset, records=records) for records in parts_of))
    beyond = {"integrating": tuple(i.name for i in levels), "unstable": tuple(growing)}
    return Inspection(columns, delays, memory, tuple(remarks), beyond)


def _feedback(dataset: Dataset, delays: tuple[tuple[Delay, ...], ...]) -> list[str]:
    """A sentence for every input that follows an output."""
    sentences = []
    for i, s in enumerate(dataset.inputs):
        j = max(range(len(delays)), key=lambda j: delays[j][i].feedback)
        times = delays[j][i].feedback
        if times > _FEEDBACK:
            sentences.append(
                f"{s.name} follows {dataset.outputs[j].name} (correlation at negative lags,"
                f" {times:.1f} × its 99 % bound): recorded under feedback; a model of such data may"
                " describe the controller"
            )
    return sentences


def describe(found: Inspection) -> dict[str, Any]:
    """As JSON types."""
    return {
        "columns": [
            {**{k: v for k, v in c.__dict__.items() if k != "signal"}, "signal": c.signal.label}
            for c in found.columns
        ],
        "delays": [
            [
                {"samples": d.samples, "peak": d.peak, "sure": d.sure, "feedback": d.feedback}
                for d in row
            ]
            for row in found.delays
        ],
        "memory": found.memory,
        "remarks": list(found.remarks),
        **{kind: list(names) for kind, names in found.beyond.items()},
        "input_delays": list(found.input_delays),
    }
