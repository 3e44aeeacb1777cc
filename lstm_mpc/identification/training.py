"""Training as a nonlinear program: least simulation error over whole records, stability conditions
as hard constraints, IPOPT.

    minimise    mean square of (ŷ − y), single shooting
    over        θ, the start χ0 of every record, and slacks
    subject to  every quantity of every condition ≤ 1 − margin,
                |θ| ≤ weight_bound, |χ0| ≤ start_box

How the program is put to IPOPT is in `solve.nlp`. IPOPT is never believed: an outcome carries
numbers, its claim is made by `certify` alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.scaling import Scaling
from lstm_mpc.errors import InputError
from lstm_mpc.identification.options import TrainingOptions
from lstm_mpc.identification.solve.initial_weights import given_start, linear_start, random_start
from lstm_mpc.identification.solve.nlp import Cost, Program
from lstm_mpc.identification.solve.watch import Progress, Watch
from lstm_mpc.model import lstm
from lstm_mpc.model.input_delays import checked_delays, late
from lstm_mpc.model.sensitivity import Piece, SimulationError
from lstm_mpc.plants.system import Array


@dataclass(frozen=True)
class Outcome:
    """What one start gave: the best feasible iterate, and how it ended.

    `network` are its numbers, None where no iterate was feasible; `seed` is that of the start.
    `objective`, `fit` [%] on the training data and `margin` δ of the conditions are figures of that
    iterate, `iterations` and `seconds` the effort, `history` every iterate.

    `status` is IPOPT's own word; `sentence` says it plainly. `converged` is true only if IPOPT
    proved local optimality. `z` is [θ; χ0 of every record] of that iterate.
    """

    seed: int
    network: lstm.Network | None
    status: str
    converged: bool
    iterations: int
    objective: float
    fit: float
    margin: float
    seconds: float
    history: tuple[Progress, ...] = field(repr=False, default=())
    z: Array | None = field(repr=False, compare=False, default=None)

    @property
    def sentence(self) -> str:
        known = {
            "Solve_Succeeded": "converged",
            "Solved_To_Acceptable_Level": "converged to IPOPT's acceptable level",
            "Maximum_Iterations_Exceeded": "stopped at the iteration limit, not converged",
            "User_Requested_Stop": "stopped early, not converged",
        }
        ending = known.get(self.status, f"IPOPT failed ({self.status})")
        delta = f"δ = {self.margin:.3g}" if np.isfinite(self.margin) else "no condition asked"
        kept = (
            "no feasible iterate"
            if self.network is None
            else f"best feasible iterate kept: FIT {self.fit:.2f} %, {delta}"
        )
        return (
            f"seed {self.seed}: {ending} after {self.iterations} iterations and {self.seconds:.1f}"
            f" s; {kept}"
        )


def pieces_of(
    dataset: Dataset, scaling: Scaling, washout: int, *, delays: Sequence[int] = ()
) -> tuple[Piece, ...]:
    """The records, clipped, normalised and with inputs as late as they arrive, weighted so that the
    weighted squares sum to the mean over what was measured and counts."""
    delays = checked_delays(delays, len(dataset.inputs), name="train")
    washout = max(washout, *delays)  # what arrives before is not known
    for item in dataset.records:
        if len(item.u) <= washout:
            raise InputError(
                f"record {item.name!r} has {len(item.u)} samples, no more than the washout of"
                f" {washout}"
            )
    known = [
        ~np.isnan(item.y) & (np.arange(len(item.y)) >= washout)[:, None] for item in dataset.records
    ]
    counted = sum(int(k.sum()) for k in known)
    return tuple(
        Piece(
            np.ascontiguousarray(scaling.u_in(late(item.u, delays))),
            np.ascontiguousarray(scaling.y_in(item.y)),
            k / max(counted, 1),
        )
        for item, k in zip(dataset.clipped().records, known, strict=True)
    )


def train_once(
    dataset: Dataset,
    scaling: Scaling,
    settings: TrainingOptions,
    *,
    seed: int,
    network: lstm.Network | None = None,
    begin: Array | None = None,
    growth: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """One solve of the training NLP under conditions that are formulas; see `train`.

    `begin`: z = [θ; χ0 of every record] to continue from, as it is. `growth`: a bound of (Âv)/v,
    the quantities of `delta_iss`, above 1 where these need not hold."""
    began = time.perf_counter()
    sizes = lstm.Sizes(len(dataset.inputs), settings.cells, len(dataset.outputs))
    pieces = pieces_of(dataset, scaling, settings.washout, delays=settings.delays)
    error = SimulationError(sizes, pieces, kernel=settings.kernel)
    cost = Cost(error, _pull(error, settings))
    watch = Watch(cost, settings, scaling.radius, seed, growth, progress, stop)
    if begin is None:
        theta = _parameters(error, settings, seed, network, scaling.radius)
        begin = np.concatenate([theta, _states(error, seed)])
    program = Program(
        cost,
        limits=_limits(settings, growth),
        radius=scaling.radius,
        start=begin,
        box=_box(error, settings),
        hessian=settings.hessian,
        damping=settings.damping,
    )
    status = program.solve(watch, iterations=settings.iterations, mu_init=settings.mu_init)
    best = watch.best
    return Outcome(
        seed=seed,
        network=None if best is None else lstm.unpack(best.theta, sizes),
        status=status,
        converged=status in ("Solve_Succeeded", "Solved_To_Acceptable_Level"),
        iterations=len(watch.history) - 1,
        objective=np.nan if best is None else best.objective,
        fit=np.nan if best is None else best.fit,
        margin=np.nan if best is None else best.margin,
        seconds=time.perf_counter() - began,
        history=tuple(watch.history),
        z=watch.kept,
    )


def _limits(settings: TrainingOptions, growth: float | None) -> dict[str, float]:
    """What no quantity of a condition may exceed."""
    limits = dict.fromkeys(settings.conditions, 1.0 - settings.margin)
    return limits if growth is None else {"delta_iss": growth, **limits}


def _parameters(
    error: SimulationError,
    settings: TrainingOptions,
    seed: int,
    network: lstm.Network | None,
    radius: float,
) -> Array:
    """θ to start from."""
    if network is not None:
        inside: dict[str, Any] = {
            "conditions": settings.conditions,
            "margin": settings.margin,
            "radius": radius,
        }
        return given_start(network, error.sizes, **inside, spread=settings.spread, seed=seed)
    theta = random_start(
        error.sizes, spread=settings.spread, forget_bias=settings.forget_bias, seed=seed
    )
    return (
        linear_start(theta, error.sizes, [(p.u, p.y) for p in error.pieces])
        if settings.start == "linear"
        else theta
    )


def _states(error: SimulationError, seed: int) -> Array:
    """χ0 of every record to start from."""
    return np.random.default_rng([seed, 1]).uniform(-0.1, 0.1, error.size - error.sizes.parameters)


def _box(error: SimulationError, settings: TrainingOptions) -> Array:
    """Bounds of |z|."""
    box = np.full(error.size, settings.start_box)
    for name, place in error.sizes.slices.items():
        box[place] = settings.output_box if name in ("C", "b_y") else settings.weight_bound
    return box


def _pull(error: SimulationError, settings: TrainingOptions) -> Array:
    """Weights of z² in the cost."""
    pull = np.zeros(error.size)
    for name, place in error.sizes.slices.items():
        pull[place] = (
            settings.output_decay if name == "C" else 0.0 if "b_" in name else settings.decay
        )
    return pull
