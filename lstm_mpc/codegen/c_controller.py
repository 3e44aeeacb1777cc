"""The controller as C99: the algorithm of `control.sqp` in tables and loops, with its observer, for
a board; model and tuning as data.

The algorithm lies in `c/controller.c`; here the tables it works on are laid out and the data file
is written."""

from __future__ import annotations

import zlib
from textwrap import wrap

import numpy as np

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.evidence import Certificate
from lstm_mpc.certificates.gate import Release
from lstm_mpc.codegen.c_model import comment, identifier, number
from lstm_mpc.codegen.templates import named
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.observers.kalman import beyond, tuned
from lstm_mpc.control.observers.observer import state_bound
from lstm_mpc.control.problem import KalmanTuning, Problem, limits
from lstm_mpc.errors import InputError
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array, rest

Real = type[np.float32] | type[np.float64]
_NEVER = 1e30  # a limit that nothing reaches, NEVER in the C
_FLOAT_TOLERANCE = 1e-6  # what single precision can tell apart in a plan


def controller(release: Release, problem: Problem, solver: SolverOptions) -> dict[str, str]:
    """The C of the controller, name -> text: header, algorithm and data. The same release, problem
    and budget give the same bytes."""
    name = identifier(release.model.name) + "_controller"
    if release.model.measured:
        raise InputError("controller: the C does not know measured inputs; use the engine 'sqp'")
    story = "\n".join(line for sentence in _story(release) for line in comment(sentence))
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
    iss, delta_iss = (
        certify(release.model, condition, beyond=beyond(release.model, problem))
        for condition in ("iss", "delta_iss")
    )
    header = named(
        "controller.h",
        name,
        digest=release.model.digest,
        Ts=number(release.model.Ts),
        story=story,
        dimensions=_dimensions(release, problem, (iss, delta_iss), name.upper()),
    )
    data = _data(release, problem, solver, delta_iss, name)
    return {f"{name}.h": header, f"{name}.c": named("controller.c", name), f"{name}_data.c": data}


def _story(release: Release) -> list[str]:
    model = release.model
    lines = [f"LSTM model {model.name!r}, SHA-256 {model.digest}, sampling time {model.Ts!r} s"]
    lines += [f"measures {j}: {s.label}" for j, s in enumerate(model.outputs)]
    for j, (s, delay) in enumerate(zip(model.inputs, model.delays, strict=True)):
        lines.append(
            f"gives {j}: {s.label} in [{s.low!r}, {s.high!r}]"
            + (f", {delay} sample(s) late" if delay else "")
        )
    return lines + [
        "Released, because:",
        *(f"{kind}: {sentence}" for kind, sentence in release.claims()),
    ]


def _dimensions(
    release: Release, problem: Problem, certificates: tuple[Certificate, ...], upper: str
) -> str:
    model, bounds = release.model, limits(release, problem)
    nu, ny, N, nx = len(model.inputs), len(model.outputs), problem.horizon, model.sizes.nx
    starts = np.array(bounds.starts)
    below = (nu, *nx[:-1])
    lengths = nu * np.searchsorted(starts, np.arange(N), side="right")
    nv, gains = nu * len(starts), ny * int(lengths.sum())
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
        "WIDEST": max(nu, *nx),
        "WEIGHTS": sum(4 * n * (m + n + 1) for n, m in zip(nx, below, strict=True)),
        "STAGE": sum(2 * n * (1 + m + n) for n, m in zip(nx, below, strict=True)),
        "LAG": problem.lag(model),
        "LINE": int(model.uneven_delays.max()),
        "SHARED": model.shared_delay if problem.preview else 0,
        "KALMAN": int(problem.observer is not None),
        "NP": model.sizes.n + nu,
        "REFERENCES": problem.ahead(model) + 1,
        "GAINS": gains,
        "RATE_ROWS": 2 * nv if rates else 0,
        "ROWS": 2 * nv + (2 * nv if rates else 0) + (2 * N * ny if soft else 0),
    }
    tables = {
        "CELLS": nx,
        "STARTS": (*starts, N),
        "ROW_LENGTH": lengths,
        "ROW_START": ny * np.concatenate([[0], np.cumsum(lengths[:-1])]),
    }
    if sizes["LINE"]:
        tables["LATE"] = model.uneven_delays
    lines = [f"#define {upper}_{key} {value}" for key, value in sizes.items()]
    lines += [
        f"#define {upper}_{key} {{{', '.join(str(int(v)) for v in table)}}}"
        for key, table in tables.items()
    ]
    for certificate in certificates:
        floor = number(0.0 if certificate.holds else -_NEVER)
        lines.append(
            f"#define {upper}_{certificate.condition.upper()}_FLOOR R({floor}) /* what verify"
            " asks */"
        )
    return "\n".join(lines)


