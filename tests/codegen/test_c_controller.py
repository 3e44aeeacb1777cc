"""The exported controller in C beside its twin in Python, and what it refuses; its elementary
functions beside libm; the rules it keeps."""

import ctypes
import os
import re
import subprocess
from itertools import product

import numpy as np
import pytest
from builders import later, some
from compiling import FLAGS, WARNINGS, built, compiled, loop, run, tool, write
from optimum import all_at_once
from places import ROOT
from tolerances import ROUND_OFF

from lstm_mpc.certificates import conditions
from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.gate import Release
from lstm_mpc.codegen import c_numbers
from lstm_mpc.codegen.c_controller import controller
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.control.controller import Status
from lstm_mpc.control.engines import condensed, qp, sqp
from lstm_mpc.control.engines.sqp import SolverOptions, Sqp
from lstm_mpc.control.limits import limits
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError
from lstm_mpc.project.design import load_design

SHIPPED, TABLE = ROOT / "models" / "ph", ROOT / "lstm_mpc" / "codegen" / "MISRA.md"
AGREE = 1e-9  # of the range: two orders of the same sums, through a hundred solves
SISO = {
    "horizon": 12, "move_penalty": 0.01, "max_move": 0.4, "u_low": 13.2, "u_high": 16.4,
    "y_low": 6.0, "y_high": 8.6, "violation_weight": 50.0,
}  # fmt: skip
REAL_TIME = SolverOptions(sqp_iterations=2, qp_iterations=20, line_search_steps=1, tolerance=0.03)
ONE_PASS = SolverOptions(sqp_iterations=1, qp_iterations=20, line_search_steps=1)
KALMAN = KalmanTuning(noise=0.02, drift=0.01, max_disturbance=1.0)
TWO = KalmanTuning(noise=0.003, drift=0.01, max_disturbance=0.2)
CASES = {  # kind, problem, budget
    "bounds, rates, soft bounds": ("siso", SISO, None),
    "two layers with preview": ("mimo", all_at_once(), None),
    "move blocking": ("mimo", all_at_once(blocks=(1, 2, 3)), None),
    "dead time": ("siso", {**SISO, "dead_time": 30.0}, None),
    "dead time of two": ("mimo", all_at_once(dead_time=20.0, preview=False), None),
    "no rates, no soft rows": ("siso", {"horizon": 10, "move_penalty": 0.05}, None),
    "a rate for one input": ("mimo", all_at_once(max_move=[0.3, np.inf], y_low=-np.inf), None),
    "slow down": ("mimo", all_at_once(max_move=[0.3, np.inf], max_move_down=[0.04, 0.06]), None),
    "slow down, Kalman, real time": (
        "siso",
        {**SISO, "max_move_down": 0.05, "observer": KALMAN},
        REAL_TIME,
    ),
    "a zone": ("mimo", all_at_once(output_weight=[400.0, 0.0]), None),
    "a target": (
        "mimo",
        all_at_once(input_target=[1.6, np.nan], input_weight=[0.02, 0.3]),
        None,
    ),
    "targets, blocks, real time": (
        "mimo",
        all_at_once(input_target=[1.6, 3.0], input_weight=0.002, blocks=(1, 2, 3)),
        REAL_TIME,
    ),
    "one change a pass": (
        "siso",
        SISO,
        SolverOptions(sqp_iterations=3, qp_iterations=1, line_search_steps=0),
    ),
    "real time": ("siso", SISO, REAL_TIME),
    "one pass": ("siso", SISO, ONE_PASS),
    "real time, two": ("mimo", all_at_once(), REAL_TIME),
    "one sample": ("siso", {"horizon": 1}, None),
    "Kalman": ("siso", {**SISO, "observer": KALMAN}, None),
    "Kalman, real time, dead time": (
        "siso",
        {**SISO, "observer": KALMAN, "dead_time": 30.0},
        REAL_TIME,
    ),
    "Kalman of two": ("mimo", all_at_once(dead_time=20.0, observer=TWO), None),
    "Kalman of two, real time": ("mimo", all_at_once(observer=TWO), REAL_TIME),
}
LATE = {  # the same, and input delays
    "a delay": ("siso", SISO, None, (3,)),
    "Kalman, a delay": ("siso", {**SISO, "observer": KALMAN}, REAL_TIME, (3,)),
    "unequal delays": ("mimo", all_at_once(), None, (0, 2)),
    "unequal delays, blocks, dead time": (
        "mimo",
        all_at_once(blocks=(1, 2, 3), dead_time=20.0),
        None,
        (4, 1),
    ),
    "unequal delays, real time": ("mimo", all_at_once(), REAL_TIME, (0, 2)),
    "unequal delays, one pass": ("mimo", all_at_once(), ONE_PASS, (0, 2)),
    "Kalman, unequal delays": ("mimo", all_at_once(observer=TWO), None, (0, 2)),
    "Kalman, unequal delays, real time": (
        "mimo",
        all_at_once(observer=TWO, dead_time=10.0),
        REAL_TIME,
        (3, 1),
    ),
}


