"""`lstm-mpc VERB DIRECTORY`: one verb per noun, from the experiment to C code."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_mpc import __version__, parallel
from lstm_mpc.choices import CORES, ENGINES, TARGETS
from lstm_mpc.errors import InputError, LstmMpcError, Refused

if TYPE_CHECKING:  # the parser is quick without them
    from lstm_mpc.control.loop import Sample, Scenario
    from lstm_mpc.system import System

_VERBS = {
    "record": "run the experiment on the simulated plant of the design",
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
}
_EXAMPLES = {
    "train": "lstm-mpc train some/design          lstm-mpc train some/design --from foreign/model.json",
    "certify": "lstm-mpc certify models/ph          lstm-mpc certify some/model.json --condition iss",
    "control": "lstm-mpc control models/ph          lstm-mpc control models/ph --engine c --live --log loop.csv",
    "verify-loop": "lstm-mpc verify-loop models/ph          lstm-mpc verify-loop models/ph --replay 17",
    "export": "lstm-mpc export models/ph          lstm-mpc export models/ph --target fmu",
    "pil": "lstm-mpc pil models/ph          lstm-mpc pil models/ph --core cortex-m7 --double",
    "import": "lstm-mpc import net.onnx my_design",
    "run": "lstm-mpc run models/ph --out runs/ph",
}


class Console:
    """Progress on stderr: one line that rewrites itself on a terminal, a line every few seconds elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._quiet, self._live = quiet, sys.stderr.isatty()
        self._label, self._began, self._last = "", 0.0, 0.0

    def progress(self, label: str, share: float, detail: str) -> None:
        now = time.monotonic()
        if label != self._label:
            self._label, self._began, self._last = label, now, now - 10
        if self._quiet or now - self._last < (0.1 if self._live else 5.0):
            return
        self._last = now
        bar = "#" * round(20 * share)
        line = f"{label:<8}[{bar:<20}] {share:4.0%} {now - self._began:5.0f} s  {detail}"
        print(f"\r\x1b[K{line[:118]}" if self._live else line, end="" if self._live else "\n", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._live and not self._quiet:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class Live:
    """The running loop in a window or, where there is no display, as lines on stderr; `speed` times faster than real, None: at once."""

    def __init__(self, system: System, speed: float | None) -> None:
        from lstm_mpc import report

        self._system, self._speed, self._window = system, speed, report.window(system)
        if self._window is None:
            print("no display for a window: the loop runs down here, a line a sample", file=sys.stderr)

    def __call__(self, scenario: Scenario, sample: Sample) -> None:
        from lstm_mpc import live

        if sample.k == 0:
            self._began = time.monotonic()
        if self._speed:
            early = self._began + sample.t / self._speed - time.monotonic()
            self._window.wait(early) if self._window else time.sleep(max(0.0, early))
        if self._window:
            self._window.show(scenario, sample)
            return
        lines = [live.heading(self._system, scenario)] if sample.k == 0 else []
        print(*lines, live.line(self._system, scenario, sample), sep="\n", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lstm-mpc",
        description="Identify, certify, verify, release, control and export stable LSTM models.",
        epilog="Exit codes: 0 done, 2 bad input, 3 refused by the gate, 1 anything else.",
    )
    parser.add_argument("--version", action="version", version=f"lstm-mpc {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, text in _VERBS.items():
        example = _EXAMPLES.get(name, f"lstm-mpc {name} models/ph")
        verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"example: {example}")
        what = "design directory with a design.toml" + (", or a model file" if name == "certify" else "")
        if name == "import":
            verb.add_argument("file", type=Path, help="network file: .onnx, or weights as .npz or .safetensors")
        verb.add_argument("directory", type=Path, help=what)
        verb.add_argument("--json", action="store_true", help="print the result as one JSON object")
        verb.add_argument("--quiet", action="store_true", help="no progress")
        verb.add_argument("--force", action="store_true", help="replace earlier artefacts of this verb")
        if name in ("train", "verify", "verify-loop", "run"):
            verb.add_argument("--workers", type=_positive, default=parallel.cores(), help="processes (default: all cores, %(default)s)")
        if name == "train":
            verb.add_argument("--from", dest="origin", type=Path, metavar="MODEL", help="model to begin from instead of random weights")
        if name == "certify":
            verb.add_argument("--condition", action="append", help="condition to check (default: the design's policy, or iss)")
        if name == "tune-observer":
            verb.add_argument("--disturbance", choices=("input", "output"), default="input", help="where it acts (default: %(default)s)")
        if name == "export":
            verb.add_argument(
                "--target", choices=TARGETS, default="controller", help="what to make (default: %(default)s; c: the model alone)"
            )
        if name == "verify-loop":
            verb.add_argument("--cluster", metavar="ADDRESS", help="scheduler of a Dask cluster that does the work (tcp://host:port)")
            verb.add_argument("--scenarios", type=_positive, metavar="N", help="so many only, to try it: no evidence if fewer than needed")
            verb.add_argument("--replay", type=_index, metavar="INDEX", help="show one scenario with a figure instead")
        if name == "control":
            verb.add_argument("--engine", choices=ENGINES, default="dompc", help="what solves (default: %(default)s)")
            verb.add_argument("--live", action="store_true", help="show the running loop, in a window or, without a display, as text")
            verb.add_argument(
                "--speed", type=_speed, metavar="FACTOR", help="with --live: times faster than real (default: as fast as it goes)"
            )
            verb.add_argument("--log", type=Path, metavar="FILE", help="one row a sample for a historian, .csv or .parquet")
            verb.add_argument(
                "--log-start", metavar="TIME", help="time of its first row, ISO 8601, UTC unless it has an offset (default: now)"
            )
        if name == "pil":
            verb.add_argument("--core", action="append", choices=CORES, help="core to emulate (default: all)")
            verb.add_argument("--double", action="store_true", help="double precision")
        if name == "run":
            verb.add_argument("--out", type=Path, help="folder for the artefacts (default: runs/<name of the directory>)")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number of at least 1, got {text!r}")
    return int(text)


def _index(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"needs the number of a scenario, got {text!r}")
    return int(text)


def _speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < inf:
        raise argparse.ArgumentTypeError(f"needs a positive number, got {text!r}")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    choice = _parser().parse_args(arguments)
    console = Console(choice.quiet or choice.json or getattr(choice, "live", False))
    try:
        content = _run(choice, console) if choice.verb == "run" else _single(choice, console)
    except LstmMpcError as error:
        console.clear()
        _complain(choice, error)
        return error.exit_code
    except KeyboardInterrupt:
        console.clear()
        print("interrupted; artefacts written so far are whole", file=sys.stderr)
        return 1
    if choice.json:
        print(json.dumps(content, ensure_ascii=False, allow_nan=False))
    return 0


def _complain(choice: argparse.Namespace, error: LstmMpcError) -> None:
    if choice.json:
        reasons = {"reasons": list(error.reasons)} if isinstance(error, Refused) else {}
        print(json.dumps({"error": str(error), **reasons}, ensure_ascii=False))
    if isinstance(error, Refused):
        print("refused by the gate:", *(f"  - {why}" for why in error.reasons), sep="\n", file=sys.stderr)
    else:
        print(f"error: {error}", file=sys.stderr)


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
    elif choice.verb == "control":
        result = _control(choice, options)
    elif choice.verb == "pil":
        result = deploy.pil_verb(design.load_design(choice.directory), options, cores=choice.core or CORES, double=choice.double)
    else:
        result = getattr(verbs, f"{choice.verb}_verb")(design.load_design(choice.directory), options)
    console.clear()
    if not choice.json:
        print(*result.lines, sep="\n")
    return dict(result.content)


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
            print(f"== {verb} ({time.monotonic() - began:.1f} s)", *result.lines, sep="\n", flush=True)
    return content


if __name__ == "__main__":
    raise SystemExit(main())
