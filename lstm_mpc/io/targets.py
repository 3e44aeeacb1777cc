"""Where a release or a cleared controller can be exported to: one record per exporter, registered
by the room of exporters, which is loaded by its name when first asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from lstm_mpc.errors import InputError
from lstm_mpc.io.export_folder import refuse_foreign, write_folder

MODEL, CONTROLLER = "model", "controller"
_EXPORTERS = "lstm_mpc.export.exporters"


@dataclass(frozen=True)
class Order:
    """How an export is wanted: `u_start` (nu,) [input unit] are the inputs in force before the
    first sample, None for the nominal ones; `on_progress` hears the share done and what is next."""

    u_start: ArrayLike | None = None
    on_progress: Callable[[float, str], None] = lambda share, what: None


@dataclass(frozen=True)
class Export:
    """What an exporter makes: `files`, path within the folder -> text or bytes, and `facts` for the
    manifest: what was measured of them."""

    files: Mapping[str, str | bytes]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """One exporter.

    Attributes:
        name: What users call it.
        subject: What it takes: MODEL, a `Release`, or CONTROLLER, a `Cleared`.
        kind: What its folder is called in the manifest.
        make: The function that gives its files for that subject and an `Order`.
        sentence: What it wrote, with {files} and {folder}.
        products: Patterns of what building it makes in the folder.
    """

    name: str
    subject: str
    kind: str
    make: Callable[[Any, Order], Export]
    sentence: str
    products: tuple[str, ...] = ()


@dataclass(frozen=True)
class Written:
    """An export on disk.

    `files` are paths within `folder`; `facts` are those of its manifest, `target` is what wrote it.
    """

    target: Target
    folder: Path
    files: tuple[str, ...]
    facts: Mapping[str, Any]

    def __str__(self) -> str:
        return self.target.sentence.format(files=", ".join(self.files), folder=self.folder)


_TARGETS: dict[str, Target] = {}


def register(target: Target) -> None:
    """Make an exporter known.

    Args:
        target: The exporter.

    Raises:
        InputError: Another one has its name.
    """
    if _TARGETS.setdefault(target.name, target) is not target:
        raise InputError(f"export: there is a target {target.name!r} already; name it otherwise")


def targets(subject: str | None = None) -> dict[str, Target]:
    """Every target, name -> record; of one `subject`, MODEL or CONTROLLER, where it is given."""
    import_module(_EXPORTERS)
    return {name: target for name, target in _TARGETS.items() if subject in (None, target.subject)}


def target_of(name: str, subject: str | None = None) -> Target:
    """A target by its name; InputError where `subject`, or nobody, has it."""
    choices = targets(subject)
    if name not in choices:
        who = "there is" if subject is None else f"a {subject} has"
        raise InputError(f"export: {who} no target {name!r:.60}; targets: {', '.join(choices)}")
    return choices[name]


def export(
    what: Any,
    subject: str,
    name: str,
    folder: str | Path | None = None,
    order: Order | None = None,
    *,
    facts: Mapping[str, Any] | None = None,
) -> Written:
    """Write `what` for the target `name` into `folder`, by default one of the target's name here.

    Only a missing or empty folder, or an earlier export of the same kind that nobody added to, is
    written to; InputError otherwise, and for a target that `subject` does not have."""
    target, place = target_of(name, subject), Path(name if folder is None else folder)
    refuse_foreign(place, target.kind)  # before the work, not after it
    made = target.make(what, order or Order())
    held = {**made.facts, **(facts or {})}
    write_folder(place, made.files, kind=target.kind, products=target.products, facts=held)
    return Written(target, place, tuple(made.files), held)
