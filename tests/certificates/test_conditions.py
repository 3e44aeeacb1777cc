"""Condition (7) against the paper retyped, and what it does and does not give."""

from dataclasses import replace

import casadi as ca
import numpy as np
import paper
import pytest
from builders import DEPTHS, bistable, model_of, plain, random_network, stable_network, zero_layer
from hypothesis import given, settings, strategies as st
from tolerances import ROUND_OFF

from lstm_mpc.certificates import conditions
from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.norms import Exact
from lstm_mpc.errors import InputError
from lstm_mpc.model import lstm
from lstm_mpc.model.lstm import Network
from lstm_mpc.plants.system import simulate

often = settings(deadline=None, derandomize=True, max_examples=60)
seeds, shapes = st.integers(0, 10_000), st.sampled_from(DEPTHS)


def values(network, radius=1.0):
    return np.array([float(v) for _, _, v in conditions.evaluate(network, "iss", Exact(), radius)])


def one_layer(**leaves):
    """A single-layer model with the given leaves, zeros elsewhere."""
    nx, nu = next((len(v), 1) for v in leaves.values())
    layer = zero_layer(nx, nu, **leaves)
    return model_of(Network((layer,), np.ones((1, nx)), np.zeros((1, 1))))


# -- the formula -----------------------------------------------------------------------------------


@often
@given(seed=seeds, shape=shapes, spread=st.floats(0.01, 5.0), radius=st.floats(0.1, 3.0))
def test_both_inequalities_are_condition_7_layer_by_layer(seed, shape, spread, radius):
    network = random_network(seed, *shape, spread=spread)
    layers = plain(network)
    expected = [
        v
        for n, layer in enumerate(layers)
        for v in paper.condition_7(layer, radius if n == 0 else 1.0)
    ]
    assert values(network, radius) == pytest.approx(expected, rel=ROUND_OFF)
    assert conditions.smallest_margin(network, ("iss",), radius) == pytest.approx(
        paper.stack_margin(layers, radius), abs=1e-9
    )


@often
@given(seed=seeds, shape=shapes, factor=st.floats(1.0, 3.0), data=st.data())
def test_no_quantity_falls_when_any_weight_grows(seed, shape, factor, data):
    network = random_network(seed, *shape)
    theta = lstm.pack(network)
    at = data.draw(st.integers(0, len(theta) - 1))
    grown = theta.copy()
    grown[at] *= data.draw(st.sampled_from([-1.0, 1.0])) * factor
    larger = values(lstm.unpack(grown, lstm.sizes_of(network)))
    assert (larger >= values(network) * (1 - ROUND_OFF)).all()


@often
@given(seed=seeds, shape=shapes, radius=st.floats(0.1, 2.0))
def test_a_larger_input_range_is_never_easier_and_touches_the_first_layer_only(seed, shape, radius):
    network = random_network(seed, *shape)
    near, far = values(network, radius), values(network, 1.5 * radius)
    assert (far >= near).all()
    assert (far[:2] > near[:2]).all()
    assert np.array_equal(far[2:], near[2:])  # above, the input is ξ with |ξ| < 1 (Remark 6)


def test_the_margin_without_conditions_is_infinite():
    assert conditions.smallest_margin(random_network(0), (), 1.0) == np.inf


def test_an_unknown_condition_is_named():
    with pytest.raises(InputError, match="unknown stability condition 'magic'; known: iss"):
        certify(model_of(stable_network(0)), "magic")


# -- the certificate -------------------------------------------------------------------------------


@often
@given(seed=seeds, shape=shapes, stable=st.booleans())
def test_a_certificate_speaks_of_the_model_and_holds_exactly_when_the_paper_says_so(
    seed, shape, stable
):
    model = model_of(stable_network(seed, *shape) if stable else random_network(seed, *shape))
    certificate = certify(model)
    assert (certificate.model, certificate.condition, certificate.radius) == (
        model.digest,
        "iss",
        1.0,
    )
    assert certificate.holds == (paper.stack_margin(plain(model.network)) > 0)
    assert certificate.holds or not stable
    assert len(certificate.inequalities) == 2 * len(shape[1])
    assert bool(certificate.constants) == certificate.holds


def test_the_radius_of_the_scaling_counts():
    model = model_of(stable_network(0))
    wide = replace(model, scaling=replace(model.scaling, radius=99.0))
    assert certify(model).holds
    assert certify(wide).radius == 99.0
    assert certify(wide).margin == pytest.approx(
        paper.stack_margin(plain(wide.network), 99.0), rel=1e-9
    )
    assert not certify(wide).holds


