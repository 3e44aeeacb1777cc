"""The signed condition: its matrices against the oracle, its witness against tampering, and what it
gives."""

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import paper
import pytest
from builders import (
    DEPTHS,
    WIDE,
    bistable,
    model_of,
    paper_policy,
    plain,
    random_network,
    some,
    stable_model,
    validation_for,
    zero_layer,
)
from hypothesis import given, settings, strategies as st
from networks import contracting, one_layer, turning
from places import ROOT
from tolerances import ROUND_OFF, WITNESS

from lstm_mpc.certificates.certification import certify, recheck
from lstm_mpc.certificates.conditions import SIGNED, comparison, smallest_margin
from lstm_mpc.certificates.evidence import Certificate
from lstm_mpc.certificates.gate import release
from lstm_mpc.certificates.norms import Numbers
from lstm_mpc.certificates.rigorous import Box, dominance
from lstm_mpc.certificates.scenarios import VerifyOptions, verify
from lstm_mpc.certificates.signed import certificate
from lstm_mpc.certificates.signed.certificate import incremental_margin, proved, witness_of
from lstm_mpc.certificates.signed.invariant_box import entered, invariant
from lstm_mpc.certificates.signed.search import (
    Attempt,
    comparison_point,
    sampled_radius,
    search,
    within,
)
from lstm_mpc.certificates.signed.solver import Point, Search
from lstm_mpc.certificates.signed.witness import (
    QuadraticForm,
    Signals,
    cells_of,
    even_edges,
    matrices,
    prove,
    slopes,
)
from lstm_mpc.control.limits import limits_of
from lstm_mpc.control.observers.kalman import Kalman
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.model import lstm
from lstm_mpc.model.lstm import Network

often = settings(deadline=None, derandomize=True, max_examples=20)
seldom = settings(often, max_examples=6)
seeds, shapes = st.integers(0, 10_000), st.sampled_from(DEPTHS)
radii = st.sampled_from([0.5, 1.0, 1.3])
CHECKER = ROOT / "examples" / "07_check_signed_certificate.py"


@cache
def witness_for(seed, shape, radius=1.0):
    """A witness for a random network close to the edge of the elementwise condition."""
    return search(contracting(seed, shape), radius).witness


def points_of(box, seed, count):
    rng, ends = np.random.default_rng(seed), np.array(box)
    # the corners among them
    share = np.clip(rng.uniform(-0.5, 1.5, (count, len(ends))), 0, 1)
    return ends[:, 0] + share * (ends[:, 1] - ends[:, 0])


# -- the arithmetic --------------------------------------------------------------------------------


@often
@given(seed=seeds, n=st.integers(1, 9), least=st.floats(1e-9, 1.0))
def test_dominance_tells_definite_from_indefinite(seed, n, least):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    values = 10 ** rng.uniform(-3, 3, n)
    for sign in (1, -1):
        values[0] = sign * least
        M = Q @ np.diag(values) @ Q.T
        M = (M + M.T) / 2
        zero = np.zeros_like(M)
        assert (dominance(M, zero) < 1) == (sign > 0)
        # a radius beyond the least eigenvalue leaves nothing to prove
        assert dominance(M, zero + 2 * least) >= 1
        both = np.stack([np.eye(n), M])
        assert (dominance(both, np.zeros_like(both)) < 1) == (sign > 0)
    assert dominance(np.full((n, n), np.nan), np.zeros((n, n))) == np.inf


@often
@given(seed=seeds, data=st.data())
def test_the_matrices_and_their_rounding_enclose_the_exact_ones(seed, data):
    """One cell, every entry in rational numbers."""
    rng = np.random.default_rng(seed)
    layer = zero_layer(1, 1, **{f"U_{g}": [[rng.normal()]] for g in lstm.GATES})
    low = rng.normal(size=(6, 1))
    d = Box(low, low + rng.uniform(0, 1, (6, 1)))
    P = np.array([[2.0, x := rng.normal()], [x, 1 + x * x]])
    form = QuadraticForm(0.9 + rng.uniform(0, 0.1), rows(P), rows(rng.uniform(0, 9, (1, 6))))
    F, radius = matrices(Signals.of(layer), d, form)
    exact = exact_matrix(layer, d, form)
    for a in range(8):
        for b in range(8):
            error = abs(Fraction(F[0, a, b]) - exact[a][b])
            assert error <= Fraction(radius[0, a, b])
            assert error <= ROUND_OFF * 100


