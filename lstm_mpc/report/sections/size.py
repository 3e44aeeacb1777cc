"""The section on the controller's size and settings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lstm_mpc.project.artefacts import PIL
from lstm_mpc.project.design import Design
from lstm_mpc.report.blocks import (
    Heading,
    Section,
    Table,
    lacks,
    number,
    told,
)
from lstm_mpc.report.dossier import EXPORT, Dossier


def size_section(dossier: Dossier) -> Section:
    exported, emulated = dossier.files[EXPORT], dossier.files[PIL]
    blocks: list[Any] = [Heading("Exported C"), *lacks(exported)]
    if exported.value is not None:
        target, rows = exported.value["target"], exported.value["agreement"]
        if target is not None:
            blocks.append(
                Table(
                    f"On an emulated {target['core']}, over the golden vectors",
                    ["Core", *_SIZES],
                    [_core(target["core"], target)],
                )
            )
        head = [
            "Precision",
            "To its twin in Python",
            "To IPOPT",
            "State [bytes]",
            "Work [bytes]",
            "Model [bytes]",
        ]
        cells = [
            [
                name,
                number(row["to_python"], 2),
                number(row["to_ipopt"], 2),
                *(f"{row[key]:.0f}" for key in ("state_bytes", "work_bytes", "model_bytes")),
            ]
            for name, row in rows.items()
        ]
        blocks.append(
            Table(
                "Self-test of the exported C; differences as share of the input range", head, cells
            )
        )
    blocks += [Heading("Processor in the loop"), *lacks(emulated)]
    if emulated.value is not None:
        cells = [
            _core(f"{core}, dead time {number(row['dead_time'])} s", row)
            for core, rows in emulated.value["cores"].items()
            for row in rows
        ]
        precision = "double" if emulated.value["double"] else "single"
        blocks.append(
            Table(
                f"Emulated cores, {precision} precision, every sample equal to the host's in"
                " every bit",
                ["Core", *_SIZES],
                cells,
            )
        )
    if dossier.design is not None:
        blocks += [Heading("Settings of the controller"), *_settings(dossier.design)]
    return Section("size", "Controller", blocks)


_SIZES = (
    "Flash [bytes]",
    "RAM with stack [bytes]",
    "Instructions a sample, mean",
    "Instructions, at most",
)


def _core(name: str, row: dict[str, Any]) -> list[str]:
    return [
        name,
        str(row["flash"]),
        str(row["ram"]),
        str(row["instructions"]["all"]["mean"]),
        str(row["instructions"]["all"]["max"]),
    ]


def _settings(design: Design) -> list[Any]:
    """[control], [observer] and [solver] in full, the defaults too."""
    control = {key: value for key, value in asdict(design.control).items() if key != "observer"}
    observer = design.control.observer
    tables = {
        "control": control,
        "observer": {"kind": "open loop"},
        "solver": asdict(design.solver),
    }
    if observer is not None:
        kind = type(observer).__name__.removesuffix("Tuning").lower()
        tables["observer"] = {"kind": kind, **asdict(observer)}
    rows = [
        [f"[{table}] {key}", told(value)]
        for table, own in tables.items()
        for key, value in own.items()
    ]
    return [Table("Every setting, the defaults too", ["Setting", "Value"], rows)]
