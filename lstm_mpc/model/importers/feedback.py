"""A network that is fed with its own outputs, closed into the recursion of the model.

The network reads v = [u(k); y(k)] and gives y(k+1) = C ξ(k+1) + b_y. With y(k) = C ξ(k) + b_y put
into the gates of its one layer,

    W u + V (D (C ξ + b_y) + e) + U ξ + b  =  W u + (U + V D C) ξ + b + V (D b_y + e),

which is an LSTM in u alone; y enters as D y + e where inputs and outputs are scaled unlike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers.gates import Foreign
from lstm_mpc.model.lstm import GATES, Layer, Network
from lstm_mpc.plants.system import Array

Pair = tuple[Array, Array]


def closed(
    network: Foreign,
    feedback: Mapping[str, int],
    outputs: Sequence[str],
    u_scale: Pair | None,
    y_scale: Pair | None,
) -> Foreign:
    """The network in its other inputs alone. `feedback` names outputs and the places, from 0, of
    the inputs that they go to; the scales are (mid, span) of all its inputs and outputs, None
    where the network is fed with its outputs as they are. InputError says why it cannot be."""
    places = _places(network.network, feedback, outputs)
    if len(network.network.layers) > 1:
        raise InputError(
            f"has {len(network.network.layers)} LSTM layers and is fed with its own outputs"
            " (autoregressive): its first layer would read the states of its last, which no stack"
            " of layers can represent; train it with one LSTM layer, or on inputs alone"
        )
    fed, rows = list(places), list(places.values())
    if network.clip is not None and np.isfinite([part[fed] for part in network.clip]).any():
        raise InputError(
            "clips the inputs that its own outputs go to, which makes the recursion another one"
        )
    factor, added = np.ones(len(fed)), np.zeros(len(fed))
    if u_scale is not None:
        y_mid, y_span = y_scale or (np.zeros(len(outputs)), np.ones(len(outputs)))
        factor = y_span[rows] / u_scale[1][fed]
        added = (y_mid[rows] - u_scale[0][fed]) / u_scale[1][fed]
    rest = [j for j in range(network.network.nu) if j not in places]
    words = ", ".join(f"{name} into input {place}" for name, place in feedback.items())
    return replace(
        network,
        network=_recursion(network.network, fed, rest, rows, factor, added),
        u_scale=_at(network.u_scale, rest),
        clip=_at(network.clip, rest),
        notes=(
            *network.notes,
            f"the network's own outputs go back ({words}): the model is the closed recursion, and"
            " whatever is certified is certified of it; measured outputs do not enter",
        ),
    )


def _at(pair: Pair | None, places: list[int]) -> Pair | None:
    return None if pair is None else (pair[0][places], pair[1][places])


def _recursion(
    network: Network, fed: list[int], rest: list[int], rows: list[int], factor: Array, added: Array
) -> Network:
    (layer,) = network.layers
    C = factor[:, None] * network.C[rows]
    constant = factor[:, None] * network.b_y[rows] + added[:, None]
    parts: dict[str, Array] = {}
    for g in GATES:
        W, U, b = layer.gate(g)
        V = W[:, fed]
        parts |= {f"W_{g}": W[:, rest], f"U_{g}": U + V @ C, f"b_{g}": b + V @ constant}
    return Network((Layer(**parts),), network.C, network.b_y)


def _places(
    network: Network, feedback: Mapping[str, int], outputs: Sequence[str]
) -> dict[int, int]:
    """Input by input the output that goes to it."""
    places: dict[int, int] = {}
    for name, place in feedback.items():
        if name not in outputs:
            raise InputError(
                f"[import] feedback names {name!r}, which is no output of the design"
                f" ({', '.join(outputs)})"
            )
        if outputs.index(name) >= network.ny or not 0 <= place < network.nu:
            raise InputError(
                f"[import] feedback {name} = {place}, but the network has the inputs 0 to"
                f" {network.nu - 1} and {network.ny} output(s)"
            )
        if place in places:
            raise InputError(f"[import] feedback sends two outputs to input {place}")
        places[place] = outputs.index(name)
    if len(places) == network.nu:
        raise InputError("[import] feedback leaves the network no input of its own")
    return dict(sorted(places.items()))
