"""FMUs: valid, equal to the C they wrap, several at a time, saved and restored; misuse is told in a
sentence. FMPy is the importer."""

import ctypes
import io
import shutil
import subprocess
import xml.etree.ElementTree as ET
import zipfile
from dataclasses import replace
from pathlib import Path

import fmpy
import numpy as np
import pytest
from builders import RELEASES, later, released, released_of, some
from controllers import NAME, answers, cleared_of, files_of, situation, started
from fmpy.fmi1 import FMICallException
from fmpy.validation import validate_fmu
from fmu_importer import Imported, Importer, named
from sealing import sealed, without_bounds
from tolerances import ROUND_OFF

from lstm_mpc.assurance.clearance import clear
from lstm_mpc.certificates.gate import Release
from lstm_mpc.cli.command_line import main
from lstm_mpc.codegen.compiler import c_library
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.control.controller import meanings
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.errors import InputError
from lstm_mpc.export.fmu import archive
from lstm_mpc.export.fmu.archive import fmu, fmu_folder
from lstm_mpc.export.fmu.unit import Port, controller_unit, model_unit
from lstm_mpc.plants.system import Signal, simulate
from lstm_mpc.project.design import load_design

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
STEPS = 250
TS = 10.0  # [s] of the models


KEPT = {}  # what takes long to make: everything is compiled once


def kept(what, make):
    if what not in KEPT:
        KEPT[what] = make()
    return KEPT[what]


def release_of(kind):
    return kept(("release", kind), lambda: released(kind))


def cleared(kind):
    return kept(("cleared", kind), lambda: cleared_of(release_of(kind), preview=kind == "mimo"))


def sources(kind):
    """The C of the controller; the one of several outputs sees coming setpoints."""
    return kept(("files", kind), lambda: files_of(release_of(kind), preview=kind == "mimo"))


def exported(kind):
    """The folder as a user gets it."""
    return kept(
        ("folder", kind),
        lambda: fmu_folder(cleared(kind), u_start=started(release_of(kind).model)),
    )


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """FMUs by kind, what they are of and FMI version; each is opened once."""
    mine = {}

    def make(kind, of, version):
        if (kind, of, version) not in mine:
            packed = exported(kind)[f"model_{of}{'_fmi2' if version == 2 else ''}.fmu"]
            mine[kind, of, version] = Importer(
                packed, tmp_path_factory.mktemp(f"{kind}-{of}-{version}")
            )
        return mine[kind, of, version]

    yield make
    KEPT.clear()


@pytest.fixture(scope="module")
def siso():
    return release_of("siso")


@pytest.fixture(scope="module")
def mimo():
    return release_of("mimo")


@pytest.fixture(scope="module")
def siso_model(opened):
    return opened("siso", "model", 3)


@pytest.fixture(scope="module")
def siso_controller(opened):
    return opened("siso", "controller", 3)


@pytest.fixture(scope="module")
def siso_controller_2(opened):
    return opened("siso", "controller", 2)


def beyond(model, steps=STEPS):
    """Inputs a little beyond the limits, so that clipping is seen."""
    width = 0.1 * (model.u_high - model.u_low)
    return np.random.default_rng(0).uniform(
        model.u_low - width, model.u_high + width, (steps, len(model.inputs))
    )


def simulated(importer, starts, columns):
    """FMPy's own simulation with the inputs `columns`, name -> values at the samples."""
    signal = np.zeros(STEPS, dtype=[("time", float), *((name, float) for name in columns)])
    signal["time"] = TS * np.arange(STEPS)
    for name, column in columns.items():
        signal[name] = column
    return fmpy.simulate_fmu(
        importer.folder,
        stop_time=TS * (STEPS - 1),
        output_interval=TS,
        start_values=starts,
        input=signal,
    )


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("of", ["model", "controller"])
@pytest.mark.parametrize("kind", some(RELEASES, "siso"))
def test_fmpy_finds_nothing_wrong(opened, kind, of, version):
    importer, model = opened(kind, of, version), release_of(kind).model
    assert validate_fmu(str(importer.path)) == []
    described = importer.description
    assert described.fmiVersion == f"{version}.0"
    assert not described.coSimulation.canHandleVariableCommunicationStepSize
    assert version == 2 or described.coSimulation.fixedInternalStepSize == str(TS)
    units = {v.name: v.unit for v in described.modelVariables}
    assert all(units[s.name] == s.unit for s in model.inputs + model.outputs)
    said = [v.description for v in described.modelVariables if v.name == "status"]
    assert len(said) == (of == "controller")
    assert all(
        f"{flag.value} ({words})" in sentence
        for sentence in said
        for flag, words in meanings(measured=False).items()
    )


