"""An ONNX model of a released model: engineering units outside, one ONNX LSTM node per layer
inside, a state that goes in and out.

Runtimes know the LSTM node in single precision only, so that its weights and states are rounded to
24 bits; scalings, clipping and the head are in double precision."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lstm_mpc.certificates.gate import Release, checked
from lstm_mpc.errors import InputError
from lstm_mpc.io.templates import render
from lstm_mpc.model.importers.gates import stacked
from lstm_mpc.model.importers.onnx_file import DOUBLE, FLOAT, Graph, Node, Tensor, Value, serialise
from lstm_mpc.model.lstm import Layer
from lstm_mpc.model.model import Model

KIND = "lstm_mpc ONNX model"
FILE = "model.onnx"


def onnx_model(release: Release) -> dict[str, str | bytes]:
    """The files of the ONNX model, name -> text or bytes. The same release gives the same bytes."""
    release = checked(release)
    model = release.model
    if any(model.delays):
        raise InputError(
            f"ONNX: its LSTM node knows no input delays, and this model has {list(model.delays)};"
            " use --target c or fmu"
        )
    properties = {"model": model.digest, "Ts [s]": repr(model.Ts)}
    for role, signals in (("input", model.inputs), ("output", model.outputs)):
        properties |= {f"{role} {j}": s.label for j, s in enumerate(signals)}
    claims = release.claims()
    text = render("export", "onnx/doc_string.txt", claims=claims)
    data = serialise(
        graph_of(model), name=model.name, producer="lstm_mpc", text=text, properties=properties
    )
    return {
        FILE: data,
        "README.md": render("export", "onnx/README.md", model=model, file=FILE, claims=claims),
    }


@dataclass
class _Writer:
    """Nodes and constants as they are added; every node is named after what it makes."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)

    def keep(self, name: str, value: Any) -> str:
        self.constants[name] = np.array(value)
        return name

    def add(self, made: str, op: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(Node(op, inputs, (made,), attributes))
        return made


def graph_of(model: Model) -> Graph:
    """u (N, nu), optional chi (n,) → y_next (N, ny): row k is y(k+1); chi_next (n,) is the state
    after the last sample."""
    g, scaling, network = _Writer(), model.scaling, model.network
    g.keep("chi", np.zeros(model.sizes.n))
    u = g.add("u_above", "Max", "u", g.keep("u_low", model.u_low))
    u = g.add("u_clipped", "Min", u, g.keep("u_high", model.u_high))
    u = g.add("u_centred", "Sub", u, g.keep("u_mid", scaling.u_mid))
    u = g.add("u_normalised", "Div", u, g.keep("u_span", scaling.u_span))
    u = g.add("u_single", "Cast", u, to=FLOAT)
    below = g.add("u_batch", "Unsqueeze", u, g.keep("axis_batch", [1]))
    starts, ends = _split_state(g, model), []
    for number, layer in enumerate(network.layers):
        Y, ends_of = _lstm(g, number, layer, below, starts[number])
        ends += ends_of
        if layer is not network.layers[-1]:
            below = g.add(f"xi{number}_sequence", "Squeeze", Y, "axis_batch")
    xi = g.add("xi_single", "Squeeze", Y, g.keep("axes_inner", [1, 2]))
    y = g.add("y_head", "MatMul", g.add("xi", "Cast", xi, to=DOUBLE), g.keep("C", network.C.T))
    y = g.add("y_normalised", "Add", y, g.keep("b_y", network.b_y[:, 0]))
    y = g.add("y_scaled", "Mul", y, g.keep("y_span", scaling.y_span))
    g.add("y_next", "Add", y, g.keep("y_mid", scaling.y_mid))
    g.add("chi_next", "Cast", g.add("chi_next_single", "Concat", *ends, axis=0), to=DOUBLE)
    return Graph(
        tuple(g.nodes),
        g.constants,
        (Value("u", DOUBLE, ("N", len(model.inputs))),),
        (
            Value("y_next", DOUBLE, ("N", len(model.outputs))),
            Value("chi_next", DOUBLE, (model.sizes.n,)),
        ),
        (Value("chi", DOUBLE, (model.sizes.n,)),),
    )


def _split_state(g: _Writer, model: Model) -> list[tuple[str, str]]:
    """Per layer the names of x and ξ, each (1, 1, nx), out of χ = [x₁; ξ₁; x₂; …]."""
    chi = g.add("chi_single", "Cast", "chi", to=FLOAT)
    names = [(f"x{number}", f"xi{number}") for number in range(len(model.network.layers))]
    flat = tuple(f"{name}_flat" for pair in names for name in pair)
    g.nodes.append(
        Node(
            "Split",
            (chi, g.keep("sizes", [nx for nx in model.sizes.nx for _ in range(2)])),
            flat,
            {"axis": 0},
        )
    )
    g.keep("axes_outer", [0, 1])
    for name in flat:
        g.add(name.removesuffix("_flat"), "Unsqueeze", name, "axes_outer")
    return names


def _lstm(
    g: _Writer, number: int, layer: Layer, below: str, start: tuple[str, str]
) -> tuple[str, list[str]]:
    """The node of one layer: the name of its outputs (N, 1, 1, nx), and of x and ξ after the last
    sample."""
    W, U, b = stacked(layer, "ONNX")
    first = b.astype(np.float32)  # the node's two biases together keep twice the digits of one
    both = np.concatenate([first, b - first]).astype(np.float32)
    weights = [
        g.keep(f"{name}{number}", part.astype(np.float32)[None])
        for name, part in (("W", W), ("R", U), ("B", both))
    ]
    x, xi = start
    made = (f"xi{number}_all", f"xi{number}_last", f"x{number}_last")
    g.nodes.append(Node("LSTM", (below, *weights, "", xi, x), made, {"hidden_size": layer.nx}))
    return made[0], [
        g.add(f"{last}_flat", "Squeeze", last, "axes_outer") for last in (made[2], made[1])
    ]
