"""The exported controller in folders, compiled by whatever compiler is there, and its twin in
Python beside it on the same measurements."""

import os
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from lstm_mpc.codegen.c_controller import controller
from lstm_mpc.codegen.identifiers import name_of
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.control.engines.sqp import SolverOptions, Sqp
from lstm_mpc.control.limits import input_range
from lstm_mpc.export.pil_bench import missing
from lstm_mpc.plants.batch import rest

FLAGS = ("-std=c99", "-O2", "-ffp-contract=off")
WARNINGS = (
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Wshadow",
    "-Wdouble-promotion",
    "-Werror",
)
# what the templates of a controller are made with where it has nothing that is optional
BARE = {"measured": 0, "terminal": False, "blocked": False, "monitor": 0, "alarm": None}
BARE |= {"uneven": False, "fall": "move", "targets": False}
HERE = Path(__file__).parent / "abuse"


def tool(name):
    """The name of a tool that is there; else skip with the reason, or fail where tools are
    required."""
    if _absent(name):
        lacking(f"{name} is missing; `apt-get install {name}` brings it")
    return name


def lacking(reason):
    """Skip with the reason, or fail where tools are required."""
    (pytest.fail if os.environ.get("LSTM_MPC_REQUIRE_PIL") == "1" else pytest.skip)(reason)


def need(*cores):
    """Skip with the reason where a tool is missing, or fail where they are required."""
    for reason in filter(None, map(missing, cores)):
        lacking(reason)


@cache
def _absent(name):
    try:
        return subprocess.run([name, "--version"], capture_output=True).returncode != 0
    except FileNotFoundError:
        return True


def write(folder, files):
    """Sources (name -> text) into `folder`; the name of the controller."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    return name_of(files)


def built(folder, files, driver, *options, double=False, compiler="gcc", libraries=()):
    """The program of `abuse/<driver>` with the controller, compiled in `folder`."""
    name = write(folder, files)
    text = (
        (HERE / driver)
        .read_text(encoding="utf-8")
        .replace("@name@", name)
        .replace("@NAME@", name.upper())
    )
    (folder / driver).write_text(text, encoding="utf-8")
    program = folder / f"{Path(driver).stem}-{'double' if double else 'float'}"
    switch = [f"-D{name.upper()}_DOUBLE"] if double else []
    code = [] if f'#include "{name}.c"' in text else [f"{name}.c"]
    out = subprocess.run(
        [
            tool(compiler),
            *FLAGS,
            *options,
            *switch,
            "-o",
            program,
            driver,
            *code,
            f"{name}_data.c",
            *libraries,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert out.returncode == 0, out.stderr
    return program


KEPT = {}


def compiled(files, *, double=False):
    """The controller in this process, of the same sources always the same one: `reset` makes it a
    new one."""
    key = (double, *files.items())
    if key not in KEPT:
        KEPT[key] = Compiled(files, double=double)
    return KEPT[key]


def run(program, *arguments, timeout=600, before=(), given=None):
    """What a program prints that reads the text `given`; it must end with 0."""
    out = subprocess.run(
        [*before, str(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        input=given,
    )
    assert out.returncode == 0, f"{out.returncode}\n{out.stdout[-2000:]}{out.stderr[-4000:]}"
    return out.stdout


def loop(
    release, problem, solver=None, *, samples=60, seed=0, setpoints=(0.5, 0.8, 0.25, 0.95, 0.1, 0.6)
):
    """A twin in Python that controls the disturbed, noisy model: (measurement, setpoints, move) for
    every sample, and the C of both."""
    solver, model, rng = solver or SolverOptions(), release.model, np.random.default_rng(seed)
    (low, high), system, N = (
        input_range(model, problem),
        model.system,
        problem.horizon + model.shared_delay,
    )
    aims = [
        np.asarray(system.output(rest(system, low + share * (high - low)))).ravel()
        for share in setpoints
    ]
    ahead = np.repeat(aims, -(-(samples + N + 1) // len(aims)), axis=0)
    spread = np.ptp(aims, axis=0)
    twin, u = Sqp(release, problem, solver), low + 0.4 * (high - low)
    chi, rows = rest(system, u), []
    for k in range(samples):
        y = (
            np.asarray(system.output(chi)).ravel()
            + (0.05 * (k >= samples // 2) + 2e-3 * rng.standard_normal(len(spread))) * spread
        )
        if k == 0:
            twin.reset(y, u)
            start = (y, u)
        reference = ahead[k : k + N + 1] if problem.preview else ahead[k]
        move = twin.step(y, reference)
        rows.append((y, reference, move))
        chi = np.asarray(system.step(chi, move.u, np.zeros(0))).ravel()
    return start, rows, controller(release, problem, solver)
