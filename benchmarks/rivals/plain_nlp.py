"""The problem once more, as one plain nonlinear program for IPOPT: the yardstick of the engines,
not one of them."""

from __future__ import annotations

from typing import Protocol

import casadi as ca
import numpy as np

from lstm_mpc.control.delay_line import Line
from lstm_mpc.control.engines.supervisor import Solution, Supervisor
from lstm_mpc.control.limits import Limits
from lstm_mpc.errors import LstmMpcError
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array


class Plain(Supervisor):
    """Inputs, states and violations as variables, no relaxed bounds; a failure is an error, not a
    fallback."""

    def _restart(self) -> None:
        """A solve leaves nothing to the next."""

    def _solve(self, references: Array) -> Solution:
        return Solution(
            solve(
                self.release.model, self.limits, self.observer, self._before, references, self._plan
            )[0]
        )


class Known(Protocol):
    """What an observer knows."""

    chi: Array
    disturbance: Array
    input_disturbance: Array
    line: Line


def solve(
    model: Model, limits: Limits, known: Known, before: Array, references: Array, guess: Array
) -> tuple[Array, float]:
    """The optimal plan (N, nu) and its cost, from what is known, the input `before` (nu,), and
    setpoints `references` (N+1, ny); IPOPT starts at the plan `guess` (N, nu)."""
    N, nu, ny, n = len(references) - 1, len(model.inputs), len(model.outputs), model.sizes.n
    u, x, e = ca.SX.sym("u", nu, N), ca.SX.sym("x", n, N), ca.SX.sym("e", ny, N)
    cost, g, low, high = 0, [], [], []
    line, late = ca.horzcat(known.line.past.T, u), model.uneven_delays

    def constrain(expression: ca.SX, least: Array | float, most: Array | float) -> None:
        g.append(expression)
        low.append(np.broadcast_to(least, expression.shape[0]))
        high.append(np.broadcast_to(most, expression.shape[0]))

    for k in range(N):
        held, move = (
            (ca.DM(known.chi) if k == 0 else x[:, k - 1]),
            u[:, k] - (before if k == 0 else u[:, k - 1]),
        )
        arriving = ca.vertcat(*(line[j, int(k + late.max() - late[j])] for j in range(nu)))
        constrain(x[:, k] - model.step(held, arriving + known.input_disturbance), 0.0, 0.0)
        free = k in limits.starts
        constrain(move, *((-limits.max_move_down, limits.max_move) if free else (0.0, 0.0)))
        y = model.output(x[:, k]) + known.disturbance
        constrain(y - e[:, k], -np.inf, limits.y_high)
        constrain(y + e[:, k], limits.y_low, np.inf)
        cost += ca.dot(limits.output_weight, (y - references[k + 1]) ** 2) + ca.dot(
            limits.move_penalty, move**2
        )
        cost += ca.dot(limits.input_weight, (u[:, k] - limits.input_target) ** 2)
        cost += ca.dot(limits.violation_weight, e[:, k])
    options = {"print_level": 0, "sb": "yes", "tol": 1e-12, "bound_relax_factor": 0.0}
    variables = ca.vertcat(*map(ca.vec, (u, x, e)))
    solver = ca.nlpsol(
        "plain",
        "ipopt",
        {"x": variables, "f": cost, "g": ca.vertcat(*g)},
        {"ipopt": options, "print_time": False},
    )
    solution = solver(
        x0=np.concatenate([guess.ravel(), np.tile(known.chi, N), np.zeros(ny * N)]),
        lbx=np.concatenate([np.tile(limits.u_low, N), np.full(n * N, -np.inf), np.zeros(ny * N)]),
        ubx=np.concatenate([np.tile(limits.u_high, N), np.full((n + ny) * N, np.inf)]),
        lbg=np.concatenate(low),
        ubg=np.concatenate(high),
    )
    if not solver.stats()["success"]:
        raise LstmMpcError(f"plain program: IPOPT failed ({solver.stats()['return_status']})")
    return np.asarray(solution["x"]).ravel()[: nu * N].reshape(N, nu), float(solution["f"])
