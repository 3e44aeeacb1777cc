"""A controller that is cleared, for all that runs beside a plant."""

import pytest

from lstm_mpc.assurance.clearance import clear
from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.control.problem import ControlProblem


@pytest.fixture(scope="session")
def cleared(released):
    problem = ControlProblem(horizon=8, move_penalty=0.05, max_move=0.5)
    return clear(MPC(released, problem).spec)
