"""What counts of a C text: everything that a compiler sees, and no comment."""

import random
import subprocess

import pytest
from c_tokens import tokens

from lstm_mpc.codegen.c_text import without_comments
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.control.problem import ControlProblem


@pytest.fixture(scope="module")
def sources(released):
    return ControllerSpec(released, ControlProblem(horizon=4)).sources


def test_comments_and_layout_do_not_count(sources):
    for name, text in sources.items():
        code = without_comments(text)
        assert len(code) < len(text), name
        assert "/*" not in code, name
        assert tokens(code) == tokens(text), name
        assert without_comments(code) == code, name
        other = text.replace("/*", "/* another word\n *").replace("\n", "\n\n").replace("  ", " ")
        assert other != text
        if "\\\n" not in text:
            assert without_comments(other) == code, name


def test_every_token_counts(sources):
    """Must fail: another digit, operator, string, macro or line of a directive."""
    text = "\n".join(sources.values())
    code, rng = without_comments(text), random.Random(0)
    inside = tokens(text)
    for _ in range(40):
        at = rng.randrange(len(code))
        other = code[:at] + rng.choice("+-*0;x\"'\\\n#") + code[at + 1 :]
        if tokens(other) != inside:
            assert without_comments(other) != code, code[at - 20 : at + 20]


TWINS = {  # pairs that a compiler tells apart
    "a string": ('char *s = "a  b";', 'char *s = "a b";'),
    "a comment in a string": ('char *s = "/* a */";', 'char *s = "/* b */";'),
    "a character": ("int q = '\"'; /* \" */ int z;", "int q = '\"'; /* \" */ int y;"),
    "an end of a comment": ("/* a */ int x; /* b */", "/* a int x; b */"),
    "a star, a joined line, a slash": ("/* *\\\n/ int x; /* */", "/* * / int x; /* */"),
    "a joined comment line": ("// a \\\nint x;\nint y;", "// a\nint x;\nint y;"),
    "a trigraph joins": ("// a ??/\nint x;\nint y;", "// b\nint x;\nint y;"),
    "a blank after the backslash": ("// a \\ \nint x;\nint y;", "// b\nint x;\nint y;"),
    "a directive": ("#define A \nint x;", "#define A int x;"),
    "a comment over a directive's line": ("#define A /*\n*/ 1\n", "#define A\n1\n"),
    "arguments of a macro": ("#define A(x) 1\n", "#define A (x) 1\n"),
    "a blank as text": ("#define S(x) #x\nS(a b)", "#define S(x) #x\nS(ab)"),
    "the number of a line": ("/*\n*/ int x = __LINE__;", "/**/ int x = __LINE__;"),
    "the number of a line, pasted": (
        "#define P(a, b) a##b\n/*\n*/ int x = P(__LI, NE__);",
        "#define P(a, b) a##b\n/**/ int x = P(__LI, NE__);",
    ),
    "the number of a line, joined": ("/*\n*/ int x = __LI\\\nNE__;", "int x = __LI\\\nNE__;"),
    "the name of a header": ("#include <a//b.h>\n", "#include <a//c.h>\n"),
    "another name of a header": ("#/**/include <a/*b*/c.h>\n", "#/**/include <a/*d*/c.h>\n"),
    "a name that is asked for": ("#if __has_include(<a//b>)\n", "#if __has_include(<a//c>)\n"),
    "another spelling of #": ("%:define A 1\n2", "%:define A 1 2\n"),
    "a quote that stays open": ("#error don't /* a\n#define A */ 1", "#error don't /* b\n1 */"),
    "a raw string": ('char *s = R"(" /* a */)";', 'char *s = R"(" /* b */)";'),
    "a return": ("// a\rint x;", "// b\rint x;"),
    "a comment without end": ("int x; /* a", "int x; /* b"),
    "two signs": ("a - -b;", "a--b;"),
    "a division": ("a / *b;", "a /*b;*/"),
}


@pytest.mark.parametrize(("one", "other"), TWINS.values(), ids=TWINS)
def test_what_a_compiler_tells_apart_counts(one, other):
    assert without_comments(one) != without_comments(other)


def test_a_comment_parts_two_words():
    assert without_comments("int/* a\nb */x ; // c\n\n  int y;") == "int x ; int y;"
    assert without_comments("#define A /* a\n */ 1 \\\n  + 2 // c\nint x;") == (
        "#define A 1 + 2\nint x;"
    )


def test_the_program_is_the_same_to_the_byte(sources, tmp_path):
    """The C that the digest is of compiles to the object that is exported."""
    objects = []
    for folder, made in (("as it is", str), ("bare", without_comments)):
        (place := tmp_path / folder).mkdir()
        for name, text in sources.items():
            (place / name).write_text(made(text))
        codes = [name for name in sources if name.endswith(".c")]
        subprocess.run(["gcc", "-std=c99", "-O1", "-c", *codes], cwd=place, check=True)
        objects.append([place.joinpath(f"{code[:-2]}.o").read_bytes() for code in codes])
    assert objects[0] == objects[1]
