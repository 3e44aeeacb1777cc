"""Names become no code: whatever a signal or a model is called, the C, the XML, the pages and the
terminal hold a name and nothing else, and no file lies outside its folder."""

import io
import random
import subprocess
import xml.etree.ElementTree as ET
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest
from builders import released_of, stable_model
from c_tokens import tokens
from compiling import BARE
from controllers import cleared_of
from hypothesis import assume, example, given, settings, strategies as st

from lstm_mpc.cli import console
from lstm_mpc.codegen.c_model import KIND, c_model
from lstm_mpc.codegen.identifiers import identifier
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.data.csv_file import read_csv, write_csv
from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.errors import InputError
from lstm_mpc.export.fmu import description
from lstm_mpc.export.fmu.archive import fmu_folder
from lstm_mpc.export.fmu.unit import Port, Unit, controller_unit
from lstm_mpc.export.onnx_model import onnx_model
from lstm_mpc.export.simulink_arduino import arduino_folder, simulink_folder
from lstm_mpc.io.export_folder import write_folder
from lstm_mpc.io.templates import language, render
from lstm_mpc.plants.names import checked_file_name, checked_name
from lstm_mpc.plants.system import Signal
from lstm_mpc.report.blocks import Table
from lstm_mpc.report.page import environment

WORST = (
    "*/ int injected(void) { return 1; } /*",
    r"a /\* b *\ c \\",
    "a ??/",
    '"; #include <injected> //',
    "a @in@ {{ 7 * 7 }} {% raw %}",
    "]]><script>injected()</script>&amp;'\"",
    "`a` | **b** | [c](d)",
    "Temp [°C], inlet",
    "FIC-301.PV",
    "../../etc/passwd",
    "$HOME $(injected) %s %n",
)
PIECES = (
    *("*/", "/*", "//", "\\", "??/", "?", "\\\n", "@in@", "{{ x }}", "{% x %}", "{#", "`", "|"),
    *("<script>", "</a>", "<!--", "]]>", "&lt;", '"', "'", "%s", "$x$", "..", "/", "#", ";", "*"),
    *("\n", "\r", "\x1b[31m", "\x00", "\x9b1m", "\u202e", "\u2028", "\ufeff", "°", "ü", "🌡", "__"),
    *(" ", "a", "B", "7", "-", "=", "+", "_", "int injected;", "[x]", ","),
)
names = st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("".join)
many = settings(max_examples=60, deadline=None, derandomize=True)  # 1000 in the slow campaign


def accepted(name):
    """Whether it is a name; what is none is refused in a sentence that a terminal may show."""
    try:
        checked_name(name, "signal")
    except InputError as error:
        sentence = str(error)
    else:
        return True
    assert sentence.isprintable()
    return False


@many
@given(names)
def test_a_name_is_one_printable_line(name):
    fine = name.isprintable() and name == name.strip() and 0 < len(name) <= 80
    fine = fine and name[0] not in "=+-@"
    assert accepted(name) == fine
    for noun in (
        lambda: Signal(name, "-"),
        lambda: Record(name, np.zeros((2, 1)), np.zeros((2, 1))),
        lambda: replace(MODEL, name=name),
    ):
        if fine:
            noun()
        else:
            with pytest.raises(InputError):
                noun()
    if not name.isprintable():
        with pytest.raises(InputError, match="cannot be printed"):
            replace(MODEL.system, name=name)


MODEL = stable_model(1)


def called(name):
    """The model with this name for its signals, and for itself."""
    inputs = tuple(replace(s, name=name, unit=name[:40]) for s in MODEL.inputs)
    outputs = tuple(replace(s, name=f"of {name[:70].strip()}", unit="°C") for s in MODEL.outputs)
    return replace(MODEL, inputs=inputs, outputs=outputs)


def texts_of(model, claims=()):
    """The files of every target that hold names, file -> text."""
    labels = {
        "measurements": [s.label for s in model.outputs],
        "inputs": [s.label for s in model.inputs],
    }
    words = {"name": "plain", "model": model, "claims": claims, "Ts": 1.0, "statuses": []}
    words |= {"sizes": {}, "tables": {}, "floors": {}, "sources": "a.c", "meanings": []}
    words |= {"start": [0.0], "setpoint": [0.0], "steps": 3, "known": [], **labels}
    return {
        file: render(*file.split("/", 1), **words, **BARE)
        for file in (
            "codegen/model/model.h",
            "codegen/controller/controller.h",
            "export/simulink/sfun.c",
            "export/arduino/loop.ino",
            "codegen/model/README.md",
            "export/arduino/README.md",
        )
    }