def rows(M):
    return tuple(map(tuple, np.asarray(M).tolist()))


def exact_matrix(layer, d, form):
    """F of one cell by polarisation of the oracle's form, in Fractions."""
    item = {f"U_{g}": [[Fraction(float(layer.gate(g)[1][0, 0]))]] for g in "fioc"}
    bounds = [[(Fraction(a), Fraction(b))] for a, b in zip(d.low[:, 0], d.high[:, 0], strict=True)]
    P = [[Fraction(v) for v in row] for row in form.P]
    tau = [[Fraction(t)] for t in form.tau[0]]

    def at(z):
        delta, p = z[:2], z[2:]
        q = [delta[0], *(item[f"U_{g}"][0][0] * delta[1] for g in "fic"), sum(p[:4])]
        q.append(item["U_o"][0][0] * delta[1])
        after = [sum(p[:4]), p[4] + p[5]]
        value = Fraction(form.rate) ** 2 * square(P, delta) - square(P, after)
        for k in range(6):
            low, high = bounds[k][0]
            value -= tau[k][0] * (p[k] - low * q[k]) * (high * q[k] - p[k])
        return value

    unit = [[Fraction(int(a == b)) for b in range(8)] for a in range(8)]
    both = [[at([x + y for x, y in zip(u, v, strict=True)]) for v in unit] for u in unit]
    return [[(both[a][b] - at(unit[a]) - at(unit[b])) / 2 for b in range(8)] for a in range(8)]


def square(P, v):
    return sum(v[a] * P[a][b] * v[b] for a in range(2) for b in range(2))


@often
@given(seed=seeds, shape=shapes, spread=st.floats(0.1, 2.0))
def test_the_matrices_are_those_of_the_oracle(seed, shape, spread):
    network, rng = random_network(seed, *shape, spread=spread), np.random.default_rng(seed)
    for layer, item in zip(network.layers, plain(network), strict=True):
        n = layer.nx
        low = rng.normal(size=(6 * n, 2))
        d = Box(low, low + rng.uniform(0, 1, low.shape))
        half = rng.normal(size=(2 * n, 2 * n))
        P, tau = half @ half.T, rng.uniform(0, 3, (2, 6 * n))
        F, _ = matrices(Signals.of(layer), d, QuadraticForm(0.97, rows(P), rows(tau)))
        for cell in range(2):
            z = rng.normal(size=8 * n)
            bounds = list(zip(d.low[:, cell], d.high[:, cell], strict=True))
            blocks = [bounds[k * n : (k + 1) * n] for k in range(6)]
            value = paper.signed_form(
                item,
                0.97,
                P.tolist(),
                tau[cell].reshape(6, n).tolist(),
                blocks,
                z[: 2 * n].tolist(),
                z[2 * n :].reshape(6, n).tolist(),
            )
            assert z @ F[cell] @ z == pytest.approx(value, rel=ROUND_OFF * 100, abs=ROUND_OFF * 100)


# -- the box and the slopes ------------------------------------------------------------------------


