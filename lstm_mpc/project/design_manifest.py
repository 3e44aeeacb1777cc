"""What a design directory holds that evidence depends on: the manifest of a design."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from lstm_mpc.assurance.loop_law import LoopLaw
from lstm_mpc.certificates.provenance.manifest import Manifest, digest_of, text_of
from lstm_mpc.io import artefact_file
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import System
from lstm_mpc.project.artefacts import DATA, MODEL
from lstm_mpc.project.design import Design
from lstm_mpc.project.design_tables import OBSERVERS, PLANTS

# tables of design.toml that no evidence depends on, and why
WITHOUT_EVIDENCE = {
    "name": "what the design is called; the model keeps the name that it was trained under",
    "report": "what the head of the design report says",
}
# tables that only the evidence of these files depends on, not the release
OF_RUNS, OF_LOOPS = "scenario", "verify_loop"
_OF_SCENARIOS = ("model", "plant", "input", "output", "safe_set", "verify")
_TABLES = {  # field of `Design` -> table of design.toml, where they differ
    "inputs": "input",
    "outputs": "output",
    "foreign": "import",
    "scenarios": "scenario",
    "loop_law": "verify_loop",
    "model_plant": "plant",
    "u_start": "control",
}


def table_of(key: str) -> str:
    """The table of design.toml that a key of a manifest belongs to."""
    return "file" if key.startswith("file ") else key.partition(".")[0]


def of_release(key: str) -> bool:
    """Does a release depend on it?"""
    return table_of(key) not in (*WITHOUT_EVIDENCE, OF_RUNS, OF_LOOPS)


def of_loops(key: str) -> bool:
    """Does the verification of closed loops depend on it?"""
    return of_release(key) or table_of(key) == OF_LOOPS


def of_runs(key: str) -> bool:
    """Do closed loops of the scenarios depend on it?"""
    return of_release(key) or table_of(key) == OF_RUNS


def of_scenarios(key: str) -> bool:
    """Does the scenario verification of the model depend on it?"""
    return table_of(key) in _OF_SCENARIOS


def manifest(design: Design) -> Manifest:
    """Every key of a design as it stands, and every file that evidence of it depends on.

    Args:
        design: the design directory.

    Returns:
        The manifest, defaults of keys that design.toml does not give among its values.

    Raises:
        InputError: there is a model.json that cannot be used.
    """
    entries: dict[str, str] = {}
    for field in dataclasses.fields(design):
        if field.name != "folder":
            table = _TABLES.get(field.name, field.name)
            entries |= _entries(table, field.name, getattr(design, field.name), design)
    entries |= _files(design)
    if (response := _response(design)) is not None:
        entries["plant.response"] = response
    return Manifest(entries)


def usual_keys(design: Design) -> frozenset[str]:
    """The keys of option records that have their default values."""
    keys = set[str]()
    for table, record in _option_records(design):
        for field in dataclasses.fields(record):
            usual = field.default
            if field.default_factory is not dataclasses.MISSING:
                usual = field.default_factory()
            if text_of(getattr(record, field.name)) == text_of(usual):
                keys.add(f"{table}.{field.name}")
    return frozenset(keys)


def _option_records(design: Design) -> Iterator[tuple[str, Any]]:
    """(table, record) for every record of a design whose fields are the keys of a table."""
    for field in dataclasses.fields(design):
        value = getattr(design, field.name)
        if dataclasses.is_dataclass(value):
            yield _TABLES.get(field.name, field.name), value
        if field.name == "control" and value.observer is not None:
            yield "observer", value.observer
    for table, signals in (("input", design.inputs), ("output", design.outputs)):
        yield from ((f"{table}.{s.name}", s) for s in signals)
    yield from ((f"scenario.{s.name}", s) for s in design.scenarios)


def _files(design: Design) -> dict[str, str]:
    """The digests of the model and of the data, as far as they are there."""
    entries: dict[str, str] = {}
    if (path := design.file(MODEL)).exists():
        entries["model"] = Model.load(path).digest
    for which, name in DATA.items():
        for file in getattr(design.data, which) or (name,):
            if (path := design.file(file)).exists():
                entries[f"file {file}"] = digest_of(path.read_bytes())
    return entries


def _entries(table: str, field: str, value: Any, design: Design) -> dict[str, str]:
    if field == "safe_set":
        names = [s.name for s in design.outputs]
        return {f"{table}.{n}": text_of(ends) for n, ends in zip(names, value, strict=True)}
    if isinstance(value, tuple) and value and hasattr(value[0], "name"):
        names = [item.name for item in value]
        places = [name if names.count(name) == 1 else f"{name} {k}" for k, name in enumerate(names)]
        return {
            f"{table}.{place}.{key}": text_of(part)
            for place, item in zip(places, value, strict=True)
            for key, part in item.__dict__.items()
            if key != "name"
        }
    if dataclasses.is_dataclass(value):
        return dict(_of_record(table, value))
    if value is None or field in WITHOUT_EVIDENCE:
        return {} if value is None else {field: text_of(value)}
    return {f"{table}.{field}": text_of(value)}


def _of_record(table: str, record: Any) -> Iterator[tuple[str, str]]:
    """The keys of a table, from the record that it became."""
    kinds = [name for name, kind in (PLANTS | OBSERVERS).items() if kind is type(record)]
    if kinds or table == "plant":
        yield f"{table}.kind", (kinds or ["model"])[0]
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if field.name == "disturbances":
            yield from ((f"{table}.{name}", text_of(part)) for name, part in value.items())
        elif field.name == "observer" and value is not None:
            yield from _of_record("observer", value)
        else:
            name = "observer.kind" if field.name == "observer" else f"{table}.{field.name}"
            yield name, "open_loop" if field.name == "observer" else text_of(value)


# -- what the simulated plant does -----------------------------------------------------------------

_GRID = 1e5  # of a response, by its largest value: round-off of another machine is not seen


def _response(design: Design) -> str | None:
    """The digest of what the simulated plant does in a seeded experiment: equations and constants
    that no key of the design names."""
    if design.plant is not None:
        return _response_of_plant(design.plant)
    if design.model_plant is None or not design.file(MODEL).exists():
        return None
    ends = ((0.0, 0.0),)
    return _digest_of_response(design.plant_of(LoopLaw(setpoint=ends, start=ends)))


@cache
def _response_of_plant(plant: Any) -> str:
    return _digest_of_response(dataclasses.replace(plant, uncertain=True).system())


def _digest_of_response(system: System, *, lanes: int = 2, steps: int = 10) -> str:
    rng, twin, size = np.random.default_rng(0), system.vectorised, len(system.parameters)
    chi = np.repeat(system.x0[:, None], lanes, axis=1)
    chi[chi.shape[0] - size :] *= rng.uniform(0.99, 1.01, (size, lanes))
    signals = (*system.inputs, *system.disturbances)
    low, high = (
        np.array(
            [[ends[at] if s.bounded else s.typical] for s in signals for ends in [(s.low, s.high)]]
        )
        for at in (0, 1)
    )
    rows = []
    with np.errstate(all="ignore"):  # of constants that no plant has, a response has no end
        for _ in range(steps):
            drawn = low + (high - low) * rng.uniform(0.4, 0.6, (len(signals), lanes))
            chi = twin.step(chi, drawn[: system.nu], drawn[system.nu :])
            rows.append(np.vstack([chi, twin.output(chi)]))
        whole = np.array(rows)
        scale = np.abs(whole).max(axis=(0, 2), keepdims=True)
        shares = np.nan_to_num(whole / np.where(scale > 0, scale, 1.0), nan=2.0)
    return artefact_file.digest(np.rint(shares * _GRID).astype(np.int64).tolist())
