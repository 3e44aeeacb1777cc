"""The identified model: network + scalings + signals + Ts + origin, on disk as JSON with exact
floats and a digest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.data.dataset import Dataset, Fit, Record, Scaling, fit_index
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.artefact_file import Artefact
from lstm_mpc.io.display import Displayed, draw
from lstm_mpc.io.schema import noun
from lstm_mpc.model import lstm
from lstm_mpc.model.input_delays import checked_delays, delayed, late
from lstm_mpc.plants.names import checked_name
from lstm_mpc.plants.roles import Roles
from lstm_mpc.plants.system import Array, Signal, System, rest, simulate, simulate_batch

TOLERATED = 1e-9  # [relative] by which the limits may lie beyond the input radius
_RIDGE = 1e-2  # pull of an estimated start towards rest, against normalised output errors
_NUDGE = 1e-6  # step of its central differences


@dataclass(frozen=True, repr=False)
class Model(Artefact, Displayed):
    """An LSTM of a plant.

    `network` works in normalised units, `scaling` leads there from those of `inputs` and `outputs`;
    `Ts` [s] is the sampling time, `name` what people call it. `origin` says where it comes from:
    data digest, seed, settings, versions, fit.

    Inputs are clipped to their signals' limits before they reach the network, so |u| ≤
    scaling.radius always holds. With `delays` [samples], one for each input, the network sees
    v_j(k) = u_j(k − delays_j). Measured inputs are inputs like all others, but for a controller,
    which does not move them.
    """

    network: lstm.Network
    scaling: Scaling
    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    Ts: float
    origin: dict[str, Any]
    name: str = "model"
    delays: tuple[int, ...] = ()

    kind = "lstm_mpc model"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", checked_name(self.name, "model"))
        object.__setattr__(self, "network", lstm.numeric(self.network))
        object.__setattr__(self, "Ts", float(self.Ts))
        if (self.network.nu, self.network.ny) != (len(self.inputs), len(self.outputs)):
            raise InputError(
                f"model: the network has {self.network.nu} inputs and {self.network.ny} outputs, "
                f"the signals are {len(self.inputs)} and {len(self.outputs)}"
            )
        scaling = self.scaling
        for mid, span, signals in (
            (scaling.u_mid, scaling.u_span, self.inputs),
            (scaling.y_mid, scaling.y_span, self.outputs),
        ):
            if not mid.size == span.size == len(signals):
                raise InputError("model: the scaling does not fit the number of signals")
        object.__setattr__(
            self, "delays", checked_delays(self.delays, len(self.inputs), name="model")
        )
        reach = np.abs(self.scaling.u_in([self.u_low, self.u_high])).max(axis=0)
        for signal, widest in zip(self.inputs, reach, strict=True):
            if not widest <= self.scaling.radius * (1 + TOLERATED):
                limits = f"[{signal.low:g}, {signal.high:g}] {signal.unit}"
                raise InputError(
                    f"model: the limits {limits} of {signal.name!r} lie beyond the input radius"
                    f" {self.scaling.radius:g}"
                )

    @cached_property
    def overreach(self) -> float:
        """1 where inputs within the limits stay within the radius of the scaling, else by what
        factor they leave it: by a rounding, which is tolerated. Rounded up."""
        s, reach = self.scaling, Fraction(0)
        for signal, mid, span in zip(self.inputs, s.u_mid, s.u_span, strict=True):
            for end in (signal.low, signal.high):
                reach = max(reach, abs(Fraction(end) - Fraction(mid)) / Fraction(span))
        factor = reach / Fraction(s.radius)
        return 1.0 if factor <= 1 else float(np.nextafter(float(factor), np.inf))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything the model computes with and its origin."""
        return artefact_file.digest(self.content())

    def plot(self, dataset: Dataset | None = None, **options: Any) -> Any:
        """Draw the model beside data, or alone: what follows when each input steps.

        Args:
            dataset: What it is compared with, in the signals of the model.
            options: `transient`, `seed` and `window` of the comparison, as `validate` takes them.

        Returns:
            A matplotlib figure.

        Raises:
            InputError: The data do not fit the model.
        """
        return draw(self, dataset, **options)

    def _facts(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "inputs": ", ".join(s.name for s in self.inputs),
            "outputs": ", ".join(s.name for s in self.outputs),
            "cells": self.sizes.nx,
            "Ts": self.Ts,
            "digest": self.digest[:12],
        }

    def _tables(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        rows = [
            (s.name, what, s.unit, s.low, s.high)
            for what, signals in (("input", self.inputs), ("output", self.outputs))
            for s in signals
        ]
        yield "Signals", [("signal", "is an", "unit", "low", "high"), *rows]

    @property
    def sizes(self) -> lstm.Sizes:
        return lstm.sizes_of(self.network)

    @cached_property
    def roles(self) -> Roles:
        """Which inputs a controller moves, and which it only measures."""
        return Roles.of(self.inputs)

    @property
    def manipulated(self) -> tuple[Signal, ...]:
        """The inputs that a controller moves."""
        return tuple(s for s in self.inputs if not s.measured)

    @property
    def measured(self) -> tuple[Signal, ...]:
        """The inputs that are measured and never moved."""
        return tuple(s for s in self.inputs if s.measured)

    @property
    def u_low(self) -> Array:
        """Lower actuator limits, engineering units."""
        return np.array([s.low for s in self.inputs])

    @property
    def u_high(self) -> Array:
        """Upper actuator limits, engineering units."""
        return np.array([s.high for s in self.inputs])

    @property
    def shared_delay(self) -> int:
        """The samples by which all inputs are late."""
        return min(self.delays)

    @property
    def uneven_delays(self) -> Array:
        """By how many samples more each input is late, (nu,)."""
        return np.array(self.delays) - self.shared_delay

    def step(self, chi: Any, u: Any) -> Any:
        """One sample of the network, for optimisers: smooth, without clipping.

        Args:
            chi: The state of the network, a CasADi column (n,).
            u: The delayed inputs within the actuator limits, a CasADi column (nu,) [engineering].

        Returns:
            χ⁺, a CasADi column (n,).
        """
        return lstm.step(self.network, chi, (u - self.scaling.u_mid) / self.scaling.u_span)

    def output(self, chi: Any) -> Any:
        """The outputs of a state.

        Args:
            chi: The state of the network, a CasADi column (n,).

        Returns:
            y, a CasADi column (ny,) [engineering].
        """
        return lstm.output(self.network, chi) * self.scaling.y_span + self.scaling.y_mid

    @cached_property
    def system(self) -> System:
        """The model as a `System` in engineering units, as the world sees it: its state is [χ;
        inputs under way], see `delayed`; its start is χ = 0, with the middle of the inputs under
        way."""
        return delayed(self.core, self.delays, self.scaling.u_mid)

    def state(self, chi: Array, u: ArrayLike) -> Array:
        """The state of `system` when an input has been held.

        Args:
            chi: The state of the network, (n,).
            u: The input that was held, (nu,) [engineering].

        Returns:
            χ and the inputs under way, (n + sum of delays,).
        """
        return np.concatenate([chi, np.repeat(u, self.delays)])

    @cached_property
    def core(self) -> System:
        """The network alone, whose inputs are the delayed ones; without delays it is `system`
        itself."""
        n, nu = self.sizes.n, self.sizes.nu
        chi, u, d = ca.SX.sym("chi", n), ca.SX.sym("u", nu), ca.SX.sym("d", 0)
        clipped = ca.fmin(ca.fmax(u, self.u_low), self.u_high)
        step = ca.Function(
            "lstm_step", [chi, u, d], [self.step(chi, clipped)], ["chi", "u", "d"], ["chi_next"]
        )
        output = ca.Function("lstm_output", [chi], [self.output(chi)], ["chi"], ["y"])
        return System(
            self.name,
            self.inputs,
            self.outputs,
            self.Ts,
            np.zeros(n),
            step,
            output,
            batch=_folded(self),
        )

    def simulate(self, u: ArrayLike, *, x0: ArrayLike | None = None) -> Array:
        """Simulate the model.

        Args:
            u: Its inputs, (N, nu) or (N,) of one [engineering], clipped to their limits.
            x0: The state of `system` to begin from, (n,), as `estimate_start` finds it; by default
                that at rest under the first input.

        Returns:
            The outputs, (N, ny) [engineering]; the first one is that of the start.

        Raises:
            InputError: The inputs or the start do not fit the model.
        """
        u = np.asarray(u, dtype=np.float64)
        u = u[:, None] if u.ndim == 1 else u
        start = rest(self.system, u[0]) if x0 is None else np.asarray(x0, dtype=np.float64)
        return simulate(self.system, u, x0=start).y

    def predict(self, u: ArrayLike, y: ArrayLike, *, x0: ArrayLike | None = None) -> Array:
        """Predict every output one step ahead.

        The prediction is the simulation, moved by its error at the sample before, as the observer
        with an output disturbance moves it; what was not measured moves nothing.

        Args:
            u: Inputs, (N, nu) or (N,) of one [engineering].
            y: Measured outputs, (N, ny) or (N,) of one [engineering]; NaN where there is none.
            x0: The start, as in `simulate`.

        Returns:
            The outputs expected at each sample from what was measured before it, (N, ny).

        Raises:
            InputError: Inputs, outputs or the start do not fit the model.
        """
        simulated = self.simulate(u, x0=x0)
        measured = np.asarray(y, dtype=np.float64).reshape(-1, simulated.shape[1])
        if measured.shape != simulated.shape:
            raise InputError(
                f"predict: y {measured.shape} must have as many rows as u, {len(simulated)}"
            )
        predicted, disturbance = simulated.copy(), np.zeros(simulated.shape[1])
        for k in range(len(simulated)):
            predicted[k] += disturbance
            error = measured[k] - simulated[k]
            disturbance = np.where(np.isnan(error), disturbance, error)
        return predicted

    # -- on disk -----------------------------------------------------------------------------------

    def content(self) -> dict[str, Any]:
        """Everything the model is, as JSON types; delays where there are any."""
        content: dict[str, Any] = artefact_file.plain(
            {
                "name": self.name,
                "Ts": self.Ts,
                "inputs": [signal_content(s) for s in self.inputs],
                "outputs": [signal_content(s) for s in self.outputs],
                "scaling": self.scaling,
                "network": lstm.parameters(self.network),
                "origin": self.origin,
                **({"delays": self.delays} if any(self.delays) else {}),
            }
        )
        return content

    @classmethod
    def from_content(cls, content: Any, where: str = "it") -> Model:
        """Make the model of the content of a file.

        Args:
            content: What `content` gave, as JSON types.
            where: What messages call it.

        Returns:
            The model, of the same digest as the saved one.

        Raises:
            InputError: Something does not fit; with its name.
        """
        saved = noun(_Saved, content, where)
        return Model(**{**saved.__dict__, "network": lstm.from_parameters(saved.network)})


@dataclass(frozen=True)
class _Saved:
    """`Model`, as JSON holds it."""

    name: str
    Ts: float
    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    scaling: Scaling
    network: dict[str, list[list[float]]]
    origin: dict[str, Any]
    delays: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Folded:
    """The NumPy twin of a model: per layer one product for all gates and one exponential, scalings
    folded into the weights.

    `stacks` holds per layer (nx, −[W U b] of f, i, o and −2[W U b] of c), since σ(z) = 1/(1 + e^−z)
    and tanh(z) = 2σ(2z) − 1: on many processors NumPy's exp is four times as fast as its tanh."""

    stacks: tuple[tuple[int, Array], ...]
    low: Array
    high: Array
    C: Array
    offset: Array

    def step(self, chi: Array, u: Array, d: Array) -> Array:
        following, ones = np.empty_like(chi), np.ones((1, chi.shape[1]))
        below, at = np.minimum(np.maximum(u, self.low), self.high), 0
        for nx, stack in self.stacks:
            gates = _logistic(stack @ np.concatenate([below, chi[at + nx : at + 2 * nx], ones]))
            f, i, o, c = (gates[j * nx : (j + 1) * nx] for j in range(4))
            x = np.multiply(f, chi[at : at + nx], out=following[at : at + nx])
            x += np.multiply(i, _doubled(c), out=c)
            below = np.multiply(
                o, _doubled(_logistic(-2.0 * x)), out=following[at + nx : at + 2 * nx]
            )
            at += 2 * nx
        return following

    def output(self, chi: Array) -> Array:
        return self.C @ chi[-self.C.shape[1] :] + self.offset


def _logistic(minus_z: Array) -> Array:
    """σ(z) in place of −z; what overflows is 0."""
    with np.errstate(over="ignore"):
        np.exp(minus_z, out=minus_z)
    minus_z += 1.0
    return np.divide(1.0, minus_z, out=minus_z)


def _doubled(half: Array) -> Array:
    """tanh(z) in place of σ(2z)."""
    half *= 2.0
    half -= 1.0
    return half


def _folded(model: Model) -> _Folded:
    stacks, mid, span = [], model.scaling.u_mid, model.scaling.u_span
    for layer in model.network.layers:
        rows = []
        for g, gain in zip(lstm.GATES, (-1.0, -1.0, -1.0, -2.0), strict=True):
            W, U, b = layer.gate(g)
            rows.append(gain * np.hstack([W / span, U, b - (W / span) @ mid[:, None]]))
        stacks.append((layer.nx, np.vstack(rows)))
        mid, span = np.zeros(layer.nx), np.ones(layer.nx)
    y_mid, y_span = model.scaling.y_mid[:, None], model.scaling.y_span[:, None]
    return _Folded(
        stacks=tuple(stacks),
        low=model.u_low[:, None],
        high=model.u_high[:, None],
        C=y_span * model.network.C,
        offset=y_span * model.network.b_y + y_mid,
    )


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


def estimate_start(model: Model, u: ArrayLike, y: ArrayLike) -> Array:
    """Find the start from which a model explains measurements best.

    Before the window u[0] was held; χ0 is that of `estimate_core`.

    Args:
        model: The model.
        u: The inputs of a window, (W, nu) [engineering].
        y: The outputs measured in it, (W, ny) [engineering].

    Returns:
        The state of `model.system` at the first sample of the window, (n,).
    """
    u = np.atleast_2d(u)
    return model.state(estimate_core(model, late(u, model.delays), y), u[0])


def estimate_core(model: Model, u: ArrayLike, y: ArrayLike) -> Array:
    """χ0 (n,) of the network from a window of its inputs `u` (W, nu), delayed, and measurements `y`
    (W, ny), engineering units.

    Least squares from the state at rest under u[0], towards which χ0 is drawn a little, since a
    window shows only some of it. What was not measured (NaN) does not count."""
    from scipy.optimize import least_squares  # half a second, for those who need it

    u, y = np.atleast_2d(u), np.atleast_2d(y)
    if u.shape != (len(y), len(model.inputs)) or y.shape[1] != len(model.outputs):
        raise InputError(
            f"estimate_start: u {u.shape} and y {y.shape} must be (W, {len(model.inputs)}) and (W,"
            f" {len(model.outputs)})"
        )
    system, origin, n = model.core, rest(model.core, u[0]), model.sizes.n

    def residual(starts: Array) -> Array:
        """One column for each start (B, n)."""
        error = np.where(
            np.isnan(y),
            0.0,
            simulate_batch(system, np.repeat(u[None], len(starts), axis=0), starts) - y,
        )
        return np.vstack(
            [
                (error / model.scaling.y_span).reshape(len(starts), -1).T,
                _RIDGE * (starts - origin).T,
            ]
        )

    def slope(start: Array) -> Array:
        moved = residual(np.vstack([start + _NUDGE * np.eye(n), start - _NUDGE * np.eye(n)]))
        return (moved[:, :n] - moved[:, n:]) / (2 * _NUDGE)

    return np.asarray(least_squares(lambda start: residual(start[None])[:, 0], origin, slope).x)


def start_of(model: Model, item: Record, rng: np.random.Generator, *, window: int) -> Array:
    """The start of `model.system` for a record: estimated from its first `window` samples, or χ0
    uniform in ±0.1 without a window; its first input was held before."""
    if window:
        return estimate_start(model, item.u[:window], item.y[:window])
    return model.state(rng.uniform(-0.1, 0.1, model.sizes.n), item.u[0])


def record_fits(
    model: Model,
    dataset: Dataset,
    *,
    transient: int,
    seed: int,
    against: str = "measured",
    window: int = 0,
) -> tuple[Fit, ...]:
    """Simulate every record and compare.

    Args:
        model: The model.
        dataset: The records that it is compared with.
        transient: First samples of every record that do not count.
        seed: Of the random starts, χ0 uniform in ±0.1.
        against: "measured" or "noise-free"; the latter exists only for simulated plants.
        window: First samples that the start is estimated from instead of a random one; at most
            `transient`, or the fit would know the answer.

    Returns:
        One fit per record.

    Raises:
        InputError: The window is longer than the transient, or the records do not fit the model.
    """
    if not 0 <= window <= transient:
        raise InputError(
            f"validate: a window of {window} samples must lie within the {transient} that are"
            " skipped, or the fit would know the answer"
        )
    runs = simulations(model, dataset, seed=seed, window=window)
    return tuple(
        compare(model, item, y, transient=transient, against=against)
        for item, y in zip(dataset.records, runs, strict=True)
    )


def simulations(
    model: Model, dataset: Dataset, *, seed: int = 0, window: int = 0
) -> tuple[Array, ...]:
    """The outputs (N, ny) of the model for every record, from the starts that `validate` takes."""
    rng = np.random.default_rng(seed)
    return tuple(
        simulate(model.system, item.u, x0=start_of(model, item, rng, window=window)).y
        for item in dataset.records
    )


def compare(model: Model, item: Record, y: Array, *, transient: int, against: str) -> Fit:
    """The fit of a simulated output `y` to one record."""
    reference = item.y if against == "measured" else item.truth
    if reference is None:
        raise InputError(f"record {item.name!r} has no noise-free output to compare with")
    return fit_index(
        reference,
        y,
        scaling=model.scaling,
        units=[s.unit for s in model.outputs],
        against=against,
        transient=transient,
    )