@often
@given(seed=seeds, shape=shapes, spread=st.floats(0.1, 3.0), radius=radii)
def test_every_slope_lies_within_its_bounds(seed, shape, spread, radius):
    """Inside the box, under inputs of the cell, and the next state lies in the box again."""
    network = random_network(seed, *shape, spread=spread)
    cells = cells_of(even_edges(network.nu, radius, 2))
    chi = invariant(network, cells_of(even_edges(network.nu, radius, 4)))
    bounds = slopes(network, chi, cells)
    ends = np.hstack([chi.low, chi.high])
    inputs = np.stack([cells.low.T, cells.high.T], axis=2)
    for k, point in enumerate(points_of(ends, seed, 12)):
        cell = k % len(inputs)
        below, at = points_of(inputs[cell], seed + k, 1)[0].tolist(), 0
        for layer, d, nx in zip(plain(network), bounds, network.nx, strict=True):
            x, xi = point[at : at + nx].tolist(), point[at + nx : at + 2 * nx].tolist()
            values = np.concatenate(paper.slopes(layer, x, xi, below))
            assert (d.low[:, cell] <= values).all()
            assert (values <= d.high[:, cell]).all()
            x_next, below = paper.layer_step(layer, x, xi, below)
            after = np.array([*x_next, *below])
            assert (ends[at : at + 2 * nx, 0] <= after).all()
            assert (after <= ends[at : at + 2 * nx, 1]).all()
            at += 2 * nx


@often
@given(seed=seeds, shape=shapes, spread=st.floats(0.1, 1.5), far=st.floats(0, 50))
def test_every_run_enters_the_boxes_for_good(seed, shape, spread, far):
    network, rng = random_network(seed, *shape, spread=spread), np.random.default_rng(seed)
    boxes = entered(network, cells_of(even_edges(network.nu, 1.0, 4)))
    for inner, outer in zip(boxes[1:], boxes, strict=False):
        assert inner.within(outer)
    chi, layers, inside = (far * rng.uniform(-1, 1, network.n)).tolist(), plain(network), []
    for _ in range(400):
        u = np.clip(rng.uniform(-2, 2, network.nu), -1, 1).tolist()
        chi = paper.lstm_step(layers, chi, u)
        point = np.array(chi)[:, None]
        inside.append(Box(point, point).within(boxes[-1]))
    assert inside[-1]
    first = inside.index(True)
    # "for good" is of the last box, once the boxes before it have been entered
    assert all(inside[max(first, 300) :])


def test_a_gate_that_never_forgets_has_no_box():
    """Must fail: σ(b_f) is 1 in doubles."""
    certificate = certify(model_of(one_layer(b_f=[[40.0]], b_c=[[1.0]], U_f=[[0.1]])), SIGNED)
    assert not certificate.holds
    assert certificate.inequalities[0].value == 1e308
    assert "fails: layer 1, λ = 1e+308" in str(certificate)


# -- the verdict -----------------------------------------------------------------------------------


def test_signs_are_kept():
    """The elementwise conditions refuse this network, and it is a contraction."""
    model = model_of(turning())
    assert smallest_margin(model.network, ("delta_iss",), 1.0) < -0.01
    assert smallest_margin(model.network, ("weighted_iss",), 1.0) < -0.01
    certificate = certify(model, SIGNED)
    assert certificate.holds
    assert certificate.margin > 0.02


def test_the_bistable_network_fails():
    """Must fail."""
    assert paper.condition_7(plain(bistable())[0])[0] < 1
    certificate = certify(model_of(bistable()), SIGNED)
    assert not certificate.holds
    assert certificate.constants == {}
    assert certificate.margin < -0.1


UNSTABLE = [
    {"U_i": [[9.0]], "W_c": [[3.0]]},
    {"U_f": [[20.0]], "W_c": [[3.0]]},
    {"U_o": [[9.0]], "W_c": [[3.0]]},
    {"U_c": [[4.5]]},
    {"U_c": [[0.0, 5.0], [5.0, 0.0]]},
]


@pytest.mark.parametrize("leaves", UNSTABLE)
def test_it_fails_where_a_jacobian_of_the_box_is_unstable_and_holds_at_a_tenth(leaves):
    """Must fail: every term of the derivative alone can do it."""
    network = one_layer(**leaves)
    rate = search(network, 1.0).rates[0]
    chi = invariant(network, cells_of(even_edges(1, 1.0, 8)))
    largest = 0.0
    for point in points_of(np.hstack([chi.low, chi.high]), 0, 300):
        n = network.nx[0]
        d = paper.slopes(plain(network)[0], point[:n].tolist(), point[n:].tolist(), [1.0])
        J = np.array([paper.image(plain(network)[0], d, e) for e in np.eye(2 * n).tolist()]).T
        largest = max(largest, float(np.abs(np.linalg.eigvals(J)).max()))
    assert rate >= largest * (1 - ROUND_OFF)
    assert largest > 1
    assert not certify(model_of(network), SIGNED).holds
    assert certify(model_of(one_layer(1 / 10, **leaves)), SIGNED).holds


