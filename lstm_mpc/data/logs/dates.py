"""Dates and times of day in the ways that people and loggers write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite

_START = datetime(1970, 1, 1)
_ORDERS = ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%d{0}%m{0}%y", "%m{0}%d{0}%y", "%y{0}%m{0}%d")
DATES = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%Y", "%d.%m.%y", "%y.%m.%d"),
    *(order.format(mark) for mark in "/-" for order in _ORDERS),
    *("%d-%b-%Y", "%d-%b-%y", "%Y-%b-%d", "%b-%d-%Y", "%d%b%Y", "%d%b%y"),
)
_TIME = re.compile(
    r"(\d{1,2}|\d{3}(?=:))([:.])(\d{2})(?:\2(\d{2})(?:[.,:](\d{1,9}))?)?\s*(?:([ap])\.?\s?m\.?)?"
    r"\s*(z|utc|gmt|[+-]\d{2}:?\d{2})?",
    re.IGNORECASE,
)
_SPLIT = re.compile(r"(.*?\d)(?:\s*,\s*|\s+|T|-(?=\d\d:)|:(?=\d\d:))(\d{1,2}[:.]\d{2}.*)")
_WEEKDAY = re.compile(r"^[^\W\d_]{2,10}\.?,?\s+(?=[^\W\d_]*[\s.]*\d)")
_MONTHS = {
    local: month
    for month, names in {
        "Jan": ("jan", "ene", "gen"),
        "Feb": ("feb", "fév", "fev"),
        "Mar": ("mar", "mär", "mrz"),
        "Apr": ("apr", "avr", "abr"),
        "May": ("may", "mai", "mei", "mag"),
        "Jun": ("jun", "juin", "giu"),
        "Jul": ("jul", "juil", "lug"),
        "Aug": ("aug", "aoû", "ago"),
        "Sep": ("sep", "set"),
        "Oct": ("oct", "okt", "ott", "out"),
        "Nov": ("nov",),
        "Dec": ("dec", "dez", "déc", "dic"),
    }.items()
    for local in names
}
CLOCKS = ("%H:%M:%S", "%H:%M", "%M:%S")  # without a date
_COMPACT = ("%Y%m%d %H%M%S", "%Y%m%d %H:%M:%S")


def nature(cell: str) -> str:
    """What a cell may be as a stamp: "moment", "date", "clock" or ""."""
    text = cell.strip()
    if sum(c.isdigit() for c in text) < 3 or _is_number(text):
        return ""
    if _TIME.fullmatch(text):
        return "clock"
    if not readings(text):
        return ""
    return "moment" if _SPLIT.fullmatch(text) or re.search(r"\dT\d", text) else "date"


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?[\d.,' ]+(?:[eE][+-]?\d+)?", text) is not None and (
        text.count(".") < 2 or len(text.split(".")[-1]) == 3
    )


def naive(stamps: Sequence[datetime]) -> list[float]:
    return [(stamp - _START).total_seconds() for stamp in stamps]


def readings(cell: str) -> list[str]:
    """As what a stamp that is text may be read."""
    if isfinite(iso(cell, None)):
        return ["iso"]
    return [kind for kind in (*CLOCKS, *DATES, *_COMPACT) if isfinite(_reading(cell, kind))]


def _reading(cell: str, kind: str) -> float:
    return by_pattern(cell, kind) if kind in _COMPACT else moment(cell, kind)


def iso(cell: str, zoned: bool | None) -> float:
    """NaN for what is no stamp of ISO 8601, or differs in having a zone."""
    try:
        stamp = datetime.fromisoformat(cell.strip())
    except (ValueError, OverflowError):
        return moment(cell, "%Y-%m-%d")
    if zoned is not None and (stamp.tzinfo is not None) != zoned:
        return float("nan")
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()


def by_pattern(cell: str, pattern: str) -> float:
    try:
        stamp = datetime.strptime(cell.strip(), pattern)
        return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, re.error):
        return float("nan")


def moment(cell: str, kind: str) -> float:
    """A date read as `kind`, with the time of day behind it or without; a time of day alone."""
    text = cell.strip()
    if kind in CLOCKS:
        return _clock(text, kind)
    split = _SPLIT.fullmatch(text)
    return _day(split[1], kind) + _clock(split[2], "") if split else _day(text, kind)


@lru_cache(maxsize=4096)
def _day(text: str, pattern: str) -> float:
    """A date as seconds since 1970."""
    for date in (text, _WEEKDAY.sub("", text)):
        if "%b" in pattern:
            date = re.sub(r"(?<=\w)[\s./,-]+(?=\w)", "-", date.rstrip("., "))
            date = re.sub(r"[^\W\d_]+", lambda m: _MONTHS.get(_stem(m[0]), m[0]), date)
        try:
            return datetime.strptime(date, pattern).replace(tzinfo=UTC).timestamp()
        except (ValueError, OverflowError):
            continue
    return float("nan")


def _stem(name: str) -> str:
    word = name.lower()
    return word[:4] if word.startswith("jui") else word[:3]


@lru_cache(maxsize=2**17)
def _clock(text: str, kind: str) -> float:
    """A time of day [s]; `kind` "%M:%S" reads two fields as minutes and seconds."""
    match = _TIME.fullmatch(text)
    if (
        match is None
        or (kind in ("%H:%M", "%M:%S") and match[4])
        or (kind == "%H:%M:%S" and not match[4])
    ):
        return float("nan")
    hour, minute, second = int(match[1]), int(match[3]), int(match[4] or 0)
    if kind == "%M:%S":
        return 60.0 * hour + minute if minute < 60 and not match[6] else float("nan")
    if minute > 59 or second > 59 or (hour > 23 and kind != "%H:%M:%S"):
        return float("nan")
    if match[6]:
        if not 1 <= hour <= 12:
            return float("nan")
        hour = hour % 12 + (12 if match[6].lower() == "p" else 0)
    fraction = float(f"0.{match[5]}") if match[5] else 0.0
    return 3600.0 * hour + 60.0 * minute + second + fraction - _offset(match[7])


def _offset(zone: str | None) -> float:
    if not zone or zone[0] not in "+-":
        return 0.0
    digits = zone[1:].replace(":", "")
    size = 3600.0 * int(digits[:2]) + 60.0 * int(digits[2:])
    return size if zone[0] == "+" else -size
