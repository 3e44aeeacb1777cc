from dataclasses import replace

import numpy as np
import pytest
from builders import limits_of
from tolerances import IPOPT_INPUT, OFFSET, ROUND_OFF

from lstm_mpc.control.controller import OPTIMAL, ControlAction, Status
from lstm_mpc.control.engines.dompc import DoMpc
from lstm_mpc.control.engines.sqp import Sqp
from lstm_mpc.control.limits import limits
from lstm_mpc.control.loop_metrics import metrics
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Probe, Scenario, Valve, draw_scenario
from lstm_mpc.control.simulation import Run, simulate_closed_loop
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.ph import Plant
from lstm_mpc.plants.system import simulate

CONSTANT = Scenario("constant", Steps((0.0,), [7.0]), 100.0)


def move(u, flags=OPTIMAL, seconds=0.01):
    return ControlAction(np.atleast_1d(u), flags, 0, 0.0, np.zeros((1, 1)), np.zeros(1), seconds)


class Proportional:
    """A controller of one line that remembers what it was shown."""

    def reset(self, y, u):
        self.began, self.seen = (np.copy(y), np.copy(u)), []

    def step(self, y, reference):
        self.seen.append((np.copy(y), np.copy(reference)))
        return move(15.6 + 0.5 * (reference[0] - y))


# -- the loop --------------------------------------------------------------------------------------


def test_the_loop_measures_asks_and_acts_in_this_order(plant):
    steps = Steps((0.0, 50.0), [7.0, 7.5])
    disturbances = Steps((0.0, 30.0), [[16.6, 0.55], [16.0, 0.6]])
    controller, seen = Proportional(), []
    run = simulate_closed_loop(
        plant,
        controller,
        Scenario("s", steps, 120.0, disturbances),
        u_start=[15.0],
        horizon=3,
        on_step=lambda s: seen.append((s.k, s.N, s.t)),
    )
    assert run.t.tolist() == [10.0 * k for k in range(12)]
    assert seen == [(k, 12, 10.0 * k) for k in range(12)]
    assert run.reference.ravel().tolist() == [7.0] * 5 + [7.5] * 7
    assert [d.tolist() for d in run.d[[2, 3]]] == [[16.6, 0.55], [16.0, 0.6]]
    # the plant moved under what was applied, and was measured before
    again = simulate(plant, run.u, x0=rest(plant, [15.0]), disturbances=run.d)
    np.testing.assert_allclose(run.truth, again.y, rtol=ROUND_OFF)
    assert np.array_equal(run.y, run.truth)
    np.testing.assert_allclose(run.u, 15.6 + 0.5 * (run.reference - run.y), rtol=ROUND_OFF)
    # the controller began at the measurement and the input in force, and saw the coming setpoints
    assert controller.began[0] == pytest.approx(run.y[0])
    assert controller.began[1].tolist() == [15.0] == run.u_start.tolist()
    assert controller.seen[3][1].ravel().tolist() == [7.0, 7.0, 7.5, 7.5]
    assert all(len(reference) == 4 for _, reference in controller.seen)


def test_noise_is_on_the_measurement_only_and_belongs_to_the_seed(plant):
    scenario = Scenario("noisy", Steps((0.0,), [7.0]), 4000.0, noise=0.05)
    one, same, other = (
        simulate_closed_loop(plant, Proportional(), replace(scenario, seed=seed), u_start=[15.6])
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one.y, same.y)
    assert not np.array_equal(one.y, other.y)
    # four standard deviations
    assert (one.y - one.truth).std() == pytest.approx(0.05, rel=4 / np.sqrt(2 * 400))
    np.testing.assert_allclose(
        one.truth, simulate(plant, one.u, x0=rest(plant, [15.6])).y, rtol=ROUND_OFF
    )