def test_the_sampled_radius_is_that_of_the_oracle_and_bounds_every_rate():
    network = turning(size=5.0)
    d = paper.slopes(plain(network)[0], [0.0, 0.0], [0.0, 0.0], [0.0])
    J = np.array([paper.image(plain(network)[0], d, e) for e in np.eye(4).tolist()]).T
    radius = float(np.abs(np.linalg.eigvals(J)).max())
    # without W and b the trajectory rests at the origin
    assert sampled_radius(network, 1.0) == pytest.approx(radius, rel=ROUND_OFF)
    assert search(network, 1.0).rates[0] >= radius
    assert radius > 1
    assert "no quadratic form contracts" in str(certify(model_of(network), SIGNED))


def test_a_failure_does_not_rule_out_what_it_does_not():
    words = str(certify(model_of(bistable()), SIGNED))
    assert "signed_delta_iss fails: layer 1, λ = " in words
    assert "which rules no quadratic form out" in words


# -- what follows from what, and what only helps ---------------------------------------------------


@often
@given(seed=seeds, shape=shapes, spread=st.floats(0.1, 0.8), radius=radii)
def test_the_elementwise_witness_is_a_signed_one(seed, shape, spread, radius):
    """P = diag(w/v) with the explicit multipliers proves at least the rate of absolute values."""
    network = random_network(seed, *shape, spread=spread)
    u = cells_of(even_edges(network.nu, radius, 2))
    chi = invariant(network, u)
    for number, (layer, d) in enumerate(zip(network.layers, slopes(network, chi, u), strict=True)):
        A = np.array(comparison(layer, Numbers(), radius if number == 0 else 1.0))
        elementwise = float(np.abs(np.linalg.eigvals(A)).max())
        rate = np.sqrt(Search(layer, d).rates(comparison_point(layer, d)).max())
        # room: 1e-3 in every slope, and 1e-6 in every |U|
        assert rate <= elementwise * (1 + 5e-3) + 5e-3


@seldom
@given(seed=st.integers(0, 3), shape=shapes)
def test_what_is_certified_elementwise_is_certified_signed(seed, shape):
    """At a margin of 0.05, and at a rate that is no worse."""
    model = model_of(contracting(seed, shape))
    elementwise, signed = (certify(model, name) for name in ("delta_iss", SIGNED))
    assert elementwise.holds
    assert signed.holds
    rates = [max(x["rate"] for x in c.constants["layers"]) for c in (elementwise, signed)]
    assert rates[1] <= rates[0] + WITNESS


@often
@given(seed=seeds, shape=shapes)
def test_finer_cells_lose_nothing(seed, shape):
    """The multipliers of coarse cells, made fit for the cells within, prove no worse rate."""
    network = random_network(seed, *shape, spread=0.6)
    coarse, fine = (cells_of(even_edges(network.nu, 1.0, each)) for each in (1, 3))
    chi = invariant(network, coarse)
    pairs = zip(slopes(network, chi, coarse), slopes(network, chi, fine), strict=True)
    for layer, (wide, narrow) in zip(network.layers, pairs, strict=True):
        assert (narrow.low >= wide.low - ROUND_OFF).all()
        assert (narrow.high <= wide.high + ROUND_OFF).all()
        point = comparison_point(layer, wide)
        every = np.zeros(narrow.low.shape[1], dtype=np.intp)
        inner = Point(point.P, within(point.tau, wide, every, narrow))
        before, after = (
            s.rates(p).max()
            for s, p in ((Search(layer, wide), point), (Search(layer, narrow), inner))
        )
        assert after <= before * (1 + 1e-9)


