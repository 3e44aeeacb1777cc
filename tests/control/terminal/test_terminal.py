"""Targets, the terminal law and its weights, and the rule that closes plans."""

from dataclasses import replace
from pathlib import Path

import casadi as ca
import numpy as np
import pytest
from builders import released_of
from tolerances import ROUND_OFF

from lstm_mpc.control.controller import Status
from lstm_mpc.control.engines.dompc import DoMpc
from lstm_mpc.control.engines.sqp import SolverOptions, Sqp
from lstm_mpc.control.engines.supervisor import Solution, Supervisor
from lstm_mpc.control.limits import limits_of
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.terminal.target import Target, TargetFinder
from lstm_mpc.control.terminal.terminal import law_share, rate_share, terminal_of
from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest

MODELS = Path(__file__).parents[3] / "models"
FLOAT = 1e-9  # share of V by which double precision may lift it: tests/assurance knows the bound
TUNED = {
    "ph": {"move_penalty": 0.0045, "max_move": 1.0, "y_low": 5.8, "y_high": 9.2},
    "quadruple_tank": {"move_penalty": 1.0, "max_move": 0.4, "y_low": 2.0, "y_high": 18.0},
}
ONE_PASS = SolverOptions(1, 10, 1)


@pytest.fixture(scope="module", params=list(TUNED))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def passed(name):
    return released_of(Model.load(MODELS / name / "model.json"))


def problem(name, **changes):
    return ControlProblem(**{"horizon": 8, "terminal": True, **TUNED[name], **changes})


def bounds(name, passed, **changes):
    return limits_of(passed.model, problem(name, **changes))


def at_rest(model, u):
    """A steady state of the model by plain iteration, and its output."""
    chi = rest(model.core, u)
    return chi, np.asarray(model.core.output(chi)).ravel()


# -- targets ---------------------------------------------------------------------------------------


def find(model, limits, y, **changes):
    asked = {
        "disturbance": np.zeros(len(model.outputs)),
        "input_disturbance": np.zeros(len(model.manipulated)),
        "measured": np.zeros(0),
    }
    return TargetFinder(model, limits).find(np.asarray(y), **{**asked, **changes})


def test_a_setpoint_within_reach_is_met_by_the_steady_state_of_an_input(name, passed):
    model, limits = passed.model, bounds(name, passed)
    for share in (0.1, 0.5, 0.8):
        u = limits.u_low + share * (limits.u_high - limits.u_low)
        chi, y = at_rest(model, u)
        target = find(model, limits, y)
        assert target.reached
        assert target.u == pytest.approx(u, abs=1e-6)
        assert target.chi == pytest.approx(chi, abs=1e-6)
        assert target.y == pytest.approx(y, abs=1e-9)


def test_disturbances_move_the_target(name, passed):
    model, limits = passed.model, bounds(name, passed)
    u = 0.5 * (limits.u_low + limits.u_high)
    _, y = at_rest(model, u)
    off = 0.05 * np.ones(len(y))
    assert find(model, limits, y + off, disturbance=off).u == pytest.approx(u, abs=1e-6)
    w = 0.1 * np.ones(len(u))
    assert find(model, limits, y, input_disturbance=w).u == pytest.approx(u - w, abs=1e-6)


def test_a_setpoint_beyond_reach_leads_to_the_limit_and_is_flagged(name, passed):
    model, limits = passed.model, bounds(name, passed)
    _, top = at_rest(model, limits.u_high)
    target = find(model, limits, top + 5.0)
    assert not target.reached
    assert target.u == pytest.approx(limits.u_high, abs=1e-9)
    assert target.y == pytest.approx(top, abs=1e-6)
    controller = Sqp(passed, problem(name))
    controller.reset(top, limits.u_high)
    move = controller.step(top, top + 5.0)
    assert Status.OUT_OF_REACH in move.flags
    assert "setpoint out of reach; nearest steady output followed" in move.status
    assert Status.OUT_OF_REACH not in controller.step(top, top - 0.1).flags


def test_what_is_asked_twice_is_answered_alike(name, passed):
    model, limits = passed.model, bounds(name, passed)
    finder = TargetFinder(model, limits)
    _, y = at_rest(model, limits.u_safe)
    asked = np.zeros(len(y)), np.zeros(len(limits.u_low)), np.zeros(0)
    assert finder.find(y, *asked) is finder.find(y.copy(), *asked)
    assert finder.find(y + 0.01, *asked) is not finder.find(y, *asked)


