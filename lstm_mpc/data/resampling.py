"""From the rows of a log to an even grid: means, values held or interpolated, gaps and spikes.

y[k] is the output at t_k, before u[k] acts, which holds until t_{k+1}. So where several rows fall
into a sample, an output is their mean around t_k and an input their mean from t_k on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_mpc.data.log_reader import Raw
from lstm_mpc.data.logs.numbers import Mask
from lstm_mpc.errors import DataError
from lstm_mpc.plants.system import Array

_EVEN = 0.01  # stamps this close to the grid, as a share of Ts, lie on it
_KEPT = 0.25  # and within this share of it they keep to it, whatever their jitter
_LARGEST = 50_000_000  # samples of a grid
_HAMPEL = 11  # samples of the running median that tells spikes
_SPARSE = 0.2  # share of empty cells of an input that is recorded on change only
_REGULAR = 0.05  # deviation of the intervals, as a share, of a slow sensor that is read regularly
_STEPS = (1.0, 2.0, 5.0, 10.0)  # of a grid for stamps that have none, times a power of ten
RESAMPLING = ("auto", "none", "mean", "linear", "hold")


@dataclass(frozen=True)
class Grid:
    """The signals of one log at k·Ts.

    Attributes:
        u: Inputs, (N, nu), NaN where nothing is known.
        y: Outputs, (N, ny), NaN where not measured.
        counts: Which samples count, (N,).
        story: What was done, in sentences.
    """

    u: Array
    y: Array
    counts: Mask
    story: tuple[str, ...]


def typical_step(raw: Raw, nu: int) -> float:
    """The step [s] of a grid for a log whose first `nu` columns are inputs.

    It is the median step between stamps or, where they keep to one step, that step as round as they
    permit; of a log that notes changes only, the interval of the signal that is noted most often,
    rounded where that is irregular.
    """
    steps = np.diff(raw.t)
    if not (steps > 0).any():
        raise DataError("every row has the same time stamp", file=raw.file)
    if sparse_inputs(raw, nu):
        noted = _noted(raw).T
        intervals = {j: np.median(np.diff(raw.t[k])) for j, k in enumerate(noted) if k.sum() > 1}
        j = min(intervals, key=lambda j: intervals[j])
        shortest = float(f"{intervals[j]:.6g}")
        return shortest if _regular(raw, j) else _round_step(shortest)
    step = float(f"{np.median(steps[steps > 0]):.6g}")
    alike = steps[np.abs(steps - step) < 0.5 * step]
    count = max(1.0, np.rint(raw.t[-1] / alike.mean()))
    mean = float(raw.t[-1] / count)
    off = float(np.abs(raw.t - mean * np.rint(raw.t / mean)).max())
    if abs(mean - step) < 0.01 * step and off < _KEPT * mean:
        return _roundest(mean, max(2.0 * off / count, 1e-9 * mean))
    return step


def _roundest(value: float, within: float) -> float:
    """The number of the fewest digits that is so near."""
    tries = (float(f"{value:.{digits}g}") for digits in range(1, 12))
    return next((number for number in tries if abs(number - value) <= within), value)


def _round_step(step: float) -> float:
    power = 10.0 ** np.floor(np.log10(step))
    return float(f"{power * max(s for s in _STEPS if s <= step / power * (1 + 1e-9)):.6g}")


def _noted(raw: Raw) -> Mask:
    """Where something stood, be it a word, (N, n)."""
    return np.asarray(np.isfinite(raw.values) | raw.void)


def sparse_inputs(raw: Raw, nu: int) -> bool:
    """Does an input stand in part of the rows only, as where changes alone are noted?"""
    return bool((~_noted(raw)[:, :nu]).mean(axis=0).max(initial=0.0) > _SPARSE)


def _regular(raw: Raw, j: int) -> bool:
    """Is a column noted at regular intervals?"""
    intervals = np.diff(raw.t[_noted(raw)[:, j]])
    return bool(intervals.size > 1 and intervals.std() <= _REGULAR * intervals.mean())


def resample(raw: Raw, asked: str, Ts: float, nu: int) -> Grid:
    """The signals of a log at k·Ts, of which the first `nu` are inputs.

    DataError where rows are asked to lie on the grid and do not, or the grid would be too large.
    """
    N = int(np.floor(raw.t[-1] / Ts + _EVEN)) + 1
    if N > _LARGEST:
        problem = f"would be {N} samples of {Ts:g} s; give a larger Ts, or split the file"
        raise DataError(problem, file=raw.file)
    method, why = _method(raw, asked, Ts, nu)
    story = [f"resampling to {Ts:g} s: {method} ({why})"]
    u, y = _gridded(raw, method, Ts, nu, N)
    if method == "hold" and asked == "auto":
        for j in range(nu, raw.values.shape[1]):
            if _regular(raw, j):  # a slow sensor, whose last value grows old
                y[:, j - nu] = _averaged(raw.t / Ts + 0.5, raw.values[:, j : j + 1], N)[:, 0]
    return Grid(u, y, _counting(raw, method, Ts, N), tuple(story))


def _counting(raw: Raw, method: str, Ts: float, N: int) -> Mask:
    """Which samples of the grid count: those with no row in them, or in force, that does not."""
    if raw.counts.all():
        return np.ones(N, dtype=bool)
    off = (~raw.counts).astype(np.float64)[:, None]
    within = np.nan_to_num(_averaged(raw.t / Ts + 0.5, off, N)[:, 0]) > 0
    in_force = _last(raw.t, off, Ts * np.arange(N, dtype=np.float64), np.inf)[:, 0] > 0
    return np.asarray(~(within | in_force))


def _method(raw: Raw, asked: str, Ts: float, nu: int) -> tuple[str, str]:
    """How to resample, and why."""
    steps = np.diff(raw.t)
    off = np.abs(raw.t / Ts - np.rint(raw.t / Ts))
    on_grid = off.max() <= _EVEN and (steps > 0.5 * Ts).all()
    if asked == "auto" and sparse_inputs(raw, nu):
        return "hold", "an input is noted in part of the rows only, so a value holds until the next"
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
    if on_grid or (off.max() <= _EVEN and ((steps == 0) | (steps > 0.5 * Ts)).all()):
        return "none", "the rows lie on the grid"
    if np.median(steps) < 0.75 * Ts:
        return "mean", f"the typical step is {np.median(steps):g} s"
    return "linear", f"steps from {steps.min():g} to {np.quantile(steps, 0.99):g} s"


def _gridded(raw: Raw, method: str, Ts: float, nu: int, N: int) -> tuple[Array, Array]:
    """Inputs (N, nu) and outputs (N, ny) at k·Ts, NaN where nothing is known."""
    u, y = raw.values[:, :nu], raw.values[:, nu:]
    if method in ("none", "mean"):
        near = 0.5 if method == "none" else 0.0
        return _averaged(raw.t / Ts + near, u, N), _averaged(raw.t / Ts + 0.5, y, N)
    grid = Ts * np.arange(N, dtype=np.float64)
    if method == "hold":
        noted = _noted(raw)
        return (
            _last(raw.t, u, grid, np.inf, noted[:, :nu]),
            _last(raw.t, y, grid, np.inf, noted[:, nu:]),
        )
    return _last(raw.t, u, grid, 1.5 * Ts, _noted(raw)[:, :nu]), np.column_stack(
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


def _last(t: Array, values: Array, grid: Array, reach: float, noted: Mask | None = None) -> Array:
    """The last value that was `noted` at or before each time of the grid, no older than `reach`; a
    word ends what was known."""
    result = np.full((len(grid), values.shape[1]), np.nan)
    for j, column in enumerate(values.T):
        stands = np.isfinite(column) if noted is None else noted[:, j]
        times, kept = t[stands], column[stands]
        if not len(times):
            continue
        index = np.searchsorted(times, grid + 1e-9 * max(1.0, float(t[-1])), side="right") - 1
        fresh = (index >= 0) & (grid - times[np.maximum(index, 0)] <= reach)
        result[fresh, j] = kept[index[fresh]]
    return result


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


def held(u: Array, longest: int) -> tuple[Array, int]:
    """Inputs with short gaps filled by their last value; how many samples that concerns."""
    made, touched = u.copy(), np.zeros(len(u), dtype=bool)
    for j in range(u.shape[1]):
        for a, b in runs_of(np.isnan(u[:, j])):
            if a > 0 and b - a <= longest:
                made[a:b, j] = made[a - 1, j]
                touched[a:b] = True
    return made, int((touched & ~np.isnan(made).any(axis=1)).sum())


def runs_of(mask: Any) -> list[tuple[int, int]]:
    """[first, last) of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def trimmed(y: Array, first: int, last: int) -> tuple[int, int]:
    """The run without the ends at which no output was measured."""
    measured = np.flatnonzero(~np.isnan(y[first:last]).all(axis=1))
    return (
        (first + int(measured[0]), first + int(measured[-1]) + 1)
        if measured.size
        else (first, first)
    )


def despiked(y: Array, threshold: float) -> tuple[Array, list[int]]:
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
