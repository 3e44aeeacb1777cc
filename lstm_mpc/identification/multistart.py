"""Identification: several starts of the training program in parallel, the best validated *and
certified* result kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.scaling import Scaling, scale
from lstm_mpc.errors import InputError, SolverError
from lstm_mpc.identification.options import TrainingOptions
from lstm_mpc.identification.solve.watch import Progress
from lstm_mpc.identification.starts import (
    AS_THEY_ARE,
    SearchOptions,
    Start,
    Task,
    one_start,
)
from lstm_mpc.io import artefact_file, parallel
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model

SCREENING = 20  # iterations after which the first half of the short starts is left


@dataclass(frozen=True)
class Identification:
    """What `identify` gives: every one of the `starts`, and the chosen `model`.

    The chosen one is the certified model with the best validation FIT.
    """

    starts: tuple[Start, ...]
    model: Model

    def report(self) -> dict[str, Any]:
        """Every start as JSON types, with its history of objective, FIT and margin, and of those
        that are certified the weights."""
        rows = []
        for start in self.starts:
            o = start.outcome
            row = {
                k: getattr(o, k) for k in ("seed", "status", "converged", "iterations", "seconds")
            }
            found = o.network is not None
            row |= {
                "sentence": start.sentence,
                "candidate": str(start.candidate),
                "certified": start.certified,
                "validation_fit": start.fit if found else None,
            }
            row |= {"train_fit": o.fit if found else None, "margin": _finite(o.margin)}
            row["history"] = [
                [p.iteration, _finite(p.objective), _finite(p.fit), _finite(p.margin)]
                for p in o.history
            ]
            if start.certified and o.network is not None:
                row["network"] = artefact_file.plain(lstm.parameters(o.network))
            rows.append(row)
        return {"chosen": self.model.origin["seed"], "starts": rows}


def _finite(value: float) -> float | None:
    """JSON has no infinity: the margin of no condition, or of an iterate that overflows."""
    return value if np.isfinite(value) else None


def identify(
    training: Dataset,
    validation: Dataset,
    options: TrainingOptions | None = None,
    search: SearchOptions | None = None,
    *,
    scaling: Scaling | None = None,
    network: lstm.Network | None = None,
    required: Sequence[str] = (),
    workers: int = 1,
    name: str = "model",
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Identification:
    """Train from several starts and keep the best certified model.

    The choice uses the validation data, so that its FIT is slightly optimistic for the chosen
    model. Ctrl-C ends all starts at their best feasible iterate.

    Args:
        training: What is trained on.
        validation: What the starts are compared on; of the same signals and sampling time.
        options: How a start is trained; by default `TrainingOptions()`.
        search: How many starts there are and how they are compared; by default `SearchOptions()`.
        scaling: By default that of the training data by the limits, see `scale`.
        network: Weights to start from, counted from seed 0; the boxes are widened to hold them.
        required: Conditions that the gate asks for: with a `max_fit_loss` as many starts are also
            trained under these alone, with the seeds that follow.
        workers: Processes that share the starts; one is this process itself.
        name: Of the model.
        on_progress: Hears of every iteration of every start.

    Returns:
        Every start, and the chosen model.

    Raises:
        InputError: The data or the options cannot be used.
        SolverError: No start ends in a certified model; with the sentence of each.
    """
    if (
        validation.Ts != training.Ts
        or validation.inputs != training.inputs
        or validation.outputs != training.outputs
    ):
        raise InputError("train: training and validation data must share signals and sampling time")
    settings, search = options or TrainingOptions(), search or SearchOptions()
    scaling = scale(training) if scaling is None else scaling
    if network is not None:
        settings, search = _holding(settings, network), replace(search, seed=0)
    data = training, validation, scaling

    def run(tasks: Sequence[Task]) -> list[Start]:
        each = [(*data, task, search, network, name) for task in tasks]
        return parallel.run(one_start, each, workers=workers, on_report=on_progress, graceful=True)

    def searched(own: TrainingOptions, seed: int) -> list[Start]:
        """The starts from `seed` on, those first that were trained to the end."""
        tasks, left = _halved(run, _tasks(own, search, seed), search.starts)
        return [*run(tasks), *left]

    done, fallback = searched(settings, search.seed), list[Start]()
    best, max_fit_loss = _best(done), search.max_fit_loss
    if (
        max_fit_loss is not None
        and not set(settings.conditions) <= set(required)
        and (best is None or best.fit + max_fit_loss < 100.0)  # more than 100 % no model has
    ):
        own = replace(settings, conditions=tuple(required))
        fallback = searched(own, search.seed + len(done))
        other = _best(fallback)
        if best is None or (other is not None and other.fit > best.fit + max_fit_loss):
            best = other
    if best is None or best.model is None:
        raise SolverError(
            "training gave no certified model: "
            + " | ".join(start.sentence for start in done + fallback)
        )
    return Identification((*done, *fallback), best.model)


def _tasks(settings: TrainingOptions, search: SearchOptions, seed: int) -> list[Task]:
    """Every start from `seed` on, the candidates in turn."""
    ways = search.candidates or (AS_THEY_ARE,)
    return [
        Task(ways[k % len(ways)].of(settings), seed + k, ways[k % len(ways)])
        for k in range(max(search.starts, search.screen))
    ]


def _halved(
    run: Callable[[Sequence[Task]], list[Start]], tasks: Sequence[Task], count: int
) -> tuple[list[Task], list[Start]]:
    """The `count` tasks whose short starts are best on validation data, and those short starts
    that were left on the way."""
    tasks, left, iterations = list(tasks), list[Start](), SCREENING
    while len(tasks) > count:
        short = [task.short(iterations) for task in tasks]
        looked = run(short)
        order = sorted(range(len(tasks)), key=lambda k: -looked[k].promise)
        kept = sorted(order[: max(count, len(tasks) // 2)])
        left += [
            replace(looked[k], certified=looked[k].certified and _alike(task, short[k]))
            for k, task in enumerate(tasks)
            if k not in kept
        ]
        tasks, iterations = [tasks[k] for k in kept], 2 * iterations
    return tasks, left


def _alike(task: Task, short: Task) -> bool:
    """Whether a short start was trained, and so judged, under the conditions of the whole one."""
    return task.settings.conditions == short.settings.conditions


def _best(starts: Sequence[Start]) -> Start | None:
    """The certified start with the best validation FIT."""
    return max(
        (start for start in starts if start.certified), key=lambda start: start.fit, default=None
    )


def _holding(settings: TrainingOptions, network: lstm.Network) -> TrainingOptions:
    """`settings` for training from `network`: its cells, and boxes that hold its weights."""
    largest = {name: float(np.abs(leaf).max()) for name, leaf in lstm.parameters(network).items()}
    gates, output = (
        max(v for k, v in largest.items() if (k in ("C", "b_y")) == last) for last in (False, True)
    )
    return replace(
        settings,
        cells=network.nx,
        weight_bound=max(settings.weight_bound, gates),
        output_box=max(settings.output_box, output),
    )
