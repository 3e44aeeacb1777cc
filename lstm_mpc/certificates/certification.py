"""The verdict on a model: a condition's own expression evaluated in interval arithmetic with
outward rounding, so "proved" means proved.

The CasADi graph of the condition is walked operation by operation with mpmath's intervals. Weights
are exact floats and witnesses are given numbers, so the result encloses the true value of every
quantity; the condition is proved when the upper ends lie below 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

import casadi as ca
import numpy as np
from mpmath import iv, mp

from lstm_mpc.certificates.conditions import (
    SIGNED,
    check_name,
    gate_numbers,
    gate_rows,
    layer_radius,
    quantities,
)
from lstm_mpc.certificates.evidence import Certificate, Inequality, Single
from lstm_mpc.certificates.norms import Numbers
from lstm_mpc.certificates.signed.certificate import proved, signed_certificate, witness_of
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.model.single_precision import in_single_precision
from lstm_mpc.plants.system import Array

PRECISION = 80  # bits, more than the 53 of a float


def _tanh(z: Any) -> Any:
    """Rising: 1 − 2/(e^2z + 1) at both ends."""
    low, high = (1 - 2 / (iv.exp(2 * iv.mpf(end)) + 1) for end in (z.a, z.b))
    return iv.mpf([low.a, high.b])


def _maximum(x: Any, y: Any) -> Any:
    return iv.mpf([max(x.a, y.a), max(x.b, y.b)])


_OPERATIONS: dict[int, Callable[..., Any]] = {
    ca.OP_ASSIGN: lambda x: x,
    ca.OP_ADD: lambda x, y: x + y,
    ca.OP_SUB: lambda x, y: x - y,
    ca.OP_MUL: lambda x, y: x * y,
    ca.OP_DIV: lambda x, y: x / y,
    ca.OP_NEG: lambda x: -x,
    ca.OP_TWICE: lambda x: 2 * x,
    ca.OP_SQ: lambda x: x**2,
    ca.OP_INV: lambda x: 1 / x,
    ca.OP_FABS: abs,
    ca.OP_FMAX: _maximum,
    ca.OP_TANH: _tanh,
}


def enclose(function: Any, arguments: Sequence[Array]) -> list[tuple[float, float]]:
    """Rigorous (lower, upper) ends, rounded outwards to floats, of the first output of a CasADi SX
    function at exact arguments."""
    before, iv.prec = iv.prec, PRECISION
    try:
        work: dict[int, Any] = {}
        result: dict[int, Any] = {}
        flat = [np.asarray(a, dtype=np.float64).ravel(order="F") for a in arguments]
        for k in range(function.n_instructions()):
            op, inputs, outputs = (
                function.instruction_id(k),
                function.instruction_input(k),
                function.instruction_output(k),
            )
            if op == ca.OP_CONST:
                work[outputs[0]] = iv.mpf(function.instruction_constant(k))
            elif op == ca.OP_INPUT:
                work[outputs[0]] = iv.mpf(float(flat[inputs[0]][inputs[1]]))
            elif op == ca.OP_OUTPUT:
                result[outputs[1]] = work[inputs[0]]
            else:
                work[outputs[0]] = _OPERATIONS[op](*(work[i] for i in inputs))
        return [_outward(result[j]) for j in range(function.nnz_out(0))]
    finally:
        iv.prec = before


def _outward(interval: Any) -> tuple[float, float]:
    """The ends as floats, rounded away from the interval."""
    with mp.workprec(PRECISION):
        low, high = float(mp.mpf(interval.a)), float(mp.mpf(interval.b))
    return float(np.nextafter(low, -np.inf)), float(np.nextafter(high, np.inf))


def certify(model: Model, name: str = "iss", *, beyond: float = 0.0) -> Certificate:
    """Decide one stability condition on the very numbers of a model.

    It is decided for all inputs within the actuator limits (a-posteriori use, Remark 5). A failed
    condition is a value: `Certificate.holds` is false and the failed lines name what is to blame.
    `holds` is decided in interval arithmetic; a margin within its rounding counts as failed. Where
    it holds, the same is decided on the numbers rounded to single precision, as the C carries them.

    Args:
        model: The model.
        name: The condition, by its name in `conditions` of `[train]` and `[release]`.
        beyond: By how much inputs may leave the actuator limits [normalised].

    Returns:
        The verdict with its inequalities, and the constants that it yields where it holds.

    Raises:
        InputError: There is no condition of that name.
    """
    radius = model.scaling.radius + beyond
    check_name(name)
    carried = in_single_precision(model, beyond=beyond)
    if name == SIGNED:
        wide = max(model.scaling.radius * model.overreach + beyond, carried.scaling.radius)
        return _with_single(replace(signed_certificate(model, wide), radius=radius), carried)
    lines, witnesses = _decided(
        model.network, name, model.scaling.radius * model.overreach + beyond
    )
    constants: dict[str, Any] = {}
    if all(line.margin > 0 for line in lines):
        constants = {"witnesses": [w.tolist() for w in witnesses]} if witnesses else {}
        constants |= (
            _iss_constants(model.network, lines, radius)
            if name == "iss"
            else _contraction(model.network, lines, radius)
        )
    return _with_single(Certificate(model.digest, name, radius, lines, constants), carried)


def _decided(
    network: lstm.Network, name: str, radius: float
) -> tuple[tuple[Inequality, ...], list[Array]]:
    """The inequalities of a condition on the numbers of `network`, and the witnesses they were
    decided with."""
    found, theta = quantities(lstm.sizes_of(network), (name,), radius), lstm.pack(network)
    try:
        witnesses = [_shortened(w) for w in found.witnesses(theta)]
        if not all((w > 0).all() for w in witnesses):
            raise ArithmeticError("a witness must be positive")
        ends = enclose(found.function, [theta, *witnesses])
    except (ArithmeticError, np.linalg.LinAlgError):
        witnesses, ends = [], [(0.0, float("inf"))] * len(found.labels)
    lines = tuple(
        Inequality(
            layer,
            label,
            _told(high),
            _blame(network.layers[layer - 1], layer, name, label, radius),
            check,
        )
        for (_, layer, label, check), (_, high) in zip(found.labels, ends, strict=True)
    )
    return lines, witnesses


def _with_single(certificate: Certificate, carried: Model) -> Certificate:
    """`certificate` with the verdict on the numbers of `carried`, those that the C has."""
    if not certificate.holds:
        return certificate
    radius, name = carried.scaling.radius, certificate.condition
    if name == SIGNED:
        lines = proved(carried, radius, witness_of(certificate)).inequalities
        if any(line.margin <= 0 for line in lines):  # the witness of the numbers in double
            lines = signed_certificate(carried, radius).inequalities
    else:
        lines, _ = _decided(carried.network, name, radius)
    return replace(certificate, single=Single(radius, lines))


def recheck(model: Model, certificate: Certificate) -> Certificate:
    """What the numbers of `model` give for the condition of a certificate: a witness in it that
    took a search is proved anew, everything else is computed anew."""
    if certificate.condition == SIGNED and certificate.holds:
        carried, radius = in_single_precision(model), model.scaling.radius
        wide = max(radius * model.overreach, carried.scaling.radius)
        again = replace(proved(model, wide, witness_of(certificate)), radius=radius)
        return _with_single(again, carried)
    return certify(model, certificate.condition)


def _shortened(witness: Array) -> Array:
    """To eight digits: linear algebra has other last digits on other processors, and a proof the
    same numbers on all."""
    return np.array([float(f"{w:.7e}") for w in witness.ravel()])


def _blame(layer: lstm.Layer, number: int, name: str, label: str, radius: float) -> str:
    """Which gate and row (or column) makes a quantity as large as it is."""
    radius = layer_radius(number - 1, radius)
    if name == "iss":
        rows = {g: np.asarray(gate_rows(layer, g, Numbers(), radius)).ravel() for g in "fio"}
        parts = [
            f"gate {g}: row {rows[g].argmax() + 1}, Σ|·| = {rows[g].max():.4g}"
            for g in ("f" if "σF" in label else "i", "o")
        ]
    else:
        tops = gate_numbers(layer, radius)
        parts = [
            f"gate {g}: row {tops[g].argmax() + 1}, at most {tops[g].max():.4g}" for g in "fioc"
        ]
    if "Uc" in label or name != "iss":
        columns = np.abs(layer.U_c).sum(axis=0)
        parts.insert(0, f"U_c: column {columns.argmax() + 1}, Σ|·| = {columns.max():.4g}")
    return "; ".join(parts)


def _contraction(
    network: lstm.Network, lines: Sequence[Inequality], radius: float
) -> dict[str, Any]:
    """The bounds of every layer's gates, the set |x_j| ≤ x̄_j on which the claim holds, and the
    certified rate per layer."""
    layers = []
    for number, layer in enumerate(network.layers):
        bounds = gate_numbers(layer, layer_radius(number, radius))
        rate = max(line.value for line in lines if line.layer == number + 1 and not line.check)
        layers.append(
            {
                "layer": number + 1,
                "rate": rate,
                **{name: bounds[name].tolist() for name in (*"fioc", "x_bar")},
            }
        )
    return {"layers": layers}


def _told(value: float) -> float:
    """A bound as a file can hold it: one beyond all numbers is as good as the largest."""
    return min(float(value), 1e308)


def _iss_constants(
    network: lstm.Network, lines: Sequence[Inequality], radius: float
) -> dict[str, Any]:
    """β, γ_u, γ_b of the ISS bound (5) per layer, from V(χ) = |x|₁ + |ξ|₁ and V⁺ ≤ (1−δ)V +
    2|W_c|₁|u|₁ + 2|b_c|₁ (Appendix A).

    |χ(k)|₂ ≤ √(2nx)(1−δ)^k |χ0|₂ + (2√nu‖W_c‖₁/δ) ‖u‖ + (2√nx/δ) |b_c|₂; `state_bound` evaluates it
    at k = 0 for |χ0|∞ ≤ 0.1 and ‖u‖∞ ≤ radius."""
    constants = []
    for number, layer in enumerate(network.layers):
        delta = min(line.margin for line in lines if line.layer == number + 1)
        W_c = float(np.abs(layer.W_c).sum(axis=0).max())
        beta, gamma_u, gamma_b = (
            sqrt(2 * layer.nx),
            2 * sqrt(layer.nu) * W_c / delta,
            2 * sqrt(layer.nx) / delta,
        )
        u = sqrt(layer.nu) * layer_radius(number, radius)
        worst = (
            beta * 0.1 * sqrt(2 * layer.nx)
            + gamma_u * u
            + gamma_b * float(np.linalg.norm(layer.b_c))
        )
        gains = {
            "beta_gain": beta,
            "beta_rate": 1.0 - delta,
            "gamma_u": _told(gamma_u),
            "gamma_b": _told(gamma_b),
        }
        constants.append(
            {"layer": number + 1, "delta": delta, **gains, "state_bound": _told(worst)}
        )
    return {"lyapunov_function": "V(chi) = |x|_1 + |xi|_1", "layers": constants}
