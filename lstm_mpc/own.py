"""The verbs for one's own data: `new`, a first design from logs, and `order`, how many cells a model needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lstm_mpc import store
from lstm_mpc.artefacts import Options, Result, claim
from lstm_mpc.data import Dataset
from lstm_mpc.design import load_design
from lstm_mpc.errors import InputError
from lstm_mpc.look import describe, look, refusals
from lstm_mpc.new import columns_of, draft, signals_of, time_column, wanted
from lstm_mpc.preparing import Log, prepare_log
from lstm_mpc.system import Signal


def new_verb(
    folder: Path,
    files: Sequence[Path],
    inputs: Sequence[str],
    outputs: Sequence[str],
    options: Options,
    *,
    log: Log,
    name: str = "",
) -> Result:
    """Draft a design for recorded data → design.toml beside copies of the logs, and a first look at them.

    `inputs` and `outputs` are signals as `new.wanted` reads them; `log` says how the files are read, its file names and columns apart.
    """
    for path in (folder / "design.toml", *(folder / file.name for file in files)):
        if path.resolve() not in [file.resolve() for file in files]:
            claim(path, options)
    if len({file.name for file in files}) < len(files):
        raise InputError("two data files have the same name; rename one, for the design directory holds a copy of each")
    asked = [*map(wanted, inputs), *map(wanted, outputs)]
    twice = {s.name for s in asked if [t.name for t in asked].count(s.name) > 1}
    if twice:
        raise InputError(f"two signals are called {min(twice)!r}")
    columns, units = columns_of(files[0], asked)
    log = replace(log, time=log.time or time_column(files[0], columns.values()))
    log = replace(log, columns={s.name: columns[s.name] for s in asked if columns[s.name] not in (s.name, f"{s.name} [{units[s.name]}]")})
    validating = [file for file in files if file.name in log.validation_files]
    where = {file.name: str(file.resolve()) for file in files}
    near = replace(
        log, files=tuple(where[f.name] for f in files if f not in validating), validation_files=tuple(where[f.name] for f in validating)
    )
    given, measured = asked[: len(inputs)], asked[len(inputs) :]
    made = prepare_log(near, folder, *([Signal(s.name, units[s.name]) for s in part] for part in (given, measured)))
    values = np.vstack([np.hstack([r.u, r.y]) for r in (*made.training.records, *made.validation.records)])
    spans = {s.name: (float(np.nanmin(v)), float(np.nanmax(v))) for s, v in zip(asked, values.T, strict=True)}
    reasons = refusals(_joined(made.training, made.validation))
    if reasons:
        raise InputError("nothing can be identified from these data: " + "; ".join(reasons))
    u, y = signals_of(given, units, spans, limit=True), signals_of(measured, units, spans, limit=False)
    training, validation = (Dataset(u, y, d.Ts, d.records) for d in (made.training, made.validation))
    seen = look(_joined(training, validation))
    guessed = [s.name for s in given if s.low is None]
    local = replace(log, files=tuple(f.name for f in files if f not in validating), Ts=training.Ts)
    text = draft(name or folder.resolve().name, local, training, validation, seen, guessed)
    for file in files:
        if (folder / file.name).resolve() != file.resolve():
            store.write_bytes(folder / file.name, file.read_bytes())
    store.write_text(folder / "design.toml", text)
    load_design(folder)  # what is written can be read
    lines = [*made.story, *seen.lines(training.Ts)]
    lines += [f"limits of {', '.join(guessed)} are those of the data: give what the actuator can do, in design.toml"] if guessed else []
    lines += [f"→ {folder / 'design.toml'}; read the lines marked CHOOSE, then: lstm-mpc run {folder}"]
    return Result(tuple(lines), {"design": str(folder / "design.toml"), "story": list(made.story), **describe(seen)})


def _joined(training: Dataset, validation: Dataset) -> Dataset:
    return replace(training, records=(*training.records, *validation.records))
