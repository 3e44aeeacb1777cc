"""The fast engine: a converged plan is the optimum, and a plan of any budget is admissible and
costs no more than the one before."""

from dataclasses import replace

import numpy as np
import pytest
from builders import released_of, stable_model
from hypothesis import given, settings, strategies as st
from optimum import KICK, PROBLEMS, RAMP, Y_REST, all_at_once, compared, not_idle
from tolerances import IPOPT_INPUT, ROUND_OFF

from lstm_mpc.control.controller import OPTIMAL, Status
from lstm_mpc.control.engines import sqp
from lstm_mpc.control.engines.dompc import DoMpc
from lstm_mpc.control.engines.qp import ACTIVE, CAPPED
from lstm_mpc.control.engines.sqp import Condensed, Sample, SolverOptions, Sqp
from lstm_mpc.control.limits import Limits, moves_of
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.model.input_delays import late
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import simulate

AGREE = 1e-8  # of the input span: two solvers of one program, the plain one with tolerance 1e-12
MIMO = {
    "all at once": all_at_once(),
    "cheap violations": all_at_once(violation_weight=0.5),
    "two blocked inputs": all_at_once(blocks=(1, 1, 2, 3)),
    "a target": all_at_once(input_target=[1.6, np.nan], input_weight=[0.02, 0.3]),
    "targets and blocks": all_at_once(
        blocks=(1, 1, 2), input_target=[1.6, 3.0], input_weight=[0.02, 0.01]
    ),
    "slow down": all_at_once(max_move=[0.3, np.inf], max_move_down=[0.04, 0.06]),
    "blocks that end before the horizon": all_at_once(blocks=(2, 1), max_move=np.inf),
    "late outputs": all_at_once(dead_time=20.0),
    "no preview": all_at_once(preview=False),
    "a free input": all_at_once(move_penalty=[0.0, 0.001]),
    "one sample": all_at_once(horizon=1),
}


def beside_plain(item, options, **qp_iterations):
    """The engine and one of its steps beside the plain program."""
    controller = Sqp(item, ControlProblem(**options | qp_iterations))
    if len(item.model.inputs) == 1:
        return controller, compared(controller, [7.0], [15.6], [7.6], 0.05)
    return controller, compared(
        controller, Y_REST, [1.0, 4.0], RAMP[: controller.problem.ahead(item.model) + 1], KICK
    )


def agree(controller, found):
    span, acting = (
        controller.limits.u_high - controller.limits.u_low,
        len(found.plan) - len(controller.observer.line.past),
    )
    assert found.move.flags == OPTIMAL
    np.testing.assert_allclose(found.plan[:acting] / span, found.best[:acting] / span, atol=AGREE)
    assert found.move.cost == pytest.approx(found.cost, rel=1e-9, abs=1e-9)


def admissible(limits, plan, before):
    inside = (limits.u_low - ROUND_OFF <= plan) & (plan <= limits.u_high + ROUND_OFF)
    moves = moves_of(plan, before)
    kept = (moves <= limits.max_move + ROUND_OFF) & (-moves <= limits.max_move_down + ROUND_OFF)
    return inside.all() and kept.all()


# -- the optimum -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", PROBLEMS.values(), ids=PROBLEMS)
def test_a_step_is_the_optimum_of_the_stated_problem(released, options):
    controller, found = beside_plain(released, options)
    agree(controller, found)
    not_idle(options, found, ROUND_OFF)


@pytest.mark.parametrize(("name", "options"), MIMO.items(), ids=MIMO)
def test_a_step_is_the_optimum_with_two_inputs_two_outputs_and_two_layers(
    mimo, monkeypatch, name, options
):
    monkeypatch.setattr(
        Condensed, "shift", lambda _, active_set: active_set
    )  # as the solve left them
    controller, found = beside_plain(mimo, options)
    agree(controller, found)
    starts = list(controller.limits.starts)
    assert np.array_equal(
        found.plan, np.repeat(found.plan[starts], np.diff(starts, append=len(found.plan)), axis=0)
    )
    assert found.move.cost == controller.limits.cost(
        found.move.predicted, found.references, found.plan, found.before
    )
    bounds, rates, soft = np.split(controller._marks, [2 * 2 * len(starts), 4 * 2 * len(starts)])
    assert ACTIVE in rates or name == "blocks that end before the horizon"
    if name == "all at once":
        assert ACTIVE in bounds
        assert ACTIVE in soft
    if name == "cheap violations":
        assert CAPPED in soft


