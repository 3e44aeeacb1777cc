"""Which rows of a log count: `where`, a condition on its columns, and periods that are left out."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_mpc.data.logs.numbers import Mask, Style
from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array

_COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_QUOTED = re.compile(r"`([^`]+)`")
_EXAMPLE = "write it like MODE == 'AUTO' or `FIC-1.MODE` in ('AUTO', 'CAS') and SPEED > 10"


@dataclass(frozen=True)
class Where:
    """A condition on the cells of a row; `columns` are the names in it."""

    text: str
    tree: ast.expr
    columns: tuple[str, ...]

    def holds(self, cells: Sequence[str], styles: Sequence[Style]) -> bool:
        """Does a row with these cells of `columns` satisfy it?

        InputError where text is compared with a number by size.
        """
        names = dict(zip(self.columns, zip(cells, styles, strict=True), strict=True))
        try:
            return bool(_value(self.tree, names))
        except TypeError as error:
            problem = f"where: {self.text!r:.80} compares text with a number"
            raise InputError(f"{problem}; put text into quotes, numbers without") from error


def where_of(text: str) -> Where:
    """Read a condition: comparisons of columns with numbers and text, with and, or, not, in.

    A name that is no word stands between backticks. InputError names what cannot be read.
    """
    quoted = _QUOTED.findall(text)
    plain = text
    for k, name in enumerate(quoted):
        plain = plain.replace(f"`{name}`", f"_column_{k}", 1)
    try:
        tree = ast.parse(plain.strip(), mode="eval").body
        names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
        _check(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"where: {text!r:.80} is no condition; {_EXAMPLE}") from error
    real = {f"_column_{k}": name for k, name in enumerate(quoted)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = real.get(node.id, node.id)
    columns = tuple(dict.fromkeys(real.get(name, name) for name in names))
    if not columns:
        raise InputError(f"where: {text!r:.80} names no column; {_EXAMPLE}")
    return Where(text, tree, columns)


def _check(tree: ast.expr) -> None:
    """ValueError for anything but comparisons of names and constants."""
    if isinstance(tree, ast.BoolOp):
        for value in tree.values:
            _check(value)
    elif isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
        _check(tree.operand)
    elif isinstance(tree, ast.Compare):
        for part in (tree.left, *tree.comparators):
            parts = part.elts if isinstance(part, (ast.Tuple, ast.List)) else [part]
            for each in parts:
                _operand(each)
        if not all(type(op) in _COMPARE for op in tree.ops):
            raise ValueError("operator")
    else:
        raise ValueError("no comparison")


def _operand(node: ast.expr) -> None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    constant = isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float))
    if not constant and not isinstance(node, ast.Name):
        raise ValueError("operand")


def _value(node: ast.expr, names: dict[str, tuple[str, Style]]) -> Any:
    if isinstance(node, ast.BoolOp):
        parts = (_value(value, names) for value in node.values)
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    if isinstance(node, ast.UnaryOp):
        value = _value(node.operand, names)
        return not value if isinstance(node.op, ast.Not) else -value
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.Tuple, ast.List)):
        return [_value(part, names) for part in node.elts]
    if isinstance(node, ast.Name):
        return names[node.id]
    assert isinstance(node, ast.Compare)
    sides = [_value(side, names) for side in (node.left, *node.comparators)]
    return all(
        _compared(_COMPARE[type(op)], a, b)
        for op, a, b in zip(node.ops, sides, sides[1:], strict=False)
    )


def _compared(operator: Callable[[Any, Any], bool], a: Any, b: Any) -> bool:
    """A cell counts as text beside text, as a number beside a number; an empty one as neither."""
    others = [x for side in (a, b) for x in (side if isinstance(side, list) else [side])]
    text = any(isinstance(x, str) for x in others)

    def plain(side: Any) -> Any:
        if isinstance(side, list):
            return [plain(x) for x in side]
        if not isinstance(side, tuple):
            return side
        cell, style = side
        if text:
            return cell.strip()
        try:
            number = style.number(cell)
        except ValueError:
            number = None
        return float("nan") if number is None else number

    return operator(plain(a), plain(b))


def outside(t: Array, periods: Sequence[tuple[float, float]]) -> Mask:
    """Which times (N,) lie in none of the periods, their ends included."""
    keep = np.ones(len(t), dtype=bool)
    for start, end in periods:
        keep &= ~((t >= start) & (t <= end))
    return keep
