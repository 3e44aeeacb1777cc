"""A first design for data that were recorded: `[log]` and everything after it as a commented
design.toml that runs as it is.

What can be read off the data is; what only a human knows (limits, the safe set, the least FIT, the
weights of a controller) is filled in from the data and marked CHOOSE."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np

from lstm_mpc.control.first_tuning import FirstTuning, first_tuning
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.log_options import LogOptions
from lstm_mpc.data.look.columns import Column
from lstm_mpc.data.look.inspection import Inspection
from lstm_mpc.identification.linear_model import LinearModel
from lstm_mpc.identification.starts import TrainingCandidate
from lstm_mpc.plants.roles import Roles
from lstm_mpc.plants.system import Array, Signal
from lstm_mpc.project.drafting.fit import AskedFit, first_samples
from lstm_mpc.project.drafting.lines import inline, key, note, rounded, text
from lstm_mpc.project.drafting.loop import control_lines, loop_lines, plant_lines

_SHORT = 2000  # training samples below which there is time to train every start to the end
_STARTS = 12  # two of each candidate
_BEYOND = "what `new` found: no model can describe it; train refuses while it stands here"
_THIN = 20_000  # training samples above which a design trains through windows


def draft(
    name: str,
    log: LogOptions,
    training: Dataset,
    validation: Dataset,
    found: Inspection,
    guessed: Sequence[str],
    linear: LinearModel,
    asked: AskedFit,
) -> str:
    """The text of a design.toml for these data; `guessed` are the inputs whose limits come from the
    data, `linear` is a linear model of them, `asked` what the gate asks of theirs."""
    columns = {c.signal.name: c for c in found.columns}
    slow = max(2, found.memory)
    lines = [
        f"# {name}: drafted from the data by `lstm-mpc new`. Read every line marked CHOOSE before"
        " you trust what comes out."
    ]
    lines += [
        "",
        f"name = {text(name)}",
        "",
        note("[log]", "the raw data as recorded, and how records are made of them"),
    ]
    lines += _log_lines(log, training, validation)
    lines += _signal_lines(training.inputs, training.outputs, guessed)
    data = [f"{kind} = {_list(names)}" for kind, names in found.beyond.items() if names]
    lines += ["", "[data]", note(data[0], _BEYOND), *data[1:]] if data else []
    if training.samples > _THIN:
        lines += [
            *([] if data else ["", "[data]"]),
            note(f"samples = {_THIN}", "trained on at most; windows in which the inputs move most"),
            "window = 1000",
        ]
    window = first_samples(validation)
    moved = [columns[s.name] for s in training.inputs]
    lines += _training_lines(training.samples, moved, found.input_delays, window)
    lines += [
        "",
        note(
            "[safe_set]",
            "CHOOSE: outputs must never leave it; here half the measured span beyond, or further"
            " where inputs at rest at their limits take them",
        ),
    ]
    outputs = [columns[s.name] for s in training.outputs]
    tuning = first_tuning(
        training,
        linear,
        noise=[c.noise for c in outputs],
        delays=found.input_delays,
        memory=slow,
    )
    drawn = _drawn(training, tuning)
    reached = _reachable(training, linear, drawn)
    for s, (low, high) in zip(training.outputs, reached, strict=True):
        ends = f"[{rounded(max(s.low, low))}, {rounded(min(s.high, high))}]"
        lines.append(note(f"{key(s.name)} = {ends}", f"[{s.unit}]"))
    lines += _gate_lines(slow, training.Ts, asked, _radius(training, tuning), drawn)
    lines += plant_lines()
    return "\n".join([*lines, *control_lines(tuning), *loop_lines(training, slow, tuning), ""])


def _drawn(training: Dataset, tuning: FirstTuning) -> Array | None:
    """(low, high) of every input (nu, 2) [unit] that scenarios are drawn in: where several are
    moved what the controller may use of them, as nobody recorded all their limits at once, and
    the limits of what is only measured; None: all within the radius."""
    roles = Roles.of(training.inputs)
    if len(roles.manipulated) < 2:
        return None
    ends = np.array([[s.low, s.high] for s in training.inputs])
    ends[roles.manipulated] = np.column_stack([tuning.u_low, tuning.u_high])
    return ends


def _reachable(training: Dataset, linear: LinearModel, drawn: Array | None) -> Array:
    """(low, high) of every output (ny, 2) [unit]: half its span beyond what was measured, times √nu
    as what nu independent inputs do at once adds up to √nu of what was seen of them, or, where that
    is further, a fourth of it beyond where the linear model comes to rest under inputs at the ends
    of what is `drawn` or their limits, but at most two spans."""
    u, y = (np.vstack([getattr(r, which) for r in training.records]) for which in ("u", "y"))
    low, high = np.nanmin(y, axis=0), np.nanmax(y, axis=0)
    span = high - low
    ends = np.array([[s.low, s.high] for s in training.inputs]) if drawn is None else drawn
    ways = [linear.gain * (end - u.mean(axis=0)) for end in ends.T]
    rest = np.nanmean(y, axis=0) + [sum_of(*ways).sum(axis=1) for sum_of in (np.fmin, np.fmax)]
    least = min(0.5 * np.sqrt(u.shape[1]), 2.0) * span
    lowest = np.clip(rest[0] - 0.25 * span, low - 2.0 * span, low - least)
    highest = np.clip(rest[1] + 0.25 * span, high + least, high + 2.0 * span)
    return np.column_stack([lowest, highest])


def _radius(dataset: Dataset, tuning: FirstTuning) -> float:
    """The share of the input limits, about their middles, that holds what the controller may
    use."""
    moved = [s for s in dataset.inputs if not s.measured]
    shares = [
        max(abs(2.0 * end - s.low - s.high) for end in ends) / (s.high - s.low)
        for s, *ends in zip(moved, tuning.u_low, tuning.u_high, strict=True)
    ]
    shares += [1.0 for s in dataset.inputs if s.measured]  # nobody holds it
    return float(min(1.0, np.ceil(1e4 * max(shares)) / 1e4))


def _signal_lines(
    inputs: Sequence[Signal], outputs: Sequence[Signal], guessed: Sequence[str]
) -> list[str]:
    lines = []
    for s in inputs:
        can = "what the signal can be" if s.measured else "what the actuator can do"
        what = f"CHOOSE: taken from the data; give {can}" if s.name in guessed else can
        lines += ["", "[[input]]", f"name = {text(s.name)}", f"unit = {text(s.unit)}"]
        if s.measured:
            lines.append(note('kind = "measured"', "a disturbance that is never moved"))
        lines += [note(f"low = {_number(s.low)}", what), f"high = {_number(s.high)}"]
    for s in outputs:
        lines += ["", "[[output]]", f"name = {text(s.name)}", f"unit = {text(s.unit)}"]
        lines += (
            [
                note(f"low = {_number(s.low)}", "what the sensor can measure"),
                f"high = {_number(s.high)}",
            ]
            if isfinite(s.low)
            else []
        )
    return lines


_CANDIDATES = (  # from a linear model of the data or from random weights, held more or less tightly
    TrainingCandidate(start="linear", decay=1e-6, weight_bound=10.0, output_box=5.0),
    TrainingCandidate(start="linear", decay=1e-3, weight_bound=10.0, output_box=5.0),
    TrainingCandidate(start="linear", decay=1e-2, weight_bound=10.0, output_box=5.0),
    TrainingCandidate(start="random", decay=1e-6, weight_bound=4.0, output_box=1.5),
    TrainingCandidate(start="random", decay=1e-3, weight_bound=10.0, output_box=5.0),
    TrainingCandidate(start="random", decay=1e-2, weight_bound=4.0, output_box=1.5),
)


_TWO_VALUED = 1e-3  # least pull where an input has two values: free weights may be anything between


def _training_lines(
    samples: int, inputs: Sequence[Column], delays: Sequence[int], window: int
) -> list[str]:
    """[train] and [search]: which start, weights and pull suit the data is not guessed but
    tried."""
    least = _TWO_VALUED if any(c.two_valued for c in inputs) else 0.0
    candidates = [c for c in _CANDIDATES if c.decay is not None and c.decay >= least]
    late = (
        [
            note(
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
        note("cells = [5]", "cells per layer; `lstm-mpc order` compares"),
        note('conditions = ["iss", "delta_iss"]', "hard constraints of the training program"),
        *late,
        "output_decay = 1e-6",
        note(f"washout = {min(20, window)}", "[samples] of each record left out of the error"),
        "",
        "[search]",
        *_count_lines(samples),
        note("candidates = [", "ways of training that are compared, each from several seeds"),
        *(f"  {inline(vars(candidate))}," for candidate in candidates),
        "]",
        note(f"transient = {window}", "[samples] of validation records left out of the fit"),
        note(f"window = {window}", "[samples] from which their start is estimated"),
        note(
            "max_fit_loss = 5.0",
            "[points of FIT] delta_iss may cost; beyond, the model is trained under iss alone",
        ),
    ]


def _count_lines(samples: int) -> list[str]:
    """How many starts there are."""
    if samples < _SHORT:
        return [f"starts = {_STARTS}"]
    return [
        note("starts = 4", "trained to the end"),
        note(f"screen = {_STARTS}", "short starts that they are chosen from"),
    ]


def _gate_lines(
    slow: int, Ts: float, asked: AskedFit, radius: float, drawn: Array | None
) -> list[str]:
    """[verify] and [release]; scenarios long enough for outputs that remember `slow` samples."""
    dwell = f"[{rounded(max(2, slow // 4) * Ts)}, {rounded(3 * slow * Ts)}]"
    return [
        "",
        "[verify]",
        note(f"radii = [{radius}]", "share of the input limits that is recorded and used"),
        *(
            []
            if drawn is None
            else [
                note(
                    f"inputs = {drawn.tolist()}",
                    "as u_low and u_high: several inputs where they were held together",
                )
            ]
        ),
        note('rule = "exact"', "N by the exact binomial tail"),
        'shape = "intervals"',
        "epsilon = 1e-2",
        "beta = 1e-6",
        f"steps = {int(np.clip(20 * slow, 500, 2000))}",
        note(f"dwell = {dwell}", "[s] how long an input holds in a scenario"),
        f"settle = {min(100, 5 * slow)}",
        note("start_box = 0.02", "starts around rest, less than the default as C may be larger"),
        "",
        note("[release]", "the gate"),
        note(
            'conditions = ["iss"]',
            'add "delta_iss" if a Kalman filter or a proved tube is to be relied on',
        ),
        note('output_set = "either"', "sampled, or proved for every input"),
        note('controller = "either"', "closed loops of the exported C, or a tube and delta_iss"),
        "epsilon = 1e-2",
        "beta = 1e-6",
        note(
            f"min_fit = {asked.least}",
            f"CHOOSE: [%] mean-removed, on validation data{': ' if asked.why else ''}{asked.why}",
        ),
    ]


def _log_lines(log: LogOptions, training: Dataset, validation: Dataset) -> list[str]:
    lines = [f"files = {_list(log.files)}"]
    lines += [f"validation_files = {_list(log.validation_files)}"] if log.validation_files else []
    if isinstance(log.time, tuple):
        lines += [note(f"time = {_list(log.time)}", "date and time of day")] if log.time else []
    elif log.time:
        lines += [f"time = {text(log.time)}"]
    lines += [f"time_format = {text(log.time_format)}"] if log.time_format else []
    lines += [f"header_row = {log.header_row}"] if log.header_row else []
    lines += [f"decimal = {text(log.decimal)}"] if log.decimal != "auto" else []
    if log.missing:
        numbers = ", ".join(map(_number, log.missing))
        lines += [note(f"missing = [{numbers}]", 'what stands for "not measured"')]
    lines += [f"where = {text(log.where)}"] if log.where else []
    periods = ", ".join(_list(period) for period in log.exclude)
    lines += [f"exclude = [{periods}]"] if periods else []
    lines += (
        [f"columns = {{{', '.join(f'{key(k)} = {text(v)}' for k, v in log.columns.items())}}}"]
        if log.columns
        else []
    )
    lines += [
        note(f"Ts = {_number(training.Ts)}", "[s]"),
        f"resample = {text(log.resample)}",
        note(
            f"longest_gap = {log.longest_gap}",
            "[samples] an input may be unknown; longer ends a record",
        ),
    ]
    part = f"validation_part = {text(log.validation_part)}"
    lines += (
        []
        if log.validation_files
        else [
            note(f"validation = {log.validation:g}", "share of every file"),
            note(part, "which part of it"),
        ]
    )
    shortest = log.shortest(training.samples + validation.samples)
    lines += [note(f"min_samples = {shortest}", "[samples] shorter records are left out")]
    lines += [f"despike = {log.despike:g}"] if log.despike else []
    return lines


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(map(text, values))}]"


def _number(value: float) -> str:
    return repr(float(value))
