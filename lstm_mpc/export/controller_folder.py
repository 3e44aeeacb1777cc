"""The folder of an exported controller: its C with a self-test, build files, what was measured of
it, and a page to read."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lstm_mpc.assurance.clearance import Cleared, checked_clearance
from lstm_mpc.codegen.compiler import compiler
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.codegen.identifiers import constant, name_of
from lstm_mpc.control.controller import status_rows
from lstm_mpc.errors import InputError
from lstm_mpc.export import pil_bench as pil
from lstm_mpc.export.golden import Golden, golden
from lstm_mpc.export.pil_frames import Frames, differences, measured
from lstm_mpc.io.export_folder import write_sources
from lstm_mpc.io.targets import Export
from lstm_mpc.io.templates import render

KIND = "lstm_mpc C controller"
PRODUCTS = ("selftest-float", "selftest-double", "*.o", "build/*")
# [share of the range used] single precision may decide otherwise at an edge
TOLERANCE = {"double": 1e-9, "float": 1e-3}
_ROUNDED = (
    ". In double precision it does: a step near the tolerance of [solver] is taken for long by one"
    " and not by the other; give more sqp_iterations and a smaller tolerance there"
)
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
    cleared = checked_clearance(cleared)
    spec = cleared.spec
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
        "selftest.c": _selftest(files, vectors),
        "Makefile": render("export", "controller/Makefile", name=name),
        "CMakeLists.txt": render("export", "controller/CMakeLists.txt", name=name),
    }
    if cleared.signers:
        words = {"evidence": cleared.evidence}
        files[f"{name}_evidence.h"] = render("export", "controller/evidence.h", **words)
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


def _selftest(files: Mapping[str, str], vectors: Golden) -> str:
    run, (nu, ny, rows) = vectors.run, (constant(files, w) for w in ("NU", "NY", "REFERENCES"))
    tables = [
        ("measured", ny, run.y),
        ("setpoint", rows * ny, run.reference),
        ("expected", nu, vectors.u),
        ("ipopt", nu, vectors.ipopt),
    ]
    _, foreseen, nd = run.measured.shape
    if nd:
        tables.append(("known", foreseen * nd, run.measured))
    return render(
        "export",
        "controller/selftest.c",
        name=name_of(files),
        samples=len(run.y),
        known=nd > 0,
        tolerance=TOLERANCE,
        tables=[(label, width, [row.ravel() for row in table]) for label, width, table in tables],
        status=vectors.status,
        span=vectors.span,
        in_force=run.u0,
    )


def _agreement(files: Mapping[str, str], name: str, precision: str) -> dict[str, float]:
    """What the self-test printed; InputError when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        write_sources(folder, files)
        macros = [f"{name.upper()}_DOUBLE"] if precision == "double" else []
        sources = [f"{name}.c", f"{name}_data.c", "selftest.c"]
        ran = compiler().run(Path(folder), sources, macros)
    if ran.returncode != 0:
        remedy = "" if precision == "double" else _ROUNDED  # there double precision has agreed
        raise InputError(
            "export: the C does not answer as the controller in Python does"
            f" ({ran.stdout.strip()}); nothing is exported{remedy}"
        )
    found = re.search(
        r"du\| (\S+) of .* IPOPT (\S+); .* iss (\S+), delta_iss (\S+); bytes state (\d+), work"
        r" (\d+), model (\d+); state aligned to (\d+)",
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
        "state_alignment",
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
    return render(
        "export",
        "controller/README.md",
        name=spec.name,
        model=spec.model,
        claims=spec.claims,
        statuses=status_rows(spec.name.upper(), spec.meanings),
        solver=spec.solver,
        **facts["agreement"],
        target=facts["target"],
    )
