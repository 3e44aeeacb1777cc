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

from lstm_mpc import __version__, parallel
from lstm_mpc.arguments import Parser, cells, index, positive, speed
from lstm_mpc.choices import CONDITIONS, CORES, ENGINES, RESAMPLING, SHELLS, TARGETS
from lstm_mpc.console import Console, Live, fail, show, show_json
from lstm_mpc.errors import InputError, LstmMpcError

_VERBS = {
    "new": "a first design from recorded data: reads logs as historians write them, looks at them, writes a commented design.toml",
    "record": "run the experiment on the simulated plant of the design",
    "order": "how many cells a model needs: validated FIT over seeds against size",
    "train": "identify an LSTM whose stability conditions are constraints",
    "import": "take over a network that PyTorch, Keras or an ONNX exporter trained (.onnx, .npz, .safetensors) as the design's model.json",
    "certify": "prove the stability conditions on the saved numbers of a model (any model.json)",
    "verify": "scenario verification: how far does the output go?",
    "reach": "interval tubes: the outputs that no input within the limits can leave, proved",
    "release": "pass the gate, or be refused with every reason",
    "tune-observer": "noise and drift of the Kalman filter from the validation data, as a table to paste into the design",
    "control": "closed loops of the released model under do-mpc, the fast SQP or the exported C",
    "verify-loop": "scenario verification of the closed loop: the exported C on plants that differ from the model",
    "export": "the released model or its controller as C, ONNX, FMU, Simulink S-function or Arduino library",
    "pil": "processor in the loop: the exported controller on emulated Cortex-M cores, compared with this computer to the bit",
    "run": "everything above, in order, into a folder of its own",
    "report": "the design report: one self-contained HTML page of all that lies in the directory, and the same as PDF",
    "compare": "two designs side by side: numbers here, numbers and figures as an HTML page",
    "completion": "a script that completes verbs, options and files in your shell: source <(lstm-mpc completion bash)",
}
_EXAMPLES = {
    "new": "lstm-mpc new my_design --data log.csv --input q3:mL/s:12.5:17 --output pH",
    "order": "lstm-mpc order my_design          lstm-mpc order my_design --cells 3 --cells 5 --cells 4,4",
    "tune-observer": "lstm-mpc tune-observer models/ph          lstm-mpc tune-observer models/ph --disturbance output",
    "train": "lstm-mpc train some/design          lstm-mpc train some/design --from foreign/model.json",
    "certify": "lstm-mpc certify models/ph          lstm-mpc certify some/model.json --condition iss",
    "control": "lstm-mpc control models/ph          lstm-mpc control models/ph --engine c --live --log loop.csv",
    "verify-loop": "lstm-mpc verify-loop models/ph          lstm-mpc verify-loop models/ph --replay 17",
    "export": "lstm-mpc export models/ph          lstm-mpc export models/ph --target fmu",
    "pil": "lstm-mpc pil models/ph          lstm-mpc pil models/ph --core cortex-m7 --double",
    "import": "lstm-mpc import net.onnx my_design",
    "run": "lstm-mpc run models/ph --out runs/ph",
    "completion": "lstm-mpc completion bash          lstm-mpc completion fish",
    "report": "lstm-mpc report runs/ph --pdf          lstm-mpc report runs/ph --out for_the_customer.html",
    "compare": "lstm-mpc compare runs/ph runs/ph_paper",
}


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="lstm-mpc",
        description="Identify, certify, verify, release, control and export stable LSTM models.",
        epilog="Exit codes: 0 done, 2 bad input, 3 refused by the gate, 130 interrupted, 1 anything else.",
    )
    parser.add_argument("--version", action="version", version=f"lstm-mpc {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, text in _VERBS.items():
        example = _EXAMPLES.get(name, f"lstm-mpc {name} models/ph")
        verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"example: {example}")
        if name == "completion":
            verb.add_argument("shell", choices=SHELLS, help="the shell")
            continue
        what = "design directory with a design.toml" + (", or a model file" if name == "certify" else "")
        if name == "import":
            verb.add_argument("file", type=Path, help="network file: .onnx, or weights as .npz or .safetensors")
        verb.add_argument("directory", type=Path, help=what)
        if name == "compare":
            verb.add_argument("other", type=Path, help="design directory to compare it with")
        verb.add_argument("--json", action="store_true", help="print the result as one JSON object")
        verb.add_argument("--quiet", action="store_true", help="no progress")
        verb.add_argument("--force", action="store_true", help="replace earlier artefacts of this verb")
        if name == "new":
            _ask_for_data(verb)
        if name == "order":
            verb.add_argument(
                "--cells", type=cells, action="append", metavar="N[,N]", help="cells per layer to try (default: 2, 3, 5 and 8)"
            )
            verb.add_argument("--starts", type=positive, default=3, help="starts of each (default: %(default)s)")
        if name in ("order", "train", "verify", "verify-loop", "run"):
            verb.add_argument("--workers", type=positive, default=parallel.cores(), help="processes (default: all cores, %(default)s)")
        if name == "train":
            verb.add_argument("--from", dest="origin", type=Path, metavar="MODEL", help="model to begin from instead of random weights")
        if name == "certify":
            what = f"condition to check: {', '.join(CONDITIONS)} (default: the design's policy, or iss)"
            verb.add_argument("--condition", action="append", choices=CONDITIONS, metavar="CONDITION", help=what)
        if name == "tune-observer":
            verb.add_argument("--disturbance", choices=("input", "output"), default="input", help="where it acts (default: %(default)s)")
        if name == "export":
            verb.add_argument(
                "--target", choices=TARGETS, default="controller", help="what to make (default: %(default)s; c: the model alone)"
            )
        if name == "verify-loop":
            verb.add_argument("--cluster", metavar="ADDRESS", help="scheduler of a Dask cluster that does the work (tcp://host:port)")
            verb.add_argument("--scenarios", type=positive, metavar="N", help="so many only, to try it: no evidence if fewer than needed")
            verb.add_argument("--replay", type=index, metavar="INDEX", help="show one scenario with a figure instead")
        if name == "control":
            verb.add_argument("--engine", choices=ENGINES, default="dompc", help="what solves (default: %(default)s)")
            verb.add_argument("--live", action="store_true", help="show the running loop, in a window or, without a display, as text")
            verb.add_argument(
                "--speed", type=speed, metavar="FACTOR", help="with --live: times faster than real (default: as fast as it goes)"
            )
            verb.add_argument("--log", type=Path, metavar="FILE", help="one row a sample for a historian, .csv or .parquet")
            verb.add_argument(
                "--log-start", metavar="TIME", help="time of its first row, ISO 8601, UTC unless it has an offset (default: now)"
            )
        if name == "pil":
            verb.add_argument("--core", action="append", choices=CORES, help="core to emulate (default: all)")
            verb.add_argument("--double", action="store_true", help="double precision")
        if name in ("report", "compare"):
            verb.add_argument("--out", type=Path, metavar="FILE", help="HTML file to write (default: in the first directory)")
        if name == "report":
            verb.add_argument("--pdf", action="store_true", help="print it as PDF too, by Chromium or Chrome without a window")
        if name == "run":
            verb.add_argument("--out", type=Path, help="folder for the artefacts (default: runs/<name of the directory>)")
    return parser


