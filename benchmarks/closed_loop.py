"""How well the released controller of models/ph controls, beside its rivals, as a Markdown table.

    python benchmarks/closed_loop.py [--quick] [--figure FOLDER]

The arena (rivals.arena): setpoint tracking, buffer and acid steps on the pH plant under seven
conditions, three seeds wherever chance plays a part. PI is tuned anew for each condition, on these
very runs, with hindsight. Linear MPC has the same problem and dead time; where it is linearised and
how fast its filter is are the best of a few for each condition. LSTM-MPC is the exported C in
single precision with the design and the budget of models/ph. Ideal knows plant, state, disturbances
and valve; it runs with the first seed alone, and ratios are over the runs that both have. IAE
[pH·s] and travel [mL/s] are summed over the three scenarios; settling [s] is into ±0.1 pH, excess
[pH] over the soft bounds; flagged are samples with any flag, inadmissible those outside bounds or
rates. Five minutes. `--quick`: the ideal condition and the longest delay, nothing else."""

import argparse
import os
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

# one core; read when NumPy loads
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

from rivals.arena import CONDITIONS, compete, ratio, standings, table
from rivals.arena_figure import plot_arena
from rivals.ideal import Ideal
from rivals.linear_mpc import LinearMpc
from rivals.pi import Pi, tune_pi
from training import machine

from lstm_mpc import plots
from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.certificates.gate import Release
from lstm_mpc.control.limits import limits
from lstm_mpc.control.loop_metrics import band_of, metrics
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.project.design import load_design

DESIGN = Path(__file__).resolve().parents[1] / "models" / "ph"
OWN, LATE = "LSTM-MPC", "30 s delay"
# [mL/s] where linear MPC is linearised: pH 7.0 and 7.6; steps of its disturbance
AT, DRIFT = (15.6, 16.3), (0.02, 0.1, 0.5)
BARS = (  # condition, scenario (all: empty), rival, the largest IAE as share of the rival's
    ("ideal", "", "PI", 0.95),
    ("ideal", "buffer", "PI", 1.0),
    ("ideal", "acid", "PI", 1.0),
    ("ideal", "tracking", "Ideal", 1.03),
    (LATE, "", "PI", 0.62),
)


def makers(design, released, bounds):
    """What makes each controller for a condition."""

    def pi(condition):
        found = tune_pi(
            design.plant_of(condition.scenarios[0]),
            condition.scenarios,
            limits=bounds,
            u_start=design.u_start,
        )
        print(
            f"- PI for {condition.name}: Kc = {found.Kc:.3g} mL/s per pH, Ti = {found.Ti:.3g} s",
            flush=True,
        )
        return Pi(found.Kc, found.Ti, Ts=released.model.Ts, limits=bounds)

    def problem(condition):
        return replace(design.control, dead_time=condition.delay)

    def linear(condition):
        def total(choice):
            scenarios = [
                scenario for scenario in condition.scenarios if scenario.seed == condition.seeds[0]
            ]
            return sum(
                metrics(
                    simulate_closed_loop(plant, made[choice], scenario, u_start=design.u_start),
                    band=band_of(design.safe_set),
                )["iae"]
                for scenario in scenarios
            )

        plant = design.plant_of(condition.scenarios[0])
        made = {
            (at, drift): LinearMpc(released, problem(condition), at=at, drift=drift)
            for at, drift in product(AT, DRIFT)
        }
        best = min(made, key=total)
        print(
            f"- linear MPC for {condition.name}: linearised at {best[0]:g} mL/s, drift {best[1]:g}"
            " mL/s",
            flush=True,
        )
        return made[best]

    def ideal(condition):
        return Ideal(
            design.plant_of(condition.scenarios[0]),
            design.control,
            limits=bounds,
            valve_lag=condition.valve_lag,
        )

    return {
        "PI": pi,
        "linear MPC": linear,
        OWN: lambda condition: MPC(released, problem(condition), "c", design.solver),
        "Ideal": ideal,
    }


def bars(entries, conditions):
    """What is asked of the controller, as (sentence, share, holds)."""
    for condition, scenario, rival, most in BARS:
        share = ratio(entries, OWN, rival, condition=condition, scenario=scenario)
        yield f"{condition}: {scenario or 'total'} IAE ≤ {most:g} × {rival}", share, share <= most
    for condition in conditions:
        if condition.noise:
            share = ratio(entries, OWN, "PI", condition=condition.name, figure="travel")
            yield f"{condition.name}: travel below PI's", share, share < 1.0


def main(*, quick, figure):
    began = time.perf_counter()
    design, released = load_design(DESIGN), Release.load(DESIGN / "release.json")
    bounds = limits(released, design.control)
    conditions = [c for c in CONDITIONS if not quick or c.name in ("ideal", LATE)]
    print(f"# The closed loop\n\n{machine()}\n", flush=True)
    entries = compete(
        design.plant_of,
        makers(design, released, bounds),
        limits=bounds,
        u_start=design.u_start,
        horizon=design.control.ahead(released.model),
        conditions=conditions,
    )
    rows = standings(entries)
    print("\n" + table(rows) + "\n")
    for sentence, share, holds in bars(entries, conditions):
        print(f"- {'holds' if holds else '**MISSED**'}: {sentence} ({share:.2f})")
    assert not any(row["inadmissible"] for row in rows), "an input left its bounds or rates"
    if figure:
        plots.save(plot_arena(rows, unit="pH·s"), figure, "arena")
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="the ideal condition and the longest delay alone"
    )
    parser.add_argument("--figure", help="folder for arena.png and arena.svg")
    chosen = parser.parse_args()
    main(quick=chosen.quick, figure=chosen.figure)
