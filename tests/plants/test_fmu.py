"""Plants from FMUs for model exchange: the small one of the examples, built here, against the same
equations by hand."""

import importlib.util
import pickle
import sys
import zipfile

import numpy as np
import pytest
from compiling import tool
from places import ROOT
from scipy.integrate import solve_ivp

from lstm_mpc import Mprs, Signal, from_fmu, record, simulate
from lstm_mpc.certificates.exploration import explore, plant_law
from lstm_mpc.data.scaling import Scaling
from lstm_mpc.errors import InputError, SolverError

EXAMPLE = ROOT / "examples" / "06_own_plant_fmu.py"
SIGNALS = {
    "inputs": (Signal("q", "cm³/s", 40.0, 100.0, 60.0),),
    "outputs": (Signal("level", "cm", 0.0, 30.0),),
    "disturbances": (Signal("w", "cm³/s", -10.0, 10.0, 0.0),),
}
GIVEN = {**SIGNALS, "variables": {"level": "h2"}, "Ts": 5.0}
RK4 = 1e-7  # [cm] of ten Runge–Kutta steps of half a second, time constants from 20 s


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("own_plant_fmu", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(example, tmp_path_factory):
    """The FMU by FMI version."""
    tool("cc")
    return {
        version: example.build(tmp_path_factory.mktemp(f"fmi{version}"), version)
        for version in (2, 3)
    }


def rates(t, h, q, w):
    out = 0.5 * np.sqrt(2 * 981 * np.asarray(h))
    return [(q - out[0]) / 100, (out[0] - out[1] + w) / 100]


@pytest.mark.parametrize("version", [2, 3])
def test_a_step_solves_the_equations_and_forgets_the_one_before(built, version, rng):
    plant = from_fmu(built[version], **GIVEN)
    assert plant.name == "two tanks"
    assert plant.x0.tolist() == [8.0, 8.0]
    arguments = [
        (rng.uniform(2, 20, 2), rng.uniform(40, 100, 1), rng.uniform(-5, 5, 1)) for _ in range(5)
    ]
    found = [np.asarray(plant.step(*a)).ravel() for a in arguments]
    for (chi, u, d), after in zip(arguments, found, strict=True):
        true = solve_ivp(
            rates, (0, 5), chi, args=(u[0], d[0]), method="DOP853", rtol=1e-12, atol=1e-12
        ).y[:, -1]
        np.testing.assert_allclose(after, true, atol=RK4)
        assert plant.output(after).tolist() == [[after[1]]]
    for a, after in zip(arguments[::-1], found[::-1], strict=True):
        np.testing.assert_array_equal(plant.step(*a).ravel(), after)


def test_both_versions_are_one_plant_recorded_and_verified_in_processes(built, example):
    two, three = (from_fmu(built[version], **GIVEN) for version in (2, 3))
    draw = Mprs((40.0,), (100.0,), (30.0, 200.0))
    first, second = (
        record(plant, draw, steps=60, seed=4, output_noise=1e-4) for plant in (two, three)
    )
    np.testing.assert_array_equal(first.y, second.y)
    assert np.ptp(first.y) > 1.0
    scaling = Scaling([70.0], [30.0], [8.0], [8.0])
    law = plant_law(two, scaling, dwell=(30.0, 200.0))
    asked = {
        "radii": [1.0],
        "scenarios": 8,
        "steps": 20,
        "settle": 5,
        "seed": 1,
        "safe_set": [(0, 30)],
        "label": "plant",
    }
    assert explore(two, law, scaling, **asked) == explore(
        pickle.loads(pickle.dumps(three)), law, scaling, **asked
    )


def test_starts_and_substeps_are_those_asked_for(built):
    slow = from_fmu(built[3], **GIVEN, starts={"a": 0.25, "h1": 5.0})
    assert slow.x0.tolist() == [5.0, 8.0]
    assert from_fmu(built[3], **GIVEN, x0=[3.0, 4.0]).x0.tolist() == [3.0, 4.0]
    wide, narrow = (
        simulate(slow, np.full((40, 1), 60.0)),
        simulate(from_fmu(built[3], **GIVEN), np.full((40, 1), 60.0)),
    )
    assert wide.y[-1] > narrow.y[-1] + 1.0  # half the outlet, a higher level
    coarse = simulate(from_fmu(built[3], **GIVEN, substeps=1), np.full((40, 1), 60.0))
    assert 0 < np.abs(coarse.y - narrow.y).max() < 1e-2


def test_what_an_fmu_refuses_is_an_error_of_the_solver(built):
    plant = from_fmu(built[3], **GIVEN)
    with pytest.raises(SolverError, match=r"two tanks: the FMU refuses setContinuousStates \(.*\)"):
        plant.step([np.nan, 8.0], [60.0], [0.0])


def changed(path, folder, old, new, name="modelDescription.xml"):
    """The FMU with another description."""
    made = folder / "changed.fmu"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(made, "w") as copy:
        for item in archive.namelist():
            content = archive.read(item)
            if item == name:
                assert content.decode().count(old) >= 1
                content = content.decode().replace(old, new).encode()
            copy.writestr(item, content)
    return made


SLAVE = (
    '<ModelExchange modelIdentifier="two_tanks"/>',
    '<CoSimulation modelIdentifier="two_tanks"/>',
)
BROKEN = [
    (2, *SLAVE, "changed.fmu: is made for co-simulation only; export it for model exchange"),
    (3, *SLAVE, "changed.fmu: is made for co-simulation only"),
    (
        2,
        'numberOfEventIndicators="0"',
        'numberOfEventIndicators="2"',
        r"changed.fmu: has 2 event indicator\(s\); a plant with events",
    ),
    (
        2,
        'modelIdentifier="two_tanks"',
        'modelIdentifier="other"',
        r"changed.fmu: does not start here \(.*other",
    ),
    (3, "<Output ", "<Outlet ", r"changed.fmu: is not an FMU \(.*Outlet"),
]


@pytest.mark.parametrize(("version", "old", "new", "words"), BROKEN)
def test_an_fmu_that_cannot_be_a_plant_is_refused(built, tmp_path, version, old, new, words):
    with pytest.raises(InputError, match=words) as refused:
        from_fmu(changed(built[version], tmp_path, old, new), **GIVEN)
    assert "\n" not in str(refused.value)


WRONG = [
    (
        {"variables": {"level": "h9"}},
        r"has no real variable 'h9' \(it has a, der\(h1\), der\(h2\), h1, h2, q, time, w\)",
    ),
    (
        {"variables": {"levle": "h2"}},
        r"variables maps 'levle', which is no signal \(signals: q, w, level\)",
    ),
    ({"variables": {"level": "h2", "q": "a"}}, "'a' is parameter, not an input"),
    (
        {"variables": {"level": "der(h1)"}},
        r"'q' acts on 'der\(h1\)' at once; outputs must follow from the state",
    ),
    ({"starts": {"b": 1.0}}, "has no real variable 'b'"),
    ({"Ts": 0.0}, "Ts = 0.0 s must be positive"),
    ({"substeps": 0}, "substeps = 0 at least 1"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_misuse_is_named(built, changes, words):
    with pytest.raises(InputError, match=f"two_tanks.fmu: .*{words}"):
        from_fmu(built[3], **{**GIVEN, **changes})


def test_what_is_no_fmu_is_named(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"none.fmu: cannot be read \(No such file"):
        from_fmu(tmp_path / "none.fmu", **GIVEN)
    (tmp_path / "text.fmu").write_text("not a zip archive")
    with pytest.raises(InputError, match=r"text.fmu: is not an FMU \("):
        from_fmu(tmp_path / "text.fmu", **GIVEN)
    monkeypatch.setitem(sys.modules, "fmpy", None)
    with pytest.raises(InputError, match=r"needs the package fmpy: pip install 'lstm_mpc\[fmu\]'"):
        from_fmu(tmp_path / "another.fmu", **GIVEN)
