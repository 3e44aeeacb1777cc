"""What a release is made of: checks of its model and its ranges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array


def refuse_altered(model: Model) -> None:
    if type(model) is not Model or artefact_file.digest(model.content()) != model.digest:
        raise InputError(
            "release: the model was altered after it was made; load it again, or make another"
            " with dataclasses.replace"
        )


def per_input(model: Model, given: ArrayLike) -> Array:
    values, full = np.asarray(given, dtype=np.float64), len(model.inputs)
    if values.size not in (1, full) or np.isnan(values).any():
        raise InputError(
            f"release: the input range {values.tolist()} must be numbers, one per signal ({full})"
        )
    held = np.broadcast_to(values.ravel(), (full,)).copy()
    held.setflags(write=False)
    return held


def interval_per_output(
    model: Model, given: Sequence[Sequence[float]]
) -> tuple[tuple[float, float], ...]:
    safe = tuple((float(a), float(b)) for a, b in given)
    if np.isnan(safe).any() or len(safe) != len(model.outputs):
        raise InputError(
            f"release: the safe set {safe} must be numbers, one per signal: (low, high) of each of"
            f" {len(model.outputs)} output(s)"
        )
    return safe
