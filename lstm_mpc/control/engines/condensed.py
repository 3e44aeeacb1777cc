"""The problem of the fast engine in the inputs alone: outputs linearised along a plan, and the
dense quadratic program of a sample."""

from __future__ import annotations

from dataclasses import dataclass, field

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from lstm_mpc.control.engines.qp import ACTIVE, CAPPED, FREE, Rows, Step, WorkingSet, solve
from lstm_mpc.control.limits import Limits, admit, moves_of
from lstm_mpc.control.terminal.closing import Closing
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.model.sensitivity import Buffered
from lstm_mpc.plants.system import Array

_DAMPING = 1e-10  # of the Hessian, relative to its largest diagonal entry


@dataclass(frozen=True)
class Sample:
    """What a sample asks, in normalised units: state `chi` (n,), `input_disturbance` (nu,), the
    inputs `past` (E, nu) under way, the input `before` (nu,) in force, setpoints less disturbance
    `target` (N, ny), the `disturbance` (ny,), the `measured` inputs (N, nd) as they arrive, and
    with a terminal cost the state (n,) and input (nu,) to `aim` at."""

    chi: Array
    input_disturbance: Array
    past: Array
    before: Array
    target: Array
    disturbance: Array
    measured: Array = field(default_factory=lambda: np.zeros((0, 0)))
    aim: tuple[Array, Array] | None = None


@dataclass(frozen=True)
class Stage:
    """The outputs along a plan, (N, ny), the state at its `end` (n,), the normals of all rows (m,
    nv), the factorised Hessian with the guessed working set."""

    y: Array
    end: Array
    normals: Array
    working: WorkingSet
    active_set: Array


