"""The interval tube: every operation rounds outwards, no trajectory leaves, and the record says
what was computed."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from builders import DEPTHS, model_of, random_network, stable_model, zero_layer
from hypothesis import given, settings, strategies as st
from mpmath import mp
from tolerances import ROUND_OFF

from lstm_mpc.certificates import reachability as module
from lstm_mpc.certificates.conditions import gate_numbers, layer_radius
from lstm_mpc.certificates.evidence import Tube
from lstm_mpc.certificates.reachability import reach
from lstm_mpc.certificates.rigorous import Box, affine, pieces, plus, rising, times
from lstm_mpc.errors import InputError
from lstm_mpc.model.lstm import Network

often = settings(deadline=None, derandomize=True, max_examples=100)
seeds, shapes = st.integers(0, 10_000), st.sampled_from(DEPTHS)
numbers = st.floats(-1e6, 1e6) | st.floats(-1e-300, 1e-300) | st.sampled_from([0.0, 1.0, -1.0, 0.1])
WIDE, SAMPLES, STEPS = ((-100.0, 100.0),), 10_000, 60


one = st.just(1)


@st.composite
def boxes(draw, rows=one):
    """A box (n, 1) and a point in it, often an end."""
    sides = [sorted((draw(numbers), draw(numbers))) for _ in range(draw(rows))]
    point = [draw(st.sampled_from(side) | st.floats(*side)) for side in sides]
    low, high = np.array(sides).T
    return Box(low[:, None], high[:, None]), np.array(point)[:, None]


def holds(box, exact):
    """box.low ≤ exact ≤ box.high in the reals, for one exact number."""
    ends = (float(box.low.item()), float(box.high.item()))
    if isinstance(exact, Fraction):
        return Fraction(ends[0]) <= exact <= Fraction(ends[1])
    return mp.mpf(ends[0]) <= exact <= mp.mpf(ends[1])


def sampled(model, steps, *, radius=1.0, start_box=0.1, seed=0, count=SAMPLES):
    """Outputs (steps + 1, ny, count) [engineering] of the model: starts in the box or its corners;
    inputs that are constant at a limit, jump between the limits, are random, or hold for a
    while."""
    rng, batch, nu, n = (
        np.random.default_rng(seed),
        model.system.batch,
        model.network.nu,
        model.network.n,
    )
    chi = np.clip(rng.uniform(-2, 2, (n, count)), -1, 1) * start_box
    kinds = rng.integers(0, 4, (nu, count))
    held = rng.choice([-1.0, 1.0], (nu, count))
    outputs = [batch.output(chi)]
    for _ in range(steps):
        anew, flip = rng.uniform(-1, 1, (nu, count)), rng.choice([-1.0, 1.0], (nu, count))
        held = np.where((kinds == 3) & (rng.random((nu, count)) < 0.1), flip, held)
        u = radius * np.select([kinds == 0, kinds == 1], [anew, flip], held)
        chi = batch.step(
            chi, model.scaling.u_mid[:, None] + model.scaling.u_span[:, None] * u, None
        )
        outputs.append(batch.output(chi))
    return np.array(outputs)


def escape(y, found):
    """How far the outputs leave the record's claims at most (negative: they stay inside)."""
    slack = []
    for k in range(len(y)):
        tube = (
            (found.tube_low[k], found.tube_high[k])
            if k <= found.steps
            else tuple(zip(*found.forever, strict=True))
        )
        for low, high in (tube, tuple(zip(*found.whole, strict=True))):
            slack += [(np.array(low)[:, None] - y[k]).max(), (y[k] - np.array(high)[:, None]).max()]
    slack += [
        max((low - y[found.steps :, j]).max(), (y[found.steps :, j] - high).max())
        for j, (low, high) in enumerate(found.forever)
    ]
    slack += [
        max((low - y[1:, j]).max(), (y[1:, j] - high).max())
        for j, (low, high) in enumerate(found.trivial)
    ]
    return max(slack)


# -- the operations --------------------------------------------------------------------------------


@often
@given(case=boxes(st.integers(1, 6)), data=st.data())
def test_affine_is_outward(case, data):
    box, point = case
    row, b = [data.draw(numbers) for _ in point], data.draw(numbers)
    exact = sum(
        (Fraction(m) * Fraction(p) for m, p in zip(row, point.ravel(), strict=True)), Fraction(b)
    )
    assert holds(affine(np.array([row]), box, np.array([[b]])), exact)


@often
@given(one=boxes(), other=boxes())
def test_times_and_plus_are_outward(one, other):
    (a, p), (b, q) = one, other
    p, q = Fraction(p.item()), Fraction(q.item())
    assert holds(times(a, b), p * q)
    assert holds(plus(a, b), p + q)


