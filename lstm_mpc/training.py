"""Training as a nonlinear program: least simulation error over whole records, stability conditions as hard constraints, IPOPT.

    minimise   mean square of (ŷ − y), single shooting          over θ, the start χ0 of every record, and slacks
    subject to every quantity of every condition ≤ 1 − margin,  |θ| ≤ box,  |χ0| ≤ start_box

The norms in the conditions enter through exact smooth slacks A ≥ ±M, t ≥ row sums. The Hessian given to IPOPT is that of
Gauss–Newton, from forward sensitivities, plus the exact one of the constraints. IPOPT is never believed: an outcome carries numbers,
its claim is made by `stability.certify` alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import casadi as ca
import numpy as np

from lstm_mpc import lstm, stability
from lstm_mpc.data import Dataset, Scaling
from lstm_mpc.errors import InputError
from lstm_mpc.sensitivity import Piece, SimulationError
from lstm_mpc.system import Array

_COST = 1e3  # the mean square error is multiplied by this, so that IPOPT's tolerances suit it
_SLACK = 0.01  # slacks start this far above what they bound
_WITNESS = (1e-3, 1e3)  # entries of a vector v > 0; only their ratios matter


@dataclass(frozen=True)
class Settings:
    """What a human chooses about training; the keys of `[train]` in a design.

    `nx`: cells per layer; `conditions` with `margin` δ; `box`: bound of every |weight| of the gates, `output_box` of C and b_y (a
    large C makes a wrong start state loud); `start_box`: bound of every |χ0|; `washout`: first samples of each record left out of
    the error; `spread`: initial weights are uniform in ±spread, forget biases start at `forget_bias`; `decay` and `output_decay`:
    weight of the squares of the gates' parameters and of C in the objective (cells that cancel each other in C make every bound
    wide); `damping`: Levenberg–Marquardt term (in the Hessian only); `hessian`: "gauss-newton" or "l-bfgs"; `patience`: stop when
    the objective changed by less than `least` (relative) over this many iterations; `mu_init`: IPOPT's first barrier parameter.
    """

    nx: tuple[int, ...] = (5,)
    conditions: tuple[str, ...] = ("iss",)
    margin: float = 1e-3
    box: float = 4.0
    output_box: float = 1.5
    start_box: float = 1.5
    washout: int = 20
    spread: float = 0.1
    forget_bias: float = 0.0
    damping: float = 1e-6
    decay: float = 0.0
    output_decay: float = 0.0
    hessian: str = "gauss-newton"
    iterations: int = 250
    patience: int = 40
    least: float = 1e-2
    mu_init: float = 1e-4

    def __post_init__(self) -> None:
        for name in ("nx", "conditions"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in self.conditions:
            stability.condition(name)
        for name in ("margin", "box", "output_box", "start_box", "spread"):
            if not getattr(self, name) > 0:
                raise InputError(f"train: {name} must be positive, got {getattr(self, name)}")
        if self.hessian not in ("gauss-newton", "l-bfgs"):
            raise InputError(f"train: hessian must be 'gauss-newton' or 'l-bfgs', got {self.hessian!r}")
        if min(self.decay, self.output_decay, self.damping) < 0:
            raise InputError("train: decay, output_decay and damping must not be negative")
        if self.iterations < 1 or self.washout < 0 or self.patience < 1:
            raise InputError("train: iterations and patience must be at least 1, washout at least 0")


@dataclass(frozen=True)
class Progress:
    """One iteration: the objective (mean square error, normalised), mean-removed FIT on the training data [%], exact margin δ."""

    seed: int
    iteration: int
    objective: float
    fit: float
    margin: float


@dataclass(frozen=True)
class Outcome:
    """What one start gave: the numbers of the best feasible iterate (None where no iterate was feasible) and how it ended.

    `status` is IPOPT's own word; `sentence` says it plainly. `converged` is true only if IPOPT proved local optimality.
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

    @property
    def sentence(self) -> str:
        known = {
            "Solve_Succeeded": "converged",
            "Solved_To_Acceptable_Level": "converged to IPOPT's acceptable level",
            "Maximum_Iterations_Exceeded": "stopped at the iteration limit, not converged",
            "User_Requested_Stop": "stopped early, not converged",
        }
        ending = known.get(self.status, f"IPOPT failed ({self.status})")
        kept = "no feasible iterate" if self.network is None else f"best feasible iterate kept: FIT {self.fit:.2f} %, δ = {self.margin:.3g}"
        return f"seed {self.seed}: {ending} after {self.iterations} iterations and {self.seconds:.1f} s; {kept}"


