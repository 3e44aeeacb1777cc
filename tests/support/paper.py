"""The oracle: the paper's equations retyped in plain loops with the math module only, sharing
nothing with the package.

A layer is a dict of nested lists, {"W_f": …, "U_f": …, "b_f": …, …, "b_c": …}; a matrix is a list
of rows."""

import math

# -- eq. (2): the network --------------------------------------------------------------------------


def sigma(t):
    """σ_g, without overflow."""
    return 1.0 / (1.0 + math.exp(-t)) if t >= 0 else math.exp(t) / (1.0 + math.exp(t))


def affine(layer, g, u, xi):
    """W_g u + U_g ξ + b_g."""
    W, U, b = layer[f"W_{g}"], layer[f"U_{g}"], layer[f"b_{g}"]
    pre = []
    for j in range(len(b)):
        total = b[j]
        for k in range(len(u)):
            total += W[j][k] * u[k]
        for k in range(len(xi)):
            total += U[j][k] * xi[k]
        pre.append(total)
    return pre


def layer_step(layer, x, xi, u):
    """(2a), (2b) of one layer: (x⁺, ξ⁺)."""
    f, i, c, o = (affine(layer, g, u, xi) for g in "fico")
    x_next = [sigma(f[j]) * x[j] + sigma(i[j]) * math.tanh(c[j]) for j in range(len(x))]
    return x_next, [sigma(o[j]) * math.tanh(x_next[j]) for j in range(len(x))]


def lstm_step(layers, chi, u, *, updated=True):
    """χ⁺ of a stack, χ = [x₁; ξ₁; x₂; ξ₂; …]. Layer ℓ+1 reads the updated ξ⁺ of layer ℓ;
    `updated=False` is the other convention, kept to show that the difference is seen."""
    at, below, after = 0, u, []
    for layer in layers:
        nx = len(layer["b_f"])
        x, xi = chi[at : at + nx], chi[at + nx : at + 2 * nx]
        x_next, xi_next = layer_step(layer, x, xi, below)
        after += x_next + xi_next
        below = xi_next if updated else xi
        at += 2 * nx
    return after


def lstm_output(layers, C, b_y, chi):
    """(2c): y = C ξ + b_y, ξ of the last layer."""
    xi = chi[len(chi) - len(layers[-1]["b_f"]) :]
    return [b_y[j] + sum(C[j][k] * xi[k] for k in range(len(xi))) for j in range(len(b_y))]


def lstm_run(layers, C, b_y, chi, inputs):
    """Outputs y(0) … y(N−1) and states χ(0) … χ(N)."""
    outputs, states = [], [list(chi)]
    for u in inputs:
        outputs.append(lstm_output(layers, C, b_y, states[-1]))
        states.append(lstm_step(layers, states[-1], u))
    return outputs, states


# -- condition (7) ---------------------------------------------------------------------------------


def row_norm(layer, g, radius):
    """‖[radius·W_g U_g b_g]‖∞."""
    largest = 0.0
    for W, U, b in zip(layer[f"W_{g}"], layer[f"U_{g}"], layer[f"b_{g}"], strict=True):
        largest = max(largest, sum(radius * abs(w) for w in W) + sum(abs(w) for w in U) + abs(b))
    return largest


def column_norm(M):
    """‖M‖₁."""
    return max(sum(abs(row[k]) for row in M) for k in range(len(M[0])))


def condition_7(layer, radius=1.0):
    """Both left sides of (7)."""
    s_f, s_i, s_o = (sigma(row_norm(layer, g, radius)) for g in "fio")
    return (1.0 + s_o) * s_f, (1.0 + s_o) * s_i * column_norm(layer["U_c"])


def stack_margin(layers, radius=1.0):
    """δ of a stack (Remark 6): above the first layer the input is ξ, |ξ| < 1."""
    return min(
        1.0 - v
        for n, layer in enumerate(layers)
        for v in condition_7(layer, radius if n == 0 else 1.0)
    )


# -- the other conditions (theory.md, sections 2 and 3; Terzi et al. 2021) -------------------------


def transposed(M):
    return [[row[k] for row in M] for k in range(len(M[0]))]


def product(A, B):
    return [[sum(row[k] * B[k][j] for k in range(len(B))) for j in range(len(B[0]))] for row in A]


def spectral_radius(M):
    """ρ(M) = lim ‖M^m‖^(1/m) (Gelfand) over m = 1, 2, 4, …, 2^44; the scale is kept apart. Periodic
    and defective M do no harm."""
    logarithm, weight = 0.0, 1.0
    for _ in range(45):
        size = max(abs(m) for row in M for m in row)
        if size == 0.0:
            return 0.0
        logarithm += weight * math.log(size)
        M = [[m / size for m in row] for row in M]
        M, weight = product(M, M), weight / 2.0
    return math.exp(logarithm)


