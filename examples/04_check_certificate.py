"""Check a certificate of incremental stability without the package: JSON, interval arithmetic, one
matrix.

    python 04_check_certificate.py model.json certificate-delta_iss.json

For two runs with the same input, |Δχ⁺| ≤ A|Δχ| while |x| ≤ x̄ and |ξ| < 1. If v > 0 and A v ≤
rate·v with rate < 1, then max |Δχ_j|/v_j shrinks by `rate` every step. The model's numbers, v and
rate are exact; the rest is enclosed and rounded outwards."""

import json
import sys
from pathlib import Path

from mpmath import iv

iv.prec = 100
if len(sys.argv) != 3:
    sys.exit("usage: python 04_check_certificate.py model.json certificate-delta_iss.json")


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
