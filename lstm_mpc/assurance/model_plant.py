"""A plant made of the identified model and of what is known of its error, for closed loops where no
plant is simulated: variations of the model, never more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.model.data_fit import simulations
from lstm_mpc.model.model import Model
from lstm_mpc.plants.python_function import PythonFunction
from lstm_mpc.plants.roles import as_plant
from lstm_mpc.plants.system import Array, Batch, Signal, System

# what a scenario or a law may say of the residuals: the share of them that is replayed
REPLAY = Signal("residuals", "-", 0.0, 10.0, 0.0)


@dataclass(frozen=True)
class ModelPlant:
    """`[plant] kind = "model"`: how far simulated plants may differ from the model.

    A scenario of `mismatch` 1 draws the whole of it, one of 0 nothing: gains within ±`gain` and
    time constants within ±`time_constant` (shares), and which certified start of training is the
    plant, of those whose validation FIT is at most `max_fit_loss` points below that of the model.
    The key `residuals` of a scenario or law is the share of the model's residuals on validation
    data that is added to the outputs."""

    gain: float = 0.2
    time_constant: float = 0.2
    max_fit_loss: float = 10.0

    def __post_init__(self) -> None:
        for key in ("gain", "time_constant"):
            if not 0 <= getattr(self, key) < 1:
                raise InputError(f"[plant] {key} must lie in [0, 1), got {getattr(self, key)}")
        if not self.max_fit_loss >= 0:
            raise InputError(f"[plant] max_fit_loss must not be negative, got {self.max_fit_loss}")


@dataclass(frozen=True)
class _Variations:
    """The NumPy twin. Its state is [state of the model; position in the residuals; share of them
    that is added; parameters], each parameter between 0 and 2 and 1 where nothing differs: which
    of the `twins` (the model in the middle), where the residuals begin, the time constant, and the
    gain of each output about `middle` (ny, 1)."""

    twins: tuple[Batch, ...]
    n: int
    cells: int
    middle: Array
    residuals: Array
    options: ModelPlant
    digests: tuple[str, ...]

    @cached_property
    def identity(self) -> list[Any]:
        """What tells these plants from others."""
        return [list(self.digests), self.options.__dict__, artefact_file.plain(self.residuals)]

    def _picked(self, chi: Array) -> Array:
        """Which of the twins every column is."""
        return _place(chi[self.n + 2], len(self.twins))

    def step(self, chi: Array, u: Array, d: Array) -> Array:
        after, picked = chi.copy(), self._picked(chi)
        for number in np.unique(picked):
            own = picked == number
            none = np.empty((0, int(own.sum())))
            after[: self.n, own] = self.twins[number].step(chi[: self.n, own], u[:, own], none)
        # by more or less than the whole way to where the model would be next
        beyond = 1.0 / (1.0 + self.options.time_constant * _offset(chi[self.n + 4])) - 1.0
        after[: self.cells] += beyond * (after[: self.cells] - chi[: self.cells])
        after[self.n] = (chi[self.n] + (d[0] > 0)) % len(self.residuals)
        after[self.n + 1] = d[0]
        return after

    def output(self, chi: Array) -> Array:
        picked = self._picked(chi)
        y = np.empty((len(self.middle), chi.shape[1]))
        for number in np.unique(picked):
            own = picked == number
            y[:, own] = self.twins[number].output(chi[: self.n, own])
        more = self.options.gain * _offset(chi[self.n + 5 :])
        begin = _place(chi[self.n + 3], len(self.residuals))
        place = (begin + chi[self.n].astype(int)) % len(self.residuals)
        added = chi[self.n + 1] * self.residuals[place].T
        return np.asarray(y + more * (y - self.middle) + added)


def _offset(parameter: Array) -> Array:
    """In [−1, 1], of a parameter in [0, 2]."""
    return np.minimum(np.maximum(parameter - 1.0, -1.0), 1.0)


def _place(parameter: Array, count: int) -> Array:
    """Which of `count` things a parameter in [0, 2] picks; 1 the middle one."""
    share = 0.5 * (1.0 + _offset(parameter))
    return np.asarray(np.minimum((share * count).astype(int), count - 1))


def residuals_of(model: Model, dataset: Dataset, *, transient: int, window: int) -> Array:
    """What the simulated model leaves of every output (N, ny) [unit], record by record without its
    first `transient` samples, each forwards and then backwards, so that it can be replayed without
    a jump. What was not measured is interpolated."""
    parts = []
    for item, y in zip(dataset.records, simulations(model, dataset, window=window), strict=True):
        left = _bridged((item.y - y)[min(transient, len(y) - 1) :])
        parts += [left, left[::-1]]
    return np.vstack(parts)


def _bridged(values: Array) -> Array:
    """NaN interpolated; 0 in a column that holds nothing else."""
    filled = values.copy()
    for column in filled.T:
        known = np.flatnonzero(np.isfinite(column))
        column[:] = np.interp(np.arange(len(column)), known, column[known]) if known.size else 0.0
    return filled


def model_plant(
    model: Model,
    options: ModelPlant,
    *,
    starts: Sequence[Model] = (),
    residuals: Array | None = None,
) -> System:
    """The variations of a model as a `System`.

    Args:
        model: the identified model.
        options: how far the plants may differ from it.
        starts: models of other certified starts; those of another structure do not count.
        residuals: what the model leaves of every output (N, ny) [unit]; none: nothing.

    Returns:
        A plant whose parameters are drawn by the `mismatch` of a scenario, and whose disturbance
        `residuals` is the share of the residuals that is added to the outputs; the measured inputs
        of the model are disturbances, too.
    """
    alike = [m for m in starts if (m.sizes, m.delays) == (model.sizes, model.delays)]
    half = (len(alike) + 1) // 2
    models = [*alike[:half], model, *alike[half:]]
    ny, n = len(model.outputs), model.system.n
    left = np.zeros((1, ny)) if residuals is None else residuals
    twin = _Variations(
        twins=tuple(m.system.vectorised for m in models),
        n=n,
        cells=model.sizes.n,
        middle=model.scaling.y_mid[:, None].copy(),
        residuals=left,
        options=options,
        digests=tuple(m.digest for m in models),
    )
    names = ("start", "first residual", "time constant", *(f"gain {s.name}" for s in model.outputs))
    name = _words(options, len(models), 0 if residuals is None else len(left) // 2)
    size = n + 2 + len(names)
    driven = System(
        name=name,
        inputs=model.inputs,
        outputs=model.outputs,
        Ts=model.Ts,
        x0=np.concatenate([model.system.x0, [0.0, 0.0], np.ones(len(names))]),
        step=PythonFunction(twin.step, (size, len(model.inputs), 1), size, True, f"{name}: step"),
        output=PythonFunction(twin.output, (size,), ny, True, f"{name}: output"),
        disturbances=(REPLAY,),
        batch=twin,
        parameters=tuple(Signal(name, "-", 0.0, 2.0, 1.0) for name in names),
    )
    return as_plant(driven)


def _words(options: ModelPlant, count: int, samples: int) -> str:
    """The plants in words, as every claim repeats them."""
    parts = [f"{count} certified starts of training"] if count > 1 else []
    parts += [
        f"gains ±{100 * options.gain:g} %",
        f"time constants ±{100 * options.time_constant:g} %",
    ]
    parts += [f"residuals of {samples} validation samples replayed"] if samples else []
    return f"variations of the model ({', '.join(parts)})"
