"""Check a certificate of incremental stability, and a proof of the loop, without the package: JSON,
interval arithmetic, one matrix.

    python 04_check_certificate.py model.json certificate-delta_iss.json [loop-proof.json]

For two runs with the same input, |Δχ⁺| ≤ A|Δχ| while |x| ≤ x̄ and |ξ| < 1. If v > 0 and A v ≤
rate·v with rate < 1, then max |Δχ_j|/v_j shrinks by `rate` every step. The model's numbers, v and
rate are exact; the rest is enclosed and rounded outwards.

The proof of the loop: under the terminal law |z⁺| ≤ M|z| for z = (χ − χ̄, u₋ − ū), it keeps the rate
limits, and D − MᵀDM exceeds what z costs, so the end of a plan falls by at least that."""

import json
import sys
from pathlib import Path

from mpmath import iv

iv.prec = 100
if len(sys.argv) not in (3, 4):
    sys.exit("usage: python 04_check_certificate.py model.json certificate.json [loop-proof.json]")


def tanh(z):
    return 1 - 2 / (iv.exp(2 * z) + 1)


def largest(n, g, j):
    """Neuron j of gate g of layer n at its largest: |u| ≤ radius (1 above the first layer), |ξ| ≤
    1; the bias of σ keeps its sign."""
    W, U, b = (network[f"{n}.{kind}_{g}"][j] for kind in "WUb")
    total = (radius if n == 0 else iv.mpf(1)) * sum(abs(iv.mpf(w)) for w in W) + sum(
        abs(iv.mpf(w)) for w in U
    )
    return (
        tanh(total + abs(iv.mpf(b[0]))) if g == "c" else 1 / (1 + iv.exp(-(total + iv.mpf(b[0]))))
    )


model, certificate = (json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:3])
proof = json.loads(Path(sys.argv[3]).read_text(encoding="utf-8")) if sys.argv[3:] else None
network, radius = model["network"], iv.mpf(model["scaling"]["radius"])
layers, witnesses = certificate["constants"]["layers"], certificate["constants"]["witnesses"]
assert certificate["condition"] == "delta_iss"
assert certificate["radius"] == model["scaling"]["radius"]
assert len(layers) == len(witnesses) == sum(name.endswith("U_f") for name in network)

for n, (told, v) in enumerate(zip(layers, witnesses, strict=True)):
    nx, rate, v = len(network[f"{n}.U_f"]), iv.mpf(told["rate"]), [iv.mpf(entry) for entry in v]
    assert len(v) == 2 * nx
    assert all(entry > 0 for entry in v), f"layer {n + 1}: v is not positive"
    assert 0 < rate < 1, f"layer {n + 1}: the rate is not below 1"
    size = {g: [[abs(iv.mpf(w)) for w in row] for row in network[f"{n}.U_{g}"]] for g in "fioc"}
    for j in range(nx):
        f, i, o, c = (largest(n, g, j) for g in "fioc")
        x_bar = i * c / (1 - f)
        R = [
            x_bar * size["f"][j][k] / 4 + i * size["c"][j][k] + c * size["i"][j][k] / 4
            for k in range(nx)
        ]
        x_next = f * v[j] + sum(R[k] * v[nx + k] for k in range(nx))
        xi_next = o * x_next + tanh(x_bar) / 4 * sum(size["o"][j][k] * v[nx + k] for k in range(nx))
        assert x_next <= rate * v[j], f"layer {n + 1}: A v ≤ rate·v fails in row {j + 1}"
        assert xi_next <= rate * v[nx + j], f"layer {n + 1}: A v ≤ rate·v fails in row {nx + j + 1}"
    print(
        f"layer {n + 1}: proved, two runs with the same input approach each other by a factor"
        f" {told['rate']:.6f} per step"
    )


def through(n, g, j, below, at):
    """How |Δz| of neuron j of gate g of layer n is bounded, a sum over the entries of |z|."""
    W, U = ([abs(iv.mpf(w)) for w in network[f"{n}.{kind}_{g}"][j]] for kind in "WU")
    total = [sum(w * row[k] for w, row in zip(W, below, strict=True)) for k in range(len(D))]
    return [t + (U[k - at] if at <= k < at + len(U) else 0) for k, t in enumerate(total)]


if proof:
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
            f, i, o, c = (largest(n, g, j) for g in "fioc")
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
        [(D[a] if a == b else 0) - sum(d * row[a] * row[b] for d, row in priced) for b in size]
        for a in size
    ]
    for j, price in enumerate(proof["move_price"]):
        F[states + j][states + j] -= iv.mpf(price) * (1 - eta[j]) ** 2
    for k in size:  # LDLᵀ of D − MᵀDM − L
        assert F[k][k] > 0, "D does not make up for what a sample costs"
        for a in range(k + 1, len(D)):
            F[a] = [x - F[a][k] / F[k][k] * y for x, y in zip(F[a], F[k], strict=True)]
    print("loop: proved, along the terminal law V falls by at least what each sample costs")
