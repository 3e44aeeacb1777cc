"""The folder of an exported controller: its C with a self-test, build files, what was measured of
it, and a page to read."""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.assurance.clearance import Cleared, checked_clearance
from lstm_mpc.codegen.c_model import number
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.codegen.templates import claims_list, named
from lstm_mpc.control.controller import status_table
from lstm_mpc.errors import InputError
from lstm_mpc.export import pil_bench as pil
from lstm_mpc.export.golden import Golden, golden
from lstm_mpc.export.pil_frames import Frames, differences, measured
from lstm_mpc.io.export_folder import write_sources
from lstm_mpc.io.targets import Export
from lstm_mpc.plants.system import Array

KIND = "lstm_mpc C controller"
PRODUCTS = ("selftest-float", "selftest-double", "*.o", "build/*")
# [share of the range used] single precision may decide otherwise at an edge
TOLERANCE = {"double": 1e-9, "float": 1e-3}
CORE = "cortex-m4f"  # what the table of the page is measured on, where its tools are installed


Tell = Callable[[float, str], None]  # (share done, what is next)


def bundle(
    cleared: Cleared,
    *,
    u_start: ArrayLike | None = None,
    on_progress: Tell = lambda share, what: None,
) -> Export:
    """The controller's folder. Its self-test is compiled and run first: InputError when the C does
    not answer as its twin in Python does, or when there is no C compiler to find out."""
    spec = checked_clearance(cleared).spec
    problem, solver = spec.problem, spec.solver
    files, name = dict(spec.sources), spec.name
    samples = "golden vectors, with IPOPT's beside them"
    on_progress(0.0, samples)
    vectors = golden(
        spec,
        u_start=u_start,
        on_progress=lambda share: on_progress(0.6 * share, samples),
    )
    files |= {
        "selftest.c": _selftest(name, vectors),
        "Makefile": named("Makefile", name),
        "CMakeLists.txt": named("CMakeLists.txt", name),
    }
    agreement = {}
    for share, precision in zip((0.6, 0.7), TOLERANCE, strict=True):
        on_progress(share, f"self-test in {precision}: compiled and run")
        agreement[precision] = _agreement(files, name, precision)
    on_progress(0.8, f"sizes and instructions on an emulated {CORE}")
    facts: dict[str, Any] = {
        "model": spec.model.digest,
        "problem": {
            key: value
            for key, value in asdict(problem).items()
            if isinstance(value, dict | None) or np.isfinite(value).all()
        },
        "solver": dict(solver.__dict__),
        "agreement": agreement,
        "target": _target(files, name, vectors),
    }
    return Export({**files, "README.md": _readme(spec, facts)}, facts)


def _selftest(name: str, vectors: Golden) -> str:
    run = vectors.run

    def table(values: Array) -> str:
        return ",\n".join(
            "  {" + ", ".join("NAN" if math.isnan(v) else number(v) for v in row.ravel()) + "}"
            for row in values
        )

    return named(
        "selftest.c",
        name,
        samples=str(len(run.y)),
        tolerance_double=number(TOLERANCE["double"]),
        tolerance_float=number(TOLERANCE["float"]),
        measured=table(run.y),
        setpoint=table(run.reference),
        expected=table(vectors.u),
        ipopt=table(vectors.ipopt),
        status=", ".join(f"{int(s)}u" for s in vectors.status),
        span=", ".join(number(s) for s in vectors.span),
        in_force=", ".join(number(u) for u in run.u0),
    )


