"""The operator's page: the state of some loops, their samples as events, and what people ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from math import isfinite
from typing import Any

from lstm_mpc.control.controller import WORDS
from lstm_mpc.project.operation.facts import Record
from lstm_mpc.project.operation.modes import Request
from lstm_mpc.project.operation.page.options import PageOptions
from lstm_mpc.project.operation.page.site import Site
from lstm_mpc.project.operation.runtime import Runtime


class Page(Site):
    """The page of some loops."""

    page = "page.html"

    def __init__(self, runtimes: Sequence[Runtime], options: PageOptions) -> None:
        super().__init__(options)
        self._runtimes = list(runtimes)

    def _routes(self, routing: Any) -> list[Any]:
        return [
            routing.Route("/state", self._state),
            routing.Route("/events", self._events),
            routing.Route("/request", self._request, methods=["POST"]),
        ]

    async def _state(self, request: Any) -> Any:
        user = self._user(request)
        if user is None:
            return self._text("a token is needed", 401)
        loops = [described(runtime) for runtime in self._runtimes]
        return self._json({"user": user.name, "role": user.role, "loops": loops})

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

        return self._stream(lines(), "text/event-stream")

    async def _change(self, pace: float) -> None:
        """Wait for a sample, or long enough to look again."""
        await asyncio.sleep(min(0.2, 0.25 * pace))

    async def _request(self, request: Any) -> Any:
        asked = await self._asked(request)
        if not isinstance(asked, tuple):
            return asked
        user, body = asked
        try:
            loop = self._runtimes[int(body["loop"])].loop
            wanted = Request(user.name, str(body["what"]), body["value"], int(body["seen"]))
        except (ValueError, KeyError, TypeError, IndexError):
            return self._text("loop, what, value and seen are needed", 400)
        if user.role != "operator":
            return self._answer(False, f"{user.name} is a viewer", 403)
        if loop is None:
            return self._answer(False, "the plant has not been reached yet", 409)
        answer = loop.request(wanted)
        return self._answer(answer.granted, answer.reason, 200 if answer.granted else 409)

    def _answer(self, granted: bool, reason: str, code: int) -> Any:
        return self._json({"granted": granted, "reason": reason}, code)


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
