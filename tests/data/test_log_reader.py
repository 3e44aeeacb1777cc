"""Raw logs as historians and spreadsheets write them: delimiters, stamps, words for numbers, and
what cannot be read."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from lstm_mpc import DataError
from lstm_mpc.data.log_reader import read_raw
from lstm_mpc.data.logs.table import open_log, time_columns

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def write(folder, text, name="log.csv"):
    path = folder / name
    path.write_bytes(text.encode())
    return path


def table(stamps, *, sep=","):
    return (
        sep.join(["when", "q", "pH"])
        + "\n"
        + "\n".join(sep.join([s, str(k), f"7.{k}"]) for k, s in enumerate(stamps))
        + "\n"
    )


STAMPS = {
    "iso": [(START + timedelta(seconds=10 * k)).isoformat() for k in range(4)],
    "iso with Z": [f"2026-03-01T08:00:{10 * k:02d}Z" for k in range(4)],
    "iso without zone": [f"2026-03-01 08:00:{10 * k:02d}" for k in range(4)],
    "fractions": [f"2026-03-01 08:00:{10 * k:02d}.000" for k in range(4)],
    "day first with dots": [f"01.03.2026 08:00:{10 * k:02d}" for k in range(4)],
    "slashes, year first": [f"2026/03/01 08:00:{10 * k:02d}" for k in range(4)],
    "spreadsheet": [repr(46082.0 + 10 * k / 86400) for k in range(4)],
    "seconds": [str(10 * k) for k in range(4)],
    "seconds since 1970": [str(1772352000 + 10 * k) for k in range(4)],
}


@pytest.mark.parametrize("stamps", STAMPS.values(), ids=list(STAMPS))
def test_stamps_are_told_apart(tmp_path, stamps):
    raw = read_raw(write(tmp_path, table(stamps)), ["q", "pH"], time="when")
    np.testing.assert_allclose(raw.t, [0, 10, 20, 30], atol=2e-3)
    assert raw.values.tolist() == [[0, 7.0], [1, 7.1], [2, 7.2], [3, 7.3]]
    assert raw.rows.tolist() == [2, 3, 4, 5]


def test_a_pattern_reads_what_would_be_in_doubt(tmp_path):
    stamps = ["03/01/2026 08:00", "03/02/2026 08:01", "03/03/2026 09:00", "03/04/2026 08:00"]
    path = write(tmp_path, table(stamps))
    raw = read_raw(path, ["q"], time="when", time_format="%m/%d/%Y %H:%M")
    assert raw.t[:2].tolist() == [0, 86460]
    with pytest.raises(
        DataError, match=r"read as '%d/%m/%Y' and as '%m/%d/%Y', with different times; give time_f"
    ):
        read_raw(path, ["q"], time="when")


def test_numbers_that_look_like_days_are_seconds_where_they_have_no_fractions(tmp_path):
    raw = read_raw(
        write(tmp_path, table([str(40000 + 10 * k) for k in range(4)])), ["q"], time="when"
    )
    assert raw.stamps == "seconds"
    assert raw.t[-1] == 30


def test_a_zone_that_changes_with_summer_is_one_time(tmp_path):
    stamps = [
        "2026-10-25T02:50:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T02:10:00+01:00",
        "2026-10-25T02:20:00+01:00",
    ]
    assert read_raw(write(tmp_path, table(stamps)), ["q"], time="when").t.tolist() == [
        0,
        600,
        1200,
        1800,
    ]


@pytest.mark.parametrize("sep", [";", "\t"])
def test_delimiters_and_a_decimal_comma(tmp_path, sep):
    rows = "\n".join(sep.join([str(k), f"1{k},5", f"-7,{k}e0"]) for k in range(3))
    raw = read_raw(
        write(tmp_path, f"\ufeffwhen{sep}q{sep}pH\r\n{rows}\r\n\r\n"), ["pH", "q"], time="when"
    )
    assert raw.values.tolist() == [[-7.0, 10.5], [-7.1, 11.5], [-7.2, 12.5]]


def test_rows_without_stamps_lie_a_sampling_time_apart(tmp_path):
    path = write(tmp_path, "q,pH\n1,7\n2,8\n3,9\n")
    assert read_raw(path, ["q"], Ts=0.5).t.tolist() == [0, 0.5, 1.0]
    with pytest.raises(
        DataError,
        match=r"needs a column of time stamps \(its columns: q, pH\); name it",
    ):
        read_raw(path, ["q"])


def test_words_were_not_measured_and_are_counted(tmp_path):
    cells = ["1", "Bad", "3", "", "inf", "Bad", "7", *map(str, range(20))]
    path = write(
        tmp_path,
        "q\n"
        + "\n".join(f"{c}," if c == "" else c for c in cells).replace("\n,\n", '\n""\n')
        + "\n",
    )
    path.write_text("q,x\n" + "".join(f"{c},1\n" for c in cells))
    raw = read_raw(path, ["q"], Ts=1.0)
    assert np.isnan(raw.values[:, 0]).nonzero()[0].tolist() == [1, 3, 4, 5]
    assert raw.words == {"Bad": 2, "": 1}


def test_a_header_that_is_quoted_and_empty_rows(tmp_path):
    path = write(tmp_path, '"t, in s",q\n\n0,1\n,\n1,2\n')
    assert open_log(path).names == ("t, in s", "q")
    assert read_raw(path, ["q"], time="t, in s").values.ravel().tolist() == [1, 2]


def test_which_column_holds_dates(tmp_path):
    path = write(tmp_path, table(STAMPS["day first with dots"]))
    assert time_columns(open_log(path)) == ("when",)


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        ("", ["q"], "is empty; give a file with rows of data"),
        ("0,1\n2,3\n4,5\n", ["q"], r"has no column 'when' \(its columns: #1, #2\); give the name"),
        ("when,q\n", ["q"], "holds fewer than two rows of data"),
        ("when,q\n0,1\n", ["q"], "holds fewer than two rows of data"),
        (
            "when,q\n0,1\n1,2\n",
            ["pH"],
            r"row 1: has no column 'pH' \(its columns: when, q\); give the name as it stands there",
        ),
        (
            "when,q,q\n0,1,1\n1,2,2\n",
            ["q"],
            "row 1: has 2 columns for 'q': 'q' \\(#2\\), 'q' \\(#3\\)",
        ),
        (
            "when,q\n0,1\n1\n2,3\n",
            ["q"],
            "row 3: has 1 cells, the row of names has 2; complete or remove the row",
        ),
        ("when,q\n0,1\nlater,2\n", ["q"], "holds fewer than two rows of data"),
        (
            "when,q\n0,1\n2,2\n1,3\n",
            ["q"],
            (
                "row 4: time goes back by 1 s; sort the rows, split the file there, or write stamps"
                " in UTC"
            ),
        ),
        ("when,q\n0,a\n2,b\n3,c\n", ["q"], "column 'q' holds a number in 0 of 3 rows only"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, text, columns, words):
    with pytest.raises(DataError, match=rf"log.csv(, |: ){words}"):
        read_raw(write(tmp_path, text), columns, time="when")


def test_a_stamp_that_breaks_off_later_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("lstm_mpc.data.logs.columns._CHUNK", 2)
    with pytest.raises(
        DataError, match="row 5: the time stamp 'x' does not read as 'seconds' like those before"
    ):
        read_raw(write(tmp_path, "when,q\n0,1\n1,2\n2,3\nx,4\n4,5\n"), ["q"], time="when")


def test_chunks_make_no_difference(tmp_path, monkeypatch):
    path = write(tmp_path, table([str(k) for k in range(9)]))
    whole = read_raw(path, ["q", "pH"], time="when")
    monkeypatch.setattr("lstm_mpc.data.logs.columns._CHUNK", 2)
    parts = read_raw(path, ["q", "pH"], time="when")
    assert parts.values.tolist() == whole.values.tolist()
    assert parts.t.tolist() == whole.t.tolist()


def test_a_file_that_is_no_text_or_not_there(tmp_path):
    path = tmp_path / "log.csv"
    with pytest.raises(DataError, match="cannot be read"):
        open_log(path)
    path.write_bytes(bytes(range(128, 256)) * 40 + b"\x00\x01\x81")
    with pytest.raises(DataError, match="is not a text file"):
        open_log(path)


def test_a_file_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("lstm_mpc.data.logs.text_file.LIMIT", 2**30)
    path = tmp_path / "log.csv"
    with path.open("wb") as stream:
        stream.truncate(2**30 + 1)
    with pytest.raises(DataError, match="is larger than 1 GiB; split it into several files"):
        open_log(path)
