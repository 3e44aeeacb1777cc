"""LSTM cells that a graph writes out as sigmoid, tanh, sums and products, one after the other.

    c⁺ = σ(f)·c + σ(i)·tanh(g),   h = σ(o)·tanh(c⁺),   f, i, g, o affine in the input and h

A cell is recognised at its last product and becomes one sample of a layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers.onnx_graph.layers import FROM_INPUTS, Start
from lstm_mpc.model.importers.onnx_graph.reading import IGNORED_START, Reading
from lstm_mpc.model.importers.onnx_graph.trace import (
    Affine,
    Combined,
    Ids,
    Scaled,
    Source,
    State,
    Trace,
    same,
)
from lstm_mpc.model.lstm import Layer
from lstm_mpc.plants.system import Array


@dataclass(frozen=True)
class _Cell:
    """What goes into the gates, the c that the cell goes on from (None: zero), and c after it."""

    gates: dict[str, Ids]
    before: Ids | None
    after: Ids


def hidden(at: Reading, ids: Ids, where: str) -> Ids:
    """The elements h where the product `ids` is the end of a cell, else `ids` themselves."""
    cell = _cell(at.trace, ids.ravel())
    if cell is None:
        return ids
    n = ids.shape[-1]
    where = f"the LSTM cell that ends in {where}"
    start = _start(at, cell, where)
    gates = {g: at.trace.affine(pre.reshape(-1, n)) for g, pre in cell.gates.items()}
    layer, x = _layer(at, gates, _recurrent(at, gates["i"], cell, start, n, where), where)
    recurrent = start is not None
    h, c = at.layers.run(where, layer, x, start, recurrent=recurrent)
    at.cells[cell.after.tobytes()] = c.ravel()
    return h.reshape(ids.shape)


# -- recognising ----------------------------------------------------------------------------------


def _cell(trace: Trace, ids: Ids) -> _Cell | None:
    """The parts of a cell that ends in the product `ids`, None where it is none."""
    pair = _factors(trace, ids)
    if pair is None:
        return None
    o, c = pair
    total = _parents(trace, c, "Add")
    if total is None:
        return None
    for fresh, kept in (total, total[::-1]):
        inner, carried = _factors(trace, fresh), _carried(trace, kept)
        if inner is not None and carried is not None:
            gates = {"f": carried[0], "i": inner[0], "c": inner[1], "o": o}
            return _Cell(gates, carried[1], c)
    return None


def _parents(trace: Trace, ids: Ids, op: str) -> tuple[Ids, ...] | None:
    """What `op` joins to make `ids`."""
    stage = trace.only(ids)
    if not isinstance(stage, Combined) or stage.op != op:
        return None
    return tuple(parent[trace.local(ids)] for parent in stage.parents)


def _factors(trace: Trace, ids: Ids) -> tuple[Ids, Ids] | None:
    """(a, b) of σ(a)·tanh(b)."""
    factors = _parents(trace, ids, "Mul")
    for one, two in ((0, 1), (1, 0)):
        if factors is not None:
            a, b = _parents(trace, factors[one], "Sigmoid"), _parents(trace, factors[two], "Tanh")
            if a is not None and b is not None:
                return a[0], b[0]
    return None


def _carried(trace: Trace, ids: Ids) -> tuple[Ids, Ids | None] | None:
    """(a, c) of σ(a)·c; c is None where it is a constant zero."""
    stage = trace.only(ids)
    if isinstance(stage, Scaled):
        local = trace.local(ids)
        gate = _parents(trace, stage.parent[local], "Sigmoid")
        zero = not stage.times[local].any() and not stage.shift[local].any()
        return (gate[0], None) if gate is not None and zero else None
    factors = _parents(trace, ids, "Mul")
    for one, two in ((0, 1), (1, 0)):
        if factors is not None:
            gate = _parents(trace, factors[one], "Sigmoid")
            if gate is not None:
                return gate[0], factors[two]
    return None


# -- putting together -----------------------------------------------------------------------------


def _start(at: Reading, cell: _Cell, where: str) -> Start | None:
    """The layer and sample that the cell goes on from; None from zero or from an input."""
    if cell.before is None:
        return None
    earlier = at.cells.get(cell.before.tobytes())
    if earlier is not None:
        c = at.trace.only(earlier)
        assert isinstance(c, State)
        return Start(c.layer, int(c.times[-1]))
    if isinstance(at.trace.only(cell.before), Source):
        at.notes.append(IGNORED_START)
        return FROM_INPUTS
    raise InputError(f"{where}: its cell state comes from something else than the cell before it")


def _recurrent(
    at: Reading, gate: Affine, cell: _Cell, start: Start | None, n: int, where: str
) -> Ids:
    """For each column of the gates the cell whose h it is, −1 for a signal from below."""
    trace = at.trace
    column = np.full(gate.atoms.shape, -1)
    numbers = trace.numbers(gate.atoms)
    carrier = None if cell.before is None else trace.only(cell.before)
    sources = [s for s in np.unique(numbers) if isinstance(trace.stages[int(s)], Source)]
    for number in np.unique(numbers):
        stage, here = trace.stages[int(number)], numbers == number
        local = gate.atoms[here] - trace.firsts[int(number)]
        if start is not None and isinstance(stage, State) and stage.layer == start.layer:
            time, batch, which = stage.places(local)
            if not stage.hidden or (time != start.time).any():
                raise InputError(f"{where}: reads another state than that of the cell before it")
        elif (
            start == FROM_INPUTS
            and isinstance(carrier, Source)
            and number == sources[-1] != sources[0]
        ):
            batch, which = np.divmod(local, n)
        else:
            continue
        if stage is carrier or (batch != np.nonzero(here)[0]).any():
            raise InputError(f"{where}: mixes samples of different batches, or h and c")
        column[here] = which
    cells: Ids = same(column, where)
    return cells


def _layer(at: Reading, gates: dict[str, Affine], cells: Ids, where: str) -> tuple[Layer, Ids]:
    """The weights of the cell, and its input (1, batches, signals)."""
    parts: dict[str, Array] = {}
    below, atoms = cells < 0, gates["i"].atoms
    for g, gate in gates.items():
        if not np.array_equal(gate.atoms, atoms):
            raise InputError(f"{where}: its gates do not read the same signals")
        n = len(gate.M)
        U = np.zeros((n, n))
        np.add.at(U.T, cells[~below], gate.M[:, ~below].T)
        parts |= {f"W_{g}": gate.M[:, below], f"U_{g}": U, f"b_{g}": gate.shift[:, None]}
    return Layer(**parts), atoms[:, below][None]
