"""The runtime in time, beside a plant in memory."""

import asyncio
import json
import shutil
import signal
import socket
import threading
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from operating import InMemory, runtime_of, samples

from lstm_mpc.assurance.clearance import clear
from lstm_mpc.certificates.evidence import ErrorTube
from lstm_mpc.cli import main
from lstm_mpc.directory import Project
from lstm_mpc.errors import InputError, Refused
from lstm_mpc.project.design import load_design
from lstm_mpc.project.operation.history import rows_of
from lstm_mpc.project.operation.modes import Mode, Request
from lstm_mpc.project.operation.opcua.plant_server import ServerOptions
from lstm_mpc.project.steps import operate_steps
from lstm_mpc.project.steps.replay_steps import refuse_other_worst


def story(runtime, acts):
    """Run `acts` while the runtime operates; what it counts."""

    async def whole():
        stop = asyncio.Event()
        task = asyncio.create_task(runtime.run(stop))
        try:
            await acts(runtime)
        finally:
            stop.set()
            await task
        return runtime.counts

    return asyncio.run(whole())


async def into_auto(runtime):
    await samples(runtime, 2)
    assert runtime.loop.request(Request("anna", "mode", "AUTO")).granted
    assert runtime.loop.request(Request("anna", "setpoint", [7.4])).granted
    await samples(runtime, 10)


@pytest.mark.parametrize("engine", ["c", "sqp"])
def test_a_restart_goes_on_without_a_bump(cleared, tmp_path, engine):
    plant, path, events = InMemory(), tmp_path / "h.db", []
    first = runtime_of(cleared, plant, path, engine)
    second = runtime_of(cleared, plant, path, engine, events)  # made before: the gap is short

    async def killed(runtime):
        await into_auto(runtime)
        kept = {**runtime.loop.kept(), "begun": True}
        runtime._kept = lambda stopped=False: kept  # nothing is kept of the end

    counts = story(first, killed)
    assert counts.writes > 3
    writes = len(plant.writes)
    story(second, lambda runtime: samples(runtime, 4))
    words = [text for _, what, text in events]
    if engine == "c":
        assert "goes on in AUTO" in words
        assert len(plant.writes) > writes
    else:
        assert any("begins from its history" in text for text in words)
        assert second.loop.mode == Mode.ADVISE
    assert all(12.5 <= b <= 17 and abs(b - a) <= 0.5 for a, b in plant.writes)
    assert len(list(rows_of(path))) == counts.samples + second.counts.samples + 1


def test_an_orderly_end_is_no_restart(cleared, tmp_path):
    plant, path = InMemory(), tmp_path / "h.db"
    story(runtime_of(cleared, plant, path), into_auto)
    again = runtime_of(cleared, plant, path)
    story(again, lambda runtime: samples(runtime, 2))
    assert again.loop.mode == Mode.ADVISE


def test_a_lost_connection_is_seen_and_made_anew(cleared, tmp_path):
    plant = InMemory()

    async def acts(runtime):
        await into_auto(runtime)
        plant.gone = True
        await samples(runtime, 2)
        assert "pH" in runtime.trend[-1].reasons
        assert any(a.name == "connection" and a.active for a in runtime.loop.alarms)
        plant.gone = False
        await samples(runtime, 2)
        assert not runtime.trend[-1].reasons
        assert runtime.loop.mode == Mode.AUTO

    counts = story(runtime_of(cleared, plant, tmp_path / "h.db"), acts)
    assert counts.lost == 1
    assert counts.flagged >= 2


def test_a_process_that_slept_says_so(cleared, tmp_path):
    plant = InMemory()

    async def acts(runtime):
        await into_auto(runtime)
        plant.nap = 0.11
        await samples(runtime, 3)

    counts = story(runtime_of(cleared, plant, tmp_path / "h.db"), acts)
    assert counts.missed >= 4
    assert all(abs(b - a) <= 0.5 for a, b in plant.writes)


def test_a_server_that_is_not_there_yet_is_waited_for(cleared, tmp_path):
    plant, events = InMemory(), []
    plant.gone = True
    runtime = runtime_of(cleared, plant, tmp_path / "h.db", events=events)

    async def acts(runtime):
        await asyncio.sleep(0.1)
        plant.gone = False
        await samples(runtime, 2)

    story(runtime, acts)
    assert events[0][1:] == ("connection", "waits for the server: memory: gone")


def test_another_speed_is_refused(cleared, tmp_path):
    plant = InMemory(fast=20.0)
    runtime = runtime_of(cleared, plant, tmp_path / "h.db")
    with pytest.raises(InputError, match="20 times faster than real; give --speed 20"):
        asyncio.run(runtime.run(asyncio.Event()))


