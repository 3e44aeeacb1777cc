"""The page on which numbers are tried: who comes in, what it answers, and in a real browser that it
moves and writes."""

import asyncio
import json
import shutil
import signal
import socket
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from browser import Browser

from lstm_mpc.cli.command_line import main
from lstm_mpc.directory import Project
from lstm_mpc.errors import InputError
from lstm_mpc.project.design import load_design
from lstm_mpc.project.operation.page.options import PageOptions, users_of
from lstm_mpc.project.operation.page.tuner import Tuner

BROWSER = next((path for name in ("chromium", "chrome") if (path := shutil.which(name))), None)


def free():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def tuned(folder):
    """The page of a design in a thread; its address with the token, and what was written."""
    begun, written, stops = threading.Event(), [], []
    urls = []

    def ready(url):
        urls.append(url)
        begun.set()

    async def serve():
        stops.append((asyncio.get_running_loop(), stop := asyncio.Event()))
        (_, operator) = users_of(None)
        options = PageOptions((operator,), port=free())
        tuner = Tuner(load_design(folder), options, written.append)
        task = asyncio.create_task(tuner.serve(stop))
        await asyncio.sleep(0.3)
        ready(f"{options.url}/?token={operator.token}")
        await task

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert begun.wait(20)
        yield urls[0], written
    finally:
        loop, stop = stops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def ask(url, path, body=None, **headers):
    """Code and text of an answer, as the page asks."""
    base, _, token = url.partition("/?token=")
    headers = {"Authorization": f"Bearer {token}", "X-Requested-With": "lstm-mpc"} | headers
    data = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(f"{base}/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


SHORT = {"setpoint": [7.2], "samples": 20}


def test_what_the_page_is_told_and_may_do(short_design):
    with tuned(short_design) as (url, written):
        code, text = ask(url, "state")
        state = json.loads(text)
        assert state["control"]["violation_weight"] == [100.0]  # one for each output
        assert (code, state["control"]["horizon"], state["scenarios"]) == (
            200,
            20,
            ["step", "lost"],
        )
        assert state["disturbances"][-1]["name"] == "load on q3"
        same = {"control": {"horizon": 20, "move_penalty": [0.0045]}}
        code, text = ask(url, "try", {**same, "what": SHORT})
        lines = [json.loads(line) for line in text.splitlines()]
        assert code == 200
        assert len(lines) == 21
        assert lines[-1]["figures"]["outputs"][0]["iae"] > 0
        assert lines[0]["setpoint"] == pytest.approx([lines[0]["y"][0]], abs=0.01)
        assert json.loads(ask(url, "difference", same)[1])["lines"] == []
        wrong = {"control": {"horizon": 0}, "what": SHORT}
        code, text = ask(url, "try", wrong)
        assert (code, json.loads(text)["error"][:31]) == (409, "control: horizon must be at lea")
        for body, words in (
            ({"what": SHORT}, "control is needed, a table"),
            ({"control": {}, "what": {"sample": 20}}, "unknown key 'sample' in what"),
            ([], "what is needed, a table"),
        ):
            code, text = ask(url, "try", body)
            assert (code, words in json.loads(text)["error"]) == (409, True), text
        code, text = ask(url, "try", {"control": {}, "what": {**SHORT, "setpoint": [99.0]}})
        assert "is outside" in json.loads(text.splitlines()[-1])["error"]
        assert ask(url, "try", same, Authorization="Bearer wrong")[0] == 401
        assert ask(url, "write", same, **{"X-Requested-With": "a form"})[0] == 403
        assert ask(url, "state", Host="evil.example")[0] == 400
        assert ask(url, "state", Authorization="")[0] == 401
        assert ask(url, "tune.js", Authorization="")[0] == 200
        assert written == []


def test_only_what_was_shown_is_written(short_design):
    path = short_design / "design.toml"
    before = path.read_bytes()
    with tuned(short_design) as (url, written):
        body = {"control": {"horizon": 25, "output_weight": [1.0], "move_penalty": [0.01]}}
        assert ask(url, "write", body)[0] == 409  # nothing was shown
        shown = json.loads(ask(url, "difference", body)[1])
        assert "+horizon = 25              # [samples]" in shown["lines"]
        path.write_bytes(before + b"# meanwhile\n")
        code, text = ask(url, "write", {**body, "seen": shown["seen"]})
        assert (code, "look again" in json.loads(text)["error"]) == (409, True)
        shown = json.loads(ask(url, "difference", body)[1])
        code, text = ask(url, "write", {**body, "seen": shown["seen"]})
        assert (code, json.loads(text)["control"]["horizon"]) == (200, 25)
        assert "release.json judged control." in json.loads(text)["stale"]
        assert written == [shown["lines"]]
    expected = before.replace(b"horizon = 20 ", b"horizon = 25 ")
    expected = expected.replace(b"move_penalty = 0.0045 ", b"move_penalty = 0.01 ")
    assert path.read_bytes() == expected + b"# meanwhile\n"


def test_it_is_for_this_machine_only(short_design, tmp_path):
    (certificate := tmp_path / "c.pem").write_text("")
    options = PageOptions(users_of(None), "0.0.0.0", certificate=certificate, key=certificate)
    with pytest.raises(InputError, match=r"tune: the page is for this machine only, not for 0\.0"):
        Tuner(load_design(short_design), options)


def test_without_a_release_there_is_nothing_to_try(short_design, capsys):
    (short_design / "release.json").unlink()
    assert main(["tune", str(short_design), "--port", str(free())]) == 2
    assert "release.json: cannot be read" in capsys.readouterr().err


def test_the_method_ends_with_what_was_written(short_design):
    """As a person who writes and then stops it."""
    urls, found = [], []

    def ready(url):
        urls.append(url)
        threading.Thread(target=person, args=(url,)).start()

    def person(url):
        for _ in range(100):
            try:
                shown = json.loads(ask(url, "difference", {"control": {"horizon": 25}})[1])
                break
            except OSError:
                threading.Event().wait(0.05)
        ask(url, "write", {"control": {"horizon": 25}, "seen": shown["seen"]})
        signal.raise_signal(signal.SIGINT)

    changes = Project(short_design).tune(port=free(), ready=ready, on_write=found.append)
    assert changes == found
    assert "+horizon = 25              # [samples]" in changes[0]
    assert load_design(short_design).control.horizon == 25


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast"])
def test_a_speed_must_be_positive(capsys, text):
    with pytest.raises(SystemExit):
        main(["operate", "models/ph", f"--speed={text}"])
    assert f"needs a positive number, got '{text}'" in capsys.readouterr().err


# -- in a browser ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_in_a_browser(pytestconfig, tmp_path):
    """A number that changes changes the trend, the one of design.toml stays as a ghost; what is
    written was confirmed; two inputs and two outputs have their places."""
    shipped, folder = pytestconfig.rootpath / "models" / "quadruple_tank", tmp_path / "tank"
    folder.mkdir()
    (folder / "design.toml").write_bytes((shipped / "design.toml").read_bytes())
    for name in ("release.json", "model.json", "campaigns.jsonl"):
        (folder / name).write_bytes((shipped / name).read_bytes())
    runs = "Number(document.getElementById('result').dataset.runs ?? 0)"
    curve = "document.querySelector('polyline.{}')?.getAttribute('points')"
    with tuned(folder) as (url, written):
        browser = Browser(BROWSER, tmp_path / "profile")
        try:
            browser.go(url)
            browser.until(f"document.getElementById('result') && {runs} == 1", 60)
            assert browser.value("document.querySelectorAll('svg').length") == 4
            first = browser.value(curve.format("y"))
            assert browser.value(curve.format("before")) is None
            put = "f => {f.value = 30; f.dispatchEvent(new Event('input'))}"
            field = "document.getElementById('move_penalty move penalty of v1 [1/V²]')"
            browser.value(f"({put})({field})")
            browser.until(f"{runs} == 2", 60)
            assert browser.value(curve.format("before")) is not None
            assert browser.value(curve.format("y")) != first
            browser.value("document.getElementById('write').click()")
            browser.until("document.getElementById('confirm').open")
            assert "+move_penalty = [30.0, 1.0]" in browser.value("document.body.innerText")
            assert written == []  # not yet
            browser.value("document.getElementById('yes').click()")
            browser.until("document.getElementById('answer').innerText.startsWith('written')")
            assert load_design(folder).control.move_penalty == (30.0, 1.0)
            stale = browser.value("document.getElementById('stale').innerText")
            assert "judged control.move_penalty" in stale
            low = "document.getElementById('horizon horizon [samples]')"
            browser.value(f"(f => {{f.value = 0; f.dispatchEvent(new Event('input'))}})({low})")
            browser.until("document.getElementById('link').innerText.includes('at least 1 sample')")
        finally:
            browser.close()
