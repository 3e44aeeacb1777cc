"""Names, units and sentences that users give, checked at every border: one printable line of
limited length. What makes code or pages of them escapes them all the same, see `io.templates`."""

from __future__ import annotations

from lstm_mpc.errors import InputError

NAME, UNIT, SENTENCE = 80, 40, 1000  # letters at most
_FORMULA = "=+-@"  # a spreadsheet would take a header for a formula
_FILE = '/\\:*?"<>|'  # what some system does not allow in the name of a file


def checked_name(text: object, what: str) -> str:
    """The name of a signal, a model or a plant: `FIC-301.PV`, `Temp [°C], inlet`, `Area 1/TI-4`.

    InputError, which calls it `what`, for text that is no printable line of 1 to 80 characters, has
    blanks around it, or begins like the formula of a spreadsheet."""
    name = _line(text, what, NAME)
    if not name or name != name.strip():
        raise InputError(
            f"{what} {name!r} must have a character, and no blank around it; trim or write it"
        )
    if name[0] in _FORMULA:
        raise InputError(
            f"{what} {name!r} begins with {name[0]!r}, which spreadsheets take for a formula; begin"
            " it with a letter"
        )
    return name


def checked_file_name(text: object, what: str) -> str:
    """A name that becomes part of the name of a file: `checked_name`, and no /, \\, :, *, ?, ", <,
    >, | or `..` in it, nor a dot at its beginning."""
    name = checked_name(text, what)
    if name[0] == "." or ".." in name or any(letter in _FILE for letter in name):
        raise InputError(
            f"{what} {name!r} becomes the name of a file; write it without {' '.join(_FILE)} and .."
            " and with no dot first"
        )
    return name


def checked_unit(text: object, what: str) -> str:
    """A unit, which may be empty: one printable line of at most 40 characters."""
    return _line(text, f"the unit of {what}", UNIT)


def checked_sentence(text: object, what: str) -> str:
    """A sentence, such as the reason of a waiver: one printable line of at most 1000 characters."""
    return _line(text, what, SENTENCE)


def _line(text: object, what: str, longest: int) -> str:
    if not isinstance(text, str):
        raise InputError(f"{what} must be text, got {text!r:.60}")
    if len(text) > longest:
        raise InputError(f"{what} {text[:40]!r}… has {len(text)} characters; {longest} are allowed")
    if not text.isprintable():
        odd = next(letter for letter in text if not letter.isprintable())
        raise InputError(
            f"{what} {text!r:.100} holds {odd!a}, which cannot be printed; write one line of"
            " letters, digits, signs and blanks"
        )
    return str(text)
