"""The section on certificates."""

from __future__ import annotations

from typing import Any

import numpy as np

from lstm_mpc.certificates.conditions import (
    INCREMENTAL,
    SIGNED,
    gate_numbers,
    gate_rows,
    invariant_bound,
    layer_radius,
)
from lstm_mpc.certificates.evidence import Certificate
from lstm_mpc.certificates.norms import Numbers
from lstm_mpc.certificates.signed.certificate import witness_of
from lstm_mpc.model.lstm import Layer, sigmoid
from lstm_mpc.model.model import Model
from lstm_mpc.report.blocks import (
    Formula,
    Heading,
    Section,
    Table,
    Text,
    lacks,
    number,
)
from lstm_mpc.report.dossier import Dossier

SHOWN = 40  # inequalities of a certificate; of more the tightest

_GIVES = {
    "iss": (
        "Input-to-state stability: the state stays bounded for every bounded input. Two runs with"
        " the same input need not meet."
    ),
    "weighted_iss": (
        "Input-to-state stability with a weighted Lyapunov function: the state stays bounded for"
        " every bounded input."
    ),
    "delta_iss": (
        "Incremental stability: two runs with the same input meet, at the certified rate. Observer"
        " and controller rest on it."
    ),
}
_GATES = "f, i, o, c: largest value of each gate while |u| ≤ r and |ξ| ≤ 1"


def certificate_section(dossier: Dossier) -> Section:
    blocks: list[Any] = []
    for found in dossier.certificates:
        name = found.file.removeprefix("certificate-").removesuffix(".json")
        blocks += [Heading(f"Condition {name}"), *lacks(found)]
        if found.value is not None:
            blocks += _of_certificate(found.value, dossier.model if not found.stale else None)
    if not blocks:
        blocks = [
            Text(
                "Not there yet: `lstm-mpc certify DESIGN` makes certificate-<condition>.json.",
                "missing",
            )
        ]
    return Section("certificates", "Certificates", blocks)


def _of_certificate(c: Certificate, model: Model | None) -> list[Any]:
    """The formula, the numbers in it, every inequality."""
    family = (
        "weighted_iss"
        if c.condition.startswith("weighted")
        else "delta_iss"
        if c.condition in INCREMENTAL
        else "iss"
    )
    state = (
        f"holds with margin δ = {number(c.margin)}" if c.holds else f"FAILS, δ = {number(c.margin)}"
    )
    if c.single is not None:
        verdict = "" if c.single.holds else "FAILS, "
        state += (
            f" (in single precision, as the C carries it, {verdict}δ = {number(c.single.margin)})"
        )
    blocks: list[Any] = [
        Text(
            f"{state}, for every input up to r = {number(c.radius)} [normalised]. {_GIVES[family]}",
            "proved" if c.holds else "wrong",
        )
    ]
    blocks += [Formula(text) for text in _formulas(c.condition)]
    if model is not None:
        for number_, layer in enumerate(model.network.layers):
            values = _numbers(c, layer, number_)
            if values:
                blocks += [Text(f"With the numbers of layer {number_ + 1}:"), *map(Formula, values)]
    lines = (
        sorted(c.inequalities, key=lambda x: x.margin)[:SHOWN]
        if len(c.inequalities) > SHOWN
        else list(c.inequalities)
    )
    rows = [
        [
            f"layer {x.layer}: {x.name}",
            f"{x.value:.8f} {'<' if x.margin > 0 else '≥'} 1",
            number(x.margin),
        ]
        for x in lines
    ]
    tightest = min(range(len(lines)), key=lambda j: (lines[j].check, lines[j].margin))
    shown = (
        f"the {SHOWN} tightest of {len(c.inequalities)}"
        if len(lines) < len(c.inequalities)
        else "all"
    )
    caption = f"Inequalities ({shown}), left-hand side rounded up; the tightest is marked"
    blocks.append(Table(caption, ["Inequality", "Left-hand side", "Margin"], rows, marked=tightest))
    blocks.append(Text(f"The tightest is made by {lines[tightest].blame}."))
    return blocks + _constants(c)


def _formulas(condition: str) -> list[str]:
    p = (
        {"1": "1", "2": "2", "f": r"\infty"}[condition[-1]]
        if condition[-2:] in ("_1", "_2", "nf")
        else ""
    )
    gates = r"s_G = \max_j g_j"
    if condition == "iss":
        return [
            "(1 + σ_O) σ_F < 1",
            r"(1 + σ_O) σ_I \|U_c\|_1 < 1",
            r"σ_G = σ(\|[r W_g \; U_g \; b_g]\|_\infty)",
        ]
    if condition == "weighted_iss":
        return [
            r"\exists v > 0 : \; (F + I |U_c| O) v < v",
            (
                r"F = \operatorname{diag} f_j, \; I = \operatorname{diag} i_j,"
                r" \; O = \operatorname{diag} o_j"
            ),
        ]
    if condition == "delta_iss":
        return [
            r"\exists v > 0 : \; \hat{A} v < v",
            (
                r"\hat{A} = \begin{bmatrix} F & R \\ O F &"
                r" O R + \frac{1}{4} \operatorname{diag}(\tanh \bar{x}) |U_o| \end{bmatrix}"
            ),
            (
                r"R = \frac{1}{4} \operatorname{diag}(\bar{x}) |U_f| + I |U_c|"
                r" + \frac{1}{4} \operatorname{diag}(c) |U_i|, \;"
                r" \bar{x}_j = \frac{i_j c_j}{1 - f_j}"
            ),
        ]
    if condition == SIGNED:
        return [
            r"|Δχ^+|_P \le λ |Δχ|_P, \; λ < 1",
            r"F = λ^2 Z^T P Z - Y^T P Y - S \succ 0, \; P \succ 0, \; Z = Δχ, \; Y = Δχ^+",
            r"S = \sum_j τ_j (p_j - l_j q_j) (h_j q_j - p_j), \; τ_j \ge 0",
        ]
    if condition.startswith("weighted"):
        return [rf"s_F + s_O s_I \|U_c\|_{p} < 1", gates]
    alpha = (
        rf"α = \frac{{1}}{{4}} \|U_f\|_{p} \bar{{x}} + s_I \|U_c\|_{p}"
        rf" + \frac{{1}}{{4}} φ_C \|U_i\|_{p}"
    )
    return [
        rf"s_F + α s_O + \frac{{1}}{{4}} φ_X \|U_o\|_{p} (1 - s_F) < 1",
        rf"{alpha}, \; \bar{{x}} = \frac{{s_I φ_C}}{{1 - s_F}}, \; φ_X = \tanh \bar{{x}}",
    ]


