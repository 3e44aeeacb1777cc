"""Which picture shows which noun: what `.plot()` draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lstm_mpc.certificates.bounds_table import bounds_table
from lstm_mpc.certificates.evidence import Tube, Tubes, Validation, Verification
from lstm_mpc.control.simulation import Run
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.look.correlation import Residuals
from lstm_mpc.errors import InputError
from lstm_mpc.identification.model_order import Ordering
from lstm_mpc.identification.validation import check_signals
from lstm_mpc.io.display import drawing
from lstm_mpc.model.model import Model
from lstm_mpc.model.step_response import step_responses
from lstm_mpc.plants.system import System
from lstm_mpc.plots.evidence_figures import plot_bounds, plot_order, plot_reach, plot_scenarios
from lstm_mpc.plots.figures import plot_correlations, plot_data, plot_validation
from lstm_mpc.plots.loop_figures import plot_loop
from lstm_mpc.plots.step_figures import plot_step_responses
from lstm_mpc.plots.style import Figure

drawing.register(Dataset, plot_data)
drawing.register(Ordering, plot_order)


@drawing.register
def _(model: Model, dataset: Dataset | None = None, **options: Any) -> Figure:
    if dataset is None:
        return plot_step_responses(model, step_responses(model))
    check_signals(model, dataset)
    return plot_validation(model, dataset, **options)


@drawing.register
def _(validation: Validation, model: Model, dataset: Dataset) -> Figure:
    _same("validation", validation.model, model)
    if dataset.digest != validation.data:
        raise InputError(
            f"plot: the validation speaks of data {validation.data[:12]}, not of"
            f" {dataset.digest[:12]}; give the data that it was computed from"
        )
    return plot_validation(model, dataset, seed=validation.seed)


@drawing.register
def _(
    verification: Verification, model: Model | None = None, *, radius: float | None = None
) -> Figure:
    if model is None:
        return plot_bounds(verification)
    _same("verification", verification.model, model)
    radii = [bound.radius_u for bound in verification.bounds if bound.system == "model"]
    if radius is None and not radii:
        raise InputError("plot: the verification holds no bound of the model; give a radius")
    radius = max(radii) if radius is None else radius
    return plot_scenarios(model, verification, radius=radius)


@drawing.register
def _(
    tubes: Tubes, model: Model, verification: Verification | None = None, *, output: int = 0
) -> Figure:
    _same("tube", tubes.model, model)
    if verification is not None:
        _same("verification", verification.model, model)
    if not 0 <= output < len(model.outputs):
        raise InputError(
            f"plot: output must be 0 … {len(model.outputs) - 1}, a place in the model's outputs,"
            f" got {output}"
        )
    rows = bounds_table(model, tubes, verification, output=output)
    return plot_reach(model, rows, output=output)


@drawing.register
def _(tube: Tube, model: Model, verification: Verification | None = None, **options: Any) -> Figure:
    figure: Figure = drawing(Tubes(tube.model, (tube,)), model, verification, **options)
    return figure


@drawing.register
def _(run: Run, plant: System, *, safe_set: Sequence[tuple[float, float]] = ()) -> Figure:
    has, needs = (plant.ny, plant.nd), (run.y.shape[1], run.d.shape[1])
    if has != needs:
        raise InputError(
            f"plot: the run has {needs[0]} outputs and {needs[1]} disturbances, the plant {has[0]}"
            f" and {has[1]}; give the plant that it was simulated on"
        )
    return plot_loop(run, plant, safe_set=safe_set)


@drawing.register
def _(
    residuals: Residuals, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None
) -> Figure:
    _, ny, nu = residuals.cross.shape
    names = _names("input", inputs, nu), _names("output", outputs, ny)
    return plot_correlations(*names, residuals)


def _names(word: str, given: Sequence[str] | None, count: int) -> list[str]:
    names = [f"{word} {j + 1}" for j in range(count)] if given is None else list(given)
    if len(names) != count:
        raise InputError(f"plot: the residuals have {count} {word}s, got {len(names)} names")
    return names


def _same(what: str, digest: str, model: Model) -> None:
    if digest != model.digest:
        raise InputError(
            f"plot: the {what} speaks of model {digest[:12]}, not of {model.digest[:12]}; give the"
            " model that it was computed from"
        )
