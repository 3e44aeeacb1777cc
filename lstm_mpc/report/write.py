"""The verbs `report` and `compare`: pages to disk, and to PDF by a browser without a window."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.project.artefacts import Options, Result, refuse_overwrite, waivers
from lstm_mpc.project.dossier import read
from lstm_mpc.report import comparison
from lstm_mpc.report.page import glance, render_report
from lstm_mpc.report.sections_evidence import verdict

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
)
QUIET = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-extensions",
]
QUIET += ["--disable-background-networking", "--disable-component-update"]
WIDEST = 48  # letters of a column
_PATIENCE = 180  # [s]


def report_verb(
    folder: Path, options: Options, *, out: Path | None = None, pdf: bool = False
) -> Result:
    """The design report of a directory → report.html or `out`, and beside it the same as PDF."""
    path = folder / "report.html" if out is None else out
    paths = [path, *([path.with_suffix(".pdf")] if pdf else [])]
    for target in paths:
        refuse_overwrite(target, options)
    browser = found_browser() if pdf else ""
    options.progress("report", 0.0, "reading")
    dossier = read(folder)
    most = 0.7 if pdf else 1.0
    text = render_report(
        dossier, lambda share, title: options.progress("report", most * share, title)
    )
    artefact_file.write_text(path, text)
    if pdf:
        options.progress("report", most, "printing")
        artefact_file.write_bytes(paths[1], printed(path, browser))
    _, sentence, _ = verdict(dossier)
    passed = dossier.files["release.json"].value
    lines = [
        sentence.replace("`", ""),
        *(waivers(passed) if passed else []),
        *(f"{what}: {figure}" for what, figure, _ in glance(dossier)),
    ]
    open_ = [
        f"{a.file}: {a.problem or a.stale}"
        for a in (*dossier.files.values(), *dossier.data.values())
        if a.problem or a.stale
    ]
    lines += [*open_, f"report, {len(text.encode()) // 1024} kB → {', '.join(map(str, paths))}"]
    model = dossier.model.digest if dossier.model else None
    return Result(
        tuple(lines),
        {"model": model, "verdict": sentence, "files": list(map(str, paths)), "open": open_},
    )


def compare_verb(one: Path, other: Path, options: Options, *, out: Path | None = None) -> Result:
    """Two designs side by side → compare-<name of the other>.html in the first directory, or
    `out`."""
    path = one / f"compare-{other.resolve().name}.html" if out is None else out
    refuse_overwrite(path, options)
    options.progress("compare", 0.0, "reading")
    pair = read(one), read(other)
    text = comparison.render_comparison(
        *pair, lambda share, title: options.progress("compare", share, title)
    )
    artefact_file.write_text(path, text)
    rows, differing = comparison.numbers(*pair), comparison.settings(*pair)
    lines = _columns([("", *(d.name for d in pair)), *rows])
    lines += (
        ["settings that differ:", *_columns([(f"  {key}", *values) for key, *values in differing])]
        if differing
        else ["same settings"]
    )
    content = {"names": [d.name for d in pair], "numbers": {key: values for key, *values in rows}}
    content |= {"settings": {key: values for key, *values in differing}, "file": str(path)}
    return Result((*lines, f"comparison, {len(text.encode()) // 1024} kB → {path}"), content)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text under each other; what is long ends in …"""
    cells = [
        [cell if len(cell) <= WIDEST else cell[: WIDEST - 1] + "…" for cell in row] for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def found_browser() -> str:
    """The first browser there is that can print; InputError where there is none."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise InputError(
        "--pdf needs Chromium or Chrome, which is not found; `apt-get install chromium` brings it,"
        " or print the page yourself"
    )


def printed(page: Path, browser: str) -> bytes:
    """The page as PDF; InputError where the browser makes none."""
    with tempfile.TemporaryDirectory() as place:
        target = Path(place, "page.pdf")
        # Chromium refuses its sandbox to root
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        command = [
            browser,
            *QUIET,
            *sandbox,
            f"--user-data-dir={place}/profile",
            "--no-pdf-header-footer",
            f"--print-to-pdf={target}",
        ]
        try:
            ran = subprocess.run(
                [*command, page.resolve().as_uri()],
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"{page}: {browser} did not print it within {_PATIENCE} s; print it from a browser"
                " yourself"
            ) from error
        if not target.exists():
            last = (ran.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(
                f"{page}: {browser} did not print it ({last}); print it from a browser yourself"
            )
        return target.read_bytes()
