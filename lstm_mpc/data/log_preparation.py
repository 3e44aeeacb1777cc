"""From raw logs to records: an even grid, gaps, what was not measured, a part kept for validation;
every step is told in a sentence.

y[k] is the output at t_k, before u[k] acts, which holds until t_{k+1}. So where several rows fall
into a sample, an output is their mean around t_k and an input their mean from t_k on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.data.log_reader import Raw, header_of, read_raw
from lstm_mpc.errors import DataError, InputError
from lstm_mpc.plants.system import Array, Signal

_EVEN = 0.01  # stamps this close to the grid, as a share of Ts, lie on it
_LARGEST = 50_000_000  # samples of a grid
_SMALL, _SMALL_SHARE, _SHARE = 2000, 0.15, 0.25  # few samples are needed for training
# of the range in training, and of the validation samples that may lie further out
_SLACK, _OUTSIDE = 0.02, 0.05
_HAMPEL = 11  # samples of the running median that tells spikes
RESAMPLING = ("auto", "none", "mean", "linear", "hold")
PARTS = ("auto", "end", "start", "middle")  # of a log, kept for validation


@dataclass(frozen=True)
class LogOptions:
    """`[log]`: raw files, relative to the design, and what is made of them.

    - `files`: one or more; `validation_files` are kept for validation, else a share of every file,
      `validation`; 0 is a quarter, or 15 % where there are fewer than 2000 samples in all.
      `validation_part`: its "end", "start" or "middle"; "auto" is the end, unless that leaves the
      range of the rest and another part does so less.
    - `time`: column of the stamps, `time_format` as `historian.read_raw` takes it; without stamps
      rows lie `Ts` apart. `columns`: signal -> column, where they are not called alike.
    - `Ts` [s]: sampling time, 0 for the typical step of the first file. `resample`: "mean" of the
      rows that fall into a sample, "linear" between the rows beside it (inputs are held), "hold" of
      the last row (for logs that note changes only), "none", or "auto".
    - `longest_gap` [samples]: an input that is not known for longer ends a record; up to that it
      holds its last value. An output is never filled in. `min_samples` [samples]: shorter records are
      left out.
    - `despike`: outputs further from their running median than so many standard deviations (by its
      MAD) count as not measured; 0: never.
    """

    files: tuple[str, ...] = ()
    validation_files: tuple[str, ...] = ()
    time: str = ""
    time_format: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    Ts: float = 0.0
    resample: str = "auto"
    longest_gap: int = 5
    min_samples: int = 40
    validation: float = 0.0
    validation_part: str = "end"
    despike: float = 0.0

    def __post_init__(self) -> None:
        if self.resample not in RESAMPLING:
            raise InputError(
                f"log: resample must be one of {', '.join(RESAMPLING)}, got {self.resample!r}"
            )
        if self.validation_part not in PARTS:
            raise InputError(
                f"log: validation_part must be one of {', '.join(PARTS)}, got"
                f" {self.validation_part!r}"
            )
        if not 0 <= self.validation < 1:
            raise InputError(
                f"log: validation must be a share between 0 and 1, got {self.validation}"
            )
        if (
            self.longest_gap < 0
            or self.min_samples < 2
            or not self.Ts >= 0
            or not self.despike >= 0
        ):
            raise InputError(
                "log: longest_gap, Ts and despike must not be negative, min_samples must be at least 2"
            )


@dataclass(frozen=True)
class Prepared:
    """Training and validation data, which `part` of the files the latter are, and the `story` of
    how they came about, a sentence each."""

    training: Dataset
    validation: Dataset
    part: str
    story: tuple[str, ...]


def prepare_log(
    log: LogOptions,
    folder: Path,
    inputs: Sequence[Signal],
    outputs: Sequence[Signal],
    *,
    on_progress: Callable[[float, str], None] = lambda share, file: None,
) -> Prepared:
    """Read the files of `log` and make records of them; `on_progress` is told the share that is
    read, and the file.

    DataError and InputError name what cannot be used, and the remedy.
    """
    if not log.files:
        raise InputError("log: files is empty; name at least one")
    signals = (*inputs, *outputs)
    unknown = [name for name in log.columns if name not in [s.name for s in signals]]
    if unknown:
        raise InputError(f"log: columns names {unknown[0]!r}, which is no signal of the design")
    story, parts, Ts = list[str](), dict[str, list[list[Record]]](), log.Ts
    for which, files in (("training", log.files), ("validation", log.validation_files)):
        parts[which] = []
        for name in files:
            before, own = sum(map(len, parts.values())), Path(name).name

            def tell(share: float, before: int = before, own: str = own) -> None:
                on_progress((before + share) / (len(log.files) + len(log.validation_files)), own)

            columns = column_names(log.columns, folder / name, signals)
            raw = read_raw(
                folder / name,
                columns,
                time=log.time,
                time_format=log.time_format,
                Ts=log.Ts,
                on_progress=tell,
            )
            Ts = Ts or typical_step(raw)
            records, said = _records(raw, log, Ts, len(inputs), signals)
            story += [f"{own}: {sentence}" for sentence in said]
            parts[which].append(records)
    training, validation, part = _split(parts["training"], parts["validation"], log)
    for which, records in (("training", training), ("validation", validation)):
        if not records:
            raise InputError(
                f"log: no record of {log.min_samples} samples is left for {which}; lower `min_samples`, or give"
                " more data"
            )
        missing = sum(int(np.isnan(r.y).sum()) for r in records)
        story.append(
            f"{which}: {len(records)} record(s), {sum(len(r.u) for r in records)} samples every"
            f" {Ts:g} s, {missing} output value(s) not measured"
        )
    if log.validation_part == "auto" and part != "end":
        story.append(
            f"validation: the {part} of every file, as its end leaves the range of the rest"
        )
    story += _beyond(signals, training, validation)
    made = [
        Dataset(tuple(inputs), tuple(outputs), Ts, tuple(records))
        for records in (training, validation)
    ]
    return Prepared(made[0], made[1], part, tuple(story))


def column_names(columns: Mapping[str, str], path: Path, signals: Sequence[Signal]) -> list[str]:
    """The column of every signal: the one that `columns` gives, or one called like it, with or
    without its unit."""
    header = header_of(path)
    return [columns.get(s.name, s.label if s.label in header else s.name) for s in signals]


def typical_step(raw: Raw) -> float:
    """The median step [s] between stamps, free of their round-off."""
    steps = np.diff(raw.t)
    step = float(f"{np.median(steps[steps > 0] if (steps > 0).any() else steps):.6g}")
    if not step > 0:
        raise DataError("every row has the same time stamp", file=raw.file)
    return step


def _records(
    raw: Raw, log: LogOptions, Ts: float, nu: int, signals: Sequence[Signal]
) -> tuple[list[Record], list[str]]:
    """The records of one file and what was done to get them."""
    story = [
        f"{len(raw.t)} rows, {raw.t[-1] / 3600:.4g} h"
        + (f", stamps read as {raw.stamps!r}" if log.time else "")
    ]
    if raw.words:
        shown = ", ".join(
            f"{word!r} {count}×"
            for word, count in sorted(raw.words.items(), key=lambda w: -w[1])[:4]
        )
        story.append(f"cells that are no number count as not measured: {shown}")
    method, why = _method(raw, log.resample, Ts)
    story.append(f"resampling to {Ts:g} s: {method} ({why})")
    u, y = _gridded(raw, method, Ts, nu)
    if log.despike:
        y, spikes = _despiked(y, log.despike)
        story += [
            f"{s.name}: {count} spike(s) count as not measured"
            for s, count in zip(signals[nu:], spikes, strict=True)
            if count
        ]
    unknown = np.isnan(u).any(axis=1)
    u, held = _held(u, log.longest_gap)
    if held:
        story.append(
            f"inputs held over {held} sample(s) where they were not known for at most"
            f" {log.longest_gap}"
        )
    runs = [(a, b) for a, b in _runs(~np.isnan(u).any(axis=1)) if b > a]
    if len(runs) > 1:
        lost = int(unknown.sum()) - held
        story.append(
            f"{len(runs) - 1} gap(s) of more than {log.longest_gap} samples, {lost} samples in all,"
            " end a record each"
        )
    trimmed = [(a, b) for a, b in (_trimmed(y, a, b) for a, b in runs) if b - a >= log.min_samples]
    if len(trimmed) < len(runs):
        story.append(
            f"{len(runs) - len(trimmed)} record(s) of fewer than {log.min_samples} samples left out"
        )
    stem = raw.file.stem
    names = [
        stem if len(trimmed) == 1 else f"{stem}-{number + 1}" for number in range(len(trimmed))
    ]
    return [
        Record(name, u[a:b], y[a:b]) for name, (a, b) in zip(names, trimmed, strict=True)
    ], story


def _method(raw: Raw, asked: str, Ts: float) -> tuple[str, str]:
    """How to resample, and why."""
    steps = np.diff(raw.t)
    off = np.abs(raw.t / Ts - np.rint(raw.t / Ts))
    on_grid = off.max() <= _EVEN and (steps > 0.5 * Ts).all()
    if asked == "none" and not on_grid:
        row = int(
            raw.rows[
                int(np.argmax(off > _EVEN)) if off.max() > _EVEN else int(np.argmin(steps)) + 1
            ]
        )
        raise DataError(
            f"does not lie on a grid of {Ts:g} s; choose how to resample, such as 'mean'",
            file=raw.file,
            row=row,
        )
    if asked != "auto":
        return asked, "as asked"
    if on_grid:
        return "none", "the rows lie on the grid"
    if np.median(steps) < 0.75 * Ts:
        return "mean", f"the typical step is {np.median(steps):g} s"
    return "linear", f"steps from {steps.min():g} to {np.quantile(steps, 0.99):g} s"


def _gridded(raw: Raw, method: str, Ts: float, nu: int) -> tuple[Array, Array]:
    """Inputs (N, nu) and outputs (N, ny) at k·Ts, NaN where nothing is known."""
    N = int(np.floor(raw.t[-1] / Ts + _EVEN)) + 1
    if N > _LARGEST:
        raise DataError(
            f"would be {N} samples of {Ts:g} s; give a larger Ts, or split the file", file=raw.file
        )
    u, y = raw.values[:, :nu], raw.values[:, nu:]
    if method in ("none", "mean"):
        near = 0.5 if method == "none" else 0.0
        return _averaged(raw.t / Ts + near, u, N), _averaged(raw.t / Ts + 0.5, y, N)
    grid = Ts * np.arange(N, dtype=np.float64)
    if method == "hold":
        return _last(raw.t, u, grid, np.inf), _last(raw.t, y, grid, np.inf)
    return _last(raw.t, u, grid, 1.5 * Ts), np.column_stack(
        [_between(raw.t, column, grid, 1.5 * Ts) for column in y.T]
    )


def _averaged(place: Array, values: Array, N: int) -> Array:
    """Means of the rows whose `place` (in samples) falls into [k, k+1), (N, n)."""
    cell = np.floor(place + _EVEN).astype(np.intp)
    made = np.full((N, values.shape[1]), np.nan)
    for j, column in enumerate(values.T):
        known = np.isfinite(column) & (cell < N)
        counts = np.bincount(cell[known], minlength=N)
        sums = np.bincount(cell[known], weights=column[known], minlength=N)
        made[counts > 0, j] = sums[counts > 0] / counts[counts > 0]
    return made


def _last(t: Array, values: Array, grid: Array, reach: float) -> Array:
    """The last known value at or before each time of the grid, no older than `reach`."""
    made = np.full((len(grid), values.shape[1]), np.nan)
    for j, column in enumerate(values.T):
        known = np.isfinite(column)
        times, kept = t[known], column[known]
        index = np.searchsorted(times, grid + 1e-9 * max(1.0, float(t[-1])), side="right") - 1
        fresh = (index >= 0) & (grid - times[np.maximum(index, 0)] <= reach)
        made[fresh, j] = kept[index[fresh]]
    return made


def _between(t: Array, column: Array, grid: Array, reach: float) -> Array:
    """Linear between the known rows beside each time of the grid, where they lie no more than
    2·`reach` apart."""
    known = np.isfinite(column)
    times, kept = t[known], column[known]
    after = np.searchsorted(times, grid, side="left")
    inside = (after < len(times)) & (grid >= times[0])
    a, b = np.maximum(after - 1, 0), np.minimum(after, len(times) - 1)
    close = (times[b] - times[a] <= 2 * reach) | (times[b] == grid)
    return np.where(inside & close, np.interp(grid, times, kept), np.nan)


def _held(u: Array, longest: int) -> tuple[Array, int]:
    """Inputs with short gaps filled by their last value; how many samples that concerns."""
    made, touched = u.copy(), np.zeros(len(u), dtype=bool)
    for j in range(u.shape[1]):
        for a, b in _runs(np.isnan(u[:, j])):
            if a > 0 and b - a <= longest:
                made[a:b, j] = made[a - 1, j]
                touched[a:b] = True
    return made, int((touched & ~np.isnan(made).any(axis=1)).sum())


def _runs(mask: Any) -> list[tuple[int, int]]:
    """[first, last) of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _trimmed(y: Array, first: int, last: int) -> tuple[int, int]:
    """The run without the ends at which no output was measured."""
    measured = np.flatnonzero(~np.isnan(y[first:last]).all(axis=1))
    return (
        (first + int(measured[0]), first + int(measured[-1]) + 1)
        if measured.size
        else (first, first)
    )


