"""Work on a Dask cluster, the same as in processes here. The only importer of distributed (extra: cluster).

Workers compile the C they are sent with their own compiler, once a process, so that neither the machines nor their systems need be
alike. A worker that dies loses only what it was at: the scheduler gives that to another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from lstm_mpc.errors import InputError, SolverError

RETRIES = 5  # workers that may die over one task before the task is to blame


def run(
    function: Callable[..., Any],
    common: Any,
    tasks: Sequence[tuple[Any, ...]],
    *,
    address: str,
    on_result: Callable[[Any], None] = lambda _: None,
    patience: float = 30.0,
) -> None:
    """Tell `on_result` of every `function(common, *task)`, in whatever order they end, computed by the workers of the scheduler at
    `address`; `common` is sent once. InputError when none answers within `patience` [s], SolverError when workers keep dying."""
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError as error:
        raise InputError("cluster: distributed is missing; pip install 'lstm_mpc[cluster]' brings it") from error
    try:
        client = Client(address, timeout=patience, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(f"cluster: no scheduler answers at {address!r} ({error}); start one with `dask scheduler`") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=patience)
        except TimeoutError as error:
            raise InputError(f"cluster: {address} has no workers; start some with `dask worker {address}`") from error
        # A task of its own, not a message to one worker: whoever has lost it gets it again. A name of its own: campaigns may share workers.
        key = os.urandom(8).hex()
        shared = client.submit(_same, common, key=f"campaign-{key}", retries=RETRIES)
        futures = [
            client.submit(function, shared, *task, key=f"part-{key}-{number}", retries=RETRIES, pure=False)
            for number, task in enumerate(tasks)
        ]
        try:
            for future in as_completed(futures):
                on_result(future.result())
                future.release()
        except KilledWorker as error:
            raise SolverError(f"cluster: workers keep dying (out of memory, or killed): {error}") from error
        finally:
            client.cancel(futures, force=True)


def _same(value: Any) -> Any:
    return value
