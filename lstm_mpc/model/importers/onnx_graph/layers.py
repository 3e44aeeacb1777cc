"""The LSTM layers of a traced ONNX graph: what each reads, how long it runs, and their stack."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers.gates import folded
from lstm_mpc.model.importers.onnx_graph.trace import Affine, Ids, Source, State, Trace
from lstm_mpc.model.lstm import GATES, Layer
from lstm_mpc.plants.system import Array


@dataclass
class Run:
    """One layer, with what is linear below it folded into its weights. It reads layer `below`, or
    (−1) the inputs `rows`, (samples, batches, signals) each; `recurrent` is false while its U are
    not known, since the first cell of an unrolled loop has none, and `stepped` true where its
    first states are inputs of the graph."""

    where: str
    layer: Layer
    below: int
    rows: list[Ids]
    length: int
    recurrent: bool = True
    stepped: bool = False


@dataclass(frozen=True)
class Start:
    """Where a layer goes on: after sample `time` of `layer`, −1 from states that are inputs."""

    layer: int
    time: int


FROM_INPUTS = Start(-1, -1)


@dataclass
class Layers:
    trace: Trace
    runs: list[Run] = field(default_factory=list)

    def run(
        self, where: str, layer: Layer, x: Ids, start: Start | None, *, recurrent: bool = True
    ) -> tuple[Ids, Ids]:
        """The layer along x (samples, batches, signals): h (samples, batches, cells) and the last
        c (batches, cells)."""
        T, B, N = x.shape
        affine = self.trace.affine(x.reshape(-1, N))
        if layer.nu != N:
            raise InputError(f"{where}: reads {layer.nu} signals, its input has {N}")
        below, atoms, times, batches, affine = self._reads(where, affine, T, B)
        layer = folded(layer, affine.M, affine.shift)
        number = self._number(where, layer, below, start, recurrent)
        run = self.runs[number]
        first = run.length
        moved = (times != np.arange(first, first + T)[:, None]) | (batches != batches[:1])
        if below >= 0 and moved.any():
            raise InputError(
                f"{where}: does not run along the samples of the layer before in order"
            )
        run.length += T
        if below < 0:
            run.rows.append(atoms.reshape(T, B, -1))
        labels = batches[0] if below >= 0 else np.arange(B)
        h = State(where, number, True, np.arange(first, first + T), labels, layer.nx)
        c = State(where, number, False, np.array([first + T - 1]), labels, layer.nx)
        return self.trace.add(h, (T, B, layer.nx)), self.trace.add(c, (B, layer.nx))

    def _reads(
        self, where: str, affine: Affine, T: int, B: int
    ) -> tuple[int, Ids, Ids, Ids, Affine]:
        """Which layer is below (−1: the inputs), atoms, their samples and batches (T, B)."""
        empty = np.zeros((T, B), np.int64)
        if all(self.trace.raw[s] for s in np.unique(self.trace.numbers(affine.atoms))):
            affine = inputs_in_order(self.trace, affine, where)
            return -1, affine.atoms, empty, empty, affine
        layer, times, batches, M = states(self.trace, affine, where, self.runs)
        affine = Affine(affine.atoms, M, affine.shift)
        return layer, affine.atoms, times.reshape(T, B), batches.reshape(T, B), affine

    def _number(
        self, where: str, layer: Layer, below: int, start: Start | None, recurrent: bool
    ) -> int:
        """The layer's number: a new one, or that of the layer it goes on with."""
        if start is None or start.layer < 0:
            self.runs.append(Run(where, layer, below, [], 0, recurrent, start is not None))
            return len(self.runs) - 1
        run = self.runs[start.layer]
        alike = below == run.below and layer.nx == run.layer.nx and layer.nu == run.layer.nu
        if not alike or start.time != run.length - 1 or not _equal(layer, run.layer, run.recurrent):
            raise InputError(
                f"{where}: starts from the states of another LSTM ({run.where}); an encoder and a"
                " decoder, or a state handed from layer to layer, cannot be represented"
            )
        if recurrent and not run.recurrent:
            run.layer, run.recurrent = layer, True
        return start.layer

    def stack(self, top: int) -> list[Run]:
        """The layers from the input up to `top`."""
        chain: list[Run] = []
        while top >= 0:
            chain.append(self.runs[top])
            top = chain[-1].below
        for run in chain:
            if not run.recurrent or (run.length == 1 and not run.stepped):
                raise InputError(
                    f"{run.where}: runs over one sample from a fixed start, so that its states are"
                    " never used; export it for several samples, or with its states as inputs"
                )
        return chain[::-1]


