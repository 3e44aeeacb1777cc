"""The conformal error tube: what it covers, when there is none, and that no release holds a forged
one."""

from dataclasses import replace

import numpy as np
import pytest
from builders import stable_model, validation_for
from hypothesis import given, settings, strategies as st
from places import ROOT

from lstm_mpc.certificates.evidence import ErrorTube, Validation
from lstm_mpc.certificates.evidence.error_tube import quantile, widths
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.certificates.verdict.claims import claims_of
from lstm_mpc.certificates.verdict.computed import fit_reasons
from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.errors import InputError
from lstm_mpc.identification.validation import error_tube, validate
from lstm_mpc.project import judged
from lstm_mpc.project.design import load_design


def records(model, count, samples, seed, noise=0.05):
    """Outputs of the model with noise that every record scales by itself."""
    rng, made = np.random.default_rng(seed), []
    for number in range(count):
        u = rng.uniform(model.u_low, model.u_high, (samples, len(model.inputs)))
        y = model.simulate(u, x0=np.zeros(model.system.n))
        size = noise * rng.exponential()
        made.append(Record(f"r{number}", u, y + size * rng.standard_normal(y.shape)))
    return Dataset(model.inputs, model.outputs, model.Ts, tuple(made))


def runs_of(model, dataset):
    return [model.simulate(item.u, x0=np.zeros(model.system.n)) for item in dataset.records]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), n=st.integers(9, 60), alpha=st.sampled_from([0.1, 0.2, 0.5]))
def test_the_quantile_covers_what_is_exchangeable(seed, n, alpha):
    """Of 2000 draws of n + 1 scores the last one exceeds the quantile of the others in at most
    alpha, and in at least alpha − 1/(n + 1), up to the spread of such a count."""
    scores = np.random.default_rng(seed).exponential(size=(2000, n + 1)) ** 3
    misses = np.mean([last > quantile(others, alpha) for *others, last in scores])
    spread = 5 * np.sqrt(alpha * (1 - alpha) / 2000)
    assert alpha - 1 / (n + 1) - spread <= misses <= alpha + spread


def test_one_place_lower_would_not_cover():
    """Must fail."""
    scores = np.random.default_rng(0).exponential(size=(4000, 10))
    misses = np.mean([last > np.sort(others)[-2] for *others, last in scores])
    assert misses > 0.1 + 5 * np.sqrt(0.09 / 4000)
    assert quantile(scores[0, :9], 0.1) == scores[0, :9].max()
    assert quantile(scores[0, :8], 0.1) == np.inf


def test_blocks_of_further_records_stay_within_the_tube(tmp_path):
    model = stable_model(0, 2, (3,), 2)
    data = records(model, 60, 90, seed=1)
    tube = error_tube(model, data, runs_of(model, data), block=40)
    assert tube.blocks == 60
    further = records(model, 300, 90, seed=2)
    inside = [
        (np.abs(item.y - y)[50:] <= tube.width).all()
        for item, y in zip(further.records, runs_of(model, further), strict=True)
    ]
    assert np.mean(inside) > 0.9 - 0.06
    assert tube.sentence(model.outputs) == (
        f"with probability 0.9 all of a further 40 samples stay within y1 ± {tube.width[0]:.3g}"
        f" m, y2 ± {tube.width[1]:.3g} m of the model's open loop (split conformal over 60"
        " blocks), if they are exchangeable with these: the same plant, driven alike"
    )
    tube.save(tmp_path / "tube.json")
    assert ErrorTube.load(tmp_path / "tube.json") == tube
    assert repr(tube).startswith("ErrorTube(")


def test_a_model_that_was_chosen_on_the_records_pays_for_it():
    model = stable_model(0)
    data = records(model, 50, 100, seed=1)
    one, four = (validate(model, data, choices=k).error_tube for k in (1, 4))
    assert four.width[0] > one.width[0]
    assert "blocks, for each of 4 models compared on them)" in four.sentence(model.outputs)


