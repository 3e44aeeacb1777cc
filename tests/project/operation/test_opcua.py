"""Beside a simulated plant by OPC UA, on this machine: real client, real server. A server takes
seconds to begin, so most of this is slow; `test_runtime` has the same stories in memory."""

import asyncio
import shutil
import socket
import subprocess
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import numpy as np
import pytest
from places import ROOT

from lstm_mpc.errors import InputError
from lstm_mpc.model.model import Model
from lstm_mpc.plants.batch import rest
from lstm_mpc.project.design import load_design
from lstm_mpc.project.operation.history import rows_of
from lstm_mpc.project.operation.modes import Mode, Request
from lstm_mpc.project.operation.opcua.client import Lost, OpcUa, _within as within
from lstm_mpc.project.operation.opcua.plant_server import (
    PlantServer,
    ServerOptions,
    quiet_scenario,
)
from lstm_mpc.project.operation.options import (
    ConnectionOptions,
    Wiring,
    all_tags,
    wiring_of,
)
from lstm_mpc.project.operation.runtime import Runtime
from lstm_mpc.project.steps.operate_steps import plant_server_of

SHIPPED = ROOT / "models" / "ph"
SPEED = 250.0  # a sample of 10 s lasts 40 ms


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wired(cleared, port, folder, **options):
    nodes = {tag: f"ns=2;s={tag}" for tag in all_tags(cleared.spec.model)}
    url = f"opc.tcp://127.0.0.1:{port}/lstm-mpc"
    return Wiring(ConnectionOptions(url=url, **options), nodes=nodes, folder=folder)


@asynccontextmanager
async def served(plant, port, writes=None, **options):
    y = np.asarray(plant.output(plant.x0)).ravel()
    heard = [] if writes is None else writes
    server = PlantServer(
        plant,
        replace(quiet_scenario(plant, y), noise=0.002),
        ServerOptions(port=port, speed=SPEED, **options),
        lambda *write: heard.append(write),
    )
    stop, up = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(server.serve(stop, up.set))
    first = asyncio.create_task(up.wait())
    await asyncio.wait([task, first], return_when=asyncio.FIRST_COMPLETED)
    first.cancel()
    if task.done():
        task.result()
    try:
        yield server
    finally:
        stop.set()
        await task


@asynccontextmanager
async def operated(cleared, wiring, path, events=None):
    heard = [] if events is None else events
    runtime = Runtime("ph", cleared, wiring, path, speed=SPEED, on_event=lambda *e: heard.append(e))
    stop = asyncio.Event()
    task = asyncio.create_task(runtime.run(stop))
    try:
        yield runtime
    finally:
        stop.set()
        await task


async def samples(runtime, count):
    until = runtime.counts.samples + count
    async with asyncio.timeout(20), runtime.changed:
        await runtime.changed.wait_for(lambda: runtime.counts.samples >= until)


def admissible(cleared, writes):
    low, high = (getattr(cleared.spec.limits, key)[0] for key in ("u_low", "u_high"))
    return all(low <= b <= high and abs(b - a) <= 0.5 for _, a, b in writes)


@pytest.mark.slow
def test_advice_then_control_then_a_server_and_a_controller_that_die(
    cleared, plant, port, tmp_path
):
    writes, path = [], tmp_path / "history.db"

    async def story():
        wiring = wired(cleared, port, tmp_path)
        async with served(plant, port, writes) as server:
            async with operated(cleared, wiring, path) as runtime:
                await samples(runtime, 3)
                assert not writes  # ADVISE
                await server._nodes["pH.setpoint"].write_value(7.4)
                assert runtime.loop.request(Request("anna", "mode", "AUTO")).granted
                await samples(runtime, 35)
                assert abs(server.y[0] - 7.4) < 0.15
                assert await server._value("state") == Mode.AUTO
                assert await server._value("controller_heartbeat") > 30
                runtime._kept = lambda stopped=False: kept  # what a kill would leave
                kept = {**runtime.loop.kept(), "begun": True}
            async with operated(cleared, wiring, path) as runtime:
                await samples(runtime, 3)
                assert runtime.loop.mode == Mode.AUTO  # it went on
                assert [r.mode for r in runtime.trend] == [Mode.AUTO] * 3
        assert writes
        assert admissible(cleared, writes)

    asyncio.run(story())
    rows = list(rows_of(path))
    assert len(rows) > 40


