"""What certifies the gated observer (Terzi et al. 2021): how fast model and observer meet.

With e = y − d̂ − ŷ (normalised), ŷ = C ξ̂ + b_y, every gate g of the last layer reads L_g e too:
ĝ = σ_g(W_g u + U_g ξ̂ + b_g + L_g e), and d̂⁺ = d̂ + L_d e. Where the plant is the model with a
constant d at its output, e = CΔξ + Δd with Δ the model less the observer, so that the arguments of
gate g differ by (U_g − L_g C)Δξ − L_g Δd. Since σ has slope at most ¼ and tanh at most 1,

    |Δx⁺| = |f Δx + (f − f̂) x̂ + î (c − ĉ) + (i − î) c|
          ≤ F|Δx| + R|Δξ| + G|Δd|
    |Δξ⁺| = |ô (tanh x − tanh x̂) + (o − ô) tanh x|
          ≤ Ô|Δx⁺| + ¼ diag(tanh x̄)(|U_o − L_o C||Δξ| + |L_o||Δd|)
    |Δd⁺| = |(1 − L_d)Δd − L_d CΔξ|
          ≤ |1 − L_d||Δd| + L_d|C||Δξ|
    R = ¼ diag(x̂)|U_f − L_f C| + Î|U_c − L_c C| + ¼ diag(c)|U_i − L_i C|, G the same of the |L_g|

with F, I, O, c, x̄ the bounds of the model and F̂, Î, Ô, ĉ, x̂ those of the observer, which are
larger: y − d̂ is taken into what the model can say, b_y ± Σ|C|, so that
U_g ξ̂ + L_g e = (U_g − L_g C) ξ̂ + L_g (y − d̂ − b_y) is at most Σ|U_g − L_g C| + |L_g| Σ|C|
whatever is measured, and x̂ = î ĉ/(1 − f̂). Taking into an interval that holds the true y − d moves
it no further than |Δd|. Layers below are not corrected and meet as δISS says; the whole is a
cascade. All errors shrink when the nonnegative matrix of these lines has a spectral radius below 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.certificates import conditions
from lstm_mpc.certificates.certification import enclose
from lstm_mpc.certificates.evidence import Certificate, Inequality
from lstm_mpc.certificates.norms import Exact, positive_witness
from lstm_mpc.errors import InputError
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array

ROUNDS = 30  # of the search for gains


@dataclass(frozen=True)
class Comparison:
    """The matrices of the module's docstring, as CasADi expressions: `state` (2nx, 2nx) where the
    disturbance is known, `whole` with it, and `x` (nx,) the bound of the observer's |x̂|."""

    state: Any
    whole: Any
    x: Any


def comparison(
    network: lstm.Network, gains: dict[str, Any], radius: float, observer_gain: float
) -> Comparison:
    """For inputs of the last layer up to `radius`, `gains` (nx, ny) by gate."""
    layer, C, norm = network.layers[-1], network.C, Exact()
    most = ca.sum2(ca.fabs(C))
    left = {g: ca.fabs(getattr(layer, f"U_{g}") - ca.mtimes(gains[g], C)) for g in lstm.GATES}
    given = {g: ca.fabs(gains[g]) for g in lstm.GATES}
    own = {g: conditions.gate_bounds(layer, g, norm, radius) for g in lstm.GATES}
    top = {}
    for g in lstm.GATES:
        sums = (
            radius * ca.sum2(norm.absolute(layer, f"W_{g}"))
            + ca.sum2(left[g])
            + ca.mtimes(given[g], most)
        )
        bias = getattr(layer, f"b_{g}")
        top[g] = lstm.tanh(sums + ca.fabs(bias)) if g == "c" else lstm.sigmoid(sums + bias)
    x_bar, x = (conditions.invariant_bound(b["f"], b["i"], b["c"]) for b in (own, top))

    def row(part: dict[str, Any]) -> Any:
        return (
            ca.mtimes(ca.diag(0.25 * x), part["f"])
            + ca.mtimes(ca.diag(top["i"]), part["c"])
            + ca.mtimes(ca.diag(0.25 * own["c"]), part["i"])
        )

    def below(part: dict[str, Any]) -> Any:
        return ca.mtimes(ca.diag(top["o"]), row(part)) + ca.mtimes(
            ca.diag(0.25 * lstm.tanh(x_bar)), part["o"]
        )

    state = ca.vertcat(
        ca.horzcat(ca.diag(own["f"]), row(left)),
        ca.horzcat(ca.diag(top["o"] * own["f"]), below(left)),
    )
    beside, ny = ca.vertcat(row(given), below(given)), C.shape[0]
    under = ca.horzcat(
        ca.DM(ny, layer.nx), observer_gain * ca.fabs(C), abs(1 - observer_gain) * ca.DM.eye(ny)
    )
    return Comparison(state, ca.vertcat(ca.horzcat(state, beside), under), x)


