"""The bounds side by side: nested where they must be, (5) also for a stack."""

from itertools import pairwise

import numpy as np
import pytest
from builders import DEPTHS, bistable, model_of, random_network, stable_network

from lstm_mpc.certificates.bounds_table import bounds_table
from lstm_mpc.certificates.evidence import Tubes
from lstm_mpc.certificates.reachability import reach
from lstm_mpc.certificates.scenarios import VerifyOptions, verify

WIDE = (-100.0, 100.0)


def tubes_of(model, radii=(0.5, 1.0)):
    return Tubes(
        model.digest,
        tuple(
            reach(model, safe_set=[WIDE] * len(model.outputs), radius=r, steps=100) for r in radii
        ),
    )


@pytest.mark.parametrize("shape", DEPTHS)
def test_every_bound_holds_the_sampled_outputs_and_the_looser_ones_hold_the_tighter(shape):
    model = model_of(stable_network(5, *shape))
    sampled = verify(
        model, VerifyOptions(radii=(0.5, 1.0), steps=60, settle=0), safe_set=[WIDE] * shape[2]
    )
    rows = bounds_table(model, tubes_of(model), sampled)
    assert [row["radius"] for row in rows] == [0.5, 1.0]
    for row in rows:
        chain = [row[name] for name in ("model", "tube", "trivial", "iss")]
        for (low, high), (lower, higher) in pairwise(chain):
            assert lower <= low < high <= higher
        assert row["plant"] is None
    assert rows[0]["iss"][1] <= rows[1]["iss"][1]


def test_the_iss_bound_of_a_stack_is_that_of_its_last_layer():
    """(5) by hand: V = |x|₁ + |ξ|₁ of the last layer, driven by |ξ⁺| < 1 of the layer below
    whatever u does."""
    model = model_of(stable_network(1, 1, (2, 3), 1))
    half, full = (row["iss"] for row in bounds_table(model, tubes_of(model), None))
    assert half == full
    layer, network = model.network.layers[1], model.network

    def sigma(g):
        rows = [np.abs(getattr(layer, f"{kind}_{g}")).sum(axis=1) for kind in "WUb"]
        return 1 / (1 + np.exp(-sum(rows).max()))

    worst = max(
        (1 + sigma("o")) * sigma("f"),
        (1 + sigma("o")) * sigma("i") * np.abs(layer.U_c).sum(axis=0).max(),
    )
    delta, inputs, cells = 1 - worst, 2, 3
    state = np.sqrt(2 * cells) * 0.1 * np.sqrt(2 * cells)
    state += 2 * np.sqrt(inputs) * np.abs(layer.W_c).sum(axis=0).max() / delta * np.sqrt(inputs)
    state += 2 * np.sqrt(cells) / delta * np.linalg.norm(layer.b_c)
    width = model.scaling.y_span[0] * np.linalg.norm(network.C) * state
    assert full[1] - full[0] == pytest.approx(2 * width, rel=1e-9)


def test_without_7_there_is_no_iss_bound_and_without_evidence_no_sampled_one():
    model = model_of(random_network(0, spread=3.0))
    row = bounds_table(model, tubes_of(model, (1.0,)), None)[0]
    assert (row["iss"], row["model"], row["plant"]) == (None, None, None)
    assert (
        bounds_table(model_of(bistable()), tubes_of(model_of(bistable()), (1.0,)), None)[0]["iss"]
        is not None
    )
