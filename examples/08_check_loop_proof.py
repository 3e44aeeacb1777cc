"""Check a proof of the closed loop without the package; first the certificate that it builds on.

    python 08_check_loop_proof.py model.json certificate-delta_iss.json loop-proof.json

Under the terminal law |z⁺| ≤ M|z| for z = (χ − χ̄, u₋ − ū), it keeps the rate limits, and D − MᵀDM
exceeds what z costs, so the end of a plan falls by at least that."""

import json
import runpy
import sys
from pathlib import Path

from mpmath import iv

if len(sys.argv) != 4:
    sys.exit("usage: python 08_check_loop_proof.py model.json certificate.json loop-proof.json")
first = runpy.run_path(str(Path(__file__).with_name("04_check_certificate.py")))
model, network, depth, gates, tanh = (
    first[name] for name in ("model", "network", "depth", "gates", "tanh")
)
proof = json.loads(Path(sys.argv[3]).read_text(encoding="utf-8"))
M = [[iv.mpf(m) for m in row] for row in proof["M"]]
D, eta = ([iv.mpf(x) for x in proof[key]] for key in ("weights", "eta"))
size, states, ball = range(len(D)), len(D) - len(eta), iv.mpf([-1, 1])


def through(n, g, j, below, at):
    """How |Δz| of neuron j of gate g of layer n is bounded, a sum over the entries of |z|."""
    W, U = ([abs(iv.mpf(w)) for w in network[f"{n}.{kind}_{g}"][j]] for kind in "WU")
    total = [sum(w * row[k] for w, row in zip(W, below, strict=True)) for k in size]
    return [t + (U[k - at] if at <= k < at + len(U) else 0) for k, t in enumerate(total)]


moved = [j for j, s in enumerate(model["inputs"]) if s.get("kind") != "measured"]
below, at = [[iv.mpf(0)] * len(D) for _ in model["inputs"]], 0
for j, share in enumerate(eta):
    below[moved[j]][states + j] = share
    reach, move = (iv.mpf(proof[key][j]) for key in ("input_range", "max_move"))
    assert 0 <= share < 1
    assert (1 - share) * reach <= move, "the law breaks a rate limit"
    assert M[states + j] == below[moved[j]], "M does not hold the law"
for n in range(depth):
    after, nx = [], len(network[f"{n}.U_f"])
    box = [ball if n else ball * proof["radius"]] * len(below) + [ball] * nx
    for j, act in enumerate(zip(*gates(network, n, box), strict=True)):
        f, i, o, c = (iv.mpf(abs(gate).b) for gate in act)
        x_bar = i * c / (1 - f)
        rows = [through(n, g, j, below, at + nx) for g in "fico"]
        x = [x_bar * a / 4 + c * b / 4 + i * d for a, b, d, _ in zip(*rows, strict=True)]
        x[at + j] += f
        after.append([o * a + tanh(x_bar) / 4 * b for a, b in zip(x, rows[3], strict=True)])
        for place, row in ((at + j, x), (at + nx + j, after[-1])):
            assert all(a <= m for a, m in zip(row, M[place], strict=True)), "M is too small"
    below, at = after, at + 2 * nx
C = [[abs(iv.mpf(w)) for w in row] for row in network["C"]]
last = M[states - nx : states]
output = [[sum(w * b[k] for w, b in zip(row, last, strict=True)) for k in size] for row in C]
price = map(iv.mpf, proof["output_price"])
priced = [*zip(D, M, strict=True), *zip(price, output, strict=True)]
F = [[-sum(d * row[a] * row[b] for d, row in priced) for b in size] for a in size]
for a in size:
    F[a][a] += (1 - iv.mpf(proof["decay"])) * D[a]
for j, price in enumerate(proof["move_price"]):
    F[states + j][states + j] -= iv.mpf(price) * (1 - eta[j]) ** 2
for k in size:  # LDLᵀ of (1 − δ)D − MᵀDM − L
    assert F[k][k] > 0, "D does not make up for what a sample costs"
    for a in range(k + 1, len(D)):
        F[a] = [x - F[a][k] / F[k][k] * y for x, y in zip(F[a], F[k], strict=True)]
print("loop: proved, along the terminal law V falls by at least what each sample costs")