@often
@given(
    case=boxes(),
    scale=st.sampled_from([1.0, 1e-5, 1e-6]),
    function=st.sampled_from(["sigmoid", "tanh"]),
)
def test_sigma_and_tanh_are_outward_and_in_their_range(case, scale, function):
    box, point = (Box(case[0].low * scale, case[0].high * scale), case[1] * scale)
    found = rising(function, box)
    with mp.workprec(300):
        z = mp.mpf(float(point.item()))
        if abs(z) < 90:  # beyond, 300 bits no longer tell tanh from 1
            assert holds(found, 1 / (1 + mp.exp(-z)) if function == "sigmoid" else mp.tanh(z))
    assert found.low.item() >= (0.0 if function == "sigmoid" else -1.0)
    assert found.high.item() <= 1.0


@often
@given(nu=st.integers(1, 3), radius=st.floats(1e-3, 2.0), count=st.integers(1, 40), seed=seeds)
def test_the_pieces_cover_the_inputs(nu, radius, count, seed):
    box = pieces(nu, radius, count)
    u = np.clip(np.random.default_rng(seed).uniform(-1.5, 1.5, (200, nu, 1)), -1, 1) * radius
    assert ((box.low <= u) & (u <= box.high)).all(axis=1).any(axis=1).all()
    assert (box.low.min(), box.high.max()) == (-radius, radius)
    assert nu > 1 or box.low.shape == (1, count)


# -- the tube --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", DEPTHS)
@pytest.mark.parametrize(("seed", "radius", "start_box"), [(0, 1.0, 0.1), (1, 0.6, 1.0)])
def test_no_trajectory_leaves_the_tube(shape, seed, radius, start_box):
    """Ten thousand runs each; the tube for k ≤ 40, `forever` for what comes after, `whole` for all,
    `trivial` for k ≥ 1."""
    model = stable_model(seed, *shape)
    found = reach(model, safe_set=WIDE * shape[2], radius=radius, start_box=start_box, steps=40)
    y = sampled(model, STEPS, radius=radius, start_box=start_box, seed=seed)
    assert escape(y, found) <= ROUND_OFF
    width = [high - low for low, high in found.whole]
    # the samples do come near
    assert (y.max(axis=(0, 2)) - y.min(axis=(0, 2)) > 0.3 * np.array(width)).all()


@settings(often, max_examples=25)
@given(
    seed=seeds,
    shape=shapes,
    spread=st.floats(0.1, 2.0),
    radius=st.floats(0.1, 1.0),
    start_box=st.floats(0.0, 1.0),
)
def test_the_tube_needs_no_stability(seed, shape, spread, radius, start_box):
    model = model_of(random_network(seed, *shape, spread=spread))
    found = reach(
        model, safe_set=WIDE * shape[2], radius=radius, start_box=start_box, steps=12, count=8
    )
    assert (
        escape(sampled(model, 25, radius=radius, start_box=start_box, seed=seed, count=300), found)
        <= ROUND_OFF
    )


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("times", lambda a, b, unit: Box(a.low * b.low, a.high * b.high)),  # two of four corners
        (
            "pieces",
            lambda nu, radius, count: Box(
                np.full((nu, 1), -radius / 2), np.full((nu, 1), radius / 2)
            ),
        ),
        # the middle only
        (
            "rising",
            lambda function, z, unit: rising(
                function, Box(0.5 * (z.low + z.high), 0.5 * (z.low + z.high))
            ),
        ),
        (
            "affine",
            lambda M, x, b, unit: Box(M @ x.low + b, M @ x.high + b),
        ),  # forgets the sign of M
    ],
)
def test_a_broken_step_is_caught(name, broken, monkeypatch):
    """Must fail."""
    model = model_of(random_network(0, 2, (3,), 2))
    y = sampled(model, STEPS)
    assert escape(y, reach(model, safe_set=WIDE * 2, steps=40)) <= ROUND_OFF
    monkeypatch.setattr(module, name, broken)
    assert escape(y, reach(model, safe_set=WIDE * 2, steps=40)) > 1e-3


def inside(small, large, slack=ROUND_OFF):
    return all(
        a >= x - slack and b <= z + slack for (a, b), (x, z) in zip(small, large, strict=True)
    )


