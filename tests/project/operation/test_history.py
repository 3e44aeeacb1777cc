"""The history: only added to, read back, trained on, and gone on from to the bit."""

import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from operating import TS, Bench, facts, good, loop

from lstm_mpc.assurance.mpc import MPC
from lstm_mpc.control.problem import ControlProblem
from lstm_mpc.data.logs.table import open_log
from lstm_mpc.errors import InputError
from lstm_mpc.project.operation.facts import Facts
from lstm_mpc.project.operation.history import History, rows_of
from lstm_mpc.project.operation.loop import Loop
from lstm_mpc.project.operation.modes import Mode, Request
from lstm_mpc.project.operation.options import OperateOptions


@pytest.fixture
def history(tmp_path):
    kept = History(tmp_path / "history.db", facts(), {"engine": "none"})
    yield kept
    kept.close()


def kept_samples(history, count=3):
    bench = Bench(loop(on_event=lambda *event: history.event(0, *event)))
    for k in range(count):
        record = bench.sample(y=good("x", 1.0) if k == 1 else good(7.0 + k, 1e9 + bench.now + TS))
        history.sample(record, late=0.001, cpu=0.002)
        history.save(bench.loop.kept(), b"state")
    return bench


def test_what_was_kept_is_read_back(history):
    bench = kept_samples(history)
    names, *rows = rows_of(history.path)
    table = {name: [row[j] for row in rows] for j, name in enumerate(names)}
    assert table["k"] == [1, 2, 3]
    assert table["y [pH]"] == [7.0, None, 9.0]
    assert table["u [mL/s]"] == [15.0] * 3
    assert table["reasons"][1] == "y: 'x' is no finite number"
    assert table["late_ms"] == [1.0] * 3
    events = list(rows_of(history.path, "events"))
    assert ("start", "mode") in [row[3:5] for row in events]
    kept = history.kept()
    assert kept.content == bench.loop.kept()
    assert kept.engine == b"state"
    assert 0 <= kept.elapsed < 60
    assert history.window(facts(), 2) == [(15.0, None), (15.0, 9.0)]


def test_a_history_is_a_log_that_new_reads(history):
    kept_samples(history)
    table = open_log(history.path)
    assert table.kind == "db"
    assert [table.cells(table.place(name))[0] for name in ("u", "y")] == ["15.0", "7.0"]
    assert table.names[0] == "time"


@pytest.mark.parametrize("change", ["UPDATE samples SET k = 9", "DELETE FROM events"])
def test_a_history_is_only_added_to(history, change):
    kept_samples(history)
    with pytest.raises(sqlite3.IntegrityError, match="a history is only added to"):
        history._base.execute(change)


def test_a_full_disk_is_trouble_and_nothing_is_lost(history):
    history.limit(1)
    kept_samples(history, 60)
    assert "full" in history.trouble
    waiting = len(history._backlog)
    history.limit(10**6)
    history.save({}, b"")
    assert history.trouble == ""
    assert waiting
    assert len(list(rows_of(history.path))) == 61


def test_files_that_are_no_history(tmp_path, history):
    other = replace(facts(), outputs=())
    with pytest.raises(InputError, match="is the history of a loop with other signals"):
        History(history.path, other, {})
    with pytest.raises(InputError, match="there is no history; `lstm-mpc operate` writes one"):
        next(rows_of(tmp_path / "none.db"))
    (tmp_path / "text.db").write_text("no database, of some length" * 40)
    with pytest.raises(InputError, match="is no history of a controller"):
        next(rows_of(tmp_path / "text.db"))
    with pytest.raises(InputError, match="cannot be used as a history"):
        History(tmp_path / "text.db", facts(), {})


# -- the engine itself -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spec(released):
    problem = ControlProblem(horizon=8, move_penalty=0.05, max_move=0.5, observer_gain=0.6)
    return MPC(released, problem).spec


def of(spec, engine, **options):
    model, limits = spec.model, spec.limits
    own = replace(
        facts(),
        outputs=model.outputs,
        inputs=model.manipulated,
        safe_set=np.array([[4.0, 10.0]]),
        border=replace(facts().border, names=("q3",), low=limits.u_low, high=limits.u_high),
        max_disturbance=np.zeros(0),
    )
    assert isinstance(own, Facts)
    tags = ("pH", "q3")
    return Loop(own, MPC.of(spec, engine).wrapped, OperateOptions(**options), tags)


class Vessel(Bench):
    """A first-order pH behind q3."""

    def snapshot(self, **changed):
        stamp = 1e9 + self.now
        changed = {"pH": good(self.y, stamp), "q3": good(self.u, stamp), **changed}
        return super().snapshot(**changed)

    def run(self, samples):
        for _ in range(samples):
            self.sample()
            self.y += 0.2 * (7.0 + 0.8 * (self.u - 15.5) - self.y)
        return self


@pytest.mark.parametrize("engine", ["sqp", "c"])
def test_manual_to_auto_has_no_bump_and_no_offset(spec, engine):
    vessel = Vessel(of(spec, engine, start="MANUAL"), u=15.2, y=6.8).run(60)
    assert vessel.loop.request(Request("anna", "mode", "AUTO")).granted
    vessel.run(3)
    assert max((abs(after - before) for before, after in vessel.writes), default=0.0) < 0.01
    assert vessel.loop.request(Request("anna", "setpoint", [7.3])).granted
    vessel.run(80)
    assert abs(vessel.y - 7.3) < 0.01
    assert all(abs(after - before) <= 0.5 for before, after in vessel.writes)


def test_a_restart_goes_on_to_the_bit(spec):
    vessel = Vessel(of(spec, "c", start="MANUAL"), u=15.2, y=6.8).run(10)
    vessel.loop.request(Request("anna", "mode", "AUTO"))
    vessel.loop.request(Request("anna", "setpoint", [7.3]))
    vessel.run(5)
    kept, state = vessel.loop.kept(), vessel.loop.engine.save()
    other = Vessel(of(spec, "c"), u=vessel.u, y=vessel.y)
    other.loop.engine.restore(state)
    other.now, other.beat = vessel.now, vessel.beat
    other.loop.resume(kept, vessel.now, 0.0)
    vessel.writes.clear()
    assert vessel.run(10).writes == other.run(10).writes
    assert other.loop.mode == Mode.AUTO
