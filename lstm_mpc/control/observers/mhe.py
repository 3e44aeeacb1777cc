"""Moving horizon estimation by do-mpc and IPOPT: the Kalman filter's model and weights, a whole
window at once. Slow; for reference.

What is estimated is [χ; w] at the moment the probe speaks of, from the last `window` measurements:
the sum of squares of what they, the states and the drift of w must err by, and of how far the
window's start is from what the sample before made of it, weighted by the covariance that a Kalman
filter comes to at the safe input. Every solve is checked: do-mpc returns the last iterate also when
IPOPT failed."""

from __future__ import annotations

import warnings
from collections import deque
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.control.controller import Status
from lstm_mpc.control.engines import dompc_library
from lstm_mpc.control.limits import Limits
from lstm_mpc.control.observers.kalman import Kalman
from lstm_mpc.control.observers.options import MheTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import Array

IPOPT = {"ipopt.tol": 1e-8, "ipopt.max_iter": 100, "expand": True, "error_on_fail": False}
_HISTORY = 200  # samples after which do-mpc's growing record is dropped


class Mhe(Kalman):
    """See the module's docstring. A sample whose solve failed keeps what was predicted, says that
    its measurement was not taken in, and the next one begins afresh."""

    def __init__(self, model: Model, limits: Limits, problem: ControlProblem) -> None:
        tuning = problem.observer
        assert isinstance(tuning, MheTuning)
        # [y; v], each measurement with the input before it
        self._window: deque[Array] = deque(maxlen=tuning.window)
        self._mhe: Any = None
        super().__init__(model, limits, problem)
        self._mhe = self._build(
            rest(model.core, self._safe), self._scaling.u_in(self._safe), tuning.window
        )

    def _begin(self, chi: Array, v: Array) -> None:
        super()._begin(chi, v)
        self._window.clear()
        self._applied = np.asarray(v, dtype=np.float64)  # the input before what is seen
        self._ready = False

    def _from(self, chi: Array, u: Array) -> None:
        super()._from(chi, u)
        self._applied = self._scaling.u_in(u[0]) if len(u) else np.zeros(self._system.nu)

    def _settle(self, v: Array) -> None:
        """The weights are what they are."""

    def correct(self, y: ArrayLike, *, gain: float | None = None) -> Status:
        y, believed, status = self._believed(y)
        if not believed.any() and not self._window:
            return status  # nothing to estimate from yet
        z = np.concatenate([self._seen, self._w])
        measured = np.where(
            believed, self._scaling.y_in(np.where(believed, y, 0.0)), self._H @ z + self._b
        )
        self._window.append(np.concatenate([measured, self._applied]))
        while len(self._window) < (self._window.maxlen or 1):  # before the first there was a rest
            self._window.append(self._window[-1])
        found = self._estimate(z)
        if found is None:
            self._ready = False
            return status | Status.MEASUREMENT_INVALID
        end = np.concatenate([self._bound, self._t.max_disturbance])
        found = np.fmin(np.fmax(found, -end), end)
        self._seen, self._w = found[: self._n], found[self._n :]
        self._tell()
        return status

    def _move(self, u: Array) -> None:
        self._queue.append(self._scaling.u_in(u))
        self._applied = self._queue.popleft()
        self._seen = self._slopes(self._seen, self._applied)[0]
        self._tell()

    def _estimate(self, z: Array) -> Array | None:
        """What do-mpc makes of the window, `z` predicted; None where IPOPT failed."""
        if not self._ready:
            self._mhe.x0 = z[:, None]
            self._mhe.u0 = self._applied[:, None]
            self._mhe.set_initial_guess()
            self._ready = True
        if len(self._mhe.data["_time"]) > _HISTORY:
            self._mhe.reset_history()
        try:
            found: Array = np.asarray(self._mhe.make_step(self._window[-1][:, None])).ravel()
        except RuntimeError:
            return None
        return found if self._mhe.solver_stats["success"] and np.isfinite(found).all() else None

    def _build(self, chi: Array, v: Array, window: int) -> Any:
        """The estimator, normalised: discrete, state [χ; w] with noise, measured outputs with noise
        and inputs without."""
        do_mpc = dompc_library.do_mpc()
        network, t, n = self._model.network, self._t, self._n
        weights = np.concatenate([np.full(n, max(t.state, 1e-12)), t.drift])
        model = do_mpc.model.Model("discrete", "SX")
        x, w = model.set_variable("_x", "chi", (n, 1)), model.set_variable("_x", "w", (self._m, 1))
        u = model.set_variable("_u", "u", (self._system.nu, 1))
        driven = u + self._model.roles.column(w, ca.SX.zeros(u.shape)) if self._input else u
        model.set_rhs("chi", lstm.step(network, x, driven), process_noise=True)
        model.set_rhs("w", w, process_noise=True)
        model.set_meas("y", lstm.output(network, x) + (0 if self._input else w), meas_noise=True)
        model.set_meas("applied", u, meas_noise=False)
        model.setup()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mhe = do_mpc.estimator.MHE(model, [])
            mhe.settings.supress_ipopt_output()
        mhe.settings.n_horizon, mhe.settings.t_step, mhe.settings.meas_from_data = (
            window,
            self._model.Ts,
            False,
        )
        mhe.settings.store_full_solution = mhe.settings.store_lagr_multiplier = False
        mhe.settings.nlpsol_opts = {**mhe.settings.nlpsol_opts, **IPOPT}
        arrival = np.linalg.inv(self._covariance(chi, v, np.diag(weights)))
        mhe.set_default_objective(
            P_x=0.5 * (arrival + arrival.T), P_v=np.diag(1 / t.noise), P_w=np.diag(1 / weights)
        )
        end = np.concatenate([self._bound, t.max_disturbance])
        mhe.bounds["lower", "_x", "chi"], mhe.bounds["upper", "_x", "chi"] = -end[:n], end[:n]
        mhe.bounds["lower", "_x", "w"], mhe.bounds["upper", "_x", "w"] = -end[n:], end[n:]
        template = mhe.get_y_template()

        def measured(_: float) -> Any:
            for k, row in enumerate(self._window):
                template["y_meas", k] = ca.DM(row)
            return template

        mhe.set_y_fun(measured)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mhe.setup()
        return mhe

    def _covariance(self, chi: Array, v: Array, Q: Array) -> Array:
        """That of [χ; w] before a measurement, to which the filter comes in the rest `chi` under
        `v`."""
        self._P = Q.copy()
        slopes, R = self._slopes(chi, v)[1], np.diag(self._t.noise)
        for _ in range(500):
            D = self._P @ self._H.T
            self._P = self._P - D @ np.linalg.solve(self._H @ D + R, D.T)
            self._P = self._carried(slopes) + Q
        return self._P.copy()