def _ask_for_data(verb: argparse.ArgumentParser) -> None:
    """The options of `new`."""
    signal = "NAME[=COLUMN][:UNIT[:LOW:HIGH]]"
    verb.add_argument(
        "--data", type=Path, action="append", required=True, metavar="FILE", help="log in CSV; give it again for more records"
    )
    verb.add_argument("--validation-data", type=Path, action="append", default=[], metavar="FILE", help="log kept for validation")
    verb.add_argument("--input", action="append", default=[], metavar=signal, help="manipulated signal and what its actuator can do")
    verb.add_argument("--output", action="append", default=[], metavar=signal, help="measured signal (asked for on a terminal if left out)")
    verb.add_argument("--time", default="", metavar="COLUMN", help="column of time stamps (default: found by its name or its dates)")
    verb.add_argument("--time-format", default="", metavar="FORMAT", help="seconds, excel or a pattern of strptime (default: told apart)")
    verb.add_argument("--Ts", type=speed, default=0.0, metavar="SECONDS", help="sampling time [s] (default: that of the log)")
    verb.add_argument("--resample", choices=RESAMPLING, default="auto", help="how (default: %(default)s)")
    verb.add_argument("--despike", type=speed, default=0.0, metavar="SIGMAS", help="outputs that far off their running median do not count")
    verb.add_argument("--validation", type=speed, default=0.0, metavar="SHARE", help="last share of each log (default: by their size)")
    verb.add_argument("--name", default="", help="name of the design (default: that of the directory)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ρ shows a question mark
    try:
        return _main(_choice(list(sys.argv[1:] if arguments is None else arguments)))
    except BrokenPipeError:  # nobody listens any more (`| head`): end as silently as others do
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13


def _choice(words: list[str]) -> argparse.Namespace:
    """What the user asked for, or SystemExit with code 2 and a sentence."""
    parser = _parser()
    try:
        if not words:
            raise InputError(f"which verb? {', '.join(_VERBS)}; `lstm-mpc --help` says what each does")
        if not words[0].startswith("-") and words[0] not in _VERBS:
            near = get_close_matches(words[0], _VERBS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(_VERBS)}"
            raise InputError(f"unknown verb {words[0]!r}; {hint}")
        return parser.parse_args(words)
    except InputError as error:
        raise SystemExit(fail("--json" in words, error)) from None


def _main(choice: argparse.Namespace) -> int:
    if choice.verb == "completion":
        from lstm_mpc import completion

        show([completion.script(_parser(), choice.shell)])
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
    from lstm_mpc.artefacts import Options

    return Options(console.progress, choice.force, getattr(choice, "workers", parallel.cores()))


def _single(choice: argparse.Namespace, console: Console) -> dict[str, Any]:
    from lstm_mpc import artefacts, deploy, design, verbs

    options = _options(choice, console)
    if choice.verb == "certify" and choice.directory.suffix == ".json":
        result = verbs.certify_verb(choice.directory, tuple(choice.condition or ("iss",)), options)
    elif choice.verb == "certify":
        plan = design.load_design(choice.directory)
        result = verbs.certify_verb(plan.file(artefacts.MODEL), tuple(choice.condition or verbs.conditions_of(plan)), options)
    elif choice.verb == "train":
        result = verbs.train_verb(design.load_design(choice.directory), options, choice.origin)
    elif choice.verb == "import":
        result = verbs.import_verb(choice.file, design.load_design(choice.directory), options)
    elif choice.verb == "verify-loop":
        plan = design.load_design(choice.directory)
        if choice.replay is None:
            result = deploy.verify_loop_verb(plan, options, cluster=choice.cluster, scenarios=choice.scenarios)
        else:
            result = deploy.replay_verb(plan, options, choice.replay)
    elif choice.verb == "export":
        result = deploy.export_verb(design.load_design(choice.directory), options, target=choice.target)
    elif choice.verb == "tune-observer":
        result = deploy.tune_observer_verb(design.load_design(choice.directory), options, disturbance=choice.disturbance)
    elif choice.verb == "new":
        result = _new(choice, options)
    elif choice.verb == "order":
        from lstm_mpc import own

        result = own.order_verb(design.load_design(choice.directory), options, cells=choice.cells or own.CELLS, starts=choice.starts)
    elif choice.verb == "control":
        result = _control(choice, options)
    elif choice.verb in ("report", "compare"):
        from lstm_mpc.report import write

        if choice.verb == "report":
            result = write.report_verb(choice.directory, options, out=choice.out, pdf=choice.pdf)
        else:
            result = write.compare_verb(choice.directory, choice.other, options, out=choice.out)
    elif choice.verb == "pil":
        result = deploy.pil_verb(design.load_design(choice.directory), options, cores=choice.core or CORES, double=choice.double)
    else:
        result = getattr(verbs, f"{choice.verb}_verb")(design.load_design(choice.directory), options)
    console.clear()
    if not choice.json:
        show(result.lines)
    return dict(result.content)


def _new(choice: argparse.Namespace, options: Any) -> Any:
    from lstm_mpc.new import ask_signals, wanted
    from lstm_mpc.own import new_verb
    from lstm_mpc.preparing import Log

    inputs, outputs = [wanted(text) for text in choice.input], [wanted(text) for text in choice.output]
    if not (inputs and outputs) and sys.stdin.isatty() and not (choice.json or choice.quiet):
        inputs, outputs = ask_signals(choice.data[0], input)
    if not (inputs and outputs):
        raise InputError("new: which columns are inputs, which outputs? Give --input NAME:UNIT:LOW:HIGH and --output NAME:UNIT")
    log = Log(
        validation_files=tuple(file.name for file in choice.validation_data),
        time=choice.time,
        time_format=choice.time_format,
        Ts=choice.Ts,
        resample=choice.resample,
        despike=choice.despike,
        validation=choice.validation,
    )
    return new_verb(choice.directory, [*choice.data, *choice.validation_data], inputs, outputs, options, log=log, name=choice.name)


def _control(choice: argparse.Namespace, options: Any) -> Any:
    from lstm_mpc import deploy, design
    from lstm_mpc.log import Log, start_of_log

    if choice.speed and not choice.live:
        raise InputError("--speed needs --live: without a view there is nothing to slow down for")
    if choice.log_start and not choice.log:
        raise InputError("--log-start needs --log FILE")
    start = start_of_log(choice.log_start) if choice.log_start else datetime.now(UTC).replace(microsecond=0)
    log, plan = Log(choice.log, start) if choice.log else None, design.load_design(choice.directory)
    extra = {"watch": Live(plan.system, choice.speed)} if choice.live and plan.system else {}
    return deploy.control_verb(plan, options, engine=choice.engine, log=log, **extra)


def _run(choice: argparse.Namespace, console: Console) -> dict[str, Any]:
    from lstm_mpc import verbs

    out = choice.out or Path("runs") / choice.directory.resolve().name
    if out.resolve() == choice.directory.resolve():
        raise InputError(f"{out}: --out must be another folder than the design")
    options = _options(choice, console)
    verbs.prepare(choice.directory, out, options)
    content: dict[str, Any] = {}
    for verb, work in verbs.chain(out):
        began = time.monotonic()
        result = work(options)
        console.clear()
        content[verb] = result.content
        if not choice.json:
            show([f"== {verb} ({time.monotonic() - began:.1f} s)", *result.lines])
    return content


if __name__ == "__main__":
    raise SystemExit(main())
