"""The parts of pages that are made from the code, and what mkdocs does to links.

    python docs/site_hook.py        writes the generated parts anew; a test holds them to the code

They stand between `<!-- generated: NAME -->` and `<!-- end -->`. On the site, links into the
repository lose their link."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import os.path
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, get_args, get_type_hints

from lstm_mpc.cli import command_line
from lstm_mpc.data.excitation import Steps
from lstm_mpc.identification.starts import TrainingCandidate
from lstm_mpc.project import design, design_tables

_FIELDS = {
    "input": "inputs",
    "output": "outputs",
    "scenario": "scenarios",
    "import": "foreign",
}  # table -> field of Design, where they differ
_LISTS = ("input", "output", "scenario")
_MARK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """mkdocs calls this with each page."""
    return _LINK.sub(
        lambda found: found[0] if _within(page.file.src_uri, found[2]) else found[1], markdown
    )


def generated(markdown: str) -> str:
    """A page with its generated parts made anew."""
    return _MARK.sub(lambda found: f"{found[1]}\n{GENERATED[found[2]]()}\n\n", markdown)


def _within(page: str, target: str) -> bool:
    """Does a link stay within the site, or lead to the web?"""
    path = target.partition("#")[0]
    return "://" in target or not os.path.normpath(PurePosixPath(page).parent / path).startswith(
        ".."
    )


# -- the design file -------------------------------------------------------------------------------


def design_reference() -> str:
    """Every table of a design with its keys, from the dataclasses that read it."""
    return "\n\n".join(
        part for table in design_tables.TABLES if table != "name" for part in _table(table)
    )


def _table(table: str) -> Iterator[str]:
    yield f"## `{f'[[{table}]]' if table in _LISTS else f'[{table}]'}` {{ #{table} }}"
    if table in _NOTES:
        yield _NOTES[table]
    if table == "observer":
        kinds: Iterable[type] = design_tables.OBSERVERS.values()
    elif table == "safe_set":
        kinds = ()
    else:
        hints = get_type_hints(design.Design)
        kinds = _dataclasses(hints[_FIELDS.get(table, table)])
        if table == "plant":
            kinds = (*kinds, *_dataclasses(hints["model_plant"]))
    for kind in kinds:
        yield from _keys(kind, table)


def _keys(kind: type, table: str) -> Iterator[str]:
    """A dataclass: what it says of itself, its keys, and the dataclasses among its fields that are
    tables of their own."""
    yield inspect.cleandoc(kind.__doc__ or "")
    rows, own = ["| key | type | default |", "|---|---|---|"], []
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        inner = [kind for kind in _dataclasses(hints[field.name]) if kind not in _LISTED]
        if table == "control" and field.name == "observer":
            continue
        if table in ("scenario", "verify_loop") and field.name == "disturbances":
            rows.append(
                f"| *name of a disturbance* | {'steps' if table == 'scenario' else '[low, high]'} |"
                " at rest |"
            )
        elif inner:
            own += inner
        else:
            rows.append(f"| `{field.name}` | {_type(field.type)} | {_default(field)} |")
    yield "\n".join(rows)
    for inner_kind in own:
        if table == "scenario" and inner_kind.__name__ == "Fault":
            yield "### `[[scenario.fault]]` { #scenario-fault }"
        yield from _keys(inner_kind, table)


def _dataclasses(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        yield hint
    for part in get_args(hint):
        yield from _dataclasses(part)


_LISTED = (Steps, TrainingCandidate)  # written as a list in their table, not as tables of their own
_TYPES = (  # what a reader of TOML calls them
    ("ArrayLike", "number or list"),
    ("Steps", "list of [t, value]"),
    ("Pairs", "list of [low, high]"),
    ("Mapping[str, str]", "table of text"),
    ("tuple[TrainingCandidate, ...]", "list of tables with keys of `[train]`"),
    (" | None", ""),
    (" | ", " or "),
    ("tuple[float, float]", "[number, number]"),
    ("tuple[int, ...]", "list of whole numbers"),
    ("tuple[float, ...]", "list of numbers"),
    ("tuple[str, ...]", "list of text"),
    ("float", "number"),
    ("int", "whole number"),
    ("bool", "true or false"),
    ("str", "text"),
)


def _type(annotation: Any) -> str:
    words = (
        annotation
        if isinstance(annotation, str)
        else getattr(annotation, "__name__", str(annotation))
    )
    for name, said in _TYPES:
        words = (
            words.replace(name, said) if not name.isalpha() else re.sub(rf"\b{name}\b", said, words)
        )
    return words


def _default(field: Any) -> str:
    if field.default is dataclasses.MISSING:
        return "" if field.default_factory is not dataclasses.MISSING else "*must be given*"
    if field.default is None:
        return ""
    return f"`{field.default if isinstance(field.default, float) else json.dumps(field.default)}`"


_NOTES = {
    "safe_set": (
        "One key per output, named like it: `[low, high]` [unit], what it must never leave."
        " Default: its measuring range."
    ),
    "plant": "`kind` chooses the simulated plant; the other keys are its own.",
    "observer": (
        'Without this table, or with `kind = "open_loop"`, the open-loop observer of `[control]`'
        " runs. Else `kind` chooses; "
        f"known: {', '.join(f'`{name}`' for name in design_tables.OBSERVERS)}, in this order:"
    ),
    "control": (
        "Beside the keys below, `u_start` [unit]: the inputs in force before control begins"
        " (default: nominal)."
    ),
}


# -- the command line ------------------------------------------------------------------------------


def cli_reference() -> str:
    """Every verb with its options, from the parser."""
    parser = command_line.parser()
    verbs = next(
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    return (
        "\n\n".join(part for name, verb in verbs.choices.items() for part in _verb(name, verb))
        + f"\n\n{parser.epilog}"
    )


def _verb(name: str, verb: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## `{name}` {{ #{name} }}"
    yield verb.description or ""
    rows = ["| argument | meaning |", "|---|---|"]
    for action in verb._actions:
        if isinstance(action, argparse._HelpAction) or action.help is argparse.SUPPRESS:
            continue
        value = (
            f" {action.metavar or action.dest.upper()}"
            if action.option_strings and action.nargs != 0
            else ""
        )
        words = re.sub(
            r", \d+\)", ")", (action.help or "") % vars(action)
        )  # the number of cores is that of the reader's machine
        choices = (
            f"; one of {', '.join(f'`{choice}`' for choice in action.choices)}"
            if action.choices
            else ""
        )
        rows.append(
            f"| `{', '.join(action.option_strings) or action.dest}{value}` | {words}{choices} |"
        )
    yield "\n".join(rows)
    examples = re.split(r" {2,}", (verb.epilog or "").removeprefix("example: "))
    yield f"For example: {', '.join(f'`{example}`' for example in examples)}"


# -- requirements ----------------------------------------------------------------------------------


def requirements() -> str:
    """What the exported controller promises, from the tags in its templates and in the tests:
    number, sentence, functions, tests. An error names a tag that the other side lacks."""
    root = Path(__file__).parents[1]
    sentences, functions = {}, defaultdict(list)
    for path in sorted((root / "lstm_mpc" / "codegen" / "templates" / "controller").iterdir()):
        text = path.read_text(encoding="utf-8")
        for found in re.finditer(r"\{# (R\d+): (.*?) #\}", text):
            sentences[found[1]] = found[2]
            name = re.search(r"(?m)^[A-Za-z][\w *@]*?(\w+)\(", text[found.end() :])
            functions[found[1]].append(f"`{name[1].lstrip('_') if name else path.name}`")
    tests = defaultdict(list)
    for path in sorted((root / "tests").rglob("test_*.py")):
        tagged = r"(?m)^# (R\d+(?:, R\d+)*)\ndef (test_\w+)"
        for numbers, test in re.findall(tagged, path.read_text(encoding="utf-8")):
            for number in numbers.split(", "):
                tests[number].append(f"`{path.relative_to(root)}::{test}`")
    if apart := set(sentences) ^ set(tests):
        raise SystemExit(f"requirements without a test, or tests of none: {sorted(apart)}")
    rows = ["| | promise | in the C | tests |", "|---|---|---|---|"]
    for number in sorted(sentences, key=lambda word: int(word[1:])):
        cells = (sentences[number], ", ".join(functions[number]), "<br>".join(tests[number]))
        rows.append(f"| {number} | {' | '.join(cells)} |")
    return "\n".join(rows)


GENERATED = {"design": design_reference, "cli": cli_reference, "requirements": requirements}


if __name__ == "__main__":
    for page in sorted(Path(__file__).parent.glob("*.md")):
        page.write_text(generated(page.read_text(encoding="utf-8")), encoding="utf-8")