@pytest.mark.slow
def test_a_server_that_goes_and_comes_back(cleared, plant, port, tmp_path):
    async def story():
        wiring = wired(cleared, port, tmp_path)
        async with served(plant, port):
            operating = operated(cleared, wiring, tmp_path / "h.db")
            runtime = await operating.__aenter__()
            await samples(runtime, 3)
        await samples(runtime, 3)
        gone = runtime.trend[-1]
        assert gone.reasons["pH"].startswith("no connection")
        assert "connection" in {a.name for a in runtime.loop.alarms if a.active}
        async with served(plant, port):
            await samples(runtime, 12)
            assert not runtime.trend[-1].reasons
            assert runtime.counts.lost == 1
            await operating.__aexit__(None, None, None)

    asyncio.run(story())


@pytest.mark.slow
def test_faults_that_are_injected_are_flagged(cleared, plant, port, tmp_path):
    async def story():
        wiring = wired(cleared, port, tmp_path)
        async with (
            served(plant, port) as server,
            operated(cleared, wiring, tmp_path / "h.db") as runtime,
        ):
            await samples(runtime, 2)
            ua = server._ua
            for kind, words in (("bad_status", "BadSensorFailure"), ("dropout", "no finite")):
                arguments = [ua.Variant(v) for v in (kind, 0, 0.0, 50.0)]
                assert server._inject(None, *arguments) == []
                await samples(runtime, 4)
                assert any(words in r.reasons.get("pH", "") for r in runtime.trend), kind
            unknown = [ua.Variant(v) for v in ("saturated", 0, 0.0, 50.0)]
            assert server._inject(None, *unknown)[0].name == "BadInvalidArgument"

    asyncio.run(story())


@pytest.mark.slow
def test_what_the_server_is_not(cleared, plant, port, tmp_path):
    spec = cleared.spec
    outputs, inputs = spec.model.outputs, spec.model.manipulated

    async def opened(wiring, outputs=outputs, inputs=inputs):
        client = OpcUa(wiring, outputs, inputs, 1.0)
        try:
            await client.open()
        finally:
            await client.close()

    async def story():
        good = wired(cleared, port, tmp_path)
        with pytest.raises(Lost, match="ConnectionRefusedError"):
            await opened(good)
        async with served(plant, port):
            await opened(good)
            absent = replace(good, nodes={**good.nodes, "q3": "ns=2;s=nothing"})
            with pytest.raises(InputError, match=r"there is no node ns=2;s=nothing \(q3\)"):
                await opened(absent)
            counter = replace(good, nodes={**good.nodes, "q3": "ns=2;s=heartbeat"})
            with pytest.raises(InputError, match="q3 is of type UInt32; an input must be a Float"):
                await opened(counter)
            other = (replace(outputs[0], unit="mV"),)
            with pytest.raises(InputError, match="pH is in 'pH', the model has it in 'mV'"):
                await opened(good, other)
            wide = (replace(inputs[0], high=99.0),)
            with pytest.raises(InputError, match=r"range \[12.5, 17\], the controller moves it in"):
                await opened(good, inputs=wide)
            with pytest.raises(InputError, match=f"{port}.*cannot be listened on"):
                async with served(plant, port):
                    pass
            slow = Runtime("ph", cleared, good, tmp_path / "h.db", speed=2.0)
            with pytest.raises(InputError, match="250 times faster than real; give --speed 250"):
                await slow.run(asyncio.Event())

    asyncio.run(story())


# -- who is who ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "client", "other"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
             "-keyout", folder / f"{name}.pem", "-outform", "der", "-out", folder / f"{name}.der",
             "-subj", f"/CN={name}", "-addext", f"subjectAltName=URI:urn:lstm-mpc:{name}"],
            check=True,
            capture_output=True,
        )  # fmt: skip
    return folder


