"""The design file: every number a human chose, in `design.toml`. Its keys are the keyword arguments of the package; others are errors."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from lstm_mpc.control.loop import Scenario
from lstm_mpc.control.problem import Problem
from lstm_mpc.data import Dataset, Record, read_csv, record
from lstm_mpc.errors import InputError
from lstm_mpc.excitation import Mprs, Steps
from lstm_mpc.ph import Plant
from lstm_mpc.release import Policy
from lstm_mpc.system import Signal, System
from lstm_mpc.training import Settings


@dataclass(frozen=True)
class Experiment:
    """`[experiment]`: what is recorded on the simulated plant. Noise as variances [unit²]; `resolution` [unit] is what the
    recorder keeps; training data come from `seed`, validation data from `seed + 1`."""

    training_samples: int = 4400
    validation_samples: int = 2250
    dwell: tuple[float, float] = (300.0, 2000.0)
    input_noise: float = 0.0
    output_noise: float = 0.0
    resolution: float = 0.0
    seed: int = 1


@dataclass(frozen=True)
class Data:
    """`[data]`: the CSV files of an own experiment, one record each, relative to the design; and the scaling rule."""

    training: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    scaling: str = "limits"


@dataclass(frozen=True)
class Search:
    """`[search]`: how many starts, from which seed; the first `skip` samples of a validation record are the transient from a
    random start and do not count."""

    starts: int = 4
    seed: int = 0
    skip: int = 50


@dataclass(frozen=True)
class Verifying:
    """`[verify]`: the keyword arguments of `scenario.verify`."""

    radii: tuple[float, ...] = (1.0,)
    epsilon: float = 1e-2
    beta: float = 1e-6
    rule: str = "paper"
    shape: str = "ball"
    steps: int = 2000
    settle: int = 100
    dwell: tuple[float, float] = (300.0, 2000.0)
    start_box: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Design:
    """A design directory as read: where it lies and what its `design.toml` says."""

    folder: Path
    name: str
    plant: Plant | None
    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    experiment: Experiment
    data: Data
    train: Settings
    search: Search
    safe_set: tuple[tuple[float, float], ...]
    verify: Verifying
    release: Policy
    control: Problem
    u_start: tuple[float, ...]
    scenarios: tuple[Scenario, ...] = field(default=())

    @property
    def system(self) -> System | None:
        """The simulated plant, where the design has one, with an ideal probe."""
        return None if self.plant is None else self.plant.system()

    def file(self, name: str) -> Path:
        return self.folder / name

    def records(self, which: str) -> Dataset:
        """The "training" or "validation" data: what `record` wrote, or the design's own files."""
        own = getattr(self.data, which)
        paths = [self.folder / path for path in own] if own else [self.file(f"data-{which}.csv")]
        return read_csv(paths, self.inputs, self.outputs)

    def experiment_records(self) -> dict[str, Dataset]:
        """Run the experiment on the simulated plant: "training" and "validation" data."""
        if self.system is None:
            raise InputError(f"{self.folder}: the design has no [plant] to record from; its data come from [data] files")
        e, system = self.experiment, self.system
        excitation = Mprs(tuple(s.low for s in self.inputs), tuple(s.high for s in self.inputs), e.dwell)
        counts = {"training": e.training_samples, "validation": e.validation_samples}
        made: dict[str, Dataset] = {}
        for offset, (which, steps) in enumerate(counts.items()):
            noise = {"input_noise": e.input_noise, "output_noise": e.output_noise, "resolution": e.resolution}
            item: Record = record(system, excitation, steps=steps, seed=e.seed + offset, name=f"data-{which}", **noise)
            made[which] = Dataset(self.inputs, self.outputs, system.Ts, (item,))
        return made


