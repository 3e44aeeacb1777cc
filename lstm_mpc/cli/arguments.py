"""The verbs of the command line and what each takes; how words become arguments, and what is said
when they do not."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from difflib import get_close_matches
from math import inf
from pathlib import Path
from typing import Any, NoReturn

from lstm_mpc.certificates.conditions import NAMES
from lstm_mpc.cli.completion import SHELLS
from lstm_mpc.data.log_options import PARTS
from lstm_mpc.data.logs.numbers import DECIMALS
from lstm_mpc.data.resampling import RESAMPLING
from lstm_mpc.errors import InputError
from lstm_mpc.export.pil import CORES
from lstm_mpc.io import parallel
from lstm_mpc.io.artefact_file import VERSION
from lstm_mpc.project.export_steps import TARGETS
from lstm_mpc.project.loop_steps import ENGINES

VERBS = {
    "new": (
        "a first design from recorded data: reads logs as historians write them, looks at them,"
        " writes a commented design.toml"
    ),
    "record": "run the experiment on the simulated plant of the design",
    "order": "how many cells a model needs: validated FIT over seeds against size",
    "train": "identify an LSTM whose stability conditions are constraints",
    "import": (
        "take over a network that PyTorch, Keras or an ONNX exporter trained (.onnx, .npz,"
        " .safetensors) as the design's model.json"
    ),
    "certify": "prove the stability conditions on the saved numbers of a model (any model.json)",
    "verify": "scenario verification: how far does the output go?",
    "reach": "interval tubes: the outputs that no input within the limits can leave, proved",
    "release": "pass the gate, or be refused with every reason",
    "tune-observer": (
        "noise and drift of the Kalman filter from the validation data, as a table to paste into"
        " the design"
    ),
    "control": "closed loops of the released model under do-mpc, the fast SQP or the exported C",
    "verify-loop": (
        "scenario verification of the closed loop: the exported C on plants that differ from the"
        " model"
    ),
    "export": (
        "the released model or its controller as C, ONNX, FMU, Simulink S-function or Arduino"
        " library"
    ),
    "pil": (
        "processor in the loop: the exported controller on emulated Cortex-M cores, compared with"
        " this computer to the bit"
    ),
    "run": "everything above, in order, into a folder of its own",
    "report": (
        "the design report: one self-contained HTML page of all that lies in the directory, and the"
        " same as PDF"
    ),
    "compare": "two designs side by side: numbers here, numbers and figures as an HTML page",
    "completion": (
        "a script that completes verbs, options and files in your shell: source <(lstm-mpc"
        " completion bash)"
    ),
}
EXAMPLES = {
    "new": "lstm-mpc new my_design --data log.csv --input q3:mL/s:12.5:17 --output pH",
    "order": (
        "lstm-mpc order my_design          lstm-mpc order my_design --cells 3 --cells 5 --cells 4,4"
    ),
    "tune-observer": (
        "lstm-mpc tune-observer models/ph          lstm-mpc tune-observer models/ph --disturbance"
        " output"
    ),
    "train": (
        "lstm-mpc train some/design          lstm-mpc train some/design --from foreign/model.json"
    ),
    "certify": (
        "lstm-mpc certify models/ph          lstm-mpc certify some/model.json --condition iss"
    ),
    "control": (
        "lstm-mpc control models/ph          lstm-mpc control models/ph --engine c --live --log"
        " loop.csv"
    ),
    "verify-loop": (
        "lstm-mpc verify-loop models/ph          lstm-mpc verify-loop models/ph --replay 17"
    ),
    "export": "lstm-mpc export models/ph          lstm-mpc export models/ph --target fmu",
    "pil": "lstm-mpc pil models/ph          lstm-mpc pil models/ph --core cortex-m7 --double",
    "import": "lstm-mpc import net.onnx my_design",
    "run": "lstm-mpc run models/ph --out runs/ph",
    "completion": "lstm-mpc completion bash          lstm-mpc completion fish",
    "report": (
        "lstm-mpc report runs/ph --pdf          lstm-mpc report runs/ph --out for_the_customer.html"
    ),
    "compare": "lstm-mpc compare runs/ph runs/ph_paper",
}


class Parser(argparse.ArgumentParser):
    """One that says what is wrong in a sentence, and knows what was meant."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = super().parse_known_args(args, namespace)
        for word in unknown:
            near = get_close_matches(word.split("=")[0], self._option_string_actions, 1)
            self.error(
                f"unknown argument {word!r}" + (f", did you mean {near[0]}?" if near else "")
            )
        return found, unknown

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; `{self.prog} --help` shows how")


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number of at least 1, got {text!r}")
    return int(text)