def induced_norm(M, p):
    """‖M‖_p, p ∈ {"1", "2", "inf"}; ‖M‖₂ = √ρ(MᵀM)."""
    if p == "2":
        return math.sqrt(spectral_radius(product(transposed(M), M)))
    return column_norm(M if p == "1" else transposed(M))


def gate_bounds(layer, radius):
    """Per gate and neuron the largest |activation| for |u| ≤ radius, |ξ| ≤ 1; the biases of f, i, o
    keep their sign."""
    tops = {}
    for g in "fioc":
        sums = [
            radius * sum(map(abs, W)) + sum(map(abs, U))
            for W, U in zip(layer[f"W_{g}"], layer[f"U_{g}"], strict=True)
        ]
        pairs = list(zip(sums, layer[f"b_{g}"], strict=True))
        tops[g] = (
            [math.tanh(s + abs(b)) for s, b in pairs]
            if g == "c"
            else [sigma(s + b) for s, b in pairs]
        )
    return tops


def x_bar(layer, radius):
    """|x_j| ≤ i_j c_j / (1 − f_j), the set on which the incremental conditions hold."""
    t = gate_bounds(layer, radius)
    return [t["i"][j] * t["c"][j] / (1.0 - t["f"][j]) for j in range(len(t["f"]))]


def weighted_matrix(layer, radius):
    """F + I|U_c|O."""
    t, U = gate_bounds(layer, radius), layer["U_c"]
    every = range(len(U))
    return [
        [(t["f"][j] if j == k else 0.0) + t["i"][j] * abs(U[j][k]) * t["o"][k] for k in every]
        for j in every
    ]


def delta_matrix(layer, radius):
    """Â: |Δx⁺| ≤ F|Δx| + R|Δξ|, |Δξ⁺| ≤ O|Δx⁺| + ¼ diag(tanh x̄)|U_o||Δξ|."""
    t, top = gate_bounds(layer, radius), x_bar(layer, radius)
    every, rows, below = range(len(top)), [], []
    for j in every:
        R = []
        for k in every:
            r = (
                top[j] * abs(layer["U_f"][j][k]) / 4.0
                + t["i"][j] * abs(layer["U_c"][j][k])
                + t["c"][j] * abs(layer["U_i"][j][k]) / 4.0
            )
            R.append(r)
        own = [t["f"][j] if j == k else 0.0 for k in every]
        rows.append(own + R)
        through = [math.tanh(top[j]) * abs(layer["U_o"][j][k]) / 4.0 for k in every]
        below.append(
            [t["o"][j] * own[k] for k in every] + [t["o"][j] * R[k] + through[k] for k in every]
        )
    return rows + below


def weighted_scalar(layer, radius, p):
    """s_F + s_O s_I ‖U_c‖_p."""
    f, i, o = (max(gate_bounds(layer, radius)[g]) for g in "fio")
    return f + o * i * induced_norm(layer["U_c"], p)


def delta_scalar(layer, radius, p):
    """s_F + α s_O + ¼ φ_X ‖U_o‖_p (1 − s_F), x̄ from the scalar bounds."""
    f, i, o, c = (max(gate_bounds(layer, radius)[g]) for g in "fioc")
    size = {g: induced_norm(layer[f"U_{g}"], p) for g in "fioc"}
    top = i * c / (1.0 - f)
    alpha = size["f"] * top / 4.0 + i * size["c"] + c * size["i"] / 4.0
    return f + alpha * o + math.tanh(top) * size["o"] / 4.0 * (1.0 - f)


# -- the signed condition (theory.md, section 9) ---------------------------------------------------


def slopes(layer, x, xi, u):
    """d = (f, x f′, c i′, i c′, o tanh′(x⁺), tanh(x⁺) o′), each a list, at one point."""
    z = {g: affine(layer, g, u, xi) for g in "fioc"}
    every = range(len(x))
    f, i, o = ([sigma(t) for t in z[g]] for g in "fio")
    c = [math.tanh(t) for t in z["c"]]
    after = [math.tanh(f[j] * x[j] + i[j] * c[j]) for j in every]
    return [
        f,
        [x[j] * f[j] * (1.0 - f[j]) for j in every],
        [c[j] * i[j] * (1.0 - i[j]) for j in every],
        [i[j] * (1.0 - c[j] ** 2) for j in every],
        [o[j] * (1.0 - after[j] ** 2) for j in every],
        [after[j] * o[j] * (1.0 - o[j]) for j in every],
    ]


