"""The gate of deployment: a controller is exported only when its closed loop has been shown to stay
safe."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from lstm_mpc.assurance.loop_claims import bound_claim, joint_claim, performance_claims
from lstm_mpc.assurance.performance import bounded, performance_reasons
from lstm_mpc.certificates.conditions import INCREMENTAL
from lstm_mpc.certificates.evidence import VERIFY_LOOP, LoopVerification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.gate_reasons import confidence
from lstm_mpc.certificates.provenance.campaigns import CampaignLog
from lstm_mpc.certificates.scenarios import scenario_count
from lstm_mpc.codegen.controller_spec import ControllerSpec, checked_spec
from lstm_mpc.control.observer_claims import observer_reasons
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.io.display import Displayed
from lstm_mpc.io.targets import CONTROLLER, Order, Written, export
from lstm_mpc.plants.phrases import within

_NONE = CampaignLog()  # where no design keeps one
_PROVED = (
    "δISS, and no input within the actuator limits takes the model's output out of the safe set"
)


@dataclass(frozen=True, repr=False)
class Cleared(Displayed):
    """A controller, `spec`, that passed the gate of controllers.

    Exporters of controllers take nothing else. The gate runs whenever one is made, by `clear`,
    `dataclasses.replace` or from a pickle, and `checked_clearance` runs it again wherever one is
    exported. `evidence` holds (kind, sentence) of what cleared it, `loop` the verification of its
    closed loop, where there is one, `log` the campaigns of its design, and `signers` are the public
    keys whose signature of them was checked.
    """

    spec: ControllerSpec
    loop: LoopVerification | None = None
    log: CampaignLog = _NONE
    signers: tuple[str, ...] = ()
    folder: InitVar[str | None] = None
    evidence: tuple[tuple[str, str], ...] = field(init=False)

    def __post_init__(self, folder: str | None) -> None:
        if self.loop is not None and type(self.loop) is not LoopVerification:
            raise InputError(
                f"clear: loop must be what `verify_loop` returns, got {type(self.loop).__name__}"
            )
        object.__setattr__(self, "spec", checked_spec(self.spec))
        evidence = _evidence(self.spec, self.loop, self.log, _Advice.of(folder))
        evidence += _signed(self.spec.release, self.signers)
        object.__setattr__(self, "evidence", evidence)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__(None)

    def _facts(self) -> dict[str, Any]:
        return {
            "model": self.spec.model.name,
            "horizon": self.spec.problem.horizon,
            "Ts": self.spec.model.Ts,
            "evidence": ", ".join(dict.fromkeys(kind for kind, _ in self.evidence)),
            "loop": None if self.loop is None else f"{self.loop.scenarios} scenarios",
        }

    def _tables(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        yield "Evidence", [("kind", "claim"), *self.evidence]

    def export(
        self,
        target: str = "controller",
        folder: str | Path | None = None,
        *,
        u_start: ArrayLike | None = None,
        on_progress: Callable[[float, str], None] = lambda share, what: None,
    ) -> Written:
        """Write the controller for elsewhere.

        Args:
            target: "controller" (C99 with a self-test), "fmu", "simulink" or "arduino".
            folder: Where to; by default a folder of the target's name, here.
            u_start: Inputs in force before the first sample, (nu,) [engineering]; by default the
                nominal ones.
            on_progress: Hears the share done and what is next.

        Returns:
            What was written.

        Raises:
            Refused: What is held does not pass the gate: it was altered.
            InputError: There is no such target, the folder holds other things, or the C does not
                answer as the controller in Python does.
        """
        order, own = Order(u_start, on_progress), checked_clearance(self)
        facts = {"cleared": [list(pair) for pair in own.evidence]}
        return export(own, CONTROLLER, target, folder, order, facts=facts)


def clear(
    spec: ControllerSpec,
    *,
    loop: LoopVerification | None = None,
    log: CampaignLog = _NONE,
    signers: tuple[str, ...] = (),
    folder: str | None = None,
) -> Cleared:
    """Pass the gate of controllers.

    The policy's `controller` says what is needed: "tube", outputs proved for every input and an
    observer that forgets its start; "scenario", the closed loop on plants that differ from the
    model; "either". Scenarios that speak against this very controller are a reason whatever is
    needed, those of an earlier campaign too, and no waiver covers them.

    Args:
        spec: The controller.
        loop: The verification of its closed loop, where there is one.
        log: The campaigns of its design.
        signers: The public keys whose signature of the evidence was checked.
        folder: The design directory whose commands a refusal names; without one it names
            functions.

    Returns:
        What exporters of controllers take.

    Raises:
        Refused: The evidence does not clear the controller; with every reason.
    """
    return Cleared(spec, loop, log, signers, folder)


def checked_clearance(cleared: Cleared) -> Cleared:
    """Pass the gate once more with what is held now.

    Raises:
        Refused: What is held does not pass; it was altered after it was made.
        InputError: It is no `Cleared`.
    """
    if type(cleared) is not Cleared:
        raise InputError(
            "a Cleared is needed, which `clear` makes of a controller and its evidence, got"
            f" {type(cleared).__name__}"
        )
    return replace(cleared)


@dataclass(frozen=True)
class _Advice:
    """How evidence of the loop is made and seen, in Python or on the command line."""

    verify: str = "`verify_loop(mpc, plant, law)` does"
    again: str = "`verify_loop(mpc, plant, law)` makes it anew"
    replay: str = "`replay_loop(mpc, plant, law, index={})`"

    @classmethod
    def of(cls, folder: str | None) -> _Advice:
        if folder is None:
            return cls()
        command = f"lstm-mpc verify-loop {shlex.quote(str(folder))}"
        return cls(
            f"`{command}` does", f"`{command} --force` makes it anew", f"`{command} --replay {{}}`"
        )


def _evidence(
    spec: ControllerSpec, loop: LoopVerification | None, log: CampaignLog, advice: _Advice
) -> tuple[tuple[str, str], ...]:
    """What clears the controller; `Refused` where it does not."""
    release, policy = spec.release, spec.release.policy
    lacks, against = _loop_lacks(spec, loop, advice), _loop_against(release, loop, advice)
    earlier = _earlier(spec, loop, log)
    tube, sampled = _tube_reasons(release), lacks + against
    needed = {
        "tube": tube,
        "scenario": sampled,
        "either": tube + sampled if tube and sampled else [],
    }[policy.controller]
    needed = [*needed, *observer_reasons(release, spec.problem)]
    if bounded(policy):
        shown = lacks or performance_reasons(policy, spec.model.outputs, loop)
        needed = needed + [why for why in shown if why not in needed]
    own = loop is not None and loop.controller == spec.controller
    spoken = (against if own else []) + earlier
    if spoken:
        raise Refused("controller", [*spoken, *(why for why in needed if why not in spoken)])
    if needed and "controller" in policy.waive:
        reason = policy.waive["controller"]
        return tuple(("waived", f"controller: {why} — waived: {reason}") for why in needed)
    if needed:
        raise Refused("controller", needed)
    evidence = []
    if not tube and policy.controller != "scenario":
        evidence.append(("proved", _PROVED))
    if policy.controller == "tube":
        return tuple(evidence)
    if loop is not None and not sampled:
        evidence += loop_claims(loop, release, log.count(VERIFY_LOOP))
    elif loop is not None:
        evidence.append(("absent", f"nothing is sampled of the loop: {sampled[0]}"))
    return tuple(evidence)


def _signed(release: Release, signers: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Who signed the evidence; `Refused` where the policy asks for a signature and none holds."""
    asked = release.policy.signers
    if asked and not set(asked) & set(signers):
        raise Refused("controller", [f"the policy asks for a signature of {' or '.join(asked)}"])
    return tuple(("signed", f"release and evidence of the loop, by {key}") for key in signers)


