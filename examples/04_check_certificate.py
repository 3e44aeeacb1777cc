"""Check a certificate of incremental stability, a tube and a proof of the loop without the package:
JSON, interval arithmetic, one matrix.

    python 04_check_certificate.py model.json certificate.json [tubes.json] [loop-proof.json]

For two runs with the same input, |Δχ⁺| ≤ A|Δχ| while |x| ≤ x̄ and |ξ| < 1. If v > 0 and A v ≤
rate·v with rate < 1, then max |Δχ_j|/v_j shrinks by `rate` every step. The model's numbers, v and
rate are exact; the rest is enclosed and rounded outwards. The same is asked of the numbers rounded
to single precision, as the C carries them. Of a tube: that it covers the actuator limits, and that
no step leads out of the box of its starts, whose outputs it holds.

The proof of the loop: under the terminal law |z⁺| ≤ M|z| for z = (χ − χ̄, u₋ − ū), it keeps the rate
limits, and D − MᵀDM exceeds what z costs, so the end of a plan falls by at least that."""

import json
import struct
import sys
from itertools import product
from pathlib import Path

from mpmath import iv

iv.prec = 100
if not 3 <= len(sys.argv) <= 5:
    sys.exit(
        "usage: python 04_check_certificate.py model.json certificate-delta_iss.json [more files]"
    )


def tanh(z):
    return 1 - 2 / (iv.exp(2 * z) + 1)


def sigmoid(z):
    return 1 / (1 + iv.exp(-z))


def single(value):
    """The nearest number, or list of numbers, of single precision."""
    if isinstance(value, list):
        return [single(each) for each in value]
    return struct.unpack("f", struct.pack("f", value))[0]


def largest(network, n, g, j, radius):
    """Neuron j of gate g of layer n at its largest: |u| ≤ radius (1 above the first layer), |ξ| ≤
    1; the bias of σ keeps its sign."""
    W, U, b = (network[f"{n}.{kind}_{g}"][j] for kind in "WUb")
    total = (radius if n == 0 else iv.mpf(1)) * sum(abs(iv.mpf(w)) for w in W) + sum(
        abs(iv.mpf(w)) for w in U
    )
    return tanh(total + abs(iv.mpf(b[0]))) if g == "c" else sigmoid(total + iv.mpf(b[0]))


def growth(network, n, v, radius):
    """(A v)_j / v_j of every row of layer n."""
    nx, rows = len(network[f"{n}.U_f"]), {}
    size = {g: [[abs(iv.mpf(w)) for w in row] for row in network[f"{n}.U_{g}"]] for g in "fioc"}
    for j in range(nx):
        f, i, o, c = (largest(network, n, g, j, radius) for g in "fioc")
        x_bar = i * c / (1 - f)
        R = [
            x_bar * size["f"][j][k] / 4 + i * size["c"][j][k] + c * size["i"][j][k] / 4
            for k in range(nx)
        ]
        x_next = f * v[j] + sum(R[k] * v[nx + k] for k in range(nx))
        last = tanh(x_bar) / 4 * sum(size["o"][j][k] * v[nx + k] for k in range(nx))
        rows[j], rows[nx + j] = x_next / v[j], (o * x_next + last) / v[nx + j]
    return rows


model, certificate = (json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:3])
network, scaling = model["network"], model["scaling"]
radius, carried = iv.mpf(scaling["radius"]), certificate["single"]
layers, witnesses = certificate["constants"]["layers"], certificate["constants"]["witnesses"]
assert certificate["condition"] == "delta_iss"
assert certificate["radius"] == scaling["radius"]
assert len(layers) == len(witnesses) == sum(name.endswith("U_f") for name in network)
mids, spans = single(scaling["u_mid"]), single(scaling["u_span"])
for signal, mid, span in zip(model["inputs"], mids, spans, strict=True):
    for end in (signal["low"], signal["high"]):
        reached = abs(iv.mpf(end) - mid) / span
        assert reached <= carried["radius"], f"{signal['name']}: inputs beyond the radius of the C"

for n, (told, v) in enumerate(zip(layers, witnesses, strict=True)):
    rate, v = iv.mpf(told["rate"]), [iv.mpf(entry) for entry in v]
    assert len(v) == 2 * len(network[f"{n}.U_f"])
    assert all(entry > 0 for entry in v), f"layer {n + 1}: v is not positive"
    assert 0 < rate < 1, f"layer {n + 1}: the rate is not below 1"
    for j, row in growth(network, n, v, radius).items():
        assert row <= rate, f"layer {n + 1}: A v ≤ rate·v fails in row {j + 1}"
    rounded = {name: single(values) for name, values in network.items()}
    for j, row in growth(rounded, n, v, iv.mpf(carried["radius"])).items():
        assert row < 1, f"layer {n + 1}, in single precision: A v < v fails in row {j + 1}"
    print(
        f"layer {n + 1}: proved, two runs with the same input approach each other by a factor"
        f" {told['rate']:.6f} per step; in single precision too"
    )


def rising(function, z):
    return iv.mpf([function(iv.mpf(z.a)).a, function(iv.mpf(z.b)).b])


