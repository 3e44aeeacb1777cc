"""The page as an ASGI application. The only importer of starlette and uvicorn."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from lstm_mpc.control.controller import WORDS
from lstm_mpc.errors import InputError
from lstm_mpc.project.operation.facts import Record
from lstm_mpc.project.operation.modes import Request
from lstm_mpc.project.operation.page.options import PageOptions, User
from lstm_mpc.project.operation.runtime import Runtime

_STATIC = Path(__file__).parent / "static"
_FILES = {"page.js": "text/javascript", "page.css": "text/css"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_SAID = "lstm-mpc"  # header of every write: no form of another site can send it
_LARGEST = 4096  # [bytes] of a request


def library() -> tuple[Any, Any]:
    """starlette and uvicorn; InputError where they are not installed."""
    try:
        import starlette.applications
        import starlette.middleware
        import starlette.middleware.trustedhost
        import starlette.responses
        import starlette.routing
        import uvicorn
    except ImportError as error:
        raise InputError(
            "the page needs starlette and uvicorn: pip install 'lstm_mpc[operate]' brings them"
        ) from error
    return starlette, uvicorn


class Page:
    """The page of some loops."""

    def __init__(self, runtimes: Sequence[Runtime], options: PageOptions) -> None:
        self._runtimes, self._options = list(runtimes), options
        self._starlette, self._uvicorn = library()
        self._closing = asyncio.Event()

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set.

        Raises:
            InputError: The address cannot be listened on.
        """
        o = self._options
        config = self._uvicorn.Config(
            self.application(),
            host=o.host,
            port=o.port,
            ssl_certfile=o.certificate,
            ssl_keyfile=o.key,
            log_level="critical",
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        server = self._uvicorn.Server(config)
        server.install_signal_handlers = lambda: None
        task = asyncio.ensure_future(server._serve(None))
        ended = asyncio.ensure_future(stop.wait())
        await asyncio.wait([task, ended], return_when=asyncio.FIRST_COMPLETED)
        self._closing.set()
        server.should_exit = True
        ended.cancel()
        try:
            await task
        except SystemExit as error:  # what uvicorn does where an address is taken
            raise InputError(
                f"{o.url}: cannot be listened on; another --page-port may be free"
            ) from error

    def application(self) -> Any:
        """The routes."""
        routing = self._starlette.routing
        hosts = [self._options.host, "localhost", "127.0.0.1", "[::1]"]
        trusted = self._starlette.middleware.trustedhost.TrustedHostMiddleware
        anywhere = self._options.host in ("0.0.0.0", "::")
        guard = self._starlette.middleware.Middleware(
            trusted, allowed_hosts=["*"] if anywhere else hosts
        )
        return self._starlette.applications.Starlette(
            routes=[
                routing.Route("/", self._index),
                routing.Route("/state", self._state),
                routing.Route("/events", self._events),
                routing.Route("/request", self._request, methods=["POST"]),
                routing.Route("/{name}", self._file),
            ],
            middleware=[guard],
        )

    # -- routes ------------------------------------------------------------------------------------

    async def _index(self, request: Any) -> Any:
        token = request.query_params.get("token")
        if token is not None and self._known(token) is not None:
            answer = self._starlette.responses.RedirectResponse("/", 303, _HEADERS)
            secure = self._options.certificate is not None
            answer.set_cookie("token", token, httponly=True, samesite="strict", secure=secure)
            return answer
        if self._user(request) is None:
            return self._text("Give the address with ?token=… that the terminal printed.", 401)
        return self._send((_STATIC / "page.html").read_bytes(), "text/html; charset=utf-8")

    async def _file(self, request: Any) -> Any:
        name = request.path_params["name"]
        if name not in _FILES:
            return self._text("not here", 404)
        return self._send((_STATIC / name).read_bytes(), _FILES[name])

    async def _state(self, request: Any) -> Any:
        user = self._user(request)
        if user is None:
            return self._text("a token is needed", 401)
        loops = [described(runtime) for runtime in self._runtimes]
        body = {"user": user.name, "role": user.role, "loops": loops}
        return self._send(json.dumps(body, allow_nan=False).encode(), "application/json")

    async def _events(self, request: Any) -> Any:
        if self._user(request) is None:
            return self._text("a token is needed", 401)

        async def lines() -> AsyncIterator[str]:
            seen = [-1] * len(self._runtimes)  # the last sample is sent at once
            while not self._closing.is_set() and not await request.is_disconnected():
                for j, runtime in enumerate(self._runtimes):
                    if runtime.trend and runtime.trend[-1].k != seen[j]:
                        seen[j] = runtime.trend[-1].k
                        text = json.dumps(
                            {"loop": j, **shown(runtime, runtime.trend[-1])}, allow_nan=False
                        )
                        yield f"data: {text}\n\n"
                await self._change(min(r.pace for r in self._runtimes))
            yield "event: end\ndata: {}\n\n"

        stream = self._starlette.responses.StreamingResponse
        return stream(lines(), media_type="text/event-stream", headers=_HEADERS)

    async def _change(self, pace: float) -> None:
        """Wait for a sample, or long enough to look again."""
        await asyncio.sleep(min(0.2, 0.25 * pace))

    async def _request(self, request: Any) -> Any:
        user = self._user(request)
        if user is None:
            return self._text("a token is needed", 401)
        if request.headers.get("x-requested-with") != _SAID:
            return self._text("not asked by this page", 403)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _LARGEST:
                return self._text("too long", 413)
        try:
            asked = json.loads(body)
            loop = self._runtimes[int(asked["loop"])].loop
            wanted = Request(user.name, str(asked["what"]), asked["value"], int(asked["seen"]))
        except (ValueError, KeyError, TypeError, IndexError):
            return self._text("loop, what, value and seen are needed", 400)
        if user.role != "operator":
            return self._answer(False, f"{user.name} is a viewer", 403)
        if loop is None:
            return self._answer(False, "the plant has not been reached yet", 409)
        answer = loop.request(wanted)
        return self._answer(answer.granted, answer.reason, 200 if answer.granted else 409)

    # -- who ---------------------------------------------------------------------------------------

    def _user(self, request: Any) -> User | None:
        header = request.headers.get("authorization", "")
        token = header.removeprefix("Bearer ") if header else request.cookies.get("token", "")
        return self._known(token)

    def _known(self, token: str) -> User | None:
        same = [
            u for u in self._options.users if hmac.compare_digest(u.token.encode(), token.encode())
        ]
        return same[0] if same else None

    def _answer(self, granted: bool, reason: str, code: int) -> Any:
        body = json.dumps({"granted": granted, "reason": reason}).encode()
        return self._send(body, "application/json", code)

    def _text(self, text: str, code: int) -> Any:
        return self._send(text.encode(), "text/plain; charset=utf-8", code)

    def _send(self, body: bytes, kind: str, code: int = 200) -> Any:
        response = self._starlette.responses.Response
        return response(body, code, {**_HEADERS, "Content-Type": kind})


def described(runtime: Runtime) -> dict[str, Any]:
    """A loop for the page: signals with limits, model and evidence in words, and its trend."""
    spec = runtime.cleared.spec
    model, limits = spec.model, spec.limits
    ends = zip(limits.u_low.tolist(), limits.u_high.tolist(), strict=True)
    return {
        "name": runtime.name,
        "pace": runtime.pace,
        "Ts": model.Ts,
        "engine": runtime.engine_name,
        "url": runtime.connection.url,
        "outputs": [
            {"name": s.name, "unit": s.unit, "limits": list(span)}
            for s, span in zip(model.outputs, spec.release.safe_set, strict=True)
        ],
        "inputs": [
            {"name": s.name, "unit": s.unit, "limits": list(span)}
            for s, span in zip(model.manipulated, ends, strict=True)
        ],
        "model": f"{model.name}, {model.digest[:12]}, every {model.Ts:g} s",
        "evidence": [list(pair) for pair in runtime.cleared.evidence],
        "trend": [shown(runtime, record, short=True) for record in runtime.trend],
    }


def shown(runtime: Runtime, record: Record, *, short: bool = False) -> dict[str, Any]:
    """A sample for the page; `short`: as a point of the trend."""
    point: dict[str, Any] = {
        "k": record.k,
        **{key: _plain(getattr(record, key)) for key in ("y", "setpoint", "u", "advice")},
    }
    if short or runtime.loop is None:
        return point
    loop = runtime.loop
    return {
        **point,
        "mode": loop.mode.name,
        "revision": loop.revision,
        "why_not_auto": loop.auto_refusal(),
        "status": "; ".join(WORDS[flag] for flag in record.flags),
        "reasons": dict(record.reasons),
        "predicted": [_plain(row) for row in record.predicted],
        "alarms": [
            {
                "name": a.name,
                "text": a.text,
                "active": a.active,
                "by": a.acknowledged,
            }
            for a in loop.alarms
        ],
    }


def _plain(values: Any) -> list[float | None]:
    return [float(v) if isfinite(v) else None for v in values]
