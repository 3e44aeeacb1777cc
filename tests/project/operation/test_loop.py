"""The loop beside a plant: nothing inadmissible is written, whatever is read, asked or decided."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from operating import HIGH, LOW, MOVE, TAGS, Bench, Scripted, facts, good, loop, wish

from lstm_mpc.certificates.evidence import ErrorTube
from lstm_mpc.control.controller import OPTIMAL, ControlAction
from lstm_mpc.errors import InputError
from lstm_mpc.project.operation.border import Border
from lstm_mpc.project.operation.modes import Mode, Request
from lstm_mpc.project.operation.options import OperateOptions
from lstm_mpc.project.operation.readings import Quality, Reading, Snapshot, Watch

ANYTHING = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(LOW - 1, HIGH + 1),
    st.sampled_from([None, "15", True, [15.0], 10**400, b"\x00", 15 + 0j, object]),
)
SANE = st.floats(LOW, HIGH)


def admissible(before, after, rise=MOVE, fall=MOVE):
    return LOW <= after <= HIGH and -fall <= after - before <= rise


@given(
    wanted=st.one_of(ANYTHING, st.lists(ANYTHING, max_size=3)),
    now=st.one_of(ANYTHING, SANE),
    rise=st.sampled_from([1e-9, 0.1, 0.3, 0.5, np.inf]),
    fall=st.sampled_from([1e-9, 0.1, 0.3, 0.5, np.inf]),
    single=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_the_border_lets_nothing_inadmissible_through(wanted, now, rise, fall, single):
    border = Border(("u",), [LOW], [HIGH], [rise], [fall], 10.0, (single,))
    verdict = border.admit(wanted, now, 10.0)
    if verdict.values is None:
        assert verdict.reason
        return
    (value,) = verdict.values.tolist()
    (before,) = np.ravel(now)
    assert admissible(float(before), value, rise, fall)
    assert not single or float(np.float32(value)) == value


@pytest.mark.parametrize(
    ("wanted", "now", "since", "words"),
    [
        ([17.1], [17.0], 10.0, r"u = 17.1 was to be written, from 17 only \[16.5, 17\] is adm"),
        ([15.6], [15.0], 10.0, r"u = 15.6 was to be written, from 15 only \[14.5, 15.5\]"),
        ([np.nan], [15.0], 10.0, r"not 1 finite value\(s\)"),
        ([15.0, 15.0], [15.0], 10.0, r"not 1 finite value\(s\)"),
        ("15", [15.0], 10.0, r"not 1 finite value\(s\)"),
        ([15.0], [np.nan], 10.0, "not known what is in force"),
        ([15.0], [18.0], 10.0, r"u stands at 18, outside \[12.5, 17\]; it must be brought there"),
        ([15.1], [15.0], 4.0, "the last write was 4 s ago, sooner than half a sample"),
    ],
)
def test_the_border_says_why(wanted, now, since, words):
    verdict = facts().border.admit(wanted, now, since)
    assert verdict.values is None
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(verdict.reason)


def test_a_border_without_room_is_refused():
    with pytest.raises(InputError, match=r"border: low .* must be below high"):
        Border(("u",), [1.0], [1.0], [0.1], [0.1], 10.0)
    with pytest.raises(InputError, match="moves positive"):
        Border(("u",), [1.0], [2.0], [0.1], [0.0], 10.0)


def test_a_border_admits_a_rise_that_as_a_fall_it_refuses():
    border = Border(("u",), [LOW], [HIGH], [0.5], [0.1], 10.0)
    assert border.admit([15.5], [15.0], 10.0).values == [15.5]
    assert "only [14.9, 15.5] is admissible" in border.admit([14.6], [15.0], 10.0).reason


HOSTILE = st.builds(
    Reading,
    st.one_of(ANYTHING, SANE),
    st.sampled_from([Quality.GOOD, Quality.GOOD, Quality.GOOD, Quality.UNCERTAIN, Quality.BAD]),
    st.just("Bad"),
    st.one_of(st.none(), st.floats(0, 2e9), st.just(float("nan"))),
    st.one_of(st.none(), st.floats(0, 2e9)),
)
STEP = st.fixed_dictionaries(
    {},
    optional={
        "y": HOSTILE,
        "u": HOSTILE,
        "remote": HOSTILE,
        "mode": HOSTILE,
        "heartbeat": HOSTILE,
    },
)
ASKED = st.one_of(
    st.none(),
    st.tuples(st.just("mode"), st.sampled_from([*Mode.__members__, 7, "x"])),
    st.tuples(st.sampled_from(["setpoint", "output"]), st.one_of(ANYTHING, st.lists(ANYTHING))),
)
MOVES = st.one_of(ANYTHING, st.lists(ANYTHING, max_size=2), st.just(ArithmeticError("no plan")))


@given(
    steps=st.lists(st.tuples(STEP, ASKED, MOVES, st.integers(0, 3), st.booleans()), max_size=12),
    obedient=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_whatever_server_engine_and_people_say(steps, obedient):
    """Every value that is written lies within bounds, and within the rate of what the server said
    is in force; the input that was really in force is only ever left by such a write."""
    answers = iter(())

    def answer(in_force):
        return np.array([in_force + 0.2]) if obedient else next(answers, ArithmeticError())

    bench = Bench(loop(Scripted(answer)))
    bench.sample()
    bench.loop.request(Request("anna", "mode", "AUTO"))
    for changed, asked, moves, missed, takes in steps:
        if asked:
            bench.loop.request(Request("anna", asked[0], asked[1]))
        answers = iter([moves] * 8)
        said = bench.snapshot(**changed).of("u")
        before = len(bench.writes)
        record = bench.sample(missed=missed, takes=takes, **changed)
        written = record.written[0]
        if np.isfinite(written):
            assert said.quality == Quality.GOOD
            assert admissible(float(said.value), written)
            assert record.mode in (Mode.AUTO, Mode.MANUAL)
        assert len(bench.writes) - before <= 1
        if changed:
            bad = [t for t, r in changed.items() if t in "yu" and r.quality != Quality.GOOD]
            assert all(tag in record.reasons for tag in bad)
            assert not bad or record.flagged


# -- modes -----------------------------------------------------------------------------------------


def running(**options):
    bench = Bench(loop(**options))
    bench.sample()
    assert bench.loop.request(Request("anna", "mode", "AUTO")).granted
    return bench


def test_advice_writes_nothing_and_is_shown():
    bench = Bench(loop())
    records = [bench.sample() for _ in range(5)]
    assert not bench.writes
    assert [r.mode for r in records] == [Mode.ADVISE] * 5
    assert records[-1].advice[0] == pytest.approx(15.1)


def test_every_change_of_mode_starts_from_what_is_in_force():
    bench = running()
    bench.sample()
    assert bench.writes == [(15.0, pytest.approx(15.1))]
    for mode in ("MANUAL", "AUTO", "ADVISE", "AUTO", "OFF", "AUTO"):
        assert bench.loop.request(Request("anna", "mode", mode)).granted
        bench.u += 0.0 if mode == "AUTO" else -0.5  # the operator moves it
        bench.sample()
    assert all(admissible(*pair) for pair in bench.writes)
    assert len(bench.writes) == 4


def test_manual_leads_the_input_at_the_rate():
    bench = running()
    assert bench.loop.request(Request("anna", "mode", "MANUAL")).granted
    assert bench.loop.request(Request("anna", "output", [13.4])).granted
    for _ in range(6):
        bench.sample()
    assert [after for _, after in bench.writes] == pytest.approx([14.5, 14.0, 13.5, 13.4])


@pytest.mark.parametrize(("fallback", "end"), [("hold", 15.0), ("safe", 15.0)])
def test_bad_samples_shed(fallback, end):
    bench = running(shed_after=3, fallback=fallback)
    bench.u = 15.6
    bench.loop._expected = []  # it has been there since before
    bad = Reading(7.0, Quality.BAD, "BadSensorFailure", 1.0, 1.0)
    modes = [bench.sample(y=bad).mode for _ in range(6)]
    assert modes == [Mode.AUTO] * 2 + [Mode.MANUAL] * 4
    shed = next(a for a in bench.loop.alarms if a.name == "shed")
    assert shed.text == "AUTO ended: 3 bad samples (y BadSensorFailure)"
    after = [v for b, v in bench.writes[2:]]
    assert after == (pytest.approx([15.3, 15.0]) if fallback == "safe" else [])
    assert bench.loop.request(Request("anna", "mode", "AUTO")).reason == (
        "the last sample was not good"
    )


def test_another_hand_ends_control():
    bench = running()
    bench.sample()
    bench.u = 13.0
    record = bench.sample()
    assert record.mode == Mode.MANUAL
    assert record.reasons["another hand"].startswith("[13.0] is in force, not [15.1")
    assert len(bench.writes) == 1


def test_permission_and_writes_that_are_not_taken():
    bench = running(shed_after=2)
    assert bench.sample(remote=good(False, 1.0)).mode == Mode.MANUAL
    assert bench.loop.request(Request("a", "mode", "AUTO")).reason == (
        "the server does not permit writing"
    )
    bench.sample()
    assert bench.loop.request(Request("a", "mode", "AUTO")).granted
    records = [bench.sample(takes=False) for _ in range(2)]
    assert all("write" in r.reasons for r in records)
    assert bench.loop.mode == Mode.MANUAL


def test_an_input_out_of_bounds_is_not_taken_over():
    bench = Bench(loop(), u=18.0)
    bench.sample()
    asked = bench.loop.request(Request("anna", "mode", "AUTO"))
    assert asked.reason == "u stands at 18, outside [12.5, 17]; bring it there by hand"


def test_a_patched_engine_is_stopped_at_the_border():
    bench = Bench(loop(wish(0.7)))
    bench.sample()
    bench.loop.request(Request("anna", "mode", "AUTO"))
    record = bench.sample()
    assert not bench.writes
    assert record.mode == Mode.MANUAL
    assert record.reasons["border"].startswith("u = 15.7 was to be written, from 15 only")
    assert {a.name for a in bench.loop.alarms} >= {"border", "shed"}


def test_two_operators_at_once():
    bench = running()
    seen = bench.loop.revision
    assert bench.loop.request(Request("anna", "setpoint", [7.5], seen)).granted
    late = bench.loop.request(Request("ben", "setpoint", [8.0], seen))
    assert late.reason == "somebody changed the loop since you looked; look again"
    assert bench.loop.setpoint.tolist() == [7.5]


@pytest.mark.parametrize(
    ("what", "value", "words"),
    [
        ("mode", "FAST", "a mode is one of OFF, ADVISE, MANUAL, AUTO"),
        ("setpoint", [12.0], r"y = 12 is outside \[4.5, 9.5\] pH"),
        ("setpoint", [1, 2], r"1 number\(s\) are needed"),
        ("setpoint", "x", r"1 number\(s\) are needed"),
        ("output", [15.0], "inputs are moved by hand in MANUAL"),
        ("acknowledge", "nothing", "there is no such alarm"),
        ("launch", 1, "nobody can do that"),
    ],
)
def test_what_people_cannot_ask(what, value, words):
    events, bench = [], running()
    bench.loop._tell = lambda *event: events.append(event)
    answer = bench.loop.request(Request("anna", what, value))
    assert not answer.granted
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(answer.reason)
    assert events[-1][0] == "anna"
    assert "refused" in events[-1][2]


def test_the_mode_of_the_server_is_obeyed_when_it_changes():
    bench = Bench(loop(), y=7.0)
    bench.others = {"mode": 1}
    bench.sample()
    bench.others = {"mode": 3}
    assert bench.sample().mode == Mode.AUTO
    bench.loop.request(Request("anna", "mode", "MANUAL"))
    assert bench.sample().mode == Mode.MANUAL


def test_setpoints_of_the_server_stay_within_the_safe_set():
    bench = Bench(loop(tags=(*TAGS, "y.setpoint")))
    bench.others = {"y.setpoint": 8.0}
    assert bench.sample().setpoint.tolist() == [8.0]
    for value in (99.0, "x", float("nan")):
        bench.others = {"y.setpoint": value}
        record = bench.sample()
        assert record.setpoint.tolist() == [8.0]
        assert "outside the safe set [4.5, 9.5]" in record.reasons["y.setpoint"]


def test_alarms_of_the_process():
    bench = Bench(loop(Scripted(lambda u: np.array([min(u + 0.5, HIGH)]))), u=16.9, y=9.3)
    bench.sample()
    bench.loop.request(Request("anna", "mode", "AUTO"))
    for _ in range(12):
        bench.sample()
    texts = {a.name: a.text for a in bench.loop.alarms}
    assert texts["saturation"] == "u at its limit"
    assert texts["constraint"] == "y beyond its limits"
    assert bench.loop.request(Request("anna", "acknowledge", "constraint")).granted
    bench.y = 7.0
    bench.sample()
    assert "constraint" not in {a.name for a in bench.loop.alarms}


# -- readings --------------------------------------------------------------------------------------


def test_a_stamp_that_stands_still_is_stale_whatever_the_clocks_do():
    watch = Watch(max_age=30.0)
    assert watch.judge(good(7.0, 1e9), 0.0) == (7.0, "")
    assert watch.judge(good(7.0, 1e9 + 3600), 10.0) == (7.0, "")  # the server's clock steps
    assert watch.judge(good(7.0, 1e9 - 3600), 20.0) == (7.0, "")
    frozen = [watch.judge(good(7.0, 1e9 - 3600), t)[1] for t in (30.0, 50.0, 51.0)]
    assert frozen == ["", "", "31 s old"]
    old = Reading(7.0, Quality.GOOD, "Good", 1e9, 1e9 + 100)
    assert watch.judge(old, 60.0)[1] == "100 s old"
    assert watch.judge(Reading(7.0, Quality.GOOD, "Good"), 60.0)[1] == "it has no source time stamp"


def test_a_frozen_value_is_none():
    watch = Watch(frozen_after=3)
    assert [watch.judge(good(7.0, k), k)[1] for k in range(4)][2:] == [
        "",
        "frozen at 7 for 3 samples",
    ]


def test_a_heartbeat_that_stands_still_is_flagged():
    bench = running(heartbeat_samples=2, shed_after=1)
    for _ in range(2):
        bench.beat -= 1
        record = bench.sample()
    assert record.reasons["heartbeat"] == "the server's heartbeat stands still"
    assert record.mode == Mode.MANUAL


def test_nothing_is_read_while_the_connection_is_lost():
    bench = running()
    record = bench.sample(Snapshot(lost="no connection"))
    assert record.reasons["y"] == "no connection"
    assert not bench.writes
    assert bench.sample().mode == Mode.AUTO


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fallback": "x"}, "fallback must be one of hold, safe, got 'x'"),
        ({"start": "AUTO"}, "start must be one of OFF, ADVISE, MANUAL, got 'AUTO'"),
        ({"shed_after": 0}, "shed_after must be 1 or more, got 0"),
        ({"max_age": -1.0}, "max_age must be seconds"),
        ({"frozen_after": -1}, "frozen_after must not be negative"),
        ({"mismatch": 2.0}, "mismatch must lie in"),
    ],
)
def test_options_that_do_not_do(options, words):
    with pytest.raises(InputError, match=words):
        OperateOptions(**options)


class Parting:
    """An alarm whose plant has parted in these samples; what it was told."""

    tube = ErrorTube("0" * 64, "0" * 12, 0.1, 4, 40, 1, 0, (0.1,))

    def __init__(self, *samples):
        self.samples, self.begun, self.told = samples, [], []

    def reset(self, u, measured=()):
        self.begun.append(float(u[0]))

    def step(self, y, u, measured=()):
        self.told.append((float(y[0]), float(u[0])))
        return len(self.told) in self.samples


def test_a_plant_beyond_the_error_tube_is_an_alarm_for_a_block():
    alarm = Parting(3, 4)
    bench = Bench(loop(mismatch=alarm))
    active = []
    for _ in range(9):
        bench.sample()
        active.append(any(a.name == "mismatch" and a.active for a in bench.loop.alarms))
    assert active == [False] * 2 + [True] * 5 + [False] * 2
    assert alarm.begun == [15.0]
    assert alarm.told[0] == (7.0, 15.0)
    text = next(a.text for a in bench.loop.alarms if a.name == "mismatch")
    assert "without a cause in at most 10% of all blocks of 4 samples" in text
    assert bench.loop.mode == Mode.ADVISE
    bench.sample(missed=2)  # the model goes on through them, unseen
    assert [y == y for y, _ in alarm.told[-3:]] == [False, False, True]


def test_without_an_error_tube_the_observer_says_it():
    nothing = np.zeros(1)

    def explained(share):
        return ControlAction(
            np.array([15.0]), OPTIMAL, 1, 0.0, np.zeros((2, 1)), nothing, 0.0, "", np.array([share])
        )

    class Explaining(Scripted):
        def decide(self, y, reference, measured=()):
            return explained(0.96)

    bench = Bench(loop(Explaining(None)))
    active = []
    for _ in range(11):
        bench.sample()
        active.append(any(a.name == "mismatch" for a in bench.loop.alarms))
    assert active == [False] * 9 + [True] * 2