def test_failures_are_counted(plant):
    class Sometimes(Proportional):
        def step(self, y, reference):
            done = super().step(y, reference)
            flags = {
                3: Status.SOLVE_FAILED,
                5: Status.SOLVE_FAILED | Status.SAFE_INPUT,
                6: Status.BUDGET,
            }
            return replace(done, flags=flags.get(len(self.seen), OPTIMAL))

    run = simulate_closed_loop(plant, Sometimes(), CONSTANT, u_start=[15.6])
    assert run.failures == (2, 4)
    assert run.flagged == (2, 4, 5)
    assert (metrics(run, band=0.1)["failures"], metrics(run, band=0.1)["flagged"]) == (2, 3)


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        (
            replace(CONSTANT, duration=4.0),
            "scenario 'constant': duration 4.0 s is less than one sample of 10.0 s",
        ),
        (
            replace(CONSTANT, setpoint=Steps((0.0,), [[7.0, 8.0]])),
            "scenario 'constant': 2 setpoints, 2 dist.*has 1, 2",
        ),
        (
            replace(CONSTANT, disturbances=Steps((0.0,), [16.6])),
            "1 setpoints, 1 disturbances; the plant has 1, 2",
        ),
    ],
)
def test_a_scenario_must_fit_the_plant(plant, scenario, words):
    with pytest.raises(InputError, match=words):
        simulate_closed_loop(plant, Proportional(), scenario, u_start=[15.6])


# -- offset-free -----------------------------------------------------------------------------------

MISMATCH = Scenario(
    "q1 and q2 change",
    Steps((0.0,), [7.6]),
    1200.0,
    Steps((0.0, 500.0), [[16.6, 0.55], [16.4, 0.6]]),
)


@pytest.mark.parametrize("engine", [DoMpc, Sqp])
def test_the_observer_takes_the_offset_away_on_a_plant_the_model_does_not_know(
    plant, released, engine
):
    run = simulate_closed_loop(
        plant, engine(released, ControlProblem(horizon=12)), MISMATCH, u_start=[15.6]
    )
    before, after = metrics(run, band=0.1)["steps"]
    assert run.failures == ()
    assert before["offset"] < OFFSET
    assert after["offset"] < OFFSET
    assert abs(run.moves[-1].disturbance[0]) > 10 * OFFSET  # there was something to take away
    assert ((run.u >= 12.5) & (run.u <= 17.0)).all()


def test_the_engines_run_the_same_loop(plant, released):
    runs = [
        simulate_closed_loop(
            plant, engine(released, ControlProblem(horizon=12)), MISMATCH, u_start=[15.6]
        )
        for engine in (DoMpc, Sqp)
    ]
    np.testing.assert_allclose(runs[0].u, runs[1].u, atol=IPOPT_INPUT)


def test_without_it_an_offset_stays(plant, released):
    """Must fail: an observer that hardly listens."""
    run = simulate_closed_loop(
        plant,
        Sqp(released, ControlProblem(horizon=12, observer_gain=1e-9)),
        MISMATCH,
        u_start=[15.6],
    )
    assert metrics(run, band=0.1)["steps"][-1]["offset"] > 10 * OFFSET


def test_a_known_probe_delay_is_handled(plant, released):
    scenario = Scenario("late", Steps((0.0,), [7.6]), 600.0, delay=30.0)
    runs = {
        dead: simulate_closed_loop(
            plant,
            Sqp(released, ControlProblem(horizon=12, dead_time=dead)),
            scenario,
            u_start=[15.6],
        )
        for dead in (0.0, 30.0)
    }
    assert metrics(runs[30.0], band=0.1)["offset"] < OFFSET
    assert metrics(runs[30.0], band=0.1)["iae"] < metrics(runs[0.0], band=0.1)["iae"]


def test_a_late_probe_reads_what_a_plant_with_a_delay_gives(plant, released):
    scenario = Scenario("late", Steps((0.0, 100.0), [7.0, 7.6]), 600.0, noise=0.01, seed=3)
    built_in = simulate_closed_loop(
        Plant(delay=30.0).system(),
        Sqp(released, ControlProblem(horizon=12)),
        scenario,
        u_start=[15.6],
    )
    run = simulate_closed_loop(
        plant,
        Sqp(released, ControlProblem(horizon=12)),
        replace(scenario, delay=30.0),
        u_start=[15.6],
    )
    np.testing.assert_allclose(run.y, built_in.y, atol=ROUND_OFF)
    np.testing.assert_array_equal(
        run.truth[:-3], built_in.truth[3:]
    )  # the truth is the tank's, not the probe's


def test_a_slow_valve_follows_its_command(plant):
    valve = Valve(np.array([1.0]), 20.0, 10.0)
    found = [float(valve.follow(np.array([2.0]))[0]) for _ in range(3)]
    np.testing.assert_allclose(
        found, [2 - np.exp(-0.5 * (k + 1)) for k in range(3)], rtol=ROUND_OFF
    )
    assert float(Valve(np.array([1.0]), 0.0, 10.0).follow(np.array([2.0]))[0]) == 2.0


