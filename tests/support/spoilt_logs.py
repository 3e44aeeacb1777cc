"""A fuzzer of logs that knows the truth. A log is made of numbers that are known, written in one of
the ways of the world, and spoilt; what is read of it must be these numbers at these times, or the
log is refused in one sentence. A time base or a magnitude that differs is a failure.

    python tests/support/spoilt_logs.py 10000              # every reader, counts and failures
    python tests/support/spoilt_logs.py 10000 xlsx readings
"""

import gzip
import io
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from fuzz import attempt

from lstm_mpc.data.log_reader import read_raw
from lstm_mpc.data.logs.table import open_log, time_columns

READERS = ("csv", "gzip", "xlsx", "parquet", "mat", "readings")
Rng = np.random.Generator
SPANS = (
    (0.2, 0.9), (1.2, 9.8), (10.0, 90.0), (90.0, 110.0), (500.0, 1500.0), (700.0, 2300.0),
    (1000.0, 9000.0), (5000.0, 200000.0), (1.2e6, 3.4e6), (-40.0, 40.0), (-2000.0, 2000.0),
)  # fmt: skip
GROUPS = {"point": ("", ",", "'", " "), "comma": ("", ".", "'", "\u202f", " ")}
STAMPS = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%d.%m.%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S", "%m/%d/%y %I:%M:%S %p", "%d-%b-%y %H:%M:%S", "%d-%m-%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S", "%d/%m/%y %H.%M.%S", "%b %d, %Y %I:%M:%S %p", "%Y%m%d%H%M%S",
    "two %d/%m/%Y %H:%M:%S", "two %Y-%m-%d %H:%M:%S", "two %m/%d/%Y %I:%M:%S %p",
    "seconds", "milliseconds", "epoch s", "epoch ms", "epoch us", "epoch ns", "excel", "minutes",
)  # fmt: skip
EPOCH = {"epoch s": 1, "epoch ms": 10**3, "epoch us": 10**6, "epoch ns": 10**9}
WORDS = ("Bad", "I/O Timeout", "#N/A", "NaN", "-", "No Data")


@dataclass
class Log:
    """The truth of a log, its times [s] and values row by row, and how it is written."""

    start: datetime
    t: list[float]
    values: list[list[float]]
    decimals: list[int]
    kind: str
    names: list[str] = field(default_factory=lambda: ["P", "TT"])
    mark: str = "point"
    group: str = ""
    units: list[str] = field(default_factory=lambda: ["", ""])
    delimiter: str = ","
    blank: dict[tuple[int, int], str] = field(default_factory=dict)


def a_log(rng: Rng) -> Log:
    n, step = int(rng.integers(30, 120)), float(rng.choice([1.0, 1.0, 10.0, 60.0, 600.0, 3600.0]))
    day = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=int(rng.integers(360)))
    start = day + timedelta(seconds=int(rng.integers(86400)))
    if rng.integers(3) == 0:  # beyond midnight, where days and months may be confused
        start = day + timedelta(seconds=86400 - int(step) * int(rng.integers(1, 15)))
    spans = [SPANS[k] for k in rng.integers(len(SPANS), size=2)]
    decimals = [int(d) for d in rng.choice([0, 0, 1, 2, 3, 3, 3, 4], size=2)]
    walk = [np.clip(np.cumsum(rng.normal(0, 0.1, n)) + 0.5, 0, 1) for _ in spans]
    columns = [
        np.round(lo + (hi - lo) * w, d)
        for (lo, hi), w, d in zip(spans, walk, decimals, strict=True)
    ]
    mark = str(rng.choice(["point", "point", "comma"]))
    delimiter = str(rng.choice([";", "\t"] if mark == "comma" else [",", ",", ";", "\t", "|"]))
    log = Log(
        start,
        [step * k for k in range(n)],
        np.column_stack(columns).tolist(),
        decimals,
        STAMPS[rng.integers(len(STAMPS))],
        mark=mark,
        delimiter=delimiter,
    )
    log.group = str(rng.choice(GROUPS[mark])) if rng.integers(2) else ""
    if rng.integers(6) == 0:
        log.units = [str(rng.choice(["", " kg/h", "kW", " °C", " %"])) for _ in range(2)]
    return log


def spoil(rng: Rng, log: Log) -> None:
    """Rows and cells lost, doubled or out of order: the truth goes with them."""
    for _ in range(rng.integers(0, 3)):
        k, n = int(rng.integers(1, len(log.t) - 1)), len(log.t)
        match rng.integers(6):
            case 0:
                m = min(n - 1, k + int(rng.integers(1, 8)))
                del log.t[k:m], log.values[k:m]
            case 1:
                log.t.insert(k, log.t[k])
                log.values.insert(k, log.values[k])
            case 2:
                log.t[k], log.t[k + 1] = log.t[k + 1], log.t[k]
                log.values[k], log.values[k + 1] = log.values[k + 1], log.values[k]
            case 3:
                log.t.reverse()
                log.values.reverse()
            case _:
                word = WORDS[rng.integers(len(WORDS))] if rng.integers(2) else ""
                for row in range(k, min(n, k + int(rng.integers(1, 6)))):
                    log.blank[row, int(rng.integers(2))] = word


