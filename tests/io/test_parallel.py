"""Work in processes: order, reports, Ctrl-C, and workers that die."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import casadi as ca
import pytest
from tasks import confess, die, fail, patient, work
from threadpoolctl import threadpool_info, threadpool_limits

from lstm_mpc.errors import SolverError
from lstm_mpc.io import parallel


def test_results_keep_the_order_of_the_tasks_and_every_report_arrives(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    reports = []
    results = parallel.run(
        work, [(1, 0.3), (2, 0.0), (3, 0.0), (4, 0.0)], workers=2, on_report=reports.append
    )
    assert [number for number, *_ in results] == [1, 2, 3, 4]
    assert sorted(reports) == [("done", number) for number in (1, 2, 3, 4)]
    assert os.getpid() not in {pid for _, pid, *_ in results}
    assert {(threads, stopped) for *_, threads, stopped in results} == {("1", False)}
    assert os.environ["OMP_NUM_THREADS"] == "7"  # put back
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_a_dying_worker_is_a_solver_error():
    with pytest.raises(
        SolverError, match=r"a worker process died .*; run again with fewer workers"
    ):
        parallel.run(die, [(0,), (1,), (2,)], workers=2)


def test_an_exception_in_a_task_comes_through():
    with pytest.raises(ValueError, match="task 1 is odd"):
        parallel.run(fail, [(1,)], workers=1)


def ctrl_c(_):
    signal.raise_signal(signal.SIGINT)


def test_every_result_is_told_once_it_is_there():
    told = []
    assert parallel.run(pow, [(2, n) for n in range(4)], workers=2, on_result=told.append) == [
        1,
        2,
        4,
        8,
    ]
    assert sorted(told) == [1, 2, 4, 8]


def test_a_graceful_ctrl_c_keeps_what_the_tasks_return():
    before = signal.getsignal(signal.SIGINT)
    assert parallel.run(patient, [(60.0,)], workers=1, on_report=ctrl_c, graceful=True) == [True]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_task_under_way_learns_of_ctrl_c(tmp_path):
    """Or Ctrl-C would wait for its end, minutes perhaps."""
    with pytest.raises(KeyboardInterrupt):
        parallel.run(confess, [(tmp_path / "said",)], workers=1, on_report=ctrl_c)
    assert (tmp_path / "said").read_text() == "True"


def test_ctrl_c_is_passed_on_and_nothing_more_is_begun():
    before, reports = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt):
        parallel.run(
            patient, [(0.1,)] * 50, workers=1, on_report=lambda r: (reports.append(r), ctrl_c(r))
        )
    assert reports == ["begun"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_ends_a_graceful_run_as_well():
    with pytest.raises(KeyboardInterrupt):
        parallel.run(
            patient, [(60.0,)], workers=1, on_report=lambda r: (ctrl_c(r), ctrl_c(r)), graceful=True
        )


def test_a_thread_may_run_tasks_and_leaves_ctrl_c_alone():
    results, before = [], signal.getsignal(signal.SIGINT)
    thread = threading.Thread(
        target=lambda: results.extend(parallel.run(work, [(1, 0.0)], workers=1))
    )
    thread.start()
    thread.join()
    assert [number for number, *_ in results] == [1]
    assert signal.getsignal(signal.SIGINT) is before


class Pressed:
    """CasADi asks it for its matrix, more than once; the user presses Ctrl-C at the first."""

    def __init__(self):
        self.asked = 0

    def __DM__(self):
        self.asked += 1
        if self.asked == 1:
            signal.raise_signal(signal.SIGINT)
        return ca.DM(-3.0)


def test_casadi_loses_the_interrupt_of_python():
    """Why `interrupt` is there; when this fails, it can go."""
    with parallel.ctrl_c(signal.default_int_handler):
        assert ca.fabs(Pressed()) == 3.0


def test_ctrl_c_inside_casadi_comes_again_after_it():
    with parallel.ctrl_c(parallel.interrupt):
        assert ca.fabs(Pressed()) == 3.0
        with pytest.raises(KeyboardInterrupt):
            time.sleep(5.0)


class Ending:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_where_an_object_ends_comes_again():
    def end():
        Ending()
        time.sleep(5.0)

    with parallel.ctrl_c(parallel.interrupt), pytest.raises(KeyboardInterrupt):
        end()


def test_other_errors_there_are_told_as_before(monkeypatch):
    class Broken:
        def __del__(self):
            raise ValueError("at the end")

    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: told.append(str(what.exc_value)))
    with parallel.ctrl_c(parallel.interrupt):
        Broken()
    assert told == ["at the end"]


def test_a_job_in_the_background_goes_on_ignoring_ctrl_c():
    with parallel.ctrl_c(signal.SIG_IGN):
        assert parallel.run(patient, [(0.1,)], workers=1, on_report=ctrl_c) == [False]


def test_no_tasks_no_results():
    assert parallel.run(work, [], workers=4) == []


def test_one_worker_is_this_process_on_one_core():
    reports, told = [], []
    with threadpool_limits(2):
        results = parallel.run(
            blas, [(1,), (2,)], workers=1, on_report=reports.append, on_result=told.append
        )
        assert set(threads()) == {2}  # put back
    assert results == told == [(number, os.getpid(), {1}) for number in (1, 2)]
    assert reports == [("done", 1), ("done", 2)]
    assert parallel.report("lost") is None  # nobody listens any more


def blas(number):
    parallel.report(("done", number))
    return number, os.getpid(), set(threads())


def threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_a_plain_script_identifies_with_one_worker(tmp_path):
    """Processes would run a script without a `__main__` guard again, and fail."""
    script = tmp_path / "plain.py"
    script.write_text(
        "import numpy as np, lstm_mpc as lm\n"
        "rng = np.random.default_rng(0)\n"
        "u = np.repeat(rng.uniform(-1, 1, 20), 5)[:, None]\n"
        "y = np.zeros_like(u)\n"
        "for k in range(99): y[k + 1] = 0.7 * y[k] + 0.3 * np.tanh(u[k])\n"
        "record = lm.Record('one', u, y)\n"
        "data = lm.Dataset((lm.Signal('u', '-', -1, 1),), (lm.Signal('y', '-'),), 1.0, (record,))\n"
        "options = lm.TrainingOptions(cells=(1,), iterations=3)\n"
        "done = lm.identify(data, data, options, lm.SearchOptions(starts=1), workers=1)\n"
        "print(done.model.sizes.nx)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("(1,)\n", 0), done.stderr


def test_outside_a_worker_reports_go_nowhere_and_nothing_is_stopped():
    assert parallel.report("lost") is None
    assert parallel.stopped() is False
    assert parallel.cores() >= 1


def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    """Must fail without the watch: a killed parent cleans nothing up."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, sys, time\n"
        "from lstm_mpc.io import parallel\n"
        "def work(folder):\n"
        "    open(os.path.join(folder, str(os.getpid())), 'w').close()\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    parallel.run(work, [(sys.argv[1],)] * 2, workers=2)\n"
    )
    (pids := tmp_path / "pids").mkdir()
    parent = subprocess.Popen([sys.executable, str(script), str(pids)])
    _wait_for(lambda: len(list(pids.iterdir())) == 2)
    parent.kill()
    parent.wait()
    _wait_for(lambda: not any(Path("/proc", file.name).exists() for file in pids.iterdir()))


def _wait_for(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
