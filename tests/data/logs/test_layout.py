"""Where names, units and data stand in a log, and which column a name means."""

import pytest

from lstm_mpc import DataError
from lstm_mpc.data.log_reader import read_raw
from lstm_mpc.data.logs.layout import column, is_unit, plain, unit_of
from lstm_mpc.data.logs.readings import readings_of
from lstm_mpc.data.logs.table import open_log, time_columns
from lstm_mpc.data.logs.text_file import encoding_of

ROWS = [
    f"2026-03-04 08:{k // 6:02d}:{k % 6 * 10:02d},{50 + k / 8:.3f},{40 - k / 8:.3f}"
    for k in range(60)
]


def log(folder, *before, header="time,P,TT", below=(), rows=ROWS, name="log.csv"):
    path = folder / name
    path.write_text("\n".join([*before, header, *below, *rows]) + "\n", encoding="utf-8")
    return path


LOGGERS = {
    "plain": {},
    "key, value": {"before": ["Vendor,ACME", "Start,2026-03-04,08:00:00", ""]},
    "remarks": {"before": ["# exported", "# site: A, B"]},
    "units": {"below": [",%,degC"]},
    "units in brackets": {"below": ["[s],[%],[°C]"]},
    "Campbell": {
        "before": ['"TOA5","1000","CR3000"'],
        "below": ["TS,%,C", ",Smp,Avg"],
        "header": "TIMESTAMP,P,TT",
    },
    "title": {"before": ["Plot Title: 1"]},
    "index": {"header": ",P,TT"},
}


@pytest.mark.parametrize("kind", LOGGERS)
def test_names_and_data_are_found(tmp_path, kind):
    parts = dict(LOGGERS[kind])
    path = log(tmp_path, *parts.pop("before", []), **parts)
    table = open_log(path)
    raw = read_raw(table, ["P", "TT"], time=time_columns(table) or "#1")
    assert len(raw.t) == 60
    assert raw.t[-1] == 590
    assert raw.values[:, 0].tolist() == [round(50 + k / 8, 3) for k in range(60)]
    assert ("%" in table.units) == ("below" in LOGGERS[kind])


def test_an_instruction_of_a_spreadsheet_names_the_delimiter(tmp_path):
    rows = [row.replace(",", ";").replace(".", ",") for row in ROWS]
    path = log(tmp_path, "sep=;", header="time;P;TT", rows=rows)
    raw = read_raw(path, ["P"], time="time")
    assert raw.values[1, 0] == 50.125
    assert "numbers have a decimal comma" in raw.notes


def test_names_that_stand_again_are_left_out_and_said(tmp_path):
    path = log(
        tmp_path, "# a", below=[",%,C"], rows=[*ROWS[:30], "# a,,", "time,P,TT", ",%,C", *ROWS[30:]]
    )
    raw = read_raw(path, ["P"], time="time")
    assert len(raw.t) == 60
    assert "3 row(s) repeat the names or what stands around them: left out" in raw.notes
    path = log(tmp_path, rows=[*ROWS[:30], "time,P,TT", *ROWS[30:]], below=[",%,C"])
    raw = read_raw(path, ["P"], time="time")
    assert len(raw.t) == 60
    assert "1 row(s) repeat the names or what stands around them: left out" in raw.notes
    daily = ["Report of 5.3.2026", "time,P,TT", ",%,C"]
    path = log(
        tmp_path, "Report of 4.3.2026", below=[",%,C"], rows=[*ROWS[:30], *daily, *ROWS[30:]]
    )
    assert len(read_raw(path, ["P"], time="time").t) == 60
    path = log(tmp_path, rows=[*ROWS[:30], "when,p,tt", *ROWS[30:]])
    with pytest.raises(DataError, match="row 32: the time stamp 'when' does not read as 'iso'"):
        read_raw(path, ["P"], time="time")


SUMMARY = ["Mean,53.6,36.3", ",57.3,32.6", "Total,3220.1"]


