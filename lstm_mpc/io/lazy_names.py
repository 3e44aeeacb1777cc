"""The names of a package, each loaded from its file when it is first asked for."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package.

    Its names are those that its `__init__` imports under `if TYPE_CHECKING:`, so that they stand in
    one place, where type checkers and editors look for them."""
    homes = {
        alias.name: str(line.module)
        for block in ast.parse(_source(package)).body
        if isinstance(block, ast.If)
        for line in block.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    module = sys.modules[package]

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(module, name, value)
        return value

    return load, lambda: sorted({*vars(module), *homes}), sorted(homes)


def _source(package: str) -> str:
    spec = find_spec(package)
    loader: Any = None if spec is None else spec.loader
    return str(loader.get_source(package))
