"""Interval proofs: the enclosure holds the truth, the verdict is never too kind, and what is
written proves itself."""

import dataclasses
import json
import subprocess
import sys
from fractions import Fraction

import casadi as ca
import numpy as np
import paper
import pytest
from builders import (
    DEPTHS,
    model_of,
    plain,
    random_network,
    stable_model,
    stable_network,
    zero_layer,
)
from hypothesis import given, settings, strategies as st
from mpmath import iv, mp
from networks import contracting, every, one_layer
from places import ROOT
from tolerances import ROUND_OFF, SPECTRAL, WITNESS

from lstm_mpc.certificates import certification, conditions
from lstm_mpc.certificates.certification import certify, enclose
from lstm_mpc.certificates.conditions import CONDITIONS, quantities, smallest_margin
from lstm_mpc.certificates.evidence import Certificate
from lstm_mpc.certificates.norms import pivots, spectral_witness
from lstm_mpc.model import lstm

often = settings(deadline=None, derandomize=True, max_examples=60)
seeds, shapes, numbers = st.integers(0, 10_000), st.sampled_from(DEPTHS), st.floats(-3.0, 3.0)
CHECKER = ROOT / "examples" / "04_check_certificate.py"

# name -> (CasADi, mpmath), two arguments each; divisors stay away from zero
OPERATIONS = {
    "add": (lambda x, y: x + y,) * 2,
    "twice": (lambda x, y: x + x,) * 2,
    "sub": (lambda x, y: x - y,) * 2,
    "mul": (lambda x, y: x * y,) * 2,
    "sq": (lambda x, y: x * x,) * 2,
    "div": (lambda x, y: x / (1 + y * y),) * 2,
    "inv": (lambda x, y: 1 / (1 + y * y),) * 2,
    "neg": (lambda x, y: -x,) * 2,
    "fabs": (lambda x, y: ca.fabs(x), lambda x, y: abs(x)),
    "fmax": (lambda x, y: ca.fmax(x, y), lambda x, y: max(x, y)),
    "tanh": (lambda x, y: ca.tanh(x), lambda x, y: mp.tanh(x)),
}


def exact(value):
    return mp.mpf(float(value))


# -- the enclosure ---------------------------------------------------------------------------------


@settings(often, max_examples=200)
@given(
    start=st.lists(numbers, min_size=2, max_size=3),
    lines=st.lists(
        st.tuples(st.sampled_from(list(OPERATIONS)), st.integers(0, 99), st.integers(0, 99)),
        min_size=1,
        max_size=7,
    ),
)
def test_the_enclosure_holds_the_exact_value_and_is_tight(start, lines):
    """A random straight-line program against mpmath with 400 bits, and against CasADi's own
    doubles."""
    symbol = ca.SX.sym("a", len(start))
    symbols, peak = [symbol[k] for k in range(len(start))], 1.0
    with mp.workprec(400):
        truths = [exact(a) for a in start]
        for name, j, k in lines:
            for made, own in zip((symbols, truths), OPERATIONS[name], strict=True):
                made.append(own(made[j % len(made)], made[k % len(made)]))
            peak = max(peak, abs(float(truths[-1])))
        function = ca.Function("f", [symbol], [symbols[-1]])
        ((low, high),) = enclose(function, [np.array(start)])
        assert exact(low) <= truths[-1] <= exact(high)
    rounding = ROUND_OFF * peak**2
    assert high - low <= rounding
    assert low - rounding <= float(function(start)) <= high + rounding


@pytest.mark.parametrize("z", [0.0, 1e-300, -1e-12, 0.3, -19.0, 40.0, -800.0, 1e6])
def test_the_enclosure_of_tanh_holds_at_its_ends_and_stays_ordered(z):
    symbol = ca.SX.sym("z")
    ((low, high),) = enclose(ca.Function("f", [symbol], [ca.tanh(symbol)]), [np.array([z])])
    with mp.workprec(4000):
        assert exact(low) <= mp.tanh(exact(z)) <= exact(high)
    assert high - low < 1e-15


def test_rounding_that_doubles_lose_is_seen():
    """Must fail for doubles: 1 + 1e-17 − 1 is 0 there."""
    a = ca.SX.sym("a", 3)
    function, terms = ca.Function("f", [a], [a[0] + a[1] + a[2]]), np.array([1.0, 1e-17, -1.0])
    assert float(function(terms)) == 0.0
    ((low, high),) = enclose(function, [terms])
    assert low <= 1e-17 <= high
    assert low > 0.9e-17


