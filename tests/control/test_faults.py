"""Faults in the loop: each does what it says, the controller says what the table says, and nothing
is left of it afterwards."""

import importlib.util
import re
from math import inf

import builders
import numpy as np
import pytest
from compiling import compiled
from tolerances import ROUND_OFF

from lstm_mpc.codegen.c_controller import controller
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.control.controller import OPTIMAL, ControlAction, Status
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.faults import KINDS, Fault, Loop
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.project.design import load_design

BACK = 0.02  # [pH] mean error of the last 100 s, once a fault has gone, under 0.01 pH of noise


class Echo:
    """Commands 1, 2, 3, …, saves the last, and keeps what it was shown."""

    def __init__(self, nu=1):
        self.nu, self.count, self.seen = nu, 0, []

    def reset(self, y, u):
        self.count = 0

    def step(self, y, reference):
        self.count += 1
        self.seen.append(np.copy(reference))
        return ControlAction(
            np.full(self.nu, float(self.count)), OPTIMAL, 0, 0.0, np.zeros((1, 1)), np.zeros(1), 0.0
        )

    def save(self):
        return bytes([self.count])

    def restore(self, saved):
        self.count = saved[0]


class Mute:
    """A controller that cannot save its state."""

    reset, step = Echo.reset, Echo.step


def loop(*faults, controller=None, ny=1, nu=1):
    return Loop(faults, controller or Echo(nu), np.zeros(nu), ny=ny, Ts=10.0, name="s")


# -- what a fault is -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"kind": "sticky"},
            (
                "fault: unknown kind 'sticky'; known: dropout, frozen, spike, bias, drift, stuck,"
                " saturated, slow, late,"
            ),
        ),
        (
            {"kind": "stuck", "begin": -1.0},
            "fault 'stuck': it must begin at 0 s or later and end after that, got -1.0 and inf",
        ),
        ({"kind": "stuck", "begin": 9.0, "end": 9.0}, "end after that, got 9.0 and 9.0"),
        ({"kind": "stuck", "begin": float("nan")}, "got nan and inf"),
        ({"kind": "bias"}, "fault 'bias': needs size, got size = None"),
        ({"kind": "stuck", "size": 1.0}, "fault 'stuck': needs nothing more, got size = 1.0"),
        ({"kind": "saturated", "low": 1.0}, "fault 'saturated': needs low, high, got high = None"),
        (
            {"kind": "saturated", "low": 2.0, "high": 1.0},
            "fault 'saturated': low 2.0 must not exceed high 1.0",
        ),
        ({"kind": "drift", "rate": inf}, "fault 'drift': rate must be finite, got inf"),
        ({"kind": "slow", "lag": 0.0}, "fault 'slow': lag must be positive, got 0.0"),
        ({"kind": "stuck", "channel": -1}, "fault 'stuck': channel must not be negative, got -1"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(options, words):
    with pytest.raises(InputError) as error:
        Fault(**{"begin": 0.0} | options)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            Fault("stuck", 0.0, 4.0),
            "scenario 's': fault 'stuck': 0.0 to 4.0 s is less than one sample of 10.0 s",
        ),
        (Fault("stuck", 0.0, channel=1), "fault 'stuck': there is no channel 1, the last one is 0"),
        (
            Fault("dropout", 0.0, channel=2),
            "fault 'dropout': there is no channel 2, the last one is 1",
        ),
        (Fault("late", 0.0, channel=1), "fault 'late': there is no channel 1, the last one is 0"),
        (
            Fault("restart", 3.0),
            "fault 'restart': it must begin after the first sample, with a state to go on from",
        ),
        (
            Fault("restart", 20.0),
            "fault 'restart': the engine Mute cannot save its state; use 'c' or 'c-double'",
        ),
    ],
)
def test_a_fault_must_fit_the_loop(fault, words):
    with pytest.raises(InputError) as error:
        loop(fault, controller=Mute(), ny=2)
    assert words in str(error.value)


SENSORS = {  # what is read of 1, 2, 3, 4, 5 where samples 1 and 2 are at fault
    "dropout": ({}, [np.nan, np.nan]),
    "frozen": ({}, [1.0, 1.0]),
    "spike": ({"size": 0.5}, [2.5, 3.5]),
    "bias": ({"size": -0.5}, [1.5, 2.5]),
    "drift": ({"rate": 0.02}, [2.0, 3.2]),
}


@pytest.mark.parametrize(
    ("kind", "options", "read"), [(kind, *row) for kind, row in SENSORS.items()], ids=SENSORS
)
def test_a_sensor_at_fault(kind, options, read):
    wrong = loop(Fault(kind, 10.0, 30.0, channel=1, **options), ny=2)
    seen = np.array([wrong.measured(k, np.full(2, 1.0 + k)) for k in range(5)])
    np.testing.assert_array_equal(seen[:, 0], [1, 2, 3, 4, 5])
    np.testing.assert_allclose(seen[:, 1], [1, *read, 4, 5], rtol=ROUND_OFF)