@pytest.mark.slow
def test_certificates_decide_who_gets_in(cleared, plant, port, certificates):
    spec, folder = cleared.spec, certificates
    safe = {"security": "Basic256Sha256", "certificate": "client.der", "key": "client.pem"}
    cases = (
        ({**safe, "server_certificate": "server.der"}, None),
        ({**safe, "server_certificate": "other.der"}, "shows another certificate than other.der"),
        (
            {
                **safe,
                "certificate": "other.der",
                "key": "other.pem",
                "server_certificate": "server.der",
            },
            "BadUserAccessDenied|BadIdentityTokenRejected",
        ),
        ({}, "No matching endpoints|Error|Bad"),
        ({**safe, "server_certificate": "none.der"}, "none.der: is not there; docs/operate.md"),
    )

    async def story():
        files = {"certificate": "server.der", "key": "server.pem", "trusted": "client.der"}
        options = {key: folder / name for key, name in files.items()}
        async with served(plant, port, **options):
            for given, words in cases:
                wiring = wired(cleared, port, folder, **given)
                client = OpcUa(wiring, spec.model.outputs, spec.model.manipulated, 2.0)
                if words is None:
                    await client.open()
                    assert (await client.read()).of("pH").status == "Good"
                else:
                    with pytest.raises((InputError, Lost), match=words):
                        await client.open()
                with suppress(Exception):
                    await client.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "http://plc"}, "url must be opc.tcp://host:port, got 'http://plc'"),
        ({"url": "opc.tcp://plc:4840"}, "plc is another machine: give security"),
        ({"security": "Basic128"}, "security must be"),
        ({"security": "Basic256Sha256"}, "needs certificate and key and server_certificate"),
        ({"user": "anna"}, "user and password_file belong together"),
    ],
)
def test_connections_that_do_not_do(options, words):
    with pytest.raises(InputError, match=words):
        ConnectionOptions(**options)
    assert ConnectionOptions(url="opc.tcp://plc:4840", insecure=True).insecure


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "is not TOML"),
        ("[nodes]\npH = 'ns=2;s=a'", r"\[nodes\] lacks q3"),
        ("[nodes]\npH = 'ns=2;s=a'\nq3 = 'ns=2;s=a'", r"\[nodes\] names 'ns=2;s=a' twice"),
        ("[nodes]\nqq = 'a'", r"unknown key 'qq' in \[nodes\]"),
        ("[operation]\nshed_after = 'x'", r"\[operation\] shed_after is 'x', not a whole number"),
        ("[other]", "unknown key 'other' in the connection"),
    ],
)
def test_connection_files_that_do_not_do(cleared, tmp_path, text, words):
    (tmp_path / "connection.toml").write_text(text)
    with pytest.raises(InputError, match=f"connection.toml: .*{words}|{words}"):
        wiring_of(tmp_path, cleared.spec.model)
    with pytest.raises(InputError, match="cannot be read"):
        wiring_of(tmp_path, cleared.spec.model, tmp_path / "none.toml")


def test_without_a_file_the_nodes_are_those_of_simulate(cleared, tmp_path):
    model = cleared.spec.model
    assert wiring_of(tmp_path, model).nodes["pH.setpoint"] == "ns=2;s=pH.setpoint"
    assert "pH.setpoint" not in wiring_of(tmp_path, model, page=True).nodes


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": "0.0.0.0"}, "can be reached from other machines, which needs --certificate"),
        ({"speed": 0.0}, r"speed must lie in \(0, 10000\], got 0"),
        ({"key": "x"}, "--certificate, --key and --trust belong together"),
    ],
)
def test_servers_that_do_not_do(options, words):
    with pytest.raises(InputError, match=words):
        ServerOptions(**options)


def test_a_request_that_ends_otherwise_when_it_is_cancelled_is_late():
    """asyncua does that: asyncio's own timeout lets such an error through."""

    class Otherwise(asyncio.CancelledError):
        pass

    async def stubborn():
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            raise Otherwise from None

    async def story():
        with pytest.raises(TimeoutError, match=r"no answer within 0.01 s"):
            await within(stubborn(), 0.01)
        assert await within(asyncio.sleep(0, 7), 1.0) == 7

    asyncio.run(story())


def test_where_no_plant_is_simulated_the_model_is_served(tmp_path):
    text = (SHIPPED / "design.toml").read_text().replace('kind = "ph"', 'kind = "model"')
    head = text[: text.index("[[scenario]]")].split("[experiment]")
    kept = head[1][head[1].index("[train]") : head[1].index("[verify_loop]")]
    signals = (
        '[[input]]\nname = "q3"\nunit = "mL/s"\nlow = 12.5\nhigh = 17.0\nnominal = 15.55\n'
        '[[output]]\nname = "pH"\nunit = "pH"\nlow = 0.0\nhigh = 14.0\n'
    )
    plain = head[0].replace("Ts = 10.0", "")
    (tmp_path / "design.toml").write_text(plain + signals + kept)
    shutil.copy(SHIPPED / "model.json", tmp_path)
    server = plant_server_of(load_design(tmp_path), ServerOptions())
    model = Model.load(tmp_path / "model.json")
    chi = rest(model.system, model.system.u_nominal)
    np.testing.assert_allclose(server.y, model.system.vectorised.output(chi[:, None])[:, 0])
    text = (tmp_path / "design.toml").read_text()
    (tmp_path / "design.toml").write_text(text.replace(plain, 'name = "ph"\n'))
    with pytest.raises(InputError, match=r"needs a \[plant\] to simulate; kind = \"model\""):
        plant_server_of(load_design(tmp_path), ServerOptions())
