"""A server that answers each request as a test says, byte for byte, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from drivers.coap.datagram import CONFIRMABLE, Datagram, parse


def reply(to: Datagram, code: int, options: bytes = b"", payload: bytes = b"", *, kind: int = 2) -> bytes:
    """A response in an acknowledgement (`kind` 2), or by itself; `options` as they stand on the wire."""
    head = bytes([0x40 | kind << 4 | len(to.token), code]) + to.mid.to_bytes(2, "big")
    return head + to.token + options + (b"\xff" + payload if payload else b"")


class Scripted(asyncio.DatagramProtocol):
    def __init__(self, script: Callable[[Datagram], Sequence[bytes]]) -> None:
        self.asked: list[Datagram] = []
        self.address: tuple[str, int] = ("", 0)
        self.port = 0
        self._script = script
        self._news = asyncio.Event()
        self.transport: asyncio.DatagramTransport | None = None

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        asked = parse(data)
        self.address = address
        if asked.type == CONFIRMABLE and asked.code == 0:
            self.send(b"\x70\x00" + data[2:4])
            return
        self.asked.append(asked)
        self._news.set()
        for answer in self._script(asked):
            self.send(answer)

    def send(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.sendto(data, self.address)

    async def wait(self, count: int) -> list[Datagram]:
        """Until it was asked so often; what it was asked. Pings are answered, and not counted."""
        async with asyncio.timeout(10):
            while len(self.asked) < count:
                self._news.clear()
                await self._news.wait()
        return self.asked


@contextlib.asynccontextmanager
async def scripted(script: Callable[[Datagram], Sequence[bytes]]) -> AsyncIterator[Scripted]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Scripted(script), local_addr=("127.0.0.1", 0)
    )
    server.transport, server.port = transport, transport.get_extra_info("sockname")[1]
    try:
        yield server
    finally:
        transport.close()
