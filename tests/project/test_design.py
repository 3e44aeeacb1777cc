"""design.toml: every key is an argument of the package, everything else is an error that names
it."""

import dataclasses

import numpy as np
import pytest

from lstm_mpc.assurance.loop_verification import LoopVerifyOptions
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.scenario import draw_scenario
from lstm_mpc.data.csv_file import write_csv
from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.data.log_options import LogOptions
from lstm_mpc.errors import InputError
from lstm_mpc.identification.options import TrainingOptions
from lstm_mpc.identification.starts import SearchOptions
from lstm_mpc.plants.system import Signal
from lstm_mpc.project.design import load_design
from lstm_mpc.project.design_tables import RENAMED, TABLES

PLANT = '[plant]\nkind = "ph"\n'


def load(folder, text):
    (folder / "design.toml").write_text(text)
    return load_design(folder)


def test_the_shipped_designs_load(pytestconfig):
    designs = sorted((pytestconfig.rootpath / "models").glob("*/design.toml"))
    assert designs
    for path in designs:
        assert load_design(path.parent).name == path.parent.name


def test_defaults(tmp_path):
    design = load(tmp_path, PLANT)
    assert design.experiment.training_samples == 4400
    assert design.experiment.validation_samples == 2250
    assert design.train.cells == (5,)
    assert design.u_start == (15.6,)
    assert design.safe_set == ((0.0, 14.0),)


def test_values_arrive(tmp_path):
    text = (
        PLANT + "[train]\ncells = [4, 3]\nweight_bound = 3\n[control]\nu_low = [13.0]\nu_start ="
        " [15]\n[release]\nwaive = { fit = 'bench' }\n"
    )
    design = load(tmp_path, text)
    assert design.train.cells == (4, 3)
    assert design.train.weight_bound == 3
    assert design.control.u_low == (13.0,)
    assert design.release.waive == {"fit": "bench"}


def test_every_key_of_the_problem_may_stand_in_a_design(tmp_path):
    text = PLANT + "[control]\nblocks = [1, 2, 3]\nsensor_high = 10\nfrozen_after = 5\n"
    control = load(tmp_path, text + "safe_input = [15]\n").control
    assert (control.blocks, control.sensor_high, control.frozen_after, control.safe_input) == (
        (1, 2, 3),
        10,
        5,
        (15,),
    )
    assert load(tmp_path, text).control.safe_input is None


def test_a_scenario_merges_its_disturbances(tmp_path):
    text = (
        PLANT
        + "[[scenario]]\nname='s'\nduration=100.0\nsetpoint=[[0,7.0],[50,8.0]]\n"
        + "q1=[[0,16.6],[20,17.0]]\nq2=[[0,0.5],[40,0.6]]\n"
    )
    scenario = load(tmp_path, text).scenarios[0]
    assert scenario.disturbances.times == (0.0, 20.0, 40.0)
    assert np.asarray(scenario.disturbances.levels).tolist() == [
        [16.6, 0.5],
        [17.0, 0.5],
        [17.0, 0.6],
    ]


def test_a_scenario_may_have_a_slow_valve_and_another_plant(tmp_path):
    table = "[[scenario]]\nname='s'\nduration=100.0\nsetpoint=[[0,7.0]]\n"
    design = load(
        tmp_path, PLANT + table + "noise=0.02\ndelay=30.0\nvalve_lag=20\nmismatch=0.02\n" + table
    )
    other, nominal = design.scenarios
    assert (other.noise, other.delay, other.valve_lag, other.mismatch) == (0.02, 30.0, 20, 0.02)
    assert (len(design.plant_of(other).parameters), len(design.plant_of(nominal).parameters)) == (
        6,
        0,
    )
    chi = [
        draw_scenario(design.plant_of(s), s, u_start=design.u_start).chi for s in (other, nominal)
    ]
    assert (chi[0][3:] != 1).all()
    assert chi[1].size == 3


OWN = "[control]\nu_start = [0.0]\n[[input]]\nname='u'\nunit='V'\n[[output]]\nname='y'\nunit='V'\n"
LAW = PLANT + "[verify_loop]\nsetpoint = [[6.5, 7]]\nstart = [[15.0, 15.5]]\n"


