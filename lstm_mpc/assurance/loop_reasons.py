"""Why evidence of the loop does not clear a controller."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from lstm_mpc.certificates.conditions import INCREMENTAL
from lstm_mpc.certificates.evidence import VERIFY_LOOP, LoopVerification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.provenance.campaigns import CampaignLog
from lstm_mpc.certificates.scenarios import scenario_count
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.plants.phrases import within


@dataclass(frozen=True)
class Advice:
    """How evidence of the loop is made and seen, in Python or on the command line."""

    verify: str = "`verify_loop(mpc, plant, law)` does"
    again: str = "`verify_loop(mpc, plant, law)` makes it anew"
    replay: str = "`replay_loop(mpc, plant, law, index={})`"

    @classmethod
    def of(cls, folder: str | None) -> Advice:
        if folder is None:
            return cls()
        command = f"lstm-mpc verify-loop {shlex.quote(str(folder))}"
        return cls(
            f"`{command}` does", f"`{command} --force` makes it anew", f"`{command} --replay {{}}`"
        )


def earlier_reasons(
    spec: ControllerSpec, loop: LoopVerification | None, log: CampaignLog
) -> list[str]:
    """What earlier campaigns have found against this controller: under the law of `loop`, or under
    any where none is given. One that is run again counts once."""
    return [
        f"line {number} of the log of campaigns speaks against this controller: seed {c.seed},"
        f" {c.scenarios} closed loops, {c.verdict}; tune it otherwise, no waiver covers that"
        for number, c in enumerate(log.campaigns, 1)
        if c.kind == VERIFY_LOOP
        and not c.passed
        and c.controller == spec.controller
        and (loop is None or loop.subject == c.subject)
        and c.leaves(spec.release.safe_set)
    ]


def tube_reasons(release: Release) -> list[str]:
    reasons = []
    if release.tube is None:
        reasons.append("the release holds no interval tube that proves the safe set")
    elif not release.tube.carried:
        reasons.append(
            "what the C computes in single precision leaves the safe set: its tube is"
            f" {spans(release, release.tube.single)}"
        )
    if not any(c.condition in INCREMENTAL and c.holds for c in release.certificates):
        reasons.append(
            "the release holds no proof of incremental stability (δISS), which the observer needs"
        )
    return reasons


def loop_reasons(
    spec: ControllerSpec, loop: LoopVerification, folder: str | None = None
) -> list[str]:
    """Why a verification of closed loops is no claim about the controller; none where it is one."""
    advice = Advice.of(folder)
    return loop_lacks(spec, loop, advice) + loop_against(spec.release, loop, advice)


def loop_lacks(spec: ControllerSpec, loop: LoopVerification | None, advice: Advice) -> list[str]:
    """What the scenarios of the closed loop lack to speak for the controller."""
    if loop is None:
        return [f"the closed loop was never verified; {advice.verify}"]
    reasons, release, policy = [], spec.release, spec.release.policy
    own = {
        "model": spec.model.digest,
        "problem and budget": spec.tuning_digest,
        "C source": spec.source_digest,
    }
    for (what, mine), found in zip(
        own.items(), (loop.model, loop.problem, loop.source), strict=True
    ):
        if found != mine:
            which = f"another {what} ({found[:12]}, not {mine[:12]})"
            reasons.append(f"the loop verification speaks of {which}; {advice.again}")
    if not (loop.epsilon <= policy.epsilon and loop.beta <= policy.beta):
        claim = f"ε = {loop.epsilon:g}, β = {loop.beta:g}"
        reasons.append(
            f"the loop verification claims {claim}, the policy asks ε ≤ {policy.epsilon:g}, β ≤"
            f" {policy.beta:g}"
        )
    if loop.steps < policy.min_loop_steps:
        reasons.append(
            f"closed loops of {loop.steps} steps are shorter than the {policy.min_loop_steps} of"
            " the policy"
        )
    needed = scenario_count(loop.epsilon, loop.beta, rule="exact")
    if loop.scenarios < needed:
        reasons.append(
            f"{loop.scenarios} closed loops cannot carry ε = {loop.epsilon:g}, β = {loop.beta:g};"
            f" {needed} are needed"
        )
    count = scenario_count(loop.epsilon, loop.beta, rule=loop.rule)
    if loop.scenarios >= needed and loop.scenarios != count:
        reasons.append(
            f"the loop verification says {loop.scenarios} closed loops, where its ε and β give"
            f" {count} by the rule {loop.rule!r}; {advice.again}"
        )
    if len(loop.safe_set) != len(release.safe_set):
        reasons.append(
            f"the loop was verified against the safe set {loop.safe_set}, the release asks"
            f" {release.safe_set}"
        )
    return reasons


def loop_against(release: Release, loop: LoopVerification | None, advice: Advice) -> list[str]:
    """What the scenarios of the closed loop have shown that must not be, and how to see it."""
    if loop is None:
        return []
    reasons = []
    if len(loop.safe_set) == len(release.safe_set) and not all(
        a <= x and z <= b for (a, b), (x, z) in zip(release.safe_set, loop.claimed, strict=True)
    ):
        claimed, safe = spans(release, loop.claimed), spans(release, release.safe_set)
        reasons.append(
            f"the claimed set {claimed} leaves the safe set {safe}; see it:"
            f" {advice.replay.format(loop.worst)}"
        )
    if loop.violation != 0 or loop.violator is not None:
        reasons.append(
            f"an input was moved {loop.violation:.3g} beyond its limits; see it:"
            f" {advice.replay.format(loop.violator)}"
        )
    return reasons


def spans(release: Release, ends: tuple[tuple[float, float], ...]) -> str:
    return within(release.model.outputs, ends)
