import json
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lstm_mpc.assurance.loop_proof import LoopProof
from lstm_mpc.certificates.evidence import (
    Certificate,
    ErrorTube,
    Evidence,
    LoopVerification,
    Tube,
    Tubes,
    Validation,
    Verification,
)
from lstm_mpc.certificates.evidence.tubes import OfTubes
from lstm_mpc.certificates.gate import Release
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.io.artefact_file import Artefact
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import Array

KIND = "noun"
finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(values=st.lists(finite, max_size=20), depth=st.integers(-(2**63), 2**63))
def test_numbers_survive_bit_by_bit(tmp_path_factory, values, depth):
    path = tmp_path_factory.mktemp("store") / "a.json"
    artefact_file.write_json(
        path, KIND, {"v": np.array(values, dtype=float), "depth": depth, "s": "χ⁺ ≤ 1 µ"}
    )
    back = artefact_file.read_json(path, KIND)
    assert [v.hex() for v in back["v"]] == [float(v).hex() for v in values]
    assert (back["depth"], back["s"], set(back)) == (depth, "χ⁺ ≤ 1 µ", {"v", "depth", "s"})


def test_plain_turns_arrays_and_scalars_into_json_types():
    value = {1: (np.float64(0.5), np.int64(2), np.bool_(True)), "m": [np.eye(2)], "n": None}
    result = artefact_file.plain(value)
    assert result == {"1": [0.5, 2, True], "m": [[[1.0, 0.0], [0.0, 1.0]]], "n": None}
    assert [type(v) for v in result["1"]] == [float, int, bool]


def test_the_digest_sees_one_ulp_and_no_key_order():
    content = {"a": 0.1, "b": [1, 2]}
    assert artefact_file.digest(content) == artefact_file.digest(
        {"b": (1, 2), "a": np.float64(0.1)}
    )
    assert artefact_file.digest(content) != artefact_file.digest(
        {**content, "a": np.nextafter(0.1, 1)}
    )
    assert artefact_file.digest(content) != artefact_file.digest({**content, "b": [2, 1]})


