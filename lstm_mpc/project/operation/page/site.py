"""What the pages share: who comes in, the files, and how they are served. The only importer of
starlette and uvicorn."""

from __future__ import annotations

import asyncio
import hmac
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from lstm_mpc.errors import InputError
from lstm_mpc.project.operation.page.options import PageOptions, User

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "common.js": "text/javascript",
    "page.js": "text/javascript",
    "tune.js": "text/javascript",
    "page.css": "text/css",
}
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


class Site(ABC):
    """A page with its files for those who have a token; `page` is its HTML file."""

    page: str

    def __init__(self, options: PageOptions) -> None:
        self._options = options
        self._starlette, self._uvicorn = library()
        self._closing = asyncio.Event()

    @abstractmethod
    def _routes(self, routing: Any) -> list[Any]:
        """Its own routes, beside the page and its files."""

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
                *self._routes(routing),
                routing.Route("/{name}", self._file),
            ],
            middleware=[guard],
        )

    async def _index(self, request: Any) -> Any:
        token = request.query_params.get("token")
        if token is not None and self._known(token) is not None:
            answer = self._starlette.responses.RedirectResponse("/", 303, _HEADERS)
            secure = self._options.certificate is not None
            answer.set_cookie("token", token, httponly=True, samesite="strict", secure=secure)
            return answer
        if self._user(request) is None:
            return self._text("Give the address with ?token=… that the terminal printed.", 401)
        return self._send((_STATIC / self.page).read_bytes(), "text/html; charset=utf-8")

    async def _file(self, request: Any) -> Any:
        name = request.path_params["name"]
        if name not in _FILES:
            return self._text("not here", 404)
        return self._send((_STATIC / name).read_bytes(), _FILES[name])

    async def _asked(self, request: Any) -> tuple[User, Any] | Any:
        """Who asks for what by POST, the JSON of the body; or the answer that refuses it."""
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
            return user, json.loads(body, parse_constant=_refused)
        except (ValueError, RecursionError):
            return self._text("JSON is needed", 400)

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

    # -- answers -----------------------------------------------------------------------------------

    def _json(self, content: Any, code: int = 200) -> Any:
        body = json.dumps(content, allow_nan=False).encode()
        return self._send(body, "application/json", code)

    def _text(self, text: str, code: int) -> Any:
        return self._send(text.encode(), "text/plain; charset=utf-8", code)

    def _send(self, body: bytes, kind: str, code: int = 200) -> Any:
        response = self._starlette.responses.Response
        return response(body, code, {**_HEADERS, "Content-Type": kind})

    def _stream(self, lines: AsyncIterator[str], kind: str) -> Any:
        stream = self._starlette.responses.StreamingResponse
        return stream(lines, media_type=kind, headers=_HEADERS)


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")
