"""A controller bound once: the release, the problem, the solver's options, and what follows from
them, limits, C sources and digests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from lstm_mpc.certificates.gate import Release, checked
from lstm_mpc.codegen.c_controller import controller
from lstm_mpc.codegen.c_text import without_comments
from lstm_mpc.control.controller import Status, meanings
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.limits import Limits, limits
from lstm_mpc.control.observers.observer_claims import observer_claims
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array

# what counts in a digest only where it is asked for: a controller without it is what it was before
_OPTIONAL = {
    f.name: f.default
    for f in fields(ControlProblem)
    if f.name
    in (
        "forecast",
        "terminal",
        "monitor",
        "alarm",
        "max_move_down",
        "input_target",
        "input_weight",
    )
}


@dataclass(frozen=True)
class ControllerSpec:
    """What a controller is: `release`, `problem` and `solver`.

    It checks itself: the release passes its gate once more, and the inputs that the problem asks
    for must be covered by it. `limits` are the problem's numbers per signal, `sources` its C (name
    -> text), made when first asked for.
    """

    release: Release
    problem: ControlProblem = field(default_factory=ControlProblem)
    solver: SolverOptions = field(default_factory=SolverOptions)

    def __post_init__(self) -> None:
        object.__setattr__(self, "release", checked(self.release))
        for name, kind in (("problem", ControlProblem), ("solver", SolverOptions)):
            if type(value := getattr(self, name)) is not kind:
                raise InputError(
                    f"controller: {name} must be {kind.__name__}(…), got {type(value).__name__}"
                )
        limits(self.release, self.problem)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("release", "problem", "solver")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    @property
    def model(self) -> Model:
        """The model that predicts."""
        return self.release.model

    @cached_property
    def limits(self) -> Limits:
        """Bounds, rates and weights per signal."""
        return limits(self.release, self.problem)

    @cached_property
    def sources(self) -> Mapping[str, str]:
        """The C of the controller, name -> text: the same spec gives the same bytes."""
        return MappingProxyType(controller(self.release, self.problem, self.solver))

    @property
    def claims(self) -> tuple[tuple[str, str], ...]:
        """(kind, sentence): the claims of the release, and what is proved at the input radius that
        the observer uses."""
        return (*self.release.claims(), *observer_claims(self.release, self.problem))

    @property
    def name(self) -> str:
        """What the C files are called after."""
        return next(file.removesuffix(".h") for file in self.sources if file.endswith(".h"))

    @property
    def source_digest(self) -> str:
        """SHA-256 of the C sources, whatever their comments say and however they are laid out."""
        return artefact_file.digest({f: without_comments(text) for f, text in self.sources.items()})

    @property
    def tuning_digest(self) -> str:
        """SHA-256 of every number of problem and solver options, the infinite ones too."""
        return tuning_digest(self.problem, self.solver)

    @property
    def controller(self) -> str:
        """Model, problem and budget, whatever the C says of them: what campaigns speak of."""
        return artefact_file.digest([self.model.digest, self.tuning_digest])

    @property
    def ahead(self) -> int:
        """How many samples of setpoint beyond the present one it sees (preview)."""
        return self.problem.ahead(self.model)

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of the inputs that are measured and never moved."""
        return tuple(s.name for s in self.model.measured)

    @property
    def foreseen(self) -> int:
        """How many coming values of the measured inputs it is told (forecast)."""
        return self.problem.foreseen(self.model)

    @property
    def meanings(self) -> dict[Status, str]:
        """What the flags of its C mean."""
        problem = self.problem
        return meanings(
            measured=bool(self.measured),
            terminal=problem.terminal,
            monitor=problem.monitor > 0,
            alarm=problem.alarm,
        )

    @property
    def u_start(self) -> Array:
        """(nu,) [input unit] The inputs taken to be in force before the first sample unless one
        says otherwise: nominal, or the middle of the limits."""
        return np.array([s.resting for s in self.model.manipulated], dtype=np.float64)

    def with_dead_time(self, dead_time: float) -> ControllerSpec:
        """The same controller that takes the probe delay to be another.

        Args:
            dead_time: The delay of the measurement [s].

        Returns:
            The controller, checked anew.
        """
        return replace(self, problem=replace(self.problem, dead_time=dead_time))


def tuning_digest(problem: ControlProblem, solver: SolverOptions) -> str:
    """SHA-256 of every number of problem and solver options, the infinite ones too; what is
    `_OPTIONAL` where it is asked for."""
    numbers = {
        key: repr(np.asarray(value).tolist())
        for key, value in (problem.__dict__ | solver.__dict__).items()
    }
    for key, default in _OPTIONAL.items():
        if numbers[key] == repr(np.asarray(default).tolist()):
            del numbers[key]
    return artefact_file.digest(numbers)


def checked_spec(spec: ControllerSpec) -> ControllerSpec:
    """The spec made anew of its release, problem and options, whatever was done to it since; what
    it had computed is computed again.

    Raises:
        Refused: Its release does not pass the gate.
        InputError: It is no spec.
    """
    if type(spec) is not ControllerSpec:
        raise InputError(f"a ControllerSpec(release, problem) is needed, got {type(spec).__name__}")
    return replace(spec)