def test_the_precision_of_others_is_left_alone():
    before, symbol = iv.prec, ca.SX.sym("z")
    enclose(ca.Function("f", [symbol], [ca.tanh(symbol)]), [np.array([0.5])])
    assert iv.prec == before


@pytest.mark.parametrize("shape", DEPTHS)
def test_every_operation_of_every_condition_is_known(shape):
    nu, nx, ny = shape
    for names in (*((name,) for name in CONDITIONS), tuple(CONDITIONS)):
        function = quantities(lstm.Sizes(nu, nx, ny), names, 1.0).function
        used = {function.instruction_id(k) for k in range(function.n_instructions())}
        assert used <= {*certification._OPERATIONS, ca.OP_CONST, ca.OP_INPUT, ca.OP_OUTPUT}


@every
@settings(often, max_examples=8)
@given(seed=seeds, shape=shapes, spread=st.floats(0.05, 2.0))
def test_every_quantity_in_doubles_lies_in_its_interval_up_to_round_off(name, seed, shape, spread):
    network = random_network(seed, *shape, spread=spread)
    found, theta = quantities(lstm.sizes_of(network), (name,), 1.0), lstm.pack(network)
    witnesses = found.witnesses(theta)
    # pivots lose digits where t is close to ‖M‖₂, as it is
    own = np.array([not check for *_, check in found.labels])
    values, ends = (
        found.values(theta, witnesses)[own],
        np.array(enclose(found.function, [theta, *witnesses]))[own],
    )
    assert (ends[:, 0] <= values * (1 + ROUND_OFF)).all()
    assert (values <= ends[:, 1] * (1 + ROUND_OFF)).all()
    assert (ends[:, 1] - ends[:, 0] <= ROUND_OFF * values).all()


# -- the verdict -----------------------------------------------------------------------------------


@every
@settings(often, max_examples=12)
@given(seed=seeds, shape=shapes, spread=st.floats(0.05, 1.0))
def test_the_verdict_is_the_sign_of_the_margin(name, seed, shape, spread):
    network = random_network(seed, *shape, spread=spread)
    certificate, delta = certify(model_of(network), name), smallest_margin(network, (name,), 1.0)
    assert certificate.holds == (delta > 0) or abs(delta) < SPECTRAL
    assert certificate.margin == pytest.approx(delta, abs=SPECTRAL * (1 + abs(delta)))
    assert bool(certificate.constants) == certificate.holds
    value = paper.worst(plain(network), name)
    assert certificate.holds == (value < 1) or abs(1 - value) < WITNESS**2 * 1.1 + SPECTRAL


@every
def test_a_margin_within_the_rounding_is_refused(name):
    """One cell with U_c alone: (7) is ¾|U_c| < 1, all others ½ + ¼|U_c| < 1. The next double below
    the edge holds in the reals, by 5e-17, and counts as failed; a millionth below the edge is
    proved."""
    edge = float(np.nextafter(4 / 3, 2.0)) if name == "iss" else 2.0
    below = float(np.nextafter(edge, 0.0))
    assert (
        0
        < 1
        - (
            Fraction(3, 4) * Fraction(below)
            if name == "iss"
            else Fraction(1, 2) + Fraction(below) / 4
        )
        < 2e-16
    )
    for U_c in (edge, below, -below):
        network = one_layer(U_c=[[U_c]])
        if name in ("iss", "weighted_iss_1", "weighted_iss_inf", "delta_iss_1", "delta_iss_inf"):
            assert abs(smallest_margin(network, (name,), 1.0)) < 3e-16
        assert not certify(model_of(network), name).holds
        assert certify(model_of(network), name).constants == {}
    assert certify(model_of(one_layer(U_c=[[edge * (1 - 1e-6)]])), name).holds


