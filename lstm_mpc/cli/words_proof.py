"""What `prove-loop` prints."""

from __future__ import annotations

from lstm_mpc.assurance.loop_proof import LoopProof
from lstm_mpc.cli.words import Answer
from lstm_mpc.project.artefacts import PROOF
from lstm_mpc.project.design import Design


def loop_proved(proof: LoopProof, design: Design) -> Answer:
    """What is proved of the loop, under which inequalities, and what it covers."""
    lines = [f"{'proved' if proof.holds else 'NOT PROVED'} → {design.file(PROOF)}"]
    lines += [f"{kind}: {sentence}" for kind, sentence in proof.claims()]
    lines += [f"  {line.name}: {line.value:.10g} < 1, {line.blame}" for line in proof.inequalities]
    lines += [f"  inside: {what}" for what in proof.inside]
    lines += [f"  outside: {what}" for what in proof.outside]
    return Answer(lines, proof.content())