@seldom
@given(seed=st.integers(0, 3), shape=shapes)
def test_a_witness_serves_every_smaller_radius(seed, shape):
    network, witness = contracting(seed, shape), witness_for(seed, shape)
    for radius in (1.0, 0.7, 0.1):
        lines = prove(network, witness, radius)
        assert all(value < 1 for *_, value, _ in lines)
    with pytest.raises(InputError, match=r"must rise from −1\.1 or less to 1\.1 or more"):
        prove(network, witness, 1.1)


def test_more_cells_are_tried_where_one_is_not_enough():
    """A gate whose slope changes with the input: one cell hulls what four keep apart."""
    network = contracting(3, (1, (3,), 1), target=-0.12)
    attempt = search(network, 1.0)
    assert len(attempt.witness.forms[0].tau) >= 4
    assert max(attempt.rates) < 1


# -- what it gives ---------------------------------------------------------------------------------


@seldom
@given(seed=st.integers(0, 3), shape=shapes, near=st.floats(-5, 0))
def test_two_runs_contract_in_the_norm_of_the_certificate(seed, shape, near):
    """|Δχ⁺|_P ≤ λ|Δχ|_P for every pair of states in the box, each layer with inputs of its own."""
    network = contracting(seed, shape)
    witness = witness_for(seed, shape)
    at, inputs = 0, [[-1.0, 1.0]] * network.nu
    for layer, form, nx in zip(plain(network), witness.forms, network.nx, strict=True):
        box = witness.box[at : at + 2 * nx]
        P = np.array(form.P)
        starts, others = points_of(box, seed, 10), points_of(box, seed + 1, 10)
        pairs = zip(starts, starts + 10**near * (others - starts), strict=True)
        for k, pair in enumerate(pairs):
            u = points_of(inputs, seed + k, 1)[0].tolist()
            after = [np.concatenate(paper.layer_step(layer, *np.split(chi, 2), u)) for chi in pair]
            before, then = (np.sqrt((b - a) @ P @ (b - a)) for a, b in (pair, after))
            assert then <= form.rate * before * (1 + ROUND_OFF) + ROUND_OFF
        at, inputs = at + 2 * nx, box[nx:]


def test_runs_of_a_network_that_turns_meet():
    network = turning()
    certificate = certify(model_of(network), SIGNED)
    form = witness_of(certificate).forms[0]
    layer, P = plain(network)[0], np.array(form.P)
    chi = [[0.3, -0.2, 0.1, 0.4], [-0.3, 0.1, -0.4, 0.2]]
    for _ in range(200):
        after = [np.concatenate(paper.layer_step(layer, c[:2], c[2:], [0.0])) for c in chi]
        gap = [np.subtract(*pair) for pair in (chi, after)]
        assert gap[1] @ P @ gap[1] <= form.rate**2 * (gap[0] @ P @ gap[0]) * (1 + ROUND_OFF)
        chi = [a.tolist() for a in after]
    assert np.abs(np.subtract(*chi)).max() < form.rate**200 * 100


def test_the_certified_rate_cannot_be_much_smaller():
    """Must fail: one cell held by its forget gate."""
    rate = certify(model_of(one_layer(b_f=[[2.0]])), SIGNED).constants["layers"][0]["rate"]
    assert rate == pytest.approx(paper.sigma(2.0), rel=1e-3)
    assert rate >= paper.sigma(2.0)


@pytest.mark.slow
def test_many_cells_have_a_sparse_form():
    """Beyond twelve cells P couples x_j and ξ_j only."""
    network = random_network(0, 1, (14,), 1, spread=0.15)
    form = certify(model_of(network), SIGNED).constants["witness"]["forms"][0]
    P = np.array(form["P"])
    off = ~(np.eye(28, dtype=bool) | np.eye(28, k=14, dtype=bool) | np.eye(28, k=-14, dtype=bool))
    assert not P[off].any()
    assert form["rate"] < 1


# -- the witness -----------------------------------------------------------------------------------


@cache
def certified():
    """A model and its certificate, as text."""
    model = model_of(contracting(0, (1, (3,), 1)))
    return model, json.dumps(certify(model, SIGNED).content())


