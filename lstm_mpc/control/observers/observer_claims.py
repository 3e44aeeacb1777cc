"""What is proved where inputs go beyond the actuator limits, by the disturbance that the observer
may put there."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.conditions import SIGNED
from lstm_mpc.certificates.evidence import Certificate, Tube
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.reachability import reach
from lstm_mpc.certificates.verdict.claims import intervals, tube_sentence
from lstm_mpc.control.observers.kalman import beyond
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.model.model import Model


def observer_tube(
    model: Model, problem: ControlProblem, safe_set: tuple[tuple[float, float], ...]
) -> Tube | None:
    """The tube for every input that the observer can make the model see; None where it adds nothing
    to those within the actuator limits."""
    outside = beyond(model, problem)
    return reach(model, safe_set=safe_set, beyond=outside) if outside > 0 else None


def observer_claims(release: Release, problem: ControlProblem) -> tuple[tuple[str, str], ...]:
    """(kind, sentence) for what is proved at the input radius that the observer uses; nothing
    where that is the radius of the release."""
    outside = beyond(release.model, problem)
    if not outside > 0:
        return ()
    certificate, tube = _proofs(release, outside)
    radius = release.model.scaling.radius + outside
    where = f"with the input disturbance that the observer estimates (|u| ≤ {radius:.4g})"
    lines = [("proved", f"{where}: {certificate}")] if certificate.holds else []
    safe = intervals(release.model, *np.array(release.safe_set).T)
    verdict = "within" if tube.safe else "NOT within"
    sentence = f"{tube_sentence(release.model, tube)}; {verdict} the safe set {safe}"
    return (*lines, ("proved", f"{where}: {sentence}"))


def observer_reasons(release: Release, problem: ControlProblem) -> list[str]:
    """Why the numbers in single precision do not carry what the observer needs: that the model
    forgets its start for every input that it can see."""
    reasons = [
        f"{c.condition} holds for the numbers in double precision and not for those that the C"
        f" carries, in single precision: {c.single.failures[0]}; train with a larger `margin` of"
        " [train]"
        for c in release.certificates
        if c.single is not None and not c.single.holds
    ]
    outside = beyond(release.model, problem)
    if outside > 0 and not reasons and not _proofs(release, outside)[0].carried:
        radius = release.model.scaling.radius + outside
        reasons.append(
            "incremental stability (δISS) is not proved, in single precision, for |u| ≤"
            f" {radius:.4g}, which the observer's disturbance reaches; give a smaller"
            " `max_disturbance` of [observer]"
        )
    return reasons


@dataclass(frozen=True)
class _Case:
    """A model and its safe set; two of one `digest` are the same."""

    digest: str
    safe_set: tuple[tuple[float, float], ...]
    model: Model = field(compare=False)


def _proofs(release: Release, outside: float) -> tuple[Certificate, Tube]:
    """δISS elementwise or, where that fails, signed, and the tube, with inputs `outside` the limits
    by so much."""
    return _proved(_Case(release.model.digest, release.safe_set, release.model), outside)


@lru_cache(maxsize=32)  # asked wherever a controller is made
def _proved(case: _Case, outside: float) -> tuple[Certificate, Tube]:
    certificate = certify(case.model, "delta_iss", beyond=outside)
    if not certificate.holds:
        certificate = certify(case.model, SIGNED, beyond=outside)
    return certificate, reach(case.model, safe_set=case.safe_set, beyond=outside)
