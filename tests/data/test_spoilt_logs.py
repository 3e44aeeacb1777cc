"""Logs in the ways of the world, spoilt, against their truth: read rightly or refused. Some hundred
by default, ten thousand a reader with `python tests/support/spoilt_logs.py 10000`."""

import numpy as np
import pytest
from spoilt_logs import READERS, check, fuzz_logs, written

from lstm_mpc.data.log_reader import read_raw


@pytest.mark.parametrize("reader", READERS)
def test_no_spoilt_log_is_read_with_another_time_or_magnitude(reader, tmp_path):
    counts, failures = fuzz_logs(reader, 60, tmp_path, seed=1)
    assert not failures
    assert counts["read"] > 20
    assert counts["refused"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_of_many_none_is_read_wrongly(reader, tmp_path):
    assert not fuzz_logs(reader, 2000, tmp_path, seed=2)[1]


@pytest.mark.parametrize("what", ["t", "values"])
def test_the_fuzzer_finds_what_it_looks_for(what, tmp_path, monkeypatch):
    """A reader that is a thousand times off is caught."""
    path, log, _ = written(np.random.default_rng([1, 2, 0]), "xlsx", tmp_path)
    assert not check(path, log)

    def off(*args, **choice):
        result = read_raw(*args, **choice)
        object.__setattr__(result, what, getattr(result, what) * 1000)
        return result

    monkeypatch.setattr("spoilt_logs.read_raw", off)
    assert check(path, log)