def load_design(folder: str | Path) -> Design:
    """Read `folder/design.toml`; InputError names the file and key for anything unknown, missing or of a wrong type."""
    folder = Path(folder)
    path = folder / "design.toml"
    try:
        with path.open("rb") as stream:
            content = tomllib.load(stream)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); a design directory holds a design.toml") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not TOML ({error})") from error
    try:
        return _design(folder, content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


_TABLES = [
    "name",
    "plant",
    "input",
    "output",
    "experiment",
    "data",
    "train",
    "search",
    "safe_set",
    "verify",
    "release",
    "control",
    "scenario",
]


def _design(folder: Path, content: dict[str, Any]) -> Design:
    _known(content, _TABLES, "the design")
    plant = None
    if "plant" in content:
        table = dict(content["plant"])
        if table.pop("kind", None) != "ph":
            raise InputError(f"[plant] kind must be 'ph', got {content['plant'].get('kind')!r}; other plants are used from Python")
        plant = _make(Plant, table, "[plant]")
    system = plant.system() if plant else None
    inputs = tuple(_make(Signal, table, "[[input]]") for table in content.get("input", ())) or (system.inputs if system else ())
    outputs = tuple(_make(Signal, table, "[[output]]") for table in content.get("output", ())) or (system.outputs if system else ())
    if not inputs or not outputs:
        raise InputError("without a [plant] the design needs [[input]] and [[output]] tables (name, unit, low, high)")
    safe = content.get("safe_set", {})
    _known(safe, [s.name for s in outputs], "[safe_set]")
    control = dict(content.get("control", {}))
    u_start = control.pop("u_start", [s.nominal for s in inputs])
    if None in u_start or len(u_start) != len(inputs):
        raise InputError(f"[control] u_start needs {len(inputs)} number(s), the inputs in force before control begins")
    return Design(
        folder=folder,
        name=str(content.get("name", folder.resolve().name)),
        plant=plant,
        inputs=inputs,
        outputs=outputs,
        experiment=_make(Experiment, content.get("experiment", {}), "[experiment]"),
        data=_make(Data, content.get("data", {}), "[data]"),
        train=_make(Settings, content.get("train", {}), "[train]"),
        search=_make(Search, content.get("search", {}), "[search]"),
        safe_set=tuple(_interval(safe.get(s.name, [s.low, s.high]), s) for s in outputs),
        verify=_make(Verifying, content.get("verify", {}), "[verify]"),
        release=_make(Policy, content.get("release", {}), "[release]"),
        control=_make(Problem, control, "[control]"),
        u_start=tuple(float(v) for v in u_start),
        scenarios=tuple(_scenario(table, system) for table in content.get("scenario", ())),
    )


def _known(table: Mapping[str, Any], names: Any, where: str) -> None:
    if not isinstance(table, Mapping):
        raise InputError(f"{where} must be a table, got {table!r:.40}")
    for key in table:
        if key not in names:
            near = get_close_matches(key, names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
            raise InputError(f"unknown key {key!r} in {where}; {hint}")


def _make(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    """A dataclass from a TOML table; every key must be a field and have the type of its default."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    _known(table, list(fields), where)
    values = {}
    for key, value in table.items():
        values[key] = tuple(value) if isinstance(value, list) else value
        default = fields[key].default
        free = fields[key].type == "ArrayLike" and isinstance(value, list)
        if not free and not _alike(value, default):
            raise InputError(f"{where} {key} = {value!r} is of the wrong type, expected one like {default!r}")
    try:
        return kind(**values)
    except TypeError as error:
        raise InputError(f"{where}: {error}") from error


def _alike(value: Any, default: Any) -> bool:
    """Does a TOML value have the type of the field's default? A whole number may stand for a real one."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) == isinstance(value, bool) or default is None
    kinds: dict[type, tuple[type, ...]] = {int: (int,), float: (int, float), str: (str,), tuple: (list,)}
    return isinstance(value, kinds.get(type(default), (object,)))


def _interval(value: Any, signal: Signal) -> tuple[float, float]:
    try:
        low, high = (float(v) for v in value)
    except (TypeError, ValueError) as error:
        raise InputError(f"[safe_set] {signal.name} must be [low, high] in {signal.unit}, got {value!r}") from error
    if not low < high:
        raise InputError(f"[safe_set] {signal.name} = [{low}, {high}] must rise")
    return low, high


def _scenario(table: Mapping[str, Any], system: System | None) -> Scenario:
    """A `[[scenario]]`: `setpoint` = [[t, value, …], …]; one list of [t, value] per disturbance name."""
    if system is None:
        raise InputError("[[scenario]] needs a [plant] to simulate")
    disturbances = {s.name: s for s in system.disturbances}
    plain = [f.name for f in dataclasses.fields(Scenario) if f.name != "disturbances"]
    where = f"[[scenario]] {table.get('name', '')!r}" if isinstance(table, Mapping) else "[[scenario]]"
    _known(table, [*plain, *disturbances], where)
    values = {k: v for k, v in table.items() if k not in disturbances}
    values["setpoint"] = _steps(values.get("setpoint", []), f"{where} setpoint")
    if any(name in table for name in disturbances):
        schedules = [_steps(table.get(n, [[0.0, s.nominal]]), f"{where} {n}") for n, s in disturbances.items()]
        times = sorted({t for schedule in schedules for t in schedule.times})
        values["disturbances"] = Steps(tuple(times), [[float(_at(s, t)) for s in schedules] for t in times])
    made: Scenario = _make(Scenario, values, where)
    return made


def _steps(rows: Any, where: str) -> Steps:
    try:
        return Steps(tuple(float(row[0]) for row in rows), [[float(v) for v in row[1:]] for row in rows])
    except (TypeError, ValueError, IndexError, InputError) as error:
        raise InputError(f"{where} must be a list of [time s, value], starting at 0 and rising, got {rows!r:.60}") from error


def _at(schedule: Steps, t: float) -> float:
    return [float(level[0]) for time, level in zip(schedule.times, np.asarray(schedule.levels), strict=True) if time <= t][-1]