def test_outputs_that_cannot_all_be_met_are_met_in_the_weighted_mean():
    passed = released_of(Model.load(MODELS / "quadruple_tank" / "model.json"))
    model = passed.model
    limits = bounds("quadruple_tank", passed, output_weight=[1.0, 100.0])
    _, top = at_rest(model, limits.u_high)
    asked = top + [3.0, 0.0]
    chosen = find(model, limits, asked)

    def miss(u):
        return float(limits.output_weight @ (at_rest(model, u)[1] - asked) ** 2)

    for change in ([0.02, 0], [-0.02, 0], [0, 0.02], [0, -0.02], [-0.02, 0.02]):
        beside = np.clip(chosen.u + change, limits.u_low, limits.u_high)
        assert miss(chosen.u) <= miss(beside) + 1e-9


# -- the law and its weights -----------------------------------------------------------------------


def test_the_terminal_law_keeps_bounds_and_rates_from_everywhere(name, passed, rng):
    limits = bounds(name, passed)
    terminal = terminal_of(passed.model, limits)
    u = limits.u_low, limits.u_high
    for before, aim in ((u[0], u[1]), (u[1], u[0]), *rng.uniform(*u, (50, 2, len(u[0])))):
        after = terminal.law(Target(np.zeros(0), aim, np.zeros(0), True), before)
        assert ((limits.u_low <= after) & (after <= limits.u_high)).all()
        assert (np.abs(after - before) <= limits.max_move).all()


def test_where_rates_are_uneven_the_law_keeps_the_slower_one(name, passed):
    even = bounds(name, passed)
    slow = 0.5 * even.max_move
    assert np.array_equal(
        law_share(replace(even, max_move_down=slow)), law_share(bounds(name, passed, max_move=slow))
    )
    assert (law_share(replace(even, max_move_down=slow)) > law_share(even)).all()


def test_along_the_law_the_terminal_cost_falls_by_what_each_sample_costs(name, passed, rng):
    """On the model itself, not on the comparison matrix."""
    model, limits = passed.model, bounds(name, passed)
    terminal, core = terminal_of(model, limits), model.core
    span = model.roles.moved(model.scaling.u_span)
    for _ in range(10):
        aim = rng.uniform(limits.u_low, limits.u_high)
        target = Target(at_rest(model, aim)[0], aim, at_rest(model, aim)[1], True)
        chi = at_rest(model, rng.uniform(limits.u_low, limits.u_high))[0]
        before = rng.uniform(limits.u_low, limits.u_high)

        def value(chi, u, target=target):
            z = np.concatenate([chi - target.chi, (u - target.u) / span])
            return float(terminal.weights @ (z * z))

        for _ in range(20):
            u = terminal.law(target, before)
            following = np.asarray(core.step(chi, u, np.zeros(0))).ravel()
            off = np.asarray(core.output(following)).ravel() - target.y
            cost = float(limits.output_weight @ off**2 + limits.move_penalty @ (u - before) ** 2)
            assert value(following, u) <= value(chi, before) - cost + FLOAT
            chi, before = following, u


def test_a_rate_limit_that_the_law_breaks_is_refused(name, passed):
    limits = bounds(name, passed)
    terminal = terminal_of(passed.model, limits)
    quick = 0.99 * terminal.eta
    share = rate_share(limits, quick)
    assert (share > 1).any()
    with pytest.raises(InputError, match="keep the rate limits, of which it asks the share"):
        replace(terminal, eta=quick, slack=share)


def test_weights_that_are_one_percent_too_small_are_refused(name, passed):
    terminal = terminal_of(passed.model, bounds(name, passed))
    with pytest.raises(InputError, match="the weights do not make up for the stage cost"):
        replace(terminal, weights=0.99 * terminal.weights)


def test_without_a_rate_limit_the_law_goes_there_at_once(name, passed):
    terminal = terminal_of(passed.model, bounds(name, passed, max_move=np.inf))
    assert (terminal.eta == 0).all()


def test_a_rate_limit_too_small_for_any_law_is_refused(name, passed):
    with pytest.raises(InputError, match=r"max_move .* is too small a share of the input range"):
        terminal_of(passed.model, bounds(name, passed, max_move=1e-12))


def test_inputs_that_are_unevenly_late_are_outside_and_refused():
    model = Model.load(MODELS / "quadruple_tank" / "model.json")
    late, later = (replace(model, delays=delays) for delays in ((0, 2), (2, 2)))
    limits = limits_of(model, problem("quadruple_tank"))
    with pytest.raises(InputError, match=r"\[0, 2\] samples later .* leave `terminal` out"):
        terminal_of(late, limits)
    assert terminal_of(later, limits).falls < 1


