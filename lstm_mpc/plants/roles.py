"""Which inputs are moved and which only measured, and a system with its signals in other roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_mpc.errors import InputError
from lstm_mpc.plants.python_function import PythonFunction
from lstm_mpc.plants.system import Array, Batch, Signal, System


@dataclass(frozen=True)
class Roles:
    """The places of the `manipulated` inputs (nu,) and of the `measured` ones (nd,) among all."""

    manipulated: NDArray[np.intp]
    measured: NDArray[np.intp]

    @staticmethod
    def of(inputs: Sequence[Signal]) -> Roles:
        """The roles that the signals name."""
        measured = np.array([s.measured for s in inputs], dtype=bool)
        return Roles(np.flatnonzero(~measured), np.flatnonzero(measured))

    def joined(self, u: ArrayLike, measured: ArrayLike) -> Array:
        """All inputs (…, nu + nd) in their order, of the manipulated (…, nu) and the measured (…,
        nd) ones."""
        given: Array = np.asarray(u, dtype=np.float64)
        if not self.measured.size:
            return given
        whole = np.empty((*given.shape[:-1], self.manipulated.size + self.measured.size))
        whole[..., self.manipulated] = given
        whole[..., self.measured] = measured
        return whole

    def moved(self, inputs: Array) -> Array:
        """The manipulated ones (…, nu) of all inputs."""
        return inputs[..., self.manipulated] if self.measured.size else inputs

    def column(self, u: Any, measured: Any) -> Any:
        """`joined` for CasADi columns."""
        if not self.measured.size:
            return u
        parts = {int(at): u[j, :] for j, at in enumerate(self.manipulated)}
        parts |= {int(at): measured[j, :] for j, at in enumerate(self.measured)}
        return ca.vertcat(*(parts[at] for at in sorted(parts)))


def driven_by(system: System, inputs: Sequence[Signal]) -> System:
    """`system` with these inputs: the manipulated ones are its own, one after the other; each
    measured one is its disturbance of that name, which is no longer a disturbance then.

    Without measured inputs it is `system` itself. InputError where there is no such disturbance."""
    roles, names = Roles.of(inputs), [s.name for s in system.disturbances]
    if not roles.measured.size:
        return system
    measured = [inputs[at].name for at in roles.measured]
    for name in measured:
        if name not in names:
            raise InputError(
                f"input {name!r} is measured, but {system.name} has no disturbance of that name"
                f" (it has {', '.join(names) or 'none'})"
            )
    if roles.manipulated.size != system.nu:
        raise InputError(
            f"{system.name} has {system.nu} manipulated input(s), got {roles.manipulated.size}"
        )
    left = [s for s in system.disturbances if s.name not in measured]
    places = {name: int(at) for name, at in zip(measured, roles.measured, strict=True)}
    places |= {s.name: len(inputs) + j for j, s in enumerate(left)}
    rows = _Rows(tuple(roles.manipulated.tolist()), tuple(places[name] for name in names))
    return _rewired(system, tuple(inputs), tuple(left), rows)


def as_plant(system: System) -> System:
    """A model's system as a plant: its measured inputs are disturbances, which rest at their
    nominal values."""
    roles = Roles.of(system.inputs)
    if not roles.measured.size:
        return system
    inputs = tuple(system.inputs[at] for at in roles.manipulated)
    known = as_disturbances(system.inputs)
    order = np.argsort(np.concatenate([roles.manipulated, roles.measured]))
    first = len(system.inputs)
    own = tuple(first + j for j in range(system.nd))
    return _rewired(
        system, inputs, (*known, *system.disturbances), _Rows(tuple(order.tolist()), own)
    )


def as_disturbances(inputs: Sequence[Signal]) -> tuple[Signal, ...]:
    """The measured ones of the inputs as disturbances of a plant."""
    return tuple(replace(s, kind="manipulated", nominal=s.typical) for s in inputs if s.measured)


@dataclass(frozen=True)
class _Rows:
    """Where in [inputs; disturbances] of the new system those of the old one stand."""

    u: tuple[int, ...]
    d: tuple[int, ...]

    def symbols(self, u: Any, d: Any) -> tuple[Any, Any]:
        both = ca.vertcat(u, d)

        def part(rows: tuple[int, ...]) -> Any:
            return ca.vertcat(*(both[at, :] for at in rows)) if rows else ca.SX(0, 1)

        return part(self.u), part(self.d)

    def numbers(self, u: Array, d: Array) -> tuple[Array, Array]:
        both = np.concatenate([u, d])
        return both[list(self.u)], both[list(self.d)]


@dataclass(frozen=True)
class _Rewired:
    """A twin with its inputs taken from other places."""

    twin: Batch
    rows: _Rows

    @property
    def identity(self) -> list[Any] | None:
        """What tells this plant from others, where the twin says so."""
        known = getattr(self.twin, "identity", None)
        return None if known is None else [known, self.rows.u, self.rows.d]

    def step(self, chi: Array, u: Array, d: Array) -> Array:
        return self.twin.step(chi, *self.rows.numbers(u, d))

    def output(self, chi: Array) -> Array:
        return self.twin.output(chi)


def _rewired(
    system: System, inputs: tuple[Signal, ...], disturbances: tuple[Signal, ...], rows: _Rows
) -> System:
    twin = None if system.batch is None else _Rewired(system.batch, rows)
    if isinstance(system.step, PythonFunction):
        sizes = (system.n, len(inputs), len(disturbances))
        columns = _Rewired(system.vectorised, rows).step
        step: Any = replace(system.step, function=columns, sizes=sizes, columns=True)
    else:
        chi, u, d = (
            ca.SX.sym("chi", system.n),
            ca.SX.sym("u", len(inputs)),
            ca.SX.sym("d", len(disturbances)),
        )
        following = system.step(chi, *rows.symbols(u, d))
        step = ca.Function("step", [chi, u, d], [following], ["chi", "u", "d"], ["chi_next"])
    return replace(system, inputs=inputs, disturbances=disturbances, step=step, batch=twin)


def signal_content(signal: Signal) -> dict[str, Any]:
    """A signal as JSON types; open ends are left out, since JSON has no infinity."""
    fields = {
        "name": signal.name,
        "unit": signal.unit,
        "low": signal.low,
        "high": signal.high,
        "nominal": signal.nominal,
        "kind": "measured" if signal.measured else None,
    }
    return {
        k: v for k, v in fields.items() if v is not None and v not in (float("inf"), float("-inf"))
    }
