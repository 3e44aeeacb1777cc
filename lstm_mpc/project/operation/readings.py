"""What comes from the plant, and whether it counts: quality, type, age, heartbeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from math import inf, isfinite, nan
from typing import Any

import numpy as np

from lstm_mpc.plants.system import Array


class Quality(IntEnum):
    """The severity of a status code."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


@dataclass(frozen=True)
class Reading:
    """A value as a server gives it, of any type: its `quality` with the name of its status, and the
    stamps of its source and of the server [s since 1970], None where there are none."""

    value: Any = None
    quality: Quality = Quality.BAD
    status: str = "no value"
    source: float | None = None
    server: float | None = None


@dataclass(frozen=True)
class Snapshot:
    """All that was read in one sample, tag -> reading; `lost` says why where nothing was."""

    readings: Mapping[str, Reading] = field(default_factory=dict)
    lost: str = ""

    def of(self, tag: str) -> Reading:
        """The reading of a tag; one without a value where it was not read."""
        return self.readings.get(tag, Reading(status=self.lost or "not read"))


def number(value: Any) -> float:
    """A finite real number, NaN for anything else."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return nan
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return nan
    return found if isfinite(found) else nan


def numbers(values: Any) -> Array:
    """Whatever it is as a row of finite real numbers, NaN where it holds none."""
    return np.array([number(v) for v in np.ravel(np.asarray(values, dtype=object))])


@dataclass
class Watch:
    """Judges one tag sample after sample. `max_age` [s]: how old a stamp may be; 0: stamps do not
    count. `frozen_after`: so many equal values in a row are a frozen one; 0: never.

    Ages are counted by the monotonic clock since a stamp was first seen, so that no clock that
    steps, here or there, makes an old value new."""

    max_age: float = 0.0
    frozen_after: int = 0
    low: float = -inf
    high: float = inf
    _stamp: float | None = None
    _since: float = -inf
    _last: float = nan
    _equal: int = 0

    def judge(self, reading: Reading, now: float) -> tuple[float, str]:
        """The value, NaN where it does not count, and why it does not.

        Args:
            reading: What was read.
            now: Monotonic time [s].
        """
        value = number(reading.value)
        self._equal = self._equal + 1 if value == self._last else 0
        self._last = value
        reason = self._stale(reading, now)
        if reading.quality != Quality.GOOD:
            reason = reading.status or reading.quality.name
        elif value != value:
            reason = f"{reading.value!r:.40} is no finite number"
        elif not self.low <= value <= self.high:
            reason = f"{value:.6g} is outside [{self.low:.6g}, {self.high:.6g}]"
        elif 0 < self.frozen_after <= self._equal:
            reason = f"frozen at {value:.6g} for {self._equal} samples"
        return (nan, reason) if reason else (value, "")

    def _stale(self, reading: Reading, now: float) -> str:
        if self.max_age <= 0:
            return ""
        if reading.source is None or not isfinite(reading.source):
            return "it has no source time stamp"
        if reading.source != self._stamp:
            old = 0.0 if reading.server is None else reading.server - reading.source
            self._stamp, self._since = reading.source, now - max(old, 0.0)
        age = now - self._since
        return f"{age:.3g} s old" if age > self.max_age else ""


@dataclass
class Heartbeat:
    """A counter of the other side: it must change within `samples` samples (0: never asked)."""

    samples: int
    _last: Any = None
    _still: int = 0

    def alive(self, reading: Reading) -> bool:
        """Has it moved lately?"""
        if not self.samples:
            return True
        moved = reading.quality == Quality.GOOD and reading.value != self._last
        self._still = 0 if moved else self._still + 1
        if moved:
            self._last = reading.value
        return self._still < self.samples
