"""The gate on the strength of an interval tube."""

from dataclasses import replace

import pytest
from builders import paper_policy, stable_model, validation_for

from lstm_mpc.certificates import reachability
from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.gate import Release, release
from lstm_mpc.certificates.scenarios import VerifyOptions, verify
from lstm_mpc.errors import InputError, Refused

SAFE = ((-100.0, 100.0),)


@pytest.fixture(scope="module")
def proven():
    """What a release on the strength of a tube is made of."""
    model = stable_model(0)
    unsafe = verify(model, VerifyOptions(steps=5, settle=0), safe_set=SAFE)
    evidence = (
        [certify(model), certify(model, "weighted_iss")],
        replace(unsafe, scenarios=1),
        validation_for(model),
    )
    return model, evidence, reachability.reach(model, safe_set=SAFE, steps=50)


@pytest.mark.parametrize("output_set", ["tube", "either"])
def test_a_tube_can_stand_for_scenarios(proven, output_set, tmp_path):
    model, evidence, tube = proven
    done = release(model, *evidence, paper_policy(output_set=output_set), safe_set=SAFE, tube=tube)
    assert any(
        kind == "proved" and "no input within the actuator limits" in words
        for kind, words in done.claims()
    )
    done.save(tmp_path / "r.json")
    assert Release.load(tmp_path / "r.json").tube == tube


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda tube: None, "no interval tube"),
        (lambda tube: replace(tube, model="0" * 64), "the tube speaks of model 000000000000"),
        (lambda tube: replace(tube, whole=((0.0, 0.1),)), "not what the model's numbers give"),
        (
            lambda tube: reachability.reach(stable_model(0), safe_set=SAFE, radius=0.5, steps=50),
            "the tube covers ρu = 0.5",
        ),
    ],
)
def test_a_tube_that_proves_nothing_is_refused(proven, spoil, words):
    model, evidence, tube = proven
    with pytest.raises(Refused, match=words):
        release(model, *evidence, paper_policy(output_set="tube"), safe_set=SAFE, tube=spoil(tube))
    with pytest.raises(Refused, match=r"cannot carry.*" + words):
        release(
            model, *evidence, paper_policy(output_set="either"), safe_set=SAFE, tube=spoil(tube)
        )


def test_a_tube_outside_the_safe_set_is_refused(proven):
    model, evidence, tube = proven
    with pytest.raises(Refused, match="leaves the safe set"):
        release(
            model, *evidence, paper_policy(output_set="tube"), safe_set=((-0.01, 0.01),), tube=tube
        )


def test_another_machine_may_differ_in_the_last_digits(proven):
    model, evidence, tube = proven
    near = replace(tube, whole=tuple((a * (1 + 1e-12), b) for a, b in tube.whole))
    assert release(model, *evidence, paper_policy(output_set="tube"), safe_set=SAFE, tube=near)


def test_unknown_output_set_and_too_many_limits():
    model = stable_model(0)
    with pytest.raises(
        InputError, match="output_set must be one of scenario, tube, either, got 'luck'"
    ):
        paper_policy(output_set="luck")
    checked = verify(model, VerifyOptions(steps=5, settle=0), safe_set=SAFE)
    with pytest.raises(InputError, match=r"the input range .* must be numbers, one per signal"):
        release(
            model,
            [certify(model)],
            checked,
            validation_for(model),
            paper_policy(),
            safe_set=SAFE,
            u_low=[1.0, 2.0, 3.0],
        )