def test_only_the_forget_inequality_fails_and_the_row_is_named():
    certificate = certify(one_layer(b_f=[[0.1], [-1.0], [0.2]], b_o=[[0.0], [0.1], [0.4]]))
    first, second = certificate.inequalities
    assert first.value > 1 > second.value
    assert not certificate.holds
    assert "gate f: row 2, Σ|·| = 1; gate o: row 3, Σ|·| = 0.4" in str(certificate)
    assert "layer 1, (1+σO)σF = 1.168" in str(certificate)
    assert "Uc" not in str(certificate)


def test_only_the_second_inequality_fails_and_the_column_is_named():
    U_c = [[0.1, 0.0, 1.5], [0.0, 0.0, 0.0], [0.3, 0.0, -0.5]]
    certificate = certify(one_layer(U_c=U_c, b_i=[[0.0], [-0.2], [0.1]]))
    first, second = certificate.inequalities
    assert first.value < 1 < second.value
    assert not certificate.holds
    assert "U_c: column 3, Σ|·| = 2; gate i: row 2, Σ|·| = 0.2; gate o: row 1" in str(certificate)
    assert "σF" not in str(certificate)


def test_the_failing_layer_of_a_stack_is_named():
    good, bad = zero_layer(2, 1), zero_layer(2, 2, b_f=[[0.0], [3.0]])
    certificate = certify(model_of(Network((good, bad), np.ones((1, 2)), np.zeros((1, 1)))))
    assert [line.margin > 0 for line in certificate.inequalities] == [True, True, False, True]
    assert str(certificate).startswith("iss fails: layer 2, (1+σO)σF = 1.4")
    assert "gate f: row 2, Σ|·| = 3" in str(certificate)


def test_a_holding_certificate_names_what_is_tightest():
    certificate = certify(one_layer(b_f=[[0.0], [0.2]]))
    assert str(certificate).startswith(
        "iss holds with margin δ = 0.1752 (tightest: layer 1, (1+σO)σF, gate f: row 2"
    )


# -- what (7) gives --------------------------------------------------------------------------------


@often
@given(seed=seeds, shape=shapes, reach=st.floats(0.0, 20.0))
def test_the_lyapunov_function_of_the_appendix_falls_by_the_certified_margin(seed, shape, reach):
    """V⁺ ≤ (1−δ)V + 2|W_c|₁|u|₁ + 2|b_c|₁ in every layer, for |ξ| < 1 and any x."""
    network, rng = stable_network(seed, *shape), np.random.default_rng(seed)
    certificate = certify(model_of(network))
    u = rng.uniform(-1, 1, network.nu).tolist()
    for layer, lines in zip(
        plain(network), np.reshape(certificate.inequalities, (-1, 2)), strict=True
    ):
        nx, delta = len(layer["b_c"]), min(line.margin for line in lines)
        x, xi = rng.uniform(-reach, reach, nx).tolist(), rng.uniform(-1, 1, nx).tolist()
        following = paper.layer_step(layer, x, xi, u)
        allowed = (1 - delta) * paper.lyapunov(x, xi)
        allowed += 2 * paper.column_norm(layer["W_c"]) * sum(map(abs, u)) + 2 * sum(
            map(abs, layer["b_c"])
        )
        assert paper.lyapunov(*following) <= allowed * (1 + ROUND_OFF)
        u = following[1]


def test_the_margin_cannot_be_larger():
    """Must fail: for small x under the worst input V falls by δ and no more."""
    certificate = certify(one_layer(W_f=[[0.3]], W_o=[[0.2]]))
    layer = plain(one_layer(W_f=[[0.3]], W_o=[[0.2]]).network)[0]
    before, after = ([1e-4], [0.0]), paper.layer_step(layer, [1e-4], [0.0], [1.0])
    ratio = paper.lyapunov(*after) / paper.lyapunov(*before)
    assert ratio == pytest.approx(1 - certificate.margin, rel=1e-6)


def test_without_7_the_lyapunov_function_may_rise():
    """Must fail: a forget gate at 0.95 on which (7) fails."""
    network = one_layer(b_f=[[3.0]], b_o=[[3.0]]).network
    assert paper.stack_margin(plain(network)) < 0
    after = paper.layer_step(plain(network)[0], [0.1], [0.0], [0.0])
    assert paper.lyapunov(*after) > 0.1


