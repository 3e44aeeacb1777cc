"""Lines of a drafted design.toml."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def text(value: str) -> str:
    """A TOML string; those of JSON are."""
    return json.dumps(value, ensure_ascii=False)


def key(name: str) -> str:
    """A TOML key."""
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else text(name)


def note(value: str, comment: str) -> str:
    """A line with its comment, in one column with the others."""
    return f"{value + ' ':<26}# {comment}"


def rounded(value: float) -> str:
    """A number that a human would write: four digits."""
    return repr(float(f"{value:.4g}"))


def numbers(values: Iterable[float]) -> str:
    """A list of them."""
    return f"[{', '.join(map(rounded, values))}]"


def inline(table: Mapping[str, Any]) -> str:
    """An inline table of text and numbers; None stands for a key that is not there."""
    pairs = (
        f"{key(name)} = {text(value) if isinstance(value, str) else repr(value)}"
        for name, value in table.items()
        if value is not None
    )
    return f"{{{', '.join(pairs)}}}"
