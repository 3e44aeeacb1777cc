"""Check a certificate of signed incremental stability without the package: JSON, interval
arithmetic, one matrix a cell.

    python 07_check_signed_certificate.py model.json certificate-signed_delta_iss.json

Every run enters the box X for good, X is mapped into itself, and on X one quadratic form P shrinks
the difference of two runs with the same input by `rate` a step. The numbers of both files are
exact; everything else is enclosed and rounded outwards."""

import json
import sys
from itertools import pairwise, product
from pathlib import Path

from mpmath import iv

iv.prec = 80
GROWN = iv.mpf([-1, 1]) * 2**-30  # a box a little larger is entered in finite time
VALUE = {"s": lambda t: 1 / (1 + iv.exp(-t)), "t": lambda t: 1 - 2 / (iv.exp(2 * t) + 1)}
SLOPE = {"s": lambda s: s * (1 - s), "t": lambda t: (1 + t) * (1 - t)}  # of the value, concave
PEAK = {"s": iv.mpf(0.5), "t": iv.mpf(0)}  # where the slope is largest: σ = ½, tanh = 0


def hull(items):
    return iv.mpf([min(e.a for e in items), max(e.b for e in items)])


def value(name, z):
    return hull([VALUE[name](iv.mpf(end)) for end in (z.a, z.b)])


def slope(name, s):
    ends = [iv.mpf(s.a), iv.mpf(s.b), *([PEAK[name]] if s.a <= PEAK[name] <= s.b else [])]
    return hull([SLOPE[name](end) for end in ends])


def meet(a, b):
    return [iv.mpf([max(x.a, y.a), min(x.b, y.b)]) for x, y in zip(a, b, strict=True)]


def inside(a, b):
    return all(y.a <= x.a and x.b <= y.b for x, y in zip(a, b, strict=True))


def affine(row, x, b):
    return sum((iv.mpf(w) * e for w, e in zip(row, x, strict=True)), iv.mpf(b))


def gates(n, v, xi):
    """f, i, o, c and the product i c of layer n for its input v and ξ."""
    net = [[network[f"{n}.{kind}_{g}"] for kind in "WUb"] for g in "fioc"]
    z = [[affine(w + u, v + xi, b[0]) for w, u, b in zip(*g, strict=True)] for g in net]
    f, i, o, c = ([value(name, e) for e in g] for name, g in zip("ssst", z, strict=True))
    return f, i, o, c, [a * b for a, b in zip(i, c, strict=True)]


def drawn(acts):
    """Where x⁺ = f x + i c draws x to, whichever of the activations `acts` it meets."""
    x = []
    for j in range(len(acts[0][0])):
        pairs = [(f[j], ic[j]) for f, _, _, _, ic in acts]
        high = [ic.b / (1 - (f.b if ic.b > 0 else f.a)) for f, ic in pairs]
        low = [ic.a / (1 - (f.b if ic.a < 0 else f.a)) for f, ic in pairs]
        x.append(hull(high + low) * (1 + GROWN) + GROWN)
    return x


def after(act, x):
    """x⁺, and ξ⁺ if x⁺ lies in the box x too."""
    x_next = [f * e + d for f, e, d in zip(act[0], x, act[4], strict=True)]
    return x_next, [o * value("t", e) for o, e in zip(act[2], meet(x_next, x), strict=True)]


def positive_definite(A):
    for j in range(len(A)):  # LDLᵀ
        assert A[j][j].a > 0, "a matrix is not proved positive definite"
        for a in range(j + 1, len(A)):
            ratio = A[a][j] / A[j][j]
            for b in range(j + 1, len(A)):
                A[a][b] -= ratio * A[j][b]


def slopes(act, x):
    """d = (f, x f′, c i′, i c′, o tanh′(x⁺), tanh(x⁺) o′), all of them in one list."""
    f, i, o, c, _ = act
    t = [value("t", e) for e in meet(after(act, x)[0], x)]
    pairs = [("s", x, f), ("s", c, i), ("t", i, c), ("t", o, t), ("s", t, o)]
    return f + [a * slope(name, b) for name, A, B in pairs for a, b in zip(A, B, strict=True)]


