"""Figures 2, 3a and 3b of the paper, from the reference artefacts of a design directory.

    python examples/02_paper_figures.py [DIRECTORY] [--out FOLDER]

DIRECTORY (default: models/ph of this repository) holds design.toml, model.json and
verification.json, as made by `lstm-mpc run`. Nothing is trained or verified again: the validation
record is drawn anew from its seed, the worst scenario is replayed. Writes PNG and SVG files into
FOLDER (default: figures) and ends in asserts."""

import argparse
from pathlib import Path

import numpy as np

from lstm_mpc import Model, Verification, record_fits
from lstm_mpc.certificates.exploration import ScenarioLaw, replay
from lstm_mpc.plots import plot_bounds, plot_scenarios, plot_validation
from lstm_mpc.plots.style import save
from lstm_mpc.project.design import load_design

REFERENCE = Path(__file__).resolve().parents[1] / "models" / "ph"
RADIUS_3A = 0.7  # ρu of the scenarios in Fig. 3a


def main(directory, out):
    design = load_design(directory)
    model, verification = (
        Model.load(design.file("model.json")),
        Verification.load(design.file("verification.json")),
    )
    validation, transient = design.experiment_records()["validation"], design.search.transient

    (fit,) = record_fits(model, validation, transient=transient, seed=0)
    print(
        f"Fig. 2   model {model.digest[:12]}, {model.sizes.nx[0]} cells, {validation.samples}"
        f" unseen samples\n  {fit}"
    )

    figures = {
        "fig2_validation": plot_validation(model, validation, transient=transient),
        "fig3a_scenarios": plot_scenarios(model, verification, radius=RADIUS_3A),
        "fig3b_bounds": plot_bounds(verification),
    }
    written = [path for name, figure in figures.items() for path in save(figure, out, name)]

    v, radii = verification, design.verify.radii
    own, plant = ([v.bound(system, radius) for radius in radii] for system in ("model", "plant"))
    print(
        f"Fig. 3a  {v.scenarios} scenarios at ρu = {RADIUS_3A}: the worst is number"
        f" {v.bound('model', RADIUS_3A).worst}"
    )
    print(
        "Fig. 3b  bounds ρ*y (normalised) and the outputs reached; 'settled' is without the start,"
        " which the artificial χ0 makes"
    )
    print("   ρu   LSTM ρ*  settled        reached [pH]   plant ρ*  settled        reached [pH]")
    for radius, a, b in zip(radii, own, plant, strict=True):
        cells = (
            f"{x.radius_y:8.4f} {x.settled:8.4f}   {x.low[0]:6.3f} … {x.high[0]:6.3f}"
            for x in (a, b)
        )
        print(f"  {radius:.1f} ", "  ".join(cells))
    top, beside = own[-1], plant[-1]
    apart = 100 * abs(top.radius_y - beside.radius_y) / beside.radius_y
    print(f"at ρu = {top.radius_u:g} the network's bound lies {apart:.2f} % from the plant's")

    law = ScenarioLaw.from_description(v.law)
    run = replay(
        model.system,
        law,
        model.scaling,
        radius=top.radius_u,
        index=top.worst,
        seed=v.seed,
        steps=v.steps,
    )
    size = np.abs(model.scaling.y_in(run.y)).max(axis=1)
    peak = int(size.argmax())
    print(
        f"worst scenario {top.worst}: pH {run.y[peak, 0]:.4f} at {run.t[peak] / 3600:.2f} h, ρ* ="
        f" {size[peak]:.6f}"
    )
    print(*(f"→ {path}" for path in written), sep="\n")

    assert v.model == model.digest
    assert len(written) == 6
    assert all(path.stat().st_size > 1000 for path in written)
    assert top.radius_u == 1.0
    assert apart < 5.0  # [%]
    assert peak == top.sample
    # round-off: NumPy made the bound, CasADi replays it
    assert abs(size[peak] - top.radius_y) < 1e-9


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "directory",
        nargs="?",
        type=Path,
        default=REFERENCE,
        help="design directory with artefacts (default: models/ph)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("figures"),
        help="folder for the figures (default: %(default)s)",
    )
    choice = parser.parse_args()
    main(choice.directory, choice.out)
