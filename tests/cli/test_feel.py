"""How the command line feels: examples that work, completion in real shells, time left, colours on
terminals only, clean ends."""

import argparse
import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from compiling import need
from documents import added
from hypothesis import given, settings, strategies as st
from places import ROOT
from sealing import sealed

from lstm_mpc.cli import command_line, commands, console
from lstm_mpc.cli.command_line import main, script
from lstm_mpc.cli.console import Console, TimeLeft, in_words
from lstm_mpc.directory import Project
from lstm_mpc.project.artefacts import Options
from lstm_mpc.project.drafting.signal_requests import wanted

SHIPPED = ROOT / "models" / "ph"


def verbs():
    (action,) = (
        a for a in command_line.parser()._actions if isinstance(a, argparse._SubParsersAction)
    )
    return action.choices


@pytest.fixture
def shipped(tmp_path):
    """The shipped model and what certifies it, to work on."""
    folder = tmp_path / "ph"
    folder.mkdir()
    for name in ("design.toml", "model.json"):
        shutil.copy(SHIPPED / name, folder)
    sealed(folder)
    return folder


# -- help and wrong usage --------------------------------------------------------------------------


@pytest.mark.parametrize("verb", commands.VERBS)
def test_every_verb_shows_examples_that_parse_and_explains_every_option(verb):
    parser = verbs()[verb]
    head, examples = parser.epilog.split(": ", 1)
    assert head == "example"
    for example in examples.split(" " * 10):
        program, *words = shlex.split(example)
        assert program == "lstm-mpc"
        assert command_line.parser().parse_args(words).verb == verb
    assert all(action.help for action in parser._actions)
    assert len(parser.format_help().splitlines()) < 75


WRONG = [
    (["tarin", "x"], "unknown verb 'tarin'; did you mean 'train'?"),
    (["fly", "x"], "unknown verb 'fly'; known: new, record"),
    ([], "which verb? new, record"),
    (
        ["train", "x", "--forse"],
        "unknown argument '--forse', did you mean --force?; `lstm-mpc train --help` shows how",
    ),
    (["train", "x", "y"], "unknown argument 'y'; `lstm-mpc train --help` shows how"),
    (
        ["train"],
        "the following arguments are required: directory; `lstm-mpc train --help` shows how",
    ),
    (["export", "x", "--target", "cobol"], "argument --target: invalid choice: 'cobol'"),
    (["certify", "x", "--condition", "magic"], "argument --condition: invalid choice: 'magic'"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_wrong_usage_is_one_sentence_that_knows_what_was_meant(words, said, capsys):
    for more in ([], ["--json"]) if words else ([],):
        with pytest.raises(SystemExit) as stop:
            main([*words, *more])
        out, err = capsys.readouterr()
        assert stop.value.code == 2
        assert err.startswith("error: ")
        assert said in err
        assert err.count("\n") == 1
        assert (said in json.loads(out)["error"]) if more else not out


def test_a_folder_without_a_design_says_what_to_do_next(shipped, tmp_path, capsys):
    assert main(["train", str(tmp_path)]) == 2
    assert (
        f"a design directory holds a design.toml; `lstm-mpc new {tmp_path} --data log.csv`"
        " writes one" in capsys.readouterr().err
    )
    assert main(["train", str(shipped / "design.toml")]) == 2
    assert (
        capsys.readouterr().err
        == f"error: {shipped / 'design.toml'}: is a file; a verb takes the directory that holds"
        " design.toml\n"
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(28, "No space left on device", "x.json"),
            "x.json: No space left on device; make room on that disk and run the command again",
        ),
        (
            OSError(13, "Permission denied", "x.json"),
            "x.json: Permission denied; get the right to write there, or choose another folder, and"
            " run the command again",
        ),
        (
            OSError(5, "Input/output error", "x.json"),
            "x.json: Input/output error; see to it and run the command again",
        ),
        (MemoryError(), "out of memory; run again with fewer --workers, or with less data"),
    ],
)
def test_what_the_machine_refuses_is_a_sentence_too(shipped, capsys, monkeypatch, error, said):
    def fail(*_):
        raise error

    monkeypatch.setattr(Project, "certify", fail)
    assert main(["certify", str(shipped), "--json"]) == 1
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == ({"error": said}, f"error: {said}\n")


