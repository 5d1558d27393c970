"""A broker of raw bytes, for what no real broker would send."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

CONNACK = b"\x20\x03\x00\x00\x00"
SUBACK = b"\x90\x04\x00\x01\x00\x01"


def publish(topic: bytes, payload: bytes, mid: int) -> bytes:
    """A PUBLISH of MQTT 5 at QoS 1, without properties."""
    body = len(topic).to_bytes(2, "big") + topic + mid.to_bytes(2, "big") + b"\x00" + payload
    return b"\x32" + bytes([len(body)]) + body


class EvilBroker:
    """Answers CONNECT with `connack` and SUBSCRIBE with `then`, then hangs up if it is told to. `later` follows when
    `send_later` is set."""

    def __init__(self, connack: bytes, then: bytes, *, later: bytes, hang_up: bool, tls: ssl.SSLContext | None) -> None:
        self._connack = connack
        self._then = then
        self._later = later
        self.send_later = asyncio.Event()
        self._hang_up = hang_up
        self._tls = tls
        self.port = 0
        self.heard = bytearray()
        self._serving: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[EvilBroker]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
            self.send_later.set()
            await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.append(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            for answer in (self._connack, self._then):
                self.heard += await reader.read(1000)
                writer.write(answer)
            if self._later:
                await self.send_later.wait()
                writer.write(self._later)
            while not self._hang_up and (more := await reader.read(1000)):
                self.heard += more
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def evil(
    then: bytes = SUBACK,
    *,
    connack: bytes = CONNACK,
    later: bytes = b"",
    hang_up: bool = False,
    tls: ssl.SSLContext | None = None,
) -> contextlib.AbstractAsyncContextManager[EvilBroker]:
    return EvilBroker(connack, then, later=later, hang_up=hang_up, tls=tls).run()