class Condensed:
    """The problem in normalised units with the manipulated inputs of the blocks as only variables:
    v (blocks, nu), rows of the program in the order bounds above, below, rates up, down, soft
    outputs above, below."""

    def __init__(
        self, model: Model, limits: Limits, horizon: int, closing: Closing | None = None
    ) -> None:
        N, nu, ny, n = horizon, len(model.manipulated), len(model.outputs), model.sizes.n
        scaling, starts, self._roles = model.scaling, np.array(limits.starts), model.roles
        self.u_mid, self.u_span = (
            self._roles.moved(part) for part in (scaling.u_mid, scaling.u_span)
        )
        chi, v = ca.SX.sym("chi", n), ca.SX.sym("v", len(model.inputs))
        following = lstm.step(model.network, chi, v)
        step = ca.Function("step", [chi, v], [following])
        moved = ca.vertcat(*(v[int(at), :] for at in self._roles.manipulated))
        slopes = ca.Function(
            "slopes", [chi, v], [ca.densify(ca.jacobian(following, ca.vertcat(chi, moved)))]
        )
        # without calls within: faster
        self._roll, self._slopes = (
            Buffered(step.mapaccum(N).expand()),
            Buffered(slopes.map(N).expand()),
        )
        self._C, self._b = np.asarray(model.network.C), np.asarray(model.network.b_y).ravel()
        self._xi = slice(n - model.network.nx[-1], n)
        # of every sample
        self.block: NDArray[np.intp] = np.searchsorted(starts, np.arange(N), side="right") - 1
        self._N, self._n, self._nu, self._ny, self._nv = N, n, nu, ny, len(starts) * nu
        sample, late = (
            np.arange(N)[:, None] - self._roles.moved(model.uneven_delays),
            int(model.uneven_delays.max()),
        )
        # in [past; v], what arrives when
        self._from = np.where(sample < 0, sample + late, self.block[sample] + late), np.arange(nu)
        # ∂[χ; u]/∂v at every sample; the rows of u never change
        self._S: Array = np.zeros((N + 1, n + nu, self._nv))
        for k, j in np.argwhere(sample >= 0):
            self._S[k, n + j, self.block[sample[k, j]] * nu + j] = 1.0
        self._chain = [(self._S[k], self._S[k + 1, :n]) for k in range(N)]
        self._v_low, self._v_high = self.u_in(limits.u_low), self.u_in(limits.u_high)
        self._rise, self._fall = limits.max_move / self.u_span, limits.max_move_down / self.u_span
        self._y_low, self._y_high = scaling.y_in(limits.y_low), scaling.y_in(limits.y_high)
        self._q, self._s = (
            limits.output_weight * scaling.y_span**2,
            limits.move_penalty * self.u_span**2,
        )
        lengths = np.diff(starts, append=N)[:, None]  # samples that a variable is held for
        self._pull = lengths * (limits.input_weight * self.u_span**2)
        self._resting = self.u_in(limits.input_target)
        self._weight = 2.0 * np.tile(self._q, N)[:, None]
        self._price = limits.violation_weight * scaling.y_span
        self._D = np.eye(self._nv) - np.eye(self._nv, k=-nu)  # moves from block to block
        self._closing = closing
        self._smooth = 2.0 * self._D.T @ (np.tile(self._s, len(starts))[:, None] * self._D)
        self._smooth.flat[:: self._nv + 1] += 2.0 * self._pull.ravel()
        self._hard = np.vstack([np.eye(self._nv), -np.eye(self._nv), self._D, -self._D])
        self._cap = np.concatenate([np.full(len(self._hard), np.inf), np.tile(self._price, 2 * N)])
        hard, soft = (
            (self._v_high, -self._v_low, self._rise, self._fall),
            (
                self._y_high,
                -self._y_low,
            ),
        )
        self._ends = np.concatenate(
            [np.tile(end, len(starts)) for end in hard] + [np.tile(end, N) for end in soft]
        )
        self._binding = np.isfinite(self._ends)  # rows without an end never bind
        self._yielding = self._binding & np.isfinite(self._cap)
        self._source = self._sources(
            np.minimum(np.searchsorted(starts, starts + 1, side="right") - 1, len(starts) - 1)
        )

    @property
    def rows(self) -> int:
        return len(self._cap)

    def u_in(self, u: Array) -> Array:
        """Manipulated inputs, normalised."""
        return (u - self.u_mid) / self.u_span

    def u_out(self, v: Array) -> Array:
        """Manipulated inputs in their units."""
        return self.u_mid + self.u_span * v

    def _sources(self, block: Array) -> Array:
        """For every row the one that will stand for it a sample later; `block` says so of the
        blocks."""
        variable = (block[:, None] * self._nu + np.arange(self._nu)).ravel()
        sample = np.minimum(np.arange(self._N) + 1, self._N - 1)
        output = (sample[:, None] * self._ny + np.arange(self._ny)).ravel()
        hard = [variable + kind * self._nv for kind in range(4)]
        return np.concatenate(
            [*hard, len(self._hard) + output, len(self._hard) + self._N * self._ny + output]
        )

    def shift(self, active_set: Array) -> Array:
        """The guess for the next sample."""
        return np.asarray(active_set[self._source])

    def inputs(self, v: Array, sample: Sample) -> Array:
        """What arrives at the network under the plan `v` (blocks, nu), (N, nu + nd)."""
        moved = np.concatenate([sample.past, v])[self._from] + sample.input_disturbance
        return self._roles.joined(moved, sample.measured)

    def simulate(self, chi: Array, inputs: Array) -> tuple[Array, Array]:
        """The states (N, n) and outputs (N, ny) under `inputs` (N, nu + nd), without disturbance of
        the output."""
        states = self.states(chi, inputs)
        return states, self.outputs(states)

    def states(self, chi: Array, inputs: Array) -> Array:
        """The states (N, n) under `inputs` (N, nu + nd), the first one sample ahead."""
        return self._roll(chi, inputs)[0].reshape(self._N, self._n)

    def outputs(self, states: Array) -> Array:
        """The outputs (…, ny) in states (…, n)."""
        return np.asarray(states[:, self._xi] @ self._C.T + self._b)

    def _linearised(self, chi: Array, inputs: Array, states: Array) -> Array:
        """∂χ⁺/∂[χ; v] along `inputs` (N, nu + nd), (N, n, n+nu)."""
        points = np.concatenate([chi[None], states[:-1]])
        return self._slopes(points, inputs)[0].reshape(self._N, -1, self._n).transpose(0, 2, 1)

    def _gains(self, slopes: Array) -> Array:
        """∂y/∂v along the plan, (N·ny, nv)."""
        for slope, (now, following) in zip(slopes, self._chain, strict=True):
            np.dot(slope, now, out=following)
        return np.asarray(self._C @ self._S[1:, self._xi]).reshape(-1, self._nv)

    def _changed(self, slopes: Array, change: tuple[Array, Array]) -> tuple[Array, Array]:
        """What a `change` of the state (n,) and of every input (nu,) makes of the outputs, (N, ny),
        and of the state at the end, (n,), to first order."""
        moved, y = np.concatenate(change), np.empty((self._N, self._ny))
        for k, slope in enumerate(slopes):
            moved[: self._n] = slope @ moved
            y[k] = self._C @ moved[self._xi]
        return y, moved[: self._n]

    def prepare(
        self,
        chi: Array,
        inputs: Array,
        active_set: Array,
        states: Array | None = None,
        *,
        change: tuple[Array, Array] | None = None,
    ) -> Stage:
        """Linearise along `inputs` (N, nu + nd) and factorise; needs no measurement of the output.
        Marks that cannot be are taken for none. `states` along the plan, where they are known; a
        `change` of state and inputs since counts to first order."""
        states = self.states(chi, inputs) if states is None else states
        slopes = self._linearised(chi, inputs, states)
        y, end, gains = self.outputs(states), states[-1], self._gains(slopes)
        if change is not None:
            more, further = self._changed(slopes, change)
            y, end = y + more, end + further
        H = gains.T @ (self._weight * gains) + self._smooth
        H.flat[:: self._nv + 1] += _DAMPING * H.diagonal().max()
        normals = np.concatenate([self._hard, gains, -gains])
        active_set = np.where(
            (active_set == ACTIVE) & self._binding | (active_set == CAPPED) & self._yielding,
            active_set,
            FREE,
        )
        working = WorkingSet(H)
        for row in working.enter(np.flatnonzero(active_set == ACTIVE), normals):
            active_set[row] = FREE
        return Stage(y, end, normals, working, active_set)

    def solve(self, stage: Stage, v: Array, sample: Sample, *, qp_iterations: int) -> Step:
        """The program around the plan `v`; what its end costs is no part of it."""
        moves, count = moves_of(v, sample.before), len(self._hard)
        gains = stage.normals[count : count + stage.y.size]
        gradient = (
            2.0 * (self._q * (stage.y - sample.target)).ravel() @ gains
            + 2.0 * (self._s * moves).ravel() @ self._D
            + 2.0 * (self._pull * (v - self._resting)).ravel()
        )
        inputs, rates, expected = v.ravel(), moves.ravel(), (stage.y + sample.disturbance).ravel()
        reached = np.concatenate([inputs, -inputs, rates, -rates, expected, -expected])
        rows = Rows(stage.normals, self._ends - reached, self._cap)
        return solve(stage.working, gradient, rows, stage.active_set, qp_iterations=qp_iterations)

    def project(self, v: Array, before: Array) -> Array:
        """The plan brought into bounds and rates, block after block."""
        return admit(v, before, self._v_low, self._v_high, self._rise, self._fall)

    def cost(
        self, y: Array, v: Array, sample: Sample, end: Array | None = None
    ) -> tuple[float, float]:
        """The problem's cost of outputs `y` (N, ny) and of the state (n,) at the `end` under `v`,
        and what an error of 1 in every sum of it would make of it."""
        moves, expected, error = (
            moves_of(v, sample.before),
            y + sample.disturbance,
            y - sample.target,
        )
        outside = np.maximum(0.0, expected - self._y_high) + np.maximum(0.0, self._y_low - expected)
        pull, away = self._q * error, v - self._resting
        cost = float(
            np.vdot(pull, error)
            + np.vdot(self._s * moves, moves)
            + np.vdot(self._pull * away, away)
            + (outside @ self._price).sum()
        )
        if sample.aim is not None and end is not None:
            assert self._closing is not None
            chi, last = sample.aim
            aimed = self.outputs(chi[None])[0] + sample.disturbance
            z = np.concatenate([end - chi, v[-1] - last])
            cost += self._closing.normalised_cost(z, aimed)
        return cost, cost + float(2.0 * np.abs(pull).sum() + ((outside > 0) @ self._price).sum())
