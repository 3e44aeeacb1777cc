"""Identification data in engineering units: records, CSV files, scalings and fit indices."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc import store
from lstm_mpc.errors import DataError, InputError
from lstm_mpc.excitation import InputClass
from lstm_mpc.system import Array, Signal, System, frozen_array, simulate

TIME = "t [s]"
TRUTH = " noise-free"  # suffix of the columns that only a simulated plant can fill
_LIMIT = 2**30  # [bytes] of a file: more than a hundred channels for a million samples
_EVEN = 1e-6  # time stamps may deviate from the grid by this share of Ts (rounding in the file)


@dataclass(frozen=True)
class Record:
    """One uninterrupted experiment: inputs `u` (N, nu), measured outputs `y` (N, ny), and where known the noise-free `truth` (N, ny)."""

    name: str
    u: Array
    y: Array
    truth: Array | None = None

    def __post_init__(self) -> None:
        for field in ("u", "y") + (("truth",) if self.truth is not None else ()):
            object.__setattr__(self, field, frozen_array(getattr(self, field), 2, f"record {self.name!r}: {field}"))
        if len(self.u) != len(self.y) or len(self.y) < 2 or (self.truth is not None and self.truth.shape != self.y.shape):
            raise InputError(f"record {self.name!r}: u {self.u.shape} and y {self.y.shape} must have as many samples, at least 2")


@dataclass(frozen=True)
class Dataset:
    """Records of one plant, sampled every `Ts` [s], in the units of the signals."""

    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    Ts: float
    records: tuple[Record, ...]

    def __post_init__(self) -> None:
        if not self.records:
            raise InputError("a data set needs at least one record")
        for record in self.records:
            if record.u.shape[1] != len(self.inputs) or record.y.shape[1] != len(self.outputs):
                raise InputError(
                    f"record {record.name!r}: {record.u.shape[1]} inputs and {record.y.shape[1]} outputs, "
                    f"the signals declare {len(self.inputs)} and {len(self.outputs)}"
                )

    @property
    def samples(self) -> int:
        return sum(len(record.u) for record in self.records)

    @property
    def digest(self) -> str:
        """SHA-256 over signals, Ts and every sample."""
        signals = [[s.name, s.unit] for s in self.inputs + self.outputs]
        return store.digest([signals, self.Ts, [[r.u, r.y] for r in self.records]])

    def clipped(self) -> Dataset:
        """The same data with inputs clipped to the actuator limits: noise on a recorded input cannot have reached the plant."""
        low, high = (np.array([getattr(s, side) for s in self.inputs]) for side in ("low", "high"))
        records = tuple(Record(r.name, np.clip(r.u, low, high), r.y, r.truth) for r in self.records)
        return Dataset(self.inputs, self.outputs, self.Ts, records)


def record(
    system: System,
    excitation: InputClass,
    *,
    steps: int,
    input_noise: float = 0.0,
    output_noise: float = 0.0,
    resolution: float = 0.0,
    seed: int = 0,
    name: str = "record",
) -> Record:
    """Run an experiment on a simulated plant from its nominal start.

    The plant receives the drawn input; white noise of variance `input_noise` [input unit²] and `output_noise` [output unit²]
    is added to what is recorded (Section 4 of the paper), which is then rounded to `resolution` [unit] (0: not at all). The
    same seed gives the same record.
    """
    if min(input_noise, output_noise) < 0:
        raise InputError(f"noise variances must not be negative, got {input_noise} and {output_noise}")
    rng = np.random.default_rng(seed)
    u = excitation.draw(rng, steps, system.Ts).signal(steps)
    run = simulate(system, u)
    seen_u = run.u + np.sqrt(input_noise) * rng.standard_normal(run.u.shape)
    seen_y = run.y + np.sqrt(output_noise) * rng.standard_normal(run.y.shape)
    return Record(name, *(_recorded(values, resolution) for values in (seen_u, seen_y, run.y)))


def _recorded(values: Array, resolution: float) -> Array:
    """`values` as a recorder keeps them; division by the inverse gives the shortest decimals."""
    return values if resolution == 0 else np.rint(values * (1.0 / resolution)) / (1.0 / resolution)


# -- CSV --------------------------------------------------------------------------------------------------------------


def write_csv(path: str | Path, dataset: Dataset) -> None:
    """Write a one-record data set: time, inputs, outputs and, where known, noise-free outputs, with units in the header."""
    if len(dataset.records) != 1:
        raise InputError(f"{path}: one file holds one record, got {len(dataset.records)}")
    item = dataset.records[0]
    header = [TIME, *(s.label for s in dataset.inputs), *(s.label for s in dataset.outputs)]
    columns = [np.arange(len(item.u))[:, None] * dataset.Ts, item.u, item.y]
    if item.truth is not None:
        header += [f"{s.name}{TRUTH} [{s.unit}]" for s in dataset.outputs]
        columns.append(item.truth)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([repr(v) for v in row] for row in np.hstack(columns).tolist())
    store.write_text(path, text.getvalue())


def read_csv(paths: str | Path | Sequence[str | Path], inputs: Sequence[Signal], outputs: Sequence[Signal]) -> Dataset:
    """Read one record per file. The header must hold `t [s]` and every signal as `name [unit]`; other columns are ignored.

    DataError names the file, the row and the remedy for a missing column or unit, text or NaN, a gap, uneven time stamps,
    or files of different sampling time.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not paths:
        raise InputError("read_csv needs at least one file")
    inputs, outputs = tuple(inputs), tuple(outputs)
    tables = [_read_table(Path(path), inputs, outputs) for path in paths]
    Ts = tables[0][0]
    for path, (own, _) in zip(paths, tables, strict=True):
        if abs(own - Ts) > _EVEN * Ts:
            raise DataError(f"is sampled every {own:g} s, {paths[0]} every {Ts:g} s; resample one of them", file=path)
    return Dataset(inputs, outputs, Ts, tuple(item for _, item in tables))


