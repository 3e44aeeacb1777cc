"""The family of conditions, its interval proof and the interval tube: oracles, theorems as properties, must-fail cases."""

from dataclasses import replace

import numpy as np
import paper
import pytest
from builders import DEPTHS, bistable, model_of, paper_policy, plain, random_network, stable_model, stable_network, validation_for
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_mpc import lstm, reach, stability
from lstm_mpc.control.problem import Problem, limits
from lstm_mpc.data import scale
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.evidence import Certificate, Reach
from lstm_mpc.proof import certify
from lstm_mpc.release import Release, release
from lstm_mpc.scenario import verify
from lstm_mpc.training import Settings, train

NAMES = list(stability.CONDITIONS)
WITNESS = 1e-3  # the witness is not exactly the Perron vector
SAFE = ((-100.0, 100.0),)


def small(seed, size, shape=(1, (3,), 1)):
    """A random network with weights within ±size."""
    return random_network(seed, *shape, spread=size)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", DEPTHS)
@pytest.mark.parametrize("radius", [0.5, 1.0, 1.3])
def test_every_condition_is_that_of_the_oracle(name, shape, radius):
    for seed in range(3):
        network = small(seed, 0.3, shape)
        true, found = paper.worst(plain(network), name, radius), 1 - stability.margin(network, [name], radius)
        slack = WITNESS if name in ("weighted_iss", "delta_iss") else 1e-7
        assert true - 1e-9 <= found <= true + slack * max(1.0, true)


@pytest.mark.parametrize("name", NAMES)
def test_every_condition_holds_somewhere_and_fails_somewhere(name):
    assert certify(model_of(small(0, 0.1)), name).holds
    failed = certify(model_of(small(0, 3.0)), name)
    assert not failed.holds
    assert failed.constants == {}
    assert f"{name} fails" in str(failed)


@pytest.mark.parametrize("name", [n for n in NAMES if "delta" in n])
def test_the_bistable_network_passes_7_and_no_incremental_condition(name):
    model = model_of(bistable())
    assert certify(model, "iss").holds
    assert not certify(model, name).holds


@pytest.mark.parametrize(("name", "weaker"), [(a, b) for a, implied in stability.IMPLIES.items() for b in implied])
@pytest.mark.parametrize("shape", [(1, (3,), 1), (2, (3, 2), 2)])
def test_implications(name, weaker, shape):
    """Whenever the stronger one holds with room for the witness, so does the weaker one."""
    met = 0
    for seed in range(60):
        network = small(seed, np.random.default_rng(seed).uniform(0.05, 0.8), shape)
        if stability.margin(network, [name], 1.0) > 2 * WITNESS:
            met += 1
            assert stability.margin(network, [weaker], 1.0) > 0
    assert met > 3


def test_7_and_incremental_stability_imply_neither_the_other():
    one = stability.margin(bistable(), ["delta_iss"], 1.0)
    network = small(0, 0.05)
    slow = replace(network, layers=(replace(network.layers[0], b_f=np.full((3, 1), 2.0)),))  # a forget bias (7) cannot allow
    assert one < 0 < stability.margin(bistable(), ["iss"], 1.0)
    assert stability.margin(slow, ["iss"], 1.0) < 0 < stability.margin(slow, ["delta_iss"], 1.0)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(NAMES), at=st.integers(0, 47), factor=st.floats(1.0, 3.0))
def test_a_larger_weight_never_helps(seed, name, at, factor):
    network = small(seed, 0.3)
    theta = lstm.pack(network).copy()
    sizes = lstm.sizes_of(network)
    at = at % sizes.slices["C"].start
    biases = [s for n, s in sizes.slices.items() if n.startswith("0.b_")]
    if any(s.start <= at < s.stop for s in biases):
        return  # biases keep their sign
    theta[at] *= factor
    grown = lstm.unpack(theta, sizes)
    assert paper.worst(plain(grown), name) >= paper.worst(plain(network), name) - 1e-9
    assert stability.margin(grown, [name], 1.0) <= stability.margin(network, [name], 1.0) + WITNESS


