"""Conditions of the exported controller, each shown to decide by itself (MC/DC), and the list of
those that cannot be."""

import re
import subprocess
from dataclasses import replace

import pytest
from builders import later, some
from compiling import built, run, tool
from mcdc import CLANG, conditions
from optimum import all_at_once
from places import ROOT

from lstm_mpc.certificates.gate import Release
from lstm_mpc.codegen.c_controller import controller
from lstm_mpc.control.engines.sqp import SolverOptions
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.project.design import load_design

SHIPPED, TABLE = ROOT / "models" / "ph", ROOT / "lstm_mpc" / "codegen" / "MCDC.md"
SHARE = 0.95


def controllers(mimo):
    """The shipped one; of two inputs with everything at once, limits that are none, blocks and one
    iteration; with a filter and inputs that are late; without rows for rates and soft bounds."""
    design, passed = load_design(SHIPPED), Release.load(SHIPPED / "release.json")
    one = SolverOptions(sqp_iterations=1, qp_iterations=6, line_search_steps=1)
    several = SolverOptions(sqp_iterations=4, tolerance=1e-6)
    free = all_at_once(
        max_move=[0.3, float("inf")], y_low=-float("inf"), blocks=(1, 1, 2, 3), frozen_after=4
    )
    tuning = KalmanTuning(noise=0.003, drift=0.01, max_disturbance=0.2)
    late = replace(ControlProblem(**all_at_once(dead_time=20.0, frozen_after=4)), observer=tuning)
    return [
        controller(passed, design.control, design.solver),
        controller(mimo, ControlProblem(**free), one),
        controller(later(mimo, (1, 3)), late, several),
        controller(passed, ControlProblem(horizon=6, move_penalty=0.05), several),
    ]


SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
HARMS = {
    "variance": ("sound = sound && state->noise_variance[j] > R(0.0);", ""),
    "disturbance": ("magnitude(state->estimate[NCHI + j]) <= model->max_disturbance[j]", "true"),
    "delta": (" && delta_iss > PH_CONTROLLER_DELTA_ISS_FLOOR", ""),
    "frozen": ("model->frozen_after == 0u || ", ""),
}


# R5, R6
def test_every_check_of_a_state_and_of_margins_counts_by_itself(mimo, tmp_path):
    run(built(tmp_path, controllers(mimo)[0], "state.c", *SANITIZED))


@pytest.mark.parametrize("case", some(HARMS, "disturbance", "delta"))
def test_a_check_that_is_missing_is_seen(mimo, tmp_path, case):
    old, new = HARMS[case]
    files = controllers(mimo)[0]
    text = files["ph_controller.c"]
    assert text.count(old) == 1
    program = built(tmp_path, {**files, "ph_controller.c": text.replace(old, new)}, "state.c")
    assert subprocess.run([program], capture_output=True, timeout=60).returncode != 0


def listed():
    """The conditions that the table says cannot be shown: text of the decision, number."""
    rows = re.findall(r"(?m)^\| `(.+?)` \| (\d+) \| (.+?) \|$", TABLE.read_text("utf-8"))
    return {(text.replace("\\|", "|"), int(number)): reason for text, number, reason in rows}


@pytest.mark.slow
def test_conditions_are_shown_to_decide_but_for_those_of_the_table(mimo, tmp_path):
    tool(CLANG)
    shown, lines = conditions(tmp_path, controllers(mimo))
    assert len(shown) > 100
    open_ones = {
        (lines[line - 1].strip().replace("CONTROLLER_", "@NAME@_"), number)
        for (line, _, number), value in shown.items()
        if not value
    }
    assert open_ones == set(listed())
    assert sum(shown.values()) >= SHARE * len(shown)


def test_every_condition_of_the_table_stands_in_the_templates_and_has_a_reason():
    folder = ROOT / "lstm_mpc" / "codegen" / "templates" / "controller"
    text = "\n".join(path.read_text("utf-8") for path in folder.iterdir())
    for (decision, _), reason in listed().items():
        assert decision in text
        assert len(reason) > 20
    assert listed()
