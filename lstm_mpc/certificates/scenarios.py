"""Probabilistic safety verification by the Scenario Approach, eqs. (8)–(11): how far does the
output go?

One scenario is a whole trajectory: a start drawn from a box and an input drawn from a class.
Scenarios belong to their index: the result does not depend on how many processes share the work.
The same verb serves the network and the plant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log
from typing import Any

import numpy as np
from scipy.special import bdtr

from lstm_mpc.certificates.evidence import Verification
from lstm_mpc.certificates.exploration import (
    Pairs,
    Progress,
    explore,
    network_law,
    plant_law,
)
from lstm_mpc.data.excitation import default_dwell
from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import (
    System,
)

_LEAST = (1e-9, 1e-300)  # ε and β: smaller ones ask for more scenarios than can be counted


def scenario_count(epsilon: float, beta: float, *, d: int = 1, rule: str = "paper") -> int:
    """How many scenarios a probabilistic claim needs.

    Args:
        epsilon: The violation probability ε that is claimed, in (0, 1).
        beta: One minus the confidence of the claim, β in (0, 1).
        d: How many variables are optimised over the scenarios.
        rule: "paper": N ≥ (2/ε)(ln(1/β) + d), eq. (11). "exact": the least N with Σ_{i<d} C(N,i)
            ε^i (1−ε)^(N−i) ≤ β (Campi & Garatti 2008), which needs fewer.

    Returns:
        The least number N by that rule.

    Raises:
        InputError: ε, β or d is out of range, or there is no such rule.
    """
    if not (_LEAST[0] <= epsilon < 1 and _LEAST[1] <= beta < 1 and d >= 1):
        least = f"ε at least {_LEAST[0]:g}, β {_LEAST[1]:g}, d = {d} at least 1"
        raise InputError(
            f"scenario_count: ε = {epsilon} and β = {beta} must lie in (0, 1), {least}"
        )
    enough = ceil(2.0 / epsilon * (log(1.0 / beta) + d))
    if rule == "paper":
        return enough
    if rule != "exact":
        raise InputError(f"unknown scenario rule {rule!r}; use 'paper' or 'exact'")
    low, high = d - 1, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if bdtr(d - 1, middle, epsilon) <= beta else (middle, high)
    return high


@dataclass(frozen=True)
class VerifyOptions:
    """How a model is verified by scenarios; `[verify]` of a design.

    `radii` are the ρu (normalised input); `epsilon` ε and `beta` β decide by `rule` how many
    scenarios there are, each of `steps` samples from the `seed`; `shape` is "ball" (d = 1) or
    "intervals" (d = 2 per output). The first `settle` samples do not count for the settled bound.
    Each input level is held for a time uniform in `dwell` [s], by default 30 to 200 samples, and
    lies within the radius and, where `inputs` are given, one (low, high) for each [unit], within
    these; starts are uniform within ±`start_box` around rest."""

    radii: tuple[float, ...] = (1.0,)
    epsilon: float = 1e-2
    beta: float = 1e-6
    rule: str = "paper"
    shape: str = "ball"
    steps: int = 2000
    settle: int = 100
    dwell: tuple[float, float] | None = None
    start_box: float = 0.1
    seed: int = 0
    inputs: Pairs = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "radii", tuple(float(radius) for radius in self.radii))
        object.__setattr__(self, "inputs", tuple((float(a), float(b)) for a, b in self.inputs))
        if self.shape not in ("ball", "intervals"):
            raise InputError(f"verify: shape must be 'ball' or 'intervals', got {self.shape!r}")
        scenario_count(self.epsilon, self.beta, rule=self.rule)


def verify(
    model: Model,
    options: VerifyOptions | None = None,
    *,
    safe_set: Sequence[tuple[float, float]],
    plant: System | None = None,
    workers: int = 1,
    on_progress: Progress = lambda label, share: None,
) -> Verification:
    """Scenario verification of a model (Section 4 of the paper, Fig. 3b).

    Scenarios are drawn once, from the seed; a failed verification is a value, not a reason to draw
    again: repeating until it passes would void β.

    Args:
        model: The model.
        options: How many scenarios there are and of which law; by default `VerifyOptions()`.
        safe_set: (low, high) of each output [engineering].
        plant: A simulated plant that is verified beside the model.
        workers: Processes that share the work.
        on_progress: Hears what is under way, and the share of it that is done.

    Returns:
        What may be claimed of the outputs, for every radius.

    Raises:
        InputError: The options or the safe set do not fit the model.
    """
    o = options or VerifyOptions()
    if not o.radii or min(o.radii) <= 0 or max(o.radii) > model.scaling.radius * (1 + 1e-12):
        raise InputError(
            f"verify: radii {list(o.radii)} must lie in (0, {model.scaling.radius:g}], the model's"
            " own input radius"
        )
    _check_inputs(model, o)
    d = 1 if o.shape == "ball" else 2 * len(model.outputs)
    scenarios = scenario_count(o.epsilon, o.beta, d=d, rule=o.rule)
    common: dict[str, Any] = {
        "radii": o.radii,
        "scenarios": scenarios,
        "steps": o.steps,
        "settle": o.settle,
        "seed": o.seed,
    }
    common |= {"safe_set": safe_set, "shape": o.shape, "workers": workers}
    common |= {"on_progress": on_progress}
    dwell = o.dwell or default_dwell(model.Ts)
    law = network_law(model, dwell=dwell, start_box=o.start_box, inputs=o.inputs)
    bounds = explore(model.system, law, model.scaling, label="model", **common)
    if plant is not None:
        its_law = plant_law(plant, model.scaling, dwell=dwell, inputs=o.inputs)
        bounds += explore(plant, its_law, model.scaling, label="plant", **common)
    names = ("epsilon", "beta", "rule", "shape", "steps", "settle", "seed")
    return Verification(
        model=model.digest,
        scenarios=scenarios,
        law=law.describe(),
        safe_set=tuple((float(a), float(b)) for a, b in safe_set),
        bounds=bounds,
        **{name: getattr(o, name) for name in names},
    )


def _check_inputs(model: Model, options: VerifyOptions) -> None:
    """InputError where `inputs` are not ranges of the model's inputs within every radius."""
    if not options.inputs:
        return
    if len(options.inputs) != len(model.inputs):
        raise InputError(
            f"verify: inputs has {len(options.inputs)} ranges, the model has {len(model.inputs)}"
            " inputs; give [low, high] for each"
        )
    reach = min(options.radii) * (1 + 1e-9)
    for s, (low, high), ends in zip(
        model.inputs,
        options.inputs,
        model.scaling.u_in(np.transpose(options.inputs)).T,
        strict=True,
    ):
        if not (low <= high and np.abs(ends).max() <= reach):
            raise InputError(
                f"verify: the inputs [{low:g}, {high:g}] {s.unit} of {s.name!r} must rise and lie"
                f" within the smallest of radii, {min(options.radii):g}"
            )
