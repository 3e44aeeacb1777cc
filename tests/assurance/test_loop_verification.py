"""Scenario verification of the closed loop: drawn by index, computed side by side, the same to the
bit however it is shared."""

import itertools
from dataclasses import fields, replace

import numpy as np
import pytest
from compiling import need
from places import ROOT
from tolerances import ROUND_OFF

from lstm_mpc.assurance import checkpoint, loop_verification
from lstm_mpc.assurance.loop_law import LoopLaw
from lstm_mpc.assurance.loop_verification import LoopVerifyOptions, loop_experiment, verify_loop
from lstm_mpc.assurance.loops import experiment
from lstm_mpc.assurance.loops.experiment import reach_of, replayed, run_batch, same_reach
from lstm_mpc.certificates.evidence import LoopVerification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.codegen.controller_spec import ControllerSpec, tuning_digest
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.control.controller import meanings
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.control.scenario import draw_scenario, draw_scenarios
from lstm_mpc.control.simulation import simulate_closed_loop
from lstm_mpc.errors import InputError, SolverError
from lstm_mpc.io import artefact_file
from lstm_mpc.plants.batch import rest, rests
from lstm_mpc.plants.ph import VARIED, Plant
from lstm_mpc.project.design import load_design

SHIPPED = load_design(ROOT / "models" / "ph")
LAW = SHIPPED.loop_law
SHORT = {"steps": 30, "settle": 10, "seed": 3}


@pytest.fixture(scope="session")
def passed():
    need("host")
    return Release.load(SHIPPED.file("release.json"))


@pytest.fixture(scope="session")
def spec(passed):
    return ControllerSpec(passed, SHIPPED.control, SHIPPED.solver)


@pytest.fixture(scope="session")
def sources(spec):
    return dict(spec.sources)


@pytest.fixture(scope="session")
def uncertain():
    return Plant(uncertain=True).system()


@pytest.fixture
def campaign(spec, uncertain):
    return loop_experiment(spec, uncertain, LAW, LoopVerifyOptions(**SHORT))


@pytest.fixture
def verified(spec, uncertain, monkeypatch):
    """Verify with chunks of three scenarios."""
    monkeypatch.setattr(experiment, "CHUNK", 3)

    def run(**changes):
        how = {"scenarios": 8, **SHORT, **changes}
        names = {f.name for f in fields(LoopVerifyOptions)} & set(how)
        options = LoopVerifyOptions(**{name: how.pop(name) for name in names})
        plant, law = how.pop("plant", uncertain), how.pop("law", LAW)
        return verify_loop(spec, plant, law, options, **how)

    return run


# -- the law ---------------------------------------------------------------------------------------


def test_a_scenario_belongs_to_its_index(uncertain):
    one, again, other, elsewhere = (
        LAW.draw(i, seed=seed, plant=uncertain, steps=360)
        for i, seed in ((5, 1), (5, 1), (6, 1), (5, 2))
    )
    for (left, u), (right, v), same in (
        (one, again, True),
        (one, other, False),
        (one, elsewhere, False),
    ):
        assert (left.seed == right.seed) is same
        assert np.array_equal(u, v) is same
        assert (left.setpoint.times == right.setpoint.times) is same
    scenario, before = one
    assert scenario.name == "number 5"
    assert (scenario.noise, scenario.mismatch, scenario.duration) == (
        LAW.noise,
        LAW.mismatch,
        3600.0,
    )
    assert before.astype(np.float32).astype(np.float64) == before


def test_the_law_keeps_within_its_ranges(uncertain):
    drawn = [LAW.draw(index, seed=0, plant=uncertain, steps=360) for index in range(40)]
    draw = draw_scenarios(uncertain, [s for s, _ in drawn], u_starts=[u for _, u in drawn])
    for values, pairs in (
        (draw.reference, LAW.setpoint),
        (draw.u_start, LAW.start),
        (draw.d, list(LAW.disturbances.values())),
    ):
        low, high = np.transpose(pairs)[:, :, None]
        assert ((low <= values) & (values <= high)).all()
        assert np.ptp(values) > 0.8 * (high - low).min()
    shares = draw.chi[-len(VARIED) :]
    assert (np.abs(shares - 1) <= LAW.mismatch).all()
    assert np.ptp(shares, axis=1).min() > 1.5 * LAW.mismatch
    assert min(np.diff(s.setpoint.times).min() for s, _ in drawn) >= LAW.dwell[0]


