"""The running loop as text, one line a sample: time runs down, the output moves across. It needs no terminal but one that prints."""

from __future__ import annotations

import numpy as np

from lstm_mpc.control.loop import Sample, Scenario
from lstm_mpc.system import Signal, System

_WIDTH = 41  # [characters] of the strip


def heading(system: System, scenario: Scenario) -> str:
    """What stands above the lines of a scenario."""
    low, high = _range(system.outputs[0], scenario)
    names = [*(f"{s.label:>10} {'setpoint':>9}" for s in system.outputs), *(f"{s.label:>10}" for s in system.inputs)]
    edges = f"{low:.4g}{f'{high:.4g}':>{_WIDTH - len(f'{low:.4g}')}}"
    return f"{scenario.name}\n{'t [s]':>8} {' '.join(names)}  {edges}  (o {system.outputs[0].name}, | setpoint)"


def line(system: System, scenario: Scenario, sample: Sample) -> str:
    """A sample: measurements, setpoints, inputs, where the first output is in the range of the setpoints, and the flags in words."""
    pairs = zip(sample.y.tolist(), sample.reference.tolist(), strict=True)
    numbers = [*(f"{y:10.3f} {r:9.3f}" for y, r in pairs), *(f"{u:10.3f}" for u in sample.move.u.tolist())]
    low, high = _range(system.outputs[0], scenario)
    strip = ["."] * _WIDTH
    for value, mark in ((sample.reference[0], "|"), (sample.y[0], "o")):
        if np.isfinite(value):
            at = round(float(np.clip((value - low) / (high - low), 0.0, 1.0)) * (_WIDTH - 1))
            strip[at] = mark
    words = "" if sample.move.optimal else f"  {sample.move.status}"
    return f"{sample.t:8.0f} {' '.join(numbers)}  {''.join(strip)}{words}"


def _range(signal: Signal, scenario: Scenario) -> tuple[float, float]:
    """The setpoints of the first output with room on both sides."""
    levels = np.asarray(scenario.setpoint.levels)[:, 0]
    span = signal.high - signal.low if signal.bounded else 2.0 * float(np.abs(levels).max()) or 1.0
    room = max(0.25 * float(np.ptp(levels)), 0.05 * span)
    return float(levels.min()) - room, float(levels.max()) + room