def _earlier(spec: ControllerSpec, loop: LoopVerification | None, log: CampaignLog) -> list[str]:
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


def loop_claims(
    loop: LoopVerification, release: Release, campaigns: int = 1
) -> list[tuple[str, str]]:
    """(kind, sentence) for everything that the verified loops claim, and for how sure all sampled
    statements are together."""
    outputs = release.model.outputs
    lines = [bound_claim(loop, release), ("sampled", sentence(loop, release, campaigns))]
    lines += performance_claims(loop, outputs)
    lines.append(joint_claim(release.verification, loop, len(outputs)))
    return [line for line in lines if line is not None]


def sentence(loop: LoopVerification, release: Release, campaigns: int = 1) -> str:
    """What the scenarios of the closed loop claim, the last of so many `campaigns`."""
    return (
        f"with confidence {confidence(loop.beta, campaigns)} at most {loop.epsilon:g} of all closed"
        f" loops of {loop.steps} steps{loop.plants} under the sampled law leave"
        f" {_spans(release, loop.claimed)} or move an input beyond its limits"
        f" (N = {loop.scenarios}, the exported C in single precision)"
    )


def _tube_reasons(release: Release) -> list[str]:
    reasons = []
    if release.tube is None:
        reasons.append("the release holds no interval tube that proves the safe set")
    elif not release.tube.carried:
        reasons.append(
            "what the C computes in single precision leaves the safe set: its tube is"
            f" {_spans(release, release.tube.single)}"
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
    advice = _Advice.of(folder)
    return _loop_lacks(spec, loop, advice) + _loop_against(spec.release, loop, advice)


def _loop_lacks(spec: ControllerSpec, loop: LoopVerification | None, advice: _Advice) -> list[str]:
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


def _loop_against(release: Release, loop: LoopVerification | None, advice: _Advice) -> list[str]:
    """What the scenarios of the closed loop have shown that must not be, and how to see it."""
    if loop is None:
        return []
    reasons = []
    if len(loop.safe_set) == len(release.safe_set) and not all(
        a <= x and z <= b for (a, b), (x, z) in zip(release.safe_set, loop.claimed, strict=True)
    ):
        claimed, safe = _spans(release, loop.claimed), _spans(release, release.safe_set)
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


def _spans(release: Release, ends: tuple[tuple[float, float], ...]) -> str:
    return within(release.model.outputs, ends)