def test_the_law_of_the_closed_loop_stands_among_the_keys_of_its_verification(tmp_path):
    made = load(tmp_path, LAW + "q2 = [0.5, 0.6]\nsteps = 100\nnoise = 0.01\n")
    assert made.verify_loop == LoopVerifyOptions(steps=100)
    assert made.loop_law.setpoint == ((6.5, 7.0),)
    assert made.loop_law.disturbances == {"q2": (0.5, 0.6)}
    assert made.loop_law.noise == 0.01
    assert load(tmp_path, PLANT).loop_law is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAW + "qq = [1.0, 2.0]", r"unknown key 'qq' in \[verify_loop\]"),
        (LAW + "law = 1", r"unknown key 'law' in \[verify_loop\]"),
        (LAW + "disturbances = 1", r"unknown key 'disturbances' in \[verify_loop\]"),
        (LAW + "q1 = 3.0", r"\[verify_loop\] disturbances q1 is 3.0, not a list of 2"),
        (LAW + "q1 = [3.0, 2.0]", r"loop law: q1 \[3, 2\] must rise"),
        (PLANT + "[verify_loop]\nsetpoint = [[6.5, 7]]", r"\[verify_loop\] lacks 'start'"),
        (OWN + "[verify_loop]", r"\[verify_loop\] needs a \[plant\] to simulate"),
    ],
)
def test_a_law_of_the_closed_loop_that_is_none(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        load(tmp_path, text)


def test_own_data(tmp_path):
    u, y = (Signal("u", "V", 0.0, 1.0),), (Signal("y", "mm", 0.0, 2.0),)
    rng = np.random.default_rng(0)
    made = Dataset(u, y, 2.0, (Record("r", rng.uniform(size=(30, 1)), rng.uniform(size=(30, 1))),))
    write_csv(tmp_path / "log.csv", made)
    text = '[data]\ntraining=["log.csv"]\nvalidation=["log.csv"]\nscaling="paper"\n'
    text += '[[input]]\nname="u"\nunit="V"\nlow=0.0\nhigh=1.0\nnominal=0.5\n'
    text += '[[output]]\nname="y"\nunit="mm"\nlow=0.0\nhigh=2.0\n'
    design = load(tmp_path, text)
    assert design.records("training").digest == made.digest
    assert design.system is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = [", "is not TOML"),
        (PLANT + "[train]\ncell = [5]", "unknown key 'cell' in [train]; did you mean 'cells'?"),
        (PLANT + "[traim]\n", "unknown key 'traim' in the design; did you mean 'train'?"),
        (PLANT + "[zzz]\n", "known: name, plant"),
        ("[plant]\nkind = []\n", "kind must be 'ph' or 'quadruple_tank' or 'model', got [];"),
        (
            '[plant]\nkind = "boiler"\n',
            (
                "kind must be 'ph' or 'quadruple_tank' or 'model', got 'boiler'; other plants are"
                " used from Python"
            ),
        ),
        (PLANT + "delay = 7.0\n", "multiple of the sampling time"),
        (PLANT + "[train]\ncells = 5", "[train] cells is 5, not a list of whole numbers"),
        (PLANT + "[train]\nweight_bound = 'big'", "weight_bound is 'big', not a number"),
        (PLANT + "[train]\niterations = 2.5", "iterations is 2.5, not a whole number"),
        (PLANT + "[control]\npreview = 1", "preview is 1, not true or false"),
        (PLANT + "[control]\nhorizon = true", "horizon is True, not a whole number"),
        (PLANT + "[train]\nconditions = ['magic']", "unknown stability condition 'magic'"),
        (PLANT + "[control]\nu_start = [1.0, 2.0]", "u_start needs 1"),
        (PLANT + "[safe_set]\npX = [1, 2]", "unknown key 'pX' in [safe_set]"),
        (PLANT + "[safe_set]\npH = [2]", "pH must be [low, high]"),
        (PLANT + "[safe_set]\npH = [9.0, 5.0]", "must rise"),
        (PLANT + "[[scenario]]\nname='s'\nsetpoint=[[0,7.0]]\n", "[[scenario]] 's'"),
        (PLANT + "[[scenario]]\nname='s'\nduration=10.0\nsetpoint=[[5,7.0]]\n", "starting at 0"),
        (
            PLANT + "[[scenario]]\nname='s'\nduration=10.0\nsetpoint=[[0,7.0]]\nq9=[[0,1.0]]\n",
            "unknown key 'q9'",
        ),
        (PLANT + "[train]\nweight_bound = -1.0", "weight_bound must be positive"),
        ("name = 'x'\n", "without a [plant]"),
        ("plant = 3\n", "[plant] must be a table"),
        ("input = [1]\n", "[[input]] must be a list of tables"),
        (PLANT + "[control]\nu_start = 'x'", "u_start needs 1"),
        (PLANT + "[train]\ncells = ['a']", "cells"),
        (PLANT + "[verify]\nradii = ['a']", "radii"),
        (PLANT + "[release]\nwaive = 3", "waive is 3, not a table"),
        ("name = 3\n" + PLANT, "name is 3, not text"),
        (
            "[[scenario]]\nname='s'\n"
            + '[[input]]\nname="u"\nunit="V"\nnominal=1.0\n[[output]]\nname="y"\nunit="V"\n',
            "needs a [plant] to simulate",
        ),
    ],
)
def test_bad_designs_are_one_sentence(tmp_path, text, words):
    with pytest.raises(InputError) as error:
        load(tmp_path, text)
    assert words in str(error.value)
    assert "design.toml" in str(error.value)
    assert "\n" not in str(error.value)


