"""The documentation is true: its blocks run and print what is shown, its links lead somewhere, its
numbers are those of the artefacts."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec, module_from_spec, spec_from_file_location

import pytest
from compiling import lacking
from documents import PAGES, ROOT, Session, answer_from_artefacts, blocks_of, check_toml, matches

import lstm_mpc
from lstm_mpc import plots
from lstm_mpc.assurance.mpc import ENGINES
from lstm_mpc.cli import command_line, commands
from lstm_mpc.cli.words import NOT_HELD
from lstm_mpc.errors import InputError, LstmMpcError, Refused
from lstm_mpc.io.artefact_file import read_json
from lstm_mpc.io.targets import targets
from lstm_mpc.model.model import Model
from lstm_mpc.plots import style
from lstm_mpc.project import artefacts, design_tables
from lstm_mpc.project.operation.options import wiring_of

TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
BLOCKS = {name: blocks_of(text) for name, text in TEXTS.items()}
README = TEXTS["README.md"]
# Every block that no test runs, by its page and first line.
NOT_RUN = {
    ("README.md", "pip install . && lstm-mpc run models/ph"),
    ("README.md", "lstm-mpc new my_design --data log.csv --input q3:mL/s:12.5:17 --output pH"),
    ("docs/tutorial-ph.md", "pip install ."),
    ("docs/gate.md", "openssl genpkey -algorithm ed25519 -out key.pem"),
    ("docs/operate.md", "pip install '.[operate]'"),
    ("docs/operate.md", "lstm-mpc history models/ph --csv history.csv"),
    ("docs/operate.md", "lstm-mpc tune models/ph"),
    (
        "docs/operate.md",
        "openssl req -x509 -newkey rsa:2048 -nodes -days 365 -keyout client.pem -outform der -out"
        " client.der -subj /CN=lstm-mpc -addext subjectAltName=URI:urn:lstm-mpc:client",
    ),
    ("docs/scaling.md", "pip install 'lstm_mpc[cluster]'"),
    ("docs/tutorial-foreign.md", "import numpy as np"),  # where torch is not installed
}


def long(block):
    return block.mark.startswith(("slow", "shipped"))


@pytest.fixture(scope="module")
def hook():
    spec = spec_from_file_location("site_hook", ROOT / "docs" / "site_hook.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- blocks ----------------------------------------------------------------------------------------


@pytest.fixture
def session(tmp_path, monkeypatch):
    """A folder for a page; progress and figures are not part of what pages show."""
    monkeypatch.chdir(tmp_path)
    console = command_line.Console
    monkeypatch.setattr(command_line, "Console", lambda quiet: console(True))
    for place in (plots, style):  # the room first, or it would keep what it finds in its file
        monkeypatch.setattr(place, "save", lambda *_: [])
    return Session(tmp_path)


@pytest.mark.parametrize(
    "page", [name for name, blocks in BLOCKS.items() if any(b.runs and not long(b) for b in blocks)]
)
def test_what_a_page_shows_is_what_happens(page, session):
    for block in BLOCKS[page]:
        if block.runs and not long(block):
            session.run(block)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [name for name, blocks in BLOCKS.items() if any(b.runs and long(b) for b in blocks)]
)
def test_what_takes_longer_as_well(page, session, monkeypatch):
    for block in filter(lambda block: block.runs, BLOCKS[page]):
        with monkeypatch.context() as patched:
            if block.mark.startswith("shipped"):
                answer_from_artefacts(patched)
            session.run(block)


def test_no_block_escapes():
    """What is neither run nor read is listed above, and nothing hides in an indented block."""
    kept = {
        (page, b.text.partition("\n")[0].removeprefix("$ ").partition("  ")[0])
        for page, blocks in BLOCKS.items()
        for b in blocks
        if b.mark.startswith(("not run", "needs"))
    }
    assert kept == NOT_RUN
    for page, blocks in BLOCKS.items():
        assert {b.language for b in blocks} <= {"python", "console", "toml", "bibtex"}, page
        assert len(re.findall(r"(?m)^```", TEXTS[page])) == 2 * (
            len(blocks) + sum(b.printed is not None for b in blocks)
        ), page
        plain = re.sub(r"(?ms)^```.*?^```", "", TEXTS[page])
        assert not re.search(r"\n\n {4}\S", plain), page


@pytest.mark.parametrize(
    ("page", "block"),
    [
        (p, b)
        for p, bs in BLOCKS.items()
        for b in bs
        if b.language == "toml" and p != "docs/operate.md"
    ],
    ids=lambda v: getattr(v, "line", v),
)
def test_tables_of_a_design_are_read(page, block, hook):
    content, known = check_toml(block), hook.design_reference()
    assert set(content) <= set(design_tables.TABLES), page
    # whose keys are outputs
    for table in (table for name, table in content.items() if name != "safe_set"):
        for row in table if isinstance(table, list) else [table]:
            assert all(f"`{key}`" in known or key in ("kind", "fault") for key in row), page


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a … c\n", "a b c\n", True),
        ("a … c\n", "a b\nx c\n", False),
        ("a\n…\nc\n", "a\nb\nb\nc\n", True),
        ("a\n…\nc\n", "a\nc\n", True),
        ("97.24 %\n", "97.25 %\n", False),
        ("a.c\n", "abc\n", False),
        ("a\n", "a\nb\n", False),
        ("a\n", "a  ", True),
    ],
)
def test_only_what_is_left_out_may_differ(shown, printed, same):
    assert matches(shown, printed) is same


@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ lstm-mpc certify models/ph --force\niss holds with margin δ = 0.9\n```\n",
        "```python\nassert 1 > 2\n```\n",
        "```console\n$ ls nowhere\n…\n```\n",
    ],
)
def test_a_page_that_is_wrong_is_caught(text, session):
    with pytest.raises(AssertionError):
        session.run(blocks_of(text)[0])


def test_a_tool_that_no_page_may_call_is_named(session):
    with pytest.raises(AssertionError, match="no page may call 'rm'"):
        session.command("rm -rf models")


# -- links -----------------------------------------------------------------------------------------

_LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(text):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"(?ms)^```.*?^```", "", text))


def anchors(text):
    """The anchors of a page's headings, as GitHub and the site make them, and those that are
    given."""
    heads = re.findall(
        r"(?m)^#+ (.*?)(?: \{ ?#([\w-]+) ?\})?$", re.sub(r"(?ms)^```.*?^```", "", text)
    )
    return {
        given or re.sub(r"[^\w\s-]", "", head.lower()).strip().replace(" ", "-")
        for head, given in heads
    }


def dead(name, text):
    """The links of a page that lead nowhere."""
    for target in _LINK.findall(prose(text)):
        path, _, anchor = target.partition("#")
        to = (ROOT / name).parent / path if path else ROOT / name
        if "://" in target:
            continue
        if not to.exists() or (anchor and anchor not in anchors(to.read_text(encoding="utf-8"))):
            yield target


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_leads_somewhere(page):
    assert not list(dead(page, TEXTS[page]))


def test_a_dead_link_is_seen():
    assert list(
        dead("README.md", "[a](docs/nowhere.md) [b](docs/index.md#nowhere) [c](docs/index.md)")
    ) == [
        "docs/nowhere.md",
        "docs/index.md#nowhere",
    ]


def test_every_page_can_be_reached():
    linked = {
        os.path.normpath(os.path.join(os.path.dirname(name), target.partition("#")[0]))
        for name, text in TEXTS.items()
        for target in _LINK.findall(text)
    }
    assert set(TEXTS) - {"README.md"} <= linked


def test_the_tests_that_pages_name_exist():
    named = [
        (name, test, file)
        for name, text in TEXTS.items()
        for test, file in re.findall(r"`(test_\w+)`[^`]*?\s`(tests/[\w/]+\.py)`", text)
    ]
    assert len(named) > 8
    for name, test, file in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), (name, test)


# -- what the README says --------------------------------------------------------------------------


def test_the_connection_file_is_read(tmp_path):
    (block,) = (b for b in BLOCKS["docs/operate.md"] if b.language == "toml")
    (tmp_path / "connection.toml").write_text(block.text)
    wiring = wiring_of(tmp_path, Model.load(ROOT / "models" / "ph" / "model.json"))
    assert wiring.connection.server_certificate == "server.der"
    assert wiring.operation.fallback == "safe"
    assert len(wiring.nodes) == 8


def rows(text, heading):
    """The rows of the Markdown table whose heading begins so."""
    lines = text[text.index(heading) :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def test_the_table_of_verbs_is_the_register():
    table = {row[0].strip("`"): row for row in rows(TEXTS["docs/reference-cli.md"], "| verb |")}
    assert set(table) == set(commands.VERBS)
    written = set(
        re.findall(r"`([\w<>-]+\.(?:json|csv))`", " ".join(row[2] for row in table.values()))
    )
    names = {
        artefacts.MODEL,
        artefacts.TRAINING,
        artefacts.VERIFICATION,
        artefacts.TUBES,
        artefacts.RELEASE,
        artefacts.LOOP,
        artefacts.PROOF,
        artefacts.ASSURANCE,
        artefacts.PIL,
    }
    assert written >= names | {
        "data-training.csv",
        "data-validation.csv",
        artefacts.certificate_file("<condition>"),
    }
    assert all(f"`{target}/`" in table["export"][2] for target in targets())
    assert all(
        f"`{engine}`" in table["control"][3] or f"--engine {engine}" in table["control"][3]
        for engine in ENGINES
    )


def test_versions_codes_and_packages_are_those_of_the_code():
    bad, refused, other = (error.exit_code for error in (InputError, Refused, LstmMpcError))
    codes = (
        f"0 done, {bad} bad input, {refused} refused by the gate, {NOT_HELD} a condition does not"
        f" hold, 130 interrupted, {other} anything else"
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"Python ≥ {project['requires-python'].removeprefix('>=')}" in README
    assert codes in README
    for extra in re.findall(r"\.\[(\w+)\]", README):
        assert extra in project["optional-dependencies"]


def test_the_first_screen_is_backed_by_what_is_shipped():
    board = read_json(ROOT / "models/ph/pil.json", "lstm_mpc processor in the loop")["cores"][
        "cortex-m4f"
    ][0]
    loops = read_json(ROOT / "models/ph/loop-verification.json", "lstm_mpc loop verification")
    assert f"C99 of {round(board['flash'] / 1000)} kB" in README
    assert loops["scenarios"] >= 1000
    limits = TEXTS["docs/limits.md"]
    assert f"takes {board['flash']} bytes of flash on a Cortex-M4F" in limits
    fits = [
        start["validation_fit"]
        for start in read_json(ROOT / "models/ph/training.json", "lstm_mpc training report")[
            "starts"
        ]
    ]
    assert f"four starts reach {min(fits):.1f} to {max(fits):.1f} % on validation data" in limits
    assert loops["reach"] <= 1


def test_figures_of_the_readme_are_those_of_the_tables():
    arena = rows(TEXTS["docs/loop.md"], "| condition | PI |")
    late = next(row for row in arena if "30 s of" in row[0])
    assert f"is {late[5]} of that of a PI controller" in README
    assert f"at {late[6]} of its valve travel" in README
    table = rows(TEXTS["docs/measured.md"], "| problem | engine |")
    exact = [row[3:] for row in table if row[1] == "C, double, to convergence"]
    gap, ratios = exact[0][0], sorted(int(row[2]) for row in exact)
    assert f"differs from do-mpc by {gap} of the input range" in README
    assert f"is {ratios[0]} to {ratios[-1]} times as fast" in README


def test_the_readme_is_short():
    assert len(README.split()) <= 1000


# -- the site --------------------------------------------------------------------------------------


def test_the_reference_of_the_design_has_every_table_and_key(hook):
    made = hook.design_reference()
    assert hook.generated(TEXTS["docs/reference-design.md"]) == TEXTS["docs/reference-design.md"]
    for table in set(design_tables.TABLES) - {"name"}:
        assert f"{{ #{table} }}" in made
    for key in (
        "horizon",
        "min_fit",
        "u_start",
        "sqp_iterations",
        "starts",
        "low",
        "mismatch",
        "lag",
        "y_span",
        "drift",
    ):
        assert f"`{key}`" in made


def test_the_reference_of_the_command_line_has_every_verb_and_option(hook):
    made = hook.cli_reference()
    assert hook.generated(TEXTS["docs/reference-cli.md"]) == TEXTS["docs/reference-cli.md"]
    for name, command in commands.VERBS.items():
        assert f"{{ #{name} }}" in made
        assert command.help[1:] in made
    assert "`--replay INDEX`" in made
    assert "all cores)" in made


def test_the_reference_of_python_has_every_public_name():
    page = set(re.findall(r"^::: lstm_mpc\.([\w.]+)$", TEXTS["docs/reference-api.md"], re.M))
    assert set(lstm_mpc.__all__) <= {name.split(".")[-1] for name in page}


_ASKS = (
    r'<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc="(https?:)?//[^"]*"',
    r'<link\b[^>]*rel="(?:stylesheet|icon|preconnect|preload|prefetch|dns-prefetch)"[^>]*href="(https?:)?//[^"]*"',
    r'<link\b[^>]*href="(https?:)?//[^"]*"[^>]*rel="(?:stylesheet|icon|preconnect|preload|prefetch|dns-prefetch)"',
    r"url\(\s*[\"']?(https?:)?//",
    r"@import\s+[\"'](https?:)?//",
)


@pytest.mark.slow
def test_the_site_builds_and_asks_nothing_of_the_network(tmp_path):
    if find_spec("mkdocs") is None:
        lacking("mkdocs is missing; pip install '.[docs]' brings it")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(TEXTS) - 1
    for path in [*pages, *(tmp_path / "site").rglob("*.css")]:
        text = path.read_text(encoding="utf-8")
        assert not [found[0] for pattern in _ASKS for found in re.finditer(pattern, text)], path
    assert "<math" in (tmp_path / "site" / "conditions.html").read_text(encoding="utf-8")
