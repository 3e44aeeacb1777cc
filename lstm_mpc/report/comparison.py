"""Two designs side by side: every number that both may have, the settings that differ, and their
figures beside each other."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from math import inf
from typing import Any

from lstm_mpc.errors import InputError
from lstm_mpc.project.artefacts import ASSURANCE, LOOP, TUBES, VERIFICATION
from lstm_mpc.report.blocks import number
from lstm_mpc.report.dossier import Dossier
from lstm_mpc.report.page import environment, pictures, sections, target
from lstm_mpc.report.sections.fit import fit_rows
from lstm_mpc.report.verdict import verdict

Rows = list[tuple[str, str, str]]


def check(one: Dossier, other: Dossier) -> None:
    """InputError where the designs are not of the same signals."""
    mine, yours = ([s.label for s in (*d.inputs, *d.outputs)] for d in (one, other))
    if mine != yours or len(one.inputs) != len(other.inputs):
        names = (
            f"{d.folder} has {', '.join(s.label for s in d.inputs)} →"
            f" {', '.join(s.label for s in d.outputs)}"
            for d in (one, other)
        )
        raise InputError(
            f"compare: {', '.join(names)}; only designs of the same signals can be compared"
        )


def names_of(one: Dossier, other: Dossier) -> tuple[str, str]:
    """What the designs are called; those of one name by their folders, too."""
    if one.name != other.name:
        return one.name, other.name
    return f"{one.name} ({one.folder})", f"{other.name} ({other.folder})"


def numbers(one: Dossier, other: Dossier) -> Rows:
    """(what, of the one, of the other), – where it is missing; stale evidence counts as missing.
    Scenarios only where both ran them."""
    mine, yours = _numbers(one), _numbers(other)
    alone = {key for key in mine.keys() ^ yours.keys() if key[0] == _SCENARIOS}
    # a stable order within each group
    keys = sorted(dict.fromkeys([*mine, *yours]), key=lambda key: key[0])
    return [
        (what, mine.get((group, what), "–"), yours.get((group, what), "–"))
        for group, what in keys
        if (group, what) not in alone
    ]


_MODEL, _FIT, _PROOF, _BOUNDS, _SCENARIOS, _LOOPS, _SIZE = range(7)


_METRICS = {
    "iae": "IAE",
    "travel": "travel",
    "offset": "largest offset",
    "failures": "failed solves",
}
_METRICS |= {"excess": "output beyond its soft bounds", "inadmissible": "inadmissible inputs"}


def _numbers(d: Dossier) -> dict[tuple[int, str], str]:
    """What is known of a design, by group and name."""
    found = {(_MODEL, "verdict"): verdict(d)[1].partition(":")[0]}
    if d.model is not None:
        sizes = d.model.sizes
        found |= {
            (_MODEL, "model"): d.model.digest[:12],
            (_MODEL, "cells"): " + ".join(map(str, sizes.nx)),
        }
        found[_MODEL, "input delays [samples]"] = ", ".join(
            map(str, d.model.delays or (0,) * len(d.inputs))
        )
        found[_MODEL, "parameters"] = str(sizes.parameters)
    fits = [
        fit for which, _, fit in fit_rows(d) if which == "validation" and fit.against == "measured"
    ]
    for j, s in enumerate(d.outputs if fits else ()):
        found[_FIT, f"{s.name}: FIT, mean-removed, worst record [%]"] = (
            f"{min(fit.mean_removed[j] for fit in fits):.2f}"
        )
        found[_FIT, f"{s.name}: RMSE, worst record [{s.unit}]"] = number(
            max(fit.rmse[j] for fit in fits)
        )
    for c in [a.value for a in d.certificates if a.value is not None and not a.stale]:
        found[_PROOF, f"{c.condition}: δ, proved"] = (
            number(c.margin) if c.holds else f"fails, {number(c.margin)}"
        )
        if rates := [layer["rate"] for layer in c.constants.get("layers", []) if "rate" in layer]:
            found[_PROOF, f"{c.condition}: rate [a sample], proved"] = number(max(rates), 6)
    if tubes := _fresh(d, TUBES):
        own = d.model.scaling.radius if d.model is not None else inf
        widest = max(tubes.tubes, key=lambda tube: (tube.radius <= own, tube.radius))
        for s, (low, high) in zip(d.outputs, widest.whole, strict=True):
            found[_BOUNDS, f"{s.name}: width of the tube [{s.unit}], proved"] = number(high - low)
    if v := _fresh(d, VERIFICATION):
        top = max((b for b in v.bounds if b.system == "model"), key=lambda b: b.radius_u)
        found[_BOUNDS, "ρ* of the model [normalised], sampled"] = number(top.radius_y)
    return found | _practice(d)


def _practice(d: Dossier) -> dict[tuple[int, str], str]:
    """What is known of closed loops and of the controller's size."""
    found: dict[tuple[int, str], str] = {}
    for run in (_fresh(d, LOOP) or {"runs": []})["runs"]:
        m = run["metrics"]
        found |= {
            (_SCENARIOS, f"{m['scenario']}: {what}"): number(m[key])
            for key, what in _METRICS.items()
            if key in m
        }
    if loops := _fresh(d, ASSURANCE):
        found[_LOOPS, "closed loops: share of the safe set, sampled"] = number(loops.reach)
        found[_LOOPS, "closed loops: excess of an input over its limits"] = number(loops.violation)
    if row := target(d):
        found |= {
            (_SIZE, "controller: flash [bytes]"): str(row["flash"]),
            (_SIZE, "controller: RAM with stack [bytes]"): str(row["ram"]),
        }
        found[_SIZE, "controller: instructions a sample, mean"] = str(
            row["instructions"]["all"]["mean"]
        )
    return found


def _fresh(dossier: Dossier, file: str) -> Any:
    """What a file holds, where it speaks of the model."""
    found = dossier.files[file]
    return None if found.stale else found.value


def settings(one: Dossier, other: Dossier) -> Rows:
    """The keys of the two design files whose values differ; – where a file does not say."""
    mine, yours = (dict(_flat(tomllib.loads(d.text))) for d in (one, other))
    keys = [key for key in dict.fromkeys([*mine, *yours]) if mine.get(key) != yours.get(key)]
    return [(key, str(mine.get(key, "–")), str(yours.get(key, "–"))) for key in keys]


def _flat(table: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        rows = value if isinstance(value, list) and value and isinstance(value[0], dict) else None
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        elif rows is not None:
            for place, row in enumerate(rows):
                yield from _flat(row, f"{before}{key} {row.get('name', place + 1)}: ")
        else:
            yield f"{before}{key}", value


def render_comparison(
    one: Dossier,
    other: Dossier,
    on_picture: Callable[[float, str], None] = lambda share, title: None,
) -> str:
    """Both designs on one page; the same artefacts give the same text."""
    check(one, other)
    mine, yours = (
        {picture.title: picture for picture in pictures(sections(d))} for d in (one, other)
    )
    pairs = [(title, mine.get(title), yours.get(title)) for title in dict.fromkeys([*mine, *yours])]
    text: str = (
        environment([*mine.values(), *yours.values()], on_picture)
        .get_template("report/templates/compare.html")
        .render(
            title=" and ".join(names_of(one, other)),
            names=names_of(one, other),
            digests=[d.model.digest if d.model else "" for d in (one, other)],
            verdicts=[verdict(d) for d in (one, other)],
            numbers=numbers(one, other),
            settings=settings(one, other),
            pairs=pairs,
        )
    )
    return text
