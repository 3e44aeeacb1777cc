"""Scenarios of a model or a plant: how they are drawn, run side by side, and run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lstm_mpc.certificates.evidence import Bound, Verification
from lstm_mpc.data.excitation import Mprs, Segments
from lstm_mpc.data.scaling import Scaling
from lstm_mpc.errors import InputError
from lstm_mpc.io import parallel
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest, simulate_batch
from lstm_mpc.plants.system import Array, System, Trajectory, frozen_array, simulate

Progress = Callable[[str, float], None]  # what is under way, and the share of it that is done
Pairs = tuple[tuple[float, float], ...]
ASK = 100  # samples between two looks for Ctrl-C: a chunk of a long horizon takes minutes
# scenarios that run side by side; fixed, so that round-off does not depend on the number of workers
CHUNK = 1024


@dataclass(frozen=True)
class ScenarioLaw:
    """How scenarios are drawn: inputs multilevel pseudo-random in ±ρu (normalised) with levels held
    for `dwell` [s], where `inputs` (low, high) [engineering] are given only within these; starts
    uniform between `low` and `high` (n,)."""

    dwell: tuple[float, float]
    low: Array
    high: Array
    inputs: Pairs = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", frozen_array(self.low, 1, "law: low"))
        object.__setattr__(self, "high", frozen_array(self.high, 1, "law: high"))

    def draw(
        self, index: int, *, seed: int, radius: float, steps: int, scaling: Scaling, Ts: float
    ) -> tuple[Array, Segments]:
        """Scenario `index`: its start (n,) and its input in engineering units."""
        rng = np.random.default_rng([seed, index])
        start = rng.uniform(self.low, self.high)
        nu = scaling.u_mid.size
        shape = Mprs((-1.0,) * nu, (1.0,) * nu, self.dwell).draw(rng, steps, Ts)
        low, high = self.reach(radius, scaling)
        levels = 0.5 * (low + high) + 0.5 * (high - low) * shape.levels
        return start, Segments(shape.starts, scaling.u_out(levels))

    def reach(self, radius: float, scaling: Scaling) -> Array:
        """Least and largest inputs (2, nu) [normalised] at a radius; ValueError where `inputs` are
        not those of the scaling."""
        ends = np.outer([-radius, radius], np.ones(scaling.u_mid.size))
        if not self.inputs:
            return ends
        within = np.asarray(self.inputs, dtype=np.float64).reshape(scaling.u_mid.size, 2)
        return np.asarray(np.clip(scaling.u_in(within.T), *ends))

    def describe(self) -> dict[str, Any]:
        within = {"inputs": [list(pair) for pair in self.inputs]} if self.inputs else {}
        return {
            **within,
            "class": "Mprs",
            "dwell": list(self.dwell),
            "start_low": self.low.tolist(),
            "start_high": self.high.tolist(),
        }

    @staticmethod
    def from_description(law: dict[str, Any]) -> ScenarioLaw:
        ends = law["start_low"], law["start_high"]
        return ScenarioLaw(tuple(law["dwell"]), *ends, tuple(map(tuple, law.get("inputs", ()))))


def network_law(
    model: Model, *, dwell: tuple[float, float], start_box: float = 0.1, inputs: Pairs = ()
) -> ScenarioLaw:
    """The paper's law for the network: χ0 uniform in [−start_box, start_box]^2nx; inputs under way
    are 0, normalised. Within `inputs` (nu, 2) [engineering] the box lies around rest under their
    middles instead, which were held before."""
    start = model.system.x0
    if inputs:
        middle = np.mean(inputs, axis=1)
        start = model.state(rest(model.core, middle), middle)
    box = model.state(np.full(model.sizes.n, start_box), np.zeros(len(model.inputs)))
    return ScenarioLaw(dwell, start - box, start + box, inputs)


def plant_law(
    plant: System, scaling: Scaling, *, dwell: tuple[float, float], inputs: Pairs = ()
) -> ScenarioLaw:
    """For the plant the counterpart of a start near 0: at rest under the mid input."""
    start = rest(plant, scaling.u_mid)
    return ScenarioLaw(dwell, start, start, inputs)


@dataclass(frozen=True)
class _Extremes:
    """Per scenario of a chunk: extreme outputs [engineering] (ny, B), and max |y|₂ (normalised),
    all samples and settled only."""

    low: Array
    high: Array
    radius: Array
    settled: Array


def _chunk(
    system: System,
    law: ScenarioLaw,
    scaling: Scaling,
    radius: float,
    first: int,
    last: int,
    seed: int,
    steps: int,
    settle: int,
    finished: Callable[[Any], None],
) -> _Extremes:
    """Stream scenarios first … last−1 through the system; memory does not depend on the number of
    scenarios or samples kept."""
    draws = [
        law.draw(i, seed=seed, radius=radius, steps=steps, scaling=scaling, Ts=system.Ts)
        for i in range(first, last)
    ]
    chi = np.ascontiguousarray(np.array([start for start, _ in draws]).T)
    owner = np.repeat(np.arange(len(draws)), [len(s.starts) for _, s in draws])
    when = np.concatenate([s.starts for _, s in draws])
    levels = np.concatenate([s.levels for _, s in draws]).T
    order = np.argsort(when, kind="stable")
    owner, levels = owner[order], levels[:, order]
    reach = np.searchsorted(when[order], np.arange(steps + 1), side="right")
    u = np.empty((system.nu, len(draws)))
    d = np.repeat(system.d_nominal[:, None], len(draws), axis=1)
    twin, single = system.vectorised, system.ny == 1
    mid, span = scaling.y_mid[:, None], scaling.y_span[:, None]
    phases, done = [], 0
    for begin, end in ((0, settle), (settle, steps + 1)):
        y = twin.output(chi)
        low, high, ball = y.copy(), y.copy(), np.zeros(len(draws))
        for k in range(begin, end):
            if k % ASK == 0 and parallel.stopped():
                raise KeyboardInterrupt
            y = twin.output(chi)
            np.minimum(low, y, out=low)
            np.maximum(high, y, out=high)
            if not single:
                np.maximum(ball, (((y - mid) / span) ** 2).sum(axis=0), out=ball)
            if k < steps:
                if reach[k] > done:
                    u[:, owner[done : reach[k]]] = levels[:, done : reach[k]]
                    done = reach[k]
                chi = twin.step(chi, u, d)
        if single:
            ball = np.maximum(np.abs(low - mid), np.abs(high - mid))[0] / span[0]
        phases.append((low, high, ball if single else np.sqrt(ball)))
    finished(None)
    (low0, high0, ball0), (low1, high1, ball1) = phases
    return _Extremes(
        np.minimum(low0, low1), np.maximum(high0, high1), np.maximum(ball0, ball1), ball1
    )


def explore(
    system: System,
    law: ScenarioLaw,
    scaling: Scaling,
    *,
    radii: Sequence[float],
    scenarios: int,
    steps: int,
    settle: int,
    seed: int,
    safe_set: Sequence[tuple[float, float]],
    shape: str = "ball",
    label: str = "model",
    workers: int = 1,
    on_progress: Progress = lambda label, share: None,
) -> tuple[Bound, ...]:
    """The solution of (10) for one system at every input radius: the smallest set that holds all
    scenario outputs."""
    if not 0 <= settle <= steps:
        raise InputError(f"verify: settle = {settle} must lie between 0 and steps = {steps}")
    if len(safe_set) != system.ny:
        raise InputError(
            f"verify: the safe set has {len(safe_set)} intervals, {system.name} has {system.ny}"
            " outputs"
        )
    edges = [(first, min(first + CHUNK, scenarios)) for first in range(0, scenarios, CHUNK)]
    tasks = [
        (system, law, scaling, radius, *edge, seed, steps, settle)
        for radius in radii
        for edge in edges
    ]
    done = 0

    def count(_: Any) -> None:
        nonlocal done
        done += 1
        on_progress(label, done / len(tasks))

    if workers == 1:
        parts = [_chunk(*task, count) for task in tasks]
    else:
        parts = parallel.run(
            _chunk, [(*task, parallel.report) for task in tasks], workers=workers, on_report=count
        )
    bounds = []
    for number, radius in enumerate(radii):
        own = parts[number * len(edges) : (number + 1) * len(edges)]
        whole = _Extremes(
            *(
                np.concatenate([getattr(p, f) for p in own], axis=-1)
                for f in ("low", "high", "radius", "settled")
            )
        )
        worst = int(whole.radius.argmax())
        run = replay(system, law, scaling, radius=radius, index=worst, seed=seed, steps=steps)
        sample = int(np.linalg.norm(scaling.y_in(run.y), axis=1).argmax())
        bounds.append(_bound(label, radius, whole, worst, sample, safe_set, shape, scaling))
    return tuple(bounds)


def _bound(
    label: str,
    radius: float,
    whole: _Extremes,
    worst: int,
    sample: int,
    safe_set: Sequence[tuple[float, float]],
    shape: str,
    scaling: Scaling,
) -> Bound:
    """What all scenarios at one input radius have shown."""
    bound = Bound(
        label,
        radius,
        float(whole.radius[worst]),
        float(whole.settled.max()),
        tuple(whole.low.min(axis=1).tolist()),
        tuple(whole.high.max(axis=1).tolist()),
        worst,
        sample,
        safe=False,
    )
    claimed = zip(safe_set, *claimed_set(bound, shape, scaling), strict=True)
    return replace(bound, safe=all(a <= x and z <= b for (a, b), x, z in claimed))


def claimed_set(bound: Bound, shape: str, scaling: Scaling) -> tuple[Array, Array]:
    """The set a bound claims, as (low, high) per output [engineering]: the ball's extent, or the
    extreme outputs themselves."""
    if shape == "ball":
        return scaling.y_out(np.full_like(scaling.y_mid, -bound.radius_y)), scaling.y_out(
            np.full_like(scaling.y_mid, bound.radius_y)
        )
    return np.array(bound.low), np.array(bound.high)


def replay(
    system: System,
    law: ScenarioLaw,
    scaling: Scaling,
    *,
    radius: float,
    index: int,
    seed: int,
    steps: int,
) -> Trajectory:
    """One scenario again, by the CasADi definition; its last sample is y(τ), so it has steps + 1
    samples."""
    start, segments = law.draw(
        index, seed=seed, radius=radius, steps=steps, scaling=scaling, Ts=system.Ts
    )
    return simulate(system, segments.signal(steps + 1), x0=start)


_LONGEST = 10**6  # samples of a scenario that is computed again


def worst_radius(model: Model, v: Verification, bound: Bound) -> float:
    """How far the worst scenario of a model's bound goes, |y|₂ (normalised), computed again from
    the law; the shape "intervals" keeps its bound the same way.

    InputError where it is longer than can be computed in a moment."""
    if not 1 <= v.steps <= _LONGEST:
        raise InputError(f"verify: {v.steps} steps are too many to be computed again")
    law = ScenarioLaw.from_description(v.law)
    start, segments = law.draw(
        bound.worst,
        seed=v.seed,
        radius=bound.radius_u,
        steps=v.steps,
        scaling=model.scaling,
        Ts=model.Ts,
    )
    u = segments.signal(v.steps + 1)
    y = simulate_batch(model.system, u[None], start[None])[0]
    return float(np.linalg.norm(model.scaling.y_in(y), axis=1).max())


def covered(model: Model, v: Verification, bound: Bound) -> Array:
    """Least and largest inputs (2, nu) [engineering] that the scenarios of a bound were drawn
    between, wider by a rounding."""
    law = ScenarioLaw.from_description(v.law)
    reach = law.reach(bound.radius_u, model.scaling) * model.scaling.u_span
    slack = 1e-12 * bound.radius_u * model.scaling.u_span
    return np.asarray(model.scaling.u_mid + reach + np.outer([-1.0, 1.0], slack))
