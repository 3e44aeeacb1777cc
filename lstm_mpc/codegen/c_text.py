"""What a C compiler makes of a text, so that evidence of a program does not depend on its comments
and layout."""

from __future__ import annotations

import re

# Where compilers differ, or where lines and comments may count: trigraphs, ends and joins of lines
# of other kinds, another spelling of #, joined tokens, macros that read their place, raw strings.
_DOUBT = re.compile(
    r"\?\?[=/'()!<>-]|[^\S\n ]|\\ +\n|%:|##|__LINE__|__FILE__|__COUNTER__|__has_|_Pragma|R\""
)
_PIECE = re.compile(
    r"(?P<comment>/\*(?s:.*?)\*/|//[^\n]*)|(?P<blank>[ \n]+)|(?P<wrong>/\*|\\)"
    r'|"(?:\\[^\n]|[^"\\\n])*"|\'(?:\\[^\n]|[^\'\\\n])*\'|(?P<open>["\'])|[^"\'\\/ \n]+|/'
)
_INCLUDE = re.compile(r'# ?include ?(?:<[\w.]+(?:/[\w.]+)*>|"[\w.]+(?:/[\w.]+)*")')


def without_comments(text: str) -> str:
    """A C text with its lines joined, every comment and every blank as one space, and directives on
    lines of their own: two texts that give the same have the same tokens.

    A text that compilers may read in several ways is given back as it stands, so that everything
    in it counts.

    Args:
        text: The C source.

    Returns:
        The text without comments and layout.
    """
    joined = text.replace("\\\n", "")
    pieces = list(_PIECE.finditer(joined))
    doubtful = _DOUBT.search(text) or _DOUBT.search(joined)
    if doubtful or any(piece["wrong"] or piece["open"] for piece in pieces):
        return text
    lines = _directives(_spaced(pieces))
    names = [line for line in lines if line[0] == "#" and re.search("include|import|embed", line)]
    return "\n".join(lines) if all(map(_INCLUDE.fullmatch, names)) else text


def _spaced(pieces: list[re.Match[str]]) -> list[str]:
    """The pieces of a text, with one blank or one end of a line between those that were apart."""
    apart = [""]
    for piece in pieces:
        blank = piece["comment"] or piece["blank"]
        if blank is None:
            apart += [piece[0], ""]
        elif piece["blank"] and "\n" in blank:
            apart[-1] = "\n"
        else:
            apart[-1] = apart[-1] or " "
    return apart


def _directives(apart: list[str]) -> list[str]:
    """Directives one a line, and what stands between two of them on one line."""
    result, code = list[str](), ""
    for line in "".join(apart).split("\n"):
        if line.strip(" ").startswith("#"):
            result += [code, line.strip(" ")]
            code = ""
        else:
            code = f"{code} {line}".strip(" ")
    return [part for part in (*result, code) if part]
