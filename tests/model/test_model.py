import json
import re
from dataclasses import replace

import numpy as np
import paper
import pytest
from builders import DEPTHS, model_of, plain, random_model, random_network, stable_model
from tolerances import ROUND_OFF

from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.errors import InputError
from lstm_mpc.io import artefact_file
from lstm_mpc.model import lstm
from lstm_mpc.model.data_fit import compare, record_fits
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import simulate_batch
from lstm_mpc.plants.system import Mapped, Signal, simulate

# -- simulation ------------------------------------------------------------------------------------


def oracle(model, u, x0):
    """Outputs of eq. (2) for inputs in engineering units, clipped and scaled by hand."""
    scaling, rows = model.scaling, []
    for row in np.asarray(u).tolist():
        clipped = [min(max(v, s.low), s.high) for v, s in zip(row, model.inputs, strict=True)]
        rows.append(
            [(v - m) / w for v, m, w in zip(clipped, scaling.u_mid, scaling.u_span, strict=True)]
        )
    C, b_y = model.network.C.tolist(), model.network.b_y.ravel().tolist()
    outputs, _ = paper.lstm_run(plain(model.network), C, b_y, list(x0), rows)
    return [
        [m + w * v for v, m, w in zip(y, scaling.y_mid, scaling.y_span, strict=True)]
        for y in outputs
    ]


@pytest.mark.parametrize("shape", DEPTHS)
@pytest.mark.parametrize("seed", range(3))
def test_casadi_numpy_and_the_paper_give_one_trajectory(shape, seed):
    model, rng = stable_model(seed, *shape), np.random.default_rng(seed)
    # beyond the actuator limits, so that clipping takes part
    reach = 1.5 * (model.u_high - model.u_low)
    u = model.scaling.u_mid + rng.uniform(-1, 1, (4, 60, len(reach))) * reach
    x0 = rng.uniform(-1, 1, (4, model.sizes.n))
    single = np.array([simulate(model.system, u[i], x0=x0[i]).y for i in range(4)])
    expected = np.array([oracle(model, u[i], x0[i]) for i in range(4)])
    np.testing.assert_allclose(single, expected, rtol=ROUND_OFF, atol=ROUND_OFF)
    np.testing.assert_allclose(
        simulate_batch(model.system, u, x0), expected, rtol=ROUND_OFF, atol=ROUND_OFF
    )
    mapped = replace(model.system, batch=None)
    assert isinstance(mapped.vectorised, Mapped)
    np.testing.assert_allclose(
        simulate_batch(mapped, u, x0), expected, rtol=ROUND_OFF, atol=ROUND_OFF
    )


def test_inputs_are_clipped_at_the_actuator_limits():
    model = random_model(0, nu=2)
    ends = np.vstack([model.u_low, model.u_high])
    run = {}
    for name, u in {"at": ends, "beyond": ends + [[-9.0], [9.0]], "inside": 0.99 * ends}.items():
        run[name] = [simulate(model.system, u, x0=np.full(6, 0.1)).chi]
        run[name].append(
            simulate_batch(model.system, np.repeat(u[None], 2, 0), np.full((2, 6), 0.1))
        )
    for at, beyond, inside in zip(run["at"], run["beyond"], run["inside"], strict=True):
        assert np.array_equal(at, beyond)
        assert not np.array_equal(at, inside)


def test_the_smooth_step_does_not_clip():
    """`Model.step` is for optimisers, which keep the bounds themselves; only the system clips."""
    model = random_model(0)
    chi, far = np.zeros(6), model.u_high + 1.0
    smooth = np.asarray(model.step(chi[:, None], far)).ravel()
    system = np.asarray(model.system.step(chi, far, [])).ravel()
    limit = np.asarray(model.step(chi[:, None], model.u_high)).ravel()
    np.testing.assert_allclose(system, limit, rtol=ROUND_OFF)
    assert np.abs(smooth - system).max() > 1e-3


def test_the_system_carries_signals_and_starts_at_zero():
    model = random_model(0, nu=2, ny=3)
    system = model.system
    assert (system.inputs, system.outputs, system.Ts, system.name) == (
        model.inputs,
        model.outputs,
        10.0,
        "model",
    )
    assert not system.x0.any()
    assert system.n == 6


# -- on disk ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", DEPTHS)
def test_a_model_comes_back_bit_by_bit(tmp_path, shape):
    model = random_model(7, *shape)
    model.save(tmp_path / "m.json")
    back = Model.load(tmp_path / "m.json")
    assert lstm.pack(back.network).tobytes() == lstm.pack(model.network).tobytes()
    for name, value in model.scaling.__dict__.items():
        assert np.asarray(getattr(back.scaling, name)).tobytes() == np.asarray(value).tobytes()
    assert (back.inputs, back.outputs, back.Ts, back.origin, back.name, back.digest) == (
        model.inputs, model.outputs, model.Ts, model.origin, model.name, model.digest
    )  # fmt: skip


def test_open_ends_and_nominals_of_signals_come_back(tmp_path):
    outputs = (Signal("y1", "m", low=0.0, nominal=0.5),)
    model = replace(random_model(0), outputs=outputs)
    model.save(tmp_path / "m.json")
    assert Model.load(tmp_path / "m.json").outputs == outputs


def test_a_whole_number_of_seconds_keeps_its_digest(tmp_path):
    model = replace(random_model(0), Ts=10)
    model.save(tmp_path / "m.json")
    assert Model.load(tmp_path / "m.json").digest == model.digest


