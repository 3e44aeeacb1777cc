"""What scenarios claim of a closed loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

from lstm_mpc.certificates.evidence.claim import Evidence
from lstm_mpc.certificates.provenance.campaigns import LogState
from lstm_mpc.certificates.provenance.manifest import Manifest
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file

VERIFY_LOOP = "verify-loop"  # a kind of campaign


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

    def __post_init__(self) -> None:
        figures = (*self.error, *self.settling, *self.overshoot, *self.mean_error)
        if not (all(0.0 <= v < inf for v in figures) and 0.0 <= self.flagged <= 1.0):
            raise InputError(
                "performance: errors, settling times and overshoots must be finite and not"
                f" negative, the flagged share within [0, 1], got {list(figures)} and"
                f" {self.flagged}"
            )


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

    def __post_init__(self) -> None:
        for what, values in self._per_output():
            if len(values) != len(self.low):
                raise InputError(
                    f"loop verification: {what} holds {len(values)} figure(s), there are"
                    f" {len(self.low)} output(s)"
                )

    def _per_output(self) -> Iterator[tuple[str, tuple[float, ...]]]:
        """What holds a figure for each output."""
        yield from (("high", self.high), ("tracking", self.tracking))
        if self.bound is not None:
            yield from (("bound", self.bound.low), ("bound", self.bound.high))
        if self.performance is not None:
            for whose, loops in vars(self.performance).items():
                for name in ("error", "settling", "overshoot", "mean_error"):
                    yield f"{name} of {whose}", getattr(loops, name)

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