@pytest.fixture(scope="module")
def shipped():
    """The sources of the shipped controller, its release and its design."""
    design, passed = load_design(SHIPPED), Release.load(SHIPPED / "release.json")
    return controller(passed, design.control, design.solver), passed, design


@pytest.fixture(scope="module")
def siso(shipped):
    return shipped[1]


# -- as it is compiled -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compiler", "double"),
    some(list(product(["gcc", "clang"], [False, True])), ("gcc", True), ("clang", False)),
)
# R10
def test_it_builds_without_a_warning_needs_no_library_and_keeps_no_data(
    shipped, mimo, tmp_path, compiler, double
):
    tool(compiler)
    everything = controller(
        later(mimo, (0, 2)),
        ControlProblem(**all_at_once(dead_time=20.0, blocks=(1, 2, 3))),
        SolverOptions(),
    )
    for number, files in enumerate((shipped[0], everything)):
        folder = tmp_path / str(number)
        name = write(folder, files)
        switch = [f"-D{name.upper()}_DOUBLE"] if double else []
        for unit in (name, f"{name}_data"):
            out = subprocess.run(
                [compiler, *FLAGS, *WARNINGS, *switch, "-c", f"{unit}.c"],
                cwd=folder,
                capture_output=True,
                text=True,
            )
            assert (out.returncode, out.stderr) == (0, "")
            symbols = [line.split()[-2:] for line in run("nm", folder / f"{unit}.o").splitlines()]
            # nothing in .data, .bss or common
            assert {kind for kind, _ in symbols} <= set("TtRrU"), symbols
            assert {text for kind, text in symbols if kind == "U"} <= {
                "memcpy",
                "memset",
                "memmove",
            }, symbols


def test_a_static_variable_or_a_call_of_libm_would_be_seen(shipped, tmp_path):
    tool("gcc")
    name = write(tmp_path, shipped[0])
    harm = (
        "\ndouble tanh(double);\ndouble seen(double x);\nstatic double kept;\ndouble seen(double x)"
        " { return kept += tanh(x); }\n"
    )
    text = shipped[0][f"{name}.c"] + harm
    (tmp_path / f"{name}.c").write_text(text)
    subprocess.run(["gcc", *FLAGS, "-c", f"{name}.c"], cwd=tmp_path, check=True)
    symbols = [line.split()[-2:] for line in run("nm", tmp_path / f"{name}.o").splitlines()]
    assert ["b", "kept"] in symbols
    assert ["U", "tanh"] in symbols


# -- the twin --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("DAMPING", condensed._DAMPING),
        ("ROUNDING", sqp._ROUNDING),
        ("DEPENDENT", qp._DEPENDENT),
        ("SLACK", qp._SLACK),
    ],
)
def test_the_numbers_of_double_precision_are_those_of_the_twin(shipped, word, value):
    # the second is that of single precision
    first, _ = re.findall(rf"#define {word} R\((\S+)\)", shipped[0]["ph_controller.c"])
    assert float(first) == value