def test_too_few_blocks_are_named_with_how_many_are_needed():
    model = stable_model(0)
    tube = validate(model, records(model, 4, 150, seed=1), choices=4).error_tube
    assert (tube.blocks, tube.width, tube.needed(1)) == (8, (), 39)
    assert tube.sentence(model.outputs) == (
        "no error tube: 8 blocks of 50 samples cannot carry probability 0.9 for 4 models compared,"
        " 39 are needed, 1950 samples beside the first 50 of each record;"
        " validate on longer records"
    )
    scores = np.arange(39.0)[:, None]
    assert widths(scores, 0.1, 4) == (38.0,)
    assert widths(scores[1:], 0.1, 4) == ()


def test_a_release_says_that_its_validation_is_too_short_for_a_tube():
    model = stable_model(0)
    short = validate(model, records(model, 1, 140, seed=0))
    kinds = {
        words: kind
        for kind, words in claims_of(model, [], tube=None, verification=None, validation=short)
    }
    words = short.error_tube.sentence(model.outputs)
    assert kinds[words] == "absent"
    assert words.startswith("no error tube: 1 blocks of 50 samples cannot carry probability 0.9, 9")
    assert "450 samples beside the first 50 of each record" in words
    long = validate(model, records(model, 9, 140, seed=0))
    kinds = {
        words: kind
        for kind, words in claims_of(model, [], tube=None, verification=None, validation=long)
    }
    assert kinds[long.error_tube.sentence(model.outputs)] == "measured"


def test_what_was_not_measured_does_not_count():
    model = stable_model(0)
    data = records(model, 20, 100, seed=1)
    gap = np.arange(100)[:, None] == 60
    holes = [replace(r, y=np.where(gap, np.nan, r.y)) for r in data.records]
    with_holes = replace(data, records=tuple(holes))
    tube = error_tube(model, with_holes, runs_of(model, with_holes))
    assert tube.blocks == 20
    assert np.isfinite(tube.width).all()


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"alpha": 1.0}, {"block": 0}, {"choices": 0}])
def test_what_cannot_be_is_named(wrong):
    model = stable_model(0)
    data = records(model, 1, 60, seed=1)
    with pytest.raises(InputError, match=r"error tube: alpha = .* must lie in \(0, 1\), block = "):
        error_tube(model, data, runs_of(model, data), **wrong)
    tube = error_tube(model, data, runs_of(model, data))
    with pytest.raises(InputError, match=r"error tube: width = \[-1.0\] must be finite numbers"):
        replace(tube, width=(-1.0,))


# -- in the gate -----------------------------------------------------------------------------------


def test_a_tube_of_another_model_or_of_other_data_is_no_claim():
    model = stable_model(0)
    bare = validation_for(model)
    tube = ErrorTube(model.digest, bare.data, 0.1, 50, 40, 1, 50, (0.1,))
    policy = Policy()
    assert fit_reasons(model, replace(bare, error_tube=tube), policy) == []
    for other in ({"model": "0" * 64}, {"data": "1" * 12}, {"width": (0.1, 0.1)}):
        held = replace(bare, error_tube=replace(tube, **other))
        assert fit_reasons(model, held, policy) == [
            "the error tube is not of this model, these data and every output"
        ]


def test_the_shipped_releases_hold_a_tube_and_an_altered_one_is_refused(tmp_path):
    for name in ("ph", "quadruple_tank", "ph_feed"):
        design = load_design(ROOT / "models" / name)
        passed = Release.load(design.file("release.json"))
        tube = passed.validation.error_tube
        assert tube.choices == design.search.compared
        assert tube.blocks >= tube.needed(len(passed.model.outputs))
        assert ("measured", tube.sentence(passed.model.outputs)) in passed.claims()
    narrow = replace(tube, width=tuple(0.5 * w for w in tube.width))
    forged = replace(passed, validation=replace(passed.validation, error_tube=narrow))
    words = judged._other_validation(design, forged, forged.validation)
    assert words.startswith("says another error_tube of the validation than the data")
    assert judged._other_validation(design, passed, passed.validation) == ""


def test_a_validation_of_an_older_version_is_read(tmp_path):
    bare = validation_for(stable_model(0))
    bare.save(tmp_path / "v.json")
    assert Validation.load(tmp_path / "v.json").error_tube is None
