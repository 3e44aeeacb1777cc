"""Controllers that keep every limit and the safe set, and are of no use: a policy that bounds what
loops show refuses them. What no controller can do is proved, and held against a search."""

from dataclasses import replace

import numpy as np
import pytest
from places import ROOT

from lstm_mpc.assurance.clearance import clear
from lstm_mpc.assurance.loop_claims import bound_claim, joint_claim, loop_claims
from lstm_mpc.assurance.loop_verification import LoopVerifyOptions, verify_loop
from lstm_mpc.assurance.loops import experiment
from lstm_mpc.assurance.loops.performance import Gauge, bounded, performance_reasons
from lstm_mpc.assurance.plant_bound import plant_bound
from lstm_mpc.certificates.evidence import LoopVerification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.policy import Policy
from lstm_mpc.certificates.scenarios import scenario_count
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.plants import ph, quadruple_tank
from lstm_mpc.plants.tanks import tank_stays
from lstm_mpc.project.design import load_design

SHIPPED = ("ph", "quadruple_tank")
LOOPS = 24


def shipped(name):
    design = load_design(ROOT / "models" / name)
    passed = Release.load(design.file("release.json"))
    spec = ControllerSpec(passed, design.control, design.solver)
    return design, spec, LoopVerification.load(design.file("loop-verification.json"))


def loops_of(design, spec, law=None):
    law = law or design.loop_law
    options = replace(design.verify_loop, steps=240)
    return verify_loop(spec, design.plant_of(law), law, options, scenarios=LOOPS)


class Deaf(experiment.ControllerBatch):
    """The exported controller, told another setpoint all the time."""

    def step(self, y, reference, measured):
        middle = np.full_like(reference, 7.0) if len(y) == 1 else np.full_like(reference, 10.5)
        return super().step(y, middle, measured)


@pytest.mark.parametrize("name", [*SHIPPED, "ph_feed"])
def test_the_shipped_controllers_pass_by_what_they_do(name):
    _, spec, loop = shipped(name)
    policy = spec.release.policy
    assert all((policy.max_error, policy.max_settling, policy.max_overshoot, policy.max_flagged))
    assert bounded(policy)
    assert policy.held == 0.3
    assert policy.pi == 1.0
    with pytest.raises(Refused, match="the closed loop was never verified"):
        clear(spec)  # the tube alone is not enough
    assert performance_reasons(spec.release.policy, spec.model.outputs, loop) == []
    kinds = [kind for kind, _ in clear(spec, loop=loop).evidence]
    assert kinds.count("sampled") == 3
    assert kinds.count("measured") == 1


@pytest.mark.parametrize("name", SHIPPED)
def test_a_controller_that_ignores_its_setpoint_is_refused(name, monkeypatch):
    design, spec, _ = shipped(name)
    monkeypatch.setattr(experiment, "ControllerBatch", Deaf)
    loop = loops_of(design, spec)
    assert loop.safe
    reasons = performance_reasons(spec.release.policy, spec.model.outputs, loop)
    assert any(why.startswith("the largest error after settling of ") for why in reasons)
    assert any(", that of a PI controller tuned on them" in why for why in reasons)
    with pytest.raises(Refused) as refused:
        clear(spec, loop=replace(loop, scenarios=scenario_count(1e-2, 1e-6, rule="exact")))
    assert set(reasons) <= set(refused.value.reasons)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_probe_that_is_two_minutes_late_is_refused(name):
    design, spec, _ = shipped(name)
    loop = loops_of(design, spec, replace(design.loop_law, delay=120.0))
    reasons = performance_reasons(spec.release.policy, spec.model.outputs, loop)
    assert any(
        "largest error after settling" in why or "settling time" in why for why in reasons
    ), reasons


