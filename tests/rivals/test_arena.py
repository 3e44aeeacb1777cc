"""The arena: scenarios that can be met, the same runs for everyone, and the figures that come of
them."""

from itertools import product

import numpy as np
import pytest
from builders import first_order, limits_of
from rivals.arena import (
    ACID,
    BUFFER,
    CONDITIONS,
    SEEDS,
    TRACKING,
    Entry,
    check_reach,
    compete,
    ratio,
    standings,
    table,
)
from rivals.arena_figure import plot_arena
from rivals.pi import Pi

from lstm_mpc.control.controller import OPTIMAL, ControlAction
from lstm_mpc.control.limits import limits
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.plants.ph import Plant

PROBLEM = ControlProblem(max_move=1.0, y_low=5.8, y_high=9.2)
U_START = [15.55]
BY_NAME = {condition.name: condition for condition in CONDITIONS}


def plant_of(scenario):
    return Plant(uncertain=scenario.mismatch > 0).system()


@pytest.fixture(scope="module")
def bounds(released):
    return limits(released, PROBLEM)


# -- what is asked ---------------------------------------------------------------------------------


def test_the_scenarios_as_they_are_written_down():
    assert [float(v[0]) for v in TRACKING.setpoint.levels] == [
        7.0,
        7.5,
        8.2,
        8.7,
        7.6,
        6.5,
        6.2,
        7.0,
    ]
    assert BUFFER.disturbances.levels.tolist() == [
        [16.6, 0.55],
        [16.6, 0.40],
        [16.6, 0.70],
        [16.6, 0.55],
    ]
    assert ACID.disturbances.levels.tolist() == [
        [16.6, 0.55],
        [16.2, 0.55],
        [17.0, 0.55],
        [16.6, 0.55],
    ]
    assert [scenario.duration for scenario in (TRACKING, BUFFER, ACID)] == [3600.0, 3000.0, 3000.0]


def test_a_condition_stands_in_its_scenarios():
    every = BY_NAME["all"].scenarios
    assert [(s.name, s.seed) for s in every] == [
        (name, seed) for seed, name in product(SEEDS, ("tracking", "buffer", "acid"))
    ]
    assert {(s.noise, s.delay, s.valve_lag, s.mismatch) for s in every} == {
        (0.02, 30.0, 20.0, 0.02)
    }
    # no chance, one run
    assert [(s.name, s.seed) for s in BY_NAME["ideal"].scenarios] == [
        ("tracking", 1),
        ("buffer", 1),
        ("acid", 1),
    ]


@pytest.mark.parametrize("name", ["ideal", "other plants"])  # of the others, none has another plant
def test_every_setpoint_is_within_reach(bounds, name):
    scenarios = BY_NAME[name].scenarios
    check_reach(plant_of(scenarios[0]), scenarios, limits=bounds, u_start=U_START)


def test_what_is_out_of_reach_is_refused(bounds):
    """Must fail: a plant that does not get there."""
    scenario, words = (
        BY_NAME["other plants"].on(TRACKING, seed=7),
        r"the setpoint \[8\.7\] is out of reach, the plant rests in \[5\.91.*8\.63.*\]",
    )
    with pytest.raises(InputError, match=r"arena: scenario 'tracking', seed 7: " + words):
        compete(
            plant_of, {}, limits=bounds, u_start=U_START, scenarios_of=lambda condition: [scenario]
        )


# -- who runs --------------------------------------------------------------------------------------


class Holds:
    """A seer that leaves the input where it is, and counts its runs."""

    runs = 0

    def reset(self, y, u):
        Holds.runs += 1
        self.u = np.array(u)

    def see(self, chi, d, position):
        pass

    def step(self, y, reference):
        return ControlAction(self.u, OPTIMAL, 0, 0.0, np.zeros((1, 1)), np.zeros(1), 0.001)


def few(condition):
    """Two short scenarios of a plant of first order, with two seeds."""
    steps = [
        Scenario(name, Steps((0.0,), [level]), 50.0) for name, level in (("up", 1.0), ("down", 0.5))
    ]
    return [condition.on(scenario, seed=seed) for seed in (1, 2) for scenario in steps]


