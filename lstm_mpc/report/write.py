"""The report of a design directory and the comparison of two, as pages; and as PDF by a browser
without a window."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.report import comparison
from lstm_mpc.report.dossier import Dossier
from lstm_mpc.report.page import glance, render_report
from lstm_mpc.report.reading import read
from lstm_mpc.report.verdict import verdict

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
_PATIENCE = 180  # [s]

OnPicture = Callable[[float, str], None]  # the share that is drawn, and the next one's title


@dataclass(frozen=True)
class Report:
    """The design report of a directory.

    `html` is one page that needs nothing else, made of the `dossier`.
    """

    dossier: Dossier
    html: str

    @property
    def verdict(self) -> str:
        """The sentence that the page begins with."""
        return verdict(self.dossier)[1]

    @property
    def glance(self) -> list[tuple[str, str, str]]:
        """(what, figure, remark) of the first screen."""
        return glance(self.dossier)

    @property
    def open(self) -> tuple[str, ...]:
        """What is wrong with files of the directory."""
        artefacts = (*self.dossier.files.values(), *self.dossier.data.values())
        return tuple(f"{a.file}: {a.problem or a.stale}" for a in artefacts if a.problem or a.stale)

    def save(self, path: Path) -> None:
        """Write the page.

        Args:
            path: The HTML file.
        """
        artefact_file.write_text(path, self.html)


@dataclass(frozen=True)
class Comparison:
    """Two designs side by side: rows of numbers, and the settings that differ.

    `html` is one page that needs nothing else, made of the dossiers `one` and `other`.
    """

    one: Dossier
    other: Dossier
    html: str

    @property
    def names(self) -> tuple[str, str]:
        """What the designs are called, told apart."""
        return comparison.names_of(self.one, self.other)

    @property
    def numbers(self) -> comparison.Rows:
        """(what, of the one, of the other)."""
        return comparison.numbers(self.one, self.other)

    @property
    def settings(self) -> comparison.Rows:
        """(key, of the one, of the other) where they differ."""
        return comparison.settings(self.one, self.other)

    def save(self, path: Path) -> None:
        """Write the page.

        Args:
            path: The HTML file.
        """
        artefact_file.write_text(path, self.html)


def report(folder: Path, on_picture: OnPicture = lambda share, title: None) -> Report:
    """The design report of all that lies in a directory.

    Args:
        folder: the design directory.
        on_picture: hears the share that is drawn, and the title of the next picture.

    Returns:
        The page, not yet written.

    Raises:
        InputError: there is neither a usable design nor a usable model.
    """
    dossier = read(folder)
    return Report(dossier, render_report(dossier, on_picture))


def compare(
    one: Path, other: Path, on_picture: OnPicture = lambda share, title: None
) -> Comparison:
    """Two designs side by side.

    Args:
        one: a design directory.
        other: the one to compare it with.
        on_picture: hears the share that is drawn, and the title of the next picture.

    Returns:
        The numbers and the page, not yet written.

    Raises:
        InputError: the designs are not of the same signals, or cannot be read.
    """
    pair = read(one), read(other)
    return Comparison(*pair, comparison.render_comparison(*pair, on_picture))


def first_browser() -> str:
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