@pytest.mark.parametrize("kind", RELEASES)
def test_the_folder_is_complete(kind):
    files = exported(kind)
    assert set(files) == {
        f"model_{of}{end}.fmu" for of in ("model", "controller") for end in ("", "_fmi2")
    } | {"README.md"}
    page = files["README.md"]
    assert all(name in page for name in files if name.endswith(".fmu"))
    assert all(
        page.count(f"- *{label}*: {sentence}\n") == 1
        for label, sentence in release_of(kind).claims()
    )
    assert all(
        f"{flag.value} ({words})" in page for flag, words in meanings(measured=False).items()
    )
    assert ("The setpoints are held over the horizon: this unit sees no coming steps." in page) == (
        kind == "mimo"
    )


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("kind", some(RELEASES, "siso"))
def test_the_model_is_the_model(opened, kind, version):
    model = release_of(kind).model
    u = beyond(model)
    found = simulated(
        opened(kind, "model", version),
        {},
        {s.name: column for s, column in zip(model.inputs, u.T, strict=True)},
    )
    y = np.column_stack([found[s.name] for s in model.outputs])
    assert np.abs(y - simulate(model.system, u).y).max() < ROUND_OFF


def test_a_model_keeps_its_input_delays(mimo, tmp_path):
    late = later(mimo, (2, 0))
    u, names = beyond(late.model), [s.name for s in late.model.outputs]
    instance, y = Importer(fmu(model_unit(late)), tmp_path).make(), []
    for row in u:
        y.append(instance.get(*names))
        instance.step(u1=row[0], u2=row[1])
    assert np.abs(np.array(y) - simulate(late.model.system, u).y).max() < ROUND_OFF


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("kind", some(RELEASES, "siso"))
def test_the_controller_is_the_c(opened, kind, version):
    """Sample by sample with a measurement missing: to the bit. Under FMPy's own simulation, which
    interpolates inputs: to round-off."""
    model, importer, names = (
        release_of(kind).model,
        opened(kind, "controller", version),
        [s.name for s in release_of(kind).model.inputs],
    )
    compiled = kept(("compiled", kind), lambda: Compiled(sources(kind), double=True))
    y, r = situation(model, STEPS)
    u, status = answers(compiled, y, r, started(model))
    instance = importer.make()
    assert instance.get(*names) == started(model).tolist()
    assert instance.status() == 0
    for k in range(STEPS):
        instance.step(**named(model, y[k], r[k]))
        assert (instance.get(*names), instance.status()) == (u[k].tolist(), status[k])
        assert bool(status[k] & 1) == (k == 7)
    assert np.ptp(u, axis=0).min() > 0.5

    y[7] = y[6]
    other = model.u_low + 0.8 * (model.u_high - model.u_low)
    u, status = answers(compiled, y, r, other)
    columns = dict(zip(named(model, y[0], r[0]), np.hstack([y, r]).T, strict=True))
    found = simulated(
        importer,
        {f"{name}_start": value for name, value in zip(names, other, strict=True)},
        columns,
    )
    shown = np.column_stack([found[name] for name in names])
    assert np.array_equal(shown[0], other)
    assert np.abs(shown[1:] - u[:-1]).max() < ROUND_OFF
    assert np.array_equal(found["status"][1:], status[:-1])


def test_it_controls_the_plant_with_the_bits_of_the_c(pytestconfig, tmp_path):
    home = pytestconfig.rootpath / "models" / "ph"
    design, passed = load_design(home), without_bounds(Release.load(home / "release.json"))
    cleared = clear(ControllerSpec(passed, design.control, design.solver))
    files = cleared.spec.sources
    importer = Importer(fmu(controller_unit(cleared, double=True)), tmp_path)
    wrapped, twin = Imported(importer, passed.model), Compiled(files, double=True)
    run, other = (
        simulate_closed_loop(design.system, it, design.scenarios[0], u_start=design.u_start)
        for it in (wrapped, twin)
    )
    assert len(run.u) == 360
    assert np.array_equal(run.u, other.u)
    assert [move.flags for move in run.moves] == [move.flags for move in other.moves]
    assert np.ptp(run.u) > 3.0  # the loop was not asleep


