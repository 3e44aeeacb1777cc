"""The identified model: network + scalings + signals + Ts + origin, on disk as JSON with exact
floats and a digest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.scaling import Scaling
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.artefact_file import Artefact
from lstm_mpc.io.display import Displayed, draw
from lstm_mpc.io.schema import noun
from lstm_mpc.model import lstm
from lstm_mpc.model.input_delays import checked_delays, delayed
from lstm_mpc.model.numpy_twin import folded
from lstm_mpc.model.saved import Saved
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.names import checked_name
from lstm_mpc.plants.roles import Roles, signal_content
from lstm_mpc.plants.system import Array, Signal, System, simulate


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
        self.scaling.check_signals(self.inputs, self.outputs)
        object.__setattr__(
            self, "delays", checked_delays(self.delays, len(self.inputs), name="model")
        )

    @cached_property
    def overreach(self) -> float:
        """1 where inputs within the limits stay within the radius of the scaling, else by what
        factor they leave it: by a rounding, which is tolerated. Rounded up."""
        return self.scaling.overreach(self.inputs)

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
            batch=folded(self.network, self.scaling, self.u_low, self.u_high),
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
        saved = noun(Saved, content, where)
        return Model(**{**saved.__dict__, "network": lstm.from_parameters(saved.network)})
