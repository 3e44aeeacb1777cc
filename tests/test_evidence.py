from dataclasses import replace

import pytest
from builders import model_of, random_network, stable_model, validation_for
from conftest import WIDE

from lstm_mpc import store
from lstm_mpc.errors import InputError
from lstm_mpc.evidence import Bound, Certificate, Inequality, Validation, Verification
from lstm_mpc.proof import certify
from lstm_mpc.scenario import verify


def evidence():
    """One record of every kind, from a two-layer model."""
    model = stable_model(0, nx=(2, 3), ny=2)
    checked = verify(model, safe_set=2 * WIDE, radii=(0.5, 1.0), epsilon=0.1, beta=0.01, steps=10, settle=2)
    return [certify(model), certify(model_of(random_network(0))), checked, validation_for(model)]


@pytest.mark.parametrize("item", evidence(), ids=["certificate", "failed certificate", "verification", "validation"])
def test_evidence_comes_back_as_it_was_and_a_changed_digit_is_seen(tmp_path, item):
    path = tmp_path / "e.json"
    item.save(path)
    assert type(item).load(path) == item
    path.write_text(path.read_text().replace(item.model[:6], item.model[:5] + "x", 1))
    with pytest.raises(InputError, match=r"e.json: was altered"):
        type(item).load(path)
    other = Validation if isinstance(item, Certificate) else Certificate
    with pytest.raises(InputError, match=rf"e.json: holds '{item.kind}', not a '{other.kind}'"):
        other.load(path)


@pytest.mark.parametrize("kind", [Certificate, Verification, Validation])
@pytest.mark.parametrize("content", [{}, {"bounds": 3, "safe_set": [], "inequalities": 3}, {"inequalities": [{}]}])
def test_a_record_with_nonsense_inside_is_refused_by_name(tmp_path, kind, content):
    store.write_json(tmp_path / "e.json", kind.kind, content)
    with pytest.raises(InputError, match=rf"e.json: is not a usable {kind.kind} \(.*make it again"):
        kind.load(tmp_path / "e.json")


def certificate(*values):
    lines = tuple(Inequality(1, f"q{number}", value, f"gate {number}") for number, value in enumerate(values))
    return Certificate("m", "iss", 1.0, lines, {})


@pytest.mark.parametrize(("values", "margin"), [((0.5, 0.75), 0.25), ((0.5, 1.0), 0.0), ((1.25, 0.5), -0.25)])
def test_a_certificate_holds_when_every_inequality_has_a_margin(values, margin):
    item = certificate(*values)
    assert item.margin == margin
    assert item.holds == (margin > 0)
    assert item.content()["holds"] == item.holds


def test_a_certificate_says_what_is_tightest_or_everything_that_fails():
    assert str(certificate(0.5, 0.75)) == "iss holds with margin δ = 0.25 (tightest: layer 1, q1, gate 1)"
    assert str(certificate(1.25, 0.5, 1.125)) == (
        "iss fails: layer 1, q0 = 1.25 ≥ 1, over by 0.25: gate 0; layer 1, q2 = 1.125 ≥ 1, over by 0.125: gate 2"
    )
    assert str(certificate(0.5, 1.0)).startswith("iss fails: layer 1, q1 = 1 ≥ 1")


def test_a_verification_finds_its_bounds_by_system_and_radius():
    bound = Bound("model", 0.5, 1.0, 1.0, (0.0,), (1.0,), 3, 4, True)
    item = Verification("m", 0.1, 0.1, "paper", "ball", 9, 9, 0, 0, {}, (), (bound, replace(bound, radius_u=1.0)))
    assert item.bound("model", 0.5) is bound
    assert item.bound("plant", 0.5) is None
    assert item.bound("model", 0.7) is None


def test_the_fit_of_a_validation_is_the_worst_output():
    figures = {"measured": {"normalised": [99.0], "mean_removed": [97.0, 96.0]}, "noise-free": {"normalised": [9.0], "mean_removed": [1.0]}}
    assert Validation("m", "d", 9, 0, figures).fit == 96.0
