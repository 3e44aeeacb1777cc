"""`lstm-mpc VERB DIRECTORY`: one verb per noun, from the experiment to C code."""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lstm_mpc.cli.arguments import VERBS, parser
from lstm_mpc.cli.console import Console, Live, fail, show, show_json
from lstm_mpc.errors import InputError, LstmMpcError
from lstm_mpc.io import parallel


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ρ shows a question mark
    try:
        with parallel.ctrl_c(parallel.interrupt):
            return _main(_choice(list(sys.argv[1:] if arguments is None else arguments)))
    except BrokenPipeError:  # nobody listens any more (`| head`): end as silently as others do
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13


def _choice(words: list[str]) -> argparse.Namespace:
    """What the user asked for, or SystemExit with code 2 and a sentence."""
    whole = parser()
    try:
        if not words:
            raise InputError(
                f"which verb? {', '.join(VERBS)}; `lstm-mpc --help` says what each does"
            )
        if not words[0].startswith("-") and words[0] not in VERBS:
            near = get_close_matches(words[0], VERBS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(VERBS)}"
            raise InputError(f"unknown verb {words[0]!r}; {hint}")
        return whole.parse_args(words)
    except InputError as error:
        raise SystemExit(fail("--json" in words, error)) from None


def _main(choice: argparse.Namespace) -> int:
    if choice.verb == "completion":
        from lstm_mpc.cli import completion

        show([completion.script(parser(), choice.shell)])
        return 0
    console = Console(choice.quiet or choice.json or getattr(choice, "live", False))
    try:
        content = _run(choice, console) if choice.verb == "run" else _single(choice, console)
    except BrokenPipeError:
        raise
    except (LstmMpcError, OSError, MemoryError, KeyboardInterrupt) as error:
        console.clear()
        return fail(choice.json, error)
    if choice.json:
        show_json(content)
    return 0


def _options(choice: argparse.Namespace, console: Console) -> Any:
    from lstm_mpc.project.artefacts import Options

    return Options(console.progress, choice.force, getattr(choice, "workers", parallel.cores()))


def _single(choice: argparse.Namespace, console: Console) -> dict[str, Any]:
    from lstm_mpc.project import artefacts, design, export_steps, loop_steps, steps

    options = _options(choice, console)
    if choice.verb == "certify" and choice.directory.suffix == ".json":
        result = steps.certify_verb(choice.directory, tuple(choice.condition or ("iss",)), options)
    elif choice.verb == "certify":
        plan = design.load_design(choice.directory)
        result = steps.certify_verb(
            plan.file(artefacts.MODEL),
            tuple(choice.condition or steps.conditions_of(plan)),
            options,
        )
    elif choice.verb == "train":
        result = steps.train_verb(design.load_design(choice.directory), options, choice.origin)
    elif choice.verb == "import":
        result = steps.import_verb(choice.file, design.load_design(choice.directory), options)
    elif choice.verb == "verify-loop":
        plan = design.load_design(choice.directory)
        if choice.replay is None:
            result = loop_steps.verify_loop_verb(
                plan, options, cluster=choice.cluster, scenarios=choice.scenarios
            )
        else:
            result = loop_steps.replay_verb(plan, options, choice.replay)
    elif choice.verb == "export":
        result = export_steps.export_verb(
            design.load_design(choice.directory), options, target=choice.target
        )
    elif choice.verb == "tune-observer":
        result = loop_steps.tune_observer_verb(
            design.load_design(choice.directory), options, disturbance=choice.disturbance
        )
    elif choice.verb == "new":
        result = _new(choice, options)
    elif choice.verb == "order":
        from lstm_mpc.project import draft_steps

        result = draft_steps.order_verb(
            design.load_design(choice.directory),
            options,
            cells=choice.cells or draft_steps.CELLS,
            starts=choice.starts,
        )
    elif choice.verb == "control":
        result = _control(choice, options)
    elif choice.verb in ("report", "compare"):
        from lstm_mpc.report import write

        if choice.verb == "report":
            result = write.report_verb(choice.directory, options, out=choice.out, pdf=choice.pdf)
        else:
            result = write.compare_verb(choice.directory, choice.other, options, out=choice.out)
    elif choice.verb == "pil":
        from lstm_mpc.export import pil

        result = export_steps.pil_verb(
            design.load_design(choice.directory),
            options,
            cores=choice.core or tuple(pil.CORES),
            double=choice.double,
        )
    else:
        result = getattr(steps, f"{choice.verb}_verb")(
            design.load_design(choice.directory), options
        )
    console.clear()
    if not choice.json:
        show(result.lines)
    return dict(result.content)