@settings(often, max_examples=20)
@given(seed=seeds, shape=shapes, radius=st.floats(0.1, 0.9), spread=st.floats(0.1, 1.5))
def test_smaller_inputs_reach_no_further(seed, shape, radius, spread):
    """Inclusion is exact without pieces; a piece of the smaller range may straddle two of the
    larger, which is then worth a little."""
    model = model_of(random_network(seed, *shape, spread=spread))
    options = {"safe_set": WIDE * shape[2], "steps": 15, "count": 1}
    small, large = reach(model, radius=radius, **options), reach(model, radius=1.0, **options)
    for name in ("whole", "forever", "trivial"):
        assert inside(getattr(small, name), getattr(large, name))
    assert np.less_equal(
        small.tube_high, np.add(large.tube_high[: len(small.tube_high)], ROUND_OFF)
    ).all()
    assert reach(model, start_box=0.0, **options).start_box == 0.0
    assert inside(reach(model, start_box=0.0, **options).whole, large.whole)


@settings(often, max_examples=20)
@given(seed=seeds, shape=shapes, spread=st.floats(0.1, 1.5))
def test_more_pieces_are_never_wider(seed, shape, spread):
    """1, 8 and 32 pieces are nested (1, 3² and 6² for two inputs)."""
    model = model_of(random_network(seed, *shape, spread=spread))
    coarse, middle, fine = (
        reach(model, safe_set=WIDE * shape[2], steps=15, count=count) for count in (1, 8, 32)
    )
    assert (coarse.pieces, middle.pieces, fine.pieces) == (
        (1, 8, 32) if shape[0] == 1 else (1, 9, 36)
    )
    for name in ("whole", "forever", "trivial"):
        assert inside(getattr(fine, name), getattr(middle, name))
        assert inside(getattr(middle, name), getattr(coarse, name))


@pytest.mark.parametrize("shape", DEPTHS)
def test_the_bounds_are_nested(shape):
    """`whole` holds tube and `forever`; what is reached after the start lies in `trivial`, which |y
    − b_y| ≤ ‖C‖ bounds in turn."""
    model = stable_model(3, *shape)
    found = reach(model, safe_set=WIDE * shape[2])
    low, high = np.array(found.tube_low), np.array(found.tube_high)
    assert inside(found.forever, found.whole, 0.0)
    assert inside(found.forever, found.trivial)
    assert found.whole == tuple(
        (min(low[:, j].min(), f), max(high[:, j].max(), h))
        for j, (f, h) in enumerate(found.forever)
    )
    assert inside(tuple(zip(low[1:].min(axis=0), high[1:].max(axis=0), strict=True)), found.trivial)
    size = np.abs(model.network.C).sum(axis=1) * model.scaling.y_span
    middle = model.scaling.y_out(model.network.b_y.T).ravel()
    assert inside(found.trivial, tuple(zip(middle - size, middle + size, strict=True)))


def test_one_cell_at_rest_is_bounded_by_hand():
    """f = i = o = ½, c = ½: x → ½ from 0 in halves, ξ = ½ tanh x; no input, so the tube is thin
    once the start has died out."""
    layer = zero_layer(b_c=[[np.arctanh(0.5)]])
    model = model_of(Network((layer,), np.ones((1, 1)), np.zeros((1, 1))))
    found = reach(model, safe_set=WIDE, start_box=0.0)
    x, expected = 0.0, [0.0]
    for _ in range(20):
        x = 0.5 * x + 0.25
        expected.append(0.5 * 0.5 * np.tanh(x))  # y_span = ½
    np.testing.assert_allclose(np.array(found.tube_low)[:21, 0], expected, atol=ROUND_OFF)
    np.testing.assert_allclose(np.array(found.tube_high)[:21, 0], expected, atol=ROUND_OFF)
    assert found.forever[0] == pytest.approx((0.25 * np.tanh(0.5),) * 2, abs=ROUND_OFF)
    assert found.steps < 200  # stops when the box stands still


# -- the record ------------------------------------------------------------------------------------


def test_the_model_s_own_radius_is_the_default():
    model = stable_model(0)
    assert reach(model, safe_set=WIDE, steps=3).radius == 1.0
    wide = replace(model, scaling=replace(model.scaling, radius=1.5))
    found = reach(wide, safe_set=WIDE, steps=3)
    assert (found.radius, found.model, found.steps) == (1.5, wide.digest, 3)
    assert inside(reach(model, safe_set=WIDE, steps=3).whole, found.whole)


