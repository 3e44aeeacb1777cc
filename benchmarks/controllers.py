"""How close and how fast the engines are, as Markdown tables.

    python benchmarks/controllers.py [--steps 300] [--only {a,b}] [--quick]

(a) closed loops of models/ph on its plant, scenario "tracking": the shipped problem, and a hard one
with tighter limits, all of them active somewhere, for two horizons. (b) random models of 5 to 40
cells with a δISS certificate, each its own plant with an output disturbance and noise; the export
in single precision is sized for a Cortex-M4F where the cross-compiler is there.

Every engine closes its own loop, so Δu is what is left of a difference after the whole run: its
largest |Δu| as share of the input range. Times are of whole steps (Move.seconds), one core. A fast
engine runs its loop before and after do-mpc and both count, so that what else the machine does
weighs on both sides of a ratio. `flagged` are samples with any flag, `failed` those that a fallback
served. `--quick`: 60 samples, no plain IPOPT, two small random models."""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

# one core; read when NumPy loads
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import casadi as ca
import numpy as np
from rivals.plain_nlp import Plain
from training import machine

from lstm_mpc import Signal, certify
from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.certificates.evidence import Validation
from lstm_mpc.certificates.gate import Release, release
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.certificates.scenarios import VerifyOptions, verify
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.control.controller import Status
from lstm_mpc.control.engines.dompc import DoMpc
from lstm_mpc.control.engines.sqp import Sqp
from lstm_mpc.control.limits import limits
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.data.excitation import Steps
from lstm_mpc.data.scaling import Scaling
from lstm_mpc.export.pil_bench import missing, run_on_core
from lstm_mpc.export.pil_frames import Frames, Run
from lstm_mpc.io.export_folder import write_sources
from lstm_mpc.model import lstm
from lstm_mpc.model.lstm import GATES, Layer, Network
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest
from lstm_mpc.project.design import load_design

DESIGN = Path(__file__).resolve().parents[1] / "models" / "ph"
HARD = {"max_move": 0.5, "y_low": 6.2, "y_high": 8.6}
PLAIN, DOMPC, SQP, DOUBLE, REALTIME, FIVE = (
    "plain IPOPT",
    "do-mpc",
    "Sqp",
    "C double",
    "C float real-time",
    "C float five passes",
)
BARS = {SQP: 1e-8, DOUBLE: 1e-8, DOMPC: 1e-8}  # [share of the input range] to plain IPOPT
NEAR_DOMPC = {REALTIME: 5e-4, FIVE: 1e-5}
FASTER = {SQP: 10.0, DOUBLE: 200.0, REALTIME: 200.0, FIVE: 200.0}  # than do-mpc, in median
CELLS = (5, 10, 20, 40)
NEAR = 1e-6  # [unit] that counts as at a limit
TURNS = 5  # of a fast engine's loop on each side of do-mpc's


def engines(released, problem, solver, *, five=True):
    """What makes each engine, by name."""
    makers = {
        DOMPC: lambda: DoMpc(released, problem),
        SQP: lambda: Sqp(released, problem),
        DOUBLE: lambda: MPC(released, problem, "c-double"),
        REALTIME: lambda: MPC(released, problem, "c", solver),
        # the same working set budget: what differs is how often it linearises
        FIVE: lambda: MPC(
            released, problem, "c", replace(solver, sqp_iterations=5, tolerance=1e-9)
        ),
    }
    return makers if five else {name: make for name, make in makers.items() if name != FIVE}


def loops(makers, plant, scenario, u_start):
    """A run and all step times [ms] of each engine."""
    made = {name: make() for name, make in makers.items()}
    runs, times = {}, {name: [] for name in made}

    def close(name):
        runs[name] = simulate_closed_loop(plant, made[name], scenario, u_start=u_start)
        times[name] += [1e3 * move.seconds for move in runs[name].moves]

    fast = [name for name in made if name in FASTER]
    for names in (fast * TURNS, [name for name in made if name not in FASTER], fast * TURNS):
        for name in names:
            close(name)
    return {name: runs[name] for name in makers}, times


def share(one, other, bounds):
    return float((np.abs(one.u - other.u) / (bounds.u_high - bounds.u_low)).max())


def active(run, bounds):
    """Samples at an input bound, at a rate limit, and with a soft output bound at or beyond its
    limit along the plan."""
    moves = np.diff(np.vstack([run.u_start, run.u]), axis=0)
    ahead = np.stack([move.predicted[1:] for move in run.moves])
    return {
        "input bounds": int(
            ((run.u <= bounds.u_low + NEAR) | (run.u >= bounds.u_high - NEAR)).any(axis=1).sum()
        ),
        "rate limits": int((np.abs(moves) >= bounds.max_move - NEAR).any(axis=1).sum()),
        "output bounds": int(
            ((ahead <= bounds.y_low + NEAR) | (ahead >= bounds.y_high - NEAR))
            .any(axis=(1, 2))
            .sum()
        ),
    }