def test_every_plant_of_the_shipped_law_reaches_every_setpoint(passed, uncertain):
    """The rest output is monotone in every constant and flow: its extremes lie in the corners."""
    (low, high), m = LAW.setpoint[0], LAW.mismatch
    corners = np.array(
        list(itertools.product(*len(VARIED) * [(1 - m, 1 + m)], *LAW.disturbances.values()))
    ).T
    twin = uncertain.vectorised
    for q3, reaches in (
        (passed.u_low[0], lambda y: (y < low).all()),
        (passed.u_high[0], lambda y: (y > high).all()),
    ):
        chi = np.repeat(uncertain.x0[:, None], corners.shape[1], axis=1)
        chi[-len(VARIED) :] = corners[: len(VARIED)]
        for _ in range(400):
            chi = twin.step(chi, np.full((1, corners.shape[1]), q3), corners[len(VARIED) :])
        assert reaches(twin.output(chi)), (q3, twin.output(chi).min(), twin.output(chi).max())


def test_a_law_comes_back_from_its_description():
    law = replace(LAW, delay=20.0, valve_lag=5.0)
    assert LoopLaw.from_description(law.describe()) == law
    assert artefact_file.plain(law.describe()) == law.describe()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"setpoint": ((7.0, 6.0),)}, r"loop law: setpoint \[7, 6\] must rise"),
        ({"start": ((7.0, np.inf),)}, r"loop law: start \[7, inf\] must rise and be finite"),
        ({"disturbances": {"q1": (2.0, 1.0)}}, r"loop law: q1 \[2, 1\] must rise"),
        ({"dwell": (0.0, 1.0)}, "dwell"),
        ({"noise": -1.0}, "scenario 'law': noise must be a number, not negative"),
        ({"mismatch": np.nan}, "scenario 'law': mismatch must be a number"),
    ],
)
def test_what_is_no_law_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        replace(LAW, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"setpoint": 2 * LAW.setpoint},
        {"start": 2 * LAW.start},
        {"disturbances": {"q9": (1.0, 2.0)}},
    ],
)
def test_a_law_for_another_plant_is_refused(uncertain, changes):
    with pytest.raises(
        InputError,
        match=(
            r"loop law: \d setpoint\(s\), \d start\(s\), disturbances q.*; pH neutralisation has 1,"
            r" 1, q1, q2"
        ),
    ):
        replace(LAW, **changes).draw(0, seed=0, plant=uncertain, steps=10)


# -- side by side is alone, to the bit -------------------------------------------------------------


def test_plants_come_to_rest_side_by_side_as_alone(uncertain):
    drawn = [LAW.draw(i, seed=0, plant=uncertain, steps=10) for i in range(9)]
    together = draw_scenarios(uncertain, [s for s, _ in drawn], u_starts=[u for _, u in drawn])
    for number, (scenario, before) in enumerate(drawn):
        alone = draw_scenario(uncertain, scenario, u_start=before)
        assert all(
            np.array_equal(getattr(together, name)[..., number], value)
            for name, value in alone.__dict__.items()
        )
    assert np.array_equal(
        rests(uncertain, uncertain.x0[:, None], np.array([[15.0]]))[:, 0], rest(uncertain, [15.0])
    )


