"""The steps that sign the evidence of a design and check it. Each returns a noun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.provenance.manifest import digest_of
from lstm_mpc.certificates.provenance.signature import Envelope, statement
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.project import campaign_log, judged
from lstm_mpc.project.artefacts import ASSURANCE, RELEASE, SIGNATURE
from lstm_mpc.project.design import Design


@dataclass(frozen=True)
class Signed:
    """Evidence under a signature: the `envelope`, the `files` it names, and the public keys that
    `signers` says hold."""

    envelope: Envelope
    files: tuple[str, ...]
    signers: tuple[str, ...]


@dataclass(frozen=True)
class Checked:
    """Evidence that was checked: the release, who signed what, and what was `unchecked`."""

    release: Release
    signed: Signed
    unchecked: tuple[str, ...]


def sign(design: Design, key: Path) -> Signed:
    """Sign the evidence of a design as it stands.

    Args:
        design: the directory of the release and, where there is one, the loop verification.
        key: PEM file with a private Ed25519 key.

    Returns:
        The envelope; earlier signatures of the same files stay in it.

    Raises:
        InputError: the key cannot be used.
        Refused: the evidence speaks of another design, or does not pass its gate.
    """
    release = judged.passed(design, "sign")
    judged.loop_record(design, "sign")
    subjects = _subjects(design)
    facts = {
        "manifest": release.manifest.digest if release.manifest else None,
        "campaigns": campaign_log.campaigns(design).state,
    }
    made = statement(subjects, facts)
    path = design.file(SIGNATURE)
    if path.exists() and (before := Envelope.load(path)).payload == made.payload:
        made = before
    made = made.signed(key)
    return Signed(made, tuple(subjects), tuple(s.keyid for s in made.signatures))


def check(design: Design, keys: Sequence[str] = ()) -> Checked:
    """Check the evidence of a design and its signature.

    Args:
        design: the directory.
        keys: public keys that are trusted; none: those that the policy names.

    Returns:
        What was checked, and what was not.

    Raises:
        InputError: no key is trusted, or a file cannot be used.
        Refused: the evidence or its signature does not hold.
    """
    release = judged.passed(design, "check")
    judged.loop_record(design, "check")
    trusted = tuple(keys) or release.policy.signers
    if not trusted:
        raise InputError(f"{design.folder}: no key is trusted; give --key, or signers in [release]")
    signed = signatures(design, trusted, "check")
    return Checked(release, signed, release.unchecked(validated=judged.has_validation_data(design)))


def signers_of(design: Design, release: Release, verb: str) -> tuple[str, ...]:
    """Who signed the evidence of those that the policy names; `Refused` where it names some and
    none did."""
    asked = release.policy.signers
    return signatures(design, asked, verb).signers if asked else ()


def signatures(design: Design, trusted: Sequence[str], verb: str) -> Signed:
    """Who of the trusted signed the evidence that lies in the directory; `Refused` where nobody
    did."""
    path = design.file(SIGNATURE)
    if not path.exists():
        raise Refused(
            verb, [f"{design.folder}: nobody signed the evidence; `lstm-mpc sign` does, with a key"]
        )
    envelope = Envelope.load(path)
    signers = envelope.signers(trusted)
    if not signers:
        raise Refused(verb, [f"{path}: no trusted key signed it; trusted: {', '.join(trusted)}"])
    named = envelope.subjects
    for name, digest in _subjects(design).items():
        if named.get(name) != digest:
            words = "is not signed" if name not in named else "is not the file that was signed"
            raise Refused(verb, [f"{design.file(name)}: {words}; sign it again"])
    return Signed(envelope, tuple(named), signers)


def _subjects(design: Design) -> dict[str, str]:
    names = [name for name in (RELEASE, ASSURANCE) if design.file(name).exists()]
    return {name: digest_of(design.file(name).read_bytes()) for name in names}
