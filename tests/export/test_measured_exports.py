"""Measured inputs in everything that is wrapped around the C: it answers as the C itself does."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from builders import released_of
from compiling import need
from controllers import NAME, started
from feeds import KINDS, fed
from fmu_importer import Imported, Importer

from lstm_mpc.assurance.clearance import clear
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.control.controller import WORDS, Status
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError
from lstm_mpc.export import pil_bench
from lstm_mpc.export.controller_folder import bundle
from lstm_mpc.export.fmu.archive import fmu
from lstm_mpc.export.fmu.unit import controller_unit
from lstm_mpc.export.golden import golden
from lstm_mpc.export.pil_frames import Frames, Run
from lstm_mpc.export.simulink_arduino import arduino, arduino_folder, simulink, simulink_folder
from lstm_mpc.io.export_folder import write_sources

STUBS = Path(__file__).resolve().parents[1] / "support" / "stubs"
STRICT = ["-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
STEPS, ROWS = 40, {False: 1, True: 5}
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
needs_cxx = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("g++") is None, reason="no C++ compiler"
)
foreseen = pytest.mark.parametrize(
    "forecast",
    [pytest.param(False, id="held", marks=pytest.mark.slow), pytest.param(True, id="forecast")],
)


@cache
def spec(forecast):
    """The feed is the first input of the model, and arrives later than the other."""
    model = fed(4, KINDS["first"], delays=(1, 0))
    problem = ControlProblem(horizon=5, move_penalty=1e-3, max_move=1.0, forecast=forecast)
    return ControllerSpec(released_of(model), problem)


@cache
def cleared(forecast):
    return clear(spec(forecast))


def story(forecast, *, held=False):
    """Measurements, setpoints, and what is told of the feed (STEPS, rows, 1), missing at times."""
    model, rows, rng = spec(forecast).model, ROWS[forecast], np.random.default_rng(2)
    at = model.roles.measured
    levels = rng.uniform(model.u_low[at], model.u_high[at], ((STEPS + rows) // 4 + 1, 1))
    whole = np.repeat(levels, 4, axis=0)
    known = np.stack(
        [
            np.repeat(whole[k : k + 1], rows, axis=0) if held else whole[k : k + rows]
            for k in range(STEPS)
        ]
    )
    known[[7, 8], 0] = np.nan
    if held:
        known[[7, 8]] = np.nan
    y = model.scaling.y_mid + 0.1 * rng.standard_normal((STEPS, 1))
    r = model.scaling.y_mid + np.where(np.arange(STEPS) % 12 < 6, 0.2, -0.2)[:, None]
    return y, r, known


def answers(forecast, y, r, known, *, double=False):
    """What the C itself says: inputs (STEPS, nu) and status (STEPS,)."""
    here = Compiled(spec(forecast).sources, double=double)
    here.reset(y[0], started(spec(forecast).model), known[0])
    moves = [here.step(*row) for row in zip(y, r, known, strict=True)]
    status = np.array([int(move.flags) for move in moves])
    assert (status & Status.MEASURED_INVALID).any()
    return np.array([move.u for move in moves]), status


@foreseen
def test_the_self_test_carries_the_feed(forecast):
    need("host")
    vectors = golden(spec(forecast))
    assert vectors.run.measured.shape == (60, ROWS[forecast], 1)
    assert Status.MEASURED_INVALID in Status(int(np.bitwise_or.reduce(vectors.status)))
    assert np.ptp(vectors.run.measured[np.isfinite(vectors.run.measured)]) > 2.0
    made = bundle(cleared(forecast))  # refuses where the C does not answer as its twin
    assert made.facts["agreement"]["double"]["to_python"] < 1e-9
    assert "static const double known[SAMPLES]" in made.files["selftest.c"]
    assert "y1 [m] and setpoints and, measured, u1 [V], gives u2 [V]" in made.files["README.md"]
    assert WORDS[Status.MEASURED_INVALID].split(";")[0] in made.files["README.md"]
    right = "known[k][i]"
    assert made.files["selftest.c"].count(right) == 1


@foreseen
def test_a_self_test_without_the_feed_would_fail(forecast, tmp_path):
    need("host")
    files = bundle(cleared(forecast)).files
    files = {**files, "selftest.c": files["selftest.c"].replace("known[k][i]", "known[0][i]")}
    write_sources(tmp_path, files)
    done = subprocess.run(["make", "test"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "largest |du|" in done.stdout


@foreseen
def test_a_processor_in_the_loop_meets_the_feed(forecast, tmp_path):
    need("host")
    y, r, known = story(forecast)
    write_sources(tmp_path, dict(spec(forecast).sources))
    frames = Frames((Run(y[0], started(spec(forecast).model), y, r[:, None], known),))
    there = pil_bench.run_on_host(tmp_path, NAME, frames)
    u, status = answers(forecast, y, r, known)
    assert np.array_equal(there.u.astype(np.float64), u)
    assert np.array_equal(there.status, status)
    blind = Frames((Run(y[0], started(spec(forecast).model), y, r[:, None]),))
    with pytest.raises(InputError, match="frames"):
        pil_bench.run_on_host(tmp_path, NAME, blind)


def test_frames_with_a_feed_of_another_length_are_refused():
    y, r, known = story(False)
    with pytest.raises(InputError, match=r"y \(40, 1\) and measured \(39, 1, 1\) do not belong"):
        Run(y[0], [1.0], y, r[:, None], known[1:])


@needs_cc
@foreseen
def test_the_fmu_is_the_c(forecast, tmp_path):
    y, r, known = story(forecast, held=True)  # an FMU sees no forecast
    model, unit = spec(forecast).model, controller_unit(cleared(forecast), double=True)
    assert [p.name for p in unit.inputs] == ["y1", "y1_setpoint", "u1"]
    assert [p.name for p in unit.outputs] == ["u2"]
    assert unit.inputs[-1].start == model.measured[0].typical
    assert (256 in unit.codes) is True
    assert any("this unit sees no forecast" in note for note in unit.notes) is forecast
    twin = Imported(Importer(fmu(unit), tmp_path), model)
    twin.reset(y[0], started(model), known[0])
    u, status = answers(forecast, y, r, known, double=True)
    for k in range(STEPS):
        move = twin.step(y[k], r[k], known[k, 0])
        assert np.array_equal(move.u, u[k])
        assert move.flags == status[k]


def built(command, folder):
    done = subprocess.run([*command, "-o", "program"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "program"


def write(files, folder):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@needs_cc
@foreseen
def test_the_s_function_is_the_c(forecast, tmp_path):
    y, r, known = story(forecast)
    write(simulink(cleared(forecast)), tmp_path)
    codes = [f"{NAME}_sfun.c", f"{NAME}.c", f"{NAME}_data.c"]
    flags = ["-std=c99", *STRICT, "-DMATLAB_MEX_FILE", f"-I{STUBS}"]
    program = built(["cc", *flags, *codes, "-lm"], tmp_path)
    rows = [np.concatenate([y[k], r[k], known[k].ravel()]).tolist() for k in range(STEPS)]
    lines = [" ".join(repr(v) for v in 2 * row) for row in rows]  # two blocks
    done = subprocess.run(
        [program, *map(str, started(spec(forecast).model))],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    found = np.array([line.split() for line in done.stdout.splitlines()[1:]], dtype=float)
    u, status = answers(forecast, y, r, known)
    for block in (found[:, :2], found[:, 2:]):
        assert np.array_equal(block[:, :1], u)
        assert np.array_equal(block[:, 1], status)
    page = simulink_folder(cleared(forecast))["README.md"]
    assert f"| input 3 | {ROWS[forecast]} | measured inputs: u1 [V]" in page


_MAIN = """\
#include "Arduino.h"
#include "examples/loop/loop.ino"

