"""The numbers of a model as the C carries them, in single precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array

SINGLE = float(np.finfo(np.float32).eps)
_OPERATIONS = 4  # roundings on the way from an input to the network: minus, by, with disturbance


def single(values: Array) -> Array:
    """The nearest numbers of single precision."""
    with np.errstate(over="ignore"):  # a model refuses what is not finite
        return np.asarray(values, dtype=np.float32).astype(np.float64)


def in_single_precision(model: Model, *, beyond: float = 0.0) -> Model:
    """The model whose weights and scalings are rounded to single precision.

    Its `radius` is what the C's own arithmetic makes of inputs within the actuator limits, with as
    much as `beyond` [normalised] added to them.

    Args:
        model: The model in double precision.
        beyond: By how much inputs may leave the actuator limits [normalised].

    Returns:
        Another model, with a digest of its own.
    """
    s = model.scaling
    mid, span = single(s.u_mid), single(s.u_span)
    widest = np.abs((np.array([model.u_low, model.u_high]) - mid) / span).max()
    reach = max(float(widest), s.radius) + beyond * (1 + SINGLE)
    scaling = replace(
        s,
        u_mid=mid,
        u_span=span,
        y_mid=single(s.y_mid),
        y_span=single(s.y_span),
        radius=reach * (1 + _OPERATIONS * SINGLE),
    )
    network = lstm.unpack(single(lstm.pack(model.network)), model.sizes)
    return replace(model, network=network, scaling=scaling)