def _equal(one: Layer, other: Layer, recurrent: bool) -> bool:
    """Are two layers the same but for round-off of what exporters fold? U only where known."""
    for g in GATES:
        for a, b, matters in zip(one.gate(g), other.gate(g), (True, recurrent, True), strict=True):
            if matters and not np.allclose(a, b, rtol=1e-6, atol=1e-7):
                return False
    return True


def inputs_in_order(trace: Trace, affine: Affine, where: str) -> Affine:
    """The same function with its input signals in the order of the graph's inputs."""
    roots = trace.root(affine.atoms)
    order = np.argsort(roots[0], kind="stable")
    if (np.diff(roots[:, order], axis=1) <= 0).any():
        raise InputError(f"{where}: does not read the same input signals at every sample")
    return Affine(affine.atoms[:, order], affine.M[:, order], affine.shift)


def states(
    trace: Trace, affine: Affine, where: str, runs: list[Run]
) -> tuple[int, Ids, Ids, Array]:
    """The one layer whose h the rows read, sample and batch of each row, and M for all cells."""
    atoms = affine.atoms
    layer, time, batch, cell = (np.empty(atoms.shape, np.int64) for _ in range(4))
    numbers = trace.numbers(atoms)
    for number in np.unique(numbers):
        stage, here = trace.stages[number], numbers == number
        if not isinstance(stage, State):
            raise InputError(
                f"{where}: joins the inputs with the states of an LSTM (a connection around a"
                " layer); only what a layer gives can go on to the next"
            )
        if not stage.hidden:
            raise InputError(
                f"{where}: the path goes through the cell state Y_c of an LSTM; y = C ξ + b_y reads"
                " the hidden state only"
            )
        layer[here] = stage.layer
        time[here], batch[here], cell[here] = stage.places(atoms[here] - trace.firsts[number])
    if np.unique(layer).size > 1:
        raise InputError(f"{where}: joins the states of several LSTM layers")
    if (time != time[:, :1]).any() or (batch != batch[:, :1]).any() or (cell != cell[:1]).any():
        raise InputError(f"{where}: joins several samples; one sample's states can be read at once")
    M = np.zeros((len(affine.M), runs[int(layer[0, 0])].layer.nx))
    np.add.at(M.T, cell[0], affine.M.T)
    return int(layer[0, 0]), time[:, 0], batch[:, 0], M


def check_inputs(trace: Trace, run: Run, shapes: dict[str, tuple[int, ...]]) -> list[Source]:
    """The inputs that the first layer reads, each sample once and in order; InputError if not."""
    roots = trace.root(np.concatenate(run.rows))  # (samples, batches, signals)
    numbers = trace.numbers(roots)
    sources = [trace.stages[int(s)] for s in np.unique(numbers)]
    named = [source for source in sources if isinstance(source, Source)]
    if np.unique(roots).size != roots.size or roots.size != sum(s.size for s in named):
        raise InputError(
            f"{run.where}: does not read every sample of {', '.join(s.node for s in named)} once;"
            " export for sequences of the length that it reads"
        )
    if (np.diff(roots, axis=0) <= 0).any():
        raise InputError(f"{run.where}: runs against the order of the samples, reads the future")
    local = trace.local(roots)
    for number in np.unique(numbers):
        columns = numbers[0, 0] == number
        for place in np.unravel_index(local[:, :, columns], shapes[trace.stages[int(number)].node]):
            if (place != place[:, :1]).any() and (place != place[:1, :, :1]).any():
                raise InputError(f"{run.where}: mixes the samples of different batches")
    return named