OLD = [
    ("[train]", "nx = [5]", "'nx' in [train] is called 'cells' now; rename it"),
    ("[train]", "box = 5.0", "'box' in [train] is called 'weight_bound' now"),
    ("[train]", "least = 1.0", "'least' in [train] is called 'min_improvement' now"),
    ("[search]", "skip = 50", "'skip' in [search] is called 'transient' now"),
    ("[search]", "price = 5.0", "'price' in [search] is called 'max_fit_loss' now"),
    ("[budget]", "", "'budget' in the design is called 'solver' now"),
    ("[solver]", "passes = 1", "'passes' in [solver] is called 'sqp_iterations' now"),
    ("[solver]", "changes = 1", "'changes' in [solver] is called 'qp_iterations' now"),
    ("[solver]", "halvings = 1", "'halvings' in [solver] is called 'line_search_steps' now"),
    ("[solver]", "correct = 0.1", "'correct' in [solver] is called 'tolerance' now"),
    (
        "[solver]",
        "correction_threshold = 0.1",
        "'correction_threshold' in [solver] is called 'tolerance' now",
    ),
    ("[log]", "least = 50", "'least' in [log] is called 'min_samples' now"),
]
KALMAN = "[observer]\nkind = 'kalman'\nnoise = 0.1\ndrift = 0.1\n"
OLD += [
    (KALMAN, "largest = 1.0", "'largest' in [observer] is called 'max_disturbance' now"),
    (KALMAN, "alert = 1.0", "'alert' in [observer] is called 'drift_boost' now"),
    (KALMAN, "timing = 0.5", "'timing' in [observer] is called 'delay_uncertainty' now"),
]


@pytest.mark.parametrize(("table", "key", "words"), OLD)
def test_a_key_of_an_earlier_version_is_refused_with_its_name_today(tmp_path, table, key, words):
    with pytest.raises(InputError) as error:
        load(tmp_path, f"{PLANT}{table}\n{key}\n")
    assert words in str(error.value)


def test_no_key_that_is_in_use_counts_as_old():
    """Every new name is a field of its record, and no old one is."""
    for table, names in RENAMED.items():
        if table == "the design":
            known = set(TABLES)
        else:
            kind = {
                "train": TrainingOptions,
                "search": SearchOptions,
                "solver": SolverOptions,
                "observer": KalmanTuning,
                "log": LogOptions,
            }[table]
            known = {field.name for field in dataclasses.fields(kind)}
        assert set(names.values()) <= known
        assert not set(names) & known


def test_what_the_gate_asks_is_trained_in_unless_the_design_says_otherwise(tmp_path):
    assert (
        load(tmp_path, PLANT).train.conditions
        == load(tmp_path, PLANT).release.conditions
        == ("delta_iss",)
    )
    assert load(tmp_path, PLANT + "[release]\nconditions = ['iss']").train.conditions == ("iss",)
    assert load(tmp_path, PLANT + "[train]\nconditions = []").train.conditions == ()


def test_a_missing_design(tmp_path):
    with pytest.raises(InputError, match=r"design\.toml: cannot be read"):
        load_design(tmp_path)