def test_many_scenarios_at_once_are_each_its_replay(campaign):
    part = run_batch(campaign, 4, 9)
    runs = [replayed(campaign, index) for index in range(4, 9)]
    reached = [reach_of(run, campaign.safe_set) for run in runs]
    assert (part.reach, part.worst) == (max(reached), 4 + int(np.argmax(reached)))
    assert part.low == (min(run.truth.min() for run in runs),)
    assert part.high == (max(run.truth.max() for run in runs),)
    flags = [move.flags for run in runs for move in run.moves]
    words = meanings(measured=True, terminal=True)  # those of the C
    assert part.status == {flag.name: sum(flag in found for found in flags) for flag in words}
    quiet = []
    for run in runs:
        changes = np.diff(np.hstack([run.reference, run.d]), axis=0).any(axis=1)
        since = 0
        for k, error in enumerate(np.abs(run.truth - run.reference)[:, 0]):
            since = 0 if k and changes[k - 1] else since + (k > 0)
            quiet += [error] if since >= campaign.settle else []
    assert part.tracking == (max(quiet),)
    assert (part.violation, part.violator) == (0.0, None)


@pytest.mark.parametrize("law", [{"delay": 20.0}, {"valve_lag": 15.0}, {"disturbances": {}}])
def test_a_late_probe_and_a_slow_valve_are_replayed_as_well(campaign, law):
    other = replace(campaign, law=replace(LAW, **law))
    part = run_batch(other, 0, 3)
    assert max(reach_of(replayed(other, i), other.safe_set) for i in range(3)) == part.reach


def test_preview_sees_the_coming_setpoints(passed, uncertain):
    problem = replace(SHIPPED.control, horizon=5, preview=True)
    spec = ControllerSpec(passed, problem, SHIPPED.solver)
    quick = replace(LAW, dwell=(50.0, 100.0))
    ahead = loop_experiment(spec, uncertain, quick, LoopVerifyOptions(**SHORT))
    assert (
        max(reach_of(replayed(ahead, i), ahead.safe_set) for i in range(3))
        == run_batch(ahead, 0, 3).reach
    )


@pytest.mark.parametrize("preview", [False, True])
def test_several_inputs_and_outputs(mimo, preview):
    problem, system = ControlProblem(horizon=4, max_move=0.5, preview=preview), mimo.model.system
    law = LoopLaw(
        setpoint=((-0.2, 0.3), (-1.5, -0.5)),
        start=((0.5, 1.5), (3.0, 5.0)),
        dwell=(50.0, 90.0),
        noise=0.01,
    )
    spec = ControllerSpec(mimo, problem)
    both = loop_experiment(spec, system, law, LoopVerifyOptions(**SHORT))
    part, runs = run_batch(both, 0, 3), [replayed(both, i) for i in range(3)]
    truth = np.array([run.truth for run in runs])
    # the network's twin is a matrix product, which rounds otherwise beside others
    assert part.reach == pytest.approx(
        max(reach_of(run, both.safe_set) for run in runs), rel=ROUND_OFF
    )
    assert part.low == pytest.approx(truth.min(axis=(0, 1)), rel=ROUND_OFF)
    assert part.high == pytest.approx(truth.max(axis=(0, 1)), rel=ROUND_OFF)
    assert part.violation == 0.0


def test_an_input_beyond_its_limits_is_a_violation(campaign):
    tighter = replace(campaign, u_high=campaign.u_high - 1.5)
    part = run_batch(tighter, 0, 4)
    run = replayed(tighter, part.violator)
    assert part.violation == run.u.max() - tighter.u_high[0] > 0
    slower = replace(campaign, max_move=campaign.max_move / 2)
    part = run_batch(slower, 0, 4)
    run = replayed(slower, part.violator)
    moves = np.diff(np.concatenate([run.u_start, run.u[:, 0]]))
    assert part.violation == moves.max() - slower.max_move[0] > 0
    slower = replace(campaign, max_move_down=campaign.max_move_down / 2)
    part = run_batch(slower, 0, 4)
    run = replayed(slower, part.violator)
    moves = np.diff(np.concatenate([run.u_start, run.u[:, 0]]))
    assert part.violation == -moves.min() - slower.max_move_down[0] > 0


