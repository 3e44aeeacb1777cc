"""What interval tubes prove of the outputs of a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lstm_mpc.certificates.evidence.claim import Evidence
from lstm_mpc.certificates.evidence.verification import Verification
from lstm_mpc.io.display import draw

if TYPE_CHECKING:
    from lstm_mpc.model.model import Model


def _interval(ends: tuple[float, float]) -> str:
    return f"[{ends[0]:.4g}, {ends[1]:.4g}]"


class OfTubes(Evidence):
    """What is drawn as intervals of an output."""

    def plot(
        self, model: Model, verification: Verification | None = None, *, output: int = 0
    ) -> Any:
        """Draw the intervals of one output over the input radius, by every method.

        Args:
            model: The model whose tubes they are.
            verification: Where there is one, what it sampled stands inside.
            output: Place of the output in the model's outputs.

        Returns:
            A matplotlib figure.

        Raises:
            InputError: It is another model, or there is no such output.
        """
        return draw(self, model, verification, output=output)


@dataclass(frozen=True, repr=False)
class Tube(OfTubes):
    """The interval tube of a model. A claim that is *proved*.

    It holds for the model of digest `model`, every input |u| ≤ `radius` [normalised], every start
    in `start_box` (one number for |χ0_j|, or low and high of every state) and in `settled`, the box
    (low, high of every state) that every trajectory enters and none leaves, all k.

    Per output (low, high) [engineering]: `whole` over all time, `forever` after the start has died
    out, `trivial` without iteration, `single` as `whole`, for what the C computes in single
    precision; `safe` is whether `whole` lies in the `safe_set`.
    `tube_low`, `tube_high` (steps + 1, ny) follow the first `steps` samples; they are not kept on
    disk. `pieces` are those that the input box was cut into.
    """

    model: str
    radius: float
    start_box: float | list[list[float]]
    settled: tuple[tuple[float, float], ...]
    steps: int
    pieces: int
    whole: tuple[tuple[float, float], ...]
    forever: tuple[tuple[float, float], ...]
    trivial: tuple[tuple[float, float], ...]
    single: tuple[tuple[float, float], ...]
    safe_set: tuple[tuple[float, float], ...]
    safe: bool
    tube_low: tuple[tuple[float, ...], ...] = field(default=(), compare=False, repr=False)
    tube_high: tuple[tuple[float, ...], ...] = field(default=(), compare=False, repr=False)

    kind = "lstm_mpc reach"

    @property
    def carried(self) -> bool:
        """Whether what the C computes in single precision lies in the safe set, too."""
        return all(
            a <= x and z <= b for (a, b), (x, z) in zip(self.safe_set, self.single, strict=True)
        )

    @property
    def starts(self) -> str:
        """The set of starts in words, for the end of a sentence."""
        box = self.start_box
        given = f"|χ0| ≤ {box:g}" if isinstance(box, float) else "the declared box"
        return f"from every start in {given} or in the box that all trajectories enter"

    def _facts(self) -> dict[str, Any]:
        return {
            "radius": self.radius,
            "safe": self.safe,
            "steps": self.steps,
            "outputs": len(self.whole),
            "model": self.model[:12],
        }

    def _tables(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        rows = [
            (place, *map(_interval, ends))
            for place, *ends in zip(
                range(len(self.whole)), self.whole, self.forever, self.trivial, strict=True
            )
        ]
        yield "Intervals", [("output", "all time", "start forgotten", "trivial"), *rows]

    def content(self) -> dict[str, Any]:
        return {
            name: value for name, value in super().content().items() if not name.startswith("tube_")
        }


@dataclass(frozen=True, repr=False)
class Tubes(OfTubes):
    """Interval tubes of one model at several input radii.

    `model` is the digest of the model, `tubes` one for each radius.
    """

    model: str
    tubes: tuple[Tube, ...]

    kind = "lstm_mpc tubes"

    def _facts(self) -> dict[str, Any]:
        return {
            "radii": tuple(tube.radius for tube in self.tubes),
            "safe": all(tube.safe for tube in self.tubes),
            "model": self.model[:12],
        }
