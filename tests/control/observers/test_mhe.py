"""do-mpc's moving horizon estimator as an observer: what it finds, and what is left when a solve
fails."""

from dataclasses import replace

import numpy as np
import pytest
from tolerances import OFFSET, ROUND_OFF

from lstm_mpc.certificates.gate import Release
from lstm_mpc.codegen.c_controller import controller
from lstm_mpc.control.controller import OPTIMAL, Status
from lstm_mpc.control.engines.sqp import SolverOptions, Sqp
from lstm_mpc.control.limits import limits
from lstm_mpc.control.observers.kalman import Kalman
from lstm_mpc.control.observers.mhe import Mhe
from lstm_mpc.control.observers.options import KalmanTuning, MheTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import simulate
from lstm_mpc.project.design import load_design

TUNING = MheTuning(noise=0.001, drift=0.02, max_disturbance=3.0, window=6)


def made(release, tuning=TUNING, *, lag=0, **options):
    problem = ControlProblem(observer=tuning, dead_time=lag * release.model.Ts, **options)
    return Mhe(release.model, limits(release, problem), problem)


@pytest.fixture(scope="module")
def shared(mimo):
    """One for all tests that change no tuning: every reset begins afresh."""
    return made(mimo, sensor_low=-5.0, sensor_high=5.0)


def run(observer, y, u):
    observer.reset(y[0], u[0])
    for measured, applied in zip(y, u, strict=True):
        status = observer.correct(measured)
        yield status, observer.chi, observer.disturbance, observer.input_disturbance
        observer.predict(applied)


