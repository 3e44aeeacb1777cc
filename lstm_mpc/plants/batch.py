"""Many trajectories of a system at once, and where it comes to rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array, System, disturbances_of, frozen_array


def simulate_batch(
    system: System, u: ArrayLike, x0: ArrayLike, *, disturbances: ArrayLike | None = None
) -> Array:
    """Simulate many trajectories at once with the vectorised twin.

    This keeps every output; `verify` streams instead.

    Args:
        system: The plant.
        u: The inputs of B trajectories, (B, N, nu) [engineering].
        x0: Their starts, (B, n).
        disturbances: (nd,) that stay in all of them [engineering]; by default the nominal ones.

    Returns:
        The outputs, (B, N, ny) [engineering].

    Raises:
        InputError: A shape does not fit, or a value is not finite.
    """
    u = frozen_array(u, 3, f"{system.name}: u")
    chi = frozen_array(x0, 2, f"{system.name}: x0").T
    B, N, nu = u.shape
    if nu != system.nu or chi.shape != (system.n, B):
        raise InputError(
            f"{system.name}: u {u.shape} and x0 {chi.T.shape} must be (B, N, {system.nu}) and (B,"
            f" {system.n})"
        )
    d = np.repeat(disturbances_of(system, disturbances, 1).T, B, axis=1)
    twin, y = system.vectorised, np.empty((N, system.ny, B))
    for k in range(N):
        y[k] = twin.output(chi)
        chi = twin.step(chi, u[:, k].T, d)
    return y.transpose(2, 0, 1)


def rest(system: System, u: ArrayLike, *, steps: int = 3000) -> Array:
    """The state (n,) after holding `u` (nu,) for `steps` samples from x0, disturbances at rest: the
    equilibrium of a stable system."""
    return rests(
        system,
        system.x0[:, None],
        frozen_array(np.reshape(u, (-1, 1)), 2, f"{system.name}: u"),
        steps=steps,
    )[:, 0]


def rests(system: System, chi: Array, u: Array, *, steps: int = 3000) -> Array:
    """`rest` for B systems at once, from `chi` (n, B) under `u` (nu, B): (n, B). None waits for
    those beside it."""
    twin, chi, moving = system.vectorised, chi.copy(), np.arange(chi.shape[1])
    for _ in range(steps):
        before = chi.take(moving, axis=1)
        after = twin.step(
            before,
            u.take(moving, axis=1),
            np.repeat(system.d_nominal[:, None], moving.size, axis=1),
        )
        chi[:, moving] = after
        moving = moving[np.abs(after - before).max(axis=0) > 1e-15 * np.abs(after).max(axis=0)]
        if not moving.size:
            break
    return chi
