"""What stands between a client and a server and can swallow everything; and a server of raw bytes, for what no real one
would send."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

ACKNOWLEDGE = b"ACKF" + (28).to_bytes(4, "little") + b"\0\0\0\0" + (65_536).to_bytes(4, "little") * 2 + bytes(8)
"""Of a server that knows no limits on messages and chunks."""


class Proxy:
    """Passes bytes on to `target`, until it is told to swallow them: then the connection stays, and is a black hole."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._pass = True
        self.port = 0

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/plant"

    def swallow(self) -> None:
        self._pass = False

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[Proxy]:
        async with serving(self._serve) as self.port:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        with contextlib.closing(back):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, back))
                tasks.create_task(self._pump(there, writer))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65_536):
                if self._pass:
                    sink.write(data)
        sink.close()


class EvilServer:
    """Answers a HELLO with `acknowledge`, and then sends `flood` for ever, or as long as somebody listens."""

    def __init__(self, acknowledge: bytes, flood: bytes) -> None:
        self._acknowledge = acknowledge
        self._flood = flood
        self.sent = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(1_000)
            writer.write(self._acknowledge)
            await reader.read(1_000)
            while self._flood:
                writer.write(self._flood)
                self.sent += len(self._flood)
                await writer.drain()
            await reader.read()
        writer.close()


@contextlib.asynccontextmanager
async def serving(serve: object) -> AsyncIterator[int]:
    """A server on a free port, and at the end of the block the end of all its connections."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await serve(reader, writer)  # type: ignore[operator]
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