# -- inputs that are measured ----------------------------------------------------------------------

FEED = PLANT + "[[input]]\nname='q1'\nunit='mL/s'\nkind='measured'\nlow=16.0\nhigh=17.2\n"


def test_a_measured_disturbance_is_an_input_of_the_model_that_nothing_moves(tmp_path):
    text = (
        FEED + "[experiment]\ntraining_samples = 300\nvalidation_samples = 300\ndwell = [50, 200]\n"
    )
    design = load(tmp_path, text + "[control]\nu_start = [15.0]\nforecast = true\n")
    assert [s.label for s in design.inputs] == ["q3 [mL/s]", "q1 [mL/s]"]
    assert design.measured == ("q1",)
    assert design.u_start == (15.0,)
    assert design.control.forecast
    plant = design.experiment_plant
    assert [s.name for s in plant.disturbances] == ["q2"]
    assert [s.name for s in design.system.disturbances] == ["q1", "q2"]
    records = design.experiment_records()
    u = np.vstack([r.u for data in records.values() for r in data.records])
    assert 16.0 <= u[:, 1].min() < 16.3
    assert 16.9 < u[:, 1].max() <= 17.2
    write_csv(tmp_path / "data-training.csv", records["training"])
    again = design.records("training")
    assert again.inputs == design.inputs
    assert np.array_equal(again.records[0].u, records["training"].records[0].u)


def test_the_disturbances_of_a_plant_stay_names_of_scenarios_and_laws(tmp_path):
    table = "[[scenario]]\nname='s'\nduration=100.0\nsetpoint=[[0,7.0]]\nq1=[[0,16.6],[50,17]]\n"
    law = "[verify_loop]\nsetpoint = [[6.5, 7]]\nstart = [[15.0, 15.5]]\nq1 = [16.4, 16.8]\n"
    design = load(tmp_path, FEED + table + law)
    assert np.asarray(design.scenarios[0].disturbances.levels)[:, 0].tolist() == [16.6, 17.0]
    assert design.loop_law.disturbances == {"q1": (16.4, 16.8)}


MEASURED = "[[input]]\nname='T'\nunit='C'\nkind='measured'\nlow=0.0\nhigh=9.0\n"
LOGGED = (
    "[plant]\nkind='model'\n[[input]]\nname='u'\nunit='V'\nlow=0.0\nhigh=1.0\n"
    "[[output]]\nname='y'\nunit='m'\n"
)


def test_a_plant_made_of_the_model_is_disturbed_by_its_measured_inputs(tmp_path):
    table = "[[scenario]]\nname='s'\nduration=100.0\nsetpoint=[[0,7.0]]\nT=[[0,4.5],[50,6]]\n"
    design = load(tmp_path, LOGGED + MEASURED + table)
    assert [s.name for s in design.disturbances] == ["T", "residuals"]
    assert design.disturbances[0].nominal == 4.5
    levels = np.asarray(design.scenarios[0].disturbances.levels)
    assert levels.tolist() == [[4.5, 0.0], [6.0, 0.0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            PLANT + MEASURED,
            r"design.toml: input 'T' is measured, but pH neutralisation has no disturbance of that"
            r" name \(it has q1, q2\)",
        ),
        (
            PLANT + "[[input]]\nname='q1'\nunit='mL/s'\nkind='measured'\n",
            r"\[\[input\]\] 'q1' is measured; give its limits low and high \[mL/s\]",
        ),
        (
            PLANT + "[[measured]]\nname = 'q1'\nunit = 'mL/s'\n",
            r"there is no table \[\[measured\]\]; a measured disturbance is an \[\[input\]\] with"
            r' kind = "measured"',
        ),
        (
            PLANT + "[[output]]\nname='pH'\nunit='pH'\nkind='measured'\n",
            r"\[\[output\]\] tables have no kind",
        ),
        (FEED + "[control]\nu_start = [15.0, 16.0]\n", r"u_start needs 1 number\(s\)"),
        (
            PLANT + "[[input]]\nname='q3'\nunit='mL/s'\nkind='moved'\nlow=1.0\nhigh=2.0\n",
            "kind must be 'manipulated' or 'measured', got 'moved'",
        ),
    ],
)
def test_a_measured_input_that_is_none(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        load(tmp_path, text)
