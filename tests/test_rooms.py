"""The rooms: imports go down only, no file imports in a circle, and each heavy dependency has one
importer."""

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import lstm_mpc

ROOT = Path(lstm_mpc.__file__).parent
# Each room may import from those before it; the face, `lstm_mpc/__init__.py`, from all.
ROOMS = [
    "errors",
    "io",
    "plants",
    "data",
    "model",
    "certificates",
    "identification",
    "control",
    "plots",
    "codegen",
    "assurance",
    "export",
    "project",
    "report",
    "directory",
    "cli",
]
HEAVY = {
    "matplotlib": {"plots.style"},
    "jinja2": {"io.templates"},
    "latex2mathml": {"report.page"},
    "do_mpc": {"control.engines.dompc_library"},
    "onnx": {"model.importers.onnx_file"},
    "safetensors": {"model.importers.weights"},
    "h5py": {"model.importers.keras_file.hdf5_process"},
    "distributed": {"io.cluster"},
    "pyarrow": {"io.tables.parquet"},
    "clevercsv": {"data.logs.text_file"},
    "charset_normalizer": {"data.logs.text_file"},
    "openpyxl": {"data.logs.containers"},
    "fmpy": {"plants.fmu"},
    "shtab": {"cli.command_line"},
    "starlette": {"project.operation.page.site"},
    "uvicorn": {"project.operation.page.site"},
    "asyncua": {"project.operation.opcua.library"},
    "cryptography": {"certificates.provenance.signing"},
}


def modules():
    """(name within the package, path); a folder's `__init__` is called as the folder."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


NAMES = {name for name, _ in modules()}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def used(path):
    """The modules of the package that a file imports."""
    return {
        word.removeprefix("lstm_mpc").lstrip(".")
        for word in imports(path)
        if word.split(".")[0] == "lstm_mpc"
    } & NAMES


def room(name):
    return name.split(".")[0]


def test_every_file_is_in_a_room():
    assert {room(name) for name in NAMES} - {""} == set(ROOMS)
    assert sum((ROOT / name).is_dir() for name in ROOMS) <= 14
    assert {path.name for path in ROOT.iterdir() if path.is_file()} <= {
        "__init__.py",
        "directory.py",
        "errors.py",
        "py.typed",
    }


@pytest.mark.parametrize("name", ROOMS[1:])
def test_a_room_holds_at_most_ten_files(name):
    for folder in (path for path in (ROOT / name, *(ROOT / name).rglob("*")) if path.is_dir()):
        own = [path for path in folder.glob("*.py") if not path.name.startswith("__")]
        assert len(own) <= 10, folder


@cache
def defined(path):
    """The classes and functions at the top of a file."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    return {
        node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, kinds)
    }


def strangers(text, below):
    """The names in backticks that no file of these rooms defines."""
    here = {name for other, path in modules() if room(other) in below for name in defined(path)}
    return set(re.findall(r"`([A-Za-z_]+)[`.]", text)) - here - {"design"}


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_says_what_it_is_in_names_that_are_there(name):
    if (ROOT / name).is_dir():
        text = ast.get_docstring(ast.parse((ROOT / name / "__init__.py").read_text("utf-8")))
        first, blank, *rest = text.splitlines()
        assert len(first) <= 80
        assert first.endswith(".")
        assert not blank
        assert rest
        assert not strangers(text, ROOMS[: ROOMS.index(name) + 1])


@pytest.mark.parametrize("name", [name for name in ROOMS if (ROOT / name).is_dir()])
def test_a_room_exports_names_that_are_there(name):
    place = import_module(f"lstm_mpc.{name}")
    assert place.__all__
    assert set(place.__all__) <= set(dir(place))
    for word in place.__all__:
        value = getattr(place, word)
        assert getattr(value, "__module__", place.__name__).startswith(place.__name__)
        assert not (ROOT / name / f"{word}.py").exists()  # a file that it would hide
        assert not (ROOT / name / word).exists()
    with pytest.raises(AttributeError, match=f"module 'lstm_mpc.{name}' has no attribute 'nobody'"):
        _ = place.nobody


def test_a_room_is_loaded_without_its_files():
    rooms = [name for name in ROOMS if (ROOT / name).is_dir()]
    code = (
        "import sys, importlib\n"
        f"for room in {rooms}: importlib.import_module(f'lstm_mpc.{{room}}')\n"
        "names = [name.split('.') for name in sys.modules]\n"
        "print(*('.'.join(n) for n in names if n[0] == 'lstm_mpc' and len(n) > 2))\n"
        "from lstm_mpc.data import Scaling\n"
        "print('lstm_mpc.data.scaling' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines() == ["lstm_mpc.io.lazy_names", "True"]


def test_a_name_that_left_its_room_is_seen():
    assert strangers("A `Model`, its `Nothing`, a `Release.export`.", ["model"]) == {
        "Nothing",
        "Release",
    }


@pytest.mark.parametrize(
    ("name", "path"), list(modules()), ids=[name or "face" for name, _ in modules()]
)
def test_imports_go_down(name, path):
    if name:
        below = ROOMS[: ROOMS.index(room(name)) + 1]
        assert not {other for other in used(path) if room(other) not in below}


def test_no_file_imports_in_a_circle():
    graph = {
        name: {other for other in used(path) if other != name and room(other) == room(name)}
        for name, path in modules()
    }
    packages = {name for name, path in modules() if path.name == "__init__.py"}
    # CycleError names the circle
    TopologicalSorter({name: others - packages for name, others in graph.items()}).prepare()


@pytest.mark.parametrize(("package", "allowed"), HEAVY.items(), ids=list(HEAVY))
def test_one_importer_per_heavy_dependency(package, allowed):
    found = {
        name
        for name, path in modules()
        if any(word.split(".")[0] == package for word in imports(path))
    }
    assert found == allowed


def test_the_import_is_light():
    heavy = {
        "matplotlib",
        "do_mpc",
        "scipy.stats",
        "onnx",
        "safetensors",
        "pyarrow",
        "fmpy",
        "clevercsv",
        "openpyxl",
    }
    code = f"import sys, lstm_mpc; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
