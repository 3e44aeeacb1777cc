"""What happens if: a setpoint change and a disturbance, or a scenario of the design, under numbers
that nobody has written down yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np

from lstm_mpc.assurance.model_plant import ModelPlant, model_plant
from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.certificates.gate import Release
from lstm_mpc.control import loop_metrics
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import Run, Sample, simulate_closed_loop
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.python_function import PythonFunction
from lstm_mpc.plants.system import Array, Batch, Signal, System
from lstm_mpc.project import artefacts
from lstm_mpc.project.design import Design

MOST = 2000  # [samples] of what is asked for by hand
_STEP, _UPSET = 0.1, 0.5  # shares of the time at which the setpoint and the disturbance step
_LOAD = "load on "


@dataclass(frozen=True)
class WhatIf:
    """What is asked: a `scenario` of the design by its name or, without one, so many `samples` in
    which the setpoints step from where the plant rests to `setpoint` (ny,) [unit] after a tenth,
    and the `disturbance` of that name by `size` [unit] in the middle; with measurement `noise`
    [output unit]."""

    scenario: str = ""
    setpoint: tuple[float, ...] = ()
    disturbance: str = ""
    size: float = 0.0
    noise: float = 0.0
    samples: int = 200

    def __post_init__(self) -> None:
        if not 20 <= self.samples <= MOST:
            raise InputError(f"tune: samples must lie in [20, {MOST}], got {self.samples}")
        if not all(map(isfinite, (*self.setpoint, self.size, self.noise))) or self.noise < 0:
            raise InputError("tune: setpoint, size and noise must be finite, noise not negative")


@dataclass(frozen=True)
class _Loaded:
    """The twin of a plant whose inputs also get a load; the last disturbances are the loads."""

    twin: Batch
    nu: int

    def step(self, chi: Array, u: Array, d: Array) -> Array:
        own = len(d) - self.nu
        return self.twin.step(chi, u + d[own:], d[:own])

    def output(self, chi: Array) -> Array:
        return self.twin.output(chi)


def loaded(plant: System) -> System:
    """A plant with a load on every input as further disturbances.

    Args:
        plant: The plant.

    Returns:
        The plant; `load on u` [unit of u] is added to what the valve of u lets through.
    """
    spans = [(s, s.high - s.low if s.bounded else np.inf) for s in plant.inputs]
    loads = [Signal(_LOAD + s.name, s.unit, -span, span, 0.0) for s, span in spans]
    disturbances = (*plant.disturbances, *loads)
    twin, sizes = _Loaded(plant.vectorised, plant.nu), (plant.n, plant.nu, len(disturbances))
    step = PythonFunction(twin.step, sizes, plant.n, True, f"{plant.name}: step")
    return replace(plant, disturbances=disturbances, step=step, batch=twin)


class Bench:
    """A release and a plant on which numbers are tried: the design's own plant or, where it has
    none, the model.

    Args:
        design: The design.

    Raises:
        InputError: There is no usable release, or it is of another model than the design's.
    """

    def __init__(self, design: Design) -> None:
        self.release = Release.load(design.file(artefacts.RELEASE))
        path = design.file(artefacts.MODEL)
        if path.exists() and Model.load(path).digest != self.release.model.digest:
            raise InputError(
                f"{design.file(artefacts.RELEASE)}: is of another model than {path.name};"
                f" `lstm-mpc release {design.folder} --force` makes it anew"
            )
        simulated = design.plant is not None or design.model_plant is not None
        own = design.nominal_plant if simulated else model_plant(self.release.model, ModelPlant())
        self.plant, self.is_model = loaded(own), design.plant is None
        self.rest = own.vectorised.output(rest(own, np.array(design.u_start))[:, None])[:, 0]
        self._built: tuple[Any, MPC] | None = None  # of the last numbers

    def run(
        self,
        design: Design,
        asked: WhatIf,
        on_step: Callable[[Sample], None] = lambda sample: None,
    ) -> tuple[Run, Mapping[str, Any]]:
        """Close the loop under the fast engine in Python, with the budgets of `[solver]`.

        Args:
            design: With the numbers that are tried.
            asked: What happens in it.
            on_step: Hears of every sample; what it raises ends the run.

        Returns:
            The run and its figures, as `metrics` gives them.

        Raises:
            InputError: A number or what is asked does not fit.
        """
        plant, scenario = self._of(design, asked)
        problem = replace(design.control, dead_time=scenario.believed)
        key = (_text(problem), _text(design.solver))
        if self._built is None or self._built[0] != key:
            self._built = key, MPC(self.release, problem, "sqp", design.solver)
        mpc = self._built[1]
        run = simulate_closed_loop(plant, mpc, scenario, u_start=design.u_start, on_step=on_step)
        band = loop_metrics.band_of(design.safe_set)
        return run, loop_metrics.metrics(run, band=band, limits=mpc.spec.limits)

    def _of(self, design: Design, asked: WhatIf) -> tuple[System, Scenario]:
        """The plant and the scenario that are meant."""
        if asked.scenario:
            found = {s.name: s for s in design.scenarios}
            if asked.scenario not in found:
                raise InputError(f"tune: there is no scenario {asked.scenario!r:.60}")
            return design.plant_of(found[asked.scenario]), found[asked.scenario]
        plant, long = self.plant, asked.samples * self.plant.Ts
        if len(asked.setpoint) != plant.ny:
            raise InputError(f"tune: setpoint needs {plant.ny} number(s)")
        for s, value, (low, high) in zip(
            plant.outputs, asked.setpoint, design.safe_set, strict=True
        ):
            if not low <= value <= high:
                raise InputError(
                    f"tune: setpoint {s.name} = {value:g} is outside [{low:g}, {high:g}] {s.unit},"
                    " the safe set"
                )
        d = np.tile(plant.d_nominal, (2, 1))
        if asked.disturbance:
            d[1] += self._upset(asked)
        return plant, Scenario(
            "what if",
            Steps((0.0, _STEP * long), [self.rest.tolist(), list(asked.setpoint)]),
            long,
            Steps((0.0, _UPSET * long), d.tolist()),
            noise=asked.noise,
            delay=design.control.dead_time,
        )

    def _upset(self, asked: WhatIf) -> Array:
        """By how much every disturbance steps, (nd,)."""
        names = [s.name for s in self.plant.disturbances]
        if asked.disturbance not in names:
            raise InputError(
                f"tune: there is no disturbance {asked.disturbance!r:.60} ({', '.join(names)})"
            )
        s = self.plant.disturbances[names.index(asked.disturbance)]
        value = s.typical + asked.size
        if not s.low <= value <= s.high:
            raise InputError(
                f"tune: {s.name} = {value:g} is outside [{s.low:g}, {s.high:g}] {s.unit}"
            )
        step = np.zeros(len(names))
        step[names.index(asked.disturbance)] = asked.size
        return step


def _text(record: Any) -> str:
    """The numbers of a record, to be told from others."""
    return repr(sorted(record.__dict__.items()))
