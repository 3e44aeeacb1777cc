"""The log of campaigns: every campaign that ends leaves a line, a line that is removed or altered
is noticed, and what it says counts."""

import json
import shutil
from dataclasses import replace

import pytest
from builders import stable_model
from places import ROOT

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.evidence import Verification
from lstm_mpc.certificates.gate import Release, release
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.certificates.provenance.campaigns import Campaign, CampaignLog, History, LogState
from lstm_mpc.certificates.reachability import reach
from lstm_mpc.certificates.scenarios import VerifyOptions, verify
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.project import campaign_log, judged
from lstm_mpc.project.design import load_design

LINE = Campaign("verify", "s" * 64, "c" * 64, 1, 2964, True, "outputs stayed in the safe set")
BAD = replace(LINE, seed=2, passed=False, verdict="outputs left the safe set [0, 1]")


@pytest.fixture
def ph(tmp_path):
    folder = tmp_path / "ph"
    shutil.copytree(ROOT / "models" / "ph", folder, ignore=shutil.ignore_patterns("figures"))
    return folder


def test_a_log_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "campaigns.jsonl"
    assert CampaignLog.load(path) == CampaignLog()
    log = CampaignLog((LINE,)).added(BAD)
    log.save(path)
    assert CampaignLog.load(path) == log
    assert path.read_text().count("\n") == 2
    assert (log.count("verify"), log.count("verify-loop")) == (2, 0)
    assert log.added(LINE).count("verify") == 2  # run again, it is the same campaign
    assert log.failed("verify", LINE.subject) == (BAD,)


ALTERED = {
    "a line removed": lambda lines: lines[1:],
    "a line in the middle removed": lambda lines: [lines[0], *lines[2:]],
    "lines exchanged": lambda lines: lines[::-1],
    "a verdict altered": lambda lines: [lines[0], lines[1].replace("false", "true"), lines[2]],
    "a seed altered": lambda lines: [lines[0].replace('"seed": 1', '"seed": 3'), *lines[1:]],
}


@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_log_is_refused(tmp_path, how):
    path = tmp_path / "campaigns.jsonl"
    CampaignLog((LINE, BAD, replace(LINE, seed=5))).save(path)
    path.write_text("\n".join(ALTERED[how](path.read_text().splitlines())) + "\n")
    with pytest.raises(InputError) as caught:
        CampaignLog.load(path)
    assert "does not follow from those before it: a line was altered or removed; bring back" in str(
        caught.value
    )


