"""Logs that are no CSV text: the same numbers from gzip, workbooks, Parquet and MATLAB files."""

import gzip
import io
import sys
import zipfile
from datetime import datetime, timedelta

import numpy as np
import pytest

from lstm_mpc import DataError
from lstm_mpc.data.log_reader import read_raw
from lstm_mpc.data.logs.table import open_log, time_columns

START = datetime(2026, 3, 4, 8)
STAMPS = [START + timedelta(seconds=10 * k) for k in range(40)]
VALUES = np.column_stack([np.arange(40) + 0.125, 1000.0 + 0.5 * np.arange(40)])


def gzipped(path):
    rows = [f"{t},{p},{q}" for t, (p, q) in zip(STAMPS, VALUES.tolist(), strict=True)]
    path.write_bytes(gzip.compress(("time,P,TT\n" + "\n".join(rows) + "\n").encode()))


def workbook(path):
    from openpyxl import Workbook

    book = Workbook()
    book.active.append(["only a title"])
    sheet = book.create_sheet()
    sheet.append(["time", "P", "TT", "note"])
    for t, row in zip(STAMPS, VALUES.tolist(), strict=True):
        sheet.append([t, *row])
    book.save(path)


def parquet(path):
    import pyarrow as pa
    from pyarrow.parquet import write_table

    write_table(pa.table({"time": STAMPS, "P": VALUES[:, 0], "TT": VALUES[:, 1]}), path)


def matlab(path):
    from scipy.io import savemat

    savemat(path, {"time": 10.0 * np.arange(40), "P": VALUES[:, 0], "TT": VALUES[:, 1], "n": 5})


WRITERS = {"log.csv.gz": gzipped, "log.xlsx": workbook, "log.parquet": parquet, "log.mat": matlab}


@pytest.mark.parametrize("name", WRITERS)
def test_every_container_gives_the_numbers(tmp_path, name):
    WRITERS[name](tmp_path / name)
    table = open_log(tmp_path / name)
    raw = read_raw(table, ["P", "TT"], time=time_columns(table))
    assert raw.t.tolist() == [10.0 * k for k in range(40)]
    np.testing.assert_array_equal(raw.values, VALUES)


def test_structures_and_matrices_of_matlab(tmp_path):
    from scipy.io import savemat

    savemat(tmp_path / "a.mat", {"log": {"t": np.arange(9.0), "X": VALUES[:9]}})
    table = open_log(tmp_path / "a.mat")
    assert table.names == ("log.t", "log.X(1)", "log.X(2)")
    assert (
        read_raw(table, ["log.X(2)"], time="log.t").values[:, 0].tolist() == VALUES[:9, 1].tolist()
    )


def archive(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name, data in members.items():
            packed.writestr(zipfile.ZipInfo(name), data)  # no time of day: it names a test
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.mat", b"\x89HDF\r\n\x1a\n", "is HDF5; in MATLAB save it with '-v7'"),
        ("a.mat", b"MATLAB 7.3 MAT-file", "is a MATLAB file of version 7.3; save it with '-v7'"),
        ("a.mat", b"MATLAB 5.0 MAT-file" + bytes(200), "is not a usable .mat file"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1", "is an old workbook; save it as .xlsx or CSV"),
        ("a.xlsx", b"PK\x03\x04broken", "is not a usable .xlsx file"),
        ("a.zip", archive(log=b"t,q\n"), "is an archive; unpack it, or give .xlsx, .csv or .csv"),
        ("a.parquet", b"PAR1xxxxPAR1", "is not a usable .parquet file"),
        ("a.csv.gz", b"\x1f\x8b\x08broken", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=words):
        open_log(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "package", "words"),
    [
        ("log.xlsx", "openpyxl", r"needs openpyxl to be read: pip install 'lstm_mpc\[excel\]'"),
        ("log.parquet", "pyarrow", r"needs pyarrow: pip install 'lstm_mpc\[parquet\]'"),
    ],
)
def test_a_package_that_is_not_there_is_named(tmp_path, monkeypatch, name, package, words):
    WRITERS[name](tmp_path / name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Exception, match=words):
        open_log(tmp_path / name)


def test_formulas_and_macros_are_not_run(tmp_path):
    """A formula without a stored value is an empty cell."""
    from openpyxl import Workbook

    book = Workbook()
    book.active.append(["time", "P"])
    for k in range(9):
        book.active.append([k, "=1+1" if k == 4 else float(k)])
    book.save(tmp_path / "a.xlsx")
    values = read_raw(tmp_path / "a.xlsx", ["P"], time="time").values[:, 0]
    assert np.isnan(values).nonzero()[0].tolist() == [4]


def test_the_sheet_with_a_table_is_read_and_said(tmp_path):
    from openpyxl import Workbook

    book = Workbook()
    for row in (["Customer", "ACME"], ["Date", "today"]):
        book.active.append(row)
    for title in ("Data", "More"):
        sheet = book.create_sheet(title)
        sheet.append(["time", "P", "TT"])
        for t, row in zip(STAMPS, VALUES.tolist(), strict=True):
            sheet.append([t, *row])
        book.save(tmp_path / f"{title}.xlsx")
    for title, note in {
        "Data": "sheet 'Data' is read, the only one with a table",
        "More": "sheet 'Data' is read, the first of 2 with a table ('Data', 'More'): save another"
        " as a file of its own",
    }.items():
        raw = read_raw(tmp_path / f"{title}.xlsx", ["P", "TT"], time="time")
        assert note in raw.notes
        assert np.array_equal(raw.values, VALUES)


def test_the_time_within_a_structure_is_found(tmp_path):
    from scipy.io import savemat

    path = tmp_path / "log.mat"
    content = {"time": 10.0 * np.arange(40), "u": VALUES[:, 0], "T": VALUES[:, 1]}
    savemat(path, {"data": content}, oned_as="column")
    assert time_columns(open_log(path)) == ("data.time",)
