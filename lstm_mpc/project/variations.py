"""The plant of a design whose closed loops run on variations of the identified model, from what
training has left in its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lstm_mpc.assurance.model_plant import ModelPlant, model_plant, residuals_of
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.schema import noun
from lstm_mpc.model import lstm
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import System
from lstm_mpc.project.artefacts import MODEL, REPORT_KIND, TRAINING


def variations(
    options: ModelPlant, folder: Path, validation: Dataset | None, *, transient: int, window: int
) -> System:
    """The model of `folder`, its other certified starts where training left some, and its residuals
    on the validation data, where there are any."""
    model = Model.load(folder / MODEL)
    return model_plant(
        model,
        options,
        starts=_starts(model, folder / TRAINING, options.max_fit_loss),
        residuals=None
        if validation is None
        else residuals_of(model, validation, transient=transient, window=window),
    )


def _starts(model: Model, path: Path, max_fit_loss: float) -> list[Model]:
    """The other certified starts of the training that gave `model`, but those that predict the
    validation data much worse; none where it was imported."""
    if not path.exists():
        return []
    report = artefact_file.read_json(path, REPORT_KIND)
    try:
        if report["model"] != model.digest:
            return []
        rows = [noun(dict[str, Any], row) for row in report["starts"]]
        of_model = next(row for row in rows if row["seed"] == report["chosen"])
        least = float(of_model["validation_fit"]) - max_fit_loss
        return [
            replace(
                model,
                network=lstm.from_parameters(row["network"]),
                origin={**model.origin, "seed": row["seed"]},
            )
            for row in rows
            if "network" in row and row is not of_model and float(row["validation_fit"]) >= least
        ]
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise InputError(
            f"{path}: is no usable training report ({error!r:.80}); `lstm-mpc train --force` makes"
            " it anew"
        ) from error
