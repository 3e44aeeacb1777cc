"""Which columns of a log are to be which signals: what was asked for, and what the log has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from lstm_mpc.data.logs.layout import column, plain
from lstm_mpc.data.logs.readings import readings_of
from lstm_mpc.data.logs.table import Table, time_columns
from lstm_mpc.errors import DataError, InputError
from lstm_mpc.plants.system import Signal


@dataclass(frozen=True)
class SignalRequest:
    """A signal as asked for on the command line: NAME[=COLUMN][:UNIT[:LOW:HIGH]]; an input is
    manipulated, or of the `kind` "measured"."""

    name: str
    column: str
    unit: str
    low: float | None
    high: float | None
    kind: str = "manipulated"


@dataclass(frozen=True)
class Columns:
    """What the columns of a log are called, or its tags, their units (n,), and those of stamps."""

    file: Path
    names: tuple[str, ...]
    units: tuple[str, ...]
    times: tuple[str, ...] = ()

    def place(self, request: SignalRequest) -> int:
        """The column that is meant; DataError where none or several may be."""
        asked = request.column or request.name
        places = [
            k
            for k in column(self.names, asked)
            if self.names[k] not in self.times or asked in (self.names[k], f"#{k + 1}")
        ]
        if len(places) == 1:
            return places[0]
        shown = ", ".join(self.names)
        problem = f"has no column {asked!r:.80} (its columns: {shown:.300})"
        remedy = f"write {request.name}=COLUMN:UNIT with one of these, or {request.name}=#2"
        if places:
            several = ", ".join(f"{self.names[k]!r:.60}" for k in places[:4])
            problem = f"has {len(places)} columns for {asked!r:.80} ({several})"
            remedy = f"write {request.name}=#{places[0] + 1} for the first"
        raise DataError(f"{problem}; {remedy}", file=self.file)


def columns_in(table: Table) -> Columns:
    """The columns of a table; of one with a row for every reading its tags."""
    readings = readings_of(table)
    if readings is None:
        return Columns(table.file, table.names, table.units, time_columns(table))
    tags = readings.tags()
    return Columns(table.file, tuple(tags), tuple(tags.values()))


def wanted(text: str, names: Sequence[str] = ()) -> SignalRequest:
    """Read NAME[=COLUMN][:UNIT[:LOW:HIGH]].

    COLUMN may hold anything where it is one of the `names` of the columns; without NAME a column is
    called like itself, its unit apart.
    """
    name, column_name, rest = _split(text, names)
    parts = rest.split(":") if rest else []
    if not name.strip() or len(parts) not in (0, 1, 3):
        raise InputError(
            f"{text!r} is no signal; write NAME:UNIT:LOW:HIGH, such as q3:mL/s:12.5:17, or"
            " NAME=COLUMN:UNIT:LOW:HIGH"
        )
    low, high = limits_of(f"{parts[1]}:{parts[2]}", name) if len(parts) == 3 else (None, None)
    unit = parts[0].strip() if parts else ""
    return SignalRequest(name.strip(), column_name.strip(), unit, low, high)


def _split(text: str, names: Sequence[str]) -> tuple[str, str, str]:
    """The name, the column and what follows; a column of the log may hold any sign."""
    for column_name in sorted(names, key=len, reverse=True):
        if column_name and (text == column_name or text.startswith(f"{column_name}:")):
            short = plain(column_name) if any(c in column_name for c in ":=,([") else column_name
            return short, column_name, text[len(column_name) + 1 :]
    name, equals, tail = text.partition("=")
    if not equals or ":" in name:
        name, _, rest = text.partition(":")
        return name, "", rest
    for column_name in sorted(names, key=len, reverse=True):
        if column_name and (tail == column_name or tail.startswith(f"{column_name}:")):
            return name, column_name, tail[len(column_name) + 1 :]
    column_name, _, rest = tail.partition(":")
    return name, column_name, rest


def limits_of(text: str, name: str) -> tuple[float, float]:
    """LOW:HIGH as two numbers."""
    try:
        low, high = map(float, text.split(":"))
        if not (isfinite(low) and isfinite(high)):
            raise ValueError("not finite")
    except ValueError as error:
        raise InputError(
            f"the limits of {name!r} must be two numbers LOW:HIGH, got {text!r}"
        ) from error
    return low, high


def ask_signals(
    columns: Columns, ask: Callable[[str], str]
) -> tuple[list[SignalRequest], list[SignalRequest]]:
    """Ask for inputs and outputs by the numbers of the columns; `ask` shows a question and returns
    the answer."""
    header, requests = columns.names, list[list[SignalRequest]]()
    listing = "\n".join(f"  {k + 1}: {name}" for k, name in enumerate(header))
    for what, hint in (
        ("inputs (manipulated)", ", with limits as 2:0:10 where you know them"),
        ("outputs (measured)", ""),
    ):
        answer = ask(
            f"columns of {columns.file.name}:\n{listing}\nnumbers of the {what}, with blanks"
            f" between{hint}: "
        )
        signals = []
        for word in answer.replace(",", " ").split():
            number, _, limits = word.partition(":")
            if not (number.isdigit() and 1 <= int(number) <= len(header)):
                raise InputError(
                    f"{word!r} is no column; answer with numbers from 1 to {len(header)}"
                )
            name = header[int(number) - 1]
            low, high = limits_of(limits, plain(name)) if limits else (None, None)
            unit = columns.units[int(number) - 1]
            signals.append(SignalRequest(plain(name), name, unit, low, high))
        requests.append(signals)
    return requests[0], requests[1]


def columns_of(
    columns: Columns, signals: Sequence[SignalRequest]
) -> tuple[dict[str, str], dict[str, str]]:
    """The column and the unit of every signal: those that were given, or those of the log."""
    places = {s.name: columns.place(s) for s in signals}
    alone = {k: columns.names.count(columns.names[k]) == 1 for k in places.values()}
    names = {n: columns.names[k] if alone[k] else f"#{k + 1}" for n, k in places.items()}
    for name, column_name in names.items():
        other = next(n for n, c in names.items() if c == column_name)
        if other != name:
            problem = f"{other!r} and {name!r} are the same column {column_name!r:.80}"
            raise InputError(f"{problem}; a signal cannot be two, leave one out")
    units = {s.name: s.unit or columns.units[places[s.name]] or "-" for s in signals}
    return names, units


def signals_of(
    asked: Sequence[SignalRequest],
    units: dict[str, str],
    spans: dict[str, tuple[float, float]],
    *,
    limit: bool,
) -> tuple[Signal, ...]:
    """Signals with their limits; those of inputs (`limit`) that were not given are the range in the
    data."""
    signals = []
    for s in asked:
        if s.low is not None and s.high is not None:
            signals.append(Signal(s.name, units[s.name], s.low, s.high, kind=s.kind))
        elif limit:
            signals.append(Signal(s.name, units[s.name], *spans[s.name], kind=s.kind))
        else:
            signals.append(Signal(s.name, units[s.name]))
    return tuple(signals)
