"""The fast engine: sequential quadratic programming in the inputs alone, Gauss–Newton, from a warm
start, always feasible.

Every pass linearises the outputs along the plan, solves the dense program in the moves of the
inputs, brings its solution into bounds and rates, and goes as far towards it as the true cost does
not rise. Any plan on the way is a valid one, so any budget is. The exported C is the same algorithm
in tables and loops; this one is its reference."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lstm_mpc.certificates.gate import Release, checked
from lstm_mpc.control.controller import OPTIMAL, Status
from lstm_mpc.control.engines.condensed import Condensed, Sample
from lstm_mpc.control.engines.supervisor import Solution, Supervisor, closing_of
from lstm_mpc.control.limits import limits
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array

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
