"""What verified loops claim, in words: what no controller can do, how well this one does, and how
sure all of it is together."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_mpc.assurance.loop_reasons import (
    spans,
)
from lstm_mpc.certificates.evidence import LoopVerification, Verification
from lstm_mpc.certificates.gate import Release
from lstm_mpc.certificates.verdict.claims import confidence
from lstm_mpc.plants.phrases import within
from lstm_mpc.plants.system import Signal

PER_OUTPUT = 3  # sampled statements of each output: error, settling time, overshoot


def bound_claim(loop: LoopVerification, release: Release) -> tuple[str, str] | None:
    """(kind, sentence) for what no controller can do."""
    if (bound := loop.bound) is None:
        return None
    outputs, low_high = release.model.outputs, tuple(zip(bound.low, bound.high, strict=True))
    ends = within(outputs, low_high)
    if bound.kind != "proved":
        return (
            "sampled",
            f"{bound.signals} extreme input signals took the plants of the law to {ends}: what no"
            " controller can do is not proved for this plant",
        )
    sentence = (
        f"no inputs within the limits, whoever makes them, take the plants of the law out of {ends}"
    )
    if bound.within(release.safe_set):
        sentence += (
            ", within the safe set: that loops stay in it is proved for every controller, and the"
            " scenarios say nothing about this one there"
        )
    else:
        sentence += ", beyond the safe set: that loops stay in it is up to the controller"
    return "proved", sentence


def performance_claims(
    loop: LoopVerification, outputs: Sequence[Signal], campaigns: int = 1
) -> tuple[tuple[str, str], ...]:
    """(kind, sentence) for how well the loops went, the last of so many `campaigns`: the worst of
    all is sampled, means are measured."""
    if (found := loop.performance) is None:
        return ()
    mine = found.controller
    worst = "; ".join(
        f"{s.name} error at most {error:.3g} {s.unit} once settled, settled within"
        f" {settling:g} s, overshoot {overshoot:.3g} {s.unit}"
        for s, error, settling, overshoot in zip(
            outputs, mine.error, mine.settling, mine.overshoot, strict=True
        )
    )
    means = "; ".join(
        f"{s.name} {a:.3g} {s.unit}, {_share(a, b)} of inputs held, {_share(a, c)} of a PI"
        " controller"
        for s, a, b, c in zip(
            outputs, mine.mean_error, found.held.mean_error, found.pi.mean_error, strict=True
        )
    )
    return (
        (
            "sampled",
            f"with confidence {confidence(loop.beta, campaigns)} each, at most {loop.epsilon:g} of"
            f" such loops exceed: {worst}",
        ),
        (
            "measured",
            f"mean error over {loop.scenarios} loops: {means} tuned on them; {mine.flagged:.2%} of"
            " the samples flagged, exhausted budgets apart",
        ),
    )


def _share(error: float, baseline: float) -> str:
    return f"{error / baseline:.2f}" if baseline > 0 else "no share"


def joint_claim(
    verification: Verification | None,
    loop: LoopVerification | None,
    outputs: int,
    campaigns: tuple[int, int] = (1, 1),
) -> tuple[str, str] | None:
    """(kind, sentence) for all sampled statements together, by the union bound; β counts once for
    each of the `campaigns` of the model and of the loop that were run."""
    counts, (of_model, of_loop) = [], (max(number, 1) for number in campaigns)
    if verification is not None:
        counts.append((len(verification.bounds), of_model * verification.beta))
    if loop is not None:
        own = 1 + (PER_OUTPUT * outputs if loop.performance is not None else 0)
        counts.append((own, of_loop * loop.beta))
    total = sum(count for count, _ in counts)
    if total < 2:
        return None
    beta = min(1.0, sum(count * each for count, each in counts))
    tries = f", β once for each of {of_model + of_loop} campaigns" if max(campaigns) > 1 else ""
    return (
        "sampled",
        f"all {total} sampled statements, of the model's bounds at every input radius and of the"
        f" loop, hold together with confidence 1−{beta:.3g} (union bound{tries}); what is"
        " proved takes nothing from it, and what is measured holds for its own record",
    )


def loop_claims(
    loop: LoopVerification, release: Release, campaigns: int = 1
) -> list[tuple[str, str]]:
    """(kind, sentence) for everything that the verified loops claim, and for how sure all sampled
    statements are together."""
    outputs = release.model.outputs
    lines = [bound_claim(loop, release), ("sampled", sentence(loop, release, campaigns))]
    lines += performance_claims(loop, outputs, campaigns)
    counted = 1 if release.history is None else release.history.campaigns
    both = (counted, campaigns)
    lines.append(joint_claim(release.verification, loop, len(outputs), both))
    return [line for line in lines if line is not None]


def sentence(loop: LoopVerification, release: Release, campaigns: int = 1) -> str:
    """What the scenarios of the closed loop claim, the last of so many `campaigns`."""
    return (
        f"with confidence {confidence(loop.beta, campaigns)} at most {loop.epsilon:g} of all closed"
        f" loops of {loop.steps} steps{loop.plants} under the sampled law leave"
        f" {spans(release, loop.claimed)} or move an input beyond its limits"
        f" (N = {loop.scenarios}, the exported C in single precision)"
    )
