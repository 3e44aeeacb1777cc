"""The design file: every number a human chose, in `design.toml`. Its keys are the keyword arguments
of the package; others are errors."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lstm_mpc.assurance.loop_law import LoopLaw
from lstm_mpc.assurance.model_plant import REPLAY, ModelPlant
from lstm_mpc.certificates.gate import Policy
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.faults import Fault
from lstm_mpc.control.problem import GatedTuning, KalmanTuning, MheTuning, Problem
from lstm_mpc.control.simulation import Scenario
from lstm_mpc.data.csv_file import read_csv
from lstm_mpc.data.dataset import Dataset, Record, record
from lstm_mpc.data.excitation import Mprs, Steps
from lstm_mpc.data.log_options import LogOptions
from lstm_mpc.data.log_preparation import Prepared, prepare_log
from lstm_mpc.errors import InputError
from lstm_mpc.identification.training import TrainingOptions
from lstm_mpc.io import artefact_file
from lstm_mpc.io.schema import fits, known, make, table_of, tables_of
from lstm_mpc.model.importers.import_file import ImportOptions
from lstm_mpc.plants import ph, quadruple_tank
from lstm_mpc.plants.system import Signal, System
from lstm_mpc.project.variations import variations

Plant = ph.Plant | quadruple_tank.Plant
# the kinds of [plant]
PLANTS: dict[str, type[Plant]] = {"ph": ph.Plant, "quadruple_tank": quadruple_tank.Plant}
_MODEL = "model"  # and the kind whose plant is the identified model
_ANYWAY = 'kind = "model" takes variations of the identified model'
_LIMIT = 4 * 2**20  # [bytes] of a design: what people write and read


@dataclass(frozen=True)
class Experiment:
    """`[experiment]`: what is recorded on the simulated plant. Noise as variances [unit²];
    `resolution` [unit] is what the recorder keeps; training data come from `seed`, validation data
    from `seed + 1`."""

    training_samples: int = 4400
    validation_samples: int = 2250
    dwell: tuple[float, float] = (300.0, 2000.0)
    input_noise: float = 0.0
    output_noise: float = 0.0
    resolution: float = 0.0
    seed: int = 1


@dataclass(frozen=True)
class DataOptions:
    """`[data]`: the CSV files of an own experiment, one record each, relative to the design; and
    the scaling rule. Of more than `samples` training samples only windows of `window` samples are
    trained on, those in which the inputs move most; 0: all."""

    training: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    scaling: str = "limits"
    samples: int = 0
    window: int = 1000


@dataclass(frozen=True)
class SearchOptions:
    """`[search]`: how many starts, from which seed, chosen among `screen` short ones where that is
    more; the first `transient` samples of a validation record are the transient from a random start
    and do not count. With a `window` (at most `transient`) the start of a validation record is
    estimated from its first samples instead. `max_fit_loss` [points of FIT] is what conditions that
    the gate does not ask for may cost: where training under those of `[release]` alone is better by
    more, that model is taken."""

    starts: int = 4
    screen: int = 0
    seed: int = 0
    transient: int = 50
    window: int = 0
    max_fit_loss: float | None = None


@dataclass(frozen=True)
class VerifyOptions:
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
class LoopVerifyOptions:
    """`[verify_loop]`: the keyword arguments of `control.verify.verify_loop`. The keys of its law
    stand among them, a disturbance by its own name."""

    law: LoopLaw
    epsilon: float = 1e-2
    beta: float = 1e-6
    rule: str = "exact"
    steps: int = 360
    settle: int = 60
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
    data: DataOptions
    train: TrainingOptions
    search: SearchOptions
    safe_set: tuple[tuple[float, float], ...]
    verify: VerifyOptions
    release: Policy
    control: Problem
    solver: SolverOptions
    u_start: tuple[float, ...]
    scenarios: tuple[Scenario, ...] = field(default=())
    foreign: ImportOptions = field(default=ImportOptions())
    verify_loop: LoopVerifyOptions | None = None
    log: LogOptions = field(default=LogOptions())
    model_plant: ModelPlant | None = None

    @property
    def system(self) -> System | None:
        """The simulated plant, where the design has one, with an ideal probe."""
        return None if self.plant is None else self.plant.system()

    @property
    def disturbances(self) -> tuple[Signal, ...]:
        """Those of the simulated plant."""
        if self.model_plant is not None:
            return (REPLAY,)
        return () if self.system is None else self.system.disturbances

    def plant_of(self, scenario: Scenario | LoopLaw) -> System:
        """The simulated plant as a scenario, or a law of scenarios, needs it."""
        if self.model_plant is not None:
            return self._variations
        if self.plant is None:
            raise InputError(f"{self.folder}: a closed loop needs a [plant] to simulate; {_ANYWAY}")
        return dataclasses.replace(self.plant, uncertain=scenario.mismatch > 0).system()

    @cached_property
    def _variations(self) -> System:
        """The identified model and what is known of its error, as the plant."""
        assert self.model_plant is not None
        recorded = self.data.validation or self.file("data-validation.csv").exists()
        return variations(
            self.model_plant,
            self.folder,
            self.records("validation") if recorded else None,
            transient=self.search.transient,
            window=self.search.window,
        )

    def file(self, name: str) -> Path:
        return self.folder / name

    def records(self, which: str) -> Dataset:
        """The "training" or "validation" data: what `record` wrote, or the design's own files."""
        own = getattr(self.data, which)
        paths = [self.folder / path for path in own] if own else [self.file(f"data-{which}.csv")]
        return read_csv(paths, self.inputs, self.outputs)

    def sampling_time(self) -> float:
        """Ts [s] of the plant or the data; `[import]` Ts where there is neither, and never another
        one."""
        asked = self.foreign.Ts
        known = (
            self.system.Ts
            if self.system
            else self.records("training").Ts
            if self.data.training or self.log.files
            else asked
        )
        if known is None:
            raise InputError(
                f"{self.folder}: the design has no [plant], no [log] and no [data]; give Ts [s] in"
                " [import]"
            )
        if asked is not None and abs(asked - known) > 1e-9 * known:
            raise InputError(
                f"{self.folder}: [import] Ts = {asked:g} s, but the plant or the data of the design"
                f" have {known:g} s"
            )
        return known

    def logged(
        self, on_progress: Callable[[float, str], None] = lambda share, file: None
    ) -> Prepared:
        """The records made of the raw files of `[log]`."""
        return prepare_log(
            self.log, self.folder, self.inputs, self.outputs, on_progress=on_progress
        )

    def experiment_records(self) -> dict[str, Dataset]:
        """Run the experiment on the simulated plant: "training" and "validation" data."""
        if self.system is None:
            raise InputError(
                f"{self.folder}: the design has no [plant] to record from and no [log]; its data"
                " come from [data] files"
            )
        e, system = self.experiment, self.system
        excitation = Mprs(
            tuple(s.low for s in self.inputs), tuple(s.high for s in self.inputs), e.dwell
        )
        counts = {"training": e.training_samples, "validation": e.validation_samples}
        made: dict[str, Dataset] = {}
        for offset, (which, steps) in enumerate(counts.items()):
            noise = {
                "input_noise": e.input_noise,
                "output_noise": e.output_noise,
                "resolution": e.resolution,
            }
            item: Record = record(
                system, excitation, steps=steps, seed=e.seed + offset, name=f"data-{which}", **noise
            )
            made[which] = Dataset(self.inputs, self.outputs, system.Ts, (item,))
        return made


