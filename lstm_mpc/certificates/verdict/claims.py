"""What evidence claims, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lstm_mpc.certificates.evidence import Bound, Certificate, Tube, Validation, Verification
from lstm_mpc.certificates.exploration import claimed_set
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array


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
        within = "".join(
            f"{', ' if k else ' with '}{s.name} in [{a:.4g}, {b:.4g}] {s.unit}"
            for k, (s, (a, b)) in enumerate(
                zip(model.inputs, v.law.get("inputs", ()), strict=False)
            )
        )
        text = (
            f"with confidence {confidence(v.beta, campaigns)} at most {v.epsilon:g} of all runs of"
            f" {v.steps} steps under the sampled law{within} leave"
            f" {intervals(model, *claimed_set(bound, v.shape, model.scaling))} (ρ* ="
            f" {bound.radius_y:.4f}, N = {v.scenarios})"
        )
        lines.append(("sampled", text))
    if validation is not None:
        lines += [("measured", text) for text in fit_sentences(model, validation)]
        if (errors := validation.error_tube) is not None:
            kind = "measured" if errors.width else "absent"
            lines.append((kind, errors.sentence(model.outputs)))
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
