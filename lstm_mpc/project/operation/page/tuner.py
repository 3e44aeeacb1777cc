"""The tuner's page: numbers are tried on the design's plant as they change, and written into
design.toml after the difference was shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from math import isfinite
from threading import Event
from typing import Any

import numpy as np

from lstm_mpc.control.controller import WORDS
from lstm_mpc.control.limits import limits
from lstm_mpc.control.simulation import Sample
from lstm_mpc.errors import InputError, LstmMpcError
from lstm_mpc.io.schema import noun
from lstm_mpc.project import artefacts, judged
from lstm_mpc.project.design import Design, load_design
from lstm_mpc.project.operation.options import LOOPBACK
from lstm_mpc.project.operation.page.options import PageOptions
from lstm_mpc.project.operation.page.site import Site
from lstm_mpc.project.tuning import numbers
from lstm_mpc.project.tuning.what_if import Bench, WhatIf


class _Gone(Exception):
    """Nobody waits for the run any more."""


class Tuner(Site):
    """The page on which the numbers of a design's controller are tried.

    Args:
        design: The design, with its release.
        options: Where it listens, on this machine only.
        on_write: Hears what was written.

    Raises:
        InputError: There is no usable release, or the address is not of this machine.
    """

    page = "tune.html"

    def __init__(
        self,
        design: Design,
        options: PageOptions,
        on_write: Callable[[list[str]], None] = lambda lines: None,
    ) -> None:
        if options.host not in LOOPBACK:
            raise InputError(f"tune: the page is for this machine only, not for {options.host}")
        super().__init__(options)
        self._folder, self._bench, self._on_write = design.folder, Bench(design), on_write
        self._one = asyncio.Lock()  # one run at a time

    def _routes(self, routing: Any) -> list[Any]:
        return [
            routing.Route("/state", self._state),
            routing.Route("/try", self._try, methods=["POST"]),
            routing.Route("/difference", self._difference, methods=["POST"]),
            routing.Route("/write", self._write, methods=["POST"]),
        ]

    async def _state(self, request: Any) -> Any:
        if self._user(request) is None:
            return self._text("a token is needed", 401)
        return self._json(described(load_design(self._folder), self._bench))

    async def _try(self, request: Any) -> Any:
        asked = await self._asked(request)
        if not isinstance(asked, tuple):
            return asked
        try:
            what = noun(WhatIf, _part(asked[1], "what"), "what")
            text = numbers.read_text(self._folder)
            design = numbers.design_with(self._folder, text, self._numbers(asked[1]))
        except InputError as error:
            return self._json({"error": str(error)}, 409)
        return self._stream(self._samples(design, what), "application/x-ndjson")

    async def _samples(self, design: Design, what: WhatIf) -> AsyncIterator[str]:
        """A line for every sample as it is computed, and one of the whole at the end."""
        lines, loop, gone = asyncio.Queue[str | None](), asyncio.get_running_loop(), Event()

        def put(content: dict[str, Any] | None) -> None:
            text = None if content is None else json.dumps(content, allow_nan=False) + "\n"
            loop.call_soon_threadsafe(lines.put_nowait, text)

        def on_step(sample: Sample) -> None:
            if gone.is_set() or self._closing.is_set():
                raise _Gone
            put(_shown(sample))

        def work() -> None:
            try:
                put({"figures": _figures(self._bench.run(design, what, on_step)[1])})
            except LstmMpcError as error:
                put({"error": str(error)})
            except _Gone:
                pass
            finally:
                put(None)

        async with self._one:
            task = asyncio.create_task(asyncio.to_thread(work))
            try:
                while (line := await lines.get()) is not None:
                    yield line
            finally:
                gone.set()
                await task

    async def _difference(self, request: Any) -> Any:
        asked = await self._asked(request)
        if not isinstance(asked, tuple):
            return asked
        try:
            text = numbers.read_text(self._folder)
            new = numbers.changed_text(self._folder, text, self._checked(text, asked[1]))
        except InputError as error:
            return self._json({"error": str(error)}, 409)
        lines = numbers.difference(text, new)
        return self._json({"lines": lines, "seen": numbers.digest_of(text)})

    async def _write(self, request: Any) -> Any:
        asked = await self._asked(request)
        if not isinstance(asked, tuple):
            return asked
        body = asked[1]
        try:
            before = numbers.read_text(self._folder)
            seen = body.get("seen", "") if isinstance(body, dict) else ""
            numbers.write(self._folder, str(seen), self._checked(before, body))
            lines = numbers.difference(before, numbers.read_text(self._folder))
            design = load_design(self._folder)
        except InputError as error:
            return self._json({"error": str(error)}, 409)
        self._on_write(lines)
        return self._json(described(design, self._bench))

    def _numbers(self, body: Any) -> dict[str, Any]:
        """The numbers that are asked for, one for all signals where design.toml has it so."""
        given = _part(body, "control")
        old = load_design(self._folder).control
        for key, value in given.items():
            if isinstance(value, list) and value and value == value[:1] * len(value):
                usual = getattr(old, key, value)
                given[key] = value[0] if np.ndim(usual) == 0 else value
        return given

    def _checked(self, text: str, body: Any) -> dict[str, Any]:
        """The numbers, if a controller can be made with them."""
        given = self._numbers(body)
        limits(self._bench.release, numbers.design_with(self._folder, text, given).control)
        return given


def described(design: Design, bench: Bench) -> dict[str, Any]:
    """A design for the page: signals, what may be asked, the numbers in force, and which evidence
    speaks of other ones."""
    problem, plant, release = design.control, bench.plant, bench.release
    bounds = limits(release, problem)
    ends = zip(bounds.u_low.tolist(), bounds.u_high.tolist(), strict=True)
    stale = judged.stale(design, artefacts.RELEASE, release.manifest)
    return {
        "name": design.name,
        "Ts": plant.Ts,
        "plant": "the model" if bench.is_model else plant.name,
        "model": f"{release.model.name}, {release.model.digest[:12]}, every {plant.Ts:g} s",
        "outputs": [
            {"name": s.name, "unit": s.unit, "limits": list(span), "setpoint": _another(y, *span)}
            for s, span, y in zip(plant.outputs, design.safe_set, bench.rest.tolist(), strict=True)
        ],
        "inputs": [
            {"name": s.name, "unit": s.unit, "limits": list(span)}
            for s, span in zip(plant.inputs, ends, strict=True)
        ],
        "disturbances": [
            {
                "name": s.name,
                "unit": s.unit,
                "limits": [_plain(s.low - s.typical), _plain(s.high - s.typical)],
            }
            for s in plant.disturbances
        ],
        "scenarios": [s.name for s in design.scenarios],
        "noise": next((s.noise for s in design.scenarios), 0.0),
        "control": {
            "horizon": problem.horizon,
            "output_weight": bounds.output_weight.tolist(),
            "move_penalty": bounds.move_penalty.tolist(),
            "violation_weight": bounds.violation_weight.tolist(),
        },
        "stale": f"{artefacts.RELEASE} {stale}" if stale else "",
    }


def _part(body: Any, key: str) -> dict[str, Any]:
    found = body.get(key) if isinstance(body, dict) else None
    if not isinstance(found, dict):
        raise InputError(f"{key} is needed, a table")
    return dict(found)


def _shown(sample: Sample) -> dict[str, Any]:
    return {
        "y": [_plain(v) for v in sample.y.tolist()],
        "setpoint": [_plain(v) for v in sample.reference.tolist()],
        "u": sample.move.u.tolist(),
        "status": "; ".join(WORDS[flag] for flag in sample.move.flags),
    }


def _figures(metrics: Any) -> dict[str, Any]:
    """What the page shows of a run: figures of each output, and the travel of each input."""
    return {
        "outputs": [
            {
                "iae": each["iae"],
                "overshoot": max(s["overshoot"] for s in each["steps"]),
                "settling": [s["settling"] for s in each["steps"]],
                "offset": max(s["offset"] for s in each["steps"]),
            }
            for each in metrics["each"]
        ],
        "travels": metrics["travels"],
        "flagged": metrics["flagged"],
        "ms": metrics["solve_ms"]["median"],
    }


def _plain(value: float) -> float | None:
    return value if isfinite(value) else None


def _another(y: float, low: float, high: float) -> float:
    """A setpoint a tenth of the safe set away from where the plant rests, towards its middle."""
    return float(f"{y + (0.1 if y <= 0.5 * (low + high) else -0.1) * (high - low):.3g}")
