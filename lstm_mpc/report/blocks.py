"""What a section of a page is made of. Cells and sentences are plain text: the page escapes
them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lstm_mpc.plants.phrases import within
from lstm_mpc.plants.system import Signal
from lstm_mpc.plots.style import Figure
from lstm_mpc.report.dossier import DesignFile


@dataclass(frozen=True)
class Text:
    """A paragraph; `kind` "plain", "missing", "stale", "wrong" or one of the kinds of a claim."""

    text: str
    kind: str = "plain"


@dataclass(frozen=True)
class Facts:
    """Name and value pairs; `dense`: many short ones, side by side."""

    rows: Sequence[tuple[str, str]]
    dense: bool = False


@dataclass(frozen=True)
class Table:
    """`head` names the columns, the first cell of a row names the row; `marked` is the row to look
    at, `doubtful` are those that speak against the model."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: int | None = None
    doubtful: Sequence[int] = ()


@dataclass(frozen=True)
class Picture:
    """How to draw a figure, or the address of an image: the `name` that begins its ids, what it is
    called, what it shows in words and numbers for those who do not see it, and what stands below
    it."""

    drawing: Callable[[], Figure] | str
    name: str
    title: str
    words: str
    caption: str = ""


@dataclass(frozen=True)
class Formula:
    """A formula in LaTeX."""

    text: str


@dataclass(frozen=True)
class Claims:
    """(kind, sentence) pairs; kind a claim's, or "absent", "signed" or "waived"."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Listing:
    """Text to be shown as it stands."""

    text: str
    label: str


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    blocks: Sequence[Any]


def number(value: float | None, digits: int = 4) -> str:
    """A number for people, – for none: `digits` significant ones, powers of ten written out, a true
    minus."""
    if value is None:
        return "–"
    mantissa, _, power = f"{value:.{digits}g}".partition("e")
    text = mantissa.replace("-", "−").replace("inf", "∞")
    return f"{text}·10{str(int(power)).translate(_RAISED)}" if power else text


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def interval(low: float, high: float, digits: int = 4) -> str:
    return f"[{number(low, digits)}, {number(high, digits)}]"


def told(value: Any) -> str:
    """A setting in words: pairs of numbers are intervals."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {told(own)}" for key, own in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        if len(value) == 2 and all(isinstance(v, (int, float)) for v in value):
            return interval(*value)
        return ", ".join(map(told, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "default", True: "yes", False: "no"}[value]
    return (value or "none") if isinstance(value, str) else number(value, 6)


def spans(signals: Sequence[Signal], ends: Sequence[Sequence[float]], digits: int = 4) -> str:
    """One interval for each signal, with its unit."""
    return within(signals, ends, partial(number, digits=digits))


def lacks(found: DesignFile) -> list[Text]:
    """What is to be said of a file that is missing, unusable or stale."""
    if found.problem:
        return [Text(f"{found.file} cannot be used: {found.problem}", "wrong")]
    if found.value is None:
        return [
            Text(f"Not there yet: `lstm-mpc {found.verb} DESIGN` makes {found.file}.", "missing")
        ]
    return [Text(f"{found.file} {found.stale}.", "stale")] if found.stale else []
