"""The sections on the closed loop, the controller's size and settings, and on where everything
comes from."""

from __future__ import annotations

import base64
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from lstm_mpc.certificates.evidence import LoopVerification
from lstm_mpc.io.artefact_file import VERSION
from lstm_mpc.plants.system import Array, Signal
from lstm_mpc.plots.loop_figures import plot_series
from lstm_mpc.project.artefacts import ASSURANCE, FIGURES, LOOP, PIL
from lstm_mpc.project.design import Design
from lstm_mpc.report.blocks import (
    Claims,
    Facts,
    Heading,
    Listing,
    Picture,
    Section,
    Table,
    Text,
    interval,
    lacks,
    number,
    spans,
    told,
)
from lstm_mpc.report.dossier import DESIGN, EXPORT, Dossier
from lstm_mpc.report.sections_proof import proof_blocks


def loop_section(dossier: Dossier) -> Section:
    found, blocks = dossier.files[LOOP], list[Any]()
    blocks += lacks(found)
    if found.value is not None:
        runs = found.value["runs"]
        blocks.append(
            Text(
                f"Engine {found.value['engine']}; noise-free output of the simulated plant, the"
                " worst output where several.",
                "measured",
            )
        )
        blocks += _measured(dossier)
        blocks.append(Table(_units(dossier), _HEAD, [_metrics(run["metrics"]) for run in runs]))
        for number_, run in enumerate(runs):
            blocks.append(_loop_picture(dossier, number_, run))
    blocks += proof_blocks(dossier)
    blocks += [Heading("Verification of the closed loop"), *lacks(dossier.files[ASSURANCE])]
    if dossier.of(ASSURANCE) is not None:
        blocks += _assurance(dossier, dossier.of(ASSURANCE))
    return Section("loop", "Closed loop", blocks)


def _measured(dossier: Dossier) -> list[Text]:
    """Which inputs the controller is told and never moves."""
    known = [s for s in dossier.inputs if s.measured]
    if not known:
        return []
    names = ", ".join(f"{s.name} in {interval(s.low, s.high)} {s.unit}" for s in known)
    foreseen = dossier.design is not None and dossier.design.control.forecast
    ahead = "its coming values are forecast" if foreseen else "taken to stay as it is"
    return [
        Text(f"Measured and never moved, told to the controller each sample: {names}; {ahead}.")
    ]


_HEAD = (
    "Scenario",
    "IAE",
    "Travel",
    "Largest offset",
    "Overshoot",
    "Settling of each step [s]",
    "Solve, median / longest [ms]",
    "Failed solves",
)


def _units(dossier: Dossier) -> str:
    moved = [s for s in dossier.inputs if not s.measured]
    y, u = ({s.unit for s in signals} for signals in (dossier.outputs, moved))
    own = [units.pop() if len(units) == 1 else "unit" for units in (y, u)]
    return (
        f"Closed-loop scenarios; IAE in {own[0]}·s, travel in {own[1]}, offset and overshoot in"
        f" {own[0]}"
    )


def _metrics(m: dict[str, Any]) -> list[str]:
    settling = ", ".join(
        "never" if step["settling"] is None else f"{step['settling']:.0f}" for step in m["steps"]
    )
    figures_ = [
        f"{m['iae']:.1f}",
        f"{m['travel']:.2f}",
        f"{m['offset']:.4f}",
        f"{m['overshoot']:.3f}",
        settling,
    ]
    return [
        m["scenario"],
        *figures_,
        f"{m['solve_ms']['median']:.1f} / {m['solve_ms']['max']:.1f}",
        str(m["failures"]),
    ]


def _loop_picture(dossier: Dossier, place: int, run: dict[str, Any]) -> Picture:
    m, series = run["metrics"], run["series"]
    y, reference = np.array(series["truth"]), np.array(series["reference"])
    title = f"Closed loop: {m['scenario']}"
    words = (
        f"{len(y)} samples of {number(series['Ts'])} s; IAE {m['iae']:.1f}, offset"
        f" {m['offset']:.4f}, failed solves {m['failures']}; "
        + "; ".join(
            f"{s.name} in {_reached(y[:, j])} {s.unit} for setpoints in {_reached(reference[:, j])}"
            for j, s in enumerate(dossier.outputs)
        )
    )
    known = dossier.model or dossier.design
    assert known is not None
    assert known.system is not None
    picture = partial(
        plot_series,
        m["scenario"],
        series,
        known.system,
        disturbances=_disturbances(dossier.design, series),
    )
    return Picture(picture, f"loop-{place + 1}", title, words)


def _reached(values: Array) -> str:
    return interval(float(values.min()), float(values.max()))


def _disturbances(design: Design | None, series: dict[str, Any]) -> list[Signal]:
    """The disturbances of a run; where no plant names them, by their number."""
    of_plant = design.disturbances if design else ()
    d = np.array(series["d"], dtype=np.float64).reshape(len(series["u"]), -1)
    if len(of_plant) == d.shape[1]:
        return list(of_plant)
    return [Signal(f"d{j + 1}", "", nominal=float(column[0])) for j, column in enumerate(d.T)]


