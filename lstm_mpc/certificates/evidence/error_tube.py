"""How far a plant may be off its model, without a simulator: split conformal prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Any

import numpy as np

from lstm_mpc.certificates.evidence.claim import Evidence
from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array, Signal


@dataclass(frozen=True, repr=False)
class ErrorTube(Evidence):
    """How far a plant stays from its model in open loop. A claim that is *measured*.

    With probability 1 − `alpha` all of a further `block` samples are within `width` of the model,
    by split conformal prediction (Vovk et al. 2005; Lei et al. 2018). `width` (ny,) [output unit]
    bounds |y − ŷ|, from `transient` samples on; it is empty where the `blocks` that were seen are
    too few. `model` and `data` are the digests of model and records, and `choices` the number of
    models that were compared on these records, each of which it holds for. It holds where further
    blocks and those seen are exchangeable: the same plant, driven alike.
    """

    model: str
    data: str
    alpha: float
    block: int
    blocks: int
    choices: int
    transient: int
    width: tuple[float, ...]

    kind = "lstm_mpc error tube"

    def __post_init__(self) -> None:
        counts = (self.block, self.choices, self.blocks + 1, self.transient + 1)
        if not (0.0 < self.alpha < 1.0 and min(counts) >= 1):
            raise InputError(
                f"error tube: alpha = {self.alpha} must lie in (0, 1), block = {self.block} and"
                f" choices = {self.choices} be at least 1, and no count negative"
            )
        if not all(0.0 <= w < inf for w in self.width):
            raise InputError(f"error tube: width = {list(self.width)} must be finite numbers")

    def needed(self, ny: int) -> int:
        """How many blocks a tube needs.

        Args:
            ny: The number of outputs.

        Returns:
            The least number with a finite width.
        """
        return ceil(self.choices * ny / self.alpha - 1.0 - 1e-9)

    def sentence(self, outputs: Sequence[Signal]) -> str:
        """The claim in words.

        Args:
            outputs: The outputs of the model.

        Returns:
            One sentence, with what it rests on, or why there is no claim.
        """
        if not self.width:
            needed = self.needed(len(outputs))
            chosen = f" for {self.choices} models compared" if self.choices > 1 else ""
            return (
                f"no error tube: {self.blocks} blocks of {self.block} samples cannot carry"
                f" probability {1.0 - self.alpha:g}{chosen}, {needed} are needed,"
                f" {needed * self.block} samples beside the first {self.transient} of each record;"
                " validate on longer records"
            )
        widths = ", ".join(
            f"{s.name} ± {w:.3g} {s.unit}" for s, w in zip(outputs, self.width, strict=True)
        )
        chosen = f", for each of {self.choices} models compared on them" if self.choices > 1 else ""
        return (
            f"with probability {1.0 - self.alpha:g} all of a further {self.block} samples stay"
            f" within {widths} of the model's open loop (split conformal over {self.blocks} blocks"
            f"{chosen}), if they are exchangeable with these: the same plant, driven alike"
        )

    def _facts(self) -> dict[str, Any]:
        names = ("width", "alpha", "block", "blocks", "choices")
        return {name: getattr(self, name) for name in names} | {"model": self.model[:12]}


def widths(scores: Array, alpha: float, choices: int) -> tuple[float, ...]:
    """The width of every output (ny,) from the largest errors of blocks (n, ny): α is shared among
    outputs and choices. Empty where there is none."""
    share = alpha / (choices * scores.shape[1])
    ends = [quantile(column, share) for column in scores.T]
    return tuple(ends) if np.isfinite(ends).all() else ()


def quantile(scores: Array, alpha: float) -> float:
    """The least value that a further exchangeable score exceeds with probability at most `alpha`.

    Args:
        scores: What was seen, (n,).
        alpha: The probability.

    Returns:
        Number ⌈(n + 1)(1 − α)⌉ of the n scores, +inf where there is none.
    """
    place = ceil((len(scores) + 1) * (1.0 - alpha) - 1e-9)
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else inf
