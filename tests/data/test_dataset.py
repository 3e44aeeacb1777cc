import numpy as np
import paper
import pytest
from hypothesis import given, settings, strategies as st
from tolerances import ROUND_OFF

from lstm_mpc.data.csv_file import read_csv, write_csv
from lstm_mpc.data.dataset import Dataset, Record
from lstm_mpc.data.excitation import Mprs, Steps, record
from lstm_mpc.data.fit import fit_index
from lstm_mpc.data.scaling import Scaling, scale
from lstm_mpc.errors import DataError, InputError
from lstm_mpc.plants.system import Signal, simulate

INPUTS = (Signal("q", "mL/s", 0.0, 10.0), Signal("T", "K", 280.0, 320.0))
OUTPUTS = (Signal("pH", "pH"),)


def made(u, y, truth=None, *, Ts=10.0, inputs=INPUTS, outputs=OUTPUTS):
    return Dataset(inputs, outputs, Ts, (Record("run", u, y, truth),))


def random_data(rng, N=50, **options):
    u = rng.uniform((0.0, 280.0), (10.0, 320.0), (N, 2))
    return made(u, rng.normal(7, 1, (N, 1)), **options)


# -- records ---------------------------------------------------------------------------------------


def test_an_experiment_records_the_plant_with_the_stated_noise(plant):
    mprs = Mprs((12.5,), (17.0,))
    item = record(plant, mprs, steps=4000, input_noise=0.04, output_noise=0.01, seed=5)
    u = mprs.draw(np.random.default_rng(5), 4000, 10.0).signal(4000)
    clean = simulate(plant, u).y
    assert np.array_equal(item.truth, clean)
    for noise, variance in ((item.u - u, 0.04), (item.y - clean, 0.01)):
        # four standard deviations
        assert noise.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / 4000))
        assert abs(noise.mean()) < 4 * np.sqrt(variance / 4000)


