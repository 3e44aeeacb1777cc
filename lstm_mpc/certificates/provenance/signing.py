"""Ed25519 signatures over DSSE envelopes. The only importer of cryptography (extra: sign)."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file

_KEY = "ed25519:"  # before the base64 of the 32 bytes of a public key
_LIMIT = 2**16  # [bytes] of a key file


def pae(kind: str, payload: bytes) -> bytes:
    """What is signed: type and payload with their lengths (DSSE, pre-authentication encoding)."""
    parts = [
        b"DSSEv1",
        *(str(len(part)).encode() + b" " + part for part in (kind.encode(), payload)),
    ]
    return b" ".join(parts)


def sign(key_file: Path, message: bytes) -> tuple[str, str]:
    """(public key, base64 of the signature) of a message under the private key in a PEM file.

    InputError where the file holds no Ed25519 key that can be read without a password."""
    private = _private(key_file)
    raw = private.public_key().public_bytes_raw()
    return _KEY + base64.b64encode(raw).decode(), base64.b64encode(private.sign(message)).decode()


def holds(public: str, signature: str, message: bytes) -> bool:
    """Is it a signature of this message under this public key?"""
    invalid = _library().exceptions.InvalidSignature
    try:
        _public(public).verify(base64.b64decode(signature, validate=True), message)
    except (invalid, binascii.Error, ValueError):
        return False
    return True


def checked_key(text: object, what: str) -> str:
    """A public key as text, `ed25519:` and 44 letters of base64; InputError, which calls it `what`,
    for anything else. Needs no library."""
    if isinstance(text, str) and text.startswith(_KEY):
        try:
            if len(base64.b64decode(text.removeprefix(_KEY), validate=True)) == 32:
                return text
        except (binascii.Error, ValueError):
            pass
    raise InputError(
        f"{what} must be a public key, 'ed25519:' and the base64 of its 32 bytes, as `lstm-mpc"
        f" sign` prints it, got {text!r:.60}"
    )


def public_key(text: str) -> str:
    """A public key as text, from such text or from the name of a PEM file."""
    if text.startswith(_KEY):
        return checked_key(text, "check: --key")
    key = _loaded(Path(text), private=False)
    return _KEY + base64.b64encode(key.public_bytes_raw()).decode()


def _library() -> Any:
    try:
        import cryptography.exceptions
        import cryptography.hazmat.primitives.asymmetric.ed25519
        import cryptography.hazmat.primitives.serialization
    except ImportError as error:
        raise InputError(
            "sign: cryptography is missing; pip install 'lstm_mpc[sign]' brings it"
        ) from error
    return cryptography


def _public(text: str) -> Any:
    raw = base64.b64decode(checked_key(text, "a key").removeprefix(_KEY))
    return _library().hazmat.primitives.asymmetric.ed25519.Ed25519PublicKey.from_public_bytes(raw)


def _private(path: Path) -> Any:
    return _loaded(path, private=True)


def _loaded(path: Path, *, private: bool) -> Any:
    library = _library().hazmat.primitives
    kind = "private" if private else "public"
    remedy = "`openssl genpkey -algorithm ed25519 -out key.pem` makes one"
    if not private:
        remedy = "`openssl pkey -in key.pem -pubout -out key.pub` writes it"
    try:
        data = artefact_file.read_bytes(path, limit=_LIMIT)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    try:
        key = (
            library.serialization.load_pem_private_key(data, password=None)
            if private
            else library.serialization.load_pem_public_key(data)
        )
    except Exception as error:  # what the library raises for a file depends on its content
        raise InputError(f"{path}: holds no {kind} key in PEM ({error!s:.80}); {remedy}") from error
    ed25519 = library.asymmetric.ed25519
    if not isinstance(key, ed25519.Ed25519PrivateKey if private else ed25519.Ed25519PublicKey):
        raise InputError(f"{path}: is not an Ed25519 key; {remedy}")
    return key