def compiled(text):
    """Its tokens but for the digest of the model, which holds its names."""
    return ["digest" if len(token) == 66 else token for token in tokens(text)]


@cache
def plain_tokens():
    return {file: compiled(text) for file, text in texts_of(called("plain")).items()}


@many
@given(names)
@example("*/ int injected; /*")
@example("a /\\")
@example("a ??/")
def test_c_holds_the_tokens_of_a_plain_name(name):
    assume(accepted(name))
    claims = [("waived", f"fit: 3 % — waived: {name}")]
    for file, text in texts_of(called(name), claims).items():
        if language(file) == "c":
            assert compiled(text) == plain_tokens()[file], file
        assert all(line.isprintable() for line in text.split("\n")), file


def test_the_tokens_see_what_is_injected():
    """Must fail: the same templates without escaping."""
    for name in ("*/ int injected; /*", "a \\", "a ??/"):
        plain, raw = (f"/* {n}\n*/ int x; /* b */\n" for n in ("plain", name))
        assert name == "a \\" or name == "a ??/" or tokens(raw) != tokens(plain)
    assert tokens("/* a ?\\\n?/ */ x") == ["x"]
    assert tokens("/* *\\\n/ int y;") == tokens("int y;")  # a star, a joined line, a slash: the end
    assert tokens("// a ??/\nint z;") == []


def unit_of(name):
    ports = [(Port(f"{name}{j}", name[:40], name, 0.5),) for j in range(3)]
    return Unit(
        name="plain",
        Ts=1.0,
        inputs=ports[0],
        outputs=ports[1],
        parameters=ports[2],
        codes={1: name},
        digest="0" * 64,
        description=name,
        notes=(name,),
        claims=(("proved", name),),
        sources={"a.c": "", "unit_memory.h": ""},
    )


def shape(element):
    return element.tag, sorted(element.attrib), [shape(child) for child in element]


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, sorted(name for name, _ in attrs)))

    def handle_data(self, data):
        self.words.append(data)


def shape_of(unit, version):
    return shape(ET.fromstring(description.model_description(unit, version)))


@cache
def plain_shapes():
    """Of the XML of both versions and of the page of a unit with a plain name."""
    unit = unit_of("plain")
    page = Tags(description.documentation(unit)).tags
    return {2: shape_of(unit, 2), 3: shape_of(unit, 3), "page": page}


@many
@given(names)
def test_xml_and_html_hold_the_name_and_nothing_else(name):
    assume(accepted(name))
    unit = unit_of(name)
    for version in (2, 3):
        root = ET.fromstring(description.model_description(unit, version))
        assert shape(root) == plain_shapes()[version]
        assert {f"{name}{j}" for j in range(3)} <= {e.get("name") for e in root.iter()}
        assert root.get("description") == name
    page = Tags(description.documentation(unit))
    assert page.tags == plain_shapes()["page"]
    assert f"{name}0" in page.words
    blocks = (
        environment([], lambda share, title: None)
        .get_template("report/templates/blocks.html")
        .module
    )
    table, other = (Table(n, (n, n), ((n, n),)) for n in (name, "plain"))
    shown = Tags(str(blocks.table(table)))
    assert shown.tags == Tags(str(blocks.table(other))).tags


@many
@given(names)
def test_csv_gives_the_name_back(tmp_path_factory, name):
    assume(accepted(name))
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    inputs, outputs = (Signal(name, name[:40].strip()),), (Signal("y of it", "°C"),)
    record = Record("one", np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]]))
    assume(inputs[0].label not in ("t [s]", "record"))
    write_csv(path, Dataset(inputs, outputs, 1.0, (record,)))
    back = read_csv(path, inputs, outputs)
    np.testing.assert_array_equal(back.records[0].u, record.u)


@many
@given(names)
def test_a_terminal_gets_nothing_raw(name):
    out = io.StringIO()
    with redirect_stdout(out):
        console.show([f"the signal {name}", name])
        console.show_json({"name": name})
    assert all(line.isprintable() for line in out.getvalue().split("\n"))


