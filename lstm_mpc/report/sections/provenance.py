"""The section on where everything comes from."""

from __future__ import annotations

from typing import Any

from lstm_mpc.io.artefact_file import VERSION
from lstm_mpc.report.blocks import (
    Facts,
    Heading,
    Listing,
    Section,
    Table,
    Text,
)
from lstm_mpc.report.dossier import DESIGN, Dossier


def provenance_section(dossier: Dossier) -> Section:
    model = dossier.model
    rows = [("lstm_mpc that made this page", VERSION)]
    if model is not None:
        origin = {
            "data": "data digest",
            "seed": "seed",
            "solver": "solver",
            "iterations": "iterations",
        }
        rows += [
            ("model digest", model.digest),
            *(
                (label, str(model.origin[key]))
                for key, label in origin.items()
                if key in model.origin
            ),
        ]
        rows += [
            (f"version: {name}", str(version))
            for name, version in model.origin.get("versions", {}).items()
        ]
    rows += [(f"seed: {name}", str(seed)) for name, seed in _seeds(dossier).items()]
    there = [a for a in (*dossier.files.values(), *dossier.data.values()) if a.digest is not None]
    state = ["cannot be used" if a.problem else "stale" if a.stale else "current" for a in there]
    blocks: list[Any] = [
        Facts(rows),
        Table(
            "Artefacts; SHA-256 of the bytes of each file",
            ["File", "Made by", "State", "SHA-256"],
            [[a.file, a.verb, s, a.digest or ""] for a, s in zip(there, state, strict=True)],
        ),
        Heading("How to make it again"),
        Text(
            "DESIGN is the folder that holds design.toml and the data. The same version and numbers"
            " make the same model, evidence and page."
        ),
        Listing("\n".join(_commands(dossier)), "commands"),
    ]
    if dossier.text:
        blocks += [Heading(DESIGN), Listing(dossier.text, DESIGN)]
    return Section("provenance", "Provenance", blocks)


def _seeds(dossier: Dossier) -> dict[str, int]:
    design = dossier.design
    if design is None:
        return {}
    found = (
        {"experiment": design.experiment.seed} if design.plant and not design.data.training else {}
    )
    found |= {"search": design.search.seed, "verify": design.verify.seed}
    return found | ({"verify_loop": design.verify_loop.seed} if design.loop_law else {})


def _commands(dossier: Dossier) -> list[str]:
    design = dossier.design
    if design is None:
        return ["lstm-mpc certify DESIGN/model.json", "lstm-mpc report DESIGN"]
    verbs = (
        ["record"]
        if design.log.files or (design.plant is not None and not design.data.training)
        else []
    )
    verbs += ["train", "certify", "verify", "reach", "release"]
    verbs += (["control"] if design.scenarios else []) + (
        ["verify-loop"] if design.loop_law else []
    )
    return [
        f"pip install lstm_mpc=={VERSION}",
        *(f"lstm-mpc {verb} DESIGN" for verb in [*verbs, "export", "pil", "report"]),
    ]
