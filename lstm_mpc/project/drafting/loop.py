"""The part of a drafted design that closes loops: [plant], [control], [[scenario]] and
[verify_loop], all of which follow from the data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstm_mpc.control.first_tuning import FirstTuning
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.plants.roles import Roles
from lstm_mpc.plants.system import Array
from lstm_mpc.project.drafting.lines import key, note, numbers, rounded

_LOOP = (120, 360)  # samples of a closed loop
_SCENARIO = (100, 300)  # and of one that is drawn
_CHANGES = 20  # of the active set, at least


def plant_lines() -> list[str]:
    """`[plant]`."""
    return [
        "",
        note("[plant]", "no simulated plant: variations of the identified model, and no more"),
        'kind = "model"',
        note("gain = 0.2", "CHOOSE: share by which gains may differ from the model's"),
        note("time_constant = 0.2", "and time constants"),
        note("max_fit_loss = 10.0", "[points of FIT] other certified starts may be worse by"),
    ]


def control_lines(tuning: FirstTuning) -> list[str]:
    """`[control]` and `[solver]`. Where rates are slow most of the plan lies on them."""
    most = max(_CHANGES, 3 * tuning.horizon * len(tuning.u_low))
    return [
        "",
        note("[control]", "CHOOSE: from the time constants, gains and noise of the data"),
        note(f"horizon = {tuning.horizon}", "[samples]"),
        note(f"u_low = {list(tuning.u_low)}", "CHOOSE: what was recorded; beyond, the model is"),
        note(f"u_high = {list(tuning.u_high)}", "a guess, and [verify] radii must cover it"),
        note(f"output_weight = {numbers(tuning.output_weight)}", "1/span²"),
        f"move_penalty = {numbers(tuning.move_penalty)}",
        note(f"max_move = {numbers(tuning.max_move)}", "[unit per sample]"),
        note(f"observer_gain = {rounded(tuning.observer_gain)}", "less where there is more noise"),
        note(f"u_start = {numbers(tuning.u_start)}", "in force before control begins"),
        "",
        "[solver]",
        note("sqp_iterations = 5", "more than one only after a large step"),
        note(f"qp_iterations = {most}", "changes of the active set; BUDGET flags say too few"),
        "line_search_steps = 1",
        note("tolerance = 0.003", "[share of the input span] of a step that is not large"),
    ]


def loop_lines(dataset: Dataset, slow: int, tuning: FirstTuning) -> list[str]:
    """`[[scenario]]` and `[verify_loop]`, for outputs that remember `slow` samples; setpoints are
    where the outputs were for half of the time, and inputs begin where the controller may use
    them."""
    roles = Roles.of(dataset.inputs)
    every, y = (np.vstack([getattr(r, which) for r in dataset.records]) for which in ("u", "y"))
    u, measured = roles.moved(every), [dataset.inputs[i].name for i in roles.measured]
    fed = every[:, roles.measured]
    low, high = np.nanpercentile(y, (25, 75), axis=0)
    least, most = np.array(tuning.u_low), np.array(tuning.u_high)
    inside = 0.01 * (most - least)  # whatever the digits written
    starts = np.clip(np.percentile(u, (10, 90), axis=0), least + inside, most - inside)
    steps = int(np.clip(10 * slow, *_LOOP))
    long = int(np.clip(12 * slow, *_SCENARIO))
    Ts = dataset.Ts
    dwell = [max(2, steps // 8) * Ts, max(4, steps // 3) * Ts]
    lines = [
        "",
        note("[verify_loop]", "the gate of the controller: closed loops of the exported C"),
        "epsilon = 1e-2",
        "beta = 1e-6",
        note('rule = "exact"', "N by the exact binomial tail"),
        f"steps = {steps}",
        note(f"settle = {min(steps // 6, 3 * slow)}", "[samples] without a change"),
        note(f"setpoint = {_pairs(low, high)}", "where the outputs were for half of the time"),
        note(f"start = {_pairs(*starts)}", "inputs before control begins, at rest"),
        note(f"dwell = {numbers(dwell)}", "[s] of every setpoint"),
        note("mismatch = 1.0", "share of what [plant] allows"),
        note("residuals = [1.0, 1.0]", "share of the model's residuals that is added to outputs"),
        *(
            note(f"{key(name)} = {numbers(np.percentile(column, (5, 95)))}", "as recorded")
            for name, column in zip(measured, fed.T, strict=True)
        ),
    ]
    at = [round(share * long) * Ts for share in (0.0, 0.1, 0.4, 0.7)]
    down, rest, up = _operating_points(y)
    rows = [[t, *level] for t, level in zip(at, (rest, up, down, rest), strict=True)]
    schedule = f"[{', '.join(numbers(row) for row in rows)}]"
    for number, (name, mismatch) in enumerate((("tracking", 0.0), ("another plant", 1.0))):
        lines += [
            "",
            "[[scenario]]",
            f'name = "{name}"',
            f"duration = {rounded(long * Ts)}",
            note(f"setpoint = {schedule}", "[s, unit of each output]"),
            "residuals = [[0.0, 1.0]]",
            *(
                f"{key(name)} = [[0.0, {rounded(float(np.median(column)))}]]"
                for name, column in zip(measured, fed.T, strict=True)
            ),
            *([f"mismatch = {mismatch}", f"seed = {number}"] if mismatch else []),
        ]
    return lines


def _operating_points(y: Array) -> list[Array]:
    """Where the outputs (N, ny) were together when the first was at its quartiles, so that the
    inputs can hold them there; three of (ny,)."""
    first, points = y[:, 0], list[Array]()
    for level in np.nanpercentile(first, (25, 50, 75)):
        near = np.argsort(np.abs(first - level))[: max(3, len(first) // 20)]  # NaN stand last
        points.append(np.array([level, *np.nanmedian(y[near, 1:], axis=0)]))
    return points


def _pairs(low: Sequence[float], high: Sequence[float]) -> str:
    pairs = [numbers(pair) for pair in zip(low, high, strict=True)]
    return f"[{', '.join(pairs)}]"
