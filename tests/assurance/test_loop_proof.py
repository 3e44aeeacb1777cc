"""The proof of the loop: what it claims, what speaks against it, and whether its bounds hold."""

import json
import subprocess
import sys
from dataclasses import replace

import casadi as ca
import mpmath
import numpy as np
import pytest
from builders import released_of
from mpmath import mpf
from places import ROOT

from lstm_mpc.assurance.loop_proof import LoopProof, lacks
from lstm_mpc.assurance.mpc import MPC, prove_loop
from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.control.engines.sqp import SolverOptions, Sqp
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.terminal.sensitivity import _step_rounding, cost_bounds
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest

CHECKER = ROOT / "examples" / "08_check_loop_proof.py"
SOFT = {"y_low": 5.8, "y_high": 9.2}
TUNED = {"horizon": 8, "move_penalty": 0.0045, "max_move": 1.0, "terminal": True}
FILTER = KalmanTuning(noise=0.02, drift=0.0025, max_disturbance=1.1)


@pytest.fixture(scope="module")
def passed():
    return released_of(Model.load(ROOT / "models" / "ph" / "model.json"))


def spec_of(passed, **changes):
    return ControllerSpec(passed, ControlProblem(**{**TUNED, **changes}), SolverOptions(1, 10, 1))


@pytest.fixture(scope="module")
def proof(passed):
    return prove_loop(spec_of(passed))


def test_it_is_kept_as_it_is(proof, tmp_path):
    assert proof.holds
    proof.save(tmp_path / "loop-proof.json")
    assert LoopProof.load(tmp_path / "loop-proof.json") == proof


def test_it_says_what_is_proved_and_what_is_proved_if(proof):
    (one, fall), (two, settles), (three, stable) = proof.claims()
    assert (one, two, three) == ("proved", "proved", "proved if")
    assert f"V(k+1) ≤ V(k) − ℓ(k) + {proof.epsilon:.2g}" in fall
    assert "a plant that is the model with a constant offset" in settles
    assert "any plant, if the offset d̂ settles" in stable
    assert "the C in single precision" in fall


def test_with_the_filter_it_has_two_parts(passed):
    proof = prove_loop(spec_of(passed, observer=FILTER))
    (one, _), (two, words) = proof.claims()
    assert (one, two) == ("proved", "proved if")
    assert words.startswith("proved with the state known; with the filter V(k+1) ≤ V(k) − ℓ(k) + c")
    assert "ISS to what the Kalman filter corrects" in words
    assert "measured, not proved" in words
    assert proof.radius > prove_loop(spec_of(passed)).radius  # inputs reach further


def test_soft_bounds_are_inside_for_setpoints_within_them(passed):
    bounded, free = prove_loop(spec_of(passed, **SOFT)), prove_loop(spec_of(passed))
    assert any(words.startswith("soft bounds of outputs") for words in bounded.inside)
    assert "setpoints on or beyond a soft bound" in bounded.outside
    assert not any("soft bound" in words for words in (*free.inside, *free.outside))
    assert bounded.epsilon > free.epsilon


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"blocks": (1, 2, 5)}, "inside", "blocks"),
        ({"dead_time": 30.0}, "inside", "dead time"),
        ({"preview": True}, "outside", "setpoints that are seen to change"),
    ],
    ids=["blocks", "dead time", "preview"],
)
def test_every_feature_is_named_inside_or_outside(passed, changes, where, words):
    proof = prove_loop(spec_of(passed, **changes))
    assert any(words in line for line in getattr(proof, where))


def test_without_a_terminal_cost_there_is_nothing_to_prove(passed):
    with pytest.raises(InputError, match=r"prove-loop: the problem has no terminal cost.*set term"):
        prove_loop(spec_of(passed, terminal=False))
    with pytest.raises(InputError, match=r"a ControllerSpec\(release, problem\) is needed"):
        prove_loop("models/ph")


def test_it_takes_a_controller_too(passed, proof):
    spec = spec_of(passed)
    assert prove_loop(MPC(passed, spec.problem, solver=spec.solver)) == proof


def test_a_proof_speaks_for_the_controller_that_it_was_made_of(passed, proof):
    assert lacks(proof, spec_of(passed)) == ()
    (none,) = lacks(None, spec_of(passed))
    assert none == "the closed loop was never proved; `prove_loop(mpc)` does"
    other, _ = lacks(proof, spec_of(passed, horizon=9))
    assert other.startswith("the proof of the loop speaks of another problem and budget")
    (model,) = lacks(replace(proof, model="0" * 64), spec_of(passed))
    assert model.startswith("the proof of the loop speaks of another model (000000000000")
    thin = replace(proof, weights=tuple(0.99 * w for w in proof.weights))
    (numbers,) = lacks(thin, spec_of(passed))
    assert numbers == "the proof of the loop holds other numbers than a new one; redo it"


