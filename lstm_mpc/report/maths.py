"""Formulas written as text, `(1 + σ_O) σ_F < 1`, as MathML, which browsers set themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

_WORDS = ("max", "diag", "tanh")
_TAGS = {"_": "msub", "^": "msup", "/": "mfrac"}
_TOKEN = re.compile(rf"\s*({'|'.join(_WORDS)}|\d+(?:\.\d+)?|\[\[|\]\]|.[\u0300-\u036f]*)")


def math(text: str) -> str:
    """`text` as a `<math>` element. Letters are variables but for max, diag and tanh; _ and ^ lower
    and raise the next letter, number or {group}, a/b is a fraction of two such; [[a & b ; c & d]]
    is a matrix, ~ a space; the rest are operators."""
    tokens = [token for token in _TOKEN.findall(text.strip()) if token.strip()]
    return f'<math display="block">{_row(iter(tokens))}</math>'


def _row(tokens: Iterator[str], end: str = "") -> str:
    """Items up to `end`."""
    items: list[str] = []
    pending = ""
    for token in tokens:
        if token == end:
            break
        if token in _TAGS:
            pending = _TAGS[token]
            continue
        items.append(_atom(token, tokens))
        if pending:
            below = items.pop()
            items[-1] = f"<{pending}>{items[-1]}{below}</{pending}>"
            pending = ""
    return f"<mrow>{''.join(items)}</mrow>"


def _atom(token: str, tokens: Iterator[str]) -> str:
    if token == "{":
        return _row(tokens, "}")
    if token == "[[":
        return f"<mtable>{_cells(tokens)}</mtable>"
    if token == "~":
        return '<mspace width=".5em"></mspace>'
    if token in _WORDS or token[0].isalpha():
        return f"<mi>{token}</mi>"
    if token in "|‖()[]":
        return f'<mo stretchy="false" lspace="0" rspace="0">{token}</mo>'
    return f"<mn>{token}</mn>" if token[0].isnumeric() else f"<mo>{escape(token)}</mo>"


def _cells(tokens: Iterator[str]) -> str:
    rows: list[list[list[str]]] = [[[]]]
    for token in tokens:
        if token == "]]":
            break
        if token == ";":
            rows.append([[]])
        elif token == "&":
            rows[-1].append([])
        else:
            rows[-1][-1].append(token)
    return "".join(
        f"<mtr>{''.join(f'<mtd>{_row(iter(cell))}</mtd>' for cell in row)}</mtr>" for row in rows
    )
