from dataclasses import replace
from itertools import product

import numpy as np
import paper
import pytest
from builders import WIDE, bistable, model_of, stable_model
from hypothesis import given, settings, strategies as st
from tolerances import ROUND_OFF

from lstm_mpc.certificates.exploration import (
    CHUNK,
    ScenarioLaw,
    explore,
    network_law,
    plant_law,
    replay,
)
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.certificates.scenarios import VerifyOptions, scenario_count, verify
from lstm_mpc.certificates.verdict.claims import claims_of
from lstm_mpc.certificates.verdict.sampled import scenario_reasons
from lstm_mpc.data.scaling import Scaling
from lstm_mpc.errors import InputError
from lstm_mpc.plants.batch import rest

QUICK = {"epsilon": 0.1, "beta": 1e-2, "steps": 40, "settle": 10}  # 113 scenarios

# -- how many --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("d", "rule", "N"),
    [
        (1, "paper", 2964),
        (2, "paper", 3164),
        (1, "exact", 1375),
        (2, "exact", 1661),
        (4, "exact", 2126),
    ],
)
def test_the_published_numbers_of_scenarios(d, rule, N):
    assert scenario_count(1e-2, 1e-6, d=d, rule=rule) == N


@settings(deadline=None, derandomize=True, max_examples=80)
@given(epsilon=st.floats(0.005, 0.9), beta=st.floats(1e-9, 0.9), d=st.integers(1, 12))
def test_11_and_the_least_number_by_the_exact_tail(epsilon, beta, d):
    assert scenario_count(epsilon, beta, d=d) == paper.scenario_count(epsilon, beta, d)
    N = scenario_count(epsilon, beta, d=d, rule="exact")
    assert paper.binomial_tail(N, epsilon, d) <= beta * (1 + 1e-9)
    assert d == N or paper.binomial_tail(N - 1, epsilon, d) > beta * (1 - 1e-9)
    assert scenario_count(epsilon, beta, d=d) >= N


# -- what the bound is -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, (3,), 1), (2, (2, 3), 2)])
@pytest.mark.parametrize("settle", [0, 7, 30])
def test_the_bound_is_the_largest_of_all_replayed_scenarios(shape, settle):
    model = stable_model(1, *shape)
    law, scaling, steps = network_law(model, dwell=(30.0, 100.0)), model.scaling, 30
    common = {"radius": 0.8, "seed": 3, "steps": steps}
    (bound,) = explore(
        model.system,
        law,
        scaling,
        radii=(0.8,),
        scenarios=25,
        steps=steps,
        settle=settle,
        seed=3,
        safe_set=shape[2] * WIDE,
    )
    runs = [replay(model.system, law, scaling, index=i, **common).y for i in range(25)]
    assert all(len(y) == steps + 1 for y in runs)  # y(0) … y(τ)
    far = np.array([[paper.norm_2(row) for row in scaling.y_in(y).tolist()] for y in runs])
    assert bound.radius_y == pytest.approx(far.max(), rel=ROUND_OFF)
    assert bound.settled == pytest.approx(far[:, settle:].max(), rel=ROUND_OFF)
    assert (bound.worst, bound.sample) == tuple(
        int(i) for i in np.unravel_index(far.argmax(), far.shape)
    )
    np.testing.assert_allclose(bound.low, np.min(runs, axis=(0, 1)), rtol=ROUND_OFF)
    np.testing.assert_allclose(bound.high, np.max(runs, axis=(0, 1)), rtol=ROUND_OFF)
    worst = replay(model.system, law, scaling, index=bound.worst, **common).y
    attained = paper.norm_2(scaling.y_in(worst[bound.sample]).tolist())
    assert attained == pytest.approx(bound.radius_y, rel=ROUND_OFF)


