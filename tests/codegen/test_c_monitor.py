"""The monitor of the exported controller: its boxes hold what exact arithmetic makes of every point
in them, it does as its twin in Python does, and one macro leaves its code out."""

import re
from dataclasses import replace
from functools import cache

import casadi as ca
import mpmath
import numpy as np
import pytest
from builders import released_of, some, stable_model
from compiling import WARNINGS, built, compiled, need, run, tool, write

from lstm_mpc.certificates.certification import certify
from lstm_mpc.codegen.c_numbers import numbers
from lstm_mpc.codegen.controller_spec import ControllerSpec
from lstm_mpc.control.controller import Status
from lstm_mpc.control.engines.sqp import Sqp
from lstm_mpc.control.observers.options import KalmanTuning
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.errors import InputError
from lstm_mpc.plants.batch import rest

NETWORKS = [(0, 1, (3,), 1), (4, 2, (3, 2), 2), (9, 1, (5,), 2)]
FILTER = KalmanTuning(noise=0.005, drift=0.001, max_disturbance=0.02)


@cache
def passed(nu=1, nx=(3,), ny=1):
    return released_of(stable_model(nu - 1, nu, nx, ny))


def narrow(passed, ends):
    """The same release with another safe set."""
    waive = {**passed.policy.waive, "safe_set": "the monitor is what is tried"}
    policy = replace(passed.policy, waive=waive)
    return replace(passed, safe_set=ends, policy=policy)


def spec_of(passed, **changes):
    problem = ControlProblem(**{"horizon": 6, "monitor": 4, "max_move": 1.0, **changes})
    return ControllerSpec(passed, problem)


def exact(held, sizes, chi, v):
    """A step of the network in 40 digits with the numbers that the C holds, cell by cell."""
    weights, place, below, after = [mpmath.mpf(float(w)) for w in held], 0, list(v), []
    at = 0
    for nx in sizes.nx:
        x, xi, gates = chi[at : at + nx], chi[at + nx : at + 2 * nx], []
        for g in range(4):
            act = mpmath.tanh if g == 3 else lambda z: 1 / (1 + mpmath.exp(-z))
            rows = []
            for _ in range(nx):
                row = weights[place : place + len(below) + nx + 1]
                place += len(row)
                rows.append(act(mpmath.fdot(row, [*below, *xi, 1])))
            gates.append(rows)
        f, i, o, c = gates
        x_next = [f[j] * x[j] + i[j] * c[j] for j in range(nx)]
        below = [o[j] * mpmath.tanh(x_next[j]) for j in range(nx)]
        after += [*x_next, *below]
        at += 2 * nx
    return after


def boxes(program, low, high, inputs):
    """What the C makes of a box of states under boxes of inputs: (low, high) after each step."""
    pairs = [np.stack(box, axis=1) for box in ((low, high), *inputs)]
    text = " ".join(repr(float(x)) for box in pairs for x in box.ravel())
    lines = [line.split() for line in run(program, given=text).splitlines()]
    ends = np.array(lines, dtype=np.float64)
    return ends[:, 0::2], ends[:, 1::2]


def misses(files, spec, folder, *, double, half, seed=0, points=8, steps=3):
    """How often a point of a box, exactly, is beyond what the C says of it."""
    mpmath.mp.dps = 40
    real = np.float64 if double else np.float32
    model, rng = spec.model, np.random.default_rng(seed)
    program = built(folder, files, "tube.c", "-Wno-unused-function", double=double)
    held = numbers(spec.release, spec.problem, spec.solver, certify(model, "delta_iss"), real)
    weights, head = held["weights"].astype(real), held["head"].astype(real)
    middle = rng.uniform(-0.4, 0.4, model.sizes.n)
    ends = [np.asarray(middle + s * half, dtype=real) for s in (-1, 1)]
    inputs = [
        [np.asarray(u + s * half, dtype=real) for s in (-1, 1)]
        for u in rng.uniform(-0.9, 0.9, (steps, model.sizes.nu))
    ]
    low, high = boxes(program, *ends, inputs)
    count = 0
    for number in range(points):
        shares = [rng.uniform(0, 1, row[0].shape) for row in (ends, *inputs)]
        shares = [np.round(s) if number % 2 else s for s in shares]
        point, *us = (
            [mpmath.mpf(float(a)) + float(s) * (mpmath.mpf(float(b)) - float(a)) for a, b, s in row]
            for row in (
                list(zip(*pair, share, strict=True))
                for pair, share in zip((ends, *inputs), shares, strict=True)
            )
        )
        for k, u in enumerate(us):
            point = exact(weights, model.sizes, point, u)
            xi = point[-model.sizes.nx[-1] :]
            y = [mpmath.fdot(map(float, row), [*xi, 1]) for row in head.reshape(model.sizes.ny, -1)]
            told = zip([*point, *y], low[k], high[k], strict=True)
            count += sum(not a <= value <= b for value, a, b in told)
    return count, float((high - low).max())


