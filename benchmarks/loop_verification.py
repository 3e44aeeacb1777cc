"""How fast the closed loop is verified, and what it costs on many machines, as Markdown tables.

    python benchmarks/loop_verification.py [--workers 2] [--dompc 4] [--large 10000]

Shows, for models/ph: the campaign of the bar, 2964 scenarios of 360 steps; the same through do-mpc,
measured on a few scenarios and extrapolated, core against core; with --large, time, memory and
network of that many scenarios, from which docs/scaling.md reckons."""

import argparse
import os
import pickle
import platform
import tempfile
import time
from pathlib import Path

# one core means one core; read when NumPy loads
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import casadi as ca
import numpy as np
from verification import peak

from lstm_mpc.assurance.loop_verification import loop_experiment, verify_loop
from lstm_mpc.assurance.loops.experiment import CHUNK, run_batch
from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.certificates.gate import Release
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.io import parallel
from lstm_mpc.project.design import load_design

DESIGN = load_design(Path(__file__).resolve().parents[1] / "models" / "ph")
SCENARIOS = 2964  # N of (11) for ε = 1e-2, β = 1e-6
BAR_SECONDS, BAR_FACTOR = 90.0, 200.0


def timed(function):
    """Wall time and processor time of this process [s], and what came out."""
    wall, own = time.perf_counter(), time.process_time()
    result = function()
    return time.perf_counter() - wall, time.process_time() - own, result


def campaign(spec, scenarios, workers, **how):
    plant, law = DESIGN.plant_of(DESIGN.loop_law), DESIGN.loop_law
    how |= {"scenarios": scenarios, "workers": workers}
    return verify_loop(spec, plant, law, DESIGN.verify_loop, **how)


def through_dompc(passed, count):
    """Processor time [s] of the first `count` scenarios with do-mpc as the controller: what one
    writes without this package."""
    v, law, spent = DESIGN.verify_loop, DESIGN.loop_law, 0.0
    plant, engine = DESIGN.plant_of(law), MPC(passed, DESIGN.control, "dompc")
    for index in range(count):
        scenario, before = law.draw(index, seed=v.seed, plant=plant, steps=v.steps)
        _, own, _ = timed(
            lambda s=scenario, u=before: simulate_closed_loop(plant, engine, s, u_start=u)
        )
        spent += own
    return spent


def main(workers, dompc, large):
    passed, v = Release.load(DESIGN.file("release.json")), DESIGN.verify_loop
    spec = ControllerSpec(passed, DESIGN.control, DESIGN.solver)
    whole = loop_experiment(spec, DESIGN.plant_of(DESIGN.loop_law), DESIGN.loop_law, v)
    run_batch(whole, 0, 1)  # compiled from here on
    print(
        f"# Verification of the closed loop\n\n{parallel.cores()} cores, {platform.machine()},"
        f" Python {platform.python_version()}, ",
        end="",
    )
    print(
        f"casadi {ca.__version__}, numpy {np.__version__}; load {os.getloadavg()[0]:.1f} before\n"
    )
    print("| what | measured | bar |\n|---|---|---|")
    wall, _, _ = timed(lambda: campaign(spec, SCENARIOS, workers))
    print(
        f"| {SCENARIOS} scenarios × {v.steps} steps, {workers} workers | {wall:.1f} s | ≤"
        f" {BAR_SECONDS:.0f} s |",
        flush=True,
    )
    own = min(timed(lambda: run_batch(whole, 0, CHUNK))[1] for _ in range(3)) / CHUNK
    print(
        f"| one scenario, one core, best of 3 × {CHUNK} | {1e3 * own:.2f} ms,"
        f" {1e6 * own / v.steps:.1f} µs a sample | |",
        flush=True,
    )
    if dompc:
        theirs = through_dompc(passed, dompc) / dompc
        text = (
            f"{theirs:.2f} s a scenario (from {dompc}); {SCENARIOS} would take"
            f" {theirs * SCENARIOS / 3600:.1f} h on a core"
        )
        print(f"| the same through do-mpc, one core, extrapolated | {text} | |")
        print(
            f"| factor, core against core | {theirs / own:.0f} | ≥ {BAR_FACTOR:.0f} |", flush=True
        )
    if large:
        sent, part = len(pickle.dumps(whole)), pickle.dumps(run_batch(whole, 0, 2))
        with tempfile.TemporaryDirectory() as folder:
            sizes = []
            kept = Path(folder, "parts")

            def look(share):
                sizes.append(sum(path.stat().st_size for path in kept.rglob("part-*")))

            before = peak()
            wall, _, _ = timed(
                lambda: campaign(spec, large, workers, checkpoint=kept, on_progress=look)
            )
            grown = peak() - before
        print(f"\n{large} scenarios: {wall:.0f} s with {workers} workers; ", end="")
        print(
            f"the calling process grew by {grown:.1f} MB; checkpoint {sizes[-1] / 1024:.0f} KiB in"
            f" {-(-large // CHUNK)} parts. ",
            end="",
        )
        print(
            f"Sent once to each worker {sent / 1024:.0f} KiB, back for each part {len(part)} bytes."
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--workers", type=int, default=parallel.cores(), help="processes (default: %(default)s)"
    )
    parser.add_argument(
        "--dompc",
        type=int,
        default=4,
        help="scenarios through do-mpc (default: %(default)s; 0: none)",
    )
    parser.add_argument(
        "--large", type=int, default=0, help="scenarios of a large campaign (default: none)"
    )
    choice = parser.parse_args()
    main(choice.workers, choice.dompc, choice.large)
