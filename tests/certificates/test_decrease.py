"""The comparison matrix of two runs with different inputs, and weights that fall along it."""

import mpmath
import numpy as np
import pytest
from builders import DEPTHS, stable_network, zero_layer
from mpmath import iv

from lstm_mpc.certificates.conditions import comparison
from lstm_mpc.certificates.decrease.comparison import input_comparison, rounded_up
from lstm_mpc.certificates.decrease.weights import least_weights, room, schur_weights
from lstm_mpc.certificates.norms import Numbers
from lstm_mpc.errors import InputError
from lstm_mpc.model import lstm
from lstm_mpc.model.lstm import Network


def step_of(network, chi, v):
    """One step, written out with NumPy."""
    after, below, at = [], v, 0
    for layer in network.layers:
        x, xi = chi[at : at + layer.nx], chi[at + layer.nx : at + 2 * layer.nx]
        z = {g: W @ below + U @ xi + b[:, 0] for g in "fioc" for W, U, b in [layer.gate(g)]}
        f, i, o = (1 / (1 + np.exp(-z[g])) for g in "fio")
        x = f * x + i * np.tanh(z["c"])
        below = o * np.tanh(x)
        after += [x, below]
        at += 2 * layer.nx
    return np.concatenate(after)


def bounds(network):
    """x̄ of every layer and 1 of every ξ."""
    from lstm_mpc.certificates.reachability import invariant_start

    return invariant_start(network, 1.0).high[:, 0]


@pytest.mark.parametrize("sizes", DEPTHS)
def test_two_runs_part_no_further_than_the_matrices_say(sizes):
    network = stable_network(3, *sizes)
    A, B = input_comparison(network, 1.0)
    rng, box = np.random.default_rng(0), bounds(network)
    ratio = 0.0
    for _ in range(200):
        one, other = rng.uniform(-box, box), rng.uniform(-box, box)
        v, w = rng.uniform(-1, 1, network.nu), rng.uniform(-1, 1, network.nu)
        apart = np.abs(step_of(network, one, v) - step_of(network, other, w))
        most = A @ np.abs(one - other) + B @ np.abs(v - w)
        assert (apart <= most).all()
        ratio = max(ratio, float((apart / most).max()))
    assert ratio > 0.1  # and not by far


def test_with_one_input_it_is_the_matrix_of_the_certificate():
    network = stable_network(1)
    A, _ = input_comparison(network, 1.0)
    certified = np.asarray(comparison(network.layers[0], Numbers(), 1.0))
    assert pytest.approx(certified, rel=1e-6) == A
    assert (certified <= A).all()


def test_the_input_enters_through_every_gate():
    one, other = (
        zero_layer(W_f=[[1]], W_i=[[2]], W_o=[[3]], W_c=[[4]], b_c=[[5]], b_i=[[i]]) for i in (1, 2)
    )
    for layer in (one, other):
        network = Network((layer,), np.ones((1, 1)), np.zeros((1, 1)))
        _, B = input_comparison(network, 1.0)
        with mpmath.workprec(80):
            f, i, o = (1 / (1 + mpmath.exp(-z)) for z in (1, 2 + layer.b_i[0, 0], 3))
            c = mpmath.tanh(9)
            x_bar = i * c / (1 - f)
            x = x_bar / 4 + 4 * i + 2 * c / 4
            xi = o * x + 3 * mpmath.tanh(x_bar) / 4
        assert B[:, 0] == pytest.approx([float(x), float(xi)], rel=1e-7)
        assert B[0, 0] >= x
        assert B[1, 0] >= xi


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1 / 3, 123456789.123, 9.99999999e-5, 2e-300])
def test_rounding_up_never_rounds_down_and_keeps_eight_digits(value):
    (held,) = rounded_up(np.array([value]))
    assert value <= held <= value * (1 + 2e-7)
    assert held == float(f"{held:.7e}")


M = np.array([[0.9, 0.3], [0.0, 0.5]])
L = np.array([[1.0, 0.5], [0.5, 2.0]])


def exactly_positive(matrix):
    """LDLᵀ in 80-bit intervals."""
    before, iv.prec = iv.prec, 80
    try:
        rows = [[iv.mpf(x) for x in row] for row in matrix]
        for k in range(len(rows)):
            if not rows[k][k].a > 0:
                return False
            for i in range(k + 1, len(rows)):
                share = rows[i][k] / rows[k][k]
                rows[i] = [a - share * b for a, b in zip(rows[i], rows[k], strict=True)]
        return True
    finally:
        iv.prec = before


def fall(d):
    """diag(d) − Mᵀ diag(d) M − L, exact up to its last digits."""
    return (np.diag(d) - M.T @ np.diag(d) @ M - L).tolist()


def test_weights_by_hand_and_the_least_ones_are_proved():
    by_hand, least = schur_weights(M, L), least_weights(M, L, np.ones(2))
    for d in (by_hand, least):
        assert room(M, d, L) < 1
        assert exactly_positive(fall(d))
    assert least.sum() < by_hand.sum()


def test_one_percent_less_is_no_proof():
    least = least_weights(M, L, np.ones(2))
    assert not room(M, 0.99 * least, L) < 1
    assert not exactly_positive(fall(0.99 * least))


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda M, d, L: (M, -d, L),
        lambda M, d, L: (-M, d, L),
        lambda M, d, L: (M, d, -L),
        lambda M, d, L: (M, d * np.nan, L),
        lambda M, d, L: (M + 0.2 * np.eye(2), d, L),
    ],
)
def test_what_is_no_proof_is_none(spoilt):
    assert not room(*spoilt(M, least_weights(M, L, np.ones(2)), L)) < 1


def test_what_does_not_shrink_has_no_weights():
    with pytest.raises(InputError, match=r"spectral radius 1\.0.*needs a model on which delta_iss"):
        least_weights(np.array([[1.01]]), np.eye(1), np.ones(1))


def test_the_network_step_of_this_file_is_the_models():
    import casadi as ca

    network = stable_network(2, 2, (3, 2), 1)
    rng = np.random.default_rng(1)
    chi, v = rng.uniform(-1, 1, network.n), rng.uniform(-1, 1, 2)
    model = np.asarray(ca.DM(lstm.step(network, ca.DM(chi), ca.DM(v)))).ravel()
    assert step_of(network, chi, v) == pytest.approx(model, rel=1e-12)