def test_a_model_without_delta_iss_has_no_terminal_cost(released):
    """The small model of the tests is certified by (7) alone."""
    with pytest.raises(InputError, match="needs a model on which delta_iss holds"):
        Sqp(released, ControlProblem(horizon=5, terminal=True))


# -- the rule --------------------------------------------------------------------------------------


def rises(controller, model, samples=25, *, seed=0, strict=True):
    """How far V + ℓ rises from sample to sample at most, as a share of V, on the model with a
    constant offset of the output, from a state far from the target."""
    rng, core, limits = np.random.default_rng(seed), model.core, controller.limits
    chi, _ = at_rest(model, rng.uniform(limits.u_low, limits.u_high))
    offset = 0.02 * np.ones(len(model.outputs))
    setpoint = at_rest(model, rng.uniform(limits.u_low, limits.u_high))[1] + offset
    before = rng.uniform(limits.u_low, limits.u_high)
    y = np.asarray(core.output(chi)).ravel() + offset
    controller.reset(y, before)
    controller.observer._begin(chi, np.zeros(len(before)))
    controller.observer.disturbance = offset.copy()
    value, cost, worst = None, 0.0, -np.inf
    for _ in range(samples):
        move = controller.step(np.asarray(core.output(chi)).ravel() + offset, setpoint)
        if value is not None:
            worst = max(worst, (move.cost - value + cost) / max(value, 1e-3))
        ahead = move.predicted[:2]
        aim = controller.target.y if strict else setpoint
        cost = limits.cost(ahead, np.array([aim, aim]), move.u[None], before)
        value, before = move.cost, move.u
        chi = np.asarray(core.step(chi, move.u, np.zeros(0))).ravel()
    return worst


@pytest.mark.parametrize("horizon", [1, 3, 8])
def test_the_cost_falls_by_what_the_sample_costs(name, passed, horizon):
    for seed in range(3):
        controller = Sqp(passed, problem(name, horizon=horizon), ONE_PASS)
        assert rises(controller, passed.model, seed=seed) <= FLOAT


def test_without_a_terminal_cost_it_rises():
    passed = released_of(Model.load(MODELS / "ph" / "model.json"))
    controller = Sqp(passed, problem("ph", horizon=3, terminal=False), ONE_PASS)
    assert max(rises(controller, passed.model, seed=s, strict=False) for s in range(3)) > 0.01


def test_it_falls_with_blocks_though_the_shifted_plan_has_none():
    passed = released_of(Model.load(MODELS / "quadruple_tank" / "model.json"))
    blocks = problem("quadruple_tank", blocks=(1, 2, 5))
    for seed in range(3):
        assert rises(Sqp(passed, blocks, ONE_PASS), passed.model, seed=seed) <= FLOAT


def test_it_falls_under_do_mpc():
    passed = released_of(Model.load(MODELS / "ph" / "model.json"))
    assert rises(DoMpc(passed, problem("ph", horizon=3)), passed.model, 6) <= FLOAT


class Costlier(Sqp):
    """Offers a plan that wanders off, in every sample."""

    def _solve(self, references):
        return Solution(np.where(np.arange(8)[:, None] % 2, self.limits.u_low, self.limits.u_high))


class Failing(Sqp):
    """Has no plan, ever."""

    def _solve(self, references):
        return Solution(None, detail="none")


# of the pH model, from pH 8.7: what is violated outweighs everything else
TIGHT = {"horizon": 3, "y_low": 5.8, "y_high": 7.2, "violation_weight": 1e5}


def behind(controller, samples):
    """What the soft bounds cost behind the horizon of the plan, sample by sample of the model."""
    model, limits, terminal = (
        controller.release.model,
        controller.limits,
        controller.closing.terminal,
    )
    u, chi, offset = controller._plan[-1], controller.observer.chi, controller.observer.disturbance
    for each in controller._plan:
        chi = np.asarray(model.core.step(chi, each, np.zeros(0))).ravel()
    costs = []
    for _ in range(samples):
        u = terminal.law(controller.target, u)
        chi = np.asarray(model.core.step(chi, u, np.zeros(0))).ravel()
        y = np.asarray(model.core.output(chi)).ravel() + offset
        out = np.maximum(0, y - limits.y_high) + np.maximum(0, limits.y_low - y)
        costs.append(limits.violation_weight * out.sum())
    return np.array(costs)