def image(chi, below):
    """χ⁺ of a box of states under a box of inputs, both lists of intervals."""
    result, at = [], 0
    for n in range(len(layers)):
        nx, act = len(network[f"{n}.U_f"]), {}
        z = below + chi[at + nx : at + 2 * nx] + [iv.mpf(1)]
        for g in "fioc":
            rows = zip(*(network[f"{n}.{kind}_{g}"] for kind in "WUb"), strict=True)
            sums = [
                sum(iv.mpf(w) * t for w, t in zip(W + U + b, z, strict=True)) for W, U, b in rows
            ]
            act[g] = [rising(tanh if g == "c" else sigmoid, total) for total in sums]
        x = [act["f"][j] * chi[at + j] + act["i"][j] * act["c"][j] for j in range(nx)]
        below = [o * rising(tanh, z) for o, z in zip(act["o"], x, strict=True)]
        result, at = result + x + below, at + 2 * nx
    return result


others = [json.loads(Path(path).read_text(encoding="utf-8")) for path in sys.argv[3:]]
proofs = [content for content in others if "tubes" not in content]
for tube in (content["tubes"][-1] for content in others if "tubes" in content):
    top, starts, nu = tube["radius"], [iv.mpf(ends) for ends in tube["settled"]], len(mids)
    assert top >= scaling["radius"], "the tube does not cover the actuator limits"
    each = round(tube["pieces"] ** (1 / nu))
    cells = [
        iv.mpf([top * (2 * k / each - 1), top * (2 * k + 2 - each) / each]) for k in range(each)
    ]
    for cell in product(cells, repeat=nu):
        for now, box in zip(image(starts, list(cell)), starts, strict=True):
            assert now in box, "a step leads out of the box of starts"
    for j, row in enumerate(network["C"]):
        terms = (iv.mpf(c) * z for c, z in zip(row, starts[-len(row) :], strict=True))
        y = sum(terms, iv.mpf(network["b_y"][j][0])) * scaling["y_span"][j] + scaling["y_mid"][j]
        assert y in iv.mpf(tube["whole"][j]), "outputs of the box of starts leave the tube"
    print(f"tube: no input up to |u| ≤ {top:.4g} leads out of its starts, nor of {tube['whole']}")


def through(n, g, j, below, at):
    """How |Δz| of neuron j of gate g of layer n is bounded, a sum over the entries of |z|."""
    W, U = ([abs(iv.mpf(w)) for w in network[f"{n}.{kind}_{g}"][j]] for kind in "WU")
    total = [sum(w * row[k] for w, row in zip(W, below, strict=True)) for k in range(len(D))]
    return [t + (U[k - at] if at <= k < at + len(U) else 0) for k, t in enumerate(total)]


for proof in proofs:
    radius, M = iv.mpf(proof["radius"]), [[iv.mpf(m) for m in row] for row in proof["M"]]
    D, eta = ([iv.mpf(x) for x in proof[key]] for key in ("weights", "eta"))
    size, at = range(len(D)), 0
    states = len(D) - len(eta)
    moved = [j for j, s in enumerate(model["inputs"]) if s.get("kind") != "measured"]
    below = [[iv.mpf(0)] * len(D) for _ in model["inputs"]]
    for j, share in enumerate(eta):
        below[moved[j]][states + j] = share
        reach, move = (iv.mpf(proof[key][j]) for key in ("input_range", "max_move"))
        assert 0 <= share < 1
        assert (1 - share) * reach <= move, "the law breaks a rate limit"
        assert M[states + j] == below[moved[j]], "M does not hold the law"
    for n in range(len(layers)):
        after, nx = [], len(network[f"{n}.U_f"])
        for j in range(nx):
            f, i, o, c = (largest(network, n, g, j, radius) for g in "fioc")
            x_bar = i * c / (1 - f)
            rows = [through(n, g, j, below, at + nx) for g in "fico"]
            x = [x_bar * a / 4 + c * b / 4 + i * d for a, b, d, _ in zip(*rows, strict=True)]
            x[at + j] += f
            after.append([o * a + tanh(x_bar) / 4 * b for a, b in zip(x, rows[3], strict=True)])
            for place, row in ((at + j, x), (at + nx + j, after[-1])):
                assert all(a <= m for a, m in zip(row, M[place], strict=True)), "M is too small"
        below, at = after, at + 2 * nx
    C = [[abs(iv.mpf(w)) for w in row] for row in network["C"]]
    output = [
        [sum(w * b[k] for w, b in zip(row, M[states - nx :], strict=False)) for k in size]
        for row in C
    ]
    priced = [
        *zip(D, M, strict=True),
        *zip(map(iv.mpf, proof["output_price"]), output, strict=True),
    ]
    F = [
        [
            ((1 - iv.mpf(proof["decay"])) * D[a] if a == b else 0)
            - sum(d * row[a] * row[b] for d, row in priced)
            for b in size
        ]
        for a in size
    ]
    for j, price in enumerate(proof["move_price"]):
        F[states + j][states + j] -= iv.mpf(price) * (1 - eta[j]) ** 2
    for k in size:  # LDLᵀ of (1 − δ)D − MᵀDM − L
        assert F[k][k] > 0, "D does not make up for what a sample costs"
        for a in range(k + 1, len(D)):
            F[a] = [x - F[a][k] / F[k][k] * y for x, y in zip(F[a], F[k], strict=True)]
    print("loop: proved, along the terminal law V falls by at least what each sample costs")