def _assurance(dossier: Dossier, v: LoopVerification) -> list[Any]:
    verdict = "lies within" if v.reach <= 1 else "LEAVES"
    beyond = (
        "no input beyond its limits"
        if v.violator is None
        else f"an input {number(v.violation)} beyond its limits in scenario {v.violator}"
    )
    blocks: list[Any] = [
        *(Text(f"Nothing is claimed: {why}.", "wrong") for why in dossier.loop_reasons),
        *([] if dossier.loop_reasons else [Claims([("sampled", dossier.loop_claim)])]),
        Facts(
            [
                (
                    "closed loops N",
                    (
                        f"{v.scenarios} of {v.steps} steps, seed {v.seed}, the exported C in single"
                        " precision"
                    ),
                ),
                ("claimed set", f"{number(v.reach)} of the safe set, {verdict} it; {beyond}"),
                ("outputs reached", spans(dossier.outputs, list(zip(v.low, v.high, strict=True)))),
                (
                    "largest error when settled",
                    ", ".join(
                        f"{s.name} {number(e)} {s.unit}"
                        for s, e in zip(dossier.outputs, v.tracking, strict=True)
                    ),
                ),
                ("settled", f"after {v.settle} samples without a change"),
                (
                    "flags of the controller",
                    ", ".join(f"{name} {count}" for name, count in v.status.items() if count)
                    or "none",
                ),
                ("law", "; ".join(f"{key} {told(value)}" for key, value in v.law.items())),
            ]
        ),
    ]
    return [*blocks, _worst_loop(dossier, v)]


def _worst_loop(dossier: Dossier, v: LoopVerification) -> Text | Picture:
    """The figure that verify-loop left, as an image: what it holds cannot act on the page."""
    file = f"{FIGURES}/loop-number-{v.worst}.svg"
    if not (dossier.folder / file).exists():
        again = (
            f"`lstm-mpc verify-loop DESIGN --replay {v.worst}` draws it, and the next report"
            " shows it"
        )
        return Text(f"The worst is scenario {v.worst}: {again}.", "missing")
    reached = spans(dossier.outputs, list(zip(v.low, v.high, strict=True)))
    words = (
        f"Scenario {v.worst} of {v.scenarios} takes {number(v.reach)} of the safe set; outputs of"
        f" all scenarios: {reached}."
    )
    data = base64.b64encode((dossier.folder / file).read_bytes()).decode()
    title = f"The worst closed loop, scenario {v.worst}"
    return Picture(
        f"data:image/svg+xml;base64,{data}",
        "worst-loop",
        title,
        words,
        f"As verify-loop drew it: {file}.",
    )


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


def provenance_section(dossier: Dossier) -> Section:
    model = dossier.model
    rows = [("lstm_mpc that made this page", VERSION)]
    if model is not None:
        origin = {
            "data": "data digest",
            "seed": "seed",
            "solver": "solver",
            "iterations": "iterations",
        }
        rows += [
            ("model digest", model.digest),
            *(
                (label, str(model.origin[key]))
                for key, label in origin.items()
                if key in model.origin
            ),
        ]
        rows += [
            (f"version: {name}", str(version))
            for name, version in model.origin.get("versions", {}).items()
        ]
    rows += [(f"seed: {name}", str(seed)) for name, seed in _seeds(dossier).items()]
    there = [a for a in (*dossier.files.values(), *dossier.data.values()) if a.digest is not None]
    state = ["cannot be used" if a.problem else "stale" if a.stale else "current" for a in there]
    blocks: list[Any] = [
        Facts(rows),
        Table(
            "Artefacts; SHA-256 of the bytes of each file",
            ["File", "Made by", "State", "SHA-256"],
            [[a.file, a.verb, s, a.digest or ""] for a, s in zip(there, state, strict=True)],
        ),
        Heading("How to make it again"),
        Text(
            "DESIGN is the folder that holds design.toml and the data. The same version and numbers"
            " make the same model, evidence and page."
        ),
        Listing("\n".join(_commands(dossier)), "commands"),
    ]
    if dossier.text:
        blocks += [Heading(DESIGN), Listing(dossier.text, DESIGN)]
    return Section("provenance", "Provenance", blocks)


def _seeds(dossier: Dossier) -> dict[str, int]:
    design = dossier.design
    if design is None:
        return {}
    found = (
        {"experiment": design.experiment.seed} if design.plant and not design.data.training else {}
    )
    found |= {"search": design.search.seed, "verify": design.verify.seed}
    return found | ({"verify_loop": design.verify_loop.seed} if design.loop_law else {})


def _commands(dossier: Dossier) -> list[str]:
    design = dossier.design
    if design is None:
        return ["lstm-mpc certify DESIGN/model.json", "lstm-mpc report DESIGN"]
    verbs = (
        ["record"]
        if design.log.files or (design.plant is not None and not design.data.training)
        else []
    )
    verbs += ["train", "certify", "verify", "reach", "release"]
    verbs += (["control"] if design.scenarios else []) + (
        ["verify-loop"] if design.loop_law else []
    )
    return [
        f"pip install lstm_mpc=={VERSION}",
        *(f"lstm-mpc {verb} DESIGN" for verb in [*verbs, "export", "pil", "report"]),
    ]
