"""The controller of the face: every engine behind one protocol, and what an engine cannot do said
at once."""

from dataclasses import replace

import numpy as np
import pytest
from compiling import need

from lstm_mpc.assurance.mpc import ENGINES, MPC
from lstm_mpc.control.engines.sqp import Sqp
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError, Refused

PROBLEM = ControlProblem(horizon=8, max_move=0.5)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_answers_alike(released, engine):
    need("host")
    mpc = MPC(released, PROBLEM, engine)
    mpc.reset([7.0])
    twin = Sqp(released, PROBLEM)
    twin.reset([7.0], released.model.system.u_nominal)
    for y in (7.0, 7.05, 7.1):
        u, other = mpc.step(y, 7.4).u, twin.step([y], [7.4]).u
        np.testing.assert_allclose(u, other, atol=2e-3)
    assert repr(mpc) == f"MPC('pH model', engine {engine!r}, horizon 8, every 10 s)"
    assert mpc.spec.limits.max_move.tolist() == [0.5]


def test_preview_is_handed_over_by_itself(released, plant):
    problem = ControlProblem(horizon=8, preview=True)
    scenario = Scenario("step", Steps((0.0, 60.0), [6.8, 7.4]), 120.0)
    by_mpc = simulate_closed_loop(plant, MPC(released, problem), scenario)
    by_engine = simulate_closed_loop(
        plant,
        Sqp(released, problem),
        scenario,
        u_start=plant.u_nominal,
        horizon=problem.ahead(released.model),
    )
    assert np.array_equal(by_mpc.u, by_engine.u)


def test_what_an_engine_cannot_do_is_said(released):
    need("host")
    compiled, python = MPC(released, PROBLEM, "c"), MPC(released, PROBLEM)
    compiled.reset([7.0])
    for call, words in (
        (lambda: compiled.track([7.0], [np.nan]), r"needs 1 finite value\(s\), got \[nan\]"),
        (lambda: compiled.begin([[15.0]], [[7.0]]), "engine 'c' cannot begin from the past"),
        (lambda: python.save(), "engine 'sqp' cannot save its state; use 'c' or 'c-double'"),
        (lambda: python.restore(b""), "engine 'sqp' cannot save its state"),
        (lambda: MPC(released, PROBLEM, "ipopt"), "engine must be one of dompc, sqp, c, c-double"),
    ):
        with pytest.raises(InputError, match=words):
            call()
    python.begin([[15.0], [15.1]], [[7.0], [7.0]])
    assert python.track([7.0], [15.2]).u.tolist() == [15.2]


def test_a_saved_state_goes_on_to_the_bit(released):
    need("host")
    mpc = MPC(released, PROBLEM, "c")
    twin = MPC.of(mpc.spec, "c")
    mpc.reset([7.0])
    mpc.step([7.1], [7.3])
    twin.restore(mpc.save())
    assert twin.step([7.1], [7.3]).u == mpc.step([7.1], [7.3]).u


def test_its_gate_is_that_of_controllers(released):
    assert {kind for kind, _ in MPC(released, PROBLEM).clear().evidence} == {"waived"}
    strict = replace(released, policy=replace(released.policy, waive={}))
    with pytest.raises(Refused, match=r"`verify_loop\(mpc, plant, law\)` does"):
        MPC(strict, PROBLEM).clear()


@pytest.mark.parametrize("kind", ["released", "late_mimo"])
def test_the_c_goes_on_under_another_input_as_python_does(kind, request):
    """Advice, and an operator who drives: decided, and something else in force."""
    need("host")
    spec = MPC(request.getfixturevalue(kind), ControlProblem(horizon=8, max_move=0.4)).spec
    engines = [MPC.of(spec, name).wrapped for name in ("c-double", "sqp")]
    rng, y = np.random.default_rng(3), np.array([0.5 * (a + b) for a, b in spec.release.safe_set])
    for engine in engines:
        engine.reset(y, spec.u_start)
    for k in range(12):
        measured = y + 0.02 * rng.standard_normal(len(y))
        low, high = spec.limits.u_low, spec.limits.u_high
        applied = np.clip(spec.u_start + 0.1 * rng.standard_normal(len(low)), low, high)
        if k == 6:
            for engine in engines:
                engine.take(applied)
        moves = [engine.decide(measured, y) for engine in engines]
        np.testing.assert_allclose(moves[0].u, moves[1].u, atol=1e-7)
        for engine, move in zip(engines, moves, strict=True):
            engine.go_on(move.u if k % 3 == 0 else applied)
