"""A broker of MQTT 5 that answers as the test says: what no real one would do on demand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

SUCCESS = 0
SILENCE = -1
"""No PUBACK at all."""
HANG_UP = -2
_IDLE_S = 0.05
_GLANCE_S = 0.002


class Published(NamedTuple):
    topic: str
    payload: bytes


class ScriptedBroker:
    """`answer` is asked for the reason code of each PUBLISH, by its number; a code from 1000 on stands for a DISCONNECT
    with what is above that. PUBACKs go out when `window` messages wait for one, or nothing more comes."""

    def __init__(self, answer: Callable[[int], int], about: bytes, window: int) -> None:
        self._answer = answer
        self._about = about
        self._window = window
        self.port = 0
        self.published: list[Published] = []
        self.connects: list[bytes] = []
        self.most_flying = 0
        self._serving: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[ScriptedBroker]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
            await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.append(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), contextlib.closing(writer):
            await self._talk(reader, writer)
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, connect = await _packet(reader)
        self.connects.append(connect)
        body = b"\x00\x00" + bytes([len(self._about)]) + self._about
        writer.write(b"\x20" + bytes([len(body)]) + body)
        flying: list[tuple[bytes, int]] = []
        while True:
            try:
                async with asyncio.timeout(self._patience(len(flying))):
                    kind, packet = await _packet(reader)
            except TimeoutError:
                _acknowledge(writer, flying)
                continue
            if kind != 3:
                continue
            code = self._take(packet)
            if code == HANG_UP:
                return
            if code >= 1000:
                writer.write(bytes([0xE0, 1, code - 1000]))
                return
            flying.append((_mid(packet), code))
            self.most_flying = max(self.most_flying, len(flying))

    def _patience(self, flying: int) -> float | None:
        """How long to wait for more before what flies is acknowledged. Where enough does, more would be too much, and
        there is a glance to see whether it comes."""
        if not flying:
            return None
        return _GLANCE_S if flying >= self._window else _IDLE_S

    def _take(self, packet: bytes) -> int:
        size = int.from_bytes(packet[:2], "big")
        about = packet[2 + size + 2]  # below 128 bytes, so that one byte says how long it is
        self.published.append(Published(packet[2 : 2 + size].decode(), packet[2 + size + 3 + about :]))
        return self._answer(len(self.published))


def _mid(packet: bytes) -> bytes:
    size = int.from_bytes(packet[:2], "big")
    return packet[2 + size : 4 + size]


def _acknowledge(writer: asyncio.StreamWriter, flying: list[tuple[bytes, int]]) -> None:
    for mid, code in flying:
        if code != SILENCE:
            writer.write(b"\x40\x04" + mid + bytes([code, 0]))
    flying.clear()


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    (first,) = await reader.readexactly(1)
    length = shift = 0
    while True:
        (byte,) = await reader.readexactly(1)
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return first >> 4, await reader.readexactly(length)


def broker(
    answer: Callable[[int], int] = lambda number: SUCCESS, *, about: bytes = b"", window: int = 1
) -> contextlib.AbstractAsyncContextManager[ScriptedBroker]:
    """`about` are the properties of the CONNACK, as bytes."""
    return ScriptedBroker(answer, about, window).run()
