"""ONNX graphs as exporters put them together, batch first, and their model beside onnxruntime."""

import numpy as np
import pytest
from foreign_nets import Builder, packed, run_onnx
from onnx import TensorProto
from tolerances import SINGLE

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers.gates import LAST_ONLY
from lstm_mpc.model.importers.import_file import import_model, read_foreign
from lstm_mpc.plants.system import Signal, simulate

T = 12
FREE, FIXED = ["B", "T", 1], [2, T, 1]  # batch first


def axes(*values):
    return np.array(values, np.int64)


class Net(Builder):
    """A graph that is batch first, with the parts that exporters put together."""

    def __init__(self, net, shape=FREE):
        super().__init__()
        self.layers, self.C, self.b_y = net
        self.shape = shape

    def sequence(self, x="x", upto=None):
        """(batch, time, 1) through the layers, Y and Y_h of each."""
        x, states = self.add("Transpose", x, perm=[1, 0, 2]), []
        for layer in self.layers[:upto]:
            Y, h, _ = self.lstm(x, layer, outputs=3)
            states.append(h)
            x = self.add("Squeeze", Y, self.keep(axes(1)))
        return x, states

    def dense(self, x, *, gemm=False):
        if gemm:
            return self.add("Gemm", x, self.keep(self.C), self.keep(self.b_y), transB=1)
        return self.add("Add", self.add("MatMul", x, self.keep(self.C.T)), self.keep(self.b_y))

    def done(self, y, rank=3, **options):
        return self.bytes([("x", TensorProto.FLOAT, self.shape)], [y], rank=rank, **options)


def time_distributed(net, *, odd=None):
    """A head for each sample by itself; `odd` weights for one of them."""
    g = Net(net, FIXED)
    x, _ = g.sequence()
    outputs = []
    for k in range(T):
        row = g.add("Slice", x, g.keep(axes(k)), g.keep(axes(k + 1)), g.keep(axes(0)))
        h = g.add("Squeeze", row, g.keep(axes(0)))
        C = g.C if odd is None or k != 5 else odd
        y = g.add("Add", g.add("MatMul", h, g.keep(C.T)), g.keep(g.b_y))
        outputs.append(g.add("Unsqueeze", y, g.keep(axes(1))))
    return g.done(g.add("Concat", *outputs, axis=1))


def cell(g, layer, x, h, c, *, keras=False):
    """One step as sigmoid, tanh, sums and products: nn.LSTMCell, or Keras with unroll=True."""
    order = "ifco"
    W, R, b, rb = (packed(layer, kind, order) for kind in ("W", "R", "b", "rb"))
    if keras:
        total = g.add("Add", g.add("MatMul", x, g.keep(W.T)), g.add("MatMul", h, g.keep(R.T)))
        total = g.add("Add", total, g.keep(b + rb))
    else:
        one = g.add("Gemm", x, g.keep(W), g.keep(b), transB=1)
        two = g.add("Gemm", h, g.keep(R), g.keep(rb), transB=1)
        total = g.add("Add", one, two)
    i, f, k, o = g.add("Split", total, g.keep(axes(*[len(R[0])] * 4)), outputs=4, axis=1)
    kept = g.add("Mul", g.add("Sigmoid", f), c)
    new = g.add("Mul", g.add("Sigmoid", i), g.add("Tanh", k))
    c = g.add("Add", *((kept, new) if keras else (new, kept)))
    return g.add("Mul", g.add("Sigmoid", o), g.add("Tanh", c)), c


def unrolled(net, *, keras=False, steps=T, layers=None):
    """A loop over all samples; `layers` lets one sample use others."""
    g = Net(net, [2, steps, 1])
    states = [(g.keep(np.zeros((2, len(layer["b_i"])), "f4")),) * 2 for layer in g.layers]
    outputs = []
    for k in range(steps):
        x = g.add("Gather", "x", g.keep(np.array(k)), axis=1)
        for number, layer in enumerate(g.layers if layers is None or k != 4 else layers):
            states[number] = cell(g, layer, x, *states[number], keras=keras)
            x = states[number][0]
        outputs.append(g.add("Unsqueeze", g.dense(x), g.keep(axes(1))))
    return g.done(g.add("Concat", *outputs, axis=1))


def agrees(folder, data, *, nu=1, ny=1, shape=None, last=False, feed="x", notes=()):
    """Is the model's y, input by input of a batch of two, what onnxruntime gives?"""
    path = folder / "net.onnx"
    path.write_bytes(data)
    u = np.random.default_rng(3).uniform(-1, 1, (2, T, nu)).astype(np.float32)
    there = u if shape is None else u.reshape(shape)
    theirs = run_onnx(data, {feed: there} if isinstance(feed, str) else feed(u))[0]
    theirs = theirs.reshape(2, 1 if last else T, ny)
    model = import_model(
        path,
        inputs=[Signal(f"u{j}", "V", -1.0, 1.0) for j in range(nu)],
        outputs=[Signal(f"y{j}", "m") for j in range(ny)],
        Ts=1.0,
    )
    for batch in range(2):
        y = simulate(model.system, np.vstack([u[batch], u[batch, -1:]]).astype(float)).y[1:]
        assert np.abs(y[-1:] - theirs[batch] if last else y - theirs[batch]).max() < SINGLE
    expected = ([LAST_ONLY] if last else []) + list(notes)
    assert sorted(model.origin["imported"]["notes"]) == sorted(expected)
    return model


def refused(folder, data, words):
    (folder / "net.onnx").write_bytes(data)
    with pytest.raises(InputError, match=words):
        read_foreign(folder / "net.onnx")
