"""Weights files, signals and scalings: every reason for which they are refused, in its words;
nothing in a file is ever executed."""

import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from foreign_nets import keras, pytorch, weights

from lstm_mpc.errors import InputError
from lstm_mpc.model.importers import weights as weights_module
from lstm_mpc.model.importers.import_file import ImportOptions, import_model, read_foreign
from lstm_mpc.plants.system import Signal


def refused(folder, data, words, kind):
    path = folder / f"net.{kind}"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words) as caught:
        read_foreign(path)
    assert str(caught.value).startswith(f"{path}: ")


def npz(folder, tensors, words):
    np.savez(folder / "net.npz", **tensors)
    with pytest.raises(InputError, match=words):
        read_foreign(folder / "net.npz")


# -- weights files ---------------------------------------------------------------------------------


def without(tensors, *names):
    return {k: v for k, v in tensors.items() if k not in names}


def both(layout, **added):
    return {**layout(*weights(0)), **added}


P, K = "lstm.weight_ih_l0", "sequential/lstm/lstm_cell"
ONES = np.ones((3, 3), np.float32)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (
            both(pytorch, **{"lstm.weight_ih_l0_reverse": ONES}),
            "'lstm.weight_ih_l0_reverse' belongs to a bidirectional LSTM",
        ),
        (
            both(pytorch, **{"lstm.weight_hr_l0": ONES}),
            r"belongs to an LSTM with projections \(proj_size\)",
        ),
        (
            both(pytorch, **{"other.weight_ih_l0": ONES}),
            r"other.weight_hh_l0 is missing",
        ),
        (both(pytorch, **{"lstm.weight_ih_l1": ONES}), "weight_hh_l1 is missing"),
        (without(both(pytorch), "lstm.weight_hh_l0"), "weight_hh_l0 is missing"),
        (
            without(both(pytorch), "fc.weight"),
            r"has no linear head \(nn.Linear\); found beside the LSTM: fc.bias",
        ),
        (without(both(pytorch), "fc.weight", "fc.bias"), "found beside the LSTM: nothing"),
        (
            both(pytorch, **{"fc2.weight": ONES}),
            r"has 2 layers beside the LSTM \(fc.weight, fc2.weight\); only one linear head",
        ),
        (both(pytorch, h0=ONES), "belong neither to the LSTM nor to its linear head: h0"),
        (
            both(pytorch, **{P: ONES}),
            "layer 1: input weights of 3 and biases of 12 rows do not fit the 12 recurrent ones",
        ),
        (
            both(pytorch, **{"lstm.bias_hh_l0": ONES}),
            "tensor 'lstm.bias_hh_l0' must be 12, got 3×3",
        ),
        (
            both(pytorch, **{"fc.weight": np.ones((1, 4))}),
            "tensor 'fc.weight' must be n×3, got 1×4",
        ),
        (both(pytorch, **{"fc.bias": np.ones(())}), "tensor 'fc.bias' must be 1, got a scalar"),
        (
            both(pytorch, **{"lstm.weight_hh_l0": np.ones((9, 3))}),
            "layer 1: 9 gate rows for 3 cells are a GRU, not an LSTM|must be 9, got",
        ),
        (
            both(pytorch, **{P: both(pytorch)[P].astype(np.float16)}),
            f"tensor '{P}' is float16; save it as float32 or float64",
        ),
        (both(pytorch, **{P: both(pytorch)[P].astype(int)}), f"tensor '{P}' is int64"),
        (
            both(pytorch, **{P: both(pytorch)[P] * np.nan}),
            f"tensor '{P}' holds numbers that are not finite",
        ),
        (
            both(keras, **{"sequential/bidirectional/forward_lstm/lstm_cell/kernel": ONES}),
            "belongs to a bidirectional LSTM",
        ),
        (
            both(keras, **{"sequential/encoder/lstm_cell/recurrent_kernel": ONES}),
            "the order of the LSTM layers .* is not known; name them",
        ),
        (
            without(both(keras), f"{K}/kernel"),
            f"the kernel beside '{K}/recurrent_kernel' is missing",
        ),
        (without(both(keras), "sequential/dense/kernel"), r"has no linear head \(Dense\)"),
        (both(keras, **{"sequential/dense_1/kernel": ONES}), "has 2 layers beside the LSTM"),
        (
            both(keras, **{"sequential/norm/gamma": ONES}),
            "belong neither to the LSTM nor to its linear head: sequential/norm/gamma",
        ),
        (both(keras, **{f"{K}/bias": np.ones(24)}), f"tensor '{K}/bias' must be 12, got 24"),
        (both(keras, **{f"{K}/peephole": np.ones(3)}), f"belong neither .*: {K}/peephole"),
        (
            {"a": ONES, "b": ONES},
            (
                r"holds a, b, neither weight_ih_l0 … \(PyTorch nn.LSTM\) nor recurrent_kernel"
                r" \(Keras LSTM\)"
            ),
        ),
        (dict.fromkeys("abcdef", ONES), "holds a, b, c, d …, neither"),
    ],
)
def test_tensors_that_do_not_fit(tensors, words, tmp_path):
    npz(tmp_path, tensors, words)


