"""Signed evidence: a DSSE envelope around an in-toto statement that names files by their digests.

A digest finds accidents; whoever can write a file can write its digest. A signature is made with a
key that a forger does not have."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstm_mpc.certificates.provenance import signing
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.schema import noun

PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "lstm_mpc/evidence/v1"
_LIMIT = 2**20  # [bytes]


@dataclass(frozen=True)
class Signature:
    """A signature over an envelope: the public key as text, and the base64 of the signature."""

    keyid: str
    sig: str


@dataclass(frozen=True)
class Envelope:
    """A signed statement, as DSSE keeps it: the base64 of its payload, and signatures over it."""

    payload: str
    payloadType: str
    signatures: tuple[Signature, ...]

    @property
    def message(self) -> bytes:
        """What the signatures are of."""
        try:
            body = base64.b64decode(self.payload, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InputError(f"signature: the payload is not base64 ({error})") from error
        return signing.pae(self.payloadType, body)

    @property
    def subjects(self) -> dict[str, str]:
        """File -> SHA-256 of its bytes, as the statement names them."""
        try:
            statement = json.loads(base64.b64decode(self.payload, validate=True))
            if self.payloadType != PAYLOAD or statement["_type"] != _STATEMENT:
                raise InputError("signature: the payload is no in-toto statement")
            rows = statement["subject"]
            found = {str(row["name"]): str(row["digest"]["sha256"]) for row in rows}
        except (binascii.Error, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"signature: the payload is no statement on files ({error!r:.80})"
            ) from error
        return found

    def signers(self, trusted: Sequence[str]) -> tuple[str, ...]:
        """Those of the trusted public keys that signed the statement."""
        message = self.message
        return tuple(
            key
            for key in dict.fromkeys(trusted)
            if any(s.keyid == key and signing.holds(key, s.sig, message) for s in self.signatures)
        )

    def signed(self, key_file: Path) -> Envelope:
        """The same with the signature of a further key; one of the same key is replaced."""
        key, sig = signing.sign(key_file, self.message)
        others = tuple(s for s in self.signatures if s.keyid != key)
        return Envelope(self.payload, self.payloadType, (*others, Signature(key, sig)))

    def save(self, path: Path) -> None:
        """Write the envelope as JSON, as other tools read it."""
        content = artefact_file.plain(self)
        artefact_file.write_text(path, json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Envelope:
        """Read an envelope; InputError where it is none."""
        try:
            content: Any = json.loads(artefact_file.read_bytes(path, limit=_LIMIT))
            made: Envelope = noun(cls, content)
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}); `lstm-mpc sign` writes it"
            ) from error
        except (ValueError, RecursionError, InputError) as error:
            raise InputError(f"{path}: is no signature ({error!s:.100}); sign again") from error
        return made


def statement(subjects: Mapping[str, str], facts: Mapping[str, Any]) -> Envelope:
    """The unsigned envelope of a statement.

    Args:
        subjects: file -> SHA-256 of its bytes.
        facts: what else is signed, as JSON types.

    Returns:
        The envelope, for `signed`.
    """
    body = {
        "_type": _STATEMENT,
        "subject": [{"name": n, "digest": {"sha256": d}} for n, d in sorted(subjects.items())],
        "predicateType": _PREDICATE,
        "predicate": dict(facts),
    }
    text = json.dumps(artefact_file.plain(body), sort_keys=True, separators=(",", ":"))
    return Envelope(base64.b64encode(text.encode()).decode(), PAYLOAD, ())
