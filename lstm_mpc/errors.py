"""One error family. Every error is one sentence that names the value, where it came from and the
remedy."""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST = 4000  # [characters] of a sentence, whatever it quotes


def one_line(text: str) -> str:
    """`text` on one line that any terminal may be shown: what a file brought along and cannot be
    printed is escaped."""
    line = (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() else " " if c == "\n" else ascii(c)[1:-1] for c in text)
    )
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}"


class LstmMpcError(Exception):
    """Base of all errors of this package.

    `exit_code` is what the command line returns.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class InputError(LstmMpcError):
    """Something the user gave (an argument, a file, a design) cannot be used."""

    exit_code = 2


class DataError(InputError):
    """A data file cannot be used.

    It carries the file and, where one is to blame, the row (1 = header).
    """

    def __init__(self, message: str, *, file: object, row: int | None = None) -> None:
        self.file, self.row = str(file), row
        place = self.file if row is None else f"{self.file}, row {row}"
        super().__init__(f"{place}: {message}")


class Refused(LstmMpcError):
    """The gate refuses; `reasons` holds every reason found, not only the first."""

    exit_code = 3

    def __init__(self, what: str, reasons: Sequence[str]) -> None:
        self.reasons = tuple(map(one_line, reasons))
        super().__init__(f"{what} refused: " + "; ".join(self.reasons))


class SolverError(LstmMpcError):
    """A numerical solver gave nothing that can be used."""