def changed(change):
    """That model, and the JSON of its certificate after `change` of the witness."""
    model, text = certified()
    content = json.loads(text)
    change(content["constants"]["witness"])
    return model, content


TAMPERED = {
    "a smaller rate": (lambda w: w["forms"][0].update(rate=w["forms"][0]["rate"] - 0.01), "F ≻ 0"),
    "a rate of 1": (lambda w: w["forms"][0].update(rate=1.0), "λ"),
    "a rate below 0": (lambda w: w["forms"][0].update(rate=-0.5), "F ≻ 0"),
    "multipliers doubled": (
        lambda w: w["forms"][0].update(tau=[[9 * t for t in row] for row in w["forms"][0]["tau"]]),
        "F ≻ 0",
    ),
    "a negative multiplier": (lambda w: w["forms"][0]["tau"][0].__setitem__(0, -1e-9), "F ≻ 0"),
    "P not symmetric": (
        lambda w: w["forms"][0]["P"][0].__setitem__(1, w["forms"][0]["P"][0][1] + 1e-9),
        "P ≻ 0",
    ),
    "P indefinite": (
        lambda w: w["forms"][0].update(P=[[-p for p in row] for row in w["forms"][0]["P"]]),
        "P ≻ 0",
    ),
    "a box that is left": (
        lambda w: w.update(box=[[0.5 * a, 0.5 * b] for a, b in w["box"]]),
        "χ⁺ in half widths of X",
    ),
    "a box not entered": (
        lambda w: w["box"].__setitem__(0, [w["box"][0][1] + 1, w["box"][0][1] + 2]),
        "entry into X",
    ),
    "a box inside out": (lambda w: w["box"].__setitem__(0, [1.0, -1.0]), "entry into X"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_witness_is_proved_and_not_believed(name):
    """Must fail."""
    change, line = TAMPERED[name]
    model, content = changed(change)
    certificate = recheck(model, Certificate.from_content(content))
    assert not certificate.holds
    assert line in {x.name.split(" in 4")[0] for x in certificate.inequalities if x.margin <= 0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w["forms"].clear(), "the witness has 0 forms, the network 1 layers"),
        (lambda w: w["box"].pop(), "box of the witness must be finite numbers, 6×2"),
        (lambda w: w["forms"][0]["P"].pop(), "P of the witness must be finite numbers, 6×6"),
        (lambda w: w["forms"][0]["tau"][0].pop(), "tau of the witness must be finite numbers"),
        (lambda w: w["box"].__setitem__(0, [float("nan"), 1.0]), "box of the witness must be"),
        (lambda w: w["edges"].clear(), r"edges of the witness must be 1 list\(s\)"),
        (lambda w: w.update(fine=[[-1.0]]), "fine of the witness must rise from −1 or less"),
        (lambda w: w.update(edges=[[-1.0, 0.9]]), "edges of the witness must rise from −1 or less"),
        (lambda w: w.update(edges=[[-1.0, 0.5, 0.2, 1.0]]), "edges of the witness must rise"),
        (
            lambda w: w.update(fine=[np.linspace(-1.1, 1.1, 4100).tolist()]),
            "fine of the witness make 4099 cells, more than 4096",
        ),
        (lambda w: w.pop("box"), "the witness lacks 'box'"),
        (lambda w: w.update(forms="none"), "'forms' of the witness is 'none'"),
    ],
)
def test_a_witness_of_another_shape_is_an_input_error(change, words):
    model, content = changed(change)
    with pytest.raises(InputError, match=words):
        recheck(model, Certificate.from_content(content))


def test_a_certificate_without_its_witness_is_an_input_error():
    model, content = changed(lambda w: None)
    content["constants"].pop("witness")
    with pytest.raises(InputError, match="holds no witness; make it again"):
        recheck(model, Certificate.from_content(content))


