"""What a model leaves unexplained: tests of the residuals of its simulation (Ljung 1999, section
16.6), with their bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.io.display import Displayed, draw
from lstm_mpc.plants.system import Array

LEVEL = 2.58  # two-sided 99 % of a normal variable


@dataclass(frozen=True, repr=False)
class Residuals(Displayed):
    """Correlations of ε = y − ŷ, for white ε and an ε that owes nothing to u within ± their bounds
    at 99 %.

    `own` (lags+1, ny): autocorrelation of each output's ε, 1 at lag 0, bound `own_bound` (ny,).
    `cross` (2·lags+1, ny, nu): correlation of ε(k) with u(k − lag) for lag = −lags … lags, bounds
    `cross_bound` (ny, nu), which allow for both being coloured. `samples` (ny,) is how many samples
    each rests on. Simulation residuals also hold the plant's noise model, which the LSTM does not
    have: that they are not white says nothing against it. That they still depend on *past* inputs
    does: dynamics are missing. On coming inputs: feedback."""

    own: Array
    own_bound: Array
    cross: Array
    cross_bound: Array
    samples: tuple[int, ...]

    @property
    def lags(self) -> int:
        return len(self.own) - 1

    def plot(
        self, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None
    ) -> Any:
        """Draw the correlations over the lag, with their bounds.

        Args:
            inputs: Names of the inputs; numbers by default.
            outputs: Names of the outputs; numbers by default.

        Returns:
            A matplotlib figure.

        Raises:
            InputError: There are more or fewer names than signals.
        """
        return draw(self, inputs, outputs)

    def _facts(self) -> dict[str, Any]:
        _, ny, nu = self.cross.shape
        return {"outputs": ny, "inputs": nu, "lags": self.lags, "white": self.white}

    @property
    def white(self) -> tuple[float, ...]:
        """Per output the share of lags 1 … whose autocorrelation is beyond its bound; of white
        residuals about 0.01."""
        return tuple((np.abs(self.own[1:]) > self.own_bound).mean(axis=0).tolist())

    @property
    def explained(self) -> tuple[tuple[float, ...], ...]:
        """Per output and input the share of lags ≥ 1 whose cross-correlation is beyond its bound;
        of a complete model about 0.01."""
        beyond = np.abs(self.cross[self.lags + 1 :]) > self.cross_bound
        return tuple(tuple(row) for row in beyond.mean(axis=0).tolist())

    def describe(self) -> dict[str, Any]:
        """As JSON types."""
        named = {k: getattr(self, k).tolist() for k in ("own", "own_bound", "cross", "cross_bound")}
        return {
            "lags": self.lags,
            **named,
            "samples": list(self.samples),
            "white": list(self.white),
            "explained": self.explained,
        }


def correlate(errors: list[Array], inputs: list[Array], *, lags: int) -> Residuals:
    """The tests for residuals (N, ny), NaN where not measured, beside inputs (N, nu), one entry for
    each record."""
    known = np.vstack(errors)
    counts = (~np.isnan(known)).sum(axis=0)
    if counts.min() < 4 * lags:
        raise InputError(
            f"residuals: {lags} lags need {4 * lags} samples of every output, an output has"
            f" {counts.min()}; give fewer lags"
        )
    e = [_filled(part - np.nanmean(known, axis=0)) for part in errors]
    u_mean = np.vstack(inputs).mean(axis=0)
    u = [part - u_mean for part in inputs]
    ny, nu = e[0].shape[1], u[0].shape[1]
    own = np.stack(
        [sum(_product(part, part, lag).diagonal() for part in e) for lag in range(lags + 1)]
    )
    power_u = np.stack(
        [sum(_product(part, part, lag).diagonal() for part in u) for lag in range(lags + 1)]
    )
    cross = np.stack(
        [
            sum(_product(a, b, lag) for a, b in zip(e, u, strict=True))
            for lag in range(-lags, lags + 1)
        ]
    )
    scale_e, scale_u = np.where(own[0] > 0, own[0], 1.0), np.where(power_u[0] > 0, power_u[0], 1.0)
    rho_e, rho_u = own / scale_e, power_u / scale_u
    # The variance of a cross-correlation of independent signals: Σ ρ_e ρ_u / N (Ljung, eq. 16.68).
    coloured = 1.0 + 2.0 * np.einsum("kj,ki->ji", rho_e[1:], rho_u[1:])
    bound = LEVEL * np.sqrt(np.maximum(coloured, 1.0 / lags) / counts[:, None])
    return Residuals(
        own=rho_e,
        own_bound=LEVEL / np.sqrt(counts),
        cross=cross / np.sqrt(scale_e[:, None] * scale_u[None, :]),
        cross_bound=np.broadcast_to(bound, (ny, nu)).copy(),
        samples=tuple(int(c) for c in counts),
    )


def _filled(values: Array) -> Array:
    """What was not measured adds nothing to a sum of products."""
    return np.where(np.isnan(values), 0.0, values)


def _product(a: Array, b: Array, lag: int) -> Array:
    """Σ_k a(k) b(k − lag), (na, nb)."""
    if abs(lag) >= len(a):
        return np.zeros((a.shape[1], b.shape[1]))
    return np.asarray(a[lag:].T @ b[: len(b) - lag] if lag >= 0 else a[:lag].T @ b[-lag:])
