"""ONNX models that keep their weights in another file: read from the same folder, and from nowhere
else."""

import numpy as np
import onnx
import pytest
from foreign_nets import plain_onnx, weights
from onnx import TensorProto, numpy_helper
from onnx_nets import Net, agrees, refused

from lstm_mpc.model.importers import weights as weights_module
from lstm_mpc.model.importers.import_file import read_foreign


def outside(data, location, *, offset=None, length=None, pad=0):
    """The same model with its first two tensors in another file, and that file's bytes."""
    model, blob = onnx.load_model_from_string(data), b"\0" * pad
    for tensor in model.graph.initializer[:2]:
        raw = numpy_helper.to_array(tensor).tobytes()
        values = {
            "location": location,
            "offset": str(len(blob)) if offset is None else offset,
            "length": str(len(raw)) if length is None else length,
        }
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in values.items():
            tensor.external_data.add(key=key, value=value)
        blob += raw
    return model.SerializeToString(), blob


def test_weights_beside_the_file(tmp_path):
    g = Net(weights(0))
    data = g.done(g.dense(g.add("Transpose", g.sequence()[0], perm=[1, 0, 2])))
    whole = agrees(tmp_path, data)
    model, blob = outside(data, "net.onnx.data", pad=16)
    (tmp_path / "net.onnx.data").write_bytes(blob)
    (tmp_path / "net.onnx").write_bytes(model)
    result = read_foreign(tmp_path / "net.onnx")
    assert np.array_equal(result.network.layers[0].U_o, whole.network.layers[0].U_o)
    first = result.sha256
    (tmp_path / "net.onnx.data").write_bytes(b"\1" + blob[1:])  # the padding, no weight
    assert read_foreign(tmp_path / "net.onnx").sha256 != first
    (tmp_path / "net.onnx.data").unlink()
    refused(
        tmp_path,
        model,
        r"keeps its weights in 'net.onnx.data', which is not in the same folder; put that file"
        r" there, or pass external_data=False to torch.onnx.export",
    )


@pytest.mark.parametrize(
    "location",
    ["../secret", "/etc/passwd", "sub/secret", "..", ".", "", "..\\secret", "a\nb", "./secret"],
)
def test_only_files_of_the_same_folder_are_read(location, tmp_path):
    (tmp_path / "secret").write_bytes(b"\0" * 10000)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "secret").write_bytes(b"\0" * 10000)
    model, _ = outside(plain_onnx(*weights(0)), location)
    refused(tmp_path / "sub", model, "is not the name of a file beside it; only files in the same")


def test_no_link_leads_out_of_the_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    model, blob = outside(plain_onnx(*weights(0)), "data")
    (tmp_path / "secret").write_bytes(blob)
    (tmp_path / "sub" / "data").symlink_to(tmp_path / "secret")
    refused(tmp_path / "sub", model, "keeps tensors in 'data', a link out of the folder")
    (tmp_path / "sub" / "data").unlink()
    (tmp_path / "sub" / "data").mkdir()
    refused(tmp_path / "sub", model, "keeps its weights in 'data', which cannot be read")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"offset": "-4"}, "should be bytes -4 to"),
        ({"offset": "99999"}, r"should be bytes 99999 to \d+, the file has \d+; copy it again"),
        ({"length": "99999"}, "should be bytes 0 to 99999"),
        ({"length": "-1"}, "should be bytes"),
        ({"length": "many"}, "with what is no number"),
        ({"length": "8"}, "its nodes do not fit together|is not a valid ONNX model"),
    ],
)
def test_a_piece_that_is_not_there(options, words, tmp_path):
    model, blob = outside(plain_onnx(*weights(0)), "data", **options)
    (tmp_path / "data").write_bytes(blob)
    refused(tmp_path, model, words)


def test_the_limit_holds_for_both_files_together(tmp_path, monkeypatch):
    model, blob = outside(plain_onnx(*weights(0)), "data", pad=4096)
    (tmp_path / "data").write_bytes(blob)
    monkeypatch.setattr(weights_module, "LIMIT", 4096)
    refused(tmp_path, model, r"keeps its weights in 'data', which cannot be read: larger than")
