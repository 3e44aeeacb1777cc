"""The gate of deployment: each reason has its must-fail case, and a controller made bad is refused
with the scenario that shows it."""

import re
from dataclasses import replace

import pytest
from builders import paper_policy
from compiling import need
from places import ROOT
from sealing import without_bounds

from lstm_mpc.assurance.clearance import clear
from lstm_mpc.assurance.loop_verification import LoopVerifyOptions, verify_loop
from lstm_mpc.certificates.evidence import LoopVerification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.provenance.campaigns import Campaign, CampaignLog
from lstm_mpc.certificates.scenarios import scenario_count
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.plants.ph import Plant
from lstm_mpc.project.design import load_design

SHIPPED = load_design(ROOT / "models" / "ph")


@pytest.fixture(scope="session")
def passed():
    return without_bounds(Release.load(SHIPPED.file("release.json")))


def bare_of(passed, *, certificates=None):
    """The release under a gate that asks for scenarios: without its tube, or with fewer
    certificates."""
    policy = replace(passed.policy, conditions=("iss",), output_set="scenario")
    if certificates is None:
        return replace(passed, tube=None, policy=policy)
    return replace(passed, certificates=certificates, policy=policy)


def asking(passed, controller, **changes):
    """The release with a policy that asks this of a controller."""
    return replace(passed, policy=replace(passed.policy, controller=controller, **changes))


@pytest.fixture(scope="session")
def loop(passed):
    """Evidence that clears the shipped controller where scenarios are asked for."""
    spec = spec_of(passed)
    return LoopVerification(
        model=passed.model.digest,
        problem=spec.tuning_digest,
        source=spec.source_digest,
        epsilon=1e-2,
        beta=1e-6,
        rule="exact",
        scenarios=1375,
        steps=360,
        settle=60,
        seed=0,
        law={},
        safe_set=passed.safe_set,
        reach=0.5,
        low=(6.0,),
        high=(8.0,),
        worst=17,
        violation=0.0,
        violator=None,
        tracking=(0.02,),
        status={},
    )


def of(release, loop):
    """The same, of the C of this release: its header says what was proved."""
    return replace(loop, source=spec_of(release).source_digest)


def spec_of(release, problem=SHIPPED.control):
    return ControllerSpec(release, problem, SHIPPED.solver)


def count(epsilon, beta):
    return scenario_count(epsilon, beta, rule="exact")


def cleared(release, loop=None, log=None):
    return clear(spec_of(release), loop=loop, log=log or CampaignLog(), folder="my/design")


def refusal(release, loop=None, log=None):
    with pytest.raises(Refused) as caught:
        cleared(release, loop, log)
    return caught.value.reasons


def test_a_proved_tube_needs_nothing_else(passed):
    assert passed.policy.controller == "either"
    done = cleared(passed)
    ((kind, words),) = done.evidence
    assert (kind, words) == (
        "proved",
        (
            "δISS, and no input within the actuator limits takes the model's output out of the"
            " safe set"
        ),
    )
    assert done.spec.sources == spec_of(passed).sources
    assert cleared(asking(passed, "tube")).evidence == done.evidence


