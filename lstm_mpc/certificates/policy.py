"""What evidence a release needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lstm_mpc.certificates import conditions
from lstm_mpc.certificates.provenance.signing import checked_key
from lstm_mpc.errors import InputError
from lstm_mpc.plants.names import checked_sentence

CHECKS = ("certificate", "scenario", "safe_set", "input_range", "tube", "fit", "controller")
OUTPUT_SETS = ("scenario", "tube", "either")
CONTROLLERS = (*OUTPUT_SETS, "proved")


@dataclass(frozen=True)
class Policy:
    """What evidence a release needs; the keys of `[release]` in a design.

    The defaults are what a controller needs: δISS for its observer, and outputs proved for every
    input, since those that a controller generates follow no sampled law.

    `conditions` must be certified, each by itself or by one that `serves` for it. `output_set` says
    what must show that outputs stay in the safe set: "scenario" (sampled, for the law that was
    drawn), "tube" (proved, for every input within the limits) or "either". The scenario
    verification must be at least as strong as `epsilon`, `beta` and as long as `min_steps`;
    `min_fit` is the least mean-removed FIT [%] on validation data, against the measured output.
    `controller` says what a controller needs to be exported: "tube" (with δISS), "scenario" (closed
    loops of at least `min_loop_steps`, as strong as `epsilon` and `beta`), "either", or "proved"
    (what "tube" asks, and a proof of the closed loop of this very controller, by `prove_loop`).

    What the verified loops must show, where it is asked for, whatever clears the controller, one
    number for each output: the largest error after settling, `max_error` [output unit], the
    settling time, `max_settling` [s], and the overshoot, `max_overshoot` [output unit]; the share
    of samples that are flagged, `max_flagged`; and the mean error as a share of what inputs `held`
    where they were and a `pi` controller tuned on the same scenarios have. `waive` maps
    a check (certificate, scenario, safe_set, input_range, tube, fit, controller) to the reason why
    it is waived; it is stored and printed wherever the release is used. Where `signers` names
    public keys, one of them must have signed the evidence before anything is exported.
    """

    conditions: tuple[str, ...] = ("delta_iss",)
    output_set: str = "tube"
    epsilon: float = 1e-2
    beta: float = 1e-6
    min_steps: int = 1
    min_fit: float = 95.0
    controller: str = "either"
    min_loop_steps: int = 1
    max_error: tuple[float, ...] = ()
    max_settling: tuple[float, ...] = ()
    max_overshoot: tuple[float, ...] = ()
    max_flagged: float | None = None
    held: float | None = None
    pi: float | None = None
    waive: Mapping[str, str] = field(default_factory=dict)
    signers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(self.conditions))
        keys = tuple(checked_key(key, "release: a signer") for key in self.signers)
        object.__setattr__(self, "signers", keys)
        for name in self.conditions:
            conditions.check_name(name)
        for key, known in (("output_set", OUTPUT_SETS), ("controller", CONTROLLERS)):
            if (value := getattr(self, key)) not in known:
                raise InputError(
                    f"release: {key} must be one of {', '.join(known)}, got {value!r:.60}"
                )
        if not (0 < self.epsilon < 1 and 0 < self.beta < 1 and np.isfinite(self.min_fit)):
            raise InputError(
                f"release: ε = {self.epsilon} and β = {self.beta} must lie in (0, 1), min_fit ="
                f" {self.min_fit} must be finite"
            )
        for key in ("max_error", "max_settling", "max_overshoot"):
            object.__setattr__(self, key, tuple(float(v) for v in getattr(self, key)))
            if not all(0 < v < np.inf for v in getattr(self, key)):
                raise InputError(
                    f"release: {key} = {list(getattr(self, key))} must be positive numbers, one for"
                    " each output"
                )
        for key in ("max_flagged", "held", "pi"):
            if (share := getattr(self, key)) is not None and not 0 <= share < np.inf:
                raise InputError(f"release: {key} = {share} must be a number, not negative")
        for check, reason in self.waive.items():
            if check not in CHECKS:
                raise InputError(
                    f"release: unknown check {check!r} in waive; known: {', '.join(CHECKS)}"
                )
            if not checked_sentence(reason, f"release: the waiver of {check!r}").strip():
                raise InputError(f"release: the waiver of {check!r} needs a reason in words")