@pytest.mark.parametrize(
    ("gates", "words"),
    [(3, "9 gate rows for 3 cells are a GRU, not an LSTM"), (1, "a plain RNN, not an LSTM")],
)
def test_other_cells_by_their_rows(gates, words, tmp_path):
    n = 3 * gates
    net = {"fc.weight": np.ones((1, 3)), P: np.ones((n, 1)), "lstm.weight_hh_l0": np.ones((n, 3))}
    npz(tmp_path, net, words)
    net = {
        "d/kernel": np.ones((3, 1)),
        "r/kernel": np.ones((1, n)),
        "r/recurrent_kernel": np.ones((3, n)),
        "r/bias": np.ones((2, n)),
    }
    npz(tmp_path, net if gates == 3 else without(net, "r/bias"), words)
    npz(
        tmp_path,
        {**net, "r/recurrent_kernel": np.ones((3, 10)), "r/bias": np.ones(10)},
        "10 gate rows for 3 cells are not 4 per cell",
    )


def test_any_name_of_a_layer_has_its_place():
    for name in ("lstm", "lstm_", "_1", "a\nb", "a_\u00b2", ""):
        assert weights_module._in_order([name]) == [name]
    assert weights_module._in_order(["lstm_10", "lstm_2", "lstm"]) == ["lstm", "lstm_2", "lstm_10"]


def test_keras_layers_come_in_the_order_of_their_numbers(tmp_path):
    layers, C, b_y = weights(0, 1, (3,) * 12)
    tensors = keras(layers, C, b_y)
    np.savez(tmp_path / "net.npz", **dict(sorted(tensors.items())))
    network = read_foreign(tmp_path / "net.npz").network
    assert all(
        np.array_equal(own.U_f, layer["R_f"])
        for own, layer in zip(network.layers, layers, strict=True)
    )


def test_safetensors_of_other_types_and_no_safetensors(tmp_path):
    from safetensors.numpy import save

    refused(
        tmp_path,
        save({P: np.ones((12, 1), np.float16)}),
        f"tensor '{P}' is F16; save it as float32",
        "safetensors",
    )
    refused(tmp_path, b"xx", "is not a safetensors file", "safetensors")


# -- files -----------------------------------------------------------------------------------------


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_pickles_are_never_loaded(tmp_path):
    np.savez(tmp_path / "net.npz", a=np.array([Trap()], dtype=object))
    with pytest.raises(InputError, match=r"is not a \.npz file of plain arrays"):
        read_foreign(tmp_path / "net.npz")
    for kind in ("pt", "pth", "bin", "ckpt", "pkl", "pickle"):
        refused(
            tmp_path,
            pickle.dumps(Trap()),
            r"may hold code \(a pickle\) and is never opened; save the state_dict as",
            kind,
        )
        refused(tmp_path, pickle.dumps(Trap()), r"is not a \.npz file of plain arrays", "npz")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("net.csv", "a file '.csv' is not read; use .onnx, .keras, .h5, .hdf5, .npz, .safetensors"),
        ("net", "a file 'without suffix' is not read"),
    ],
)
def test_other_kinds_of_files(name, words, tmp_path):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=words):
        read_foreign(tmp_path / name)