def test_a_plant_that_cannot_be_simulated_names_its_scenario(campaign, monkeypatch):
    class Broken:
        def step(self, chi, u, d):
            return np.where(np.arange(chi.shape[1]) == 2, np.nan, chi)

        def output(self, chi):
            return chi[:1]

    monkeypatch.setattr(type(campaign.plant), "vectorised", Broken())
    with pytest.raises(
        SolverError, match="scenario 6 leaves what the equations of pH neutralisation can describe"
    ):
        run_batch(campaign, 4, 8)


# -- the campaign ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_workers_and_one_give_the_same_bits(verified, monkeypatch):
    seen = []
    one, two = verified(on_progress=seen.append), verified(workers=2)
    assert one == two
    assert seen == [3 / 8, 6 / 8, 1.0]
    monkeypatch.setattr(experiment, "CHUNK", 8)
    again = verified()
    assert replace(again, performance=None) == replace(one, performance=None)
    for name in ("controller", "held", "pi"):  # means are sums in another order
        found, before = (getattr(each.performance, name) for each in (again, one))
        assert found.mean_error == pytest.approx(before.mean_error, rel=ROUND_OFF)
        assert replace(found, mean_error=()) == replace(before, mean_error=())


def test_the_record_says_what_was_verified(verified, passed, spec, tmp_path):
    found = verified(scenarios=None, epsilon=0.3, beta=0.05)
    assert found.scenarios == 9
    assert (found.model, found.source) == (passed.model.digest, spec.source_digest)
    assert found.safe
    assert found.claimed == ((7.0 - 2.5 * found.reach, 7.0 + 2.5 * found.reach),)
    assert found.claimed[0][0] <= found.low[0] < found.high[0] <= found.claimed[0][1]
    found.save(tmp_path / "v.json")
    assert LoopVerification.load(tmp_path / "v.json") == found
    assert not replace(found, violation=0.1, violator=3).safe
    assert not replace(found, reach=1.01).safe


def test_another_tuning_has_another_digest():
    own = tuning_digest(SHIPPED.control, SHIPPED.solver)
    assert own == tuning_digest(SHIPPED.control, SHIPPED.solver)
    for problem, solver in (
        (replace(SHIPPED.control, move_penalty=0.03), SHIPPED.solver),
        (replace(SHIPPED.control, y_low=-np.inf), SHIPPED.solver),
        (SHIPPED.control, replace(SHIPPED.solver, sqp_iterations=3)),
    ):
        assert tuning_digest(problem, solver) != own


def test_an_option_that_is_not_used_leaves_a_controller_what_it_was():
    """Campaigns of before such a key came speak of the same controller."""
    numbers = SHIPPED.control.__dict__ | SHIPPED.solver.__dict__
    for key in ("forecast", "terminal", "monitor", "alarm", "max_move_down", "input_target"):
        del numbers[key]
    del numbers["input_weight"]
    before = artefact_file.digest({k: repr(np.asarray(v).tolist()) for k, v in numbers.items()})
    assert tuning_digest(SHIPPED.control, SHIPPED.solver) == before
    for change in ({"max_move_down": 0.1}, {"input_target": 15.0, "input_weight": 0.1}):
        assert tuning_digest(replace(SHIPPED.control, **change), SHIPPED.solver) != before


def test_settling_longer_than_the_run_is_refused(verified):
    with pytest.raises(InputError, match="settle = 30 must lie between 0 and steps = 30"):
        verified(settle=30)


def test_an_interrupted_campaign_goes_on_where_it_was(verified, tmp_path, monkeypatch):
    whole, done = verified(), []

    def interrupt(share):
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verified(checkpoint=tmp_path / "parts", on_progress=interrupt)
    (folder,) = (tmp_path / "parts").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "part-000000000.json",
        "part-000000003.json",
    ]
    monkeypatch.setattr(
        loop_verification,
        "run_batch",
        lambda campaign, *edge: done.append(edge) or run_batch(campaign, *edge),
    )
    (folder / "part-000000003.json").write_text("")  # what a power cut may leave
    assert verified(checkpoint=tmp_path / "parts") == whole
    *again, first, second = done
    assert (first, second) == ((3, 6), (6, 8))
    # of the part that was kept some scenarios were run again
    assert all(b - a == 1 and 0 <= a < 3 for a, b in again)
    assert 2 <= len(again) <= 3
    assert not (tmp_path / "parts").exists()


