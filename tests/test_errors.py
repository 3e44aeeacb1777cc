import pytest

from lstm_mpc.errors import DataError, InputError, LstmMpcError, Refused, SolverError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x"), 2),
        (DataError("x", file="f"), 2),
        (Refused("x", ["y"]), 3),
        (SolverError("x"), 1),
    ],
)
def test_one_family_with_an_exit_code_each(error, code):
    assert isinstance(error, LstmMpcError)
    assert error.exit_code == code


def test_a_data_error_is_an_input_error_and_says_where():
    error = DataError("is odd", file="a.csv", row=7)
    assert isinstance(error, InputError)
    assert (str(error), error.file, error.row) == ("a.csv, row 7: is odd", "a.csv", 7)
    assert str(DataError("is odd", file="a.csv")) == "a.csv: is odd"


def test_a_refusal_lists_every_reason():
    error = Refused("release", ["too short", "too thin"])
    assert error.reasons == ("too short", "too thin")
    assert str(error) == "release refused: too short; too thin"


def test_what_a_file_brought_along_does_not_reach_the_terminal():
    hostile = "a\nb\x00\x1b[2J\u202e\ud7ffµ"
    assert str(InputError(hostile)) == r"a b\x00\x1b[2J\u202e\ud7ffµ"
    assert Refused("release", [hostile]).reasons == (r"a b\x00\x1b[2J\u202e\ud7ffµ",)
    assert str(InputError("x" * 9000)) == "x" * 2000 + " … " + "x" * 2000
