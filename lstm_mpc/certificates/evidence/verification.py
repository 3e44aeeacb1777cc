"""What scenarios claim of a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lstm_mpc.certificates.evidence.claim import Evidence
from lstm_mpc.certificates.provenance.campaigns import LogState
from lstm_mpc.certificates.provenance.manifest import Manifest
from lstm_mpc.io import artefact_file
from lstm_mpc.io.display import draw

if TYPE_CHECKING:
    from lstm_mpc.model.model import Model


VERIFY = "verify"  # a kind of campaign


@dataclass(frozen=True)
class Bound:
    """What N scenarios at one input radius say, in normalised and engineering units.

    `system` is "model" or "plant", `radius_u` the input radius ρu [normalised]. `radius_y` is ρ*(ε,
    β) of (10), from all samples; `settled` the same without the first `settle` samples, which the
    artificial start makes. `low`, `high` are the extreme outputs per output [engineering], `safe`
    whether the claimed set lies in the safe set. `worst` is the scenario that made ρ*, `sample`
    where in it.
    """

    system: str
    radius_u: float
    radius_y: float
    settled: float
    low: tuple[float, ...]
    high: tuple[float, ...]
    worst: int
    sample: int
    safe: bool


@dataclass(frozen=True, repr=False)
class Verification(Evidence):
    """Scenario verification of a model, eqs. (8)–(11). A claim that is *sampled*.

    With confidence 1−β, a new draw from the same law leaves the bound with probability at most ε.
    Each of the `bounds` is a claim of its own; all of them together hold with confidence 1 −
    (count)·β.

    `model` is the digest of the model; `epsilon` ε and `beta` β gave by `rule` the number of
    `scenarios`, each of `steps` samples, of which the first `settle` do not count for the settled
    bound. `law` and `seed` describe how scenarios were drawn (input class, start), so that any
    scenario can be drawn again; `shape` is "ball" (d = 1) or "intervals" (d = 2 per output).
    `safe_set` is (low, high) per output [engineering]. In a design directory, `manifest` is what it
    was made from and `log` the state of the log of campaigns when it was.
    """

    model: str
    epsilon: float
    beta: float
    rule: str
    shape: str
    scenarios: int
    steps: int
    settle: int
    seed: int
    law: dict[str, Any]
    safe_set: tuple[tuple[float, float], ...]
    bounds: tuple[Bound, ...]
    manifest: Manifest | None = None
    log: LogState | None = None

    kind = "lstm_mpc verification"

    @property
    def subject(self) -> str:
        """What the campaign was about, whatever its seed and number."""
        radii = [b.radius_u for b in self.bounds if b.system == "model"]
        return artefact_file.digest(
            [VERIFY, self.model, self.law, self.shape, self.steps, max(radii, default=0.0)]
        )

    def bound(self, system: str, radius_u: float) -> Bound | None:
        """The bound of a system at an input radius.

        Args:
            system: "model" or "plant".
            radius_u: The input radius ρu [normalised].

        Returns:
            The bound, or None where that system was not verified at that radius.
        """
        found = [
            b for b in self.bounds if b.system == system and abs(b.radius_u - radius_u) < 1e-12
        ]
        return found[0] if found else None

    def plot(self, model: Model | None = None, *, radius: float | None = None) -> Any:
        """Draw the output bounds over the input bounds or, with the model, some scenarios.

        Args:
            model: The model that was verified.
            radius: The input bound [normalised] of the scenarios; by default the widest.

        Returns:
            A matplotlib figure.

        Raises:
            InputError: It is another model.
        """
        return draw(self, model, radius=radius)

    def _facts(self) -> dict[str, Any]:
        return {
            "scenarios": self.scenarios,
            "steps": self.steps,
            "epsilon": self.epsilon,
            "beta": self.beta,
            "bounds": len(self.bounds),
            "safe": all(bound.safe for bound in self.bounds),
            "model": self.model[:12],
        }

    def _tables(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        rows = [(b.system, b.radius_u, b.radius_y, b.settled, b.safe) for b in self.bounds]
        yield "Bounds [normalised]", [("of", "ρu", "ρ*y", "settled", "safe"), *rows]
