"""The contract of a driver, on every driver that can be found: a module in drivers without a stand here fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from gateway import contracts, plugins, settings
from gateway.clock import SystemClock
from gateway.contracts import Driver
from gateway.errors import CommandRefused, ConnectionLost
from gateway.model import Link, Scan, Tag, TagGroup, Value
from tests.drivers.receiver import FakeReceiver
from tests.parts import libmodbus
from tests.parts.libcoap import CoapServer
from tests.parts.mosquitto import Mosquitto
from tests.parts.nodeopcua import URI, NodeOpcUa
from tests.parts.process import Part, free_port

BOUND_S = 5.0
"""What the supervisor grants for closing."""


class Stand(ABC):
    """A real counterpart, and a minimal link to it: the device `machine` with the groups `values`, which is read, and
    `inputs`, which is written to. There, the tag `setpoint` takes `written`, and `denied` takes nothing."""

    driver: str
    values: Mapping[str, Value]
    """What a scan of `values` holds."""
    written: Value
    part: Part

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def start(self) -> None:
        """Let the counterpart run, as `part`."""

    @abstractmethod
    def settings(self, port: int) -> dict[str, Any]:
        """The link's own settings, to a far end at `port`."""

    @abstractmethod
    def groups(self) -> dict[str, Any]:
        """The groups of the device, as a configuration has them."""

    def provoke(self) -> None:
        """Let the counterpart publish one message, where it is the one that speaks first."""

    @abstractmethod
    def watch(self) -> Callable[[], str]:
        """Look at the far end by other means than ours; the result tells what `setpoint` was written to there."""


class Modbus(Stand):
    driver = "modbus"
    values = MappingProxyType({"count": 7, "level": 7 * 65536.0 + 8, "on": True})
    written = 4711

    def start(self) -> None:
        self.part = libmodbus.start(self.folder, "--hole", "60")

    def settings(self, port: int) -> dict[str, Any]:
        return {"driver": "modbus", "host": "127.0.0.1", "port": port, "timeout": "200ms"}

    def groups(self) -> dict[str, Any]:
        tags = {
            "count": {"address": "holding:7", "type": "uint16"},
            "level": {"address": "input:7", "type": "float64", "raw": "uint32"},
            "on": {"address": "coil:3", "type": "bool"},
        }
        inputs = {
            "setpoint": {"address": "holding:50", "type": "uint16", "writable": True},
            "denied": {"address": "holding:60", "type": "uint16", "writable": True},
        }
        return {"values": {"interval": "1s", "tags": tags}, "inputs": {"interval": "1s", "tags": inputs}}

    def watch(self) -> Callable[[], str]:
        return lambda: libmodbus.poll(self.part.port, "4", 50)[0]


class Mqtt(Stand):
    driver = "mqtt"
    values = MappingProxyType({"count": 7, "level": 0.5, "on": True, "mode": "auto"})
    written = 47.25

    def start(self) -> None:
        # The broker refuses the command topic of `denied`, and lets anybody else do anything.
        acl = "topic readwrite plant/#\ntopic readwrite setpoint\n"
        self.part = self.broker = Mosquitto(self.folder, acl=acl)

    def settings(self, port: int) -> dict[str, Any]:
        return {"driver": "mqtt", "host": "127.0.0.1", "port": port}

    def groups(self) -> dict[str, Any]:
        tags = {
            "count": {"type": "uint16"},
            "level": {"type": "float64"},
            "on": {"type": "bool"},
            "mode": {"type": "string"},
        }
        inputs = {
            "setpoint": {"type": "float64", "writable": True, "command_topic": "{tag}"},
            "denied": {"type": "float64", "writable": True, "command_topic": "{tag}"},
        }
        return {
            "values": {"topic": "plant/{device}", "tags": tags},
            "inputs": {"topic": "plant/{device}/inputs", "tags": inputs},
        }

    def provoke(self) -> None:
        self.broker.publish("plant/machine", '{"count": 7, "level": 0.5, "on": true, "mode": "auto"}')

    def watch(self) -> Callable[[], str]:
        subscriber = self.broker.subscribe("setpoint")
        return lambda: subscriber.messages()[0].split()[-1]


