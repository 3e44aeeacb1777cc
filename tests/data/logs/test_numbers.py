"""Numbers in cells: marks of decimals and thousands, signs, units; what is in doubt is refused."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lstm_mpc import DataError
from lstm_mpc.data.log_reader import read_raw
from lstm_mpc.data.logs.numbers import Style, Tally, styles, values


@pytest.mark.parametrize(
    ("cell", "style", "number"),
    [
        ("1,234.5", Style(), 1234.5),
        ("1.234,5", Style("comma"), 1234.5),
        ("1.234.567", Style("comma"), 1234567.0),
        ("1'234.5", Style(), 1234.5),
        ("1\u202f234,5", Style("comma"), 1234.5),
        ("12 345", Style(), 12345.0),
        ("\u22125.5", Style(), -5.5),
        ("5,5-", Style("comma"), -5.5),
        ("-,5", Style("comma"), -0.5),
        ("1,5e3", Style("comma"), 1500.0),
        ("1107.1 kg/h", Style(unit="kg/h"), 1107.1),
        ("55%", Style(unit="%"), 55.0),
        ("Bad", Style(), None),
        ("1.2.3.4", Style(), None),
        ("(5.0)", Style(), None),
        ("<0.05", Style(), None),
    ],
)
def test_a_cell_in_its_style(cell, style, number):
    assert style.number(cell) == number


@pytest.mark.parametrize(
    ("cell", "style", "words"),
    [
        ("1,5", Style(), "no number with a decimal point"),
        ("1.5", Style("comma"), "no number with a decimal comma"),
        ("1.107.5", Style("comma"), "no number with a decimal comma"),
        ("5 t/h", Style(unit="kg/h"), "another unit than the 'kg/h' of the others"),
    ],
)
def test_a_cell_in_another_style_is_no_word(cell, style, words):
    with pytest.raises(ValueError, match=words):
        style.number(cell)


def style_of(cells, *others, delimiter=";", asked="auto"):
    tally, rest = Tally(), [Tally() for _ in others]
    tally.add(list(cells), range(2, 2 + len(cells)))
    for other, more in zip(rest, others, strict=True):
        other.add(list(more), range(len(more)))
    return styles(Path("log.csv"), {"P": tally}, rest, delimiter=delimiter, asked=asked)["P"]


@pytest.mark.parametrize(
    ("cells", "others", "delimiter", "decimal"),
    [
        (["1,025", "938"], [["29.71"]], ";", "point"),  # a comma beside points groups
        (["1.107", "997"], [["64,68"]], ";", "comma"),
        (["1.107", "997", "998", "999"], [], ";", "comma"),  # all on one scale
        (["74,400", "64,682"], [["29,710"]], ";", "comma"),  # all alike
        (["74.400", "64.682"], [], ",", "point"),
        (["0.997", "1.107"], [], ";", "point"),
        (["1013.250", "998.125"], [], ";", "point"),
        (["1,234.5", "12.5"], [], ";", "point"),
        (["1.234.567", "1.500"], [], ";", "comma"),
        (["99.345", "100", "100"], [["3.5"]], ",", "point"),  # stays at its end
        (["12.345", "0"], [["3.5"]], ",", "point"),
        (["5", "7"], [["64,68"]], ";", "comma"),
    ],
)
def test_marks_are_told_from_the_column_and_its_neighbours(cells, others, delimiter, decimal):
    assert style_of(cells, *others, delimiter=delimiter).decimal == decimal


@pytest.mark.parametrize(
    ("cells", "others", "words"),
    [
        (["1,107", "997"], [], "row 2: column 'P' has a comma before three digits"),
        (["1.107", "1.500"], [["45", "47"]], "has a point before three digits"),
        (["1.107", "0"], [["45"]], "has a point before three digits"),
        (["1,107", "997"], [["20,5"]], "has a comma before three digits"),
        (["1,107", "1107"], [], "has a comma before three digits"),
        (["1,107", "1.500"], [], "has a comma before three digits"),
        (["1,102.838", "949.493", "535,162"], [], "row 4: .* a comma before three digits"),
        (["1.5", "2,5"], [], "row 3: .* has a decimal point in row 2 and a decimal comma here"),
        (["5 kW", "900 W", "6 kW"], [], r"numbers with different units \('kW', 'W'\); convert"),
    ],
)
def test_doubt_is_refused(cells, others, words):
    with pytest.raises(DataError, match=words):
        style_of(cells, *others)


@pytest.mark.parametrize("mark", ["point", "comma"])
def test_what_is_asked_for_ends_the_doubt(mark):
    assert style_of(["1.107", "997"], asked=mark) == Style(mark, grouped=True)


def test_words_and_empty_cells_were_not_measured_and_words_are_marked():
    words = Counter()
    cells, rows = ["1,5", "", "Bad", "2,5", "inf"], np.arange(5.0)
    numbers, void = values(Path("a"), "P", cells, rows, Style("comma"), words)
    np.testing.assert_array_equal(numbers, [1.5, np.nan, np.nan, 2.5, np.nan])
    assert void.tolist() == [False, False, True, False, False]
    assert words == {"": 1, "Bad": 1}


def test_a_mark_that_is_told_late_is_read_anew(tmp_path, monkeypatch):
    """The first rows leave a doubt which a later one ends."""
    monkeypatch.setattr("lstm_mpc.data.logs.columns._CHUNK", 50)
    monkeypatch.setattr("lstm_mpc.data.logs.table._HEAD", 20)
    rows = [f"{10 * k};{900 + k};{1000 + k:,}" for k in range(200)]
    path = tmp_path / "log.csv"
    path.write_text("t;a;P\n" + "\n".join(rows).replace(",", ".") + "\n2000;1;1.200,5\n")
    raw = read_raw(path, ["P"], time="t")
    assert raw.values[:, 0].tolist() == [*range(1000, 1200), 1200.5]


@pytest.mark.parametrize("start", [1772925212, 20260304080000])
def test_stamps_without_marks_do_not_end_the_doubt(tmp_path, start):
    """A thousand without a mark in the stamps says nothing of the numbers beside them."""
    path = tmp_path / "log.csv"
    rows = [f'{start + k},{90 + k % 20},"{94 + k % 30},{312 + k}"' for k in range(50)]
    path.write_text("time,a,P\n" + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match="row 2: column 'P' has a comma before three digits"):
        read_raw(path, ["P"], time="time")
    assert read_raw(path, ["P"], time="time", decimal="point").values[0, 0] == 94312.0


def test_a_doubt_among_readings_names_the_tag(tmp_path):
    """Whole numbers of one tag beside a comma before three digits in another."""
    rows = [f"P|2026-03-04 08:{k:02d}:00|{k % 7}" for k in range(50)]
    rows += [f"TT|2026-03-04 08:{k:02d}:00|{6 + k % 3},{100 + k}" for k in range(50)]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["Tag|timestamp|Value", *rows]) + "\n")
    with pytest.raises(DataError, match="row 52: column 'TT' has a comma before three digits"):
        read_raw(path, ["P", "TT"], time="timestamp")
    assert read_raw(path, ["TT"], time="timestamp", decimal="comma").values[0, 0] == 6.1


def test_stamps_without_decimals_make_no_doubt(tmp_path):
    """Every number has three decimals, and the stamps count whole seconds."""
    path = tmp_path / "log.txt"
    rows = [f"{10 * k}\t{10 + k % 7}.{100 + k}\t{29 + k % 5}.{710 + k}" for k in range(150)]
    path.write_text("t\tP\tTT\n" + "\n".join(rows) + "\n")
    raw = read_raw(path, ["P", "TT"], time="t")
    assert raw.values[0].tolist() == [10.1, 29.71]
    assert any(note.startswith("P: every point is taken for a decimal one") for note in raw.notes)
