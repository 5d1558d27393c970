"""Against the server of pymodbus, which does not bear more than one request at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer

from tests.drivers.modbus.device import group_of, link_of, session, words
from tests.parts.process import free_port


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """The port of a server whose holding registers hold their own addresses."""
    block = ModbusSequentialDataBlock(1, list(range(1000)))  # type: ignore[no-untyped-call]
    devices = ModbusServerContext(devices=ModbusDeviceContext(hr=block), single=True)
    server = ModbusTcpServer(devices, address=("127.0.0.1", port := free_port()))
    assert await server.listen()
    try:
        yield port
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("in_flight", [1, 8])
async def test_every_value_arrives_one_request_at_a_time(in_flight: int) -> None:
    group = group_of(words(600))
    async with (
        serving() as port,
        session(link_of(port, group, link={"in_flight": in_flight, "timeout": "200ms"})) as driver,
    ):
        for _ in range(3):
            scan = await driver.read(group)
            assert scan.status is None
            assert scan.values[0].tolist() == list(range(600))
        assert driver.statistics().window == 1