def load_design(folder: str | Path) -> Design:
    """Read `folder/design.toml`; InputError names the file and key for anything unknown, missing or
    of a wrong type."""
    folder = Path(folder)
    path = folder / "design.toml"
    try:
        content = tomllib.loads(artefact_file.read_bytes(path, limit=_LIMIT).decode("utf-8-sig"))
    except OSError as error:
        if folder.is_file():
            raise InputError(
                f"{folder}: is a file; a verb takes the directory that holds design.toml"
            ) from error
        remedy = (
            f"a design directory holds a design.toml; `lstm-mpc new {folder} --data log.csv` writes"
            " one from your data"
        )
        raise InputError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # TOML's own errors, text that is not UTF-8, numbers of thousands of digits
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
    "observer",
    "solver",
    "scenario",
    "import",
    "verify_loop",
    "log",
]


def _design(folder: Path, content: dict[str, Any]) -> Design:
    known(content, _TABLES, "the design")
    plant, model_plant = _plant(content)
    system = plant.system() if plant else None
    disturbances = (REPLAY,) if model_plant else system.disturbances if system else None
    inputs = tuple(make(Signal, table, "[[input]]") for table in tables_of(content, "input")) or (
        system.inputs if system else ()
    )
    outputs = tuple(
        make(Signal, table, "[[output]]") for table in tables_of(content, "output")
    ) or (system.outputs if system else ())
    if not inputs or not outputs:
        raise InputError(
            "without a [plant] the design needs [[input]] and [[output]] tables (name, unit, low,"
            " high)"
        )
    safe = table_of(content, "safe_set")
    known(safe, [s.name for s in outputs], "[safe_set]")
    control = table_of(content, "control")
    middle = [
        0.5 * (s.low + s.high) if s.nominal is None and s.bounded else s.nominal for s in inputs
    ]
    u_start = control.pop("u_start", middle)
    if (
        not isinstance(u_start, list)
        or len(u_start) != len(inputs)
        or not all(fits(v, float) for v in u_start)
    ):
        raise InputError(
            f"[control] u_start needs {len(inputs)} number(s), the inputs in force before control"
            " begins"
        )
    known(
        control, [f.name for f in dataclasses.fields(Problem) if f.name != "observer"], "[control]"
    )
    policy = make(Policy, table_of(content, "release"), "[release]")
    # what the gate asks is trained in
    training = {"conditions": list(policy.conditions), **table_of(content, "train")}
    return Design(
        folder=folder,
        name=str(content.get("name", folder.resolve().name)),
        plant=plant,
        inputs=inputs,
        outputs=outputs,
        experiment=make(Experiment, table_of(content, "experiment"), "[experiment]"),
        data=make(DataOptions, table_of(content, "data"), "[data]"),
        train=make(TrainingOptions, training, "[train]"),
        search=make(SearchOptions, table_of(content, "search"), "[search]"),
        safe_set=tuple(_interval(safe.get(s.name, [s.low, s.high]), s) for s in outputs),
        verify=make(VerifyOptions, table_of(content, "verify"), "[verify]"),
        release=policy,
        control=dataclasses.replace(
            make(Problem, control, "[control]"), observer=_observer(table_of(content, "observer"))
        ),
        solver=make(SolverOptions, table_of(content, "solver"), "[solver]"),
        u_start=tuple(float(v) for v in u_start),
        scenarios=tuple(_scenario(table, disturbances) for table in tables_of(content, "scenario")),
        foreign=make(ImportOptions, table_of(content, "import"), "[import]"),
        log=make(LogOptions, table_of(content, "log"), "[log]"),
        verify_loop=(
            _looping(table_of(content, "verify_loop"), disturbances)
            if "verify_loop" in content
            else None
        ),
        model_plant=model_plant,
    )


