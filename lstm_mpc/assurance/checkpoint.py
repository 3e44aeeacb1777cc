"""What an interrupted campaign has finished: one small JSON per part, each written whole or not at
all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lstm_mpc.errors import InputError, SolverError
from lstm_mpc.io import artefact_file

KIND = "lstm_mpc part of a campaign"


@dataclass(frozen=True)
class Checkpoint:
    """Parts of the campaign `digest`, in a folder of their own within `place`; without a place
    nothing is kept."""

    place: Path | None
    digest: str

    @property
    def folder(self) -> Path | None:
        return None if self.place is None else self.place / self.digest[:16]

    def found(self) -> list[Any]:
        """What is kept already; InputError when a part of another campaign lies here."""
        parts = []
        for path in sorted(self.folder.glob("part-*.json")) if self.folder else ():
            # a power cut may leave a file without content: that part is made again
            with suppress(InputError):
                parts.append((path, artefact_file.read_json(path, KIND)))
        for path, content in parts:
            if (other := str(content.get("campaign"))) != self.digest:
                raise InputError(
                    f"{path}: is part of another campaign ({other[:12]}, this one is"
                    f" {self.digest[:12]}); delete it"
                )
        return [content.get("part") for _, content in parts]

    def keep(self, number: int, part: dict[str, Any]) -> None:
        if self.folder is not None:
            artefact_file.write_json(
                self.folder / f"part-{number:09d}.json",
                KIND,
                {"campaign": self.digest, "part": part},
            )

    def forget(self) -> None:
        """The campaign is finished: its parts are no longer needed. Those of others stay."""
        if self.folder is not None and self.place is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            with suppress(OSError):
                self.place.rmdir()


SHARE = 3  # scenarios of a kept part that are run again, its worst among them


def adopt(
    parts: Sequence[Any],
    edges: Mapping[int, int],
    run: Callable[[int], Any],
    same: Callable[[float, float], bool],
    kept: Checkpoint,
) -> None:
    """Take over kept parts of a campaign, each bound to its content: a few of its scenarios, chosen
    by a seed from that content, are run again.

    Args:
        parts: the parts, with `first`, `count` and the `reach` of `each` of their scenarios.
        edges: first scenario of a part of this campaign -> the one after its last.
        run: runs one scenario alone.
        same: whether two results are the same up to round-off.
        kept: where the parts lie, for a message.

    Raises:
        SolverError: a part is not what its scenarios give.
    """
    for part in parts:
        why = _other_part(part, edges, run, same)
        if why:
            raise SolverError(
                f"verify_loop: {kept.folder}/part-{part.first:09d}.json {why}; delete the folder"
                " and begin again"
            )


def _other_part(
    part: Any,
    edges: Mapping[int, int],
    run: Callable[[int], Any],
    same: Callable[[float, float], bool],
) -> str:
    if edges.get(part.first) != part.first + part.count or len(part.each) != part.count:
        return "does not hold the scenarios that its place in the campaign has"
    worst = int(np.argmax(part.each))
    if part.each[worst] != part.reach or part.first + worst != part.worst:
        return "names another worst scenario than the one that its numbers give"
    rng = np.random.default_rng(int(artefact_file.digest(asdict(part))[:16], 16))
    others = rng.choice(part.count, min(SHARE - 1, part.count), replace=False)
    for place in {worst, *map(int, others)}:
        alone = run(part.first + place)
        if not same(alone.reach, part.each[place]):
            return (
                f"says that scenario {part.first + place} needs {part.each[place]:.4f} of the safe"
                f" set; run again it needs {alone.reach:.4f}"
            )
        slack = 1e-5 * (1.0 + np.abs([*alone.low, *alone.high]).max())
        ends = zip(alone.low, part.low, part.high, alone.high, strict=True)
        if any(a < low - slack or z > high + slack for a, low, high, z in ends):
            return f"says less of the outputs than scenario {part.first + place} shows"
        if alone.violation > part.violation + slack:
            return f"hides that scenario {part.first + place} moves an input beyond its limits"
    return ""
