"""The steps that run beside a plant: a cleared controller, and a plant that is simulated."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lstm_mpc.errors import InputError
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import Array, System
from lstm_mpc.project import judged
from lstm_mpc.project.design import Design
from lstm_mpc.project.operation.history import FILE
from lstm_mpc.project.operation.opcua.plant_server import (
    PlantServer,
    ServerOptions,
    quiet_scenario,
)
from lstm_mpc.project.operation.options import wiring_of
from lstm_mpc.project.operation.page.app import Page
from lstm_mpc.project.operation.page.options import PageOptions
from lstm_mpc.project.operation.runtime import Counts, Runtime, usual_engine
from lstm_mpc.project.steps.export_steps import cleared_of


@dataclass(frozen=True)
class Operated:
    """What became of a run beside a plant, and the file that keeps it."""

    name: str
    engine: str
    counts: Counts
    history: Path


Teller = Callable[[str, str, str], None]


def runtime_of(
    design: Design,
    *,
    connection: Path | None = None,
    history: Path | None = None,
    speed: float = 1.0,
    page: bool = False,
    on_event: Teller = lambda who, what, text: None,
) -> Runtime:
    """The controller of a design, cleared and wired.

    Args:
        design: The design, with its release and the evidence of its loop.
        connection: The connection file; by default connection.toml of the design.
        history: Where it is kept what happens; by default history.db of the design.
        speed: How many times faster than real the plant is simulated.
        page: Whether there is an operator's page; see `wiring_of`.
        on_event: Hears who did what.

    Returns:
        What runs it.

    Raises:
        Refused: The gate of the controller says no.
        InputError: There is no usable release, or the connection file cannot be used.
    """
    cleared = cleared_of(design, judged.passed(design, "operate"), engine=usual_engine())
    wiring = wiring_of(design.folder, cleared.spec.model, connection, page=page)
    path = history or design.file(FILE)
    return Runtime(design.name, cleared, wiring, path, speed=speed, on_event=on_event)


def operate_designs(
    designs: Sequence[Design],
    *,
    connection: Path | None = None,
    history: Path | None = None,
    speed: float = 1.0,
    page: PageOptions | None = None,
    on_event: Teller = lambda name, what, text: None,
    ready: Callable[[], None] = lambda: None,
) -> list[Operated]:
    """Run the controllers of designs beside their plants in this process, until it is to end.

    Args:
        designs: The designs, each with its release and the evidence of its loop.
        connection: The connection file of the only design; by default connection.toml of each.
        history: Where it is kept what happens; by default history.db of each.
        speed: How many times faster than real the plants are simulated.
        page: Where the operator's page listens; by default there is none.
        on_event: Hears who did what, and more of it.
        ready: Called when every controller was cleared.

    Returns:
        What became of them.

    Raises:
        Refused: The gate of a controller says no.
        InputError: There is no usable release, a file of one design is given for several, a server
            is another one than was expected, or a node does not fit.
    """
    if len(designs) > 1 and (connection or history):
        raise InputError(
            "operate: several designs have connection.toml and history.db each in its own folder;"
            " leave out --connection and --history"
        )
    runtimes = [
        runtime_of(
            design,
            connection=connection,
            history=history,
            speed=speed,
            page=page is not None,
            on_event=on_event,
        )
        for design in designs
    ]
    for runtime in runtimes:
        on_event(runtime.name, "engine", f"{runtime.engine_name}, every {runtime.pace:g} s")
        on_event(runtime.name, "plant", runtime.connection.url)
    ready()
    return operate(runtimes, beside=None if page is None else Page(runtimes, page).serve)


def operate(
    runtimes: Sequence[Runtime],
    *,
    beside: Callable[[asyncio.Event], Awaitable[None]] | None = None,
    stop: asyncio.Event | None = None,
) -> list[Operated]:
    """Run controllers beside their plants until the process is asked to end.

    Args:
        runtimes: The controllers.
        beside: What else runs, such as a page.
        stop: Ends it when set; by default signals do.

    Returns:
        What became of them.

    Raises:
        InputError: A server is another one than was expected, or a node does not fit.
    """
    return asyncio.run(_operated(runtimes, beside, stop))


async def _operated(
    runtimes: Sequence[Runtime],
    beside: Callable[[asyncio.Event], Awaitable[None]] | None,
    stop: asyncio.Event | None,
) -> list[Operated]:
    stop = stop or asyncio.Event()
    with _Signals(stop):
        tasks = [asyncio.ensure_future(runtime.run(stop)) for runtime in runtimes]
        if beside is not None:
            tasks.append(asyncio.ensure_future(beside(stop)))  # type: ignore[arg-type] # a coroutine
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            stop.set()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()
    return [Operated(r.name, r.engine_name, r.counts, r._path) for r in runtimes]


class _Signals:
    """Ctrl-C and a request to terminate set an event."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, RuntimeError, ValueError):  # Windows, threads
                self._loop.add_signal_handler(number, self._stop.set)

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, RuntimeError, ValueError):
                self._loop.remove_signal_handler(number)


def simulate(
    design: Design,
    options: ServerOptions,
    *,
    scenario: str = "",
    ready: Callable[[str], None] = lambda url: None,
) -> str:
    """Serve the plant of a design until the process is asked to end.

    Args:
        design: The design.
        options: Where and how fast.
        scenario: The name of one of its scenarios; by default the plant rests, with the noise of
            the first one.
        ready: Hears the address.

    Returns:
        The address that it had.

    Raises:
        InputError: The design has no plant or no such scenario, or the address is taken.
    """
    server = plant_server_of(design, options, scenario=scenario)
    asyncio.run(until_ended(lambda stop: server.serve(stop, lambda: ready(options.url))))
    return options.url


async def until_ended(
    serve: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event | None = None
) -> None:
    """Run what ends when an event is set; Ctrl-C and a request to terminate set it."""
    stop = stop or asyncio.Event()
    with _Signals(stop):
        await serve(stop)


def plant_server_of(
    design: Design, options: ServerOptions, *, scenario: str = "", **heard: Callable[..., None]
) -> PlantServer:
    """The plant of a design behind a server that does not listen yet; see `simulate`."""
    found = {s.name: s for s in design.scenarios}
    if scenario and scenario not in found:
        names = ", ".join(found) or "none"
        raise InputError(f"{design.folder}: has no scenario {scenario!r:.60} (it has {names})")
    if scenario:
        return PlantServer(design.plant_of(found[scenario]), found[scenario], options, **heard)
    plant = design.nominal_plant
    quiet = quiet_scenario(plant, plant_rest(plant))
    first = next(iter(design.scenarios), quiet)
    chosen = replace(quiet, name="rest", noise=first.noise)
    return PlantServer(plant, chosen, options, **heard)


def plant_rest(plant: System) -> Array:
    """The outputs (ny,) of a plant at rest under its nominal inputs."""
    chi = rest(plant, plant.u_nominal)
    return plant.vectorised.output(chi[:, None])[:, 0]
