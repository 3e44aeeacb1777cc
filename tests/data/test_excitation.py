import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lstm_mpc.data.excitation import Mprs, Segments, Steps, own_signal
from lstm_mpc.errors import InputError

TS = 10.0


def draw(mprs, steps, seed=0, Ts=TS):
    return mprs.draw(np.random.default_rng(seed), steps, Ts)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    seed=st.integers(0, 2**32),
    steps=st.integers(1, 500),
    shortest=st.integers(1, 40),
    more=st.integers(0, 100),
    ranges=st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 5)), min_size=1, max_size=3),
)
def test_levels_and_dwell_stay_in_range_for_every_input(seed, steps, shortest, more, ranges):
    low, high = (tuple(v) for v in zip(*((a, a + width) for a, width in ranges), strict=True))
    signal = draw(Mprs(low, high, (shortest * TS, (shortest + more) * TS)), steps, seed).signal(
        steps
    )
    assert signal.shape == (steps, len(ranges))
    assert (signal >= low).all()
    assert (signal <= high).all()
    for column, (_, width) in zip(signal.T, ranges, strict=True):
        if width > 1e-3:  # else neighbouring levels may be equal
            switches = np.flatnonzero(np.diff(column)) + 1
            held = np.diff(np.concatenate([[0], switches]))
            assert (held >= shortest).all()
            assert (held <= shortest + more).all()
            assert steps - (switches[-1] if switches.size else 0) <= shortest + more


@pytest.mark.parametrize("dwell", [(14.0, 14.0), (25.0, 25.0)])
def test_dwell_stays_in_range_where_it_is_no_multiple_of_the_sampling_time(dwell):
    segments = draw(Mprs((0.0,), (1.0,), dwell), 1000)
    held = np.diff(np.append(segments.starts, 1000)) * TS
    assert held.max() <= dwell[1] + TS


def test_the_same_seed_gives_the_same_signal_and_another_another():
    mprs = Mprs((0.0, 1.0), (1.0, 2.0))
    one, same, other = (draw(mprs, 1000, seed).signal(1000) for seed in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_law_is_uniform_in_level_and_dwell():
    segments = draw(Mprs((-1.0,), (3.0,), (100.0, 500.0)), 60_000)
    held = np.diff(segments.starts) * TS
    n = len(held)
    assert abs(segments.levels.mean() - 1.0) < 4 * 4 / np.sqrt(12 * n)  # four standard deviations
    assert abs(held.mean() - 300.0) < 4 * 400 / np.sqrt(12 * n)
    assert (held.min(), held.max()) == (100.0, 500.0)


def test_inputs_switch_independently():
    signal = draw(Mprs((0.0, 0.0), (1.0, 1.0), (100.0, 300.0)), 5000).signal(5000)
    first, second = (set(np.flatnonzero(np.diff(column))) for column in signal.T)
    assert len(first) > 200
    assert len(second) > 200
    assert len(first & second) < len(first) / 4
    assert abs(np.corrcoef(signal.T)[0, 1]) < 0.2


def test_segments_hold_until_the_next_start():
    segments = Segments(np.array([0, 2, 5]), np.array([[1.0], [2.0], [3.0]]))
    assert segments.signal(7).ravel().tolist() == [1, 1, 2, 2, 2, 3, 3]


def test_steps_are_a_schedule_in_seconds():
    steps = Steps((0.0, 20.0, 50.0), [1.0, 2.0, 3.0])
    assert steps.signal(7, TS).ravel().tolist() == [1, 1, 2, 2, 2, 3, 3]
    assert np.array_equal(steps.draw(None, 7, TS).signal(7), steps.signal(7, TS))
    assert Steps((0.0,), [[1.0, 2.0]]).signal(2, TS).tolist() == [[1, 2], [1, 2]]


def test_an_own_signal_comes_back_as_it_is(rng):
    for Ts in (10.0, 0.1):
        values = rng.normal(size=(700, 2))
        assert np.array_equal(own_signal(values, Ts).signal(700, Ts), values)
    assert own_signal([1.0, 2.0], TS).signal(3, TS).tolist() == [[1], [2], [2]]


def test_descriptions_rebuild_the_class():
    mprs = Mprs((0,), (1,), (30, 60))
    assert mprs.describe() == {
        "class": "Mprs",
        "low": (0.0,),
        "high": (1.0,),
        "dwell": (30.0, 60.0),
    }
    steps = Steps((0, 5), [1, 2])
    assert steps.describe()["times"] == (0.0, 5.0)
    assert steps.describe()["levels"].tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Mprs((1.0,), (0.0,)),
            r"Mprs: low \(1.0,\) must lie below high \(0.0,\), one pair per input",
        ),
        (lambda: Mprs((0.0,), (1.0, 2.0)), "one pair per input"),
        (lambda: Mprs((), ()), "one pair per input"),
        (lambda: Mprs((float("nan"),), (1.0,)), "must lie below"),
        (
            lambda: Mprs((0.0,), (1.0,), (0.0, 10.0)),
            r"Mprs: dwell \(0.0, 10.0\) must be \(shortest, longest\)",
        ),
        (lambda: Mprs((0.0,), (1.0,), (20.0, 10.0)), "dwell"),
        (lambda: Mprs((0.0,), (1.0,), (20.0,)), "dwell"),
        (lambda: Steps((0.0, 1.0), [1.0]), "Steps: 2 times need as many levels, got 1"),
        (lambda: Steps((), []), "Steps: 0 times need"),
        (
            lambda: Steps((1.0, 2.0), [1.0, 2.0]),
            r"Steps: times must start at 0 s and rise, got \[1.0, 2.0\]",
        ),
        (lambda: Steps((0.0, 2.0, 2.0), [1.0, 2.0, 3.0]), "must start at 0 s and rise"),
    ],
)
def test_misuse_is_named(make, words):
    with pytest.raises(InputError, match=words):
        make()
