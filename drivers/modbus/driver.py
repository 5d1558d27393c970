"""The Modbus TCP driver: one session of one connection, with the units behind it."""

from __future__ import annotations

from typing import cast

from drivers.modbus import exception
from drivers.modbus.client import Client, Statistics, connect
from drivers.modbus.encode import encode, landed
from drivers.modbus.reading import Reader
from drivers.modbus.settings import DeviceSettings, LinkSettings
from drivers.modbus.transaction import Exchange
from gateway import contracts
from gateway.clock import SECOND
from gateway.contracts import Receiver
from gateway.errors import CommandRefused, ConnectionLost, DeviceSilent
from gateway.model import Link, Scan, Tag, TagGroup, Value


class Driver(contracts.Driver):
    """What it learns about a device, such as missing addresses, lasts for its session."""

    def __init__(self, link: Link, receiver: Receiver) -> None:
        super().__init__(link, receiver)
        self._settings = cast(LinkSettings, link.settings)
        self._units: dict[str, int] = {}
        self._readers: dict[str, Reader] = {}
        self._client: Client | None = None
        for device in link.devices:
            settings = cast(DeviceSettings, device.settings)
            self._units[device.id] = settings.unit
            for group in device.groups:
                self._readers[group.id] = Reader(settings, group, receiver.clock)

    async def open(self) -> None:
        self._client = await self._connect(self._settings.in_flight)
        if self._settings.in_flight > 1 and not await self._pipelines(self._client):
            await self._client.close()
            self._client = await self._connect(1)

    async def _connect(self, in_flight: int) -> Client:
        link = self._settings
        return await connect(link.host, link.port, in_flight, link.timeout / SECOND, link.pause / SECOND)

    async def _pipelines(self, client: Client) -> bool:
        """Try two reads at once: some servers answer only the first, some hang for good, some hang up."""
        blocks = [block for reader in self._readers.values() for block in reader.plan.blocks[:1]]
        if not blocks:
            return True
        attempt = Exchange([blocks[0].request] * 2)
        try:
            await client.perform(attempt)
        except ConnectionLost:
            return False
        return attempt.misses == 0

    async def run(self) -> None:
        raise ConnectionLost(await self._connected().wait_lost())

    async def read(self, group: TagGroup) -> Scan:
        reader = self._readers[group.id]
        reading = reader.begin()
        await self._connected().perform(reading)
        return reader.finish(reading)

    async def write(self, tag: Tag, value: Value) -> Value:
        exchange = Exchange([encode(self._units[tag.device], tag, value)])
        await self._connected().perform(exchange, urgent=True)
        if exchange.misses:
            raise DeviceSilent(f"{tag.id}: {exchange.silence}; whether it was written is not known")
        if exchange.exception in exception.SILENCE:
            raise DeviceSilent(f"{tag.id}: {exception.words(exchange.exception)}")
        if exchange.exception is not None:
            raise CommandRefused(f"{tag.id}: {exception.words(exchange.exception)}")
        return landed(tag, value)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    def statistics(self) -> Statistics:
        return self._connected().statistics()

    def _connected(self) -> Client:
        if self._client is None:
            raise ConnectionLost("not connected")
        return self._client