def test_the_engines_agree_on_blocks(mimo):
    options = ControlProblem(**all_at_once(blocks=(1, 1, 2, 3)))
    one, other = (
        compared(engine(mimo, options), Y_REST, [1.0, 4.0], RAMP, KICK) for engine in (Sqp, DoMpc)
    )
    np.testing.assert_allclose(one.plan, other.plan, atol=IPOPT_INPUT)
    assert (np.abs(np.diff(one.plan, axis=0)).max(axis=1) > IPOPT_INPUT).nonzero()[0].tolist() == [
        0,
        1,
        3,
    ]


@pytest.mark.parametrize(
    "options",
    [MIMO["all at once"], MIMO["two blocked inputs"], all_at_once(dead_time=20.0, preview=False)],
)
def test_a_step_is_the_optimum_under_unequal_delays(late_mimo, options):
    controller, found = beside_plain(late_mimo, options)
    agree(controller, found)
    assert len(controller.observer.line.past) == 2


def test_a_step_is_the_optimum_under_a_delay(late_siso):
    agree(*beside_plain(late_siso, PROBLEMS["rates"]))


@pytest.mark.parametrize(
    "changed",
    [
        "move_penalty",
        "output_weight",
        "max_move",
        "max_move_down",
        "violation_weight",
        "input_target",
        "input_weight",
    ],
)
def test_a_wrong_program_would_be_seen(mimo, changed):
    """Must fail: the plain program with a number that is one per cent off."""
    resting = {"input_target": [1.6, 4.2], "input_weight": 0.02}
    resting = resting if changed.startswith("input") else {}
    controller = Sqp(mimo, ControlProblem(**all_at_once(violation_weight=0.5, **resting)))
    other = replace(controller.limits, **{changed: getattr(controller.limits, changed) * 1.01})
    found = compared(controller, Y_REST, [1.0, 4.0], RAMP, KICK, limits=other)
    assert np.abs(found.plan - found.best).max() > 100 * AGREE


@pytest.mark.parametrize("name", [*PROBLEMS, *MIMO])
def test_a_second_solve_from_the_solution_takes_one_pass(released, mimo, monkeypatch, name):
    # the same sample once more, not the next
    monkeypatch.setattr(Condensed, "shift", lambda _, active_set: active_set)
    controller, found = (
        beside_plain(mimo, MIMO[name]) if name in MIMO else beside_plain(released, PROBLEMS[name])
    )
    chi, before = controller.observer.chi, controller._before
    controller._plan = first = controller._solve(found.references).plan
    assert controller.observer.chi is chi
    assert controller._before is before
    again = controller._solve(found.references)
    assert (again.iterations, again.flags) == (1, OPTIMAL)
    np.testing.assert_allclose(again.plan, first, atol=10 * AGREE)


@pytest.mark.parametrize(("target", "rests"), [(None, False), ([np.nan, 4.5], True)])
def test_an_input_that_outputs_leave_free_comes_to_rest_at_its_target(target, rests):
    """One output, two inputs: where they rest depends on where they began, unless one is told."""
    item = released_of(stable_model(0, nu=2))
    weight = 0.0 if target is None else 1e-3
    problem = ControlProblem(
        horizon=15, output_weight=100.0, move_penalty=0.01, input_target=target, input_weight=weight
    )
    core, ends = item.model.core, []
    for start in ([0.0, 2.0], [2.0, 6.0]):
        controller, u = Sqp(item, problem), np.array(start)
        chi = rest(core, u)
        controller.reset(np.asarray(core.output(chi)).ravel(), u)
        for _ in range(100):
            y = np.asarray(core.output(chi)).ravel()
            u = controller.step(y, [-0.113]).u
            chi = np.asarray(core.step(chi, u, np.zeros(0))).ravel()
        ends.append(u)
        assert y == pytest.approx([-0.113], abs=1e-6)  # without an offset
    assert (abs(ends[0][1] - ends[1][1]) < 1e-6) == rests
    if rests:
        assert ends[0][1] == pytest.approx(4.5, abs=1e-6)


