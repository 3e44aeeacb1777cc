"""Every example runs alone, in a folder of its own, and its asserts hold."""

import subprocess
import sys

import pytest
from compiling import need
from places import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
# The checkers read files: tests/certificates/test_certification.py and test_signed.py run them.
RUN = [path for path in EXAMPLES if not path.name.startswith(("04", "07", "08"))]
LIMIT = 240  # [s] only to end a run that hangs; the slowest example takes about 12 s


def test_the_examples_are_found():
    first = ["01_tour.py", "02_paper_figures.py", "03_another_plant.py", "04_check_certificate.py"]
    assert [path.name for path in EXAMPLES] == [
        *first,
        "05_own_plant_python.py",
        "06_own_plant_fmu.py",
        "07_check_signed_certificate.py",
        "08_check_loop_proof.py",
    ]


@pytest.mark.slow
def test_the_embedded_example(tmp_path):
    need("host", "cortex-m4f")
    test_example(EXAMPLES[0].parent / "embedded" / "board.py", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", RUN, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    command = [sys.executable, "-W", "error::DeprecationWarning", str(path)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
    assert not done.stderr, done.stderr[-2000:]
