"""Another plant in about thirty lines: a tank that a pump fills and gravity drains, from its
equation to the closed loop.

    python examples/03_another_plant.py

    A dh/dt = q + w − a √(2 g h)      level h [cm] measured, pump flow q [cm³/s] manipulated,
    another inflow w [cm³/s] unknown

This is how to bring your own plant in CasADi; 05 brings one as a Python function, 06 as an FMU.
Anything with a CasADi step and output is a `System`; the verbs never ask what it is. Here the gain
dh/dq grows threefold with level."""

import casadi as ca
import numpy as np

from lstm_mpc import (
    Dataset,
    Mprs,
    Policy,
    Signal,
    Steps,
    System,
    TrainingOptions,
    certify,
    identify,
    record,
    release,
    validate,
    verify,
)
from lstm_mpc.certificates.scenarios import VerifyOptions
from lstm_mpc.control.engines.dompc import DoMpc
from lstm_mpc.control.loop_metrics import metrics
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.identification.starts import SearchOptions

A, a, g, Ts = 150.0, 0.5, 981.0, 5.0  # [cm²] cross-section, [cm²] outlet, [cm/s²], [s]
DWELL = (30.0, 300.0)  # [s] how long a level of the pump is held
SAFE_SET = ((0.5, 22.0),)  # [cm] neither empty nor overflowing


def tank():
    h, q, w = ca.SX.sym("h"), ca.SX.sym("q"), ca.SX.sym("w")
    level = h
    for _ in range(5):  # Euler substeps of one second; the floor keeps √ and its slope finite
        level += Ts / 5 * (q + w - a * ca.sqrt(2 * g * ca.fmax(level, 1e-3))) / A
    return System(
        name="tank",
        inputs=(Signal("q", "cm³/s", 30.0, 100.0, 60.0),),
        outputs=(Signal("h", "cm", 0.0, 30.0),),
        disturbances=(Signal("w", "cm³/s", -10.0, 10.0, 0.0),),
        Ts=Ts,
        x0=np.array([(60.0 / a) ** 2 / (2 * g)]),
        step=ca.Function("tank_step", [h, q, w], [level]),
        output=ca.Function("tank_output", [h], [h]),
    )


def main():
    plant = tank()
    draw = {"excitation": Mprs((30.0,), (100.0,), DWELL), "output_noise": 0.02**2}
    data = [
        Dataset(plant.inputs, plant.outputs, Ts, (record(plant, steps=1500, seed=seed, **draw),))
        for seed in (1, 2)
    ]
    model = identify(
        *data,
        TrainingOptions(cells=(3,), iterations=80),
        SearchOptions(starts=2),
        workers=2,
        name="tank",
    ).model
    certificate = certify(model)
    verification = verify(
        model,
        VerifyOptions(rule="exact", shape="intervals", steps=500, dwell=DWELL, seed=20),
        safe_set=SAFE_SET,
        plant=plant,
    )
    own, beside = (verification.bound(system, 1.0) for system in ("model", "plant"))
    policy = Policy(conditions=("iss",), output_set="scenario")
    passed = release(
        model, [certificate], verification, validate(model, data[1]), policy, safe_set=SAFE_SET
    )
    leak = Steps((0.0, 1000.0), [0.0, -8.0])  # [s], [cm³/s]
    scenario = Scenario(
        "levels and a leak", Steps((0.0, 100.0, 500.0), [7.0, 12.0, 5.0]), 1500.0, leak
    )
    controller = DoMpc(passed, ControlProblem(horizon=15, move_penalty=1e-4, max_move=20.0))
    run = simulate_closed_loop(plant, controller, scenario, u_start=[58.6])
    figures = metrics(run, band=0.1)  # [cm]

    print(*(f"{kind}: {sentence}" for kind, sentence in passed.claims()), sep="\n")
    print(
        f"levels reached: model {own.low[0]:.2f} … {own.high[0]:.2f} cm, plant {beside.low[0]:.2f}"
        f" … {beside.high[0]:.2f} cm"
    )
    print(
        *(
            f"from {s['t']:4.0f} s to {s['setpoint'][0]:4.1f} cm: offset {s['offset']:.4f} cm"
            for s in figures["steps"]
        ),
        sep="\n",
    )
    assert certificate.holds
    assert own.safe
    assert abs(own.radius_y - beside.radius_y) < 0.1 * beside.radius_y
    assert figures["failures"] == 0
    assert figures["offset"] < 0.05  # [cm]


if __name__ == "__main__":  # identify works in processes, and each of them reads this file again
    main()
