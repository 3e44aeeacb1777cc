"""Identification: several starts of the training program in parallel, the best validated *and
certified* result kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np

from lstm_mpc.certificates.certification import certify
from lstm_mpc.data.dataset import Dataset, Scaling, scale
from lstm_mpc.errors import InputError, SolverError
from lstm_mpc.identification.continuation import first_conditions, train
from lstm_mpc.identification.training import Outcome, Progress, TrainingOptions
from lstm_mpc.io import artefact_file, parallel
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model, record_fits

SCREENING = 15  # iterations of a start that is only looked at


@dataclass(frozen=True)
class Start:
    """One start: its outcome, the model made of it (None without a feasible iterate), whether every
    condition is certified on the saved numbers, and the mean-removed FIT [%] on validation data
    (worst record and output)."""

    outcome: Outcome
    model: Model | None
    certified: bool
    fit: float

    @property
    def sentence(self) -> str:
        conditions = (
            ""
            if self.model is None
            else " + ".join(self.model.origin["settings"]["conditions"]) + " "
        )
        verdict = (
            "not certified"
            if not self.certified
            else f"{conditions}certified, validation FIT {self.fit:.2f} %"
        )
        return f"{self.outcome.sentence}; {verdict}"


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


@dataclass(frozen=True)
class SearchOptions:
    """How the best of several starts is found; `[search]` of a design.

    `starts` of them from the `seed` on, chosen among `screen` short ones where that is more. The
    first `transient` samples of a validation record are the transient from a random start and do
    not count; with a `window` (at most `transient`) the start is estimated from the first samples
    instead. `max_fit_loss` [points of FIT] is what conditions that the gate does not ask for may
    cost: where training under those that it does ask for is better by more, that model is
    taken."""

    starts: int = 4
    screen: int = 0
    seed: int = 0
    transient: int = 50
    window: int = 0
    max_fit_loss: float | None = None

    def __post_init__(self) -> None:
        if self.starts < 1 or self.screen < 0:
            raise InputError(
                f"train: starts must be at least 1 and screen at least 0, got {self.starts} and"
                f" {self.screen}"
            )


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
        workers: Processes that share the starts.
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
    starts, max_fit_loss = search.starts, search.max_fit_loss

    def run(own: TrainingOptions, seeds: Sequence[int]) -> list[Outcome]:
        tasks = [(training, scaling, own, number, network) for number in seeds]
        return parallel.run(one_start, tasks, workers=workers, on_report=on_progress, graceful=True)

    seeds = list(range(search.seed, search.seed + max(starts, search.screen)))
    if search.screen > starts:
        seeds = _promising(run, settings, seeds, starts)

    def judged(own: TrainingOptions, seeds: Sequence[int]) -> list[Start]:
        how: dict[str, Any] = {"transient": search.transient, "window": search.window}
        data = training, validation, scaling
        return [judge(o, *data, own, **how, name=name) for o in run(own, seeds)]

    done, fallback = judged(settings, seeds), list[Start]()
    first = _best(done)
    if (
        max_fit_loss is not None
        and not set(settings.conditions) <= set(required)
        and (first is None or first.fit + max_fit_loss < 100.0)  # more than 100 % no model has
    ):
        following = [max(seeds) + 1 + k for k in range(starts)]
        fallback = judged(replace(settings, conditions=tuple(required)), following)
    best = [first, _best(fallback)]
    if best[0] is None or (
        best[1] is not None
        and max_fit_loss is not None
        and best[1].fit > best[0].fit + max_fit_loss
    ):
        best.reverse()
    if best[0] is None or best[0].model is None:
        raise SolverError(
            "training gave no certified model: "
            + " | ".join(start.sentence for start in done + fallback)
        )
    return Identification((*done, *fallback), best[0].model)


def _promising(
    run: Callable[[TrainingOptions, Sequence[int]], list[Outcome]],
    settings: TrainingOptions,
    seeds: Sequence[int],
    count: int,
) -> list[int]:
    """The seeds whose short starts reach the lowest errors."""
    short = replace(
        settings,
        conditions=first_conditions(settings),
        free_first=False,
        iterations=min(SCREENING, settings.iterations),
    )
    looked = sorted(run(short, seeds), key=lambda o: min(p.objective for p in o.history))
    return sorted(o.seed for o in looked[:count])


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


def one_start(
    dataset: Dataset,
    scaling: Scaling,
    settings: TrainingOptions,
    seed: int,
    network: lstm.Network | None,
) -> Outcome:
    """`train` as a task of `parallel`."""
    return train(
        dataset,
        scaling,
        settings,
        seed=seed,
        network=network,
        progress=parallel.report,
        stop=parallel.stopped,
    )


def judge(
    outcome: Outcome,
    dataset: Dataset,
    validation: Dataset,
    scaling: Scaling,
    settings: TrainingOptions,
    *,
    transient: int,
    window: int,
    name: str,
) -> Start:
    """An outcome as a model, certified and validated."""
    if outcome.network is None:
        return Start(outcome, None, False, float("-inf"))
    origin = {
        "data": dataset.digest,
        "seed": outcome.seed,
        "settings": {
            key: value for key, value in asdict(settings).items() if key != "delays"
        },  # which are the model's own
        "solver": outcome.status,
        "converged": outcome.converged,
        "iterations": outcome.iterations,
        "versions": {package: version(package) for package in ("lstm_mpc", "casadi", "numpy")},
    }
    model = model_of(outcome.network, dataset, scaling, origin, name, delays=settings.delays)
    certified = all(certify(model, condition).holds for condition in settings.conditions)
    fits = record_fits(model, validation, transient=transient, seed=0, window=window)
    return Start(outcome, model, certified, min(min(fit.mean_removed) for fit in fits))


def model_of(
    network: lstm.Network,
    dataset: Dataset,
    scaling: Scaling,
    origin: dict[str, Any],
    name: str,
    *,
    delays: Sequence[int] = (),
) -> Model:
    """A network as a model of the plant that gave `dataset`."""
    return Model(
        network, scaling, dataset.inputs, dataset.outputs, dataset.Ts, origin, name, tuple(delays)
    )
