"""Whole design directories of random models without a plant, for what reads them."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
from builders import stable_model
from sealing import sealed

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.evidence import Tubes
from lstm_mpc.certificates.gate import release
from lstm_mpc.certificates.reachability import reach
from lstm_mpc.certificates.scenarios import verify
from lstm_mpc.control.engines.sqp import Sqp
from lstm_mpc.control.limits import limits
from lstm_mpc.control.loop_metrics import metrics
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.csv_file import write_csv
from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.data.excitation import Mprs, Steps
from lstm_mpc.identification.validation import validate
from lstm_mpc.io import artefact_file
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import simulate
from lstm_mpc.project.design import load_design
from lstm_mpc.project.design_manifest import manifest, of_runs, of_scenarios
from lstm_mpc.project.steps.loop_steps import series


def _signals(model):
    rows = []
    for kind, signals in (("input", model.inputs), ("output", model.outputs)):
        for s in signals:
            ends = f"low = {s.low}\nhigh = {s.high}\n" if s.bounded else ""
            rows.append(f"[[{kind}]]\nname = '{s.name}'\nunit = '{s.unit}'\n{ends}")
    return "\n".join(rows)


def design_of(folder, *, seed=3, nu=2, nx=(4,), ny=2, names=None, samples=300, title="random"):
    """`folder` becomes a design directory: two validation records, a release, closed loops on the
    model itself."""
    folder.mkdir(parents=True, exist_ok=True)
    model = stable_model(seed, nu, nx, ny)
    if names:
        inputs = tuple(type(s)(f"{names} {s.name}", s.unit, s.low, s.high) for s in model.inputs)
        outputs = tuple(type(s)(f"{names} {s.name}", s.unit) for s in model.outputs)
        model = Model(model.network, model.scaling, inputs, outputs, model.Ts, model.origin, title)
    sets = []
    for number, which in enumerate(("training", "validation", "validation-2")):
        rng = np.random.default_rng(number)
        u = (
            Mprs(tuple(model.u_low), tuple(model.u_high), (50.0, 200.0))
            .draw(rng, samples, model.Ts)
            .signal(samples)
        )
        y = simulate(model.system, u).y
        data = Dataset(
            model.inputs,
            model.outputs,
            model.Ts,
            (Record(f"data-{which}", u, y + 1e-2 * rng.standard_normal(y.shape)),),
        )
        write_csv(folder / f"data-{which}.csv", data)
        sets.append(data)
    files = (
        '[data]\ntraining = ["data-training.csv"]\nvalidation = ["data-validation.csv",'
        ' "data-validation-2.csv"]\n'
    )
    safe = "[safe_set]\n" + "".join(f"'{s.name}' = [-100.0, 100.0]\n" for s in model.outputs)
    policy = (
        '[release]\nconditions = ["iss"]\noutput_set = "scenario"\nmin_fit ='
        " 10.0\n[verify]\nradii = [0.5, 1.0]\nsteps = 20\nsettle = 5\n[control]\nhorizon = 4\n"
    )
    policy += f"u_start = {(0.5 * (model.u_low + model.u_high)).tolist()}\n"
    (folder / "design.toml").write_text(
        f"name = '{title}'\n{_signals(model)}\n{files}{safe}{policy}", encoding="utf-8"
    )
    model = Model(
        model.network,
        model.scaling,
        model.inputs,
        model.outputs,
        model.Ts,
        {"data": sets[0].digest, "seed": seed},
        title,
    )
    model.save(folder / "model.json")
    evidence(folder, model)
    return folder


def evidence(folder, model):
    """Everything that the verbs would write about `model`."""
    design = load_design(folder)
    certificate = certify(model)
    certificate.save(folder / "certificate-iss.json")
    checked = verify(model, design.verify, safe_set=design.safe_set)
    checked = replace(checked, manifest=manifest(design).part(of_scenarios))
    checked.save(folder / "verification.json")
    Tubes(
        model.digest,
        tuple(reach(model, safe_set=design.safe_set, radius=r, steps=50) for r in (0.5, 1.0)),
    ).save(folder / "tubes.json")
    fits = validate(model, design.records("validation"), transient=50)
    passed = sealed(
        folder,
        release(model, [certificate], checked, fits, design.release, safe_set=design.safe_set),
    )
    history = [[0, 1.0, 10.0, 0.1], [1, 0.1, 90.0, 0.05]]
    start = {
        "seed": 3,
        "status": "Solve_Succeeded",
        "converged": True,
        "iterations": 1,
        "seconds": 0.5,
        "sentence": "",
        "certified": True,
    }
    start |= {"train_fit": 90.0, "validation_fit": 89.0, "margin": 0.05, "history": history}
    report = {"model": model.digest, "chosen": 3, "starts": [{**start, "seed": 2}, start]}
    artefact_file.write_json(folder / "training.json", "lstm_mpc training report", report)
    run = _loop(model, passed)
    content = {
        "metrics": metrics(run, band=0.1, limits=limits(passed, design.control)),
        "series": series(run, model.system),
    }
    artefact_file.write_json(
        folder / "closed-loop.json",
        "lstm_mpc closed loop",
        {
            "model": model.digest,
            "engine": "sqp",
            "runs": [content],
            "manifest": manifest(design).part(of_runs),
        },
    )


def _loop(model, passed):
    middle = 0.5 * (model.u_low + model.u_high)
    aims = [
        np.asarray(model.system.output(rest(model.system, u))).ravel()
        for u in (middle, 0.5 * (middle + model.u_high))
    ]
    scenario = Scenario("step", Steps((0.0, 100.0), np.array(aims)), 300.0, noise=1e-3)
    return simulate_closed_loop(
        model.system, Sqp(passed, ControlProblem(horizon=4)), scenario, u_start=middle
    )


class Outline(HTMLParser):
    """What a page holds: ids, targets of links, addresses, levels of headings, pictures without
    words, scripts."""

    def __init__(self, text):
        super().__init__()
        (
            self.ids,
            self.links,
            self.addresses,
            self.levels,
            self.wordless,
            self.tags,
            self.columns,
        ) = ([], [], [], [], [], [], [])
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        own = dict(attributes)
        self.tags.append(tag)
        if "id" in own:
            self.ids.append(own["id"])
        if tag == "a":
            self.links.append(own["href"])
        self.addresses += [own[key] for key in ("src", "href", "action", "data") if key in own]
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if (tag == "img" and not own.get("alt")) or (
            tag == "svg" and (own.get("role") != "img" or "aria-labelledby" not in own)
        ):
            self.wordless.append(own)
        if tag == "th":
            self.columns.append(own.get("scope"))

    handle_startendtag = handle_starttag


def valid(text):
    """The outline of a page that a browser and a screen reader can use and that asks nothing of a
    network."""
    seen = Outline(text)
    assert len(seen.ids) == len(set(seen.ids))
    assert all(link.startswith("#") and link[1:] in seen.ids for link in seen.links)
    assert all(
        address.startswith(("#", "data:image/svg+xml;base64,")) for address in seen.addresses
    )
    assert "url(http" not in text
    assert "@import" not in text
    assert seen.levels[0] == 1
    assert seen.levels.count(1) == 1
    assert all(
        after <= before + 1 for before, after in zip(seen.levels, seen.levels[1:], strict=False)
    )
    assert not seen.wordless
    assert "script" not in seen.tags
    assert set(seen.columns) <= {"row", "col"}
    assert '<html lang="en">' in text
    return seen