def test_missing_and_too_large_files(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"net\.onnx: cannot be read"):
        read_foreign(tmp_path / "net.onnx")
    np.savez_compressed(tmp_path / "net.npz", a=np.zeros((400, 400)))
    (tmp_path / "net.onnx").write_bytes(b"x" * 2**20)
    monkeypatch.setattr(weights_module, "LIMIT", 2**20)
    with pytest.raises(InputError, match="holds 1 MiB of numbers, more than 1 MiB"):
        read_foreign(tmp_path / "net.npz")
    monkeypatch.setattr(weights_module, "LIMIT", 2**19)
    with pytest.raises(InputError, match=r"net\.onnx: cannot be read \(larger than "):
        read_foreign(tmp_path / "net.onnx")


# -- several LSTM modules, and cells --------------------------------------------------------------


def modules(net, names, *, cell=False):
    """A state_dict of one module a layer, under `names`: nn.LSTM or (`cell`) nn.LSTMCell."""
    one = pytorch(*net)
    tensors = {k: v for k, v in one.items() if k.startswith("fc.")}
    for number, name in enumerate(names):
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            key = f"{name}.{part}" if cell else f"{name}.{part}_l0"
            tensors[key] = one[f"lstm.{part}_l{number}"]
    return tensors


def same_network(folder, tensors, net):
    np.savez(folder / "net.npz", **tensors)
    result = read_foreign(folder / "net.npz")
    np.savez(folder / "one.npz", **pytorch(*net))
    one = read_foreign(folder / "one.npz").network
    assert len(result.network.layers) == len(one.layers)
    for layer, other in zip(result.network.layers, one.layers, strict=True):
        assert np.array_equal(layer.U_f, other.U_f)
        assert np.array_equal(layer.b_c, other.b_c)
    return result.notes


@pytest.mark.parametrize("cell", [False, True], ids=["nn.LSTM", "nn.LSTMCell"])
def test_one_module_behind_the_other(cell, tmp_path):
    """The only order that fits the widths, whatever the names and their order in the file."""
    net = weights(0, 1, (3, 5, 2))
    for names in (["zz", "b", "aa"], ["lstm1", "lstm2", "lstm3"]):
        tensors = modules(net, names, cell=cell)
        for order in (list(tensors), sorted(tensors)):
            notes = same_network(tmp_path, {k: tensors[k] for k in order}, net)
            assert notes[1] == f"LSTM modules in the order {', '.join(names)}"
    assert len(same_network(tmp_path, modules(weights(0), ["a"], cell=cell), weights(0))) == 1


@pytest.mark.parametrize("names", [["lstm", "lstm2"], ["rnn.9", "rnn.10"], ["lstm_1", "lstm_2"]])
def test_modules_of_one_width_in_the_order_of_their_numbers(names, tmp_path):
    net = weights(0, 3, (3, 3))
    tensors = modules(net, names)
    same_network(tmp_path, {k: tensors[k] for k in sorted(tensors)}, net)


@pytest.mark.parametrize(
    ("net", "names", "words"),
    [
        (weights(0, 3, (3, 3)), ["a", "b"], r"\(a, b\), whose order is not known; number their"),
        (weights(0, 3, (3, 3)), ["a1", "b2"], "whose order is not known; number their names"),
        (weights(0, 3, (3, 3)), ["a1.x", "a.x1"], "whose order is not known"),
        (weights(0, 1, (3,) * 6), list("abcdef"), "holds 6 LSTM modules, more than 5; use num_lay"),
    ],
)
def test_an_order_that_is_not_known(net, names, words, tmp_path):
    npz(tmp_path, modules(net, names), words)


def test_modules_side_by_side(tmp_path):
    one = modules(weights(0), ["a"])
    two = {f"b{k[1:]}": v for k, v in one.items() if k.startswith("a.")}
    npz(
        tmp_path,
        one | two,
        r"\(a, b\), whose widths do not fit one behind the other; networks side",
    )