def test_a_sensor_that_is_frozen_from_the_first_sample():
    wrong = loop(Fault("frozen", 0.0, 20.0))
    assert [float(wrong.measured(k, np.array([1.0 + k]))[0]) for k in range(3)] == [1, 1, 3]


# where a valve stands that follows 1, 2, 3, 4, 5 at once, where samples 1 and 2 are at fault
ACTUATORS = {
    "stuck": ({}, [1.0, 1.0]),
    "saturated": ({"low": 0.0, "high": 2.5}, [2.0, 2.5]),
    "slow": ({"lag": 20.0}, [2 - np.exp(-0.5), 3 - np.exp(-0.5) - np.exp(-1.0)]),
}


@pytest.mark.parametrize(
    ("kind", "options", "stands"), [(kind, *row) for kind, row in ACTUATORS.items()], ids=ACTUATORS
)
def test_an_actuator_at_fault(kind, options, stands):
    wrong = loop(Fault(kind, 10.0, 30.0, channel=1, **options), nu=2)
    positions, position = [], np.zeros(2)
    for k in range(5):
        told = wrong.told(k, np.full(2, 1.0 + k))
        position = wrong.held(k, told, position, told)
        positions.append(position)
    np.testing.assert_array_equal(np.array(positions)[:, 0], [1, 2, 3, 4, 5])
    np.testing.assert_allclose(np.array(positions)[:, 1], [1, *stands, 4, 5], rtol=ROUND_OFF)


def test_a_late_command_arrives_a_sample_later():
    wrong = loop(Fault("late", 0.0, 30.0))
    assert [float(wrong.told(k, np.array([1.0 + k]))[0]) for k in range(5)] == [0, 1, 2, 4, 5]


def test_a_controller_that_restarts_leaves_its_command_and_goes_on_where_it_was():
    wrong, reference = loop(Fault("restart", 20.0, 50.0)), np.zeros((1, 1))
    moves = []
    for k in range(7):
        moves.append(wrong.decided(k, np.zeros(1), reference))
        wrong.told(k, moves[-1].u)
    assert [float(move.u[0]) for move in moves] == [1, 2, 2, 2, 2, 3, 4]
    assert [move.flags for move in moves] == 2 * [OPTIMAL] + 3 * [Status.SOLVE_FAILED] + 2 * [
        OPTIMAL
    ]
    assert (
        moves[2].status
        == "solve failed; last good plan applied (controller away, its last command stays)"
    )


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_a_solve_is_made_to_fail_by_a_setpoint_that_is_finite_and_has_no_square(real):
    echo = Echo()
    echo.real = np.dtype(real)
    wrong = loop(Fault("unsolved", 10.0, 20.0), controller=echo)
    for k in range(3):
        wrong.decided(k, np.zeros(1), np.full((2, 1), 7.0))
    assert echo.seen[0].tolist() == echo.seen[2].tolist() == [[7.0], [7.0]]
    asked = echo.seen[1].astype(real)
    with np.errstate(over="ignore"):
        assert np.isfinite(asked).all()
        assert np.isinf(asked * asked).all()


# -- the table of docs/faults.md -------------------------------------------------------------------


