"""What a command takes: options as records, and how words become values, with one sentence when
they do not."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import inf
from typing import Any, NoReturn

from lstm_mpc.errors import InputError


@dataclass(frozen=True)
class Option:
    """An argument of a command: its flags, or its name where it has a place, and what argparse is
    to know of it."""

    flags: tuple[str, ...]
    keywords: Mapping[str, Any]

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Let `parser` take it."""
        parser.add_argument(*self.flags, **self.keywords)


def option(*flags: str, **keywords: Any) -> Option:
    """An `Option` as argparse would be asked for it."""
    return Option(flags, keywords)


class Parser(argparse.ArgumentParser):
    """One that says what is wrong in a sentence, and knows what was meant."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = super().parse_known_args(args, namespace)
        for word in unknown:
            near = get_close_matches(word.split("=")[0], self._option_string_actions, 1)
            self.error(
                f"unknown argument {word!r}" + (f", did you mean {near[0]}?" if near else "")
            )
        return found, unknown

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; `{self.prog} --help` shows how")


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number of at least 1, got {text!r}")
    return int(text)


def cells(text: str) -> tuple[int, ...]:
    """Cells per layer, as 5 or 4,4."""
    parts = text.split(",")
    if not all(part.isdigit() and 0 < int(part) <= 1000 for part in parts):
        raise argparse.ArgumentTypeError(f"needs cells per layer as 5 or 4,4, got {text!r}")
    return tuple(int(part) for part in parts)


def index(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"needs the number of a scenario, got {text!r}")
    return int(text)


def speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < inf:
        raise argparse.ArgumentTypeError(f"needs a positive number, got {text!r}")
    return value


def port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"needs a port from 1 to 65535, got {text!r}")
    return int(text)


def missing(text: str) -> float:
    """A number that stands for "not measured"; none: no number does."""
    try:
        return float("nan") if text == "none" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"needs a number or none, got {text!r}") from None
