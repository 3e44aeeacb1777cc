"""What the exported controller says of faults, sample by sample as its twin in Python says it;
single precision; models that are harmed."""

import numpy as np
import pytest
from compiling import built, loop, run
from optimum import all_at_once

from lstm_mpc.certificates.certification import certify
from lstm_mpc.codegen.c_controller import controller
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.control.controller import OPTIMAL, Status
from lstm_mpc.control.engines.sqp import SolverOptions, Sqp
from lstm_mpc.control.problem import ControlProblem

INVALID, FROZEN, SETPOINT = (
    Status.MEASUREMENT_INVALID,
    Status.MEASUREMENT_FROZEN,
    Status.SETPOINT_INVALID,
)
FAILED, SAFE, RESET = Status.SOLVE_FAILED, Status.SAFE_INPUT, Status.STATE_RESET
PH = {
    "horizon": 12,
    "move_penalty": 0.01,
    "max_move": 0.4,
    "u_low": 13.2,
    "u_high": 16.4,
    "y_low": 6.0,
    "y_high": 8.6,
    "violation_weight": 50.0,
}
BOARD = SolverOptions(sqp_iterations=2, qp_iterations=10, line_search_steps=1, tolerance=0.03)
TWIN, SINGLE = 1e-9, 2e-5  # relative: sums in another order; the same with 6e-8 in every sum


def near(made):
    return TWIN if made.real == np.float64 else SINGLE


# -- single precision ------------------------------------------------------------------------------

CASES = {  # model, problem, budget, what of the input range single precision may cost
    "bounds, rates, soft outputs": ("released", PH, SolverOptions(), SINGLE),
    "on the board": ("released", PH, BOARD, SINGLE),
    "two layers": ("mimo", all_at_once(blocks=(1, 2, 3)), SolverOptions(), SINGLE),
    "two layers without a rate": (
        "mimo",
        all_at_once(max_move=[0.3, np.inf]),
        SolverOptions(),
        SINGLE,
    ),
    # One pass over a flat Hessian: damping of 1e-6 shortens the step in flat directions, where the
    # cost hardly sees it.
    "two layers on the board": (
        "mimo",
        all_at_once(),
        SolverOptions(sqp_iterations=2, qp_iterations=20, line_search_steps=1, tolerance=0.03),
        1e-3,
    ),
}


@pytest.mark.parametrize(("which", "problem", "solver", "share"), CASES.values(), ids=CASES)
def test_single_precision_is_near_the_twin(request, which, problem, solver, share):
    release = request.getfixturevalue(which)
    (y, u), rows, files = loop(release, ControlProblem(**problem), solver, samples=40)
    made, span = Compiled(files), release.model.u_high - release.model.u_low
    made.reset(y, u)
    for y, reference, twin in rows:
        move = made.step(y, reference)
        assert (np.abs(move.u - twin.u) <= share * span).all()
        # round-off may decide whether a budget was just enough
        assert (move.flags | Status.BUDGET) == (twin.flags | Status.BUDGET)


# -- faults ----------------------------------------------------------------------------------------


def script(width):
    """(measurement, setpoint, what is to be said) of every sample, for a horizon of 6 and
    `frozen_after` 3."""
    nan, inf, flat = np.nan, np.inf, np.full(width, 7.4)
    hole, enormous = np.array([*flat[1:], nan]), np.full(width, 1.7e308)  # its square is no number
    rows = [
        (7.0, flat, OPTIMAL),
        (nan, flat, INVALID),
        (inf, flat, INVALID),
        (-inf, flat, INVALID),
        (14.01, flat, INVALID),
    ]
    rows += [
        (-0.01, flat, INVALID),
        (7.1, flat, OPTIMAL),
        (7.1, flat, OPTIMAL),
        (7.1, flat, OPTIMAL),
        (7.1, flat, FROZEN),
    ]
    rows += [
        (7.1, hole, FROZEN | SETPOINT),
        (7.11, hole, SETPOINT),
        (nan, nan * flat, INVALID | SETPOINT),
        (7.1, -inf * flat, SETPOINT),
    ]
    rows += [(7.1 + 1e-3 * k, enormous, FAILED) for k in range(6)]
    rows += [(7.2, enormous, FAILED | SAFE), (nan, enormous, INVALID | FAILED | SAFE)]
    return [*rows, (7.2, flat, OPTIMAL), (7.1, enormous, FAILED), (7.2, flat, OPTIMAL)]