def test_a_witness_of_another_model_proves_nothing():
    """Must fail."""
    model = model_of(contracting(0, (1, (3,), 1)))
    larger = model_of(lstm.unpack(1.3 * lstm.pack(model.network), model.sizes))
    witness = witness_of(certify(model, SIGNED))
    assert proved(model, 1.0, witness).holds
    assert not proved(larger, 1.0, witness).holds


def test_a_search_that_claims_too_much_is_not_believed(monkeypatch):
    """Must fail."""
    model, content = changed(lambda w: w["forms"][0].update(rate=w["forms"][0]["rate"] - 0.01))
    witness = witness_of(Certificate.from_content(content))
    dreamt = Attempt(witness, tuple(form.rate for form in witness.forms))
    monkeypatch.setattr(certificate, "search", lambda network, radius: dreamt)
    assert not certify(model, SIGNED).holds


@pytest.mark.parametrize("shape", DEPTHS)
def test_it_survives_the_disk_and_proves_itself_again(shape, tmp_path):
    model = model_of(contracting(1, shape))
    certificate = certify(model, SIGNED)
    certificate.save(tmp_path / "c.json")
    again = Certificate.load(tmp_path / "c.json")
    assert again == certificate
    assert recheck(model, again) == certificate
    at = 0
    for layer, nx in zip(certificate.constants["layers"], model.network.nx, strict=True):
        ends = certificate.constants["witness"]["box"][at : at + nx]
        assert layer["x_bar"] == [max(abs(a), abs(b)) for a, b in ends]
        at += 2 * nx


def test_beyond_the_limits_it_takes_a_proof_of_its_own():
    model = model_of(contracting(0, (1, (3,), 1)))
    wider = certify(model, SIGNED, beyond=0.2)
    assert wider.radius == pytest.approx(1.2, rel=1e-6)
    assert wider.constants["witness"]["edges"][0][-1] >= wider.radius
    assert wider.margin < certify(model, SIGNED).margin


def test_the_margin_of_incremental_stability_is_whichever_is_proved():
    elementwise = contracting(0, (1, (3,), 1))
    assert incremental_margin(elementwise, 1.0) == smallest_margin(elementwise, ("delta_iss",), 1.0)
    signed = certify(model_of(turning()), SIGNED)
    assert incremental_margin(turning(), 1.0) == signed.margin > 0
    # must fail
    assert not incremental_margin(bistable(), 1.0) > 0


def test_an_observer_of_input_disturbances_takes_it_at_the_radius_it_needs():
    """Absolute values refuse this network at every radius."""
    model = model_of(turning())
    tuning = KalmanTuning(noise=0.01, drift=0.01, max_disturbance=0.1)
    problem = ControlProblem(observer=tuning)
    Kalman(model, limits_of(model, problem), problem)
    unstable = model_of(turning(size=5.0))
    with pytest.raises(InputError, match="where δISS does not hold"):
        Kalman(unstable, limits_of(unstable, problem), problem)


# -- the gate --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evidence():
    model = stable_model(0)
    options = VerifyOptions(steps=20, settle=5, radii=(1.0,))
    return model, verify(model, options, safe_set=WIDE), validation_for(model)


def passed(evidence, certificates, conditions):
    model, verification, validation = evidence
    policy = paper_policy(conditions=conditions)
    return release(model, certificates, verification, validation, policy, safe_set=WIDE)


@pytest.mark.parametrize("asked", [SIGNED, "delta_iss", "delta_iss_2"])
def test_the_gate_takes_it_where_incremental_stability_is_asked_for(evidence, asked):
    certificate = certify(evidence[0], SIGNED)
    assert certificate in passed(evidence, [certificate], (asked,)).certificates


def test_the_gate_takes_the_elementwise_one_for_it(evidence):
    certificate = certify(evidence[0], "delta_iss")
    assert passed(evidence, [certificate], (SIGNED,)).certificates == (certificate,)


def test_the_gate_does_not_take_it_for_7(evidence):
    with pytest.raises(Refused, match="no certificate of 'iss' for this model"):
        passed(evidence, [certify(evidence[0], SIGNED)], ("iss",))


