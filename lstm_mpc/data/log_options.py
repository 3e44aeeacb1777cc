"""How raw logs are read and made into records: the keys of `[log]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lstm_mpc.data.logs.numbers import DECIMALS
from lstm_mpc.data.logs.selection import where_of
from lstm_mpc.data.logs.stamps import check_format
from lstm_mpc.data.resampling import RESAMPLING
from lstm_mpc.errors import InputError

_SHORTEST, _LONG_ENOUGH, _TENTH = 10, 40, 0.1  # samples of a record, by the length of its log
PARTS = ("auto", "end", "start", "middle")  # of a log, kept for validation


@dataclass(frozen=True)
class LogOptions:
    """`[log]`: raw files, relative to the design, and what is made of them.

    - `files`: one or more; `validation_files` are kept for validation, else a share of every file,
      `validation`; 0 is a quarter, or 15 % where there are fewer than 2000 samples in all, more
      where these are fewer than 50. `validation_part`: its "end", "start" or "middle"; "auto" is
      the end, unless that leaves the range of the rest and another part does so less.
    - `time`: column of the stamps, or those of date and time of day; without stamps rows lie `Ts`
      apart. `time_format`: "seconds" to "nanoseconds", "minutes", "hours", "days", "excel",
      "matlab", "iso" or a pattern of `strptime`, "" to tell it. `columns`: signal -> column, where
      they are not called alike.
    - `header_row`: line of the names, 0 to find it. `decimal`: "point" or "comma", "auto" to tell
      it. `missing`: numbers that stand for "not measured".
    - `where`: rows count that satisfy it, such as `MODE == 'AUTO'`; `exclude`: periods that do not
      count, each [from, to] as stamps are written. Either ends a record.
    - `Ts` [s]: sampling time, 0 for the typical step of the first file. `resample`: "mean" of the
      rows that fall into a sample, "linear" between the rows beside it (inputs are held), "hold" of
      the last row (for logs that note changes only), "none", or "auto".
    - `longest_gap` [samples]: an input that is not known for longer ends a record; up to that it
      holds its last value. An output is never filled in. `min_samples` [samples]: shorter records
      are left out; 0 is a tenth of the log, between 10 and 40.
    - `despike`: outputs further from their running median than so many standard deviations (by its
      MAD) count as not measured; 0: never.
    """

    files: tuple[str, ...] = ()
    validation_files: tuple[str, ...] = ()
    time: str | tuple[str, ...] = ""
    time_format: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    header_row: int = 0
    decimal: str = "auto"
    missing: tuple[float, ...] | None = ()
    where: str = ""
    exclude: tuple[tuple[str, str], ...] = ()
    Ts: float = 0.0
    resample: str = "auto"
    longest_gap: int = 5
    min_samples: int = 0
    validation: float = 0.0
    validation_part: str = "end"
    despike: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                value = getattr(self, name)
                raise InputError(f"log: {name} must be one of {', '.join(choices)}, got {value!r}")
        if not 0 <= self.validation < 1:
            raise InputError(
                f"log: validation must be a share between 0 and 1, got {self.validation}"
            )
        for name in ("longest_gap", "header_row", "Ts", "despike"):
            if not getattr(self, name) >= 0:
                raise InputError(f"log: {name} must not be negative, got {getattr(self, name)}")
        if self.min_samples < 0 or self.min_samples == 1:
            raise InputError(
                f"log: min_samples must be at least 2, or 0 to choose it, got {self.min_samples}"
            )
        if any(len(period) != 2 for period in self.exclude):
            raise InputError("log: exclude needs periods, each [from, to]")
        check_format(self.time_format)
        if self.where:
            where_of(self.where)

    def shortest(self, samples: int) -> int:
        """The fewest samples of a record.

        Args:
            samples: Of the whole log.

        Returns:
            That many.
        """
        tenth = int(np.clip(_TENTH * samples, _SHORTEST, _LONG_ENOUGH))
        return self.min_samples or tenth


_CHOICES = {"resample": RESAMPLING, "validation_part": PARTS, "decimal": DECIMALS}
