"""The model predictive controller of a release, under the engine of one's choice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.assurance.clearance import Cleared, clear
from lstm_mpc.assurance.loop_proof import LoopProof, prove
from lstm_mpc.certificates.evidence import LoopVerification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.codegen.controller_spec import ControllerSpec, checked_spec
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.control.controller import ControlAction, Controller
from lstm_mpc.control.engines.sqp import SolverOptions, Sqp
from lstm_mpc.control.engines.supervisor import Supervisor
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError

ENGINES = ("dompc", "sqp", "c", "c-double")


def _engine(spec: ControllerSpec, name: str) -> Controller:
    if name == "dompc":
        from lstm_mpc.control.engines.dompc import DoMpc

        return DoMpc(spec.release, spec.problem)
    if name == "sqp":
        return Sqp(spec.release, spec.problem, spec.solver)
    if name in ENGINES:
        return Compiled(spec.sources, double=name == "c-double")
    raise InputError(f"MPC: engine must be one of {', '.join(ENGINES)}, got {name!r:.60}")


class MPC:
    """A model predictive controller with the released model as its prediction model.

    Args:
        release: The released model.
        problem: What is minimised within which limits; by default `ControlProblem()`.
        engine: "sqp", the fast engine in Python; "dompc", do-mpc with IPOPT, the reference; "c",
            the C that is exported, compiled and run here in single precision; "c-double", likewise
            in double precision.
        solver: What a sample may cost the engines "sqp" and "c"; by default `SolverOptions()`.
        alarm: The same as `alarm` of the problem: outputs beyond the error tube of the release's
            validation, about the model in open loop, set the flag MODEL_ALARM; see `ErrorTube` for
            how often without a cause.

    Raises:
        Refused: The release does not pass its gate.
        InputError: The problem does not fit the release, there is no such engine, or no error tube
            for an alarm.
    """

    def __init__(
        self,
        release: Release,
        problem: ControlProblem | None = None,
        engine: str = "sqp",
        solver: SolverOptions | None = None,
        *,
        alarm: bool = False,
    ) -> None:
        asked = problem or ControlProblem()
        asked = replace(asked, alarm=True) if alarm else asked
        self._spec = ControllerSpec(release, asked, solver or SolverOptions())
        self._engine, self._name = _engine(self._spec, engine), engine

    @classmethod
    def of(cls, spec: ControllerSpec, engine: str = "sqp") -> MPC:
        """The controller that a specification describes.

        Args:
            spec: Release, problem and solver.
            engine: As for `MPC`.

        Returns:
            The controller under that engine.

        Raises:
            Refused: The release in it does not pass its gate.
            InputError: There is no such engine.
        """
        spec = checked_spec(spec)
        return cls(spec.release, spec.problem, engine, spec.solver)

    def __repr__(self) -> str:
        spec = self._spec
        return (
            f"MPC({spec.model.name!r}, engine {self._name!r}, horizon {spec.problem.horizon},"
            f" every {spec.model.Ts:g} s)"
        )

    @property
    def spec(self) -> ControllerSpec:
        """Release, problem and options, with limits, C sources and digests."""
        return self._spec

    @property
    def engine(self) -> str:
        """What solves."""
        return self._name

    @property
    def ahead(self) -> int:
        """How many samples of setpoint beyond the present one it sees (preview)."""
        return self._spec.ahead

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of the inputs that are measured and never moved."""
        return self._spec.measured

    @property
    def foreseen(self) -> int:
        """How many coming values of the measured inputs it is told (forecast)."""
        return self._spec.foreseen

    @property
    def wrapped(self) -> Controller:
        """The engine itself."""
        return self._engine

    def reset(self, y: ArrayLike, u: ArrayLike | None = None, measured: ArrayLike = ()) -> None:
        """Begin at a measured output.

        Args:
            y: The measured outputs, (ny,) [engineering].
            u: The inputs in force, (nu,) [engineering]; by default the nominal ones.
            measured: The measured inputs, (nd,) [engineering], where the model has such.
        """
        start = np.ravel(self._spec.u_start if u is None else u)
        self._engine.reset(np.ravel(y), start, measured)

    def step(self, y: ArrayLike, reference: ArrayLike, measured: ArrayLike = ()) -> ControlAction:
        """The input for this sample.

        Args:
            y: The measured outputs, (ny,) [engineering].
            reference: The setpoints, (ny,), or with preview (`ahead` + 1, ny) from now on.
            measured: The measured inputs, (nd,), or with a forecast (`foreseen` + 1, nd).

        Returns:
            What the controller decided; its `u` is within bounds and rate limits whatever its
            flags say.
        """
        return self._engine.step(np.ravel(y), reference, measured)

    def begin(self, u: ArrayLike, y: ArrayLike, measured: ArrayLike = ()) -> None:
        """Begin from the past.

        Args:
            u: The last inputs, (W, nu) [engineering], the last row in force.
            y: What was measured before each, (W, ny) [engineering].
            measured: The measured inputs of each, (W, nd) [engineering].

        Raises:
            InputError: The engine is compiled C, which begins at one measurement.
        """
        self._observing("begin from the past").begin(u, y, measured)

    def track(self, y: ArrayLike, u: ArrayLike, measured: ArrayLike = ()) -> ControlAction:
        """A sample in manual: `step` takes over from it without a bump.

        The observer runs along.

        Args:
            y: The measured outputs, (ny,) [engineering].
            u: The inputs that the operator applies, (nu,) [engineering].
            measured: The measured inputs, as in `step`.

        Returns:
            What the observer estimates; its `u` is that of the operator, within its limits.

        Raises:
            InputError: An input in force is no finite number.
        """
        engine = self._engine
        if isinstance(engine, Compiled):
            return engine.track(np.ravel(y), u, measured)
        return self._observing("track an operator").track(y, u, measured)

    def save(self) -> bytes:
        """The state, sealed; another process with the same controller goes on from it to the bit.

        Raises:
            InputError: The engine is in Python, whose state is not one block.
        """
        return self._compiled().save()

    def restore(self, saved: bytes) -> None:
        """Go on from what `save` gave.

        Args:
            saved: A state that a controller with the same spec and engine saved.

        Raises:
            InputError: It is from another controller, was altered, or the engine is in Python.
        """
        self._compiled().restore(saved)

    def _compiled(self) -> Compiled:
        if not isinstance(self._engine, Compiled):
            raise InputError(
                f"MPC: the engine {self._name!r} cannot save its state; use 'c' or 'c-double'"
            )
        return self._engine

    def _observing(self, what: str) -> Supervisor:
        if not isinstance(self._engine, Supervisor):
            raise InputError(f"MPC: the engine {self._name!r} cannot {what}; use 'sqp' or 'dompc'")
        return self._engine

    def clear(
        self, *, loop: LoopVerification | None = None, proof: LoopProof | None = None
    ) -> Cleared:
        """Pass the gate of controllers.

        Args:
            loop: The verification of its closed loop, see `verify_loop`; what the policy of the
                release asks for may do without.
            proof: The proof of its closed loop, see `prove_loop`; likewise.

        Returns:
            What exporters of controllers take.

        Raises:
            Refused: The evidence does not clear the controller; with every reason.
        """
        return clear(self._spec, loop=loop, proof=proof)


def prove_loop(mpc: MPC | ControllerSpec) -> LoopProof:
    """Prove that the cost of a closed loop falls by what each sample costs.

    Args:
        mpc: The controller, of a problem with `terminal = true`; its engine plays no part.

    Returns:
        The proof, decided in outward-rounded arithmetic on the numbers that it holds.

    Raises:
        Refused: The release in it does not pass its gate.
        InputError: The problem has no terminal cost, or none can be proved; with the reason.
    """
    return prove(mpc.spec if isinstance(mpc, MPC) else mpc)
