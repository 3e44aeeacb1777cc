"""Signed evidence: what a forger without the key cannot do, and what the gate asks for."""

import base64
import hashlib
import json
import re
import shutil
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from places import ROOT
from sealing import sealed
from verbs import command

from lstm_mpc.assurance.clearance import clear
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.certificates.provenance import signing
from lstm_mpc.certificates.provenance.signature import Envelope, statement
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.project.design import load_design
from lstm_mpc.project.steps import export_steps, sign_steps


def key_file(path):
    """A new private key as a PEM file, and its public key as text."""
    private = ed25519.Ed25519PrivateKey.generate()
    path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public = private.public_key()
    path.with_suffix(".pub").write_bytes(
        public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return path, "ed25519:" + base64.b64encode(public.public_bytes_raw()).decode()


@pytest.fixture
def keys(tmp_path):
    return [key_file(tmp_path / f"{name}.pem") for name in ("one", "other")]


@pytest.fixture
def ph(tmp_path, keys):
    """The shipped design with a policy that asks for a signature of the first key."""
    folder = tmp_path / "ph"
    folder.mkdir()
    text = (ROOT / "models" / "ph" / "design.toml").read_text()
    text = text.replace("[release]\n", f'[release]\nsigners = ["{keys[0][1]}"]\n')
    (folder / "design.toml").write_text(text)
    for name in ("model.json", "campaigns.jsonl"):
        shutil.copy(ROOT / "models" / "ph" / name, folder)
    passed = Release.load(ROOT / "models" / "ph" / "release.json")
    sealed(folder, replace(passed, policy=load_design(folder).release))
    return folder


def test_sign_check_and_export(ph, keys, capsys):
    (path, public), (_, stranger) = keys
    code, _, err = command(capsys, "export", ph, "--target", "onnx", "--quiet")
    assert (code, err) == (
        3,
        f"refused by the gate:\n  - {ph}: nobody signed the evidence; `lstm-mpc sign` does, with a"
        " key\n",
    )
    code, out, _ = command(capsys, "sign", ph, "--key", path)
    assert code == 0
    assert out == f"signed: release.json → {ph}/evidence.dsse.json\n  by {public}\n"
    assert command(capsys, "check", ph)[0] == 0
    code, out, _ = command(capsys, "check", ph, "--key", path.with_suffix(".pub"))
    assert code == 0
    assert f"checked: model d52722c73d24 in {ph}, release.json signed by\n  {public}\n" in out
    assert "unchecked: that 2964 scenarios were run and none but the worst was computed" in out
    code, _, err = command(capsys, "check", ph, "--key", stranger)
    assert (code, err) == (
        3,
        f"refused by the gate:\n  - {ph}/evidence.dsse.json: no trusted key signed it; trusted:"
        f" {stranger}\n",
    )
    export = export_steps.export(load_design(ph), target="onnx")
    assert export.evidence == (("signed", f"the release, by {public}"),)


def test_the_envelope_is_read_by_other_tools(ph, keys):
    """A signature over DSSE's encoding of an in-toto statement, made again from its text alone."""
    (path, public), _ = keys
    sign_steps.sign(load_design(ph), path).envelope.save(ph / "evidence.dsse.json")
    content = json.loads((ph / "evidence.dsse.json").read_text())
    body, kind = base64.b64decode(content["payload"]), content["payloadType"].encode()
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)
    raw = base64.b64decode(public.removeprefix("ed25519:"))
    sig = base64.b64decode(content["signatures"][0]["sig"])
    ed25519.Ed25519PublicKey.from_public_bytes(raw).verify(sig, message)
    subject = json.loads(body)["subject"]
    digest = hashlib.sha256((ph / "release.json").read_bytes()).hexdigest()
    assert subject == [{"name": "release.json", "digest": {"sha256": digest}}]


def forged_payload(envelope, keys):
    """The statement about another file, under the old signature."""
    other = statement({"release.json": "0" * 64}, {})
    return replace(envelope, payload=other.payload)


def forged_key(envelope, keys):
    """A signature of another key under the name of the trusted one."""
    own = envelope.signed(keys[1][0]).signatures[-1]
    return replace(envelope, signatures=(replace(own, keyid=keys[0][1]),))


