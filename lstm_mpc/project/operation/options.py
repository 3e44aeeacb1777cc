"""`connection.toml` beside a `design.toml`: where the plant is and which node is what. No evidence
depends on it, so it has no part in the manifest of a release."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from numpy.typing import ArrayLike

from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.schema import noun, refuse_unknown, table_of
from lstm_mpc.model.model import Model
from lstm_mpc.project.operation.modes import FALLBACKS, Mode

FILE = "connection.toml"
URL = "opc.tcp://127.0.0.1:4840/lstm-mpc"
SECURED = "Basic256Sha256"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SETPOINT = ".setpoint"  # tag of the setpoint of an output, after its name
REMOTE, MODE, STATE, HEARTBEAT, ALIVE, SPEED = (
    *("remote", "mode", "state", "heartbeat", "controller_heartbeat", "speed"),
)
SPECIAL = (REMOTE, MODE, STATE, HEARTBEAT, ALIVE, SPEED)
_LIMIT = 2**20  # [bytes]


@dataclass(frozen=True)
class ConnectionOptions:
    """`[connection]`: the OPC UA server at `url`, and how it and we know each other.

    `security` is "Basic256Sha256" (signed and encrypted; `certificate`, `key` and the pinned
    `server_certificate` are files beside connection.toml) or "None", which is refused beyond this
    machine unless `insecure`. `user` logs in with the password that `password_file` holds.
    """

    url: str = URL
    security: str = "None"
    certificate: str = ""
    key: str = ""
    server_certificate: str = ""
    user: str = ""
    password_file: str = ""
    insecure: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "opc.tcp" or not parts.hostname:
            raise InputError(f"[connection] url must be opc.tcp://host:port, got {self.url!r:.80}")
        if self.security not in ("None", SECURED):
            raise InputError(
                f'[connection] security must be "None" or "{SECURED}", got {self.security!r:.40}'
            )
        files = {"certificate": self.certificate, "key": self.key}
        files["server_certificate"] = self.server_certificate
        lacking = [key for key, name in files.items() if not name]
        if self.security == SECURED and lacking:
            raise InputError(f'[connection] security = "{SECURED}" needs {" and ".join(lacking)}')
        if self.security == "None" and not self.insecure and parts.hostname not in LOOPBACK:
            raise InputError(
                f"[connection] {parts.hostname} is another machine: give security ="
                f' "{SECURED}" with certificates, or say insecure = true'
            )
        if bool(self.user) != bool(self.password_file):
            raise InputError("[connection] user and password_file belong together")


@dataclass(frozen=True)
class OperateOptions:
    """`[operation]`: how a controller runs beside a plant.

    A reading is stale when its source stamp is older than `max_age` [s] (default: three samples; 0:
    stamps do not count), frozen when it has repeated itself `frozen_after` times (0: never asked).
    After `shed_after` bad samples in a row AUTO ends: `fallback` "hold" leaves the inputs where
    they are, "safe" leads them to the safe input at the rates. An input is written when it differs
    from the one in force by more than `resolution` [unit] (default: 1e-4 of its range). The
    server's heartbeat must move within `heartbeat_samples`. A restart within `resume_samples` goes
    on in its mode from the saved state; a later one, or a first start, begins in `start`.
    `mismatch` is the share of what the observer may explain at which the plant is another one.
    """

    max_age: float | None = None
    frozen_after: int = 0
    shed_after: int = 5
    fallback: str = "hold"
    resolution: ArrayLike | None = None
    heartbeat_samples: int = 3
    resume_samples: int = 30
    start: str = "ADVISE"
    mismatch: float = 0.95

    def __post_init__(self) -> None:
        if self.fallback not in FALLBACKS:
            raise InputError(
                f"[operation] fallback must be one of {', '.join(FALLBACKS)}, got"
                f" {self.fallback!r:.40}"
            )
        starts = [mode.name for mode in Mode if mode is not Mode.AUTO]
        if self.start not in starts:
            raise InputError(
                f"[operation] start must be one of {', '.join(starts)}, got {self.start!r:.40}; an"
                " operator switches to AUTO"
            )
        for key in ("frozen_after", "heartbeat_samples", "resume_samples"):
            if getattr(self, key) < 0:
                raise InputError(
                    f"[operation] {key} must not be negative, got {getattr(self, key)}"
                )
        if self.shed_after < 1:
            raise InputError(f"[operation] shed_after must be 1 or more, got {self.shed_after}")
        if self.max_age is not None and not 0 <= self.max_age < inf:
            raise InputError(f"[operation] max_age must be seconds, not negative: {self.max_age}")
        if not 0 < self.mismatch <= 1:
            raise InputError(f"[operation] mismatch must lie in (0, 1], got {self.mismatch}")


@dataclass(frozen=True)
class Wiring:
    """A connection file as read: `connection`, `operation`, and the `nodes`, tag -> node."""

    connection: ConnectionOptions = ConnectionOptions()
    operation: OperateOptions = OperateOptions()
    nodes: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self.nodes)


def signal_tags(model: Model) -> tuple[str, ...]:
    """The tags that every connection needs: inputs and outputs of the model."""
    return tuple(s.name for s in (*model.outputs, *model.inputs))


def all_tags(model: Model) -> tuple[str, ...]:
    """Every tag that a connection may have."""
    return (*signal_tags(model), *(s.name + SETPOINT for s in model.outputs), *SPECIAL)


def wiring_of(
    folder: Path, model: Model, file: Path | None = None, *, page: bool = False
) -> Wiring:
    """Read the connection of a design.

    Args:
        folder: The design directory.
        model: Whose signals are mapped.
        file: The connection file; by default connection.toml in the folder. Where there is none,
            the nodes are those of `lstm-mpc simulate` on this machine.
        page: Whether there is an operator's page, which gives the setpoints where no file says
            that the server does.

    Returns:
        The wiring.

    Raises:
        InputError: The file cannot be used; with its name and the key.
    """
    for name in signal_tags(model):
        if name in SPECIAL or name.endswith(SETPOINT):
            raise InputError(f"operate: a signal called {name!r} cannot be told from a tag of ours")
    path = file or folder / FILE
    if file is None and not path.exists():
        tags = [tag for tag in all_tags(model) if not (page and tag.endswith(SETPOINT))]
        return Wiring(nodes={tag: f"ns=2;s={tag}" for tag in tags}, folder=folder)
    try:
        content = tomllib.loads(artefact_file.read_bytes(path, limit=_LIMIT).decode("utf-8-sig"))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); docs/operate.md shows one"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not TOML ({error})") from error
    try:
        return _wiring(path.parent, content, model)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _wiring(folder: Path, content: dict[str, Any], model: Model) -> Wiring:
    refuse_unknown(content, ("connection", "operation", "nodes"), "the connection")
    nodes: dict[str, str] = noun(dict[str, str], table_of(content, "nodes"), "[nodes]")
    if "nodes" not in content:
        nodes = {tag: f"ns=2;s={tag}" for tag in all_tags(model)}
    refuse_unknown(nodes, all_tags(model), "[nodes]")
    lacking = [name for name in signal_tags(model) if name not in nodes]
    if lacking:
        raise InputError(f"[nodes] lacks {' and '.join(lacking)}")
    setpoints = [s.name + SETPOINT for s in model.outputs]
    given = [tag for tag in setpoints if tag in nodes]
    if given and len(given) < len(setpoints):
        raise InputError(f"[nodes] has {', '.join(given)}: give every setpoint or none")
    twice = [node for node in nodes.values() if list(nodes.values()).count(node) > 1]
    if twice:
        raise InputError(f"[nodes] names {twice[0]!r:.60} twice")
    return Wiring(
        noun(ConnectionOptions, table_of(content, "connection"), "[connection]"),
        noun(OperateOptions, table_of(content, "operation"), "[operation]"),
        nodes,
        folder,
    )
