"""Stability conditions of the LSTM, each formula once: a CasADi expression that certifies,
constrains training, and is proved.

A condition is a function of (layer, norm, radius) that yields named quantities, each of which must
lie below 1. `norm` offers four operations, from which everything is built: `absolute` (entrywise
|W|), `largest` (of a vector), `spectral` (‖M‖₂) and `positive` (a vector v > 0 for a nonnegative
matrix). `Exact` takes the norms themselves; training takes slacks that bound them from above. All
quantities rise with every |weight| of W and U and with every bound, so that any upper bound is
sound.

Layers compose as a cascade (Remark 6): layer ℓ+1 is driven by ξ⁺ of layer ℓ alone, which lies in
(−1, 1) like an input. If every layer is stable for |input| ≤ its radius, so is the stack:
boundedness is inherited because the bound of each layer holds for *any* such input; and for two
runs with the same input the difference of layer 1 decays at its rate λ₁, so the difference of layer
2 obeys |Δ₂⁺| ≤ Â₂|Δ₂| + B₂|Δ₁⁺| with a decaying drive, and so on: the stacked comparison matrix is
block triangular and its rate is the largest λ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import casadi as ca
import numpy as np

from lstm_mpc.certificates.norms import Exact, Norm, Numbers
from lstm_mpc.errors import InputError
from lstm_mpc.model import lstm
from lstm_mpc.plants.system import Array

# -- bounds of the gates ---------------------------------------------------------------------------


def row_sums(layer: lstm.Layer, g: str, norm: Norm, radius: float) -> Any:
    """Row sums of |[radius·W_g  U_g]|, (nx, 1)."""
    return radius * ca.sum2(norm.absolute(layer, f"W_{g}")) + ca.sum2(
        norm.absolute(layer, f"U_{g}")
    )


def gate_rows(layer: lstm.Layer, g: str, norm: Norm, radius: float) -> Any:
    """Row sums of |[radius·W_g  U_g  b_g]|, (nx, 1), as the paper takes them."""
    return row_sums(layer, g, norm, radius) + norm.absolute(layer, f"b_{g}")


def gate_bounds(layer: lstm.Layer, g: str, norm: Norm, radius: float) -> Any:
    """The largest |activation| of every neuron of gate g while |u| ≤ radius, |ξ| ≤ 1, (nx, 1).

    For the sigmoid gates the bias keeps its sign, f_j = σ(Σ|·| + b_j), which is tighter than the
    paper's and may fall below ½."""
    if g == "c":
        return lstm.tanh(gate_rows(layer, g, norm, radius))
    return lstm.sigmoid(row_sums(layer, g, norm, radius) + getattr(layer, f"b_{g}"))


def invariant_bound(f: Any, i: Any, c: Any) -> Any:
    """x̄ = i c/(1 − f): every trajectory enters |x| ≤ x̄ and never leaves it, since |x⁺| ≤ f|x| + i
    c. Of numbers, arrays and expressions."""
    return i * c / (1 - f)


def gate_numbers(layer: lstm.Layer, radius: float) -> dict[str, Array]:
    """The bounds of the gates f, i, o, c in floating point, each (nx,), and x̄ as `x_bar`."""
    bounds = {
        g: np.asarray(ca.DM(gate_bounds(layer, g, Numbers(), radius))).ravel() for g in lstm.GATES
    }
    with np.errstate(divide="ignore"):  # a gate that never forgets bounds nothing: x̄ = ∞
        x_bar = invariant_bound(bounds["f"], bounds["i"], bounds["c"])
    return {**bounds, "x_bar": x_bar}


def induced(layer: lstm.Layer, name: str, norm: Norm, p: str) -> Any:
    """The induced norm ‖M‖_p of a parameter, p ∈ {"1", "2", "inf"}."""
    if p == "2":
        return norm.spectral(layer, name)
    sums = (
        ca.sum1(norm.absolute(layer, name)).T if p == "1" else ca.sum2(norm.absolute(layer, name))
    )
    return norm.largest(sums)


# -- the conditions --------------------------------------------------------------------------------

Condition = Callable[[lstm.Layer, Norm, float], dict[str, Any]]


def iss(layer: lstm.Layer, norm: Norm, radius: float) -> dict[str, Any]:
    """Condition (7), Theorem 4: (1+σ_O)σ_F < 1 and (1+σ_O)σ_I ‖U_c‖₁ < 1, with σ_G = σ(‖[radius·W_g
    U_g b_g]‖∞).

    Input-to-state stability with V = |x|₁ + |ξ|₁. It bounds the state; it does not make two runs
    meet."""
    s_f, s_i, s_o = (lstm.sigmoid(norm.largest(gate_rows(layer, g, norm, radius))) for g in "fio")
    return {
        "(1+σO)σF": (1 + s_o) * s_f,
        "(1+σO)σI‖Uc‖₁": (1 + s_o) * s_i * induced(layer, "U_c", norm, "1"),
    }


