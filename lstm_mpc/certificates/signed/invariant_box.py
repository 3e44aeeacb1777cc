"""A box of states that every trajectory enters for good and that is mapped into itself.

While ξ stays in Ξ and the inputs in V, x⁺ = f x + i c draws x into the hull of the fixed points i
c/(1 − f), and with x there ξ⁺ = o tanh(x⁺) lies in a smaller Ξ; again with that, and so on. Ξ =
[−1, 1] to begin with, where every ξ lies after one step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstm_mpc.certificates.reachability import gates, layer_boxes, step
from lstm_mpc.certificates.rigorous import EPS, TINY, Box, plus, rising, times
from lstm_mpc.model import lstm

STAGES = 300  # at most


def settled(f: Box, drive: Box) -> Box:
    """The interval that x⁺ = f x + drive draws x into, whatever f and drive do within columns of
    their boxes, (nx, 1).

    `high` is the largest of drive/(1 − f). For x ≥ high every f x + drive ≤ high + f (x − high),
    and below it x⁺ ≤ high.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        high = drive.high / (1.0 - np.where(drive.high > 0, f.high, f.low))
        low = drive.low / (1.0 - np.where(drive.low < 0, f.high, f.low))
    return Box(low - 4 * EPS * np.abs(low) - TINY, high + 4 * EPS * np.abs(high) + TINY).union()


def entered(network: lstm.Network, u: Box, *, gain: float = 1e-6) -> list[Box]:
    """Boxes (n, 1), each within the one before and each entered for good by every trajectory with
    inputs in the columns of `u`.

    The list ends when a stage shrinks no width by more than the share `gain`. Every box is as
    much larger than what is drawn into as "in finite time" needs.
    """
    hidden = [Box(-np.ones((nx, 1)), np.ones((nx, 1))) for nx in network.nx]
    boxes: list[Box] = []
    for _ in range(STAGES):
        chi, after = _stage(network, hidden, u)
        if not (np.isfinite(chi.low) & np.isfinite(chi.high)).all():
            raise ArithmeticError("a forget gate may saturate at 1, so that no box holds x")
        boxes.append(chi)
        smaller = [new.meet(old) for new, old in zip(after, hidden, strict=True)]
        widths = [
            (new.high - new.low) / np.maximum(old.high - old.low, TINY)
            for new, old in zip(smaller, hidden, strict=True)
        ]
        if min(float(w.min()) for w in widths) > 1 - gain:
            break
        hidden = smaller
    return boxes


def invariant(network: lstm.Network, u: Box) -> Box:
    """A box (n, 1) that is mapped into itself and entered for good by every trajectory with
    inputs in the columns of `u`.

    The last box of `entered`, with its ξ a little larger and x drawn in anew; where that is not
    mapped into itself, an earlier one.
    """
    boxes = entered(network, u)
    for share in (1e-6, 1e-5, 1e-4, 1e-3):
        hidden = [
            _grown(xi, share).meet(Box(-np.ones_like(xi.low), np.ones_like(xi.low)))
            for _, xi in layer_boxes(network, boxes[-1])
        ]
        chi = _stage(network, hidden, u)[0]
        if invariance(network, chi, u) < 1:
            return chi
    return next((box for box in reversed(boxes) if invariance(network, box, u) < 1), boxes[0])


def _stage(network: lstm.Network, hidden: Sequence[Box], u: Box) -> tuple[Box, list[Box]]:
    """χ with the x that is drawn in while ξ of every layer lies in `hidden`, and the ξ⁺ that
    follow."""
    below, parts, after = u, [], []
    for layer, xi in zip(network.layers, hidden, strict=True):
        act = gates(layer, below, xi)
        drive = times(act["i"], act["c"])
        x = _grown(settled(act["f"], drive), 1e-9)
        below = times(act["o"], rising("tanh", plus(times(act["f"], x), drive).meet(x)))
        parts += [x, xi]
        after.append(below.union())
    return Box(np.vstack([b.low for b in parts]), np.vstack([b.high for b in parts])), after


def _grown(box: Box, share: float) -> Box:
    """Larger by a share of the widths, and by what rounding needs of room."""
    return box.widened(
        share * (box.high - box.low) + 1e-9 * np.maximum(np.abs(box.low), np.abs(box.high)) + 1e-12
    )


def invariance(network: lstm.Network, chi: Box, u: Box) -> float:
    """The largest distance of χ⁺ from the middle of the box, in half widths; at most 1 when the
    box is mapped into itself."""
    after, middle = step(network, chi, u), (chi.low + chi.high) / 2
    half = np.minimum(chi.high - middle, middle - chi.low) * (1 - 4 * EPS)
    return float(
        (
            np.maximum(after.high - middle, middle - after.low)
            * (1 + 4 * EPS)
            / np.maximum(half, TINY)
        ).max()
    )


def entry(network: lstm.Network, chi: Box, u: Box) -> float:
    """0 when every trajectory enters the box χ for good, else +inf."""
    try:
        return 0.0 if entered(network, u)[-1].within(chi) else float("inf")
    except ArithmeticError:
        return float("inf")
