"""Work on a Dask cluster, the same as in processes here. The only importer of distributed (extra:
cluster).

Scheduler and workers need the same version of this package. Workers compile the C they are sent
with their own compiler, once a process, so that neither the machines nor their systems need be
alike. A worker that dies loses only what it was at: the scheduler gives that to another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

from lstm_mpc.errors import InputError, SolverError
from lstm_mpc.io.artefact_file import VERSION


class ClusterExecutor(Executor):
    """The workers of a Dask client as an executor of `concurrent.futures`.

    The first argument of a task is sent once for all tasks that share it: what scenarios have in
    common is large."""

    def __init__(self, client: Any) -> None:
        self._client, self._pool, self._key = client, client.get_executor(), os.urandom(8).hex()
        self._shared: dict[
            int, tuple[Any, Any]
        ] = {}  # the object is kept, so that its id is its own
        self._count = 0

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Begin `function(*args, **kwargs)` on some worker."""
        if args:
            args = (self._sent(args[0]), *args[1:])
        self._count += 1
        # A key of its own: the same task of another campaign is another task.
        key = f"part-{self._key}-{self._count}"
        future: Future[Any] = self._pool.submit(function, *args, key=key, **kwargs)
        return future

    def _sent(self, common: Any) -> Any:
        """What stands for `common` on the workers. A task of its own, not a message to one worker:
        whoever has lost it gets it again."""
        if id(common) not in self._shared:
            key = f"common-{self._key}-{len(self._shared)}"
            sent = self._client.submit(_received, common, VERSION, key=key)
            self._shared[id(common)] = common, sent
        return self._shared[id(common)][1]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End; what is under way is waited for, or given up."""
        self._pool.shutdown(wait=wait and not cancel_futures)


@contextmanager
def executor(
    address: str, *, patience: float = 30.0, unprotected: bool = False
) -> Iterator[ClusterExecutor]:
    """The workers of the scheduler at `address` (tls://host:port) as an executor. Keys and
    certificates are those of Dask's configuration.

    InputError when none answers within `patience` [s], and for a scheduler without TLS on another
    machine, unless that is asked for as `unprotected`; SolverError when workers keep dying."""
    if not (unprotected or _protected(address)):
        raise InputError(
            f"cluster: {address!r:.80} is not protected: whoever reaches the port of a scheduler"
            " runs code there and here; give a tls:// address (DASK_DISTRIBUTED__COMM__TLS__* name"
            " the certificates), or say --unprotected (unprotected=True) on a network of your own"
        )
    try:
        from distributed import Client, KilledWorker
        from distributed.security import Security
    except ImportError as error:
        raise InputError(
            "cluster: distributed is missing; pip install 'lstm_mpc[cluster]' brings it"
        ) from error
    if address.startswith("tls://"):
        try:
            ready = Security().get_connection_args("client").get("ssl_context") is not None
        except (OSError, ValueError) as error:
            raise InputError(f"cluster: the certificates cannot be used ({error})") from error
        if not ready:
            raise InputError(
                f"cluster: {address!r:.80} needs certificates;"
                " DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …TLS__CLIENT__CERT and"
                " …TLS__CLIENT__KEY name their files"
            )
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
        pool = ClusterExecutor(client)
        try:
            yield pool
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
            pool.shutdown(cancel_futures=True)


def _protected(address: str) -> bool:
    """Does the address ask for TLS, or stay on this machine?"""
    scheme, _, place = address.rpartition("://")
    if scheme in ("tls", "wss", "inproc"):
        return True
    host = place.rpartition(":")[0].strip("[]") if ":" in place else place
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _received(value: Any, version: str) -> Any:
    """On a worker: what was sent, if this is the version that it is meant for."""
    if version != VERSION:
        raise InputError(
            f"cluster: a worker has lstm_mpc {VERSION}, this machine {version}; install the same"
        )
    return value
