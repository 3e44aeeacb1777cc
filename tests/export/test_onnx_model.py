"""The ONNX model of a release: run by onnxruntime, in pieces and from any start, and read back as
the same network."""

import numpy as np
import onnx
import pytest
from builders import paper_policy, stable_model, validation_for
from foreign_nets import run_onnx
from tolerances import SINGLE

from lstm_mpc.certificates.certification import certify
from lstm_mpc.certificates.gate import release
from lstm_mpc.certificates.scenarios import VerifyOptions, verify
from lstm_mpc.errors import InputError
from lstm_mpc.export.onnx_model import FILE, KIND, graph_of, onnx_model
from lstm_mpc.io.export_folder import write_folder
from lstm_mpc.model import lstm
from lstm_mpc.model.importers.import_file import ImportOptions, import_model
from lstm_mpc.model.model import Model
from lstm_mpc.plants.system import simulate

SHAPES = {"siso": (0, 1, (5,), 1), "mimo": (1, 2, (4, 3), 2)}
STEPS = 1000


@pytest.fixture(scope="module", params=SHAPES)
def passed(request):
    model = stable_model(*SHAPES[request.param])
    safe = [(-100.0, 100.0)] * len(model.outputs)
    evidence = verify(model, VerifyOptions(steps=20, settle=5), safe_set=safe)
    return release(
        model, [certify(model)], evidence, validation_for(model), paper_policy(), safe_set=safe
    )


def beyond(model, steps=STEPS):
    """Inputs a little beyond the limits, so that clipping is seen."""
    width = 0.1 * (model.u_high - model.u_low)
    return np.random.default_rng(0).uniform(
        model.u_low - width, model.u_high + width, (steps, len(model.inputs))
    )


def truth(model, u, chi):
    """y(1) … y(N) and χ(N)."""
    run = simulate(model.system, np.vstack([u, u[-1:]]), x0=chi)
    return run.y[1:], run.chi[len(u)]


def test_onnxruntime_gives_our_outputs(passed):
    data, model = onnx_model(passed)[FILE], passed.model
    u = beyond(model)
    y, chi = run_onnx(data, {"u": u})
    own_y, own_chi = truth(model, u, np.zeros(model.sizes.n))
    assert np.abs((y - own_y) / model.scaling.y_span).max() < SINGLE
    assert np.abs(chi - own_chi).max() < SINGLE


def test_any_start_and_any_cut(passed):
    data, model = onnx_model(passed)[FILE], passed.model
    u, chi = beyond(model, 60), np.random.default_rng(1).uniform(-0.5, 0.5, model.sizes.n)
    own_y, _ = truth(model, u, chi)
    first, between = run_onnx(data, {"u": u[:25], "chi": chi})
    second, _ = run_onnx(data, {"u": u[25:], "chi": between})
    assert np.abs((np.vstack([first, second]) - own_y) / model.scaling.y_span).max() < SINGLE
    assert np.abs(second - run_onnx(data, {"u": u[25:]})[0]).max() > 1e-3


def test_the_shipped_model_is_within_a_millionth(pytestconfig):
    model = Model.load(pytestconfig.rootpath / "models" / "ph" / "model.json")
    from lstm_mpc.model.importers.onnx_file import serialise

    data = serialise(graph_of(model), name="m", producer="p", text="", properties={})
    u = np.repeat(
        np.random.default_rng(0).uniform(model.u_low, model.u_high, (STEPS // 20, 1)), 20, axis=0
    )
    error = np.abs(run_onnx(data, {"u": u})[0] - truth(model, u, np.zeros(model.sizes.n))[0]).max()
    print(error)
    assert error < 1e-6


def test_read_back_it_is_the_same_model(passed, tmp_path):
    model = passed.model
    (tmp_path / FILE).write_bytes(onnx_model(passed)[FILE])
    again = import_model(tmp_path / FILE, inputs=model.inputs, outputs=model.outputs, Ts=model.Ts)
    for name, leaf in lstm.parameters(again.network).items():
        own = lstm.parameters(model.network)[name]
        single = own.astype(np.float32)
        expected = (
            own
            if name in ("C", "b_y")
            else (
                single + (own - single).astype(np.float32).astype(float)
                if ".b_" in name
                else single
            )
        )
        assert np.array_equal(leaf, expected), name
    for part in ("u_mid", "u_span", "y_mid", "y_span", "radius"):
        assert np.array_equal(getattr(again.scaling, part), getattr(model.scaling, part))


def test_read_back_it_keeps_its_own_scaling_and_clip(passed, tmp_path):
    model = passed.model
    (tmp_path / FILE).write_bytes(onnx_model(passed)[FILE])
    known = {"inputs": model.inputs, "outputs": model.outputs, "Ts": 1.0}
    with pytest.raises(InputError, match="normalises its outputs itself; leave y_mid, y_span out"):
        import_model(tmp_path / FILE, **known, choice=ImportOptions(y_mid=(0.0,), y_span=(1.0,)))
    from dataclasses import replace

    wide = tuple(replace(s, high=s.high + 1) for s in model.inputs)
    with pytest.raises(
        InputError,
        match=(
            r"clips 'u1' to \[-1, 3\], inside its actuator limits \[-1, 4\] V; tighten the limits"
        ),
    ):
        import_model(tmp_path / FILE, **{**known, "inputs": wide})


def test_the_same_release_gives_the_same_bytes(passed):
    assert onnx_model(passed) == onnx_model(passed)


def test_it_says_what_it_is(passed):
    files, model = onnx_model(passed), passed.model
    proto = onnx.load_model_from_string(files[FILE])
    properties = {p.key: p.value for p in proto.metadata_props}
    assert properties["model"] == model.digest
    assert properties["input 0"] == model.inputs[0].label
    for kind, sentence in passed.claims():
        assert f"{kind}: {sentence}" in proto.graph.doc_string
        assert f"*{kind}*: {sentence}" in files["README.md"]
    assert sum(node.op_type == "LSTM" for node in proto.graph.node) == len(model.network.layers)


def test_bytes_are_written_as_they_are(passed, tmp_path):
    files = onnx_model(passed)
    write_folder(tmp_path / "onnx", files, kind=KIND)
    assert (tmp_path / "onnx" / FILE).read_bytes() == files[FILE]
    write_folder(tmp_path / "onnx", files, kind=KIND)