def numbers(
    release: Release, problem: Problem, solver: SolverOptions, delta_iss: Certificate, real: Real
) -> dict[str, Array]:
    """The reals of the model struct in order, as a build with `real` is to hold them: limits are
    rounded inwards."""
    model, bounds = release.model, limits(release, problem)
    scaling, network, outside = model.scaling, model.network, beyond(model, problem)
    largest = np.maximum(np.abs(bounds.u_low), np.abs(bounds.u_high))
    return {
        "weights": np.concatenate(
            [np.hstack(layer.gate(g)).ravel() for layer in network.layers for g in lstm.GATES]
        ),
        "head": np.hstack([network.C, network.b_y]).ravel(),
        "u_mid": scaling.u_mid,
        "u_span": scaling.u_span,
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
        "sensor_low": _within(bounds.sensor_low),
        "sensor_high": _within(bounds.sensor_high),
        "v_low": scaling.u_in(bounds.u_low),
        "v_high": scaling.u_in(bounds.u_high),
        "v_move": _within(bounds.max_move / scaling.u_span),
        "y_low": _within(scaling.y_in(bounds.y_low)),
        "y_high": _within(scaling.y_in(bounds.y_high)),
        "output_weight": bounds.output_weight * scaling.y_span**2,
        "move_penalty": bounds.move_penalty * scaling.u_span**2,
        "violation_weight": bounds.violation_weight * scaling.y_span,
        **_observer(model, problem),
        "tolerance": np.array(
            solver.tolerance if real is np.float64 else max(solver.tolerance, _FLOAT_TOLERANCE)
        ),
        "correct": np.array(min(solver.correction_threshold, _NEVER)),
        "radius": np.array(scaling.radius + outside),
        "start": np.round(rest(model.core, bounds.u_safe), 9),  # the same text on every processor
        "bound": state_bound(model, beyond=outside),
        "witness": _witness(delta_iss, model.sizes.n),
    }


def _observer(model: Model, problem: Problem) -> dict[str, Array]:
    """The members that only its kind of observer has."""
    if not isinstance(problem.observer, KalmanTuning):
        return {"observer_gain": np.array(problem.observer_gain)}
    t = tuned(model, problem, problem.observer)
    scalars = {"state_noise": t.state, "alert": t.drift_boost, "timing": t.delay_uncertainty}
    return {"noise": t.noise, "drift": t.drift, "largest": t.max_disturbance} | {
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
    release: Release, problem: Problem, solver: SolverOptions, delta_iss: Certificate, name: str
) -> str:
    counts = np.array(
        [
            solver.sqp_iterations,
            solver.qp_iterations,
            solver.line_search_steps,
            problem.frozen_after,
        ],
        dtype="<u4",
    )
    double, single = (
        numbers(release, problem, solver, delta_iss, real) for real in (np.float64, np.float32)
    )
    switch = f"#ifdef {name.upper()}_DOUBLE"
    lines = [
        f"/* {name}: model and tuning. */",
        f'#include "{name}.h"',
        "",
        f"#define R(x) (({name}_real)(x))",
        "",
    ]
    lines += [f"const {name}_model {name}_data = {{"]
    for key, values in double.items():
        if np.array_equal(values.astype(np.float32), single[key].astype(np.float32)):
            lines += _member(key, values)
        else:
            lines += [switch, *_member(key, values), "#else", *_member(key, single[key]), "#endif"]
    lines += [
        f"  .{key} = {value}u,"
        for key, value in zip(("passes", "changes", "halvings", "frozen"), counts, strict=True)
    ]
    crc = {}
    for real, held in ((np.float64, double), (np.float32, single)):
        parts = [
            values.astype(np.dtype(real).newbyteorder("<")).tobytes() for values in held.values()
        ]
        crc[real] = zlib.crc32(b"".join(parts) + counts.tobytes())
    lines += [
        switch,
        f"  .crc = 0x{crc[np.float64]:08X}u",
        "#else",
        f"  .crc = 0x{crc[np.float32]:08X}u",
        "#endif",
        "};",
        "",
    ]
    return "\n".join(lines)


def _member(key: str, values: Array) -> list[str]:
    text = ", ".join(f"R({number(v)})" for v in values.ravel())
    if values.ndim == 0:
        return [f"  .{key} = {text},"]
    return [f"  .{key} = {{", *(f"    {line}" for line in wrap(text, 130)), "  },"]
