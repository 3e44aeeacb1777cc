"""Model predictive control by do-mpc and IPOPT, with the released LSTM as prediction model: the reference engine.

The only importer of do-mpc. Every solve is checked: do-mpc returns some input even when IPOPT failed, and says nothing.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.control.observer import Observer
from lstm_mpc.control.problem import Limits, Move, Problem, coming, limits
from lstm_mpc.release import Release
from lstm_mpc.system import Array

_HISTORY = 200  # samples after which do-mpc's growing record is dropped


class DoMpc:
    """A controller that keeps the `reset / step` protocol; see `Problem` for what it optimises.

    When IPOPT fails, the plan of the last good solve is shifted and applied, limited to bounds and rates, and the move's status says so;
    after a whole horizon of failures the input is held.
    """

    def __init__(self, release: Release, problem: Problem) -> None:
        self.release, self.problem = release, problem
        self.limits: Limits = limits(release, problem)
        self.observer = Observer(release.model, problem.observer_gain, lag=round(problem.dead_time / release.model.Ts))
        self._references = np.zeros((problem.horizon + 1, len(release.model.outputs)))
        self._mpc = _build(release, problem, self.limits, lambda: (self._references, self.observer.disturbance))
        self._ready = False

    def reset(self, y: ArrayLike, u: ArrayLike) -> None:
        """Begin at the measured output `y` (ny,) with the input `u` (nu,) in force [engineering]."""
        self.observer.reset(y, u)
        self._before: Array = np.asarray(u, dtype=np.float64).ravel().copy()
        self._plan = np.repeat(self._before[None], self.problem.horizon, axis=0)
        self._ready = False

    def step(self, y: ArrayLike, reference: ArrayLike) -> Move:
        """Measurement (ny,) and setpoint (ny,) or, with preview, (N+1, ny) → the move for this sample."""
        began = time.perf_counter()
        self.observer.correct(y)
        self._references = coming(reference, self.problem.horizon, len(self.release.model.outputs))
        if not self.problem.preview:
            self._references[:] = self._references[0]
        u, status = self._solve()
        if status == "optimal" and not np.isfinite(y).all():
            status = "measurement not finite; disturbance held"
        before, u = self._before, self.limits.admit(u, self._before)
        predicted = self._predict(self._plan)
        self.observer.predict(u)
        self._before = u
        return Move(
            u=u,
            status=status,
            iterations=int(getattr(self._mpc, "solver_stats", {}).get("iter_count", 0)),
            cost=self.limits.cost(predicted, self._references, self._plan, before),
            predicted=predicted,
            disturbance=self.observer.disturbance.copy(),
            seconds=time.perf_counter() - began,
        )

    def _solve(self) -> tuple[Array, str]:
        """The input and the status; keeps `_plan` (N, nu) in step with time either way."""
        state = np.concatenate([self.observer.chi, self._before])[:, None]
        if not self._ready:
            self._mpc.x0 = state
            self._mpc.u0 = self._before[:, None]
            self._mpc.set_initial_guess()
            self._ready = True
        if len(self._mpc.data["_time"]) > _HISTORY:
            self._mpc.reset_history()
        problem: str | None = None
        try:
            u = np.asarray(self._mpc.make_step(state)).ravel()
            if not self._mpc.solver_stats["success"]:
                problem = str(self._mpc.solver_stats["return_status"])
        except RuntimeError as error:
            problem = f"{error}".splitlines()[0]
        if problem is None and np.isfinite(u).all():
            self._plan = np.array([np.asarray(self._mpc.opt_x_num["_u", k, 0]).ravel() for k in range(self.problem.horizon)])
            return u, "optimal"
        self._ready = False  # the next solve starts afresh
        self._plan = np.vstack([self._plan[1:], self._plan[-1:]])
        return self._plan[0], f"solve failed ({problem or 'not finite'}); last good plan applied"

    def _predict(self, plan: Array) -> Array:
        """Outputs expected under `plan` from the observer's state, (N+1, ny)."""
        system, d = self.release.model.system, np.zeros((0, len(plan)))
        later = np.asarray(system.step.mapaccum(len(plan))(self.observer.chi, plan.T, d))
        states = np.column_stack([self.observer.chi, later])
        return np.asarray(system.output.map(len(plan) + 1)(states)).T + self.observer.disturbance


def _build(release: Release, problem: Problem, bounds: Limits, now: Any) -> Any:
    """The do-mpc controller: SX, discrete, state [χ; u_{k−1}], setpoint and disturbance as time-varying parameters."""
    do_mpc = _import()
    network = release.model
    n, nu, ny, N = network.sizes.n, len(network.inputs), len(network.outputs), problem.horizon
    model = do_mpc.model.Model("discrete", "SX")
    chi = model.set_variable("_x", "chi", (n, 1))
    before = model.set_variable("_x", "u_before", (nu, 1))
    u = model.set_variable("_u", "u", (nu, 1))
    model.set_variable("_tvp", "reference", (ny, 1))
    model.set_variable("_tvp", "disturbance", (ny, 1))
    following = network.step(chi, u)
    model.set_rhs("chi", following)
    model.set_rhs("u_before", u)
    model.setup()
    chi, before, u = model.x["chi"], model.x["u_before"], model.u["u"]
    reference, disturbance = model.tvp["reference"], model.tvp["disturbance"]
    y, y_next = network.output(chi) + disturbance, network.output(network.step(chi, u)) + disturbance
    error = (y - reference) ** 2
    stage = ca.dot(bounds.output_weight, error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mpc = do_mpc.controller.MPC(model)
        mpc.settings.supress_ipopt_output()
    mpc.settings.n_horizon, mpc.settings.t_step = N, network.Ts
    mpc.settings.store_full_solution = mpc.settings.store_lagr_multiplier = False
    mpc.settings.nlpsol_opts = {**mpc.settings.nlpsol_opts, "ipopt.tol": 1e-8, "error_on_fail": False}
    mpc.set_objective(mterm=stage, lterm=stage + ca.dot(bounds.move_penalty, (u - before) ** 2))
    mpc.set_rterm(u=0.0)  # the move penalty acts on u − u_before, also at k = 0
    mpc.bounds["lower", "_u", "u"], mpc.bounds["upper", "_u", "u"] = bounds.u_low, bounds.u_high
    for j in range(nu):
        if np.isfinite(bounds.max_move[j]):
            move = u[j] - before[j]
            mpc.set_nl_cons(f"rise{j}", move, bounds.max_move[j])
            mpc.set_nl_cons(f"fall{j}", -move, bounds.max_move[j])
    for j in range(ny):  # on the next output: k = 1 … N, never the present, which no input can change
        sides = {"above": (y_next[j], bounds.y_high[j]), "below": (-y_next[j], -bounds.y_low[j])}
        for name, (value, limit) in sides.items():
            if np.isfinite(limit):
                mpc.set_nl_cons(f"{name}{j}", value, limit, soft_constraint=True, penalty_term_cons=problem.violation_weight)
    template = mpc.get_tvp_template()

    def parameters(_: float) -> Any:
        references, offset = now()
        for k in range(N + 1):
            template["_tvp", k, "reference"] = references[k]
            template["_tvp", k, "disturbance"] = offset
        return template

    mpc.set_tvp_fun(parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mpc.setup()
    return mpc


def _import() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # do-mpc warns of its optional extras
        import do_mpc
    return do_mpc