FORGED = {
    "another statement": (forged_payload, "no trusted key signed it"),
    "another type": (lambda e, keys: replace(e, payloadType="text/plain"), "no trusted key signed"),
    "another key": (forged_key, "no trusted key signed it"),
    "no signature": (lambda e, keys: replace(e, signatures=()), "no trusted key signed it"),
    "a spoilt signature": (
        lambda e, keys: replace(e, signatures=(replace(e.signatures[0], sig="AA=="),)),
        "no trusted key signed it",
    ),
    "no base64": (
        lambda e, keys: replace(e, signatures=(replace(e.signatures[0], sig="?"),)),
        "no trusted key signed it",
    ),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_signature_is_refused(ph, keys, how):
    forge, words = FORGED[how]
    design = load_design(ph)
    forge(sign_steps.sign(design, keys[0][0]).envelope, keys).save(ph / "evidence.dsse.json")
    for verb in (sign_steps.check, lambda d: export_steps.export(d, target="onnx")):
        with pytest.raises(Refused, match=words):
            verb(design)


def test_a_file_that_was_made_again_is_to_be_signed_again(ph, keys):
    design = load_design(ph)
    sign_steps.sign(design, keys[0][0]).envelope.save(ph / "evidence.dsse.json")
    text = (ph / "release.json").read_text()
    (ph / "release.json").write_text(text + "\n")
    with pytest.raises(Refused) as caught:
        sign_steps.check(design)
    assert caught.value.reasons == (
        f"{ph}/release.json: is not the file that was signed; sign it again",
    )
    envelope = replace(sign_steps.sign(design, keys[0][0]).envelope)
    other = statement({"model.json": "0" * 64}, {}).signed(keys[0][0])
    other.save(ph / "evidence.dsse.json")
    with pytest.raises(Refused, match=r"release.json: is not signed; sign it again"):
        sign_steps.check(design)
    assert envelope.subjects


def test_two_keys_may_sign(ph, keys):
    design = load_design(ph)
    for path, _ in keys:
        sign_steps.sign(design, path).envelope.save(ph / "evidence.dsse.json")
    assert sign_steps.check(design, [keys[1][1]]).signed.signers == (keys[1][1],)
    assert sign_steps.check(design).signed.signers == (keys[0][1],)
    again = sign_steps.sign(design, keys[0][0])
    assert sorted(again.signers) == sorted(public for _, public in keys)


def test_controllers_of_a_policy_with_signers_need_one(released, keys):
    strict = replace(released, policy=replace(released.policy, signers=(keys[0][1],)))
    spec = ControllerSpec(strict, ControlProblem(horizon=4))
    for signers in ((), (keys[1][1],)):
        with pytest.raises(Refused, match=re.escape(f"a signature of {keys[0][1]}")):
            clear(spec, signers=signers)
    assert clear(spec, signers=(keys[0][1],)).evidence[-1] == (
        "signed",
        f"release and evidence of the loop, by {keys[0][1]}",
    )


# -- keys and files --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "ed25519:", "ed25519:AAAA", "rsa:AAAA", 3, "ed25519:?"])
def test_a_signer_that_is_no_key_is_refused(key):
    with pytest.raises(InputError, match=r"release: a signer must be a public key, 'ed25519:' and"):
        Policy(signers=(key,))


def test_key_files_that_are_none_are_refused_with_what_makes_one(tmp_path, keys):
    design = load_design(ROOT / "models" / "ph")
    path = tmp_path / "bad.pem"
    with pytest.raises(InputError, match=r"bad.pem: cannot be read .*; `openssl genpkey"):
        signing.sign(path, b"")
    path.write_text("nothing")
    with pytest.raises(InputError, match=r"bad.pem: holds no private key in PEM .*; `openssl"):
        signing.sign(path, b"")
    with pytest.raises(InputError, match=r"bad.pem: holds no public key in PEM .*; `openssl pkey"):
        signing.public_key(str(path))
    with pytest.raises(InputError, match=r"no key is trusted; give --key, or signers in \[release"):
        sign_steps.check(design)
    (tmp_path / "e.json").write_text("{}")
    with pytest.raises(InputError, match=r"e.json: is no signature \(.*\); sign again"):
        Envelope.load(tmp_path / "e.json")
    with pytest.raises(InputError, match=r"none.json: cannot be read .*; `lstm-mpc sign` writes"):
        Envelope.load(tmp_path / "none.json")
    with pytest.raises(InputError, match="the payload is no in-toto statement"):
        assert Envelope(base64.b64encode(b'{"_type": "x"}').decode(), "x", ()).subjects
    with pytest.raises(InputError, match="the payload is no statement on files"):
        assert Envelope("e30=", "application/vnd.in-toto+json", ()).subjects


def test_without_the_library_the_extra_is_named(monkeypatch, keys):
    import builtins

    real = builtins.__import__

    def absent(name, *rest):
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputError, match=r"is missing; pip install 'lstm_mpc\[sign\]' brings it"):
        signing.sign(keys[0][0], b"")
