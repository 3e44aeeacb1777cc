"""What the commands print: nouns of the data and of the model in sentences, and as the object of
`--json`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lstm_mpc.certificates.bounds_table import bounds_table
from lstm_mpc.certificates.evidence import Certificate, Tubes, Verification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.verdict.claims import decay
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.look.inspection import describe
from lstm_mpc.identification.model_order import Ordering
from lstm_mpc.model.importers.import_file import told as imported_facts
from lstm_mpc.model.model import Model
from lstm_mpc.plants.phrases import within
from lstm_mpc.plants.system import Signal
from lstm_mpc.project.artefacts import FIGURES, MODEL, ORDER, RELEASE, TUBES, VERIFICATION
from lstm_mpc.project.design import Design
from lstm_mpc.project.steps.draft_steps import Draft
from lstm_mpc.project.steps.training_steps import Origin, Recording, Trained, ordering_content

NOT_HELD = 4  # exit code of `certify` where a condition does not hold
_SHOWN = 5  # inequalities that fail
short = "{:g}".format  # a number that a human wrote


@dataclass(frozen=True)
class Answer:
    """What a command prints: `lines` for people, `content` for `--json`; `code` is its exit
    code."""

    lines: Sequence[str]
    content: Mapping[str, Any] = field(default_factory=dict)
    code: int = 0


def waivers(passed: Release) -> list[str]:
    """What the release was let off, for everyone to see."""
    return [f"WAIVED: {sentence}" for sentence in passed.waived]


def drafted(draft: Draft, folder: Path) -> Answer:
    """What `new` wrote."""
    lines = [*draft.notes, *draft.inspection.lines(draft.training.Ts)]
    if draft.guessed:
        lines.append(
            f"limits of {', '.join(draft.guessed)} are those of the data: give what the actuator"
            " can do, in design.toml"
        )
    path = folder / "design.toml"
    lines += [
        f"→ {folder / FIGURES / 'data.png'}",
        f"→ {path}; read the lines marked CHOOSE, then: lstm-mpc run {shlex.quote(str(folder))}",
    ]
    content = {"design": str(path), "notes": list(draft.notes), **describe(draft.inspection)}
    return Answer(lines, content)


def recorded(recording: Recording, paths: Mapping[str, Path]) -> Answer:
    """What `record` wrote."""
    lines, content = list(recording.notes), dict[str, Any]()
    if recording.notes:
        content["notes"] = list(recording.notes)
    for which, path in paths.items():
        dataset: Dataset = getattr(recording, which)
        y = np.vstack([item.y for item in dataset.records])
        ends = np.transpose([np.nanmin(y, axis=0), np.nanmax(y, axis=0)])
        lines.append(
            f"{which}: {dataset.samples} samples every {dataset.Ts:g} s,"
            f" {within(dataset.outputs, ends)} → {path}"
        )
        content[which] = {"file": str(path), "samples": dataset.samples, "digest": dataset.digest}
    return Answer(lines, content)


def ordered(ordering: Ordering, design: Design) -> Answer:
    """What `order` compared."""
    chosen = ordering.recommended
    lines = ["  cells      weights   validation FIT of each start [%], best first"]
    for c in ordering.candidates:
        fits = ", ".join(f"{fit:.2f}" for fit in c.fits) or "none certified"
        mark = "   ← enough" if c is chosen else ""
        lines.append(f"  {','.join(map(str, c.nx)):<10} {c.parameters:>7}   {fits}{mark}")
    reason = (
        "the largest that was tried; --cells tries others"
        if chosen is ordering.candidates[-1]
        else "more cells do not fit validation data better than starts differ"
    )
    lines.append(f"[train] cells = {list(chosen.nx)}: {reason} → {design.file(ORDER)}")
    return Answer(lines, ordering_content(ordering))


def trained(outcome: Trained, design: Design) -> Answer:
    """What `train` found: every start, the chosen model, how well it does."""
    model, lines = outcome.model, list[str]()
    if outcome.dataset.samples < outcome.available:
        lines.append(
            f"trained on {outcome.dataset.samples} of {outcome.available} samples:"
            f" {len(outcome.dataset.records)} windows of {design.data.window} samples, those in"
            " which the inputs move most"
        )
    lines += [start.sentence for start in outcome.identification.starts]
    lines.append(
        f"chosen: seed {model.origin['seed']}, model {model.digest[:12]} → {design.file(MODEL)}"
    )
    for against, fit in outcome.validation.fits.items():
        figures = fit_lines(fit, model.outputs)
        lines += [f"validation against the {against} output: {line}" for line in figures]
    lines.append(outcome.baselines.sentence)
    if outcome.baselines.verdict is not None:
        lines.insert(0, outcome.baselines.verdict)
    if outcome.validation.fit < 0:
        lines.append(
            "the mean of the validation data predicts them better than this model; give data that"
            " cover them, or another split"
        )
    if outcome.origin is not None:
        lines.append(_from_origin(outcome.origin, outcome.validation.fit))
    report, long = outcome.identification.report()["starts"], ("history", "network")
    starts = [{k: v for k, v in row.items() if k not in long} for row in report]
    return Answer(
        lines, {"model": model.digest, "starts": starts, "validation": outcome.validation.fits}
    )


def _from_origin(origin: Origin, fit: float) -> str:
    """What the certificates cost a model that training began from."""
    verdict = f"failed {', '.join(origin.failed)}" if origin.failed else "held every condition"
    return (
        f"from model {origin.model.digest[:12]}, which {verdict}: validation FIT (mean-removed)"
        f" {origin.fit:.2f} → {fit:.2f} %, the certificates cost {origin.fit - fit:.2f} points"
    )


def fit_lines(fit: Mapping[str, Any], outputs: Sequence[Signal]) -> list[str]:
    """A fit in words, output by output."""
    columns = (fit[key] for key in ("normalised", "engineering", "mean_removed", "rmse", "units"))
    lines = [
        f"FIT (12) {normalised:.2f} % normalised, {engineering:.2f} % in engineering units, "
        f"mean-removed {removed:.2f} %, RMSE {rmse:.4g} {unit}"
        for normalised, engineering, removed, rmse, unit in zip(*columns, strict=True)
    ]
    if len(lines) == 1:
        return lines
    return [f"{s.name}: {line}" for s, line in zip(outputs, lines, strict=True)]


def imported(model: Model, path: Path) -> Answer:
    """What `import` took over."""
    lines = (*imported_facts(model), f"model {model.digest[:12]} → {path}")
    return Answer(lines, {"model": model.digest, **model.origin, "radius": model.scaling.radius})


def certified(certificates: Mapping[Path, Certificate], model: Model) -> Answer:
    """What `certify` proved."""
    lines = list[str]()
    for path, certificate in certificates.items():
        if certificate.holds:
            lines += [f"{certificate} → {path}", *_constants(certificate)]
            lines += [f"  {decay(certificate)}"] if decay(certificate) else []
        else:
            lines += [f"{certificate.condition} fails → {path}", *_failures(certificate)]
    content = {c.condition: c.content() for c in certificates.values()}
    code = 0 if all(c.holds for c in certificates.values()) else NOT_HELD
    return Answer(lines, {"model": model.digest, "certificates": content}, code)


def _failures(certificate: Certificate) -> list[str]:
    """The worst inequalities of a certificate that fails, a line each."""
    failures = certificate.failures
    lines = [f"  {failure}" for failure in failures[:_SHOWN]]
    more = len(failures) - _SHOWN
    return [*lines, f"  and {more} more, in the file"] if more > 0 else lines


def _constants(certificate: Certificate) -> list[str]:
    """What a certificate that holds yields."""
    constants, lines = certificate.constants, []
    for layer in constants["layers"]:
        where = f"layer {layer['layer']}"
        if certificate.condition == "iss":
            mine = [x for x in certificate.inequalities if x.layer == layer["layer"]]
            lines += [f"  {where}: {x.name} = {x.value:.6f} < 1" for x in mine]
            beta = f"{layer['beta_gain']:.3f}·{layer['beta_rate']:.4f}^k·|χ0|"
            gains = f"{layer['gamma_u']:.1f}·‖u‖ + {layer['gamma_b']:.1f}·|b_c|"
            bound = f"|χ(k)| ≤ {beta} + {gains}  (at most {layer['state_bound']:.0f})"
            lines.append(f"  ISS bound (5), {where}, {constants['lyapunov_function']}: {bound}")
        else:
            box = ", ".join(f"{x:.3g}" for x in layer["x_bar"])
            lines.append(
                f"  {where}: certified rate {layer['rate']:.6f} a sample, on |x| ≤ ({box})"
            )
    return lines


def verified(evidence: Verification, design: Design) -> Answer:
    """What `verify` sampled."""
    v, radii = design.verify, design.verify.radii
    lines = [
        f"N = {evidence.scenarios} scenarios of {v.steps} steps, ε = {v.epsilon:g}, confidence 1 −"
        f" {v.beta:g} for each bound",
        "  ρu    LSTM ρ*   settled   plant ρ*   settled",
    ]
    for radius in radii:
        of_model, of_plant = evidence.bound("model", radius), evidence.bound("plant", radius)
        assert of_model is not None
        beside = f"   {of_plant.radius_y:8.4f}  {of_plant.settled:8.4f}" if of_plant else ""
        lines.append(f"  {radius:.2f}  {of_model.radius_y:8.4f}  {of_model.settled:8.4f}{beside}")
    top, of_plant = (evidence.bound(system, max(radii)) for system in ("model", "plant"))
    assert top is not None
    verdict = {"ball": ("LEAVES", "lies in"), "intervals": ("LEAVE", "lie in")}[v.shape][top.safe]
    ends = zip(top.low, top.high, strict=True)
    lines.append(
        f"at ρu = {top.radius_u:g} the model reached {within(design.outputs, ends)}; the {v.shape}"
        f" {verdict} the safe set {within(design.outputs, design.safe_set, short)}"
    )
    if of_plant and len(design.outputs) > 1:  # ρ* is one number for all of them
        ends = zip(of_plant.low, of_plant.high, strict=True)
        lines.append(f"  and the plant {within(design.outputs, ends)}")
    lines.append(
        f"worst scenario: number {top.worst}, sample {top.sample} → {design.file(VERIFICATION)}"
    )
    return Answer(lines, evidence.content())


_COLUMNS = ("plant", "model", "tube", "trivial", "iss")
_HEAD = (
    "  ρu    plant (sampled)     LSTM (sampled)      tube (proved)       trivial (proved)  "
    "  ISS bound (5)"
)


def reached(evidence: Tubes, design: Design, model: Model, sampled: Verification | None) -> Answer:
    """What `reach` proved, beside what was sampled."""
    lines, rows = list[str](), list[dict[str, Any]]()
    for j, s in enumerate(model.outputs):
        table = bounds_table(model, evidence, sampled, output=j)
        rows += [{"output": s.name, **row} for row in table]
        lines += [f"{s.label}, tightest first:", _HEAD]
        for row in table:
            cells = [f"[{row[k][0]:.3f}, {row[k][1]:.3f}]" if row[k] else "-" for k in _COLUMNS]
            spaced = " ".join(f"{cell:<19}" for cell in cells).rstrip()
            lines.append(f"  {row['radius']:.2f}  {spaced}")
    own = model.scaling.radius
    top = max(evidence.tubes, key=lambda tube: (tube.radius <= own, tube.radius))
    lines.append(
        f"{top.starts}; in single precision, as the C computes it:"
        f" {within(model.outputs, top.single)}"
    )
    lines += [
        f"at ρu = {tube.radius:.4g}, with the disturbance that the observer estimates, the tube"
        f" {'lies in' if tube.safe else 'LEAVES'} the safe set"
        for tube in evidence.tubes
        if tube.radius > own
    ]
    lines.append(
        f"at ρu = {top.radius:g} the tube {'lies in' if top.safe else 'LEAVES'} the safe set"
        f" {within(design.outputs, design.safe_set, short)} → {design.file(TUBES)}"
    )
    return Answer(lines, {"model": model.digest, "rows": rows})


def released(passed: Release, design: Design) -> Answer:
    """What `release` claims."""
    lines = [f"released: model {passed.model.digest[:12]} → {design.file(RELEASE)}"]
    claims = ControllerSpec(passed, design.control, design.solver).claims
    lines += [f"  {kind}: {sentence}" for kind, sentence in claims]
    content = {
        "model": passed.model.digest,
        "claims": [list(claim) for claim in claims],
        "waived": list(passed.waived),
    }
    return Answer(lines, content)
