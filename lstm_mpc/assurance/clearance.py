"""The gate of deployment: a controller is exported only when its closed loop has been shown to stay
safe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from lstm_mpc.assurance.loop_claims import loop_claims
from lstm_mpc.assurance.loop_proof import LoopProof, lacks
from lstm_mpc.assurance.loop_reasons import (
    Advice,
    earlier_reasons,
    loop_against,
    loop_lacks,
    tube_reasons,
)
from lstm_mpc.assurance.loops.performance import bounded, performance_reasons
from lstm_mpc.certificates.evidence import VERIFY_LOOP, LoopVerification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.provenance.campaigns import CampaignLog
from lstm_mpc.codegen.controller_spec import ControllerSpec, checked_spec
from lstm_mpc.control.observers.observer_claims import observer_reasons
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.io.display import Displayed
from lstm_mpc.io.targets import CONTROLLER, Order, Written, export

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
    closed loop, where there is one, `log` the campaigns of its design, `signers` are the public
    keys whose signature of them was checked, and `proof` is that of the loop, where there is one.
    """

    spec: ControllerSpec
    loop: LoopVerification | None = None
    log: CampaignLog = _NONE
    signers: tuple[str, ...] = ()
    proof: LoopProof | None = None
    folder: InitVar[str | None] = None
    evidence: tuple[tuple[str, str], ...] = field(init=False)

    def __post_init__(self, folder: str | None) -> None:
        if self.loop is not None and type(self.loop) is not LoopVerification:
            raise InputError(
                f"clear: loop must be what `verify_loop` returns, got {type(self.loop).__name__}"
            )
        if self.proof is not None and type(self.proof) is not LoopProof:
            raise InputError(
                f"clear: proof must be what `prove_loop` returns, got {type(self.proof).__name__}"
            )
        object.__setattr__(self, "spec", checked_spec(self.spec))
        evidence = _evidence(self.spec, self.loop, self.log, self.proof, Advice.of(folder))
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
    proof: LoopProof | None = None,
    folder: str | None = None,
) -> Cleared:
    """Pass the gate of controllers.

    The policy's `controller` says what is needed: "tube", outputs proved for every input and an
    observer that forgets its start; "scenario", the closed loop on plants that differ from the
    model; "either"; "proved", what "tube" asks and a proof of this very loop. Scenarios that speak
    against this very controller are a reason whatever is needed, those of an earlier campaign too,
    and no waiver covers them.

    Args:
        spec: The controller.
        loop: The verification of its closed loop, where there is one.
        log: The campaigns of its design.
        signers: The public keys whose signature of the evidence was checked.
        proof: The proof of its closed loop, where there is one.
        folder: The design directory whose commands a refusal names; without one it names
            functions.

    Returns:
        What exporters of controllers take.

    Raises:
        Refused: The evidence does not clear the controller; with every reason.
    """
    return Cleared(spec, loop, log, signers, proof, folder)


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


def _evidence(
    spec: ControllerSpec,
    loop: LoopVerification | None,
    log: CampaignLog,
    proof: LoopProof | None,
    advice: Advice,
) -> tuple[tuple[str, str], ...]:
    """What clears the controller; `Refused` where it does not."""
    release, policy = spec.release, spec.release.policy
    lacking, against = loop_lacks(spec, loop, advice), loop_against(release, loop, advice)
    earlier = earlier_reasons(spec, loop, log)
    tube, sampled = tube_reasons(release), lacking + against
    unproved = list(lacks(proof, spec)) if proof or policy.controller == "proved" else []
    needed = {
        "proved": tube + unproved,
        "tube": tube,
        "scenario": sampled,
        "either": tube + sampled if tube and sampled else [],
    }[policy.controller]
    needed = [*needed, *observer_reasons(release, spec.problem)]
    if bounded(policy):
        shown = lacking or performance_reasons(policy, spec.model.outputs, loop)
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
    if proof is not None:
        evidence += [("absent", f"nothing is proved of the loop: {why}") for why in unproved[:1]]
        evidence += () if unproved else proof.claims()
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
