"""The training NLP for IPOPT: conditions through exact smooth slacks, a Gauss–Newton Hessian with
adaptive damping, box bounds.

The norms in the conditions enter through slacks A ≥ ±M, t ≥ row sums. The Hessian of the error is
JᵀJ from forward sensitivities plus a Levenberg–Marquardt term; that of the constraints is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import casadi as ca
import numpy as np

from lstm_mpc.certificates.conditions import evaluate
from lstm_mpc.certificates.norms import pivots, positive_witness
from lstm_mpc.model import lstm
from lstm_mpc.model.sensitivity import SimulationError
from lstm_mpc.plants.system import Array

_COST = 1e3  # the mean square error is multiplied by this, so that IPOPT's tolerances suit it
_SLACK = 0.01  # slacks start this far above what they bound
_DAMPING = (1e-8, 1e-2)  # range of the Levenberg–Marquardt term
_WITNESS = (1e-3, 1e3)  # entries of a vector v > 0; only their ratios matter


class _Epigraph:
    """Norms as constraints: every bound is a new variable, kept above what it bounds by smooth
    inequalities."""

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
            self.constraints += pivots(M, t)
            return t

        return self._once(layer, name, "spectral", make)

    def positive(self, matrix: Any) -> Any:
        return self._new(
            (matrix.shape[0], 1), positive_witness(self._value(matrix))[:, None], *_WITNESS
        )

    def _once(self, layer: lstm.Layer, name: str, kind: str, make: Callable[[], Any]) -> Any:
        """Several conditions share the bounds of one parameter."""
        key = id(layer), name, kind
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _value(self, expression: Any) -> Array:
        known = ca.vertcat(*self._known)
        return np.asarray(
            ca.evalf(ca.substitute(ca.densify(expression), known, np.concatenate(self._values)))
        )

    def _new(
        self, shape: tuple[int, int], start: Any, low: float = 0.0, high: float = np.inf
    ) -> Any:
        variable = ca.SX.sym("slack", *shape)
        column = np.broadcast_to(start, shape).ravel(order="F")
        self.variables.append(ca.vec(variable))
        self.start.append(column)
        self.lower.append(np.full(column.size, low))
        self.upper.append(np.full(column.size, high))
        self._known.append(ca.vec(variable))
        self._values.append(column)
        return variable


class Cost:
    """Mean square error plus Σ pull·z², as a function of z = [θ; χ0 of every record]
    (normalised)."""

    def __init__(self, error: SimulationError, pull: Array) -> None:
        self.error, self.pull = error, pull

    def value(self, z: Array) -> float:
        return 2.0 * self.error.value(z) + float(self.pull @ z**2)

    def gradient(self, z: Array) -> Array:
        return 2.0 * (self.error.gradient(z) + self.pull * z)

    def hessian(self, z: Array) -> Array:
        """That of Gauss–Newton."""
        return 2.0 * (self.error.hessian(z) + np.diag(self.pull))


class Program:
    """minimise cost(z) over w = [z; slacks] subject to every quantity of a condition ≤ its limit
    in `limits` and |z| ≤ `box`, from `start`.

    `hessian` is "gauss-newton", with a Levenberg–Marquardt term that begins at `damping`, or
    "l-bfgs"."""

    def __init__(
        self,
        cost: Cost,
        *,
        limits: Mapping[str, float],
        radius: float,
        start: Array,
        box: Array,
        hessian: str,
        damping: float,
    ) -> None:
        p, nz = cost.error.sizes.parameters, start.size
        z = ca.SX.sym("z", nz)
        norm = _Epigraph(z[:p, :], start[:p])
        network = lstm.unpack(z[:p, :], cost.error.sizes)
        room = [
            limit - v
            for name, limit in limits.items()
            for _, _, v in evaluate(network, name, norm, radius)
        ]
        g = ca.vertcat(*norm.constraints, *room) if room else ca.SX(0, 1)
        w = ca.vertcat(z, *norm.variables)
        self._ng, self._nz, self._cost, self._keep = g.shape[0], nz, cost, list[Any]()
        self._start = np.concatenate([start, *norm.start])
        self._upper, self._lower = (
            np.concatenate([box, *norm.upper]),
            np.concatenate([-box, *norm.lower]),
        )
        x, parameters = ca.MX.sym("x", w.shape[0]), ca.MX.sym("p", 0)
        f = self._python("cost", 1, cost.value)(x)
        gradient = ca.vertcat(
            self._python("gradient", nz, cost.gradient)(x), ca.DM.zeros(w.shape[0] - nz, 1)
        )
        self._nlp = {"x": x, "f": f, "g": ca.Function("g", [w], [g])(x)}
        self._options: dict[str, Any] = {
            "grad_f": ca.Function("grad_f", [x, parameters], [f, gradient])
        }
        if hessian == "gauss-newton":
            self._options["hess_lag"] = self._gauss_newton(w, g, x, parameters, damping)

    def _gauss_newton(self, w: Any, g: Any, x: Any, parameters: Any, damping: float) -> Any:
        adapt, nz, rest = _Damping(damping, self._cost.error), self._nz, w.shape[0] - self._nz
        square = self._python(
            "square", nz * nz, lambda z: (self._cost.hessian(z) + adapt() * np.eye(nz)).ravel()
        )
        lam_f, lam_g, multiplier = (
            ca.MX.sym("lam_f"),
            ca.MX.sym("lam_g", self._ng),
            ca.SX.sym("m", self._ng),
        )
        curvature = ca.Function(
            "curvature", [w, multiplier], [ca.hessian(ca.dot(multiplier, g), w)[0]]
        )
        fitted = ca.reshape(square(x), nz, nz)
        whole = ca.diagcat(lam_f * fitted, damping * _COST * ca.MX.eye(rest)) + curvature(x, lam_g)
        return ca.Function("hess_lag", [x, parameters, lam_f, lam_g], [ca.triu(whole)])

    def _python(self, name: str, size: int, function: Callable[[Array], Any]) -> Any:
        made = _Python(name, self._start.size, size, lambda w: _COST * function(w[: self._nz]))
        self._keep.append(made)  # CasADi does not own it
        return made

    def solve(self, watch: Callable[[Array], bool], *, iterations: int, mu_init: float) -> str:
        """Run IPOPT; its own word for how it ended. `watch(z)` sees every iterate and says when to
        stop."""
        watcher = _Iterations("watcher", self._start.size, self._ng, lambda w: watch(w[: self._nz]))
        ipopt = {"max_iter": iterations, "mu_init": mu_init, "print_level": 0, "sb": "yes"}
        ipopt |= {"nlp_scaling_method": "none", "tol": 1e-6, "acceptable_iter": 0}
        # IPOPT's filter takes steps that only mend the constraints and loses a fit gained before; a
        # merit function does not.
        ipopt |= {"line_search_method": "penalty", "watchdog_shortened_iter_trigger": 0}
        if "hess_lag" not in self._options:
            ipopt["hessian_approximation"] = "limited-memory"
        options = {
            "ipopt": ipopt,
            "print_time": False,
            "iteration_callback": watcher,
            "error_on_fail": False,
        }
        solver = ca.nlpsol(
            "training",
            "ipopt",
            self._nlp,
            {**self._options, **options, "calc_lam_p": False, "no_nlp_grad": True},
        )
        with np.errstate(all="ignore"):  # what a trial step overflows, IPOPT takes back
            solver(x0=self._start, lbx=self._lower, ubx=self._upper, lbg=0.0, ubg=np.inf)
        if watcher.failure is not None:
            raise watcher.failure  # CasADi would swallow it
        return str(solver.stats()["return_status"])


class _Damping:
    """The Levenberg–Marquardt term: more of it after a step that the line search had to cut, less
    after a full one."""

    def __init__(self, start: float, error: SimulationError) -> None:
        self._value, self._error, self._seen = start, error, error.evaluations["value"]

    def __call__(self) -> float:
        trials = self._error.evaluations["value"] - self._seen
        self._seen += trials
        factor = 3.0 if trials >= 3 else 0.5 if trials <= 1 else 1.0
        self._value = min(max(factor * self._value, _DAMPING[0]), _DAMPING[1])
        return self._value


class _Python(ca.Callback):  # type: ignore[misc] # CasADi has no types
    """A Python function of one vector as a CasADi function."""

    def __init__(
        self, name: str, size_in: int, size_out: int, function: Callable[[Array], Any]
    ) -> None:
        ca.Callback.__init__(self)
        self._in, self._out, self._function = size_in, size_out, function
        self.construct(name, {})

    def get_sparsity_in(self, i: int) -> Any:
        return ca.Sparsity.dense(self._in, 1)

    def get_sparsity_out(self, i: int) -> Any:
        return ca.Sparsity.dense(self._out, 1)

    def eval(self, arguments: list[Any]) -> list[Any]:
        return [self._function(np.asarray(arguments[0]).ravel())]


class _Iterations(ca.Callback):  # type: ignore[misc] # CasADi has no types
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
