"""Void evidence is no claim: what does not pass every check of its kind is not printed as one, and
its absence is said, by whatever prints."""

import copy
import shutil
from dataclasses import replace

import numpy as np
import pytest
from builders import stable_model, validation_for
from places import ROOT

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.gate import Release, release
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.certificates.reachability import reach
from lstm_mpc.certificates.scenarios import VerifyOptions, verify
from lstm_mpc.codegen.c_model import c_model
from lstm_mpc.errors import Refused
from lstm_mpc.report.page import render_report
from lstm_mpc.report.reading import read

SAFE = ((-100.0, 100.0),)
POLICY = Policy(("iss",), "tube", waive={"controller": "none"})


@pytest.fixture(scope="module")
def model():
    return stable_model(0)


@pytest.fixture(scope="module")
def honest(model):
    return verify(model, VerifyOptions(steps=20, settle=5), safe_set=SAFE)


def passing(model, verification, policy=POLICY, **changes):
    evidence = {"tube": reach(model, safe_set=SAFE, steps=20), "safe_set": SAFE}
    return release(
        model,
        [certify(model)],
        verification,
        validation_for(model),
        policy,
        **{**evidence, **changes},
    )


def bound(verification, **changes):
    return replace(verification, bounds=(replace(verification.bounds[0], **changes),))


VOID = {
    "of another model": (
        lambda v: verify(stable_model(1), VerifyOptions(steps=20, settle=5), safe_set=SAFE),
        "no scenario verification speaks of this model",
    ),
    "one scenario for all": (
        lambda v: replace(v, scenarios=1, epsilon=1e-9),
        "1 scenarios cannot carry ε = 1e-09, β = 1e-06; ",
    ),
    "more than the rule gives": (
        lambda v: replace(v, scenarios=10**9),
        "the verification says 1000000000 scenarios, where ε = 0.01, β = 1e-06 ask for at"
        " most 2964",
    ),
    "a smaller bound": (
        lambda v: bound(v, radius_y=0.5 * v.bounds[0].radius_y),
        "of the verification reaches ρ = ",
    ),
    "another worst scenario": (
        lambda v: bound(v, worst=v.scenarios),
        "the worst scenario is number 2964 of 2964",
    ),
    "a law that is none": (
        lambda v: replace(v, law={"class": "Mprs"}),
        "the law of the verification cannot be read (KeyError('start_low'))",
    ),
    "steps without end": (
        lambda v: replace(v, steps=10**12),
        "1000000000000 steps are too many to be computed again",
    ),
    "no bound": (lambda v: replace(v, bounds=()), "the verification holds no bound of the model"),
    "a weaker claim than the policy asks": (
        lambda v: verify(
            stable_model(0), VerifyOptions(epsilon=0.2, steps=20, settle=5), safe_set=SAFE
        ),
        "the verification claims ε = 0.2, β = 1e-06, the policy asks ε ≤ 0.01, β ≤ 1e-06",
    ),
}


@pytest.mark.parametrize("how", VOID)
def test_void_scenarios_are_not_printed_and_their_absence_is_said(model, honest, how):
    spoil, words = VOID[how]
    done = passing(model, spoil(honest))
    claims = done.claims()
    assert "sampled" not in [kind for kind, _ in claims]
    (absent,) = (sentence for kind, sentence in claims if kind == "absent")
    assert absent.startswith("nothing is sampled of the outputs: ")
    assert words in absent
    header = next(text for name, text in c_model(done).items() if name.endswith(".h"))
    assert "confidence" not in header
    assert "absent: nothing is sampled of the" in header
    with pytest.raises(Refused) as caught:
        passing(model, spoil(honest), replace(POLICY, output_set="scenario"))
    assert caught.value.reasons


def test_honest_scenarios_are_printed_where_nobody_asks_for_them(model, honest):
    kinds = [kind for kind, _ in passing(model, honest).claims()]
    assert kinds == ["proved", "proved", "sampled", "measured"]


def test_no_verification_is_said_too(model):
    assert dict(passing(model, None).claims())["absent"] == (
        "nothing is sampled of the outputs: no scenario verification speaks of this model"
    )


def test_a_fit_that_is_waived_is_no_claim(model, honest):
    """The waiver says the figure; nothing else repeats it as if it had passed."""
    policy = replace(POLICY, min_fit=99.0, waive={"controller": "none", "fit": "a trial"})
    claims = passing(model, honest, policy).claims()
    assert [kind for kind, _ in claims] == ["proved", "proved", "sampled", "waived"]
    assert "validation FIT 97.00 %" in claims[-1][1]


def test_what_was_not_computed_again_is_named(model, honest):
    assert passing(model, honest).unchecked() == (
        "that 2964 scenarios were run and none but the worst was computed again",
        f"the validation FIT, of data {'0' * 12}",
    )
    assert passing(model, None).unchecked() == (f"the validation FIT, of data {'0' * 12}",)


@pytest.fixture
def ph(tmp_path):
    folder = tmp_path / "ph"
    shutil.copytree(ROOT / "models" / "ph", folder, ignore=shutil.ignore_patterns("figures"))
    return folder


@pytest.mark.usefixtures("undrawn")
def test_the_report_claims_nothing_of_void_evidence(ph):
    from lstm_mpc.certificates.evidence import LoopVerification, Verification

    path = ph / "verification.json"
    replace(Verification.load(path), scenarios=10**9).save(path)
    path = ph / "loop-verification.json"
    replace(LoopVerification.load(path), scenarios=10**9).save(path)
    dossier = read(ph)
    assert dossier.sampled_reasons[0].startswith("the verification says 1000000000 scenarios")
    assert dossier.loop_reasons[0].startswith("the loop verification says 1000000000 closed loops")
    page = render_report(dossier)
    assert "Nothing is claimed: the verification says 1000000000 scenarios" in page
    assert "Nothing is claimed: the loop verification says 1000000000 closed loops" in page


def test_a_recomputed_digest_does_not_make_a_better_release(ph):
    """FIT 99.99 % and 10⁹ scenarios in the file, with a digest that fits: the gate computes again
    what it can."""
    shipped = Release.load(ph / "release.json")
    fits = copy.deepcopy(shipped.validation.fits)
    fits["measured"]["mean_removed"] = [99.99]
    forged = replace(
        shipped,
        verification=replace(shipped.verification, scenarios=10**9),
        validation=replace(shipped.validation, fits=fits),
    )
    forged.save(ph / "release.json")
    loaded = Release.load(ph / "release.json")
    assert "sampled" not in [kind for kind, _ in loaded.claims()]
    assert np.isclose(loaded.validation.fit, 99.99)  # and `judged.passed` refuses it, see manifest
