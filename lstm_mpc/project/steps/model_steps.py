"""The steps of a design that certify, verify and release its model. Each reads what the steps
before it wrote, and returns a noun; `Project` writes it down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lstm_mpc.certificates import certification, gate, reachability, scenarios
from lstm_mpc.certificates.evidence import Certificate, Tube, Tubes, Verification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.control.limits import input_range
from lstm_mpc.control.observers.observer_claims import observer_tube
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.look.overlap import sentence, shared_rows
from lstm_mpc.errors import Refused
from lstm_mpc.identification.validation import validate
from lstm_mpc.model.model import Model
from lstm_mpc.project import judged
from lstm_mpc.project.artefacts import (
    DATA,
    DEFAULT,
    MODEL,
    TUBES,
    VERIFICATION,
    Options,
    certificate_file,
    refuse_overwrite,
)
from lstm_mpc.project.design import Design
from lstm_mpc.project.design_manifest import manifest, of_release, of_scenarios


def asked_conditions(design: Design, model: Model) -> tuple[str, ...]:
    """What is to be certified: what the gate asks, and what the model was trained under."""
    trained = model.origin.get("settings", {}).get("conditions", ())
    return tuple(dict.fromkeys((*design.release.conditions, *trained)))


def certify(
    model: Model, conditions: Sequence[str], options: Options = DEFAULT
) -> tuple[Certificate, ...]:
    """Check stability conditions on the numbers of a model.

    Args:
        model: any model.
        conditions: names of conditions.
        options: who hears of the progress.

    Returns:
        A certificate for each condition, in their order, whether it holds or not.
    """
    certificates = []
    for number, name in enumerate(conditions):
        options.progress("certify", number / len(conditions), name)
        certificates.append(certification.certify(model, name))
    return tuple(certificates)


def certify_file(
    model_file: Path, conditions: Sequence[str], options: Options = DEFAULT
) -> dict[Path, Certificate]:
    """Check stability conditions on any model file, and write certificates beside it.

    Args:
        model_file: a model.json.
        conditions: names of conditions.
        options: whether earlier certificates are replaced, and who hears of the progress.

    Returns:
        Every certificate by the path it was written to.

    Raises:
        InputError: the model cannot be used, or a certificate is in the way.
    """
    model = Model.load(model_file)
    paths = [model_file.parent / certificate_file(name) for name in conditions]
    for path in paths:
        refuse_overwrite(path, options)
    certificates = dict(zip(paths, certify(model, conditions, options), strict=True))
    for path, certificate in certificates.items():
        certificate.save(path)
    return certificates


def verify(design: Design, options: Options = DEFAULT) -> Verification:
    """Scenario verification of the model, and of the plant where there is one.

    Args:
        design: its `[verify]` and its safe set.
        options: processes, and who hears of the progress.

    Returns:
        The sampled bounds, one for each system and input radius.

    Raises:
        InputError: there is no usable model.json.
    """
    evidence = scenarios.verify(
        Model.load(design.file(MODEL)),
        design.verify,
        safe_set=design.safe_set,
        plant=design.experiment_plant,
        workers=options.workers,
        on_progress=lambda label, share: options.progress("verify", share, f"{label}: {share:.0%}"),
    )
    return replace(evidence, manifest=manifest(design).part(of_scenarios))


def reach(design: Design, options: Options = DEFAULT) -> Tubes:
    """Interval tubes of the model, for every input within the limits and all times.

    Args:
        design: its radii in `[verify]` and its safe set.
        options: who hears of the progress.

    Returns:
        A tube for each radius, and one for the inputs that the observer makes the model see, where
        its disturbance takes them beyond the limits.

    Raises:
        InputError: there is no usable model.json.
    """
    model, v, tubes = Model.load(design.file(MODEL)), design.verify, list[Tube]()
    for number, radius in enumerate(v.radii):
        options.progress("reach", number / len(v.radii), f"ρu = {radius:g}")
        tubes.append(
            reachability.reach(
                model, safe_set=design.safe_set, radius=radius, start_box=v.start_box, steps=v.steps
            )
        )
    widest = observer_tube(model, design.control, design.safe_set)
    return Tubes(model.digest, (*tubes, *([] if widest is None else [widest])))


def sampled_of(design: Design, model: Model) -> Verification | None:
    """The scenario verification that lies in the directory, where it speaks of `model`."""
    path = design.file(VERIFICATION)
    verification = Verification.load(path) if path.exists() else None
    return verification if verification and verification.model == model.digest else None


def _more_certificates(design: Design, model: Model) -> list[Certificate]:
    """What is proved of the model beyond what the gate asks for: its controller may rest on it."""
    names = [n for n in asked_conditions(design, model) if n not in design.release.conditions]
    paths = [path for name in names if (path := design.file(certificate_file(name))).exists()]
    return [c for c in map(Certificate.load, paths) if c.holds and c.model == model.digest]


def release(design: Design, options: Options = DEFAULT) -> Release:
    """Pass the gate of a design with all evidence in its directory.

    Args:
        design: the policy, and the directory of the evidence.
        options: who hears of the progress.

    Returns:
        The release.

    Raises:
        Refused: with every reason.
        InputError: evidence is missing or cannot be used.
    """
    options.progress("release", 0.0, "certificates and tube once more, from the weights")
    model = Model.load(design.file(MODEL))
    names = design.release.conditions
    certificates = [Certificate.load(design.file(certificate_file(name))) for name in names]
    certificates += _more_certificates(design, model)
    low, high = input_range(model, design.control)
    validation = own_validation(design)
    tubes = Tubes.load(design.file(TUBES)).tubes if design.file(TUBES).exists() else ()
    verification = Verification.load(design.file(VERIFICATION))
    return gate.release(
        model,
        certificates,
        verification,
        validate(model, validation, **design.judge, choices=design.search.compared),
        design.release,
        safe_set=design.safe_set,
        u_low=low,
        u_high=high,
        tube=max(
            (t for t in tubes if t.radius <= model.scaling.radius),
            key=lambda tube: tube.radius,
            default=None,
        ),
        manifest=manifest(design).part(of_release),
        history=judged.history(design, verification),
    )


def own_validation(design: Design) -> Dataset:
    """The validation data of a design, which are no training data, and those that its plant and its
    experiment give where they were recorded on it; `Refused` where they are not."""
    validation = design.records("validation")
    if not all(design.file(name).exists() for name in design.data.training or (DATA["training"],)):
        return validation
    data = {"training": design.records("training"), "validation": validation}
    if (overlap := shared_rows(data["training"], validation)) is not None:
        raise Refused("release", [f"{design.folder}: {sentence(overlap)}"])
    if design.plant is None or design.data.training or design.log.files:
        return validation
    for which, recorded in design.experiment_records().items():
        # a recorder may round the last digit of another machine up instead of down
        if not _same_data(recorded, data[which], 1e-6 + 1.5 * design.experiment.resolution):
            raise Refused(
                "release",
                [
                    f"{design.file(DATA[which])} is not what [experiment] records on [plant];"
                    f" {judged.command(design, 'record')} and the steps after it judge anew"
                ],
            )
    return validation


def _same_data(one: Dataset, other: Dataset, slack: float) -> bool:
    """Are the records the same up to `slack` [unit]?"""
    pairs = zip(one.records, other.records, strict=False)
    return (
        len(one.records) == len(other.records)
        and abs(one.Ts - other.Ts) <= 1e-9 * one.Ts
        and all(
            a.u.shape == b.u.shape
            and a.y.shape == b.y.shape
            and np.allclose(a.u, b.u, rtol=1e-6, atol=slack)
            and np.allclose(a.y, b.y, rtol=1e-6, atol=slack, equal_nan=True)
            for a, b in pairs
        )
    )
