"""A plant that is a Python function: simulated, recorded, verified and controlled like any other,
but never differentiated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array, Signal, System, frozen_array


@dataclass(frozen=True)
class PythonFunction:
    """A Python function of columns where a `System` has a CasADi function: it is called with (n_i,
    B) arrays and returns (size, B)."""

    function: Callable[..., ArrayLike]
    sizes: tuple[int, ...]
    size: int
    columns: bool
    name: str

    def numel_in(self, place: int) -> int:
        return self.sizes[place]

    def numel_out(self, place: int) -> int:
        return self.size

    def __call__(self, *values: Any) -> Array:
        """The result (size, B); copies go in, so that a function that writes into its arguments
        harms nobody."""
        try:
            arguments = [np.array(value, dtype=np.float64) for value in values]
        except (TypeError, ValueError, NotImplementedError) as error:
            raise InputError(
                f"{self.name} is a Python function and takes numbers; differentiating a plant needs"
                " CasADi"
            ) from error
        arguments = [a.reshape(count, -1) for a, count in zip(arguments, self.sizes, strict=True)]
        if self.columns:
            return self._checked(self.function(*arguments), arguments[0].shape[1:])
        each = [
            self._checked(self.function(*column), ())
            for column in zip(*(a.T.copy() for a in arguments), strict=True)
        ]
        return np.stack(each, axis=1)

    def _checked(self, result: ArrayLike, columns: tuple[int, ...]) -> Array:
        try:
            array = np.asarray(result, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.name} must return numbers, got {result!r:.60}") from error
        if array.shape != (self.size, *columns):
            raise InputError(
                f"{self.name} must return an array of shape {(self.size, *columns)}, got"
                f" {array.shape}"
            )
        return array

    def mapaccum(self, count: int) -> Callable[[Any, Any, Any], Array]:
        """As CasADi's: `count` steps one after the other, (n, count) of the start (n,) and columns
        of inputs and disturbances."""

        def run(chi: Any, u: Any, d: Any) -> Array:
            found = []
            for k in range(count):
                chi = self(chi, u[:, k], d[:, k])[:, 0]
                found.append(chi)
            return np.stack(found, axis=1)

        return run

    def map(self, count: int) -> PythonFunction:
        return self


@dataclass(frozen=True)
class _Batch:
    """The functions themselves as the NumPy twin."""

    step: PythonFunction
    output: PythonFunction


def from_python(
    step: Callable[[Array, Array, Array], ArrayLike],
    output: Callable[[Array], ArrayLike],
    *,
    name: str,
    inputs: tuple[Signal, ...],
    outputs: tuple[Signal, ...],
    Ts: float,
    x0: ArrayLike,
    disturbances: tuple[Signal, ...] = (),
    parameters: tuple[Signal, ...] = (),
    columns: bool = False,
) -> System:
    """Make a plant of two plain functions.

    Both must be pure: the same arguments, the same result, to the bit. To be sent to worker
    processes they must be defined at the top of a module, or be methods of a frozen dataclass
    there. Nothing differentiates the plant: the model is identified from its records, and engines
    see the model alone.

    Args:
        step: (χ (n,), u (nu,), d (nd,)) -> χ⁺ (n,), one sample on.
        output: χ (n,) -> y (ny,), before the input of the sample acts.
        name: Of the plant.
        inputs: The signals that are manipulated.
        outputs: The signals that are measured.
        Ts: The sampling time [s].
        x0: The nominal start, (n,).
        disturbances: The signals that nobody manipulates.
        parameters: The last states, which stay as they are, see `System`.
        columns: Whether the functions work on many trajectories at once, (n, B), (nu, B), (nd, B)
            -> (n, B) and (n, B) -> (ny, B), which makes verification faster by orders of magnitude.

    Returns:
        The plant.

    Raises:
        InputError: A result has the wrong shape, is not finite at `x0`, or differs from call to
            call.
    """
    start = frozen_array(x0, 1, f"{name}: x0")
    n, nu, nd = start.size, len(inputs), len(disturbances)
    stepping = PythonFunction(step, (n, nu, nd), n, columns, f"{name}: step")
    reading = PythonFunction(output, (n,), len(outputs), columns, f"{name}: output")
    system = System(
        name=name,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        Ts=Ts,
        x0=start,
        step=stepping,
        output=reading,
        disturbances=tuple(disturbances),
        batch=_Batch(stepping, reading),
        parameters=tuple(parameters),
    )
    _try(system)
    return system


def _try(system: System) -> None:
    """Call both functions at the start, twice, and for two columns at once."""
    u = np.array([s.typical for s in system.inputs])
    arguments = [system.x0, u, system.d_nominal]
    for function, given in ((system.step, arguments), (system.output, arguments[:1])):
        once, again = function(*given), function(*given)
        if not np.isfinite(once).all():
            raise InputError(
                f"{function.name} gives {once[~np.isfinite(once)][0]} at x0; the plant must start"
                " where its equations hold"
            )
        if not np.array_equal(once, again):
            raise InputError(
                f"{function.name} gives two results for the same arguments; it must be a pure"
                " function"
            )
        if not np.array_equal(
            function(*(np.repeat(a[:, None], 2, axis=1) for a in given)), np.hstack([once, once])
        ):
            raise InputError(
                f"{function.name} gives another result for two columns than for each alone"
            )