# -- any budget ------------------------------------------------------------------------------------

BUDGETS = [
    SolverOptions(sqp_iterations=1),
    SolverOptions(sqp_iterations=1, qp_iterations=1, line_search_steps=0),
    SolverOptions(sqp_iterations=2, qp_iterations=3),
    SolverOptions(sqp_iterations=3, line_search_steps=1),
]


@pytest.fixture(scope="module")
def engines(mimo):
    """One engine per budget, and what it sees when it solves."""
    made = []
    for number, solver in enumerate(BUDGETS):
        qp_iterations = {"blocks": (1, 2)} if number == 1 else {}
        made.append(
            Sqp(
                mimo,
                ControlProblem(
                    **all_at_once(horizon=6, preview=False, violation_weight=2.0, **qp_iterations),
                    dead_time=10.0,
                ),
                solver,
            )
        )
    return made


def watched_step(engine, y, reference):
    """A step, the plan it came from, and what the shifted plan of the sample before would have
    cost."""
    seen, solve = {}, engine._solve

    def _solve(references):
        seen["shifted"] = engine.limits.cost(
            engine._predict(engine._plan)[0], references, engine._plan, engine._before
        )
        seen["solution"] = solve(references)
        return seen["solution"]

    engine._solve = _solve
    move = engine.step(y, reference)
    engine._solve = solve
    return move, seen["solution"].plan, seen["shifted"]


wild = st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))


@pytest.mark.parametrize("qp_iterations", [1, 4, 9, 100])
def test_a_plan_that_moves_little_in_real_time_costs_no_more_either(mimo, qp_iterations):
    """Narrow rates, flat costs, and a step within the tolerance, mostly not solved to its end."""
    tight = all_at_once(
        preview=False, max_move=[0.06, 0.1], move_penalty=[0.0, 1e-5], output_weight=4000.0
    )
    engine, rng = (
        Sqp(
            mimo,
            ControlProblem(**tight),
            SolverOptions(sqp_iterations=1, qp_iterations=qp_iterations, tolerance=0.3),
        ),
        np.random.default_rng(0),
    )
    for _ in range(8):
        engine.reset(Y_REST, [1.0, 4.0])
        for _ in range(8):
            move, _, shifted = watched_step(
                engine, Y_REST + rng.normal(0, 0.02, 2), Y_REST + rng.normal(0, 0.02, 2)
            )
            assert move.cost <= shifted + ROUND_OFF * (1 + shifted)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    number=st.integers(0, len(BUDGETS) - 1),
    samples=st.lists(st.tuples(wild, wild), min_size=1, max_size=6),
    corrupt=st.integers(0, 9),
)
# R1, R8
def test_every_plan_is_admissible_and_costs_no_more_than_the_shifted_one(
    engines, number, samples, corrupt
):
    engine = engines[number]
    engine.reset(Y_REST, [1.0, 4.0])
    for y, reference in samples:
        if corrupt:  # a guess of anything is as good as another
            engine._marks = np.random.default_rng(corrupt).integers(
                0, 2 + corrupt, engine._marks.shape
            )
        before = engine._before
        move, plan, shifted = watched_step(engine, Y_REST + y, Y_REST + reference)
        assert not move.flags & ~Status.BUDGET
        assert admissible(engine.limits, plan, before)
        assert (engine.limits.u_low <= move.u).all()
        assert (move.u <= engine.limits.u_high).all()
        assert move.cost <= shifted + ROUND_OFF * (1 + shifted)


def test_without_the_check_of_the_true_cost_plans_get_worse(mimo, monkeypatch):
    """Must fail: every step is taken, whatever it does to the cost."""
    monkeypatch.setattr(sqp, "_ROUNDING", np.inf)
    engine = Sqp(
        mimo,
        ControlProblem(**all_at_once(horizon=6, preview=False)),
        SolverOptions(sqp_iterations=1, qp_iterations=3),
    )
    engine.reset(Y_REST, [1.0, 4.0])
    rng, worse = np.random.default_rng(0), 0
    for _ in range(40):
        move, _, shifted = watched_step(
            engine, Y_REST + rng.uniform(-0.3, 0.3, 2), Y_REST + rng.uniform(-0.3, 0.3, 2)
        )
        worse += move.cost > shifted + ROUND_OFF * (1 + shifted)
    assert worse > 0


