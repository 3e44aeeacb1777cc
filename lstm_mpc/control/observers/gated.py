"""The gated observer: the measurement corrects inside the gates of the last layer, with gains that
`gated_certificate` has certified."""

from __future__ import annotations

from collections import deque
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.certificates import conditions
from lstm_mpc.control.controller import Status
from lstm_mpc.control.limits import Limits
from lstm_mpc.control.observers.gated_certificate import Compared, by_gate, certify_gated, choose
from lstm_mpc.control.observers.observer import Observer
from lstm_mpc.control.observers.options import GatedTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.model.sensitivity import Buffered
from lstm_mpc.plants.system import Array


class Gated(Observer):
    """The estimator with these gains. With a dead time it runs where the probe speaks, and the
    state now is that one run on without corrections. What is not believed corrects nothing. Made
    only where the certificate holds."""

    def __init__(self, model: Model, limits: Limits, problem: ControlProblem) -> None:
        super().__init__(model, limits, problem)
        tuning = problem.observer
        assert isinstance(tuning, GatedTuning)
        self._gain, self._scaling = problem.observer_gain, model.scaling
        given = (
            np.asarray(tuning.gains)
            if tuning.gains
            else choose(model, observer_gain=self._gain, share=tuning.share)
        )
        self.certificate = certify_gated(model, given, observer_gain=self._gain)
        if not self.certificate.holds:
            raise InputError(f"observer: these gains have no certificate: {self.certificate}"[:300])
        compared = Compared(model, self._gain)
        n, nx = model.sizes.n, model.sizes.nx[-1]
        below = [np.concatenate([x, np.ones(len(x))]) for x in _bounds_below(model)]
        self._bound = np.concatenate(
            [*below, compared.at(given)[2] * (1 + 1e-6) + 1e-6, np.ones(nx)]
        )
        self._C, self._b = np.asarray(model.network.C), np.asarray(model.network.b_y).ravel()
        self._reach, self._xi = np.abs(self._C).sum(axis=1), slice(n - nx, n)
        chi, v, e = (
            ca.SX.sym("chi", n),
            ca.SX.sym("v", len(model.inputs)),
            ca.SX.sym("e", len(model.outputs)),
        )
        gains = {g: np.asarray(L) for g, L in by_gate(ca.DM(given), compared.shape).items()}
        self._stage = Buffered(
            ca.Function("gated", [chi, v, e], [_step(model.network, gains, chi, v, e)])
        )
        self._rest(self._safe)

    def _whole(self) -> bool:
        held = np.concatenate([self.chi, self._seen, self._d, self._e, *self._queue])
        return bool(
            np.isfinite(held).all() and (np.abs([self.chi, self._seen]) <= self._bound).all()
        )

    def _begin(self, chi: Array, v: Array) -> None:
        self._seen, self._d, self._e = (
            chi.copy(),
            np.zeros(self._system.ny),
            np.zeros(self._system.ny),
        )
        # inputs since what is seen
        self._queue = deque([np.asarray(v, dtype=np.float64)] * self._lag)
        self._tell()

    def _from(self, chi: Array, u: Array) -> None:
        self._begin(chi, self._scaling.u_mid)
        self._queue = deque(self._scaling.u_in(u))
        self._tell()

    def _tell(self) -> None:
        self.chi, none = self._seen, np.zeros(self._system.ny)
        for v in self._queue:
            self.chi = self._stage(self.chi, v, none)[0].ravel().copy()
        self.disturbance = self._d * self._scaling.y_span

    def correct(self, y: ArrayLike, *, gain: float | None = None) -> Status:
        y, believed, status = self._believed(y)
        normal, expected = (
            self._scaling.y_in(np.where(believed, y, 0.0)),
            self._C @ self._seen[self._xi] + self._b,
        )
        inside = np.clip(normal - self._d, self._b - self._reach, self._b + self._reach)
        self._e = (
            np.where(believed, inside - expected, 0.0) if gain is None else np.zeros(len(normal))
        )
        moved = self._d + (self._gain if gain is None else gain) * (normal - expected - self._d)
        self._d = np.where(believed, moved, self._d)
        self.disturbance = self._d * self._scaling.y_span
        return status

    def _move(self, u: Array) -> None:
        self._queue.append(self._scaling.u_in(np.clip(u, self._model.u_low, self._model.u_high)))
        self._seen = self._stage(self._seen, self._queue.popleft(), self._e)[0].ravel().copy()
        self._e = np.zeros(self._system.ny)
        self._tell()


def _bounds_below(model: Model) -> list[Array]:
    """x̄ of the layers that are not corrected."""
    found = []
    for number, layer in enumerate(model.network.layers[:-1]):
        radius = conditions.layer_radius(number, model.scaling.radius)
        found.append(conditions.gate_numbers(layer, radius)["x_bar"] * (1 + 1e-6) + 1e-6)
    return found


def _step(network: lstm.Network, gains: dict[str, Array], chi: Any, v: Any, e: Any) -> Any:
    """χ̂⁺ with L_g e added in the gates of the last layer: its biases, moved."""
    layer = network.layers[-1]
    biases = {f"b_{g}": getattr(layer, f"b_{g}") + ca.mtimes(gains[g], e) for g in lstm.GATES}
    leaves = {f"{kind}_{g}": getattr(layer, f"{kind}_{g}") for kind in "WU" for g in lstm.GATES}
    corrected = lstm.Layer(**leaves, **biases)
    return lstm.step(
        lstm.Network((*network.layers[:-1], corrected), network.C, network.b_y), chi, v
    )
