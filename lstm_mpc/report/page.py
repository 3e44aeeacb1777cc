"""The page: sections through templates into one HTML file that needs nothing else."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup, escape

from lstm_mpc.certificates.evidence import Certificate
from lstm_mpc.io.templates import engine
from lstm_mpc.plots.style import svg
from lstm_mpc.project.artefacts import PIL
from lstm_mpc.report.blocks import Picture, Section, number, spans
from lstm_mpc.report.dossier import EXPORT, Dossier
from lstm_mpc.report.sections.certificates import certificate_section
from lstm_mpc.report.sections.data import data_section
from lstm_mpc.report.sections.fit import fit_rows, fit_section, linear_is_better
from lstm_mpc.report.sections.loop import loop_section
from lstm_mpc.report.sections.outputs import reach_section, scenario_section
from lstm_mpc.report.sections.provenance import provenance_section
from lstm_mpc.report.sections.released import release_section
from lstm_mpc.report.sections.size import size_section
from lstm_mpc.report.sections.training import training_section
from lstm_mpc.report.verdict import controller_state, head_of, in_plain_words, verdict

SECTIONS = (
    data_section,
    fit_section,
    training_section,
    certificate_section,
    reach_section,
    scenario_section,
    loop_section,
    size_section,
    release_section,
    provenance_section,
)


def prose(text: str) -> Markup:
    """A sentence, escaped; what stands in `back quotes` is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def mathml(formula: str) -> Markup:
    """A formula in LaTeX as MathML, which browsers set themselves."""
    from latex2mathml.converter import convert

    return Markup(convert(formula, display="block"))


def css_string(text: str) -> Markup:
    """`text` as a string of CSS, which no text can leave."""
    return Markup(
        '"' + "".join(c if c.isascii() and c.isalnum() else f"\\{ord(c):x} " for c in text) + '"'
    )


def drawn(picture: Picture, prefix: str = "") -> Markup:
    """The figure as inline SVG, or the image; `prefix` sets the ids of two designs on one page
    apart."""
    if isinstance(picture.drawing, str):
        return Markup('<img src="{}" alt="{}">').format(picture.drawing, picture.words)
    return Markup(
        svg(picture.drawing(), prefix + picture.name, title=picture.title, words=picture.words)
    )


def environment(pictures: Sequence[Picture], on_picture: Callable[[float, str], None]) -> Any:
    """Templates that draw `pictures`, the long part of the work; `on_picture` is told the share
    that is drawn, and the next one's title."""
    count = itertools.count()

    def drawing(picture: Picture, prefix: str = "") -> Markup:
        on_picture(next(count) / len(pictures), picture.title)
        return drawn(picture, prefix)

    made = engine("markup")
    made.filters |= {
        "prose": prose,
        "css_string": css_string,
        "math": mathml,
        "drawn": drawing,
    }
    made.tests["of"] = lambda block, name: type(block).__name__ == name
    return made


def render_report(
    dossier: Dossier, on_picture: Callable[[float, str], None] = lambda share, title: None
) -> str:
    """The design report; the same artefacts give the same text."""
    kind, sentence, claims = verdict(dossier)
    parts = sections(dossier)
    text: str = (
        environment(pictures(parts), on_picture)
        .get_template("report/templates/report.html")
        .render(
            title=f"Design report: {dossier.name}",
            name=dossier.name,
            digest=dossier.model.digest if dossier.model else "",
            kind=kind,
            sentence=sentence,
            plain=in_plain_words(dossier),
            head=head_of(dossier),
            first=linear_is_better(dossier),
            claims=claims,
            facts=glance(dossier),
            sections=parts,
        )
    )
    return text


def sections(dossier: Dossier) -> list[Section]:
    return [make(dossier) for make in SECTIONS]


def pictures(parts: Sequence[Section]) -> list[Picture]:
    return [block for section in parts for block in section.blocks if isinstance(block, Picture)]


def glance(dossier: Dossier) -> list[tuple[str, str, str]]:
    """(what, figure, remark) of the first screen."""
    rows: list[tuple[str, str, str]] = []
    seen = [
        fit
        for which, _, fit in fit_rows(dossier)
        if which == "validation" and fit.against == "measured"
    ]
    worst = min(seen, key=lambda fit: min(fit.mean_removed), default=None)
    if worst is None:
        rows.append(("Validation FIT, mean-removed", "–", "no data to compare with"))
    else:
        rmse = ", ".join(
            f"{s.name} {number(e)} {s.unit}"
            for s, e in zip(dossier.outputs, worst.rmse, strict=True)
        )
        rows.append(
            ("Validation FIT, mean-removed", f"{min(worst.mean_removed):.2f} %", f"RMSE {rmse}")
        )
    for found in dossier.certificates:
        c: Certificate | None = found.value
        if c is None or found.stale:
            rows.append(
                (found.file.removesuffix(".json"), "–", "stale" if found.stale else "not there")
            )
        else:
            rows.append(
                (f"Margin δ of {c.condition}", number(c.margin), "holds" if c.holds else "FAILS")
            )
    safe = dossier.design.safe_set if dossier.design else ()
    if safe:
        ends = [spans([s], [interval]) for s, interval in zip(dossier.outputs, safe, strict=True)]
        rows.append(("Safe set", "\n".join(ends), "of the design"))
    row = target(dossier)
    if row is None or dossier.clearance.reasons:
        rows.append(("Controller", "–", controller_state(dossier)))
    if row is None:
        return rows
    instructions = row["instructions"]["all"]["mean"]
    of = "a sample" if "hostile" in row else "a sample of the self-test"
    return [
        *rows,
        (
            "Controller, flash",
            f"{row['flash']} bytes",
            f"on {row['core']}; RAM {row['ram']} bytes, {instructions} instructions {of}",
        ),
    ]


def target(dossier: Dossier) -> dict[str, Any] | None:
    """Sizes and instructions of the controller on the first core known, if they are of this
    model."""
    for file in (EXPORT, PIL):
        found = dossier.files[file]
        if found.value is None or found.stale:
            continue
        if file == PIL:
            core, (row, *_) = next(iter(found.value["cores"].items()))
            return {"core": core, **row}
        if found.value["target"] is not None:
            return dict(found.value["target"])
    return None
