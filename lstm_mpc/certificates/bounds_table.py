"""Every bound of the reachable outputs side by side: sampled plant and model, interval tube,
trivial bound, ISS bound (5)."""

from __future__ import annotations

from typing import Any

import numpy as np

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.evidence import Tube, Tubes, Verification
from lstm_mpc.model.model import Model


def bounds_table(
    model: Model, tubes: Tubes, verification: Verification | None, *, output: int = 0
) -> list[dict[str, Any]]:
    """Per radius the interval of `output` [engineering] by every method, None where there is
    none."""
    certificate = certify(model, "iss")
    rows = []
    for tube in tubes.tubes:
        row: dict[str, Any] = {
            "radius": tube.radius,
            "tube": tube.whole[output],
            "trivial": tube.trivial[output],
            "iss": None,
        }
        for system in ("plant", "model"):
            bound = verification.bound(system, tube.radius) if verification else None
            row[system] = (bound.low[output], bound.high[output]) if bound else None
        if certificate.holds and tube.radius <= certificate.radius:
            row["iss"] = iss_interval(model, certificate.constants["layers"], tube, output=output)
        rows.append(row)
    return rows


def iss_interval(
    model: Model, constants: list[dict[str, Any]], tube: Tube, *, output: int = 0
) -> tuple[float, float]:
    """The interval of `output` by the ISS bound (5) of the last layer at k = 0: |y − b_y| ≤ |C|
    |χ|.

    In a stack the last layer is driven by ξ⁺ of the layer below, |ξ⁺| < 1, which is tighter than
    any bound (5) of that layer."""
    layer, gains = model.network.layers[-1], constants[-1]
    reach = tube.radius if len(constants) == 1 else 1.0
    state = gains["beta_gain"] * np.abs(tube.start_box).max() * np.sqrt(2 * layer.nx) + gains[
        "gamma_u"
    ] * reach * np.sqrt(layer.nu)
    state += gains["gamma_b"] * np.linalg.norm(layer.b_c)
    width, centre = np.linalg.norm(model.network.C[output]) * state, model.network.b_y[output, 0]
    low, high = (
        model.scaling.y_span[output] * np.array([centre - width, centre + width])
        + model.scaling.y_mid[output]
    )
    return float(low), float(high)
