"""What is possible at all: predictive control that knows the plant, its state, its parameters and
its disturbances."""

from __future__ import annotations

import time
from math import exp
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.control.controller import OPTIMAL, ControlAction, Status, coming
from lstm_mpc.control.limits import Limits
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array, System

# half the time of the monotone strategy
_IPOPT = {"print_level": 0, "sb": "yes", "mu_strategy": "adaptive"}


class Ideal:
    """The `ControlProblem` with the true plant in place of a model, solved to the end by IPOPT: the
    loop tells it the truth, and it takes no notice of the measurement. Present disturbances are
    taken to stay; the valve's time constant `valve_lag` [s] is known. It minimises the cost of the
    problem over its horizon, without hindsight: tuned for the very run, another may be lucky, or
    better in IAE.

    After a failed solve the last plan, a sample later, is applied and the move's flags say so.
    """

    def __init__(
        self,
        plant: System,
        problem: ControlProblem,
        *,
        limits: Limits,
        valve_lag: float = 0.0,
        iterations: int = 300,
    ) -> None:
        self.limits, self._plant, self._N, self._preview = (
            limits,
            plant,
            problem.horizon,
            problem.preview,
        )
        share = 1.0 if valve_lag == 0 else 1.0 - exp(-plant.Ts / valve_lag)
        self._roll, self._solver = _program(
            plant, limits, self._N, share=share, iterations=iterations
        )
        states, outputs, moves = (
            self._N * (plant.n + plant.nu),
            self._N * plant.ny,
            len(limits.starts),
        )
        gaps, endless = np.zeros(states), np.full(outputs, np.inf)
        rise, fall = (np.tile(m, moves) for m in (limits.max_move, limits.max_move_down))
        self._bounds = {
            "lbx": np.concatenate(
                [np.tile(limits.u_low, moves), np.full(states, -np.inf), np.zeros(outputs)]
            ),
            "ubx": np.concatenate(
                [np.tile(limits.u_high, moves), np.full(states, np.inf), endless]
            ),
            "lbg": np.concatenate([gaps, -fall, -endless, np.tile(limits.y_low, self._N)]),
            "ubg": np.concatenate([gaps, rise, np.tile(limits.y_high, self._N), endless]),
        }
        self.reset(np.zeros(plant.ny), limits.u_safe)

    def reset(self, y: ArrayLike, u: ArrayLike) -> None:
        """Begin with the input `u` (nu,) in force, taken into the bounds."""
        self._before: Array = np.clip(
            np.asarray(u, dtype=np.float64).ravel(), self.limits.u_low, self.limits.u_high
        )
        self._plan: Array = np.repeat(self._before[None], self._N, axis=0)
        self._truth: tuple[Array, Array] | None = None

    def see(self, chi: Array, d: Array, position: Array) -> None:
        """What is true at this sample; see `Seer`."""
        self._truth = np.concatenate([chi, position]), np.array(d)

    def step(self, y: ArrayLike, reference: ArrayLike) -> ControlAction:
        """The setpoint (ny,) or, with preview, (N+1, ny) → the move for this sample."""
        began, limits, ny = time.perf_counter(), self.limits, self._plant.ny
        if self._truth is None:
            raise InputError(
                "Ideal: must see the truth before every step; simulate_closed_loop shows it"
            )
        (state, d), self._truth = self._truth, None
        references = coming(reference, self._N, ny)
        if not self._preview:
            references[:] = references[0]
        states, outputs = (np.asarray(part).T for part in self._roll(state, self._plan.T, d))
        excess = np.maximum(0.0, np.maximum(outputs - limits.y_high, limits.y_low - outputs))
        guess = [self._plan[list(limits.starts)].ravel(), states.ravel(), excess.ravel()]
        told = np.concatenate([state, d, self._before, references[1:].ravel()])
        found, said = (
            self._solver(x0=np.concatenate(guess), p=told, **self._bounds),
            self._solver.stats(),
        )
        if said["success"]:
            blocks = (
                np.asarray(found["x"])
                .ravel()[: len(limits.starts) * self._before.size]
                .reshape(-1, self._before.size)
            )
            plan = np.repeat(blocks, np.diff(limits.starts, append=self._N), axis=0)
            self._plan = limits.block(plan, self._before)  # IPOPT relaxes bounds a little
            outputs = np.asarray(self._roll(state, self._plan.T, d)[1]).T
        flags, detail = (
            (OPTIMAL, "") if said["success"] else (Status.SOLVE_FAILED, said["return_status"])
        )
        now = np.asarray(self._plant.output(state[: self._plant.n])).reshape(1, ny)
        predicted = np.vstack([now, outputs])
        cost = limits.cost(predicted, references, self._plan, self._before)
        self._before = u = self._plan[0].copy()
        self._plan = limits.shift(self._plan, u)
        return ControlAction(
            u,
            flags,
            int(said["iter_count"]),
            cost,
            predicted,
            np.zeros(ny),
            time.perf_counter() - began,
            detail,
        )


def _program(
    plant: System, limits: Limits, N: int, *, share: float, iterations: int
) -> tuple[Any, Any]:
    """(state, plan (nu, N), d) → states and outputs of samples 1 … N, and the nonlinear program by
    multiple shooting. The state is the plant's with the valve's position, which goes a `share` of
    its way to the command in each sample."""
    n, nu, ny = plant.n, plant.nu, plant.ny
    z, v, w = ca.SX.sym("z", n + nu), ca.SX.sym("v", nu), ca.SX.sym("w", plant.nd)
    position = z[n:, :] + share * (v - z[n:, :])
    step = ca.Function("step", [z, v, w], [ca.vertcat(plant.step(z[:n, :], position, w), position)])
    start, d, before, r = (
        ca.MX.sym("start", n + nu),
        ca.MX.sym("d", plant.nd),
        ca.MX.sym("before", nu),
        ca.MX.sym("r", ny, N),
    )
    blocks, x, e = (
        ca.MX.sym("u", nu, len(limits.starts)),
        ca.MX.sym("x", n + nu, N),
        ca.MX.sym("e", ny, N),
    )
    block = np.searchsorted(limits.starts, np.arange(N), side="right") - 1
    plan, held = blocks[:, block.tolist()], ca.repmat(d, 1, N)
    y = plant.output.map(N)(x[:n, :])
    moves = blocks - ca.horzcat(before, blocks[:, :-1])
    cost = ca.dot(limits.output_weight, ca.sum2((y - r) ** 2)) + ca.dot(
        limits.move_penalty, ca.sum2(moves**2)
    )
    cost += ca.dot(limits.input_weight, ca.sum2((plan - limits.input_target) ** 2))
    cost += ca.dot(limits.violation_weight, ca.sum2(e))
    gaps = x - step.map(N)(ca.horzcat(start, x[:, :-1]), plan, held)
    program = {
        "x": ca.vertcat(*map(ca.vec, (blocks, x, e))),
        "f": cost,
        "g": ca.vertcat(*map(ca.vec, (gaps, moves, y - e, y + e))),
        "p": ca.vertcat(start, d, before, ca.vec(r)),
    }
    solver = ca.nlpsol(
        "ideal",
        "ipopt",
        program,
        {"ipopt": {**_IPOPT, "max_iter": iterations}, "print_time": False, "expand": True},
    )
    inputs = ca.MX.sym("inputs", nu, N)
    rolled = step.mapaccum(N)(start, inputs, held)
    return (
        ca.Function("roll", [start, inputs, d], [rolled, plant.output.map(N)(rolled[:n, :])]),
        solver,
    )
