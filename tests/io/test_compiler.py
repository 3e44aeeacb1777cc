"""C that is compiled where it is used: kept, made anew where it cannot be loaded, none without a
compiler."""

import stat

import pytest
from compiling import tool

from lstm_mpc.io import compiler
from lstm_mpc.io.compiler import shared_library

TEXT = "int seven(void) { return 7; }\n"


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(compiler, "user_cache_path", lambda _: tmp_path / "cache")
    shared_library.cache_clear()
    yield tmp_path / "cache"
    shared_library.cache_clear()


def test_it_is_compiled_once_and_kept_for_its_user_alone(cache, monkeypatch):
    tool("cc")
    assert shared_library(TEXT, (("-O1",),)).seven() == 7
    (kept,) = cache.iterdir()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    shared_library.cache_clear()
    monkeypatch.setattr(compiler, "COMPILERS", ())
    assert shared_library(TEXT, (("-O1",),)).seven() == 7
    assert shared_library(TEXT.replace("7", "8"), (("-O1",),)) is None  # another text
    assert list(cache.iterdir()) == [kept]


def test_flags_are_tried_one_set_after_the_other(cache):
    tool("cc")
    assert shared_library(TEXT, (("-fno-such-flag",), ("-O1",))).seven() == 7
    assert shared_library(TEXT, (("-fno-such-flag",),)) is None


def test_a_cache_that_is_spoilt_is_made_anew(cache, tmp_path, monkeypatch):
    tool("cc")
    shared_library(TEXT, (("-O1",),))
    (kept,) = cache.iterdir()
    spoilt = tmp_path / "spoilt" / kept.name  # another place: a loaded library stays loaded
    spoilt.parent.mkdir()
    spoilt.write_bytes(b"no library")
    monkeypatch.setattr(compiler, "user_cache_path", lambda _: spoilt.parent)
    shared_library.cache_clear()
    assert shared_library(TEXT, (("-O1",),)).seven() == 7
    assert spoilt.read_bytes() != b"no library"


def test_a_cache_that_cannot_be_written_is_passed_over(cache):
    tool("cc")
    cache.write_text("a file where the folder should be")
    assert shared_library(TEXT, (("-O1",),)).seven() == 7
