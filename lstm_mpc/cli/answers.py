"""What each command does for a project and the words of the user, and what it answers."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lstm_mpc.errors import InputError

if TYPE_CHECKING:  # the parser is quick without them
    from lstm_mpc.cli.words import Answer
    from lstm_mpc.directory import Project

Words = argparse.Namespace  # what the user wrote, read


def answer(step: str, project: Project, noun: Any) -> Answer:
    """What is printed of `noun`, which a step without options of its own returned."""
    from lstm_mpc.certificates.gate import Release
    from lstm_mpc.cli import words, words_check, words_loop
    from lstm_mpc.project import artefacts
    from lstm_mpc.project.steps import model_steps

    design, folder = project.design, project.folder
    if step == "record":
        return words.recorded(noun, {k: folder / v for k, v in artefacts.DATA.items()})
    if step == "certify":
        return words.certified(noun, project.model)
    if step == "reach":
        sampled = model_steps.sampled_of(design, project.model)
        return words.reached(noun, design, project.model, sampled)
    if step == "control":
        return words_loop.controlled(noun, None)
    if step in ("prove-loop", "prove_loop"):
        return words_check.loop_proved(noun, design)
    if step == "verify-loop":
        passed = Release.load(folder / artefacts.RELEASE)
        return words_loop.loop_verified(noun, passed, project.replay(noun.worst), design)
    if step == "export":
        return words_loop.exported(noun, folder / noun.target)
    if step == "train":
        return words.trained(noun, design)
    if step == "verify":
        return words.verified(noun, design)
    return words.released(noun, design)


def step(name: str) -> Callable[[Project, Words], Answer]:
    """The function of a command that has no options of its own."""
    return lambda project, _: answer(name, project, getattr(project, name)())


_OF_LOG = (  # options of `new` that are keys of [log]
    *("time_format", "header_row", "decimal", "where", "Ts", "resample", "despike", "longest_gap"),
    *("min_samples", "validation", "validation_part"),
)


def new(project: Project, choice: Words) -> Answer:
    """Draft a design."""
    from lstm_mpc.cli import words
    from lstm_mpc.data.log_options import LogOptions
    from lstm_mpc.data.logs.table import open_log
    from lstm_mpc.project.drafting.signal_requests import ask_signals, columns_in, wanted

    columns = columns_in(open_log(choice.data[0], header_row=choice.header_row))
    inputs, outputs, feeds = (
        [wanted(text, columns.names) for text in texts]
        for texts in (choice.input, choice.output, choice.measured)
    )
    if not (inputs and outputs) and sys.stdin.isatty() and not (choice.json or choice.quiet):
        inputs, outputs = ask_signals(columns, input)
    if not (inputs and outputs):
        shown = ", ".join(columns.names)
        raise InputError(
            "new: which columns are inputs, which outputs? Give --input NAME:UNIT:LOW:HIGH and"
            f" --output NAME:UNIT; the columns are {shown:.400}"
        )
    log = LogOptions(
        validation_files=tuple(file.name for file in choice.validation_data),
        time=tuple(choice.time),
        missing=None if choice.missing is None else tuple(v for v in choice.missing if v == v),
        exclude=tuple(map(tuple, choice.exclude)),
        **{name: getattr(choice, name) for name in _OF_LOG},
    )
    files = [*choice.data, *choice.validation_data]
    inputs += [replace(feed, kind="measured") for feed in feeds]
    draft = project.new(files, inputs, outputs, log=log, name=choice.name)
    return words.drafted(draft, project.folder)


def order(project: Project, choice: Words) -> Answer:
    """Compare numbers of cells."""
    from lstm_mpc.cli import words
    from lstm_mpc.project.steps.training_steps import CELLS

    return words.ordered(project.order(choice.cells or CELLS, choice.starts), project.design)


def train(project: Project, choice: Words) -> Answer:
    """Identify the model."""
    return answer("train", project, project.train(choice.origin))


def import_network(project: Project, choice: Words) -> Answer:
    """Take over a network."""
    from lstm_mpc.cli import words
    from lstm_mpc.project.artefacts import MODEL

    return words.imported(project.import_network(choice.file), project.folder / MODEL)


def certify(project: Project, choice: Words) -> Answer:
    """Check conditions, of a design or of any model file."""
    from lstm_mpc.cli import words
    from lstm_mpc.model.model import Model
    from lstm_mpc.project.steps.model_steps import certify_file

    if project.folder.suffix != ".json":
        return answer("certify", project, project.certify(choice.condition or ()))
    certificates = certify_file(project.folder, choice.condition or ("iss",), project.options)
    return words.certified(certificates, Model.load(project.folder))


def validate(project: Project, choice: Words) -> Answer:
    """The model on a further record."""
    from lstm_mpc.cli import words_check
    from lstm_mpc.project.artefacts import FIGURES

    check = project.validate(choice.data)
    path = project.folder / FIGURES / f"validation-{choice.data[0].stem}.png"
    return words_check.validated(check, path)


def inspect(project: Project, _: Words) -> Answer:
    """Step responses and gains of the model."""
    from lstm_mpc.cli import words_check
    from lstm_mpc.project.artefacts import FIGURES

    path = project.folder / FIGURES / "steps.png"
    return words_check.inspected(project.model, project.inspect(), path)


def sign(project: Project, choice: Words) -> Answer:
    """Sign the evidence."""
    from lstm_mpc.cli import words_check

    return words_check.signed(project.sign(choice.key), project.folder)


def check(project: Project, choice: Words) -> Answer:
    """Check the evidence and its signature."""
    from lstm_mpc.cli import words_check

    return words_check.checked(project.check(choice.key), project.folder)


def tune_observer(project: Project, choice: Words) -> Answer:
    """Propose a table for the observer."""
    from lstm_mpc.cli import words_loop

    tuning = project.tune_observer(choice.disturbance)
    return words_loop.tuned(tuning, project.design, project.model)


def control(project: Project, choice: Words) -> Answer:
    """Close the loop."""
    from lstm_mpc.cli import words_loop
    from lstm_mpc.control.run_log import RunLog, start_of_log

    if choice.log_start and not choice.log:
        raise InputError("--log-start needs --log FILE")
    now = datetime.now(UTC).replace(microsecond=0)
    start = start_of_log(choice.log_start) if choice.log_start else now
    log = RunLog(choice.log, start) if choice.log else None
    return words_loop.controlled(project.control(choice.engine, log=log), log)


def verify_loop(project: Project, choice: Words) -> Answer:
    """Sample closed loops, or show one of them."""
    from lstm_mpc.cli import words_loop

    if choice.replay is not None:
        return words_loop.replayed(project.replay(choice.replay), project.design)
    if choice.unprotected and not choice.cluster:
        raise InputError("--unprotected needs --cluster ADDRESS")
    evidence = project.verify_loop(
        cluster=choice.cluster, unprotected=choice.unprotected, scenarios=choice.scenarios
    )
    return answer("verify-loop", project, evidence)


def export(project: Project, choice: Words) -> Answer:
    """Write the model or its controller for elsewhere."""
    return answer("export", project, project.export(choice.target))


def pil(project: Project, choice: Words) -> Answer:
    """Run the controller on emulated cores."""
    from lstm_mpc.cli import words_loop
    from lstm_mpc.export.pil_frames import CORES

    result = project.pil(choice.core or tuple(CORES), double=choice.double)
    return words_loop.pil_measured(result, project.design)


def report(project: Project, choice: Words) -> Answer:
    """Write the report, where a design holds nothing that of its run."""
    from lstm_mpc.cli import words_check
    from lstm_mpc.project.artefacts import results_of

    project = replace(project, folder=results_of(project.folder))
    page = choice.out or project.folder / "report.html"
    report = project.report(page, pdf=choice.pdf)
    return words_check.reported(report, [page, *([page.with_suffix(".pdf")] if choice.pdf else [])])


def compare(project: Project, choice: Words) -> Answer:
    """Write the comparison."""
    from lstm_mpc.cli import words_check

    page = choice.out or project.folder / f"compare-{choice.other.resolve().name}.html"
    return words_check.compared(project.compare(choice.other, page), page)


def run(project: Project, choice: Words) -> Answer:
    """Every step prints as it ends, unless it is all to be one JSON object."""
    from lstm_mpc.cli.console import show
    from lstm_mpc.cli.words import Answer
    from lstm_mpc.project.artefacts import run_folder

    content, began = dict[str, Any](), time.monotonic()

    def on_step(step: str, place: Project, noun: Any) -> None:
        nonlocal began
        result = answer(step, place, noun)
        content[step] = dict(result.content)
        if not choice.json:
            choice.console.clear()
            show([f"== {step} ({time.monotonic() - began:.1f} s)", *result.lines])
        began = time.monotonic()

    project.run(choice.out, on_step=on_step)
    place = choice.out or run_folder(project.folder)
    return Answer([f"→ {place}; then: lstm-mpc report {shlex.quote(str(place))}"], content)


def completion(_: Project, choice: Words) -> Answer:
    """A script for a shell."""
    from lstm_mpc.cli.words import Answer

    return Answer([choice.script(choice.shell)])
