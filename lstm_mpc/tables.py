"""Tables of a TOML file as dataclasses: their fields are the keys, and a key or type that does not fit is one sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from numpy.typing import ArrayLike

from lstm_mpc.errors import InputError

NUMBERS = (ArrayLike, ArrayLike | None)


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
            raise InputError(f"unknown key {key!r} in {where}; {hint}")


def make(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    """A dataclass from a TOML table; every key must be a field, every value of the field's type."""
    hints = get_type_hints(kind)
    known(table, [f.name for f in dataclasses.fields(kind)], where)
    for key, value in table.items():
        if not fits(value, hints[key]):
            expected = "a number or a list of numbers" if hints[key] in NUMBERS else getattr(hints[key], "__name__", hints[key])
            raise InputError(f"{where} {key} = {value!r} is of the wrong type, expected {expected}")
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})
    except TypeError as error:
        raise InputError(f"{where}: {error}") from error


def fits(value: Any, hint: Any) -> bool:
    """Has a TOML value the annotated type? A whole number may stand for a real one, a list for a tuple."""
    if hint in NUMBERS:
        return fits(value, float) or (isinstance(value, list) and all(fits(v, float) for v in value))
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        kinds = (kinds[0],) * len(value) if isinstance(value, list) and kinds[-1] is Ellipsis else kinds
        return isinstance(value, list) and len(value) == len(kinds) and all(map(fits, value, kinds))
    if get_origin(hint) is UnionType:
        return any(fits(value, kind) for kind in get_args(hint))
    if get_origin(hint) is Mapping:
        return isinstance(value, dict) and all(fits(v, get_args(hint)[1]) for v in value.values())
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    return isinstance(value, (int, float) if hint is float else hint)