def test_safe_is_decided_on_the_whole_tube():
    model = stable_model(0, 2, (3,), 2)
    whole = reach(model, safe_set=WIDE * 2, steps=20).whole
    (low, high), other = whole
    for safe_set, safe in (
        (WIDE * 2, True),
        (whole, True),
        (((np.nextafter(low, np.inf), high), other), False),
        (((low, np.nextafter(high, -np.inf)), other), False),
        ((other, (0.0, 0.0)), False),
    ):
        found = reach(model, safe_set=safe_set, steps=20)
        assert found.safe is safe
        assert found.safe_set == safe_set
        assert found.whole == whole


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"radius": 1.1}, r"radius 1\.1 must lie in \(0, 1\], the model's own input radius"),
        ({"radius": 0.0}, r"radius 0\.0 must lie in \(0, 1\]"),
        ({"radius": float("nan")}, "radius nan must lie in"),
        ({"steps": 0}, "steps = 0 and count = 32 must be at least 1"),
        ({"count": 0}, "steps = 2000 and count = 0 must be at least 1"),
        (
            {"start_box": 1.5},
            r"start_box = 1\.5 must rise from low to high, with every ξ within \[-1, 1\]",
        ),
        ({"start_box": -0.1}, r"start_box = -0\.1 must rise"),
        ({"start_box": float("nan")}, "start_box = nan must rise"),
        (
            {"start_box": [[0.0, 1.0]]},
            r"start_box must be one number or 6 rows of low, high, got shape \(1, 2\)",
        ),
    ],
)
def test_what_cannot_be_asked_is_named(options, words):
    with pytest.raises(InputError, match=words):
        reach(stable_model(0), safe_set=WIDE, **options)


def test_one_safe_interval_per_output():
    with pytest.raises((InputError, ValueError)):
        reach(stable_model(0, 2, (3,), 2), safe_set=WIDE, steps=3)


def test_a_record_survives_the_disk(tmp_path):
    found = reach(stable_model(0, 2, (3,), 2), safe_set=WIDE * 2, steps=20)
    found.save(tmp_path / "reach.json")
    again = Tube.load(tmp_path / "reach.json")
    assert again == found
    assert "tube_" not in (tmp_path / "reach.json").read_text(encoding="utf-8")
    assert again.tube_low == ()


def test_a_gate_that_never_forgets_has_a_bound_all_the_same(tmp_path):
    """σ(b_f) is 1 in doubles, so x̄ is infinite; |ξ| < 1 still bounds the output."""
    model = model_of(
        Network((zero_layer(b_f=[[40.0]], b_c=[[1.0]]),), np.ones((1, 1)), np.zeros((1, 1)))
    )
    found = reach(model, safe_set=WIDE, steps=20)
    found.save(tmp_path / "reach.json")
    assert escape(sampled(model, 40, count=100), found) <= ROUND_OFF


def test_any_start_box(rng):
    """Rows of low, high, the cells far out: no run leaves the tube, and it is no wider than that of
    the surrounding symmetric box."""
    model = stable_model(3)
    centre = np.array([2.5, -1.0, 0.0, 0.3, -0.4, 0.0])
    ends = np.stack([centre - 0.2, centre + 0.2], axis=1)
    found = reach(model, safe_set=WIDE, start_box=ends, steps=40)
    chi = rng.uniform(ends[:, :1], ends[:, 1:], (6, 2000))
    for k in range(40):
        y = model.system.batch.output(chi)
        assert found.tube_low[k][0] <= y.min() <= y.max() <= found.tube_high[k][0]
        chi = model.system.batch.step(
            chi,
            rng.uniform(model.u_low[:, None], model.u_high[:, None], (1, 2000)),
            np.zeros((0, 2000)),
        )
    symmetric = np.abs(ends).max(axis=1)
    assert inside(
        found.whole,
        reach(
            model, safe_set=WIDE, start_box=np.stack([-symmetric, symmetric], axis=1), steps=40
        ).whole,
    )
    same = reach(model, safe_set=WIDE, start_box=np.repeat([[-0.1, 0.1]], 6, axis=0), steps=10)
    assert same.whole == reach(model, safe_set=WIDE, start_box=0.1, steps=10).whole
    with pytest.raises(InputError, match="must rise from low to high"):
        reach(model, safe_set=WIDE, start_box=ends[:, ::-1])


@often
@given(seed=seeds, shape=shapes, radius=st.sampled_from([0.3, 1.0, 1.5]))
def test_the_box_it_begins_with_is_the_invariant_one_of_the_conditions_rounded_outwards(
    seed, shape, radius
):
    network = random_network(seed, *shape)
    bounds = [
        bound
        for number, layer in enumerate(network.layers)
        for bound in (
            gate_numbers(layer, layer_radius(number, radius))["x_bar"],
            np.ones(layer.nx),
        )
    ]
    exact, box = np.concatenate(bounds), module.invariant_start(network, radius)
    assert (box.high[:, 0] >= exact).all()
    assert np.allclose(box.high[:, 0], exact, rtol=ROUND_OFF)
    assert (box.low == -box.high).all()
