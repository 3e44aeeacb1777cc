"""Model predictive control by do-mpc and IPOPT, with the released LSTM as prediction model: the
reference engine.

Every solve is checked: do-mpc returns some input even when IPOPT failed, and says nothing.
"""

from __future__ import annotations

import warnings
from typing import Any

import casadi as ca
import numpy as np

from lstm_mpc.certificates.gate import Release
from lstm_mpc.control.engines import dompc_library
from lstm_mpc.control.engines.supervisor import Solution, Supervisor
from lstm_mpc.control.limits import Limits
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.plants.system import Array

IPOPT = {"ipopt.tol": 1e-12, "ipopt.bound_relax_factor": 0.0}
_HISTORY = 200  # samples after which do-mpc's growing record is dropped


class DoMpc(Supervisor):
    """See `Supervisor` for the protocol and `ControlProblem` for what is optimised."""

    def __init__(self, release: Release, problem: ControlProblem) -> None:
        super().__init__(release, problem)
        self._ahead = np.zeros((problem.horizon + 1, len(release.model.outputs)))
        self._known = np.zeros((problem.horizon, len(release.model.measured)))
        self._late = self._roles.moved(release.model.uneven_delays)
        self._mpc = _build(
            release,
            problem,
            self.limits,
            lambda: (self._ahead, self._known, self.observer),
        )

    def _restart(self) -> None:
        self._ready = False

    def _solve(self, references: Array) -> Solution:
        self._ahead = references
        self._known = self._arriving(self._plan)[:, self._roles.measured]
        past = self._roles.moved(self.observer.line.past)
        # as far back as inputs that are moved are late
        past = past[len(past) - int(self._late.max()) :]
        state = np.concatenate([self.observer.chi, self._before, past.ravel()])[:, None]
        if not self._ready:
            self._mpc.x0 = state
            self._mpc.u0 = self._before[:, None]
            self._mpc.set_initial_guess()
            self._ready = True
        if len(self._mpc.data["_time"]) > _HISTORY:
            self._mpc.reset_history()
        problem = "not finite"
        try:
            u = np.asarray(self._mpc.make_step(state))
            if not self._mpc.solver_stats["success"]:
                problem = str(self._mpc.solver_stats["return_status"])
            elif np.isfinite(u).all():
                plan = np.array(
                    [
                        np.asarray(self._mpc.opt_x_num["_u", k, 0]).ravel()
                        for k in range(self.problem.horizon)
                    ]
                )
                return Solution(plan, iterations=int(self._mpc.solver_stats["iter_count"]))
        except RuntimeError as error:
            problem = f"{error}".splitlines()[0]
        self._ready = False  # the next solve starts afresh
        return Solution(None, detail=problem)


