"""Exported controllers for the tests of what is wrapped around them, and what they are driven
with."""

import numpy as np

from lstm_mpc.assurance.clearance import clear
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.problem import ControlProblem

NAME = "model_controller"  # of the files, since the models are called "model"


def spec_of(release, *, preview=False):
    """A controller; a rate limit makes the inputs in force matter."""
    problem = ControlProblem(horizon=5, move_penalty=1e-3, max_move=1.0, preview=preview)
    return ControllerSpec(release, problem, SolverOptions())


def cleared_of(release, *, preview=False):
    """The same, cleared by the waiver of a release that `builders.released` makes."""
    return clear(spec_of(release, preview=preview))


def files_of(release, *, preview=False):
    """Its C files, name -> text."""
    return dict(spec_of(release, preview=preview).sources)


def started(model):
    """Inputs in force that are not the default ones."""
    return model.roles.moved(model.u_low + 0.3 * (model.u_high - model.u_low))


def situation(model, steps):
    """Measurements and setpoints (steps, ny) around the middle; one measurement, of sample 7, is
    missing."""
    rng, scaling = np.random.default_rng(1), model.scaling
    y, r = (
        scaling.y_mid + scaling.y_span * rng.uniform(-0.5, 0.5, (steps, len(model.outputs)))
        for _ in range(2)
    )
    y[7, 0] = np.nan
    return y, np.repeat(r[::25], 25, axis=0)[:steps]


def answers(compiled, y, r, u_start):
    """What the C itself says to measurements and setpoints: inputs (steps, nu) and status
    (steps,)."""
    assert isinstance(compiled, Compiled)
    compiled.reset(y[0], u_start)
    moves = [compiled.step(*row) for row in zip(y, r, strict=True)]
    return np.array([move.u for move in moves]), np.array([int(move.flags) for move in moves])