def number(value):
    if value is None:
        return "–"
    return (
        value
        if isinstance(value, str)
        else (
            f"{value}"
            if isinstance(value, int)
            else f"{value:.1e}"
            if value < 1e-2
            else f"{value:.3g}"
        )
    )


def table(rows):
    for place, row in enumerate(rows):
        if place == 0:
            print("| " + " | ".join(row) + " |\n|" + "---|" * len(row))
        print("| " + " | ".join(number(value) for value in row.values()) + " |", flush=True)


def compare(title, makers, plant, scenario, u_start, bounds):
    """The table of one problem; figures by engine."""
    runs, times = loops(makers, plant, scenario, u_start)
    counts = active(runs[DOMPC], bounds)
    print(
        f"### {title}: {len(runs[DOMPC].u)} samples; at "
        + ", ".join(f"{name} {count}" for name, count in counts.items())
        + "\n"
    )
    rows, pace = [], np.median(times[DOMPC])
    for name in sorted(runs, key=[PLAIN, *makers].index):
        rows.append(
            {
                "engine": name,
                "Δu to plain": share(runs[name], runs[PLAIN], bounds) if PLAIN in runs else None,
                "Δu to do-mpc": share(runs[name], runs[DOMPC], bounds),
                "median ms": float(np.median(times[name])),
                "p95 ms": float(np.percentile(times[name], 95)),
                "flagged": sum(move.flags != 0 for move in runs[name].moves),
                "failed": sum(Status.SOLVE_FAILED in move.flags for move in runs[name].moves),
                "faster": float(pace / np.median(times[name])),
            }
        )
    table(rows)
    print(flush=True)
    return {row["engine"]: row for row in rows}, counts


def judge(found, problem):
    """Bars of one problem as (sentence, value, holds)."""
    said = []
    for name, bar in BARS.items():
        if PLAIN in found:
            said.append(
                (
                    f"{problem}: {name} to plain IPOPT ≤ {bar:g}",
                    found[name]["Δu to plain"],
                    found[name]["Δu to plain"] <= bar,
                )
            )
    for name, bar in NEAR_DOMPC.items():
        said.append(
            (
                f"{problem}: {name} to do-mpc ≤ {bar:g}",
                found[name]["Δu to do-mpc"],
                found[name]["Δu to do-mpc"] <= bar,
            )
        )
    for name, bar in FASTER.items():
        said.append(
            (
                f"{problem}: {name} ≥ {bar:g} × faster than do-mpc",
                found[name]["faster"],
                found[name]["faster"] >= bar,
            )
        )
    return said


def ph(steps, *, quick):
    design, released = load_design(DESIGN), Release.load(DESIGN / "release.json")
    plant = design.system
    tracking = next(scenario for scenario in design.scenarios if scenario.name == "tracking")
    scenario, said = replace(tracking, duration=steps * plant.Ts), []
    problems = {"shipped, N = 20": design.control}
    problems |= {f"hard, N = {N}": replace(design.control, horizon=N, **HARD) for N in (20, 30)}
    for title, problem in problems.items():
        makers = engines(released, problem, design.solver)
        hard = title.startswith("hard")
        if hard and not quick:
            makers[PLAIN] = lambda problem=problem: Plain(released, problem)
        found, counts = compare(
            title, makers, plant, scenario, design.u_start, limits(released, problem)
        )
        said += judge(found, title)
        assert not hard or quick or all(counts.values()), f"a limit is never active: {counts}"
    for sentence, value, holds in said:
        print(f"- {'holds' if holds else '**MISSED**'}: {sentence} ({number(value)})")
    print()


def random_network(seed, nx):
    """Of one input and one output, as the builders of the tests make them, the output rising with
    the input; scaled later."""
    rng, leaves = np.random.default_rng(seed), {}
    for g in GATES:
        M = rng.uniform(-1, 1, (nx, 1 + nx + 1))
        if g != "c":
            M *= 0.3 / np.abs(M).sum(axis=1).max()
        else:
            M[:, 1:-1] *= 0.5 / np.abs(M[:, 1:-1]).sum(axis=0).max()
            M[:, :1] = np.abs(M[:, :1])
            M[:, -1:] *= 0.1
        leaves |= {f"W_{g}": M[:, :1], f"U_{g}": M[:, 1:-1], f"b_{g}": M[:, -1:]}
    return lstm.numeric(Network((Layer(**leaves),), rng.uniform(0, 1, (1, nx)), np.zeros((1, 1))))


