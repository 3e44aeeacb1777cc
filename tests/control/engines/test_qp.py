"""The quadratic program: what it returns is the minimiser, by the conditions of Karush, Kuhn and
Tucker and by trying every working set."""

from itertools import product

import numpy as np
import pytest
from tolerances import KKT, ROUND_OFF

from lstm_mpc.control.engines.qp import ACTIVE, CAPPED, FREE, Rows, WorkingSet, solve

PLENTY = 10_000


def hessian(rng, n, *, flat=0.1):
    """Symmetric with eigenvalues from `flat` upwards."""
    A = rng.normal(size=(n, n))
    return A @ A.T + flat * np.eye(n)


def program(seed, n=None, soft=None, *, tight=False):
    """Like those of the controller: bounds and rates around p = 0, soft rows anywhere. `tight`:
    many hard rows touch p = 0."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9)) if n is None else n
    soft = int(rng.integers(0, 2 * n + 1)) if soft is None else soft
    D, gains = np.eye(n) - np.eye(n, k=-1), rng.normal(size=(soft, n))
    normals = np.vstack([np.eye(n), -np.eye(n), D, -D, gains, -gains])
    hard = rng.uniform(0, 1, 4 * n) * (rng.uniform(size=4 * n) < (0.5 if tight else 2.0))
    hard[rng.uniform(size=4 * n) < 0.2] = np.inf
    middle, width = rng.normal(0, 1, soft), rng.uniform(0, 1, soft)
    cap = np.concatenate(
        [
            np.full(4 * n, np.inf),
            np.tile(10.0 ** rng.uniform(-2, 3, soft) * (rng.uniform(size=soft) < 0.9), 2),
        ]
    )
    rows = Rows(normals, np.concatenate([hard, middle + width, width - middle]), cap)
    return hessian(rng, n), rng.normal(0, 3, n), rows


def solved(H, g, rows, active_set=None, *, qp_iterations=PLENTY):
    """The step from a guess; rows of it that depend on others stand free, as in the controller."""
    active_set = np.zeros(len(rows.rhs), dtype=int) if active_set is None else active_set.copy()
    working = WorkingSet(H)
    for row in working.enter(np.flatnonzero(active_set == ACTIVE), rows.normals):
        active_set[row] = FREE
    return solve(working, g, rows, active_set, qp_iterations=qp_iterations)


def guess(rng, rows):
    """Any marks, but for hard rows that yield and rows without an end that bind."""
    active_set = rng.integers(0, 3, len(rows.rhs))
    active_set[(active_set == CAPPED) & np.isinf(rows.cap) | np.isinf(rows.rhs)] = FREE
    return active_set


def off(H, g, rows, p, active_set):
    """How far `p` and `marks` are from the conditions of optimality: the largest of all residuals.
    Sufficient, since all is convex."""
    excess, active, capped = rows.normals @ p - rows.rhs, active_set == ACTIVE, active_set == CAPPED
    slope = H @ p + g + rows.cap[capped] @ rows.normals[capped]
    multiplier = np.linalg.lstsq(rows.normals[active].T, -slope, rcond=None)[0]
    residuals = [
        slope + rows.normals[active].T @ multiplier,
        np.maximum(-multiplier, multiplier - rows.cap[active]),
        np.abs(excess[active]),
        excess[active_set == FREE],
        -excess[capped],
        excess[np.isinf(rows.cap)],
    ]
    return max(
        0.0, *(residual.max(initial=0.0) for residual in [np.abs(residuals[0]), *residuals[1:]])
    )


def cost(H, g, rows, p):
    soft = np.isfinite(rows.cap)
    return (
        0.5 * p @ H @ p
        + g @ p
        + rows.cap[soft] @ np.maximum(0.0, rows.normals[soft] @ p - rows.rhs[soft])
    )


def exhaustive(H, g, rows):
    """The best point of all working sets of independent rows that keeps the hard rows; None where
    there is none."""
    best, n = None, len(g)
    states = [
        range(1 if np.isinf(b) else 2 if np.isinf(cap) else 3)
        for b, cap in zip(rows.rhs, rows.cap, strict=True)
    ]
    for active_set in map(np.array, product(*states)):
        active, capped = active_set == ACTIVE, active_set == CAPPED
        A, q = rows.normals[active], int(active.sum())
        if q > n or (q and np.linalg.matrix_rank(A) < q):
            continue
        kkt = np.block([[H, A.T], [A, np.zeros((q, q))]])
        p = np.linalg.solve(
            kkt, np.concatenate([-(g + rows.cap[capped] @ rows.normals[capped]), rows.rhs[active]])
        )[:n]
        kept = (rows.normals @ p - rows.rhs)[np.isinf(rows.cap)].max(initial=0.0) <= KKT
        if kept and (best is None or cost(H, g, rows, p) < cost(H, g, rows, best)):
            best = p
    return best


# -- the minimiser ---------------------------------------------------------------------------------


@pytest.mark.parametrize("tight", [False, True], ids=["rows anywhere", "rows through the start"])
@pytest.mark.parametrize("start", ["cold", "any guess", "from the solution"])
def test_a_step_satisfies_the_conditions_of_optimality(start, tight):
    seen = dict.fromkeys((FREE, ACTIVE, CAPPED), 0)
    for seed in range(200):
        H, g, rows = program(seed, tight=tight)
        active_set = (
            guess(np.random.default_rng(1000 + seed), rows) if start == "any guess" else None
        )
        step = solved(H, g, rows, active_set)
        if start == "from the solution":
            again = solved(H, g, rows, step.active_set)
            assert again.qp_iterations == 0
            np.testing.assert_allclose(again.p, step.p, atol=KKT)
            step = again
        assert step.complete
        assert step.feasible
        assert off(H, g, rows, step.p, step.active_set) <= KKT
        for mark in seen:
            seen[mark] += int((step.active_set == mark).sum())
    assert min(seen.values()) > 100  # no case is idle


def test_a_point_that_is_not_the_minimiser_would_be_seen():
    """Must fail: another point, and the right point with marks that do not explain it."""
    H, g, rows = program(3, n=4, soft=3)
    step = solved(H, g, rows)
    assert off(H, g, rows, step.p + 1e-6, step.active_set) > KKT
    for row in np.flatnonzero(step.active_set != FREE):
        wrong = step.active_set.copy()
        wrong[row] = FREE
        assert off(H, g, rows, step.p, wrong) > KKT
    assert (step.active_set != FREE).any()


@pytest.mark.parametrize("tight", [False, True], ids=["rows anywhere", "rows through the start"])
def test_a_step_is_the_best_of_all_working_sets(tight):
    for seed in range(40):
        H, g, rows = program(seed, n=1 + seed % 2, soft=1, tight=tight)
        best = exhaustive(H, g, rows)
        for active_set in (None, guess(np.random.default_rng(seed), rows)):
            np.testing.assert_allclose(solved(H, g, rows, active_set).p, best, atol=KKT)


def test_a_soft_row_is_an_l1_penalty():
    """Half the parabola's minimiser is 1, the row wants p ≤ 0: the answer is max(0, 1 − price), a
    price of 0 is no row."""
    for price in (0.0, 0.3, 0.999, 1.0, 1.5, 1e9):
        step = solved(np.eye(1), np.array([-1.0]), Rows(np.eye(1), np.zeros(1), np.array([price])))
        assert step.p == pytest.approx([max(0.0, 1.0 - price)], abs=ROUND_OFF)


def test_a_price_above_every_multiplier_is_a_hard_row():
    for seed in range(40):
        H, g, rows = program(seed, n=4, soft=2)
        keeping = Rows(rows.normals, np.maximum(rows.rhs, 0.1), rows.cap)  # p = 0 keeps all
        hard = solved(H, g, Rows(keeping.normals, keeping.rhs, np.full(len(rows.cap), np.inf)))
        soft = solved(
            H, g, Rows(keeping.normals, keeping.rhs, np.where(np.isinf(rows.cap), np.inf, 1e6))
        )
        np.testing.assert_allclose(soft.p, hard.p, atol=KKT)


# -- rows that meet, coincide or contradict --------------------------------------------------------


def corner(rates, *, low=0.0, high=1.0):
    """Two variables, bounds on both and a rate between them: at p = (high, low) or so three rows
    meet in a plane."""
    normals = np.vstack([np.eye(2), -np.eye(2), [[-1.0, 1.0]], [[1.0, -1.0]]])
    return Rows(normals, np.array([high, high, -low, -low, rates, rates]), np.full(6, np.inf))


def test_bounds_and_rates_that_meet_in_one_point_are_no_trouble():
    for angle in np.linspace(0, 2 * np.pi, 24, endpoint=False):
        g = 10.0 * np.array([np.cos(angle), np.sin(angle)])
        for rows in (corner(1.0), corner(0.0), corner(1.0, low=1.0), corner(0.0, low=1.0)):
            best = exhaustive(np.eye(2), g, rows)
            for seed in range(4):
                active_set = guess(np.random.default_rng(seed), rows) if seed else None
                step = solved(np.eye(2), g, rows, active_set)
                assert step.feasible
                np.testing.assert_allclose(step.p, best, atol=KKT)


def test_rows_that_stand_twice_and_ties_do_not_cycle():
    for seed in range(60):
        H, g, rows = program(seed, n=4, soft=3, tight=True)
        twice = Rows(
            *(
                np.concatenate([part, part])
                for part in (
                    rows.normals,
                    rows.rhs,
                    np.where(np.isinf(rows.cap), np.inf, rows.cap / 2),
                )
            )
        )
        step = solved(H, g, twice, qp_iterations=200)
        assert step.complete
        np.testing.assert_allclose(step.p, solved(H, g, rows).p, atol=KKT)


def test_a_program_whose_every_row_touches_the_minimiser_is_solved_at_once():
    H, g, rows = program(5, n=4, soft=3)
    p = -np.linalg.solve(H, g)
    step = solved(H, g, Rows(rows.normals, rows.normals @ p, rows.cap))
    np.testing.assert_allclose(step.p, p, atol=KKT)


@pytest.mark.parametrize("seed", range(5))
def test_hard_rows_that_contradict_are_infeasible_whatever_the_guess(seed):
    rng = np.random.default_rng(seed)
    # p ≤ −1 and p ≥ 1
    pair = Rows(np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([-1.0, -1.0]), np.full(2, np.inf))
    # p₁ ≤ 0, p₂ ≥ 1, |p₁ − p₂| ≤ ½
    far = Rows(corner(0.5).normals, np.array([0.0, 9.0, 9.0, -1.0, 0.5, 0.5]), np.full(6, np.inf))
    for rows in (pair, far):
        for active_set in (None, guess(rng, rows)):
            assert not solved(np.eye(2), rng.normal(size=2), rows, active_set).feasible
        assert exhaustive(np.eye(2), np.zeros(2), rows) is None
    enough = Rows(far.normals, np.array([0.0, 9.0, 9.0, -1.0, 1.0, 1.0]), far.cap)
    assert solved(np.eye(2), rng.normal(size=2), enough).feasible


def test_soft_rows_that_contradict_share_the_violation():
    # p ≤ −1 for 1, p ≥ 1 for 3
    rows = Rows(np.array([[1.0], [-1.0]]), np.array([-1.0, -1.0]), np.array([1.0, 3.0]))
    step = solved(1e-3 * np.eye(1), np.zeros(1), rows)
    assert step.p == pytest.approx([1.0], abs=KKT)
    assert step.active_set.tolist() == [CAPPED, ACTIVE]


# -- budget and numbers that are none --------------------------------------------------------------


def test_changes_are_counted_and_never_more_than_allowed():
    stopped = 0
    for seed in range(40):
        H, g, rows = program(seed, n=6, soft=4)
        whole = solved(H, g, rows)
        assert solved(H, g, rows, qp_iterations=whole.qp_iterations).complete
        for qp_iterations in range(whole.qp_iterations):
            step = solved(H, g, rows, qp_iterations=qp_iterations)
            assert (step.complete, step.feasible, step.qp_iterations) == (
                False,
                True,
                qp_iterations,
            )
            assert np.isfinite(step.p).all()
            # what it got to is a guess like any other
            np.testing.assert_allclose(solved(H, g, rows, step.active_set).p, whole.p, atol=KKT)
            stopped += 1
    assert stopped > 100


def test_a_gradient_that_is_no_number_ends():
    for value in (np.nan, np.inf):
        H, g, rows = program(2, n=4, soft=2)
        g[1] = value
        with np.errstate(invalid="ignore"):
            step = solved(H, g, rows, guess(np.random.default_rng(0), rows))
        assert not (step.feasible and np.isfinite(step.p).all())


# -- the factors -----------------------------------------------------------------------------------


def consistent(working, H, normals):
    q = len(working.active)
    image = working.J.T @ normals[working.active].T
    np.testing.assert_allclose(working.J @ working.J.T @ H, np.eye(len(H)), atol=KKT)
    np.testing.assert_allclose(image[:q], working.R[:q, :q], atol=KKT)
    np.testing.assert_allclose(image[q:], 0.0, atol=KKT)
    np.testing.assert_allclose(np.tril(working.R[:q, :q], -1), 0.0, atol=KKT)


def test_the_factors_stay_those_of_the_working_set_however_rows_come_and_go(rng):
    H, _, rows = program(1, n=6, soft=6)
    working = WorkingSet(H)
    sizes = []
    for _ in range(300):
        q = len(working.active)
        if q and rng.uniform() < 0.45:
            working.drop(int(rng.integers(q)))
        else:
            row = int(rng.integers(len(rows.rhs)))
            independent = np.linalg.matrix_rank(rows.normals[[*working.active, row]]) == q + 1
            assert working.add(row, rows.normals[row]) == independent
        sizes.append(len(working.active))
        consistent(working, H, rows.normals)
    assert (min(sizes), max(sizes)) == (0, 6)


def test_rows_enter_at_once_as_they_do_one_by_one(rng):
    left = 0
    for seed in range(60):
        H, _, rows = program(seed, n=5, soft=3)
        chosen = np.sort(rng.choice(len(rows.rhs), int(rng.integers(0, 9)), replace=False))
        working = WorkingSet(H)
        over = working.enter(chosen, rows.normals)
        consistent(working, H, rows.normals)
        assert sorted([*working.active, *over]) == chosen.tolist()
        rank = np.linalg.matrix_rank(rows.normals[chosen]) if chosen.size else 0
        assert len(working.active) == rank
        left += len(over)
    assert left > 10


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_hessian_that_is_not_positive_definite_is_refused(value):
    H = np.eye(3)
    H[1, 1] = value
    with pytest.raises(ArithmeticError, match="the Hessian is not positive definite"):
        WorkingSet(H)