def _numbers(c: Certificate, layer: Layer, place: int) -> list[str]:
    """The scalar conditions with this layer's numbers; the elementwise ones are told by their
    tables."""
    r = layer_radius(place, c.radius)
    n = {key: f"{value:.5f}" for key, value in _scalars(c.condition, layer, r).items()}
    sums = [f"{x.value:.5f}" for x in c.inequalities if x.layer == place + 1 and not x.check]
    relation = ["<" if float(x) < 1 else r"\ge" for x in sums]
    if c.condition == "iss":
        return [
            rf"(1 + {n['o']}) \cdot {n['f']} = {sums[0]} {relation[0]} 1",
            rf"(1 + {n['o']}) \cdot {n['i']} \cdot {n['U_c']} = {sums[1]} {relation[1]} 1",
        ]
    if c.condition.startswith("weighted_iss_"):
        return [rf"{n['f']} + {n['o']} \cdot {n['i']} \cdot {n['U_c']} = {sums[0]} {relation[0]} 1"]
    if c.condition.startswith("delta_iss_"):
        return [
            (
                rf"α = \frac{{1}}{{4}} \cdot {n['U_f']} \cdot {n['x']} + {n['i']} \cdot {n['U_c']}"
                rf" + \frac{{1}}{{4}} \cdot {n['c']} \cdot {n['U_i']} = {n['alpha']}"
            ),
            (
                rf"{n['f']} + {n['alpha']} \cdot {n['o']} + \frac{{1}}{{4}} \cdot {n['φ']}"
                rf" \cdot {n['U_o']} \cdot (1 - {n['f']}) = {sums[0]} {relation[0]} 1"
            ),
        ]
    return []


def _scalars(condition: str, layer: Layer, r: float) -> dict[str, float]:
    """Gate bounds and norms of a layer, as the scalar conditions take them."""
    p: Any = {"2": 2, "f": np.inf}.get(condition[-1], 1)
    if condition == "iss":
        found = {
            g: float(sigmoid(np.asarray(gate_rows(layer, g, Numbers(), r)).max())) for g in "fio"
        }
    else:
        bounds = gate_numbers(layer, r)
        found = {g: float(bounds[g].max()) for g in "fioc"}
    found |= {f"U_{g}": float(np.linalg.norm(getattr(layer, f"U_{g}"), p)) for g in "fioc"}
    if condition.startswith("delta"):
        x = invariant_bound(found["f"], found["i"], found["c"])
        alpha = (
            0.25 * found["U_f"] * x + found["i"] * found["U_c"] + 0.25 * found["c"] * found["U_i"]
        )
        found |= {"x": x, "alpha": alpha, "φ": float(np.tanh(x))}
    return found


def _constants(c: Certificate) -> list[Any]:
    blocks: list[Any] = []
    for layer in c.constants.get("layers", []):
        where = f"layer {layer['layer']}"
        if c.condition == "iss":
            blocks.append(
                Text(
                    f"The ISS bound (5) of {where}, from V = |x|₁ + |ξ|₁; the state stays within"
                    f" {number(layer['state_bound'])}:"
                )
            )
            decay = rf"{layer['beta_gain']:.4f} \cdot {layer['beta_rate']:.6f}^k \cdot |χ_0|"
            blocks.append(
                Formula(
                    rf"|χ(k)| \le {decay} + {layer['gamma_u']:.2f} \cdot \|u\|"
                    rf" + {layer['gamma_b']:.2f} \cdot |b_c|"
                )
            )
            continue
        blocks.append(
            Text(
                f"Certified rate of {where}: {layer['rate']:.6f} a sample, inside the box |x_j| ≤"
                " x̄_j, which every trajectory enters."
            )
        )
        if c.condition == SIGNED:
            blocks.append(_box_table(c, layer["layer"], len(layer["x_bar"])))
            continue
        cells = zip(*(layer[key] for key in ("f", "i", "o", "c", "x_bar")), strict=True)
        rows = [
            [f"cell {j + 1}", *(f"{value:.5f}" for value in row)] for j, row in enumerate(cells)
        ]
        blocks.append(
            Table(
                f"Gate bounds and invariant box of {where} ({_GATES})",
                ["Cell", "f", "i", "o", "c", "x̄"],
                rows,
            )
        )
    return blocks


def _box_table(c: Certificate, number_: int, nx: int) -> Table:
    """The box of states of a layer on which its quadratic form contracts."""
    witness = witness_of(c)
    at = sum(len(form.P) for form in witness.forms[: number_ - 1])
    rows = [
        [f"cell {j + 1}", *(f"{end:.5f}" for k in (at + j, at + nx + j) for end in witness.box[k])]
        for j in range(nx)
    ]
    caption = f"Box of states of layer {number_}, which every trajectory enters and none leaves"
    return Table(caption, ["Cell", "x from", "x to", "ξ from", "ξ to"], rows)