@pytest.mark.parametrize(
    ("solver", "flags", "sqp_iterations"),
    [
        (SolverOptions(), OPTIMAL, None),
        (SolverOptions(sqp_iterations=1), OPTIMAL, 1),  # one pass is all that real time asks
        (SolverOptions(sqp_iterations=2), Status.BUDGET, 2),
        (SolverOptions(sqp_iterations=1, qp_iterations=1), Status.BUDGET, 1),
    ],
)
# R9
def test_a_budget_that_ran_out_is_told(mimo, solver, flags, sqp_iterations):
    engine = Sqp(mimo, ControlProblem(**all_at_once()), solver)
    engine.reset(Y_REST, [1.0, 4.0])
    move = engine.step(Y_REST + 3 * KICK, RAMP)
    assert move.flags == flags
    assert move.iterations == sqp_iterations or (sqp_iterations is None and move.iterations > 2)


def test_a_step_that_cannot_be_shortened_enough_is_told(mimo, monkeypatch):
    engine = Sqp(mimo, ControlProblem(**all_at_once()), SolverOptions(line_search_steps=0))
    engine.reset(Y_REST, [1.0, 4.0])
    # worse
    monkeypatch.setattr(
        Condensed,
        "simulate",
        lambda self, chi, v: (self.states(chi, v), np.full((self._N, self._ny), 1e3)),
    )
    move = engine.step(Y_REST, RAMP)
    assert move.flags == Status.BUDGET
    assert move.u.tolist() == [1.0, 4.0]  # the plan it had


@pytest.mark.parametrize("seed", range(3))
def test_a_corrupt_guess_changes_nothing_but_the_work(mimo, seed):
    """Marks of any value anywhere: hard rows that yield, both sides of a bound at once, numbers
    that mean nothing."""
    rng = np.random.default_rng(seed)
    for name in (
        "all at once",
        "cheap violations",
        "two blocked inputs",
        "blocks that end before the horizon",
    ):
        options = MIMO[name]
        clean, corrupt = (
            Sqp(mimo, ControlProblem(**options), SolverOptions(qp_iterations=1000))
            for _ in range(2)
        )
        for engine in (clean, corrupt):
            engine.reset(Y_REST, [1.0, 4.0])
        for _ in range(3):
            corrupt._marks = rng.integers(0, rng.choice([3, 256]), corrupt._marks.shape)
            y = Y_REST + rng.normal(0, 0.01, 2)
            moves = [engine.step(y, RAMP) for engine in (clean, corrupt)]
            assert [move.flags for move in moves] == [OPTIMAL, OPTIMAL]
            np.testing.assert_allclose(moves[0].u, moves[1].u, atol=10 * AGREE)


def test_a_long_step_in_real_time_is_followed_by_a_second_and_no_short_one(mimo):
    costs, problem = [], ControlProblem(**all_at_once(max_move=np.inf, preview=False))
    for iterations, tolerance in ((1, 0.03), (2, 0.03), (30, 1e-9)):
        engine = Sqp(mimo, problem, SolverOptions(sqp_iterations=iterations, tolerance=tolerance))
        engine.reset(Y_REST, [1.0, 4.0])
        move = engine.step(Y_REST, RAMP[-1])
        costs.append(move.cost)
        assert iterations == 30 or move.iterations == iterations
        for _ in range(20):
            move = engine.step(Y_REST, RAMP[-1])
        assert iterations == 30 or (move.iterations, move.flags) == (1, OPTIMAL)
    first, second, least = costs
    assert least < second < first
    assert second - least < 0.5 * (first - least)


