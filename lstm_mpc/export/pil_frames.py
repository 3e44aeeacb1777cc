"""What a processor in the loop is given, frames, and what it answers; two answers compared to the
bit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array

PHASES = ("prepare", "feedback", "advance")


@dataclass(frozen=True)
class Core:
    """A core as QEMU has it: its board, the compiler's flags, and the clock of its counter [Hz]."""

    machine: str
    flags: tuple[str, ...]
    clock: int


CORES = {
    "cortex-m3": Core("mps2-an385", ("-mcpu=cortex-m3", "-mfloat-abi=soft"), 25_000_000),
    "cortex-m4f": Core(
        "mps2-an386", ("-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"), 25_000_000
    ),
    "cortex-m7": Core(
        "mps2-an500", ("-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-d16"), 25_000_000
    ),
    # Helium's vectors take subnormal numbers for zero, and GCC makes vectors of plain loops at -O2.
    "cortex-m55": Core(
        "mps3-an547", ("-mcpu=cortex-m55", "-mfloat-abi=hard", "-fno-tree-vectorize"), 32_000_000
    ),
}


@dataclass(frozen=True)
class Run:
    """One scenario in engineering units: it begins at y0 (ny,), u0 (nu,), then samples y (K, ny),
    reference (K, rows, ny) and, where inputs are measured, `measured` (K, rows, nd), the first of
    which it begins at, too. May hold NaN."""

    y0: Array
    u0: Array
    y: Array
    reference: Array
    measured: Array = field(default_factory=lambda: np.zeros((0, 1, 0)))

    def __post_init__(self) -> None:
        if not np.size(self.measured):
            object.__setattr__(self, "measured", np.zeros((len(self.y), 1, 0)))
        dimensions = {"y0": 1, "u0": 1, "y": 2, "reference": 3, "measured": 3}
        for name, ndim in dimensions.items():
            array = np.array(getattr(self, name), dtype=np.float64)
            if array.ndim != ndim:
                raise InputError(
                    f"frames: {name} must have {ndim} dimension(s), got shape {array.shape}"
                )
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        K, rows, ny = self.reference.shape
        if self.y.shape != (K, ny) or self.y0.shape != (ny,):
            raise InputError(
                f"frames: y0 {self.y0.shape}, y {self.y.shape} and reference {(K, rows, ny)} do not"
                " belong together"
            )
        if len(self.measured) != K:
            raise InputError(
                f"frames: y {self.y.shape} and measured {self.measured.shape} do not belong"
                " together"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Inputs, outputs, setpoint rows and, where there are any, values of measured inputs."""
        known = self.measured.shape[1] * self.measured.shape[2]
        return len(self.u0), len(self.y0), self.reference.shape[1], *([known] if known else [])


@dataclass(frozen=True)
class Frames:
    """What is replayed: `runs` of one shape, one after the other."""

    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "runs", tuple(self.runs))
        shapes = [run.shape for run in self.runs]
        if len(set(shapes)) != 1:
            raise InputError(
                "frames: need at least one run, and one shape (inputs, outputs, setpoint rows) of"
                f" all; got {shapes}"
            )

    def to_bytes(self, real: np.dtype[Any]) -> bytes:
        """Lay the frames out as the program on the core reads them.

        Args:
            real: The number type of the controller, to which numbers are rounded.

        Returns:
            The content of frames.bin.
        """
        head = [real.itemsize, *self.runs[0].shape[:3], len(self.runs), *self.runs[0].shape[3:]]
        parts = [np.array(head, dtype="<u4").tobytes()]
        with np.errstate(over="ignore"):  # what is beyond single precision is infinite there
            for run in self.runs:
                known = run.measured.reshape(len(run.y), -1)
                samples = np.hstack([run.y, run.reference.reshape(len(run.y), -1), known])
                begin = (run.y0, run.u0, known[:1])
                parts += [np.array(len(samples), dtype="<u4").tobytes()]
                parts += [values.astype(real).tobytes() for values in (*begin, samples)]
        return b"".join(parts)


@dataclass(frozen=True)
class Sizes:
    """[bytes] The controller's two object files as compiled: no function left out, libgcc's soft
    floats not in."""

    code: int
    constants: int
    data: int
    bss: int


@dataclass(frozen=True)
class Replay:
    """What one machine answered; the K samples of all runs in a row.

    Attributes:
        machine: The name of the core, or of the host.
        lengths: Samples of each run.
        begin: Status of init, (runs,).
        u: The inputs, (K, nu) [input unit], in the controller's own bits.
        status: Flags of every sample, (K,).
        struct_bytes: Size of state, work and model [bytes].
        instructions: Per sample those of PHASES, (K, 3), call and return included; None on the
            host, as all that follows.
        init_instructions: Those of init, (runs,).
        resolution: What both were counted in [instructions]; 1: every one was counted.
        stack_bytes: The deepest stack below the caller.
        sizes: Those of the program's sections.
    """

    machine: str
    lengths: tuple[int, ...]  # samples of each run
    begin: NDArray[np.uint32]  # (runs,) status of init
    u: NDArray[
        np.floating[Any]
    ]  # (K, nu) [input unit], float32 or float64: the controller's own bits
    status: NDArray[np.uint32]  # (K,)
    struct_bytes: dict[str, int]  # of state, work and model
    instructions: NDArray[np.int64] | None = None  # (K, 3) for PHASES, call and return included
    init_instructions: NDArray[np.int64] | None = None  # (runs,)
    resolution: int | None = None  # [instructions] of both; 1: every one was counted
    stack_bytes: int | None = None  # the deepest below the caller
    sizes: Sizes | None = None

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)


def differences(one: Replay, other: Replay) -> str | None:
    """Compare two replays of the same frames.

    Args:
        one: What one machine answered.
        other: What the other did.

    Returns:
        A sentence on the first sample in which they differ, in the bits of u or in a status; None
        where there is none.

    Raises:
        InputError: They are not of the same frames.
    """
    if (one.u.dtype, one.u.shape, one.lengths) != (other.u.dtype, other.u.shape, other.lengths):
        raise InputError(
            f"the replays on {one.machine} and {other.machine} are of other frames or of another"
            " precision"
        )
    differ = (_bits(one.u) != _bits(other.u)).any(axis=1) | (one.status != other.status)
    for run, end in enumerate(np.cumsum(one.lengths)):
        if one.begin[run] != other.begin[run]:
            return (
                f"run {run}: init returns {one.begin[run]} on {one.machine}, {other.begin[run]} on"
                f" {other.machine}"
            )
        first = end - one.lengths[run]
        if differ[first:end].any():
            k = first + int(np.argmax(differ[first:end]))
            return f"run {run}, sample {k - first}: {_said(one, k)}; {_said(other, k)}"
    return None


def _bits(values: NDArray[np.floating[Any]]) -> NDArray[np.unsignedinteger[Any]]:
    return np.ascontiguousarray(values).view(f"u{values.itemsize}")


def _said(replay: Replay, k: int) -> str:
    inputs = ", ".join(
        f"{value!s} (0x{bits:x})"
        for value, bits in zip(replay.u[k], _bits(replay.u[k]), strict=True)
    )
    return f"{replay.machine} has status {replay.status[k]}, u = {inputs}"


def measured(replay: Replay) -> dict[str, Any]:
    """What a replay on a core showed [bytes, instructions]."""
    assert replay.instructions is not None
    assert replay.sizes is not None
    assert replay.stack_bytes is not None
    total = replay.instructions.sum(axis=1)
    phases = {phase: replay.instructions[:, number] for number, phase in enumerate(PHASES)} | {
        "all": total
    }
    return {
        "flash": replay.sizes.code + replay.sizes.constants,
        "ram": replay.struct_bytes["state"] + replay.struct_bytes["work"] + replay.stack_bytes,
        "stack": replay.stack_bytes,
        "instructions": {
            phase: {"mean": round(float(np.mean(n))), "max": int(n.max())}
            for phase, n in phases.items()
        },
    }
