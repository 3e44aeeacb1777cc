"""What holds of the numbers in double precision and what of those that the C carries; inputs beyond
the radius; the set of starts."""

from dataclasses import replace

import numpy as np
import pytest
from builders import (
    DEPTHS,
    WIDE,
    model_of,
    random_network,
    stable_model,
    stable_network,
    validation_for,
    zero_layer,
)
from hypothesis import given, settings, strategies as st

from lstm_mpc.assurance.clearance import clear
from lstm_mpc.certificates.certification import certify, recheck
from lstm_mpc.certificates.conditions import NAMES, SIGNED, layer_radius
from lstm_mpc.certificates.evidence import Certificate, Tube
from lstm_mpc.certificates.gate import release
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.certificates.reachability import reach, settled_box
from lstm_mpc.certificates.verdict.claims import decay
from lstm_mpc.certificates.verdict.computed import tube_verdict
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.control.limits import limits_of
from lstm_mpc.control.observers.observer import OpenLoop
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import Refused
from lstm_mpc.model import lstm
from lstm_mpc.model.lstm import Network
from lstm_mpc.model.model import Model
from lstm_mpc.model.single_precision import SINGLE, in_single_precision

few = settings(max_examples=10, deadline=None)
seeds, shapes = st.integers(0, 2**31), st.sampled_from(DEPTHS)


def edge_model():
    """ρ(Â) = ½ + ½·i·|U_c| = 1 − 10⁻⁶ in double precision, above 1 once W_i is rounded."""
    w = 1000 - 2.9e-5
    i = 1 / (1 + np.exp(1000 - w))
    layer = zero_layer(W_i=[[w]], b_i=[[-1000.0]], U_c=[[(1 - 2e-6) / i]])
    return model_of(Network((layer,), np.ones((1, 1)), np.zeros((1, 1))))


def of_edge(**changes):
    model = edge_model()
    policy = Policy(conditions=("delta_iss",), **changes)
    return release(
        model,
        [certify(model, "delta_iss")],
        validation=validation_for(model),
        policy=policy,
        safe_set=WIDE,
        tube=reach(model, safe_set=WIDE, steps=100),
    )


def test_a_network_at_the_edge_holds_in_double_and_is_refused_for_the_c():
    passed = of_edge()
    (certificate,) = passed.certificates
    assert certificate.holds
    assert not certificate.carried
    assert ", but NOT in single precision, as the C carries it: layer 1, (Â v)/v" in str(
        certificate
    )
    sentence = (
        r"delta_iss holds for the numbers in double precision and not for those that the C carries,"
        r" in single precision: layer 1, \(Â v\)/v, row \d = 1\.0\d+ ≥ 1, over by .*; train with a"
        r" larger `margin` of \[train\]$"
    )
    with pytest.raises(Refused, match=sentence) as refused:
        clear(ControllerSpec(passed))
    assert len(refused.value.reasons) == 1
    waived = of_edge(waive={"controller": "a bench"})
    assert any("in single precision" in why for _, why in clear(ControllerSpec(waived)).evidence)


@few
@given(seed=seeds, shape=shapes, name=st.sampled_from([n for n in NAMES if n != SIGNED]))
def test_the_verdict_in_single_precision_is_that_of_the_rounded_model(seed, shape, name):
    model = stable_model(seed, *shape)
    certificate, carried = certify(model, name), in_single_precision(model)
    if not certificate.holds:
        assert certificate.single is None
        return
    own = certify(carried, name)
    for mine, its in zip(certificate.single.inequalities, own.inequalities, strict=True):
        assert mine.value == pytest.approx(its.value, abs=1e-6)
    theta = lstm.pack(carried.network)
    assert np.array_equal(theta, theta.astype(np.float32))
    assert np.abs(theta - lstm.pack(model.network)).max() <= 0.5 * SINGLE * np.abs(theta).max()