def _plant(content: dict[str, Any]) -> tuple[Plant | None, ModelPlant | None]:
    """`[plant]`: its kind decides the other keys."""
    if "plant" not in content:
        return None, None
    table = table_of(content, "plant")
    kind = table.pop("kind", None)
    if kind == _MODEL:
        return None, make(ModelPlant, table, "[plant]")
    if not isinstance(kind, str) or kind not in PLANTS:
        raise InputError(
            f"[plant] kind must be {' or '.join(map(repr, [*PLANTS, _MODEL]))}, got {kind!r:.60};"
            " other plants are used from Python"
        )
    return make(PLANTS[kind], table, "[plant]"), None


_OBSERVERS: dict[str, type] = {"kalman": KalmanTuning, "gated": GatedTuning, "mhe": MheTuning}


def _observer(table: dict[str, Any]) -> KalmanTuning | GatedTuning | None:
    """`[observer]`: its kind decides the other keys; none: the open-loop observer of
    `[control]`."""
    kind = table.pop("kind", "open_loop")
    if kind == "open_loop":
        known(table, ["kind"], "[observer]")
        return None
    if not isinstance(kind, str) or kind not in _OBSERVERS:
        raise InputError(
            f"[observer] kind must be {', '.join(map(repr, ['open_loop', *_OBSERVERS]))}, got"
            f" {kind!r:.60}"
        )
    made: KalmanTuning | GatedTuning = make(_OBSERVERS[kind], table, "[observer]")
    return made


