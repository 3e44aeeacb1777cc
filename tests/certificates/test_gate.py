import json
from dataclasses import replace

import numpy as np
import pytest
from builders import WIDE, model_of, paper_policy, random_network, stable_model, validation_for

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.gate import Release, release
from lstm_mpc.certificates.scenarios import VerifyOptions, scenario_count, verify
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.io import artefact_file

SAFE = ((0.0, 14.0),)


@pytest.fixture
def gate(model, certificate, verification, validation):
    """The gate with complete evidence, of which a test replaces one piece."""

    def pass_gate(
        *,
        model=model,
        certificates=(certificate,),
        verification=verification,
        validation=validation,
        **options,
    ):
        options = {"safe_set": SAFE, **options}
        return release(
            model,
            certificates,
            verification,
            validation,
            options.pop("policy", paper_policy()),
            **options,
        )

    return pass_gate


def bound_with(verification, **changes):
    return replace(verification, bounds=tuple(replace(b, **changes) for b in verification.bounds))


# -- who passes ------------------------------------------------------------------------------------


def test_complete_evidence_passes(gate, model, certificate, verification, validation):
    done = gate()
    assert done.model is model
    assert (done.certificates, done.verification, done.validation) == (
        (certificate,),
        verification,
        validation,
    )
    assert (done.waived, done.safe_set) == ((), SAFE)
    assert (done.u_low.tolist(), done.u_high.tolist()) == ([12.5], [17.0])


def test_every_claim_says_what_kind_it_is(gate, verification):
    claims = gate().claims()
    assert [kind for kind, _ in claims] == ["proved", "sampled", "measured", "absent"]
    assert claims[0][1].startswith("iss holds with margin δ = ")
    bound, scaling = verification.bounds[0], gate().model.scaling
    low, high = (
        float(scaling.y_mid[0] + sign * bound.radius_y * scaling.y_span[0]) for sign in (-1, 1)
    )
    assert (
        claims[1][1]
        == "with confidence 1−1e-06 at most 0.01 of all runs of 100 steps under the sampled law"
        " leave "
        f"pH in [{low:.3f}, {high:.3f}] pH (ρ* = {bound.radius_y:.4f}, N = 2964)"
    )
    assert (
        claims[2][1]
        == "validation FIT (12) 97.00 %, mean-removed 97.00 % against the measured output, 100"
        " samples"
    )


def test_intervals_are_claimed_as_intervals(gate, model):
    checked = verify(
        model, VerifyOptions(shape="intervals", rule="exact", steps=50, settle=10), safe_set=SAFE
    )
    bound = checked.bounds[0]
    sampled = dict(gate(verification=checked).claims())["sampled"]
    assert f"leave pH in [{bound.low[0]:.3f}, {bound.high[0]:.3f}] pH" in sampled


def test_a_stronger_verification_and_a_narrower_controller_pass(gate, model):
    strong = verify(
        model,
        VerifyOptions(epsilon=5e-3, beta=1e-8, steps=30, settle=5, radii=(0.5,)),
        safe_set=((4.0, 10.0),),
    )
    done = gate(verification=strong, u_low=14.0, u_high=[15.5])
    assert (done.u_low.tolist(), done.u_high.tolist()) == ([14.0], [15.5])


# -- who does not ----------------------------------------------------------------------------------


def refused(gate, **pieces):
    with pytest.raises(Refused) as error:
        gate(**pieces)
    return error.value.reasons


def test_evidence_of_another_model_is_refused(gate, model):
    other = replace(model, name="other")
    stranger = other.digest[:12]
    assert refused(gate, certificates=[certify(other)]) == (
        f"certificate 'iss' speaks of model {stranger}, not of {model.digest[:12]}",
        "no certificate of 'iss' for this model",
    )
    verified = verify(other, VerifyOptions(steps=5, settle=0), safe_set=SAFE)
    assert refused(gate, verification=verified) == (
        f"the verification speaks of model {stranger}, not of {model.digest[:12]}",
    )
    assert refused(gate, validation=validation_for(other)) == (
        f"the validation speaks of model {stranger}, not of {model.digest[:12]}",
    )
    assert len(refused(gate, model=other)) == 4  # the model exchanged under its evidence


def test_a_missing_certificate_is_refused(gate):
    assert refused(gate, certificates=[]) == ("no certificate of 'iss' for this model",)