# -- completion ------------------------------------------------------------------------------------

COMPLETED = [
    ("lstm-mpc tr", {"train"}),
    ("lstm-mpc export ph --target a", {"arduino"}),
    ("lstm-mpc pil ph --core cortex-m3", {"cortex-m3"}),
    ("lstm-mpc certify ph --condition delta_iss_i", {"delta_iss_inf"}),
    ("lstm-mpc control ph --engine s", {"sqp"}),
    ("lstm-mpc train --fo", {"--force"}),
    ("lstm-mpc reach p", {"ph"}),
    ("lstm-mpc train ph --from ph/mo", {"ph/model.json"}),
    ("lstm-mpc completion f", {"fish"}),
]


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_a_shell_completes_verbs_options_choices_and_files(shell, shipped):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")  # CI has it
    place = shipped.parent
    (place / "script").write_text(script(shell))
    if shell == "bash":
        lines = ["source ./script"]
        for line, _ in COMPLETED:
            words = line.split()
            lines += [f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; COMPREPLY=()"]
            lines += [f"_shtab_lstm_mpc lstm-mpc {words[-1]} {words[-2]}; echo ${{COMPREPLY[@]}}"]
        done = subprocess.run(
            ["bash", "-c", "\n".join(lines)], cwd=place, capture_output=True, text=True, check=True
        )
    else:
        lines = [
            "source ./script",
            *(f"echo (complete -C '{line}' | cut -f1)" for line, _ in COMPLETED),
        ]
        env = {**os.environ, "HOME": str(place), "XDG_CONFIG_HOME": str(place)}
        done = subprocess.run(
            ["fish", "-c", "\n".join(lines)],
            cwd=place,
            capture_output=True,
            text=True,
            check=True,
            env=env,
        )
    assert done.stderr == ""
    found = [{word.rstrip("/") for word in line.split()} for line in done.stdout.splitlines()]
    assert found == [expected for _, expected in COMPLETED]


def test_zsh_completes(shipped):
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")  # CI has it
    (shipped.parent / "_lstm-mpc").write_text(script("zsh"))
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "ZDOTDIR": str(shipped.parent)}
    run = subprocess.Popen(
        ["zsh", "-f", "-i"],
        cwd=shipped.parent,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=env,
    )
    os.close(follower)
    os.write(leader, b"fpath=($PWD $fpath); autoload -U compinit; compinit -D -u\n")
    os.write(leader, b"lstm-mpc() { print GOT $*; }\nlstm-mpc expo\tph/ --target ard\t\nexit\n")
    seen = _until_closed(leader)
    run.wait(timeout=20)
    assert "GOT export ph/ --target arduino" in seen


def _until_closed(leader):
    seen = b""
    try:
        while part := os.read(leader, 65536):
            seen += part
    except OSError:  # what Linux says when nobody holds the other end any more
        pass
    os.close(leader)
    return seen.decode()


def test_the_verb_prints_the_script(capsys):
    assert main(["completion", "fish"]) == 0
    assert capsys.readouterr().out == script("fish") + "\n"


