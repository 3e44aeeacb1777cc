"""A model as JSON holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lstm_mpc.data.scaling import Scaling
from lstm_mpc.plants.system import Signal


@dataclass(frozen=True)
class Saved:
    """The fields of a `Model`; its network by the names of the parameters."""

    name: str
    Ts: float
    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    scaling: Scaling
    network: dict[str, list[list[float]]]
    origin: dict[str, Any]
    delays: tuple[int, ...] = ()
