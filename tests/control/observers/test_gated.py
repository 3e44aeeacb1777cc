"""The gated observer: its certificate is a theorem about what it does, and it is refused without
one."""

from dataclasses import replace

import numpy as np
import pytest
from builders import stable_model
from hypothesis import given, settings, strategies as st
from tolerances import OFFSET, ROUND_OFF

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.norms import positive_witness
from lstm_mpc.codegen.c_controller import controller
from lstm_mpc.control.controller import OPTIMAL, Status
from lstm_mpc.control.engines.sqp import SolverOptions, Sqp
from lstm_mpc.control.limits import limits, limits_of
from lstm_mpc.control.observers.gated import Gated
from lstm_mpc.control.observers.gated_certificate import Compared, certify_gated, choose
from lstm_mpc.control.observers.observer import OpenLoop
from lstm_mpc.control.observers.options import GatedTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import simulate
from lstm_mpc.project.design import load_design


def made(model, gains=(), *, lag=0, **options):
    problem = ControlProblem(
        observer=GatedTuning(tuple(gains)), dead_time=lag * model.Ts, **options
    )
    return Gated(model, limits_of(model, problem), problem)


def some_gains(model, size=0.05, seed=0):
    """Random ones, small enough for a certificate."""
    return size * np.random.default_rng(seed).uniform(
        -1, 1, 4 * model.sizes.nx[-1] * model.sizes.ny
    )


@pytest.fixture(scope="module")
def shipped(pytestconfig):
    return Release.load(pytestconfig.rootpath / "models" / "ph" / "release.json")


# -- the certificate -------------------------------------------------------------------------------


@pytest.mark.parametrize(("nu", "nx", "ny"), [(1, (4,), 1), (2, (3,), 2), (2, (3, 2), 2)])
def test_the_error_shrinks_as_certified(nu, nx, ny):
    """From any two starts, any input and disturbance: |Δ| ≤ M|Δ| entrywise, so that max |Δ_j|/v_j
    shrinks by (Mv)/v."""
    model = stable_model(1, nu, nx, ny)
    gains, n, last = some_gains(model), model.sizes.n, 2 * nx[-1]
    observer, rng = made(model, gains), np.random.default_rng(0)
    _, whole, bound = Compared(model, 0.6).at(gains)
    for trial in range(20):
        d = rng.uniform(-1, 1, ny)
        chi = rng.uniform(-1, 1, n) * observer._bound * np.where(np.arange(n) % 2 == 0, 0.5, 1.0)
        chi[: n - last] = 0.0  # the layers below have met
        chi[n - last : n - last + nx[-1]] = rng.uniform(-1, 1, nx[-1]) * _x_bar(model)
        other = chi.copy()
        other[n - last : n - last + nx[-1]] = rng.uniform(-1, 1, nx[-1]) * bound
        other[n - nx[-1] :] = rng.uniform(-1, 1, nx[-1])
        observer._seen, observer._d = other, rng.uniform(-1, 1, ny)
        before = np.concatenate([chi - other, d - observer._d])
        for _ in range(5):
            u = rng.uniform(model.u_low, model.u_high)
            y = np.asarray(model.system.output(chi)).ravel() + d * model.scaling.y_span
            observer.correct(y)
            observer.predict(u)
            chi = np.asarray(model.system.step(chi, u, [])).ravel()
            after = np.concatenate([chi - observer.chi, d - observer._d])
            assert (
                np.abs(after)[n - last :] <= whole @ np.abs(before)[n - last :] + 1e-12
            ).all(), trial
            before = after
    assert certify_gated(model, gains).holds


def _x_bar(model):
    return np.array(certify(model, "delta_iss").constants["layers"][-1]["x_bar"])


def test_without_gains_it_is_the_open_loop_observer_and_its_certificate(mimo):
    model = mimo.model
    gains = np.zeros(4 * 2 * 2)
    assert (
        Compared(model, 0.6).rates(gains)[0]
        <= certify(model, "delta_iss").constants["layers"][-1]["rate"]
    )
    problem = ControlProblem()
    open_loop, gated = OpenLoop(model, limits(mimo, problem), problem), made(model, gains)
    rng = np.random.default_rng(0)
    for observer in (open_loop, gated):
        observer.reset([0.1, -1.4], [1.0, 4.0])
    for _ in range(30):
        y, u = rng.uniform(-0.1, 0.1, 2) + [0.0, -1.4], rng.uniform(model.u_low, model.u_high)
        for observer in (open_loop, gated):
            observer.correct(y)
            observer.predict(u)
        np.testing.assert_allclose(gated.chi, open_loop.chi, atol=ROUND_OFF)
        np.testing.assert_allclose(gated.disturbance, open_loop.disturbance, atol=ROUND_OFF)


def test_gains_that_are_too_large_have_no_certificate_and_are_refused(mimo):
    """Must fail."""
    certificate = certify_gated(mimo.model, some_gains(mimo.model, 5.0))
    assert not certificate.holds
    assert certify_gated(mimo.model, some_gains(mimo.model)).holds
    with pytest.raises(
        InputError,
        match=(
            r"observer: these gains have no certificate: gated_observer fails: layer 2, \(Â v\)/v"
            r" of the corrected"
        ),
    ):
        made(mimo.model, some_gains(mimo.model, 5.0))


