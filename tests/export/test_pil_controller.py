"""The exported controller itself on every core: the host's bits in every sample, within the size
that was promised."""

import re
from dataclasses import replace

import numpy as np
import pytest
from builders import some
from compiling import need
from places import ROOT
from sealing import without_bounds

from lstm_mpc.assurance.clearance import clear
from lstm_mpc.certificates.gate import Release
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.control.controller import Status
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.export.pil import replay
from lstm_mpc.export.pil_bench import run_on_core, run_on_host
from lstm_mpc.export.pil_frames import CORES, Frames, Run, differences, measured
from lstm_mpc.project.design import load_design

SHIPPED = ROOT / "models" / "ph"
NAME = "ph_controller"


@pytest.fixture(scope="module")
def shipped():
    """Files of the shipped controller and what it met in the tracking scenario, with a lost
    measurement and a lost setpoint."""
    need("host")
    design, passed = load_design(SHIPPED), without_bounds(Release.load(SHIPPED / "release.json"))
    cleared = clear(ControllerSpec(passed, design.control, design.solver))
    files = dict(cleared.spec.sources)
    run = simulate_closed_loop(
        design.system, Compiled(files), design.scenarios[0], u_start=design.u_start
    )
    y, ahead = run.y.copy(), run.ahead.copy()
    y[30], ahead[90] = np.nan, np.inf
    return cleared, Run(run.y[0], run.u_start, y, ahead)


def first(run, samples):
    """So much of the run, and one from elsewhere."""
    return Frames(
        (
            Run(run.y0, run.u0, run.y[:samples], run.reference[:samples]),
            Run([7.0], [15.0], run.y[:40] + 0.1, run.reference[:40]),
        )
    )


def written(files, folder):
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("core", "double"),
    some([*((core, False) for core in CORES), ("cortex-m7", True)], ("cortex-m4f", False)),
)
def test_every_core_answers_with_the_hosts_bits(shipped, core, double):
    need("host", core)
    cleared, run = shipped
    frames = first(run, 120)  # without hardware for floating point a core takes its time
    here = replay(cleared, frames, double=double)
    there = replay(cleared, frames, core=core, double=double)
    assert differences(here, there) is None
    assert there.status[30] & Status.MEASUREMENT_INVALID
    assert there.status[90] & Status.SETPOINT_INVALID
    assert np.ptp(there.u) > 3.0  # the loop was not asleep


@pytest.mark.parametrize(("observer", "flash"), [("kalman", 10_000), ("open_loop", 9_000)])
def test_it_is_as_small_and_as_quick_as_promised(observer, flash):
    """Bars for nx = 5, N = 20 on a Cortex-M4F in single precision, over the shipped scenarios
    without a delay; instructions are counted, not timed, so this is no timed test."""
    need("host", "cortex-m4f")
    design, passed = load_design(SHIPPED), without_bounds(Release.load(SHIPPED / "release.json"))
    problem = design.control if observer == "kalman" else replace(design.control, observer=None)
    cleared = clear(ControllerSpec(passed, problem, design.solver))
    here = Compiled(cleared.spec.sources)
    loops = [
        simulate_closed_loop(design.system, here, s, u_start=design.u_start)
        for s in design.scenarios
        if s.believed == 0
    ]
    frames = Frames(tuple(Run(run.y[0], run.u_start, run.y, run.ahead) for run in loops))
    found = measured(replay(cleared, frames, core="cortex-m4f"))
    assert found["flash"] <= flash
    assert found["ram"] <= 6000
    assert found["instructions"]["all"]["mean"] <= 300_000
    # a long step is followed by a second linearisation
    assert found["instructions"]["all"]["max"] <= 1_100_000
    assert found["instructions"]["feedback"]["max"] <= 850_000


def test_one_unit_in_the_last_place_of_one_weight_is_seen(shipped, tmp_path):
    need("host", "cortex-m4f")
    run, files = shipped[1], dict(shipped[0].spec.sources)
    frames = first(run, 120)
    here = run_on_host(written(files, tmp_path), NAME, frames)
    data = files[f"{NAME}_data.c"]
    weight = re.search(r"R\((-?0\.\d{8,})\)", data)[1]
    moved = repr(float(np.nextafter(np.float32(weight), np.float32(9))))
    # or the checksum alone would see it
    blind = files[f"{NAME}.c"].replace("crc_of(model) == model->crc", "crc_of(model) != 0u")
    changed = {**files, f"{NAME}_data.c": data.replace(weight, moved, 1), f"{NAME}.c": blind}
    there = run_on_core(written(changed, tmp_path), NAME, frames, core="cortex-m4f")
    assert re.match(r"run \d, sample \d+: host has status", differences(here, there))
