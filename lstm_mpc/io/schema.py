"""Tables of a TOML or JSON file as dataclasses: their fields are the keys, and a key or type that
does not fit is one sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

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


def known(table: Mapping[str, Any], names: Any, where: str) -> None:
    for key in table:
        if key not in names:
            near = get_close_matches(key, names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
            raise InputError(f"unknown key {key!r:.60} in {where}; {hint}")


def make(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    """A dataclass from a TOML table; every key must be a field, every value of the field's type."""
    hints = get_type_hints(kind)
    known(table, [f.name for f in dataclasses.fields(kind)], where)
    for key, value in table.items():
        if not fits(value, hints[key]):
            expected = (
                "a number or a list of numbers"
                if hints[key] in NUMBERS
                else getattr(hints[key], "__name__", hints[key])
            )
            raise InputError(
                f"{where} {key} = {value!r:.60} is of the wrong type, expected {expected}"
            )
    try:
        return kind(
            **{
                key: tuple(value) if isinstance(value, list) else value
                for key, value in table.items()
            }
        )
    except TypeError as error:
        raise InputError(f"{where}: {error}") from error


def fits(value: Any, hint: Any) -> bool:
    """Has a TOML value the annotated type? A whole number may stand for a real one, a list for a
    tuple."""
    if hint in NUMBERS:
        return fits(value, float) or (
            isinstance(value, list) and all(fits(v, float) for v in value)
        )
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        kinds = (
            (kinds[0],) * len(value) if isinstance(value, list) and kinds[-1] is Ellipsis else kinds
        )
        return isinstance(value, list) and len(value) == len(kinds) and all(map(fits, value, kinds))
    if get_origin(hint) is UnionType:
        return any(fits(value, kind) for kind in get_args(hint))
    if get_origin(hint) is Mapping:
        return isinstance(value, dict) and all(fits(v, get_args(hint)[1]) for v in value.values())
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    if isinstance(value, int) and hint in (int, float):
        return abs(value) < _WHOLE
    return isinstance(value, hint)


def noun(kind: Any, value: Any, where: str = "it") -> Any:
    """A JSON value as the annotated type `kind`, dataclasses within dataclasses; InputError names
    the first place that does not fit. Numbers stay as they are, lists become tuples where tuples
    are meant."""
    origin, kinds = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        hints, fields = get_type_hints(kind), {f.name: f for f in dataclasses.fields(kind)}
        if not isinstance(value, dict):
            raise InputError(f"{where} is {value!r:.40}, not a table")
        known(value, fields, where)
        for name, field in fields.items():
            if (
                name not in value
                and field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING
            ):
                raise InputError(f"{where} lacks {name!r}")
        build: Any = kind
        return build(
            **{
                name: noun(
                    hints[name], item, repr(name) if where == "it" else f"{name!r} of {where}"
                )
                for name, item in value.items()
            }
        )
    if origin is tuple and isinstance(value, list):
        wanted = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        if len(value) == len(wanted):
            return tuple(
                noun(k, item, f"{where}[{i}]")
                for i, (k, item) in enumerate(zip(wanted, value, strict=True))
            )
    elif origin is list and isinstance(value, list):
        return [noun(kinds[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    elif origin in (dict, Mapping) and isinstance(value, dict):
        return {key: noun(kinds[1], item, f"{where}[{key!r:.40}]") for key, item in value.items()}
    elif origin in (UnionType, Union):
        for choice in kinds:
            with suppress(InputError):
                return noun(choice, value, where)
    elif isinstance(kind, type) and fits(value, kind):
        return value
    raise InputError(f"{where} is {value!r:.40}, not {_words(kind)}")


_WORDS = {
    float: "a number",
    int: "a whole number",
    str: "text",
    bool: "true or false",
    NoneType: "null",
}


def _words(kind: Any) -> str:
    """A type as people say it."""
    origin, kinds = get_origin(kind), get_args(kind)
    if origin is tuple and kinds[-1] is not Ellipsis:
        return f"a list of {len(kinds)}"
    if origin in (tuple, list):
        return f"a list, each {_words(kinds[0])}"
    if origin in (UnionType, Union):
        return " or ".join(map(_words, kinds))
    return _WORDS.get(kind, "a table")
