"""Reads the pages of the documentation and runs what stands in their blocks, in a folder that looks
like the repository."""

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from places import ROOT

from lstm_mpc import directory, plots
from lstm_mpc.assurance import loop_verification
from lstm_mpc.certificates import reachability, scenarios
from lstm_mpc.certificates.evidence import LoopVerification, Tubes, Verification
from lstm_mpc.cli import command_line, words_loop
from lstm_mpc.control import loop_metrics, simulation
from lstm_mpc.identification import multistart
from lstm_mpc.model.model import Model
from lstm_mpc.project.artefacts import (
    ASSURANCE,
    LOOP,
    MODEL,
    PIL,
    TRAINING,
    TUBES,
    VERIFICATION,
)
from lstm_mpc.project.steps import export_steps, loop_steps

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ("python", "console")  # languages that run; toml is read; text after python is what it prints
_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>(?:slow|shipped|file|not run|needs).*?)"
    r" -->\n)?```(?P<language>\S*)\n(?P<text>.*?)^```$",
    re.M | re.S,
)
# what a page may call besides lstm-mpc
_TOOLS = ("cp", "sed", "head", "ls", "cat", "make", "mkdir")


@dataclass(frozen=True)
class Block:
    """A fenced block: `mark` is what the HTML comment before it says, `printed` the text block that
    follows a python one."""

    line: int
    mark: str
    language: str
    text: str
    printed: str | None = None

    @property
    def runs(self):
        """Does a test run it? What `needs PACKAGE` runs where that is installed."""
        word, _, package = self.mark.partition(" ")
        return (
            (self.language in RUN or word == "file")
            and word != "not"
            and (word != "needs" or find_spec(package) is not None)
        )


def blocks_of(text):
    found, end = [], None
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        block = Block(line, match["mark"] or "", match["language"], match["text"])
        if (
            block.language == "text"
            and found
            and found[-1].language == "python"
            and not text[end : match.start()].strip()
        ):
            found[-1] = replace(found[-1], printed=block.text)
        else:
            found.append(block)
        end = match.end()
    return found


def matches(shown, printed):
    """Is `printed` what is shown? An … within a line stands for any text in it, a line of … alone
    for any lines."""
    pattern = "".join(
        (
            r"(?:.*\n)*?"
            if line.strip() == "…"
            else ".*?".join(re.escape(part) for part in line.rstrip().split("…")) + r"[ ]*\n"
        )
        for line in shown.splitlines()
    )
    return (
        re.fullmatch(pattern, printed if not printed or printed.endswith("\n") else printed + "\n")
        is not None
    )


def commands_of(text):
    """[(command, what it is shown to print), …] of a console block."""
    first, *rest = re.split(r"^\$ ", text, flags=re.M)
    assert not first.strip(), f"a console block begins with `$ `, not with {first!r:.60}"
    return [(command, shown) for command, _, shown in (part.partition("\n") for part in rest)]


def added(folder, names):
    """For `copytree`: what verbs have put beside the files of a design that is shipped."""
    return [
        name
        for name in names
        if "design.toml" in names and Path(name).suffix not in (".toml", ".json", ".jsonl", ".csv")
    ]


class Session:
    """One page's blocks, in order: one namespace, one folder, the current one. What fails is
    followed by `echo $?`."""

    def __init__(self, folder):
        for name in ("models", "examples"):
            shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True, ignore=added)
        self.names, self.code = {"__name__": "__main__"}, 0

    def run(self, block):
        if block.mark.startswith("file "):
            Path(block.mark.removeprefix("file ")).write_text(block.text, encoding="utf-8")
            return
        if block.language == "python":
            printed = self._printed(
                lambda: exec(compile(block.text, f"line {block.line}", "exec"), self.names)
            )
            assert block.printed is None or matches(block.printed, printed), (
                f"line {block.line} prints:\n{printed}"
            )
            return
        for command, shown in commands_of(block.text):
            assert self.code == 0 or command == "echo $?", (
                f"line {block.line}: what stands before `{command}` failed"
            )
            printed = self.command(command)
            assert not shown or matches(shown, printed), (
                f"line {block.line}, `{command}` prints:\n{printed}"
            )
        assert self.code == 0, f"line {block.line}, `{command}` fails:\n{printed}"

    def command(self, line):
        words = shlex.split(line, comments=True)
        if words == ["echo", "$?"]:
            printed, self.code = f"{self.code}\n", 0
            return printed
        if words[0] == "lstm-mpc":
            return self._printed(lambda: self._main(words[1:]))
        assert words[0] in _TOOLS, (
            f"no page may call {words[0]!r}; known: lstm-mpc, {', '.join(_TOOLS)}"
        )
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        self.code = done.returncode
        return done.stdout + done.stderr

    def _main(self, words):
        try:
            self.code = command_line.main(words)
        except SystemExit as stop:
            self.code = int(stop.code or 0)

    @staticmethod
    def _printed(work):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            work()
        return out.getvalue()