def test_a_signed_proof_is_one_of_the_numbers_in_single_precision_too(tmp_path):
    certificate = certify(stable_model(0), SIGNED)
    assert certificate.holds
    assert certificate.carried
    assert certificate.radius == 1.0
    certificate.save(tmp_path / "c.json")
    again = Certificate.load(tmp_path / "c.json")
    assert again == certificate
    assert recheck(stable_model(0), again) == certificate


def inputs_of_c(model, u):
    """Normalised in single precision."""
    one = np.float32
    return (u.astype(one) - model.scaling.u_mid.astype(one)) / model.scaling.u_span.astype(one)


def outputs_of_c(model, u, chi, rng):
    """The network in single precision, its sums in any order, from χ (n, B) under u (N, nu, B)."""
    one, found = np.float32, []
    chi = chi.astype(one)
    for row in u:
        below, at = inputs_of_c(model, row.T).T, 0
        for layer in model.network.layers:
            x, xi = chi[at : at + layer.nx], chi[at + layer.nx : at + 2 * layer.nx]
            z, act = np.vstack([below, xi, np.ones_like(xi[:1])]), {}
            for g in lstm.GATES:
                rows, order = np.hstack(layer.gate(g)).astype(one), rng.permutation(len(z))
                total = sum(np.outer(rows[:, j], one(1)) * z[j] for j in order)
                half = one(0.5)
                act[g] = (
                    np.tanh(total) if g == "c" else half + half * np.tanh(half * total)
                ).astype(one)
            x[:] = act["f"] * x + act["i"] * act["c"]
            xi[:] = act["o"] * np.tanh(x)
            below, at = xi, at + 2 * layer.nx
        y = model.network.C.astype(one) @ chi[-model.network.nx[-1] :]
        y = y + model.network.b_y.astype(one)
        scaling = model.scaling
        found.append(scaling.y_span.astype(one)[:, None] * y + scaling.y_mid.astype(one)[:, None])
    return np.array(found, dtype=np.float64)


@few
@given(seed=seeds, shape=shapes)
def test_what_single_precision_computes_stays_in_its_tube(seed, shape):
    model, rng = stable_model(seed, *shape), np.random.default_rng(seed)
    tube = reach(model, safe_set=WIDE * shape[2], steps=60, count=4)
    low, high = model.u_low[:, None], model.u_high[:, None]
    u = np.where(rng.uniform(size=(60, shape[0], 200)) < 0.5, low, high)
    starts = np.hstack(
        [
            rng.uniform(-0.1, 0.1, (model.sizes.n, 100)),
            rng.uniform(*np.array(tube.settled).T, (100, model.sizes.n)).T,
        ]
    )
    y = outputs_of_c(model, u, starts, rng)
    ends = np.array(tube.single)
    assert (y.min(axis=(0, 2)) >= ends[:, 0]).all()
    assert (y.max(axis=(0, 2)) <= ends[:, 1]).all()
    assert all(a <= x and z <= b for (a, b), (x, z) in zip(tube.single, tube.whole, strict=True))


def test_a_tube_without_the_rounding_of_single_precision_is_left():
    """Must fail: a constant output, whose sum is rounded away from the bound in double."""
    rng, found = np.random.default_rng(0), []
    for seed in range(20):
        layer = zero_layer(b_c=[[rng.uniform(0.5, 2)]], b_f=[[-30.0]], b_o=[[30.0]], b_i=[[30.0]])
        model = model_of(Network((layer,), rng.uniform(0.5, 2, (1, 1)), rng.uniform(-1, 1, (1, 1))))
        tube = reach(model, safe_set=WIDE, steps=20, start_box=0.0)
        y = outputs_of_c(model, np.ones((20, 1, 1)), np.zeros((2, 1)), rng)[-1, 0, 0]
        (low, high), (low_c, high_c) = tube.forever[0], tube.single[0]
        assert low_c <= y <= high_c, seed
        found.append(low <= y <= high)
    assert not all(found)


