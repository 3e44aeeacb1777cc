"""Samples that cost an exported controller much: a search on this computer for measurements and
setpoints under which its solver iterates most, to be replayed where instructions are counted."""

from __future__ import annotations

import numpy as np

from lstm_mpc.codegen.controller_spec import ControllerSpec, checked_spec
from lstm_mpc.codegen.sil import Compiled
from lstm_mpc.export.pil_frames import Frames, Run
from lstm_mpc.plants.system import Array

SAMPLES = 25  # of a run
_CHOICES = 6  # of what a sample may bring
_GREEDY = 0.7  # share of samples that take the dearest of them
_JUMP = 0.3  # share of choices with another setpoint


def hostile(
    spec: ControllerSpec, *, runs: int = 8, tries: int = 40, seed: int = 0, double: bool = False
) -> Frames:
    """The dearest of `tries` runs of a search for samples that cost much.

    Every sample of a run takes, of a few draws of measurements near what is expected or anywhere
    the sensor reaches, setpoints beyond what the plant can do, and measured inputs, mostly the one
    after which the controller has iterated most. All of them can be met on a board.

    Args:
        spec: The controller.
        runs: How many runs are kept.
        tries: Of so many.
        seed: Of the draws.
        double: For the controller in double instead of single precision.

    Returns:
        The runs, the dearest first; the same arguments give the same ones.
    """
    spec = checked_spec(spec)
    controller = Compiled(spec.sources, double=double)
    found = [_run(spec, controller, np.random.default_rng([seed, k])) for k in range(tries)]
    order = sorted(range(tries), key=lambda k: -found[k][1])
    return Frames(tuple(found[k][0] for k in order[:runs]))


def _run(spec: ControllerSpec, controller: Compiled, rng: np.random.Generator) -> tuple[Run, float]:
    """A run, and the effort of its dearest sample."""
    model, span, u0 = spec.model, spec.model.scaling.y_span, spec.u_start
    y0 = model.scaling.y_mid + span * rng.uniform(-0.5, 0.5, len(span))
    draw = _Draws(spec, rng)
    known = draw.measured()
    first = (known,) if spec.measured else ()
    controller.reset(y0, u0, *first)
    expected, reference, rows, dearest = y0, draw.reference(), [], 0.0
    for _ in range(SAMPLES):
        before, choices = controller.save(), []
        for _ in range(_CHOICES):
            aim = draw.reference() if rng.random() < _JUMP else reference
            choices.append((draw.measurement(expected), aim, draw.measured()))
        effort = []
        for y, aim, met in choices:
            controller.restore(before)
            move = controller.step(y, aim, *((met,) if spec.measured else ()))
            # an iteration of the plan costs about as much as one change for each of its variables
            effort.append(move.iterations * spec.problem.horizon + controller.qp_iterations)
        taken = int(np.argmax(effort)) if rng.random() < _GREEDY else 0
        y, reference, met = choices[taken]
        controller.restore(before)
        move = controller.step(y, reference, *((met,) if spec.measured else ()))
        expected, dearest = move.predicted[min(1, len(move.predicted) - 1)], max(dearest, *effort)
        rows.append((y, reference, met))
    y, aims, fed = (np.stack(part) for part in zip(*rows, strict=True))
    return Run(y0, u0, y, aims, fed if spec.measured else np.zeros(0)), dearest


class _Draws:
    """What a sample may bring."""

    def __init__(self, spec: ControllerSpec, rng: np.random.Generator) -> None:
        self._spec, self._rng = spec, rng
        self._mid, self._span = spec.model.scaling.y_mid, spec.model.scaling.y_span
        self._low = np.maximum(spec.limits.sensor_low, self._mid - 2.0 * self._span)
        self._high = np.minimum(spec.limits.sensor_high, self._mid + 2.0 * self._span)

    def measurement(self, expected: Array) -> Array:
        """Near what is expected, or anywhere that the sensor reaches, (ny,)."""
        rng = self._rng
        near = expected + 0.02 * self._span * rng.uniform(-1, 1, len(expected))
        ends = np.where(rng.random(len(near)) < 0.5, self._low, self._high)
        anywhere = rng.uniform(self._low, self._high)
        return np.clip((near, near, anywhere, ends)[rng.integers(4)], self._low, self._high)

    def reference(self) -> Array:
        """Setpoints up to 1.6 spans away, or beyond soft bounds, one step within a preview,
        (rows, ny)."""
        rows = self._spec.ahead + 1
        aims = self._mid + self._span * self._rng.uniform(-1.6, 1.6, (2, len(self._mid)))
        early = np.arange(rows)[:, None] < self._rng.integers(rows + 1)
        return np.asarray(np.where(early, aims[0], aims[1]), dtype=np.float64)

    def measured(self) -> Array:
        """Measured inputs anywhere within their limits, (rows, nd)."""
        at, model = self._spec.model.roles.measured, self._spec.model
        shape = (self._spec.foreseen + 1, at.size)
        return self._rng.uniform(model.u_low[at], model.u_high[at], shape)