def experiment(model, N, *, lag=0, at_input=0.0, at_output=0.0):
    rng = np.random.default_rng(0)
    u = np.repeat(rng.uniform(model.u_low, model.u_high, (-(-N // 10), 2)), 10, axis=0)[:N]
    moved = simulate(
        model.system, np.clip(u + at_input, model.u_low, model.u_high), x0=rest(model.system, u[0])
    )
    return u, np.vstack([np.repeat(moved.y[:1], lag, axis=0), moved.y + at_output])[:N], moved.chi


@pytest.mark.parametrize(("lag", "disturbance"), [(0, "input"), (2, "input"), (0, "output")])
def test_it_finds_the_state_and_the_disturbance(mimo, lag, disturbance):
    model = mimo.model
    u = np.tile([[1.5, 3.0]], (80, 1))
    at_input, at_output = ([0.3, -0.2], 0.0) if disturbance == "input" else (0.0, [0.01, -0.01])
    y = simulate(model.system, u + at_input, x0=rest(model.system, u[0])).y + at_output
    *_, (status, chi, d, input_disturbance) = run(
        made(mimo, replace(TUNING, disturbance=disturbance), lag=lag), y, u
    )
    assert status == OPTIMAL
    np.testing.assert_allclose(
        input_disturbance if disturbance == "input" else d,
        at_input if disturbance == "input" else at_output,
        atol=2e-2,
    )
    output = np.asarray(model.system.output(chi)).ravel() + d
    np.testing.assert_allclose(output, y[-1], atol=1e-4)


def test_it_is_as_good_as_the_kalman_filter_of_the_same_numbers(mimo, shared, monkeypatch):
    """A disturbance that walks, seen through noise: with the weights that the filter has, the
    window only costs time."""
    monkeypatch.setattr(Kalman, "learning", False)
    model, rng, N = mimo.model, np.random.default_rng(1), 120
    u = np.repeat(rng.uniform(0.5 * model.u_low, 0.5 * model.u_high, (N // 20, 2)), 20, axis=0)
    walk = np.cumsum(TUNING.drift * rng.standard_normal((N, 2)), axis=0)
    y = simulate(
        model.system, u + walk, x0=rest(model.system, u[0])
    ).y + TUNING.noise * rng.standard_normal((N, 2))
    plain = ControlProblem(
        observer=KalmanTuning(
            TUNING.noise,
            TUNING.drift,
            TUNING.max_disturbance,
            drift_boost=0.0,
            delay_uncertainty=0.0,
        )
    )
    missed = [
        np.sqrt(
            np.mean(
                [
                    (input_disturbance - w) ** 2
                    for (*_, input_disturbance), w in zip(run(observer, y, u), walk, strict=True)
                ]
            )
        )
        for observer in (shared, Kalman(model, limits(mimo, plain), plain))
    ]
    assert 0.9 * missed[1] < missed[0] < 1.1 * missed[1]


@pytest.mark.parametrize("how", ["do-mpc raises", "IPOPT fails", "not finite"])
def test_a_failed_solve_keeps_the_prediction_and_is_told(mimo, shared, monkeypatch, how):
    u, y, _ = experiment(mimo.model, 20)
    list(run(shared, y, u))
    chi, w = shared.chi.copy(), shared._w.copy()
    step = shared._mhe.make_step

    def failing(measured):
        if how == "do-mpc raises":
            raise RuntimeError("on purpose")
        found = step(measured)
        if how == "not finite":
            return np.full_like(found, np.nan)
        shared._mhe.solver_stats["success"] = False
        return found + 1.0

    with monkeypatch.context() as patched:
        patched.setattr(shared._mhe, "make_step", failing)
        assert shared.correct(y[-1] + 0.01) == Status.MEASUREMENT_INVALID
    np.testing.assert_array_equal(shared.chi, chi)
    np.testing.assert_array_equal(shared._w, w)
    shared.predict(u[-1])
    assert shared.correct(y[-1]) == OPTIMAL  # begins afresh
    assert shared.sound()


def test_what_is_not_believed_is_left_out(mimo, shared):
    u, y, _ = experiment(mimo.model, 20)
    found = []
    for lost in (np.nan, 99.0):
        list(run(shared, y, u))
        assert shared.correct([y[-1, 0] + 0.001, lost]) == Status.MEASUREMENT_INVALID
        found.append(shared._w)
    np.testing.assert_allclose(found[0], found[1], atol=ROUND_OFF)
    shared.reset([np.nan, np.nan], u[0])
    np.testing.assert_allclose(shared.chi, rest(mimo.model.system, u[0]), atol=ROUND_OFF)
    assert not shared.input_disturbance.any()


def test_a_measurement_far_away_leaves_the_estimate_in_its_box(mimo, shared):
    u, y, _ = experiment(mimo.model, 20)
    list(run(shared, y, u))
    shared.correct([4.9, -4.9])
    assert (np.abs(shared.chi) <= shared._bound).all()
    assert (np.abs(shared._w) <= shared._t.max_disturbance).all()


def test_in_closed_loop_no_offset_is_left(pytestconfig):
    design = load_design(pytestconfig.rootpath / "models" / "ph")
    own = design.control.observer
    tuning = MheTuning(
        noise=own.noise, drift=own.drift, max_disturbance=own.max_disturbance, window=5
    )
    engine = Sqp(
        Release.load(design.file("release.json")),
        replace(design.control, observer=tuning),
        design.solver,
    )
    scenario = Scenario(
        "acid", Steps((0.0,), [7.3]), 1200.0, Steps((0.0, 300.0), [[16.6, 0.55], [16.3, 0.55]])
    )
    loop = simulate_closed_loop(design.system, engine, scenario, u_start=design.u_start)
    assert np.abs(loop.truth[-10:] - 7.3).max() < OFFSET
    assert not loop.failures


def test_what_is_refused(mimo, pytestconfig, tmp_path):
    with pytest.raises(InputError, match="observer: window must be at least 2 samples, got 1"):
        replace(TUNING, window=1)
    with pytest.raises(
        InputError, match="controller: the C knows the observers 'open_loop' and 'kalman'"
    ):
        controller(mimo, ControlProblem(observer=TUNING), SolverOptions())
    shipped = pytestconfig.rootpath / "models" / "ph"
    own, text = (
        load_design(shipped).control.observer,
        (shipped / "design.toml").read_text(encoding="utf-8"),
    )
    text = text.replace('kind = "kalman"', 'kind = "mhe"\nwindow = 7')
    (tmp_path / "design.toml").write_text(text, encoding="utf-8")
    assert load_design(tmp_path).control.observer == MheTuning(
        noise=own.noise, drift=own.drift, max_disturbance=own.max_disturbance, window=7
    )