def test_a_scenario_belongs_to_its_index_and_obeys_the_law():
    model = stable_model(0, nu=2)
    law = network_law(model, dwell=(30.0, 100.0), start_box=0.2)
    draw = {"seed": 1, "radius": 0.7, "steps": 60, "scaling": model.scaling, "Ts": 10.0}
    draws = [law.draw(i, **draw) for i in range(200)]
    for start, segments in draws:
        u = model.scaling.u_in(segments.signal(60))
        assert np.abs(start).max() <= 0.2
        assert np.abs(u).max() <= 0.7 * (1 + ROUND_OFF)
        for column in u.T:
            assert (np.diff(np.flatnonzero(np.diff(column))) >= 3).all()
    assert np.max([np.abs(start) for start, _ in draws]) > 0.19
    assert np.max([np.abs(model.scaling.u_in(s.levels)) for _, s in draws[:1]]) > 0.1
    again, other = law.draw(5, **draw), law.draw(5, **{**draw, "seed": 2})
    assert np.array_equal(again[0], draws[5][0])
    assert np.array_equal(again[1].levels, draws[5][1].levels)
    assert not np.array_equal(other[0], draws[5][0])
    assert not np.array_equal(draws[4][0], draws[5][0])


def test_the_law_is_rebuilt_from_its_description(plant):
    scaling = Scaling([15.0], [2.0], [7.0], [1.0])
    for law in (
        network_law(stable_model(0), dwell=(30.0, 100.0)),
        plant_law(plant, scaling, dwell=(300.0, 2000.0)),
    ):
        back = ScenarioLaw.from_description(law.describe())
        assert back.describe() == law.describe()
        options = {"seed": 0, "radius": 0.5, "steps": 50, "scaling": scaling, "Ts": 10.0}
        assert np.array_equal(back.draw(3, **options)[1].levels, law.draw(3, **options)[1].levels)


def test_the_plant_starts_at_rest_under_the_mid_input(plant):
    law = plant_law(plant, Scaling([14.75], [2.25], [7.0], [2.0]), dwell=(300.0, 2000.0))
    assert np.array_equal(law.low, law.high)
    assert np.array_equal(law.low, rest(plant, [14.75]))


def test_a_larger_input_range_reaches_further():
    result = verify(stable_model(2), VerifyOptions(radii=(0.2, 0.6, 1.0), **QUICK), safe_set=WIDE)
    reached = [bound.radius_y for bound in result.bounds]
    assert reached == sorted(reached)
    assert reached[0] < reached[2]


def test_the_artificial_start_is_told_apart():
    """A bistable network at no input: all that is seen is where it starts and to which side it
    falls."""
    model = model_of(bistable())
    result = verify(model, VerifyOptions(start_box=0.9, **QUICK), safe_set=WIDE)
    assert result.bounds[0].radius_y > 0.8
    decaying = verify(
        stable_model(0), VerifyOptions(start_box=0.9, radii=(1e-6,), **QUICK), safe_set=WIDE
    ).bounds[0]
    assert decaying.settled < decaying.radius_y


# -- deterministic ---------------------------------------------------------------------------------


def test_bounds_are_the_same_bits_for_any_number_of_workers():
    model, shares = stable_model(5, ny=2), {1: [], 2: []}
    results = [
        verify(
            model,
            VerifyOptions(steps=20, settle=5, seed=4),
            safe_set=2 * WIDE,
            workers=n,
            on_progress=lambda label, s, n=n: shares[n].append(s),
        )
        for n in (1, 2)
    ]
    assert results[0].scenarios == 2964 > 2 * CHUNK
    assert results[0] == results[1]
    assert shares[1] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert shares[2] == pytest.approx(shares[1])


def test_the_seed_decides(plant):
    model = stable_model(5)
    one, same, other = (
        verify(model, VerifyOptions(seed=seed, **QUICK), safe_set=WIDE) for seed in (1, 1, 2)
    )
    assert one == same
    assert one.bounds[0].radius_y != other.bounds[0].radius_y