def cells(text: str) -> tuple[int, ...]:
    """Cells per layer, as 5 or 4,4."""
    parts = text.split(",")
    if not all(part.isdigit() and 0 < int(part) <= 1000 for part in parts):
        raise argparse.ArgumentTypeError(f"needs cells per layer as 5 or 4,4, got {text!r}")
    return tuple(int(part) for part in parts)


def index(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"needs the number of a scenario, got {text!r}")
    return int(text)


def speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < inf:
        raise argparse.ArgumentTypeError(f"needs a positive number, got {text!r}")
    return value


def missing(text: str) -> float:
    """A number that stands for "not measured"; none: no number does."""
    try:
        return float("nan") if text == "none" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"needs a number or none, got {text!r}") from None


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    whole = Parser(
        prog="lstm-mpc",
        description="Identify, certify, verify, release, control and export stable LSTM models.",
        epilog=(
            "Exit codes: 0 done, 2 bad input, 3 refused by the gate, 130 interrupted, 1 anything"
            " else."
        ),
    )
    whole.add_argument("--version", action="version", version=f"lstm-mpc {VERSION}")
    verbs = whole.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, text in VERBS.items():
        example = EXAMPLES.get(name, f"lstm-mpc {name} models/ph")
        verb = verbs.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=f"example: {example}",
        )
        if name == "completion":
            verb.add_argument("shell", choices=SHELLS, help="the shell")
            continue
        if name == "import":
            verb.add_argument(
                "file", type=Path, help="network file: .onnx, or weights as .npz or .safetensors"
            )
        what = "design directory with a design.toml" + (
            ", or a model file" if name == "certify" else ""
        )
        verb.add_argument("directory", type=Path, help=what)
        if name == "compare":
            verb.add_argument("other", type=Path, help="design directory to compare it with")
        verb.add_argument("--json", action="store_true", help="print the result as one JSON object")
        verb.add_argument("--quiet", action="store_true", help="no progress")
        verb.add_argument(
            "--force", action="store_true", help="replace earlier artefacts of this verb"
        )
        if name in ("order", "train", "verify", "verify-loop", "run"):
            verb.add_argument(
                "--workers",
                type=positive,
                default=parallel.cores(),
                help="processes (default: all cores, %(default)s)",
            )
        if name in _OPTIONS:
            _OPTIONS[name](verb)
    return whole


def _new(verb: argparse.ArgumentParser) -> None:
    signal = "NAME[=COLUMN][:UNIT[:LOW:HIGH]]"
    verb.add_argument(
        "--data",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="log: CSV, .csv.gz, .xlsx, .parquet or .mat; give it again for more records",
    )
    verb.add_argument(
        "--validation-data",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="log kept for validation",
    )
    verb.add_argument(
        "--input",
        action="append",
        default=[],
        metavar=signal,
        help="manipulated signal and what its actuator can do",
    )
    verb.add_argument(
        "--output",
        action="append",
        default=[],
        metavar=signal,
        help="measured signal (asked for on a terminal if left out)",
    )
    verb.add_argument(
        "--time",
        action="append",
        default=[],
        metavar="COLUMN",
        help="column of time stamps, twice for date and time of day; none (default: found)",
    )
    verb.add_argument(
        "--time-format",
        default="",
        metavar="FORMAT",
        help="seconds, milliseconds …, excel or a pattern of strptime (default: told apart)",
    )
    verb.add_argument(
        "--header-row",
        type=positive,
        default=0,
        metavar="ROW",
        help="row with the names of the columns (default: found)",
    )
    verb.add_argument(
        "--decimal",
        choices=DECIMALS,
        default="auto",
        help="mark of decimals (default: %(default)s)",
    )
    verb.add_argument(
        "--missing",
        type=missing,
        action="append",
        metavar="VALUE",
        help="number that stands for 'not measured' (default: the usual ones; none)",
    )
    verb.add_argument(
        "--where",
        default="",
        metavar="CONDITION",
        help="only rows count that satisfy it, such as \"MODE == 'AUTO'\"",
    )
    verb.add_argument(
        "--exclude",
        nargs=2,
        action="append",
        default=[],
        metavar=("FROM", "TO"),
        help="period that does not count, as stamps are written",
    )
    verb.add_argument(
        "--Ts",
        type=speed,
        default=0.0,
        metavar="SECONDS",
        help="sampling time [s] (default: that of the log)",
    )
    verb.add_argument(
        "--resample", choices=RESAMPLING, default="auto", help="how (default: %(default)s)"
    )
    verb.add_argument(
        "--longest-gap",
        type=index,
        default=5,
        metavar="SAMPLES",
        help="so long an input may be unknown, longer ends a record (default: %(default)s)",
    )
    verb.add_argument(
        "--min-samples",
        type=positive,
        default=0,
        metavar="SAMPLES",
        help="shorter records are left out (default: by the length of the log)",
    )
    verb.add_argument(
        "--despike",
        type=speed,
        default=0.0,
        metavar="SIGMAS",
        help="outputs that far off their running median do not count",
    )
    verb.add_argument(
        "--validation",
        type=speed,
        default=0.0,
        metavar="SHARE",
        help="share of each log (default: by their size)",
    )
    part = (
        "which part of each log that is (default: its end, unless that leaves what the rest shows)"
    )
    verb.add_argument("--validation-part", choices=PARTS, default="auto", help=part)
    verb.add_argument(
        "--name", default="", help="name of the design (default: that of the directory)"
    )


