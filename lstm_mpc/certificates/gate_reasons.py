"""Why evidence does not carry a release, and in what words it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lstm_mpc.certificates import conditions
from lstm_mpc.certificates.evidence import Bound, Certificate, Tube, Validation, Verification
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.certificates.reachability import reach
from lstm_mpc.certificates.scenarios import claimed_set, scenario_count, worst_radius
from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array

_MACHINE = 1e-6  # how far honest evidence may differ between two machines


def claims_of(
    model: Model,
    certificates: Sequence[Certificate],
    *,
    tube: Tube | None,
    verification: Verification | None,
    validation: Validation | None,
    campaigns: int = 1,
) -> tuple[tuple[str, str], ...]:
    """(kind, sentence) for what the evidence claims; all of it passed every check of its kind. β
    counts once for each of the `campaigns` that were run."""
    lines = [("proved", str(c)) for c in certificates if c.holds]
    lines += [("proved", text) for c in certificates if c.holds and (text := decay(c))]
    if tube is not None:
        lines.append(("proved", tube_sentence(model, tube)))
    v = verification
    if v is not None and (bound := model_bound(v, model)) is not None:
        text = (
            f"with confidence {confidence(v.beta, campaigns)} at most {v.epsilon:g} of all runs of"
            f" {v.steps} steps under the sampled law leave"
            f" {intervals(model, *claimed_set(bound, v.shape, model.scaling))} (ρ* ="
            f" {bound.radius_y:.4f}, N = {v.scenarios})"
        )
        lines.append(("sampled", text))
    if validation is not None:
        lines += [("measured", text) for text in fit_sentences(model, validation)]
    return tuple(lines)


def confidence(beta: float, campaigns: int) -> str:
    """1 − β where `campaigns` might each have given the claim (the union bound)."""
    if campaigns <= 1:
        return f"1−{beta:g}"
    return f"1−{min(1.0, campaigns * beta):g} (β = {beta:g} for each of {campaigns} campaigns)"


_ABSENT = {  # kind of evidence -> what is not claimed without it, and that there is none
    "tube": ("nothing is proved of the outputs", "no interval tube proves the safe set"),
    "verification": (
        "nothing is sampled of the outputs",
        "no scenario verification speaks of this model",
    ),
    "validation": ("no fit is claimed", "no validation speaks of this model"),
}


def absence(what: str, held: Any, found: Sequence[tuple[str, str]]) -> str:
    """That evidence is not claimed: the first of the reasons (check, words) against what is `held`,
    or that nothing is; nothing where all of them are said elsewhere."""
    claim, none = _ABSENT[what]
    return f"{claim}: {none if held is None else found[0][1]}" if found else ""


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


def agree(a: Any, b: Any) -> bool:
    """Equal but for what another machine's libm and linear algebra may change in the last digits;
    words of blame do not count."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(agree(a[key], b[key]) for key in a if key != "blame")
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(agree, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return bool(np.isclose(a, b, rtol=_MACHINE, atol=_MACHINE))
    return bool(a == b)


def scenario_reasons(
    model: Model,
    v: Verification | None,
    policy: Policy,
    safe: tuple[tuple[float, float], ...],
    low: Array,
    high: Array,
) -> list[tuple[str, str]]:
    if v is None:
        return [("scenario", "no scenario verification of this model")]
    if v.model != model.digest:
        return [
            (
                "scenario",
                f"the verification speaks of model {v.model[:12]}, not of {model.digest[:12]}",
            )
        ]
    reasons = []
    if v.epsilon > policy.epsilon or v.beta > policy.beta:
        claim = f"ε = {v.epsilon:g}, β = {v.beta:g}"
        reasons.append(
            (
                "scenario",
                (
                    f"the verification claims {claim}, the policy asks ε ≤ {policy.epsilon:g}, β ≤"
                    f" {policy.beta:g}"
                ),
            )
        )
    needed = scenario_count(
        v.epsilon, v.beta, d=1 if v.shape == "ball" else 2 * len(model.outputs), rule="exact"
    )
    if v.steps < policy.min_steps:
        reasons.append(
            (
                "scenario",
                (
                    f"scenarios of {v.steps} steps are shorter than the {policy.min_steps} of the"
                    " policy"
                ),
            )
        )
    if v.scenarios < needed:
        reasons.append(
            (
                "scenario",
                (
                    f"{v.scenarios} scenarios cannot carry ε = {v.epsilon:g}, β = {v.beta:g};"
                    f" {needed} are needed"
                ),
            )
        )
    bound = model_bound(v, model)
    if bound is None:
        reasons.append(("scenario", "the verification holds no bound of the model"))
        return reasons
    if len(safe) != len(v.safe_set) or any(
        a < x or z < b for (x, z), (a, b) in zip(safe, v.safe_set, strict=False)
    ):
        reasons.append(
            ("safe_set", f"verified against the safe set {v.safe_set}, the design asks {safe}")
        )
    low_y, high_y = claimed_set(bound, v.shape, model.scaling)
    if any(x < a or b < z for (a, b), x, z in zip(safe, low_y, high_y, strict=False)):
        claimed = (
            f"{intervals(model, low_y, high_y)} at ρu = {bound.radius_u:g} (ρ* ="
            f" {bound.radius_y:.4f})"
        )
        reasons.append(
            (
                "safe_set",
                (
                    f"the claimed set {claimed} leaves the safe set"
                    f" {intervals(model, *np.array(safe).T)}"
                ),
            )
        )
    reach = bound.radius_u * model.scaling.u_span * (1 + 1e-12)
    for s, a, b, x, z in zip(
        model.inputs,
        low,
        high,
        model.scaling.u_mid - reach,
        model.scaling.u_mid + reach,
        strict=True,
    ):
        if a < x or z < b:
            asked = f"the controller may move {s.name} in [{a:g}, {b:g}] {s.unit}"
            reasons.append(
                (
                    "input_range",
                    (
                        f"{asked}, the verification covers [{x:.4g}, {z:.4g}] (ρu ="
                        f" {bound.radius_u:g})"
                    ),
                )
            )
    if not reasons:
        reasons += [("scenario", why) for why in _record_reasons(model, v, bound)]
    return reasons


def _record_reasons(model: Model, v: Verification, bound: Bound) -> list[str]:
    """What is computed again of a verification: how many scenarios its rule gives, and the worst
    of them."""
    d = 1 if v.shape == "ball" else 2 * len(model.outputs)
    most = scenario_count(v.epsilon, v.beta, d=d)
    if v.scenarios > most:
        return [
            f"the verification says {v.scenarios} scenarios, where ε = {v.epsilon:g}, β ="
            f" {v.beta:g} ask for at most {most}"
        ]
    if not 0 <= bound.worst < v.scenarios:
        return [f"the worst scenario is number {bound.worst} of {v.scenarios}"]
    try:
        reached = worst_radius(model, v, bound)
    except (KeyError, TypeError, ValueError, InputError) as error:
        return [f"the worst scenario cannot be computed again ({error!r:.80})"]
    if not agree(reached, bound.radius_y):
        return [
            f"scenario {bound.worst} of the verification reaches ρ = {reached:.4f}, the record says"
            f" ρ* = {bound.radius_y:.4f}"
        ]
    return []


def decay(certificate: Certificate) -> str:
    """What a proof says of the difference of two runs of a stack with the same input; nothing of a
    single layer, whose rate is the whole answer."""
    layers = certificate.constants.get("layers", [])
    if len(layers) < 2 or not all("rate" in layer for layer in layers):
        return ""
    rates = [float(layer["rate"]) for layer in layers]
    power = "k" if len(rates) == 2 else f"k^{len(rates) - 1}"
    return (
        f"by {certificate.condition} two runs of the {len(rates)} layers (rates"
        f" {', '.join(f'{rate:.4f}' for rate in rates)}) with the same input differ after k samples"
        f" by at most c·{power}·λ^k, λ = {max(rates):.4f}, and by c'·λ^k where the rates differ"
    )


def tube_sentence(model: Model, tube: Tube) -> str:
    """What a tube proves: its inputs, its starts, and what the C makes of it."""
    whole, single = (intervals(model, *np.array(ends).T) for ends in (tube.whole, tube.single))
    within = "within the actuator limits" if tube.radius <= model.scaling.radius else "of the model"
    return (
        f"no input {within} (|u| ≤ {tube.radius:g}, normalised) ever takes the output out of"
        f" {whole} {tube.starts}; out of {single} as the C computes it, in single precision"
    )


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


def intervals(model: Model, low: Sequence[float] | Array, high: Sequence[float] | Array) -> str:
    """Outputs between `low` and `high`, in words."""
    return ", ".join(
        f"{s.name} in [{a:.3f}, {b:.3f}] {s.unit}"
        for s, a, b in zip(model.outputs, low, high, strict=True)
    )


def model_bound(verification: Verification, model: Model) -> Bound | None:
    """The model's bound at its largest radius within the actuator limits, or None."""
    own = [
        b
        for b in verification.bounds
        if b.system == "model" and b.radius_u <= model.scaling.radius * (1 + 1e-12)
    ]
    return max(own, key=lambda b: b.radius_u) if own else None


def fit_sentences(model: Model, validation: Validation) -> list[str]:
    """The figures of a validation in words, one sentence for each reference."""
    sentences = []
    names = [f"{s.name} " for s in model.outputs] if len(model.outputs) > 1 else [""]
    for against, fit in validation.fits.items():
        shares = [
            ", ".join(f"{name}{x:.2f} %" for name, x in zip(names, fit[key], strict=True))
            for key in ("normalised", "mean_removed")
        ]
        sentences.append(
            f"validation FIT (12) {shares[0]}, mean-removed {shares[1]} against the {against}"
            f" output, {validation.samples} samples"
        )
    return sentences


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
    if not validation.fit >= policy.min_fit:
        return [
            f"validation FIT {validation.fit:.2f} % (mean-removed) is below the {policy.min_fit:g}"
            " % of the policy"
        ]
    return []
