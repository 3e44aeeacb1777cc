"""The gate: a model may be controlled with and exported only as a `Release`, which exists only when
all evidence holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.certificates import conditions
from lstm_mpc.certificates.certification import certify, recheck
from lstm_mpc.certificates.evidence import Bound, Certificate, Tube, Validation, Verification
from lstm_mpc.certificates.reachability import reach
from lstm_mpc.certificates.scenarios import claimed_set, scenario_count
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.io import artefact_file
from lstm_mpc.io.schema import noun
from lstm_mpc.model.model import Model
from lstm_mpc.plants.phrases import within
from lstm_mpc.plants.system import Array

KIND = "lstm_mpc release"
_LIMITS = {
    "safe_set": tuple[tuple[float, float], ...],
    "u_low": tuple[float, ...],
    "u_high": tuple[float, ...],
}
_MACHINE = 1e-6  # how far honest evidence may differ between two machines
CHECKS = ("certificate", "scenario", "safe_set", "input_range", "tube", "fit", "controller")
OUTPUT_SETS = ("scenario", "tube", "either")


@dataclass(frozen=True)
class Policy:
    """What evidence a release needs; the keys of `[release]` in a design. The defaults are what a
    controller needs: δISS for its observer, and outputs proved for every input, since those that a
    controller generates follow no sampled law.

    `conditions` must be certified, each by itself or by one that `serves` for it. `output_set`
    says what must show that outputs stay in the safe set: "scenario" (sampled, for the law that
    was drawn), "tube" (proved, for every input within the limits) or "either". The scenario
    verification must be at least as strong as `epsilon`, `beta` and as long as `min_steps`;
    `min_fit` is the least mean-removed FIT [%] on validation data, against the measured output.
    `controller` says what a controller needs to be exported: "tube" (with δISS), "scenario"
    (closed loops of at least `min_loop_steps`, as strong as `epsilon` and `beta`) or "either".
    `waive` maps a check (certificate, scenario, safe_set, input_range, tube, fit, controller) to
    the reason why it is waived; it is stored and printed wherever the release is used."""

    conditions: tuple[str, ...] = ("delta_iss",)
    output_set: str = "tube"
    epsilon: float = 1e-2
    beta: float = 1e-6
    min_steps: int = 1
    min_fit: float = 95.0
    controller: str = "either"
    min_loop_steps: int = 1
    waive: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(self.conditions))
        for name in self.conditions:
            conditions.check_name(name)
        for key, value in (("output_set", self.output_set), ("controller", self.controller)):
            if value not in OUTPUT_SETS:
                raise InputError(
                    f"release: {key} must be one of {', '.join(OUTPUT_SETS)}, got {value!r:.60}"
                )
        if not (0 < self.epsilon < 1 and 0 < self.beta < 1 and np.isfinite(self.min_fit)):
            raise InputError(
                f"release: ε = {self.epsilon} and β = {self.beta} must lie in (0, 1), min_fit ="
                f" {self.min_fit} must be finite"
            )
        for check, reason in self.waive.items():
            if check not in CHECKS:
                raise InputError(
                    f"release: unknown check {check!r} in waive; known: {', '.join(CHECKS)}"
                )
            if not str(reason).strip():
                raise InputError(f"release: the waiver of {check!r} needs a reason in words")


@dataclass(frozen=True)
class Release:
    """A model that passed the gate, with the evidence and the policy it passed under. Made by
    `release` or `Release.load` only.

    Inputs of a controller must stay within `u_low`, `u_high` [engineering], the range the
    verification covers."""

    model: Model
    certificates: tuple[Certificate, ...]
    verification: Verification
    validation: Validation
    policy: Policy
    safe_set: tuple[tuple[float, float], ...]
    u_low: Array
    u_high: Array
    waived: tuple[str, ...]
    tube: Tube | None = None

    def claims(self) -> tuple[tuple[str, str], ...]:
        """(kind, sentence) for everything claimed: what is proved, what is sampled, what is
        measured, what is waived."""
        lines = [("proved", str(c)) for c in self.certificates if c.holds]
        if self.tube is not None:
            ends = _intervals(self.model, *np.array(self.tube.whole).T)
            lines.append(
                (
                    "proved",
                    f"no input within the actuator limits ever takes the output out of {ends}",
                )
            )
        bound = _model_bound(self.verification, self.model)
        if bound is not None:
            v = self.verification
            text = (
                f"with confidence 1−{v.beta:g} at most {v.epsilon:g} of all runs of {v.steps} steps"
                " under the sampled law leave"
                f" {_intervals(self.model, *claimed_set(bound, v.shape, self.model.scaling))} (ρ* ="
                f" {bound.radius_y:.4f}, N = {v.scenarios})"
            )
            lines.append(("sampled", text))
        for against, fit in self.validation.fits.items():
            names = (
                [f"{s.name} " for s in self.model.outputs] if len(self.model.outputs) > 1 else [""]
            )
            shares = [
                ", ".join(f"{name}{x:.2f} %" for name, x in zip(names, fit[key], strict=True))
                for key in ("normalised", "mean_removed")
            ]
            text = f"validation FIT (12) {shares[0]}, mean-removed {shares[1]}"
            lines.append(
                (
                    "measured",
                    f"{text} against the {against} output, {self.validation.samples} samples",
                )
            )
        return tuple(lines + [("waived", w) for w in self.waived])

    def save(self, path: str | Path) -> None:
        policy = {**self.policy.__dict__, "waive": dict(self.policy.waive)}
        content = {
            "model": self.model.content(),
            "certificates": [c.content() for c in self.certificates],
            "verification": self.verification.content(),
            "validation": self.validation.content(),
            "policy": policy,
            "safe_set": self.safe_set,
            "u_low": self.u_low,
            "u_high": self.u_high,
            "tube": None if self.tube is None else self.tube.content(),
        }
        artefact_file.write_json(path, KIND, content)

    @staticmethod
    def load(path: str | Path) -> Release:
        """Read a release and pass it through the gate again: InputError when the file is unusable,
        Refused when the gate says no."""
        content = artefact_file.read_json(path, KIND)
        try:
            model = Model.from_content(content["model"])
            certificates = [
                Certificate.from_content(c)
                for c in noun(list[Any], content["certificates"], "certificates")
            ]
            verification = Verification.from_content(content["verification"])
            validation = Validation.from_content(content["validation"])
            policy = noun(Policy, content["policy"], "policy")
            tube = None if content["tube"] is None else Tube.from_content(content["tube"])
            limits = {name: noun(kind, content[name], name) for name, kind in _LIMITS.items()}
        except (InputError, KeyError) as error:
            raise InputError(f"{path}: is not a usable release ({error}); make it again") from error
        return release(model, certificates, verification, validation, policy, tube=tube, **limits)


def release(
    model: Model,
    certificates: Sequence[Certificate],
    verification: Verification,
    validation: Validation,
    policy: Policy,
    *,
    safe_set: Sequence[Sequence[float]],
    u_low: ArrayLike | None = None,
    u_high: ArrayLike | None = None,
    tube: Tube | None = None,
) -> Release:
    """Pass the gate or raise `Refused` with every reason.

    `safe_set`: one (low, high) per output [engineering]; `u_low`, `u_high`: the controller's input
    range (default: the actuator limits). Certificates and `tube` are computed again from the
    model's numbers: the given ones must agree, and only what was computed here is kept, the tube
    when it proves the safe set."""
    low, high = (
        _per_input(model, given, full)
        for given, full in ((u_low, model.u_low), (u_high, model.u_high))
    )
    safe = tuple((float(a), float(b)) for a, b in safe_set)
    if np.isnan([*low, *high]).any() or np.isnan(safe).any() or len(safe) != len(model.outputs):
        raise InputError(
            f"release: the input range {low.tolist()} to {high.tolist()} and the safe set {safe}"
            " must be numbers, one per signal"
        )
    mine = {c.condition: c for c in certificates if c.model == model.digest}
    true = tuple(
        recheck(model, mine[name]) if name in mine else certify(model, name)
        for name in dict.fromkeys((*policy.conditions, *(c.condition for c in certificates)))
        if name in mine or not any(conditions.serves(given, name) for given in mine)
    )
    found = [
        ("certificate", why) for why in _certificate_reasons(model, certificates, true, policy)
    ]
    sampled = _scenario_reasons(model, verification, policy, safe, low, high)
    tubed = [("tube", why) for why in _tube_reasons(model, tube, safe)]
    if policy.output_set == "either":
        found += sampled + tubed if sampled and tubed else []
    else:
        found += sampled if policy.output_set == "scenario" else tubed
    found += [("fit", why) for why in _fit_reasons(model, validation, policy)]
    reasons = [why for check, why in found if check not in policy.waive]
    if reasons:
        raise Refused("release", reasons)
    waived = tuple(f"{check}: {why} — waived: {policy.waive[check]}" for check, why in found)
    return Release(
        model,
        true,
        verification,
        validation,
        policy,
        safe,
        low,
        high,
        waived,
        None if tubed else tube,
    )


def _per_input(model: Model, given: ArrayLike | None, full: Array) -> Array:
    values = np.asarray(full if given is None else given, dtype=np.float64)
    if values.size not in (1, full.size):
        raise InputError(
            f"release: the input range needs {full.size} number(s), got {values.tolist()}"
        )
    return np.broadcast_to(values, full.shape)


def _certificate_reasons(
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
        if claims and not all(_agree(c.content(), actual.content()) for c in alike):
            reasons.append(
                f"the certificate of {actual.condition!r} is not what the model's numbers give (δ ="
                f" {actual.margin:.4g})"
            )
    return reasons


def _agree(a: Any, b: Any) -> bool:
    """Equal but for what another machine's libm and linear algebra may change in the last digits;
    words of blame do not count."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_agree(a[key], b[key]) for key in a if key != "blame")
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_agree, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return bool(np.isclose(a, b, rtol=_MACHINE, atol=_MACHINE))
    return bool(a == b)


