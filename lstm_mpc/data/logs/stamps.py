"""Time stamps as seconds: dates and times of day, counters, epochs, days of a spreadsheet.

A date whose order of day and month is in doubt is settled by the whole column, or refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from lstm_mpc.data.logs.dates import CLOCKS, DATES, by_pattern, iso, moment, naive, readings
from lstm_mpc.data.logs.numbers import Style
from lstm_mpc.errors import DataError, InputError
from lstm_mpc.plants.system import Array

DAY = 86400.0
UNITS = {  # [s]
    "seconds": 1.0,
    "milliseconds": 1e-3,
    "microseconds": 1e-6,
    "nanoseconds": 1e-9,
    "minutes": 60.0,
    "hours": 3600.0,
    "days": DAY,
}
_SHORT = {
    "s": "seconds", "sec": "seconds", "secs": "seconds", "second": "seconds",
    "sekunden": "seconds", "ms": "milliseconds", "msec": "milliseconds", "us": "microseconds",
    "µs": "microseconds", "μs": "microseconds", "ns": "nanoseconds", "min": "minutes",
    "mins": "minutes", "minute": "minutes", "minuten": "minutes", "h": "hours", "hr": "hours",
    "hrs": "hours", "hour": "hours", "std": "hours", "stunden": "hours", "d": "days",
    "day": "days", "tage": "days",
}  # fmt: skip
EXCEL, MATLAB = 25569.0, 719529.0  # [days] 1970 as a spreadsheet and as MATLAB count them
_CENTURY = (  # (from, to) of 2000 to 2060, what then is counted, its unit [s]
    (9.46e8, 2.85e9, "seconds", 1.0),
    (9.46e11, 2.85e12, "milliseconds", 1e-3),
    (9.46e14, 2.85e15, "microseconds", 1e-6),
    (9.46e17, 2.85e18, "nanoseconds", 1e-9),
    (1.259e16, 1.45e16, "microseconds since 1601", 1e-6),
    (1.259e17, 1.45e17, "100 nanoseconds since 1601", 1e-7),
    (6.31e17, 6.51e17, "100 nanoseconds since the year 1", 1e-7),
)
_LARGEST = 2e10  # no counter of seconds goes so far
_DECADE = 3653 * DAY  # no log has such a gap
_OTHER_UNIT = 500.0  # times: steps that differ so much are counted in other units
_RATIOS = (24.0, 60.0, 1000.0, 1440.0, 3600.0, 60000.0, 86400.0)  # of one unit of time to another
_NEAR = 0.05  # share to which steps before and after a leap differ by such a ratio
_ALONE = 50.0  # times: no counter leaps so far beyond all else that it counts
_LEAP = 20 * DAY  # a wrong order of day and month makes leaps of weeks


@dataclass
class Stamps:
    """The stamps of one log, read piece by piece: `add` the cells, then ask for the `seconds`.

    `asked` is a word of `UNITS`, "excel", "matlab", "iso", a pattern of `strptime`, or "": then the
    kind is told from the stamps. `unit` is the unit that the header gives the column, `style` how
    numbers are written.
    """

    path: Path
    asked: str = ""
    unit: str = ""
    style: Style = field(default_factory=Style)
    kinds: dict[str, list[Array]] = field(default_factory=dict)
    origin: int = 0
    zoned: bool | None = None

    def __post_init__(self) -> None:
        check_format(self.asked)

    def add(self, cells: Sequence[str], rows: Array) -> None:
        """Read more stamps; DataError names the row of one that does not read as the others do."""
        if not self.kinds:
            self.kinds = {kind: [] for kind in self._candidates(cells, rows)}
        parts = {kind: self._seconds(cells, kind) for kind in self.kinds}
        good = [kind for kind, part in parts.items() if np.isfinite(part).all()]
        if not good:
            bad = {kind: int(np.argmin(np.isfinite(part))) for kind, part in parts.items()}
            kind = max(bad, key=lambda kind: bad[kind])
            cell, row = cells[bad[kind]], int(rows[bad[kind]])
            problem = f"the time stamp {cell!r:.60} does not read as {kind!r:.60}"
            remedy = "repair or remove the row, or split the file there"
            raise DataError(f"{problem} like those before; {remedy}", file=self.path, row=row)
        self.kinds = {kind: [*self.kinds[kind], parts[kind]] for kind in good}

    def seconds(self) -> tuple[str, Array]:
        """How the stamps read, and all of them [s]."""
        times = {kind: np.concatenate(parts) for kind, parts in self.kinds.items()}
        for kind in {"%H:%M", "%H:%M:%S"} & set(times):
            times[kind] = _past_midnight(times[kind])
        if len(times) > 1:
            times = _plausible(times)
        (kind, first), *others = times.items()
        steps = np.diff(first)
        if steps.size and np.abs(steps).max() > _DECADE:
            row = int(np.argmax(np.abs(steps))) + 1
            problem = (
                f"stamps, read as {kind!r}, leap by {np.abs(steps).max() / _DECADE:.0f} decades"
            )
            remedy = f"after {row} rows of data; split the file there, or repair the stamps"
            raise DataError(f"{problem}; {remedy}", file=self.path)
        for other, time in others:
            if np.any(np.abs((time - time[0]) - (first - first[0])) > 1e-6):
                problem = f"the stamps read as {kind!r} and as {other!r}, with different times"
                remedy = "give time_format in [log] (--time-format of `new`)"
                raise DataError(f"{problem}; {remedy}", file=self.path)
        if _scale(kind) and steps.size > 4:
            self._check_unit(steps)
        return kind, first

    def _check_unit(self, steps: Array) -> None:
        """DataError where the stamps of a counter [s] go on in another unit: they leap, and step
        otherwise from there on, or leap far beyond all that they count elsewhere."""
        sizes = np.abs(steps)
        k = int(np.argmax(sizes))
        problem, after = "", f"after {k + 1} rows of data"
        sides = [float(np.median(part)) for part in (sizes[:k], sizes[k + 1 :]) if part.size]
        if min(sides) > 0:
            ratio = max(sides) / min(sides)
            units = [r for r in _RATIOS if abs(ratio / r - 1) < _NEAR]
            if ratio > _OTHER_UNIT or (units and sizes[k] > 2 * max(sides)):
                change = f"from {sides[0]:.4g} to {sides[-1]:.4g} s"
                problem = f"the steps of the stamps change {change} {after}"
        if not problem and 0 < _ALONE * (sizes.sum() - sizes[k]) < sizes[k]:
            problem = f"the stamps leap by {sizes[k]:g} s {after}, beyond all else that they count"
        if problem:
            remedy = "split the file there, or repair the stamps"
            raise DataError(f"{problem}; {remedy}", file=self.path)

    def at(self, text: str) -> float:
        """The time [s] of a stamp written as those of the log are, or in ISO 8601."""
        if len(self.kinds) > 1:
            problem = f"exclude: the order of day and month is in doubt ({' or '.join(self.kinds)})"
            raise InputError(f"{problem}; give time_format in [log] (--time-format of `new`)")
        kind = next(iter(self.kinds))
        time = float(self._seconds([text], kind)[0])
        if np.isnan(time):
            time = iso(text, self.zoned) - self.origin * _scale(kind)
        if np.isnan(time):
            problem = f"exclude: {text!r:.40} is no time of this log, whose stamps read as {kind!r}"
            raise InputError(f"{problem}; write it as they are written, or like 2026-03-01 08:00")
        return time

    def _candidates(self, cells: Sequence[str], rows: Array) -> list[str]:
        if self.asked:
            return [self.asked]
        sample = cells[:1000]
        numbers = self._numbers(sample)
        if np.isfinite(numbers).mean() > 0.5:
            return self._counted(sample, numbers[np.isfinite(numbers)], rows)
        kinds = readings(sample[0])
        if not kinds:
            problem = f"the time stamp {sample[0]!r:.60} is not understood"
            remedy = "give its format as a pattern of strptime, such as '%m/%d/%Y %H:%M'"
            if any(map(readings, sample[1:20])):
                remedy = "those below it are: repair or remove the row"
            raise DataError(f"{problem}; {remedy}", file=self.path, row=int(rows[0]))
        return kinds

    def _counted(self, cells: Sequence[str], numbers: Array, rows: Array) -> list[str]:
        """What stamps that are numbers may count."""
        low, high = float(numbers.min()), float(numbers.max())
        if self.unit in UNITS:
            return [self.unit]
        lengths = {len(cell.strip()) for cell in cells}
        for size, pattern in ((14, "%Y%m%d%H%M%S"), (12, "%Y%m%d%H%M"), (8, "%Y%m%d")):
            if (
                lengths == {size}
                and np.isfinite([by_pattern(cell, pattern) for cell in cells]).all()
            ):
                return [pattern] if size > 8 else [pattern, "seconds"]
        for start, end, kind, _ in _CENTURY:
            if start <= low and high <= end:
                return [kind]
        parts = bool((numbers % 1 != 0).any())
        if parts and low >= EXCEL and high <= 73051.0 and high - low < 3660:
            return ["excel"]
        if parts and low >= 729000.0 and high <= 765000.0:
            return ["matlab"]
        if high > _LARGEST:
            problem = f"the time stamp {cells[0]!r:.60} counts neither seconds nor a known epoch"
            remedy = 'give what it counts as time_format in [log], such as "milliseconds"'
            problem = f"{problem}; {remedy} (--time-format of `new`)"
            raise DataError(problem, file=self.path, row=int(rows[0]))
        return ["seconds"]

    def _seconds(self, cells: Sequence[str], kind: str) -> Array:
        """Stamps read as `kind` [s], NaN for those that do not."""
        if kind in ("excel", "matlab"):
            days = self._numbers(cells) - (EXCEL if kind == "excel" else MATLAB)
            return np.asarray(np.round(days * DAY, 3))  # a double of days keeps no more
        scale = _scale(kind)
        if scale:
            return self._numbers(cells, far=scale < 0.1) * scale
        if kind == "iso":
            return self._isos(cells)
        read = by_pattern if kind not in DATES and kind not in CLOCKS else moment
        return np.array([read(cell, kind) for cell in cells])

    def _numbers(self, cells: Sequence[str], *, far: bool = False) -> Array:
        """Numbers, NaN for words; `far` from 0 they count from the first, to keep their digits."""
        if far:
            try:
                counts = np.array(cells, dtype=np.int64)
                self.origin = self.origin or int(counts[0])
                return np.asarray(counts - self.origin, dtype=np.float64)
            except (ValueError, OverflowError):
                return self._numbers(cells) - self.origin
        try:
            return np.array(cells, dtype=np.float64)
        except ValueError:
            return np.array([_numeric(cell, self.style) for cell in cells])

    def _isos(self, cells: Sequence[str]) -> Array:
        """ISO 8601; with a zone everywhere or nowhere."""
        try:
            stamps = list(map(datetime.fromisoformat, map(str.strip, cells)))
            if self.zoned is None:
                self.zoned = stamps[0].tzinfo is not None
            if all((stamp.tzinfo is not None) == self.zoned for stamp in stamps):
                return np.array([m.timestamp() for m in stamps] if self.zoned else naive(stamps))
        except (ValueError, OverflowError):
            pass
        return np.array([iso(cell, self.zoned) for cell in cells])


def _scale(kind: str) -> float:
    """What a counter counts [s], 0 for what is none."""
    return UNITS.get(kind) or next((s for _, _, name, s in _CENTURY if name == kind), 0.0)


def check_format(asked: str) -> None:
    """InputError for a time_format that is none."""
    words = (*UNITS, "excel", "matlab", "iso", *(kind for _, _, kind, _ in _CENTURY))
    if asked and "%" not in asked and asked not in words:
        known = ", ".join((*UNITS, "excel", "matlab", "iso"))
        raise InputError(f"time_format must be {known} or a pattern of strptime, got {asked!r:.60}")


def unit_of_time(text: str) -> str:
    """ "ms" → "milliseconds", "" for what is no unit of time."""
    word = text.strip().lower()
    return word if word in UNITS else _SHORT.get(word, "")


def _numeric(cell: str, style: Style) -> float:
    try:
        number = style.number(cell)
    except ValueError:
        number = None
    return float("nan") if number is None else number


def _past_midnight(time: Array) -> Array:
    """Times of day that go on into the next day."""
    if time.max() >= DAY:  # an elapsed time
        return time
    return np.asarray(time + DAY * np.concatenate([[0], np.cumsum(np.diff(time) < -DAY / 2)]))


def _plausible(times: dict[str, Array]) -> dict[str, Array]:
    """Of the readings that differ the one whose days follow each other without a break, where all
    others leap by weeks; else all of them."""
    smooth = {}
    for kind, stamps in times.items():
        time = np.unique(stamps)  # the order of rows does not matter here
        steps = np.diff(time)
        typical = float(np.median(steps)) if steps.size else 0.0
        changes = steps[np.floor(time[1:] / DAY) != np.floor(time[:-1] / DAY)]
        if changes.size and (changes > 0).all() and changes.max() <= 5 * typical < DAY:
            smooth[kind] = stamps
    rest = [time for kind, time in times.items() if kind not in smooth]
    if len(smooth) == 1 and all(np.diff(np.unique(time)).max() > _LEAP for time in rest):
        return smooth
    return times