def test_constants_are_drawn_from_the_seed_within_the_mismatch():
    plant = Plant(uncertain=True).system()
    scenario = Scenario("other", Steps((0.0,), [7.0]), 100.0, mismatch=0.02, seed=5)
    one, other = (
        draw_scenario(plant, replace(scenario, seed=seed), u_start=[15.6]).chi[-6:]
        for seed in (5, 6)
    )
    assert (np.abs(one - 1) <= 0.02).all()
    assert (one != other).all()
    np.testing.assert_array_equal(one, draw_scenario(plant, scenario, u_start=[15.6]).chi[-6:])
    with pytest.raises(InputError, match=r"'other': mismatch = 0.02 needs a plant with parameters"):
        draw_scenario(Plant().system(), scenario, u_start=[15.6])


@pytest.mark.parametrize("key", ["noise", "delay", "valve_lag", "mismatch"])
def test_a_scenario_that_cannot_be_is_refused(key):
    with pytest.raises(InputError, match=rf"'bad': {key} must be a number, not negative, got -1"):
        Scenario("bad", Steps((0.0,), [7.0]), 100.0, **{key: -1.0})


def test_a_delay_between_samples_is_refused():
    with pytest.raises(
        InputError, match=r"the probe delay 15\.0 s must be a multiple of the sampling time 10.0 s"
    ):
        Probe(15.0, 10.0)


# -- metrics ---------------------------------------------------------------------------------------


def made(truth, reference, u, *, scenario=CONSTANT, d=None, seconds=None):
    """A run put together by hand, Ts = 10 s."""
    truth, reference, u = (
        np.array(v, dtype=float).reshape(len(truth), -1) for v in (truth, reference, u)
    )
    N = len(truth)
    moves = tuple(move(0.0, seconds=s) for s in seconds or [0.01] * N)
    d = np.zeros((N, 1)) if d is None else np.array(d, dtype=float).reshape(N, 1)
    return Run(
        scenario,
        10.0,
        10.0 * np.arange(N),
        truth + 5.0,
        truth,
        reference,
        u,
        d,
        np.zeros(u.shape[1]),
        moves,
        reference[:, None],
    )


def test_the_figures_of_a_run_made_by_hand():
    truth = [7.0, 7.0, 7.5, 8.3, 8.05, 8.02, 7.0, 6.5]
    reference = [7.0, 8.0, 8.0, 8.0, 8.0, 8.0, 6.0, 6.0]
    found = metrics(
        made(truth, reference, [1, 3, 3, 2, 2, 2, 0, 0], seconds=[0.001] * 7 + [0.005]),
        band=0.1,
        tail=2,
    )
    assert found["scenario"] == "constant"
    assert found["iae"] == pytest.approx(10 * (0 + 1 + 0.5 + 0.3 + 0.05 + 0.02 + 1 + 0.5))
    assert found["travel"] == pytest.approx(1 + 2 + 1 + 2)
    rest, up, down = found["steps"]
    assert rest == {
        "t": 0.0,
        "setpoint": [7.0],
        "length": 10.0,
        "settling": 0.0,
        "overshoot": 0.0,
        "offset": 0.0,
    }
    assert (up["t"], up["setpoint"], up["length"], up["settling"]) == (10.0, [8.0], 50.0, 30.0)
    assert (up["overshoot"], up["offset"]) == (pytest.approx(0.3), pytest.approx(0.035))
    assert (down["t"], down["settling"], down["overshoot"]) == (60.0, None, 0.0)
    assert down["offset"] == found["offset"] == pytest.approx(0.75)
    assert found["overshoot"] == pytest.approx(0.3)
    assert found["solve_ms"] == {"median": pytest.approx(1.0), "max": pytest.approx(5.0)}
    assert found["failures"] == 0


def test_overshoot_downwards_counts_as_well():
    _, down = metrics(made([7.0, 7.0, 5.8, 6.0], [7.0, 6.0, 6.0, 6.0], [0] * 4), band=0.1)["steps"]
    assert down["overshoot"] == pytest.approx(0.2)


def test_a_start_away_from_the_setpoint_is_no_overshoot():
    (only,) = metrics(made([6.0, 6.8, 7.1, 7.0], [7.0] * 4, [0] * 4), band=0.1)["steps"]
    assert only["overshoot"] == pytest.approx(0.1)