@pytest.mark.parametrize(
    ("kind", "options", "solver", "delays"),
    [*((*case, ()) for case in CASES.values()), *LATE.values()],
    ids=[*CASES, *LATE],
)
# R10
def test_in_double_precision_it_is_its_twin(siso, mimo, kind, options, solver, delays):
    item = later(mimo if kind == "mimo" else siso, delays)
    problem = ControlProblem(**options)
    (y, u), rows, files = loop(item, problem, solver)
    made = compiled(files, double=True)
    made.reset(y, u)
    bounds, span = limits(item, problem), item.model.scaling.y_span
    # else small steps are predicted linearly ...
    exact = (solver or SolverOptions()).tolerance < AGREE
    exact = exact and problem.observer is None  # ... as is the correction of a plan that then stays
    used = set()
    for y, reference, twin in rows:
        move = made.step(y, reference)
        used.add(twin.flags)
        np.testing.assert_allclose(
            move.u / (bounds.u_high - bounds.u_low),
            twin.u / (bounds.u_high - bounds.u_low),
            rtol=0,
            atol=AGREE,
        )
        np.testing.assert_allclose(
            move.disturbance / span, twin.disturbance / span, rtol=0, atol=AGREE
        )
        np.testing.assert_allclose(
            move.input_disturbance, twin.input_disturbance, rtol=0, atol=AGREE
        )
        assert (move.flags, move.iterations) == (twin.flags, twin.iterations)
        if exact:
            assert move.cost == pytest.approx(twin.cost, rel=AGREE, abs=AGREE)
            np.testing.assert_allclose(
                move.predicted / span, twin.predicted / span, rtol=0, atol=AGREE
            )
    if solver is not None and solver.qp_iterations == 1:
        assert Status.BUDGET in used
    inputs = np.array([twin.u for *_, twin in rows])
    # it was not asleep
    assert (np.ptp(inputs, axis=0) > 0.1 * (bounds.u_high - bounds.u_low)).any()


@pytest.mark.parametrize("name", ["a delay", "unequal delays", "Kalman, unequal delays"])
def test_in_single_precision_delays_are_the_twins_too(siso, mimo, name):
    kind, options, solver, delays = LATE[name]
    item, problem = later(mimo if kind == "mimo" else siso, delays), ControlProblem(**options)
    (y, u), rows, files = loop(item, problem, solver)
    made, bounds = compiled(files), limits(item, problem)
    made.reset(y, u)
    for y, reference, twin in rows:
        np.testing.assert_allclose(
            (made.step(y, reference).u - twin.u) / (bounds.u_high - bounds.u_low), 0.0, atol=1e-3
        )


@pytest.mark.parametrize("filtered", [False, True], ids=["open loop", "Kalman"])
@pytest.mark.parametrize("kind", ["siso", "mimo"])
# R3, R4
def test_every_fault_has_the_same_name_in_both(siso, mimo, kind, filtered):
    item = mimo if kind == "mimo" else siso
    options = {"frozen_after": 3, "sensor_low": -9.0, "sensor_high": 9.2}
    options |= {"observer": TWO if kind == "mimo" else KALMAN} if filtered else {}
    problem = ControlProblem(**(all_at_once(**options) if kind == "mimo" else {**SISO, **options}))
    (y, u), rows, files = loop(item, problem, samples=50)
    made, twin = compiled(files, double=True), Sqp(item, problem)
    made.reset(y, u)
    twin.reset(y, u)
    seen = Status(0)
    for k, (y, reference, _) in enumerate(rows):
        y, reference = y.copy(), np.atleast_2d(np.array(reference, dtype=float))
        y[-1] = {5: np.nan, 8: np.inf, 9: -np.inf, 12: 9.3, 13: -1e30}.get(
            k, 7.123 if 20 <= k < 28 else y[-1]
        )
        reference[-1, 0] = {15: np.nan, 16: np.inf, 28: np.nan}.get(k, reference[-1, 0])
        move, expected = made.step(y, reference), twin.step(y, reference)
        assert move.flags == expected.flags, k
        np.testing.assert_allclose(move.u, expected.u, rtol=0, atol=1e-8)
        np.testing.assert_allclose(move.disturbance, expected.disturbance, rtol=0, atol=1e-8)
        np.testing.assert_allclose(
            move.input_disturbance, expected.input_disturbance, rtol=0, atol=1e-8
        )
        seen |= move.flags
        assert (Status.MEASUREMENT_INVALID in move.flags) == (k in (5, 8, 9, 12, 13))
        assert (Status.MEASUREMENT_FROZEN in move.flags) == (23 <= k < 28)
        assert (Status.SETPOINT_INVALID in move.flags) == (k in (15, 16, 28))
    assert seen & 7 == 7