@many
@given(names)
def test_an_identifier_is_one(name):
    word = identifier(name)
    assert word.isidentifier()
    assert word.isascii()
    assert "__" not in word  # CasADi's names have none, and C keeps them for itself
    assert len(word) <= 42


@pytest.mark.slow
@pytest.mark.parametrize(
    "holds",
    [
        test_a_name_is_one_printable_line,
        test_c_holds_the_tokens_of_a_plain_name,
        test_xml_and_html_hold_the_name_and_nothing_else,
        test_a_terminal_gets_nothing_raw,
        test_an_identifier_is_one,
    ],
    ids=lambda holds: holds.__name__.removeprefix("test_"),
)
def test_a_thousand_names(holds):
    settings(many, max_examples=1000)(given(names)(holds.hypothesis.inner_test))()


@pytest.mark.parametrize("name", ["..", "a/b", "a\\b", "c:", ".a", "a..b", 'a"', "a|b", "", " a"])
def test_what_becomes_a_file_name_is_one(name):
    with pytest.raises(InputError, match="scenario"):
        Scenario(name, ((0.0, 1.0),), 10.0)
    with pytest.raises(InputError):
        checked_file_name(name, "scenario")
    assert checked_file_name("probe 30 s, valve_lag", "scenario")


def compiles(folder, *files):
    command = ["gcc", "-std=c99", "-trigraphs", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    out = subprocess.run([*command, *files], cwd=folder, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr[:1000]


@pytest.mark.parametrize(
    "name", [*WORST[:4], *(pytest.param(name, marks=pytest.mark.slow) for name in WORST[4:])]
)
def test_the_worst_names_through_every_target(tmp_path, name):
    model = replace(called(name), name=name)
    passed = released_of(model)
    cleared = cleared_of(passed)
    targets = {
        "model": c_model(passed),
        "controller": dict(cleared.spec.sources),
        "onnx": onnx_model(passed),
        "fmu": fmu_folder(cleared),
        "simulink": simulink_folder(cleared),
        "arduino": arduino_folder(cleared),
    }
    for target, files in targets.items():
        write_folder(tmp_path / "out" / target, files, kind=KIND)
        assert not any(".." in file or "\\" in file for file in files)
    compiles(tmp_path / "out" / "controller", *(f for f in targets["controller"] if f[-1] == "c"))
    subprocess.run(["make", "-s", "test"], cwd=tmp_path / "out" / "model", check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(targets)


def targets_of(name):
    """Every file that every target writes of a model with this name for its signals, before a
    compiler makes the library of the FMU."""
    passed = released_of(replace(called(name), name="plain"))
    cleared = cleared_of(passed)
    unit = controller_unit(cleared)
    xml = {f"{v}.xml": description.model_description(unit, v) for v in (2, 3)}
    made = {"model": c_model(passed), "controller": dict(cleared.spec.sources)}
    made |= {"onnx": onnx_model(passed), "simulink": simulink_folder(cleared)}
    made |= {"arduino": arduino_folder(cleared), "fmu": {**unit.sources, **xml}}
    files = ((f"{target}/{file}", text) for target in made for file, text in made[target].items())
    return dict(files)


def seen(file, text):
    """What a compiler makes of a C file; of others, that every line can be printed."""
    if file.endswith(".xml"):
        return shape(ET.fromstring(text))
    if isinstance(text, bytes):
        return "bytes"
    if file.endswith((".c", ".h", ".ino")):
        return compiled(text)
    return all(line.isprintable() or "\t" in line for line in text.split("\n"))


@pytest.mark.parametrize("count", [1, pytest.param(1000, marks=pytest.mark.slow, id="campaign")])
def test_hostile_names_through_every_target_inject_nothing(count):
    rng = random.Random(0)
    plain = {file: seen(file, text) for file, text in targets_of("plain").items()}
    for _ in range(count):
        name = ""
        while not accepted(name):
            name = "".join(rng.choices(PIECES, k=rng.randint(1, 8)))
        made = {file: seen(file, text) for file, text in targets_of(name).items()}
        assert made.keys() == plain.keys()
        assert [file for file in made if made[file] != plain[file]] == [], name
