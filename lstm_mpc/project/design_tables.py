"""The tables of a design: the records that no other room has, and how what is not simply a table of
fields is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_mpc.assurance.loop_law import LoopLaw
from lstm_mpc.assurance.loop_verification import LoopVerifyOptions
from lstm_mpc.assurance.model_plant import REPLAY, ModelPlant
from lstm_mpc.control.faults import Fault
from lstm_mpc.control.observers.options import GatedTuning, KalmanTuning, MheTuning
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.excitation import Mprs, Steps, record
from lstm_mpc.errors import InputError
from lstm_mpc.io.schema import noun, refuse_unknown, table_of, tables_of
from lstm_mpc.plants import ph, quadruple_tank
from lstm_mpc.plants.system import Signal, System

Plant = ph.Plant | quadruple_tank.Plant
# the kinds of [plant]
PLANTS: dict[str, type[Plant]] = {"ph": ph.Plant, "quadruple_tank": quadruple_tank.Plant}
_MODEL = "model"  # and the kind whose plant is the identified model
ANYWAY = 'kind = "model" takes variations of the identified model'


@dataclass(frozen=True)
class Experiment:
    """`[experiment]`: what is recorded on the simulated plant. Noise as variances [unit²];
    `resolution` [unit] is what the recorder keeps; training data come from `seed`, validation data
    from `seed + 1`."""

    training_samples: int = 4400
    validation_samples: int = 2250
    dwell: tuple[float, float] | None = None
    input_noise: float = 0.0
    output_noise: float = 0.0
    resolution: float = 0.0
    seed: int = 1

    def records(
        self, system: System, inputs: tuple[Signal, ...], outputs: tuple[Signal, ...]
    ) -> dict[str, Dataset]:
        """Run the experiment on a plant: "training" and "validation" data of these signals."""
        excitation = Mprs(tuple(s.low for s in inputs), tuple(s.high for s in inputs), self.dwell)
        noise = {key: getattr(self, key) for key in ("input_noise", "output_noise", "resolution")}
        counts = {"training": self.training_samples, "validation": self.validation_samples}
        records: dict[str, Dataset] = {}
        for offset, (which, steps) in enumerate(counts.items()):
            seed, name = self.seed + offset, f"data-{which}"
            item = record(system, excitation, steps=steps, seed=seed, name=name, **noise)
            records[which] = Dataset(inputs, outputs, system.Ts, (item,))
        return records


@dataclass(frozen=True)
class ReportOptions:
    """`[report]`: what the head of the design report says of the `plant`, the `author`, the
    `revision` and the `date`."""

    plant: str = ""
    author: str = ""
    revision: str = ""
    date: str = ""


@dataclass(frozen=True)
class DataOptions:
    """`[data]`: the CSV files of an own experiment, one record each, relative to the design; and
    the scaling rule. Of more than `samples` training samples only windows of `window` samples are
    trained on, those in which the inputs move most; 0: all. Outputs that are `integrating` or
    `unstable` have no model under a stability condition: training refuses them."""

    training: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    scaling: str = "limits"
    samples: int = 0
    window: int = 1000
    integrating: tuple[str, ...] = ()
    unstable: tuple[str, ...] = ()

    def refusal(self) -> str | None:
        """Why nothing can be trained on these data, in a sentence; None where something can."""
        found = [(f"{name} integrates", "integrating") for name in self.integrating]
        found += [(f"{name} is unstable", "unstable") for name in self.unstable]
        if not found:
            return None
        what, keys = (list(dict.fromkeys(part)) for part in zip(*found, strict=True))
        return (
            f"{' and '.join(what)}: no model under iss or delta_iss can describe it; record the"
            " plant behind a controller that holds it, with the setpoint of that controller as the"
            f" input, or where the data deceive, empty {' and '.join(keys)} in [data]"
        )


TABLES = (
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
    "report",
)
OBSERVERS: dict[str, type] = {"kalman": KalmanTuning, "gated": GatedTuning, "mhe": MheTuning}
RENAMED: dict[str, dict[str, str]] = {  # table -> {key of earlier versions: its name today}
    "the design": {"budget": "solver"},
    "train": {"nx": "cells", "box": "weight_bound", "least": "min_improvement"},
    "search": {"skip": "transient", "price": "max_fit_loss"},
    "solver": {
        "passes": "sqp_iterations",
        "changes": "qp_iterations",
        "halvings": "line_search_steps",
        "correct": "tolerance",
        "correction_threshold": "tolerance",
    },
    "observer": {
        "largest": "max_disturbance",
        "alert": "drift_boost",
        "timing": "delay_uncertainty",
    },
    "log": {"least": "min_samples"},
}


def options(kind: type[Any], content: Mapping[str, Any], table: str) -> Any:
    """The record that the fields of `[table]` are."""
    return noun(kind, table_of(content, table), f"[{table}]", RENAMED.get(table, {}))


def plant(content: Mapping[str, Any]) -> tuple[Plant | None, ModelPlant | None]:
    """`[plant]`, where the design has one: its kind decides the other keys."""
    if "plant" not in content:
        return None, None
    table = table_of(content, "plant")
    kind = table.pop("kind", None)
    if kind == _MODEL:
        return None, noun(ModelPlant, table, "[plant]")
    if not isinstance(kind, str) or kind not in PLANTS:
        raise InputError(
            f"[plant] kind must be {' or '.join(map(repr, [*PLANTS, _MODEL]))}, got {kind!r:.60};"
            " other plants are used from Python"
        )
    return noun(PLANTS[kind], table, "[plant]"), None


def observer(table: dict[str, Any]) -> KalmanTuning | GatedTuning | None:
    """`[observer]`: its kind decides the other keys; none: the open-loop observer of
    `[control]`."""
    kind = table.pop("kind", "open_loop")
    if kind == "open_loop":
        refuse_unknown(table, ["kind"], "[observer]")
        return None
    if not isinstance(kind, str) or kind not in OBSERVERS:
        raise InputError(
            f"[observer] kind must be {', '.join(map(repr, ['open_loop', *OBSERVERS]))}, got"
            f" {kind!r:.60}"
        )
    tuning: KalmanTuning | GatedTuning = noun(
        OBSERVERS[kind], table, "[observer]", RENAMED["observer"]
    )
    return tuning


def interval(value: Any, signal: Signal) -> tuple[float, float]:
    try:
        low, high = (float(v) for v in value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"[safe_set] {signal.name} must be [low, high] in {signal.unit}, got {value!r:.60}"
        ) from error
    if not low < high:
        raise InputError(f"[safe_set] {signal.name} = [{low}, {high}] must rise")
    return low, high


def scenario(table: Mapping[str, Any], of_plant: Sequence[Signal] | None) -> Scenario:
    """A `[[scenario]]`: `setpoint` = [[t, value, …], …]; one list of [t, value] per disturbance
    name; `[[scenario.fault]]` tables. `of_plant` are the disturbances that the plant has."""
    if of_plant is None:
        raise InputError(f"[[scenario]] needs a [plant] to simulate; {ANYWAY}")
    disturbances = {s.name: s for s in of_plant}
    plain = [
        f.name for f in dataclasses.fields(Scenario) if f.name not in ("disturbances", "faults")
    ]
    where = f"[[scenario]] {table.get('name', '')!r:.60}"
    refuse_unknown(table, [*plain, "fault", *disturbances], where)
    values = {k: v for k, v in table.items() if k != "fault" and k not in disturbances}
    faults = tuple(
        noun(Fault, row, f"{where} [[scenario.fault]]") for row in tables_of(table, "fault")
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
    nominal: Scenario = noun(Scenario, values, where)
    return dataclasses.replace(nominal, faults=faults)


def refuse_reserved(measured: Iterable[str]) -> None:
    """InputError for the name of a measured input that is a key of the tables of its values."""
    own = {
        f.name for kind in (Scenario, LoopLaw, LoopVerifyOptions) for f in dataclasses.fields(kind)
    }
    for name in measured:
        if name in {*own, "fault", REPLAY.name}:
            raise InputError(
                f"a measured input cannot be called {name!r}, which is a key of [[scenario]] or"
                " [verify_loop]; give it another name (--measured NAME=COLUMN of `new`, columns in"
                " [log])"
            )


def loop_options(
    table: dict[str, Any], of_plant: Sequence[Signal] | None
) -> tuple[LoopLaw, LoopVerifyOptions]:
    """`[verify_loop]`: the law, one [low, high] per setpoint, start and disturbance name, and the
    options."""
    if of_plant is None:
        raise InputError(f"[verify_loop] needs a [plant] to simulate; {ANYWAY}")
    disturbances = [s.name for s in of_plant]
    of_law = [f.name for f in dataclasses.fields(LoopLaw) if f.name != "disturbances"]
    own = [f.name for f in dataclasses.fields(LoopVerifyOptions)]
    refuse_unknown(table, [*own, *of_law, *disturbances], "[verify_loop]")
    parts = [
        {k: v for k, v in table.items() if k in names} for names in (of_law, disturbances, own)
    ]
    law: LoopLaw = noun(LoopLaw, {**parts[0], "disturbances": parts[1]}, "[verify_loop]")
    built: LoopVerifyOptions = noun(LoopVerifyOptions, parts[2], "[verify_loop]")
    return law, built


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
