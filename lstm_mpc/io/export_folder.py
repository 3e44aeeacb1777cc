"""Write an export into an empty folder, or over one of its own, all files or none; and sources for
a compiler."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.schema import noun

MANIFEST = "manifest.json"


def write_folder(
    folder: str | Path,
    files: Mapping[str, str | bytes],
    *,
    kind: str,
    products: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write `files` (path within the folder -> text or bytes) with a manifest of their digests and
    of `facts`; `products` are patterns of what building them makes.

    Only a missing or empty folder, or an earlier export of the same kind that nobody added to, is
    written to; InputError otherwise."""
    folder = Path(folder)
    refuse_foreign(folder, kind)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for name, body in files.items():
            artefact_file.write_bytes(
                fresh / name, body.encode() if isinstance(body, str) else body
            )
        digests = {
            name: artefact_file.digest(body if isinstance(body, str) else body.hex())
            for name, body in files.items()
        }
        artefact_file.write_json(
            fresh / MANIFEST, kind, {"files": digests, "products": list(products), **(facts or {})}
        )
        fresh.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        fresh.replace(folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def write_sources(folder: str | Path, files: Mapping[str, str]) -> None:
    """Write `files` (name -> text) into a folder of a compiler's own, which exists."""
    for name, text in files.items():
        Path(folder, name).write_text(text, encoding="utf-8")


def refuse_foreign(folder: Path, kind: str) -> None:
    """InputError where `write_folder` would write over what is not its own."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file; name an empty folder for the export")
    found = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    if not found:
        return
    if MANIFEST not in found:
        raise InputError(
            f"{folder}: is not empty and not an earlier export ({sorted(found)[0]} is there); name"
            " another folder"
        )
    manifest = artefact_file.read_json(folder / MANIFEST, kind)
    try:
        files, products = (
            noun(dict[str, str], manifest.get("files"), "files"),
            noun(list[str], manifest.get("products"), "products"),
        )
    except InputError as error:
        raise InputError(
            f"{folder / MANIFEST}: is not a usable manifest ({error}); name another folder"
        ) from error
    own = {MANIFEST, *files, *(name for name in found if any(fnmatch(name, p) for p in products))}
    if found - own:
        raise InputError(
            f"{folder}: holds {sorted(found - own)[0]}, which the export did not write; move it"
            " away or name another folder"
        )
