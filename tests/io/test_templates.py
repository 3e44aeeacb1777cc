"""Templates: nothing undefined, nothing unescaped, the same bytes."""

import subprocess

import jinja2
import pytest

from lstm_mpc.io.templates import (
    WIDTH,
    c_string,
    comment,
    engine,
    folded,
    in_comment,
    language,
    markdown,
    number,
    render,
)


def filled(text, language, **words):
    return engine(language).from_string(text).render(words)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("a.c", "c"),
        ("b/a.ino", "c"),
        ("a.xml", "markup"),
        ("a.md", "markdown"),
        ("Makefile", "build"),
    ],
)
def test_the_language_is_told_by_the_end_of_the_file(file, expected):
    assert language(file) == expected


@pytest.mark.parametrize(("language", "text"), [("c", "@word@"), ("build", "{{ word }}")])
def test_c_and_build_files_take_plain_words_and_no_other_text(language, text):
    assert filled(text, language, word="ph_model-1.0") == "ph_model-1.0"
    assert filled(text, language, word=7) == "7"
    for word in ("a b", "*/", "$(shell x)", "a;b", "ü"):
        with pytest.raises(ValueError, match="through a filter of its language"):
            filled(text, language, word=word)


def test_an_undefined_word_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="name"):
        render("codegen", "model/model.c")
    assert "@" not in render("codegen", "model/model.c", name="x", start=[0.0])


def test_markup_is_escaped_by_itself():
    assert (
        filled("<a>{{ word }}</a>", "markup", word="<b>&\"'") == "<a>&lt;b&gt;&amp;&#34;&#39;</a>"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Σ|·| = 0.1 (ρ* = 1, N = 2)", "Σ|·| = 0.1 (ρ* = 1, N = 2)"),
        ("q_3 in [1, 2]", "q_3 in [1, 2]"),
        ("a *b* _c_ `d`", r"a \*b* \_c_ \`d\`"),
        ("[x](y) <b> &lt;", r"[x\](y) \<b> \&lt;"),
        ("# head", r"\# head"),
        ("- item", r"\- item"),
        ("-1 < 2 & 3", r"\-1 < 2 & 3"),
    ],
)
def test_markdown_shows_what_was_given(text, expected):
    assert markdown(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text: a/b, a*b", "plain text: a/b, a*b"),
        ("*/ x /*", "* / x / *"),
        ("/*/", "/ * /"),
        ("a ??/", "a ? ?/"),
        ("???/", "? ? ?/"),
        ("a \\", "a ∖"),
    ],
)
def test_a_comment_cannot_be_left(text, expected):
    assert in_comment(text) == expected
    assert in_comment(expected) == expected


def test_comments_and_macros_are_folded():
    lines = comment("word " * 60).split("\n")
    assert len(lines) > 2
    assert all(line.startswith(" * ") and len(line) <= WIDTH for line in lines)
    line = "#define X {" + ", ".join(map(str, range(60))) + "}"
    assert folded(line).replace(" \\\n ", "") == line
    assert all(len(part) <= WIDTH for part in folded(line).split("\n"))


def test_a_string_of_c_is_the_text(tmp_path):
    text = 'a "quote", a \\, ??/ °C %s\n\x01'
    program = (
        f"#include <stdio.h>\nint main(void) {{ return fputs({c_string(text)}, stdout) < 0; }}"
    )
    (tmp_path / "a.c").write_text(program)
    subprocess.run(["gcc", "-std=c99", "-trigraphs", "a.c"], cwd=tmp_path, check=True)
    out = subprocess.run([tmp_path / "a.out"], capture_output=True, check=True)
    assert out.stdout.decode() == text


def test_numbers_are_exact():
    assert float(number(0.1 + 0.2)) == 0.1 + 0.2
    assert [number(x) for x in (float("nan"), float("inf"), -float("inf"))] == [
        "NAN",
        "INFINITY",
        "-INFINITY",
    ]
