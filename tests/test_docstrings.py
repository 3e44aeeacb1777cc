"""Every name of the face and of the rooms says what it takes, gives and refuses."""

import ast
import dataclasses
import enum
import inspect
import re
import textwrap
from importlib import import_module
from pkgutil import iter_modules

import pytest

import lstm_mpc
from lstm_mpc import errors
from lstm_mpc.errors import InputError

ROOMS = [import_module(f"lstm_mpc.{m.name}") for m in iter_modules(lstm_mpc.__path__) if m.ispkg]
PUBLIC = {
    f"{place.__name__}.{name}".removeprefix("lstm_mpc."): getattr(place, name)
    for place in (lstm_mpc, *ROOMS)
    for name in place.__all__
}
ERRORS = {name for name, value in vars(errors).items() if inspect.isclass(value)}
CLASSES = {name: value for name, value in PUBLIC.items() if inspect.isclass(value)}
SECTION = re.compile(r"^(Args|Returns|Raises|Attributes):$", re.MULTILINE)


def methods(cls):
    """The public methods with arguments that the package wrote for a class or its bases."""
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] != lstm_mpc.__name__:
            continue
        for name, value in vars(base).items():
            function = getattr(value, "__func__", value)
            if inspect.isfunction(function) and not name.startswith("_") and arguments(function):
                yield name


def arguments(function):
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


HELD = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)} | {
    f"{name}.{method}": inspect.getattr_static(cls, method)
    for name, cls in CLASSES.items()
    for method in methods(cls)
}
HELD = {name: getattr(value, "__func__", value) for name, value in HELD.items()}


def sections(text):
    """The text of each section, by its heading; "" is what stands before the first."""
    first, *rest = SECTION.split(text)
    return {"": first} | dict(zip(rest[::2], rest[1::2], strict=True))


def entries(section):
    """The names that a section explains: `name: text`, indented by one level."""
    return set(re.findall(r"^ {4}(\w+): \S", section, re.MULTILINE))


def raised(function):
    """The package's errors that the body of a function raises itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    names = {ast.unparse(getattr(call, "func", call)).split(".")[-1] for call in calls if call}
    return names & ERRORS


def first_line_lacks(text):
    line = text.partition("\n")[0]
    return [] if len(line) <= 80 and line.endswith((".", ":")) else ["first line"]


def lacks(function):
    """What the docstring of a function leaves out."""
    parts = sections(text := inspect.getdoc(function) or "")
    lacking = first_line_lacks(text)
    lacking += [a for a in arguments(function) if a not in entries(parts.get("Args", ""))]
    returns = inspect.signature(function).return_annotation
    if returns not in (None, "None") and not parts.get("Returns", "").strip():
        lacking.append("Returns")
    return lacking + sorted(raised(function) - entries(parts.get("Raises", "")))


def noun_lacks(cls):
    """What the docstrings of a class and its bases leave out of that of which it is made."""
    texts = [inspect.cleandoc(base.__doc__ or "") for base in cls.__mro__[:-1]]
    # errors, enumerations and protocols are made by nobody
    if issubclass(cls, (Exception, enum.Enum)) or getattr(cls, "_is_protocol", False):
        return first_line_lacks(texts[0])
    explained = {
        name
        for text in texts
        for name in [
            *re.findall(r"`(\w+)`", text),
            *entries(sections(text).get("Args", "")),
            *entries(sections(text).get("Attributes", "")),
        ]
    }
    if dataclasses.is_dataclass(cls):
        parts = [field.name for field in dataclasses.fields(cls) if not field.name.startswith("_")]
    else:
        parts = arguments(cls)
    return first_line_lacks(texts[0]) + [name for name in parts if name not in explained]


@pytest.mark.parametrize("name", HELD)
def test_functions_and_methods_explain_arguments_result_and_errors(name):
    assert lacks(HELD[name]) == []


@pytest.mark.parametrize("name", CLASSES)
def test_classes_explain_what_they_are_made_of(name):
    assert noun_lacks(CLASSES[name]) == []


# -- the checks can fail ---------------------------------------------------------------------------


def complete(a: int, *, b: float = 0.0) -> float:
    """Add two numbers.

    Args:
        a: The first.
        b: The second.

    Returns:
        Their sum.

    Raises:
        InputError: The first is negative.
    """
    if a < 0:
        raise InputError(f"a = {a} must not be negative")
    return a + b


@pytest.mark.parametrize(
    ("text", "without", "lacking"),
    [
        ("Add two numbers.", "Add two numbers", "first line"),
        ("Add two numbers.", "Add two numbers" * 6 + ".", "first line"),
        ("    a: The first.\n", "", "a"),
        ("    b: The second.", "    b:", "b"),
        ("Args:", "Arguments:", "a"),
        ("Returns:\n    Their sum.\n", "", "Returns"),
        ("    Their sum.\n", "", "Returns"),
        ("InputError: The", "ValueError: The", "InputError"),
    ],
)
def test_what_a_function_leaves_out_is_named(monkeypatch, text, without, lacking):
    assert lacks(complete) == []
    whole = inspect.getdoc(complete)
    assert text in whole
    monkeypatch.setattr(complete, "__doc__", whole.replace(text, without))
    assert lacking in lacks(complete)


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two numbers: `a` and another."""

    a: int
    b: int


def test_what_a_noun_leaves_out_is_named():
    assert noun_lacks(Pair) == ["b"]