def random_release(nx):
    """A certified model over u ∈ [−1, 1] whose output at rest goes from about −1 to 1, released by
    the paper's gate."""
    scaling = Scaling(np.zeros(1), np.ones(1), np.zeros(1), np.ones(1))
    inputs, outputs = (Signal("u", "V", -1.0, 1.0),), (Signal("y", "m"),)
    for seed in range(100):
        network = random_network(seed, nx)
        plain = Model(network, scaling, inputs, outputs, 10.0, {"seed": seed})
        low, high = (plain.system.output(rest(plain.system, np.array([u]))) for u in (-1.0, 1.0))
        low, high = float(np.asarray(low).item()), float(np.asarray(high).item())
        C = np.asarray(network.C) * 2 / (high - low)
        network = lstm.numeric(
            Network(network.layers, C, np.array([[-(high + low) / (high - low)]]))
        )
        model = Model(network, scaling, inputs, outputs, 10.0, {"seed": seed})
        if certify(model, "delta_iss").holds and certify(model).holds:
            break
    else:
        raise AssertionError(f"no certified model of {nx} cells")
    safe = [(-100.0, 100.0)]
    figures = {
        "measured": {
            "normalised": [97.0],
            "engineering": [97.0],
            "mean_removed": [97.0],
            "rmse": [0.01],
        }
    }
    evidence = verify(model, VerifyOptions(steps=20, settle=5), safe_set=safe)
    policy, claim = (
        Policy(conditions=("iss", "delta_iss"), output_set="scenario"),
        Validation(model.digest, "0" * 64, 100, 0, figures),
    )
    return release(
        model, [certify(model), certify(model, "delta_iss")], evidence, claim, policy, safe_set=safe
    )


def disturbed(model, offset):
    """The model as plant, its output disturbed by `offset`."""
    chi = ca.SX.sym("chi", model.sizes.n)
    return replace(
        model.system, output=ca.Function("output", [chi], [model.output(chi) + offset]), batch=None
    )


def footprint(released, problem, solver, run):
    """Code, constants and RAM [bytes] of the export in single precision on a Cortex-M4F."""
    if missing("cortex-m4f") is not None:
        return {"code": None, "constants": None, "RAM": None, "stack": None}
    spec = ControllerSpec(released, problem, solver)
    frames = Frames((Run(run.y[0], run.u_start, run.y[:5], run.ahead[:5]),))
    with tempfile.TemporaryDirectory() as folder:
        write_sources(folder, spec.sources)
        said = run_on_core(folder, spec.name, frames, core="cortex-m4f")
    sizes, held = said.sizes, said.struct_bytes
    RAM = sizes.data + sizes.bss + held["state"] + held["work"]
    return {"code": sizes.code, "constants": sizes.constants, "RAM": RAM, "stack": said.stack_bytes}


def sizes(solver, cells):
    """The rows of (b), one after the other."""
    problem = ControlProblem(
        horizon=20, move_penalty=0.02, u_low=-0.6, max_move=0.3, y_low=-0.6, y_high=0.6
    )
    scenario = Scenario(
        "steps",
        Steps((0.0, 100.0, 250.0, 400.0), [0.0, 0.9, -0.3, -0.9]),
        600.0,
        noise=0.003,
        seed=1,
    )
    for nx in cells:
        released = random_release(nx)
        bounds = limits(released, problem)
        runs, times = loops(
            engines(released, problem, solver, five=False),
            disturbed(released.model, 0.2),
            scenario,
            [0.0],
        )
        counts, pace = active(runs[DOMPC], bounds), np.median(times[DOMPC])
        row = {"nx": nx, "at limits u, Δu, y": ", ".join(map(str, counts.values()))}
        row |= {f"{name} ms": float(np.median(times[name])) for name in runs}
        row |= {
            f"{name} faster": float(pace / np.median(times[name])) for name in runs if name != DOMPC
        }
        row |= {
            f"Δu {name}": share(runs[name], runs[DOMPC], bounds) for name in runs if name != DOMPC
        }
        row |= {"flagged": sum(move.flags != 0 for run in runs.values() for move in run.moves)}
        yield row | footprint(released, problem, solver, runs[REALTIME])


def main(steps, *, only, quick):
    began = time.perf_counter()
    print(f"# Controllers\n\n{machine()}\n", flush=True)
    if only != "b":
        print("## (a) models/ph on its plant\n", flush=True)
        ph(min(steps, 60) if quick else steps, quick=quick)
    if only != "a":
        print(
            "## (b) Random models, N = 20; Δu to do-mpc; code, constants, RAM and stack [bytes] of"
            " C float on a Cortex-M4F\n",
            flush=True,
        )
        table(sizes(load_design(DESIGN).solver, CELLS[:2] if quick else CELLS))
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps", type=int, default=300, help="samples of each loop of (a) (default: %(default)s)"
    )
    parser.add_argument("--only", choices=("a", "b"), help="one part alone")
    parser.add_argument(
        "--quick", action="store_true", help="60 samples, no plain IPOPT, two small random models"
    )
    chosen = parser.parse_args()
    main(chosen.steps, only=chosen.only, quick=chosen.quick)