def weighted_iss_norm(layer: lstm.Layer, norm: Norm, radius: float, *, p: str) -> dict[str, Any]:
    """s_F + s_O s_I ‖U_c‖_p < 1 (Terzi et al. 2021), s_G the largest entry of `gate_bounds`: ISS
    with a weighted V. (7) implies it for p = 1.

    |x⁺| ≤ s_F|x| + s_I|c|, |ξ⁺| ≤ s_O|x⁺| and |c| ≤ ‖U_c‖|ξ| + …: the 2×2 comparison matrix [s_F,
    s_I‖U_c‖; s_O s_F, s_O s_I‖U_c‖] has rank one and spectral radius s_F + s_O s_I‖U_c‖."""
    s_f, s_i, s_o = (norm.largest(gate_bounds(layer, g, norm, radius)) for g in "fio")
    return {f"sF + sO sI‖Uc‖{p}": s_f + s_o * s_i * induced(layer, "U_c", norm, p)}


def weighted_iss(layer: lstm.Layer, norm: Norm, radius: float) -> dict[str, Any]:
    """ρ(F + I|U_c|O) < 1 with F = diag f_j, …: the elementwise form, as (F + I|U_c|O) v < v for
    some v > 0."""
    f, i, o = (gate_bounds(layer, g, norm, radius) for g in "fio")
    matrix = ca.diag(f) + ca.mtimes([ca.diag(i), norm.absolute(layer, "U_c"), ca.diag(o)])
    return _growth(matrix, norm, "F + I|Uc|O")


def delta_iss_norm(layer: lstm.Layer, norm: Norm, radius: float, *, p: str) -> dict[str, Any]:
    """s_F + α s_O + ¼ φ_X ‖U_o‖_p (1 − s_F) < 1 with α = ¼‖U_f‖_p x̄ + s_I‖U_c‖_p + ¼ φ_C‖U_i‖_p:
    incremental ISS in the p-norm.

    Equivalent to ρ(A_δ) < 1 for A_δ = [s_F, α; s_O s_F, α s_O + ¼ φ_X‖U_o‖]; valid where |x|∞ ≤ x̄
    = s_I φ_C/(1 − s_F), a set which every trajectory enters exponentially."""
    s_f, s_i, s_o, c = (norm.largest(gate_bounds(layer, g, norm, radius)) for g in "fioc")
    x_bar = invariant_bound(s_f, s_i, c)
    U_f, U_i, U_o, U_c = (induced(layer, f"U_{g}", norm, p) for g in "fioc")
    alpha = 0.25 * U_f * x_bar + s_i * U_c + 0.25 * c * U_i
    return {
        f"sF + α sO + ¼φX‖Uo‖{p}(1−sF)": (
            s_f + alpha * s_o + 0.25 * lstm.tanh(x_bar) * U_o * (1 - s_f)
        )
    }


def delta_iss(layer: lstm.Layer, norm: Norm, radius: float) -> dict[str, Any]:
    """ρ(Â) < 1, elementwise incremental ISS, as Âv < v for some v > 0: two runs with the same input
    meet.

    For two states with |x_j| ≤ x̄_j = i_j c_j/(1 − f_j) and |ξ| ≤ 1, since σ has slope at most ¼
    and tanh at most 1,
        |Δx⁺| ≤ F|Δx| + R|Δξ|,  R = ¼ diag(x̄)|U_f| + I|U_c| + ¼ diag(c)|U_i|
        |Δξ⁺| ≤ O|Δx⁺| + ¼ diag(tanh x̄)|U_o||Δξ|
    so |Δχ⁺| ≤ Â|Δχ|, and max_j |Δχ_j|/v_j shrinks by λ = max_j (Âv)_j/v_j each step.
    """
    matrix = comparison(layer, norm, radius)
    return _growth(matrix, norm, "Â")


def comparison(layer: lstm.Layer, norm: Norm, radius: float) -> Any:
    """Â of `delta_iss`, (2nx, 2nx), nonnegative."""
    f, i, o, c = (gate_bounds(layer, g, norm, radius) for g in "fioc")
    U_f, U_i, U_o, U_c = (norm.absolute(layer, f"U_{g}") for g in "fioc")
    x_bar = invariant_bound(f, i, c)
    R = (
        ca.mtimes(ca.diag(0.25 * x_bar), U_f)
        + ca.mtimes(ca.diag(i), U_c)
        + ca.mtimes(ca.diag(0.25 * c), U_i)
    )
    below = ca.mtimes(ca.diag(o), R) + ca.mtimes(ca.diag(0.25 * lstm.tanh(x_bar)), U_o)
    return ca.vertcat(ca.horzcat(ca.diag(f), R), ca.horzcat(ca.diag(o * f), below))


def _growth(matrix: Any, norm: Norm, name: str) -> dict[str, Any]:
    v = norm.positive(matrix)
    growth = ca.mtimes(matrix, v) / v
    return {f"({name} v)/v, row {j + 1}": growth[j, :] for j in range(matrix.shape[0])}


CONDITIONS: dict[str, Condition] = {
    "iss": iss,
    "weighted_iss": weighted_iss,
    "delta_iss": delta_iss,
    **{f"weighted_iss_{p}": partial(weighted_iss_norm, p=p) for p in ("1", "2", "inf")},
    **{f"delta_iss_{p}": partial(delta_iss_norm, p=p) for p in ("1", "2", "inf")},
}

