"""The stability family: every condition against the paper retyped, the table of implications, and
what incremental stability gives."""

import casadi as ca
import numpy as np
import paper
import pytest
from builders import DEPTHS, bistable, model_of, plain, random_network, zero_layer
from hypothesis import given, settings, strategies as st
from networks import contracting, every, one_layer, turning
from places import ROOT
from tolerances import DIFFERENCE, ROUND_OFF, SPECTRAL, WITNESS

from lstm_mpc.certificates import conditions
from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.conditions import (
    CONDITIONS,
    IMPLIES,
    NAMES,
    SIGNED,
    quantities,
    smallest_margin,
)
from lstm_mpc.certificates.signed.search import search
from lstm_mpc.errors import InputError
from lstm_mpc.model import lstm
from lstm_mpc.model.lstm import Network, Sizes
from lstm_mpc.plants.system import simulate

often = settings(deadline=None, derandomize=True, max_examples=60)
seeds, shapes, names = (
    st.integers(0, 10_000),
    st.sampled_from(DEPTHS),
    st.sampled_from(list(CONDITIONS)),
)
DELTA = [name for name in CONDITIONS if name.startswith("delta")]


class Numbers:
    def absolute(self, layer, name):
        return ca.fabs(ca.DM(getattr(layer, name)))


# -- the formulas ----------------------------------------------------------------------------------


@every
@settings(often, max_examples=20)
@given(
    seed=seeds, shape=shapes, spread=st.floats(0.05, 2.0), radius=st.sampled_from([0.5, 1.0, 1.3])
)
def test_the_margin_is_that_of_the_oracle(name, seed, shape, spread, radius):
    network = random_network(seed, *shape, spread=spread)
    value, expected = (
        1 - smallest_margin(network, (name,), radius),
        paper.worst(plain(network), name, radius),
    )
    # max (Av)_j/v_j ≥ ρ(A) for every v > 0 (Collatz–Wielandt)
    if name in ("weighted_iss", "delta_iss"):
        assert (
            expected * (1 - SPECTRAL)
            <= value
            <= expected + 1.01 * WITNESS * max(abs(1 - expected), WITNESS)
        )
    else:
        assert value == pytest.approx(expected, rel=SPECTRAL if name.endswith("2") else ROUND_OFF)


@settings(often, max_examples=20)
@given(seed=seeds, shape=shapes, radius=st.sampled_from([0.5, 1.0, 1.3]))
def test_the_margin_of_several_conditions_is_the_smallest(seed, shape, radius):
    network = random_network(seed, *shape, spread=0.5)
    assert smallest_margin(network, tuple(CONDITIONS), radius) == min(
        smallest_margin(network, (name,), radius) for name in CONDITIONS
    )


@every
def test_zero_weights_satisfy_it(name):
    assert smallest_margin(one_layer(U_c=[[0.0, 0.0]] * 2), (name,), 1.0) >= 0.25 - SPECTRAL


# only the column, only the row sum is below 2
COLUMN, ROW = {"U_c": [[1.5, 0.0], [1.5, 0.0]]}, {"U_c": [[1.5, 1.5], [0.0, 0.0]]}
PUSHED = {"U_i": [[9.0]], "b_c": [[2.0]]}  # the input gate is what amplifies a difference


@pytest.mark.parametrize(
    ("name", "leaves", "weaker"),
    [
        ("iss", {"b_f": [[1.0]]}, "weighted_iss_1"),
        ("weighted_iss", {"U_c": [[2.1]]}, None),
        ("weighted_iss_1", COLUMN, "weighted_iss"),
        ("weighted_iss_2", COLUMN, "weighted_iss"),
        ("weighted_iss_inf", ROW, "weighted_iss"),
        ("delta_iss", PUSHED, "weighted_iss"),
        ("delta_iss", {"U_f": [[4.0]], "b_f": [[-1.0]], "b_c": [[2.0]]}, "weighted_iss"),
        # the term a published toolbox lost
        ("delta_iss", {"U_o": [[9.0]], "b_c": [[2.0]]}, "weighted_iss"),
        ("delta_iss_1", COLUMN, "delta_iss"),
        ("delta_iss_2", PUSHED, "weighted_iss_2"),
        ("delta_iss_2", {"U_o": [[9.0]], "b_c": [[2.0]]}, "weighted_iss_2"),
        ("delta_iss_inf", ROW, "delta_iss"),
    ],
)
def test_it_fails_where_a_weaker_one_holds_and_holds_at_a_third(name, leaves, weaker):
    """Must fail."""
    network = one_layer(**leaves)
    assert smallest_margin(network, (name,), 1.0) < -0.01
    assert not certify(model_of(network), name).holds
    if weaker is not None:
        assert smallest_margin(network, (weaker,), 1.0) > 0.01
        assert certify(model_of(network), weaker).holds
    assert smallest_margin(one_layer(1 / 3, **leaves), (name,), 1.0) > 0.01
    assert certify(model_of(one_layer(1 / 3, **leaves)), name).holds


