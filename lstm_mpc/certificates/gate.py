"""The gate: a model may be controlled with and exported only as a `Release`, which exists only when
all evidence holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.certificates import conditions
from lstm_mpc.certificates.certification import certify, recheck
from lstm_mpc.certificates.evidence import Certificate, Tube, Validation, Verification
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.certificates.provenance.campaigns import History
from lstm_mpc.certificates.provenance.manifest import Manifest
from lstm_mpc.certificates.verdict.claims import absence, claims_of
from lstm_mpc.certificates.verdict.computed import certificate_reasons, fit_reasons, tube_verdict
from lstm_mpc.certificates.verdict.given import interval_per_output, per_input, refuse_altered
from lstm_mpc.certificates.verdict.sampled import scenario_reasons
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.io import artefact_file
from lstm_mpc.io.artefact_file import Artefact
from lstm_mpc.io.display import Displayed
from lstm_mpc.io.targets import MODEL, Order, Written, export
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array

_IN_FILE = (  # the order of its keys
    *("model", "certificates", "verification", "validation", "tube"),
    *("policy", "safe_set", "u_low", "u_high", "manifest", "history"),
)


@dataclass(frozen=True, repr=False)
class Release(Artefact, Displayed):
    """A model that passed the gate, with the evidence and the policy it passed under.

    The gate runs whenever one is made: by `release`, `Release.load`, `dataclasses.replace` or from
    a pickle; `checked` runs it again wherever one is used. `model`, `verification` and `validation`
    are as they were given, where the `policy` asks for them; `certificates` and `tube` are computed
    anew from the model's numbers, and the tube is kept when it proves the `safe_set`, (low, high)
    per output [engineering]; evidence that speaks of another model is not kept. `waived` are the
    reasons against it that the policy waives; `absent` says which evidence is not claimed and why,
    as it does not pass every check of its kind.

    Inputs of a controller must stay within `u_low`, `u_high` [engineering], (nu,), the range the
    verification covers. In a design directory, `manifest` is everything that was judged and
    `history` what the log of its campaigns says.
    """

    model: Model
    certificates: tuple[Certificate, ...]
    verification: Verification | None
    validation: Validation | None
    policy: Policy
    safe_set: tuple[tuple[float, float], ...]
    u_low: Array
    u_high: Array
    tube: Tube | None = None
    manifest: Manifest | None = None
    history: History | None = None
    waived: tuple[str, ...] = field(init=False)
    absent: tuple[tuple[str, str], ...] = field(init=False)

    kind = "lstm_mpc release"

    def __post_init__(self) -> None:
        refuse_altered(self.model)
        held: dict[str, Any] = {
            "u_low": per_input(self.model, self.u_low),
            "u_high": per_input(self.model, self.u_high),
            "safe_set": interval_per_output(self.model, self.safe_set),
            "certificates": tuple(self.certificates),
        }
        for name, value in held.items():
            object.__setattr__(self, name, value)
        for name, value in _verdict(_Case(_key(self.content()), self)).items():
            object.__setattr__(self, name, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    def _facts(self) -> dict[str, Any]:
        evidence = {"verification": self.verification, "tube": self.tube}
        return {
            "model": self.model.name,
            "certificates": ", ".join(certificate.condition for certificate in self.certificates),
            "safe_set": ", ".join(name for name, item in evidence.items() if item is not None),
            "fit": None if self.validation is None else self.validation.fit,
            "waived": len(self.waived),
        }

    def _tables(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        yield "Claims", [("kind", "claim"), *self.claims()]

    def claims(self) -> tuple[tuple[str, str], ...]:
        """(kind, sentence) for everything claimed: what is proved, what is sampled, what is
        measured; what is absent, and what is waived."""
        void, campaigns = dict(self.absent), self.history.campaigns if self.history else 1
        claims = claims_of(
            self.model,
            self.certificates,
            tube=None if "tube" in void else self.tube,
            verification=None if "verification" in void else self.verification,
            validation=None if "validation" in void else self.validation,
            campaigns=campaigns,
        )
        absences = [("absent", why) for why in void.values() if why]
        return (*claims, *absences, *(("waived", why) for why in self.waived))

    def unchecked(self, *, validated: bool = False) -> tuple[str, ...]:
        """What the claims rest on that was taken from records, not computed again.

        Args:
            validated: The FIT was computed again from its data.

        Returns:
            A sentence for each.
        """
        void, v, parts = dict(self.absent), self.verification, []
        if v is not None and "verification" not in void:
            parts.append(
                f"that {v.scenarios} scenarios were run and none but the worst was computed again"
            )
        if self.validation is not None and "validation" not in void and not validated:
            parts.append(f"the validation FIT, of data {self.validation.data[:12]}")
        return tuple(parts)

    def export(
        self,
        target: str = "c",
        folder: str | Path | None = None,
        *,
        on_progress: Callable[[float, str], None] = lambda share, what: None,
    ) -> Written:
        """Write the model alone, without a controller, for elsewhere.

        Args:
            target: "c" (C99 with a self-test) or "onnx".
            folder: Where to; by default a folder of the target's name, here.
            on_progress: Hears the share done and what is next.

        Returns:
            What was written.

        Raises:
            Refused: What the release holds does not pass its gate: it was altered.
            InputError: There is no such target, or the folder holds other things.
        """
        return export(checked(self), MODEL, target, folder, Order(on_progress=on_progress))

    def content(self) -> dict[str, Any]:
        """What a file keeps of the release, as JSON types; what follows from it is left out."""
        fields = super().content()
        return {name: fields[name] for name in _IN_FILE}


def release(
    model: Model,
    certificates: Sequence[Certificate],
    verification: Verification | None = None,
    validation: Validation | None = None,
    policy: Policy | None = None,
    *,
    safe_set: Sequence[Sequence[float]] | None = None,
    u_low: ArrayLike | None = None,
    u_high: ArrayLike | None = None,
    tube: Tube | None = None,
    manifest: Manifest | None = None,
    history: History | None = None,
) -> Release:
    """Pass the gate.

    Args:
        model: The model that is to be released.
        certificates: Its certificates, one for every condition that the policy asks for.
        verification: Its scenario verification, where the policy asks for one.
        validation: Its figures on data that it was not trained on.
        policy: What evidence is needed; by default what a controller needs.
        safe_set: (low, high) of each output [engineering]; by default that of the evidence.
        u_low: Least inputs of a controller, (nu,) or one for all [engineering]; by default the
            actuator limits.
        u_high: Largest inputs, likewise.
        tube: The interval tube of the model, where the policy asks for one.
        manifest: Everything that was judged, in a design directory.
        history: What the log of its campaigns says.

    Returns:
        The release. Certificates and tube in it are computed anew from the model's numbers.

    Raises:
        Refused: The evidence does not carry the policy; with every reason.
        InputError: An argument does not fit the model.
    """
    if safe_set is None:
        given = tube or verification
        if given is None:
            raise InputError("release: without a tube or a verification give a safe_set")
        safe_set = given.safe_set
    return Release(
        model=model,
        certificates=tuple(certificates),
        verification=verification,
        validation=validation,
        policy=policy or Policy(),
        safe_set=tuple((float(a), float(b)) for a, b in safe_set),
        u_low=np.asarray(model.u_low if u_low is None else u_low),
        u_high=np.asarray(model.u_high if u_high is None else u_high),
        tube=tube,
        manifest=manifest,
        history=history,
    )


def checked(release: Release) -> Release:
    """Pass the gate once more with what the release holds now.

    Args:
        release: A release, whoever made it.

    Returns:
        A release of the same evidence, made just now.

    Raises:
        Refused: What it holds does not pass; it was altered after it was made.
        InputError: It is no release.
    """
    if type(release) is not Release:
        raise InputError(
            f"a Release is needed, which `release` makes of a model and its evidence, got"
            f" {type(release).__name__}"
        )
    return replace(release)


@dataclass(frozen=True)
class _Case:
    """What the gate judges; two of one `key` are the same."""

    key: str
    release: Release = field(compare=False)


def _key(content: Mapping[str, Any]) -> str:
    text = json.dumps(artefact_file.plain(dict(content)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=64)
def _verdict(case: _Case) -> Mapping[str, Any]:
    """The fields that the gate decides; `Refused` with every reason. The same case is judged once
    in a process."""
    r = case.release
    model, policy, v, low, high = r.model, r.policy, r.verification, r.u_low, r.u_high
    given = {c.condition: c for c in r.certificates if c.model == model.digest}
    true = tuple(
        recheck(model, given[name]) if name in given else certify(model, name)
        for name in dict.fromkeys((*policy.conditions, *(c.condition for c in r.certificates)))
        if name in given or not any(conditions.serves(proof, name) for proof in given)
    )
    found = [
        ("certificate", why) for why in certificate_reasons(model, r.certificates, true, policy)
    ]
    sampled = scenario_reasons(model, v, policy, r.safe_set, low, high)
    sampled += [("safe_set", why) for why in (r.history.against if r.history else ())]
    tube, lacking = tube_verdict(model, r.tube, r.safe_set)
    tubed = [("tube", why) for why in lacking]
    measured = [("fit", why) for why in fit_reasons(model, r.validation, policy)]
    if policy.output_set == "either":
        found += sampled + tubed if sampled and tubed else []
    else:
        found += sampled if policy.output_set == "scenario" else tubed
    found += measured
    reasons = [why for check, why in found if check not in policy.waive]
    if reasons:
        raise Refused("release", reasons)
    held: dict[str, Any] = {
        "tube": tube,
        "verification": v if v is not None and v.model == model.digest else None,
        "validation": r.validation if r.validation and r.validation.model == model.digest else None,
    }
    void = {"tube": tubed, "verification": sampled, "validation": measured}
    return {
        **held,
        "certificates": true,
        "waived": tuple(f"{check}: {why} — waived: {policy.waive[check]}" for check, why in found),
        "absent": tuple(
            (what, absence(what, held[what], [pair for pair in why if pair not in found]))
            for what, why in void.items()
            if why
        ),
    }