class OpcUa(Stand):
    driver = "opcua"
    values = MappingProxyType({"u16": 65_535, "level": 1.25, "on": True, "text": "Grüße"})
    written = 47.25

    def start(self) -> None:
        self.part = self.server = NodeOpcUa(self.folder)

    def settings(self, port: int) -> dict[str, Any]:
        return {"driver": "opcua", "url": f"opc.tcp://127.0.0.1:{port}/plant", "keepalive": "500ms"}

    def groups(self) -> dict[str, Any]:
        def tag(name: str, kind: str, **more: Any) -> dict[str, Any]:
            return {"node": f"nsu={URI};s={name}", "type": kind, **more}

        types = {"u16": "uint16", "level": "float64", "on": "bool", "text": "string"}
        tags = {name: tag(name, kind) for name, kind in types.items()}
        inputs = {name: tag(name, "float64", writable=True) for name in ("setpoint", "denied")}
        return {"values": {"publishing_interval": "50ms", "tags": tags}, "inputs": {"interval": "1s", "tags": inputs}}

    def watch(self) -> Callable[[], str]:
        return lambda: str(self.server.get("setpoint"))


class Coap(Stand):
    driver = "coap"
    values = MappingProxyType({"count": 7, "level": 0.5, "on": True, "mode": "auto"})
    written = 47.25

    def start(self) -> None:
        self.part = self.server = CoapServer(self.folder)
        self.server.put("/machine", '{"count": 7, "level": 0.5, "on": true, "mode": "auto"}')

    def settings(self, port: int) -> dict[str, Any]:
        return {"driver": "coap", "host": "127.0.0.1", "port": port, "timeout": "1s", "keepalive": "200ms"}

    def groups(self) -> dict[str, Any]:
        types = {"count": "uint16", "level": "float64", "on": "bool", "mode": "string"}
        tags = {name: {"type": type_} for name, type_ in types.items()}
        writable = {"type": "float64", "writable": True}
        inputs = {
            "setpoint": {**writable, "command": {"resource": "/{tag}"}},
            "denied": {**writable, "command": {"resource": "/time", "method": "post"}},
        }
        return {
            "values": {"resource": "/{device}", "interval": "1s", "tags": tags},
            "inputs": {"resource": "/inputs", "interval": "1s", "tags": inputs},
        }

    def watch(self) -> Callable[[], str]:
        return lambda: self.server.get("/setpoint")


STANDS = {
    "coap": pytest.param(Coap, marks=pytest.mark.real("libcoap"), id="coap"),
    "modbus": pytest.param(Modbus, marks=[pytest.mark.real("libmodbus"), pytest.mark.real("mbpoll")], id="modbus"),
    "mqtt": pytest.param(Mqtt, marks=pytest.mark.real("mosquitto"), id="mqtt"),
    "opcua": pytest.param(OpcUa, marks=pytest.mark.real("node-opcua"), id="opcua"),
}


def test_every_driver_has_a_stand() -> None:
    assert set(plugins.names("driver")) == set(STANDS)


@pytest.fixture(params=STANDS.values())
def idle(request: pytest.FixtureRequest, tmp_path: Path) -> Stand:
    """Its counterpart does not run."""
    made: Stand = request.param(tmp_path)
    return made


@pytest.fixture
def stand(idle: Stand) -> Iterator[Stand]:
    idle.start()
    yield idle
    idle.part.kill()


def link_to(stand: Stand, port: int) -> Link:
    """As the configuration makes it."""
    sections = {
        "site": "plant-1",
        "cell": "line-a",
        "links": {"line": stand.settings(port)},
        "devices": {"machine": {"link": "line", "groups": stand.groups()}},
        "sinks": {"archive": {"sink": "files", "directory": "archive"}},
    }
    (stand.folder / "edgeward.yaml").write_text(json.dumps(sections))
    (link,) = settings.load(stand.folder / "edgeward.yaml").links
    return link


def make(stand: Stand, port: int | None = None) -> tuple[Driver, FakeReceiver]:
    receiver = FakeReceiver(SystemClock())
    module = plugins.load("driver", stand.driver)
    driver = module.Driver(link_to(stand, stand.part.port if port is None else port), receiver)
    assert isinstance(driver, contracts.Driver)
    return driver, receiver


def tag_of(driver: Driver, name: str) -> Tag:
    return next(tag for group in driver.link.devices[0].groups for tag in group.columns if tag.name == name)


