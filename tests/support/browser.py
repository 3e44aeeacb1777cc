"""A browser without a window, driven over a pipe."""

import json
import os
import subprocess
import time


class Browser:
    """Chromium that evaluates expressions in one page."""

    def __init__(self, path, folder):
        to_it, to_us = os.pipe(), os.pipe()
        ends = to_it[0], to_us[1]

        def wired():  # it reads from 3 and writes to 4
            kept = [os.dup(end) for end in ends]
            for number, end in zip((3, 4), kept, strict=True):
                os.dup2(end, number)

        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        self._process = subprocess.Popen(
            [path, *flags, f"--user-data-dir={folder}", "about:blank"],
            preexec_fn=wired,
            close_fds=False,
            stderr=subprocess.DEVNULL,
        )
        for end in ends:
            os.close(end)
        self._to, self._from = os.fdopen(to_it[1], "wb"), os.fdopen(to_us[0], "rb")
        self._number, self._session = 0, None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def _call(self, method, **params):
        self._number += 1
        asked = {"id": self._number, "method": method, "params": params}
        if self._session:
            asked["sessionId"] = self._session
        self._to.write(json.dumps(asked).encode() + b"\0")
        self._to.flush()
        while True:
            text = b""
            while (letter := self._from.read(1)) != b"\0":
                assert letter, "the browser ended"
                text += letter
            answer = json.loads(text)
            if answer.get("id") == self._number:
                return answer["result"]

    def go(self, url):
        self._call("Page.navigate", url=url)

    def value(self, expression):
        return self._call("Runtime.evaluate", expression=expression)["result"].get("value")

    def until(self, expression, seconds=10.0):
        """Wait until it is true; how long that took [s]."""
        began = time.monotonic()
        while not self.value(expression):
            waited = time.monotonic() - began
            assert waited < seconds, (expression, self.value("document.body.innerText"))
            time.sleep(0.01)
        return time.monotonic() - began

    def close(self):
        self._to.close()
        self._process.terminate()
        self._process.wait(10)
        self._from.close()