def test_the_history_on_the_command_line(cleared, tmp_path, capsys):
    path = tmp_path / "h.db"
    story(runtime_of(cleared, InMemory(), path), into_auto)
    words = ["history", str(tmp_path), "--history", str(path), "--csv", str(tmp_path / "h.csv")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "samples in 1 run(s)" in out
    assert "anna  mode  ADVISE -> AUTO: asked" in out
    table = (tmp_path / "h.csv").read_text().splitlines()
    assert table[0].startswith("time,run,k,mode,flags")
    assert main([*words, "--json"]) == 2  # it is there
    assert "exists; --force replaces it" in json.loads(capsys.readouterr().out)["error"]
    assert main(["history", str(tmp_path)]) == 2
    assert "there is no history; `lstm-mpc operate` writes one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["simulate", "models/ph"], "--opcua serves the plant"),
        (["simulate", "models/ph", "--opcua", "--port", "99999"], "needs a port from 1 to 65535"),
        (
            ["operate", "models/ph", "--also", "models/ph_feed", "--history", "y"],
            "several designs have connection.toml and history.db each in its own folder",
        ),
    ],
)
def test_words_that_do_not_do(words, said, pytestconfig, monkeypatch, capsys):
    monkeypatch.chdir(pytestconfig.rootpath)
    with suppress(SystemExit):
        assert main(words) == 2
    assert said in capsys.readouterr().err


def test_numbers_are_the_plants(cleared, tmp_path):
    plant = InMemory()
    runtime = runtime_of(cleared, plant, tmp_path / "h.db")
    story(runtime, into_auto)
    last = runtime.trend[-1]
    assert np.isfinite(last.predicted).all()
    assert last.predicted.shape == (9, 1)
    assert last.u[0] == plant.u


@pytest.mark.parametrize("tube", [True, False])
def test_the_mismatch_alarm_is_that_of_the_error_tube_where_there_is_one(cleared, tmp_path, tube):
    """The plant in memory is not the model."""
    spec, events = cleared.spec, []
    if tube:
        own = ErrorTube(spec.model.digest, "0" * 64, 0.1, 50, 40, 1, 2, (0.01,))
        held = replace(spec.release.validation, error_tube=own)
        passed = replace(spec.release, validation=held)
        cleared = clear(replace(spec, release=passed))
    runtime = runtime_of(cleared, InMemory(), tmp_path / "h.db", events=events)
    story(runtime, lambda runtime: samples(runtime, 8))
    raised = [what for _, what, text in events if text.startswith("mismatch: ")]
    assert raised == (["alarm raised"] if tube else [])
    said = [text for _, what, text in events if what == "mismatch"]
    assert bool(said) != tube
    if said:
        assert said[0].startswith("by the observer's disturbance alone: alarm: it needs")


def interrupted(*_):
    """Somebody presses Ctrl-C as soon as it runs."""
    threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,)).start()


def test_every_verb_beside_a_plant_has_a_method(cleared, short_design, monkeypatch):
    """Two designs run in one process; nobody answers them."""
    monkeypatch.setattr(operate_steps, "cleared_of", lambda design, passed, engine: cleared)
    other = short_design.parent / "other"
    shutil.copytree(short_design, other)
    heard, project = [], Project(short_design)
    done = project.operate([other], on_event=lambda *event: heard.append(event), ready=interrupted)
    assert [(o.name, o.engine, o.counts.samples) for o in done] == [("ph", "c", 0)] * 2
    assert [what for _, what, _ in heard] == ["engine", "plant"] * 2 + ["connection"] * 2
    assert {o.history.parent for o in done} == {short_design, other}
    with pytest.raises(InputError, match="there is no history; `lstm-mpc operate` writes one"):
        project.history()
    story(runtime_of(cleared, InMemory(), short_design / "h.db"), into_auto)
    modes = project.history(short_design / "h.db")["mode"]
    assert (modes[0], modes[-1]) == ("ADVISE", "AUTO")
    assert "mode" in project.history(short_design / "h.db", "events")["what"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(InputError, match="has no scenario 'none'"):
        project.simulate(scenario="none")
    url = project.simulate(ServerOptions(port=port), ready=interrupted)
    assert url == f"opc.tcp://127.0.0.1:{port}/lstm-mpc"


def no_compiler():
    raise InputError("there is no C compiler")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ph", "quadruple_tank", "ph_feed"])
def test_without_a_compiler_the_engine_in_python_takes_over(name, pytestconfig, monkeypatch):
    """The evidence of the shipped loops holds under it, too; an altered one does not."""
    for module in ("project.operation.runtime", "codegen.sil", "codegen.compiler"):
        monkeypatch.setattr(f"lstm_mpc.{module}.compiler", no_compiler, raising=False)
    design = load_design(pytestconfig.rootpath / "models" / name)
    runtime = operate_steps.runtime_of(design)
    assert runtime.engine_name == "sqp"
    spec, loop = runtime.cleared.spec, runtime.cleared.loop
    with pytest.raises(Refused, match=r"needs 0\.500 of the safe set; run again, number"):
        refuse_other_worst(design, spec, replace(loop, reach=0.5), "sqp")
