"""Formulas written as text, `(1 + σ_O) σ_F < 1`, as MathML, which browsers set themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

_WORDS = ("max", "diag", "tanh")
_TOKEN = re.compile(rf"\s*({'|'.join(_WORDS)}|\d+(?:\.\d+)?|\[\[|\]\]|.)")


def math(text: str) -> str:
    """`text` as a `<math>` element. Letters are variables but for max, diag and tanh; _ and ^ lower and raise the next letter, number or
    {group}; [[a & b ; c & d]] is a matrix; the rest are operators."""
    tokens = [token for token in _TOKEN.findall(text.strip()) if token.strip()]
    return f'<math display="block">{_row(iter(tokens))}</math>'


def _row(tokens: Iterator[str], end: str = "") -> str:
    """Items up to `end`."""
    items: list[str] = []
    pending = ""
    for token in tokens:
        if token == end:
            break
        if token in "_^":
            pending += token
            continue
        items.append(_atom(token, tokens))
        if pending:
            script = items.pop()
            tag = "msub" if pending == "_" else "msup"
            items[-1] = f"<{tag}>{items[-1]}{script}</{tag}>"
            pending = ""
    return f"<mrow>{''.join(items)}</mrow>"


def _atom(token: str, tokens: Iterator[str]) -> str:
    if token == "{":
        return _row(tokens, "}")
    if token == "[[":
        return f"<mrow><mo>[</mo><mtable>{_cells(tokens)}</mtable><mo>]</mo></mrow>"
    if token in _WORDS or token.isalpha():
        return f"<mi>{token}</mi>"
    return f"<mn>{token}</mn>" if token[0].isdigit() else f"<mo>{escape(token)}</mo>"


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
    return "".join(f"<mtr>{''.join(f'<mtd>{_row(iter(cell))}</mtd>' for cell in row)}</mtr>" for row in rows)