# -- progress --------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=25)
@given(rate=st.floats(1e-4, 0.2), late=st.floats(0.0, 20.0), step=st.floats(0.1, 5.0))
def test_steady_work_is_foretold_however_late_it_begins(rate, late, step):
    """Nothing is said in the first two seconds; from three times the beginning on it is right."""
    left, now = TimeLeft(100.0), 100.0
    left.at(now, 0.0)
    for _ in range(200):
        if (share := rate * max(0.0, now - 100.0 - late)) >= 1.0:
            break
        told, true = left.at(now, share), (1.0 - share) / rate
        assert told is None or told > 0
        if now - 100.0 < 2.0 or share < 0.02:
            assert told is None
        elif now - 100.0 > 3.0 * late + 2 * step and told is not None:
            assert told == pytest.approx(true, rel=0.35)
        now += step
    assert left.at(now, 1.0) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (7.4, "7 s"),
        (43.0, "45 s"),
        (94.0, "95 s"),
        (130.0, "2 min"),
        (5600.0, "93 min"),
        (9000.0, "2.5 h"),
        (1e5, "28 h"),
    ],
)
def test_an_estimate_is_told_no_finer_than_it_is(seconds, words):
    assert in_words(seconds) == words


class Terminal:
    """A stream of the process on a pseudo-terminal."""

    def __init__(self, monkeypatch, name, columns=60):
        self._leader, follower = pty.openpty()
        import fcntl
        import struct
        import termios

        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._stream = os.fdopen(follower, "w", encoding="utf-8")
        monkeypatch.setattr(sys, name, self._stream)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("NO_COLOR", raising=False)

    def read(self):
        self._stream.close()
        return _until_closed(self._leader)


def advance(monkeypatch, quiet=False):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    shown = Console(quiet)
    for k in range(101):
        now[0] = 0.3 * k
        shown.progress("verify", k / 100, "scenario\nwith a long name " * 5)
    shown.clear()


def test_progress_rewrites_one_line_that_fits_the_terminal(monkeypatch):
    terminal = Terminal(monkeypatch, "stderr")
    advance(monkeypatch)
    lines = terminal.read().split("\r\x1b[K")
    assert len(lines) == 101 + 2
    assert max(map(len, lines)) == 59
    assert "\n" not in "".join(lines)
    assert " left" not in "".join(lines[:7])
    assert all(f", {in_words(30 - 0.3 * k)} left" in lines[k + 1] for k in (10, 40, 70))


def test_progress_elsewhere_is_a_line_every_five_seconds_and_quiet_is_quiet(monkeypatch, capsys):
    advance(monkeypatch)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    # what is quicker shows nothing
    assert lines[0].startswith(
        "verify  [#                   ]   7%     2 s, 30 s left  scenario?with"
    )
    assert ", 25 s left" in lines[1]
    advance(monkeypatch, quiet=True)
    assert capsys.readouterr() == ("", "")


# -- colours ---------------------------------------------------------------------------------------

CLAIMS = [
    "  proved: always",
    "  cleared by what is sampled: often",
    "WAIVED: fit",
    "improved reasons (proved)",
    "measured y",
]


def test_a_terminal_shows_what_is_proved_and_what_is_not(monkeypatch):
    terminal = Terminal(monkeypatch, "stdout")
    console.show(CLAIMS)
    green, cyan, yellow = (f"\x1b[1;{n}m" for n in (32, 36, 33))
    off = "\x1b[0m"
    assert terminal.read().splitlines() == [
        f"  {green}proved{off}: always",
        f"  cleared by what is {cyan}sampled{off}: often",
        f"{yellow}WAIVED{off}: fit",
        f"improved reasons ({green}proved{off})",
        "measured y",
    ]


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colours_where_they_are_not_wanted(monkeypatch, name, value):
    terminal = Terminal(monkeypatch, "stdout")
    monkeypatch.setenv(name, value)
    console.show(CLAIMS)
    assert terminal.read().splitlines() == CLAIMS


def test_no_colours_in_a_pipe(capsys):
    console.show(CLAIMS)
    assert capsys.readouterr().out.splitlines() == CLAIMS


