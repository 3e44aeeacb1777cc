"""Your own plant as an FMU for model exchange, from the file to the closed loop: two tanks in a
row.

    pip install 'lstm_mpc[fmu]' && python examples/06_own_plant_fmu.py

Tools such as OpenModelica, Dymola or Simulink export such files. So that the example runs anywhere,
it builds one first, with the compiler `cc`, from examples/fmu/two_tanks.c. An FMU contains machine
code, and using it runs that code: take only those you trust."""

import subprocess
import zipfile
from pathlib import Path

import fmpy

from lstm_mpc import (
    Dataset,
    Mprs,
    Policy,
    Signal,
    Steps,
    TrainingOptions,
    certify,
    from_fmu,
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

SOURCE = Path(__file__).parent / "fmu" / "two_tanks.c"
VARIABLES = {  # name -> value reference and attributes
    "h1": (0, 'causality="local" variability="continuous" initial="exact"', 8.0),
    "h2": (1, 'causality="output" variability="continuous" initial="exact"', 8.0),
    "der(h1)": (2, 'causality="local" variability="continuous"', None),
    "der(h2)": (3, 'causality="local" variability="continuous"', None),
    "q": (4, 'causality="input" variability="continuous"', 60.0),
    "w": (5, 'causality="input" variability="continuous"', 0.0),
    "a": (6, 'causality="parameter" variability="fixed" initial="exact"', 0.5),
}
Ts, DWELL, SAFE_SET = 5.0, (30.0, 400.0), ((0.5, 25.0),)  # [s], [s], [cm]


def description(version):
    """modelDescription.xml of FMI `version` 2 or 3."""
    rows = []
    for name, (reference, attributes, start) in VARIABLES.items():
        typed = "" if start is None else f'start="{start!r}"'
        # of which state it is the derivative; FMI 2.0 counts variables from one
        of = {2: 0, 3: 1}.get(reference)
        if version == 3:
            slope = "" if of is None else f'derivative="{of}"'
            rows.append(
                f'<Float64 name="{name}" valueReference="{reference}" {attributes} {typed}'
                f" {slope}/>"
            )
        else:
            slope = "" if of is None else f'derivative="{of + 1}"'
            rows.append(
                f'<ScalarVariable name="{name}" valueReference="{reference}" {attributes}><Real'
                f" {typed} {slope}/></ScalarVariable>"
            )
    if version == 3:
        outer = 'fmiVersion="3.0" modelName="two tanks" instantiationToken="two-tanks"'
        rows.append(
            '<Float64 name="time" valueReference="7" causality="independent"'
            ' variability="continuous"/>'
        )
        unknowns = [
            ("Output", 1),
            *(
                (kind, r)
                for kind in ("ContinuousStateDerivative", "InitialUnknown")
                for r in (2, 3)
            ),
        ]
        ends = "".join(f'<{kind} valueReference="{r}"/>' for kind, r in unknowns)
    else:
        outer = (
            'fmiVersion="2.0" modelName="two tanks" guid="two-tanks" numberOfEventIndicators="0"'
        )
        unknowns = '<Unknown index="3"/><Unknown index="4"/>'
        ends = (
            "<Outputs><Unknown"
            f' index="2"/></Outputs><Derivatives>{unknowns}</Derivatives>'
            f"<InitialUnknowns>{unknowns}</InitialUnknowns>"
        )
    parts = (
        f"<ModelVariables>{''.join(rows)}</ModelVariables><ModelStructure>{ends}</ModelStructure>"
    )
    return (
        f"<fmiModelDescription {outer}><ModelExchange"
        f' modelIdentifier="two_tanks"/>{parts}</fmiModelDescription>'
    )


def build(folder, version=3):
    """two_tanks.fmu in `folder`."""
    library, packed = (
        Path(folder) / f"two_tanks{fmpy.sharedLibraryExtension}",
        Path(folder) / "two_tanks.fmu",
    )
    options = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", f"-DFMI={version}"]
    subprocess.run(["cc", *options, str(SOURCE), "-o", str(library), "-lm"], check=True)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("modelDescription.xml", description(version))
        archive.write(
            library,
            f"binaries/{fmpy.platform_tuple if version == 3 else fmpy.platform}/{library.name}",
        )
    return packed


def main():
    plant = from_fmu(
        build("."),
        inputs=(Signal("pump", "cm³/s", 40.0, 100.0, 60.0),),
        outputs=(Signal("level", "cm", 0.0, 30.0),),
        disturbances=(Signal("leak", "cm³/s", -10.0, 10.0, 0.0),),
        variables={"pump": "q", "level": "h2", "leak": "w"},
        starts={"a": 0.5},
        Ts=Ts,
    )
    draw = {"excitation": Mprs((40.0,), (100.0,), DWELL), "output_noise": 0.02**2}
    data = [
        Dataset(plant.inputs, plant.outputs, Ts, (record(plant, steps=1500, seed=seed, **draw),))
        for seed in (1, 2)
    ]
    model = identify(
        *data,
        TrainingOptions(cells=(4,), conditions=("delta_iss",), iterations=60),
        SearchOptions(starts=1),
        name="two_tanks",
    ).model
    certificate = certify(model, "delta_iss")
    verification = verify(
        model,
        VerifyOptions(rule="exact", shape="intervals", steps=500, dwell=DWELL, seed=20),
        safe_set=SAFE_SET,
    )
    policy = Policy(conditions=("delta_iss",), output_set="scenario")
    passed = release(
        model, [certificate], verification, validate(model, data[1]), policy, safe_set=SAFE_SET
    )
    scenario = Scenario(
        "levels and a leak",
        Steps((0.0, 100.0, 600.0), [8.0, 12.0, 6.0]),
        1800.0,
        Steps((0.0, 1200.0), [0.0, -5.0]),
    )
    controller = Sqp(
        passed, ControlProblem(horizon=20, move_penalty=1e-3, max_move=20.0), SolverOptions()
    )
    run = simulate_closed_loop(plant, controller, scenario, u_start=[62.6])
    figures = metrics(run, band=0.1)  # [cm]

    print(*(f"{kind}: {sentence}" for kind, sentence in passed.claims()), sep="\n")
    print(
        *(
            f"from {s['t']:4.0f} s to {s['setpoint'][0]:4.1f} cm: offset {s['offset']:.4f} cm"
            for s in figures["steps"]
        ),
        sep="\n",
    )
    assert certificate.holds
    assert figures["failures"] == 0
    assert figures["offset"] < 0.05  # [cm]


if __name__ == "__main__":
    main()