@settings(derandomize=True, deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), size=st.floats(0.1, 2.0))
def test_one_step_brings_two_states_together_as_the_comparison_matrix_says(seed, size):
    """|Δχ⁺| ≤ Â|Δχ| inside |x| ≤ x̄, |ξ| < 1, for the same input, whether or not ρ(Â) < 1."""
    network, rng = small(seed, size), np.random.default_rng(seed)
    layer = plain(network)[0]
    top, A = np.array(paper.x_bar(layer, 1.0)), np.array(paper.delta_matrix(layer, 1.0))
    a, b = (np.concatenate([rng.uniform(-top, top), rng.uniform(-1, 1, 3)]) for _ in range(2))
    u = rng.uniform(-1, 1, 1).tolist()
    after = [np.concatenate(paper.layer_step(layer, chi[:3].tolist(), chi[3:].tolist(), u)) for chi in (a, b)]
    assert (np.abs(after[0] - after[1]) <= A @ np.abs(a - b) + 1e-12).all()


@pytest.mark.parametrize("seed", range(5))
def test_two_runs_meet_at_the_certified_rate(seed):
    model = model_of(small(seed, 0.2))
    certificate = certify(model, "delta_iss")
    v, own = np.ravel(certificate.constants["witnesses"][0]), certificate.constants["layers"][0]
    rng, top = np.random.default_rng(seed), np.array(own["x_bar"])
    states = [np.concatenate([rng.uniform(-top, top), rng.uniform(-1, 1, 3)])[:, None] for _ in range(2)]
    for _ in range(50):
        before = np.max(np.abs(states[0] - states[1])[:, 0] / v)
        u = rng.uniform(model.u_low, model.u_high)[:, None]
        states = [model.system.batch.step(chi, u, np.zeros((0, 1))) for chi in states]
        assert np.max(np.abs(states[0] - states[1])[:, 0] / v) <= own["rate"] * before + 1e-14
    assert own["rate"] < 1


# -- the proof --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_proof_encloses_what_floating_point_finds(name):
    for seed in range(4):
        model = stable_model(seed, 2, (3, 2), 2)
        found = stability.quantities(model.sizes, (name,), 1.0)
        theta = lstm.pack(model.network)
        values = found.values(theta, found.witnesses(theta))
        ends = np.array([line.value for line in certify(model, name).inequalities])
        assert (ends >= values - 1e-13).all()
        assert ends == pytest.approx(values, abs=1e-9)


def test_a_margin_within_rounding_of_zero_is_refused():
    """Scale one weight by bisection until (7) holds by less than an ulp: floating point may pass, the proof does not."""
    model = stable_model(0)
    layer = model.network.layers[0]

    def spoilt(b):
        b_f = np.array(layer.b_f)
        b_f[0] = b
        return replace(model, network=replace(model.network, layers=(replace(layer, b_f=b_f),)))

    low, high = 0.0, 5.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if stability.margin(spoilt(middle).network, ["iss"], 1.0) > 0 else (low, middle)
    assert not certify(spoilt(high)).holds
    assert certify(spoilt(low - 1e-9)).holds
    assert abs(certify(spoilt(low)).margin) < 1e-14


def test_the_pivots_refuse_a_t_below_the_norm():
    M = np.random.default_rng(0).normal(size=(4, 4))
    norm = np.linalg.norm(M, 2)
    import casadi as ca

    above, below = (min(float(ca.evalf(ca.SX(d))) for d in stability.pivots(ca.SX(M), ca.SX(t))) for t in (1.001 * norm, 0.999 * norm))
    assert above > 0 > below


@pytest.mark.parametrize("name", NAMES)
def test_certificates_survive_the_disk(tmp_path, name):
    certificate = certify(stable_model(1), name)
    certificate.save(tmp_path / "c.json")
    assert Certificate.load(tmp_path / "c.json") == certificate


