"""The steps of a design that lead to a model. Each reads what the steps before it wrote, and
returns a noun; `Project` writes it down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lstm_mpc.certificates import certification
from lstm_mpc.certificates.evidence import Validation
from lstm_mpc.data.dataset import Dataset, thin
from lstm_mpc.data.look.overlap import sentence, shared_rows
from lstm_mpc.data.scaling import scale
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.identification import model_order, multistart
from lstm_mpc.identification.baselines import Baselines, baselines
from lstm_mpc.identification.linear_model import fit_linear
from lstm_mpc.identification.model_order import Ordering
from lstm_mpc.identification.multistart import Identification
from lstm_mpc.identification.options import TrainingOptions
from lstm_mpc.identification.solve.watch import Progress
from lstm_mpc.identification.validation import validate
from lstm_mpc.model.model import Model
from lstm_mpc.project.artefacts import DEFAULT, Options
from lstm_mpc.project.design import Design

CELLS = ((2,), (3,), (5,), (8,))  # what `order` compares


@dataclass(frozen=True)
class Recording:
    """The data of a design, and `notes`: how they were made of a raw log, a sentence each."""

    training: Dataset
    validation: Dataset
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """A model that training began from: its validation FIT [%] and the conditions it failed."""

    model: Model
    fit: float
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Trained:
    """An identification on `dataset`, chosen out of `available` samples, with the validation of its
    model, and how the mean and a linear model do."""

    identification: Identification
    validation: Validation
    dataset: Dataset
    available: int
    baselines: Baselines
    origin: Origin | None = None

    @property
    def model(self) -> Model:
        return self.identification.model

    def report(self) -> dict[str, Any]:
        """Every start and the baselines as JSON types."""
        report = self.identification.report()
        return {"model": self.model.digest, **report, "baselines": self.baselines.describe()}


def record(design: Design, options: Options = DEFAULT) -> Recording:
    """Run the experiment on the simulated plant, or make records of the raw log.

    Args:
        design: what to record.
        options: who hears of the progress.

    Returns:
        Training and validation data.

    Raises:
        InputError: the design has neither a plant nor a log.
        DataError: a file of the log cannot be used.
    """
    if design.log.files:
        prepared = design.logged(
            lambda share, file: options.progress("record", 0.6 * share, f"{file} is read")
        )
        return Recording(prepared.training, prepared.validation, prepared.story)
    records = design.experiment_records()
    return Recording(records["training"], records["validation"])


def train(design: Design, options: Options = DEFAULT, *, origin: Model | None = None) -> Trained:
    """Identify the model from the training data of a design.

    Args:
        design: data, options of training and of the search.
        options: processes, and who hears of the progress.
        origin: a model to begin from, in whose scaling and shape training stays.

    Returns:
        Every start, the chosen model, and its validation.

    Raises:
        InputError: the data or the options cannot be used.
        Refused: an output integrates or is unstable.
        SolverError: no start ends in a certified model.
    """
    if (why := design.data.refusal()) is not None:
        raise Refused("train", [why])
    training, validation = separate_records(design, "train")
    settings = design.train if origin is None else _with_delays(design.train, origin)
    dataset = _thinned(design, training)
    identification = multistart.identify(
        dataset,
        validation,
        settings,
        design.search,
        scaling=scale(training, rule=design.data.scaling) if origin is None else origin.scaling,
        network=None if origin is None else origin.network,
        workers=options.workers,
        name=design.name,
        on_progress=_training_progress(design, settings, dataset, options),
        required=design.release.conditions,
    )
    evidence = validate(identification.model, validation, **design.judge)
    transient, delays = design.search.transient, identification.model.delays
    simple = baselines(
        fit_linear(dataset, validation, transient=transient, delays=delays),
        dataset,
        validation,
        evidence.fits["measured"]["mean_removed"],
        transient=transient,
    )
    return Trained(
        identification,
        evidence,
        dataset,
        training.samples,
        simple,
        None if origin is None else _origin(origin, design, validation),
    )


def separate_records(design: Design, verb: str) -> tuple[Dataset, Dataset]:
    """The training and the validation data of a design; `Refused` where rows of one are rows of the
    other."""
    training, validation = design.records("training"), design.records("validation")
    if (overlap := shared_rows(training, validation)) is not None:
        raise Refused(verb, [f"{design.folder}: {sentence(overlap)}"])
    return training, validation


def _thinned(design: Design, training: Dataset) -> Dataset:
    """What is trained on: all, or those windows in which the inputs move most."""
    if not design.data.samples:
        return training
    return thin(training, samples=design.data.samples, window=design.data.window)


def _training_progress(
    design: Design, settings: TrainingOptions, dataset: Dataset, options: Options
) -> Any:
    """What hears of every iteration of every start, and passes on the share done."""
    search, iterations = design.search, dict[int, int]()
    both = search.max_fit_loss is not None and not set(settings.conditions) <= set(
        design.release.conditions
    )
    starts = max(search.starts, search.screen)
    total = (1 + both) * starts * settings.iterations
    options.progress("train", 0.0, f"{starts} starts on {dataset.samples} samples")

    def on_progress(p: Progress) -> None:
        iterations[p.seed] = p.iteration
        detail = (
            f"seed {p.seed} iteration {p.iteration}: mse {p.objective:.3e}, FIT {p.fit:.2f} %, δ"
            f" {p.margin:+.3f}"
        )
        options.progress("train", sum(iterations.values()) / total, detail)

    return on_progress


def _with_delays(settings: TrainingOptions, origin: Model) -> TrainingOptions:
    """`settings` with the delays of a model to begin from."""
    if settings.delays not in ((), origin.delays):
        differ = (
            f"{list(settings.delays)} in the design are not {list(origin.delays)} of the model to"
            " begin from"
        )
        raise InputError(
            f"train: delays {differ}, whose weights belong to its own; leave delays out"
        )
    return replace(settings, delays=origin.delays)


def _origin(model: Model, design: Design, validation: Dataset) -> Origin:
    failed = [n for n in design.train.conditions if not certification.certify(model, n).holds]
    return Origin(model, validate(model, validation, **design.judge).fit, tuple(failed))


def order(
    design: Design,
    options: Options = DEFAULT,
    *,
    cells: Sequence[tuple[int, ...]] = CELLS,
    starts: int = 3,
) -> Ordering:
    """Compare numbers of cells by validated FIT over seeds.

    Args:
        design: data and options of training.
        options: processes, and who hears of the progress.
        cells: cells per layer of each candidate.
        starts: how many seeds each candidate is trained from.

    Returns:
        The candidates by size, with the recommended one.

    Raises:
        SolverError: no start of any size ends in a certified model.
    """
    total, iterations = len(cells) * starts * design.train.iterations, 0

    def on_progress(p: Progress) -> None:
        nonlocal iterations
        iterations += 1
        detail = f"seed {p.seed} iteration {p.iteration}: FIT {p.fit:.2f} %"
        options.progress("order", min(1.0, iterations / total), detail)

    return model_order.compare_orders(
        _thinned(design, design.records("training")),
        design.records("validation"),
        design.train,
        cells=cells,
        starts=starts,
        seed=design.search.seed,
        rule=design.data.scaling,
        workers=options.workers,
        on_progress=on_progress,
        **design.judge,
    )


def ordering_content(ordering: Ordering) -> dict[str, Any]:
    """A comparison of numbers of cells as JSON types."""
    return {
        "candidates": [c.describe() for c in ordering.candidates],
        "recommended": list(ordering.recommended.nx),
    }