def test_every_bound_has_its_sentence():
    _, spec, loop = shipped("ph")
    strict = Policy(
        max_error=(1e-3,), max_settling=(1.0,), max_overshoot=(1e-3,), held=1e-3, pi=1e-3
    )
    flagged = replace(loop.performance.controller, flagged=0.02)
    loop = replace(loop, performance=replace(loop.performance, controller=flagged))
    reasons = performance_reasons(replace(strict, max_flagged=0.01), spec.model.outputs, loop)
    starts = (
        "the largest error after settling of pH is ",
        "the settling time of pH is ",
        "the overshoot of pH is ",
        "2.00% of the samples are flagged, the policy allows 1.00%",
        "the mean error of pH is ",
        "the mean error of pH is ",
    )
    assert len(reasons) == len(starts)
    assert all(why.startswith(start) for why, start in zip(reasons, starts, strict=True))
    assert reasons[0].endswith(" pH, the policy allows 0.001")
    assert reasons[1].endswith(" s, the policy allows 1")
    assert (
        ", that of inputs held where they were 0.361; the policy allows 0.001 of it" in reasons[4]
    )
    assert (
        ", that of a PI controller tuned on them 0.0375; the policy allows 0.001 of i" in reasons[5]
    )
    two = performance_reasons(Policy(max_error=(1.0, 1.0)), spec.model.outputs, loop)
    assert two == ["the policy bounds the largest error after settling of 2 output(s), there are 1"]
    lacking = performance_reasons(strict, spec.model.outputs, replace(loop, performance=None))
    assert lacking == ["the loop verification does not say how the loops went; make it anew"]


def _of(loop, **figures):
    """The record with other figures of its controller."""
    mine = replace(loop.performance.controller, **figures)
    return replace(loop, performance=replace(loop.performance, controller=mine))


VOID = {  # a record that says nothing of an output, or of no loop
    "no error": (lambda p: _of(p, error=()), "error of controller holds 0 figure"),
    "two settling times": (lambda p: _of(p, settling=(1.0, 1.0)), "settling of controller holds 2"),
    "no number": (lambda p: _of(p, overshoot=(float("nan"),)), "must be finite and not negative"),
    "below zero": (lambda p: _of(p, mean_error=(-1.0,)), "must be finite and not negative"),
    "a share": (lambda p: _of(p, flagged=float("nan")), r"the flagged share within \[0, 1\], got"),
    "no bound": (
        lambda p: replace(p, bound=replace(p.bound, low=())),
        r"bound holds 0 figure\(s\), there are 1 output",
    ),
}


@pytest.mark.parametrize("what", VOID)
def test_a_record_that_says_nothing_of_an_output_is_none(what):
    spoil, words = VOID[what]
    with pytest.raises(InputError, match=words):
        spoil(shipped("ph")[2])


def test_a_baseline_without_any_error_divides_nothing():
    _, spec, loop = shipped("ph")
    still = replace(loop.performance.held, mean_error=(0.0,))
    loop = replace(loop, performance=replace(loop.performance, held=still))
    (reason,) = performance_reasons(spec.release.policy, spec.model.outputs, loop)
    assert reason.endswith("that of inputs held where they were 0; the policy allows 0.3 of it")
    assert any("no share of inputs held" in text for _, text in loop_claims(loop, spec.release))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"max_error": (0.0,)}, r"max_error = \[0.0\] must be positive numbers, one for each"),
        ({"max_settling": (float("nan"),)}, r"max_settling = \[nan\] must be positive numbers"),
        ({"held": -1.0}, r"held = -1.0 must be a number, not negative"),
        ({"max_flagged": float("inf")}, r"max_flagged = inf must be a number, not negative"),
    ],
)
def test_a_bound_that_is_none_is_named(keys, words):
    with pytest.raises(InputError, match=words):
        Policy(**keys)


def test_a_gauge_reads_a_step_as_one_would_by_hand():
    """Setpoint 1 from sample 2 on; the output rises past it and stays 0.2 off."""
    gauge = Gauge(1, 1, np.array([0.1]), settle=3, Ts=10.0)
    outputs, setpoints = [0, 0, 0, 0.5, 1.3, 1.05, 1.2, 1.05], [0, 0, 1, 1, 1, 1, 1, 1]
    quiet = [0, 1, 0, 1, 2, 3, 4, 5]
    for y, r, k in zip(outputs, setpoints, quiet, strict=True):
        gauge.take(np.array([[y]]), np.array([[r]]), np.array([k]), np.array([8 if k else 9]))
    found = gauge.performance
    assert found.error == pytest.approx((0.2,))
    assert found.settling == (50.0,)  # sample 6, the fifth after the change, is still off
    assert found.overshoot == pytest.approx((0.3,))
    assert found.mean_error == pytest.approx(((1 + 0.5 + 0.3 + 0.05 + 0.2 + 0.05) / 8,))
    assert found.flagged == 2 / 8  # a budget used up does not count


# -- what no controller can do ---------------------------------------------------------------------