@pytest.mark.parametrize("text", ["not json", "[1]", '{"kind": "verify"}', "{}", '{"digest": "a"}'])
def test_what_is_no_campaign_is_refused_with_its_line(tmp_path, text):
    path = tmp_path / "campaigns.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(InputError, match=rf"{path}: line 1 is no campaign \("):
        CampaignLog.load(path)


def test_a_shorter_log_is_noticed_by_what_names_its_length(ph):
    design, path = load_design(ph), ph / "campaigns.jsonl"
    assert judged.passed(design, "export")
    lines = path.read_text().splitlines()
    state = CampaignLog.load(path).state
    assert state.length == len(lines)
    path.unlink()
    named = Release.load(ph / "release.json").history.log.length
    with pytest.raises(Refused) as caught:
        judged.passed(design, "export")
    assert caught.value.reasons == (
        f"{ph}/release.json names line {named} of campaigns.jsonl, which is not there as it was:"
        " lines were removed or altered; bring the log back as the verbs wrote it",
    )
    verification = Verification.load(ph / "verification.json")
    (words,) = judged.history(design, verification).against
    assert words.startswith("verification.json names line 3 of campaigns.jsonl, which is not there")
    with pytest.raises(Refused, match=r"loop-verification.json names line \d of .* is not there"):
        judged.loop_record(design, "export")


ALTERED_RECORDS = {  # numbers that no gate computes again
    "flagged": lambda p: replace(p, controller=replace(p.controller, flagged=0.5)),
    "mean error": lambda p: replace(p, controller=replace(p.controller, mean_error=(1e-3,))),
    "a baseline": lambda p: replace(p, pi=replace(p.pi, mean_error=(0.5,))),
}


@pytest.mark.parametrize("what", ALTERED_RECORDS)
def test_a_record_that_no_campaign_ended_with_is_refused(ph, what):
    """Its own digest is right, and nothing else in the design has changed."""
    design, path = load_design(ph), ph / "loop-verification.json"
    loop = judged.loop_record(design, "export")
    replace(loop, performance=ALTERED_RECORDS[what](loop.performance)).save(path)
    with pytest.raises(Refused) as caught:
        judged.loop_record(design, "export")
    assert caught.value.reasons == (
        f"{path} is not what any line of campaigns.jsonl says that a campaign ended with;"
        f" `lstm-mpc verify-loop {ph} --force` judges anew",
    )


def test_a_model_s_record_that_no_campaign_ended_with_speaks_against_the_release(ph):
    design, verification = load_design(ph), Verification.load(ph / "verification.json")
    bound = replace(verification.bounds[0], settled=0.0)
    altered = replace(verification, bounds=(bound, *verification.bounds[1:]))
    assert judged.history(design, verification).against == ()
    (words,) = judged.history(design, altered).against
    assert words.endswith("is not what any line of campaigns.jsonl says that a campaign ended with")


def test_a_line_of_an_older_version_counts_on(tmp_path):
    """It names no record, and its digest is that of what it says."""
    path = tmp_path / "campaigns.jsonl"
    CampaignLog((LINE,)).save(path)
    assert "evidence" not in path.read_text()
    log = CampaignLog.load(path).added(replace(LINE, evidence="e" * 64))
    assert log.count("verify") == 1
    log.save(path)
    assert CampaignLog.load(path) == log


def test_a_campaign_after_the_release_asks_for_another_release(ph):
    design = load_design(ph)
    shipped = campaign_log.campaign_of(Verification.load(design.file("verification.json")))
    campaign_log.log_campaign(design, replace(shipped, seed=99, passed=False, verdict="left it"))
    with pytest.raises(Refused) as caught:
        judged.passed(design, "export")
    assert caught.value.reasons == (
        f"{ph}/release.json counted 1 campaign(s) of the model, of which 0 spoke against it; there"
        f" are 2, and 1 do; `lstm-mpc release {ph} --force` judges anew",
    )
    verification = Verification.load(ph / "verification.json")
    history = judged.history(design, verification)
    assert history.campaigns == 2
    assert history.against == (
        "an earlier campaign on this model under this law, seed 99, left it",
    )
    campaign_log.log_campaign(design, shipped)  # the same once more counts once
    assert (
        judged.history(design, Verification.load(design.file("verification.json"))).campaigns == 2
    )


def gate(**changes):
    """A release of a small model by scenarios, with a tube."""
    model, safe = stable_model(0), ((-100.0, 100.0),)
    evidence = {
        "verification": verify(model, VerifyOptions(steps=5, settle=0), safe_set=safe),
        "tube": reach(model, safe_set=safe, steps=20),
        "policy": Policy(("iss",), waive={"fit": "none", "controller": "none"}),
        "safe_set": safe,
    }
    return release(model, [certify(model)], **{**evidence, **changes})


def test_a_release_says_how_many_campaigns_there_were():
    claims = dict(gate().claims())
    assert claims["sampled"].startswith("with confidence 1−1e-06 at most 0.01 of all runs")
    history = History(LogState(4, "h"), campaigns=4)
    assert dict(gate(history=history).claims())["sampled"].startswith(
        "with confidence 1−4e-06 (β = 1e-06 for each of 4 campaigns) at most 0.01 of all runs of"
    )
    with pytest.raises(InputError, match="history: campaigns must not be negative, got -1"):
        History(LogState(0, ""), -1)


def test_a_campaign_against_the_model_voids_the_claim_and_is_a_reason_where_it_is_needed():
    history = History(LogState(2, "h"), 2, ("an earlier campaign, seed 3, left the safe set",))
    done = gate(history=history)
    assert [kind for kind, _ in done.claims()] == ["proved", "proved", "absent", "waived"]
    assert (
        "nothing is sampled of the outputs: an earlier campaign, seed 3, left the safe set"
        in dict(done.claims())["absent"]
    )
    with pytest.raises(Refused, match="an earlier campaign, seed 3, left the safe set"):
        gate(history=history, policy=Policy(("iss",), "scenario", waive={"fit": "none"}))


def test_the_shipped_logs_hold_a_line_for_every_campaign():
    for name in ("ph", "quadruple_tank"):
        lines = (ROOT / "models" / name / "campaigns.jsonl").read_text().splitlines()
        kinds = {json.loads(line)["kind"] for line in lines}
        assert {"verify", "verify-loop"} <= kinds
