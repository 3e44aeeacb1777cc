"""The running loop as text, one line a sample: time runs down, the outputs move across. It needs no
terminal but one that prints."""

from __future__ import annotations

from math import isfinite

import numpy as np

from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import Sample
from lstm_mpc.plants.system import System

_WIDTH = 41  # [characters] of the strips, which the outputs share


def heading(system: System, scenario: Scenario) -> str:
    """What stands above the lines of a scenario."""
    names = [
        *(f"{s.label:>10} {'setpoint':>9}" for s in system.outputs),
        *(f"{s.label:>10}" for s in system.inputs),
    ]
    width = _WIDTH // system.ny
    ends = [(f"{low:.4g}", f"{high:.4g}") for low, high in _ranges(system, scenario)]
    edges = "  ".join(f"{low}{high:>{width - len(low)}}" for low, high in ends)
    return (
        f"{scenario.name}\n{'t [s]':>8} {' '.join(names)}  {edges}  (o"
        f" {', '.join(s.name for s in system.outputs)}, | setpoint)"
    )


def line(system: System, scenario: Scenario, sample: Sample) -> str:
    """A sample: measurements, setpoints, inputs, where each output is in the range of its
    setpoints, and the flags in words."""
    pairs = list(zip(sample.y.tolist(), sample.reference.tolist(), strict=True))
    numbers = [
        *(f"{y:10.3f} {r:9.3f}" for y, r in pairs),
        *(f"{u:10.3f}" for u in sample.move.u.tolist()),
    ]
    strips = [
        _strip(*pair, *ends, _WIDTH // system.ny)
        for pair, ends in zip(pairs, _ranges(system, scenario), strict=True)
    ]
    words = "" if sample.move.optimal else f"  {sample.move.status}"
    return f"{sample.t:8.0f} {' '.join(numbers)}  {'  '.join(strips)}{words}"


def _strip(y: float, reference: float, low: float, high: float, width: int) -> str:
    strip = ["."] * width
    for value, mark in ((reference, "|"), (y, "o")):
        if isfinite(value):
            strip[round(min(max((value - low) / (high - low), 0.0), 1.0) * (width - 1))] = mark
    return "".join(strip)


def _ranges(system: System, scenario: Scenario) -> list[tuple[float, float]]:
    """The setpoints of each output with room on both sides."""
    ranges = []
    for signal, levels in zip(system.outputs, np.asarray(scenario.setpoint.levels).T, strict=True):
        span = (
            signal.high - signal.low if signal.bounded else 2.0 * float(np.abs(levels).max()) or 1.0
        )
        room = max(0.25 * float(np.ptp(levels)), 0.05 * span)
        ranges.append((float(levels.min()) - room, float(levels.max()) + room))
    return ranges
