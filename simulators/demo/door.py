"""The control door of the gateway, as anybody may use it: a Unix socket, and one line of JSON for each thing said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from simulators.demo.failure import DemoFailed

_ANSWER_SECONDS = 10.0
_MOST_BYTES = 1 << 20


class LinkStatus(msgspec.Struct, frozen=True):
    id: str
    driver: str
    online: bool


class DeviceStatus(msgspec.Struct, frozen=True):
    """`rate` is points per second; None where nobody knows yet."""

    id: str
    link: str
    state: str
    scans: int
    rate: float | None


class SinkStatus(msgspec.Struct, frozen=True):
    """Counts are points. `oldest_s` is the age of the oldest that is pending, None where nothing is."""

    id: str
    online: bool
    ingested: int
    delivered: int
    pending: int
    dead_letters: int
    dropped: int
    oldest_s: float | None


class AlarmEntry(msgspec.Struct, frozen=True):
    alarm: str
    tag: str
    state: str
    active: bool
    priority: str
    message: str


class Status(msgspec.Struct, frozen=True):
    """What the demo wants to know of the gateway's status. `time` is nanoseconds UTC."""

    time: int
    links: list[LinkStatus]
    devices: list[DeviceStatus]
    sinks: list[SinkStatus]
    alarms: list[AlarmEntry]

    @property
    def sink(self) -> SinkStatus:
        """The demo's only one."""
        return self.sinks[0]


class TagReading(msgspec.Struct, frozen=True):
    tag: str
    value: bool | int | float | str | None


class _Reply(msgspec.Struct, frozen=True):
    """Whichever it is: `answer` says, and the others are empty."""

    answer: str
    status: Status | None = None
    readings: list[TagReading] = []
    message: str = ""


_decoder = msgspec.json.Decoder(_Reply)


class Door:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def status(self) -> Status:
        """Raises OSError where no gateway answers."""
        async with asyncio.timeout(_ANSWER_SECONDS), self._ask({"ask": "status"}) as lines:
            reply = _read(await lines.readline())
        if reply.status is None:
            raise DemoFailed(f"the gateway does not say how it is: {reply.message or reply.answer}")
        return reply.status

    async def watch(self, tags: Sequence[str], interval: float) -> AsyncIterator[list[TagReading]]:
        """What has changed of some tags, until the gateway ends. Raises OSError where none answers."""
        async with self._ask({"ask": "watch", "tags": tags, "interval": interval}) as lines:
            while line := await lines.readline():
                yield _read(line).readings

    @asynccontextmanager
    async def _ask(self, request: Mapping[str, object]) -> AsyncIterator[asyncio.StreamReader]:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=_MOST_BYTES)
        try:
            writer.write(msgspec.json.encode(request) + b"\n")
            yield reader
        finally:
            writer.close()


def _read(line: bytes) -> _Reply:
    if not line:
        raise ConnectionResetError("the gateway has hung up")
    reply = _decoder.decode(line)
    if reply.answer == "error":
        raise DemoFailed(f"the gateway refuses what the demo asks: {reply.message}")
    return reply
