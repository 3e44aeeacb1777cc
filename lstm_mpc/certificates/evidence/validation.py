"""What a simulation of new data measures of a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lstm_mpc.certificates.evidence.claim import Evidence
from lstm_mpc.certificates.evidence.error_tube import ErrorTube
from lstm_mpc.errors import InputError
from lstm_mpc.io.display import draw
from lstm_mpc.io.schema import noun

if TYPE_CHECKING:
    from lstm_mpc.data.dataset import Dataset
    from lstm_mpc.model.model import Model


@dataclass(frozen=True, repr=False)
class Validation(Evidence):
    """How well a model simulates new data. A claim that is *measured*.

    `model` is the digest of the model and `data` that of the validation data, `samples` samples
    that it was not trained on; random starts came from the `seed`. `fits` are the worst figures
    over records, one entry per reference ("measured", and "noise-free" where a simulated plant
    knows it). `error_tube` bounds the errors of what is yet to come.
    """

    model: str
    data: str
    samples: int
    seed: int
    fits: dict[str, dict[str, Any]]
    error_tube: ErrorTube | None = None

    kind = "lstm_mpc validation"

    def __post_init__(self) -> None:
        if "measured" not in self.fits:
            raise InputError("a validation holds figures against the measured output")
        for against, figures in self.fits.items():
            for name in ("normalised", "mean_removed"):
                if not noun(
                    list[float],
                    figures.get(name),
                    f"{name!r} of the figures against the {against} output",
                ):
                    raise InputError(f"the figures against the {against} output hold no {name}")

    @property
    def fit(self) -> float:
        """Mean-removed FIT [%] against the measured output, the worst output."""
        return float(min(self.fits["measured"]["mean_removed"]))

    def plot(self, model: Model, dataset: Dataset) -> Any:
        """Draw the simulated outputs beside the measured ones, and what remains.

        Args:
            model: The model that was validated.
            dataset: The data that it was validated on.

        Returns:
            A matplotlib figure.

        Raises:
            InputError: It is another model, or these are other data.
        """
        return draw(self, model, dataset)

    def _facts(self) -> dict[str, Any]:
        return {
            "fit": self.fit,
            "samples": self.samples,
            "seed": self.seed,
            "model": self.model[:12],
            "data": self.data[:12],
        }

    def _tables(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        rows = [
            (against, tuple(figures["normalised"]), tuple(figures["mean_removed"]))
            for against, figures in self.fits.items()
        ]
        yield "FIT [%] of each output", [("against", "normalised", "mean-removed"), *rows]