def test_a_disturbance_step_begins_a_section_where_the_scenario_has_disturbances():
    disturbed = replace(CONSTANT, disturbances=Steps((0.0,), [0.0]))
    run = made([7.0, 7.0, 6.6, 7.0], [7.0] * 4, [0] * 4, scenario=disturbed, d=[0, 0, 1, 1])
    assert [step["t"] for step in metrics(run, band=0.1)["steps"]] == [0.0, 20.0]
    assert [step["settling"] for step in metrics(run, band=0.1)["steps"]] == [0.0, 10.0]
    # the largest deviation
    assert [step["overshoot"] for step in metrics(run, band=0.1)["steps"]] == [
        0.0,
        pytest.approx(0.4),
    ]
    assert len(metrics(replace(run, scenario=CONSTANT), band=0.1)["steps"]) == 1


def test_of_several_outputs_and_inputs_the_worst_counts():
    found = metrics(made([[0, 0], [1, 3]], [[0, 0], [0, 0]], [[1, 0], [1, 5]]), band=0.1)
    assert (found["iae"], found["travel"], found["offset"]) == (30.0, 5.0, 1.5)


def test_violations_are_counted_against_the_limits_that_were_given(released):
    bounds = limits(released, ControlProblem(max_move=1.0, y_low=6.0, y_high=8.0))
    run = replace(
        made([7.0, 8.25, 5.5, 7.0, 7.0], [7.0] * 5, [15.0, 16.0, 17.1, 16.5, 15.0]),
        u_start=np.array([15.5]),
    )
    found = metrics(run, band=0.1, limits=bounds)
    # 17.1 is too much and too far, the last move is too far
    assert (found["excess"], found["inadmissible"]) == (0.5, 2)
    slower = replace(bounds, max_move_down=np.array([0.5]))
    assert metrics(run, band=0.1, limits=slower)["inadmissible"] == 3  # 17.1 to 16.5 too
    sound = metrics(
        replace(run, truth=np.full((5, 1), 7.0), u=np.full((5, 1), 15.0)), band=0.1, limits=bounds
    )
    assert (sound["excess"], sound["inadmissible"]) == (0.0, 0)
    assert "excess" not in metrics(run, band=0.1)


def test_an_output_without_a_weight_is_judged_by_its_zone():
    zone = replace(
        limits_of(signals=2),
        output_weight=np.array([1.0, 0.0]),
        y_low=np.array([-np.inf, 6.0]),
        y_high=np.array([np.inf, 8.0]),
    )
    truth = [[7.0, 7.9], [7.0, 8.5], [7.0, 6.1], [7.0, 5.8], [7.0, 6.5]]
    reference = [[7.0, 1.0]] * 2 + [[7.0, 9.0]] * 3
    run = made(truth, reference, [[5.0, 5.0]] * 5)
    _, judged = metrics(run, band=0.1, limits=zone)["each"]
    assert judged["iae"] == pytest.approx(10 * (0.5 + 0.2))
    assert [s["overshoot"] for s in judged["steps"]] == pytest.approx([0.5, 0.2])
    assert [s["settling"] for s in judged["steps"]] == [None, 20.0]
    assert metrics(run, band=0.1)["each"][1]["iae"] > 20 * judged["iae"]  # by its setpoint


def test_a_seer_is_told_the_truth_before_every_step(plant):
    class Sees(Proportional):
        told = ()

        def see(self, chi, d, position):
            self.told += (
                (float(np.asarray(plant.output(chi)).item()), d.tolist(), float(position[0])),
            )

    scenario = Scenario(
        "s",
        Steps((0.0,), [7.5]),
        50.0,
        Steps((0.0, 20.0), [[16.6, 0.55], [16.0, 0.6]]),
        noise=0.1,
        delay=10.0,
        valve_lag=20.0,
    )
    controller = Sees()
    run = simulate_closed_loop(plant, controller, scenario, u_start=[15.6])
    truths, disturbances, positions = zip(*controller.told, strict=True)
    np.testing.assert_allclose(truths, run.truth[:, 0], rtol=ROUND_OFF)
    assert list(disturbances) == run.d.tolist()
    share = 1 - np.exp(-0.5)
    assert positions[0] == 15.6
    assert positions[1] == pytest.approx(15.6 + share * (run.u[0, 0] - 15.6))
