"""Discrete-time systems χ⁺ = f(χ, u, d), y = g(χ): eq. (4) of the paper, for the plant and for the
network alike.

Time runs down the rows: a signal is an (N, n) array. Everything here is in engineering units.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_mpc.errors import InputError
from lstm_mpc.plants.names import checked_name, checked_sentence, checked_unit

Array = NDArray[np.float64]
KINDS = ("manipulated", "measured")  # of an input


def frozen_array(
    values: ArrayLike, ndim: int | None = None, name: str = "array", *, missing: bool = False
) -> Array:
    """A read-only float64 copy of `values`; InputError when it is not numeric, finite (`missing`:
    or NaN) or of `ndim` dimensions."""
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{name} must be numbers of a regular shape, got {values!r:.80}"
        ) from error
    if ndim is not None and array.ndim != ndim:
        raise InputError(f"{name} must have {ndim} dimension(s), got shape {array.shape}")
    wrong = np.isinf(array) if missing else ~np.isfinite(array)
    if wrong.any():
        raise InputError(f"{name} must be finite, got {array[wrong][0]}")
    array.setflags(write=False)
    return array


@dataclass(frozen=True)
class Signal:
    """A scalar signal with its `name`, its `unit` and its range.

    For an input, `low` and `high` are the actuator limits; for an output, the measuring range; for
    a disturbance, the range it may take. `nominal` is the value taken when nothing else is said. An
    input is "manipulated" by a controller or, `kind` "measured", a disturbance that is measured and
    never moved, which stays within `low` and `high`.
    """

    name: str
    unit: str
    low: float = -inf
    high: float = inf
    nominal: float | None = None
    kind: str = "manipulated"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", checked_name(self.name, "signal"))
        object.__setattr__(self, "unit", checked_unit(self.unit, f"signal {self.name!r}"))
        if self.kind not in KINDS:
            raise InputError(
                f"signal {self.name!r}: kind must be 'manipulated' or 'measured', got"
                f" {self.kind!r:.60}"
            )
        if not self.low < self.high:
            raise InputError(f"signal {self.name!r}: low {self.low} must be below high {self.high}")
        if self.nominal is not None and not self.low <= self.nominal <= self.high:
            raise InputError(
                f"signal {self.name!r}: nominal {self.nominal} is outside [{self.low}, {self.high}]"
            )

    @property
    def label(self) -> str:
        """Name and unit as they stand in CSV headers and on axes, e.g. `q3 [mL/s]`."""
        return f"{self.name} [{self.unit}]"

    @property
    def resting(self) -> float:
        """The nominal value, or the middle of the range; not finite where there is neither."""
        return 0.5 * (self.low + self.high) if self.nominal is None else self.nominal

    @property
    def bounded(self) -> bool:
        return isfinite(self.low) and isfinite(self.high)

    @property
    def measured(self) -> bool:
        """A disturbance that is measured, not an input that is moved."""
        return self.kind == "measured"

    @property
    def typical(self) -> float:
        """A value that the signal may have: the nominal one, or the middle of its range."""
        if self.nominal is not None:
            return self.nominal
        return 0.5 * (self.low + self.high) if self.bounded else 0.0


class Batch(Protocol):
    """The NumPy twin of a system for many trajectories at once; columns are trajectories.

    A module-level class or frozen dataclass, so that it can be sent to worker processes.
    """

    def step(self, chi: Array, u: Array, d: Array) -> Array:
        """χ⁺ (n, B) of `chi` (n, B), `u` (nu, B), `d` (nd, B)."""

    def output(self, chi: Array) -> Array:
        """y (ny, B) of `chi` (n, B)."""


@dataclass(frozen=True)
class Mapped:
    """The CasADi functions themselves as a batch: slower than a twin written for NumPy, and always
    right."""

    casadi_step: Any
    casadi_output: Any

    def step(self, chi: Array, u: Array, d: Array) -> Array:
        return np.asarray(self.casadi_step(chi, u, d), dtype=np.float64)

    def output(self, chi: Array) -> Array:
        return np.asarray(self.casadi_output(chi), dtype=np.float64)


@dataclass(frozen=True)
class Trajectory:
    """One simulated run: y[k] = g(χ[k]) is the output *before* u[k] acts.

    It has `t` [s] (N,), `u` (N, nu), `y` (N, ny), `chi` (N+1, n) [engineering].
    """

    t: Array
    u: Array
    y: Array
    chi: Array


@dataclass(frozen=True)
class System:
    """χ⁺ = f(χ, u, d), y = g(χ), sampled every `Ts` seconds, in engineering units.

    `name` is the plant's, `inputs` and `outputs` are its signals. `step` is a CasADi function (n),
    (nu), (nd) -> (n) and `output` one from (n) to (ny), or both are Python functions
    (`from_python`); `x0` (n,) is the nominal start. `disturbances` are inputs nobody manipulates;
    where a caller gives none they rest at their nominal values. `batch` is the vectorised twin;
    without one the CasADi functions are mapped, which is slower and always right. `parameters` are
    constants that a plant may have otherwise: each is a state that stays as it is, the last ones of
    χ.
    """

    name: str
    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    Ts: float
    x0: Array
    step: Any
    output: Any
    disturbances: tuple[Signal, ...] = ()
    batch: Batch | None = field(default=None, compare=False)
    parameters: tuple[Signal, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", checked_sentence(self.name, "system"))
        object.__setattr__(self, "x0", frozen_array(self.x0, 1, f"{self.name}: x0"))
        if not (self.Ts > 0 and isfinite(self.Ts)):
            raise InputError(f"{self.name}: Ts must be a positive number of seconds, got {self.Ts}")
        given = {"states": self.n, "inputs": self.nu, "disturbances": self.nd, "outputs": self.ny}
        found = {
            "states": self.step.numel_in(0),
            "inputs": self.step.numel_in(1),
            "disturbances": self.step.numel_in(2),
            "outputs": self.output.numel_out(0),
        }
        for what, count in given.items():
            if found[what] != count:
                raise InputError(
                    f"{self.name}: declares {count} {what}, its CasADi functions have {found[what]}"
                )
        for signal in self.disturbances:
            if signal.nominal is None:
                raise InputError(f"{self.name}: disturbance {signal.name!r} needs a nominal value")

    @property
    def n(self) -> int:
        return int(self.x0.size)

    @property
    def nu(self) -> int:
        return len(self.inputs)

    @property
    def nd(self) -> int:
        return len(self.disturbances)

    @property
    def ny(self) -> int:
        return len(self.outputs)

    @property
    def u_nominal(self) -> Array:
        """Inputs at rest, (nu,): nominal, or the middle of their limits."""
        return np.array([s.resting for s in self.inputs], dtype=np.float64)

    @property
    def d_nominal(self) -> Array:
        """Disturbances at rest, (nd,)."""
        return np.array([s.nominal for s in self.disturbances], dtype=np.float64)

    @property
    def identity(self) -> list[Any]:
        """What tells this system from another, for a digest: CasADi's text, which holds every
        equation and constant; of Python functions, which have none, what their twin says of
        itself, or the response to a seeded experiment."""
        if hasattr(self.step, "serialize"):
            return [self.step.serialize(), self.output.serialize(), self.x0, self.Ts]
        if (identity := getattr(self.batch, "identity", None)) is not None:
            return [identity, self.x0, self.Ts]
        low, high = (np.array([getattr(s, side) for s in self.inputs]) for side in ("low", "high"))
        run = simulate(
            self, np.repeat(np.random.default_rng(0).uniform(low, high, (20, self.nu)), 10, axis=0)
        )
        return [run.chi.tobytes().hex(), run.y.tobytes().hex(), self.Ts]

    @property
    def vectorised(self) -> Batch:
        """The batch twin, or the mapped CasADi functions where none was given."""
        return self.batch if self.batch is not None else Mapped(self.step, self.output)


def simulate(
    system: System,
    u: ArrayLike,
    *,
    x0: ArrayLike | None = None,
    disturbances: ArrayLike | None = None,
) -> Trajectory:
    """Simulate one trajectory with the CasADi definition.

    Args:
        system: The plant.
        u: The inputs, (N, nu) [engineering].
        x0: The start, (n,); by default that of the system.
        disturbances: (N, nd), or (nd,) that stay [engineering]; by default the nominal ones.

    Returns:
        The trajectory; its outputs are those before each input acts.

    Raises:
        InputError: A shape does not fit, or a value is not finite.
    """
    u = _signal(u, system.nu, f"{system.name}: u")
    N = len(u)
    start = system.x0 if x0 is None else frozen_array(x0, 1, f"{system.name}: x0")
    if start.size != system.n:
        raise InputError(f"{system.name}: x0 needs {system.n} values, got {start.size}")
    d = disturbances_of(system, disturbances, N)
    if N == 0:
        raise InputError(f"{system.name}: u holds no sample")
    later = np.asarray(system.step.mapaccum(N)(start, u.T, d.T)).T
    chi = np.vstack([start, later])
    y = np.asarray(system.output.map(N)(chi[:-1].T)).T
    return Trajectory(system.Ts * np.arange(N, dtype=np.float64), u, y, chi)


def _signal(values: ArrayLike, width: int, name: str) -> Array:
    array = frozen_array(values, name=name)
    array = frozen_array(array[:, None] if array.ndim == 1 and width == 1 else array, 2, name)
    if array.shape[1] != width:
        raise InputError(f"{name} must have {width} column(s), got shape {array.shape}")
    return array


def disturbances_of(system: System, values: ArrayLike | None, N: int) -> Array:
    if values is None:
        return np.tile(system.d_nominal, (N, 1))
    array = frozen_array(values, name=f"{system.name}: disturbances")
    if array.ndim == 1 and array.size == system.nd:
        array = np.tile(array, (N, 1))
    array = _signal(array, system.nd, f"{system.name}: disturbances")
    if len(array) != N:
        raise InputError(f"{system.name}: disturbances have {len(array)} samples, u has {N}")
    return array
