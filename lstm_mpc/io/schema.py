"""Tables of a TOML or JSON file as dataclasses: their fields are the keys, and a key or type that
does not fit is one sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.errors import InputError

NUMBERS = (ArrayLike, ArrayLike | None)
_WHOLE = 2**63  # nothing is counted so far, and every float holds it


def table_of(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The table `[key]`, empty where the design has none."""
    table = content.get(key, {})
    if not isinstance(table, Mapping):
        raise InputError(f"[{key}] must be a table, got {table!r:.40}")
    return dict(table)


def tables_of(content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The tables `[[key]]`, none where the design has none."""
    tables = content.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        raise InputError(f"[[{key}]] must be a list of tables, got {tables!r:.40}")
    return [dict(table) for table in tables]


def refuse_unknown(
    table: Mapping[str, Any], names: Iterable[str], where: str, renamed: Mapping[str, str] = {}
) -> None:
    """Raise InputError for the first key of `table` that is none of `names`; for an old one in
    `renamed` it says the new name."""
    names = list(names)
    for key in table:
        if key in names:
            continue
        if key in renamed:
            raise InputError(f"{key!r} in {where} is called {renamed[key]!r} now; rename it")
        near = get_close_matches(key, names, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
        raise InputError(f"unknown key {key!r:.60} in {where}; {hint}")


def fits(value: Any, hint: Any) -> bool:
    """Has a value the annotated plain type? A whole number may stand for a real one, a list of
    numbers for an array."""
    if hint in NUMBERS:
        return fits(value, float) or (
            isinstance(value, list) and all(fits(v, float) for v in value)
        )
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    if isinstance(value, int) and hint in (int, float):
        return abs(value) < _WHOLE
    return isinstance(hint, type) and isinstance(value, hint)


def noun(kind: Any, value: Any, where: str = "it", renamed: Mapping[str, str] = {}) -> Any:
    """A value of a TOML or JSON file as the annotated type `kind`, dataclasses within dataclasses.

    Args:
        kind: a type annotation.
        value: what the file holds; records that are built already are taken as they are.
        where: what messages call it, such as "[train]".
        renamed: old key -> its name today, for the message that an old file gets.

    Returns:
        The value; numbers stay as they are, lists become tuples where tuples are meant.

    Raises:
        InputError: names the first place that does not fit.
    """
    origin, kinds = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, where, renamed)
    if origin is np.ndarray and isinstance(value, list):
        return _array(value, where)
    if kind in NUMBERS:  # a union, of text too
        if fits(value, kind):
            return tuple(value) if isinstance(value, list) else value
    elif origin is tuple and isinstance(value, list):
        each = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        if len(value) == len(each):
            return tuple(
                noun(k, item, f"{where}[{i}]")
                for i, (k, item) in enumerate(zip(each, value, strict=True))
            )
    elif origin is list and isinstance(value, list):
        return [noun(kinds[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    elif origin in (dict, Mapping) and isinstance(value, dict):
        return {key: noun(kinds[1], item, _entry(where, key)) for key, item in value.items()}
    elif origin in (UnionType, Union):
        if isinstance(value, dict) and len(tables := [k for k in kinds if k is not NoneType]) == 1:
            return noun(tables[0], value, where)
        for choice in kinds:
            with suppress(InputError):
                return noun(choice, value, where)
    elif fits(value, kind):
        return value
    raise InputError(f"{where} is {value!r:.40}, not {_words(kind, _is_table(where))}")


def _record(kind: Any, value: Any, where: str, renamed: Mapping[str, str]) -> Any:
    """A table as the dataclass `kind`, or as that reads itself."""
    if isinstance(value, kind):
        return value
    if hasattr(kind, "from_content"):
        return kind.from_content(value, where)
    return kind(**fields_of(kind, value, where, renamed))


def _array(value: list[Any], where: str) -> Any:
    """Numbers as an array."""
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where} is {value!r:.40}, not numbers of a regular shape") from error


def fields_of(kind: Any, value: Any, where: str, renamed: Mapping[str, str] = {}) -> dict[str, Any]:
    """The fields that the dataclass `kind` is made of, from a table."""
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}
    if not isinstance(value, dict):
        raise InputError(f"{where} is {value!r:.40}, not a table")
    refuse_unknown(value, fields, where, renamed)
    missing = [
        repr(name)
        for name, field in fields.items()
        if name not in value
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InputError(f"{where} lacks {' and '.join(missing)}")
    return {k: noun(hints[k], item, _field(where, k)) for k, item in value.items()}


def _is_table(where: str) -> bool:
    """Is it a table of a design, which people know by its name in brackets?"""
    return where.startswith("[")


def _field(where: str, name: str) -> str:
    if _is_table(where):
        return f"{where} {name}"
    return repr(name) if where == "it" else f"{name!r} of {where}"


def _entry(where: str, key: str) -> str:
    return f"{where} {key:.40}" if _is_table(where) else f"{where}[{key!r:.40}]"


_WORDS = {
    float: "number",
    int: "whole number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
    Any: "anything",
}
_UNCOUNTED = (bool, str, NoneType, Any)


def _words(kind: Any, toml: bool = False) -> str:
    """A type as people say it; `toml` has no null."""
    origin, kinds = get_origin(kind), get_args(kind)
    if kind in NUMBERS:
        return "a number or a list of numbers"
    if origin is tuple and kinds[-1] is not Ellipsis:
        return f"a list of {len(kinds)}"
    if origin in (tuple, list):
        return f"a list of {_plural(kinds[0])}"
    if origin in (UnionType, Union):
        return " or ".join(_words(k, toml) for k in kinds if not (toml and k is NoneType))
    name = _WORDS.get(kind, "table")
    return name if kind in _UNCOUNTED else f"a {name}"


def _plural(kind: Any) -> str:
    if get_origin(kind) in (tuple, list):
        return f"lists of {len(get_args(kind))}"
    return _WORDS[kind] if kind in _UNCOUNTED else f"{_WORDS.get(kind, 'table')}s"
