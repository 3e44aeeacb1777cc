"""How fast and how large scenario verification is, as Markdown tables.

    python benchmarks/verification.py [MODEL.json] [--workers 2] [--seed 20]

Shows, for the model and the [verify] table of models/ph: the 20 verifications of Fig. 3b;
scenario-steps a second on one core beside a loop over single trajectories; and peak memory, which
must not grow with the number of scenario-steps. About a minute."""

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from statistics import median

# one core means one core; read when NumPy loads
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import casadi as ca
import numpy as np

from lstm_mpc import Model, simulate, verify
from lstm_mpc.certificates.exploration import explore, network_law
from lstm_mpc.certificates.scenarios import VerifyOptions, scenario_count
from lstm_mpc.io import parallel
from lstm_mpc.project.design import load_design

REFERENCE = Path(__file__).resolve().parents[1] / "models" / "ph"
BAR_FIGURE, BAR_RATE = 40.0, 8.0  # [s], [million scenario-steps a second and core]
NAIVE = 20  # trajectories the single loop really runs
WARM_UP = (50, 50)  # scenarios, steps of the warm-up before memory is measured


def machine():
    versions = (
        f"Python {platform.python_version()}, casadi {ca.__version__}, numpy {np.__version__}"
    )
    return f"{parallel.cores()} cores, {platform.machine()}, {versions}"


def one_radius(model, settings, *, scenarios, steps, seed):
    """The network at ρu = 1, in this process."""
    law = network_law(model, dwell=settings.dwell, start_box=settings.start_box)
    common = {
        "radii": (1.0,),
        "settle": min(steps, settings.settle),
        "safe_set": ((-1e9, 1e9),) * len(model.outputs),
    }
    return explore(
        model.system, law, model.scaling, scenarios=scenarios, steps=steps, seed=seed, **common
    )[0]


def timed(function, repeats):
    """Wall times [s]."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return times


def naive(model, settings, *, steps, seed):
    """`simulate` once per scenario, all outputs kept: what one writes first."""
    law, worst = network_law(model, dwell=settings.dwell, start_box=settings.start_box), 0.0
    for index in range(NAIVE):
        start, segments = law.draw(
            index, seed=seed, radius=1.0, steps=steps, scaling=model.scaling, Ts=model.Ts
        )
        run = simulate(model.system, segments.signal(steps + 1), x0=start)
        worst = max(worst, np.linalg.norm(model.scaling.y_in(run.y), axis=1).max())
    return worst


def peak():
    """Highest resident memory of this process so far [MB]. Linux: not from getrusage, which counts
    what the parent held at the fork."""
    status = Path("/proc/self/status")
    if status.exists():
        return (
            next(
                int(line.split()[1])
                for line in status.read_text().splitlines()
                if line.startswith("VmHWM")
            )
            / 2**10
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )


def memory_growth(path, scenarios, steps, seed):
    """Peak memory [MB] that one verification adds to a process that has run a small one; in a
    process of its own."""
    command = [
        sys.executable,
        __file__,
        str(path),
        "--seed",
        str(seed),
        "--memory",
        str(scenarios),
        str(steps),
    ]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main(path, workers, seed):
    design, model = load_design(REFERENCE), Model.load(path)
    v = design.verify
    N, steps = scenario_count(v.epsilon, v.beta, rule=v.rule), v.steps
    print(
        f"# Scenario verification\n\n{machine()}; model {model.digest[:12]}, nx = {model.sizes.nx},"
        f" N = {N}, τ = {steps} steps\n"
    )

    settings = {**v.__dict__, "seed": seed}
    (both,) = timed(
        lambda: verify(
            model,
            VerifyOptions(**settings),
            safe_set=design.safe_set,
            plant=design.system,
            workers=workers,
        ),
        1,
    )
    count = 2 * len(v.radii)
    print("| what | measured | bar |\n|---|---|---|")
    print(
        f"| Fig. 3b: {count} verifications, network and plant, {workers} workers | {both:.1f} s | ≤"
        f" {BAR_FIGURE:.0f} s |"
    )

    runs = timed(lambda: one_radius(model, v, scenarios=N, steps=steps, seed=seed), 3)
    best, typical = (N * steps / seconds / 1e6 for seconds in (min(runs), median(runs)))
    print(
        f"| network, 1 worker, best of 3 | {best:.1f} million scenario-steps/s | ≥ {BAR_RATE:.0f}"
        " million/s |"
    )
    print(
        f"| network, 1 worker, median of 3 | {typical:.1f} million scenario-steps/s,"
        f" {median(runs):.2f} s in all | |"
    )

    (single,) = timed(lambda: naive(model, v, steps=steps, seed=seed), 1)
    rate = NAIVE * steps / single / 1e6
    text = (
        f"{rate:.2f} million scenario-steps/s; {N} would take {single / NAIVE * N:.0f} s"
        f" (extrapolated from {NAIVE})"
    )
    print(f"| simulate() per scenario | {text} | {typical / rate:.0f} × slower |\n")

    print(
        "Rows of as many steps are alike: a scenario leaves only its extremes behind. What grows"
        " with the steps alone is the replay of"
    )
    print(
        "the one worst trajectory through CasADi, and the drawn inputs of the 1024 scenarios under"
        " way.\n"
    )
    print(
        "| steps | scenarios | scenario-steps | peak memory grows by | all outputs would take"
        " |\n|---|---|---|---|---|"
    )
    for length, scenarios in product((200, 2000), (1, N, 10 * N)):
        grown, kept = memory_growth(path, scenarios, length, seed), 8 * scenarios * length / 2**20
        print(
            f"| {length} | {scenarios} | {scenarios * length / 1e6:.1f} million | {grown:.1f} MB |"
            f" {kept:.0f} MB |"
        )


def measure_memory(path, scenarios, steps, seed):
    model, settings = Model.load(path), load_design(REFERENCE).verify
    one_radius(model, settings, scenarios=WARM_UP[0], steps=WARM_UP[1], seed=seed)
    before = peak()
    one_radius(model, settings, scenarios=scenarios, steps=steps, seed=seed)
    print(peak() - before)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "model",
        nargs="?",
        type=Path,
        default=REFERENCE / "model.json",
        help="model file (default: models/ph/model.json)",
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="processes for Fig. 3b (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=20, help="seed of the scenarios (default: %(default)s)"
    )
    # scenarios, steps: the subprocess
    parser.add_argument("--memory", type=int, nargs=2, help=argparse.SUPPRESS)
    choice = parser.parse_args()
    if choice.memory:
        measure_memory(choice.model, *choice.memory, choice.seed)
    else:
        main(choice.model, choice.workers, choice.seed)
