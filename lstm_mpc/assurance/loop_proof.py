"""The proof of the closed loop: with a terminal cost V(k+1) ≤ V(k) − ℓ(k), and what that is a
statement about.

V is the cost of the applied plan with its end, ℓ what the sample costs. The plan of the last
sample, shifted and closed by the terminal law, costs V(k) − ℓ(k) or less, since the weights D make
up for the stage cost that the law adds (`Terminal`); a plan is applied only if it costs no more
(`Supervisor`). No solver has to be believed, and none to converge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_mpc.certificates.evidence import Evidence, Inequality
from lstm_mpc.codegen.controller_spec import ControllerSpec, checked_spec
from lstm_mpc.control.engines.supervisor import closing_of
from lstm_mpc.control.observers.options import GatedTuning
from lstm_mpc.control.terminal.closing import Closing
from lstm_mpc.control.terminal.sensitivity import cost_bounds, held
from lstm_mpc.errors import InputError

ENGINES = ("sqp", "dompc", "c")
_SINGLE = ("decay", "epsilon", "share", "floor", "state", "aim")
_NUMBERS = ("M", "weights", "eta", "output_price", "move_price", *_SINGLE)
_ALIKE = 1e-6  # share by which unlike processors may find other weights
Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, repr=False)
class LoopProof(Evidence):
    """The proof that the cost of a closed loop falls. A claim that is *proved*.

    `model`, `problem` and `source` are the digests of the model, of problem and budget, and of the
    C; it speaks of the `engines` in double precision and of the exported C in single, for plans of
    `horizon` samples, inputs |u| ≤ `radius` [normalised] and states in the set that no trajectory
    leaves. `M` bounds how far deviations from the target grow under the terminal law of share
    `eta`. What they cost is at most |z|ᵀL|z|, L made of `output_price` q (ny,) and `move_price` s
    (nu,), normalised; `weights` are D, which make up for that and for the share `decay` of
    themselves, and it is proved when all `inequalities` hold. `input_range` and `max_move` (nu,)
    [input unit] are what the law keeps.

    `epsilon` [cost] is what rounding may take from the decrease in a sample, `largest` [cost] the
    most that V can be. In single precision it is the `share` of V and `floor` [cost], for targets
    at least `gap` (ny,) [output unit] within soft bounds; outputs along the plan are computed to
    `resolution` (ny,) [output unit]. `state`, `drive` and `aim` [cost per normalised unit] are how
    much V rises at most with what the observer corrects of the state, with its input disturbance,
    and with a target that moves. `observer` names its kind; `inside` and `outside` say which parts
    of the problem the proof covers.
    """

    model: str
    problem: str
    source: str
    engines: tuple[str, ...]
    horizon: int
    radius: float
    M: Rows
    weights: tuple[float, ...]
    decay: float
    eta: tuple[float, ...]
    output_price: tuple[float, ...]
    move_price: tuple[float, ...]
    input_range: tuple[float, ...]
    max_move: tuple[float, ...]
    inequalities: tuple[Inequality, ...]
    epsilon: float
    largest: float
    share: float
    floor: float
    gap: tuple[float, ...]
    resolution: tuple[float, ...]
    state: float
    drive: float
    aim: float
    observer: str
    inside: tuple[str, ...]
    outside: tuple[str, ...]

    kind = "lstm_mpc loop proof"

    @property
    def holds(self) -> bool:
        """Whether every inequality does."""
        return bool(self.inequalities) and all(line.value < 1 for line in self.inequalities)

    def claims(self) -> tuple[tuple[str, str], ...]:
        """(kind, sentence): what is proved, and what is proved if something more holds.

        Returns:
            The claims; none where an inequality fails.
        """
        return _claims(self) if self.holds else ()

    def _facts(self) -> dict[str, Any]:
        return {
            "holds": self.holds,
            "horizon": self.horizon,
            "engines": ", ".join(self.engines),
            "epsilon": self.epsilon,
            "single": f"{self.share:.2g} V + {self.floor:.2g}",
            "observer": self.observer,
            "model": self.model[:12],
        }

    def _tables(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        yield "Claims", [("kind", "claim"), *self.claims()]
        rows = [(line.name, line.value, line.blame) for line in self.inequalities]
        yield "Inequalities", [("inequality", "value", "set by"), *rows]


def prove(spec: ControllerSpec) -> LoopProof:
    """Prove that the cost of a closed loop falls by what each sample costs.

    Args:
        spec: The controller, of a problem with `terminal = true`.

    Returns:
        The proof, decided in outward-rounded arithmetic on the numbers that it holds.

    Raises:
        Refused: The release in it does not pass its gate.
        InputError: The problem has no terminal cost, or none can be proved; with the reason.
    """
    spec = checked_spec(spec)
    closing = closing_of(spec.model, spec.limits, spec.problem)
    if closing is None:
        raise InputError(
            "prove-loop: the problem has no terminal cost, so its loop is no theorem; set terminal"
            " = true in [control]"
        )
    terminal = closing.terminal
    bounds = cost_bounds(spec.model, spec.limits, closing, spec.problem.horizon)
    single = held(spec.model, spec.limits, closing, spec.problem.horizon)
    inside, outside = _covered(spec, closing)
    return LoopProof(
        model=spec.model.digest,
        problem=spec.tuning_digest,
        source=spec.source_digest,
        engines=ENGINES,
        horizon=spec.problem.horizon,
        radius=terminal.radius,
        M=tuple(map(tuple, terminal.M.tolist())),
        weights=tuple(terminal.weights.tolist()),
        decay=terminal.decay,
        eta=tuple(terminal.eta.tolist()),
        **_prices(spec),
        inequalities=_inequalities(spec, closing),
        epsilon=bounds.epsilon,
        largest=bounds.largest,
        share=single.share,
        floor=single.floor,
        gap=tuple((single.gap if closing.soft else 0 * single.gap).tolist()),
        resolution=tuple(single.output.tolist()),
        state=float(bounds.state.sum()),
        drive=float(bounds.drive.sum()),
        aim=float(bounds.aim.sum()),
        observer=_observer(spec),
        inside=inside,
        outside=outside,
    )


def lacks(proof: LoopProof | None, spec: ControllerSpec) -> tuple[str, ...]:
    """Why a proof does not speak for a controller: what it claims is proved anew.

    Args:
        proof: The proof, if there is one.
        spec: The controller.

    Returns:
        The reasons; none when it does.
    """
    if proof is None:
        return ("the closed loop was never proved; `prove_loop(mpc)` does",)
    digests = (
        ("model", proof.model, spec.model.digest),
        ("problem and budget", proof.problem, spec.tuning_digest),
        ("C source", proof.source, spec.source_digest),
    )
    reasons = tuple(
        f"the proof of the loop speaks of another {what} ({given[:12]}, not {mine[:12]}); redo it"
        for what, given, mine in digests
        if given != mine
    )
    if reasons:
        return reasons
    if not spec.problem.terminal:
        return ("the problem has no terminal cost, so its loop is not proved; set terminal = true",)
    if not proof.holds:
        return ("the proof of the loop is void: an inequality in it fails",)
    anew = prove(spec)
    pairs = [(getattr(proof, name), getattr(anew, name)) for name in _NUMBERS]
    same = all(
        np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=_ALIKE, atol=0) for a, b in pairs
    )
    return () if same else ("the proof of the loop holds other numbers than a new one; redo it",)


def _prices(spec: ControllerSpec) -> dict[str, tuple[float, ...]]:
    """What the stage cost is bounded with, and what the terminal law has to keep."""
    limits, span = spec.limits, spec.model.roles.moved(spec.model.scaling.u_span)
    reach = limits.u_high - limits.u_low
    prices = {
        "output_price": limits.output_weight * spec.model.scaling.y_span**2,
        "move_price": limits.move_penalty * span**2,
        "input_range": reach,
        "max_move": np.minimum(limits.even_move, reach),
    }
    return {name: tuple(values.tolist()) for name, values in prices.items()}


def _inequalities(spec: ControllerSpec, closing: Closing) -> tuple[Inequality, ...]:
    """What has to hold, each when its value is below 1."""
    terminal = closing.terminal
    falls = Inequality(
        0, "(1 − δ)D − MᵀDM − L ≻ 0", terminal.falls, f"{len(terminal.weights)} weights", check=True
    )
    rates = [
        Inequality(
            0,
            f"(1 − η)(u_high − u_low)/max_move, {signal.name}",
            float(share),
            f"η = {eta:g}: the terminal law keeps the rate limit",
        )
        for signal, share, eta in zip(
            spec.model.manipulated, terminal.slack, terminal.eta, strict=True
        )
    ]
    return (falls, *rates)


def _observer(spec: ControllerSpec) -> str:
    tuning = spec.problem.observer
    if tuning is None:
        return "open-loop"
    return "gated" if isinstance(tuning, GatedTuning) else "Kalman filter"


def _covered(spec: ControllerSpec, closing: Closing) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What of the problem the proof covers, and what it does not, in words."""
    problem, model, limits = spec.problem, spec.model, spec.limits
    inside = ["bounds of the inputs"]
    if np.isfinite(limits.even_move).any():
        inside.append("rate limits, which the terminal law keeps")
    inside.append("outputs counted after the move, and the move penalty")
    if problem.blocks:
        inside.append("blocks: plans are compared with the shifted one, which has none")
    if problem.lag(model):
        inside.append("dead time and delays that all inputs share: the state is the one ahead")
    if model.measured:
        inside.append("measured inputs, as long as they hold their values")
    outside = []
    if closing.soft:
        inside.append(
            "soft bounds of outputs, for setpoints within them: what the terminal law violates"
            " behind the horizon is part of V"
        )
        outside.append("setpoints on or beyond a soft bound")
    if problem.preview:
        outside.append("setpoints that are seen to change within the horizon")
    if problem.forecast and model.measured:
        outside.append("measured inputs that are foreseen to change within the horizon")
    return tuple(inside), tuple(outside)


