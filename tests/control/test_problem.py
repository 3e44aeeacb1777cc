"""The optimal control problem: its numbers per signal, its cost, its bounds."""

from dataclasses import replace

import numpy as np
import pytest
from builders import stable_model
from hypothesis import given, settings, strategies as st
from tolerances import ROUND_OFF

from lstm_mpc.control.limits import Limits, input_range, limits, moves_of
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError

numbers = st.one_of(st.floats(-1, 5), st.floats(-10, 10))


def two(**changes):
    """Limits of a 2×1 problem."""
    fields = {
        "u_low": [0.0, 0.0],
        "u_high": [4.0, 8.0],
        "max_move": [1.0, np.inf],
        "max_move_down": [0.5, 2.0],
        "y_low": [-1.0],
        "y_high": [1.0],
        "u_safe": [1.0, 1.0],
        "sensor_low": [-9.0],
        "sensor_high": [9.0],
        "output_weight": [2.0],
        "move_penalty": [0.5, 0.1],
        "violation_weight": [10.0],
        "input_target": [0.0, 0.0],
        "input_weight": [0.0, 0.0],
    }
    starts = changes.pop("starts", (0, 1, 2))
    return Limits(
        **{k: np.array(v) for k, v in {**fields, **changes}.items()},
        starts=starts,
    )


def test_the_cost_is_the_sum_in_the_docstring():
    y, r = np.array([[9.0], [0.5], [1.5], [-3.0]]), np.array([[9.0], [0.0], [1.0], [0.0]])
    u, before = np.array([[1.0, 2.0], [1.0, 5.0], [3.0, 5.0]]), np.array([0.0, 2.0])
    tracking = 2.0 * (0.5**2 + 0.5**2 + 3.0**2)
    moves = 0.5 * (1.0 + 0.0 + 4.0) + 0.1 * (0.0 + 9.0 + 0.0)
    outside = 10.0 * (0.5 + 2.0)
    assert two().cost(y, r, u, before) == pytest.approx(tracking + moves + outside, rel=ROUND_OFF)
    priced = replace(
        two(),
        output_weight=np.zeros(2),
        violation_weight=np.array([10.0, 3.0]),
        y_low=np.array([-1.0, -np.inf]),
        y_high=np.array([1.0, 4.0]),
    )
    both = np.hstack([y, [[0.0], [4.5], [6.0], [-9.0]]])
    assert priced.cost(both, both, u, before) == pytest.approx(
        moves + outside + 3.0 * 2.5, rel=ROUND_OFF
    )
    resting = replace(two(), input_target=np.array([1.0, 4.0]), input_weight=np.array([0.0, 2.0]))
    away = 2.0 * (2.0**2 + 1.0 + 1.0)
    assert resting.cost(y, r, u, before) == pytest.approx(
        tracking + moves + outside + away, rel=ROUND_OFF
    )
    y[0], r[0] = 100.0, -100.0  # the present, which no input can change, costs nothing
    assert two().cost(y, r, u, before) == pytest.approx(tracking + moves + outside, rel=ROUND_OFF)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    plan=st.lists(st.tuples(numbers, numbers), min_size=3, max_size=3),
    before=st.tuples(st.floats(0, 4), st.floats(0, 8)),
)
def test_an_admitted_plan_keeps_bounds_and_rates_and_what_keeps_them_is_left_alone(plan, before):
    item, plan, before = two(), np.array(plan), np.array(before)
    found = item.admit(plan, before)
    assert ((item.u_low <= found) & (found <= item.u_high)).all()
    moves, asked = moves_of(found, before), moves_of(plan, before)
    assert (moves <= item.max_move + ROUND_OFF).all()
    assert (-moves <= item.max_move_down + ROUND_OFF).all()
    assert np.array_equal(item.admit(found, before), found)
    if ((item.u_low <= plan) & (plan <= item.u_high)).all() and (
        (asked <= item.max_move) & (-asked <= item.max_move_down)
    ).all():
        assert np.array_equal(found, plan)