@pytest.mark.parametrize("name", DELTA)
def test_the_bistable_network_satisfies_7_and_no_incremental_condition(name):
    assert smallest_margin(bistable(), ("iss",), 1.0) > 0.05
    assert smallest_margin(bistable(), (name,), 1.0) < -0.1
    assert paper.worst(plain(bistable()), name) > 1.1
    assert not certify(model_of(bistable()), name).holds


@every
def test_only_the_first_layer_sees_the_radius(name):
    """Above, the input is ξ⁺ of the layer below, |ξ⁺| < 1 (Remark 6)."""
    quiet, loud = (
        zero_layer(2, 1),
        zero_layer(
            2, 2, **{f"W_{g}": [[0.3, 0.1], [0.0, 0.2]] for g in lstm.GATES}, U_f=0.1 * np.eye(2)
        ),
    )
    upper = Network((quiet, loud), np.ones((1, 2)), np.zeros((1, 1)))
    assert (
        smallest_margin(upper, (name,), 1.0)
        < smallest_margin(Network((quiet, zero_layer(2, 2)), upper.C, upper.b_y), (name,), 1.0)
        - 0.01
    )
    assert len({smallest_margin(upper, (name,), radius) for radius in (0.5, 1.0, 3.0)}) == 1
    lower = Network(
        (zero_layer(2, 1, W_f=[[0.5], [0.1]]), zero_layer(2, 2)), np.ones((1, 2)), np.zeros((1, 1))
    )
    assert smallest_margin(lower, (name,), 1.0) > smallest_margin(lower, (name,), 3.0) + 1e-3


@often
@given(seed=seeds, shape=shapes, name=names, factor=st.floats(1.0, 3.0), data=st.data())
def test_no_quantity_falls_when_any_weight_grows(seed, shape, name, factor, data):
    """For given witnesses; the pivots that check a witness are no quantities. Signed biases count
    by their sign."""
    network = random_network(seed, *shape)
    sizes, theta = lstm.sizes_of(network), lstm.pack(network)
    where = data.draw(
        st.sampled_from(
            [n for n in sizes.slices if "." in n and not n.endswith(("b_f", "b_i", "b_o"))]
        )
    )
    grown = theta.copy()
    grown[
        sizes.slices[where].start
        + data.draw(st.integers(0, sizes.shapes[where][0] * sizes.shapes[where][1] - 1))
    ] *= data.draw(st.sampled_from([-1.0, 1.0])) * factor
    found = quantities(sizes, (name,), 1.0)
    own = np.array([not check for *_, check in found.labels])
    before, after = (found.values(point, found.witnesses(theta))[own] for point in (theta, grown))
    assert (after >= before * (1 - ROUND_OFF)).all()
    value = [paper.worst(plain(lstm.unpack(point, sizes)), name) for point in (theta, grown)]
    # ‖M‖₂ may fall when |M_jk| grows with the other sign
    assert value[1] >= value[0] * (1 - DIFFERENCE) or name.endswith("2")


# -- what follows from what ------------------------------------------------------------------------


def closure():
    """All pairs (a, b): a implies b, by the table and what follows from it."""
    pairs = {(a, b) for a, direct in IMPLIES.items() for b in direct}
    while new := {(a, d) for a, b in pairs for c, d in pairs if b == c} - pairs:
        pairs |= new
    return pairs


def graded(seed):
    """Three cells; every parameter sparse, of its own size over two and a half decades."""
    rng, sizes = np.random.default_rng(seed), Sizes(1, (3,), 1)
    theta = np.zeros(sizes.parameters)
    for place in sizes.slices.values():
        n = place.stop - place.start
        theta[place] = rng.normal(size=n) * rng.choice([0, 1], size=n) * 10 ** rng.uniform(-2, 0.5)
    return lstm.unpack(theta, sizes)


ROW_SUM = {"U_c": [[1.3] * 3, [0.0] * 3, [0.0] * 3]}
CORNERS = [bistable(), *(one_layer(**leaves) for leaves in (COLUMN, ROW, ROW_SUM)), turning()]


def margins(network):
    """δ of every condition, the signed one by its search."""
    algebra = {name: smallest_margin(network, (name,), 1.0) for name in CONDITIONS}
    return {**algebra, SIGNED: 1 - max(search(network, 1.0).rates)}


