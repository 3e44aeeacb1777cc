"""Fixtures: made once, small and cheap."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from builders import SETTINGS, later, paper_policy, released_of, stable_model, validation_for
from sealing import sealed

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.gate import Release, release
from lstm_mpc.certificates.scenarios import VerifyOptions, verify
from lstm_mpc.codegen import compiler as loaded
from lstm_mpc.data.dataset import Dataset
from lstm_mpc.data.excitation import Mprs, record
from lstm_mpc.data.scaling import scale
from lstm_mpc.identification.continuation import train
from lstm_mpc.model.model import Model
from lstm_mpc.plants.ph import Plant
from lstm_mpc.project.design import load_design

# Half the time to compile, and the same bits: what the text fixes no level of optimisation moves.
loaded.FLAGS = tuple("-O1" if flag == "-O3" else flag for flag in loaded.FLAGS)


@pytest.fixture
def begin():
    """Begins a verb in a group of processes of its own; what a failing test leaves of them is
    killed."""
    begun = []

    def verb(*words, stderr=subprocess.PIPE):
        command, pipe = [sys.executable, "-m", "lstm_mpc.cli", *map(str, words)], subprocess.PIPE
        begun.append(
            subprocess.Popen(command, stdout=pipe, stderr=stderr, text=True, start_new_session=True)
        )
        return begun[-1]

    yield verb
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def plant():
    return Plant().system()


@pytest.fixture(scope="session")
def dataset(plant):
    """600 noisy samples of the pH plant."""
    item = record(
        plant, Mprs((12.5,), (17.0,)), steps=600, input_noise=1e-3, output_noise=1e-4, seed=1
    )
    return Dataset(plant.inputs, plant.outputs, plant.Ts, (item,))


@pytest.fixture(scope="session")
def outcome(dataset):
    """One start of training, three cells."""
    return train(dataset, scale(dataset), SETTINGS, seed=0)


@pytest.fixture(scope="session")
def model(dataset, outcome):
    """A certified three-cell model of the pH plant."""
    return Model(
        outcome.network,
        scale(dataset),
        dataset.inputs,
        dataset.outputs,
        dataset.Ts,
        {"seed": 0},
        "pH model",
    )


@pytest.fixture(scope="session")
def certificate(model):
    return certify(model)


@pytest.fixture(scope="session")
def verification(model):
    return verify(model, VerifyOptions(steps=100, settle=20), safe_set=((0.0, 14.0),))


@pytest.fixture(scope="session")
def validation(model):
    return validation_for(model)


@pytest.fixture(scope="session")
def released(model, certificate, verification, validation):
    """The model of the pH plant, through the gate."""
    policy = paper_policy(waive={"controller": "a bench, nobody near"})
    return release(model, [certificate], verification, validation, policy, safe_set=((0.0, 14.0),))


@pytest.fixture(scope="session")
def mimo():
    """A released random model: two inputs, two layers, two outputs."""
    return released_of(stable_model(3, nu=2, nx=(3, 2), ny=2))


@pytest.fixture(scope="session")
def late_mimo(mimo):
    """The same with inputs that are 1 and 3 samples late, through a gate of its own."""
    return released_of(replace(mimo.model, delays=(1, 3)))


@pytest.fixture(scope="session")
def late_siso(released):
    """The model of the pH plant as if its input were three samples late."""
    return later(released, (3,))


@pytest.fixture(scope="session")
def tanks(pytestconfig):
    """The design of the quadruple tank and its release, as shipped."""
    design = load_design(pytestconfig.rootpath / "models" / "quadruple_tank")
    return design, Release.load(design.file("release.json"))


@pytest.fixture
def undrawn(monkeypatch):
    """Reports whose figures are their titles: what is asked stands in the words."""
    from lstm_mpc.report import page

    monkeypatch.setattr(page, "drawn", lambda picture, prefix="": picture.title)


@pytest.fixture
def short_design(tmp_path, pytestconfig):
    """The shipped design and its release with two scenarios of ten samples, the second with a
    sensor that drops out."""
    shipped, folder = pytestconfig.rootpath / "models" / "ph", tmp_path / "short"
    folder.mkdir()
    text = (shipped / "design.toml").read_text()
    rows = [
        f'[[scenario]]\nname = "{name}"\nduration = 100.0\nsetpoint = [[0, 7.0]]\n'
        for name in ("step", "lost")
    ]
    fault = '[[scenario.fault]]\nkind = "dropout"\nbegin = 50.0\nend = 70.0\n'
    (folder / "design.toml").write_text(text[: text.index("[[scenario]]")] + "".join(rows) + fault)
    sealed(folder)
    return folder