def test_every_changed_digit_is_detected(tmp_path):
    path, changed = tmp_path / "m.json", tmp_path / "changed.json"
    random_model(3, nx=(2,)).save(path)
    text, tried = path.read_text(), 0
    for at in (m.start() for m in re.finditer(r"\d", text)):
        forged = text[:at] + str((int(text[at]) + 5) % 10) + text[at + 1 :]
        try:
            if json.loads(forged) == json.loads(text):
                continue  # the last of 17 digits may round to the same number
        except ValueError:
            pass  # a leading zero is no JSON
        tried += 1
        changed.write_text(forged)
        with pytest.raises(
            InputError,
            match=(
                r"changed.json: (was altered|was written by a newer|has format|holds|is not JSON)"
            ),
        ):
            Model.load(changed)
    assert tried > 600


def test_a_file_of_another_kind_newer_or_cut_is_refused(tmp_path):
    path = tmp_path / "m.json"
    random_model(3).save(path)
    text = path.read_text()
    for forged, words in (
        (
            text.replace(Model.kind, "lstm_mpc certificate"),
            "holds 'lstm_mpc certificate', not a 'lstm_mpc model'",
        ),
        (
            text.replace('"format": 1', '"format": 2'),
            "was written by a newer version .format 2, this one reads 1.; upgrade lstm_mpc",
        ),
        (text[: len(text) // 2], "is not JSON .*make the lstm_mpc model again"),
        ("", "is not JSON"),
    ):
        path.write_text(forged)
        with pytest.raises(InputError, match=words) as error:
            Model.load(path)
        assert str(path) in str(error.value)
    with pytest.raises(InputError, match=r"nothing.json: cannot be read"):
        Model.load(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("network"),
        lambda c: c["network"].pop("C"),
        lambda c: c["network"].update({"0.U_f": "text"}),
        lambda c: c.update(network=[1]),
        lambda c: c.update(Ts="ten"),
        lambda c: c["scaling"].update(u_span=[-1.0]),
        lambda c: c["scaling"].update(more=1),
        lambda c: c["inputs"].append(c["inputs"][0]),
        lambda c: c["inputs"][0].pop("name"),
    ],
)
def test_a_well_formed_file_with_nonsense_inside_is_refused_by_name(tmp_path, change):
    content = random_model(3).content()
    change(content)
    artefact_file.write_json(tmp_path / "m.json", Model.kind, content)  # with a valid digest
    with pytest.raises(InputError, match=r"m.json: is not a usable model \(") as error:
        Model.load(tmp_path / "m.json")
    assert error.type is InputError


def test_the_digest_names_everything_the_model_computes_with():
    model = random_model(3)
    scaling = replace(model.scaling, y_mid=[0.1])
    network = lstm.unpack(np.nextafter(lstm.pack(model.network), 9), model.sizes)
    changes = (
        {"Ts": 5.0},
        {"origin": {}},
        {"name": "b"},
        {"scaling": scaling},
        {"network": network},
    )
    digests = {replace(model, **change).digest for change in changes} | {model.digest}
    assert len(digests) == 6
    assert replace(model).digest == model.digest


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda m: replace(m, network=random_network(0, nu=2)),
            "network has 2 inputs and 1 outputs, .* are 1 and 1",
        ),
        (
            lambda m: replace(m, outputs=2 * m.outputs),
            "1 inputs and 1 outputs, the signals are 1 and 2",
        ),
        (
            lambda m: replace(m, scaling=random_model(0, ny=2).scaling),
            "the scaling does not fit the number of signals",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make(random_model(0))


@pytest.mark.parametrize("limits", [{"high": 4.0}, {"low": -np.inf, "high": 3.0}])
def test_actuator_limits_beyond_the_input_radius_are_refused(limits):
    """A certificate for |u| ≤ radius would speak of less than what reaches the network."""
    model = random_model(0)  # [-1, 3] is ±1
    with pytest.raises(
        InputError, match=r"model: the limits \[.*\] V of 'u1' lie beyond the input radius 1"
    ):
        replace(model, inputs=(replace(model.inputs[0], **limits),))


# -- validation ------------------------------------------------------------------------------------


def validation_data(model, rng, *, truth=True):
    """Two records the model itself made, one from χ = 0 and one measured 0.1 m too high."""
    u = rng.uniform(model.u_low, model.u_high, (2, 200, 1))
    y = [simulate(model.system, item).y for item in u]
    records = (
        Record("a", u[0], y[0], y[0] if truth else None),
        Record("b", u[1], y[1] + 0.1, y[1] if truth else None),
    )
    return Dataset(model.inputs, model.outputs, model.Ts, records)


def test_validation_forgets_the_random_start_and_sees_an_offset(rng):
    model = model_of(random_network(2, spread=0.5))
    data = validation_data(model, rng)
    exact, shifted = record_fits(model, data, transient=100, seed=3)
    assert exact.mean_removed[0] > 99.9 > shifted.mean_removed[0]
    assert exact.skipped == 100
    assert shifted.rmse[0] == pytest.approx(0.1, rel=1e-3)
    clean = record_fits(model, data, transient=100, seed=3, against="noise-free")
    assert clean[1].mean_removed[0] > 99.9
    assert clean[1].against == "noise-free"
    assert record_fits(model, data, transient=0, seed=3)[0].mean_removed[0] < exact.mean_removed[0]
    assert record_fits(model, data, transient=100, seed=3) == (exact, shifted)


def test_records_without_noise_free_output_say_so(rng):
    model = random_model(2)
    item = validation_data(model, rng, truth=False).records[0]
    with pytest.raises(InputError, match="record 'a' has no noise-free output to compare with"):
        compare(model, item, item.y, transient=0, against="noise-free")
