"""Keras models (.keras, .h5) as data: the numbers of the framework's equations, every reason for
which one is refused, and nothing in a file that is run or followed out of it."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest
from foreign_nets import (
    framework_run,
    functional,
    keras_dense,
    keras_layer,
    keras_lstm,
    keras_stack,
    sequential,
    weights,
    write_h5,
    write_keras,
)
from tolerances import ROUND_OFF

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers import weights as weights_module
from lstm_mpc.model.importers.gates import LAST_ONLY
from lstm_mpc.model.importers.import_file import import_model, read_foreign
from lstm_mpc.model.importers.keras_file import hdf5, hdf5_process
from lstm_mpc.plants.system import Signal, simulate


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """Files that are whole need no process of their own; test_hdf5_file.py has the others."""
    monkeypatch.setattr(hdf5, "_ask", hdf5_process.answer)


WRITERS = {"keras": write_keras, "h5": write_h5}
U = np.random.default_rng(4).uniform(-1, 1, (40, 1))


@pytest.fixture(params=WRITERS)
def kind(request):
    return request.param


def saved(folder, kind, stack, model=None, **options):
    return WRITERS[kind](folder / f"net.{kind}", stack, model or sequential(stack), **options)


def shifted(path, u=U, ny=1):
    """The model's y(k+1), which is Keras' y_t."""
    model = import_model(
        path,
        inputs=[Signal(f"u{j}", "V", -9.0, 9.0) for j in range(u.shape[1])],
        outputs=[Signal(f"y{j}", "m") for j in range(ny)],
        Ts=1.0,
        choice=None,
    )
    return simulate(model.system, np.vstack([u, u[-1:]])).y[1:]


def refused(path, words):
    with pytest.raises(InputError, match=words) as caught:
        read_foreign(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


# -- the same numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", [(3,), (3, 2)])
@pytest.mark.parametrize("form", ["sequential", "functional", "functional of Keras 2"])
def test_a_model_and_its_equations(kind, form, cells, tmp_path):
    net = weights(0, 1, cells, 2)
    stack = keras_stack(net, before=[keras_layer("Dropout", rate=0.5)])
    model = sequential(stack) if form == "sequential" else functional(stack, third=form[-1] != "2")
    path = saved(tmp_path, kind, stack, model)
    y = framework_run(*net, U / 9, biases=1)
    assert np.abs(shifted(path, ny=2) - y).max() < ROUND_OFF
    result = read_foreign(path)
    assert result.notes == ()
    assert result.kind == f"Keras model (.{kind})"
    assert len(result.sha256) == 64


def test_layers_are_found_by_the_names_they_carry(tmp_path):
    """Layers in another order of numbers than of places: the names decide where there are any."""
    (one, two), C, b_y = net = weights(0, 1, (3, 3))
    stack = [keras_lstm(one, "zz"), keras_lstm(two, "aa"), keras_dense(C, b_y)]
    for container in ("layers", "_layer_checkpoint_dependencies"):
        for carried in (False, True):
            path = saved(tmp_path, "keras", stack, container=container, carried=carried)
            y = framework_run(*net, U / 9, biases=1)
            assert np.abs(shifted(path) - y).max() < ROUND_OFF


def test_the_last_sample_is_said(kind, tmp_path):
    path = saved(tmp_path, kind, keras_stack(weights(0), return_sequences=False))
    assert read_foreign(path).notes == (LAST_ONLY,)


def test_scalings_within_the_model(kind, tmp_path):
    """u/2 − 1, then (v − 0.5)/3 on the way in, 4y + 2 on the way out."""
    net = weights(0)
    before = [
        keras_layer("Rescaling", scale=0.5, offset=-1.0),
        keras_layer("Normalization", mean=[0.5], variance=[9.0], axis=[-1]),
    ]
    stack = keras_stack(
        net, before=before, after=[keras_layer("Rescaling", "r", scale=4, offset=2)]
    )
    result = read_foreign(saved(tmp_path, kind, stack))
    assert np.allclose(result.u_scale, [[3.0], [6.0]], rtol=0, atol=1e-15)
    assert np.allclose(result.y_scale, [[2.0], [4.0]], rtol=0, atol=0)
    y = 4 * framework_run(*net, ((U / 2 - 1) - 0.5) / 3, biases=1) + 2
    assert np.abs(shifted(saved(tmp_path, kind, stack)) - y).max() < ROUND_OFF


def test_an_adapted_normalisation_keeps_its_numbers_as_weights(kind, tmp_path):
    arrays = {"mean": single([2.0]), "variance": single([4.0]), "count": np.array(7)}
    layer = keras_layer("Normalization", arrays=arrays, mean=None, variance=None)
    stack = keras_stack(weights(0), before=[layer])
    assert np.allclose(read_foreign(saved(tmp_path, kind, stack)).u_scale, [[2.0], [2.0]])
    undone = keras_layer("Normalization", arrays=arrays, mean=None, variance=None, invert=True)
    stack = keras_stack(weights(0), after=[undone])
    assert np.allclose(read_foreign(saved(tmp_path, kind, stack)).y_scale, [[2.0], [2.0]])


def single(value):
    return np.array(value, np.float32)


def test_linear_layers_anywhere_are_folded(kind, tmp_path):
    """A projection in front, a batch normalisation between, two Dense layers behind."""
    net, rng = weights(0, 2, (3, 3), 2), np.random.default_rng(1)

    def random(*shape):
        return single(rng.uniform(-0.8, 0.8, shape))

    P, p, D, d = random(2, 2), random(2), random(1, 2), random(1)
    gamma, beta, mean, variance = random(3), random(3), random(3), np.abs(random(3)) + single(0.1)
    statistics = {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
    stack = keras_stack(
        net,
        before=[keras_dense(P, p, "front")],
        between=[keras_layer("BatchNormalization", arrays=statistics, epsilon=1e-3)],
        after=[keras_layer("Activation", activation="linear"), keras_dense(D, d, "behind")],
    )
    stack = [*stack[:1], stack[1], *stack[2:]]
    places = {"front": "dense", "dense": "dense_1", "behind": "dense_2"}
    assert [c["config"]["name"] for c, _ in stack if c["class_name"] == "Dense"] == list(places)
    u = np.random.default_rng(4).uniform(-1, 1, (40, 2))
    v = u @ P.T.astype(float) + p
    (one, two), C, b_y = net
    h = framework_run([one], np.eye(3), np.zeros(3), v, biases=1)
    h = gamma.astype(float) * (h - mean) / np.sqrt(variance.astype(float) + 1e-3) + beta
    y = framework_run([two], C, b_y, h, biases=1) @ D.T.astype(float) + d
    path = saved(tmp_path, kind, stack)
    assert np.abs(shifted(path, 9 * u) - y).max() < ROUND_OFF


def test_cells_and_layers_that_hold_another(kind, tmp_path):
    """RNN(LSTMCell) and TimeDistributed(Dense)."""
    (layer,), C, b_y = net = weights(0)
    lstm, dense = keras_lstm(layer, "rnn"), keras_dense(C, b_y, "inner")
    cell = {"class_name": "LSTMCell", "config": lstm[0]["config"]}
    rnn = keras_layer("RNN", "rnn", lstm[1], cell=cell, return_sequences=True)
    spread = keras_layer("TimeDistributed", "spread", dense[1], layer=dense[0])
    y = framework_run(*net, U / 9, biases=1)
    assert np.abs(shifted(saved(tmp_path, kind, [rnn, spread])) - y).max() < ROUND_OFF
    cell["config"]["activation"] = "relu"
    refused(saved(tmp_path, kind, [rnn, spread]), "layer 'rnn' has the activation 'relu'")
    cell["class_name"] = "GRUCell"
    refused(saved(tmp_path, kind, [rnn, spread]), r"'rnn' \(RNN\) holds 'GRUCell'; only LSTMCell")


def test_a_window_of_one_signal_and_what_changes_nothing(kind, tmp_path):
    reshape = keras_layer("Reshape", target_shape=[12, 1])
    stack = keras_stack(weights(0), before=[reshape], return_sequences=False)
    stack.insert(-1, keras_layer("Flatten"))
    assert read_foreign(saved(tmp_path, kind, stack)).network.nx == (3,)
    stack = keras_stack(weights(0), after=[reshape])
    refused(saved(tmp_path, kind, stack), r"layer 'reshape' \(Reshape\) mixes samples and signals")
    stack = keras_stack(weights(0), between=[keras_layer("Flatten")])
    refused(saved(tmp_path, kind, stack), r"layer 'flatten' \(Flatten\) mixes samples and signals")


def test_inputs_side_by_side(kind, tmp_path):
    """Two inputs put together in their order are inputs; in another order they are refused."""
    net = weights(0, 2)
    stack = keras_stack(net)
    model = functional(stack)
    layers, ends = model["config"]["layers"], model["config"]
    second = {**keras_layer("InputLayer", "second")[0], "inbound_nodes": []}
    ends["input_layers"] = [["input", 0, 0], ["second", 0, 0]]
    for order, words in ((["input", "second"], None), (["second", "input"], "joins 2 layers")):
        joined = keras_layer("Concatenate", "join", axis=-1)[0]
        nodes = [[[name, 0, 0, {}] for name in order]]
        ends["layers"] = [
            layers[0],
            second,
            {**joined, "inbound_nodes": nodes},
            {**layers[1], "inbound_nodes": [[["join", 0, 0, {}]]]},
            *layers[2:],
        ]
        path = saved(tmp_path, kind, stack, model)
        if words:
            refused(path, words)
        else:
            assert read_foreign(path).network.nu == 2


# -- refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"activation": "relu"}, "layer 'lstm' has the activation 'relu'; only tanh can be"),
        ({"recurrent_activation": "hard_sigmoid"}, "recurrent_activation 'hard_sigmoid'; only sig"),
        ({"activation": {"class_name": "function", "config": "mine"}}, "has the activation 'mine'"),
        ({"go_backwards": True}, "layer 'lstm' has go_backwards, which reads the future"),
        ({"units": 7}, "layer 'lstm' has units = 7 and weights of 3 cells"),
    ],
)
def test_settings_of_an_lstm(kind, config, words, tmp_path):
    refused(saved(tmp_path, kind, keras_stack(weights(0), **config)), words)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (keras_layer("Lambda", function="<code>"), r"\(Lambda\) holds code, which is never run"),
        (keras_layer("Bidirectional"), r"layer 'bidirectional' \(Bidirectional\) reads the future"),
        (keras_layer("GRU"), r"\(GRU\) is a GRU; only LSTM layers"),
        (keras_layer("SimpleRNN"), r"\(SimpleRNN\) is a plain RNN"),
        (keras_layer("Masking"), r"\(Masking\) leaves samples out by their value"),
        (keras_layer("RepeatVector"), r"\(RepeatVector\) repeats one sample"),
        (keras_layer("LayerNormalization"), r"\(LayerNormalization\) cannot be represented; a mod"),
        (keras_layer("my>Thing"), r"\(Thing\) cannot be represented"),
        (
            keras_layer("Activation", activation="relu"),
            "layer 'activation' has the activation 'rel",
        ),
        (keras_layer("Rescaling", scale=float("nan")), r"has scale = \[nan\], not finite numbers"),
        (keras_layer("Rescaling", scale={}), r"settings of layers that are no numbers where Keras"),
        (keras_layer("x" * 300), "is not that of a Keras model .*: a name is no printable text"),
        (keras_layer("Rescaling", scale=-1.0), r"scaling has the span \[-1.0\]; spans must be pos"),
        (keras_layer("Rescaling", scale=[1.0, 2.0]), r"scaling has 2 values for 1 signals"),
        (keras_layer("Normalization"), "layer 'normalization' has no mean and variance; adapt it"),
    ],
)
def test_layers_behind_or_in_front(kind, layer, words, tmp_path):
    for where in ("before", "after"):
        refused(saved(tmp_path, kind, keras_stack(weights(0), **{where: [layer]})), words)


@pytest.mark.parametrize(
    ("stack", "words"),
    [
        (keras_stack(weights(0))[:-1], "has no LSTM layer with a Dense layer behind it"),
        ([keras_dense(*weights(0)[1:])], "has no LSTM layer with a Dense layer behind it"),
        (
            [*keras_stack(weights(0))[:-1], keras_dense(*weights(0)[1:], activation="tanh")],
            "layer 'dense' has the activation 'tanh'; outside the LSTM layers only linear",
        ),
        (
            keras_stack(weights(0, 1, (3, 3)), return_sequences=False),
            "layer 'lstm_1' follows a layer that gives its last sample only",
        ),
        (
            [
                *keras_stack(weights(0)),
                keras_layer("Rescaling", scale=2),
                keras_dense(single([[1]]), single([0]), "d2"),
            ],
            "layer 'd2' follows the scaling of the outputs",
        ),
        (
            [*keras_stack(weights(0)), keras_dense(single([[1, 1]]), single([0]), "d2")],
            "layer 'd2' does not fit the layer before it or its own bias",
        ),
        (
            keras_stack(weights(0), between=[keras_layer("Rescaling", scale=[1.0, 2.0])]),
            "layer 'rescaling' does not fit the 3 signals before",
        ),
        (
            [*keras_stack(weights(0))[:2], keras_lstm(weights(1, 2)[0][0], "second")],
            "layer 'second' reads 2 signals, the layer before gives 3",
        ),
        (
            keras_stack(
                weights(0),
                between=[keras_layer("BatchNormalization", "bn", {"beta": single([1])})],
            ),
            "layer 'bn' has no array 'gamma'|layer 'bn' has no array 'beta'",
        ),
        (
            keras_stack(weights(0, dtype=np.float16)),
            "tensor 'lstm/(kernel|bias)' is float16; save it as float32 or float64",
        ),
    ],
)
def test_layers_that_do_not_fit(kind, stack, words, tmp_path):
    refused(saved(tmp_path, kind, stack), words)


def test_arrays_that_do_not_fit(kind, tmp_path):
    stack = keras_stack(weights(0))
    del stack[1][1]["recurrent_kernel"]
    words = "layer 'lstm' has no array 'recurrent_kernel' of two axes|has an array '2' that"
    refused(saved(tmp_path, kind, stack), words)
    stack = keras_stack(weights(0))
    stack[2] = (stack[2][0], {})
    refused(saved(tmp_path, kind, stack), "layer 'dense' has no array 'kernel' of two axes")
    stack = keras_stack(weights(0))
    stack[2][1]["lora_kernel_a"] = np.zeros((3, 1), np.float32)
    words = "layer 'dense' has an array '(lora_kernel_a|2)' that nothing explains"
    refused(saved(tmp_path, kind, stack), words)


def test_two_arrays_of_one_name(tmp_path):
    path = saved(tmp_path, "h5", keras_stack(weights(0)))
    with h5py.File(path, "a") as file:
        file["model_weights/lstm/other/kernel"] = np.zeros((1, 12), np.float32)
    refused(path, "layer 'lstm' has two arrays 'kernel'")


def test_graphs_of_layers_that_are_no_chain(kind, tmp_path):
    def changed(change):
        stack = keras_stack(weights(0))
        model = functional(stack)
        change(model["config"])
        return saved(tmp_path, kind, stack, model)

    def several(config):
        config["output_layers"] = [["dense", 0, 0], ["lstm", 0, 0]]

    def twice(config):
        config["layers"][1]["inbound_nodes"] *= 2

    def around(config):
        config["layers"][2]["inbound_nodes"] = [[["lstm", 0, 0, {}], ["input", 0, 0, {}]]]

    def cell_state(config):
        config["layers"][2]["inbound_nodes"] = [[["lstm", 0, 2, {}]]]

    def state(config):
        config["layers"][2]["inbound_nodes"] = [[["lstm", 0, 1, {}]]]

    def circle(config):
        config["layers"][1]["inbound_nodes"] = [[["dense", 0, 0, {}]]]

    def deep(config):
        nodes = [["lstm", 0, 0]]
        for _ in range(40):
            nodes = [nodes]
        config["layers"][2]["inbound_nodes"] = nodes

    refused(changed(several), "gives 2 outputs; save a model with one")
    refused(changed(twice), "layer 'lstm' is used 2 times")
    refused(changed(around), r"layer 'dense' \(Dense\) joins 2 layers, .* one chain of layers")
    refused(changed(cell_state), "the cell state of layer 'lstm' goes on; only h can be read")
    assert read_foreign(changed(state)).notes == (LAST_ONLY,)
    refused(changed(circle), "layer 'dense' reads its own output, which cannot be represented")
    refused(changed(deep), "its configuration is nested too deeply")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"class_name": "Mine", "config": {"layers": []}}, "is a model of the class 'Mine', which"),
        ({"class_name": "Sequential"}, r"is not that of a Keras model \(KeyError"),
        ({"class_name": "Sequential", "config": 3}, "is not that of a Keras model"),
        ([1, 2], "is not that of a Keras model"),
        ({"class_name": "Functional", "config": {"layers": []}}, "is not that of a Keras model"),
    ],
)
def test_configurations_that_are_none(kind, model, words, tmp_path):
    refused(saved(tmp_path, kind, keras_stack(weights(0)), model), words)


# -- files without a configuration -----------------------------------------------------------------


def test_weights_alone(tmp_path):
    """`model.save_weights`: by name in Keras 2, by number in Keras 3; activations are assumed."""
    net = weights(0, 1, (3, 2))
    y = framework_run(*net, U / 9, biases=1)
    stack = keras_stack(net)
    with h5py.File(tmp_path / "two.h5", "w") as file:
        for config, arrays in stack[1:]:
            name = config["config"]["name"]
            for key, value in arrays.items():
                inner = "/lstm_cell" if "recurrent_kernel" in arrays else ""
                file[f"{name}/{name}{inner}/{key}:0"] = value
    write_keras(tmp_path / "net.keras", stack, sequential(stack))
    with zipfile.ZipFile(tmp_path / "net.keras") as archive:
        (tmp_path / "three.weights.h5").write_bytes(archive.read("model.weights.h5"))
    for name in ("two.h5", "three.weights.h5"):
        assert np.abs(shifted(tmp_path / name) - y).max() < ROUND_OFF
        assert read_foreign(tmp_path / name).notes == (weights_module.NOTE,)


def test_no_code_of_a_lambda_is_run(tmp_path):
    """Marshalled code in the place where Keras keeps it."""
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None}}
    stack = keras_stack(weights(0), after=[keras_layer("Lambda", function=code)])
    buffer = io.BytesIO(saved(tmp_path, "keras", stack).read_bytes())
    assert (
        "__lambda__"
        in json.loads(zipfile.ZipFile(buffer).read("config.json"))["config"]["layers"][-1][
            "config"
        ]["function"].values()
    )
    refused(tmp_path / "net.keras", "holds code, which is never run")