def test_an_edited_certificate_is_refused(gate, certificate):
    line = certificate.inequalities[0]
    better = replace(
        certificate,
        inequalities=(replace(line, value=line.value - 0.1), *certificate.inequalities[1:]),
    )
    (reason,) = refused(gate, certificates=[better])
    assert (
        reason == "the certificate of 'iss' is not what the model's numbers give (δ ="
        f" {certificate.margin:.4g})"
    )
    assert refused(gate, certificates=[replace(certificate, radius=0.5)]) == (reason,)
    assert refused(gate, certificates=[replace(certificate, constants={})]) == (reason,)


def test_an_unstable_model_is_refused_whatever_its_certificate_says(gate, certificate):
    bad = model_of(random_network(0))
    verified = verify(bad, VerifyOptions(steps=5, settle=0), safe_set=WIDE)
    for claim in (certify(bad), replace(certificate, model=bad.digest)):
        (reason,) = refused(
            gate,
            model=bad,
            certificates=[claim],
            verification=verified,
            validation=validation_for(bad),
            safe_set=WIDE,
        )
        assert reason.startswith("iss fails: layer 1, ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"epsilon": 0.02},
            "the verification claims ε = 0.02, β = 1e-06, the policy asks ε ≤ 0.01, β ≤ 1e-06",
        ),
        ({"beta": 1e-5}, "the verification claims ε = 0.01, β = 1e-05, the policy asks"),
        ({"scenarios": 1374}, "1374 scenarios cannot carry ε = 0.01, β = 1e-06; 1375 are needed"),
        (
            {"shape": "intervals", "scenarios": 1660},
            "1660 scenarios cannot carry .*; 1661 are needed",
        ),
        ({"bounds": ()}, "the verification holds no bound of the model"),
        ({"steps": 9}, "scenarios of 9 steps are shorter than the 10 of the policy"),
        (
            {"safe_set": ((-1.0, 14.0),)},
            r"verified against the safe set \(\(-1.0, 14.0\),\), the design asks \(\(0.0, 14.0",
        ),
        ({"safe_set": ((0.0, 15.0),)}, "verified against the safe set"),
        ({"safe_set": 2 * SAFE}, "verified against the safe set"),
    ],
)
def test_a_verification_weaker_than_the_policy_is_refused(gate, verification, changes, words):
    with pytest.raises(Refused, match="release refused: " + words) as error:
        gate(verification=replace(verification, **changes), policy=paper_policy(min_steps=10))
    assert len(error.value.reasons) == 1


def test_exactly_what_the_policy_asks_is_enough(gate, verification):
    least = replace(verification, scenarios=scenario_count(1e-2, 1e-6, rule="exact"))
    assert gate(verification=least, policy=paper_policy(min_steps=verification.steps))


def test_an_output_set_outside_the_safe_set_is_refused(gate, model):
    unsafe = verify(model, VerifyOptions(steps=50, settle=10), safe_set=((6.9, 7.1),))
    (reason,) = refused(gate, verification=unsafe, safe_set=((6.9, 7.1),))
    bound = unsafe.bounds[0]
    low, high = (
        float(model.scaling.y_mid[0] + sign * bound.radius_y * model.scaling.y_span[0])
        for sign in (-1, 1)
    )
    claimed = f"pH in [{low:.3f}, {high:.3f}] pH at ρu = 1 (ρ* = {bound.radius_y:.4f})"
    assert reason == f"the claimed set {claimed} leaves the safe set pH in [6.900, 7.100] pH"


@pytest.mark.parametrize(
    ("limits", "passes"),
    [
        ({}, False),
        ({"u_low": 14.0}, False),
        ({"u_low": 13.6, "u_high": 15.9}, False),
        ({"u_low": 13.7, "u_high": 15.8}, True),
    ],
)
def test_a_controller_may_not_go_where_nothing_was_verified(gate, model, limits, passes):
    # covers 14.75 ± 1.125
    narrow = verify(model, VerifyOptions(radii=(0.2, 0.5), steps=20, settle=5), safe_set=SAFE)
    if passes:
        assert gate(verification=narrow, **limits)
    else:
        (reason,) = refused(gate, verification=narrow, **limits)
        low, high = limits.get("u_low", 12.5), limits.get("u_high", 17.0)
        assert (
            reason
            == f"the controller may move q3 in [{low:g}, {high:g}] mL/s, the verification covers"
            " [13.62, 15.88] (ρu = 0.5)"
        )