@settings(often, max_examples=6)
@given(
    seed=seeds,
    shape=shapes,
    name=st.sampled_from(["iss", "weighted_iss_1", "delta_iss_1", "delta_iss_inf"]),
)
def test_no_network_at_the_edge_is_passed(seed, shape, name):
    """Tuned by bisection to the last bit, until the value in doubles crosses 1: around there only
    what is truly below 1 may pass."""
    theta, sizes = (
        lstm.pack(random_network(seed, *shape)),
        lstm.sizes_of(random_network(seed, *shape)),
    )
    low, high = 0.0, 20.0
    while low < (middle := 0.5 * (low + high)) < high:
        low, high = (
            (middle, high)
            if smallest_margin(lstm.unpack(middle * theta, sizes), (name,), 1.0) > 0
            else (low, middle)
        )
    network = lstm.unpack(high * theta, sizes)
    assert abs(smallest_margin(network, (name,), 1.0)) < 1e-14
    for factor in (high, low, high * (1 + 1e-15), high * (1 - 1e-15)):
        certificate = certify(model_of(lstm.unpack(factor * theta, sizes)), name)
        assert certificate.holds == all(line.value < 1 for line in certificate.inequalities)
    assert not certify(model_of(lstm.unpack(high * (1 + 1e-13) * theta, sizes)), name).holds
    assert certify(model_of(lstm.unpack(high * (1 - 1e-13) * theta, sizes)), name).holds


@every
@pytest.mark.parametrize("bias", [40.0, 800.0])
def test_a_gate_that_never_forgets_is_a_failed_value(name, bias):
    """σ(b_f) is 1 in doubles: x̄ is infinite, the certificate can still be written."""
    certificate = certify(model_of(one_layer(b_f=[[bias]], b_c=[[1.0]], U_f=[[0.1]])), name)
    assert not certificate.holds
    assert np.isfinite(certificate.margin)
    assert "fails: layer 1" in str(certificate)


# -- witnesses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weighted_iss", "delta_iss"])
@pytest.mark.parametrize("shape", DEPTHS)
def test_the_written_witness_proves_the_claim_by_itself(name, shape, tmp_path):
    network = contracting(2, shape)
    certify(model_of(network), name).save(tmp_path / "certificate.json")
    constants = json.loads((tmp_path / "certificate.json").read_text(encoding="utf-8"))["constants"]
    matrix = {"weighted_iss": paper.weighted_matrix, "delta_iss": paper.delta_matrix}[name]
    for layer, v, told in zip(
        plain(network), constants["witnesses"], constants["layers"], strict=True
    ):
        image = np.array(matrix(layer, 1.0)) @ v
        assert min(v) > 0
        assert (image <= told["rate"] * np.array(v) * (1 + ROUND_OFF)).all()
        assert told["rate"] < 1
    again = Certificate.load(tmp_path / "certificate.json")
    assert again.constants == constants
    assert again.holds


def passing(monkeypatch, change):
    """`certify` fed with witnesses changed by `change`."""
    honest = certification.quantities

    def quantities(*arguments):
        found = honest(*arguments)
        finders = tuple(lambda matrix, find=find: change(find(matrix)) for find in found.finders)
        return dataclasses.replace(found, finders=finders)

    monkeypatch.setattr(certification, "quantities", quantities)


@pytest.mark.parametrize("name", ["weighted_iss", "delta_iss", "weighted_iss_2", "delta_iss_2"])
def test_a_witness_is_checked_and_not_believed(name, monkeypatch):
    """Must fail: an entry doubled, or a norm claimed a little too small."""
    model = model_of(one_layer(U_c=[[0.0, 1.9], [1.9, 0.0]]))
    assert certify(model, name).holds
    worse = (
        (lambda t: t * (1 - 1e-6))
        if "2" in name
        else (lambda v: v * np.where(np.arange(v.size) == v.size - 1, 2.0, 1.0))
    )
    passing(monkeypatch, worse)
    certificate = certify(model, name)
    assert not certificate.holds
    assert certificate.constants == {}
    assert any(line.check and line.margin <= 0 for line in certificate.inequalities) == (
        "2" in name
    )


def test_a_witness_that_is_not_positive_proves_nothing(monkeypatch):
    """Must fail: ρ = 1.75, yet (Av)_j/v_j < 1 in every row for v = (1, −½); Perron and Frobenius
    speak of v > 0 only."""
    model = model_of(one_layer(U_c=[[0.0, 5.0], [5.0, 0.0]]))
    assert paper.worst(plain(model.network), "weighted_iss") == pytest.approx(1.75)
    passing(monkeypatch, lambda v: np.array([1.0, -0.5]))
    assert not certify(model, "weighted_iss").holds