@pytest.mark.parametrize("conditions", [("delta_iss",), ("iss", "delta_iss"), ("weighted_iss_2",), ("delta_iss_inf",)])
def test_training_obeys_every_condition(dataset, conditions):
    outcome = train(dataset, scale(dataset), Settings(nx=(3,), iterations=40, conditions=conditions), seed=0)
    assert outcome.network is not None
    for name in conditions:
        assert paper.worst(plain(outcome.network), name) < 1


def test_decay_shrinks_the_weights(dataset):
    plainly, held = (
        train(dataset, scale(dataset), Settings(nx=(3,), iterations=40, decay=d, output_decay=d), seed=0).network for d in (0.0, 1e-2)
    )
    assert np.linalg.norm(lstm.pack(held)) < 0.8 * np.linalg.norm(lstm.pack(plainly))


# -- the tube ---------------------------------------------------------------------------------------------------------


def escapes(model, found, *, steps=60, count=10_000, seed=0):
    """How far any of `count` sampled runs leaves the tube: constant, bang-bang and random inputs, random starts."""
    rng, low, high = np.random.default_rng(seed), model.u_low[:, None], model.u_high[:, None]
    chi = rng.uniform(-found.start_box, found.start_box, (model.sizes.n, count))
    kind, worst = rng.integers(0, 3, count), -np.inf
    held = np.where(rng.random((len(model.inputs), count)) < 0.5, low, high)
    for k in range(steps):
        y = model.system.batch.output(chi)
        tube = [np.array(ends)[min(k, len(ends) - 1)][:, None] for ends in (found.tube_low, found.tube_high)]
        whole = np.array(found.whole)
        worst = max(worst, (tube[0] - y).max(), (y - tube[1]).max(), (whole[:, :1] - y).max(), (y - whole[:, 1:]).max())
        bang = np.where(rng.random(held.shape) < 0.5, low, high)
        u = np.where(kind == 0, held, np.where(kind == 1, bang, rng.uniform(low, high, held.shape)))
        chi = model.system.batch.step(chi, u, np.zeros((0, count)))
    return worst


@pytest.mark.parametrize("shape", DEPTHS)
def test_no_sampled_trajectory_leaves_the_tube(shape):
    nu, nx, ny = shape
    model = model_of(stable_network(7, nu, nx, ny))
    found = reach.reach(model, safe_set=ny * SAFE, steps=100)
    assert escapes(model, found) <= 1e-12
    for whole, trivial, forever in zip(found.whole, found.trivial, found.forever, strict=True):
        assert trivial[0] <= forever[0] <= forever[1] <= trivial[1]
        assert whole[0] <= forever[0] <= forever[1] <= whole[1]


def test_the_sampling_notices_a_tube_that_is_wrong(monkeypatch):
    monkeypatch.setattr(reach, "times", lambda a, b: reach.Box(a.low * b.low, a.low * b.low))  # corners forgotten
    model = model_of(random_network(3, spread=1.5))
    assert escapes(model, reach.reach(model, safe_set=SAFE, steps=60)) > 1e-3


def test_the_tube_grows_with_the_input_and_shrinks_with_the_pieces():
    model = model_of(stable_network(2))

    def width(**options):
        low, high = reach.reach(model, safe_set=SAFE, steps=200, **options).whole[0]
        return high - low

    by_radius = [width(radius=r, start_box=0.0) for r in (0.1, 0.5, 1.0)]
    by_pieces = [width(count=c) for c in (1, 8, 32)]
    assert by_radius == sorted(by_radius)
    assert by_pieces[0] >= by_pieces[1] - 1e-12 >= by_pieces[2] - 2e-12


@pytest.mark.parametrize(
    "options", [{"radius": 1.1}, {"radius": 0.0}, {"steps": 0}, {"count": 0}, {"start_box": 1.5}, {"start_box": np.nan}]
)
def test_a_tube_of_no_meaning_is_an_error(options):
    with pytest.raises(InputError, match=r"reach: (radius|steps)"):
        reach.reach(stable_model(0), safe_set=SAFE, **options)


