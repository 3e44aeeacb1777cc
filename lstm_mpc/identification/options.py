"""What a human chooses about training."""

from __future__ import annotations

from dataclasses import dataclass

from lstm_mpc.certificates import conditions
from lstm_mpc.errors import InputError
from lstm_mpc.model.input_delays import checked_delays
from lstm_mpc.model.sensitivity import KERNELS

STARTS = ("random", "linear")


@dataclass(frozen=True)
class TrainingOptions:
    """What a human chooses about training; the keys of `[train]` in a design.

    - `cells`: cells per layer; `conditions` (in a design by default those of `[release]`), kept
      with `margin` δ.
    - `weight_bound`: bound of every |weight| of the gates, `output_box` of C and b_y (a large C
      makes a wrong start state loud), `start_box` of every |χ0|; `washout`: first samples of each
      record left out of the error.
    - `start`: "random", or "linear" for a linear model of the data written as an LSTM; `spread`:
      random weights are uniform in ±spread, forget biases lie around `forget_bias`.
    - `decay`, `output_decay`: weight of the squares of the gates' weights (not biases) and of C in
      the objective. They regularise short records, and cells that cancel each other in C make every
      bound wide.
    - `hessian`: "gauss-newton", with a Levenberg–Marquardt term that begins at `damping`, or
      "l-bfgs"; `mu_init`: IPOPT's first barrier parameter; training ends after `iterations`, or
      when the last `patience` gained less than `min_improvement` (relative) of the objective.
    - `free_first`: train without the conditions of incremental stability first and continue those
      weights under them, which often ends at a better fit than their own start does.
    - `delays`: samples that each input takes until the network sees it, one for each; none: no
      delays.
    - `kernel`: what simulates and differentiates, "c", "casadi" (slower, needs no compiler), or
      "auto": C where there is a compiler.
    """

    cells: tuple[int, ...] = (5,)
    conditions: tuple[str, ...] = ("iss",)
    margin: float = 1e-3
    weight_bound: float = 4.0
    output_box: float = 1.5
    start_box: float = 1.5
    washout: int = 20
    start: str = "random"
    spread: float = 0.1
    forget_bias: float = 0.0
    damping: float = 1e-6
    decay: float = 0.0
    output_decay: float = 0.0
    hessian: str = "gauss-newton"
    iterations: int = 250
    patience: int = 20
    min_improvement: float = 5e-2
    mu_init: float = 1e-4
    free_first: bool = False
    kernel: str = "auto"
    delays: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("cells", "conditions"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "delays", checked_delays(self.delays, name="train"))
        for name in self.conditions:
            conditions.check_name(name)
        for name in ("margin", "weight_bound", "output_box", "start_box", "spread"):
            if not getattr(self, name) > 0:
                raise InputError(f"train: {name} must be positive, got {getattr(self, name)}")
        if self.start not in STARTS:
            raise InputError(f"train: start must be one of {', '.join(STARTS)}, got {self.start!r}")
        if self.kernel not in KERNELS:
            known = ", ".join(KERNELS)
            raise InputError(f"train: kernel must be one of {known}, got {self.kernel!r}")
        if self.hessian not in ("gauss-newton", "l-bfgs"):
            raise InputError(
                f"train: hessian must be 'gauss-newton' or 'l-bfgs', got {self.hessian!r}"
            )
        if min(self.decay, self.output_decay, self.damping) < 0:
            raise InputError("train: decay, output_decay and damping must not be negative")
        if self.iterations < 1 or self.washout < 0 or self.patience < 1:
            raise InputError(
                "train: iterations and patience must be at least 1, washout at least 0"
            )
