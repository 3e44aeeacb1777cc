"""What a controller says, and the setpoints it is told."""

from dataclasses import replace

import numpy as np
import pytest

from lstm_mpc.control.controller import OPTIMAL, WORDS, ControlAction, Status, coming
from lstm_mpc.errors import InputError

MOVE = ControlAction(np.zeros(1), OPTIMAL, 1, 0.0, np.zeros((2, 1)), np.zeros(1), 0.1)


def test_a_move_is_optimal_or_says_why_not():
    assert MOVE.optimal
    assert MOVE.status == "optimal"
    for flag in Status:
        move = replace(MOVE, flags=flag)
        assert not move.optimal
        assert move.status == WORDS[flag]


def test_several_flags_are_told_in_their_order_and_the_solver_has_the_last_word():
    move = replace(
        MOVE, flags=Status.SOLVE_FAILED | Status.MEASUREMENT_INVALID, detail="no linear solver"
    )
    invalid, failed = (
        "measurement not finite or out of range; disturbance held",
        "solve failed; last good plan applied",
    )
    assert move.status == f"{invalid}; {failed} (no linear solver)"


def test_every_flag_is_a_bit_of_its_own_with_words_of_its_own():
    assert [int(flag) for flag in Status] == [2**bit for bit in range(len(Status))]
    assert set(WORDS) == set(Status)
    assert len(set(WORDS.values())) == len(WORDS)


@pytest.mark.parametrize(
    ("reference", "ny", "expected"),
    [
        (7.0, 1, [[7], [7], [7]]),
        ([7.0], 1, [[7], [7], [7]]),
        ([7.0, 8.0], 1, [[7], [8], [8]]),
        ([7.0, 8.0], 2, [[7, 8], [7, 8], [7, 8]]),
        ([[1.0], [2.0], [3.0], [4.0]], 1, [[1], [2], [3]]),
        ([[1.0, 2.0], [3.0, 4.0]], 2, [[1, 2], [3, 4], [3, 4]]),
    ],
)
def test_coming_setpoints_are_cut_or_held_to_the_horizon(reference, ny, expected):
    assert coming(reference, 2, ny).tolist() == expected


@pytest.mark.parametrize(("reference", "ny"), [([1.0, 2.0, 3.0], 2), ([], 1)])
def test_setpoints_of_a_wrong_number_are_an_input_error(reference, ny):
    with pytest.raises(
        InputError, match=rf"control: the setpoint needs {ny} value\(s\) for each sample, got \["
    ):
        coming(reference, 2, ny)


def test_a_setpoint_that_is_not_finite_passes_here_since_a_controller_must_live_with_it():
    assert np.array_equal(coming([7.0, np.nan], 2, 1), [[7.0], [np.nan], [np.nan]], equal_nan=True)
