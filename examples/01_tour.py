"""The whole chain in one sitting: plant → experiment → identify → certify → verify → validate →
release → control → C.

    python examples/01_tour.py

A small model (3 cells, 2 starts) of the pH neutralisation plant. Every verb takes the nouns made so
far and returns the next one. Prints what it finds in engineering units; the asserts at the end say
what must be true of any run."""

from dataclasses import replace
from tempfile import TemporaryDirectory

from lstm_mpc import (
    Dataset,
    InputError,
    Mprs,
    Policy,
    Refused,
    Steps,
    TrainingOptions,
    Verification,
    certify,
    identify,
    record,
    release,
    validate,
    verify,
)
from lstm_mpc.certificates.scenarios import VerifyOptions
from lstm_mpc.codegen.c_model import c_model
from lstm_mpc.control.engines.dompc import DoMpc
from lstm_mpc.control.loop_metrics import metrics
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import Scenario
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.identification.starts import SearchOptions
from lstm_mpc.plants.ph import Plant

SAFE_SET = ((4.5, 9.5),)  # [pH]
POLICY = Policy(
    conditions=("iss",), output_set="scenario", min_fit=95.0
)  # the paper's; the default wants δISS and a proved tube


def experiment(plant, *, steps, seed):
    """A noisy record of the plant under a multilevel pseudo-random q3, levels held for 300 … 2000
    s."""
    excitation = Mprs((plant.inputs[0].low,), (plant.inputs[0].high,), dwell=(300.0, 2000.0))
    item = record(plant, excitation, steps=steps, input_noise=4e-4, output_noise=1e-4, seed=seed)
    return Dataset(plant.inputs, plant.outputs, plant.Ts, (item,))


def altered_file(verification):
    """What reading says of a verification file in which one digit was changed: the bound ρ* made
    smaller."""
    with TemporaryDirectory() as folder:
        path = f"{folder}/verification.json"
        verification.save(path)
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(
                text.replace(f'"radius_y": {verification.bounds[0].radius_y!r}', '"radius_y": 0.1')
            )
        try:
            Verification.load(path)
        except InputError as error:
            return str(error).replace(path, "verification.json")
    return ""


def main():
    plant = Plant(Ts=10.0).system()
    training, validation = (
        experiment(plant, steps=2000, seed=1),
        experiment(plant, steps=1000, seed=2),
    )
    y = training.records[0].y
    print(
        f"experiment: {training.samples} samples every {plant.Ts:g} s, pH {y.min():.2f} …"
        f" {y.max():.2f}"
    )

    found = identify(
        training,
        validation,
        TrainingOptions(cells=(3,), iterations=80),
        SearchOptions(starts=2, seed=0),
        workers=2,
        name="tour",
    )
    model = found.model
    print(*(f"identify: {start.sentence}" for start in found.starts), sep="\n")

    certificate = certify(model, "iss")
    print(f"certify: {certificate}")

    verification = verify(
        model, VerifyOptions(rule="exact", steps=1000, seed=20), safe_set=SAFE_SET, plant=plant
    )
    bound, beside = verification.bound("model", 1.0), verification.bound("plant", 1.0)
    print(
        f"verify: {verification.scenarios} scenarios of {verification.steps * plant.Ts / 3600:.1f}"
        " h, outputs reached"
    )
    print(
        *(
            f"  {b.system}: pH {b.low[0]:.3f} … {b.high[0]:.3f}, ρ* = {b.radius_y:.4f}"
            for b in (bound, beside)
        ),
        sep="\n",
    )

    evidence = validate(model, validation)
    passed = release(model, [certificate], verification, evidence, POLICY, safe_set=SAFE_SET)
    print("release:", *(f"  {kind}: {sentence}" for kind, sentence in passed.claims()), sep="\n")

    # The gate refuses other numbers under the same evidence, and no file can be edited unseen.
    other = replace(model, network=replace(model.network, C=1.001 * model.network.C))
    try:
        release(other, [certificate], verification, evidence, POLICY, safe_set=SAFE_SET)
        reasons = ()
    except Refused as refused:
        reasons = refused.reasons
    print(
        "the same evidence for altered weights is refused:",
        *(f"  - {why}" for why in reasons),
        sep="\n",
    )
    complaint = altered_file(verification)
    print(f"an edited file is not read: {complaint}")

    scenario = Scenario(
        name="short",
        duration=2400.0,
        setpoint=Steps((0.0, 300.0, 1000.0), [7.0, 8.0, 6.5]),  # [s], [pH]
        disturbances=Steps((0.0, 1600.0), [[16.6, 0.55], [16.6, 0.45]]),  # [s], q1 and q2 [mL/s]
    )
    problem = ControlProblem(horizon=15, move_penalty=0.02, max_move=1.0)
    run = simulate_closed_loop(plant, DoMpc(passed, problem), scenario, u_start=[15.55])
    figures = metrics(run, band=0.1)  # [pH]
    for step in figures["steps"]:
        settling = (
            "never settles" if step["settling"] is None else f"settles in {step['settling']:.0f} s"
        )
        print(
            f"control: from {step['t']:4.0f} s, setpoint pH {step['setpoint'][0]:.1f}: {settling},"
            f" offset {step['offset']:.4f} pH"
        )
    print(
        f"control: valve travel {figures['travel']:.2f} mL/s, {figures['solve_ms']['median']:.0f}"
        " ms a solve"
    )

    files = c_model(passed)
    print(
        "export:",
        *(f"  {name:<18}{len(text.splitlines()):5d} lines" for name, text in files.items()),
        sep="\n",
    )

    assert certificate.holds
    assert certificate.margin > 0
    assert bound.safe
    assert abs(bound.radius_y - beside.radius_y) < 0.1 * beside.radius_y
    # a foreign certificate, so none of its own; a foreign verification; a foreign validation
    assert len(reasons) == 4
    assert "altered" in complaint
    assert figures["failures"] == 0
    assert figures["offset"] < 0.02  # [pH]
    assert model.digest in files["tour_model.h"]
    print("all asserts hold")


if __name__ == "__main__":  # identify works in processes, and each of them reads this file again
    main()
