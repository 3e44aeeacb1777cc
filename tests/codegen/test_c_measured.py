"""Measured inputs in the exported C: its twin in Python says what it is to answer."""

import ctypes
import shutil
from functools import cache

import numpy as np
import pytest
from builders import released_of, stable_model
from feeds import KINDS, fed

from lstm_mpc.codegen.c_controller import controller
from lstm_mpc.codegen.identifiers import constant
from lstm_mpc.codegen.sil import Compiled, ControllerBatch
from lstm_mpc.control.controller import Status
from lstm_mpc.control.engines.sqp import SolverOptions, Sqp
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
DOUBLE = 1e-9  # [share of the range] round-off of what both compute in double precision
SINGLE = 1e-2  # the same in single precision, where the cost is flat
FILTER = KalmanTuning(0.01, 0.02, 0.2)
CASES = {  # kinds, delays, forecast, observer, blocks
    "held": ("last", (0, 0), False, None, ()),
    "first": ("first", (0, 0), False, None, (2, 3)),
    "feed later": ("last", (1, 3), True, None, ()),
    "feed sooner": ("first", (0, 2), True, FILTER, (2, 3)),
    "filter": ("last", (2, 2), False, FILTER, ()),
}


@cache
def passed(kind, delays):
    return released_of(fed(4, KINDS[kind], nx=(3, 2), delays=delays))


def problem_of(forecast, observer, blocks):
    return ControlProblem(
        horizon=8,
        move_penalty=1e-2,
        max_move=2.0,
        y_low=-0.5,
        y_high=0.5,
        forecast=forecast,
        observer=observer,
        blocks=blocks,
    )


