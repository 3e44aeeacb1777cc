"""The quadruple tank of Johansson, *The Quadruple-Tank Process*, IEEE Trans. Control Systems
Technology 8(3), 2000.

Two pumps feed four tanks crosswise: a valve behind each pump sends the share γ of its flow into a
lower tank and the rest into the upper tank across, which drains into the other lower tank. The
lower levels h1, h2 are measured. With γ1 + γ2 > 1 most water goes to the near tank and the plant is
minimum-phase; with γ1 + γ2 < 1 it goes the long way round, and one transmission zero lies in the
right half plane.

    A1 ḣ1 = −q1 + q3 + γ1 k1 v1        A3 ḣ3 = −q3 + (1 − γ2) k2 v2 + w3
    A2 ḣ2 = −q2 + q4 + γ2 k2 v2        A4 ḣ4 = −q4 + (1 − γ1) k1 v1 + w4
    q_i = a_i √(2 g h_i)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from types import SimpleNamespace
from typing import Any

import casadi as ca
import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array, Signal, System
from lstm_mpc.plants.tanks import tank_stays

# Constants: Johansson (2000), Section II.
AREA = (28.0, 32.0, 28.0, 32.0)  # [cm²] cross-sections A1 … A4
OUTLET = (0.071, 0.057, 0.071, 0.057)  # [cm²] outlet holes a1 … a4
G = 981.0  # [cm/s²]
HEIGHT = 20.0  # [cm] of a tank
V_LIMITS = (1.5, 3.6)  # [V] of the pumps: nowhere at rest does a tank run dry or over
LEAK = 1.2  # [cm³/s] largest unknown flow into or out of an upper tank

_ROUNDING = 1e-9  # [relative] of levels, more than what thousands of steps leave
# constants that no two plants share: outlets, pumps, valves
VARIED = ("a1", "a2", "a3", "a4", "k1", "k2", "gamma1", "gamma2")

_FINEST = 1.0  # [s] largest Runge–Kutta step; the quickest tank's time constant is 10 s
# [cm] below it an outflow falls in proportion to the level, so that its slope stays finite and no
# tank runs below empty
_FLOOR = 0.01

# The plant's equations are written once and run on CasADi symbols or on NumPy arrays with these
# operations.
_CASADI = SimpleNamespace(sqrt=ca.sqrt, most=ca.fmax)
_NUMPY = SimpleNamespace(sqrt=np.sqrt, most=np.maximum)


@dataclass(frozen=True)
class Phase:
    """A setting of the valves with the operating point around which it was published: valve shares
    `gamma` [-], pump constants `k` [cm³/(V s)], pump voltages `v` [V]."""

    gamma: tuple[float, float]
    k: tuple[float, float]
    v: tuple[float, float]


PHASES = {
    "minimum": Phase(gamma=(0.70, 0.60), k=(3.33, 3.35), v=(3.00, 3.00)),
    "nonminimum": Phase(gamma=(0.43, 0.34), k=(3.14, 3.29), v=(3.15, 3.15)),
}


@dataclass(frozen=True)
class Plant:
    """The quadruple tank sampled every `Ts` [s], its valves set to `phase`, one of PHASES.

    Inputs v1, v2 [V]; disturbances w3, w4 [cm³/s], unknown flows into the upper tanks, negative for
    leaks; outputs h1, h2 [cm]; states h1 … h4 [cm]. An `uncertain` plant has the constants `VARIED`
    as parameters, each a share of its printed value."""

    Ts: float = 5.0
    phase: str = "minimum"
    uncertain: bool = False

    def __post_init__(self) -> None:
        if not self.Ts > 0:
            raise InputError(f"Ts must be a positive number of seconds, got {self.Ts}")
        if self.phase not in PHASES:
            raise InputError(
                f"phase must be one of {', '.join(map(repr, PHASES))}, got {self.phase!r}"
            )

    def system(self) -> System:
        """The plant as a `System`, resting under the published voltages."""
        n = 4 + len(self._parameters)
        chi, v, w = ca.SX.sym("chi", n), ca.SX.sym("v", 2), ca.SX.sym("w", 2)
        states, voltages, flows = ([z[i, :] for i in range(z.numel())] for z in (chi, v, w))
        nominal = PHASES[self.phase].v
        return System(
            name=f"quadruple tank, {self.phase} phase",
            inputs=tuple(Signal(f"v{i + 1}", "V", *V_LIMITS, nominal[i]) for i in range(2)),
            outputs=tuple(Signal(f"h{i + 1}", "cm", 0.0, HEIGHT) for i in range(2)),
            disturbances=tuple(Signal(f"w{i}", "cm³/s", -LEAK, LEAK, 0.0) for i in (3, 4)),
            Ts=self.Ts,
            x0=self.steady_state(),
            step=ca.Function(
                "tank_step", [chi, v, w], [ca.vertcat(*self.step(states, voltages, flows, _CASADI))]
            ),
            output=ca.Function("tank_output", [chi], [chi[:2, :]]),
            batch=_PlantBatch(self),
            parameters=self._parameters,
        )

    @property
    def _parameters(self) -> tuple[Signal, ...]:
        return tuple(Signal(name, "-", 0.5, 1.4, 1.0) for name in VARIED) if self.uncertain else ()

    def steady_state(
        self, v1: float | None = None, v2: float | None = None, *, w3: float = 0.0, w4: float = 0.0
    ) -> Array:
        """The state (n,) at rest under constant voltages [V], by default the published ones, and
        flows [cm³/s]: q_i = a_i √(2 g h_i)."""
        p = PHASES[self.phase]
        flow1, flow2 = (
            p.k[0] * (p.v[0] if v1 is None else v1),
            p.k[1] * (p.v[1] if v2 is None else v2),
        )
        q3, q4 = (1.0 - p.gamma[1]) * flow2 + w3, (1.0 - p.gamma[0]) * flow1 + w4
        q = np.array([q3 + p.gamma[0] * flow1, q4 + p.gamma[1] * flow2, q3, q4])
        if (q < 0).any():
            raise InputError(
                "a leak of more than flows in leaves no steady state: outflows"
                f" {q.round(3).tolist()} cm³/s"
            )
        return np.concatenate(
            [(q / OUTLET) ** 2 / (2.0 * G), [s.nominal for s in self._parameters]]
        )

    def output_bounds(self, u: Array, d: Array, constants: Array) -> Array | None:
        """The levels h1, h2 (2, 2) that nothing leaves from a rest under such inputs: for voltages
        in `u` (2, 2), flows in `d` (2, 2) and the `constants` (8, 2), whatever they do; None where
        it is not proved.

        Every tank stays between the levels at rest under its least and its largest inflow
        (`tank_stays`), the upper ones first, whose outflow is then between their inflows. In a
        level at rest, (in/a)²/2g, every input and every constant occurs once."""
        p = PHASES[self.phase]
        held = np.tile([1.0, 1.0], (len(VARIED), 1)) if not len(constants) else constants
        a, k, gamma = held[:4], held[4:6], held[6:8] * np.array(p.gamma)[:, None]
        flow = k * np.array(p.k)[:, None] * u
        across = (1.0 - gamma[:, ::-1]) * flow
        if min(u.min(), held.min(), (1.0 - gamma).min()) < 0:
            return None
        upper = np.array([across[1] + d[0], across[0] + d[1]])
        inflows = np.vstack([gamma * flow + upper, upper])
        if inflows.min() < 0:
            return None
        holes = np.array(OUTLET)[:, None] * a
        levels = (inflows / holes[:, ::-1]) ** 2 / (2.0 * G)
        T = self.Ts / ceil(self.Ts / _FINEST)
        for area, (least, most), hole, (_, full) in zip(AREA, inflows, holes, levels, strict=True):
            rest = (least / hole[1]) ** 2 / (2.0 * G)
            lowest = rest - T * (most / hole[0] * hole[1]) / area  # of a stage
            if not lowest > _FLOOR:
                return None
            steep = T * hole[1] * (G / (2.0 * lowest)) ** 0.5 / area
            if not tank_stays(lowest, _FLOOR, steep) or not np.isfinite(full):
                return None
        ends = levels[:2] * (1.0 + _ROUNDING * np.array([-1.0, 1.0]))
        return np.asarray(ends)

    def step(self, chi: list[Any], v: list[Any], w: list[Any], m: SimpleNamespace) -> list[Any]:
        """One sample, voltages and flows held: equal Runge–Kutta steps of order 4, none longer than
        a second."""
        levels, constants = chi[:4], chi[4:]
        p = PHASES[self.phase]
        a1, a2, a3, a4, k1, k2, gamma1, gamma2 = constants or len(VARIED) * [1.0]
        holes = [
            hole * share * (2.0 * G) ** 0.5
            for hole, share in zip(OUTLET, (a1, a2, a3, a4), strict=True)
        ]
        flow1, flow2 = p.k[0] * k1 * v[0], p.k[1] * k2 * v[1]
        near1, near2 = p.gamma[0] * gamma1 * flow1, p.gamma[1] * gamma2 * flow2
        fed = [near1, near2, flow2 - near2 + w[0], flow1 - near1 + w[1]]

        def slope(h: list[Any]) -> list[Any]:
            q = [
                hole * level / m.sqrt(m.most(level, _FLOOR))
                for hole, level in zip(holes, h, strict=True)
            ]
            through = [fed[0] + q[2] - q[0], fed[1] + q[3] - q[1], fed[2] - q[2], fed[3] - q[3]]
            return [flow / area for flow, area in zip(through, AREA, strict=True)]

        def moved(h: list[Any], along: list[Any], by: float) -> list[Any]:
            return [level + by * rate for level, rate in zip(h, along, strict=True)]

        count = ceil(self.Ts / _FINEST)
        T = self.Ts / count
        for _ in range(count):
            s1 = slope(levels)
            s2 = slope(moved(levels, s1, 0.5 * T))
            s3 = slope(moved(levels, s2, 0.5 * T))
            s4 = slope(moved(levels, s3, T))
            mean = [
                (r1 + 2.0 * r2 + 2.0 * r3 + r4) / 6.0
                for r1, r2, r3, r4 in zip(s1, s2, s3, s4, strict=True)
            ]
            levels = moved(levels, mean, T)
        return [*levels, *constants]


@dataclass(frozen=True)
class _PlantBatch:
    """The plant's equations on NumPy rows."""

    plant: Plant

    def step(self, chi: Array, u: Array, d: Array) -> Array:
        return np.stack(self.plant.step(list(chi), list(u), list(d), _NUMPY))

    def output(self, chi: Array) -> Array:
        return chi[:2].copy()

    def output_bounds(self, u: Array, d: Array, constants: Array) -> Array | None:
        return self.plant.output_bounds(u, d, constants)
