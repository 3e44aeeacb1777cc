"""What a controller did beside its plant: an append-only SQLite file in WAL mode, and the state
that the next process goes on from."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

from lstm_mpc.control.controller import WORDS
from lstm_mpc.control.run_log import csv_bytes
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.tables.parquet import parquet_bytes
from lstm_mpc.project.operation.facts import Facts, Record

FILE = "history.db"
_KEPT = 100_000  # samples and events that wait in memory for room on the disk
_COMMON = (  # columns of every history, before those of its signals
    *("time TEXT", "run INTEGER", "k INTEGER", "mode TEXT", "flags INTEGER", "status TEXT"),
    *("reasons TEXT", "missed INTEGER", "late_ms REAL", "cpu_ms REAL", "solve_ms REAL"),
)
_TABLES = {
    "runs": "run INTEGER PRIMARY KEY, time TEXT, content TEXT",
    "events": "time TEXT, run INTEGER, k INTEGER, who TEXT, what TEXT, text TEXT",
}
_STATE = "id INTEGER PRIMARY KEY CHECK (id = 1), content TEXT, engine BLOB"


@dataclass(frozen=True)
class Kept:
    """The state of a loop at its last sample: `content` of JSON types, the state of its `engine`,
    and how long ago that was, `elapsed` [s]; None where no clock can say."""

    content: Mapping[str, Any]
    engine: bytes
    elapsed: float | None


def columns_of(facts: Facts) -> tuple[str, ...]:
    """The columns of the signals: inputs in force after the sample, measured inputs, outputs, then
    setpoints, advice and what was written."""
    return (
        *(s.label for s in (*facts.inputs, *facts.measured, *facts.outputs)),
        *(f"{s.name} setpoint [{s.unit}]" for s in facts.outputs),
        *(f"{s.name} advice [{s.unit}]" for s in facts.inputs),
        *(f"{s.name} written [{s.unit}]" for s in facts.inputs),
    )


class History:
    """The history of one loop, open to be written.

    Args:
        path: The file; it is made where there is none.
        facts: The signals of the loop.
        about: Versions and digests of this run, JSON types.

    Raises:
        InputError: The file is none of ours, or of a loop with other signals.
    """

    def __init__(self, path: Path, facts: Facts, about: Mapping[str, Any]) -> None:
        self.path, self._backlog, self.dropped, self.trouble = path, list[Any](), 0, ""
        names = [*(column.split()[0] for column in _COMMON), *columns_of(facts)]
        columns = [*_COMMON, *(f"{_quoted(name)} REAL" for name in columns_of(facts))]
        marks = ", ".join("?" * len(names))
        self._insert = f"INSERT INTO samples VALUES ({marks})"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, isolation_level=None, timeout=1.0)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.execute("BEGIN IMMEDIATE")
            tables = {"samples": ", ".join(columns), **_TABLES}
            for table, text in tables.items():
                self._base.execute(f"CREATE TABLE IF NOT EXISTS {table} ({text})")
                for change in ("UPDATE", "DELETE"):
                    self._base.execute(
                        f"CREATE TRIGGER IF NOT EXISTS {table}_{change.lower()} BEFORE {change} ON"
                        f" {table} BEGIN SELECT RAISE(ABORT, 'a history is only added to'); END"
                    )
            self._base.execute(f"CREATE TABLE IF NOT EXISTS state ({_STATE})")
            there = [row[1] for row in self._base.execute("PRAGMA table_info(samples)")]
            if there != names:
                raise InputError(
                    f"{path}: is the history of a loop with other signals"
                    f" ({', '.join(there[len(_COMMON) :])}); move it away or name another file"
                )
            run = "INSERT INTO runs (time, content) VALUES (?, ?)"
            self.run = self._base.execute(run, (_stamp(), json.dumps(dict(about)))).lastrowid
            self._base.execute("COMMIT")
        except sqlite3.Error as error:
            raise InputError(
                f"{path}: cannot be used as a history ({error}); move it away or name another file"
            ) from error

    def event(self, k: int, who: str, what: str, text: str) -> None:
        """Keep what somebody did."""
        row = (_stamp(), self.run, k, who, what, text)
        self._keep("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", row)

    def sample(self, record: Record, *, late: float, cpu: float) -> None:
        """Keep a sample that began `late` [s] and took `cpu` [s] of computing, solve included."""
        words = "; ".join(WORDS[flag] for flag in record.flags)
        reasons = "; ".join(f"{tag}: {why}" for tag, why in record.reasons.items())
        row: list[Any] = [
            _stamp(),
            self.run,
            record.k,
            record.mode.name,
            int(record.flags),
            words,
            reasons,
        ]
        row += [record.missed, 1e3 * late, 1e3 * cpu, 1e3 * record.seconds]
        signals = (record.u, record.measured, record.y, record.setpoint, record.advice)
        for array in (*signals, record.written):
            row += [value if isfinite(value) else None for value in array.tolist()]
        self._keep(self._insert, tuple(row))

    def save(self, content: Mapping[str, Any], engine: bytes) -> None:
        """Write what has been kept since, and the state to go on from, in one transaction. A disk
        that is full is `trouble` in words, and everything waits for room."""
        clock = {"monotonic": time.monotonic(), "boot": _boot(), "wall": time.time()}
        text = json.dumps({**content, "clock": clock})
        state = "INSERT OR REPLACE INTO state VALUES (1, ?, ?)"
        try:
            self._base.execute("BEGIN IMMEDIATE")
            for command, row in self._backlog:
                self._base.execute(command, row)
            self._base.execute(state, (text, engine))
            self._base.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._base.execute("ROLLBACK")
            self.trouble = f"{self.path}: {error}; {len(self._backlog)} rows wait"
            return
        self._backlog.clear()
        self.trouble = ""

    def kept(self) -> Kept | None:
        """The state that the last process left, where there is one that can be read."""
        try:
            row = self._base.execute("SELECT content, engine FROM state").fetchone()
            if row is None:
                return None
            content, now = json.loads(row[0]), time.monotonic()
            clock = content.pop("clock")
            same = clock["boot"] and clock["boot"] == _boot()  # the monotonic clock went on
            elapsed = now - clock["monotonic"] if same else time.time() - clock["wall"]
        except (sqlite3.Error, ValueError, KeyError, TypeError):
            return None
        return Kept(content, bytes(row[1]), elapsed if elapsed >= 0 else None)

    def window(self, facts: Facts, samples: int) -> Sequence[tuple[float | None, ...]]:
        """The last samples: inputs in force, measured inputs and outputs, oldest first."""
        names = [s.label for s in (*facts.inputs, *facts.measured, *facts.outputs)]
        command = (
            f"SELECT {', '.join(map(_quoted, names))} FROM samples ORDER BY rowid DESC LIMIT ?"
        )
        return self._base.execute(command, (samples,)).fetchall()[::-1]

    def close(self) -> None:
        """No more is kept."""
        self._base.close()

    def limit(self, pages: int) -> None:
        """Let the file have no more than so many pages: a disk that is full, to try it."""
        self._base.execute(f"PRAGMA max_page_count = {pages}")

    def _keep(self, command: str, row: tuple[Any, ...]) -> None:
        self._backlog.append((command, row))
        if len(self._backlog) > _KEPT:
            del self._backlog[0]
            self.dropped += 1


def rows_of(path: Path, table: str = "samples") -> Iterator[tuple[Any, ...]]:
    """The names of the columns of a history's table, then its rows.

    Raises:
        InputError: The file is no history.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no history; `lstm-mpc operate` writes one")
    try:
        base = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    try:
        found = base.execute(f"SELECT * FROM {_quoted(table)} ORDER BY rowid")
        yield tuple(column[0] for column in found.description)
        yield from found
    except sqlite3.Error as error:
        raise InputError(f"{path}: is no history of a controller ({error})") from error
    finally:
        base.close()


def _stamp() -> str:
    now = datetime.now(UTC).replace(tzinfo=None)
    return f"{now.isoformat(timespec='milliseconds')}Z"


def _boot() -> str:
    """What tells this boot of the machine from others; nothing where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def columns(path: Path, table: str = "samples") -> dict[str, list[Any]]:
    """A table of a history, name -> values."""
    rows = rows_of(path, table)
    names = next(rows)
    return {name: [] for name in names} | {
        name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=False)
    }


def write_table(path: Path, table: Mapping[str, list[Any]], *, parquet: bool) -> None:
    """Write a table of a history as CSV or Parquet; the file appears whole or not at all."""
    data = parquet_bytes(table) if parquet else csv_bytes(dict(table))
    artefact_file.write_bytes(path, data)