int main() {
  setup();
  for (int k = 0; k < 30; ++k) {
    loop();
    now_ms += 10000;
  }
}
"""


@needs_cxx
@foreseen
def test_the_sketch_reads_the_feed(forecast, tmp_path):
    model, real = spec(forecast).model, np.float32
    write({**arduino(cleared(forecast)), "main.cpp": _MAIN}, tmp_path)
    codes = [f"src/{NAME}.c", f"src/{NAME}_data.c"]
    subprocess.run(["cc", "-std=c99", *STRICT, "-c", *codes], cwd=tmp_path, check=True)
    objects, paths = [f"{NAME}.o", f"{NAME}_data.o"], [f"-I{STUBS}", "-Isrc", "-I."]
    program = built(["g++", "-std=c++11", *STRICT, *paths, "main.cpp", *objects, "-lm"], tmp_path)
    printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout

    def pins(t):
        """Shares of the range at the pins of the output and of the feed, as the stub has them."""
        return [real(420 + 10 * pin + (t % 2**32) // 1000 % 7 * 30) / real(1023) for pin in (0, 1)]

    def told(t):
        output, feed = pins(t)
        mid, span = (np.asarray(v, real) for v in (model.scaling.y_mid, model.scaling.y_span))
        (signal,) = model.measured
        low, high = real(signal.low), real(signal.high)
        held = np.full((ROWS[forecast], 1), low + feed * (high - low))
        return mid + span * (output * real(2) - real(1)), held

    here, t, levels = Compiled(spec(forecast).sources), 4294960000, []
    y, known = told(t)
    here.reset(y, [model.manipulated[0].typical], known)
    low, high = (real(getattr(model.manipulated[0], side)) for side in ("low", "high"))
    for _ in range(30):
        y, known = told(t)
        u = real(here.step(y, model.scaling.y_mid, known).u[0])
        levels.append(f"{t % 2**32} 9 {int(real(255) * (u - low) / (high - low))}")
        t += 10000
    assert [line for line in printed.splitlines() if line[0].isdigit()] == levels
    assert len({level.split()[-1] for level in levels}) > 3
    assert "`measure_inputs`" in arduino_folder(cleared(forecast))["README.md"]
