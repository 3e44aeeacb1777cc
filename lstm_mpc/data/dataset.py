"""Identification data in engineering units: records, scalings and fit indices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.display import Displayed, draw
from lstm_mpc.io.tables.data_frame import column_of, sampling_time
from lstm_mpc.plants.names import checked_name
from lstm_mpc.plants.system import Array, Signal, frozen_array


@dataclass(frozen=True, repr=False)
class Record(Displayed):
    """One uninterrupted experiment, by its `name`.

    It has inputs `u` (N, nu), measured outputs `y` (N, ny), and where known the noise-free `truth`
    (N, ny) [engineering].

    NaN in `y` is a sample that was not measured: it counts nowhere.
    """

    name: str
    u: Array
    y: Array
    truth: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", checked_name(self.name, "record"))
        for field in ("u", "y") + (("truth",) if self.truth is not None else ()):
            values = frozen_array(
                getattr(self, field), 2, f"record {self.name!r}: {field}", missing=field == "y"
            )
            object.__setattr__(self, field, values)
        if (
            len(self.u) != len(self.y)
            or len(self.y) < 2
            or (self.truth is not None and self.truth.shape != self.y.shape)
        ):
            raise InputError(
                f"record {self.name!r}: u {self.u.shape} and y {self.y.shape} must have as many"
                " samples, at least 2"
            )

    def _facts(self) -> dict[str, Any]:
        (samples, nu), ny = self.u.shape, self.y.shape[1]
        return {"name": self.name, "samples": samples, "inputs": nu, "outputs": ny}


@dataclass(frozen=True, repr=False)
class Dataset(Displayed):
    """Records of one plant, sampled every `Ts` [s], in the units of the signals.

    `records` are uninterrupted experiments; their columns are those of `inputs` and `outputs`.
    """

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
                    f"record {record.name!r}: {record.u.shape[1]} inputs and {record.y.shape[1]}"
                    f" outputs, the signals declare {len(self.inputs)} and {len(self.outputs)}"
                )

    @property
    def samples(self) -> int:
        return sum(len(record.u) for record in self.records)

    @property
    def digest(self) -> str:
        """SHA-256 over signals, Ts and every sample."""
        signals = [[s.name, s.unit] for s in self.inputs + self.outputs]
        return artefact_file.digest(
            [signals, self.Ts, [[r.u, artefact_file.gapped(r.y)] for r in self.records]]
        )

    @property
    def missing(self) -> int:
        """Output values that were not measured."""
        return sum(int(np.isnan(record.y).sum()) for record in self.records)

    def plot(self, *, kept: int = 0) -> Any:
        """Draw outputs and inputs of every record.

        Args:
            kept: How many of the last records, those for validation, stand on grey.

        Returns:
            A matplotlib figure.
        """
        return draw(self, kept=kept)

    def _facts(self) -> dict[str, Any]:
        return {
            "inputs": ", ".join(s.name for s in self.inputs),
            "outputs": ", ".join(s.name for s in self.outputs),
            "Ts": self.Ts,
            "records": len(self.records),
            "samples": self.samples,
            "missing": self.missing,
        }

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        inputs: Mapping[str, str | Signal],
        outputs: Mapping[str, str | Signal],
        *,
        limits: Mapping[str, tuple[float, float]] | None = None,
        time: str | None = None,
        Ts: float | None = None,
        name: str = "record",
    ) -> Dataset:
        """One record from a data frame of pandas, polars or the like.

        Args:
            frame: One column per signal, time down the rows.
            inputs: Column -> unit, or the signal itself, of what is manipulated.
            outputs: Column -> unit, or the signal itself, of what is measured; NaN counts nowhere.
            limits: Column -> (low, high) [its unit]: what an actuator can do, or the range of a
                sensor; by default inputs are taken to reach as far as in the data.
            time: The column of stamps, dates or seconds; by default the index or the one column of
                dates.
            Ts: The sampling time [s], where there are no stamps.
            name: Of the record.

        Returns:
            The data, in the units of their columns.

        Raises:
            InputError: A column is missing or holds no numbers, the stamps are uneven, or an input
                never moves and has no limits.
        """
        given = dict(limits or {})
        if unknown := set(given) - {*inputs, *outputs}:
            raise InputError(f"from_frame: limits of {min(unknown)!r}, which is no signal")
        if both := set(inputs) & set(outputs):
            raise InputError(f"from_frame: {min(both)!r} is an input and an output; choose one")
        u, y = (
            np.column_stack([column_of(frame, column) for column in signals])
            for signals in (inputs, outputs)
        )
        if np.isnan(u).any():
            k, j = (int(place[0]) for place in np.nonzero(np.isnan(u)))
            raise InputError(
                f"from_frame: input {list(inputs)[j]!r} is missing in row {k}; fill it first, as"
                " the plant received something there"
            )
        for column, values in zip(inputs, u.T, strict=True):
            if isinstance(inputs[column], str) and column not in given:
                if np.ptp(values) == 0:
                    raise InputError(
                        f"from_frame: input {column!r} never moves; give its limits=… or leave it"
                        " out"
                    )
                given[column] = (float(values.min()), float(values.max()))
        u_signals, y_signals = (
            tuple(
                unit if isinstance(unit, Signal) else Signal(column, unit, *given.get(column, ()))
                for column, unit in signals.items()
            )
            for signals in (inputs, outputs)
        )
        return cls(u_signals, y_signals, sampling_time(frame, time, Ts), (Record(name, u, y),))

    def split(self, share: float = 0.25) -> tuple[Dataset, Dataset]:
        """The first part of every record, and the last.

        Args:
            share: The share of each record that goes to the second set, in (0, 1).

        Returns:
            Data to train on, and data to validate on.

        Raises:
            InputError: The share is none, or a record is too short for two parts.
        """
        if not 0 < share < 1:
            raise InputError(f"split: the share must lie between 0 and 1, got {share}")
        parts: tuple[list[Record], list[Record]] = ([], [])
        for item in self.records:
            at = len(item.u) - round(share * len(item.u))
            if not 2 <= at <= len(item.u) - 2:
                raise InputError(
                    f"split: record {item.name!r} of {len(item.u)} samples is too short for a"
                    f" share of {share:g}; both parts need 2 samples"
                )
            for part, rows in zip(parts, (slice(at), slice(at, None)), strict=True):
                truth = None if item.truth is None else item.truth[rows]
                part.append(Record(item.name, item.u[rows], item.y[rows], truth))
        return replace(self, records=tuple(parts[0])), replace(self, records=tuple(parts[1]))

    def clipped(self) -> Dataset:
        """The same data with inputs clipped to the actuator limits: noise on a recorded input
        cannot have reached the plant."""
        low, high = (np.array([getattr(s, side) for s in self.inputs]) for side in ("low", "high"))
        records = tuple(Record(r.name, np.clip(r.u, low, high), r.y, r.truth) for r in self.records)
        return Dataset(self.inputs, self.outputs, self.Ts, records)


def thin(dataset: Dataset, *, samples: int, window: int = 1000) -> Dataset:
    """Keep the windows of a data set in which the inputs move most.

    Every window is judged by the standard deviation of its inputs, each as a share of that of the
    whole.

    Args:
        dataset: The data.
        samples: At most so many are kept.
        window: How many samples a window has.

    Returns:
        The windows as records of their own; the data as they are, where they are few enough.

    Raises:
        InputError: There is no room for one window, or no record is as long as one.
    """
    if samples < window or window < 2:
        raise InputError(
            f"data: samples must be at least one window of {window}, and that at least 2 samples,"
            f" got {samples}"
        )
    if dataset.samples <= samples:
        return dataset
    spread = np.vstack([r.u for r in dataset.records]).std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    places = [
        (n, first)
        for n, r in enumerate(dataset.records)
        for first in range(0, len(r.u) - window + 1, window)
    ]
    moved = [
        float((dataset.records[n].u[first : first + window].std(axis=0) / scale).sum())
        for n, first in places
    ]
    best = sorted(sorted(range(len(places)), key=lambda k: -moved[k])[: samples // window])
    records = []
    for n, first in (places[k] for k in best):
        r, part = dataset.records[n], slice(first, first + window)
        records.append(
            Record(
                f"{r.name}@{first}",
                r.u[part],
                r.y[part],
                None if r.truth is None else r.truth[part],
            )
        )
    if not records:
        raise InputError(
            f"data: no record is as long as a window of {window} samples; give shorter windows"
        )
    return Dataset(dataset.inputs, dataset.outputs, dataset.Ts, tuple(records))
