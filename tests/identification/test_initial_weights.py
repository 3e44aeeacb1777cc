"""Where training starts: random, linear, given weights; and which starts go on."""

import itertools

import numpy as np
import pytest
from builders import model_of, random_network, stable_network

from lstm_mpc.certificates.conditions import smallest_margin
from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.data.scaling import Scaling, scale
from lstm_mpc.errors import InputError
from lstm_mpc.identification.continuation import train
from lstm_mpc.identification.multistart import SCREENING, identify
from lstm_mpc.identification.options import TrainingOptions
from lstm_mpc.identification.solve.initial_weights import (
    given_start,
    linear_start,
    markov,
    random_start,
    realise,
)
from lstm_mpc.identification.starts import SearchOptions, TrainingCandidate, one_start
from lstm_mpc.io import parallel
from lstm_mpc.model import lstm
from lstm_mpc.model.data_fit import estimate_start, record_fits
from lstm_mpc.model.lstm import Sizes
from lstm_mpc.plants.system import Signal, simulate


def linear_record(rng, nu=1, ny=1, N=600):
    """A stable linear plant of order 3 under noise, and its matrices; outputs stay small."""
    A = np.array([[0.9, 0.2, 0.0], [-0.2, 0.9, 0.0], [0.0, 0.0, 0.7]])
    B, C = 0.02 * rng.normal(size=(3, nu)), rng.normal(size=(ny, 3))
    u, x, y = rng.uniform(-1, 1, (N, nu)), np.zeros(3), np.empty((N, ny))
    for k in range(N):
        y[k] = C @ x
        x = A @ x + B @ u[k]
    return (A, B, C), (u, y)


def response_of(A, B, C, count):
    return np.array([C @ np.linalg.matrix_power(A, k) @ B for k in range(count)])


@pytest.mark.parametrize(("nu", "ny"), [(1, 1), (2, 2)])
def test_the_realisation_has_the_plant_s_response(rng, nu, ny):
    plant, record = linear_record(rng, nu, ny)
    true = response_of(*plant, 40)
    np.testing.assert_allclose(markov([record], 60)[:40], true, atol=0.05 * np.abs(true).max())
    np.testing.assert_allclose(
        response_of(*realise(response_of(*plant, 60), 3), 40), true, atol=1e-9
    )
    A, B, C = realise(response_of(*plant, 60), 5)  # more states than the plant has
    assert (A.shape, B.shape, C.shape) == ((5, 5), (5, nu), (ny, 5))
    assert (
        np.abs(np.linalg.eigvals(realise(response_of(1.2 * plant[0], *plant[1:], 60), 3)[0])).max()
        < 1
    )


@pytest.mark.parametrize(("nu", "ny"), [(1, 1), (2, 2)])
def test_the_linear_start_simulates_a_linear_plant(rng, nu, ny):
    """Far better than chance before any training; random weights explain nothing."""
    _, (u, y) = linear_record(rng, nu, ny)
    sizes = Sizes(nu, (4,), ny)
    theta = random_start(sizes, spread=0.05, forget_bias=1.0, seed=0)
    scaling = Scaling(np.zeros(nu), np.ones(nu), np.zeros(ny), np.ones(ny))
    errors = []
    for weights in (linear_start(theta, sizes, [(u, y)]), theta):
        chi, network = np.zeros(8), lstm.unpack(weights, sizes)
        estimate = np.empty_like(y)
        for k in range(len(u)):
            estimate[k] = np.asarray(lstm.output(network, chi[:, None])).ravel()
            chi = np.asarray(lstm.step(network, chi[:, None], u[k][:, None])).ravel()
        estimate = estimate - estimate.mean(axis=0)
        errors.append(
            np.linalg.norm(scaling.y_in(y - y.mean(axis=0)) - estimate)
            / np.linalg.norm(y - y.mean(axis=0))
        )
    assert errors[0] < 0.4 < errors[1]


