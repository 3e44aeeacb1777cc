"""The face: from a data frame to exported C in ten lines, what a stranger types held to what is
there, and an import that is light."""

import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from builders import some
from compiling import need

import lstm_mpc as lm
from lstm_mpc.assurance.loop_law import LoopLaw
from lstm_mpc.plants.ph import Plant

N = 600


@pytest.fixture(scope="module")
def table(plant):
    """Time, input and output of the pH plant, column by column."""
    item = lm.record(plant, lm.Mprs((12.5,), (17.0,)), steps=N, output_noise=1e-4, seed=1)
    start = datetime(2026, 3, 1, 8)
    stamps = [start + timedelta(seconds=10.0 * k) for k in range(N)]
    return {"time": stamps, "q3": item.u[:, 0], "pH": item.y[:, 0]}


def indexed(table):
    return pd.DataFrame({k: v for k, v in table.items() if k != "time"}, index=table["time"])


FRAMES = {
    "pandas, index": indexed,
    "pandas, index with a time zone": lambda t: indexed(t).tz_localize("Europe/Berlin"),
    "pandas, column": pd.DataFrame,
    "polars": pl.DataFrame,
}


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_a_frame_is_a_data_set(table, make):
    data = lm.Dataset.from_frame(make(table), inputs={"q3": "mL/s"}, outputs={"pH": "pH"})
    assert (data.Ts, data.samples) == (10.0, N)
    assert np.array_equal(data.records[0].u[:, 0], table["q3"])
    assert np.array_equal(data.records[0].y[:, 0], table["pH"])
    assert (data.inputs[0].low, data.inputs[0].high) == (table["q3"].min(), table["q3"].max())
    train, valid = data.split(0.25)
    assert (train.samples, valid.samples) == (450, 150)
    assert np.array_equal(valid.records[0].u[:, 0], table["q3"][450:])


@pytest.mark.parametrize("kind", some(["pandas", "polars"], "pandas"))
def test_the_ten_lines(table, kind, tmp_path, monkeypatch):
    need("host")
    monkeypatch.chdir(tmp_path)
    df = indexed(table) if kind == "pandas" else pl.DataFrame(table)
    plant, scenario = Plant().system(), lm.Scenario("step", lm.Steps((0.0,), [7.2]), 300.0)
    law = LoopLaw(setpoint=((6.8, 7.2),), start=((15.0, 15.5),))
    quick = lm.LoopVerifyOptions(epsilon=0.3, beta=0.05, steps=30, settle=10)

    train, valid = lm.Dataset.from_frame(
        df, inputs={"q3": "mL/s"}, outputs={"pH": "pH"}, limits={"q3": (12.5, 17.0)}
    ).split(0.25)
    options = lm.TrainingOptions(cells=(3,), conditions=("iss", "delta_iss"), iterations=60)
    model = lm.identify(train, valid, options, lm.SearchOptions(starts=1)).model
    proofs = [lm.certify(model, c) for c in ("iss", "delta_iss")]
    tube = lm.reach(model, safe_set=[(0.0, 14.0)])
    passed = lm.release(
        model,
        proofs,
        tube=tube,
        validation=lm.validate(model, valid),
        policy=lm.Policy(min_fit=40.0, epsilon=0.3, beta=0.05),
    )
    mpc = lm.MPC(passed, lm.ControlProblem(horizon=20, max_move=1.0), engine="sqp")
    run = lm.simulate_closed_loop(plant, mpc, scenario)
    cleared = mpc.clear(loop=lm.verify_loop(mpc, plant, law, quick))
    written = cleared.export("controller")

    assert np.abs(run.truth[-5:] - 7.2).max() < 0.1
    assert passed.verification is None
    assert (tmp_path / "controller" / "manifest.json").exists()
    assert "C controller: " in str(written)
    assert {how for how, _ in cleared.evidence} >= {"proved"}


