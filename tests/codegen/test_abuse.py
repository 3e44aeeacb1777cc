"""The exported controller under hostile use: whatever comes, the input is a number within bounds
and rates, no byte is touched too many.

The shipped controller briefly by default; all of them at length with `-m slow`, and a million
hostile samples instead of 2e4 with LSTM_MPC_ABUSE=1000000."""

import os
import re
import subprocess
from dataclasses import replace

import pytest
from builders import later
from compiling import built, run, tool
from optimum import all_at_once
from places import ROOT

from lstm_mpc.certificates.gate import Release
from lstm_mpc.codegen.c_controller import controller
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.limits import limits
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.project.design import load_design

SHIPPED = ROOT / "models" / "ph"
BRIEF, COUNT = 4000, int(os.environ.get("LSTM_MPC_ABUSE", "20000"))  # hostile samples
SANITIZED = (
    "-g",
    "-O1",
    "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize-recover=all",
)
DEEP = SolverOptions(sqp_iterations=4, qp_iterations=60, line_search_steps=6, tolerance=1e-6)
BITS = ("invalid", "frozen", "setpoint", "budget", "failed", "safe", "reset", "refused")


@pytest.fixture(scope="module")
def sources(mimo):
    """The shipped controller; one without its hurry; one with everything at once: two of
    everything, blocks, preview, dead time."""
    return {kind: controller(*made) for kind, made in designs(mimo).items()}


def designs(mimo):
    """Release, problem and budget of each; the shipped ones have the Kalman filter, "mimo" the
    open-loop observer, "mimo kalman" inputs that are not equally late."""
    design, passed = load_design(SHIPPED), Release.load(SHIPPED / "release.json")
    everything = ControlProblem(**all_at_once(dead_time=20.0, blocks=(1, 1, 2, 3), frozen_after=4))
    filtered = replace(
        everything, observer=KalmanTuning(noise=0.003, drift=0.01, max_disturbance=0.2)
    )
    made = {
        "shipped": (passed, design.control, design.solver),
        "deep": (passed, design.control, DEEP),
    }
    return made | {
        "mimo": (mimo, everything, DEEP),
        "mimo kalman": (later(mimo, (1, 3)), filtered, DEEP),
    }


def ends(release, problem):
    """For the driver: the limits before they were rounded."""
    held = limits(release, problem)
    words = {"LOW": held.u_low, "HIGH": held.u_high, "MOVE": held.max_move}
    return [
        f"-D{key}={','.join(repr(float(value)) for value in values)}"
        for key, values in words.items()
    ]


@pytest.fixture(scope="module")
def programs(sources, mimo, tmp_path_factory):
    """The sanitized driver with a controller, compiled when first asked for."""
    made = {}

    def program(kind, double=False):
        if (kind, double) not in made:
            folder = tmp_path_factory.mktemp(kind)
            made[kind, double] = built(
                folder,
                sources[kind],
                "abuse.c",
                *SANITIZED,
                *ends(*designs(mimo)[kind][:2]),
                double=double,
            )
        return made[kind, double]

    return program


def counted(text):
    """The last line of the driver as numbers."""
    words = re.search(
        r"seen (\d+) clean (\d+) accepted (\d+) excess (\S+) flags((?: \d+){8})", text
    )
    flags = dict(zip(BITS, map(int, words[5].split()), strict=True))
    return {
        "seen": int(words[1]),
        "clean": int(words[2]),
        "accepted": int(words[3]),
        "excess": float(words[4]),
    } | flags


def campaigns(*cases):
    """Each case: controller, double precision, share of the hostile samples. The shipped one in
    single precision briefly as well."""
    slow = [
        pytest.param(kind, double, int(COUNT * share), marks=pytest.mark.slow)
        for kind, double, share in cases
    ]
    brief = pytest.param("shipped", False, int(BRIEF * cases[0][2]), id="brief")
    return pytest.mark.parametrize(("kind", "double", "count"), [brief, *slow])


@campaigns(("shipped", False, 1.0), ("mimo", False, 0.1), ("mimo kalman", False, 0.1))
# R1
def test_hostile_samples_never_bring_an_input_out_of_bounds_or_rates(programs, kind, double, count):
    found = counted(run(programs(kind, double), "steps", count, 1))
    assert found["seen"] >= count
    assert found["excess"] <= 1e-6
    # it was hostile
    assert (
        min(found[bit] for bit in ("clean", "invalid", "setpoint", "budget", "failed"))
        > 0.005 * found["seen"]
    )
    assert (found["frozen"] > 0) == ("mimo" in kind)  # the only one that asks
    assert found["refused"] == 0