@few
@given(seed=seeds, shape=shapes, spread=st.floats(0.1, 1.0))
def test_no_trajectory_leaves_the_settled_box_nor_one_from_it_the_tube(seed, shape, spread):
    model, rng = model_of(random_network(seed, *shape, spread=spread)), np.random.default_rng(seed)
    box = settled_box(model, 1.0)
    tube = reach(model, safe_set=WIDE * shape[2])
    chi = rng.uniform(*box.T, (300, model.sizes.n)).T
    twin, d, ends = model.core.batch, np.zeros((0, 300)), np.array(tube.whole)
    slack = 1e-12 * (1 + np.abs(box).max())
    for _ in range(30):
        y = twin.output(chi)
        assert (y >= ends[:, :1] - slack).all()
        assert (y <= ends[:, 1:] + slack).all()
        u = np.where(
            rng.uniform(size=(shape[0], 300)) < 0.5, model.u_low[:, None], model.u_high[:, None]
        )
        chi = twin.step(chi, u, d)
        assert (chi >= box[:, :1] - slack).all()
        assert (chi <= box[:, 1:] + slack).all()


def test_inputs_beyond_the_radius_that_a_model_tolerates_are_within_the_tube():
    """The limits reach 1 + 9·10⁻¹⁰; a steep gate shows it."""
    layer = zero_layer(W_c=[[40.0]], b_c=[[-40.0]], b_f=[[-30.0]], b_i=[[30.0]], b_o=[[30.0]])
    model = model_of(Network((layer,), np.full((1, 1), 1e6), np.zeros((1, 1))))
    wide = replace(model.inputs[0], high=model.inputs[0].high + 9e-10 * model.scaling.u_span[0])
    model = replace(model, inputs=(wide,))
    y = model.simulate(np.full((50, 1), wide.high))[-1, 0]
    ((low, high),) = reach(model, safe_set=WIDE, count=1, start_box=0.0).whole
    assert low <= y <= high
    exact = model.scaling.u_in([wide.high])[0]
    assert exact > 1.0
    reference = model.scaling.y_span[0] * 1e6 * np.tanh(np.tanh(40.0 * (exact - 1)))
    assert y == pytest.approx(reference, rel=1e-6)


def test_the_radius_alone_would_not_have_held_them(monkeypatch):
    """Must fail."""
    monkeypatch.setattr(Model, "overreach", 1.0)
    with pytest.raises(AssertionError):
        test_inputs_beyond_the_radius_that_a_model_tolerates_are_within_the_tube()


def test_with_a_disturbance_at_the_input_the_tube_reaches_further():
    model = stable_model(0)
    own, wide = reach(model, safe_set=WIDE), reach(model, safe_set=WIDE, beyond=0.4)
    assert (own.radius, wide.radius) == (1.0, 1.4)
    assert wide.whole[0][0] < own.whole[0][0] < own.whole[0][1] < wide.whole[0][1]
    same = replace(model, scaling=replace(model.scaling, radius=1.4))
    assert reach(same, safe_set=WIDE).whole == wide.whole
    assert tube_verdict(model, wide, WIDE)[1] == []


def test_the_kept_tube_is_the_one_computed_here():
    """A tube on file may differ by what another machine's rounding makes; its claim may not."""
    model = stable_model(0)
    true = reach(model, safe_set=WIDE)
    narrower = replace(true, whole=tuple((a + 1e-9, b - 1e-9) for a, b in true.whole))
    assert tube_verdict(model, narrower, WIDE) == (true, [])
    for name in ("whole", "single", "settled"):
        wrong = replace(true, **{name: tuple((a / 2, b / 2) for a, b in getattr(true, name))})
        verdict = tube_verdict(model, wrong, WIDE)
        assert verdict == (None, ["the tube is not what the model's numbers give"])


def test_the_claim_names_its_radius_and_its_starts():
    passed = of_edge()
    (claim,) = [text for kind, text in passed.claims() if "no input" in text]
    assert claim.startswith(
        "no input within the actuator limits (|u| ≤ 1, normalised) ever takes the output out of"
        " y1 in ["
    )
    assert (
        " from every start in |χ0| ≤ 0.1 or in the box that all trajectories enter; out of" in claim
    )
    assert claim.endswith(" as the C computes it, in single precision")


