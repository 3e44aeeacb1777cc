"""Numbers of a controller that are tried, and their way into design.toml."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest
from builders import some

from lstm_mpc.assurance.model_plant import ModelPlant, model_plant
from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.errors import InputError
from lstm_mpc.project.design import load_design
from lstm_mpc.project.tuning import numbers
from lstm_mpc.project.tuning.what_if import Bench, WhatIf, loaded

BASE = """# a comment that stays
name = "short"
[[input]]
name = "u"
unit = "V"
low = 0.0
high = 10.0
[[output]]
name = "y"
unit = "m"
low = 0.0
high = 5.0
"""
CONTROL = """
[control]   # the controller
horizon = 20              # [samples]
output_weight=1.0
  move_penalty = [ 0.1,
     ]   # kept
max_move = 1.0  # horizon = 3
[solver]
sqp_iterations = 2
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "design.toml").write_bytes((BASE + CONTROL).encode())
    return tmp_path


# -- the text --------------------------------------------------------------------------------------


def test_a_value_is_changed_where_it_stands(folder):
    text = numbers.read_text(folder)
    asked = {"horizon": 30, "move_penalty": [0.25], "output_weight": 1.0}
    changed = numbers.changed_text(folder, text, asked)
    expected = text.replace("horizon = 20 ", "horizon = 30 ").replace("[ 0.1,\n     ]", "[0.25]")
    assert changed == expected
    assert numbers.difference(text, text) == []
    lines = numbers.difference(text, changed)
    assert [line for line in lines[2:] if line[0] in "+-"] == [
        "-horizon = 20              # [samples]",
        "+horizon = 30              # [samples]",
        "-  move_penalty = [ 0.1,",
        "-     ]   # kept",
        "+  move_penalty = [0.25]   # kept",
    ]


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ("", "\n[control]\nhorizon = 30\n"),
        ("[control]\nmax_move = 1.0\n", "[control]\nhorizon = 30\nmax_move = 1.0\n"),
        ("[control]", "[control]\nhorizon = 30\n"),
        ("[control]\r\nhorizon = 7\r\n", "[control]\r\nhorizon = 30\r\n"),
        ("[control]\nu_start = [\n[1.0]]", None),  # not a list of numbers
        ("[control]\nhorizon = 7 # 8\n[solver]\n", "[control]\nhorizon = 30 # 8\n[solver]\n"),
    ],
)
def test_a_key_that_is_not_there_is_written_into_its_table(tmp_path, control, expected):
    text = BASE + control
    if expected is None:
        with pytest.raises(InputError, match="u_start needs 1 number"):
            numbers.changed_text(tmp_path, text, {"horizon": 30})
        return
    changed = numbers.changed_text(tmp_path, text, {"horizon": 30})
    assert changed == BASE + expected
    assert tomllib.loads(changed)["control"]["horizon"] == 30


@pytest.mark.parametrize(
    "control",
    [
        "control = { horizon = 20 }\n",
        "control.horizon = 20\n",
        "[control]\nhorizon = 0x14\nhorizon2 = 1",
        '[control]\n"horizon" = 20\n',
        "[control]\noutput_weight = [ # each\n1.0]\nhorizon = 20\n",
    ],
)
def test_what_is_written_otherwise_is_left_to_people(tmp_path, control):
    head, _, tail = BASE.partition("[[input]]")
    text = head + control + "[[input]]" + tail if control.startswith("control") else BASE + control
    asked = {"horizon": 30} if "each" not in control else {"output_weight": [2.0]}
    with pytest.raises(InputError, match=r"by hand|unknown key"):
        numbers.changed_text(tmp_path, text, asked)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"horizon": 0}, "horizon must be at least 1 sample, got 0"),
        ({"horizon": 20.5}, r"\[control\] horizon is 20.5, not a whole number"),
        ({"move_penalty": -1.0}, "move_penalty must be a number or a list of numbers, not neg"),
        ({"output_weight": None}, r"\[control\] output_weight is None, not a number"),
        ({"max_move": 9.0}, "tune: 'max_move' is none of horizon, output_weight"),
    ],
)
def test_numbers_are_checked_as_those_of_a_design(folder, asked, words):
    before = numbers.read_text(folder)
    with pytest.raises(InputError, match=words):
        numbers.write(folder, numbers.digest_of(before), asked)
    assert numbers.read_text(folder) == before


def test_a_file_that_changed_meanwhile_is_not_written(folder):
    seen = numbers.digest_of(numbers.read_text(folder))
    path = folder / "design.toml"
    path.write_text(path.read_text() + "# somebody else\n")
    with pytest.raises(InputError, match=r"changed since the difference was shown; look again"):
        numbers.write(folder, seen, {"horizon": 30})
    numbers.write(folder, numbers.digest_of(path.read_text()), {"horizon": 30})
    assert load_design(folder).control.horizon == 30
    assert path.read_text().endswith("# somebody else\n")
    assert [p.name for p in folder.iterdir()] == ["design.toml"]  # no temporary file is left


def test_a_mark_and_ends_of_lines_stay(tmp_path):
    text = "\ufeff" + (BASE + CONTROL).replace("\n", "\r\n")
    (tmp_path / "design.toml").write_bytes(text.encode())
    seen = numbers.read_text(tmp_path)
    numbers.write(tmp_path, numbers.digest_of(seen), {"horizon": 30})
    after = (tmp_path / "design.toml").read_bytes().decode()
    assert after == text.replace("horizon = 20 ", "horizon = 30 ")


