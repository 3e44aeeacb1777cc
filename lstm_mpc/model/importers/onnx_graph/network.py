"""An ONNX graph as a network: input → [clip, scaling] → LSTM … LSTM → linear head → [scaling] →
output, with whatever linear layers stand between.

Constants are folded first. Then the graph is read with concrete lengths of its free axes, each
element traced from the inputs to the first output, more than once and with other lengths: a graph
that mixes time and batch, drops samples or cuts a window out is noticed. Whatever the model cannot
hold is refused with its reason.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from math import prod

import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers.gates import LAST_ONLY, Foreign, stack
from lstm_mpc.model.importers.onnx_file import DOUBLE, FLOAT, Graph, Misfit, Node, Value
from lstm_mpc.model.importers.onnx_graph import layers, scalings
from lstm_mpc.model.importers.onnx_graph.constants import fold
from lstm_mpc.model.importers.onnx_graph.nodes import MOVES, read
from lstm_mpc.model.importers.onnx_graph.reading import Reading, named, why_not
from lstm_mpc.model.importers.onnx_graph.trace import Ids, Source, State
from lstm_mpc.model.lstm import Network
from lstm_mpc.plants.system import Array

_SHORT, _LONG, _LONGEST = (5, 3, 4, 2), 17, 4096  # lengths of free axes that are tried


def network_of(graph: Graph) -> Foreign:
    """The network in `graph`; InputError with the reason when the model cannot represent what the
    graph computes."""
    every, graph = graph.nodes, fold(_cut(graph))
    try:
        return _for_all_lengths(graph, every, {})
    except Misfit as error:
        for place in _free(graph):  # declared free, and yet the nodes fit one length only
            for length in _whole_numbers(graph):
                with suppress(InputError):
                    return _for_all_lengths(graph, every, {place: length})
        raise error


def _for_all_lengths(graph: Graph, every: tuple[Node, ...], fixed: dict[int, int]) -> Foreign:
    """The network, the same for every length of the free axes but the `fixed`; `every` node of the
    file."""
    result = _read(graph, fixed, every)
    for lengths in _other_lengths(graph, fixed):
        if not _alike(result, _read(graph, lengths, every)):
            raise InputError("computes another network for sequences of another length")
    return result


def _cut(graph: Graph) -> Graph:
    """The graph with the nodes that its first output depends on only."""
    needed, kept = {graph.outputs[0].name}, []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs) - {""}:
            if node.op in ("Loop", "Scan", "If"):
                raise InputError(f"{named(node)}: {why_not(node.op)}")
            kept.append(node)
            needed.update(name for name in node.inputs if name)
    inputs = tuple(v for v in graph.inputs if v.name in needed)
    if not inputs:
        raise InputError(
            f"output {graph.outputs[0].name!r} does not depend on an input of the graph"
        )
    return replace(graph, nodes=tuple(kept[::-1]), inputs=inputs)


def _check_other_outputs(at: Reading, nodes: tuple[Node, ...]) -> None:
    """Beside y only final states of the LSTM layers may be given out; `nodes` are all of them."""
    makers = {name: node for node in nodes for name in node.outputs if name}
    waiting = [v.name for v in at.graph.outputs[1:]]
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        node = makers.get(name)
        if name in at.traced and _is_state(at, at.traced[name]):
            continue
        if node is not None and node.op in MOVES | {"Cast"}:
            more = {i for i in node.inputs if i and i not in at.constants} - seen
            seen |= more
            waiting += more
        elif node is None or node.op != "LSTM" or name == node.outputs[0]:
            raise InputError(
                f"has a further output made of {name!r}; beside the first only final states of the"
                " LSTM may be given out"
            )


def _is_state(at: Reading, ids: Ids) -> bool:
    """Are these the h or c of a layer after its last sample?"""
    if ids.ravel().tobytes() in at.cells:
        return True
    stage = at.trace.only(ids)
    if not isinstance(stage, State):
        return False
    time, _, _ = stage.places(at.trace.local(ids))
    return bool((time == at.layers.runs[stage.layer].length - 1).all())


# -- lengths of free axes ------------------------------------------------------------------------


def _free(graph: Graph) -> list[int]:
    """The places of axes whose length the file leaves open, those of signals excepted."""
    places = {
        place
        for value in graph.inputs
        for place, size in enumerate(value.shape or ())
        if not isinstance(size, int)
    }
    return sorted(places)


def _whole_numbers(graph: Graph) -> list[int]:
    """Candidates for a length: small sizes among the constants, and indices and what follows."""
    result: set[int] = set()
    for value in graph.constants.values():
        if value.dtype.kind == "i" and value.size <= 8:
            result.update(int(v) + more for v in value.ravel() for more in (0, 1))
    return sorted((v for v in result if 1 < v < _LONGEST), reverse=True)[:20]


def _other_lengths(graph: Graph, fixed: dict[int, int]) -> list[dict[int, int]]:
    """Each free axis once longer than any slice of the graph reaches."""
    reach = [_LONG]
    for node in graph.nodes:
        for name in node.inputs[1:3] if node.op == "Slice" else ():
            values = np.abs(np.ravel(graph.constants.get(name, 0)).astype(np.float64))
            reach += [int(v) for v in values if v < _LONGEST]
    return [fixed | {place: max(reach) + 2} for place in _free(graph) if place not in fixed]


def _shape(value: Value, lengths: dict[int, int]) -> tuple[int, ...]:
    if not value.shape:
        raise InputError(f"input {value.name!r} has no declared shape, or no axes")
    return tuple(
        size if isinstance(size, int) else lengths.get(place, _SHORT[min(place, 3)])
        for place, size in enumerate(value.shape)
    )


# -- one reading -----------------------------------------------------------------------------------


def _read(graph: Graph, lengths: dict[int, int], every: tuple[Node, ...]) -> Foreign:
    at = Reading(graph, dict(graph.constants))
    shapes = {}
    for value in graph.inputs:
        if value.dtype not in (FLOAT, DOUBLE):
            raise InputError(f"input {value.name!r} is not in single or double precision")
        shape = _shape(value, lengths)
        at.pay(prod(shape), f"input {value.name!r}")
        name = f"input {value.name!r}"
        shapes[name] = shape
        at.traced[value.name] = at.trace.add(Source(name, prod(shape)), shape)
    for node in graph.nodes:
        read(at, node)
    ids = at.traced.get(graph.outputs[0].name)
    if ids is None:
        raise InputError(
            f"output {graph.outputs[0].name!r} does not depend on an input of the graph"
        )
    result = _foreign(at, ids, shapes)
    _check_other_outputs(at, every)
    return result


def _foreign(at: Reading, ids: Ids, shapes: dict[str, tuple[int, ...]]) -> Foreign:
    trace, where = at.trace, f"output {at.graph.outputs[0].name!r}"
    rows = _rows(at, ids)
    y_scale, bias, inner = scalings.output_scaling(trace, rows)
    if any(isinstance(trace.stages[s], State) for s in np.unique(trace.numbers(inner))):
        raise InputError(
            "has no linear head (MatMul or Gemm with constant weights) behind the LSTM"
        )
    affine = trace.affine(inner)
    top, times, batches, C = layers.states(trace, affine, where, at.layers.runs)
    if (times != times[-1]).any():
        if not np.array_equal(np.unique(times), np.arange(at.layers.runs[top].length)):
            raise InputError(f"{where} picks something else than the last or every sample")
    elif times[0] != at.layers.runs[top].length - 1:
        raise InputError(f"{where} picks something else than the last sample of the LSTM's outputs")
    elif times[0]:
        at.notes.append(LAST_ONLY)
    runs = at.layers.stack(top)
    if np.unique(batches).size < runs[0].rows[0].shape[1]:
        raise InputError(f"{where} is that of some batches only; it may take a batch for a sample")
    layers.check_inputs(trace, runs[0], shapes)
    network = stack([run.layer for run in runs], C, affine.shift + bias)
    atoms = np.concatenate(runs[0].rows)
    u_scale, clip = scalings.input_scaling(trace, atoms.reshape(-1, atoms.shape[2]))
    notes = tuple(dict.fromkeys(at.notes))
    return Foreign(network, "ONNX", notes, u_scale, y_scale, clip)


def _rows(at: Reading, ids: Ids) -> Ids:
    """The elements of the output as (rows, ny), a row for each sample of each batch."""
    trace, flat = at.trace, ids.ravel()
    roots = trace.root(flat)
    numbers = trace.numbers(roots)
    keys = np.zeros((flat.size, 3), np.int64)
    for number in np.unique(numbers):
        stage, here = trace.stages[int(number)], numbers == number
        if not isinstance(stage, State):
            trace.affine(flat[None])
            raise InputError(
                "has no linear head (MatMul or Gemm with constant weights) behind the LSTM"
            )
        time, batch, _ = stage.places(roots[here] - trace.firsts[int(number)])
        keys[here] = np.stack([np.full(time.size, stage.layer), time, batch], axis=1)
    result, which, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    if np.unique(counts).size > 1:
        raise InputError("gives a different number of outputs at different samples")
    return flat[np.argsort(which.ravel(), kind="stable")].reshape(len(result), -1)


def _alike(one: Foreign, other: Foreign) -> bool:
    def parts(result: Foreign) -> list[Array]:
        network: Network = result.network
        pairs = [p for p in (result.u_scale, result.y_scale, result.clip) if p is not None]
        gates = [part for layer in network.layers for g in "ifco" for part in layer.gate(g)]
        return [*gates, network.C, network.b_y, *(part for pair in pairs for part in pair)]

    a, b = parts(one), parts(other)
    return len(a) == len(b) and all(map(np.array_equal, a, b))
