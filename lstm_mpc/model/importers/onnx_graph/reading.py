"""What is known while an ONNX graph is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers.onnx_file import Graph, Node
from lstm_mpc.model.importers.onnx_graph.layers import Layers
from lstm_mpc.model.importers.onnx_graph.trace import Ids, Trace

IGNORED_START = (
    "the initial states of the graph are ignored: the start is the simulation's or the observer's"
    " own"
)
_LIMIT = 2**25  # elements that one reading may make
_ACTIVATIONS = frozenset(
    (
        "Celu",
        "Elu",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "LogSoftmax",
        "Mish",
        "PRelu",
        "Relu",
        "Selu",
        "Sigmoid",
        "Softmax",
        "Softplus",
        "Softsign",
        "Swish",
        "Tanh",
        "ThresholdedRelu",
    )
)


@dataclass
class Reading:
    """What is known while the graph is read: constants and traced tensors by name."""

    graph: Graph
    constants: dict[str, Any]
    traced: dict[str, Ids] = field(default_factory=dict)
    trace: Trace = field(default_factory=Trace)
    layers: Layers = field(init=False)
    cells: dict[bytes, Ids] = field(default_factory=dict)  # c after a cell that is written out
    notes: list[str] = field(default_factory=list)
    spent: int = 0

    def __post_init__(self) -> None:
        self.layers = Layers(self.trace)

    def pay(self, size: int, what: str) -> None:
        """Count elements, so that a small file cannot fill the memory."""
        self.spent += size
        if size < 0 or self.spent > _LIMIT:
            raise InputError(
                f"{what} makes this more than {_LIMIT} numbers to follow; export for shorter"
                " sequences and a batch of 1"
            )


def named(node: Node) -> str:
    return f"node {node.op} ({next((n for n in node.outputs if n), '')!r})"


def constant(at: Reading, name: str, what: str) -> Any:
    if name not in at.constants:
        raise InputError(
            f"{what} ({name!r}) is computed from the inputs; the weights must be constants"
        )
    return at.constants[name]


def why_not(op: str) -> str:
    if op in ("GRU", "RNN"):
        return "only LSTM layers can be represented"
    if op in ("Loop", "Scan", "If"):
        return (
            "a graph with control flow cannot be represented; tf2onnx unrolled the LSTM, as it does"
            " for a fixed batch, a mask, or other activations than sigmoid and tanh: export with"
            " Keras' model.export(format='onnx'), or save the model as .keras or its weights as"
            " .npz"
        )
    if op in _ACTIVATIONS:
        return (
            f"the activation {op} cannot be represented; a model has sigmoid and tanh within its"
            " LSTM cells, and all other layers are linear"
        )
    return (
        "cannot be represented; a model is scaling, LSTM layers, one linear head, scaling, and"
        " nothing between but linear layers"
    )
