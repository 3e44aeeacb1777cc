"""The Kalman filter's numbers from recorded data: those under which its innovations are the most
likely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lstm_mpc.certificates.signed.certificate import incremental_margin
from lstm_mpc.control.limits import limits_of
from lstm_mpc.control.observers.kalman import Kalman, beyond
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.errors import InputError
from lstm_mpc.model.data_fit import estimate_start
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array, simulate

SPREAD = 8.0  # natural logarithm of how far a ratio may lie from its first guess: a factor of 3000
CLOSE = 0.03  # ... and how well it is to be known: 3 %


class _Steady(Kalman):
    """Without what it learns on the way, for what is sought is what to begin with."""

    learning = False


def tune(
    model: Model,
    dataset: Dataset,
    *,
    disturbance: str = "input",
    dead_time: float = 0.0,
    transient: int = 50,
    on_progress: Callable[[int, KalmanTuning], None] = lambda count, tuning: None,
) -> KalmanTuning:
    """Noise and drift that make the innovations of the filter on `dataset`, better not the training
    data, the most likely.

    The likelihood Π N(e; 0, s) of the innovations is maximised over the logarithms of drift and
    noise (Mehra 1970), those of the first `transient` samples of a record left out. A common factor
    of noise, drift and state noise changes no gain and is found in closed form, the ratios by
    Nelder and Mead's search; nothing is random. `largest` is not found but half of what δISS
    admits: records of an experiment tell how the disturbance moves, not how far it may get in
    years."""
    if not 0 <= transient < min(len(record.y) for record in dataset.records) - 1:
        raise InputError(f"tune: transient must leave some of every record, got {transient}")
    from scipy.optimize import minimize  # half a second, for those who need it

    fixed = KalmanTuning(1.0, 1.0, 1.0, disturbance, drift_boost=0.0, delay_uncertainty=0.0)
    widest = _widest(model, disturbance)
    begin = replace(
        fixed,
        noise=_first_noise(model, dataset, transient),
        drift=0.01 * widest,
        max_disturbance=widest,
    )
    count = 0

    def at(point: Array) -> KalmanTuning:
        """Logarithms of the drifts and of the noises but the first, beside the first guess."""
        m = len(widest)
        noise = np.concatenate([[1.0], np.exp(point[m:])]) * begin.noise
        return replace(begin, noise=noise, drift=np.exp(point[:m]) * begin.drift)

    def score(point: Array) -> float:
        nonlocal count
        count += 1
        value, scale = _replay(model, dataset, at(point), dead_time, transient)
        on_progress(count, _scaled(at(point), scale))
        return value

    size = len(widest) + len(model.outputs) - 1
    start = np.zeros(size)
    simplex = np.vstack([start, start - 2.0 * np.eye(size)])
    options = {"initial_simplex": simplex, "xatol": CLOSE, "fatol": 1e-4, "maxfev": 60 * size}
    best = at(
        minimize(
            score, start, method="Nelder-Mead", bounds=[(-SPREAD, SPREAD)] * size, options=options
        ).x
    )
    own = KalmanTuning(1.0, 1.0, 1.0)  # what is not found from data: the defaults
    return replace(
        _scaled(best, _replay(model, dataset, best, dead_time, transient)[1]),
        drift_boost=own.drift_boost,
        delay_uncertainty=own.delay_uncertainty,
    )


def _scaled(tuning: KalmanTuning, variance: float) -> KalmanTuning:
    factor = float(np.sqrt(variance))
    noise, drift = (
        factor * np.asarray(tuning.noise, dtype=np.float64),
        factor * np.asarray(tuning.drift, dtype=np.float64),
    )
    return replace(tuning, noise=noise, drift=drift, state_noise=factor * tuning.state_noise)


def _replay(
    model: Model, dataset: Dataset, tuning: KalmanTuning, dead_time: float, transient: int
) -> tuple[float, float]:
    """−2 log likelihood per innovation along all records, with the best common scale, and that
    scale, a variance."""
    problem = ControlProblem(observer=tuning, dead_time=dead_time)
    observer, innovations = _Steady(model, limits_of(model, problem), problem), []
    for record in dataset.records:
        observer.reset(record.y[0], record.u[0])
        for k, (y, u) in enumerate(zip(record.y, record.u, strict=True)):
            observer.correct(y)
            if k >= transient:
                innovations.append(observer.innovations)
            observer.predict(u)
    e, s = np.array(innovations).transpose(1, 0, 2)
    known = np.isfinite(e)
    scale = float(np.mean(e[known] ** 2 / s[known]))
    return float(np.log(scale) + np.log(s[known]).mean()), scale


def _widest(model: Model, disturbance: str) -> Array:
    """The largest disturbance worth a thought: the span of the output, or half of what δISS still
    allows beyond the input's limits."""
    if disturbance != "input":
        return np.array(model.scaling.y_span)
    span = model.roles.moved(model.scaling.u_span)

    def admitted(share: float) -> bool:
        problem = ControlProblem(observer=KalmanTuning(1.0, 1.0, share * span))
        radius = model.scaling.radius + beyond(model, problem)
        return incremental_margin(model.network, radius) > 0

    low, high, halvings = 0.0, 1.0, 20
    if not admitted(0.5**halvings):
        raise InputError(
            "tune: δISS does not hold on this model, so that no input disturbance is admitted; use"
            " disturbance = 'output'"
        )
    for _ in range(halvings):
        share = 0.5 * (low + high)
        low, high = (share, high) if admitted(share) else (low, share)
    return np.asarray(0.5 * low * span)


def _first_noise(model: Model, dataset: Dataset, transient: int) -> Array:
    """The white part of what the model leaves unexplained, by second differences: of white noise
    they have six times its variance."""
    parts = []
    for record in dataset.records:
        start = estimate_start(model, record.u[: transient + 1], record.y[: transient + 1])
        parts.append(np.diff(record.y - simulate(model.system, record.u, x0=start).y, n=2, axis=0))
    white = np.sqrt(np.nanmean(np.vstack(parts) ** 2, axis=0) / 6.0)
    return np.asarray(np.maximum(white, 1e-6 * model.scaling.y_span))