def test_the_proof_is_of_the_number_that_floating_point_finds(mimo):
    gains = some_gains(mimo.model)
    _, whole, _ = Compared(mimo.model, 0.6).at(gains)
    v = positive_witness(whole)
    certificate = certify_gated(mimo.model, gains)
    proved = [line.value for line in certificate.inequalities if "d̂" in line.name]
    np.testing.assert_allclose(proved, (whole @ v) / v, rtol=1e-9)
    assert (np.array(proved) >= (whole @ v) / v * (1 - 1e-15)).all()
    assert certificate.model == mimo.model.digest


def test_what_the_gains_do_to_the_rate_of_the_shipped_model(shipped):
    """Terzi's three gates hardly move it; the candidate c does, for that is where the slow states
    live."""
    model = shipped.model
    compared, gains = Compared(model, 0.6), choose(model)
    none, three = np.zeros(20), gains.copy()
    three[15:] = 0.0
    known, whole = compared.rates(gains)
    np.testing.assert_allclose(compared.rates(none), [0.96524, 0.96524], atol=1e-5)
    assert known < 0.82  # with the disturbance known ...
    assert 0.97 < whole < 0.983  # ... and with its estimate: half the margin is left, as asked
    assert compared.rates(three)[0] > 0.96
    np.testing.assert_array_equal(choose(model), gains)  # deterministic


# -- what it estimates -----------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [0, 2])
def test_on_its_own_model_it_finds_state_and_offset(mimo, lag):
    model, rng = mimo.model, np.random.default_rng(3)
    u = np.repeat(rng.uniform(model.u_low, model.u_high, (15, 2)), 10, axis=0)
    moved = simulate(model.system, u, x0=rng.uniform(-0.5, 0.5, model.sizes.n))
    y = np.vstack([np.repeat(moved.y[:1], lag, axis=0), moved.y])[: len(u)] + [0.02, -0.01]
    observer = made(model, some_gains(model), lag=lag)
    observer.reset(y[0], u[0])
    for measured, applied in zip(y, u, strict=True):
        observer.correct(measured)
        observer.predict(applied)
    np.testing.assert_allclose(observer.chi, moved.chi[-1], atol=1e-6)
    np.testing.assert_allclose(observer.disturbance, [0.02, -0.01], atol=1e-6)


@pytest.fixture(scope="module")
def kept(mimo):
    """One for all: a box that holds whatever came before."""
    return made(mimo.model, some_gains(mimo.model))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_estimate_stays_in_its_box_whatever_is_measured(kept, data):
    number = st.floats(-1e300, 1e300) | st.floats(-3, 3) | st.just(np.nan)
    for _ in range(data.draw(st.integers(1, 8))):
        kept.correct([data.draw(number), data.draw(number)])
        kept.predict([data.draw(st.floats(-10, 10)), data.draw(st.floats(-10, 10))])
        assert (np.abs(kept.chi) <= kept._bound).all()


def test_what_is_not_believed_corrects_nothing(mimo):
    model = mimo.model
    one, other = (
        made(model, some_gains(model), sensor_low=-5.0, sensor_high=5.0) for _ in range(2)
    )
    for observer in (one, other):
        observer.reset([0.0, -1.4], [1.0, 4.0])
    assert one.correct([0.1, 99.0]) == Status.MEASUREMENT_INVALID
    assert other.correct([0.1, np.nan]) == Status.MEASUREMENT_INVALID
    for observer in (one, other):
        observer.predict([2.0, 3.0])
    np.testing.assert_array_equal(one.chi, other.chi)
    assert one.correct([0.1, -1.3]) == OPTIMAL
    one.chi[0] = np.nan
    assert not one.sound()
    assert one.sound()


def test_in_closed_loop_no_offset_is_left(pytestconfig, shipped):
    design = load_design(pytestconfig.rootpath / "models" / "ph")
    engine = Sqp(shipped, replace(design.control, observer=GatedTuning()), design.solver)
    scenario = Scenario(
        "acid", Steps((0.0,), [7.3]), 3000.0, Steps((0.0, 300.0), [[16.6, 0.55], [16.2, 0.55]])
    )
    loop = simulate_closed_loop(design.system, engine, scenario, u_start=design.u_start)
    assert np.abs(loop.truth[-10:] - 7.3).max() < OFFSET
    assert not loop.failures


# -- what is refused -------------------------------------------------------------------------------


def test_what_is_refused(mimo, pytestconfig, shipped, tmp_path):
    with pytest.raises(InputError, match=r"observer: share must lie in \(0, 1\), got 1.0"):
        GatedTuning(share=1.0)
    with pytest.raises(
        InputError,
        match=r"observer: gains must be 16 numbers, those of f, i, o, c, got \[1.0, 2.0\]",
    ):
        made(mimo.model, [1.0, 2.0])
    problem = ControlProblem(observer=GatedTuning())
    with pytest.raises(
        InputError,
        match=(
            "controller: the C knows the observers 'open_loop' and 'kalman'; give one of them, or"
            " leave"
        ),
    ):
        controller(shipped, problem, SolverOptions())
    text = (pytestconfig.rootpath / "models" / "ph" / "design.toml").read_text(encoding="utf-8")
    start, end = text.index("[observer]"), text.index("[solver]")
    (tmp_path / "design.toml").write_text(
        f'{text[:start]}[observer]\nkind = "gated"\nshare = 0.3\n{text[end:]}', encoding="utf-8"
    )
    assert load_design(tmp_path).control.observer == GatedTuning(share=0.3)