def _claims(proof: LoopProof) -> tuple[tuple[str, str], ...]:
    engines = " and ".join(f"'{engine}'" for engine in proof.engines)
    within = f", at least {max(proof.gap):.2g} within soft bounds," if max(proof.gap) else ""
    fall = (
        f"for every state in the invariant set and every setpoint and offset that stay, any plan"
        f" of {proof.horizon} samples that the engines {engines} apply, within any budget and in"
        f" any status: V(k+1) ≤ V(k) − ℓ(k) + {proof.epsilon:.2g} (rounding in double precision);"
        f" the C in single precision, for setpoints{within} once its target is steady: V(k+1) ≤"
        f" (1 + {proof.share:.2g})(V(k) − ℓ(k)) + {proof.floor:.2g}"
    )
    settles = (
        "a plant that is the model with a constant offset, in the state that the observer"
        " has or comes to (δISS): its outputs come to the setpoint, or the nearest steady output"
        " within reach, and the moves die out, up to that rounding"
    )
    stable = (
        "any plant, if the offset d̂ settles (Σ|d̂(k+1) − d̂(k)| finite): the same, since V(k+1) ≤"
        f" V(k) − ℓ(k) + {proof.aim:.3g}·|movement of the target|; how large a mismatch lets d̂"
        " settle is not computed"
    )
    if proof.observer == "open-loop":
        return (("proved", fall), ("proved", settles), ("proved if", stable))
    filtered = (
        f"proved with the state known; with the filter V(k+1) ≤ V(k) − ℓ(k) + c·|correction of the"
        f" filter|, c = {proof.state:.3g} per unit of state, {proof.drive:.3g} of input disturbance"
        f" and {proof.aim:.3g} of the target that moves with them [normalised], and twice that in"
        f" the C, which counts a correction to first order and computes outputs to"
        f" {max(proof.resolution):.1g}, so the loop is ISS to what the {proof.observer} corrects;"
        " that its corrections die out is measured, not proved"
    )
    return (("proved", fall), ("proved if", filtered))