def test_everyone_runs_the_same_and_a_seer_only_once():
    conditions, bounds, told = (
        [BY_NAME[name] for name in ("ideal", "noise", "slow valve")],
        limits_of(),
        [],
    )
    makers = {
        "PI": lambda condition: Pi(0.5, 20.0, Ts=10.0, limits=bounds),
        "away": lambda condition: None,
        "Ideal": lambda condition: Holds(),
    }
    Holds.runs, options = (
        0,
        {
            "limits": bounds,
            "u_start": [1.0],
            "conditions": conditions,
            "on_run": told.append,
        },
    )
    entries = compete(lambda scenario: first_order(0.5, 1.0), makers, **options, scenarios_of=few)
    assert told == list(entries)
    assert {e.controller for e in entries} == {"PI", "Ideal"}
    assert [
        sum(e.controller == "PI" and e.condition == c.name for e in entries) for c in conditions
    ] == [4, 4, 4]
    assert [
        sum(e.controller == "Ideal" and e.condition == c.name for e in entries) for c in conditions
    ] == [2, 2, 2]
    assert {e.seed for e in entries if e.controller == "Ideal"} == {1}
    assert Holds.runs == 4  # noise is nothing to it, the valve is
    assert all(e.figures["inadmissible"] == 0 for e in entries)


# -- what came of it -------------------------------------------------------------------------------


def entry(controller, scenario, seed, iae, *, condition="noise", travel=1.0, settling=20.0):
    figures = {
        "iae": iae,
        "travel": travel,
        "overshoot": 0.1 * seed,
        "excess": 0.0,
        "inadmissible": 0,
        "flagged": seed,
        "steps": [{"length": 100.0, "settling": settling}],
        "solve_ms": {"median": 1.0 * seed, "max": 2.0 * seed},
    }
    return Entry(condition, controller, scenario, seed, figures)


ENTRIES = (
    entry("PI", "tracking", 1, 100.0, travel=4.0),
    entry("PI", "buffer", 1, 20.0, travel=1.0),
    entry("PI", "tracking", 2, 300.0, travel=4.0, settling=None),
    entry("PI", "buffer", 2, 40.0, travel=1.0),
    entry("Ideal", "tracking", 1, 50.0, travel=1.5),
    entry("Ideal", "buffer", 1, 10.0, travel=1.0),
)


def test_a_ratio_is_over_the_runs_that_both_have():
    assert ratio(ENTRIES, "Ideal", "PI", condition="noise") == 0.5
    assert ratio(ENTRIES, "Ideal", "PI", condition="noise", figure="travel") == 0.5
    assert ratio(ENTRIES, "PI", "Ideal", condition="noise", scenario="tracking") == 2.0
    assert ratio(ENTRIES, "PI", "nobody", condition="noise") is None
    assert ratio(ENTRIES, "PI", "Ideal", condition="ideal") is None


def test_the_table():
    pi, ideal = standings(ENTRIES)
    assert (pi["total"], pi["tracking"], pi["buffer"], pi["travel"]) == (230.0, 200.0, 30.0, 5.0)
    # never settled: its whole length
    assert (pi["settling"], pi["overshoot"], pi["flagged"], pi["max ms"]) == (40.0, 0.2, 6, 4.0)
    assert (ideal["÷ PI"], pi["÷ Ideal"]) == (0.5, 2.0)
    assert table(standings(ENTRIES[:1])).splitlines() == [
        (
            "| condition | controller | total | tracking | ÷ PI | ÷ Ideal | travel ÷ PI | travel |"
            " overshoot | settling | excess | inadmissible | flagged | median ms | max ms |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        (
            "| noise | PI | 100.0 | 100.0 | 1.00 | – | 1.00 | 4.0 | 0.10 | 20 | 0.00 | 0 | 1 |"
            " 1.000 | 2.00 |"
        ),
    ]


def test_the_figure():
    above, below = plot_arena(standings(ENTRIES), unit="pH·s").axes
    for axis in (above, below):
        assert [(patch.get_y(), patch.get_height()) for patch in axis.patches] == [
            (1.0, -0.5)
        ]  # hangs from PI's line
    assert [label.get_text() for label in below.get_xticklabels()] == ["noise\n230 pH·s"]
    assert [text.get_text() for text in above.get_legend().get_texts()] == [
        "PI, tuned for the condition",
        "Ideal",
    ]
