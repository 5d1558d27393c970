"""Answers every POST with 204 and forgets it, but for the count of lines: `drain.py PORT`. A process of its own, so
that its work is not counted as the gateway's. Prints the number of lines when it is told to end."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import cast

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Drain(asyncio.Protocol):
    lines = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._head = b""
        self._left = 0

    def data_received(self, data: bytes) -> None:
        while data:
            if self._left:
                data = self._swallow(data)
                continue
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = b""
            field = head.lower().partition(b"content-length:")[2]
            self._left = int(field.split(b"\r\n")[0])

    def _swallow(self, data: bytes) -> bytes:
        body, rest = data[: self._left], data[self._left :]
        Drain.lines += body.count(b"\n")
        self._left -= len(body)
        if not self._left:
            self._transport.write(_ANSWER)
        return rest


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    async with await loop.create_server(Drain, "127.0.0.1", port):
        await ended.wait()
    sys.stdout.write(f"{Drain.lines}\n")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
