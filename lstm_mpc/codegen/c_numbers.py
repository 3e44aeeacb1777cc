"""The numbers of the controller's C: the reals of its model struct, in their order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.certificates import conditions
from lstm_mpc.certificates.evidence import Certificate
from lstm_mpc.certificates.gate import Release
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.engines.supervisor import closing_of
from lstm_mpc.control.limits import Limits, limits
from lstm_mpc.control.observers.kalman import beyond, tuned
from lstm_mpc.control.observers.model_alarm import alarm_tube
from lstm_mpc.control.observers.observer import state_bound
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import Array

Real = type[np.float32] | type[np.float64]
NEVER = 1e30  # a limit that nothing reaches, NEVER in the C
_FLOAT_TOLERANCE = 1e-6  # what single precision can tell apart in a plan


def order(model: Model) -> NDArray[np.intp]:
    """Where in the model the inputs stand that the C takes one after the other: those that are
    moved, then the measured ones."""
    return np.concatenate([model.roles.manipulated, model.roles.measured])


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
    at, roles = order(model), model.roles
    mid, span = roles.moved(scaling.u_mid), roles.moved(scaling.u_span)
    at_rest = roles.joined(bounds.u_safe, bounds.measured_rest)
    return {
        "weights": np.concatenate(
            [
                np.hstack([W[:, at] if number == 0 else W, U, b]).ravel()
                for number, layer in enumerate(network.layers)
                for W, U, b in map(layer.gate, lstm.GATES)
            ]
        ),
        "head": np.hstack([network.C, network.b_y]).ravel(),
        "u_mid": scaling.u_mid[at],
        "u_span": scaling.u_span[at],
        "y_mid": scaling.y_mid,
        "y_span": scaling.y_span,
        "u_low": _rounded(bounds.u_low, real, up=True),
        "u_high": _rounded(bounds.u_high, real, up=False),
        **_moves(bounds, real),
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
        **({"v_move_down": _within(bounds.max_move_down / span)} if bounds.uneven else {}),
        "y_low": _within(scaling.y_in(bounds.y_low)),
        "y_high": _within(scaling.y_in(bounds.y_high)),
        "output_weight": bounds.output_weight * scaling.y_span**2,
        "move_penalty": bounds.move_penalty * span**2,
        "violation_weight": bounds.violation_weight * scaling.y_span,
        **_targets(bounds, mid, span),
        **_closed(model, problem, bounds),
        **_observer(model, problem),
        "tolerance": np.array(
            solver.tolerance if real is np.float64 else max(solver.tolerance, _FLOAT_TOLERANCE)
        ),
        "radius": np.array(scaling.radius + outside),
        "start": np.round(rest(model.core, at_rest), 9),  # the same text on every processor
        "bound": state_bound(model, beyond=outside),
        "witness": _witness(delta_iss, model.sizes.n),
        **_monitor(release, problem, real),
        **(
            {"error_width": np.array(alarm_tube(release).width) / scaling.y_span}
            if problem.alarm
            else {}
        ),
    }


def _moves(bounds: Limits, real: Real) -> dict[str, Array]:
    """The rate limits. An input plus a move is rounded: with a unit in the last place less, the sum
    cannot exceed the limit."""
    largest = np.maximum(np.abs(bounds.u_low), np.abs(bounds.u_high)).astype(real)
    names = ("max_move", "max_move_down") if bounds.uneven else ("max_move",)
    kept = {name: _within(getattr(bounds, name)) - np.spacing(largest) for name in names}
    return {name: _rounded(values, real, up=False) for name, values in kept.items()}


def _targets(bounds: Limits, mid: Array, span: Array) -> dict[str, Array]:
    """The members that only inputs with targets have."""
    if not bounds.targets:
        return {}
    return {
        "input_target": (bounds.input_target - mid) / span,
        "input_weight": bounds.input_weight * span**2,
    }


def _measured(bounds: Limits) -> dict[str, Array]:
    """The members that only measured inputs have."""
    if not bounds.measured_low.size:
        return {}
    names = ("measured_low", "measured_high", "measured_rest")
    return {name: getattr(bounds, name) for name in names}


def _monitor(release: Release, problem: ControlProblem, real: Real) -> dict[str, Array]:
    """The members that only a monitor has: the safe set, rounded inwards, and more than any of its
    operations is rounded by (monitor.c says of what)."""
    if not problem.monitor:
        return {}
    model, eps = release.model, float(np.finfo(real).eps)
    low, high = (model.scaling.y_in(np.array(ends)) for ends in zip(*release.safe_set, strict=True))
    outside, sizes = beyond(model, problem), [1.0]
    for place, layer in enumerate(model.network.layers):
        radius = conditions.layer_radius(place, model.scaling.radius + outside)
        for W, U, b in map(layer.gate, lstm.GATES):
            rows = radius * np.abs(W).sum(axis=1) + np.abs(U).sum(axis=1) + np.abs(b).ravel()
            sizes.append(2 * (W.shape[1] + U.shape[1] + 8) * rows.max())
    head = np.abs(model.network.C).sum(axis=1) + np.abs(model.network.b_y).ravel()
    sizes += [
        2 * (model.network.nx[-1] + 8) * head.max(),
        4 * (1 + state_bound(model, beyond=outside).max()),
        8.0,
        np.abs([low, high]).max(),
    ]
    return {
        "safe_low": _within(_rounded(low, real, up=True)),
        "safe_high": _within(_rounded(high, real, up=False)),
        "slack": np.array(float(f"{1.02 * eps * max(sizes):.3g}")),
    }


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
    return np.clip(values, -NEVER, NEVER)


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