@pytest.fixture
def far():
    """A controller whose terminal law violates a soft bound behind the horizon, and its first
    sample."""
    passed = released_of(Model.load(MODELS / "ph" / "model.json"))
    controller = Failing(passed, problem("ph", **TIGHT), ONE_PASS)
    chi, y = at_rest(passed.model, np.array([16.6]))
    controller.reset(y, [16.6])
    controller.observer._begin(chi, np.zeros(1))
    controller._aim(np.repeat([[6.9]], 4, axis=0))
    return controller


def end_of(controller, target=None):
    """What the end of the plan costs, and V_f alone."""
    closing, at = (
        controller.closing,
        (controller._predict(controller._plan)[1], controller._plan[-1]),
    )
    z = np.concatenate(
        [at[0] - controller.target.chi, (at[1] - controller.target.u) / closing._span]
    )
    return closing.cost(*at, target or controller.target), closing.terminal.weights @ (z * z)


def test_what_the_soft_bounds_cost_behind_the_horizon_is_no_less_than_what_is_violated(far):
    costs = behind(far, 300)
    assert costs[0] > 0
    assert costs[-100:].sum() == 0  # the terminal law comes back into the bounds
    whole, quadratic = end_of(far)
    assert whole - quadratic >= costs.sum()


def test_near_the_target_nothing_behind_the_horizon_can_reach_a_bound(far, rng):
    """No state with reach·√V_f within the gap ever gets there."""
    closing, model = far.closing, far.release.model
    m, gap = len(closing.terminal.weights), 0.3 / model.scaling.y_span
    for _ in range(20):
        z = rng.normal(size=m)
        z *= gap / (closing.terminal.reach * np.sqrt(closing.terminal.weights @ (z * z)))
        chi, u = far.target.chi + z[:-1], far.target.u + z[-1] * model.scaling.u_span
        if not (np.abs(chi[5:]) <= 1).all():
            continue
        for _ in range(60):
            u = closing.terminal.law(far.target, u)
            chi = np.asarray(model.step(ca.DM(chi), ca.DM(u))).ravel()
            off = np.asarray(model.core.output(chi)).ravel() - far.target.y
            assert (np.abs(off) <= 0.3).all()


def test_a_target_on_a_soft_bound_is_outside(far):
    whole, quadratic = end_of(far, replace(far.target, y=np.array([7.2])))
    assert whole == quadratic


def soft_rises(controller, model):
    """As `rises`, from pH 8.7 to 6.9 under a soft bound at 7.2."""
    chi, worst, value, cost = controller.observer.chi, -np.inf, None, 0.0
    before, core, limits = np.array([16.6]), model.core, controller.limits
    for _ in range(25):
        move = controller.step(np.asarray(core.output(chi)).ravel(), [6.9])
        if value is not None:
            worst = max(worst, (move.cost - value + cost) / value)
        goal = np.array([controller.target.y] * 2)
        cost = limits.cost(move.predicted[:2], goal, move.u[None], before)
        value, before = move.cost, move.u
        chi = np.asarray(core.step(chi, move.u, np.zeros(0))).ravel()
    return worst


def test_the_cost_falls_while_the_terminal_law_is_beyond_a_soft_bound(far):
    assert soft_rises(far, far.release.model) <= FLOAT


def test_without_that_sum_it_rises(far):
    object.__setattr__(far.closing, "price", np.zeros(1))
    assert soft_rises(far, far.release.model) > 1e-3


def unruled(controller):
    """The same engine, which takes whatever it is offered."""

    def take(plan, references, closing):
        controller._plan = controller.limits.block(plan, controller._before)
        return controller._value(controller._plan, references, closing)

    controller._choose = take
    return controller


def test_a_costlier_plan_is_not_taken(name, passed):
    assert rises(Costlier(passed, problem(name)), passed.model) <= FLOAT


def test_an_engine_that_takes_it_is_told_by_the_same_test(name, passed):
    assert rises(unruled(Costlier(passed, problem(name))), passed.model) > 1e-3


def test_without_any_plan_the_terminal_law_brings_the_loop_to_rest(name, passed):
    controller = Failing(passed, problem(name))
    assert rises(controller, passed.model, 60) <= FLOAT
    assert controller._failures == 0  # it never needs the safe input