@pytest.mark.parametrize(
    ("blocks", "starts", "shifted"),
    [
        ((), (0, 1, 2, 3), [2, 3, 4, 4]),
        ((1, 1, 1, 1), (0, 1, 2, 3), [2, 3, 4, 4]),
        ((1, 2), (0, 1), [2, 2, 2, 2]),
        ((1, 2, 1), (0, 1, 3), [2, 2, 2, 4]),
        ((2, 1), (0, 2), [1, 1, 3, 3]),
        ((4,), (0,), [1, 1, 1, 1]),
    ],
)
def test_a_shifted_plan_is_the_one_of_a_sample_later_blocked_again(blocks, starts, shifted):
    assert ControlProblem(horizon=4, blocks=blocks).starts == starts
    lengths = np.diff(starts, append=4)
    plan = {
        (): [1, 2, 3, 4],
        (1, 2): [1, 2, 2, 2],
        (1, 2, 1): [1, 2, 2, 4],
        (2, 1): [1, 1, 3, 3],
        (4,): [1, 1, 1, 1],
    }
    held = np.repeat(np.array(plan.get(blocks, plan[()]), dtype=float)[:, None], 2, axis=1)
    item = two(starts=starts, max_move=[np.inf, 2.0], max_move_down=[np.inf, 2.0])
    assert item.shift(held, held[0])[:, 0].tolist() == shifted
    even = {"max_move": [0.25, np.inf], "max_move_down": [0.25, np.inf]}
    narrow = two(starts=starts, **even).shift(held, held[0])
    assert (np.abs(np.diff(np.vstack([held[:1], narrow])[:, 0])) <= 0.25).all()
    assert np.array_equal(narrow, np.repeat(narrow[list(starts)], lengths, axis=0))


def test_the_input_range_lies_within_the_actuator_limits():
    model = stable_model(0, nu=2)  # [-1, 3] and [1, 7]
    assert [v.tolist() for v in input_range(model, ControlProblem())] == [[-1.0, 1.0], [3.0, 7.0]]
    assert [
        v.tolist() for v in input_range(model, ControlProblem(u_low=0.0, u_high=[9.0, 5.0]))
    ] == [
        [0.0, 1.0],
        [3.0, 5.0],
    ]


def test_limits_are_one_number_per_signal(released):
    found = limits(
        released,
        ControlProblem(
            u_low=13.0, max_move=0.5, y_high=8.0, output_weight=2.0, violation_weight=7.0
        ),
    )
    fields = {
        "u_low": 13.0,
        "u_high": 17.0,
        "max_move": 0.5,
        "y_low": -np.inf,
        "y_high": 8.0,
        "output_weight": 2.0,
    }
    assert {name: getattr(found, name).tolist() for name in fields} == {
        name: [v] for name, v in fields.items()
    }
    assert (found.move_penalty.tolist(), found.violation_weight.tolist()) == ([0.1], [7.0])


def test_inputs_fall_as_fast_as_they_rise_unless_another_rate_is_given(mimo):
    even = limits(mimo, ControlProblem(max_move=[0.3, np.inf]))
    assert even.max_move_down.tolist() == [0.3, np.inf]
    assert not even.uneven
    other = limits(mimo, ControlProblem(max_move=[0.3, np.inf], max_move_down=[0.4, 0.1]))
    assert (other.max_move_down.tolist(), other.uneven) == ([0.4, 0.1], True)
    assert other.even_move.tolist() == [0.3, 0.1]


def test_an_input_without_a_target_has_no_weight(mimo):
    none = limits(mimo, ControlProblem())
    assert not none.targets
    one = limits(mimo, ControlProblem(input_target=[np.nan, 3.0], input_weight=0.1))
    assert (one.targets, one.input_weight.tolist()) == (True, [0.0, 0.1])
    assert one.input_target.tolist() == [one.u_safe[0], 3.0]


def test_the_safe_input_is_the_nominal_one_within_the_bounds_unless_given(released, mimo):
    assert limits(released, ControlProblem()).u_safe.tolist() == [15.6]
    assert limits(released, ControlProblem(u_high=15.0)).u_safe.tolist() == [15.0]
    assert limits(released, ControlProblem(safe_input=13.0)).u_safe.tolist() == [13.0]
    assert limits(mimo, ControlProblem()).u_safe.tolist() == [
        1.0,
        4.0,
    ]  # no nominal inputs: the middle


def test_sensors_are_believed_within_the_range_of_the_output(released):
    """The pH probe says 0 … 14."""
    for asked, believed in (
        (ControlProblem(), (0.0, 14.0)),
        (ControlProblem(sensor_low=4.0, sensor_high=99.0), (4.0, 14.0)),
    ):
        found = limits(released, asked)
        assert (found.sensor_low.tolist(), found.sensor_high.tolist()) == (
            [believed[0]],
            [believed[1]],
        )


