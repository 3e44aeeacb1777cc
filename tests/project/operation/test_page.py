"""The operator's page: who may do what, what is shown, and in a real browser that it moves."""

import asyncio
import json
import shutil
import socket
import urllib.error
import urllib.request
from contextlib import asynccontextmanager

import pytest
from browser import Browser
from operating import InMemory, runtime_of, samples

from lstm_mpc.errors import InputError
from lstm_mpc.project.operation.page.app import Page
from lstm_mpc.project.operation.page.options import PageOptions, User, users_of

ANNA = User("anna", "operator", "a-token-of-anna-17")
VERA = User("vera", "viewer", "a-token-of-vera-17")
BROWSER = next((path for name in ("chromium", "chrome") if (path := shutil.which(name))), None)


@asynccontextmanager
async def paged(cleared, folder, plant=None):
    """A runtime with its page on a free port; the runtime and the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    runtime = runtime_of(cleared, plant or InMemory(), folder / "h.db")
    page = Page([runtime], PageOptions((ANNA, VERA), port=port))
    stop = asyncio.Event()
    tasks = [asyncio.create_task(run(stop)) for run in (runtime.run, page.serve)]
    try:
        await samples(runtime, 3)
        yield runtime, f"http://127.0.0.1:{port}"
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def ask(url, token=None, body=None, **headers):
    """Status, headers and text of an answer."""
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)

    def get():
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    return await asyncio.to_thread(get)


OURS = {"X-Requested-With": "lstm-mpc"}


def test_who_may_do_what(cleared, tmp_path):
    async def story():
        async with paged(cleared, tmp_path) as (runtime, url):
            assert (await ask(url))[0] == 401
            assert (await ask(f"{url}/state", "wrong"))[0] == 401
            assert (await ask(f"{url}/events"))[0] == 401
            code, headers, text = await ask(f"{url}/state", VERA.token)
            state = json.loads(text)
            assert (code, state["role"]) == (200, "viewer")
            assert "default-src 'self'" in headers["Content-Security-Policy"]
            assert state["loops"][0]["inputs"][0]["limits"] == [12.5, 17.0]
            assert state["loops"][0]["trend"][0]["y"][0] == pytest.approx(7.0)
            seen = runtime.loop.revision
            body = {"loop": 0, "what": "mode", "value": "AUTO", "seen": seen}
            there = f"{url}/request"
            assert (await ask(there, body=body, **OURS))[0] == 401
            assert "vera is a viewer" in (await ask(there, VERA.token, body, **OURS))[2]
            assert (await ask(there, ANNA.token, body))[0] == 403  # a form of another site
            assert (await ask(there, ANNA.token, {"loop": 9}, **OURS))[0] == 400
            assert (await ask(there, ANNA.token, {"x": "y" * 5000}, **OURS))[0] == 413
            assert (await ask(there, ANNA.token, body, **OURS))[0] == 200
            assert runtime.loop.mode.name == "AUTO"
            code, _, text = await ask(there, ANNA.token, body, **OURS)
            assert (code, json.loads(text)["reason"][:8]) == (409, "somebody")
            assert (await ask(f"{url}/state", ANNA.token, Host="evil.example"))[0] == 400
            assert (await ask(f"{url}/../h.db", ANNA.token))[0] == 404
            for name in ("page.js", "page.css"):
                assert (await ask(f"{url}/{name}"))[0] == 200

    asyncio.run(story())


def test_samples_come_as_events(cleared, tmp_path):
    async def story():
        async with paged(cleared, tmp_path) as (_, url):
            request = urllib.request.Request(
                f"{url}/events", headers={"Authorization": f"Bearer {VERA.token}"}
            )

            def lines():
                with urllib.request.urlopen(request, timeout=5) as stream:
                    return [stream.readline().decode() for _ in range(5)]

            got = [json.loads(line[6:]) for line in await asyncio.to_thread(lines) if line.strip()]
            assert [e["mode"] for e in got] == ["ADVISE"] * 3
            assert got[0]["k"] < got[1]["k"] < got[2]["k"]
            assert len(got[0]["predicted"]) == 9
            assert got[0]["why_not_auto"] == ""

    asyncio.run(story())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": "0.0.0.0"}, "can be reached from other machines, which needs --page-certificate"),
        ({"key": "x"}, "--page-certificate and --page-key belong together"),
    ],
)
def test_pages_that_do_not_do(options, words):
    with pytest.raises(InputError, match=words):
        PageOptions((ANNA,), **options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[user]]\nname = 'a'\nrole = 'chief'\ntoken = '1'", "role must be one of viewer, oper"),
        ("[[user]]\nname = 'a'\nrole = 'viewer'\ntoken = '1'", "must have 16 letters or more"),
        ("", r"\[\[user\]\] tables are needed"),
        ("x", "is not TOML"),
    ],
)
def test_users_that_do_not_do(tmp_path, text, words):
    path = tmp_path / "users.toml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(InputError, match=words):
        users_of(path)
    path.chmod(0o644)
    with pytest.raises(InputError, match="others can read it; chmod 600 hides the tokens"):
        users_of(path)
    with pytest.raises(InputError, match="cannot be read"):
        users_of(tmp_path / "none")


def test_without_users_tokens_are_drawn():
    one, two = users_of(None), users_of(None)
    assert [u.role for u in one] == ["viewer", "operator"]
    assert len({u.token for u in (*one, *two)}) == 4


# -- in a browser ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_in_a_browser(cleared, tmp_path):
    """Trends move, a mode reaches the plant after it was confirmed, a lost connection is seen
    within two samples, and so is a page without data."""
    plant, text = InMemory(), "document.body.innerText"

    def acts(browser, url):
        browser.go(f"{url}/?token={ANNA.token}")
        browser.until("document.querySelector('section')?.dataset.k > 5")
        assert "ADVISE" in browser.value(text)
        curve = "document.querySelector('polyline.predicted').getAttribute('points')"
        before = browser.value(curve)
        browser.until(f"{curve} != {before!r}")
        browser.value("document.querySelector('[data-mode=AUTO]').click()")
        browser.until("document.getElementById('confirm').open")
        assert "ph: AUTO?" in browser.value(text)
        assert plant.modes[-1].name == "ADVISE"  # not yet
        browser.value("document.getElementById('yes').click()")
        browser.until("document.querySelector('.now').innerText == 'AUTO'")
        assert plant.modes[-1].name == "AUTO"
        plant.gone = True
        lost = browser.until(f"{text}.includes('connection: memory: gone')")
        assert lost < 0.04 + 0.25  # two samples, and what the page polls at 50 times a second
        plant.gone = False
        browser.until(f"!{text}.includes('pH: no connection')")
        assert browser.value("document.getElementById('link').innerText") == "connected"

    async def story():
        async with paged(cleared, tmp_path, plant) as (_, url):
            browser = await asyncio.to_thread(Browser, BROWSER, tmp_path / "profile")
            try:
                await asyncio.to_thread(acts, browser, url)
                viewer = f"{url}/?token={VERA.token}"
                await asyncio.to_thread(browser.go, viewer)
                ready = "document.querySelector('[data-mode=AUTO]')?.disabled"
                await asyncio.to_thread(browser.until, ready)
                slow = f"{text}.includes('NO DATA')"
                await asyncio.to_thread(browser.value, "pace = 1e-4")  # nothing comes so soon
                await asyncio.to_thread(browser.until, slow)
            finally:
                await asyncio.to_thread(browser.close)

    asyncio.run(story())