def _agreement(files: Mapping[str, str], name: str, precision: str) -> dict[str, float]:
    """What the self-test printed; InputError when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        write_sources(folder, files)
        try:
            subprocess.run(
                ["make", f"selftest-{precision}"],
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
            )
        except FileNotFoundError as error:
            raise InputError(
                "export: the self-test of the controller needs make and a C compiler; install gcc"
                " and make"
            ) from error
        except subprocess.CalledProcessError as error:
            first = next(
                (line for line in error.stderr.splitlines() if "error" in line.lower()),
                "no message",
            )
            raise InputError(f"export: the self-test does not compile: {first}") from error
        ran = subprocess.run(
            [f"./selftest-{precision}"], cwd=folder, check=False, capture_output=True, text=True
        )
    if ran.returncode != 0:
        raise InputError(
            "export: the C does not answer as the controller in Python does"
            f" ({ran.stdout.strip()}); nothing is exported"
        )
    found = re.search(
        r"du\| (\S+) of .* IPOPT (\S+); .* iss (\S+), delta_iss (\S+); bytes state (\d+), work"
        r" (\d+), model (\d+)",
        ran.stdout,
    )
    assert found is not None
    keys = (
        "to_python",
        "to_ipopt",
        "margin_iss",
        "margin_delta_iss",
        "state_bytes",
        "work_bytes",
        "model_bytes",
    )
    return dict(zip(keys, map(float, found.groups()), strict=True))


def _target(files: Mapping[str, str], name: str, vectors: Golden) -> dict[str, Any] | None:
    """Sizes and instruction counts on `CORE` over the golden vectors; None where its tools are
    missing."""
    if pil.missing(CORE) is not None or pil.missing("host") is not None:
        return None
    frames = Frames((vectors.run,))
    with tempfile.TemporaryDirectory() as folder:
        write_sources(folder, files)
        there, here = (
            pil.run_on_core(folder, name, frames, core=CORE),
            pil.run_on_host(folder, name, frames),
        )
    if (different := differences(here, there)) is not None:
        raise InputError(
            f"export: {CORE} does not compute the host's bits: {different}; nothing is exported"
        )
    return {"core": CORE, **measured(there)}


def _readme(spec: ControllerSpec, facts: Mapping[str, Any]) -> str:
    release, solver, name = spec.release, spec.solver, spec.name
    model, single, double = spec.model, facts["agreement"]["float"], facts["agreement"]["double"]
    mode = (
        "one pass a sample (real-time iteration)"
        if solver.sqp_iterations == 1
        else f"at most {solver.sqp_iterations} passes a sample"
    )
    upper, target = name.upper(), facts["target"]
    if target is None:
        table = (
            "Sizes and instruction counts were not measured: the tools for Arm were missing."
            " `lstm-mpc pil` measures them."
        )
    else:
        rows = "\n".join(
            f"| instructions, {phase} | {n['mean']} | {n['max']} |"
            for phase, n in target["instructions"].items()
        )
        table = f"""\
Measured on an emulated {target["core"]}, `float`, -O2, over the golden vectors, which it answers with the host's very bits:

| | mean | worst |
|---|---|---|
{rows}

Flash {target["flash"]} bytes: code, weights, tables. RAM {target["ram"]} bytes, {target["stack"]} of them stack; the structs are
state {single["state_bytes"]:.0f} and work {single["work_bytes"]:.0f} bytes."""
    inputs, outputs = (
        ", ".join(s.label for s in signals) for signals in (model.inputs, model.outputs)
    )
    return f"""\
# {name}

Model predictive controller for LSTM model {model.name!r} (model {model.digest[:12]}) with its observer, C99, {mode}.
Takes {outputs} and setpoints, gives {inputs}, once every {model.Ts:g} s. No memory allocation, no globals, no libm, bounded loops.

    static {name}_state state;
    static {name}_work work;
    {name}_init(&{name}_data, &state, y, u);            /* y measured, u in force; not 0: the model is refused */
    for (;;) {{                                          /* every {model.Ts:g} s */
      {name}_prepare(&{name}_data, &state, &work);       /* before the sample: needs no measurement */
      status = {name}_feedback(&{name}_data, &state, &work, y, reference, u);
      /* u to the actuator */
      {name}_advance(&{name}_data, &state, &work);
    }}

`{name}_step` does all three. `-D{upper}_DOUBLE` switches every number to double precision. `{name}_verify` checks the checksum of the
model and recomputes its stability margins from the weights.

`make test` compiles with warnings as errors and compares both precisions with the answers of the twin in Python and of IPOPT:

| largest difference of the input, share of the range used | to the twin | to IPOPT |
|---|---|---|
| double | {double["to_python"]:.1e} | {double["to_ipopt"]:.1e} |
| float | {single["to_python"]:.1e} | {single["to_ipopt"]:.1e} |

Compile with `-ffp-contract=off` and never with `-ffast-math`; on cores with vectors that flush small numbers to zero (Cortex-M55) with
`-fno-tree-vectorize`. Then every IEEE machine computes the same bits.

{table}

{status_table(upper)}

The input lies within bounds and rate limits whatever the status says.

Released, because:

{claims_list(release.claims())}
"""
