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
from numpy.typing import NDArray

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.evidence import Certificate
from lstm_mpc.certificates.gate import Release
from lstm_mpc.codegen.identifiers import identifier
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.engines.supervisor import closing_of
from lstm_mpc.control.observers.kalman import beyond, tuned
from lstm_mpc.control.observers.observer import state_bound
from lstm_mpc.control.observers.observer_claims import observer_claims
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem, Limits, limits
from lstm_mpc.errors import InputError
from lstm_mpc.io.templates import WIDTH, Raw, number, render
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import Array

Real = type[np.float32] | type[np.float64]
_NEVER = 1e30  # a limit that nothing reaches, NEVER in the C
_FLOAT_TOLERANCE = 1e-6  # what single precision can tell apart in a plan


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
    words = _words(name, release.model, problem)
    header = render(
        "codegen",
        "controller/controller.h",
        **words,
        model=release.model,
        claims=(*release.claims(), *observer_claims(release, problem)),
        sizes=sizes,
        tables=tables,
        floors={c.condition: 0.0 if c.holds else -_NEVER for c in (iss, delta_iss)},
    )
    return {
        f"{name}.h": header,
        f"{name}.c": render("codegen", "controller/controller.c", **words),
        f"{name}_data.c": _data(release, problem, solver, delta_iss, name),
    }


def _words(name: str, model: Model, problem: ControlProblem) -> dict[str, Any]:
    """What the texts of a controller are made with: the width of the network's inputs, the variable
    with the part of them that is pushed, and the one with the inputs of a rest; whether plans are
    closed, and with blocks those that are closed have none."""
    measured = bool(model.measured)
    return {
        "name": name,
        "measured": measured,
        "terminal": problem.terminal,
        "blocked": problem.terminal and len(problem.starts) < problem.horizon,
        "NW": "NW" if measured else "NU",
        "pushed": "pushed" if measured else "width",
        "rest": Raw("v" if measured else "state->last_input"),
    }


def _order(model: Model) -> NDArray[np.intp]:
    """Where in the model the inputs stand that the C takes one after the other: those that are
    moved, then the measured ones."""
    return np.concatenate([model.roles.manipulated, model.roles.measured])


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
        np.isfinite(bounds.max_move).any(),
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
        tables["EXTRA_DELAYS"] = model.uneven_delays[_order(model)]
    return sizes, tables


def numbers(
    release: Release,
    problem: ControlProblem,
    solver: SolverOptions,
    delta_iss: Certificate,
    real: Real,
) -> dict[str, Array]:
    """The reals of the model struct in order, as a build with `real` is to hold them: limits are
    rounded inwards."""
    model, bounds = release.model, limits(release, problem)
    scaling, network, outside = model.scaling, model.network, beyond(model, problem)
    largest = np.maximum(np.abs(bounds.u_low), np.abs(bounds.u_high))
    order, roles = _order(model), model.roles
    mid, span = roles.moved(scaling.u_mid), roles.moved(scaling.u_span)
    at_rest = roles.joined(bounds.u_safe, bounds.measured_rest)
    return {
        "weights": np.concatenate(
            [
                np.hstack([W[:, order] if number == 0 else W, U, b]).ravel()
                for number, layer in enumerate(network.layers)
                for W, U, b in map(layer.gate, lstm.GATES)
            ]
        ),
        "head": np.hstack([network.C, network.b_y]).ravel(),
        "u_mid": scaling.u_mid[order],
        "u_span": scaling.u_span[order],
        "y_mid": scaling.y_mid,
        "y_span": scaling.y_span,
        "u_low": _rounded(bounds.u_low, real, up=True),
        "u_high": _rounded(bounds.u_high, real, up=False),
        # An input plus a move is rounded: with a unit in the last place less, the sum cannot exceed
        # the limit.
        "max_move": _rounded(
            _within(bounds.max_move) - np.spacing(largest.astype(real)), real, up=False
        ),
        "u_safe": np.clip(
            bounds.u_safe,
            _rounded(bounds.u_low, real, up=True),
            _rounded(bounds.u_high, real, up=False),
        ),
        **_measured(bounds),
        "sensor_low": _within(bounds.sensor_low),
        "sensor_high": _within(bounds.sensor_high),
        "v_low": (bounds.u_low - mid) / span,
        "v_high": (bounds.u_high - mid) / span,
        "v_move": _within(bounds.max_move / span),
        "y_low": _within(scaling.y_in(bounds.y_low)),
        "y_high": _within(scaling.y_in(bounds.y_high)),
        "output_weight": bounds.output_weight * scaling.y_span**2,
        "move_penalty": bounds.move_penalty * span**2,
        "violation_weight": bounds.violation_weight * scaling.y_span,
        **_closed(model, problem, bounds),
        **_observer(model, problem),
        "tolerance": np.array(
            solver.tolerance if real is np.float64 else max(solver.tolerance, _FLOAT_TOLERANCE)
        ),
        "radius": np.array(scaling.radius + outside),
        "start": np.round(rest(model.core, at_rest), 9),  # the same text on every processor
        "bound": state_bound(model, beyond=outside),
        "witness": _witness(delta_iss, model.sizes.n),
    }


def _measured(bounds: Limits) -> dict[str, Array]:
    """The members that only measured inputs have."""
    if not bounds.measured_low.size:
        return {}
    names = ("measured_low", "measured_high", "measured_rest")
    return {name: getattr(bounds, name) for name in names}


def _closed(model: Model, problem: ControlProblem, bounds: Limits) -> dict[str, Array]:
    """The members that only a terminal cost has."""
    closing = closing_of(model, bounds, problem)
    if closing is None:
        return {}
    return {
        "end_weight": closing.terminal.weights,
        "eta": closing.terminal.eta,
        "reach": closing.terminal.reach,
        "end_price": closing.price if closing.soft else np.zeros(model.sizes.ny),
        "pull": np.array(closing.finder.pull),
    }


def _observer(model: Model, problem: ControlProblem) -> dict[str, Array]:
    """The members that only its kind of observer has."""
    if not isinstance(problem.observer, KalmanTuning):
        return {"observer_gain": np.array(problem.observer_gain)}
    t = tuned(model, problem, problem.observer)
    scalars = {
        "state_noise": t.state,
        "drift_boost": t.drift_boost,
        "delay_uncertainty": t.delay_uncertainty,
    }
    return {"noise": t.noise, "drift": t.drift, "max_disturbance": t.max_disturbance} | {
        key: np.array(value) for key, value in scalars.items()
    }


def _within(values: Array) -> Array:
    return np.clip(values, -_NEVER, _NEVER)


def _rounded(values: Array, real: Real, *, up: bool) -> Array:
    """`values` as numbers of type `real`, none below (above) what it stands for."""
    near = np.asarray(values, dtype=real)
    back = near.astype(np.float64)
    wrong = back < values if up else back > values
    return np.where(wrong, np.nextafter(near, real(np.inf if up else -np.inf)), near).astype(
        np.float64
    )


def _witness(delta_iss: Certificate, n: int) -> Array:
    """v (n,) of the elementwise certificate, layer by layer; ones where it does not hold."""
    return np.concatenate(delta_iss.constants["witnesses"]) if delta_iss.holds else np.ones(n)


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
