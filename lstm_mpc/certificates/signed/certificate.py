"""The certificate of the signed condition: what was searched for, proved and put in words."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np

from lstm_mpc.certificates.conditions import SIGNED, smallest_margin
from lstm_mpc.certificates.evidence import Certificate, Inequality
from lstm_mpc.certificates.signed.search import Attempt, sampled_radius, search
from lstm_mpc.certificates.signed.witness import Witness, prove
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.schema import noun
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model

LARGEST = 1e308  # of what a file holds of a value that has no bound


def signed_certificate(model: Model, radius: float) -> Certificate:
    """Search for a witness for |u| ≤ `radius` [normalised] and prove it."""
    attempt = search(model.network, radius)
    if attempt.witness is not None and max(attempt.rates) < 1:
        return proved(model, radius, attempt.witness)
    return _failed(model, radius, attempt)


def signed_margin(network: lstm.Network, radius: float) -> float:
    """δ = 1 − λ as far as it is proved for |u| ≤ `radius`, −inf without a proof."""
    attempt = search(network, radius)
    if attempt.witness is None or not max(attempt.rates) < 1:
        return -np.inf
    lines = prove(network, attempt.witness, radius)
    return 1.0 - max(attempt.rates) if all(value < 1 for *_, value, _ in lines) else -np.inf


def incremental_margin(network: lstm.Network, radius: float) -> float:
    """δ of incremental stability for |u| ≤ `radius`: elementwise, and where that fails as far as
    the signed condition is proved. Not above 0 when neither holds."""
    return _incremental_margin(lstm.pack(network).tobytes(), lstm.sizes_of(network), radius)


@lru_cache(maxsize=64)  # observers of one model are made again and again
def _incremental_margin(theta: bytes, sizes: lstm.Sizes, radius: float) -> float:
    network = lstm.unpack(np.frombuffer(theta), sizes)
    elementwise = smallest_margin(network, ("delta_iss",), radius)
    return elementwise if elementwise > 0 else max(elementwise, signed_margin(network, radius))


def proved(model: Model, radius: float, witness: Witness) -> Certificate:
    """What the numbers of `model` say of a witness, whoever found it."""
    values = prove(model.network, witness, radius)
    blame = f"one quadratic form in {len(witness.forms[0].tau)} cell(s) of the inputs"
    lines = tuple(
        Inequality(layer, name, min(value, LARGEST), blame, check)
        for layer, name, value, check in values
    )
    constants: dict[str, Any] = {}
    if all(line.margin > 0 for line in lines):
        constants = {
            "witness": artefact_file.plain(asdict(witness)),
            "layers": _contraction(model, witness),
        }
    return Certificate(model.digest, SIGNED, radius, lines, constants)


def _contraction(model: Model, witness: Witness) -> list[dict[str, Any]]:
    """The certified rate of every layer, and the largest |x_j| of the set on which it holds."""
    layers, at = [], 0
    for number, (nx, form) in enumerate(zip(model.network.nx, witness.forms, strict=True)):
        x_bar = [max(abs(low), abs(high)) for low, high in witness.box[at : at + nx]]
        layers.append({"layer": number + 1, "rate": form.rate, "x_bar": x_bar})
        at += 2 * nx
    return layers


def witness_of(certificate: Certificate) -> Witness:
    """The witness in a certificate that holds; InputError when there is none to read."""
    if "witness" not in certificate.constants:
        raise InputError(f"the certificate of {SIGNED!r} holds no witness; make it again")
    witness: Witness = noun(Witness, certificate.constants["witness"], "the witness")
    return witness


def _failed(model: Model, radius: float, attempt: Attempt) -> Certificate:
    """The rates that were reached, and whether a better search could do more."""
    sampled = sampled_radius(model.network, radius)
    words = (
        "no quadratic form contracts, since the Jacobian on a sampled trajectory has the spectral"
        f" radius {sampled:.4f}"
        if sampled >= 1
        else f"Jacobians on a sampled trajectory have spectral radii of at most {sampled:.4f},"
        " which rules no quadratic form out; the bounds of the slopes may be too wide"
    )
    lines = tuple(
        Inequality(number + 1, "λ", float(min(rate, LARGEST)), words)
        for number, rate in enumerate(np.maximum(attempt.rates, 0.0))
    )
    return Certificate(model.digest, SIGNED, radius, lines, {})
