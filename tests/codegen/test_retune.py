"""Limits and weights of the exported controller that change at run time: checked, kept from the
next sample on, under a new checksum; what the certificates do not cover is refused."""

import subprocess
from dataclasses import replace

import pytest
from compiling import FLAGS, WARNINGS, built, run, tool, write
from places import ROOT

from lstm_mpc.certificates.gate import Release
from lstm_mpc.codegen.c_controller import controller
from lstm_mpc.project.design import load_design

SHIPPED = ROOT / "models" / "ph"
RESTING = {"input_target": 15.0, "input_weight": 1e-3}
SLOW_DOWN = {"max_move": 1.0, "max_move_down": 0.2}
SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def exported(**changes):
    design, passed = load_design(SHIPPED), Release.load(SHIPPED / "release.json")
    return controller(passed, replace(design.control, **changes), design.solver)


@pytest.fixture(scope="module")
def sources():
    return exported()


@pytest.mark.parametrize("double", [False, True], ids=["float", "double"])
# R11
def test_a_tuning_is_checked_and_kept(sources, tmp_path, double):
    run(built(tmp_path, sources, "retune.c", *SANITIZED, double=double))


# R11
def test_a_tuning_with_a_rate_for_falling_inputs_is_checked_and_kept(tmp_path):
    run(built(tmp_path, exported(**SLOW_DOWN), "retune.c", *SANITIZED, "-DUNEVEN"))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_switch_compiles_without_a_warning_and_without_it_nothing_is_there(
    sources, tmp_path, compiler
):
    name = write(tmp_path, sources)
    for switch in ([], [f"-D{name.upper()}_RETUNE"]):
        subprocess.run(
            [tool(compiler), *FLAGS, *WARNINGS, *switch, "-c", f"{name}.c"],
            cwd=tmp_path,
            check=True,
        )
        assert (f"{name}_retune" in run("nm", tmp_path / f"{name}.o")) == bool(switch)


# R11
def test_a_tuning_with_targets_of_inputs_is_checked_and_kept(tmp_path):
    run(built(tmp_path, exported(**RESTING), "retune.c", *SANITIZED, "-DTARGETS"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("           finite(t->input_target[i]) && ", "           "),
        ("finite(t->input_target[i]) && ordered(R(0.0), t->input_weight[i], false) &&", ""),
        ("normalised(model, t->input_target[i], i)", "t->input_target[i]"),
        ("t->input_weight[i] * span * span", "R(0.0)"),
    ],
)
def test_a_target_of_an_input_that_is_not_checked_or_kept_is_seen(tmp_path, old, new):
    sources = exported(**RESTING)
    assert sources["ph_controller.c"].count(old) == 1
    harmed = {**sources, "ph_controller.c": sources["ph_controller.c"].replace(old, new)}
    program = built(tmp_path, harmed, "retune.c", "-DTARGETS")
    assert subprocess.run([program], capture_output=True, timeout=60).returncode != 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("           ordered(LEAST_MOVE, t->max_move_down[i], true) &&\n", ""),
        ("within_never(t->max_move_down[i] / span)", "within_never(t->max_move[i] / span)"),
        (
            "maximum(within_never(t->max_move_down[i])",
            "maximum(within_never(R(1.5) * t->max_move_down[i])",
        ),
    ],
)
def test_a_rate_for_falling_inputs_that_is_not_checked_or_kept_is_seen(tmp_path, old, new):
    sources = exported(**SLOW_DOWN)
    assert sources["ph_controller.c"].count(old) == 1
    harmed = {**sources, "ph_controller.c": sources["ph_controller.c"].replace(old, new)}
    program = built(tmp_path, harmed, "retune.c", "-DUNEVEN")
    assert subprocess.run([program], capture_output=True, timeout=60).returncode != 0


HARMS = {
    "radius": ("magnitude(normalised(model, t->u_high[i], i)) <= reach &&", ""),
    "in force below": ("ordered(t->u_low[i], state->applied[i], false) &&", ""),
    "in force above": ("ordered(state->applied[i], t->u_high[i], false) &&", ""),
    "price": (" &&\n           ordered(R(0.0), t->violation_weight[i], false)", ""),
    "nothing": ("return good && weight > R(0.0);", "return good && weight >= R(0.0);"),
    "checksum": ("    model->crc = crc_of(model);\n", ""),
    "turn": ("} else if (turn != READY && turn != PREPARED) {", "} else if (turn == BUSY) {"),
    "another model": ("return phase - model->crc;", "return phase & 3u;"),
}


@pytest.mark.parametrize(("old", "new"), HARMS.values(), ids=HARMS)
def test_a_check_that_is_missing_is_seen(sources, tmp_path, old, new):
    text = sources["ph_controller.c"]
    assert text.count(old) == 1
    program = built(tmp_path, {**sources, "ph_controller.c": text.replace(old, new)}, "retune.c")
    assert subprocess.run([program], capture_output=True, timeout=60).returncode != 0
