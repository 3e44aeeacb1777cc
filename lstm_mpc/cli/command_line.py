"""`lstm-mpc VERB DIRECTORY`: parser and completion, which follow from the commands, and the exit
codes. The only importer of shtab."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from lstm_mpc.cli.arguments import Parser
from lstm_mpc.cli.commands import COMMANDS, VERBS
from lstm_mpc.cli.console import Console, fail, show, show_json
from lstm_mpc.errors import InputError, LstmMpcError
from lstm_mpc.io import parallel
from lstm_mpc.io.artefact_file import VERSION

_CODES = (
    "Exit codes: 0 done, 2 bad input, 3 refused by the gate, 4 a condition does not hold, 130"
    " interrupted, 1 anything else."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `lstm-mpc`.

    Args:
        arguments: The words after it; by default those of the process.

    Returns:
        The exit code: 0, or that of the error.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ρ shows a question mark
    try:
        with parallel.ctrl_c(parallel.interrupt):
            return _main(_choice(list(sys.argv[1:] if arguments is None else arguments)))
    except BrokenPipeError:  # nobody listens any more (`| head`): end as silently as others do
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    whole = Parser(
        prog="lstm-mpc",
        description="Identify, certify, verify, release, control and export stable LSTM models.",
        epilog=_CODES,
    )
    whole.add_argument("--version", action="version", version=f"lstm-mpc {VERSION}")
    verbs = whole.add_subparsers(dest="verb", required=True, metavar="VERB")
    for command in COMMANDS:
        verb = verbs.add_parser(
            command.name,
            help=command.help,
            description=command.help[0].upper() + command.help[1:] + ".",
            epilog=f"example: {'          '.join(command.examples)}",
        )
        for option in command.options:
            option.add_to(verb)
    return whole


_FOLDERS = ("directory", "out", "DIR")  # arguments that name a folder; other paths are files


def script(shell: str) -> str:
    """The script that completes verbs, options, choices, folders and files in a `shell` of
    SHELLS."""
    import shtab

    whole = parser()
    for action in _actions(whole):
        if action.type is Path:
            folder = action.dest in _FOLDERS and "file" not in (action.help or "")
            kind = shtab.DIRECTORY if folder else shtab.FILE
            action.complete = kind  # type: ignore[attr-defined]  # where shtab looks for it
    return str(shtab.complete(whole, shell))


def _actions(some: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in some._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from _actions(verb)


def _choice(words: list[str]) -> argparse.Namespace:
    """What the user asked for, or SystemExit with code 2 and a sentence."""
    try:
        if not words:
            raise InputError(
                f"which verb? {', '.join(VERBS)}; `lstm-mpc --help` says what each does"
            )
        if not words[0].startswith("-") and words[0] not in VERBS:
            near = get_close_matches(words[0], VERBS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(VERBS)}"
            raise InputError(f"unknown verb {words[0]!r}; {hint}")
        return parser().parse_args(words)
    except InputError as error:
        raise SystemExit(fail("--json" in words, error)) from None


def _main(choice: argparse.Namespace) -> int:
    as_json = getattr(choice, "json", False)
    quiet = as_json or getattr(choice, "quiet", True)
    console = choice.console = Console(quiet)
    choice.script = script
    try:
        from lstm_mpc.directory import Project
        from lstm_mpc.project.artefacts import Options

        workers = getattr(choice, "workers", parallel.cores())
        options = Options(console.progress, getattr(choice, "force", False), workers)
        project = Project(getattr(choice, "directory", Path()), options)
        answer = VERBS[choice.verb].function(project, choice)
    except BrokenPipeError:
        raise
    except (LstmMpcError, OSError, MemoryError, KeyboardInterrupt) as error:
        console.clear()
        if isinstance(error.__cause__, FileNotFoundError):
            _add_place(choice, error)
        return fail(as_json, error)
    console.clear()
    if as_json:
        show_json(dict(answer.content))
    elif answer.lines:
        show(answer.lines)
    return answer.code


def _add_place(choice: argparse.Namespace, error: BaseException) -> None:
    """To an error about a file that is missing, where a run has left it."""
    from lstm_mpc.project.artefacts import results_of

    folder = getattr(choice, "directory", Path())
    if (place := results_of(folder)) != folder:
        error.add_note(
            f"what `run` computed of this design lies in {place}: lstm-mpc {choice.verb}"
            f" {shlex.quote(str(place))}"
        )
