"""What a log shows that speaks against taking it as it is: values that stand for "not measured",
parts in another magnitude, limits and ranges that are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_mpc.data.dataset import Record
from lstm_mpc.data.log_reader import Raw
from lstm_mpc.plants.system import Array, Signal

_USUAL = (
    *(99.0, 99.9, 99.99, 200.0, 777.0, 888.0, 999.0, 999.9, 999.25, 999.99, 6999.0, 7999.0),
    *(8888.0, 9999.0, 9999.9, 9999.99, 32767.0, 32768.0, 65535.0, 88888.0, 99999.0, 999999.0),
    *(9999999.0, 2147483647.0, 2147483648.0, 4294967295.0),
)
_ABSURD = 1e20  # no process value is so large
_AWAY = 1.0  # ranges of the rest: a usual value so far away stands for something
_FAR = 3.0  # the same for any other value that repeats
_OFTEN = 5  # times
_LEVELS = 20  # different values at least of a signal that has no levels
_SAME = 1e-6  # share to which one value equals another
# of the range in training, and of the validation samples that may lie further out
_SLACK, OUTSIDE = 0.02, 0.05


@dataclass(frozen=True)
class Sentinel:
    """A value of a signal that stands apart: how often it stands there, the range of the rest, and
    whether it is one of the values that usually say "not measured"."""

    value: float
    count: int
    low: float
    high: float
    usual: bool


def sentinels_of(values: Array) -> tuple[Sentinel, ...]:
    """The values of one signal (N,) that may stand for "not measured", NaN apart."""
    finite = values[np.isfinite(values)]
    different, counts = np.unique(finite, return_counts=True)
    result = []
    ends = [*range(min(3, len(different))), *range(max(3, len(different) - 3), len(different))]
    taken = np.zeros(len(different), dtype=bool)
    for k in sorted(ends, key=lambda k: -abs(different[k])):
        taken[k] = True
        rest = different[~taken]
        value, count = float(different[k]), int(counts[k])
        usual = bool(np.any(np.abs(abs(value) - np.array(_USUAL)) <= _SAME * abs(value)))
        absurd = abs(value) >= _ABSURD
        if len(rest) >= 2 and (absurd or _apart(value, count, rest, usual)):
            sentinel = Sentinel(value, count, float(rest.min()), float(rest.max()), usual or absurd)
            result.append(sentinel)
        else:
            taken[k] = False
    return tuple(result)


def _apart(value: float, count: int, rest: Array, usual: bool) -> bool:
    span = float(np.ptp(rest))
    away = max(rest[0] - value, value - rest[-1])
    if usual:
        return bool(away > _AWAY * span)
    return bool(count >= _OFTEN and len(rest) >= _LEVELS and away > _FAR * span)


def _sentence(signal: Signal, sentinel: Sentinel, counts: bool) -> str:
    value = f"{sentinel.value:g}"
    what = f"{signal.name}: {value} stands {sentinel.count}×, all else in"
    what = f"{what} [{sentinel.low:g}, {sentinel.high:g}]"
    key = f"missing = [{value}] in [log]"
    if counts:
        return f"{what}: it counts as not measured ({key}; --missing none keeps it)"
    return f"{what}: if it means 'not measured', give {key} (--missing {value} of `new`)"


def other_magnitude(values: Array, rows: Array) -> tuple[int, int, float] | None:
    """A part of one signal (N,) that lies about a thousand times above or below the rest.

    Returns:
        How many samples, the row (of `rows`) of the first, and how many times; None for none.
    """
    size = np.abs(values)
    size[~np.isfinite(size) | (size == 0)] = np.nan
    if np.isfinite(size).sum() < _LEVELS:
        return None
    middle = float(np.nanmedian(size))
    for factor in (1e3, 1e-3):
        off = (size > 0.03 * factor * middle) & (size < 30 * factor * middle)
        main = (size > middle / 30) & (size < middle * 30)
        between = np.isfinite(size) & ~off & ~main
        if not 3 <= off.sum() <= 0.5 * len(size) or between.sum() > 0.01 * len(size):
            continue
        if len(np.unique(size[main])) < _LEVELS:
            continue
        low, high = float(size[main].min()), float(size[main].max())
        ratio = float(np.median(size[off])) / middle
        inside = (size[off] / factor > 0.5 * low) & (size[off] / factor < 2 * high)
        if high < 10 * low and inside.all():
            return int(off.sum()), int(rows[int(np.argmax(off))]), ratio
    return None


def remarks_of(
    raw: Raw, signals: Sequence[Signal], usual_count: bool
) -> tuple[list[str], list[float]]:
    """Sentences on values that stand apart, and those that count as not measured, where the usual
    ones do (`usual_count`)."""
    sentences, taken = list[str](), list[float]()
    for s, column in zip(signals, raw.values.T, strict=True):
        for sentinel in sentinels_of(column):
            counts = usual_count and sentinel.usual
            sentences.append(_sentence(s, sentinel, counts))
            taken += [sentinel.value] if counts and sentinel.value not in taken else []
        shift = other_magnitude(column, raw.rows)
        if shift is not None:
            count, row, ratio = shift
            sentences.append(
                f"{s.name}: {count} samples, the first in row {row}, are about {ratio:.3g} times as"
                " large as the rest: did the unit change there?"
            )
    return sentences, taken


def clipped(
    inputs: Sequence[Signal], training: Sequence[Record], validation: Sequence[Record]
) -> list[str]:
    """Where limits are narrower than the data."""
    u, story = np.vstack([r.u for r in (*training, *validation)]), []
    for s, column in zip(inputs, u.T, strict=True):
        share = float(((column < s.low) | (column > s.high)).mean()) if s.bounded else 0.0
        if share > 0:
            story.append(
                f"{s.name} leaves its limits [{s.low:g}, {s.high:g}] {s.unit} in"
                f" {100 * share:.2g} % of the samples (it covers [{column.min():g},"
                f" {column.max():g}]), which are clipped to them in training; give wider limits if"
                " the actuator did that"
            )
    return story


def outside(training: Sequence[Record], validation: Sequence[Record]) -> Array:
    """The share of the validation samples that lie outside the range in training, signal by signal,
    (nu + ny,)."""
    shown, asked = (
        np.vstack([np.hstack([r.u, r.y]) for r in records]) for records in (training, validation)
    )
    low, high = np.fmin.reduce(shown), np.fmax.reduce(shown)
    slack = _SLACK * (high - low)
    return np.asarray(((asked < low - slack) | (asked > high + slack)).mean(axis=0))


def beyond(
    signals: Sequence[Signal], training: Sequence[Record], validation: Sequence[Record]
) -> list[str]:
    """Where a model will be asked for what it has never seen."""
    return [
        f"{signal.name} is outside its range in training in {100 * share:.0f} % of the validation"
        " samples: what a model says there is a guess; record longer, or validate on another part"
        for signal, share in zip(signals, outside(training, validation), strict=True)
        if share > OUTSIDE
    ]
