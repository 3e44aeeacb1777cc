"""Completion scripts for shells, made from the parser by shtab: its only importer."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

SHELLS = ("bash", "zsh", "fish")
_FOLDERS = ("directory", "out", "DIR")  # arguments that name a folder; other paths are files


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that completes verbs, options, choices, folders and files of `parser` in a `shell`
    of SHELLS."""
    import shtab

    for action in _actions(parser):
        if action.type is Path:
            folder = action.dest in _FOLDERS and "file" not in (action.help or "")
            kind = shtab.DIRECTORY if folder else shtab.FILE
            action.complete = kind  # type: ignore[attr-defined]  # where shtab looks for it
    return str(shtab.complete(parser, shell))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from _actions(verb)
