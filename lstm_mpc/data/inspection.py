"""A first look at identification data: what is in it, what speaks against using it, and the dead
times it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.look.dead_time import Delay, dead_time
from lstm_mpc.data.look.suitability import coverage, integrations, unstable
from lstm_mpc.data.resampling import spikes_of
from lstm_mpc.plants.system import Array, Signal

SPIKE = 8.0  # standard deviations from the running median
_PILED = 0.02  # share of samples at one end of the range that is called saturation
_ALIKE = 0.999  # correlation beyond which two inputs are one
_FEEDBACK = 3.0  # and one at negative lags is feedback
_TWO, _MARGIN = 0.01, 0.05  # share of samples further than a share of the range from its ends
_MOVES = 10  # level changes below which an input hardly moves


@dataclass(frozen=True)
class Column:
    """One signal as recorded, in its unit: range, mean, standard deviation, the smallest step
    between two values, the noise (white part, by second differences), the share of samples that are
    missing, at the ends of the range and further `between` them, spikes, and how often it moved."""

    signal: Signal
    low: float
    high: float
    mean: float
    deviation: float
    resolution: float
    noise: float
    missing: float
    at_low: float
    at_high: float
    between: float
    spikes: int
    moves: int

    @property
    def two_valued(self) -> bool:
        """Does it take two values only, so that what lies between them is not in the data?"""
        return self.between < _TWO


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
            f"  {'':<22}{'range':>26}{'mean':>11}{'std':>10}{'noise':>10}{'missing':>9}{'at ends':>9}{'spikes':>8}{'moves':>8}"
        ]
        for c in self.columns:
            span = f"{c.low:.5g} … {c.high:.5g}"
            ends = f"{100 * (c.at_low + c.at_high):.1f} %"
            rows.append(
                f"  {c.signal.label:<22}{span:>26}{c.mean:>11.5g}{c.deviation:>10.3g}{c.noise:>10.2g}{100 * c.missing:>7.1f}"
                f" %{ends:>9}{c.spikes:>8}{c.moves:>8}"
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
        _column(signal, values, part)
        for signal, values, part in zip(signals, np.hstack([u, y]).T, parts, strict=True)
    )
    usable = min(lags, min(len(r.u) for r in dataset.records) // 5)
    delays = tuple(
        tuple(dead_time(dataset, i, j, usable) for i in range(u.shape[1]))
        for j in range(y.shape[1])
    )
    memory = _memory(dataset)
    levels = tuple(i for i in integrations(dataset, memory=memory) if i.integrates)
    growing = unstable(dataset)
    remarks = [
        *_feedback(dataset, delays),
        *(level.sentence for level in levels),
        *growing.values(),
        *_remarks(dataset, columns),
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


def _column(signal: Signal, values: Array, parts: list[Array]) -> Column:
    known = values[np.isfinite(values)]
    low, high = float(known.min()), float(known.max())
    steps = np.diff(np.unique(known[:200_000]))
    second = np.concatenate([np.diff(part, n=2) for part in parts])
    second = second[np.isfinite(second)]
    # steps and spikes do not count
    noise = float(1.4826 * np.median(np.abs(second)) / np.sqrt(6.0)) if second.size else 0.0
    changes = np.concatenate([np.diff(part) for part in parts])
    return Column(
        signal=signal,
        low=low,
        high=high,
        mean=float(known.mean()),
        deviation=float(known.std()),
        resolution=float(steps.min()) if steps.size else 0.0,
        noise=noise,
        missing=float(np.isnan(values).mean()),
        at_low=_share_at(known, low),
        at_high=_share_at(known, high),
        between=1.0 - _share_at(known, low, _MARGIN) - _share_at(known, high, _MARGIN),
        spikes=sum(int(spikes_of(part, SPIKE).sum()) for part in parts),
        moves=int((np.abs(changes[np.isfinite(changes)]) > 0.01 * (high - low)).sum()),
    )


def _share_at(values: Array, end: float, margin: float = 1e-3) -> float:
    """The share of samples within a `margin` of the range from one end of it."""
    return float((np.abs(values - end) <= margin * np.ptp(values)).mean())


def _memory(dataset: Dataset) -> int:
    """The largest lag [samples], over the outputs, at which the autocorrelation is still above
    1/e."""
    longest = 0
    for j in range(len(dataset.outputs)):
        parts = [r.y[:, j] - np.nanmean(r.y[:, j]) for r in dataset.records]
        parts = [np.where(np.isnan(part), 0.0, part)[:20_000] for part in parts]
        power = sum(float(part @ part) for part in parts)
        lag = 1
        while (
            lag < min(map(len, parts)) - 1
            and sum(float(p[lag:] @ p[:-lag]) for p in parts) > power / np.e
        ):
            lag += 1
        longest = max(longest, lag)
    return longest


def _remarks(dataset: Dataset, columns: tuple[Column, ...]) -> list[str]:
    remarks = []
    nu, moved = len(dataset.inputs), [s.name for s in dataset.inputs if not s.measured]
    if len(moved) < len(dataset.outputs):
        remarks.append(
            f"{len(dataset.outputs)} outputs and {len(moved)} input(s) that can be moved: no"
            " controller holds them all at their setpoints; output_weight in [control] says which"
            " counts more"
        )
    for number, c in enumerate(columns):
        name, s = c.signal.name, c.signal
        if number < nu and c.moves < _MOVES:
            remarks.append(
                f"{name} moves {c.moves} times only; what it does to the outputs is hardly in the"
                " data"
            )
        elif number < nu and c.two_valued:
            remarks.append(
                f"{name} takes two values only, {c.low:g} and {c.high:g} {s.unit}: what the outputs"
                " do between them is not in the data"
            )
        margin = 0.1 * (s.high - s.low) if s.bounded else 0.0
        if number < nu and s.bounded and (c.low > s.low + margin or c.high < s.high - margin):
            covered = (
                f"{name} covers [{c.low:g}, {c.high:g}] of its limits [{s.low:g}, {s.high:g}]"
                f" {s.unit}"
            )
            remarks.append(f"{covered}: beyond, the model is a guess")
        if number >= nu:
            for share, end in ((c.at_low, c.low), (c.at_high, c.high)):
                if share > _PILED:
                    remarks.append(
                        f"{name} stays at {end:g} {s.unit} in {100 * share:.1f} % of the samples:"
                        " the sensor may end there"
                    )
            if c.spikes:
                remarks.append(
                    f"{name} has {c.spikes} spike(s); `despike` in [log] leaves them out"
                )
            if c.noise > 0.3 * c.deviation:
                remarks.append(
                    f"{name} is mostly noise ({c.noise:.3g} of {c.deviation:.3g} {s.unit})"
                )
    if _memory(dataset) > 100:
        remarks.append(
            "sampled fast for its dynamics: a larger Ts makes training quicker and the horizon of a"
            " controller longer"
        )
    return remarks


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
