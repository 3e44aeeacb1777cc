"""The S-function and the Arduino library: compiled with warnings as errors against stubs of their surroundings, and run."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from builders import RELEASES, released
from controllers import NAME, answers, files_of, situation, started

from lstm_mpc.control.compiled import Compiled
from lstm_mpc.export.wrappers import arduino, arduino_folder, simulink, simulink_folder

STUBS = Path(__file__).parent / "stubs"
STRICT = ["-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
STEPS = 60

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
needs_cxx = pytest.mark.skipif(shutil.which("cc") is None or shutil.which("g++") is None, reason="no C++ compiler")


@pytest.fixture(scope="module", params=RELEASES)
def passed(request):
    return released(request.param)


def write(files, folder):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def built(command, folder):
    done = subprocess.run([*command, "-o", "program"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "program"


@pytest.fixture(scope="module")
def files(passed):
    """The C of the controller; the one of several outputs sees coming setpoints."""
    return files_of(passed, preview=len(passed.model.outputs) > 1)


@pytest.fixture(scope="module")
def compiled(files):
    return Compiled(files)


@pytest.fixture(scope="module")
def sfunction(passed, files, tmp_path_factory):
    """The program of tests/stubs/cg_sfun.h: two blocks of the S-function."""
    folder, made = tmp_path_factory.mktemp("sfunction"), simulink(passed, files)
    write(made, folder)
    sources = re.search(r"mex (.*)", made[f"{NAME}_sfun.c"])[1].split()
    return built(["cc", "-std=c99", *STRICT, f"-I{STUBS}", *sources, "-lm"], folder)


@needs_cc
def test_the_s_function_is_the_c(passed, compiled, sfunction):
    model, u_start = passed.model, started(passed.model)
    y, r = situation(model, STEPS)
    other = y[::-1], r[::-1]
    text = "\n".join(" ".join(repr(float(v)) for v in np.concatenate(row)) for row in zip(y, r, *other, strict=True))
    call = [sfunction, *map(str, u_start.tolist())]
    head, *rows = subprocess.run(call, input=text, capture_output=True, text=True, check=True).stdout.splitlines()
    assert head.split() == [f"{model.Ts:g}", "0", "1", "1", "1"]
    found, nu = np.array([row.split() for row in rows], dtype=float), len(model.inputs)
    assert found.shape == (STEPS, 2 * (nu + 1))
    for block, (measured, wanted) in enumerate(((y, r), other)):
        u, status = answers(compiled, measured, wanted, u_start)
        assert np.array_equal(found[:, block * (nu + 1) :][:, : nu + 1], np.column_stack([u, status]))


@needs_cc
def test_the_s_function_wants_the_inputs_in_force(passed, sfunction):
    done = subprocess.run([sfunction], capture_output=True, text=True)
    assert done.returncode == 1
    needs = f"the parameter needs {len(passed.model.inputs)} number(s), the inputs in force before the first sample"
    assert done.stdout == f"{NAME}_sfun: {needs}\n"


_MAIN = """\
#include "Arduino.h"
#include "examples/loop/loop.ino"

int main() {
  setup();
  for (int k = 0; k < 300; ++k, now_ms += 900) loop(); /* comes late now and then, and crosses the overflow of the clock */
}
"""


@needs_cxx
def test_the_sketch_controls(passed, files, compiled, tmp_path):
    model, u_start = passed.model, started(passed.model)
    nu, ny = len(model.inputs), len(model.outputs)
    write({**arduino(passed, files, u_start=u_start), "main.cpp": _MAIN}, tmp_path)
    codes = [f"src/{NAME}.c", f"src/{NAME}_data.c"]
    subprocess.run(["cc", "-std=c99", *STRICT, "-c", *codes], cwd=tmp_path, check=True)
    objects = [f"{NAME}.o", f"{NAME}_data.o"]
    program = built(["g++", "-std=c++11", *STRICT, f"-I{STUBS}", "-Isrc", "-I.", "main.cpp", *objects, "-lm"], tmp_path)
    lines = subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == "begin 115200"
    rows = np.array([line.split() for line in lines[1:] if "println" not in line], dtype=float).reshape(-1, nu, 3)
    assert np.array_equal(rows[0, :, 1], 9 + np.arange(nu))
    begun = 4294960000
    passes = [(begun + 900 * k) for k in range(300)]
    times, due = [], begun
    for t in passes:
        if t >= due:
            times.append(t)
            due += 1000 * int(model.Ts)
    assert rows[:, 0, 0].tolist() == [t % 2**32 for t in times]

    def measured(t):
        pins = 420 + 10 * np.arange(ny) + (t % 2**32) // 1000 % 7 * 30
        return model.scaling.y_mid + model.scaling.y_span * (pins / 1023 * 2 - 1)

    y = np.array([measured(t) for t in times])
    u, status = answers(compiled, y, np.broadcast_to(model.scaling.y_mid, y.shape), u_start)
    assert [line for line in lines if "println" in line] == [f"println {flags}" for flags in status if flags]
    assert np.abs(rows[:, :, 2] - 255 * (u - model.u_low) / (model.u_high - model.u_low)).max() < 1.01
    assert np.ptp(rows[:, :, 2]) > 20


def test_the_library_has_its_papers(passed, files):
    made = arduino_folder(passed, files)
    assert set(made) == {
        *(f"src/{name}" for name in files),
        "examples/loop/loop.ino",
        "library.properties",
        "library.json",
        "README.md",
    }
    properties = dict(line.split("=", 1) for line in made["library.properties"].splitlines())
    manifest = json.loads(made["library.json"])
    for key in ("name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"):
        assert key in properties
    assert properties["name"] == manifest["name"] == NAME
    assert properties["version"] == manifest["version"]
    assert passed.model.digest[:12] in manifest["description"]
    for signal in passed.model.inputs + passed.model.outputs:
        assert signal.label in made["examples/loop/loop.ino"]


def test_the_same_release_gives_the_same_texts(passed, files):
    assert simulink(passed, files) == simulink(passed, files)
    assert arduino(passed, files) == arduino(passed, files)


def test_the_pages_say_how(passed, files):
    made = simulink_folder(passed, files)
    assert set(made) == {*files, f"{NAME}_sfun.c", "README.md"}
    assert f"mex {NAME}_sfun.c {NAME}.c {NAME}_data.c" in made["README.md"]
    page = arduino_folder(passed, files)["README.md"]
    for signal in passed.model.inputs + passed.model.outputs:
        assert signal.label in made["README.md"]
        assert signal.label in page
