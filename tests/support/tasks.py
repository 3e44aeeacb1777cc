"""Tasks for worker processes: a spawned process imports them from here, by whatever means pytest
has found its tests."""

import os
import time
from pathlib import Path

import numpy as np

from lstm_mpc.io import parallel


def work(number, wait):
    time.sleep(wait)
    parallel.report(("done", number))
    return number, os.getpid(), os.environ.get("OMP_NUM_THREADS"), parallel.stopped()


def die(number):
    if number == 1:
        os._exit(3)
    return number


def fail(number):
    raise ValueError(f"task {number} is odd")


def patient(seconds):
    """Waits to be stopped; true when it was."""
    parallel.report("begun")
    end = time.monotonic() + seconds
    while time.monotonic() < end and not parallel.stopped():
        time.sleep(0.01)
    return parallel.stopped()


def confess(file):
    Path(file).write_text(str(patient(60.0)))


def vessel_step(chi, u, d):
    return np.stack([0.8 * chi[0] + 0.2 * u[0] ** 2 + d[0], chi[0] + 0.3 * chi[1]])


def vessel_output(chi):
    return np.stack([chi[1], 2 * chi[1]])