def _scenario_reasons(
    model: Model,
    v: Verification,
    policy: Policy,
    safe: tuple[tuple[float, float], ...],
    low: Array,
    high: Array,
) -> list[tuple[str, str]]:
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
    bound = _model_bound(v, model)
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
            f"{_intervals(model, low_y, high_y)} at ρu = {bound.radius_u:g} (ρ* ="
            f" {bound.radius_y:.4f})"
        )
        reasons.append(
            (
                "safe_set",
                (
                    f"the claimed set {claimed} leaves the safe set"
                    f" {_intervals(model, *np.array(safe).T)}"
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
    return reasons


def _tube_reasons(
    model: Model, tube: Tube | None, safe: tuple[tuple[float, float], ...]
) -> list[str]:
    if tube is None:
        return ["no interval tube of this model"]
    if tube.model != model.digest:
        return [f"the tube speaks of model {tube.model[:12]}, not of {model.digest[:12]}"]
    true = reach(
        model,
        safe_set=safe,
        radius=tube.radius,
        start_box=tube.start_box,
        steps=max(tube.steps, 1),
        count=tube.pieces,
    )
    if not all(
        _agree(getattr(true, name), getattr(tube, name)) for name in ("whole", "forever", "trivial")
    ):
        return ["the tube is not what the model's numbers give"]
    if tube.radius < model.scaling.radius:
        return [
            f"the tube covers ρu = {tube.radius:g}, the actuator limits reach"
            f" {model.scaling.radius:g}"
        ]
    if not true.safe:
        return [
            f"the tube {_intervals(model, *np.array(true.whole).T)} leaves the safe set"
            f" {_intervals(model, *np.array(safe).T)}"
        ]
    return []


def _intervals(model: Model, low: Sequence[float] | Array, high: Sequence[float] | Array) -> str:
    """Outputs between `low` and `high`, in words."""
    return within(model.outputs, zip(low, high, strict=True))


def _model_bound(verification: Verification, model: Model) -> Bound | None:
    """The model's bound at its largest radius within the actuator limits, or None."""
    own = [
        b
        for b in verification.bounds
        if b.system == "model" and b.radius_u <= model.scaling.radius * (1 + 1e-12)
    ]
    return max(own, key=lambda b: b.radius_u) if own else None


def _fit_reasons(model: Model, validation: Validation, policy: Policy) -> list[str]:
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