def test_a_verification_states_what_was_done(plant, model):
    seen = []
    result = verify(
        model,
        VerifyOptions(radii=(0.5, 1.0), **QUICK),
        safe_set=((0, 14),),
        plant=plant,
        on_progress=lambda *p: seen.append(p),
    )
    assert (result.model, result.scenarios, result.rule, result.shape) == (
        model.digest,
        113,
        "paper",
        "ball",
    )
    assert (result.epsilon, result.beta, result.steps, result.settle, result.seed) == (
        0.1,
        0.01,
        40,
        10,
        0,
    )
    assert [(b.system, b.radius_u) for b in result.bounds] == [
        ("model", 0.5), ("model", 1.0), ("plant", 0.5), ("plant", 1.0)
    ]  # fmt: skip
    assert seen == [("model", 0.5), ("model", 1.0), ("plant", 0.5), ("plant", 1.0)]
    network, process = result.bound("model", 1.0), result.bound("plant", 1.0)
    # the trained model goes about where the plant goes
    assert abs(network.settled - process.settled) < 0.5
    assert 5.0 < process.low[0] < process.high[0] < 9.5


# -- the safe set ----------------------------------------------------------------------------------


def test_safe_is_said_both_ways_just_around_the_claimed_ball():
    model = stable_model(3, ny=2)
    (bound,) = verify(model, VerifyOptions(**QUICK), safe_set=2 * WIDE).bounds
    assert bound.safe
    mid, reach = model.scaling.y_mid, bound.radius_y * model.scaling.y_span
    for factor, safe in ((1.001, True), (0.999, False)):
        around = list(zip(mid - factor * reach, mid + factor * reach, strict=True))
        assert verify(model, VerifyOptions(**QUICK), safe_set=around).bounds[0].safe is safe
        # one side of one output alone is enough to be unsafe
        for j, side in product((0, 1), (0, 1)):
            one = np.array(2 * WIDE)
            one[j, side] = around[j][side]
            assert (
                verify(model, VerifyOptions(**QUICK), safe_set=one.tolist()).bounds[0].safe is safe
            )


def test_intervals_need_more_scenarios_and_claim_per_output():
    model = stable_model(3, ny=2)
    ball = verify(model, VerifyOptions(**QUICK), safe_set=2 * WIDE)
    result = verify(model, VerifyOptions(shape="intervals", **QUICK), safe_set=2 * WIDE)
    assert (ball.scenarios, result.scenarios) == (113, scenario_count(0.1, 1e-2, d=4))
    (bound,) = result.bounds
    for grow, safe in ((1e-6, True), (-1e-6, False)):
        around = [(a - grow, b + grow) for a, b in zip(bound.low, bound.high, strict=True)]
        assert (
            verify(model, VerifyOptions(shape="intervals", **QUICK), safe_set=around).bounds[0].safe
            is safe
        )
    exact = verify(
        model, VerifyOptions(shape="intervals", rule="exact", **QUICK), safe_set=2 * WIDE
    )
    assert exact.scenarios == scenario_count(0.1, 1e-2, d=4, rule="exact") < result.scenarios


# -- where several inputs were held together -------------------------------------------------------

BOX = ((-0.3, 0.5), (0.1, 0.2))


def test_scenarios_stay_where_the_inputs_were_held():
    model = stable_model(0, 2)
    given = tuple(map(tuple, model.scaling.u_out(np.array(BOX).T).T.tolist()))
    found = verify(model, VerifyOptions(inputs=given, **QUICK), safe_set=WIDE)
    law = ScenarioLaw.from_description(found.law)
    drawn = []
    for index in range(40):
        start, held = law.draw(
            index, seed=0, radius=1.0, steps=40, scaling=model.scaling, Ts=model.Ts
        )
        drawn.append(held.levels)
        rested = model.state(rest(model.core, np.mean(given, axis=1)), np.mean(given, axis=1))
        assert np.abs(start - rested).max() <= 0.1
    for (low, high), levels in zip(given, np.vstack(drawn).T, strict=True):
        assert low <= levels.min() < low + 0.2 * (high - low)
        assert high - 0.2 * (high - low) < levels.max() <= high
    narrow, whole = found.bounds[0], verify(model, VerifyOptions(**QUICK), safe_set=WIDE).bounds[0]
    assert narrow.high[0] - narrow.low[0] < whole.high[0] - whole.low[0]