def refuted(delta):
    """The pairs (a, b) of which `delta` of one network shows that a does not imply b."""
    return {(a, b) for a in delta for b in delta if delta[a] > 1e-3 and delta[b] < -1e-3}


def test_the_table_of_implications_is_right_and_complete():
    """Every pair of the table holds on all networks tried; every other pair has a counterexample
    among them."""
    pairs = {pair for network in CORNERS for pair in refuted(margins(network))}
    corner = one_layer(1.2, U_c=[[1.0, 1.0], [1.0, -1.0]])  # ‖M‖₂ = 1.2·√2, but ρ(|M|) = 2.4
    for network in [corner, *map(graded, range(500))]:
        pairs |= refuted({name: smallest_margin(network, (name,), 1.0) for name in CONDITIONS})
    assert pairs == {(a, b) for a in NAMES for b in NAMES if a != b} - closure()


@settings(often, max_examples=8)
@given(seed=seeds, spread=st.floats(0.2, 0.8))
def test_what_implies_the_signed_condition_does(seed, spread):
    delta = margins(random_network(seed, 1, (2,), 1, spread=spread))
    assert not refuted(delta) & closure()


@pytest.mark.parametrize(
    ("name", "asked", "serves"),
    [
        ("iss", "weighted_iss", True),
        ("weighted_iss", "iss", False),
        (SIGNED, "delta_iss", True),
        ("delta_iss_2", "delta_iss", True),
        ("delta_iss", "weighted_iss", True),
        (SIGNED, "weighted_iss", False),
        ("iss", "delta_iss", False),
    ],
)
def test_a_proof_serves_what_it_says_as_much_as(name, asked, serves):
    assert conditions.serves(name, asked) == serves


def test_the_signed_condition_is_no_formula():
    with pytest.raises(InputError, match="signed_delta_iss is no formula of norms; `certify`"):
        conditions.condition(SIGNED)


@often
@given(
    seed=seeds,
    pair=st.sampled_from(sorted(p for p in closure() if SIGNED not in p)),
    spread=st.floats(0.05, 1.0),
    shape=shapes,
)
def test_what_implies_leaves_no_less(seed, pair, spread, shape):
    network = random_network(seed, *shape, spread=spread)
    stronger, weaker = (paper.worst(plain(network), name) for name in pair)
    assert stronger >= 1 or weaker < 1 + ROUND_OFF


# -- what incremental stability gives --------------------------------------------------------------


@often
@given(
    seed=seeds,
    shape=shapes,
    spread=st.floats(0.1, 2.0),
    near=st.floats(-6, 0),
    radius=st.sampled_from([0.5, 1.0, 1.3]),
)
def test_one_step_never_beats_the_comparison_matrix(seed, shape, spread, near, radius):
    """|Δχ⁺| ≤ Â|Δχ| for |x| ≤ x̄, |ξ| < 1 and the same input, pairs close and far, the corners
    among them."""
    network, rng = random_network(seed, *shape, spread=spread), np.random.default_rng(seed)
    for number, (layer, own) in enumerate(zip(network.layers, plain(network), strict=True)):
        reach = conditions.layer_radius(number, radius)
        A = np.array(conditions.comparison(layer, Numbers(), reach))
        np.testing.assert_allclose(A, paper.delta_matrix(own, reach), rtol=ROUND_OFF)
        outer = np.array([*paper.x_bar(own, reach), *[1.0] * layer.nx])
        for _ in range(8):
            one, move = (
                np.clip(rng.uniform(-2, 2, 2 * layer.nx), -1, 1),
                rng.uniform(-1, 1, 2 * layer.nx),
            )
            pair = np.array([one, np.clip(one + 10**near * move, -1, 1)]) * outer
            u = np.clip(rng.uniform(-2, 2, layer.nu), -1, 1) * reach
            after = [np.concatenate(paper.layer_step(own, *np.split(chi, 2), u)) for chi in pair]
            assert (
                np.abs(after[1] - after[0])
                <= A @ np.abs(pair[1] - pair[0]) * (1 + ROUND_OFF) + ROUND_OFF * outer
            ).all()