def story(model, samples, rows):
    """Measurements, setpoints and what is told of the feed, which is missing or wrong at times."""
    rng, at = np.random.default_rng(1), model.roles.measured
    levels = rng.uniform(model.u_low[at], model.u_high[at], ((samples + rows) // 3 + 1, 1))
    whole = np.repeat(levels, 3, axis=0)
    known = np.stack([whole[k : k + rows] for k in range(samples)])
    known[7:9, 0], known[20:21, -1], known[25:26] = np.nan, 1e9, model.u_low[at] - 1.0
    y = model.scaling.y_mid + 0.1 * rng.standard_normal((samples, 1))
    r = model.scaling.y_mid + np.where(np.arange(samples) % 10 < 5, 0.2, -0.2)[:, None]
    return y, r, known


@pytest.mark.parametrize("double", [True, False], ids=["double", "float"])
@pytest.mark.parametrize(
    ("kind", "delays", "forecast", "observer", "blocks"), CASES.values(), ids=CASES
)
def test_it_is_its_twin(kind, delays, forecast, observer, blocks, double):
    release, problem = passed(kind, delays), problem_of(forecast, observer, blocks)
    model, rows = release.model, problem.foreseen(release.model) + 1
    files = controller(release, problem, SolverOptions())
    assert constant(files, "FORESEEN") == rows == (8 if forecast else 1)
    twin, here = Sqp(release, problem), Compiled(files, double=double)
    y, r, known = story(model, 40, rows)
    u0, span = middle_of(model), model.roles.moved(model.u_high - model.u_low)
    for one in (twin, here):
        one.reset(y[0], u0, known[0])
    seen, moved, compared = Status(0), [], 0
    for k in range(40):
        right, move = twin.step(y[k], r[k], known[k]), here.step(y[k], r[k], known[k])
        if Status.BUDGET not in right.flags | move.flags:  # else they end at any of many plans
            assert np.abs((right.u - move.u) / span).max() < (DOUBLE if double else SINGLE), k
            compared += 1
        assert move.flags | Status.BUDGET == right.flags | Status.BUDGET, k
        seen |= move.flags
        moved.append(move.u[0])
    assert Status.MEASURED_INVALID in seen
    assert compared > 15
    assert np.ptp(moved) > 0.1 * span[0]


def middle_of(model):
    return model.roles.moved(0.5 * (model.u_low + model.u_high))


@pytest.mark.parametrize("forecast", [False, True])
def test_side_by_side_they_answer_to_the_bit(forecast):
    """A batch takes the one call `step`, a single one takes prepare, feedback and advance."""
    release, problem = passed("last", (1, 3)), problem_of(forecast, FILTER, ())
    sources = tuple(controller(release, problem, SolverOptions(sqp_iterations=1)).items())
    alone = [Compiled(dict(sources)) for _ in range(2)]
    y, r, known = story(release.model, 30, problem.foreseen(release.model) + 1)
    u0, both = middle_of(release.model), ControllerBatch(sources, 2)
    told = np.stack([known, known[::-1]], axis=-1)
    both.reset(np.stack([y[0], y[0]], axis=-1), np.stack([u0, u0], axis=-1), told[0])
    for b, one in enumerate(alone):
        one.reset(y[0], u0, told[0, ..., b])
    for k in range(30):
        u, status = both.step(
            np.stack([y[k], y[k]], axis=-1), np.stack([r[k]] * 2, axis=-1)[None], told[k]
        )
        for b, one in enumerate(alone):
            move = one.step(y[k], r[k], told[k, ..., b])
            assert np.array_equal(move.u, u[:, b])
            assert move.flags == status[b]


@pytest.mark.parametrize("observer", [None, FILTER], ids=["open loop", "filter"])
def test_whatever_bytes_the_state_has_the_input_is_one(observer):
    release, rng = passed("last", (1, 3)), np.random.default_rng(0)
    problem = problem_of(True, observer, ())
    here = Compiled(controller(release, problem, SolverOptions()))
    model, size = release.model, here.struct_bytes["state"]
    y, r, known = story(model, 6, 8)
    low, high = (model.roles.moved(ends) for ends in (model.u_low, model.u_high))
    resets = 0
    for _ in range(60):
        here.reset(y[0], middle_of(model), known[0])
        here.step(y[0], r[0], known[0])
        at = int(rng.integers(0, size - 64))
        ctypes.memmove(
            ctypes.addressof(here._state) + at, rng.bytes(64), 64
        )  # what a stray write leaves
        for k in range(1, 6):
            move = here.step(y[k], r[k], known[k])
            assert np.isfinite(move.u).all()
            assert (low - 1e-5 <= move.u).all()
            assert (move.u <= high + 1e-5).all()
            resets += Status.STATE_RESET in move.flags
    assert resets > 10


def test_a_corrupt_feed_is_noticed_in_both():
    release, problem = passed("last", (0, 0)), problem_of(False, None, ())
    here, twin = (
        Compiled(controller(release, problem, SolverOptions()), double=True),
        Sqp(release, problem),
    )
    y, r, known = story(release.model, 3, 1)
    for one in (here, twin):
        one.reset(y[0], middle_of(release.model), known[0])
    twin._last = np.array([1e9])
    right = (known[0, 0] - release.model.scaling.u_mid[1]) / release.model.scaling.u_span[1]
    state = np.frombuffer(here._state, dtype=np.float64, count=len(here._state) // 8)
    places = np.flatnonzero(state == right[0])
    assert len(places) == 2  # the last valid one, and what is expected
    state[places[0]] = 1e9
    told = [np.nan]
    one, other = twin.step(y[1], r[1], told), here.step(y[1], r[1], told)
    assert Status.STATE_RESET in one.flags
    assert one.flags == other.flags


def test_without_measured_inputs_the_text_knows_of_none():
    files = controller(
        released_of(stable_model(4, nu=2, nx=(3, 2))), ControlProblem(), SolverOptions()
    )
    for name, text in files.items():
        assert "FORESEEN" not in text, name
        assert "MEASURED_INVALID" not in text, name
        assert "NW" not in text, name
    here = Compiled(files)
    here.reset([0.0], [1.0, 4.0])
    with pytest.raises(InputError, match="this model has no measured inputs"):
        here.step([0.0], [0.0], [4.0])


def test_a_feed_must_be_told():
    release, problem = passed("last", (0, 0)), problem_of(False, None, ())
    here = Compiled(controller(release, problem, SolverOptions()))
    with pytest.raises(InputError, match=r"the measured inputs need 1 value\(s\)"):
        here.reset([0.0], [1.0])
    here.reset([0.0], [1.0], [4.0])
    with pytest.raises(InputError, match=r"the measured inputs need 1 value\(s\)"):
        here.step([0.0], [0.0])


def test_the_header_says_what_is_told():
    header = controller(passed("first", (0, 2)), problem_of(True, None, ()), SolverOptions())[
        "model_controller.h"
    ]
    assert " * is told 0: u1 [V] in [" in header
    assert " * gives 0: u2 [V] in [" in header
    assert "#define MODEL_CONTROLLER_MEASURED_INVALID 256u" in header
