"""Random edits of a finished design: nothing is exported under evidence that does not speak of it,
and nobody sees a traceback."""

from dataclasses import replace

import pytest
import random_edits
from places import ROOT

from lstm_mpc.project.design import load_design


@pytest.mark.parametrize(
    ("count", "seed"), [(3, 0), pytest.param(10_000, 1, marks=pytest.mark.slow, id="campaign")]
)
def test_no_edit_gets_through(tmp_path, count, seed):
    outcomes, wrong = random_edits.run(count, seed, tmp_path)
    assert wrong == []
    assert sum(outcomes.values()) == count
    assert set(outcomes) <= {"Refused", "InputError", "DataError", "exported, covered"}


def test_what_gets_through_is_seen():
    """Must fail: another model, tuning, claim or design under what was judged."""
    design = load_design(ROOT / "models" / "ph")
    claims, held = {("proved", "a"), ("measured", "b")}, {("sampled", "c")}
    before = ("model", "tuning", claims, held, design)
    fewer = ("model", "tuning", {("proved", "a")}, set(), replace(design, name="another"))
    assert not random_edits.got_through(before, before)
    assert not random_edits.got_through(before, fewer)
    for after in (
        ("other", "tuning", claims, held, design),
        ("model", "other", claims, held, design),
        ("model", "tuning", {*claims, ("measured", "99 %")}, held, design),
        ("model", "tuning", claims, {("sampled", "d")}, design),
        ("model", "tuning", claims, held, replace(design, safe_set=((0.0, 14.0),))),
    ):
        assert random_edits.got_through(before, after)
