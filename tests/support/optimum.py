"""One step of an engine beside the plain nonlinear program of the same sample."""

from copy import copy
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from rivals import plain_nlp

from lstm_mpc.control.controller import ControlAction, coming
from lstm_mpc.plants.system import Array

Y_REST = np.array([0.0247, -1.356])  # outputs of the `mimo` model under χ = 0, rounded
PROBLEMS = {  # of the pH model, from pH 7.0 to 7.6
    "bounds": {"horizon": 12, "move_penalty": 0.01, "u_high": 15.9},
    "rates": {"horizon": 12, "move_penalty": 0.01, "max_move": 0.2},
    "soft outputs": {"horizon": 12, "move_penalty": 0.01, "y_high": 7.2, "violation_weight": 50.0},
    "blocks": {"horizon": 12, "move_penalty": 0.01, "blocks": (1, 2, 4), "max_move": 0.4},
    "dead time": {"horizon": 12, "move_penalty": 0.01, "dead_time": 30.0},
    "one step": {"horizon": 1},
}


def all_at_once(**changes):
    """Options for the `mimo` model: bounds, rates and soft outputs that are all active, and
    preview."""
    options = {
        "horizon": 8,
        "output_weight": [400.0, 200.0],
        "move_penalty": [0.002, 0.001],
        "max_move": [0.3, 0.5],
        "preview": True,
        "y_low": Y_REST - [0.004, 1.0],
        "y_high": Y_REST + [1.0, 0.006],
        "violation_weight": [20.0, 30.0],
    }
    return options | changes


RAMP = Y_REST + np.linspace(0, 1, 9)[:, None] * [[-0.02, 0.05]]  # its setpoints
KICK = np.array([0.01, -0.01])


@dataclass(frozen=True)
class Compared:
    """A move and the plan (N, nu) it came from; plan and cost of the plain program; setpoints and
    the input before."""

    move: ControlAction
    plan: Array
    best: Array
    cost: float
    references: Array
    before: Array


def step(controller, y, reference, *, model=None, limits=None):
    """A step of `controller`, and the plain program of the same sample."""
    shared = controller.release.model.shared_delay
    references = coming(reference, controller.problem.horizon + shared, len(np.atleast_1d(y)))[
        shared:
    ]
    if not controller.problem.preview:
        references[:] = np.atleast_2d(reference)[0]
    before, guess, found, solve, held = (
        controller._before,
        controller._plan,
        [],
        controller._solve,
        controller.observer,
    )

    def watched(references):
        known = SimpleNamespace(
            chi=held.chi,
            disturbance=held.disturbance,
            input_disturbance=held.input_disturbance,
            line=copy(held.line),
        )
        found.append((solve(references), known))
        return found[-1][0]

    controller._solve = watched
    move = controller.step(y, reference)
    controller._solve = solve
    solution, known = found[0]
    best, cost = plain_nlp.solve(
        controller.release.model, limits or controller.limits, known, before, references, guess
    )
    return Compared(move, solution.plan, best, cost, references, before)


def compared(controller, y, u, reference, kicks, **options):
    """Two steps from rest, the second with the measurement kicked off its rest and beside the plain
    program."""
    controller.reset(y, u)
    controller.step(y, y)
    return step(controller, np.asarray(y) + kicks, reference, **options)


def not_idle(options, found, tolerance):
    """What one of PROBLEMS is named after is active, inputs to within `tolerance`."""
    if "u_high" in options:
        assert found.move.u == pytest.approx([15.9], abs=tolerance)
    if options.get("max_move") == 0.2:
        assert found.move.u - found.before == pytest.approx([0.2], abs=tolerance)
    if "y_high" in options:
        assert found.move.predicted.max() == pytest.approx(7.2, abs=0.01)
    if "blocks" in options:
        assert (np.abs(np.diff(found.plan, axis=0)).max(axis=1) > tolerance).nonzero()[
            0
        ].tolist() == [0, 2]