class Compared:
    """`comparison` as a function of the numbers of the gains, for one model."""

    def __init__(self, model: Model, observer_gain: float) -> None:
        sizes = model.sizes
        self.shape, self._model = (4, sizes.nx[-1], sizes.ny), model
        theta, flat = ca.SX.sym("theta", sizes.parameters), ca.SX.sym("L", int(np.prod(self.shape)))
        found = comparison(
            lstm.unpack(theta, sizes), by_gate(flat, self.shape), self.radius, observer_gain
        )
        self.arguments, self.found = (theta, flat), found
        self._numbers = ca.Function("numbers", [theta, flat], [found.state, found.whole, found.x])

    @property
    def radius(self) -> float:
        return conditions.layer_radius(
            len(self._model.network.layers) - 1, self._model.scaling.radius
        )

    def at(self, gains: Array) -> tuple[Array, Array, Array]:
        """The two matrices and the bound of |x̂| at flat `gains`."""
        state, whole, x = (
            np.asarray(part) for part in self._numbers(lstm.pack(self._model.network), gains)
        )
        return state, whole, x.ravel()

    def rates(self, gains: Array) -> tuple[float, float]:
        """The spectral radii: with the disturbance known, and with its estimate."""
        state, whole, _ = self.at(gains)
        return _radius(state), _radius(whole)


def by_gate(flat: Any, shape: Sequence[int]) -> dict[str, Any]:
    size = shape[1] * shape[2]
    return {
        g: ca.reshape(flat[j * size : (j + 1) * size], shape[2], shape[1]).T
        for j, g in enumerate("fioc")
    }


def _radius(matrix: Array) -> float:
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def choose(model: Model, *, observer_gain: float = 0.6, share: float = 0.5) -> Array:
    """Gains, flat (4·nx·ny,) by gate f, i, o, c, that make the certified rate with a known
    disturbance smallest, where that of the whole loses at most the `share` of the margin it has
    without gains. Powell's search from none; nothing is random."""
    from scipy.optimize import minimize  # half a second, for those who need it

    compared = Compared(model, observer_gain)
    none = np.zeros(int(np.prod(compared.shape)))
    bar = 1.0 - (1.0 - share) * (1.0 - compared.rates(none)[1])

    def price(gains: Array) -> float:
        known, whole = compared.rates(gains)
        return known if whole <= bar else 1.0 + whole

    found = np.asarray(minimize(price, none, method="Powell", options={"maxiter": ROUNDS}).x)
    return found if price(found) < price(none) else none


def certify_gated(model: Model, gains: ArrayLike, *, observer_gain: float = 0.6) -> Certificate:
    """Decide in interval arithmetic, on the very numbers, that model and observer meet from any
    start within the bounds, whatever the input within the actuator limits and the constant
    disturbance of the output. A failed condition is a value, as with `proof.certify`."""
    compared, flat = Compared(model, observer_gain), np.asarray(gains, dtype=np.float64).ravel()
    if flat.size != np.prod(compared.shape) or not np.isfinite(flat).all():
        raise InputError(
            f"observer: gains must be {int(np.prod(compared.shape))} numbers, those of f, i, o, c,"
            f" got {flat.tolist()}"
        )
    (theta, L), theta_now = compared.arguments, lstm.pack(model.network)
    layers = lstm.unpack(theta, model.sizes).layers[:-1]
    names = [
        *((k + 1, f"(Â v)/v of layer {k + 1}") for k in range(len(layers))),
        (len(layers) + 1, "(Â v)/v of the corrected layer and d̂"),
    ]
    matrices = [
        *(
            conditions.comparison(layer, Exact(), conditions.layer_radius(k, model.scaling.radius))
            for k, layer in enumerate(layers)
        ),
        compared.found.whole,
    ]
    lines: list[Inequality] = []
    for (number, name), matrix in zip(names, matrices, strict=True):
        v = ca.SX.sym("v", matrix.shape[0])
        values = [np.inf]
        try:
            witness = positive_witness(
                np.asarray(ca.Function("m", [theta, L], [ca.densify(matrix)])(theta_now, flat))
            )
            if (witness > 0).all():
                growth = ca.Function("g", [theta, L, v], [ca.densify(ca.mtimes(matrix, v) / v)])
                values = [high for _, high in enclose(growth, [theta_now, flat, witness])]
        except (ArithmeticError, np.linalg.LinAlgError):
            pass
        lines += [
            Inequality(
                number, f"{name}, row {j + 1}", min(value, 1e308), f"radius {compared.radius:g}"
            )
            for j, value in enumerate(values)
        ]
    known, whole = compared.rates(flat)
    constants = {
        "gains": flat.tolist(),
        "observer_gain": observer_gain,
        "rate_known_disturbance": known,
        "rate": whole,
    }
    return Certificate(
        model.digest, "gated_observer", model.scaling.radius, tuple(lines), constants
    )