def _despiked(y: Array, threshold: float) -> tuple[Array, list[int]]:
    """Hampel's filter: what lies further from the running median than `threshold` standard
    deviations is NaN."""
    made, counts = y.copy(), []
    for j in range(y.shape[1]):
        spikes = spikes_of(y[:, j], threshold)
        made[spikes, j] = np.nan
        counts.append(int(spikes.sum()))
    return made, counts


def spikes_of(column: Array, threshold: float) -> Array:
    """Which samples are spikes: beyond `threshold` standard deviations, by the median deviation of
    all, from the median of 11 around."""
    if len(column) < _HAMPEL:
        return np.zeros(len(column), dtype=bool)
    padded = np.pad(column, _HAMPEL // 2, mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, _HAMPEL)
    off = np.empty(len(column))
    for first in range(0, len(column), 100_000):  # a window's rows at a time
        part = views[first : first + 100_000]
        known = ~np.isnan(part).all(axis=1)
        middle = np.full(len(part), np.nan)
        middle[known] = np.nanmedian(part[known], axis=1)
        off[first : first + len(part)] = np.abs(column[first : first + len(part)] - middle)
    moving = off[off > 0]
    if not moving.size:
        return np.zeros(len(column), dtype=bool)
    return np.asarray(np.nan_to_num(off) > threshold * 1.4826 * float(np.nanmedian(moving)))


def _split(
    files: Sequence[Sequence[Record]], apart: Sequence[Sequence[Record]], log: LogOptions
) -> tuple[list[Record], list[Record], str]:
    """The records to train on and to validate on, and which part of the files the latter are; the
    end where they are files of their own."""
    if apart:
        return (
            [r for records in files for r in records],
            [r for records in apart for r in records],
            "end",
        )
    total = sum(len(r.u) for records in files for r in records)
    share = log.validation or (_SHARE if total >= _SMALL else _SMALL_SHARE)

    def cut(part: str) -> tuple[list[Record], list[Record]]:
        return _cut(files, share, part, log.min_samples)

    part = _suggested(cut) if log.validation_part == "auto" else log.validation_part
    return *cut(part), part


def _cut(
    files: Sequence[Sequence[Record]], share: float, part: str, min_samples: int
) -> tuple[list[Record], list[Record]]:
    """Of every file's samples all but a `share`, and that share: a `part` of it. A record that lies
    across is cut."""
    kept, held = list[Record](), list[Record]()
    for records in files:
        edges = np.concatenate([[0], np.cumsum([len(r.u) for r in records])])
        begin = {"end": 1 - share, "start": 0.0, "middle": (1 - share) / 2}[part]
        bounds = np.rint(np.array([0, begin, begin + share, 1]) * edges[-1])
        for record, (first, last) in zip(records, pairwise(edges), strict=True):
            cuts = (np.clip(bounds, first, last) - first).astype(int)
            for side, (a, b) in zip((kept, held, kept), pairwise(cuts), strict=True):
                if b - a >= min_samples:
                    side.append(Record(record.name, record.u[a:b], record.y[a:b]))
    return kept, held


def _suggested(cut: Callable[[str], tuple[list[Record], list[Record]]]) -> str:
    """The end, unless it leaves the range of the rest: then the part that does so least."""
    outside = {}
    for part in PARTS[1:]:
        training, validation = cut(part)
        shares = _outside(training, validation) if training and validation else np.ones(1)
        if part == "end" and shares.max() <= _OUTSIDE:
            return part
        outside[part] = float(shares.sum())
    return min(outside, key=lambda part: outside[part])


def _outside(training: Sequence[Record], validation: Sequence[Record]) -> Array:
    """The share of the validation samples that lie outside the range in training, signal by signal,
    (nu + ny,)."""
    shown, asked = (
        np.vstack([np.hstack([r.u, r.y]) for r in records]) for records in (training, validation)
    )
    low, high = np.fmin.reduce(shown), np.fmax.reduce(shown)
    slack = _SLACK * (high - low)
    return np.asarray(((asked < low - slack) | (asked > high + slack)).mean(axis=0))


def _beyond(
    signals: Sequence[Signal], training: Sequence[Record], validation: Sequence[Record]
) -> list[str]:
    """Where a model will be asked for what it has never seen."""
    return [
        f"{signal.name} is outside its range in training in {100 * share:.0f} % of the validation"
        " samples: what a model says there is a guess; record longer, or validate on another part"
        for signal, share in zip(signals, _outside(training, validation), strict=True)
        if share > _OUTSIDE
    ]