@pytest.mark.parametrize("harm", [np.nan, np.inf, 1.01])
def test_a_line_that_cannot_be_is_noticed_in_both(mimo, harm):
    item, problem = later(mimo, (0, 2)), ControlProblem(**all_at_once())
    (y, u), rows, files = loop(item, problem, samples=5)
    made, twin = compiled(files, double=True), Sqp(item, problem)
    # chi; disturbance, under way, setpoint, last; applied, before; plan
    line = item.model.sizes.n + 4 * 2 + 2 * 2 + 2 * problem.horizon
    for place in (0, 3):
        for one in (made, twin):
            one.reset(y, u)
            one.step(*rows[0][:2])
        held = np.frombuffer(made._state, np.float64)[line : line + 4]
        np.testing.assert_allclose(
            item.model.scaling.u_out(held.reshape(2, 2)), twin.observer.line.past, rtol=1e-12
        )
        held[place] = harm
        twin.observer.line.past.flat[place] = item.model.scaling.u_out(np.full(2, harm))[place % 2]
        one, other = made.step(*rows[1][:2]), twin.step(*rows[1][:2])
        assert one.flags & other.flags & Status.STATE_RESET
        np.testing.assert_allclose(one.u, other.u, atol=AGREE)
        assert not made.step(*rows[2][:2]).flags & Status.STATE_RESET


def test_the_header_says_which_input_is_late(mimo):
    header = controller(later(mimo, (0, 2)), ControlProblem(), SolverOptions())[
        "model_controller.h"
    ]
    assert re.search(r"gives 1: u2 \[V\] in \[.*\], 2 sample\(s\) late\n", header)
    assert "late" not in header.split("gives 1")[0]


# -- what it refuses -------------------------------------------------------------------------------


def test_bytes_of_the_state_that_are_no_state_are_noticed_and_the_input_is_one(siso, shipped):
    files, passed, design = shipped
    bounds = limits(passed, design.control)
    made, (y, u) = compiled(files), ([7.0], [15.5])
    nchi, N = passed.model.sizes.n, design.control.horizon
    chi, disturbance, under_way, reference, applied, plan = (
        0,
        nchi,
        nchi + 1,
        nchi + 2,
        nchi + 4,
        nchi + 6,
    )
    harms = [
        (chi, np.nan),
        (chi + nchi - 1, 1.5),
        (chi, -1e30),
        (disturbance, np.inf),
        (under_way, np.nan),
        (reference, np.nan),
    ]
    harms += [
        (applied, 99.0),
        (applied, np.nan),
        (plan, 77.0),
        (plan + N - 1, np.nan),
        (plan + 3, -np.inf),
    ]
    for place, harm in harms:
        made.reset(y, u)
        before = made.step(y, y).u
        np.frombuffer(made._state, np.float32)[place] = harm
        move = made.step(y, [7.5])
        assert Status.STATE_RESET in move.flags, (place, harm)
        start = bounds.u_safe if place == applied else before
        assert bounds.u_low <= move.u <= bounds.u_high
        assert np.abs(move.u - start) <= bounds.max_move
        assert Status.STATE_RESET not in made.step(y, [7.5]).flags
    rng = np.random.default_rng(0)
    for _ in range(300):  # and whatever bytes: an input within bounds, and nothing that lasts
        made.reset(y, u)
        held = np.frombuffer(made._state, np.uint8)
        count = int(rng.integers(1, 40))
        held[rng.integers(0, len(held), count)] = rng.integers(0, 256, count)
        assert bounds.u_low <= made.step(y, [7.5]).u <= bounds.u_high