def test_a_tube_survives_the_disk_and_says_whether_it_is_safe(tmp_path):
    model = stable_model(0)
    found = reach.reach(model, safe_set=SAFE, steps=50)
    found.save(tmp_path / "r.json")
    assert Reach.load(tmp_path / "r.json") == found
    assert found.safe
    assert not reach.reach(model, safe_set=((-0.01, 0.01),), steps=50).safe


def test_an_exception_while_watching_is_not_swallowed(dataset):
    def progress(_):
        raise ZeroDivisionError("of the user")

    with pytest.raises(ZeroDivisionError, match="of the user"):
        train(dataset, scale(dataset), Settings(nx=(3,)), seed=0, progress=progress)


# -- the gate ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proven():
    """What a release on the strength of a tube is made of."""
    model = stable_model(0)
    unsafe = verify(model, safe_set=SAFE, steps=5, settle=0)
    evidence = [certify(model), certify(model, "weighted_iss")], replace(unsafe, scenarios=1), validation_for(model)
    return model, evidence, reach.reach(model, safe_set=SAFE, steps=50)


@pytest.mark.parametrize("output_set", ["tube", "either"])
def test_a_tube_can_stand_for_scenarios(proven, output_set, tmp_path):
    model, evidence, tube = proven
    done = release(model, *evidence, paper_policy(output_set=output_set), safe_set=SAFE, tube=tube)
    assert any(kind == "proved" and "no input within the actuator limits" in words for kind, words in done.claims())
    done.save(tmp_path / "r.json")
    assert Release.load(tmp_path / "r.json").tube == tube


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda tube: None, "no interval tube"),
        (lambda tube: replace(tube, model="0" * 64), "the tube speaks of model 000000000000"),
        (lambda tube: replace(tube, whole=((0.0, 0.1),)), "not what the model's numbers give"),
        (lambda tube: reach.reach(stable_model(0), safe_set=SAFE, radius=0.5, steps=50), "the tube covers ρu = 0.5"),
    ],
)
def test_a_tube_that_proves_nothing_is_refused(proven, spoil, words):
    model, evidence, tube = proven
    with pytest.raises(Refused, match=words):
        release(model, *evidence, paper_policy(output_set="tube"), safe_set=SAFE, tube=spoil(tube))
    with pytest.raises(Refused, match=r"cannot carry.*" + words):
        release(model, *evidence, paper_policy(output_set="either"), safe_set=SAFE, tube=spoil(tube))


def test_a_tube_outside_the_safe_set_is_refused(proven):
    model, evidence, tube = proven
    with pytest.raises(Refused, match="leaves the safe set"):
        release(model, *evidence, paper_policy(output_set="tube"), safe_set=((-0.01, 0.01),), tube=tube)


def test_another_machine_may_differ_in_the_last_digits(proven):
    model, evidence, tube = proven
    near = replace(tube, whole=tuple((a * (1 + 1e-12), b) for a, b in tube.whole))
    assert release(model, *evidence, paper_policy(output_set="tube"), safe_set=SAFE, tube=near)


def test_unknown_output_set_and_too_many_limits():
    model = stable_model(0)
    with pytest.raises(InputError, match="output_set must be one of scenario, tube, either, got 'luck'"):
        paper_policy(output_set="luck")
    checked = verify(model, safe_set=SAFE, steps=5, settle=0)
    with pytest.raises(InputError, match=r"the input range needs 1 number\(s\)"):
        release(model, [certify(model)], checked, validation_for(model), paper_policy(), safe_set=SAFE, u_low=[1.0, 2.0, 3.0])


@pytest.mark.parametrize(("dead_time", "words"), [(-1.0, "not negative"), (float("nan"), "not negative"), (7.0, "must be a multiple of")])
def test_dead_time(released, dead_time, words):
    with pytest.raises(InputError, match=words):
        limits(released, Problem(dead_time=dead_time))
