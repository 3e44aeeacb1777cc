"""The rival of the textbooks: linear MPC, the model linearised once at a point of operation."""

from __future__ import annotations

import time

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_discrete_are

from lstm_mpc.certificates.gate import Release
from lstm_mpc.control.controller import OPTIMAL, ControlAction, Status, coming
from lstm_mpc.control.engines.qp import FREE, Rows, WorkingSet, solve
from lstm_mpc.control.limits import limits
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError
from lstm_mpc.model.input_delays import delayed
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import Array

_CHANGES = 500  # of the working set: far more than a program of twenty moves needs
_DAMPING = 1e-10  # of the Hessian, relative to its largest diagonal entry
_STEADY = 1e-9  # variance of the noise on the states themselves: the Riccati equation wants some


class LinearMpc:
    """The `ControlProblem` with x⁺ = A x + B (u + w), y = C x around rest under the input `at`
    (nu,) [engineering] (default: the safe input), exact in one quadratic program. A steady-state
    Kalman filter estimates the state and w, a random walk with steps of `drift` [input unit], from
    measurements with `noise` [output unit], so that no offset stays; it runs as late as the probe,
    and the model bridges the dead time."""

    def __init__(
        self,
        release: Release,
        problem: ControlProblem,
        *,
        at: ArrayLike | None = None,
        drift: ArrayLike = 0.1,
        noise: ArrayLike = 0.02,
    ) -> None:
        self.limits, self.problem, self._model = limits(release, problem), problem, release.model
        system = delayed(
            self._model.core, self._model.uneven_delays.tolist(), self._model.scaling.u_mid
        )
        if system.nu != system.ny:
            raise InputError(
                f"linear MPC: needs as many outputs as inputs for its disturbances, got {system.ny}"
                f" and {system.nu}"
            )
        self._at: Array = np.broadcast_to(
            self.limits.u_safe if at is None else np.asarray(at, dtype=np.float64), (system.nu,)
        )
        chi = rest(system, self._at)
        x, u = ca.SX.sym("x", system.n), ca.SX.sym("u", system.nu)
        after, y = system.step(x, u, ca.DM.zeros(0)), system.output(x)
        slopes = ca.Function(
            "slopes",
            [x, u],
            [ca.densify(ca.jacobian(after, v)) for v in (x, u)] + [ca.densify(ca.jacobian(y, x))],
        )
        A, B, C = (np.asarray(part) for part in slopes(chi, self._at))
        n, nu, self._N = system.n, system.nu, problem.horizon
        # the state and the disturbance at the input
        self._A = np.block([[A, B], [np.zeros((nu, n)), np.eye(nu)]])
        self._B, self._C = (
            np.vstack([B, np.zeros((nu, nu))]),
            np.hstack([C, np.zeros((system.ny, nu))]),
        )
        self._y0 = np.asarray(system.output(chi)).ravel()
        known = self._model.uneven_delays.sum()  # states: the inputs under way
        steady = np.full(n - known, _STEADY), np.zeros(known)
        Q = np.diag(np.concatenate([*steady, np.broadcast_to(np.asarray(drift) ** 2.0, (nu,))]))
        noises = np.diag(np.broadcast_to(np.asarray(noise) ** 2.0, (system.ny,)))
        P = solve_discrete_are(self._A.T, self._C.T, Q, noises)
        self._K = np.linalg.solve(self._C @ P @ self._C.T + noises, self._C @ P).T
        self._lag, self._n = problem.lag(self._model), n
        self._condense()
        self.reset(np.full(system.ny, np.nan), self.limits.u_safe)

    def _condense(self) -> None:
        """Outputs over the horizon as gains of the moves, and the rows of the program: bounds,
        rates, soft outputs."""
        N, n, limits, starts = self._N, self._n, self.limits, self.limits.starts
        nu, blocks = limits.u_low.size, len(starts)
        block = np.searchsorted(starts, np.arange(N), side="right") - 1
        free: Array = np.empty((N, limits.y_low.size, n + nu))
        gains: Array = np.zeros((N, limits.y_low.size, blocks * nu))
        power, S = np.eye(n + nu), np.zeros((n + nu, blocks * nu))
        for k in range(N):
            power, S = self._A @ power, self._A @ S
            S[:, block[k] * nu : (block[k] + 1) * nu] += self._B
            free[k], gains[k] = self._C @ power, self._C @ S
        self._free, self._gains = free, gains.reshape(-1, blocks * nu)
        self._D = np.eye(blocks * nu) - np.eye(blocks * nu, k=-nu)
        self._weight, self._penalty = (
            np.tile(limits.output_weight, N),
            np.tile(limits.move_penalty, blocks),
        )
        H = 2.0 * (
            self._gains.T @ (self._weight[:, None] * self._gains)
            + self._D.T @ (self._penalty[:, None] * self._D)
        )
        self._H = H + _DAMPING * H.diagonal().max() * np.eye(len(H))
        lengths = np.diff(starts, append=N)
        self._pull = (lengths[:, None] * limits.input_weight).ravel()
        self._H += 2.0 * np.diag(self._pull)
        eye = np.eye(blocks * nu)
        self._normals = np.vstack([eye, -eye, self._D, -self._D, self._gains, -self._gains])
        self._cap = np.concatenate(
            [
                np.full(4 * blocks * nu, np.inf),
                np.tile(limits.violation_weight, 2 * N),
            ]
        )

    def reset(self, y: ArrayLike, u: ArrayLike) -> None:
        """Begin at the measured output `y` (ny,), at rest under the input `u` (nu,) in force, taken
        into the bounds."""
        self._before: Array = np.clip(
            np.asarray(u, dtype=np.float64).ravel(), self.limits.u_low, self.limits.u_high
        )
        y, n = np.asarray(y, dtype=np.float64).ravel(), self._n
        rise = np.linalg.solve(np.eye(n) - self._A[:n, :n], self._B[:n])
        total = np.linalg.solve(self._C[:, :n] @ rise, np.where(np.isfinite(y), y - self._y0, 0.0))
        self._state: Array = np.concatenate([rise @ total, total - (self._before - self._at)])
        self._setpoint = np.where(np.isfinite(y), y, self._y0)
        self._under_way = [self._before] * self._lag

    def step(self, y: ArrayLike, reference: ArrayLike) -> ControlAction:
        """Measurement (ny,) and setpoint (ny,) or, with preview, (`problem.ahead` + 1, ny) → the
        move for this sample."""
        began, limits, nu, blocks = (
            time.perf_counter(),
            self.limits,
            self._before.size,
            len(self.limits.starts),
        )
        now, flags = self._estimate(np.asarray(y, dtype=np.float64).ravel())
        told = coming(reference, self.problem.ahead(self._model), self._y0.size)
        references = coming(told[-self._N - 1 :], self._N, self._y0.size)
        if not np.isfinite(told).all():
            references[:], flags = self._setpoint, flags | Status.SETPOINT_INVALID
        self._setpoint = references[0].copy()
        held = np.tile(self._before, blocks)
        outputs = (
            self._y0
            + self._free @ now
            + (self._gains @ (held - np.tile(self._at, blocks))).reshape(self._N, -1)
        )
        # the moves are zero here
        gradient = 2.0 * self._gains.T @ (self._weight * (outputs - references[1:]).ravel())
        gradient += 2.0 * self._pull * (held - np.tile(limits.input_target, blocks))
        ends = [
            np.tile(limits.u_high, blocks) - held,
            held - np.tile(limits.u_low, blocks),
            np.tile(limits.max_move, blocks),
            np.tile(limits.max_move_down, blocks),
        ]
        ends += [(limits.y_high - outputs).ravel(), (outputs - limits.y_low).ravel()]
        rows = Rows(self._normals, np.concatenate(ends), self._cap)
        found = solve(
            WorkingSet(self._H),
            gradient,
            rows,
            np.full(len(self._cap), FREE),
            qp_iterations=_CHANGES,
        )
        flags |= OPTIMAL if found.complete else Status.BUDGET
        plan = limits.block(
            np.repeat(
                (held + found.p).reshape(-1, nu), np.diff(limits.starts, append=self._N), axis=0
            ),
            self._before,
        )
        moves = plan[list(limits.starts)].ravel() - held
        predicted = np.vstack(
            [self._y0 + self._C @ now, outputs + (self._gains @ moves).reshape(outputs.shape)]
        )
        cost = limits.cost(predicted, references, plan, self._before)
        self._before = u = plan[0]
        first, *self._under_way = [*self._under_way, u]
        self._state = self._A @ self._state + self._B @ (first - self._at)
        return ControlAction(
            u.copy(),
            flags,
            found.qp_iterations,
            cost,
            predicted,
            self._state[self._n :],
            time.perf_counter() - began,
        )

    def _estimate(self, y: Array) -> tuple[Array, Status]:
        """Take in `y` (ny,), where it can be believed: the state of this sample, ahead of what the
        probe has shown."""
        believed = np.isfinite(y) & (y >= self.limits.sensor_low) & (y <= self.limits.sensor_high)
        self._state = self._state + self._K @ np.where(
            believed, y - self._y0 - self._C @ self._state, 0.0
        )
        now = self._state
        for u in self._under_way:
            now = self._A @ now + self._B @ (u - self._at)
        return now, OPTIMAL if believed.all() else Status.MEASUREMENT_INVALID
