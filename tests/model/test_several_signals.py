"""Two of everything: every signal has its place in tables and figures."""

from dataclasses import replace

import numpy as np
import pytest
from sealing import sealed

from lstm_mpc import plots
from lstm_mpc.certificates.bounds_table import bounds_table
from lstm_mpc.certificates.evidence import Tubes, Verification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.cli.answers import answer
from lstm_mpc.control.engines.sqp import SolverOptions, Sqp
from lstm_mpc.control.loop_metrics import metrics
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.excitation import Steps
from lstm_mpc.directory import Project
from lstm_mpc.plots import style
from lstm_mpc.project.artefacts import Options
from lstm_mpc.project.design import load_design

SCENARIO = Scenario(
    "up",
    Steps((0.0, 50.0), [[12.0, 11.0], [13.0, 11.0]]),
    200.0,
    Steps((0.0, 100.0), [[0.0, 0.0], [0.3, 0.0]]),
)


@pytest.fixture(scope="module")
def run(tanks):
    design, passed = tanks
    return simulate_closed_loop(
        design.system,
        Sqp(passed, design.control, SolverOptions(sqp_iterations=1)),
        SCENARIO,
        u_start=[3.0, 3.0],
    )


def labels(figure):
    return [axis.get_ylabel() for axis in figure.axes]


def test_figures_of_each_output_and_input_are_what_the_run_shows(run):
    found, error = metrics(run, band=0.1), run.truth - run.reference
    assert [each["iae"] for each in found["each"]] == pytest.approx(10 * np.abs(error).sum(axis=0))
    assert found["iae"] == max(each["iae"] for each in found["each"])
    assert found["travels"] == pytest.approx(
        np.abs(np.diff(np.vstack([run.u_start, run.u]), axis=0)).sum(axis=0)
    )
    assert [step["t"] for step in found["steps"]] == [0.0, 50.0, 100.0]
    for number, whole in enumerate(found["steps"]):
        own = [each["steps"][number] for each in found["each"]]
        assert whole["overshoot"] == max(o["overshoot"] for o in own)
        assert whole["offset"] == max(o["offset"] for o in own)
        times = [o["settling"] for o in own]
        assert whole["settling"] == (None if None in times else max(times))
    between = slice(5, 10)  # the setpoint of h1 rises, that of h2 stays: there any deviation counts
    assert found["each"][1]["steps"][1]["overshoot"] == pytest.approx(
        np.abs(error[between, 1]).max()
    )
    assert found["each"][0]["steps"][1]["overshoot"] == pytest.approx(
        max(0.0, error[between, 0].max())
    )


def test_the_loop_is_drawn_with_every_signal(run, tanks):
    design, _ = tanks
    figure = plots.plot_loop(run, design.system, safe_set=design.safe_set)
    assert labels(figure) == ["h1 [cm]", "h2 [cm]", "v1 [V]", "v2 [V]", "d̂", "d − nominal [cm³/s]"]
    np.testing.assert_array_equal(figure.axes[1].lines[1].get_ydata(), run.truth[:, 1])
    np.testing.assert_array_equal(figure.axes[3].lines[0].get_ydata(), run.u[:, 1])
    np.testing.assert_array_equal(
        figure.axes[4].lines[1].get_ydata(), [move.input_disturbance[1] for move in run.moves]
    )
    # [cm³/s]: there is no share of nothing
    np.testing.assert_array_equal(figure.axes[5].lines[0].get_ydata(), run.d[:, 0])
    assert [text.get_text() for text in figure.axes[4].get_legend().get_texts()] == [
        "v1 [V]",
        "v2 [V]",
    ]


def test_model_figures_have_a_panel_for_every_signal(tanks):
    design, passed = tanks
    model, evidence = passed.model, Verification.load(design.file("verification.json"))
    rows = bounds_table(model, Tubes.load(design.file("tubes.json")), evidence, output=1)
    figure = plots.plot_reach(model, rows, output=1)
    assert labels(figure) == ["h2 [cm]"]
    assert any(
        list(line.get_ydata()) == [row["tube"][1] for row in rows] for line in figure.axes[0].lines
    )
    figure = plots.plot_scenarios(model, evidence, radius=1.0, count=2)
    assert labels(figure) == ["v1 [V]", "v2 [V]", "h1 [cm]", "h2 [cm]"]
    ends = {line.get_ydata()[0] for line in figure.axes[3].lines[-4:]}
    assert ends == {
        *design.safe_set[1],
        evidence.bound("model", 1.0).low[1],
        evidence.bound("model", 1.0).high[1],
    }
    figure = plots.plot_validation(model, design.records("validation"))
    assert labels(figure) == ["h1 [cm]", "error [cm]", "h2 [cm]", "error [cm]"]


def test_claims_name_every_output(tanks):
    claims = " ".join(sentence for _, sentence in tanks[1].claims())
    assert "takes the output out of h1 in [" in claims
    assert "validation FIT (12) h1 96." in claims
    assert " %, mean-removed h1 96." in claims


def test_the_verbs_have_lines_for_every_signal(tanks, tmp_path, monkeypatch):
    monkeypatch.setattr(style, "save", lambda *figure: [])
    design, _ = tanks
    rows = (
        (design.folder / "design.toml")
        .read_text()
        .replace("steps = 1000", "steps = 60")
        .replace("settle = 100 ", "settle = 20 ")
    )
    rows = rows.replace("[0.2, 0.4, 0.6, 0.8, 1.0]", "[1.0]").replace(
        "epsilon = 1e-2", "epsilon = 0.2"
    )
    rows = (
        rows[: rows.index("[[scenario]]")]
        + '[[scenario]]\nname = "s"\nduration = 50.0\nsetpoint = [[0, 12.0, 11.0]]\n'
    )
    (tmp_path / "design.toml").write_text(rows)
    (tmp_path / "model.json").write_bytes(design.file("model.json").read_bytes())
    passed = Release.load(design.file("release.json"))
    here = Project(tmp_path, Options(workers=1))
    results = [
        answer("verify", here, here.verify()),
        answer("reach", here, here.reach()),
    ]
    sealed(tmp_path, replace(passed, policy=load_design(tmp_path).release))
    results.append(answer("control", here, here.control("sqp")))
    said = "\n".join(line for result in results for line in result.lines)
    for words in (
        "intervals lie in the safe set",
        "and the plant h1 in ",
        "h1 [cm], tightest first:",
        "h2 [cm], tightest first:",
    ):
        assert words in said
    table = said[said.index("scenario      IAE") :].splitlines()
    assert [line.split()[0] for line in table[1:6]] == ["s", "h1", "h2", "v1", "v2"]
    assert table[6].startswith(
        "  units: IAE cm·s, travel V, offset (mean error over the last 100 s of each step) and"
        " overshoot cm"
    )
