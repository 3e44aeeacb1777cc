"""The client: reads a sample in one request, writes in one, and reads back what was written."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lstm_mpc.errors import InputError, LstmMpcError
from lstm_mpc.plants.system import Array, Signal
from lstm_mpc.project.operation.modes import Mode
from lstm_mpc.project.operation.opcua.library import library
from lstm_mpc.project.operation.options import ALIVE, SECURED, SPEED, STATE, Wiring
from lstm_mpc.project.operation.readings import Quality, Reading, Snapshot

_WRITTEN = (STATE, ALIVE, SPEED)  # tags that are not read in a sample
_NUMBERS = ("Float", "Double")


class Lost(LstmMpcError):
    """The server does not answer."""


class OpcUa:
    """A connection to an OPC UA server.

    Args:
        wiring: Where it is, and which node is what.
        outputs: The signals that are read and must lie in the server's ranges.
        inputs: Those that are written.
        patience: How long an answer may take [s].
    """

    def __init__(
        self,
        wiring: Wiring,
        outputs: Sequence[Signal],
        inputs: Sequence[Signal],
        patience: float = 4.0,
    ) -> None:
        self._wiring, self._outputs, self._inputs = wiring, outputs, inputs
        self._patience, self._ua, self._client = patience, library().ua, None
        self._ids = {tag: self._node_id(tag, node) for tag, node in wiring.nodes.items()}
        self._types: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return self._wiring.connection.url

    @property
    def single(self) -> tuple[bool, ...]:
        """Which inputs the server keeps in single precision; known once it is open."""
        kind = self._ua.VariantType.Float
        return tuple(self._types.get(s.name) == kind for s in self._inputs)

    async def open(self) -> None:
        """Connect, and check that every node is what it is taken for.

        Raises:
            Lost: The server does not answer.
            InputError: It is another server, or a node does not fit.
        """
        await self.close()
        client = await self._secured(library().Client(self.url, timeout=self._patience))
        try:
            await _within(client.connect(), 3 * self._patience)
            self._client = client
            await self._check()
        except InputError:
            await self.close()
            raise
        except Exception as error:  # what the library raises depends on what the server says
            await _ended(client)
            self._client = None
            raise Lost(f"{self.url}: {_words(error)}") from error

    async def close(self) -> None:
        """Disconnect, whatever the server says."""
        client, self._client = self._client, None
        if client is not None:
            await _ended(client)

    async def read(self) -> Snapshot:
        """All that is read in a sample, in one request.

        Raises:
            Lost: The server does not answer.
        """
        return await self._read([tag for tag in self._ids if tag not in _WRITTEN])

    async def exchange(self, values: Array | None, mode: Mode, beat: int) -> Snapshot | None:
        """Write the inputs, the mode and our heartbeat in one request, and read the inputs back.

        Args:
            values: The inputs, (nu,) [engineering]; None where nothing is to be written.
            mode: What we report.
            beat: Our heartbeat.

        Returns:
            What the server holds after a write; None where there was none.

        Raises:
            Lost: The server does not answer.
        """
        ua, writes = self._ua, list[Any]()
        given: dict[str, Any] = {}
        if values is not None:
            given = {s.name: float(v) for s, v in zip(self._inputs, values, strict=True)}
        for tag, value in ((STATE, int(mode)), (ALIVE, beat)):
            if tag in self._ids and tag in self._types:
                kind = self._types[tag]
                given[tag] = mode.name if kind == ua.VariantType.String and tag == STATE else value
        for tag, value in given.items():
            held = ua.DataValue(ua.Variant(value, self._types[tag]))
            writes.append(ua.WriteValue(self._ids[tag], ua.AttributeIds.Value, Value=held))
        if writes:
            await self._asked(lambda c: c.uaclient.write(ua.WriteParameters(NodesToWrite=writes)))
        return None if values is None else await self._read([s.name for s in self._inputs])

    async def speed(self) -> float | None:
        """How many times faster than real the server simulates; None where it does not say."""
        if SPEED not in self._ids:
            return None
        value = (await self._read([SPEED])).of(SPEED).value
        return float(value) if isinstance(value, float) else None

    # -- how ---------------------------------------------------------------------------------------

    def _node_id(self, tag: str, node: str) -> Any:
        try:
            return self._ua.NodeId.from_string(node)
        except Exception as error:  # the library's own
            raise InputError(
                f"[nodes] {tag} = {node!r:.60} is no node id such as ns=2;s=Reactor.pH"
            ) from error

    async def _secured(self, client: Any) -> Any:
        options, folder = self._wiring.connection, self._wiring.folder
        if options.user:
            path = folder / options.password_file
            client.set_user(options.user)
            client.set_password(_text(path).strip())
        if options.security != SECURED:
            return client
        crypto = library().crypto
        files = [folder / name for name in (options.certificate, options.key)]
        pinned = folder / options.server_certificate
        for path in (*files, pinned):
            if not path.is_file():
                raise InputError(f"{path}: is not there; docs/operate.md shows how it is written")
        try:
            own = await crypto.uacrypto.load_certificate(files[0])
            client.application_uri = _uri(own) or client.application_uri
            await client.set_security(
                crypto.security_policies.SecurityPolicyBasic256Sha256,
                str(files[0]),
                str(files[1]),
                server_certificate=str(pinned),
            )
            known = crypto.uacrypto.der_from_x509(await crypto.uacrypto.load_certificate(pinned))
        except Exception as error:
            raise InputError(f"{folder}: certificates cannot be used ({_words(error)})") from error
        await self._refuse_other(known)
        return client

    async def _refuse_other(self, known: bytes) -> None:
        """The server must show the certificate that is pinned; InputError for another one."""
        try:
            probe = library().Client(self.url, timeout=self._patience)
            asked = probe.connect_and_get_server_endpoints()
            endpoints = await _within(asked, 3 * self._patience)
        except Exception as error:
            raise Lost(f"{self.url}: {_words(error)}") from error
        shown = [e.ServerCertificate for e in endpoints if e.ServerCertificate]
        if not any(certificate.startswith(known) for certificate in shown):
            raise InputError(
                f"{self.url}: shows another certificate than"
                f" {self._wiring.connection.server_certificate}; it is another server, or it has a"
                " new certificate that must be brought here by hand"
            )

    async def _check(self) -> None:
        """Types of what is written, ranges and units of what the server says."""
        ua, held = self._ua, await self._data(list(self._ids))
        for tag, value in zip(self._ids, held, strict=True):
            if value.StatusCode is not None and "NodeId" in value.StatusCode.name:
                raise InputError(f"{self.url}: there is no node {self._wiring.nodes[tag]} ({tag})")
            self._types[tag] = value.Value.VariantType if value.Value is not None else None
        for s in self._inputs:
            kind = self._types[s.name]
            if getattr(kind, "name", None) not in _NUMBERS:
                raise InputError(
                    f"{self.url}: {s.name} is of type {getattr(kind, 'name', 'unknown')}; an input"
                    " must be a Float or a Double"
                )
        for tag in (STATE, ALIVE):
            if self._types.get(tag) in (None, ua.VariantType.Null):
                self._types.pop(tag, None)
        for s in (*self._outputs, *self._inputs):
            await self._check_range(s, s in self._inputs)

    async def _check_range(self, signal: Signal, is_input: bool) -> None:
        node = self._client.get_node(self._ids[signal.name]) if self._client else None
        found: dict[str, Any] = {}
        for name in ("EURange", "EngineeringUnits"):
            with suppress(self._ua.UaError):
                assert node is not None
                found[name] = await (await node.get_child([f"0:{name}"])).read_value()
        unit = getattr(getattr(found.get("EngineeringUnits"), "DisplayName", None), "Text", None)
        if unit and unit != signal.unit:
            raise InputError(
                f"{self.url}: {signal.name} is in {unit!r:.40}, the model has it in"
                f" {signal.unit!r:.40}; map a node in that unit"
            )
        ends = found.get("EURange")
        if ends is None or not is_input:
            return
        if not (ends.Low <= signal.low and signal.high <= ends.High):
            raise InputError(
                f"{self.url}: {signal.name} has the range [{ends.Low:g}, {ends.High:g}], the"
                f" controller moves it in [{signal.low:g}, {signal.high:g}] {signal.unit}"
            )

    async def _read(self, tags: Sequence[str]) -> Snapshot:
        held = await self._data(tags)
        return Snapshot(dict(zip(tags, map(_reading, held), strict=True)))

    async def _data(self, tags: Sequence[str]) -> Sequence[Any]:
        ua = self._ua
        nodes = [ua.ReadValueId(self._ids[tag], ua.AttributeIds.Value) for tag in tags]
        asked = ua.ReadParameters(
            NodesToRead=nodes, TimestampsToReturn=ua.TimestampsToReturn.Both, MaxAge=0.0
        )
        held: Sequence[Any] = await self._asked(lambda c: c.uaclient.read(asked))
        if len(held) != len(tags):
            raise Lost(f"{self.url}: answers {len(held)} of {len(tags)} values")
        return held

    async def _asked(self, request: Any) -> Any:
        if self._client is None:
            raise Lost(f"{self.url}: not connected")
        try:
            return await _within(request(self._client), self._patience)
        except Exception as error:
            raise Lost(f"{self.url}: {_words(error)}") from error


def _reading(held: Any) -> Reading:
    """A value of the library as ours."""
    status = held.StatusCode
    worst = Quality.GOOD if status is None else Quality(min(status.value >> 30, 2))
    name = "Good" if status is None else status.name
    value = None if held.Value is None else held.Value.Value
    stamps: Mapping[str, float | None] = {
        key: None if at is None else at.timestamp()
        for key, at in (("source", held.SourceTimestamp), ("server", held.ServerTimestamp))
    }
    return Reading(value, worst, name, stamps["source"], stamps["server"])


async def _within(request: Coroutine[Any, Any, Any], seconds: float) -> Any:
    """The answer, or TimeoutError. The library may end a request that is cancelled with errors of
    its own, which no timeout of asyncio takes for one: it runs in a task that nobody waits for."""
    task = asyncio.ensure_future(request)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        task.cancel()
    if not task.done():
        raise TimeoutError(f"no answer within {seconds:.3g} s")
    if task.cancelled():
        raise TimeoutError("the connection was ended")
    return task.result()


async def _ended(client: Any) -> None:
    """Disconnect and wait for nobody."""
    with suppress(Exception):
        await _within(client.disconnect(), 1.0)
    with suppress(Exception):
        client.uaclient.disconnect_socket()


def _uri(certificate: Any) -> str:
    """The application that a certificate is of, by its alternative names."""
    for extension in certificate.extensions:
        if extension.oid.dotted_string == "2.5.29.17":
            for name in extension.value:
                if type(name).__name__ == "UniformResourceIdentifier":
                    return str(name.value)
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: the password cannot be read ({error})") from error


def _words(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip()[:200]