SIGNED = "signed_delta_iss"  # no formula of norms but a matrix inequality, see `signed`
NAMES = (*CONDITIONS, SIGNED)
INCREMENTAL = tuple(name for name in NAMES if "delta_iss" in name)

# Condition -> the conditions it implies at once; tests hold the table, the docs print it.
IMPLIES: dict[str, tuple[str, ...]] = {
    "iss": ("weighted_iss_1",),
    "weighted_iss_1": ("weighted_iss",),
    "weighted_iss_inf": ("weighted_iss",),
    "delta_iss": ("weighted_iss", SIGNED),
    "delta_iss_1": ("weighted_iss_1", "delta_iss"),
    "delta_iss_2": ("weighted_iss_2", SIGNED),
    "delta_iss_inf": ("weighted_iss_inf", "delta_iss"),
}


def check_name(name: str) -> None:
    """InputError unless `name` is a condition."""
    if name not in NAMES:
        raise InputError(f"unknown stability condition {name!r:.60}; known: {', '.join(NAMES)}")


def serves(name: str, asked: str) -> bool:
    """Whether a proof of condition `name` is one of what `asked` claims: it is the same, implies
    it, or both say that two runs with the same input meet."""
    alike = name == asked or (name in INCREMENTAL and asked in INCREMENTAL)
    return alike or any(serves(weaker, asked) for weaker in IMPLIES.get(name, ()))


def condition(name: str) -> Condition:
    """The formula of condition `name`."""
    check_name(name)
    if name not in CONDITIONS:
        raise InputError(f"{name} is no formula of norms; `certify` decides it from a witness")
    return CONDITIONS[name]


def layer_radius(number: int, radius: float) -> float:
    """The largest input of layer `number` (from 0): `radius` at the bottom, 1 above, where the
    input is ξ⁺ of the layer below."""
    return radius if number == 0 else 1.0


def evaluate(
    network: lstm.Network, name: str, norm: Norm, radius: float
) -> list[tuple[int, str, Any]]:
    """All quantities (layer from 1, name, value) of condition `name`; the network is stable when
    each is below 1."""
    return [
        (number + 1, label, value)
        for number, layer in enumerate(network.layers)
        for label, value in condition(name)(layer, norm, layer_radius(number, radius)).items()
    ]


@dataclass(frozen=True)
class Quantities:
    """The quantities of some conditions as one CasADi function of (θ, witnesses), and how to find
    the witnesses at θ."""

    # condition, layer from 1, name, whether it checks a witness
    labels: tuple[tuple[str, int, str, bool], ...]
    function: Any
    matrices: Any
    finders: tuple[Callable[[Array], Array], ...]

    def witnesses(self, theta: Array) -> list[Array]:
        matrices = self.matrices.call([theta]) if self.finders else []
        return [
            find(np.asarray(matrix)) for find, matrix in zip(self.finders, matrices, strict=True)
        ]

    def values(self, theta: Array, witnesses: Sequence[Array]) -> Array:
        """Each quantity in floating point, (count,)."""
        return np.asarray(self.function.call([theta, *witnesses])[0]).ravel()


@lru_cache(maxsize=32)
def quantities(sizes: lstm.Sizes, names: tuple[str, ...], radius: float) -> Quantities:
    """The quantities of conditions `names` for networks of these sizes."""
    theta = ca.SX.sym("theta", sizes.parameters)
    network, labels, values, witnesses = lstm.unpack(theta, sizes), [], [], []
    for name in names:
        for number, layer in enumerate(network.layers):
            norm = Exact()
            own = condition(name)(layer, norm, layer_radius(number, radius))
            labels += [(name, number + 1, label, False) for label in own] + [
                (name, number + 1, label, True) for label, _ in norm.checks
            ]
            values += [*own.values(), *(value for _, value in norm.checks)]
            witnesses += norm.witnesses
    function = ca.Function("quantities", [theta, *(w[0] for w in witnesses)], [ca.vertcat(*values)])
    matrices = ca.Function("matrices", [theta], [ca.densify(w[1]) for w in witnesses])
    return Quantities(tuple(labels), function, matrices, tuple(w[2] for w in witnesses))


def smallest_margin(network: lstm.Network, names: Sequence[str], radius: float) -> float:
    """δ, the smallest 1 − value over the named conditions, from exact norms in floating point; +inf
    for no condition."""
    if not names:
        return np.inf
    found, theta = (
        quantities(lstm.sizes_of(network), tuple(names), float(radius)),
        lstm.pack(network),
    )
    with np.errstate(all="ignore"):
        try:
            witnesses = found.witnesses(theta)
            values = found.values(theta, witnesses)
        except np.linalg.LinAlgError:
            return -np.inf
    checks = np.array([check for *_, check in found.labels])
    if (
        not all((w > 0).all() for w in witnesses)
        or not np.isfinite(values).all()
        or (values[checks] >= 1).any()
    ):
        return -np.inf
    return 1.0 - float(values[~checks].max())
