"""Seeded builders shared by the tests: random networks and models of any size, and small pieces of
evidence."""

from dataclasses import replace
from itertools import product

import casadi as ca
import numpy as np
import pytest

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.evidence import Validation
from lstm_mpc.certificates.gate import release
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.certificates.scenarios import VerifyOptions, verify
from lstm_mpc.control.limits import Limits
from lstm_mpc.data.scaling import Scaling
from lstm_mpc.identification.options import TrainingOptions
from lstm_mpc.model import lstm
from lstm_mpc.model.lstm import GATES, Layer, Network, Sizes
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Signal, System

WIDE = ((-100.0, 100.0),)  # a safe set nothing leaves
SETTINGS = TrainingOptions(cells=(3,), iterations=60)


# (nu, nx, ny): one and two layers, SISO and MIMO
DEPTHS = ((1, (3,), 1), (2, (3,), 2), (1, (2, 3), 1), (2, (3, 2), 3))
RELEASES = {"siso": (0, 1, (5,), 1), "mimo": (1, 2, (4, 3), 3)}  # seed, nu, nx, ny


def random_network(seed, nu=1, nx=(3,), ny=1, *, spread=1.0):
    """Weights uniform in ±spread; for spread 1 condition (7) fails."""
    sizes = Sizes(nu, nx, ny)
    return lstm.unpack(
        np.random.default_rng(seed).uniform(-spread, spread, sizes.parameters), sizes
    )


def stable_network(seed, nu=1, nx=(3,), ny=1):
    """Random, with condition (7) satisfied for |u| ≤ 1 by a margin of at least 0.01."""
    rng, layers, below = np.random.default_rng(seed), [], nu
    for width in nx:
        leaves = {}
        for g in GATES:
            M = rng.uniform(-1, 1, (width, below + width + 1))
            if g != "c":
                M *= rng.uniform(0.05, 0.4) / np.abs(M).sum(axis=1).max()
            else:
                M[:, below:-1] *= rng.uniform(0.2, 0.98) / np.abs(M[:, below:-1]).sum(axis=0).max()
            leaves |= {f"W_{g}": M[:, :below], f"U_{g}": M[:, below:-1], f"b_{g}": M[:, -1:]}
        layers.append(Layer(**leaves))
        below = width
    return lstm.numeric(
        Network(tuple(layers), rng.uniform(-1, 1, (ny, below)), rng.uniform(-0.3, 0.3, (ny, 1)))
    )


def zero_layer(nx=1, nu=1, **leaves):
    """A layer of zeros but for `leaves`."""
    zeros = {
        f"{kind}_{g}": np.zeros((nx, {"W": nu, "U": nx, "b": 1}[kind]))
        for kind, g in product("WUb", GATES)
    }
    return Layer(**zeros | {name: np.array(value, dtype=float) for name, value in leaves.items()})


def bistable():
    """theory.md, section 3: satisfies (7), yet two runs under the same input do not meet."""
    layer = zero_layer(b_c=[[2]], U_i=[[20]], b_i=[[-8]], b_o=[[2]])
    return Network((layer,), np.ones((1, 1)), np.zeros((1, 1)))


def plain(network):
    """The layers as the oracle wants them: nested lists, biases as vectors."""
    layers = []
    for layer in network.layers:
        leaves = {f"{kind}_{g}": getattr(layer, f"{kind}_{g}") for kind in "WUb" for g in GATES}
        layers.append(
            {name: (v.ravel() if name[0] == "b" else v).tolist() for name, v in leaves.items()}
        )
    return layers


def model_of(network, *, seed=0, Ts=10.0):
    """A model in odd engineering units: input j lives in ±(j+2) around 3j+1, output j has mid −j
    and span j+0.5."""
    nu, ny = network.nu, network.ny
    mid, half = 3.0 * np.arange(nu) + 1.0, np.arange(nu) + 2.0
    inputs = tuple(Signal(f"u{j + 1}", "V", mid[j] - half[j], mid[j] + half[j]) for j in range(nu))
    outputs = tuple(Signal(f"y{j + 1}", "m") for j in range(ny))
    scaling = Scaling(mid, half, -1.0 * np.arange(ny), np.arange(ny) + 0.5)
    return Model(network, scaling, inputs, outputs, Ts, {"seed": seed})


def random_model(seed, nu=1, nx=(3,), ny=1, **options):
    return model_of(random_network(seed, nu, nx, ny, **options), seed=seed)


def stable_model(seed, nu=1, nx=(3,), ny=1):
    return model_of(stable_network(seed, nu, nx, ny), seed=seed)


def paper_policy(**changes):
    """The gate of the paper: condition (7) and scenarios."""
    return Policy(**{"conditions": ("iss",), "output_set": "scenario", **changes})


def some(cases, *quick):
    """The cases of a test as its parameters: only the `quick` ones run each time, the others are
    slow."""
    return [
        (
            case
            if case in quick
            else pytest.param(
                *(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow
            )
        )
        for case in cases
    ]


def validation_for(model, fit=97.0):
    """Measured evidence with the given mean-removed FIT [%]."""
    ny = len(model.outputs)
    figures = {
        "normalised": ny * [fit],
        "engineering": ny * [99.0],
        "mean_removed": ny * [fit],
        "rmse": ny * [0.01],
    }
    return Validation(model.digest, "0" * 64, 100, 0, {"measured": figures})


def released(kind):
    """A stable model of RELEASES, through a gate that asks little."""
    return released_of(stable_model(*RELEASES[kind]))


def released_of(model):
    """A stable model through a gate that asks little, with a safe set that nothing leaves."""
    safe = [(-100.0, 100.0)] * len(model.outputs)
    evidence = verify(model, VerifyOptions(steps=5, settle=0), safe_set=safe)
    policy = paper_policy(waive={"controller": "a bench, nobody near"})
    evidence = [certify(model)], evidence, validation_for(model)
    return release(model, *evidence, policy, safe_set=safe)


def later(released, delays):
    """The same model with inputs that are late, through the gate of `released_of`."""
    return released_of(replace(released.model, delays=delays))


def limits_of(low=0.0, high=10.0, move=2.0, signals=1):
    """Limits put together by hand."""
    full = np.ones(signals)
    return Limits(
        u_low=low * full,
        u_high=high * full,
        max_move=move * full,
        max_move_down=move * full,
        u_safe=0.5 * (low + high) * full,
        y_low=-np.inf * full,
        y_high=np.inf * full,
        sensor_low=-100 * full,
        sensor_high=100 * full,
        output_weight=full,
        move_penalty=0.1 * full,
        violation_weight=full,
        input_target=0 * full,
        input_weight=0 * full,
        starts=(0,),
    )


def first_order(pole, gain):
    """y⁺ = pole·y + (1 − pole)·gain·u, every 10 s."""
    x, u, d = ca.SX.sym("x"), ca.SX.sym("u"), ca.SX.sym("d", 0)
    step = ca.Function("step", [x, u, d], [pole * x + (1 - pole) * gain * u])
    signals = (Signal("u", "V", -100.0, 100.0, 0.0),), (Signal("y", "m"),)
    return System("first order", *signals, 10.0, np.zeros(1), step, ca.Function("output", [x], [x]))
