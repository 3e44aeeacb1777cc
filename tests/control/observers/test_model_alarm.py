"""The alarm when plant and model part: silent where the plant is the model, no more often than
stated where it errs as it did, and soon where it is another plant."""

from dataclasses import replace

import numpy as np
import pytest
from builders import released_of, stable_model
from compiling import WARNINGS, need, run, tool, write

from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.certificates.evidence import ErrorTube
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.control.controller import Status
from lstm_mpc.control.engines.sqp import Sqp
from lstm_mpc.control.observers.model_alarm import ModelAlarm
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError

MODEL = stable_model(0)
FILTER = KalmanTuning(noise=0.02, drift=0.01, max_disturbance=0.1)
TUBE = ErrorTube(MODEL.digest, "0" * 12, 0.1, 50, 40, 1, 5, (0.05,))


def driven(alarm, errors, lag=0):
    """Alarms of a plant that is the model plus errors, (N,)."""
    rng, system = np.random.default_rng(0), MODEL.system
    u = rng.uniform(MODEL.u_low, MODEL.u_high, (len(errors), 1))
    alarm.reset([MODEL.inputs[0].resting])
    still = np.repeat([[MODEL.inputs[0].resting]], 3000, axis=0)
    y = MODEL.simulate(np.vstack([still, u]), x0=np.zeros(system.n))[3000 - lag :]
    return [alarm.step(y[k] + errors[k], u[k]) for k in range(len(errors))]


@pytest.mark.parametrize("lag", [0, 3])
def test_the_model_itself_raises_none_and_another_plant_does(lag):
    alarm = ModelAlarm(MODEL, TUBE, lag=lag)
    errors = np.full(30, 0.049)
    assert not any(driven(alarm, errors, lag))
    errors[20] = -0.051
    assert np.flatnonzero(driven(alarm, errors, lag)).tolist() == [20]
    errors[20], errors[3] = np.nan, 1.0  # not measured, and before the start is forgotten
    assert not any(driven(alarm, errors, lag))


def test_another_lag_than_the_probes_is_noticed():
    """Must fail."""
    assert any(driven(ModelAlarm(MODEL, replace(TUBE, width=(1e-6,)), lag=3), np.zeros(30)))
    assert not any(driven(ModelAlarm(MODEL, replace(TUBE, width=(1e-6,))), np.zeros(30)))


def test_what_cannot_raise_an_alarm_is_said():
    with pytest.raises(InputError, match=r"alarm: the error tube speaks of model 0{12}, not"):
        ModelAlarm(MODEL, replace(TUBE, model="0" * 64))
    with pytest.raises(InputError, match=r"alarm: no error tube: 3 blocks of 50 samples cannot"):
        ModelAlarm(MODEL, replace(TUBE, width=(), blocks=3))
    with pytest.raises(InputError, match="alarm: it needs an error tube, which the release"):
        MPC(released_of(MODEL), alarm=True)


@pytest.mark.parametrize("engine", ["sqp", "c"])
def test_every_engine_flags_a_plant_that_left_the_model(engine):
    need("host")
    passed = released_of(MODEL)
    held = replace(passed.validation, error_tube=replace(TUBE, data=passed.validation.data))
    passed = replace(passed, validation=held)
    mpc = MPC(passed, ControlProblem(horizon=4), engine, alarm=True)
    system, u = MODEL.system, np.array([MODEL.inputs[0].resting])
    chi = MODEL.simulate(np.repeat(u[None], 3000, axis=0), x0=np.zeros(system.n))
    y, flags = chi[-1], []
    mpc.reset(y, u)
    for k in range(12):
        drift = 0.0 if k < 9 else 0.1
        flags.append(Status.MODEL_ALARM in mpc.step(y + drift, y).flags)
    assert flags == [False] * 9 + [True] * 3
    if engine == "sqp":
        mpc.begin(np.repeat(u[None], 4, axis=0), np.repeat(y[None], 4, axis=0))
        assert Status.MODEL_ALARM not in mpc.track(y + 1.0, u).flags
    else:
        mpc.restore(mpc.save())
        assert Status.MODEL_ALARM in mpc.step(y + 1.0, y).flags  # the model is in the state
    quiet = MPC(passed, ControlProblem(horizon=4), engine)
    quiet.reset(y, u)
    assert not any(Status.MODEL_ALARM in quiet.step(y + 1.0, y).flags for _ in range(9))


@pytest.mark.parametrize(
    "options", [{}, {"observer": FILTER, "dead_time": 20.0}], ids=["open loop", "filter"]
)
def test_the_exported_c_raises_the_alarms_of_its_twin(options):
    """A plant that drifts away; a measurement that is missing, one beyond the sensor."""
    need("host")
    passed = released_of(MODEL)
    tube = replace(TUBE, data=passed.validation.data, width=(0.3 * MODEL.scaling.y_span[0],))
    passed = replace(passed, validation=replace(passed.validation, error_tube=tube))
    spec = ControllerSpec(passed, ControlProblem(horizon=4, max_move=1.0, alarm=True, **options))
    (header,) = (text for name, text in spec.sources.items() if name.endswith(".h"))
    assert "at most a share 0.1 of all blocks of 50" in " ".join(header.replace(" * ", " ").split())
    assert Status.MODEL_ALARM in spec.meanings
    engines = [
        Sqp(passed, spec.problem),
        *(Compiled(spec.sources, double=d) for d in (True, False)),
    ]
    y, rng, flags = MODEL.scaling.y_mid, np.random.default_rng(0), []
    for engine in engines:
        engine.reset(y, spec.u_start)
    for k in range(60):
        aim = MODEL.scaling.y_mid + 0.5 * MODEL.scaling.y_span * (-1) ** (k // 15)
        drift = 0.5 * MODEL.scaling.y_span if k >= 40 else 0.0
        seen = {20: [np.nan], 30: [1e6]}.get(k, y + drift)
        actions = [engine.step(seen, aim) for engine in engines]
        flags.append([Status.MODEL_ALARM in action.flags for action in actions])
        y = actions[0].predicted[1] + 0.1 * MODEL.scaling.y_span * rng.normal(size=1)
    assert all(row == row[:1] * 3 for row in flags)
    assert 5 < sum(row[0] for row in flags) < 55
    assert flags[20] == [False] * 3
    assert flags[30] == [True] * 3


def test_the_c_without_an_alarm_has_none_of_it(tmp_path):
    need("host")
    plain = ControllerSpec(released_of(MODEL), ControlProblem(horizon=4))
    assert not any("ALARM" in text for text in plain.sources.values())
    passed = released_of(MODEL)
    tube = replace(TUBE, data=passed.validation.data)
    passed = replace(passed, validation=replace(passed.validation, error_tube=tube))
    spec = ControllerSpec(passed, ControlProblem(horizon=4, alarm=True, observer=FILTER))
    name = write(tmp_path, spec.sources)
    flags = ["-std=c99", "-O1", "-ffp-contract=off", *WARNINGS, f"-D{name.upper()}_ALARM=0"]
    assert run(tool("gcc"), *flags, "-c", tmp_path / f"{name}.c", "-o", tmp_path / "a.o") == ""
    assert b"compare" not in (tmp_path / "a.o").read_bytes()