def test_an_experiment_is_reproducible_and_noise_is_optional(plant):
    mprs = Mprs((12.5,), (17.0,))
    one, same, other = (
        record(plant, mprs, steps=200, output_noise=1.0, seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(one.y, same.y)
    assert not np.array_equal(one.y, other.y)
    clean = record(plant, mprs, steps=200)
    assert np.array_equal(clean.y, clean.truth)


def test_a_recorder_rounds_to_its_resolution(plant):
    item = record(
        plant, Mprs((12.5,), (17.0,)), steps=50, output_noise=1.0, resolution=1e-4, name="rig"
    )
    assert item.name == "rig"
    assert max(len(repr(v)) for v in item.y.ravel().tolist()) <= len("10.1234")


def test_clipping_moves_inputs_to_the_actuator_limits_and_nothing_else():
    data = made([[-1.0, 300.0], [11.0, 330.0]], [[1.0], [2.0]], [[0.0], [0.0]])
    clipped = data.clipped().records[0]
    assert clipped.u.tolist() == [[0.0, 300.0], [10.0, 320.0]]
    assert (clipped.y == data.records[0].y).all()
    assert (clipped.truth == 0).all()
    assert clipped.name == "run"


def test_the_digest_of_data_sees_every_sample_and_signal(rng):
    data = random_data(rng)
    item = data.records[0]
    for u, y, inputs, Ts in (
        (np.nextafter(item.u, 0), item.y, INPUTS, 10.0),
        (item.u, np.nextafter(item.y, 0), INPUTS, 10.0),
        (item.u, item.y, INPUTS[::-1], 10.0),
        (item.u, item.y, INPUTS, 5.0),
    ):
        assert made(u, y, inputs=inputs, Ts=Ts).digest != data.digest
    assert made(item.u, item.y).digest == data.digest
    assert data.samples == 50


# -- CSV -------------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=30)
@given(
    values=st.lists(st.floats(-1e300, 1e300), min_size=12, max_size=12),
    Ts=st.sampled_from([1.0, 10.0, 0.25]),
    truth=st.booleans(),
)
def test_a_csv_file_gives_the_numbers_back_bit_by_bit(tmp_path_factory, values, Ts, truth):
    path = tmp_path_factory.mktemp("csv") / "run.csv"
    u, y = np.array(values[:8]).reshape(4, 2), np.array(values[8:]).reshape(4, 1)
    data = made(u, y, y[::-1] if truth else None, Ts=Ts)
    write_csv(path, data)
    back = read_csv(path, INPUTS, OUTPUTS)
    item = back.records[0]
    assert (item.u.tobytes(), item.y.tobytes(), back.Ts, item.name) == (
        u.tobytes(),
        y.tobytes(),
        Ts,
        "run",
    )
    assert (item.truth is None) if not truth else (item.truth.tobytes() == y[::-1].tobytes())
    assert back.digest == data.digest


@pytest.mark.parametrize("Ts", [0.1, 0.3])
def test_files_of_one_sampling_time_share_it_exactly(tmp_path, rng, Ts):
    """`identify` asks training and validation data for equal Ts, so the round-off of one file must
    not matter."""
    for N in (50, 1000):
        write_csv(tmp_path / f"{N}.csv", random_data(rng, N, Ts=Ts))
    assert {read_csv(tmp_path / f"{N}.csv", INPUTS, OUTPUTS).Ts for N in (50, 1000)} == {Ts}


HEADER = "t [s],q [mL/s],T [K],pH [pH]"
ROWS = ["0,1,300,7.0", "10,2,301,7.1", "20,3,302,7.2", "30,4,303,7.3", "40,5,304,7.4"]


def csv_file(tmp_path, header=HEADER, rows=ROWS, name="run.csv"):
    path = tmp_path / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_columns_are_found_by_name_in_any_order(tmp_path):
    rows = [f"x,{row.split(',')[3]}, {','.join(row.split(',')[:3])}" for row in ROWS]
    path = csv_file(tmp_path, "note,pH [pH], t [s] ,q [mL/s],T [K]", rows)
    # as a spreadsheet saves it
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    data = read_csv(path, INPUTS, OUTPUTS)
    assert data.Ts == 10.0
    assert data.samples == 5
    assert data.records[0].u[1].tolist() == [2.0, 301.0]
    assert data.records[0].y.ravel().tolist()[-1] == 7.4


def test_several_files_are_several_records(tmp_path):
    paths = [csv_file(tmp_path, name=name) for name in ("a.csv", "b.csv")]
    data = read_csv(paths, INPUTS, OUTPUTS)
    assert [r.name for r in data.records] == ["a", "b"]
    assert data.samples == 10


@pytest.mark.parametrize(
    ("header", "rows", "row", "words"),
    [
        (
            HEADER,
            [*ROWS[:2], "35,3,302,7.2", *ROWS[3:]],
            4,
            "a gap: 25 s since the row before, 10 s elsewhere; split",
        ),
        (
            HEADER,
            [*ROWS[:3], "70,4,303,7.3", "80,5,304,7.4"],
            5,
            "a gap: 50 s since the row before, 10 s elsewhere",
        ),
        (
            HEADER,
            [*ROWS[:2], "21,3,302,7.2", *ROWS[3:]],
            4,
            "uneven time: 11 s since the row before, .* resample",
        ),
        (HEADER, [*ROWS[:2], ROWS[1], *ROWS[3:]], 4, "uneven time: 0 s since the row before"),
        (HEADER, ROWS[::-1], 2, "time must rise, but its typical step is -10 s"),
        (
            HEADER,
            [*ROWS[:3], "30,NaN,303,7.3"],
            5,
            r"'q \[mL/s\]' is 'NaN', not a finite number; split the record",
        ),
        (HEADER, [*ROWS[:3], "30,,303,7.3"], 5, r"'q \[mL/s\]' is '', not a finite number"),
        (
            f"{HEADER},record",
            [f"{row},{name}" for row, name in zip(ROWS, "aaaab", strict=True)],
            6,
            "record 'b' holds fewer than two samples",
        ),
        (
            f"{HEADER},record",
            [f"{row},a" for row in ROWS[:3]] + ["0,1,2,3,b", "5,1,2,3,b"],
            5,
            "record 'b' is sampled every 5 s, those before every 10 s",
        ),
        (
            HEADER,
            [ROWS[0], "10,two,301,7.1", *ROWS[2:]],
            3,
            r"'q \[mL/s\]' is 'two', not a finite number",
        ),
        (HEADER, [ROWS[0], "10,inf,301,7.1", *ROWS[2:]], 3, "is 'inf', not a finite number"),
        (HEADER, [ROWS[0], "x,2,301,7.1", *ROWS[2:]], 3, r"'t \[s\]' is 'x'"),
        (
            HEADER,
            [*ROWS[:2], "20,3,302"],
            4,
            "has 3 cells, the header has 4; complete or remove the row",
        ),
        (
            "t [s],q [mL/s],pH [pH]",
            ROWS,
            1,
            r"has no column 'T \[K\]' \(found t \[s\], q .*write the header as",
        ),
        ("t [s],q,T [K],pH [pH]", ROWS, 1, r"has no column 'q \[mL/s\]'"),
        ("time,q [mL/s],T [K],pH [pH]", ROWS, 1, r"has no column 't \[s\]'"),
        ("t [s],q [mL/s],q [mL/s],T [K],pH [pH]", ROWS, 1, r"has two columns 'q \[mL/s\]'"),
        (HEADER, ROWS[:1], None, "holds fewer than two samples"),
        (HEADER, [], None, "holds fewer than two samples"),
    ],
)
def test_a_bad_file_is_named_with_its_row_and_the_remedy(tmp_path, header, rows, row, words):
    path = csv_file(tmp_path, header, rows)
    with pytest.raises(DataError, match=words) as error:
        read_csv(path, INPUTS, OUTPUTS)
    assert (error.value.file, error.value.row) == (str(path), row)
    assert str(error.value).startswith(str(path) + (": " if row is None else f", row {row}: "))


def test_a_blank_line_does_not_shift_the_row_number(tmp_path):
    path = csv_file(tmp_path, HEADER, [ROWS[0], "", ROWS[1], "20,three,302,7.2"])
    with pytest.raises(DataError) as error:
        read_csv(path, INPUTS, OUTPUTS)
    assert error.value.row == 5


def test_no_file_at_all_is_an_input_error():
    with pytest.raises(InputError, match="read_csv needs at least one file"):
        read_csv([], INPUTS, OUTPUTS)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone.csv: cannot be read .No such file"):
        read_csv(tmp_path / "gone.csv", INPUTS, OUTPUTS)
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\xff\xfe\x00\x81" * 10)
    with pytest.raises(DataError, match=r"binary.csv: is not a CSV text file"):
        read_csv(path, INPUTS, OUTPUTS)


def test_files_of_different_sampling_time_are_refused(tmp_path):
    slow = [f"{2 * float(row.split(',')[0])},{row.split(',', 1)[1]}" for row in ROWS]
    paths = [csv_file(tmp_path, name="a.csv"), csv_file(tmp_path, rows=slow, name="b.csv")]
    with pytest.raises(
        DataError, match=r"b.csv: is sampled every 20 s, .*a.csv every 10 s; resample one of them"
    ):
        read_csv(paths, INPUTS, OUTPUTS)


def test_records_and_what_was_not_measured_survive_a_file(tmp_path, rng):
    one, two = (random_data(rng).records[0] for _ in range(2))
    y = two.y.copy()
    y[[0, 3], 0] = np.nan
    data = Dataset(
        INPUTS, OUTPUTS, 2.0, (Record("one", one.u, one.y), Record("two, later", two.u, y))
    )
    write_csv(tmp_path / "a.csv", data)
    back = read_csv(tmp_path / "a.csv", INPUTS, OUTPUTS)
    assert [r.name for r in back.records] == ["one", "two, later"]
    assert back.digest == data.digest
    assert back.missing == 2
    assert data.digest != Dataset(INPUTS, OUTPUTS, 2.0, (Record("one", one.u, one.y), two)).digest


def test_what_was_not_measured_counts_in_no_fit_and_no_scaling(rng):
    data = random_data(rng)
    item = data.records[0]
    y, estimate = item.y.copy(), item.y + 0.1 * rng.standard_normal(item.y.shape)
    lost = rng.random(len(y)) < 0.3
    y[lost] = np.nan
    holed = Dataset(INPUTS, OUTPUTS, 1.0, (Record("r", item.u, y),))
    kept = Dataset(INPUTS, OUTPUTS, 1.0, (Record("r", item.u[~lost], item.y[~lost]),))
    np.testing.assert_allclose(scale(holed).y_mid, scale(kept).y_mid, rtol=ROUND_OFF)
    np.testing.assert_allclose(scale(holed).y_span, scale(kept).y_span, rtol=ROUND_OFF)
    fits = [
        fit_index(a, b, scaling=scale(kept), units=["pH"])
        for a, b in ((y, estimate), (item.y[~lost], estimate[~lost]))
    ]
    for name in ("normalised", "engineering", "mean_removed", "rmse"):
        np.testing.assert_allclose(*(getattr(fit, name) for fit in fits), rtol=1e-9)


def test_an_output_that_was_never_measured_is_refused(rng):
    item = random_data(rng).records[0]
    empty = Dataset(INPUTS, OUTPUTS, 1.0, (Record("r", item.u, np.full_like(item.y, np.nan)),))
    with pytest.raises(InputError, match="signal 'pH' was never measured in the data"):
        scale(empty)
    with pytest.raises(InputError, match="an output never moves in the reference"):
        fit_index(empty.records[0].y, item.y, scaling=scale(random_data(rng)), units=["pH"])


# -- scaling ---------------------------------------------------------------------------------------


def test_limits_scaling_maps_the_actuator_range_to_one_and_centres_outputs(rng):
    data = random_data(rng)
    scaling = scale(data)
    assert scaling.radius == 1.0
    np.testing.assert_allclose(
        scaling.u_in([[0.0, 280.0], [10.0, 320.0]]), [[-1, -1], [1, 1]], rtol=ROUND_OFF
    )
    y = scaling.y_in(data.records[0].y)
    assert abs(y.mean()) < ROUND_OFF
    assert np.abs(y).max() == pytest.approx(1.0, rel=ROUND_OFF)
    assert np.abs(scaling.u_in(data.clipped().records[0].u)).max() <= 1.0


def test_the_papers_scaling_says_how_far_the_limits_reach(rng):
    data = random_data(rng)
    scaling = scale(data, rule="paper")
    u = scaling.u_in(data.records[0].u)
    assert np.abs(u.mean(axis=0)).max() < ROUND_OFF
    assert np.abs(u).max() == pytest.approx(1.0, rel=ROUND_OFF)
    corners = np.abs(scaling.u_in([[0.0, 280.0], [10.0, 320.0]]))
    assert scaling.radius == pytest.approx(corners.max(), rel=ROUND_OFF)
    assert scaling.radius > 1.0


@settings(deadline=None, derandomize=True, max_examples=50)
@given(seed=st.integers(0, 1000), rule=st.sampled_from(["limits", "paper"]))
def test_scaling_and_back_is_the_identity_and_the_radius_covers_every_clipped_input(seed, rule):
    rng = np.random.default_rng(seed)
    scaling = scale(random_data(rng), rule=rule)
    u, y = rng.uniform((0.0, 280.0), (10.0, 320.0), (9, 2)), rng.normal(size=(9, 1))
    np.testing.assert_allclose(scaling.u_out(scaling.u_in(u)), u, rtol=ROUND_OFF)
    np.testing.assert_allclose(scaling.y_out(scaling.y_in(y)), y, rtol=ROUND_OFF)
    assert np.abs(scaling.u_in(u)).max() <= scaling.radius * (1 + ROUND_OFF)


def test_scaling_uses_all_records(rng):
    one, two = random_data(rng).records[0], random_data(rng).records[0]
    scaling = scale(Dataset(INPUTS, OUTPUTS, 1.0, (one, two)))
    assert scaling.y_mid[0] == pytest.approx(np.vstack([one.y, two.y]).mean(), rel=ROUND_OFF)


# -- fit -------------------------------------------------------------------------------------------


def fit(y, estimate, scaling=None, **options):
    scaling = (
        Scaling([0.0], [1.0], np.zeros(y.shape[1]), np.ones(y.shape[1]))
        if scaling is None
        else scaling
    )
    return fit_index(y, estimate, scaling=scaling, units=["pH"] * y.shape[1], **options)


def test_every_figure_is_eq_12_in_its_units(rng):
    y, estimate = rng.normal(7, 1, (80, 2)), rng.normal(7, 1, (80, 2))
    scaling = Scaling([0.0], [1.0], [6.5, 7.5], [0.5, 3.0])
    found = fit(y, estimate, scaling, transient=5, against="noise-free")
    for j in range(2):
        a, b = y[5:, j], estimate[5:, j]
        mid, span = scaling.y_mid[j], scaling.y_span[j]
        assert found.engineering[j] == pytest.approx(
            paper.fit(a.tolist(), b.tolist()), rel=ROUND_OFF
        )
        normalised = paper.fit(((a - mid) / span).tolist(), ((b - mid) / span).tolist())
        assert found.normalised[j] == pytest.approx(normalised, rel=ROUND_OFF)
        centred = paper.fit((a - a.mean()).tolist(), (b - a.mean()).tolist())
        assert found.mean_removed[j] == pytest.approx(centred, rel=ROUND_OFF)
        assert found.rmse[j] == pytest.approx(
            paper.norm_2((a - b).tolist()) / np.sqrt(75), rel=ROUND_OFF
        )
    assert (found.units, found.against, found.skipped) == (("pH", "pH"), "noise-free", 5)


def test_a_constant_flatters_on_raw_ph_and_scores_zero_without_the_mean(dataset):
    y = dataset.records[0].y
    found = fit(y, np.full_like(y, y.mean()))
    assert found.engineering[0] > 85.0
    assert abs(found.mean_removed[0]) < 1e-9


def test_an_output_that_never_moves_has_no_fit(rng):
    with pytest.raises(InputError, match="fit_index: an output never moves in the reference"):
        fit(np.full((9, 1), 7.0), rng.normal(7, 1, (9, 1)))


def test_a_perfect_estimate_scores_a_hundred(rng):
    y = rng.normal(size=(9, 1))
    found = fit(y, y)
    assert found.normalised == found.engineering == found.mean_removed == (100.0,)
    assert found.rmse == (0.0,)
    assert found.describe()["mean_removed"] == (100.0,)
    assert (
        str(found)
        == "FIT (12) 100.00 % normalised (100.00 % in pH), mean-removed 100.00 %, RMSE 0 pH against"
        " the measured output"
    )


# -- misuse ----------------------------------------------------------------------------------------


def moving(**changes):
    fields = {"u": [[0.0, 290.0], [1.0, 300.0]], "y": [[1.0], [2.0]]}
    return made(**{**fields, **changes})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Record("a", [[1.0]], [[1.0]]),
            r"record 'a': u \(1, 1\) and y \(1, 1\) .* at least 2",
        ),
        (lambda: Record("a", [[1.0], [2.0]], [[1.0]]), "must have as many samples, at least 2"),
        (
            lambda: Record("a", [[1.0], [2.0]], [[1.0], [2.0]], [[1.0]]),
            "must have as many samples, at least 2",
        ),
        (
            lambda: Record("a", [1.0, 2.0], [[1.0], [2.0]]),
            r"record 'a': u must have 2 dimension\(s\)",
        ),
        (lambda: Record("a", [[1.0], [np.nan]], [[1.0], [2.0]]), "record 'a': u must be finite"),
        (lambda: Dataset(INPUTS, OUTPUTS, 1.0, ()), "a data set needs at least one record"),
        (
            lambda: moving(u=[[1.0], [2.0]]),
            "record 'run': 1 inputs and 1 outputs, the signals declare 2 and 1",
        ),
        (
            lambda: moving(y=[[1.0, 1.0], [2.0, 2.0]]),
            "2 inputs and 2 outputs, the signals declare 2 and 1",
        ),
        (
            lambda: Scaling([0.0], [0.0], [0.0], [1.0]),
            r"spans \[0.0\], \[1.0\] and radius 1.0 must be positive",
        ),
        (lambda: Scaling([0.0], [1.0], [0.0], [1.0], 0.0), "radius 0.0 must be positive"),
        (lambda: Scaling([0.0], [1.0], [0.0], [1.0], np.inf), "radius inf must be positive"),
        (
            lambda: scale(moving(inputs=(Signal("q", "V", 0), INPUTS[1]))),
            "input 'q' has no actuator limits",
        ),
        (
            lambda: scale(moving(), rule="mean"),
            "unknown scaling rule 'mean'; use 'limits' or 'paper'",
        ),
        (lambda: scale(moving(y=[[1.0], [1.0]])), "signal 'pH' never moves in the data"),
        (
            lambda: scale(moving(u=[[0.0, 290.0], [1.0, 290.0]]), rule="paper"),
            "signal 'T' never moves in the data",
        ),
        (
            lambda: fit(np.zeros((3, 1)), np.zeros((4, 1))),
            r"fit_index needs two \(N, ny\) arrays of one shape",
        ),
        (
            lambda: fit(np.ones((6, 1)), np.ones((6, 1)), transient=5),
            r"at least 2 samples left, got \(1, 1\) .* skipping 5",
        ),
    ],
)
def test_misuse_is_named(make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize("noise", [{"input_noise": -1.0}, {"output_noise": -1.0}])
def test_a_negative_variance_is_refused(plant, noise):
    with pytest.raises(InputError, match="noise variances must not be negative, got"):
        record(plant, Steps((0.0,), [15.0]), steps=3, **noise)