@pytest.mark.parametrize("half", [0.0, 0.05])
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("network", some(range(3), 1))
def test_a_box_holds_what_exact_arithmetic_makes_of_its_points(network, double, half, tmp_path):
    spec = spec_of(released_of(stable_model(*NETWORKS[network])))
    missed, width = misses(dict(spec.sources), spec, tmp_path, double=double, half=half)
    assert missed == 0
    if half == 0.0:
        assert width < (1e-11 if double else 1e-3)  # and no wider than rounding makes it


def test_without_slack_points_are_lost(tmp_path):
    """Must fail."""
    spec = spec_of(released_of(stable_model(*NETWORKS[1])))
    files = {
        name: re.sub(r"\.slack = R\([^)]*\)", ".slack = R(0.0)", text)
        for name, text in spec.sources.items()
    }
    assert files != dict(spec.sources)
    assert misses(files, spec, tmp_path, double=False, half=0.0)[0] > 10


CASES = {
    "open loop": ("1", {}),
    "filter": ("1", {"observer": FILTER}),
    "dead time": ("1", {"observer": FILTER, "dead_time": 20.0, "blocks": (1, 2, 3)}),
    "two outputs": ("2", {}),
}


def at_rest(spec, share=None):
    """The output at rest under the safe input, or with inputs at a share of their range."""
    system, limits = spec.model.system, spec.limits
    u = limits.u_safe if share is None else (1 - share) * limits.u_low + share * limits.u_high
    return np.asarray(system.output(rest(system, u))).ravel()


