"""Figures: style, files and inline SVG. The only importer of matplotlib."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Figure

from lstm_mpc.plants.system import Array

# safe for colour-blind readers
BLUE, ORANGE, GREEN, GREY, RED = "#0072b2", "#e69f00", "#009e73", "#6b6b6b", "#d55e00"
_THEME = {
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GREEN: "var(--green)",
    GREY: "var(--grey)",
    RED: "var(--red)",
}
_THEME |= {"#000000": "currentColor", "#b0b0b0": "var(--grey)"}
_STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "svg.hashsalt": "lstm_mpc",
}
_STYLE |= {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "legend.fontsize": "small",
}
_STYLE["text.parse_math"] = False  # names of signals are text, also where they hold a dollar sign
_SVG, _LINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"
P = ParamSpec("P")
_BUCKETS = 700  # a curve keeps its extremes in so many stretches: finer than a page shows


def sheet(rows: int, height: float, columns: int = 1) -> tuple[Figure, Any]:
    """A figure of `height` [inch] and its axes (rows, columns), which share their time axis down
    the rows."""
    figure = Figure(figsize=(7.5, height), layout="constrained")
    return figure, figure.subplots(rows, columns, sharex="col", squeeze=False)


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """`draw`, in the style of the house."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def save(figure: Figure, folder: str | Path, name: str) -> list[Path]:
    """Write a figure as PNG and SVG; the same figure gives the same bytes.

    Args:
        figure: The figure.
        folder: Where to.
        name: Of the files, without ending.

    Returns:
        The files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{kind}" for kind in ("png", "svg")]
    with matplotlib.rc_context(_STYLE):
        for path, metadata in zip(
            paths, ({"Software": None}, {"Date": None, "Creator": None}), strict=True
        ):
            partial = path.with_name(f".{path.name}")
            figure.savefig(partial, format=path.suffix[1:], dpi=150, metadata=metadata)
            partial.replace(path)
    return paths


def svg(figure: Figure, name: str, *, title: str, words: str) -> str:
    """Give a figure as SVG within a page; the same figure gives the same text.

    Args:
        figure: The figure; its text becomes text in the page's font, its colours variables of the
            page.
        name: What its ids begin with.
        title: What it shows, for those who hover or listen.
        words: The same in a sentence.

    Returns:
        The SVG element.
    """
    stream = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the page has other fonts
        figure.savefig(
            stream,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(stream.getvalue())
    for part in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(part)
    for part in list(root.iter(f"{{{_SVG}}}defs")):
        for style in part.findall(f"{{{_SVG}}}style"):
            part.remove(style)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', stream.getvalue()))
    for element in root.iter():
        _page_element(element, name, used)
    box = root.get("viewBox", "")
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{name}-title {name}-words", "viewBox": box}
    for place, (kind, text) in enumerate((("title", title), ("desc", words))):
        element = ElementTree.Element(
            f"{{{_SVG}}}{kind}", {"id": f"{name}-{'title' if kind == 'title' else 'words'}"}
        )
        element.text = text
        root.insert(place, element)
    return ElementTree.tostring(root, encoding="unicode")


def _page_element(element: Any, name: str, used: set[str]) -> None:
    """One element of a figure made fit for a page that holds other figures."""
    attributes = element.attrib
    if attributes.pop("id", own := attributes.get("id")) in used:
        attributes["id"] = f"{name}-{own}"
    if _LINK in attributes:
        attributes["href"] = f"#{name}-{attributes.pop(_LINK)[1:]}"
    if "clip-path" in attributes:
        attributes["clip-path"] = attributes["clip-path"].replace("url(#", f"url(#{name}-")
    if "style" in attributes:
        style = re.sub(r"font: ([\d.]+px)[^;]*", r"font-size: \1", attributes["style"])
        style = re.sub(r"font-family: [^;]*(; )?", "", style)
        attributes["style"] = re.sub(
            "#[0-9a-f]{6}", lambda found: _THEME.get(found[0], found[0]), style
        )
    for key in {"d", "x", "y", "transform"} & attributes.keys():
        attributes[key] = re.sub(
            r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", attributes[key]
        )
    for key in ("text", "tail"):
        if not (getattr(element, key) or "x").strip():
            setattr(element, key, None)


def thin(t: Array, y: Array) -> tuple[Array, Array]:
    """A curve with only the extremes of each of 700 stretches, where it has more samples: it looks
    the same."""
    if len(t) <= 2 * _BUCKETS:
        return t, y
    kept = []
    for part in np.array_split(np.arange(len(t)), _BUCKETS):
        own = y[part]
        known = part[~np.isnan(own)]
        kept += (
            sorted({int(known[y[known].argmin()]), int(known[y[known].argmax()])})
            if len(known)
            else [int(part[0])]
        )
    return t[kept], y[kept]


def clock(seconds: float) -> tuple[float, str]:
    """What to count a time of `seconds` in: [s] per unit, and the unit."""
    return next(
        (
            (size, unit)
            for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
            if seconds > 3 * size
        ),
        (1.0, "s"),
    )
