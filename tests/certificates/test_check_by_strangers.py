"""The example that checks the evidence of a design without the package: tubes and signatures."""

import base64
import hashlib
import json
import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from places import ROOT

from lstm_mpc.certificates.provenance.signature import statement

CHECKER = ROOT / "examples" / "04_check_certificate.py"
BASE = ("model.json", "certificate-delta_iss.json")


def check(folder, *more):
    command = [sys.executable, "-W", "error", str(CHECKER), *BASE, *more]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False
    )


def signed(folder, name="release.json"):
    """The public key; `evidence.dsse.json` names the file of that name."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    (folder / "key.pem").write_bytes(pem)
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    envelope = statement({name: digest}, {}).signed(folder / "key.pem")
    envelope.save(folder / "evidence.dsse.json")
    return envelope.signatures[0].keyid


@pytest.fixture
def folder(tmp_path):
    for name in (*BASE, "tubes.json", "release.json"):
        shutil.copy(ROOT / "models" / "ph" / name, tmp_path)
    return tmp_path


def test_the_shipped_tube_and_a_signed_release_hold(folder):
    key = signed(folder)
    done = check(folder, "tubes.json", "release.json", "evidence.dsse.json", key)
    assert done.returncode == 0, done.stderr
    assert "tube: no input up to |u| ≤ 1.489 leads out of its starts" in done.stdout
    assert f"signature: {key} signed the release of this model" in done.stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.update(radius=0.9), "the tube does not cover the actuator limits"),
        (lambda t: t.update(radius=1.6), "a step leads out of the box of starts"),
        (lambda t: t["settled"][0].__setitem__(1, 0.5), "a step leads out of the box of starts"),
        (
            lambda t: t["whole"][0].__setitem__(0, 6.0),
            "outputs of the box of starts leave the tube",
        ),
    ],
)
def test_an_altered_tube_is_refused(folder, change, words):
    """Must fail."""
    content = json.loads((folder / "tubes.json").read_text())
    change(content["tubes"][-1])
    (folder / "tubes.json").write_text(json.dumps(content))
    done = check(folder, "tubes.json")
    assert done.returncode == 1
    assert words in done.stderr


def other_key(folder, key):
    return "ed25519:" + base64.b64encode(bytes(32)).decode()


def altered_release(folder, key):
    path = folder / "release.json"
    path.write_text(path.read_text() + " ")
    return key


def altered_payload(folder, key):
    path = folder / "evidence.dsse.json"
    content = json.loads(path.read_text())
    payload = json.loads(base64.b64decode(content["payload"]))
    payload["predicate"] = {"more": 1}
    content["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    path.write_text(json.dumps(content))
    return key


def release_of_another_model(folder, key):
    shutil.copy(ROOT / "models" / "quadruple_tank" / "release.json", folder)
    return signed(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_key, "the key signed nothing"),
        (altered_release, "release.json is not what was signed"),
        (altered_payload, "InvalidSignature"),
        (release_of_another_model, "the release is of another model"),
    ],
)
def test_what_is_not_signed_is_refused(folder, change, words):
    """Must fail."""
    key = change(folder, signed(folder))
    done = check(folder, "release.json", "evidence.dsse.json", key)
    assert done.returncode == 1
    assert words in done.stderr
