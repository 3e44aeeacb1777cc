"""What the report says first: the verdict of the gates, and what it means without a formula."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_mpc.plants.phrases import within
from lstm_mpc.project.artefacts import MODEL, RELEASE
from lstm_mpc.report.dossier import EXPORT, Dossier
from lstm_mpc.report.sections.fit import fit_rows


def verdict(dossier: Dossier) -> tuple[str, str, Sequence[tuple[str, str]]]:
    """Kind ("good", "bad", "open"), the sentence, and the claims of the release, where it is of
    this model."""
    found = dossier.files[RELEASE]
    if found.value is not None and not found.stale:
        waived, refused = found.value.waived, dossier.clearance.reasons
        sentence = (
            f"Released with waivers: {', '.join(why.partition(':')[0] for why in waived)}"
            if waived
            else "Released: every check of the policy passed"
        )
        if refused:
            sentence += f"; its controller is not to be exported: {'; '.join(refused)}"
        return "bad" if waived or refused else "good", sentence, found.value.claims()
    if found.stale:
        return "bad", f"Not released: release.json {found.stale}", ()
    if dossier.refusals and not found.problem:
        return "bad", f"Not released: the gate refuses, {'; '.join(dossier.refusals)}", ()
    if found.problem:
        return "bad", f"Not released: {found.problem}", ()
    step = RELEASE.removesuffix(".json") if dossier.of(MODEL) is not None else "train"
    return "open", f"Not released yet: the next step is `lstm-mpc {step} DESIGN`", ()


def controller_state(dossier: Dossier) -> str:
    """What became of the controller, where its size is not known."""
    if dossier.clearance.reasons:
        return "refused by the gate"
    export = dossier.files[EXPORT]
    if export.value is not None and not export.stale:
        return "exported; its size was not measured"
    return "not exported yet"


def in_plain_words(dossier: Dossier) -> str:
    """The first paragraph, for who decides and has no use for formulas."""
    model = dossier.model
    if model is None:
        return "There is no model of this plant yet, so nothing can be said of it."
    inputs, outputs = (
        " and ".join(s.name for s in signals) for signals in (model.inputs, model.outputs)
    )
    parts = [f"This report is about a model that predicts {outputs} from {inputs}, and about the"]
    parts[0] += " controller that is built on it."
    errors = _typical_errors(dossier)
    if errors:
        parts.append(f"On data that it was not trained on its typical error is {errors}.")
    kind = verdict(dossier)[0]
    parts.append(_DECISIONS[kind])
    release = dossier.files[RELEASE]
    if release.value is not None and not release.stale and release.value.tube is not None:
        ends = within(model.outputs, release.value.tube.whole, "{:.4g}".format)
        parts.append(f"Whatever the controller does, the model keeps {ends}; that is proved.")
    parts.append(
        "What was simulated holds for the simulated plants; the first start on the real plant needs"
        " somebody beside it."
    )
    return " ".join(parts)


_DECISIONS = {
    "good": "Every check that was asked for has passed, and the controller may be tried.",
    "bad": "Not every check has passed: the controller must not be used before what stands in the"
    " verdict is settled or accepted by name.",
    "open": "The checks are not finished, and nothing may be used yet.",
}


def _typical_errors(dossier: Dossier) -> str:
    """The largest root mean square error of every output on validation data."""
    fits = [
        fit
        for which, _, fit in fit_rows(dossier)
        if which == "validation" and fit.against == "measured"
    ]
    if not fits:
        return ""
    return ", ".join(
        f"{max(fit.rmse[j] for fit in fits):.2g} {s.unit} of {s.name}"
        for j, s in enumerate(dossier.outputs)
    )


def head_of(dossier: Dossier) -> list[tuple[str, str]]:
    """What `[report]` says of plant, author, revision and date."""
    if dossier.design is None:
        return []
    entries = dossier.design.report.__dict__
    return [(name.capitalize(), value) for name, value in entries.items() if value]
