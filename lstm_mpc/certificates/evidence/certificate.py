"""The verdict of a stability condition: what is proved of the weights of a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from lstm_mpc.certificates.evidence.claim import Evidence


@dataclass(frozen=True)
class Inequality:
    """One line of a condition: it holds when `value` < 1.

    `name` says what is bounded in which `layer`, `blame` names the gate and row that sets the
    value. A line with `check` proves that a witness is what it claims to be; it has no part in the
    margin.
    """

    layer: int
    name: str
    value: float
    blame: str
    check: bool = False

    @property
    def margin(self) -> float:
        return 1.0 - self.value


class Judged:
    """What is decided by its `inequalities`."""

    inequalities: tuple[Inequality, ...]

    @property
    def margin(self) -> float:
        return min(line.margin for line in self.inequalities if not line.check)

    @property
    def holds(self) -> bool:
        return all(line.margin > 0.0 for line in self.inequalities)

    @property
    def failures(self) -> tuple[str, ...]:
        """Every inequality that does not hold in words, the worst first."""
        failed = [line for line in self.inequalities if line.margin <= 0]
        return tuple(
            f"layer {x.layer}, {x.name} = {x.value:.6g} ≥ 1, over by {-x.margin:.3g}: {x.blame}"
            for x in sorted(failed, key=lambda line: line.margin)
        )


@dataclass(frozen=True)
class Single(Judged):
    """The inequalities of a condition for the numbers that the C carries, in single precision, and
    for inputs up to the `radius` that its own rounding makes of theirs."""

    radius: float
    inequalities: tuple[Inequality, ...]


@dataclass(frozen=True, repr=False)
class Certificate(Judged, Evidence):
    """The verdict of one stability condition on one model. A claim that is *proved*.

    It is decided from the exact norms of the saved numbers of the model, whose digest is `model`;
    `condition` is the name of the condition, and it holds when all `inequalities` do.

    `margin` is δ, the distance of the worst inequality from 1; negative when the condition fails.
    `constants` holds what the condition yields, for "iss" the functions of the bound (5) per layer.
    `radius` is the largest |u| [normalised] covered. `single` is the verdict on the numbers that
    the C carries, in single precision, where the condition holds for those in double precision.
    """

    model: str
    condition: str
    radius: float
    inequalities: tuple[Inequality, ...]
    constants: dict[str, Any]
    single: Single | None = None

    kind = "lstm_mpc certificate"

    @property
    def carried(self) -> bool:
        """Whether the condition also holds for the numbers in single precision."""
        return self.single is not None and self.single.holds

    def _facts(self) -> dict[str, Any]:
        judged = any(not line.check for line in self.inequalities)
        return {
            "condition": self.condition,
            "holds": self.holds,
            "margin": self.margin if judged else None,
            "radius": self.radius,
            "model": self.model[:12],
        }

    def _tables(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        rows = [(x.name, x.layer, x.value, x.margin, x.blame) for x in self.inequalities]
        yield "Inequalities", [("inequality", "layer", "value", "margin", "set by"), *rows]

    def __str__(self) -> str:
        worst = min(
            (line for line in self.inequalities if not line.check), key=lambda line: line.margin
        )
        if self.holds:
            return (
                f"{self.condition} holds with margin δ = {self.margin:.4g} (tightest: layer"
                f" {worst.layer}, {worst.name}, {worst.blame}){self._in_single}"
            )
        first, *others = self.failures
        more = f", and {len(others)} more inequalities fail" if others else ""
        return f"{self.condition} fails: {first}{more}"

    @property
    def _in_single(self) -> str:
        """What becomes of the condition in single precision, for the end of a sentence."""
        if self.single is None:
            return ""
        if self.single.holds:
            return f", and in single precision, as the C carries it, δ = {self.single.margin:.4g}"
        return f", but NOT in single precision, as the C carries it: {self.single.failures[0]}"

    def content(self) -> dict[str, Any]:
        lines = [{**x.__dict__, "margin": x.margin} for x in self.inequalities]
        return {
            **super().content(),
            "inequalities": lines,
            "holds": self.holds,
            "margin": self.margin,
        }

    @classmethod
    def from_content(cls, content: Any, where: str = "it") -> Self:
        """Make the certificate of the content of a file.

        What follows from its numbers is left out.

        Args:
            content: What `content` gave, as JSON types.
            where: What messages call it.

        Returns:
            The certificate.

        Raises:
            InputError: Something does not fit; with its name.
        """
        if isinstance(content, dict) and isinstance(lines := content.get("inequalities"), list):
            lines = [_less(line, "margin") for line in lines]
            content = {**_less(content, "holds", "margin"), "inequalities": lines}
        return super().from_content(content, where)


def _less(value: Any, *names: str) -> Any:
    return (
        {key: item for key, item in value.items() if key not in names}
        if isinstance(value, dict)
        else value
    )
