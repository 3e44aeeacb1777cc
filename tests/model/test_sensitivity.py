"""Derivatives of the simulation error against finite differences and the plain recursion."""

import numpy as np
import paper
import pytest
from builders import plain
from compiling import lacking
from hypothesis import given, settings, strategies as st
from tolerances import DIFFERENCE, ROUND_OFF

from lstm_mpc.errors import InputError
from lstm_mpc.model import kernel, lstm
from lstm_mpc.model.lstm import Sizes
from lstm_mpc.model.sensitivity import BLOCKS, Piece, SimulationError

CASES = {
    "one layer": (Sizes(1, (3,), 1), (40,)),
    "two layers": (Sizes(1, (2, 3), 1), (30,)),
    "MIMO, two layers, two records": (Sizes(2, (3, 2), 2), (25, 70)),
    "shorter than the blocks": (Sizes(2, (2,), 1), (5, 2)),
    "uneven blocks": (Sizes(1, (2,), 2), (2 * BLOCKS + 1, BLOCKS, BLOCKS - 1)),
}


def problem(sizes, lengths, *, washout=3, seed=0):
    rng, pieces = np.random.default_rng(seed), []
    for N in lengths:
        weight = rng.uniform(0.5, 1.5, (N, sizes.ny)) / sum(lengths)
        weight[: min(washout, N - 1)] = 0.0
        weight[-1, 0] = 0.0  # not measured
        pieces.append(
            Piece(rng.uniform(-1, 1, (N, sizes.nu)), rng.uniform(-1, 1, (N, sizes.ny)), weight)
        )
    error = SimulationError(sizes, pieces)
    return error, rng.uniform(-0.8, 0.8, error.size)


def recursion(error, z):
    """The residual from eq. (2) retyped."""
    p, rows = error.sizes.parameters, []
    network = lstm.unpack(z[:p], error.sizes)
    for piece, start in zip(error.pieces, z[p:].reshape(len(error.pieces), -1), strict=True):
        C, b_y = network.C.tolist(), network.b_y.ravel().tolist()
        outputs, _ = paper.lstm_run(plain(network), C, b_y, start.tolist(), piece.u.tolist())
        rows.append((np.sqrt(piece.weight) * (np.array(outputs) - piece.y)).ravel())
    return np.concatenate(rows)


def differences(function, z, h=1e-5):
    """Central differences, one column per entry of z."""
    columns = [(function(z + h * e) - function(z - h * e)) / (2 * h) for e in np.eye(len(z))]
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize(("sizes", "lengths"), CASES.values(), ids=CASES)
def test_the_residual_is_the_papers_and_the_jacobian_its_derivative(sizes, lengths):
    error, z = problem(sizes, lengths)
    expected = recursion(error, z)
    assert error.size == sizes.parameters + len(lengths) * sizes.n
    np.testing.assert_allclose(error.residual(z), expected, rtol=ROUND_OFF, atol=ROUND_OFF)
    J, slope = error.jacobian(z), differences(lambda v: error.residual(v).copy(), z)
    assert J.shape == (sum(lengths) * sizes.ny, error.size)
    np.testing.assert_allclose(J, slope, atol=DIFFERENCE * np.abs(slope).max())


@settings(deadline=None, derandomize=True, max_examples=25)
@given(seed=st.integers(0, 1000), N=st.integers(1, 3 * BLOCKS))
def test_the_jacobian_is_right_for_every_length(seed, N):
    """Along one random direction, since only the cutting into blocks is in question."""
    error, z = problem(Sizes(1, (2,), 1), (N,), washout=0, seed=seed)
    direction = np.random.default_rng(seed).normal(size=error.size)
    slope = (
        error.residual(z + 1e-5 * direction).copy() - error.residual(z - 1e-5 * direction)
    ) / 2e-5
    np.testing.assert_allclose(
        error.jacobian(z) @ direction, slope, atol=DIFFERENCE * max(1e-3, np.abs(slope).max())
    )


@pytest.mark.parametrize(("sizes", "lengths"), CASES.values(), ids=CASES)
def test_value_gradient_and_gauss_newton_matrix_belong_together(sizes, lengths):
    error, z = problem(sizes, lengths, seed=1)
    r, J = recursion(error, z), error.jacobian(z)
    assert error.value(z) == pytest.approx(0.5 * r @ r, rel=ROUND_OFF)
    np.testing.assert_allclose(error.gradient(z), J.T @ r, rtol=1e-9, atol=ROUND_OFF)
    np.testing.assert_allclose(error.hessian(z), J.T @ J, rtol=1e-9, atol=ROUND_OFF)
    slope = differences(lambda v: np.array(error.value(v)), z)
    np.testing.assert_allclose(error.gradient(z), slope, atol=DIFFERENCE * np.abs(slope).max())


def test_a_washout_counts_nothing_and_everything_after_it_counts():
    error, z = problem(Sizes(1, (2,), 2), (30,), washout=4)
    r = error.residual(z).reshape(30, 2)
    assert not r[:4].any()
    assert r[-1, 0] == 0.0
    assert (r[4:].ravel()[np.arange(52) != 50] != 0).all()
    assert not error.jacobian(z)[:8].any()
    assert np.abs(error.jacobian(z)[8:, -4:]).max() > 0  # the start is seen through the washout


def test_one_point_is_simulated_once_and_a_moved_point_again():
    error, z = problem(Sizes(1, (2,), 1), (20,))
    error.value(z), error.gradient(z), error.hessian(z.copy())
    assert error.evaluations == {"value": 1, "jacobian": 1}
    first = error.gradient(z).copy()
    z[0] += 0.1  # in place: the same array, another point
    assert not np.allclose(error.gradient(z), first)
    assert error.evaluations == {"value": 2, "jacobian": 2}


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    seed=st.integers(0, 1000),
    sizes=st.sampled_from([Sizes(1, (1,), 1), Sizes(2, (4,), 3), Sizes(3, (2, 5, 1), 2)]),
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=3),
)
def test_the_kernel_in_c_computes_what_the_equations_say(seed, sizes, lengths):
    if kernel.library() is None:
        lacking("a C compiler is missing; `apt-get install gcc` brings it")
    error, z = problem(sizes, lengths, washout=1, seed=seed)
    oracle = SimulationError(error.sizes, error.pieces, kernel="casadi")
    np.testing.assert_allclose(error.residual(z), oracle.residual(z), atol=ROUND_OFF)
    np.testing.assert_allclose(error.jacobian(z), oracle.jacobian(z), atol=ROUND_OFF)


def test_a_simulation_that_overflows_is_infinite_in_both():
    error, z = problem(Sizes(1, (2,), 1), (30,))
    z[0] = 1e308
    for name in ("auto", "casadi"):
        one = SimulationError(error.sizes, error.pieces, kernel=name)
        assert np.isfinite(one.residual(z)).all()  # gates saturate, whatever the weights


def test_without_a_compiler_casadi_computes(monkeypatch):
    error, z = problem(Sizes(1, (2,), 1), (30,))
    expected = error.jacobian(z)
    monkeypatch.setattr(kernel, "library", lambda: None)
    without = SimulationError(error.sizes, error.pieces)
    np.testing.assert_allclose(without.jacobian(z), expected, atol=ROUND_OFF)
    with pytest.raises(InputError, match=r"kernel = 'c' needs a C compiler .*; install one"):
        SimulationError(error.sizes, error.pieces, kernel="c")
