"""Extended Kalman filter with a disturbance that it estimates, for measurements with noise and dead
time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.certificates.rigorous import Box
from lstm_mpc.certificates.signed.certificate import incremental_margin
from lstm_mpc.control.controller import Status
from lstm_mpc.control.limits import Limits
from lstm_mpc.control.observers.observer import Estimate, Observer, state_bound
from lstm_mpc.control.observers.options import KalmanTuning, per_signal
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.model.sensitivity import Buffered
from lstm_mpc.plants.system import Array

FLOOR = 1e-4  # least variance of the noise, as a share of the declared one
FADE = 0.1  # how fast the noise is learned: share of what is new
MEMORY = 0.5  # of the trend of the innovations
WHITE = 2.0  # squared trend, of white innovations 1, that is none yet
DEVIATIONS = 3.0  # standard ones, to either side, that an estimate may be off


def beyond(model: Model, problem: ControlProblem) -> float:
    """How far [normalised] the inputs of the model go beyond the actuator limits, with the
    disturbance that the observer may put there."""
    if not isinstance(problem.observer, KalmanTuning) or not problem.observer.input:
        return 0.0
    return float(
        (
            per_signal(problem.observer.max_disturbance, len(model.manipulated), "max_disturbance")
            / model.roles.moved(model.scaling.u_span)
        ).max()
    )


@dataclass(frozen=True)
class Tuned:
    """The tuning in normalised units: `noise` (ny,) and `drift` (m,) as variances,
    `max_disturbance` (m,) |disturbance|."""

    noise: Array
    drift: Array
    max_disturbance: Array
    state: float
    drift_boost: float
    delay_uncertainty: float


def tuned(model: Model, problem: ControlProblem, tuning: KalmanTuning) -> Tuned:
    """The numbers of `tuning` for this model; InputError where the model forgets its start no more
    under the largest disturbance."""
    scaling, nu, ny = model.scaling, len(model.manipulated), len(model.outputs)
    count, span, what = (
        (nu, model.roles.moved(scaling.u_span), "input")
        if tuning.input
        else (ny, scaling.y_span, "output")
    )
    if tuning.input and ny > nu:
        raise InputError(
            f"observer: {nu} input disturbance(s) cannot explain {ny} outputs; use disturbance ="
            " 'output'"
        )
    noise, drift = (
        per_signal(tuning.noise, ny, "noise") / scaling.y_span,
        per_signal(tuning.drift, count, "drift") / span,
    )
    max_disturbance = per_signal(tuning.max_disturbance, count, "max_disturbance") / span
    if (
        min(noise.min(), drift.min(), max_disturbance.min()) <= 0
        or not np.isfinite([*noise, *drift, *max_disturbance]).all()
    ):
        raise InputError(
            f"observer: noise, drift and max_disturbance of the {what} disturbance must be positive"
            " numbers"
        )
    if tuning.input:
        radius = scaling.radius + beyond(model, problem)
        margin = incremental_margin(model.network, radius)
        if not margin > 0:
            raise InputError(
                f"observer: with input disturbances up to {tuning.max_disturbance!r} the inputs"
                f" reach {radius:g} (normalised), where δISS does not hold (margin {margin:.3g});"
                " give a smaller `max_disturbance`, or disturbance = 'output'"
            )
    return Tuned(
        noise**2,
        drift**2,
        max_disturbance,
        tuning.state_noise**2,
        tuning.drift_boost,
        (tuning.delay_uncertainty * problem.lag(model)) ** 2,
    )


class Kalman(Observer):
    """Estimates [χ; w] where the probe speaks, w the disturbance (a random walk); the state now is
    that one run on under the inputs since.

    χ̂⁺ = f(χ̂, u + w) and P⁺ = A P Aᵀ + Q, then one output after the other corrects both with the
    gain P h / (hᵀ P h + r). What makes it quick and quiet with one tuning: r is learned from how
    the innovations alternate; when they keep their sign, w is let drift `alert` times as fast; and
    an output that moves fast is believed less, for a dead time is never known exactly. The estimate
    is kept within the set that no trajectory leaves, so it stays bounded whatever is measured; that
    the corrections converge is measured, not proved. `innovations` are the last ones (ny,) and
    their variances (ny,), normalised; NaN where the measurement was not believed."""

    innovations: tuple[Array, Array]
    learning = True  # r

    def __init__(self, model: Model, limits: Limits, problem: ControlProblem) -> None:
        super().__init__(model, limits, problem)
        tuning = problem.observer
        assert isinstance(tuning, KalmanTuning)
        self._t, self._input, self._scaling = (
            tuned(model, problem, tuning),
            tuning.input,
            model.scaling,
        )
        n, nu, ny = model.sizes.n, len(model.inputs), len(model.outputs)
        self._n, self._m = n, len(self._t.drift)
        self._at = model.roles.manipulated
        self._bound = state_bound(model, beyond=beyond(model, problem))
        chi, v = ca.SX.sym("chi", n), ca.SX.sym("v", nu)
        following = lstm.step(model.network, chi, v)
        self._stage = Buffered(
            ca.Function(
                "stage",
                [chi, v],
                [following, ca.vec(ca.densify(ca.jacobian(following, ca.vertcat(chi, v))))],
            )
        )
        self._H = np.zeros((ny, n + self._m))
        self._H[:, n - model.network.nx[-1] : n] = model.network.C
        if not tuning.input:
            self._H[:, n:] = np.eye(ny)
        self._b = np.asarray(model.network.b_y).ravel()
        self._rest(self._safe)

    def _forget(self) -> None:
        super()._forget()
        self._error = np.full(self._system.ny, np.nan)

    def _from(self, chi: Array, u: Array) -> None:
        v = self._scaling.u_in(u)
        self._begin(chi, self._scaling.u_mid)
        self._settle(v[0] if len(v) else np.zeros(self._system.nu))
        self._queue.clear()
        self._queue.extend(v)
        self._tell()

    def _settle(self, v: Array) -> None:
        """P becomes that of a rest under the input `v` (nu,) and an uncertain disturbance."""
        for _ in range(200):
            self._P = self._carried(self._slopes(self._seen, v)[1])

    def _whole(self) -> bool:
        held = [
            self.chi,
            self._seen,
            self._w,
            self._P.ravel(),
            self._r,
            self._trend,
            self._slope,
            *self._queue,
        ]
        inside = (
            (np.abs([self.chi, self._seen]) <= self._bound).all()
            and (np.abs(self._w) <= self._t.max_disturbance).all()
            and (self._r > 0).all()
        )
        return bool(np.isfinite(np.concatenate(held)).all() and inside)

    def _begin(self, chi: Array, v: Array) -> None:
        ny = self._system.ny
        self._seen, self._w = chi.copy(), np.zeros(self._m)
        self._P = np.zeros((self._n + self._m, self._n + self._m))
        self._P[self._n :, self._n :] = np.diag(0.25 * self._t.max_disturbance**2)
        # inputs since what is seen
        self._queue = deque([np.asarray(v, dtype=np.float64)] * self._lag)
        self._r, self._trend, self._slope, self._error = (
            self._t.noise.copy(),
            np.zeros(ny),
            np.zeros(ny),
            np.full(ny, np.nan),
        )
        self._tell()

    def _tell(self) -> None:
        """The state now and the disturbances, from what is seen."""
        self.chi = self._seen
        for v in self._queue:
            self.chi = self._slopes(self.chi, v)[0]
        zero_u, zero_y = np.zeros(len(self._at)), np.zeros(self._system.ny)
        span = self._moved(self._scaling.u_span)
        self.input_disturbance = self._w * span if self._input else zero_u
        self.disturbance = zero_y if self._input else self._w * self._scaling.y_span
        self._corrected = None

    def _drive(self) -> Array:
        """The disturbance of the inputs that are moved, normalised."""
        return self._w.copy() if self._input else np.zeros(len(self._at))

    def _slopes(self, chi: Array, v: Array) -> tuple[Array, Array]:
        """χ⁺ under the inputs `v` and the disturbance, and ∂χ⁺/∂[χ; w] (n, n+m)."""
        roles = self._model.roles
        following, slopes = self._stage(chi, v + roles.joined(self._drive(), 0.0))
        slopes = slopes.reshape(-1, self._n).T
        if roles.measured.size:
            slopes = np.hstack([slopes[:, : self._n], slopes[:, self._n + roles.manipulated]])
        if not self._input:
            slopes = np.hstack([slopes[:, : self._n], np.zeros((self._n, self._m))])
        return following.ravel().copy(), slopes

    def _carried(self, slopes: Array) -> Array:
        """A P Aᵀ with A = [slopes; 0 1]."""
        A = np.vstack([slopes, np.eye(self._m, self._n + self._m, k=self._n)])
        return A @ self._P @ A.T

    def correct(self, y: ArrayLike, *, gain: float | None = None) -> Status:
        y, believed, status = self._believed(y)
        n, t, prior = self._n, self._t, (self.chi, self._drive())
        z, before = np.concatenate([self._seen, self._w]), np.concatenate([self._seen, self._w])
        measured = self._scaling.y_in(np.where(believed, y, self._scaling.y_mid))
        self.innovations = np.full(len(y), np.nan), np.full(len(y), np.nan)
        for j, h in enumerate(self._H):
            if not believed[j]:
                self._error[j] = np.nan
                continue
            D = self._P @ h
            error, s = (
                measured[j] - (h @ z + self._b[j]),
                max(h @ D, 0.0) + self._r[j] + t.delay_uncertainty * self._slope[j] ** 2,
            )
            self.innovations[0][j], self.innovations[1][j] = error, s
            z = z + D * (error / s)
            self._P -= np.outer(D, D) / s
            self._trend[j] = MEMORY * self._trend[j] + (1 - MEMORY) * error / np.sqrt(s)
            if self.learning and np.isfinite(self._error[j]):
                self._r[j] += FADE * (
                    min(0.5 * (error - self._error[j]) ** 2, 9 * self._r[j]) - self._r[j]
                )
                self._r[j] = max(self._r[j], FLOOR * t.noise[j])
            self._error[j] = error
        change = z - before
        chi = self._seen
        for v in self._queue:  # to first order, along the inputs since
            chi, slopes = self._slopes(chi, v)
            change[:n] = slopes @ change
        end = np.concatenate([self._bound, t.max_disturbance])
        # also what overflowed: NaN becomes the lower end, as in the C
        z = np.fmin(np.fmax(z, -end), end)
        self._seen, self._w = z[:n], z[n:]
        self._tell()
        self._corrected = (
            prior,
            (
                change[:n],
                change[n:] if self._input else np.zeros(len(self._at)),
            ),
        )
        return status

    def estimate(self) -> Estimate:
        n = self._n
        spread = DEVIATIONS * np.sqrt(np.maximum(np.diag(self._P), 0.0))
        end = np.concatenate([self._bound, self._t.max_disturbance])
        at = np.concatenate([self._seen, self._w])
        low, high = np.maximum(at - spread, -end), np.minimum(at + spread, end)
        zero_u, zero_y = np.zeros(len(self._at)), np.zeros(self._system.ny)
        disturbance, span = Box(low[n:], high[n:]), self._scaling.y_span
        push, added = (
            (disturbance, Box(zero_y, zero_y))
            if self._input
            else (Box(zero_u, zero_u), Box(span * low[n:], span * high[n:]))
        )
        return Estimate(Box(low[:n, None], high[:n, None]), tuple(self._queue), push, added)

    def _move(self, u: Array) -> None:
        self._queue.append(self._scaling.u_in(u))
        following, slopes = self._slopes(self._seen, self._queue.popleft())
        self._P = self._carried(slopes)
        self._P.flat[: self._n * (self._n + self._m) : self._n + self._m + 1] += self._t.state
        alarm = max(0.0, float((self._trend**2).max()) * (1 + MEMORY) / (1 - MEMORY) - WHITE)
        own = np.arange(self._n, self._n + self._m)
        free = self._P[own, own] < 0.25 * self._t.max_disturbance**2
        self._P[own, own] += np.where(free, self._t.drift * (1 + self._t.drift_boost * alarm), 0.0)
        self._slope = self._H[:, : self._n] @ (following - self._seen)
        self._seen = following
        self._tell()
