"""The pieces every reader shares: checked tensors, the order of stacked gates, and what was read.

Every framework stacks its four gates in one array, each in an order of its own, and gives h_t
*after* the step: with the same start their y_t is our y(k+1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.errors import InputError
from lstm_mpc.model.lstm import GATES, Layer, Network
from lstm_mpc.plants.system import Array

ORDER = {"PyTorch": "ifco", "Keras": "ifco", "ONNX": "iofc"}  # PyTorch calls our c the gate g
LAST_ONLY = (
    "the network gives the output after the last sample of a window only; the model gives it after"
    " every sample"
)
MULTIPLES = {1: "a plain RNN", 3: "a GRU"}  # gates per cell of the other recurrent layers


@dataclass(frozen=True)
class Foreign:
    """What a file of another framework holds.

    `u_scale`, `y_scale` are (mid, span) per signal where the file itself normalises, `clip` the
    (low, high) [engineering] to which it clips its inputs; None where it does not. `notes` says
    what was assumed or left out."""

    network: Network
    kind: str
    notes: tuple[str, ...] = ()
    u_scale: tuple[Array, Array] | None = None
    y_scale: tuple[Array, Array] | None = None
    clip: tuple[Array, Array] | None = None
    sha256: str = ""


def floats(
    name: str, values: NDArray[np.generic], shape: Sequence[int | None] | None = None
) -> Array:
    """Tensor `name` as float64, which holds every float32 exactly; InputError for another type,
    shape (None: any) or a NaN."""
    if values.dtype not in (np.float32, np.float64):
        raise InputError(f"tensor {name!r} is {values.dtype}; save it as float32 or float64")
    if shape is not None and (
        values.ndim != len(shape)
        or any(w not in (None, s) for s, w in zip(values.shape, shape, strict=True))
    ):
        wanted = "×".join("n" if width is None else str(width) for width in shape)
        raise InputError(f"tensor {name!r} must be {wanted}, got {_shape(values)}")
    if not np.isfinite(values).all():
        raise InputError(f"tensor {name!r} holds numbers that are not finite")
    return values.astype(np.float64)


def stacked_layer(framework: str, where: str, W: Array, U: Array, b: Array) -> Layer:
    """A layer from stacked gates W (4n, m), U (4n, n), b (4n,) in the order of `framework`; `where`
    names the layer in errors."""
    rows, n = U.shape
    if rows != 4 * n:
        other = MULTIPLES.get(rows // n) if n and rows % n == 0 else None
        raise InputError(
            f"{where}: {rows} gate rows for {n} cells are "
            + (f"{other}, not an LSTM" if other else "not 4 per cell")
        )
    if len(W) != rows or b.shape != (rows,):
        raise InputError(
            f"{where}: input weights of {len(W)} and biases of {b.size} rows do not fit the {rows}"
            " recurrent ones"
        )
    leaves: dict[str, Array] = {}
    for place, g in enumerate(ORDER[framework]):
        part = slice(place * n, (place + 1) * n)
        leaves |= {f"W_{g}": W[part], f"U_{g}": U[part], f"b_{g}": b[part, None]}
    return Layer(**leaves)


def stacked(layer: Layer, framework: str) -> tuple[Array, Array, Array]:
    """The inverse of `stacked_layer`: W (4n, m), U (4n, n), b (4n,)."""
    assert sorted(ORDER[framework]) == sorted(GATES)
    W, U, b = (
        np.vstack(parts) for parts in zip(*(layer.gate(g) for g in ORDER[framework]), strict=True)
    )
    return W, U, b.ravel()


def folded(layer: Layer, M: Array, shift: Array) -> Layer:
    """The layer with the affine function M v + shift in front of it moved into its W and b."""
    parts: dict[str, Array] = {}
    for g in GATES:
        W, U, b = layer.gate(g)
        added = (W @ shift)[:, None] if shift.any() else 0.0
        parts |= {f"W_{g}": product(W, M), f"U_{g}": U, f"b_{g}": b + added}
    return Layer(**parts)


def product(W: Array, M: Array) -> Array:
    """W M, to the bit W where M is the identity."""
    square = M.shape[0] == M.shape[1]
    return W if square and np.array_equal(M, np.eye(len(M))) else W @ M


def stack(layers: Sequence[Layer], C: Array, b_y: Array) -> Network:
    """The network of `layers` in order from the input, and the head C (ny, n), b_y (ny,)."""
    for number, (lower, upper) in enumerate(pairwise(layers), start=2):
        if upper.nu != lower.nx:
            raise InputError(
                f"layer {number} reads {upper.nu} signals, layer {number - 1} has {lower.nx} cells"
            )
    if C.shape[1] != layers[-1].nx or b_y.shape != (len(C),):
        raise InputError(
            f"the linear head {_shape(C)} with {b_y.size} biases does not fit {layers[-1].nx} cells"
        )
    return Network(tuple(layers), C, b_y[:, None])


def _shape(values: NDArray[np.generic]) -> str:
    return "×".join(map(str, values.shape)) or "a scalar"
