"""The section on closed loops."""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

import numpy as np

from lstm_mpc.certificates.evidence import LoopVerification
from lstm_mpc.plants.system import Array, Signal
from lstm_mpc.plots.loop_figures import plot_series
from lstm_mpc.project.artefacts import ASSURANCE, FIGURES, LOOP
from lstm_mpc.project.design import Design
from lstm_mpc.report.blocks import (
    Claims,
    Facts,
    Heading,
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
from lstm_mpc.report.dossier import Dossier
from lstm_mpc.report.sections.proof import proof_blocks


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