@pytest.mark.parametrize("old", [None, "old"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, old):
    path = tmp_path / "a.txt"
    if old is not None:
        artefact_file.write_text(path, old)
    with pytest.raises(UnicodeEncodeError):
        # a lone surrogate: fails after the first bytes are out
        artefact_file.write_text(path, "x" * 1_000_000 + "\udc80")
    assert [p.name for p in tmp_path.iterdir()] == ([] if old is None else ["a.txt"])
    assert old is None or path.read_text() == old


def test_a_failed_rename_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    artefact_file.write_text(path, "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(artefact_file.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        artefact_file.write_text(path, "new")
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_write_text_makes_folders_and_a_readable_file(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    artefact_file.write_text(path, "1\n2\n")
    assert path.read_bytes() == b"1\n2\n"
    assert path.stat().st_mode & 0o777 == 0o644


def test_numbers_that_are_not_finite_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        artefact_file.write_json(tmp_path / "a.json", KIND, {"v": [np.inf]})
    assert not list(tmp_path.iterdir())


def _change(**changes):
    def change(text):
        return json.dumps({**json.loads(text), **changes})

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[: len(text) // 2], "is not JSON .*; make the noun again"),
        (lambda text: "[" * 100_000, "is not JSON"),
        (lambda text: "[1]", "holds 'list', not a 'noun'"),
        (_change(kind="verb"), "holds 'verb', not a 'noun'"),
        (lambda text: "{}", "holds None, not a 'noun'"),
        (
            _change(format=2),
            r"was written by a newer version .format 2, this one reads 1.; upgrade lstm_mpc",
        ),
        (_change(format=0), "has format 0, this version reads 1; make the noun again"),
        (_change(format=None), "has format None, this version reads 1; make the noun again"),
        (
            lambda text: text.replace("0.25", "0.26"),
            "was altered after it was written .*; make the noun again",
        ),
        (_change(more=1), "was altered"),
        (_change(digest=None), r"was altered after it was written \(digest None became"),
        (
            lambda text: text.replace("0.25", "NaN"),
            "holds numbers that are not finite; make the noun again",
        ),
        (lambda text: text.replace("0.25", "1e999"), "holds numbers that are not finite"),
        (lambda text: text.encode("utf-16").decode("latin-1"), "is not JSON"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_by_name(tmp_path, change, words):
    path = tmp_path / "a.json"
    artefact_file.write_json(path, KIND, {"v": 0.25})
    path.write_bytes(change(path.read_text()).encode("latin-1"))
    with pytest.raises(InputError, match=words) as error:
        artefact_file.read_json(path, KIND)
    assert str(path) in str(error.value)


def test_a_missing_or_oversized_file_is_refused_by_name(tmp_path, monkeypatch):
    with pytest.raises(
        InputError,
        match=r"gone.json: cannot be read .No such file.*; the noun is written by an earlier",
    ):
        artefact_file.read_json(tmp_path / "gone.json", KIND)
    artefact_file.write_json(tmp_path / "a.json", KIND, {})
    with pytest.raises(InputError, match=r"null: cannot be read .not a regular file."):
        artefact_file.read_json("/dev/null", KIND)
    monkeypatch.setattr(artefact_file, "_LIMIT", 10)
    with pytest.raises(
        InputError,
        match=r"a.json: cannot be read .larger than 9.53674e-06 MiB.; the noun is written",
    ):
        artefact_file.read_json(tmp_path / "a.json", KIND)


@dataclass(frozen=True)
class Point(artefact_file.Artefact):
    place: tuple[float, ...]
    name: str = "origin"
    size: float = field(init=False, default=0.0)

    kind = "lstm_mpc point"


@dataclass(frozen=True)
class Route(artefact_file.Artefact):
    stops: tuple[Point, ...]
    weights: Array
    goal: Point | None = None

    kind = "lstm_mpc route"


@pytest.mark.parametrize("goal", [None, Point((3.0,), "end")])
def test_artefacts_within_artefacts_come_back_as_they_were(tmp_path, goal):
    route = Route((Point((0.1, 0.2)), Point((0.3,))), np.array([[1.0, 2.0]]), goal)
    route.save(tmp_path / "route.json")
    back = Route.load(tmp_path / "route.json")
    assert (back.stops, back.goal, back.weights.tolist()) == (route.stops, goal, [[1.0, 2.0]])
    assert "size" not in route.content()["stops"][0]  # it follows from the others


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stops": [{"place": [0.1], "colour": "red"}]}, "unknown key 'colour' in 'stops'.0.;"),
        ({"stops": [{}]}, "'stops'.0. lacks 'place'"),
        ({"weights": [[1.0], [2.0, 3.0]]}, "'weights' is .*, not numbers of a regular shape"),
        ({"goal": {"place": "here"}}, "'place' of 'goal' is 'here', not a list of numbers"),
        ({"goal": 3}, "'goal' is 3, not a table or null"),
    ],
)
def test_a_field_that_does_not_fit_is_named_with_its_file(tmp_path, change, words):
    content = {**Route((), np.zeros((1, 1))).content(), **change}
    artefact_file.write_json(tmp_path / "route.json", Route.kind, content)
    sentence = rf"route.json: is not a usable route \(.*{words}.*\); make it again"
    with pytest.raises(InputError, match=sentence):
        Route.load(tmp_path / "route.json")


KINDS = (
    *(Model, Certificate, Verification, Tubes, Release),
    *(LoopVerification, Validation, ErrorTube, LoopProof),
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_old_key_of_an_artefact_is_refused_with_its_name_of_today(tmp_path, kind):
    today = "name" if kind is Model else "model"
    artefact_file.write_json(tmp_path / "old.json", kind.kind, {f"{today}s": "x"})
    sentence = (
        rf"old.json: is not a usable .* \(unknown key '{today}s' in it; did you mean '{today}'\?\);"
        " make it again"
    )
    with pytest.raises(InputError, match=sentence):
        kind.load(tmp_path / "old.json")


def test_those_are_all_kinds_of_artefacts_with_a_file_of_their_own():
    def leaves(kind):
        return {kind}.union(*map(leaves, kind.__subclasses__()))

    saved = {kind for kind in leaves(Artefact) if kind.__module__.startswith("lstm_mpc.")}
    parts = {Artefact, Evidence, OfTubes, Tube}  # what others are made of, or have within them
    assert saved - parts == set(KINDS)
