"""Networks made for a condition: of one layer, scaled, and near the edge of incremental
stability."""

from functools import cache

import numpy as np
import pytest
from builders import random_network, zero_layer

from lstm_mpc.certificates.conditions import CONDITIONS, smallest_margin
from lstm_mpc.model import lstm
from lstm_mpc.model.lstm import Network

every = pytest.mark.parametrize("name", CONDITIONS)


def one_layer(factor=1.0, **leaves):
    """A single-layer network: the given leaves times `factor`, zeros elsewhere."""
    nx = len(next(iter(leaves.values()), [0]))
    scaled = {name: factor * np.array(value, dtype=float) for name, value in leaves.items()}
    return Network((zero_layer(nx, 1, **scaled),), np.ones((1, nx)), np.zeros((1, 1)))


def turning(angle=2.0, size=2.2):
    """Two cells whose U_c turns the state: absolute values see growth, signs a contraction."""
    c, s = size * np.cos(angle), size * np.sin(angle)
    return one_layer(U_c=[[c, -s], [s, c]])


def scaled(network, factor):
    return lstm.unpack(factor * lstm.pack(network), lstm.sizes_of(network))


@cache
def contracting(seed, shape, target=0.05):
    """A random network scaled until delta_iss holds with about the margin `target`: near the edge,
    where a wrong bound would show."""
    network, low, high = random_network(seed, *shape), 0.0, 8.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (
            (middle, high)
            if smallest_margin(scaled(network, middle), ("delta_iss",), 1.0) > target
            else (low, middle)
        )
    return scaled(network, low)