def test_single_precision(siso, tmp_path):
    files, (y, r) = sources("siso"), situation(siso.model, 50)
    u, _ = answers(Compiled(files), y, r, started(siso.model))
    instance = Importer(
        fmu(controller_unit(cleared("siso"), u_start=started(siso.model))), tmp_path
    ).make()
    assert [
        instance.step(**named(siso.model, *row)).get("u1") for row in zip(y, r, strict=True)
    ] == u.tolist()


def test_the_inputs_in_force_are_a_parameter(siso_controller):
    low, high = siso_controller.make(u1_start=0.0), siso_controller.make(u1_start=2.5)
    assert (low.get("u1"), high.get("u1")) == ([0.0], [2.5])
    values = {"y1": 0.0, "y1_setpoint": 0.1}
    assert low.step(**values).get("u1")[0] <= 1.0  # the rate limit
    assert high.step(**values).get("u1")[0] >= 1.5


def test_two_instances_know_nothing_of_each_other(mimo, opened):
    model, importer = mimo.model, opened("mimo", "model", 3)
    ours, theirs = beyond(model), beyond(model)[::-1]
    one, other, names = importer.make(), importer.make(), [s.name for s in model.outputs]
    found = []
    for a, b in zip(ours, theirs, strict=True):
        found.append((one.get(*names), other.get(*names)))
        one.step(u1=a[0], u2=a[1])
        other.step(u1=b[0], u2=b[1])
    one.raw.freeInstance()
    y = np.array(found)
    for j, u in enumerate((ours, theirs)):
        assert np.abs(y[:, j] - simulate(model.system, u).y).max() < ROUND_OFF


@pytest.mark.parametrize("version", [2, 3])
def test_a_saved_state_comes_back(siso, siso_controller, siso_controller_2, version):
    instance = (siso_controller if version == 3 else siso_controller_2).make()
    y, r = situation(siso.model, STEPS)

    def run(first, last):
        return [
            instance.step(**named(siso.model, y[k], r[k])).get("u1")[0] for k in range(first, last)
        ]

    run(0, 20)
    saved, t = instance.raw.getFMUState(), instance.t
    before = run(20, 60)
    instance.raw.setFMUState(saved)
    instance.t = t
    assert run(20, 60) == before
    instance.raw.freeFMUState(saved)


def test_reset_is_a_new_instance(siso_model):
    instance = siso_model.make()
    fresh = instance.get("y1")
    first = [instance.step(u1=3.0).get("y1") for _ in range(5)]
    instance.raw.reset()
    assert instance.get("y1", "u1") == [*fresh, 1.0]
    instance.begin(t=500.0)
    assert instance.get("time") == [500.0]
    assert [instance.step(u1=3.0).get("y1") for _ in range(5)] == first


@pytest.mark.parametrize(
    ("misuse", "words"),
    [
        (lambda it: it.raw.doStep(0.0, 5.0), "the step size 5 s is not the sampling time 10 s"),
        (
            lambda it: it.raw.doStep(0.0, float("nan")),
            "the step size nan s is not the sampling time 10 s",
        ),
        (lambda it: it.raw.doStep(20.0, TS), "a step from 20 s, but the instance is at 0 s"),
        (lambda it: it.raw.getFloat64([5]), "value reference 5 is no real variable"),
        (lambda it: it.raw.getUInt32([4]), "value reference 4 is no integer variable"),
        (
            lambda it: it.raw.setFloat64([3], [1.0]),
            "value reference 3 is no real variable that may be set now",
        ),
        (
            lambda it: it.raw.setFloat64([4], [1.0]),
            "value reference 4 is no real variable that may be set now",
        ),
        (
            lambda it: it.raw.setFloat64([0], [1.0]),
            "value reference 0 is no real variable that may be set now",
        ),
        (
            lambda it: it.raw.getFloat64([1], nValues=2),
            "every variable is a scalar: as many values as value references",
        ),
        (lambda it: it.raw.getBoolean([1]), "this unit has no variable of type Boolean"),
        (
            lambda it: it.raw.setInt32([5], [1]),
            "this unit has no variable of type Int32 that may be set",
        ),
        (lambda it: it.begin(), "initialization begins once; reset the instance first"),
        (lambda it: it.raw.enterEventMode(), "this unit has no fmi3EnterEventMode"),
        (lambda it: it.raw.setFMUState(None), "no saved state was given"),
        (
            lambda it: (it.raw.terminate(), it.step()),
            "a step outside of the simulation; initialize the instance first",
        ),
        (
            lambda it: (it.raw.reset(), it.raw.terminate()),
            "nothing is running that could be terminated",
        ),
        (
            lambda it: (it.raw.reset(), it.raw.exitInitializationMode()),
            "initialization ends before it began",
        ),
    ],
)
def test_misuse_is_told(siso_controller, misuse, words):
    instance = siso_controller.make()
    siso_controller.said.clear()
    with pytest.raises(FMICallException):
        misuse(instance)
    assert siso_controller.said == [words]


