"""The network against eq. (2) retyped in plain loops, and its parameters as one vector."""

import casadi as ca
import numpy as np
import paper
import pytest
from builders import DEPTHS, plain, random_network
from hypothesis import given, settings, strategies as st
from tolerances import ROUND_OFF

from lstm_mpc.errors import InputError
from lstm_mpc.model import lstm
from lstm_mpc.model.lstm import Sizes

sizes = st.sampled_from(DEPTHS)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(seed=st.integers(0, 10_000), shape=sizes, spread=st.floats(0.1, 8.0))
def test_the_step_and_the_output_are_eq_2(seed, shape, spread):
    network, rng = random_network(seed, *shape, spread=spread), np.random.default_rng(seed)
    chi, u = rng.uniform(-2, 2, network.n), rng.uniform(-1, 1, network.nu)
    layers = plain(network)
    found = np.asarray(lstm.step(network, ca.DM(chi), ca.DM(u))).ravel()
    np.testing.assert_allclose(
        found, paper.lstm_step(layers, chi.tolist(), u.tolist()), rtol=ROUND_OFF, atol=ROUND_OFF
    )
    y = np.asarray(lstm.output(network, ca.DM(chi))).ravel()
    expected = paper.lstm_output(
        layers, network.C.tolist(), network.b_y.ravel().tolist(), chi.tolist()
    )
    np.testing.assert_allclose(y, expected, rtol=ROUND_OFF, atol=ROUND_OFF)


def test_a_stack_reads_the_updated_state_of_the_layer_below():
    """Must fail with the other convention: the oracle that reads the old ξ gives something else."""
    network = random_network(1, 1, (2, 3), 1)
    chi, u = [0.3] * 10, [0.5]
    found = np.asarray(lstm.step(network, ca.DM(chi), ca.DM(u))).ravel()
    other = paper.lstm_step(plain(network), chi, u, updated=False)
    assert found[:4] == pytest.approx(other[:4], rel=ROUND_OFF)
    assert np.abs(found[4:] - other[4:]).max() > 1e-3


@settings(deadline=None, derandomize=True, max_examples=60)
@given(seed=st.integers(0, 10_000), shape=sizes, spread=st.floats(0.1, 50.0))
def test_cells_stay_inside_one_whatever_the_weights(seed, shape, spread):
    """(3b): |ξ⁺| < 1, so y − b_y < ‖C‖∞ without any condition."""
    network, rng = random_network(seed, *shape, spread=spread), np.random.default_rng(seed)
    chi = ca.DM(rng.uniform(-100, 100, network.n))
    for _ in range(3):
        chi = lstm.step(network, chi, ca.DM(rng.uniform(-1, 1, network.nu)))
    y = np.asarray(lstm.output(network, chi))
    assert (np.abs(y - network.b_y).ravel() <= np.abs(network.C).sum(axis=1)).all()


@pytest.mark.parametrize("number", [-1e4, -40.0, 0.0, 0.7, 40.0, 1e4])
def test_the_sigmoid_has_no_overflow(number):
    for value in (number, ca.DM(number)):
        assert float(lstm.sigmoid(value)) == pytest.approx(
            paper.sigma(number), rel=ROUND_OFF, abs=ROUND_OFF
        )


# -- parameters as a vector ------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=30)
@given(seed=st.integers(0, 1000), shape=sizes)
def test_pack_and_unpack_are_inverse_for_numbers_and_symbols(seed, shape):
    size = Sizes(*shape)
    theta = np.random.default_rng(seed).normal(size=size.parameters)
    network = lstm.unpack(theta, size)
    assert np.array_equal(lstm.pack(network), theta)
    assert lstm.sizes_of(network) == size
    assert (network.n, network.nx) == (size.n, size.nx)
    symbolic = lstm.unpack(ca.DM(theta), size)
    for name, leaf in lstm.parameters(network).items():
        assert leaf.shape == size.shapes[name]
        assert np.array_equal(np.asarray(lstm.parameters(symbolic)[name]), leaf)
        assert np.array_equal(leaf.ravel(order="F"), theta[size.slices[name]])
    same = lstm.from_parameters(lstm.parameters(network))
    assert np.array_equal(lstm.pack(same), theta)


def test_a_numeric_network_is_read_only():
    leaf = random_network(0).layers[0].U_f
    with pytest.raises(ValueError, match="read-only"):
        leaf[0, 0] = 1.0


def test_the_parameters_are_counted():
    assert Sizes(1, (5,), 1).parameters == 4 * (5 + 25 + 5) + 5 + 1
    assert Sizes(2, (3, 2), 3).parameters == 4 * (6 + 9 + 3) + 4 * (6 + 4 + 2) + 6 + 3


def _leaves(**changes):
    named = {**lstm.parameters(random_network(0)), **changes}
    return {name: leaf for name, leaf in named.items() if leaf is not None}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sizes(1, (), 1), r"at least 1, got nu=1, nx=\(\), ny=1"),
        (lambda: Sizes(0, (3,), 1), "got nu=0"),
        (lambda: Sizes(1, (3, 0), 1), r"nx=\(3, 0\)"),
        (lambda: lstm.from_parameters({}), "parameters are incomplete"),
        (
            lambda: lstm.from_parameters(_leaves(C=None)),
            "parameters are incomplete: 'C' is missing",
        ),
        (
            lambda: lstm.from_parameters(_leaves(**{"x.y": [[1.0]]})),
            "parameters are incomplete: .*'x'",
        ),
        (
            lambda: lstm.from_parameters(_leaves(b_y=None)),
            "do not fit together: b_y missing or unknown",
        ),
        (
            lambda: lstm.from_parameters(_leaves(D=[[1.0]])),
            "do not fit together: D missing or unknown",
        ),
        (
            lambda: lstm.from_parameters(_leaves(**{"0.U_c": np.eye(2)})),
            "parameter 0.U_c must be 3×3, got 2×2",
        ),
        (lambda: lstm.from_parameters(_leaves(C=[1.0])), r"C must have 2 dimension\(s\)"),
        (lambda: lstm.from_parameters(_leaves(b_y=[[np.nan]])), "b_y must be finite, got nan"),
        (
            lambda: lstm.unpack(np.full(Sizes(1, (1,), 1).parameters, np.inf), Sizes(1, (1,), 1)),
            "must be finite",
        ),
    ],
)
def test_misuse_is_named(make, words):
    with pytest.raises(InputError, match=words):
        make()
