"""What each fault does to the loop of models/ph, as a Markdown table.

    python benchmarks/faults.py [--engine {c,sqp}]

The setpoint is pH 7 throughout. Each fault begins at 600 s, and at 650 s the acid flow q1 falls
from 16.6 to 16.2 mL/s, so that there is something to do while it lasts. The design is the shipped
one with `frozen_after` 5 samples; the measurement has 0.01 pH of noise. "how far" is the largest
|pH − 7| of the tank from the beginning of the fault on; "back" the time from the end of the fault
(without one: from 600 s) until pH stays within ±0.05 of the setpoint; "offset" the mean error of
the last 100 s."""

import argparse
import os
from dataclasses import replace
from pathlib import Path

# one core; read when NumPy loads
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import numpy as np

from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.certificates.gate import Release
from lstm_mpc.control.controller import Status
from lstm_mpc.control.faults import Fault
from lstm_mpc.control.loop_metrics import metrics
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import Run, simulate_closed_loop
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.project.design import load_design

DESIGN = Path(__file__).resolve().parents[1] / "models" / "ph"
BEGIN, END, DURATION = 600.0, 900.0, 1500.0  # [s]
BAND = 0.05  # [pH]
FROZEN_AFTER = 5  # [samples] not in the design: a measurement without noise repeats itself at rest
FLOWS = Steps((0.0, BEGIN + 50.0), [[16.6, 0.55], [16.2, 0.55]])  # q1, q2 [mL/s]
SAMPLE = BEGIN + 10.0

CASES = {  # what the table calls it, the fault, and what the controller does about it
    "none": (None, "controls"),
    "dropout, 300 s": (
        Fault("dropout", BEGIN, END),
        "holds the disturbance, goes on from the model",
    ),
    "frozen, 300 s": (
        Fault("frozen", BEGIN, END),
        f"after {FROZEN_AFTER} equal samples as without a measurement",
    ),
    "spike of 1 pH": (
        Fault("spike", BEGIN, SAMPLE, size=1.0),
        "believes part of it, for a few samples",
    ),
    "spike of 5 pH": (Fault("spike", BEGIN, SAMPLE, size=5.0), "out of range: left out"),
    "bias of 0.3 pH, 300 s": (
        Fault("bias", BEGIN, END, size=0.3),
        "cannot know: controls the reading",
    ),
    "drift of 0.001 pH per s, 300 s": (
        Fault("drift", BEGIN, END, rate=1e-3),
        "cannot know: controls the reading",
    ),
    "valve stuck, 300 s": (Fault("stuck", BEGIN, END), "pushes within bounds and rates"),
    "valve within 15.5 and 17 mL per s, 300 s": (
        Fault("saturated", BEGIN, END, low=15.5, high=17.0),
        "pushes within bounds and rates",
    ),
    "valve slow, 60 s, for 300 s": (
        Fault("slow", BEGIN, END, lag=60.0),
        "controls, with less damping",
    ),
    "commands late, 300 s": (Fault("late", BEGIN, END), "controls, with less damping"),
    "solves fail, 300 s": (
        Fault("unsolved", BEGIN, END),
        "plays its last plan, after 20 samples to the safe input",
    ),
    "away for 300 s, then restored": (
        Fault("restart", BEGIN, END),
        "last command stays; goes on from the saved state",
    ),
}


def scenario(name: str) -> Scenario:
    fault = CASES[name][0]
    faults = () if fault is None else (fault,)
    return Scenario(name, Steps((0.0,), [7.0]), DURATION, FLOWS, noise=0.01, seed=1, faults=faults)


def rig(engine):
    """The controller with the numbers above, and what runs it on a case."""
    design, passed = load_design(DESIGN), Release.load(DESIGN / "release.json")
    problem = replace(design.control, frozen_after=FROZEN_AFTER)
    controller = MPC(passed, problem, engine, design.solver)
    return controller, lambda name: simulate_closed_loop(
        design.system, controller, scenario(name), u_start=design.u_start
    )


def figures(run: Run) -> tuple[Status, float, float | None, float]:
    """All flags; how far [pH]; back after [s], None: never; offset [pH]."""
    error = np.abs(run.truth - run.reference)[:, 0]
    flags = Status(0)
    for move in run.moves:
        flags |= move.flags
    outside = np.flatnonzero(error > BAND)
    end = run.scenario.faults[0].end if run.scenario.faults else BEGIN
    back = (
        None
        if outside.size and outside[-1] == len(error) - 1
        else max(0.0, run.Ts * (outside[-1] + 1) - end)
        if outside.size
        else 0.0
    )
    return (
        flags,
        float(error[run.t >= BEGIN].max()),
        back,
        metrics(run, band=0.1)["steps"][-1]["offset"],
    )


def words(flags: Status) -> str:
    return " + ".join(str(flag.name) for flag in flags) or "none"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=("c", "sqp"), default="c")
    choice = parser.parse_args()
    _, run = rig(choice.engine)
    print(
        "| fault | what the controller does | flags | how far [pH] | back within ±0.05 pH after [s]"
        " | offset [pH] |"
    )
    print("|---|---|---|---|---|---|")
    for name, (_, does) in CASES.items():
        try:
            flags, far, back, offset = figures(run(name))
        except InputError as error:
            print(f"| {name} | {error} | | | | |")
            continue
        after = "never" if back is None else f"{back:.0f}"
        print(f"| {name} | {does} | {words(flags)} | {far:.2f} | {after} | {offset:.3f} |")


if __name__ == "__main__":
    main()
