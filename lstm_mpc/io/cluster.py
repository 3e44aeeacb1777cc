"""Work on a Dask cluster, the same as in processes here. The only importer of distributed (extra:
cluster).

Scheduler and workers need the same version of this package. Workers compile the C they are sent
with their own compiler, once a process, so that neither the machines nor their systems need be
alike. A worker that dies loses only what it was at: the scheduler gives that to another."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from lstm_mpc.errors import InputError, SolverError
from lstm_mpc.io.artefact_file import VERSION


def run(
    function: Callable[..., Any],
    common: Any,
    tasks: Sequence[tuple[Any, ...]],
    *,
    address: str,
    on_result: Callable[[Any], None] = lambda _: None,
    patience: float = 30.0,
) -> None:
    """Tell `on_result` of every `function(common, *task)`, in whatever order they end, computed by
    the workers of the scheduler at `address`; `common` is sent once. InputError when none answers
    within `patience` [s], SolverError when workers keep dying."""
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError as error:
        raise InputError(
            "cluster: distributed is missing; pip install 'lstm_mpc[cluster]' brings it"
        ) from error
    try:
        client = Client(address, timeout=patience, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"cluster: no scheduler answers at {address!r} ({error}); start one with `dask"
            " scheduler`"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=patience)
        except TimeoutError as error:
            raise InputError(
                f"cluster: {address} has no workers; start some with `dask worker {address}`"
            ) from error
        # A task of its own, not a message to one worker: whoever has lost it gets it again. A name
        # of its own: campaigns may share workers.
        key = os.urandom(8).hex()
        shared = client.submit(_received, common, VERSION, key=f"campaign-{key}")
        futures = [
            client.submit(function, shared, *task, key=f"part-{key}-{number}")
            for number, task in enumerate(tasks)
        ]
        try:
            for future in as_completed(futures, loop=client.loop):
                on_result(future.result())
                future.release()
        except KilledWorker as error:
            raise SolverError(
                f"cluster: workers keep dying (out of memory, or killed): {error}"
            ) from error
        except RuntimeError as error:
            # what the scheduler says when it lacks a module
            if "deserialization" not in str(error):
                raise
            raise InputError(
                "cluster: scheduler and workers cannot read what is sent; install lstm_mpc"
                f" {VERSION} there"
            ) from error
        finally:
            client.cancel(futures, force=True)


def _received(value: Any, version: str) -> Any:
    """On a worker: what was sent, if this is the version that it is meant for."""
    if version != VERSION:
        raise InputError(
            f"cluster: a worker has lstm_mpc {VERSION}, this machine {version}; install the same"
        )
    return value
