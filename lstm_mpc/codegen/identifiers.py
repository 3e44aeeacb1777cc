"""Names in exported C: identifiers made of names, and what a controller's files are called."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lstm_mpc.errors import InputError

LONGEST = 40  # letters of an identifier that is made of a name


def identifier(name: str) -> str:
    """A C identifier made of `name`: lower case, one _ for whatever C does not allow."""
    word = re.sub(r"[\W_]+", "_", name, flags=re.ASCII).strip("_").lower()[:LONGEST].rstrip("_")
    return word if word[:1].isalpha() else f"m_{word}" if word else "lstm"


def name_of(files: Mapping[str, str]) -> str:
    """The name that the files of a controller are called after: that of its one header."""
    headers = [file.removesuffix(".h") for file in files if file.endswith(".h")]
    if len(headers) != 1:
        raise InputError(
            f"the files of a controller need one header, got {', '.join(files) or 'no file'}"
        )
    return headers[0]


def constant(files: Mapping[str, str], word: str) -> int:
    """The whole number that the header of a controller's `files` defines as <NAME>_`word`."""
    name = name_of(files)
    line = re.search(rf"^#define {name.upper()}_{word} (\d+)$", files[f"{name}.h"], re.MULTILINE)
    if line is None:
        raise InputError(
            f"{name}.h does not define {name.upper()}_{word}; export the controller anew"
        )
    return int(line[1])
