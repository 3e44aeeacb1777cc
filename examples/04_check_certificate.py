"""Check, without the package, a certificate of incremental stability, a tube and a signature.

    python 04_check_certificate.py model.json certificate-delta_iss.json [tubes.json]
        [release.json evidence.dsse.json KEY]

For two runs with the same input, |Δχ⁺| ≤ A|Δχ| while |x| ≤ x̄ and |ξ| < 1. If v > 0 and A v ≤
rate·v with rate < 1, then max |Δχ_j|/v_j shrinks by `rate` every step. The model's numbers, v and
rate are exact; the rest is enclosed and rounded outwards. The same is asked of the numbers rounded
to single precision, as the C carries them. Of a tube: that it covers the actuator limits, and that
no step leads out of the box of its starts, whose outputs it holds. Of a signature: that the holder
of the key made it, and for the release of this very model."""

import base64
import hashlib
import json
import struct
import sys
from itertools import product
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from mpmath import iv

iv.prec = 100
if len(sys.argv) < 3:
    sys.exit("usage: python 04_check_certificate.py model.json certificate-delta_iss.json [more]")
key = sys.argv.pop() if sys.argv[-1].startswith("ed25519:") else ""
files = {Path(name).name: Path(name).read_bytes() for name in sys.argv[1:]}
model, certificate, *more = map(json.loads, files.values())
network, scaling, said = model["network"], model["scaling"], certificate["constants"]


def single(x):
    """Numbers rounded to single precision."""
    return [*map(single, x)] if isinstance(x, list) else struct.unpack("f", struct.pack("f", x))[0]


def tanh(z):
    return 1 - 2 / (iv.exp(2 * z) + 1)  # z once, so that an interval is mapped to its image


def gates(net, n, z):
    """The gates f, i, o, c of layer n, for its inputs and ξ in the box z."""
    for g in "fioc":
        rows = zip(*(net[f"{n}.{kind}_{g}"] for kind in "WUb"), strict=True)
        sums = [
            sum(iv.mpf(w) * x for w, x in zip(W + U, z, strict=True)) + b for W, U, (b,) in rows
        ]
        yield [tanh(t) if g == "c" else 1 / (1 + iv.exp(-t)) for t in sums]


def growth(net, n, v, radius):
    """(A v)_j / v_j of every row of layer n; |u| ≤ radius, above the first layer 1."""
    nx, ball = len(v) // 2, iv.mpf([-1, 1])
    box = [ball if n else ball * radius] * len(net[f"{n}.W_f"][0]) + [ball] * nx
    for j, act in enumerate(zip(*gates(net, n, box), strict=True)):
        f, i, o, c = (iv.mpf(abs(gate).b) for gate in act)
        U = (net[f"{n}.U_{g}"][j] for g in "fioc")
        of, oi, oo, oc = (
            sum(abs(iv.mpf(u)) * e for u, e in zip(w, v[nx:], strict=True)) for w in U
        )
        x_bar = i * c / (1 - f)
        x = f * v[j] + x_bar * of / 4 + i * oc + c * oi / 4
        yield from (x / v[j], (o * x + tanh(x_bar) * oo / 4) / v[nx + j])


radius, carried = scaling["radius"], certificate["single"]["radius"]
assert (certificate["condition"], certificate["radius"]) == ("delta_iss", radius)
depth = sum(name.endswith("U_f") for name in network)
assert depth == len(said["layers"]) == len(said["witnesses"]), "a layer has no witness"
for s, mid, span in zip(model["inputs"], scaling["u_mid"], scaling["u_span"], strict=True):
    ends = [abs(iv.mpf(end) - single(mid)) / single(span) for end in (s["low"], s["high"])]
    assert all(end <= carried for end in ends), f"{s['name']}: inputs beyond the radius of the C"
for n, (layer, v) in enumerate(zip(said["layers"], said["witnesses"], strict=True)):
    rate, v = layer["rate"], [iv.mpf(entry) for entry in v]
    assert all(entry > 0 for entry in v), f"layer {n + 1}: v is not positive"
    assert 0 < rate < 1, f"layer {n + 1}: the rate is not below 1"
    assert all(row <= rate for row in growth(network, n, v, radius)), "A v ≤ rate·v fails"
    rounded = growth({name: single(x) for name, x in network.items()}, n, v, carried)
    assert all(row < 1 for row in rounded), f"layer {n + 1}: A v < v fails in single precision"
    print(
        f"layer {n + 1}: runs with the same input approach each other by {rate:.6f} a step, proved"
    )

for tube in (content["tubes"][-1] for content in more if "tubes" in content):
    top, starts = tube["radius"], [iv.mpf(ends) for ends in tube["settled"]]
    assert top >= radius, "the tube does not cover the actuator limits"
    each = round(tube["pieces"] ** (1 / len(model["inputs"])))
    cells = [iv.mpf([2 * k - each, 2 * k + 2 - each]) * top / each for k in range(each)]
    for cell in product(cells, repeat=len(model["inputs"])):
        z, at = list(cell), 0
        for n in range(depth):
            nx = len(network[f"{n}.U_f"])
            x, xi, at = starts[at : at + nx], starts[at + nx : at + 2 * nx], at + 2 * nx
            f, i, o, c = gates(network, n, z + xi)
            x = [a * b + d * e for a, b, d, e in zip(f, x, i, c, strict=True)]
            z = [a * tanh(b) for a, b in zip(o, x, strict=True)]
            inside = all(a in b for a, b in zip(x + z, starts[at - 2 * nx : at], strict=True))
            assert inside, "a step leads out of the box of starts"
    for row, b, ends, mid, span in zip(
        network["C"],
        network["b_y"],
        tube["whole"],
        scaling["y_mid"],
        scaling["y_span"],
        strict=True,
    ):
        y = sum((iv.mpf(c) * x for c, x in zip(row, xi, strict=True)), iv.mpf(b[0])) * span + mid
        assert y in iv.mpf(ends), "outputs of the box of starts leave the tube"
    print(f"tube: no input up to |u| ≤ {top:.4g} leads out of its starts, nor of {tube['whole']}")

for envelope in (content for content in more if "signatures" in content):
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("ed25519:")))
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    sigs = [s["sig"] for s in envelope["signatures"] if s["keyid"] == key]
    assert sigs, "the key signed nothing"
    public.verify(base64.b64decode(sigs[0]), signed)  # an exception where it does not hold
    subjects = {row["name"]: row["digest"]["sha256"] for row in json.loads(payload)["subject"]}
    release, digest = files["release.json"], hashlib.sha256(files["release.json"]).hexdigest()
    assert subjects["release.json"] == digest, "release.json is not what was signed"
    assert json.loads(release)["model"]["network"] == network, "the release is of another model"
    print(f"signature: {key} signed the release of this model")
