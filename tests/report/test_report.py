"""The design report: every section, what is missing or stale said in words, safe with any name,
valid, the same text every time."""

import hashlib
import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from builders import random_model, stable_model
from documents import ROOT, added
from dossiers import design_of, valid

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.conditions import CONDITIONS, SIGNED
from lstm_mpc.cli.command_line import main
from lstm_mpc.data.dataset import thin
from lstm_mpc.directory import Project
from lstm_mpc.errors import InputError
from lstm_mpc.export.controller_folder import KIND
from lstm_mpc.io import artefact_file
from lstm_mpc.model.model import Model
from lstm_mpc.plots import figures, style
from lstm_mpc.project.artefacts import REPORT_KIND
from lstm_mpc.report import write
from lstm_mpc.report.blocks import (
    Claims,
    Facts,
    Formula,
    Heading,
    Listing,
    Picture,
    Table,
    Text,
    interval,
    number,
    told,
)
from lstm_mpc.report.page import css_string, drawn, glance, mathml, prose, render_report, sections
from lstm_mpc.report.reading import read
from lstm_mpc.report.sections import certificates
from lstm_mpc.report.verdict import verdict

NASTY = '<script>alert("1")</script> & $x$ </style>'
SIZES = {
    "flash": 11764,
    "ram": 5672,
    "stack": 900,
    "instructions": {"all": {"mean": 381221, "max": 596466}},
}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    return shutil.copytree(
        ROOT / "models" / "ph", tmp_path_factory.mktemp("shipped") / "ph", ignore=added
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A design of one input and two outputs, no plant, whose every name means mischief."""
    return design_of(
        tmp_path_factory.mktemp("made") / "random", nu=1, nx=(3,), names=NASTY, title=NASTY
    )


@pytest.fixture
def copy(shipped, tmp_path):
    return shutil.copytree(shipped, tmp_path / "copy")


def said(folder):
    return said_of(read(folder))


def said_of(dossier):
    """Every sentence, cell and formula of a report, without the figures."""
    lines = []
    for section in sections(dossier):
        lines.append(f"# {section.title}")
        for block in section.blocks:
            if isinstance(block, (Text, Heading, Formula, Listing)):
                lines.append(block.text)
            elif isinstance(block, (Facts, Claims)):
                lines += [": ".join(row) for row in block.rows]
            elif isinstance(block, Table):
                lines += [
                    block.caption,
                    " | ".join(block.head),
                    *(" | ".join(row) for row in block.rows),
                ]
            elif isinstance(block, Picture):
                lines += [block.title, block.words, block.caption]
    return "\n".join(lines)


def test_the_page_is_valid_whatever_the_names(made):
    page = render_report(read(made))
    seen = valid(page)
    titles = re.findall(r'<h2 id="[a-z]+"><span class="no">\d+</span> (.*)</h2>', page)
    assert titles == [section.title for section in sections(read(made))]
    assert len(titles) == 10
    assert seen.tags.count("svg") == 10
    assert page.count("<style>") == page.count("</style>") == 1
    assert page.count("&lt;script&gt;") > 20
    assert len(page) < 1_000_000


def test_the_shipped_design_is_told_in_full(shipped):
    text = said(shipped)
    for words in (
        "data-training | 4400 | 12.22 h | none | yes",
        "validation: data-validation | pH | measured | 97.48 | 99.71 | 97.24 | 0.01898 pH",
        "seed 2 | User_Requested_Stop | no | 119 | 25.4 s | 98.16 | 97.24 | 0.01334 | yes",
        r"(1 + 0.92991) \cdot 0.51125 = 0.98666 < 1",
        r"|χ(k)| \le 3.1623 \cdot 0.986665^k \cdot |χ_0| + 291.00 \cdot \|u\| + 335.36 \cdot |b_c|",
        "layer 1: (Â v)/v, row 5 | 0.96524230 < 1 | 0.03476",
        "Certified rate of layer 1: 0.965242 a sample",
        "1 | [5.948, 8.991] | [5.989, 8.958] | [5.545, 9.215] | [5.306, 9.702] | [−834.1, 849.1]",
        "scenarios N: 2964, drawn once from seed 20, 2000 steps each",
        "LSTM | 1 | 1.0050 | 1.0050 | pH in [5.989, 8.958] pH | 2262, sample 514 | yes",
        "tracking | 744.4 | 20.63 | 0.0102 | 0.025 | 0, 100, 220, 340, 60",
        "closed loops N: 1375 of 360 steps, seed 30",
        "`lstm-mpc verify-loop DESIGN --replay 199` draws it",
        "[control] max_move | 1",
        "[observer] kind | kalman",
        "[solver] sqp_iterations | 2",
        (
            "proved: δISS, and no input within the actuator limits takes the model's output out of"
            " the safe set"
        ),
        "policy: output_set: tube",
        "waivers: none",
        "seed: verify_loop: 30",
        "lstm-mpc verify-loop DESIGN\n",
    ):
        assert words in text
    for file in ("model.json", "release.json", "data-training.csv"):
        assert f"{file} | " in text
        assert hashlib.sha256((shipped / file).read_bytes()).hexdigest() in text
    assert (shipped / "design.toml").read_text() in text
    assert str(shipped) not in text
    assert verdict(read(shipped))[:2] == ("good", "Released: every check of the policy passed")


def test_what_is_missing_names_its_verb(shipped, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(shipped / "model.json", alone)
    text = said(alone)
    files = {
        "record": "data-training.csv",
        "train": "training.json",
        "certify": "certificate-<condition>.json",
        "reach": "tubes.json",
    }
    files |= {
        "verify": "verification.json",
        "control": "closed-loop.json",
        "verify-loop": "loop-verification.json",
    }
    for verb, file in (
        files | {"export": "controller/manifest.json", "pil": "pil.json", "release": "release.json"}
    ).items():
        assert f"Not there yet: `lstm-mpc {verb} DESIGN` makes {file}." in text
    assert verdict(read(alone)) == (
        "open",
        "Not released yet: the next step is `lstm-mpc release DESIGN`",
        (),
    )
    assert valid(render_report(read(alone))).tags.count("svg") == 0


def test_a_design_without_a_model(shipped, tmp_path):
    folder = tmp_path / "fresh"
    folder.mkdir()
    for file in ("design.toml", "data-training.csv", "data-validation.csv", "tubes.json"):
        shutil.copy(shipped / file, folder)
    text = said(folder)
    assert "Not there yet: `lstm-mpc train DESIGN` makes model.json." in text
    assert (
        "tubes.json speaks of model d52722c73d24, but there is no model here; `lstm-mpc reach`"
        " makes it anew." in text
    )
    assert verdict(read(folder))[1] == "Not released yet: the next step is `lstm-mpc train DESIGN`"
    assert ("Validation FIT, mean-removed", "–", "no data to compare with") in glance(read(folder))


def test_evidence_of_another_model_is_called_stale(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "other")
    model = Model.load(folder / "model.json")
    other = replace(model, name="other")
    other.save(folder / "model.json")
    text, stale = (
        said(folder),
        (
            f"speaks of model {model.digest[:12]}, but the model here is {other.digest[:12]};"
            " `lstm-mpc "
        ),
    )
    files = {
        "training.json": "train",
        "certificate-iss.json": "certify",
        "verification.json": "verify",
        "tubes.json": "reach",
    }
    for file, verb in (files | {"release.json": "release", "closed-loop.json": "control"}).items():
        assert f"{file} {stale}{verb}` makes it anew." in text
    kind, sentence, claims = verdict(read(folder))
    assert (kind, claims) == ("bad", ())
    assert sentence.startswith("Not released: release.json speaks of model")
    assert "Intervals of" not in text  # a tube of another model is not drawn
    assert ("certificate-iss", "–", "stale") in glance(read(folder))


@pytest.mark.usefixtures("undrawn")
def test_simpler_models_stand_beside_and_a_better_one_stands_first(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "copy")
    kind, path = "lstm_mpc training report", folder / "training.json"
    report = artefact_file.read_json(path, kind)
    model = {"orders": [2], "gain": [[1.0]], "gain_error": [[0.1]], "time_constants": [88.0]}
    figures = {"outputs": ["pH"], "mean": [-1.5], "linear": [93.25], "lstm": [91.5]}
    words = "a linear model predicts the validation data better than this LSTM"
    report["baselines"] = {**figures, "model": model, "verdict": words}
    artefact_file.write_json(path, kind, report)
    page = render_report(read(folder))
    first = page.index(f'<p class="verdict bad">A{words[1:]}</p>')
    assert first < page.index('<p class="verdict', first + 1)
    assert "pH | -1.50 | 93.25 | 91.50 | order 2, slowest time constant 88 s" in said(folder)
    report["baselines"]["verdict"] = None
    artefact_file.write_json(path, kind, report)
    assert "A linear model predicts" not in render_report(read(folder))


@pytest.fixture(scope="module")
def troubled(shipped, tmp_path_factory):
    """What is said of the shipped design with other data, another budget and policy, and with sizes
    and a figure that others left."""
    folder = shutil.copytree(shipped, tmp_path_factory.mktemp("troubled") / "copy")
    text = (folder / "design.toml").read_text()
    (folder / "design.toml").write_text(
        text.replace("sqp_iterations = 2 ", "sqp_iterations = 3 ").replace(
            "min_fit = 95.0", "min_fit = 96.0"
        )
    )
    lines = (folder / "data-training.csv").read_text().splitlines()
    (folder / "data-training.csv").write_text("\n".join(lines[:2000]) + "\n")
    content = artefact_file.read_json(folder / "release.json", "lstm_mpc release")
    content["policy"]["controller"] = "scenario"
    artefact_file.write_json(folder / "release.json", "lstm_mpc release", content)
    digest = Model.load(folder / "model.json").digest
    row = {
        "to_python": 1.9e-6,
        "to_ipopt": 2.6e-5,
        "state_bytes": 100.0,
        "work_bytes": 200.0,
        "model_bytes": 300.0,
    }
    facts = {
        "model": digest,
        "agreement": {"float": row},
        "target": {"core": "cortex-m4f", **SIZES},
    }
    artefact_file.write_json(folder / "controller" / "manifest.json", KIND, facts)
    cores = {
        "model": digest,
        "double": False,
        "cores": {"cortex-m3": [{"dead_time": 30.0, "samples": 360, **SIZES}]},
    }
    artefact_file.write_json(folder / "pil.json", "lstm_mpc processor in the loop", cores)
    (folder / "figures").mkdir()
    (folder / "figures" / "loop-number-199.svg").write_text(
        "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    )
    dossier = read(folder)
    return dossier, said_of(dossier)


@pytest.mark.parametrize(
    "words",
    [
        "loop-verification.json judged release.min_fit = 95, which is 96 now; `lstm-mpc verify-loop"
        " DESIGN --force` judges anew",
        "release.json judged release.min_fit = 95, which is 96 now; `lstm-mpc release DESIGN",
        "The policy that the model passed under is not the one the design states now",
        "data-training.csv is not what the model was trained on (data a23a8712e631, here ",
        "cortex-m4f | 11764 | 5672 | 381221 | 596466",
        "float | 1.9·10⁻⁶ | 2.6·10⁻⁵ | 100 | 200 | 300",
        "cortex-m3, dead time 30 s | 11764 | 5672 | 381221 | 596466",
        "Scenario 199 of 1375 takes 0.3034 of the safe set",
    ],
)
def test_what_has_changed_is_told(troubled, words):
    assert words in troubled[1]


def test_sizes_stand_on_the_first_screen(troubled):
    assert (
        "Controller, flash",
        "11764 bytes",
        "on cortex-m4f; RAM 5672 bytes, 381221 instructions a sample of the self-test",
    ) in glance(troubled[0])


def test_the_worst_loop_is_an_image_that_cannot_act(troubled):
    picture = next(
        b
        for s in sections(troubled[0])
        for b in s.blocks
        if isinstance(b, Picture) and "worst closed loop" in b.title
    )
    assert re.fullmatch(
        '<img src="data:image/svg\\+xml;base64,[A-Za-z0-9+/=]+" alt="[^"<>]+">', drawn(picture)
    )


def test_a_file_that_was_altered_is_a_sentence(copy):
    for file in ("tubes.json", "closed-loop.json"):
        (copy / file).write_text((copy / file).read_text().replace("5", "6", 1))
    text = said(copy)
    for file in ("tubes.json", "closed-loop.json"):
        assert f"{file} cannot be used: {file}: was altered after it was written" in text
    assert str(copy) not in text


def test_a_release_that_the_gate_refuses_today(copy):
    content = artefact_file.read_json(copy / "release.json", "lstm_mpc release")
    content["policy"]["min_fit"] = 99.9
    artefact_file.write_json(copy / "release.json", "lstm_mpc release", content)
    kind, sentence, _ = verdict(read(copy))
    assert kind == "bad"
    assert sentence.startswith(
        "Not released: the gate refuses it today: validation FIT 97.24 % (mean-removed) is below"
        " the 99.9 %"
    )


def test_waivers_stand_in_the_verdict(copy):
    content = artefact_file.read_json(copy / "release.json", "lstm_mpc release")
    content["policy"] |= {"min_fit": 99.9, "waive": {"fit": "bench test only"}}
    artefact_file.write_json(copy / "release.json", "lstm_mpc release", content)
    kind, sentence, claims = verdict(read(copy))
    assert (kind, sentence) == ("bad", "Released with waivers: fit")
    assert (claims[-1][0], claims[-1][1].rpartition("waived: ")[2]) == ("waived", "bench test only")


def test_windows_of_long_data_are_not_other_data(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "windows")
    text = (folder / "design.toml").read_text()
    (folder / "design.toml").write_text(
        text.replace("[data]", "[data]\nsamples = 200\nwindow = 50")
    )
    assert "is not what the model was trained on" in read(folder).data["training"].stale
    model, training = Model.load(folder / "model.json"), read(folder).data["training"].value
    replace(model, origin={"data": thin(training, samples=200, window=50).digest}).save(
        folder / "model.json"
    )
    assert read(folder).data["training"].stale == ""


def test_delays_are_told(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "late")
    replace(Model.load(folder / "model.json"), delays=(3,)).save(folder / "model.json")
    assert f"Delays of the inputs, part of the model [samples]: {NASTY} u1 3." in said(folder)


def test_raw_logs_are_told(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "logged")
    text = (folder / "design.toml").read_text()
    (folder / "design.toml").write_text(
        re.sub(r"\[data\]\n.*\n.*\n", '[log]\nfiles = ["raw.csv"]\nlongest_gap = 7\n', text)
    )
    text = said(folder)
    assert "files: raw.csv\n" in text
    assert "longest_gap: 7\n" in text
    assert "lstm-mpc record DESIGN\n" in text


def test_data_of_other_signals_are_not_compared(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "other")
    stable_model(3, 2, (3,), 2).save(folder / "model.json")
    text = said(folder)
    assert (
        "data-training.csv has other signals or another sampling time than the model here, which is"
        " not compared with it." in text
    )
    assert "Mean-removed FIT" not in text


def test_nothing_to_report(tmp_path):
    with pytest.raises(
        InputError,
        match=r"holds neither design.toml nor model.json; a report is made of a design directory",
    ):
        read(tmp_path)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_numbers_in_a_formula_give_what_it_says(condition):
    model = random_model(1, nu=2, nx=(3, 2), ny=1, spread=0.4)
    certificate, equations = certify(model, condition), 0
    for block in certificates._of_certificate(certificate, model):
        text = block.text if isinstance(block, Formula) else ""
        if "=" not in text or not re.search(r"\d\.\d{5}", text) or "χ" in text:
            continue
        plain = text.replace(r"\cdot", "*").replace(r"\frac{1}{4}", "0.25")
        left, right = plain.split("=")[-2:]
        for sign in ("<", r"\ge"):
            right = right.partition(sign)[0]
        assert float(eval(left, {"__builtins__": {}})) == pytest.approx(float(right), abs=2e-4)
        equations += 1
    assert equations == {"iss": 4, "weighted_iss": 0, "delta_iss": 0}.get(
        condition, 2 if condition.startswith("weighted") else 4
    )


def test_a_long_certificate_shows_its_tightest_lines():
    model = stable_model(0, nx=(12, 12))
    blocks = certificates._of_certificate(certify(model, "delta_iss"), model)
    table = next(block for block in blocks if isinstance(block, Table))
    assert len(table.rows) == certificates.SHOWN
    assert "the 40 tightest of 48" in table.caption
    margins = [float(row[1].removesuffix(" < 1")) for row in table.rows]
    assert margins == sorted(margins, reverse=True)


def test_numbers_for_people():
    assert [number(x) for x in (None, 0.0, -1.5, 1e-6, float("inf"), 123456.0)] == [
        "–",
        "0",
        "−1.5",
        "1·10⁻⁶",
        "∞",
        "1.235·10⁵",
    ]
    assert interval(-1.0, float("inf")) == "[−1, ∞]"
    assert [told(x) for x in (None, True, (), [1, 2], [[1, 2], [3, 4]], {"a": 1}, "x", (5,))] == [
        "default",
        "yes",
        "none",
        "[1, 2]",
        "[1, 2], [3, 4]",
        "a 1",
        "x",
        "5",
    ]


def test_formulas_become_mathml():
    assert "<mfrac>" in mathml(r"\frac{a b}{2.5}")
    assert mathml(r"\begin{bmatrix} F & R \\ O & 1 \end{bmatrix}").count("<mtd>") == 4
    assert "<script" not in mathml("x <script> y")
    conditions = ("iss", "weighted_iss", "weighted_iss_2", "delta_iss", "delta_iss_1", SIGNED)
    for condition in conditions:
        for formula in certificates._formulas(condition):
            made = ET.fromstring(mathml(formula))
            words = "".join(made.itertext())
            assert not set(words) & set("\\~{}"), formula  # nothing of the text is left over


@pytest.mark.parametrize(
    "text", [NASTY, "", 'a"b\\c\n}', "<!--", "`<b>`", "\u0001\U0001f600", "'; } * { display: none"]
)
def test_no_text_leaves_its_place(text):
    assert re.fullmatch(r'"([0-9A-Za-z]|\\[0-9a-f]+ )*"', css_string(text))
    assert not set("<>\"'") & set(re.sub("</?code>", "", prose(text)))


def test_figures_are_text_that_does_not_change(dataset):
    draw = partial(figures.plot_data, dataset)
    one, two = (style.svg(draw(), "a", title="<T>", words="W & w") for _ in range(2))
    assert one == two
    assert one.startswith('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 540')
    assert '<title id="a-title">&lt;T&gt;</title><desc id="a-words">W &amp; w</desc>' in one
    assert "q3 [mL/s]</text>" in one
    assert "var(--blue)" in one
    assert not re.search('#[0-9a-f]{6}|font-family|url\\(#(?!a-)|href="#(?!a-)| id="(?!a-)', one)


def test_a_thinned_curve_keeps_its_extremes(rng):
    y = rng.standard_normal(5000)
    y[2500:2600] = np.nan
    t, kept = style.thin(np.arange(5000.0), y)
    assert len(t) <= 1400
    assert (np.diff(t) > 0).all()
    assert (np.nanmin(kept), np.nanmax(kept)) == (np.nanmin(y), np.nanmax(y))
    assert np.isnan(kept).any()
    assert style.thin(t, kept)[0] is t


def test_colours_can_be_read(pytestconfig):
    """WCAG AA: at least 4.5 : 1 for text on both grounds, 3 : 1 for curves."""
    css = (pytestconfig.rootpath / "lstm_mpc" / "report" / "templates" / "style.css").read_text()
    light, dark = (
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", part))
        for part in css.split("prefers-color-scheme")[:2]
    )

    def brightness(color):
        parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        return np.dot(
            [0.2126, 0.7152, 0.0722],
            [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts],
        )

    for theme in (light, light | dark):
        for ground in ("page", "sheet"):
            for name in set(theme) - {"page", "sheet", "line"}:
                low, high = sorted(brightness(theme[key]) for key in (ground, name))
                assert (high + 0.05) / (low + 0.05) >= (
                    4.5 if name not in ("grey", "red") else 3.0
                ), (ground, name)


def test_the_verb(shipped, tmp_path, capsys):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(shipped / "model.json", alone)
    assert main(["report", str(alone), "--quiet"]) == 0
    assert "Not released yet: the next step is lstm-mpc release DESIGN" in capsys.readouterr().out
    first = (alone / "report.html").read_bytes()
    assert main(["report", str(alone), "--quiet"]) == 2
    assert f"{alone}/report.html: exists; --force replaces it" in capsys.readouterr().err
    assert main(["report", str(alone), "--json", "--force"]) == 0
    assert '"open": []' in capsys.readouterr().out
    assert (alone / "report.html").read_bytes() == first


def test_without_a_browser_there_is_no_pdf(shipped, tmp_path, monkeypatch):
    monkeypatch.setattr(write.shutil, "which", lambda name: None)
    with pytest.raises(
        InputError,
        match=(
            r"--pdf needs Chromium or Chrome, which is not found; `apt-get install chromium`"
            r" brings it"
        ),
    ):
        Project(shipped).report(tmp_path / "page.html", pdf=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo broken >&2", r"did not print it \(broken\)"),
        ("exec sleep 60", "did not print it within 0.5 s"),
    ],
)
def test_a_browser_that_does_not_print(tmp_path, monkeypatch, script, why):
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\n{script}\n")
    browser.chmod(0o755)
    monkeypatch.setattr(write, "_PATIENCE", 0.5)
    with pytest.raises(InputError, match=why):
        write.printed(tmp_path / "page.html", str(browser))


@pytest.mark.usefixtures("undrawn")
def test_what_speaks_against_a_model_is_marked(shipped, tmp_path):
    """Starts that did not converge, residuals that follow an input, a better linear model."""
    folder = shutil.copytree(shipped, tmp_path / "ph", ignore=added)
    path = folder / "training.json"
    content = artefact_file.read_json(path, REPORT_KIND)
    starts = content["starts"]
    worse = {"mean": [0.0], "linear": [99.0], "lstm": [97.0], "outputs": ["pH"]}
    model = {"orders": [2], "time_constants": [50.0]}
    content["baselines"] = {**worse, "model": model, "verdict": "a linear model is better"}
    for k, start in enumerate(starts):
        start["converged"] = k == 0
    artefact_file.write_json(path, REPORT_KIND, content)
    page = Project(folder).report().html
    tables = re.findall(r"<table>.*?</table>", page, re.DOTALL)
    by_caption = {re.search("<caption>(.*?)</caption>", t)[1]: t for t in tables}
    of_starts = next(t for name, t in by_caption.items() if "ended before it converged" in name)

    assert of_starts.count("⚠</span>") == len(starts) - 1

    beside = next(t for name, t in by_caption.items() if "the linear model is better" in name)
    assert beside.count("⚠</span>") == 1
    left = next(t for name, t in by_caption.items() if name.startswith("Correlations with lags"))
    assert left.count("⚠</span>") == 1  # with q3, not with itself
    assert "what is left follows a past input" in left
