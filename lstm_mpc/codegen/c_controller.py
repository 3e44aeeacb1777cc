"""The controller as C99: the algorithm of `control.sqp` in tables and loops, with its observer, for
a board; model and tuning as data.

The algorithm lies in `templates/controller/`, a source for each subject; here the tables it works
on are laid out and the data file is written."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import numpy as np

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.evidence import Certificate
from lstm_mpc.certificates.gate import Release
from lstm_mpc.codegen.c_numbers import NEVER, numbers, order
from lstm_mpc.codegen.identifiers import identifier
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.limits import Limits, limits
from lstm_mpc.control.observers.kalman import DEVIATIONS, beyond
from lstm_mpc.control.observers.model_alarm import alarm_tube
from lstm_mpc.control.observers.observer_claims import observer_claims
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError
from lstm_mpc.io.templates import WIDTH, Raw, number, render
from lstm_mpc.plants.system import Array


def controller(release: Release, problem: ControlProblem, solver: SolverOptions) -> dict[str, str]:
    """The C of the controller, name -> text: header, algorithm and data. The same release, problem
    and budget give the same bytes."""
    name = identifier(release.model.name) + "_controller"
    if type(problem.observer) not in (type(None), KalmanTuning):
        raise InputError(
            "controller: the C knows the observers 'open_loop' and 'kalman'; give one of them, or"
            " leave [observer] out"
        )
    if isinstance(problem.observer, KalmanTuning) and not problem.observer.input:
        raise InputError(
            "controller: of Kalman filters the C knows those with disturbance = 'input'; or leave"
            " [observer] out"
        )
    if problem.terminal and not np.all(np.asarray(problem.output_weight) > 0):
        raise InputError(
            f"controller: with terminal = true the C weighs every output; output_weight ="
            f" {np.ravel(problem.output_weight).tolist()} must be above 0, or use the engine 'sqp'"
        )
    iss, delta_iss = (
        certify(release.model, condition, beyond=beyond(release.model, problem))
        for condition in ("iss", "delta_iss")
    )
    sizes, tables = _dimensions(release, problem)
    words = _words(name, release, problem, limits(release, problem))
    header = render(
        "codegen",
        "controller/controller.h",
        **words,
        model=release.model,
        claims=(*release.claims(), *observer_claims(release, problem)),
        sizes=sizes,
        tables=tables,
        floors={c.condition: 0.0 if c.holds else -NEVER for c in (iss, delta_iss)},
    )
    return {
        f"{name}.h": header,
        f"{name}.c": render("codegen", "controller/controller.c", **words),
        f"{name}_data.c": _data(release, problem, solver, delta_iss, name),
    }


def _words(name: str, release: Release, problem: ControlProblem, bounds: Limits) -> dict[str, Any]:
    """What the texts of a controller are made with: the width of the network's inputs, the variable
    with the part of them that is pushed, and the one with the inputs of a rest; whether plans are
    closed, and with blocks those that are closed have none; whether rates are uneven, and the name
    of those that inputs fall with; whether inputs have targets; how far plans are checked, and of
    the alarm how often it may be false."""
    measured, alarm = bool(release.model.measured), None
    if problem.alarm:
        tube = alarm_tube(release)
        rate = (
            f"While the plant is what it was on the {tube.blocks} blocks of the validation and is"
            f" driven alike, at most a share {tube.alpha:g} of all blocks of {tube.block} samples"
            " holds one"
        )
        alarm = {"transient": tube.transient, "words": rate}
    return {
        "monitor": problem.monitor,
        "deviations": DEVIATIONS,
        "alarm": alarm,
        "name": name,
        "measured": measured,
        "terminal": problem.terminal,
        "blocked": problem.terminal and len(problem.starts) < problem.horizon,
        "NW": "NW" if measured else "NU",
        "pushed": "pushed" if measured else "width",
        "rest": Raw("v" if measured else "state->last_input"),
        "uneven": bounds.uneven,
        "targets": bounds.targets,
        "fall": "move_down" if bounds.uneven else "move",
    }


def _dimensions(
    release: Release, problem: ControlProblem
) -> tuple[dict[str, int], dict[str, Array]]:
    """Sizes of the arrays and tables of whole numbers, by the names they have in the header."""
    model, bounds = release.model, limits(release, problem)
    nu, ny, N, nx = len(model.manipulated), len(model.outputs), problem.horizon, model.sizes.nx
    starts = np.array(bounds.starts)
    below = (len(model.inputs), *nx[:-1])
    lengths = nu * np.searchsorted(starts, np.arange(N), side="right")
    end = model.sizes.n + nu if problem.terminal else 0  # residuals of the terminal cost
    nv = nu * len(starts)
    gains = ny * int(lengths.sum())
    rates, soft = (
        np.isfinite([bounds.max_move, bounds.max_move_down]).any(),
        np.isfinite([bounds.y_low, bounds.y_high]).any(),
    )
    if max(gains, 2 * nv * 2 + 2 * N * ny) > 65535:
        raise InputError(
            f"controller: horizon {N} with {nu} input(s) and {ny} output(s) is too long for the C;"
            " use blocks"
        )
    sizes = {
        "NU": nu,
        "NY": ny,
        "N": N,
        "BLOCKS": len(starts),
        "NV": nv,
        "LAYERS": len(nx),
        "NXI": nx[-1],
        "NCHI": model.sizes.n,
        "WIDEST": max(below[0], *nx),
        "WEIGHTS": sum(4 * n * (m + n + 1) for n, m in zip(nx, below, strict=True)),
        "STAGE": sum(2 * n * (1 + m + n) for n, m in zip(nx, below, strict=True)),
        "LAG": problem.lag(model),
        "HISTORY": int(model.uneven_delays.max()),
        "SHARED": model.shared_delay if problem.preview else 0,
        "KALMAN": int(problem.observer is not None),
        "NP": model.sizes.n + nu,
        "REFERENCES": problem.ahead(model) + 1,
        "PREDICTED": N * ny + end,
        "GAINS": gains,
        "RATE_ROWS": 2 * nv if rates else 0,
        "ROWS": 2 * nv + (2 * nv if rates else 0) + (2 * N * ny if soft else 0),
    }
    tables = {
        "CELLS": np.array(nx),
        "STARTS": np.array((*starts, N)),
        "ROW_LENGTH": lengths,
        "ROW_START": ny * np.concatenate([[0], np.cumsum(lengths[:-1])]),
    }
    if model.measured:
        sizes |= {"NM": len(model.measured), "FORESEEN": problem.foreseen(model) + 1}
    if sizes["HISTORY"]:
        tables["EXTRA_DELAYS"] = model.uneven_delays[order(model)]
    return sizes, tables


def _data(
    release: Release,
    problem: ControlProblem,
    solver: SolverOptions,
    delta_iss: Certificate,
    name: str,
) -> str:
    counts = {
        "sqp_iterations": solver.sqp_iterations,
        "qp_iterations": solver.qp_iterations,
        "line_search_steps": solver.line_search_steps,
        "frozen_after": problem.frozen_after,
    }
    double, single = (
        numbers(release, problem, solver, delta_iss, real) for real in (np.float64, np.float32)
    )
    return render(
        "codegen",
        "controller/data.c",
        name=name,
        members=[
            (key, _text(values), _text(single[key]), _alike(values, single[key]))
            for key, values in double.items()
        ],
        counts=counts,
        crc={"double": _crc(double, counts, "<f8"), "single": _crc(single, counts, "<f4")},
    )


def _alike(double: Array, single: Array) -> bool:
    """Whether one text stands for both: rounded to single precision, they are the same."""
    return np.array_equal(double.astype(np.float32), single.astype(np.float32))


def _crc(held: Mapping[str, Array], counts: Mapping[str, int], real: str) -> Raw:
    """CRC-32 of the model struct as it lies in memory, little-endian."""
    parts = [values.astype(real).tobytes() for values in held.values()]
    whole = b"".join(parts) + np.array(list(counts.values()), dtype="<u4").tobytes()
    return Raw(f"0x{zlib.crc32(whole):08X}u")


def _text(values: Array) -> Raw:
    """The initialiser of a member: a number, or an array in lines."""
    text = ", ".join(f"R({number(v)})" for v in values.ravel())
    if values.ndim == 0:
        return Raw(text)
    lines = "\n".join(f"    {line}" for line in wrap(text, WIDTH - 4))
    return Raw(f"{{\n{lines}\n  }}")
