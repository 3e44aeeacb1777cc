"""Your own plant as a Python function, from its equation to the closed loop: a heater that a fan
cools.

    python examples/05_own_plant_python.py

    C dT/dt = P − (k0 + k1 v)(T − Ta)      temperature T [°C], fan speed v [%] manipulated, room Ta
    [°C] unknown; the sensor lags by 8 s

The function is never differentiated: the model is identified from what it records, and the
controller sees the model alone. It takes whole columns, so that thousands of scenarios run at once.
Here the gain of the fan falls twelvefold from slow to fast."""

import numpy as np

from lstm_mpc import (
    Dataset,
    Mprs,
    Policy,
    Signal,
    Steps,
    TrainingOptions,
    certify,
    from_python,
    identify,
    record,
    release,
    validate,
    verify,
)
from lstm_mpc.certificates.scenarios import VerifyOptions
from lstm_mpc.control.engines.sqp import SolverOptions, Sqp
from lstm_mpc.control.loop_metrics import metrics
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.identification.starts import SearchOptions

C, P, K0, K1, LAG, Ts = 60.0, 80.0, 0.8, 0.04, 8.0, 5.0  # [J/K], [W], [W/K], [W/(K %)], [s], [s]
DWELL = (30.0, 300.0)  # [s] how long a fan speed is held
SAFE_SET = ((30.0, 95.0),)  # [°C]


def step(chi, u, d):
    """Temperature and reading five seconds later, by Euler substeps of half a second."""
    T, reading = chi
    for _ in range(10):
        T, reading = (
            T + 0.5 * (P - (K0 + K1 * u[0]) * (T - d[0])) / C,
            reading + 0.5 * (T - reading) / LAG,
        )
    return np.stack([T, reading])


def output(chi):
    return chi[1:]


def heater():
    return from_python(
        step,
        output,
        name="heater",
        inputs=(Signal("v", "%", 10.0, 100.0, 40.0),),
        outputs=(Signal("T", "°C", 0.0, 120.0),),
        disturbances=(Signal("Ta", "°C", 10.0, 30.0, 20.0),),
        Ts=Ts,
        x0=2 * [20.0 + P / (K0 + K1 * 40.0)],
        columns=True,
    )


def main():
    plant = heater()
    draw = {"excitation": Mprs((10.0,), (100.0,), DWELL), "output_noise": 0.05**2}
    data = [
        Dataset(plant.inputs, plant.outputs, Ts, (record(plant, steps=1500, seed=seed, **draw),))
        for seed in (1, 2)
    ]
    model = identify(
        *data,
        TrainingOptions(cells=(4,), conditions=("delta_iss",), iterations=60),
        SearchOptions(starts=1),
        name="heater",
    ).model
    certificate = certify(model, "delta_iss")
    verification = verify(
        model,
        VerifyOptions(rule="exact", shape="intervals", steps=500, dwell=DWELL, seed=20),
        safe_set=SAFE_SET,
        plant=plant,
    )
    own, beside = (verification.bound(system, 1.0) for system in ("model", "plant"))
    policy = Policy(conditions=("delta_iss",), output_set="scenario")
    passed = release(
        model, [certificate], verification, validate(model, data[1]), policy, safe_set=SAFE_SET
    )
    warmer = Steps((0.0, 900.0), [20.0, 26.0])  # [s], [°C] somebody opens the door
    scenario = Scenario(
        "levels and a warmer room",
        Steps((0.0, 100.0, 500.0), [53.0, 45.0, 65.0]),
        1400.0,
        warmer,
        noise=0.05,
    )
    controller = Sqp(
        passed, ControlProblem(horizon=15, move_penalty=1e-3, max_move=20.0), SolverOptions()
    )
    run = simulate_closed_loop(plant, controller, scenario, u_start=[40.0])
    figures = metrics(run, band=1.0)  # [°C]

    print(*(f"{kind}: {sentence}" for kind, sentence in passed.claims()), sep="\n")
    print(
        f"temperatures: model {own.low[0]:.2f} … {own.high[0]:.2f} °C, plant {beside.low[0]:.2f} …"
        f" {beside.high[0]:.2f} °C"
    )
    print(
        *(
            f"from {s['t']:4.0f} s to {s['setpoint'][0]:4.1f} °C: offset {s['offset']:.4f} °C"
            for s in figures["steps"]
        ),
        sep="\n",
    )
    assert certificate.holds
    assert own.safe
    assert abs(own.radius_y - beside.radius_y) < 0.15 * beside.radius_y
    assert figures["failures"] == 0
    assert figures["offset"] < 0.3  # [°C]


if __name__ == "__main__":
    main()