# R6
def test_any_bit_of_the_data_that_flips_is_refused(shipped):
    files, *_ = shipped
    for double in (False, True):
        made = compiled(files, double=double)
        size, library = made.struct_bytes["model"], made._library
        data = bytearray(
            ctypes.string_at(
                ctypes.addressof(ctypes.c_char.in_dll(library, "ph_controller_data")), size
            )
        )
        rng, verify = np.random.default_rng(0), library.ph_controller_verify
        verify.restype = ctypes.c_uint32
        assert verify((ctypes.c_char * size).from_buffer(data)) == 0
        crc_at = size - 4 - (4 if double else 0)
        for bit in [
            0,
            8 * size - 1 - (32 if double else 0),
            *rng.integers(0, 8 * (crc_at + 4), 200),
        ]:
            data[bit // 8] ^= 1 << bit % 8
            assert verify((ctypes.c_char * size).from_buffer(data)) == Status.REFUSED, bit
            data[bit // 8] ^= 1 << bit % 8
        assert verify((ctypes.c_char * size).from_buffer(data)) == 0


def test_with_a_flipped_bit_init_and_every_step_refuse_with_the_safe_input(shipped):
    files, passed, design = shipped
    text = files["ph_controller_data.c"]
    changed = Compiled(
        {
            **files,
            "ph_controller_data.c": re.sub(r"\.frozen_after = 0u", ".frozen_after = 1u", text),
        }
    )
    with pytest.raises(InputError, match="refuses its model"):
        changed.reset([7.0], [15.5])
    safe = limits(passed, design.control).u_safe
    for fresh in (changed, Compiled(files)):  # the second was never begun
        move = fresh.step([7.0], [7.0])
        assert move.flags == Status.REFUSED
        np.testing.assert_allclose(move.u, safe, rtol=1e-7)


@pytest.mark.parametrize("kind", ["siso", "mimo"])
def test_its_margins_are_those_of_the_certificates(siso, mimo, kind):
    item = mimo if kind == "mimo" else siso
    options = all_at_once() if kind == "mimo" else SISO
    made = compiled(controller(item, ControlProblem(**options), SolverOptions()), double=True)
    name = "ph_controller" if kind == "siso" else "model_controller"
    data = ctypes.addressof(ctypes.c_char.in_dll(made._library, f"{name}_data"))
    iss, delta = ctypes.c_double(), ctypes.c_double()
    getattr(made._library, f"{name}_margins")(
        ctypes.c_void_p(data), ctypes.byref(iss), ctypes.byref(delta)
    )
    assert iss.value == pytest.approx(certify(item.model, "iss").margin, abs=ROUND_OFF)
    certificate = certify(item.model, "delta_iss")
    assert certificate.holds == (delta.value > 0) or kind == "mimo"
    if certificate.holds:
        assert delta.value == pytest.approx(certificate.margin, abs=ROUND_OFF)


def test_another_processors_last_digits_give_the_same_text(siso, monkeypatch):
    """Linear algebra rounds otherwise there: evidence would not belong to the C that is exported
    here."""
    item, problem = siso, ControlProblem(**SISO)
    noise, witnesses, equilibrium = (
        np.random.default_rng(4),
        conditions.Quantities.witnesses,
        c_numbers.rest,
    )
    before = controller(item, problem, SolverOptions())
    monkeypatch.setattr(
        c_numbers,
        "rest",
        lambda *of: equilibrium(*of) * (1 + 1e-14 * noise.standard_normal(item.model.sizes.n)),
    )
    monkeypatch.setattr(
        conditions.Quantities,
        "witnesses",
        lambda *of: [w * (1 + 1e-13 * noise.standard_normal(w.shape)) for w in witnesses(*of)],
    )
    assert controller(item, problem, SolverOptions()) == before


def test_weights_that_are_not_stable_are_refused_even_with_a_checksum_that_fits(shipped):
    files, *_ = shipped
    blind = files["ph_controller.c"].replace("crc_of(model) == model->crc && ", "")
    number = re.search(r"\.weights = \{\s+R\((\S+?)\)", files["ph_controller_data.c"])[1]
    changed = {
        **files,
        "ph_controller_data.c": files["ph_controller_data.c"].replace(number, "9.0", 1),
    }
    Compiled({**files, "ph_controller.c": blind}).reset([7.0], [15.5])
    with pytest.raises(InputError, match="refuses its model"):
        Compiled({**changed, "ph_controller.c": blind}).reset([7.0], [15.5])


# -- elementary functions --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("double", "absolute"), [(False, 1e-7), (True, 2e-16)], ids=["float", "double"]
)
def test_elementary_functions_beside_libm(shipped, tmp_path, double, absolute):
    """LSTM_MPC_ABUSE=1000000: every float with |x| <= 25, which takes minutes."""
    program = built(tmp_path, shipped[0], "functions.c", double=double, libraries=("-lm",))
    stride = (
        100 if double else 1 if int(os.environ.get("LSTM_MPC_ABUSE", "0")) >= 1_000_000 else 997
    )
    tanh, tanh_ulp, sigmoid, _, root_ulp, _ = map(float, run(program, stride).split())
    assert max(tanh, sigmoid) <= absolute
    assert tanh_ulp <= 3.5
    assert root_ulp <= 1.0


def test_a_function_that_is_a_little_wrong_is_seen(shipped, tmp_path):
    changed = {
        **shipped[0],
        "ph_controller.c": shipped[0]["ph_controller.c"].replace("R(1.0 / 24.0)", "R(1.0 / 24.01)"),
    }
    program = built(tmp_path, changed, "functions.c", libraries=("-lm",))
    assert float(run(program, 9973).split()[0]) > 1e-7


# -- the rules -------------------------------------------------------------------------------------


def rules(files, folder):
    """Rules of MISRA C:2012 that cppcheck finds broken, and its own warnings."""
    name = write(folder, files)
    command = [tool("cppcheck"), "--enable=warning,style,performance,portability", "--addon=misra"]
    # dimensions may be 1, a dead time 0
    command += ["--suppress=moduloofone", "--suppress=knownConditionTrueFalse"]
    command += ["--std=c99", "--quiet", "--template={id}"]
    out = subprocess.run(
        [*command, f"{name}.c", f"{name}_data.c"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert out.returncode == 0, out.stderr
    return set(out.stderr.split())


@pytest.mark.slow
def test_rules_not_kept_are_those_that_are_written_down(shipped, mimo, tmp_path):
    written = {
        f"misra-c2012-{rule}"
        for rule in re.findall(r"^\| (\d+\.\d+) \|", TABLE.read_text(encoding="utf-8"), re.M)
    }
    late = controller(
        later(mimo, (0, 2)), ControlProblem(**all_at_once(observer=TWO)), SolverOptions()
    )
    for number, files in enumerate((shipped[0], late)):
        assert rules(files, tmp_path / str(number)) <= written


@pytest.mark.slow
def test_a_rule_that_is_broken_anew_is_found(shipped, tmp_path):
    harm = "\nint jump(int x);\nint jump(int x) { if (x) { x = 1; } return x; }\n"
    changed = {**shipped[0], "ph_controller.c": shipped[0]["ph_controller.c"] + harm}
    assert "misra-c2012-14.4" in rules(changed, tmp_path)
