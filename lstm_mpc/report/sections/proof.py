"""The proof of the loop in the report."""

from __future__ import annotations

from typing import Any

from lstm_mpc.project.artefacts import PROOF
from lstm_mpc.report.blocks import Heading, Table, Text, lacks
from lstm_mpc.report.dossier import Dossier


def proof_blocks(dossier: Dossier) -> list[Any]:
    """What is proved of the loop, where the design has a terminal cost or a proof lies there."""
    if PROOF not in dossier.files:
        return []
    found, blocks = dossier.files[PROOF], list[Any]([Heading("Proof of the closed loop")])
    blocks += lacks(found)
    proof = found.value
    if proof is None or found.stale:
        return blocks
    if not proof.holds:
        blocks.append(Text("An inequality fails: nothing is proved.", "wrong"))
    for kind, words in proof.claims():
        blocks.append(
            Text(f"{words}.", kind) if kind == "proved" else Text(f"Proved if more holds: {words}.")
        )
    rows = [[line.name, f"{line.value:.9g}", line.blame] for line in proof.inequalities]
    blocks.append(Table("Each holds below 1", ("Inequality", "Value", "Set by"), rows))
    covered = [["inside", what] for what in proof.inside]
    covered += [["outside", what] for what in proof.outside]
    blocks.append(Table("What the proof covers", ("", "Part of the problem"), covered))
    return blocks
