"""Training from start to verdict: one solve, or several that continue each other.

Absolute values are all that an NLP can cheaply know of incremental stability, and they refuse whole
plants. The signed condition is kept by a route: train without it, continue the same weights while
(Âv)/v is held below a bound above 1, and prove. A bound that is not enough gives way to a lower
one, and below 1 the elementwise condition itself implies the signed one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from lstm_mpc.certificates.conditions import INCREMENTAL, SIGNED
from lstm_mpc.certificates.signed.certificate import signed_margin
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.scaling import Scaling
from lstm_mpc.identification.options import TrainingOptions
from lstm_mpc.identification.solve.watch import Progress
from lstm_mpc.identification.training import Outcome, train_once
from lstm_mpc.model import lstm
from lstm_mpc.plants.system import Array

GROWTHS = (1.1, 1.05)  # bounds of (Âv)/v, tried before the elementwise condition itself


def train(
    dataset: Dataset,
    scaling: Scaling,
    settings: TrainingOptions,
    *,
    seed: int,
    network: lstm.Network | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train one start.

    The best iterate whose conditions hold exactly is kept; a failed solve is a value, not an error.

    Args:
        dataset: Records to train on.
        scaling: Between engineering and normalised units.
        settings: What is chosen about training.
        seed: Of the initial weights.
        network: Weights to start from instead of `settings.start`, which need not satisfy the
            conditions: seed 0 takes them as they are, other seeds disturb them and pull them into
            the conditions.
        progress: Called with every iterate.
        stop: Asked once an iteration; when it says yes, training ends and keeps what it has.

    Returns:
        The numbers of the best feasible iterate, and how it came about.
    """
    route = _Route(dataset, scaling, settings, seed, progress, stop)
    first, rest = first_conditions(settings), [c for c in settings.conditions if c != SIGNED]
    outcome = route.solve(first, network=network)
    if tuple(rest) != first:
        outcome = route.solve(tuple(rest), network=network, begin=outcome.z)
    if SIGNED not in settings.conditions:
        return route.whole(outcome)
    z = outcome.z
    for growth in (*GROWTHS, 1.0 - settings.margin):
        if stop() or (outcome.network is not None and route.proved(outcome.network) > 0):
            break
        outcome = route.solve(tuple(rest), network=network, begin=z, growth=growth)
        z = z if outcome.z is None else outcome.z
    return route.whole(outcome, signed=True)


def first_conditions(settings: TrainingOptions) -> tuple[str, ...]:
    """The conditions of the first solve of a start."""
    apart = INCREMENTAL if SIGNED in settings.conditions or settings.free_first else ()
    return tuple(name for name in settings.conditions if name not in apart)


class _Route:
    """The solves of one start, one after the other."""

    def __init__(
        self,
        dataset: Dataset,
        scaling: Scaling,
        settings: TrainingOptions,
        seed: int,
        progress: Callable[[Progress], None] | None,
        stop: Callable[[], bool],
    ) -> None:
        self._data, self._settings, self._seed, self._stop = (
            (dataset, scaling),
            settings,
            seed,
            stop,
        )
        self._progress, self._began = progress, time.perf_counter()
        self._history: list[Progress] = []
        self._margins: dict[bytes, float] = {}

    def solve(
        self,
        conditions: tuple[str, ...],
        *,
        network: lstm.Network | None = None,
        begin: Array | None = None,
        growth: float | None = None,
    ) -> Outcome:
        """One solve under `conditions`; iterations are counted on from the solve before."""
        at = len(self._history)

        def report(entry: Progress) -> None:
            self._history.append(replace(entry, iteration=entry.iteration + at))
            if self._progress is not None:
                self._progress(self._history[-1])

        options = replace(self._settings, conditions=conditions)
        return train_once(
            *self._data,
            options,
            seed=self._seed,
            network=network if begin is None else None,
            begin=begin,
            growth=growth,
            progress=report,
            stop=self._stop,
        )

    def proved(self, network: lstm.Network) -> float:
        """How far the proved λ lies below 1 − margin; −inf without a proof."""
        key = lstm.pack(network).tobytes()
        if key not in self._margins:
            self._margins[key] = signed_margin(network, self._data[1].radius)
        return self._margins[key] - self._settings.margin

    def whole(self, outcome: Outcome, *, signed: bool = False) -> Outcome:
        """The last outcome with the history of all, and with no network where there is no proof."""
        outcome = replace(
            outcome,
            history=tuple(self._history),
            iterations=len(self._history) - 1,
            seconds=time.perf_counter() - self._began,
        )
        if not signed or outcome.network is None:
            return outcome
        margin = self.proved(outcome.network) + self._settings.margin
        if margin > 0:
            return replace(outcome, margin=min(outcome.margin, margin))
        nan = float("nan")
        return replace(outcome, network=None, z=None, objective=nan, fit=nan, margin=nan)
