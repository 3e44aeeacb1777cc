"""Inputs that arrive late: the check of delays, recorded inputs as they arrive, and a system behind
lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array, Batch, System

LONGEST = 1000  # samples; more is a slip, and every one of them is a state


def checked_delays(
    delays: Sequence[int], count: int | None = None, *, name: str
) -> tuple[int, ...]:
    """Delays [samples], as many as the `count` inputs, where that is known; none given: zeros.
    InputError where they cannot be."""
    found = tuple(delays) or (0,) * (count or 0)
    if not all(isinstance(delay, (int, np.integer)) and 0 <= delay <= LONGEST for delay in found):
        raise InputError(
            f"{name}: delays must be whole numbers of samples from 0 to {LONGEST}, got"
            f" {list(found)}"
        )
    if count is not None and len(found) != count:
        raise InputError(f"{name}: delays must be {count}, one for each input, got {list(found)}")
    return tuple(int(delay) for delay in found)


def late(u: Array, delays: Sequence[int]) -> Array:
    """The inputs `u` (N, nu) as they arrive `delays` (nu,) samples late; what is held before the
    first sample is the first sample."""
    if not any(delays):
        return u
    row = np.maximum(np.arange(len(u))[:, None] - np.asarray(delays), 0)
    return np.asarray(u[row, np.arange(u.shape[1])])


def delayed(system: System, delays: Sequence[int], u: ArrayLike) -> System:
    """The system behind lines in which input j takes `delays[j]` samples; `u` (nu,) fills them at
    its start.

    Its state is [χ; for input 1 what is under way, the oldest first; for input 2 …], engineering
    units. Without a delay it is `system` itself; `parameters` are not offered."""
    delays = checked_delays(delays, system.nu, name=system.name)
    if not any(delays):
        return system
    n, ends = system.n, system.n + np.cumsum(delays)
    chi, given, d = (
        ca.SX.sym("chi", n + sum(delays)),
        ca.SX.sym("u", system.nu),
        ca.SX.sym("d", system.nd),
    )
    lines = [
        ca.vertcat(chi[end - delay : end, :], given[j, :])
        for j, (end, delay) in enumerate(zip(ends.tolist(), delays, strict=True))
    ]
    acting = ca.vertcat(*(line[0, :] for line in lines))
    after = ca.vertcat(system.step(chi[:n, :], acting, d), *(line[1:, :] for line in lines))
    step = ca.Function("step", [chi, given, d], [after], ["chi", "u", "d"], ["chi_next"])
    output = ca.Function("output", [chi], [system.output(chi[:n, :])], ["chi"], ["y"])
    start = np.concatenate([system.x0, np.repeat(u, delays)])
    twin = None if system.batch is None else _Delayed(system.batch, n, delays)
    return System(
        system.name,
        system.inputs,
        system.outputs,
        system.Ts,
        start,
        step,
        output,
        system.disturbances,
        twin,
    )


@dataclass(frozen=True)
class _Delayed:
    """The twin of `delayed`, around that of a system with `n` states."""

    twin: Batch
    n: int
    delays: tuple[int, ...]

    def step(self, chi: Array, u: Array, d: Array) -> Array:
        at, acting, parts = self.n, [], []
        for given, delay in zip(u, self.delays, strict=True):
            line = np.vstack([chi[at : at + delay], given])
            acting.append(line[0])
            parts.append(line[1:])
            at += delay
        return np.concatenate([self.twin.step(chi[: self.n], np.array(acting), d), *parts])

    def output(self, chi: Array) -> Array:
        return self.twin.output(chi[: self.n])