def test_what_the_observer_makes_the_model_see_is_claimed_at_its_radius():
    model = stable_model(0)
    passed = release(
        model,
        [certify(model, "delta_iss")],
        validation=validation_for(model),
        safe_set=WIDE,
        tube=reach(model, safe_set=WIDE),
    )
    tuning = KalmanTuning(noise=0.1, drift=0.1, max_disturbance=0.2 * model.scaling.u_span[0])
    spec = ControllerSpec(passed, ControlProblem(observer=tuning))
    own = [text for kind, text in spec.claims if kind == "proved" and "(|u| ≤ 1.2)" in text]
    assert own[0].startswith("with the input disturbance that the observer estimates (|u| ≤ 1.2):")
    assert "delta_iss holds with margin" in own[0]
    assert "; within the safe set" in own[1]
    assert all(text in spec.sources[f"{spec.name}.h"].replace("\n * ", " ") for text in own[:1])
    tight = replace(passed, safe_set=reach(model, safe_set=WIDE).whole)
    spec = ControllerSpec(tight, ControlProblem(observer=tuning))
    assert "; NOT within the safe set" in spec.claims[-1][1]
    assert ControllerSpec(passed).claims == passed.claims()


def test_an_estimate_begins_within_the_box():
    """A fit to nonsense lands far out; where the estimator begins is where the tube begins."""
    model = stable_model(0)
    problem = ControlProblem()
    observer = OpenLoop(model, limits_of(model, problem), problem)
    box = settled_box(model, 1.0)
    begun = []
    observer._from = lambda chi, u: (begun.append(chi), OpenLoop._from(observer, chi, u))
    y = np.where(np.arange(40) % 2, 1e6, -1e6)[:, None]
    observer.begin(np.full((40, 1), 1.0), y)
    assert (box[:, 0] <= begun[0]).all()
    assert (begun[0] <= box[:, 1]).all()
    assert (np.abs(begun[0] - np.clip(begun[0], box[:, 0], box[:, 1])) == 0).all()


def test_a_stack_decays_as_it_does():
    alone, stack = (
        certify(stable_model(0), "delta_iss"),
        certify(model_of(stable_network(1, 1, (2, 2), 1)), "delta_iss"),
    )
    assert alone.holds
    assert decay(alone) == ""
    rates = [layer["rate"] for layer in stack.constants["layers"]]
    assert decay(stack) == (
        f"by delta_iss two runs of the 2 layers (rates {rates[0]:.4f}, {rates[1]:.4f}) with the"
        f" same input differ after k samples by at most c·k·λ^k, λ = {max(rates):.4f}, and by"
        " c'·λ^k where the rates differ"
    )


@few
@given(seed=seeds)
def test_two_equal_layers_decay_no_faster_than_k_times_the_power(seed):
    """x⁺ = λ x + …: the difference of the upper layer obeys the formula, not λ^k alone."""
    rate, drive, k = 0.9, 0.3, np.arange(1, 200)
    upper, lower, found = 0.0, 1.0, []
    for _ in k:
        upper, lower = rate * upper + drive * rate * lower, rate * lower
        found.append(upper)
    found = np.array(found)
    assert (found <= drive * k * rate**k * (1 + 1e-9)).all()
    assert found[-1] > 10 * drive * rate ** k[-1]


def test_layers_above_see_no_more_than_one():
    assert [layer_radius(number, 1.5) for number in (0, 1)] == [1.5, 1.0]


def test_a_tube_keeps_its_start_and_its_figures_in_a_file(tmp_path):
    tube = reach(stable_model(0), safe_set=WIDE)
    tube.save(tmp_path / "tube.json")
    assert Tube.load(tmp_path / "tube.json") == tube
    assert len(tube.settled) == stable_model(0).sizes.n
