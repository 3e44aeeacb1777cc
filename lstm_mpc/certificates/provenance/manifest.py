"""What was judged: every key of a design and every file that evidence depends on, as text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file

ABSENT = "nothing"  # what a manifest without a key says of it
_SHOWN = 60  # [characters] of a value in a sentence


@dataclass(frozen=True)
class Difference:
    """A key that two manifests do not agree on: its `judged` value and its `present` one."""

    key: str
    judged: str
    present: str

    def __str__(self) -> str:
        judged, present = (_short(text) for text in (self.judged, self.present))
        return f"{self.key} = {judged}, which is {present} now"


@dataclass(frozen=True)
class Manifest:
    """What was judged, key -> value as text: "plant.Ts" -> "10", a file -> its digest.

    Keys are those of `design.toml`, table and name; "model" is the digest of the model, "file …"
    that of a file, "plant.response" what the simulated plant does in a seeded experiment.
    """

    entries: Mapping[str, str]

    def __post_init__(self) -> None:
        for key, text in self.entries.items():
            if not isinstance(key, str) or not isinstance(text, str):
                raise InputError(f"manifest: {key!r:.60} is {text!r:.60}, not text")

    @property
    def digest(self) -> str:
        """SHA-256 of all keys and values."""
        return artefact_file.digest(dict(self.entries))

    def part(self, wanted: Callable[[str], bool]) -> Manifest:
        """The entries whose keys are wanted."""
        return Manifest({key: text for key, text in self.entries.items() if wanted(key)})

    def difference(self, present: Manifest) -> Difference | None:
        """The first key, in the order of this manifest, that `present` has otherwise."""
        for key in dict.fromkeys((*self.entries, *present.entries)):
            judged, now = (m.entries.get(key, ABSENT) for m in (self, present))
            if judged != now:
                return Difference(key, judged, now)
        return None


def text_of(value: Any) -> str:
    """A value of a design as text: equal numbers alike, however they are written."""
    value = artefact_file.plain(value)
    if isinstance(value, dict):
        return json.dumps({key: text_of(item) for key, item in value.items()}, sort_keys=True)
    if isinstance(value, list):
        return f"[{', '.join(map(text_of, value))}]"
    if isinstance(value, float) and value == int_of(value):
        value = int_of(value)
    return value if isinstance(value, str) else repr(value)


def int_of(value: float) -> int | None:
    """The whole number that a float is, if it is one."""
    return int(value) if abs(value) < 2**53 and value == int(value) else None


def digest_of(data: bytes) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(data).hexdigest()


def _short(text: str) -> str:
    if len(text) == 64 and set(text) <= set("0123456789abcdef"):
        return text[:12]
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