@pytest.mark.parametrize("preview", [False, True], ids=["now", "preview"])
# R3, R4, R7
def test_every_fault_is_told_as_the_twin_tells_it(released, preview):
    problem = ControlProblem(
        **PH
        | {
            "horizon": 6,
            "frozen_after": 3,
            "preview": preview,
            "output_weight": 1e4,
            "safe_input": 14.0,
        }
    )
    twin, made = (
        Sqp(released, problem),
        Compiled(controller(released, problem, SolverOptions()), double=True),
    )
    for one in (twin, made):
        one.reset([7.0], [15.6])
    for y, reference, said in script(7 if preview else 1):
        with np.errstate(over="ignore", invalid="ignore"):
            move, also = made.step([y], reference), twin.step([y], reference)
        assert (move.flags, also.flags) == (said, said)
        np.testing.assert_allclose(move.u, also.u, rtol=TWIN)
        np.testing.assert_allclose(move.disturbance, also.disturbance, rtol=0, atol=TWIN)


def test_a_second_beginning_remembers_no_measurement_of_the_first(released):
    """A sensor that was frozen when control began anew is believed once more, in both."""
    problem = ControlProblem(**PH | {"frozen_after": 2})
    twin, made = (
        Sqp(released, problem),
        Compiled(controller(released, problem, SolverOptions()), double=True),
    )
    for one in (twin, made):
        one.reset([7.0], [15.6])
        flags = [one.step([7.3], [7.3]).flags for _ in range(4)]
        assert flags == [OPTIMAL, OPTIMAL, FROZEN, FROZEN]
        one.reset([7.3], [15.6])
    move, also = made.step([7.3], [7.4]), twin.step([7.3], [7.4])
    assert (move.flags, also.flags) == (OPTIMAL, OPTIMAL)
    np.testing.assert_allclose(move.disturbance, also.disturbance, atol=TWIN)
    assert move.predicted[0] == pytest.approx(7.3)
    for one in (twin, made):
        # and the setpoint of a controller that never got one is the output as it was measured
        one.reset([7.3], [15.6])
    np.testing.assert_allclose(
        made.step([np.nan], [np.nan]).u, twin.step([np.nan], [np.nan]).u, rtol=TWIN
    )


def fields(made, release, problem):
    """The state of a compiled controller by the names of its fields."""
    real, n, nu, ny = (
        made.real,
        release.model.sizes.n,
        len(release.model.inputs),
        len(release.model.outputs),
    )
    lag, nv = round(problem.dead_time / release.model.Ts), nu * len(problem.starts)
    sizes = {
        "chi": n,
        "disturbance": ny,
        "delay_buffer": (lag + 1) * ny,
        "reference": ny,
        "last_measurement": ny,
        "applied": nu,
        "last_input": nu,
        "plan": nv,
    }
    layout = [(name, real, (size,)) for name, size in sizes.items()] + [
        ("oldest", np.uint32, (1,)),
        ("unchanged", np.uint32, (ny,)),
    ]
    layout += [(name, np.uint32, (1,)) for name in ("failures", "status", "phase")]
    # with rates and soft outputs
    layout += [("working_set", np.uint8, (4 * nv + 2 * problem.horizon * ny,))]
    dtype = np.dtype(layout, align=True)
    assert dtype.itemsize == made.struct_bytes["state"]
    return np.ndarray((), dtype, made._state)


@pytest.fixture(scope="module")
def twin(released):
    """As new after every `reset`, like the C beside it."""
    return Sqp(released, ControlProblem(**PH))


@pytest.fixture(scope="module", params=[False, True], ids=["float", "double"])
def made(released, request):
    return Compiled(
        controller(released, ControlProblem(**PH), SolverOptions()), double=request.param
    )


