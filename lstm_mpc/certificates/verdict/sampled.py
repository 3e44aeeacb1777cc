"""Why scenarios do not carry a release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lstm_mpc.certificates.evidence import Bound, Verification
from lstm_mpc.certificates.exploration import claimed_set, covered, worst_radius
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.certificates.scenarios import scenario_count
from lstm_mpc.certificates.verdict.claims import intervals, model_bound
from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array

_MACHINE = 1e-6  # how far honest evidence may differ between two machines


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
    """Why scenarios do not carry the safe set for inputs between `low` and `high` (nu,): (check,
    words) for each reason."""
    if v is None:
        return [("scenario", "no scenario verification of this model")]
    if v.model != model.digest:
        why = f"the verification speaks of model {v.model[:12]}, not of {model.digest[:12]}"
        return [("scenario", why)]
    reasons = [("scenario", why) for why in _count_reasons(v, policy, len(model.outputs))]
    bound = model_bound(v, model)
    if bound is None:
        return [*reasons, ("scenario", "the verification holds no bound of the model")]
    reasons += [("safe_set", why) for why in _safe_set_reasons(model, v, bound, safe)]
    reasons += [("input_range", why) for why in _range_reasons(model, v, bound, low, high)]
    return reasons or [("scenario", why) for why in _record_reasons(model, v, bound)]


def _count_reasons(v: Verification, policy: Policy, outputs: int) -> list[str]:
    """What the scenarios are too few, too short or too unsure for."""
    reasons, claim = [], f"ε = {v.epsilon:g}, β = {v.beta:g}"
    if v.epsilon > policy.epsilon or v.beta > policy.beta:
        reasons.append(
            f"the verification claims {claim}, the policy asks ε ≤ {policy.epsilon:g}, β ≤"
            f" {policy.beta:g}"
        )
    if v.steps < policy.min_steps:
        reasons.append(
            f"scenarios of {v.steps} steps are shorter than the {policy.min_steps} of the policy"
        )
    needed = scenario_count(v.epsilon, v.beta, d=_optimised(v, outputs), rule="exact")
    if v.scenarios < needed:
        reasons.append(f"{v.scenarios} scenarios cannot carry {claim}; {needed} are needed")
    return reasons


def _optimised(v: Verification, outputs: int) -> int:
    """d, how many variables the bound optimises over the scenarios."""
    return 1 if v.shape == "ball" else 2 * outputs


def _safe_set_reasons(
    model: Model, v: Verification, bound: Bound, safe: tuple[tuple[float, float], ...]
) -> list[str]:
    reasons = []
    if len(safe) != len(v.safe_set) or any(
        a < x or z < b for (x, z), (a, b) in zip(safe, v.safe_set, strict=False)
    ):
        reasons.append(f"verified against the safe set {v.safe_set}, the design asks {safe}")
    low, high = claimed_set(bound, v.shape, model.scaling)
    if any(x < a or b < z for (a, b), x, z in zip(safe, low, high, strict=False)):
        reasons.append(
            f"the claimed set {intervals(model, low, high)} at ρu = {bound.radius_u:g} (ρ* ="
            f" {bound.radius_y:.4f}) leaves the safe set {intervals(model, *np.array(safe).T)}"
        )
    return reasons


def _range_reasons(
    model: Model, v: Verification, bound: Bound, low: Array, high: Array
) -> list[str]:
    """Which inputs of the controller the scenarios do not cover."""
    try:
        drawn = covered(model, v, bound)
    except (KeyError, TypeError, ValueError, InputError) as error:
        return [f"the law of the verification cannot be read ({error!r:.80})"]
    ends = zip(low, high, *drawn, strict=True)
    return [
        f"the controller may move {s.name} in [{a:g}, {b:g}] {s.unit}, the verification covers"
        f" [{x:.4g}, {z:.4g}] (ρu = {bound.radius_u:g})"
        for s, (a, b, x, z) in zip(model.inputs, ends, strict=True)
        if a < x or z < b
    ]


def _record_reasons(model: Model, v: Verification, bound: Bound) -> list[str]:
    """What is computed again of a verification: how many scenarios its rule gives, and the worst
    of them."""
    most = scenario_count(v.epsilon, v.beta, d=_optimised(v, len(model.outputs)))
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