def image(layer, d, delta):
    """The derivative of the step in the direction `delta` = (δx, δξ), with the slopes d."""
    nx = len(d[0])
    dx, dxi = delta[:nx], delta[nx:]
    through = {
        g: [sum(row[k] * dxi[k] for k in range(nx)) for row in layer[f"U_{g}"]] for g in "fioc"
    }
    upper = [
        d[0][j] * dx[j]
        + d[1][j] * through["f"][j]
        + d[2][j] * through["i"][j]
        + d[3][j] * through["c"][j]
        for j in range(nx)
    ]
    return upper + [d[4][j] * upper[j] + d[5][j] * through["o"][j] for j in range(nx)]


def quadratic(M, v):
    """vᵀM v."""
    return math.fsum(v[a] * M[a][b] * v[b] for a in range(len(v)) for b in range(len(v)))


def signed_form(layer, rate, P, tau, bounds, delta, p):
    """λ²|(δx, δξ)|²_P − |(δx⁺, δξ⁺)|²_P − Σ τ (p − l q)(h q − p) for given `delta` and p, six
    lists. `bounds` are six lists of (l, h), `tau` six lists."""
    nx = len(p[0])
    dx, dxi = delta[:nx], delta[nx:]
    through = {
        g: [sum(row[k] * dxi[k] for k in range(nx)) for row in layer[f"U_{g}"]] for g in "fioc"
    }
    upper = [p[0][j] + p[1][j] + p[2][j] + p[3][j] for j in range(nx)]
    lower = [p[4][j] + p[5][j] for j in range(nx)]
    q = [dx, through["f"], through["i"], through["c"], upper, through["o"]]
    total = rate**2 * quadratic(P, delta) - quadratic(P, upper + lower)
    for g in range(6):
        for j in range(nx):
            low, high = bounds[g][j]
            total -= tau[g][j] * (p[g][j] - low * q[g][j]) * (high * q[g][j] - p[g][j])
    return total


def condition(layer, name, radius):
    """The number that must lie below 1; for the elementwise conditions the spectral radius."""
    if name == "iss":
        return max(condition_7(layer, radius))
    if name == "weighted_iss":
        return spectral_radius(weighted_matrix(layer, radius))
    if name == "delta_iss":
        return spectral_radius(delta_matrix(layer, radius))
    family, p = name.rsplit("_", 1)
    return {"weighted_iss": weighted_scalar, "delta_iss": delta_scalar}[family](layer, radius, p)


def worst(layers, name, radius=1.0):
    """The largest number of a stack; stable when it is below 1."""
    return max(condition(layer, name, radius if n == 0 else 1.0) for n, layer in enumerate(layers))


def lyapunov(x, xi):
    """(16): V(χ) = |x|₁ + |ξ|₁."""
    return sum(abs(v) for v in x) + sum(abs(v) for v in xi)


def norm_2(v):
    return math.sqrt(sum(x * x for x in v))


# -- eqs. (11), (12) -------------------------------------------------------------------------------


def scenario_count(epsilon, beta, d):
    """(11)."""
    return math.ceil(2.0 / epsilon * (math.log(1.0 / beta) + d))


def binomial_tail(N, epsilon, d):
    """Σ_{i<d} C(N,i) ε^i (1−ε)^(N−i)."""
    return math.fsum(math.comb(N, i) * epsilon**i * (1.0 - epsilon) ** (N - i) for i in range(d))


def fit(y, estimate):
    """(12) of one output, in %."""
    error = [a - b for a, b in zip(y, estimate, strict=True)]
    return 100.0 * (1.0 - norm_2(error) / norm_2(y))


# -- the pH plant (Hall & Seborg 1989, Henson & Seborg 1994) ---------------------------------------

FEEDS = ((3.0e-3, 0.0), (-3.0e-2, 3.0e-2), (-3.05e-3, 5.0e-5))  # (Wa, Wb) of q1, q2, q3 [mol/L]


def ph_rates(state, q1, q2, q3):
    """Time derivatives of (Wa4, Wb4, h1)."""
    Wa, Wb, h = state
    q = (q1, q2, q3)
    volume = 207.0 * h
    rate_a = sum(q[j] * (FEEDS[j][0] - Wa) for j in range(3)) / volume
    rate_b = sum(q[j] * (FEEDS[j][1] - Wb) for j in range(3)) / volume
    return [rate_a, rate_b, (sum(q) - 4.59 * (h + 11.5) ** 0.607) / 207.0]


def charge_balance(Wa, Wb, pH):
    """0 at the pH of the mixture; strictly increasing in pH."""
    carbonate = (1.0 + 2.0 * 10.0 ** (pH - 10.25)) / (
        1.0 + 10.0 ** (6.35 - pH) + 10.0 ** (pH - 10.25)
    )
    return Wa + 10.0 ** (pH - 14.0) - 10.0 ** (-pH) + Wb * carbonate


def acidity(Wa, Wb):
    """The root of the charge balance by bisection, to the last bit."""
    low, high = 0.0, 14.0
    while True:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            return middle
        if charge_balance(Wa, Wb, middle) > 0.0:
            high = middle
        else:
            low = middle
