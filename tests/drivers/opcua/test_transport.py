"""Servers that no real one would be like."""

from __future__ import annotations

import pytest

from drivers.opcua import Driver
from drivers.opcua.transport import MESSAGE
from gateway.clock import SystemClock
from gateway.errors import ConnectionLost
from tests.drivers.opcua.links import make_link, tags
from tests.drivers.opcua.proxy import ACKNOWLEDGE, EvilServer, serving
from tests.drivers.receiver import FakeReceiver

BUFFERS = 16 * 1024 * 1024
"""What the sockets on both ends may hold, and more."""


def chunk(kind: bytes, claimed: int, body: bytes) -> bytes:
    return kind + claimed.to_bytes(4, "little") + body


@pytest.mark.parametrize(
    ("acknowledge", "flood"),
    [
        (ACKNOWLEDGE, chunk(b"MSGF", 2**31 - 1, bytes(65_536))),  # one chunk that never ends
        (b"x" * 100, b""),
        (chunk(b"ERRF", 16, (0x807D0000).to_bytes(4, "little") + b"\xff\xff\xff\xff"), b""),
        (ACKNOWLEDGE, b"\xff" * 65_536),
        (ACKNOWLEDGE[:4] + b"\x09\0\0\0\0", b""),
        (b"", b""),
    ],
    ids=["endless chunk", "no protocol", "error", "noise", "short acknowledge", "silence"],
)
async def test_it_costs_the_connection_and_nothing_else(acknowledge: bytes, flood: bytes) -> None:
    evil = EvilServer(acknowledge, flood)
    async with serving(evil.serve) as port:
        link = make_link({"values": {"tags": tags(level="float64")}}, f"opc.tcp://127.0.0.1:{port}", timeout="100ms")
        driver = Driver(link, FakeReceiver(SystemClock()))
        with pytest.raises(ConnectionLost):
            await driver.open()
        await driver.close()
    assert evil.sent < MESSAGE + BUFFERS
