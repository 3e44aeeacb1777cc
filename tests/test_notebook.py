"""The notebook runs from the first cell to the last in a kernel of its own, and shows no output of
an earlier run."""

import json
import os
import subprocess
import sys

import pytest
from compiling import need
from places import ROOT

NOTEBOOK = ROOT / "examples" / "from_data_to_controller.ipynb"
LIMIT = 240  # [s] only to end a kernel that hangs; it takes about 15 s
RUN = """
import nbformat, sys
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def cells(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def execute(path, folder):
    """The process that executed a notebook in `folder`, and the executed code cells."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(path), "executed.ipynb"],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder), "IPYTHONDIR": str(folder / "ipython")},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    written = folder / "executed.ipynb"
    return done, cells(written) if written.exists() else []


def test_the_notebook_runs(tmp_path):
    need("host")
    done, executed = execute(NOTEBOOK, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    outputs = [output for cell in executed for output in cell["outputs"]]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    texts = "".join("".join(output.get("text", "")) for output in outputs)
    assert "inside the safe set: True" in texts
    assert "C controller: " in texts
    assert [output for output in outputs if "image/png" in output.get("data", {})]
    assert list(tmp_path.rglob("controller/manifest.json"))


def test_a_notebook_that_fails_is_seen(tmp_path):
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    notebook["cells"] = [{**first, "source": "import lstm_mpc\nlstm_mpc.nothing"}]
    path = tmp_path / "broken.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    done, executed = execute(path, tmp_path)
    assert done.returncode != 0
    assert "has no attribute 'nothing'" in done.stderr
    assert not executed


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.ipynb")), ids=lambda p: p.name)
def test_outputs_are_stripped(path):
    for cell in cells(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
