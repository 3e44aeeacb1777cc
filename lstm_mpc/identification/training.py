"""Training as a nonlinear program: least simulation error over whole records, stability conditions
as hard constraints, IPOPT.

    minimise   mean square of (ŷ − y), single shooting          over θ, the start χ0 of every
    record, and slacks subject to every quantity of every condition ≤ 1 − margin,  |θ| ≤
    weight_bound,  |χ0| ≤ start_box

How the program is put to IPOPT is in `program`. IPOPT is never believed: an outcome carries
numbers, its claim is made by `certify` alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lstm_mpc.certificates import conditions
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.scaling import Scaling
from lstm_mpc.errors import InputError
from lstm_mpc.identification.initial_weights import given_start, linear_start, random_start
from lstm_mpc.identification.nlp import Cost, Program
from lstm_mpc.model import lstm
from lstm_mpc.model.input_delays import checked_delays, late
from lstm_mpc.model.sensitivity import KERNELS, Piece, SimulationError
from lstm_mpc.plants.system import Array

STARTS = ("random", "linear")


@dataclass(frozen=True)
class TrainingOptions:
    """What a human chooses about training; the keys of `[train]` in a design.

    - `cells`: cells per layer; `conditions` (in a design by default those of `[release]`), kept
      with `margin` δ.
    - `weight_bound`: bound of every |weight| of the gates, `output_box` of C and b_y (a large C
      makes a wrong start state loud), `start_box` of every |χ0|; `washout`: first samples of each
      record left out of the error.
    - `start`: "random", or "linear" for a linear model of the data written as an LSTM; `spread`:
      random weights are uniform in ±spread, forget biases lie around `forget_bias`.
    - `decay`, `output_decay`: weight of the squares of the gates' weights (not biases) and of C in
      the objective. They regularise short records, and cells that cancel each other in C make every
      bound wide.
    - `hessian`: "gauss-newton", with a Levenberg–Marquardt term that begins at `damping`, or
      "l-bfgs"; `mu_init`: IPOPT's first barrier parameter; training ends after `iterations`, or
      when the last `patience` gained less than `min_improvement` (relative) of the objective.
    - `free_first`: train without the conditions of incremental stability first and continue those
      weights under them, which often ends at a better fit than their own start does.
    - `delays`: samples that each input takes until the network sees it, one for each; none: no
      delays.
    - `kernel`: what simulates and differentiates, "c", "casadi" (slower, needs no compiler), or
      "auto": C where there is a compiler.
    """

    cells: tuple[int, ...] = (5,)
    conditions: tuple[str, ...] = ("iss",)
    margin: float = 1e-3
    weight_bound: float = 4.0
    output_box: float = 1.5
    start_box: float = 1.5
    washout: int = 20
    start: str = "random"
    spread: float = 0.1
    forget_bias: float = 0.0
    damping: float = 1e-6
    decay: float = 0.0
    output_decay: float = 0.0
    hessian: str = "gauss-newton"
    iterations: int = 250
    patience: int = 20
    min_improvement: float = 5e-2
    mu_init: float = 1e-4
    free_first: bool = False
    kernel: str = "auto"
    delays: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("cells", "conditions"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "delays", checked_delays(self.delays, name="train"))
        for name in self.conditions:
            conditions.check_name(name)
        for name in ("margin", "weight_bound", "output_box", "start_box", "spread"):
            if not getattr(self, name) > 0:
                raise InputError(f"train: {name} must be positive, got {getattr(self, name)}")
        if self.start not in STARTS:
            raise InputError(f"train: start must be one of {', '.join(STARTS)}, got {self.start!r}")
        if self.kernel not in KERNELS:
            known = ", ".join(KERNELS)
            raise InputError(f"train: kernel must be one of {known}, got {self.kernel!r}")
        if self.hessian not in ("gauss-newton", "l-bfgs"):
            raise InputError(
                f"train: hessian must be 'gauss-newton' or 'l-bfgs', got {self.hessian!r}"
            )
        if min(self.decay, self.output_decay, self.damping) < 0:
            raise InputError("train: decay, output_decay and damping must not be negative")
        if self.iterations < 1 or self.washout < 0 or self.patience < 1:
            raise InputError(
                "train: iterations and patience must be at least 1, washout at least 0"
            )


@dataclass(frozen=True)
class Progress:
    """One iteration: the objective (mean square error, normalised), mean-removed FIT on the
    training data [%], exact margin δ, and the parameters θ, as `lstm.unpack` takes them."""

    seed: int
    iteration: int
    objective: float
    fit: float
    margin: float
    theta: Array = field(repr=False, compare=False)


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
    watch = _Watch(cost, settings, scaling.radius, seed, growth, progress, stop)
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


def _spread(piece: Piece) -> float:
    """The weighted squares of a record's outputs around their means."""
    shares = piece.weight.sum(axis=0)
    y = np.where(piece.weight > 0, piece.y, 0.0)
    mean = (piece.weight * y).sum(axis=0) / np.where(shares > 0, shares, 1.0)
    return float((piece.weight * (y - mean) ** 2).sum())