FORGED = {
    "a smaller reach": (
        lambda p: p | {"reach": 0.5 * p["reach"], "each": [0.5 * x for x in p["each"]]},
        r"says that scenario \d needs 0\.\d{4} of the safe set; run again it needs 0\.\d{4}",
    ),
    "one scenario altered": (
        lambda p: p | {"each": [0.0 if x == p["reach"] else x for x in p["each"]]},
        "names another worst scenario than the one that its numbers give",
    ),
    "fewer scenarios": (
        lambda p: p | {"each": p["each"][:-1]},
        "does not hold the scenarios that its place in the campaign has",
    ),
    "scenarios of another place": (
        lambda p: p | {"first": 1},
        "does not hold the scenarios that its place in the campaign has",
    ),
    "narrower outputs": (
        lambda p: p | {"low": p["high"]},
        r"says less of the outputs than scenario \d shows",
    ),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_part_that_its_scenarios_do_not_give_is_an_error(verified, tmp_path, how):
    """A part with a digest that fits, put where the campaign keeps its own."""
    forge, words = FORGED[how]

    def interrupt(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verified(checkpoint=tmp_path / "parts", on_progress=interrupt)
    (folder,) = (tmp_path / "parts").iterdir()
    path = folder / "part-000000000.json"
    content = artefact_file.read_json(path, checkpoint.KIND)
    content["part"] = forge(content["part"])
    artefact_file.write_json(path, checkpoint.KIND, content)
    with pytest.raises(SolverError, match=rf"part-00000000\d.json {words}; delete the folder and"):
        verified(checkpoint=tmp_path / "parts")


def test_how_alike_a_replay_and_its_record_must_be():
    assert same_reach(0.5 + 1e-7, 0.5)
    assert not same_reach(0.5001, 0.5)
    assert not same_reach(float("nan"), 0.5)


def test_parts_of_another_campaign_are_left_alone_or_refused(verified, tmp_path):
    def interrupt(share):
        raise KeyboardInterrupt

    for seed in (3, 4):
        with pytest.raises(KeyboardInterrupt):
            verified(seed=seed, checkpoint=tmp_path / "parts", on_progress=interrupt)
    one, other = sorted((tmp_path / "parts").iterdir())
    verified(checkpoint=tmp_path / "parts")
    (left,) = (tmp_path / "parts").iterdir()  # the other may still go on
    gone = one if left == other else other
    left.rename(gone)
    with pytest.raises(
        InputError,
        match=(
            r"part-000000000.json: is part of another campaign \(\w{12}, this one is \w{12}\);"
            r" delete it"
        ),
    ):
        verified(checkpoint=tmp_path / "parts")


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"steps": 31},
        {"settle": 9},
        {"law": replace(LAW, noise=0.02)},
        {"plant": Plant(Ts=10.0, delay=10.0, uncertain=True).system()},
        {"safe_set": ((4.0, 9.5),)},
        {"sources": (("a.h", ""),)},
        {"max_move": np.array([np.inf])},
        {"max_move_down": np.array([0.1])},
    ],
)
def test_whatever_decides_the_result_makes_another_campaign(campaign, change):
    assert replace(campaign, **change).digest != campaign.digest
    assert replace(campaign, plant=Plant(uncertain=True).system()).digest == campaign.digest


def test_the_replay_is_an_ordinary_closed_loop(campaign, sources):
    scenario, before = LAW.draw(2, seed=SHORT["seed"], plant=campaign.plant, steps=SHORT["steps"])
    run = simulate_closed_loop(campaign.plant, Compiled(sources), scenario, u_start=before)
    again = replayed(campaign, 2)
    assert np.array_equal(run.y, again.y)
    assert np.array_equal(run.u, again.u)