@often
@given(seed=seeds, shape=shapes, reach=st.floats(0.01, 10.0))
def test_no_trajectory_leaves_the_iss_bound(seed, shape, reach):
    """Eq. (5) with the constants of the certificate, layer by layer; the input of a layer is ξ⁺ of
    the one below."""
    network, rng = stable_network(seed, *shape), np.random.default_rng(seed)
    model = model_of(network)
    inputs = rng.uniform(-1, 1, (40, network.nu)) * rng.choice([0.0, 1.0])
    start = rng.uniform(-0.99, 0.99, network.n)
    at = 0
    for nx in network.nx:
        start[at : at + nx] *= reach
        at += 2 * nx
    chi = simulate(model.system, model.scaling.u_out(inputs), x0=start).chi
    assert len(certify(model).constants["layers"]) == len(network.layers)
    at, u = 0, inputs
    for layer, nx, c in zip(
        network.layers, network.nx, certify(model).constants["layers"], strict=True
    ):
        own = np.linalg.norm(chi[:, at : at + 2 * nx], axis=1)
        fixed = c["gamma_u"] * np.linalg.norm(u, axis=1).max() + c["gamma_b"] * np.linalg.norm(
            layer.b_c
        )
        bound = c["beta_gain"] * c["beta_rate"] ** np.arange(41) * own[0] + fixed
        assert (own <= bound * (1 + ROUND_OFF)).all()
        u, at = chi[1:, at + nx : at + 2 * nx], at + 2 * nx


@often
@given(seed=seeds, shape=shapes)
def test_the_constants_of_the_bound_are_those_of_the_appendix(seed, shape):
    network = stable_network(seed, *shape)
    for layer, nx, c in zip(
        plain(network), network.nx, certify(model_of(network)).constants["layers"], strict=True
    ):
        nu, delta = len(layer["W_c"][0]), min(1 - v for v in paper.condition_7(layer))
        b_c = paper.norm_2(layer["b_c"])
        expected = {
            "delta": delta,
            "beta_gain": np.sqrt(2 * nx),
            "beta_rate": 1 - delta,
            "gamma_u": 2 * np.sqrt(nu) * paper.column_norm(layer["W_c"]) / delta,
            "gamma_b": 2 * np.sqrt(nx) / delta,
        }
        expected["state_bound"] = (
            0.1 * 2 * nx + expected["gamma_u"] * np.sqrt(nu) + expected["gamma_b"] * b_c
        )
        assert {k: c[k] for k in expected} == pytest.approx(expected, rel=1e-9)


@often
@given(seed=seeds, shape=shapes)
def test_the_printed_state_bound_holds_from_every_start_near_zero(seed, shape):
    network, rng = stable_network(seed, *shape), np.random.default_rng(seed)
    model = model_of(network)
    u = model.scaling.u_out(rng.uniform(-1, 1, (40, network.nu)))
    chi = simulate(model.system, u, x0=rng.uniform(-0.1, 0.1, network.n)).chi
    at = 0
    for nx, c in zip(network.nx, certify(model).constants["layers"], strict=True):
        assert np.linalg.norm(chi[:, at : at + 2 * nx], axis=1).max() <= c["state_bound"]
        at += 2 * nx


# -- what (7) does not give ------------------------------------------------------------------------


def test_7_does_not_make_two_runs_meet():
    """The counterexample of theory.md, section 3, to "the effect of initialization asymptotically
    vanishes"."""
    model = model_of(bistable())
    certificate = certify(model)
    assert certificate.holds
    assert [line.value for line in certificate.inequalities] == pytest.approx(
        [0.940, 0.0], abs=5e-4
    )
    ends = []
    for xi in (0.3, 0.5):
        run = simulate(model.system, np.full((500, 1), model.scaling.u_mid[0]), x0=[0.0, xi])
        ends.append(float(model.scaling.y_in(run.y[-1])[0]))
    assert ends == pytest.approx([0.0006, 0.844], abs=5e-4)


def test_a_slack_above_every_weight_gives_a_sound_upper_bound():
    """Training feeds the same formula with upper bounds of |W|; any of them is on the safe side."""

    class Loose(Exact):
        def absolute(self, layer, name):
            return ca.fabs(ca.DM(getattr(layer, name))) + 0.1

        def largest(self, v):
            return ca.mmax(v) + 0.1

    network = random_network(4, 2, (3, 2), 1)
    loose = [float(v) for _, _, v in conditions.evaluate(network, "iss", Loose(), 1.0)]
    assert (np.array(loose) > values(network)).all()
