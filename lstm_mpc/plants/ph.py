"""The pH neutralisation plant of Hall & Seborg (1989) in the third-order form of Henson & Seborg
(1994).

An acid stream q1, a buffer stream q2 and an alkaline stream q3 (manipulated) meet in tank 1; the pH
of its outflow q4 is measured. The paper draws a second tank in the acid line and takes its fast
outflow q1e = q1; so does this model. W_a4 and W_b4 are the reaction invariants of the tank [mol/L]
(charge and carbonate balance), h1 its level [cm].

    Ẇa4 = Σ_i q_i (W_ai − W_a4) / (A1 h1)        (W_b4 alike)
    ḣ1 = (q1 + q2 + q3 − Cv4 (h1 + z)^n) / A1
    0 = W_a4 + 10^(pH−14) − 10^(−pH)
        + W_b4 (1 + 2·10^(pH−pK2)) / (1 + 10^(pK1−pH) + 10^(pH−pK2))
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import casadi as ca
import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array, Signal, System
from lstm_mpc.plants.tanks import tank_stays

# Constants: Hall & Seborg (1989), as printed by Henson & Seborg (1994), Table 1.
A1 = 207.0  # [cm²] cross-section of tank 1
CV4 = 4.59  # [mL/s/cm^n] outlet valve coefficient, belongs to the (h1 + z)^n form
N4 = 0.607  # [-] outlet valve exponent
Z = 11.5  # [cm] height of the tank bottom above the outlet
PK1, PK2 = 6.35, 10.25  # [-] dissociation of carbonic acid
WA = (3.0e-3, -3.0e-2, -3.05e-3)  # [mol/L] charge invariant of acid, buffer, base
WB = (0.0, 3.0e-2, 5.0e-5)  # [mol/L] carbonate invariant of acid, buffer, base
Q1, Q2, Q3 = 16.6, 0.55, 15.6  # [mL/s] nominal flows
Q3_LIMITS = (12.5, 17.0)  # [mL/s] actuator range used with this plant by the paper's authors

# constants that no two plants share: the vessel, the valve, the three solutions
VARIED = ("A1", "Cv4", "Wa1", "Wa2", "Wa3", "Wb2")

_LN10 = float(np.log(10.0))
_K1, _K2, _KW = 10.0**-PK1, 10.0**-PK2, 1e-14
_ROUNDING = 1e-13  # [relative] more than what is lost in a sum of a few terms
_SOLVED = 1e-6  # [pH] more than what Newton's iteration leaves
_NEWTON_STEPS = 20  # the worst reachable mixture needs 16


# Newton squares its error: after a move below 1e-8 the next is below round-off. The plant's
# equations are written once and run on CasADi symbols or on NumPy arrays with these operations.
_CASADI = SimpleNamespace(
    exp=ca.exp, log=ca.log, where=ca.if_else, both=ca.logic_and, moving=lambda move: None
)
_NUMPY = SimpleNamespace(
    exp=np.exp,
    log=np.log,
    where=np.where,
    both=np.logical_and,
    moving=lambda move: np.abs(move) > 1e-8,
)


@dataclass(frozen=True)
class Plant:
    """The pH plant sampled every `Ts` [s], with a probe that lags `delay` [s] behind the tank (a
    whole number of samples).

    Inputs q3 [mL/s]; disturbances q1, q2 [mL/s]; output pH; states (W_a4, W_b4 [mol/L], h1 [cm])
    and the samples under way. An `uncertain` plant has the constants `VARIED` as parameters, each a
    share of its printed value."""

    Ts: float = 10.0
    delay: float = 0.0
    uncertain: bool = False

    def __post_init__(self) -> None:
        if not self.Ts > 0:
            raise InputError(f"Ts must be a positive number of seconds, got {self.Ts}")
        if self.delay < 0 or abs(self.delay / self.Ts - round(self.delay / self.Ts)) > 1e-9:
            raise InputError(
                f"the probe delay {self.delay} s must be a multiple of the sampling time {self.Ts}"
                " s and not negative"
            )

    @property
    def lag(self) -> int:
        """Probe delay in samples."""
        return round(self.delay / self.Ts)

    def system(self) -> System:
        """The plant as a `System`, resting at the nominal flows."""
        n = 3 + self.lag + len(self._parameters)
        chi, u, d = ca.SX.sym("chi", n), ca.SX.sym("u", 1), ca.SX.sym("d", 2)
        states = [chi[i, :] for i in range(n)]
        following = ca.vertcat(*self.step(states, u, d[0, :], d[1, :], _CASADI))
        return System(
            name="pH neutralisation",
            inputs=(Signal("q3", "mL/s", *Q3_LIMITS, Q3),),
            outputs=(Signal("pH", "pH", 0.0, 14.0),),
            disturbances=(
                Signal("q1", "mL/s", 0.5 * Q1, 1.5 * Q1, Q1),
                Signal("q2", "mL/s", 0.0, 4 * Q2, Q2),
            ),
            Ts=self.Ts,
            x0=self.steady_state(),
            step=ca.Function("ph_step", [chi, u, d], [following], ["chi", "u", "d"], ["chi_next"]),
            output=ca.Function("ph_output", [chi], [self.output(states, _CASADI)], ["chi"], ["y"]),
            batch=_PlantBatch(self),
            parameters=self._parameters,
        )

    @property
    def _parameters(self) -> tuple[Signal, ...]:
        return tuple(Signal(name, "-", 0.5, 2.0, 1.0) for name in VARIED) if self.uncertain else ()

    def steady_state(self, q3: float = Q3, *, q1: float = Q1, q2: float = Q2) -> Array:
        """The state (n,) at rest under constant flows [mL/s]."""
        q = q1 + q2 + q3
        mixed = [(q1 * W[0] + q2 * W[1] + q3 * W[2]) / q for W in (WA, WB)]
        probe = acidity(np.array([mixed[0]]), np.array([mixed[1]]))
        return np.array(
            [*mixed, (q / CV4) ** (1.0 / N4) - Z]
            + self.lag * [probe[0]]
            + [s.nominal for s in self._parameters]
        )

    def step(self, chi: list[Any], q3: Any, q1: Any, q2: Any, m: SimpleNamespace) -> list[Any]:
        """One sample, flows held. h1 and s = ∫ q/(A1 h1) dt by one Runge–Kutta step of order 4 (h1
        is slow: 265 s against Ts); the invariants then mix exactly, W = W_in + (W − W_in)
        e^(−s)."""
        Wa, Wb, h = chi[:3]
        constants = chi[3 + self.lag :]
        area, valve, Wa1, Wa2, Wa3, Wb2 = constants or len(VARIED) * [1.0]
        A, C = A1 * area, CV4 * valve
        q = q1 + q2 + q3

        def slope(h: Any) -> tuple[Any, Any]:
            return (q - C * m.exp(N4 * m.log(h + Z))) / A, q / (A * h)

        T = self.Ts
        h1, s1 = slope(h)
        h2, s2 = slope(h + 0.5 * T * h1)
        h3, s3 = slope(h + 0.5 * T * h2)
        h4, s4 = slope(h + T * h3)
        kept = m.exp(-T / 6.0 * (s1 + 2.0 * s2 + 2.0 * s3 + s4))
        Wa_in = (q1 * WA[0] * Wa1 + q2 * WA[1] * Wa2 + q3 * WA[2] * Wa3) / q
        Wb_in = (q1 * WB[0] + q2 * WB[1] * Wb2 + q3 * WB[2]) / q
        tank = [
            Wa_in + (Wa - Wa_in) * kept,
            Wb_in + (Wb - Wb_in) * kept,
            h + T / 6.0 * (h1 + 2.0 * h2 + 2.0 * h3 + h4),
        ]
        line = [acidity(Wa, Wb, m), *chi[3 : 2 + self.lag]] if self.lag else []
        return tank + line + constants

    def output_bounds(self, u: Array, d: Array, constants: Array) -> Array | None:
        """The pH (1, 2) that nothing leaves from a rest under such flows: for q3 in `u` (1, 2), q1
        and q2 in `d` (2, 2) and the `constants` (6, 2), whatever they do; None where it is not
        proved.

        The invariants of the tank are a mixture of feeds at all times, since a step mixes the tank
        with a feed, W⁺ = W_in + (W − W_in) e^(−s), s > 0. At a fixed pH the charge balance is
        linear in them, so that its sign is decided on the feeds: Σ q_i (balance of the stream i) in
        interval arithmetic, where every flow and every constant occurs once. s > 0 needs a level
        above 0, which `tank_stays` shows."""
        held = np.tile([1.0, 1.0], (len(VARIED), 1)) if not len(constants) else constants
        area, valve, Wa1, Wa2, Wa3, Wb2 = held
        flows = np.array([d[0], d[1], u[0]])
        if flows.min() < 0:
            return None
        levels = (np.array([flows[:, 0].sum(), flows[:, 1].sum()]) / (CV4 * valve[::-1])) ** (
            1 / N4
        )
        lowest, step = float(levels[0] - Z), float(self.Ts / (A1 * area[0]))
        steepest = CV4 * valve[1] * N4 * (lowest + Z) ** (N4 - 1.0)  # the outflow is concave
        if not tank_stays(lowest, 0.0, step * steepest):
            return None
        streams = [(Wa1, WA[0], 0.0, None), (Wa2, WA[1], WB[1], Wb2), (Wa3, WA[2], WB[2], None)]

        def ends(pH: float) -> tuple[float, float]:
            """Σ q_i (balance of stream i) at its least and at its most."""
            H, low, high, size = 10.0**-pH, 0.0, 0.0, 0.0
            share = (H + 2.0 * _K2) / (H * H / _K1 + H + _K2)
            for q, (of_a, a, b, of_b) in zip(flows, streams, strict=True):
                charge, buffer = (
                    np.sort(a * of_a),
                    b * share * (np.ones(2) if of_b is None else of_b),
                )
                values = np.outer(q, charge + _KW / H - H + buffer)
                low, high = low + values.min(), high + values.max()
                size += q[1] * (abs(charge).max() + _KW / H + H + buffer.max())
            return low - _ROUNDING * size, high + _ROUNDING * size

        def edge(side: int) -> float:
            """Where the least (0) or the most (1) changes its sign: both rise with pH."""
            low, high = 0.0, 14.0
            for _ in range(60):
                middle = 0.5 * (low + high)
                low, high = (low, middle) if ends(middle)[side] > 0 else (middle, high)
            return high if side == 0 else low

        return np.array([[edge(1) - _SOLVED, edge(0) + _SOLVED]])

    def output(self, chi: list[Any], m: SimpleNamespace) -> Any:
        """The measured pH of the state `chi`."""
        return chi[2 + self.lag] if self.lag else acidity(chi[0], chi[1], m)


@dataclass(frozen=True)
class _PlantBatch:
    """The plant's equations on NumPy rows."""

    plant: Plant

    def step(self, chi: Array, u: Array, d: Array) -> Array:
        return np.stack(self.plant.step(list(chi), u[0], d[0], d[1], _NUMPY))

    def output(self, chi: Array) -> Array:
        return np.asarray(self.plant.output(list(chi), _NUMPY))[None]

    def output_bounds(self, u: Array, d: Array, constants: Array) -> Array | None:
        return self.plant.output_bounds(u, d, constants)