# -- what happens ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bench(pytestconfig):
    design = load_design(pytestconfig.rootpath / "models" / "ph")
    return design, Bench(design)


def test_a_setpoint_and_a_load_step(bench):
    """The run is that of the loop written down by hand, and the number that is tried tells."""
    design, trial = bench
    asked = WhatIf(setpoint=(7.5,), disturbance="load on q3", size=0.4, samples=60)
    heard = []
    run, figures = trial.run(design, asked, heard.append)
    assert len(heard) == len(run.t) == 60
    assert run.reference[:6, 0] == pytest.approx(trial.rest[0])
    assert set(run.reference[6:, 0]) == {7.5}
    assert run.d[:30, -1].tolist() == [0.0] * 30
    assert set(run.d[30:, -1]) == {0.4}
    plant, mpc = design.system, MPC(trial.release, design.control, "sqp", design.solver)
    chi, u = run.truth, run.u
    state = plant.vectorised
    x = np.asarray(plant.x0)[:, None]
    for _ in range(3000):
        x = state.step(x, np.array([design.u_start]).T, plant.d_nominal[:, None])
    mpc.reset(run.y[0], run.u_start)
    for k in range(60):
        assert state.output(x)[:, 0] == pytest.approx(chi[k], abs=1e-9)
        assert mpc.step(run.y[k], run.reference[k]).u == pytest.approx(u[k], abs=1e-9)
        x = state.step(x, (u[k] + run.d[k, -1:])[:, None], plant.d_nominal[:, None])
    lazy = replace(design, control=replace(design.control, move_penalty=1.0))
    other = trial.run(lazy, asked)[1]
    assert other["travels"][0] < figures["travels"][0]
    assert other["iae"] > figures["iae"]


def test_a_scenario_of_the_design(bench):
    design, trial = bench
    found = next(s for s in design.scenarios if s.name == "acid")
    scenario = replace(found, duration=700.0)  # the acid comes after 600 s
    design = replace(design, scenarios=(scenario,))
    run, _ = trial.run(design, WhatIf("acid"))
    spec = MPC(trial.release, design.control, "sqp", design.solver)
    same = simulate_closed_loop(design.system, spec, scenario, u_start=design.u_start)
    assert (run.u == same.u).all()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"setpoint": (12.0,)}, r"setpoint pH = 12 is outside \[4.5, 9.5\] pH, the safe set"),
        ({"setpoint": ()}, "setpoint needs 1 number"),
        ({"setpoint": (7.0,), "disturbance": "q9"}, "there is no disturbance 'q9'"),
        ({"setpoint": (7.0,), "disturbance": "q2", "size": 99.0}, "q2 = 99.55 is outside"),
        ({"scenario": "none"}, "there is no scenario 'none'"),
    ],
)
def test_questions_that_do_not_fit(bench, asked, words):
    with pytest.raises(InputError, match=words):
        bench[1].run(bench[0], WhatIf(**asked))


@pytest.mark.parametrize(
    "asked", [{"samples": 5}, {"samples": 10_000}, {"noise": -1.0}, {"size": float("nan")}]
)
def test_questions_that_nobody_can_ask(asked):
    with pytest.raises(InputError, match="tune: "):
        WhatIf(**asked)


def test_a_design_without_a_plant_is_tried_on_its_model(bench, tmp_path, pytestconfig):
    shipped = pytestconfig.rootpath / "models" / "ph"
    text = (shipped / "design.toml").read_text()
    text = text[: text.index("[verify_loop]")]
    signals = (
        '[[input]]\nname = "q3"\nunit = "mL/s"\nlow = 12.5\nhigh = 17.0\n'
        '[[output]]\nname = "pH"\nunit = "pH"\nlow = 0.0\nhigh = 14.0\n'
    )
    plant = text[text.index("[plant]") : text.index("[train]")]
    (tmp_path / "design.toml").write_text(text.replace(plant, signals))
    for name in ("release.json", "model.json"):
        (tmp_path / name).write_bytes((shipped / name).read_bytes())
    design = load_design(tmp_path)
    trial = Bench(design)
    assert trial.is_model
    run, _ = trial.run(design, WhatIf(setpoint=(7.5,), samples=60))
    assert run.truth[-1] == pytest.approx([7.5], abs=0.01)
    own = model_plant(trial.release.model, ModelPlant())
    assert [s.name for s in loaded(own).disturbances] == ["residuals", "load on q3"]
    (tmp_path / "model.json").write_bytes(
        (pytestconfig.rootpath / "models" / "quadruple_tank" / "model.json").read_bytes()
    )
    with pytest.raises(InputError, match=r"is of another model than model.json; `lstm-mpc release"):
        Bench(design)


@pytest.mark.parametrize("name", some(["ph", "quadruple_tank", "ph_feed"], "quadruple_tank"))
def test_shipped_designs_can_be_tried(name, pytestconfig):
    design = load_design(pytestconfig.rootpath / "models" / name)
    trial = Bench(design)
    asked = WhatIf(setpoint=tuple((trial.rest + 0.1).tolist()), samples=30)
    run, figures = trial.run(design, asked)
    assert run.truth.shape == (30, len(design.outputs))
    assert len(figures["travels"]) == len(run.u_start)