def check_toml(block):
    """Tables that a page shows are TOML; said to be shipped, each of their keys has this value in
    the shipped design."""
    content = tomllib.loads(block.text)
    if block.mark.startswith("shipped"):
        design = tomllib.loads((ROOT / "models" / "ph" / "design.toml").read_text(encoding="utf-8"))
        assert all(
            design[table][key] == value
            for table, keys in content.items()
            for key, value in keys.items()
        ), block.text
    return content


# -- what a long verb would find, from the artefacts that models/ph ships --------------------------


def answer_from_artefacts(monkeypatch):
    """Let the long verbs find what is shipped, so that they print it as they would after their
    work."""
    shipped = ROOT / "models" / "ph"
    training, loop, board = (
        json.loads((shipped / name).read_text(encoding="utf-8")) for name in (TRAINING, LOOP, PIL)
    )
    starts = tuple(SimpleNamespace(**start) for start in training["starts"])
    found = SimpleNamespace(
        model=Model.load(shipped / MODEL),
        starts=starts,
        report=lambda: {k: training[k] for k in ("chosen", "starts")},
    )
    tubes = {tube.radius: tube for tube in Tubes.load(shipped / TUBES).tubes}
    runs = {run["metrics"]["scenario"]: run for run in loop["runs"]}
    rows = {core: row for core, (row,) in board["cores"].items()}

    def replayed(cleared, frames, *, core="host", **_):
        row = None if core == "host" else rows[core]
        if frames == "hostile" and row is not None:
            worst = row["hostile"]
            return SimpleNamespace(lengths=(worst["samples"],), row={"instructions": worst})
        return SimpleNamespace(lengths=(row and row["samples"],), row=row)

    monkeypatch.setattr(multistart, "identify", lambda *_, **__: found)
    monkeypatch.setattr(
        scenarios, "verify", lambda *_, **__: Verification.load(shipped / VERIFICATION)
    )
    monkeypatch.setattr(reachability, "reach", lambda *_, radius, **__: tubes[radius])
    monkeypatch.setattr(
        simulation,
        "simulate_closed_loop",
        lambda plant, engine, scenario, **_: SimpleNamespace(
            scenario=scenario, flagged=(), truth=np.array(runs[scenario.name]["series"]["truth"])
        ),
    )
    monkeypatch.setattr(
        loop_metrics, "metrics", lambda run, **_: runs[run.scenario.name]["metrics"]
    )
    monkeypatch.setattr(words_loop, "metrics", lambda *_, **__: {})  # of a replay
    monkeypatch.setattr(loop_steps, "series", lambda run, _: runs[run.scenario.name]["series"])
    monkeypatch.setattr(loop_steps, "MPC", SimpleNamespace(of=lambda *_: None))
    monkeypatch.setattr(
        loop_verification,
        "verify_loop",
        lambda *_, **__: LoopVerification.load(shipped / ASSURANCE),
    )
    monkeypatch.setattr(
        export_steps,
        "_recorded",
        lambda design, *_: {scenario.believed: None for scenario in design.scenarios},
    )
    monkeypatch.setattr(export_steps, "hostile", lambda *_, **__: "hostile")
    monkeypatch.setattr(export_steps, "replay", replayed)
    monkeypatch.setattr(export_steps, "differences", lambda *_: None)
    monkeypatch.setattr(
        export_steps,
        "measured",
        lambda replay: {k: replay.row[k] for k in replay.row if k not in ("samples", "dead_time")},
    )
    monkeypatch.setattr(directory, "STEPS", directory.STEPS[:-1])  # without the export
    for plot in [name for name in dir(plots) if name.startswith("plot_")]:
        monkeypatch.setattr(plots, plot, lambda *_, **__: None)
