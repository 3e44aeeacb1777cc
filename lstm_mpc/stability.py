"""Stability conditions of the LSTM, each formula once: fed exact norms it certifies, fed epigraph slacks it constrains training.

A condition is a function of (layer, norm, radius) that yields named quantities, each of which must lie below 1. `norm` needs two
operations only, from which every norm is built: `absolute(M)`, an entrywise upper bound of |M|, and `largest(v)`, an upper
bound of the entries of v. All conditions rise with every entry of |M|, so that any upper bound is sound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import casadi as ca
import numpy as np

from lstm_mpc import lstm
from lstm_mpc.errors import InputError
from lstm_mpc.evidence import Certificate, Inequality
from lstm_mpc.model import Model


class Norm(Protocol):
    def absolute(self, M: Any) -> Any: ...

    def largest(self, v: Any) -> Any: ...


class Exact:
    """The norms themselves, on numbers (CasADi DM)."""

    def absolute(self, M: Any) -> Any:
        return ca.fabs(ca.DM(M))

    def largest(self, v: Any) -> Any:
        return ca.mmax(v)


def gate_rows(layer: lstm.Layer, g: str, norm: Norm, radius: float) -> Any:
    """Row sums of |[radius·W_g  U_g  b_g]|, (nx, 1): no pre-activation of gate g exceeds its entry while |u| ≤ radius, |ξ| ≤ 1."""
    W, U, b = layer.gate(g)
    return ca.sum2(norm.absolute(ca.horzcat(radius * W, U, b)))


def iss(layer: lstm.Layer, norm: Norm, radius: float) -> dict[str, Any]:
    """Condition (7), Theorem 4: (1+σ_O)σ_F < 1 and (1+σ_O)σ_I ‖U_c‖₁ < 1, with σ_G = σ(‖[radius·W_g U_g b_g]‖∞).

    Input-to-state stability of one layer with V = |x|₁ + |ξ|₁. It bounds the state; it does not make two runs meet.
    """
    s_f, s_i, s_o = (lstm.sigmoid(norm.largest(gate_rows(layer, g, norm, radius))) for g in "fio")
    U_c = norm.largest(ca.sum1(norm.absolute(layer.U_c)).T)
    return {"(1+σO)σF": (1 + s_o) * s_f, "(1+σO)σI‖Uc‖₁": (1 + s_o) * s_i * U_c}


Condition = Callable[[lstm.Layer, Norm, float], dict[str, Any]]
CONDITIONS: dict[str, Condition] = {"iss": iss}


def condition(name: str) -> Condition:
    if name not in CONDITIONS:
        raise InputError(f"unknown stability condition {name!r}; known: {', '.join(CONDITIONS)}")
    return CONDITIONS[name]


def layer_radius(number: int, radius: float) -> float:
    """The largest input of layer `number`: `radius` at the bottom, 1 above, where the input is ξ of the layer below (Remark 6)."""
    return radius if number == 0 else 1.0


def evaluate(network: lstm.Network, name: str, norm: Norm, radius: float) -> list[tuple[int, str, Any]]:
    """All quantities (layer from 1, name, value) of condition `name`; the network is stable when each is below 1 (Remark 6)."""
    return [
        (number + 1, label, value)
        for number, layer in enumerate(network.layers)
        for label, value in condition(name)(layer, norm, layer_radius(number, radius)).items()
    ]


def margin(network: lstm.Network, names: Sequence[str], radius: float) -> float:
    """δ, the smallest 1 − value over the named conditions, from exact norms; +inf for no condition."""
    values = [float(v) for name in names for _, _, v in evaluate(network, name, Exact(), radius)]
    return 1.0 - max(values) if values else np.inf


def certify(model: Model, name: str = "iss") -> Certificate:
    """Check condition `name` on the very numbers of `model`, for all inputs within its actuator limits (a-posteriori use, Remark 5).

    A failed condition is a value: `Certificate.holds` is false and every failed line names the gate and row to blame.
    """
    radius = model.scaling.radius
    lines = tuple(
        Inequality(number, label, float(value), _blame(model.network.layers[number - 1], label, layer_radius(number - 1, radius)))
        for number, label, value in evaluate(model.network, name, Exact(), radius)
    )
    delta = min(line.margin for line in lines)
    constants = _iss_constants(model.network, lines, radius) if delta > 0 else {}
    return Certificate(model.digest, name, radius, lines, constants)


def _blame(layer: lstm.Layer, label: str, radius: float) -> str:
    """Which gate and row (or column) makes a quantity of (7) as large as it is."""
    rows = {g: np.asarray(gate_rows(layer, g, Exact(), radius)).ravel() for g in "fio"}
    parts = [f"{g}: row {rows[g].argmax() + 1}, Σ|·| = {rows[g].max():.4g}" for g in ("f" if "σF" in label else "i", "o")]
    if "Uc" in label:
        columns = np.abs(layer.U_c).sum(axis=0)
        parts.insert(0, f"U_c: column {columns.argmax() + 1}, Σ|·| = {columns.max():.4g}")
    return "gate " + "; gate ".join(parts) if "Uc" not in label else "; gate ".join(parts)


def _iss_constants(network: lstm.Network, lines: Sequence[Inequality], radius: float) -> dict[str, Any]:
    """β, γ_u, γ_b of the ISS bound (5) per layer, from V(χ) = |x|₁ + |ξ|₁ and V⁺ ≤ (1−δ)V + 2|W_c|₁|u|₁ + 2|b_c|₁ (Appendix A).

    |χ(k)|₂ ≤ √(2nx)(1−δ)^k |χ0|₂ + (2√nu‖W_c‖₁/δ) ‖u‖ + (2√nx/δ) |b_c|₂; `worst` evaluates it at k = 0 for |χ0|∞ ≤ 0.1, ‖u‖∞ ≤ radius.
    """
    constants = []
    for number, layer in enumerate(network.layers):
        delta = min(line.margin for line in lines if line.layer == number + 1)
        W_c = float(np.abs(layer.W_c).sum(axis=0).max())
        beta, gamma_u, gamma_b = np.sqrt(2 * layer.nx), 2 * np.sqrt(layer.nu) * W_c / delta, 2 * np.sqrt(layer.nx) / delta
        u = np.sqrt(layer.nu) * layer_radius(number, radius)
        worst = beta * 0.1 * np.sqrt(2 * layer.nx) + gamma_u * u + gamma_b * float(np.linalg.norm(layer.b_c))
        constants.append(
            {
                "layer": number + 1,
                "delta": delta,
                "beta_gain": float(beta),
                "beta_rate": 1.0 - delta,
                "gamma_u": float(gamma_u),
                "gamma_b": float(gamma_b),
                "state_bound": float(worst),
            }
        )
    return {"lyapunov_function": "V(chi) = |x|_1 + |xi|_1", "layers": constants}
