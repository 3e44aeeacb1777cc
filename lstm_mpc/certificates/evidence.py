"""Records of what may be claimed, each tied by digest to the model it speaks of.

Every claim is of one kind: *proved* (algebra on the weights), *sampled* (a confidence 1−β on a
probability ε) or *measured* (a run)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from lstm_mpc.certificates.provenance.campaigns import LogState
from lstm_mpc.certificates.provenance.manifest import Manifest
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.artefact_file import Artefact
from lstm_mpc.io.display import Displayed, draw
from lstm_mpc.io.schema import noun

if TYPE_CHECKING:
    from lstm_mpc.data.dataset import Dataset
    from lstm_mpc.model.model import Model


VERIFY, VERIFY_LOOP = "verify", "verify-loop"  # kinds of campaigns


class Evidence(Artefact, Displayed):
    """What may be claimed of a model or a loop, in a file of its own."""


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


def _interval(ends: tuple[float, float]) -> str:
    return f"[{ends[0]:.4g}, {ends[1]:.4g}]"


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


@dataclass(frozen=True)
class Performance:
    """How closed loops went, per output and the worst of all: the largest `error` after settling
    [output unit], the `settling` time [s] after which the error stays within 2 % of the safe set's
    width until something changes again, the `overshoot` beyond a new setpoint [output unit]; of
    all loops the `mean_error`, |error| on average, and the share of samples that are `flagged`,
    for anything but a budget used up."""

    error: tuple[float, ...]
    settling: tuple[float, ...]
    overshoot: tuple[float, ...]
    mean_error: tuple[float, ...]
    flagged: float


@dataclass(frozen=True)
class LoopPerformance:
    """A controller beside two baselines on the same scenarios: inputs `held` where they were, and
    a `pi` controller tuned on them."""

    controller: Performance
    held: Performance
    pi: Performance


@dataclass(frozen=True)
class PlantBound:
    """The outputs, `low` to `high` (ny,) [engineering], that no input within the limits takes the
    plants of a law out of, whatever the disturbances and constants in it: `kind` "proved", or
    "sampled" by so many `signals`."""

    kind: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    signals: int

    def within(self, safe_set: tuple[tuple[float, float], ...]) -> bool:
        """Whether it lies in the safe set, (low, high) of each output.

        Args:
            safe_set: The safe set.

        Returns:
            Whether no output of the bound is outside.
        """
        ends = zip(safe_set, self.low, self.high, strict=True)
        return all(a <= x and z <= b for (a, b), x, z in ends)


@dataclass(frozen=True, repr=False)
class LoopVerification(Evidence):
    """Scenario verification of a closed loop. A claim that is *sampled*.

    The exported C runs on simulated plants: with confidence 1−β, a new run of `steps` samples from
    the same law leaves the `safe_set`, (low, high) per output [engineering], scaled about its
    middle by `reach`, with probability at most ε. A run that moves an input beyond its bounds or
    rate limits counts as one that leaves every set, so that the claim (d = 1) covers both.
    `epsilon` ε and `beta` β gave by `rule` the number of `scenarios`, which were drawn from the
    `seed`.

    `model`, `problem` and `source` are the digests of the model, of problem and budget, and of the
    C; `law` describes how scenarios were drawn, `plant` says on which simulated plants. `low`,
    `high` are the extreme noise-free outputs, `worst` is the scenario that made `reach`;
    `violation` is the largest excess over bounds and rate limits [input unit] and `violator` its
    scenario. As further information: `tracking`, the largest error per output once nothing has
    changed for `settle` samples, and the samples with each flag of the controller's `status`. In a
    design directory, `manifest` is what it was made from and `log` the state of the log of
    campaigns when it was.
    `performance` holds how the loops went beside two baselines, `bound` what no controller can do.
    """

    model: str
    problem: str
    source: str
    epsilon: float
    beta: float
    rule: str
    scenarios: int
    steps: int
    settle: int
    seed: int
    law: dict[str, Any]
    safe_set: tuple[tuple[float, float], ...]
    reach: float
    low: tuple[float, ...]
    high: tuple[float, ...]
    worst: int
    violation: float
    violator: int | None
    tracking: tuple[float, ...]
    status: dict[str, int]
    plant: str = ""
    performance: LoopPerformance | None = None
    bound: PlantBound | None = None
    manifest: Manifest | None = None
    log: LogState | None = None

    kind = "lstm_mpc loop verification"

    @property
    def safe(self) -> bool:
        return self.reach <= 1.0 and self.violation == 0.0

    @property
    def controller(self) -> str:
        """Model, problem and budget of the controller, whatever its C says of them."""
        return artefact_file.digest([self.model, self.problem])

    @property
    def subject(self) -> str:
        """What the campaign was about, whatever its seed and number."""
        return artefact_file.digest(
            [VERIFY_LOOP, self.model, self.problem, self.law, self.plant, self.steps]
        )

    def _facts(self) -> dict[str, Any]:
        return {
            "scenarios": self.scenarios,
            "steps": self.steps,
            "epsilon": self.epsilon,
            "beta": self.beta,
            "safe": self.safe,
            "reach": self.reach,
            "model": self.model[:12],
        }

    @property
    def plants(self) -> str:
        """The simulated plants in words, for the end of a sentence."""
        return f" on simulated plants, {self.plant}," if self.plant else ""

    @property
    def claimed(self) -> tuple[tuple[float, float], ...]:
        """The claimed set, (low, high) per output: the safe set scaled about its middle."""
        middles = [(0.5 * (a + b), 0.5 * self.reach * (b - a)) for a, b in self.safe_set]
        return tuple((middle - half, middle + half) for middle, half in middles)


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


@dataclass(frozen=True, repr=False)
class Validation(Evidence):
    """How well a model simulates new data. A claim that is *measured*.

    `model` is the digest of the model and `data` that of the validation data, `samples` samples
    that it was not trained on; random starts came from the `seed`. `fits` are the worst figures
    over records, one entry per reference ("measured", and "noise-free" where a simulated plant
    knows it).
    """

    model: str
    data: str
    samples: int
    seed: int
    fits: dict[str, dict[str, Any]]

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
