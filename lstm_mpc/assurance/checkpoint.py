"""What an interrupted campaign has finished: one small JSON per part, each written whole or not at
all."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstm_mpc.errors import InputError
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
