"""Networks that are fed with their own outputs: closed into the recursion, or refused by that
name."""

import numpy as np
import pytest
from foreign_nets import (
    Builder,
    framework_run,
    keras_layer,
    keras_stack,
    pytorch,
    sequential,
    weights,
    write_keras,
)
from onnx import TensorProto
from tolerances import ROUND_OFF

from lstm_mpc.certificates.certification import certify
from lstm_mpc.errors import InputError
from lstm_mpc.model.importers.import_file import ImportOptions, import_model
from lstm_mpc.plants.system import Signal, simulate

OUTPUTS = [Signal("CA", "kmol/m3"), Signal("T", "K")]
INPUTS = [Signal("dCA", "kmol/m3", -1.0, 1.0), Signal("dQ", "kJ/h", -1.0, 1.0)]
NET = weights(0, 4, (3,), 2, spread=0.5)
U = np.random.default_rng(2).uniform(-1, 1, (60, 2))


def saved(folder, net=NET):
    np.savez(folder / "net.npz", **pytorch(*net))
    return folder / "net.npz"


def adopt(path, *, inputs=INPUTS, outputs=OUTPUTS, **choice):
    options = ImportOptions(**choice)
    return import_model(path, inputs=inputs, outputs=outputs, Ts=36.0, choice=options)


def closed_loop(net, u, places, start, *, scale=lambda y: y, biases=2):
    """The framework's equations, sample by sample, fed with the outputs before: `places` says for
    each output which input it goes to. The whole past is run again at each sample."""
    layers, C, b_y = net
    rest = [j for j in range(layers[0]["W_i"].shape[1]) if j not in places.values()]
    rows, y = [], np.array(start)
    for k in range(len(u)):
        row = np.zeros(len(rest) + len(places))
        row[rest] = u[k]
        fed = scale(y)
        for output, place in places.items():
            row[place] = fed[output]
        rows.append(row)
        y = framework_run(layers, C, b_y, rows, biases=biases)[-1]
        yield y


def run(model, u):
    return simulate(model.system, np.vstack([u, u[-1:]])).y[1:]


def test_the_recursion_is_the_network_in_its_loop(tmp_path):
    """Zero states give y = b_y before the first sample, which is what goes back then."""
    model = adopt(saved(tmp_path), feedback={"CA": 0, "T": 2})
    theirs = list(closed_loop(NET, U, {0: 0, 1: 2}, NET[2]))
    assert np.abs(run(model, U) - theirs).max() < ROUND_OFF
    notes = model.origin["imported"]["notes"]
    assert (
        "go back (CA into input 0, T into input 2): the model is the closed recursion" in notes[-1]
    )
    assert model.origin["imported"]["feedback"] == {"CA": 0, "T": 2}
    assert model.sizes.nu == 2
    crossed = adopt(saved(tmp_path), feedback={"CA": 2, "T": 0})
    assert np.abs(run(crossed, U) - theirs).max() > 0.01


def test_one_of_two_outputs_goes_back(tmp_path):
    net = weights(1, 3, (4,), 2, spread=0.5)
    model = adopt(saved(tmp_path, net), feedback={"T": 1})
    theirs = list(closed_loop(net, U, {1: 1}, net[2]))
    assert np.abs(run(model, U) - theirs).max() < ROUND_OFF


def test_outputs_and_the_inputs_they_go_to_may_be_scaled_unlike(tmp_path):
    """y = mid + span·v on the way out, (y − u_mid)/u_span on the way in, one number an input."""
    mid, span = np.array([2.0, 300.0]), np.array([0.5, 20.0])
    u_mid, u_span = np.array([1.5, 0.0, 290.0, 0.0]), np.array([0.7, 1.0, 30.0, 1.0])
    model = adopt(
        saved(tmp_path),
        feedback={"CA": 0, "T": 2},
        u_mid=tuple(u_mid),
        u_span=tuple(u_span),
        y_mid=tuple(mid),
        y_span=tuple(span),
    )

    def scale(v):
        return (mid + span * v - u_mid[[0, 2]]) / u_span[[0, 2]]

    theirs = mid + span * list(closed_loop(NET, U, {0: 0, 1: 2}, NET[2], scale=scale))
    assert np.abs((run(model, U) - theirs) / span).max() < ROUND_OFF
    assert model.scaling.u_mid.tolist() == [0.0, 0.0]


