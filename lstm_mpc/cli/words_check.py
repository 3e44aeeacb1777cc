"""What the commands print that look at a model, on a further record and whether it is physical, at
its loop: what is proved of it, and at whole designs: reports and comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lstm_mpc.assurance.loop_proof import LoopProof
from lstm_mpc.cli.words import Answer, fit_lines, waivers
from lstm_mpc.data.look.correlation import Residuals
from lstm_mpc.model.model import Model
from lstm_mpc.model.step_response import StepResponse
from lstm_mpc.project.artefacts import PROOF, SIGNATURE
from lstm_mpc.project.design import Design
from lstm_mpc.project.steps.check_steps import MANY, Check
from lstm_mpc.project.steps.sign_steps import Checked, Signed
from lstm_mpc.report.write import Comparison, Report


def validated(check: Check, path: Path) -> Answer:
    """What `validate` measured."""
    data, outputs = check.dataset, check.model.outputs
    lines = [
        f"model {check.model.digest[:12]} on {data.samples} samples in {len(data.records)}"
        f" record(s), every {data.Ts:g} s"
    ]
    for against, fit in check.validation.fits.items():
        lines += [f"against the {against} output: {line}" for line in fit_lines(fit, outputs)]
    if (tube := check.validation.error_tube) is not None:
        lines.append(tube.sentence(outputs))
    if check.validation.fit < 0:
        lines.append("the mean of this record predicts it better than the model")
    if check.residuals is None:
        lines.append("residuals: not tested, the record is too short")
    else:
        lines += _residual_lines(check.residuals, check.model)
    return Answer([*lines, f"→ {path}"], check.content())


def _residual_lines(residuals: Residuals, model: Model) -> list[str]:
    """The tests of the residuals, a line for each pair."""
    lines, past = [], np.abs(residuals.cross[residuals.lags + 1 :])
    for i, s in enumerate(model.outputs):
        for j, u in enumerate(model.inputs):
            share = residuals.explained[i][j]
            verdict = "dynamics are missing" if share > MANY else "nothing is missing"
            lines.append(
                f"residual of {s.name} with past {u.name}: at most {past[:, i, j].max():.2f}, 99 %"
                f" bound {residuals.cross_bound[i, j]:.2f}, {share:.0%} of {residuals.lags} lags"
                f" beyond it: {verdict}"
            )
    return lines


def inspected(model: Model, responses: Sequence[StepResponse], path: Path) -> Answer:
    """What `inspect` saw: sign, gain and settling of every pair."""
    lines, rows = ["  from → to                      gain over the range   sign       settling"], []
    for j, u in enumerate(model.inputs):
        mine = [r for r in responses if r.input == j]
        for i, s in enumerate(model.outputs):
            gains, settling = [float(r.gain[i]) for r in mine], [float(r.settling[i]) for r in mine]
            sign = _sign(gains)
            slowest = None if any(map(np.isnan, settling)) else max(settling)
            gain = f"{min(gains):.3g} to {max(gains):.3g} {s.unit} per {u.unit}"
            lasting = "never within 4000 samples" if slowest is None else f"{slowest:g} s at most"
            lines.append(f"  {f'{u.name} → {s.name}':<30} {gain:<21} {sign:<10} {lasting}")
            rows.append(
                {
                    "input": u.name,
                    "output": s.name,
                    "levels": [r.before for r in mine],
                    "gains": gains,
                    "sign": sign,
                    "settling": slowest,
                }
            )
    turning = [f"{r['input']} → {r['output']}" for r in rows if r["sign"] == "CHANGES"]
    if turning:
        lines.append(
            f"the gain changes its sign: {', '.join(turning)}; a controller can go the wrong way"
            " there; is the plant like that?"
        )
    return Answer([*lines, f"→ {path}"], {"model": model.digest, "responses": rows})


def _sign(gains: Sequence[float]) -> str:
    if min(gains) > 0:
        return "positive"
    return "negative" if max(gains) < 0 else "CHANGES"


def loop_proved(proof: LoopProof, design: Design) -> Answer:
    """What is proved of the loop, under which inequalities, and what it covers."""
    lines = [f"{'proved' if proof.holds else 'NOT PROVED'} → {design.file(PROOF)}"]
    lines += [f"{kind}: {sentence}" for kind, sentence in proof.claims()]
    lines += [f"  {line.name}: {line.value:.10g} < 1, {line.blame}" for line in proof.inequalities]
    lines += [f"  inside: {what}" for what in proof.inside]
    lines += [f"  outside: {what}" for what in proof.outside]
    return Answer(lines, proof.content())


def signed(made: Signed, folder: Path) -> Answer:
    """What `sign` signed."""
    lines = [
        f"signed: {', '.join(made.files)} → {folder / SIGNATURE}",
        *(f"  by {key}" for key in made.signers),
    ]
    return Answer(lines, {"files": list(made.files), "signers": list(made.signers)})


def checked(made: Checked, folder: Path) -> Answer:
    """What `check` checked, and what it did not."""
    release, by = made.release, made.signed
    lines = [
        f"checked: model {release.model.digest[:12]} in {folder}, {', '.join(by.files)} signed by",
        *(f"  {key}" for key in by.signers),
        *(f"  {kind}: {sentence}" for kind, sentence in release.claims()),
        *(f"  unchecked: {what}" for what in made.unchecked),
    ]
    content = {
        "model": release.model.digest,
        "signers": list(by.signers),
        "claims": [list(claim) for claim in release.claims()],
        "unchecked": list(made.unchecked),
    }
    return Answer(lines, content)


def reported(report: Report, paths: Sequence[Path]) -> Answer:
    """What `report` wrote, and the first lines of it."""
    passed = report.dossier.files["release.json"].value
    lines = [report.verdict.replace("`", ""), *(waivers(passed) if passed else [])]
    lines += [f"{what}: {figure}" for what, figure, _ in report.glance]
    size = len(report.html.encode()) // 1024
    lines += [*report.open, f"report, {size} kB → {', '.join(map(str, paths))}"]
    model = report.dossier.model
    content = {
        "model": model.digest if model else None,
        "verdict": report.verdict,
        "files": list(map(str, paths)),
        "open": list(report.open),
    }
    return Answer(lines, content)


WIDEST = 48  # letters of a column


def compared(comparison: Comparison, path: Path) -> Answer:
    """What `compare` set side by side."""
    names = list(comparison.names)
    lines = columns([("", *names), *comparison.numbers])
    if comparison.settings:
        rows = [(f"  {key}", *values) for key, *values in comparison.settings]
        lines += ["settings that differ:", *columns(rows)]
    else:
        lines.append("same settings")
    size = len(comparison.html.encode()) // 1024
    content = {
        "names": names,
        "numbers": {key: values for key, *values in comparison.numbers},
        "settings": {key: values for key, *values in comparison.settings},
        "file": str(path),
    }
    return Answer([*lines, f"comparison, {size} kB → {path}"], content)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text under each other; what is long ends in …"""
    cells = [
        [cell if len(cell) <= WIDEST else cell[: WIDEST - 1] + "…" for cell in row] for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
