"""Work in processes: results in the order of the tasks, progress on the way, and one Ctrl-C that lets workers finish cleanly."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from lstm_mpc.errors import SolverError

_reports: Any = None
_stop: Any = None


def cores() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def report(message: Any) -> None:
    """From inside a task: send progress to the caller."""
    if _reports is not None:
        _reports.put(message)


def stopped() -> bool:
    """From inside a task: has the user pressed Ctrl-C?"""
    return _stop is not None and bool(_stop.is_set())


def _begin(reports: Any, stop: Any) -> None:
    global _reports, _stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    _reports, _stop = reports, stop


def run(
    function: Callable[..., Any],
    tasks: Iterable[tuple[Any, ...]],
    *,
    workers: int,
    on_report: Callable[[Any], None] = lambda _: None,
) -> list[Any]:
    """`[function(*task) for task in tasks]` in `workers` processes; `function` and tasks must be picklable.

    On Ctrl-C the tasks see `stopped()` and return early with what they have; a second Ctrl-C ends everything at once.
    Raises SolverError when a worker process dies.
    """
    tasks = list(tasks)
    context = multiprocessing.get_context("spawn")
    reports, stop = context.Queue(), context.Event()
    kept = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    os.environ.update(dict.fromkeys(kept, "1"))  # one core per worker; read when the worker imports NumPy
    try:
        with ProcessPoolExecutor(min(workers, len(tasks)) or 1, context, _begin, (reports, stop)) as pool:
            futures = [pool.submit(function, *task) for task in tasks]
            while not all(future.done() for future in futures):
                try:
                    on_report(reports.get(timeout=0.1))
                except queue.Empty:
                    continue
                except KeyboardInterrupt:
                    if stop.is_set():
                        pool.shutdown(wait=False, cancel_futures=True)
                        raise
                    stop.set()
            results = [future.result() for future in futures]
            while True:  # reports still under way when the last task ended
                try:
                    on_report(reports.get(timeout=0.05))
                except queue.Empty:
                    return results
    except BrokenProcessPool as error:
        raise SolverError("a worker process died (out of memory, or killed); run again with fewer workers") from error
    finally:
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