def cleared(proof, *, controller="proved", **changes):
    """Through the gate of controllers, under a policy that asks for what `controller` says."""
    shipped = Release.load(ROOT / "models" / "ph" / "release.json")
    asked = replace(shipped, policy=Policy(controller=controller))
    return MPC.of(spec_of(asked, **changes)).clear(proof=proof)


def test_a_policy_that_asks_for_a_proof_takes_the_one_of_this_loop(proof):
    found = cleared(proof)
    assert set(proof.claims()) < set(found.evidence)
    assert found.spec.tuning_digest == proof.problem
    assert set(proof.claims()) < set(cleared(proof, controller="tube").evidence)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda proof: None, "the closed loop was never proved"),
        (lambda proof: replace(proof, model="0" * 64), "another model"),
        (lambda proof: replace(proof, source="0" * 64), "another C source"),
        (lambda proof: replace(proof, problem="0" * 64), "another problem and budget"),
        (lambda proof: replace(proof, decay=0.5 * proof.decay), "other numbers than a new one"),
        (lambda proof: failing(proof), "is void: an inequality in it fails"),
    ],
    ids=["none", "model", "C", "problem", "numbers", "void"],
)
def test_a_policy_that_asks_for_a_proof_refuses_any_other(proof, spoil, words):
    with pytest.raises(Refused, match=words):
        cleared(spoil(proof))


def test_a_proof_that_speaks_of_another_controller_is_no_claim(proof):
    found = cleared(proof, controller="tube", horizon=9).evidence
    (why,) = (words for kind, words in found if kind == "absent")
    assert why.startswith("nothing is proved of the loop: the proof of the loop speaks of another")
    assert not set(proof.claims()) & set(found)


def test_a_loop_without_a_terminal_cost_is_not_proved(passed, proof):
    spec = spec_of(passed, terminal=False)
    own = replace(proof, problem=spec.tuning_digest, source=spec.source_digest)
    (why,) = lacks(own, spec)
    assert why.startswith("the problem has no terminal cost, so its loop is not proved")


def test_what_is_no_proof_is_refused():
    with pytest.raises(InputError, match=r"proof must be what `prove_loop` returns, got str"):
        cleared("loop-proof.json")


def failing(proof):
    """The proof with an inequality that does not hold."""
    first, *others = proof.inequalities
    return replace(proof, inequalities=(replace(first, value=1.0), *others))


def test_a_proof_whose_inequality_fails_claims_nothing(proof):
    failed = failing(proof)
    assert not failed.holds
    assert failed.claims() == ()


# -- the checker that knows nothing of the package -------------------------------------------------


def check(proof, folder):
    model = ROOT / "models" / "ph" / "model.json"
    certify(Model.load(model), "delta_iss").save(folder / "certificate.json")
    (folder / "proof.json").write_text(json.dumps(proof.content()))
    command = [sys.executable, CHECKER, model, folder / "certificate.json", folder / "proof.json"]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def less(proof, **changes):
    return replace(
        proof, **{name: change(getattr(proof, name)) for name, change in changes.items()}
    )


def test_the_checker_agrees(proof, tmp_path):
    done = check(proof, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "loop: proved, along the terminal law V falls" in done.stdout


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ({"weights": lambda w: tuple(0.99 * x for x in w)}, "D does not make up"),
        ({"M": lambda M: ((M[0][0] * (1 - 1e-6), *M[0][1:]), *M[1:])}, "M is too small"),
        ({"max_move": lambda m: tuple(0.999 * x for x in m)}, "the law breaks a rate limit"),
        ({"output_price": lambda q: tuple(1.1 * x for x in q)}, "D does not make up"),
    ],
    ids=["D", "M", "rate", "price"],
)
def test_the_checker_sees_what_was_spoilt(proof, tmp_path, spoil, words):
    done = check(less(proof, **spoil), tmp_path)
    assert done.returncode != 0
    assert words in done.stderr


# -- the bounds ------------------------------------------------------------------------------------


