"""One start of training: what is trained, and what is made of it. Candidates are ways of training
that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

from lstm_mpc.certificates.certification import certify
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.scaling import Scaling
from lstm_mpc.errors import InputError
from lstm_mpc.identification.continuation import first_conditions, train
from lstm_mpc.identification.options import TrainingOptions
from lstm_mpc.identification.training import Outcome
from lstm_mpc.io import parallel
from lstm_mpc.model import lstm
from lstm_mpc.model.data_fit import record_fits
from lstm_mpc.model.model import Model


@dataclass(frozen=True)
class TrainingCandidate:
    """One way of training that is compared with others.

    Its own values of `start`, `cells`, `weight_bound`, `output_box` and `decay`, each as in
    `TrainingOptions`; None: what `[train]` says.
    """

    start: str | None = None
    cells: tuple[int, ...] | None = None
    weight_bound: float | None = None
    output_box: float | None = None
    decay: float | None = None

    def of(self, options: TrainingOptions) -> TrainingOptions:
        """What a start of this candidate is trained with.

        Args:
            options: What is common to all candidates.

        Returns:
            The options with what is the candidate's own.

        Raises:
            InputError: A value is none that training takes.
        """
        return replace(options, **self._given())

    def __str__(self) -> str:
        return ", ".join(
            f"{key} {list(value) if isinstance(value, tuple) else value}"
            for key, value in self._given().items()
        )

    def _given(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if value is not None}


AS_THEY_ARE = TrainingCandidate()


@dataclass(frozen=True)
class SearchOptions:
    """How the best of several starts is found; `[search]` of a design.

    `starts` of them from the `seed` on are trained to the end, chosen among `screen` short ones
    where that is more: of these the half that is worse on validation data is left again and again,
    while those that stay are trained longer (successive halving). The starts take the `candidates`
    in turn, ways of training that differ from `[train]`.

    The first `transient` samples of a validation record are the transient from a random start and
    do not count; with a `window` (at most `transient`) the start is estimated from the first
    samples instead. `max_fit_loss` [points of FIT] is what conditions that the gate does not ask
    for may cost: where training under those that it does ask for is better by more, that model is
    taken."""

    starts: int = 4
    screen: int = 0
    seed: int = 0
    transient: int = 50
    window: int = 0
    max_fit_loss: float | None = None
    candidates: tuple[TrainingCandidate, ...] = ()

    @property
    def compared(self) -> int:
        """How many models are compared on validation data at most, the short ones too."""
        return max(self.starts, self.screen) * (1 if self.max_fit_loss is None else 2)

    def __post_init__(self) -> None:
        object.__setattr__(self, "candidates", tuple(self.candidates))
        if self.starts < 1 or self.screen < 0:
            raise InputError(
                f"train: starts must be at least 1 and screen at least 0, got {self.starts} and"
                f" {self.screen}"
            )


@dataclass(frozen=True)
class Task:
    """A start that is still to be trained."""

    settings: TrainingOptions
    seed: int
    candidate: TrainingCandidate = AS_THEY_ARE

    def short(self, iterations: int) -> Task:
        """The same start for a first look at it."""
        settings = replace(
            self.settings,
            conditions=first_conditions(self.settings),
            free_first=False,
            iterations=min(iterations, self.settings.iterations),
        )
        return replace(self, settings=settings)


@dataclass(frozen=True)
class Start:
    """One start: its outcome, the model made of it (None without a feasible iterate), whether every
    condition is certified on the saved numbers, the mean-removed FIT [%] on validation data (worst
    record and output), and the `candidate` that it is of. `promise` is the FIT of what it ended at,
    feasible or not."""

    outcome: Outcome
    model: Model | None
    certified: bool
    fit: float
    candidate: TrainingCandidate = AS_THEY_ARE
    promise: float = float("-inf")

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
        way = f" ({self.candidate})" if str(self.candidate) else ""
        return f"{self.outcome.sentence}; {verdict}{way}"


def one_start(
    training: Dataset,
    validation: Dataset,
    scaling: Scaling,
    task: Task,
    search: SearchOptions,
    network: lstm.Network | None,
    name: str,
) -> Start:
    """A task of `parallel`: train one start, certify and validate what it gives."""
    settings = task.settings
    outcome = train(
        training,
        scaling,
        settings,
        seed=task.seed,
        network=network,
        progress=parallel.report,
        stop=parallel.stopped,
    )
    rest = asdict(settings)
    delays = rest.pop("delays")  # which are the model's own
    origin = {
        "data": training.digest,
        "seed": outcome.seed,
        "settings": rest,
        "solver": outcome.status,
        "converged": outcome.converged,
        "iterations": outcome.iterations,
        "versions": {package: version(package) for package in ("lstm_mpc", "casadi", "numpy")},
    }

    def judged(network: lstm.Network) -> tuple[Model, float]:
        model = model_of(network, training, scaling, origin, name, delays=delays)
        how: dict[str, Any] = {"transient": search.transient, "window": search.window}
        fits = record_fits(model, validation, seed=0, **how)
        return model, min(min(fit.mean_removed) for fit in fits)

    if outcome.network is None:
        sizes = lstm.Sizes(len(training.inputs), settings.cells, len(training.outputs))
        _, promise = judged(lstm.unpack(outcome.history[-1].theta, sizes))
        return Start(outcome, None, False, float("-inf"), task.candidate, promise)
    model, fit = judged(outcome.network)
    certified = all(certify(model, condition).holds for condition in settings.conditions)
    return Start(outcome, model, certified, fit, task.candidate, fit)


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