def test_scenarios_clear_a_controller_without_a_tube(passed, loop):
    for release in (
        bare_of(passed),
        bare_of(passed, certificates=passed.certificates[:1]),
        asking(passed, "scenario"),
    ):
        (kind, words), *_ = cleared(release, of(release, loop)).evidence
        assert kind == "sampled"
        assert (
            words
            == "with confidence 1−1e-06 at most 0.01 of all closed loops of 360 steps under the"
            " sampled law leave pH in [5.750, 8.250] pH or move an input beyond its limits (N ="
            " 1375, the exported C in single precision)"
        )
    assert [kind for kind, _ in cleared(passed, loop).evidence] == ["proved", "sampled", "sampled"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda v: None,
            r"the closed loop was never verified; `lstm-mpc verify-loop my/design` does",
        ),
        (
            lambda v: replace(v, model="0" * 64),
            r"speaks of another model \(000000000000, not \w{12}\); `.* my/design --force`",
        ),
        (
            lambda v: replace(v, problem="0" * 64),
            r"speaks of another problem and budget \(000000000000, not",
        ),
        (lambda v: replace(v, source="0" * 64), r"speaks of another C source \(000000000000, not"),
        (
            lambda v: replace(v, epsilon=0.02, scenarios=count(0.02, 1e-6)),
            r"claims ε = 0.02, β = 1e-06, the policy asks ε ≤ 0.01, β ≤ 1e-06",
        ),
        (
            lambda v: replace(v, beta=1e-5, scenarios=count(0.01, 1e-5)),
            r"claims ε = 0.01, β = 1e-05, the policy asks",
        ),
        (
            lambda v: replace(v, steps=99),
            r"closed loops of 99 steps are shorter than the 100 of the policy",
        ),
        (
            lambda v: replace(v, scenarios=1374),
            r"1374 closed loops cannot carry ε = 0.01, β = 1e-06; 1375 are needed",
        ),
        (
            lambda v: replace(v, scenarios=10**9),
            r"says 1000000000 closed loops, where its ε and β give 1375 by the rule 'exact'; `",
        ),
        (
            lambda v: replace(v, reach=1.2),
            r"claimed set pH in \[4.000, 10.000\] pH leaves the safe set pH in \[4.500, 9.500\] pH;"
            r" see it: "
            r"`lstm-mpc verify-loop my/design --replay 17`",
        ),
        (
            lambda v: replace(v, safe_set=((3.0, 11.0),), reach=0.9),
            r"claimed set pH in \[3.400, 10.600\] pH leaves the safe set",
        ),
        (
            lambda v: replace(v, reach=float("nan")),
            r"claimed set pH in \[nan, nan\] pH leaves the safe set",
        ),
        (
            lambda v: replace(v, safe_set=()),
            r"the loop was verified against the safe set \(\), the release asks \(\(4.5, 9.5\),\)",
        ),
        (
            lambda v: replace(v, violation=0.25, violator=4),
            r"an input was moved 0.25 beyond its limits; see it: .*--replay 4`",
        ),
    ],
)
def test_every_lack_of_evidence_is_a_reason(passed, loop, spoil, words):
    release = asking(passed, "scenario", min_loop_steps=100)
    assert cleared(release, loop)
    (reason,) = refusal(release, spoil(loop))
    assert re.search(words, reason), reason


@pytest.mark.parametrize("asked", ["either", "tube", "scenario"])
@pytest.mark.parametrize(
    "shown", [{"reach": 1.2}, {"violation": 0.25, "violator": 4}], ids=["safe set", "input"]
)
def test_what_speaks_against_this_controller_counts_whatever_is_asked(passed, loop, asked, shown):
    release = asking(passed, asked)
    (reason,) = refusal(release, replace(loop, **shown))
    assert f"`lstm-mpc verify-loop my/design --replay {shown.get('violator', 17)}`" in reason
    if asked != "scenario":
        # of another controller: nothing is said of this one
        done = cleared(release, replace(loop, problem="0" * 64, **shown))
        assert "sampled" not in [kind for kind, _ in done.evidence]
    # under another text of its C, and whatever is waived
    waived = asking(passed, asked, waive={"controller": "nobody near"})
    assert reason in refusal(waived, replace(loop, source="0" * 64, **shown))


def test_all_reasons_are_listed_at_once(passed, loop):
    bare = replace(bare_of(passed, certificates=passed.certificates[:1]), tube=None)
    reasons = refusal(
        bare, replace(of(bare, loop), model="0" * 64, reach=1.2, violation=0.1, violator=3)
    )
    assert len(reasons) == 5
    assert reasons[0] == "the release holds no interval tube that proves the safe set"
    assert (
        reasons[1]
        == "the release holds no proof of incremental stability (δISS), which the observer needs"
    )
    assert refusal(asking(bare, "tube"), of(bare, loop)) == reasons[:2]
    assert len(refusal(asking(bare, "scenario"))) == 1


