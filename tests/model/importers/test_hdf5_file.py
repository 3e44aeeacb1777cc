"""HDF5 files and .keras archives that are something else: spoilt, too large, or leading out."""

import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from foreign_nets import keras_stack, sequential, weights, write_h5, write_keras

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers import weights as weights_module
from lstm_mpc.model.importers.import_file import read_foreign
from lstm_mpc.model.importers.keras_file import hdf5, hdf5_process

WRITERS = {"keras": write_keras, "h5": write_h5}


@pytest.fixture(params=WRITERS)
def kind(request):
    return request.param


def saved(folder, kind, stack):
    return WRITERS[kind](folder / f"net.{kind}", stack, sequential(stack))


def refused(path, words):
    with pytest.raises(InputError, match=words) as caught:
        read_foreign(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_bytes_that_are_none(kind, tmp_path):
    path = tmp_path / f"net.{kind}"
    for data in (b"", b"x" * 100, pytest.__file__.encode()):
        path.write_bytes(data)
        refused(path, r"is not a \.keras archive|is not an HDF5 file of plain arrays")
    whole = saved(tmp_path, kind, keras_stack(weights(0))).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, r"is not a \.keras archive|is not an HDF5 file of plain arrays")


def test_archives_that_lack_or_hide_something(tmp_path, monkeypatch):
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    refused(path, "has no 'model.weights.h5', which every .keras file of Keras 3 has")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{")
        archive.writestr("model.weights.h5", "")
    refused(path, "its configuration is not JSON|is not an HDF5 file")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "[" * 100_000)
        archive.writestr("model.weights.h5", "")
    refused(path, "its configuration is not JSON")
    monkeypatch.setattr(weights_module, "LIMIT", 2**20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"\0" * (2**20 + 1))
    refused(path, "'model.weights.h5' is larger than 1 MiB")


def test_nothing_outside_the_file_is_read(tmp_path):
    stack = keras_stack(weights(0))
    secret = saved(tmp_path, "h5", stack).rename(tmp_path / "secret.h5")
    place = "model_weights/lstm/lstm/lstm_cell/kernel"

    def spoilt(change):
        path = saved(tmp_path, "h5", stack)
        with h5py.File(path, "a") as file:
            del file[place]
            change(file)
        return path

    def external(file):
        file[place] = h5py.ExternalLink(str(secret), place)

    def soft(file):
        file[place] = h5py.SoftLink("/model_weights/dense")

    def raw(file):
        file.create_dataset(place, (1, 12), "<f4", external=[(str(secret), 0, 48)])

    def virtual(file):
        layout = h5py.VirtualLayout((1, 12), "<f4")
        layout[:] = h5py.VirtualSource(str(secret), place, shape=(1, 12))
        file.create_virtual_dataset(place, layout)

    def circle(file):
        file["model_weights/again"] = file["model_weights"]

    refused(spoilt(external), "'kernel' is a link to somewhere else, which is not followed")
    refused(spoilt(soft), "'kernel' is a link to somewhere else, which is not followed")
    refused(spoilt(raw), "array 'kernel' lies in another file or needs a plugin; save the model")
    refused(spoilt(virtual), "array 'kernel' lies in another file or needs a plugin")
    refused(spoilt(circle), "has groups within groups, more than 16 deep")


def test_what_a_small_file_may_cost(tmp_path):
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (2**15, 2**15), "<f4", compression="gzip", chunks=(2**10, 2**10))
    assert path.stat().st_size < 2**20
    refused(path, "holds more numbers than are read from one file")
    with h5py.File(path, "w") as file:
        for j in range(20_001):
            file.create_group(str(j))
    refused(path, "has more than 20000 entries")


def test_compressed_arrays_are_read(tmp_path):
    stack = keras_stack(weights(0))
    path = saved(tmp_path, "h5", stack)
    before = read_foreign(path).network
    with h5py.File(path, "a") as file:
        place = "model_weights/dense/dense/kernel"
        values = file[place][()]
        del file[place]
        file.create_dataset(place, data=values, compression="gzip", shuffle=True, fletcher32=True)
    assert np.array_equal(read_foreign(path).network.C, before.C)


def test_a_missing_package_is_one_sentence(kind, tmp_path, monkeypatch):
    path = saved(tmp_path, kind, keras_stack(weights(0)))
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    refused(path, r"needs the package h5py: pip install 'lstm_mpc\[keras\]'")


@pytest.mark.parametrize(
    ("program", "cause"),
    [
        ("while True: pass", subprocess.TimeoutExpired),
        ("import os; os.abort()", subprocess.CalledProcessError),
    ],
)
def test_a_process_that_hangs_or_dies_is_a_sentence(program, cause, tmp_path, monkeypatch):
    """The C library loops in some spoilt files and crashes in others."""
    path = saved(tmp_path, "h5", keras_stack(weights(0)))
    (tmp_path / "hdf5_process.py").write_text(program)
    monkeypatch.setattr(hdf5, "_SECONDS", 3)
    monkeypatch.setattr(hdf5, "__file__", str(tmp_path / "hdf5.py"))
    with pytest.raises(InputError, match="cannot be read to its end, so it is spoilt") as caught:
        read_foreign(path)
    assert isinstance(caught.value.__cause__.__cause__, cause)


def test_the_process_limits_its_own_time(tmp_path):
    """A loop like that of the C library ends by itself, whatever becomes of the parent."""
    program = Path(hdf5_process.__file__).read_text()
    for before, after in {
        "    sys.stdout.buffer.write(answer(": "    while True: pass\n#",
        "20_000, 10 ": "20_000, 1 ",
    }.items():
        assert before in program
        program = program.replace(before, after)
    (tmp_path / "p.py").write_text(program)
    done = subprocess.run([sys.executable, tmp_path / "p.py", "1"], input=b"", timeout=120)
    assert done.returncode < 0  # a signal
