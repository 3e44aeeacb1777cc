"""C and other texts that are exported nearly as they lie in the folder `c/`: placeholders like
@name@ are filled in, all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import resources

from lstm_mpc.errors import InputError


def template(file: str, **words: str) -> str:
    """The text of `c/<file>` with @word@ replaced; ValueError when a placeholder is left."""
    text = (
        resources.files("lstm_mpc.codegen")
        .joinpath("c", *file.split("/"))
        .read_text(encoding="utf-8")
    )
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    left = re.search(r"@\w+@", text)
    if left:
        raise ValueError(f"{file}: {left[0]} is not filled in")
    return text


def named(file: str, name: str, **words: str) -> str:
    """`template` with `name` as @name@ and, in capitals, @NAME@."""
    return template(file, name=name, NAME=name.upper(), **words)


def claims_list(claims: Iterable[tuple[str, str]]) -> str:
    """What `Release.claims` says, as a list in Markdown."""
    return "\n".join(f"- *{kind}*: {sentence}" for kind, sentence in claims)


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
    found = re.search(rf"^#define {name.upper()}_{word} (\d+)$", files[f"{name}.h"], re.MULTILINE)
    if found is None:
        raise InputError(
            f"{name}.h does not define {name.upper()}_{word}; export the controller anew"
        )
    return int(found[1])