def test_a_refused_step_changes_nothing(siso_model):
    instance, other = siso_model.make(), siso_model.make()
    with pytest.raises(FMICallException):
        instance.raw.doStep(0.0, 9.9)
    assert instance.step(u1=3.0).get("y1") == other.step(u1=3.0).get("y1")


def test_rounded_communication_points_are_right(siso_model):
    instance = siso_model.make()
    for k in range(100):
        instance.raw.doStep(0.1 * (100 * k), 0.1 * (100 * (k + 1)) - 0.1 * (100 * k))
    assert np.isclose(instance.get("time")[0], 1000.0)


@pytest.mark.parametrize("version", [2, 3])
def test_another_units_token_is_refused(siso_controller, siso_controller_2, monkeypatch, version):
    importer = siso_controller if version == 3 else siso_controller_2
    importer.said.clear()
    monkeypatch.setattr(importer.description, "guid", "0" * 64)
    with pytest.raises(Exception, match="nstantiate"):
        importer.make()
    assert importer.said == (
        ["the token is not that of this unit, or memory has run out"] if version == 3 else []
    )


def test_version_2_refuses_too(siso_controller_2):
    instance = siso_controller_2.make()
    for misuse in (
        lambda: instance.raw.doStep(0.0, 5.0),
        lambda: instance.raw.getReal([9]),
        lambda: instance.raw.getBoolean([1]),
        lambda: instance.raw.setInteger([5], [1]),
        lambda: instance.raw.cancelStep(),
        lambda: instance.raw.serializeFMUState(instance.raw.getFMUState()),
    ):
        with pytest.raises(FMICallException):
            misuse()
    instance.raw.reset()
    assert instance.begin().step().t == TS
    instance.raw.terminate()
    instance.raw.freeInstance()


def test_the_library_shows_nothing_but_fmi(siso_model):
    (path,) = (path for path in (Path(siso_model.folder) / "binaries").rglob("*") if path.is_file())
    library = ctypes.CDLL(str(path))
    assert hasattr(library, "fmi3DoStep")
    assert not any(
        hasattr(library, name) for name in ("instance_step", "unit_step", "model_model_step")
    )


def test_the_sources_build_as_they_say(tmp_path):
    with zipfile.ZipFile(io.BytesIO(exported("siso")["model_controller.fmu"])) as archive:
        archive.extractall(tmp_path)
    build = ET.parse(tmp_path / "sources" / "buildDescription.xml").getroot()
    codes = [e.get("name") for e in build.iter("SourceFile")]
    macros = [f"-D{e.get('name')}={e.get('value')}" for e in build.iter("PreprocessorDefinition")]
    assert macros == ["-DMODEL_CONTROLLER_DOUBLE=1"]
    call = ["cc", "-std=c99", "-O0", "-fPIC", "-shared", *macros, "-o", "built", *codes, "-lm"]
    subprocess.run(call, cwd=tmp_path / "sources", check=True)
    assert hasattr(ctypes.CDLL(str(tmp_path / "sources" / "built")), "fmi3DoStep")


@pytest.mark.parametrize("version", [2, 3])
def test_the_same_unit_gives_the_same_bytes(siso, version):
    assert (
        fmu(model_unit(siso), version=version)
        == exported("siso")[f"model_model{'_fmi2' if version == 2 else ''}.fmu"]
    )


def test_the_token_follows_what_is_computed(siso, mimo):
    one = controller_unit(cleared("siso"))
    units = [
        one,
        replace(one, sources={**one.sources, f"{NAME}.c": one.sources[f"{NAME}.c"] + "\n"}),
        controller_unit(cleared("siso"), u_start=[0.5]),
        model_unit(siso),
    ]
    assert len({unit.token for unit in [*units, model_unit(mimo)]}) == 5


def test_it_says_what_is_claimed(siso):
    with zipfile.ZipFile(io.BytesIO(exported("siso")["model_controller.fmu"])) as archive:
        page = archive.read("documentation/index.html").decode()
    assert siso.model.digest in page
    assert "Let the controller make its step before the plant" in page
    text = "".join(
        ET.fromstring(page.split("\n", 1)[1].replace('<meta charset="utf-8">', "")).itertext()
    )
    for kind, sentence in siso.claims():
        assert f"{kind}: {sentence}" in text


