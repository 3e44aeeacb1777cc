"""The fast engine: sequential quadratic programming in the inputs alone, Gauss–Newton, from a warm
start, always feasible.

Every pass linearises the outputs along the plan, solves the dense program in the moves of the
inputs, brings its solution into bounds and rates, and goes as far towards it as the true cost does
not rise. Any plan on the way is a valid one, so any budget is. The exported C is the same algorithm
in tables and loops; this one is its reference."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from lstm_mpc.certificates.gate import Release, checked
from lstm_mpc.control.controller import OPTIMAL, Status
from lstm_mpc.control.engines.qp import ACTIVE, CAPPED, FREE, Rows, Step, WorkingSet, solve
from lstm_mpc.control.engines.supervisor import Solution, Supervisor, closing_of
from lstm_mpc.control.problem import ControlProblem, Limits, admit, limits, moves_of
from lstm_mpc.control.terminal.closing import Closing
from lstm_mpc.errors import InputError
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.model.sensitivity import Buffered
from lstm_mpc.plants.system import Array

_DAMPING = 1e-10  # of the Hessian, relative to its largest diagonal entry
_WORTH = 0.001  # of the tolerance: shorter steps are not tried where plans are closed by a law
_ROUNDING = 1e-15  # error of a sum that may be round-off


@dataclass(frozen=True)
class SolverOptions:
    """What a sample may cost; `[solver]` of a design.

    At most `sqp_iterations` of linearising and solving, each with `qp_iterations` changes of the
    working set and `line_search_steps` halvings of its step. They end when the plan is expected to
    lie within `tolerance` [share of the input span] of the optimum, or its step is shorter: a real
    time of two iterations linearises once more only where the first step exceeds the tolerance.
    """

    sqp_iterations: int = 30
    qp_iterations: int = 100
    line_search_steps: int = 6
    tolerance: float = 1e-9

    def __post_init__(self) -> None:
        if (
            min(self.sqp_iterations, self.qp_iterations) < 1
            or self.line_search_steps < 0
            or not 0 <= self.tolerance < 1
        ):
            raise InputError(
                "solver: sqp_iterations and qp_iterations must be 1 or more, line_search_steps 0 or"
                f" more, tolerance in [0, 1), got {self}"
            )


class Sqp(Supervisor):
    """See `Supervisor` for the protocol and `ControlProblem` for what is optimised."""

    def __init__(
        self, release: Release, problem: ControlProblem, solver: SolverOptions | None = None
    ) -> None:
        release = checked(release)
        self.solver = solver or SolverOptions()
        bounds = limits(release, problem)
        closing = closing_of(release.model, bounds, problem)
        self._program = Condensed(release.model, bounds, problem.horizon, closing)
        super().__init__(release, problem)

    def _restart(self) -> None:
        self._marks = np.zeros(self._program.rows, dtype=int)

    def _solve(self, references: Array) -> Solution:
        try:
            return self._passes(references)
        except ArithmeticError as error:
            self._restart()  # the guess may be what failed
            return Solution(None, detail=f"{error}")

    def _passes(self, references: Array) -> Solution:
        program, solver, scaling = self._program, self.solver, self.release.model.scaling
        target = scaling.y_in(references[1:] - self.observer.disturbance)
        sample = Sample(
            self.observer.chi,
            self.observer.input_disturbance / program.u_span,
            program.u_in(self._roles.moved(self.observer.line.past)),
            program.u_in(self._before),
            target,
            self.observer.disturbance / scaling.y_span,
            scaling.u_in(self._arriving(self._plan))[:, self._roles.measured],
            None if self.closing is None else (self.target.chi, program.u_in(self.target.u)),
        )
        warm = self._plan[list(self.limits.starts)]
        if self.closing is not None:  # its plan knows no blocks
            warm = self.limits.admit(warm, self._before)
        v, active_set, last = program.u_in(warm), self._marks, 0.0
        states: Array | None = None  # along the plan, as long as they are known
        if self.observer.prior[0] is sample.chi:
            states = program.states(sample.chi, program.inputs(v, sample))
            stage = program.prepare(sample.chi, program.inputs(v, sample), active_set, states)
        else:  # prepared before the measurement, whose correction then counts to first order
            chi, input_disturbance = self.observer.prior
            stage = program.prepare(
                chi,
                program.inputs(v, replace(sample, input_disturbance=input_disturbance)),
                active_set,
                change=self.observer.change,
            )
        cost, _ = program.cost(stage.y, v, sample, stage.end)
        for number in range(1, solver.sqp_iterations + 1):
            step = program.solve(stage, v, sample, qp_iterations=solver.qp_iterations)
            if not (step.feasible and np.isfinite(step.p).all()):
                if number == 1:
                    raise ArithmeticError("the quadratic program has no solution")
                # an earlier pass has left a good plan
                active_set, flags = np.zeros_like(active_set), Status.BUDGET
                break
            active_set, flags = step.active_set, OPTIMAL if step.complete else Status.BUDGET
            move = program.project(v + step.p.reshape(v.shape), sample.before) - v
            wanted = float(np.abs(move).max())
            v, cost, size, states = self._advance(
                v, move, cost, sample, states, complete=step.complete
            )
            # only the whole step of a whole program says how far the optimum is
            sure = step.complete and (size == wanted or wanted <= solver.tolerance)
            # the second is what a linear rate leaves
            if sure and (
                size <= solver.tolerance or size * size <= solver.tolerance * (last - size)
            ):
                break
            if number == solver.sqp_iterations or (step.complete and size == 0.0):
                # one pass may be all that was asked for
                flags |= OPTIMAL if number == 1 and sure else Status.BUDGET
                break
            last = size
            stage = program.prepare(sample.chi, program.inputs(v, sample), active_set, states)
        self._marks = program.shift(active_set)
        plan = program.u_out(v)[program.block]
        if states is None:
            return Solution(plan, flags, number)
        predicted = (
            scaling.y_out(program.outputs(np.concatenate([sample.chi[None], states])))
            + self.observer.disturbance
        )
        return Solution(plan, flags, number, predicted=predicted)

    def _advance(
        self,
        v: Array,
        move: Array,
        cost: float,
        sample: Sample,
        states: Array | None,
        *,
        complete: bool,
    ) -> tuple[Array, float, float, Array | None]:
        """As far along `move` as the cost does not rise: the new plan, its cost, the size of the
        step, 0 where it rises all the way, and the states along the plan, `states` those of `v`. A
        step within the tolerance, of a complete program, is not tried: the next linearisation is
        its test; not so where a theorem asks for more."""
        size = float(np.abs(move).max())
        if complete and size <= self.solver.tolerance and self.closing is None:
            return v + move, cost, size, None
        if complete and size <= _WORTH * self.solver.tolerance and self.closing is not None:
            return v, cost, 0.0, states
        for _ in range(self.solver.line_search_steps + 1):
            trial = v + move
            trial_cost, roundoff, reached = self._simulated(trial, sample)
            if trial_cost > cost and states is None:
                cost, roundoff, states = self._simulated(v, sample)  # was corrected to first order
            if trial_cost <= cost + _ROUNDING * roundoff:
                return trial, trial_cost, size, reached
            move, size = 0.5 * move, 0.5 * size
        return v, cost, 0.0, states

    def _simulated(self, v: Array, sample: Sample) -> tuple[float, float, Array]:
        """The cost of a plan and its rounding, as in `Condensed.cost`, and the states along it."""
        states, outputs = self._program.simulate(sample.chi, self._program.inputs(v, sample))
        return (*self._program.cost(outputs, v, sample, states[-1]), states)


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
    """The outputs along a plan, (N, ny), the state at its `end` (n,) with the gains `end_gain` (n,
    nv), the normals of all rows (m, nv), the factorised Hessian with the guessed working set."""

    y: Array
    end: Array
    end_gain: Array
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
        self._v_move = limits.max_move / self.u_span
        self._y_low, self._y_high = scaling.y_in(limits.y_low), scaling.y_in(limits.y_high)
        self._q, self._s = (
            limits.output_weight * scaling.y_span**2,
            limits.move_penalty * self.u_span**2,
        )
        self._weight = 2.0 * np.tile(self._q, N)[:, None]
        self._price = limits.violation_weight * scaling.y_span
        self._D = np.eye(self._nv) - np.eye(self._nv, k=-nu)  # moves from block to block
        self._closing = closing
        weights = np.zeros(n + nu) if closing is None else closing.terminal.weights
        self._end_weight, self._last_weight = weights[:n], weights[n:]
        self._smooth = 2.0 * self._D.T @ (np.tile(self._s, len(starts))[:, None] * self._D)
        self._smooth[range(-nu, 0), range(-nu, 0)] += 2.0 * self._last_weight
        self._hard = np.vstack([np.eye(self._nv), -np.eye(self._nv), self._D, -self._D])
        self._cap = np.concatenate([np.full(len(self._hard), np.inf), np.tile(self._price, 2 * N)])
        hard, soft = (
            (self._v_high, -self._v_low, self._v_move, self._v_move),
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
        end_gain = self._S[-1, : self._n].copy()
        if change is not None:
            more, further = self._changed(slopes, change)
            y, end = y + more, end + further
        H = gains.T @ (self._weight * gains) + self._smooth
        if self._end_weight.any():
            H += 2.0 * end_gain.T @ (self._end_weight[:, None] * end_gain)
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
        return Stage(y, end, end_gain, normals, working, active_set)

    def solve(self, stage: Stage, v: Array, sample: Sample, *, qp_iterations: int) -> Step:
        """The program around the plan `v`."""
        moves, count = moves_of(v, sample.before), len(self._hard)
        gains = stage.normals[count : count + stage.y.size]
        gradient = (
            2.0 * (self._q * (stage.y - sample.target)).ravel() @ gains
            + 2.0 * (self._s * moves).ravel() @ self._D
        )
        if sample.aim is not None:
            chi, last = sample.aim
            gradient += 2.0 * (self._end_weight * (stage.end - chi)) @ stage.end_gain
            gradient[-self._nu :] += 2.0 * self._last_weight * (v[-1] - last)
        inputs, rates, expected = v.ravel(), moves.ravel(), (stage.y + sample.disturbance).ravel()
        reached = np.concatenate([inputs, -inputs, rates, -rates, expected, -expected])
        rows = Rows(stage.normals, self._ends - reached, self._cap)
        return solve(stage.working, gradient, rows, stage.active_set, qp_iterations=qp_iterations)

    def project(self, v: Array, before: Array) -> Array:
        """The plan brought into bounds and rates, block after block."""
        return admit(v, before, self._v_low, self._v_high, self._v_move)

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
        pull = self._q * error
        cost = float(
            np.vdot(pull, error) + np.vdot(self._s * moves, moves) + (outside @ self._price).sum()
        )
        if sample.aim is not None and end is not None:
            assert self._closing is not None
            chi, last = sample.aim
            aimed = self.outputs(chi[None])[0] + sample.disturbance
            z = np.concatenate([end - chi, v[-1] - last])
            cost += self._closing.normalised_cost(z, aimed)
        return cost, cost + float(2.0 * np.abs(pull).sum() + ((outside > 0) @ self._price).sum())
