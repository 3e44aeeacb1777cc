"""A model beside data: the start of a record, and the fit from there."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.data.fit import Fit, fit_index
from lstm_mpc.errors import InputError
from lstm_mpc.model.input_delays import late
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest, simulate_batch
from lstm_mpc.plants.system import Array, simulate

_RIDGE = 1e-2  # pull of an estimated start towards rest, against normalised output errors
_NUDGE = 1e-6  # step of its central differences


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
