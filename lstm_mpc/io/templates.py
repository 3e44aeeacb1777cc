"""Texts made from templates: C, Markdown, HTML, XML and build files. The only importer of jinja2.

A template lies in `<room>/templates/`. In C its placeholders are @name@, so that braces stay C's,
elsewhere {{ name }}. What is filled in is escaped for the language of the file: by itself in HTML,
XML and Markdown; in C and build files only plain words and numbers are taken as they are, and any
other text has to say by a filter what it becomes."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

WIDTH = 100  # columns of a comment
_LANGUAGES = {
    "c": (".c", ".h", ".ino", ".ld"),
    "markup": (".html", ".xml", ".css"),
    "markdown": (".md",),
    "text": (".txt",),
}  # every other file is a build file


class Raw(str):
    """Text that is already in the language of the file that it is filled into."""


def render(room: str, file: str, /, **words: Any) -> str:
    """The text of `<room>/templates/<file>` with `words` filled in; an undefined word is an
    error, as is text that no filter has made fit for the language. `NAME` is `name` in capitals."""
    if isinstance(name := words.get("name"), str):
        words.setdefault("NAME", name.upper())
    return _engine(language(file)).get_template(f"{room}/templates/{file}").render(words)


def language(file: str) -> str:
    ending = posixpath.splitext(file)[1]
    return next((name for name, endings in _LANGUAGES.items() if ending in endings), "build")


def engine(language: str) -> jinja2.Environment:
    """The engine for the files of one language, to which a caller may add filters of its own."""
    import jinja2

    class Relative(jinja2.Environment):
        """What is included lies beside the file that includes it."""

        def join_path(self, template: str, parent: str) -> str:
            return posixpath.normpath(posixpath.join(posixpath.dirname(parent), template))

    opening, closing = ("@", "@") if language == "c" else ("{{", "}}")
    made = Relative(
        loader=jinja2.PackageLoader("lstm_mpc", "."),
        autoescape=language == "markup",
        undefined=jinja2.StrictUndefined,
        finalize=_FINAL.get(language),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        variable_start_string=opening,
        variable_end_string=closing,
    )
    made.filters |= _FILTERS
    return made


_engine = lru_cache(engine)


def _plain(value: Any) -> Any:
    """Words and numbers as they are; ValueError for any other text that no filter has escaped."""
    if isinstance(value, Raw) or type(value) in (int, float, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[\w.+-]*", value, re.ASCII):
        return value
    raise ValueError(f"a template takes {str(value)!r} through a filter of its language only")


def markdown(text: Any) -> Any:
    """`text` so that Markdown shows it as it stands in a sentence."""
    if isinstance(text, Raw) or not isinstance(text, str):
        return text
    text = re.sub(r"[\\`]|[*~](?=\S)|(?<!\w)_(?=\S)", r"\\\g<0>", text)  # what begins emphasis
    text = re.sub(r"\](?=[(\[:])", r"\\]", text)
    text = re.sub(r"<(?=[A-Za-z/!?])", r"\\<", text)
    text = re.sub(r"&(?=#?\w+;)", r"\\&", text)
    return Raw(re.sub(r"^(#|[-+>=]|\d+[.)]( |$))", r"\\\g<0>", text))


def cell(text: Any) -> Any:
    """`text` for the cell of a table in Markdown."""
    return Raw(markdown(text).replace("|", r"\|")) if isinstance(text, str) else text


def code(text: str) -> Raw:
    """`text` for a code span in Markdown, in the cell of a table too."""
    return Raw(text.replace("`", "'").replace("|", r"\|"))


def in_comment(text: str) -> str:
    """`text` so that it ends no comment of C, begins none, and joins no lines."""
    text = text.replace("\\", "∖")  # a backslash would join lines, before comments are looked for
    text = re.sub(r"\?(?=\?)", "? ", text)  # trigraphs: ??/ is a backslash
    return re.sub(r"\*(?=/)|/(?=\*)", r"\g<0> ", text)


def comment(text: str, indent: str = " * ") -> Raw:
    """`text` as lines of a comment of C, each after `indent`."""
    lines = wrap(in_comment(text), WIDTH - len(indent)) or [""]
    return Raw("\n".join((indent + line).rstrip() for line in lines))


def words(texts: str | Iterable[str]) -> Raw:
    """One text or several, separated by commas, within a line of a comment of C."""
    return Raw(in_comment(texts if isinstance(texts, str) else ", ".join(texts)))


def c_string(text: str) -> Raw:
    """`text` as a string of C; what is not ASCII is written in bytes of UTF-8."""
    escaped = {ord("\\"): r"\\", ord('"'): r"\"", ord("?"): r"\?"}
    return Raw(
        '"'
        + "".join(
            escaped.get(byte, chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}")
            for byte in text.encode()
        )
        + '"'
    )


def number(value: float) -> Raw:
    """The shortest text that is exactly this number; NAN and INFINITY as in math.h."""
    if math.isfinite(value):
        return Raw(repr(float(value)))
    return Raw("NAN" if math.isnan(value) else "INFINITY" if value > 0 else "-INFINITY")


def numbers(values: Iterable[float]) -> Raw:
    return Raw(", ".join(number(value) for value in values))


def folded(line: str) -> Raw:
    """A line of the preprocessor in as many lines as it needs."""
    return Raw(" \\\n  ".join(wrap(line, WIDTH - 4, break_long_words=False)))


def integers(values: Iterable[int]) -> Raw:
    return Raw(", ".join(str(int(value)) for value in values))


_FINAL: dict[str, Callable[[Any], Any]] = {"c": _plain, "build": _plain, "markdown": markdown}
_FILTERS: dict[str, Callable[..., Any]] = {
    "comment": comment,
    "words": words,
    "c_string": c_string,
    "cell": cell,
    "code": code,
    "number": number,
    "numbers": numbers,
    "integers": integers,
    "folded": folded,
    "raw": Raw,
}
