"""What no controller can do: the outputs that no input within the limits takes a plant out of."""

from __future__ import annotations

import numpy as np

from lstm_mpc.assurance.loop_law import LoopLaw
from lstm_mpc.certificates.evidence import PlantBound
from lstm_mpc.data.excitation import Mprs
from lstm_mpc.plants.batch import rests
from lstm_mpc.plants.system import Array, System

SEARCHED = 256  # input signals where there is no proof


def plant_bound(
    plant: System, law: LoopLaw, u_low: Array, u_high: Array, *, steps: int, seed: int
) -> PlantBound:
    """Bound the outputs of the plants of a law over all inputs, disturbances and constants.

    A plant whose twin has `output_bounds` proves them. Of any other extreme and random signals are
    tried, and what they reach is called sampled.

    Args:
        plant: The plant.
        law: How closed loops are drawn: starts, disturbances, constants.
        u_low: Least inputs of a controller, (nu,) [engineering].
        u_high: Largest inputs, likewise.
        steps: Samples that are searched where there is no proof.
        seed: Of that search.

    Returns:
        The bound, proved or sampled.
    """
    start = np.array(law.start)
    u = np.stack([np.minimum(u_low, start[:, 0]), np.maximum(u_high, start[:, 1])], axis=1)
    d = np.array([_range(law, s.name, float(s.nominal or 0.0)) for s in plant.disturbances])
    nominal = np.array([s.nominal for s in plant.parameters], dtype=np.float64)
    spread = law.mismatch * np.abs(nominal)
    constants = np.stack([nominal - spread, nominal + spread], axis=1)
    prove = getattr(plant.batch, "output_bounds", None)
    proved = None if prove is None else prove(u, d.reshape(-1, 2), constants)
    if proved is not None:
        low, high = np.asarray(proved, dtype=np.float64).T
        return PlantBound("proved", tuple(low.tolist()), tuple(high.tolist()), 0)
    low, high = _searched(plant, u, d.reshape(-1, 2), constants, steps, seed)
    return PlantBound("sampled", tuple(low.tolist()), tuple(high.tolist()), SEARCHED)


def _range(law: LoopLaw, name: str, nominal: float) -> tuple[float, float]:
    low, high = law.disturbances.get(name, (nominal, nominal))
    return min(low, nominal), max(high, nominal)


def _searched(
    plant: System, u: Array, d: Array, constants: Array, steps: int, seed: int
) -> tuple[Array, Array]:
    """The extreme outputs (ny,) under inputs that jump from end to end."""
    rng, count = np.random.default_rng([seed, 2]), SEARCHED
    ends = np.vstack([u, d])

    def signal() -> Array:
        """(steps, nu + nd): held at an end for a while, then at another."""
        drawn = Mprs((0.0,) * len(ends), (1.0,) * len(ends), (5.0, 200.0)).draw(rng, steps, 1.0)
        return np.asarray(drawn.signal(steps))

    shares = np.round(np.stack([signal() for _ in range(count)], axis=-1))
    shares[:, :, 0], shares[:, :, 1] = 0.0, 1.0
    signals = ends[:, :1] + shares * (ends[:, 1:] - ends[:, :1])
    chi = np.repeat(plant.x0[:, None], count, axis=1)
    corners = rng.integers(0, 2, (len(constants), count))
    chi[plant.n - len(constants) :] = np.where(corners == 1, constants[:, 1:], constants[:, :1])
    twin = plant.vectorised
    chi = rests(plant, chi, signals[0, : len(u)])
    low = high = twin.output(chi)
    for row in signals:
        chi = twin.step(chi, row[: len(u)], row[len(u) :])
        y = twin.output(chi)
        low, high = np.minimum(low, y), np.maximum(high, y)
    return low.min(axis=1), high.max(axis=1)
