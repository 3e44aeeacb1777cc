"""The simulated plant of a design behind an OPC UA server, for acceptance tests and for anybody's
controller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from lstm_mpc.control import faults
from lstm_mpc.control.faults import ACTUATOR, SENSOR, Fault
from lstm_mpc.control.scenario import Draw, Probe, Scenario, Valve, draw_scenario
from lstm_mpc.data.excitation import Steps
from lstm_mpc.errors import InputError
from lstm_mpc.plants.system import Array, Signal, System
from lstm_mpc.project.operation.opcua.library import library
from lstm_mpc.project.operation.options import (
    ALIVE,
    HEARTBEAT,
    LOOPBACK,
    MODE,
    REMOTE,
    SETPOINT,
    SPEED,
    STATE,
)

_WATCHDOG = 10  # [samples] without our controller's heartbeat, after which it may not write
_SERVER_FAULTS = ("bad_status", "no_new_stamp", "clock_step")
_LONG = 100_000  # [samples] of noise, which repeats after them


@dataclass(frozen=True)
class ServerOptions:
    """Where the server listens and how fast it simulates: `host`, `port`, `speed` times faster than
    real; with a `certificate` and its `key` only clients with the certificate `trusted` come in,
    signed and encrypted."""

    host: str = "127.0.0.1"
    port: int = 4840
    speed: float = 1.0
    certificate: Path | None = None
    key: Path | None = None
    trusted: Path | None = None

    def __post_init__(self) -> None:
        if not 0 < self.speed <= 10_000:
            raise InputError(f"simulate: speed must lie in (0, 10000], got {self.speed:g}")
        files = (self.certificate, self.key, self.trusted)
        if any(files) and not all(files):
            raise InputError("simulate: --certificate, --key and --trust belong together")
        for path in files:
            if path is not None and not path.is_file():
                raise InputError(f"{path}: is not there; docs/operate.md shows how it is written")
        if not all(files) and self.host not in LOOPBACK:
            raise InputError(
                f"simulate: {self.host} can be reached from other machines, which needs"
                " --certificate, --key and --trust"
            )

    @property
    def url(self) -> str:
        return f"opc.tcp://{self.host}:{self.port}/lstm-mpc"


class PlantServer:
    """A plant at rest that begins to run when it is served.

    Args:
        plant: The plant.
        scenario: Setpoints, disturbances, noise, delay, valve and faults.
        options: Where it listens, how fast it goes.
        on_write: Hears the name of an input, its value before a client's write, and that after it.
    """

    def __init__(
        self,
        plant: System,
        scenario: Scenario,
        options: ServerOptions = ServerOptions(),
        on_write: Callable[[str, float, float], None] = lambda name, before, after: None,
    ) -> None:
        self._plant, self._scenario, self._options = plant, scenario, options
        self._on_write, self._ua = on_write, library().ua
        if not scenario.duration < inf:
            raise InputError("simulate: the scenario has no end")
        self._draw: Draw = draw_scenario(plant, scenario, u_start=plant.u_nominal)
        long = replace(scenario, duration=_LONG * plant.Ts, disturbances=None, faults=())
        self._noise = draw_scenario(plant, long, u_start=plant.u_nominal).noise
        self._chi = self._draw.chi[:, None]
        self._valve = Valve(plant.u_nominal, scenario.valve_lag, plant.Ts)
        self._probe = Probe(scenario.delay, plant.Ts)
        self._faults: list[Fault] = list(scenario.faults)
        self._wrong = self._loop()
        self._bad: dict[str, tuple[str, float]] = {}  # signal -> fault of the server, its end
        self._nodes: dict[str, Any] = {}
        self._held: dict[str, Any] = {}
        self.k, self._beat, self._still = 0, None, 0
        self._stamp, self._step = datetime.now(UTC), timedelta()  # what its clock says, and is off

    @property
    def y(self) -> Array:
        """The outputs as they truly are, (ny,)."""
        return np.asarray(self._plant.vectorised.output(self._chi))[:, 0]

    async def serve(self, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Run until `stop` is set.

        Raises:
            InputError: The address cannot be listened on.
        """
        server = await self._built()
        try:
            await server.start()
        except OSError as error:
            raise InputError(
                f"{self._options.url}: cannot be listened on ({error.strerror}); another --port"
                " may be free"
            ) from error
        pace, began = self._plant.Ts / self._options.speed, time.monotonic()
        try:
            await self._publish()
            ready()
            while not stop.is_set():
                self.k += 1
                late = began + self.k * pace - time.monotonic()
                if late < -pace:  # a machine that slept: go on from here
                    began -= late
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), max(late, 0.0))
                if not stop.is_set():
                    await self._tick()
        finally:
            await server.stop()

    # -- the address space -------------------------------------------------------------------------

    async def _built(self) -> Any:
        asyncua, ua, options = library(), self._ua, self._options
        users = None if options.trusted is None else _Trusting(options.trusted)
        server = asyncua.Server(user_manager=users)
        await server.init()
        server.set_endpoint(options.url)
        server.set_server_name(f"lstm-mpc simulate: {self._plant.name}")
        kind = ua.SecurityPolicyType
        if options.trusted is None:
            server.set_security_policy([kind.NoSecurity])
        else:
            await server.load_certificate(str(options.certificate))
            await server.load_private_key(str(options.key))
            server.set_security_policy([kind.Basic256Sha256_SignAndEncrypt])
        place = await server.register_namespace("urn:lstm-mpc:plant")
        objects = await server.nodes.objects.add_object(place, self._plant.name)
        await self._variables(objects, place)
        await objects.add_method(
            f"ns={place};s=inject",
            f"{place}:inject",
            self._inject,
            [ua.VariantType.String, ua.VariantType.Int64, ua.VariantType.Double,
             ua.VariantType.Double],
            [],
        )  # fmt: skip
        event = asyncua.common.callback.CallbackType.PreWrite
        server.subscribe_server_callback(event, self._written)
        self._server = server
        return server

    async def _variables(self, objects: Any, place: int) -> None:
        plant, ua = self._plant, self._ua

        async def variable(name: str, value: Any, kind: Any, signal: Signal | None = None) -> None:
            node = await objects.add_variable(
                f"ns={place};s={name}", f"{place}:{name}", value, kind
            )
            self._nodes[name], self._held[name] = node, value
            if signal is not None and signal.bounded:
                ends = ua.Range(float(signal.low), float(signal.high))
                await node.add_property(0, "EURange", ends)
                unit = ua.EUInformation(DisplayName=ua.LocalizedText(signal.unit))
                await node.add_property(0, "EngineeringUnits", unit)

        double = ua.VariantType.Double
        for s, u in zip(plant.inputs, self._draw.u_start.tolist(), strict=True):
            await variable(s.name, u, double, s)
        for s, d in zip(plant.disturbances, self._draw.d[0].tolist(), strict=True):
            await variable(s.name, d, double, s)
        for s, y, r in zip(plant.outputs, self.y, self._draw.reference[0], strict=True):
            await variable(s.name, float(y), double, s)
            await variable(s.name + SETPOINT, float(r), double)
        for name, value, of in (
            (REMOTE, True, ua.VariantType.Boolean),
            (MODE, 1, ua.VariantType.Int32),
            (STATE, 0, ua.VariantType.Int32),
            (HEARTBEAT, 0, ua.VariantType.UInt32),
            (ALIVE, 0, ua.VariantType.UInt32),
            (SPEED, float(self._options.speed), double),
        ):
            await variable(name, value, of)
        outputs = {s.name for s in plant.outputs}
        for name, node in self._nodes.items():
            if name not in (HEARTBEAT, SPEED) and name not in outputs:
                await node.set_writable()

    def _written(self, event: Any, _: Any) -> None:
        """A client writes; inputs are heard of."""
        if not event.is_external:
            return
        for write in event.request_params.NodesToWrite:
            name = write.NodeId.Identifier
            if name in [s.name for s in self._plant.inputs] and write.Value.Value is not None:
                held = self._server.iserver.aspace.read_attribute_value(
                    write.NodeId, self._ua.AttributeIds.Value
                )
                self._on_write(str(name), float(held.Value.Value), float(write.Value.Value.Value))

    # -- time --------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        """A sample passes: the plant moves under what is in force, then is measured."""
        plant, k = self._plant, self.k
        names = [s.name for s in plant.inputs]
        u = np.array([await self._value(name) for name in names], dtype=np.float64)
        low, high = (np.array([getattr(s, end) for s in plant.inputs]) for end in ("low", "high"))
        told, stood = self._wrong.told(k, np.clip(u, low, high)), self._valve.position
        self._valve.position = self._wrong.held(k, told, stood, self._valve.follow(told))
        d = np.array([await self._value(s.name) for s in plant.disturbances], dtype=np.float64)
        self._chi = plant.vectorised.step(self._chi, self._valve.position[:, None], d[:, None])
        await self._schedule()
        await self._publish()
        await self._watch()

    async def _schedule(self) -> None:
        """Setpoints and disturbances that change in the scenario."""
        k, draw = self.k, self._draw
        if not 0 < k < len(draw.d):
            return
        rows = ((self._plant.disturbances, draw.d, ""),
                (self._plant.outputs, draw.reference, SETPOINT))  # fmt: skip
        for signals, table, suffix in rows:
            for j, s in enumerate(signals):
                if table[k, j] != table[k - 1, j]:
                    await self._nodes[s.name + suffix].write_value(float(table[k, j]))

    async def _publish(self) -> None:
        ua, k = self._ua, self.k
        y = self._probe.read(self.y) + self._noise[k % len(self._noise)]
        y = self._wrong.measured(k, y)
        self._stamp = datetime.now(UTC) + self._step
        for s, value in zip(self._plant.outputs, y.tolist(), strict=True):
            kind, end = self._bad.get(s.name, ("", -inf))
            kind = kind if k < end else ""
            if kind == "no_new_stamp":
                continue
            code = ua.StatusCodes.BadSensorFailure if kind else ua.StatusCodes.Good
            held = ua.DataValue(
                ua.Variant(value, ua.VariantType.Double),
                ua.StatusCode(code),
                SourceTimestamp=self._stamp,
            )
            await self._server.iserver.aspace.write_attribute_value(
                self._nodes[s.name].nodeid, ua.AttributeIds.Value, held
            )
        for s in self._plant.disturbances:
            value = float(await self._value(s.name))
            await self._nodes[s.name].write_value(
                ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=self._stamp)
            )
        beat = ua.Variant(k % 2**32, ua.VariantType.UInt32)
        await self._nodes[HEARTBEAT].write_value(beat)

    async def _watch(self) -> None:
        """A controller in AUTO whose heartbeat stands still may not write any more."""
        beat, state = await self._value(ALIVE), await self._value(STATE)
        self._still = self._still + 1 if beat == self._beat and state == 3 else 0
        self._beat = beat
        if self._still == _WATCHDOG:
            await self._nodes[REMOTE].write_value(False)

    async def _value(self, name: str) -> Any:
        return await self._nodes[name].read_value()

    def _loop(self) -> faults.Loop:
        nothing: Any = None  # faults of a controller are none of a plant's
        return faults.Loop(
            [f for f in self._faults if f.kind in SENSOR | ACTUATOR],
            nothing,
            self._draw.u_start,
            ny=self._plant.ny,
            Ts=self._plant.Ts,
            name=self._scenario.name,
        )

    def _inject(self, _: Any, kind: Any, channel: Any, size: Any, seconds: Any) -> Sequence[Any]:
        """The method `inject`: a fault from now on, for so many seconds of the plant."""
        name, Ts = str(kind.Value), self._plant.Ts
        begin, end = self.k * Ts, self.k * Ts + max(float(seconds.Value), Ts)
        if name == "clock_step":
            self._step += timedelta(seconds=float(size.Value))
            return []
        if name in _SERVER_FAULTS and 0 <= channel.Value < self._plant.ny:
            self._bad[self._plant.outputs[channel.Value].name] = (name, end / Ts)
            return []
        needs = (SENSOR | ACTUATOR).get(name, ("unknown", "unknown"))
        if len(needs) > 1:
            return [self._ua.StatusCode(self._ua.StatusCodes.BadInvalidArgument)]
        given = {key: float(size.Value) for key in needs}
        try:
            self._faults.append(Fault(name, begin, end, channel=int(channel.Value), **given))
            self._wrong = self._loop()
        except InputError:
            self._faults.pop()
            raise
        return []


class _Trusting:
    """Lets in who has the one certificate that is trusted."""

    def __init__(self, trusted: Path) -> None:
        self._der = trusted.read_bytes()

    def get_user(
        self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None
    ) -> Any:
        rules = library().crypto.permission_rules
        return rules.User(role=rules.UserRole.User) if certificate == self._der else None


def quiet_scenario(plant: System, y: Array) -> Scenario:
    """Nothing happens: the plant at rest, with setpoints where it is."""
    return Scenario("rest", Steps((0.0,), [y.tolist()]), plant.Ts)
