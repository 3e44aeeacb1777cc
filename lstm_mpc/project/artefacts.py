"""What the verbs of the command line share: the names of what they write, how they are asked, what
they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstm_mpc.certificates.gate import Release
from lstm_mpc.errors import InputError
from lstm_mpc.io import parallel

MODEL, TRAINING, VERIFICATION, TUBES = (
    "model.json",
    "training.json",
    "verification.json",
    "tubes.json",
)
REPORT_KIND = "lstm_mpc training report"
RELEASE, LOOP, PIL = "release.json", "closed-loop.json", "pil.json"
ASSURANCE, PARTS = "loop-verification.json", "loop-verification.parts"
FIGURES = "figures"


@dataclass(frozen=True)
class Result:
    """What a verb did: `lines` for people, `content` for `--json`."""

    lines: tuple[str, ...]
    content: dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How to go about it: `progress(label, share done, detail)` is told of long work; `force`
    overwrites earlier artefacts."""

    progress: Callable[[str, float, str], None] = lambda label, share, detail: None
    force: bool = False
    workers: int = parallel.cores()


def refuse_overwrite(path: Path, options: Options) -> None:
    if path.exists() and not options.force:
        raise InputError(f"{path}: exists; --force replaces it")


def waivers(passed: Release) -> list[str]:
    """What the release was let off, for everyone to see."""
    return [f"WAIVED: {sentence}" for sentence in passed.waived]


def certificate_file(condition: str) -> str:
    return f"certificate-{condition}.json"