def test_scalings_of_the_file_go_with_its_inputs(tmp_path):
    net = weights(0, 2, (3,), 1, spread=0.5)
    stack = keras_stack(net, after=[keras_layer("Rescaling", "r", scale=4.0, offset=2.0)])
    path = write_keras(tmp_path / "net.keras", stack, sequential(stack))
    choice = {"inputs": INPUTS[:1], "outputs": OUTPUTS[:1], "feedback": {"CA": 1}}
    with pytest.raises(InputError, match="scales its outputs and not its inputs; say how the inpu"):
        adopt(path, **choice)
    given = adopt(path, **choice, u_mid=(0.0, 1.0), u_span=(1.0, 5.0))
    before = [keras_layer("Rescaling", scale=[1.0, 0.2], offset=[0.0, -0.2])]
    stack = [stack[0], *before, *stack[1:]]
    path = write_keras(tmp_path / "net.keras", stack, sequential(stack))
    model = adopt(path, **choice)

    def scale(v):
        return (2 + 4 * v - 1) / 5

    u = U[:, :1]
    theirs = 2 + 4 * np.array(list(closed_loop(net, u, {0: 1}, net[2], scale=scale, biases=1)))
    for closed in (given, model):
        assert np.abs(run(closed, u) - theirs).max() < 4 * ROUND_OFF


def test_what_is_certified_is_the_closed_recursion(tmp_path):
    """The same network: its gates alone hold the condition, with strong feedback it fails."""
    layers, C, b_y = weights(0, 2, (3,), 1, spread=0.1)
    layer = dict(layers[0])
    path = saved(tmp_path, (layers, C, b_y))
    choice = {"inputs": INPUTS[:1], "outputs": OUTPUTS[:1], "feedback": {"CA": 1}}
    assert certify(adopt(path, **choice), "delta_iss").holds
    for g in "ifco":
        layer[f"W_{g}"] = layer[f"W_{g}"] * np.array([1, 30], np.float32)
    path = saved(tmp_path, ([layer], C * 30, b_y))
    opened = adopt(path, inputs=[*INPUTS[:1], Signal("y", "m", -1e-3, 1e-3)], outputs=OUTPUTS[:1])
    assert not certify(adopt(path, **choice), "delta_iss").holds
    assert np.array_equal(opened.network.layers[0].U_f, layers[0]["R_f"])


@pytest.mark.parametrize(
    ("feedback", "words"),
    [
        ({"pH": 0}, r"\[import\] feedback names 'pH', which is no output of the design \(CA, T\)"),
        ({"CA": 4}, r"\[import\] feedback CA = 4, but the network has the inputs 0 to 3"),
        ({"CA": -1}, r"\[import\] feedback CA = -1, but"),
        ({"CA": 1, "T": 1}, r"\[import\] feedback sends two outputs to input 1"),
        ({"CA": 0}, "the network has 3 inputs and 2 outputs, the design has 2 and 2"),
    ],
)
def test_places_that_do_not_fit(feedback, words, tmp_path):
    with pytest.raises(InputError, match=words):
        adopt(saved(tmp_path), feedback=feedback)


def test_no_input_is_left(tmp_path):
    with pytest.raises(InputError, match="feedback leaves the network no input of its own"):
        adopt(saved(tmp_path, weights(0, 2, (3,), 2)), feedback={"CA": 0, "T": 1})


def test_a_span_that_is_not_positive(tmp_path):
    with pytest.raises(InputError, match=r"\[import\] u_span = .* must be positive"):
        adopt(saved(tmp_path), feedback={"CA": 0}, u_mid=(0.0,) * 4, u_span=(0.0,) * 4)


def test_the_remedy_is_named_where_inputs_are_too_many(tmp_path):
    words = (
        r"the network has 4 inputs and 2 outputs, the design has 2 and 2; if some of its inputs are"
        r" its own outputs \(autoregressive\), say which by \[import\] feedback = \{ CA = 0 \}"
    )
    with pytest.raises(InputError, match=words):
        adopt(saved(tmp_path))


def test_a_stack_of_layers_is_refused_by_that_name(tmp_path):
    path = saved(tmp_path, weights(0, 4, (3, 2), 2))
    with pytest.raises(
        InputError, match=r"\(autoregressive\), it is not supported with its 2 LSTM"
    ):
        adopt(path)
    with pytest.raises(
        InputError, match=r"has 2 LSTM layers and is fed with its own outputs \(auto"
    ):
        adopt(path, feedback={"CA": 0, "T": 1})


def test_a_clip_of_what_goes_back_is_another_recursion(tmp_path):
    layers, C, b_y = weights(0, 2, (3,), 1)
    for low, refused in ((single([-1, -2]), True), (single([-1, -np.inf]), False)):
        g = Builder()
        x = g.add("Max", "x", g.keep(low))
        h = g.add("Squeeze", g.lstm(x, layers[0]), g.keep(np.array([1])))
        y = g.add("Add", g.add("MatMul", h, g.keep(C.T)), g.keep(b_y))
        path = tmp_path / "net.onnx"
        path.write_bytes(g.bytes([("x", TensorProto.FLOAT, ["T", "B", 2])], [y]))
        choice = {"inputs": INPUTS[:1], "outputs": OUTPUTS[:1], "feedback": {"CA": 1}}
        if refused:
            with pytest.raises(InputError, match="clips the inputs that its own outputs go to"):
                adopt(path, **choice)
        else:
            assert adopt(path, **choice).sizes.nu == 1


def single(value):
    return np.array(value, np.float32)