@pytest.mark.parametrize(("iterations", "flags"), [(1, Status.BUDGET), (30, OPTIMAL)])
def test_a_step_that_was_halved_is_told_unless_another_follows(
    mimo, monkeypatch, iterations, flags
):
    """The first trial costs more than it does."""
    engine = Sqp(mimo, ControlProblem(**all_at_once()), SolverOptions(sqp_iterations=iterations))
    engine.reset(Y_REST, [1.0, 4.0])
    cost, asked = Condensed.cost, []

    def dear(*arguments):
        asked.append(None)
        value, roundoff = cost(*arguments)
        return (np.inf if len(asked) == 2 else value), roundoff

    monkeypatch.setattr(Condensed, "cost", dear)
    assert engine.step(Y_REST + 3 * KICK, RAMP).flags == flags
    assert len(asked) > 2


def test_a_small_step_of_a_program_that_was_not_solved_to_its_end_is_told(mimo):
    """It says nothing of the optimum: its size is not taken for the distance."""
    rough = SolverOptions(sqp_iterations=1, qp_iterations=1, tolerance=0.9)
    engine = Sqp(mimo, ControlProblem(**all_at_once()), rough)
    engine.reset(Y_REST, [1.0, 4.0])
    assert engine.step(Y_REST + 3 * KICK, RAMP).flags == Status.BUDGET


def test_real_time_ends_where_the_converged_engine_does(plant, released):
    scenario = Scenario("step", Steps((0.0,), [7.6]), 600.0)
    runs = [
        simulate_closed_loop(
            plant,
            Sqp(released, ControlProblem(horizon=12), SolverOptions(sqp_iterations=n)),
            scenario,
            u_start=[15.6],
        )
        for n in (1, 30)
    ]
    assert {move.iterations for move in runs[0].moves} == {1}
    np.testing.assert_allclose(runs[0].u[-1], runs[1].u[-1], atol=1e-6)
    np.testing.assert_allclose(runs[0].u, runs[1].u, atol=0.05 * 4.5)  # and never far on the way


@pytest.mark.parametrize(
    "wrong",
    [
        {"sqp_iterations": 0},
        {"qp_iterations": 0},
        {"line_search_steps": -1},
        {"tolerance": 1.0},
        {"tolerance": np.nan},
    ],
)
def test_a_budget_that_cannot_be_is_an_input_error(wrong):
    with pytest.raises(
        InputError,
        match=(
            "solver: sqp_iterations and qp_iterations must be 1 or more, line_search_steps 0 or"
            " more, tolerance"
        ),
    ):
        SolverOptions(**wrong)


# -- the condensed program -------------------------------------------------------------------------


def condensed(seed, nx, starts, horizon, delays=()):
    model, rng = replace(stable_model(seed, 2, nx, 3), delays=delays), np.random.default_rng(seed)
    ends = {"y_low": np.array([-0.1, -1.0, -np.inf]), "y_high": np.array([0.1, np.inf, -2.0])}
    limits = Limits(
        u_low=model.u_low,
        u_high=model.u_high,
        max_move=np.array([1.0, np.inf]),
        max_move_down=np.array([0.5, 2.0]),
        u_safe=model.u_low,
        sensor_low=np.full(3, -np.inf),
        sensor_high=np.full(3, np.inf),
        output_weight=rng.uniform(0, 2, 3),
        move_penalty=rng.uniform(0, 2, 2),
        violation_weight=np.array([3.0, 1.0, 5.0]),
        input_target=np.array([0.5, 4.0]),
        input_weight=np.array([0.0, 0.2]),
        starts=starts,
        **ends,
    )
    return model, limits, Condensed(model, limits, horizon), rng