class _Epigraph:
    """Norms as constraints: every bound is a new variable, kept above what it bounds by smooth inequalities."""

    def __init__(self, theta: Any, theta_start: Array) -> None:
        self._known, self._values = [theta], [theta_start]
        self._made: dict[tuple[int, str, str], Any] = {}
        self.variables: list[Any] = []
        self.start: list[Array] = []
        self.lower: list[Array] = []
        self.upper: list[Array] = []
        self.constraints: list[Any] = []  # each entry ≥ 0

    def absolute(self, layer: lstm.Layer, name: str) -> Any:
        def make() -> Any:
            M = getattr(layer, name)
            A = self._new(M.shape, np.abs(self._value(M)) + _SLACK)
            self.constraints += [ca.vec(A - M), ca.vec(A + M)]
            return A

        return self._once(layer, name, "absolute", make)

    def largest(self, v: Any) -> Any:
        t = self._new((1, 1), self._value(v).max() + _SLACK)
        self.constraints.append(t - v)
        return t

    def spectral(self, layer: lstm.Layer, name: str) -> Any:
        def make() -> Any:
            M = getattr(layer, name)
            t = self._new((1, 1), np.linalg.norm(self._value(M), 2) + 10 * _SLACK)
            self.constraints += stability.pivots(M, t)
            return t

        return self._once(layer, name, "spectral", make)

    def positive(self, matrix: Any) -> Any:
        return self._new((matrix.shape[0], 1), stability.positive_witness(self._value(matrix))[:, None], *_WITNESS)

    def _once(self, layer: lstm.Layer, name: str, kind: str, make: Callable[[], Any]) -> Any:
        """Several conditions share the bounds of one parameter."""
        key = id(layer), name, kind
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _value(self, expression: Any) -> Array:
        known = ca.vertcat(*self._known)
        return np.asarray(ca.evalf(ca.substitute(ca.densify(expression), known, np.concatenate(self._values))))

    def _new(self, shape: tuple[int, int], start: Any, low: float = 0.0, high: float = np.inf) -> Any:
        variable = ca.SX.sym("slack", *shape)
        column = np.broadcast_to(start, shape).ravel(order="F")
        self.variables.append(ca.vec(variable))
        self.start.append(column)
        self.lower.append(np.full(column.size, low))
        self.upper.append(np.full(column.size, high))
        self._known.append(ca.vec(variable))
        self._values.append(column)
        return variable


def initial_parameters(sizes: lstm.Sizes, settings: Settings, seed: int) -> Array:
    """θ to start from: uniform in ±spread, forget biases at `forget_bias`."""
    theta = np.random.default_rng(seed).uniform(-settings.spread, settings.spread, sizes.parameters)
    for number in range(len(sizes.nx)):
        theta[sizes.slices[f"{number}.b_f"]] += settings.forget_bias
    return theta


def pieces_of(dataset: Dataset, scaling: Scaling, washout: int) -> tuple[Piece, ...]:
    """The records, clipped and normalised, weighted so that the weighted squares sum to the mean over what counts."""
    counted = sum(len(r.u) - washout for r in dataset.records) * len(dataset.outputs)
    pieces = []
    for item in dataset.clipped().records:
        if len(item.u) <= washout:
            raise InputError(f"record {item.name!r} has {len(item.u)} samples, no more than the washout of {washout}")
        weight = np.full(len(item.u), 1.0 / counted)
        weight[:washout] = 0.0
        pieces.append(Piece(np.ascontiguousarray(scaling.u_in(item.u)), np.ascontiguousarray(scaling.y_in(item.y)), weight))
    return tuple(pieces)