def form(n, d, lam, P, tau):
    """F = λ² ZᵀPZ − Z₊ᵀPZ₊ − Σ τ (p − l q)(h q − p) in (δx, δξ, p₁ … p₆)."""
    nx = len(d) // 6
    F = [[iv.mpf(0)] * (8 * nx) for _ in range(8 * nx)]
    sums = [[2 * nx + g * nx + j for g in range(4)] for j in range(nx)]  # δx⁺ = p₁ + p₂ + p₃ + p₄
    sums += [[2 * nx + g * nx + j for g in (4, 5)] for j in range(nx)]  # δξ⁺ = p₅ + p₆
    for a, b in product(range(2 * nx), repeat=2):
        F[a][b] += lam**2 * P[a][b]
        for r, s in product(sums[a], sums[b]):
            F[r][s] -= P[a][b]
    for k, (slopes, told) in enumerate(zip(d, tau, strict=True)):
        p, T, low, high = 2 * nx + k, iv.mpf(told), iv.mpf(slopes.a), iv.mpf(slopes.b)
        g, j = divmod(k, nx)
        q = {0: [(j, 1)], 4: [(r, 1) for r in sums[j]]}.get(g)  # δx and δx⁺, else U δξ
        q = q or [(nx + m, w) for m, w in enumerate(network[f"{n}.U_{'_fic_o'[g]}"][j])]
        F[p][p] += T
        for r, w in q:
            F[p][r] -= T * (low + high) / 2 * w
            F[r][p] -= T * (low + high) / 2 * w
            for s, more in q:
                F[r][s] += T * low * high * iv.mpf(w) * more
    return F


model, certificate = (json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:3])
network, radius = model["network"], model["scaling"]["radius"]
witness = certificate["constants"]["witness"]
assert certificate["condition"] == "signed_delta_iss"
assert certificate["radius"] == radius
sizes = [len(network[f"{n}.U_f"]) for n in range(len(witness["forms"]))]
assert f"{len(sizes)}.U_f" not in network, "a layer has no form"
X = [iv.mpf(ends) for ends in witness["box"]]
at = [2 * sum(sizes[:n]) for n in range(len(sizes))]
boxes = [(X[k : k + nx], X[k + nx : k + 2 * nx]) for k, nx in zip(at, sizes, strict=True)]
for edges in witness["fine"] + witness["edges"]:
    assert edges[0] <= -radius, "the cells do not cover the inputs"
    assert edges[-1] >= radius, "the cells do not cover the inputs"
grids = [product(*(list(pairwise(e)) for e in witness[name])) for name in ("fine", "edges")]
fine, cells = ([list(map(iv.mpf, cell)) for cell in grid] for grid in grids)

hidden, entered, shrinks = [[iv.mpf([-1, 1])] * nx for nx in sizes], False, True
while shrinks and not entered:  # ξ in a box draws x into a box, which sends ξ into a smaller box
    below, entered, shrinks = fine, True, False
    for n, xi in enumerate(hidden):
        acts = [gates(n, v, xi) for v in below]
        x = drawn(acts)
        entered &= inside(x, boxes[n][0]) and inside(xi, boxes[n][1])
        below = [after(act, x)[1] for act in acts]
        hidden[n] = meet([hull(e) for e in zip(*below, strict=True)], xi)
        shrinks |= any(e.delta < (1 - 1e-6) * d.delta for e, d in zip(hidden[n], xi, strict=True))
assert entered, "entry into X is not proved"

below = fine
for n, (x, xi) in enumerate(boxes):
    acts = [gates(n, v, xi) for v in below]
    assert all(inside(after(act, x)[0], x) for act in acts), "X is not mapped into itself"
    below = [after(act, x)[1] for act in acts]
    assert all(inside(e, xi) for e in below), "X is not mapped into itself"

below = cells
for n, ((x, xi), told) in enumerate(zip(boxes, witness["forms"], strict=True)):
    P = [[iv.mpf(e) for e in row] for row in told["P"]]
    assert told["P"] == [list(row) for row in zip(*told["P"], strict=True)], "P is not symmetric"
    assert 0 < told["rate"] < 1, f"layer {n + 1}: the rate is not below 1"
    positive_definite([row[:] for row in P])
    acts = [gates(n, v, xi) for v in below]
    for act, tau in zip(acts, told["tau"], strict=True):
        assert min(tau) >= 0, "a multiplier is negative"
        positive_definite(form(n, slopes(act, x), iv.mpf(told["rate"]), P, tau))
    below = [after(act, x)[1] for act in acts]
    rate = f"{told['rate']:.6f}"
    print(
        f"layer {n + 1}: proved, two runs approach each other by a factor {rate} per step in |.|_P"
    )