@campaigns(
    *(
        (kind, double, share)
        for kind, share in (
            ("shipped", 0.03),
            ("deep", 0.01),
            ("mimo", 0.01),
            ("mimo kalman", 0.01),
        )
        for double in (False, True)
    )
)
# R9
def test_any_state_plan_and_working_set_is_solved(programs, kind, double, count):
    """States within their bounds, plans and marks of any kind: no solve fails, and no sound state
    is refused."""
    found = counted(run(programs(kind, double), "solves", count, 2))
    assert found["failed"] == found["safe"] == found["refused"] == 0
    assert 0.8 * found["seen"] < found["accepted"] < found["seen"]  # some plans were inadmissible
    assert found["reset"] == found["seen"] - found["accepted"]


@campaigns(("shipped", False, 0.02), ("mimo", False, 0.02))
# R12
def test_what_lies_in_the_scratch_before_prepare_does_not_change_a_bit(
    programs, kind, double, count
):
    assert counted(run(programs(kind, double), "garbage", count, 3))["seen"] == count


@campaigns(*((kind, double, 0.02) for kind in ("shipped", "mimo") for double in (False, True)))
# R1
def test_bits_that_flip_between_prepare_and_feedback_cannot_get_past_the_bounds(
    programs, kind, double, count
):
    assert counted(run(programs(kind, double), "window", count, 4))["seen"] == count


@campaigns(("shipped", False, 0.1), ("mimo", False, 0.1), ("mimo kalman", False, 0.1))
# R1, R5
def test_bits_that_flip_between_samples_leave_a_sound_state_and_an_input_within_bounds_and_rates(
    programs, kind, double, count
):
    found = counted(run(programs(kind, double), "rot", count, 5))
    assert found["reset"] > 0.01 * found["seen"]
    assert found["refused"] == 0


VALGRIND = ("valgrind", "--error-exitcode=9", "--leak-check=full", "-q")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shipped", "mimo"])
def test_valgrind_finds_no_use_of_what_was_never_written(sources, tmp_path, kind):
    tool("valgrind")
    program = built(tmp_path, sources[kind], "abuse.c", "-g", "-DUNTOUCHED")
    for mode, count in (("steps", 100), ("solves", 50), ("garbage", 20)):
        run(program, mode, count, 5, before=VALGRIND)


def test_a_state_that_init_left_unwritten_is_seen_by_valgrind(sources, tmp_path):
    tool("valgrind")
    text, old = (
        sources["shipped"]["ph_controller.c"],
        "  clear_working_set(state);\n  state->failures = 0u;",
    )
    assert text.count(old) == 1
    forgetful = {
        **sources["shipped"],
        "ph_controller.c": text.replace(old, "  state->failures = 0u;"),
    }
    program = built(tmp_path, forgetful, "abuse.c", "-g", "-DUNTOUCHED")
    with pytest.raises(AssertionError, match="uninitialised"):
        run(program, "steps", 5, 5, before=VALGRIND)


HARMS = {  # a controller with one protection less
    "chi": ("state->estimate[j] = clamp(state->estimate[j], -end, end);", "(void)end;", "rot"),
    "bounds": ("u[j] = clamp(near, model->u_low[j], model->u_high[j]);", "u[j] = near;", "window"),
    "rate": (
        "u[j] = clamp(near, model->u_low[j], model->u_high[j]);",
        "u[j] = near < state->applied[j] ? model->u_low[j] : near;",
        "steps",
    ),
    "solve": (
        "if (place == NV) {\n      break;",
        "if (place == NV) {\n      return @NAME@_SOLVE_FAILED;",
        "solves",
    ),
    "scratch matters": ("  fill(H, R(0.0), NV * NV);\n", "", "garbage"),
    "index .* out of bounds": (
        "(state->oldest + LAG) % PROBES * NU",
        "(state->oldest + LAG) * NU",
        "window",
    ),
    "AddressSanitizer|UndefinedBehavior|runtime error": (
        "real fresh[WIDEST];",
        "real fresh[WIDEST - 1];",
        "steps",
    ),
}


@pytest.mark.parametrize(
    ("said", "old", "new", "mode"), [(said, *harm) for said, harm in HARMS.items()], ids=HARMS
)
def test_a_controller_with_one_protection_less_is_caught(sources, tmp_path, said, old, new, mode):
    files = sources["shipped"]
    old, new = (text.replace("@NAME@", "PH_CONTROLLER") for text in (old, new))
    text = files["ph_controller.c"]
    assert text.count(old) == 1
    options = SANITIZED if "|" in said or "index" in said else ("-O0",)
    program = built(
        tmp_path, {**files, "ph_controller.c": text.replace(old, new)}, "abuse.c", *options
    )
    out = subprocess.run([program, mode, "2000", "6"], capture_output=True, text=True, timeout=120)
    assert out.returncode != 0
    assert re.search(said, out.stdout + out.stderr)