def test_training_from_the_linear_start_begins_better(dataset):
    first = [
        train(dataset, scale(dataset), TrainingOptions(cells=(3,), iterations=1, start=s), seed=0)
        .history[0]
        .fit
        for s in ("random", "linear")
    ]
    assert first[1] > first[0] + 5


def test_a_linear_start_is_for_one_layer(dataset):
    with pytest.raises(InputError, match=r"start = 'linear' is for one layer, cells has 2"):
        train(dataset, scale(dataset), TrainingOptions(cells=(2, 2), start="linear"), seed=0)
    with pytest.raises(InputError, match="start must be one of random, linear, got 'luck'"):
        TrainingOptions(start="luck")


INSIDE = {"conditions": ("iss", "delta_iss"), "margin": 1e-3, "radius": 1.0}


def test_given_weights_are_taken_as_they_are_by_seed_0():
    network = random_network(3)
    sizes = lstm.sizes_of(network)
    assert np.array_equal(
        given_start(network, sizes, **INSIDE, spread=0.1, seed=0), lstm.pack(network)
    )
    with pytest.raises(
        InputError,
        match=r"the network to start from is Sizes\(nu=1, nx=\(3,\).*set cells to its cells",
    ):
        given_start(network, Sizes(1, (4,), 1), **INSIDE, spread=0.1, seed=0)


@pytest.mark.parametrize("shape", [(1, (3,), 1), (2, (3, 2), 2)])
def test_other_seeds_are_pulled_just_inside_the_conditions(shape):
    network = random_network(3, *shape)
    sizes = lstm.sizes_of(network)
    theta = given_start(network, sizes, **INSIDE, spread=0.0, seed=1)
    head = slice(sizes.slices["C"].start, None)
    assert np.array_equal(theta[head], lstm.pack(network)[head])
    assert smallest_margin(network, INSIDE["conditions"], 1.0) < 0
    assert 1e-3 < smallest_margin(lstm.unpack(theta, sizes), INSIDE["conditions"], 1.0) < 2e-3
    inside = lstm.unpack(np.where(np.arange(theta.size) < head.start, 0.5, 1.0) * theta, sizes)
    kept = given_start(inside, sizes, **INSIDE, spread=0.0, seed=1)
    assert np.array_equal(kept, lstm.pack(inside))  # nothing is pulled that holds already
    moved = np.abs(given_start(inside, sizes, **INSIDE, spread=1e-3, seed=1) - kept)
    assert 0 < moved.max() <= 1e-3


def test_a_network_that_fails_is_retrained_into_the_certified_set(dataset):
    """Weights far outside, which explain the data, end inside and explain them nearly as well."""
    free = train(
        dataset,
        scale(dataset),
        TrainingOptions(cells=(3,), conditions=(), iterations=60, forget_bias=1.0),
        seed=0,
    )
    assert free.fit > 95
    assert smallest_margin(free.network, INSIDE["conditions"], 1.0) < -1
    settings = TrainingOptions(cells=(3,), conditions=INSIDE["conditions"], iterations=60)
    done = train(dataset, scale(dataset), settings, seed=1, network=free.network)
    assert done.margin > 0
    assert done.fit > free.fit - 5


def test_identify_widens_the_boxes_to_hold_given_weights(dataset, monkeypatch):
    network = random_network(0, spread=6.0)
    seen = []

    def run(function, tasks, **options):
        seen.extend(tasks)
        raise KeyboardInterrupt

    monkeypatch.setattr(parallel, "run", run)
    with pytest.raises(KeyboardInterrupt):
        identify(
            dataset, dataset, TrainingOptions(cells=(9,)), SearchOptions(starts=1), network=network
        )
    settings, leaves = seen[0][3].settings, lstm.parameters(network)
    assert settings.cells == (3,)
    assert settings.weight_bound == max(
        np.abs(v).max() for k, v in leaves.items() if k not in ("C", "b_y")
    )
    assert settings.output_box == max(np.abs(leaves["C"]).max(), np.abs(leaves["b_y"]).max())


