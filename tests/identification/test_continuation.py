"""Training in several solves: free first, and the route to the signed condition."""

from dataclasses import replace

import numpy as np
import paper
import pytest
from builders import SETTINGS, model_of, plain

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.conditions import SIGNED, smallest_margin
from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.data.scaling import scale
from lstm_mpc.errors import InputError, SolverError
from lstm_mpc.identification import continuation
from lstm_mpc.identification.continuation import first_conditions, train
from lstm_mpc.identification.multistart import identify
from lstm_mpc.identification.options import TrainingOptions
from lstm_mpc.identification.starts import SearchOptions
from lstm_mpc.identification.training import train_once
from lstm_mpc.plants.system import Signal


@pytest.fixture(scope="module")
def swing():
    """A plant that swings, damping 0.2: absolute values see growth in it."""
    rng, y, v = np.random.default_rng(0), np.zeros(300), 0.0
    u = np.repeat(rng.uniform(-1, 1, 30), 10)
    for k in range(299):
        v += 0.5 * (u[k] - y[k] - 0.4 * v)
        y[k + 1] = y[k] + 0.5 * v
    record = Record("swing", u[:, None], (y + 0.005 * rng.normal(size=300))[:, None])
    return Dataset((Signal("u", "V", -1, 1),), (Signal("y", "m"),), 1.0, (record,))


OPTIONS = TrainingOptions(
    cells=(3,),
    conditions=(SIGNED,),
    start="linear",
    forget_bias=1.5,
    weight_bound=10.0,
    output_box=5.0,
    decay=1e-4,
    output_decay=1e-4,
    iterations=60,
)


def start(dataset, **change):
    return train(dataset, scale(dataset), replace(OPTIONS, **change), seed=0)


@pytest.fixture(scope="module")
def signed(swing):
    return start(swing)


@pytest.fixture(scope="module")
def elementwise(swing):
    return start(swing, conditions=("delta_iss",))


# -- the route to the signed condition -------------------------------------------------------------


def test_the_route_ends_in_a_proof_where_absolute_values_refuse(signed, elementwise):
    assert certify(model_of(signed.network), SIGNED).holds
    assert signed.margin == pytest.approx(certify(model_of(signed.network), SIGNED).margin)
    assert paper.worst(plain(signed.network), "delta_iss") > 1
    assert signed.fit > elementwise.fit + 1


def test_its_solves_are_counted_as_one(signed):
    assert [p.iteration for p in signed.history] == list(range(signed.iterations + 1))
    assert signed.iterations > OPTIONS.iterations  # more than one solve
    assert signed.fit <= max(p.fit for p in signed.history)


def test_a_free_network_that_is_proved_already_is_kept(dataset):
    """No second solve where the first one's network passes."""
    done = train(dataset, scale(dataset), replace(OPTIONS, decay=1e-2, iterations=15), seed=0)
    free = train(
        dataset, scale(dataset), replace(OPTIONS, conditions=(), decay=1e-2, iterations=15), seed=0
    )
    assert done.iterations == free.iterations
    assert done.fit == free.fit
    assert certify(model_of(done.network), SIGNED).holds


def test_what_is_not_proved_is_no_result(swing, monkeypatch):
    """Must fail: all bounds are tried, the elementwise condition last, and nothing is believed."""
    bounds, honest = [], continuation.train_once

    def watched(*arguments, growth=None, **options):
        bounds.append(growth)
        return honest(*arguments, growth=growth, **options)

    monkeypatch.setattr(continuation, "train_once", watched)
    monkeypatch.setattr(continuation, "signed_margin", lambda network, radius: -np.inf)
    done = start(swing, iterations=3)
    assert bounds == [None, 1.1, 1.05, 1 - OPTIONS.margin]
    assert done.network is None
    assert "no feasible iterate" in done.sentence
    assert np.isnan(done.fit)


def test_no_start_that_is_not_proved_is_chosen(swing, monkeypatch):
    """Must fail."""
    monkeypatch.setattr(continuation, "signed_margin", lambda network, radius: -np.inf)
    with pytest.raises(SolverError, match="training gave no certified model"):
        identify(swing, swing, replace(OPTIONS, iterations=2), SearchOptions(starts=1))


def test_other_conditions_hold_from_the_first_solve_on(swing):
    done = start(swing, conditions=("iss", SIGNED), forget_bias=0.0, iterations=25)
    assert paper.worst(plain(done.network), "iss") < 1
    assert certify(model_of(done.network), SIGNED).holds
    names = first_conditions(replace(OPTIONS, conditions=("iss", "delta_iss", SIGNED)))
    assert names == ("iss",)


def test_a_stop_keeps_a_network_only_if_it_is_proved(swing):
    calls = iter(range(1000))
    done = train(swing, scale(swing), OPTIONS, seed=0, stop=lambda: next(calls) >= 2)
    assert done.iterations == 2
    assert done.network is None or certify(model_of(done.network), SIGNED).holds


def test_identification_certifies_it_and_screens_with_the_first_solve(swing):
    found = identify(
        swing, swing, replace(OPTIONS, iterations=25), SearchOptions(starts=1, screen=2)
    )
    assert certify(found.model, SIGNED).holds
    assert f"{SIGNED} certified" in found.starts[0].sentence


# -- bounds of the growth --------------------------------------------------------------------------


@pytest.mark.parametrize("growth", [1.3, 1.0])
def test_the_growth_is_bounded(swing, growth):
    done = train_once(swing, scale(swing), replace(OPTIONS, conditions=()), seed=0, growth=growth)
    assert 1 - smallest_margin(done.network, ("delta_iss",), 1.0) <= growth * (1 + 1e-6)
    free = train_once(swing, scale(swing), replace(OPTIONS, conditions=()), seed=0)
    assert 1 - smallest_margin(free.network, ("delta_iss",), 1.0) > growth


def test_a_bound_of_the_growth_does_not_relax_a_condition(swing):
    """Must fail."""
    options = replace(OPTIONS, conditions=("delta_iss",), iterations=15)
    done = train_once(swing, scale(swing), options, seed=0, growth=1.3)
    assert smallest_margin(done.network, ("delta_iss",), 1.0) > 0


def test_one_solve_knows_formulas_only(swing):
    with pytest.raises(InputError, match="signed_delta_iss is no formula of norms"):
        train_once(swing, scale(swing), OPTIONS, seed=0)


# -- free first ------------------------------------------------------------------------------------


def test_free_weights_are_continued_under_the_condition(swing, elementwise):
    done = start(swing, conditions=("delta_iss",), free_first=True)
    assert smallest_margin(done.network, ("delta_iss",), 1.0) > 0
    switch = next(k for k, p in enumerate(done.history) if np.isfinite(p.margin))
    assert 0 < switch < done.iterations
    assert all(np.isinf(p.margin) for p in done.history[:switch])
    # the second solve begins with the weights the first one kept
    best = min(done.history[:switch], key=lambda p: p.objective)
    np.testing.assert_allclose(done.history[switch].theta, best.theta, atol=1e-2)
    assert done.fit > elementwise.fit - 1


def test_without_incremental_conditions_free_first_changes_nothing(dataset):
    options = replace(SETTINGS, iterations=5)
    one, two = (
        train(dataset, scale(dataset), replace(options, free_first=first), seed=0)
        for first in (False, True)
    )
    assert one.history[-1].theta.tolist() == two.history[-1].theta.tolist()
