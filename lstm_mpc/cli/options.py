"""The options of the commands, as records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lstm_mpc.assurance.mpc import ENGINES
from lstm_mpc.certificates.conditions import NAMES
from lstm_mpc.cli.arguments import cells, index, missing, option, positive, speed
from lstm_mpc.data.log_options import PARTS
from lstm_mpc.data.logs.numbers import DECIMALS
from lstm_mpc.data.resampling import RESAMPLING
from lstm_mpc.export.pil_frames import CORES
from lstm_mpc.io import parallel
from lstm_mpc.io.targets import targets

DIRECTORY = option("directory", type=Path, help="design directory with a design.toml")
DIRECTORY_OR_MODEL = option(
    "directory", type=Path, help="design directory with a design.toml, or a model file"
)
COMMON = (
    option("--json", action="store_true", help="print the result as one JSON object"),
    option("--quiet", action="store_true", help="no progress"),
    option("--force", action="store_true", help="replace earlier artefacts of this verb"),
)
WORKERS = option(
    "--workers",
    type=positive,
    default=parallel.cores(),
    help="processes (default: all cores, %(default)s)",
)
_SIGNAL = "NAME[=COLUMN][:UNIT[:LOW:HIGH]]"
_FILES: dict[str, Any] = {"type": Path, "action": "append", "metavar": "FILE"}
NEW = (
    option(
        "--data",
        **_FILES,
        required=True,
        help="log: CSV, .csv.gz, .xlsx, .parquet, .mat or the history.db of a controller; give it"
        " again for more records",
    ),
    option("--validation-data", **_FILES, default=[], help="log kept for validation"),
    option(
        "--input",
        action="append",
        default=[],
        metavar=_SIGNAL,
        help="manipulated signal and what its actuator can do",
    ),
    option(
        "--measured",
        action="append",
        default=[],
        metavar=_SIGNAL,
        help="disturbance that is measured and never moved, and its limits",
    ),
    option(
        "--output",
        action="append",
        default=[],
        metavar=_SIGNAL,
        help="measured signal (asked for on a terminal if left out)",
    ),
    option(
        "--time",
        action="append",
        default=[],
        metavar="COLUMN",
        help="column of time stamps, twice for date and time of day; none (default: found)",
    ),
    option(
        "--time-format",
        default="",
        metavar="FORMAT",
        help="seconds, milliseconds …, excel or a pattern of strptime (default: told apart)",
    ),
    option(
        "--header-row",
        type=positive,
        default=0,
        metavar="ROW",
        help="row with the names of the columns (default: found)",
    ),
    option(
        "--decimal",
        choices=DECIMALS,
        default="auto",
        help="mark of decimals (default: %(default)s)",
    ),
    option(
        "--missing",
        type=missing,
        action="append",
        metavar="VALUE",
        help="number that stands for 'not measured' (default: the usual ones; none)",
    ),
    option(
        "--where",
        default="",
        metavar="CONDITION",
        help="only rows count that satisfy it, such as \"MODE == 'AUTO'\"",
    ),
    option(
        "--exclude",
        nargs=2,
        action="append",
        default=[],
        metavar=("FROM", "TO"),
        help="period that does not count, as stamps are written",
    ),
    option(
        "--Ts",
        type=speed,
        default=0.0,
        metavar="SECONDS",
        help="sampling time [s] (default: that of the log)",
    ),
    option("--resample", choices=RESAMPLING, default="auto", help="how (default: %(default)s)"),
    option(
        "--longest-gap",
        type=index,
        default=5,
        metavar="SAMPLES",
        help="so long an input may be unknown, longer ends a record (default: %(default)s)",
    ),
    option(
        "--min-samples",
        type=positive,
        default=0,
        metavar="SAMPLES",
        help="shorter records are left out (default: by the length of the log)",
    ),
    option(
        "--despike",
        type=speed,
        default=0.0,
        metavar="SIGMAS",
        help="outputs that far off their running median do not count",
    ),
    option(
        "--validation",
        type=speed,
        default=0.0,
        metavar="SHARE",
        help="share of each log (default: by their size)",
    ),
    option(
        "--validation-part",
        choices=PARTS,
        default="auto",
        help="which part of each log that is (default: its end, unless that leaves what the rest"
        " shows)",
    ),
    option("--name", default="", help="name of the design (default: that of the directory)"),
)
ORDER = (
    option(
        "--cells",
        type=cells,
        action="append",
        metavar="N[,N]",
        help="cells per layer to try (default: 2, 3, 5 and 8)",
    ),
    option("--starts", type=positive, default=3, help="starts of each (default: %(default)s)"),
)
TRAIN = (
    option(
        "--from",
        dest="origin",
        type=Path,
        metavar="MODEL",
        help="model to begin from instead of random weights",
    ),
)
IMPORT = (
    option(
        "file",
        type=Path,
        help="network file: .onnx, .keras, .h5, or weights (.npz, .safetensors)",
    ),
)
CERTIFY = (
    option(
        "--condition",
        action="append",
        choices=NAMES,
        metavar="CONDITION",
        help=f"condition to check: {', '.join(NAMES)} (default: the design's policy, or iss)",
    ),
)
SIGN = (
    option(
        "--key", type=Path, required=True, metavar="FILE", help="private Ed25519 key, a PEM file"
    ),
)
CHECK = (
    option(
        "--key",
        action="append",
        default=[],
        metavar="KEY",
        help="public key that is trusted, as `sign` prints it or a PEM file (default: the signers"
        " of the design's policy)",
    ),
)
TUNE_OBSERVER = (
    option(
        "--disturbance",
        choices=("input", "output"),
        default="input",
        help="where it acts (default: %(default)s)",
    ),
)
CONTROL = (
    option("--engine", choices=ENGINES, default="dompc", help="what solves (default: %(default)s)"),
    option(
        "--log",
        type=Path,
        metavar="FILE",
        help="one row a sample for a historian, .csv or .parquet",
    ),
    option(
        "--log-start",
        metavar="TIME",
        help="time of its first row, ISO 8601, UTC unless it has an offset (default: now)",
    ),
)
VERIFY_LOOP = (
    option(
        "--cluster",
        metavar="ADDRESS",
        help="scheduler of a Dask cluster that does the work (tls://host:port, tcp:// on this"
        " machine)",
    ),
    option(
        "--unprotected",
        action="store_true",
        help="with --cluster: send work to a scheduler without TLS; whoever reaches its port runs"
        " code",
    ),
    option(
        "--scenarios",
        type=positive,
        metavar="N",
        help="so many only, to try it: no evidence if fewer than needed",
    ),
    option("--replay", type=index, metavar="INDEX", help="show one scenario with a figure instead"),
)
EXPORT = (
    option(
        "--target",
        choices=tuple(targets()),
        default="controller",
        help="what to export (default: %(default)s; c: the model alone)",
    ),
)
PIL = (
    option("--core", action="append", choices=tuple(CORES), help="core to emulate (default: all)"),
    option("--double", action="store_true", help="double precision"),
)
VALIDATE = (
    option(
        "--data",
        **_FILES,
        required=True,
        help="record with the signals of the model; give it again for more",
    ),
)
RUN = (
    option(
        "--out", type=Path, help="folder for the artefacts (default: runs/<name of the directory>)"
    ),
)
PAGE = (
    option(
        "--out",
        type=Path,
        metavar="FILE",
        help="HTML file to write (default: in the first directory)",
    ),
)
PDF = option(
    "--pdf",
    action="store_true",
    help="print it as PDF too, by Chromium or Chrome without a window",
)
OTHER = option("other", type=Path, help="design directory to compare it with")