HARMS = {  # field of the C, place, value, and the same harm to the twin, where it has that field
    "chi nan": ("chi", 0, np.nan, lambda c: c.observer.chi.__setitem__(0, np.nan)),
    "chi beyond its bound": ("chi", 0, 1e3, lambda c: c.observer.chi.__setitem__(0, 1e3)),
    "xi beyond 1": ("chi", 3, -1.001, lambda c: c.observer.chi.__setitem__(3, -1.001)),
    "disturbance": (
        "disturbance",
        0,
        np.inf,
        lambda c: c.observer.disturbance.__setitem__(0, np.inf),
    ),
    "outputs under way": (
        "delay_buffer",
        0,
        np.nan,
        lambda c: c.observer._under_way[0].__setitem__(0, np.nan),
    ),
    "before nan": ("applied", 0, np.nan, lambda c: c._before.__setitem__(0, np.nan)),
    "before out of bounds": ("applied", 0, 1e30, lambda c: c._before.__setitem__(0, 1e30)),
    "plan nan": ("plan", 2, np.nan, lambda c: c._plan.__setitem__((2, 0), np.nan)),
    "plan out of bounds": ("plan", 2, -1e30, lambda c: c._plan.__setitem__((2, 0), -1e300)),
    "place in the probe": ("oldest", 0, 77, None),
    "setpoint": ("reference", 0, np.nan, None),
}


@pytest.mark.parametrize(("field", "place", "value", "harm"), HARMS.values(), ids=HARMS)
# R5
def test_a_corrupt_state_is_made_anew_as_the_twin_makes_it(
    released, twin, made, field, place, value, harm
):
    for one in (twin, made):
        one.reset([7.0], [15.6])
        for _ in range(3):
            assert one.step([7.1], [7.5]).flags == OPTIMAL
    fields(made, released, ControlProblem(**PH))[field][place] = value
    move = made.step([7.2], [7.5])
    assert move.flags == RESET
    assert 13.2 <= move.u[0] <= 16.4
    # the measurement is all there is to believe
    assert move.predicted[0] == pytest.approx(7.2, rel=1e-5)
    if harm is not None:
        harm(twin)
        also = twin.step([7.2], [7.5])
        assert also.flags == RESET
        np.testing.assert_allclose(move.u, also.u, rtol=near(made))
    assert made.step([7.2], [7.5]).flags == OPTIMAL


def test_working_sets_of_any_kind_change_the_effort_and_not_the_answer(released, made):
    rng = np.random.default_rng(0)
    references = rng.uniform(5.5, 9.0, (20, 1))
    made.reset([7.0], [15.6])
    clean = [made.step([7.2], reference).u for reference in references]
    made.reset([7.0], [15.6])
    for reference, u in zip(references, clean, strict=True):
        status = fields(made, released, ControlProblem(**PH))["working_set"]
        status[:] = rng.integers(0, 256, len(status))
        move = made.step([7.2], reference)
        assert not move.flags & ~Status.BUDGET
        np.testing.assert_allclose(move.u, u, rtol=near(made))


# -- the model -------------------------------------------------------------------------------------


@pytest.mark.parametrize("double", [False, True], ids=["float", "double"])
@pytest.mark.parametrize("which", ["released", "mimo"])
# R6
def test_harmed_models_are_refused(request, tmp_path, which, double):
    release = request.getfixturevalue(which)
    program = built(
        tmp_path, controller(release, ControlProblem(horizon=3), BOARD), "weights.c", double=double
    )
    assert int(run(program, "bits").split()[0]) > 3000  # every bit of the data
    run(program, "none")  # NaN and infinity, under a checksum that fits
    run(program, "asleep")
    rows = np.array([line.split() for line in run(program, "grown").splitlines()], dtype=float)
    for condition, margin in zip(("iss", "delta_iss"), rows[1, 1:3], strict=True):
        certificate = certify(release.model, condition)
        if certificate.holds:
            assert margin == pytest.approx(certificate.margin, abs=TWIN if double else 1e-5)
    # a checksum that fits, and weights that are smaller, or as they were
    assert rows[:2, 3].tolist() == [0, 0]
    assert rows[-2:, 3].tolist() == [1, 1]
    assert (rows[:, 3] == 1).tolist() == (rows[:, 1] <= 0).tolist() or certify(
        release.model, "delta_iss"
    ).holds


def test_a_watch_that_trusts_any_number_is_seen(released, tmp_path):
    """Must fail: the margins alone do not see every weight that is none."""
    files = controller(released, ControlProblem(horizon=3), BOARD)
    name = next(file for file in files if file.endswith("_controller.c"))
    assert files[name].count("if (!all_finite(model->weights") == 1
    blind = files | {
        name: (
            files[name].replace(
                "if (!all_finite(model->weights", "if (NY == 0 && !all_finite(model->weights"
            )
        )
    }
    with pytest.raises(AssertionError, match="may be nan"):
        run(built(tmp_path, blind, "weights.c"), "none")
