"""The log of a design's campaigns: what was drawn, from which seed, and how it ended. Lines are
only ever added, and each holds the digest of those before it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.schema import noun

_LIMIT = 64 * 2**20  # [bytes]


@dataclass(frozen=True)
class Campaign:
    """A campaign that ended.

    `kind` is the verb; `subject` the digest of everything that decides how its scenarios end, but
    for the `seed` and the number of `scenarios`; `controller` that of the model, or of model,
    problem and budget. `passed` is whether nothing spoke against what it is about, `verdict` says
    so in words; `claimed` is the set, (low, high) per output [engineering], that outputs stayed in.
    `evidence` is the digest of everything that its record says, where there is one.
    """

    kind: str
    subject: str
    controller: str
    seed: int
    scenarios: int
    passed: bool
    verdict: str
    claimed: tuple[tuple[float, float], ...] = ()
    evidence: str = ""

    @property
    def line(self) -> dict[str, Any]:
        """What a log keeps of it."""
        return {k: v for k, v in self.__dict__.items() if k != "evidence" or v}

    @property
    def digest(self) -> str:
        """What tells this campaign from others; one that is run again is the same."""
        return artefact_file.digest([self.kind, self.subject, self.seed, self.scenarios])

    def leaves(self, safe_set: tuple[tuple[float, float], ...]) -> bool:
        """Does it speak against staying in `safe_set`?"""
        if not self.passed and not self.claimed:
            return True
        inside = len(safe_set) == len(self.claimed) and all(
            a <= x and z <= b for (a, b), (x, z) in zip(safe_set, self.claimed, strict=True)
        )
        return not inside


@dataclass(frozen=True)
class LogState:
    """How long a log was, and the digest of its last line."""

    length: int
    head: str


@dataclass(frozen=True)
class History:
    """What a release keeps of the log: its state, how many `campaigns` of the model there were, and
    in words what any of them found `against` the very claim that is made."""

    log: LogState
    campaigns: int
    against: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.campaigns < 0:
            raise InputError(f"history: campaigns must not be negative, got {self.campaigns}")


@dataclass(frozen=True)
class CampaignLog:
    """The campaigns of a design in the order in which they ended."""

    campaigns: tuple[Campaign, ...] = ()

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """The digest of every line, which covers those before it."""
        heads, head = list[str](), ""
        for campaign in self.campaigns:
            head = artefact_file.digest([campaign.line, head])
            heads.append(head)
        return tuple(heads)

    @property
    def state(self) -> LogState:
        """What a record names, so that a shorter log is noticed."""
        return LogState(len(self.heads), self.heads[-1] if self.heads else "")

    def count(self, kind: str) -> int:
        """How many different campaigns of a kind were run."""
        return len({c.digest for c in self.campaigns if c.kind == kind})

    def failed(self, kind: str, subject: str) -> tuple[Campaign, ...]:
        """Those of a subject that something spoke against, each once."""
        found = [c for c in self.campaigns if (c.kind, c.subject) == (kind, subject)]
        return tuple({c.digest: c for c in found if not c.passed}.values())

    def lacks(self, state: LogState) -> bool:
        """Is it another log than the one that had `state`, or a shorter one?"""
        if state.length == 0:
            return False
        return len(self.heads) < state.length or self.heads[state.length - 1] != state.head

    def added(self, campaign: Campaign) -> CampaignLog:
        """The log with a line more."""
        return CampaignLog((*self.campaigns, campaign))

    def save(self, path: Path) -> None:
        """Write a line for each campaign."""
        lines = [
            json.dumps(artefact_file.plain({**c.line, "digest": head}), ensure_ascii=False)
            for c, head in zip(self.campaigns, self.heads, strict=True)
        ]
        artefact_file.write_text(path, "".join(f"{line}\n" for line in lines))

    @classmethod
    def load(cls, path: Path) -> CampaignLog:
        """Read a log; an empty one where there is none yet.

        Raises:
            InputError: A line was altered, removed or is no campaign; with its number.
        """
        if not path.exists():
            return cls()
        try:
            text = artefact_file.read_bytes(path, limit=_LIMIT).decode("utf-8")
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); {_REMEDY}") from error
        rows = [_row(path, number, line) for number, line in enumerate(text.splitlines(), 1)]
        log = cls(tuple(campaign for campaign, _ in rows))
        for number, (head, (_, digest)) in enumerate(zip(log.heads, rows, strict=True), 1):
            if head != digest:
                raise InputError(
                    f"{path}: line {number} does not follow from those before it: a line was"
                    f" altered or removed; {_REMEDY}"
                )
        return log


_REMEDY = "bring back the log as the verbs wrote it, or begin a design in a new folder"


def _row(path: Path, number: int, line: str) -> tuple[Campaign, str]:
    try:
        content: Any = json.loads(line)
        digest = content.pop("digest") if isinstance(content, dict) else None
        campaign: Campaign = noun(Campaign, content)
    except (ValueError, RecursionError, KeyError, InputError) as error:
        raise InputError(f"{path}: line {number} is no campaign ({error}); {_REMEDY}") from error
    return campaign, str(digest)
