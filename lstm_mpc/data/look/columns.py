"""What each column of recorded data shows, and what is to be said of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.resampling import spikes_of
from lstm_mpc.plants.system import Array, Signal

SPIKE = 8.0  # standard deviations from the running median
_PILED = 0.02  # share of samples at one end of the range that is called saturation
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


def column_of(signal: Signal, values: Array, parts: list[Array]) -> Column:
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


def memory_of(dataset: Dataset) -> int:
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


def remarks_of(dataset: Dataset, columns: tuple[Column, ...]) -> list[str]:
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
    if memory_of(dataset) > 100:
        remarks.append(
            "sampled fast for its dynamics: a larger Ts makes training quicker and the horizon of a"
            " controller longer"
        )
    return remarks
