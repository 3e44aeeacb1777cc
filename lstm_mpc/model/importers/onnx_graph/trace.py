"""What each element of an ONNX tensor is: a signal at one sample, or an affine function of some.

Every element has a number, and a traced tensor is an array of such numbers. Nodes that only move
data (Reshape, Slice, Concat …) are run on the numbers themselves, so that no order of axes has to
be guessed; `affine` then says what a row of numbers stands for, or why it is not affine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers.gates import product
from lstm_mpc.plants.system import Array

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """Elements of one input of the graph."""

    node: str
    size: int


@dataclass(frozen=True)
class State:
    """h (or, `hidden` false, c) of an LSTM layer after the samples `times`, for each of `batches`
    and `cells`, in that order of axes."""

    node: str
    layer: int
    hidden: bool
    times: Ids
    batches: Ids
    cells: int

    @property
    def size(self) -> int:
        return int(self.times.size * self.batches.size * self.cells)

    def places(self, local: Ids) -> tuple[Ids, Ids, Ids]:
        """Sample, batch and cell of elements."""
        rows, cell = np.divmod(local, self.cells)
        time, batch = np.divmod(rows, self.batches.size)
        return self.times[time], self.batches[batch], cell


@dataclass(frozen=True)
class Scaled:
    """parent·times/over + shift, element by element."""

    node: str
    parent: Ids
    times: Array
    over: Array
    shift: Array

    @property
    def size(self) -> int:
        return self.parent.size


@dataclass(frozen=True)
class Clipped:
    """parent, at least `low` and at most `high`."""

    node: str
    parent: Ids
    low: Array
    high: Array

    @property
    def size(self) -> int:
        return self.parent.size


@dataclass(frozen=True)
class Linear:
    """Each row (R, n) of elements times `weights` (n, width)."""

    node: str
    rows: Ids
    weights: Array

    @property
    def size(self) -> int:
        return len(self.rows) * int(self.weights.shape[1])


@dataclass(frozen=True)
class Combined:
    """`op` of traced elements: Add and Mul of two, Sigmoid and Tanh of one."""

    node: str
    op: str
    parents: tuple[Ids, ...]

    @property
    def size(self) -> int:
        return self.parents[0].size


Stage = Source | State | Scaled | Clipped | Linear | Combined


@dataclass(frozen=True)
class Affine:
    """Rows of signals as M times `atoms` (rows, m) plus `shift`: the same M (n, m) in all rows."""

    atoms: Ids
    M: Array
    shift: Array


@dataclass
class Trace:
    """All elements so far, stage by stage; `raw` marks stages that come before every layer."""

    stages: list[Stage] = field(default_factory=list)
    firsts: list[int] = field(default_factory=lambda: [0])
    raw: list[bool] = field(default_factory=list)

    def add(self, stage: Stage, shape: tuple[int, ...]) -> Ids:
        """The numbers of a new stage's elements."""
        first = self.firsts[-1]
        self.stages.append(stage)
        self.firsts.append(first + stage.size)
        parent = stage.parent if isinstance(stage, (Scaled, Clipped)) else None
        before = parent is not None and all(self.raw[s] for s in np.unique(self.numbers(parent)))
        self.raw.append(isinstance(stage, Source) or before)
        return np.arange(first, first + stage.size).reshape(shape)

    def numbers(self, ids: Ids) -> Ids:
        """The stage of each element."""
        return np.asarray(np.searchsorted(self.firsts, ids, side="right") - 1, np.int64)

    def only(self, ids: Ids) -> Stage | None:
        """The stage of all elements, None where there are several or none."""
        numbers = np.unique(self.numbers(ids))
        return self.stages[numbers[0]] if numbers.size == 1 else None

    def local(self, ids: Ids) -> Ids:
        """The place of each element within its stage."""
        first: Ids = np.asarray(self.firsts, np.int64)[self.numbers(ids)]
        return ids - first

    def affine(self, ids: Ids) -> Affine:
        """Rows of elements (P, n) as one affine function of states or of inputs before any layer;
        InputError names the node that makes it something else."""
        patterns, which = np.unique(self.numbers(ids), axis=0, return_inverse=True)
        which = which.ravel()
        parts = [self._rows(ids[which == k], pattern) for k, pattern in enumerate(patterns)]
        first = parts[0]
        for part in parts[1:]:
            if not (np.array_equal(part.M, first.M) and np.array_equal(part.shift, first.shift)):
                node = self.stages[int(patterns[0][0])].node
                raise InputError(f"{node} does not compute the same at every sample")
        atoms = np.empty((len(ids), first.atoms.shape[1]), np.int64)
        for k, part in enumerate(parts):
            atoms[which == k] = part.atoms
        return Affine(atoms, first.M, first.shift)

    def _rows(self, ids: Ids, pattern: Ids) -> Affine:
        """`affine` for rows whose columns lie in the stages `pattern` (n,)."""
        n, atoms, blocks, shift = len(pattern), [], [], np.zeros(len(pattern))
        for number in np.unique(pattern):
            columns = np.flatnonzero(pattern == number)
            part = self._block(int(number), ids[:, columns])
            block = np.zeros((n, part.M.shape[1]))
            block[columns], shift[columns] = part.M, part.shift
            atoms.append(part.atoms)
            blocks.append(block)
        return Affine(np.hstack(atoms), np.hstack(blocks), shift)

    def _block(self, number: int, ids: Ids) -> Affine:
        """`affine` within one stage."""
        stage, local = self.stages[number], ids - self.firsts[number]
        n = ids.shape[1]
        if isinstance(stage, State) or self.raw[number]:
            return Affine(ids, np.eye(n), np.zeros(n))
        if isinstance(stage, Scaled):
            factor = same(stage.times[local] / stage.over[local], stage.node)
            inner = self.affine(stage.parent[local])
            shift = factor * inner.shift + same(stage.shift[local], stage.node)
            return Affine(inner.atoms, factor[:, None] * inner.M, shift)
        if isinstance(stage, Linear):
            row, column = np.divmod(local, stage.weights.shape[1])
            if (row != row[:, :1]).any():
                raise InputError(f"{stage.node} is followed by a node that joins several samples")
            inner = self.affine(stage.rows[row[:, 0]])
            W = stage.weights.T[same(column, stage.node)]
            return Affine(inner.atoms, product(W, inner.M), W @ inner.shift)
        if isinstance(stage, Combined) and stage.op == "Add":
            one, two = (self.affine(parent[local]) for parent in stage.parents)
            both = np.hstack([one.atoms, two.atoms])
            return Affine(both, np.hstack([one.M, two.M]), one.shift + two.shift)
        raise InputError(f"{stage.node}: {why_not(stage)}")

    def root(self, ids: Ids) -> Ids:
        """For each element a state or input element that it depends on, the first one met."""
        ids = ids.copy()
        while True:
            moved = False
            for number in np.unique(self.numbers(ids)):
                stage = self.stages[number]
                if isinstance(stage, (Source, State)):
                    continue
                here = self.numbers(ids) == number
                local = ids[here] - self.firsts[number]
                if isinstance(stage, Linear):
                    ids[here] = stage.rows[local // stage.weights.shape[1], 0]
                else:
                    up = stage.parents[0] if isinstance(stage, Combined) else stage.parent
                    ids[here] = up.ravel()[local]
                moved = True
            if not moved:
                return ids


def same(rows: NDArray[Any], node: str) -> NDArray[Any]:
    """The row that all `rows` are."""
    if (rows != rows[:1]).any():
        raise InputError(f"{node} is not the same for every sample; one constant a signal is read")
    first: NDArray[Any] = rows[0]
    return first


def why_not(stage: Stage) -> str:
    """The reason why a stage is no affine function."""
    if isinstance(stage, Clipped):
        return "clips behind an LSTM or a linear layer, which is nonlinear; only inputs are clipped"
    op = stage.op if isinstance(stage, Combined) else ""
    if op in ("Sigmoid", "Tanh"):
        return (
            f"the activation {op} outside an LSTM cell cannot be represented; the layers between"
            " and behind LSTM layers must be linear"
        )
    return "multiplies two signals outside an LSTM cell, which cannot be represented"
