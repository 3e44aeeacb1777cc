"""Pictures of data, models, claims and loops.

Functions such as `plot_loop` take nouns and return a matplotlib figure; `save` writes it, `svg`
draws it into a page.
"""

from typing import TYPE_CHECKING

from lstm_mpc.io.lazy_names import lazy_names

if TYPE_CHECKING:
    from lstm_mpc.plots.evidence_figures import (
        plot_bounds as plot_bounds,
        plot_order as plot_order,
        plot_reach as plot_reach,
        plot_scenarios as plot_scenarios,
    )
    from lstm_mpc.plots.figures import (
        plot_correlations as plot_correlations,
        plot_data as plot_data,
        plot_validation as plot_validation,
    )
    from lstm_mpc.plots.loop_figures import plot_loop as plot_loop
    from lstm_mpc.plots.step_figures import plot_step_responses as plot_step_responses
    from lstm_mpc.plots.style import save as save, svg as svg

__getattr__, __dir__, __all__ = lazy_names(__name__)