def test_no_controller_takes_the_ph_plants_out_of_the_known_interval():
    design, spec, loop = shipped("ph")
    law, limits = design.loop_law, spec.limits
    bound = plant_bound(design.plant_of(law), law, limits.u_low, limits.u_high, steps=100, seed=0)
    assert bound == loop.bound
    assert (bound.kind, bound.signals) == ("proved", 0)
    assert (round(bound.low[0], 3), round(bound.high[0], 3)) == (5.458, 9.453)
    kind, text = bound_claim(loop, spec.release)
    assert kind == "proved"
    assert text == (
        "no inputs within the limits, whoever makes them, take the plants of the law out of pH in"
        " [5.458, 9.453] pH, within the safe set: that loops stay in it is proved for every"
        " controller, and the scenarios say nothing about this one there"
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_a_search_finds_no_escape_and_comes_near(name):
    """Without its proof the plant is searched: called sampled, inside what is proved."""
    design, spec, loop = shipped(name)
    law, plant = design.loop_law, design.plant_of(design.loop_law)

    class Silent:
        """The twin without bounds."""

        def __init__(self, twin):
            self.step, self.output = twin.step, twin.output

    bare = replace(plant, batch=Silent(plant.batch))
    found = plant_bound(bare, law, spec.limits.u_low, spec.limits.u_high, steps=400, seed=1)
    assert (found.kind, found.signals) == ("sampled", 256)
    proved = loop.bound
    for a, b, low, high in zip(proved.low, proved.high, found.low, found.high, strict=True):
        assert a <= low < high <= b
        assert high - low > 0.85 * (b - a)
    kind, text = bound_claim(replace(loop, bound=found), spec.release)
    assert kind == "sampled"
    assert text.endswith("what no controller can do is not proved for this plant")


def test_a_bound_beyond_the_safe_set_says_that_the_controller_matters():
    _, spec, loop = shipped("quadruple_tank")
    kind, text = bound_claim(loop, spec.release)
    assert kind == "proved"
    assert text.endswith(", beyond the safe set: that loops stay in it is up to the controller")


def test_a_plant_that_is_not_stable_enough_is_not_proved():
    """Must fail: steps far too long for the outlet, and a tank that may run dry."""
    assert tank_stays(1.0, 0.0, 1.0)
    assert not tank_stays(1.0, 0.0, 1.01)
    assert not tank_stays(0.0, 0.0, 0.5)
    u, d, none = np.array([[12.5, 17.0]]), np.array([[16.4, 16.8], [0.5, 0.6]]), np.zeros((0, 2))
    assert ph.Plant(Ts=10.0).output_bounds(u, d, none) is not None
    assert ph.Plant(Ts=3000.0).output_bounds(u, d, none) is None
    assert ph.Plant(Ts=10.0).output_bounds(-u[:, ::-1], d, none) is None
    v, w = np.array([[1.5, 3.6]] * 2), np.array([[-0.2, 0.2]] * 2)
    tank = quadruple_tank.Plant(Ts=10.0)
    assert tank.output_bounds(v, w, none) is not None
    assert tank.output_bounds(v, 20 * w, none) is None


# -- how sure all of it is together ----------------------------------------------------------------


def test_one_joint_claim_for_all_that_is_sampled():
    _, spec, loop = shipped("ph")
    verification = spec.release.verification
    kind, text = joint_claim(verification, loop, 1)
    count = len(verification.bounds) + 1 + 3
    assert kind == "sampled"
    assert text.startswith(
        f"all {count} sampled statements, of the model's bounds at every input radius and of the"
        f" loop, hold together with confidence 1−{count * 1e-6:.3g} (union bound)"
    )
    claims = [text for _, text in loop_claims(loop, spec.release)]
    assert sum("hold together" in text for text in claims) == 1
    assert joint_claim(None, replace(loop, performance=None), 1) is None
    tried = joint_claim(verification, loop, 1, (3, 2))[1]
    assert f"confidence 1−{(3 * len(verification.bounds) + 2 * 4) * 1e-6:.3g} (union" in tried
    assert "(union bound, β once for each of 5 campaigns); what is proved" in tried
    again = [text for _, text in loop_claims(loop, spec.release, 2)]
    assert sum("1−2e-06 (β = 1e-06 for each of 2 campaigns)" in text for text in again) == 2
    doubled = joint_claim(verification, replace(loop, beta=1e-3), 1)[1]
    assert f"1−{len(verification.bounds) * 1e-6 + 4e-3:.3g}" in doubled


def test_options_of_the_loops_are_kept():
    _, _, loop = shipped("ph")
    assert LoopVerifyOptions.of(loop).steps == loop.steps