def test_the_gate_proves_the_witness_again(evidence):
    """Must fail: a certificate that says more than its witness proves."""
    content = json.loads(json.dumps(certify(evidence[0], SIGNED).content()))
    form = content["constants"]["witness"]["forms"][0]
    form["rate"] -= 0.1
    with pytest.raises(Refused, match="signed_delta_iss fails: layer 1, F ≻ 0"):
        passed(evidence, [Certificate.from_content(content)], (SIGNED,))
    content = json.loads(json.dumps(certify(evidence[0], SIGNED).content()))
    line = next(x for x in content["inequalities"] if x["name"] == "λ")
    line["value"] -= 0.1
    with pytest.raises(Refused, match="is not what the model's numbers give"):
        passed(evidence, [Certificate.from_content(content)], ("delta_iss",))


# -- the checker that shares nothing with the package ----------------------------------------------


def checked(tmp_path, model, certificate):
    model.save(tmp_path / "model.json")
    (tmp_path / "certificate.json").write_text(json.dumps(certificate), encoding="utf-8")
    command = [sys.executable, "-W", "error", str(CHECKER), "model.json", "certificate.json"]
    return subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", timeout=120
    )


def test_the_checker_needs_nothing_of_the_package():
    text = CHECKER.read_text(encoding="utf-8")
    imported = [line for line in text.splitlines() if line.startswith(("import", "from"))]
    assert imported == [
        "import json",
        "import sys",
        "from itertools import pairwise, product",
        "from pathlib import Path",
        "from mpmath import iv",
    ]


@pytest.mark.parametrize("number", some(range(len(DEPTHS)), 2))
def test_the_checker_accepts_a_true_certificate_and_prints_the_rate(number, tmp_path):
    shape = DEPTHS[number]
    model = model_of(contracting(1, shape))
    certificate = certify(model, SIGNED).content()
    done = checked(tmp_path, model, certificate)
    assert done.returncode == 0, done.stderr
    layers = certificate["constants"]["layers"]
    for line, layer in zip(done.stdout.splitlines(), layers, strict=True):
        assert f"{layer['rate']:.6f}" in line


REFUSED = {
    "a smaller rate": "a matrix is not proved positive definite",
    "a rate of 1": "the rate is not below 1",
    "a negative multiplier": "a multiplier is negative",
    "P not symmetric": "P is not symmetric",
    "P indefinite": "a matrix is not proved positive definite",
    "a box that is left": "entry into X is not proved",
    "a box not entered": "entry into X is not proved",
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_checker_refuses_what_was_tampered_with(name, tmp_path):
    """Must fail."""
    model, content = changed(TAMPERED[name][0])
    done = checked(tmp_path, model, content)
    assert done.returncode == 1
    assert REFUSED[name] in done.stderr


def test_the_checker_refuses_cells_that_leave_inputs_out(tmp_path):
    """Must fail."""
    model, content = changed(lambda w: w["edges"][0].__setitem__(-1, 0.99))
    assert "the cells do not cover the inputs" in checked(tmp_path, model, content).stderr


def test_layers_of_a_stack_are_all_proved(tmp_path):
    """Must fail: a certificate of the first layer alone."""
    model = model_of(contracting(1, (1, (2, 3), 1)))
    content = json.loads(json.dumps(certify(model, SIGNED).content()))
    content["constants"]["witness"]["forms"].pop()
    assert "a layer has no form" in checked(tmp_path, model, content).stderr


def test_a_stack_fails_with_its_worst_layer():
    """Must fail: the second layer alone is unstable."""
    quiet = zero_layer(2, 1, W_c=[[1.0], [0.5]])
    loud = zero_layer(1, 2, U_c=[[4.5]])
    network = Network((quiet, loud), np.ones((1, 1)), np.zeros((1, 1)))
    rates = search(network, 1.0).rates
    assert rates[0] < 1 < rates[1]
    assert not certify(model_of(network), SIGNED).holds
    calm = replace(network, layers=(quiet, zero_layer(1, 2, U_c=[[1.0]])))
    assert certify(model_of(calm), SIGNED).holds