def test_a_cell_that_is_no_lstm(tmp_path):
    tensors = {k: v for k, v in modules(weights(0), ["cell"], cell=True).items() if "ias" not in k}
    tensors["cell.weight_hh"] = np.ones((9, 3), np.float32)
    npz(tmp_path, tensors, "layer 1: 9 gate rows for 3 cells are a GRU, not an LSTM")


# -- signals and scalings --------------------------------------------------------------------------

U, Y = Signal("u", "V", 0.0, 10.0), Signal("y", "m")


def adopt(tmp_path, *, inputs=(U,), outputs=(Y,), **choice):
    np.savez(tmp_path / "net.npz", **pytorch(*weights(0)))
    return import_model(
        tmp_path / "net.npz", inputs=inputs, outputs=outputs, Ts=2.0, choice=ImportOptions(**choice)
    )


def test_scalings_by_default_and_by_choice(tmp_path):
    plain = adopt(tmp_path)
    assert (plain.scaling.u_mid.tolist(), plain.scaling.u_span.tolist(), plain.scaling.radius) == (
        [5.0],
        [5.0],
        1.0,
    )
    assert (plain.scaling.y_mid.tolist(), plain.scaling.y_span.tolist()) == ([0.0], [1.0])
    assert plain.origin["imported"]["scaling"] == {
        "inputs": "actuator limits",
        "outputs": "none: engineering units",
    }
    own = adopt(tmp_path, u_mid=(4.0,), u_span=(3.0,), y_mid=(1.0,), y_span=(2.0,))
    assert own.scaling.radius == 2.0
    assert own.origin["imported"]["scaling"] == {"inputs": "[import]", "outputs": "[import]"}
    assert own.digest != plain.digest


def test_the_origin_names_the_file_and_no_path(tmp_path):
    origin = adopt(tmp_path).origin["imported"]
    assert origin["file"] == "net.npz"
    assert origin["kind"] == "PyTorch weights (.npz)"
    assert len(origin["sha256"]) == 64
    assert str(tmp_path) not in str(origin)
    assert origin["notes"] == [
        "a weights file holds no activations; σ, tanh and a linear head are assumed"
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"inputs": (U, replace(U, name="v"))},
            "the network has 1 inputs and 1 outputs, the design has 2 and 1",
        ),
        (
            {"inputs": (Signal("u", "V"),)},
            "input 'u' has no actuator limits; the guarantees need low and high",
        ),
        (
            {"u_mid": (1.0,)},
            r"\[import\] u_mid and u_span need 1 number\(s\) each, got \[1.0\] and \[\]",
        ),
        ({"y_mid": (1.0, 2.0), "y_span": (1.0, 2.0)}, r"\[import\] y_mid and y_span need 1 number"),
        ({"u_mid": (1.0,), "u_span": (-1.0,)}, "spans .* must be positive"),
        ({"y_mid": (float("nan"),), "y_span": (1.0,)}, "scaling y_mid must be finite"),
    ],
)
def test_signals_and_scalings_that_do_not_fit(options, words, tmp_path):
    with pytest.raises(InputError, match=words):
        adopt(tmp_path, **options)


@pytest.mark.parametrize("Ts", [0.0, -1.0, float("inf"), float("nan")])
def test_a_sampling_time_is_positive(Ts):
    with pytest.raises(InputError, match=r"\[import\] Ts must be a positive number of seconds"):
        ImportOptions(Ts=Ts)


def test_a_header_that_breaks_off_within_brackets(tmp_path):
    """NumPy hands a header that is no literal to Python's tokenizer, which has an error of its
    own."""
    header = b"{'descr': (\n\n".ljust(53) + b"\n"
    with zipfile.ZipFile(tmp_path / "net.npz", "w") as archive:
        archive.writestr(
            "lstm.weight_ih_l0.npy",
            b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header,
        )
    with pytest.raises(
        InputError, match=r"is not a .npz file of plain arrays \(.*EOF in multi-line statement"
    ):
        read_foreign(tmp_path / "net.npz")