def test_inputs_that_scenarios_did_not_cover_are_refused():
    model = stable_model(0, 2)
    given = tuple(map(tuple, model.scaling.u_out(np.array(BOX).T).T.tolist()))
    found = verify(model, VerifyOptions(inputs=given, **QUICK), safe_set=WIDE)
    ends, policy = np.array(given).T, Policy(epsilon=0.1, beta=1e-2)
    assert scenario_reasons(model, found, policy, WIDE, *ends) == []
    ((check, words),) = scenario_reasons(
        model, found, policy, WIDE, ends[0], ends[1] + np.array([0.0, 1e-3])
    )
    assert check == "input_range"
    assert f"the controller may move {model.inputs[1].name} in [" in words
    forged = replace(found, law={**found.law, "inputs": [[0.0, 1.0]]})
    (reason, *_) = scenario_reasons(model, forged, policy, WIDE, *ends)
    assert "the law of the verification cannot be read" in reason[1]
    claims = claims_of(model, [], tube=None, verification=found, validation=None)
    low, high = given[0]
    assert f"with {model.inputs[0].name} in [{low:.4g}, {high:.4g}]" in claims[0][1]


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ([(0.0, 1.0)], "inputs has 1 ranges, the model has 2 inputs"),
        ([(0.5, 0.0), (0.0, 0.1)], r"of 'u1' must rise and lie within the smallest of radii, 0\.9"),
        (
            [(0.0, 0.1), (0.0, 0.95)],
            r"of 'u2' must rise and lie within the smallest of radii, 0\.9",
        ),
    ],
)
def test_ranges_that_no_scenario_could_draw_are_named(ends, words):
    model = stable_model(0, 2)
    if len(ends) == 2:
        ends = model.scaling.u_out(np.array(ends).T).T.tolist()
    options = VerifyOptions(inputs=ends, radii=(0.9,), **QUICK)
    with pytest.raises(InputError, match=words):
        verify(model, options, safe_set=WIDE)


# -- misuse ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda m: scenario_count(0.0, 0.1),
            (
                r"ε = 0.0 and β = 0.1 must lie in \(0, 1\), ε at least 1e-09, β 1e-300, d = 1 at"
                r" least 1"
            ),
        ),
        (lambda m: scenario_count(0.1, 1.0), "β = 1.0 must lie"),
        (lambda m: scenario_count(float("nan"), 0.1), "ε = nan"),
        (lambda m: scenario_count(0.1, 0.1, d=0), "d = 0 at least 1"),
        (
            lambda m: scenario_count(0.1, 0.1, rule="magic"),
            "unknown scenario rule 'magic'; use 'paper' or 'exact'",
        ),
        (
            lambda m: verify(m, VerifyOptions(shape="box"), safe_set=WIDE),
            "shape must be 'ball' or 'intervals', got 'box'",
        ),
        (
            lambda m: verify(m, VerifyOptions(radii=()), safe_set=WIDE),
            r"verify: radii \[\] must lie in \(0, 1\]",
        ),
        (
            lambda m: verify(m, VerifyOptions(radii=(0.5, 1.01)), safe_set=WIDE),
            r"radii \[0.5, 1.01\] must lie in \(0, 1\], the model's own",
        ),
        (lambda m: verify(m, VerifyOptions(radii=(0.0,)), safe_set=WIDE), r"radii \[0.0\]"),
        (
            lambda m: verify(m, VerifyOptions(settle=41, steps=40), safe_set=WIDE),
            "settle = 41 must lie between 0 and steps = 40",
        ),
        (lambda m: verify(m, VerifyOptions(settle=-1), safe_set=WIDE), "settle = -1"),
        (
            lambda m: verify(m, safe_set=2 * WIDE),
            "the safe set has 2 intervals, model has 1 outputs",
        ),
    ],
)
def test_misuse_is_named(make, words):
    with pytest.raises(InputError, match=words):
        make(stable_model(0))


def test_radii_may_fill_the_wider_range_of_the_papers_scaling():
    model = stable_model(0)
    wide = replace(model, scaling=replace(model.scaling, radius=1.2))
    assert (
        verify(wide, VerifyOptions(radii=(1.2,), **QUICK), safe_set=WIDE).bounds[0].radius_u == 1.2
    )