def acidity(Wa: Any, Wb: Any, m: SimpleNamespace = _NUMPY) -> Any:
    """The pH of a mixture with invariants `Wa`, `Wb` [mol/L]: the root of the charge balance,
    strictly increasing in pH.

    Newton's iteration kept inside a bracket that starts as [0, 14] and halves it wherever Newton
    would leave; it ends after a fixed number of steps (or, on arrays, when nothing moves), so that
    the same lines serve numbers and symbols. A mixture that has settled stays: its pH does not
    depend on those beside it."""
    low, high, pH, moving = 0.0 * Wa, 14.0 + 0.0 * Wa, 7.0 + 0.0 * Wa, None
    for _ in range(_NEWTON_STEPS):
        H = m.exp(-_LN10 * pH)
        bound = H * H / _K1 + H + _K2
        share = (H + 2.0 * _K2) / bound
        charge = Wa + _KW / H - H + Wb * share
        slope = _LN10 * (_KW / H + H * (1.0 + Wb * ((2.0 * H / _K1 + 1.0) * share - 1.0) / bound))
        high = m.where(charge > 0.0, pH, high)
        low = m.where(charge > 0.0, low, pH)
        newton = pH - charge / slope
        following = m.where(m.both(newton >= low, newton <= high), newton, 0.5 * (low + high))
        following = following if moving is None else m.where(moving, following, pH)
        moving, pH = m.moving(following - pH), following
        if moving is not None and not moving.any():
            break
    return pH