def load(pytestconfig):
    spec = importlib.util.spec_from_file_location(
        "faults_benchmark", pytestconfig.rootpath / "benchmarks" / "faults.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bench(pytestconfig):
    return load(pytestconfig)


@pytest.fixture(scope="module")
def documented(pytestconfig):
    """The rows of the table, without the measured numbers: what the controller does and its flags,
    by name."""
    text = (pytestconfig.rootpath / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (.+?) \| (.+?) \| (.+?) \| [\d.]+ \| (?:\d+|never) \| [\d.]+ \|$", text, re.MULTILINE
    )
    return {name: (does, flags) for name, does, flags in rows}


@pytest.fixture(scope="module")
def rig(bench):
    return bench.rig("c")


@pytest.fixture(scope="module")
def slow_rig(bench):
    return bench.rig("sqp")


def test_the_table_has_every_kind_and_every_case(bench, documented, pytestconfig):
    assert {fault.kind for fault, _ in bench.CASES.values() if fault} == set(KINDS)
    assert {name: does for name, (_, does) in bench.CASES.items()} == {
        name: does for name, (does, _) in documented.items()
    }
    text = (pytestconfig.rootpath / "docs" / "faults.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(KINDS)


def judge(bench, documented, run, name):
    """Bounds and rates of the commands, flags as documented and in their time, no offset once the
    fault has gone."""
    design, fault = load_design(bench.DESIGN), bench.CASES[name][0]
    moves = np.abs(np.diff(np.vstack([run.u_start, run.u]), axis=0))
    assert np.isfinite(run.u).all()
    assert ((run.u >= 12.5) & (run.u <= 17.0)).all()
    assert (moves <= design.control.max_move + 1e-5).all()  # [mL/s] single precision near 17
    flags, far, back, offset = bench.figures(run)
    assert bench.words(flags & ~Status.BUDGET) == documented[name][1].replace("BUDGET", "none")
    assert far < 1.0
    assert back is not None
    assert offset < BACK
    # at a large jump, with any fault or none
    told = [move.flags & ~Status.BUDGET != OPTIMAL for move in run.moves]
    during = [fault is not None and fault.begin <= t < fault.end for t in run.t]
    assert not any(flagged and not at for flagged, at in zip(told, during, strict=True))


def test_every_fault_in_closed_loop_on_the_exported_code(bench, documented, rig):
    for name in bench.CASES:
        judge(bench, documented, rig[1](name), name)


@pytest.mark.parametrize("name", ["dropout, 300 s", "valve stuck, 300 s", "solves fail, 300 s"])
def test_faults_in_closed_loop_on_its_twin(bench, documented, slow_rig, name):
    judge(bench, documented, slow_rig[1](name), name)


def test_a_fault_that_stays_leaves_its_offset(bench, rig):
    """Must fail: a bias is not seen."""
    scenario = Scenario(
        "bias", Steps((0.0,), [7.0]), 1500.0, faults=(Fault("bias", 600.0, size=0.3),)
    )
    run = simulate_closed_loop(load_design(bench.DESIGN).system, rig[0], scenario, u_start=[15.55])
    assert bench.figures(run)[3] == pytest.approx(0.3, abs=BACK)


def test_at_rest_without_noise_the_shipped_controller_sees_no_frozen_sensor(bench):
    design = load_design(bench.DESIGN)
    assert design.control.frozen_after == 0


# -- the state in a file ---------------------------------------------------------------------------


def files_of(**options):
    return controller(
        builders.released("siso"),
        ControlProblem(**{"horizon": 6, "max_move": 0.4, "dead_time": 20.0} | options),
        SolverOptions(),
    )


@pytest.fixture(scope="module")
def half_way():
    """A compiled controller after some samples."""
    one = compiled(files_of())
    one.reset([0.1], [1.0])
    for k in range(5):
        one.step([0.1 + 0.01 * k], [0.3])
    return one


def test_a_restored_controller_goes_on_to_the_bit(half_way):
    other, saved = Compiled(files_of()), half_way.save()
    other.reset([0.9], [2.0])
    other.restore(saved)
    for k in range(5):
        move, also = half_way.step([0.2 - 0.01 * k], [0.3]), other.step([0.2 - 0.01 * k], [0.3])
        assert move.u.tobytes() == also.u.tobytes()
        assert move.predicted.tobytes() == also.predicted.tobytes()
    assert half_way.save() == other.save()


def test_a_state_that_is_not_this_controllers_is_refused(half_way):
    saved = half_way.save()
    with pytest.raises(
        InputError,
        match=(
            rf"controller: a saved state of this controller has {len(saved)} bytes, got"
            rf" {len(saved) - 1}"
        ),
    ):
        half_way.restore(saved[:-1])
    another = compiled(files_of(move_penalty=0.2))
    another.reset([0.1], [1.0])
    for foreign in (
        another.save(),
        saved[:-1] + bytes([saved[-1] ^ 1]),
        bytes([saved[0] ^ 1]) + saved[1:],
    ):
        with pytest.raises(
            InputError, match="controller: the saved state is of another controller, or was altered"
        ):
            half_way.restore(foreign)
    assert half_way.save() == saved


# -- in a design -----------------------------------------------------------------------------------

DESIGN = '[plant]\nkind = "ph"\n[[scenario]]\nname = "s"\nduration = 100.0\nsetpoint = [[0, 7.0]]\n'


def design_of(folder, text):
    (folder / "design.toml").write_text(DESIGN + text)
    return load_design(folder)


def test_faults_in_a_design(tmp_path):
    text = (
        '[[scenario.fault]]\nkind = "spike"\nbegin = 10\nend = 20\nsize ='
        ' 1\n[[scenario.fault]]\nkind = "stuck"\nbegin = 50\n'
    )
    (scenario,) = design_of(tmp_path, text).scenarios
    assert scenario.faults == (Fault("spike", 10.0, 20.0, size=1.0), Fault("stuck", 50.0))
    assert design_of(tmp_path, "").scenarios[0].faults == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[[scenario.fault]]\nkind = "magic"\nbegin = 1\n',
            "fault: unknown kind 'magic'; known: dropout",
        ),
        (
            '[[scenario.fault]]\nkind = "bias"\nbegin = 1\nsise = 1\n',
            "unknown key 'sise' in [[scenario]] 's' [[scenario.fault]]; did you",
        ),
        (
            '[[scenario.fault]]\nkind = "bias"\nbegin = 1\nsize = "big"\n',
            "[[scenario]] 's' [[scenario.fault]] size is 'big', not a number",
        ),
        ('[[scenario.fault]]\nkind = "bias"\n', "'begin'"),
        ("fault = 3\n", "[[fault]] must be a list of tables, got 3"),
        ("faults = []\n", "unknown key 'faults' in [[scenario]] 's'; did you mean 'fault'?"),
    ],
)
def test_faults_that_cannot_be_in_a_design(tmp_path, text, words):
    with pytest.raises(InputError) as error:
        design_of(tmp_path, text)
    assert words in str(error.value)
    assert "design.toml" in str(error.value)
