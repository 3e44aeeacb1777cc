"""The optimal control problem: its numbers per signal, its cost, its bounds."""

from dataclasses import replace

import numpy as np
import pytest
from builders import stable_model
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import ROUND_OFF

from lstm_mpc.control.problem import Limits, Move, Problem, coming, input_range, limits
from lstm_mpc.errors import InputError

numbers = st.floats(-10, 10)


def two(**changes):
    """Limits of a 2×1 problem."""
    fields = {
        "u_low": [0.0, 0.0], "u_high": [4.0, 8.0], "max_move": [1.0, np.inf], "y_low": [-1.0], "y_high": [1.0],
        "output_weight": [2.0], "move_penalty": [0.5, 0.1],
    }  # fmt: skip
    return Limits(**{k: np.array(v) for k, v in {**fields, **changes}.items()}, violation_weight=10.0)


def test_the_cost_is_the_sum_in_the_docstring():
    y, r = np.array([[9.0], [0.5], [1.5], [-3.0]]), np.array([[9.0], [0.0], [1.0], [0.0]])
    u, before = np.array([[1.0, 2.0], [1.0, 5.0], [3.0, 5.0]]), np.array([0.0, 2.0])
    tracking = 2.0 * (0.5**2 + 0.5**2 + 3.0**2)
    moves = 0.5 * (1.0 + 0.0 + 4.0) + 0.1 * (0.0 + 9.0 + 0.0)
    outside = 10.0 * (0.5 + 2.0)
    assert two().cost(y, r, u, before) == pytest.approx(tracking + moves + outside, rel=ROUND_OFF)
    y[0], r[0] = 100.0, -100.0  # the present, which no input can change, costs nothing
    assert two().cost(y, r, u, before) == pytest.approx(tracking + moves + outside, rel=ROUND_OFF)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(u=st.tuples(numbers, numbers), before=st.tuples(numbers, numbers))
def test_an_admitted_input_is_within_bounds_always_and_within_rates_where_that_is_possible(u, before):
    item, u, before = two(), np.array(u), np.array(before)
    found = item.admit(u, before)
    assert ((item.u_low <= found) & (found <= item.u_high)).all()
    if ((item.u_low <= before) & (before <= item.u_high)).all():
        assert (np.abs(found - before) <= item.max_move + ROUND_OFF).all()
        if (np.abs(u - before) <= item.max_move).all() and ((item.u_low <= u) & (u <= item.u_high)).all():
            np.testing.assert_allclose(found, u, rtol=ROUND_OFF)  # what is allowed is left alone


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
    with pytest.raises(InputError, match=rf"control: the setpoint needs {ny} value\(s\) for each sample, got \["):
        coming(reference, 2, ny)


def test_the_input_range_lies_within_the_actuator_limits():
    model = stable_model(0, nu=2)  # [-1, 3] and [1, 7]
    assert [v.tolist() for v in input_range(model, Problem())] == [[-1.0, 1.0], [3.0, 7.0]]
    assert [v.tolist() for v in input_range(model, Problem(u_low=0.0, u_high=[9.0, 5.0]))] == [[0.0, 1.0], [3.0, 5.0]]


def test_limits_are_one_number_per_signal(released):
    found = limits(released, Problem(u_low=13.0, max_move=0.5, y_high=8.0, output_weight=2.0, violation_weight=7.0))
    fields = {"u_low": 13.0, "u_high": 17.0, "max_move": 0.5, "y_low": -np.inf, "y_high": 8.0, "output_weight": 2.0}
    assert {name: getattr(found, name).tolist() for name in fields} == {name: [v] for name, v in fields.items()}
    assert (found.move_penalty.tolist(), found.violation_weight) == ([0.1], 7.0)


def test_a_release_for_a_narrower_range_binds_the_controller(released):
    narrow = replace(released, u_low=np.array([14.0]))
    assert limits(narrow, Problem(u_low=14.0)).u_low.tolist() == [14.0]
    with pytest.raises(InputError, match=r"inputs in \[\[13.5\], \[17.0\]\] are not covered by the release, .*14.0"):
        limits(narrow, Problem(u_low=13.5))


def test_a_move_is_optimal_or_says_why_not():
    move = Move(np.zeros(1), "optimal", 1, 0.0, np.zeros((2, 1)), np.zeros(1), 0.1)
    assert move.optimal
    assert not replace(move, status="solve failed (x); last good plan applied").optimal


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Problem(horizon=0), "control: horizon must be at least 1 sample, got 0"),
        (lambda: Problem(observer_gain=0.0), r"control: observer_gain must lie in \(0, 2\), got 0.0: outside, the obs"),
        (lambda: Problem(observer_gain=2.0), "got 2.0"),
        (lambda: Problem(observer_gain=float("nan")), "got nan"),
        (lambda: Problem(dead_time=-1.0), "control: dead_time must be a number of seconds, not negative, got -1.0"),
        (lambda: Problem(max_move=0.0), "control: max_move must be positive, got 0.0"),
        (lambda: Problem(max_move=[1.0, -1.0]), "max_move must be positive"),
        (lambda: Problem(output_weight=-1.0), "control: weights must not be negative"),
        (lambda: Problem(move_penalty=[0.1, -0.1]), "weights must not be negative"),
        (lambda: Problem(violation_weight=-1.0), "weights must not be negative"),
        (lambda: coming([7.0, np.nan], 3, 1), "control: the setpoint must be finite, got "),
    ],
)
def test_misuse_is_named(make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"u_low": [13.0, 14.0]}, r"control: u_low needs one number or 1, got \[13.0, 14.0\]"),
        ({"u_high": np.nan}, "u_high needs one number or 1, got nan"),
        ({"max_move": [1.0, 1.0]}, "max_move needs one number or 1"),
        ({"y_low": [1.0, 1.0]}, "y_low needs"),
        ({"y_high": [[1.0]]}, "y_high needs"),
        ({"output_weight": [1.0, 1.0]}, "output_weight needs"),
        ({"move_penalty": [1.0, 1.0]}, "move_penalty needs"),
        ({"u_low": 16.0, "u_high": 15.0}, r"u_low \[16.0\] must be below u_high \[15.0\] within the actuator limits"),
        ({"u_low": 17.0}, "must be below u_high"),
    ],
)
def test_numbers_that_do_not_fit_the_signals_are_named(released, options, words):
    with pytest.raises(InputError, match=words):
        limits(released, Problem(**options))