@pytest.mark.skipif(not c_library(), reason="the C library of this machine is not told")
@pytest.mark.parametrize("version", [2, 3])
def test_the_small_compiler_makes_a_library_that_other_tools_load(
    siso, siso_model, monkeypatch, tmp_path, version
):
    """It names the C library that it needs, and answers as that of the machine's compiler."""
    monkeypatch.setenv("PATH", "")
    importer = Importer(fmu(model_unit(siso), version=version), tmp_path)
    u, output = beyond(siso.model, 40), siso.model.outputs[0].name
    answers = [
        [unit.step(**{siso.model.inputs[0].name: value}).get(output)[0] for value in u[:, 0]]
        for unit in (importer.make(), siso_model.make())
    ]
    assert np.allclose(*answers, rtol=ROUND_OFF, atol=ROUND_OFF)
    (library,) = (Path(importer.folder) / "binaries").rglob("*.so")
    needed = library.read_bytes()
    assert b"libm.so.6\0" in needed
    assert b"libc.so.6\0" in needed


@pytest.mark.parametrize("lacking", ["installed", "c_library"])
def test_no_compiler(siso, monkeypatch, lacking):
    """Neither that of the machine nor a small one that will do: said before any work."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(archive, lacking, lambda: ())
    heard = []
    sentence = "holds a compiled library for other tools, and there is no C compiler; install gcc"
    with pytest.raises(InputError, match=sentence):
        fmu(model_unit(siso))
    with pytest.raises(InputError, match=sentence):
        fmu_folder(cleared("siso"), on_progress=lambda *words: heard.append(words))
    assert not heard


def test_any_compiler_of_the_machine_will_do(siso, monkeypatch):
    """Not only the one that is called cc."""
    which = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, *a, **k: None if name == "cc" else which(name, *a, **k)
    )
    assert zipfile.is_zipfile(io.BytesIO(fmu(model_unit(siso))))


def test_code_that_does_not_compile(siso):
    unit = model_unit(siso)
    broken = replace(
        unit,
        sources={
            **unit.sources,
            "unit.c": unit.sources["unit.c"] + "int unused(int x) { int y; return x; }\n",
        },
    )
    with pytest.raises(
        InputError, match=r"cc cannot compile the library of [\s\S]*unused variable"
    ):
        fmu(broken)


def test_units_that_cannot_be(siso, monkeypatch):
    with pytest.raises(InputError, match="FMI version 2 or 3, got 1"):
        fmu(model_unit(siso), version=1)
    with pytest.raises(InputError, match=r"u_start needs 1 value\(s\), got 2"):
        controller_unit(cleared("siso"), u_start=[1.0, 2.0])
    with pytest.raises(InputError, match="start value of 'u1_start' must be finite, got nan"):
        controller_unit(cleared("siso"), u_start=[np.nan])
    with pytest.raises(InputError, match="two variables are called 'y1'; rename"):
        replace(model_unit(siso), inputs=(Port("y1", "V", "", 0.0),))
    with pytest.raises(InputError, match="two variables are called 'time'"):
        replace(model_unit(siso), inputs=(Port("time", "V", "", 0.0),))
    monkeypatch.setattr("platform.system", lambda: "Plan9")
    with pytest.raises(InputError, match="Linux, macOS and Windows, this is 'Plan9'"):
        fmu(model_unit(siso))


def test_start_values(siso):
    model = siso.model

    def starts(**changes):
        changed = cleared_of(released_of(replace(model, **changes)))
        return [port.start for port in controller_unit(changed).inputs]

    assert starts() == [model.scaling.y_mid[0]] * 2
    assert starts(outputs=(Signal("y1", "m", -1.0, 5.0),)) == [2.0] * 2
    assert starts(outputs=(Signal("y1", "m", -1.0, 5.0, 0.5),)) == [0.5] * 2
    assert [port.start for port in model_unit(siso).inputs] == [1.0]


def test_the_command_line_without_a_compiler(tmp_path, pytestconfig, capsys, monkeypatch):
    shutil.copy(pytestconfig.rootpath / "models" / "ph" / "design.toml", tmp_path)
    sealed(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(archive, "installed", lambda: False)
    assert main(["export", str(tmp_path), "--target", "fmu"]) == 2
    assert "and there is no C compiler; install gcc or clang" in capsys.readouterr().err
    assert not (tmp_path / "fmu").exists()