def group_of(driver: Driver) -> TagGroup:
    return driver.link.devices[0].groups[0]


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Whatever happens inside, afterwards there are no more tasks and no more sockets than before."""
    tasks, sockets = asyncio.all_tasks(), count_sockets()
    yield
    async with asyncio.timeout(BOUND_S):
        while (asyncio.all_tasks() - tasks) or count_sockets() > sockets:
            await asyncio.sleep(0.01)


def count_sockets() -> int:
    """Of this process, as the kernel knows them."""
    return sum(path.is_socket() for path in Path("/proc/self/fd").iterdir())


async def close(driver: Driver) -> None:
    async with asyncio.timeout(BOUND_S):
        await driver.close()


@contextlib.asynccontextmanager
async def session(stand: Stand) -> AsyncIterator[tuple[Driver, FakeReceiver, asyncio.Task[None]]]:
    """An open driver whose `run` goes on, closed at the end; and nothing is left of it."""
    async with nothing_left():
        driver, receiver = make(stand)
        try:
            await driver.open()
            running = asyncio.create_task(driver.run())
            try:
                yield driver, receiver, running
            finally:
                running.cancel()
                await asyncio.wait([running])
        finally:
            await close(driver)


async def scan_from(stand: Stand, driver: Driver, receiver: FakeReceiver) -> Scan:
    group = group_of(driver)
    if group.interval is not None:
        return await driver.read(group)
    await asyncio.to_thread(stand.provoke)
    await receiver.wait_scans(1)
    return receiver.scans[-1]


async def test_a_scan_has_the_shape_of_its_group(stand: Stand) -> None:
    async with session(stand) as (driver, receiver, _):
        before = receiver.clock.now()
        scan = await scan_from(stand, driver, receiver)
    group = group_of(driver)
    assert scan.group is group
    assert [plane.shape for plane in scan.values] == [(span.stop - span.start,) for span in group.spans]
    assert [plane.dtype for plane in scan.values] == [span.type.dtype for span in group.spans]
    assert scan.status is None
    assert scan.columns is None
    assert before <= scan.gateway_time <= receiver.clock.now()
    names = [tag.name for tag in group.columns]
    row = [value for plane in scan.values for value in plane.tolist()]
    assert dict(zip(names, row, strict=True)) == stand.values


async def test_a_write_returns_when_the_far_end_has_it(stand: Stand) -> None:
    seen = await asyncio.to_thread(stand.watch)
    async with session(stand) as (driver, _, _):
        await driver.write(tag_of(driver, "setpoint"), stand.written)
        assert await asyncio.to_thread(seen) == str(stand.written)


async def test_a_far_end_that_says_no_is_a_refused_command(stand: Stand) -> None:
    """Some far ends hang up after it, as Mosquitto 2.0.11 does; that is theirs to decide."""
    async with session(stand) as (driver, _, _):
        with pytest.raises(CommandRefused, match="denied"):
            await driver.write(tag_of(driver, "denied"), 1)


async def test_a_far_end_that_dies_is_a_lost_connection(stand: Stand) -> None:
    async with session(stand) as (driver, receiver, running):
        await scan_from(stand, driver, receiver)
        stand.part.kill()
        async with asyncio.timeout(BOUND_S):
            with pytest.raises(ConnectionLost):
                await running
        async with asyncio.timeout(BOUND_S):
            with pytest.raises(ConnectionLost):
                await driver.write(tag_of(driver, "setpoint"), stand.written)
            if group_of(driver).interval is not None:
                with pytest.raises(ConnectionLost):
                    await driver.read(group_of(driver))


async def test_nobody_there_is_a_lost_connection(idle: Stand) -> None:
    async with nothing_left():
        driver, _ = make(idle, free_port())
        with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1"):
            async with asyncio.timeout(BOUND_S):
                await driver.open()
        await close(driver)


async def test_a_far_end_that_never_answers_can_be_given_up(idle: Stand) -> None:
    """It takes connections and says nothing. Opening may be cancelled by whoever bounds it; closing leaves nothing."""
    async with nothing_left():
        with socket.create_server(("127.0.0.1", 0)) as mute:
            driver, _ = make(idle, mute.getsockname()[1])
            with contextlib.suppress(TimeoutError, ConnectionLost):
                async with asyncio.timeout(0.3):
                    await driver.open()
                    await driver.run()
            await close(driver)


async def test_closing_what_was_never_opened(idle: Stand) -> None:
    async with nothing_left():
        driver, _ = make(idle, free_port())
        await close(driver)


async def test_closing_wakes_whoever_waits(stand: Stand) -> None:
    """The supervisor may close while `run` still waits; it must not wait for ever."""
    async with nothing_left():
        driver, _ = make(stand)
        await driver.open()
        running = asyncio.create_task(driver.run())
        await asyncio.sleep(0)
        await close(driver)
        async with asyncio.timeout(BOUND_S):
            with pytest.raises(ConnectionLost):
                await running
