from dataclasses import replace

import pytest
from builders import WIDE, model_of, random_network, stable_model, validation_for

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.evidence import Bound, Certificate, Inequality, Validation, Verification
from lstm_mpc.certificates.scenarios import VerifyOptions, verify
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.schema import noun


def evidence():
    """One record of every kind, from a two-layer model."""
    model = stable_model(0, nx=(2, 3), ny=2)
    checked = verify(
        model,
        VerifyOptions(radii=(0.5, 1.0), epsilon=0.1, beta=0.01, steps=10, settle=2),
        safe_set=2 * WIDE,
    )
    return [certify(model), certify(model_of(random_network(0))), checked, validation_for(model)]


@pytest.mark.parametrize(
    "item", evidence(), ids=["certificate", "failed certificate", "verification", "validation"]
)
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
@pytest.mark.parametrize(
    "content", [{}, {"bounds": 3, "safe_set": [], "inequalities": 3}, {"inequalities": [{}]}]
)
def test_a_record_with_nonsense_inside_is_refused_by_name(tmp_path, kind, content):
    artefact_file.write_json(tmp_path / "e.json", kind.kind, content)
    what = kind.__name__.lower()
    with pytest.raises(InputError, match=rf"e.json: is not a usable {what} \(.*make it again"):
        kind.load(tmp_path / "e.json")


def certificate(*values):
    lines = tuple(
        Inequality(1, f"q{number}", value, f"gate {number}") for number, value in enumerate(values)
    )
    return Certificate("m", "iss", 1.0, lines, {})


@pytest.mark.parametrize(
    ("values", "margin"), [((0.5, 0.75), 0.25), ((0.5, 1.0), 0.0), ((1.25, 0.5), -0.25)]
)
def test_a_certificate_holds_when_every_inequality_has_a_margin(values, margin):
    item = certificate(*values)
    assert item.margin == margin
    assert item.holds == (margin > 0)
    assert item.content()["holds"] == item.holds


def test_a_certificate_says_what_is_tightest_or_what_fails_most():
    assert (
        str(certificate(0.5, 0.75))
        == "iss holds with margin δ = 0.25 (tightest: layer 1, q1, gate 1)"
    )
    assert (
        str(certificate(1.25, 0.5, 1.125))
        == "iss fails: layer 1, q0 = 1.25 ≥ 1, over by 0.25: gate 0, and 1 more inequalities fail"
    )
    assert certificate(1.125, 0.5, 1.25).failures == (
        "layer 1, q2 = 1.25 ≥ 1, over by 0.25: gate 2",
        "layer 1, q0 = 1.125 ≥ 1, over by 0.125: gate 0",
    )
    assert str(certificate(0.5, 1.0)).startswith("iss fails: layer 1, q1 = 1 ≥ 1")


def test_a_verification_finds_its_bounds_by_system_and_radius():
    bound = Bound("model", 0.5, 1.0, 1.0, (0.0,), (1.0,), 3, 4, True)
    item = Verification(
        "m", 0.1, 0.1, "paper", "ball", 9, 9, 0, 0, {}, (), (bound, replace(bound, radius_u=1.0))
    )
    assert item.bound("model", 0.5) is bound
    assert item.bound("plant", 0.5) is None
    assert item.bound("model", 0.7) is None


def test_the_fit_of_a_validation_is_the_worst_output():
    figures = {
        "measured": {"normalised": [99.0], "mean_removed": [97.0, 96.0]},
        "noise-free": {"normalised": [9.0], "mean_removed": [1.0]},
    }
    assert Validation("m", "d", 9, 0, figures).fit == 96.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epsilon": "0.1"}, "'epsilon' is '0.1', not a number"),
        ({"scenarios": True}, "'scenarios' is True, not a whole number"),
        ({"scenarios": 10**30}, "'scenarios' is 10+, not a whole number"),
        ({"seed": 1.5}, "'seed' is 1.5, not a whole number"),
        ({"model": None}, "'model' is None, not text"),
        ({"law": []}, r"'law' is \[\], not a table"),
        ({"safe_set": [[0.0]]}, r"'safe_set'\[0\] is \[0.0\], not a list of 2"),
        ({"bounds": [3]}, r"'bounds'\[0\] is 3, not a table"),
        ({"bounds": {}}, r"'bounds' is \{\}, not a list of tables"),
        ({"more": 1}, "unknown key 'more' in it; did you mean 'model'?"),
        ({"beta": ...}, "it lacks 'beta'"),
    ],
)
def test_content_that_does_not_fit_is_named(verification, change, words):
    content = {
        key: value for key, value in (verification.content() | change).items() if value is not ...
    }
    with pytest.raises(InputError, match=words):
        Verification.from_content(artefact_file.plain(content))


def test_a_choice_of_types_takes_each_and_no_other(verification):
    assert noun(float | None, None) is None
    assert noun(float | list[list[float]], [[1.0]]) == [[1.0]]
    with pytest.raises(InputError, match="it is 'x', not a number or null"):
        noun(float | None, "x")


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({}, "a validation holds figures against the measured output"),
        (
            {"measured": {"normalised": [], "mean_removed": [1.0]}},
            "the figures against the measured output hold no normalised",
        ),
        (
            {"measured": {"normalised": [1.0], "mean_removed": 3}},
            "'mean_removed' of the figures .* is 3, not a list",
        ),
    ],
)
def test_a_validation_without_figures_is_none(figures, words):
    with pytest.raises(InputError, match=words):
        Validation("m", "d", 9, 0, figures)