def test_means_below_the_data_are_left_out_and_said(tmp_path):
    path = log(tmp_path, rows=[*ROWS, "2026-03-04 08:10:00,57", *SUMMARY])
    raw = read_raw(path, ["P"], time="time")
    assert len(raw.t) == 60
    assert "the last row is incomplete: left out" in raw.notes
    assert any(note.startswith("the last 3 row(s) have a word for a stamp") for note in raw.notes)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([*ROWS[:30], *SUMMARY[:1], *ROWS[30:]], "row 32: the time stamp 'Mean' does not read"),
        ([*ROWS[:30], *SUMMARY, *ROWS[30:]], "row 34: has 2 cells, the row of names has 3"),
        ([*ROWS, "2026-03-04 08:10:00,5", "2026-03-04 08:10:10,5"], "row 63: has 2 cells"),
        ([*ROWS, *SUMMARY[:2] * 11], "row 62: the time stamp 'Mean' does not read"),
    ],
)
def test_words_for_stamps_elsewhere_are_refused(tmp_path, rows, words):
    with pytest.raises(DataError, match=words):
        read_raw(log(tmp_path, rows=rows), ["P"], time="time")


def test_blanks_may_separate_the_cells(tmp_path):
    rows = [f"{10 * k:7d} {50 + k / 8:9.4f}  {-k:6d}" for k in range(60)]
    path = log(tmp_path, header="   time        P      TT", rows=rows)
    raw = read_raw(path, ["P", "TT"], time="time")
    assert raw.values.tolist() == [[50 + k / 8, -k] for k in range(60)]
    assert raw.t[-1] == 590
    rows = [f"{10 * k},1 {100 + k},2 {100 + k}" for k in range(60)]  # blanks between thousands
    raw = read_raw(log(tmp_path, rows=rows), ["P", "TT"], time="time")
    assert raw.values[0].tolist() == [1100.0, 2100.0]


def test_a_state_in_words_is_no_tag(tmp_path):
    rows = [f"{row.split(',')[0]},{('ON', 'OFF')[k // 5 % 2]},{k}" for k, row in enumerate(ROWS)]
    path = log(tmp_path, header="time,valve,TT", rows=rows)
    assert read_raw(path, ["TT"], time="time").values[:, 0].tolist() == list(range(60))
    words = "holds a number in 0 of 60 rows only \\(words: 'ON', 'OFF'\\); choose another column"
    with pytest.raises(DataError, match=words):
        read_raw(path, ["valve"], time="time")


def test_the_row_of_the_names_may_be_given(tmp_path):
    path = log(tmp_path, "a,b,c", header="time,P,TT")
    assert open_log(path).names == ("a", "b", "c")
    assert open_log(path, header_row=2).names == ("time", "P", "TT")
    with pytest.raises(DataError, match=r"has no row 99 among its first 62; give another"):
        open_log(path, header_row=99)


