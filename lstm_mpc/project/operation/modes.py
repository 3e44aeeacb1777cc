"""The modes of a loop and who may ask for what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Mode(IntEnum):
    """OFF looks on in silence; ADVISE computes and writes nothing; MANUAL tracks the operator; AUTO
    is in control."""

    OFF = 0
    ADVISE = 1
    MANUAL = 2
    AUTO = 3


FALLBACKS = ("hold", "safe")
SERVER = "the server"  # who asks by the node of the mode


def mode_of(value: Any) -> Mode | None:
    """The mode that a number or a name means; None where it means none."""
    if isinstance(value, str):
        return Mode.__members__.get(value.strip().upper())
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return Mode(value) if value in tuple(Mode) else None


@dataclass(frozen=True)
class Request:
    """What a person asks: `what` is "mode", "setpoint" or "output" (values in engineering units) or
    "acknowledge" (the name of an alarm). `seen` is the revision of the loop that `who` looked at;
    None where that does not matter."""

    who: str
    what: str
    value: Any
    seen: int | None = None


@dataclass(frozen=True)
class Answer:
    """Whether a request was granted, and why not."""

    granted: bool
    reason: str = ""
