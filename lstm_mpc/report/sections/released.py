"""The section on the release."""

from __future__ import annotations

from typing import Any

from lstm_mpc.control.observers.observer_claims import observer_claims
from lstm_mpc.project.artefacts import RELEASE
from lstm_mpc.report.blocks import (
    Claims,
    Facts,
    Heading,
    Section,
    Text,
    lacks,
    spans,
)
from lstm_mpc.report.dossier import Dossier


def release_section(dossier: Dossier) -> Section:
    found = dossier.files[RELEASE]
    blocks: list[Any] = list(lacks(found)) if found.digest or not dossier.refusals else []
    blocks += [Text(f"The gate refuses: {why}", "wrong") for why in dossier.refusals]
    passed, design = found.value, dossier.design
    if passed is not None:
        fresh = design is not None and not found.stale
        observed = observer_claims(passed, design.control) if fresh and design else ()
        blocks += [
            Claims((*passed.claims(), *observed)),
            Facts(
                [
                    ("safe set", spans(passed.model.outputs, passed.safe_set)),
                    *_policy(passed.policy),
                ]
            ),
        ]
        if design is not None and passed.policy != design.release:
            blocks.append(
                Text(
                    "The policy that the model passed under is not the one the design states now;"
                    " `lstm-mpc release DESIGN` asks again.",
                    "stale",
                )
            )
        if design is not None and not found.stale:
            blocks.append(Heading("Clearance of the controller"))
            blocks.append(Claims(dossier.clearance.evidence))
            blocks += [Text(why, "wrong") for why in dossier.clearance.reasons]
    return Section("release", "Release", blocks)


def _policy(policy: Any) -> list[tuple[str, str]]:
    shown = {key: value for key, value in policy.__dict__.items() if key != "waive"}
    rows = [
        (f"policy: {key}", ", ".join(map(str, value)) if isinstance(value, tuple) else str(value))
        for key, value in shown.items()
    ]
    return rows + [
        ("waivers", "; ".join(f"{check}: {why}" for check, why in policy.waive.items()) or "none")
    ]