def test_without_names_columns_are_numbers(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("\n".join(ROWS) + "\n")
    table = open_log(path)
    assert table.names == ("#1", "#2", "#3")
    assert table.notes == ("has no line of names: its columns are #1 to #3",)
    assert read_raw(table, ["#2"], time="#1").values[0, 0] == 50.0


def test_the_last_row_may_be_cut_short_and_no_other(tmp_path):
    raw = read_raw(log(tmp_path, rows=[*ROWS, "2026-03-04 08:1"]), ["P"], time="time")
    assert len(raw.t) == 60
    assert "the last row is incomplete: left out" in raw.notes
    with pytest.raises(DataError, match="row 3: has 2 cells, the row of names has 3; complete or"):
        read_raw(log(tmp_path, rows=[ROWS[0], "2026,5", *ROWS[1:]]), ["P"], time="time")
    with pytest.raises(DataError, match="row 3: has 4 cells, the row of names has 3"):
        read_raw(log(tmp_path, rows=[ROWS[0], ROWS[1] + ",7", *ROWS[2:]]), ["P"], time="time")


def test_date_and_time_of_day_in_two_columns(tmp_path):
    rows = [row.replace(" ", ",") for row in ROWS]
    table = open_log(log(tmp_path, header="Date,Time,P,TT", rows=rows))
    assert time_columns(table) == ("Date", "Time")
    assert read_raw(table, ["P"], time=("Date", "Time")).t[-1] == 590
    rows[-1] = rows[-1].replace("03-04", "03-05")
    path = log(tmp_path, header="Date,Time,P,TT", rows=rows)
    with pytest.raises(DataError, match=r"about 30 rows share each time stamp; name the column"):
        read_raw(path, ["P"], time="Date")


def test_the_newest_row_may_stand_first(tmp_path):
    raw = read_raw(log(tmp_path, rows=ROWS[::-1]), ["P"], time="time")
    assert raw.values[:2, 0].tolist() == [50.0, 50.125]
    assert "the newest row stands first: read from the end" in raw.notes


def test_few_repeated_stamps_are_said(tmp_path):
    raw = read_raw(log(tmp_path, rows=[*ROWS[:9], ROWS[8], *ROWS[9:]]), ["P"], time="time")
    assert "1 row(s) have the stamp of the row before: their mean counts" in raw.notes


def test_rows_that_complete_each_other_are_one(tmp_path):
    rows = [f"{k},{k},\n{k},,{2 * k}" for k in range(30)]
    raw = read_raw(log(tmp_path, rows="\n".join(rows).split("\n")), ["P", "TT"], time="time")
    assert raw.values.tolist() == [[k, 2 * k] for k in range(30)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_encodings(tmp_path, encoding):
    path = tmp_path / "log.csv"
    text = "\n".join(["time,P [%],Temp [°C]", *ROWS]) + "\n"
    path.write_bytes(text.encode(encoding))
    raw = read_raw(path, ["P", "Temp"], time="time")
    assert open_log(path).units == ("", "%", "°C")
    words = {"utf-16": "UTF-16", "utf-16-le": "UTF-16", "cp1252": "Windows-1252"}
    assert (f"read as {words.get(encoding)}" in raw.notes) == (encoding in words)


def test_a_long_export_whose_only_foreign_sign_is_a_unit_is_western(tmp_path):
    """Must not be taken for another page of codes, in which the sign is a letter."""
    rows = ["Zeitstempel;Variable;Wert;Status"]
    for k in range(600):
        clock = f"13.03.2026 {9 + k // 360:02d}:{k // 6 % 60:02d}:{k % 6 * 10:02d}"
        rows += [
            f"{clock};FIC101.PV [kg/h];1.{k % 900 + 100},5;Gut",
            f"{clock};TI [°C];{k % 70},25;Gut",
        ]
    path = tmp_path / "log.csv"
    path.write_bytes("\r\n".join(rows).encode("cp1252"))
    assert encoding_of(path) == "cp1252"
    assert readings_of(open_log(path)).tags() == {"FIC101.PV [kg/h]": "kg/h", "TI [°C]": "°C"}
    path.write_bytes("Время;Расход\n1;2\n".encode("cp1251"))
    assert encoding_of(path) != "cp1252"


NAMES = ["Time", "Temp, °C (S/N: 1)", "Flow (kg/h)", "Level [m]", "FIC-1.PV", "P", "PT"]


@pytest.mark.parametrize(
    ("asked", "places"),
    [
        ("Temp, °C (S/N: 1)", [1]),
        ("Temp", [1]),
        ("flow", [2]),
        ("Level", [3]),
        ("level [m]", [3]),
        ("fic", [4]),
        ("P", [5]),
        ("p", [5]),
        ("#3", [2]),
        ("T", [0, 1]),
        ("#99", []),
        ("q", []),
    ],
)
def test_which_columns_a_name_may_mean(asked, places):
    assert column(NAMES, asked) == places


def test_units_in_names():
    assert [unit_of(name) for name in NAMES] == ["", "°C", "kg/h", "m", "", "", ""]
    assert [plain(name) for name in NAMES[:4]] == ["Time", "Temp", "Flow", "Level"]
    assert unit_of("T (measured)") == ""
    assert all(map(is_unit, ["%", "[°C]", "m³/h", "mg/m^3", "bar(g)", "1/min", "mS/cm"]))
    assert not any(map(is_unit, ["Smp", "time", "P", "measured", "12"]))
