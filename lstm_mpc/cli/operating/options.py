"""The options of the verbs beside a plant, as records."""

from __future__ import annotations

from pathlib import Path

from lstm_mpc.cli.arguments import option, port, speed

_SPEED = option(
    "--speed",
    type=speed,
    default=1.0,
    metavar="FACTOR",
    help="times faster than real, of a simulated plant (default: %(default)g)",
)
OPERATE = (
    option(
        "--connection",
        type=Path,
        metavar="FILE",
        help="where the plant is (default: connection.toml of the design, or `simulate` on this"
        " machine)",
    ),
    option(
        "--history",
        type=Path,
        metavar="FILE",
        help="what is kept of it (default: history.db of the design)",
    ),
    _SPEED,
    option(
        "--also",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="another design, in the same process; give it again for more",
    ),
    option("--page", action="store_true", help="serve the operator's page; nothing listens else"),
    option(
        "--page-host",
        default="127.0.0.1",
        metavar="HOST",
        help="it listens on (default: %(default)s)",
    ),
    option("--page-port", type=port, default=8470, metavar="PORT", help="(default: %(default)s)"),
    option("--page-certificate", type=Path, metavar="FILE", help="for TLS, PEM"),
    option("--page-key", type=Path, metavar="FILE", help="its private key, PEM"),
    option(
        "--users",
        type=Path,
        metavar="FILE",
        help="who may come in, [[user]] tables with name, role and token (default: drawn tokens)",
    ),
)
SIMULATE = (
    option("--opcua", action="store_true", help="serve the plant by OPC UA; nothing listens else"),
    option("--scenario", default="", metavar="NAME", help="of the design (default: at rest)"),
    _SPEED,
    option("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"),
    option("--port", type=port, default=4840, help="port to listen on (default: %(default)s)"),
    option("--certificate", type=Path, metavar="FILE", help="of the server, DER"),
    option("--key", type=Path, metavar="FILE", help="its private key, PEM"),
    option("--trust", type=Path, metavar="FILE", help="certificate of the only client, DER"),
)
TUNE = (option("--port", type=port, default=8470, help="of the page (default: %(default)s)"),)
HISTORY = (
    option("--csv", type=Path, metavar="FILE", help="write all samples as CSV"),
    option("--parquet", type=Path, metavar="FILE", help="write all samples as Parquet"),
    option(
        "--history", type=Path, metavar="FILE", help="the file (default: history.db of the design)"
    ),
)
