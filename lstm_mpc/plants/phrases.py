"""How signals and their ranges are written in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from lstm_mpc.plants.system import Signal

Ends = Iterable[Sequence[float]]


def within(
    signals: Iterable[Signal], ends: Ends, number: Callable[[float], str] = "{:.3f}".format
) -> str:
    """Where each signal lies, as "x in [a, b] unit, …".

    Args:
        signals: the signals.
        ends: (low, high) of each [engineering].
        number: how a number is written.

    Returns:
        The phrase.
    """
    return ", ".join(
        f"{s.name} in [{number(low)}, {number(high)}] {s.unit}"
        for s, (low, high) in zip(signals, ends, strict=True)
    )
