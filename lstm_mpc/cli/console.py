"""What a person sees: progress with the time left, colours where there is a terminal, the running
loop. Nothing of it goes into files."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, TextIO

from lstm_mpc.errors import LstmMpcError, Refused, one_line

_SHORTER = ("train", "tune")  # work that ends when nothing is to be gained any more
_EVERY, _QUIET = 5.0, 2.0  # [s] between two lines where there is no terminal, and before the first
_RED, _GREEN, _YELLOW, _CYAN = 31, 32, 33, 36
_MARKS = {"proved": _GREEN, "sampled": _CYAN, "measured": _CYAN}
_MARKED = re.compile(
    r"\b(proved|sampled|measured)\b(?=[:)])|\b(?:WAIVED|NO EVIDENCE|LEAVES|NOT|waived(?=:)|fails(?="
    r" with|:)|INPUT .* LIMITS)\b"
)


class Console:
    """Progress on stderr: one line that rewrites itself on a terminal, a line every few seconds
    elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._quiet, self._live = quiet, sys.stderr.isatty()
        self._label, self._left, self._last = "", TimeLeft(0.0), 0.0

    def progress(self, label: str, share: float, detail: str) -> None:
        now = time.monotonic()
        if label != self._label:
            self._label, self._left, self._last = label, TimeLeft(now), now - _EVERY + _QUIET
        left = self._left.at(now, share)
        if self._quiet or now - self._last < (0.1 if self._live else _EVERY):
            return
        self._last = now
        bar, most = "#" * round(20 * share), "at most " if label in _SHORTER else ""
        words = f"{now - self._left.began:5.0f} s" + (
            f", {most}{in_words(left)} left" if left is not None else ""
        )
        line = "".join(
            c if c.isprintable() else "?"
            for c in f"{label:<8}[{bar:<20}] {share:4.0%} {words}  {detail}"
        )
        print(
            f"\r\x1b[K{line[: _width() - 1]}" if self._live else line,
            end="" if self._live else "\n",
            file=sys.stderr,
            flush=True,
        )

    def clear(self) -> None:
        if self._live and not self._quiet:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class TimeLeft:
    """How long work will still take [s], from the share done in the later half of the time so far:
    what came first (compiling, a first solve) is often slower or quicker than the rest."""

    def __init__(self, began: float) -> None:
        self.began = began
        self._marks: deque[tuple[float, float]] = deque()

    def at(self, now: float, share: float) -> float | None:
        """None while nothing can be said: in the first two seconds, and before a fiftieth is
        done."""
        if not self._marks or now - self._marks[-1][0] > 0.1:
            self._marks.append((now, share))
        while len(self._marks) > 2 and self._marks[1][0] <= now - 0.5 * (now - self.began):
            self._marks.popleft()
        then, before = self._marks[0]
        if now - self.began < 2.0 or share < 0.02 or share >= 1.0 or share <= before:
            return None
        return (1.0 - share) * (now - then) / (share - before)


def in_words(seconds: float) -> str:
    """A duration no more exact than an estimate is."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 95:
        return f"{5 * round(seconds / 5)} s"
    if seconds < 5700:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36000 else f"{seconds / 3600:.0f} h"


def _width() -> int:
    try:
        return max(20, os.get_terminal_size(sys.stderr.fileno()).columns)
    except (OSError, ValueError):
        return 80


# -- colours ---------------------------------------------------------------------------------------


def coloured(stream: TextIO) -> bool:
    """Colours are for a terminal that knows them, unless the user wants none (NO_COLOR)."""
    return (
        stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "dumb") != "dumb"
    )


def _paint(text: str, colour: int) -> str:
    return f"\x1b[1;{colour}m{text}\x1b[0m"


def show(lines: Iterable[str]) -> None:
    """The lines of a result on stdout; on a terminal what is proved, sampled, measured, or let off
    stands out. What cannot be printed is escaped, wherever it came from."""
    lines = [one_line(part) for line in lines for part in line.split("\n")]
    if coloured(sys.stdout):
        lines = [
            _MARKED.sub(lambda found: _paint(found[0], _MARKS.get(found[0], _YELLOW)), line)
            for line in lines
        ]
    print(*lines, sep="\n", flush=True)


def fail(as_json: bool, error: BaseException) -> int:
    """Say what went wrong, on stderr and, where asked for, as the one JSON object on stdout;
    returns the exit code."""
    reasons = {"reasons": list(error.reasons)} if isinstance(error, Refused) else {}
    if isinstance(error, KeyboardInterrupt):
        words, code = str(error) or "interrupted; artefacts written so far are whole", 130
    elif isinstance(error, OSError):
        words, code = (
            one_line(f"{error.filename or 'a file'}: {error.strerror or error}; {_remedy(error)}"),
            1,
        )
    elif isinstance(error, MemoryError):
        words, code = "out of memory; run again with fewer --workers, or with less data", 1
    else:
        assert isinstance(error, LstmMpcError)
        words, code = str(error), error.exit_code
    if as_json:
        show_json({"error": words, **reasons})
    head, lines = (
        ("refused by the gate:", error.reasons)
        if isinstance(error, Refused)
        else (f"error: {words}", ())
    )
    notes = getattr(error, "__notes__", ())
    dash = "-"
    if coloured(sys.stderr):
        first, colon, rest = head.partition(":")
        head, dash = _paint(first + colon, _RED) + rest, _paint(dash, _RED)
    reasons_below = [f"  {dash} {why}" for why in lines]
    print(head, *reasons_below, *map(one_line, notes), sep="\n", file=sys.stderr, flush=True)
    return code


def _remedy(error: OSError) -> str:
    """What to do about what the system refuses."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room on that disk and run the command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "get the right to write there, or choose another folder, and run the command again"
    return "see to it and run the command again"


def show_json(content: dict[str, Any]) -> None:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    print(text, flush=True)
