"""The figure of the arena."""

from collections.abc import Sequence
from typing import Any

from lstm_mpc.plots.style import BLUE, GREEN, GREY, ORANGE, RED, Figure, sheet, styled

_SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)  # of what PI needs


@styled
def plot_arena(rows: Sequence[dict[str, Any]], *, unit: str) -> Figure:
    """`arena.standings`: the total IAE of each controller by condition, and below it the travel of
    the valve, both as share of PI's."""
    conditions, names = (
        list(dict.fromkeys(row[key] for row in rows)) for key in ("condition", "controller")
    )
    colors = dict(
        zip([name for name in names if name != "PI"], (ORANGE, BLUE, GREEN, RED), strict=False)
    )
    figure, grid = sheet(2, 5.2)
    axes = grid[:, 0]
    for axis, key, label in zip(
        axes, ("÷ PI", "travel ÷ PI"), ("IAE ÷ IAE of PI", "travel ÷ travel of PI"), strict=True
    ):
        for number, (name, color) in enumerate(colors.items()):
            own = [
                (conditions.index(row["condition"]), row[key])
                for row in rows
                if row["controller"] == name and row[key] is not None
            ]
            places = [
                place + (number - 0.5 * (len(colors) - 1)) * 0.8 / len(colors) for place, _ in own
            ]
            axis.bar(
                places,
                [share - 1.0 for _, share in own],
                0.75 / len(colors),
                bottom=1.0,
                color=color,
                label=name,
            )
        axis.set_yscale("log")  # half as much and twice as much look alike
        axis.set_yticks(_SHARES, [f"{share:g}" for share in _SHARES])
        axis.minorticks_off()
        shares = [row[key] for row in rows if row[key] is not None]
        axis.set_ylim(0.85 * min([0.5, *shares]), 1.15 * max([1.5, *shares]))
        axis.axhline(1.0, color=GREY, lw=1.2, label="PI, tuned for the condition")
        axis.set_ylabel(label)
        axis.grid(visible=False, axis="x")
        axis.set_axisbelow(True)
    iae = {row["condition"]: row["total"] for row in rows if row["controller"] == "PI"}
    axes[-1].set_xticks(
        range(len(conditions)),
        [f"{name}\n{iae[name]:.0f} {unit}" if name in iae else name for name in conditions],
    )
    axes[-1].set_xlabel("condition, and the IAE of PI")
    axes[0].legend(
        ncols=len(colors) + 1, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0)
    )
    return figure