@pytest.mark.parametrize("delays", [(), (0, 2), (4, 1)])
@pytest.mark.parametrize(
    ("nx", "starts"), [((3,), (0, 1, 2, 3, 4, 5)), ((2, 3), (0, 1, 3)), ((3, 2), (0,))]
)
def test_its_gains_are_the_derivatives_of_its_outputs(nx, starts, delays):
    model, _, program, rng = condensed(1, nx, starts, 6, delays)
    chi, v, eps, none = (
        rng.uniform(-0.5, 0.5, model.sizes.n),
        rng.uniform(-1, 1, (len(starts), 2)),
        1e-6,
        np.zeros(2),
    )
    sample = Sample(
        chi,
        0.1 * rng.normal(0, 1, 2),
        rng.uniform(-1, 1, (int(model.uneven_delays.max()), 2)),
        none,
        np.zeros((6, 3)),
        none,
    )

    def outputs(v):
        return program.simulate(chi, program.inputs(v, sample))[1]

    stage = program.prepare(chi, program.inputs(v, sample), np.zeros(program.rows, dtype=int))
    gains = stage.normals[8 * len(starts) : 8 * len(starts) + 18]
    np.testing.assert_allclose(stage.y, outputs(v), rtol=ROUND_OFF)
    for variable in range(v.size):
        nudge = eps * np.eye(v.size)[variable].reshape(v.shape)
        np.testing.assert_allclose(
            gains[:, variable],
            (outputs(v + nudge) - outputs(v - nudge)).ravel() / (2 * eps),
            atol=1e-8,
        )


@pytest.mark.parametrize("delays", [(3, 3), (0, 2), (5, 1)])
def test_late_inputs_are_those_of_the_whole_model_from_the_sample_on_that_the_quickest_reaches(
    delays,
):
    model, _, program, rng = condensed(1, (3,), (0, 1, 3), 6, delays)
    common, u = min(delays), rng.uniform(model.u_low, model.u_high, (20, 2))
    u[14:] = u[[14, 15, 15, 17, 17, 17]]  # in blocks
    ahead = simulate(model.core, late(u, model.uneven_delays), x0=rest(model.core, u[0])).chi[14]
    past = model.scaling.u_in(u[14 - max(delays) + common : 14])
    sample = Sample(ahead, np.zeros(2), past, np.zeros(2), np.zeros((6, 3)), np.zeros(3))
    _, y = program.simulate(ahead, program.inputs(model.scaling.u_in(u[[14, 15, 17]]), sample))
    whole = simulate(
        model.system,
        np.vstack([u, np.zeros((common + 1, 2))]),
        x0=model.state(rest(model.core, u[0]), u[0]),
    )
    np.testing.assert_allclose(model.scaling.y_out(y), whole.y[15 + common :], atol=ROUND_OFF)


@pytest.mark.parametrize("starts", [(0, 1, 2, 3, 4, 5), (0, 1, 3), (0,)])
def test_its_cost_is_that_of_the_problem_in_normalised_units(starts):
    model, limits, program, rng = condensed(2, (3,), starts, 6)
    for _ in range(20):
        v, before, y = (
            rng.uniform(-1, 1, (len(starts), 2)),
            rng.uniform(-1, 1, 2),
            rng.normal(0, 1, (6, 3)),
        )
        reference, offset, scaling = rng.normal(0, 1, (6, 3)), rng.normal(0, 1, 3), model.scaling
        sample = Sample(
            np.zeros(model.sizes.n),
            np.zeros(2),
            np.zeros((0, 2)),
            before,
            scaling.y_in(reference - offset),
            offset / scaling.y_span,
        )
        outputs = np.vstack([np.zeros(3), scaling.y_out(y) + offset])
        plan = np.repeat(scaling.u_out(v), np.diff(starts, append=6), axis=0)
        asked = limits.cost(
            outputs, np.vstack([np.zeros(3), reference]), plan, scaling.u_out(before)
        )
        assert program.cost(y, v, sample)[0] == pytest.approx(asked, rel=ROUND_OFF)


def test_a_guess_is_shifted_by_one_sample_and_held_at_its_end():
    # blocks of 1, 2 and 1 samples: 6 variables, 12 outputs
    _, _, program, _ = condensed(0, (3,), (0, 1, 3), 4)
    bounds = np.array([2, 3, 2, 3, 4, 5])  # block 0 becomes 1, block 1 goes on, block 2 is the last
    outputs = np.array([3, 4, 5, 6, 7, 8, 9, 10, 11, 9, 10, 11])
    expected = [
        *(bounds + 6 * kind for kind in range(4)),
        *(24 + outputs + 12 * side for side in range(2)),
    ]
    assert np.array_equal(program.shift(np.arange(program.rows)), np.concatenate(expected))