_OF_LOG = (  # options of `new` that are keys of [log]
    *("time_format", "header_row", "decimal", "where", "Ts", "resample", "despike", "longest_gap"),
    *("min_samples", "validation", "validation_part"),
)


def _new(choice: argparse.Namespace, options: Any) -> Any:
    from lstm_mpc.data.log_options import LogOptions
    from lstm_mpc.data.logs.table import open_log
    from lstm_mpc.project.draft_steps import new_verb
    from lstm_mpc.project.signal_requests import ask_signals, columns_in, wanted

    columns = columns_in(open_log(choice.data[0], header_row=choice.header_row))
    inputs, outputs = (
        [wanted(text, columns.names) for text in texts] for texts in (choice.input, choice.output)
    )
    if not (inputs and outputs) and sys.stdin.isatty() and not (choice.json or choice.quiet):
        inputs, outputs = ask_signals(columns, input)
    if not (inputs and outputs):
        shown = ", ".join(columns.names)
        raise InputError(
            "new: which columns are inputs, which outputs? Give --input NAME:UNIT:LOW:HIGH and"
            f" --output NAME:UNIT; the columns are {shown:.400}"
        )
    log = LogOptions(
        validation_files=tuple(file.name for file in choice.validation_data),
        time=tuple(choice.time),
        missing=None if choice.missing is None else tuple(v for v in choice.missing if v == v),
        exclude=tuple(map(tuple, choice.exclude)),
        **{name: getattr(choice, name) for name in _OF_LOG},
    )
    return new_verb(
        choice.directory,
        [*choice.data, *choice.validation_data],
        inputs,
        outputs,
        options,
        log=log,
        name=choice.name,
    )


def _control(choice: argparse.Namespace, options: Any) -> Any:
    from lstm_mpc.control.run_log import RunLog, start_of_log
    from lstm_mpc.project import design, loop_steps

    if choice.speed and not choice.live:
        raise InputError("--speed needs --live: without a view there is nothing to slow down for")
    if choice.log_start and not choice.log:
        raise InputError("--log-start needs --log FILE")
    start = (
        start_of_log(choice.log_start)
        if choice.log_start
        else datetime.now(UTC).replace(microsecond=0)
    )
    log, plan = (
        RunLog(choice.log, start) if choice.log else None,
        design.load_design(choice.directory),
    )
    extra = {"watch": Live(plan.system, choice.speed)} if choice.live and plan.system else {}
    return loop_steps.control_verb(plan, options, engine=choice.engine, log=log, **extra)


def _run(choice: argparse.Namespace, console: Console) -> dict[str, Any]:
    from lstm_mpc.project import steps

    out = choice.out or Path("runs") / choice.directory.resolve().name
    if out.resolve() == choice.directory.resolve():
        raise InputError(f"{out}: --out must be another folder than the design")
    options = _options(choice, console)
    steps.prepare(choice.directory, out, options)
    content: dict[str, Any] = {}
    for verb, work in steps.chain(out):
        began = time.monotonic()
        result = work(options)
        console.clear()
        content[verb] = result.content
        if not choice.json:
            show([f"== {verb} ({time.monotonic() - began:.1f} s)", *result.lines])
    return content