@often
@given(seed=seeds, rows=st.integers(1, 5), short=st.floats(1e-6, 0.5))
def test_the_pivots_tell_a_t_above_the_norm_from_one_below(seed, rows, short):
    M, t = np.random.default_rng(seed).normal(size=(rows, rows)), ca.SX.sym("t")
    norm = paper.induced_norm(M.tolist(), "2")
    assert norm == pytest.approx(np.linalg.norm(M, 2), rel=SPECTRAL)
    function = ca.Function("pivots", [t], [ca.vertcat(*pivots(M, t))])
    below, above = (np.array(function(norm * (1 + sign * short))).ravel() for sign in (-1, 1))
    assert below.min() < 0 < above.min()
    ends = enclose(function, [np.array([norm * (1 + short)])])
    assert all(low > 0 for low, _ in ends)
    assert enclose(function, [spectral_witness(M)])[-1][0] > 0


# -- the checker that shares nothing with the package ----------------------------------------------


def checked(tmp_path, model, certificate):
    model.save(tmp_path / "model.json")
    (tmp_path / "certificate.json").write_text(json.dumps(certificate), encoding="utf-8")
    command = [sys.executable, "-W", "error", str(CHECKER), "model.json", "certificate.json"]
    return subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )


def test_the_checker_needs_nothing_of_the_package():
    text = CHECKER.read_text(encoding="utf-8")
    imported = [line for line in text.splitlines() if line.startswith(("import", "from"))]
    assert imported == [
        "import base64",
        "import hashlib",
        "import json",
        "import struct",
        "import sys",
        "from itertools import product",
        "from pathlib import Path",
        "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey",
        "from mpmath import iv",
    ]


@pytest.mark.parametrize("shape", DEPTHS)
def test_the_checker_accepts_a_true_certificate_and_prints_the_rate(shape, tmp_path):
    model = model_of(contracting(1, shape))
    certificate = certify(model, "delta_iss").content()
    done = checked(tmp_path, model, certificate)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    for line, told in zip(
        done.stdout.splitlines(), certificate["constants"]["layers"], strict=True
    ):
        assert f"{told['rate']:.6f}" in line


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda c: c["witnesses"][0].__setitem__(-1, 2 * c["witnesses"][0][-1]),
            "A v ≤ rate·v fails",
        ),
        (lambda c: c["witnesses"][0].__setitem__(0, -c["witnesses"][0][0]), "v is not positive"),
        (lambda c: c["layers"][0].update(rate=c["layers"][0]["rate"] - 1e-3), "A v ≤ rate·v fails"),
        (lambda c: c["layers"][0].update(rate=1.0), "the rate is not below 1"),
        (lambda c: c["witnesses"].clear(), "a layer has no witness"),
    ],
)
def test_the_checker_refuses_what_was_tampered_with(change, words, tmp_path):
    """Must fail."""
    model = model_of(contracting(0, (1, (3,), 1)))
    certificate = certify(model, "delta_iss").content()
    change(certificate["constants"])
    done = checked(tmp_path, model, certificate)
    assert done.returncode == 1
    assert words in done.stderr


def test_the_checker_refuses_the_certificate_of_another_model(tmp_path):
    """Must fail: the same witness, a larger weight."""
    model = model_of(contracting(0, (1, (3,), 1)))
    larger = model_of(lstm.unpack(1.2 * lstm.pack(model.network), model.sizes))
    assert (
        "A v ≤ rate·v fails"
        in checked(tmp_path, larger, certify(model, "delta_iss").content()).stderr
    )


def test_the_blame_names_the_loudest_gate():
    layer = zero_layer(2, 1, b_f=[[0.0], [3.0]], U_c=[[0.0, 2.5], [0.0, 0.0]], b_o=[[2.0], [0.0]])
    words = str(
        certify(
            model_of(dataclasses.replace(stable_network(0, nx=(2,)), layers=(layer,))),
            "weighted_iss_1",
        )
    )
    assert "U_c: column 2, Σ|·| = 2.5; gate f: row 2, at most 0.9526" in words
    assert "gate o: row 1, at most 0.8808" in words


@pytest.mark.parametrize("name", conditions.CONDITIONS)
def test_certificates_survive_the_disk(tmp_path, name):
    certificate = certify(stable_model(1), name)
    certificate.save(tmp_path / "c.json")
    assert Certificate.load(tmp_path / "c.json") == certificate
