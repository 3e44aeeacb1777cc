"""The S-function and the Arduino library: compiled with warnings as errors against stubs of their
surroundings, and run."""

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from builders import RELEASES, released
from controllers import NAME, cleared_of, files_of, situation, started

from lstm_mpc.codegen.identifiers import constant
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.control.controller import WORDS, Status, coming, meanings
from lstm_mpc.errors import InputError
from lstm_mpc.export.simulink_arduino import arduino, arduino_folder, simulink, simulink_folder

STUBS = Path(__file__).resolve().parents[1] / "support" / "stubs"
STRICT = ["-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
DOUBLE = {False: [], True: [f"-D{NAME.upper()}_DOUBLE"]}
STEPS = 60

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
needs_cxx = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("g++") is None, reason="no C++ compiler"
)


@cache
def passed(kind):
    return released(kind)


@cache
def cleared(kind):
    return cleared_of(passed(kind), preview=kind == "mimo")


@cache
def sources(kind):
    """The C of the controller; the one of several outputs sees coming setpoints."""
    return files_of(passed(kind), preview=kind == "mimo")


@cache
def compiled(kind, *, double):
    """The controller in this process; `reset` makes it a new one."""
    return Compiled(sources(kind), double=double)


def write(files, folder):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def built(command, folder):
    done = subprocess.run([*command, "-o", "program"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "program"


def sfunction(kind, folder, *, double=False):
    """The program of tests/stubs/simulink.c: two blocks of the S-function."""
    files = simulink(cleared(kind))
    write(files, folder)
    codes = re.search(r"mex (.*)", files[f"{NAME}_sfun.c"])[1].split()
    return built(
        [
            "cc",
            "-std=c99",
            *STRICT,
            "-DMATLAB_MEX_FILE",
            *DOUBLE[double],
            f"-I{STUBS}",
            *codes,
            "-lm",
        ],
        folder,
    )


@needs_cc
@pytest.mark.parametrize("double", [False, True], ids=["float", "double"])
@pytest.mark.parametrize("kind", RELEASES)
def test_the_s_function_is_the_c(kind, tmp_path, double):
    model, rows, nu = (
        passed(kind).model,
        constant(sources(kind), "REFERENCES"),
        len(passed(kind).model.inputs),
    )
    assert rows == {"siso": 1, "mimo": 6}[kind]  # with preview
    program, u_start = sfunction(kind, tmp_path, double=double), started(model)
    y, r = situation(model, STEPS)
    r[11, -1] = np.nan
    blocks = [(y, [coming(r[k:], rows - 1, r.shape[1]) for k in range(STEPS)])]
    blocks += [(y[::-1], blocks[0][1][::-1])]
    lines = [
        " ".join(repr(float(v)) for y, ahead in blocks for v in (*y[k], *ahead[k].ravel()))
        for k in range(STEPS)
    ]
    done = subprocess.run(
        [program, *map(str, u_start)],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    head, *samples = done.stdout.splitlines()
    assert head.split() == [f"{model.Ts:g}", "0", "1", "1", "1"]
    found = np.array([sample.split() for sample in samples], dtype=float).reshape(STEPS, 2, nu + 1)
    twin, seen = compiled(kind, double=double), Status(0)
    for block, (measured, ahead) in enumerate(blocks):
        twin.reset(measured[0], u_start)
        for k in range(STEPS):
            move = twin.step(measured[k], ahead[k])
            assert found[k, block].tolist() == [*move.u, move.flags]
            seen |= move.flags
    assert seen >= Status.MEASUREMENT_INVALID | Status.SETPOINT_INVALID


@needs_cc
@pytest.mark.parametrize("kind", RELEASES)
def test_the_s_function_wants_the_inputs_in_force(kind, tmp_path):
    done = subprocess.run([sfunction(kind, tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    needs = (
        f"the parameter needs {len(passed(kind).model.inputs)} number(s), the inputs in force"
        " before the first sample"
    )
    assert done.stdout == f"{NAME}_sfun: {needs}\n"


GAP = 35000  # [ms] once, and then samples are missed
_MAIN = f"""\
#include "Arduino.h"
#include "examples/loop/loop.ino"

int main() {{
  setup();
  for (int k = 0; k < 300; ++k) {{
    loop();
    now_ms += k == 99 ? {GAP} : 900; /* comes late, and crosses the overflow of the clock */
  }}
}}
"""


def sketch(kind, folder, *, double=False, **changes):
    """What the sketch prints."""
    write({**arduino(cleared(kind), **changes), "main.cpp": _MAIN}, folder)
    codes = [f"src/{NAME}.c", f"src/{NAME}_data.c"]
    subprocess.run(
        ["cc", "-std=c99", *STRICT, *DOUBLE[double], "-c", *codes], cwd=folder, check=True
    )
    objects = [f"{NAME}.o", f"{NAME}_data.o"]
    paths = [f"-I{STUBS}", "-Isrc", "-I."]
    program = built(
        ["g++", "-std=c++11", *STRICT, *DOUBLE[double], *paths, "main.cpp", *objects, "-lm"], folder
    )
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()


@needs_cxx
@pytest.mark.parametrize(("kind", "double"), [("siso", False), ("mimo", True)])
def test_the_sketch_controls(kind, double, tmp_path):
    model, real = passed(kind).model, np.float64 if double else np.float32
    u_start = started(model)
    first, *lines = sketch(kind, tmp_path, double=double, u_start=u_start)
    low, high, mid, span = (
        np.asarray(v, real)
        for v in (model.u_low, model.u_high, model.scaling.y_mid, model.scaling.y_span)
    )

    def measured(t):
        pins = 420 + 10 * np.arange(len(mid)) + (t % 2**32) // 1000 % 7 * 30
        return mid + span * (pins.astype(real) / real(1023) * real(2) - real(1))

    twin, begun = compiled(kind, double=double), 4294960000
    twin.reset(measured(begun), u_start)
    expected, levels, t, due = [], [], begun, begun
    for k in range(300):
        if t >= due:
            move = twin.step(measured(t), model.scaling.y_mid)
            levels.append((real(255) * (np.asarray(move.u, real) - low) / (high - low)).astype(int))
            expected += [f"{t % 2**32} {9 + j} {level}" for j, level in enumerate(levels[-1])]
            expected += [f"println {WORDS[flag]}" for flag in move.flags]
            due += 1000 * int(model.Ts) * ((t - due) // (1000 * int(model.Ts)) + 1)
        t += GAP if k + 1 == 100 else 900
    assert first == "begin 115200"
    assert lines == expected
    assert len(levels) == 28
    assert np.ptp(levels) > 20


@needs_cxx
def test_the_sketch_says_what_is_wrong(tmp_path):
    files, data = arduino(cleared("siso")), f"src/{NAME}_data.c"
    files[data] = re.sub(r"\.crc = 0x[0-9A-F]+u", ".crc = 0u", files[data])
    write({**files, "main.cpp": _MAIN}, tmp_path)
    subprocess.run(
        ["cc", "-std=c99", "-c", f"src/{NAME}.c", f"src/{NAME}_data.c"], cwd=tmp_path, check=True
    )
    paths = [f"-I{STUBS}", "-Isrc", "-I."]
    program = built(
        ["g++", "-std=c++11", *paths, "main.cpp", f"{NAME}.o", f"{NAME}_data.o"], tmp_path
    )
    lines = subprocess.run(
        [program], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    refused = f"println {WORDS[Status.REFUSED]}"
    assert lines[:2] == ["begin 115200", refused]
    assert refused in lines[2:]


@pytest.mark.parametrize("kind", RELEASES)
def test_the_library_has_its_papers(kind):
    model, files = passed(kind).model, arduino(cleared(kind))
    codes = {f"src/{name}" for name in sources(kind)}
    assert set(files) == codes | {"examples/loop/loop.ino", "library.properties", "library.json"}
    properties = dict(line.split("=", 1) for line in files["library.properties"].splitlines())
    manifest = json.loads(files["library.json"])
    for key in (
        "name",
        "version",
        "author",
        "maintainer",
        "sentence",
        "paragraph",
        "category",
        "url",
        "architectures",
    ):
        assert key in properties
    assert properties["name"] == manifest["name"] == NAME
    assert properties["includes"] == manifest["headers"] == f"{NAME}.h"
    assert re.fullmatch(r"\d+\.\d+\.\d+", properties["version"])
    assert properties["version"] == manifest["version"]
    assert manifest["build"] == {"flags": ["-ffp-contract=off"]}
    assert model.digest[:12] in manifest["description"]
    for signal in model.inputs + model.outputs:
        assert signal.label in files["examples/loop/loop.ino"]


@pytest.mark.parametrize("kind", RELEASES)
def test_the_same_release_gives_the_same_texts(kind):
    assert simulink(cleared(kind)) == simulink(cleared(kind))
    assert arduino(cleared(kind)) == arduino(cleared(kind))


@pytest.mark.parametrize("kind", RELEASES)
@pytest.mark.parametrize("make", [simulink_folder, arduino_folder])
def test_the_page_of_a_folder_says_how_and_what_the_status_means(kind, make):
    model = passed(kind).model
    page = make(cleared(kind), u_start=started(model))["README.md"]
    for flag, words in meanings(measured=False).items():
        assert f"| {flag.value} | `{NAME.upper()}_{flag.name}` | {words} |" in page
    for signal in model.inputs + model.outputs:
        assert signal.label in page
    assert f"every {model.Ts!r} s" in page
    assert f"-D{NAME.upper()}_DOUBLE" in page
    if make is simulink_folder:
        assert f"mex {NAME}_sfun.c {NAME}.c {NAME}_data.c\n" in page
        assert f"`{started(model).tolist()}`" in page
        assert f"| input 1 | {len(model.outputs)} | measurements" in page
    else:
        assert f"as `{NAME}` into the libraries folder" in page


def test_preview_is_a_wide_port():
    pages = [simulink_folder(cleared(kind))["README.md"] for kind in ("siso", "mimo")]
    assert "| input 2 | 1 | setpoints |" in pages[0]
    assert (
        "| input 2 | 18 | setpoints, 6 rows one after the other: now, next sample, …; to hold one,"
        " repeat it |" in pages[1]
    )


def test_a_header_without_its_numbers():
    with pytest.raises(
        InputError, match=r"a\.h does not define A_REFERENCES; export the controller anew"
    ):
        constant({"a.h": ""}, "REFERENCES")
