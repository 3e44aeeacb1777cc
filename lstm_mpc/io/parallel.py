"""Work in processes, or in this one: results in the order of the tasks, progress on the way, and
one Ctrl-C that lets tasks finish cleanly."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from types import FrameType, SimpleNamespace
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
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def run(
    function: Callable[..., Any],
    tasks: Iterable[tuple[Any, ...]],
    *,
    workers: int = 1,
    executor: Executor | None = None,
    on_report: Callable[[Any], None] = lambda _: None,
    on_result: Callable[[Any], None] = lambda _: None,
    graceful: bool = False,
) -> list[Any]:
    """`[function(*task) for task in tasks]` in `workers` processes, which `function` and tasks must
    be picklable for; one worker is this process itself. `on_result` is told of each result once it
    is there. An `executor` of `concurrent.futures` takes the place of the processes here:
    `io.cluster` has one.

    Ctrl-C makes `stopped()` true inside the tasks under way, which a long task must ask, and raises
    KeyboardInterrupt once they have ended. With `graceful`, the first one raises nothing: the tasks
    return what they have. Raises SolverError when a worker process dies."""
    tasks = list(tasks)
    if executor is not None:
        return _elsewhere(executor, function, tasks, on_result)
    if workers == 1:
        return _here(function, tasks, on_report, on_result, graceful)
    context = multiprocessing.get_context("spawn")
    reports, stop = context.Queue(), context.Event()
    try:
        with (
            _one_core_each(),
            ProcessPoolExecutor(
                min(workers, len(tasks)) or 1, context, _begin, (reports, stop)
            ) as pool,
            ctrl_c(signal.SIG_IGN) as restore,
        ):
            begin = (function,) if graceful else (_unless_stopped, function)
            # workers inherit that they ignore Ctrl-C
            futures = [pool.submit(*begin, *task) for task in tasks]
            restore(_first_stops(stop, graceful=True) if graceful else interrupt)
            waiting = set(futures)
            try:
                while waiting:
                    _drain(reports, on_report, timeout=0.1)
                    for future in [f for f in waiting if f.done()]:
                        waiting.remove(future)
                        on_result(future.result())
            except BaseException:
                # or the tasks under way would go on to their end, and this process with them
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise
            results = [future.result() for future in futures]
        # what was still under way when the last task ended
        _drain(reports, on_report, timeout=0.05)
        return results
    except BrokenProcessPool as error:
        raise SolverError(
            "a worker process died (out of memory, or killed); run again with fewer workers"
        ) from error


def _here(
    function: Callable[..., Any],
    tasks: list[tuple[Any, ...]],
    on_report: Callable[[Any], None],
    on_result: Callable[[Any], None],
    graceful: bool,
) -> list[Any]:
    """One task after the other, on one core, so that its round-off is that of a worker."""
    global _reports, _stop
    from threadpoolctl import threadpool_limits

    outer, results, stop = (_reports, _stop), [], threading.Event()
    _reports, _stop = SimpleNamespace(put=on_report), stop
    try:
        with threadpool_limits(1), ctrl_c(_first_stops(stop, graceful)):
            for task in tasks:
                results.append(function(*task))
                if stop.is_set() and not graceful:
                    raise KeyboardInterrupt
                on_result(results[-1])
    finally:
        _reports, _stop = outer
    return results


def _elsewhere(
    executor: Executor,
    function: Callable[..., Any],
    tasks: list[tuple[Any, ...]],
    on_result: Callable[[Any], None],
) -> list[Any]:
    futures = [executor.submit(function, *task) for task in tasks]
    try:
        for future in as_completed(futures):
            on_result(future.result())
    finally:  # of no effect where all have ended
        for future in futures:
            future.cancel()
    return [future.result() for future in futures]


def _unless_stopped(function: Callable[..., Any], *task: Any) -> Any:
    """A task that lay ready for its worker when Ctrl-C came does not begin."""
    if stopped():
        raise KeyboardInterrupt
    return function(*task)


def _drain(reports: Any, on_report: Callable[[Any], None], *, timeout: float) -> None:
    with suppress(queue.Empty):
        while True:
            on_report(reports.get(timeout=timeout))


@contextmanager
def _one_core_each() -> Iterator[None]:
    """One core per worker; read when the worker imports NumPy."""
    kept = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    os.environ.update(dict.fromkeys(kept, "1"))
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@contextmanager
def ctrl_c(handler: Any) -> Iterator[Callable[[Any], Any]]:
    """Handle Ctrl-C by `handler`; yields a function to change it. Only the main thread may;
    elsewhere, and in a job that a shell runs in the background, nothing happens."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):
        yield lambda _: None
        return
    before, hook = signal.signal(signal.SIGINT, handler), sys.unraisablehook

    def lost(what: sys.UnraisableHookArgs) -> None:
        """Python drops what is raised where an object ends."""
        if what.exc_type is KeyboardInterrupt:
            _again()
        else:
            hook(what)

    sys.unraisablehook = lost
    try:
        yield lambda other: signal.signal(signal.SIGINT, other)
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, before)


def interrupt(_: int, frame: FrameType | None) -> None:
    """The handler that raises KeyboardInterrupt, yet never inside CasADi: its wrapper takes what is
    raised while it looks at an argument for "not of this type", and goes on or fails. There Ctrl-C
    comes again a moment later."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("casadi."):
            _again()
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _again() -> None:
    threading.Timer(
        0.01, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)
    ).start()


_interruptions = 0


def interruptions() -> int:
    """How often Ctrl-C has ended graceful work in this process."""
    return _interruptions


def _first_stops(stop: Any, graceful: bool) -> Callable[[int, FrameType | None], None]:
    def handler(number: int, frame: FrameType | None) -> None:
        global _interruptions
        if stop.is_set():
            interrupt(number, frame)
        _interruptions += graceful
        stop.set()

    return handler
