"""Where the page listens, and who may do what on it."""

from __future__ import annotations

import os
import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path

from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.schema import noun, refuse_unknown, tables_of
from lstm_mpc.project.operation.options import LOOPBACK

ROLES = ("viewer", "operator")
_SHORTEST = 16  # letters of a token
_LIMIT = 2**20  # [bytes]


@dataclass(frozen=True)
class User:
    """A person: `name`, a `role` of ROLES, and the secret `token`."""

    name: str
    role: str
    token: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise InputError(f"user {self.name!r:.40}: role must be one of {', '.join(ROLES)}")
        if len(self.token) < _SHORTEST:
            raise InputError(
                f"user {self.name!r:.40}: the token must have {_SHORTEST} letters or more;"
                " `python -c 'import secrets; print(secrets.token_urlsafe())'` prints one"
            )


@dataclass(frozen=True)
class PageOptions:
    """Where the page listens: `host`, `port`; beyond this machine with the `certificate` and `key`
    of TLS. `users` may come in."""

    users: tuple[User, ...]
    host: str = "127.0.0.1"
    port: int = 8470
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise InputError("page: --page-certificate and --page-key belong together")
        for path in (self.certificate, self.key):
            if path is not None and not path.is_file():
                raise InputError(f"{path}: is not there; docs/operate.md shows how it is written")
        if self.host not in LOOPBACK and self.certificate is None:
            raise InputError(
                f"page: {self.host} can be reached from other machines, which needs"
                " --page-certificate and --page-key"
            )

    @property
    def url(self) -> str:
        scheme = "http" if self.certificate is None else "https"
        return f"{scheme}://{self.host}:{self.port}"


def users_of(path: Path | None) -> tuple[User, ...]:
    """The users that a file lists as [[user]] tables (name, role, token); without a file a viewer
    and an operator with tokens that are drawn anew at every start.

    Raises:
        InputError: The file cannot be used, or others on this machine can read it.
    """
    if path is None:
        return tuple(User(role, role, secrets.token_urlsafe()) for role in ROLES)
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise InputError(f"{path}: others can read it; chmod 600 hides the tokens")
        content = tomllib.loads(artefact_file.read_bytes(path, limit=_LIMIT).decode())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: is not TOML ({error})") from error
    try:
        refuse_unknown(content, ("user",), "the users")
        users = tuple(noun(User, row, "[[user]]") for row in tables_of(content, "user"))
        if not users or len({u.token for u in users}) < len(users):
            raise InputError("[[user]] tables are needed, each with a token of its own")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return users
