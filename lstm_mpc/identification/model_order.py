"""How many cells a model needs: validated FIT against size, over several starts of each, so that
luck shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.scaling import scale
from lstm_mpc.errors import InputError, SolverError
from lstm_mpc.identification.options import TrainingOptions
from lstm_mpc.identification.solve.watch import Progress
from lstm_mpc.identification.starts import SearchOptions, Start, Task, one_start
from lstm_mpc.io import parallel
from lstm_mpc.io.display import Displayed, draw
from lstm_mpc.model import lstm

LEAST = 0.5  # [points of FIT] a difference below is none


@dataclass(frozen=True)
class Candidate:
    """One structure: cells per layer `nx`, the number of weights, and every start of it."""

    nx: tuple[int, ...]
    parameters: int
    starts: tuple[Start, ...]

    @property
    def fits(self) -> tuple[float, ...]:
        """Mean-removed FIT [%] on validation data of the certified starts, worst output and record,
        best first."""
        return tuple(sorted((start.fit for start in self.starts if start.certified), reverse=True))

    @property
    def typical(self) -> float:
        return median(self.fits) if self.fits else float("-inf")

    @property
    def spread(self) -> float:
        """Best less worst [points]."""
        return self.fits[0] - self.fits[-1] if self.fits else 0.0

    def describe(self) -> dict[str, Any]:
        """As JSON types."""
        seconds = [start.outcome.seconds for start in self.starts]
        return {
            "nx": list(self.nx),
            "parameters": self.parameters,
            "fits": list(self.fits),
            "starts": len(self.starts),
            "seconds": seconds,
        }


@dataclass(frozen=True, repr=False)
class Ordering(Displayed):
    """Models of several sizes side by side.

    `candidates` stand by size. The `recommended` one is the smallest whose typical FIT lies within
    half the spread of the best one's starts (at least half a point) below that one's: more than the
    starts differ among themselves cannot be told apart.
    """

    candidates: tuple[Candidate, ...]

    def plot(self) -> Any:
        """Draw the FIT of every certified start over the number of weights.

        Returns:
            A matplotlib figure.
        """
        return draw(self)

    def _facts(self) -> dict[str, Any]:
        best = self.recommended if self.candidates else None
        return {
            "candidates": len(self.candidates),
            "recommended": best and best.nx,
            "fit": best and best.typical,
        }

    def _tables(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        rows = [
            (c.nx, c.parameters, len(c.starts), len(c.fits), c.typical) for c in self.candidates
        ]
        yield "Candidates", [("cells", "weights", "starts", "certified", "median FIT [%]"), *rows]

    @property
    def recommended(self) -> Candidate:
        best = max(self.candidates, key=lambda c: c.typical)
        return next(
            c for c in self.candidates if c.typical >= best.typical - max(LEAST, 0.5 * best.spread)
        )


def compare_orders(
    training: Dataset,
    validation: Dataset,
    settings: TrainingOptions,
    *,
    cells: Sequence[tuple[int, ...]],
    starts: int = 3,
    seed: int = 0,
    transient: int = 50,
    window: int = 0,
    rule: str = "limits",
    workers: int = 1,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Ordering:
    """Train models of several sizes, certify and validate them as `identify` does.

    Args:
        training: The data that they are trained on.
        validation: Other data, that they are judged on.
        settings: How each is trained; its `cells` do not count.
        cells: The sizes, cells per layer.
        starts: How many starts each has.
        seed: Of the first start.
        transient: First samples of every record that do not count.
        window: First samples that a start is estimated from, instead of a random one.
        rule: How scalings are chosen, as `scale` takes it.
        workers: Processes.
        on_progress: Hears what is done.

    Returns:
        The candidates by size, with the recommended one.

    Raises:
        InputError: There is no size, or the data do not fit each other.
        SolverError: No start of any size ends in a certified model.
    """
    if not cells or starts < 1:
        raise InputError("order: needs at least one number of cells and one start")
    scaling, sizes = (
        scale(training, rule=rule),
        {
            lstm.Sizes(len(training.inputs), nx, len(training.outputs)).parameters: nx
            for nx in cells
        },
    )
    shapes = [sizes[count] for count in sorted(sizes)]
    # linear ones have one layer
    each = [
        replace(settings, cells=nx, start=settings.start if len(nx) == 1 else "random")
        for nx in shapes
    ]
    how = SearchOptions(transient=transient, window=window)
    tasks = [
        (training, validation, scaling, Task(own, seed + k), how, None, "order")
        for own in each
        for k in range(starts)
    ]
    done = parallel.run(one_start, tasks, workers=workers, on_report=on_progress, graceful=True)
    found = [
        Candidate(own.cells, count, tuple(done[number * starts : (number + 1) * starts]))
        for number, (count, own) in enumerate(zip(sorted(sizes), each, strict=True))
    ]
    if not any(candidate.fits for candidate in found):
        raise SolverError(
            "no start of any size ended in a certified model: "
            + " | ".join(s.sentence for c in found for s in c.starts)
        )
    return Ordering(tuple(found))
