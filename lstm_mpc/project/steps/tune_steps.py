"""The step at which the numbers of a controller are chosen: a page on which they are tried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lstm_mpc.project.design import Design
from lstm_mpc.project.operation.page.options import PageOptions, users_of
from lstm_mpc.project.operation.page.tuner import Tuner
from lstm_mpc.project.steps.operate_steps import until_ended


def tune(
    design: Design,
    *,
    port: int = 8470,
    ready: Callable[[str], None] = lambda url: None,
    on_write: Callable[[list[str]], None] = lambda lines: None,
    stop: asyncio.Event | None = None,
) -> list[list[str]]:
    """Serve the page on which numbers are tried, to this machine only, until it is asked to end.

    Args:
        design: The design, with its release.
        port: Where the page listens.
        ready: Hears the address, with the token that opens it.
        on_write: Hears what was written into design.toml, line by line.
        stop: Ends it when set; by default signals do.

    Returns:
        The differences that were written, one after the other.

    Raises:
        InputError: There is no usable release, or the address is taken.
    """
    (_, operator), written = users_of(None), list[list[str]]()

    def heard(lines: list[str]) -> None:
        written.append(lines)
        on_write(lines)

    options = PageOptions((operator,), port=port)
    tuner = Tuner(design, options, heard)
    ready(f"{options.url}/?token={operator.token}")
    asyncio.run(until_ended(tuner.serve, stop))
    return written