def train(
    dataset: Dataset,
    scaling: Scaling,
    settings: Settings,
    *,
    seed: int,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """One start of the training NLP. Returns the best iterate whose conditions hold exactly; never raises for a failed solve.

    `stop` is asked once an iteration; when it says yes, training ends and keeps what it has.
    """
    began = time.perf_counter()
    sizes = lstm.Sizes(len(dataset.inputs), settings.nx, len(dataset.outputs))
    pieces = pieces_of(dataset, scaling, settings.washout)
    error = SimulationError(sizes, pieces)
    watch = _Watch(error, pieces, settings, scaling.radius, seed, progress, stop)
    problem = _Problem(error, settings, scaling.radius, initial_parameters(sizes, settings, seed), watch)
    status = problem.solve(seed)
    best = watch.best
    theta = None if best is None else best[1]
    return Outcome(
        seed=seed,
        network=None if theta is None else lstm.unpack(theta, sizes),
        status=status,
        converged=status in ("Solve_Succeeded", "Solved_To_Acceptable_Level"),
        iterations=len(watch.history) - 1,
        objective=np.nan if best is None else best[0].objective,
        fit=np.nan if best is None else best[0].fit,
        margin=np.nan if best is None else best[0].margin,
        seconds=time.perf_counter() - began,
        history=tuple(watch.history),
    )


class _Watch:
    """Looks at every iterate: keeps the best one that satisfies the conditions exactly, and decides when to stop."""

    def __init__(
        self,
        error: SimulationError,
        pieces: Sequence[Piece],
        settings: Settings,
        radius: float,
        seed: int,
        progress: Callable[[Progress], None] | None,
        stop: Callable[[], bool],
    ) -> None:
        self._error, self._settings, self._radius, self._seed = error, settings, radius, seed
        self._progress, self._stop = progress, stop
        counted = [p.y[p.weight > 0] for p in pieces]
        weight = max(p.weight.max() for p in pieces)
        self._spread = sum(float(((y - y.mean(axis=0)) ** 2).sum()) for y in counted) * weight
        if not self._spread > 0:
            raise InputError("train: the outputs never move in what the washout leaves; nothing can be identified from them")
        self.history: list[Progress] = []
        self.best: tuple[Progress, Array] | None = None

    def __call__(self, z: Array) -> bool:
        """Note one iterate; true when training should end."""
        objective = 2.0 * self._error.value(z)
        theta = z[: self._error.sizes.parameters].copy()
        delta = stability.margin(lstm.unpack(theta, self._error.sizes), self._settings.conditions, self._radius)
        fit = 100.0 * (1.0 - np.sqrt(objective / self._spread))
        entry = Progress(self._seed, len(self.history), objective, fit, delta)
        self.history.append(entry)
        if delta > 0 and (self.best is None or objective < self.best[0].objective):
            self.best = entry, theta
        if self._progress is not None:
            self._progress(entry)
        return self._stop() or self._stale()

    def _stale(self) -> bool:
        """No gain over the last `patience` iterations, measured at the level reached before (a wandering iterate is not stale)."""
        patience, least = self._settings.patience, self._settings.least
        if len(self.history) <= 2 * patience or self.best is None:
            return False
        before = min(p.objective for p in self.history[:-patience])
        recent = min(p.objective for p in self.history[-patience:])
        return abs(before - recent) < least * before


class _Problem:
    """The NLP in the variables w = [z; slacks], built for IPOPT."""

    def __init__(self, error: SimulationError, settings: Settings, radius: float, theta_start: Array, watch: _Watch) -> None:
        self._error, self._settings, self._watch = error, settings, watch
        p, nz = error.sizes.parameters, error.size
        z = ca.SX.sym("z", nz)
        network = lstm.unpack(z[:p, :], error.sizes)
        norm = _Epigraph(z[:p, :], theta_start)
        values = [v for name in settings.conditions for _, _, v in stability.evaluate(network, name, norm, radius)]
        limits = [1.0 - settings.margin - v for v in values]
        w = ca.vertcat(z, *norm.variables)
        g = ca.vertcat(*norm.constraints, *limits) if values else ca.SX(0, 1)
        self._ng = g.shape[0]
        self._functions(w, g, nz)
        starts = np.random.default_rng([watch._seed, 1]).uniform(-0.1, 0.1, nz - p)
        self._start = np.concatenate([theta_start, starts, *norm.start])
        box = np.full(p, settings.box)
        box[error.sizes.slices["C"]] = box[error.sizes.slices["b_y"]] = settings.output_box
        z_upper = np.concatenate([box, np.full(nz - p, settings.start_box)])
        self._upper = np.concatenate([z_upper, *norm.upper])
        self._lower = np.concatenate([-z_upper, *norm.lower])

    def _functions(self, w: Any, g: Any, nz: int) -> None:
        size, error = w.shape[0], self._error
        x, p = ca.MX.sym("x", size), ca.MX.sym("p", 0)
        constraint = ca.Function("g", [w], [g])
        pull = np.zeros(nz)
        pull[: error.sizes.parameters] = self._settings.decay
        pull[error.sizes.slices["C"]] = self._settings.output_decay
        self._cost = _Python("cost", size, 1, lambda v: _COST * (2.0 * error.value(v[:nz]) + pull @ v[:nz] ** 2))
        slope = _Python("slope", size, nz, lambda v: _COST * 2.0 * (error.gradient(v[:nz]) + pull * v[:nz]))
        self._keep = [slope]
        f = self._cost(x)
        self._nlp = {"x": x, "f": f, "g": constraint(x)}
        gradient = ca.vertcat(slope(x), ca.DM.zeros(size - nz, 1))
        self._options: dict[str, Any] = {"grad_f": ca.Function("grad_f", [x, p], [f, gradient])}
        if self._settings.hessian == "gauss-newton":
            square = _Python("square", size, nz * nz, lambda v: (_COST * 2.0 * (error.hessian(v[:nz]) + np.diag(pull))).ravel())
            self._keep.append(square)
            lam_f, lam_g = ca.MX.sym("lam_f"), ca.MX.sym("lam_g", g.shape[0])
            multiplier = ca.SX.sym("m", g.shape[0])
            curvature = ca.Function("curvature", [w, multiplier], [ca.hessian(ca.dot(multiplier, g), w)[0]])
            fitted = ca.reshape(square(x), nz, nz)
            whole = ca.diagcat(lam_f * fitted, ca.MX(size - nz, size - nz)) + curvature(x, lam_g)
            whole += self._settings.damping * _COST * ca.MX.eye(size)
            self._options["hess_lag"] = ca.Function("hess_lag", [x, p, lam_f, lam_g], [ca.triu(whole)])

    def solve(self, seed: int) -> str:
        """Run IPOPT from the start point; its own word for how it ended."""
        watcher = _Iterations("watcher", self._start.size, self._ng, lambda v: self._watch(v[: self._error.size]))
        ipopt = {"max_iter": self._settings.iterations, "mu_init": self._settings.mu_init, "print_level": 0, "sb": "yes"}
        ipopt |= {"nlp_scaling_method": "none", "tol": 1e-6, "acceptable_iter": 0}
        if self._settings.hessian == "l-bfgs":
            ipopt["hessian_approximation"] = "limited-memory"
        options = {"ipopt": ipopt, "print_time": False, "iteration_callback": watcher, "error_on_fail": False}
        solver = ca.nlpsol("training", "ipopt", self._nlp, {**self._options, **options, "calc_lam_p": False, "no_nlp_grad": True})
        with np.errstate(all="ignore"):  # what a trial step overflows, IPOPT takes back
            solver(x0=self._start, lbx=self._lower, ubx=self._upper, lbg=0.0, ubg=np.inf)
        if watcher.failure is not None:
            raise watcher.failure  # CasADi would swallow it
        return str(solver.stats()["return_status"])


class _Python(ca.Callback):  # type: ignore[misc]
    """A Python function of one vector as a CasADi function."""

    def __init__(self, name: str, size_in: int, size_out: int, function: Callable[[Array], Any]) -> None:
        ca.Callback.__init__(self)
        self._in, self._out, self._function = size_in, size_out, function
        self.construct(name, {})

    def get_sparsity_in(self, i: int) -> Any:
        return ca.Sparsity.dense(self._in, 1)

    def get_sparsity_out(self, i: int) -> Any:
        return ca.Sparsity.dense(self._out, 1)

    def eval(self, arguments: list[Any]) -> list[Any]:
        return [self._function(np.asarray(arguments[0]).ravel())]


class _Iterations(ca.Callback):  # type: ignore[misc]
    """IPOPT's iteration callback: hands over x, returns 1 to stop."""

    def __init__(self, name: str, nx: int, ng: int, watch: Callable[[Array], bool]) -> None:
        ca.Callback.__init__(self)
        self._sizes = {"x": nx, "f": 1, "g": ng, "lam_x": nx, "lam_g": ng, "lam_p": 0}
        self._watch = watch
        self.failure: Exception | None = None
        self.construct(name, {})

    def get_n_in(self) -> int:
        return int(ca.nlpsol_n_out())

    def get_n_out(self) -> int:
        return 1

    def get_name_in(self, i: int) -> str:
        return str(ca.nlpsol_out(i))

    def get_sparsity_in(self, i: int) -> Any:
        size = self._sizes[ca.nlpsol_out(i)]
        return ca.Sparsity.dense(size, 1) if size else ca.Sparsity(0, 0)

    def eval(self, arguments: list[Any]) -> list[Any]:
        try:
            return [int(self._watch(np.asarray(arguments[0]).ravel()))]
        except Exception as error:
            self.failure = error
            return [1]