def test_a_step_rounds_less_than_is_said(passed, rng):
    model = passed.model
    layer, chi, v = model.network.layers[0], ca.SX.sym("chi", 10), ca.SX.sym("v", 1)
    step = ca.Function("step", [chi, v], [lstm.step(model.network, chi, v)])
    bound, worst = _step_rounding(model, model.scaling.radius, 2.0**-53), 0.0
    for _ in range(20):
        x, xi, u = rng.uniform(-1, 1, 5), rng.uniform(-1, 1, 5), rng.uniform(-1, 1, 1)
        computed = np.asarray(step(np.concatenate([x, xi]), u)).ravel()
        with mpmath.workprec(120):
            z = {
                g: [
                    sum(mpf(w) * mpf(a) for w, a in zip(W[j], u, strict=True))
                    + sum(mpf(w) * mpf(a) for w, a in zip(U[j], xi, strict=True))
                    + mpf(b[j, 0])
                    for j in range(5)
                ]
                for g, (W, U, b) in ((g, layer.gate(g)) for g in "fioc")
            }
            f, i, o = ([1 / (1 + mpmath.exp(-s)) for s in z[g]] for g in "fio")
            after = [
                a * mpf(b) + c * mpmath.tanh(d) for a, b, c, d in zip(f, x, i, z["c"], strict=True)
            ]
            exact = after + [a * mpmath.tanh(b) for a, b in zip(o, after, strict=True)]
            off = [float(abs(mpf(a) - b)) for a, b in zip(computed, exact, strict=True)]
        assert (np.array(off) <= bound).all()
        worst = max(worst, float((np.array(off) / bound).max()))
    assert worst > 1e-3  # not by far


@pytest.mark.parametrize("soft", [{}, SOFT, {"y_low": 6.5, "y_high": 7.6}], ids=str)
def test_the_cost_changes_no_more_than_is_said(passed, rng, soft):
    """With the state, the input disturbance and the target."""
    problem = spec_of(passed, **soft).problem
    controller = Sqp(passed, problem)
    bounds = cost_bounds(passed.model, controller.limits, controller.closing, 8)
    core, limits = passed.model.core, controller.limits
    controller.reset([7.0], [15.5])
    controller.step([7.0], [7.4])
    span = passed.model.scaling.u_span

    def value():
        goal = np.repeat(controller.target.y[None], 9, axis=0)
        return controller._value(controller._plan, goal, controller.closing)[1]

    for _ in range(20):
        controller.observer.chi = rest(core, rng.uniform(limits.u_low, limits.u_high))
        before = value()
        assert before <= bounds.largest
        change = 0.05 * rng.normal(size=10)
        controller.observer.chi = controller.observer.chi + change
        assert abs(value() - before) <= bounds.state @ np.abs(change)
        before, w = value(), 0.05 * rng.normal(size=1)
        controller.observer.input_disturbance = w * span
        assert abs(value() - before) <= bounds.drive @ np.abs(w)
        controller.observer.input_disturbance = np.zeros(1)
        before, kept = value(), controller.target
        moved = 0.02 * rng.normal(size=12)
        controller.target = replace(
            kept,
            chi=kept.chi + moved[:10],
            u=kept.u + moved[10] * span,
            y=kept.y + moved[11] * passed.model.scaling.y_span,
        )
        assert abs(value() - before) <= bounds.aim @ np.abs(moved)
        controller.target = kept


def test_the_cost_never_rises_by_more_than_the_printed_rounding(passed, proof):
    """On the model with a constant offset, for setpoints and starts at random."""
    controller, core, rng = Sqp(passed, spec_of(passed).problem), passed.model.core, None
    limits, worst = controller.limits, -np.inf
    for seed in range(6):
        rng = np.random.default_rng(seed)
        chi, setpoint = (rest(core, rng.uniform(limits.u_low, limits.u_high)) for _ in range(2))
        r, before = np.asarray(core.output(setpoint)).ravel(), rng.uniform(*limits_of(limits))
        controller.reset(np.asarray(core.output(chi)).ravel(), before)
        controller.observer._begin(chi, np.zeros(1))
        value, cost = np.inf, 0.0
        for _ in range(40):
            move = controller.step(np.asarray(core.output(chi)).ravel(), r)
            worst = max(worst, move.cost - value + cost)
            goal = np.array([controller.target.y] * 2)
            cost = limits.cost(move.predicted[:2], goal, move.u[None], before)
            value, before = move.cost, move.u
            chi = np.asarray(core.step(chi, move.u, np.zeros(0))).ravel()
    assert worst <= proof.epsilon


def limits_of(limits):
    return limits.u_low, limits.u_high