def test_a_release_for_a_narrower_range_binds_the_controller(released):
    narrow = replace(released, u_low=np.array([14.0]))
    assert limits(narrow, ControlProblem(u_low=14.0)).u_low.tolist() == [14.0]
    with pytest.raises(
        InputError, match=r"inputs in \[\[13.5\], \[17.0\]\] are not covered by the release, .*14.0"
    ):
        limits(narrow, ControlProblem(u_low=13.5))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ControlProblem(horizon=0), "control: horizon must be at least 1 sample, got 0"),
        (
            lambda: ControlProblem(observer_gain=0.0),
            r"control: observer_gain must lie in \(0, 2\), got 0.0: outside, the obs",
        ),
        (lambda: ControlProblem(observer_gain=2.0), "got 2.0"),
        (lambda: ControlProblem(observer_gain=float("nan")), "got nan"),
        (
            lambda: ControlProblem(dead_time=-1.0),
            "control: dead_time must be a number of seconds, not negative, got -1.0",
        ),
        (lambda: ControlProblem(max_move=0.0), "control: max_move must be positive, got 0.0"),
        (lambda: ControlProblem(max_move=[1.0, -1.0]), "max_move must be positive"),
        (
            lambda: ControlProblem(max_move_down=0.0),
            "control: max_move_down must be positive, got 0.0",
        ),
        (
            lambda: ControlProblem(max_move=[0.0] * 999),
            r"max_move must be positive, got \[0.0(, 0.0){11},?\s?$",
        ),
        (
            lambda: ControlProblem(output_weight=-1.0),
            "control: output_weight must be a number or a list of numbers, not negative, got -1.0",
        ),
        (
            lambda: ControlProblem(move_penalty=[0.1, -0.1]),
            "move_penalty must be a number or a list of numbers, not negative",
        ),
        (
            lambda: ControlProblem(violation_weight=-1.0),
            "violation_weight must be a number or a list of numbers, not negative",
        ),
        (
            lambda: ControlProblem(input_weight=-1.0),
            "input_weight must be a number or a list of numbers, not negative",
        ),
        (
            lambda: ControlProblem(input_weight=0.1),
            "input_target None and input_weight 0.1 are given together, or none of them",
        ),
        (
            lambda: ControlProblem(input_target=[1.0, 2.0]),
            r"input_target \[1.0, 2.0\] and input_weight 0.0 are given together",
        ),
        (
            lambda: ControlProblem(input_target=1.0, input_weight=0.1, terminal=True),
            "terminal = true does not cover input_target: .* leave one of them out",
        ),
        (
            lambda: ControlProblem(horizon=3, blocks=(1, 0)),
            r"control: blocks must be at least 1 sample long and fit into 3 samples, got \[1, 0\]",
        ),
        (lambda: ControlProblem(horizon=3, blocks=(2, 2)), r"fit into 3 samples, got \[2, 2\]"),
        (
            lambda: ControlProblem(frozen_after=-1),
            "control: frozen_after must not be negative, got -1",
        ),
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
        ({"max_move_down": [1.0, 1.0]}, "max_move_down needs one number or 1"),
        ({"y_low": [1.0, 1.0]}, "y_low needs"),
        ({"y_high": [[1.0]]}, "y_high needs"),
        ({"output_weight": [1.0, 1.0]}, "output_weight needs"),
        ({"move_penalty": [1.0, 1.0]}, "move_penalty needs"),
        ({"violation_weight": [1.0, 1.0]}, "violation_weight needs one number or 1"),
        ({"input_target": [1.0, np.nan], "input_weight": 1.0}, "input_target needs one number or"),
        ({"input_target": 1.0, "input_weight": [1.0, 1.0]}, "input_weight needs one number or 1"),
        (
            {"input_target": np.inf, "input_weight": 1.0},
            r"input_target \[inf\] must be finite; nan stands for none",
        ),
        (
            {"u_low": 16.0, "u_high": 15.0},
            r"u_low \[16.0\] must be below u_high \[15.0\] within the actuator limits",
        ),
        ({"u_low": 17.0}, "must be below u_high"),
        ({"safe_input": [15.0, 15.0]}, "safe_input needs one number or 1"),
        ({"safe_input": 18.0}, r"control: safe_input \[18.0\] must lie in \[\[12.5\], \[17.0\]\]"),
        (
            {"safe_input": 13.0, "u_low": 14.0},
            r"safe_input \[13.0\] must lie in \[\[14.0\], \[17.0\]\]",
        ),
        ({"sensor_low": [1.0, 1.0]}, "sensor_low needs"),
        ({"sensor_high": np.nan}, "sensor_high needs one number or 1, got nan"),
        (
            {"dead_time": 5.0},
            r"control: dead_time 5.0 s must be a multiple of the sampling time 10.0 s",
        ),
    ],
)
def test_numbers_that_do_not_fit_the_signals_are_named(released, options, words):
    with pytest.raises(InputError, match=words):
        limits(released, ControlProblem(**options))