def number(value: float, decimals: int, mark: str, group: str, unit: str) -> str:
    text = f"{value:,.{decimals}f}".replace(",", "\0").replace(".", "," if mark == "comma" else ".")
    return text.replace("\0", group) + unit


def stamp(log: Log, t: float) -> list[str]:
    """The cells of a time stamp; one or two."""
    moment, kind = log.start + timedelta(seconds=t), log.kind
    if kind in ("seconds", "milliseconds", "minutes"):
        count = t * {"seconds": 1.0, "milliseconds": 1e3, "minutes": 1 / 60}[kind]
        return [f"{count:.10g}".replace(".", "," if log.mark == "comma" else ".")]
    elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    if kind in EPOCH:
        return [str(elapsed // timedelta(microseconds=1) * EPOCH[kind] // 10**6)]
    if kind == "excel":
        days = 25569 + elapsed / timedelta(days=1)
        return [f"{days:.9f}".replace(".", "," if log.mark == "comma" else ".")]
    if kind.startswith("two "):
        date, _, clock = kind[4:].partition(" ")
        return [moment.strftime(date), moment.strftime(clock)]
    return [moment.strftime(kind)]


def header(rng: Rng, log: Log) -> list[str]:
    unit = {"milliseconds": "ms", "minutes": "min", "seconds": "s"}.get(log.kind, "")
    if log.kind.startswith("two "):
        return ["Date", "Time", *log.names]
    return [f"Time [{unit}]" if unit else str(rng.choice(["Time", "timestamp"])), *log.names]


def table(rng: Rng, log: Log, *, late: bool) -> list[list[str]]:
    """The rows of a log as text; `late`: its writing changes in the middle."""
    rows = [header(rng, log)]
    if rng.integers(5) == 0:
        rows.append([*[""] * (len(rows[0]) - 2), "kg/h", "°C"])
    change = int(rng.integers(5, len(log.t))) if late else len(log.t)
    for k, (t, values) in enumerate(zip(log.t, log.values, strict=True)):
        if k == change:
            match rng.integers(4):
                case 0:
                    log.mark = "comma" if log.mark == "point" else "point"
                    log.group = ""
                case 1 if k < len(log.t) - 1:  # a last row of fewer cells is left out, and said
                    log.kind = STAMPS[rng.integers(len(STAMPS))]
                    log.kind = log.kind if len(stamp(log, t)) == len(rows[0]) - 2 else "excel"
                case 2:
                    rows.append(rows[0])
                case _:
                    log.units = [" kW", " t/h"]
        cells = [
            log.blank.get((k, j), number(v, log.decimals[j], log.mark, log.group, log.units[j]))
            for j, v in enumerate(values)
        ]
        rows.append([*stamp(log, t), *cells])
    return rows


def text(rng: Rng, log: Log, rows: list[list[str]]) -> bytes:
    """Rows as a CSV file in some dialect and encoding."""
    quoted = rng.integers(4) == 0

    def cell(c: str) -> str:
        return f'"{c}"' if quoted or log.delimiter in c else c

    lines = [log.delimiter.join(map(cell, row)) for row in rows]
    if rng.integers(4) == 0:
        lines = [f"Station,ACME {log.start:%Y}", "# a remark", "", *lines]
    if rng.integers(6) == 0 and rows[0][0] != "Tag":
        lines[-1] = lines[-1][: int(rng.integers(1, len(lines[-1]) + 1))]
        if lines[-1].count(log.delimiter) >= len(rows[0]) - 1:
            lines.pop()  # a number cut short may be another number
        del log.t[-1], log.values[-1]
    elif rng.integers(8) == 0:
        lines = [line + log.delimiter for line in lines]
    end = str(rng.choice(["\n", "\r\n"]))
    return (end.join(lines) + end).encode(
        str(rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"])), "replace"
    )


def written(rng: Rng, reader: str, folder: Path) -> tuple[Path, Log, bool]:
    """A spoilt log as a file, its truth, and whether the file says all of it."""
    log = a_log(rng)
    spoil(rng, log)
    late = reader in ("csv", "gzip") and rng.integers(4) == 0
    if reader in ("csv", "gzip"):
        path = folder / ("log.csv" if reader == "csv" else "log.csv.gz")
        data = text(rng, log, table(rng, log, late=late))
        path.write_bytes(data if reader == "csv" else gzip.compress(data, 1))
    elif reader == "readings":
        path = folder / "log.csv"
        path.write_bytes(text(rng, log, readings(rng, log)))
    else:
        path = folder / f"log.{reader}"
        path.write_bytes({"xlsx": workbook, "parquet": parquet, "mat": matlab}[reader](rng, log))
    return path, log, late


def readings(rng: Rng, log: Log) -> list[list[str]]:
    """One row for every reading, by time or by tag."""
    log.kind = log.kind if not log.kind.startswith("two ") else "%Y-%m-%d %H:%M:%S"
    rows = []
    for k, (t, values) in enumerate(zip(log.t, log.values, strict=True)):
        for j, v in enumerate(values):
            cell = number(v, log.decimals[j], log.mark, log.group, log.units[j])
            rows.append([log.names[j], *stamp(log, t), log.blank.get((k, j), cell)])
    if rng.integers(2):
        rows.sort(key=lambda row: row[0])
    return [["Tag", header(rng, log)[0], "Value"], *rows]


def workbook(rng: Rng, log: Log) -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    if rng.integers(3) == 0:
        sheet.append(["Report", "of the plant"])
        sheet.append([])
    sheet.append(["Time", *log.names])
    as_text = rng.integers(3) == 0
    log.kind = "%Y-%m-%d %H:%M:%S"
    for k, (t, values) in enumerate(zip(log.t, log.values, strict=True)):
        moment = (log.start + timedelta(seconds=t)).replace(tzinfo=None)
        texts = [number(v, log.decimals[j], log.mark, "", "") for j, v in enumerate(values)]
        cells = [log.blank.get((k, j), v) for j, v in enumerate(texts if as_text else values)]
        sheet.append([moment, *(None if c == "" else c for c in cells)])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def parquet(rng: Rng, log: Log) -> bytes:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    moments = [(log.start + timedelta(seconds=t)).replace(tzinfo=None) for t in log.t]
    kinds = [pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("ms", tz="UTC")]
    columns = {"Time": pa.array(moments, kinds[rng.integers(3)])}
    if rng.integers(3) == 0:
        epoch = [int((m - datetime(1970, 1, 1)) / timedelta(milliseconds=1)) for m in moments]
        columns["Time"] = pa.array(epoch, pa.int64())
    for j, name in enumerate(log.names):
        cells = [None if (k, j) in log.blank else v[j] for k, v in enumerate(log.values)]
        columns[name] = pa.array(cells, pa.float64())
    stream = io.BytesIO()
    write_table(pa.table(columns), stream)
    return stream.getvalue()


def matlab(rng: Rng, log: Log) -> bytes:
    from scipy.io import savemat

    values = np.array(log.values)
    for k, j in log.blank:
        if k < len(values):
            values[k, j] = np.nan
    content = {"t": np.array(log.t), "P": values[:, 0], "TT": values[:, 1]}
    stream = io.BytesIO()
    savemat(stream, {"log": content} if rng.integers(2) else content, oned_as="column")
    log.names = ["log.P", "log.TT"] if b"log" in stream.getvalue()[128:220] else log.names
    return stream.getvalue()


def check(path: Path, log: Log) -> str:
    """Read a log; what differs from the truth, "" for nothing."""
    table = open_log(path)
    names = time_columns(table) or tuple(n for n in table.names if n.endswith("t"))
    raw = read_raw(table, log.names, time=names)
    truth: dict[float, list[list[float]]] = {}
    for t, values in zip(log.t, log.values, strict=True):
        truth.setdefault(round(t - min(log.t), 3), []).append(values)
    for t, values in zip(raw.t, raw.values, strict=True):
        near = truth.get(round(float(t), 3))
        if near is None:
            return f"time {t:g} s is none of the log ({raw.stamps})"
        for j, v in enumerate(values):
            off = min(abs(v - row[j]) for row in near) if np.isfinite(v) else 0.0
            if off > 1e-6 * max(1.0, abs(near[0][j])):
                if any(note.startswith(f"{log.names[j]}: every") for note in raw.notes):
                    return ""  # nobody can tell, and that is said
                return f"{log.names[j]} is {v!r} at {t:g} s, in truth {near[0][j]!r}"
    if len(set(raw.t.tolist())) < len(truth):
        return f"{len(raw.t)} times of {len(truth)}"
    return ""


def fuzz_logs(reader: str, count: int, folder: Path, *, seed: int) -> tuple[Counter, list[str]]:
    """So many logs: what became of them, and what must not happen."""
    counts, failures = Counter[str](), []
    for k in range(count):
        rng = np.random.default_rng([seed, READERS.index(reader), k])
        path, log, _ = written(rng, reader, folder)
        result = [""]

        def read(path: Path, log: Log = log, result: list[str] = result) -> None:
            result[0] = check(path, log)

        what, words = attempt(read, path)
        if what == "read" and result[0]:
            what, words = "wrong", result[0]
        counts[what] += 1
        if what not in ("read", "refused"):
            failures.append(f"{reader}, seed {seed}, number {k} ({log.kind}): {what}: {words}")
    return counts, failures


if __name__ == "__main__":
    for name in sys.argv[2:] or READERS:
        with tempfile.TemporaryDirectory() as place:
            total, wrong = fuzz_logs(name, int(sys.argv[1]), Path(place), seed=0)
        print(name, dict(total), flush=True)
        for failure in wrong[:10]:
            print("  ", failure)