def _order(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--cells",
        type=cells,
        action="append",
        metavar="N[,N]",
        help="cells per layer to try (default: 2, 3, 5 and 8)",
    )
    verb.add_argument(
        "--starts", type=positive, default=3, help="starts of each (default: %(default)s)"
    )


def _train(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--from",
        dest="origin",
        type=Path,
        metavar="MODEL",
        help="model to begin from instead of random weights",
    )


def _certify(verb: argparse.ArgumentParser) -> None:
    what = f"condition to check: {', '.join(NAMES)} (default: the design's policy, or iss)"
    verb.add_argument("--condition", action="append", choices=NAMES, metavar="CONDITION", help=what)


def _tune_observer(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--disturbance",
        choices=("input", "output"),
        default="input",
        help="where it acts (default: %(default)s)",
    )


def _control(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--engine", choices=ENGINES, default="dompc", help="what solves (default: %(default)s)"
    )
    verb.add_argument(
        "--live",
        action="store_true",
        help="show the running loop, in a window or, without a display, as text",
    )
    verb.add_argument(
        "--speed",
        type=speed,
        metavar="FACTOR",
        help="with --live: times faster than real (default: as fast as it goes)",
    )
    verb.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="one row a sample for a historian, .csv or .parquet",
    )
    verb.add_argument(
        "--log-start",
        metavar="TIME",
        help="time of its first row, ISO 8601, UTC unless it has an offset (default: now)",
    )


def _verify_loop(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="scheduler of a Dask cluster that does the work (tcp://host:port)",
    )
    verb.add_argument(
        "--scenarios",
        type=positive,
        metavar="N",
        help="so many only, to try it: no evidence if fewer than needed",
    )
    verb.add_argument(
        "--replay", type=index, metavar="INDEX", help="show one scenario with a figure instead"
    )


def _export(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--target",
        choices=TARGETS,
        default="controller",
        help="what to make (default: %(default)s; c: the model alone)",
    )


def _pil(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--core", action="append", choices=tuple(CORES), help="core to emulate (default: all)"
    )
    verb.add_argument("--double", action="store_true", help="double precision")


def _run(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--out", type=Path, help="folder for the artefacts (default: runs/<name of the directory>)"
    )


def _compare(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="HTML file to write (default: in the first directory)",
    )


def _report(verb: argparse.ArgumentParser) -> None:
    _compare(verb)
    verb.add_argument(
        "--pdf",
        action="store_true",
        help="print it as PDF too, by Chromium or Chrome without a window",
    )


_OPTIONS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "new": _new,
    "order": _order,
    "train": _train,
    "certify": _certify,
    "tune-observer": _tune_observer,
    "control": _control,
    "verify-loop": _verify_loop,
    "export": _export,
    "pil": _pil,
    "run": _run,
    "report": _report,
    "compare": _compare,
}
