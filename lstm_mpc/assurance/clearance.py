"""The gate of deployment: a controller is exported only when its closed loop has been shown to stay
safe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lstm_mpc.assurance.loop_verification import tuning_digest
from lstm_mpc.certificates.conditions import INCREMENTAL
from lstm_mpc.certificates.evidence import LoopVerification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.scenarios import scenario_count
from lstm_mpc.codegen.c_controller import controller
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.problem import Problem
from lstm_mpc.errors import Refused
from lstm_mpc.io import artefact_file
from lstm_mpc.plants.phrases import within

COMMAND = "lstm-mpc verify-loop"


@dataclass(frozen=True)
class ControllerRelease:
    """A controller that passed the gate: its C, name -> text, and (kind, sentence) of what cleared
    it. Made by `clear` only."""

    release: Release
    problem: Problem
    solver: SolverOptions
    files: Mapping[str, str]
    evidence: tuple[tuple[str, str], ...]


def clear(
    release: Release,
    problem: Problem,
    *,
    solver: SolverOptions,
    loop: LoopVerification | None = None,
    folder: str = "DESIGN",
) -> ControllerRelease:
    """Pass the gate or raise `Refused` with every reason.

    The policy's `controller` says what is needed: "tube", outputs proved for every input and an
    observer that forgets its start; "scenario", the closed loop on plants that differ from the
    model; "either". Scenarios that speak against this very controller are a reason whatever is
    needed. `folder` is the design that the commands in a refusal name."""
    files, policy, command = (
        controller(release, problem, solver),
        release.policy,
        f"{COMMAND} {folder}",
    )
    own = {
        "model": release.model.digest,
        "problem and budget": tuning_digest(problem, solver),
        "C source": artefact_file.digest(dict(files)),
    }
    lacks, against = _loop_lacks(release, own, loop, command), _loop_against(release, loop, command)
    tube, sampled = _tube_reasons(release), lacks + against
    needed = {
        "tube": tube,
        "scenario": sampled,
        "either": tube + sampled if tube and sampled else [],
    }[policy.controller]
    if loop is not None and (loop.model, loop.problem, loop.source) == tuple(own.values()):
        needed = needed + [why for why in against if why not in needed]
    evidence = []
    if not tube and policy.controller != "scenario":
        evidence.append(
            (
                "proved",
                (
                    "δISS, and no input within the actuator limits takes the model's output out of"
                    " the safe set"
                ),
            )
        )
    if not sampled and loop is not None and policy.controller != "tube":
        evidence.append(("sampled", sentence(loop, release)))
    if needed and "controller" in policy.waive:
        evidence = [
            ("waived", f"controller: {why} — waived: {policy.waive['controller']}")
            for why in needed
        ]
    elif needed:
        raise Refused("controller", needed)
    return ControllerRelease(release, problem, solver, files, tuple(evidence))


def sentence(loop: LoopVerification, release: Release) -> str:
    """What the scenarios of the closed loop claim."""
    return (
        f"with confidence 1−{loop.beta:g} at most {loop.epsilon:g} of all closed loops of"
        f" {loop.steps} steps{loop.plants} under the sampled law leave"
        f" {_spans(release, loop.claimed)} or move an input beyond its limits"
        f" (N = {loop.scenarios}, the exported C in single precision)"
    )


def _tube_reasons(release: Release) -> list[str]:
    reasons = []
    if release.tube is None:
        reasons.append("the release holds no interval tube that proves the safe set")
    if not any(c.condition in INCREMENTAL and c.holds for c in release.certificates):
        reasons.append(
            "the release holds no proof of incremental stability (δISS), which the observer needs"
        )
    return reasons


def _loop_lacks(
    release: Release, own: Mapping[str, str], loop: LoopVerification | None, command: str
) -> list[str]:
    """What the scenarios of the closed loop lack to speak for the controller whose digests are
    `own`."""
    if loop is None:
        return [f"the closed loop was never verified; `{command}` does"]
    reasons, policy = [], release.policy
    for (what, mine), found in zip(
        own.items(), (loop.model, loop.problem, loop.source), strict=True
    ):
        if found != mine:
            which = f"another {what} ({found[:12]}, not {mine[:12]})"
            reasons.append(
                f"the loop verification speaks of {which}; `{command} --force` makes it anew"
            )
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
    if len(loop.safe_set) != len(release.safe_set):
        reasons.append(
            f"the loop was verified against the safe set {loop.safe_set}, the release asks"
            f" {release.safe_set}"
        )
    return reasons


def _loop_against(release: Release, loop: LoopVerification | None, command: str) -> list[str]:
    """What the scenarios of the closed loop have shown that must not be, and how to see it."""
    if loop is None:
        return []
    reasons = []
    if len(loop.safe_set) == len(release.safe_set) and not all(
        a <= x and z <= b for (a, b), (x, z) in zip(release.safe_set, loop.claimed, strict=True)
    ):
        claimed, safe = _spans(release, loop.claimed), _spans(release, release.safe_set)
        reasons.append(
            f"the claimed set {claimed} leaves the safe set {safe}; see it: `{command} --replay"
            f" {loop.worst}`"
        )
    if loop.violation != 0 or loop.violator is not None:
        reasons.append(
            f"an input was moved {loop.violation:.3g} beyond its limits; see it: `{command}"
            f" --replay {loop.violator}`"
        )
    return reasons


def _spans(release: Release, ends: tuple[tuple[float, float], ...]) -> str:
    return within(release.model.outputs, ends)