@pytest.mark.parametrize("fit", [94.99, float("nan"), -5.0])
def test_a_poor_fit_is_refused(gate, model, fit):
    (reason,) = refused(gate, validation=validation_for(model, fit))
    assert reason == f"validation FIT {fit:.2f} % (mean-removed) is below the 95 % of the policy"
    assert gate(validation=validation_for(model, 95.0))


def test_all_reasons_are_given_at_once(gate, model, verification):
    weak = bound_with(replace(verification, epsilon=0.05, scenarios=10), radius_u=0.5)
    with pytest.raises(Refused) as error:
        gate(
            certificates=[],
            verification=weak,
            validation=validation_for(model, 50.0),
            safe_set=((6.5, 7.5),),
        )
    expected = (
        "no certificate of 'iss'",
        "the verification claims ε = 0.05",
        "10 scenarios cannot carry",
        "verified against the safe set",
        "leaves the safe set",
        "the controller may move q3",
        "validation FIT 50.00 %",
    )
    assert len(error.value.reasons) == len(expected)
    for words, reason in zip(expected, error.value.reasons, strict=True):
        assert words in reason
        assert reason in str(error.value)


# -- waivers ---------------------------------------------------------------------------------------


def test_a_waiver_lets_one_check_pass_and_is_told_wherever_the_release_is_used(gate, model):
    poor = validation_for(model, 50.0)
    done = gate(validation=poor, policy=paper_policy(waive={"fit": "bench test"}))
    sentence = (
        "fit: validation FIT 50.00 % (mean-removed) is below the 95 % of the policy — waived: bench"
        " test"
    )
    assert done.waived == (sentence,)
    assert done.claims()[-1] == ("waived", sentence)
    assert refused(
        gate, validation=poor, certificates=[], policy=paper_policy(waive={"fit": "bench test"})
    ) == ("no certificate of 'iss' for this model",)


def test_a_waiver_of_a_check_that_passes_is_not_mentioned(gate):
    assert gate(policy=paper_policy(waive={"fit": "not needed"})).waived == ()


def test_every_check_can_be_waived(gate, model, verification):
    why = dict.fromkeys(("certificate", "scenario", "safe_set", "input_range", "fit"), "demo")
    weak = bound_with(replace(verification, scenarios=10), radius_y=100.0, radius_u=0.5)
    done = gate(
        certificates=[],
        verification=weak,
        validation=validation_for(model, 1.0),
        policy=paper_policy(waive=why),
    )
    assert sorted(w.split(":")[0] for w in done.waived) == sorted(why)


def test_a_waived_certificate_proves_nothing(gate, certificate):
    """What is kept and claimed is what the model's numbers give, never what was handed over."""
    bad = model_of(random_network(0))
    forged = replace(certificate, model=bad.digest)
    done = gate(
        model=bad,
        certificates=[forged],
        verification=verify(bad, VerifyOptions(steps=5, settle=0), safe_set=WIDE),
        validation=validation_for(bad),
        safe_set=WIDE,
        policy=paper_policy(waive={"certificate": "bench test"}),
    )
    assert done.certificates == (certify(bad),)
    assert [kind for kind, _ in done.claims()] == ["sampled", "measured", "absent", "waived"]


def test_a_policy_without_conditions_asks_for_no_certificate(gate):
    assert gate(certificates=[], policy=paper_policy(conditions=())).claims()[0][0] == "sampled"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"conditions": ["magic"]}, "unknown stability condition 'magic'"),
        ({"epsilon": np.nan}, r"release: ε = nan and β = 1e-06 must lie in \(0, 1\)"),
        ({"beta": 0.0}, "β = 0.0 must lie in"),
        ({"min_fit": np.nan}, "min_fit = nan must be finite"),
        (
            {"waive": {"luck": "why"}},
            "release: unknown check 'luck' in waive; known: certificate, scenario, safe_set",
        ),
        ({"waive": {"fit": "  "}}, "release: the waiver of 'fit' needs a reason in words"),
    ],
)
def test_a_policy_is_checked(options, words):
    with pytest.raises(InputError, match=words):
        paper_policy(**options)


# -- on disk ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "policy", [paper_policy(), paper_policy(conditions=["iss"], min_fit=50, waive={"fit": "bench"})]
)
def test_a_release_comes_back_through_the_gate(tmp_path, gate, policy):
    done = gate(policy=policy, u_low=13.0)
    done.save(tmp_path / "r.json")
    back = Release.load(tmp_path / "r.json")
    assert back.model.digest == done.model.digest
    for name in ("certificates", "verification", "validation", "policy", "safe_set", "waived"):
        assert getattr(back, name) == getattr(done, name)
    assert (back.u_low.tolist(), back.u_high.tolist()) == ([13.0], [17.0])
    assert back.claims() == done.claims()