def _build(release: Release, problem: ControlProblem, bounds: Limits, now: Any) -> Any:
    """The do-mpc controller: SX, discrete, state [χ; u_{k−1}; the inputs under way, the oldest
    first], setpoint, disturbances and the measured inputs as they arrive as time-varying
    parameters."""
    do_mpc = dompc_library.do_mpc()
    own = release.model
    n, nu, ny, N = own.sizes.n, len(own.manipulated), len(own.outputs), problem.horizon
    model = do_mpc.model.Model("discrete", "SX")
    nd, chi = len(own.measured), model.set_variable("_x", "chi", (n, 1))
    before = model.set_variable("_x", "u_before", (nu, 1))
    u = model.set_variable("_u", "u", (nu, 1))
    model.set_variable("_tvp", "reference", (ny, 1))
    model.set_variable("_tvp", "disturbance", (ny, 1))
    input_disturbance = model.set_variable("_tvp", "input_disturbance", (nu, 1))
    known = model.set_variable("_tvp", "measured", (nd, 1)) if nd else ca.SX(0, 1)
    late = own.roles.moved(own.uneven_delays)
    past = model.set_variable("_x", "past", (nu * late.max(), 1)) if late.any() else ca.SX(0, 1)

    def arriving(past: Any, u: Any) -> Any:
        line = ca.reshape(ca.vertcat(past, u), nu, -1)
        return ca.vertcat(*(line[j, late.max() - delay] for j, delay in enumerate(late.tolist())))

    def inputs(past: Any, u: Any, input_disturbance: Any, known: Any) -> Any:
        return own.roles.column(arriving(past, u) + input_disturbance, known)

    model.set_rhs("chi", own.step(chi, inputs(past, u, input_disturbance, known)))
    model.set_rhs("u_before", u)
    if late.any():
        model.set_rhs("past", ca.vertcat(past, u)[nu:, :])
    model.setup()
    chi, before, u, past = (
        model.x["chi"],
        model.x["u_before"],
        model.u["u"],
        model.x["past"] if late.any() else past,
    )
    reference, disturbance, input_disturbance = (
        model.tvp[name] for name in ("reference", "disturbance", "input_disturbance")
    )
    known = model.tvp["measured"] if nd else known
    following = own.step(chi, inputs(past, u, input_disturbance, known))
    y, y_next = own.output(chi) + disturbance, own.output(following) + disturbance
    error = (y - reference) ** 2
    stage = ca.dot(bounds.output_weight, error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mpc = do_mpc.controller.MPC(model)
        mpc.settings.supress_ipopt_output()
    mpc.settings.n_horizon, mpc.settings.t_step = N, own.Ts
    mpc.settings.store_full_solution = mpc.settings.store_lagr_multiplier = False
    mpc.settings.nlpsol_opts = {**mpc.settings.nlpsol_opts, **IPOPT, "error_on_fail": False}
    moving = ca.dot(bounds.move_penalty, (u - before) ** 2)
    away = ca.dot(bounds.input_weight, (u - bounds.input_target) ** 2)
    mpc.set_objective(mterm=stage, lterm=stage + moving + away)
    mpc.set_rterm(u=0.0)  # the move penalty acts on u − u_before, also at k = 0
    mpc.bounds["lower", "_u", "u"], mpc.bounds["upper", "_u", "u"] = bounds.u_low, bounds.u_high
    _limit(mpc, bounds, move=u - before, y_next=y_next)
    template = mpc.get_tvp_template()

    def parameters(_: float) -> Any:
        references, measured, observer = now()
        for k in range(N + 1):
            template["_tvp", k, "reference"] = references[k]
            template["_tvp", k, "disturbance"] = observer.disturbance
            template["_tvp", k, "input_disturbance"] = observer.input_disturbance
            if nd:
                template["_tvp", k, "measured"] = measured[min(k, N - 1)]
        return template

    mpc.set_tvp_fun(parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mpc.prepare_nlp()
        _hold(mpc, set(range(N)) - set(problem.starts))
        mpc.create_nlp()
    return mpc


def _limit(mpc: Any, bounds: Limits, *, move: Any, y_next: Any) -> None:
    """Rate limits on the `move`, and soft bounds on the next output: k = 1 … N, never the present,
    which no input can change."""
    for j, (rise, fall) in enumerate(zip(bounds.max_move, bounds.max_move_down, strict=True)):
        for name, moved, reach in (("rise", move[j], rise), ("fall", -move[j], fall)):
            if np.isfinite(reach):
                mpc.set_nl_cons(f"{name}{j}", moved, reach)
    soft = zip(bounds.y_low, bounds.y_high, bounds.violation_weight, strict=True)
    for j, (low, high, price) in enumerate(soft):
        for name, value, limit in (("above", y_next[j], high), ("below", -y_next[j], -low)):
            if np.isfinite(limit):
                mpc.set_nl_cons(
                    f"{name}{j}",
                    value,
                    limit,
                    soft_constraint=True,
                    penalty_term_cons=price,
                )


def _hold(mpc: Any, samples: set[int]) -> None:
    """In these samples the input is that of the sample before: they lie within a block."""
    for k in sorted(samples):
        held = mpc.opt_x["_u", k, 0] - mpc.opt_x["_u", k - 1, 0]
        mpc.nlp_cons.append(held)
        mpc.nlp_cons_lb.append(np.zeros(held.shape))
        mpc.nlp_cons_ub.append(np.zeros(held.shape))
