"""What the report says first: the verdict of the gates, and what it means without a formula."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_mpc.project.artefacts import MODEL, RELEASE
from lstm_mpc.report.dossier import EXPORT, Dossier


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
    if dossier.refusals:
        return "bad", f"Not released, the gate refuses: {'; '.join(dossier.refusals)}", ()
    if found.problem:
        return "bad", f"Not released: {found.problem}", ()
    if found.stale:
        return "bad", f"Not released: release.json {found.stale}", ()
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
