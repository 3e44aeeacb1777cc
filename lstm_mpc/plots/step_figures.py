"""The picture of step responses and gains of a model."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_mpc.model.model import Model
from lstm_mpc.model.step_response import StepResponse
from lstm_mpc.plots.style import BLUE, GREEN, ORANGE, Figure, sheet, styled

_COLOURS = (BLUE, ORANGE, GREEN)


@styled
def plot_step_responses(model: Model, responses: Sequence[StepResponse]) -> Figure:
    """Draw every output after a step of every input, each from several levels.

    Args:
        model: The model.
        responses: What `step_responses` makes of it.

    Returns:
        A matplotlib figure.
    """
    ny, nu = len(model.outputs), len(model.inputs)
    figure, axes = sheet(ny, 2.2 * ny + 0.5, nu)
    for j, u in enumerate(model.inputs):
        mine = [r for r in responses if r.input == j]
        for i, s in enumerate(model.outputs):
            axis = axes[i, j]
            for colour, r in zip(_COLOURS, mine, strict=False):
                label = f"{u.name} {r.before:.4g} → {r.after:.4g} {u.unit}"
                axis.plot(r.t, r.y[:, i] - r.y[0, i], color=colour, lw=1.4, label=label)
            axis.set_ylabel(f"change of {s.label}")
            axis.legend(fontsize="x-small")
        axes[-1, j].set_xlabel("t [s]")
    return figure
