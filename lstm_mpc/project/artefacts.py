"""What the steps of a design directory share: the names of what they write, and how they go about
it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file, parallel
from lstm_mpc.io.schema import noun

MODEL, TRAINING, VERIFICATION, TUBES = (
    "model.json",
    "training.json",
    "verification.json",
    "tubes.json",
)
REPORT_KIND = "lstm_mpc training report"
RELEASE, LOOP, PIL, ORDER = "release.json", "closed-loop.json", "pil.json", "order.json"
ASSURANCE, PARTS = "loop-verification.json", "loop-verification.parts"
PROOF = "loop-proof.json"
DATA = {"training": "data-training.csv", "validation": "data-validation.csv"}
CAMPAIGNS = "campaigns.jsonl"  # of all campaigns that ended; no verb ever shortens it
SIGNATURE = "evidence.dsse.json"
FIGURES = "figures"


@dataclass(frozen=True)
class Options:
    """How the steps go about their work.

    `progress(step, share done, detail)` hears of long work, `force` replaces earlier artefacts,
    `workers` is the number of processes."""

    progress: Callable[[str, float, str], None] = lambda step, share, detail: None
    force: bool = False
    workers: int = parallel.cores()


DEFAULT = Options()


def refuse_overwrite(path: Path, options: Options) -> None:
    """Raise InputError where `path` exists and nothing may be replaced."""
    if path.exists() and not options.force:
        raise InputError(f"{path}: exists; --force replaces it")


def certificate_file(condition: str) -> str:
    """The name of the file that holds the certificate of `condition`."""
    return f"certificate-{condition}.json"


# -- the folder of a run ---------------------------------------------------------------------------

MARKER, _RUN = "run.json", "lstm_mpc run"  # the files that steps have written there, with digests
ARTEFACTS = (
    *DATA.values(),
    MODEL,
    TRAINING,
    VERIFICATION,
    TUBES,
    RELEASE,
    LOOP,
    PROOF,
    ASSURANCE,
    PIL,
)


def run_folder(source: Path) -> Path:
    """Where `run` of the design directory `source` puts its results unless it is told otherwise."""
    return Path("runs") / source.resolve().name


def results_of(source: Path) -> Path:
    """The folder that holds what was computed of a design: `source`, or that of its run where it
    holds nothing itself and the run was of the design as it stands."""
    place, design = run_folder(source), source / "design.toml"
    if any((source / name).exists() for name in ARTEFACTS) or not (place / MARKER).exists():
        return source
    copy = place / design.name
    same = design.is_file() and copy.is_file() and copy.read_bytes() == design.read_bytes()
    return place if same else source


def of_run(folder: Path, path: Path) -> bool:
    """Is `path` what a step of the run in `folder` wrote, unchanged?"""
    if not (folder / MARKER).exists() or not path.is_file() or not path.is_relative_to(folder):
        return False
    return _marked(folder).get(path.relative_to(folder).as_posix()) == _sha256(path)


def begin_run(source: Path, out: Path, files: Sequence[str], options: Options) -> None:
    """Turn `out` into the folder of a run: copies of `files` of a design directory, and a marker.

    Args:
        source: the design directory.
        out: the folder of the run.
        files: names within `source`.
        options: whether an earlier run is replaced; what no step wrote never is.

    Raises:
        InputError: `out` holds something else, or a file lies outside the design.
    """
    for name in files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(
                f"{source / 'design.toml'}: {name} lies outside the design directory; copy it there"
            )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not options.force:
            raise InputError(
                f"{out}: is not empty; --force replaces an earlier run, --out names another folder"
            )
        _clear_run(out, files)
    out.mkdir(parents=True, exist_ok=True)
    artefact_file.write_json(out / MARKER, _RUN, {"files": {}})
    for name in files:
        artefact_file.write_bytes(out / name, (source / name).read_bytes())
    mark(out, *(out / name for name in files))


def mark(folder: Path, *paths: Path) -> None:
    """In the folder of a run, remember that a step wrote `paths`."""
    if (folder / MARKER).exists():
        names = {path.relative_to(folder).as_posix(): _sha256(path) for path in paths}
        artefact_file.write_json(folder / MARKER, _RUN, {"files": {**_marked(folder), **names}})


def _clear_run(out: Path, files: Sequence[str]) -> None:
    """Delete what the steps of an earlier run wrote, and nothing else."""
    if not out.is_dir() or not (out / MARKER).exists():
        raise InputError(
            f"{out}: is not the folder of a run (it holds no {MARKER}), which alone --force"
            " replaces; --out names another folder"
        )
    marked = _marked(out)
    names = {*marked, *files, *ARTEFACTS}
    for name in sorted(name for name in names if (out / name).is_file()):
        if marked.get(name) != _sha256(out / name):
            raise InputError(
                f"{out / name}: is not what a step of the run wrote, and --force would replace it;"
                " move it, or name another folder by --out"
            )
    for name in marked:
        (out / name).unlink(missing_ok=True)


def _marked(folder: Path) -> dict[str, str]:
    content = artefact_file.read_json(folder / MARKER, _RUN)
    names: dict[str, str] = noun(dict[str, str], content.get("files"), "files")
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"{folder / MARKER}: {name} lies outside the folder; delete it")
    return names


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
