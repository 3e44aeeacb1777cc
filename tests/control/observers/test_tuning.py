"""Noise and drift from data that were made with known ones, and what the command line says of the
shipped data."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest

from lstm_mpc.certificates.gate import Release
from lstm_mpc.cli.command_line import main
from lstm_mpc.control.observers.tuning import tune
from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest
from lstm_mpc.plants.system import simulate
from lstm_mpc.project.design import load_design

NOISE = 0.02  # [pH]
FACTOR = 1.5


@pytest.fixture(scope="module")
def shipped(pytestconfig):
    return Release.load(pytestconfig.rootpath / "models" / "ph" / "release.json").model


def data(model, drift, disturbance, *, seed, N=350):
    """The model itself under a disturbance that walks at random [unit per sample], measured with
    noise."""
    rng = np.random.default_rng(seed)
    u = np.repeat(rng.uniform(13.5, 16.5, (-(-N // 30), 1)), 30, axis=0)[:N]
    walk = np.cumsum(drift * rng.standard_normal((N, 1)), axis=0)
    at_input, at_output = (walk, 0.0) if disturbance == "input" else (0.0, walk)
    y = (
        simulate(
            model.system,
            np.clip(u + at_input, model.u_low, model.u_high),
            x0=rest(model.system, u[0]),
        ).y
        + at_output
    )
    y = y + NOISE * rng.standard_normal(y.shape)
    halves = tuple(
        Record(f"half {k}", u[part], y[part])
        for k, part in enumerate((slice(None, N // 2), slice(N // 2, None)))
    )
    return Dataset(model.inputs, model.outputs, model.Ts, halves)


@pytest.mark.parametrize(
    ("disturbance", "drift"),
    [("input", 0.03), pytest.param("output", 0.006, marks=pytest.mark.slow)],
)
def test_known_noise_and_drift_are_found(shipped, disturbance, drift):
    found = tune(
        shipped, data(shipped, drift, disturbance, seed=1), disturbance=disturbance, transient=20
    )
    assert NOISE / FACTOR < found.noise[0] < NOISE * FACTOR
    assert drift / FACTOR < found.drift[0] < drift * FACTOR
    assert found.disturbance == disturbance
    assert found.max_disturbance[0] > 0.5  # δISS admits twice as much


@pytest.mark.slow
def test_each_output_has_its_own_noise(mimo):
    """Two inputs, two outputs: three ratios and a scale; the same data, the same answer."""
    model, rng = mimo.model, np.random.default_rng(2)
    u = np.repeat(rng.uniform(model.u_low, model.u_high, (15, 2)), 8, axis=0)
    walk = np.cumsum([0.001, 0.005] * rng.standard_normal((120, 2)), axis=0)
    y = (
        simulate(model.system, u, x0=rest(model.system, u[0])).y
        + walk
        + [0.002, 0.01] * rng.standard_normal((120, 2))
    )
    dataset = Dataset(model.inputs, model.outputs, model.Ts, (Record("made", u, y),))
    seen = []
    found = tune(
        model,
        dataset,
        disturbance="output",
        transient=10,
        on_progress=lambda count, tuning: seen.append((count, tuning)),
    )
    assert (found.noise > np.array([0.002, 0.01]) / FACTOR).all()
    assert (found.noise < np.array([0.002, 0.01]) * FACTOR).all()
    np.testing.assert_allclose(found.drift / [0.001, 0.005], 1.0, atol=0.6)  # few samples
    assert [count for count, _ in seen] == list(range(1, len(seen) + 1))


def test_what_is_refused(shipped, model):
    dataset = data(shipped, 0.01, "input", seed=0, N=40)
    with pytest.raises(InputError, match="tune: transient must leave some of every record, got 50"):
        tune(shipped, dataset)
    with pytest.raises(
        InputError, match="observer: disturbance must be 'input' or 'output', got 'valve'"
    ):
        tune(shipped, dataset, disturbance="valve", transient=5)
    wild = replace(shipped.network.layers[0], U_c=3.0 * shipped.network.layers[0].U_c)
    unstable = Model(
        replace(shipped.network, layers=(wild,)),
        shipped.scaling,
        shipped.inputs,
        shipped.outputs,
        shipped.Ts,
        {},
    )
    with pytest.raises(
        InputError,
        match=(
            "tune: δISS does not hold on this model, so that no input disturbance is admitted; use"
        ),
    ):
        tune(unstable, dataset, transient=5)


def test_the_command_line_prints_a_table_to_paste(pytestconfig, tmp_path, capsys):
    """On the first 220 samples of the shipped validation data, whose probe has a noise of 0.01
    pH."""
    shipped = pytestconfig.rootpath / "models" / "ph"
    text = (shipped / "design.toml").read_text(encoding="utf-8")
    (tmp_path / "model.json").write_bytes((shipped / "model.json").read_bytes())
    rows = (
        (shipped / "data-validation.csv")
        .read_text(encoding="utf-8")
        .splitlines(keepends=True)[:221]
    )
    (tmp_path / "data-validation.csv").write_text("".join(rows), encoding="utf-8")
    (tmp_path / "design.toml").write_text(text, encoding="utf-8")
    assert main(["tune-observer", str(tmp_path), "--quiet"]) == 0
    printed = capsys.readouterr().out
    table = tomllib.loads(
        "\n".join(
            line for line in printed.splitlines() if line.startswith(("[", "kind")) or " = " in line
        )
    )
    assert table["observer"]["kind"] == "kalman"
    assert 0.01 / FACTOR < table["observer"]["noise"] < 0.01 * FACTOR
    start, end = text.index("[observer]"), text.index("[solver]")
    (tmp_path / "design.toml").write_text(
        f"{text[:start]}{printed}\n{text[end:]}", encoding="utf-8"
    )
    assert load_design(tmp_path).control.observer.noise == table["observer"]["noise"]
