"""How a noun shows itself: one line in a console, a table in a notebook, a figure when asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import singledispatch
from html import escape
from importlib import import_module
from typing import Any

import numpy as np

_LONGEST, _WORD = 119, 28  # [characters] of a line, and of one text in it
# Pictures stand above the nouns they show: their room adds itself to `drawing` when it is loaded,
# by its name and only when the first figure is wanted, so that no room below imports matplotlib.
_PICTURES = "lstm_mpc.plots.pictures"


class Displayed(ABC):
    """A noun that says in `_facts` what a person wants to know of it, and in `_tables` (title,
    rows, the first of them the head) what else a notebook shows."""

    @abstractmethod
    def _facts(self) -> Mapping[str, Any]:
        """Name -> value, for one line."""

    def _tables(self) -> Iterator[tuple[str, Sequence[Sequence[Any]]]]:
        yield from ()

    def __repr__(self) -> str:
        return one_line(type(self).__name__, **self._facts())

    def _repr_html_(self) -> str:
        facts = [(name, _value(value)) for name, value in self._facts().items()]
        return table(type(self).__name__, facts) + "".join(
            table(title, rows, head=head) for title, (head, *rows) in self._tables()
        )


def one_line(name: str, /, **facts: Any) -> str:
    """`name(fact=value, …)`, under 120 characters; long texts and what does not fit end in …"""
    values = [f"{key}={_literal(value)}" for key, value in facts.items()]
    line = f"{name}({', '.join(values)})"
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 2]}…)"


def table(title: str, rows: Iterable[Sequence[Any]], *, head: Sequence[Any] = ()) -> str:
    """An HTML table with a caption; the first cell heads its row, everything is escaped."""
    parts = [f"<table><caption>{_cell(title)}</caption>"]
    if head:
        cells = "".join(f'<th scope="col">{_cell(cell)}</th>' for cell in head)
        parts.append(f"<thead><tr>{cells}</tr></thead>")
    parts.append("<tbody>")
    for first, *others in rows:
        cells = "".join(f"<td>{_cell(cell)}</td>" for cell in others)
        parts.append(f'<tr><th scope="row">{_cell(first)}</th>{cells}</tr>')
    return "".join([*parts, "</tbody></table>"])


def draw(noun: object, *args: Any, **options: Any) -> Any:
    """The matplotlib figure of a noun."""
    import_module(_PICTURES)
    return drawing(noun, *args, **options)


@singledispatch
def drawing(noun: object, *args: Any, **options: Any) -> Any:
    """What draws a noun, by its type."""
    raise TypeError(f"there is no picture of a {type(noun).__name__}")


def _literal(value: Any) -> str:
    if not isinstance(value, str):
        return _value(value)
    return repr(value if len(value) <= _WORD else f"{value[: _WORD - 1]}…")


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_value, value))}{',' if len(value) == 1 else ''})"
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _cell(value: Any) -> str:
    return escape(_value(value))
