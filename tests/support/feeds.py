"""Models with measured inputs, and what such a controller does, retyped in plain loops."""

from dataclasses import replace

import numpy as np
import paper
from builders import plain, stable_model

from lstm_mpc.data.scaling import Scaling
from lstm_mpc.model import lstm

KINDS = {"last": ("manipulated", "measured"), "first": ("measured", "manipulated")}


def fed(seed=0, kinds=KINDS["last"], nx=(3,), ny=1, delays=()):
    """A stable model whose inputs are of these kinds."""
    model = stable_model(seed, nu=len(kinds), nx=nx, ny=ny)
    inputs = tuple(replace(s, kind=kind) for s, kind in zip(model.inputs, kinds, strict=True))
    return replace(model, inputs=inputs, delays=delays)


def folded(model, values):
    """The model without its measured inputs, which stay at `values`: their weights moved into the
    biases of the first layer."""
    at, rest = model.roles.measured, model.roles.manipulated
    first, scaling = model.network.layers[0], model.scaling
    v = ((np.asarray(values) - scaling.u_mid[at]) / scaling.u_span[at])[:, None]
    leaves = {f"U_{g}": getattr(first, f"U_{g}") for g in lstm.GATES}
    for g in lstm.GATES:
        W = getattr(first, f"W_{g}")
        leaves |= {f"W_{g}": W[:, rest], f"b_{g}": getattr(first, f"b_{g}") + W[:, at] @ v}
    return replace(
        model,
        network=replace(model.network, layers=(lstm.Layer(**leaves), *model.network.layers[1:])),
        scaling=Scaling(
            scaling.u_mid[rest],
            scaling.u_span[rest],
            scaling.y_mid,
            scaling.y_span,
            scaling.radius,
        ),
        inputs=model.manipulated,
        delays=tuple(model.delays[j] for j in rest),
    )


class PlainLoop:
    """The open-loop observer and the prediction of a controller, sample after sample, as the paper
    has the network; every input arrives its own delay late, the prediction runs from the moment
    that the quickest one still acts on."""

    def __init__(self, model, gain, begun, y):
        self.layers, self.gain, self.model = plain(model.network), gain, model
        self.C, self.b = model.network.C.tolist(), model.network.b_y.ravel().tolist()
        self.applied = [begun] * (max(model.delays) + 1)  # engineering units, the newest last
        self.chi = [0.0] * model.sizes.n
        for _ in range(3000):
            self.chi = paper.lstm_step(self.layers, self.chi, self._normal(begun))
        self.waiting = [self.output(self.chi)] * (1 + min(model.delays))
        self.d = [a - b for a, b in zip(y, self.waiting[0], strict=True)]

    def _normal(self, u):
        s = self.model.scaling
        return [(u[j] - s.u_mid[j]) / s.u_span[j] for j in range(len(u))]

    def output(self, chi):
        s, y = self.model.scaling, paper.lstm_output(self.layers, self.C, self.b, chi)
        return [s.y_mid[j] + s.y_span[j] * y[j] for j in range(len(y))]

    def correct(self, y):
        expected = self.waiting[0]
        for j in range(len(y)):
            self.d[j] += self.gain * (y[j] - expected[j] - self.d[j])

    def arriving(self, applied):
        """What the network sees of the inputs `applied` until now, without the shared delay."""
        least = min(self.model.delays)
        return [
            applied[len(applied) - 1 - (delay - least)][j]
            for j, delay in enumerate(self.model.delays)
        ]

    def predicted(self, inputs):
        """The outputs now and under the coming inputs (N, all)."""
        chi, applied, found = list(self.chi), list(self.applied), []
        for u in [None, *inputs]:
            if u is not None:
                applied.append(u)
                chi = paper.lstm_step(self.layers, chi, self._normal(self.arriving(applied)))
            found.append([a + b for a, b in zip(self.output(chi), self.d, strict=True)])
        return found

    def advance(self, u):
        self.applied.append(u)
        seen = self._normal(self.arriving(self.applied))
        self.chi = paper.lstm_step(self.layers, self.chi, seen)
        self.waiting = [*self.waiting[1:], self.output(self.chi)]
