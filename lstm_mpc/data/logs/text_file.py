"""Logs that are text: encoding and delimiter, by the libraries made for them, and rows of cells."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

from lstm_mpc.data.logs.dates import nature
from lstm_mpc.data.logs.layout import Row, is_number
from lstm_mpc.errors import DataError

LIMIT = 2 * 2**30  # [bytes] of one file, unpacked
_CHUNK = 65536  # rows between two reports of progress
_SAMPLE, _LINES, _WIDE = 16384, 60, 4096  # characters and lines that tell the delimiter
_PIECE = 65536  # [bytes] that tell the encoding
_PART = 2**22  # [bytes] checked at a time
_LONGEST = 2**20  # characters of a cell
BLANKS = "blanks"  # a delimiter: one or more of them
_DELIMITERS = [",", ";", "\t", "|"]
_WESTERN = ["utf_8", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "cp1252"]
_ASCII, _SIGNS = frozenset(map(chr, range(128))), frozenset("°²³µ±·×äöüÄÖÜß€éèàç")
_NAMES = {
    "cp1252": "Windows-1252",
    "utf_16": "UTF-16",
    "utf_16_le": "UTF-16",
    "utf_16_be": "UTF-16",
}
Progress = Callable[[float], None]


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked where it is gzipped; DataError for what cannot be read."""
    try:
        if path.stat().st_size > LIMIT:
            problem = f"is larger than {LIMIT // 2**30} GiB; split it into several files"
            raise DataError(problem, file=path)
        with path.open("rb") as file:
            if file.read(2) == b"\x1f\x8b":
                with gzip.open(path) as unpacked:
                    yield unpacked  # type: ignore[misc] # reads as IO[bytes] does
            else:
                file.seek(0)
                yield file
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot be read ({reason})", file=path) from error


def encoding_of(path: Path) -> str:
    """The encoding of a text: UTF-8 where all of it is, else what charset-normalizer says."""
    decoder, size = codecs.getincrementaldecoder("utf-8")(), 0
    with opened(path) as file:
        part = file.read(_PART)
        try:
            while part:
                if b"\x00" in part:
                    break
                decoder.decode(part)
                size += len(part)
                if size > LIMIT:
                    problem = f"is larger than {LIMIT // 2**30} GiB unpacked"
                    raise DataError(f"{problem}; split it into several files", file=path)
                part = file.read(_PART)
            else:
                decoder.decode(b"", final=True)
                return "utf-8-sig"
        except UnicodeDecodeError as error:
            part = part[max(0, error.start - _PIECE // 2) :] if size else part
    if _western(part):
        return "cp1252"
    from charset_normalizer import from_bytes

    for choice in (_WESTERN, None):  # Western logs have too few letters to be told from others
        best = from_bytes(part[:_PIECE], cp_isolation=choice).best()
        if best is not None:
            return best.encoding
    raise DataError("is not a text file; give a log as CSV, .xlsx, .parquet or .mat", file=path)


def _western(part: bytes) -> bool:
    """Is every sign beyond ASCII one of the few that Western logs have, read as Windows-1252? They
    are too few for statistics of letters."""
    if b"\x00" in part:
        return False
    text = part.decode("cp1252", errors="replace")
    return set(text) - _ASCII <= _SIGNS


def encoding_note(encoding: str) -> list[str]:
    known = {"utf-8-sig", "ascii", "utf_8"}
    return (
        []
        if encoding in known
        else [f"read as {_NAMES.get(encoding, encoding.upper().replace('_', '-'))}"]
    )


def lines_of(path: Path, encoding: str, first: int = 1) -> Iterator[str]:
    """The first lines of a text, from line `first`."""
    with opened(path) as file, io.TextIOWrapper(file, encoding=encoding, newline="") as stream:
        try:
            for number, line in enumerate(iter(lambda: stream.readline(_LONGEST), ""), start=1):
                if number >= first:
                    yield line
        except UnicodeError as error:
            raise DataError(f"is not a text file ({error})", file=path) from error


def delimiter_of(path: Path, encoding: str) -> str:
    """What separates the cells: by an instruction such as `sep=;`, else by clevercsv."""
    lines = list(islice(lines_of(path, encoding), _LINES))
    for line in lines[:2]:
        if match := re.fullmatch(r'"?sep=(.)"?\s*', line.lstrip("\ufeff"), re.IGNORECASE):
            return match[1]
    if _in_blanks(lines):
        return BLANKS
    from clevercsv.detect import Detector

    sample = _simple("".join(line for line in lines if len(line) < _WIDE)[:_SAMPLE])
    try:
        dialect = Detector().detect(sample, delimiters=_DELIMITERS)
    except Exception:  # what is no table may break it
        dialect = None
    if dialect is not None and dialect.delimiter in _DELIMITERS:
        return str(dialect.delimiter)
    return max(_DELIMITERS, key="".join(lines).count)


def _in_blanks(lines: Sequence[str]) -> bool:
    """Do blanks alone separate the cells, as in columns of fixed width?"""
    rows = [line.split() for line in lines if line.strip()]
    if not rows or any(mark in "".join(lines) for mark in ";\t|"):
        return False
    width = Counter(map(len, rows[len(rows) // 3 :])).most_common(1)[0][0]
    data = [row for row in rows[len(rows) // 3 :] if len(row) == width]
    if width < 2 or len({"".join(row).count(",") for row in data} - {0}) == 1:
        return False  # commas may well be what separates
    numbers = sum(is_number(cell) or bool(nature(cell)) for row in data for cell in row)
    return numbers > 0.9 * width * len(data)


def _simple(text: str) -> str:
    """Months as numbers and numbers without their units and marks of thousands: types that
    clevercsv knows."""
    text = re.sub(r"(?<=\d)['’\u202f\u00a0](?=\d{3})", "", text)
    text = re.sub(r"(?i)(\d[-/ .])[^\W\d_]{3,9}\.?([-/ .]\d)", r"\g<1>01\2", text)
    unit = r"(?<=\d) ?[^\W\d_]{1,6}(?:/[^\W\d_]{1,4})?(?=[\"\n;,\t|])"
    return re.sub(unit, "", text)


def rows_of(
    path: Path, encoding: str, delimiter: str, first: int = 1, progress: Progress | None = None
) -> Iterator[Row]:
    """The line and the cells of every row that is not empty, from line `first` on."""
    size = max(1, path.stat().st_size)
    with opened(path) as file, io.TextIOWrapper(file, encoding=encoding, newline="") as stream:
        try:
            for _ in range(first - 1):
                stream.readline(_LONGEST)
            for line, row in _cells(stream, delimiter):
                if progress is not None and line % _CHUNK == 0:
                    progress(min(1.0, file.tell() / size))
                if any(row):
                    yield line + first - 1, row
        except (UnicodeError, csv.Error) as error:
            raise DataError(f"is not a CSV text file ({error})", file=path) from error


def _cells(stream: IO[str], delimiter: str) -> Iterator[Row]:
    """Line and cells of every row."""
    if delimiter == BLANKS:
        lines = enumerate(iter(lambda: stream.readline(_LONGEST), ""), start=1)
        return ((number, line.split()) for number, line in lines)
    reader = csv.reader(stream, delimiter=delimiter)
    return ((reader.line_num, row) for row in reader)
