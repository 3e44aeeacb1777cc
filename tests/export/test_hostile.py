"""The search for samples that cost a controller much: dearer than a scenario, within what a board
can meet, the same every time, for every kind of controller."""

import numpy as np
import pytest
from optimum import all_at_once
from places import ROOT
from sealing import without_bounds

from lstm_mpc.certificates.gate import Release
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.export.hostile import SAMPLES, hostile
from lstm_mpc.project.design import load_design

SHIPPED = ROOT / "models" / "ph"
FEW = {"runs": 2, "tries": 4}


@pytest.fixture(scope="module")
def spec():
    design, passed = load_design(SHIPPED), without_bounds(Release.load(SHIPPED / "release.json"))
    return ControllerSpec(passed, design.control, design.solver)


def effort(spec, run):
    """The most changes of the working set in a sample of the run."""
    controller = Compiled(spec.sources)
    controller.reset(run.y0, run.u0)
    most = 0
    for y, reference in zip(run.y, run.reference, strict=True):
        assert controller.step(y, reference).flags & ~8 == 0  # all are valid
        most = max(most, controller.qp_iterations)
    return most


def test_it_is_dearer_than_the_scenario_and_the_same_every_time(spec):
    frames = hostile(spec, **FEW)
    assert [len(run.y) for run in frames.runs] == [SAMPLES, SAMPLES]
    design = load_design(SHIPPED)
    plain = Compiled(spec.sources)
    changes = []

    class Watched:
        reset = plain.reset

        @staticmethod
        def step(*arguments):
            move = plain.step(*arguments)
            changes.append(plain.qp_iterations)
            return move

    simulate_closed_loop(design.system, Watched(), design.scenarios[0], u_start=design.u_start)
    assert effort(spec, frames.runs[0]) > max(changes) > 0
    again = hostile(spec, **FEW)
    for one, other in zip(frames.runs, again.runs, strict=True):
        np.testing.assert_array_equal(one.y, other.y)
        np.testing.assert_array_equal(one.reference, other.reference)
    other = hostile(spec, **FEW, seed=1)
    assert not np.array_equal(frames.runs[0].y, other.runs[0].y)


def test_what_it_measures_lies_within_the_sensor(spec):
    limits = spec.limits
    for run in hostile(spec, **FEW).runs:
        assert (run.y >= limits.sensor_low).all()
        assert (run.y <= limits.sensor_high).all()


def test_previews_and_several_signals_are_served(mimo):
    problem = ControlProblem(**all_at_once())
    spec = ControllerSpec(mimo, problem, SolverOptions(sqp_iterations=2, tolerance=0.03))
    (run,) = hostile(spec, runs=1, tries=2).runs
    assert run.shape == (2, 2, problem.horizon + 1)
    steps = np.abs(np.diff(run.reference, axis=1)).max(axis=2) > 0
    assert steps.any()  # a setpoint that changes within the preview
