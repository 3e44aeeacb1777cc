"""The verbs of the command line: each reads the artefacts to its left in a design directory and
writes exactly one (plots apart)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lstm_mpc.certificates.bounds_table import bounds_table
from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.evidence import Certificate, Tubes, Verification
from lstm_mpc.certificates.gate import Release, release
from lstm_mpc.certificates.reachability import reach
from lstm_mpc.certificates.scenarios import verify
from lstm_mpc.control.problem import input_range
from lstm_mpc.data.csv_file import write_csv
from lstm_mpc.data.dataset import scale, thin
from lstm_mpc.errors import InputError
from lstm_mpc.identification.baselines import baselines
from lstm_mpc.identification.linear_model import fit_linear
from lstm_mpc.identification.multistart import identify, validation_of
from lstm_mpc.identification.training import TrainingOptions
from lstm_mpc.io import artefact_file
from lstm_mpc.model.importers.import_file import import_model, told
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Signal
from lstm_mpc.project.artefacts import (
    ASSURANCE,
    FIGURES,
    LOOP,
    MODEL,
    PARTS,
    PIL,
    RELEASE,
    REPORT_KIND,
    TRAINING,
    TUBES,
    VERIFICATION,
    Options,
    Result,
    certificate_file,
    refuse_overwrite,
)
from lstm_mpc.project.design import Design, load_design
from lstm_mpc.project.export_steps import export_verb
from lstm_mpc.project.loop_steps import control_verb, verify_loop_verb


def record_verb(design: Design, options: Options) -> Result:
    """Run the experiment on the simulated plant, or make records of the raw log →
    data-training.csv, data-validation.csv."""
    for which in ("training", "validation"):
        refuse_overwrite(design.file(f"data-{which}.csv"), options)
    lines, content = list[str](), dict[str, Any]()
    if design.log.files:
        made = design.logged(
            lambda share, file: options.progress("record", 0.6 * share, f"{file} is read")
        )
        found = {"training": made.training, "validation": made.validation}
        lines, content = list(made.story), {"story": list(made.story)}
    else:
        found = design.experiment_records()
    for number, (which, dataset) in enumerate(found.items()):
        path = design.file(f"data-{which}.csv")
        options.progress("record", 0.6 + 0.3 * number, f"{path.name} is written")
        write_csv(path, dataset)
        y = np.vstack([item.y for item in dataset.records])
        spans = _reached(dataset.outputs, np.nanmin(y, axis=0), np.nanmax(y, axis=0))
        lines.append(f"{which}: {dataset.samples} samples every {dataset.Ts:g} s, {spans} → {path}")
        content[which] = {"file": str(path), "samples": dataset.samples, "digest": dataset.digest}
    return Result(tuple(lines), content)


def train_verb(design: Design, options: Options, origin: Path | None = None) -> Result:
    """Identify the model from the training data → model.json (and training.json, a report of every
    start); `origin` is a model to begin from, in whose scaling and shape training stays."""
    before = None if origin is None else Model.load(origin)
    refuse_overwrite(design.file(MODEL), options)
    training, validation, search = (
        design.records("training"),
        design.records("validation"),
        design.search,
    )
    settings = design.train if before is None else _keeping(design.train, before)
    both = search.max_fit_loss is not None and not set(settings.conditions) <= set(
        design.release.conditions
    )
    total, seen = (
        (max(search.starts, search.screen) + both * search.starts) * settings.iterations,
        dict[int, int](),
    )

    def tell(p: Any) -> None:
        seen[p.seed] = p.iteration
        detail = (
            f"seed {p.seed} iteration {p.iteration}: mse {p.objective:.3e}, FIT {p.fit:.2f} %, δ"
            f" {p.margin:+.3f}"
        )
        options.progress("train", sum(seen.values()) / total, detail)

    lines = list[str]()
    thinned = (
        thin(training, samples=design.data.samples, window=design.data.window)
        if design.data.samples
        else training
    )
    if thinned is not training:
        chosen = (
            f"{len(thinned.records)} windows of {design.data.window} samples, those in which the"
            " inputs move most"
        )
        lines.append(f"trained on {thinned.samples} of {training.samples} samples: {chosen}")
    options.progress(
        "train", 0.0, f"{max(search.starts, search.screen)} starts on {thinned.samples} samples"
    )
    found = identify(
        thinned,
        validation,
        settings,
        scaling=scale(training, rule=design.data.scaling) if before is None else before.scaling,
        network=None if before is None else before.network,
        workers=options.workers,
        name=design.name,
        on_progress=tell,
        required=design.release.conditions,
        **search.__dict__,
    )
    judge: dict[str, Any] = {"transient": search.transient, "window": search.window}
    evidence = validation_of(found.model, validation, **judge)
    lines += [start.sentence for start in found.starts]
    lines.append(
        f"chosen: seed {found.model.origin['seed']}, model {found.model.digest[:12]} →"
        f" {design.file(MODEL)}"
    )
    for against, fit in evidence.fits.items():
        lines += [
            f"validation against the {against} output: {words}"
            for words in _fit_words(fit, found.model.outputs)
        ]
    simple = baselines(
        fit_linear(thinned, validation, transient=search.transient, delays=found.model.delays),
        thinned,
        validation,
        evidence.fits["measured"]["mean_removed"],
        transient=search.transient,
    )
    lines.append(simple.sentence)
    if simple.verdict is not None:
        lines.insert(0, simple.verdict)
    if evidence.fit < 0:
        lines.append(
            "the mean of the validation data predicts them better than this model; give data that"
            " cover them, or another split"
        )
    if before is not None:
        lines.append(
            _price(
                before,
                validation_of(before, validation, **judge).fit,
                evidence.fit,
                design.train.conditions,
            )
        )
    found.model.save(design.file(MODEL))
    artefact_file.write_json(
        design.file(TRAINING),
        REPORT_KIND,
        {"model": found.model.digest, **found.report(), "baselines": simple.describe()},
    )
    from lstm_mpc.plots import figures, style

    style.save(
        figures.plot_validation(found.model, validation, **judge),
        design.file(FIGURES),
        "validation",
    )
    long = ("history", "network")
    starts = [{k: v for k, v in row.items() if k not in long} for row in found.report()["starts"]]
    return Result(
        tuple(lines), {"model": found.model.digest, "starts": starts, "validation": evidence.fits}
    )


def _keeping(settings: TrainingOptions, before: Model) -> TrainingOptions:
    """`settings` with the delays of a model to begin from."""
    if settings.delays not in ((), before.delays):
        told = (
            f"{list(settings.delays)} in the design are not {list(before.delays)} of the model to"
            " begin from"
        )
        raise InputError(f"train: delays {told}, whose weights belong to its own; leave delays out")
    return replace(settings, delays=before.delays)


def _price(before: Model, fit_before: float, fit: float, conditions: tuple[str, ...]) -> str:
    """What the certificates cost a model that training began from."""
    failed = [name for name in conditions if not certify(before, name).holds]
    verdict = f"failed {', '.join(failed)}" if failed else "held every condition"
    return (
        f"from model {before.digest[:12]}, which {verdict}: validation FIT (mean-removed)"
        f" {fit_before:.2f} → {fit:.2f} %, the certificates cost {fit_before - fit:.2f} points"
    )


def _fit_words(fit: dict[str, Any], outputs: Sequence[Signal]) -> list[str]:
    """A fit in words, output by output."""
    columns = zip(
        fit["normalised"],
        fit["engineering"],
        fit["mean_removed"],
        fit["rmse"],
        fit["units"],
        strict=True,
    )
    words = [
        f"FIT (12) {normalised:.2f} % normalised, {engineering:.2f} % in engineering units, "
        f"mean-removed {removed:.2f} %, RMSE {rmse:.4g} {unit}"
        for normalised, engineering, removed, rmse, unit in columns
    ]
    return (
        words
        if len(words) == 1
        else [f"{s.name}: {text}" for s, text in zip(outputs, words, strict=True)]
    )


def import_verb(file: Path, design: Design, options: Options) -> Result:
    """Take over a network that another framework trained → model.json."""
    refuse_overwrite(design.file(MODEL), options)
    signals = {"inputs": design.inputs, "outputs": design.outputs}
    model = import_model(
        file, **signals, Ts=design.sampling_time(), choice=design.foreign, name=design.name
    )
    model.save(design.file(MODEL))
    lines = (*told(model), f"model {model.digest[:12]} → {design.file(MODEL)}")
    return Result(lines, {"model": model.digest, **model.origin, "radius": model.scaling.radius})


def certify_verb(model_file: Path, conditions: tuple[str, ...], options: Options) -> Result:
    """Check stability conditions on any model file → certificate-<condition>.json beside it."""
    model = Model.load(model_file)
    for name in conditions:
        refuse_overwrite(model_file.parent / certificate_file(name), options)
    lines, content = [], {}
    for number, name in enumerate(conditions):
        options.progress("certify", number / len(conditions), name)
        certificate = certify(model, name)
        path = model_file.parent / certificate_file(name)
        certificate.save(path)
        lines.append(f"{certificate} → {path}")
        lines += _certificate_words(certificate) if certificate.holds else []
        content[name] = certificate.content()
    return Result(tuple(lines), {"model": model.digest, "certificates": content})


def conditions_of(design: Design) -> tuple[str, ...]:
    """What is to be certified: what the gate asks, and what the model was trained under beyond
    that."""
    trained = Model.load(design.file(MODEL)).origin.get("settings", {}).get("conditions", ())
    return tuple(dict.fromkeys((*design.release.conditions, *trained)))


def _certificate_words(certificate: Certificate) -> list[str]:
    """What a certificate that holds yields, in words."""
    constants, lines = certificate.constants, []
    for layer in constants["layers"]:
        if certificate.condition == "iss":
            own = [x for x in certificate.inequalities if x.layer == layer["layer"]]
            lines += [f"  layer {x.layer}: {x.name} = {x.value:.6f} < 1" for x in own]
            beta = f"{layer['beta_gain']:.3f}·{layer['beta_rate']:.4f}^k·|χ0|"
            gains = f"{layer['gamma_u']:.1f}·‖u‖ + {layer['gamma_b']:.1f}·|b_c|"
            bound = f"|χ(k)| ≤ {beta} + {gains}  (at most {layer['state_bound']:.0f})"
            lines.append(
                f"  ISS bound (5), layer {layer['layer']}, {constants['lyapunov_function']}:"
                f" {bound}"
            )
        else:
            reach = ", ".join(f"{x:.3g}" for x in layer["x_bar"])
            lines.append(
                f"  layer {layer['layer']}: certified rate {layer['rate']:.6f} a sample, on |x| ≤"
                f" ({reach})"
            )
    return lines


def verify_verb(design: Design, options: Options) -> Result:
    """Scenario verification of the model, and of the plant where there is one →
    verification.json."""
    refuse_overwrite(design.file(VERIFICATION), options)
    model, v = Model.load(design.file(MODEL)), design.verify
    found = verify(
        model,
        safe_set=design.safe_set,
        plant=design.system,
        workers=options.workers,
        on_progress=lambda label, share: options.progress("verify", share, f"{label}: {share:.0%}"),
        **v.__dict__,
    )
    found.save(design.file(VERIFICATION))
    from lstm_mpc.plots import figures, style

    style.save(
        figures.plot_scenarios(model, found, radius=max(v.radii)), design.file(FIGURES), "scenarios"
    )
    style.save(figures.plot_bounds(found), design.file(FIGURES), "bounds")
    found_by = (
        f"N = {found.scenarios} scenarios of {v.steps} steps, ε = {v.epsilon:g}, confidence 1 −"
        f" {v.beta:g} for each bound"
    )
    lines = [found_by, "  ρu    LSTM ρ*   settled   plant ρ*   settled"]
    for radius in v.radii:
        own, plant = found.bound("model", radius), found.bound("plant", radius)
        assert own is not None
        beside = f"   {plant.radius_y:8.4f}  {plant.settled:8.4f}" if plant else ""
        lines.append(f"  {radius:.2f}  {own.radius_y:8.4f}  {own.settled:8.4f}{beside}")
    top = found.bound("model", max(v.radii))
    assert top is not None
    verdict = {"ball": ("LEAVES", "lies in"), "intervals": ("LEAVE", "lie in")}[v.shape][top.safe]
    reached = _reached(model.outputs, top.low, top.high)
    lines.append(
        f"at ρu = {top.radius_u:g} outputs reached {reached}; the {v.shape} {verdict} the safe set"
        f" {_spans(design)}"
    )
    of_plant = found.bound("plant", max(v.radii))
    if of_plant and len(model.outputs) > 1:  # ρ* is one number for all of them
        lines.append(
            f"  and those of the plant {_reached(model.outputs, of_plant.low, of_plant.high)}"
        )
    lines.append(
        f"worst scenario: number {top.worst}, sample {top.sample} → {design.file(VERIFICATION)}"
    )
    return Result(tuple(lines), found.content())


def reach_verb(design: Design, options: Options) -> Result:
    """Interval tubes of the model, for every input within the limits and all times → tubes.json."""
    refuse_overwrite(design.file(TUBES), options)
    model, v = Model.load(design.file(MODEL)), design.verify
    found = []
    for number, radius in enumerate(v.radii):
        options.progress("reach", number / len(v.radii), f"ρu = {radius:g}")
        found.append(
            reach(
                model, safe_set=design.safe_set, radius=radius, start_box=v.start_box, steps=v.steps
            )
        )
    evidence = Tubes(model.digest, tuple(found))
    evidence.save(design.file(TUBES))
    sampled = (
        Verification.load(design.file(VERIFICATION)) if design.file(VERIFICATION).exists() else None
    )
    sampled = sampled if sampled and sampled.model == model.digest else None
    from lstm_mpc.plots import figures, style

    lines, rows = [], []
    for j, s in enumerate(model.outputs):
        own = bounds_table(model, evidence, sampled, output=j)
        rows += [{"output": s.name, **row} for row in own]
        lines.append(f"{s.label}, tightest first:")
        lines.append(
            "  ρu    plant (sampled)     LSTM (sampled)      tube (proved)       trivial (proved)  "
            "  ISS bound (5)"
        )
        for row in own:
            cells = [
                f"[{row[k][0]:.3f}, {row[k][1]:.3f}]" if row[k] else "-"
                for k in ("plant", "model", "tube", "trivial", "iss")
            ]
            lines.append(
                f"  {row['radius']:.2f}  " + " ".join(f"{cell:<19}" for cell in cells).rstrip()
            )
        name = "reach" if len(model.outputs) == 1 else f"reach-{s.name}"
        style.save(figures.plot_reach(model, own, output=j), design.file(FIGURES), name)
    top = max(found, key=lambda tube: tube.radius)
    lines.append(
        f"at ρu = {top.radius:g} the tube {'lies in' if top.safe else 'LEAVES'} the safe set"
        f" {_spans(design)} → {design.file(TUBES)}"
    )
    return Result(tuple(lines), {"model": model.digest, "rows": rows})


def _reached(outputs: Sequence[Signal], low: Iterable[float], high: Iterable[float]) -> str:
    return ", ".join(
        f"{s.name} {a:.3f} … {b:.3f} {s.unit}" for s, a, b in zip(outputs, low, high, strict=True)
    )


def _spans(design: Design) -> str:
    return ", ".join(
        f"{s.name} [{a:g}, {b:g}] {s.unit}"
        for s, (a, b) in zip(design.outputs, design.safe_set, strict=True)
    )


def release_verb(design: Design, options: Options) -> Result:
    """Pass the gate → release.json, or refuse with every reason (exit code 3)."""
    refuse_overwrite(design.file(RELEASE), options)
    options.progress("release", 0.0, "certificates and tube once more, from the weights")
    model = Model.load(design.file(MODEL))
    certificates = [
        Certificate.load(design.file(certificate_file(name))) for name in design.release.conditions
    ]
    low, high = input_range(model, design.control)
    tubes = Tubes.load(design.file(TUBES)).tubes if design.file(TUBES).exists() else ()
    passed = release(
        model,
        certificates,
        Verification.load(design.file(VERIFICATION)),
        validation_of(
            model,
            design.records("validation"),
            transient=design.search.transient,
            window=design.search.window,
        ),
        design.release,
        safe_set=design.safe_set,
        u_low=low,
        u_high=high,
        tube=max(tubes, key=lambda tube: tube.radius, default=None),
    )
    passed.save(design.file(RELEASE))
    lines = [f"released: model {model.digest[:12]} → {design.file(RELEASE)}", *_claim_lines(passed)]
    return Result(
        tuple(lines),
        {
            "model": model.digest,
            "claims": [list(c) for c in passed.claims()],
            "waived": list(passed.waived),
        },
    )


def _claim_lines(passed: Release) -> list[str]:
    return [f"  {kind}: {sentence}" for kind, sentence in passed.claims()]


ARTEFACTS = (
    "data-training.csv",
    "data-validation.csv",
    MODEL,
    TRAINING,
    VERIFICATION,
    TUBES,
    RELEASE,
    LOOP,
    ASSURANCE,
    PIL,
)


def chain(folder: Path) -> tuple[tuple[str, Callable[[Options], Result]], ...]:
    """Every verb of a design directory, in the order in which `run` takes them."""
    design = load_design(folder)
    recording = (
        (("record", lambda options: record_verb(design, options)),)
        if not design.data.training
        else ()
    )
    driving = (
        (("control", lambda options: control_verb(design, options)),) if design.scenarios else ()
    )
    assuring = (
        (("verify-loop", lambda options: verify_loop_verb(design, options)),)
        if design.verify_loop
        else ()
    )
    return (
        *recording,
        ("train", lambda options: train_verb(design, options)),
        (
            "certify",
            lambda options: certify_verb(design.file(MODEL), conditions_of(design), options),
        ),
        ("verify", lambda options: verify_verb(design, options)),
        ("reach", lambda options: reach_verb(design, options)),
        ("release", lambda options: release_verb(design, options)),
        *driving,
        *assuring,
        ("export", lambda options: export_verb(design, options)),
    )


def prepare(source: Path, out: Path, options: Options) -> None:
    """Make `out` a design directory of its own with `source`'s design and data files; an earlier
    run there needs `force`."""
    design = load_design(source)
    names = [
        *design.data.training,
        *design.data.validation,
        *design.log.files,
        *design.log.validation_files,
    ]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not options.force:
            raise InputError(
                f"{out}: is not empty; --force replaces an earlier run, --out names another folder"
            )
        for name in (*ARTEFACTS, *(certificate_file(c) for c in design.release.conditions)):
            (out / name).unlink(missing_ok=True)
        for name in (FIGURES, PARTS):
            shutil.rmtree(out / name, ignore_errors=True)
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(
                f"{source / 'design.toml'}: {name} lies outside the design directory; copy it there"
            )
    out.mkdir(parents=True, exist_ok=True)
    for name in ("design.toml", *names):
        artefact_file.write_bytes(out / name, (source / name).read_bytes())