# -- candidates ------------------------------------------------------------------------------------


def test_the_worse_half_of_the_short_starts_is_left_until_the_asked_for_are(dataset, monkeypatch):
    rounds = []

    def run(function, tasks, **options):
        done = [one_start(*task) for task in tasks]
        rounds.append([(s.outcome.seed, s.outcome.iterations, s.promise) for s in done])
        return done

    monkeypatch.setattr(parallel, "run", run)
    ways = (TrainingCandidate(decay=1e-6), TrainingCandidate(decay=1e-2, start="linear"))
    found = identify(
        dataset,
        dataset,
        TrainingOptions(cells=(2,), iterations=30),
        SearchOptions(starts=1, screen=4, seed=3, candidates=ways),
    )
    assert [seed for seed, *_ in rounds[0]] == [3, 4, 5, 6]
    assert [max(iterations for _, iterations, _ in each) for each in rounds] == [SCREENING, 30, 30]
    for looked, kept in itertools.pairwise(rounds):
        best = sorted(looked, key=lambda row: -row[2])[: len(kept)]
        assert [seed for seed, *_ in kept] == sorted(seed for seed, *_ in best)
    # every start is reported once, the one that was trained to the end first, with its candidate
    seeds = [start.outcome.seed for start in found.starts]
    assert seeds[0] == rounds[-1][0][0]
    assert sorted(seeds) == [3, 4, 5, 6]
    for start in found.starts:
        assert start.candidate == ways[(start.outcome.seed - 3) % 2]
        if start.model is not None:
            settings = start.model.origin["settings"]
            assert settings["decay"] == start.candidate.decay
            assert settings["start"] == (start.candidate.start or "random")
    assert {row["candidate"] for row in found.report()["starts"]} == {
        "decay 1e-06",
        "start linear, decay 0.01",
    }
    assert "(start linear, decay 0.01)" in " ".join(start.sentence for start in found.starts)


def test_numbers_of_starts_and_candidates_that_cannot_be_are_refused(dataset):
    with pytest.raises(InputError, match="screen at least 0, got 1 and -1"):
        SearchOptions(starts=1, screen=-1)
    with pytest.raises(InputError, match=r"start must be one of random, linear, got 'warm'"):
        identify(
            dataset,
            dataset,
            TrainingOptions(cells=(2,)),
            SearchOptions(candidates=(TrainingCandidate(start="warm"),)),
        )


# -- the start of a record -------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, (3,), 1), (2, (3, 2), 2)])
def test_a_window_tells_the_start(shape, rng):
    """The model's own output is explained to far below what the start at rest leaves."""
    model = model_of(stable_network(4, *shape))
    u = rng.uniform(model.u_low, model.u_high, (60, shape[0]))
    true = rng.uniform(-0.8, 0.8, model.sizes.n)
    y = simulate(model.system, u, x0=true).y
    found = simulate(model.system, u, x0=estimate_start(model, u[:30], y[:30])).y
    rough = simulate(model.system, u).y
    assert np.abs(found - y).max() < 0.05 * np.abs(rough - y).max()


def test_a_window_is_used_by_validate_and_must_be_skipped(rng):
    model = model_of(stable_network(4))
    u = rng.uniform(model.u_low, model.u_high, (80, 1))
    y = simulate(model.system, u, x0=np.full(6, 0.7)).y
    data = Dataset(model.inputs, (Signal("y1", "m"),), model.Ts, (Record("a", u, y),))
    with_window, without = (
        record_fits(model, data, transient=4, seed=0, window=w)[0].rmse[0] for w in (4, 0)
    )
    assert with_window < 0.2 * without
    with pytest.raises(
        InputError, match="a window of 5 samples must lie within the 4 that are skipped"
    ):
        record_fits(model, data, transient=4, seed=0, window=5)
    with pytest.raises(InputError, match=r"estimate_start: u \(3, 1\) and y \(2, 1\) must be"):
        estimate_start(model, np.zeros((3, 1)), np.zeros((2, 1)))