def _read_table(path: Path, inputs: tuple[Signal, ...], outputs: tuple[Signal, ...]) -> tuple[float, Record]:
    try:
        text = store.read_bytes(path, limit=_LIMIT).decode("utf-8-sig")
        reader = csv.reader(text.splitlines())
        rows = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"is not a CSV text file ({error})", file=path) from error
    if len(rows) < 3:
        raise DataError("holds fewer than two samples", file=path)
    header = [cell.strip() for cell in rows[0][1]]
    wanted = [TIME, *(s.label for s in inputs + outputs)]
    truth = [f"{s.name}{TRUTH} [{s.unit}]" for s in outputs]
    wanted += truth if all(label in header for label in truth) else []
    for label in wanted:
        if header.count(label) != 1:
            problem = "has two columns" if label in header else "has no column"
            raise DataError(f"{problem} {label!r} (found {', '.join(header):.200}); write the header as 'name [unit]'", file=path, row=1)
    table = _numbers(path, rows, [header.index(label) for label in wanted])
    nu, ny = len(inputs), len(outputs)
    Ts = _even_time(path, table[:, 0], [line for line, _ in rows[1:]])
    clean = table[:, 1 + nu + ny :] if len(wanted) > 1 + nu + ny else None
    return Ts, Record(path.stem, table[:, 1 : 1 + nu], table[:, 1 + nu : 1 + nu + ny], clean)


def _numbers(path: Path, rows: list[tuple[int, list[str]]], columns: list[int]) -> Array:
    header = rows[0][1]
    table = np.empty((len(rows) - 1, len(columns)))
    for place, (number, row) in enumerate(rows[1:]):
        if len(row) != len(header):
            raise DataError(f"has {len(row)} cells, the header has {len(header)}; complete or remove the row", file=path, row=number)
        for j, column in enumerate(columns):
            try:
                value = float(row[column])
            except ValueError:
                value = float("nan")
            if not isfinite(value):
                what = f"{header[column].strip()!r} is {row[column]!r:.40}, not a finite number"
                raise DataError(f"{what}; split the record there or repair the value", file=path, row=number)
            table[place, j] = value
    return table


def _even_time(path: Path, t: Array, lines: list[int]) -> float:
    gaps = np.diff(t)
    Ts = float(f"{np.median(gaps):.9g}")  # free of the round-off in the stamps
    if not Ts > 0:
        raise DataError(f"time must rise, but its typical step is {Ts:g} s", file=path, row=lines[0])
    for k in np.flatnonzero(np.abs(t - t[0] - Ts * np.arange(len(t))) > _EVEN * Ts * np.sqrt(len(t))):
        if gaps[k - 1] > 1.5 * Ts:
            problem = f"a gap: {gaps[k - 1]:g} s since the row before, {Ts:g} s elsewhere; split the file there into two records"
        else:
            problem = f"uneven time: {gaps[k - 1]:g} s since the row before, {Ts:g} s elsewhere; resample to a fixed step"
        raise DataError(problem, file=path, row=lines[int(k)])
    return Ts


# -- scaling ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scaling:
    """Normalised = (engineering − mid) / span, per signal; `radius` is the largest |normalised input| the limits allow."""

    u_mid: Array
    u_span: Array
    y_mid: Array
    y_span: Array
    radius: float = 1.0

    def __post_init__(self) -> None:
        for name in ("u_mid", "u_span", "y_mid", "y_span"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), 1, f"scaling {name}"))
        if min((*self.u_span, *self.y_span), default=0.0) <= 0 or not (self.radius > 0 and isfinite(self.radius)):
            raise InputError(
                f"scaling: spans {self.u_span.tolist()!r:.80}, {self.y_span.tolist()!r:.80} and radius {self.radius} must be positive"
            )

    def u_in(self, u: ArrayLike) -> Array:
        return (np.asarray(u, dtype=np.float64) - self.u_mid) / self.u_span

    def u_out(self, u: ArrayLike) -> Array:
        return self.u_mid + self.u_span * np.asarray(u, dtype=np.float64)

    def y_in(self, y: ArrayLike) -> Array:
        return (np.asarray(y, dtype=np.float64) - self.y_mid) / self.y_span

    def y_out(self, y: ArrayLike) -> Array:
        return self.y_mid + self.y_span * np.asarray(y, dtype=np.float64)