def test_a_waiver_is_said_wherever_it_counts(passed):
    release = asking(bare_of(passed), "either", waive={"controller": "bench rig, nobody near"})
    assert [kind for kind, _ in cleared(release).evidence] == ["waived", "waived"]
    assert all(
        words.endswith("waived: bench rig, nobody near") for _, words in cleared(release).evidence
    )


def campaign(loop, passed=False, **changes):
    """A line of the log for a campaign like that of `loop`."""
    line = Campaign(
        kind="verify-loop",
        subject=loop.subject,
        controller=loop.controller,
        seed=7,
        scenarios=1375,
        passed=passed,
        verdict="outputs left the safe set [4.5, 9.5]",
        claimed=((4.0, 9.9),),
    )
    return replace(line, **changes)


def test_what_spoke_against_a_controller_is_not_forgotten(passed, loop):
    """Neither without its record, nor after a campaign from another seed, nor by a waiver."""
    log = CampaignLog((campaign(loop, True, seed=1), campaign(loop)))
    words = (
        "line 2 of the log of campaigns speaks against this controller: seed 7, 1375 closed loops,"
        " outputs left the safe set [4.5, 9.5]; tune it otherwise, no waiver covers that"
    )
    for asked in ("tube", "either", "scenario"):
        for waive in ({}, {"controller": "nobody near"}):
            release = asking(passed, asked, waive=waive)
            assert refusal(release, None, log)[0] == words
            assert refusal(release, loop, log)[0] == words


def test_another_law_another_controller_or_a_wider_safe_set_is_not_spoken_against(passed, loop):
    for changes in (
        {"subject": "0" * 64},  # another law, under which the loop was verified since
        {"controller": "0" * 64},
        {"claimed": ((4.6, 9.4),)},
        {"kind": "control"},
    ):
        assert cleared(passed, loop, CampaignLog((campaign(loop, **changes),)))
    # without evidence under the law of today any law counts
    assert refusal(passed, None, CampaignLog((campaign(loop, subject="0" * 64),)))


def test_beta_counts_once_for_every_campaign(passed, loop):
    lines = [campaign(loop, True, seed=seed) for seed in (0, 1, 2, 0)]
    words = cleared(passed, loop, CampaignLog(tuple(lines))).evidence[1][1]
    assert words.startswith(
        "with confidence 1−3e-06 (β = 1e-06 for each of 3 campaigns) at most 0.01 of all closed"
    )


def test_an_unknown_wish_is_refused():
    with pytest.raises(
        InputError, match="controller must be one of scenario, tube, either, proved, got 'luck'"
    ):
        paper_policy(controller="luck")


def test_a_controller_that_ignores_a_late_probe_is_refused_with_the_scenario_that_shows_it(passed):
    """A probe 40 s late and an eager observer: the loop swings out of a tight safe set; one that
    knows of the delay stays within."""
    need("host")
    waived = replace(passed.policy, controller="scenario", waive={"tube": "a tight set"})
    release = replace(passed, policy=waived, safe_set=((6.5, 7.3),))
    law = replace(
        SHIPPED.loop_law,
        setpoint=((6.6, 7.2),),
        start=((15.0, 15.4),),
        delay=40.0,
        disturbances={},
    )
    honest, bad = (
        replace(SHIPPED.control, dead_time=40.0),
        replace(SHIPPED.control, observer_gain=1.5),
    )
    found = {}
    for name, problem in (("honest", honest), ("bad", bad)):
        how = LoopVerifyOptions(steps=100, settle=50, seed=30)
        plant = Plant(uncertain=True).system()
        found[name] = verify_loop(spec_of(release, problem), plant, law, how, scenarios=16)
    # as if there had been more of the same
    enough = {name: replace(v, scenarios=1375) for name, v in found.items()}
    assert clear(spec_of(release, honest), loop=enough["honest"]).evidence
    with pytest.raises(Refused) as caught:
        clear(spec_of(release, bad), loop=enough["bad"], folder="my/design")
    (reason,) = caught.value.reasons
    assert f"`lstm-mpc verify-loop my/design --replay {found['bad'].worst}`" in reason
