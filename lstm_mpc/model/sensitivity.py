"""Simulation error of an LSTM over whole records, with its gradient and Gauss–Newton matrix by
forward sensitivities.

The stage derivatives come from the CasADi equations. The recursion S_{k+1} = A_k S_k + B_k is
linear, so the record is cut into blocks that run side by side from a zero start; the starts are
repaired afterwards through the blocks' transition matrices. The result is the exact Jacobian of
single shooting, several times faster than running the samples one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.model import kernel as kernels, lstm
from lstm_mpc.plants.system import Array

BLOCKS = 64  # blocks that run side by side, over all records


@dataclass(frozen=True)
class Piece:
    """One normalised record: `u` (N, nu), `y` (N, ny), `weight` (N, ny) of each sample in the mean
    square, 0 in the washout and where `y` was not measured (NaN)."""

    u: Array
    y: Array
    weight: Array


KERNELS = ("auto", "c", "casadi")


class SimulationError:
    """½ Σ w_kj (y_kj − ŷ_kj)² over all pieces as a function of z = [θ; χ0 of every piece] (all
    normalised).

    `value`, `gradient` and `hessian` (Gauss–Newton, JᵀJ) share one simulation and one Jacobian per
    point. `kernel` is what computes: "c", "casadi", or the former where there is a compiler."""

    def __init__(self, sizes: lstm.Sizes, pieces: Sequence[Piece], *, kernel: str = "auto") -> None:
        self.sizes, self.pieces = sizes, tuple(pieces)
        self.size = sizes.parameters + sizes.n * len(self.pieces)
        self.evaluations = {"value": 0, "jacobian": 0}
        self._roots = [np.sqrt(p.weight) for p in self.pieces]
        self._targets = [np.where(p.weight > 0, p.y, 0.0) for p in self.pieces]
        self._point = self._jacobian_point = b""
        inputs = [p.u for p in self.pieces]
        library = kernels.library() if kernel != "casadi" else None
        if kernel == "c" and library is None:
            raise InputError(
                "train: kernel = 'c' needs a C compiler (cc, gcc or clang); install one, or leave"
                " kernel out"
            )
        self._engine = kernels.Kernel(sizes, inputs, library) if library else Stages(sizes, inputs)

    def residual(self, z: Array) -> Array:
        """√w (ŷ − y), all pieces, (Σ N·ny,); infinite where the simulation overflows."""
        self._simulate(z)
        return self._residual

    def value(self, z: Array) -> float:
        r = self.residual(z)
        return 0.5 * float(r @ r)

    def gradient(self, z: Array) -> Array:
        """∇ value, (size,)."""
        return self.jacobian(z).T @ self.residual(z)

    def hessian(self, z: Array) -> Array:
        """Gauss–Newton matrix JᵀJ, (size, size)."""
        J = self.jacobian(z)
        return J.T @ J

    def jacobian(self, z: Array) -> Array:
        """∂ residual/∂z, (Σ N·ny, size)."""
        self._simulate(z)
        if self._jacobian_point != self._point:
            self._jacobian = self._differentiate(np.asarray(z, dtype=np.float64))
            self._jacobian_point = self._point
        return self._jacobian

    def _starts(self, z: Array) -> Array:
        return z[self.sizes.parameters :].reshape(len(self.pieces), self.sizes.n)

    def _simulate(self, z: Array) -> None:
        z = np.ascontiguousarray(z, dtype=np.float64)
        point = z.tobytes()
        if point == self._point:
            return
        outputs = self._engine.simulate(z[: self.sizes.parameters], self._starts(z))
        self._residual = np.concatenate(
            [
                (root * (y - target)).ravel()
                for root, y, target in zip(self._roots, outputs, self._targets, strict=True)
            ]
        )
        self._point = point
        self.evaluations["value"] += 1

    def _differentiate(self, z: Array) -> Array:
        self.evaluations["jacobian"] += 1
        return self._engine.jacobian(z[: self.sizes.parameters], self._roots)


class Stages:
    """The same as `kernel.Kernel` by CasADi: slower, needs no compiler, and is its oracle."""

    def __init__(self, sizes: lstm.Sizes, inputs: Sequence[Array]) -> None:
        n, nu, ny = sizes.n, sizes.nu, sizes.ny
        self.sizes, self._u, self._ny = sizes, list(inputs), ny
        theta, chi, u = (
            ca.SX.sym("theta", sizes.parameters),
            ca.SX.sym("chi", n),
            ca.SX.sym("u", nu),
        )
        network = lstm.unpack(theta, sizes)
        following, y = lstm.step(network, chi, u), lstm.output(network, chi)
        step = ca.Function("step", [chi, u, theta], [following])
        output = ca.Function("output", [chi, theta], [y])
        A, B = ca.jacobian(following, chi), ca.jacobian(following, theta)
        rows, columns = B.sparsity().get_triplet()
        self._places = np.array(rows) * (sizes.parameters + n) + np.array(columns)
        stage = ca.Function("stage", [chi, u, theta], [ca.vec(ca.densify(A.T)), B.nz[:]])
        outer = ca.Function(
            "outer", [chi, theta], [ca.vec(ca.densify(ca.jacobian(y, v).T)) for v in (chi, theta)]
        )
        self._run = [Buffered(step.mapaccum(len(u))) for u in inputs]
        self._out = [Buffered(_shared(output, len(u))) for u in inputs]
        self._stage = [Buffered(_shared(stage, len(u))) for u in inputs]
        self._outer = [Buffered(_shared(outer, len(u))) for u in inputs]

    def simulate(self, theta: Array, starts: Array) -> list[Array]:
        """The outputs (N, ny) of every record from its start (n,)."""
        outputs, self._states = [], []
        for u, start, run, out in zip(self._u, starts, self._run, self._out, strict=True):
            (later,) = run(start, u, np.tile(theta, len(u)))
            chi = np.vstack([start, later.reshape(-1, self.sizes.n)[:-1]])
            (y,) = out(chi, theta)
            outputs.append(y.reshape(len(u), self._ny))
            self._states.append(chi)
        return outputs

    def jacobian(self, theta: Array, roots: Sequence[Array]) -> Array:
        """∂(root·y)/∂[θ; starts] of the records as they were simulated last, (Σ N·ny, size)."""
        n, p = self.sizes.n, self.sizes.parameters
        total = sum(len(u) for u in self._u)
        J = np.zeros((total * self._ny, p + n * len(self._u)))
        row = 0
        for number, (u, chi, root) in enumerate(zip(self._u, self._states, roots, strict=True)):
            N = len(u)
            A, B = self._stage[number](chi, u, theta)
            G, D = self._outer[number](chi, theta)
            local = self._sweep(A.reshape(N, n, n), B.reshape(N, -1), G.reshape(N, self._ny, n))
            local[:, :, :p] += D.reshape(N, self._ny, p)
            local *= root[:, :, None]
            rows = slice(row, row + N * self._ny)
            J[rows, :p] = local[:, :, :p].reshape(-1, p)
            J[rows, p + number * n : p + (number + 1) * n] = local[:, :, p:].reshape(-1, n)
            row += N * self._ny
        return J

    def _sweep(self, A: Array, B: Array, G: Array) -> Array:
        """G_k S_k for k = 0 … N−1, where S_{k+1} = A_k S_k + [B_k 0], S_0 = [0 I]: (N, ny, p + n).
        `B` holds non-zeros."""
        N, n, p = len(A), self.sizes.n, self.sizes.parameters
        length = -(-N // BLOCKS)
        count = -(-N // length)
        padded = length * count
        A, B, G = (
            np.concatenate([X, np.zeros((padded - N, *X.shape[1:]))]) if padded > N else X
            for X in (A, B, G)
        )
        A = np.ascontiguousarray(A.reshape(count, length, n, n).transpose(1, 0, 2, 3))
        B = np.ascontiguousarray(B.reshape(count, length, -1).transpose(1, 0, 2))
        G = np.ascontiguousarray(G.reshape(count, length, self._ny, n).transpose(1, 0, 2, 3))
        S = np.zeros((count, n, p + n))
        S[:, :, p:] = np.eye(n)
        result = np.empty((count, length, self._ny, p + n))
        spare = np.empty_like(S)
        for k in range(length):
            result[:, k] = G[k] @ S
            np.matmul(A[k], S, out=spare)
            spare.reshape(count, -1)[:, self._places] += B[k]
            S, spare = spare, S
        start = np.zeros((n, p + n))
        start[:, p:] = np.eye(n)
        for block in range(count):
            own = result[block].reshape(-1, p + n)
            passed = own[:, p:] @ start
            passed[:, :p] += own[:, :p]
            moved = S[block, :, p:] @ start
            moved[:, :p] += S[block, :, :p]
            result[block], start = passed.reshape(length, self._ny, p + n), moved
        return result.reshape(padded, self._ny, p + n)[:N]


class Buffered:
    """A CasADi function called on NumPy memory without conversion; arguments and results are flat,
    column-major."""

    def __init__(self, function: Any) -> None:
        self._buffer, self._evaluate = function.buffer()
        self._function = function  # owns what the buffer points to
        self._sizes = [function.nnz_out(i) for i in range(function.n_out())]

    def __call__(self, *arguments: Array) -> list[Array]:
        held = [np.ascontiguousarray(a, dtype=np.float64) for a in arguments]
        results = [np.empty(size) for size in self._sizes]
        for i, array in enumerate(held):
            self._buffer.set_arg(i, memoryview(array.data))
        for i, array in enumerate(results):
            self._buffer.set_res(i, memoryview(array.data))
        self._evaluate()
        return results


def _shared(function: Any, N: int) -> Any:
    """`function` over N samples, its last argument (θ) shared by all."""
    inputs, outputs = function.n_in(), function.n_out()
    return function.map(N, [False] * (inputs - 1) + [True], [False] * outputs)
