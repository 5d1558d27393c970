"""A Modbus TCP device on loopback that behaves as badly as a test wants, and the links that lead to it.

Written apart from the driver: each register holds its own address, each odd coil is on.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from drivers.modbus import DeviceSettings, Driver, GroupSettings, LinkSettings
from gateway.clock import Clock, ManualClock
from gateway.model import Device, Link, Scan, Tag, TagGroup


class Query(NamedTuple):
    transaction: int
    unit: int
    function: int
    start: int
    amount: int
    """The second word of the body: a count, or the value that is written."""
    frame: bytes

    def reply(self, body: bytes, **changed: int) -> bytes:
        fields = {"transaction": self.transaction, "unit": self.unit, "function": self.function} | changed
        head = struct.pack(">HHHBB", fields["transaction"], 0, 2 + len(body), fields["unit"], fields["function"])
        return head + body

    def good(self, **changed: int) -> bytes:
        return self.reply(self._body(), **changed)

    def exception(self, code: int) -> bytes:
        return self.reply(bytes([code]), function=self.function | 0x80)

    def _body(self) -> bytes:
        addresses = range(self.start, self.start + self.amount)
        if self.function in (1, 2):
            packed = bytearray((self.amount + 7) // 8)
            for i, address in enumerate(addresses):
                packed[i // 8] |= (address & 1) << i % 8
            return bytes([len(packed)]) + packed
        if self.function in (3, 4):
            return bytes([2 * self.amount]) + struct.pack(f">{self.amount}H", *addresses)
        return self.frame[8:12]


class Wire(asyncio.Protocol):
    """One accepted connection: every complete query goes to `behave`."""

    def __init__(self, behave: Callable[[Wire, Query], None], opened: list[Wire]) -> None:
        self.behave = behave
        self.queries: list[Query] = []
        self._rest = b""
        opened.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= 6 and len(self._rest) >= 6 + int.from_bytes(self._rest[4:6], "big"):
            size = 6 + int.from_bytes(self._rest[4:6], "big")
            frame, self._rest = self._rest[:size], self._rest[size:]
            transaction, _, _, unit, function, start, amount = struct.unpack_from(">HHHBBHH", frame.ljust(12, b"\0"))
            query = Query(transaction, unit, function, start, amount, frame)
            self.queries.append(query)
            self.behave(self, query)

    def send(self, frame: bytes) -> None:
        self.transport.write(frame)


def obedient(wire: Wire, query: Query) -> None:
    wire.send(query.good())


@asynccontextmanager
async def serving(behave: Callable[[Wire, Query], None]) -> AsyncIterator[tuple[int, list[Wire]]]:
    """The port, and the connections as they come."""
    opened: list[Wire] = []
    server = await asyncio.get_running_loop().create_server(lambda: Wire(behave, opened), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], opened
    finally:
        server.close()
        for wire in opened:
            wire.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)  # one turn for the aborted connections to be told


class Room:
    """The door into a cell that nobody stands behind."""

    def __init__(self) -> None:
        self.time = ManualClock()
        self.clock: Clock = self.time

    def publish(self, scan: Scan, durable: Callable[[], None] | None = None) -> None:
        raise AssertionError("a polled driver publishes nothing")

    def refuse(self, source: str, reason: str) -> None:
        raise AssertionError(reason)


def group_of(tags: dict[str, dict[str, Any]], device: str = "press", name: str = "fast") -> TagGroup:
    settings = GroupSettings.model_validate({"interval": "1s", "tags": tags})
    columns = [
        Tag(f"{device}/{key}", one.type, range=one.range, writable=one.writable, address=one)
        for key, one in settings.tags.items()
    ]
    return TagGroup(device, name, TagGroup.sort(columns), settings.interval, 3 * settings.interval, settings)


def link_of(port: int, *groups: TagGroup, link: dict[str, Any] | None = None, **device: Any) -> Link:
    """A device with these groups for each device name in them; all have the same settings but count their units."""
    devices: dict[str, list[TagGroup]] = {}
    for group in groups:
        devices.setdefault(group.device, []).append(group)
    return Link(
        "bus",
        "modbus",
        tuple(
            Device(
                name, tuple(own), DeviceSettings.model_validate({"link": "bus", "unit": unit, "groups": {}} | device)
            )
            for unit, (name, own) in enumerate(devices.items(), start=1)
        ),
        LinkSettings.model_validate(
            {"driver": "modbus", "host": "127.0.0.1", "port": port, "timeout": "30ms"} | (link or {})
        ),
    )


@asynccontextmanager
async def session(link: Link, room: Room | None = None) -> AsyncIterator[Driver]:
    driver = Driver(link, room or Room())
    try:
        await driver.open()
        yield driver
    finally:
        await driver.close()


def words(count: int, start: int = 0, table: str = "holding") -> dict[str, dict[str, Any]]:
    """`count` tags of a register each."""
    return {f"r{i}": {"address": f"{table}:{i}", "type": "uint16"} for i in range(start, start + count)}
