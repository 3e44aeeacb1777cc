"""Does the cost of a closed loop fall as the theorem of docs/theorem.md says, in the exported C?

    python benchmarks/decrease.py [--loops 10000] [--samples 360] [--horizon 3 8 20] [--workers 2]

Loops of the C in single precision, on its own model: inputs at random to begin with, and a setpoint
at random, within reach or not, every 30 samples. Prints how many samples were checked, how many of
them rose beyond what rounding explains, and the largest rise as a share of that."""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

# one core means one core; read when NumPy loads
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import numpy as np

from lstm_mpc.certificates.gate import Release
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.control.engines.supervisor import closing_of
from lstm_mpc.control.terminal.sensitivity import held
from lstm_mpc.control.terminal.target import TargetFinder
from lstm_mpc.project.design import load_design

MODELS = Path(__file__).resolve().parents[1] / "models"
HOLD = 30  # samples that a setpoint stays


class Rise(NamedTuple):
    """How far V exceeds (1 + share)(V − ℓ) of the sample before, the `worst` as a share of the
    floor that rounding explains, over so many `samples`, and how many lay above 1."""

    worst: float
    samples: int
    violations: int


def largest_rise(spec, controller, *, runs=6, samples=HOLD, seed=1):
    """On the model itself: measurements that are none leave state and offset to the bit. Setpoints
    too near a soft bound are passed over, as the theorem does."""
    bounds, model = spec.limits, spec.model
    closing = closing_of(model, bounds, replace(spec.problem, terminal=True))
    allowed, worst = held(model, bounds, closing, spec.problem.horizon), -np.inf
    mid, span, rng = model.scaling.y_mid, model.scaling.y_span, np.random.default_rng(seed)
    nothing, none = np.full(len(mid), np.nan), np.zeros(0)
    finder, counted, violations = TargetFinder(model, bounds), 0, 0
    for _ in range(runs):
        before = rng.uniform(bounds.u_low, bounds.u_high)
        controller.reset(mid, before)
        for _ in range(0, samples, HOLD):
            aim = mid + span * rng.uniform(-0.8, 0.8, len(mid))
            value, cost = np.inf, 0.0  # of another setpoint
            for _ in range(HOLD):
                move = controller.step(nothing, aim)
                if value == np.inf:
                    target = finder.find(aim, move.disturbance, move.input_disturbance, none)
                    gap = np.minimum(bounds.y_high - target.y, target.y - bounds.y_low)
                elif (gap > allowed.gap).all():
                    rise = (move.cost - (1 + allowed.share) * (value - cost)) / allowed.floor
                    worst, counted = max(worst, rise), counted + 1
                    violations += rise > 1.0
                ahead, goal = move.predicted[:2], np.array([target.y] * 2)
                cost = bounds.cost(ahead, goal, move.u[None], before)
                value, before = move.cost, move.u
    return Rise(float(worst), counted, int(violations))


def campaign(name, horizon, loops, samples, seed):
    """Loops of one design with a terminal cost at this horizon."""
    design = load_design(MODELS / name)
    problem = replace(design.control, horizon=horizon, blocks=(), terminal=True)
    spec = ControllerSpec(Release.load(design.file("release.json")), problem, design.solver)
    controller = Compiled(dict(spec.sources))
    return largest_rise(spec, controller, runs=loops, samples=samples, seed=seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--design", nargs="+", default=["ph", "quadruple_tank"])
    parser.add_argument("--horizon", nargs="+", type=int, default=[3, 8, 20])
    parser.add_argument("--loops", type=int, default=100)
    parser.add_argument("--samples", type=int, default=360)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    print("| design | N | loops | samples checked | above ε | largest rise, share of ε |")
    print("|---|---|---|---|---|---|")
    share = -(-given.loops // given.workers)
    with ProcessPoolExecutor(given.workers) as pool:
        for name in given.design:
            for horizon in given.horizon:
                seeds = range(1, given.workers + 1)
                tasks = [
                    pool.submit(campaign, name, horizon, share, given.samples, seed)
                    for seed in seeds
                ]
                parts = [task.result() for task in tasks]
                counted, above = (sum(p[k] for p in parts) for k in (1, 2))
                print(
                    f"| `models/{name}` | {horizon} | {share * given.workers} | {counted} |"
                    f" {above} | {max(p.worst for p in parts):.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
