"""The pH design whose controller measures the acid flow, beside the one that does not."""

import numpy as np

from lstm_mpc.certificates.gate import Release
from lstm_mpc.control.engines.sqp import Sqp
from lstm_mpc.control.loop_metrics import metrics
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.project.design import load_design


def acid(folder):
    """The scenario "acid" of a design under the fast engine."""
    design, release = load_design(folder), Release.load(folder / "release.json")
    scenario = next(s for s in design.scenarios if s.name == "acid")
    run = simulate_closed_loop(
        design.plant_of(scenario),
        Sqp(release, design.control, design.solver),
        scenario,
        u_start=design.u_start,
        measured=design.measured,
    )
    return run, metrics(run, band=0.1)["iae"]


def test_a_controller_that_measures_the_acid_keeps_the_ph_twice_as_well(pytestconfig):
    models = pytestconfig.rootpath / "models"
    (told, error), (blind, other) = acid(models / "ph_feed"), acid(models / "ph")
    assert told.measured == (0,)
    assert blind.measured == ()
    assert np.array_equal(told.known[:, 0, 0], told.d[:, 0])
    assert all(move.optimal for move in told.moves)
    assert error < 0.5 * other