@pytest.mark.parametrize(
    "solver", [SolverOptions(1, 1, 0), SolverOptions(1, 2, 1), SolverOptions(3, 3, 0)], ids=str
)
def test_it_falls_within_any_budget(name, passed, solver):
    assert rises(Sqp(passed, problem(name), solver), passed.model) <= FLOAT


def test_the_cost_of_a_move_is_that_of_its_plan_with_its_end(name, passed):
    controller = Sqp(passed, problem(name), ONE_PASS)
    limits, model = controller.limits, passed.model
    _, y = at_rest(model, limits.u_safe)
    controller.reset(y, limits.u_safe)
    chi, plans = controller.observer.chi, []
    keep = controller.closing.shift
    object.__setattr__(
        controller.closing, "shift", lambda plan, aim: plans.append(plan) or keep(plan, aim)
    )
    move = controller.step(y, y + 0.1)
    (plan,) = plans
    outputs = [y]
    for u in plan:
        chi = np.asarray(model.core.step(chi, u, np.zeros(0))).ravel()
        outputs.append(np.asarray(model.core.output(chi)).ravel())
    target, terminal = controller.target, controller.closing.terminal
    span = model.roles.moved(model.scaling.u_span)
    z = np.concatenate([chi - target.chi, (plan[-1] - target.u) / span])
    stages = limits.cost(
        np.array(outputs), np.repeat(target.y[None], 9, axis=0), plan, limits.u_safe
    )
    asked = stages + float(terminal.weights @ (z * z))
    assert move.cost == pytest.approx(asked, rel=1e3 * ROUND_OFF)


def test_the_program_has_the_gradient_of_the_cost_but_for_its_end(name, passed):
    """The step of the program at a plan that is free of limits, against finite differences."""
    controller = Sqp(passed, problem(name, max_move=np.inf, y_low=-np.inf, y_high=np.inf))
    program, model = controller._program, passed.model
    _, y = at_rest(model, controller.limits.u_safe)
    controller.reset(y, controller.limits.u_safe)
    seen = {}
    solve = program.solve

    def look(stage, v, sample, **options):
        seen.setdefault("args", (stage, v.copy(), sample))
        return solve(stage, v, sample, **options)

    program.solve = look
    controller.step(y, y + 0.05)
    stage, v, sample = seen["args"]

    def cost(v):
        _, outputs = program.simulate(sample.chi, program.inputs(v, sample))
        return program.cost(outputs, v, sample)[0]

    H = np.linalg.inv(stage.working.J @ stage.working.J.T)
    step = solve(stage, v, sample, qp_iterations=100).p
    gradient = -(H @ step)
    for k in range(0, v.size, 3):
        e = np.zeros(v.size)
        e[k] = 1e-5
        slope = (cost(v + e.reshape(v.shape)) - cost(v - e.reshape(v.shape))) / 2e-5
        assert gradient[k] == pytest.approx(slope, rel=1e-3, abs=1e-3 * np.abs(gradient).max())


def test_a_setpoint_that_is_seen_coming_is_followed_until_then():
    passed = released_of(Model.load(MODELS / "ph" / "model.json"))
    controller = Sqp(passed, problem("ph", preview=True), ONE_PASS)
    controller.reset([7.0], [15.5])
    coming = np.array([7.0] * 4 + [7.5] * 5)[:, None]
    controller.step([7.0], coming)
    assert controller.target.y == pytest.approx([7.5], abs=1e-9)
    followed = controller.closing.followed(coming, controller.target)
    assert followed[:4] == pytest.approx(coming[:4])


def test_with_the_filter_the_plan_still_costs_no_more_than_the_shifted_one():
    passed = released_of(Model.load(MODELS / "ph" / "model.json"))
    tuning = KalmanTuning(noise=0.02, drift=0.0025, max_disturbance=1.1)
    controller = Sqp(passed, problem("ph", observer=tuning), ONE_PASS)
    controller.reset([7.0], [15.5])
    rng, choose = np.random.default_rng(0), controller._choose
    gains = []

    def look(plan, references, closing):
        kept = controller._value(controller._plan, references, closing)[1]
        chosen = choose(plan, references, closing)
        gains.append(chosen[1] - kept)
        return chosen

    controller._choose = look
    for _ in range(30):
        controller.step([7.0 + 0.02 * rng.normal()], [7.6])
    assert max(gains) <= 0
    assert min(gains) < 0


def test_the_rule_is_of_every_engine():
    """No engine has a rule of its own."""
    for engine in (Sqp, DoMpc):
        assert engine._choose is Supervisor._choose
        assert engine.step is Supervisor.step
