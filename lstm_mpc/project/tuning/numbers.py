"""The numbers of a controller in the text of design.toml: changed where they stand, with every
other byte as it was."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from difflib import unified_diff
from hashlib import sha256
from pathlib import Path
from typing import Any

from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.schema import table_of
from lstm_mpc.project.design import Design, design_of
from lstm_mpc.project.design_content import LIMIT

KEYS = ("horizon", "output_weight", "move_penalty", "violation_weight")  # of [control]
_FILE, _TABLE = "design.toml", "control"
_VALUE = r"(\[[^\[\]#\"']*\]|[^\s#\[\]\"',{}]+)"  # a number, or a list of them without comments
_HEADER = re.compile(r"^[ \t]*\[[ \t]*control[ \t]*\][^\n]*(?:\n|\Z)", re.MULTILINE)
_NEXT = re.compile(r"^[ \t]*\[", re.MULTILINE)


def read_text(folder: Path) -> str:
    """The text of design.toml, with its ends of lines as they are."""
    path = folder / _FILE
    try:
        return artefact_file.read_bytes(path, limit=LIMIT).decode("utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def digest_of(text: str) -> str:
    """What tells this text from another."""
    return sha256(text.encode("utf-8")).hexdigest()


def design_with(folder: Path, text: str, numbers: Mapping[str, Any]) -> Design:
    """The design of a text with other numbers, checked as every design is.

    Args:
        folder: Its directory.
        text: What stands in design.toml.
        numbers: Keys of KEYS and their values.

    Returns:
        The design.

    Raises:
        InputError: A key is none of those that are tuned, or a value does not fit.
    """
    return design_of(folder, _with(_content(text), numbers))


def changed_text(folder: Path, text: str, numbers: Mapping[str, Any]) -> str:
    """The text with the numbers in it, each in its place, with its comment.

    Args:
        folder: The directory of the design.
        text: What stands in design.toml.
        numbers: Keys of KEYS and their values; those that are in force already stay as written.

    Returns:
        The text that is to stand there.

    Raises:
        InputError: A value does not fit, or the file is written in a way that is not changed here.
    """
    content = _content(text)
    old, new = (design_of(folder, c).control for c in (content, _with(content, numbers)))
    asked = {k: v for k, v in numbers.items() if getattr(old, k) != getattr(new, k)}
    changed = text
    for key, value in asked.items():
        changed = _changed(changed, key, _written(key, value))
    if _content(changed, lost=True) != _with(content, asked):
        raise InputError(
            f"{folder / _FILE}: [control] is written in a way that is not changed here; write"
            f" {', '.join(f'{k} = {_written(k, v)}' for k, v in asked.items())} by hand"
        )
    return changed


def difference(before: str, after: str) -> list[str]:
    """What changes, line by line, as `diff` shows it; nothing where nothing does."""
    lines = unified_diff(before.splitlines(), after.splitlines(), _FILE, _FILE, lineterm="", n=1)
    return list(lines)


def write(folder: Path, seen: str, numbers: Mapping[str, Any]) -> None:
    """Write the numbers into design.toml.

    Args:
        folder: The directory of the design.
        seen: `digest_of` the text that the difference was shown for.
        numbers: As for `changed_text`.

    Raises:
        InputError: The file is another one by now, or a value does not fit.
    """
    text = read_text(folder)
    if digest_of(text) != seen:
        raise InputError(
            f"{folder / _FILE}: was changed since the difference was shown; look again"
        )
    artefact_file.write_text(folder / _FILE, changed_text(folder, text, numbers))


def _content(text: str, *, lost: bool = False) -> dict[str, Any]:
    """The content; `lost`: nothing where it is no TOML any more."""
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except ValueError as error:
        if lost:
            return {}
        raise InputError(f"{_FILE}: is not TOML ({error})") from error


def _with(content: Mapping[str, Any], numbers: Mapping[str, Any]) -> dict[str, Any]:
    for key in numbers:
        if key not in KEYS:
            raise InputError(f"tune: {key!r:.40} is none of {', '.join(KEYS)}")
    return {**content, _TABLE: {**table_of(content, _TABLE), **numbers}}


def _changed(text: str, key: str, value: str) -> str:
    """The text with one value changed where it stands, or as a new line at the head of its
    table."""
    end = "\r\n" if "\r\n" in text else "\n"
    header = _HEADER.search(text)
    if header is None:
        gap = "" if not text or text.endswith("\n") else end
        return f"{text}{gap}{end}[{_TABLE}]{end}{key} = {value}{end}"
    first = header.end()
    following = _NEXT.search(text, first)
    last = following.start() if following else len(text)
    found = re.compile(rf"^[ \t]*{key}[ \t]*=[ \t]*{_VALUE}", re.MULTILINE).search(
        text, first, last
    )
    if found is None:
        gap = "" if text[:first].endswith("\n") else end
        return f"{text[:first]}{gap}{key} = {value}{end}{text[first:]}"
    return text[: found.start(1)] + value + text[found.end(1) :]


def _written(key: str, value: Any) -> str:
    """A number or a list of them as TOML; all but samples with a point."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_written(key, v) for v in value)}]"
    return repr(value if key == "horizon" else float(value))