def story(spec, engines, *, samples=40):
    """What engines do on the noisy model that the first one controls, setpoints up and down:
    [(flags, u) of each] and the tubes of the first (samples, 2, steps, ny)."""
    rng, span = np.random.default_rng(3), spec.model.scaling.y_span
    aims = [at_rest(spec, share) for share in (0.05, 0.95)]
    y, rows, seen = at_rest(spec), [], []
    for engine in engines:
        engine.reset(y, spec.u_start)
    for k in range(samples):
        actions = [engine.step(y, aims[k // 10 % 2]) for engine in engines]
        rows.append([(int(a.flags), a.u) for a in actions])
        twin = engines[0]
        seen.append(twin.monitor.tube(twin.observer, twin._arriving(twin._plan)))
        y = actions[0].predicted[1] + 0.002 * span * rng.normal(size=len(y))
    return rows, np.array(seen)


@pytest.mark.parametrize("case", some(CASES, "filter", "two outputs"))
def test_it_flags_what_its_twin_flags_and_goes_to_the_safe_input(case):
    need("host")
    kind, options = CASES[case]
    wide = spec_of(passed() if kind == "1" else passed(2, (3,), 2), **options)
    rows, seen = story(wide, [Sqp(wide.release, wide.problem)])
    assert not any(flags & Status.UNSAFE_PLAN for ((flags, _),) in rows)
    middle = at_rest(wide)
    half = np.median(np.abs(seen - middle).max((1, 2)), axis=0)
    ends = tuple(zip(middle - half, middle + half, strict=True))
    spec = spec_of(narrow(wide.release, ends), **options)
    engines = [Sqp(spec.release, spec.problem), compiled(spec.sources, double=True)]
    rows, _ = story(spec, [*engines, compiled(spec.sources)])
    flagged = [[bool(flags & Status.UNSAFE_PLAN) for flags, _ in row] for row in rows]
    assert 0 < sum(row[0] for row in flagged) < 40
    assert all(row[0] == row[1] for row in flagged)
    assert sum(row[0] != row[2] for row in flagged) <= 4  # from an edge in single precision on
    before = spec.u_start
    for ((_, u), (_, in_c), _), (unsafe, *_) in zip(rows, flagged, strict=True):
        np.testing.assert_allclose(in_c, u, rtol=0, atol=1e-6)
        if unsafe:
            safe = np.clip(spec.limits.u_safe, before - 1.0, before + 1.0)
            np.testing.assert_allclose(u, safe, rtol=0, atol=1e-12)
        before = u


def moved(model, chi, u):
    return np.asarray(ca.DM(model.step(ca.DM(chi), ca.DM(u)))).ravel()


def test_what_the_tube_says_holds_the_model_itself():
    """The model under the plan, from points of the estimate's box, stays within the tube."""
    spec = spec_of(passed(), observer=FILTER, dead_time=10.0)
    twin, model = Sqp(spec.release, spec.problem), spec.model
    story(spec, [twin], samples=7)
    estimate, rng = twin.observer.estimate(), np.random.default_rng(0)
    arriving = twin._arriving(twin._plan)
    low, high = twin.monitor.tube(twin.observer, arriving)
    widths = []
    for _ in range(50):
        chi = rng.uniform(estimate.chi.low[:, 0], estimate.chi.high[:, 0])
        push = rng.uniform(estimate.push.low, estimate.push.high)
        for v in estimate.passed:
            chi = moved(model, chi, model.scaling.u_out(v + push))
        for k, u in enumerate(arriving[:4]):
            chi = moved(model, chi, u + push * model.scaling.u_span)
            y = np.asarray(model.core.output(chi)).ravel()
            assert (low[k] <= y).all()
            assert (y <= high[k]).all()
            widths.append(high[k] - low[k])
    assert max(map(max, widths)) < 0.5 * model.scaling.y_span.max()


@pytest.mark.parametrize("options", [{}, {"observer": FILTER, "dead_time": 10.0}])
def test_it_builds_without_a_warning_and_one_macro_leaves_it_out(options, tmp_path):
    spec = spec_of(passed(), **options)
    name = write(tmp_path, spec.sources)
    sizes = {}
    for steps in (4, 0):
        macro = f"-D{name.upper()}_MONITOR={steps}"
        flags = ["-std=c99", "-Os", "-ffp-contract=off", *WARNINGS, macro, "-c"]
        made = tmp_path / f"{steps}.o"
        done = run(tool("gcc"), *flags, tmp_path / f"{name}.c", "-o", made)
        assert done == ""
        sizes[steps] = made.read_bytes()
    plain = spec_of(passed(), monitor=0, **options)
    for text in plain.sources.values():
        assert not re.search("monitor|slack;", text, re.IGNORECASE)
    assert len(sizes[0]) < len(sizes[4])
    text = next(t for n, t in spec.sources.items() if n == f"{name}.c")
    (inside,) = re.findall(
        r"#if MONITOR > 0\n/\* -- the monitor -+ \*/.*?\n#endif\n(?=\n)", text, re.S
    )
    assert "advance_box" not in text.replace(inside, "")


def test_a_monitor_beyond_the_plan_is_refused():
    with pytest.raises(InputError, match="monitor must lie between 0 and the horizon of 6"):
        ControlProblem(horizon=6, monitor=7)
    with pytest.raises(InputError, match="monitor = 3 replaces plans, which the theorem behind"):
        ControlProblem(horizon=6, monitor=3, terminal=True)


def test_its_status_is_told_where_there_is_one():
    spec = spec_of(passed())
    assert "UNSAFE_PLAN 4096u" in next(t for n, t in spec.sources.items() if n.endswith(".h"))
    assert Status.UNSAFE_PLAN in spec.meanings
    assert Status.UNSAFE_PLAN not in spec_of(passed(), monitor=0).meanings