def forged(path, change):
    """The file with its content changed and a digest to match."""
    content = json.loads(path.read_text())
    for name in ("kind", "format", "digest"):
        del content[name]
    change(content)
    artefact_file.write_json(path, Release.kind, content)


def test_an_edited_release_file_is_refused(tmp_path, gate):
    path = tmp_path / "r.json"
    gate().save(path)
    path.write_text(path.read_text().replace('"min_fit": 95.0', '"min_fit": 90.0'))
    with pytest.raises(InputError, match=r"r.json: was altered after it was written"):
        Release.load(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda c: c["model"]["network"]["b_y"][0].__setitem__(0, 0.5),
            "certificate 'iss' speaks of model .*; no certif",
        ),
        (
            lambda c: c["certificates"][0]["inequalities"][0].update(value=0.1),
            "not what the model's numbers give",
        ),
        (lambda c: c["verification"].update(scenarios=5), "5 scenarios cannot carry"),
        (
            lambda c: c["validation"]["fits"]["measured"].update(mean_removed=[1.0]),
            "validation FIT 1.00 %",
        ),
        (lambda c: c.update(safe_set=[[6.0, 8.0]]), "verified against the safe set"),
        (lambda c: c.update(u_high=[18.0]), r"the controller may move q3 in \[12.5, 18\] mL/s"),
    ],
)
def test_a_forged_release_file_does_not_pass_the_gate(tmp_path, gate, change, words):
    path = tmp_path / "r.json"
    gate().save(path)
    forged(path, change)
    with pytest.raises(Refused, match=words):
        Release.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("policy"),
        lambda c: c["policy"].update(more=1),
        lambda c: c["policy"].update(waive={"luck": "x"}),
        lambda c: c["model"].pop("network"),
        lambda c: c.update(certificates=[{}]),
        lambda c: c.update(verification=3),
    ],
)
def test_a_release_file_with_nonsense_inside_is_refused_by_name(tmp_path, gate, change):
    path = tmp_path / "r.json"
    gate().save(path)
    forged(path, change)
    with pytest.raises(InputError, match=r"r.json: is not a usable release \(.*\); make it again"):
        Release.load(path)


# -- holes -----------------------------------------------------------------------------------------


def test_a_safe_flag_that_contradicts_its_numbers_is_refused(gate, verification):
    assert verification.bounds[0].safe
    (reason,) = refused(gate, verification=bound_with(verification, radius_y=100.0))
    assert "leaves the safe set" in reason


@pytest.mark.parametrize("ends", [{"low": (-0.1,)}, {"high": (14.1,)}])
def test_one_output_interval_outside_the_safe_set_is_refused(gate, verification, ends):
    assert gate(verification=replace(verification, shape="intervals"))
    (reason,) = refused(
        gate, verification=replace(bound_with(verification, **ends), shape="intervals")
    )
    assert "leaves the safe set pH in [0.000, 14.000] pH" in reason


def test_a_bound_beyond_the_range_of_the_model_does_not_count(gate, verification):
    (reason,) = refused(gate, verification=bound_with(verification, radius_u=1.5))
    assert reason == "the verification holds no bound of the model"


@pytest.mark.parametrize(
    "options",
    [
        {"u_low": np.nan},
        {"u_high": np.nan},
        {"safe_set": ((np.nan, 14.0),)},
        {"safe_set": ((0.0, np.nan),)},
        {"safe_set": 2 * SAFE},
    ],
)
def test_limits_that_are_no_numbers_do_not_pass(gate, options):
    with pytest.raises(
        InputError,
        match=r"release: the (input range|safe set) .* must be numbers, one per signal",
    ):
        gate(**options)


def test_a_release_of_a_mimo_model_needs_one_safe_interval_per_output():
    model = stable_model(0, nu=2, nx=(3, 2), ny=2)
    checked = verify(model, VerifyOptions(steps=10, settle=0), safe_set=2 * WIDE)
    evidence = [certify(model)], checked, validation_for(model)
    assert len(release(model, *evidence, paper_policy(), safe_set=2 * WIDE).u_low) == 2
    with pytest.raises(InputError, match="must be numbers, one per signal"):
        release(model, *evidence, paper_policy(), safe_set=WIDE)