def _interval(value: Any, signal: Signal) -> tuple[float, float]:
    try:
        low, high = (float(v) for v in value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"[safe_set] {signal.name} must be [low, high] in {signal.unit}, got {value!r:.60}"
        ) from error
    if not low < high:
        raise InputError(f"[safe_set] {signal.name} = [{low}, {high}] must rise")
    return low, high


def _scenario(table: Mapping[str, Any], of_plant: Sequence[Signal] | None) -> Scenario:
    """A `[[scenario]]`: `setpoint` = [[t, value, …], …]; one list of [t, value] per disturbance
    name; `[[scenario.fault]]` tables. `of_plant` are the disturbances that the plant has."""
    if of_plant is None:
        raise InputError(f"[[scenario]] needs a [plant] to simulate; {_ANYWAY}")
    disturbances = {s.name: s for s in of_plant}
    plain = [
        f.name for f in dataclasses.fields(Scenario) if f.name not in ("disturbances", "faults")
    ]
    where = f"[[scenario]] {table.get('name', '')!r:.60}"
    known(table, [*plain, "fault", *disturbances], where)
    values = {k: v for k, v in table.items() if k != "fault" and k not in disturbances}
    faults = tuple(
        make(Fault, row, f"{where} [[scenario.fault]]") for row in tables_of(table, "fault")
    )
    values["setpoint"] = _steps(values.get("setpoint", []), f"{where} setpoint")
    if any(name in table for name in disturbances):
        schedules = [
            _steps(table.get(n, [[0.0, s.nominal]]), f"{where} {n}")
            for n, s in disturbances.items()
        ]
        times = sorted({t for schedule in schedules for t in schedule.times})
        values["disturbances"] = Steps(
            tuple(times), [[float(_at(s, t)) for s in schedules] for t in times]
        )
    made: Scenario = make(Scenario, values, where)
    return dataclasses.replace(made, faults=faults)


def _looping(table: dict[str, Any], of_plant: Sequence[Signal] | None) -> LoopVerifyOptions:
    """`[verify_loop]`: one [low, high] per setpoint, start and disturbance name."""
    if of_plant is None:
        raise InputError(f"[verify_loop] needs a [plant] to simulate; {_ANYWAY}")
    disturbances = [s.name for s in of_plant]
    of_law = [f.name for f in dataclasses.fields(LoopLaw) if f.name != "disturbances"]
    own = [f.name for f in dataclasses.fields(LoopVerifyOptions) if f.name != "law"]
    known(table, [*own, *of_law, *disturbances], "[verify_loop]")
    parts = [
        {k: v for k, v in table.items() if k in names} for names in (of_law, disturbances, own)
    ]
    law = make(LoopLaw, {**parts[0], "disturbances": parts[1]}, "[verify_loop]")
    made: LoopVerifyOptions = make(LoopVerifyOptions, {**parts[2], "law": law}, "[verify_loop]")
    return made


def _steps(rows: Any, where: str) -> Steps:
    try:
        return Steps(
            tuple(float(row[0]) for row in rows), [[float(v) for v in row[1:]] for row in rows]
        )
    except (TypeError, ValueError, LookupError, OverflowError, InputError) as error:
        raise InputError(
            f"{where} must be a list of [time s, value], starting at 0 and rising, got {rows!r:.60}"
        ) from error


def _at(schedule: Steps, t: float) -> float:
    return [
        float(level[0])
        for time, level in zip(schedule.times, np.asarray(schedule.levels), strict=True)
        if time <= t
    ][-1]
