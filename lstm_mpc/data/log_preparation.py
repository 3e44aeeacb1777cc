"""From raw logs to records: an even grid, gaps, what was not measured, a part kept for validation;
every step is told in a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.data.log_checks import OUTSIDE, beyond, clipped, outside, remarks_of
from lstm_mpc.data.log_options import PARTS, LogOptions
from lstm_mpc.data.log_reader import Raw, read_raw, without
from lstm_mpc.data.logs.dates import DATES
from lstm_mpc.data.logs.table import Table, open_log
from lstm_mpc.data.resampling import (
    despiked,
    held,
    resample,
    runs_of,
    trimmed,
    typical_step,
)
from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Signal

_SMALL, _SMALL_SHARE, _SHARE = 2000, 0.15, 0.25  # few samples are needed for training
_VALIDATING, _MOST_SHARE = 50, 0.3  # samples that a short log should have for validation


@dataclass(frozen=True)
class Prepared:
    """Training and validation data, which `share` and `part` of the files the latter are, the
    numbers that count as not measured (`missing`), and the `story` of how they came about, a
    sentence each."""

    training: Dataset
    validation: Dataset
    share: float
    part: str
    story: tuple[str, ...]
    missing: tuple[float, ...] = ()


def prepare_log(
    log: LogOptions,
    folder: Path,
    inputs: Sequence[Signal],
    outputs: Sequence[Signal],
    *,
    on_progress: Callable[[float, str], None] = lambda share, file: None,
) -> Prepared:
    """Read the files of a log and make records of them.

    Args:
        log: What is read and how; with `missing` None the values that usually stand for "not
            measured" count as such where they stand apart.
        folder: The folder that the names of its files are relative to.
        inputs: Manipulated signals.
        outputs: Measured signals.
        on_progress: Receives the share that is read, and the file.

    Returns:
        Training and validation data, and the story of how they came about.

    Raises:
        DataError: For a file that cannot be used, with the row and the remedy.
        InputError: For what the design asks and the files do not have.
    """
    if not log.files:
        raise InputError("log: files is empty; name at least one")
    signals = (*inputs, *outputs)
    unknown = [name for name in log.columns if name not in [s.name for s in signals]]
    if unknown:
        raise InputError(f"log: columns names {unknown[0]!r}, which is no signal of the design")
    story, missing, Ts = list[str](), list[float](), log.Ts
    parts: dict[str, list[list[Record]]] = {"training": [], "validation": []}
    every = [("training", name) for name in log.files]
    every += [("validation", name) for name in log.validation_files]
    for number, (which, name) in enumerate(every):
        short = Path(name).name

        def tell(share: float, number: int = number, short: str = short) -> None:
            on_progress((number + share) / len(every), short)

        raw = read_log(log, folder / name, signals, tell)
        remarks, values = remarks_of(raw, signals, log.missing is None)
        raw = replace(without(raw, [s.name for s in signals], values), notes=raw.notes)
        missing += [v for v in (*values, *(log.missing or ())) if v not in missing]
        Ts = Ts or typical_step(raw, len(inputs))
        records, sentences = _records(raw, log, Ts, len(inputs), signals)
        story += [f"{short}: {sentence}" for sentence in (*sentences[:1], *remarks, *sentences[1:])]
        parts[which].append(records)
    training, validation, share, part = _split(parts["training"], parts["validation"], log)
    _check_parts(log, training, validation, outputs)
    story += _counted(training, validation, Ts)
    if log.validation_part == "auto" and part != "end":
        story.append(
            f"validation: the {part} of every file, as its end leaves the range of the rest"
        )
    story += clipped(inputs, training, validation) + beyond(signals, training, validation)
    sets = [
        Dataset(tuple(inputs), tuple(outputs), Ts, tuple(_named(records)))
        for records in (training, validation)
    ]
    return Prepared(sets[0], sets[1], share, part, tuple(story), tuple(missing))


def read_log(
    log: LogOptions,
    path: Path,
    signals: Sequence[Signal],
    on_progress: Callable[[float], None] = lambda share: None,
) -> Raw:
    """Read the columns of the signals from one file of a log.

    Args:
        log: How the file is read.
        path: The file.
        signals: The signals wanted, by the names of their columns.
        on_progress: Hears the share read.

    Returns:
        The readings with their times, not yet on one clock.

    Raises:
        InputError: One column is to be two signals; with their names.
    """
    table = open_log(path, header_row=log.header_row)
    columns = column_names(log.columns, table, signals)
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        pair = [s.name for s, c in zip(signals, columns, strict=True) if c == twice[0]]
        problem = f"{pair[0]!r} and {pair[1]!r} are the same column {twice[0]!r:.80} of {path.name}"
        raise InputError(f"log: {problem}; a signal cannot be two, leave one out")
    names = ("time_format", "Ts", "decimal", "where", "exclude")
    choices = {name: getattr(log, name) for name in names}
    return read_raw(
        table,
        columns,
        time=log.time,
        missing=log.missing or (),
        on_progress=on_progress,
        **choices,
    )


def column_names(columns: Mapping[str, str], table: Table, signals: Sequence[Signal]) -> list[str]:
    """The column of every signal: the one that `columns` gives, or one called like it, with or
    without its unit."""
    names = [columns.get(s.name, s.label if s.label in table.names else s.name) for s in signals]
    places = [table.places(name) for name in names]
    return [
        table.names[place[0]] if len(place) == 1 else name
        for name, place in zip(names, places, strict=True)
    ]


def _records(
    raw: Raw, log: LogOptions, Ts: float, nu: int, signals: Sequence[Signal]
) -> tuple[list[Record], list[str]]:
    """The records of one file and what was done to get them."""
    clock = " and a time of day" if raw.stamps in DATES else ""
    stamps = f", stamps read as {raw.stamps!r}{clock}" if log.time else ""
    story = [f"{len(raw.t)} rows, {raw.t[-1] / 3600:.4g} h{stamps}", *raw.notes]
    if raw.words:
        words = sorted(raw.words.items(), key=lambda w: -w[1])[:4]
        shown = ", ".join(f"{word!r} {count}×" for word, count in words)
        story.append(f"cells that are no number count as not measured: {shown}")
    grid = resample(raw, log.resample, Ts, nu)
    u, y = grid.u, grid.y
    story += grid.story
    if log.despike:
        y, spikes = despiked(y, log.despike)
        story += [
            f"{s.name}: {count} spike(s) count as not measured"
            for s, count in zip(signals[nu:], spikes, strict=True)
            if count
        ]
    unknown = np.isnan(u).any(axis=1)
    u, filled = held(u, log.longest_gap)
    if filled:
        story.append(
            f"inputs held over {filled} sample(s) where they were not known for at most"
            f" {log.longest_gap}"
        )
    u[~grid.counts] = np.nan  # not to be held over
    runs = runs_of(~np.isnan(u).any(axis=1))
    if left := int((~grid.counts).sum()):
        story.append(f"{left} sample(s) do not count, by `where` and `exclude`: they end a record")
    elif len(runs) > 1:
        lost = int(unknown.sum()) - filled
        story.append(
            f"{len(runs) - 1} gap(s) of more than {log.longest_gap} samples, {lost} samples in all,"
            " end a record each"
        )
    shortest = log.shortest(len(u))
    long = [(a, b) for a, b in (trimmed(y, a, b) for a, b in runs) if b - a >= shortest]
    if len(long) < len(runs):
        story.append(f"{len(runs) - len(long)} record(s) of fewer than {shortest} samples left out")
    stem = raw.file.name.split(".")[0]
    names = [stem if len(long) == 1 else f"{stem}-{number + 1}" for number in range(len(long))]
    pieces = zip(names, long, strict=True)
    return [Record(name, u[a:b], y[a:b]) for name, (a, b) in pieces], story


def _named(records: Sequence[Record]) -> list[Record]:
    """Records by names that tell them apart, also those that were cut from one."""
    names, result = Counter(r.name for r in records), list[Record]()
    pieces, taken = Counter[str](), {name for name, count in names.items() if count == 1}
    for r in records:
        name = r.name
        while names[r.name] > 1 and name in {r.name, *taken}:
            pieces[r.name] += 1
            name = f"{r.name}.{pieces[r.name]}"
        taken.add(name)
        result.append(replace(r, name=name))
    return result


def _check_parts(
    log: LogOptions,
    training: Sequence[Record],
    validation: Sequence[Record],
    outputs: Sequence[Signal],
) -> None:
    """InputError where a part has no record, or never an output."""
    remedy = "give more data, or lower min_samples in [log] (--min-samples of `new`)"
    for which, records in (("training", training), ("validation", validation)):
        if not records:
            raise InputError(f"log: no record is long enough for {which}; {remedy}")
        measured = np.isfinite(np.vstack([r.y for r in records])).sum(axis=0)
        for s, count in zip(outputs, measured, strict=True):
            if count < 2:
                raise InputError(
                    f"log: {s.name!r} was measured {count} times in the {which} data; validate on"
                    " another part: validation_part in [log] (--validation-part of `new`)"
                )


def _counted(training: Sequence[Record], validation: Sequence[Record], Ts: float) -> list[str]:
    """How many records and samples there are."""
    story = []
    for which, records in (("training", training), ("validation", validation)):
        missing = sum(int(np.isnan(r.y).sum()) for r in records)
        story.append(
            f"{which}: {len(records)} record(s), {sum(len(r.u) for r in records)} samples every"
            f" {Ts:g} s, {missing} output value(s) not measured"
        )
    return story


def _split(
    files: Sequence[Sequence[Record]], apart: Sequence[Sequence[Record]], log: LogOptions
) -> tuple[list[Record], list[Record], float, str]:
    """The records to train on and to validate on, and which share and part of the files the latter
    are; 0 and the end where they are files of their own."""
    if apart:
        return (
            [r for records in files for r in records],
            [r for records in apart for r in records],
            0.0,
            "end",
        )
    total = sum(len(r.u) for records in files for r in records)
    small = np.clip(_VALIDATING / max(1, total), _SMALL_SHARE, _MOST_SHARE)
    small = np.ceil(100 * small - 1e-9) / 100  # as a design says it
    share = log.validation or (_SHARE if total >= _SMALL else float(small))

    def cut(part: str) -> tuple[list[Record], list[Record]]:
        return _cut(files, share, part, log)

    part = _suggested(cut) if log.validation_part == "auto" else log.validation_part
    return *cut(part), share, part


def _cut(
    files: Sequence[Sequence[Record]], share: float, part: str, log: LogOptions
) -> tuple[list[Record], list[Record]]:
    """Of every file's samples all but a `share`, and that share: a `part` of it. A record that lies
    across is cut."""
    kept, validating = list[Record](), list[Record]()
    for records in files:
        edges = np.concatenate([[0], np.cumsum([len(r.u) for r in records])])
        shortest = log.shortest(int(edges[-1]))
        begin = {"end": 1 - share, "start": 0.0, "middle": (1 - share) / 2}[part]
        bounds = np.rint(np.array([0, begin, begin + share, 1]) * edges[-1])
        for record, (first, last) in zip(records, pairwise(edges), strict=True):
            cuts = (np.clip(bounds, first, last) - first).astype(int)
            for side, (a, b) in zip((kept, validating, kept), pairwise(cuts), strict=True):
                if b - a >= shortest:
                    side.append(Record(record.name, record.u[a:b], record.y[a:b]))
    return kept, validating


def _suggested(cut: Callable[[str], tuple[list[Record], list[Record]]]) -> str:
    """The end, unless it leaves the range of the rest: then the part that does so least."""
    shares_of = dict[str, float]()
    for part in PARTS[1:]:
        training, validation = cut(part)
        shares = outside(training, validation) if training and validation else np.ones(1)
        if part == "end" and shares.max() <= OUTSIDE:
            return part
        shares_of[part] = float(shares.sum())
    return min(shares_of, key=lambda part: shares_of[part])