def _pull(error: SimulationError, settings: TrainingOptions) -> Array:
    """Weights of z² in the cost."""
    pull = np.zeros(error.size)
    for name, place in error.sizes.slices.items():
        pull[place] = (
            settings.output_decay if name == "C" else 0.0 if "b_" in name else settings.decay
        )
    return pull


class _Watch:
    """Looks at every iterate: keeps the best one that satisfies the conditions exactly, and decides
    when to stop."""

    def __init__(
        self,
        cost: Cost,
        settings: TrainingOptions,
        radius: float,
        seed: int,
        growth: float | None,
        progress: Callable[[Progress], None] | None,
        stop: Callable[[], bool],
    ) -> None:
        self._cost, self._settings, self._radius, self._seed = cost, settings, radius, seed
        self._growth, self._progress, self._stop = growth, progress, stop
        self._spread = sum(_spread(p) for p in cost.error.pieces)
        if not self._spread > 0:
            raise InputError(
                "train: the outputs never move in what the washout leaves; nothing can be"
                " identified from them"
            )
        self.history: list[Progress] = []
        self.best: Progress | None = None
        self.kept: Array | None = None  # z of the best
        self._costs: list[float] = []
        self._least = np.inf  # cost of the best

    def __call__(self, z: Array) -> bool:
        """Note one iterate; true when training should end."""
        error, value = self._cost.error, self._cost.value(z)
        objective = 2.0 * error.value(z)
        theta = z[: error.sizes.parameters].copy()
        delta = conditions.smallest_margin(
            lstm.unpack(theta, error.sizes), self._settings.conditions, self._radius
        )
        fit = 100.0 * (1.0 - np.sqrt(objective / self._spread))
        entry = Progress(self._seed, len(self.history), objective, fit, delta, theta)
        self.history.append(entry)
        self._costs.append(value)
        if delta > 0 and value < self._least and self._grows_little(theta):
            self.best, self.kept, self._least = entry, z.copy(), value
        if self._progress is not None:
            self._progress(entry)
        return self._stop() or self._stale()

    def _grows_little(self, theta: Array) -> bool:
        """Whether (Âv)/v keeps to its bound, up to what IPOPT leaves of a constraint."""
        if self._growth is None:
            return True
        network = lstm.unpack(theta, self._cost.error.sizes)
        growth = 1.0 - conditions.smallest_margin(network, ("delta_iss",), self._radius)
        return growth <= self._growth * (1 + 1e-6)

    def _stale(self) -> bool:
        """The best cost of the last `patience` iterations is hardly below the best before them."""
        patience, least = self._settings.patience, self._settings.min_improvement
        if len(self._costs) <= 2 * patience or self.best is None:
            return False
        before, recent = min(self._costs[:-patience]), min(self._costs[-patience:])
        return abs(before - recent) < least * before
