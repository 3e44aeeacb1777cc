"""A first design for data that were recorded: `[log]` and everything after it as a commented
design.toml that runs as it is.

What can be read off the data is; what only a human knows (limits, the safe set, the least FIT, the
weights of a controller) is filled in from the data and marked CHOOSE."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite

import numpy as np

from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.inspection import Inspection
from lstm_mpc.data.log_options import LogOptions
from lstm_mpc.plants.system import Signal

_SHORT = 2000  # training samples below which there is time for more starts
_SELDOM = 50  # moves of an input below which the weights are held tight
_THIN = 20_000  # training samples above which a design trains through windows


def draft(
    name: str,
    log: LogOptions,
    training: Dataset,
    validation: Dataset,
    found: Inspection,
    guessed: Sequence[str],
) -> str:
    """The text of a design.toml for these data; `guessed` are the inputs whose limits come from the
    data."""
    columns = {c.signal.name: c for c in found.columns}
    slow = max(2, found.memory)
    lines = [
        f"# {name}: drafted from the data by `lstm-mpc new`. Read every line marked CHOOSE before"
        " you trust what comes out."
    ]
    lines += [
        "",
        f"name = {_text(name)}",
        "",
        _note("[log]", "the raw data as recorded, and how records are made of them"),
    ]
    lines += _log_lines(log, training, validation)
    lines += _signal_lines(training.inputs, training.outputs, guessed)
    if training.samples > _THIN:
        lines += [
            "",
            "[data]",
            _note(
                f"samples = {_THIN}", "trained on at most; windows in which the inputs move most"
            ),
            "window = 1000",
        ]
    window = min(50, min(len(r.u) for r in validation.records) // 4)
    moves = min(columns[s.name].moves for s in training.inputs)
    lines += _training_lines(training.samples, moves, found.input_delays, window)
    lines += [
        "",
        _note(
            "[safe_set]",
            "CHOOSE: outputs must never leave it; here half the measured span beyond it on either"
            " side",
        ),
    ]
    spans = {s.name: columns[s.name].high - columns[s.name].low for s in training.outputs}
    for s in training.outputs:
        low = max(s.low, columns[s.name].low - 0.5 * spans[s.name])
        high = min(s.high, columns[s.name].high + 0.5 * spans[s.name])
        lines.append(_note(f"{_key(s.name)} = [{_round(low)}, {_round(high)}]", f"[{s.unit}]"))
    lines += _gate_lines(slow, training.Ts)
    moved = [s.high - s.low for s in training.inputs if not s.measured]
    lines += _control_lines(slow, moved, list(spans.values()))
    return "\n".join(lines)


def _note(value: str, comment: str) -> str:
    """A line with its comment, in one column with the others."""
    return f"{value + ' ':<26}# {comment}"


def _signal_lines(
    inputs: Sequence[Signal], outputs: Sequence[Signal], guessed: Sequence[str]
) -> list[str]:
    lines = []
    for s in inputs:
        can = "what the signal can be" if s.measured else "what the actuator can do"
        what = f"CHOOSE: taken from the data; give {can}" if s.name in guessed else can
        lines += ["", "[[input]]", f"name = {_text(s.name)}", f"unit = {_text(s.unit)}"]
        if s.measured:
            lines.append(_note('kind = "measured"', "a disturbance that is never moved"))
        lines += [_note(f"low = {_number(s.low)}", what), f"high = {_number(s.high)}"]
    for s in outputs:
        lines += ["", "[[output]]", f"name = {_text(s.name)}", f"unit = {_text(s.unit)}"]
        lines += (
            [
                _note(f"low = {_number(s.low)}", "what the sensor can measure"),
                f"high = {_number(s.high)}",
            ]
            if isfinite(s.low)
            else []
        )
    return lines


def _training_lines(samples: int, moves: int, delays: Sequence[int], window: int) -> list[str]:
    """[train] and [search]. An input that seldom moved tells little, and free weights would learn
    it by heart."""
    if moves < _SELDOM:
        weights = [_note("decay = 1e-2", "pull on the weights, hard, as an input moved seldom")]
    else:
        weights = [
            _note('start = "linear"', "from a linear model of the data"),
            _note("weight_bound = 10.0", "bound of the gates' weights"),
            _note(
                "output_box = 5.0", "bound of C; less makes narrower tubes and often a worse fit"
            ),
            _note("decay = 1e-6", "pull on the weights"),
        ]
    late = (
        [
            _note(
                f"delays = {list(delays)}",
                "[samples] dead time of each input, by cross-correlation",
            )
        ]
        if any(delays)
        else []
    )
    return [
        "",
        "[train]",
        _note("cells = [5]", "cells per layer; `lstm-mpc order` compares"),
        _note('conditions = ["iss", "delta_iss"]', "hard constraints of the training program"),
        *late,
        *weights,
        "output_decay = 1e-6",
        _note(f"washout = {min(20, window)}", "[samples] of each record left out of the error"),
        "",
        "[search]",
        f"starts = {8 if samples < _SHORT else 4}",
        _note(f"transient = {window}", "[samples] of validation records left out of the fit"),
        _note(f"window = {window}", "[samples] from which their start is estimated"),
        _note(
            "max_fit_loss = 5.0",
            "[points of FIT] delta_iss may cost; beyond, the model is trained under iss alone",
        ),
    ]


def _gate_lines(slow: int, Ts: float) -> list[str]:
    """[verify] and [release]; scenarios long enough for outputs that remember `slow` samples."""
    dwell = f"[{_round(max(2, slow // 4) * Ts)}, {_round(3 * slow * Ts)}]"
    return [
        "",
        "[verify]",
        _note("radii = [1.0]", "share of the input limits"),
        _note('rule = "exact"', "N by the exact binomial tail"),
        'shape = "intervals"',
        "epsilon = 1e-2",
        "beta = 1e-6",
        f"steps = {int(np.clip(20 * slow, 500, 2000))}",
        _note(f"dwell = {dwell}", "[s] how long an input holds in a scenario"),
        f"settle = {min(100, 5 * slow)}",
        "",
        _note("[release]", "the gate"),
        _note(
            'conditions = ["iss"]',
            'add "delta_iss" if a Kalman filter or a proved tube is to be relied on',
        ),
        _note(
            'output_set = "either"',
            'a controller without a [plant] to try it on is exported on "tube", with delta_iss'
            " above",
        ),
        "epsilon = 1e-2",
        "beta = 1e-6",
        _note("min_fit = 80.0", "CHOOSE: [%] mean-removed, on validation data"),
    ]


def _control_lines(slow: int, span_u: Sequence[float], span_y: Sequence[float]) -> list[str]:
    """[control] and [solver]."""
    moves = ", ".join(_round(0.2 * v) for v in span_u)
    return [
        "",
        _note(
            "[control]",
            "CHOOSE: weights as one unit of the measured span against one of the input range",
        ),
        _note(f"horizon = {int(np.clip(round(slow / 2), 10, 20))}", "[samples]"),
        f"output_weight = [{', '.join(_round(1 / v**2) for v in span_y)}]",
        f"move_penalty = [{', '.join(_round(0.1 / v**2) for v in span_u)}]",
        _note(f"max_move = [{moves}]", "[unit per sample]"),
        "",
        "[solver]",
        _note("sqp_iterations = 1", "real-time iteration"),
        "qp_iterations = 20",
        "line_search_steps = 1",
        "",
    ]


def _log_lines(log: LogOptions, training: Dataset, validation: Dataset) -> list[str]:
    lines = [f"files = {_list(log.files)}"]
    lines += [f"validation_files = {_list(log.validation_files)}"] if log.validation_files else []
    if isinstance(log.time, tuple):
        lines += [_note(f"time = {_list(log.time)}", "date and time of day")] if log.time else []
    elif log.time:
        lines += [f"time = {_text(log.time)}"]
    lines += [f"time_format = {_text(log.time_format)}"] if log.time_format else []
    lines += [f"header_row = {log.header_row}"] if log.header_row else []
    lines += [f"decimal = {_text(log.decimal)}"] if log.decimal != "auto" else []
    if log.missing:
        numbers = ", ".join(map(_number, log.missing))
        lines += [_note(f"missing = [{numbers}]", 'what stands for "not measured"')]
    lines += [f"where = {_text(log.where)}"] if log.where else []
    periods = ", ".join(_list(period) for period in log.exclude)
    lines += [f"exclude = [{periods}]"] if periods else []
    lines += (
        [f"columns = {{{', '.join(f'{_key(k)} = {_text(v)}' for k, v in log.columns.items())}}}"]
        if log.columns
        else []
    )
    lines += [
        _note(f"Ts = {_number(training.Ts)}", "[s]"),
        f"resample = {_text(log.resample)}",
        _note(
            f"longest_gap = {log.longest_gap}",
            "[samples] an input may be unknown; longer ends a record",
        ),
    ]
    kept = log.validation or round(validation.samples / (training.samples + validation.samples), 2)
    part = f"validation_part = {_text(log.validation_part)}"
    lines += (
        []
        if log.validation_files
        else [
            _note(f"validation = {kept:g}", "share of every file"),
            _note(part, "which part of it"),
        ]
    )
    shortest = log.shortest(training.samples + validation.samples)
    lines += [_note(f"min_samples = {shortest}", "[samples] shorter records are left out")]
    lines += [f"despike = {log.despike:g}"] if log.despike else []
    return lines


def _text(value: str) -> str:
    """A TOML string; those of JSON are."""
    return json.dumps(value, ensure_ascii=False)


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(map(_text, values))}]"


def _key(name: str) -> str:
    return (
        name if name.isascii() and name.replace("_", "").replace("-", "").isalnum() else _text(name)
    )


def _number(value: float) -> str:
    return repr(float(value))


def _round(value: float) -> str:
    """A number that a human would write: four digits."""
    return repr(float(f"{value:.4g}"))