def scale(dataset: Dataset, *, rule: str = "limits") -> Scaling:
    """The scaling of a data set.

    rule "limits": inputs by their actuator limits, so that the clipped input fills [−1, 1] and radius is 1; outputs by mean and
    maximum deviation. Rule "paper": mean and maximum deviation for both (Section 4); radius then states how far the
    actuator limits reach in those units, since inputs are clipped to the limits and not to the data.
    """
    u, y = (np.vstack([getattr(r, which) for r in dataset.records]) for which in ("u", "y"))
    y_mid, y_span = _mean_and_deviation(y, dataset.outputs)
    low, high = (np.array([getattr(s, side) for s in dataset.inputs]) for side in ("low", "high"))
    if not np.isfinite([low, high]).all():
        open_ended = [s.name for s in dataset.inputs if not s.bounded]
        raise InputError(f"input {open_ended[0]!r} has no actuator limits; the guarantees need low and high")
    if rule == "limits":
        return Scaling((low + high) / 2, (high - low) / 2, y_mid, y_span)
    if rule == "paper":
        u_mid, u_span = _mean_and_deviation(u, dataset.inputs)
        return Scaling(u_mid, u_span, y_mid, y_span, float(np.max(np.maximum(high - u_mid, u_mid - low) / u_span)))
    raise InputError(f"unknown scaling rule {rule!r}; use 'limits' or 'paper'")


def _mean_and_deviation(values: Array, signals: tuple[Signal, ...]) -> tuple[Array, Array]:
    mean = values.mean(axis=0)
    span = np.abs(values - mean).max(axis=0)
    for signal, width in zip(signals, span, strict=True):
        if width <= 1e-12 * max(1.0, float(np.abs(values).max())):
            raise InputError(f"signal {signal.name!r} never moves in the data; nothing can be identified from it")
    return mean, span


# -- fit --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """How well a simulation matches, always all figures together, one entry per output.

    `normalised` and `engineering` are eq. (12) [%] on data in those units (a constant offset flatters the latter);
    `mean_removed` [%] divides by the deviation from the mean; `rmse` is in the output's unit. `against` says whether the
    reference is the measured or the noise-free output, `skipped` how many first samples were left out.
    """

    normalised: tuple[float, ...]
    engineering: tuple[float, ...]
    mean_removed: tuple[float, ...]
    rmse: tuple[float, ...]
    units: tuple[str, ...]
    against: str
    skipped: int

    def describe(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __str__(self) -> str:
        parts = [
            f"FIT (12) {n:.2f} % normalised ({e:.2f} % in {unit}), mean-removed {m:.2f} %, RMSE {r:.4g} {unit}"
            for n, e, m, r, unit in zip(self.normalised, self.engineering, self.mean_removed, self.rmse, self.units, strict=True)
        ]
        return "; ".join(parts) + f" against the {self.against} output"


def fit_index(
    y: ArrayLike, estimate: ArrayLike, *, scaling: Scaling, units: Sequence[str], against: str = "measured", skip: int = 0
) -> Fit:
    """Eq. (12), its mean-removed form and the RMSE of `estimate` against `y`, both (N, ny) in engineering units."""
    y, estimate = np.asarray(y)[skip:], np.asarray(estimate)[skip:]
    if y.shape != estimate.shape or y.ndim != 2 or len(y) < 2:
        shapes = f"{y.shape} and {estimate.shape} after skipping {skip}"
        raise InputError(f"fit_index needs two (N, ny) arrays of one shape with at least 2 samples left, got {shapes}")

    if np.ptp(y, axis=0).min() == 0:
        raise InputError("fit_index: an output never moves in the reference, so that no fit to it is defined")

    def percent(error: Array, reference: Array) -> tuple[float, ...]:
        return tuple((100 * (1 - np.linalg.norm(error, axis=0) / np.linalg.norm(reference, axis=0))).tolist())

    error = y - estimate
    return Fit(
        normalised=percent(error / scaling.y_span, scaling.y_in(y)),
        engineering=percent(error, y),
        mean_removed=percent(error, y - y.mean(axis=0)),
        rmse=tuple(np.sqrt((error**2).mean(axis=0)).tolist()),
        units=tuple(units),
        against=against,
        skipped=skip,
    )