@pytest.mark.parametrize(
    ("leaves", "x", "move", "row"),
    [
        ({"U_f": [[0.1]], "b_c": [[2.0]]}, 1, [0, 1], 0),  # x̄ ¼ U_f
        ({"U_i": [[0.1]], "b_c": [[2.0]]}, 0, [0, 1], 0),  # ¼ c U_i
        ({"U_c": [[0.1]]}, 0, [0, 1], 0),  # i U_c
        ({"U_c": [[0.1]]}, 0, [0, 1], 1),  # o i U_c
        ({"b_f": [[1.0]]}, 0, [1, 0], 0),  # f
        ({"b_f": [[1.0]]}, 0, [1, 0], 1),  # o f
        ({"U_o": [[0.1]], "b_c": [[2.0]]}, 1, [0, 1], 1),  # ¼ tanh(x̄) U_o
    ],
)
def test_no_term_of_the_comparison_matrix_can_be_spared(leaves, x, move, row):
    """Must fail: one cell with one term only, at the state where that term is what happens (within
    10 %, the gates being at rest)."""
    layer = one_layer(**leaves).layers[0]
    own, size = plain(one_layer(**leaves))[0], 1e-6
    chi = np.array([x * paper.x_bar(own, 1.0)[0], 0.0])
    after = [
        np.concatenate(paper.layer_step(own, *np.split(chi + s * size * np.array(move), 2), [0.0]))
        for s in (-0.5, 0.5)
    ]
    bound = np.array(conditions.comparison(layer, Numbers(), 1.0)) @ move
    assert 0.9 * bound[row] <= abs(after[1] - after[0])[row] / size <= bound[row] * (1 + DIFFERENCE)


@settings(often, max_examples=30)
@given(seed=st.integers(0, 30), shape=shapes)
def test_two_runs_meet_at_the_certified_rate(seed, shape):
    """max_j |Δχ_j|/v_j shrinks by the rate each step, v and rate read from the certificate; layer
    by layer, each with inputs of its own."""
    network, rng = contracting(seed, shape), np.random.default_rng(seed)
    constants = certify(model_of(network), "delta_iss").constants
    for own, v, told in zip(
        plain(network), constants["witnesses"], constants["layers"], strict=True
    ):
        nu, v = len(own["W_f"][0]), np.array(v)
        assert v.min() > 0
        assert told["rate"] < 1
        assert told["x_bar"] == pytest.approx(paper.x_bar(own, 1.0), rel=ROUND_OFF)
        assert {g: told[g] for g in "fioc"} == {
            g: pytest.approx(top, rel=ROUND_OFF) for g, top in paper.gate_bounds(own, 1.0).items()
        }
        pair = rng.uniform(-1, 1, (2, len(v))) * [*told["x_bar"], *[1.0] * (len(v) // 2)]
        for _ in range(25):
            u = np.clip(rng.uniform(-2, 2, nu), -1, 1)
            after = np.array(
                [np.concatenate(paper.layer_step(own, *np.split(chi, 2), u)) for chi in pair]
            )
            distance = [(np.abs(chi[1] - chi[0]) / v).max() for chi in (pair, after)]
            assert distance[1] <= told["rate"] * distance[0] * (1 + ROUND_OFF) + ROUND_OFF
            pair = after


@settings(often, max_examples=20)
@given(seed=st.integers(0, 30), shape=shapes)
def test_two_runs_of_a_stack_meet(seed, shape):
    network, rng = contracting(seed, shape), np.random.default_rng(seed)
    model = model_of(network)
    u = model.scaling.u_out(rng.uniform(-1, 1, (600, network.nu)))
    runs = [simulate(model.system, u, x0=rng.uniform(-0.9, 0.9, network.n)).chi for _ in range(2)]
    # 600 steps at a rate of at most 0.95, at most twice: 1e-11
    assert np.abs(runs[1][-1] - runs[0][-1]).max() < ROUND_OFF * 100


def test_the_certified_rate_cannot_be_much_smaller():
    """Must fail: one cell held by its forget gate; the difference shrinks by 1−δ and no faster."""
    network = one_layer(b_f=[[2.0]])
    rate = certify(model_of(network), "delta_iss").constants["layers"][0]["rate"]
    after = [paper.layer_step(plain(network)[0], [x], [0.0], [0.0])[0][0] for x in (0.0, 1e-3)]
    assert (after[1] - after[0]) / 1e-3 == pytest.approx(rate, rel=1e-3)


def test_the_table_in_the_docs_is_the_closure():
    text = (ROOT / "docs" / "conditions.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    start = next(k for k, row in enumerate(rows) if row[1:] == list(NAMES))
    table = {
        row[0]: dict(zip(NAMES, row[1:], strict=True))
        for row in rows[start + 1 : start + 1 + len(NAMES)]
    }
    wanted = {
        a: {b: "=" if a == b else "✓" if (a, b) in closure() else "–" for b in NAMES} for a in NAMES
    }
    assert table == wanted
