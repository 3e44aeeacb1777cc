"""Golden vectors of an exported controller: what it is to answer, computed by its Python twin, and
what IPOPT would have answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.codegen.controller_spec import ControllerSpec, checked_spec
from lstm_mpc.control.limits import input_range
from lstm_mpc.export.pil_frames import Run
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import Array

SAMPLES = 60
# samples: output disturbance from, no measurement at, no setpoint at
_DISTURBED, _DEAF, _LOST = 30, 15, 45
# samples that a measured input is held, and the one in which it is missing
_HELD, _UNKNOWN = 7, 20


@dataclass(frozen=True)
class Golden:
    """A run's measurements and setpoints, the answers of the SQP twin `u` (K, nu) [engineering] and
    `status` (K,), and of IPOPT."""

    run: Run
    u: Array
    status: NDArray[np.uint32]
    ipopt: Array

    @property
    def span(self) -> Array:
        """(nu,) the range that the answers are compared in."""
        return np.asarray(np.ptp(self.u, axis=0))


def golden(
    spec: ControllerSpec,
    *,
    u_start: ArrayLike | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Golden:
    """The loop closed on the model itself: setpoints all over the reachable outputs, an output
    disturbance, noise, and samples without a measurement or a setpoint. Measured inputs move all
    over their limits, as foreseen; in one sample they are missing. The same arguments give the same
    numbers."""
    spec = checked_spec(spec)
    model, problem = spec.model, spec.problem
    (low, high), rng = input_range(model, problem), np.random.default_rng(0)
    shares = (0.5, 0.75, 0.3, 0.9, 0.15, 0.5)
    aims = [
        np.asarray(model.system.output(rest(model.system, low + share * (high - low)))).ravel()
        for share in shares
    ]
    rows = problem.ahead(model) + 1
    setpoints = np.repeat(aims, SAMPLES // len(aims), axis=0)
    setpoints = np.vstack([setpoints, np.repeat(setpoints[-1:], rows, axis=0)])
    reference = np.stack([setpoints[k : k + rows] for k in range(SAMPLES)])
    reference[_LOST] = np.nan
    spread, step = 1e-3 * np.ptp(aims, axis=0), 0.05 * np.ptp(aims, axis=0)
    twin, ipopt = MPC.of(spec), MPC.of(spec, "dompc")
    u0 = np.asarray(spec.u_start if u_start is None else u_start, dtype=np.float64).ravel()
    known, joined = _known(spec), model.roles.joined
    extra = [(rows,) if spec.measured else () for rows in known]
    acting = known[0, 0]  # what is measured now, where it was not missing
    chi = rest(model.system, joined(u0, acting))
    y, u, status, beside = (
        np.empty((SAMPLES, n)) for n in (len(model.outputs), len(u0), 1, len(u0))
    )
    for k in range(SAMPLES):
        y[k] = (
            np.asarray(model.system.output(chi)).ravel()
            + (k >= _DISTURBED) * step
            + spread * rng.standard_normal(y.shape[1])
        )
        y[k] = np.nan if k == _DEAF else y[k]
        if k == 0:
            twin.reset(y[0], u0, *extra[0])
            ipopt.reset(y[0], u0, *extra[0])
        move = twin.step(y[k], reference[k], *extra[k])
        beside[k] = ipopt.step(y[k], reference[k], *extra[k]).u
        u[k], status[k] = move.u, move.flags
        acting = np.where(np.isnan(known[k, 0]), acting, known[k, 0])
        chi = np.asarray(model.system.step(chi, joined(u[k], acting), np.zeros(0))).ravel()
        on_progress((k + 1) / SAMPLES)
    return Golden(Run(y[0], u0, y, reference, known), u, status[:, 0].astype(np.uint32), beside)


def _known(spec: ControllerSpec) -> Array:
    """What the controller is told of the measured inputs, (K, rows, nd)."""
    model, rows, rng = spec.model, spec.foreseen + 1, np.random.default_rng(1)
    at = model.roles.measured
    levels = rng.uniform(
        model.u_low[at], model.u_high[at], ((SAMPLES + rows) // _HELD + 1, at.size)
    )
    whole = np.repeat(levels, _HELD, axis=0)
    known = np.stack([whole[k : k + rows] for k in range(SAMPLES)])
    known[_UNKNOWN, 0] = np.nan
    return known
