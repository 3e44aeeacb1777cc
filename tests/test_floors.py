"""Imports go down the floors only, and each heavy dependency has one importer."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lstm_mpc

ROOT = Path(lstm_mpc.__file__).parent
FLOORS = [
    {"errors", "choices", "control.library"},
    {"store", "parallel", "cluster", "system", "tables", "export.templates"},
    {"delays", "excitation", "lstm", "ph", "quadruple_tank", "plants", "evidence", "export.folder", "export.pil", "control.checkpoint"},
    {"data", "historian", "sensitivity", "fmu_plant", "foreign.gates", "foreign.onnx_file"},
    {"model", "csv_file", "preparing", "foreign.weights", "foreign.onnx_axes"},
    {"foreign.onnx_graph"},
    {"foreign.adopt"},
    {"stability", "scenario", "reach", "residuals", "control.qp"},
    {"program", "proof", "starts", "look"},
    {"training"},
    {"release", "identify", "bounds"},
    {"ordering", "control.problem", "control.move", "export.c_model", "export.onnx_model"},
    {"control.faults", "control.line"},
    {"control.observer", "control.loop", "export.unit"},
    {"control.kalman", "control.gated", "control.law"},
    {"control.mhe", "control.tuning"},
    {"control.supervisor", "control.baselines", "control.ideal", "control.linear", "control.arena"},
    {"control.sqp", "control.dompc", "control.plain", "control.compiled"},
    {"control.verify", "figures"},
    {"plots", "live", "log", "design", "artefacts", "export.fmu_xml", "export.wrappers", "export.controller", "export.golden"},
    {"export.fmu", "export.bundle", "clearance"},
    {"deploy"},
    {"handover", "new", "console", "arguments", "completion", "report.dossier"},
    {"verbs", "own", "report.blocks", "report.maths"},
    {"report.identified", "report.claimed", "report.practised"},
    {"report.page"},
    {"report.compare"},
    {"report.write"},
    {"cli"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
HEAVY = {
    "matplotlib": {"figures"},
    "jinja2": {"report.page"},
    "do_mpc": {"control.library"},
    "onnx": {"foreign.onnx_file"},
    "safetensors": {"foreign.weights"},
    "distributed": {"cluster"},
    "pyarrow": {"log"},
    "fmpy": {"fmu_plant"},
    "shtab": {"completion"},
}


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        if path.name != "__init__.py":
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_has_a_floor():
    assert {name for name, _ in modules()} == set(FLOOR)


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=[name for name, _ in modules()])
def test_imports_go_down(name, path):
    used = {word.removeprefix("lstm_mpc.") for word in imports(path) if word.startswith("lstm_mpc.")} & set(FLOOR)
    assert not {other for other in used if FLOOR[other] >= FLOOR[name]}


@pytest.mark.parametrize(("package", "allowed"), HEAVY.items(), ids=list(HEAVY))
def test_one_importer_per_heavy_dependency(package, allowed):
    found = {name for name, path in modules() if any(word.split(".")[0] == package for word in imports(path))}
    assert found == allowed


def test_the_import_is_light():
    heavy = {"matplotlib", "do_mpc", "scipy.stats", "onnx", "safetensors", "pyarrow", "fmpy"}
    code = f"import sys, lstm_mpc; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