@pytest.mark.parametrize(
    ("spoil", "options", "words"),
    [
        (lambda d: d.drop(columns="pH"), {}, "there is no column 'pH'; there are q3"),
        (lambda d: d.assign(q3="on"), {}, "column 'q3' does not hold numbers only"),
        (lambda d: d.assign(q3=15.0), {}, "input 'q3' never moves; give its limits"),
        (lambda d: d.assign(q3=d.q3.where(d.q3 > 15)), {}, "input 'q3' is missing in row"),
        (lambda d: d.drop(index=d.index[7]), {}, "uneven time: row 7 comes 20 s after the one"),
        (lambda d: d.iloc[::-1], {}, "uneven time"),
        (lambda d: d.reset_index(drop=True), {}, "no index of dates and no single column of dates"),
        (lambda d: d, {"Ts": 5.0}, "Ts = 5 s, but the stamps are 10 s apart; leave Ts out"),
        (lambda d: d, {"time": "when"}, "there is no column 'when' of stamps"),
        (lambda d: d, {"limits": {"q1": (0.0, 1.0)}}, "limits of 'q1', which is no signal"),
        (lambda d: d, {"outputs": {"q3": "mL/s"}}, "'q3' is an input and an output"),
    ],
)
def test_a_frame_that_cannot_be_read_is_one_sentence(table, spoil, options, words):
    how = {"inputs": {"q3": "mL/s"}, "outputs": {"pH": "pH"}, **options}
    with pytest.raises(lm.InputError, match=words):
        lm.Dataset.from_frame(spoil(indexed(table)), **how)


def test_seconds_and_a_sampling_time_by_hand(table):
    bare = indexed(table).reset_index(drop=True)
    how = {"inputs": {"q3": "mL/s"}, "outputs": {"pH": "pH"}}
    assert lm.Dataset.from_frame(bare, **how, Ts=10.0).Ts == 10.0
    counted = bare.assign(t=0.5 * np.arange(N))
    assert lm.Dataset.from_frame(counted, **how, time="t").Ts == 0.5
    missing = bare.assign(pH=bare.pH.where(bare.index != 3))
    assert lm.Dataset.from_frame(missing, **how, Ts=10.0).missing == 1


def test_a_split_that_is_none(dataset):
    for share in (0.0, 1.0, -0.5):
        with pytest.raises(lm.InputError, match="share must lie between 0 and 1"):
            dataset.split(share)
    with pytest.raises(lm.InputError, match=r"is too short for a share of 0\.001"):
        dataset.split(0.001)


def test_a_model_simulates_predicts_and_scores(model, dataset):
    item = dataset.records[0]
    simulated, predicted = model.simulate(item.u), model.predict(item.u, item.y)
    found = lm.score(model, dataset)
    ahead, open_loop = (np.sqrt(np.mean((y - item.y)[50:] ** 2)) for y in (predicted, simulated))
    assert ahead < open_loop
    assert np.array_equal(predicted[0], simulated[0])
    assert np.array_equal(model.simulate(item.u[:, 0]), simulated)
    (fit,) = lm.record_fits(model, dataset, transient=50, seed=0)
    assert found.fit == fit.mean_removed
    assert found.rmse == fit.rmse
    assert found.residuals is not None
    assert str(found).startswith("pH: FIT ")
    blind = item.y.copy()
    blind[10] = np.nan
    assert np.isfinite(model.predict(item.u, blind)).all()
    with pytest.raises(lm.InputError, match="predict: y"):
        model.predict(item.u, item.y[:-1])


def test_data_of_other_signals_are_refused(model, dataset):
    other = replace(dataset, outputs=(lm.Signal("pH", "-"),))
    for judge in (lm.validate, lm.score):
        with pytest.raises(lm.InputError, match="are not those of the model"):
            judge(model, other)
        with pytest.raises(lm.InputError, match="sampled every 5 s, the model every 10 s"):
            judge(model, replace(dataset, Ts=5.0))


def test_an_unknown_target_is_named_with_those_there_are():
    project = lm.Project(Path(__file__).parents[1] / "models/ph")
    targets = "c, controller, onnx, fmu, simulink, arduino"
    with pytest.raises(lm.InputError, match=f"there is no target 'plc'; targets: {targets}"):
        project.export("plc")


def test_every_name_of_the_face_is_there():
    assert set(lm.__all__) <= set(dir(lm))
    for name in lm.__all__:
        assert getattr(lm, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'mpc'"):
        _ = lm.mpc


def test_no_function_of_the_face_is_called_as_a_module():
    files = {path.stem for path in Path(lm.__file__).parent.rglob("*.py")}
    assert not set(lm.__all__) & files


def test_the_import_is_quick_and_light():
    heavy = "{'matplotlib', 'do_mpc', 'onnx', 'casadi', 'scipy', 'pandas', 'polars'}"
    code = (
        "import sys, time; t = time.process_time(); import lstm_mpc;"
        f" print(time.process_time() - t < 0.3, sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True []"
