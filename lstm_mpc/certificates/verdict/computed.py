"""Why certificates, tubes and figures do not carry a release."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstm_mpc.certificates import conditions
from lstm_mpc.certificates.evidence import Certificate, Tube, Validation
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.certificates.reachability import reach
from lstm_mpc.certificates.verdict.claims import intervals
from lstm_mpc.certificates.verdict.sampled import agree
from lstm_mpc.model.model import Model


def certificate_reasons(
    model: Model, given: Sequence[Certificate], true: Sequence[Certificate], policy: Policy
) -> list[str]:
    """What is wrong with the `given` certificates; `true` are those that the model's numbers
    give."""
    reasons = [
        f"certificate {c.condition!r} speaks of model {c.model[:12]}, not of {model.digest[:12]}"
        for c in given
        if c.model != model.digest
    ]
    mine = [c for c in given if c.model == model.digest]
    proofs = {c.condition for c in true if c.holds} & {c.condition for c in mine}
    lacking = [
        name
        for name in policy.conditions
        if not any(conditions.serves(proof, name) for proof in proofs)
    ]
    for name in lacking:
        if any(c.condition == name for c in mine):
            reasons += [str(c) for c in true if c.condition == name]
        else:
            reasons.append(f"no certificate of {name!r} for this model")
    for actual in true:
        if actual.condition in lacking:
            continue
        alike = [c for c in mine if c.condition == actual.condition]
        claims = (
            actual.holds or any(c.holds for c in alike) or actual.condition != conditions.SIGNED
        )
        if claims and not all(agree(c.content(), actual.content()) for c in alike):
            reasons.append(
                f"the certificate of {actual.condition!r} is not what the model's numbers give (δ ="
                f" {actual.margin:.4g})"
            )
    return reasons


def tube_verdict(
    model: Model, tube: Tube | None, safe: tuple[tuple[float, float], ...]
) -> tuple[Tube | None, list[str]]:
    """The tube that the model's numbers give, where it carries the safe set, and else why not."""
    if tube is None:
        return None, ["no interval tube of this model"]
    if tube.model != model.digest:
        return None, [f"the tube speaks of model {tube.model[:12]}, not of {model.digest[:12]}"]
    own = min(tube.radius, model.scaling.radius)
    true = reach(
        model,
        safe_set=safe,
        radius=own,
        beyond=tube.radius - own,
        start_box=tube.start_box,
        steps=max(tube.steps, 1),
        count=tube.pieces,
    )
    figures = ("whole", "forever", "trivial", "single", "settled")
    if not all(agree(getattr(true, name), getattr(tube, name)) for name in figures):
        return None, ["the tube is not what the model's numbers give"]
    if tube.radius < model.scaling.radius:
        return None, [
            f"the tube covers ρu = {tube.radius:g}, the actuator limits reach"
            f" {model.scaling.radius:g}"
        ]
    if not true.safe:
        return None, [
            f"the tube {intervals(model, *np.array(true.whole).T)} leaves the safe set"
            f" {intervals(model, *np.array(safe).T)}"
        ]
    return true, []


def fit_reasons(model: Model, validation: Validation | None, policy: Policy) -> list[str]:
    if validation is None:
        return ["no validation of this model"]
    if validation.model != model.digest:
        return [
            f"the validation speaks of model {validation.model[:12]}, not of {model.digest[:12]}"
        ]
    if any(
        len(figures[name]) != len(model.outputs)
        for figures in validation.fits.values()
        for name in ("normalised", "mean_removed")
    ):
        return [f"the validation does not hold a figure for each of {len(model.outputs)} output(s)"]
    if (tube := validation.error_tube) is not None and (
        (tube.model, tube.data) != (validation.model, validation.data)
        or len(tube.width) not in (0, len(model.outputs))
    ):
        return ["the error tube is not of this model, these data and every output"]
    if not validation.fit >= policy.min_fit:
        return [
            f"validation FIT {validation.fit:.2f} % (mean-removed) is below the {policy.min_fit:g}"
            " % of the policy"
        ]
    return []
