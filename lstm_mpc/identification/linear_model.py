"""A linear model to hold every LSTM against: output error of low order (Ljung 1999, section 4.2).

y_j = c_j + Σ_i B_ji(q)/F_ji(q) u_i,   strictly proper, at rest under its first input"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from lstm_mpc.data.dataset import Dataset, Record, thin
from lstm_mpc.model.input_delays import checked_delays, late
from lstm_mpc.plants.system import Array, Signal, frozen_array

ORDERS = (1, 2, 3, 4)
_MOST = 20_000  # samples that a fit looks at; of more, those windows in which the inputs move most
_WINDOW = 1000
_CALLS = 60  # of the residuals and their slope, for each order
_LIMIT = 1e3  # of a residual, in standard deviations: what diverges is bad, not infinite


@dataclass(frozen=True)
class Transfer:
    """One output: `b` and `f` (nu, order) without the leading 0 and 1, the offset `c`, normalised;
    `covariance` (2·nu·order + 1)² of [b_1, f_1, b_2, f_2, …, c]."""

    b: Array
    f: Array
    c: float
    covariance: Array

    def __post_init__(self) -> None:
        for name in ("b", "f", "covariance"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), 2, f"linear: {name}"))

    @property
    def order(self) -> int:
        """Poles from each input."""
        return int(self.b.shape[1])

    @property
    def gain(self) -> Array:
        """Steady-state gain from each input (nu,), normalised."""
        return np.asarray(self.b.sum(axis=1) / (1.0 + self.f.sum(axis=1)))

    @property
    def gain_error(self) -> Array:
        """Standard error of each gain (nu,), normalised, to first order."""
        errors, n = [], self.order
        for i, (gain, f) in enumerate(zip(self.gain, self.f, strict=True)):
            slope = np.r_[np.ones(n), np.full(n, -gain)] / (1.0 + f.sum())
            at = slice(2 * n * i, 2 * n * (i + 1))
            errors.append(float(np.sqrt(max(0.0, slope @ self.covariance[at, at] @ slope))))
        return np.array(errors)

    @property
    def slowest(self) -> float:
        """The largest modulus of a pole from an input that matters: whose gain is a tenth of the
        largest or more."""
        gains = np.abs(self.gain)
        rows = [f for f, gain in zip(self.f, gains, strict=True) if gain >= 0.1 * gains.max()]
        return float(max(np.abs(np.roots(np.r_[1.0, f])).max() for f in rows))


@dataclass(frozen=True)
class LinearModel:
    """A transfer function from each input to each output, between signals scaled by `u_mid`,
    `u_span` (nu,) and `y_mid`, `y_span` (ny,), inputs `delays` [samples] late."""

    transfers: tuple[Transfer, ...]
    u_mid: Array
    u_span: Array
    y_mid: Array
    y_span: Array
    delays: tuple[int, ...]
    Ts: float

    def simulate(self, u: Array) -> Array:
        """Outputs (N, ny) for inputs `u` (N, nu), engineering units; the first were held before."""
        given = late((u - self.u_mid) / self.u_span, self.delays)
        columns = [
            _simulated(_flat(transfer), given, transfer.order)[0] for transfer in self.transfers
        ]
        return np.asarray(np.column_stack(columns) * self.y_span + self.y_mid)

    @property
    def gain(self) -> Array:
        """Steady-state gains (ny, nu) [output unit per input unit]."""
        return self._engineering([transfer.gain for transfer in self.transfers])

    @property
    def gain_error(self) -> Array:
        """Their standard errors (ny, nu) [output unit per input unit]."""
        return self._engineering([transfer.gain_error for transfer in self.transfers])

    def _engineering(self, rows: Sequence[Array]) -> Array:
        return np.asarray(np.stack(rows) * self.y_span[:, None] / self.u_span)

    @property
    def time_constants(self) -> tuple[float, ...]:
        """The slowest time constant [s] of each output."""
        moduli = [min(max(transfer.slowest, 1e-3), 1.0 - 1e-6) for transfer in self.transfers]
        return tuple(-self.Ts / float(np.log(modulus)) for modulus in moduli)

    def uncertain(self, inputs: Sequence[Signal], outputs: Sequence[Signal]) -> list[str]:
        """A sentence for every output to which the sign of a gain is not certain: two standard
        errors hold 0."""
        sentences = []
        for y, gains, errors in zip(outputs, self.gain, self.gain_error, strict=True):
            doubts = [
                f"{u.name} ({gain:.2g} ± {2 * error:.2g} {y.unit} per {u.unit})"
                for u, gain, error in zip(inputs, gains, errors, strict=True)
                # an input that never moves leaves round-off, with no error to speak of
                if abs(gain) <= max(2 * error, 1e-6 * float(np.abs(gains).max()))
            ]
            if doubts:
                sentences.append(
                    f"the sign of the gain to {y.name} is not certain from {', '.join(doubts)}: a"
                    " model of these data may have it wrong"
                )
        return sentences

    def describe(self) -> dict[str, Any]:
        """As JSON types: orders, gains with their standard errors, time constants [s]."""
        return {
            "orders": [transfer.order for transfer in self.transfers],
            "gain": self.gain.tolist(),
            "gain_error": self.gain_error.tolist(),
            "time_constants": list(self.time_constants),
        }


def fit_linear(
    training: Dataset,
    validation: Dataset,
    *,
    transient: int = 50,
    delays: Sequence[int] = (),
    orders: Sequence[int] = ORDERS,
) -> LinearModel:
    """The output-error model of recorded data.

    Args:
        training: records to fit; of more than 20 000 samples the windows in which the inputs move
            most.
        validation: records that choose among `orders`, output by output.
        transient: first samples of each record that do not count, at most a quarter of it.
        delays: samples that each input is late (nu,); none: no delays.
        orders: numbers of poles from each input that are tried.

    Returns:
        The model that simulates the validation data best.

    Raises:
        InputError: when `delays` do not fit the inputs.
    """
    if training.samples > _MOST:
        training = thin(training, samples=_MOST, window=_WINDOW)
    late_by = checked_delays(delays, len(training.inputs), name="linear model")
    u, y = (np.vstack([getattr(r, which) for r in training.records]) for which in ("u", "y"))
    mids, spans = (u.mean(axis=0), np.nanmean(y, axis=0)), (_spread(u), _spread(y))

    def scaled(item: Record, j: int) -> tuple[Array, Array]:
        """Normalised inputs as they arrive, and output j with NaN where it does not count."""
        given = late((item.u - mids[0]) / spans[0], late_by)
        target = (item.y[:, j] - mids[1][j]) / spans[1][j]
        target[: min(max(transient, *late_by), len(target) // 4)] = np.nan
        return given, target

    transfers = []
    for j in range(y.shape[1]):
        known, judges = ([scaled(r, j) for r in d.records] for d in (training, validation))
        tried = [_fitted(known, order) for order in orders]
        transfers.append(
            min(tried, key=lambda t: float((_errors(_flat(t), judges, t.order)[0] ** 2).sum()))
        )
    return LinearModel(tuple(transfers), mids[0], spans[0], mids[1], spans[1], late_by, training.Ts)


def _spread(values: Array) -> Array:
    """Standard deviations; 1 of what never moves, whose gain is then 0."""
    deviation = np.nanstd(values, axis=0)
    return np.where(deviation > 1e-12 * np.nanmax(np.abs(values), axis=0), deviation, 1.0)


def _flat(transfer: Transfer) -> Array:
    """Its parameters in one row."""
    return np.append(np.hstack([transfer.b, transfer.f]).ravel(), transfer.c)


def _simulated(p: Array, u: Array, order: int) -> tuple[Array, Array]:
    """The output (N,) and its slope (N, 2·nu·order + 1) in the parameters."""
    from scipy.signal import lfilter  # half a second, for those who need it

    columns, y = [], np.full(len(u), p[-1])
    for i, given in enumerate(u.T):
        b, f = np.split(p[2 * order * i : 2 * order * (i + 1)], 2)
        poly, from_rest = np.r_[1.0, f], given - given[0]
        filtered = lfilter([1.0], poly, from_rest)
        reached = lfilter(np.r_[0.0, b], poly, from_rest)
        back = lfilter([1.0], poly, reached)
        at_rest, steady = 1.0 / poly.sum(), b.sum() / poly.sum()
        y = y + steady * given[0] + reached
        for k in range(1, order + 1):
            columns.append(_shifted(filtered, k) + at_rest * given[0])
        for k in range(1, order + 1):
            columns.append(-_shifted(back, k) - steady * at_rest * given[0])
    return y, np.column_stack([*columns, np.ones(len(u))])


def _shifted(values: Array, by: int) -> Array:
    return np.concatenate([np.zeros(by), values[: len(values) - by]])


def _errors(p: Array, records: Sequence[tuple[Array, Array]], order: int) -> tuple[Array, Array]:
    """Errors of what counts, and their slope."""
    errors, slopes = [], []
    for u, y in records:
        known = np.isfinite(y)
        with np.errstate(all="ignore"):
            simulated, slope = _simulated(p, u, order)
            errors.append((simulated - y)[known])
        slopes.append(slope[known])
    e, J = np.concatenate(errors), np.vstack(slopes)
    return _bounded(e, _LIMIT), _bounded(J, _LIMIT**3)


def _bounded(values: Array, limit: float) -> Array:
    """Within ± a limit, at which also lies what is no number."""
    held: Array = np.clip(np.where(np.isnan(values), limit, values), -limit, limit)
    return held


def _fitted(records: Sequence[tuple[Array, Array]], order: int) -> Transfer:
    """Least simulation error from a least-squares ARX model."""
    from scipy.optimize import least_squares

    @lru_cache(maxsize=1)  # asked for both at one place
    def at(p: bytes) -> tuple[Array, Array]:
        return _errors(np.frombuffer(p), records, order)

    found = least_squares(
        lambda p: at(p.tobytes())[0],
        _first_guess(records, order),
        lambda p: at(p.tobytes())[1],
        method="lm",
        x_scale="jac",
        max_nfev=_CALLS,
    )
    p, e, J = found.x, found.fun, found.jac
    each = p[:-1].reshape(-1, 2, order)
    # residuals are coloured: as if each stretch of their memory were one sample
    variance = memory(e) * float(e @ e) / max(1, len(e) - len(p))
    covariance = variance * np.linalg.pinv(J.T @ J, hermitian=True)
    return Transfer(each[:, 0], each[:, 1], float(p[-1]), covariance)


def memory(e: Array) -> float:
    """1 + 2 Σ ρ(k) of a sequence, up to the first lag at which it is not positive: how many samples
    count as one."""
    centred = e - e.mean()
    power = float(centred @ centred)
    if not power > 0:
        return 1.0
    total = 1.0
    for lag in range(1, len(e) // 4):
        share = float(centred[lag:] @ centred[:-lag]) / power
        if share <= 0.05:
            break
        total += 2.0 * share
    return total


def _first_guess(records: Sequence[tuple[Array, Array]], order: int) -> Array:
    """ARX by ridge least squares, its poles drawn inside the unit circle, the same from every
    input."""
    rows, targets = [], []
    for u, y in records:
        lags = range(1, order + 1)
        past = [-np.column_stack([y[order - k : len(y) - k] for k in lags])] + [
            np.column_stack([u[order - k : len(u) - k, i] for k in lags]) for i in range(u.shape[1])
        ]
        X = np.hstack(past)
        known = np.isfinite(X).all(axis=1) & np.isfinite(y[order:])
        rows.append(X[known])
        targets.append(y[order:][known])
    X, t = np.vstack(rows), np.concatenate(targets)
    theta = np.linalg.solve(X.T @ X + 1e-8 * max(1, len(X)) * np.eye(X.shape[1]), X.T @ t)
    poles = np.roots(np.r_[1.0, theta[:order]])
    poles = poles * np.minimum(1.0, 0.99 / np.maximum(np.abs(poles), 1e-9))
    f = np.real(np.poly(poles))[1:]
    each = theta[order:].reshape(-1, order)
    return np.append(np.concatenate([np.r_[b, f] for b in each]), 0.0)