def test_errors_and_reasons_are_red_on_a_terminal(monkeypatch, shipped):
    (shipped / "certificate-iss.json").write_text("{}")
    terminal = Terminal(monkeypatch, "stderr")
    assert main(["certify", str(shipped), "--condition", "iss", "--quiet"]) == 2
    assert (
        terminal.read()
        == f"\x1b[1;31merror:\x1b[0m {shipped / 'certificate-iss.json'}: exists; --force replaces"
        " it\r\n"
    )
    terminal = Terminal(monkeypatch, "stderr")
    assert console.fail(False, console.Refused("release", ["thin", "short"])) == 3
    assert terminal.read().splitlines() == [
        "\x1b[1;31mrefused by the gate:\x1b[0m",
        "  \x1b[1;31m-\x1b[0m thin",
        "  \x1b[1;31m-\x1b[0m short",
    ]


# -- ends ------------------------------------------------------------------------------------------


def test_nobody_listens_any_more(shipped):
    """`| head` and a closed pipe: no traceback, no message, the code a shell gives a broken
    pipe."""
    reader, writer = os.pipe()
    os.close(reader)
    code = (
        "import sys; from lstm_mpc.cli import main; sys.exit(main(['certify', sys.argv[1],"
        " '--condition', 'iss', '--quiet']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(shipped)], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
    assert (shipped / "certificate-iss.json").exists()


def test_a_terminal_without_greek_letters_gets_question_marks(shipped):
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [
        sys.executable,
        "-m",
        "lstm_mpc.cli",
        "certify",
        str(shipped),
        "--condition",
        "iss",
        "--quiet",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    assert "iss holds with margin ? = 0.0" in done.stdout


@pytest.mark.slow
def test_the_long_part_of_reading_and_of_drawing_is_told_share_by_share(tmp_path):
    """Their shares rise, so that a time left can be said."""
    told = []
    options = Options(lambda verb, share, detail: told.append((verb, share, detail)), force=True)
    rows = "".join(f"{10 * k},{12.5 + k % 5},{7 + 0.1 * (k % 7)}\n" for k in range(200_000))
    (tmp_path / "log.csv").write_text("t [s],q3 [mL/s],pH [pH]\n" + rows)
    project = Project(tmp_path / "own", options)
    project.new([tmp_path / "log.csv"], [wanted("q3")], [wanted("pH")])
    project.record()
    whole = shutil.copytree(SHIPPED, tmp_path / "ph", ignore=added)
    Project(whole, options).report()
    Project(whole, options).compare(whole)
    for verb, least in (("new", 4), ("record", 5), ("report", 8), ("compare", 8)):
        shares = [share for name, share, _ in told if name == verb]
        assert len(set(shares)) >= least, verb
        assert shares == sorted(shares), verb
        assert shares[0] < 0.5 < shares[-1] <= 1.0, verb
    assert ("new", "log.csv is read") in {(name, detail) for name, _, detail in told}


LONG = {"verify-loop": ("--workers", "2"), "control": (), "export": (), "pil": ()}


@pytest.mark.slow
@pytest.mark.parametrize("verb", LONG)
def test_ctrl_c_ends_a_long_verb_with_nothing_half_written(begin, shipped, verb):
    need("host", *(["cortex-m4f"] if verb == "pil" else []))
    if verb == "export":
        shutil.copytree(SHIPPED, shipped, ignore=added, dirs_exist_ok=True)
    before = sorted(path.name for path in shipped.iterdir())
    process = begin(verb, shipped, *LONG[verb], "--json")
    time.sleep(3.0)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    words = "interrupted; artefacts written so far are whole"
    assert (process.returncode, err) == (130, f"error: {words}\n")
    assert json.loads(out) == {"error": words}
    # what a later call goes on from, and figures of loops that ended
    whole = {"loop-verification.parts", "figures"}
    assert sorted(path.name for path in shipped.iterdir() if path.name not in whole) == before
    assert not list(shipped.rglob(".*"))
    deadline = time.monotonic() + 5.0
    while _running(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _running(process.pid)


def _running(group):
    """Processes of a group that are not merely waiting to be buried."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group, *_ = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(its_group) == group and state != "Z":
            found.append(path.parent.name)
    return found
